/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - what control clients see of consoles and ports. */
#include "vmm/monitor/console.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/utf8.h"
#include "vmm/json/members.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/virtio_ports.h"
#include "vmm/monitor/context.h"

/* A file's name may be any bytes. */
static void add_path(struct json_object *o, const char *key, const char *before, const char *path)
{
	char text[PATH_MAX + 16];

	snprintf(text, sizeof(text), "%s%s", before, path);
	utf8_clean(text);
	add_str(o, key, text);
}

static struct json_object *console_object(const struct console *console)
{
	struct console_info info = console_info(console);
	struct json_object *o = json_object_new_object();

	add_str(o, "kind", info.kind);
	add_path(o, "path", "", info.path);
	add_bool(o, "attached", info.attached);
	if (info.pid)
		add_u64(o, "pid", (uint64_t)info.pid);
	return o;
}

void monitor_add_consoles(struct json_object *o, const struct monitor *mon)
{
	struct json_object *ports = json_object_new_array();

	for (unsigned int i = 0; i < mon->vm->cfg->nr_ports; i++) {
		struct json_object *port = console_object(mon->vm->ports->channels[i]);

		add_str(port, "name", mon->vm->cfg->ports[i].name);
		add_bool(port, "open", vcon_is_open(mon->vm->ports->vcon, virtio_ports_id(i)));
		json_object_array_add(ports, port);
	}
	json_object_object_add(o, "console", console_object(mon->vm->platform->console));
	if (mon->vm->ports->hvc)
		json_object_object_add(o, "hvc", console_object(mon->vm->ports->hvc));
	json_object_object_add(o, "ports", ports);
}

/* As QEMU writes file names; OPEN: the guest's end. */
static void add_chardev(struct json_object *list, const char *label, const struct console *console,
			bool open)
{
	struct console_info info = console_info(console);
	struct json_object *o = json_object_new_object();
	char before[32];

	add_str(o, "label", label);
	if (!strcmp(info.kind, "unix") || !strcmp(info.kind, "pty")) {
		snprintf(before, sizeof(before), "%s:", info.kind);
		add_path(o, "filename", before, info.path);
	} else {
		add_str(o, "filename", info.kind);
	}
	add_bool(o, "frontend-open", open);
	json_object_array_add(list, o);
}

int monitor_query_chardev(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	call->ret = json_object_new_array();
	add_chardev(call->ret, "serial0", mon->vm->platform->console, true);
	if (mon->vm->ports->hvc)
		add_chardev(call->ret, "hvc0", mon->vm->ports->hvc, vcon_is_open(mon->vm->ports->vcon, 0));
	for (unsigned int i = 0; i < mon->vm->cfg->nr_ports; i++)
		add_chardev(call->ret, mon->vm->cfg->ports[i].name, mon->vm->ports->channels[i],
			    vcon_is_open(mon->vm->ports->vcon, virtio_ports_id(i)));
	return 0;
}
