/* SPDX-License-Identifier: Apache-2.0 */
/* test_monitor_guest.c - the agent, what is decided of the guest's size, and working sets by QMP. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio_balloon_wire.h"
#include "tests/unit/monitor_rig.h"
#include "vmm/base/log.h"

#define HELLO "{\"msg\":\"hello\",\"version\":1,\"agent\":\"test 1\",\"kernel\":\"none\"," \
	      "\"can\":[\"status\",\"working-set\"]}\n"

static struct monitor_rig r;
static struct host_end host;

static void setup(void)
{
	monitor_rig_config(&r);
	r.part.cfg.autosize.min_bytes = PART_BOOT;
	r.part.cfg.autosize.max_bytes = PART_BOOT + PART_ELASTIC;
	monitor_rig_start(&r);
	host = agent_port_host_end(&r.autosizer.port);
}

static void teardown(void) { monitor_rig_stop(&r); }

TestSuite(monitor_guest, .init = setup, .fini = teardown, .timeout = 240);

/* The guest's agent says a line. */
static void say(const char *line)
{
	host.put(host.ctx, (const uint8_t *)line, strlen(line));
	part_rig_run(&r.part, 10 * NS_PER_MS);
}

static void hello(void)
{
	host.guest_opened(host.ctx, true);
	say("\n" HELLO);
}

/* --- the agent --------------------------------------------------------------------------------- */

Test(monitor_guest, nobody_is_there_at_first)
{
	monitor_rig_returns(&r, "__org.ebb_query-agent", NULL,
			    "{'state':'gone','lines':0,'faults':0,'unread':0,'needs':0}");
}

Test(monitor_guest, an_agent_is_told_with_its_name)
{
	hello();
	cr_expect(strstr(monitor_rig_events(&r, 1),
			 "'__org.ebb_AGENT','data':{'state':'connected','version':1,'agent':'test 1',"
			 "'kernel':'none','can':['status','working-set']}"), "%s", r.events);
	monitor_rig_has(&r, "__org.ebb_query-agent", NULL, "'state':'connected','version':1");
}

Test(monitor_guest, its_status_has_rates_from_two_reports)
{
	hello();
	say("{\"msg\":\"status\",\"total\":1000,\"available\":900,\"some-us\":0}\n");
	monitor_rig_has(&r, "__org.ebb_query-agent", NULL, "'total':1000,'available':900");
	cr_expect_null(strstr(r.said, "some-percent"), "%s", r.said);
	cr_expect_null(strstr(r.said, "'free'"), "what was not said is not shown");
	monitor_rig_events(&r, NS_PER_S);
	say("{\"msg\":\"status\",\"total\":1000,\"available\":800,\"some-us\":505000}\n");
	monitor_rig_has(&r, "__org.ebb_query-agent", NULL, "'some-percent':49.99");
}

Test(monitor_guest, one_that_falls_silent_or_talks_nonsense_is_told)
{
	hello();
	say("{\"msg\":\"status\",\"total\":1000,\"available\":900}\n");
	monitor_rig_events(&r, 1);
	cr_expect(strstr(monitor_rig_events(&r, 60 * NS_PER_S), "{'state':'silent'}"));
	for (unsigned int i = 0; i < AGENT_FAULTS_MAX; i++)
		say("nonsense\n");
	cr_expect(strstr(monitor_rig_events(&r, 2 * NS_PER_S), "{'state':'broken'}"));
	monitor_rig_has(&r, "__org.ebb_query-agent", NULL, "'last-fault':'");
}

Test(monitor_guest, a_need_is_told_with_its_answer)
{
	hello();
	say("{\"msg\":\"need\",\"bytes\":4194304,\"why\":\"stall\",\"total\":67108864,"
	    "\"available\":100}\n");
	monitor_rig_events(&r, 10 * NS_PER_MS);
	monitor_rig_has(&r, "__org.ebb_query-agent", NULL, "'needs':1");
	cr_expect_eq(r.autosizer.nr_needs, 1);
	cr_expect(part_rig_told(&r.part, VM_GUEST_LOW));
}

/* --- the policy -------------------------------------------------------------------------------- */

Test(monitor_guest, limits_are_shown_and_set)
{
	monitor_rig_has(&r, "__org.ebb_query-autosize", NULL,
			"{'enabled':true,'min':67108864,'max':603979776,'rate':104857600,");
	cr_expect(strstr(r.said, "'explanation':'"));
	cr_expect(strstr(r.said, "'agent':{'state':'gone'"));
	monitor_rig_has(&r, "__org.ebb_set-autosize",
			"{'min':134217728,'max':268435456,'ceiling':200000000,'rate':1048576,"
			"'cache-age':60}",
			"'min':134217728,'max':268435456,'ceiling':200000000,'rate':1048576,"
			"'cache-age':60");
	cr_expect(strstr(monitor_rig_events(&r, 2 * NS_PER_S), "'__org.ebb_AUTOSIZE'"));
}

Test(monitor_guest, it_can_be_suspended_and_goes_on)
{
	monitor_rig_has(&r, "__org.ebb_set-autosize", "{'enabled':false}",
			"{'enabled':false,'suspended-by':'a client'");
	monitor_rig_has(&r, "__org.ebb_set-autosize", "{'enabled':true}", "{'enabled':true,'min'");
}

