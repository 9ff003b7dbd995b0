/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * range.c: sets of numbers as bounds and known bits: building, joining, comparing, and what one
 * description says about the others. Arithmetic is in range_alu.c, conditions in range_cmp.c.
 *
 * Each deduction is stated beside its code; tests/unit/test_range.c holds all of them against
 * brute force at four and eight bits.
 */
#include "accel/range_impl.h"

struct span span_const(unsigned bits, uint64_t value)
{
	value &= tnum_ones(bits);
	return (struct span){tnum_const(value), value, value, span_signed(bits, value), span_signed(bits, value)};
}

struct span span_unknown(unsigned bits)
{
	return (struct span){
		tnum_unknown(bits),
		0,
		tnum_ones(bits),
		span_smin(bits),
		-(span_smin(bits) + 1),
	};
}

bool span_is_const(const struct span *s)
{
	return s->umin == s->umax;
}

bool span_equal(const struct span *a, const struct span *b)
{
	return tnum_equal(a->tnum, b->tnum) && a->umin == b->umin && a->umax == b->umax && a->smin == b->smin &&
	       a->smax == b->smax;
}

bool span_contains(unsigned bits, const struct span *s, uint64_t value)
{
	int64_t as_signed = span_signed(bits, value);

	return tnum_contains(s->tnum, value) && value >= s->umin && value <= s->umax && as_signed >= s->smin &&
	       as_signed <= s->smax;
}

bool span_includes(const struct span *outer, const struct span *inner)
{
	return inner->umin >= outer->umin && inner->umax <= outer->umax && inner->smin >= outer->smin &&
	       inner->smax <= outer->smax && tnum_includes(outer->tnum, inner->tnum);
}

void span_set_unsigned(unsigned bits, struct span *s, unsigned __int128 lo, unsigned __int128 hi)
{
	/* All of lo..hi wrap equally often, so they stay in order; otherwise nothing is known. */
	if (lo >> bits == hi >> bits) {
		s->umin = (uint64_t)lo & tnum_ones(bits);
		s->umax = (uint64_t)hi & tnum_ones(bits);
	}
}

void span_set_signed(unsigned bits, struct span *s, __int128 lo, __int128 hi)
{
	__int128 base = span_smin(bits);

	if ((lo - base) >> bits == (hi - base) >> bits) {
		s->smin = span_signed(bits, (uint64_t)lo);
		s->smax = span_signed(bits, (uint64_t)hi);
	}
}

static void raise_u(uint64_t *v, uint64_t to)
{
	if (*v < to)
		*v = to;
}

static void lower_u(uint64_t *v, uint64_t to)
{
	if (*v > to)
		*v = to;
}

static void raise_s(int64_t *v, int64_t to)
{
	if (*v < to)
		*v = to;
}

static void lower_s(int64_t *v, int64_t to)
{
	if (*v > to)
		*v = to;
}

/* One round of deductions; false: the set is empty. */
static bool settle_once(unsigned bits, struct span *s)
{
	uint64_t sign = UINT64_C(1) << (bits - 1);
	uint64_t sign_unknown = s->tnum.mask & sign;

	/* Known bits bound the number: all unknown ones 0, or all 1 (the sign the other way round). */
	raise_u(&s->umin, s->tnum.value);
	lower_u(&s->umax, s->tnum.value | s->tnum.mask);
	raise_s(&s->smin, span_signed(bits, s->tnum.value | sign_unknown));
	lower_s(&s->smax, span_signed(bits, (s->tnum.value | s->tnum.mask) & ~sign_unknown));

	/* Within one half of the number circle both orders are the same order. */
	if (((s->umin ^ s->umax) & sign) == 0) {
		raise_s(&s->smin, span_signed(bits, s->umin));
		lower_s(&s->smax, span_signed(bits, s->umax));
	}
	if ((s->smin < 0) == (s->smax < 0)) {
		raise_u(&s->umin, (uint64_t)s->smin & tnum_ones(bits));
		lower_u(&s->umax, (uint64_t)s->smax & tnum_ones(bits));
	} else {
		/* A half that one of the orders excludes altogether. */
		if (s->smax >= 0 && (uint64_t)s->smax < s->umin)
			s->smax = -1;
		if (s->smin < 0 && ((uint64_t)s->smin & tnum_ones(bits)) > s->umax)
			s->smin = 0;
	}
	if (s->umin > s->umax || s->smin > s->smax)
		return false;
	/* The common high bits of the bounds are known bits. */
	return tnum_intersect(s->tnum, tnum_span(s->umin, s->umax), &s->tnum);
}

