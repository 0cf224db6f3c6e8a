/* SPDX-License-Identifier: Apache-2.0 */
/* image.h - a kernel or initrd file. Errors are logged with its name and path. */
#ifndef EBB_LOADER_IMAGE_H
#define EBB_LOADER_IMAGE_H

#include "vmm/memory/guest_mem.h"

struct image {
	int fd; /* the caller's */
	const char *what, *path;
	uint64_t bytes;
};

/* Refuses what is not a regular file or is empty. */
int must_check image_open(struct image *image, int fd, const char *what, const char *path);
/* All BYTES at OFFSET, or an error: a range that ends after the file is a truncated file. */
int must_check image_read(const struct image *image, uint64_t offset, void *dst, size_t bytes);
int must_check image_load(const struct image *image, uint64_t offset, uint64_t bytes,
			  const struct guest_mem *gm, gpa_t at);
/* Logs that the file ends before WANTED bytes; -EINVAL. */
int image_truncated(const struct image *image, uint64_t wanted_bytes);

#endif
