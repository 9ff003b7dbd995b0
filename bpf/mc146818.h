/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * mc146818.h: the clock's and CMOS memory's guest-visible state and arithmetic, for the model and the program.
 *
 * The time registers hold what was last written or carried out; what they show follows from the
 * update cycles that have ended since (rtc_elapsed). `base` is what the registers hold as a number,
 * so that nobody decodes them to read, and without daylight saving, so that it only adds up. The divider chain is one number,
 * the guest time at which it was at zero: seconds end at whole seconds from it, periodic events
 * come at whole periods from it.
 */
#ifndef BPF_MC146818_H
#define BPF_MC146818_H

#include "bpf/hr.h"

#define RTC_STATE_VERSION 2

enum {
	RTC_SECONDS,
	RTC_SECONDS_ALARM,
	RTC_MINUTES,
	RTC_MINUTES_ALARM,
	RTC_HOURS,
	RTC_HOURS_ALARM,
	RTC_WEEKDAY,
	RTC_DAY,
	RTC_MONTH,
	RTC_YEAR,
	RTC_A,
	RTC_B,
	RTC_C,
	RTC_D,
	RTC_CENTURY = 0x32, /* where PC BIOSes keep it; counted along with the year */
	RTC_BYTES = 0x80,
};

/* [MC146818] Registers A to D. */
#define RTC_A_UIP 0x80
#define RTC_A_DV_RESET 0x60 /* 11x: divider held in reset */
#define RTC_A_DV_32KHZ 0x20
#define RTC_A_RS 0x0f
#define RTC_B_SET 0x80
#define RTC_B_PIE 0x40
#define RTC_B_AIE 0x20
#define RTC_B_UIE 0x10
#define RTC_B_SQWE 0x08
#define RTC_B_DM 0x04 /* 1: binary */
#define RTC_B_24H 0x02
#define RTC_B_DSE 0x01
#define RTC_C_IRQF 0x80
#define RTC_C_PF 0x40 /* PF, AF, UF are where PIE, AIE, UIE are in B */
#define RTC_C_AF 0x20
#define RTC_C_UF 0x10
#define RTC_D_VRT 0x80
#define RTC_PM 0x80 /* of an hours register in 12-hour mode */

#define RTC_HZ 32768u
/* [MC146818] Update Cycle: UIP rises 244 us before a cycle, which lasts 1984 us with a 32.768 kHz crystal. */
#define RTC_UIP_NS (244000u + 1984000u)
#define RTC_DAY_S 86400u

/* The Gregorian calendar repeats after 400 years; the registers after 10000. */
#define RTC_DAYS_400Y 146097u
#define RTC_DAYS_100Y 36524u
#define RTC_DAYS_4Y 1461u
#define RTC_DAYS_CYCLE (25 * RTC_DAYS_400Y)
#define RTC_CYCLE_S ((uint64_t)RTC_DAYS_CYCLE * RTC_DAY_S)

struct rtc_state {
	int64_t offset_ns;
	uint64_t divider_ns;   /* guest time, modulo 2^64, at which the divider chain was at zero */
	uint64_t seen_seconds; /* update cycles since then that are in the registers */
	uint64_t seen_periods; /* periodic events since then that are in register C */
	uint64_t base;	       /* the registers' standard time in seconds since 1 March 0000, below RTC_CYCLE_S */
	uint8_t weekday;       /* of 1 March 0000, going by the registers; 0..6, from Sunday */
	uint8_t index;	       /* 0..0x7f */
	uint8_t pad[6];
	uint8_t cmos[RTC_BYTES]; /* registers A to D, the time and the alarm are among them */
};

struct rtc_page {
	struct hr_page head;
	struct rtc_state s;
};

/* ---- calendar ---- */

struct rtc_date {
	uint32_t year, month, day; /* 0..9999, 1..12, 1..31 */
};

/* Days before the month that is `months` after March, in a year that begins on 1 March. */
static inline uint32_t rtc_days_before(uint32_t months)
{
	return (153 * months + 2) / 5; /* 31 30 31 30 31, twice, and on: 153 days in five months */
}

