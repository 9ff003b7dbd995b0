/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* hpet_bss.bpf.c: the HPET's program with data of its own in .bss, which the kernel tier does not share. */
#include "bpf/hpet.h"

struct hpet_page hpet_state HR_STATE = {.head = {.version = HPET_STATE_VERSION, .size = sizeof(struct hpet_page)}};

uint64_t asked;

HR_PROG int hpet(struct hr_io *io)
{
	(void)io;
	return HR_LOAD(asked) ? HR_PUNT_WHY(1) : HR_PUNT;
}

HR_LICENSE;
