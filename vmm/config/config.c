/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - what `ebb run` was asked for, checked. */
#include "vmm/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio_rng.h"
#include "vmm/base/inherited_fds.h"
#include "vmm/base/log.h"
#include "vmm/base/names.h"
#include "vmm/base/size.h"
#include "vmm/config/config_autosize.h"

#define BLOCK_BYTES_MIN (2 * MiB)
#define BLOCKS_MAX (UINT32_C(1) << 24) /* one byte of state each */
/* One KVM memory slot holds less than 2^31 pages. */
#define SLOT_BYTES_END (8 * KiB * GiB)
#define NO_UUID "00000000-0000-0000-0000-000000000000"
_Static_assert(sizeof(NO_UUID) == CONFIG_UUID_CHARS + 1, "8-4-4-4-12 hex digits");

void config_init(struct config *cfg)
{
	*cfg = (struct config){ .boot_bytes = 512 * MiB, .nr_cpus = 1, .cmdline = "",
				.uuid = NO_UUID, .hvc = CONSOLE_NONE,
				.rng_rate = RNG_RATE_DEFAULT,
				.autosize.rate_mib = CONFIG_GROW_RATE_MIB };
}

static int set_elastic_key(struct config_elastic *e, const char *key, const char *value)
{
	if (!strcmp(key, "block"))
		return options_size("--elastic block", value, &e->block_bytes);
	if (!strcmp(key, "requested"))
		return options_size("--elastic requested", value, &e->requested_bytes);
	if (strcmp(key, "id") != 0)
		return fail_usage("--elastic: unknown key '%s'; there are block, requested, id", key);
	if (!*value || strlen(value) >= sizeof(e->id) ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
		    strlen(value))
		return fail_usage("--elastic: id '%s': letters, digits, - and _, at most %zu",
				  value, sizeof(e->id) - 1);
	snprintf(e->id, sizeof(e->id), "%s", value);
	return 0;
}

/* SIZE[,block=SIZE][,requested=SIZE][,id=ID] */
static int set_elastic(void *target, const char *value)
{
	struct config *cfg = target;
	struct config_elastic *e = &cfg->elastic[cfg->nr_elastic];
	auto_free char *text = strdup(value);
	char *save = NULL, *word;
	int r;

	if (!text)
		return fail(-ENOMEM, "--elastic");
	if (cfg->nr_elastic == CONFIG_MAX_ELASTIC)
		return fail_usage("--elastic: at most %d devices", CONFIG_MAX_ELASTIC);
	*e = (struct config_elastic){ .block_bytes = BLOCK_BYTES_MIN };
	snprintf(e->id, sizeof(e->id), "mem%u", cfg->nr_elastic);
	word = strtok_r(text, ",", &save);
	r = options_size("--elastic", word ? word : "", &e->bytes);
	while (!r && (word = strtok_r(NULL, ",", &save))) {
		char *equals = strchr(word, '=');

		if (!equals)
			return fail_usage("--elastic: '%s' is not KEY=VALUE", word);
		*equals = 0;
		r = set_elastic_key(e, word, equals + 1);
	}
	if (!r)
		cfg->nr_elastic++;
	return r;
}

static int set_disk_key(struct config_disk *d, const char *word)
{
	if (!strcmp(word, "readonly")) {
		d->read_only = true;
		return 0;
	}
	if (strncmp(word, "serial=", 7) != 0)
		return fail_usage("--disk: unknown word '%s'; there are readonly, serial=TEXT (a "
				  "path can't have a comma)", word);
	if (strlen(word + 7) > BLK_SERIAL_BYTES)
		return fail_usage("--disk: serial '%s' has more than %d bytes", word + 7,
				  BLK_SERIAL_BYTES);
	snprintf(d->serial, sizeof(d->serial), "%s", word + 7);
	return 0;
}

