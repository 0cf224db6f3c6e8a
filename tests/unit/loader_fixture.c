/* SPDX-License-Identifier: Apache-2.0 */
/* loader_fixture.c - boot memory without KVM, kernel files in memory, and what is logged. */
#include "tests/unit/loader_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/platform.h"

static char logged[4096];

void fixture_init(struct loader_fixture *f, uint64_t boot_bytes)
{
	uint64_t low = min_u64(boot_bytes, PLATFORM_LOW_END);

	memset(f, 0, sizeof(*f));
	cr_assert_eq(ram_create(&f->ram, "boot", boot_bytes), 0);
	cr_assert_eq(gm_add(&f->gm, GPA(0), low, &f->ram, 0, NULL), 0);
	if (boot_bytes > low)
		cr_assert_eq(gm_add(&f->gm, GPA(PLATFORM_HIGH_BASE), boot_bytes - low, &f->ram, low,
				    NULL),
			     0);
	gm_freeze(&f->gm);
	f->spec = (struct boot_spec){ .kernel_fd = -1,
				      .kernel_path = "vmlinuz",
				      .initrd_fd = -1,
				      .initrd_path = "initrd.img",
				      .cmdline = "",
				      .boot_bytes = boot_bytes,
				      .nr_cpus = 1 };
}

void fixture_destroy(struct loader_fixture *f)
{
	if (f->spec.kernel_fd >= 0)
		close(f->spec.kernel_fd);
	if (f->spec.initrd_fd >= 0)
		close(f->spec.initrd_fd);
	ram_destroy(&f->ram);
}

int fixture_load(struct loader_fixture *f)
{
	auto_close int capture = memfd_create("log", MFD_CLOEXEC);
	auto_close int saved = dup(STDERR_FILENO);
	ssize_t n;
	int r;

	cr_assert(capture >= 0 && saved >= 0);
	dup2(capture, STDERR_FILENO);
	r = load_kernel(&f->gm, &f->spec, &f->entry);
	dup2(saved, STDERR_FILENO);
	n = pread(capture, logged, sizeof(logged) - 1, 0);
	cr_assert_geq(n, 0);
	logged[n] = '\0';
	return r;
}

const char *fixture_log(void) { return logged; }

bool fixture_logged(const char *text)
{
	const char *newline = strchr(logged, '\n');

	return newline && !newline[1] && strstr(logged, text);
}

int memory_file(const void *bytes, size_t nr)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, nr, 0), (ssize_t)nr);
	return fd;
}

void guest_read(const struct loader_fixture *f, uint64_t at, void *dst, size_t bytes)
{
	cr_assert_eq(gm_read(&f->gm, GPA(at), dst, bytes), 0, "guest memory at %#llx",
		     (unsigned long long)at);
}

uint64_t guest_u64(const struct loader_fixture *f, uint64_t at)
{
	le64 value;

	guest_read(f, at, &value, sizeof(value));
	return le64_get(value);
}

uint32_t guest_u32(const struct loader_fixture *f, uint64_t at)
{
	le32 value;

	guest_read(f, at, &value, sizeof(value));
	return le32_get(value);
}

int stock_kernel(const char *flavour, const char *thing)
{
	char command[256], path[1024] = "";
	FILE *out;
	int fd;

	/* Never fetches: a unit test needs no network. */
	snprintf(command, sizeof(command),
		 "[ -e \"${EBB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ebb}/kernels/%s\" ] && "
		 "tests/rig/kernels path %s %s",
		 flavour, flavour, thing);
	out = popen(command, "r");
	cr_assert(out);
	if (fgets(path, sizeof(path), out))
		path[strcspn(path, "\n")] = '\0';
	pclose(out);
	fd = *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		cr_skip("no stock %s kernel in the cache (tests/rig/kernels path %s %s fetches it)",
			flavour, flavour, thing);
	return fd;
}
