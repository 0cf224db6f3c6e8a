/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu.c - the vCPU threads of one VM. */
#include "vmm/kvm/vcpu.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmm/base/log.h"
#include "vmm/kvm/arch.h"
#include "vmm/kvm/kvm.h"

/* Its only task is to interrupt KVM_RUN. */
#define KICK_SIGNAL SIGRTMIN

struct vcpu {
	struct vcpus *set;
	int fd;
	int tid;
	struct kvm_run *run;
	pthread_t thread;
	bool has_thread;
	uint64_t nr_exits;
};

struct vcpus {
	struct vcpu_env env;
	size_t run_bytes;
	/* Guards the four below; taken after the device lock, never around KVM_RUN. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool pause, stop;
	unsigned int nr_parked; /* waiting, or gone */
	bool ended;		/* one of them can't go on, the first to say so reports it */
	char text[2048];
	unsigned int nr, nr_threads;
	struct vcpu vcpu[];
};

static void on_kick(int signo) { (void)signo; }

static void install_kick_handler(void)
{
	struct sigaction action = { .sa_handler = on_kick };
	int r = sigaction(KICK_SIGNAL, &action, NULL);

	assert(!r);
	(void)r;
}

/* Waits while the set is paused. False: the thread must end. */
static bool wait_turn(struct vcpu *v)
{
	struct vcpus *s = v->set;
	bool go;

	pthread_mutex_lock(&s->lock);
	if ((s->pause || s->ended) && !s->stop) {
		s->nr_parked++;
		pthread_cond_broadcast(&s->changed);
		while ((s->pause || s->ended) && !s->stop)
			pthread_cond_wait(&s->changed, &s->lock);
		s->nr_parked--;
		arch_vcpu_stood(v->fd);
	}
	go = !s->stop;
	/* Cleared under the lock: a kick sets the request first, then this byte. */
	if (go)
		__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->lock);
	return go;
}

static bool turn_requested(struct vcpu *v)
{
	return __atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED);
}

static void end(struct vcpu *v, enum vcpu_end why, const char *cause)
{
	struct vcpus *s = v->set;
	bool first;
	size_t used;

	pthread_mutex_lock(&s->lock);
	first = !s->ended;
	__atomic_store_n(&s->ended, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->lock);
	if (!first)
		return;
	used = (size_t)snprintf(s->text, sizeof(s->text), "vCPU %u: %s\n",
				(unsigned int)(v - s->vcpu), cause);
	used = min_u64(used, sizeof(s->text) - 1);
	arch_vcpu_dump(v->fd, s->env.gm, v->run, s->text + used, sizeof(s->text) - used);
	s->env.ended(s->env.ctx, why, s->text);
}

static void on_mmio(struct vcpu *v)
{
	const struct vcpu_env *env = &v->set->env;
	struct bus_access access = { .bytes = v->run->mmio.len, .is_write = v->run->mmio.is_write };

	if (access.is_write)
		memcpy(&access.value, v->run->mmio.data, min_u64(access.bytes, 8));
	loop_lock(env->loop);
	bus_access(env->mmio, v->run->mmio.phys_addr, &access);
	loop_unlock(env->loop);
	if (!access.is_write)
		memcpy(v->run->mmio.data, &access.value, min_u64(access.bytes, 8));
}

