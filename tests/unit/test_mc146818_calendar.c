/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mc146818_calendar.c: the clock's calendar against the C library's, day by day from 1900 to 2099,
 * and at any uptime up to centuries; BCD, binary, 12 and 24 hours; daylight saving against the C
 * library's rules and, second by second, against [MC146818]'s words.
 */
#include "tests/unit/rtc_rig.h"

#include <stdlib.h>

static void test_calendar(void **state)
{
	/* a second, minutes, an hour, days, leap day 2020, years, over 2100, which has no leap day, a century */
	static const uint64_t uptimes_s[] = {0, 1, 59, 60, 3599, 3600, 43199, 43200, 46800, 86399, 86400, 59ull * 86400,
		60ull * 86400, 366ull * 86400 - 1, 366ull * 86400, 3653ull * 86400,
		2524608000ull + 58ull * 86400 + 86399, 2524608000ull + 59ull * 86400, 3155760000ull};
	static const uint8_t modes[] = {0, 2, 4, 6};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct rig rig;

		rig_init(&rig);
		write_date(&rig, modes[i], EPOCH);
		for (unsigned k = 0; k < sizeof(uptimes_s) / sizeof(uptimes_s[0]); k++) {
			clock_advance(&rig.b.clock, uptimes_s[k] * SEC);
			check_date(&rig, modes[i], EPOCH + (long long)uptimes_s[k]);
			clock_advance(&rig.b.clock, uptimes_s[k] * SEC + SEC - 1);
			check_date(&rig, modes[i], EPOCH + (long long)uptimes_s[k]);
		}
		rig_done(&rig);
	}
}

/* Each day from 1900 to 2099, over both centuries' ends: a second before midnight, and midnight. */
static void test_two_centuries(void **state)
{
	static const uint8_t modes[] = {0, 2, 4, 6};
	const long long from = -2208988800ll, to = 4102444800ll; /* 1900-01-01, 2100-01-01 */
	unsigned b = 0;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	for (long long day = from; day < to; day += 86400, b++) {
		uint64_t start = clock_now(&rig.b.clock) / SEC * SEC + SEC;

		/* one day after another in one go, and now and then written afresh in another format */
		if (day == from || b % 97 == 0) {
			write_date(&rig, modes[b / 97 % 4], day + 86398);
			clock_advance(&rig.b.clock, start);
		} else {
			clock_advance(&rig.b.clock, clock_now(&rig.b.clock) + 86399 * SEC);
		}
		check_date(&rig, modes[b / 97 % 4], day + 86399);
		clock_advance(&rig.b.clock, clock_now(&rig.b.clock) + SEC);
		check_date(&rig, modes[b / 97 % 4], day + 86400);
	}
	rig_done(&rig);
}

/* Any time of day and any uptime up to some centuries, nobody looking in between. */
static void test_random_dates(void **state)
{
	static const uint8_t modes[] = {0, 2, 4, 6};
	uint64_t seed = 3;

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		long long from =
			-2208988800ll + ((long long)board_random(&seed) * 3 + board_random(&seed) % 3) % 6311433600ll;
		uint64_t uptime_s = ((uint64_t)board_random(&seed) << 2) >> board_random(&seed) % 32;
		uint8_t mode = modes[i % 4];
		struct rig rig;

		rig_init(&rig);
		write_date(&rig, mode, from);
		clock_advance(&rig.b.clock, uptime_s * SEC + board_random(&seed) % SEC);
		check_date(&rig, mode, from + (long long)uptime_s);
		rig_done(&rig);
	}
}

/* After year 9999 comes 0000, a leap year as 400 years later. */
static void test_end_of_years(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	write_date(&rig, 2, 253402300799ll); /* 9999-12-31 23:59:59, a Friday */
	clock_advance(&rig.b.clock, SEC);
	assert_int_equal(rd(&rig, 9), 0);
	assert_int_equal(rd(&rig, 0x32), 0);
	assert_int_equal(rd(&rig, 8), 1);
	assert_int_equal(rd(&rig, 7), 1);
	assert_int_equal(rd(&rig, 6), 7);
	clock_advance(&rig.b.clock, SEC + 59 * 86400 * SEC);
	assert_int_equal(rd(&rig, 8), 2);
	assert_int_equal(rd(&rig, 7), 0x29);
	clock_advance(&rig.b.clock, SEC + 60 * 86400 * SEC);
	assert_int_equal(rd(&rig, 8), 3);
	assert_int_equal(rd(&rig, 7), 1);
	rig_done(&rig);
}

