/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.c: chooses the engine for a program: machine code on x86-64, unless the build says no
 * (ACCEL_NO_JIT) or the host gives no executable memory; else the interpreter. Also helper 5.
 */
#include "accel/engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accel/jit.h"

/* Helper 5, one function for each source of time, so that a run has nothing to decide. */
static uint64_t time_host(const struct prog_env *env)
{
	struct timespec ts;

	(void)env;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t time_virtual(const struct prog_env *env)
{
	return accel_clock_now(env->clock);
}

static uint64_t time_frozen(const struct prog_env *env)
{
	return env->frozen_ns;
}

/*
 * The function behind clock_gettime() in the kernel's vDSO: machine code calls it directly. Where
 * it is not to be had (another C library, a tool that hides it) clock_gettime() serves.
 */
static void find_host_clock(struct engine_code *code)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	void *symbol;

	if (!vdso)
		return;
	symbol = dlsym(vdso, "__vdso_clock_gettime");
	memcpy(&code->host_clock, &symbol, sizeof(symbol)); /* C has no conversion of the one to the other */
	dlclose(vdso);
}

static uint64_t run_interp(void *ctx, const struct engine_code *code)
{
	return interp_run(code->interp, ctx);
}

bool engine_has_jit(void)
{
	return JIT_AVAILABLE;
}

int engine_prepare_for(const struct prog *p, const struct prog_env *env, enum engine_kind kind, unsigned features,
	struct engine_code **out)
{
	struct engine_code *code = calloc(1, sizeof(*code));
	int rc = -ENOTSUP;

	if (!code)
		return -ENOMEM;
	code->env = env;
	if (!env->time_is_frozen && !(env->clock && env->clock->is_virtual))
		find_host_clock(code);
	code->time = env->time_is_frozen		    ? time_frozen
		     : env->clock && env->clock->is_virtual ? time_virtual
							    : time_host;
	if (kind != ENGINE_INTERP)
		rc = jit_prepare(p, env, features, code);
	if (rc && kind != ENGINE_JIT) {
		rc = interp_prepare(p, env, &code->interp);
		code->run = run_interp;
	}
	if (rc)
		free(code);
	else
		*out = code;
	return rc;
}

int engine_prepare(const struct prog *p, const struct prog_env *env, enum engine_kind kind, struct engine_code **out)
{
	return engine_prepare_for(p, env, kind, jit_features(), out);
}

void engine_free(struct engine_code *code)
{
	if (!code)
		return;
	interp_free(code->interp);
	jit_free(code);
	free(code);
}

enum engine_kind engine_code_kind(const struct engine_code *code)
{
	return code->interp ? ENGINE_INTERP : ENGINE_JIT;
}

const void *engine_code_bytes(const struct engine_code *code, size_t *len)
{
	*len = code->text_bytes;
	return code->text;
}
