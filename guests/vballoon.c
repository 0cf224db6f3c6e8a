/* SPDX-License-Identifier: Apache-2.0 */
/* vballoon.c - see vballoon.h. */
#include "guests/vballoon.h"

#define NO_FEATURE VIRTIO_F_VERSION_1 /* negotiated always */
#define OFFSET(field) offsetof(struct virtio_balloon_config, field)

/* In the order of the indexes. */
static const unsigned int role_features[VBALLOON_NR_ROLES] = {
	[VBALLOON_INFLATE] = NO_FEATURE,
	[VBALLOON_DEFLATE] = NO_FEATURE,
	[VBALLOON_STATS] = VIRTIO_BALLOON_F_STATS_VQ,
	[VBALLOON_HINT] = VIRTIO_BALLOON_F_FREE_PAGE_HINT,
	[VBALLOON_REPORT] = VIRTIO_BALLOON_F_REPORTING,
	[VBALLOON_WS_REPORT] = VBALLOON_F_WS,
	[VBALLOON_WS_NOTIFY] = VBALLOON_F_WS,
};

static uint64_t ring_features(void)
{
	uint64_t event_idx = VBALLOON_BIT(VIRTIO_RING_F_EVENT_IDX);

	if (cmdline_is("ring", "plain"))
		return 0;
	/* Linux has no use for indirect descriptors here. */
	return cmdline_is("ring", "indirect") ?
		       event_idx | VBALLOON_BIT(VIRTIO_RING_F_INDIRECT_DESC) :
		       event_idx;
}

void vballoon_open(struct vballoon *balloon, uint64_t features, uint32_t poison_val)
{
	uint16_t index = 0;

	if (!virtio_find(&balloon->dev, VIRTIO_ID_BALLOON, 0))
		FAIL("no balloon");
	if (cmdline_is("interrupts", "1"))
		virtio_use_interrupts(&balloon->dev);
	if (!cmdline_is("stats", "0"))
		features |= VBALLOON_BIT(VIRTIO_BALLOON_F_STATS_VQ);
	virtio_negotiate(&balloon->dev, features | ring_features());
	for (unsigned int role = 0; role < VBALLOON_NR_ROLES; role++)
		if (vballoon_has(balloon, role_features[role]))
			vq_setup(&balloon->vqs[role], &balloon->dev, index++);
	if (vballoon_has(balloon, VIRTIO_BALLOON_F_PAGE_POISON))
		virtio_set_config_word(&balloon->dev, OFFSET(poison_val), poison_val);
	virtio_driver_ok(&balloon->dev);
}

bool vballoon_has(const struct vballoon *balloon, unsigned int feature)
{
	return balloon->dev.features >> feature & 1;
}

uint32_t vballoon_target(const struct vballoon *balloon)
{
	return virtio_config_word(&balloon->dev, OFFSET(num_pages));
}

uint32_t vballoon_actual(const struct vballoon *balloon)
{
	return virtio_config_word(&balloon->dev, OFFSET(actual));
}

void vballoon_set_actual(const struct vballoon *balloon, uint32_t pages)
{
	virtio_set_config_word(&balloon->dev, OFFSET(actual), pages);
}

uint32_t vballoon_hint_cmd(const struct vballoon *balloon)
{
	return virtio_config_word(&balloon->dev, OFFSET(free_page_hint_cmd_id));
}

static struct vq *queue(struct vballoon *balloon, enum vballoon_role role)
{
	CHECK(vballoon_has(balloon, role_features[role]));
	return &balloon->vqs[role];
}

/* --- inflate, deflate, report ------------------------------------------------------------------ */

static uint16_t begin(struct vq *vq, const uint32_t *pfns, unsigned int nr)
{
	struct vq_buffer buffer = { pfns, nr * (uint32_t)sizeof(*pfns) };
	uint16_t head;

	CHECK(nr && nr <= VBALLOON_REQUEST_PAGES);
	head = vq_add(vq, &buffer, 1, 0);
	vq_kick(vq);
	return head;
}

void vballoon_inflate(struct vballoon *balloon, const uint32_t *pfns, unsigned int nr)
{
	struct vq *vq = queue(balloon, VBALLOON_INFLATE);

	vq_finish(vq, begin(vq, pfns, nr));
}

uint16_t vballoon_begin_deflate(struct vballoon *balloon, const uint32_t *pfns, unsigned int nr)
{
	return begin(queue(balloon, VBALLOON_DEFLATE), pfns, nr);
}

