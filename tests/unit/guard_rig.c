/* SPDX-License-Identifier: Apache-2.0 */
/* guard_rig.c - the real guard over real memory. */
#include "tests/unit/guard_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "vmm/base/event.h"

/* A hang, on any machine. */
#define PATIENCE_NS (60 * NS_PER_S)

void guard_rig_init(struct guard_rig *rig, uint64_t bytes)
{
	*rig = (struct guard_rig){ .status_fd = -1 };
	cr_assert_eq(event_new(&rig->status_fd), 0);
	cr_assert_eq(guard_new(&rig->g, &rig->status_fd), 0);
	cr_assert_eq(ram_create(&rig->ram, "test-guarded", bytes), 0);
	cr_assert_eq(guard_add(rig->g, &rig->r, &rig->ram), 0);
	cr_assert_eq(guard_start(rig->g), 0);
}

void guard_rig_destroy(struct guard_rig *rig)
{
	guard_free(rig->g);
	ram_destroy(&rig->ram);
	auto_close_fn(&rig->status_fd);
	*rig = (struct guard_rig){ .status_fd = -1 };
}

uint64_t guard_rig_violations(const struct guard_rig *rig)
{
	struct guard_counts c = guard_info(rig->r).counts;

	return guard_violations(&c);
}

void guard_rig_disarm(struct guard_rig *rig, uint64_t offset, uint64_t bytes)
{
	cr_assert_eq(guard_disarm(rig->r, offset, bytes, true), 0);
}

void guard_rig_arm(struct guard_rig *rig, uint64_t offset, uint64_t bytes)
{
	cr_assert_eq(guard_arm(rig->r, offset, bytes), 0);
	cr_assert_eq(ram_discard(&rig->ram, offset, bytes), 0);
}

uint64_t resident(const struct ram *ram)
{
	uint64_t bytes = 0;

	cr_assert_eq(ram_resident(ram, &bytes), 0);
	return bytes;
}

void sleep_ms(unsigned int ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

bool becomes_empty(const struct ram *ram)
{
	uint64_t start = clock_ns();

	while (resident(ram) && clock_ns() - start < PATIENCE_NS)
		sleep_ms(5);
	return !resident(ram);
}

bool becomes_true(const bool *flag)
{
	uint64_t start = clock_ns();

	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE) && clock_ns() - start < PATIENCE_NS)
		sleep_ms(1);
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

bool becomes_false(const bool *flag)
{
	uint64_t start = clock_ns();

	while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) && clock_ns() - start < PATIENCE_NS)
		sleep_ms(1);
	return !__atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

bool guard_rig_has_error(const struct guard_rig *rig, bool wanted)
{
	uint64_t start = clock_ns();

	while (!guard_peek(rig->g).error == wanted && clock_ns() - start < PATIENCE_NS)
		sleep_ms(5);
	return !guard_peek(rig->g).error != wanted;
}

bool access_waits(const struct guard_rig *rig)
{
	struct pollfd p = { .fd = rig->g->uffd, .events = POLLIN };
	uint64_t start = clock_ns();

	/* Read by the thread, or not: it may have come to the lock before the access was made. */
	while (clock_ns() - start < PATIENCE_NS) {
		if (__atomic_load_n(&rig->g->answering, __ATOMIC_ACQUIRE) || poll(&p, 1, 1) == 1)
			return true;
	}
	return false;
}

unsigned int nr_mappings(const struct ram *ram)
{
	uintptr_t start = (uintptr_t)ram->host, end = start + ram->bytes;
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	unsigned int nr = 0;
	char line[512];

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		nr += sscanf(line, "%lx-%lx", &from, &to) == 2 && from < end && to > start;
	fclose(f);
	return nr;
}

bool can_collapse(void)
{
	struct ram ram;
	bool can;

	cr_assert_eq(ram_create(&ram, "test-huge", UNIT), 0);
	vcpu_write(&ram, 0, 1);
	can = !ram_collapse(&ram, 0, UNIT);
	ram_destroy(&ram);
	return can;
}

int host_refuses(struct ram *ram)
{
	int saved = ram->fd;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", saved);
	ram->fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(ram->fd, 0);
	return saved;
}

void host_obeys(struct ram *ram, int restore)
{
	int refusing = ram->fd;

	ram->fd = restore;
	close(refusing);
}

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	uint64_t nr_pages = h->bytes / PAGE;

	for (uint64_t i = 1; !__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE); i++) {
		uint64_t at = h->offset + (uint64_t)rand_r(&h->seed) % nr_pages * PAGE;

		if (!h->reads)
			vcpu_write(h->ram, at, i);
		else if (vcpu_read(h->ram, at) >> 40)
			h->nr_wrong++;
		__atomic_store_n(&h->nr_done, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

void hammer_start(struct hammer *h)
{
	cr_assert_eq(pthread_create(&h->thread, NULL, hammer, h), 0);
}

uint64_t hammer_done(const struct hammer *h)
{
	return __atomic_load_n(&h->nr_done, __ATOMIC_ACQUIRE);
}

bool hammer_gets_on(const struct hammer *h)
{
	uint64_t start = clock_ns(), done = hammer_done(h);

	/* One may have been under way. */
	while (hammer_done(h) < done + 2 && clock_ns() - start < PATIENCE_NS)
		sleep_ms(1);
	return hammer_done(h) >= done + 2;
}

static bool join(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(PATIENCE_NS / NS_PER_S);
	return !pthread_timedjoin_np(thread, NULL, &until);
}

bool hammer_stop(struct hammer *h)
{
	__atomic_store_n(&h->stop, true, __ATOMIC_RELEASE);
	return join(h->thread);
}

static void *access_once(void *arg)
{
	struct access *a = arg;

	if (a->barrier)
		pthread_barrier_wait(a->barrier);
	if (a->is_write)
		vcpu_write(a->ram, a->offset, a->value);
	else
		a->value = vcpu_read(a->ram, a->offset);
	__atomic_store_n(&a->done, true, __ATOMIC_RELEASE);
	return NULL;
}

void access_start(struct access *a)
{
	a->done = false;
	cr_assert_eq(pthread_create(&a->thread, NULL, access_once, a), 0);
}

bool access_end(struct access *a) { return join(a->thread); }
