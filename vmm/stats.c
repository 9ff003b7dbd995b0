// SPDX-License-Identifier: BSD-2-Clause
/*
 * stats.c: counters and time histograms for each register, and the two reports.
 *
 * A vCPU writes only into its own cells, so counting takes no lock and shares no cache line.
 * Times are kept in ticks in buckets of 1/32 of their value and become nanoseconds at the end,
 * when the run itself has measured how long a tick is.
 */
#include "vmm/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cpu.h"
#include "vmm/text.h"
#include "vmm/vm.h"

#define SUB_BITS 5 /* buckets in an octave: 2^5 */
#define SUB (1u << SUB_BITS)
#define MAX_EXPONENT 40 /* longer times all count as 2^41 - 1 ticks, minutes */
#define BUCKETS ((MAX_EXPONENT - SUB_BITS + 2) * SUB)
#define CALIBRATE_NS 5000000ull
#define OVERHEAD_ROUNDS 101

struct histogram {
	uint64_t count;
	uint64_t bucket[BUCKETS];
};

/* One register in one direction, seen by one vCPU. */
struct cell {
	uint64_t outcome[BUS_OUTCOMES];
	struct histogram program, model;
};

struct range_stats {
	const struct range *range; /* NULL: what nobody claims */
	const char *name;
	enum io_bus bus;
	unsigned reg_count; /* the named ones and "other" */
	uint8_t *reg_of;    /* by offset; NULL when all is "other" */
	uint32_t reg_of_len;
	struct cell *cells[VM_MAX_CPUS]; /* [reg * 2 + is_write] */
	struct range_stats *next;
};

struct stats {
	unsigned cpus;
	uint64_t start_ns, start_ticks;
	uint64_t overhead_ticks; /* of two time stamps with nothing between them */
	struct range_stats *first, **end;
};

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
	for (unsigned i = 0; i < VM_MAX_CPUS; i++)
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
	bus->stats = stats;
	return 0;
}

static unsigned bucket_of(uint64_t ticks)
{
	unsigned exponent;

	if (ticks < SUB)
		return (unsigned)ticks;
	exponent = 63u - (unsigned)__builtin_clzll(ticks);
	if (exponent > MAX_EXPONENT)
		return BUCKETS - 1;
	return (exponent - SUB_BITS + 1) * SUB + (unsigned)(ticks >> (exponent - SUB_BITS) & (SUB - 1));
}

/* The middle of a bucket. */
static double bucket_ticks(unsigned bucket)
{
	unsigned octave = bucket / SUB;
	uint64_t width;

	if (octave == 0)
		return bucket;
	width = 1ull << (octave - 1);
	return (double)((SUB + bucket % SUB) * width) + (double)(width - 1) / 2;
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
	cell->outcome[outcome] += elements;
	times = outcome == BUS_ANSWERED ? &cell->program : &cell->model;
	times->count += elements;
	times->bucket[bucket_of(elements > 1 ? ticks / elements : ticks)] += elements;
}

/* ---- reports ------------------------------------------------------------------------------- */

/* A row of a report: one register in one direction, all vCPUs together. */
struct row {
	const char *name;
	uint32_t offset;
	bool has_offset, is_write;
	uint64_t outcome[BUS_OUTCOMES];
	uint64_t accesses;
	double program_ns[2], model_ns[2]; /* p50, p99; below 0: no sample */
};

struct report {
	const struct stats *stats;
	const struct bus *bus;
	const struct stats_run *run;
	double ns_per_tick;
	FILE *out;
};

static double percentile(const struct histogram *h, double share)
{
	uint64_t rank = (uint64_t)((double)h->count * share), seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > rank)
			return bucket_ticks(i);
	}
	return 0;
}

