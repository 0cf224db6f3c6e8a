/* SPDX-License-Identifier: Apache-2.0 */
/* vcon_rig.c - a console device with all it stands on. */
#include "tests/unit/vcon_rig.h"

#include <criterion/criterion.h>

static const char *const names[VCON_PORTS] = { NULL, "first", "org.ebb.agent" };

static size_t room(void *ctx) { return ((struct vcon_rig_host *)ctx)->room; }

static void put(void *ctx, const uint8_t *bytes, size_t nr)
{
	struct vcon_rig_host *h = ctx;

	for (size_t i = 0; i < nr; i++)
		h->output[h->nr_put++ % VCON_OUTPUT] = bytes[i];
	h->room -= min_u64(h->room, nr);
}

static void can_receive(void *ctx) { ((struct vcon_rig_host *)ctx)->nr_can_receive++; }

static void guest_opened(void *ctx, bool open)
{
	struct vcon_rig_host *h = ctx;

	cr_assert_neq(open, h->guest_open);
	h->guest_open = open;
}

void vcon_rig_init(struct vcon_rig *r, bool has_console, unsigned int nr_ports)
{
	struct vcon_cfg cfg = { .has_console = has_console, .nr_ports = nr_ports };

	for (unsigned int i = 0; i < VCON_PORTS; i++)
		cfg.names[i] = names[i];
	fake_memory_init(&r->mem, VCON_BOOT, VCON_ELASTIC, 2 * MiB);
	cr_assert_eq(vcon_new(&r->v, &cfg, &r->mem.gm), 0);
	for (unsigned int i = has_console ? 0 : 1; i < nr_ports; i++) {
		struct vcon_rig_host *h = &r->hosts[i];

		*h = (struct vcon_rig_host){ .guest = vcon_guest_end(r->v, i), .room = SIZE_MAX };
		vcon_connect(r->v, i, &(struct host_end){ .room = room,
							  .put = put,
							  .can_receive = can_receive,
							  .guest_opened = guest_opened,
							  .ctx = h });
	}
	fake_driver_init(&r->drv, &r->mem, vcon_dev(r->v));
}

void vcon_rig_destroy(struct vcon_rig *r)
{
	vcon_free(r->v);
	fake_memory_destroy(&r->mem);
}

void vcon_rig_host_opens(struct vcon_rig *r, unsigned int port, bool open)
{
	const struct guest_end *g = &r->hosts[port].guest;

	g->host_opened(g->ctx, open);
}

size_t vcon_rig_input(struct vcon_rig *r, unsigned int port, const void *bytes, size_t nr)
{
	const struct guest_end *g = &r->hosts[port].guest;

	return g->receive(g->ctx, bytes, nr);
}
