/* SPDX-License-Identifier: Apache-2.0 */
/* working_sets.c - working sets by node. */
#include "vmm/memory/working_sets.h"

static const char *const sources[] = {
	[WORKING_SET_BALLOON] = "balloon",
	[WORKING_SET_MGLRU] = "mglru",
	[WORKING_SET_LRU] = "lru",
	[WORKING_SET_HOST] = "host",
};

const char *working_set_source_name(enum working_set_source source) { return sources[source]; }

const struct working_set_record *working_sets_put(struct working_sets *w,
						  const struct working_set_record *record,
						  uint64_t at_s)
{
	struct working_set_record *at = &w->host;

	if (record->source != WORKING_SET_HOST) {
		if (record->ws.node >= WORKING_SETS_MAX_NODES)
			return NULL;
		at = &w->node[record->ws.node];
	}
	*at = *record;
	at->at_s = at_s;
	return at;
}
