/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_rig.h - a balloon with all it stands on: boot memory, an elastic region, a fake driver. */
#ifndef EBB_TESTS_BALLOON_RIG_H
#define EBB_TESTS_BALLOON_RIG_H

#include "devices/virtio_balloon.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_driver.h"

#define BALLOON_BOOT (16 * MiB)
#define BALLOON_ELASTIC (8 * MiB) /* at FAKE_ELASTIC_BASE, blocks of 2 MiB, unplugged */

/* These two queues always are where they are. */
enum { BALLOON_RIG_INFLATE, BALLOON_RIG_DEFLATE };

struct balloon_rig {
	struct fake_memory mem;
	struct loop *loop;
	struct fake_clock clock;
	struct huge boot_huge;
	struct page_ledger returned;
	struct dirty_pages written;
	struct balloon *b;
	struct fake_driver drv;
	struct balloon_cfg cfg;
	int saved_fd; /* while the host refuses */
	/* What the callbacks have told. */
	unsigned int nr_sizes, nr_jobs, nr_stats, nr_runs, nr_working_sets;
	struct working_set last_working_set;
	/* The machine's part of a reclaim. */
	bool logging, frozen;
	unsigned int nr_freezes;
	int freeze_error, log_error; /* to be answered */
	/* Called while the vCPUs stand, and just before they do: the test plays a vCPU. */
	void (*on_freeze)(struct balloon_rig *r);
};

/* Everything offered; CFG's boot_bytes is set here. Nothing is negotiated yet. */
void balloon_rig_init(struct balloon_rig *r);
void balloon_rig_init_cfg(struct balloon_rig *r, struct balloon_cfg cfg);
void balloon_rig_destroy(struct balloon_rig *r);
/* The driver inflates or deflates with NR pages from AT on (at most 1024). Answered, and lawful. */
bool balloon_rig_pages(struct balloon_rig *r, unsigned int queue, gpa_t at, unsigned int nr);
/* Runs the main loop for NS. */
void balloon_rig_run(struct balloon_rig *r, uint64_t ns);
struct balloon_info balloon_rig_info(const struct balloon_rig *r);
/* From now on, or no longer, the host refuses to take boot memory back. */
void balloon_rig_host_refuses(struct balloon_rig *r, bool refuses);
/* What the host says: bytes behind boot memory; of a range of it. */
uint64_t balloon_rig_resident(const struct balloon_rig *r);
uint64_t balloon_rig_range_resident(const struct balloon_rig *r, gpa_t at, uint64_t bytes);

#endif
