/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * threads.bpf.c: programs for test_runtime_threads: a pair of fields that belong together, a
 * counter in the page and one in .bss, and two generations of the same answer.
 */
#include "tests/prog/threads.h"

HR_LICENSE;

struct threads_page threads_state HR_STATE = {
	.head = {.version = THREADS_VERSION, .size = sizeof(struct threads_page)},
};

static uint64_t own_count; /* .bss */

/* 0 as long as b is the complement of a. */
HR_PROG int pair(struct hr_io *io)
{
	io->result = HR_LOAD(threads_state.a) ^ ~HR_LOAD(threads_state.b);
	return HR_ANSWER;
}

/* Adds the value to the sum in the page and counts itself in .bss; both are in the result. */
HR_PROG int add(struct hr_io *io)
{
	uint64_t count = HR_LOAD(own_count) + 1;

	if (io->value == 0)
		return HR_PUNT_WHY(1);
	HR_STORE(own_count, count);
	HR_STORE(threads_state.sum, HR_LOAD(threads_state.sum) + io->value);
	io->result = count;
	return HR_ANSWER;
}

HR_PROG int first(struct hr_io *io)
{
	io->result = 1;
	return HR_ANSWER;
}

HR_PROG int second(struct hr_io *io)
{
	io->result = 2;
	return HR_ANSWER;
}
