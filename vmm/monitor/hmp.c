/* SPDX-License-Identifier: Apache-2.0 */
/* hmp.c - what people read, in QEMU's words and with its CRLF. */
#include "vmm/monitor/hmp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/utf8.h"
#include "vmm/config/config.h"
#include "vmm/json/schema.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/run_state.h"
#include "vmm/monitor/context.h"

static void info_status(const struct monitor *mon, FILE *out)
{
	bool usual = mon->vm->run->state == MACHINE_RUNNING || mon->vm->run->state == MACHINE_PAUSED;

	fprintf(out, "VM status: %s", mon->vm->run->state == MACHINE_RUNNING ? "running" : "paused");
	if (!usual)
		fprintf(out, " (%s)", machine_state_name(mon->vm->run->state));
	fputs("\r\n", out);
}

static void info_memory_devices(const struct monitor *mon, FILE *out)
{
	for (unsigned int i = 0; i < mon->vm->memory->nr_elastic; i++) {
		struct vmem_info info;

		vmem_info(mon->vm->memory->elastic[i].vmem, &info);
		fprintf(out, "Memory device [virtio-mem]: \"%s\"\r\n"
			     "  memaddr: 0x%" PRIx64 "\r\n  node: %u\r\n"
			     "  requested-size: %" PRIu64 "\r\n  size: %" PRIu64 "\r\n"
			     "  max-size: %" PRIu64 "\r\n  block-size: %" PRIu64 "\r\n"
			     "  memdev: /objects/%s\r\n",
			info.id, info.addr, info.node_id, info.requested_bytes,
			info.plugged_bytes, info.region_bytes, info.block_bytes, info.id);
	}
}

/* All memory and every vCPU are on one node. */
static void info_numa(const struct monitor *mon, FILE *out)
{
	uint64_t plugged = vm_memory_plugged(mon->vm->memory);

	fputs("1 nodes\r\nnode 0 cpus:", out);
	for (unsigned int i = 0; i < vcpus_nr(mon->vm->boot->vcpus); i++)
		fprintf(out, " %u", i);
	fprintf(out, "\r\nnode 0 size: %" PRIu64 " MB\r\nnode 0 plugged: %" PRIu64 " MB\r\n",
		(mon->vm->cfg->boot_bytes + plugged) / MiB, plugged / MiB);
}

static const struct {
	const char *line;
	void (*print)(const struct monitor *mon, FILE *out);
} lines[] = {
	{ "info status", info_status },
	{ "info memory-devices", info_memory_devices },
	{ "info numa", info_numa },
};

/* As in QEMU an unknown line is answered with a text, not with an error. */
static void run_line(const struct monitor *mon, const char *line, FILE *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (strcmp(lines[i].line, line))
			continue;
		lines[i].print(mon, out);
		return;
	}
	fprintf(out, "unknown command: '%.64s'; there are", line);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		fprintf(out, "%s %s", i ? "," : "", lines[i].line);
	fputs("\r\n", out);
}

int monitor_hmp(struct qmp_call *call)
{
	auto_free char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return -ENOMEM;
	run_line(call->ctx, qmp_arg_str(call->args, "command-line", ""), out);
	if (fclose(out))
		return -ENOMEM;
	utf8_clean(text); /* a line cut short may end in half a character */
	call->ret = json_object_new_string_len(text, (int)bytes);
	return 0;
}
