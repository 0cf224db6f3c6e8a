/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.c - ebb-agent: asks the host for memory before the guest has none, says how its memory
 * stands, lets old page cache go. PROTOCOL.md is what it speaks.
 *
 * It must work when the guest has no free page: everything is opened, allocated and locked before
 * the first look, and it is never chosen when the kernel needs somebody to kill.
 */
#include "guests/agent/evict.h"
#include "guests/agent/file.h"
#include "guests/agent/host.h"
#include "guests/agent/lru_gen.h"
#include "guests/agent/memory.h"
#include "guests/agent/port.h"
#include "guests/agent/psi.h"
#include "guests/agent/say.h"
#include "guests/agent/shortage.h"
#include "guests/agent/working_set.h"
#include "vmm/base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define NAME	     "ebb-agent " EBB_VERSION
#define INTERVAL_MS  1000 /* until the host says one */
#define RETRY_MS     1000
#define WAIT_PORT_MS 60000 /* for a port that was never there */
#define PUSH_SETS_MS 5000  /* working sets by themselves, not more often */
#define STACK_BYTES  (16 * KiB)
#define OLD_SETS_MS  10000 /* a youngest generation of this age tells little */

static const char usage[] =
	"usage: ebb-agent [--port PATH] [--root DIR] [--log]\n"
	"\n"
	"Asks the host of this virtual machine for memory when it becomes short, tells how memory\n"
	"is used, and evicts page cache that was not used for as long as the host says. Needs no\n"
	"configuration; runs as root.\n"
	"\n"
	"  --port PATH  the port or unix socket to the host, or fd:N (default: the virtio port\n"
	"               named " PORT_NAME ", which is waited for)\n"
	"  --root DIR   where /proc, /sys and /dev are looked for\n"
	"  --log        tell on stderr what is asked for and what comes\n"
	"  --version    print the version\n"
	"  --help       print this\n";

static struct agent {
	const char *root, *path;
	struct port port;
	struct memory_files files;
	struct memory memory;
	struct psi psi;
	struct lru_gen gens;
	int zoneinfo;
	struct evict evict;
	struct shortage shortage;
	struct working_set set;
	struct utsname kernel;
	bool has_sets, has_eviction;

	bool open, configured;
	uint64_t interval_ms;
	uint64_t min_bytes, size_bytes; /* of the host's config; HOST_UNSAID until then */
	uint64_t retry_ms, look_ms, status_ms, sets_ms;
	bool was_open;
	uint64_t give_up_ms;
} agent;

static struct text line;

static void say(struct agent *a)
{
	if (!port_say(&a->port, &line))
		agent_note("the host doesn't listen", NULL);
}

static struct say_state state(const struct agent *a)
{
	return (struct say_state){ &a->memory, &a->psi, a->evict.evicted };
}

static void say_state_now(struct agent *a, uint64_t now)
{
	struct say_state s;

	if (memory_read(&a->files, &a->memory) < 0)
		return;
	memory_read_events(&a->files, &a->memory);
	psi_read(&a->psi);
	s = state(a);
	say_status(&line, &s);
	say(a);
	a->status_ms = now + a->interval_ms;
}

/* NODE: HOST_UNSAID for all. */
static void say_sets(struct agent *a, uint64_t node, uint64_t now)
{
	int r = a->has_sets ? working_set_read(&a->set, &a->gens, a->zoneinfo) : -ENOSYS;
	bool found = false;

	a->sets_ms = now;
	for (unsigned int i = 0; !r && i < a->set.nr_nodes; i++) {
		if (node != HOST_UNSAID && node != a->set.nodes[i].node)
			continue;
		found = true;
		say_working_set(&line, &a->set, i);
		say(a);
	}
	if (!found) {
		say_no_working_set(&line, node == HOST_UNSAID ? 0 : node,
				   r ? error_text(r) : "no such node");
		say(a);
	}
}

static void age_list(void *ctx, const struct lru_list *list)
{
	struct agent *a = ctx;

	if (list->gen[list->nr - 1].age_ms >= OLD_SETS_MS)
		lru_gen_age(&a->gens, list);
}

/* So that the next answer tells more than this one. While page cache is evicted by age, that says
 * when generations begin. */
static void freshen_sets(struct agent *a)
{
	if (a->set.ages && !a->evict.age_ms && a->set.youngest_ms >= OLD_SETS_MS)
		lru_gen_each(&a->gens, age_list, a);
}

/* Not at the priority that the waiting for the host has. */
static void in_background(bool on)
{
	struct sched_param p = { .sched_priority = on ? 0 : 1 };

	sched_setscheduler(0, on ? SCHED_OTHER : SCHED_FIFO, &p);
}

