/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev/backend.c - a guest to talk to: with flood=N says so and prints N bytes of numbered lines; then
 * prints "ready", and from then on every byte of input comes back as "got XX". The power button
 * turns it off, unless button=0; "q" ends it with PASS.
 */
#include "guests/cpu.h"
#include "guests/devtree.h"
#include "guests/lib.h"
#include "vmm/base/platform.h"

#define LINE_BYTES 64
#define FIFO_BYTES 16 /* what a 16550A takes once it says that its transmitter is empty */
#define LINE_STATUS 5
#define TRANSMITTER_EMPTY 0x20
#define POLL_CYCLES 1000000 /* below a millisecond */

/* As drivers do it: a FIFO's worth at a time. */
static void put_line(const char *line)
{
	for (unsigned int i = 0; i < LINE_BYTES; i += FIFO_BYTES) {
		const char *at = line + i;
		uint64_t nr = FIFO_BYTES;

		while (!(inb(SERIAL_PORT + LINE_STATUS) & TRANSMITTER_EMPTY))
			cpu_pause();
		__asm__ volatile("rep outsb" : "+S"(at), "+c"(nr) : "d"(SERIAL_PORT) : "memory");
	}
}

static void flood(uint64_t bytes)
{
	static char line[] = "flood 00000000 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJK\r\n";

	_Static_assert(sizeof(line) - 1 == LINE_BYTES, "flood");
	for (uint64_t i = 0; i < bytes / LINE_BYTES; i++) {
		uint64_t n = i;

		for (char *digit = line + 13; digit > line + 5; digit--, n /= 10)
			*digit = (char)('0' + n % 10);
		put_line(line);
	}
}

int guest_main(void)
{
	struct range power;
	bool button = !cmdline_is("button", "0");

	CHECK(devtree_reg(devtree_next(-1, "ebb,power"), 0, &power));
	if (cmdline_u64("flood", 0)) {
		print("flood of %lu bytes\n", cmdline_u64("flood", 0));
		flood(cmdline_u64("flood", 0));
	}
	print("ready\n");
	for (;;) {
		uint64_t start = cpu_tsc();
		int c = serial_poll();

		if (c == 'q')
			PASS();
		if (c >= 0) {
			print("got %x%x\n", (unsigned int)c >> 4, (unsigned int)c & 0xf);
			continue;
		}
		if (button && read32(power.start + POWER_EVENT) & POWER_EVENT_BUTTON) {
			print("power button\n");
			write8(power.start + POWER_SLEEP_CONTROL, POWER_SLEEP_S5);
		}
		while (cpu_tsc() - start < POLL_CYCLES)
			cpu_pause();
	}
}
