/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_quit.c - what clients still get when the server ends. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "tests/unit/qmp_rig.h"

static struct qmp_rig rig;

Test(qmp_quit, reply_to_quit_arrives_before_the_end, .timeout = 240)
{
	struct wire w, deaf;

	rig_start(&rig);
	wire_open(&w, rig.path);
	wire_open(&deaf, rig.path);
	for (int n = 0; n < 40; n++)
		wire_send(&deaf, "{\"execute\":\"big\",\"arguments\":{\"bytes\":60000}}");
	rig_settle(&rig);
	wire_send(&w, "{\"execute\":\"big\",\"arguments\":{\"bytes\":60000}}"
		      "{\"execute\":\"big\",\"arguments\":{\"bytes\":60000}}"
		      "{\"execute\":\"quit\"}");
	rig_wait_end(&rig);
	/* Or the end would wait for a deaf client for ever. */
	loop_use_clock(rig.loop, NULL);
	rig_join(&rig);
	json_object_put(wire_read(&w));
	json_object_put(wire_read(&w));
	wire_expect(&w, "", "{\"return\":{}}");
	cr_expect_null(wire_read(&w));
	wire_close(&w);
	wire_close(&deaf);
	rig_clean(&rig);
}

/* Reads until the end; wire_read_line() asserts that it does not come inside a line. */
static void *read_all(void *ctx)
{
	uintptr_t nr_lines = 0;
	size_t bytes;
	char *line;

	while ((line = wire_read_line(ctx, &bytes))) {
		free(line);
		nr_lines++;
	}
	return (void *)nr_lines;
}

Test(qmp_quit, backlog_is_sent_to_a_client_that_reads_at_the_end, .timeout = 240)
{
	struct wire slow, w;
	pthread_t reader;
	void *nr_lines;

	rig_start(&rig);
	wire_open(&w, rig.path);
	wire_open(&slow, rig.path);
	for (int n = 0; n < 40; n++)
		wire_send(&slow, "{\"execute\":\"big\",\"arguments\":{\"bytes\":60000}}");
	rig_settle(&rig);
	cr_assert_geq(rig_stats(&rig).backlog_bytes, QMP_MAX_BACKLOG);
	wire_expect(&w, "{\"execute\":\"quit\"}", "{\"return\":{}}");
	/* The loop has stopped: only the end of the server can send the rest. */
	rig_wait_end(&rig);
	pthread_create(&reader, NULL, read_all, &slow);
	rig_join(&rig);
	pthread_join(reader, &nr_lines);
	cr_expect_gt((uintptr_t)nr_lines, 1);
	cr_expect_lt((uintptr_t)nr_lines, 40, "the rest was never asked for by the server");
	wire_close(&slow);
	wire_close(&w);
	rig_clean(&rig);
}
