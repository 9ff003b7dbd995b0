/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_bench.h: between the two halves of `hotreg prog bench`: here and in the kernel.
 */
#ifndef ACCEL_PROGCMD_BENCH_H
#define ACCEL_PROGCMD_BENCH_H

#include "accel/prog.h"

uint64_t progcmd_now_ns(void); /* CLOCK_MONOTONIC */

/* Nanoseconds of one call inside the running kernel. 0, or -errno with the reason in err. Needs bpf(2). */
int progcmd_kernel_bench(const struct prog *p, const struct hr_io *access, double *ns, struct accel_err *err);
/* False: this kernel interprets what it loads, or says so. */
bool progcmd_kernel_has_jit(void);

#endif
