/* SPDX-License-Identifier: Apache-2.0 */
/* test_monitor_memory.c - elastic memory, the balloon and the guard by QMP. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/fake_device.h"
#include "tests/unit/guard_rig.h"
#include "tests/unit/monitor_rig.h"

static struct monitor_rig r;

static void setup(void)
{
	monitor_rig_config(&r);
	r.part.cfg.agent = false;
	monitor_rig_start(&r);
}

static void teardown(void) { monitor_rig_stop(&r); }

TestSuite(monitor_memory, .init = setup, .fini = teardown, .timeout = 240);

/* --- elastic memory ---------------------------------------------------------------------------- */

Test(monitor_memory, devices_are_listed_as_qemu_lists_them)
{
	monitor_rig_returns(&r, "query-memory-devices", NULL,
			    "[{'type':'virtio-mem','data':{'id':'vm0','memaddr':4294967296,"
			    "'requested-size':0,'size':0,'max-size':536870912,'block-size':2097152,"
			    "'node':0,'memdev':'/objects/vm0'}}]");
	monitor_rig_returns(&r, "query-memory-size-summary", NULL,
			    "{'base-memory':67108864,'plugged-memory':0}");
}

Test(monitor_memory, a_resize_is_a_job_that_is_told)
{
	monitor_rig_has(&r, "__org.ebb_resize", "{'size':134217728,'timeout':5}",
			"[{'device':'vm0','id':1,'state':'running','start':0,'target':67108864,"
			"'size':0,");
	cr_expect(strstr(r.said, "'left-ms':5000"), "%s", r.said);
	cr_expect(strstr(monitor_rig_events(&r, 1),
			 "'__org.ebb_RESIZE','data':{'device':'vm0','id':1,'state':'running'"));
	monitor_rig_has(&r, "__org.ebb_query-resize", "{'device':'vm0'}", "'state':'running'");
	cr_expect(strstr(monitor_rig_events(&r, 6 * NS_PER_S), "'state':'short'"));
	monitor_rig_has(&r, "__org.ebb_query-resize", NULL, "'reason':'");
	cr_expect(strstr(r.said, "'explanation':'"));
}

Test(monitor_memory, a_resize_of_one_device_counts_that_alone)
{
	monitor_rig_has(&r, "__org.ebb_resize", "{'size':4194304,'device':'vm0'}",
			"'target':4194304");
	monitor_rig_has(&r, "__org.ebb_cancel-resize", "{'device':'vm0'}", "'state':'cancelled'");
	monitor_rig_refuses(&r, "__org.ebb_cancel-resize", NULL, "GenericError",
			    "no resize is running");
}

Test(monitor_memory, sizes_that_can_not_be_are_refused_with_the_limit)
{
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':67108863}", "GenericError",
			    "below the boot memory (0x4000000)");
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':603979777}", "GenericError",
			    "above the maximum, boot and elastic memory (0x24000000)");
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':68157440}", "GenericError",
			    "multiple of 'block-size' (0x200000)");
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':1,'device':'vm0'}", "GenericError",
			    "multiple of 'block-size'");
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':1073741824,'device':'vm0'}",
			    "GenericError", "exceeds its 'max-size' (0x20000000)");
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':0,'device':'vm1'}", "DeviceNotFound",
			    "Device 'vm1' not found");
	monitor_rig_refuses(&r, "__org.ebb_query-resize", "{'device':'vm1'}", "DeviceNotFound", "");
	monitor_rig_refuses(&r, "__org.ebb_cancel-resize", "{'device':'vm1'}", "DeviceNotFound", "");
	cr_expect_eq(vm_memory_requested(&r.part.memory), 0);
}

Test(monitor_memory, the_largest_and_the_smallest_size_are_taken)
{
	monitor_rig_has(&r, "__org.ebb_resize", "{'size':603979776}", "'target':536870912");
	monitor_rig_has(&r, "__org.ebb_resize", "{'size':67108864}", "'target':0");
}

