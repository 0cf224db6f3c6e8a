/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin of QEMU that counts the instructions that L1 executes, its guests' included: what a test
 * costs by this count is the same on every machine, however fast and however loaded. The sum stands
 * in a file of eight bytes that whoever started QEMU has mapped, at most TELL_MS old.
 *
 * Argument: count=PATH. Declared here is what is used of QEMU's plugin interface, version 4 (QEMU
 * 9.1, docs/devel/tcg-plugins); Debian packages no header of it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TELL_MS 2
#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_scoreboard;
struct qemu_info;
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*tb_trans_fn)(uint64_t id, struct qemu_plugin_tb *tb);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, tb_trans_fn fn);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb,
						       enum qemu_plugin_op op, qemu_plugin_u64 entry,
						       uint64_t imm);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry);

EXPORT int qemu_plugin_version = 4;
EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv);

static qemu_plugin_u64 executed; /* by each vCPU: no atomic operation is needed */
static volatile uint64_t *told;

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, executed,
							  qemu_plugin_tb_n_insns(tb));
}

static void *tell(void *unused)
{
	(void)unused;
	for (;;) {
		*told = qemu_plugin_u64_sum(executed);
		nanosleep(&(struct timespec){ .tv_nsec = TELL_MS * 1000000L }, NULL);
	}
	return NULL;
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
	pthread_t thread;
	int fd;

	(void)info;
	if (argc != 1 || strncmp(argv[0], "count=", 6))
		return -1;
	fd = open(argv[0] + 6, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (told == MAP_FAILED)
		return -1;
	executed.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return pthread_create(&thread, NULL, tell, NULL) ? -1 : 0;
}