/* The date `days` after 1 March 0000. With the leap day last, each cycle is whole ones and a rest. */
static inline struct rtc_date rtc_date_of(uint32_t days)
{
	uint32_t rest = days % RTC_DAYS_400Y, year = days / RTC_DAYS_400Y * 400, n;
	struct rtc_date date;

	n = rest / RTC_DAYS_100Y;
	n -= n == 4; /* the last day of 400 years, a 29 February */
	year += n * 100;
	rest -= n * RTC_DAYS_100Y;
	year += rest / RTC_DAYS_4Y * 4;
	rest %= RTC_DAYS_4Y;
	n = rest / 365;
	n -= n == 4; /* the last day of 4 years */
	year += n;
	rest -= n * 365;
	n = (5 * rest + 2) / 153;
	date.day = rest - rtc_days_before(n) + 1;
	date.month = n < 10 ? n + 3 : n - 9;
	date.year = (year + (n >= 10)) % 10000;
	return date;
}

static inline uint32_t rtc_days_of(const struct rtc_date *date)
{
	/* January and February belong to the year that began before; a cycle more, so that there is one */
	uint32_t year = date->year + 10000 - (date->month <= 2);
	uint32_t months = date->month <= 2 ? date->month + 9 : date->month - 3;

	return (year * 365 + year / 4 - year / 100 + year / 400 + rtc_days_before(months) + date->day - 1) %
	       RTC_DAYS_CYCLE;
}

/* A moment by the calendar. */
struct rtc_moment {
	uint32_t day;	  /* since 1 March 0000 */
	uint32_t second;  /* of the day */
	uint32_t weekday; /* 0..6, from Sunday */
};

static inline struct rtc_moment rtc_moment_of(const struct rtc_state *s, uint64_t seconds)
{
	struct rtc_moment m = {
		.day = (uint32_t)(seconds / RTC_DAY_S % RTC_DAYS_CYCLE),
		.second = (uint32_t)(seconds % RTC_DAY_S),
	};

	m.weekday = (m.day + HR_LOAD(s->weekday)) % 7;
	return m;
}

/*
 * [MC146818] Register B, DSE: whether an hour is added to a moment of standard time. From the last
 * Sunday in April, when 1:59:59 is followed by 3:00:00, to the last Sunday in October, when the first
 * 1:59:59 is followed by 1:00:00.
 */
static inline bool rtc_is_summer(const struct rtc_moment *m)
{
	struct rtc_date date = rtc_date_of(m->day);
	uint32_t sunday = date.day + 7 - m->weekday; /* that this week began with, plus 7 */

	if (date.month == 4)
		return sunday >= 24 + 7 && (m->weekday != 0 || m->second >= 2 * 3600);
	if (date.month == 10)
		return sunday < 25 + 7 || (m->weekday == 0 && m->second < 1 * 3600);
	return date.month > 4 && date.month < 10;
}

/* ---- time base ---- */

static inline bool rtc_is_running(const struct rtc_state *s)
{
	return (HR_LOAD(s->cmos[RTC_A]) & RTC_A_DV_RESET) != RTC_A_DV_RESET;
}

/* Running, and not held by SET: update cycles are carried out. */
static inline bool rtc_is_updating(const struct rtc_state *s)
{
	return rtc_is_running(s) && !(HR_LOAD(s->cmos[RTC_B]) & RTC_B_SET);
}

/* How long ago the divider chain was at zero. */
static inline uint64_t rtc_phase_ns(const struct rtc_state *s, uint64_t host_ns)
{
	return host_ns + (uint64_t)HR_LOAD(s->offset_ns) - HR_LOAD(s->divider_ns);
}

/* Update cycles that have ended and are not in the registers yet. */
static inline uint64_t rtc_elapsed(const struct rtc_state *s, uint64_t host_ns)
{
	uint64_t seconds = rtc_phase_ns(s, host_ns) / HR_NSEC_PER_SEC, seen = HR_LOAD(s->seen_seconds);

	return rtc_is_updating(s) && seconds > seen ? seconds - seen : 0;
}