/* PATH[,readonly][,serial=TEXT] */
static int set_disk(void *target, const char *value)
{
	struct config *cfg = target;
	struct config_disk *d = &cfg->disks[cfg->nr_disks];
	auto_free char *text = strdup(value);
	char *save = NULL, *word;
	int r = 0;

	if (!text)
		return fail(-ENOMEM, "--disk");
	if (cfg->nr_disks == CONFIG_MAX_DISKS)
		return fail_usage("--disk: at most %d disks", CONFIG_MAX_DISKS);
	*d = (struct config_disk){ .read_only = false };
	word = *text == ',' ? NULL : strtok_r(text, ",", &save);
	if (!word || strlen(word) >= sizeof(d->path))
		return fail_usage("--disk: '%s' does not begin with the path of a file", value);
	snprintf(d->path, sizeof(d->path), "%s", word);
	while (!r && (word = strtok_r(NULL, ",", &save)))
		r = set_disk_key(d, word);
	if (!r)
		cfg->nr_disks++;
	return r;
}

static int set_name(void *target, const char *value)
{
	struct config *cfg = target;

	if (vm_name_check("VM name", value))
		return -EINVAL;
	snprintf(cfg->name, sizeof(cfg->name), "%s", value);
	return 0;
}

/* stdio, pty, none, unix[:PATH] */
static int set_place(const char *option, const char *value, enum console_kind *kind,
		     const char **path)
{
	*path = NULL;
	if (!strncmp(value, "unix:", 5) && value[5]) {
		*kind = CONSOLE_UNIX;
		*path = value + 5;
	} else if (console_kind_parse(value, kind)) {
		return fail_usage("--%s: '%s' is none of stdio, unix, unix:PATH, pty, none",
				  option, value);
	}
	return 0;
}

static int set_console(void *target, const char *value)
{
	struct config *cfg = target;

	cfg->console_is_set = true;
	return set_place("console", value, &cfg->console, &cfg->console_path);
}

static int set_hvc(void *target, const char *value)
{
	struct config *cfg = target;

	return set_place("hvc", value, &cfg->hvc, &cfg->hvc_path);
}

static int set_port_path(struct config_port *p, const char *path)
{
	if (*path && snprintf(p->path, sizeof(p->path), "%s", path) < (int)sizeof(p->path))
		return 0;
	return fail_usage("--port %s: path '%s': a socket's path has 1 to %zu bytes", p->name, path,
			  sizeof(p->path) - 1);
}

/* NAME[,path=PATH] */
static int set_port(void *target, const char *value)
{
	struct config *cfg = target;
	struct config_port *p = &cfg->ports[cfg->nr_ports];
	auto_free char *text = strdup(value);
	char *save = text, *word;
	int r;

	if (!text)
		return fail(-ENOMEM, "--port");
	if (cfg->nr_ports == CONFIG_MAX_PORTS)
		return fail_usage("--port: at most %d ports", CONFIG_MAX_PORTS);
	*p = (struct config_port){ 0 };
	word = strsep(&save, ",");
	r = vm_name_check("--port: name", word);
	if (r)
		return r;
	snprintf(p->name, sizeof(p->name), "%s", word);
	while (!r && (word = strsep(&save, ","))) {
		if (strncmp(word, "path=", 5))
			return fail_usage("--port %s: '%s' is not path=PATH", p->name, word);
		r = set_port_path(p, word + 5);
	}
	if (!r)
		cfg->nr_ports++;
	return r;
}

static int set_agent(void *target, const char *value)
{
	struct config *cfg = target;
	int word = options_word("--agent", "on|off", value);

	if (word < 0)
		return word;
	cfg->agent = !word;
	cfg->autosize.agent_is_set = true;
	return 0;
}