bool span_settle(unsigned bits, struct span *s)
{
	struct span before;

	if (span_is_const(s)) {
		if (!span_contains(bits, s, s->umin))
			return false;
		*s = span_const(bits, s->umin);
		return true;
	}
	do {
		before = *s;
		if (!settle_once(bits, s))
			return false;
	} while (!span_equal(&before, s));
	return true;
}

struct span span_join(unsigned bits, const struct span *a, const struct span *b)
{
	struct span r = *a;

	r.tnum = tnum_join(a->tnum, b->tnum);
	lower_u(&r.umin, b->umin);
	raise_u(&r.umax, b->umax);
	lower_s(&r.smin, b->smin);
	raise_s(&r.smax, b->smax);
	span_settle(bits, &r);
	return r;
}

bool span_intersect(unsigned bits, struct span *a, const struct span *b)
{
	raise_u(&a->umin, b->umin);
	lower_u(&a->umax, b->umax);
	raise_s(&a->smin, b->smin);
	lower_s(&a->smax, b->smax);
	return tnum_intersect(a->tnum, b->tnum, &a->tnum) && span_settle(bits, a);
}

struct span span_trunc(const struct span *a, unsigned to)
{
	struct span r = span_unknown(to);

	r.tnum = tnum_trunc(a->tnum, to);
	span_set_unsigned(to, &r, a->umin, a->umax);
	span_set_signed(to, &r, a->smin, a->smax);
	span_settle(to, &r);
	return r;
}

struct span span_zext(const struct span *a, unsigned to)
{
	struct span r = span_unknown(to);

	r.tnum = a->tnum;
	r.umin = a->umin;
	r.umax = a->umax;
	span_settle(to, &r);
	return r;
}

struct span span_sext(const struct span *a, unsigned from, unsigned to)
{
	struct span r = span_unknown(to);

	r.tnum = tnum_sext(a->tnum, from, to);
	r.smin = a->smin;
	r.smax = a->smax;
	span_settle(to, &r);
	return r;
}

/* ---- the pair -------------------------------------------------------------------------- */

/*
 * What the low half says of the whole: the least number at or above `min` (in either order: within
 * one high part, both are the unsigned order of the low part) whose low half lies in lo..hi.
 * The carry into the high part is the caller's to check. False: there is none below the wrap.
 */
static uint64_t ceil_low(unsigned low_bits, uint64_t min, uint64_t lo, uint64_t hi, bool *carry)
{
	uint64_t low = min & tnum_ones(low_bits), high = min & ~tnum_ones(low_bits);

	*carry = low > hi;
	if (low > hi)
		return high + tnum_ones(low_bits) + 1 + lo;
	return high | (low < lo ? lo : low);
}

static uint64_t floor_low(unsigned low_bits, uint64_t max, uint64_t lo, uint64_t hi, bool *borrow)
{
	uint64_t low = max & tnum_ones(low_bits), high = max & ~tnum_ones(low_bits);

	*borrow = low < lo;
	if (low < lo)
		return high - tnum_ones(low_bits) - 1 + hi;
	return high | (low > hi ? hi : low);
}

/* One round: whole and half sharpen each other. False: nothing is left. */
static bool exchange_once(unsigned bits, struct range *r)
{
	unsigned low_bits = bits / 2;
	struct span low = span_trunc(&r->full, low_bits);
	struct span *f = &r->full;
	struct tnum known;
	uint64_t v;
	bool wraps;

	if (!span_intersect(low_bits, &r->half, &low))
		return false;
	known = (struct tnum){r->half.tnum.value, r->half.tnum.mask | (tnum_ones(bits) & ~tnum_ones(low_bits))};
	if (!tnum_intersect(f->tnum, known, &f->tnum))
		return false;

	v = ceil_low(low_bits, f->umin, r->half.umin, r->half.umax, &wraps) & tnum_ones(bits);
	if (wraps && v < f->umin)
		return false;
	f->umin = v;
	v = floor_low(low_bits, f->umax, r->half.umin, r->half.umax, &wraps) & tnum_ones(bits);
	if (wraps && v > f->umax)
		return false;
	f->umax = v;
	v = ceil_low(low_bits, (uint64_t)f->smin, r->half.umin, r->half.umax, &wraps);
	if (wraps && span_signed(bits, v) < f->smin)
		return false;
	f->smin = span_signed(bits, v);
	v = floor_low(low_bits, (uint64_t)f->smax, r->half.umin, r->half.umax, &wraps);
	if (wraps && span_signed(bits, v) > f->smax)
		return false;
	f->smax = span_signed(bits, v);
	return f->umin <= f->umax && f->smin <= f->smax;
}

