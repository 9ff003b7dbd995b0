// SPDX-License-Identifier: BSD-2-Clause
/*
 * stats_json.c: the report: sums over vCPUs, medians and percentiles, and an estimate of what would be
 * gained by a program that is not there yet; as JSON, which is what every reader of it gets.
 *
 * May run while vCPUs count: each number is right, and they are of nearly one instant.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/kvm_tier.h"
#include "vmm/qmp.h"
#include "vmm/stats_int.h"
#include "vmm/text.h"

#define NEXT_ENTRIES 8
#define PROGRAM_NS 60.0	  /* assumed of a program while none has answered */
#define GAIN_MAX_NS 500.0 /* of one access: a model that takes longer does work that stays with it */

/* One register in one direction, all vCPUs together. */
struct row {
	uint64_t outcome[BUS_OUTCOMES];
	uint64_t why[256];
	uint64_t accesses;
	double program_ns[2], model_ns[2]; /* p50, p99; below 0: no sample */
};

/* What a program for a register would gain, if its model can be spared. */
struct next {
	const struct range_stats *rs;
	unsigned reg;
	bool is_write;
	uint64_t by_model, by_punt;
	double gain_ns;
};

struct report {
	const struct stats *stats;
	const struct stats_run *run;
	double ns_per_tick;
	double program_ns;		/* median of all answers of programs */
	struct next next[NEXT_ENTRIES]; /* the largest first */
	double all_gain_ns;
};

/* ---- sums ------------------------------------------------------------------------------------ */

static double percentile(const struct histogram *h, double share)
{
	uint64_t rank = (uint64_t)((double)h->count * share), seen = 0;

	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > rank)
			return stats_bucket_ticks(i);
	}
	return 0;
}

/* Adds up what there is now; the count is that of the buckets, whatever the vCPU does meanwhile. */
static void add_histogram(struct histogram *sum, const struct histogram *h)
{
	if (stats_load(&h->count) == 0)
		return;
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		uint64_t n = stats_load(&h->bucket[i]);

		sum->bucket[i] += n;
		sum->count += n;
	}
}

static double to_ns(const struct report *report, double ticks)
{
	ticks -= (double)report->stats->overhead_ticks;
	return ticks > 0 ? ticks * report->ns_per_tick : 0;
}

static void fill_times(const struct report *report, const struct histogram *h, double *ns)
{
	ns[0] = h->count ? to_ns(report, percentile(h, 0.50)) : -1;
	ns[1] = h->count ? to_ns(report, percentile(h, 0.99)) : -1;
}

/* False: the register was not touched in this direction. */
static bool make_row(
	const struct report *report, const struct range_stats *rs, unsigned reg, bool is_write, struct row *row)
{
	struct histogram program, model;

	memset(row, 0, sizeof(*row));
	row->program_ns[0] = row->model_ns[0] = -1;
	for (unsigned cpu = 0; cpu < report->stats->cpus; cpu++) {
		const struct cell *cell = &rs->cells[cpu][reg * 2 + is_write];

		for (unsigned i = 0; i < BUS_OUTCOMES; i++) {
			uint64_t n = stats_load(&cell->outcome[i]);

			row->outcome[i] += n;
			row->accesses += n;
		}
	}
	if (!row->accesses)
		return false;
	memset(&program, 0, sizeof(program));
	memset(&model, 0, sizeof(model));
	for (unsigned cpu = 0; cpu < report->stats->cpus; cpu++) {
		const struct cell *cell = &rs->cells[cpu][reg * 2 + is_write];

		add_histogram(&program, &cell->program);
		add_histogram(&model, &cell->model);
		for (unsigned i = 0; i < 256 && row->outcome[BUS_PUNTED]; i++)
			row->why[i] += stats_load(&cell->why[i]);
	}
	fill_times(report, &program, row->program_ns);
	fill_times(report, &model, row->model_ns);
	return true;
}

static const char *register_name(const struct range_stats *rs, unsigned reg)
{
	return reg + 1 < rs->reg_count ? rs->range->regs[reg].name : "other";
}

/* ---- what would gain most next ---------------------------------------------------------------- */

/* The median of what programs took, over all registers. */
static double median_program_ns(const struct report *report)
{
	struct histogram all;

	memset(&all, 0, sizeof(all));
	for (const struct range_stats *rs = report->stats->first; rs; rs = rs->next) {
		for (unsigned cpu = 0; cpu < report->stats->cpus; cpu++) {
			for (unsigned i = 0; i < 2 * rs->reg_count; i++)
				add_histogram(&all, &rs->cells[cpu][i].program);
		}
	}
	return all.count ? to_ns(report, percentile(&all, 0.50)) : PROGRAM_NS;
}

