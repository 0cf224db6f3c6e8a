/* SPDX-License-Identifier: Apache-2.0 */
/* devtree.h - what the flattened device tree (PVH module "fdt") says about the machine. */
#ifndef EBB_GUESTS_DEVTREE_H
#define EBB_GUESTS_DEVTREE_H

#include <stdbool.h>
#include <stdint.h>

#include "guests/lib.h"

/* The checked tree; fails the guest when none was handed over. */
const void *devtree(void);
/* APIC ids of the cpu nodes, the boot CPU's first as the tree has it. Returns how many. */
unsigned int devtree_cpus(uint32_t *ids, unsigned int max);
/* Boot memory. Returns how many ranges. */
unsigned int devtree_memory(struct range *ranges, unsigned int max);
/* The next node after AFTER (-1: from the start) that is COMPATIBLE, or negative. */
int devtree_next(int after, const char *compatible);
/* Entry INDEX of the node's reg property. */
bool devtree_reg(int node, unsigned int index, struct range *reg);
/* The I/O APIC pin of the node's interrupt; fails the guest where there is none. */
uint32_t devtree_interrupt(int node);

#endif
