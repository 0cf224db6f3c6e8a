/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hot.c - a known working set. Plugs what is requested and writes all of it and of its spare boot
 * memory ("step full BYTES"); then, again and again, writes the first hot=N bytes of both. h on the
 * console has it print "hot N", how often so far; any other byte has it read the next warm=N bytes of
 * both once ("warm N": how often so far), and at last, when it is q, end.
 */
#include "guests/spare.h"
#include "guests/vmem.h"

static struct vmem vmem;
static struct range places[2];

static void write_at(uint64_t from, uint64_t bytes)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++)
		for (uint64_t at = places[i].start + from, end = at + bytes; at < end; at += PAGE_BYTES)
			write64(at, ~at);
}

static void read_at(uint64_t from, uint64_t bytes)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++)
		for (uint64_t at = places[i].start + from, end = at + bytes; at < end; at += PAGE_BYTES)
			CHECK_EQ(read64(at), ~at);
}

int guest_main(void)
{
	uint64_t hot = cmdline_u64("hot", 8 * MiB), warm = cmdline_u64("warm", 4 * MiB);
	uint64_t nr_hot = 0, nr_warm = 0;
	int byte = 0;

	CHECK(vmem_open(&vmem, 0));
	places[0] = spare_run(HUGE_BYTES);
	places[1] = (struct range){ vmem.addr, vmem_wait_requested(&vmem) };
	vmem_plug(&vmem, places[1].start, places[1].bytes);
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		CHECK(hot + warm <= places[i].bytes);
		for (uint64_t at = places[i].start; at < places[i].start + places[i].bytes;
		     at += PAGE_BYTES)
			write64(at, ~at);
	}
	step("full %lu", places[0].bytes + places[1].bytes);
	while (byte != 'q') {
		write_at(0, hot);
		nr_hot++;
		byte = serial_poll();
		if (byte < 0)
			continue;
		if (byte == 'h') {
			print("hot %lu\n", nr_hot);
			continue;
		}
		read_at(hot, warm);
		print("warm %lu\n", ++nr_warm);
	}
	read_at(0, hot);
	PASS();
}
