/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * kernels.bpf.c: small pieces of work, one kind in each, that show what an engine makes of it. Compiled as
 * programs, and by gcc for the host. `result` depends on everything that was computed.
 */
#include "tests/bench/kernels.h"

HR_LICENSE;

struct kernel_page kernel_state HR_STATE = {.head = {.version = 1, .size = sizeof(struct kernel_page)}};

#define WORD(i) HR_LOAD(kernel_state.s.words[i])

/* Shifts, exclusive ors, products, sums: one chain. */
HR_PROG int arithmetic(struct hr_io *io)
{
	uint64_t x = io->value | 1, sum = 0;

	for (uint32_t i = 0; i < 48; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += x * 0x2545f4914f6cdd1d;
	}
	io->result = sum;
	return HR_ANSWER;
}

/* Divisions by constants and by numbers that are only known later. */
HR_PROG int division(struct hr_io *io)
{
	uint64_t x = io->value, sum = 0;

	for (uint32_t i = 0; i < 16; i++) {
		uint64_t word = WORD(i);

		sum += x / 1000000000 + x % 1000000000 * 3579545 / 1000000000 + (uint32_t)word / 10;
		x += word / ((word & 0xffff) + 1);
	}
	io->result = sum;
	return HR_ANSWER;
}

/* Decisions that depend on the data. */
HR_PROG int branches(struct hr_io *io)
{
	uint64_t sum = io->value;

	for (uint32_t i = 0; i < KERNEL_WORDS; i++) {
		uint8_t b = (uint8_t)WORD(i);

		if (b < 50)
			sum += b;
		else if (b < 100)
			sum ^= b << 3;
		else if ((b & 7) == 5)
			sum = sum * 3 + 1;
		else if (b > 220)
			sum -= i;
		else if (b & 0x10)
			sum += sum >> 9;
	}
	io->result = sum;
	return HR_ANSWER;
}

/* Loads of all widths, and a buffer on the stack. */
HR_PROG int memory(struct hr_io *io)
{
	volatile uint64_t copy[8];
	uint64_t sum = io->value;

	for (uint32_t i = 0; i < KERNEL_WORDS; i++) {
		copy[i & 7] = WORD(i) + sum;
		sum += copy[(i + 5) & 7 & (i >= 8 ? 7 : 0)];
	}
	for (uint32_t i = 0; i < KERNEL_WORDS; i++) {
		const uint8_t *bytes = (const uint8_t *)&kernel_state.s.words[i];

		sum += HR_LOAD(bytes[3]);
		sum ^= HR_LOAD(*(const uint16_t *)(bytes + 4));
		sum += HR_LOAD(*(const uint32_t *)bytes);
	}
	io->result = sum;
	return HR_ANSWER;
}

static __attribute__((noinline)) uint64_t mix(uint64_t a, uint64_t b)
{
	a ^= b + 0x9e3779b9;
	return (a << 5 | a >> 59) + b;
}

static __attribute__((noinline)) uint64_t twice(uint64_t a, uint64_t b)
{
	return mix(mix(a, b), a);
}

/* Calls, two deep. */
HR_PROG int calls(struct hr_io *io)
{
	uint64_t sum = io->value;

	for (uint32_t i = 0; i < 24; i++)
		sum = twice(sum, i);
	io->result = sum;
	return HR_ANSWER;
}

/* Byte order, counting bits, narrow numbers with a sign. */
HR_PROG int bits(struct hr_io *io)
{
	uint64_t sum = io->value;

	for (uint32_t i = 0; i < 32; i++) {
		uint64_t x = WORD(i);

		sum += __builtin_bswap64(x) ^ __builtin_bswap32((uint32_t)x);
		x -= (x >> 1) & 0x5555555555555555;
		x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
		x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
		sum += (x * 0x0101010101010101) >> 56;
		sum += (uint64_t)(int64_t)(int8_t)sum;
		sum ^= (uint64_t)(int64_t)(int32_t)sum << (i & 15);
	}
	io->result = sum;
	return HR_ANSWER;
}