/* on, off, or bytes a second */
static int set_rng(void *target, const char *value)
{
	uint64_t rate = strcmp(value, "on") ? 0 : RNG_RATE_DEFAULT;

	if (!rate && strcmp(value, "off") != 0 &&
	    (size_parse(value, &rate) || rate < RNG_RATE_MIN || rate > RNG_RATE_MAX))
		return fail_usage("--rng: '%s' is neither on, off nor a rate of 64 to 64M bytes a "
				  "second", value);
	((struct config *)target)->rng_rate = (uint32_t)rate;
	return 0;
}

static const char *const violations[] = { "contain", "pause", "kill" };

int config_violation_parse(const char *name, enum config_violation *violation)
{
	int i = name_index(violations, ARRAY_SIZE(violations), name);

	if (i < 0)
		return i;
	*violation = (enum config_violation)i;
	return 0;
}

const char *config_violation_name(enum config_violation violation)
{
	return violations[violation];
}

static int set_huge(void *target, const char *value)
{
	if (huge_mode_parse(value, &((struct config *)target)->huge))
		return fail_usage("--huge: '%s' is none of always, auto, never", value);
	return 0;
}

static int set_uuid(void *target, const char *value)
{
	char *uuid = ((struct config *)target)->uuid;
	bool good = strlen(value) == CONFIG_UUID_CHARS;

	for (size_t i = 0; i < CONFIG_UUID_CHARS && good; i++)
		good = NO_UUID[i] == '-' ? value[i] == '-' : isxdigit((unsigned char)value[i]);
	if (!good)
		return fail_usage("--uuid: '%s' is no UUID, such as "
				  "123e4567-e89b-12d3-a456-426614174000 (uuidgen makes one)", value);
	for (size_t i = 0; i < CONFIG_UUID_CHARS; i++)
		uuid[i] = (char)tolower((unsigned char)value[i]);
	return 0;
}

static int set_log_format(void *target, const char *value)
{
	enum log_format format;

	(void)target;
	if (log_format_parse(value, &format))
		return fail_usage("--log-format: '%s' is neither text nor json", value);
	log_set_format(format);
	return 0;
}

/* Its content was taken before the other options were set (config_file.c). */
static int set_config(void *target, const char *value)
{
	(void)target;
	(void)value;
	return 0;
}

static int set_loglevel(void *target, const char *value)
{
	enum log_level level;

	(void)target;
	if (log_level_parse(value, &level))
		return fail_usage("--loglevel: '%s' is none of error, warning, info, debug", value);
	log_set_level(level);
	return 0;
}

