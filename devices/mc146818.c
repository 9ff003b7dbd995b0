/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mc146818.c: the real-time clock and CMOS memory at 0x70/0x71, the full model.
 *
 * What a register shows at a moment is computed in bpf/mc146818.h; here is what changes it: writes
 * and the interrupt flags. Reads, but of a register C with flags, the index and plain memory leave
 * everything else alone, so that they leave the page that the program leaves. rtc_settle() carries
 * out what has happened since the last look, before a write that depends on it, when flags are
 * read and when the timer fires.
 */
#include "devices/mc146818.h"

#include <stdlib.h>
#include <time.h>

#include "bpf/mc146818.h"
#include "vmm/bus.h"

#define RTC_DONT_CARE 0xc0	     /* alarm bytes from here on match anything */
#define RTC_VIRTUAL_EPOCH 1577836800 /* 2020-01-01 00:00:00 UTC */
#define RTC_UNIX_DAY 719468ull	     /* 1 January 1970 in days since 1 March 0000 */
#define RTC_FIRST_WEEKDAY 3	     /* which was a Wednesday */

struct mc146818 {
	struct device dev;
	/* constant after init */
	struct irq_line irq;
	/* dev.lock */
	struct timer timer;
};

/* What is to be done once the page is let go. */
struct rtc_outcome {
	bool irq;
	bool is_armed;
	uint64_t deadline_ns; /* host time */
};

static struct rtc_state *rtc_state_of(struct device *dev)
{
	struct rtc_page *page = device_page(dev);

	return &page->s;
}

/* ---- register contents as numbers ----------------------------------------------------------- */

static unsigned rtc_decode(const struct rtc_state *s, uint8_t value)
{
	return s->cmos[RTC_B] & RTC_B_DM ? value : (value >> 4) * 10u + (value & 15);
}

