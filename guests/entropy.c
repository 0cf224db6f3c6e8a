/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entropy.c - takes bytes=N (default 4096) of random numbers, buffer=N bytes (default 64) at a time,
 * and sees that each is filled, nothing behind it, and none like the one before.
 * Prints "N bytes"; the host knows how long it may take. hostile=1 then breaks the device and takes
 * it back by a reset.
 */
#include "guests/lib.h"
#include "guests/vq.h"

static struct virtio dev;
static struct vq vq;

static void open_device(void)
{
	CHECK(virtio_find(&dev, VIRTIO_ID_RNG, 0));
	virtio_negotiate(&dev, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	vq_setup(&vq, &dev, 0);
	virtio_driver_ok(&dev);
}

static bool all_zeros(const uint8_t *bytes, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (bytes[i])
			return false;
	return true;
}

/* One request at a time: how many bytes came. */
static uint32_t take(uint8_t *buffer, uint32_t bytes)
{
	uint32_t written;

	memset(buffer, 0, bytes);
	written = vq_request(&vq, NULL, 0, buffer, bytes);
	CHECK(written && written <= bytes);
	CHECK(written < 16 || !all_zeros(buffer, written));
	CHECK(all_zeros(buffer + written, bytes - written));
	return written;
}

static void break_and_reset(uint8_t *buffer)
{
	const struct vq_buffer out = { buffer, 64 };
	uint16_t head;
	uint32_t written;

	vq_add(&vq, &out, 1, 0);
	vq_kick(&vq);
	while (!(virtio_status(&dev) & VIRTIO_CONFIG_S_NEEDS_RESET))
		cpu_pause();
	CHECK(vq_poll(&vq, &head, &written) && !written);
	open_device();
	take(buffer, 64);
}

int guest_main(void)
{
	uint64_t wanted = cmdline_u64("bytes", 4096), got = 0;
	uint32_t bytes = (uint32_t)cmdline_u64("buffer", 64);
	uint8_t *buffer = page_alloc((bytes + PAGE_BYTES - 1) / PAGE_BYTES);
	uint64_t before = 0;

	open_device();
	while (got < wanted) {
		uint64_t word;

		got += take(buffer, bytes);
		memcpy(&word, buffer, sizeof(word));
		CHECK(bytes < sizeof(word) || word != before);
		before = word;
	}
	if (cmdline_is("hostile", "1"))
		break_and_reset(buffer);
	print("%lu bytes\n", got);
	PASS();
}
