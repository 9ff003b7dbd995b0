/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq_route.c: wires with several sources. The router's mutex is held while a controller is told, so that the last
 * level that was worked out is the last that the controller hears.
 */
#include "devices/irq_route.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "vmm/lock.h"

#define ISA_IRQS 16
#define CASCADE 2
#define FIRST_PIRQ_SOURCE 28 /* bits of a wire's `sources` above this are PIRQ A to D */
#define PIRQ_IRQS 0xdef8u    /* the IRQs that a PIRQ may be routed to: 3-7, 9-12, 14, 15 */

struct wire {
	/* constant after the lines are handed out */
	struct irq_line pic, ioapic;
	unsigned source_count;
	/* lock */
	uint32_t sources; /* a bit for each that is high */
};

struct irq_route {
	/* constant after create */
	struct device *ioapic;
	/* see there */
	struct wire isa[ISA_IRQS];
	unsigned pirq_source_count[IRQ_ROUTE_PIRQS];
	/* lock */
	pthread_mutex_t lock;
	uint32_t pirq[IRQ_ROUTE_PIRQS]; /* a bit for each source that is high */
	uint8_t pirqrc[IRQ_ROUTE_PIRQS];
};

/* A line's pin says which wire, and which of its sources. */
#define PIN(wire, source) ((wire) | (source) << 8)
#define PIN_WIRE(pin) ((pin)&0xffu)
#define PIN_SOURCE(pin) ((pin) >> 8)

/* lock held. */
static void wire_set(struct wire *w, unsigned source, bool level)
{
	uint32_t bit = 1u << source, before = w->sources;

	w->sources = level ? before | bit : before & ~bit;
	if (!before == !w->sources)
		return;
	irq_set(&w->pic, w->sources != 0);
	irq_set(&w->ioapic, w->sources != 0);
}

static void isa_set(void *opaque, unsigned pin, bool level)
{
	struct irq_route *route = opaque;

	pthread_mutex_lock(&route->lock);
	wire_set(&route->isa[PIN_WIRE(pin)], PIN_SOURCE(pin), level);
	pthread_mutex_unlock(&route->lock);
}

struct irq_line irq_route_isa(struct irq_route *route, unsigned irq)
{
	struct wire *w = &route->isa[irq];

	assert(irq < ISA_IRQS && irq != CASCADE && w->source_count < FIRST_PIRQ_SOURCE);
	return (struct irq_line){isa_set, route, PIN(irq, w->source_count++)};
}

struct irq_line irq_route_gsi(struct irq_route *route, unsigned gsi)
{
	assert(gsi >= ISA_IRQS && gsi < IRQ_ROUTE_GSIS);
	return route->ioapic ? ioapic_line(route->ioapic, gsi) : (struct irq_line){0};
}

/* The wire that a PIRQ has joined; NULL: none. lock held. */
static struct wire *pirq_wire(struct irq_route *route, unsigned pirq)
{
	uint8_t rc = route->pirqrc[pirq];

	if ((rc & IRQ_ROUTE_PIRQRC_OFF) || !(PIRQ_IRQS >> (rc & 15) & 1))
		return NULL;
	return &route->isa[rc & 15];
}

static void pirq_drive(struct irq_route *route, unsigned pirq, bool level)
{
	struct wire *w = pirq_wire(route, pirq);

	if (w)
		wire_set(w, FIRST_PIRQ_SOURCE + pirq, level);
}

static void pirq_set(void *opaque, unsigned pin, bool level)
{
	struct irq_route *route = opaque;
	unsigned pirq = PIN_WIRE(pin);
	uint32_t bit = 1u << PIN_SOURCE(pin);

	pthread_mutex_lock(&route->lock);
	route->pirq[pirq] = level ? route->pirq[pirq] | bit : route->pirq[pirq] & ~bit;
	pirq_drive(route, pirq, route->pirq[pirq] != 0);
	pthread_mutex_unlock(&route->lock);
}

struct irq_line irq_route_pirq(struct irq_route *route, unsigned pirq)
{
	assert(pirq < IRQ_ROUTE_PIRQS && route->pirq_source_count[pirq] < 24);
	return (struct irq_line){pirq_set, route, PIN(pirq, route->pirq_source_count[pirq]++)};
}

void irq_route_set_pirqrc(struct irq_route *route, unsigned pirq, uint8_t pirqrc)
{
	pthread_mutex_lock(&route->lock);
	if (route->pirqrc[pirq] != pirqrc) {
		pirq_drive(route, pirq, false);
		route->pirqrc[pirq] = pirqrc;
		pirq_drive(route, pirq, route->pirq[pirq] != 0);
	}
	pthread_mutex_unlock(&route->lock);
}

struct irq_route *irq_route_create(struct device *pic, struct device *ioapic)
{
	struct irq_route *route = calloc(1, sizeof(*route));

	if (!route)
		return NULL;
	if (pthread_mutex_init(&route->lock, NULL)) {
		free(route);
		return NULL;
	}
	lock_declare(&route->lock, "interrupt router", LOCK_WIRES);
	route->ioapic = ioapic;
	for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
		if (irq == CASCADE)
			continue;
		route->isa[irq].pic = i8259_line(pic, irq);
		if (ioapic)
			route->isa[irq].ioapic = ioapic_line(ioapic, irq ? irq : 2);
	}
	for (unsigned i = 0; i < IRQ_ROUTE_PIRQS; i++)
		route->pirqrc[i] = IRQ_ROUTE_PIRQRC_OFF;
	return route;
}

void irq_route_destroy(struct irq_route *route)
{
	if (!route)
		return;
	pthread_mutex_destroy(&route->lock);
	free(route);
}
