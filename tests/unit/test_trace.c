// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_trace.c: the text form of accesses: good lines, a table of bad ones, bytes that are no
 * text, and that what the writer writes the parser reads back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/text.h"
#include "vmm/trace.h"

static int parse(const char *text, struct trace_script *script, struct accel_err *err)
{
	/* exactly its bytes, so that the sanitizer sees a read past the end */
	size_t length = strlen(text);
	char *bytes = malloc(length ? length : 1);
	int rc;

	assert_non_null(bytes);
	memcpy(bytes, text, length);
	rc = trace_script_parse("file", bytes, length, script, err);
	free(bytes);
	return rc;
}

static void test_good(void **state)
{
	struct trace_script s;
	struct accel_err err;

	(void)state;
	assert_int_equal(parse("# a comment\n"
			       "\n"
			       "  \t \r\n"
			       "0 r pio 0x40 1 0xff\n"
			       "10\tw  mmio 0xFED000f0 8 0xffffffffffffffff # to the end\r\n"
			       "10 r pio 0xffff 3 ?#comment\n"
			       "9223372036854775807 r mmio 0xffffffffffffffff 8 0x0",
				 &s, &err),
		0);
	assert_int_equal(s.count, 4);
	assert_int_equal(s.lines[0].line, 4);
	assert_int_equal(s.lines[0].bus, IO_PIO);
	assert_false(s.lines[0].is_write);
	assert_true(s.lines[0].has_value);
	assert_int_equal(s.lines[0].value, 0xff);
	assert_int_equal(s.lines[1].time_ns, 10);
	assert_int_equal(s.lines[1].addr, 0xfed000f0);
	assert_int_equal(s.lines[1].size, 8);
	assert_int_equal(s.lines[1].value, ~0ull);
	assert_true(s.lines[1].is_write);
	assert_false(s.lines[2].has_value);
	assert_int_equal(s.lines[3].line, 7); /* the last line needs no newline */
	trace_script_free(&s);
	assert_int_equal(parse("", &s, &err), 0);
	assert_int_equal(s.count, 0);
	trace_script_free(&s);
}

struct bad {
	const char *text;
	const char *message;
};

static const struct bad table[] = {
	{"x", "file:1: an access has six fields"}, {"0 r pio 0x40 1", "file:1: an access has six fields"},
	{"0 r pio 0x40 1 0x0 0x0", "file:1: an access has six fields"},
	{"\n\n# c\nx y z a b c\n", "file:4: TIME_NS is a decimal number"},
	{"-1 r pio 0x40 1 0x0", "TIME_NS is a decimal number"},
	{"9223372036854775808 r pio 0x40 1 0x0", "TIME_NS is a decimal number of nanoseconds below 2^63"},
	{"99999999999999999999999 r pio 0x40 1 0x0", "TIME_NS"},
	{"0 x pio 0x40 1 0x0", "the second field is r or w, not 'x'"},
	{"0 rw pio 0x40 1 0x0", "the second field is r or w, not 'rw'"},
	{"0 r isa 0x40 1 0x0", "the bus is pio or mmio, not 'isa'"},
	{"0 r pio 40 1 0x0", "ADDR is hexadecimal with 0x, not '40'"}, {"0 r pio 0x 1 0x0", "ADDR is hexadecimal"},
	{"0 r pio 0x10000 1 0x0", "a port is at most 0xffff"},
	{"0 r mmio 0x10000000000000000 1 0x0", "ADDR is hexadecimal"},
	{"0 r pio 0x40 0 0x0", "SIZE is 1 to 8, not '0'"}, {"0 r pio 0x40 9 0x0", "SIZE is 1 to 8"},
	{"0 r pio 0x40 4294967297 0x0", "SIZE is 1 to 8"}, {"0 r pio 0x40 1 0x100", "VALUE does not fit SIZE"},
	{"0 r pio 0x40 1 5", "VALUE is hexadecimal with 0x, or ?"}, {"0 w pio 0x40 1 ?", "a write needs a value"},
	{"5 r pio 0x40 1 ?\n4 r pio 0x40 1 ?", "file:2: time goes back from 5 to 4 ns"},
	{"0 \x01\x1b[2J pio 0x40 1 ?", "not '..[2J'"}, /* nothing of it reaches the terminal as it is */
};

