/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_agent.c - a guest's agent without rules, beside a plain model of the conversation, and the
 * policy behind it.
 *
 * An input is a list of steps: the guest opens and closes the port, says lines that are messages,
 * nearly so, or any bytes, reads or does not; time passes; the host sends and configures; memory
 * follows what was decided, or does not. After each step the model has heard as many lines, and is
 * in the same state; what was heard is within the protocol; what was decided is within the limits,
 * and what the guest got never more than the bucket had.
 */
#include <stdio.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "vmm/agent/session.h"
#include "vmm/base/log.h"

#define STEPS_MAX 96
#define LINE_NS (NS_PER_S / AGENT_LINES_PER_S)
#define BOOT (256 * MiB)
#define MIN (320 * MiB)
#define MAX (2 * GiB)
#define RESERVE (16 * MiB)
#define RATE_MIB 64
#define BURST_MIB 128

static struct fuzz_stream in;
static struct agent_session s;
static uint64_t now;
static bool open;
static size_t takes; /* bytes that the guest still reads */

/* What the guest has said and has no room for yet. */
static char saying[2 * AGENT_LINE_BYTES];
static size_t nr_saying;

/* --- the model --------------------------------------------------------------------------------- */

static struct model {
	char bytes[AGENT_LINE_BYTES + 1];
	size_t nr;
	bool too_long;
	enum agent_state state;
	unsigned int nr_faults;
	uint64_t credit_ns, credited_at, heard_at, nr_lines, nr_faults_ever;
	bool can_status;
	unsigned int nr_heard;
} model;
static unsigned int nr_heard;

static void model_credit(void)
{
	model.credit_ns = min_u64(model.credit_ns + now - model.credited_at,
				  AGENT_LINES_BURST * LINE_NS);
	model.credited_at = now;
}

static size_t model_room(void)
{
	model_credit();
	return model.state == AGENT_BROKEN || model.credit_ns < LINE_NS ?
		       0 : sizeof(model.bytes) - model.nr;
}

static void model_fault(void)
{
	if (model.state == AGENT_GONE)
		return;
	model.nr_faults_ever++;
	if (++model.nr_faults == AGENT_FAULTS_MAX)
		model.state = AGENT_BROKEN;
}

static void model_line(size_t nr)
{
	struct agent_message m;
	struct qmp_error err;

	model.nr_lines++;
	if (!nr)
		return;
	if (agent_message_parse(&m, model.bytes, nr, &err)) {
		fuzz_check(err.desc[0]);
		model_fault();
		return;
	}
	if (m.kind == AGENT_HELLO)
		model.can_status = m.hello.can & AGENT_CAN_STATUS;
	if (m.kind == AGENT_HELLO || model.state != AGENT_GONE) {
		model.state = AGENT_CONNECTED;
		model.heard_at = now;
		model.nr_heard += m.kind != AGENT_HELLO && m.kind != AGENT_UNKNOWN;
	}
}

static void model_run(void)
{
	model_credit();
	while (model.state != AGENT_BROKEN && model.credit_ns >= LINE_NS) {
		char *end = memchr(model.bytes, '\n', model.nr);
		size_t nr = end ? (size_t)(end - model.bytes) : model.nr;

		if (!end && nr < sizeof(model.bytes))
			break;
		model.credit_ns -= LINE_NS;
		if (end && !model.too_long)
			model_line(nr);
		else if (!model.too_long)
			model_fault();
		model.too_long = !end;
		nr += end != NULL;
		model.nr -= nr;
		memmove(model.bytes, model.bytes + nr, model.nr);
	}
	if (model.state == AGENT_BROKEN)
		model.nr = 0;
	if (model.state == AGENT_CONNECTED && model.can_status &&
	    now - model.heard_at >= AGENT_SILENCE_NS + 3 * NS_PER_S)
		model.state = AGENT_SILENT;
}

/* --- the policy behind it ---------------------------------------------------------------------- */

