/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regrow.c - follows requested_size for ever, as a driver does, and prints "size N" when it is
 * there. Plugged memory is written, and verified before it goes, unless touch=0. hold=N refuses to
 * go below N ("hold N" when it stops there). Bytes on the serial port: r releases the hold, q ends,
 * i prints "interrupts N", how often a change of the configuration was announced.
 */
#include "guests/pattern.h"
#include "guests/vmem.h"

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
	uint64_t said = UINT64_MAX, said_requested = UINT64_MAX, nr_interrupts = 0;

	hold = cmdline_u64("hold", 0);
	touch = !cmdline_is("touch", "0");
	CHECK(vmem_open(&vmem, (unsigned int)cmdline_u64("device", 0)));
	CHECK_EQ(vmem_config(&vmem).plugged_size, 0);
	for (;;) {
		uint64_t requested = vmem_config(&vmem).requested_size;
		uint64_t target = requested, start = cpu_tsc();
		int c = serial_poll();

		nr_interrupts += !!(virtio_take_interrupt(&vmem.dev) & VIRTIO_MMIO_INT_CONFIG);
		if (c == 'q')
			PASS();
		if (c == 'r')
			hold = 0;
		if (c == 'i')
			print("interrupts %lu\n", nr_interrupts);
		if (target < hold && target < plugged)
			target = plugged < hold ? plugged : hold;
		if (target != plugged) {
			follow(target);
			continue;
		}
		if (said != plugged || said_requested != requested)
			print("%s %lu\n", plugged == requested ? "size" : "hold", plugged);
		said = plugged;
		said_requested = requested;
		while (cpu_tsc() - start < POLL_CYCLES)
			cpu_pause();
	}
}