static void fill_times(const struct report *report, const struct histogram *h, double *ns)
{
	static const double share[2] = {0.50, 0.99};

	for (unsigned i = 0; i < 2; i++) {
		double ticks = percentile(h, share[i]) - (double)report->stats->overhead_ticks;

		ns[i] = h->count == 0 ? -1 : ticks > 0 ? ticks * report->ns_per_tick : 0;
	}
}

static void add_histogram(struct histogram *sum, const struct histogram *h)
{
	if (h->count == 0)
		return;
	sum->count += h->count;
	for (unsigned i = 0; i < BUCKETS; i++)
		sum->bucket[i] += h->bucket[i];
}

/* False: the register was not touched in this direction. */
static bool make_row(
	const struct report *report, const struct range_stats *rs, unsigned reg, bool is_write, struct row *row)
{
	const struct reg_name *names = rs->range ? rs->range->regs : NULL;
	struct cell sum;

	memset(&sum, 0, sizeof(sum));
	memset(row, 0, sizeof(*row));
	for (unsigned cpu = 0; cpu < report->stats->cpus; cpu++) {
		const struct cell *cell = &rs->cells[cpu][reg * 2 + is_write];

		for (unsigned i = 0; i < BUS_OUTCOMES; i++)
			sum.outcome[i] += cell->outcome[i];
		add_histogram(&sum.program, &cell->program);
		add_histogram(&sum.model, &cell->model);
	}
	row->is_write = is_write;
	row->has_offset = reg + 1 < rs->reg_count;
	row->name = row->has_offset ? names[reg].name : "other";
	row->offset = row->has_offset ? names[reg].offset : 0;
	for (unsigned i = 0; i < BUS_OUTCOMES; i++) {
		row->outcome[i] = sum.outcome[i];
		row->accesses += sum.outcome[i];
	}
	fill_times(report, &sum.program, row->program_ns);
	fill_times(report, &sum.model, row->model_ns);
	return row->accesses > 0;
}

static void start_report(
	struct report *report, const struct stats *stats, const struct bus *bus, const struct stats_run *run, FILE *out)
{
	uint64_t ns, ticks;

	/* a run too short to measure the tick on: wait a little */
	while ((ns = now_ns() - stats->start_ns) < CALIBRATE_NS) {
		struct timespec rest = {.tv_nsec = (long)(CALIBRATE_NS - ns)};

		nanosleep(&rest, NULL);
	}
	sample(&ns, &ticks);
	ns -= stats->start_ns;
	ticks -= stats->start_ticks;
	*report = (struct report){.stats = stats, .bus = bus, .run = run, .out = out};
	report->ns_per_tick = ticks ? (double)ns / (double)ticks : 1;
}

static void print_times(FILE *out, const double *ns)
{
	if (ns[0] < 0)
		fprintf(out, " %9s %9s", "-", "-");
	else
		fprintf(out, " %9.0f %9.0f", ns[0], ns[1]);
}

static void print_row(FILE *out, const struct range_stats *rs, const struct row *row)
{
	char label[64];

	snprintf(label, sizeof(label), "%s %s", rs->name, rs->range ? row->name : rs->bus == IO_PIO ? "pio" : "mmio");
	fprintf(out, "%-32s %-5s %10" PRIu64 " %10" PRIu64 " %10" PRIu64, label, row->is_write ? "write" : "read",
		row->accesses, row->outcome[BUS_ANSWERED], row->outcome[BUS_PUNTED]);
	print_times(out, row->program_ns);
	print_times(out, row->model_ns);
	fputc('\n', out);
}

static void print_punts(FILE *out, const struct range *range)
{
	struct accel_counters c;
	bool first = true;

	accel_slot_counters(range->slot, &c);
	if (c.punted == 0 && c.retried == 0)
		return;
	fprintf(out, "  %s: punts by reason:", range->name);
	for (unsigned i = 0; i < 256; i++) {
		if (c.why[i] == 0)
			continue;
		if (i == 0)
			fprintf(out, "%s none given %" PRIu64, first ? "" : ",", c.why[i]);
		else
			fprintf(out, "%s %u: %" PRIu64, first ? "" : ",", i, c.why[i]);
		first = false;
	}
	fprintf(out, "%s busy page %" PRIu64 "; runs thrown away %" PRIu64 "\n", first ? "" : ",", c.busy, c.retried);
}

