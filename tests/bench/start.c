/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.c - what a VMM costs up to its first KVM_RUN, and its start to its end.
 *
 * start run COMMAND...  the program with its arguments, as is: wall and CPU time until it has ended
 * start kvm COMMAND...  until the entry of its first ioctl(KVM_RUN), where the kernel stops the
 *                       thread and tells us (seccomp user notification); the program is killed then
 * start cpuid           what one CPUID instruction costs, in ns: some hosts are themselves emulated
 *
 * The filter is installed here and inherited, so the program itself is not touched and runs at full
 * speed: the kernel answers other system calls of a filter that looks at ioctl alone from a bitmap.
 * The clock starts before vfork; CPU time is that of the whole process, all threads.
 * Prints "WALL_NS CPU_NS EXIT_CODE START_NS" (exit code 128 + n after signal n; START_NS is
 * CLOCK_MONOTONIC before vfork).
 */
#ifdef __x86_64__
#include <cpuid.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 60000

extern char **environ;

static void die(const char *what)
{
	fprintf(stderr, "start: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		die("clock");
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The descriptor on which the kernel announces a KVM_RUN of any child from now on. */
static int watch_kvm_run(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		/* The low half of the second argument: little endian. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs");
	/* Without SPEC_ALLOW the filter would switch mitigations on that slow the program down. */
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
	if (fd < 0)
		die("seccomp");
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC))
		die("close-on-exec");
	return (int)fd;
}

static pid_t spawn(char **command)
{
	pid_t pid = vfork();

	if (pid < 0)
		die("vfork");
	if (!pid) {
		execve(command[0], command, environ);
		_exit(127);
	}
	return pid;
}

/* The process's CPU clock, readable while it lives. */
static clockid_t cpu_clock(pid_t pid)
{
	clockid_t clock;

	errno = clock_getcpuclockid(pid, &clock);
	if (errno)
		die("CPU clock");
	return clock;
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void print(int64_t start_ns, int64_t stop_ns, int64_t cpu_ns, int code)
{
	printf("%lld %lld %d %lld\n", (long long)(stop_ns - start_ns), (long long)cpu_ns, code,
	       (long long)start_ns);
}

static void to_first_kvm_run(char **command)
{
	struct pollfd events = { .fd = watch_kvm_run(), .events = POLLIN };
	int64_t start_ns = now_ns(CLOCK_MONOTONIC), stop_ns, cpu_ns;
	pid_t pid = spawn(command);
	int ready, status;

	ready = poll(&events, 1, TIMEOUT_MS);
	stop_ns = now_ns(CLOCK_MONOTONIC);
	if (ready < 0)
		die("poll");
	if (ready && events.revents & POLLIN) {
		/* The thread waits at the entry of KVM_RUN. */
		cpu_ns = now_ns(cpu_clock(pid));
		print(start_ns, stop_ns, cpu_ns, 0);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return;
	}
	if (!ready) {
		kill(pid, SIGKILL);
		fprintf(stderr, "start: no KVM_RUN within %d s\n", TIMEOUT_MS / 1000);
	}
	waitpid(pid, &status, 0);
	fprintf(stderr, "start: %s ended with %d before its first KVM_RUN\n", command[0],
		exit_code(status));
	exit(1);
}

static void to_its_end(char **command)
{
	int64_t start_ns = now_ns(CLOCK_MONOTONIC), stop_ns;
	pid_t pid = spawn(command);
	siginfo_t info;
	int64_t cpu_ns;
	int status;

	/* Left unreaped, its clock can still be read. */
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT))
		die("waitid");
	stop_ns = now_ns(CLOCK_MONOTONIC);
	cpu_ns = now_ns(cpu_clock(pid));
	if (waitpid(pid, &status, 0) < 0)
		die("waitpid");
	print(start_ns, stop_ns, cpu_ns, exit_code(status));
}

/* The best of many: a CPUID that exits to a hypervisor is seldom disturbed twice alike. */
static void cpuid_cost(void)
{
	int64_t best_ns = INT64_MAX;

	for (int i = 0; i < 100; i++) {
		int64_t start_ns = now_ns(CLOCK_MONOTONIC), ns;

		for (int k = 0; k < 10; k++) {
#ifdef __x86_64__
			unsigned int a, b, c, d;

			__cpuid_count(0, 0, a, b, c, d);
#endif
		}
		ns = (now_ns(CLOCK_MONOTONIC) - start_ns) / 10;
		if (ns < best_ns)
			best_ns = ns;
	}
	printf("%lld\n", (long long)best_ns);
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "kvm")) {
		to_first_kvm_run(argv + 2);
	} else if (argc > 2 && !strcmp(argv[1], "run")) {
		to_its_end(argv + 2);
	} else if (argc == 2 && !strcmp(argv[1], "cpuid")) {
		cpuid_cost();
	} else {
		fprintf(stderr, "usage: start kvm|run PROGRAM [ARGUMENT...] | start cpuid\n");
		return 2;
	}
	return 0;
}
