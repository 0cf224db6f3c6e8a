/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console_wire.h - layouts and numbers of the console device (virtio, Console Device), tied
 * to <linux/virtio_console.h>.
 */
#ifndef EBB_DEVICES_VIRTIO_CONSOLE_WIRE_H
#define EBB_DEVICES_VIRTIO_CONSOLE_WIRE_H

#include <linux/virtio_console.h>

#include "vmm/base/types.h"

struct vcon_config {
	le16 cols, rows;
	le32 max_nr_ports;
	le32 emerg_wr;
};
_Static_assert(sizeof(struct vcon_config) == sizeof(struct virtio_console_config), "config");
_Static_assert(offsetof(struct vcon_config, rows) ==
		       offsetof(struct virtio_console_config, rows), "rows");
_Static_assert(offsetof(struct vcon_config, max_nr_ports) ==
		       offsetof(struct virtio_console_config, max_nr_ports), "max_nr_ports");
_Static_assert(offsetof(struct vcon_config, emerg_wr) ==
		       offsetof(struct virtio_console_config, emerg_wr), "emerg_wr");

/*
 * PORT_NAME has the name behind it, without a NUL. RESIZE is not used: the specification has columns
 * before rows behind it, Linux up to 6.14 rows before columns. The configuration has no such doubt.
 */
struct vcon_control {
	le32 id;
	le16 event, value;
};
_Static_assert(sizeof(struct vcon_control) == sizeof(struct virtio_console_control), "control");

#endif