static uint64_t total_accesses(const struct stats *stats)
{
	uint64_t total = 0;

	for (const struct range_stats *rs = stats->first; rs; rs = rs->next) {
		for (unsigned cpu = 0; cpu < stats->cpus; cpu++) {
			for (unsigned i = 0; i < 2 * rs->reg_count; i++)
				total += rs->cells[cpu][i].program.count + rs->cells[cpu][i].model.count;
		}
	}
	return total;
}

void stats_print(struct stats *stats, const struct bus *bus, const struct stats_run *run, FILE *out)
{
	struct report report;
	struct row row;

	start_report(&report, stats, bus, run, out);
	fprintf(out,
		"hotreg: cpu %s, accel %s, %u vCPU; guest started after %.1f ms, ran %.3f s; %" PRIu64
		" exits, %" PRIu64 " accesses",
		run->cpu, run->accel, run->cpus, (double)run->startup_ns / 1e6, (double)run->run_ns / 1e9, run->exits,
		total_accesses(stats));
	if (strcmp(run->accel, "check") == 0)
		fprintf(out, "; %" PRIu64 " divergences", run->divergences);
	fprintf(out, "\n%-32s %-5s %10s %10s %10s %19s %19s\n", "", "", "", "", "", "program ns", "model ns");
	fprintf(out, "%-32s %-5s %10s %10s %10s %9s %9s %9s %9s\n", "register", "", "accesses", "answered", "punted",
		"median", "99%", "median", "99%");
	for (const struct range_stats *rs = stats->first; rs; rs = rs->next) {
		for (unsigned i = 0; i < 2 * rs->reg_count; i++) {
			if (make_row(&report, rs, i / 2, i % 2, &row))
				print_row(out, rs, &row);
		}
	}
	for (unsigned i = 1; i <= bus->range_count; i++) {
		if (bus->ranges[i]->slot && bus->mode == ACCEL_ON)
			print_punts(out, bus->ranges[i]);
	}
}

static void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void json_times(FILE *out, const char *who, const double *ns)
{
	if (ns[0] < 0)
		fprintf(out, ", \"%s\": null", who);
	else
		fprintf(out, ", \"%s\": {\"p50_ns\": %.1f, \"p99_ns\": %.1f}", who, ns[0], ns[1]);
}

static void json_row(FILE *out, const struct row *row)
{
	fprintf(out,
		"\"%s\": {\"accesses\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"punted\": %" PRIu64
		", \"unclaimed\": %" PRIu64,
		row->is_write ? "write" : "read", row->accesses, row->outcome[BUS_ANSWERED], row->outcome[BUS_PUNTED],
		row->outcome[BUS_UNCLAIMED]);
	json_times(out, "program", row->program_ns);
	json_times(out, "model", row->model_ns);
	fputc('}', out);
}

/* The registers of one range that were touched. Returns what separates the next one. */
static const char *json_registers(const struct report *report, const struct range_stats *rs, const char *separator)
{
	FILE *out = report->out;
	struct row row[2];

	for (unsigned reg = 0; reg < rs->reg_count; reg++) {
		bool touched = make_row(report, rs, reg, false, &row[0]);

		touched |= make_row(report, rs, reg, true, &row[1]);
		if (!touched)
			continue;
		fprintf(out, "%s\n    {\"range\": ", separator);
		json_string(out, rs->name);
		fputs(", \"name\": ", out);
		json_string(out, row[0].name);
		fprintf(out, ", \"bus\": \"%s\", \"offset\": ", rs->bus == IO_PIO ? "pio" : "mmio");
		if (row[0].has_offset)
			fprintf(out, "%u", row[0].offset);
		else
			fputs("null", out);
		fputs(",\n     ", out);
		json_row(out, &row[0]);
		fputs(",\n     ", out);
		json_row(out, &row[1]);
		fputc('}', out);
		separator = ",";
	}
	return separator;
}

