/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_autosize.c - how much memory a guest shall have: tables of what happens when and what is
 * decided then, a guest that uses 1 GiB and frees it, and guests that say anything.
 */
#include "vmm/policy/autosize.h"

#include <criterion/criterion.h>
#include <string.h>

#define T0   (1000 * NS_PER_S)
#define BOOT (256 * MiB)

static const struct autosize_cfg cfg = {
	.boot_bytes = BOOT,
	.block_bytes = 2 * MiB,
	.memory_block_bytes = 128 * MiB,
	.reserve_bytes = 16 * MiB,
	.burst_mib = 512,
};

static const struct autosize_limits limits = {
	.min_bytes = BOOT,
	.max_bytes = 2 * GiB,
	.ceiling_bytes = UINT64_MAX,
	.rate_mib = 256,
};

static struct autosize a;
static struct autosize_facts facts;
static struct autosize_limits now_limits;
static uint64_t some_us, refault_bytes, oom_kills;

enum event {
	END,
	AGENT,	 /* ARG: enum autosize_agent */
	STATUS,	 /* ARG MiB are available */
	STALL,	 /* so many us, told by the next status */
	REFAULT, /* so many MiB, likewise */
	OOM,
	NEED,	  /* ARG MiB */
	SPARE,	  /* ARG MiB */
	ARRIVES,  /* the guest has what was decided */
	PLUGGED,  /* it has ARG MiB of RAM */
	BALLOON,  /* ARG MiB of the reserve are ballooned */
	HINTING,  /* ARG: 0, 1 */
	SUSPEND,  /* ARG: 0, 1 */
	CEILING,  /* ARG MiB */
	MAX, MIN, /* ARG MiB */
	RATE,
	RESET,
	LOOK, /* nothing happens */
};

/* What happens AT (milliseconds), and what is decided then. */
struct step {
	uint32_t at_ms;
	enum event event;
	uint64_t arg;
	uint64_t size_mib, reserve_mib;
	/* Of NEED. */
	enum autosize_why why;
	uint64_t granted_mib;
};

static void begin_with(const struct autosize_cfg *c, const struct autosize_limits *l, uint64_t ram)
{
	now_limits = *l;
	facts = (struct autosize_facts){ .ram_bytes = ram };
	some_us = refault_bytes = oom_kills = 0;
	autosize_init(&a, c, l, ram, T0);
}

static struct autosize_status status(uint64_t available_mib)
{
	return (struct autosize_status){
		.total_bytes = facts.ram_bytes,
		.available_bytes = available_mib * MiB,
		.free_bytes = UINT64_MAX,
		.file_bytes = UINT64_MAX,
		.some_us = some_us,
		.full_us = UINT64_MAX,
		.refault_bytes = refault_bytes,
		.evicted_bytes = UINT64_MAX,
		.oom_kills = oom_kills,
	};
}

static struct autosize_answer happens(enum event event, uint64_t arg, uint64_t now)
{
	struct autosize_answer answer = { 0 };
	struct autosize_status s = status(arg);

	switch (event) {
	case AGENT: autosize_agent(&a, (enum autosize_agent)arg, now); break;
	case STATUS: autosize_status(&a, &s, now); break;
	case STALL: some_us += arg; break;
	case REFAULT: refault_bytes += arg * MiB; break;
	case OOM: oom_kills++; break;
	case NEED: answer = autosize_need(&a, arg * MiB, NULL, now); break;
	case SPARE: autosize_spare(&a, arg * MiB, now); break;
	case ARRIVES:
		facts.ram_bytes = a.decision.size_bytes;
		facts.reserve_bytes = a.decision.reserve_bytes;
		break;
	case PLUGGED: facts.ram_bytes = arg * MiB; break;
	case BALLOON: facts.reserve_bytes = arg * MiB; break;
	case HINTING: facts.hinting = arg; break;
	case SUSPEND: now_limits.suspended = arg; break;
	case CEILING: now_limits.ceiling_bytes = arg * MiB; break;
	case MAX: now_limits.max_bytes = arg * MiB; break;
	case MIN: now_limits.min_bytes = arg * MiB; break;
	case RATE: now_limits.rate_mib = (uint32_t)arg; break;
	case RESET:
		facts = (struct autosize_facts){ .ram_bytes = a.cfg.boot_bytes };
		autosize_reset(&a, now);
		break;
	case END:
	case LOOK: break;
	}
	if (event >= ARRIVES && event <= HINTING)
		autosize_facts(&a, &facts, now);
	if (event >= SUSPEND && event <= RATE)
		autosize_set_limits(&a, &now_limits, now);
	return answer;
}

