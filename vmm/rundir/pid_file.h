/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pid_file.h - a file with the process's number, locked (flock) as long as the process lives: one
 * that a killed process has left is taken over.
 */
#ifndef EBB_RUNDIR_PID_FILE_H
#define EBB_RUNDIR_PID_FILE_H

#include "vmm/base/types.h"

struct pid_file {
	const char *path; /* NULL: none */
	int fd;
};

/*
 * 0, or -errno, logged, and nothing has changed: -EBUSY: a live process has it; -EEXIST: something
 * there is no such file (not regular, or larger than a number). PATH must stay.
 */
int must_check pid_file_write(struct pid_file *file, const char *path);
/* Accepts a zeroed struct. */
void pid_file_remove(struct pid_file *file);

#endif
