/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - ebb run: starts a VM in this process, or in one of its own. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/inherited_fds.h"
#include "vmm/base/log.h"
#include "vmm/chardev/terminal.h"
#include "vmm/cli/verbs.h"
#include "vmm/config/config_file.h"
#include "vmm/process/process.h"
#include "vmm/process/service.h"

/* Standard error goes on where somebody can read it later, and keeps nobody waiting for its end. */
static void leave_standard_files(void)
{
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct stat st;

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (fstat(STDERR_FILENO, &st) || !S_ISREG(st.st_mode))
		dup2(null, STDERR_FILENO);
}

/* The VM runs: says so to the user and to the process that waits for it. */
static int report(const struct config *cfg, int waiter)
{
	printf("%s: %s, pid %d\n", cfg->name, cfg->paused ? "prelaunch" : "running",
	       (int)getpid());
	if (fflush(stdout))
		return fail(-errno, "standard output");
	leave_standard_files();
	return write(waiter, "", 1) == 1 ? 0 : -errno;
}

/* WAITER: to be told when the VM runs; -1: nobody. The exit code. */
static int run_process(struct config *cfg, int waiter)
{
	struct inherited_fds given;
	struct process *p;
	int code;

	if (config_check(cfg) || (cfg->log_file && log_open(cfg->log_file)) ||
	    service_inherit(cfg, &given) || process_new(&p, cfg))
		return EXIT_BAD_ARGUMENTS;
	/* The process that waits for us is gone: whoever started it does not want the VM any more. */
	code = waiter >= 0 && report(cfg, waiter) ? EXIT_BAD_ARGUMENTS : process_run(p);
	process_free(p);
	return code;
}

/* The exit code of PID, or 0 when it says that its VM runs. */
static int wait_for(pid_t pid, int news)
{
	int status;
	char word;

	if (read(news, &word, 1) == 1)
		return 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A session of its own: no terminal, and no signal to our process group, ends it. */
static int run_in_background(struct config *cfg)
{
	auto_close int news = -1;
	int ends[2];
	pid_t pid = -1;

	if (!pipe2(ends, O_CLOEXEC)) {
		pid = fork();
		news = ends[0];
	}
	if (pid < 0) {
		fail(-errno, "--background");
		return EXIT_BAD_ARGUMENTS;
	}
	if (!pid) {
		close(take_fd(&news)); /* else we would be somebody who waits */
		setsid();
		return run_process(cfg, ends[1]);
	}
	close(ends[1]);
	return wait_for(pid, news);
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct config cfg;
	struct json_object *given;
	int code, r;

	config_init(&cfg);
	r = config_read(&cfg, verb, argc, argv, &given);
	if (r) {
		code = r == OPTIONS_HELP ? 0 : EXIT_BAD_ARGUMENTS;
	} else if (cfg.background && !cfg.print) {
		code = run_in_background(&cfg);
	} else if (cfg.print) {
		code = config_check(&cfg) ? EXIT_BAD_ARGUMENTS : 0;
		if (!code)
			config_print(verb, given);
	} else {
		if (cfg.console == CONSOLE_STDIO || cfg.hvc == CONSOLE_STDIO)
			terminal_guard();
		code = run_process(&cfg, -1);
	}
	json_object_put(given);
	return code;
}

const struct verb verb_run = {
	"run", "-k KERNEL [OPTION...]",
	"start a VM; its serial console is standard input and output, or see --console\n"
	"\n"
	"Ctrl-a x ends the VM, Ctrl-a Ctrl-a sends one Ctrl-a. SIGTERM presses the power button, a\n"
	"second one stops the VM. Exit code: 0 power-off, 32 reboot with --no-reboot, 33 crash,\n"
	"34 guest panic, 35 could not start, 124 --timeout, 128+n ended by signal n.",
	config_options, run
};