/* As a main loop would. Result: how often it decided. */
static unsigned int run_until(uint64_t end)
{
	unsigned int nr = 0;
	uint64_t next;

	while ((next = autosize_next_ns(&a)) && next <= end) {
		autosize_tick(&a, next);
		cr_assert(!autosize_next_ns(&a) || autosize_next_ns(&a) > next);
		nr++;
	}
	return nr;
}

static void play(const struct step *s)
{
	for (int i = 0; s->event; s++, i++) {
		uint64_t now = T0 + s->at_ms * NS_PER_MS;
		struct autosize_answer answer;
		struct autosize_decision d;

		run_until(now);
		answer = happens(s->event, s->arg, now);
		d = autosize_tick(&a, now);
		cr_assert_eq(d.size_bytes, s->size_mib * MiB,
			     "step %d, at %u ms: %llu MiB instead of %llu", i, s->at_ms,
			     (unsigned long long)(d.size_bytes / MiB),
			     (unsigned long long)s->size_mib);
		cr_assert_eq(d.reserve_bytes, s->reserve_mib * MiB,
			     "step %d, at %u ms: a reserve of %llu MiB", i, s->at_ms,
			     (unsigned long long)(d.reserve_bytes / MiB));
		if (s->event != NEED)
			continue;
		cr_assert_eq(answer.why, s->why, "step %d: %s", i, autosize_why_name(answer.why));
		cr_assert_eq(answer.granted_bytes, s->granted_mib * MiB, "step %d: %llu MiB", i,
			     (unsigned long long)(answer.granted_bytes / MiB));
	}
}

#define PLAY(...)                                                                                  \
	do {                                                                                       \
		static const struct step steps[] = { __VA_ARGS__, { .event = END } };              \
		begin_with(&cfg, &limits, BOOT);                                                   \
		play(steps);                                                                       \
	} while (0)

#define AT(ms, what, how_much, size, reserve)                                                      \
	{ .at_ms = ms, .event = what, .arg = how_much, .size_mib = size, .reserve_mib = reserve }