Test(monitor_memory, a_size_that_changes_is_told)
{
	struct vm_event e = { .kind = VM_MEMORY_SIZE, .device = 0 };

	cr_assert_eq(elastic_plug(&r.part.memory.elastic[0].elastic, 0, 3), 0);
	vm_tell(&r.part.told.sinks, &e);
	cr_expect_str_eq(monitor_rig_events(&r, 1),
			 "{'event':'MEMORY_DEVICE_SIZE_CHANGE','data':{'id':'vm0','size':6291456,"
			 "'qom-path':'/machine/peripheral/vm0'}}\n");
	monitor_rig_returns(&r, "query-memory-size-summary", NULL,
			    "{'base-memory':67108864,'plugged-memory':6291456}");
}

Test(monitor_memory, the_ledger_has_all_of_it)
{
	monitor_rig_has(&r, "__org.ebb_stat", NULL, "'name':'unit'");
	cr_expect(strstr(r.said, "'boot':{'size':67108864,'resident':"));
	cr_expect(strstr(r.said, "'elastic':[{'id':'vm0','memaddr':4294967296,'max':536870912"));
	cr_expect(strstr(r.said, "'balloon':{'id':'balloon0','size':67108864"));
	cr_expect(strstr(r.said, "'guard':{'on':false"));
	cr_expect_null(strstr(r.said, "'autosize'"), "there is no agent");
}

/* --- objects with properties ------------------------------------------------------------------- */

Test(monitor_memory, properties_are_read_by_either_path)
{
	monitor_rig_returns(&r, "qom-get", "{'path':'vm0','property':'max-size'}", "536870912");
	monitor_rig_returns(&r, "qom-get",
			    "{'path':'/machine/peripheral/vm0','property':'block-size'}", "2097152");
	monitor_rig_returns(&r, "qom-get", "{'path':'vm0','property':'memaddr'}", "4294967296");
	monitor_rig_returns(&r, "qom-get", "{'path':'vm0','property':'node'}", "0");
	monitor_rig_returns(&r, "qom-get", "{'path':'vm0','property':'size'}", "0");
	monitor_rig_refuses(&r, "qom-get", "{'path':'vm0','property':'colour'}", "GenericError",
			    "'virtio-mem.colour' of 'vm0' not found; there are requested-size");
	monitor_rig_refuses(&r, "qom-get", "{'path':'vm9','property':'size'}", "DeviceNotFound",
			    "'vm9' not found");
}

Test(monitor_memory, one_property_of_a_device_can_be_set)
{
	monitor_rig_returns(&r, "qom-set",
			    "{'path':'vm0','property':'requested-size','value':4194304}", "{}");
	monitor_rig_returns(&r, "qom-get", "{'path':'vm0','property':'requested-size'}", "4194304");
	monitor_rig_refuses(&r, "qom-set", "{'path':'vm0','property':'size','value':0}",
			    "GenericError", "not found");
	monitor_rig_refuses(&r, "qom-set", "{'path':'vm0','property':'requested-size','value':3}",
			    "GenericError", "multiple of 'block-size'");
	monitor_rig_refuses(&r, "qom-set", "{'path':'vm0','property':'requested-size','value':-1}",
			    "GenericError", "value");
	monitor_rig_refuses(&r, "qom-set", "{'path':'vm9','property':'size','value':0}",
			    "DeviceNotFound", "");
	monitor_rig_returns(&r, "qom-get", "{'path':'vm0','property':'requested-size'}", "4194304");
}

Test(monitor_memory, the_tree_leads_to_them)
{
	monitor_rig_returns(&r, "qom-list", "{'path':'/'}",
			    "[{'name':'machine','type':'child<container>'}]");
	monitor_rig_returns(&r, "qom-list", "{'path':'/machine'}",
			    "[{'name':'peripheral','type':'child<container>'}]");
	monitor_rig_returns(&r, "qom-list", "{'path':'/machine/peripheral'}",
			    "[{'name':'vm0','type':'child<virtio-mem>'},"
			    "{'name':'balloon0','type':'child<virtio-balloon>'}]");
	monitor_rig_has(&r, "qom-list", "{'path':'vm0'}", "{'name':'requested-size','type':'size'}");
	monitor_rig_has(&r, "qom-list", "{'path':'balloon0'}",
			"{'name':'guest-stats-polling-interval','type':'int'}");
	monitor_rig_refuses(&r, "qom-list", "{'path':'/nowhere'}", "DeviceNotFound", "/nowhere");
}

