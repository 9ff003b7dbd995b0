/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd.c: `hotreg prog verify` and `hotreg prog dump`, for those who write programs. Objects
 * are loaded without a verdict, so that every program gets its own and a refused one can be
 * dumped; nothing here runs a program.
 */
#include "accel/progcmd.h"
#include "accel/object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ACCEPTED = 0, REFUSED = 1, USAGE = 2 };

static const char usage[] =
	"usage: hotreg prog verify FILE.bpf.o [PROGRAM]\n"
	"       hotreg prog dump FILE.bpf.o [PROGRAM]\n"
	"\n"
	"verify  judges the programs of an object as hotreg does before it runs them, and prints for\n"
	"        each: its effect (pure or stateful), whether it reads the time, its instructions, the\n"
	"        longest path, and how long the verdict took\n"
	"dump    prints their instructions with the source lines, also of refused programs\n"
	"\n"
	"Exit status: 0 accepted (or dumped), 1 refused, 2 usage or an unreadable file.\n";

/* The verdict comes later, one program at a time. */
static int judge_later(struct prog *p, struct accel_err *err)
{
	(void)p, (void)err;
	return 0;
}

static int verify_one(const struct accel_object *obj, const struct prog *linked, struct accel_err *err)
{
	struct prog p = *linked;

	if (verify_prog(&p, err)) {
		printf("%-16s refused\n", p.name);
		fflush(stdout);
		fprintf(stderr, "hotreg: %s: %s: %s\n", accel_object_name(obj), p.name, err->text);
		return REFUSED;
	}
	printf("%-16s accepted  %s, %s; %" PRIu32 " instructions, at most %" PRIu64 " on a path; %" PRIu32
	       " states in %.3f ms\n",
		p.name, p.effect == ACCEL_PURE ? "pure" : "stateful", p.reads_time ? "reads time" : "no time",
		p.insn_count, p.worst_case, p.states, (double)p.verify_ns / 1e6);
	return ACCEPTED;
}

static int open_object(const char *path, struct accel_object **obj, struct accel_err *err)
{
	void *image;
	size_t size;
	int rc = accel_read_file(path, &image, &size, err);

	if (rc) {
		fprintf(stderr, "hotreg: %s\n", err->text);
		return USAGE;
	}
	rc = accel_object_open_judged(path, image, size, judge_later, obj, err);
	free(image);
	if (rc)
		fprintf(stderr, "hotreg: %s\n", err->text);
	return rc ? REFUSED : 0;
}

static int for_programs(const char *path, const char *only, bool verify, struct accel_err *err)
{
	struct accel_object *obj;
	const struct prog *p;
	int status = open_object(path, &obj, err);

	if (status)
		return status;
	if (only && !accel_object_find_prog(obj, only)) {
		fprintf(stderr, "hotreg: %s: no program %s; there is", path, only);
		for (unsigned i = 0; (p = accel_object_prog(obj, i)); i++)
			fprintf(stderr, "%s %s", i ? "," : "", p->name);
		fprintf(stderr, "\n");
		status = USAGE;
	}
	for (unsigned i = 0; status != USAGE && (p = accel_object_prog(obj, i)); i++) {
		if (only && strcmp(only, p->name))
			continue;
		if (verify) {
			status |= verify_one(obj, p, err);
		} else {
			if (i && !only)
				printf("\n");
			disasm_prog(p, stdout);
		}
	}
	accel_object_put(obj);
	return status;
}

static bool is_help(const char *arg)
{
	return !strcmp(arg, "--help") || !strcmp(arg, "-h") || !strcmp(arg, "help");
}

int prog_command(int argc, char **argv)
{
	struct accel_err *err;
	bool verify;
	int status;

	for (int i = 1; i < argc; i++) {
		if (is_help(argv[i])) {
			fputs(usage, stdout);
			return ACCEPTED;
		}
	}
	verify = argc > 1 && !strcmp(argv[1], "verify");
	if (argc > 1 && !verify && strcmp(argv[1], "dump")) {
		fprintf(stderr, "hotreg: prog has no command '%s': use verify or dump, see hotreg prog --help\n",
			argv[1]);
		return USAGE;
	}
	if (argc < 3 || argc > 4) {
		fprintf(stderr,
			"hotreg: prog takes a command, an object file and perhaps a program: see hotreg prog --help\n");
		return USAGE;
	}
	err = calloc(1, sizeof(*err));
	if (!err) {
		fprintf(stderr, "hotreg: out of memory\n");
		return USAGE;
	}
	status = for_programs(argv[2], argc > 3 ? argv[3] : NULL, verify, err);
	free(err);
	if (fflush(stdout)) {
		fprintf(stderr, "hotreg: cannot write the output: %s\n", strerror(errno));
		return USAGE;
	}
	return status;
}
