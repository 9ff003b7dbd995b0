// SPDX-License-Identifier: BSD-2-Clause
/*
 * stats_text.c: the statistics report as a table, for --stats and `hotreg stats`. It reads the JSON, which
 * may come from another hotreg: whatever is missing there prints as nothing or 0.
 */
#include <inttypes.h>
#include <string.h>

#include "vmm/stats.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void print_times(FILE *out, const json_t *times)
{
	if (!json_is_object(times))
		fprintf(out, " %9s %9s", "-", "-");
	else
		fprintf(out, " %9.0f %9.0f", json_number_value(json_object_get(times, "p50_ns")),
			json_number_value(json_object_get(times, "p99_ns")));
}

/* "1: 766, none given: 3" */
static void print_reasons(FILE *out, const json_t *reasons)
{
	const char *key, *separator = "";
	json_t *count;

	json_object_foreach((json_t *)reasons, key, count)
	{
		fprintf(out, "%s%s: %lld", separator, strcmp(key, "0") == 0 ? "none given" : key,
			(long long)json_integer_value(count));
		separator = ", ";
	}
}

static void print_row(FILE *out, const json_t *reg, const char *direction)
{
	const json_t *row = json_object_get(reg, direction), *reasons = json_object_get(row, "punt_reasons");
	bool is_unclaimed = strcmp(text_of(reg, "range"), "unclaimed") == 0;
	char label[96];

	if (number_of(row, "accesses") == 0)
		return;
	snprintf(label, sizeof(label), "%s %s", text_of(reg, "range"), text_of(reg, is_unclaimed ? "bus" : "name"));
	fprintf(out, "%-32s %-5s %10lld %10lld %10lld", label, direction, number_of(row, "accesses"),
		number_of(row, "answered"), number_of(row, "punted"));
	print_times(out, json_object_get(row, "program"));
	print_times(out, json_object_get(row, "model"));
	if (json_object_size(reasons) > 0) {
		fputs("  reason ", out);
		print_reasons(out, reasons);
	}
	fputc('\n', out);
}

static void print_range(FILE *out, const json_t *range)
{
	if (number_of(range, "punted") == 0 && number_of(range, "retried") == 0)
		return;
	fprintf(out, "  %s: punts by reason: ", text_of(range, "range"));
	print_reasons(out, json_object_get(range, "punt_reasons"));
	fprintf(out, "; page busy %lld; runs thrown away %lld\n", number_of(range, "busy"),
		number_of(range, "retried"));
}

/* What never came to hotreg; or why a range with a program is not there. */
static void print_tier(FILE *out, const json_t *range)
{
	const json_t *kernel = json_object_get(range, "kernel");

	if (number_of(kernel, "answered") + number_of(kernel, "punted") > 0)
		fprintf(out,
			"  %s: in the kernel %lld answered, %lld passed on; page busy %lld; runs thrown away %lld\n",
			text_of(range, "range"), number_of(kernel, "answered"), number_of(kernel, "punted"),
			number_of(kernel, "busy"), number_of(kernel, "retried"));
	if (text_of(range, "not_kernel")[0])
		fprintf(out, "  %s: not in the kernel: %s\n", text_of(range, "range"), text_of(range, "not_kernel"));
}

static void print_next(FILE *out, const json_t *next, double run_ns)
{
	const json_t *entry;
	size_t i;

	if (json_array_size(next) == 0)
		return;
	fprintf(out, "a program would gain most next (an estimate, see docs/stats.md):\n");
	json_array_foreach(next, i, entry)
	{
		double gain = json_number_value(json_object_get(entry, "gain_ns"));

		fprintf(out, "  %s %s, %s: %lld by the model, %lld punted, %.3f ms", text_of(entry, "range"),
			text_of(entry, "name"), text_of(entry, "access"), number_of(entry, "by_model"),
			number_of(entry, "by_punt"), gain / 1e6);
		if (run_ns > 0)
			fprintf(out, " (%.2f %% of the run)", 100 * gain / run_ns);
		fputc('\n', out);
	}
}

static void print_page(FILE *out, const json_t *page)
{
	fprintf(out,
		"  %s: %s%s%s; mapped for %.3f s in %lld turns; read in %lld of %lld samples; given up %lld times\n",
		text_of(page, "range"), text_of(page, "state"), *text_of(page, "reason") ? ": " : "",
		text_of(page, "reason"), (double)number_of(page, "mapped_ns") / 1e9, number_of(page, "maps"),
		number_of(page, "samples_with_readers"), number_of(page, "samples"), number_of(page, "given_up"));
}

static void print_page_tier(FILE *out, const json_t *tier)
{
	const json_t *page;
	size_t i;

	const char *host = text_of(tier, "host");
	bool is_tried = strcmp(host, "not tried") != 0;

	if (!json_is_object(tier) || (!is_tried && number_of(tier, "passes") == 0))
		return;
	if (is_tried && strcmp(host, "works") != 0) {
		fprintf(out, "page tier %s: none on this host: %s\n", text_of(tier, "mode"), host);
		return;
	}
	fprintf(out,
		"page tier %s: %lld passes in %.3f s of the publisher's CPU time; gaps: median %lld ns, 99%% %lld, "
		"99.9%% %lld, longest %lld\n",
		text_of(tier, "mode"), number_of(tier, "passes"), (double)number_of(tier, "publisher_cpu_ns") / 1e9,
		number_of(tier, "gap_p50_ns"), number_of(tier, "gap_p99_ns"), number_of(tier, "gap_p999_ns"),
		number_of(tier, "gap_max_ns"));
	json_array_foreach(json_object_get(tier, "pages"), i, page) print_page(out, page);
}

void stats_print(const json_t *report, FILE *out)
{
	const json_t *entry;
	size_t i;

	fprintf(out,
		"hotreg: cpu %s, accel %s, %lld vCPU; guest started after %.1f ms, ran %.3f s; %lld exits, %lld "
		"accesses",
		text_of(report, "cpu"), text_of(report, "accel"), number_of(report, "cpus"),
		(double)number_of(report, "startup_ns") / 1e6, (double)number_of(report, "run_ns") / 1e9,
		number_of(report, "exits"), number_of(report, "accesses"));
	if (strcmp(text_of(report, "accel"), "check") == 0 ||
		number_of(json_object_get(report, "check"), "divergences") > 0)
		fprintf(out, "; %lld divergences", number_of(json_object_get(report, "check"), "divergences"));
	if (strcmp(text_of(report, "status"), "ended") != 0)
		fprintf(out, "; %s", text_of(report, "status"));
	fprintf(out, "\n%-32s %-5s %10s %10s %10s %19s %19s\n", "", "", "", "", "", "program ns", "model ns");
	fprintf(out, "%-32s %-5s %10s %10s %10s %9s %9s %9s %9s\n", "register", "", "accesses", "answered", "punted",
		"median", "99%", "median", "99%");
	json_array_foreach(json_object_get(report, "registers"), i, entry)
	{
		print_row(out, entry, "read");
		print_row(out, entry, "write");
	}
	json_array_foreach(json_object_get(report, "ranges"), i, entry)
	{
		print_range(out, entry);
		print_tier(out, entry);
	}
	print_page_tier(out, json_object_get(report, "page_tier"));
	print_next(out, json_object_get(report, "next"), (double)number_of(report, "run_ns"));
}
