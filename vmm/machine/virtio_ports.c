/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_ports.c - the virtio console in its machine. */
#include "vmm/machine/virtio_ports.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "vmm/base/log.h"
#include "vmm/base/signals.h"
#include "vmm/chardev/terminal.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/run_state.h"

int ports_add(struct machine *m)
{
	const struct config *c = m->cfg;
	struct vcon_cfg cfg = { .has_console = c->hvc != CONSOLE_NONE,
				.nr_ports = ports_id(c->nr_ports) + c->agent };

	for (unsigned int i = 0; i < c->nr_ports; i++)
		cfg.names[ports_id(i)] = c->ports[i].name;
	if (c->agent)
		cfg.names[ports_id(c->nr_ports)] = AGENT_PORT_NAME;
	if (!cfg.has_console && cfg.nr_ports == 1)
		return 0;
	return vcon_new(&m->ports.vcon, &cfg, &m->gm);
}

/* A console or channel for a port of the device. */
static int open_port(struct machine *m, struct console **out, unsigned int id,
		     const struct console_cfg *cfg)
{
	struct vcon *v = m->ports.vcon;
	struct host_end host;
	int r = console_new(out, m->loop, vcon_guest_end(v, id), cfg);

	if (r)
		return r;
	host = console_host_end(*out);
	vcon_connect(v, id, &host);
	return 0;
}

static int open_channel(struct machine *m, unsigned int i)
{
	const struct config_port *want = &m->cfg->ports[i];
	char ending[VM_NAME_MAX + 8], path[VM_PATH_SIZE];
	struct console_cfg cfg = { .kind = CONSOLE_UNIX, .port = CHANNEL_PORT, .path = want->path };
	int r = 0;

	if (!want->path[0]) {
		snprintf(ending, sizeof(ending), "%s.port", want->name);
		cfg.path = path;
		r = config_beside_path(m->cfg, path, ending);
	}
	return r ? r : open_port(m, &m->ports.channels[i], ports_id(i), &cfg);
}

/* --- the agent's ------------------------------------------------------------------------------- */

struct guest_end ports_agent_end(struct machine *m)
{
	return vcon_guest_end(m->ports.vcon, ports_id(m->cfg->nr_ports));
}

void ports_connect_agent(struct machine *m, const struct host_end *host)
{
	struct guest_end guest = ports_agent_end(m);

	vcon_connect(m->ports.vcon, ports_id(m->cfg->nr_ports), host);
	guest.host_opened(guest.ctx, true);
}

/* --- hvc0 -------------------------------------------------------------------------------------- */

static void take_size(struct machine *m)
{
	struct terminal_size size = terminal_size();

	vcon_set_size(m->ports.vcon, size.columns, size.rows);
}

static void on_size(void *ctx, uint32_t events)
{
	struct machine *m = ctx;

	(void)events;
	if (signals_taken(m->ports.size_fd))
		take_size(m);
}

static int watch_size(struct machine *m)
{
	int r;

	if (m->cfg->hvc != CONSOLE_STDIO || !isatty(STDOUT_FILENO))
		return 0;
	take_size(m);
	r = signals_open_size(&m->ports.size_fd);
	return r ? r : loop_add(m->loop, m->ports.size_fd, EPOLLIN, on_size, m);
}

static int open_hvc(struct machine *m)
{
	char path[VM_PATH_SIZE];
	struct console_cfg cfg = { .kind = m->cfg->hvc,
				   .path = m->cfg->hvc_path,
				   .quit = lifecycle_console_quit,
				   .ctx = m };
	int r = watch_size(m);

	if (!r && cfg.kind == CONSOLE_UNIX && !cfg.path) {
		cfg.path = path;
		r = config_beside_path(m->cfg, path, "hvc0");
	}
	return r ? r : open_port(m, &m->ports.hvc, 0, &cfg);
}

/* --- the whole --------------------------------------------------------------------------------- */

int ports_open(struct machine *m)
{
	int r = m->cfg->hvc == CONSOLE_NONE ? 0 : open_hvc(m);

	for (unsigned int i = 0; i < m->cfg->nr_ports && !r; i++)
		r = open_channel(m, i);
	return r;
}

void ports_close(struct machine *m)
{
	struct ports *p = &m->ports;

	console_free(p->hvc);
	for (unsigned int i = 0; i < m->cfg->nr_ports; i++)
		console_free(p->channels[i]);
	if (p->size_fd >= 0)
		loop_remove(m->loop, p->size_fd);
	auto_close_fn(&p->size_fd);
	vcon_free(p->vcon);
}