/* The periodic interrupt's period in 32.768 kHz steps ([MC146818] table 5); 0: none. */
static inline uint32_t rtc_period(const struct rtc_state *s)
{
	uint32_t rate = HR_LOAD(s->cmos[RTC_A]) & RTC_A_RS;

	if (rate == 0)
		return 0;
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

/* Periodic events since the divider chain was at zero. */
static inline uint64_t rtc_periods(const struct rtc_state *s, uint64_t host_ns)
{
	uint32_t period = rtc_period(s);

	return period ? hr_ns_to_ticks(rtc_phase_ns(s, host_ns), RTC_HZ) / period : 0;
}

/* ---- registers ---- */

/* `b` is register B here: binary or BCD, 24 or 12 hours. */
static inline uint8_t rtc_encode(uint8_t b, uint32_t number)
{
	return (uint8_t)(b & RTC_B_DM ? number : number / 10 << 4 | number % 10);
}

static inline uint8_t rtc_encode_hours(uint8_t b, uint32_t hour)
{
	if (b & RTC_B_24H)
		return rtc_encode(b, hour);
	return rtc_encode(b, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? RTC_PM : 0);
}

/* Whether a register is one that update cycles change. */
static inline bool rtc_is_time(uint32_t index)
{
	const uint32_t below_a = 1u << RTC_SECONDS | 1u << RTC_MINUTES | 1u << RTC_HOURS | 1u << RTC_WEEKDAY |
				 1u << RTC_DAY | 1u << RTC_MONTH | 1u << RTC_YEAR;

	return index == RTC_CENTURY || (index < RTC_A && (below_a >> index & 1));
}

/* What the clock shows `elapsed` update cycles on. */
static inline struct rtc_moment rtc_after(const struct rtc_state *s, uint64_t elapsed)
{
	uint64_t seconds = HR_LOAD(s->base) + elapsed;
	struct rtc_moment m = rtc_moment_of(s, seconds);

	if ((HR_LOAD(s->cmos[RTC_B]) & RTC_B_DSE) && rtc_is_summer(&m))
		m = rtc_moment_of(s, seconds + 3600);
	return m;
}

/* What a time register holds then; elapsed is not 0. */
static inline uint8_t rtc_time_after(const struct rtc_state *s, uint32_t index, uint64_t elapsed)
{
	uint8_t b = HR_LOAD(s->cmos[RTC_B]);
	struct rtc_moment m = rtc_after(s, elapsed);
	struct rtc_date date;

	if (index == RTC_SECONDS)
		return rtc_encode(b, m.second % 60);
	if (index == RTC_MINUTES)
		return rtc_encode(b, m.second / 60 % 60);
	if (index == RTC_HOURS)
		return rtc_encode_hours(b, m.second / 3600);
	if (index == RTC_WEEKDAY)
		return rtc_encode(b, m.weekday + 1);
	date = rtc_date_of(m.day);
	if (index == RTC_DAY)
		return rtc_encode(b, date.day);
	if (index == RTC_MONTH)
		return rtc_encode(b, date.month);
	return rtc_encode(b, index == RTC_YEAR ? date.year % 100 : date.year / 100);
}

/* Whether a register's value depends on the time. */
static inline bool rtc_is_timed(uint32_t index)
{
	return rtc_is_time(index) || index == RTC_A;
}

/* Any register but C as read; index 0..0x7f. host_ns matters only where rtc_is_timed(). */
static inline uint8_t rtc_register(const struct rtc_state *s, uint32_t index, uint64_t host_ns)
{
	uint8_t value = HR_LOAD(s->cmos[index & (RTC_BYTES - 1)]);
	uint64_t elapsed;

	if (rtc_is_time(index)) {
		elapsed = rtc_elapsed(s, host_ns);
		return elapsed ? rtc_time_after(s, index, elapsed) : value;
	}
	if (index == RTC_A && rtc_is_updating(s) &&
		rtc_phase_ns(s, host_ns) % HR_NSEC_PER_SEC >= HR_NSEC_PER_SEC - RTC_UIP_NS)
		value |= RTC_A_UIP;
	return value;
}

/* Whether register C would read as other than 0: the read clears it, which is the model's work. */
static inline bool rtc_has_flags(const struct rtc_state *s, uint64_t host_ns)
{
	if (HR_LOAD(s->cmos[RTC_C]) || rtc_elapsed(s, host_ns))
		return true;
	return rtc_is_running(s) && rtc_periods(s, host_ns) > HR_LOAD(s->seen_periods);
}

/* Memory: writing it does nothing else. */
static inline bool rtc_is_memory(uint32_t index)
{
	return index > RTC_D && index != RTC_CENTURY;
}

/* [MC146818] has no index register, the PC has: 7 bits; bit 7 masks NMI, of which this machine has none. */
static inline void rtc_set_index(struct rtc_state *s, uint8_t value)
{
	HR_STORE(s->index, (uint8_t)(value & 0x7f));
}

#endif
