/* SPDX-License-Identifier: Apache-2.0 */
/* platform.c - the devices that every guest has beside virtio. */
#include "vmm/machine/platform.h"

#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/platform.h"

static void init(struct platform *p, const struct platform_env *env)
{
	*p = (struct platform){
		.env = *env,
		.serial = { .irq = { loop_event_raise, &p->serial_irq } },
		.serial_irq = { .loop = env->loop, .fd = -1 },
		.power = { .irq = { loop_event_raise, &p->power_irq },
			   .power_off = requests_power_off,
			   .reset = requests_reset,
			   .ctx = env->requests },
		.power_irq = { .loop = env->loop, .fd = -1 },
		.pvpanic = { requests_panicked, requests_crash_kernel, env->requests },
		.debug_exit = { requests_debug_exit, env->requests },
	};
	serial_reset(&p->serial);
}

static int add_to_buses(struct platform *p)
{
	struct bus *mmio = p->env.mmio, *pio = p->env.pio;
	int r = bus_add(mmio, POWER_BASE, POWER_BYTES, power_access, &p->power);

	if (!r)
		r = bus_add(mmio, PVPANIC_BASE, PVPANIC_BYTES, pvpanic_access, &p->pvpanic);
	if (!r)
		r = bus_add(pio, SERIAL_PORT, SERIAL_PORTS, serial_access, &p->serial);
	if (!r)
		r = bus_add(pio, CMOS_PORT, CMOS_PORTS, cmos_access, NULL);
	if (!r && p->env.cfg->debug_exit)
		r = bus_add(pio, DEBUG_EXIT_PORT, DEBUG_EXIT_PORTS, debug_exit_access,
			    &p->debug_exit);
	return r;
}

int platform_open(struct platform *p, const struct platform_env *env)
{
	int r;

	init(p, env);
	r = event_new(&p->serial_irq.fd);
	if (!r)
		r = event_new(&p->power_irq.fd);
	return r ? r : add_to_buses(p);
}

int platform_open_console(struct platform *p)
{
	const struct config *c = p->env.cfg;
	char path[VM_PATH_SIZE];
	struct console_cfg cfg = { .kind = c->console,
				   .path = c->console_path,
				   .quit = p->env.quit,
				   .ctx = p->env.ctx };
	int r = 0;

	if (cfg.kind == CONSOLE_UNIX && !cfg.path) {
		cfg.path = path;
		r = config_beside_path(c, path, "console");
	}
	if (!r)
		r = console_new(&p->console, p->env.loop, serial_guest_end(&p->serial), &cfg);
	if (!r)
		p->serial.host = console_host_end(p->console);
	return r;
}

void platform_close_console(struct platform *p)
{
	console_free(p->console);
	p->console = NULL;
}

void platform_close(struct platform *p)
{
	if (!p->env.loop) /* never opened */
		return;
	auto_close_fn(&p->serial_irq.fd);
	auto_close_fn(&p->power_irq.fd);
}

int platform_connect(struct platform *p, struct vm *vm)
{
	int r = vm_irqfd(vm, p->serial_irq.fd, SERIAL_GSI);

	return r ? r : vm_irqfd(vm, p->power_irq.fd, POWER_GSI);
}

void platform_reset(struct platform *p)
{
	serial_reset(&p->serial);
	power_init(&p->power);
}

void platform_power_button(struct platform *p) { power_button(&p->power); }

void platform_log_with_console(const struct platform *p, const char *what)
{
	char tail[CONSOLE_EXCERPT_BYTES];

	log_error("%s; the console's last lines:\n%s", what, console_excerpt(p->console, tail));
}
