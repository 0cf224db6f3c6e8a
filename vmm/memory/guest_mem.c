/* SPDX-License-Identifier: Apache-2.0 */
/* guest_mem.c - the only doors to guest memory. */
#include "vmm/memory/guest_mem.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "vmm/memory/dirty_pages.h"

int gm_add(struct guest_mem *gm, gpa_t base, uint64_t bytes, struct ram *ram, uint64_t ram_offset,
	   struct blocks *blocks)
{
	assert(!gm->frozen && bytes && base.v + (bytes - 1) >= base.v);
	assert(range_inside(ram_offset, bytes, 0, ram->bytes));
	for (unsigned int i = 0; i < gm->nr_regions; i++) {
		const struct gm_region *r = &gm->regions[i];

		if (base.v <= r->base.v + (r->bytes - 1) && r->base.v <= base.v + (bytes - 1))
			return -EEXIST;
	}
	if (gm->nr_regions == GM_MAX_REGIONS)
		return -ENOSPC;
	gm->regions[gm->nr_regions++] =
		(struct gm_region){ base, bytes, ram, ram_offset, blocks };
	return 0;
}

void gm_freeze(struct guest_mem *gm) { gm->frozen = true; }

/* The region that holds all of the range, or NULL. */
static const struct gm_region *region_of(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	for (unsigned int i = 0; i < gm->nr_regions; i++) {
		const struct gm_region *r = &gm->regions[i];

		if (range_inside(at.v, bytes, r->base.v, r->bytes) && at.v - r->base.v != r->bytes)
			return r;
	}
	return NULL;
}

/* Stays in this file: the host address of a range that exists as a whole, or NULL. */
static char *host_of(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	const struct gm_region *r = region_of(gm, at, bytes);

	if (!r || (r->blocks && !blocks_bytes_plugged(r->blocks, at.v - r->base.v, bytes)))
		return NULL;
	return (char *)r->ram->host + r->ram_offset + (at.v - r->base.v);
}

void gm_will_write(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	if (gm->written)
		dirty_pages_note(gm->written, at, bytes);
}

/* The same for a range that will be written now. */
static char *host_to_write(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	char *host = host_of(gm, at, bytes);

	if (host)
		gm_will_write(gm, at, bytes);
	return host;
}

int gm_read(const struct guest_mem *gm, gpa_t at, void *dst, size_t bytes)
{
	const char *host = host_of(gm, at, bytes);

	if (!host)
		return -EFAULT;
	memcpy(dst, host, bytes);
	return 0;
}

int gm_read_cold(const struct guest_mem *gm, gpa_t at, void *dst, size_t bytes)
{
	const struct gm_region *r = region_of(gm, at, bytes);

	if (!gm_valid(gm, at, bytes))
		return -EFAULT;
	return ram_read(r->ram, r->ram_offset + (at.v - r->base.v), dst, bytes);
}

bool gm_is_zero(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	static const char zeros[16 * KiB];
	char piece[sizeof(zeros)];

	while (bytes) {
		size_t n = min_u64(bytes, sizeof(piece));

		if (gm_read_cold(gm, at, piece, n) || memcmp(piece, zeros, n))
			return false;
		at.v += n;
		bytes -= n;
	}
	return true;
}

uint64_t gm_extent(const struct guest_mem *gm, gpa_t at, uint64_t bytes, bool *held)
{
	const struct gm_region *r = region_of(gm, at, bytes);
	uint64_t offset, end;

	assert(r);
	offset = r->ram_offset + (at.v - r->base.v);
	end = ram_next_data(r->ram, offset);
	*held = end == offset;
	if (*held)
		end = ram_next_hole(r->ram, offset);
	return min_u64(end - offset, bytes);
}

/* The same as gm_next_run() within one region. */
static uint64_t run_in(const struct gm_region *r, gpa_t from, gpa_t *base)
{
	uint64_t offset = from.v > r->base.v ? from.v - r->base.v : 0;
	uint32_t first, nr;

	if (offset >= r->bytes)
		return 0;
	if (!r->blocks) {
		*base = GPA(r->base.v + offset);
		return r->bytes - offset;
	}
	nr = blocks_next_run(r->blocks, (uint32_t)(offset / r->blocks->block_bytes), BLOCK_PLUGGED,
			     &first);
	if (!nr)
		return 0;
	*base = GPA(r->base.v + max_u64(first * r->blocks->block_bytes, offset));
	return r->base.v + (first + (uint64_t)nr) * r->blocks->block_bytes - base->v;
}

uint64_t gm_next_run(const struct guest_mem *gm, gpa_t from, gpa_t *base)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < gm->nr_regions; i++) {
		gpa_t at;
		uint64_t n;

		if (bytes && gm->regions[i].base.v > base->v)
			continue;
		n = run_in(&gm->regions[i], from, &at);
		if (n && (!bytes || at.v < base->v)) {
			*base = at;
			bytes = n;
		}
	}
	return bytes;
}

