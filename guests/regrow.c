/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regrow.c - follows requested_size for ever, as a driver does, and prints "size N" when it is
 * there. Plugged memory is written, and verified before it goes, unless touch=0. hold=N refuses to
 * go below N ("hold N" when it stops there). Bytes on the serial port: r releases the hold, q ends,
 * i prints "interrupts N", how often a change of the configuration was announced; any other comes
 * back as "got XX". The power button turns it off.
 */
#include "guests/cpu.h"
#include "guests/devtree.h"
#include "guests/pattern.h"
#include "guests/vmem.h"
#include "vmm/base/platform.h"

#define STEP_BYTES (32 * MiB)
#define POLL_CYCLES 4000000 /* a millisecond or two */

static struct vmem vmem;
static uint64_t plugged, hold;
static bool touch;

/* One step towards the target, small enough to see a new target soon. */
static void follow(uint64_t target)
{
	uint64_t most = STEP_BYTES > vmem.block_bytes ? STEP_BYTES : vmem.block_bytes;
	uint64_t bytes = plugged < target ? target - plugged : plugged - target;

	if (bytes > most)
		bytes = most;
	if (plugged < target) {
		uint16_t answer = vmem_request(&vmem, VIRTIO_MEM_REQ_PLUG, vmem.addr + plugged,
					       (uint16_t)(bytes / vmem.block_bytes), NULL);

		/* NACK: the target has fallen meanwhile. */
		if (answer == VIRTIO_MEM_RESP_NACK || answer == VIRTIO_MEM_RESP_BUSY)
			return;
		CHECK_EQ(answer, VIRTIO_MEM_RESP_ACK);
		if (touch)
			pattern_write(vmem.addr + plugged, bytes, 1);
		plugged += bytes;
	} else {
		plugged -= bytes;
		if (touch)
			pattern_check(vmem.addr + plugged, bytes, 1);
		vmem_unplug(&vmem, vmem.addr + plugged, bytes);
	}
	CHECK_EQ(vmem_config(&vmem).plugged_size, plugged);
}

int guest_main(void)
{
	struct range power;
	uint64_t said = UINT64_MAX, said_requested = UINT64_MAX, nr_interrupts = 0;

	CHECK(devtree_reg(devtree_next(-1, "ebb,power"), 0, &power));
	hold = cmdline_u64("hold", 0);
	touch = !cmdline_is("touch", "0");
	CHECK(vmem_open(&vmem, (unsigned int)cmdline_u64("device", 0)));
	CHECK_EQ(vmem_config(&vmem).plugged_size, 0);
	for (;;) {
		uint64_t requested = vmem_config(&vmem).requested_size;
		uint64_t target = requested, start = cpu_tsc();
		int c = serial_poll();

		nr_interrupts += !!(virtio_take_interrupt(&vmem.dev) & VIRTIO_INTERRUPT_CONFIG);
		if (c == 'q')
			PASS();
		if (c == 'r')
			hold = 0;
		if (c == 'i')
			print("interrupts %lu\n", nr_interrupts);
		if (c >= 0 && c != 'q' && c != 'r' && c != 'i')
			print("got %x%x\n", (unsigned int)c >> 4, (unsigned int)c & 0xf);
		if (target < hold && target < plugged)
			target = plugged < hold ? plugged : hold;
		if (target != plugged)
			follow(target);
		if (target != plugged)
			continue;
		if (said != plugged || said_requested != requested)
			print("%s %lu\n", plugged == requested ? "size" : "hold", plugged);
		said = plugged;
		said_requested = requested;
		if (read32(power.start + POWER_EVENT) & POWER_EVENT_BUTTON)
			write8(power.start + POWER_SLEEP_CONTROL, POWER_SLEEP_S5);
		while (cpu_tsc() - start < POLL_CYCLES)
			cpu_pause();
	}
}