/* One exit. The run structure is ours until the next KVM_RUN. */
static void on_exit_reason(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	char cause[96];

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		on_mmio(v);
		return;
	case KVM_EXIT_INTR:
		return;
	case KVM_EXIT_SHUTDOWN:
		end(v, VCPU_TRIPLE_FAULT, "triple fault");
		return;
	case KVM_EXIT_SYSTEM_EVENT:
		if (run->system_event.type == KVM_SYSTEM_EVENT_RESET)
			end(v, VCPU_RESET, "reset");
		else if (run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN)
			end(v, VCPU_SHUTDOWN, "shutdown");
		else
			end(v, VCPU_TRIPLE_FAULT, "crash reported by the guest");
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
		    (v->set->env.unemulated(v->set->env.ctx) || arch_vcpu_refuse(v->fd)))
			return;
		snprintf(cause, sizeof(cause), "KVM internal error, suberror %u%s",
			 run->internal.suberror,
			 run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ?
				 " (instruction not emulated)" : "");
		end(v, VCPU_INTERNAL_ERROR, cause);
		return;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(cause, sizeof(cause), "entry into the guest failed, hardware reason %#llx",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		end(v, VCPU_INTERNAL_ERROR, cause);
		return;
	default:
		if (arch_vcpu_exit(&v->set->env, run))
			return;
		snprintf(cause, sizeof(cause), "unexpected KVM exit %u", run->exit_reason);
		end(v, VCPU_INTERNAL_ERROR, cause);
	}
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	char name[16], cause[96];

	snprintf(name, sizeof(name), "vcpu%u", (unsigned int)(v - v->set->vcpu) % 1000);
	pthread_setname_np(pthread_self(), name);
	__atomic_store_n(&v->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	while (wait_turn(v)) {
		do {
			int r = ioctl(v->fd, KVM_RUN, 0);

			__atomic_store_n(&v->nr_exits, v->nr_exits + 1, __ATOMIC_RELAXED);
			/* The errno first: exit_reason is stale when the call failed. */
			if (!r) {
				on_exit_reason(v);
			} else if (errno != EINTR && errno != EAGAIN) {
				snprintf(cause, sizeof(cause), "KVM_RUN: %s", strerror(errno));
				end(v, VCPU_HOST_ERROR, cause);
			}
		} while (!turn_requested(v) && !__atomic_load_n(&v->set->ended, __ATOMIC_RELAXED));
	}
	return NULL;
}

/* Makes every vCPU leave KVM_RUN and look at the request, which the caller has set. */
static void kick_all(struct vcpus *s)
{
	for (unsigned int i = 0; i < s->nr; i++) {
		struct vcpu *v = &s->vcpu[i];

		if (!v->has_thread)
			continue;
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELAXED);
		pthread_kill(v->thread, KICK_SIGNAL);
	}
}

/* Under the lock: waits until all threads there are have parked, or for VCPUS_PATIENCE_NS. */
static bool wait_parked(struct vcpus *s)
{
	uint64_t end_ns = clock_ns() + VCPUS_PATIENCE_NS;
	struct timespec end = { .tv_sec = (time_t)(end_ns / NS_PER_S),
				.tv_nsec = (long)(end_ns % NS_PER_S) };

	while (s->nr_parked < s->nr_threads)
		if (pthread_cond_timedwait(&s->changed, &s->lock, &end) == ETIMEDOUT)
			return false;
	return true;
}

bool vcpus_pause(struct vcpus *s)
{
	bool all;

	pthread_mutex_lock(&s->lock);
	s->pause = true;
	kick_all(s);
	pthread_mutex_unlock(&s->lock);
	loop_unlock(s->env.loop);
	pthread_mutex_lock(&s->lock);
	all = wait_parked(s);
	pthread_mutex_unlock(&s->lock);
	loop_lock(s->env.loop);
	return all;
}

void vcpus_resume(struct vcpus *s)
{
	pthread_mutex_lock(&s->lock);
	s->pause = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static int vcpu_init(struct vcpu *v, const struct vm *vm, unsigned int id)
{
	void *run;

	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
	if (v->fd < 0)
		return fail(-errno, "KVM_CREATE_VCPU %u", id);
	run = mmap(NULL, v->set->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return fail(-errno, "map vCPU %u", id);
	v->run = run;
	return arch_vcpu_init(vm->kvm->model, v->fd, id, v->set->nr);
}

static int start_threads(struct vcpus *s)
{
	for (unsigned int i = 0; i < s->nr; i++) {
		int r = pthread_create(&s->vcpu[i].thread, NULL, vcpu_main, &s->vcpu[i]);

		if (r)
			return fail(-r, "thread of vCPU %u", i);
		s->vcpu[i].has_thread = true;
		s->nr_threads++;
	}
	return 0;
}

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attr);
	pthread_condattr_destroy(&attr);
}

