/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poke.c - plugs all that is requested, then does what single bytes on the serial port say:
 *   r, w   reads or writes a word of the block after the plugged ones, which is not plugged
 *   u, p   asks once to unplug, to plug, the first block: prints the answer's type
 *   q      ends
 */
#include "guests/vmem.h"

static struct vmem vmem;

int guest_main(void)
{
	uint64_t bytes, beyond, nr = 0;

	CHECK(vmem_open(&vmem, 0));
	bytes = vmem_wait_requested(&vmem);
	vmem_plug(&vmem, vmem.addr, bytes);
	beyond = vmem.addr + bytes;
	print("ready\n");
	for (;;) {
		uint8_t command = serial_wait();

		switch (command) {
		case 'r':
			print("read 0x%lx, %lu\n", read64(beyond), ++nr);
			break;
		case 'w':
			write64(beyond, UINT64_C(0x5757575757575757));
			print("wrote, %lu\n", ++nr);
			break;
		case 'u':
		case 'p':
			print("answer %u\n",
			      vmem_request(&vmem,
					   command == 'u' ? VIRTIO_MEM_REQ_UNPLUG :
							    VIRTIO_MEM_REQ_PLUG,
					   vmem.addr, 1, NULL));
			break;
		case 'q':
			PASS();
		default:
			break;
		}
	}
}