static struct autosize policy;
static struct autosize_facts facts;
static uint64_t got_bytes; /* all that came, ever */

/* Memory goes where it shall, or a part of the way. */
static void follow(bool wholly)
{
	struct autosize_decision d = autosize_tick(&policy, now);
	uint64_t size = d.size_bytes;

	if (!wholly)
		size = align_down((size + facts.ram_bytes) / 2, 2 * MiB);
	if (size > facts.ram_bytes)
		got_bytes += size - facts.ram_bytes;
	facts.ram_bytes = size;
	facts.reserve_bytes = wholly ? d.reserve_bytes : min_u64(d.reserve_bytes, 4 * MiB);
	autosize_facts(&policy, &facts, now);
}

static void check_policy(void)
{
	const struct autosize_decision *d = &policy.decision;
	uint64_t next;
	char text[256];

	(void)autosize_tick(&policy, now);
	next = autosize_next_ns(&policy);
	fuzz_check(!next || next > now); /* else the loop would spin */
	fuzz_check(d->size_bytes >= MIN && d->size_bytes <= MAX);
	fuzz_check(!((d->size_bytes - BOOT) % (2 * MiB)));
	fuzz_check(!d->reserve_bytes || d->reserve_bytes == RESERVE);
	/* What the bucket held at first, and what came in since. */
	fuzz_check(got_bytes / MiB <= BURST_MIB + (now - NS_PER_S) * RATE_MIB / NS_PER_S);
	fuzz_check(*autosize_explain(&policy, now, text, sizeof(text)));
}

/* --- what is heard ----------------------------------------------------------------------------- */

static bool is_size(uint64_t bytes) { return bytes <= AGENT_BYTES_MAX || bytes == UINT64_MAX; }

static void check_message(const struct agent_message *m)
{
	const struct autosize_status *st = &m->status;
	const struct working_set *ws = &m->working_set.ws;
	uint64_t before = 0;

	fuzz_check(is_size(st->total_bytes) && is_size(st->available_bytes));
	fuzz_check(is_size(st->free_bytes) && is_size(st->file_bytes) && is_size(st->some_us));
	fuzz_check(is_size(st->full_us) && is_size(st->refault_bytes) && is_size(st->oom_kills));
	fuzz_check(m->bytes <= AGENT_BYTES_MAX && m->why <= AGENT_NEED_REQUEST);
	fuzz_check(m->kind != AGENT_STATUS || (st->total_bytes <= AGENT_BYTES_MAX &&
					       st->available_bytes <= AGENT_BYTES_MAX));
	fuzz_check(ws->nr_bins <= WORKING_SET_BINS && ws->node <= 65535);
	for (unsigned int i = 0; i < ws->nr_bins; i++) {
		fuzz_check(ws->bins[i].idle_ms > before);
		before = ws->bins[i].idle_ms;
		fuzz_check(ws->bins[i].anon_bytes <= AGENT_BYTES_MAX);
	}
	fuzz_check(!ws->nr_bins || before == UINT64_MAX);
	for (const char *p = m->working_set.error; *p; p++)
		fuzz_check(*p >= ' ' && *p <= '~');
}

static void heard(void *ctx, const struct agent_message *m)
{
	struct autosize_answer answer;
	char line[AGENT_HOST_LINE_BYTES];

	(void)ctx;
	nr_heard++;
	check_message(m);
	if (m->kind == AGENT_STATUS) {
		autosize_status(&policy, &m->status, now);
	} else if (m->kind == AGENT_SPARE) {
		autosize_spare(&policy, m->bytes, now);
	} else if (m->kind == AGENT_NEED) {
		answer = autosize_need(&policy, m->bytes, &m->status, now);
		fuzz_check(answer.granted_bytes <= MAX);
		agent_answer_line(line, &answer, policy.decision.size_bytes);
		agent_session_send(&s, line);
	}
}

static enum agent_state told;

