/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mc146818.c: the real-time clock and CMOS memory at 0x70/0x71.
 *
 * The time registers hold what was last written or updated; rtc_settle() carries them forward by
 * the update cycles that have ended since, on each access and when the timer fires. The divider
 * chain is one number, the moment it was last at zero: seconds end at whole seconds from it,
 * periodic interrupts come at whole periods from it.
 */
#include "devices/mc146818.h"

#include <stdlib.h>
#include <time.h>

#include "bpf/hr.h"
#include "vmm/bus.h"

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
#define RTC_C_IRQF 0x80
#define RTC_C_PF 0x40 /* PF, AF, UF are where PIE, AIE, UIE are in B */
#define RTC_C_AF 0x20
#define RTC_C_UF 0x10
#define RTC_D_VRT 0x80
#define RTC_PM 0x80	   /* of an hours register in 12-hour mode */
#define RTC_DONT_CARE 0xc0 /* alarm bytes from here on match anything */

#define RTC_HZ 32768u
#define RTC_NS 1000000000ull
/* [MC146818] Update Cycle: UIP rises 244 us before a cycle, which lasts 1984 us with a 32.768 kHz crystal. */
#define RTC_UIP_NS (244000u + 1984000u)
#define RTC_DAY_S 86400u
#define RTC_VIRTUAL_EPOCH 1577836800 /* 2020-01-01 00:00:00 UTC */

struct mc146818 {
	struct device dev;
	/* constant after init */
	struct irq_line irq;
	/* dev.lock */
	struct timer timer;
	uint8_t index;
	uint8_t cmos[RTC_BYTES]; /* registers A to D and the time are among them */
	uint64_t divider_ns;	 /* host time, modulo 2^64, at which the divider chain was at zero */
	uint64_t seen_seconds;	 /* update cycles since then that have been carried out */
	uint64_t seen_periods;	 /* periodic events since then that have been noted */
};

/* The time registers as numbers, in legal ranges. */
struct rtc_time {
	unsigned second, minute, hour, weekday, day, month, year; /* weekday 1..7, year 0..9999 */
};

static bool rtc_is_running(const struct mc146818 *rtc)
{
	return (rtc->cmos[RTC_A] & RTC_A_DV_RESET) != RTC_A_DV_RESET;
}

static uint64_t rtc_phase_ns(const struct mc146818 *rtc, uint64_t now_ns)
{
	return now_ns - rtc->divider_ns;
}

/* ---- register contents -------------------------------------------------------------------- */

static unsigned rtc_decode(const struct mc146818 *rtc, uint8_t value)
{
	return rtc->cmos[RTC_B] & RTC_B_DM ? value : (value >> 4) * 10u + (value & 15);
}

static uint8_t rtc_encode(const struct mc146818 *rtc, unsigned number)
{
	return (uint8_t)(rtc->cmos[RTC_B] & RTC_B_DM ? number : number / 10 << 4 | number % 10);
}

static unsigned rtc_decode_hours(const struct mc146818 *rtc, uint8_t value)
{
	if (rtc->cmos[RTC_B] & RTC_B_24H)
		return rtc_decode(rtc, value);
	return rtc_decode(rtc, value & 0x7f) % 12 + (value & RTC_PM ? 12 : 0);
}

static uint8_t rtc_encode_hours(const struct mc146818 *rtc, unsigned hour)
{
	if (rtc->cmos[RTC_B] & RTC_B_24H)
		return rtc_encode(rtc, hour);
	return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? RTC_PM : 0);
}

static unsigned rtc_clamp(unsigned value, unsigned low, unsigned high)
{
	return value < low ? low : value > high ? high : value;
}

static unsigned rtc_days_in_month(unsigned month, unsigned year)
{
	static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && is_leap);
}

/* What the registers hold; values that no calendar has become the nearest that one has. */
static struct rtc_time rtc_get_time(const struct mc146818 *rtc)
{
	const uint8_t *r = rtc->cmos;
	struct rtc_time t = {
		.second = rtc_clamp(rtc_decode(rtc, r[RTC_SECONDS]), 0, 59),
		.minute = rtc_clamp(rtc_decode(rtc, r[RTC_MINUTES]), 0, 59),
		.hour = rtc_clamp(rtc_decode_hours(rtc, r[RTC_HOURS]), 0, 23),
		.weekday = rtc_clamp(rtc_decode(rtc, r[RTC_WEEKDAY]), 1, 7),
		.month = rtc_clamp(rtc_decode(rtc, r[RTC_MONTH]), 1, 12),
		.year = rtc_clamp(rtc_decode(rtc, r[RTC_CENTURY]), 0, 99) * 100 +
			rtc_clamp(rtc_decode(rtc, r[RTC_YEAR]), 0, 99),
	};

