/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * range_cmp.c: what a condition that holds says about its operands. Both are narrowed to the
 * numbers for which a partner exists in the other's bounds; a contradiction means that the
 * branch cannot be taken. See range.h for the contract.
 */
#include "accel/range_impl.h"

/* a != b tells something only of bounds that equal a constant. */
static bool drop_value(unsigned bits, struct span *a, uint64_t value)
{
	int64_t as_signed = span_signed(bits, value);

	if (a->umin == value && a->umax == value)
		return false;
	if (a->umin == value)
		a->umin++;
	if (a->umax == value)
		a->umax--;
	if (a->smin == as_signed && a->smax == as_signed)
		return false;
	if (a->smin == as_signed)
		a->smin++;
	if (a->smax == as_signed)
		a->smax--;
	return true;
}

static bool less(struct span *a, struct span *b, bool or_equal)
{
	uint64_t gap = or_equal ? 0 : 1;

	if (b->umax < gap || a->umin > UINT64_MAX - gap)
		return false;
	if (a->umax > b->umax - gap)
		a->umax = b->umax - gap;
	if (b->umin < a->umin + gap)
		b->umin = a->umin + gap;
	return true;
}

static bool less_signed(struct span *a, struct span *b, bool or_equal)
{
	int64_t gap = or_equal ? 0 : 1;

	if (b->smax < INT64_MIN + gap || a->smin > INT64_MAX - gap)
		return false;
	if (a->smax > b->smax - gap)
		a->smax = b->smax - gap;
	if (b->smin < a->smin + gap)
		b->smin = a->smin + gap;
	return true;
}

/* A common bit: when b can have only one, a has that one. */
static bool common_bit(struct span *a, const struct span *b)
{
	uint64_t maybe = (a->tnum.value | a->tnum.mask) & (b->tnum.value | b->tnum.mask);

	if (maybe == 0)
		return false;
	return (maybe & (maybe - 1)) != 0 || tnum_intersect(a->tnum, (struct tnum){maybe, ~maybe}, &a->tnum);
}

/* No common bit: where b has one, a has none. */
static bool no_common_bit(unsigned bits, struct span *a, const struct span *b)
{
	return tnum_intersect(a->tnum, (struct tnum){0, tnum_ones(bits) & ~b->tnum.value}, &a->tnum);
}

bool span_assume(unsigned bits, enum range_cmp cmp, struct span *a, struct span *b)
{
	struct span old = *a;
	bool possible = true;

	switch (cmp) {
	case RANGE_EQ:
		possible = span_intersect(bits, a, b);
		*b = *a;
		break;
	case RANGE_NE:
		if (span_is_const(b))
			possible = drop_value(bits, a, b->umin);
		if (possible && span_is_const(&old))
			possible = drop_value(bits, b, old.umin);
		break;
	case RANGE_LT:
	case RANGE_LE:
		possible = less(a, b, cmp == RANGE_LE);
		break;
	case RANGE_SLT:
	case RANGE_SLE:
		possible = less_signed(a, b, cmp == RANGE_SLE);
		break;
	case RANGE_SET:
		possible = common_bit(a, b) && common_bit(b, &old);
		break;
	case RANGE_CLEAR:
		possible = no_common_bit(bits, a, b) && no_common_bit(bits, b, &old);
		break;
	}
	return possible && span_settle(bits, a) && span_settle(bits, b);
}

bool range_assume(unsigned bits, bool half, enum range_cmp cmp, struct range *a, struct range *b)
{
	bool possible =
		half ? span_assume(bits / 2, cmp, &a->half, &b->half) : span_assume(bits, cmp, &a->full, &b->full);

	if (possible && cmp == RANGE_EQ && !half)
		possible = span_assume(bits / 2, cmp, &a->half, &b->half);
	return possible && range_settle(bits, a) && range_settle(bits, b);
}

bool range_meet(unsigned bits, bool half, struct range *a, const struct range *b)
{
	return span_intersect(bits / 2, &a->half, &b->half) && (half || span_intersect(bits, &a->full, &b->full)) &&
	       range_settle(bits, a);
}
