/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * page_pair.h: a device with two ranges, of 64-bit and of 32-bit registers: the time and a register that keeps what is written.
 * For test_page_share.
 */
#ifndef TESTS_PROG_PAGE_PAIR_H
#define TESTS_PROG_PAGE_PAIR_H

#include "bpf/hr.h"

struct pair_page {
	struct hr_page head;
	int64_t offset_ns;
	uint64_t kept;
};

/* Both ranges begin with the time, in ns and in 10 ns; what is kept comes next. */
static inline uint64_t pair_wide(const struct pair_page *page, uint32_t cell, uint64_t host_ns)
{
	return cell ? HR_LOAD(page->kept) : host_ns + (uint64_t)HR_LOAD(page->offset_ns);
}

static inline uint32_t pair_narrow(const struct pair_page *page, uint32_t cell, uint64_t host_ns)
{
	return (uint32_t)(cell ? HR_LOAD(page->kept) : (host_ns + (uint64_t)HR_LOAD(page->offset_ns)) / 10);
}

#endif