const struct option_row config_options[] = {
	{ "kernel", 'k', "FILE",
	  "Linux bzImage, or an ELF file with a PVH note: vmlinux, bare-metal guest",
	  OPTION_STRING(struct config, kernel) },
	{ "initrd", 'i', "FILE", "initial RAM disk", OPTION_STRING(struct config, initrd) },
	{ "params", 'p', "TEXT", "kernel command line", OPTION_STRING(struct config, cmdline) },
	{ "memory", 'm', "SIZE", "boot memory, fixed (default 512M)",
	  OPTION_SIZE(struct config, boot_bytes) },
	{ "elastic", 'e', "SIZE[,KEY=VALUE]...",
	  "memory that comes and goes (virtio-mem), up to SIZE; may be repeated\n"
	  "block=SIZE      unit, a power of two, at least 2M (default 2M)\n"
	  "requested=SIZE  what the guest is asked to plug at start (default 0)\n"
	  "id=ID           name of the device (default mem0, mem1, ...)",
	  .set = set_elastic },
	{ "max", 0, "SIZE",
	  "the guest's agent asks for memory and gets it, up to SIZE in all, boot memory\n"
	  "included; without --elastic there is as much of that", .set = config_set_max },
	{ "min", 0, "SIZE", "what it always has (default: its boot memory)",
	  OPTION_SIZE(struct config, autosize.min_bytes) },
	{ "reserve", 0, "SIZE|off",
	  "a part of boot memory that is kept back, in the balloon, and let go of first\n"
	  "(default a sixteenth, 8M to 64M)", .set = config_set_reserve },
	{ "grow-rate", 0, "SIZE", "the most that it gets in a second, on the average (default 256M)",
	  .set = config_set_grow_rate },
	{ "cache-age", 0, "S",
	  "page cache that the guest has not used for so many seconds goes back to the\n"
	  "host (default 0: it stays)", .set = config_set_cache_age },
	{ "agent", 0, "on|off",
	  "a port org.ebb.agent, by which a guest asks and says how it is (default on\n"
	  "with --max)", .set = set_agent },
	{ "disk", 'd', "PATH[,KEY=VALUE]...",
	  "a raw image or a block device (virtio-blk), vda and so on; may be repeated\n"
	  "readonly        may be shared with other VMs that only read\n"
	  "serial=TEXT     what the guest sees as its serial number",
	  .set = set_disk },
	{ "cpus", 'c', "N", "virtual CPUs, 1 to 64 (default 1)",
	  OPTION_NUMBER(struct config, nr_cpus, 1, CONFIG_MAX_CPUS) },
	{ "guard", 0, "on|off",
	  "keep the guest out of elastic memory that it gave back (default on)",
	  OPTION_SECOND_WORD(struct config, guard_off) },
	{ "violation", 0, CONFIG_VIOLATIONS,
	  "when the guest uses such memory all the same (default contain; kill: exit\n"
	  "code 37)", OPTION_WORD(struct config, violation) },
	{ "huge", 0, "always|auto|never",
	  "back the guest's memory with huge pages: always (all of it, at once), auto\n"
	  "(default; once the guest uses nearly all of a 2 MiB page) or never",
	  .set = set_huge },
	{ "balloon", 0, "on|off", "a virtio-balloon device (default on)",
	  OPTION_SECOND_WORD(struct config, no_balloon) },
	{ "deflate-on-oom", 0, "on|off",
	  "the guest may take ballooned memory back before it runs out (default on)",
	  OPTION_SECOND_WORD(struct config, no_deflate_on_oom) },
	{ "free-page-reporting", 0, "on|off",
	  "the guest gives memory that it has freed back by itself (default on)",
	  OPTION_SECOND_WORD(struct config, no_reporting) },
	{ "free-page-hinting", 0, "on|off", "what ebb reclaim needs (default on)",
	  OPTION_SECOND_WORD(struct config, no_hinting) },
	{ "working-set", 0, "on|off",
	  "the working set queues proposed for Linux in 2024 (default off)",
	  OPTION_FIRST_WORD(struct config, working_set) },
	{ "rng", 0, "on|off|SIZE",
	  "a virtio-rng device, random numbers of the host's; SIZE: at most so many\n"
	  "bytes a second (default on: 1M)", .set = set_rng },
	{ "name", 'n', "NAME", "name of the VM for the other verbs (default vm-PID)",
	  .set = set_name },
	{ "uuid", 0, "UUID", "identity of the VM for its managers (default all zeros)",
	  .set = set_uuid },
	{ "qmp", 0, "PATH|fd:N",
	  "control socket (default by name, in the runtime folder); fd:N is an open\n"
	  "descriptor, a listening or a connected socket",
	  OPTION_STRING(struct config, qmp_path) },
	{ "console", 0, "stdio|unix|unix:PATH|pty|none",
	  "where the serial port is: standard input and output (default), a socket (by\n"
	  "default beside the control socket) or a pseudo terminal; see ebb console",
	  .set = set_console },
	{ "hvc", 0, "stdio|unix|unix:PATH|pty|none",
	  "a console on virtio, hvc0 in Linux, and where it is, as for --console (default\n"
	  "none); what a reader is more than 64 KiB behind with is lost", .set = set_hvc },
	{ "port", 0, "NAME[,KEY=VALUE]...",
	  "a channel to the guest (virtio-serial), /dev/virtio-ports/NAME in Linux, a unix\n"
	  "socket here; may be repeated\n"
	  "path=PATH       the socket (default beside the control socket, VM.NAME.port)",
	  .set = set_port },
	{ "background", 'b', NULL,
	  "return when the VM runs, with its name and pid, or when it can't start; its\n"
	  "console is then a socket. Messages go to --log-file, or on to stderr if that\n"
	  "is a file",
	  OPTION_TRUE(struct config, background) },
	{ "paused", 0, NULL, "do not start the vCPUs until `cont`",
	  OPTION_TRUE(struct config, paused) },
	{ "no-reboot", 0, NULL, "end with exit code 32 when the guest reboots",
	  OPTION_TRUE(struct config, no_reboot) },
	{ "panic", 0, "shutdown|pause",
	  "when the guest crashes, or panics and says so (pvpanic): end, with exit code 33\n"
	  "or 34 (default), or keep it for a look",
	  OPTION_SECOND_WORD(struct config, panic_pauses) },
	{ "timeout", 0, "S",
	  "seconds after which the VM ends with exit code 124, whatever it does; paused\n"
	  "ones count", OPTION_SECONDS(struct config, timeout_ns) },
	{ "debug-exit", 0, NULL, "a write to port 0xf4 ends the VM with that exit code",
	  OPTION_TRUE(struct config, debug_exit) },
	{ "loglevel", 0, "error|warning|info|debug", "what is logged (default warning)",
	  .set = set_loglevel },
	{ "log-file", 0, "PATH", "log there, with the time; SIGHUP opens it anew",
	  OPTION_STRING(struct config, log_file) },
	{ "log-format", 0, "text|json", "lines of text (default), or a JSON object each",
	  .set = set_log_format },
	{ "pid-file", 0, "PATH", "write the process's number there; removed at the end",
	  OPTION_STRING(struct config, pid_file) },
	{ "kvm", 0, "PATH|fd:N", "KVM's device (default /dev/kvm), or an open descriptor of it",
	  OPTION_STRING(struct config, kvm_path) },
	{ "userfaultfd", 0, "PATH|fd:N",
	  "the same for the guard's device (default /dev/userfaultfd, then the system call)",
	  OPTION_STRING(struct config, uffd_path) },
	{ "config", 0, "FILE...",
	  "take options from a JSON object; of several files the last, and before all of\n"
	  "them the command line, counts",
	  .set = set_config },
	{ "print-config", 0, NULL, "print the options as such a file and start nothing",
	  OPTION_TRUE(struct config, print) },
	{ 0 }
};

