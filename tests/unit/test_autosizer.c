/* SPDX-License-Identifier: Apache-2.0 */
/* test_autosizer.c - what a guest's agent says leads to sizes, and who may stand in the way. */
#include "vmm/machine/autosizer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio_balloon_wire.h"
#include "devices/virtio_mem_wire.h"
#include "tests/unit/part_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/config/config_autosize.h"

#define BLOCK	   (2 * MiB)
#define RESERVE	   (8 * MiB)
#define FEATURES   (UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE)
#define SETTLES_NS (10 * NS_PER_MS)

static struct part_rig rig;
static struct autosizer a;
static struct host_end host;
static struct fake_driver memory_drv, balloon_drv;

/* What the guest got. */
static char got[65536];
static size_t nr_got;
/* What is told of its needs, which live no longer than the call. */
static unsigned int nr_low;
static struct autosize_answer low_answer;
static uint64_t low_bytes;

static size_t receive(void *ctx, const uint8_t *bytes, size_t nr)
{
	(void)ctx;
	cr_assert_lt(nr_got + nr, sizeof(got));
	memcpy(got + nr_got, bytes, nr);
	nr_got += nr;
	got[nr_got] = 0;
	return nr;
}

static void transmit_ready(void *ctx) { (void)ctx; }

/* As the machine wires its parts. */
static void hear(void *ctx, const struct vm_event *e)
{
	(void)ctx;
	if (e->kind == VM_MEMORY_SIZE || e->kind == VM_RECLAIM || e->kind == VM_BALLOON_SIZE)
		autosizer_facts_changed(&a);
	if (e->kind != VM_GUEST_LOW)
		return;
	nr_low++;
	low_answer = *e->low.answer;
	low_bytes = e->low.need->bytes;
}

/* --- from start to end ------------------------------------------------------------------------- */

static void config(void)
{
	part_rig_config(&rig);
	rig.cfg.autosize.min_bytes = PART_BOOT;
	rig.cfg.autosize.max_bytes = PART_BOOT + PART_ELASTIC;
	rig.cfg.autosize.cache_age_s = 300;
	nr_got = nr_low = 0;
	got[0] = 0;
	a = (struct autosizer){ 0 };
}

/* All but the agent's port. */
static void build(void)
{
	struct autosizer_env env = { .cfg = &rig.cfg,
				     .memory = &rig.memory,
				     .balloon = &rig.balloon,
				     .store = &rig.store,
				     .sinks = &rig.told.sinks };

	part_rig_init(&rig);
	part_rig_add_devices(&rig);
	vm_sinks_add(&rig.told.sinks, (struct vm_sink){ hear, NULL });
	part_rig_drive(&rig, &memory_drv, vmem_dev(rig.memory.elastic[0].vmem), FEATURES);
	env.loop = rig.loop;
	autosizer_init(&a, &env);
}

static void build_and_open(void)
{
	struct guest_end guest = { .receive = receive, .transmit_ready = transmit_ready };

	build();
	cr_assert_eq(autosizer_open(&a, guest, &host), 0);
	recorder_forget(&rig.told);
}

static void setup(void)
{
	config();
	build_and_open();
}

static void teardown(void)
{
	autosizer_close(&a);
	autosizer_close(&a);
	part_rig_destroy(&rig);
}

TestSuite(autosizer, .init = setup, .fini = teardown, .timeout = 240);
TestSuite(autosizer_setup, .init = config, .fini = teardown, .timeout = 240);

/* --- the guest --------------------------------------------------------------------------------- */

static void settle(void) { part_rig_run(&rig, SETTLES_NS); }

static void printf_like(1, 2) say(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	cr_assert_geq(host.room(host.ctx), strlen(text));
	host.put(host.ctx, (const uint8_t *)text, strlen(text));
	settle();
}

static void hello_that_can(const char *what)
{
	host.guest_opened(host.ctx, true);
	say("{\"msg\":\"hello\",\"version\":1,\"can\":[%s]}\n", what);
}

static void hello(void) { hello_that_can("\"status\",\"working-set\""); }

