/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq.h: an interrupt line, so that a device never names its controller.
 *
 * A line is a value: copy it freely, constant after init. irq_set() may be called with the
 * device's mutex held (order: device -> irq controller -> clock), never with its page held.
 * Levels are levels: setting the same level twice is harmless.
 */
#ifndef VMM_IRQ_H
#define VMM_IRQ_H

#include <stdbool.h>

struct irq_line {
	void (*set)(void *opaque, unsigned pin, bool level);
	void *opaque;
	unsigned pin;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->opaque, line->pin, level);
}

#endif
