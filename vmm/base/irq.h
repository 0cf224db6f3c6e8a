/* SPDX-License-Identifier: Apache-2.0 */
/* irq.h - an interrupt line is a value: devices raise it, only vmm/kvm knows what is behind it. */
#ifndef EBB_BASE_IRQ_H
#define EBB_BASE_IRQ_H

/* Raises one edge. May be called from any thread. A line without a function leads nowhere. */
struct irq_line {
	void (*raise)(void *ctx);
	void *ctx;
};

static inline void irq_raise(const struct irq_line *line)
{
	if (line->raise)
		line->raise(line->ctx);
}

#endif
