/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run_state.c - pause, resume, dump, reset and end of a machine, in every order. What it does
 * to the machine and what it tells is one text, so that a table can say in which order that is.
 */
#include "vmm/machine/run_state.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "tests/unit/fake_clock.h"
#include "tests/unit/recorder.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/exit_code.h"

#define RAM_BYTES (2 * MiB)

static struct loop *loop;
static struct fake_clock ticks;
static struct recorder told;
static struct ram ram;
static struct guest_mem gm;
static struct dump dump;
static struct run_state s;
static char text[512]; /* what has happened since the last look */
static int dump_pipe[2];

/* What the machine answers. */
static bool refuses_to_park;
static int reboot_error, notes_error;
static const char *forbidden;
static bool held;

static void printf_like(1, 2) happened(const char *fmt, ...)
{
	size_t nr = strlen(text);
	va_list args;

	va_start(args, fmt);
	if (nr)
		text[nr++] = ' ';
	vsnprintf(text + nr, sizeof(text) - nr, fmt, args);
	va_end(args);
}

/* --- the machine ------------------------------------------------------------------------------- */

static bool park(void *ctx)
{
	(void)ctx;
	happened("park");
	return !refuses_to_park;
}

static void unpark(void *ctx) { (void)ctx, happened("unpark"); }

static void hold(void *ctx, bool on)
{
	(void)ctx;
	held = on;
	happened(on ? "hold" : "let-go");
}

static int reboot(void *ctx)
{
	(void)ctx;
	happened("reboot");
	return reboot_error;
}

static void drop_requests(void *ctx) { (void)ctx, happened("drop"); }

static const char *forbids(void *ctx) { return (void)ctx, forbidden; }
static void resumed(void *ctx) { (void)ctx, happened("resumed"); }
static void power_button(void *ctx) { (void)ctx, happened("button"); }
static void log_what(void *ctx, const char *what) { (void)ctx, happened("log(%s)", what); }

/* --- a dump's view of it ----------------------------------------------------------------------- */

static bool is_running(void *ctx) { return (void)ctx, s.state == MACHINE_RUNNING; }
static void pause_vm(void *ctx) { (void)ctx, run_state_pause(&s); }
static bool is_parked(void *ctx) { return (void)ctx, !refuses_to_park; }

static void resume_after_dump(void *ctx, const char *before)
{
	(void)ctx;
	if (s.state == MACHINE_PAUSED && run_state_resume(&s))
		happened("(%s)", before);
}

static int notes(void *ctx, void **out, size_t *bytes)
{
	(void)ctx;
	if (notes_error)
		return notes_error;
	*out = strdup("note");
	*bytes = 5;
	return 0;
}

static void dump_ended(void *ctx, const char *error)
{
	(void)ctx;
	happened("DUMP(%s)", error ? error : "written");
	loop_stop(loop);
}

/* --- what is told ------------------------------------------------------------------------------ */

static const char *who(const struct vm_event *e) { return e->cause.guest ? "guest" : "host"; }

static void hear(void *ctx, const struct vm_event *e)
{
	(void)ctx;
	switch (e->kind) {
	case VM_STATE:
		happened("%s%s", machine_state_name(e->run.state), e->run.ending ? "/ending" : "");
		break;
	case VM_STOPPED:
		happened("STOPPED");
		break;
	case VM_RESUMED:
		happened("RESUMED");
		break;
	case VM_POWER_BUTTON:
		happened("BUTTON");
		break;
	case VM_RESET:
		happened("RESET(%s,%s)", who(e), e->cause.reason);
		break;
	case VM_ENDED:
		happened("ENDED(%s,%s)", who(e), e->cause.reason);
		break;
	case VM_PANICKED:
		happened("PANICKED(%s)", e->pauses ? "pauses" : "ends");
		break;
	case VM_CRASH_KERNEL:
		happened("CRASH-KERNEL");
		break;
	default:
		cr_assert_fail("nothing else is to be told: %d", (int)e->kind);
	}
}

/* --- from start to end ------------------------------------------------------------------------- */

