/* SPDX-License-Identifier: Apache-2.0 */
/* vmem.c - see vmem.h. */
#include "guests/vmem.h"

/* As many blocks as Linux asks for at once: one memory block of 128 MiB. */
#define REQUEST_BYTES (128 * MiB)
#define POLL_CYCLES 10000000 /* some milliseconds */

void vmem_start(struct vmem *vmem)
{
	uint64_t wanted = 0;

	if (!cmdline_is("inaccessible", "0"))
		wanted |= UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE;
	if (!cmdline_is("ring", "plain"))
		wanted |= VMEM_RING_FEATURES;
	virtio_negotiate(&vmem->dev, wanted);
	vq_setup(&vmem->vq, &vmem->dev, 0);
	virtio_driver_ok(&vmem->dev);
}

bool vmem_open(struct vmem *vmem, unsigned int index)
{
	struct virtio_mem_config config;

	if (!virtio_find(&vmem->dev, VIRTIO_ID_MEM, index))
		return false;
	vmem_start(vmem);
	config = vmem_config(vmem);
	vmem->addr = config.addr;
	vmem->block_bytes = config.block_size;
	vmem->region_bytes = config.region_size;
	CHECK(vmem->block_bytes >= HUGE_BYTES && !(vmem->block_bytes & (vmem->block_bytes - 1)));
	CHECK_EQ(vmem->addr % vmem->block_bytes, 0);
	CHECK_EQ(vmem->region_bytes % vmem->block_bytes, 0);
	cpu_map(vmem->addr, vmem->region_bytes);
	return true;
}

struct virtio_mem_config vmem_config(const struct vmem *vmem)
{
	struct virtio_mem_config config;

	virtio_config(&vmem->dev, 0, &config, sizeof(config));
	return config;
}

uint16_t vmem_request(struct vmem *vmem, uint16_t type, uint64_t addr, uint16_t nr_blocks,
		      uint16_t *state)
{
	/* Static, so that they lie in the image, in boot memory. */
	static struct virtio_mem_req req;
	static struct virtio_mem_resp resp;

	req = (struct virtio_mem_req){ .type = type,
				       .u.plug = { .addr = addr, .nb_blocks = nr_blocks } };
	memset(&resp, 0xee, sizeof(resp));
	CHECK(vq_request(&vmem->vq, &req, sizeof(req), &resp, sizeof(resp)) >=
	      (state ? sizeof(resp) : offsetof(struct virtio_mem_resp, u)));
	if (state)
		*state = resp.u.state.state;
	return resp.type;
}

static void pause_a_while(void)
{
	uint64_t start = cpu_tsc();

	while (cpu_tsc() - start < POLL_CYCLES)
		cpu_pause();
}

static void request_range(struct vmem *vmem, uint16_t type, uint64_t addr, uint64_t bytes)
{
	uint64_t end = addr + bytes;

	while (addr < end) {
		uint64_t chunk = end - addr < REQUEST_BYTES ? end - addr : REQUEST_BYTES;
		uint16_t answer;

		if (chunk < vmem->block_bytes)
			chunk = vmem->block_bytes;
		answer = vmem_request(vmem, type, addr, (uint16_t)(chunk / vmem->block_bytes),
				      NULL);
		if (answer == VIRTIO_MEM_RESP_BUSY) {
			pause_a_while();
			continue;
		}
		if (answer != VIRTIO_MEM_RESP_ACK)
			FAIL("request %u at 0x%lx, 0x%lx bytes: answer %u", type, addr, chunk,
			     answer);
		addr += chunk;
	}
}

void vmem_plug(struct vmem *vmem, uint64_t addr, uint64_t bytes)
{
	request_range(vmem, VIRTIO_MEM_REQ_PLUG, addr, bytes);
}

void vmem_unplug(struct vmem *vmem, uint64_t addr, uint64_t bytes)
{
	request_range(vmem, VIRTIO_MEM_REQ_UNPLUG, addr, bytes);
}

void vmem_unplug_all(struct vmem *vmem)
{
	uint16_t answer;

	while ((answer = vmem_request(vmem, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0, NULL)) ==
	       VIRTIO_MEM_RESP_BUSY)
		pause_a_while();
	CHECK_EQ(answer, VIRTIO_MEM_RESP_ACK);
}

uint16_t vmem_state(struct vmem *vmem, uint64_t addr, uint64_t bytes)
{
	uint16_t state;

	CHECK_EQ(vmem_request(vmem, VIRTIO_MEM_REQ_STATE, addr,
			      (uint16_t)(bytes / vmem->block_bytes), &state),
		 VIRTIO_MEM_RESP_ACK);
	return state;
}

uint64_t vmem_wait_requested(struct vmem *vmem)
{
	uint64_t requested;

	while (!(requested = vmem_config(vmem).requested_size))
		pause_a_while();
	return requested;
}
