/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - from the files that were named to the registers of the boot CPU. */
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

int boot_load(const struct config *cfg, const struct guest_mem *gm, unsigned int nr_virtio,
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
