/* SPDX-License-Identifier: Apache-2.0 */
/* exitcode.c - ends the VM with the command line's code=N. */
#include "guests/lib.h"

int guest_main(void)
{
	CHECK(cmdline_get("code"));
	return (int)cmdline_u64("code", 0);
}
