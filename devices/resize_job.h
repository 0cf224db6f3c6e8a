/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resize_job.h - runs the resize jobs of one device: what stands around the model
 * (devices/resize.h), namely its timer, the interrupts, the driver that comes and goes, and the
 * callbacks.
 *
 * One struct is embedded in each device whose size can be changed (virtio-mem, the balloon) and
 * lives as long as it. The device says what its size is, and is told which size its driver shall
 * read.
 *
 * Thread: the loop, under the device lock; resize_job_driver() also on a vCPU thread that holds the
 * lock. None of these functions fails but resize_job_cancel().
 */
#ifndef EBB_DEVICES_RESIZE_JOB_H
#define EBB_DEVICES_RESIZE_JOB_H

#include "devices/resize.h"
#include "virtio/device.h"
#include "vmm/base/loop.h"

/* The device, as its jobs see it. All of it outlives the struct resize_job. */
struct resize_job_env {
	struct loop *loop;
	struct virtio_dev *dev; /* its driver moves the memory; it gets the interrupts */
	/* The size in bytes now: it is what jobs bring to their target. */
	uint64_t (*size_bytes)(const void *ctx);
	/* Optional: the largest size that the guest can reach, in bytes (struct resize). */
	uint64_t (*limit_bytes)(const void *ctx);
	/* From now on the driver reads BYTES as its target. The interrupt for it follows. */
	void (*set_target)(void *ctx, uint64_t bytes);
	/*
	 * Optional, for a device that has more to tell than what is below: is called wherever
	 * resize_job_tell() would be, and calls it.
	 */
	void (*tell)(void *ctx);
	/* Optional. They may use the device and start the next job, but not free it. */
	void (*size_changed)(void *ctx);
	void (*job_changed)(void *ctx); /* a job has started or ended */
	void *ctx;
};

/* Zeroed memory until resize_job_init(). The fields belong to resize_job.c. */
struct resize_job {
	struct resize model;
	struct resize_job_env env;
	struct loop_timer timer;
	/* What the callbacks were told last. */
	uint64_t told_size;
	uint32_t told_id;
	enum resize_state told_state;
};

/* ENV is copied. The device is ready to be asked for its size. No job has run yet. */
void resize_job_init(struct resize_job *j, enum resize_kind kind, const struct resize_job_env *env);
/* Before the device is freed: no timer fires any more. A running job ends without a word. */
void resize_job_destroy(struct resize_job *j);

/*
 * Sets the target, starts a job toward it and interrupts the driver. The job ends `short` at
 * DEADLINE_NS (monotonic, 0: no deadline); the target stays then. A running job is cancelled first,
 * and job_changed() told so. Tells.
 */
void resize_job_start(struct resize_job *j, uint64_t target_bytes, uint64_t deadline_ns);
/*
 * Ends the running job; the target becomes the size that is reached, so the guest stops there.
 * Tells. -ENOENT: no job is running; nothing has changed then.
 */
int must_check resize_job_cancel(struct resize_job *j);
/* Sets the target and interrupts the driver, without a job; a running one is cancelled. Tells. */
void resize_job_set_target(struct resize_job *j, uint64_t target_bytes);

/*
 * What happens to the device. The first two do not tell: the device does, when all of its work is
 * done.
 */

/* A driver is there, or (as after a device reset) is not. Leaves the timer alone. */
void resize_job_driver(struct resize_job *j, bool ready);
/* A request of the driver was answered, after which the size is what it is (resize_answered()). */
void resize_job_answered(struct resize_job *j, enum resize_answer answer,
			 const char *put_off_text);
/* The machine was reset, and so was the size; target and job stay. Tells. */
void resize_job_system_reset(struct resize_job *j);

/*
 * Sets the timer for the job's next step and calls size_changed() and job_changed(), in this order,
 * each if there is news since the last call. In the loop's thread, and last of all: they may call
 * back into the device.
 */
void resize_job_tell(struct resize_job *j);

/* The latest job, as of now. */
struct resize_status resize_job_status(const struct resize_job *j);

#endif