	t.day = rtc_clamp(rtc_decode(rtc, r[RTC_DAY]), 1, rtc_days_in_month(t.month, t.year));
	return t;
}

static void rtc_put_time(struct mc146818 *rtc, const struct rtc_time *t)
{
	rtc->cmos[RTC_SECONDS] = rtc_encode(rtc, t->second);
	rtc->cmos[RTC_MINUTES] = rtc_encode(rtc, t->minute);
	rtc->cmos[RTC_HOURS] = rtc_encode_hours(rtc, t->hour);
	rtc->cmos[RTC_WEEKDAY] = rtc_encode(rtc, t->weekday);
	rtc->cmos[RTC_DAY] = rtc_encode(rtc, t->day);
	rtc->cmos[RTC_MONTH] = rtc_encode(rtc, t->month);
	rtc->cmos[RTC_YEAR] = rtc_encode(rtc, t->year % 100);
	rtc->cmos[RTC_CENTURY] = rtc_encode(rtc, t->year / 100);
}

static void rtc_add_seconds(struct rtc_time *t, uint64_t seconds)
{
	uint64_t total = t->hour * 3600u + t->minute * 60u + t->second + seconds;
	uint64_t days = total / RTC_DAY_S;
	uint64_t day = t->day + days;

	total %= RTC_DAY_S;
	t->hour = (unsigned)(total / 3600);
	t->minute = (unsigned)(total / 60 % 60);
	t->second = (unsigned)(total % 60);
	t->weekday = (unsigned)((t->weekday - 1 + days) % 7 + 1);
	while (day > rtc_days_in_month(t->month, t->year)) {
		day -= rtc_days_in_month(t->month, t->year);
		if (++t->month > 12) {
			t->month = 1;
			t->year = (t->year + 1) % 10000;
		}
	}
	t->day = (unsigned)day;
}

/* ---- alarm, flags, interrupt --------------------------------------------------------------- */

static bool rtc_alarm_matches(uint8_t alarm, unsigned decoded, unsigned now)
{
	return alarm >= RTC_DONT_CARE || decoded == now;
}

/* Seconds from `t` to the next moment that the alarm matches, 1..86400; 0: never. */
static uint64_t rtc_alarm_distance(const struct mc146818 *rtc, const struct rtc_time *t)
{
	uint8_t second = rtc->cmos[RTC_SECONDS_ALARM];
	uint8_t minute = rtc->cmos[RTC_MINUTES_ALARM];
	uint8_t hour = rtc->cmos[RTC_HOURS_ALARM];
	unsigned start = t->hour * 3600 + t->minute * 60 + t->second;
	unsigned i = 1;

	if (second < RTC_DONT_CARE && rtc_decode(rtc, second) > 59)
		return 0;
	while (i <= RTC_DAY_S) {
		unsigned at = (start + i) % RTC_DAY_S;

		if (!rtc_alarm_matches(hour, rtc_decode_hours(rtc, hour), at / 3600))
			i += 3600 - at % 3600;
		else if (!rtc_alarm_matches(minute, rtc_decode(rtc, minute), at / 60 % 60))
			i += 60 - at % 60;
		else if (!rtc_alarm_matches(second, rtc_decode(rtc, second), at % 60))
			i++;
		else
			return i;
	}
	return 0;
}

