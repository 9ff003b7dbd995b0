/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* doorbell.bpf.c: takes the numbers while there is room in the queue, and rings for the worker when it sleeps. */
#include "examples/doorbell/doorbell.h"

struct bell_page bell_state HR_STATE = {.head = {.version = 1, .size = sizeof(struct bell_page)}};

HR_PROG int doorbell(struct hr_io *io)
{
	if (io->size != 4)
		return HR_PUNT;
	if (!io->is_write) {
		io->result = bell_read(&bell_state, io->offset);
		return HR_ANSWER;
	}
	if (io->offset != BELL_PUT)
		return HR_ANSWER; /* the other registers ignore writes */
	switch (bell_put(&bell_state, (uint32_t)io->value)) {
	case BELL_RINGS:
		return HR_ANSWER_RING;
	case BELL_IS_QUIET:
		return HR_ANSWER;
	default:
		return HR_PUNT_WHY(1); /* full: the model makes room */
	}
}

HR_LICENSE;