static int check_elastic(const struct config *cfg, const struct config_elastic *e)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

	if (!is_power_of_two(e->block_bytes) || e->block_bytes < BLOCK_BYTES_MIN)
		return fail_usage("--elastic %s: block size %s is not a power of two of at least "
				  "2 MiB", e->id, size_format(e->block_bytes, a));
	if (!e->bytes)
		return fail_usage("--elastic %s: size 0; leave the option out", e->id);
	if (e->bytes >= SLOT_BYTES_END)
		return fail_usage("--elastic %s: %s is not below the limit of %s; take several",
				  e->id, size_format(e->bytes, a), size_format(SLOT_BYTES_END, b));
	if (!is_aligned(e->bytes, e->block_bytes))
		return fail_usage("--elastic %s: %llu bytes is not a multiple of the block size %s",
				  e->id, (unsigned long long)e->bytes,
				  size_format(e->block_bytes, b));
	if (e->bytes / e->block_bytes > BLOCKS_MAX)
		return fail_usage("--elastic %s: more than %u blocks; take a larger block size",
				  e->id, BLOCKS_MAX);
	if (!is_aligned(e->requested_bytes, e->block_bytes))
		return fail_usage("--elastic %s: requested %llu bytes is not a multiple of the "
				  "block size %s", e->id, (unsigned long long)e->requested_bytes,
				  size_format(e->block_bytes, b));
	if (e->requested_bytes > e->bytes)
		return fail_usage("--elastic %s: requested %s is above the size %s", e->id,
				  size_format(e->requested_bytes, a), size_format(e->bytes, b));
	if (!strcmp(e->id, BALLOON_ID))
		return fail_usage("--elastic: %s is the name of the balloon", e->id);
	for (const struct config_elastic *o = cfg->elastic; o < e; o++)
		if (!strcmp(o->id, e->id))
			return fail_usage("--elastic: two devices of the name %s", e->id);
	return 0;
}

