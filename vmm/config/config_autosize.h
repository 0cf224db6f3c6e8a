/* SPDX-License-Identifier: Apache-2.0 */
/* config_autosize.h - what a guest may ask for: options of `ebb run`, and how they fit together. */
#ifndef EBB_CONFIG_CONFIG_AUTOSIZE_H
#define EBB_CONFIG_CONFIG_AUTOSIZE_H

#include "vmm/config/config.h"

#define CONFIG_GROW_RATE_MIB 256

/* As in struct option_row. */
int config_set_max(void *target, const char *value);
int config_set_reserve(void *target, const char *value);
int config_set_grow_rate(void *target, const char *value);
int config_set_cache_age(void *target, const char *value);
/* The same values elsewhere. 0 or -EINVAL, logged. */
int must_check config_rate_parse(const char *option, const char *text, uint32_t *rate_mib);
int must_check config_cache_age_parse(const char *option, const char *text, uint32_t *age_s);

/* Elastic memory for all of --max, when none was named. */
void config_add_elastic(struct config *cfg);
/* Checks all of it, the rest being right, and fills in what was left open. 0 or -EINVAL, logged. */
int must_check config_check_autosize(struct config *cfg);

/* The most that the guest can have: boot and elastic memory. */
uint64_t config_total_bytes(const struct config *cfg);
/* The largest block of its elastic memory. */
uint64_t config_elastic_block(const struct config *cfg);
/*
 * What each elastic device has when all of them have BYTES: the first ones fill up. Each is a
 * multiple of its blocks; what is no whole block is left out.
 */
void config_shares(const struct config *cfg, uint64_t bytes, uint64_t shares[CONFIG_MAX_ELASTIC]);

#endif
