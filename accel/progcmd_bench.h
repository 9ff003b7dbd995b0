/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_bench.h: between the two halves of `hotreg prog bench`: here and in the kernel.
 */
#ifndef ACCEL_PROGCMD_BENCH_H
#define ACCEL_PROGCMD_BENCH_H

#include "accel/prog.h"

uint64_t progcmd_now_ns(void); /* CLOCK_MONOTONIC */

/*
 * A program inside the running kernel, with maps of its own that have their initial bytes. Needs bpf(2). 0, or
 * -errno with the reason in err, and nothing to close.
 */
struct progcmd_kernel {
	int maps[PROG_MAX_MAPS], prog, empty; /* descriptors: the loop with the call, and without */
	uint32_t map_count;
	uint32_t calls; /* of one round */
};

int progcmd_kernel_open(struct progcmd_kernel *k, const struct prog *p, struct accel_err *err);
void progcmd_kernel_close(struct progcmd_kernel *k);
/* One round of each loop; the difference for one call, which may be negative. 0 or -errno. */
int progcmd_kernel_round(const struct progcmd_kernel *k, const struct hr_io *access, double *ns);
/* Nanoseconds of one call, the best of many rounds. 0, or -errno with the reason in err. */
int progcmd_kernel_bench(const struct prog *p, const struct hr_io *access, double *ns, struct accel_err *err);
/* False: this kernel interprets what it loads, or says so. */
bool progcmd_kernel_has_jit(void);

#endif
