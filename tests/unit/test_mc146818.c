/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mc146818.c: power-on and the host's time, update in progress, SET, the divider, alarms,
 * periodic rates and IRQ 8, against [MC146818]. The calendar is in test_mc146818_calendar.c.
 */
#include "tests/unit/rtc_rig.h"

/* As it is at power-on: 24 hours, BCD, 1024 Hz, the virtual clock's date; RAM as it was preset. */
static void test_power_on(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	check_date(&rig, 2, EPOCH);
	assert_int_equal(rd(&rig, 10), 0x26);
	assert_int_equal(rd(&rig, 11), 0x02);
	assert_int_equal(rd(&rig, 12), 0x00);
	assert_int_equal(rd(&rig, 13), 0x80);
	mc146818_set_cmos(rig.rtc, 0x34, 0x56);
	mc146818_set_cmos(rig.rtc, 0x04, 0x99); /* not RAM: refused */
	mc146818_set_cmos(rig.rtc, 0x32, 0x99);
	mc146818_set_cmos(rig.rtc, 0xff, 0x99);
	wr(&rig, 0x7f, 0xa5);
	wr(&rig, 13, 0); /* read-only */
	wr(&rig, 12, 0xff);
	board_reset(rig.rtc);
	check_date(&rig, 2, EPOCH);
	assert_int_equal(rd(&rig, 0x34), 0x56);
	assert_int_equal(rd(&rig, 0x7f), 0xa5);
	assert_int_equal(rd(&rig, 0xff), 0xa5); /* bit 7 of the index is the NMI mask */
	assert_int_equal(rd(&rig, 13), 0x80);
	assert_int_equal(rd(&rig, 12), 0);
	assert_int_equal(board_in(&rig.b, 0x70), 0xff);
	rig_done(&rig);
}

/* On the host's clock it shows the host's UTC time. */
static void test_host_time(void **state)
{
	struct board b = {0};
	struct device *rtc;
	time_t before, after, shown;
	struct timespec now;
	struct tm tm = {0};
	uint8_t r[10];

	(void)state;
	assert_int_equal(clock_init(&b.clock, false), 0);
	assert_int_equal(bus_init(&b.bus, &b.clock, ACCEL_OFF), 0);
	rtc = mc146818_create(&b.bus, &b.clock, board_line(&b, 8));
	assert_non_null(rtc);
	before = time(NULL) - 1; /* the two host clocks are not read at one instant */
	do {			 /* as the datasheet says: not within an update */
		board_out(&b, 0x70, 10);
	} while (board_in(&b, 0x71) & 0x80);
	for (uint8_t i = 0; i < 10; i++) {
		board_out(&b, 0x70, i);
		r[i] = board_in(&b, 0x71);
		r[i] = (uint8_t)(r[i] / 16 * 10 + r[i] % 16);
	}
	clock_gettime(CLOCK_REALTIME, &now); /* time() lags behind it by up to a tick */
	after = now.tv_sec;
	tm = (struct tm){.tm_sec = r[0],
		.tm_min = r[2],
		.tm_hour = r[4],
		.tm_mday = r[7],
		.tm_mon = r[8] - 1,
		.tm_year = 100 + r[9]};
	shown = timegm(&tm);
	assert_in_range(shown, before, after);
	board_destroy(&b, rtc);
}

/* UIP rises 244 us before an update cycle, which lasts 1984 us and ends with the second. */
static void test_update_in_progress(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	for (unsigned s = 1; s < 4; s++) {
		clock_advance(&rig.b.clock, s * SEC - 2228001);
		assert_int_equal(rd(&rig, 10), 0x26);
		clock_advance(&rig.b.clock, s * SEC - 2228000);
		assert_int_equal(rd(&rig, 10), 0xa6);
		clock_advance(&rig.b.clock, s * SEC - 1);
		assert_int_equal(rd(&rig, 10), 0xa6);
		assert_int_equal(rd(&rig, 12) & 0x10, 0);
		clock_advance(&rig.b.clock, s * SEC);
		assert_int_equal(rd(&rig, 10), 0x26);
		assert_int_equal(rd(&rig, 12) & 0x90, 0x10); /* UF, without an interrupt */
		assert_int_equal(rd(&rig, 0), s);
	}
	wr(&rig, 11, 0x82); /* SET: no updates */
	clock_advance(&rig.b.clock, 4 * SEC - 100);
	assert_int_equal(rd(&rig, 10), 0x26);
	clock_advance(&rig.b.clock, 5 * SEC);
	assert_int_equal(rd(&rig, 0), 3);
	assert_int_equal(rd(&rig, 12) & 0x10, 0);
	wr(&rig, 11, 0x02);
	clock_advance(&rig.b.clock, 6 * SEC);
	assert_int_equal(rd(&rig, 0), 4);
	/* hours, days, years and five centuries on */
	for (uint64_t s = 3600; s < 16000000000ull; s *= 24) {
		clock_advance(&rig.b.clock, s * SEC - 2228001);
		assert_int_equal(rd(&rig, 10), 0x26);
		clock_advance(&rig.b.clock, s * SEC - 2228000);
		assert_int_equal(rd(&rig, 10), 0xa6);
		clock_advance(&rig.b.clock, s * SEC);
		assert_int_equal(rd(&rig, 10), 0x26);
	}
	rig_done(&rig);
}

