/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ioapic.h: the registers of the I/O APIC [82093AA] as guests see them: the selector IOREGSEL, and through the
 * window IOWIN the one that it names.
 *
 * The selector is stored by the program too; the rest by the model alone.
 */
#ifndef BPF_IOAPIC_H
#define BPF_IOAPIC_H

#include "bpf/hr.h"

#define IOAPIC_STATE_VERSION 1

#define IOAPIC_PINS 24u

/* Offsets from the base. */
#define IOAPIC_IOREGSEL 0x00u
#define IOAPIC_IOWIN 0x10u

/* What IOREGSEL names. */
#define IOAPIC_ID 0x00u
#define IOAPIC_VER 0x01u
#define IOAPIC_ARB 0x02u
#define IOAPIC_REDTBL 0x10u

#define IOAPIC_VERSION (0x11u | (IOAPIC_PINS - 1) << 16)

struct ioapic_state {
	int64_t offset_ns; /* no register of this device depends on time */
	uint32_t select;   /* bits 7-0 */
	uint32_t id;	   /* bits 27-24; the arbitration id is loaded with it */
	uint32_t redir[2 * IOAPIC_PINS];
};

struct ioapic_page {
	struct hr_page head;
	struct ioapic_state s;
};

/* The register that is selected. Reserved ones read as 0. */
static inline uint32_t ioapic_register(const struct ioapic_state *s)
{
	uint32_t select = HR_LOAD(s->select), entry = select - IOAPIC_REDTBL;

	if (entry < 2 * IOAPIC_PINS)
		return HR_LOAD(s->redir[entry]);
	if (select == IOAPIC_VER)
		return IOAPIC_VERSION;
	return select == IOAPIC_ID || select == IOAPIC_ARB ? HR_LOAD(s->id) : 0;
}

/* A read of up to 4 bytes, aligned; narrow ones show their part. Nothing answers between the two registers. */
static inline uint64_t ioapic_value(const struct ioapic_state *s, uint32_t offset, uint32_t size)
{
	uint32_t v = ~0u;

	if (offset < IOAPIC_IOREGSEL + 4)
		v = HR_LOAD(s->select);
	else if (offset >= IOAPIC_IOWIN && offset < IOAPIC_IOWIN + 4)
		v = ioapic_register(s);
	return hr_mask(v >> (8 * (offset & 3)), size);
}

/* A write of up to 4 bytes, aligned, that is not of the window's whole doubleword: only the selector's byte is a register. */
static inline void ioapic_write_plain(struct ioapic_state *s, uint32_t offset, uint64_t value)
{
	if (offset == IOAPIC_IOREGSEL)
		HR_STORE(s->select, (uint32_t)value & 0xff);
}

/* [82093AA] 3.0: the window is a doubleword; narrower writes to it go nowhere. */
static inline bool ioapic_is_window_write(uint32_t offset, uint32_t size)
{
	return offset == IOAPIC_IOWIN && size == 4;
}

#endif