static void take_config(struct agent *a, const struct host_line *h, uint64_t now)
{
	uint64_t before = a->interval_ms;

	if (h->interval_ms != HOST_UNSAID)
		a->interval_ms = min_u64(max_u64(h->interval_ms, 100), 60000);
	if (h->min != HOST_UNSAID)
		a->min_bytes = h->min;
	if (h->cache_age_s != HOST_UNSAID)
		evict_age(&a->evict, h->cache_age_s, now);
	/* Sizes change often while memory comes, when there are better things to say. */
	if (!a->configured || a->interval_ms != before)
		say_state_now(a, now);
	a->configured = true;
}

static void take(struct agent *a, const char *text, uint64_t now)
{
	struct host_line h;

	if (!host_parse(&h, text)) {
		agent_note("not understood: ", text, NULL);
		return;
	}
	agent_note("host: ", text, NULL);
	if (h.size != HOST_UNSAID)
		a->size_bytes = h.size;
	if (!strcmp(h.msg, "config")) {
		take_config(a, &h, now);
	} else if (!strcmp(h.msg, "answer") && h.granted != HOST_UNSAID) {
		shortage_answered(&a->shortage, h.granted, !strcmp(h.why, "rate"), now);
	} else if (!strcmp(h.msg, "ask") && !strcmp(h.what, "status")) {
		say_state_now(a, now);
	} else if (!strcmp(h.msg, "ask") && !strcmp(h.what, "working-set")) {
		in_background(true);
		say_sets(a, h.node, now);
		freshen_sets(a);
		in_background(false);
	}
}

/* Says what is needed, or what could go. STALLED: something waited for memory just now. */
static void look(struct agent *a, bool stalled, uint64_t now)
{
	struct say_state s;
	uint64_t bytes;
	bool push;

	if (memory_read(&a->files, &a->memory) < 0)
		return;
	bytes = shortage_look(&a->shortage, &a->memory, stalled, now);
	a->look_ms = now + shortage_period(&a->shortage, &a->memory, a->interval_ms);
	if (bytes) {
		psi_read(&a->psi);
		s = state(a);
		say_need(&line, bytes, stalled ? "stall" : "low", &s);
		agent_note(text_of(&line), NULL);
		say(a);
		shortage_asked(&a->shortage, &a->memory, now);
		push = a->has_sets && now >= a->sets_ms + PUSH_SETS_MS;
		if (push && stalled)
			say_sets(a, HOST_UNSAID, now);
		return;
	}
	/* It has no more than it must. */
	if (a->size_bytes == HOST_UNSAID || a->size_bytes <= a->min_bytes)
		return;
	bytes = shortage_spare(&a->shortage, &a->memory, now);
	if (bytes) {
		say_spare(&line, min_u64(bytes, a->size_bytes - a->min_bytes));
		say(a);
	}
}

static void opened(struct agent *a, uint64_t now)
{
	a->open = a->was_open = true;
	a->configured = false;
	a->interval_ms = INTERVAL_MS;
	a->min_bytes = a->size_bytes = HOST_UNSAID;
	a->look_ms = now;
	a->status_ms = now + INTERVAL_MS;
	shortage_init(&a->shortage);
	agent_note("the port is open", NULL);
	say_hello(&line, NAME, a->kernel.release, a->has_sets, a->has_eviction);
	say(a);
}

/* Tries to reach the host. False: it is not worth waiting any longer. */
static bool reach(struct agent *a, uint64_t now)
{
	int r = port_open(&a->port);

	a->retry_ms = now + RETRY_MS;
	if (!r) {
		opened(a, now);
		return true;
	}
	if (a->port.given || (!a->was_open && !a->port.hung_up && now >= a->give_up_ms)) {
		agent_error("cannot open ", a->path ? a->path : PORT_PATH, ": ", error_text(r),
			    "; on the host, ebb run --agent=on or --port " PORT_NAME
			    " makes the port",
			    NULL);
		return false;
	}
	return true;
}

