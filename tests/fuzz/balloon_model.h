/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_model.h - what becomes of each page of a guest with a balloon, restated as plainly as it
 * goes: an entry for a page, nothing of the product's but constants. Pages are those of boot memory,
 * then those of the elastic region. What a page holds is one word in its middle, eight bytes alike.
 */
#ifndef EBB_TESTS_BALLOON_MODEL_H
#define EBB_TESTS_BALLOON_MODEL_H

#include "tests/unit/balloon_rig.h"

#define MODEL_UNIT	  RAM_HUGE_PAGES
#define MODEL_BOOT_PAGES  (BALLOON_BOOT / PAGE_BYTES)
#define MODEL_PAGES	  ((BALLOON_BOOT + BALLOON_ELASTIC) / PAGE_BYTES)
#define MODEL_BLOCK_PAGES (2 * MiB / PAGE_BYTES)
#define MODEL_BLOCKS	  (BALLOON_ELASTIC / (2 * MiB))
/* Those before it are the driver's own (rings, messages): never given back, never compared. */
#define MODEL_FIRST 32

enum bm_how { MODEL_BALLOONED, MODEL_REPORTED, MODEL_HINTED, MODEL_KEPT };

enum bm_found { MODEL_UNWRITTEN, MODEL_CLEARED, MODEL_IN_USE, NR_MODEL_FOUND };

struct balloon_model {
	struct bm_page {
		uint64_t word;
		uint8_t how;
		bool waits; /* ballooned, the discard is not due yet */
		bool held;  /* the host has memory for it */
		bool dirty; /* written since the run of hints began */
	} pages[MODEL_PAGES];
	bool plugged[MODEL_BLOCKS];
	uint32_t nr[MODEL_KEPT + 1], nr_waiting;
};

void bm_init(struct balloon_model *m);
gpa_t bm_at(uint32_t page);
bool bm_exists(const struct balloon_model *m, gpa_t at, uint64_t bytes);
/* As it is, whatever was before. */
void bm_set(struct balloon_model *m, uint32_t page, enum bm_how how, bool waits);
void bm_write(struct balloon_model *m, uint32_t page, uint64_t word);

/* A page that exists. An inflated one waits, until its unit is whole or bm_flush(). */
void bm_inflate(struct balloon_model *m, uint32_t page);
void bm_deflate(struct balloon_model *m, uint32_t page);
/* All discards are due. */
void bm_flush(struct balloon_model *m);
/* The whole pages of a range that exists. */
void bm_give(struct balloon_model *m, enum bm_how how, gpa_t at, uint64_t bytes);
/*
 * A range that exists, named as free: adds to FOUND what it was found to be, in bytes; what is in
 * use stays. LOGGED: it is known what was written. ZEROS_GO: zeros are looked for.
 */
void bm_hint(struct balloon_model *m, gpa_t at, uint64_t bytes, bool logged, bool zeros_go,
	     uint64_t found[NR_MODEL_FOUND]);
/* The driver has gone: the guest promises nothing any more, all that it ballooned is its own. */
void bm_driver_gone(struct balloon_model *m);
void bm_forget_writes(struct balloon_model *m);
/* Nobody has anything in it, nobody gave anything back. */
void bm_fresh(struct balloon_model *m, uint32_t first, uint32_t nr);

#endif
