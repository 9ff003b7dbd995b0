/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i8254.bpf.c: the 8254's hot accesses: counter reads with their flip-flop, the latch and
 * read-back commands (stateful), and port 0x61 as long as nothing moves (pure). Everything that can move OUT 0
 * or load a counter punts, since the model has interrupts and timers to look after.
 */
#include "bpf/i8254.h"

struct i8254_page i8254_state HR_STATE = {
	.head = {.version = I8254_STATE_VERSION, .size = sizeof(struct i8254_page)},
};

HR_PROG int i8254(struct hr_io *io)
{
	struct i8254_state *s = &i8254_state.s;
	struct i8254_counter *c;
	uint32_t reg = io->offset & 3;
	uint8_t byte;

	if (io->size != 1)
		return HR_PUNT;
	if (io->is_write) {
		uint8_t value = (uint8_t)io->value;

		if (reg != 3)
			return HR_PUNT_WHY(1); /* a count */
		if (!i8254_is_latch_command(value))
			return HR_PUNT_WHY(2); /* a control word */
		i8254_latch_command(s, i8254_tick(s, bpf_ktime_get_ns()), value);
		return HR_ANSWER;
	}
	if (reg == 3) {
		io->result = I8254_NO_REGISTER;
		return HR_ANSWER;
	}
	c = &s->counters[reg];
	if (!i8254_read_latched(c, &byte))
		byte = i8254_read_live(c, i8254_tick(s, bpf_ktime_get_ns()));
	io->result = byte;
	return HR_ANSWER;
}

HR_PROG int port61(struct hr_io *io)
{
	struct i8254_state *s = &i8254_state.s;

	if (io->size != 1)
		return HR_PUNT;
	if (io->is_write)
		return i8254_moves_port61(s, (uint8_t)io->value) ? HR_PUNT_WHY(1) : HR_ANSWER;
	io->result = i8254_port61(s, i8254_tick(s, bpf_ktime_get_ns()));
	return HR_ANSWER;
}

HR_LICENSE;
