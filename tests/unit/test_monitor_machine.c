/* SPDX-License-Identifier: Apache-2.0 */
/* test_monitor_machine.c - the machine as a whole, dumps, disks, consoles and texts by QMP. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/monitor_rig.h"

static struct monitor_rig r;

static void setup(void)
{
	monitor_rig_config(&r);
	monitor_rig_start(&r);
}

static void teardown(void) { monitor_rig_stop(&r); }

TestSuite(monitor_machine, .init = setup, .fini = teardown, .timeout = 240);

Test(monitor_machine, it_says_what_it_is)
{
	monitor_rig_returns(&r, "query-name", NULL, "{'name':'unit'}");
	monitor_rig_returns(&r, "query-uuid", NULL,
			    "{'UUID':'00000000-0000-0000-0000-000000000001'}");
	monitor_rig_returns(&r, "query-kvm", NULL, "{'enabled':true,'present':true}");
	monitor_rig_returns(&r, "query-cpus-fast", NULL, "[]");
	monitor_rig_returns(&r, "query-cpus", NULL, "[]");
}

Test(monitor_machine, stop_and_cont_are_told_once)
{
	monitor_rig_returns(&r, "query-status", NULL,
			    "{'running':true,'singlestep':false,'status':'running'}");
	monitor_rig_returns(&r, "stop", NULL, "{}");
	monitor_rig_returns(&r, "stop", NULL, "{}");
	monitor_rig_returns(&r, "query-status", NULL,
			    "{'running':false,'singlestep':false,'status':'paused'}");
	monitor_rig_returns(&r, "cont", NULL, "{}");
	monitor_rig_returns(&r, "cont", NULL, "{}");
	cr_expect_str_eq(monitor_rig_events(&r, 1), "{'event':'STOP','data':{}}\n{'event':'RESUME','data':{}}\n");
}

Test(monitor_machine, cont_says_why_it_can_not)
{
	monitor_rig_returns(&r, "stop", NULL, "{}");
	r.forbidden = "no memory is guarded";
	monitor_rig_refuses(&r, "cont", NULL, "GenericError",
			    "the VM can't go on: no memory is guarded");
}

Test(monitor_machine, the_power_button_reset_and_quit_say_who)
{
	monitor_rig_returns(&r, "system_powerdown", NULL, "{}");
	monitor_rig_returns(&r, "system_reset", NULL, "{}");
	cr_expect_str_eq(monitor_rig_events(&r, 1),
			 "{'event':'POWERDOWN','data':{}}\n"
			 "{'event':'RESET','data':{'guest':false,"
			 "'reason':'host-qmp-system-reset'}}\n");
	monitor_rig_returns(&r, "quit", NULL, "{}");
	cr_expect(r.run.ending);
	cr_expect_eq(r.run.exit_code, 0);
	cr_expect(strstr(r.events, "'SHUTDOWN','data':{'guest':false,'reason':'host-qmp-quit'}"));
}

Test(monitor_machine, actions_are_set_one_by_one)
{
	monitor_rig_returns(&r, "set-action", "{'reboot':'shutdown'}", "{}");
	cr_expect(r.run.actions.reboot_ends && !r.run.actions.crash_pauses);
	monitor_rig_returns(&r, "set-action", "{'panic':'pause','shutdown':'pause'}", "{}");
	cr_expect(r.run.actions.reboot_ends && r.run.actions.crash_pauses);
	cr_expect(r.run.actions.power_off_pauses);
	monitor_rig_returns(&r, "set-action", "{'reboot':'reset','panic':'exit-failure'}", "{}");
	cr_expect(!r.run.actions.reboot_ends && !r.run.actions.crash_pauses);
	monitor_rig_refuses(&r, "set-action", "{'watchdog':'none'}", "DeviceNotActive",
			    "no watchdog");
}

Test(monitor_machine, an_nmi_needs_a_vm)
{
	r.boot.vm.fd = -1;
	monitor_rig_refuses(&r, "inject-nmi", NULL, "GenericError", "");
}

/* --- what the guest does ----------------------------------------------------------------------- */