static void init(struct run_actions actions)
{
	struct run_env env = { .loop = loop, .sinks = &told.sinks, .dump = &dump, .park = park,
			       .unpark = unpark, .hold = hold, .reboot = reboot,
			       .drop_requests = drop_requests, .forbids = forbids,
			       .resumed = resumed, .power_button = power_button, .log = log_what };

	recorder_init(&told);
	vm_sinks_add(&told.sinks, (struct vm_sink){ hear, NULL });
	dump = (struct dump){ .env = { .loop = loop, .gm = &gm, .is_running = is_running,
				       .pause = pause_vm, .is_parked = is_parked,
				       .resume = resume_after_dump, .notes = notes,
				       .ended = dump_ended } };
	run_state_init(&s, &env, &actions);
	refuses_to_park = false;
	reboot_error = notes_error = 0;
	forbidden = NULL;
	held = false;
	text[0] = 0;
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&ticks, loop);
	cr_assert_eq(ram_create(&ram, "ram", RAM_BYTES), 0);
	gm = (struct guest_mem){ .nr_regions = 0 };
	cr_assert_eq(gm_add(&gm, GPA(0), RAM_BYTES, &ram, 0, NULL), 0);
	gm_freeze(&gm);
	dump_pipe[0] = dump_pipe[1] = -1;
	init((struct run_actions){ 0 });
}

static void teardown(void)
{
	dump_abort(&dump, "the test is over");
	if (dump_pipe[0] >= 0)
		close(dump_pipe[0]);
	ram_destroy(&ram);
	loop_free(loop);
}

TestSuite(run_state, .init = setup, .fini = teardown, .timeout = 240);

/* --- steps ------------------------------------------------------------------------------------- */

static void do_resume(void) { cr_expect_eq(run_state_resume(&s), 0); }
static void do_not_resume(void) { cr_expect_eq(run_state_resume(&s), -EPERM); }
static void do_pause(void) { run_state_pause(&s); }
static void do_reset(void) { run_state_reset(&s, false); }
static void do_end(void) { run_state_end(&s, 5, false, "host-signal"); }
static void do_press(void) { run_state_power_button(&s); }
static void do_crash_kernel(void) { run_state_crash_kernel(&s); }

static void ask(struct vm_request request) { run_state_requested(&s, &request); }
static void do_nothing(void) { ask((struct vm_request){ .kind = REQUEST_NONE }); }
static void do_power_off(void) { ask((struct vm_request){ .kind = REQUEST_POWER_OFF }); }
static void do_reboot(void) { ask((struct vm_request){ .kind = REQUEST_RESET }); }
static void do_panic(void) { ask((struct vm_request){ .kind = REQUEST_PANIC }); }

static void do_debug_exit(void)
{
	ask((struct vm_request){ .kind = REQUEST_DEBUG_EXIT, .exit_code = 9 });
}

static void do_crash(void)
{
	ask((struct vm_request){ .kind = REQUEST_CRASH, .text = "rip", .guest_crashed = true });
}

static void do_host_crash(void)
{
	ask((struct vm_request){ .kind = REQUEST_CRASH, .text = "errno" });
}

/* To a pipe that is full at once: it is under way until somebody reads. */
static void do_dump(void)
{
	if (dump_pipe[0] >= 0)
		close(dump_pipe[0]);
	cr_assert_eq(pipe2(dump_pipe, O_CLOEXEC), 0);
	cr_assert_eq(dump_start(&dump, dump_pipe[1]), 0);
}

static void read_some(void *ctx, uint32_t events)
{
	static char bytes[65536];

	(void)ctx, (void)events;
	cr_assert_gt(read(dump_pipe[0], bytes, sizeof(bytes)), 0);
}

/* All of it is read. */
static void do_read_dump(void)
{
	cr_assert(dump_is_active(&dump));
	cr_assert_eq(loop_add(loop, dump_pipe[0], EPOLLIN, read_some, NULL), 0);
	cr_assert_eq(loop_run(loop), 0);
	loop_remove(loop, dump_pipe[0]);
}

/* --- tables of sequences ----------------------------------------------------------------------- */

struct step {
	void (*act)(void);
	const char *want; /* "": nothing happens */
};

static void walk(const char *name, const struct step *steps)
{
	for (unsigned int i = 0; steps[i].act; i++) {
		const struct vm_event *last;

		text[0] = 0;
		stderr_keep();
		steps[i].act();
		(void)stderr_text();
		cr_expect_str_eq(text, steps[i].want, "%s, step %u: %s", name, i, text);
		last = recorder_last(&told, VM_STATE);
		cr_expect_eq(s.state, last ? last->run.state : MACHINE_PRELAUNCH, "%s, step %u",
			     name, i);
	}
}

