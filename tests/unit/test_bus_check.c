// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_bus_check.c: check mode finds a program that is wrong, and only then. The runtime's entry
 * points are fakes: the "program" is a C function of the test, on a copy of the page as the real
 * one. Also how the three modes go between program and model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/bus.h"
#include "vmm/stats.h"

/* A counter that reads as time in microseconds plus `bias`; writing sets the bias. */
struct counter_page {
	struct hr_page head;
	int64_t offset_ns;
	uint64_t bias;
	uint8_t more[64];
};

struct accel_slot {
	struct device *dev;
	int (*prog)(struct counter_page *page, struct hr_io *io, uint64_t now_ns);
	struct counter_page shadow;
	unsigned runs, string_runs, elements;
};

int accel_run(struct accel_slot *slot, struct hr_io *io)
{
	if (!slot->prog)
		return 0;
	slot->runs++;
	if (slot->prog(device_page(slot->dev), io, clock_now(slot->dev->clock)) != HR_ANSWER)
		return 0;
	io->result = hr_mask(io->result, io->size);
	return HR_ANSWER;
}

/* Not ready for the inline way, so that accel_run() is called. */
void accel_hot_join(struct accel_slot *slot, struct accel_hot *hot)
{
	(void)slot;
	hot->cpu_count = 0;
}

void accel_hot_leave(struct accel_hot *hot)
{
	(void)hot;
}

int accel_hot_rest(struct accel_slot *slot, struct hr_io *io, uint64_t verdict)
{
	(void)slot;
	(void)io;
	(void)verdict;
	fail(); /* nothing goes that way here */
	return 0;
}

/* Every third element is passed on. */
uint32_t accel_run_string(struct accel_slot *slot, struct hr_io *io, uint32_t count, void *data)
{
	uint32_t done = 0;

	slot->string_runs++;
	while (done < count && slot->prog) {
		uint8_t *at = (uint8_t *)data + done * io->size;

		io->value = 0;
		if (io->is_write)
			memcpy(&io->value, at, io->size);
		if (++slot->elements % 3 == 0 || !accel_run(slot, io))
			break;
		if (!io->is_write)
			memcpy(at, &io->result, io->size);
		done++;
	}
	return done;
}

bool accel_slot_attached(const struct accel_slot *slot)
{
	return slot->prog != NULL;
}

int accel_slot_shadow(struct accel_slot *slot, struct hr_io *io, uint64_t now_ns)
{
	slot->runs++;
	memcpy(&slot->shadow, device_page(slot->dev), sizeof(slot->shadow));
	return slot->prog(&slot->shadow, io, now_ns);
}

long accel_slot_compare(const struct accel_slot *slot)
{
	const uint8_t *a = (const uint8_t *)&slot->shadow, *b = device_page(slot->dev);

	for (size_t i = sizeof(uint32_t); i < sizeof(slot->shadow); i++) {
		if (a[i] != b[i])
			return (long)i;
	}
	return -1;
}

const struct hr_page *accel_slot_shadow_page(const struct accel_slot *slot)
{
	return &slot->shadow.head;
}

void accel_slot_counters(const struct accel_slot *slot, struct accel_counters *out)
{
	(void)slot;
	memset(out, 0, sizeof(*out));
}

static enum bus_outcome noted; /* what --stats would count the last access as */
static unsigned noted_elements[BUS_OUTCOMES];

void stats_note(struct range_stats *stats, const struct io_req *req, enum bus_outcome outcome, uint64_t ticks,
	uint32_t elements)
{
	(void)stats;
	(void)req;
	(void)ticks;
	assert_true(elements > 0);
	noted = outcome;
	noted_elements[outcome] += elements;
}

/* ---- the programs ------------------------------------------------------------------------------ */

