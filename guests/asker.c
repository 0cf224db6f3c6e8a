/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asker.c - a guest without any operating system that asks for memory (guests/agent/PROTOCOL.md),
 * and takes what it gets of its first virtio-mem device. Does what it is told on the serial port,
 * one letter each:
 *
 *   o   opens the port and says hello; prints "config MIN MAX SIZE AGE" in MiB and seconds
 *   c   closes the port
 *   s   says its status, with some=N (default 0) us more of stall each time
 *   n   needs bytes=N (default 64M), which is low; prints "answer GRANTED SIZE WHY" in MiB
 *   m   the same, of more=N
 *   f   can spare as much as it has plugged
 *   t   plugs and unplugs to what the host asks for, with balloon=1 inflates and deflates, too;
 *       prints "has N M", MiB plugged, each touched, and MiB ballooned
 *   w   says a working set, of node 0
 *   q   ends
 *
 * What it is asked for it says. What it says of its own memory is what it has: boot=N MiB and what is
 * plugged, all of it free.
 * With mode=M it is hostile instead once it has said hello, and takes what memory it is given:
 *
 *   greedy    needs everything, for ever
 *   flood     says its status, for ever, without reading
 *   garbage   says what is no message, for ever
 *   hello     says hello, for ever
 *   silent    says nothing any more, and takes nothing
 */
#include "guests/random.h"
#include "guests/spare.h"
#include "guests/vballoon.h"
#include "guests/vcon.h"
#include "guests/vmem.h"

#define PORT "org.ebb.agent"
#define LINE_BYTES 1024
#define FLOOD_BYTES 16384
#define POLL_CYCLES 1000000 /* below a millisecond */

static struct vcon port;
static struct vmem mem;
static struct vballoon balloon;
static bool has_balloon;
static uint32_t first_pfn, max_pages, nr_ballooned; /* of spare memory */
static uint64_t plugged, some_us;

/* --- lines ------------------------------------------------------------------------------------- */

static char said[LINE_BYTES];
static uint32_t nr_said;

static void word(const char *text)
{
	uint32_t n = (uint32_t)strlen(text);

	CHECK(nr_said + n < LINE_BYTES);
	memcpy(said + nr_said, text, n);
	nr_said += n;
}

static void number(uint64_t n)
{
	char digits[24];
	unsigned int at = sizeof(digits) - 1;

	digits[at] = 0;
	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	word(digits + at);
}

static void key(const char *name, uint64_t value)
{
	word(",\"");
	word(name);
	word("\":");
	number(value);
}

static void begin(const char *msg)
{
	nr_said = 0;
	word("{\"msg\":\"");
	word(msg);
	word("\"");
}

static void end(void)
{
	word("}\n");
	vcon_put(&port.out, said, nr_said);
}

static void status_keys(void)
{
	uint64_t total = cmdline_u64("boot", 64) * MiB + plugged - nr_ballooned * PAGE_BYTES;

	key("total", total);
	key("available", total);
	some_us += cmdline_u64("some", 0);
	key("some-us", some_us);
}

/* The number behind "KEY": in TEXT. */
static uint64_t value_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (; *text; text++)
		if (*text == '"' && !strncmp(text + 1, name, n) && text[n + 1] == '"') {
			const char *at = text + n + 3;

			return parse_u64(&at);
		}
	FAIL("no %s", name);
}

static bool is_msg(const char *text, const char *name)
{
	static const char before[] = "{\"msg\":\"";

	return !strncmp(text, before, sizeof(before) - 1) &&
	       !strncmp(text + sizeof(before) - 1, name, strlen(name));
}

/* --- what it says ------------------------------------------------------------------------------ */

static void hello(void)
{
	begin("hello");
	key("version", 1);
	word(",\"agent\":\"asker\",\"can\":[\"status\",\"working-set\",\"what is to come\"]");
	end();
}

static void status(void)
{
	begin("status");
	status_keys();
	end();
}

static void need(uint64_t bytes)
{
	begin("need");
	key("bytes", bytes);
	word(",\"why\":\"low\"");
	status_keys();
	end();
}

static void spare(void)
{
	begin("spare");
	key("bytes", plugged);
	end();
}

static void working_set(void)
{
	begin("working-set");
	key("node", 0);
	word(",\"source\":\"mglru\",\"bins\":[{\"idle-ms\":1000,\"anon\":4096,\"file\":8192},"
	     "{\"idle-ms\":60000,\"anon\":1048576},{\"file\":3145728}]");
	end();
}

/* --- what it hears ----------------------------------------------------------------------------- */

/* The next line; what is asked is answered. */
static const char *listen(void)
{
	static char line[512];

	vcon_line(&port, line, sizeof(line));
	if (is_msg(line, "ask\",\"what\":\"status"))
		status();
	else if (is_msg(line, "ask"))
		working_set();
	return line;
}

/* The next line of that kind; others are passed over. */
static const char *wait_for(const char *msg)
{
	const char *line;

	do
		line = listen();
	while (!is_msg(line, msg));
	return line;
}

static void open_port(void)
{
	const char *line;

	vcon_say(&port, port.port_id, VIRTIO_CONSOLE_PORT_OPEN, 1);
	vcon_put(&port.out, "\n", 1); /* whatever an earlier opening has left ends here */
	hello();
	line = wait_for("config");
	print("config %lu %lu %lu %lu\n", value_of(line, "min") / MiB,
	      value_of(line, "max") / MiB, value_of(line, "size") / MiB,
	      value_of(line, "cache-age-s"));
}

