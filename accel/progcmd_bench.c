/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_bench.c: `hotreg prog bench`: nanoseconds for one call of a program in the interpreter and as
 * machine code, measured here, and in the running kernel (progcmd_bench_kernel.c). A figure is
 * the best of several rounds, the loop around the call subtracted. Verified programs only.
 */
#include "accel/engine.h"
#include "accel/progcmd_bench.h"
#include "accel/progcmd_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 400
/* So long that reading the clock does not count, so short that many a round is disturbed by nobody. */
#define ROUND_NS 100000

uint64_t progcmd_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* One round of `count` calls; no code: the empty loop. */
static uint64_t round_ns(const struct engine_code *code, struct hr_io *io, uint64_t count, uint64_t *verdict)
{
	uint64_t start = progcmd_now_ns();

	if (code) {
		for (uint64_t i = 0; i < count; i++)
			*verdict = engine_run(code, io);
	} else {
		for (uint64_t i = 0; i < count; i++)
			__asm__ volatile("" ::: "memory");
	}
	return progcmd_now_ns() - start;
}

static double measure(const struct engine_code *code, struct hr_io *io, uint64_t *verdict)
{
	uint64_t count = 64, ns = 0;
	double best = 0;

	while (count < UINT64_C(1) << 32 && (ns = round_ns(code, io, count, verdict)) < ROUND_NS)
		count *= ns < ROUND_NS / 16 ? 8 : 2;
	for (unsigned i = 0; i < ROUNDS; i++) {
		ns = round_ns(code, io, count, verdict);
		if (i == 0 || (double)ns / (double)count < best)
			best = (double)ns / (double)count;
	}
	return best;
}

static int measure_engine(
	const struct prog *p, enum engine_kind kind, const struct hr_io *access, double *ns, uint64_t *verdict)
{
	struct hr_io io = *access;
	struct engine_code *code;
	struct progcmd_maps maps;
	int rc = progcmd_maps_init(&maps, p->maps, p->map_count);

	if (rc)
		return rc;
	rc = engine_prepare(p, &maps.env, kind, &code);
	if (!rc) {
		*ns = measure(code, &io, verdict) - measure(NULL, &io, verdict);
		engine_free(code);
	}
	progcmd_maps_fini(&maps);
	return rc;
}

static const char *verdict_text(uint64_t verdict, char *buf, size_t size)
{
	if (verdict == HR_ANSWER)
		return "answers";
	if (verdict == HR_ANSWER_RING)
		return "rings";
	if (verdict == HR_PUNT)
		return "punts";
	snprintf(buf, size, "punts %" PRIu64, verdict >> 8);
	return buf;
}

static void cell(int rc, double ns)
{
	if (rc)
		printf(" %11s", "-");
	else
		printf(" %11.1f", ns);
}

static int bench_one(const struct prog *linked, const struct hr_io *access, const char *unusable, struct accel_err *err)
{
	struct prog p = *linked;
	double interp = 0, jit = 0, kernel = 0;
	int rc_interp, rc_jit, rc_kernel = -EPERM;
	uint64_t verdict = 0;
	char buf[32];

	if (verify_prog(&p, err) || prog_check_runnable(&p, err)) {
		fflush(stdout);
		fprintf(stderr, "hotreg: %s: %s\n", p.name, err->text);
		return PROGCMD_REFUSED;
	}
	rc_interp = measure_engine(&p, ENGINE_INTERP, access, &interp, &verdict);
	rc_jit = measure_engine(&p, ENGINE_JIT, access, &jit, &verdict);
	if (!unusable)
		rc_kernel = progcmd_kernel_bench(&p, access, &kernel, err);
	printf("%-16s %-10s", p.name, verdict_text(verdict, buf, sizeof(buf)));
	cell(rc_interp, interp);
	cell(rc_jit, jit);
	cell(rc_kernel, kernel);
	printf("\n");
	fflush(stdout);
	if (rc_interp || (rc_jit && rc_jit != -ENOTSUP)) {
		fprintf(stderr, "hotreg: %s: cannot be prepared: %s\n", p.name,
			strerror(rc_interp ? -rc_interp : -rc_jit));
		return PROGCMD_REFUSED;
	}
	if (!unusable && rc_kernel)
		fprintf(stderr, "hotreg: %s: not measured in the kernel: %s\n", p.name, err->text);
	return PROGCMD_OK;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return !errno && !*end && *out <= max;
}

static int parse(int argc, char **argv, struct hr_io *io, const char **path, const char **only)
{
	uint64_t n;

	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(argv[i], "--offset")) {
			if (!parse_number(next, UINT32_MAX, &n))
				return progcmd_usage("bench: --offset takes a number");
			io->offset = (uint32_t)n;
			i++;
		} else if (!strcmp(argv[i], "--size")) {
			if (!parse_number(next, 8, &n) || (n != 1 && n != 2 && n != 4 && n != 8))
				return progcmd_usage("bench: --size takes 1, 2, 4 or 8");
			io->size = (uint8_t)n;
			i++;
		} else if (!strcmp(argv[i], "--write")) {
			if (!parse_number(next, UINT64_MAX, &n))
				return progcmd_usage("bench: --write takes a number");
			io->value = n;
			io->is_write = 1;
			i++;
		} else if (argv[i][0] == '-') {
			return progcmd_usage("bench has no option '%s'", argv[i]);
		} else if (!*path) {
			*path = argv[i];
		} else if (!*only) {
			*only = argv[i];
		} else {
			return progcmd_usage("bench takes an object file and perhaps a program");
		}
	}
	io->value = hr_mask(io->value, io->size);
	return *path ? PROGCMD_OK : progcmd_usage("bench takes an object file and perhaps a program");
}

int progcmd_bench(int argc, char **argv, struct accel_err *err)
{
	struct hr_io access = {.size = 4};
	const char *path = NULL, *only = NULL, *unusable;
	struct accel_object *obj;
	const struct prog *p;
	int status = parse(argc, argv, &access, &path, &only);

	if (!status)
		status = progcmd_open(path, false, &obj, NULL, NULL, err);
	if (status)
		return status;
	status = progcmd_check_name(obj, path, only);
	unusable = progcmd_kernel_unusable();
	if (status != PROGCMD_USAGE)
		printf("%-16s %-10s %11s %11s %11s   ns a call\n", "program", "", "interpreter", "JIT",
			progcmd_kernel_has_jit() ? "kernel" : "kernel(int)");
	for (unsigned i = 0; status != PROGCMD_USAGE && (p = accel_object_prog(obj, i)); i++)
		if (!only || !strcmp(only, p->name))
			status |= bench_one(p, &access, unusable, err);
	if (status != PROGCMD_USAGE && unusable)
		printf("kernel: %s\n", unusable);
	if (status != PROGCMD_USAGE && !engine_has_jit())
		printf("JIT: this build has none for this processor\n");
	accel_object_put(obj);
	return status;
}