static int right(struct counter_page *page, struct hr_io *io, uint64_t now_ns)
{
	if (io->is_write) {
		page->bias = io->value;
		return HR_ANSWER;
	}
	/* bits above the size do not count */
	io->result = hr_mask(now_ns / 1000 + page->bias, io->size) | (io->size < 8 ? 0xabull << 56 : 0);
	return HR_ANSWER;
}

static int off_by_one(struct counter_page *page, struct hr_io *io, uint64_t now_ns)
{
	right(page, io, now_ns);
	io->result += now_ns % 5000 == 0 ? 1 : 0;
	return HR_ANSWER;
}

static int wrong_store(struct counter_page *page, struct hr_io *io, uint64_t now_ns)
{
	right(page, io, now_ns);
	if (io->is_write)
		page->more[40] = 7;
	return HR_ANSWER;
}

static int punts(struct counter_page *page, struct hr_io *io, uint64_t now_ns)
{
	(void)page;
	(void)now_ns;
	io->result = 0xdead; /* may be left there by a program that punts */
	return HR_PUNT_WHY(3);
}

static int punts_dirty(struct counter_page *page, struct hr_io *io, uint64_t now_ns)
{
	page->bias++;
	return punts(page, io, now_ns);
}

/* ---- the machine ------------------------------------------------------------------------------- */

struct fake {
	struct device dev;
	unsigned reads, writes;
};

struct world {
	struct clock clock;
	struct bus bus;
	struct fake fake;
	struct accel_slot slot;
};

static void model_read(struct device *dev, struct io_req *req)
{
	struct counter_page *page = device_page(dev);

	((struct fake *)dev)->reads++;
	req->io.result |= device_now(dev) / 1000 + page->bias; /* |= shows a result that was not cleared */
}

static void model_write(struct device *dev, struct io_req *req)
{
	struct counter_page *page = device_page(dev);

	((struct fake *)dev)->writes++;
	page_begin(dev);
	page->bias = req->io.value;
	page_end(dev);
}

static void nothing(struct device *dev)
{
	(void)dev;
}

static const struct device_ops ops = {.reset = nothing, .destroy = nothing};

static void build(struct world *w, enum accel_mode mode,
	int (*prog)(struct counter_page *page, struct hr_io *io, uint64_t now_ns))
{
	struct range proto = {.name = "counter",
		.dev = &w->fake.dev,
		.len = 8,
		.width = 8,
		.read = model_read,
		.write = model_write,
		.slot = &w->slot,
		.base = 0x40,
		.mapped = true,
		.bus = IO_PIO};

	memset(w, 0, sizeof(*w));
	assert_int_equal(clock_init(&w->clock, true), 0);
	assert_int_equal(bus_init(&w->bus, &w->clock, mode), 0);
	assert_int_equal(device_init(&w->fake.dev, "fake", &ops, &w->clock, 1, sizeof(struct counter_page)), 0);
	w->slot.dev = &w->fake.dev;
	w->slot.prog = prog;
	assert_non_null(bus_add(&w->bus, &proto));
	clock_advance(&w->clock, 7000000);
}

static void tear(struct world *w)
{
	bus_destroy(&w->bus);
	device_cleanup(&w->fake.dev);
	clock_destroy(&w->clock);
}

static uint64_t rd(struct world *w, unsigned size)
{
	struct io_req req = {.io = {.size = (uint8_t)size}, .addr = 0x40, .bus = IO_PIO, .count = 1};

	bus_io(&w->bus, &req);
	return req.io.result;
}

static void wr(struct world *w, unsigned size, uint64_t value)
{
	struct io_req req = {
		.io = {.size = (uint8_t)size, .is_write = 1, .value = value}, .addr = 0x40, .bus = IO_PIO, .count = 1};

	bus_io(&w->bus, &req);
}

/* Runs with stderr in a file; its text is to be freed. */
static char *stderr_of(void (*run)(struct world *w), struct world *w)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	char *text = calloc(1, 8192);

	assert_true(file && saved >= 0 && text);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	run(w);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	assert_true(fread(text, 1, 8191, file) < 8191);
	fclose(file);
	return text;
}

