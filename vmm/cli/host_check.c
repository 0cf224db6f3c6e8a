/* SPDX-License-Identifier: Apache-2.0 */
/* host_check.c - what Ebb needs of a host, tried out with the code that `ebb run` uses. */
#include "vmm/cli/host_check.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/cli/kernel_log.h"
#include "vmm/kvm/kvm.h"
#include "vmm/memory/ram.h"
#include "vmm/memory/uffd.h"
#include "vmm/rundir/vm_path.h"

#define MAP_COUNT_USUAL 65530
#define NR_FILES_MIN 256 /* eventfds of 16 devices, 64 control sessions, vCPUs */
#define THP "/sys/kernel/mm/transparent_hugepage/"

/* --- words ------------------------------------------------------------------------------------ */

static void found(struct finding *f, enum finding_grade grade, const char *fmt, ...)
	printf_like(3, 4);
static void found(struct finding *f, enum finding_grade grade, const char *fmt, ...)
{
	va_list args;

	f->grade = grade;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

static void fix(struct finding *f, const char *fmt, ...) printf_like(2, 3);
static void fix(struct finding *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->fix, sizeof(f->fix), fmt, args);
	va_end(args);
}

/* What the code under trial logs is what was found. */
static void listen_to(struct finding *f) { log_capture(f->text, sizeof(f->text)); }
static void listen_no_more(void) { log_capture(NULL, 0); }

/* The first line of a file; "" when there is none. */
static const char *line_of(const char *path, char line[256])
{
	FILE *file = fopen(path, "re");

	*line = 0;
	if (file && fgets(line, 256, file))
		line[strcspn(line, "\n")] = 0;
	if (file)
		fclose(file);
	return line;
}

static const char *user_name(char text[32])
{
	struct passwd *user = getpwuid(geteuid());

	snprintf(text, 32, "%s", user ? user->pw_name : "");
	if (!user)
		snprintf(text, 32, "%u", (unsigned int)geteuid());
	return text;
}

/* Gives this user the right to open DEVICE; by its group, if that is not root's. */
static void fix_permission(struct finding *f, const char *device)
{
	struct stat st;
	struct group *group = stat(device, &st) ? NULL : getgrgid(st.st_gid);
	char user[32];

	if (group && st.st_gid && (st.st_mode & 060) == 060)
		fix(f, "adduser %s %s, then log in again", user_name(user), group->gr_name);
	else
		fix(f, "setfacl -m u:%s:rw %s", user_name(user), device);
}

/* --- checks ----------------------------------------------------------------------------------- */

static void check_kernel(struct finding *f)
{
	struct utsname host;

	uname(&host);
	found(f, FINDING_OK, "%s %s, %s", host.sysname, host.release, host.machine);
}

/* The module for this processor; NULL: the processor shows no virtualisation. */
static const char *kvm_module(void)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	const char *module = NULL;
	auto_free char *line = NULL;
	size_t size = 0;

	while (file && !module && getline(&line, &size, file) > 0) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		module = strstr(line, " vmx") ? "kvm_intel" : strstr(line, " svm") ? "kvm_amd" : NULL;
	}
	if (file)
		fclose(file);
	return module;
}

/* Why there is no /dev/kvm, in the words of the modules that did not come up. */
static void add_words_of_kvm(struct finding *f)
{
	static const char *const modules[] = { "kvm: ", "kvm_intel: ", "kvm_amd: ", "kvm-pvm: ",
					       "kvm_pvm: ", NULL };
	char line[KERNEL_LOG_LINE];
	size_t used = strlen(f->text);

	if (kernel_log_last(modules, line))
		snprintf(f->text + used, sizeof(f->text) - used, "; the kernel says: %s", line);
}

