/* SPDX-License-Identifier: Apache-2.0 */
/* psi.c - how long the guest's tasks waited for memory. */
#include "guests/agent/psi.h"

#include "guests/agent/file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* 10 ms of a window. Before Linux 6.4 the shortest one is 500 ms. */
static const struct {
	const char *request;
	const char *window;
} triggers[] = {
	{ "some 10000 100000", "100 ms" },
	{ "some 10000 500000", "500 ms" },
	{ "some 10000 1000000", "1 s" },
	{ "some 40000 2000000", "2 s" }, /* what an unprivileged process gets */
};

static const char path[] = "/proc/pressure/memory";

/* The kernel wants the NUL, too, or takes the last digit for the end. */
static bool set_trigger(struct psi *p, const char *root, unsigned int i)
{
	size_t bytes = strlen(triggers[i].request) + 1;
	int fd = file_open(root, path, O_RDWR | O_NONBLOCK);

	if (fd < 0)
		return false;
	if (write(fd, triggers[i].request, bytes) != (ssize_t)bytes) {
		close(fd);
		return false;
	}
	p->trigger = fd;
	p->window = triggers[i].window;
	return true;
}

bool psi_open(struct psi *p, const char *root)
{
	*p = (struct psi){ .trigger = -1 };
	p->file = file_open(root, path, O_RDONLY);
	if (p->file < 0)
		return false;
	psi_read(p);
	/* psi=0: the file is there, and its reading fails. */
	for (unsigned int i = 0; i < ARRAY_SIZE(triggers) && p->trigger < 0; i++)
		set_trigger(p, root, i);
	return p->trigger >= 0;
}

void psi_read(struct psi *p)
{
	char text[256];
	char *some, *full;

	if (p->file < 0 || file_read(p->file, text, sizeof text) < 0)
		return;
	some = strstr(text, "total=");
	full = some ? strstr(some + 1, "total=") : NULL;
	if (some)
		parse_number(some + strlen("total="), &p->some_us);
	if (full)
		parse_number(full + strlen("total="), &p->full_us);
}

void psi_lost(struct psi *p)
{
	close(p->trigger);
	p->trigger = -1;
}
