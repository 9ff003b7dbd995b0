/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* counter.bpf.c: answers the reads of the tally counter that ring no bell. */
#include "examples/counter/counter.h"

struct counter_page counter_state HR_STATE = {.head = {.version = 1, .size = sizeof(struct counter_page)}};

HR_PROG int counter(struct hr_io *io)
{
	uint32_t count = HR_LOAD(counter_state.count);

	if (io->is_write || io->size != 4)
		return HR_PUNT;
	if (io->offset == COUNTER_AGE) {
		io->result = counter_age(&counter_state, bpf_ktime_get_ns());
		return HR_ANSWER;
	}
	if (count >= COUNTER_LAST)
		return HR_PUNT_WHY(1);
	HR_STORE(counter_state.count, count + 1);
	io->result = count;
	return HR_ANSWER;
}

HR_LICENSE;
