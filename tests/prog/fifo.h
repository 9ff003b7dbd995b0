/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * fifo.h: the state of a data port as test_bus_string has it: a block of words of which `at` were
 * moved, and the sum of what was written. The last word of a block is the model's.
 */
#ifndef TESTS_PROG_FIFO_H
#define TESTS_PROG_FIFO_H

#include "bpf/hr.h"

#define FIFO_VERSION 1
#define FIFO_WORDS 16 /* in a block; a power of two */
#define FIFO_WHY_END 7

struct fifo_state {
	int64_t offset_ns;
	uint64_t sum;	  /* of the words written, each times its number */
	uint64_t written; /* words */
	uint32_t at;	  /* words of the block that were read */
	uint16_t block[FIFO_WORDS];
	uint32_t pad;
};

struct fifo_page {
	struct hr_page head;
	struct fifo_state s;
};

#endif
