/* SPDX-License-Identifier: Apache-2.0 */
/* autosize.c - how much memory a guest shall have. */
#include "vmm/policy/autosize.h"

#include <inttypes.h>
#include <stdio.h>

#define NEVER UINT64_MAX

/* A guest in need gets this much at least: asking again costs it a round trip each time. */
#define GRANT_MIN_BYTES (32 * MiB)
/* What a calm guest keeps available. Less than a grant above that is not worth taking. */
#define HEADROOM_MIN_BYTES (64 * MiB)
#define HEADROOM_DIVISOR   8
#define SPARE_MIN_BYTES	   GRANT_MIN_BYTES
/* Of what is spare this part goes in one step. */
#define STEP_DIVISOR 4
#define STEP_NS	     (2 * NS_PER_S)

/* How long a guest must have been calm before it is taken what it offers, the reserve, more. */
#define SPARE_CALM_NS	(2 * NS_PER_S)
#define RESERVE_CALM_NS (5 * NS_PER_S)
#define CALM_NS		(10 * NS_PER_S)
/* Linux takes 1 MiB at once. Single pages come and go when it moves what is ballooned. */
#define TOOK_BYTES (MiB / 2)
/* Not calm: stalled for more than 1/1000 of the time, or more than 1 MiB a second read again. */
#define STALL_DIVISOR 1000
#define REFAULT_BYTES MiB

/* What comes so soon after memory was taken is put down to that; none is taken for a while then. */
#define HURT_NS	     (10 * NS_PER_S)
#define PAUSE_MIN_NS (30 * NS_PER_S)
#define PAUSE_MAX_NS (600 * NS_PER_S)

static const char *const why_name[] = {
	[AUTOSIZE_GRANTED] = "granted", [AUTOSIZE_RATE] = "rate",
	[AUTOSIZE_MAX] = "max",		[AUTOSIZE_CEILING] = "ceiling",
	[AUTOSIZE_SUSPENDED] = "suspended",
};

const char *autosize_why_name(enum autosize_why why) { return why_name[why]; }

/* Sizes. */

static uint64_t round_down(const struct autosize *a, uint64_t size)
{
	uint64_t boot = a->cfg.boot_bytes;

	return size <= boot ? boot : boot + align_down(size - boot, a->cfg.block_bytes);
}

static uint64_t round_up(const struct autosize *a, uint64_t size)
{
	uint64_t down = round_down(a, size);

	return down < size ? down + a->cfg.block_bytes : down;
}

/* The most that it may have. */
static uint64_t top(const struct autosize *a)
{
	const struct autosize_limits *l = &a->limits;

	return round_down(a, min_u64(l->max_bytes, max_u64(l->ceiling_bytes, l->min_bytes)));
}

/* What comes next needs a memory block that the guest does not have yet. */
static bool at_edge(const struct autosize *a, uint64_t size)
{
	return a->cfg.memory_block_bytes > a->cfg.block_bytes &&
	       !((size - a->cfg.boot_bytes) % a->cfg.memory_block_bytes) && size < top(a);
}

static uint64_t past_edge(const struct autosize *a, uint64_t size)
{
	return at_edge(a, size) ? size + a->cfg.block_bytes : size;
}

/* SIZE as one that may be decided, not below it unless the limits say so. */
static uint64_t fit(const struct autosize *a, uint64_t size)
{
	size = round_up(a, max_u64(size, a->limits.min_bytes));
	return past_edge(a, min_u64(size, top(a)));
}

static uint64_t headroom(const struct autosize *a)
{
	return max_u64(HEADROOM_MIN_BYTES, a->facts.ram_bytes / HEADROOM_DIVISOR);
}

/* What it has, as far as it may keep it: a step down that is still under way ends here. */
static void keep(struct autosize *a)
{
	uint64_t ram = min_u64(round_down(a, a->facts.ram_bytes), top(a));

	if (!a->limits.suspended)
		a->decision.size_bytes = max_u64(a->decision.size_bytes, ram);
}

static uint64_t level_bytes(const struct autosize *a, uint64_t now)
{
	return token_bucket_level(&a->bucket, now) * MiB;
}