static unsigned rtc_decode_hours(const struct rtc_state *s, uint8_t value)
{
	if (s->cmos[RTC_B] & RTC_B_24H)
		return rtc_decode(s, value);
	return rtc_decode(s, value & 0x7f) % 12 + (value & RTC_PM ? 12 : 0);
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

/*
 * The time counts on from what the registers hold; values that no calendar has are the nearest that
 * one has. With daylight saving an hour in April does not exist, which is taken for standard time, and
 * one in October comes twice, which is taken for the first.
 */
static void rtc_take_time(struct rtc_state *s)
{
	const uint8_t *r = s->cmos;
	struct rtc_date date = {
		.month = rtc_clamp(rtc_decode(s, r[RTC_MONTH]), 1, 12),
		.year = rtc_clamp(rtc_decode(s, r[RTC_CENTURY]), 0, 99) * 100 +
			rtc_clamp(rtc_decode(s, r[RTC_YEAR]), 0, 99),
	};
	unsigned weekday = rtc_clamp(rtc_decode(s, r[RTC_WEEKDAY]), 1, 7) - 1;
	struct rtc_moment hour_ago;
	uint64_t seconds;
	uint32_t day;

	date.day = rtc_clamp(rtc_decode(s, r[RTC_DAY]), 1, rtc_days_in_month(date.month, date.year));
	day = rtc_days_of(&date);
	seconds = (uint64_t)day * RTC_DAY_S + rtc_clamp(rtc_decode_hours(s, r[RTC_HOURS]), 0, 23) * 3600 +
		  rtc_clamp(rtc_decode(s, r[RTC_MINUTES]), 0, 59) * 60 +
		  rtc_clamp(rtc_decode(s, r[RTC_SECONDS]), 0, 59);
	HR_STORE(s->weekday, (uint8_t)((weekday + 7 - day % 7) % 7));
	hour_ago = rtc_moment_of(s, seconds + RTC_CYCLE_S - 3600);
	if ((r[RTC_B] & RTC_B_DSE) && rtc_is_summer(&hour_ago))
		seconds -= 3600;
	HR_STORE(s->base, seconds);
}

/* Carries out `elapsed` update cycles, not 0. */
static void rtc_update(struct rtc_state *s, uint64_t elapsed)
{
	for (unsigned i = 0; i < RTC_BYTES; i++) {
		if (rtc_is_time(i))
			HR_STORE(s->cmos[i], rtc_time_after(s, i, elapsed));
	}
	HR_STORE(s->base, (s->base + elapsed) % RTC_CYCLE_S);
}

/* ---- alarm, flags, interrupt --------------------------------------------------------------- */

static bool rtc_alarm_matches(uint8_t alarm, unsigned decoded, unsigned now)
{
	return alarm >= RTC_DONT_CARE || decoded == now;
}

/*
 * Update cycles from what the registers hold to the next that the alarm matches; 0: never. An hour that
 * daylight saving leaves out comes the day after; what it does, it does at the end of an hour.
 */
static uint64_t rtc_alarm_distance(const struct rtc_state *s)
{
	uint8_t second = s->cmos[RTC_SECONDS_ALARM];
	uint8_t minute = s->cmos[RTC_MINUTES_ALARM];
	uint8_t hour = s->cmos[RTC_HOURS_ALARM];
	unsigned i = 1;

	if (second < RTC_DONT_CARE && rtc_decode(s, second) > 59)
		return 0;
	if (minute < RTC_DONT_CARE && rtc_decode(s, minute) > 59)
		return 0;
	while (i <= 2 * RTC_DAY_S) {
		unsigned at = rtc_after(s, i).second;

		if (!rtc_alarm_matches(hour, rtc_decode_hours(s, hour), at / 3600))
			i += 3600 - at % 3600;
		else if (!rtc_alarm_matches(minute, rtc_decode(s, minute), at / 60 % 60))
			i += 60 - at % 60;
		else if (!rtc_alarm_matches(second, rtc_decode(s, second), at % 60))
			i++;
		else
			return i;
	}
	return 0;
}

static void rtc_raise(struct rtc_state *s, uint8_t flags)
{
	HR_STORE(s->cmos[RTC_C], s->cmos[RTC_C] | flags);
}

/* Carries out what has happened since the last look. Page held. */
static void rtc_settle(struct rtc_state *s, uint64_t now_ns)
{
	uint64_t seconds, periods, distance, elapsed = rtc_elapsed(s, now_ns);

	if (!rtc_is_running(s))
		return;
	periods = rtc_periods(s, now_ns);
	if (periods > s->seen_periods) {
		rtc_raise(s, RTC_C_PF);
		HR_STORE(s->seen_periods, periods);
	}
	if (elapsed) {
		distance = rtc_alarm_distance(s);
		rtc_update(s, elapsed);
		rtc_raise(s, RTC_C_UF | (distance && distance <= elapsed ? RTC_C_AF : 0));
	}
	seconds = rtc_phase_ns(s, now_ns) / HR_NSEC_PER_SEC;
	if (seconds > s->seen_seconds) /* under SET too: they will not be made up */
		HR_STORE(s->seen_seconds, seconds);
}

static bool rtc_irqf(const struct rtc_state *s)
{
	return s->cmos[RTC_C] & s->cmos[RTC_B] & (RTC_C_PF | RTC_C_AF | RTC_C_UF);
}

/* The line, and what will change it next. Page held, settled. */
static struct rtc_outcome rtc_look(const struct rtc_state *s)
{
	uint8_t waiting = s->cmos[RTC_B] & ~s->cmos[RTC_C];
	uint64_t next_ns = UINT64_MAX, seconds = 0, ns; /* from the divider's zero */
	struct rtc_outcome todo = {.irq = rtc_irqf(s)};

	if (!rtc_is_running(s))
		return todo;
	if (rtc_is_updating(s) && (waiting & RTC_B_UIE))
		seconds = 1;
	else if (rtc_is_updating(s) && (waiting & RTC_B_AIE))
		seconds = rtc_alarm_distance(s);
	if (seconds)
		next_ns = (s->seen_seconds + seconds) * HR_NSEC_PER_SEC;
	if ((waiting & RTC_B_PIE) && rtc_period(s)) {
		ns = hr_ticks_to_ns((s->seen_periods + 1) * rtc_period(s), RTC_HZ);
		next_ns = ns < next_ns ? ns : next_ns;
	}
	todo.is_armed = next_ns != UINT64_MAX;
	todo.deadline_ns = s->divider_ns + next_ns - (uint64_t)s->offset_ns;
	return todo;
}

static void rtc_deliver(struct mc146818 *rtc, const struct rtc_outcome *todo)
{
	irq_set(&rtc->irq, todo->irq);
	if (todo->is_armed)
		timer_arm(rtc->dev.clock, &rtc->timer, todo->deadline_ns);
	else
		timer_cancel(rtc->dev.clock, &rtc->timer);
}

static void rtc_fire(void *opaque)
{
	struct mc146818 *rtc = opaque;
	struct rtc_state *s = rtc_state_of(&rtc->dev);
	struct rtc_outcome todo;

	pthread_mutex_lock(&rtc->dev.lock);
	page_begin(&rtc->dev);
	rtc_settle(s, device_now(&rtc->dev));
	todo = rtc_look(s);
	page_end(&rtc->dev);
	rtc_deliver(rtc, &todo);
	pthread_mutex_unlock(&rtc->dev.lock);
}

/* ---- accesses ------------------------------------------------------------------------------ */

/* The divider, if it runs, is at phase_ns at now_ns; nothing has been seen since. */
static void rtc_set_phase(struct rtc_state *s, uint64_t now_ns, uint64_t phase_ns)
{
	HR_STORE(s->divider_ns, now_ns + (uint64_t)s->offset_ns - phase_ns);
	HR_STORE(s->seen_seconds, phase_ns / HR_NSEC_PER_SEC);
	HR_STORE(s->seen_periods, rtc_periods(s, now_ns));
}

static void rtc_write_a(struct rtc_state *s, uint8_t value, uint64_t now_ns)
{
	bool was_running = rtc_is_running(s);

	HR_STORE(s->cmos[RTC_A], (uint8_t)(value & ~RTC_A_UIP));
	if (!was_running && rtc_is_running(s))
		rtc_set_phase(s, now_ns, HR_NSEC_PER_SEC / 2); /* [MC146818] Divider Control: update after 500 ms */
	HR_STORE(s->seen_periods, rtc_periods(s, now_ns));
}

/* Any register but memory. Page held, settled. */
static void rtc_write_register(struct rtc_state *s, uint32_t index, uint8_t value, uint64_t now_ns)
{
	bool means_another;

	if (index == RTC_C || index == RTC_D)
		return;
	if (index == RTC_A) {
		rtc_write_a(s, value, now_ns);
		return;
	}
	if (index == RTC_B && (value & RTC_B_SET))
		value &= (uint8_t)~RTC_B_UIE; /* [MC146818] Register B, SET and UIE */
	/* what the registers mean is looked at again only when it changes: of October's two hours this may be the second */
	means_another = rtc_is_time(index) ||
			(index == RTC_B && ((s->cmos[RTC_B] ^ value) & (RTC_B_DM | RTC_B_24H | RTC_B_DSE)));
	HR_STORE(s->cmos[index], value);
	if (means_another)
		rtc_take_time(s);
}

/* A register C with flags. */
static uint8_t rtc_read_flags(struct rtc_state *s, uint64_t now_ns, struct rtc_outcome *todo)
{
	uint8_t value;

	rtc_settle(s, now_ns);
	value = s->cmos[RTC_C] | (rtc_irqf(s) ? RTC_C_IRQF : 0);
	HR_STORE(s->cmos[RTC_C], 0);
	*todo = rtc_look(s);
	return value;
}

static void rtc_read(struct device *dev, struct io_req *req)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;
	struct rtc_state *s = rtc_state_of(dev);
	bool has_flags = false;
	struct rtc_outcome todo;
	uint64_t now_ns;

	if (req->io.offset == 0) {
		req->io.result = 0xff; /* the index register is write-only */
		return;
	}
	page_begin(dev);
	now_ns = device_now(dev);
	if (s->index != RTC_C) {
		req->io.result = rtc_register(s, s->index, now_ns);
	} else {
		has_flags = rtc_has_flags(s, now_ns);
		req->io.result = has_flags ? rtc_read_flags(s, now_ns, &todo) : 0;
	}
	page_end(dev);
	if (has_flags)
		rtc_deliver(rtc, &todo);
}