static void status(uint64_t available)
{
	say("{\"msg\":\"status\",\"total\":%llu,\"available\":%llu,\"swap-free\":7}\n",
	    (unsigned long long)(PART_BOOT + vm_memory_plugged(&rig.memory)),
	    (unsigned long long)available);
}

static void need(uint64_t bytes, const char *why)
{
	say("{\"msg\":\"need\",\"bytes\":%llu,\"why\":\"%s\"}\n", (unsigned long long)bytes, why);
}

/* It has said so since the last look. */
static bool was_told(const char *line)
{
	bool found = strstr(got, line);

	nr_got = 0;
	got[0] = 0;
	return found;
}

static uint64_t requested(void) { return vm_memory_requested(&rig.memory); }

/* The guest's driver makes what it has what it is asked for. */
static void plug(void)
{
	uint64_t have = vm_memory_plugged(&rig.memory), want = requested();
	uint64_t bytes = max_u64(have, want) - min_u64(have, want);
	struct vmem_req req = {
		.type = le16_of(have < want ? VIRTIO_MEM_REQ_PLUG : VIRTIO_MEM_REQ_UNPLUG),
		.addr = le64_of(rig.memory.elastic[0].elastic.base.v + min_u64(have, want)),
		.nb_blocks = le16_of((uint16_t)(bytes / BLOCK)),
	};
	struct vmem_resp resp;

	if (bytes) {
		cr_assert(fake_driver_request(&memory_drv, 0, &req, sizeof(req), &resp,
					      sizeof(resp), NULL));
		cr_assert_eq(le16_get(resp.type), VIRTIO_MEM_RESP_ACK);
	}
}

static void follow(void)
{
	plug();
	settle();
}

static void has(uint64_t bytes)
{
	need(bytes, "request");
	follow();
	cr_assert_geq(vm_memory_plugged(&rig.memory), bytes);
	recorder_forget(&rig.told);
	nr_got = 0;
}

static unsigned int told(enum vm_event_kind kind) { return part_rig_told(&rig, kind); }
static enum agent_state state(void) { return recorder_last(&rig.told, VM_AGENT)->agent; }

/* --- what the guest says ----------------------------------------------------------------------- */

Test(autosizer, a_hello_is_told_and_answered_with_the_limits)
{
	cr_expect_eq(autosizer_size_bytes(&a), PART_BOOT);
	hello();
	cr_assert_eq(told(VM_AGENT), 1);
	cr_expect_eq(state(), AGENT_CONNECTED);
	cr_expect_not_null(strstr(got, "\"msg\":\"config\""), "%s", got);
	cr_expect_not_null(strstr(got, "\"min\":67108864"), "%s", got);
	cr_expect_not_null(strstr(got, "\"max\":603979776"), "%s", got);
	cr_expect_not_null(strstr(got, "\"interval-ms\":2000"), "%s", got);
	cr_expect_not_null(strstr(got, "\"cache-age-s\":300"), "%s", got);
	/* What comes next is to go into a memory block that exists. */
	cr_expect_eq(autosizer_size_bytes(&a), PART_BOOT + BLOCK);
	cr_expect_eq(requested(), BLOCK);
	cr_expect_eq(told(VM_AUTOSIZE), 1);
	cr_expect_eq(told(VM_MEMORY_JOB), 1);
	cr_expect_not_null(strstr(got, "\"size\":69206016"), "%s", got);
}

Test(autosizer, a_need_is_answered_told_and_followed_by_memory)
{
	static const char *const pressing[] = { "stall", "low" };

	hello();
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t before = requested();

		recorder_forget(&rig.told);
		need(40 * MiB, pressing[i]);
		cr_expect_eq(nr_low, i + 1);
		cr_expect_eq(low_bytes, 40 * MiB);
		cr_expect_eq(low_answer.granted_bytes, 40 * MiB);
		cr_expect_eq(low_answer.why, AUTOSIZE_GRANTED);
		cr_expect(was_told("\"msg\":\"answer\",\"granted\":41943040"));
		cr_expect_geq(requested(), 40 * MiB);
		cr_expect_geq(requested(), before);
		cr_expect_eq(autosizer_size_bytes(&a), PART_BOOT + requested());
		cr_expect_eq(a.nr_needs, i + 1);
		follow();
		cr_expect_eq(told(VM_AUTOSIZE), 1);
		recorder_forget(&rig.told);
		status(20 * MiB);
		cr_expect_eq(rig.told.nr, 0, "nothing is done twice");
	}
}

