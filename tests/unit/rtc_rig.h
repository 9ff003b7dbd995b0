/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtc_rig.h: what the tests of the clock share: the chip on a board, its registers by index, and a
 * date into and out of them in any of its formats. Includes nothing from bpf/.
 */
#ifndef TESTS_UNIT_RTC_RIG_H
#define TESTS_UNIT_RTC_RIG_H

#include "tests/unit/board.h"

#include <time.h>

#include "devices/mc146818.h"

#define EPOCH 1577836800ll /* 2020-01-01 00:00:00 UTC */
#define SEC 1000000000ull

struct rig {
	struct board b;
	struct device *rtc;
};

static inline void rig_init(struct rig *rig)
{
	board_init(&rig->b, ACCEL_OFF);
	rig->rtc = mc146818_create(&rig->b.bus, &rig->b.clock, board_line(&rig->b, 8));
	assert_non_null(rig->rtc);
}

static inline void rig_done(struct rig *rig)
{
	board_destroy(&rig->b, rig->rtc);
}

static inline uint8_t rd(struct rig *rig, uint8_t index)
{
	board_out(&rig->b, 0x70, index);
	return board_in(&rig->b, 0x71);
}

static inline void wr(struct rig *rig, uint8_t index, uint8_t value)
{
	board_out(&rig->b, 0x70, index);
	board_out(&rig->b, 0x71, value);
}

static inline uint8_t bcd(int v)
{
	return (uint8_t)(v / 10 * 16 + v % 10);
}

static inline void check_tm(struct rig *rig, uint8_t b, struct tm tm)
{
	uint8_t hour;

#define AS(v) (b & 4 ? (uint8_t)(v) : bcd(v))
	hour = b & 2 ? AS(tm.tm_hour) : AS(tm.tm_hour % 12 ? tm.tm_hour % 12 : 12) | (tm.tm_hour >= 12 ? 0x80 : 0);
	assert_int_equal(rd(rig, 0), AS(tm.tm_sec));
	assert_int_equal(rd(rig, 2), AS(tm.tm_min));
	assert_int_equal(rd(rig, 4), hour);
	assert_int_equal(rd(rig, 6), AS(tm.tm_wday + 1)); /* Sunday is 1 */
	assert_int_equal(rd(rig, 7), AS(tm.tm_mday));
	assert_int_equal(rd(rig, 8), AS(tm.tm_mon + 1));
	assert_int_equal(rd(rig, 9), AS(tm.tm_year % 100));
	assert_int_equal(rd(rig, 0x32), AS((tm.tm_year + 1900) / 100));
#undef AS
}

static inline void check_date(struct rig *rig, uint8_t b, long long unix_time)
{
	time_t when = (time_t)unix_time;
	struct tm tm;

	assert_non_null(gmtime_r(&when, &tm));
	check_tm(rig, b, tm);
}

static inline void write_tm(struct rig *rig, uint8_t b, struct tm tm)
{
#define AS(v) (b & 4 ? (uint8_t)(v) : bcd(v))
	wr(rig, 11, b | 0x80);
	wr(rig, 0, AS(tm.tm_sec));
	wr(rig, 2, AS(tm.tm_min));
	wr(rig, 4, b & 2 ? AS(tm.tm_hour) : AS(tm.tm_hour % 12 ? tm.tm_hour % 12 : 12) | (tm.tm_hour >= 12 ? 0x80 : 0));
	wr(rig, 6, AS(tm.tm_wday + 1));
	wr(rig, 7, AS(tm.tm_mday));
	wr(rig, 8, AS(tm.tm_mon + 1));
	wr(rig, 9, AS(tm.tm_year % 100));
	wr(rig, 0x32, AS((tm.tm_year + 1900) / 100));
	wr(rig, 11, b);
#undef AS
}

static inline void write_date(struct rig *rig, uint8_t b, long long unix_time)
{
	time_t when = (time_t)unix_time;
	struct tm tm;

	assert_non_null(gmtime_r(&when, &tm));
	write_tm(rig, b, tm);
}

/* Sets the alarm, waits, and says after how many seconds it came; 0: not within two days. */
static inline uint64_t alarm_after(uint8_t b, long long from, uint8_t hour, uint8_t minute, uint8_t second)
{
	uint64_t after = 0;
	struct rig rig;

	rig_init(&rig);
	write_date(&rig, b, from);
	wr(&rig, 5, hour);
	wr(&rig, 3, minute);
	wr(&rig, 1, second);
	rd(&rig, 12);
	wr(&rig, 11, b | 0x20);
	clock_advance(&rig.b.clock, 2 * 86400 * SEC);
	if (rig.b.rises[8]) {
		assert_int_equal(rig.b.rise_ns[8] % SEC, 0);
		after = rig.b.rise_ns[8] / SEC;
		assert_int_equal(rd(&rig, 12) & 0xa0, 0xa0);
	}
	rig_done(&rig);
	return after;
}

#endif
