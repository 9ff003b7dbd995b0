/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * good.bpf.c: an object with one of everything that the loader takes: two programs, subprograms in
 * .text that call each other (by relocation and within the section), variables in all four kinds of
 * section, strings, nested arrays in the state. test_object.c knows its numbers.
 */
#include "bpf/hr.h"

HR_LICENSE;

struct channel {
	uint16_t x, y;
	uint32_t z;
};

struct good_state {
	int64_t offset_ns;
	uint32_t a[4];
	struct channel ch[3];
	_Bool flag;
	uint8_t pad[7];
};

struct {
	struct hr_page page;
	struct good_state s;
} state HR_STATE = {
	.page = {.version = 3, .size = sizeof(struct hr_page) + sizeof(struct good_state)},
	.s = {.a = {10, 20, 30, 40}},
};

static const volatile uint32_t table[4] = {1, 2, 3, 4};
static volatile uint32_t start = 7; /* .data */
static volatile uint64_t texts;	    /* .bss, and so is the next: section symbol and addend */
static volatile uint64_t counter;

static __attribute__((noinline)) uint64_t inner(uint64_t x)
{
	return x * 3 + HR_LOAD(state.s.a[x & 3]);
}

static __attribute__((noinline)) uint64_t outer(uint64_t x)
{
	return inner(x) + table[x & 3];
}

/* offset * 3 + a[offset & 3] + table[offset & 3] + time */
HR_PROG int compute(struct hr_io *io)
{
	io->result = outer(io->offset) + bpf_ktime_get_ns();
	return HR_ANSWER;
}

/* Counts its calls from 7 on, and leaves the count in ch[1].z. */
HR_PROG int count(struct hr_io *io)
{
	static const char letters[] = "hotreg";
	uint32_t i = io->offset;

	if (i >= sizeof(letters))
		return HR_PUNT_WHY(3);
	counter = counter + 1;
	HR_STORE(state.s.ch[1].z, (uint32_t)counter + start);
	io->result = *(const volatile char *)&letters[i];
	return HR_ANSWER;
}

/* String literals lie in .rodata.str1.1. Answers with a character of one, and how often it was asked. */
HR_PROG int text(struct hr_io *io)
{
	const volatile char *s = io->is_write ? "written" : "read";
	uint32_t i = io->offset;

	if (i > 3)
		return HR_PUNT;
	texts = texts + 1;
	io->result = (uint64_t)s[i] | texts << 8;
	return HR_ANSWER;
}
