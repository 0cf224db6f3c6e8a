/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_pages.c - pages in and out of the balloon, and reports of free ones. */
#include "devices/balloon_pages.h"

#include <assert.h>
#include <errno.h>

#include "devices/virtio_balloon_wire.h"
#include "vmm/base/clock.h"

/* Linux sends 256 in a request, Windows 1024. */
#define MAX_PFNS 1024
/* Ballooned pages wait for the rest of their 2 MiB, for so long after the last one came ... */
#define QUIET_NS (100 * NS_PER_MS)
/* ... and after the first one, and so much of them at most: pages in random order are worth it. */
#define WAIT_NS NS_PER_S
#define WAITING_MAX_BYTES (256 * MiB)
/* Of what waits, in one turn of the loop: each call takes 5 us to 0.4 ms. */
#define FLUSH_CALLS 32

/* Without the promise to ask first, a page may be in use again before we hear of it: none waits. */
static bool may_wait(const struct balloon_pages *p)
{
	return virtio_has(p->dev, VIRTIO_BALLOON_F_MUST_TELL_HOST);
}

/* After an inflation, before which some pages have WAITED already. */
static void flush(struct balloon_pages *p, bool waited)
{
	uint64_t now = loop_now(p->loop);
	bool full = page_ledger_waiting_bytes(p->returned) > WAITING_MAX_BYTES;

	if (!may_wait(p))
		(void)page_ledger_flush(p->returned, UINT32_MAX);
	else if (full)
		(void)page_ledger_flush(p->returned, FLUSH_CALLS);
	if (!page_ledger_waiting_bytes(p->returned))
		return;
	if (!waited)
		p->waiting_since_ns = now;
	loop_timer_set(p->loop, &p->flush_timer,
		       min_u64(now + QUIET_NS, p->waiting_since_ns + WAIT_NS));
}

static void on_quiet(void *ctx)
{
	struct balloon_pages *p = ctx;
	uint64_t before = page_ledger_waiting_bytes(p->returned);

	if (!page_ledger_flush(p->returned, FLUSH_CALLS))
		return;
	/* The rest in the next turn; where the host refuses, later. */
	if (page_ledger_waiting_bytes(p->returned) < before)
		loop_timer_set(p->loop, &p->flush_timer, 1);
	else
		loop_timer_set(p->loop, &p->flush_timer, loop_now(p->loop) + NS_PER_S);
}

void balloon_pages_init(struct balloon_pages *p, const struct virtio_dev *dev, struct loop *loop,
			struct page_ledger *returned)
{
	*p = (struct balloon_pages){ .dev = dev,
				     .loop = loop,
				     .returned = returned,
				     .flush_timer = { .fn = on_quiet, .ctx = p } };
}

void balloon_pages_stop(struct balloon_pages *p) { loop_timer_cancel(p->loop, &p->flush_timer); }

static gpa_t place_of(le32 pfn) { return GPA(le32_get(pfn) * BALLOON_PAGE_BYTES); }

/* What is wrong with the request; or NULL, and BYTES of PFNS are numbers of pages that exist. */
static const char *read_pfns(const struct balloon_pages *p, struct chain *c, bool inflate,
			     le32 pfns[MAX_PFNS], uint32_t bytes)
{
	if (!bytes || bytes % sizeof(le32))
		return "an array of pages of a bad length";
	if (bytes > MAX_PFNS * sizeof(le32))
		return "more than 1024 pages in a request";
	if (chain_read(c, pfns, bytes))
		return "an array of pages in memory that does not exist";
	for (uint32_t i = 0; i < bytes / sizeof(le32); i++)
		if (!gm_valid(p->dev->gm, place_of(pfns[i]), BALLOON_PAGE_BYTES))
			return inflate ? "inflated with memory that does not exist"
				       : "deflated by memory that does not exist";
	return NULL;
}

const char *balloon_pages_serve(struct balloon_pages *p, struct chain *c, bool inflate)
{
	uint32_t bytes = chain_readable(c), nr = bytes / (uint32_t)sizeof(le32);
	bool waited = page_ledger_waiting_bytes(p->returned);
	le32 pfns[MAX_PFNS];
	const char *wrong = read_pfns(p, c, inflate, pfns, bytes);

	if (wrong)
		return wrong;
	for (uint32_t i = 0; i < nr; i++) {
		int r = inflate ? page_ledger_inflate(p->returned, place_of(pfns[i]))
				: page_ledger_deflate(p->returned, place_of(pfns[i]));

		assert(!r);
	}
	*(inflate ? &p->inflated_pages : &p->deflated_pages) += nr;
	if (inflate)
		flush(p, waited);
	return NULL;
}

const char *balloon_pages_report(struct balloon_pages *p, struct chain *c, bool poisoned)
{
	gpa_t at;
	uint32_t bytes;

	p->reports++;
	if (!chain_writable_valid(c))
		return "reported memory that does not exist";
	while (chain_take_place(c, &at, &bytes)) {
		if (poisoned)
			p->kept_bytes += bytes;
		else if (page_ledger_give(p->returned, RETURNED_REPORTED, at, bytes) == -EFAULT)
			return "reported memory that does not exist";
	}
	return NULL;
}