#define RUNS	    { do_resume, RESUMES }
#define RESUMES	    "resumed let-go unpark running RESUMED"
#define PAUSES	    "park hold paused STOPPED"
#define RESETS	    "reboot RESET(host,host-qmp-system-reset)"
#define HALTS	    "park hold drop"
#define ENDS	    "/ending ENDED(host,host-signal)"
#define POWERED_OFF "ENDED(guest,guest-shutdown)"
#define PANICKED    "ENDED(guest,guest-panic)"

static const struct {
	const char *name;
	struct run_actions actions;
	struct step steps[10];
	bool ending;
	int exit_code;
} sequences[] = {
	{ .name = "pause and resume",
	  .steps = { RUNS, { do_resume, "" }, { do_pause, PAUSES }, { do_pause, "" }, RUNS } },
	{ .name = "pause before it ran", .steps = { { do_pause, "" }, RUNS } },
	{ .name = "the button",
	  .steps = { RUNS, { do_press, "button BUTTON" }, { do_nothing, "" } } },
	{ .name = "crash kernel",
	  .steps = { RUNS, { do_crash_kernel, "CRASH-KERNEL" }, { do_pause, PAUSES } } },

	{ .name = "reset while it runs",
	  .steps = { RUNS, { do_reset, RESETS " unpark running" }, { do_pause, PAUSES } } },
	{ .name = "reset while paused",
	  .steps = { RUNS, { do_pause, PAUSES }, { do_reset, RESETS " paused" }, RUNS } },
	{ .name = "reset before it ran", .steps = { { do_reset, RESETS " prelaunch" }, RUNS } },
	{ .name = "reboot",
	  .steps = { RUNS, { do_reboot, "reboot RESET(guest,guest-reset) unpark running" } } },
	{ .name = "reboot ends",
	  .actions = { .reboot_ends = true },
	  .steps = { RUNS, { do_reboot, "shutdown/ending ENDED(guest,guest-reset)" },
		     { do_reset, "" }, { do_end, "" } },
	  .ending = true, .exit_code = EXIT_NO_REBOOT },
	{ .name = "reboot ends, and that pauses",
	  .actions = { .reboot_ends = true, .power_off_pauses = true },
	  .steps = { RUNS, { do_reboot, "ENDED(guest,guest-reset) " HALTS " shutdown STOPPED" },
		     { do_not_resume, "" }, { do_reset, RESETS " prelaunch" }, RUNS } },

	{ .name = "power off",
	  .steps = { RUNS, { do_power_off, "shutdown/ending " POWERED_OFF }, { do_end, "" } },
	  .ending = true, .exit_code = EXIT_POWER_OFF },
	{ .name = "power off pauses",
	  .actions = { .power_off_pauses = true },
	  .steps = { RUNS, { do_power_off, POWERED_OFF " " HALTS " shutdown STOPPED" },
		     { do_pause, "" }, { do_not_resume, "" }, { do_end, "shutdown" ENDS } },
	  .ending = true, .exit_code = 5 },
	{ .name = "power off, asked for on the way into a pause",
	  .actions = { .power_off_pauses = true },
	  .steps = { RUNS, { do_pause, PAUSES },
		     { do_power_off, POWERED_OFF " hold drop shutdown" }, { do_not_resume, "" } } },
	{ .name = "debug exit",
	  .actions = { .power_off_pauses = true, .crash_pauses = true },
	  .steps = { RUNS, { do_debug_exit, "shutdown/ending " POWERED_OFF } },
	  .ending = true, .exit_code = 9 },

	{ .name = "crash",
	  .steps = { RUNS, { do_crash, "PANICKED(ends) guest-panicked/ending " PANICKED },
		     { do_reset, "" } },
	  .ending = true, .exit_code = EXIT_CRASH },
	{ .name = "crash pauses",
	  .actions = { .crash_pauses = true },
	  .steps = { RUNS, { do_crash, "PANICKED(pauses) " HALTS " guest-panicked STOPPED" },
		     { do_not_resume, "" }, { do_reset, RESETS " prelaunch" }, RUNS } },
	{ .name = "crash pauses, then the end",
	  .actions = { .crash_pauses = true },
	  .steps = { RUNS, { do_crash, "PANICKED(pauses) " HALTS " guest-panicked STOPPED" },
		     { do_end, "guest-panicked" ENDS } },
	  .ending = true, .exit_code = 5 },
	{ .name = "the host gives up",
	  .steps = { RUNS, { do_host_crash, "internal-error/ending " PANICKED } },
	  .ending = true, .exit_code = EXIT_CRASH },
	{ .name = "the host gives up, and that pauses",
	  .actions = { .crash_pauses = true },
	  .steps = { RUNS, { do_host_crash, HALTS " internal-error STOPPED" },
		     { do_not_resume, "" }, { do_end, "internal-error" ENDS } },
	  .ending = true, .exit_code = 5 },
	{ .name = "panic",
	  .actions = { .power_off_pauses = true },
	  .steps = { RUNS, { do_panic, "log(the guest has panicked) PANICKED(ends) "
				       "guest-panicked/ending " PANICKED } },
	  .ending = true, .exit_code = EXIT_PANIC },
	{ .name = "panic pauses",
	  .actions = { .crash_pauses = true },
	  .steps = { RUNS, { do_panic, "log(the guest has panicked) PANICKED(pauses) " HALTS
				       " guest-panicked STOPPED" },
		     { do_not_resume, "" } } },

	{ .name = "dump of a VM that runs",
	  .steps = { RUNS, { do_dump, PAUSES }, { do_not_resume, "" },
		     { do_read_dump, "DUMP(written) " RESUMES } } },
	{ .name = "dump of a VM that is paused",
	  .steps = { RUNS, { do_pause, PAUSES }, { do_dump, "" },
		     { do_read_dump, "DUMP(written)" }, RUNS } },
	{ .name = "dump of a VM that never ran",
	  .steps = { { do_dump, "" }, { do_read_dump, "DUMP(written)" }, RUNS } },
	{ .name = "pause during a dump stays, for that dump",
	  .steps = { RUNS, { do_dump, PAUSES }, { do_pause, "" },
		     { do_read_dump, "DUMP(written)" }, RUNS, { do_dump, PAUSES },
		     { do_read_dump, "DUMP(written) " RESUMES } } },
	{ .name = "reset during a dump",
	  .steps = { RUNS, { do_dump, PAUSES },
		     { do_reset, "DUMP(the machine was reset meanwhile) " RESUMES " " RESETS
				 " unpark running" } } },
	{ .name = "reset during a dump of a paused VM",
	  .steps = { RUNS, { do_pause, PAUSES }, { do_dump, "" },
		     { do_reset, "DUMP(the machine was reset meanwhile) " RESETS " paused" } } },
	{ .name = "power off as a dump begins",
	  .actions = { .power_off_pauses = true },
	  .steps = { RUNS, { do_dump, PAUSES }, { do_power_off, POWERED_OFF " hold drop shutdown" },
		     { do_not_resume, "" }, { do_read_dump, "DUMP(written)" },
		     { do_not_resume, "" } } },
	{ .name = "the end during a dump",
	  .steps = { RUNS, { do_dump, PAUSES }, { do_end, "shutdown" ENDS } },
	  .ending = true, .exit_code = 5 },
};

