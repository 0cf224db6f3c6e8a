/* SPDX-License-Identifier: Apache-2.0 */
/* stderr_text.c - standard error in a memory file for a while. */
#include "tests/unit/stderr_text.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int original = -1, kept = -1;

void stderr_keep(void)
{
	cr_assert_eq(original, -1);
	kept = memfd_create("stderr", MFD_CLOEXEC);
	/* Several threads write: without it the kernel does not keep their offsets apart. */
	cr_assert_eq(fcntl(kept, F_SETFL, O_APPEND), 0);
	original = dup(STDERR_FILENO);
	cr_assert(kept >= 0 && original >= 0);
	dup2(kept, STDERR_FILENO);
}

const char *stderr_text(void)
{
	static char text[16384];
	ssize_t n = pread(kept, text, sizeof(text) - 1, 0);

	dup2(original, STDERR_FILENO);
	close(original);
	close(kept);
	original = kept = -1;
	cr_assert_geq(n, 0);
	text[n] = 0;
	return text;
}
