/* SPDX-License-Identifier: Apache-2.0 */
/* recorder.h - a sink of a machine's events that keeps them for a test to look at. */
#ifndef EBB_TESTS_RECORDER_H
#define EBB_TESTS_RECORDER_H

#include "vmm/machine/events.h"

#define RECORDER_MAX 256

struct recorder {
	struct vm_sinks sinks; /* with the recorder as the only listener */
	unsigned int nr;       /* of all events so far */
	struct vm_event events[RECORDER_MAX]; /* the first ones; what they point to may be gone */
};

void recorder_init(struct recorder *r);
void recorder_forget(struct recorder *r);
/* How many of KIND there were; the latest one of them, or NULL. */
unsigned int recorder_count(const struct recorder *r, enum vm_event_kind kind);
const struct vm_event *recorder_last(const struct recorder *r, enum vm_event_kind kind);

#endif
