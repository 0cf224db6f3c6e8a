/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts.h - the parts of a machine, for whoever shows or commands it: each has a header of its own
 * that says what may be done with it. Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_PARTS_H
#define EBB_MACHINE_PARTS_H

struct machine_parts {
	const struct config *cfg;
	struct loop *loop;
	struct run_state *run;
	struct boot *boot;
	struct vm_memory *memory;
	struct violations *violations;
	struct platform *platform;
	struct disks *disks;
	struct balloon_host *balloon;
	struct virtio_ports *ports;
	struct autosizer *autosizer;
	struct working_set_store *working_sets;
	struct estimate *estimate;
	struct dump *dump;
};

#endif
