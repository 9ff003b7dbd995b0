/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_i8254.c: the 8254 against a second 8254 that really counts pulse by pulse (i8254_ref.h); and against closed forms in 128-bit arithmetic at days and years of uptime.
 * Includes no header from bpf/.
 */
#include "tests/unit/board.h"

#include "devices/i8254.h"
#include "tests/unit/i8254_ref.h"

#define HZ 1193182u

typedef unsigned __int128 u128;

/* ---- driving both -------------------------------------------------------------------------- */

struct rig {
	struct board b;
	struct device *pit;
	struct ref ref;
	unsigned counter;
	uint64_t tick;
};

static void rig_init(struct rig *rig, unsigned counter)
{
	*rig = (struct rig){.counter = counter};
	board_init(&rig->b, ACCEL_OFF);
	rig->pit = i8254_create(&rig->b.bus, &rig->b.clock, board_line(&rig->b, 0));
	assert_non_null(rig->pit);
	rig->ref.gate = counter != 2;
}

static void rig_done(struct rig *rig)
{
	board_destroy(&rig->b, rig->pit);
}

/* The first nanosecond of a tick. */
static uint64_t tick_ns(uint64_t tick)
{
	return (uint64_t)(((u128)tick * 1000000000u + HZ - 1) / HZ);
}

static void rig_step(struct rig *rig, uint64_t ticks)
{
	for (uint64_t i = 0; i < ticks; i++)
		ref_pulse(&rig->ref);
	rig->tick += ticks;
	clock_advance(&rig->b.clock, tick_ns(rig->tick));
}

/* The same for a long way: only the device is asked to go. */
static void rig_jump(struct rig *rig, uint64_t tick)
{
	rig->tick = tick;
	clock_advance(&rig->b.clock, tick_ns(tick));
}

static void rig_control(struct rig *rig, unsigned rw, unsigned mode, bool is_bcd)
{
	unsigned value = rig->counter << 6 | rw << 4 | mode << 1 | is_bcd;

	board_out(&rig->b, 0x43, (uint8_t)value);
	ref_control(&rig->ref, value);
}

/* Writes a count as the programmed access wants it; in two-byte access `between` ticks pass between the bytes. */
static void rig_count(struct rig *rig, unsigned n, unsigned between)
{
	unsigned rw = rig->ref.control >> 4;
	unsigned raw = rig->ref.is_bcd ? ref_bcd(n) : n & 0xffff;

	if (rw == 3) {
		board_out(&rig->b, 0x40 + rig->counter, (uint8_t)raw);
		ref_first_byte(&rig->ref);
		rig_step(rig, between);
		board_out(&rig->b, 0x40 + rig->counter, (uint8_t)(raw >> 8));
	} else {
		board_out(&rig->b, 0x40 + rig->counter, (uint8_t)(rw == 2 ? raw >> 8 : raw));
	}
	ref_count(&rig->ref, n);
}

static void rig_gate(struct rig *rig, bool gate)
{
	board_out(&rig->b, 0x61, gate);
	ref_gate(&rig->ref, gate);
}

/* Latches and reads status and count by the read-back command. */
static void rig_read_back(struct rig *rig, unsigned *status, unsigned *count)
{
	unsigned rw = rig->ref.control >> 4;
	uint16_t port = (uint16_t)(0x40 + rig->counter);

	board_out(&rig->b, 0x43, (uint8_t)(0xc0 | 2u << rig->counter));
	*status = board_in(&rig->b, port);
	*count = board_in(&rig->b, port);
	if (rw == 3)
		*count |= (unsigned)board_in(&rig->b, port) << 8;
	else if (rw == 2)
		*count <<= 8;
}

static void rig_compare(struct rig *rig, uint64_t seed)
{
	unsigned status, count, rw = rig->ref.control >> 4;
	unsigned mask = rw == 3 ? 0xffff : rw == 2 ? 0xff00 : 0xff;
	unsigned want = (rig->ref.out ? 0x80 : 0) | (rig->ref.is_null ? 0x40 : 0) | rig->ref.control;

	rig_read_back(rig, &status, &count);
	if (status != want || count != (ref_show(&rig->ref) & mask))
		print_error("seed %#llx, mode %u, tick %llu: status %02x, reference %02x; count %04x, reference %04x\n",
			(unsigned long long)seed, rig->ref.mode, (unsigned long long)rig->tick, status, want, count,
			ref_show(&rig->ref) & mask);
	assert_int_equal(status, want);
	assert_int_equal(count, ref_show(&rig->ref) & mask);
	if (rig->counter == 2)
		assert_int_equal(board_in(&rig->b, 0x61) >> 5 & 1, rig->ref.out);
}

