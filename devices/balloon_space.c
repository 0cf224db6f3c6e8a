/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_space.c - the configuration space of a balloon. */
#include "devices/balloon_space.h"

#include <string.h>

void balloon_space_reset(struct balloon_space *s) { s->claimed_pages = s->poison_val = 0; }

static struct balloon_config config_of(const struct balloon_space *s, uint32_t cmd_id)
{
	return (struct balloon_config){
		.num_pages = le32_of(s->target_pages),
		.actual = le32_of(s->claimed_pages),
		.free_page_hint_cmd_id = le32_of(cmd_id),
		.poison_val = le32_of(s->poison_val),
	};
}

void balloon_space_read(const struct balloon_space *s, uint32_t cmd_id, void *config)
{
	struct balloon_config wire = config_of(s, cmd_id);

	memcpy(config, &wire, sizeof(wire));
}

void balloon_space_write(struct balloon_space *s, size_t offset, const void *src, size_t bytes)
{
	struct balloon_config wire = config_of(s, 0);

	memcpy((char *)&wire + offset, src, bytes);
	s->claimed_pages = le32_get(wire.actual);
	if (s->dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		return; /* what is said of the poison counts from before */
	s->poison_val = le32_get(wire.poison_val);
}

bool balloon_space_is_poisoned(const struct balloon_space *s)
{
	return virtio_has(s->dev, VIRTIO_BALLOON_F_PAGE_POISON) && s->poison_val;
}
