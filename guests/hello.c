/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c - prints one line: entry, ring 3 and the serial port work. */
#include "guests/lib.h"

int guest_main(void)
{
	print("Hello from ring 3\n");
	PASS();
}
