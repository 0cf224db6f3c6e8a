/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wild_driver.h - a driver that knows the registers and the rings of virtio and no rule: any
 * access, any descriptor, any index, any bytes in boot memory.
 */
#ifndef EBB_TESTS_WILD_DRIVER_H
#define EBB_TESTS_WILD_DRIVER_H

#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_driver.h"

/* Rings and buffers of fake_alloc() lie from here on; what comes before stays free. */
#define WILD_RINGS_AT UINT64_C(0x10000)
/* Forgets all that fake_alloc() gave, which is zero again. The device must be reset. */
void wild_forget_memory(struct fake_memory *m);
/*
 * One step, as the stream says. All queues of the driver must have rings (fake_queue_init()). Kicks
 * are served a few times only: a device that wakes itself is no hang, the loop has other work too.
 */
void wild_step(struct fake_driver *d, struct fuzz_stream *s);

#endif
