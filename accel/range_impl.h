/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * range_impl.h: what range.c, range_alu.c and range_cmp.c share and nobody else needs.
 */
#ifndef ACCEL_RANGE_IMPL_H
#define ACCEL_RANGE_IMPL_H

#include "accel/range.h"

/* The `bits`-wide number v, sign-extended. */
static inline int64_t span_signed(unsigned bits, uint64_t v)
{
	return (int64_t)(v << (64 - bits)) >> (64 - bits);
}

static inline int64_t span_smin(unsigned bits)
{
	return span_signed(bits, UINT64_C(1) << (bits - 1));
}

/* Bounds of a result modulo 2^bits from the exact ones; left as they are where the result may wrap in between. */
void span_set_unsigned(unsigned bits, struct span *s, unsigned __int128 lo, unsigned __int128 hi);
void span_set_signed(unsigned bits, struct span *s, __int128 lo, __int128 hi);

bool range_settle(unsigned bits, struct range *r);	     /* false: nothing is in the set */
struct range range_of_half(unsigned bits, struct span half); /* its low half, the rest 0 */
struct range range_of_full(unsigned bits, struct span full);

#endif
