// SPDX-License-Identifier: BSD-2-Clause
/*
 * equiv.c: "acceleration changes time, never behaviour", tried out. Random accesses, interrupt acknowledges
 * and steps of virtual time go to one machine of models only and to one with programs; whatever a guest
 * could see must be the same: answers, edges of interrupt lines with their times, state pages, the disk.
 *
 *   equiv [--accesses N] [--seed N] [--interp] [--out DIR] [--prog DEVICE=FILE] [DEVICE...]
 *                                     N for each device (all that have programs)
 *   equiv --replay FILE...                                    traces and kept cases, also interpreted
 *
 * A failure is shrunk and left in DIR/equiv-DEVICE-SEED.trace; move it to tests/fuzz/equiv, where `make check` replays
 * it for good. Status 0: no difference; 1: a difference; 2: could not run. The last line says how much was done.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/fuzz/equiv.h"

#define WORLD_OPS 1000000 /* then a fresh one, of another uptime */
#define NSEC 1000000000ull

struct run {
	unsigned machines;
	uint64_t accesses, seed;
	const char *out; /* directory for failures */
};

/* What of a world is kept, so that a failure can be done again: everything since it was made. */
struct history {
	struct equiv_op *ops;
	size_t count;
	uint64_t start_ns;
};

struct tally {
	uint64_t elements; /* of strings, and single accesses */
	uint64_t answered, edges;
};

static uint64_t any_uptime(uint64_t *seed)
{
	static const uint64_t about[] = {0, 3600 * NSEC, 86400 * NSEC, 366ull * 86400 * NSEC, 3660ull * 86400 * NSEC,
		100ull * 366 * 86400 * NSEC};
	uint64_t most = about[gen_random(seed) % (sizeof(about) / sizeof(about[0]))];

	return most ? gen_random(seed) % most : 0;
}

static void fail(const struct history *h, const char *dev, const struct run *run, const char *why)
{
	struct equiv_case c = {
		.start_ns = h->start_ns, .ops = malloc((h->count + 1) * sizeof(*c.ops)), .count = h->count};
	char path[512], again[512];
	size_t took;

	fprintf(stderr, "equiv: %s, seed %" PRIu64 ", after %zu ops of a world: %s\n", dev, run->seed, h->count, why);
	if (!c.ops)
		exit(2);
	memcpy(c.ops, h->ops, h->count * sizeof(*c.ops));
	if (case_run(&c, run->machines, again, sizeof(again), &took)) {
		fprintf(stderr, "equiv: not seen again in a fresh world: the machines share something, or depend on "
				"real time\n");
		exit(1);
	}
	/* from the last reset on is mostly enough */
	for (size_t i = h->count; i-- > 0;) {
		if (c.ops[i].kind == EQUIV_RESET) {
			struct equiv_case tail = {.ops = c.ops + i, .count = c.count - i, .start_ns = c.start_ns};

			for (size_t k = 0; k < i; k++)
				tail.start_ns += c.ops[k].step_ns;
			if (!case_run(&tail, 2, NULL, 0, NULL)) {
				memmove(c.ops, tail.ops, tail.count * sizeof(*c.ops));
				c.count = tail.count;
				c.start_ns = tail.start_ns;
			}
			break;
		}
	}
	if (!case_run(&c, 2, NULL, 0, NULL))
		case_shrink(&c);
	case_run(&c, run->machines, again, sizeof(again), &took);
	snprintf(path, sizeof(path), "%s/equiv-%s-%" PRIu64 ".trace", run->out, dev, run->seed);
	if (case_write(&c, path, again))
		fprintf(stderr, "equiv: cannot write %s\n", path);
	fprintf(stderr, "equiv: shrunk to %zu ops, in %s: %s\n", c.count, path, again);
	exit(1);
}