static void test_on(void **state)
{
	struct world w;

	(void)state;
	build(&w, ACCEL_ON, right);
	assert_int_equal(rd(&w, 4), 7000);
	wr(&w, 4, 5);
	assert_int_equal(rd(&w, 8), 7005);
	assert_int_equal(w.fake.reads + w.fake.writes, 0); /* the model was not needed */
	w.slot.prog = punts;
	assert_int_equal(rd(&w, 8), 7005); /* and what the punt left behind is gone */
	assert_int_equal(w.fake.reads, 1);
	assert_int_equal(bus_check_divergences(&w.bus), 0);
	tear(&w);
}

/* What is counted: only what a program was asked for can be a punt. */
static void test_outcomes(void **state)
{
	struct world w;
	struct stats *some = (struct stats *)&w; /* only that there is one matters */

	(void)state;
	build(&w, ACCEL_ON, right);
	bus_set_watchers(&w.bus, NULL, some);
	rd(&w, 4);
	assert_int_equal(noted, BUS_ANSWERED);
	w.slot.prog = punts;
	rd(&w, 4);
	assert_int_equal(noted, BUS_PUNTED);
	w.slot.prog = NULL;
	assert_int_equal(rd(&w, 4), 7000);
	assert_int_equal(noted, BUS_MODEL);
	bus_set_mode(&w.bus, ACCEL_OFF);
	w.slot.prog = right;
	rd(&w, 4);
	assert_int_equal(noted, BUS_MODEL);
	bus_unmap(&w.bus, bus_find_name(&w.bus, "counter"));
	rd(&w, 4);
	assert_int_equal(noted, BUS_UNCLAIMED);
	tear(&w);
}

/* A string: one call of the runtime up to each punt, whose element is the model's; with stats the same, and counted. */
static void test_string(void **state)
{
	static const enum accel_mode modes[] = {ACCEL_ON, ACCEL_OFF, ACCEL_CHECK};

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		const enum accel_mode mode = modes[i / 2];
		uint16_t words[9] = {0};
		struct io_req req = {.io = {.size = 2}, .addr = 0x40, .bus = IO_PIO, .count = 8, .data = words};
		struct world w;

		build(&w, mode, right);
		bus_set_watchers(&w.bus, NULL, i & 1 ? (struct stats *)&w : NULL);
		memset(noted_elements, 0, sizeof(noted_elements));
		bus_io(&w.bus, &req);
		for (unsigned n = 0; n < 8; n++)
			assert_int_equal(words[n], 7000);
		assert_int_equal(words[8], 0);
		assert_int_equal(w.slot.string_runs, mode == ACCEL_ON ? 3 : 0);
		assert_int_equal(w.slot.runs, mode == ACCEL_ON ? 6 : mode == ACCEL_OFF ? 0 : 8);
		assert_int_equal(w.fake.reads, mode == ACCEL_ON ? 2 : 8);
		assert_int_equal(noted_elements[BUS_PUNTED], i == 1 ? 2 : 0);
		assert_int_equal(noted_elements[BUS_ANSWERED], i == 1 ? 6 : i == 5 ? 8 : 0);
		assert_int_equal(noted_elements[BUS_MODEL], i == 3 ? 8 : 0);
		req.io.is_write = 1;
		for (uint16_t n = 0; n < 8; n++)
			words[n] = (uint16_t)(n + 1);
		w.slot.elements = 0;
		bus_io(&w.bus, &req);
		assert_int_equal(((struct counter_page *)device_page(&w.fake.dev))->bias, 8); /* the last of them */
		assert_int_equal(w.fake.writes, mode == ACCEL_ON ? 2 : 8);
		tear(&w);
	}
}

static void test_off(void **state)
{
	struct world w;

	(void)state;
	build(&w, ACCEL_OFF, off_by_one);
	assert_int_equal(rd(&w, 4), 7000);
	assert_int_equal(w.slot.runs, 0);
	assert_int_equal(w.fake.reads, 1);
	tear(&w);
}