/* Up to TARGET, which fits, as far as the bucket has it. */
static void grow(struct autosize *a, uint64_t target, uint64_t now)
{
	uint64_t size = a->decision.size_bytes, more;

	if (target <= size)
		return;
	more = min_u64(target - size, align_down(level_bytes(a, now), a->cfg.block_bytes));
	if (more && at_edge(a, size + more))
		more -= a->cfg.block_bytes;
	token_bucket_take(&a->bucket, (uint32_t)(more / MiB), now);
	a->decision.size_bytes += more;
}

/* Calm and hurt. */

static void hurt(struct autosize *a, uint64_t now)
{
	if (!a->taken_ns || now - a->taken_ns > HURT_NS)
		return;
	/* When it went well for as long as the last pause was, that one is forgotten. */
	if (!a->pause_ns || now > a->paused_until_ns + a->pause_ns)
		a->pause_ns = PAUSE_MIN_NS;
	else
		a->pause_ns = min_u64(2 * a->pause_ns, PAUSE_MAX_NS);
	a->paused_until_ns = now + a->pause_ns;
	a->taken_ns = 0;
}

static void unrest(struct autosize *a, uint64_t now)
{
	hurt(a, now);
	a->unrest_ns = now;
	a->spare_bytes = 0;
	keep(a);
}

/* The guest is in need of BYTES: the reserve first, then more. */
static void need(struct autosize *a, uint64_t bytes, uint64_t now)
{
	uint64_t want, target, before;

	unrest(a, now);
	a->fresh = false;
	want = max_u64(min_u64(bytes, a->limits.max_bytes), GRANT_MIN_BYTES);
	want = align_up(want, a->cfg.block_bytes);
	before = a->facts.ram_bytes;
	target = fit(a, before + want);
	grow(a, target, now);
	a->need.at_ns = now;
	a->need.took = false;
	a->need.asked_bytes = bytes;
	a->need.granted_bytes = a->facts.reserve_bytes;
	if (a->decision.size_bytes > before)
		a->need.granted_bytes += a->decision.size_bytes - before;
	a->need.granted_bytes = min_u64(a->need.granted_bytes, want);
	if (a->decision.size_bytes < target)
		a->need.why = AUTOSIZE_RATE;
	else if (target >= before + want)
		a->need.why = AUTOSIZE_GRANTED;
	else
		a->need.why = a->limits.ceiling_bytes < a->limits.max_bytes ? AUTOSIZE_CEILING
									    : AUTOSIZE_MAX;
	a->decision.reserve_bytes = 0;
}

/* What may be decided by itself, and when. Once done, each is due later or never. */

static bool decides(const struct autosize *a)
{
	return a->agent == AUTOSIZE_AGENT && !a->limits.suspended && !a->facts.hinting;
}

/* A step past the edge of a memory block. */
static uint64_t edge_due(const struct autosize *a)
{
	if (!at_edge(a, a->decision.size_bytes))
		return NEVER;
	return token_bucket_when(&a->bucket, (uint32_t)(a->cfg.block_bytes / MiB));
}

static uint64_t offered_size(const struct autosize *a)
{
	uint64_t ram = a->facts.ram_bytes;

	return fit(a, ram - min_u64(ram, a->spare_bytes));
}

static uint64_t offer_due(const struct autosize *a)
{
	if (!a->spare_bytes || offered_size(a) >= a->decision.size_bytes)
		return NEVER;
	return max_u64(a->unrest_ns + SPARE_CALM_NS, a->paused_until_ns);
}

static uint64_t reserve_due(const struct autosize *a)
{
	if (a->decision.reserve_bytes == a->cfg.reserve_bytes || !a->fresh ||
	    a->facts.ram_bytes < a->decision.size_bytes ||
	    a->status.available_bytes <
		    a->cfg.reserve_bytes + headroom(a) / 2 + GRANT_MIN_BYTES / 2)
		return NEVER;
	/* While memory is being unplugged the guest may have to move what was just ballooned. */
	return max_u64(a->unrest_ns + RESERVE_CALM_NS, a->taken_ns ? a->taken_ns + STEP_NS : 0);
}

/* What is available beyond the headroom. */
static uint64_t spare(const struct autosize *a)
{
	uint64_t available = min_u64(a->status.available_bytes, a->facts.ram_bytes);

	return available > headroom(a) ? available - headroom(a) : 0;
}