/* --- the balloon ------------------------------------------------------------------------------- */

Test(monitor_memory, the_balloon_takes_a_target)
{
	monitor_rig_returns(&r, "query-balloon", NULL, "{'actual':67108864}");
	monitor_rig_returns(&r, "balloon", "{'value':33554432}", "{}");
	cr_expect(strstr(r.events, "'__org.ebb_RESIZE','data':{'device':'balloon0'"));
	monitor_rig_has(&r, "__org.ebb_query-resize", "{'device':'balloon0'}",
			"'target':33554432,'size':67108864");
	monitor_rig_has(&r, "__org.ebb_cancel-resize", "{'device':'balloon0'}", "'cancelled'");
	monitor_rig_has(&r, "__org.ebb_resize", "{'device':'balloon0','size':16777216}",
			"'target':16777216");
	monitor_rig_refuses(&r, "balloon", "{'value':-1}", "GenericError", "expects a size");
	vm_tell_kind(&r.part.told.sinks, VM_BALLOON_SIZE);
	cr_expect(strstr(monitor_rig_events(&r, 1), "'BALLOON_CHANGE','data':{'actual':67108864}"));
}

Test(monitor_memory, its_polling_interval_is_a_property)
{
	monitor_rig_returns(&r, "qom-set", "{'path':'balloon0',"
			    "'property':'guest-stats-polling-interval','value':4294967295}", "{}");
	monitor_rig_returns(&r, "qom-get", "{'path':'balloon0',"
			    "'property':'guest-stats-polling-interval'}", "4294967295");
	monitor_rig_refuses(&r, "qom-set", "{'path':'balloon0',"
			    "'property':'guest-stats-polling-interval','value':4294967296}",
			    "GenericError", "value");
	monitor_rig_has(&r, "qom-get", "{'path':'balloon0','property':'guest-stats'}",
			"'last-update':0");
	monitor_rig_refuses(&r, "qom-get", "{'path':'balloon0','property':'x'}", "GenericError",
			    "'virtio-balloon.x'");
	monitor_rig_refuses(&r, "qom-set", "{'path':'balloon0','property':'x','value':1}",
			    "GenericError", "'virtio-balloon.x'");
}

Test(monitor_memory, without_a_driver_it_can_neither_tell_nor_give)
{
	monitor_rig_refuses(&r, "__org.ebb_query-guest-stats", NULL, "DeviceNotActive",
			    "no virtio-balloon driver with statistics");
	monitor_rig_refuses(&r, "__org.ebb_reclaim", NULL, "DeviceNotActive",
			    "no virtio-balloon driver with free page hinting");
	monitor_rig_refuses(&r, "__org.ebb_cancel-reclaim", NULL, "GenericError",
			    "no reclaim is running");
	monitor_rig_has(&r, "__org.ebb_query-reclaim", NULL, "'state':'none'");
}

static struct fake_driver drv;

static void drive(uint64_t features)
{
	part_rig_drive(&r.part, &drv, balloon_dev(r.part.balloon.balloon), features);
}

#define STATS UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ
#define HINTS UINT64_C(1) << VIRTIO_BALLOON_F_FREE_PAGE_HINT

Test(monitor_memory, statistics_are_waited_for_a_second)
{
	drive(STATS);
	cr_expect_str_empty(monitor_rig_say(&r, "__org.ebb_query-guest-stats", NULL));
	cr_expect_eq(r.mon.nr_waiting, 1);
	monitor_rig_events(&r, 999 * NS_PER_MS);
	cr_expect_str_empty(r.said);
	monitor_rig_events(&r, 2 * NS_PER_MS);
	cr_expect(strstr(r.said, "no statistics for a second"), "%s", r.said);
	cr_expect_eq(r.mon.nr_waiting, 0);
}

