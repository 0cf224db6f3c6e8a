/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inherited_fds.h - descriptors that the starter of this process has left open for it: by number,
 * "fd:N"
 * in place of a path, or by systemd's protocol (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS,
 * LISTEN_FDNAMES).
 */
#ifndef EBB_BASE_INHERITED_FDS_H
#define EBB_BASE_INHERITED_FDS_H

#include "vmm/base/types.h"

/* "fd:N"? Anything else is a path. */
bool inherited_fds_is_fd(const char *where);
/*
 * The descriptor of "fd:N", close-on-exec from now on, the caller's. WHAT is for the message.
 * -EINVAL (no such number, or a standard file), -EBADF (not open); logged.
 */
int must_check inherited_fds_fd(const char *what, const char *where);

#define GIVEN_MAX 8
#define GIVEN_TEXT_BYTES 16
/* What systemd has passed on: the name of each and its "fd:N". */
struct inherited_fds {
	unsigned int nr;
	char name[GIVEN_MAX][64]; /* "unknown" without LISTEN_FDNAMES */
	char where[GIVEN_MAX][GIVEN_TEXT_BYTES];
};
/*
 * Takes them from the environment, which has none afterwards. 0, also when there are none;
 * -EINVAL (logged): more than GIVEN_MAX.
 */
int must_check inherited_fds_take(struct inherited_fds *given);

#endif
