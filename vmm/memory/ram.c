/* SPDX-License-Identifier: Apache-2.0 */
/* ram.c - one memfd-backed region of guest RAM. */
#include "vmm/memory/ram.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm/base/log.h"
#include "vmm/base/uapi_compat.h"

/* The mapping starts on a huge page boundary, or no huge page could ever back it. */
#define MAP_ALIGN RAM_HUGE_BYTES
#define SMALL_PAGE_BYTES (4 * KiB)

static char *at_offset(const struct ram *ram, uint64_t offset, uint64_t bytes)
{
	assert(range_inside(offset, bytes, 0, ram->bytes));
	return (char *)ram->host + offset;
}

/*
 * Guest memory has no business in a core dump or in a child. Huge pages make it 10 to 70 times
 * cheaper to give and to take; a kernel without them says EINVAL.
 */
static int advise(void *host, uint64_t bytes, bool allow_huge)
{
	if (madvise(host, bytes, MADV_DONTDUMP) || madvise(host, bytes, MADV_DONTFORK) ||
	    (madvise(host, bytes, allow_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) &&
	     errno != EINVAL))
		return -errno;
	return 0;
}

static uint64_t window_bytes(uint64_t bytes) { return bytes + MAP_ALIGN; }

/* What stays of the window on both sides is the guard zone against a stray access. */
static void *map_aligned(void *window, int fd, uint64_t bytes)
{
	return mmap((void *)align_up((uintptr_t)window, MAP_ALIGN), bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
}

int ram_create(struct ram *ram, const char *name, uint64_t bytes)
{
	auto_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *window, *host;
	int r = 0;

	assert(bytes && is_aligned(bytes, MAP_ALIGN));
	if (fd < 0)
		return fail(-errno, "memfd for %s", name);
	if (ftruncate(fd, (off_t)bytes))
		return fail(-errno, "size of %s", name);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fail(-errno, "seal %s", name);
	window = mmap(NULL, window_bytes(bytes), PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (window == MAP_FAILED)
		return fail(-errno, "address space for %s", name);
	host = map_aligned(window, fd, bytes);
	if (host == MAP_FAILED)
		r = fail(-errno, "map %s", name);
	else if ((r = advise(host, bytes, true)))
		r = fail(r, "madvise %s", name);
	if (r) {
		munmap(window, window_bytes(bytes));
		return r;
	}
	*ram = (struct ram){ .fd = take_fd(&fd), .bytes = bytes, .host = host, .window = window };
	return 0;
}

void ram_destroy(struct ram *ram)
{
	if (!ram->host)
		return;
	munmap(ram->window, window_bytes(ram->bytes));
	close(ram->fd);
	*ram = (struct ram){ .fd = -1 };
}

int ram_discard(struct ram *ram, uint64_t offset, uint64_t bytes)
{
	assert(range_inside(offset, bytes, 0, ram->bytes));
	if (!bytes)
		return 0;
	if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)bytes)) {
		int r = -errno;

		/* A guest can ask again and again: not more lines than the limit. */
		log_guest("fallocate(PUNCH_HOLE) of %llu bytes at %#llx: %s",
			  (unsigned long long)bytes, (unsigned long long)offset, strerror(-r));
		return r;
	}
	return 0;
}

int ram_allow_huge(struct ram *ram, uint64_t offset, uint64_t bytes, bool allow)
{
	void *host = at_offset(ram, offset, bytes);

	allow = allow && !ram->no_huge;
	if (madvise(host, bytes, allow ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) && errno != EINVAL)
		return -errno;
	return 0;
}

int ram_forbid_huge(struct ram *ram)
{
	ram->no_huge = true;
	return ram_allow_huge(ram, 0, ram->bytes, false);
}

/*
 * A hole alone does not collapse, and what is not mapped here does so only after Linux 6.1. The
 * page comes by fallocate(), which tells when there is none where an access would end the process
 * (and would wait for an answer where userfaultfd watches).
 */
static int touch(struct ram *ram, uint64_t offset)
{
	if (fallocate(ram->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, SMALL_PAGE_BYTES))
		return -errno;
	(void)*(volatile char *)at_offset(ram, offset, 1);
	return 0;
}

/* All in one call: it waits for every CPU before it begins. */
static int collapse(struct ram *ram, uint64_t offset, uint64_t bytes)
{
	return madvise(at_offset(ram, offset, bytes), bytes, MADV_COLLAPSE) ? -errno : 0;
}

