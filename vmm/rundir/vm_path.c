/* SPDX-License-Identifier: Apache-2.0 */
/* vm_path.c - names, the run directory, and who is in it. */
#include "vmm/rundir/vm_path.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/rundir/vm_socket.h"

#define SUFFIX ".sock"

static bool is_name(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > VM_NAME_MAX || !isalnum((unsigned char)*name))
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
	return true;
}

int vm_name_check(const char *what, const char *name)
{
	char shown[VM_NAME_MAX + 1];

	if (is_name(name))
		return 0;
	snprintf(shown, sizeof(shown), "%s", name);
	for (char *p = shown; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
	return fail_usage("%s '%s': use 1 to %d of A-Z a-z 0-9 . _ - and begin with a letter or a "
			  "digit", what, shown, VM_NAME_MAX);
}

static int too_long(const char *what)
{
	log_error("%s: a socket's path has at most %d bytes; set EBB_RUN_DIR to a shorter one",
		  what, VM_PATH_SIZE - 1);
	return -ENAMETOOLONG;
}

int vm_run_dir(char dir[VM_PATH_SIZE])
{
	const char *own = getenv("EBB_RUN_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	/* Of root's VMs some are started by the system, which has no such directory. */
	bool of_user = xdg && *xdg && geteuid();
	int n = own && *own ? snprintf(dir, VM_PATH_SIZE, "%s", own) :
			      snprintf(dir, VM_PATH_SIZE, "%s/ebb", of_user ? xdg : "/run");

	return n < VM_PATH_SIZE ? 0 : too_long("run directory");
}

int vm_path(char path[VM_PATH_SIZE], const char *vm)
{
	char dir[VM_PATH_SIZE];
	int r, n;

	if (strchr(vm, '/')) {
		n = snprintf(path, VM_PATH_SIZE, "%s", vm);
	} else {
		r = vm_name_check("VM name", vm);
		if (!r)
			r = vm_run_dir(dir);
		if (r)
			return r;
		n = snprintf(path, VM_PATH_SIZE, "%s/%s" SUFFIX, dir, vm);
	}
	return n < VM_PATH_SIZE ? 0 : too_long(vm);
}

int vm_beside_path(char path[VM_PATH_SIZE], const char *control, const char *ending)
{
	size_t n = strlen(control), suffix = strlen(SUFFIX);

	if (n > suffix && !strcmp(control + n - suffix, SUFFIX))
		n -= suffix;
	return snprintf(path, VM_PATH_SIZE, "%.*s.%s", (int)n, control, ending) < VM_PATH_SIZE ?
		       0 : too_long(ending);
}

/* NAME.sock -> NAME; false for any other file. */
static bool entry_name(const struct dirent *d, char name[VM_NAME_MAX + 1])
{
	size_t n = strlen(d->d_name), suffix = strlen(SUFFIX);

	if (n <= suffix || n - suffix > VM_NAME_MAX || strcmp(d->d_name + n - suffix, SUFFIX))
		return false;
	memcpy(name, d->d_name, n - suffix);
	name[n - suffix] = 0;
	return is_name(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vm_entry *)a)->name, ((const struct vm_entry *)b)->name);
}

int vm_run_dir_open(char dir[VM_PATH_SIZE], DIR **stream)
{
	int r = vm_run_dir(dir);

	*stream = r ? NULL : opendir(dir);
	if (r || *stream || errno == ENOENT)
		return r;
	return fail(-errno, "open %s", dir);
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
