/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - a kernel or initrd file. */
#include "loader/image.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "vmm/base/log.h"

int image_open(struct image *image, int fd, const char *what, const char *path)
{
	struct stat st;

	if (fstat(fd, &st))
		return fail(-errno, "%s %s", what, path);
	if (!S_ISREG(st.st_mode))
		return fail_usage("%s %s is not a regular file", what, path);
	if (!st.st_size)
		return fail_usage("%s %s is empty", what, path);
	*image = (struct image){ fd, what, path, (uint64_t)st.st_size };
	return 0;
}

int image_truncated(const struct image *image, uint64_t wanted_bytes)
{
	return fail_usage("%s %s is truncated: it has %" PRIu64 " bytes, its headers want %" PRIu64
			  "; copy or build it again",
			  image->what, image->path, image->bytes, wanted_bytes);
}

int image_read(const struct image *image, uint64_t offset, void *dst, size_t bytes)
{
	size_t done = 0;

	if (!range_inside(offset, bytes, 0, image->bytes))
		return image_truncated(image, offset > UINT64_MAX - bytes ? UINT64_MAX :
									    offset + bytes);
	while (done < bytes) {
		ssize_t n = pread(image->fd, (char *)dst + done, bytes - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(-errno, "read %s %s", image->what, image->path);
		if (!n)
			return fail(-ENODATA, "read %s %s", image->what, image->path);
		done += (size_t)n;
	}
	return 0;
}

int image_load(const struct image *image, uint64_t offset, uint64_t bytes,
	       const struct guest_mem *gm, gpa_t at)
{
	int r = bytes ? gm_read_file(gm, at, image->fd, offset, bytes) : 0;

	return r ? fail(r, "load %s %s at %#" PRIx64, image->what, image->path, at.v) : 0;
}
