/* SPDX-License-Identifier: Apache-2.0 */
/* handover.h - what a loaded kernel is told, whatever its boot protocol. */
#ifndef EBB_LOADER_HANDOVER_H
#define EBB_LOADER_HANDOVER_H

#include "loader/loader.h"

struct handover {
	const struct boot_spec *spec; /* its command line is already at LAYOUT_CMDLINE */
	gpa_t rsdp;
	gpa_t initrd; /* 0 when initrd_bytes is 0 */
	uint64_t initrd_bytes;
};

#endif
