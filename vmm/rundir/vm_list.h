/* SPDX-License-Identifier: Apache-2.0 */
/* vm_list.h - who is in the run directory. */
#ifndef EBB_RUNDIR_VM_LIST_H
#define EBB_RUNDIR_VM_LIST_H

#include "vmm/rundir/vm_path.h"

struct vm_entry {
	char name[VM_NAME_MAX + 1];
	bool is_live; /* false: the socket was left by a VM that died */
};
/* The VMs of the run directory, sorted by name; an array to free(). No directory: none. */
int must_check vm_list(struct vm_entry **out, size_t *nr);

#endif
