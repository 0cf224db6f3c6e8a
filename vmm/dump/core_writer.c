/* SPDX-License-Identifier: Apache-2.0 */
/* core_writer.c - the head, then the runs of memory, in pieces. */
#include "vmm/dump/core_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/log.h"

/* Pieces end at multiples of this, so that none spans two blocks, one of which may have gone. */
#define PIECE_BYTES (256 * KiB)

int core_writer_init(struct core_writer *w, struct core_file *core, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;
	off_t at;

	*w = (struct core_writer){ .core = *core, .fd = fd };
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fstat(fd, &st))
		return fail(-errno, "core file");
	w->piece = malloc(PIECE_BYTES);
	if (!w->piece)
		return fail(-ENOMEM, "core file");
	/* Where nothing is written nothing old may show. */
	at = S_ISREG(st.st_mode) && !(flags & O_APPEND) ? lseek(fd, 0, SEEK_CUR) : -1;
	w->is_sparse = at >= 0 && !ftruncate(fd, at);
	*core = (struct core_file){ 0 };
	return 0;
}

void core_writer_free(struct core_writer *w)
{
	free(w->piece);
	core_file_free(&w->core);
	w->piece = NULL;
}

static ssize_t put(struct core_writer *w, const void *p, size_t bytes)
{
	ssize_t n;

	do
		n = write(w->fd, p, bytes);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? n : -EIO;
}

static ssize_t put_zeros(struct core_writer *w, uint64_t bytes)
{
	if (w->is_sparse)
		return lseek(w->fd, (off_t)bytes, SEEK_CUR) < 0 ? -errno : (ssize_t)bytes;
	bytes = min_u64(bytes, PIECE_BYTES);
	memset(w->piece, 0, bytes);
	return put(w, w->piece, bytes);
}

static ssize_t put_memory(struct core_writer *w, const struct guest_mem *gm)
{
	const struct core_run *run = &w->core.runs[w->run];
	gpa_t at = GPA(run->base.v + w->run_done);
	uint64_t bytes;
	bool held;
	int r;

	/* Once for each extent: it takes the kernel a look at all of its pages. */
	if (w->run_done >= w->held_end) {
		bytes = gm_extent(gm, at, run->bytes - w->run_done, &held);
		if (!held)
			return put_zeros(w, bytes);
		w->held_end = w->run_done + bytes;
	}
	bytes = min_u64(w->held_end - w->run_done, PIECE_BYTES - at.v % PIECE_BYTES);
	r = gm_read_cold(gm, at, w->piece, bytes);
	if (r == -EFAULT)
		return put_zeros(w, bytes);
	return r ? r : put(w, w->piece, bytes);
}

/* A hole at the end is none before the file has its size. */
static int conclude(struct core_writer *w)
{
	off_t end = w->is_sparse ? lseek(w->fd, 0, SEEK_CUR) : 0;

	return end < 0 || (w->is_sparse && ftruncate(w->fd, end)) ? -errno : 0;
}

int core_write_some(struct core_writer *w, const struct guest_mem *gm)
{
	ssize_t n;

	if (w->done_bytes == w->core.bytes)
		return conclude(w);
	if (w->done_bytes < w->core.head_bytes) {
		n = put(w, (const char *)w->core.head + w->done_bytes,
			min_u64(w->core.head_bytes - w->done_bytes, PIECE_BYTES));
	} else {
		n = put_memory(w, gm);
		w->run_done += n > 0 ? (uint64_t)n : 0;
		if (w->run_done == w->core.runs[w->run].bytes) {
			w->run++;
			w->run_done = w->held_end = 0;
		}
	}
	if (n < 0)
		return (int)n;
	w->done_bytes += (uint64_t)n;
	return 1;
}
