/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * status.bpf.c: all reads of the status block. Only the uptime asks for the time: the verifier sees that, and the page
 * tier's publisher then stores nothing else.
 */
#include "examples/status/status.h"

struct status_page status_state HR_STATE = {
	.head = {.version = 1, .size = sizeof(struct status_page)},
};

HR_PROG int status(struct hr_io *io)
{
	uint32_t reg = io->offset & 0x18;
	uint64_t value;

	if (io->is_write)
		return HR_PUNT;
	if (reg == STATUS_UPTIME)
		value = status_register(&status_state, STATUS_UPTIME, bpf_ktime_get_ns());
	else
		value = status_register(&status_state, reg, 0);
	io->result = value >> (io->offset & 7) * 8;
	return HR_ANSWER;
}

HR_LICENSE;
