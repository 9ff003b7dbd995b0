/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * range_alu.c: arithmetic on ranges of numbers. One operation is one function over spans of any
 * width; known bits come from tnum.c, bounds are worked out in 128 bits, where nothing wraps,
 * and brought back by span_set_*(). See range.h for the contract.
 */
#include "accel/range_impl.h"

typedef struct span (*span_binary)(unsigned bits, const struct span *a, const struct span *b);

static struct span settled(unsigned bits, struct span s)
{
	span_settle(bits, &s);
	return s;
}

static struct span span_add(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);

	r.tnum = tnum_trunc(tnum_add(a->tnum, b->tnum), bits);
	span_set_unsigned(bits, &r, (unsigned __int128)a->umin + b->umin, (unsigned __int128)a->umax + b->umax);
	span_set_signed(bits, &r, (__int128)a->smin + b->smin, (__int128)a->smax + b->smax);
	return settled(bits, r);
}

static struct span span_sub(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);
	unsigned __int128 wrap = (unsigned __int128)1 << bits; /* keeps the exact differences positive */

	r.tnum = tnum_trunc(tnum_sub(a->tnum, b->tnum), bits);
	span_set_unsigned(bits, &r, wrap + a->umin - b->umax, wrap + a->umax - b->umin);
	span_set_signed(bits, &r, (__int128)a->smin - b->smax, (__int128)a->smax - b->smin);
	return settled(bits, r);
}

static struct span span_mul(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);
	__int128 corner[4] = {
		(__int128)a->smin * b->smin,
		(__int128)a->smin * b->smax,
		(__int128)a->smax * b->smin,
		(__int128)a->smax * b->smax,
	};
	__int128 lo = corner[0], hi = corner[0];

	for (unsigned i = 1; i < 4; i++) {
		lo = corner[i] < lo ? corner[i] : lo;
		hi = corner[i] > hi ? corner[i] : hi;
	}
	r.tnum = tnum_trunc(tnum_mul(a->tnum, b->tnum), bits);
	span_set_unsigned(bits, &r, (unsigned __int128)a->umin * b->umin, (unsigned __int128)a->umax * b->umax);
	span_set_signed(bits, &r, lo, hi);
	return settled(bits, r);
}

static struct span span_div(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);

	if (b->umax == 0)
		return span_const(bits, 0);
	r.umin = b->umin ? a->umin / b->umax : 0; /* x / 0 is 0 */
	r.umax = a->umax / (b->umin ? b->umin : 1);
	return settled(bits, r);
}

static struct span span_mod(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);

	if (b->umax == 0 || a->umax < b->umin)
		return *a; /* x % 0 is x, and a smaller number stays */
	if (span_is_const(a) && span_is_const(b))
		return span_const(bits, a->umin % b->umin);
	if (span_is_const(b) && (b->umin & (b->umin - 1)) == 0)
		r.tnum = tnum_and(a->tnum, tnum_const(b->umin - 1));
	r.umax = a->umax;
	if (b->umin && r.umax > b->umax - 1)
		r.umax = b->umax - 1;
	return settled(bits, r);
}

/* Quotients towards zero are monotone in the dividend for one divisor. */
static struct span span_sdiv(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);
	int64_t d = b->smin;

	if (b->smin != b->smax) {
		/* Never further from zero than the dividend, and INT_MIN / -1 is INT_MIN. */
		__int128 most = -(__int128)a->smin > a->smax ? -(__int128)a->smin : a->smax;

		if (a->smin > span_smin(bits)) {
			r.smin = (int64_t)-most;
			r.smax = (int64_t)most;
		}
		return settled(bits, r);
	}
	if (d == 0)
		return span_const(bits, 0);
	if (d == -1) {
		struct span zero = span_const(bits, 0);

		return span_sub(bits, &zero, a);
	}
	r.smin = d > 0 ? a->smin / d : a->smax / d;
	r.smax = d > 0 ? a->smax / d : a->smin / d;
	return settled(bits, r);
}

