/* SPDX-License-Identifier: Apache-2.0 */
/* test_working_sets.c - the last working set of each node. */
#include <criterion/criterion.h>

#include "vmm/memory/working_sets.h"

Test(working_sets, the_last_one_of_a_node_counts)
{
	struct working_sets w = { 0 };
	struct working_set_record r = { .source = WORKING_SET_LRU, .ws = { .node = 2, .nr_bins = 1 } };

	cr_assert(working_sets_put(&w, &r, 100));
	r.source = WORKING_SET_BALLOON;
	cr_assert(working_sets_put(&w, &r, 200));
	cr_expect_eq(w.node[2].at_s, 200);
	cr_expect_eq(w.node[2].source, WORKING_SET_BALLOON);
	cr_expect_eq(w.node[1].at_s, 0);
}

Test(working_sets, nodes_beyond_are_not_kept)
{
	struct working_sets w = { 0 };
	struct working_set_record r = { .ws = { .node = WORKING_SETS_MAX_NODES - 1 } };

	cr_assert(working_sets_put(&w, &r, 1));
	r.ws.node++;
	cr_assert_null(working_sets_put(&w, &r, 1));
	r.ws.node = UINT32_MAX;
	cr_assert_null(working_sets_put(&w, &r, 1));
}

Test(working_sets, what_the_host_sees_stands_beside_what_the_guest_says)
{
	struct working_sets w = { 0 };
	struct working_set_record guest = { .source = WORKING_SET_MGLRU };
	struct working_set_record host = { .source = WORKING_SET_HOST };

	cr_assert_eq(working_sets_put(&w, &guest, 100), &w.node[0]);
	cr_assert_eq(working_sets_put(&w, &host, 200), &w.host);
	cr_expect_eq(w.node[0].at_s, 100);
	cr_expect_eq(w.node[0].source, WORKING_SET_MGLRU);
	cr_expect_eq(w.host.at_s, 200);
}

Test(working_sets, sources_have_names)
{
	for (unsigned int i = 0; i < WORKING_SET_NR_SOURCES; i++)
		cr_expect_not_null(working_set_source_name((enum working_set_source)i));
}
