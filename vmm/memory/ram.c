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

/* The mapping starts on a huge page boundary, or no huge page could ever back it. */
#define MAP_ALIGN (2 * MiB)

static void *map_aligned(int fd, uint64_t bytes)
{
	char *window = mmap(NULL, bytes + MAP_ALIGN, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	if (window == MAP_FAILED)
		return MAP_FAILED;
	start = (char *)align_up((uintptr_t)window, MAP_ALIGN);
	if (mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
		 0) == MAP_FAILED) {
		munmap(window, bytes + MAP_ALIGN);
		return MAP_FAILED;
	}
	/* What stays of the window on both sides is the guard zone against a stray access. */
	return start;
}

int ram_create(struct ram *ram, const char *name, uint64_t bytes)
{
	auto_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *host;

	assert(bytes && is_aligned(bytes, MAP_ALIGN));
	if (fd < 0)
		return fail(-errno, "memfd for %s", name);
	if (ftruncate(fd, (off_t)bytes))
		return fail(-errno, "size of %s", name);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fail(-errno, "seal %s", name);
	host = map_aligned(fd, bytes);
	if (host == MAP_FAILED)
		return fail(-errno, "map %s", name);
	/*
	 * Guest memory has no business in a core dump or in a child. Huge pages make it 10 to 70
	 * times cheaper to give and to take; they come where the host lets shared memory have them
	 * (/sys/kernel/mm/transparent_hugepage/shmem_enabled), and a kernel without them says EINVAL.
	 */
	if (madvise(host, bytes, MADV_DONTDUMP) || madvise(host, bytes, MADV_DONTFORK) ||
	    (madvise(host, bytes, MADV_HUGEPAGE) && errno != EINVAL)) {
		int r = fail(-errno, "madvise %s", name);

		munmap(host, bytes);
		return r;
	}
	*ram = (struct ram){ .fd = take_fd(&fd), .bytes = bytes, .host = host };
	return 0;
}

void ram_destroy(struct ram *ram)
{
	if (!ram->host)
		return;
	munmap(ram->host, ram->bytes);
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

int ram_resident(const struct ram *ram, uint64_t *bytes)
{
	struct stat st;

	if (fstat(ram->fd, &st))
		return fail(-errno, "fstat of guest memory");
	*bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}
