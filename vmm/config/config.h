/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - what `ebb run` was asked for, checked. */
#ifndef EBB_CONFIG_CONFIG_H
#define EBB_CONFIG_CONFIG_H

#include <limits.h>

#include "devices/virtio_blk.h"
#include "devices/virtio_console.h"
#include "vmm/base/types.h"
#include "vmm/chardev/backend.h"
#include "vmm/config/options.h"
#include "vmm/memory/huge.h"
#include "vmm/rundir/vm_path.h"

#define BALLOON_ID "balloon0" /* of the one balloon; elastic devices have other names */
#define CONFIG_MAX_ELASTIC 8
#define CONFIG_MAX_CPUS 64
#define CONFIG_MAX_DISKS 8
#define CONFIG_MAX_PORTS (VCON_MAX_PORTS - 1)
#define CONFIG_UUID_CHARS 36

/* One virtio-mem device. */
struct config_elastic {
	char id[32];
	uint64_t bytes; /* the most it can hold */
	uint64_t block_bytes;
	uint64_t requested_bytes; /* at start */
};

/* One disk: disk0, disk1, ... here, vda, vdb, ... for Linux. */
struct config_disk {
	char path[PATH_MAX];
	bool read_only;
	char serial[BLK_SERIAL_BYTES + 1];
};

/* A port of the virtio console. */
struct config_port {
	char name[VM_NAME_MAX + 1];
	char path[VM_PATH_SIZE]; /* of its socket; "": beside the control socket */
};

/* What a guest may ask for, and how fast it gets it. */
struct config_autosize {
	uint64_t min_bytes, max_bytes; /* of boot and elastic memory; max 0: the size is not automatic */
	uint64_t reserve_bytes;	       /* a balloon in boot memory that is let go of first; 0: none */
	uint32_t rate_mib;	       /* a second */
	uint32_t cache_age_s;	       /* 0: page cache stays */
	bool reserve_is_set, agent_is_set; /* by options */
};

/* What follows when a guest uses memory that it gave back. */
enum config_violation { VIOLATION_CONTAIN, VIOLATION_PAUSE, VIOLATION_KILL };
#define CONFIG_VIOLATIONS "contain|pause|kill" /* their words, in that order */
/* 0 or -EINVAL for an unknown name (not logged). */
int must_check config_violation_parse(const char *name, enum config_violation *violation);
const char *config_violation_name(enum config_violation violation);

struct config {
	char name[VM_NAME_MAX + 1];
	char uuid[CONFIG_UUID_CHARS + 1]; /* lower case; zeros when none was given */
	const char *kernel, *initrd, *cmdline;
	const char *qmp_path; /* NULL: by the VM's name; "fd:N": inherited */
	const char *kvm_path, *uffd_path; /* NULL: the device's own; "fd:N": inherited */
	const char *pid_file, *log_file;
	enum console_kind console;
	bool console_is_set; /* by an option */
	const char *console_path; /* of the unix socket; NULL: beside the control socket */
	enum console_kind hvc;	  /* CONSOLE_NONE: there is no such device */
	const char *hvc_path;
	unsigned int nr_ports;
	struct config_port ports[CONFIG_MAX_PORTS];
	uint64_t boot_bytes;
	unsigned int nr_cpus;
	unsigned int nr_elastic;
	struct config_elastic elastic[CONFIG_MAX_ELASTIC];
	bool agent; /* there is a port for the guest's */
	struct config_autosize autosize;
	unsigned int nr_disks;
	struct config_disk disks[CONFIG_MAX_DISKS];
	bool no_reboot, panic_pauses, debug_exit, paused;
	uint64_t timeout_ns; /* 0: none */
	bool print;	 /* the configuration, and start nothing */
	bool background; /* standard files are not the console's */
	bool guard_off;
	bool no_balloon, no_deflate_on_oom, no_reporting, no_hinting, working_set;
	uint32_t rng_rate; /* bytes a second; 0: no such device */
	enum config_violation violation;
	enum huge_mode huge;
};

extern const struct option_row config_options[]; /* their target is a struct config */

void config_init(struct config *cfg);
/* Checks the whole and fills in what was left open. 0 or -EINVAL, logged with the way out. */
int must_check config_check(struct config *cfg);
/* Where the control socket is, or would be if it were not inherited. 0 or -errno, logged. */
int must_check config_control_path(const struct config *cfg, char path[VM_PATH_SIZE]);
/* The same of a socket beside it (vm_beside_path()). */
int must_check config_beside_path(const struct config *cfg, char path[VM_PATH_SIZE],
				  const char *ending);

#endif
