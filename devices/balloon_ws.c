/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_ws.c - the working set on the wire. */
#include "devices/balloon_ws.h"

#include <assert.h>

#define MAX_ERRNO 4095

_Static_assert(BALLOON_WS_BINS <= WORKING_SET_BINS, "a report fits");

const char *balloon_ws_parse(struct working_set *out, const struct balloon_ws_report *report)
{
	uint64_t before = 0;

	*out = (struct working_set){ .node = le32_get(report->node_id),
				     .error = -le32_get(report->error) };
	if (out->error > MAX_ERRNO)
		return "working set with an error that is none";
	if (out->error)
		return NULL;
	for (unsigned int i = 0; i < BALLOON_WS_BINS; i++) {
		uint64_t idle = le64_get(report->bins[i].idle_age);

		if (idle <= before)
			return "working set with ages that do not rise";
		out->bins[i].idle_ms = before = idle;
		out->bins[i].anon_bytes = le64_get(report->bins[i].anon_bytes);
		out->bins[i].file_bytes = le64_get(report->bins[i].file_bytes);
		out->nr_bins++;
		if (idle == UINT64_MAX)
			return NULL;
	}
	return "working set without a last bin";
}

bool balloon_ws_config_valid(const struct working_set_config *c)
{
	if (!c->nr_ages || c->nr_ages >= BALLOON_WS_BINS)
		return false;
	for (unsigned int i = 0; i < c->nr_ages; i++)
		if (c->age_ms[i] <= (i ? c->age_ms[i - 1] : 0) || c->age_ms[i] == UINT32_MAX)
			return false;
	return true;
}

struct balloon_ws_notify balloon_ws_request(uint16_t node)
{
	return (struct balloon_ws_notify){ .op = le16_of(BALLOON_WS_REQUEST),
					   .node_id = le16_of(node) };
}

struct balloon_ws_notify balloon_ws_configure(const struct working_set_config *c)
{
	struct balloon_ws_notify n = {
		.op = le16_of(BALLOON_WS_CONFIG),
		.node_id = le16_of(c->node),
		.report_threshold = le32_of(c->report_threshold_ms),
		.refresh_interval = le32_of(c->refresh_interval_ms),
	};

	assert(balloon_ws_config_valid(c));
	for (unsigned int i = 0; i < BALLOON_WS_BINS; i++)
		n.idle_age[i] = le32_of(i < c->nr_ages ? c->age_ms[i] : UINT32_MAX);
	return n;
}
