/* SPDX-License-Identifier: Apache-2.0 */
/*
 * panic.c - prints lines=N numbered lines (default 3), then tells of a panic as the device tree
 * says: how=panic, or how=kexec for one whose crash kernel starts; after the latter it prints "still
 * here" and passes. how=hang tells nothing and stays.
 */
#include <misc/pvpanic.h>

#include "guests/devtree.h"
#include "guests/io.h"

int guest_main(void)
{
	uint64_t nr = cmdline_u64("lines", 3);
	struct range reg;

	CHECK(devtree_reg(devtree_next(-1, "qemu,pvpanic-mmio"), 0, &reg));
	CHECK_EQ(read8(reg.start), PVPANIC_PANICKED | PVPANIC_CRASH_LOADED);
	for (uint64_t i = 1; i <= nr; i++)
		print("line %lu of %lu\n", i, nr);
	if (cmdline_is("how", "hang"))
		for (;;)
			cpu_pause();
	if (cmdline_is("how", "kexec")) {
		write8(reg.start, PVPANIC_CRASH_LOADED);
		print("still here\n");
		PASS();
	}
	write8(reg.start, PVPANIC_PANICKED);
	for (;;)
		cpu_pause();
}