int gm_write(const struct guest_mem *gm, gpa_t at, const void *src, size_t bytes)
{
	char *host = host_to_write(gm, at, bytes);

	if (!host)
		return -EFAULT;
	memcpy(host, src, bytes);
	return 0;
}

int gm_zero(const struct guest_mem *gm, gpa_t at, size_t bytes)
{
	char *host = host_to_write(gm, at, bytes);

	if (!host)
		return -EFAULT;
	memset(host, 0, bytes);
	return 0;
}

int gm_load_le16(const struct guest_mem *gm, gpa_t at, uint16_t *value)
{
	const void *host = is_aligned(at.v, 2) ? host_of(gm, at, 2) : NULL;

	if (!host)
		return -EFAULT;
	/* Pairs with the driver's barrier before it published the index. */
	*value = le16toh(__atomic_load_n((const uint16_t *)host, __ATOMIC_ACQUIRE));
	return 0;
}

int gm_store_le16(const struct guest_mem *gm, gpa_t at, uint16_t value)
{
	void *host = is_aligned(at.v, 2) ? host_to_write(gm, at, 2) : NULL;

	if (!host)
		return -EFAULT;
	/* Pairs with the driver's barrier after it read the index. */
	__atomic_store_n((uint16_t *)host, htole16(value), __ATOMIC_RELEASE);
	return 0;
}

bool gm_valid(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	return host_of(gm, at, bytes) != NULL;
}

int gm_pin(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	const struct gm_region *r = region_of(gm, at, bytes);

	if (!gm_valid(gm, at, bytes))
		return -EFAULT;
	if (r->blocks)
		blocks_pin(r->blocks, at.v - r->base.v, bytes);
	return 0;
}

void gm_unpin(const struct guest_mem *gm, gpa_t at, uint64_t bytes)
{
	const struct gm_region *r = region_of(gm, at, bytes);

	assert(r);
	if (r->blocks)
		blocks_unpin(r->blocks, at.v - r->base.v, bytes);
}

/*
 * Huge pages for those 2 MiB of the range that will be filled from end to end: one first touch
 * instead of 512, by us and again by the guest, and no more memory than without. Where the kernel
 * cannot, small pages come as ever.
 */
static void back_with_huge_pages(const struct gm_region *r, gpa_t at, uint64_t bytes)
{
	uint64_t offset = r->ram_offset + (at.v - r->base.v);
	uint64_t start = align_up(offset, RAM_HUGE_BYTES);
	uint64_t end = align_down(offset + bytes, RAM_HUGE_BYTES);

	if (start < end)
		(void)ram_collapse(r->ram, start, end - start);
}

typedef ssize_t (*transfer_fn)(int fd, const struct iovec *iov, int nr, off_t offset, int flags);

/* All of it, however many calls that takes. */
static int transfer(transfer_fn fn, int fd, struct iovec *iov, unsigned int nr, uint64_t offset,
		    int flags)
{
	while (nr) {
		ssize_t n = fn(fd, iov, (int)nr, (off_t)offset, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		offset += (uint64_t)n;
		for (; nr && (size_t)n >= iov->iov_len; iov++, nr--)
			n -= (ssize_t)iov->iov_len;
		if (nr) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int transfer_places(transfer_fn fn, const struct guest_mem *gm,
			   const struct gm_place *places, unsigned int nr, int fd, uint64_t offset,
			   int flags)
{
	struct iovec iov[GM_MAX_PLACES];

	assert(nr <= GM_MAX_PLACES);
	for (unsigned int i = 0; i < nr; i++) {
		char *host = host_of(gm, places[i].at, places[i].bytes);

		if (!host)
			return -EFAULT;
		iov[i] = (struct iovec){ host, places[i].bytes };
	}
	return transfer(fn, fd, iov, nr, offset, flags);
}

int gm_preadv(const struct guest_mem *gm, const struct gm_place *places, unsigned int nr, int fd,
	      uint64_t offset, int flags)
{
	return transfer_places(preadv2, gm, places, nr, fd, offset, flags);
}

int gm_pwritev(const struct guest_mem *gm, const struct gm_place *places, unsigned int nr, int fd,
	       uint64_t offset, int flags)
{
	return transfer_places(pwritev2, gm, places, nr, fd, offset, flags);
}

int gm_read_file(const struct guest_mem *gm, gpa_t at, int fd, uint64_t file_offset, uint64_t bytes)
{
	char *host = host_to_write(gm, at, bytes);

	if (!host)
		return -EFAULT;
	back_with_huge_pages(region_of(gm, at, bytes), at, bytes);
	return transfer(preadv2, fd, &(struct iovec){ host, bytes }, bytes ? 1 : 0, file_offset, 0);
}