Test(monitor_memory, and_answer_whoever_waits)
{
	drive(STATS);
	monitor_rig_say(&r, "__org.ebb_query-guest-stats", NULL);
	vm_tell_kind(&r.part.told.sinks, VM_BALLOON_STATS);
	monitor_rig_events(&r, 1);
	cr_expect(strstr(r.said, "{'return':{'stats':{"), "%s", r.said);
	monitor_rig_events(&r, 2 * NS_PER_S);
	cr_expect(strstr(r.said, "{'return':{'stats':{"), "no second answer");
}

Test(monitor_memory, sixteen_may_wait_and_the_next_may_not)
{
	struct wire more[MONITOR_MAX_WAITING];

	drive(STATS);
	for (unsigned int i = 0; i < MONITOR_MAX_WAITING; i++) {
		wire_connect_silently(&more[i], r.path);
		wire_send(&more[i], "{'execute':'qmp_capabilities'}"
				    "{'execute':'__org.ebb_query-guest-stats'}");
		part_rig_run(&r.part, 1);
	}
	cr_expect_eq(r.mon.nr_waiting, MONITOR_MAX_WAITING);
	monitor_rig_refuses(&r, "__org.ebb_query-guest-stats", NULL, "GenericError",
			    "too many clients wait");
	vm_tell_kind(&r.part.told.sinks, VM_BALLOON_STATS);
	cr_expect_eq(r.mon.nr_waiting, 0);
	for (unsigned int i = 0; i < MONITOR_MAX_WAITING; i++)
		wire_close(&more[i]);
}

Test(monitor_memory, a_reclaim_is_a_job_that_is_told)
{
	drive(HINTS);
	monitor_rig_has(&r, "__org.ebb_reclaim", NULL, "'state':'running'");
	cr_expect(strstr(r.said, "'left-ms':"), "%s", r.said);
	cr_expect(strstr(monitor_rig_events(&r, 1), "'__org.ebb_RECLAIM'"));
	monitor_rig_refuses(&r, "__org.ebb_reclaim", "{'timeout':3}", "GenericError",
			    "a reclaim is running");
	monitor_rig_has(&r, "__org.ebb_cancel-reclaim", NULL, "'state':'cancelled'");
}

/* --- without a balloon ------------------------------------------------------------------------- */

static void setup_bare(void)
{
	monitor_rig_config(&r);
	r.part.cfg.agent = false;
	r.part.cfg.no_balloon = true;
	r.part.cfg.nr_elastic = 0;
	monitor_rig_start(&r);
}

TestSuite(monitor_bare, .init = setup_bare, .fini = teardown, .timeout = 240);

Test(monitor_bare, what_is_not_there_is_refused_by_name)
{
	static const char *const balloon[] = {
		"query-balloon", "__org.ebb_query-guest-stats", "__org.ebb_reclaim",
		"__org.ebb_query-reclaim", "__org.ebb_cancel-reclaim",
	};

	for (size_t i = 0; i < ARRAY_SIZE(balloon); i++)
		monitor_rig_refuses(&r, balloon[i], NULL, "DeviceNotActive",
				    "No balloon device has been activated");
	monitor_rig_refuses(&r, "balloon", "{'value':1}", "DeviceNotActive", "No balloon");
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':67108864}", "DeviceNotFound",
			    "start the VM with --elastic");
	monitor_rig_refuses(&r, "__org.ebb_resize", "{'size':0,'device':'balloon0'}",
			    "DeviceNotFound", "balloon0");
	monitor_rig_refuses(&r, "qom-get", "{'path':'balloon0','property':'guest-stats'}",
			    "DeviceNotFound", "");
	monitor_rig_returns(&r, "query-memory-devices", NULL, "[]");
	monitor_rig_has(&r, "__org.ebb_stat", NULL, "'elastic':[]");
	cr_expect_null(strstr(r.said, "'balloon'"));
}

