/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_mem.h: memory that code runs from: never writable while it is executable, a page without any
 * access right at both ends. Between jit_mem.c and jit.c.
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
	return mem->base + mem->page;
}

/* Puts the code there, readable and executable, and gives back what is not needed. 0 or -errno; it stays reserved. */
int jit_mem_commit(struct jit_mem *mem, const void *code, size_t bytes);

#endif