/* Ops of one world, until `left` accesses are done or the world is old. */
static uint64_t one_world(
	const char *dev, const struct run *run, uint64_t *seed, uint64_t left, struct history *h, struct tally *t)
{
	struct world *w;
	struct gen *g = malloc(sizeof(*g));
	uint64_t done = 0;
	unsigned in_episode = 0;
	bool same = true;

	h->count = 0;
	h->start_ns = any_uptime(seed);
	w = world_new(run->machines, h->start_ns);
	if (!g)
		exit(2);
	gen_init(g, w, dev, gen_random(seed));
	if (g->range_count == 0) {
		fprintf(stderr, "equiv: no device named %s\n", dev);
		exit(2);
	}
	while (same && done < left && h->count < WORLD_OPS) {
		struct equiv_op *op = &h->ops[h->count++];

		if (in_episode == 0) {
			in_episode = 20 + (unsigned)(gen_random(&g->seed) % EQUIV_EPISODE);
			same = world_compare(w, false);
			*op = (struct equiv_op){.kind = EQUIV_RESET};
			gen_start(g);
		} else {
			gen_next(g, op);
			in_episode--;
		}
		same = same && world_do(w, op);
		if (op->kind == EQUIV_ACCESS) {
			done++; /* a string is one */
			t->elements += op->count ? op->count : 1;
		}
	}
	same = same && world_compare(w, true);
	if (!same)
		fail(h, dev, run, world_why(w));
	t->answered += world_answered(w, dev);
	t->edges += world_edges(w);
	world_free(w);
	free(g);
	return done;
}

static void one_device(const char *dev, const struct run *run, struct history *h)
{
	struct tally t = {0};
	uint64_t seed = run->seed, done = 0;
	struct timespec from, to;

	for (const char *c = dev; *c; c++)
		seed = seed * 31 + (uint8_t)*c;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	while (done < run->accesses)
		done += one_world(dev, run, &seed, run->accesses - done, h, &t);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	/* an access that the bus splits is answered in parts, so the answers may be more than the accesses */
	printf("%-10s %10" PRIu64 " accesses, %11" PRIu64
	       " with the elements of strings, %.2f answers of programs for each, %" PRIu64 " edges, %.1f s of CPU\n",
		dev, done, t.elements, (double)t.answered / (double)t.elements, t.edges,
		(double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
	fflush(stdout);
	if (!t.answered) {
		fprintf(stderr, "equiv: %s: no program ever answered, so nothing was compared\n", dev);
		exit(1);
	}
}

static int replay(char **files)
{
	int status = 0;
	unsigned cases = 0;
	uint64_t ops = 0;

	for (; *files; files++) {
		struct equiv_case c;
		char why[512];

		if (!case_read(&c, *files))
			return 2;
		if (!case_run(&c, WORLD_MAX, why, sizeof(why), NULL)) {
			fprintf(stderr, "equiv: %s: %s\n", *files, why);
			status = 1;
		}
		cases++;
		ops += c.count;
		free(c.ops);
	}
	printf("%u files, %" PRIu64 " ops replayed on model, machine code and interpreter\n", cases, ops);
	return status;
}

static int usage(void)
{
	fprintf(stderr, "usage: equiv [--accesses N] [--seed N] [--interp] [--out DIR] [--prog DEVICE=FILE] "
			"[DEVICE...]\n       "
			"equiv --replay FILE...\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct run run = {.machines = 2, .accesses = 1000000, .seed = 1, .out = "."};
	struct history h = {.ops = malloc((WORLD_OPS + 1) * sizeof(*h.ops))};
	char *equals;
	int at = 1;

	if (!h.ops)
		return 2;
	for (; at < argc && argv[at][0] == '-'; at++) {
		if (!strcmp(argv[at], "--replay"))
			return replay(argv + at + 1);
		if (!strcmp(argv[at], "--interp"))
			run.machines = WORLD_MAX;
		else if (!strcmp(argv[at], "--out") && at + 1 < argc)
			run.out = argv[++at];
		else if (!strcmp(argv[at], "--prog") && at + 1 < argc && (equals = strchr(argv[at + 1], '='))) {
			*equals = 0;
			world_replace(argv[++at], equals + 1);
		} else if (!strcmp(argv[at], "--accesses") && at + 1 < argc)
			run.accesses = strtoull(argv[++at], NULL, 0);
		else if (!strcmp(argv[at], "--seed") && at + 1 < argc)
			run.seed = strtoull(argv[++at], NULL, 0);
		else
			return usage();
	}
	if (at < argc) {
		for (; at < argc; at++)
			one_device(argv[at], &run, &h);
	} else {
		struct world *w = world_new(2, 0);
		const char *names[32];
		unsigned count = 0;

		while (count < 32 && (names[count] = world_device(w, count)))
			count++;
		for (unsigned i = 0; i < count; i++)
			one_device(names[i], &run, &h);
		world_free(w);
	}
	printf("no difference between models and programs, seed %" PRIu64 "\n", run.seed);
	free(h.ops);
	return 0;
}
