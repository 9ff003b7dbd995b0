/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.h: one verified program, made ready to run by the best engine there is: machine code
 * (jit.h, x86-64) or the interpreter. Both do the same; nobody above needs to know which it is.
 *
 * A prepared program is constant and may run in several threads at once. Called by the runtime,
 * the command line and tests. Internal to accel/.
 */
#ifndef ACCEL_ENGINE_H
#define ACCEL_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "accel/jit_mem.h"
#include "accel/prog.h"

enum engine_kind {
	ENGINE_BEST, /* machine code where that is to be had, else the interpreter */
	ENGINE_INTERP,
	ENGINE_JIT, /* or fail */
};

struct engine_code {
	uint64_t (*run)(void *ctx, const struct engine_code *code);
	uint64_t (*time)(const struct prog_env *env); /* helper 5 for this env */
	/* the host's clock_gettime() without what lies around it; NULL: call time() */
	int (*host_clock)(clockid_t clock, struct timespec *ts);
	const struct prog_env *env;
	struct interp_code *interp; /* NULL: machine code */
	void *text;		    /* machine code, else NULL */
	size_t text_bytes;
	struct jit_mem mem;
};

/*
 * 0; -EINVAL for what no engine runs; -ENOMEM; with ENGINE_JIT also -ENOTSUP when this build or processor
 * has no JIT, or the reason why the host gives no executable memory. *env must outlive the code, and
 * its clock and time_is_frozen stay as they are; frozen_ns may change between runs.
 */
int engine_prepare(const struct prog *p, const struct prog_env *env, enum engine_kind kind, struct engine_code **out);
/* The same for a processor of other `features` (X86_* of jit_x86.h), for tests. */
int engine_prepare_for(const struct prog *p, const struct prog_env *env, enum engine_kind kind, unsigned features,
	struct engine_code **out);
void engine_free(struct engine_code *code); /* NULL is fine */

/* Returns r0. */
static inline uint64_t engine_run(const struct engine_code *code, void *ctx)
{
	return code->run(ctx, code);
}

/* ENGINE_INTERP or ENGINE_JIT. */
enum engine_kind engine_code_kind(const struct engine_code *code);
/* The machine code, for disassemblers; NULL with *len 0 when there is none. */
const void *engine_code_bytes(const struct engine_code *code, size_t *len);
/* Whether this build has a JIT for the processor it was built for. */
bool engine_has_jit(void);

#endif
