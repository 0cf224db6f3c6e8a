/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tides.c - takes and gives all it can, rounds=N times (default 2): plugs what is requested, fills
 * that and its spare boot memory with a pattern of seed=N ("step full BYTES"), finds it again, puts
 * the spare pages into the balloon and unplugs all ("step empty BYTES", the spare bytes in both). With
 * wait=1 the host looks at each step.
 */
#include "guests/pattern.h"
#include "guests/spare.h"
#include "guests/vballoon.h"
#include "guests/vmem.h"

#define MAX_PAGES (1u << 16)

static struct vballoon balloon;
static struct vmem vmem;
static uint32_t pages[MAX_PAGES];

/* All of the pages, in requests of the usual length. */
static void move(uint32_t nr, void (*request)(struct vballoon *balloon, const uint32_t *pfns,
					      unsigned int nr))
{
	for (uint32_t i = 0; i < nr; i += VBALLOON_REQUEST_PAGES)
		request(&balloon, &pages[i],
			nr - i < VBALLOON_REQUEST_PAGES ? nr - i : VBALLOON_REQUEST_PAGES);
}

int guest_main(void)
{
	uint64_t rounds = cmdline_u64("rounds", 2), seed = cmdline_u64("seed", 1), bytes;
	uint32_t nr = spare_pages(pages, MAX_PAGES);

	CHECK(vmem_open(&vmem, 0));
	vballoon_open(&balloon, VBALLOON_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST), 0);
	bytes = vmem_wait_requested(&vmem);
	for (uint64_t round = 1; round <= rounds; round++) {
		vmem_plug(&vmem, vmem.addr, bytes);
		pattern_check_zero(vmem.addr, bytes);
		pattern_write(vmem.addr, bytes, seed + round);
		for (uint32_t i = 0; i < nr; i++)
			pattern_write(pages[i] * PAGE_BYTES, PAGE_BYTES, seed + round);
		step("full %lu", nr * PAGE_BYTES);
		pattern_check(vmem.addr, bytes, seed + round);
		for (uint32_t i = 0; i < nr; i++)
			pattern_check(pages[i] * PAGE_BYTES, PAGE_BYTES, seed + round);
		move(nr, vballoon_inflate);
		vballoon_set_actual(&balloon, nr);
		vmem_unplug_all(&vmem);
		step("empty %lu", nr * PAGE_BYTES);
		move(nr, vballoon_deflate);
		vballoon_set_actual(&balloon, 0);
	}
	PASS();
}
