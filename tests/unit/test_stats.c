// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_stats.c: which register an access counts for, sums over vCPUs, medians and 99th percentiles against
 * what was put in, the estimate of what would gain most, the file and the table.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/stats_int.h"

static void nothing(struct device *dev)
{
	(void)dev;
}

static const struct device_ops ops = {.reset = nothing, .destroy = nothing};
static const struct reg_name regs[] = {{0, 1, "low"}, {2, 2, "wide \"one\""}, {0, 0, NULL}};

struct world {
	struct clock clock;
	struct bus bus;
	struct device dev;
	struct range *range;
	struct stats *stats;
};

static int setup(void **state)
{
	static struct world w;
	struct range proto = {.name = "fake",
		.dev = &w.dev,
		.len = 8,
		.width = 4,
		.regs = regs,
		.base = 0x40,
		.mapped = true,
		.bus = IO_PIO};

	memset(&w, 0, sizeof(w));
	assert_int_equal(clock_init(&w.clock, true), 0);
	assert_int_equal(bus_init(&w.bus, &w.clock, ACCEL_OFF), 0);
	assert_int_equal(device_init(&w.dev, "fake", &ops, &w.clock, 0, 0), 0);
	w.range = bus_add(&w.bus, &proto);
	assert_non_null(w.range);
	w.stats = stats_new(2);
	assert_non_null(w.stats);
	assert_int_equal(stats_attach(w.stats, &w.bus), 0);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	bus_destroy(&w->bus);
	stats_free(w->stats);
	device_cleanup(&w->dev);
	clock_destroy(&w->clock);
	return 0;
}

static void note(struct world *w, uint32_t offset, unsigned cpu, bool is_write, enum bus_outcome outcome,
	uint64_t ticks, uint32_t elements)
{
	struct io_req req = {.io = {.offset = offset, .vcpu = cpu, .is_write = is_write, .size = 1}, .count = elements};

	stats_note(
		outcome == BUS_UNCLAIMED ? w->bus.unclaimed[IO_PIO] : w->range->stats, &req, outcome, ticks, elements);
}

static json_t *report(struct world *w, const char *accel)
{
	struct stats_run run = {.cpu = "test",
		.accel = accel,
		.cpus = 2,
		.has_ended = true,
		.status = "ended",
		.reason = "a \"quote\" and a \\ and no UTF-8: \xff"};
	json_t *json = stats_json(w->stats, &w->bus, &run);

	assert_non_null(json);
	return json;
}

/* A register in one direction; borrowed. */
static json_t *reg_of(json_t *json, const char *range, const char *name, const char *direction)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(json, "registers"), i, entry)
	{
		if (strcmp(json_string_value(json_object_get(entry, "range")), range) == 0 &&
			strcmp(json_string_value(json_object_get(entry, "name")), name) == 0)
			return json_object_get(entry, direction);
	}
	fail_msg("no %s %s", range, name);
	return NULL;
}

static long long count_of(json_t *row, const char *key)
{
	assert_true(json_is_integer(json_object_get(row, key)));
	return (long long)json_integer_value(json_object_get(row, key));
}

static double ns_of(json_t *row, const char *who, const char *which)
{
	return json_number_value(json_object_get(json_object_get(row, who), which));
}