static void requested(enum vm_request_kind kind)
{
	struct vm_request request = { .kind = kind, .text = "registers", .guest_crashed = true };

	run_state_requested(&r.run, &request);
}

Test(monitor_machine, a_guest_that_panics_is_told_with_what_follows)
{
	monitor_rig_returns(&r, "set-action", "{'panic':'pause'}", "{}");
	run_state_crash_kernel(&r.run);
	requested(REQUEST_PANIC);
	cr_expect_str_eq(monitor_rig_events(&r, 1),
			 "{'event':'GUEST_CRASHLOADED','data':{'action':'run'}}\n"
			 "{'event':'GUEST_PANICKED','data':{'action':'pause'}}\n"
			 "{'event':'STOP','data':{}}\n");
	monitor_rig_has(&r, "query-status", NULL, "'guest-panicked'");
	monitor_rig_returns(&r, "human-monitor-command", "{'command-line':'info status'}",
			    "'VM status: paused (guest-panicked)\\r\\n'");
}

Test(monitor_machine, one_that_crashes_ends)
{
	requested(REQUEST_CRASH);
	cr_expect_str_eq(monitor_rig_events(&r, 1),
			 "{'event':'GUEST_PANICKED','data':{'action':'poweroff'}}\n"
			 "{'event':'SHUTDOWN','data':{'guest':true,'reason':'guest-panic'}}\n");
}

/* --- dumps ------------------------------------------------------------------------------------- */

