/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mptable.c: the MultiProcessor Specification's tables, version 1.4 ([MP] 4): the floating pointer structure and the
 * configuration table, for guests that know no ACPI. The 8259s reach the processors as virtual wire, without an IMCR.
 */
#include <assert.h>
#include <string.h>

#include "devices/acpi.h"

#define POINTER_BYTES 16u
#define HEADER_BYTES 44u
#define BUS_PCI 0u
#define BUS_ISA 1u
#define PIIX_SLOT 1u

#define APIC_VERSION 0x14u   /* as KVM's local APICs say */
#define IOAPIC_VERSION 0x11u /* [82093AA] */
/* What the specification gives for processors that cannot be asked: family 6; FPU and APIC. Systems ask CPUID. */
#define CPU_SIGNATURE 0x600u
#define CPU_FEATURES 0x201u

/* [MP] 4.3.4 */
enum { INT_VECTORED = 0, INT_NMI = 1, INT_EXTERNAL = 3 };
#define FLAGS_OF_THE_BUS 0x0u
#define FLAGS_LEVEL_HIGH 0xdu

static void put(uint8_t *at, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static uint8_t sum(const uint8_t *at, size_t bytes)
{
	uint8_t s = 0;

	while (bytes--)
		s = (uint8_t)(s + *at++);
	return s;
}

/* The table while it grows. */
struct builder {
	uint8_t *table;
	size_t len;
	unsigned entries;
};

static uint8_t *add(struct builder *b, unsigned type, size_t bytes)
{
	uint8_t *p = b->table + b->len;

	assert(POINTER_BYTES + b->len + bytes <= MPTABLE_MAX_BYTES);
	memset(p, 0, bytes);
	p[0] = (uint8_t)type;
	b->len += bytes;
	b->entries++;
	return p;
}

static void add_bus(struct builder *b, unsigned id, const char type[7])
{
	uint8_t *p = add(b, 1, 8);

	p[1] = (uint8_t)id;
	memcpy(p + 2, type, 6);
}

/* 4.3.4: into an I/O APIC (type 3); 4.3.5: into local ones (type 4). */
static void add_interrupt(struct builder *b, unsigned type, unsigned kind, unsigned flags, unsigned bus,
	unsigned source, unsigned apic, unsigned input)
{
	uint8_t *p = add(b, type, 8);

	p[1] = (uint8_t)kind;
	put(p + 2, flags, 2);
	p[4] = (uint8_t)bus;
	p[5] = (uint8_t)source;
	p[6] = (uint8_t)apic;
	p[7] = (uint8_t)input;
}

static void add_processors(struct builder *b, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++) {
		uint8_t *p = add(b, 0, 20);

		p[1] = (uint8_t)i;
		p[2] = APIC_VERSION;
		p[3] = i == 0 ? 3 : 1; /* usable, and the first is the bootstrap processor */
		put(p + 4, CPU_SIGNATURE, 4);
		put(p + 8, CPU_FEATURES, 4);
	}
}

static void add_interrupts(struct builder *b, const struct acpi_config *c, unsigned ioapic)
{
	const uint32_t levels = c->pirq_to | 1u << c->sci;

	/* the ISA interrupts at the inputs of their numbers, but for the timer; the 8259s' own at input 0 */
	add_interrupt(b, 3, INT_EXTERNAL, FLAGS_OF_THE_BUS, BUS_ISA, 0, ioapic, 0);
	add_interrupt(b, 3, INT_VECTORED, FLAGS_OF_THE_BUS, BUS_ISA, 0, ioapic, 2);
	for (unsigned irq = 1; irq < 16; irq++) {
		if (irq != 2)
			add_interrupt(b, 3, INT_VECTORED, levels >> irq & 1 ? FLAGS_LEVEL_HIGH : FLAGS_OF_THE_BUS,
				BUS_ISA, irq, ioapic, irq);
	}
	/* the only PCI function with an interrupt of its own, INTA# of the PIIX's power management */
	add_interrupt(b, 3, INT_VECTORED, FLAGS_LEVEL_HIGH, BUS_PCI, PIIX_SLOT << 2, ioapic, c->sci);
	add_interrupt(b, 4, INT_EXTERNAL, FLAGS_OF_THE_BUS, BUS_ISA, 0, 0, 0);
	add_interrupt(b, 4, INT_NMI, FLAGS_OF_THE_BUS, BUS_ISA, 0, 0xff, 1);
}

size_t mptable_build(const struct acpi_config *c, uint32_t base, uint8_t out[MPTABLE_MAX_BYTES])
{
	struct builder b = {.table = out + POINTER_BYTES, .len = HEADER_BYTES};
	const unsigned ioapic = c->cpus; /* its id; 0, 1, ... are the local APICs' */
	uint8_t *p;

	if (!c->has_apic || !c->has_ioapic)
		return 0;
	add_processors(&b, c->cpus);
	add_bus(&b, BUS_PCI, "PCI   ");
	add_bus(&b, BUS_ISA, "ISA   ");
	p = add(&b, 2, 8); /* 4.3.3 */
	p[1] = (uint8_t)ioapic;
	p[2] = IOAPIC_VERSION;
	p[3] = 1;
	put(p + 4, ACPI_IOAPIC_BASE, 4);
	add_interrupts(&b, c, ioapic);

	/* 4.2 MP Configuration table header */
	p = b.table;
	memset(p, 0, HEADER_BYTES);
	memcpy(p, "PCMP", 4);
	put(p + 4, (uint32_t)b.len, 2);
	p[6] = 4; /* version 1.4 */
	memcpy(p + 8, "HOTREG  HOTREG PC   ", 20);
	put(p + 34, b.entries, 2);
	put(p + 36, ACPI_LAPIC_BASE, 4);
	p[7] = (uint8_t)-sum(p, b.len);

	/* 4.1 MP Floating pointer structure; no default configuration, virtual wire */
	memset(out, 0, POINTER_BYTES);
	memcpy(out, "_MP_", 4);
	put(out + 4, base + POINTER_BYTES, 4);
	out[8] = 1;
	out[9] = 4;
	out[10] = (uint8_t)-sum(out, POINTER_BYTES);
	return POINTER_BYTES + b.len;
}