/* Divider held in reset stops time; after its release the first update comes 500 ms later. */
static void test_divider(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	wr(&rig, 10, 0x76);
	clock_advance(&rig.b.clock, 10 * SEC + 123);
	assert_int_equal(rd(&rig, 0), 0);
	assert_int_equal(rd(&rig, 12), 0);
	wr(&rig, 10, 0xa6); /* UIP cannot be written */
	assert_int_equal(rd(&rig, 10), 0x26);
	clock_advance(&rig.b.clock, 10 * SEC + 123 + SEC / 2 - 1);
	assert_int_equal(rd(&rig, 0), 0);
	clock_advance(&rig.b.clock, 10 * SEC + 123 + SEC / 2);
	assert_int_equal(rd(&rig, 0), 1);
	clock_advance(&rig.b.clock, 10 * SEC + 123 + 3 * SEC / 2);
	assert_int_equal(rd(&rig, 0), 2);
	rig_done(&rig);
}

/* [MC146818] table 5, 32.768 kHz column, in 32768ths of a second. */
static void test_periodic_rates(void **state)
{
	static const unsigned periods[16] = {
		0, 128, 256, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

	(void)state;
	for (unsigned rs = 1; rs < 16; rs++) {
		struct rig rig;
		uint64_t due;

		rig_init(&rig);
		wr(&rig, 10, (uint8_t)(0x20 | rs));
		rd(&rig, 12);
		wr(&rig, 11, 0x42);
		for (unsigned k = 1; k < 50; k++) {
			due = ((uint64_t)k * periods[rs] * SEC + 32767) / 32768;
			clock_advance(&rig.b.clock, due - 1);
			assert_false(rig.b.level[8]);
			clock_advance(&rig.b.clock, due);
			assert_true(rig.b.level[8]);
			assert_int_equal(rig.b.rise_ns[8], due);
			assert_int_equal(rd(&rig, 12) & 0xef, 0xc0);
			assert_false(rig.b.level[8]);
			assert_int_equal(rd(&rig, 12), 0);
		}
		rig_done(&rig);
	}
}

static void test_no_periodic_rate(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	wr(&rig, 10, 0x20);
	wr(&rig, 11, 0x42);
	clock_advance(&rig.b.clock, SEC / 2);
	assert_false(rig.b.level[8]);
	assert_int_equal(rd(&rig, 12), 0);
	rig_done(&rig);
}

static void test_update_interrupt(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	clock_advance(&rig.b.clock, SEC + 5);
	rd(&rig, 12);
	wr(&rig, 11, 0x12);
	clock_advance(&rig.b.clock, 2 * SEC - 1);
	assert_int_equal(rig.b.rises[8], 0);
	clock_advance(&rig.b.clock, 2 * SEC);
	assert_int_equal(rig.b.rises[8], 1);
	clock_advance(&rig.b.clock, 5 * SEC); /* level: no further edge until register C is read */
	assert_int_equal(rig.b.rises[8], 1);
	assert_int_equal(rd(&rig, 12) & 0xb0, 0x90);
	wr(&rig, 11, 0x92); /* SET clears UIE */
	assert_int_equal(rd(&rig, 11), 0x82);
	/* a flag that is set already interrupts as soon as it is enabled */
	wr(&rig, 11, 0x02);
	clock_advance(&rig.b.clock, 6 * SEC);
	assert_false(rig.b.level[8]);
	wr(&rig, 11, 0x12);
	assert_true(rig.b.level[8]);
	board_reset(rig.rtc);
	assert_false(rig.b.level[8]);
	assert_int_equal(rd(&rig, 11), 0x02);
	rig_done(&rig);
}

static void test_alarm(void **state)
{
	(void)state;
	assert_int_equal(alarm_after(2, EPOCH, 0x00, 0x00, 0x01), 1);
	assert_int_equal(alarm_after(2, EPOCH, 0x00, 0x00, 0x00), 86400);
	assert_int_equal(alarm_after(2, EPOCH, 0x23, 0x59, 0x59), 86399);
	assert_int_equal(alarm_after(2, EPOCH + 10, 0xff, 0xff, 0xff), 1);  /* every second */
	assert_int_equal(alarm_after(2, EPOCH + 10, 0xc0, 0xc0, 0x10), 60); /* every minute at :10 */
	assert_int_equal(alarm_after(2, EPOCH + 10, 0xff, 0x05, 0x00), 290);
	assert_int_equal(alarm_after(2, EPOCH + 310, 0xff, 0x05, 0x00), 3590); /* the next hour's */
	assert_int_equal(alarm_after(6, EPOCH, 13, 10, 0), 13 * 3600 + 600);
	assert_int_equal(alarm_after(0, EPOCH, 0x81, 0x10, 0x00), 13 * 3600 + 600); /* 1 PM */
	assert_int_equal(alarm_after(4, EPOCH, 0x8c, 0, 0), 12 * 3600);		    /* 12 PM is noon */
	assert_int_equal(alarm_after(2, EPOCH, 0x24, 0x00, 0x00), 0);		    /* no such times */
	assert_int_equal(alarm_after(2, EPOCH, 0x00, 0x60, 0x00), 0);
	assert_int_equal(alarm_after(2, EPOCH, 0xff, 0xff, 0x77), 0);
}

/*
 * Index writes may be deferred: one byte, the first, and a write that is drained late, after time and
 * timers have passed, does what one at once does.
 */
static void test_index_may_be_late(void **state)
{
	uint64_t seed = 13;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		uint8_t index[3], b = (uint8_t)(2 | (board_random(&seed) & 0x70));
		uint64_t ns = board_random(&seed) % (3 * SEC);
		struct rig now, late;

		rig_init(&now);
		rig_init(&late);
		wr(&now, 11, b);
		wr(&late, 11, b);
		for (unsigned k = 0; k < 3; k++) {
			index[k] = (uint8_t)(k == 2 ? board_random(&seed) % 14 : board_random(&seed));
			board_out(&now.b, 0x70, index[k]);
			clock_advance(&now.b.clock, ns + k);
		}
		clock_advance(&late.b.clock, ns + 2);
		for (unsigned k = 0; k < 3; k++)
			board_out(&late.b, 0x70, index[k]);
		assert_int_equal(board_in(&now.b, 0x71), board_in(&late.b, 0x71));
		for (uint8_t r = 0; r < 14; r++)
			assert_int_equal(rd(&now, r), rd(&late, r));
		assert_int_equal(now.b.rises[8], late.b.rises[8]);
		assert_int_equal(now.b.rise_ns[8], late.b.rise_ns[8]);
		rig_done(&now);
		rig_done(&late);
	}
}

