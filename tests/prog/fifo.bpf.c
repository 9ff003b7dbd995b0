/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * fifo.bpf.c: a data port for test_bus_string: reads move through a block, but for its last word,
 * writes are summed up; a write of 0 is passed on.
 */
#include "tests/prog/fifo.h"

HR_LICENSE;

struct fifo_page fifo_page HR_STATE = {.head = {.version = FIFO_VERSION, .size = sizeof(struct fifo_page)}};

HR_PROG int fifo(struct hr_io *io)
{
	struct fifo_state *s = &fifo_page.s;
	uint32_t at = HR_LOAD(s->at);
	uint64_t n = HR_LOAD(s->written) + 1;

	if (io->size != 2)
		return HR_PUNT;
	if (io->is_write) {
		if (io->value == 0)
			return HR_PUNT;
		HR_STORE(s->sum, HR_LOAD(s->sum) + n * io->value);
		HR_STORE(s->written, n);
		return HR_ANSWER;
	}
	if (at >= FIFO_WORDS - 1)
		return HR_PUNT_WHY(FIFO_WHY_END);
	io->result = HR_LOAD(s->block[at & (FIFO_WORDS - 1)]);
	HR_STORE(s->at, at + 1);
	return HR_ANSWER;
}