static void need_and_hear(uint64_t bytes)
{
	const char *line, *why;

	need(bytes);
	line = wait_for("answer");
	why = line + strlen(line) - 4; /* why is the last one: "}\n behind it */
	while (why[-1] != '"')
		why--;
	print("answer %lu %lu ", value_of(line, "granted") / MiB, value_of(line, "size") / MiB);
	for (; *why != '"'; why++)
		print("%c", *why);
	print("\n");
}

/* --- what it takes ----------------------------------------------------------------------------- */

/* One word in each block is enough to be seen by the host. */
static void touch(uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += mem.block_bytes)
		*(volatile uint64_t *)(mem.addr + at) = at;
}

/* One request towards the balloon's target; false: it is there. */
static bool follow_balloon(void)
{
	static uint32_t pfns[VBALLOON_REQUEST_PAGES];
	uint32_t target = has_balloon ? vballoon_target(&balloon) : 0, nr;
	bool inflate = target > nr_ballooned;

	if (target == nr_ballooned)
		return false;
	CHECK(target <= max_pages);
	nr = inflate ? target - nr_ballooned : nr_ballooned - target;
	nr = nr < VBALLOON_REQUEST_PAGES ? nr : VBALLOON_REQUEST_PAGES;
	if (!inflate)
		nr_ballooned -= nr;
	for (uint32_t i = 0; i < nr; i++)
		pfns[i] = first_pfn + nr_ballooned + i;
	if (inflate) {
		vballoon_inflate(&balloon, pfns, nr);
		nr_ballooned += nr;
	} else {
		vballoon_deflate(&balloon, pfns, nr);
	}
	vballoon_set_actual(&balloon, nr_ballooned);
	return true;
}

/* False: there is nothing to do. */
static bool follow(void)
{
	uint64_t requested = vmem_config(&mem).requested_size;

	if (follow_balloon())
		return true;
	if (requested == plugged)
		return false;
	if (requested > plugged) {
		vmem_plug(&mem, mem.addr + plugged, requested - plugged);
		touch(plugged, requested);
	} else {
		vmem_unplug(&mem, mem.addr + requested, plugged - requested);
	}
	plugged = requested;
	return true;
}

/* --- hostile modes ----------------------------------------------------------------------------- */

/* Buffers that come back go again, those filled by the host are not looked at. */
static void pour(const void *bytes, uint32_t nr)
{
	unsigned int in_flight = 0;
	uint32_t unused;

	print("pours\n");
	for (;;) {
		while (in_flight < 8) {
			vcon_add(&port.out, (void *)(uintptr_t)bytes, nr, false);
			in_flight++;
		}
		vq_kick(&port.out.vq);
		while (vcon_take(&port.out, &unused))
			in_flight--;
		vcon_hear(&port);
		follow();
		vq_pause(&port.dev);
	}
}

static void flood(void)
{
	static char bytes[FLOOD_BYTES];
	uint32_t nr = 0;

	begin("status");
	status_keys();
	word("}\n");
	for (; nr + nr_said <= FLOOD_BYTES; nr += nr_said)
		memcpy(bytes + nr, said, nr_said);
	pour(bytes, nr);
}

static void garbage(void)
{
	static uint8_t bytes[FLOOD_BYTES];
	uint64_t seed = 1;

	for (uint32_t i = 0; i < FLOOD_BYTES; i++)
		bytes[i] = i % 100 ? (uint8_t)random_next(&seed) : '\n';
	pour(bytes, FLOOD_BYTES);
}

static void greed(void)
{
	char *at;
	uint32_t unused;

	print("asks\n");
	for (;;) {
		need(1024 * GiB);
		while ((at = vcon_take(&port.in, &unused))) {
			vcon_add(&port.in, at, VCON_IN_BYTES, true);
			vq_kick(&port.in.vq);
		}
		follow();
	}
}

static void say_hello_for_ever(void)
{
	print("greets\n");
	for (;;) {
		hello();
		follow();
	}
}

static void silence(void)
{
	print("is silent\n");
	for (;;)
		vq_pause(&port.dev);
}

/* --- the whole --------------------------------------------------------------------------------- */

static void open_balloon(void)
{
	struct range spare;

	if (!cmdline_is("balloon", "1"))
		return;
	spare = spare_run(PAGE_BYTES);
	first_pfn = (uint32_t)(spare.start / PAGE_BYTES);
	max_pages = (uint32_t)(spare.bytes / PAGE_BYTES);
	vballoon_open(&balloon, VBALLOON_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST), 0);
	has_balloon = true;
}

static void command(int letter)
{
	switch (letter) {
	case 'o': open_port(); break;
	case 'c': vcon_say(&port, port.port_id, VIRTIO_CONSOLE_PORT_OPEN, 0); break;
	case 's': status(); break;
	case 'n': need_and_hear(cmdline_u64("bytes", 64 * MiB)); break;
	case 'm': need_and_hear(cmdline_u64("more", 64 * MiB)); break;
	case 'f': spare(); break;
	case 't':
		while (follow())
			;
		print("has %lu %lu\n", plugged / MiB, nr_ballooned * PAGE_BYTES / MiB);
		break;
	case 'w': working_set(); break;
	case 'q': PASS();
	default: break;
	}
}

int guest_main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = { { "greedy", greed }, { "flood", flood }, { "garbage", garbage },
		      { "hello", say_hello_for_ever }, { "silent", silence } };

	CHECK(vmem_open(&mem, 0));
	open_balloon();
	vcon_open(&port, PORT);
	print("ready\n");
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++)
		if (cmdline_is("mode", modes[i].name)) {
			open_port();
			modes[i].run();
		}
	for (;;) {
		uint64_t start = cpu_tsc();

		vcon_hear(&port);
		if (vcon_has_input(&port))
			listen();
		command(serial_poll());
		while (cpu_tsc() - start < POLL_CYCLES)
			cpu_pause();
	}
}
