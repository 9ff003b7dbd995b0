/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_mem.h: memory that code runs from: never writable while it is executable, a page without any
 * access right at both ends. In front of the code lies a page that is only read: the addresses that code must not contain.
 * Between jit_mem.c and jit.c.
 */
#ifndef ACCEL_JIT_MEM_H
#define ACCEL_JIT_MEM_H

#include <stddef.h>
#include <stdint.h>

struct jit_mem {
	uint8_t *base; /* all that is reserved, the guard pages included */
	size_t mapped;
	size_t page;
};

/*
 * Reserves room for `bytes` of code, near an address that the code will use (0: anywhere). 0 or -errno.
 */
int jit_mem_reserve(size_t bytes, uint64_t near, struct jit_mem *mem);
void jit_mem_free(const struct jit_mem *mem);

static inline uint8_t *jit_mem_text(const struct jit_mem *mem)
{
	return mem->base + 2 * mem->page;
}

/* Less than a page of data for the code, at a fixed distance from it. */
static inline uint8_t *jit_mem_data(const struct jit_mem *mem)
{
	return mem->base + mem->page;
}

/*
 * Puts the data there, readable, and the code, readable and executable, and gives back what is not needed. 0 or -errno;
 * it stays reserved.
 */
int jit_mem_commit(struct jit_mem *mem, const void *data, size_t data_bytes, const void *code, size_t bytes);

#endif