static void rtc_write(struct device *dev, struct io_req *req)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;
	struct rtc_state *s = rtc_state_of(dev);
	uint8_t value = (uint8_t)req->io.value;
	bool has_moved = false;
	struct rtc_outcome todo;
	uint64_t now_ns;

	page_begin(dev);
	if (req->io.offset == 0) {
		rtc_set_index(s, value);
	} else if (rtc_is_memory(s->index)) {
		HR_STORE(s->cmos[s->index], value);
	} else {
		now_ns = device_now(dev);
		rtc_settle(s, now_ns);
		rtc_write_register(s, s->index, value, now_ns);
		todo = rtc_look(s);
		has_moved = true;
	}
	page_end(dev);
	if (has_moved)
		rtc_deliver(rtc, &todo);
}

/* [MC146818] RESET: enables and flags off; time, alarm and memory stay. */
static void rtc_reset(struct device *dev)
{
	struct mc146818 *rtc = (struct mc146818 *)dev;
	struct rtc_state *s = rtc_state_of(dev);
	struct rtc_outcome todo;

	page_begin(dev);
	rtc_settle(s, device_now(dev));
	HR_STORE(s->cmos[RTC_B], s->cmos[RTC_B] & (uint8_t) ~(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE | RTC_B_SQWE));
	HR_STORE(s->cmos[RTC_C], 0);
	HR_STORE(s->index, 0);
	todo = rtc_look(s);
	page_end(dev);
	rtc_deliver(rtc, &todo);
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
	if (index < RTC_BYTES && rtc_is_memory(index))
		HR_STORE(rtc_state_of(dev)->cmos[index], value);
}

