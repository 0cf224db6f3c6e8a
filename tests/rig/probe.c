/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does this host's KVM run guest kernel code natively?
 * Runs ring-0 long-mode code of known length there and the same code here, then lock cmpxchg16b, and
 * prints both speeds. What counts is one against the other: a slow or busy machine is slow for both.
 * Exit status: 0 native, 1 not native or no usable /dev/kvm.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MEM_BYTES	0x8000u
#define PML4_ADDR	0x1000u
#define PDPT_ADDR	0x2000u
#define PD_ADDR		0x3000u
#define CODE_ADDR	0x4000u
#define DATA_ADDR	0x5000u

/* Emulated code is hundreds of times slower than native one. */
#define MAX_RATIO	10.0
#define NR_RUNS		50
#define NR_ITERATIONS	20000
#define LIMIT_S		120u	/* of a hang */

/* Two entry points: a loop of two instructions per rcx, and one lock cmpxchg16b at (rbx). */
static const uint8_t code[] = {
	0x48, 0xff, 0xc9,			/* dec rcx */
	0x75, 0xfb,				/* jnz to the dec */
	0xf4,					/* hlt */
#define CMPXCHG16B_OFFSET	6
	0xf0, 0x48, 0x0f, 0xc7, 0x0b,		/* lock cmpxchg16b [rbx] */
	0xf4,					/* hlt */
};

struct probe {
	int vcpu;
	uint8_t *mem;
	struct kvm_run *run;
};

static int die(const char *what)
{
	printf("probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put64(uint8_t *mem, uint32_t addr, uint64_t val)
{
	memcpy(mem + addr, &val, sizeof(val));
}

static void set_cpuid(int kvm, int vcpu)
{
	unsigned int nr = 256;
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + nr * sizeof(cpuid->entries[0]));

	if (!cpuid)
		die("memory");
	cpuid->nent = nr;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
	    ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		die("CPUID");
	free(cpuid);
}

static void set_long_mode(int vcpu)
{
	struct kvm_sregs s;
	struct kvm_segment seg = {
		.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
	};

	if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
		die("KVM_GET_SREGS");
	s.cs = seg;
	seg.selector = 16;
	seg.type = 3;
	seg.l = 0;
	seg.db = 1;
	s.ds = s.es = s.fs = s.gs = s.ss = seg;
	s.cr3 = PML4_ADDR;
	s.cr4 = 1u << 5;				/* PAE */
	s.cr0 = 1u << 31 | 1u << 16 | 1u << 4 | 1u;	/* PG WP ET PE */
	s.efer = 1u << 10 | 1u << 8;			/* LMA LME */
	if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0)
		die("KVM_SET_SREGS");
}

static void setup(struct probe *p)
{
	struct kvm_userspace_memory_region slot = { .memory_size = MEM_BYTES };
	int kvm, vm, run_bytes;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		die("/dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		die("KVM_CREATE_VM");
	p->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->mem == MAP_FAILED)
		die("mmap");
	put64(p->mem, PML4_ADDR, PDPT_ADDR | 3);
	put64(p->mem, PDPT_ADDR, PD_ADDR | 3);
	put64(p->mem, PD_ADDR, 0x83);			/* one 2 MiB page at 0 */
	memcpy(p->mem + CODE_ADDR, code, sizeof(code));
	slot.userspace_addr = (uint64_t)(uintptr_t)p->mem;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		die("KVM_SET_USER_MEMORY_REGION");
	p->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (p->vcpu < 0)
		die("KVM_CREATE_VCPU");
	run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < (int)sizeof(struct kvm_run))
		die("KVM_GET_VCPU_MMAP_SIZE");
	p->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
	if (p->run == MAP_FAILED)
		die("mmap of the vCPU");
	set_cpuid(kvm, p->vcpu);
	set_long_mode(p->vcpu);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Runs until hlt and returns the seconds it took; false when the code does not complete. */
static bool run_until_hlt(struct probe *p, struct kvm_regs *r, double *taken_s)
{
	double start_s;

	if (ioctl(p->vcpu, KVM_SET_REGS, r) < 0)
		die("KVM_SET_REGS");
	start_s = now_s();
	if (ioctl(p->vcpu, KVM_RUN, 0) < 0)
		die("KVM_RUN");
	*taken_s = now_s() - start_s;
	return p->run->exit_reason == KVM_EXIT_HLT;
}

/* Million instructions a second; 0 when the loop does not complete. */
static double run_loop(struct probe *p, uint64_t nr_iterations)
{
	struct kvm_regs r = { .rflags = 2, .rip = CODE_ADDR, .rcx = nr_iterations };
	double taken_s;

	if (!run_until_hlt(p, &r, &taken_s))
		return 0.0;
	return 2.0 * (double)nr_iterations / taken_s * 1e-6;
}

/* Million instructions a second of the same loop in this process. */
static double run_here(uint64_t nr_iterations)
{
	double start_s = now_s();

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(nr_iterations) : : "cc");
	return 2.0 * NR_ITERATIONS / (now_s() - start_s) * 1e-6;
}

/* rdx:rax equals memory, so rcx:rbx must be stored. */
static bool run_cmpxchg16b(struct probe *p)
{
	struct kvm_regs r = { .rflags = 2, .rip = CODE_ADDR + CMPXCHG16B_OFFSET };
	uint64_t stored;
	double taken_s;

	r.rbx = DATA_ADDR;
	put64(p->mem, DATA_ADDR, 0);
	put64(p->mem, DATA_ADDR + 8, 0);
	if (!run_until_hlt(p, &r, &taken_s))
		return false;
	memcpy(&stored, p->mem + DATA_ADDR, sizeof(stored));
	return stored == DATA_ADDR;
}

static void on_alarm(int sig)
{
	static const char text[] = "probe: not native: guest kernel code hangs\n";

	(void)sig;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

int main(void)
{
	struct probe p;
	double mips, best = 0.0, here = 0.0;
	bool complete, native;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, on_alarm);
	alarm(LIMIT_S);
	setup(&p);
	run_loop(&p, 1);		/* first touch of the pages stays outside the measure */
	complete = run_cmpxchg16b(&p);
	/* A busy machine may spoil some runs; where an instruction is missing, one is enough. */
	for (i = 0; i < (complete ? NR_RUNS : 1) && (!i || best * MAX_RATIO < here); i++) {
		mips = run_here(NR_ITERATIONS);
		if (mips > here)
			here = mips;
		mips = run_loop(&p, NR_ITERATIONS);
		if (mips > best)
			best = mips;
	}
	native = complete && best * MAX_RATIO >= here;
	printf("probe: guest kernel code at %.1f MIPS, %.1f here, lock cmpxchg16b %s: %s\n", best, here,
	       complete ? "works" : "fails", native ? "native" : "not native");
	return native ? 0 : 1;
}
