/* SPDX-License-Identifier: Apache-2.0 */
/* dump.c - ebb dump: the memory and registers of a guest as an ELF core file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/base/signals.h"
#include "vmm/base/size.h"
#include "vmm/cli/screen.h"
#include "vmm/cli/verbs.h"

#define POLL_MS 100

struct dump_options {
	bool force;
};

static int set_force(void *target, const char *value)
{
	(void)value;
	((struct dump_options *)target)->force = true;
	return 0;
}

static const struct option_row options[] = {
	{ "force", 'f', NULL, "replace FILE if it exists", .set = set_force }, { 0 }
};

/*
 * The file is opened here and handed over: its path and its permissions are the user's, not the
 * VM's.
 */
static int start(struct qmp_client *client, int fd)
{
	struct json_object *args = json_object_new_object();
	int r;

	json_object_object_add(args, "paging", json_object_new_boolean(false));
	json_object_object_add(args, "protocol", json_object_new_string("fd:ebb-dump"));
	json_object_object_add(args, "detach", json_object_new_boolean(true));
	r = qmp_client_pass_fd(client, fd, "ebb-dump");
	if (r) {
		json_object_put(args);
		return r;
	}
	return qmp_client_run(client, "dump-guest-memory", args, NULL, NULL);
}

static void show_progress(const char *vm, struct json_object *dump)
{
	uint64_t done = qmp_get_u64(dump, "completed", 0), total = qmp_get_u64(dump, "total", 0);
	char line[256], a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

	snprintf(line, sizeof(line), "%s: paused, %s of %s dumped", vm, size_format(done, a),
		 size_format(total, b));
	screen_line(line, false);
}

/* The reason why the dump failed is in its event only. */
static void say_why(struct qmp_client *client, const char *vm)
{
	struct json_object *event = NULL, *data = NULL;

	if (qmp_client_event(client, "DUMP_COMPLETED", 1000, &event)) {
		log_error("%s: the dump failed", vm);
		return;
	}
	json_object_object_get_ex(event, "data", &data);
	log_error("%s: the dump failed: %s", vm, qmp_get_str(data, "error", "no reason given"));
	json_object_put(event);
}

/* Until it has ended; the exit code. */
static int follow(struct qmp_client *client, const char *vm, const char *path, int signal_fd)
{
	struct pollfd p = { .fd = signal_fd, .events = POLLIN };
	char line[512], size[SIZE_TEXT_BYTES];
	struct json_object *dump;
	bool shown = false;

	for (;;) {
		const char *status;
		bool active, completed;

		if (qmp_client_run(client, "query-dump", NULL, &dump, NULL))
			return 1;
		status = qmp_get_str(dump, "status", "");
		active = !strcmp(status, "active");
		completed = !strcmp(status, "completed");
		if (active)
			show_progress(vm, dump);
		shown |= active;
		snprintf(line, sizeof(line), "%s: %s of guest memory", path,
			 size_format(qmp_get_u64(dump, "total", 0), size));
		json_object_put(dump);
		if (completed) {
			screen_line(line, true);
			return 0;
		}
		if (!active || poll(&p, 1, POLL_MS) > 0)
			break;
	}
	if (shown && isatty(STDOUT_FILENO))
		putchar('\n');
	fflush(stdout);
	if (p.revents) {
		log_warn("%s stays paused until it has written what nobody wants any more", vm);
		return 128 + signals_taken(signal_fd);
	}
	say_why(client, vm);
	return 1;
}

static int open_file(const char *path, bool force)
{
	/* Not emptied here: the VM does that when it begins, and may refuse to. */
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? 0 : O_EXCL), 0600);

	if (fd < 0 && errno == EEXIST)
		return fail_usage("%s exists; --force replaces it", path);
	return fd < 0 ? fail(-errno, "%s", path) : fd;
}

static int dump(struct qmp_client *client, const char *vm, const char *path, bool force)
{
	auto_close int fd = open_file(path, force), signal_fd = -1;
	bool started = false;
	struct stat st;
	int code = 1;

	if (fd < 0)
		return EXIT_BAD_ARGUMENTS;
	if (!signals_open(&signal_fd) && !start(client, fd)) {
		started = true;
		code = follow(client, vm, path, signal_fd);
	}
	/* Half of a dump would look like a whole one. A FIFO or a device keeps its name. */
	if (code && (started || !force) && !fstat(fd, &st) && S_ISREG(st.st_mode) && unlink(path))
		fail(-errno, "remove %s", path);
	return code;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct dump_options o = { 0 };
	struct qmp_client *client;
	const char *words[2];
	int code = verb_connect(verb, argc, argv, &o, words, 2, &client);

	if (code != VERB_CONNECTED)
		return code;
	if (!words[1]) {
		fail_usage("dump: into which file? See ebb dump --help");
		code = EXIT_BAD_ARGUMENTS;
	} else {
		code = dump(client, words[0], words[1], o.force);
	}
	qmp_client_close(client);
	return code;
}

const struct verb verb_dump = {
	"dump", "VM FILE [OPTION...]",
	"write the memory and registers of a guest to an ELF core file, for crash, gdb or drgn\n"
	"\n"
	"The VM is paused meanwhile and goes on as it was. The file is the user's, mode 0600;\n"
	"memory that the host does not hold takes no room in it. When the dump fails it is\n"
	"removed.\n"
	"\n"
	"Exit code: 0 written, 1 the VM could not, 35 wrong VM or file, 128+n ended by signal n.",
	options, run
};
