/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * page.h: the counters of page.bpf.c, for it and for bench_page.
 */
#ifndef TESTS_BENCH_PAGE_H
#define TESTS_BENCH_PAGE_H

#include "bpf/hr.h"

struct bench_page {
	struct hr_page head;
	int64_t offset_ns;
};

static inline uint64_t bench_counter(uint64_t ns, uint32_t which)
{
	return ns / 10 + which;
}

#endif