static uint64_t step_bytes(const struct autosize *a)
{
	return max_u64(spare(a) / STEP_DIVISOR, SPARE_MIN_BYTES);
}

static uint64_t step_size(const struct autosize *a)
{
	/* What was granted and never came is no loss. */
	uint64_t size = min_u64(a->decision.size_bytes, a->facts.ram_bytes);

	return fit(a, size - min_u64(size, step_bytes(a)));
}

static uint64_t step_due(const struct autosize *a)
{
	uint64_t due = a->unrest_ns + CALM_NS;

	/* The figures of a status count once, and only when what was to go has gone. */
	if (!a->fresh || a->facts.ram_bytes > a->decision.size_bytes ||
	    spare(a) < SPARE_MIN_BYTES || step_size(a) >= a->decision.size_bytes)
		return NEVER;
	if (a->step_ns)
		due = max_u64(due, a->step_ns + STEP_NS);
	return max_u64(due, a->paused_until_ns);
}

static void decide(struct autosize *a, uint64_t now)
{
	if (a->limits.suspended)
		return;
	/* The operator's limits hold whoever is there. */
	a->decision.size_bytes = max_u64(a->decision.size_bytes, round_up(a, a->limits.min_bytes));
	a->decision.size_bytes = min_u64(a->decision.size_bytes, top(a));
	if (!decides(a))
		return;
	if (now >= offer_due(a)) {
		a->decision.size_bytes = offered_size(a);
		a->spare_bytes = 0;
		a->fresh = false;
	}
	if (now >= reserve_due(a)) {
		a->decision.reserve_bytes = a->cfg.reserve_bytes;
		a->fresh = false;
	}
	if (now >= step_due(a)) {
		a->decision.size_bytes = step_size(a);
		a->step_ns = now;
		a->fresh = false;
	}
	if (now >= edge_due(a))
		grow(a, past_edge(a, a->decision.size_bytes), now);
}

uint64_t autosize_next_ns(const struct autosize *a)
{
	uint64_t next;

	if (!decides(a))
		return 0;
	next = min_u64(min_u64(edge_due(a), offer_due(a)), min_u64(reserve_due(a), step_due(a)));
	return next == NEVER ? 0 : next;
}

struct autosize_decision autosize_tick(struct autosize *a, uint64_t now)
{
	decide(a, now);
	return a->decision;
}

/* What happens. */

void autosize_init(struct autosize *a, const struct autosize_cfg *cfg,
		   const struct autosize_limits *limits, uint64_t ram_bytes, uint64_t now)
{
	uint32_t burst_mib = cfg->burst_mib;

	assert(is_power_of_two(cfg->block_bytes) && cfg->block_bytes >= MiB);
	assert(!(cfg->memory_block_bytes % cfg->block_bytes) && cfg->memory_block_bytes);
	assert(cfg->boot_bytes <= ram_bytes);
	/* With less than two blocks in the bucket it would never get past an edge. */
	burst_mib = (uint32_t)max_u64(burst_mib, 2 * cfg->block_bytes / MiB);
	*a = (struct autosize){
		.cfg = *cfg,
		.bucket = token_bucket_full(limits->rate_mib, burst_mib, now),
		.facts.ram_bytes = ram_bytes,
		.unrest_ns = now,
	};
	a->decision.size_bytes = round_down(a, ram_bytes);
	autosize_set_limits(a, limits, now);
}

void autosize_set_limits(struct autosize *a, const struct autosize_limits *limits, uint64_t now)
{
	uint32_t level = token_bucket_level(&a->bucket, now), capacity = a->bucket.capacity;
	bool resumed = a->limits.suspended && !limits->suspended;

	assert(a->cfg.boot_bytes <= limits->min_bytes && limits->min_bytes <= limits->max_bytes);
	assert(limits->rate_mib);
	if (limits->rate_mib != a->bucket.rate) {
		a->bucket = token_bucket_full(limits->rate_mib, capacity, now);
		token_bucket_take(&a->bucket, capacity - level, now);
	}
	a->limits = *limits;
	if (resumed) {
		/* Somebody else may have sized it meanwhile: from here on, then. */
		a->decision.size_bytes = round_down(a, a->facts.ram_bytes);
		a->decision.reserve_bytes = min_u64(a->facts.reserve_bytes, a->cfg.reserve_bytes);
		a->unrest_ns = now;
		a->spare_bytes = 0;
	}
	decide(a, now);
}

