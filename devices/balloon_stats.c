/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_stats.c - a sample of memory statistics, from its wire format. */
#include "devices/balloon_stats.h"

#include <assert.h>
#include <string.h>

static const char *const names[BALLOON_NR_STATS] = {
	"stat-swap-in",		 "stat-swap-out",	"stat-major-faults",
	"stat-minor-faults",	 "stat-free-memory",	"stat-total-memory",
	"stat-available-memory", "stat-disk-caches",	"stat-htlb-pgalloc",
	"stat-htlb-pgfail",	 "stat-oom-kills",	"stat-alloc-stalls",
	"stat-async-scans",	 "stat-direct-scans",	"stat-async-reclaims",
	"stat-direct-reclaims",
};

const char *balloon_stat_name(unsigned int tag)
{
	assert(tag < BALLOON_NR_STATS);
	return names[tag];
}

void balloon_stats_init(struct balloon_stats *s)
{
	for (unsigned int i = 0; i < BALLOON_NR_STATS; i++)
		s->value[i] = UINT64_MAX;
}

const char *balloon_stats_parse(struct balloon_stats *s, const void *entries, size_t bytes)
{
	const char *at = entries, *end = at + bytes;

	if (bytes % BALLOON_STAT_BYTES)
		return "statistics that are no multiple of 10 bytes";
	if (bytes > BALLOON_MAX_STATS * BALLOON_STAT_BYTES)
		return "more than 256 statistics";
	balloon_stats_init(s);
	for (; at < end; at += BALLOON_STAT_BYTES) {
		le16 tag;
		le64 value;

		memcpy(&tag, at, sizeof(tag));
		memcpy(&value, at + sizeof(tag), sizeof(value));
		if (le16_get(tag) < BALLOON_NR_STATS)
			s->value[le16_get(tag)] = le64_get(value);
	}
	return NULL;
}