#define NEEDS(ms, how_much, size, reserve, because, granted)                                       \
	{ .at_ms = ms, .event = NEED, .arg = how_much, .size_mib = size, .reserve_mib = reserve,   \
	  .why = AUTOSIZE_##because, .granted_mib = granted }
#define HELLO AT(0, AGENT, AUTOSIZE_AGENT, 258, 0), AT(1, ARRIVES, 0, 258, 0)
/* A guest that has grown to 1282 MiB, 10 s before 30 s. */
#define GROWN HELLO, \
	NEEDS(10000, 512, 770, 0, GRANTED, 512), AT(10500, ARRIVES, 0, 770, 0), \
	NEEDS(15000, 512, 1282, 0, GRANTED, 512), AT(15500, ARRIVES, 0, 1282, 0)

/* clang-format off */

Test(autosize, nothing_is_decided_without_an_agent)
{
	PLAY(AT(0, LOOK, 0, 256, 0),
	     NEEDS(1, 64, 256, 0, SUSPENDED, 0),
	     AT(2, SPARE, 64, 256, 0),
	     AT(3, STATUS, 200, 256, 0),
	     AT(60000, LOOK, 0, 256, 0));
}

Test(autosize, the_limits_hold_without_an_agent)
{
	PLAY(AT(0, MIN, 300, 300, 0),
	     AT(1, MIN, 256, 300, 0),
	     AT(2, MAX, 280, 280, 0),
	     AT(3, CEILING, 270, 270, 0));
}

Test(autosize, a_block_stands_ready_from_the_first_word_on)
{
	PLAY(AT(0, AGENT, AUTOSIZE_AGENT, 258, 0));
}

Test(autosize, a_need_is_met_at_once)
{
	PLAY(HELLO,
	     NEEDS(10, 100, 358, 0, GRANTED, 100),
	     AT(20, ARRIVES, 0, 358, 0),
	     /* At least 32 MiB; and never just what a memory block holds. */
	     NEEDS(200, 1, 390, 0, GRANTED, 32),
	     AT(300, ARRIVES, 0, 390, 0),
	     NEEDS(400, 122, 514, 0, GRANTED, 122));
}

Test(autosize, a_need_said_again_is_not_met_twice)
{
	PLAY(HELLO,
	     NEEDS(10, 100, 358, 0, GRANTED, 100),
	     NEEDS(110, 100, 358, 0, GRANTED, 100),
	     AT(150, PLUGGED, 300, 358, 0),
	     /* It has come in part, and the guest needs as much again. */
	     NEEDS(210, 100, 400, 0, GRANTED, 100));
}

Test(autosize, grants_come_at_the_rate_of_the_bucket)
{
	/* 512 MiB at once, less a block at the start; 256 a second. */
	PLAY(HELLO,
	     NEEDS(1, 1700, 766, 0, RATE, 508),
	     AT(500, ARRIVES, 0, 766, 0),
	     NEEDS(1000, 1700, 1022, 0, RATE, 256),
	     AT(1100, ARRIVES, 0, 1022, 0),
	     NEEDS(9000, 1700, 1534, 0, RATE, 512));
}

Test(autosize, max_and_ceiling_end_it)
{
	PLAY(HELLO,
	     AT(0, MAX, 400, 258, 0),
	     NEEDS(1, 256, 400, 0, MAX, 142),
	     AT(10, ARRIVES, 0, 400, 0),
	     NEEDS(20, 256, 400, 0, MAX, 0),
	     AT(30, CEILING, 300, 300, 0),
	     NEEDS(40, 256, 300, 0, CEILING, 0),
	     AT(50, CEILING, 100, 256, 0),
	     AT(60, CEILING, 2048, 258, 0),
	     AT(70, ARRIVES, 0, 258, 0),
	     AT(80, MIN, 300, 300, 0),
	     AT(90, MAX, 300, 300, 0));
}

Test(autosize, suspended_it_stays_as_it_is)
{
	PLAY(HELLO,
	     NEEDS(10, 100, 358, 0, GRANTED, 100),
	     AT(20, SUSPEND, 1, 358, 0),
	     NEEDS(30, 100, 358, 0, SUSPENDED, 0),
	     AT(40, SPARE, 100, 358, 0),
	     AT(50, CEILING, 300, 358, 0),
	     AT(60, CEILING, 2048, 358, 0),
	     AT(60000, STATUS, 300, 358, 0),
	     /* Somebody has sized it by hand: it goes on from there. */
	     AT(60010, PLUGGED, 700, 358, 0),
	     AT(60020, SUSPEND, 0, 700, 0),
	     AT(70000, LOOK, 0, 700, 0));
}

Test(autosize, the_reserve_is_taken_when_calm_and_let_go_of_first)
{
	PLAY(HELLO,
	     AT(1000, STATUS, 100, 258, 0),
	     AT(4999, LOOK, 0, 258, 0),
	     AT(5000, LOOK, 0, 258, 16),
	     AT(5010, BALLOON, 16, 258, 16),
	     NEEDS(6000, 32, 290, 0, GRANTED, 32),
	     AT(6001, BALLOON, 0, 290, 0),
	     AT(9000, STATUS, 100, 290, 0),
	     /* Not before what was asked for is there, and its figures are of then. */
	     AT(12000, LOOK, 0, 290, 0),
	     AT(12001, ARRIVES, 0, 290, 0),
	     AT(12500, LOOK, 0, 290, 0),
	     AT(13000, STATUS, 100, 290, 16));
}

Test(autosize, a_guest_that_has_little_keeps_the_reserve)
{
	PLAY(HELLO,
	     AT(1000, STATUS, 63, 258, 0),
	     AT(20000, STATUS, 63, 258, 0),
	     AT(21000, STATUS, 64, 258, 16));
}

Test(autosize, at_max_the_reserve_is_what_is_granted)
{
	PLAY(HELLO,
	     AT(0, MAX, 258, 258, 0),
	     AT(6000, STATUS, 100, 258, 16),
	     AT(6010, BALLOON, 16, 258, 16),
	     NEEDS(6020, 64, 258, 0, MAX, 16));
}

Test(autosize, a_reserve_that_the_guest_took_is_a_need)
{
	PLAY(HELLO,
	     AT(6000, STATUS, 100, 258, 16),
	     AT(6010, BALLOON, 7, 258, 16),
	     AT(6020, BALLOON, 16, 258, 16),
	     AT(9000, BALLOON, 15, 322, 0),
	     AT(9001, BALLOON, 0, 322, 0));
}

static void reserve_is(uint64_t bytes, uint64_t now_ns)
{
	facts.reserve_bytes = bytes;
	autosize_facts(&a, &facts, now_ns);
}

/* Linux balloons the new page first. */
Test(autosize, a_ballooned_page_that_is_moved_is_not_taken)
{
	PLAY(HELLO, AT(6000, STATUS, 100, 258, 16), AT(6010, BALLOON, 15, 258, 16));
	for (unsigned int i = 0; i < 1000; i++) {
		reserve_is(15 * MiB + 4 * KiB, T0 + 6020 * NS_PER_MS + i);
		reserve_is(15 * MiB, T0 + 6020 * NS_PER_MS + i);
	}
	cr_assert_eq(autosize_tick(&a, T0 + 6030 * NS_PER_MS).reserve_bytes, 16 * MiB);
	reserve_is(14 * MiB, T0 + 6040 * NS_PER_MS);
	cr_assert_eq(autosize_tick(&a, T0 + 6040 * NS_PER_MS).reserve_bytes, 0);
}

/* What is ballooned while memory goes may have to be moved at once. */
Test(autosize, the_reserve_waits_for_an_unplug_under_way)
{
	PLAY(GROWN,
	     AT(17000, SPARE, 400, 882, 0),
	     AT(19900, PLUGGED, 1000, 882, 0),
	     AT(20500, STATUS, 600, 882, 0),
	     AT(20600, PLUGGED, 882, 882, 0),
	     AT(22000, STATUS, 600, 882, 0),
	     AT(22700, LOOK, 0, 882, 16));
}

Test(autosize, a_guest_without_its_agent_gets_the_reserve_and_keeps_its_size)
{
	PLAY(HELLO,
	     AT(6000, STATUS, 100, 258, 16),
	     AT(6010, BALLOON, 16, 258, 16),
	     NEEDS(7000, 64, 322, 0, GRANTED, 64),
	     AT(7010, ARRIVES, 0, 322, 0),
	     AT(16000, STATUS, 100, 322, 16),
	     AT(16010, BALLOON, 16, 322, 16),
	     AT(16100, AGENT, AUTOSIZE_NO_AGENT, 322, 0),
	     AT(90000, STATUS, 250, 322, 0));
}

Test(autosize, nothing_is_taken_or_given_while_the_agent_is_silent)
{
	PLAY(HELLO,
	     AT(6000, STATUS, 100, 258, 16),
	     AT(6010, BALLOON, 16, 258, 16),
	     AT(8000, AGENT, AUTOSIZE_AGENT_SILENT, 258, 16),
	     AT(9000, BALLOON, 3, 258, 16),
	     AT(90000, LOOK, 0, 258, 16));
}

Test(autosize, a_calm_guest_gives_a_quarter_of_what_it_has_to_spare)
{
	PLAY(GROWN,
	     AT(20600, STATUS, 1000, 1282, 16),
	     AT(20700, BALLOON, 16, 1282, 16),
	     AT(24000, STATUS, 1000, 1282, 16),
	     AT(24999, LOOK, 0, 1282, 16),
	     /* (1000 - 1282 / 8) / 4, in whole blocks. */
	     AT(25000, LOOK, 0, 1074, 16),
	     AT(25500, PLUGGED, 1100, 1074, 16),
	     AT(28000, STATUS, 820, 1074, 16), /* still on its way */
	     AT(28100, PLUGGED, 1074, 1074, 16),
	     AT(28200, STATUS, 796, 910, 16),
	     AT(28300, ARRIVES, 0, 910, 16),
	     AT(28400, STATUS, 632, 910, 16), /* not so soon */
	     AT(30200, LOOK, 0, 782, 16));
}

Test(autosize, it_stops_above_its_headroom)
{
	PLAY(GROWN,
	     AT(20600, STATUS, 192, 1282, 16),
	     AT(20700, BALLOON, 16, 1282, 16),
	     AT(30000, STATUS, 192, 1282, 16),
	     AT(60000, STATUS, 193, 1250, 16));
}

Test(autosize, a_stalled_guest_is_not_calm)
{
	PLAY(GROWN,
	     AT(20600, STATUS, 1000, 1282, 16),
	     AT(20700, BALLOON, 16, 1282, 16),
	     AT(24000, STALL, 3400, 1282, 16), /* in 3.4 s: the very limit */
	     AT(24000, STATUS, 1000, 1282, 16),
	     AT(25000, LOOK, 0, 1074, 16));
	PLAY(GROWN,
	     AT(20600, STATUS, 1000, 1282, 16),
	     AT(20700, BALLOON, 16, 1282, 16),
	     AT(24000, STALL, 3401, 1282, 16),
	     AT(24000, STATUS, 1000, 1282, 16),
	     AT(33999, LOOK, 0, 1282, 16),
	     AT(34000, LOOK, 0, 1074, 16));
}

Test(autosize, what_hurts_is_not_done_again_for_longer_each_time)
{
	PLAY(GROWN,
	     AT(25000, STATUS, 1000, 1282, 16),
	     AT(25001, BALLOON, 16, 1282, 16),
	     AT(25002, STATUS, 1000, 1074, 16),
	     AT(25500, PLUGGED, 1200, 1074, 16),
	     /* A need in the middle: what has not gone yet stays, and more comes. */
	     NEEDS(26000, 32, 1232, 0, GRANTED, 32),
	     AT(26100, ARRIVES, 0, 1232, 0),
	     AT(26200, STATUS, 1000, 1232, 0),
	     AT(50000, STATUS, 1000, 1232, 16),
	     AT(50010, BALLOON, 16, 1232, 16),
	     AT(50100, STATUS, 1000, 1232, 16),
	     AT(55999, LOOK, 0, 1232, 16),
	     AT(56000, LOOK, 0, 1022, 16),
	     AT(56500, ARRIVES, 0, 1022, 16),
	     /* A stall after it went: twice as long. */
	     AT(57000, STATUS, 700, 1022, 16),
	     AT(57500, STALL, 500000, 1022, 16),
	     AT(57900, STATUS, 700, 1022, 16),
	     AT(58000, STALL, 500000, 1022, 16), /* the same step's */
	     AT(58900, STATUS, 700, 1022, 16),
	     AT(117899, LOOK, 0, 1022, 16),
	     AT(117900, LOOK, 0, 880, 16),
	     AT(118000, ARRIVES, 0, 880, 16),
	     /* File pages read again: it hurt as well. */
	     AT(118500, REFAULT, 80, 880, 16),
	     AT(119000, STATUS, 500, 880, 16),
	     AT(238999, LOOK, 0, 880, 16),
	     AT(239000, LOOK, 0, 784, 16),
	     AT(239500, ARRIVES, 0, 784, 16),
	     /* Well for longer than that pause was: forgotten. */
	     AT(490000, STATUS, 400, 710, 16),
	     AT(490500, ARRIVES, 0, 710, 16),
	     AT(491000, OOM, 0, 710, 16),
	     AT(491500, STATUS, 400, 710, 16),
	     AT(521499, LOOK, 0, 710, 16),
	     AT(521500, LOOK, 0, 634, 16));
}

Test(autosize, a_need_long_after_a_step_is_no_harm_of_it)
{
	PLAY(GROWN,
	     AT(25000, STATUS, 1000, 1282, 16),
	     AT(25001, BALLOON, 16, 1282, 16),
	     AT(25002, STATUS, 1000, 1074, 16),
	     AT(25500, PLUGGED, 1074, 1074, 16),
	     NEEDS(35501, 32, 1106, 0, GRANTED, 32),
	     AT(35502, ARRIVES, 0, 1106, 0),
	     AT(45500, STATUS, 1000, 1106, 16),
	     AT(45501, BALLOON, 16, 1106, 16),
	     AT(45502, STATUS, 1000, 892, 16));
}

Test(autosize, an_offer_is_taken_sooner)
{
	PLAY(GROWN,
	     AT(16000, SPARE, 400, 1282, 0),
	     AT(16999, LOOK, 0, 1282, 0),
	     AT(17000, LOOK, 0, 882, 0),
	     /* Said again while it goes: the same offer. */
	     AT(17100, PLUGGED, 1000, 882, 0),
	     AT(17200, SPARE, 118, 882, 0),
	     AT(17300, ARRIVES, 0, 882, 0),
	     AT(19000, SPARE, 5000, 258, 0));
}

Test(autosize, an_offer_that_hurt_the_guest_is_not_taken_again_so_soon)
{
	PLAY(GROWN,
	     AT(17000, SPARE, 400, 882, 0),
	     AT(17500, ARRIVES, 0, 882, 0),
	     NEEDS(18000, 400, 1282, 0, GRANTED, 400),
	     AT(18500, ARRIVES, 0, 1282, 0),
	     AT(21000, SPARE, 400, 1282, 0),
	     AT(47999, LOOK, 0, 1282, 0),
	     AT(48000, LOOK, 0, 882, 0));
}

Test(autosize, who_needs_offers_nothing)
{
	PLAY(GROWN,
	     AT(16000, SPARE, 400, 1282, 0),
	     NEEDS(16500, 32, 1314, 0, GRANTED, 32),
	     AT(30000, LOOK, 0, 1314, 0));
}

Test(autosize, a_reclaim_counts_as_no_pressure)
{
	PLAY(GROWN,
	     AT(20600, STATUS, 1000, 1282, 16),
	     AT(20700, BALLOON, 16, 1282, 16),
	     AT(23000, STATUS, 1000, 1282, 16),
	     AT(23100, HINTING, 1, 1282, 16),
	     NEEDS(23200, 500, 1282, 16, RATE, 0),
	     AT(23300, STALL, 900000, 1282, 16),
	     AT(23400, STATUS, 3, 1282, 16),
	     AT(23500, BALLOON, 9, 1282, 16),
	     AT(26000, HINTING, 0, 1282, 16),
	     AT(26100, STALL, 100000, 1282, 16),
	     AT(26200, STATUS, 1000, 1074, 16));
	/* What was available before says nothing. */
	PLAY(GROWN,
	     AT(20600, STATUS, 1000, 1282, 16),
	     AT(20700, BALLOON, 16, 1282, 16),
	     AT(24000, STATUS, 1000, 1282, 16),
	     AT(24100, HINTING, 1, 1282, 16),
	     AT(24200, HINTING, 0, 1282, 16),
	     AT(30000, STATUS, 1000, 1074, 16));
}

Test(autosize, what_was_granted_outlives_a_reset_and_goes_when_calm)
{
	PLAY(GROWN,
	     AT(16000, RESET, 0, 1282, 0),
	     NEEDS(17000, 64, 1282, 0, SUSPENDED, 0),
	     AT(18000, AGENT, AUTOSIZE_AGENT, 1282, 0),
	     AT(18500, ARRIVES, 0, 1282, 0),
	     AT(19000, STATUS, 1000, 1282, 0),
	     AT(23000, LOOK, 0, 1282, 16),
	     AT(23001, BALLOON, 16, 1282, 16),
	     AT(23500, STATUS, 1000, 1282, 16),
	     AT(28000, LOOK, 0, 1074, 16));
}

Test(autosize, memory_that_never_came_is_given_up)
{
	PLAY(HELLO,
	     NEEDS(10, 400, 658, 0, GRANTED, 400),
	     AT(100, PLUGGED, 300, 658, 0),
	     AT(1000, STATUS, 200, 658, 0),
	     AT(10010, LOOK, 0, 266, 0));
}

Test(autosize, the_rate_may_change_and_gives_nothing_away)
{
	PLAY(HELLO,
	     NEEDS(1, 1700, 766, 0, RATE, 508),
	     AT(2, RATE, 2, 766, 0),
	     AT(3, ARRIVES, 0, 766, 0),
	     NEEDS(5003, 100, 778, 0, RATE, 12));
}

/* clang-format on */

/* A memory block as large as a block has no part that could stand ready. */
Test(autosize, whole_memory_blocks_are_sizes_where_there_is_nothing_smaller)
{
	struct autosize_cfg c = cfg;

	c.block_bytes = c.memory_block_bytes;
	begin_with(&c, &limits, BOOT);
	happens(AGENT, AUTOSIZE_AGENT, T0);
	cr_assert_eq(a.decision.size_bytes, BOOT);
	happens(NEED, 1, T0);
	cr_assert_eq(a.decision.size_bytes, BOOT + 128 * MiB);
}

/* A guest whose programs use so much and whose driver takes half a second. */
struct guest {
	uint64_t used_mib, interval_ns, moves_ns;
};

static void live_until(struct guest *g, uint64_t *now, uint64_t end, uint64_t *least_mib)
{
	for (uint64_t next_status = *now + g->interval_ns; *now < end; *now += 100 * NS_PER_MS) {
		uint64_t had_mib, moved_ns = g->moves_ns;

		run_until(*now);
		if (facts.ram_bytes == a.decision.size_bytes)
			g->moves_ns = *now;
		else if (*now - moved_ns >= NS_PER_S / 2)
			happens(PLUGGED, a.decision.size_bytes / MiB, *now);
		if (facts.reserve_bytes != a.decision.reserve_bytes)
			happens(BALLOON, a.decision.reserve_bytes / MiB, *now);
		had_mib = (facts.ram_bytes - facts.reserve_bytes) / MiB - g->used_mib;
		*least_mib = min_u64(*least_mib, had_mib);
		if (*now >= next_status) {
			happens(STATUS, had_mib, *now);
			next_status = *now + g->interval_ns;
		}
	}
}

Test(autosize, used_1_gib_and_freed_it_is_back_near_its_need_within_a_minute)
{
	const uint64_t intervals[] = { NS_PER_S, 2 * NS_PER_S, 5 * NS_PER_S };

	for (size_t i = 0; i < ARRAY_SIZE(intervals); i++) {
		struct guest g = { .used_mib = 120, .interval_ns = intervals[i], .moves_ns = T0 };
		uint64_t now = T0, least = UINT64_MAX;

		begin_with(&cfg, &limits, BOOT);
		happens(AGENT, AUTOSIZE_AGENT, now);
		live_until(&g, &now, now + 10 * NS_PER_S, &least);
		for (g.used_mib = 120; g.used_mib < 1144; g.used_mib += 64) {
			happens(NEED, 128, now);
			live_until(&g, &now, now + NS_PER_S, &least);
		}
		cr_assert_geq(facts.ram_bytes, 1144 * MiB);
		g.used_mib = 120;
		live_until(&g, &now, now + 60 * NS_PER_S, &least);
		cr_assert_leq(facts.ram_bytes, (intervals[i] > 2 * NS_PER_S ? 330 : 260) * MiB,
			      "%llu MiB with a status every %llu s",
			      (unsigned long long)(facts.ram_bytes / MiB),
			      (unsigned long long)(intervals[i] / NS_PER_S));
		/* It never took what was needed, and is still then. */
		cr_assert_geq(least, 32);
		live_until(&g, &now, now + 60 * NS_PER_S, &least);
		cr_assert_eq(facts.ram_bytes, 258 * MiB);
		cr_assert_eq(facts.reserve_bytes, 16 * MiB);
	}
}

/* A guest that says anything. */

struct wild {
	unsigned int seed;
	uint64_t now;
	/* What it was granted beyond what it had or was promised, less what the rate gives; the
	 * least that this ever was. */
	double granted, given, least;
};

static uint32_t any(struct wild *w, uint32_t below) { return (uint32_t)rand_r(&w->seed) % below; }

static uint64_t any_mib(struct wild *w)
{
	switch (any(w, 8)) {
	case 0: return UINT64_MAX / MiB;
	case 1: return any(w, 100000);
	default: return any(w, 700);
	}
}

static uint64_t any_bytes(struct wild *w)
{
	switch (any(w, 4)) {
	case 0: return UINT64_MAX - any(w, 2);
	case 1: return any(w, 2) ? INT64_MAX : 0;
	default: return (uint64_t)any(w, 1u << 30) * any(w, 8);
	}
}

static uint64_t wild_top(void)
{
	uint64_t top = max_u64(now_limits.ceiling_bytes, now_limits.min_bytes);

	top = min_u64(top, now_limits.max_bytes);
	return top - (top - BOOT) % a.cfg.block_bytes;
}

/* Takes what was decided, a part of it, or nothing. */
static void wild_driver(struct wild *w)
{
	uint64_t goal = a.decision.size_bytes, ram = facts.ram_bytes;
	uint64_t nr = (goal > ram ? goal - ram : ram - goal) / a.cfg.block_bytes;

	nr = nr ? any(w, (uint32_t)nr + 1) * a.cfg.block_bytes : 0;
	facts.ram_bytes = goal > ram ? ram + nr : ram - nr;
	facts.reserve_bytes = any(w, 3) ? a.decision.reserve_bytes : any(w, 17) * MiB;
	autosize_facts(&a, &facts, w->now);
}

static void wild_limits(struct wild *w)
{
	now_limits.min_bytes = BOOT + a.cfg.block_bytes * any(w, 100);
	now_limits.max_bytes = now_limits.min_bytes + a.cfg.block_bytes * any(w, 500);
	now_limits.ceiling_bytes = any(w, 2) ? UINT64_MAX : any_bytes(w);
	now_limits.suspended = !any(w, 4);
	autosize_set_limits(&a, &now_limits, w->now);
}

/* True: what it did may give memory, for which the bucket pays. */
static bool wild_event(struct wild *w)
{
	struct autosize_status s;
	struct autosize_answer answer;

	for (size_t i = 0; i < sizeof(s) / sizeof(uint64_t); i++)
		((uint64_t *)(void *)&s)[i] = any_bytes(w);
	switch (any(w, 12)) {
	case 0: autosize_agent(&a, (enum autosize_agent)any(w, 3), w->now); break;
	case 1: autosize_agent(&a, AUTOSIZE_AGENT, w->now); break;
	case 2: wild_limits(w); return false;
	case 3:
		facts.hinting = !any(w, 4);
		autosize_facts(&a, &facts, w->now);
		break;
	case 4:
		if (any(w, 20))
			break;
		facts = (struct autosize_facts){ .ram_bytes = BOOT };
		autosize_reset(&a, w->now);
		return false;
	case 5: autosize_spare(&a, any(w, 2) ? any_bytes(w) : any_mib(w) * MiB, w->now); break;
	case 6:
	case 7: autosize_status(&a, &s, w->now); break;
	case 8:
	case 9: wild_driver(w); break;
	default:
		answer = autosize_need(&a, any_mib(w) * MiB, any(w, 2) ? &s : NULL, w->now);
		cr_assert_leq(answer.granted_bytes, now_limits.max_bytes);
		break;
	}
	return true;
}

static void check(const struct wild *w, const struct autosize_decision *before)
{
	const struct autosize_decision *d = &a.decision;
	uint64_t next = autosize_next_ns(&a);
	char text[256];

	cr_assert(!next || next > w->now);
	cr_assert_lt(strlen(autosize_explain(&a, w->now, text, sizeof(text))), sizeof(text) - 1);
	cr_assert_eq((d->size_bytes - BOOT) % a.cfg.block_bytes, 0);
	cr_assert_leq(d->reserve_bytes, a.cfg.reserve_bytes);
	if (now_limits.suspended) {
		cr_assert_eq(d->size_bytes, before->size_bytes);
		cr_assert_eq(d->reserve_bytes, before->reserve_bytes);
		return;
	}
	cr_assert_leq(d->size_bytes, wild_top());
	cr_assert_geq(d->size_bytes, now_limits.min_bytes);
	/* At an edge only while nobody asks, or the bucket has no block. */
	if (a.agent == AUTOSIZE_AGENT && !facts.hinting && d->size_bytes < wild_top() &&
	    token_bucket_level(&a.bucket, w->now) >= a.cfg.block_bytes / MiB)
		cr_assert_neq((d->size_bytes - BOOT) % a.cfg.memory_block_bytes, 0);
}

/* Over each window that ends now: no more than the bucket held and its rate gave. */
static void check_rate(struct wild *w, uint64_t had_bytes)
{
	uint64_t size = a.decision.size_bytes;

	w->given = (double)(w->now - T0) / 1e9 * now_limits.rate_mib;
	if (size > had_bytes)
		w->granted += (double)(size - had_bytes) / MiB;
	cr_assert_leq(w->granted - w->given - w->least, a.bucket.capacity + 1e-3);
	w->least = w->granted - w->given < w->least ? w->granted - w->given : w->least;
}

Test(autosize, whatever_a_guest_says_it_stays_within_its_limits)
{
	for (unsigned int seed = 1; seed <= 100; seed++) {
		struct wild w = { .seed = seed, .now = T0 };
		struct autosize_cfg c = cfg;

		c.block_bytes = (2 * MiB) << seed % 4;
		c.burst_mib = seed % 3 ? 128 : 1;
		begin_with(&c, &limits, BOOT);
		now_limits.rate_mib = 1 + seed % 7 * 50;
		autosize_set_limits(&a, &now_limits, T0);
		for (int i = 0; i < 2000; i++) {
			struct autosize_decision before = a.decision;
			uint64_t promised;
			bool guests;

			for (uint64_t to = w.now + (uint64_t)any(&w, 1000) * any(&w, 4000000),
				      next; (next = autosize_next_ns(&a)) && next <= to;) {
				w.now = next;
				promised = max_u64(a.decision.size_bytes, facts.ram_bytes);
				autosize_tick(&a, w.now);
				check_rate(&w, promised);
				check(&w, &a.decision);
			}
			w.now += (uint64_t)any(&w, 1000) * any(&w, 1000000);
			before = a.decision;
			promised = max_u64(a.decision.size_bytes, facts.ram_bytes);
			guests = wild_event(&w);
			if (guests)
				check_rate(&w, max_u64(promised, facts.ram_bytes));
			autosize_tick(&a, w.now);
			check(&w, now_limits.suspended && !guests ? &a.decision : &before);
		}
		/* Left alone it comes to rest. */
		cr_assert_lt(run_until(w.now + 3600 * NS_PER_S), 20);
	}
}

static const char *explained(uint64_t at_ms)
{
	static char text[256];

	return autosize_explain(&a, T0 + at_ms * NS_PER_MS, text, sizeof(text));
}

Test(autosize, says_why_it_is_as_it_is)
{
	begin_with(&cfg, &limits, BOOT);
	cr_expect_str_eq(explained(0),
			 "no agent in the guest has said hello: 256 MiB stay as they are");
	PLAY(HELLO, NEEDS(1, 1700, 766, 0, RATE, 508), AT(2, PLUGGED, 400, 766, 0));
	cr_expect_str_eq(explained(3001),
			 "the guest asked for 1700 MiB 3 s ago and was granted 508 MiB (what its "
			 "rate allows); 366 MiB have yet to come");
	happens(ARRIVES, 0, T0 + 4000 * NS_PER_MS);
	happens(STATUS, 600, T0 + 5000 * NS_PER_MS);
	cr_expect_str_eq(explained(10100),
			 "the guest is calm and has 504 MiB to spare; the next 126 MiB go with its "
			 "next status");
	happens(CEILING, 500, T0 + 10100 * NS_PER_MS);
	cr_expect_str_eq(explained(10100), "the limit is 500 MiB now; the guest has 766 MiB and "
					   "shall give the rest back");
	happens(SUSPEND, 1, T0 + 10200 * NS_PER_MS);
	cr_expect_str_eq(explained(10200), "suspended: 766 MiB stay as they are");
	PLAY(HELLO, AT(6000, STATUS, 100, 258, 16), AT(6010, BALLOON, 16, 258, 16),
	     AT(9000, BALLOON, 15, 322, 0));
	cr_expect_str_eq(explained(11000),
			 "the guest took its reserve, being out of memory, 2 s ago and was granted "
			 "64 MiB (all of it); 64 MiB have yet to come");
}