int vcpus_new(struct vcpus **out, const struct vm *vm, unsigned int nr, const struct vcpu_env *env,
	      const struct vcpu_entry *entry)
{
	struct vcpus *s = calloc(1, sizeof(*s) + nr * sizeof(s->vcpu[0]));
	int r = 0;

	if (!s)
		return fail(-ENOMEM, "vCPUs");
	install_kick_handler();
	*s = (struct vcpus){ .env = *env, .run_bytes = vm->kvm->run_bytes, .nr = nr, .pause = true };
	pthread_mutex_init(&s->lock, NULL);
	init_condition(&s->changed);
	for (unsigned int i = 0; i < nr; i++)
		s->vcpu[i] = (struct vcpu){ .set = s, .fd = -1 };
	for (unsigned int i = 0; i < nr && !r; i++)
		r = vcpu_init(&s->vcpu[i], vm, i);
	if (!r)
		r = arch_vcpu_set_entry(s->vcpu[0].fd, entry);
	if (!r)
		r = start_threads(s);
	if (r) {
		vcpus_free(s);
		return r;
	}
	*out = s;
	return 0;
}

void vcpus_free(struct vcpus *s)
{
	bool all;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->pause = true;
	kick_all(s);
	pthread_mutex_unlock(&s->lock);
	loop_unlock(s->env.loop);
	pthread_mutex_lock(&s->lock);
	all = wait_parked(s);
	s->stop = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (!all)
		s->env.release(s->env.ctx);
	for (unsigned int i = 0; i < s->nr; i++)
		if (s->vcpu[i].has_thread)
			pthread_join(s->vcpu[i].thread, NULL);
	loop_lock(s->env.loop);
	for (unsigned int i = 0; i < s->nr; i++) {
		if (s->vcpu[i].run)
			munmap(s->vcpu[i].run, s->run_bytes);
		if (s->vcpu[i].fd >= 0)
			close(s->vcpu[i].fd);
	}
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}

unsigned int vcpus_nr(const struct vcpus *s) { return s ? s->nr : 0; }

int vcpus_tid(const struct vcpus *s, unsigned int i)
{
	assert(i < s->nr);
	return __atomic_load_n(&s->vcpu[i].tid, __ATOMIC_ACQUIRE);
}

/* A call about a vCPU that is in KVM_RUN would wait for it. */
static bool all_stand(struct vcpus *s)
{
	bool all;

	pthread_mutex_lock(&s->lock);
	all = s->pause && s->nr_parked == s->nr_threads;
	pthread_mutex_unlock(&s->lock);
	return all;
}

int vcpus_notes(struct vcpus *s, void **notes, size_t *bytes)
{
	auto_free char *buf = calloc(s->nr, ARCH_NR_NOTES * ARCH_NOTE_MAX);

	*bytes = 0;
	if (!buf)
		return fail(-ENOMEM, "vCPUs' registers");
	if (!all_stand(s))
		return fail(-EBUSY, "vCPUs' registers");
	for (unsigned int which = 0; which < ARCH_NR_NOTES; which++) {
		for (unsigned int i = 0; i < s->nr; i++) {
			int n = arch_vcpu_note(s->vcpu[i].fd, i, which, buf + *bytes);

			if (n < 0)
				return n;
			*bytes += (size_t)n;
		}
	}
	*notes = buf;
	buf = NULL;
	return 0;
}

uint16_t vcpu_elf_machine(void) { return arch_elf_machine(); }

uint64_t vcpus_nr_exits(const struct vcpus *s)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < vcpus_nr(s); i++)
		sum += __atomic_load_n(&s->vcpu[i].nr_exits, __ATOMIC_RELAXED);
	return sum;
}
