/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hpet_wrong.bpf.c: wrong on purpose: the HPET counter, one tick ahead in one of sixteen reads. The
 * verifier has nothing against it; check mode must find and report it (tests/guest/guests.sh wrong-program).
 */
#include "bpf/hpet.h"

struct hpet_page hpet_state HR_STATE = {
	.head = {.version = HPET_STATE_VERSION, .size = sizeof(struct hpet_page)},
};

HR_PROG int hpet(struct hr_io *io)
{
	uint64_t count;

	if (io->is_write || (io->offset & ~7u) != HPET_REG_COUNTER)
		return HR_PUNT;
	count = hpet_counter(&hpet_state.s, bpf_ktime_get_ns());
	if ((count >> 4 & 15) == 7)
		count++;
	io->result = count >> ((io->offset & 7) * 8);
	return HR_ANSWER;
}

HR_LICENSE;
