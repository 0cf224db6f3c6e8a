/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - one boot. */
#include "vmm/machine/boot.h"

#include <errno.h>
#include <fcntl.h>

#include "loader/loader.h"
#include "vmm/base/log.h"

static int open_file(const char *what, const char *path, int *fd)
{
	/* Without waiting for a FIFO's writer; the loader then refuses it. */
	*fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return *fd < 0 ? fail(-errno, "%s %s", what, path) : 0;
}

static int load(const struct config *cfg, const struct guest_mem *gm, unsigned int nr_virtio,
		struct vcpu_entry *entry)
{
	auto_close int kernel = -1, initrd = -1;
	struct boot_spec spec = { .kernel_path = cfg->kernel,
				  .initrd_path = cfg->initrd,
				  .cmdline = cfg->cmdline,
				  .boot_bytes = cfg->boot_bytes,
				  .nr_cpus = cfg->nr_cpus,
				  .nr_virtio = nr_virtio };
	struct boot_entry at;
	int r = open_file("kernel", cfg->kernel, &kernel);

	if (!r && cfg->initrd)
		r = open_file("initrd", cfg->initrd, &initrd);
	spec.kernel_fd = kernel;
	spec.initrd_fd = initrd;
	if (!r)
		r = load_kernel(gm, &spec, &at);
	if (r)
		return r;
	*entry = (struct vcpu_entry){
		.mode = at.protocol == BOOT_PVH ? ENTRY_PVH : ENTRY_LONG_MODE,
		.rip = at.rip,
		.arg = at.boot_data,
		.page_table = at.page_tables,
		.gdt = at.gdt,
		.gdt_bytes = at.gdt_bytes,
	};
	return 0;
}

void boot_init(struct boot *b, const struct boot_env *env) { *b = (struct boot){ .env = *env }; }

/* Memory slots come before the interrupt controllers: the other order costs milliseconds. */
int boot_enter(struct boot *b, unsigned int nr_virtio)
{
	const struct boot_env *env = &b->env;
	struct vcpu_entry entry;
	int r = vm_create(&b->vm, env->kvm);

	if (!r)
		r = env->add_memory(env->ctx);
	if (!r)
		r = vm_create_irqchip(&b->vm);
	if (!r)
		r = load(env->cfg, env->gm, nr_virtio, &entry);
	if (!r)
		r = vcpus_new(&b->vcpus, &b->vm, env->cfg->nr_cpus, &env->vcpu, &entry);
	if (!r)
		r = env->connect(env->ctx);
	if (!r)
		b->nr_boots++;
	return r;
}

void boot_leave(struct boot *b)
{
	b->nr_exits_before = boot_nr_exits(b);
	vcpus_free(b->vcpus);
	b->vcpus = NULL;
	vm_destroy(&b->vm);
}

uint64_t boot_nr_exits(const struct boot *b)
{
	return b->nr_exits_before + vcpus_nr_exits(b->vcpus);
}
