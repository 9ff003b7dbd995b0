/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hpet_version.bpf.c: right, but made for another version of the HPET's state page: hotreg must refuse it
 * with status 2 and one line (tests/guest/guests.sh bad-input).
 */
#include "bpf/hpet.h"

struct hpet_page hpet_state HR_STATE = {
	.head = {.version = HPET_STATE_VERSION + 1, .size = sizeof(struct hpet_page)},
};

HR_PROG int hpet(struct hr_io *io)
{
	io->result = 0;
	return HR_PUNT;
}

HR_LICENSE;