/* The periodic interrupt's period in 32.768 kHz steps ([MC146818] table 5); 0: none. */
static uint64_t rtc_period(const struct mc146818 *rtc)
{
	unsigned rate = rtc->cmos[RTC_A] & RTC_A_RS;

	if (rate == 0)
		return 0;
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint64_t rtc_periods(const struct mc146818 *rtc, uint64_t now_ns)
{
	uint64_t period = rtc_period(rtc);

	return period ? hr_ns_to_ticks(rtc_phase_ns(rtc, now_ns), RTC_HZ) / period : 0;
}

/* Carries out what has happened since the last look. */
static void rtc_settle(struct mc146818 *rtc, uint64_t now_ns)
{
	uint64_t seconds, distance, periods;
	struct rtc_time t;

	if (!rtc_is_running(rtc))
		return;
	periods = rtc_periods(rtc, now_ns);
	if (periods != rtc->seen_periods)
		rtc->cmos[RTC_C] |= RTC_C_PF;
	rtc->seen_periods = periods;
	seconds = rtc_phase_ns(rtc, now_ns) / RTC_NS - rtc->seen_seconds;
	rtc->seen_seconds += seconds;
	if (!seconds || (rtc->cmos[RTC_B] & RTC_B_SET))
		return;
	t = rtc_get_time(rtc);
	distance = rtc_alarm_distance(rtc, &t);
	rtc_add_seconds(&t, seconds);
	rtc_put_time(rtc, &t);
	rtc->cmos[RTC_C] |= RTC_C_UF;
	if (distance && distance <= seconds)
		rtc->cmos[RTC_C] |= RTC_C_AF;
}

static bool rtc_irqf(const struct mc146818 *rtc)
{
	return rtc->cmos[RTC_C] & rtc->cmos[RTC_B] & (RTC_C_PF | RTC_C_AF | RTC_C_UF);
}

/* Drives IRQ and arms the timer for what will change it. Settled at now_ns. */
static void rtc_deliver(struct mc146818 *rtc)
{
	uint8_t waiting = rtc->cmos[RTC_B] & ~rtc->cmos[RTC_C];
	uint64_t next_ns = UINT64_MAX, seconds = 0, ns; /* from the divider's zero */
	struct rtc_time t;

	irq_set(&rtc->irq, rtc_irqf(rtc));
	timer_cancel(rtc->dev.clock, &rtc->timer);
	if (!rtc_is_running(rtc))
		return;
	if (!(rtc->cmos[RTC_B] & RTC_B_SET) && (waiting & RTC_B_UIE)) {
		seconds = 1;
	} else if (!(rtc->cmos[RTC_B] & RTC_B_SET) && (waiting & RTC_B_AIE)) {
		t = rtc_get_time(rtc);
		seconds = rtc_alarm_distance(rtc, &t);
	}
	if (seconds)
		next_ns = (rtc->seen_seconds + seconds) * RTC_NS;
	if ((waiting & RTC_B_PIE) && rtc_period(rtc)) {
		ns = hr_ticks_to_ns((rtc->seen_periods + 1) * rtc_period(rtc), RTC_HZ);
		next_ns = ns < next_ns ? ns : next_ns;
	}
	if (next_ns != UINT64_MAX)
		timer_arm(rtc->dev.clock, &rtc->timer, rtc->divider_ns + next_ns);
}

static void rtc_fire(void *opaque)
{
	struct mc146818 *rtc = opaque;

	pthread_mutex_lock(&rtc->dev.lock);
	rtc_settle(rtc, device_now(&rtc->dev));
	rtc_deliver(rtc);
	pthread_mutex_unlock(&rtc->dev.lock);
}

/* ---- accesses ------------------------------------------------------------------------------ */

/* The divider, if it runs, is at phase_ns at now_ns; nothing has been seen since. */
static void rtc_set_phase(struct mc146818 *rtc, uint64_t now_ns, uint64_t phase_ns)
{
	rtc->divider_ns = now_ns - phase_ns;
	rtc->seen_seconds = phase_ns / RTC_NS;
	rtc->seen_periods = rtc_periods(rtc, now_ns);
}

static void rtc_write_a(struct mc146818 *rtc, uint8_t value, uint64_t now_ns)
{
	bool was_running = rtc_is_running(rtc);

	rtc->cmos[RTC_A] = value & ~RTC_A_UIP;
	if (!was_running && rtc_is_running(rtc))
		rtc_set_phase(rtc, now_ns, RTC_NS / 2); /* [MC146818] Divider Control: first update after 500 ms */
	rtc->seen_periods = rtc_periods(rtc, now_ns);
}

static void rtc_write_b(struct mc146818 *rtc, uint8_t value)
{
	if (value & RTC_B_SET)
		value &= ~RTC_B_UIE; /* [MC146818] Register B, SET and UIE */
	rtc->cmos[RTC_B] = value;
}

static uint8_t rtc_read_register(struct mc146818 *rtc, uint8_t index, uint64_t now_ns)
{
	uint8_t value = rtc->cmos[index];

	if (index == RTC_A) {
		if (rtc_is_running(rtc) && !(rtc->cmos[RTC_B] & RTC_B_SET) &&
			rtc_phase_ns(rtc, now_ns) % RTC_NS >= RTC_NS - RTC_UIP_NS)
			value |= RTC_A_UIP;
	} else if (index == RTC_C) {
		value |= rtc_irqf(rtc) ? RTC_C_IRQF : 0;
		rtc->cmos[RTC_C] = 0;
	}
	return value;
}

static void rtc_read(struct device *dev, struct io_req *req)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;
	uint64_t now_ns = device_now(dev);

	req->io.result = 0xff; /* the index register is write-only */
	if (req->io.offset == 0)
		return;
	rtc_settle(rtc, now_ns);
	req->io.result = rtc_read_register(rtc, rtc->index, now_ns);
	rtc_deliver(rtc);
}

