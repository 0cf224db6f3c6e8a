/* SPDX-License-Identifier: Apache-2.0 */
/* test_config.c - what `ebb run` takes, what it makes of it, and what it refuses. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/stderr_text.h"
#include "vmm/config/config_autosize.h"

static const struct verb verb = { "run", "", "", config_options, NULL };
static struct config cfg;

/* Parses ARGV and checks the whole. */
static int take(int argc, const char *const *argv)
{
	int r;

	config_init(&cfg);
	r = options_parse(&verb, argc, (char **)(uintptr_t)argv, &cfg, NULL, 0);
	return r < 0 ? r : config_check(&cfg);
}

#define TAKE(...)                                                               \
	take((int)ARRAY_SIZE(((const char *const[]){ "run", ##__VA_ARGS__ })), \
	     (const char *const[]){ "run", ##__VA_ARGS__, NULL })

/* Refused, in one line that holds WORD. */
#define REFUSED(word, ...)                                                            \
	do {                                                                          \
		const char *said_;                                                    \
		int r_;                                                               \
		stderr_keep();                                                        \
		r_ = TAKE("-k", "kernel", ##__VA_ARGS__);                             \
		said_ = stderr_text();                                                \
		cr_assert_eq(r_, -EINVAL, "%d for " #__VA_ARGS__, r_);                \
		cr_assert_not_null(strstr(said_, word), "%s", said_);                 \
		cr_assert_eq(strchr(said_, '\n') - said_ + 1, (long)strlen(said_), "%s", said_); \
	} while (0)

Test(config, kernel_is_all_that_must_be_given)
{
	cr_assert_eq(TAKE("-k", "vmlinux"), 0);
	cr_assert_str_eq(cfg.kernel, "vmlinux");
	cr_assert_null(cfg.initrd);
	cr_assert_str_eq(cfg.cmdline, "");
	cr_assert_null(cfg.qmp_path);
	cr_assert_eq(cfg.boot_bytes, 512 * MiB);
	cr_assert_eq(cfg.nr_cpus, 1);
	cr_assert_eq(cfg.nr_elastic, 0);
	cr_assert_not(cfg.no_reboot || cfg.debug_exit || cfg.paused);
}

Test(config, without_a_kernel_nothing_starts)
{
	stderr_keep();
	cr_expect_eq(TAKE(), -EINVAL);
	cr_assert_not_null(strstr(stderr_text(), "no kernel"));
}

Test(config, name_is_made_up_from_the_process_when_none_is_given)
{
	char expected[32];

	cr_assert_eq(TAKE("-k", "k"), 0);
	snprintf(expected, sizeof(expected), "vm-%d", (int)getpid());
	cr_assert_str_eq(cfg.name, expected);
	cr_assert_eq(TAKE("-k", "k", "--name", "mine"), 0);
	cr_assert_str_eq(cfg.name, "mine");
}

Test(config, every_option_reaches_its_field)
{
	cr_assert_eq(TAKE("-k", "k", "-i", "rd", "-p", "quiet a=b", "-m", "2G", "-c", "4", "--qmp",
			  "/run/q", "--paused", "--no-reboot", "--debug-exit"),
		     0);
	cr_assert_str_eq(cfg.initrd, "rd");
	cr_assert_str_eq(cfg.cmdline, "quiet a=b");
	cr_assert_eq(cfg.boot_bytes, 2 * GiB);
	cr_assert_eq(cfg.nr_cpus, 4);
	cr_assert_str_eq(cfg.qmp_path, "/run/q");
	cr_assert(cfg.paused && cfg.no_reboot && cfg.debug_exit);
}

Test(config, boot_memory_within_its_bounds)
{
	cr_assert_eq(TAKE("-k", "k", "-m", "2"), 0);
	cr_assert_eq(cfg.boot_bytes, 2 * MiB);
	cr_assert_eq(TAKE("-k", "k", "-m", "8388606M"), 0);
	REFUSED("can't be 0", "-m", "0");
	REFUSED("multiple of 2 MiB", "-m", "1M");
	REFUSED("2097153 bytes is not a multiple", "-m", "2097153B");
	REFUSED("limit of 8 TiB", "-m", "8T");
	REFUSED("'a lot' is not a size", "-m", "a lot");
}

Test(config, cpus_within_their_bounds)
{
	cr_assert_eq(TAKE("-k", "k", "-c", "1"), 0);
	cr_assert_eq(cfg.nr_cpus, 1);
	cr_assert_eq(TAKE("-k", "k", "-c", "64"), 0);
	cr_assert_eq(cfg.nr_cpus, 64);
	REFUSED("from 1 to 64", "-c", "0");
	REFUSED("from 1 to 64", "-c", "65");
	REFUSED("from 1 to 64", "-c", "-1");
	REFUSED("from 1 to 64", "-c", "+1");
	REFUSED("from 1 to 64", "-c", " 1");
	REFUSED("from 1 to 64", "-c", "1 ");
	REFUSED("from 1 to 64", "-c", "0x4");
	REFUSED("from 1 to 64", "-c", "");
	REFUSED("from 1 to 64", "-c", "4294967297");
	REFUSED("from 1 to 64", "-c", "18446744073709551617");
}

Test(config, elastic_memory_has_defaults)
{
	cr_assert_eq(TAKE("-k", "k", "-e", "4G"), 0);
	cr_assert_eq(cfg.nr_elastic, 1);
	cr_assert_str_eq(cfg.elastic[0].id, "mem0");
	cr_assert_eq(cfg.elastic[0].bytes, 4 * GiB);
	cr_assert_eq(cfg.elastic[0].block_bytes, 2 * MiB);
	cr_assert_eq(cfg.elastic[0].requested_bytes, 0);
}

Test(config, elastic_memory_takes_its_keys_in_any_order)
{
	cr_assert_eq(TAKE("-k", "k", "-e", "4G,id=a_B-9,requested=1G,block=128M"), 0);
	cr_assert_str_eq(cfg.elastic[0].id, "a_B-9");
	cr_assert_eq(cfg.elastic[0].block_bytes, 128 * MiB);
	cr_assert_eq(cfg.elastic[0].requested_bytes, GiB);
}

Test(config, eight_devices_are_the_most)
{
	cr_assert_eq(TAKE("-k", "k", "-e", "1G", "-e", "2G", "-e", "1G", "-e", "1G", "-e", "1G",
			  "-e", "1G", "-e", "1G", "-e", "1G"),
		     0);
	cr_assert_eq(cfg.nr_elastic, 8);
	cr_assert_str_eq(cfg.elastic[1].id, "mem1");
	cr_assert_eq(cfg.elastic[1].bytes, 2 * GiB);
	cr_assert_str_eq(cfg.elastic[7].id, "mem7");
	REFUSED("at most 8", "-e", "1G", "-e", "1G", "-e", "1G", "-e", "1G", "-e", "1G", "-e", "1G",
		"-e", "1G", "-e", "1G", "-e", "1G");
}

Test(config, eight_disks_and_fourteen_ports_are_the_most)
{
	cr_assert_eq(TAKE("-k", "k", "-d", "a", "-d", "b", "-d", "c", "-d", "d", "-d", "e", "-d",
			  "f", "-d", "g", "-d", "h"),
		     0);
	cr_assert_eq(cfg.nr_disks, 8);
	cr_assert_str_eq(cfg.disks[7].path, "h");
	cr_assert_eq(TAKE("-k", "k", "--port", "a", "--port", "b", "--port", "c", "--port", "d",
			  "--port", "e", "--port", "f", "--port", "g", "--port", "h", "--port", "i",
			  "--port", "j", "--port", "k", "--port", "l", "--port", "m", "--port", "n"),
		     0);
	cr_assert_eq(cfg.nr_ports, 14);
	cr_assert_str_eq(cfg.ports[13].name, "n");
	REFUSED("at most 14 ports", "--port", "a", "--port", "b", "--port", "c", "--port", "d",
		"--port", "e", "--port", "f", "--port", "g", "--port", "h", "--port", "i", "--port",
		"j", "--port", "k", "--port", "l", "--port", "m", "--port", "n", "--port", "o");
}

Test(config, names_of_devices_differ)
{
	REFUSED("two devices of the name mem1", "-e", "1G,id=mem1", "-e", "1G");
	cr_assert_eq(TAKE("-k", "k", "-e", "1G,id=mem1", "-e", "1G,id=mem0"), 0);
}

Test(config, block_size_is_a_power_of_two_of_2_mib_at_least)
{
	for (uint64_t mib = 1; mib <= 1024; mib++) {
		char text[64];
		bool valid = mib >= 2 && !(mib & (mib - 1));

		/* A size that every one of them divides, or the size would be what is refused. */
		snprintf(text, sizeof(text), "%lluM,block=%lluM", (unsigned long long)(4 * mib),
			 (unsigned long long)mib);
		stderr_keep();
		cr_expect_eq(TAKE("-k", "k", "-e", text), valid ? 0 : -EINVAL, "%s", text);
		cr_expect_eq(!strstr(stderr_text(), "power of two"), valid, "%s", text);
	}
}

Test(config, elastic_memory_that_does_not_add_up_is_refused)
{
	REFUSED("size 0", "-e", "0");
	REFUSED("multiple of the block size 2 MiB", "-e", "3M");
	REFUSED("multiple of the block size 4 MiB", "-e", "6M,block=4M");
	REFUSED("requested 2097152 bytes is not a multiple", "-e", "8M,block=4M,requested=2M");
	REFUSED("above the size", "-e", "8M,requested=10M");
	REFUSED("limit of 8 TiB", "-e", "8T");
	cr_assert_eq(TAKE("-k", "k", "-e", "8388606M"), 0);
	cr_assert_eq(TAKE("-k", "k", "-e", "8M,requested=8M"), 0);
}

Test(config, disks_are_taken_in_order)
{
	cr_assert_eq(TAKE("-k", "k", "--disk", "a.img", "-d", "/b,readonly,serial=x y=z"), 0);
	cr_assert_eq(cfg.nr_disks, 2);
	cr_assert_str_eq(cfg.disks[0].path, "a.img");
	cr_assert_not(cfg.disks[0].read_only);
	cr_assert_str_eq(cfg.disks[0].serial, "");
	cr_assert_str_eq(cfg.disks[1].path, "/b");
	cr_assert(cfg.disks[1].read_only);
	cr_assert_str_eq(cfg.disks[1].serial, "x y=z");
	REFUSED("does not begin with the path", "-d", "");
	REFUSED("does not begin with the path", "-d", ",readonly");
	REFUSED("unknown word 'ro'", "-d", "a,ro");
	REFUSED("unknown word 'readonly=on'", "-d", "a,readonly=on");
	REFUSED("more than 20 bytes", "-d", "a,serial=123456789012345678901");
	REFUSED("at most 8 disks", "-d", "a", "-d", "a", "-d", "a", "-d", "a", "-d", "a", "-d",
		"a", "-d", "a", "-d", "a", "-d", "a");
}

Test(config, elastic_memory_that_can_not_be_read_is_refused)
{
	REFUSED("is not a size", "-e", "");
	REFUSED("is not a size", "-e", ",");
	REFUSED("is not a size", "-e", "block=2M");
	REFUSED("is not a size", "-e", "1G,block=");
	REFUSED("is not a size", "-e", "1G,requested=-2M");
	REFUSED("not KEY=VALUE", "-e", "1G,block");
	REFUSED("unknown key 'size'", "-e", "1G,size=2G");
	REFUSED("unknown key ''", "-e", "1G,=2G");
	REFUSED("id ''", "-e", "1G,id=");
	REFUSED("id 'a b'", "-e", "1G,id=a b");
	REFUSED("id '../x'", "-e", "1G,id=../x");
	REFUSED("at most 31", "-e", "1G,id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	cr_assert_eq(TAKE("-k", "k", "-e", "1G,id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 0);
}

Test(config, huge_pages_always_auto_or_never)
{
	cr_assert_eq(TAKE("-k", "k"), 0);
	cr_assert_eq(cfg.huge, HUGE_AUTO);
	cr_assert_eq(TAKE("-k", "k", "--huge", "always"), 0);
	cr_assert_eq(cfg.huge, HUGE_ALWAYS);
	cr_assert_eq(TAKE("-k", "k", "--huge=never"), 0);
	cr_assert_eq(cfg.huge, HUGE_NEVER);
	cr_assert_eq(TAKE("-k", "k", "--huge=never", "--huge=auto"), 0);
	cr_assert_eq(cfg.huge, HUGE_AUTO);
	REFUSED("'on' is none of always, auto, never", "--huge", "on");
	REFUSED("--huge: ''", "--huge=");
}

Test(config, console_is_stdio_unless_told_otherwise)
{
	cr_assert_eq(TAKE("-k", "k"), 0);
	cr_assert_eq(cfg.console, CONSOLE_STDIO);
	cr_assert_eq(TAKE("-k", "k", "--console=pty"), 0);
	cr_assert_eq(cfg.console, CONSOLE_PTY);
	cr_assert_eq(TAKE("-k", "k", "--console", "none"), 0);
	cr_assert_eq(cfg.console, CONSOLE_NONE);
	cr_assert_eq(TAKE("-k", "k", "--console=unix:/a:b"), 0);
	cr_assert_eq(cfg.console, CONSOLE_UNIX);
	cr_assert_str_eq(cfg.console_path, "/a:b");
	cr_assert_eq(TAKE("-k", "k", "--console=unix:/a", "--console=unix"), 0);
	cr_assert_null(cfg.console_path, "the last one counts as a whole");
	REFUSED("'tty' is none of stdio, unix, unix:PATH, pty, none", "--console=tty");
	REFUSED("'unix:' is none of", "--console=unix:");
}

Test(config, vm_in_the_background_does_not_hold_standard_files)
{
	cr_assert_eq(TAKE("-k", "k", "--background"), 0);
	cr_assert_eq(cfg.console, CONSOLE_UNIX);
	cr_assert_eq(TAKE("-k", "k", "-b", "--console=pty"), 0);
	cr_assert_eq(cfg.console, CONSOLE_PTY);
	REFUSED("--background leaves standard input", "-b", "--console=stdio");
}

Test(config, bad_names_and_levels_are_refused)
{
	REFUSED("VM name", "-n", "a/b");
	REFUSED("VM name", "-n", "");
	REFUSED("'loud'", "--loglevel", "loud");
	cr_assert_eq(TAKE("-k", "k", "--loglevel", "debug"), 0);
}

Test(config, uuid_is_zero_unless_a_well_formed_one_is_given)
{
	cr_assert_eq(TAKE("-k", "kernel"), 0);
	cr_expect_str_eq(cfg.uuid, "00000000-0000-0000-0000-000000000000");
	cr_assert_eq(TAKE("-k", "kernel", "--uuid", "123E4567-e89b-12d3-A456-426614174000"), 0);
	cr_expect_str_eq(cfg.uuid, "123e4567-e89b-12d3-a456-426614174000");
	REFUSED("uuidgen", "--uuid", "123e4567-e89b-12d3-a456-42661417400");
	REFUSED("uuidgen", "--uuid", "123e4567-e89b-12d3-a456-4266141740000");
	REFUSED("uuidgen", "--uuid", "123e4567e-89b-12d3-a456-426614174000");
	REFUSED("uuidgen", "--uuid", "123e4567-e89b-12d3-a456-42661417400g");
	REFUSED("uuidgen", "--uuid", "");
}

/* --- a guest that asks ------------------------------------------------------------------------- */

Test(config, max_alone_does_the_sensible_thing)
{
	cr_assert_eq(TAKE("-k", "k", "-m", "256M", "--max", "2G"), 0);
	cr_expect(cfg.agent);
	cr_expect_eq(cfg.nr_elastic, 1);
	cr_expect_str_eq(cfg.elastic[0].id, "mem0");
	cr_expect_eq(cfg.elastic[0].bytes, 1792 * MiB);
	cr_expect_eq(cfg.elastic[0].requested_bytes, 0);
	cr_expect_eq(cfg.autosize.min_bytes, 256 * MiB);
	cr_expect_eq(cfg.autosize.max_bytes, 2 * GiB);
	cr_expect_eq(cfg.autosize.reserve_bytes, 16 * MiB);
	cr_expect_eq(cfg.autosize.rate_mib, 256);
	cr_expect_eq(cfg.autosize.cache_age_s, 0);
	cr_expect_eq(config_total_bytes(&cfg), 2 * GiB);
	cr_assert_eq(TAKE("-k", "k", "-m", "256M", "--max", "300M"), 0);
	cr_expect_eq(cfg.elastic[0].bytes, 128 * MiB, "whole memory blocks of the guest");
	cr_assert_eq(TAKE("-k", "k", "-m", "256M", "--max", "256M"), 0);
	cr_expect_eq(cfg.nr_elastic, 0);
	cr_assert_eq(TAKE("-k", "k"), 0);
	cr_expect_not(cfg.agent);
	cr_expect_eq(cfg.autosize.max_bytes, 0);
	cr_expect_eq(cfg.autosize.reserve_bytes, 0);
}

Test(config, the_reserve_is_a_sixteenth_within_bounds)
{
	static const struct {
		const char *boot;
		uint64_t reserve;
	} cases[] = { { "64M", 8 * MiB }, { "500M", 30 * MiB }, { "512M", 32 * MiB },
		      { "4G", 64 * MiB } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(TAKE("-k", "k", "-m", cases[i].boot, "--max", "8G"), 0);
		cr_expect_eq(cfg.autosize.reserve_bytes, cases[i].reserve, "%s", cases[i].boot);
	}
	cr_assert_eq(TAKE("-k", "k", "--max", "1G", "--reserve", "off"), 0);
	cr_expect_eq(cfg.autosize.reserve_bytes, 0);
	cr_assert_eq(TAKE("-k", "k", "--max", "1G", "--reserve", "100M"), 0);
	cr_expect_eq(cfg.autosize.reserve_bytes, 100 * MiB);
	cr_assert_eq(TAKE("-k", "k", "--max", "1G", "--balloon=off"), 0);
	cr_expect_eq(cfg.autosize.reserve_bytes, 0);
	REFUSED("leave --balloon=off out", "--max", "1G", "--balloon=off", "--reserve", "8M");
	REFUSED("more than half", "--max", "1G", "-m", "256M", "--reserve", "200M");
	REFUSED("not a multiple of 2 MiB", "--max", "1G", "--reserve", "1M");
	REFUSED("--reserve: only with --max", "--reserve", "8M");
	REFUSED("--reserve: 'some' is not a size", "--max", "1G", "--reserve", "some");
}

Test(config, limits_lie_between_boot_and_all_memory)
{
	cr_assert_eq(TAKE("-k", "k", "-m", "256M", "-e", "1G", "--max", "1G", "--min", "512M"), 0);
	cr_expect_eq(cfg.elastic[0].bytes, GiB, "as it was asked for");
	cr_expect_eq(cfg.elastic[0].requested_bytes, 256 * MiB, "the least is there from the start");
	cr_assert_eq(TAKE("-k", "k", "-m", "256M", "-e", "1G,requested=512M", "--max", "1G", "--min",
			  "512M"), 0);
	cr_expect_eq(cfg.elastic[0].requested_bytes, 512 * MiB);
	REFUSED("above boot and elastic memory together, 1.2 GiB", "-m", "256M", "-e", "1G", "--max",
		"2G");
	REFUSED("--max: 128 MiB is below the boot memory, 256 MiB", "-m", "256M", "--max", "128M");
	REFUSED("--min: 128 MiB is below the boot memory", "-m", "256M", "--max", "1G", "--min",
		"128M");
	REFUSED("--min: 2 GiB is above --max, 1 GiB", "-m", "256M", "--max", "1G", "--min", "2G");
	REFUSED("not a multiple of the block size 8 MiB", "-m", "256M", "-e", "1G,block=8M", "--max",
		"1G", "--min", "300M");
	REFUSED("requested at start", "-m", "256M", "-e", "1G,requested=1G", "--max", "1G");
	REFUSED("--max: 0", "--max", "0");
	REFUSED("not below the limit of 8 TiB", "--max", "16T");
	REFUSED("--min: only with --max", "--min", "1G");
}

Test(config, rate_and_cache_age)
{
	cr_assert_eq(TAKE("-k", "k", "--max", "1G", "--grow-rate", "1.5G", "--cache-age", "60"), 0);
	cr_expect_eq(cfg.autosize.rate_mib, 1536);
	cr_expect_eq(cfg.autosize.cache_age_s, 60);
	cr_assert_eq(TAKE("-k", "k", "--agent=on", "--cache-age=31622400"), 0);
	REFUSED("1M to 1T", "--max", "1G", "--grow-rate", "1K");
	REFUSED("1M to 1T", "--max", "1G", "--grow-rate", "2T");
	REFUSED("from 0 (off) to 31622400", "--max", "1G", "--cache-age", "31622401");
	REFUSED("--cache-age: '-1'", "--max", "1G", "--cache-age=-1");
	REFUSED("--cache-age: '1.5'", "--max", "1G", "--cache-age=1.5");
	REFUSED("--agent=on or --max", "--cache-age=5");
}

Test(config, the_agent_has_its_port)
{
	cr_assert_eq(TAKE("-k", "k", "--agent=on"), 0);
	cr_expect(cfg.agent);
	cr_assert_eq(TAKE("-k", "k", "--agent=off"), 0);
	cr_expect_not(cfg.agent);
	REFUSED("--max: nobody asks without --agent=on", "--max", "1G", "--agent=off");
	REFUSED("leave one of them out", "--agent=on", "--port", "org.ebb.agent");
	REFUSED("leave one of them out", "--max", "1G", "--port", "org.ebb.agent");
	cr_assert_eq(TAKE("-k", "k", "--port", "org.ebb.agent"), 0, "somebody else's then");
	REFUSED("at most 13 ports with one for the agent", "--agent=on", "--port", "a", "--port", "b",
		"--port", "c", "--port", "d", "--port", "e", "--port", "f", "--port", "g", "--port",
		"h", "--port", "i", "--port", "j", "--port", "k", "--port", "l", "--port", "m",
		"--port", "n");
}

Test(config, the_first_devices_fill_up_with_whole_blocks)
{
	uint64_t shares[CONFIG_MAX_ELASTIC];

	cr_assert_eq(TAKE("-k", "k", "-e", "256M", "-e", "1G,block=128M", "-e", "512M"), 0);
	cr_expect_eq(config_elastic_block(&cfg), 128 * MiB);
	config_shares(&cfg, 0, shares);
	cr_expect_eq(shares[0] + shares[1] + shares[2], 0);
	config_shares(&cfg, 254 * MiB, shares);
	cr_expect_eq(shares[0], 254 * MiB);
	cr_expect_eq(shares[1], 0);
	config_shares(&cfg, 384 * MiB, shares);
	cr_expect_eq(shares[0], 256 * MiB);
	cr_expect_eq(shares[1], 128 * MiB);
	config_shares(&cfg, 1792 * MiB, shares);
	cr_expect_eq(shares[0], 256 * MiB);
	cr_expect_eq(shares[1], GiB);
	cr_expect_eq(shares[2], 512 * MiB);
}
