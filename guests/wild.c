/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wild.c - every CPU makes accesses=N accesses of random width, address and value to ports and
 * device registers at once, from seed=N. Left out: what lawfully ends the guest (power, exit
 * and panic registers) and the interrupt controllers, which the host kernel serves.
 */
#include "guests/cpu.h"
#include "guests/devtree.h"
#include "guests/lib.h"
#include "vmm/base/platform.h"

#define EXIT_PORT 0xf4
#define DEVICES_END (PVPANIC_BASE + 0x1000)

static unsigned int nr_done;
static uint64_t nr_accesses, seed;

struct wild {
	uint64_t random;
	uint64_t at, value;
	unsigned int width; /* log2 */
	bool write;
};

static uint64_t next(struct wild *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static uint64_t port_access(uint64_t arg)
{
	struct wild *w = (struct wild *)arg;
	uint16_t port = (uint16_t)w->at;
	uint32_t value = (uint32_t)w->value;

	switch (w->width << 1 | w->write) {
	case 0: __asm__ volatile("inb %1, %b0" : "+a"(value) : "Nd"(port)); break;
	case 1: __asm__ volatile("outb %b0, %1" : : "a"(value), "Nd"(port)); break;
	case 2: __asm__ volatile("inw %1, %w0" : "+a"(value) : "Nd"(port)); break;
	case 3: __asm__ volatile("outw %w0, %1" : : "a"(value), "Nd"(port)); break;
	case 4: __asm__ volatile("inl %1, %0" : "+a"(value) : "Nd"(port)); break;
	default: __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); break;
	}
	return value;
}

static void register_access(struct wild *w)
{
	switch (w->width << 1 | w->write) {
	case 0: read8(w->at); break;
	case 1: write8(w->at, (uint8_t)w->value); break;
	case 2: read16(w->at); break;
	case 3: write16(w->at, (uint16_t)w->value); break;
	case 4: read32(w->at); break;
	case 5: write32(w->at, (uint32_t)w->value); break;
	case 6: read64(w->at); break;
	default: write64(w->at, w->value); break;
	}
}

static bool overlaps(const struct wild *w, uint64_t start, uint64_t bytes)
{
	return range_overlaps((struct range){ w->at, UINT64_C(1) << w->width },
			      (struct range){ start, bytes });
}

/* Mostly where something is, at its first registers; small values are the likelier commands. */
static void one(struct wild *w)
{
	uint64_t r = next(w);

	w->write = r & 1;
	w->value = r & 2 ? next(w) : next(w) & 0x3f;
	if (r & 0x30) {
		w->width = (unsigned int)(r >> 2 & 3);
		w->at = PLATFORM_VIRTIO_BASE + next(w) % (r & 0x40 ? 0x240 : DEVICES_END -
									    PLATFORM_VIRTIO_BASE);
		if (!overlaps(w, POWER_BASE + POWER_SLEEP_CONTROL, 4) &&
		    !overlaps(w, PVPANIC_BASE, PVPANIC_BYTES))
			register_access(w);
		return;
	}
	w->width = (unsigned int)(r >> 2) % 3;
	w->at = r & 0x40 ? SERIAL_PORT + 1 + next(w) % 8 : next(w) & 0xffff;
	if (!overlaps(w, EXIT_PORT, 4) && !overlaps(w, SERIAL_PORT, 1))
		ring0(port_access, (uint64_t)w);
}

static void storm(unsigned int cpu)
{
	struct wild w = { .random = seed * 1000003 + cpu + 1 };

	for (uint64_t i = 0; i < nr_accesses; i++)
		one(&w);
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_SEQ_CST);
}

/* The storm may have left the divisor latch open or the loopback on. */
static void restore_serial(void)
{
	outb(SERIAL_PORT + 3, 0x03);
	outb(SERIAL_PORT + 4, 0x00);
	outb(SERIAL_PORT + 1, 0x00);
}

int guest_main(void)
{
	unsigned int nr;

	nr_accesses = cmdline_u64("accesses", 10000);
	seed = cmdline_u64("seed", 1);
	nr = cpu_start_others(storm);
	storm(0);
	while (__atomic_load_n(&nr_done, __ATOMIC_SEQ_CST) < nr)
		cpu_pause();
	restore_serial();
	print("%u CPUs, %lu accesses each\n", nr, nr_accesses);
	PASS();
}
