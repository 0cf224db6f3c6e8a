/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_ports.c - the virtio console in its machine. */
#include "vmm/machine/virtio_ports.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "vmm/agent/port.h"
#include "vmm/base/log.h"
#include "vmm/base/signals.h"
#include "vmm/chardev/terminal.h"

static int new_device(struct virtio_ports *p)
{
	const struct config *c = p->env.cfg;
	struct vcon_cfg cfg = { .has_console = c->hvc != CONSOLE_NONE,
				.nr_ports = virtio_ports_id(c->nr_ports) + c->agent };

	for (unsigned int i = 0; i < c->nr_ports; i++)
		cfg.names[virtio_ports_id(i)] = c->ports[i].name;
	if (c->agent)
		cfg.names[virtio_ports_id(c->nr_ports)] = AGENT_PORT_NAME;
	if (!cfg.has_console && cfg.nr_ports == 1)
		return 0;
	return vcon_new(&p->vcon, &cfg, p->env.gm);
}

int virtio_ports_open(struct virtio_ports *p, const struct virtio_ports_env *env,
		      struct virtio_slots *slots)
{
	int r;

	*p = (struct virtio_ports){ .env = *env, .size_fd = -1 };
	r = new_device(p);
	return r || !p->vcon ? r : virtio_slots_add(slots, vcon_dev(p->vcon));
}

void virtio_ports_close(struct virtio_ports *p)
{
	vcon_free(p->vcon);
	p->vcon = NULL;
}

/* A console or channel for a port of the device. */
static int open_port(struct virtio_ports *p, struct console **out, unsigned int id,
		     const struct console_cfg *cfg)
{
	struct host_end host;
	int r = console_new(out, p->env.loop, vcon_guest_end(p->vcon, id), cfg);

	if (r)
		return r;
	host = console_host_end(*out);
	vcon_connect(p->vcon, id, &host);
	return 0;
}

static int open_channel(struct virtio_ports *p, unsigned int i)
{
	const struct config_port *want = &p->env.cfg->ports[i];
	char ending[VM_NAME_MAX + 8], path[VM_PATH_SIZE];
	struct console_cfg cfg = { .kind = CONSOLE_UNIX, .port = CHANNEL_PORT, .path = want->path };
	int r = 0;

	if (!want->path[0]) {
		snprintf(ending, sizeof(ending), "%s.port", want->name);
		cfg.path = path;
		r = config_beside_path(p->env.cfg, path, ending);
	}
	return r ? r : open_port(p, &p->channels[i], virtio_ports_id(i), &cfg);
}

/* --- the agent's ------------------------------------------------------------------------------- */

struct guest_end virtio_ports_agent_end(struct virtio_ports *p)
{
	return vcon_guest_end(p->vcon, virtio_ports_id(p->env.cfg->nr_ports));
}

void virtio_ports_connect_agent(struct virtio_ports *p, const struct host_end *host)
{
	struct guest_end guest = virtio_ports_agent_end(p);

	vcon_connect(p->vcon, virtio_ports_id(p->env.cfg->nr_ports), host);
	guest.host_opened(guest.ctx, true);
}

/* --- hvc0 -------------------------------------------------------------------------------------- */

static void take_size(struct virtio_ports *p)
{
	struct terminal_size size = terminal_size();

	vcon_set_size(p->vcon, size.columns, size.rows);
}

static void on_size(void *ctx, uint32_t events)
{
	struct virtio_ports *p = ctx;

	(void)events;
	if (signals_taken(p->size_fd))
		take_size(p);
}

static int watch_size(struct virtio_ports *p)
{
	int r;

	if (p->env.cfg->hvc != CONSOLE_STDIO || !isatty(STDOUT_FILENO))
		return 0;
	take_size(p);
	r = signals_open_size(&p->size_fd);
	return r ? r : loop_add(p->env.loop, p->size_fd, EPOLLIN, on_size, p);
}

static int open_hvc(struct virtio_ports *p)
{
	const struct config *c = p->env.cfg;
	char path[VM_PATH_SIZE];
	struct console_cfg cfg = { .kind = c->hvc,
				   .path = c->hvc_path,
				   .quit = p->env.quit,
				   .ctx = p->env.ctx };
	int r = watch_size(p);

	if (!r && cfg.kind == CONSOLE_UNIX && !cfg.path) {
		cfg.path = path;
		r = config_beside_path(c, path, "hvc0");
	}
	return r ? r : open_port(p, &p->hvc, 0, &cfg);
}

/* --- the hosts' ends --------------------------------------------------------------------------- */

int virtio_ports_open_hosts(struct virtio_ports *p)
{
	int r = p->env.cfg->hvc == CONSOLE_NONE ? 0 : open_hvc(p);

	for (unsigned int i = 0; i < p->env.cfg->nr_ports && !r; i++)
		r = open_channel(p, i);
	return r;
}

void virtio_ports_close_hosts(struct virtio_ports *p)
{
	console_free(p->hvc);
	p->hvc = NULL;
	for (unsigned int i = 0; i < CONFIG_MAX_PORTS; i++) {
		console_free(p->channels[i]);
		p->channels[i] = NULL;
	}
	if (p->size_fd < 0)
		return;
	loop_remove(p->env.loop, p->size_fd);
	close(take_fd(&p->size_fd));
}
