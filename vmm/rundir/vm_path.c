/* SPDX-License-Identifier: Apache-2.0 */
/* vm_path.c - names, and where the run directory and what is in it lie. */
#include "vmm/rundir/vm_path.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"

bool vm_is_name(const char *name)
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

	if (vm_is_name(name))
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
		n = snprintf(path, VM_PATH_SIZE, "%s/%s" VM_SUFFIX, dir, vm);
	}
	return n < VM_PATH_SIZE ? 0 : too_long(vm);
}

int vm_beside_path(char path[VM_PATH_SIZE], const char *control, const char *ending)
{
	size_t n = strlen(control), suffix = strlen(VM_SUFFIX);

	if (n > suffix && !strcmp(control + n - suffix, VM_SUFFIX))
		n -= suffix;
	return snprintf(path, VM_PATH_SIZE, "%.*s.%s", (int)n, control, ending) < VM_PATH_SIZE ?
		       0 : too_long(ending);
}

int vm_run_dir_open(char dir[VM_PATH_SIZE], DIR **stream)
{
	int r = vm_run_dir(dir);

	*stream = r ? NULL : opendir(dir);
	if (r || *stream || errno == ENOENT)
		return r;
	return fail(-errno, "open %s", dir);
}