void vballoon_end_deflate(struct vballoon *balloon, uint16_t head)
{
	vq_finish(queue(balloon, VBALLOON_DEFLATE), head);
}

void vballoon_deflate(struct vballoon *balloon, const uint32_t *pfns, unsigned int nr)
{
	vballoon_end_deflate(balloon, vballoon_begin_deflate(balloon, pfns, nr));
}

void vballoon_report(struct vballoon *balloon, const struct range *ranges, unsigned int nr)
{
	struct vq_buffer buffers[VBALLOON_REPORT_RANGES];

	CHECK(nr && nr <= VBALLOON_REPORT_RANGES);
	for (unsigned int i = 0; i < nr; i++)
		buffers[i] = (struct vq_buffer){ (const void *)ranges[i].start,
						 (uint32_t)ranges[i].bytes };
	vq_run(queue(balloon, VBALLOON_REPORT), buffers, 0, nr);
}

/* --- statistics -------------------------------------------------------------------------------- */

static void add(struct vq *vq, const void *at, size_t bytes, bool in)
{
	struct vq_buffer buffer = { at, (uint32_t)bytes };

	vq_add(vq, &buffer, !in, in);
}

static void post(struct vq *vq, const void *at, size_t bytes, bool in)
{
	add(vq, at, bytes, in);
	vq_kick(vq);
}

void vballoon_post_stats(struct vballoon *balloon, const struct virtio_balloon_stat *stats,
			 unsigned int nr)
{
	post(queue(balloon, VBALLOON_STATS), stats, nr * sizeof(*stats), false);
}

bool vballoon_stats_wanted(struct vballoon *balloon)
{
	uint32_t written;
	uint16_t head;

	return vq_poll(queue(balloon, VBALLOON_STATS), &head, &written);
}

/* --- hinting ----------------------------------------------------------------------------------- */

/* Until NR descriptors are free. */
static void wait_room(struct vq *vq, uint16_t nr)
{
	uint64_t start = cpu_tsc();
	uint32_t written;
	uint16_t head;

	while (vq_poll(vq, &head, &written))
		;
	while (vq->nr_free < nr) {
		if (vq_poll(vq, &head, &written))
			start = cpu_tsc();
		else if (cpu_tsc() - start > CPU_PATIENCE_CYCLES)
			FAIL("hints are not taken, status 0x%x", virtio_status(vq->dev));
		else
			cpu_pause();
	}
}

void vballoon_hint_begin(struct vballoon *balloon, uint32_t id)
{
	struct vq *vq = queue(balloon, VBALLOON_HINT);

	wait_room(vq, vq->size); /* the last id is in nobody's hands any more */
	balloon->hint_id = id;
	post(vq, &balloon->hint_id, sizeof(balloon->hint_id), false);
}

void vballoon_hint(struct vballoon *balloon, struct range block)
{
	struct vq *vq = queue(balloon, VBALLOON_HINT);

	wait_room(vq, 2);
	add(vq, (const void *)block.start, block.bytes, true);
}

void vballoon_hint_kick(struct vballoon *balloon) { vq_kick(queue(balloon, VBALLOON_HINT)); }

void vballoon_hint_end(struct vballoon *balloon)
{
	struct vq *vq = queue(balloon, VBALLOON_HINT);

	wait_room(vq, 1);
	balloon->hint_stop = VIRTIO_BALLOON_CMD_ID_STOP;
	post(vq, &balloon->hint_stop, sizeof(balloon->hint_stop), false);
	wait_room(vq, vq->size);
}

/* --- working set ------------------------------------------------------------------------------- */

void vballoon_post_ws_notify(struct vballoon *balloon, struct ws_notify *notify)
{
	post(queue(balloon, VBALLOON_WS_NOTIFY), notify, sizeof(*notify), true);
}

bool vballoon_ws_notified(struct vballoon *balloon)
{
	uint32_t written;
	uint16_t head;

	if (!vq_poll(queue(balloon, VBALLOON_WS_NOTIFY), &head, &written))
		return false;
	CHECK_EQ(written, sizeof(struct ws_notify));
	return true;
}

void vballoon_ws_report(struct vballoon *balloon, const struct ws_report *report)
{
	struct vq_buffer buffer = { report, sizeof(*report) };

	vq_run(queue(balloon, VBALLOON_WS_REPORT), &buffer, 1, 0);
}
