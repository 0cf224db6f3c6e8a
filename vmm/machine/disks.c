/* SPDX-License-Identifier: Apache-2.0 */
/* disks.c - the block devices in their machine. */
#include "vmm/machine/disks.h"

#include <stdio.h>
#include <string.h>

#include "vmm/machine/machine.h"

static int open_one(struct machine *m, const struct config_disk *want, struct disks_one *d)
{
	struct blk_cfg cfg = { .id = d->id, .path = want->path };
	struct disk disk;
	int r = disk_open(&disk, want->path, want->read_only);

	memcpy(cfg.serial, want->serial, sizeof(cfg.serial));
	return r ? r : blk_new(&d->blk, &cfg, &disk, m->loop, &m->gm);
}

int disks_open(struct machine *m)
{
	struct disks *disks = &m->disks;
	int r = 0;

	for (unsigned int i = 0; i < m->cfg->nr_disks && !r; i++) {
		struct disks_one *d = &disks->disk[disks->nr++];

		snprintf(d->id, sizeof(d->id), "disk%u", i);
		r = open_one(m, &m->cfg->disks[i], d);
	}
	return r;
}

void disks_close(struct machine *m)
{
	for (unsigned int i = 0; i < m->disks.nr; i++)
		blk_free(m->disks.disk[i].blk);
	m->disks.nr = 0;
}

void disks_drain(struct machine *m)
{
	for (unsigned int i = 0; i < m->disks.nr; i++)
		blk_drain(m->disks.disk[i].blk);
}

struct blk *disks_find(struct machine *m, const char *id)
{
	for (unsigned int i = 0; i < m->disks.nr; i++)
		if (!strcmp(m->disks.disk[i].id, id))
			return m->disks.disk[i].blk;
	return NULL;
}
