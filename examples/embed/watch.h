/* SPDX-License-Identifier: BSD-2-Clause */
/* watch.h: a stopwatch's state and arithmetic, for its model (embed.c) and its programs (watch.bpf.c). */
#ifndef WATCH_H
#define WATCH_H

#include <hotreg/hr.h>

/* Registers, 32 bits each. */
#define WATCH_MS 0   /* milliseconds since the start; a write of any value starts it anew, with no laps */
#define WATCH_LAPS 4 /* a read counts a lap and gives its number, from 0; each thousandth rings a bell */
#define WATCH_RINGS 1000

#define WATCH_VERSION 1

struct watch_page {
	struct hr_page head;
	int64_t offset_ns; /* the state, from here on */
	uint64_t start_ns; /* watch time of the last start */
	uint32_t laps;
	uint32_t pad;
};

static inline uint32_t watch_ms(const struct watch_page *page, uint64_t host_ns)
{
	return (uint32_t)((host_ns + (uint64_t)HR_LOAD(page->offset_ns) - HR_LOAD(page->start_ns)) / 1000000);
}

static inline bool watch_rings(uint32_t lap)
{
	return lap % WATCH_RINGS == WATCH_RINGS - 1;
}

#endif