static void test_registers(void **state)
{
	struct world *w = *state;
	json_t *json, *row;

	note(w, 0, 0, false, BUS_MODEL, 100, 1);
	note(w, 0, 1, false, BUS_ANSWERED, 100, 1);
	note(w, 0, 1, false, BUS_PUNTED, 100, 1);
	note(w, 2, 0, true, BUS_MODEL, 100, 1);
	note(w, 3, 1, true, BUS_MODEL, 100, 256); /* a string */
	note(w, 1, 0, false, BUS_MODEL, 100, 1);  /* between the two: other */
	note(w, 7, 0, false, BUS_MODEL, 100, 1);
	note(w, 5, 0, false, BUS_UNCLAIMED, 100, 1);
	json = report(w, "off");
	assert_int_equal(count_of(json, "accesses"), 263);
	row = reg_of(json, "fake", "low", "read");
	assert_int_equal(count_of(row, "accesses"), 3);
	assert_int_equal(count_of(row, "answered"), 1);
	assert_int_equal(count_of(row, "punted"), 1);
	assert_int_equal(count_of(reg_of(json, "fake", "low", "write"), "accesses"), 0);
	assert_true(json_is_null(json_object_get(reg_of(json, "fake", "low", "write"), "model")));
	assert_int_equal(count_of(reg_of(json, "fake", "wide \"one\"", "write"), "accesses"), 257);
	assert_int_equal(count_of(reg_of(json, "fake", "other", "read"), "accesses"), 2);
	assert_int_equal(count_of(reg_of(json, "unclaimed", "other", "read"), "unclaimed"), 1);
	assert_string_equal(json_string_value(json_object_get(json, "end")), "a \"quote\" and a \\ and no UTF-8: ?");
	json_decref(json);
}

/* The file is the same report; one that cannot be written is an error in words. */
static void test_file(void **state)
{
	struct world *w = *state;
	char path[] = "/tmp/hotreg-stats.XXXXXX";
	json_t *json, *read_back;
	struct accel_err err;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	note(w, 0, 0, false, BUS_MODEL, 100, 1);
	json = report(w, "on");
	assert_int_equal(stats_write_json(json, path, &err), 0);
	read_back = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(read_back);
	assert_int_equal(count_of(reg_of(read_back, "fake", "low", "read"), "accesses"), 1);
	json_decref(read_back);
	unlink(path);
	assert_int_equal(stats_write_json(json, "/dev/full", &err), -EIO);
	assert_non_null(strstr(err.text, "is the disk full?"));
	assert_int_equal(stats_write_json(json, "/no/such/file", &err), -EIO);
	assert_non_null(strstr(err.text, "cannot create"));
	json_decref(json);
}

static void test_percentiles(void **state)
{
	struct world *w = *state;
	double p50, p99, other;
	json_t *json, *row;

	/* low: 980 of 10^6 ticks on two vCPUs, 20 of 10^8: median and 99 % are 1 to 100 */
	for (unsigned i = 0; i < 980; i++)
		note(w, 0, i % 2, false, BUS_MODEL, 1000000, 1);
	for (unsigned i = 0; i < 20; i++)
		note(w, 0, 0, false, BUS_MODEL, 100000000, 1);
	/* wide: 3 * 10^6 in all */
	note(w, 2, 0, false, BUS_MODEL, 3000000, 1);
	json = report(w, "off");
	row = reg_of(json, "fake", "low", "read");
	p50 = ns_of(row, "model", "p50_ns");
	p99 = ns_of(row, "model", "p99_ns");
	other = ns_of(reg_of(json, "fake", "wide \"one\"", "read"), "model", "p50_ns");
	assert_true(p50 > 0);
	assert_true(fabs(p99 / p50 - 100) < 5); /* buckets are 1/32 wide */
	assert_true(fabs(other / p50 - 3) < 0.15);
	json_decref(json);
}

/*
 * What would gain most, by hand. A program takes 50 ns; low reads go to the model 100 times for 150 ns each,
 * wide reads 300 times but for no longer than a program, wide writes a few times for very long, which is counted
 * as 500 ns each.
 */
