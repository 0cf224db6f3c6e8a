/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests.h - what the guest or its vCPUs ask of the machine: the mailbox between vCPU threads and
 * the loop. Of several requests made before the loop takes one the first counts.
 */
#ifndef EBB_MACHINE_REQUESTS_H
#define EBB_MACHINE_REQUESTS_H

#include "vmm/base/loop.h"
#include "vmm/kvm/vcpu.h"

enum vm_request_kind {
	REQUEST_NONE,
	REQUEST_POWER_OFF,
	REQUEST_RESET,
	REQUEST_DEBUG_EXIT, /* `exit_code` */
	REQUEST_CRASH,	    /* `text`, `guest_crashed` */
	REQUEST_PANIC,
};

struct vm_request {
	enum vm_request_kind kind;
	uint8_t exit_code;
	const char *text;   /* lives as long as the vCPUs */
	bool guest_crashed; /* else the host or KVM could not go on */
};

/* Who carries them out, in the loop with the device lock. */
struct requests_env {
	struct loop *loop;
	void (*made)(void *ctx, const struct vm_request *request);
	/* Told to whom it may interest; it stands in no request's way. */
	void (*crash_kernel)(void *ctx);
	void *ctx;
};

/* Written under the device lock. */
struct requests {
	struct requests_env env;
	struct vm_request first;
	bool crash_kernel; /* the guest has panicked and starts another kernel, in itself */
	int fd;		   /* wakes the loop; -1: not open */
};

/* 0 or -errno, logged. */
int must_check requests_open(struct requests *r, const struct requests_env *env);
void requests_close(struct requests *r);
/* What was asked for and not taken is not done. In the loop. */
void requests_drop(struct requests *r);

/* CTX is the struct requests. On vCPU threads, under the device lock. */
void requests_power_off(void *ctx);
void requests_reset(void *ctx);
void requests_debug_exit(void *ctx, uint8_t code);
void requests_panicked(void *ctx);
void requests_crash_kernel(void *ctx);
/* On a vCPU thread, without the device lock (vcpu_env.ended). */
void requests_vcpu_ended(void *ctx, enum vcpu_end end, const char *text);

#endif