static void rtc_write(struct device *dev, struct io_req *req)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;
	uint8_t value = (uint8_t)req->io.value;
	uint64_t now_ns = device_now(dev);

	if (req->io.offset == 0) {
		rtc->index = value & 0x7f; /* bit 7 masks NMI, of which this machine has none */
		return;
	}
	rtc_settle(rtc, now_ns);
	if (rtc->index == RTC_A)
		rtc_write_a(rtc, value, now_ns);
	else if (rtc->index == RTC_B)
		rtc_write_b(rtc, value);
	else if (rtc->index != RTC_C && rtc->index != RTC_D)
		rtc->cmos[rtc->index] = value;
	rtc_deliver(rtc);
}

/* [MC146818] RESET: enables and flags off; time, alarm and memory stay. */
static void rtc_reset(struct device *dev)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;

	rtc_settle(rtc, device_now(dev));
	rtc->cmos[RTC_B] &= (uint8_t) ~(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE | RTC_B_SQWE);
	rtc->cmos[RTC_C] = 0;
	rtc->index = 0;
	rtc_deliver(rtc);
}

static void rtc_destroy(struct device *dev)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;

	timer_cancel(dev->clock, &rtc->timer);
	device_cleanup(dev);
	free(rtc);
}

void mc146818_set_cmos(struct device *dev, uint8_t index, uint8_t value)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;

	if (index > RTC_D && index < RTC_BYTES && index != RTC_CENTURY)
		rtc->cmos[index] = value;
}

/* As a battery-backed chip is found at power-on: running, 1024 Hz selected, 24 hours, BCD. */
static void rtc_power_up(struct mc146818 *rtc)
{
	struct timespec wall = {.tv_sec = RTC_VIRTUAL_EPOCH};
	struct rtc_time t = {.weekday = 5, .day = 1, .month = 1, .year = 1970}; /* a Thursday */

	if (!rtc->dev.clock->source.is_virtual)
		clock_gettime(CLOCK_REALTIME, &wall);
	rtc->cmos[RTC_A] = RTC_A_DV_32KHZ | 6;
	rtc->cmos[RTC_B] = RTC_B_24H;
	rtc->cmos[RTC_D] = RTC_D_VRT;
	rtc_add_seconds(&t, wall.tv_sec > 0 ? (uint64_t)wall.tv_sec : 0);
	rtc_put_time(rtc, &t);
	rtc_set_phase(rtc, clock_now(rtc->dev.clock), (uint64_t)wall.tv_nsec);
}

/* The clock is a guest's like all others: after a pause it is behind the host's by the pause. */
static void rtc_shift_time(struct device *dev, uint64_t by_ns)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;

	rtc->divider_ns += by_ns;
}

static const struct device_ops rtc_ops = {.reset = rtc_reset, .shift_time = rtc_shift_time, .destroy = rtc_destroy};

static const struct reg_name rtc_regs[] = {{0, 1, "CMOS index"}, {1, 1, "CMOS data"}, {0, 0, NULL}};

static const struct range rtc_range = {.name = "mc146818",
	.bus = IO_PIO,
	.base = 0x70,
	.len = 2,
	.width = 1,
	.read = rtc_read,
	.write = rtc_write,
	.regs = rtc_regs,
	.mapped = true};

struct device *mc146818_create(struct bus *bus, struct clock *clock, struct irq_line irq)
{
	struct mc146818 *rtc = calloc(1, sizeof(*rtc));
	struct range range = rtc_range;

	if (!rtc)
		return NULL;
	if (device_init(&rtc->dev, "mc146818", &rtc_ops, clock, 0, 0))
		goto fail_free;
	rtc->irq = irq;
	timer_init(&rtc->timer, rtc_fire, rtc);
	rtc_power_up(rtc);
	range.dev = &rtc->dev;
	if (!bus_add(bus, &range))
		goto fail_device;
	return &rtc->dev;

fail_device:
	device_cleanup(&rtc->dev);
fail_free:
	free(rtc);
	return NULL;
}