static double gain_of(const struct report *report, const struct row *row)
{
	uint64_t spared = row->outcome[BUS_MODEL] + row->outcome[BUS_PUNTED];
	double each = row->model_ns[0] - report->program_ns;

	if (each > GAIN_MAX_NS)
		each = GAIN_MAX_NS;
	return spared && each > 0 ? (double)spared * each : 0;
}

/* Keeps the largest. What nobody claims has no device that a program could stand for. */
static void consider(
	struct report *report, const struct range_stats *rs, unsigned reg, bool is_write, const struct row *row)
{
	struct next entry = {
		rs, reg, is_write, row->outcome[BUS_MODEL], row->outcome[BUS_PUNTED], gain_of(report, row)};

	if (!rs->range || entry.gain_ns <= 0 || strcmp(report->run->accel, "check") == 0)
		return;
	report->all_gain_ns += entry.gain_ns;
	for (unsigned i = 0; i < NEXT_ENTRIES; i++) {
		struct next other = report->next[i];

		if (entry.gain_ns <= other.gain_ns)
			continue;
		report->next[i] = entry;
		entry = other;
	}
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Nanoseconds to a tenth. */
static json_t *json_ns(double ns)
{
	return json_real(round(ns * 10) / 10);
}

static json_t *json_times(const double *ns)
{
	if (ns[0] < 0)
		return json_null();
	return json_pack("{s:o, s:o}", "p50_ns", json_ns(ns[0]), "p99_ns", json_ns(ns[1]));
}

static json_t *json_reasons(const uint64_t *why)
{
	json_t *reasons = json_object();
	char name[8];

	for (unsigned i = 0; i < 256; i++) {
		if (why[i] == 0)
			continue;
		snprintf(name, sizeof(name), "%u", i);
		json_object_set_new(reasons, name, json_integer((json_int_t)why[i]));
	}
	return reasons;
}

static json_t *json_row(const struct report *report, const struct row *row)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "accesses", (json_int_t)row->accesses, "answered",
		(json_int_t)row->outcome[BUS_ANSWERED], "punted", (json_int_t)row->outcome[BUS_PUNTED], "unclaimed",
		(json_int_t)row->outcome[BUS_UNCLAIMED], "program", json_times(row->program_ns), "model",
		json_times(row->model_ns), "punt_reasons", json_reasons(row->why), "gain_ns",
		json_ns(gain_of(report, row)));
}

/* The registers of one range that were touched. */
static void json_registers(struct report *report, const struct range_stats *rs, json_t *list)
{
	struct row row[2];

	for (unsigned reg = 0; reg < rs->reg_count; reg++) {
		bool touched = make_row(report, rs, reg, false, &row[0]);

		touched |= make_row(report, rs, reg, true, &row[1]);
		if (!touched)
			continue;
		for (unsigned w = 0; w < 2; w++)
			consider(report, rs, reg, w, &row[w]);
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "range", rs->name, "name",
				      register_name(rs, reg), "bus", rs->bus == IO_PIO ? "pio" : "mmio", "offset",
				      reg + 1 < rs->reg_count ? json_integer(rs->range->regs[reg].offset) : json_null(),
				      "read", json_row(report, &row[0]), "write", json_row(report, &row[1])));
	}
}

static json_t *json_next(const struct report *report)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < NEXT_ENTRIES && report->next[i].rs; i++) {
		const struct next *n = &report->next[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "range", n->rs->name, "name",
				      register_name(n->rs, n->reg), "access", n->is_write ? "write" : "read",
				      "by_model", (json_int_t)n->by_model, "by_punt", (json_int_t)n->by_punt, "gain_ns",
				      json_ns(n->gain_ns), "share", json_real(n->gain_ns / report->all_gain_ns)));
	}
	return list;
}

/* The kernel tier's part of a range: none where there is no such tier. */
static void add_tier(json_t *entry, struct kvm_tier *tier, const struct range *range)
{
	struct tier_state state;

	if (!tier)
		return;
	kvm_tier_look(tier, range, &state);
	json_object_set_new(entry, "tier", json_string(state.is_inside ? "kernel" : "vmm"));
	if (state.why_not[0])
		json_object_set_new(entry, "not_kernel", qmp_text(state.why_not));
	json_object_set_new(entry, "kernel",
		json_pack("{s:I, s:I, s:I, s:I}", "answered", (json_int_t)state.counters.answered, "punted",
			(json_int_t)state.counters.punted, "retried", (json_int_t)state.counters.retried, "busy",
			(json_int_t)state.counters.busy));
}

