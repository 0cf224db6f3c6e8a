/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.c - answers each question of the balloon for statistics: the value of tag T in answer N is
 * N * 1000 + T, the tags are 0 to tags=N - 1 (default 16). The first buffer, before any question,
 * is answer 0. Prints "answer N" when N is with the device. A "q" on the serial port ends it.
 */
#include "guests/vballoon.h"

#define MAX_TAGS 256
#define POLL_CYCLES 4000000 /* a millisecond or two */

static struct vballoon balloon;
static struct virtio_balloon_stat stats[MAX_TAGS];

static void answer(uint64_t number, uint16_t nr_tags)
{
	for (uint16_t tag = 0; tag < nr_tags; tag++)
		stats[tag] = (struct virtio_balloon_stat){ tag, number * 1000 + tag };
	vballoon_post_stats(&balloon, stats, nr_tags);
	print("answer %lu\n", number);
}

int guest_main(void)
{
	uint16_t nr_tags = (uint16_t)cmdline_u64("tags", 16);
	uint64_t number = 0;

	_Static_assert(sizeof(stats[0]) == 10, "wire format");
	CHECK(nr_tags && nr_tags <= MAX_TAGS);
	vballoon_open(&balloon, 0, 0);
	answer(number, nr_tags);
	for (;;) {
		uint64_t start = cpu_tsc();

		if (vballoon_stats_wanted(&balloon))
			answer(++number, nr_tags);
		if (serial_poll() == 'q')
			PASS();
		while (cpu_tsc() - start < POLL_CYCLES)
			cpu_pause();
	}
}
