// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_stats.c: which register an access counts for, sums over vCPUs, and medians and 99th
 * percentiles against what was put in.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/stats.h"
#include "vmm/text.h"

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

static char *json(struct world *w)
{
	char path[] = "/tmp/hotreg-stats.XXXXXX";
	struct stats_run run = {.cpu = "test", .accel = "off", .cpus = 2, .reason = "a \"quote\" and a \\"};
	struct accel_err err;
	size_t length;
	void *text;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(stats_write_json(w->stats, &w->bus, &run, path, &err), 0);
	assert_int_equal(text_read_file(path, 1 << 20, &text, &length), 0);
	unlink(path);
	return text;
}

/* The number after `key` after `from`. */
static double number(const char *text, const char *from, const char *key)
{
	const char *at = strstr(text, from);

	if (at)
		at = strstr(at, key);
	if (!at)
		fail_msg("no %s after %s in:\n%s", key, from, text);
	return strtod(at + strlen(key), NULL);
}

static void test_registers(void **state)
{
	struct world *w = *state;
	char *text;

	note(w, 0, 0, false, BUS_MODEL, 100, 1);
	note(w, 0, 1, false, BUS_ANSWERED, 100, 1);
	note(w, 0, 1, false, BUS_PUNTED, 100, 1);
	note(w, 2, 0, true, BUS_MODEL, 100, 1);
	note(w, 3, 1, true, BUS_MODEL, 100, 256); /* a string */
	note(w, 1, 0, false, BUS_MODEL, 100, 1);  /* between the two: other */
	note(w, 7, 0, false, BUS_MODEL, 100, 1);
	note(w, 5, 0, false, BUS_UNCLAIMED, 100, 1);
	text = json(w);
	assert_int_equal((int)number(text, "\"accesses\"", ": "), 263);
	assert_int_equal((int)number(text, "\"low\"", "\"read\": {\"accesses\": "), 3);
	assert_int_equal((int)number(text, "\"low\"", "\"answered\": "), 1);
	assert_int_equal((int)number(text, "\"low\"", "\"punted\": "), 1);
	assert_int_equal((int)number(text, "\"low\"", "\"write\": {\"accesses\": "), 0);
	assert_int_equal((int)number(text, "\"wide \\\"one\\\"\"", "\"write\": {\"accesses\": "), 257);
	assert_int_equal((int)number(text, "\"name\": \"other\"", "\"read\": {\"accesses\": "), 2);
	assert_int_equal((int)number(text, "\"range\": \"unclaimed\"", "\"unclaimed\": "), 1);
	assert_non_null(strstr(text, "\"end\": \"a \\\"quote\\\" and a \\\\\""));
	free(text);
}

static void test_percentiles(void **state)
{
	struct world *w = *state;
	double p50, p99, other;
	char *text;

	/* low: 980 of 10^6 ticks on two vCPUs, 20 of 10^8: median and 99 % are 1 to 100 */
	for (unsigned i = 0; i < 980; i++)
		note(w, 0, i % 2, false, BUS_MODEL, 1000000, 1);
	for (unsigned i = 0; i < 20; i++)
		note(w, 0, 0, false, BUS_MODEL, 100000000, 1);
	/* wide: 3 * 10^6 in all */
	note(w, 2, 0, false, BUS_MODEL, 3000000, 1);
	text = json(w);
	p50 = number(text, "\"low\"", "\"p50_ns\": ");
	p99 = number(text, "\"low\"", "\"p99_ns\": ");
	other = number(text, "\"wide", "\"p50_ns\": ");
	assert_true(p50 > 0);
	assert_true(fabs(p99 / p50 - 100) < 5); /* buckets are 1/32 wide */
	assert_true(fabs(other / p50 - 3) < 0.15);
	free(text);
}

/* A tick is what the clock says it is: a busy wait of 20 ms counts as 20 ms. */
static void test_unit(void **state)
{
	struct world *w = *state;
	const struct accel_clock host = {.is_virtual = false};
	uint64_t start = accel_clock_now(&host), ticks = stats_ticks(), ns;
	double p50;
	char *text;

	while (accel_clock_now(&host) - start < 20000000)
		;
	ticks = stats_ticks() - ticks;
	ns = accel_clock_now(&host) - start;
	note(w, 0, 0, true, BUS_MODEL, ticks, 1);
	text = json(w);
	p50 = number(text, "\"low\"", "\"write\": {\"accesses\": 1");
	p50 = number(strstr(text, "\"write\": {\"accesses\": 1"), "model", "\"p50_ns\": ");
	assert_true(fabs(p50 / (double)ns - 1) < 0.1);
	free(text);
}

static void test_extremes(void **state)
{
	struct world *w = *state;
	char *text;

	note(w, 0, 0, false, BUS_MODEL, 0, 1);
	note(w, 0, 0, false, BUS_MODEL, ~0ull, 1);
	note(w, 0, 0, false, BUS_MODEL, 5, 1000); /* less than a tick for each */
	note(w, 0xffffffff, 0, false, BUS_MODEL, 1, 1);
	text = json(w);
	assert_int_equal((int)number(text, "\"low\"", "\"read\": {\"accesses\": "), 1002);
	assert_true(number(text, "\"low\"", "\"p50_ns\": ") >= 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_percentiles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extremes, setup, teardown),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