static json_t *json_range(const struct bus *bus, const struct range *range, struct kvm_tier *tier)
{
	bool is_mapped = __atomic_load_n(&range->mapped, __ATOMIC_RELAXED);
	uint64_t base = __atomic_load_n(&range->base, __ATOMIC_RELAXED);
	bool runs = range->slot && bus->mode != ACCEL_OFF;
	struct accel_counters c;
	json_t *entry;

	entry = json_pack("{s:s, s:s, s:s, s:o, s:I, s:b, s:b}", "range", range->name, "device", range->dev->name,
		"bus", range->bus == IO_PIO ? "pio" : "mmio", "base",
		is_mapped ? json_integer((json_int_t)base) : json_null(), "bytes", (json_int_t)range->len, "programs",
		runs, "attached", runs && accel_slot_attached(range->slot));
	if (!range->slot || bus->mode != ACCEL_ON)
		return entry;
	accel_slot_counters(range->slot, &c);
	json_object_set_new(entry, "answered", json_integer((json_int_t)c.answered));
	json_object_set_new(entry, "punted", json_integer((json_int_t)c.punted));
	json_object_set_new(entry, "busy", json_integer((json_int_t)c.busy));
	json_object_set_new(entry, "retried", json_integer((json_int_t)c.retried));
	json_object_set_new(entry, "punt_reasons", json_reasons(c.why));
	add_tier(entry, tier, range);
	return entry;
}

/* What the kernel tier answered, which the bus never saw. */
static json_int_t kernel_accesses(const struct bus *bus, struct kvm_tier *tier)
{
	json_int_t total = 0;

	for (unsigned i = 1; i <= bus->range_count; i++) {
		struct tier_state state;

		kvm_tier_look(tier, bus->ranges[i], &state);
		total += (json_int_t)state.counters.answered;
	}
	return total;
}

static json_int_t total_accesses(const struct stats *stats)
{
	uint64_t total = 0;

	for (const struct range_stats *rs = stats->first; rs; rs = rs->next) {
		for (unsigned cpu = 0; cpu < stats->cpus; cpu++) {
			for (unsigned i = 0; i < 2 * rs->reg_count; i++)
				total += stats_load(&rs->cells[cpu][i].program.count) +
					 stats_load(&rs->cells[cpu][i].model.count);
		}
	}
	return (json_int_t)total;
}

static json_t *json_head(const struct report *report, const struct bus *bus)
{
	const struct stats_run *run = report->run;

	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:{s:I}, s:o, s:o}", "schema",
		"hotreg-stats-1", "cpu", run->cpu, "accel", run->accel, "cpus", (int)run->cpus, "status", run->status,
		"counting", bus->stats != NULL, "now_ns", (json_int_t)run->now_ns, "startup_ns",
		(json_int_t)run->startup_ns, "run_ns", (json_int_t)run->run_ns, "exits", (json_int_t)run->exits,
		"accesses", total_accesses(report->stats) + kernel_accesses(bus, run->tier), "check", "divergences",
		(json_int_t)run->divergences, "exit_status",
		run->has_ended ? json_integer(run->exit_status) : json_null(), "end",
		run->has_ended ? qmp_text(run->reason) : json_null());
}

json_t *stats_json(const struct stats *stats, const struct bus *bus, const struct stats_run *run)
{
	struct report report = {.stats = stats, .run = run, .ns_per_tick = stats_ns_per_tick(stats)};
	json_t *registers = json_array(), *ranges = json_array(), *json;

	report.program_ns = median_program_ns(&report);
	json = json_head(&report, bus);
	for (const struct range_stats *rs = stats->first; rs; rs = rs->next)
		json_registers(&report, rs, registers);
	for (unsigned i = 1; i <= bus->range_count; i++)
		json_array_append_new(ranges, json_range(bus, bus->ranges[i], run->tier));
	json_object_set_new(json, "program_ns", json_ns(report.program_ns));
	json_object_set_new(json, "next", json_next(&report));
	json_object_set_new(json, "registers", registers);
	json_object_set_new(json, "ranges", ranges);
	return json;
}

int stats_write_json(const json_t *report, const char *path, struct accel_err *err)
{
	FILE *out = fopen(path, "we");
	bool failed;

	if (!out) {
		err_set(err, "cannot create the statistics file %s: %s", path, strerror(errno));
		return -EIO;
	}
	failed = json_dumpf(report, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) != 0;
	failed |= fputc('\n', out) == EOF || ferror(out);
	if (fclose(out) != 0 || failed) {
		err_set(err, "the statistics file %s is not complete: is the disk full?", path);
		return -EIO;
	}
	return 0;
}
