/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tnum.c: sets of numbers as known bits. See tnum.h. Each operation is derived beside its code;
 * tests/unit/test_tnum.c compares all of them with brute force over every pair at four bits.
 */
#include "accel/tnum.h"

static uint64_t extend(uint64_t v, unsigned from, unsigned to)
{
	uint64_t sign = UINT64_C(1) << (from - 1);

	v &= tnum_ones(from);
	return ((v ^ sign) - sign) & tnum_ones(to);
}

struct tnum tnum_sext(struct tnum a, unsigned from, unsigned to)
{
	/* An unknown sign makes all copies of it unknown: extending both words does that. */
	return (struct tnum){extend(a.value, from, to), extend(a.mask, from, to)};
}

/*
 * The carries into a bit are fewest when all unknown bits are 0 and most when they are all 1.
 * Where those two sums have had the same carry, and both operand bits are known, the result bit is known.
 */
struct tnum tnum_add(struct tnum a, struct tnum b)
{
	uint64_t least = a.value + b.value;
	uint64_t most = least + a.mask + b.mask;
	uint64_t mask = (least ^ most) | a.mask | b.mask;

	return (struct tnum){least & ~mask, mask};
}

/* The same with borrows: most are had from a's least and b's greatest, fewest the other way round. */
struct tnum tnum_sub(struct tnum a, struct tnum b)
{
	uint64_t least = a.value - b.value - b.mask;
	uint64_t most = a.value + a.mask - b.value;
	uint64_t mask = (least ^ most) | a.mask | b.mask;

	return (struct tnum){(a.value - b.value) & ~mask, mask};
}

/* Long multiplication: each bit of a adds b shifted, or nothing, or one of the two. */
struct tnum tnum_mul(struct tnum a, struct tnum b)
{
	struct tnum sum = tnum_const(0);

	for (unsigned i = 0; i < 64 && ((a.value | a.mask) >> i) != 0; i++) {
		if (a.value >> i & 1)
			sum = tnum_add(sum, tnum_shl(b, i));
		else if (a.mask >> i & 1)
			sum = tnum_add(sum, (struct tnum){0, (b.value | b.mask) << i});
	}
	return sum;
}

struct tnum tnum_and(struct tnum a, struct tnum b)
{
	uint64_t ones = a.value & b.value;
	uint64_t maybe = (a.value | a.mask) & (b.value | b.mask);

	return (struct tnum){ones, maybe & ~ones};
}

struct tnum tnum_or(struct tnum a, struct tnum b)
{
	uint64_t ones = a.value | b.value;

	return (struct tnum){ones, (a.mask | b.mask) & ~ones};
}

struct tnum tnum_xor(struct tnum a, struct tnum b)
{
	uint64_t mask = a.mask | b.mask;

	return (struct tnum){(a.value ^ b.value) & ~mask, mask};
}

struct tnum tnum_shl(struct tnum a, unsigned count)
{
	return (struct tnum){a.value << count, a.mask << count};
}

struct tnum tnum_shr(struct tnum a, unsigned count)
{
	return (struct tnum){a.value >> count, a.mask >> count};
}

struct tnum tnum_sar(struct tnum a, unsigned count, unsigned bits)
{
	struct tnum wide = tnum_sext(a, bits, 64);

	wide = (struct tnum){(uint64_t)((int64_t)wide.value >> count), (uint64_t)((int64_t)wide.mask >> count)};
	return tnum_trunc(wide, bits);
}

struct tnum tnum_swap(struct tnum a, unsigned bytes)
{
	unsigned drop = 64 - 8 * bytes;

	return (struct tnum){__builtin_bswap64(a.value) >> drop, __builtin_bswap64(a.mask) >> drop};
}