static void test_bad(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct accel_err err = {.text = ""};
		struct trace_script s;
		int rc = parse(table[i].text, &s, &err);

		if (rc != -EINVAL || !strstr(err.text, table[i].message))
			fail_msg("'%s' gave %d and \"%s\", wanted \"%s\"", table[i].text, rc, err.text,
				table[i].message);
		assert_null(s.lines);
	}
}

/* Lines of random bytes, zero bytes included: refused or parsed, never more than that. */
static void test_noise(void **state)
{
	static const char alphabet[] = "0123456789abcfx rwpiom?#\n\t\0\xff";
	uint32_t seed = 1;
	char text[256];

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		struct trace_script s;
		struct accel_err err;
		size_t length;

		seed = seed * 1664525 + 1013904223;
		length = seed >> 24;
		for (size_t i = 0; i < length; i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		if (trace_script_parse("noise", text, length, &s, &err) == 0)
			trace_script_free(&s);
	}
}

static void test_write_and_read_back(void **state)
{
	char path[] = "/tmp/hotreg-trace.XXXXXX";
	uint16_t words[3] = {0x1111, 0x2222, 0x3333};
	struct io_req one = {.io = {.size = 4, .result = 0x12345678}, .addr = 0xfed000f0, .bus = IO_MMIO, .count = 1};
	struct io_req out = {.io = {.size = 1, .is_write = 1, .value = 0x34}, .addr = 0x43, .bus = IO_PIO, .count = 1};
	struct io_req string = {.io = {.size = 2}, .addr = 0x1f0, .bus = IO_PIO, .count = 3, .data = words};
	struct trace_script s;
	struct accel_err err;
	struct trace *trace;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(trace_open(path, 1000, &trace, &err), 0);
	trace_access(trace, 1000, &one);
	trace_access(trace, 5000, &out);
	trace_access(trace, 4000, &string); /* another vCPU, a little late: time does not go back */
	assert_int_equal(trace_close(trace, &err), 0);
	assert_int_equal(trace_script_load(path, &s, &err), 0);
	unlink(path);
	assert_int_equal(s.count, 5);
	assert_int_equal(s.lines[0].time_ns, 0);
	assert_int_equal(s.lines[0].addr, 0xfed000f0);
	assert_int_equal(s.lines[0].value, 0x12345678);
	assert_int_equal(s.lines[0].bus, IO_MMIO);
	assert_true(s.lines[1].is_write);
	assert_int_equal(s.lines[1].time_ns, 4000);
	assert_int_equal(s.lines[1].value, 0x34);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(s.lines[2 + i].time_ns, 4000);
		assert_int_equal(s.lines[2 + i].value, words[i]);
		assert_int_equal(s.lines[2 + i].size, 2);
	}
	trace_script_free(&s);
}

static void test_files(void **state)
{
	struct trace *trace;
	struct trace_script s;
	struct accel_err err;
	struct io_req req = {.io = {.size = 1}, .bus = IO_PIO, .count = 1};

	(void)state;
	assert_true(trace_open("/nonexistent/trace", 0, &trace, &err) < 0);
	assert_non_null(strstr(err.text, "cannot create the trace file /nonexistent/trace: No such file"));
	assert_null(trace);
	assert_true(trace_script_load("/nonexistent/script", &s, &err) < 0);
	assert_non_null(strstr(err.text, "cannot read the script"));
	assert_int_equal(trace_close(NULL, &err), 0);
	if (access("/dev/full", W_OK) != 0) {
		print_message("skipped: no /dev/full\n");
		skip();
	}
	assert_int_equal(trace_open("/dev/full", 0, &trace, &err), 0);
	trace_access(trace, 0, &req);
	assert_true(trace_close(trace, &err) < 0);
	assert_non_null(strstr(err.text, "is not complete: No space left"));
}

static void test_numbers(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_true(text_parse_u64("18446744073709551615", 20, 10, &v));
	assert_int_equal(v, UINT64_MAX);
	assert_false(text_parse_u64("18446744073709551616", 20, 10, &v));
	assert_true(text_parse_u64("ffffFFFFffffFFFF", 16, 16, &v));
	assert_int_equal(v, UINT64_MAX);
	assert_false(text_parse_u64("10000000000000000", 17, 16, &v));
	assert_false(text_parse_u64("", 0, 10, &v));
	assert_false(text_parse_u64("1a", 2, 10, &v));
	assert_false(text_parse_u64("+1", 2, 10, &v));
	assert_false(text_parse_u64(" 1", 2, 10, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_write_and_read_back),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
