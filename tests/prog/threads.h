/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* threads.h: the state page of test_runtime_threads and its programs. */
#ifndef TESTS_PROG_THREADS_H
#define TESTS_PROG_THREADS_H

#include "bpf/hr.h"

#define THREADS_VERSION 1

struct threads_page {
	struct hr_page head;
	int64_t offset_ns;
	uint64_t a;
	uint64_t b; /* the complement of a */
	uint64_t sum;
};

#endif
