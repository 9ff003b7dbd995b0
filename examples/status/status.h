/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * status.h: a block of four 64-bit registers that a guest looks at all the time: what model and program share. Every read
 * is pure, so the block can be shown as a page.
 */
#ifndef EXAMPLES_STATUS_H
#define EXAMPLES_STATUS_H

#include "bpf/hr.h"

#define STATUS_BASE 0xfe000000u
#define STATUS_LEN 32u
#define STATUS_UPTIME 0x00  /* microseconds of guest time */
#define STATUS_EVENTS 0x08  /* a write of any value adds one */
#define STATUS_SCRATCH 0x10 /* keeps what is written */
#define STATUS_ID 0x18

#define STATUS_ID_VALUE 0x7375746174736868ull

struct status_page {
	struct hr_page head;
	int64_t offset_ns;
	uint64_t events;
	uint64_t scratch;
};

static inline uint64_t status_register(const struct status_page *page, uint32_t reg, uint64_t host_ns)
{
	switch (reg) {
	case STATUS_UPTIME:
		return (host_ns + (uint64_t)HR_LOAD(page->offset_ns)) / 1000;
	case STATUS_EVENTS:
		return HR_LOAD(page->events);
	case STATUS_SCRATCH:
		return HR_LOAD(page->scratch);
	default:
		return STATUS_ID_VALUE;
	}
}

#endif