/* The remainder has the dividend's sign and is no further from zero. */
static struct span span_smod(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);

	if (b->umax == 0)
		return *a; /* x % 0 is x */
	if (span_is_const(a) && span_is_const(b))
		return span_const(bits, (uint64_t)((__int128)a->smin % b->smin));
	r.smin = a->smin < 0 ? a->smin : 0;
	r.smax = a->smax > 0 ? a->smax : 0;
	if (b->smin > 0 || b->smax < 0) { /* not 0: then it also is nearer to zero than the divisor */
		__int128 most = b->smin > 0 ? (__int128)b->smax - 1 : -(__int128)b->smin - 1;

		if (r.smin < -most)
			r.smin = (int64_t)-most;
		if (r.smax > most)
			r.smax = (int64_t)most;
	}
	return settled(bits, r);
}

static struct span span_and(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);

	r.tnum = tnum_and(a->tnum, b->tnum);
	r.umax = a->umax < b->umax ? a->umax : b->umax;
	return settled(bits, r);
}

static struct span span_or(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);

	r.tnum = tnum_or(a->tnum, b->tnum);
	r.umin = a->umin > b->umin ? a->umin : b->umin;
	return settled(bits, r);
}

static struct span span_xor(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = span_unknown(bits);

	r.tnum = tnum_xor(a->tnum, b->tnum);
	return settled(bits, r);
}

static struct span shift_by(unsigned bits, enum range_op op, const struct span *a, unsigned count)
{
	struct span r = span_unknown(bits);

	switch (op) {
	case RANGE_LSH:
		r.tnum = tnum_trunc(tnum_shl(a->tnum, count), bits);
		span_set_unsigned(bits, &r, (unsigned __int128)a->umin << count, (unsigned __int128)a->umax << count);
		span_set_signed(bits, &r, a->smin * ((__int128)1 << count), a->smax * ((__int128)1 << count));
		break;
	case RANGE_RSH:
		r.tnum = tnum_shr(a->tnum, count);
		r.umin = a->umin >> count;
		r.umax = a->umax >> count;
		break;
	default:
		r.tnum = tnum_sar(a->tnum, count, bits);
		r.smin = a->smin >> count;
		r.smax = a->smax >> count;
		break;
	}
	return settled(bits, r);
}

/* By each count that is possible; there are at most `bits` of them, the count is taken modulo that. */
static struct span span_shift(unsigned bits, enum range_op op, const struct span *a, const struct span *b)
{
	struct span mask = span_const(bits, bits - 1);
	struct span count = span_and(bits, b, &mask);
	struct span r = {0}, one;
	bool any = false;

	if (b->umax < bits)
		count = *b;
	for (uint64_t k = count.umin; k <= count.umax; k++) {
		if (!span_contains(bits, &count, k))
			continue;
		one = shift_by(bits, op, a, (unsigned)k);
		r = any ? span_join(bits, &r, &one) : one;
		any = true;
	}
	return any ? r : span_unknown(bits);
}

struct span span_alu(unsigned bits, enum range_op op, const struct span *a, const struct span *b)
{
	static const span_binary binary[RANGE_OP_COUNT] = {
		[RANGE_ADD] = span_add,
		[RANGE_SUB] = span_sub,
		[RANGE_MUL] = span_mul,
		[RANGE_DIV] = span_div,
		[RANGE_MOD] = span_mod,
		[RANGE_SDIV] = span_sdiv,
		[RANGE_SMOD] = span_smod,
		[RANGE_AND] = span_and,
		[RANGE_OR] = span_or,
		[RANGE_XOR] = span_xor,
	};

	return binary[op] ? binary[op](bits, a, b) : span_shift(bits, op, a, b);
}

struct range range_alu(unsigned bits, bool half, enum range_op op, const struct range *a, const struct range *b)
{
	struct range r;

	if (range_is_const(a) && range_is_const(b)) {
		struct span value =
			half ? span_alu(bits / 2, op, &a->half, &b->half) : span_alu(bits, op, &a->full, &b->full);

		return range_const(bits, value.umin);
	}
	if (half)
		return range_of_half(bits, span_alu(bits / 2, op, &a->half, &b->half));
	r = range_of_full(bits, span_alu(bits, op, &a->full, &b->full));
	switch (op) {
	case RANGE_ADD:
	case RANGE_SUB:
	case RANGE_MUL:
	case RANGE_AND:
	case RANGE_OR:
	case RANGE_XOR: {
		/* The low half of the result comes from the low halves alone. */
		struct span low = span_alu(bits / 2, op, &a->half, &b->half);

		span_intersect(bits / 2, &r.half, &low);
		range_settle(bits, &r);
		break;
	}
	default:
		break;
	}
	return r;
}