static void check_kvm(struct finding *f)
{
	struct kvm kvm = { .fd = -1 };
	struct vm vm = { .fd = -1 };
	int r;

	listen_to(f);
	r = kvm_open(&kvm, NULL);
	if (r == -EACCES)
		fix_permission(f, KVM_DEVICE);
	else if (r == -ENOENT && kvm_module())
		fix(f, "modprobe %s", kvm_module());
	if (!r)
		r = vm_create(&vm, &kvm);
	/* As the machine does it: a host may have KVM and no interrupt controllers. */
	if (!r)
		r = vm_create_irqchip(&vm);
	if (r == -EBUSY)
		fix(f, "stop the other hypervisor that has the processor's virtualisation");
	listen_no_more();
	if (r == -ENOENT)
		add_words_of_kvm(f);
	if (r)
		f->grade = FINDING_BAD;
	else
		found(f, FINDING_OK,
		      "%s: up to %u vCPUs, %u memory slots, %u address bits", KVM_DEVICE,
		      kvm.max_vcpus, kvm.max_slots, kvm_phys_bits(&kvm));
	vm_destroy(&vm);
	kvm_close(&kvm);
}

static void check_guard(struct finding *f)
{
	char line[256];
	int r;

	listen_to(f);
	r = uffd_try();
	listen_no_more();
	if (!r) {
		found(f, FINDING_OK, "userfaultfd with write protection for shared memory");
		return;
	}
	f->grade = FINDING_BAD;
	if (r == -EPERM && !access(UFFD_DEVICE, F_OK))
		fix_permission(f, UFFD_DEVICE);
	else if (r == -EPERM && *line_of("/proc/sys/vm/unprivileged_userfaultfd", line) == '0')
		fix(f, "sysctl -w vm.unprivileged_userfaultfd=1");
}

/* Of "always [madvise] never" the word in brackets. */
static const char *chosen(const char *path, char word[256])
{
	char *open, *close;

	line_of(path, word);
	open = strchr(word, '[');
	close = open ? strchr(open, ']') : NULL;
	if (!close)
		return "absent";
	*close = 0;
	return open + 1;
}

static void check_huge(struct finding *f)
{
	struct ram ram = { .fd = -1 };
	char shmem[256], thp[256];
	const char *first_touch = chosen(THP "shmem_enabled", shmem);
	int r;

	listen_to(f);
	r = ram_create(&ram, "ebb-try", RAM_HUGE_BYTES);
	listen_no_more();
	if (!r) {
		r = ram_allow_huge(&ram, 0, ram.bytes, true);
		if (!r)
			r = ram_collapse(&ram, 0, ram.bytes);
		ram_destroy(&ram);
	}
	if (r == -EINVAL)
		found(f, FINDING_HINT, "the kernel makes no huge pages of shared memory on demand "
		      "(MADV_COLLAPSE, Linux 6.1): resizes take longer, --huge has no effect");
	else if (r)
		found(f, FINDING_HINT, "no huge page now (MADV_COLLAPSE: %s): resizes take longer",
		      strerror(-r));
	else
		found(f, FINDING_OK, "MADV_COLLAPSE works; at first touch: %s (shmem_enabled), "
		      "transparent huge pages: %s", first_touch, chosen(THP "enabled", thp));
	if (!strcmp(first_touch, "never") || !strcmp(first_touch, "deny")) {
		f->grade = FINDING_HINT;
		fix(f, "echo advise > " THP "shmem_enabled");
	}
}

static void check_sockets(struct finding *f)
{
	char dir[VM_PATH_SIZE], parent[VM_PATH_SIZE];
	bool there;

	listen_to(f);
	if (vm_run_dir(dir)) {
		f->grade = FINDING_BAD;
		listen_no_more();
		return;
	}
	listen_no_more();
	snprintf(parent, sizeof(parent), "%s", dir);
	there = !access(dir, F_OK);
	if (!there && strrchr(parent, '/'))
		*strrchr(parent, '/') = 0;
	if (!access(*parent ? parent : "/", W_OK | X_OK)) {
		found(f, FINDING_OK, "control sockets are in %s", dir);
		return;
	}
	found(f, FINDING_BAD, "control sockets can't be made in %s: %s", dir, strerror(errno));
	fix(f, "export EBB_RUN_DIR=$HOME/.ebb, or give each VM --qmp PATH");
}

