/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reboot.c - every boot finds boot memory and virtio-mem as on the first, spoils both, prints
 * "boot N" (N bytes plugged) and leaves: how=reset (platform register), poweroff or triple.
 * With wait=1 a byte from the serial port decides: r, p or t, and q ends with PASS.
 */
#include "guests/devtree.h"
#include "guests/pattern.h"
#include "guests/vmem.h"
#include "vmm/base/platform.h"

#define TRACE_BYTES (1 * MiB)

/* Boot memory that nothing uses: the end of the first range that is large enough. */
static uint64_t free_memory(void)
{
	struct range memory[4], free;
	unsigned int nr = devtree_memory(memory, ARRAY_SIZE(memory));

	for (unsigned int i = 0; i < nr; i++) {
		if (memory[i].bytes < 8 * TRACE_BYTES)
			continue;
		free = (struct range){ memory[i].start + memory[i].bytes - TRACE_BYTES,
				       TRACE_BYTES };
		while (boot_in_use(free))
			free.start -= TRACE_BYTES;
		cpu_map(free.start, free.bytes);
		return free.start;
	}
	FAIL("no free boot memory");
}

/* The power registers, as the device tree places them. */
static uint64_t power(void)
{
	struct range reg;

	CHECK(devtree_reg(devtree_next(-1, "ebb,power"), 0, &reg));
	return reg.start;
}

int guest_main(void)
{
	uint64_t trace = free_memory(), bytes = 0;
	struct vmem vmem;
	char how = 'r';

	pattern_check_zero(trace, TRACE_BYTES);
	pattern_write(trace, TRACE_BYTES, 1);
	if (vmem_open(&vmem, 0)) {
		CHECK_EQ(vmem_config(&vmem).plugged_size, 0);
		bytes = vmem_config(&vmem).requested_size;
		vmem_plug(&vmem, vmem.addr, bytes);
		pattern_check_zero(vmem.addr, bytes);
		pattern_write(vmem.addr, bytes, 1);
	}
	print("boot %lu\n", bytes);

	if (cmdline_is("how", "poweroff"))
		how = 'p';
	if (cmdline_is("how", "triple"))
		how = 't';
	if (cmdline_is("wait", "1"))
		how = (char)serial_wait();
	switch (how) {
	case 'q':
		PASS();
	case 'p':
		write8(power() + POWER_SLEEP_CONTROL, POWER_SLEEP_S5);
		break;
	case 't':
		cpu_triple_fault();
	case 'r':
		write8(power() + POWER_RESET, POWER_RESET_VALUE);
		break;
	default:
		FAIL("what is '%c'?", how);
	}
	/* The exit is asynchronous to this CPU only by the time the host needs to stop it. */
	for (uint64_t start = cpu_tsc(); cpu_tsc() - start < CPU_PATIENCE_CYCLES;)
		cpu_pause();
	FAIL("still here after '%c'", how);
}
