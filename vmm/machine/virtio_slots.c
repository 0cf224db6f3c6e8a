/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_slots.c - the places where virtio-mmio devices stand. */
#include "vmm/machine/virtio_slots.h"

#include <linux/virtio_mmio.h>
#include <sys/epoll.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"

static void on_kick(void *ctx, uint32_t events)
{
	struct virtio_kick *kick = ctx;

	(void)events;
	if (event_taken(kick->slot->kick_fd[kick->queue]))
		virtio_mmio_kicked(&kick->slot->mmio, kick->queue);
}

/* A notification that KVM did not take: on a vCPU thread. */
static void trapped_kick(void *ctx, unsigned int queue)
{
	event_raise(&((struct virtio_slot *)ctx)->kick_fd[queue]);
}

void virtio_slots_open(struct virtio_slots *slots, struct loop *loop, struct bus *mmio)
{
	slots->loop = loop;
	slots->mmio = mmio;
	for (unsigned int i = 0; i < PLATFORM_MAX_VIRTIO; i++) {
		slots->slot[i].irq = (struct loop_event){ .loop = loop, .fd = -1 };
		for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++)
			slots->slot[i].kick_fd[q] = -1;
	}
}

/* The loop goes by numbers: whoever gets this one next wants to be watched himself. */
static void close_kick(struct virtio_slots *slots, int *fd)
{
	if (*fd >= 0)
		loop_remove(slots->loop, *fd);
	auto_close_fn(fd);
}

void virtio_slots_close(struct virtio_slots *slots)
{
	for (unsigned int i = 0; i < slots->nr; i++) {
		auto_close_fn(&slots->slot[i].irq.fd);
		for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++)
			close_kick(slots, &slots->slot[i].kick_fd[q]);
	}
	slots->nr = 0;
}

int virtio_slots_add(struct virtio_slots *slots, struct virtio_dev *dev)
{
	struct virtio_slot *s = &slots->slot[slots->nr];
	struct irq_line irq = { loop_event_raise, &s->irq };
	uint64_t base;
	int r;

	if (slots->nr == PLATFORM_MAX_VIRTIO)
		return fail_usage("%s: at most %d virtio devices", dev->ops->name,
				  PLATFORM_MAX_VIRTIO);
	base = platform_virtio_base(slots->nr++);
	r = event_new(&s->irq.fd);
	for (unsigned int q = 0; q < dev->ops->nr_queues && !r; q++) {
		s->kick[q] = (struct virtio_kick){ s, q };
		r = event_new(&s->kick_fd[q]);
		if (!r)
			r = loop_add(slots->loop, s->kick_fd[q], EPOLLIN, on_kick, &s->kick[q]);
	}
	if (r)
		return r;
	virtio_mmio_init(&s->mmio, dev, irq, trapped_kick, s);
	return bus_add(slots->mmio, base, VIRTIO_MMIO_BYTES, virtio_mmio_access, &s->mmio);
}

int virtio_slots_connect(struct virtio_slots *slots, struct vm *vm)
{
	int r = 0;

	for (unsigned int i = 0; i < slots->nr && !r; i++) {
		struct virtio_slot *s = &slots->slot[i];
		gpa_t notify = GPA(platform_virtio_base(i) + VIRTIO_MMIO_QUEUE_NOTIFY);

		r = vm_irqfd(vm, s->irq.fd, platform_virtio_gsi(i));
		for (unsigned int q = 0; q < s->mmio.dev->ops->nr_queues && !r; q++)
			r = vm_ioeventfd(vm, s->kick_fd[q], notify, q);
	}
	return r;
}

void virtio_slots_hold(struct virtio_slots *slots, bool hold)
{
	for (unsigned int i = 0; i < slots->nr; i++)
		virtio_hold(slots->slot[i].mmio.dev, hold);
}

void virtio_slots_reset(struct virtio_slots *slots)
{
	for (unsigned int i = 0; i < slots->nr; i++)
		virtio_mmio_reset(&slots->slot[i].mmio);
}