/* A file that takes nothing, because nobody reads: a dump to it stays under way. */
static int open_fifo(char path[128])
{
	snprintf(path, 128, "file:%s/core", r.dir);
	cr_assert_eq(mkfifo(path + 5, 0600), 0);
	return open(path + 5, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static const char *dump_to(const char *path, const char *rest)
{
	static char arguments[256];

	snprintf(arguments, sizeof(arguments), "{'paging':false,'protocol':'%s'%s}", path, rest);
	return arguments;
}

Test(monitor_machine, a_dump_is_answered_at_its_end)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "file:%s/core", r.dir);
	monitor_rig_returns(&r, "query-dump", NULL, "{'status':'none','completed':0,'total':0}");
	monitor_rig_say(&r, "dump-guest-memory", dump_to(path, ""));
	cr_expect(strstr(monitor_rig_events(&r, NS_PER_S), "'DUMP_COMPLETED'"));
	cr_expect_str_eq(r.said, "{'return':{}}");
	monitor_rig_has(&r, "query-dump", NULL, "'completed'");
	cr_expect_eq(stat(path + 5, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	cr_expect_eq(r.run.state, MACHINE_RUNNING);
	unlink(path + 5);
}

Test(monitor_machine, or_at_once)
{
	char path[128];
	auto_close int reader = open_fifo(path);

	monitor_rig_returns(&r, "dump-guest-memory", dump_to(path, ",'detach':true"), "{}");
	monitor_rig_refuses(&r, "dump-guest-memory", dump_to(path, ""), "GenericError",
			    "a dump is being written");
	monitor_rig_refuses(&r, "cont", NULL, "GenericError", "a dump is being written");
	close(take_fd(&reader));
	cr_expect(strstr(monitor_rig_events(&r, NS_PER_S),
			 "'DUMP_COMPLETED','data':{'result':{'status':'failed'"), "%s", r.events);
	unlink(path + 5);
}

Test(monitor_machine, one_that_is_aborted_tells_its_client_why)
{
	char path[128];
	auto_close int reader = open_fifo(path);

	cr_expect_geq(reader, 0);
	monitor_rig_say(&r, "dump-guest-memory", dump_to(path, ""));
	dump_abort(&r.dump, "the test ends it");
	cr_expect(strstr(monitor_rig_events(&r, 1), "'error':'the test ends it'"));
	cr_expect(strstr(r.said, "dump: the test ends it"), "%s", r.said);
	unlink(path + 5);
}

Test(monitor_machine, dumps_are_refused_with_the_way_out)
{
	monitor_rig_refuses(&r, "dump-guest-memory", "{'paging':true,'protocol':'file:/x'}",
			    "GenericError", "paging is not supported");
	monitor_rig_refuses(&r, "dump-guest-memory", dump_to("file:/x", ",'format':'kdump-lzo'"),
			    "GenericError", "'kdump-lzo' is not supported: take elf");
	monitor_rig_refuses(&r, "dump-guest-memory", dump_to("x", ""), "GenericError",
			    "must start with 'file:' or 'fd:'");
	monitor_rig_refuses(&r, "dump-guest-memory", dump_to("fd:core", ""), "GenericError",
			    "'core' not found");
	monitor_rig_refuses(&r, "dump-guest-memory", dump_to("file:/nonexistent/core", ""),
			    "GenericError", "No such file");
	r.refuses_to_park = true;
	monitor_rig_refuses(&r, "dump-guest-memory", dump_to("file:/dev/null", ""), "GenericError",
			    "a vCPU can't be stopped");
	r.run.ending = true;
	monitor_rig_refuses(&r, "dump-guest-memory", dump_to("file:/dev/null", ""), "GenericError",
			    "about to end");
}

/* --- disks, consoles, texts -------------------------------------------------------------------- */

Test(monitor_machine, a_disk_is_shown_and_grows)
{
	char grown[256];

	monitor_rig_has(&r, "query-block", NULL,
			"'device':'disk0','type':'unknown','removable':false");
	monitor_rig_has(&r, "query-block", NULL, "'virtual-size':1048576");
	monitor_rig_has(&r, "query-blockstats", NULL, "'failed_operations':0,'in_flight':0");
	monitor_rig_returns(&r, "block_resize", "{'device':'disk0','size':2097152}", "{}");
	monitor_rig_returns(&r, "block_resize", "{'node-name':'disk0','size':2097152}", "{}");
	snprintf(grown, sizeof(grown), "'filename':'%s','format':'raw','virtual-size':2097152",
		 r.disk);
	monitor_rig_has(&r, "query-block", NULL, grown);
}

Test(monitor_machine, a_disk_is_not_resized_without_a_reason)
{
	monitor_rig_refuses(&r, "block_resize", "{'device':'disk9','size':0}", "DeviceNotFound",
			    "no disk 'disk9'");
	monitor_rig_refuses(&r, "block_resize", "{'size':512}", "DeviceNotFound", "no disk ''");
	monitor_rig_refuses(&r, "block_resize", "{'device':'disk0','size':1048577}",
			    "GenericError", "multiple of 512");
	monitor_rig_refuses(&r, "block_resize", "{'device':'disk0','size':512}", "GenericError",
			    "disk0 has 1048576 bytes; a disk that is in use can't shrink");
}

Test(monitor_machine, consoles_and_ports_are_listed_with_their_ends)
{
	char port[256];

	snprintf(port, sizeof(port),
		 "{'label':'org.example','filename':'unix:%s/unit.org.example.port',"
		 "'frontend-open':false}", r.dir);
	monitor_rig_has(&r, "query-chardev", NULL,
			"{'label':'serial0','filename':'none','frontend-open':true}");
	monitor_rig_has(&r, "query-chardev", NULL, "'label':'org.example'");
	monitor_rig_has(&r, "__org.ebb_stat", NULL,
			"'console':{'kind':'none','path':'','attached':false}");
	monitor_rig_has(&r, "__org.ebb_stat", NULL, "'name':'org.example','open':false");
}

Test(monitor_machine, people_get_qemus_text)
{
	monitor_rig_returns(&r, "human-monitor-command", "{'command-line':'info status'}",
			    "'VM status: running\\r\\n'");
	monitor_rig_returns(&r, "human-monitor-command", "{'command-line':'info numa'}",
			    "'1 nodes\\r\\nnode 0 cpus:\\r\\nnode 0 size: 64 MB\\r\\n"
			    "node 0 plugged: 0 MB\\r\\n'");
	monitor_rig_has(&r, "human-monitor-command", "{'command-line':'info memory-devices'}",
			"Memory device [virtio-mem]: \\'vm0\\'\\r\\n");
	monitor_rig_has(&r, "human-monitor-command", "{'command-line':'info nothing'}",
			"unknown command: 'info nothing'; there are info status, ");
}