/* As a battery-backed chip is found at power-on: running, 1024 Hz selected, 24 hours, BCD. */
static void rtc_power_up(struct rtc_state *s, const struct clock *clock)
{
	struct timespec wall = {.tv_sec = RTC_VIRTUAL_EPOCH};

	if (!clock->source.is_virtual)
		clock_gettime(CLOCK_REALTIME, &wall);
	s->offset_ns = -(int64_t)clock->start_ns;
	s->cmos[RTC_A] = RTC_A_DV_32KHZ | 6;
	s->cmos[RTC_B] = RTC_B_24H;
	s->cmos[RTC_D] = RTC_D_VRT;
	s->base = RTC_UNIX_DAY * RTC_DAY_S;
	s->weekday = RTC_FIRST_WEEKDAY;
	rtc_update(s, wall.tv_sec > 0 ? (uint64_t)wall.tv_sec : 0);
	rtc_set_phase(s, clock_now(clock), (uint64_t)wall.tv_nsec);
}

static const struct device_ops rtc_ops = {.reset = rtc_reset, .destroy = rtc_destroy};

static const struct reg_name rtc_regs[] = {{0, 1, "CMOS index"}, {1, 1, "CMOS data"}, {0, 0, NULL}};

/* The index: a byte, all that fits there, that nothing but an access of 0x71 looks at; bit 7 masks no NMI here. */
static const struct range_zone rtc_deferred[] = {{0, 1, false}, {0, 0, false}};

static const struct range rtc_range = {.name = "mc146818",
	.bus = IO_PIO,
	.base = 0x70,
	.len = 2,
	.width = 1,
	.read = rtc_read,
	.write = rtc_write,
	.regs = rtc_regs,
	.deferred = rtc_deferred,
	.mapped = true};

struct device *mc146818_create(struct bus *bus, struct clock *clock, struct irq_line irq)
{
	struct mc146818 *rtc = calloc(1, sizeof(*rtc));
	struct range range = rtc_range;

	if (!rtc)
		return NULL;
	if (device_init(&rtc->dev, "mc146818", &rtc_ops, clock, RTC_STATE_VERSION, sizeof(struct rtc_page)))
		goto fail_free;
	rtc->irq = irq;
	timer_init(&rtc->timer, rtc_fire, rtc);
	rtc_power_up(rtc_state_of(&rtc->dev), clock);
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
