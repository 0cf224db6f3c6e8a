/* SPDX-License-Identifier: Apache-2.0 */
/* resize_job.h - a resize job, of elastic memory or of the balloon, as control clients see it. */
#ifndef EBB_MONITOR_RESIZE_JOB_H
#define EBB_MONITOR_RESIZE_JOB_H

#include <json-c/json.h>

#include "devices/resize.h"
#include "vmm/machine/memory.h"

/* A member list of what is returned (json/schema.h). */
#define RESIZE_MEMBERS                                                                             \
	"device:s id:u state:none|running|done|short|cancelled start:u target:u size:u "            \
	"elapsed-ms:u left-ms?:u interrupts:u requests:u reason?:s explanation?:s"

/* The job S of a device that is SIZE_BYTES large now; and the latest one of E. */
struct json_object *monitor_resize_object(const char *device, const struct resize_status *s,
				  uint64_t size_bytes);
struct json_object *monitor_job_object(const struct vm_elastic *e);
/* When the time that the argument `timeout` gives, in seconds, is over, from NOW_NS on; 0: none was
 * given. */
uint64_t monitor_deadline_arg(struct json_object *args, uint64_t now_ns);

#endif