Test(autosizer, a_need_that_somebody_has_uttered_is_no_shortage)
{
	hello();
	need(10 * MiB, "request");
	cr_expect_eq(nr_low, 0);
	cr_expect(was_told("\"msg\":\"answer\",\"granted\":33554432"));
	cr_expect_geq(requested(), 32 * MiB);
}

Test(autosizer, more_than_the_rate_allows_comes_in_part)
{
	hello();
	need(500 * MiB, "stall");
	cr_expect_eq(low_answer.why, AUTOSIZE_RATE);
	cr_expect_leq(low_answer.granted_bytes, CONFIG_GROW_RATE_MIB * MiB + BLOCK);
	cr_expect_gt(low_answer.granted_bytes, 200 * MiB);
	cr_expect(was_told("\"why\":\"rate\""));
}

Test(autosizer, reports_are_kept_with_the_one_before)
{
	hello();
	cr_expect_eq(a.report.at_ns, 0);
	status(20 * MiB);
	cr_expect_eq(a.report.status.available_bytes, 20 * MiB);
	cr_expect_eq(a.report.swap_free_bytes, 7);
	cr_expect_gt(a.report.at_s, 0);
	part_rig_run(&rig, 2 * NS_PER_S);
	status(30 * MiB);
	cr_expect_eq(a.report.status.available_bytes, 30 * MiB);
	cr_expect_eq(a.before.status.available_bytes, 20 * MiB);
	cr_expect_geq(a.report.at_ns - a.before.at_ns, 2 * NS_PER_S);
	need(BLOCK, "request");
	cr_expect_eq(a.report.status.available_bytes, 30 * MiB, "it has said nothing of it");
	host.guest_opened(host.ctx, false);
	settle();
	cr_expect_eq(a.report.at_ns | a.before.at_ns, 0, "of an agent that has gone");
}

Test(autosizer, what_a_calm_guest_offers_is_taken)
{
	hello();
	has(100 * MiB);
	part_rig_run(&rig, 3 * NS_PER_S);
	say("{\"msg\":\"spare\",\"bytes\":%llu}\n", (unsigned long long)(60 * MiB));
	cr_expect_leq(requested(), 44 * MiB);
	cr_expect_eq(told(VM_AUTOSIZE), 1);
	cr_expect_eq(told(VM_MEMORY_JOB), 1);
}

Test(autosizer, what_a_calm_guest_does_not_use_is_taken_in_steps)
{
	uint64_t before;

	hello();
	has(200 * MiB);
	before = requested();
	for (int i = 0; i < 8; i++) {
		status(180 * MiB);
		part_rig_run(&rig, 2 * NS_PER_S);
	}
	cr_expect_lt(requested(), before);
	cr_expect_gt(requested(), before / 2);
	cr_expect_gt(told(VM_AUTOSIZE), 0);
}

Test(autosizer, silence_is_told_and_so_is_its_end)
{
	hello();
	recorder_forget(&rig.told);
	part_rig_run(&rig, AGENT_SILENCE_NS + 3 * AGENT_INTERVAL_MS * NS_PER_MS + NS_PER_S);
	cr_assert_eq(told(VM_AGENT), 1);
	cr_expect_eq(state(), AGENT_SILENT);
	need(50 * MiB, "stall");
	cr_expect_eq(state(), AGENT_CONNECTED);
	for (int i = 0; i < AGENT_FAULTS_MAX; i++)
		say("nonsense\n");
	cr_expect_eq(state(), AGENT_BROKEN);
	host.guest_opened(host.ctx, false);
	settle();
	cr_expect_eq(state(), AGENT_GONE);
}

Test(autosizer, a_later_version_is_passed_over)
{
	hello();
	recorder_forget(&rig.told);
	say("{\"msg\":\"later\"}\n");
	cr_expect_eq(rig.told.nr, 0);
}

