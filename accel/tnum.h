/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tnum.h: a set of numbers as known bits: bit i of every member equals bit i of `value` wherever
 * `mask` has a 0, and may be anything where it has a 1. value & mask is always 0.
 *
 * Pure functions over a two-word value, no state. Operations work modulo 2^64; a narrower width
 * is had by tnum_trunc() afterwards. Every result contains every number that the operation
 * can give on members of its operands. Used by range.c only.
 */
#ifndef ACCEL_TNUM_H
#define ACCEL_TNUM_H

#include <stdbool.h>
#include <stdint.h>

struct tnum {
	uint64_t value;
	uint64_t mask;
};

/* The low `bits` bits set, for 0..64. */
static inline uint64_t tnum_ones(unsigned bits)
{
	return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

static inline struct tnum tnum_const(uint64_t value)
{
	return (struct tnum){value, 0};
}

/* 0 .. 2^bits - 1 */
static inline struct tnum tnum_unknown(unsigned bits)
{
	return (struct tnum){0, tnum_ones(bits)};
}

/* The smallest that holds min..max. */
static inline struct tnum tnum_span(uint64_t min, uint64_t max)
{
	uint64_t differ = min ^ max;
	unsigned low = differ ? 64 - (unsigned)__builtin_clzll(differ) : 0;
	uint64_t mask = tnum_ones(low);

	/* Bits above the highest one in which the ends differ are common to all between them. */
	return (struct tnum){min & ~mask, mask};
}

/* Modulo 2^bits. */
static inline struct tnum tnum_trunc(struct tnum a, unsigned bits)
{
	return (struct tnum){a.value & tnum_ones(bits), a.mask & tnum_ones(bits)};
}

static inline bool tnum_is_const(struct tnum a)
{
	return a.mask == 0;
}

static inline bool tnum_equal(struct tnum a, struct tnum b)
{
	return a.value == b.value && a.mask == b.mask;
}

static inline bool tnum_contains(struct tnum a, uint64_t value)
{
	return (value & ~a.mask) == a.value;
}

static inline bool tnum_includes(struct tnum outer, struct tnum inner)
{
	return (inner.mask & ~outer.mask) == 0 && (inner.value & ~outer.mask) == outer.value;
}

/* False: nothing in common. */
static inline bool tnum_intersect(struct tnum a, struct tnum b, struct tnum *out)
{
	uint64_t mask = a.mask & b.mask;

	if ((a.value ^ b.value) & ~a.mask & ~b.mask)
		return false;
	*out = (struct tnum){(a.value | b.value) & ~mask, mask};
	return true;
}

static inline struct tnum tnum_join(struct tnum a, struct tnum b)
{
	uint64_t mask = a.mask | b.mask | (a.value ^ b.value);

	return (struct tnum){a.value & ~mask, mask};
}

struct tnum tnum_sext(struct tnum a, unsigned from, unsigned to);

struct tnum tnum_add(struct tnum a, struct tnum b);
struct tnum tnum_sub(struct tnum a, struct tnum b);
struct tnum tnum_mul(struct tnum a, struct tnum b);
struct tnum tnum_and(struct tnum a, struct tnum b);
struct tnum tnum_or(struct tnum a, struct tnum b);
struct tnum tnum_xor(struct tnum a, struct tnum b);
struct tnum tnum_shl(struct tnum a, unsigned count);		    /* count < 64 */
struct tnum tnum_shr(struct tnum a, unsigned count);		    /* count < 64 */
struct tnum tnum_sar(struct tnum a, unsigned count, unsigned bits); /* of a `bits`-wide number */
struct tnum tnum_swap(struct tnum a, unsigned bytes);		    /* byte order of the low bytes; the rest 0 */

#endif
