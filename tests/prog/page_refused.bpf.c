/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * page_refused.bpf.c: programs for the HPET's range of which no page can tell the truth, and one that is timed in one
 * place only. Wrong on purpose, for test_page_image.
 */
#include "bpf/hpet.h"

struct hpet_page hpet_state HR_STATE = {
	.head = {.version = HPET_STATE_VERSION, .size = sizeof(struct hpet_page)},
};

/* Bytes of the status read as ones, but not in a read of all 8. */
HR_PROG int parts(struct hr_io *io)
{
	if (io->is_write)
		return HR_PUNT;
	io->result = io->offset == 0x22 && io->size == 1 ? 0xff : 0;
	return HR_ANSWER;
}

/* The model is asked for one byte of the second timer's comparator. */
HR_PROG int punts(struct hr_io *io)
{
	if (io->is_write || (io->offset == 0x12b && io->size == 1))
		return HR_PUNT;
	io->result = 0;
	return HR_ANSWER;
}

/* From an hour of uptime on the counter is the model's. */
HR_PROG int punts_later(struct hr_io *io)
{
	if (io->is_write || (io->offset == 0xf0 && bpf_ktime_get_ns() > 3600 * HR_NSEC_PER_SEC))
		return HR_PUNT;
	io->result = 0;
	return HR_ANSWER;
}

/* Asks for the time in the upper half of the page, and where the state says so. */
HR_PROG int timed_above(struct hr_io *io)
{
	uint64_t value = 0;

	if (io->is_write)
		return HR_PUNT;
	if (io->offset >= 0x200 || (io->offset == 0x18 && HR_LOAD(hpet_state.s.config) == 77))
		value = bpf_ktime_get_ns() >> 63;
	io->result = value;
	return HR_ANSWER;
}

HR_LICENSE;
