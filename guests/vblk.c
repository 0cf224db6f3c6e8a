/* SPDX-License-Identifier: Apache-2.0 */
/* vblk.c - see vblk.h. */
#include "guests/vblk.h"

bool vblk_open(struct vblk *b, unsigned int index, uint64_t features)
{
	*b = (struct vblk){ .nr_free = VBLK_DEPTH };
	for (uint8_t i = 0; i < VBLK_DEPTH; i++)
		b->free[i] = i;
	if (!virtio_find(&b->dev, VIRTIO_ID_BLOCK, index))
		return false;
	virtio_negotiate(&b->dev, features | VBLK_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
					  VBLK_BIT(VIRTIO_RING_F_EVENT_IDX));
	vq_setup(&b->vq, &b->dev, 0);
	virtio_use_interrupts(&b->dev);
	virtio_driver_ok(&b->dev);
	virtio_config(&b->dev, 0, &b->sectors, sizeof(b->sectors));
	return true;
}

void vblk_add(struct vblk *b, uint32_t type, uint64_t sector, const struct vq_buffer *data,
	      unsigned int nr, uint32_t tag)
{
	bool fills = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct vq_buffer buffers[VBLK_BUFFERS + 2];
	uint16_t head;
	uint8_t slot;

	CHECK(b->nr_free && nr <= VBLK_BUFFERS);
	slot = b->free[--b->nr_free];
	b->headers[slot] = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	b->status[slot] = 0xee;
	buffers[0] = (struct vq_buffer){ &b->headers[slot], sizeof(b->headers[slot]) };
	for (unsigned int i = 0; i < nr; i++)
		buffers[1 + i] = data[i];
	buffers[1 + nr] = (struct vq_buffer){ &b->status[slot], 1 };
	head = vq_add(&b->vq, buffers, fills ? 1 : 1 + nr, fills ? 1 + nr : 1);
	b->slot_of[head] = slot;
	b->tags[head] = tag;
}

uint8_t vblk_wait(struct vblk *b, uint32_t *tag)
{
	uint16_t head;
	uint8_t slot;

	vq_wait(&b->vq, &head);
	slot = b->slot_of[head];
	*tag = b->tags[head];
	b->free[b->nr_free++] = slot;
	return b->status[slot];
}

uint8_t vblk_run(struct vblk *b, uint32_t type, uint64_t sector, const void *data, uint32_t bytes)
{
	struct vq_buffer buffer = { data, bytes };
	uint32_t tag;

	vblk_add(b, type, sector, &buffer, bytes ? 1 : 0, 0);
	vq_kick(&b->vq);
	return vblk_wait(b, &tag);
}