/* --- working sets ------------------------------------------------------------------------------ */

Test(autosizer, a_working_set_is_asked_for_kept_and_told)
{
	cr_expect_eq(autosizer_ask_working_set(&a, 0), -ENODEV, "nobody is there");
	hello_that_can("\"status\"");
	cr_expect_eq(autosizer_ask_working_set(&a, 0), -ENODEV, "it can't");
	hello();
	nr_got = 0;
	cr_assert_eq(autosizer_ask_working_set(&a, 3), 0);
	settle();
	cr_expect(was_told("{\"msg\":\"ask\",\"what\":\"working-set\",\"node\":3}"));
	cr_assert_eq(autosizer_ask_working_set(&a, -1), 0);
	settle();
	cr_expect(was_told("{\"msg\":\"ask\",\"what\":\"working-set\"}"));
	say("{\"msg\":\"working-set\",\"node\":1,\"source\":\"mglru\","
	    "\"bins\":[{\"anon\":77,\"file\":5}]}\n");
	cr_assert_eq(told(VM_WORKING_SET), 1);
	cr_expect_eq(recorder_last(&rig.told, VM_WORKING_SET)->working_set->ws.bins[0].anon_bytes,
		     77);
}

/* --- the reserve, reclaims --------------------------------------------------------------------- */

static struct balloon_info balloon(void)
{
	struct balloon_info info;

	balloon_info(rig.balloon.balloon, &info);
	return info;
}

static void inflate(uint64_t at, uint64_t bytes)
{
	le32 pfns[1024];

	for (uint64_t page = 0; page < bytes / 4096; page += ARRAY_SIZE(pfns)) {
		for (unsigned int i = 0; i < ARRAY_SIZE(pfns); i++)
			pfns[i] = le32_of((uint32_t)(at / 4096 + page + i));
		cr_assert(fake_driver_request(&balloon_drv, 0, pfns, sizeof(pfns), NULL, 0, NULL));
	}
	cr_assert_not(fake_driver_needs_reset(&balloon_drv));
}

static void with_reserve(void)
{
	rig.cfg.autosize.reserve_bytes = RESERVE;
	build_and_open();
	part_rig_drive(&rig, &balloon_drv, balloon_dev(rig.balloon.balloon), 0);
	hello();
	follow();
	for (int i = 0; i < 5; i++) {
		status(60 * MiB);
		part_rig_run(&rig, 2 * NS_PER_S);
	}
}

Test(autosizer_setup, a_calm_guest_gets_a_reserve_and_one_in_need_loses_it)
{
	with_reserve();
	cr_assert_eq(balloon().target_bytes, PART_BOOT - RESERVE);
	cr_expect_eq(told(VM_BALLOON_JOB), 1);
	inflate(32 * MiB, RESERVE);
	cr_expect_eq(a.policy.facts.reserve_bytes, 0, "not yet");
	settle();
	cr_expect_eq(a.policy.facts.reserve_bytes, RESERVE);
	need(BLOCK, "stall");
	cr_expect_eq(balloon().target_bytes, PART_BOOT);
	cr_expect_geq(low_answer.granted_bytes, RESERVE);
}

Test(autosizer_setup, what_somebody_else_has_ballooned_is_no_reserve)
{
	with_reserve();
	inflate(32 * MiB, 2 * RESERVE);
	settle();
	cr_expect_eq(a.policy.facts.reserve_bytes, RESERVE);
}

Test(autosizer_setup, without_a_reserve_the_balloon_is_left_alone)
{
	build_and_open();
	balloon_resize(rig.balloon.balloon, PART_BOOT - MiB, 0);
	hello();
	need(40 * MiB, "stall");
	cr_expect_eq(balloon().target_bytes, PART_BOOT - MiB);
}

Test(autosizer_setup, without_a_balloon_memory_comes_all_the_same)
{
	rig.cfg.no_balloon = true;
	rig.cfg.autosize.reserve_bytes = RESERVE;
	build_and_open();
	hello();
	need(40 * MiB, "stall");
	cr_expect_eq(low_answer.granted_bytes, 40 * MiB);
	cr_expect_geq(requested(), 40 * MiB);
}

