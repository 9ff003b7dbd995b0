/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_range.c: ranges of numbers against brute force. At four bits: every combination of known
 * bits with unsigned and signed bounds, every operation and condition over every pair of simple
 * ones and many mixed ones. At eight bits (low half four): the pairs of a whole and its half. At 64 bits:
 * members drawn at random. The meanings are written here anew, from RFC 9669.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "accel/range_impl.h"

static uint64_t seed = 0x2545f4914f6cdd1d;

static uint64_t any64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static unsigned below(unsigned n)
{
	return (unsigned)(any64() >> 33) % n;
}

/* ---- meanings -------------------------------------------------------------------------- */

static uint64_t cut(unsigned bits, uint64_t v)
{
	return bits == 64 ? v : v & ((1ull << bits) - 1);
}

static int64_t as_signed(unsigned bits, uint64_t v)
{
	return v >> (bits - 1) & 1 ? (int64_t)(v | (bits == 64 ? 0 : ~0ull << bits)) : (int64_t)v;
}

static uint64_t alu(unsigned bits, enum range_op op, uint64_t x, uint64_t y)
{
	__int128 sx = as_signed(bits, x), sy = as_signed(bits, y);
	unsigned count = (unsigned)(y % bits);

	switch (op) {
	case RANGE_ADD:
		return cut(bits, x + y);
	case RANGE_SUB:
		return cut(bits, x - y);
	case RANGE_MUL:
		return cut(bits, x * y);
	case RANGE_DIV:
		return y ? x / y : 0;
	case RANGE_MOD:
		return y ? x % y : x;
	case RANGE_SDIV:
		return y ? cut(bits, (uint64_t)(sx / sy)) : 0;
	case RANGE_SMOD:
		return y ? cut(bits, (uint64_t)(sx % sy)) : x;
	case RANGE_AND:
		return x & y;
	case RANGE_OR:
		return x | y;
	case RANGE_XOR:
		return x ^ y;
	case RANGE_LSH:
		return cut(bits, x << count);
	case RANGE_RSH:
		return x >> count;
	default:
		return cut(bits, (uint64_t)(as_signed(bits, x) >> count));
	}
}

static bool holds(unsigned bits, enum range_cmp cmp, uint64_t x, uint64_t y)
{
	switch (cmp) {
	case RANGE_EQ:
		return x == y;
	case RANGE_NE:
		return x != y;
	case RANGE_LT:
		return x < y;
	case RANGE_LE:
		return x <= y;
	case RANGE_SLT:
		return as_signed(bits, x) < as_signed(bits, y);
	case RANGE_SLE:
		return as_signed(bits, x) <= as_signed(bits, y);
	case RANGE_SET:
		return (x & y) != 0;
	default:
		return (x & y) == 0;
	}
}

/* Membership by the definition, not by span_contains(). */
static bool member(unsigned bits, const struct span *s, uint64_t v)
{
	return (v & ~s->tnum.mask) == s->tnum.value && v >= s->umin && v <= s->umax && as_signed(bits, v) >= s->smin &&
	       as_signed(bits, v) <= s->smax;
}

static uint32_t members4(const struct span *s)
{
	uint32_t m = 0;

	for (uint64_t v = 0; v < 16; v++)
		m |= (uint32_t)member(4, s, v) << v;
	return m;
}

/* ---- four bits ------------------------------------------------------------------------- */

#define SIMPLE (81 + 2 * 136)
#define MIXED 4096

static struct span simple[SIMPLE], mixed[MIXED];
static unsigned mixed_count;

static void test_settle(void **state)
{
	unsigned simple_count = 0, seen = 0;

	(void)state;
	for (uint64_t mask = 0; mask < 16; mask++) {
		for (uint64_t value = 0; value < 16; value++) {
			for (uint64_t lo = 0; lo < 16 && !(value & mask); lo++) {
				for (uint64_t hi = lo; hi < 16; hi++) {
					for (int64_t slo = -8; slo < 8; slo++) {
						for (int64_t shi = slo; shi < 8; shi++) {
							struct span s = {{value, mask}, lo, hi, slo, shi}, old = s;
							unsigned known = (mask != 15) + (lo != 0 || hi != 15) +
									 (slo != -8 || shi != 7);
							bool some = span_settle(4, &s);

							if (!some) {
								assert_int_equal(members4(&old), 0);
								continue;
							}
							if (members4(&s) != members4(&old))
								fail_msg("settling changes the set");
							assert_true(span_includes(&old, &s));
							if (members4(&s) == 0)
								continue;
							if (known <= 1 && simple_count < SIMPLE - 1)
								simple[simple_count++] = s;
							else if (seen++ % 151 == 0 && mixed_count < MIXED)
								mixed[mixed_count++] = s;
						}
					}
				}
			}
		}
	}
	while (simple_count < SIMPLE)
		simple[simple_count++] = span_unknown(4);
	assert_true(mixed_count > 1000);
}