Test(monitor_guest, another_hand_on_a_size_suspends_it)
{
	static const struct {
		const char *command, *arguments, *who;
	} hands[] = {
		{ "__org.ebb_resize", "{'size':134217728}", "a resize" },
		{ "__org.ebb_cancel-resize", NULL, "a cancelled resize" },
		{ "qom-set", "{'path':'vm0','property':'requested-size','value':0}",
		  "requested-size was set" },
		{ "balloon", "{'value':33554432}", "the balloon was set" },
	};
	char who[128];

	for (size_t i = 0; i < ARRAY_SIZE(hands); i++) {
		monitor_rig_say(&r, hands[i].command, hands[i].arguments);
		snprintf(who, sizeof(who), "'suspended-by':'%s", hands[i].who);
		monitor_rig_has(&r, "__org.ebb_query-autosize", NULL, who);
		if (i) /* else there is no job to be cancelled */
			monitor_rig_say(&r, "__org.ebb_set-autosize", "{'enabled':true}");
		else
			r.autosizer.suspended_by = NULL;
	}
}

Test(monitor_guest, limits_that_can_not_be_are_refused_and_change_nothing)
{
	monitor_rig_refuses(&r, "__org.ebb_set-autosize", "{'min':1}", "GenericError",
			    "min 0x1 is below the boot memory (0x4000000)");
	monitor_rig_refuses(&r, "__org.ebb_set-autosize", "{'max':603979777}", "GenericError",
			    "above boot and elastic memory together (0x24000000)");
	monitor_rig_refuses(&r, "__org.ebb_set-autosize", "{'min':134217728,'max':134217727}",
			    "GenericError", "is above max");
	monitor_rig_has(&r, "__org.ebb_query-autosize", NULL, "'min':67108864,'max':603979776");
	monitor_rig_has(&r, "__org.ebb_stat", NULL, "'autosize':{'enabled':true");
}

/* --- working sets ------------------------------------------------------------------------------ */

Test(monitor_guest, what_the_agent_says_is_kept_and_told)
{
	hello();
	monitor_rig_returns(&r, "__org.ebb_query-working-set", NULL, "[]");
	monitor_rig_returns(&r, "__org.ebb_ask-working-set", "{'node':0}", "{}");
	say("{\"msg\":\"working-set\",\"node\":0,\"source\":\"mglru\",\"bins\":["
	    "{\"idle-ms\":1000,\"anon\":1,\"file\":2},{\"anon\":3,\"file\":4}]}\n");
	cr_expect(strstr(monitor_rig_events(&r, 1),
			 "'__org.ebb_WORKING_SET','data':{'node':0,'source':'mglru','seconds':"));
	monitor_rig_has(&r, "__org.ebb_query-working-set", NULL,
			"'bins':[{'idle-ms':1000,'anon':1,'file':2},{'anon':3,'file':4}]");
}

Test(monitor_guest, the_host_estimates_without_anybody)
{
	monitor_rig_returns(&r, "__org.ebb_ask-working-set",
			    "{'source':'host','ages-ms':[100,200]}", "{}");
	monitor_rig_refuses(&r, "__org.ebb_ask-working-set", "{'source':'host'}", "GenericError",
			    "not now: an estimate");
	cr_expect(strstr(monitor_rig_events(&r, NS_PER_S), "'source':'host'"));
	monitor_rig_has(&r, "__org.ebb_query-working-set", NULL, "'source':'host'");
	monitor_rig_returns(&r, "stop", NULL, "{}");
	monitor_rig_refuses(&r, "__org.ebb_ask-working-set", "{'source':'host'}", "GenericError",
			    "or the VM is paused");
}

Test(monitor_guest, ages_rise_up_to_an_hour)
{
	static const char *const wrong[] = {
		"[]", "[2,1]", "[1,1]", "[3600001]",
		"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,"
		"31,32]",
	};
	char arguments[256];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(arguments, sizeof(arguments), "{'source':'host','ages-ms':%s}", wrong[i]);
		monitor_rig_refuses(&r, "__org.ebb_ask-working-set", arguments, "GenericError",
				    "ages-ms: 1 to 31 numbers that rise, up to 3600000");
	}
	monitor_rig_returns(&r, "__org.ebb_ask-working-set",
			    "{'source':'host','ages-ms':[3600000]}", "{}");
}

Test(monitor_guest, without_an_agent_or_a_driver_nobody_can_tell)
{
	monitor_rig_refuses(&r, "__org.ebb_ask-working-set", NULL, "DeviceNotActive",
			    "nobody in the guest can tell");
	monitor_rig_refuses(&r, "__org.ebb_ask-working-set", "{'ages-ms':[1,2]}", "DeviceNotActive",
			    "nobody in the guest can tell");
	monitor_rig_refuses(&r, "__org.ebb_ask-working-set", "{'ages-ms':[2,1]}", "GenericError",
			    "1 to 31 numbers that rise");
}

/* --- no agent's port --------------------------------------------------------------------------- */

static void setup_alone(void)
{
	monitor_rig_config(&r);
	r.part.cfg.agent = false;
	monitor_rig_start(&r);
}

TestSuite(monitor_alone, .init = setup_alone, .fini = teardown, .timeout = 240);

Test(monitor_alone, the_way_to_an_agent_is_said)
{
	static const char *const commands[] = { "__org.ebb_query-agent",
						"__org.ebb_query-autosize",
						"__org.ebb_set-autosize" };

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		monitor_rig_refuses(&r, commands[i], NULL, "DeviceNotActive",
				    "start it with --max SIZE or --agent=on");
}

Test(monitor_alone, a_resize_has_nothing_to_suspend)
{
	monitor_rig_has(&r, "__org.ebb_resize", "{'size':134217728}", "'state':'running'");
	cr_expect_eq(part_rig_told(&r.part, VM_AUTOSIZE), 0);
}
