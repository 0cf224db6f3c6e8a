/* SPDX-License-Identifier: Apache-2.0 */
/* vcon_rig.h - a console device with all it stands on: memory, a fake driver, hosts' ends. */
#ifndef EBB_TESTS_VCON_RIG_H
#define EBB_TESTS_VCON_RIG_H

#include "devices/virtio_console.h"
#include "devices/virtio_console_wire.h"
#include "tests/unit/fake_driver.h"

#define VCON_BOOT    (16 * MiB)
#define VCON_ELASTIC (8 * MiB) /* at FAKE_ELASTIC_BASE, blocks of 2 MiB, unplugged */
#define VCON_PORTS   3	       /* the console, "first", "org.ebb.agent" */
#define VCON_OUTPUT  (1 * MiB)

enum { VCON_CONTROL_IN = 2, VCON_CONTROL_OUT = 3 };
static inline unsigned int vcon_input_queue(unsigned int port) { return port ? 2 * port + 2 : 0; }
static inline unsigned int vcon_output_queue(unsigned int port) { return vcon_input_queue(port) + 1; }

struct vcon_rig {
	struct fake_memory mem;
	struct vcon *v;
	struct fake_driver drv;
	struct vcon_rig_host {
		struct guest_end guest;
		size_t room;
		size_t nr_put; /* output that came, its last VCON_OUTPUT bytes in a circle */
		uint8_t output[VCON_OUTPUT];
		unsigned int nr_can_receive;
		bool guest_open;
	} hosts[VCON_PORTS];
};

/* HAS_CONSOLE, NR_PORTS: as in vcon_cfg; every host's end is connected and takes all. */
void vcon_rig_init(struct vcon_rig *r, bool has_console, unsigned int nr_ports);
void vcon_rig_destroy(struct vcon_rig *r);

/* Somebody comes to the host's end of a port, or goes. */
void vcon_rig_host_opens(struct vcon_rig *r, unsigned int port, bool open);
/* Input for the guest; how much of it was taken. */
size_t vcon_rig_input(struct vcon_rig *r, unsigned int port, const void *bytes, size_t nr);

#endif
