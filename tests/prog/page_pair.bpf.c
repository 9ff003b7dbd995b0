/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * page_pair.bpf.c: the programs of the device of page_pair.h, one for each of its ranges.
 */
#include "tests/prog/page_pair.h"

struct pair_page pair_state HR_STATE = {
	.head = {.version = 1, .size = sizeof(struct pair_page)},
};

HR_PROG int wide(struct hr_io *io)
{
	uint32_t cell = io->offset / 8;

	if (io->is_write)
		return HR_PUNT;
	io->result = pair_wide(&pair_state, cell, cell ? 0 : bpf_ktime_get_ns()) >> (io->offset & 7) * 8;
	return HR_ANSWER;
}

HR_PROG int narrow(struct hr_io *io)
{
	uint32_t cell = io->offset / 4;

	if (io->is_write)
		return HR_PUNT;
	io->result = pair_narrow(&pair_state, cell, cell ? 0 : bpf_ktime_get_ns()) >> (io->offset & 3) * 8;
	return HR_ANSWER;
}

HR_LICENSE;