/* The path of this process's control group (cgroup v2), "" for the root or without one. */
static void own_group(char group[256])
{
	char line[256];
	FILE *file = fopen("/proc/self/cgroup", "re");

	*group = 0;
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "0::/", 4) && line[4])
			snprintf(group, 256, "%s", line + 3);
	}
	if (file)
		fclose(file);
}

/* The least limit of that group and those above it, and whose; UINT64_MAX: none. */
static uint64_t group_limit(char limiting[256])
{
	char group[256], path[320], line[256];
	uint64_t least = UINT64_MAX, bytes;

	own_group(group);
	*limiting = 0;
	for (char *slash; (slash = strrchr(group, '/')); *slash = 0) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
		if (sscanf(line_of(path, line), "%" SCNu64, &bytes) == 1 && bytes < least) {
			least = bytes;
			memcpy(limiting, group, sizeof(group));
		}
	}
	return least;
}

static uint64_t available_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * KiB;
}

static void check_memory(struct finding *f)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES], group[256];
	uint64_t limit = group_limit(group), available = available_memory();

	if (limit == UINT64_MAX)
		found(f, FINDING_OK, "%s available, no limit by a control group",
		      size_format(available, a));
	else
		found(f, limit < available ? FINDING_HINT : FINDING_OK,
		      "%s available, %s at most for all of the control group %s (memory.max): "
		      "guests and Ebb must fit together, or the kernel kills one",
		      size_format(available, a), size_format(limit, b), group);
}

static void check_maps(struct finding *f)
{
	char line[256];
	uint64_t nr = 0;

	if (sscanf(line_of("/proc/sys/vm/max_map_count", line), "%" SCNu64, &nr) != 1)
		found(f, FINDING_OK, "vm.max_map_count can't be read");
	else if (nr >= MAP_COUNT_USUAL)
		found(f, FINDING_OK, "vm.max_map_count is %" PRIu64, nr);
	else
		found(f, FINDING_HINT, "vm.max_map_count is %" PRIu64 ": where plugged and unplugged "
		      "blocks alternate, the guard soon works in coarse groups", nr);
	if (f->grade != FINDING_OK)
		fix(f, "sysctl -w vm.max_map_count=%d", MAP_COUNT_USUAL);
}

static void check_limits(struct finding *f)
{
	struct rlimit files, size, space;

	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_FSIZE, &size);
	getrlimit(RLIMIT_AS, &space);
	if (size.rlim_cur != RLIM_INFINITY || space.rlim_cur != RLIM_INFINITY) {
		found(f, FINDING_HINT, "%s is limited: memory of a guest beyond that is refused",
		      size.rlim_cur != RLIM_INFINITY ? "the size of files (RLIMIT_FSIZE)" :
						       "address space (RLIMIT_AS)");
		fix(f, "ulimit -%c unlimited", size.rlim_cur != RLIM_INFINITY ? 'f' : 'v');
	} else if (files.rlim_cur < NR_FILES_MIN) {
		found(f, FINDING_HINT, "%llu open files (RLIMIT_NOFILE): too few for many devices "
		      "and control sessions", (unsigned long long)files.rlim_cur);
		fix(f, "ulimit -n %d", NR_FILES_MIN);
	} else {
		found(f, FINDING_OK, "%llu open files; file size and address space unlimited",
		      (unsigned long long)files.rlim_cur);
	}
}

const struct doctor_check doctor_checks[] = {
	{ "kernel", check_kernel },	  { "kvm", check_kvm },	      { "guard", check_guard },
	{ "huge pages", check_huge },	  { "sockets", check_sockets }, { "memory", check_memory },
	{ "mappings", check_maps },	  { "limits", check_limits }, { 0 },
};
