/* SPDX-License-Identifier: Apache-2.0 */
/* chain.c - a byte cursor over the segments of a request. */
#include "virtio/chain.h"

#include <errno.h>

void chain_init(struct chain *c, const struct guest_mem *gm, uint16_t head)
{
	/* Field by field: clearing all segments would cost more than most requests. */
	c->gm = gm;
	c->head = head;
	c->written = c->readable = c->writable = 0;
	c->nr_readable = c->nr_segments = 0;
	c->read = c->write = (struct chain_cursor){ 0 };
}

int chain_add(struct chain *c, gpa_t at, uint32_t bytes, bool writable)
{
	if (!writable && c->nr_segments > c->nr_readable)
		return -EPROTO;
	if (!bytes)
		return 0;
	if (at.v + (bytes - 1) < at.v || c->nr_segments == CHAIN_MAX_SEGMENTS)
		return -EPROTO;
	/* A used length of 32 bits has to be able to tell all of it. */
	if (bytes > UINT32_MAX - c->readable - c->writable)
		return -EPROTO;
	c->segments[c->nr_segments++] = (struct gm_place){ at, bytes };
	if (writable) {
		c->writable += bytes;
	} else {
		c->readable += bytes;
		c->write.segment = c->nr_readable = c->nr_segments;
	}
	return 0;
}

/* The longest piece at the cursor, at most BYTES; moves the cursor past it. */
static size_t next_piece(const struct chain *c, struct chain_cursor *cursor, size_t bytes,
			 gpa_t *at)
{
	const struct gm_place *s = &c->segments[cursor->segment];
	uint32_t left = s->bytes - cursor->offset;
	uint32_t piece = (uint32_t)min_u64(bytes, left);

	*at = GPA(s->at.v + cursor->offset);
	if (piece == left)
		*cursor = (struct chain_cursor){ .segment = (uint16_t)(cursor->segment + 1) };
	else
		cursor->offset += piece;
	return piece;
}

static bool all_valid(const struct chain *c, struct chain_cursor cursor, size_t bytes)
{
	while (bytes) {
		gpa_t at;
		size_t piece = next_piece(c, &cursor, bytes, &at);

		if (!gm_valid(c->gm, at, piece))
			return false;
		bytes -= piece;
	}
	return true;
}

int chain_read(struct chain *c, void *dst, size_t bytes)
{
	struct chain_cursor cursor = c->read;
	char *to = dst;

	if (bytes > c->readable)
		return -EPROTO;
	for (size_t left = bytes; left;) {
		gpa_t at;
		size_t piece = next_piece(c, &cursor, left, &at);

		if (gm_read(c->gm, at, to, piece))
			return -EFAULT;
		to += piece;
		left -= piece;
	}
	c->read = cursor;
	c->readable -= (uint32_t)bytes;
	return 0;
}

int chain_write(struct chain *c, const void *src, size_t bytes)
{
	const char *from = src;

	if (bytes > c->writable)
		return -EPROTO;
	if (!all_valid(c, c->write, bytes))
		return -EFAULT;
	c->written += (uint32_t)bytes;
	c->writable -= (uint32_t)bytes;
	while (bytes) {
		gpa_t at;
		size_t piece = next_piece(c, &c->write, bytes, &at);

		/* Only this thread changes what exists, and all of it existed just now. */
		if (gm_write(c->gm, at, from, piece))
			return -EFAULT;
		from += piece;
		bytes -= piece;
	}
	return 0;
}

bool chain_take_place(struct chain *c, gpa_t *at, uint32_t *bytes)
{
	if (!c->writable)
		return false;
	*bytes = (uint32_t)next_piece(c, &c->write, c->writable, at);
	c->writable -= *bytes;
	return true;
}

void chain_skip(struct chain *c, size_t bytes)
{
	c->writable -= (uint32_t)bytes;
	while (bytes) {
		gpa_t at;

		bytes -= next_piece(c, &c->write, bytes, &at);
	}
}

/* The places of the next BYTES at the cursor, which moves past them; how many. */
static unsigned int take_places(const struct chain *c, struct chain_cursor *cursor, size_t bytes,
				struct gm_place places[CHAIN_MAX_SEGMENTS])
{
	unsigned int nr = 0;

	for (; bytes; nr++) {
		places[nr].bytes = (uint32_t)next_piece(c, cursor, bytes, &places[nr].at);
		bytes -= places[nr].bytes;
	}
	return nr;
}

int chain_write_from_file(struct chain *c, size_t bytes, int fd, uint64_t offset, int flags)
{
	struct gm_place places[CHAIN_MAX_SEGMENTS];
	struct chain_cursor cursor = c->write;
	int r;

	if (bytes > c->writable)
		return -EPROTO;
	r = gm_preadv(c->gm, places, take_places(c, &cursor, bytes, places), fd, offset, flags);
	if (r)
		return r;
	c->write = cursor;
	c->written += (uint32_t)bytes;
	c->writable -= (uint32_t)bytes;
	return 0;
}

int chain_read_to_file(struct chain *c, size_t bytes, int fd, uint64_t offset, int flags)
{
	struct gm_place places[CHAIN_MAX_SEGMENTS];
	struct chain_cursor cursor = c->read;
	int r;

	if (bytes > c->readable)
		return -EPROTO;
	r = gm_pwritev(c->gm, places, take_places(c, &cursor, bytes, places), fd, offset, flags);
	if (r)
		return r;
	c->read = cursor;
	c->readable -= (uint32_t)bytes;
	return 0;
}

bool chain_readable_valid(const struct chain *c) { return all_valid(c, c->read, c->readable); }

bool chain_writable_valid(const struct chain *c)
{
	return all_valid(c, c->write, c->writable);
}

static void unpin(const struct chain *c, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		gm_unpin(c->gm, c->segments[i].at, c->segments[i].bytes);
}

int chain_pin(const struct chain *c)
{
	for (unsigned int i = 0; i < c->nr_segments; i++) {
		int r = gm_pin(c->gm, c->segments[i].at, c->segments[i].bytes);

		if (r) {
			unpin(c, i);
			return r;
		}
	}
	for (unsigned int i = c->nr_readable; i < c->nr_segments; i++)
		gm_will_write(c->gm, c->segments[i].at, c->segments[i].bytes);
	return 0;
}

void chain_unpin(const struct chain *c) { unpin(c, c->nr_segments); }
