/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats_int.h: what stats.c counts and stats_json.c sums up. Counters are written by one vCPU's thread
 * each and may be read at any time: relaxed atomics, so a sum is a snapshot that is nearly of one instant.
 */
#ifndef VMM_STATS_INT_H
#define VMM_STATS_INT_H

#include "vmm/stats.h"
#include "vmm/vm.h"

#define STATS_SUB_BITS 5 /* buckets in an octave: 2^5 */
#define STATS_SUB (1u << STATS_SUB_BITS)
#define STATS_MAX_EXPONENT 40 /* longer times all count as 2^41 - 1 ticks, minutes */
#define STATS_BUCKETS ((STATS_MAX_EXPONENT - STATS_SUB_BITS + 2) * STATS_SUB)

struct histogram {
	uint64_t count;
	uint64_t bucket[STATS_BUCKETS];
};

/* One register in one direction, seen by one vCPU. */
struct cell {
	uint64_t outcome[BUS_OUTCOMES];
	uint64_t why[256]; /* of the punts: the program's reason, 0: none given */
	struct histogram program, model;
};

struct range_stats {
	const struct range *range; /* NULL: what nobody claims */
	const char *name;
	enum io_bus bus;
	unsigned reg_count; /* the named ones and "other" */
	uint8_t *reg_of;    /* by offset; NULL when all is "other" */
	uint32_t reg_of_len;
	struct cell *cells[VM_MAX_CPUS + 1]; /* by io.vcpu; [reg * 2 + is_write] */
	struct range_stats *next;
};

struct stats {
	unsigned cpus;
	uint64_t start_ns, start_ticks;
	uint64_t overhead_ticks; /* of two time stamps with nothing between them */
	struct range_stats *first, **end;
};

static inline uint64_t stats_load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Nanoseconds in a tick, from what has passed since stats_new(); waits until that is long enough to tell. */
double stats_ns_per_tick(const struct stats *stats);
/* The middle of a bucket. */
double stats_bucket_ticks(unsigned bucket);

#endif
