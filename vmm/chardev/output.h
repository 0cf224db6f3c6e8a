/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - writing to a file that we share with others, our standard output above all, without
 * ever waiting for it and without making it non-blocking for the others.
 */
#ifndef EBB_CHARDEV_OUTPUT_H
#define EBB_CHARDEV_OUTPUT_H

#include <sys/types.h>

#include "vmm/base/types.h"

struct output {
	int fd;		/* to be polled for room */
	bool own;	/* a description of our own */
	bool is_socket; /* which can't be opened again */
};

/*
 * For FD, which stays the caller's and open. A regular file, and one that can't be opened again, is
 * written as it is.
 */
struct output output_open(int fd);
/* Bytes written, or -errno: -EAGAIN when there is no room now. */
ssize_t must_check output_write(const struct output *output, const void *bytes, size_t nr);
void output_close(struct output *output);

#endif
