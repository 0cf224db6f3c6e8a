/* SPDX-License-Identifier: Apache-2.0 */
/* block.h - disks for control clients. Command functions; CTX is the monitor. */
#ifndef EBB_MONITOR_BLOCK_H
#define EBB_MONITOR_BLOCK_H

#include "vmm/control/qmp_server.h"

#define BLOCK_TYPE                                                                                 \
	"[{device:s type:s removable:b locked:b "                                                  \
	"inserted:{file:s ro:b drv:s image:{filename:s format:s virtual-size:u}}}]"
#define BLOCKSTATS_TYPE                                                                            \
	"[{device:s stats:{rd_operations:u rd_bytes:u wr_operations:u wr_bytes:u "                 \
	"flush_operations:u other_operations:u cached_rd_operations:u failed_operations:u "       \
	"in_flight:u}}]"

int monitor_block_resize(struct qmp_call *call);
int monitor_query_block(struct qmp_call *call);
int monitor_query_blockstats(struct qmp_call *call);

#endif
