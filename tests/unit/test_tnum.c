/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tnum.c: sets of known bits against brute force: every pair of the 81 sets of four bits,
 * every operation; and 64-bit ones by members drawn at random. Sound everywhere; for the
 * operations where the best answer is known to be found, it must be the best.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "accel/tnum.h"

#define BITS 4
#define VALUES (1u << BITS)

static struct tnum all[81];

static void make_all(void)
{
	unsigned n = 0;

	for (uint64_t mask = 0; mask < VALUES; mask++) {
		for (uint64_t value = 0; value < VALUES; value++) {
			if (!(value & mask))
				all[n++] = (struct tnum){value, mask};
		}
	}
	assert_int_equal(n, 81);
}

/* The smallest set that holds every number of the bit map. */
static struct tnum best_of(uint32_t members)
{
	uint64_t ones = VALUES - 1, any = 0;

	for (uint64_t v = 0; v < VALUES; v++) {
		if (members >> v & 1) {
			ones &= v;
			any |= v;
		}
	}
	return (struct tnum){ones, any & ~ones};
}

static uint32_t members_of(struct tnum t)
{
	uint32_t members = 0;

	for (uint64_t v = 0; v < VALUES; v++)
		members |= (uint32_t)((v & ~t.mask) == t.value) << v;
	return members;
}

struct binary {
	const char *name;
	struct tnum (*op)(struct tnum a, struct tnum b);
	uint64_t (*meaning)(uint64_t a, uint64_t b);
	bool best;
};

static uint64_t mean_add(uint64_t a, uint64_t b)
{
	return a + b;
}

static uint64_t mean_sub(uint64_t a, uint64_t b)
{
	return a - b;
}

static uint64_t mean_mul(uint64_t a, uint64_t b)
{
	return a * b;
}

static uint64_t mean_and(uint64_t a, uint64_t b)
{
	return a & b;
}

static uint64_t mean_or(uint64_t a, uint64_t b)
{
	return a | b;
}

static uint64_t mean_xor(uint64_t a, uint64_t b)
{
	return a ^ b;
}

static const struct binary binaries[] = {
	{"add", tnum_add, mean_add, true},
	{"sub", tnum_sub, mean_sub, true},
	{"mul", tnum_mul, mean_mul, false},
	{"and", tnum_and, mean_and, true},
	{"or", tnum_or, mean_or, true},
	{"xor", tnum_xor, mean_xor, true},
};
#define BINARIES (sizeof(binaries) / sizeof(binaries[0]))

static void test_binary(void **state)
{
	(void)state;
	for (unsigned o = 0; o < BINARIES; o++) {
		for (unsigned i = 0; i < 81; i++) {
			for (unsigned j = 0; j < 81; j++) {
				struct tnum r = tnum_trunc(binaries[o].op(all[i], all[j]), BITS), best;
				uint32_t a = members_of(all[i]), b = members_of(all[j]), results = 0;

				assert_true((r.value & r.mask) == 0);
				for (unsigned x = 0; x < VALUES; x++) {
					for (unsigned y = 0; y < VALUES; y++) {
						if (a >> x & 1 && b >> y & 1)
							results |= 1u << (binaries[o].meaning(x, y) & (VALUES - 1));
					}
				}
				best = best_of(results);
				if (!tnum_includes(r, best) || (binaries[o].best && !tnum_equal(r, best)) ||
					(tnum_is_const(all[i]) && tnum_is_const(all[j]) && !tnum_is_const(r)))
					fail_msg("%s of %u and %u", binaries[o].name, i, j);
			}
		}
	}
}