int ram_collapse(struct ram *ram, uint64_t offset, uint64_t bytes)
{
	int r = 0;

	assert(is_aligned(offset | bytes, RAM_HUGE_BYTES));
	if (ram->no_huge)
		return -EINVAL;
	for (uint64_t at = offset; at < offset + bytes && !r; at += RAM_HUGE_BYTES)
		r = touch(ram, at);
	if (r)
		return r;
	r = collapse(ram, offset, bytes);
	/*
	 * Since Linux 6.4 a unit with holes does not collapse while userfaultfd watches its mapping,
	 * or, by an off-by-one there, what lies right behind it: that one is filled first.
	 */
	if (r == -EBUSY && !fallocate(ram->fd, FALLOC_FL_KEEP_SIZE,
				      (off_t)(offset + bytes - RAM_HUGE_BYTES), RAM_HUGE_BYTES))
		r = collapse(ram, offset, bytes);
	return r;
}

int ram_nr_present(const struct ram *ram, uint64_t offset)
{
	unsigned char pages[RAM_HUGE_PAGES];
	int nr = 0;

	if (mincore(at_offset(ram, offset, RAM_HUGE_BYTES), RAM_HUGE_BYTES, pages))
		return -errno;
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		nr += pages[i] & 1;
	return nr;
}

int ram_forget(struct ram *ram, uint64_t offset, uint64_t bytes)
{
	assert(is_aligned(offset | bytes, RAM_HUGE_BYTES));
	return madvise(at_offset(ram, offset, bytes), bytes, MADV_DONTNEED) ? -errno : 0;
}

int ram_nr_mapped(const struct ram *ram, int pagemap, uint64_t offset, uint64_t bytes)
{
	uintptr_t page = (uintptr_t)at_offset(ram, offset, bytes) / SMALL_PAGE_BYTES;
	uint64_t left = bytes / SMALL_PAGE_BYTES, entries[RAM_HUGE_PAGES];
	int nr = 0;

	while (left) {
		size_t want = min_u64(left, RAM_HUGE_PAGES) * sizeof(*entries);
		ssize_t got = pread(pagemap, entries, want, (off_t)(page * sizeof(*entries)));

		if (got != (ssize_t)want)
			return got < 0 ? -errno : -EIO;
		for (size_t i = 0; i < want / sizeof(*entries); i++)
			nr += (int)(entries[i] >> 63); /* present (admin-guide/mm/pagemap.rst) */
		left -= want / sizeof(*entries);
		page += want / sizeof(*entries);
	}
	return nr;
}

int ram_read(const struct ram *ram, uint64_t offset, void *dst, size_t bytes)
{
	size_t done = 0;

	assert(range_inside(offset, bytes, 0, ram->bytes));
	while (done < bytes) {
		ssize_t n = pread(ram->fd, (char *)dst + done, bytes - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

uint64_t ram_next_data(const struct ram *ram, uint64_t offset)
{
	off_t data = lseek(ram->fd, (off_t)offset, SEEK_DATA);

	return data < 0 ? ram->bytes : (uint64_t)data;
}

uint64_t ram_next_hole(const struct ram *ram, uint64_t offset)
{
	off_t hole = lseek(ram->fd, (off_t)offset, SEEK_HOLE);

	return hole < 0 ? ram->bytes : (uint64_t)hole;
}

int ram_remap(struct ram *ram, uint64_t offset, uint64_t bytes, bool allow_huge)
{
	void *host = at_offset(ram, offset, bytes);

	assert(is_aligned(offset | bytes, MAP_ALIGN));
	if (mmap(host, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
		 ram->fd, (off_t)offset) == MAP_FAILED)
		return -errno;
	return advise(host, bytes, allow_huge && !ram->no_huge);
}

int ram_resident(const struct ram *ram, uint64_t *bytes)
{
	struct stat st;

	if (fstat(ram->fd, &st))
		return fail(-errno, "fstat of guest memory");
	*bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

int ram_range_resident(const struct ram *ram, uint64_t offset, uint64_t bytes, uint64_t *resident)
{
	off_t at = (off_t)offset, end = (off_t)(offset + bytes);

	assert(range_inside(offset, bytes, 0, ram->bytes));
	*resident = 0;
	while (at < end) {
		off_t data = lseek(ram->fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0; /* nothing up to the end of the file */
		if (data < 0)
			return fail(-errno, "SEEK_DATA of guest memory");
		if (data >= end)
			return 0;
		hole = lseek(ram->fd, data, SEEK_HOLE);
		if (hole < 0)
			return fail(-errno, "SEEK_HOLE of guest memory");
		*resident += (uint64_t)((hole < end ? hole : end) - data);
		at = hole;
	}
	return 0;
}
