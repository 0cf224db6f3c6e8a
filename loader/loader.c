/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c - picks the format, checks that all fits, loads. */
#include "loader/loader.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "loader/acpi.h"
#include "loader/handover.h"
#include "loader/kernel.h"
#include "loader/layout.h"
#include "loader/linux64.h"
#include "loader/pvh.h"
#include "loader/reset_vector.h"
#include "vmm/base/log.h"

#define PAGE_BYTES UINT64_C(0x1000)
#define BOOT_BYTES_MIN (2 * MiB)

/* In MiB, for messages. */
static uint64_t mib(uint64_t bytes) { return bytes / MiB + (bytes % MiB != 0); }

static int parse(const struct image *image, struct kernel *kernel)
{
	/* The two places where a format names itself; zeros where the file is shorter. */
	struct {
		char elf_magic[SELFMAG];
		uint8_t pad[0x1fe - SELFMAG];
		le16 boot_flag, jump;
		le32 magic;
	} __attribute__((packed)) head = { 0 };
	int r = image_read(image, 0, &head, min_u64(image->bytes, sizeof(head)));

	if (r)
		return r;
	if (!memcmp(head.elf_magic, ELFMAG, SELFMAG))
		return elf_parse(image, kernel);
	if (le16_get(head.boot_flag) == SETUP_BOOT_FLAG && le32_get(head.magic) == SETUP_MAGIC)
		return bzimage_parse(image, kernel);
	return fail_usage("%s is not a kernel: give a Linux bzImage or a 64-bit ELF file with a PVH "
			  "note (vmlinux)",
			  image->path);
}

/*
 * Every segment lies between the boot data and the end of low boot memory, and none on another.
 * *END is where the highest one ends.
 */
static int check_segments(const struct image *image, const struct kernel *kernel, uint64_t low_end,
			  uint64_t *end)
{
	*end = LAYOUT_KERNEL;
	for (unsigned int i = 0; i < kernel->nr_segments; i++) {
		const struct kernel_segment *s = &kernel->segments[i];

		if (s->base < LAYOUT_KERNEL || s->bytes > UINT64_MAX - s->base)
			return fail_usage("kernel %s wants %#" PRIx64 " bytes at %#" PRIx64
					  ": the first MiB is reserved; link it to 1 MiB or above",
					  image->path, s->bytes, s->base);
		if (s->base + s->bytes > low_end)
			return fail_usage("kernel %s needs memory up to %" PRIu64 " MiB, but boot "
					  "memory below 3 GiB ends at %" PRIu64
					  " MiB: give it more boot memory",
					  image->path, mib(s->base + s->bytes), low_end / MiB);
		for (unsigned int j = 0; j < i; j++) {
			const struct kernel_segment *o = &kernel->segments[j];

			if (s->base < o->base + o->bytes && o->base < s->base + s->bytes)
				return fail_usage("kernel %s has two segments at %#" PRIx64
						  "; copy or build it again",
						  image->path, max_u64(s->base, o->base));
		}
		*end = max_u64(*end, s->base + s->bytes);
	}
	return 0;
}

/* As high as possible, so that it is out of the kernel's way. */
static int place_initrd(const struct image *initrd, uint64_t kernel_end, uint64_t limit, gpa_t *at)
{
	kernel_end = align_up(kernel_end, PAGE_BYTES);
	if (limit < kernel_end || initrd->bytes > limit - kernel_end)
		return fail_usage("initrd %s has %" PRIu64 " MiB, but only %" PRIu64
				  " MiB are left beside the kernel: give the guest more boot memory",
				  initrd->path, mib(initrd->bytes),
				  limit < kernel_end ? 0 : (limit - kernel_end) / MiB);
	*at = GPA(align_down(limit - initrd->bytes, PAGE_BYTES));
	return 0;
}

static int check_spec(const struct boot_spec *spec, const struct kernel *kernel)
{
	uint64_t most = min_u64(kernel->cmdline_bytes, LAYOUT_CMDLINE_BYTES - 1);
	uint64_t bytes = strlen(spec->cmdline);

	if (bytes > most)
		return fail_usage("the kernel command line has %" PRIu64
				  " bytes, this kernel takes %" PRIu64 ": shorten it",
				  bytes, most);
	return 0;
}

static int load(const struct guest_mem *gm, const struct handover *h, const struct image *image,
		const struct kernel *kernel, const struct image *initrd)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < kernel->nr_segments; i++) {
		const struct kernel_segment *s = &kernel->segments[i];

		r = image_load(image, s->file_offset, s->file_bytes, gm, GPA(s->base));
	}
	if (!r && initrd->bytes)
		r = image_load(initrd, 0, initrd->bytes, gm, h->initrd);
	if (r)
		return r;
	r = gm_write(gm, GPA(LAYOUT_CMDLINE), h->spec->cmdline, strlen(h->spec->cmdline) + 1);
	return r ? fail(r, "write the kernel command line") : 0;
}

int load_kernel(const struct guest_mem *gm, const struct boot_spec *spec, struct boot_entry *out)
{
	uint64_t low_end = min_u64(spec->boot_bytes, PLATFORM_LOW_END), kernel_end;
	struct handover h = { .spec = spec };
	struct kernel kernel = { 0 };
	struct image image, initrd = { .fd = -1 };
	struct boot_entry entry;
	int r;

	if (spec->boot_bytes < BOOT_BYTES_MIN)
		return fail_usage("boot memory of %" PRIu64 " bytes is too small for any kernel: "
				  "give at least 2 MiB",
				  spec->boot_bytes);
	r = image_open(&image, spec->kernel_fd, "kernel", spec->kernel_path);
	if (!r)
		r = parse(&image, &kernel);
	if (!r)
		r = check_segments(&image, &kernel, low_end, &kernel_end);
	if (!r)
		r = check_spec(spec, &kernel);
	if (!r && spec->initrd_fd >= 0) {
		r = image_open(&initrd, spec->initrd_fd, "initrd", spec->initrd_path);
		if (!r)
			r = place_initrd(&initrd, kernel_end, min_u64(low_end, kernel.initrd_end),
					 &h.initrd);
		h.initrd_bytes = initrd.bytes;
	}
	/* All is checked; from here on only the host can refuse. */
	if (!r)
		r = load(gm, &h, &image, &kernel, &initrd);
	if (!r)
		r = acpi_write(gm, spec->nr_cpus, spec->nr_virtio, &h.rsdp);
	if (!r)
		r = reset_vector_write(gm);
	if (r)
		return r;
	entry = (struct boot_entry){ .protocol = kernel.protocol, .rip = kernel.entry };
	if (kernel.protocol == BOOT_LINUX64)
		r = linux64_hand_over(gm, &h, &kernel.setup, &entry);
	else
		r = pvh_hand_over(gm, &h, &entry);
	if (!r)
		*out = entry;
	return r;
}