/* ---- daylight saving ---- */

/* [MC146818] Register B, DSE, said in POSIX: the C library is the reference for any uptime. */
static void test_daylight_saving_over_years(void **state)
{
	static const uint8_t modes[] = {1, 3, 5, 7};
	uint64_t seed = 9;
	unsigned summers = 0;

	(void)state;
	assert_int_equal(setenv("TZ", "STD0DST,M4.5.0/2,M10.5.0/2", 1), 0);
	tzset();
	for (unsigned i = 0; i < 6000; i++) {
		time_t from = (time_t)board_random(&seed), hour_ago = from - 3600, to;
		uint64_t uptime_s = 1 + (board_random(&seed) >> board_random(&seed) % 31);
		uint8_t mode = modes[i % 4];
		struct tm start, before, end;
		struct rig rig;

		assert_true(localtime_r(&from, &start) && localtime_r(&hour_ago, &before));
		if (start.tm_hour == before.tm_hour)
			continue; /* the second of two hours of one name cannot be written */
		to = from + (time_t)uptime_s;
		assert_non_null(localtime_r(&to, &end));
		summers += end.tm_isdst;
		rig_init(&rig);
		write_tm(&rig, mode, start);
		clock_advance(&rig.b.clock, uptime_s * SEC);
		check_tm(&rig, mode, end);
		/* in two steps, with a look of the model in between */
		rd(&rig, 12);
		to += 86400 * 100;
		assert_non_null(localtime_r(&to, &end));
		clock_advance(&rig.b.clock, (uptime_s + 86400 * 100) * SEC);
		check_tm(&rig, mode, end);
		rig_done(&rig);
	}
	assert_true(summers > 1000);
	unsetenv("TZ");
	tzset();
}

/* One update cycle of the chip, in April or October of a year, by the letter. */
static void ref_update(struct tm *tm, bool *has_fallen_back)
{
	bool is_sunday = tm->tm_wday == 0, is_2_am = tm->tm_hour == 1 && tm->tm_min == 59 && tm->tm_sec == 59;

	if (is_2_am && is_sunday && tm->tm_mon == 3 && tm->tm_mday >= 24) {
		tm->tm_hour = 3;
		tm->tm_min = tm->tm_sec = 0;
		return;
	}
	if (is_2_am && is_sunday && tm->tm_mon == 9 && tm->tm_mday >= 25 && !*has_fallen_back) {
		*has_fallen_back = true;
		tm->tm_min = tm->tm_sec = 0;
		return;
	}
	if (++tm->tm_sec < 60)
		return;
	tm->tm_sec = 0;
	if (++tm->tm_min < 60)
		return;
	tm->tm_min = 0;
	if (++tm->tm_hour < 24)
		return;
	tm->tm_hour = 0;
	tm->tm_wday = (tm->tm_wday + 1) % 7;
	tm->tm_mday++;
}

