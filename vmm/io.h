/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.h: the one request object of a guest access, from the CPU exit to the answer.
 *
 * The CPU backend fills it, bus_io() finds the range, a program or the model works on it, and
 * the backend finishes the instruction from it. No layer copies it.
 */
#ifndef VMM_IO_H
#define VMM_IO_H

#include "bpf/hr.h"

enum io_bus { IO_PIO = 0, IO_MMIO = 1 };
#define IO_BUS_COUNT 2

struct io_req {
	/* First, so that a program's r1 is the request itself. offset is set by the bus. */
	struct hr_io io;

	/* IN, filled by the backend. */
	uint64_t addr; /* absolute; for a split access the bus moves it to the current part */
	enum io_bus bus;
	uint32_t count; /* elements of one string instruction (`rep ins`), else 1 */
	void *data;	/* count * io.size bytes of the backend's buffer; NULL when count is 1
			  * and the value travels in io.value / io.result */
};

static inline uint64_t io_all_ones(uint32_t size)
{
	return hr_mask(~0ull, size);
}

#endif