static void test_next(void **state)
{
	struct world *w = *state;
	const double tick = stats_ns_per_tick(w->stats);
	const uint64_t none = w->stats->overhead_ticks; /* is subtracted */
	const uint64_t fast = none + (uint64_t)(50 / tick), slow = none + (uint64_t)(150 / tick);
	json_t *json, *next;
	double gain;

	note(w, 0, 0, false, BUS_ANSWERED, 1000 * fast, 1000);
	note(w, 0, 0, false, BUS_MODEL, 100 * slow, 100);
	note(w, 2, 0, false, BUS_PUNTED, 300 * fast, 300);
	note(w, 2, 1, true, BUS_MODEL, 10000 * slow, 10);
	note(w, 2, 1, false, BUS_UNCLAIMED, 1000 * slow, 100000); /* has no device */
	json = report(w, "on");
	next = json_object_get(json, "next");
	assert_int_equal(json_array_size(next), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(next, 0), "name")), "low");
	assert_int_equal(count_of(json_array_get(next, 0), "by_model"), 100);
	gain = json_number_value(json_object_get(json_array_get(next, 0), "gain_ns"));
	assert_true(fabs(gain / 10000 - 1) < 0.2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(next, 1), "access")), "write");
	gain = json_number_value(json_object_get(json_array_get(next, 1), "gain_ns"));
	assert_true(fabs(gain - 5000) < 1);
	assert_true(fabs(json_number_value(json_object_get(json_array_get(next, 0), "share")) - 10000.0 / 15000) < 0.1);
	json_decref(json);
	json = report(w, "check"); /* where times say nothing */
	assert_int_equal(json_array_size(json_object_get(json, "next")), 0);
	json_decref(json);
}

/* Off and on again: nothing is lost, nothing counted in between. */
static void test_switch(void **state)
{
	struct world *w = *state;
	json_t *json;

	assert_null(w->bus.stats);
	stats_switch(w->stats, &w->bus, true);
	assert_ptr_equal(w->bus.stats, w->stats);
	json = report(w, "on");
	assert_true(json_is_true(json_object_get(json, "counting")));
	json_decref(json);
	stats_switch(w->stats, &w->bus, false);
	assert_null(w->bus.stats);
}

/* The table: of a report, of a part of one, and of something else. */
static void test_table(void **state)
{
	struct world *w = *state;
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	json_t *json;

	note(w, 0, 0, false, BUS_MODEL, 1000000, 7);
	json = report(w, "on");
	stats_print(json, out);
	fflush(out);
	assert_non_null(strstr(text, "fake low"));
	assert_non_null(strstr(text, "gain most next"));
	assert_non_null(strstr(text, "fake low, read: 7 by the model"));
	json_object_del(json, "next");
	json_object_set_new(
		json, "registers", json_pack("[i, {}, n, {s:n, s:{s:i}}]", 1, "range", "read", "accesses", 1));
	stats_print(json, out);
	json_decref(json);
	json = json_pack("[]");
	stats_print(json, out);
	stats_print(NULL, out);
	json_decref(json);
	fclose(out);
	free(text);
}

/* A tick is what the clock says it is: a busy wait of 20 ms counts as 20 ms. */
static void test_unit(void **state)
{
	struct world *w = *state;
	const struct accel_clock host = {.is_virtual = false};
	uint64_t start = accel_clock_now(&host), ticks = stats_ticks(), ns;
	json_t *json;
	double p50;

	while (accel_clock_now(&host) - start < 20000000)
		;
	ticks = stats_ticks() - ticks;
	ns = accel_clock_now(&host) - start;
	note(w, 0, 0, true, BUS_MODEL, ticks, 1);
	json = report(w, "off");
	p50 = ns_of(reg_of(json, "fake", "low", "write"), "model", "p50_ns");
	assert_true(fabs(p50 / (double)ns - 1) < 0.1);
	json_decref(json);
}

static void test_extremes(void **state)
{
	struct world *w = *state;
	json_t *json;

	note(w, 0, 0, false, BUS_MODEL, 0, 1);
	note(w, 0, 0, false, BUS_MODEL, ~0ull, 1);
	note(w, 0, 0, false, BUS_MODEL, 5, 1000); /* less than a tick for each */
	note(w, 0xffffffff, 0, false, BUS_MODEL, 1, 1);
	json = report(w, "off");
	assert_int_equal(count_of(reg_of(json, "fake", "low", "read"), "accesses"), 1002);
	assert_true(ns_of(reg_of(json, "fake", "low", "read"), "model", "p50_ns") >= 0);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_percentiles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extremes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table, setup, teardown),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