/* What the runtime counted on a range's slot. */
static void json_punts(FILE *out, const struct range *range)
{
	struct accel_counters c;
	bool first = true;

	accel_slot_counters(range->slot, &c);
	fprintf(out,
		", \"answered\": %" PRIu64 ", \"punted\": %" PRIu64 ", \"busy\": %" PRIu64 ", \"retried\": %" PRIu64,
		c.answered, c.punted, c.busy, c.retried);
	fputs(", \"punt_reasons\": {", out);
	for (unsigned i = 0; i < 256; i++) {
		if (c.why[i] == 0)
			continue;
		fprintf(out, "%s\"%u\": %" PRIu64, first ? "" : ", ", i, c.why[i]);
		first = false;
	}
	fputc('}', out);
}

static void json_range(const struct report *report, const struct range *range)
{
	FILE *out = report->out;

	fputs("{\"range\": ", out);
	json_string(out, range->name);
	fputs(", \"device\": ", out);
	json_string(out, range->dev->name);
	fprintf(out, ", \"bus\": \"%s\"", range->bus == IO_PIO ? "pio" : "mmio");
	if (range->mapped)
		fprintf(out, ", \"base\": %" PRIu64 ", \"bytes\": %u", range->base, range->len);
	else
		fprintf(out, ", \"base\": null, \"bytes\": %u", range->len);
	fprintf(out, ", \"programs\": %s", range->slot && report->bus->mode != ACCEL_OFF ? "true" : "false");
	if (range->slot && report->bus->mode == ACCEL_ON)
		json_punts(out, range);
	fputc('}', out);
}

static void json_head(FILE *out, const struct stats *stats, const struct stats_run *run)
{
	fprintf(out,
		"{\n  \"schema\": \"hotreg-stats-1\",\n  \"cpu\": \"%s\",\n  \"accel\": \"%s\",\n  \"cpus\": %u,\n",
		run->cpu, run->accel, run->cpus);
	fprintf(out, "  \"startup_ns\": %" PRIu64 ",\n  \"run_ns\": %" PRIu64 ",\n  \"exits\": %" PRIu64 ",\n",
		run->startup_ns, run->run_ns, run->exits);
	fprintf(out,
		"  \"accesses\": %" PRIu64 ",\n  \"check\": {\"divergences\": %" PRIu64 "},\n  \"exit_status\": %d,\n",
		total_accesses(stats), run->divergences, run->exit_status);
	fputs("  \"end\": ", out);
	json_string(out, run->reason);
}

int stats_write_json(struct stats *stats, const struct bus *bus, const struct stats_run *run, const char *path,
	struct accel_err *err)
{
	struct report report;
	FILE *out = fopen(path, "we");
	const char *separator = "";
	bool failed;

	if (!out) {
		err_set(err, "cannot create the statistics file %s: %s", path, strerror(errno));
		return -EIO;
	}
	start_report(&report, stats, bus, run, out);
	json_head(out, stats, run);
	fputs(",\n  \"registers\": [", out);
	for (const struct range_stats *rs = stats->first; rs; rs = rs->next)
		separator = json_registers(&report, rs, separator);
	fputs("\n  ],\n  \"ranges\": [", out);
	for (unsigned i = 1; i <= bus->range_count; i++) {
		fputs(i == 1 ? "\n    " : ",\n    ", out);
		json_range(&report, bus->ranges[i]);
	}
	fputs("\n  ]\n}\n", out);
	failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		err_set(err, "the statistics file %s is not complete: is the disk full?", path);
		return -EIO;
	}
	return 0;
}
