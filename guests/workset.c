/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workset.c - the working set queues of the balloon as proposed for Linux (vballoon.h). A
 * configuration is remembered and printed, "config node N threshold N refresh N ages N N ...", in
 * ms. Each question is answered by a report of as many bins as were configured (bins=N, default 4,
 * before that), with their ages; bin I of answer N has N * 1000 + I bytes of anonymous memory and
 * a million more of file memory; prints "answer N node N". With error=N a question is answered by
 * that error and no bins. On the serial port r sends a report that nobody asked for, q ends.
 */
#include "guests/vballoon.h"

#define FILE_MORE 1000000
#define POLL_CYCLES 4000000 /* a millisecond or two */

static struct vballoon balloon;
static struct ws_notify notify, config;
static struct ws_report report;
static uint64_t nr_answers;

/* Their count without the end, which a full array need not have. */
static unsigned int nr_ages(void)
{
	unsigned int n = 0;

	while (n < WS_BINS && config.idle_age[n] != WS_LAST_AGE)
		n++;
	return n;
}

static void remember(void)
{
	config = notify;
	print("config node %u threshold %u refresh %u ages", config.node_id,
	      config.report_threshold, config.refresh_interval);
	for (unsigned int i = 0; i < nr_ages(); i++)
		print(" %u", config.idle_age[i]);
	print("\n");
}

/* One bin up to each age, and one for what is older than all of them. */
static void send_report(uint16_t node)
{
	unsigned int nr = nr_ages();

	if (nr == WS_BINS)
		nr--;
	report = (struct ws_report){ .error = (uint32_t)cmdline_u64("error", 0), .node_id = node };
	for (unsigned int i = 0; i <= nr && !report.error; i++) {
		report.bins[i].idle_age = i < nr ? config.idle_age[i] : WS_LAST_BIN;
		report.bins[i].anon_bytes = nr_answers * 1000 + i;
		report.bins[i].file_bytes = report.bins[i].anon_bytes + FILE_MORE;
	}
	vballoon_ws_report(&balloon, &report);
	print("answer %lu node %u\n", nr_answers++, node);
}

static void start(void)
{
	unsigned int nr = (unsigned int)cmdline_u64("bins", 4) - 1;

	CHECK(nr < WS_BINS);
	memset(config.idle_age, 0xff, sizeof(config.idle_age));
	for (unsigned int i = 0; i < nr; i++)
		config.idle_age[i] = (i + 1) * 1000;
	vballoon_open(&balloon, VBALLOON_BIT(VBALLOON_F_WS), 0);
	CHECK(vballoon_has(&balloon, VBALLOON_F_WS));
	vballoon_post_ws_notify(&balloon, &notify);
	print("ready\n");
}

int guest_main(void)
{
	start();
	for (;;) {
		uint64_t began = cpu_tsc();
		int c = serial_poll();

		if (vballoon_ws_notified(&balloon)) {
			if (notify.op == WS_OP_CONFIG)
				remember();
			else if (notify.op == WS_OP_REQUEST)
				send_report(notify.node_id);
			else
				FAIL("operation %u", notify.op);
			vballoon_post_ws_notify(&balloon, &notify);
		}
		if (c == 'r')
			send_report(0);
		if (c == 'q')
			PASS();
		while (cpu_tsc() - began < POLL_CYCLES)
			cpu_pause();
	}
}
