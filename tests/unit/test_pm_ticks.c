// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_pm_ticks.c: the PM timer's arithmetic against floor(ns * 3579545 / 10^9) in 128 bits: every tick's first and last
 * nanosecond of a whole step, all edges of base and span, and at random from minutes to centuries of uptime, wherever
 * the base was left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bpf/pmtimer.h"

#define NSEC 1000000000ull
#define HOUR (3600 * NSEC)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)
#define STEP 200000000ull /* the base's, by its definition */

static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* [82371AB]: 3.579545 MHz, counted from guest time 0. */
static uint64_t expected(uint64_t guest_ns)
{
	return (uint64_t)((unsigned __int128)guest_ns * 3579545 / NSEC);
}

static struct pm_state state_at(int64_t offset_ns, uint64_t based_at_guest_ns)
{
	struct pm_state s = {.offset_ns = offset_ns};

	pm_rebase(&s, based_at_guest_ns - (uint64_t)offset_ns);
	return s;
}

static void check(const struct pm_state *s, uint64_t guest_ns)
{
	const uint64_t got = pm_ticks(s, guest_ns - (uint64_t)s->offset_ns), want = expected(guest_ns);

	if (got != want)
		fail_msg("guest time %llu ns, base %llu ns, offset %lld: %llu, not %llu", (unsigned long long)guest_ns,
			(unsigned long long)s->base_ns, (long long)s->offset_ns, (unsigned long long)got,
			(unsigned long long)want);
}

static const uint64_t bases[] = {0, 1, STEP - 1, STEP, HOUR, DAY + 1, YEAR, 10 * YEAR, 100 * YEAR, 500 * YEAR};
#define BASES (sizeof(bases) / sizeof(bases[0]))

static void test_base(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		const uint64_t ns = i < BASES ? bases[i] : random64() >> (i % 64);
		const struct pm_state s = state_at(-(int64_t)(random64() >> 2), ns);

		assert_true(s.base_ns <= ns && ns - s.base_ns < STEP);
		assert_int_equal(s.base_ns % STEP, 0);
		/* no fraction of a tick is left at the base */
		assert_true((unsigned __int128)s.base_ns * 3579545 == (unsigned __int128)s.base_ticks * NSEC);
	}
}

/* Each tick of one step, at its two ends. */
static void test_every_tick(void **state)
{
	(void)state;
	for (unsigned b = 0; b < BASES; b++) {
		const struct pm_state s = state_at(0, bases[b]);

		for (uint64_t tick = 0; tick < 715909 + 10; tick++) {
			const uint64_t first = s.base_ns + (tick * NSEC + 3579544) / 3579545;

			check(&s, first);
			if (first > 0)
				check(&s, first - 1);
		}
	}
}

static void test_edges(void **state)
{
	static const int64_t offsets[] = {0, 1, -1, -(int64_t)HOUR, INT64_MAX, INT64_MIN};

	(void)state;
	for (unsigned b = 0; b < BASES; b++) {
		for (unsigned o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++) {
			const struct pm_state s = state_at(offsets[o], bases[b]);
			const uint64_t at[] = {0, s.base_ns, bases[b], s.base_ns + STEP, s.base_ns + (1ull << 44),
				s.base_ns + (1ull << 45), s.base_ns + DAY, 0x7fffffffffffffff, 0xffffffffffffffff};

			for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
				for (uint64_t d = 0; d < 2000; d++)
					check(&s, at[i] + d - 1000); /* also before the base, and round the end */
			}
		}
	}
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5000000; i++) {
		const uint64_t base = i & 1 ? bases[i / 2 % BASES] : random64() >> (i % 40);
		const struct pm_state s = state_at((int64_t)random64(), base);

		check(&s, base + (random64() >> (i % 64)));
		check(&s, s.base_ns + (random64() & ((1ull << 44) - 1)));
		check(&s, random64());
	}
}

/* A base that nobody has ever set. */
static void test_zero(void **state)
{
	const struct pm_state s = {0};

	(void)state;
	for (uint64_t ns = 0; ns < 2000000; ns++)
		check(&s, ns);
	for (unsigned i = 0; i < 1000000; i++)
		check(&s, random64() >> (i % 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_every_tick),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_zero),
	};

	return cmocka_run_group_tests_name("pm_ticks", tests, NULL, NULL);
}