Test(autosizer_setup, while_a_reclaim_takes_all_that_is_free_no_need_counts)
{
	build_and_open();
	part_rig_drive(&rig, &balloon_drv, balloon_dev(rig.balloon.balloon),
		       UINT64_C(1) << VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	hello();
	cr_assert_eq(balloon_reclaim(rig.balloon.balloon, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	settle();
	need(100 * MiB, "stall");
	cr_expect_eq(low_answer.granted_bytes, 0);
	cr_expect_eq(low_answer.why, AUTOSIZE_RATE);
	cr_expect_eq(requested(), BLOCK);
	cr_assert_eq(balloon_cancel_reclaim(rig.balloon.balloon), 0);
	settle();
	need(100 * MiB, "stall");
	cr_expect_eq(low_answer.granted_bytes, 0, "it comes back only now");
	nr_got = 0;
	part_rig_run(&rig, AUTOSIZER_RECLAIM_NS);
	cr_expect(was_told("{\"msg\":\"ask\",\"what\":\"status\"}"), "what it said is of no use");
	need(100 * MiB, "stall");
	cr_expect_eq(low_answer.granted_bytes, 100 * MiB);
}

/* --- the operator ------------------------------------------------------------------------------ */

static void suspend(void)
{
	stderr_keep();
	autosizer_overridden(&a, "somebody set a size");
	cr_expect_not_null(strstr(stderr_text(), "autosize is suspended: somebody set a size"));
}

Test(autosizer, another_hand_on_a_size_suspends_it)
{
	struct vmem *v = rig.memory.elastic[0].vmem;

	hello();
	suspend();
	cr_assert_eq(vmem_request(v, 64 * MiB), 0);
	settle();
	cr_expect_str_eq(a.suspended_by, "somebody set a size");
	need(100 * MiB, "stall");
	cr_expect_eq(low_answer.granted_bytes, 0);
	cr_expect_eq(low_answer.why, AUTOSIZE_SUSPENDED);
	cr_expect(was_told("\"why\":\"suspended\""));
	cr_expect_eq(requested(), 64 * MiB);
	cr_expect_eq(autosizer_size_bytes(&a), PART_BOOT + 64 * MiB, "what that hand has set");
	stderr_keep();
	autosizer_overridden(&a, "another one");
	cr_expect_str_eq(stderr_text(), "", "once");
	cr_expect_str_eq(a.suspended_by, "somebody set a size");
}

Test(autosizer, it_goes_on_from_what_was_done_meanwhile)
{
	struct vmem *v = rig.memory.elastic[0].vmem;
	unsigned int before;

	hello();
	suspend();
	cr_assert_eq(vmem_request(v, 64 * MiB), 0);
	plug();
	before = told(VM_AUTOSIZE);
	autosizer_set(&a, &a.policy.limits, a.cache_age_s, NULL);
	cr_expect_eq(autosizer_size_bytes(&a), PART_BOOT + 64 * MiB);
	cr_expect_gt(told(VM_AUTOSIZE), before);
	settle();
	cr_expect_null(a.suspended_by);
	cr_expect_eq(requested(), 64 * MiB);
	need(40 * MiB, "stall");
	cr_expect_eq(requested(), 104 * MiB);
}

Test(autosizer, new_limits_hold_at_once_and_the_guest_hears_of_them)
{
	struct autosize_limits limits = a.policy.limits;

	hello();
	nr_got = 0;
	limits.min_bytes = PART_BOOT + 100 * MiB;
	limits.max_bytes = PART_BOOT + 200 * MiB;
	autosizer_set(&a, &limits, 60, NULL);
	settle();
	cr_expect_not_null(strstr(got, "\"min\":171966464"), "%s", got);
	cr_expect_not_null(strstr(got, "\"max\":276824064"), "%s", got);
	cr_expect_not_null(strstr(got, "\"cache-age-s\":60"), "%s", got);
	cr_expect_eq(requested(), 100 * MiB);
	follow();
	need(150 * MiB, "stall");
	cr_expect_eq(low_answer.why, AUTOSIZE_MAX);
	cr_expect_eq(requested(), 200 * MiB);
}

Test(autosizer_setup, without_a_max_an_agent_only_tells)
{
	rig.cfg.autosize.max_bytes = 0;
	build_and_open();
	hello();
	cr_expect_str_eq(a.suspended_by, "the VM has no --max");
	cr_expect_not_null(strstr(got, "\"max\":603979776"), "%s", got);
	need(100 * MiB, "stall");
	cr_expect_eq(low_answer.why, AUTOSIZE_SUSPENDED);
	cr_expect_eq(requested(), 0);
	status(20 * MiB);
	cr_expect_eq(a.report.status.available_bytes, 20 * MiB);
}

/* --- the VM stands, is reset ------------------------------------------------------------------- */

Test(autosizer, while_the_vm_stands_so_does_its_clock)
{
	uint64_t before;

	hello();
	recorder_forget(&rig.told);
	autosizer_hold(&a, true);
	before = autosizer_now_ns(&a);
	part_rig_run(&rig, 3600 * NS_PER_S);
	cr_expect_eq(autosizer_now_ns(&a), before);
	cr_expect_eq(told(VM_AGENT), 0, "nobody is silent who can't speak");
	nr_got = 0;
	autosizer_hold(&a, false);
	settle();
	cr_expect(was_told("{\"msg\":\"ask\",\"what\":\"status\"}"));
	part_rig_run(&rig, NS_PER_S);
	cr_expect_eq(autosizer_now_ns(&a) - before, NS_PER_S + SETTLES_NS);
	cr_expect_eq(told(VM_AGENT), 0);
}

Test(autosizer, what_an_agent_cannot_it_is_not_asked_for)
{
	hello_that_can("");
	nr_got = 0;
	autosizer_hold(&a, true);
	autosizer_hold(&a, false);
	settle();
	cr_expect_not(was_told("\"ask\""));
}

Test(autosizer, nothing_is_decided_while_the_vm_stands)
{
	hello();
	has(100 * MiB);
	status(150 * MiB);
	cr_expect_gt(a.timer.at_ns, 0, "something is due");
	recorder_forget(&rig.told);
	autosizer_hold(&a, true);
	cr_expect_eq(a.timer.at_ns, 0);
	autosizer_facts_changed(&a);
	part_rig_run(&rig, 3600 * NS_PER_S);
	cr_expect_eq(told(VM_AUTOSIZE), 0);
	cr_expect_eq(a.timer.at_ns, 0);
}

Test(autosizer, after_a_reset_the_next_guest_finds_what_the_last_one_had)
{
	uint64_t before;

	hello();
	has(100 * MiB);
	before = requested();
	cr_assert_eq(vm_memory_reset(&rig.memory), 0);
	balloon_host_reset(&rig.balloon);
	autosizer_reset(&a);
	cr_expect_eq(a.policy.agent, AUTOSIZE_NO_AGENT);
	cr_expect_eq(a.policy.facts.ram_bytes, PART_BOOT);
	cr_expect_eq(requested(), before);
}

Test(autosizer, once_closed_it_is_off)
{
	hello();
	autosizer_close(&a);
	cr_expect_eq(autosizer_ask_working_set(&a, 0), -ENODEV);
	autosizer_facts_changed(&a);
	cr_expect_eq(a.timer.at_ns, 0);
}

/* --- none -------------------------------------------------------------------------------------- */

Test(autosizer_setup, without_an_agents_port_it_is_off)
{
	build();
	recorder_forget(&rig.told);
	autosizer_hold(&a, true);
	autosizer_hold(&a, false);
	autosizer_reset(&a);
	autosizer_facts_changed(&a);
	stderr_keep();
	autosizer_overridden(&a, "somebody set a size");
	cr_expect_str_eq(stderr_text(), "");
	cr_expect_eq(autosizer_ask_working_set(&a, 0), -ENODEV);
	settle();
	cr_expect_not(a.on);
	cr_expect_null(a.suspended_by);
	cr_expect_eq(rig.told.nr, 0);
}
