/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rawprog.h: a program as bare instructions, without an object around it: read from hexadecimal
 * text, cut into functions, its shape checked for those who run it without verifying it.
 * For the command line and tests; internal to accel/.
 */
#ifndef ACCEL_RAWPROG_H
#define ACCEL_RAWPROG_H

#include "accel/prog.h"

#define RAW_MAX_INSNS 65536 /* read; the engines and the verifier take PROG_MAX_INSNS */
#define RAW_MAX_MAP_BYTES (16u << 20)

struct raw_prog {
	struct prog prog;
	struct prog_map maps[PROG_MAX_MAPS];
	struct prog_func funcs[PROG_MAX_FUNCS + 1]; /* one more than allowed, so that too many are noticed */
};

/*
 * Hexadecimal digits, two a byte, blanks between bytes. *out is malloc'd, and not NULL for no bytes.
 * 0, -EINVAL (what is wrong, in err), -E2BIG, -ENOMEM.
 */
int raw_hex(const char *text, size_t max, uint8_t **out, size_t *size, struct accel_err *err);

/* From hexadecimal text: instructions and functions, the first at 0, one more wherever a call goes to. */
int raw_prog_init(struct raw_prog *r, const char *text, struct accel_err *err);
void raw_prog_fini(struct raw_prog *r);

/* Functions begin at 0 and wherever a call goes to, as a kernel sees it. Done by raw_prog_init(). */
void raw_prog_find_functions(struct raw_prog *r);
bool raw_prog_calls_start(const struct prog *p);

/* "TYPE:KEYSIZE:VALUESIZE:ENTRIES[:ro|:wo][=HEX]" becomes the next map. 0 or -EINVAL, -E2BIG, -ENOMEM. */
int raw_prog_add_map(struct raw_prog *r, const char *spec, struct accel_err *err);

/*
 * What must hold for an engine to be able to run it at all: instructions that exist, jumps and
 * calls inside, no end without exit, helper 5 only, no maps. Nothing about what it does to memory,
 * except that r10 is not written and not followed out of the frame. 0 or -EINVAL.
 */
int raw_prog_check(const struct prog *p, struct accel_err *err);

#endif