/* --- the guard --------------------------------------------------------------------------------- */

static void setup_guarded(void)
{
	monitor_rig_config(&r);
	r.part.cfg.agent = false;
	r.part.cfg.guard_off = false;
	monitor_rig_start(&r);
}

TestSuite(monitor_guard, .init = setup_guarded, .fini = teardown, .timeout = 240);

Test(monitor_guard, its_policy_is_shown_and_set)
{
	monitor_rig_has(&r, "__org.ebb_query-guard", NULL, "'on':true,'page-tables':");
	cr_expect(strstr(r.said, "'violation':'contain'"), "%s", r.said);
	monitor_rig_returns(&r, "__org.ebb_set-violation", "{'action':'kill'}", "{}");
	monitor_rig_has(&r, "__org.ebb_query-guard", NULL, "'violation':'kill'");
	monitor_rig_refuses(&r, "__org.ebb_set-violation", "{'action':'forgive'}", "GenericError",
			    "'forgive' is none of contain, pause, kill");
}

Test(monitor_guard, a_violation_is_told_with_where_and_who)
{
	struct ram *ram = &r.part.memory.elastic[0].elastic.ram;
	const char *events;

	vcpu_write(ram, 5 * PAGE, 1);
	for (unsigned int i = 0; i < 1000 && !part_rig_told(&r.part, VM_VIOLATION); i++)
		sleep_ms(1), part_rig_run(&r.part, 50 * NS_PER_MS);
	events = monitor_rig_events(&r, 1);
	cr_expect(strstr(events, "'__org.ebb_VIOLATION','data':{'device':'vm0','action':'contain',"
				 "'violations':1,'reads':0,'writes':1"), "%s", events);
	cr_expect(strstr(events, "'last-thread':"));
	monitor_rig_has(&r, "__org.ebb_query-guard", "{'device':'vm0'}",
			"'violated':[{'block':0,'reads':0,'writes':1}]");
	monitor_rig_has(&r, "__org.ebb_stat", NULL, "'violations':1");
}

Test(monitor_guard, a_stop_on_its_account_says_why)
{
	struct vm_event e = { .kind = VM_GUARD_STOP, .text = "the guard's thread does not run" };

	vm_tell(&r.part.told.sinks, &e);
	cr_expect(strstr(monitor_rig_events(&r, 1),
			 "'__org.ebb_GUARD_STOP','data':{'reason':'the guard"));
}

Test(monitor_guard, the_map_comes_in_pages)
{
	struct elastic *e = &r.part.memory.elastic[0].elastic;

	for (uint32_t i = 0; i < 256; i += 2)
		cr_assert_eq(elastic_plug(e, i, 1), 0);
	monitor_rig_has(&r, "__org.ebb_query-guard", "{'device':'vm0'}",
			"{'block':0,'blocks':1,'state':'plugged'},"
			"{'block':1,'blocks':1,'state':'unplugged'}");
	cr_expect_null(strstr(r.said, "'next'"), "256 runs are one page");
	monitor_rig_has(&r, "__org.ebb_query-guard", "{'device':'vm0','from':255}",
			"'map':[{'block':255,'blocks':1,'state':'unplugged'}]");
	monitor_rig_has(&r, "__org.ebb_query-guard", "{'device':'vm0','from':4294967295}",
			"'map':[]");
	monitor_rig_refuses(&r, "__org.ebb_query-guard", "{'device':'vm7'}", "DeviceNotFound",
			    "vm7");
}

Test(monitor_memory, an_unguarded_vm_has_no_policy)
{
	monitor_rig_refuses(&r, "__org.ebb_set-violation", "{'action':'pause'}", "GenericError",
			    "the VM is unguarded");
	monitor_rig_has(&r, "__org.ebb_query-guard", NULL, "{'on':false,'page-tables':");
}