static bool is_unknown(unsigned bits, const struct span *s)
{
	return s->tnum.mask == tnum_ones(bits) && s->umin == 0 && s->umax == tnum_ones(bits) &&
	       s->smin == span_smin(bits) && s->smax == -(span_smin(bits) + 1);
}

bool range_settle(unsigned bits, struct range *r)
{
	struct range before;
	unsigned rounds = 0;

	/* The two cases that are common and have nothing to find. */
	if (span_is_const(&r->full)) {
		if (!span_contains(bits, &r->full, r->full.umin) ||
			!span_contains(bits / 2, &r->half, r->full.umin & tnum_ones(bits / 2)))
			return false;
		*r = range_const(bits, r->full.umin);
		return true;
	}
	if (is_unknown(bits, &r->full) && is_unknown(bits / 2, &r->half))
		return true;
	do {
		if (!span_settle(bits, &r->full) || !span_settle(bits / 2, &r->half))
			return false;
		before = *r;
		if (!exchange_once(bits, r))
			return false;
		if (range_equal(&before, r)) /* both are settled, and neither says more of the other */
			return true;
		if (!span_settle(bits, &r->full))
			return false;
	} while (++rounds < 3);
	return true;
}

struct range range_const(unsigned bits, uint64_t value)
{
	return (struct range){span_const(bits, value), span_const(bits / 2, value)};
}

struct range range_unknown(unsigned bits)
{
	return (struct range){span_unknown(bits), span_unknown(bits / 2)};
}

struct range range_between(unsigned bits, uint64_t umin, uint64_t umax)
{
	struct range r = range_unknown(bits);

	r.full.umin = umin;
	r.full.umax = umax;
	range_settle(bits, &r);
	return r;
}

struct range range_between_signed(unsigned bits, int64_t smin, int64_t smax)
{
	struct range r = range_unknown(bits);

	r.full.smin = smin;
	r.full.smax = smax;
	range_settle(bits, &r);
	return r;
}

bool range_is_const(const struct range *r)
{
	return span_is_const(&r->full);
}

bool range_equal(const struct range *a, const struct range *b)
{
	return span_equal(&a->full, &b->full) && span_equal(&a->half, &b->half);
}

bool range_contains(unsigned bits, const struct range *r, uint64_t value)
{
	return span_contains(bits, &r->full, value) && span_contains(bits / 2, &r->half, value & tnum_ones(bits / 2));
}

bool range_includes(const struct range *outer, const struct range *inner)
{
	return span_includes(&outer->full, &inner->full) && span_includes(&outer->half, &inner->half);
}

struct range range_join(unsigned bits, const struct range *a, const struct range *b)
{
	struct range r = {
		span_join(bits, &a->full, &b->full),
		span_join(bits / 2, &a->half, &b->half),
	};

	range_settle(bits, &r);
	return r;
}

struct range range_of_half(unsigned bits, struct span half)
{
	struct range r = {span_zext(&half, bits), half};

	range_settle(bits, &r);
	return r;
}

struct range range_of_full(unsigned bits, struct span full)
{
	struct range r = {full, span_trunc(&full, bits / 2)};

	range_settle(bits, &r);
	return r;
}

struct range range_zext(unsigned bits, unsigned from, const struct range *a)
{
	struct span low = span_trunc(from <= bits / 2 ? &a->half : &a->full, from);

	return range_of_full(bits, span_zext(&low, bits));
}

struct range range_sext(unsigned bits, unsigned from, const struct range *a)
{
	struct span low = span_trunc(from <= bits / 2 ? &a->half : &a->full, from);

	return range_of_full(bits, span_sext(&low, from, bits));
}

struct range range_low(unsigned bits, const struct range *a)
{
	return a->full.umax <= tnum_ones(bits / 2) ? *a : range_of_half(bits, a->half);
}

struct range range_swap(unsigned bytes, const struct range *a)
{
	struct span s = span_unknown(64);

	s.tnum = tnum_swap(a->full.tnum, bytes);
	span_settle(64, &s);
	return range_of_full(64, s);
}