/* Random programming, gate edges, rewrites and time steps, counts small enough to run through many cycles. */
static void random_walk(unsigned counter, unsigned mode, bool is_bcd, uint64_t seed)
{
	uint64_t first = seed;
	struct rig rig;
	unsigned n;

	rig_init(&rig, counter);
	rig_control(&rig, 3, mode, is_bcd);
	for (unsigned i = 0; i < 400; i++) {
		unsigned what = board_random(&seed) % 16;

		/* one access mode throughout, but for the high-byte one, whose counts would be long */
		n = 2 + board_random(&seed) % (what & 1 ? 9 : 300);
		if (what == 0)
			rig_control(&rig, board_random(&seed) % 2 ? 3 : 1,
				mode + (mode == 2 || mode == 3 ? 4 * (n & 1) : 0), is_bcd);
		else if (what <= 3)
			rig_count(&rig, (rig.ref.control >> 4) == 1 ? 2 + n % 90 : n, board_random(&seed) % 3);
		else if (what <= 7 && counter == 2)
			rig_gate(&rig, board_random(&seed) % 2);
		if (what & 2)
			rig_step(&rig, board_random(&seed) % (what & 4 ? 4 : 400));
		rig_compare(&rig, first);
	}
	rig_done(&rig);
}

static void test_every_mode_counts_as_the_reference(void **state)
{
	(void)state;
	for (unsigned mode = 0; mode < 6; mode++) {
		for (uint64_t seed = 1; seed <= 60; seed++) {
			random_walk(2, mode, false, seed);
			random_walk(2, mode, true, seed << 8);
			random_walk(1, mode, seed & 1, seed << 16);
		}
	}
}

/* Whole runs of long counts: 0 is 65536 or 10000, and modes 0, 1, 4, 5 go on past zero. */
static void test_long_counts(void **state)
{
	static const unsigned counts[] = {2, 3, 9999, 10000, 32768, 65535, 65536};

	(void)state;
	for (unsigned mode = 0; mode < 6; mode++) {
		for (unsigned i = 0; i < 2 * 7; i++) {
			bool is_bcd = i & 1;
			unsigned n = counts[i / 2];
			struct rig rig;

			if (is_bcd && n > 10000)
				continue;
			rig_init(&rig, 2);
			rig_gate(&rig, true);
			rig_control(&rig, 3, mode, is_bcd);
			rig_count(&rig, n, 0);
			if (mode == 1 || mode == 5) {
				rig_gate(&rig, false);
				rig_gate(&rig, true);
			}
			for (unsigned step = 0; step < 40; step++) {
				rig_compare(&rig, n);
				rig_step(&rig, step < 4 ? 1 : step % 3 ? n / 2 : n / 7 + 1);
			}
			rig_done(&rig);
		}
	}
}

/* OUT and count of a running counter, `elapsed` pulses after its load, in closed form. */
static void closed_form(unsigned mode, bool is_bcd, unsigned n, u128 elapsed, unsigned *count, bool *out)
{
	unsigned modulus = is_bcd ? 10000 : 65536, high = n / 2 + n % 2;
	unsigned p = (unsigned)(elapsed % n), value;

	if (mode == 2) {
		value = n - p;
		*out = value != 1;
	} else if (mode == 3) {
		*out = p < high;
		value = n - n % 2 - 2 * (p < high ? p : p - high);
	} else {
		value = (unsigned)((n + (u128)modulus * modulus * modulus * modulus * modulus - elapsed) % modulus);
		*out = mode <= 1 ? elapsed >= n : elapsed != n;
	}
	value %= modulus;
	*count = is_bcd ? ref_bcd(value) : value;
}

static void test_years_of_uptime(void **state)
{
	/* an hour, a day and some ns, a year, ten years, a century */
	static const uint64_t uptimes_ns[] = {3600000000000ull, 86400000000123ull, 31557600000000001ull,
		315576000000000777ull, 3155760000000000333ull};
	static const unsigned counts[] = {2, 3, 4, 1193, 9999, 10000, 23863, 65535, 65536};

	(void)state;
	for (unsigned i = 0; i < 6u * 9 * 5 * 2; i++) {
		unsigned mode = i % 6, n = counts[i / 6 % 9], status, count, want;
		uint64_t at_ns = uptimes_ns[i / 54 % 5];
		bool is_bcd = i / 270, out;
		uint64_t load_tick;
		struct rig rig;

		if (is_bcd && n > 10000)
			continue;
		rig_init(&rig, 2);
		/* programmed at some odd moment, loaded by the pulse after that */
		clock_advance(&rig.b.clock, 777777);
		rig_gate(&rig, mode != 1 && mode != 5);
		rig_control(&rig, 3, mode, is_bcd);
		rig_count(&rig, n, 0);
		rig_gate(&rig, true);
		load_tick = (uint64_t)((u128)777777 * HZ / 1000000000u) + 1;
		for (unsigned k = 0; k < 50; k++) {
			clock_advance(&rig.b.clock, at_ns + k * 838);
			closed_form(
				mode, is_bcd, n, (u128)(at_ns + k * 838) * HZ / 1000000000u - load_tick, &want, &out);
			rig_read_back(&rig, &status, &count);
			assert_int_equal(count, want);
			assert_int_equal(status, (out ? 0x80 : 0) | 3 << 4 | mode << 1 | is_bcd);
		}
		rig_done(&rig);
	}
}

