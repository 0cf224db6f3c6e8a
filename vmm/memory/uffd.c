/* SPDX-License-Identifier: Apache-2.0 */
/* uffd.c - userfaultfd for shared memory. */
#include "vmm/memory/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "vmm/base/inherited_fds.h"
#include "vmm/base/log.h"
#include "vmm/memory/ram.h"

#define NEEDED                                                                                     \
	(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP |                             \
	 UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_THREAD_ID)
#define MAX_EVENTS 16

/* The device, where there is one: it takes no privilege beyond the right to open it. */
static int new_from(int device)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;

	return device < 0 ? (int)syscall(SYS_userfaultfd, flags) :
			    ioctl(device, USERFAULTFD_IOC_NEW, flags);
}

/* -1 in *DEVICE: there is none, but nobody has asked for it. */
static int open_device(const char *path, int *device)
{
	if (path && inherited_fds_is_fd(path)) {
		*device = inherited_fds_fd("--userfaultfd", path);
		return *device < 0 ? *device : 0;
	}
	*device = open(path ? path : UFFD_DEVICE, O_RDWR | O_CLOEXEC);
	return *device < 0 && path ? fail(-errno, "--userfaultfd %s", path) : 0;
}

static int negotiate(int fd, uint64_t *features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = *features };

	if (ioctl(fd, UFFDIO_API, &api))
		return -errno;
	*features = api.features;
	return 0;
}

static int refused(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		fail_usage("userfaultfd: no permission, so memory that a guest gave back can't be "
			   "guarded; give the user access to " UFFD_DEVICE ", or run with "
			   "CAP_SYS_PTRACE, or do without: --guard=off");
		return -EPERM;
	case ENOTTY:
	case EINVAL:
		fail_usage("userfaultfd: what --userfaultfd names is another device");
		return -ENOTTY;
	case ENOSYS:
		fail_usage("userfaultfd: this kernel has none, so memory that a guest gave back "
			   "can't be guarded; do without: --guard=off");
		return -ENOSYS;
	default:
		return fail(-error, "userfaultfd");
	}
}

int uffd_open(int *out, const char *path)
{
	uint64_t has = 0, want = NEEDED;
	auto_close int device = -1;
	auto_close int probe = -1;
	auto_close int fd = -1;
	int r = open_device(path, &device);

	if (r)
		return r;
	probe = new_from(device);
	if (probe < 0 && !path)
		probe = new_from(-1);
	if (probe < 0)
		return refused(errno);
	/* Asking for what a kernel lacks fails, and one descriptor negotiates once. */
	r = negotiate(probe, &has);
	if (r)
		return fail(r, "UFFDIO_API");
	if (NEEDED & ~has) {
		fail_usage("userfaultfd: this kernel can't write-protect shared memory (features "
			   "%#llx of %#llx), so memory that a guest gave back can't be guarded; "
			   "Linux 5.19 can, or do without: --guard=off",
			   (unsigned long long)(has & NEEDED), (unsigned long long)NEEDED);
		return -EOPNOTSUPP;
	}
	fd = new_from(device);
	if (fd < 0 && !path)
		fd = new_from(-1);
	if (fd < 0)
		return refused(errno);
	r = negotiate(fd, &want);
	if (r)
		return fail(r, "UFFDIO_API");
	*out = take_fd(&fd);
	return 0;
}

int uffd_try(void)
{
	struct ram ram = { .fd = -1 };
	auto_close int fd = -1;
	int r = uffd_open(&fd, NULL);

	if (!r)
		r = ram_create(&ram, "ebb-try", RAM_HUGE_BYTES);
	if (r)
		return r;
	r = uffd_register(fd, ram.host, ram.bytes);
	ram_destroy(&ram);
	return r ? fail(r, "userfaultfd: watch shared memory") : 0;
}

static struct uffdio_range range(void *at, uint64_t bytes)
{
	return (struct uffdio_range){ (uintptr_t)at, bytes };
}

int uffd_register(int fd, void *at, uint64_t bytes)
{
	struct uffdio_register r = { .range = range(at, bytes),
				     .mode = UFFDIO_REGISTER_MODE_MISSING |
					     UFFDIO_REGISTER_MODE_WP };

	return ioctl(fd, UFFDIO_REGISTER, &r) ? -errno : 0;
}

int uffd_unregister(int fd, void *at, uint64_t bytes)
{
	struct uffdio_range r = range(at, bytes);

	return ioctl(fd, UFFDIO_UNREGISTER, &r) ? -errno : 0;
}

int uffd_copy(int fd, void *at, const void *src, uint64_t bytes, bool protect, uint64_t *copied)
{
	struct uffdio_copy c = { .dst = (uintptr_t)at,
				 .src = (uintptr_t)src,
				 .len = bytes,
				 .mode = UFFDIO_COPY_MODE_DONTWAKE |
					 (protect ? UFFDIO_COPY_MODE_WP : 0) };

	if (!ioctl(fd, UFFDIO_COPY, &c)) {
		*copied = bytes;
		return 0;
	}
	*copied = c.copy > 0 ? (uint64_t)c.copy : 0;
	return -errno;
}

int uffd_unprotect(int fd, void *at, uint64_t bytes)
{
	/* Unprotecting wakes by itself, and DONTWAKE is refused only together with WP. */
	struct uffdio_writeprotect w = { .range = range(at, bytes),
					 .mode = UFFDIO_WRITEPROTECT_MODE_DONTWAKE };

	return ioctl(fd, UFFDIO_WRITEPROTECT, &w) ? -errno : 0;
}

int uffd_wake(int fd, void *at, uint64_t bytes)
{
	struct uffdio_range r = range(at, bytes);

	return ioctl(fd, UFFDIO_WAKE, &r) ? -errno : 0;
}

int uffd_read(int fd, struct uffd_event *events, unsigned int max)
{
	struct uffd_msg msgs[MAX_EVENTS];
	ssize_t n = read(fd, msgs, min_u64(max, MAX_EVENTS) * sizeof(msgs[0]));
	int nr = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < (size_t)n / sizeof(msgs[0]); i++) {
		uint64_t flags = msgs[i].arg.pagefault.flags;

		if (msgs[i].event != UFFD_EVENT_PAGEFAULT)
			continue; /* no other was asked for */
		events[nr++] = (struct uffd_event){
			.at = (char *)(uintptr_t)msgs[i].arg.pagefault.address,
			.tid = msgs[i].arg.pagefault.feat.ptid,
			.is_write = flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP),
			.is_protected = flags & UFFD_PAGEFAULT_FLAG_WP,
		};
	}
	return nr;
}
