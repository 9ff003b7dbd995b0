// SPDX-License-Identifier: BSD-2-Clause
/*
 * top_frame.c: one screen of `hotreg top` from two statistics reports: rates since the last one, the busiest
 * registers first, medians since the start.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/ctl_client.h"
#include "vmm/top.h"

#define LINE_BYTES 512

/* One register in one direction. */
struct line {
	const json_t *reg, *row;
	const char *direction;
	double rate, answered, punted; /* a second */
};

struct frame {
	FILE *out;
	unsigned rows, columns, used;
	double seconds; /* between the reports; 0: there is one only */
};

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* One line, cut at the width; names are ASCII. */
static void put_line(struct frame *f, const char *text, const char *attribute)
{
	if (f->used >= f->rows)
		return;
	fprintf(f->out, "%s%s%.*s%s\033[K", f->used ? "\r\n" : "", attribute, (int)f->columns, text,
		*attribute ? "\033[0m" : "");
	f->used++;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
	const char *x = json_string_value(json_object_get(a, key)), *y = json_string_value(json_object_get(b, key));

	return x && y && strcmp(x, y) == 0;
}

/* The same register in the other report; NULL: it was not touched then. */
static const json_t *find_before(const json_t *before, const json_t *reg)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(before, "registers"), i, entry)
	{
		if (same_text(entry, reg, "range") && same_text(entry, reg, "name") && same_text(entry, reg, "bus"))
			return entry;
	}
	return NULL;
}

/* A second's worth of a counter's growth; a counter that fell is another VM's. */
static double rate(const struct frame *f, const json_t *now, const json_t *before, const char *key)
{
	double grown = number_of(now, key) - number_of(before, key);

	return f->seconds > 0 && grown > 0 ? grown / f->seconds : 0;
}

static int busier_first(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	double i = number_of(x->row, "accesses"), j = number_of(y->row, "accesses");

	if (x->rate != y->rate)
		return x->rate < y->rate ? 1 : -1;
	return (i < j) - (i > j);
}

/* Every register that was touched; returns how many, and in *lines an array to be freed. */
static size_t collect(const struct frame *f, const json_t *before, const json_t *now, struct line **lines)
{
	static const char *const directions[2] = {"read", "write"};
	const json_t *registers = json_object_get(now, "registers"), *reg;
	size_t count = 0, i;

	*lines = calloc(2 * json_array_size(registers) + 1, sizeof(**lines));
	if (!*lines)
		return 0;
	json_array_foreach(registers, i, reg)
	{
		const json_t *old = find_before(before, reg);

		for (unsigned d = 0; d < 2; d++) {
			const json_t *row = json_object_get(reg, directions[d]);
			const json_t *old_row = json_object_get(old, directions[d]);

			if (number_of(row, "accesses") <= 0)
				continue;
			(*lines)[count++] = (struct line){reg, row, directions[d], rate(f, row, old_row, "accesses"),
				rate(f, row, old_row, "answered"), rate(f, row, old_row, "punted")};
		}
	}
	qsort(*lines, count, sizeof(**lines), busier_first);
	return count;
}

static void put_register(struct frame *f, const struct line *line)
{
	char range[40], name[60], label[100], program[16] = "-", model[16] = "-", text[LINE_BYTES];
	const json_t *p = json_object_get(line->row, "program"), *m = json_object_get(line->row, "model");
	double all = number_of(line->row, "accesses");

	if (json_is_object(p))
		snprintf(program, sizeof(program), "%.0f", number_of(p, "p50_ns"));
	if (json_is_object(m))
		snprintf(model, sizeof(model), "%.0f", number_of(m, "p50_ns"));
	snprintf(label, sizeof(label), "%s %s", ctl_text(line->reg, "range", range, sizeof(range)),
		ctl_text(line->reg, "name", name, sizeof(name)));
	snprintf(text, sizeof(text), "%-32.32s %-5s %10.0f %10.0f %9.0f %6.1f %8s %8s %12.0f", label, line->direction,
		line->rate, line->answered, line->punted,
		line->rate > 0 ? 100 * line->answered / line->rate : 100 * number_of(line->row, "answered") / all,
		program, model, all);
	put_line(f, text, "");
}

static void put_head(struct frame *f, const json_t *before, const json_t *now, const char *path,
	const struct line *lines, size_t count)
{
	char cpu[20], accel[20], status[20], text[LINE_BYTES];
	double all = 0, answered = 0;

	for (size_t i = 0; i < count; i++) {
		all += lines[i].rate;
		answered += lines[i].answered;
	}
	snprintf(text, sizeof(text), "hotreg %.200s: %s, cpu %s, accel %s, %.0f s", path,
		ctl_text(now, "status", status, sizeof(status)), ctl_text(now, "cpu", cpu, sizeof(cpu)),
		ctl_text(now, "accel", accel, sizeof(accel)), number_of(now, "run_ns") / 1e9);
	put_line(f, text, "\033[1m");
	snprintf(text, sizeof(text),
		"%.0f exits/s, %.0f accesses/s, %.1f %% of them answered by programs; %.0f divergences",
		rate(f, now, before, "exits"), all, all > 0 ? 100 * answered / all : 0,
		number_of(json_object_get(now, "check"), "divergences"));
	put_line(f, text, "");
}

static void put_next(struct frame *f, const json_t *now)
{
	const json_t *next = json_array_get(json_object_get(now, "next"), 0);
	char range[40], name[60], access[10], text[LINE_BYTES];

	if (!next)
		return;
	snprintf(text, sizeof(text), "would gain most next: %s %s, %s (%.0f %% of what can be gained)",
		ctl_text(next, "range", range, sizeof(range)), ctl_text(next, "name", name, sizeof(name)),
		ctl_text(next, "access", access, sizeof(access)), 100 * number_of(next, "share"));
	put_line(f, text, "");
}

void top_frame(const json_t *before, const json_t *now, const char *path, unsigned rows, unsigned columns, FILE *out)
{
	struct frame f = {.out = out, .rows = rows, .columns = columns < LINE_BYTES ? columns : LINE_BYTES - 1};
	struct line *lines;
	char text[LINE_BYTES];
	size_t count;

	if (before && number_of(now, "now_ns") > number_of(before, "now_ns"))
		f.seconds = (number_of(now, "now_ns") - number_of(before, "now_ns")) / 1e9;
	count = collect(&f, before, now, &lines);
	put_head(&f, before, now, path, lines, count);
	put_next(&f, now);
	snprintf(text, sizeof(text), "%-32s %-5s %10s %10s %9s %6s %8s %8s %12s", "register", "", "accesses/s",
		"answered/s", "punted/s", "%", "prog ns", "model ns", "accesses");
	put_line(&f, text, "\033[7m");
	/* the last line is the help's */
	for (size_t i = 0; i < count && f.used + 1 < f.rows; i++)
		put_register(&f, &lines[i]);
	put_line(&f, "q: quit", "\033[2m");
	free(lines);
}
