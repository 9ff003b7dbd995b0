// SPDX-License-Identifier: BSD-2-Clause
/*
 * stats.c: counters and time histograms for each register.
 *
 * A vCPU writes only into its own cells, so counting takes no lock and shares no cache line.
 * Times are kept in ticks in buckets of 1/32 of their value and become nanoseconds in a report,
 * when the run itself has measured how long a tick is.
 */
#include "vmm/stats_int.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CALIBRATE_NS 5000000ull
#define OVERHEAD_ROUNDS 101

static uint64_t now_ns(void)
{
	static const struct accel_clock host = {.is_virtual = false};

	return accel_clock_now(&host);
}

/* One instant in both units: the closest of a few tries, as the host may stop us between the two. */
static void sample(uint64_t *ns, uint64_t *ticks)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t before = now_ns(), at = stats_ticks(), gap = now_ns() - before;

		if (gap >= best)
			continue;
		best = gap;
		*ns = before;
		*ticks = at;
	}
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct stats *stats_new(unsigned cpus)
{
	struct stats *stats = calloc(1, sizeof(*stats));
	uint64_t pairs[OVERHEAD_ROUNDS];

	if (!stats)
		return NULL;
	stats->cpus = cpus;
	stats->end = &stats->first;
	for (unsigned i = 0; i < OVERHEAD_ROUNDS; i++) {
		uint64_t start = stats_ticks();

		pairs[i] = stats_ticks() - start;
	}
	qsort(pairs, OVERHEAD_ROUNDS, sizeof(pairs[0]), compare_u64);
	stats->overhead_ticks = pairs[OVERHEAD_ROUNDS / 2];
	sample(&stats->start_ns, &stats->start_ticks);
	return stats;
}

static void free_range(struct range_stats *rs)
{
	for (unsigned i = 0; i < VM_MAX_CPUS + 1; i++)
		free(rs->cells[i]);
	free(rs->reg_of);
	free(rs);
}

void stats_free(struct stats *stats)
{
	if (!stats)
		return;
	while (stats->first) {
		struct range_stats *next = stats->first->next;

		free_range(stats->first);
		stats->first = next;
	}
	free(stats);
}

/* Fills the table from offset to register. */
static int index_registers(struct range_stats *rs)
{
	const struct reg_name *reg = rs->range ? rs->range->regs : NULL;
	unsigned names = 0;

	rs->reg_count = 1;
	if (!reg)
		return 0;
	while (reg[names].name && names < UINT8_MAX)
		names++;
	rs->reg_count = names + 1;
	rs->reg_of_len = rs->range->len;
	rs->reg_of = malloc(rs->reg_of_len);
	if (!rs->reg_of)
		return -ENOMEM;
	memset(rs->reg_of, (int)names, rs->reg_of_len);
	for (unsigned i = 0; i < names; i++) {
		for (uint32_t at = reg[i].offset; at - reg[i].offset < reg[i].len && at < rs->reg_of_len; at++)
			rs->reg_of[at] = (uint8_t)i;
	}
	return 0;
}

static struct range_stats *add_range(struct stats *stats, const struct range *range, enum io_bus bus)
{
	struct range_stats *rs = calloc(1, sizeof(*rs));
	int rc;

	if (!rs)
		return NULL;
	rs->range = range;
	rs->name = range ? range->name : "unclaimed";
	rs->bus = bus;
	rc = index_registers(rs);
	for (unsigned i = 0; i < stats->cpus && rc == 0; i++) {
		rs->cells[i] = calloc(2 * rs->reg_count, sizeof(struct cell));
		if (!rs->cells[i])
			rc = -ENOMEM;
	}
	if (rc) {
		free_range(rs);
		return NULL;
	}
	*stats->end = rs;
	stats->end = &rs->next;
	return rs;
}

int stats_attach(struct stats *stats, struct bus *bus)
{
	for (unsigned i = 1; i <= bus->range_count; i++) {
		struct range *range = bus->ranges[i];

		range->stats = add_range(stats, range, range->bus);
		if (!range->stats)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < IO_BUS_COUNT; i++) {
		bus->unclaimed[i] = add_range(stats, NULL, (enum io_bus)i);
		if (!bus->unclaimed[i])
			return -ENOMEM;
	}
	return 0;
}

void stats_switch(struct stats *stats, struct bus *bus, bool on)
{
	bus_set_watchers(bus, bus->trace, on ? stats : NULL);
}

static unsigned bucket_of(uint64_t ticks)
{
	unsigned exponent;

	if (ticks < STATS_SUB)
		return (unsigned)ticks;
	exponent = 63u - (unsigned)__builtin_clzll(ticks);
	if (exponent > STATS_MAX_EXPONENT)
		return STATS_BUCKETS - 1;
	return (exponent - STATS_SUB_BITS + 1) * STATS_SUB +
	       (unsigned)(ticks >> (exponent - STATS_SUB_BITS) & (STATS_SUB - 1));
}

double stats_bucket_ticks(unsigned bucket)
{
	unsigned octave = bucket / STATS_SUB;
	uint64_t width;

	if (octave == 0)
		return bucket;
	width = 1ull << (octave - 1);
	return (double)((STATS_SUB + bucket % STATS_SUB) * width) + (double)(width - 1) / 2;
}

/* Only this thread writes it. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, stats_load(counter) + n, __ATOMIC_RELAXED);
}

void stats_note(struct range_stats *stats, const struct io_req *req, enum bus_outcome outcome, uint64_t ticks,
	uint32_t elements)
{
	unsigned reg = stats->reg_count - 1;
	struct histogram *times;
	struct cell *cell;

	if (req->io.offset < stats->reg_of_len)
		reg = stats->reg_of[req->io.offset];
	cell = &stats->cells[req->io.vcpu][reg * 2 + req->io.is_write];
	add(&cell->outcome[outcome], elements);
	if (outcome == BUS_PUNTED && stats->range->slot)
		add(&cell->why[accel_slot_punt_why(stats->range->slot, req->io.vcpu)], elements);
	times = outcome == BUS_ANSWERED ? &cell->program : &cell->model;
	add(&times->count, elements);
	add(&times->bucket[bucket_of(elements > 1 ? ticks / elements : ticks)], elements);
}

double stats_ns_per_tick(const struct stats *stats)
{
	uint64_t ns, ticks;

	while ((ns = now_ns() - stats->start_ns) < CALIBRATE_NS) {
		struct timespec rest = {.tv_nsec = (long)(CALIBRATE_NS - ns)};

		nanosleep(&rest, NULL);
	}
	sample(&ns, &ticks);
	ns -= stats->start_ns;
	ticks -= stats->start_ticks;
	return ticks ? (double)ns / (double)ticks : 1;
}
