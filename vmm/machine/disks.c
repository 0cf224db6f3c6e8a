/* SPDX-License-Identifier: Apache-2.0 */
/* disks.c - the block devices of a machine. */
#include "vmm/machine/disks.h"

#include <stdio.h>
#include <string.h>

static int open_one(struct disks_one *d, const struct config_disk *want, struct loop *loop,
		    const struct guest_mem *gm)
{
	struct blk_cfg cfg = { .id = d->id, .path = want->path };
	struct disk disk;
	int r = disk_open(&disk, want->path, want->read_only);

	memcpy(cfg.serial, want->serial, sizeof(cfg.serial));
	return r ? r : blk_new(&d->blk, &cfg, &disk, loop, gm);
}

int disks_open(struct disks *disks, const struct config *cfg, struct loop *loop,
	       const struct guest_mem *gm, struct virtio_slots *slots)
{
	int r = 0;

	for (unsigned int i = 0; i < cfg->nr_disks && !r; i++) {
		struct disks_one *d = &disks->disk[disks->nr++];

		snprintf(d->id, sizeof(d->id), "disk%u", i);
		r = open_one(d, &cfg->disks[i], loop, gm);
		if (!r)
			r = virtio_slots_add(slots, blk_dev(d->blk));
	}
	return r;
}

void disks_close(struct disks *disks)
{
	for (unsigned int i = 0; i < disks->nr; i++)
		blk_free(disks->disk[i].blk);
	disks->nr = 0;
}

void disks_drain(struct disks *disks)
{
	for (unsigned int i = 0; i < disks->nr; i++)
		blk_drain(disks->disk[i].blk);
}

struct blk *disks_find(const struct disks *disks, const char *id)
{
	for (unsigned int i = 0; i < disks->nr; i++)
		if (!strcmp(disks->disk[i].id, id))
			return disks->disk[i].blk;
	return NULL;
}