static void state_changed(void *ctx, enum agent_state state)
{
	(void)ctx;
	fuzz_check(state != told);
	told = state;
	autosize_agent(&policy, state == AGENT_CONNECTED ? AUTOSIZE_AGENT :
				state == AGENT_GONE	 ? AUTOSIZE_NO_AGENT :
							   AUTOSIZE_AGENT_SILENT, now);
}

/* --- the guest's end --------------------------------------------------------------------------- */

/* Lines that it reads are whole, and begin as ours do. */
static char reading[AGENT_HOST_LINE_BYTES];
static size_t nr_reading;

static void read_byte(char c)
{
	fuzz_check(nr_reading < sizeof(reading));
	reading[nr_reading++] = c;
	if (c != '\n')
		return;
	fuzz_check(nr_reading > 8 && !memcmp(reading, "{\"msg\":\"", 8));
	fuzz_check(reading[nr_reading - 2] == '}');
	nr_reading = 0;
}

static size_t receive(void *ctx, const uint8_t *bytes, size_t nr)
{
	(void)ctx;
	nr = open ? min_u64(nr, takes) : 0;
	takes -= nr;
	for (size_t i = 0; i < nr; i++)
		read_byte((char)bytes[i]);
	return nr;
}

static void transmit_ready(void *ctx)
{
	(void)ctx;
	model_run(); /* the host's end has taken all that it could before it says so */
	while (nr_saying) {
		size_t nr = min_u64(agent_session_room(&s, now), nr_saying);

		if (!nr)
			return;
		fuzz_check(nr <= sizeof(model.bytes) - model.nr);
		agent_session_put(&s, (const uint8_t *)saying, nr);
		memcpy(model.bytes + model.nr, saying, nr);
		model.nr += nr;
		nr_saying -= nr;
		memmove(saying, saying + nr, nr_saying);
	}
}

static void add(const char *bytes, size_t nr)
{
	nr = min_u64(nr, sizeof(saying) - nr_saying);
	memcpy(saying + nr_saying, bytes, nr);
	nr_saying += nr;
}

#define WORKING_SET \
	"{\"msg\":\"working-set\",\"node\":0,\"source\":\"lru\",\"bins\":[{\"idle-ms\":%s},{}]}"

static void say_message(void)
{
	static const char *const lines[] = {
		"{\"msg\":\"hello\",\"version\":1,\"can\":[\"status\"]}",
		"{\"msg\":\"status\",\"total\":600000000,\"available\":%s}",
		"{\"msg\":\"need\",\"bytes\":%s,\"why\":\"stall\"}",
		"{\"msg\":\"need\",\"bytes\":%s,\"total\":1,\"available\":0}",
		"{\"msg\":\"spare\",\"bytes\":%s}",
		WORKING_SET,
		"{\"msg\":\"hello\",\"version\":%s,\"agent\":\"x\",\"kernel\":\"y\"}",
		"{\"msg\":\"status\",\"total\":%s,\"available\":1,\"some-us\":%s,\"refault\":7}",
	};
	static const char *const numbers[] = {
		"0", "1", "65536", "300000000", "9223372036854775807", "9223372036854775808", "-1",
		"1e9",
	};
	const char *number = numbers[fuzz_below(&in, ARRAY_SIZE(numbers))];
	char line[256];
	int n = snprintf(line, sizeof(line), lines[fuzz_below(&in, ARRAY_SIZE(lines))], number,
			 number);

	/* One byte of it is another one, now and then. */
	if (!(fuzz_u8(&in) & 7))
		line[fuzz_below(&in, 255) % (unsigned int)n] = (char)fuzz_u8(&in);
	add(line, (size_t)n);
	add("\n", 1);
}

static void say_bytes(void)
{
	unsigned int nr = fuzz_below(&in, 32);

	while (nr-- && in.left) {
		char byte = (char)fuzz_u8(&in);

		add(&byte, 1);
	}
}

