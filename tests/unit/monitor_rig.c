/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_rig.c - a monitor on its socket, and a client. */
#include "tests/unit/monitor_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* --- the machine ------------------------------------------------------------------------------- */

static bool park(void *ctx) { return !((struct monitor_rig *)ctx)->refuses_to_park; }
static void unpark(void *ctx) { (void)ctx; }
static void hold(void *ctx, bool on) { autosizer_hold(&((struct monitor_rig *)ctx)->autosizer, on); }
static int reboot(void *ctx) { return ((struct monitor_rig *)ctx)->reboot_error; }
static void drop_requests(void *ctx) { (void)ctx; }
static const char *forbids(void *ctx) { return ((struct monitor_rig *)ctx)->forbidden; }
static void resumed(void *ctx) { (void)ctx; }
static void press(void *ctx) { platform_power_button(&((struct monitor_rig *)ctx)->platform); }
static void log_it(void *ctx, const char *what) { (void)ctx, (void)what; }
static void quit(void *ctx) { (void)ctx; }

static bool estimate_waits(void *ctx)
{
	return ((struct monitor_rig *)ctx)->run.state != MACHINE_RUNNING;
}

static void init_run(struct monitor_rig *r)
{
	struct run_env env = { .loop = r->part.loop,
			       .sinks = &r->part.told.sinks,
			       .dump = &r->dump,
			       .park = park,
			       .unpark = unpark,
			       .hold = hold,
			       .reboot = reboot,
			       .drop_requests = drop_requests,
			       .forbids = forbids,
			       .resumed = resumed,
			       .power_button = press,
			       .log = log_it,
			       .ctx = r };
	struct run_actions actions = { 0 };

	run_state_init(&r->run, &env, &actions);
}

/* --- dumps ------------------------------------------------------------------------------------- */

static bool is_running(void *ctx) { return ((struct monitor_rig *)ctx)->run.state == MACHINE_RUNNING; }
static void pause_vm(void *ctx) { run_state_pause(&((struct monitor_rig *)ctx)->run); }

static void resume(void *ctx, const char *before)
{
	(void)before;
	cr_assert_eq(run_state_resume(&((struct monitor_rig *)ctx)->run), 0);
}

static int notes(void *ctx, void **out, size_t *bytes)
{
	(void)ctx;
	*out = calloc(1, *bytes = 4);
	return 0;
}

static void dump_ended(void *ctx, const char *error)
{
	struct vm_event event = { .kind = VM_DUMP_ENDED, .text = error };

	vm_tell(&((struct monitor_rig *)ctx)->part.told.sinks, &event);
}

static void init_dump(struct monitor_rig *r)
{
	r->dump.env = (struct dump_env){ .loop = r->part.loop,
					 .gm = &r->part.memory.gm,
					 .is_running = is_running,
					 .pause = pause_vm,
					 .is_parked = park,
					 .resume = resume,
					 .notes = notes,
					 .ended = dump_ended,
					 .ctx = r };
}

/* --- parts ------------------------------------------------------------------------------------- */

static void open_devices(struct monitor_rig *r)
{
	struct part_rig *p = &r->part;
	struct platform_env platform = { .cfg = &p->cfg,
					 .loop = p->loop,
					 .mmio = &p->mmio,
					 .pio = &p->pio,
					 .requests = &r->requests,
					 .quit = quit,
					 .ctx = r };
	struct virtio_ports_env ports = { .cfg = &p->cfg,
					  .loop = p->loop,
					  .gm = &p->memory.gm,
					  .quit = quit,
					  .ctx = r };

	cr_assert_eq(platform_open(&r->platform, &platform), 0);
	part_rig_add_devices(p);
	cr_assert_eq(disks_open(&r->disks, &p->cfg, p->loop, &p->memory.gm, &p->slots), 0);
	cr_assert_eq(virtio_ports_open(&r->ports, &ports, &p->slots), 0);
	cr_assert_eq(platform_open_console(&r->platform), 0);
	cr_assert_eq(virtio_ports_open_hosts(&r->ports), 0);
}

static void open_violations(struct monitor_rig *r)
{
	struct violations_env env = { .loop = r->part.loop,
				      .memory = &r->part.memory,
				      .run = run_state_control(&r->run),
				      .sinks = &r->part.told.sinks };

	cr_assert_eq(violations_open(&r->violations, &env, r->part.cfg.violation), 0);
}

static void open_autosizer(struct monitor_rig *r)
{
	struct autosizer_env env = { .cfg = &r->part.cfg,
				     .loop = r->part.loop,
				     .memory = &r->part.memory,
				     .balloon = &r->part.balloon,
				     .store = &r->part.store,
				     .sinks = &r->part.told.sinks };
	struct estimate_env estimate = { .loop = r->part.loop,
					 .memory = &r->part.memory,
					 .store = &r->part.store,
					 .must_wait = estimate_waits,
					 .ctx = r };
	struct host_end host;

	estimate_open(&r->estimate, &estimate);
	autosizer_init(&r->autosizer, &env);
	if (!r->part.cfg.agent)
		return;
	cr_assert_eq(autosizer_open(&r->autosizer, virtio_ports_agent_end(&r->ports), &host), 0);
	virtio_ports_connect_agent(&r->ports, &host);
}

static void name_parts(struct monitor_rig *r)
{
	r->parts = (struct machine_parts){ .cfg = &r->part.cfg,
					   .loop = r->part.loop,
					   .run = &r->run,
					   .boot = &r->boot,
					   .memory = &r->part.memory,
					   .violations = &r->violations,
					   .platform = &r->platform,
					   .disks = &r->disks,
					   .balloon = &r->part.balloon,
					   .ports = &r->ports,
					   .autosizer = &r->autosizer,
					   .working_sets = &r->part.store,
					   .estimate = &r->estimate,
					   .dump = &r->dump };
}

