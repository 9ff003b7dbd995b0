// SPDX-License-Identifier: BSD-2-Clause
/*
 * equiv_case.c: a sequence of ops from one fresh world on: does it, makes it as short as it can, writes it to a
 * file and reads it back. The file is a trace like any other; its times count from the start of the world.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/fuzz/equiv.h"
#include "vmm/trace.h"

bool case_run(const struct equiv_case *c, unsigned machines, char *why, size_t why_bytes, size_t *took)
{
	struct world *w = world_new(machines, c->start_ns);
	bool same = true;
	size_t n = 0;

	while (n < c->count && same)
		same = world_do(w, &c->ops[n++]);
	same = same && world_compare(w, true);
	if (!same && why)
		snprintf(why, why_bytes, "%s", world_why(w));
	if (took)
		*took = n;
	world_free(w);
	return same;
}

/* Without ops [at, at + count), whose time the next op gets. */
static struct equiv_case without(const struct equiv_case *c, size_t at, size_t count)
{
	struct equiv_case less = {.start_ns = c->start_ns, .ops = malloc((c->count + 1) * sizeof(*c->ops))};
	uint64_t time = 0;

	if (!less.ops) {
		fprintf(stderr, "equiv: no memory\n");
		exit(2);
	}
	for (size_t i = 0; i < c->count; i++) {
		if (i >= at && i < at + count) {
			time += c->ops[i].step_ns;
			continue;
		}
		less.ops[less.count] = c->ops[i];
		less.ops[less.count++].step_ns += time;
		time = 0;
	}
	return less;
}

/* Takes `less` in the place of *c if that fails too. */
static bool take(struct equiv_case *c, struct equiv_case less)
{
	size_t took;

	if (case_run(&less, 2, NULL, 0, &took)) {
		free(less.ops);
		return false;
	}
	less.count = took; /* what came after is not needed */
	free(c->ops);
	*c = less;
	return true;
}

void case_shrink(struct equiv_case *c)
{
	take(c, without(c, 0, 0));
	for (size_t part = c->count / 2; part > 0; part /= 2) {
		for (size_t at = 0; at < c->count;) {
			if (!take(c, without(c, at, part)))
				at += part;
		}
	}
}

int case_write(const struct equiv_case *c, const char *path, const char *why)
{
	FILE *f = fopen(path, "w");
	uint64_t now = 0;
	bool failed;

	if (!f)
		return -errno;
	fprintf(f, "# Machines with and without programs once differed here:\n# %s\n#! start %" PRIu64 "\n", why,
		c->start_ns);
	for (size_t i = 0; i < c->count; i++) {
		const struct equiv_op *op = &c->ops[i];

		now += op->step_ns;
		if (op->kind != EQUIV_ACCESS) {
			fprintf(f, "#! %s %" PRIu64 "\n", op->kind == EQUIV_ACK ? "ack" : "reset", now);
			continue;
		}
		if (op->count)
			fprintf(f, "#! string %u\n", op->count);
		fprintf(f, "%" PRIu64 " %s %s 0x%" PRIx64 " %u ", now, op->is_write ? "w" : "r",
			op->bus == IO_PIO ? "pio" : "mmio", op->addr, op->size);
		if (op->is_write)
			fprintf(f, "0x%" PRIx64 "\n", op->value);
		else
			fprintf(f, "?\n");
	}
	failed = ferror(f);
	return fclose(f) || failed ? -EIO : 0;
}

/* A line of the file. False: err says what is wrong. *string is the count for the next access. */
static bool read_line(struct equiv_case *c, char *text, uint64_t *now, uint16_t *string, struct accel_err *err)
{
	struct equiv_op op = {.kind = EQUIV_ACCESS};
	struct trace_line line;
	uint64_t time;
	unsigned count;
	int rc;

	text[strcspn(text, "\n")] = 0;
	if (sscanf(text, "#! start %" SCNu64, &c->start_ns) == 1)
		return true;
	if (sscanf(text, "#! string %u", &count) == 1 && count <= EQUIV_STRING_MAX) {
		*string = (uint16_t)count;
		return true;
	}
	if (sscanf(text, "#! ack %" SCNu64, &time) == 1) {
		op.kind = EQUIV_ACK;
	} else if (sscanf(text, "#! reset %" SCNu64, &time) == 1) {
		op.kind = EQUIV_RESET;
	} else {
		rc = trace_parse_line(text, strlen(text), &line, err);
		if (rc <= 0)
			return rc == 0;
		time = line.time_ns;
		op.bus = (uint8_t)line.bus;
		op.addr = line.addr;
		op.size = line.size;
		op.is_write = line.is_write;
		op.value = line.is_write ? line.value : 0;
		op.count = *string;
		*string = 0;
	}
	if (time < *now) {
		snprintf(err->text, sizeof(err->text), "time goes back");
		return false;
	}
	op.step_ns = time - *now;
	*now = time;
	c->ops[c->count++] = op;
	return true;
}

bool case_read(struct equiv_case *c, const char *path)
{
	gzFile f = gzopen(path, "r"); /* reads plain files too */
	struct accel_err err = {""};
	size_t room = 0;
	uint64_t now = 0;
	uint16_t string = 0;
	char text[256];
	bool good = f;

	*c = (struct equiv_case){.start_ns = 0};
	if (!f)
		snprintf(err.text, sizeof(err.text), "%s", strerror(errno));
	while (good && gzgets(f, text, sizeof(text))) {
		if (c->count == room) {
			room = room ? 2 * room : 1024;
			c->ops = realloc(c->ops, room * sizeof(*c->ops));
			if (!c->ops) {
				fprintf(stderr, "equiv: no memory\n");
				exit(2);
			}
		}
		good = read_line(c, text, &now, &string, &err);
	}
	if (f && gzclose(f) != Z_OK && good) {
		snprintf(err.text, sizeof(err.text), "is cut short or damaged");
		good = false;
	}
	if (!good)
		fprintf(stderr, "equiv: %s: %s\n", path, err.text);
	return good;
}