void autosize_reset(struct autosize *a, uint64_t now)
{
	a->facts = (struct autosize_facts){ .ram_bytes = a->cfg.boot_bytes };
	a->taken_ns = a->pause_ns = a->paused_until_ns = a->step_ns = 0;
	a->need.at_ns = 0;
	autosize_agent(a, AUTOSIZE_NO_AGENT, now);
}

void autosize_agent(struct autosize *a, enum autosize_agent agent, uint64_t now)
{
	a->agent = agent;
	a->status_ns = 0;
	a->fresh = false;
	a->spare_bytes = 0;
	a->unrest_ns = now;
	/* A guest that can't ask any more gets it now; the reason may be that it was killed. */
	if (agent == AUTOSIZE_NO_AGENT && !a->limits.suspended)
		a->decision.reserve_bytes = 0;
	decide(a, now);
}

/* NOW and BEFORE are counts that rise; a guest that lies about it gains nothing. */
static uint64_t risen(uint64_t before, uint64_t now)
{
	return before == UINT64_MAX || now == UINT64_MAX || now < before ? 0 : now - before;
}

static bool pressed(const struct autosize *a, const struct autosize_status *s, uint64_t now)
{
	uint64_t ns = max_u64(now - a->status_ns, NS_PER_S);

	if (!a->status_ns)
		return false;
	return risen(a->status.some_us, s->some_us) > ns / 1000 / STALL_DIVISOR ||
	       risen(a->status.refault_bytes, s->refault_bytes) / REFAULT_BYTES > ns / NS_PER_S ||
	       risen(a->status.oom_kills, s->oom_kills);
}

static void take_status(struct autosize *a, const struct autosize_status *s, uint64_t now)
{
	if (s->available_bytes == UINT64_MAX)
		return;
	if (!a->facts.hinting && pressed(a, s, now))
		unrest(a, now);
	a->status = *s;
	a->status_ns = a->facts.hinting ? 0 : now;
	a->fresh = !a->facts.hinting;
}

void autosize_status(struct autosize *a, const struct autosize_status *status, uint64_t now)
{
	if (a->agent != AUTOSIZE_AGENT)
		return;
	take_status(a, status, now);
	decide(a, now);
}

struct autosize_answer autosize_need(struct autosize *a, uint64_t bytes,
				     const struct autosize_status *status, uint64_t now)
{
	struct autosize_answer answer = { .why = AUTOSIZE_SUSPENDED };

	if (a->agent != AUTOSIZE_AGENT || a->limits.suspended)
		return answer;
	if (a->facts.hinting) {
		answer.why = AUTOSIZE_RATE; /* the free memory comes back in a moment: ask again */
		return answer;
	}
	if (status)
		take_status(a, status, now);
	need(a, bytes, now);
	answer.granted_bytes = a->need.granted_bytes;
	answer.why = a->need.why;
	decide(a, now);
	return answer;
}

void autosize_spare(struct autosize *a, uint64_t bytes, uint64_t now)
{
	if (a->agent != AUTOSIZE_AGENT)
		return;
	a->spare_bytes = bytes;
	decide(a, now);
	/* An offer is of now: what is under way already counts. */
	if (offer_due(a) == NEVER)
		a->spare_bytes = 0;
}

void autosize_facts(struct autosize *a, const struct autosize_facts *facts, uint64_t now)
{
	struct autosize_facts old = a->facts;

	a->facts = *facts;
	a->facts.ram_bytes = max_u64(facts->ram_bytes, a->cfg.boot_bytes);
	if (facts->hinting != old.hinting)
		a->status_ns = 0;
	if (a->facts.ram_bytes != old.ram_bytes || facts->reserve_bytes != old.reserve_bytes ||
	    facts->hinting != old.hinting)
		a->fresh = false;
	if (a->facts.ram_bytes < old.ram_bytes)
		a->taken_ns = now;
	if (!a->decision.reserve_bytes)
		a->most_reserve_bytes = 0;
	else if (!decides(a) || facts->reserve_bytes > a->most_reserve_bytes)
		a->most_reserve_bytes = facts->reserve_bytes;
	if (facts->reserve_bytes + TOOK_BYTES <= a->most_reserve_bytes) {
		need(a, headroom(a), now);
		a->need.took = true;
	}
	decide(a, now);
}