static int check_ports(const struct config *cfg)
{
	for (unsigned int i = 0; i < cfg->nr_ports; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (!strcmp(cfg->ports[i].name, cfg->ports[j].name))
				return fail_usage("--port: two ports of the name %s",
						  cfg->ports[i].name);
			if (cfg->ports[i].path[0] &&
			    !strcmp(cfg->ports[i].path, cfg->ports[j].path))
				return fail_usage("--port: %s and %s have the same path %s",
						  cfg->ports[j].name, cfg->ports[i].name,
						  cfg->ports[i].path);
		}
	}
	return 0;
}

static int check_consoles(struct config *cfg)
{
	if ((cfg->background || cfg->hvc == CONSOLE_STDIO) && !cfg->console_is_set)
		cfg->console = CONSOLE_UNIX;
	if (cfg->background && (cfg->console == CONSOLE_STDIO || cfg->hvc == CONSOLE_STDIO))
		return fail_usage("--background leaves standard input and output; take "
				  "--%s=unix, pty or none",
				  cfg->console == CONSOLE_STDIO ? "console" : "hvc");
	if (cfg->console == CONSOLE_STDIO && cfg->hvc == CONSOLE_STDIO)
		return fail_usage("--hvc and --console can't both have standard input and output; "
				  "leave --console out, or take --console=unix, pty or none");
	return 0;
}

int config_check(struct config *cfg)
{
	char a[SIZE_TEXT_BYTES];
	int r;

	if (!cfg->kernel)
		return fail_usage("no kernel: name one with -k FILE (see ebb run --help)");
	if (!cfg->boot_bytes)
		return fail_usage("--memory: boot memory can't be 0; a kernel needs some, for "
				  "example -m 256M");
	if (!is_aligned(cfg->boot_bytes, 2 * MiB))
		return fail_usage("--memory: %llu bytes is not a multiple of 2 MiB",
				  (unsigned long long)cfg->boot_bytes);
	if (cfg->boot_bytes >= SLOT_BYTES_END)
		return fail_usage("--memory: %s is not below the limit of 8 TiB",
				  size_format(cfg->boot_bytes, a));
	config_add_elastic(cfg);
	for (unsigned int i = 0; i < cfg->nr_elastic; i++) {
		r = check_elastic(cfg, &cfg->elastic[i]);
		if (r)
			return r;
	}
	r = config_check_autosize(cfg);
	if (!r)
		r = check_ports(cfg);
	if (!r)
		r = check_consoles(cfg);
	if (r)
		return r;
	if (!cfg->name[0])
		snprintf(cfg->name, sizeof(cfg->name), "vm-%d", (int)getpid());
	return 0;
}

int config_control_path(const struct config *cfg, char path[VM_PATH_SIZE])
{
	if (!cfg->qmp_path || inherited_fds_is_fd(cfg->qmp_path))
		return vm_path(path, cfg->name);
	if (snprintf(path, VM_PATH_SIZE, "%s", cfg->qmp_path) < VM_PATH_SIZE)
		return 0;
	log_error("socket '%s': a path has 1 to %d bytes", cfg->qmp_path, VM_PATH_SIZE - 1);
	return -ENAMETOOLONG;
}

int config_beside_path(const struct config *cfg, char path[VM_PATH_SIZE], const char *ending)
{
	char control[VM_PATH_SIZE];
	int r = config_control_path(cfg, control);

	return r ? r : vm_beside_path(path, control, ending);
}
