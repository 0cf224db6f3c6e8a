/* SPDX-License-Identifier: Apache-2.0 */
/* bzimage.c - the headers of a Linux bzImage (The Linux/x86 Boot Protocol). */
#include <inttypes.h>
#include <string.h>

#include "loader/kernel.h"
#include "loader/layout.h"
#include "vmm/base/log.h"

#define SECTOR_BYTES UINT64_C(512)
#define SETUP_SECTS_DEFAULT 4u /* what 0 stands for */
#define SETUP_END_MIN 0x268   /* of a 2.12 header */
#define SETUP_END_MAX 0x290   /* where the zero page goes on with something else */

static int check_header(const struct image *image, const struct setup_header *h)
{
	uint16_t version = le16_get(h->version);
	unsigned int end = 0x202u + h->jump_offset;

	if (version < SETUP_VERSION_MIN)
		return fail_usage("kernel %s speaks boot protocol %u.%02u, needed is 2.12 or later: "
				  "use Linux 3.8 or later",
				  image->path, version >> 8, version & 0xff);
	if (end < SETUP_END_MIN || end > SETUP_END_MAX || !(h->loadflags & SETUP_LOADED_HIGH) ||
	    !h->syssize.raw)
		return fail_usage("kernel %s has a corrupt setup header; copy or build it again",
				  image->path);
	if (!(le16_get(h->xloadflags) & SETUP_KERNEL_64))
		return fail_usage("kernel %s has no 64-bit entry: use a 64-bit kernel", image->path);
	return 0;
}

/*
 * Where the kernel is loaded: it moves itself to its preferred address if it is loaded below, so
 * nothing is won by any other place.
 */
static int load_address(const struct image *image, const struct setup_header *h, uint64_t *base)
{
	uint64_t align = le32_get(h->kernel_alignment);

	*base = le64_get(h->pref_address);
	if (!*base)
		*base = LAYOUT_KERNEL;
	if (!h->relocatable_kernel)
		return 0;
	if (!is_power_of_two(align) || *base > UINT64_MAX - align)
		return fail_usage("kernel %s has a corrupt setup header (alignment %#" PRIx64
				  ", address %#" PRIx64 "); copy or build it again",
				  image->path, align, *base);
	*base = align_up(*base, align);
	return 0;
}

int bzimage_parse(const struct image *image, struct kernel *kernel)
{
	struct setup_header *h = &kernel->setup;
	uint64_t setup_bytes, code_bytes, base;
	unsigned int end;
	int r = image_read(image, SETUP_OFFSET, h, sizeof(*h));

	if (r)
		return r;
	r = check_header(image, h);
	if (r)
		return r;
	setup_bytes = (1u + (h->setup_sects ? h->setup_sects : SETUP_SECTS_DEFAULT)) * SECTOR_BYTES;
	code_bytes = UINT64_C(16) * le32_get(h->syssize);
	if (!range_inside(setup_bytes, code_bytes, 0, image->bytes))
		return image_truncated(image, setup_bytes + code_bytes);
	if (code_bytes <= SETUP_ENTRY_64)
		return fail_usage("kernel %s is too small for a 64-bit entry", image->path);
	r = load_address(image, h, &base);
	if (r)
		return r;
	/* What follows the header in the file is code, not parameters. */
	end = 0x202u + h->jump_offset;
	memset((char *)h + (end - SETUP_OFFSET), 0, SETUP_END_MAX - end);

	kernel->protocol = BOOT_LINUX64;
	kernel->entry = base + SETUP_ENTRY_64;
	kernel->initrd_end = le32_get(h->initrd_addr_max) + UINT64_C(1);
	kernel->cmdline_bytes = le32_get(h->cmdline_size);
	kernel->nr_segments = 1;
	kernel->segments[0] = (struct kernel_segment){
		.file_offset = setup_bytes,
		.file_bytes = code_bytes,
		.base = base,
		.bytes = max_u64(le32_get(h->init_size), code_bytes),
	};
	return 0;
}