static void test_sets(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 81; i++) {
		uint32_t a = members_of(all[i]);

		for (uint64_t v = 0; v < VALUES; v++)
			assert_int_equal(tnum_contains(all[i], v), a >> v & 1);
		for (unsigned j = 0; j < 81; j++) {
			uint32_t b = members_of(all[j]);
			struct tnum both;
			bool meet = tnum_intersect(all[i], all[j], &both);

			assert_int_equal(tnum_includes(all[i], all[j]), (b & ~a) == 0);
			assert_int_equal(meet, (a & b) != 0);
			if (meet)
				assert_int_equal(members_of(both), a & b);
			assert_true(tnum_equal(tnum_join(all[i], all[j]), best_of(a | b)));
		}
	}
	for (uint64_t min = 0; min < VALUES; min++) {
		for (uint64_t max = min; max < VALUES; max++) {
			uint32_t members = 0;

			for (uint64_t v = min; v <= max; v++)
				members |= 1u << v;
			assert_true(tnum_equal(tnum_span(min, max), best_of(members)));
		}
	}
}

static void test_shifts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 81; i++) {
		uint32_t a = members_of(all[i]);

		for (unsigned k = 0; k < BITS; k++) {
			uint32_t shl = 0, shr = 0, sar = 0;

			for (uint64_t v = 0; v < VALUES; v++) {
				int64_t s = v & 8 ? (int64_t)v - 16 : (int64_t)v;

				if (!(a >> v & 1))
					continue;
				shl |= 1u << (v << k & 15);
				shr |= 1u << (v >> k);
				sar |= 1u << ((uint64_t)(s >> k) & 15);
			}
			assert_true(tnum_equal(tnum_trunc(tnum_shl(all[i], k), BITS), best_of(shl)));
			assert_true(tnum_equal(tnum_shr(all[i], k), best_of(shr)));
			assert_true(tnum_equal(tnum_sar(all[i], k, BITS), best_of(sar)));
		}
		for (unsigned from = 1; from <= BITS; from++) {
			uint32_t sext = 0, trunc = 0;

			for (uint64_t v = 0; v < VALUES; v++) {
				uint64_t low = v & ((1u << from) - 1), sign = low >> (from - 1);

				if (!(a >> v & 1))
					continue;
				trunc |= 1u << low;
				sext |= 1u << ((low | (sign ? ~0ull << from : 0)) & 15);
			}
			assert_true(tnum_equal(tnum_trunc(all[i], from), best_of(trunc)));
			assert_true(tnum_equal(tnum_sext(all[i], from, BITS), best_of(sext)));
		}
	}
}

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t any64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void test_wide(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		uint64_t ma = any64() & any64(), mb = any64() & any64() & any64();
		struct tnum a = {any64() & ~ma, ma}, b = {any64() & ~mb, mb};
		uint64_t x = a.value | (any64() & ma), y = b.value | (any64() & mb);
		unsigned k = (unsigned)any64() & 63;
		static const unsigned sizes[] = {2, 4, 8};

		for (unsigned o = 0; o < BINARIES; o++)
			assert_true(tnum_contains(binaries[o].op(a, b), binaries[o].meaning(x, y)));
		assert_true(tnum_contains(tnum_shl(a, k), x << k));
		assert_true(tnum_contains(tnum_shr(a, k), x >> k));
		assert_true(tnum_contains(tnum_sar(a, k, 64), (uint64_t)((int64_t)x >> k)));
		assert_true(tnum_contains(tnum_sext(a, 8, 64), (uint64_t)(int8_t)x));
		assert_true(tnum_contains(tnum_sext(a, 32, 64), (uint64_t)(int32_t)x));
		for (unsigned s = 0; s < 3; s++) {
			uint64_t swapped = 0;

			for (unsigned byte = 0; byte < sizes[s]; byte++)
				swapped |= (x >> (8 * byte) & 0xff) << (8 * (sizes[s] - 1 - byte));
			assert_true(tnum_contains(tnum_swap(a, sizes[s]), swapped));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_shifts),
		cmocka_unit_test(test_wide),
	};

	make_all();
	return cmocka_run_group_tests_name("tnum", tests, NULL, NULL);
}