Test(run_state, sequences_do_and_tell_what_they_should_in_order)
{
	for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
		init(sequences[i].actions);
		walk(sequences[i].name, sequences[i].steps);
		cr_expect_eq(s.ending, sequences[i].ending, "%s", sequences[i].name);
		cr_expect_eq(s.exit_code, sequences[i].exit_code, "%s: %d", sequences[i].name,
			     s.exit_code);
		if (!s.ending)
			cr_expect_eq(held, s.state != MACHINE_RUNNING, "%s", sequences[i].name);
		dump_abort(&dump, "the next row");
	}
}

/* --- reasons ----------------------------------------------------------------------------------- */

static void expect_forbidden(const char *part)
{
	const char *why = run_state_forbids(&s);

	cr_assert_not_null(why, "%s", part);
	cr_expect_not_null(strstr(why, part), "%s", why);
	cr_expect_eq(run_state_resume(&s), -EPERM, "%s", part);
}

Test(run_state, each_reason_not_to_run_says_the_way_out)
{
	struct {
		void (*act)(void);
		const char *part;
	} rows[] = { { do_power_off, "has powered off; system_reset" },
		     { do_crash, "has crashed or panicked; system_reset" },
		     { do_host_crash, "KVM can't carry on with it; system_reset" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		init((struct run_actions){ .power_off_pauses = true, .crash_pauses = true });
		cr_expect_null(run_state_forbids(&s));
		do_resume();
		stderr_keep();
		rows[i].act();
		(void)stderr_text();
		expect_forbidden(rows[i].part);
		do_reset();
		cr_expect_null(run_state_forbids(&s));
	}
}

Test(run_state, a_dump_forbids_to_run_and_a_part_of_the_machine_comes_before_it)
{
	do_resume();
	do_dump();
	expect_forbidden("a dump is being written; query-dump");
	forbidden = "the guard is broken";
	expect_forbidden("the guard is broken");
	text[0] = 0;
	do_read_dump();
	cr_expect_str_eq(text, "DUMP(written) (the VM stays paused after the dump)");
	cr_expect_eq(s.state, MACHINE_PAUSED);
	forbidden = NULL;
	do_resume();
}

/* --- what fails -------------------------------------------------------------------------------- */

Test(run_state, a_vcpu_that_cannot_be_stopped_is_logged_and_the_vm_is_paused)
{
	do_resume();
	refuses_to_park = true;
	stderr_keep();
	do_pause();
	cr_expect_not_null(strstr(stderr_text(), "a vCPU waits in the kernel for memory"));
	cr_expect_eq(s.state, MACHINE_PAUSED);
	cr_expect(held);
}

Test(run_state, a_reboot_that_fails_ends_the_machine)
{
	for (int guest = 0; guest < 2; guest++) {
		init((struct run_actions){ .crash_pauses = true, .power_off_pauses = true });
		do_resume();
		reboot_error = -ENOMEM;
		text[0] = 0;
		stderr_keep();
		run_state_reset(&s, guest);
		cr_expect_not_null(strstr(stderr_text(), "reset failed; the VM ends"));
		cr_expect_str_eq(text, guest ?
					 "reboot internal-error/ending ENDED(guest,host-error)" :
					 "reboot internal-error/ending ENDED(host,host-error)");
		cr_expect_eq(s.exit_code, EXIT_CRASH);
		cr_expect_eq(recorder_count(&told, VM_RESET), 0);
	}
}

static void end_later(void *ctx) { (void)ctx, do_end(); }

Test(run_state, the_first_end_counts_and_stops_the_loop)
{
	struct loop_timer timer = { .fn = end_later };

	do_resume();
	loop_timer_set(loop, &timer, 1);
	cr_assert_eq(loop_run(loop), 0);
	run_state_end(&s, 6, true, "guest-shutdown");
	cr_expect_eq(s.exit_code, 5);
	cr_expect_eq(recorder_count(&told, VM_ENDED), 1);
	cr_expect_str_eq(recorder_last(&told, VM_ENDED)->cause.reason, "host-signal");
}

/* --- dumps ------------------------------------------------------------------------------------- */

static void expect_dump_refused(int fd, int error)
{
	struct dump before = dump;

	stderr_keep();
	text[0] = 0;
	cr_expect_eq(dump_start(&dump, fd), error);
	(void)stderr_text();
	cr_expect_str_eq(text, PAUSES " " RESUMES);
	cr_expect_eq(dump.state, DUMP_COMPLETED, "the latest one is that before");
	cr_expect_eq(dump.done_bytes, before.done_bytes);
	cr_expect_eq(s.state, MACHINE_RUNNING);
}

Test(run_state, a_dump_that_cannot_begin_leaves_the_vm_as_it_was)
{
	auto_close int file = memfd_create("dump", MFD_CLOEXEC);
	int ends[2];

	do_resume();
	do_dump();
	do_read_dump();
	refuses_to_park = true;
	expect_dump_refused(file, -EBUSY);
	refuses_to_park = false;
	notes_error = -EBUSY;
	expect_dump_refused(file, -EBUSY);
	notes_error = 0;
	expect_dump_refused(-1, -EBADF);
	/* The loop watches it for somebody else. */
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(loop_add(loop, ends[1], 0, read_some, NULL), 0);
	expect_dump_refused(ends[1], -EEXIST);
	loop_remove(loop, ends[1]);
	close(ends[0]);
	close(ends[1]);
}

Test(run_state, a_dump_that_cannot_begin_leaves_a_paused_vm_paused)
{
	do_resume();
	do_pause();
	text[0] = 0;
	refuses_to_park = true;
	cr_expect_eq(dump_start(&dump, -1), -EBUSY);
	cr_expect_str_eq(text, "");
	cr_expect_eq(s.state, MACHINE_PAUSED);
}

Test(run_state, a_dump_goes_into_a_file_as_a_core)
{
	int file = memfd_create("dump", MFD_CLOEXEC);
	auto_close int ours = fcntl(file, F_DUPFD_CLOEXEC, 0);
	Elf64_Ehdr head;

	do_resume();
	cr_assert_eq(dump_start(&dump, file), 0);
	cr_expect_str_eq(dump_state_name(dump.state), "active");
	cr_expect_gt(dump.total_bytes, RAM_BYTES);
	cr_assert_eq(loop_run(loop), 0);
	cr_expect_str_eq(dump_state_name(dump.state), "completed");
	cr_expect_eq(dump.done_bytes, dump.total_bytes);
	cr_expect_eq(lseek(ours, 0, SEEK_END), (off_t)dump.total_bytes);
	cr_assert_eq(pread(ours, &head, sizeof(head), 0), (ssize_t)sizeof(head));
	cr_expect_eq(memcmp(head.e_ident, ELFMAG, SELFMAG), 0);
	cr_expect_eq(head.e_type, ET_CORE);
	cr_expect_eq(fcntl(file, F_GETFD), -1, "its own, and closed");
	cr_expect_eq(s.state, MACHINE_RUNNING);
}

Test(run_state, a_dump_whose_reader_goes_fails_and_the_vm_runs_again)
{
	do_resume();
	do_dump();
	text[0] = 0;
	close(dump_pipe[0]);
	dump_pipe[0] = -1;
	cr_assert_eq(loop_run(loop), 0);
	cr_expect_str_eq(dump_state_name(dump.state), "failed");
	cr_expect_eq(strncmp(text, "DUMP(after 0 of ", 16), 0, "%s", text);
	cr_expect_not_null(strstr(text, "bytes: Broken pipe) " RESUMES), "%s", text);
	dump_abort(&dump, "none is under way");
	cr_expect_null(strstr(text, "none is under way"));
}

Test(run_state, a_file_that_is_full_fails_the_dump)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	cr_assert_eq(dump_start(&dump, full), 0);
	cr_assert_eq(loop_run(loop), 0);
	cr_expect_not_null(strstr(text, "No space left on device"), "%s", text);
	cr_expect_eq(dump.state, DUMP_FAILED);
}

