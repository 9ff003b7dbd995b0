/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_progcmd.c: `hotreg prog` as somebody at a terminal meets it: exit status, what goes to
 * stdout and what to stderr, for good, refused, missing and senseless arguments. The verdicts are
 * the real verifier's. The objects lie in ../obj of the test's own folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "accel/progcmd.h"

static char obj_dir[512];

struct output {
	int status;
	char out[65536];
	char err[8192];
};

static int to_file(int fd, FILE *to)
{
	int old = dup(fd);

	assert_true(old >= 0 && dup2(fileno(to), fd) == fd);
	return old;
}

static void collect(FILE *from, char *text, size_t size)
{
	size_t n;

	rewind(from);
	n = fread(text, 1, size - 1, from);
	text[n] = 0;
	fclose(from);
}

static void run(struct output *o, const char *command, const char *object, const char *program)
{
	char path[600], name[] = "prog", verb[32], which[64];
	char *argv[5] = {name};
	FILE *out = tmpfile(), *err = tmpfile();
	int argc = 1, old_out, old_err;

	snprintf(path, sizeof(path), "%s%s%s", object && *object != '/' ? obj_dir : "",
		object && *object != '/' ? "/" : "", object ? object : "");
	snprintf(verb, sizeof(verb), "%s", command ? command : "");
	snprintf(which, sizeof(which), "%s", program ? program : "");
	if (command)
		argv[argc++] = verb;
	if (object)
		argv[argc++] = path;
	if (program)
		argv[argc++] = which;
	assert_non_null(out);
	assert_non_null(err);
	fflush(stdout);
	old_out = to_file(1, out);
	old_err = to_file(2, err);
	o->status = prog_command(argc, argv);
	fflush(stdout);
	assert_true(dup2(old_out, 1) == 1 && dup2(old_err, 2) == 2);
	close(old_out);
	close(old_err);
	collect(out, o->out, sizeof(o->out));
	collect(err, o->err, sizeof(o->err));
}

static void test_verify(void **state)
{
	static struct output o;

	(void)state;
	run(&o, "verify", "good.bpf.o", NULL);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	assert_non_null(strstr(o.out, "compute          accepted  pure, reads time; "));
	assert_non_null(strstr(o.out, "count            accepted  stateful, no time; "));
	run(&o, "verify", "good.bpf.o", "count");
	assert_int_equal(o.status, 0);
	assert_null(strstr(o.out, "compute"));
	run(&o, "verify", "good.bpf.o", "inner");
	assert_int_equal(o.status, 2);
	assert_non_null(strstr(o.err, "no program inner; there is compute, count, text\n"));
}

/* Refused by the loader: one sentence. By the verifier: its reasons, and the others still judged. */
static void test_refused(void **state)
{
	static struct output o;

	(void)state;
	run(&o, "verify", "refused_pointer.bpf.o", NULL);
	assert_int_equal(o.status, 1);
	assert_string_equal(o.out, "");
	assert_non_null(strstr(o.err, "hotreg: "));
	assert_non_null(strstr(o.err, "state field p is a pointer"));
	run(&o, "verify", "refused_reads_beyond.bpf.o", NULL);
	assert_int_equal(o.status, 1);
	assert_non_null(strstr(o.out, "beyond           refused\n"));
	assert_non_null(strstr(o.out, "prog             accepted  pure, no time; "));
	assert_non_null(strstr(o.err, ": beyond: "));
	assert_non_null(strstr(o.err, "refused.bpf.c:"));
	run(&o, "verify", "refused_reads_beyond.bpf.o", "prog");
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	/* A refused program can be looked at. */
	run(&o, "dump", "refused_reads_beyond.bpf.o", "beyond");
	assert_int_equal(o.status, 0);
	assert_memory_equal(o.out, "beyond:\n", 8);
	assert_non_null(strstr(o.out, "(95) exit\n"));
}

static void test_usage(void **state)
{
	static struct output o;

	(void)state;
	run(&o, "--help", NULL, NULL);
	assert_int_equal(o.status, 0);
	assert_memory_equal(o.out, "usage: hotreg prog verify", 25);
	run(&o, NULL, NULL, NULL);
	assert_int_equal(o.status, 2);
	assert_non_null(strstr(o.err, "see hotreg prog --help"));
	run(&o, "verify", NULL, NULL);
	assert_int_equal(o.status, 2);
	run(&o, "check", "good.bpf.o", NULL);
	assert_int_equal(o.status, 2);
	assert_non_null(strstr(o.err, "prog has no command 'check'"));
	run(&o, "verify", "/nonexistent.bpf.o", NULL);
	assert_int_equal(o.status, 2);
	assert_string_equal(o.err, "hotreg: cannot read /nonexistent.bpf.o: No such file or directory\n");
	run(&o, "dump", "/dev/null", NULL);
	assert_int_equal(o.status, 2);
	assert_non_null(strstr(o.err, "not a regular file"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_usage),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(obj_dir, sizeof(obj_dir), "%.*s/../obj", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	return cmocka_run_group_tests_name("progcmd", tests, NULL, NULL);
}
