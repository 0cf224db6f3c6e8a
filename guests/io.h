/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - ports, registers of devices, ring 0 on request, locks: what lib.c itself stands on. */
#ifndef EBB_GUESTS_IO_H
#define EBB_GUESTS_IO_H

#include <stdbool.h>
#include <stdint.h>

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Device registers and memory under test, at exactly this width. */
#define MEM_ACCESS(bits)                                                           \
	static inline uint##bits##_t read##bits(uint64_t at)                       \
	{                                                                          \
		uint##bits##_t v;                                                  \
		__asm__ volatile("mov %1, %0"                                      \
				 : "=r"(v)                                         \
				 : "m"(*(volatile uint##bits##_t *)at)             \
				 : "memory");                                      \
		return v;                                                          \
	}                                                                          \
	static inline void write##bits(uint64_t at, uint##bits##_t v)              \
	{                                                                          \
		__asm__ volatile("mov %1, %0"                                      \
				 : "=m"(*(volatile uint##bits##_t *)at)            \
				 : "r"(v)                                          \
				 : "memory");                                      \
	}
MEM_ACCESS(8)
MEM_ACCESS(16)
MEM_ACCESS(32)
MEM_ACCESS(64)

static inline void cpu_pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* Calls FN in ring 0 and returns what it returns. Slow on hosts that emulate ring 0. */
uint64_t ring0(uint64_t (*fn)(uint64_t arg), uint64_t arg);

struct spinlock {
	bool taken;
};
static inline void spin_lock(struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->taken, true, __ATOMIC_ACQUIRE))
		cpu_pause();
}
static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->taken, false, __ATOMIC_RELEASE);
}

#endif