/* --- from start to end ------------------------------------------------------------------------- */

void monitor_rig_config(struct monitor_rig *r)
{
	struct config *c = &r->part.cfg;
	int fd;

	part_rig_config(&r->part);
	strcpy(r->dir, "/tmp/ebb-monitor-XXXXXX");
	cr_assert_not_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/qmp", r->dir);
	snprintf(r->disk, sizeof(r->disk), "%s/disk", r->dir);
	fd = open(r->disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	strcpy(c->name, "unit");
	strcpy(c->uuid, "00000000-0000-0000-0000-000000000001");
	c->qmp_path = r->path;
	c->console = CONSOLE_NONE;
	c->nr_disks = 1;
	strcpy(c->disks[0].path, r->disk);
	c->nr_ports = 1;
	strcpy(c->ports[0].name, "org.example");
	c->autosize.rate_mib = 100;
}

void monitor_rig_start(struct monitor_rig *r)
{
	struct part_rig *p = &r->part;

	signal(SIGPIPE, SIG_IGN); /* as the process does */
	part_rig_init(p);
	cr_assert_eq(monitor_open(&r->mon, p->loop, &p->cfg), 0);
	init_run(r);
	init_dump(r);
	open_devices(r);
	open_violations(r);
	open_autosizer(r);
	name_parts(r);
	monitor_attach(&r->mon, &r->parts, &p->told.sinks);
	bus_freeze(&p->mmio);
	cr_assert_eq(run_state_resume(&r->run), 0);
	wire_connect_silently(&r->wire, r->path);
	monitor_rig_say(r, "qmp_capabilities", NULL);
	r->events[0] = 0;
}

void monitor_rig_stop(struct monitor_rig *r)
{
	dump_abort(&r->dump, "the test is over");
	estimate_end(&r->estimate, "the test is over");
	autosizer_close(&r->autosizer);
	violations_close(&r->violations);
	virtio_ports_close_hosts(&r->ports);
	platform_close_console(&r->platform);
	virtio_ports_close(&r->ports);
	disks_close(&r->disks);
	platform_close(&r->platform);
	wire_close(&r->wire);
	loop_lock(r->part.loop);
	monitor_close(&r->mon);
	loop_unlock(r->part.loop);
	part_rig_destroy(&r->part);
	unlink(r->disk);
	rmdir(r->dir);
}

/* --- the client -------------------------------------------------------------------------------- */

static void quotes(char *text, char from, char to)
{
	for (; *text; text++)
		if (*text == from)
			*text = to;
}

#define FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/* Lines that have come; the last one that is a reply goes to ->said, events without their time to
 * ->events. */
static void take_lines(struct monitor_rig *r)
{
	struct pollfd p = { .fd = r->wire.fd, .events = POLLIN };

	while (r->wire.len || poll(&p, 1, 0) == 1) {
		struct json_object *o = wire_read(&r->wire);
		char *to = r->said;

		cr_assert_not_null(o);
		if (json_object_object_get_ex(o, "QMP", NULL)) {
			json_object_put(o);
			continue;
		}
		if (json_object_object_get_ex(o, "event", NULL)) {
			json_object_object_del(o, "timestamp");
			to = r->events + strlen(r->events);
		}
		snprintf(to, (size_t)((to == r->said ? r->said : r->events) + sizeof(r->said) - to),
			 "%s%s", json_object_to_json_string_ext(o, FLAGS),
			 to == r->said ? "" : "\n");
		quotes(to, '"', '\'');
		json_object_put(o);
	}
}

const char *monitor_rig_say(struct monitor_rig *r, const char *command, const char *arguments)
{
	static char request[8192];

	snprintf(request, sizeof(request), "{'execute':'%s'%s%s}", command,
		 arguments ? ",'arguments':" : "", arguments ? arguments : "");
	r->said[0] = 0;
	wire_send(&r->wire, request);
	part_rig_run(&r->part, 1);
	take_lines(r);
	return r->said;
}

void monitor_rig_returns(struct monitor_rig *r, const char *command, const char *arguments,
			 const char *value)
{
	static char want[65536];

	snprintf(want, sizeof(want), "{'return':%s}", value);
	cr_expect_str_eq(monitor_rig_say(r, command, arguments), want, "%s: %s", command, r->said);
}

void monitor_rig_has(struct monitor_rig *r, const char *command, const char *arguments,
		     const char *words)
{
	monitor_rig_say(r, command, arguments);
	cr_expect(strstr(r->said, "{'return':") == r->said, "%s: %s", command, r->said);
	cr_expect(strstr(r->said, words), "%s: %s", command, r->said);
}

void monitor_rig_refuses(struct monitor_rig *r, const char *command, const char *arguments,
			 const char *class, const char *words)
{
	char want[128];

	snprintf(want, sizeof(want), "{'error':{'class':'%s'", class);
	monitor_rig_say(r, command, arguments);
	cr_expect(strstr(r->said, want) == r->said, "%s: %s", command, r->said);
	cr_expect(strstr(r->said, words), "%s: %s", command, r->said);
}

const char *monitor_rig_events(struct monitor_rig *r, uint64_t ns)
{
	static char events[sizeof(r->events)];

	part_rig_run(&r->part, ns);
	take_lines(r);
	strcpy(events, r->events);
	r->events[0] = 0;
	return events;
}