/* Explanations. */

#define MIB(bytes) ((bytes) / MiB)
#define SECONDS(ns) ((double)(ns) / NS_PER_S)

static void explain_need(const struct autosize *a, uint64_t now, char *buf, size_t bytes)
{
	static const char *const because[] = {
		[AUTOSIZE_GRANTED] = "all of it",
		[AUTOSIZE_RATE] = "what its rate allows",
		[AUTOSIZE_MAX] = "its max allows no more",
		[AUTOSIZE_CEILING] = "the host's ceiling allows no more",
		[AUTOSIZE_SUSPENDED] = "",
	};

	uint64_t coming = a->decision.size_bytes > a->facts.ram_bytes
				  ? a->decision.size_bytes - a->facts.ram_bytes
				  : 0;
	char did[64] = "took its reserve, being out of memory,";

	if (!a->need.took)
		snprintf(did, sizeof(did), "asked for %" PRIu64 " MiB", MIB(a->need.asked_bytes));
	snprintf(buf, bytes,
		 "the guest %s %.0f s ago and was granted %" PRIu64 " MiB (%s); %" PRIu64
		 " MiB have yet to come",
		 did, SECONDS(now - a->need.at_ns), MIB(a->need.granted_bytes),
		 because[a->need.why], MIB(coming));
}

const char *autosize_explain(const struct autosize *a, uint64_t now, char *buf, size_t bytes)
{
	uint64_t size = a->decision.size_bytes, ram = a->facts.ram_bytes;

	if (a->limits.suspended)
		snprintf(buf, bytes, "suspended: %" PRIu64 " MiB stay as they are", MIB(ram));
	else if (ram > top(a))
		snprintf(buf, bytes,
			 "the limit is %" PRIu64 " MiB now; the guest has %" PRIu64
			 " MiB and shall give the rest back",
			 MIB(top(a)), MIB(ram));
	else if (a->agent == AUTOSIZE_NO_AGENT)
		snprintf(buf, bytes, "no agent in the guest has said hello: %" PRIu64
			 " MiB stay as they are", MIB(size));
	else if (a->agent == AUTOSIZE_AGENT_SILENT)
		snprintf(buf, bytes, "the guest's agent is silent or broken: %" PRIu64
			 " MiB stay as they are", MIB(size));
	else if (a->facts.hinting)
		snprintf(buf, bytes, "a reclaim takes the guest's free memory for a moment: "
			 "%" PRIu64 " MiB stay as they are", MIB(size));
	else if (a->need.at_ns && now - a->need.at_ns < CALM_NS)
		explain_need(a, now, buf, bytes);
	else if (ram > size)
		snprintf(buf, bytes, "the guest is calm and shall give %" PRIu64
			 " of its %" PRIu64 " MiB back", MIB(ram - size), MIB(ram));
	else if (now < a->paused_until_ns)
		snprintf(buf, bytes,
			 "giving back hurt the guest; nothing is taken for another %.0f s",
			 SECONDS(a->paused_until_ns - now));
	else if (now - a->unrest_ns < CALM_NS)
		snprintf(buf, bytes, "the guest has been calm for %.0f s, of %.0f before it gives "
			 "back", SECONDS(now - a->unrest_ns), SECONDS(CALM_NS));
	else if (size <= fit(a, 0))
		snprintf(buf, bytes, "the guest is calm and has its least, %" PRIu64 " MiB",
			 MIB(size));
	else if (!a->status_ns)
		snprintf(buf, bytes, "the guest's agent has not said what is available: %" PRIu64
			 " MiB stay as they are", MIB(size));
	else if (spare(a) < SPARE_MIN_BYTES)
		snprintf(buf, bytes, "the guest is calm; of %" PRIu64 " MiB %" PRIu64
			 " are available, which is no more than it keeps (%" PRIu64 ")",
			 MIB(ram), MIB(a->status.available_bytes), MIB(headroom(a)));
	else
		snprintf(buf, bytes, "the guest is calm and has %" PRIu64 " MiB to spare; the next "
			 "%" PRIu64 " MiB go with its next status",
			 MIB(spare(a)), MIB(step_bytes(a)));
	return buf;
}