static void check_alu(const struct span *a, const struct span *b)
{
	for (enum range_op op = 0; op < RANGE_OP_COUNT; op++) {
		struct span r = span_alu(4, op, a, b);
		uint32_t got = members4(&r);

		for (uint64_t x = 0; x < 16; x++) {
			for (uint64_t y = 0; member(4, a, x) && y < 16; y++) {
				if (member(4, b, y) && !(got >> alu(4, op, x, y) & 1))
					fail_msg("op %d: %d, %d gives %d, which is missing", op, (int)x, (int)y,
						(int)alu(4, op, x, y));
			}
		}
	}
}

static void check_cmp(const struct span *a, const struct span *b, bool exact)
{
	for (enum range_cmp cmp = 0; cmp < RANGE_CMP_COUNT; cmp++) {
		struct span na = *a, nb = *b;
		bool possible = span_assume(4, cmp, &na, &nb), any = false;

		for (uint64_t x = 0; x < 16; x++) {
			for (uint64_t y = 0; member(4, a, x) && y < 16; y++) {
				if (!member(4, b, y) || !holds(4, cmp, x, y))
					continue;
				any = true;
				if (!possible || !member(4, &na, x) || !member(4, &nb, y))
					fail_msg("condition %d: lost %d, %d", cmp, (int)x, (int)y);
			}
		}
		if (exact && possible && !any && span_is_const(b))
			fail_msg("condition %d: holds for nothing, not noticed", cmp);
	}
}

static void check_sets(const struct span *a, const struct span *b)
{
	uint32_t ma = members4(a), mb = members4(b);
	struct span join = span_join(4, a, b), meet = *a;

	assert_true((members4(&join) & (ma | mb)) == (ma | mb));
	if (span_intersect(4, &meet, b))
		assert_int_equal(members4(&meet), ma & mb);
	else
		assert_int_equal(ma & mb, 0);
	if (span_includes(a, b))
		assert_int_equal(mb & ~ma, 0);
}

static void test_simple_pairs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SIMPLE; i++) {
		for (unsigned j = 0; j < SIMPLE; j++) {
			check_alu(&simple[i], &simple[j]);
			check_cmp(&simple[i], &simple[j], true);
			check_sets(&simple[i], &simple[j]);
		}
	}
}

static void test_mixed_pairs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		const struct span *a = &mixed[below(mixed_count)], *b = &mixed[below(mixed_count)];

		check_alu(a, b);
		check_cmp(a, b, false);
		check_sets(a, b);
	}
}

static void test_constants(void **state)
{
	(void)state;
	for (enum range_op op = 0; op < RANGE_OP_COUNT; op++) {
		for (uint64_t x = 0; x < 16; x++) {
			for (uint64_t y = 0; y < 16; y++) {
				struct span a = span_const(4, x), b = span_const(4, y), r = span_alu(4, op, &a, &b);

				if (members4(&r) != 1u << alu(4, op, x, y))
					fail_msg("op %d of constants %d and %d is not constant", op, (int)x, (int)y);
			}
		}
	}
}

static void test_resize(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SIMPLE + mixed_count; i++) {
		const struct span *s = i < SIMPLE ? &simple[i] : &mixed[i - SIMPLE];

		for (unsigned to = 1; to < 4; to++) {
			struct span t = span_trunc(s, to), z = span_zext(&t, 4), x = span_sext(&t, to, 4);

			for (uint64_t v = 0; v < 16; v++) {
				uint64_t low = cut(to, v);

				if (!member(4, s, v))
					continue;
				assert_true(member(to, &t, low));
				assert_true(member(4, &z, low));
				assert_true(member(4, &x, cut(4, (uint64_t)as_signed(to, low))));
			}
		}
	}
}

