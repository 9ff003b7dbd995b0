/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit.h: programs as x86-64 machine code. jit_plan.c looks the program over, jit.c and jit_alu.c write the code for
 * each instruction with the encoders of jit_x86.c, jit_mem.c gets memory to run it from. Called
 * by engine.c, and by tests. Internal to accel/.
 */
#ifndef ACCEL_JIT_H
#define ACCEL_JIT_H

#include <errno.h>

#include "accel/engine.h"

#if defined(__x86_64__) && !defined(ACCEL_NO_JIT)
#define JIT_AVAILABLE 1

/*
 * Fills run, text, text_bytes and mem of *code. `features`: what the processor may be
 * asked to do beyond plain x86-64, of X86_*. 0, -EINVAL, -ENOMEM, or why there is no memory to run from.
 */
int jit_prepare(const struct prog *p, const struct prog_env *env, unsigned features, struct engine_code *code);
void jit_free(struct engine_code *code); /* text only; without one nothing happens */
unsigned jit_features(void);		 /* of this processor */

#else
#define JIT_AVAILABLE 0

static inline int jit_prepare(
	const struct prog *p, const struct prog_env *env, unsigned features, struct engine_code *code)
{
	(void)p;
	(void)env;
	(void)features;
	(void)code;
	return -ENOTSUP;
}

static inline void jit_free(struct engine_code *code)
{
	(void)code;
}

static inline unsigned jit_features(void)
{
	return 0;
}
#endif

#endif
