/* SPDX-License-Identifier: Apache-2.0 */
/* access_scan.c - how much of the guest's memory is used within a time. */
#include "vmm/memory/access_scan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

/* Each call that empties page tables waits for all CPUs that use them. */
#define PIECE_BYTES (16 * MiB)
#define PAGE_BYTES  (4 * KiB)

int access_scan_open(struct access_scan *t, const struct guest_mem *gm)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	assert(gm->frozen);
	if (fd < 0)
		return fail(-errno, "open /proc/self/pagemap, which tells what was touched");
	*t = (struct access_scan){ .gm = gm, .pagemap = fd };
	return 0;
}

void access_scan_close(struct access_scan *t)
{
	if (t->gm)
		close(t->pagemap);
	*t = (struct access_scan){ 0 };
}

static int forget(struct access_scan *t, struct ram *ram, uint64_t offset, uint64_t bytes)
{
	int r = ram_forget(ram, offset, bytes);

	(void)t;
	return r ? fail(r, "empty the page tables of guest memory") : 0;
}

static int count(struct access_scan *t, struct ram *ram, uint64_t offset, uint64_t bytes)
{
	int nr = ram_nr_mapped(ram, t->pagemap, offset, bytes);

	if (nr < 0)
		return fail(nr, "read /proc/self/pagemap");
	t->bytes += (uint64_t)nr * PAGE_BYTES;
	return 0;
}

static const struct gm_region *region_of(const struct access_scan *t, gpa_t at)
{
	const struct gm_region *g = t->gm->regions;

	while (!range_inside(at.v, 1, g->base.v, g->bytes))
		g++;
	return g;
}

static int sweep(struct access_scan *t, uint64_t budget_ns,
		 int (*piece)(struct access_scan *, struct ram *, uint64_t, uint64_t))
{
	uint64_t end_ns = clock_ns() + budget_ns;
	int r;

	if (!t->sweeping) {
		t->sweeping = true;
		t->at = GPA(0);
		t->bytes = 0;
	}
	do {
		gpa_t base;
		uint64_t bytes = min_u64(gm_next_run(t->gm, t->at, &base), PIECE_BYTES);
		const struct gm_region *g;

		t->sweeping = bytes;
		if (!bytes)
			return 0;
		g = region_of(t, base);
		r = piece(t, g->ram, base.v - g->base.v + g->ram_offset, bytes);
		t->at = GPA(base.v + bytes);
		t->sweeping = !r;
	} while (!r && clock_ns() < end_ns);
	return r ? r : 1;
}

int access_scan_forget(struct access_scan *t, uint64_t budget_ns)
{
	return sweep(t, budget_ns, forget);
}

int access_scan_count(struct access_scan *t, uint64_t budget_ns)
{
	return sweep(t, budget_ns, count);
}
