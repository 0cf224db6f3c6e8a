/* SPDX-License-Identifier: Apache-2.0 */
/* working_set.c - how much of the guest's memory lay idle for how long. */
#include "guests/agent/working_set.h"

#include "guests/agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FIRST_BIN_MS 1000

static struct line_reader reader;

int working_set_open(const char *root) { return file_open(root, "/proc/zoneinfo", O_RDONLY); }

uint64_t working_set_idle_ms(unsigned int bin) { return (uint64_t)FIRST_BIN_MS << bin; }

static struct working_set_node *node_of(struct working_set *w, uint64_t node)
{
	for (unsigned int i = 0; i < w->nr_nodes; i++)
		if (w->nodes[i].node == node)
			return &w->nodes[i];
	if (w->nr_nodes == WORKING_SET_NODES)
		return NULL;
	w->nodes[w->nr_nodes].node = node;
	return &w->nodes[w->nr_nodes++];
}

static unsigned int bin_of(uint64_t age_ms)
{
	unsigned int bin = 0;

	while (bin < WORKING_SET_BINS - 1 && age_ms >= working_set_idle_ms(bin))
		bin++;
	return bin;
}

/* A page of a generation was last seen to be used after that began. */
static void add_list(void *ctx, const struct lru_list *list)
{
	struct working_set *w = ctx;
	struct working_set_node *n = node_of(w, list->node);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (unsigned int i = 0; n && i < list->nr; i++) {
		unsigned int bin = bin_of(list->gen[i].age_ms);

		n->bins[bin].anon += list->gen[i].anon_pages * page;
		n->bins[bin].file += list->gen[i].file_pages * page;
		n->nr_bins = bin + 1 > n->nr_bins ? bin + 1 : n->nr_bins;
	}
	w->youngest_ms = min_u64(w->youngest_ms, list->gen[list->nr - 1].age_ms);
}

static int read_zones(struct working_set *w, int zoneinfo)
{
	struct working_set_node *n = NULL;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const char *line;

	lines_begin(&reader, zoneinfo);
	while ((line = lines_next(&reader))) {
		uint64_t value;

		if (!strncmp(line, "Node ", 5) && parse_number(line + 5, &value)) {
			n = node_of(w, value);
			continue;
		}
		line += strspn(line, " ");
		/* Each node has them once, with its first zone. */
		if (!n)
			continue;
		if (parse_value(line, "nr_active_anon ", &value))
			n->bins[0].anon += value * page;
		else if (parse_value(line, "nr_active_file ", &value))
			n->bins[0].file += value * page;
		else if (parse_value(line, "nr_inactive_anon ", &value))
			n->bins[1].anon += value * page;
		else if (parse_value(line, "nr_inactive_file ", &value))
			n->bins[1].file += value * page;
		n->nr_bins = 2;
	}
	return w->nr_nodes ? 0 : -ENODATA;
}

int working_set_read(struct working_set *w, const struct lru_gen *gens, int zoneinfo)
{
	memset(w, 0, sizeof *w);
	w->youngest_ms = UINT64_MAX;
	w->ages = !lru_gen_each(gens, add_list, w) && w->nr_nodes;
	if (w->ages)
		return 0;
	return zoneinfo < 0 ? zoneinfo : read_zones(w, zoneinfo);
}
