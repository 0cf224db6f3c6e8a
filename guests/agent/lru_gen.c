/* SPDX-License-Identifier: Apache-2.0 */
/* lru_gen.c - the multi-gen LRU by its file in debugfs. */
#include "guests/agent/lru_gen.h"

#include "guests/agent/file.h"
#include "guests/agent/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define FILE_PATH    "/sys/kernel/debug/lru_gen"
#define ENABLED_PATH "/sys/kernel/mm/lru_gen/enabled"

static struct line_reader reader;

static bool switch_on(const char *root)
{
	char state[32];
	int fd = file_open(root, ENABLED_PATH, O_RDWR);
	bool on;

	if (fd < 0)
		return false;
	on = file_read(fd, state, sizeof state) > 0 && strncmp(state, "0x0000", 6) != 0;
	if (!on && pwrite(fd, "y\n", 2, 0) == 2) {
		agent_note("the multi-gen LRU is switched on", NULL);
		on = true;
	}
	close(fd);
	return on;
}

static bool open_files(struct lru_gen *l, const char *root)
{
	l->read = file_open(root, FILE_PATH, O_RDONLY);
	l->write = file_open(root, FILE_PATH, O_WRONLY | O_APPEND);
	if (l->read >= 0 && l->write >= 0)
		return true;
	if (l->read >= 0)
		close(l->read);
	if (l->write >= 0)
		close(l->write);
	l->read = l->write = -1;
	return false;
}

/* In a mount namespace of our own, which still sees what others mount later. */
static bool mount_debugfs(void)
{
	return !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) &&
	       !mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		      NULL);
}

bool lru_gen_open(struct lru_gen *l, const char *root)
{
	l->read = l->write = -1;
	if (!switch_on(root))
		return false;
	return open_files(l, root) || (!*root && mount_debugfs() && open_files(l, root));
}

static bool parse_gen(struct lru_list *list, const char *line)
{
	uint64_t seq, age, anon, file;
	const char *at = parse_number(line, &seq);

	at = at ? parse_number(at, &age) : NULL;
	at = at ? parse_number(at, &anon) : NULL;
	if (!at || !parse_number(at, &file) || list->nr == LRU_GENS)
		return false;
	list->gen[list->nr].seq = seq;
	list->gen[list->nr].age_ms = age;
	list->gen[list->nr].anon_pages = anon;
	list->gen[list->nr].file_pages = file;
	list->nr++;
	return true;
}

int lru_gen_each(const struct lru_gen *l, void (*fn)(void *ctx, const struct lru_list *list),
		 void *ctx)
{
	struct lru_list list = { 0 };
	const char *line;

	if (l->read < 0)
		return -ENOENT;
	lines_begin(&reader, l->read);
	while ((line = lines_next(&reader))) {
		uint64_t value;
		bool is_cgroup = !strncmp(line, "memcg ", 6);

		if (!is_cgroup && strncmp(line, " node ", 6) != 0) {
			parse_gen(&list, line);
			continue;
		}
		if (!parse_number(line + 6, &value))
			continue;
		if (list.nr)
			fn(ctx, &list);
		list.nr = 0;
		if (is_cgroup)
			list.cgroup = value;
		else
			list.node = value;
	}
	if (list.nr)
		fn(ctx, &list);
	return 0;
}

static void command(struct text *t, const char *what, const struct lru_list *list, uint64_t seq)
{
	t->used = 0;
	t->full = false;
	text_put(t, what);
	text_put_number(t, list->cgroup);
	text_put(t, " ");
	text_put_number(t, list->node);
	text_put(t, " ");
	text_put_number(t, seq);
}

static struct text words;

int lru_gen_age(const struct lru_gen *l, const struct lru_list *list)
{
	/* Anonymous pages get their ages, too, and it is done although there are four generations:
	 * where there is no swap those of anonymous memory never become fewer. */
	command(&words, "+ ", list, list->gen[list->nr - 1].seq);
	text_put(&words, " 1 1\n");
	return file_write(l->write, text_of(&words));
}

int lru_gen_evict(const struct lru_gen *l, const struct lru_list *list, uint64_t seq,
		  uint64_t pages)
{
	/* Swappiness 0 is page cache alone. */
	command(&words, "- ", list, seq);
	text_put(&words, " 0 ");
	text_put_number(&words, pages);
	text_put(&words, "\n");
	return file_write(l->write, text_of(&words));
}

uint64_t lru_list_cold(const struct lru_list *list)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i + LRU_GENS_YOUNG < list->nr; i++)
		pages += list->gen[i].file_pages;
	return pages;
}