/* ---- eight bits: a whole and its low half ---------------------------------------------- */

static struct span any_span(unsigned bits)
{
	struct span s = span_unknown(bits);
	uint64_t a = cut(bits, any64()), b = cut(bits, any64());
	uint64_t mask = below(3) ? cut(bits, any64() | any64()) : tnum_ones(bits);
	int64_t sa = as_signed(bits, cut(bits, any64())), sb = as_signed(bits, cut(bits, any64()));

	s.tnum = (struct tnum){cut(bits, any64()) & ~mask, mask};
	if (below(2)) {
		s.umin = a < b ? a : b;
		s.umax = a < b ? b : a;
	}
	if (below(2)) {
		s.smin = sa < sb ? sa : sb;
		s.smax = sa < sb ? sb : sa;
	}
	return s;
}

static bool member8(const struct range *r, uint64_t v)
{
	return member(8, &r->full, v) && member(4, &r->half, v & 15);
}

static struct range any_range8(void)
{
	struct range r;

	while (true) {
		r = (struct range){any_span(8), below(2) ? any_span(4) : span_unknown(4)};
		if (!range_settle(8, &r))
			continue;
		for (uint64_t v = 0; v < 256; v++) {
			if (member8(&r, v))
				return r;
		}
	}
}

static void test_exchange(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 30000; i++) {
		struct range r = {any_span(8), any_span(4)}, old = r;
		bool some = range_settle(8, &r);

		for (uint64_t v = 0; v < 256; v++) {
			if (member8(&old, v) != (some && member8(&r, v)))
				fail_msg("exchange between whole and half changes the set");
		}
	}
}

/* Up to `max` members of r, the ends of its bounds among them. */
static unsigned draw(const struct range *r, uint64_t *out, unsigned max)
{
	unsigned count = 0, start = below(256);

	for (unsigned i = 0; i < 256 && count < max; i++) {
		uint64_t v = i == 0 ? r->full.umin : i == 1 ? r->full.umax : (start + 37 * i) & 255;

		if (member8(r, v))
			out[count++] = v;
	}
	return count;
}

static void test_pairs_of_halves(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct range a = any_range8(), b = any_range8(), join = range_join(8, &a, &b);
		uint64_t xs[12], ys[12];
		unsigned nx = draw(&a, xs, 12), ny = draw(&b, ys, 12);

		for (unsigned k = 0; k < nx * ny; k++) {
			uint64_t x = xs[k / ny], y = ys[k % ny];

			assert_true(member8(&join, x) && member8(&join, y));
		}
		for (unsigned half = 0; half < 2; half++) {
			unsigned bits = half ? 4 : 8;

			for (enum range_op op = 0; op < RANGE_OP_COUNT; op++) {
				struct range r = range_alu(8, half, op, &a, &b);

				for (unsigned k = 0; k < nx * ny; k++) {
					uint64_t v = alu(bits, op, cut(bits, xs[k / ny]), cut(bits, ys[k % ny]));

					if (!member8(&r, v))
						fail_msg("op %d on %u bits loses %d", op, bits, (int)v);
				}
			}
			for (enum range_cmp cmp = 0; cmp < RANGE_CMP_COUNT; cmp++) {
				struct range na = a, nb = b;
				bool possible = range_assume(8, half, cmp, &na, &nb);

				for (unsigned k = 0; k < nx * ny; k++) {
					uint64_t x = xs[k / ny], y = ys[k % ny];

					if (holds(bits, cmp, cut(bits, x), cut(bits, y)) &&
						(!possible || !member8(&na, x) || !member8(&nb, y)))
						fail_msg("condition %d on %u bits loses %d, %d", cmp, bits, (int)x,
							(int)y);
				}
			}
		}
		for (unsigned from = 2; from <= 8; from += 2) {
			struct range z = range_zext(8, from, &a), s = range_sext(8, from, &a), low = range_low(8, &a);

			for (unsigned k = 0; k < nx; k++) {
				assert_true(member8(&z, cut(from, xs[k])));
				assert_true(member8(&s, cut(8, (uint64_t)as_signed(from, cut(from, xs[k])))));
				assert_true(member8(&low, xs[k] & 15));
			}
		}
		for (unsigned half = 0; half < 2; half++) {
			struct range met = a;
			bool some = range_meet(8, half, &met, &b);

			for (uint64_t v = 0; v < 256; v++) {
				bool kept = member8(&a, v) && (half ? member(4, &b.half, v & 15) : member8(&b, v));

				assert_true(!kept || (some && member8(&met, v)));
			}
		}
	}
}