static void say_much(void)
{
	static char much[AGENT_LINE_BYTES];

	memset(much, fuzz_u8(&in) & 1 ? 'x' : '\n', sizeof(much));
	add(much, fuzz_u16(&in) % sizeof(much));
}

/* --- steps ------------------------------------------------------------------------------------- */

static void open_port(bool is_open)
{
	open = is_open;
	agent_session_opened(&s, open);
	model.state = AGENT_GONE;
	model.nr_faults = 0;
	model.nr = 0;
	model.too_long = false;
	nr_reading = 0;
}

static void run(void)
{
	/* Until nothing moves: what the guest says goes as far as there is room. */
	for (;;) {
		size_t before = nr_saying;

		transmit_ready(NULL);
		agent_session_run(&s, now);
		model_run();
		if (nr_saying == before)
			break;
	}
}

static void configure(void)
{
	struct agent_config c = { .interval_ms = 1000, .max_bytes = MAX,
				  .size_bytes = policy.decision.size_bytes,
				  .cache_age_s = fuzz_below(&in, 3) };

	agent_session_configure(&s, &c);
}

static void pass(uint64_t ns)
{
	uint64_t end = now + ns, at;

	while ((at = agent_session_next_ns(&s)) && at <= end) {
		now = max_u64(now, at);
		run();
		at = agent_session_next_ns(&s);
		fuzz_check(!at || at > now); /* else the loop would spin */
	}
	now = end;
	run();
}

static void check_all(void)
{
	fuzz_check(s.state == model.state && told == model.state);
	fuzz_check(s.nr_lines == model.nr_lines && s.nr_faults_ever == model.nr_faults_ever);
	fuzz_check(nr_heard == model.nr_heard);
	fuzz_check(agent_session_room(&s, now) == model_room());
	fuzz_check(!nr_saying || !model_room());
	fuzz_check(s.nr_queued <= AGENT_QUEUE_LINES);
	check_policy();
}

static void step(void)
{
	uint8_t what = fuzz_u8(&in);

	switch (what % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4: say_message(); break;
	case 5: say_bytes(); break;
	case 6: say_much(); break;
	case 7: open_port(what & 0x80); break;
	case 8: takes = what & 0x80 ? SIZE_MAX : fuzz_u8(&in); break;
	case 9: configure(); break;
	case 10: pass(fuzz_u8(&in) * NS_PER_MS); break;
	case 11: pass(fuzz_u8(&in) * NS_PER_S); break;
	case 12:
		agent_session_send(&s, "{\"msg\":\"ask\",\"what\":\"status\"}\n");
		break;
	default: follow(what & 0x80); break;
	}
	run();
	check_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct guest_end guest = { .receive = receive, .transmit_ready = transmit_ready };
	struct agent_session_env env = { .state_changed = state_changed, .heard = heard };
	struct agent_config config = { .interval_ms = 1000 };
	struct autosize_cfg cfg = { .boot_bytes = BOOT,
				    .block_bytes = 2 * MiB,
				    .memory_block_bytes = 128 * MiB,
				    .reserve_bytes = RESERVE,
				    .burst_mib = BURST_MIB };
	struct autosize_limits limits = { MIN, MAX, UINT64_MAX, RATE_MIB, false };

	in = (struct fuzz_stream){ data, bytes };
	log_set_level(LOG_ERROR);
	now = NS_PER_S;
	agent_session_init(&s, guest, &env, &config, now);
	autosize_init(&policy, &cfg, &limits, MIN, now);
	facts = (struct autosize_facts){ .ram_bytes = MIN };
	got_bytes = 0;
	model = (struct model){ .credit_ns = AGENT_LINES_BURST * LINE_NS, .credited_at = now };
	nr_heard = 0;
	told = AGENT_GONE;
	nr_saying = nr_reading = 0;
	takes = SIZE_MAX;
	open_port(true);
	for (unsigned int i = 0; i < STEPS_MAX && in.left; i++)
		step();
	return 0;
}
