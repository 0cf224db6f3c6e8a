/* SPDX-License-Identifier: Apache-2.0 */
/* config_autosize.c - what a guest may ask for, as options. */
#include "vmm/config/config_autosize.h"

#include <string.h>

#include "vmm/agent/port.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"

#define BLOCK_BYTES (2 * MiB)
/* Of --max without --elastic: Linux uses whole blocks of memory. */
#define GROWN_ALIGN (128 * MiB)
#define GROW_RATE_MIB_MAX (UINT32_C(1) << 20)
#define CACHE_AGE_S_MAX (366 * 24 * 3600)
/* The reserve: this part of boot memory, within these bounds, in whole units of the balloon's. */
#define RESERVE_DIVISOR 16
#define RESERVE_MIN (8 * MiB)
#define RESERVE_MAX (64 * MiB)
#define RESERVE_ALIGN (2 * MiB)

/* --- options ---------------------------------------------------------------------------------- */

int config_set_max(void *target, const char *value)
{
	uint64_t *bytes = &((struct config *)target)->autosize.max_bytes;
	int r = options_size("--max", value, bytes);

	return r || *bytes ? r : fail_usage("--max: 0 is no limit; leave the option out");
}

int config_set_reserve(void *target, const char *value)
{
	struct config_autosize *a = &((struct config *)target)->autosize;

	a->reserve_is_set = true;
	a->reserve_bytes = 0;
	return strcmp(value, "off") ? options_size("--reserve", value, &a->reserve_bytes) : 0;
}

int config_rate_parse(const char *option, const char *text, uint32_t *rate_mib)
{
	uint64_t bytes;
	int r = options_size(option, text, &bytes);

	if (r)
		return r;
	if (bytes < MiB || bytes / MiB > GROW_RATE_MIB_MAX)
		return fail_usage("%s: '%s' a second is not from 1M to 1T", option, text);
	*rate_mib = (uint32_t)(bytes / MiB);
	return 0;
}

int config_set_grow_rate(void *target, const char *value)
{
	return config_rate_parse("--grow-rate", value,
				 &((struct config *)target)->autosize.rate_mib);
}

int config_cache_age_parse(const char *option, const char *text, uint32_t *age_s)
{
	if (options_number(text, 0, CACHE_AGE_S_MAX, age_s))
		return fail_usage("%s: '%s' is not a whole number of seconds from 0 (off) to %d",
				  option, text, CACHE_AGE_S_MAX);
	return 0;
}

int config_set_cache_age(void *target, const char *value)
{
	return config_cache_age_parse("--cache-age", value,
				      &((struct config *)target)->autosize.cache_age_s);
}

/* --- the whole -------------------------------------------------------------------------------- */

uint64_t config_total_bytes(const struct config *cfg)
{
	uint64_t bytes = cfg->boot_bytes;

	for (unsigned int i = 0; i < cfg->nr_elastic; i++)
		bytes += cfg->elastic[i].bytes;
	return bytes;
}

void config_shares(const struct config *cfg, uint64_t bytes, uint64_t shares[CONFIG_MAX_ELASTIC])
{
	for (unsigned int i = 0; i < cfg->nr_elastic; i++) {
		const struct config_elastic *e = &cfg->elastic[i];

		shares[i] = align_down(min_u64(bytes, e->bytes), e->block_bytes);
		bytes -= shares[i];
	}
}

static int needs_max(const char *option)
{
	return fail_usage("--%s: only with --max, what the guest may get when it asks", option);
}

/* Of a configuration without --max. */
static int check_no_max(const struct config *cfg)
{
	const struct config_autosize *a = &cfg->autosize;

	if (a->min_bytes)
		return needs_max("min");
	if (a->reserve_is_set && a->reserve_bytes)
		return needs_max("reserve");
	if (a->cache_age_s && !cfg->agent)
		return fail_usage("--cache-age: the guest's agent does that; take --agent=on or "
				  "--max");
	return 0;
}

void config_add_elastic(struct config *cfg)
{
	uint64_t max = cfg->autosize.max_bytes, boot = cfg->boot_bytes;

	if (!cfg->nr_elastic && max > boot)
		cfg->elastic[cfg->nr_elastic++] = (struct config_elastic){
			.id = "mem0", .bytes = align_up(max - boot, GROWN_ALIGN),
			.block_bytes = BLOCK_BYTES
		};
}

static uint64_t requested_total(const struct config *cfg)
{
	uint64_t bytes = cfg->boot_bytes;

	for (unsigned int i = 0; i < cfg->nr_elastic; i++)
		bytes += cfg->elastic[i].requested_bytes;
	return bytes;
}

