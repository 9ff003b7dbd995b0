/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * page.bpf.c: a block of counters of different rates, all moved by the time: what bench_page has published.
 */
#include "tests/bench/page.h"

struct bench_page bench_state HR_STATE = {
	.head = {.version = 1, .size = sizeof(struct bench_page)},
};

HR_PROG int counters(struct hr_io *io)
{
	uint64_t ns;

	if (io->is_write)
		return HR_PUNT;
	ns = bpf_ktime_get_ns() + (uint64_t)HR_LOAD(bench_state.offset_ns);
	io->result = bench_counter(ns, io->offset / 8) >> (io->offset & 7) * 8;
	return HR_ANSWER;
}

HR_LICENSE;