/* ---- sixty-four bits ------------------------------------------------------------------- */

static uint64_t edge64(void)
{
	static const uint64_t edges[] = {0, 1, 2, 7, 8, 63, 64, 255, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		INT64_MAX, 1ull << 63, UINT64_MAX, UINT64_MAX - 1};

	switch (below(4)) {
	case 0:
		return edges[below(16)];
	case 1:
		return any64() >> below(64);
	case 2:
		return edges[below(16)] + any64() % 16 - 8;
	default:
		return any64();
	}
}

static bool member64(const struct range *r, uint64_t v)
{
	return member(64, &r->full, v) && member(32, &r->half, (uint32_t)v);
}

/* A range made by joining numbers and narrowing, and one of its members. */
static struct range any_range64(uint64_t *v)
{
	uint64_t a = edge64(), b = edge64();
	struct range r = range_const(64, a), one = range_const(64, b), other;

	if (below(4) == 0)
		r = range_between(64, a < b ? a : b, a < b ? b : a);
	else if (below(4) == 0)
		r = range_between_signed(64, (int64_t)a < (int64_t)b ? (int64_t)a : (int64_t)b,
			(int64_t)a < (int64_t)b ? (int64_t)b : (int64_t)a);
	else if (below(4) != 0)
		r = range_join(64, &r, &one);
	else
		b = a;
	*v = below(2) ? a : b;
	if (below(4) == 0) {
		enum range_op op = below(RANGE_OP_COUNT);
		bool half = below(2);

		*v = half ? alu(32, op, (uint32_t)*v, (uint32_t)b) : alu(64, op, *v, b);
		other = range_const(64, b);
		r = range_alu(64, half, op, &r, &other);
	}
	assert_true(member64(&r, *v));
	return r;
}

static void test_wide(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t x, y;
		struct range a = any_range64(&x), b = any_range64(&y);

		for (unsigned half = 0; half < 2; half++) {
			unsigned bits = half ? 32 : 64;
			uint64_t cx = cut(bits, x), cy = cut(bits, y);

			for (enum range_op op = 0; op < RANGE_OP_COUNT; op++) {
				struct range r = range_alu(64, half, op, &a, &b);

				if (!member64(&r, alu(bits, op, cx, cy)))
					fail_msg("op %d on %u bits: %llx, %llx", op, bits, (unsigned long long)cx,
						(unsigned long long)cy);
			}
			for (enum range_cmp cmp = 0; cmp < RANGE_CMP_COUNT; cmp++) {
				struct range na = a, nb = b;
				bool possible = range_assume(64, half, cmp, &na, &nb);

				if (holds(bits, cmp, cx, cy) && (!possible || !member64(&na, x) || !member64(&nb, y)))
					fail_msg("condition %d on %u bits: %llx, %llx", cmp, bits,
						(unsigned long long)cx, (unsigned long long)cy);
			}
		}
		for (unsigned from = 8; from <= 64; from *= 2) {
			struct range z = range_zext(64, from, &a), s = range_sext(64, from, &a);

			assert_true(member64(&z, cut(from, x)));
			assert_true(member64(&s, (uint64_t)as_signed(from, cut(from, x))));
		}
		for (unsigned bytes = 2; bytes <= 8; bytes *= 2) {
			struct range s = range_swap(bytes, &a);
			uint64_t v = 0;

			for (unsigned k = 0; k < bytes; k++)
				v |= (x >> (8 * k) & 0xff) << (8 * (bytes - 1 - k));
			assert_true(member64(&s, v));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settle),
		cmocka_unit_test(test_simple_pairs),
		cmocka_unit_test(test_mixed_pairs),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_pairs_of_halves),
		cmocka_unit_test(test_wide),
	};

	return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
