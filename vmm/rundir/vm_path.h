/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_path.h - where the control socket of a VM lies, by the VM's name.
 * ${EBB_RUN_DIR:-${XDG_RUNTIME_DIR:-/run}/ebb}/NAME.sock; for root, whatever XDG_RUNTIME_DIR says,
 * /run/ebb.
 */
#ifndef EBB_RUNDIR_VM_PATH_H
#define EBB_RUNDIR_VM_PATH_H

#include <dirent.h>

#include "vmm/base/types.h"

#define VM_NAME_MAX 64
#define VM_PATH_SIZE 108 /* sun_path, with its NUL */
#define VM_SUFFIX ".sock"

/* 1 to VM_NAME_MAX of A-Z a-z 0-9 . _ -, the first a letter or a digit. */
bool vm_is_name(const char *name);
/* 0, or -EINVAL (logged; WHAT it is the name of) when it is none. */
int must_check vm_name_check(const char *what, const char *name);
/* -ENAMETOOLONG (logged) when no socket in it could be named. */
int must_check vm_run_dir(char dir[VM_PATH_SIZE]);
/* The same, opened for readdir(); *STREAM is NULL when it is not there. 0 or -errno, logged. */
int must_check vm_run_dir_open(char dir[VM_PATH_SIZE], DIR **stream);
/*
 * The socket of VM: a name, or a path if it holds a '/'. -EINVAL or -ENAMETOOLONG, logged.
 * Nothing need exist there.
 */
int must_check vm_path(char path[VM_PATH_SIZE], const char *vm);

/*
 * Where another socket of the VM with the control socket CONTROL is: with ENDING "console"
 * NAME.console for NAME.sock, else CONTROL.console. -ENAMETOOLONG, logged.
 */
int must_check vm_beside_path(char path[VM_PATH_SIZE], const char *control, const char *ending);

#endif