/* The clock is a guest's like all others: after a pause it is behind the host's by the pause, UIP and flags too. */
static void test_pause(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	wr(&rig, 10, 0x2f); /* 2 Hz */
	clock_advance(&rig.b.clock, SEC / 2 - 1);
	rd(&rig, 12);
	board_be_late(&rig.b, 10 * SEC + SEC / 2 - 1);
	device_shift_time(rig.rtc, 10 * SEC);
	assert_int_equal(rd(&rig, 0), 0);
	assert_int_equal(rd(&rig, 12), 0);
	clock_advance(&rig.b.clock, 10 * SEC + SEC / 2);
	assert_int_equal(rd(&rig, 12), 0x40);
	clock_advance(&rig.b.clock, 11 * SEC - 2228001);
	assert_int_equal(rd(&rig, 10), 0x2f);
	clock_advance(&rig.b.clock, 11 * SEC - 1);
	assert_int_equal(rd(&rig, 10), 0xaf);
	assert_int_equal(rd(&rig, 0), 0);
	clock_advance(&rig.b.clock, 11 * SEC);
	assert_int_equal(rd(&rig, 10), 0x2f);
	assert_int_equal(rd(&rig, 0), 1);
	rig_done(&rig);
}

static void test_deferred_zone(void **state)
{
	const struct range_zone *zones;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	zones = bus_find_name(&rig.b.bus, "mc146818")->deferred;
	assert_non_null(zones);
	assert_int_equal(zones[0].offset, 0);
	assert_int_equal(zones[0].len, 1);
	assert_int_equal(zones[1].len, 0);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_on),
		cmocka_unit_test(test_host_time),
		cmocka_unit_test(test_update_in_progress),
		cmocka_unit_test(test_divider),
		cmocka_unit_test(test_periodic_rates),
		cmocka_unit_test(test_no_periodic_rate),
		cmocka_unit_test(test_update_interrupt),
		cmocka_unit_test(test_alarm),
		cmocka_unit_test(test_index_may_be_late),
		cmocka_unit_test(test_deferred_zone),
		cmocka_unit_test(test_pause),
	};

	return cmocka_run_group_tests_name("mc146818", tests, NULL, NULL);
}
