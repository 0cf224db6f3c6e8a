/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_git.c - loaded in the place of libgit2. Criterion starts a process for each test, and each would
 * load libgit2 with the 17 libraries behind it (TLS, SSH, Kerberos), two thirds of what a short test
 * costs: for coloured differences of an assertion, cr_assert(eq(...)), that no test here uses.
 */
int git_libgit2_init(void);
int git_libgit2_shutdown(void);
int git_diff_buffers(void);

int git_libgit2_init(void) { return 1; }
int git_libgit2_shutdown(void) { return 0; }
/* No difference is shown. */
int git_diff_buffers(void) { return -1; }
