/* SPDX-License-Identifier: Apache-2.0 */
/* asleep.c - a thread's state, as the kernel tells it. */
#include "tests/unit/asleep.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

/* 'R' runs or could, 'S' sleeps. */
static char state_of(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	fclose(f);
	return state;
}

void wait_until_asleep(const pid_t *tid)
{
	pid_t t;

	while (!(t = __atomic_load_n(tid, __ATOMIC_ACQUIRE)) || state_of(t) != 'S')
		usleep(1000);
}