/* IRQ 0: the line rises exactly when the reference's OUT does. */
static void test_interrupts(void **state)
{
	static const unsigned counts[] = {30, 31, 100, 1193};

	(void)state;
	for (unsigned i = 0; i < 6 * 4; i++) {
		unsigned mode = i % 6, n = counts[i / 6];
		struct rig rig;
		bool was_out;

		rig_init(&rig, 0);
		rig_control(&rig, 3, mode, false);
		rig_count(&rig, n, 0);
		rig.b.rises[0] = 0;
		for (unsigned tick = 0; tick < 5000; tick++) {
			unsigned rises = rig.b.rises[0];

			was_out = rig.ref.out;
			rig_step(&rig, 1);
			assert_int_equal(rig.b.rises[0] - rises, !was_out && rig.ref.out);
			if (tick == 3000) /* reprogrammed between two events */
				rig_count(&rig, n + 7, 0);
		}
		rig_done(&rig);
	}
}

/* A guest that asks for 600,000 interrupts a second does not take the machine's event thread with it. */
static void test_interrupt_storm_is_bounded(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 0);
	rig_control(&rig, 1, 2, false);
	rig_count(&rig, 2, 0);
	rig.b.rises[0] = 0;
	rig_jump(&rig, HZ / 10);
	assert_in_range(rig.b.rises[0], 1000, 5001);
	rig_done(&rig);
}

/* [8254] Read-Back Command: what is latched stays until it is read; status comes before the count. */
static void test_latches(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	rig_gate(&rig, true);
	rig_control(&rig, 3, 0, false);
	rig_count(&rig, 0x1234, 0);
	rig_step(&rig, 1); /* the load */
	board_out(&rig.b, 0x43, 0x80);
	rig_step(&rig, 0x34);
	board_out(&rig.b, 0x43, 0x80); /* ignored: latched already */
	board_out(&rig.b, 0x43, 0xe8); /* status of counter 2 */
	board_out(&rig.b, 0x43, 0xd8); /* count of counter 2: ignored too */
	rig_step(&rig, 1);
	assert_int_equal(board_in(&rig.b, 0x42), 0x30); /* OUT low, loaded, two bytes, mode 0 */
	assert_int_equal(board_in(&rig.b, 0x42), 0x34);
	assert_int_equal(board_in(&rig.b, 0x42), 0x12);
	assert_int_equal(board_in(&rig.b, 0x42), 0xff); /* live again: 0x11ff */
	rig_step(&rig, 0x100);
	assert_int_equal(board_in(&rig.b, 0x42), 0x10); /* each byte as it is when read: 0x10ff */
	/* a new control word drops what was latched */
	board_out(&rig.b, 0x43, 0xc8);
	rig_control(&rig, 1, 0, false);
	rig_count(&rig, 0x77, 0);
	rig_step(&rig, 1);
	assert_int_equal(board_in(&rig.b, 0x42), 0x77);
	rig_done(&rig);
}

static void test_port_61(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	for (uint64_t tick = 0; tick < 200; tick++) {
		rig_jump(&rig, tick);
		/* refresh every 18 pulses, each flips bit 4; OUT 2 is low before it is programmed */
		assert_int_equal(board_in(&rig.b, 0x61), tick / 18 % 2 ? 0x10 : 0);
	}
	board_out(&rig.b, 0x61, 0xff); /* four bits can be written, the others are the chip's */
	assert_int_equal(board_in(&rig.b, 0x61) & 0xef, 0x0f);
	assert_int_equal(board_in(&rig.b, 0x43), 0xff);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_mode_counts_as_the_reference),
		cmocka_unit_test(test_long_counts),
		cmocka_unit_test(test_years_of_uptime),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_interrupt_storm_is_bounded),
		cmocka_unit_test(test_latches),
		cmocka_unit_test(test_port_61),
	};

	return cmocka_run_group_tests_name("i8254", tests, NULL, NULL);
}
