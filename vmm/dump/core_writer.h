/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_writer.h - writes a core file (core_file.h) piece by piece, never waiting for its reader.
 *
 * What is in the file is what was there when its head was made. A block that is unplugged before
 * its turn comes reads as zeros. Memory that the host does not hold is a hole in a regular file,
 * zeros elsewhere; either way none of it is brought in. Thread: the loop.
 */
#ifndef EBB_DUMP_CORE_WRITER_H
#define EBB_DUMP_CORE_WRITER_H

#include "vmm/dump/core_file.h"

struct core_writer {
	struct core_file core;
	uint64_t done_bytes;
	int fd;
	/* The rest is its own. */
	bool is_sparse;	   /* holes can be left out */
	size_t run;	   /* the run that is being written, */
	uint64_t run_done; /* and how much of it is */
	uint64_t held_end; /* so far into the run the host holds it, as far as is known */
	char *piece;
};

/*
 * Takes CORE on success; FD stays the caller's. It becomes non-blocking, and a regular file loses
 * what it has behind its position. -errno, logged.
 */
int must_check core_writer_init(struct core_writer *w, struct core_file *core, int fd);
/* Accepts a half-made one. */
void core_writer_free(struct core_writer *w);
/*
 * Writes a piece: 1 when more is to come, 0 when the file is complete; -EAGAIN: FD takes no more for
 * now; else -errno, not logged, and the file stays as far as it is.
 */
int must_check core_write_some(struct core_writer *w, const struct guest_mem *gm);

#endif
