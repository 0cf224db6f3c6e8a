/* SPDX-License-Identifier: Apache-2.0 */
/* devtree.c - see devtree.h; parsing is libfdt's. */
#include <libfdt.h>

#include "guests/devtree.h"

const void *devtree(void)
{
	const void *fdt = (const void *)boot.devtree.start;

	if (!boot.devtree.bytes)
		FAIL("no device tree");
	if (fdt_check_full(fdt, boot.devtree.bytes))
		FAIL("bad device tree at %p", fdt);
	return fdt;
}

static uint64_t cells(const fdt32_t *at, int nr)
{
	uint64_t value = 0;

	while (nr--)
		value = value << 32 | fdt32_to_cpu(*at++);
	return value;
}

bool devtree_reg(int node, unsigned int index, struct range *reg)
{
	const void *fdt = devtree();
	int parent = fdt_parent_offset(fdt, node), len;
	int nr_address = fdt_address_cells(fdt, parent), nr_size = fdt_size_cells(fdt, parent);
	const fdt32_t *prop = fdt_getprop(fdt, node, "reg", &len);
	int entry_cells = nr_address + nr_size;

	if (!prop || nr_address <= 0 || nr_size < 0 ||
	    (int)(index + 1) * entry_cells * (int)sizeof(*prop) > len)
		return false;
	prop += (int)index * entry_cells;
	*reg = (struct range){ cells(prop, nr_address), cells(prop + nr_address, nr_size) };
	return true;
}

uint32_t devtree_interrupt(int node)
{
	int len;
	const fdt32_t *prop = fdt_getprop(devtree(), node, "interrupts", &len);

	CHECK(prop && len >= (int)sizeof(*prop));
	return fdt32_to_cpu(*prop);
}

int devtree_next(int after, const char *compatible)
{
	return fdt_node_offset_by_compatible(devtree(), after, compatible);
}

/* The next node with this device_type. */
static int next_of_type(int after, const char *type)
{
	return fdt_node_offset_by_prop_value(devtree(), after, "device_type", type,
					     (int)strlen(type) + 1);
}

unsigned int devtree_cpus(uint32_t *ids, unsigned int max)
{
	unsigned int nr = 0;
	struct range reg;

	for (int node = -1; (node = next_of_type(node, "cpu")) >= 0;) {
		CHECK(nr < max && devtree_reg(node, 0, &reg));
		ids[nr++] = (uint32_t)reg.start;
	}
	return nr;
}

unsigned int devtree_memory(struct range *ranges, unsigned int max)
{
	unsigned int nr = 0;

	for (int node = -1; (node = next_of_type(node, "memory")) >= 0;)
		for (unsigned int i = 0; nr < max && devtree_reg(node, i, &ranges[nr]); i++)
			nr++;
	return nr;
}
