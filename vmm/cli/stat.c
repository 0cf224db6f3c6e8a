/* SPDX-License-Identifier: Apache-2.0 */
/* stat.c - ebb list and ebb stat: which VMs there are, and the memory of one. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ttydefaults.h>

#include "vmm/base/clock.h"
#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/base/signals.h"
#include "vmm/chardev/terminal.h"
#include "vmm/cli/screen.h"
#include "vmm/cli/stat_text.h"
#include "vmm/cli/verbs.h"
#include "vmm/rundir/vm_list.h"
#include "vmm/rundir/vm_socket.h"

/* The sockets of a VM that died. */
static void remove_remains(const char *name)
{
	if (!vm_sockets_prune(name))
		log_info("%s: what a VM of that name has left, removed", name);
}

static int list_run(const struct verb *verb, int argc, char **argv)
{
	struct vm_entry *entries;
	size_t nr;
	int r = options_parse(verb, argc, argv, NULL, NULL, 0);

	if (r == OPTIONS_HELP)
		return 0;
	if (r < 0 || vm_list(&entries, &nr))
		return EXIT_BAD_ARGUMENTS;
	for (size_t i = 0; i < nr; i++) {
		if (entries[i].is_live)
			puts(entries[i].name);
		else
			remove_remains(entries[i].name);
	}
	free(entries);
	return 0;
}

const struct verb verb_list = {
	"list", "",
	"list the VMs that run under a name\n"
	"\n"
	"What a VM that was killed has left of its name is removed.",
	NULL, list_run
};

struct stat_options {
	bool json, watch;
	uint64_t interval_ns;
};

static int set_json(void *target, const char *value)
{
	(void)value;
	((struct stat_options *)target)->json = true;
	return 0;
}

static int set_watch(void *target, const char *value)
{
	struct stat_options *o = target;

	o->watch = true;
	o->interval_ns = NS_PER_S;
	if (value && (options_seconds(value, &o->interval_ns) || o->interval_ns < 100 * NS_PER_MS))
		return fail_usage("--watch: '%s' is not a number of seconds of at least 0.1",
				  value);
	return 0;
}

static const struct option_row stat_options[] = {
	{ "json", 'j', NULL, "as JSON, sizes in bytes; with --watch one line each time",
	  .set = set_json },
	{ "watch", 'w', "[=S]", "show it again every S seconds (default 1); q or Ctrl-c ends",
	  .set = set_watch },
	{ 0 }
};

/* What a watch shows from one time to the next. */
struct watch {
	const struct stat_options *o;
	int signal_fd;
	bool on_terminal; /* drawn in place */
	bool keys;	  /* standard input is ours, in raw mode */
	struct screen screen;
	uint64_t exits, at_ns; /* of the last time; at_ns 0: none */
};

/* Since the last time; below 0 when there was none. */
static double exits_per_s(struct watch *w, struct json_object *stat)
{
	uint64_t exits = qmp_get_u64(stat, "exits", 0), now = clock_ns();
	double rate = -1;

	if (w->at_ns && exits >= w->exits)
		rate = (double)(exits - w->exits) * (double)NS_PER_S / (double)(now - w->at_ns);
	w->exits = exits;
	w->at_ns = now;
	return rate;
}

static void show(struct watch *w, struct json_object *stat)
{
	double rate = exits_per_s(w, stat);
	char *text = NULL;
	size_t bytes;
	FILE *out;

	if (w->o->json) {
		puts(json_object_to_json_string_ext(stat, JSON_C_TO_STRING_PLAIN));
		return;
	}
	if (!w->on_terminal) {
		stat_text(stdout, stat, rate);
		putchar('\n');
		return;
	}
	out = open_memstream(&text, &bytes);
	if (!out)
		return;
	stat_text(out, stat, rate);
	fclose(out);
	screen_draw(&w->screen, text);
	free(text);
}

/* Waits for the next time; WATCHING, or the exit code. */
#define WATCHING (-1)
static int wait_interval(const struct watch *w, uint64_t until_ns)
{
	struct pollfd p[] = { { .fd = w->signal_fd, .events = POLLIN },
			      { .fd = w->keys ? STDIN_FILENO : -1, .events = POLLIN } };

	for (;;) {
		uint64_t now = clock_ns();
		int signo;
		char key;

		if (now >= until_ns)
			return WATCHING;
		if (poll(p, ARRAY_SIZE(p), (int)((until_ns - now) / NS_PER_MS + 1)) <= 0)
			continue;
		signo = signals_taken(w->signal_fd);
		if (signo)
			return 128 + signo;
		if (p[1].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' ||
				     key == CTRL('c')))
			return 0;
	}
}

/* The events of the last interval are of no interest; the end of the VM is. */
static bool has_ended(struct qmp_client *client)
{
	struct json_object *event;
	int r;

	while (!(r = qmp_client_event(client, NULL, 0, &event)))
		json_object_put(event);
	return r == -ECONNRESET;
}

static int watch_loop(struct watch *w, struct qmp_client *client, const char *vm)
{
	uint64_t next_ns = clock_ns();

	for (;;) {
		struct json_object *stat;
		int r;

		if (has_ended(client)) {
			log_warn("%s has ended", vm);
			return 0;
		}
		r = qmp_client_run(client, "__org.ebb_stat", NULL, &stat, NULL);
		if (r)
			return r == -ECONNRESET ? 0 : 1;
		show(w, stat);
		json_object_put(stat);
		if (fflush(stdout))
			return 1; /* main() says why */
		next_ns = max_u64(next_ns + w->o->interval_ns, clock_ns());
		r = wait_interval(w, next_ns);
		if (r != WATCHING)
			return r;
	}
}

static int watch(struct qmp_client *client, const char *vm, const struct stat_options *o)
{
	struct watch w = { .o = o, .on_terminal = !o->json && isatty(STDOUT_FILENO) };
	int code;

	if (w.on_terminal)
		terminal_guard();
	if (signals_open(&w.signal_fd))
		return 1;
	w.keys = w.on_terminal && terminal_raw();
	code = watch_loop(&w, client, vm);
	terminal_restore();
	close(w.signal_fd);
	return code;
}

static int show_once(struct qmp_client *client, const struct stat_options *o)
{
	struct json_object *stat;

	if (qmp_client_run(client, "__org.ebb_stat", NULL, &stat, NULL))
		return 1;
	if (o->json)
		puts(json_object_to_json_string_ext(stat, JSON_C_TO_STRING_PRETTY));
	else
		stat_text(stdout, stat, -1);
	json_object_put(stat);
	return 0;
}

static int stat_run(const struct verb *verb, int argc, char **argv)
{
	struct stat_options o = { 0 };
	struct qmp_client *client;
	const char *vm;
	int r = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (r != VERB_CONNECTED)
		return r;
	r = o.watch ? watch(client, vm, &o) : show_once(client, &o);
	qmp_client_close(client);
	return r;
}

const struct verb verb_stat = {
	"stat", "VM [OPTION...]",
	"show the memory of a VM\n"
	"\n"
	"For each region what was asked for, what is plugged and what the host has given:\n"
	"`resident` is the host's own count of the memory behind it, `huge` what of it Ebb has\n"
	"made huge pages of. Exits are those to user space. With --watch the view is drawn in\n"
	"place on a terminal, elsewhere one block each time.",
	stat_options, stat_run
};
