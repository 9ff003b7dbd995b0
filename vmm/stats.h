/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.h: --stats: for each register how often it was read and written, who answered, and what
 * that cost inside hotreg. Each vCPU counts in memory of its own; sums are made for a report, at the
 * end or live. The JSON schema is docs/stats.md.
 */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "accel/accel.h"
#include "vmm/bus.h"

struct stats;
struct range_stats;

/* What the run was, for the head of the report. */
struct kvm_tier;

struct stats_run {
	struct kvm_tier *tier; /* NULL: there is no kernel tier */
	const char *cpu;       /* backend */
	const char *accel;     /* "off", "on" or "check" */
	unsigned cpus;
	uint64_t startup_ns; /* process start to the first guest instruction */
	uint64_t run_ns;     /* first guest instruction to the end */
	bool has_ended;
	int exit_status;
	const char *reason; /* why it ended */
	const char *status; /* "running", "paused" or "ended" */
	uint64_t now_ns;    /* CLOCK_MONOTONIC */
	uint64_t exits;	    /* of all vCPUs */
	uint64_t divergences;
};

/* `cpus`: what io.vcpu is below, at most VM_MAX_CPUS + 1. NULL when out of memory. */
struct stats *stats_new(unsigned cpus);
void stats_free(struct stats *stats); /* NULL is fine; after the bus */
/* Gives every range of the bus its counters; nothing is counted yet. Once, before the vCPUs run. 0 or -ENOMEM. */
int stats_attach(struct stats *stats, struct bus *bus);
/* Begins to count, or ceases. No vCPU runs. */
void stats_switch(struct stats *stats, struct bus *bus, bool on);

/* A time stamp in a unit that stats.c knows. */
static inline uint64_t stats_ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
#endif
}

/* One part of an access, or the `elements` of a string access, took `ticks`. vCPU req->io.vcpu's thread. */
void stats_note(struct range_stats *stats, const struct io_req *req, enum bus_outcome outcome, uint64_t ticks,
	uint32_t elements);

/* The report as docs/stats.md describes it, also while vCPUs run. NULL when out of memory. */
json_t *stats_json(const struct stats *stats, const struct bus *bus, const struct stats_run *run);
/* That report into a file: 0 or -errno with err. */
int stats_write_json(const json_t *report, const char *path, struct accel_err *err);
/* The same report as a table. Takes any JSON: what is not there prints as nothing. */
void stats_print(const json_t *report, FILE *out);

#endif