/* Whatever weekday the guest says it is: the last Sunday is by the weekday register. */
static void test_daylight_saving_by_the_second(void **state)
{
	uint64_t seed = 21;

	(void)state;
	for (unsigned i = 0; i < 140; i++) {
		struct tm tm = {.tm_mon = i & 1 ? 9 : 3,
			.tm_year = (int)(board_random(&seed) % 200),
			.tm_mday = 20 + (int)(board_random(&seed) % 6),
			.tm_wday = (int)(i / 2 % 7),
			.tm_hour = 23,
			.tm_min = (int)(board_random(&seed) % 60)};
		int last = tm.tm_mon == 3 ? 30 : 31;
		bool has_fallen_back = false;
		uint64_t s = 0;
		struct rig rig;

		rig_init(&rig);
		write_tm(&rig, 3, tm);
		while (tm.tm_mday < last || tm.tm_hour < 20) {
			uint64_t step = 1 + board_random(&seed) % (board_random(&seed) % 4 ? 3 : 4000);

			if (tm.tm_wday == 0 && tm.tm_hour < 4 && tm.tm_hour > 0 && tm.tm_min > 58)
				step = 1;
			for (uint64_t k = 0; k < step; k++)
				ref_update(&tm, &has_fallen_back);
			s += step;
			clock_advance(&rig.b.clock, s * SEC);
			check_tm(&rig, 3, tm);
			if (board_random(&seed) % 8 == 0)
				wr(&rig, 11,
					0x03 | (board_random(&seed) % 2 ? 0x20 : 0)); /* says nothing new of the time */
			if (board_random(&seed) % 8 == 0)
				rd(&rig, 12);
		}
		rig_done(&rig);
	}
}

static void test_daylight_saving_alarm(void **state)
{
	const long long april = 1682769600, october = 1698494400; /* noon of 29 April and 28 October 2023, Saturdays */

	(void)state;
	assert_int_equal(alarm_after(3, april, 0x01, 0x30, 0x00), 13 * 3600 + 1800);
	assert_int_equal(alarm_after(3, april, 0x02, 0x30, 0x00), 37 * 3600 + 1800); /* not on Sunday: on Monday */
	assert_int_equal(alarm_after(3, april, 0x03, 0x00, 0x00), 14 * 3600);
	assert_int_equal(alarm_after(3, april, 0x12, 0x00, 0x00), 23 * 3600);
	assert_int_equal(alarm_after(3, october, 0x01, 0x30, 0x00), 13 * 3600 + 1800);
	assert_int_equal(alarm_after(3, october, 0x02, 0x00, 0x00), 15 * 3600);
	assert_int_equal(alarm_after(3, october, 0x12, 0x00, 0x00), 25 * 3600);
	assert_int_equal(alarm_after(2, october, 0x12, 0x00, 0x00), 24 * 3600);
	/* the second of October's two hours, and the hour that April does not have */
	assert_int_equal(alarm_after(3, october + 14 * 3600 - 60, 0x01, 0x58, 0x30), 60 + 3510);
	assert_int_equal(alarm_after(3, april + 14 * 3600 + 60, 0x03, 0x01, 0x10), 10);
}

/* Whatever is written, time goes on with what some calendar has. */
static void test_nonsense_dates(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct rig rig;

		rig_init(&rig);
		for (unsigned k = 0; k < 14; k++)
			wr(&rig, (uint8_t)(board_random(&seed) % 14), (uint8_t)board_random(&seed));
		wr(&rig, 0x32, (uint8_t)board_random(&seed));
		wr(&rig, 10, 0x26);
		wr(&rig, 11, 0x06);
		clock_advance(&rig.b.clock, board_random(&seed) % 8 ? 2 * SEC : 3155760000ull * SEC);
		assert_in_range(rd(&rig, 0), 0, 59);
		assert_in_range(rd(&rig, 2), 0, 59);
		assert_in_range(rd(&rig, 4), 0, 23);
		assert_in_range(rd(&rig, 6), 1, 7);
		assert_in_range(rd(&rig, 7), 1, 31);
		assert_in_range(rd(&rig, 8), 1, 12);
		assert_in_range(rd(&rig, 9), 0, 99);
		assert_in_range(rd(&rig, 0x32), 0, 99);
		rig_done(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_two_centuries),
		cmocka_unit_test(test_random_dates),
		cmocka_unit_test(test_end_of_years),
		cmocka_unit_test(test_daylight_saving_over_years),
		cmocka_unit_test(test_daylight_saving_by_the_second),
		cmocka_unit_test(test_daylight_saving_alarm),
		cmocka_unit_test(test_nonsense_dates),
	};

	return cmocka_run_group_tests_name("mc146818 calendar", tests, NULL, NULL);
}
