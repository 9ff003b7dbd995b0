/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.h: runs a program, verified or not, in a process of its own: memory and stack between
 * pages that cannot be touched, no system calls, a limit of time. Whatever the program does, the
 * caller gets r0 or a reason. For the command line and tests; internal to accel/.
 */
#ifndef ACCEL_SANDBOX_H
#define ACCEL_SANDBOX_H

#include <stddef.h>

#include "accel/engine.h"

#define SANDBOX_CPU_SECONDS 2
#define SANDBOX_WALL_SECONDS 10
#define SANDBOX_MAX_MEMORY (1u << 20)

/*
 * Runs p once on a copy of `size` bytes of memory, 8-byte aligned; r1 is its address, or 0 if memory is
 * NULL. The env's map storage is copied by the fork. 0 with *r0; or -EFAULT (a fault), -ETIME,
 * -EINVAL, -ENOTSUP (the engine does not take it), -ENOMEM, each with the reason in err.
 * The calling process should have one thread.
 */
int sandbox_run(const struct prog *p, const struct prog_env *env, enum engine_kind kind, const void *memory,
	size_t size, uint64_t *r0, struct accel_err *err);

#endif
