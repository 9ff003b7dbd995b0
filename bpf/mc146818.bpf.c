/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * mc146818.bpf.c: the clock and CMOS memory at 0x70/0x71, stateful: the index, every register
 * but a C with flags, which the read clears, and writes of memory. Writes of time, alarm and
 * control move interrupts and punt.
 */
#include "bpf/mc146818.h"

struct rtc_page rtc_state HR_STATE = {
	.head = {.version = RTC_STATE_VERSION, .size = sizeof(struct rtc_page)},
};

#define WHY_FLAGS 1 /* register C has flags */
#define WHY_WRITE 2 /* a write of time, alarm or control */

static inline int rtc_write(struct rtc_state *s, uint32_t index, uint8_t value)
{
	if (!rtc_is_memory(index))
		return HR_PUNT_WHY(WHY_WRITE);
	HR_STORE(s->cmos[index & (RTC_BYTES - 1)], value);
	return HR_ANSWER;
}

HR_PROG int mc146818(struct hr_io *io)
{
	struct rtc_state *s = &rtc_state.s;
	uint32_t index = HR_LOAD(s->index) & (RTC_BYTES - 1);

	if (io->size != 1 || io->offset > 1)
		return HR_PUNT;
	if (io->offset == 0) {
		if (io->is_write)
			rtc_set_index(s, (uint8_t)io->value);
		else
			io->result = 0xff; /* write-only */
		return HR_ANSWER;
	}
	if (io->is_write)
		return rtc_write(s, index, (uint8_t)io->value);
	if (index == RTC_C) {
		if (rtc_has_flags(s, bpf_ktime_get_ns()))
			return HR_PUNT_WHY(WHY_FLAGS);
		io->result = 0;
		return HR_ANSWER;
	}
	io->result = rtc_register(s, index, rtc_is_timed(index) ? bpf_ktime_get_ns() : 0);
	return HR_ANSWER;
}

HR_LICENSE;
