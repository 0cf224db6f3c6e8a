/* SPDX-License-Identifier: Apache-2.0 */
/* triple.c - ends in a triple fault. */
#include "guests/cpu.h"
#include "guests/lib.h"

int guest_main(void)
{
	print("triple fault\n");
	cpu_triple_fault();
}
