/* SPDX-License-Identifier: Apache-2.0 */
/* loader_fixture.h - boot memory without KVM, kernel files in memory, and what is logged. */
#ifndef EBB_TESTS_LOADER_FIXTURE_H
#define EBB_TESTS_LOADER_FIXTURE_H

#include "loader/loader.h"

struct loader_fixture {
	struct ram ram;
	struct guest_mem gm;
	struct boot_spec spec; /* no kernel, no initrd, one CPU, empty command line */
	struct boot_entry entry;
};

/* Boot memory laid out as the platform does, below 3 GiB and from 4 GiB on. */
void fixture_init(struct loader_fixture *f, uint64_t boot_bytes);
void fixture_destroy(struct loader_fixture *f);
/* load_kernel() with the log captured: see fixture_log(). */
int fixture_load(struct loader_fixture *f);
/* What the last fixture_load() logged. */
const char *fixture_log(void);
/* True when the log is exactly one line, and has TEXT in it. */
bool fixture_logged(const char *text);

/* A file with these contents; no name, gone with its descriptor. */
int memory_file(const void *bytes, size_t nr);
/* Guest memory; a failure to read it fails the test. */
void guest_read(const struct loader_fixture *f, uint64_t at, void *dst, size_t bytes);
uint64_t guest_u64(const struct loader_fixture *f, uint64_t at);
uint32_t guest_u32(const struct loader_fixture *f, uint64_t at);

/*
 * Opens a stock kernel ("cloud" or "full"; "bzImage" or "vmlinux") if the cache has one; else the
 * test is skipped with a reason.
 */
int stock_kernel(const char *flavour, const char *thing);

#endif
