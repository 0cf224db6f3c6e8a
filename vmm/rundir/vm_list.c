/* SPDX-License-Identifier: Apache-2.0 */
/* vm_list.c - the sockets of the run directory, and whether anybody serves them. */
#include "vmm/rundir/vm_list.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/rundir/vm_socket.h"

/* NAME.sock -> NAME; false for any other file. */
static bool entry_name(const struct dirent *d, char name[VM_NAME_MAX + 1])
{
	size_t n = strlen(d->d_name), suffix = strlen(VM_SUFFIX);

	if (n <= suffix || n - suffix > VM_NAME_MAX || strcmp(d->d_name + n - suffix, VM_SUFFIX))
		return false;
	memcpy(name, d->d_name, n - suffix);
	name[n - suffix] = 0;
	return vm_is_name(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vm_entry *)a)->name, ((const struct vm_entry *)b)->name);
}

int vm_list(struct vm_entry **out, size_t *nr)
{
	char dir[VM_PATH_SIZE], path[VM_PATH_SIZE];
	struct vm_entry *list = NULL;
	struct dirent *d;
	DIR *stream;
	int r = vm_run_dir_open(dir, &stream);

	*out = NULL;
	*nr = 0;
	if (!stream)
		return r;
	while ((d = readdir(stream))) {
		struct vm_entry entry = { 0 }, *grown;

		if (!entry_name(d, entry.name) || vm_path(path, entry.name))
			continue;
		entry.is_live = vm_socket_is_live(path);
		grown = reallocarray(list, *nr + 1, sizeof(*list));
		if (!grown) {
			free(list);
			closedir(stream);
			return fail(-ENOMEM, "list of VMs");
		}
		list = grown;
		list[(*nr)++] = entry;
	}
	closedir(stream);
	if (*nr)
		qsort(list, *nr, sizeof(*list), by_name);
	*out = list;
	return 0;
}
