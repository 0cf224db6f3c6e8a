/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h - what start.S and the C part of the runtime must agree on. */
#ifndef EBB_GUESTS_LAYOUT_H
#define EBB_GUESTS_LAYOUT_H

#define MAX_CPUS 64

/* Segment selectors; one TSS descriptor of 16 bytes per CPU from SEL_TSS on. */
#define SEL_CODE32 0x08
#define SEL_CODE64 0x10
#define SEL_DATA 0x18
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE 0x2b
#define SEL_TSS 0x30

#define STACK_SHIFT 14	  /* ring 3, per CPU */
#define RING0_STACK_SHIFT 12
/*
 * The TSS with a port bitmap of zeros for ports below 0x400: so ring 3 may use them. IOPL 3 would
 * do on hardware, but some hosts forget it on the way to ring 3.
 */
#define TSS_SHIFT 8
#define TSS_FIXED_BYTES 104
#define TSS_LIMIT (TSS_FIXED_BYTES + 0x400 / 8)

#define NR_EXCEPTIONS 32
#define EXCEPTION_STUB_BYTES 16
#define RING0_VECTOR 3 /* INT3 */
#define DEVICE_VECTOR NR_EXCEPTIONS
#define NR_VECTORS (DEVICE_VECTOR + 1)

#define RFLAGS_CLEAR 0x2 /* interrupts off */
#define RFLAGS_IF 0x200

/* The identity map that the image brings along; more comes with cpu_map(). */
#define STATIC_MAP_GIB 4
#define PAGE_PRESENT_RW_USER 0x7
#define PAGE_HUGE 0x80

#endif
