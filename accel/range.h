/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * range.h: what the verifier knows of a number: known bits, unsigned and signed bounds, of the
 * whole register and of its low half, each in the form that the instruction set needs.
 *
 * Pure functions over value types, parametric in width (4 and 8 bits in the tests, 32 and 64 in
 * the verifier), so that all of them are compared with brute force. Soundness is the contract:
 * a result contains every number the operation can give on members of its operands; RFC 9669's
 * semantics hold for shifts (count modulo width), x / 0 = 0, x % 0 = x and INT_MIN / -1.
 */
#ifndef ACCEL_RANGE_H
#define ACCEL_RANGE_H

#include "accel/tnum.h"

/* A set of `bits`-wide numbers: those that meet all three descriptions. Never empty. */
struct span {
	struct tnum tnum;
	uint64_t umin, umax; /* zero-extended */
	int64_t smin, smax;  /* sign-extended */
};

enum range_op {
	RANGE_ADD,
	RANGE_SUB,
	RANGE_MUL,
	RANGE_DIV,
	RANGE_MOD,
	RANGE_SDIV,
	RANGE_SMOD,
	RANGE_AND,
	RANGE_OR,
	RANGE_XOR,
	RANGE_LSH,
	RANGE_RSH,
	RANGE_ARSH,
};
#define RANGE_OP_COUNT (RANGE_ARSH + 1)

/* Conditions; the greater-than forms are these with the operands exchanged. */
enum range_cmp {
	RANGE_EQ,
	RANGE_NE,
	RANGE_LT,
	RANGE_LE,
	RANGE_SLT,
	RANGE_SLE,
	RANGE_SET,   /* a & b != 0 */
	RANGE_CLEAR, /* a & b == 0 */
};
#define RANGE_CMP_COUNT (RANGE_CLEAR + 1)

struct span span_const(unsigned bits, uint64_t value);
struct span span_unknown(unsigned bits);
bool span_is_const(const struct span *s);
bool span_equal(const struct span *a, const struct span *b);
bool span_contains(unsigned bits, const struct span *s, uint64_t value);
bool span_includes(const struct span *outer, const struct span *inner);
/* Lets each description sharpen the others. False: they contradict each other, nothing is in the set. */
bool span_settle(unsigned bits, struct span *s);
struct span span_join(unsigned bits, const struct span *a, const struct span *b);
bool span_intersect(unsigned bits, struct span *a, const struct span *b); /* false: nothing in common */
struct span span_trunc(const struct span *a, unsigned to);
struct span span_zext(const struct span *a, unsigned to);
struct span span_sext(const struct span *a, unsigned from, unsigned to);
struct span span_alu(unsigned bits, enum range_op op, const struct span *a, const struct span *b);
/* Keeps of a and b what can meet `a cmp b`; false: nothing can. */
bool span_assume(unsigned bits, enum range_cmp cmp, struct span *a, struct span *b);

/* A register: all of its `bits`, and its low half (bits / 2). */
struct range {
	struct span full;
	struct span half;
};

#define RANGE_BITS 64 /* of a register; the tests use less */

struct range range_const(unsigned bits, uint64_t value);
struct range range_unknown(unsigned bits);
struct range range_between(unsigned bits, uint64_t umin, uint64_t umax);
struct range range_between_signed(unsigned bits, int64_t smin, int64_t smax);
bool range_is_const(const struct range *r);
bool range_equal(const struct range *a, const struct range *b);
bool range_contains(unsigned bits, const struct range *r, uint64_t value);
bool range_includes(const struct range *outer, const struct range *inner);
struct range range_join(unsigned bits, const struct range *a, const struct range *b);
/* `half`: the operation on the low half, whose result is zero-extended (BPF_ALU), else BPF_ALU64. */
struct range range_alu(unsigned bits, bool half, enum range_op op, const struct range *a, const struct range *b);
/* The low `from` bits zero- or sign-extended to all (from <= bits). */
struct range range_zext(unsigned bits, unsigned from, const struct range *a);
struct range range_sext(unsigned bits, unsigned from, const struct range *a);
/* The low half zero-extended. */
struct range range_low(unsigned bits, const struct range *a);
/* Byte order of the low `bytes` exchanged, the rest 0. bits is 64. */
struct range range_swap(unsigned bytes, const struct range *a);
bool range_assume(unsigned bits, bool half, enum range_cmp cmp, struct range *a, struct range *b);
/* a's number is b's (or, for `half`, its low half is): keeps what both allow. False: nothing. */
bool range_meet(unsigned bits, bool half, struct range *a, const struct range *b);

#endif
