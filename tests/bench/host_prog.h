/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host_prog.h: what a program's source needs to be compiled for the host: the macros that bpf/hr.h has for
 * BPF only, and helper 5. Given to the compiler with -include; used by the benchmark that compares programs
 * with the same C from gcc.
 */
#ifndef TESTS_HOST_PROG_H
#define TESTS_HOST_PROG_H

#include <stdint.h>

#define SEC(name)
#define HR_PROG
#define HR_STATE
/* each object has one, and here they are linked together */
#define HR_LICENSE extern int host_prog_needs_no_license

extern uint64_t (*host_prog_clock)(void);

static inline uint64_t bpf_ktime_get_ns(void)
{
	return host_prog_clock();
}

#endif