uint64_t config_elastic_block(const struct config *cfg)
{
	uint64_t bytes = BLOCK_BYTES;

	for (unsigned int i = 0; i < cfg->nr_elastic; i++)
		bytes = max_u64(bytes, cfg->elastic[i].block_bytes);
	return bytes;
}

static int check_limit(const struct config *cfg, const char *option, uint64_t bytes)
{
	uint64_t block = config_elastic_block(cfg);
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

	if (bytes < cfg->boot_bytes)
		return fail_usage("--%s: %s is below the boot memory, %s, which stays (-m)", option,
				  size_format(bytes, a), size_format(cfg->boot_bytes, b));
	if (!is_aligned(bytes - cfg->boot_bytes, block))
		return fail_usage("--%s: what is above the boot memory, %llu bytes, is not a "
				  "multiple of the block size %s", option,
				  (unsigned long long)(bytes - cfg->boot_bytes),
				  size_format(block, b));
	return 0;
}

static int check_reserve(struct config *cfg)
{
	struct config_autosize *s = &cfg->autosize;
	char a[SIZE_TEXT_BYTES];

	if (!s->reserve_is_set && !cfg->no_balloon)
		s->reserve_bytes = min_u64(max_u64(align_down(cfg->boot_bytes / RESERVE_DIVISOR,
							      RESERVE_ALIGN), RESERVE_MIN),
					   RESERVE_MAX);
	if (s->reserve_bytes && cfg->no_balloon)
		return fail_usage("--reserve: it is kept in the balloon; leave --balloon=off out, "
				  "or take --reserve=off");
	if (!is_aligned(s->reserve_bytes, RESERVE_ALIGN))
		return fail_usage("--reserve: %llu bytes is not a multiple of 2 MiB",
				  (unsigned long long)s->reserve_bytes);
	if (s->reserve_bytes > cfg->boot_bytes / 2)
		return fail_usage("--reserve: %s is more than half of the boot memory; take less, "
				  "or --reserve=off", size_format(s->reserve_bytes, a));
	return 0;
}

static int check_max(struct config *cfg)
{
	struct config_autosize *s = &cfg->autosize;
	uint64_t shares[CONFIG_MAX_ELASTIC];
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];
	int r;

	if (!cfg->agent && s->agent_is_set)
		return fail_usage("--max: nobody asks without --agent=on");
	cfg->agent = true;
	if (!s->min_bytes)
		s->min_bytes = cfg->boot_bytes;
	r = check_limit(cfg, "max", s->max_bytes);
	if (!r)
		r = check_limit(cfg, "min", s->min_bytes);
	if (r)
		return r;
	if (s->max_bytes > config_total_bytes(cfg))
		return fail_usage("--max: %s is above boot and elastic memory together, %s; take "
				  "less, or leave --elastic out", size_format(s->max_bytes, a),
				  size_format(config_total_bytes(cfg), b));
	if (s->min_bytes > s->max_bytes)
		return fail_usage("--min: %s is above --max, %s", size_format(s->min_bytes, a),
				  size_format(s->max_bytes, b));
	if (requested_total(cfg) > s->max_bytes)
		return fail_usage("--elastic: what is requested at start, with the boot memory "
				  "%s, is above --max, %s", size_format(requested_total(cfg), a),
				  size_format(s->max_bytes, b));
	if (requested_total(cfg) < s->min_bytes) {
		config_shares(cfg, s->min_bytes - cfg->boot_bytes, shares);
		for (unsigned int i = 0; i < cfg->nr_elastic; i++)
			cfg->elastic[i].requested_bytes = shares[i];
	}
	return check_reserve(cfg);
}

static int check_agent(const struct config *cfg)
{
	if (!cfg->agent)
		return 0;
	for (unsigned int i = 0; i < cfg->nr_ports; i++)
		if (!strcmp(cfg->ports[i].name, AGENT_PORT_NAME))
			return fail_usage("--port: " AGENT_PORT_NAME " is there by --agent, or "
					  "--max; leave one of them out");
	if (cfg->nr_ports == CONFIG_MAX_PORTS)
		return fail_usage("--port: at most %d ports with one for the agent",
				  CONFIG_MAX_PORTS - 1);
	return 0;
}

int config_check_autosize(struct config *cfg)
{
	int r = cfg->autosize.max_bytes ? check_max(cfg) : check_no_max(cfg);

	return r ? r : check_agent(cfg);
}