static void run_agreeing(struct world *w)
{
	for (unsigned i = 0; i < 100; i++) {
		wr(w, 4, i);
		clock_advance(&w->clock, clock_now(&w->clock) + 123);
		assert_int_equal(rd(w, 2), (clock_now(&w->clock) / 1000 + i) & 0xffff);
	}
}

static void test_agrees(void **state)
{
	struct world w;
	char *text;

	(void)state;
	build(&w, ACCEL_CHECK, right);
	text = stderr_of(run_agreeing, &w);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(bus_check_divergences(&w.bus), 0);
	assert_int_equal(w.slot.runs, 200);
	assert_int_equal(w.fake.reads, 100);
	assert_int_equal(w.fake.writes, 100);
	assert_false(w.fake.dev.is_frozen);
	tear(&w);
}

static void run_three_reads(struct world *w)
{
	assert_int_equal(rd(w, 4), 7000); /* the model's answer */
	assert_int_equal(rd(w, 4), 7000);
	clock_advance(&w->clock, 7001000);
	assert_int_equal(rd(w, 4), 7001); /* right here */
}

static void test_wrong_value(void **state)
{
	struct world w;
	char *text;

	(void)state;
	build(&w, ACCEL_CHECK, off_by_one);
	text = stderr_of(run_three_reads, &w);
	assert_int_equal(bus_check_divergences(&w.bus), 2);
	assert_non_null(strstr(text, "program and model of counter do not agree"));
	assert_non_null(strstr(text, "read pio 0x40 (offset 0x0), 4 byte(s), vcpu 0, at 7000000 ns"));
	assert_non_null(strstr(text, "program: 0x1b59   model: 0x1b58"));
	assert_null(strstr(strstr(text, "do not agree") + 1, "do not agree")); /* told once */
	free(text);
	tear(&w);
}

static void run_write(struct world *w)
{
	wr(w, 8, 0x1234);
	wr(w, 8, 0x1234);
}

static void test_wrong_store(void **state)
{
	struct world w;
	char *text, at[64];

	(void)state;
	build(&w, ACCEL_CHECK, wrong_store);
	text = stderr_of(run_write, &w);
	assert_int_equal(bus_check_divergences(&w.bus), 2);
	snprintf(at, sizeof(at), "differs first at offset 0x%zx", offsetof(struct counter_page, more) + 40);
	assert_non_null(strstr(text, at));
	assert_non_null(strstr(text, "written: 0x1234"));
	assert_non_null(strstr(text, "*07")); /* the program's byte */
	assert_non_null(strstr(text, "*00")); /* the model's */
	free(text);
	assert_int_equal(
		((struct counter_page *)device_page(&w.fake.dev))->more[40], 0); /* the real page is the model's */
	tear(&w);
}

static void run_read(struct world *w)
{
	assert_int_equal(rd(w, 4), 7000);
}

static void test_punts(void **state)
{
	struct world w;
	char *text;

	(void)state;
	build(&w, ACCEL_CHECK, punts);
	text = stderr_of(run_read, &w);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(bus_check_divergences(&w.bus), 0);
	w.slot.prog = punts_dirty;
	text = stderr_of(run_read, &w);
	assert_int_equal(bus_check_divergences(&w.bus), 1);
	assert_non_null(strstr(text, "the program punted, yet it changed its state"));
	free(text);
	w.slot.prog = NULL; /* nothing attached: the model alone */
	text = stderr_of(run_read, &w);
	assert_string_equal(text, "");
	free(text);
	tear(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_agrees),
		cmocka_unit_test(test_wrong_value),
		cmocka_unit_test(test_wrong_store),
		cmocka_unit_test(test_punts),
	};

	return cmocka_run_group_tests_name("bus_check", tests, NULL, NULL);
}