/* One turn of the loop. False: the end. */
static bool turn(struct agent *a)
{
	struct pollfd polled[2];
	uint64_t now = now_ms(), next;
	bool stalled = false;
	const char *text;

	if (!a->open && now >= a->retry_ms && !reach(a, now))
		return false;
	next = a->open ? min_u64(a->look_ms, a->status_ms) : a->retry_ms;
	if (a->open && a->evict.next_ms)
		next = min_u64(next, a->evict.next_ms);
	polled[0] = (struct pollfd){ .fd = a->open ? a->port.fd : -1, .events = POLLIN };
	if (port_waits(&a->port))
		polled[0].events |= POLLOUT;
	polled[1] = (struct pollfd){ .fd = a->open ? a->psi.trigger : -1, .events = POLLPRI };
	if (poll(polled, 2, (int)over(next, now)) < 0 && errno != EINTR)
		return false;
	now = now_ms();
	if (polled[1].revents & POLLERR)
		psi_lost(&a->psi);
	else
		stalled = polled[1].revents & POLLPRI;
	if (!a->open)
		return true;
	if (stalled || now >= a->look_ms)
		look(a, stalled, now);
	port_flush(&a->port);
	while (polled[0].revents && (text = port_line(&a->port)))
		take(a, text, now);
	if (a->port.fd < 0 || a->port.hung_up) {
		agent_note("the host has closed the port", NULL);
		a->open = false;
		a->retry_ms = now + RETRY_MS;
		evict_age(&a->evict, 0, now);
		return !a->port.given;
	}
	if (now >= a->status_ms)
		say_state_now(a, now);
	if (a->evict.next_ms && now >= a->evict.next_ms) {
		in_background(true);
		evict_run(&a->evict, &a->files, &a->memory, &a->psi, now);
		in_background(false);
	}
	return true;
}

static bool open_all(struct agent *a)
{
	int r = memory_open(&a->files, a->root);

	r = r ? r : memory_read(&a->files, &a->memory);
	if (r) {
		agent_error("cannot read /proc/meminfo: ", error_text(r), NULL);
		return false;
	}
	memory_read_events(&a->files, &a->memory);
	if (psi_open(&a->psi, a->root))
		agent_note("stalls are told of in windows of ", a->psi.window, NULL);
	else
		agent_note("no stalls are told of: memory is looked at by time alone", NULL);
	a->zoneinfo = working_set_open(a->root);
	lru_gen_open(&a->gens, a->root);
	a->has_eviction = evict_open(&a->evict, &a->gens, a->root);
	a->has_sets = a->gens.read >= 0 || a->zoneinfo >= 0;
	if (a->gens.read < 0)
		agent_note("no multi-gen LRU: active and inactive lists have to do", NULL);
	return true;
}

/* The program and as much stack as it needs are there and stay. Not by mlockall() alone: that
 * brings in the whole stack that the kernel has set up, which nobody uses. */
static bool lock_memory(void)
{
	const ElfW(Phdr) *segment = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	volatile char stack[STACK_BYTES];

	for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++, segment++)
		if (segment->p_type == PT_LOAD &&
		    mlock((const void *)segment->p_vaddr, segment->p_memsz))
			return false;
	return !mlock((const void *)stack, sizeof stack) &&
	       !mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

/* Nobody can do without what this asks for: it is there, it runs, it is not killed. */
static void settle(const char *root)
{
	int fd = file_open(root, "/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0 || file_write(fd, "-1000") < 0)
		agent_error("this process may be killed when memory is short: not allowed to write "
			    "/proc/self/oom_score_adj",
			    NULL);
	if (fd >= 0)
		close(fd);
	if (!lock_memory())
		agent_error("this process may be swapped out: mlock: ", error_text(errno), NULL);
	signal(SIGPIPE, SIG_IGN); /* a host that has gone is seen where it is written to */
	in_background(false);
}

static int options(struct agent *a, char **arguments)
{
	for (char **at = arguments + 1; *at; at++) {
		bool is_port = !strcmp(*at, "--port"), is_root = !strcmp(*at, "--root");

		if ((is_port || is_root) && at[1]) {
			at++;
			*(is_port ? &a->path : &a->root) = *at;
		} else if (!strcmp(*at, "--log")) {
			agent_log = true;
		} else if (!strcmp(*at, "--version") || !strcmp(*at, "--help")) {
			const char *text = (*at)[2] == 'v' ? NAME "\n" : usage;

			return write(STDOUT_FILENO, text, strlen(text)) < 0;
		} else {
			agent_error("no option '", *at, "', or its value is missing; see --help",
				    NULL);
			return 2;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct agent *a = &agent;
	int code;

	(void)argc;
	a->root = "";
	code = options(a, argv);
	if (code >= 0)
		return code;
	uname(&a->kernel);
	port_init(&a->port, a->path, a->root);
	if (!open_all(a))
		return 1;
	settle(a->root);
	a->give_up_ms = now_ms() + WAIT_PORT_MS;
	while (turn(a))
		;
	return a->was_open && a->port.given ? 0 : 1;
}