/* --- what others get of it --------------------------------------------------------------------- */

Test(run_state, parts_park_for_a_moment_and_the_vm_counts_as_running)
{
	struct run_control c = run_state_control(&s);

	cr_expect_not(c.is_running(c.ctx));
	do_resume();
	cr_expect(c.is_running(c.ctx));
	text[0] = 0;
	cr_expect(c.park(c.ctx));
	cr_expect(c.is_running(c.ctx));
	c.unpark(c.ctx);
	cr_expect_str_eq(text, "park unpark");
	refuses_to_park = true;
	cr_expect_not(c.park(c.ctx));
}

Test(run_state, parts_do_not_let_a_vm_go_on_that_stands)
{
	struct run_control c = run_state_control(&s);

	do_resume();
	c.pause(c.ctx);
	cr_expect_eq(s.state, MACHINE_PAUSED);
	text[0] = 0;
	cr_expect(c.park(c.ctx));
	c.unpark(c.ctx);
	cr_expect_str_eq(text, "park");
	c.end(c.ctx, 37, true, "guest-panic");
	cr_expect_eq(s.exit_code, 37);
	cr_expect(recorder_last(&told, VM_ENDED)->cause.guest);
}

Test(run_state, states_have_names)
{
	static const char *const names[] = { "prelaunch", "running", "paused", "shutdown",
					     "guest-panicked", "internal-error" };
	char all[128] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cr_expect_str_eq(machine_state_name((enum machine_state)i), names[i]);
		strcat(all, i ? "|" : "");
		strcat(all, names[i]);
	}
	cr_expect_str_eq(all, MACHINE_STATES);
	cr_expect_str_eq(dump_state_name(DUMP_NONE), "none");
}
