/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernels.h: the data that the kernels of kernels.bpf.c work on, their state page.
 */
#ifndef TESTS_KERNELS_H
#define TESTS_KERNELS_H

#include "bpf/hr.h"

#define KERNEL_WORDS 64

struct kernel_state {
	int64_t offset_ns;
	uint64_t words[KERNEL_WORDS];
};

struct kernel_page {
	struct hr_page head;
	struct kernel_state s;
};

#endif
