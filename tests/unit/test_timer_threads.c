/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_timer_threads.c: two threads on one timer chip, on the host's clock, one reading through the
 * program, the other in the model. Run under ThreadSanitizer too. The reader never sees a torn
 * counter or one that steps back, and no interrupt flag is lost.
 */
#include "tests/unit/board.h"

#include "devices/hpet.h"
#include "devices/i8254.h"
#include "devices/mc146818.h"
#include "devices/programs.h"

#define ROUNDS 20000

struct rig {
	struct clock clock;
	struct bus bus;
	struct device *dev;
	struct accel_object *obj;
	struct range *range;
	_Atomic bool done;
	uint64_t wrong; /* what the reader counted, looked at after it has been joined */
};

static uint64_t io(
	struct rig *rig, uint32_t vcpu, enum io_bus bus, uint64_t addr, uint8_t size, bool is_write, uint64_t value)
{
	struct io_req req = {
		.io = {.value = value, .vcpu = vcpu, .size = size, .is_write = is_write},
		.addr = addr,
		.bus = bus,
		.count = 1,
	};

	bus_io(&rig->bus, &req);
	return req.io.result;
}

static void rig_attach(
	struct rig *rig, const char *name, const uint8_t *start, const uint8_t *end, enum accel_effect allow)
{
	struct accel_err err = {.text = ""};

	assert_int_equal(accel_object_open(name, start, (size_t)(end - start), &rig->obj, &err), 0);
	assert_int_equal(accel_page_bind(rig->dev->page, rig->obj, &err), 0);
	rig->range = bus_find_name(&rig->bus, name);
	assert_non_null(rig->range);
	assert_int_equal(accel_slot_new(rig->dev->page, &rig->clock.source, 2, allow, &rig->range->slot), 0);
	assert_int_equal(accel_slot_attach(rig->range->slot, rig->obj, name, &err), 0);
}

static void rig_init(struct rig *rig)
{
	*rig = (struct rig){0};
	assert_int_equal(clock_init(&rig->clock, false), 0);
	assert_int_equal(bus_init(&rig->bus, &rig->clock, ACCEL_ON), 0);
}

static void rig_done(struct rig *rig)
{
	struct accel_counters counters;

	accel_slot_counters(rig->range->slot, &counters);
	assert_true(counters.answered > 0);
	accel_slot_free(rig->range->slot);
	rig->range->slot = NULL;
	accel_object_put(rig->obj);
	rig->dev->ops->destroy(rig->dev);
	bus_destroy(&rig->bus);
	clock_destroy(&rig->clock);
}

/* The writer only ever moves the counter on, also by 2^32 + 1 at once: a torn value would show. */
static void *read_hpet(void *opaque)
{
	struct rig *rig = opaque;
	uint64_t last = 0, now;

	while (!rig->done) {
		now = io(rig, 1, IO_MMIO, HPET_BASE + 0xf0, 8, false, 0);
		if (now < last)
			rig->wrong++;
		last = now;
	}
	return NULL;
}

static void test_hpet_counter_never_steps_back(void **state)
{
	static const struct irq_line nowhere[HPET_GSIS];
	pthread_t reader;
	struct rig rig;
	uint64_t value;

	(void)state;
	rig_init(&rig);
	rig.dev = hpet_create(&rig.bus, &rig.clock, nowhere, 0, NULL);
	assert_non_null(rig.dev);
	rig_attach(&rig, "hpet", prog_hpet_start, prog_hpet_end, ACCEL_PURE);
	io(&rig, 0, IO_MMIO, HPET_BASE + 0x10, 4, true, 1);
	assert_int_equal(pthread_create(&reader, NULL, read_hpet, &rig), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		io(&rig, 0, IO_MMIO, HPET_BASE + 0x10, 4, true, 0);
		value = io(&rig, 0, IO_MMIO, HPET_BASE + 0xf0, 8, false, 0);
		io(&rig, 0, IO_MMIO, HPET_BASE + 0xf0, 8, true, value + 0x100000001ull);
		io(&rig, 0, IO_MMIO, HPET_BASE + 0x10, 4, true, 1);
	}
	rig.done = true;
	pthread_join(reader, NULL);
	assert_int_equal(rig.wrong, 0);
	rig_done(&rig);
}

#define PERIOD 1000

/* A periodic comparator is the next match after the counter, whoever has looked last. */
static void *read_comparator(void *opaque)
{
	struct rig *rig = opaque;
	uint64_t before, comparator, after;

	while (!rig->done) {
		before = io(rig, 1, IO_MMIO, HPET_BASE + 0xf0, 8, false, 0);
		comparator = io(rig, 1, IO_MMIO, HPET_BASE + 0x148, 8, false, 0);
		after = io(rig, 1, IO_MMIO, HPET_BASE + 0xf0, 8, false, 0);
		if (comparator <= before || comparator > after + PERIOD || comparator % PERIOD)
			rig->wrong++;
	}
	return NULL;
}

static void test_hpet_comparator_is_whole(void **state)
{
	static const struct irq_line nowhere[HPET_GSIS];
	pthread_t reader;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig.dev = hpet_create(&rig.bus, &rig.clock, nowhere, 0, NULL);
	assert_non_null(rig.dev);
	rig_attach(&rig, "hpet", prog_hpet_start, prog_hpet_end, ACCEL_PURE);
	io(&rig, 0, IO_MMIO, HPET_BASE + 0x140, 4, true, 0x48);
	io(&rig, 0, IO_MMIO, HPET_BASE + 0x148, 8, true, PERIOD);
	io(&rig, 0, IO_MMIO, HPET_BASE + 0x10, 4, true, 1);
	assert_int_equal(pthread_create(&reader, NULL, read_comparator, &rig), 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		io(&rig, 0, IO_MMIO, HPET_BASE + 0x20, 4, true, 7); /* the model deals with the matches so far */
	rig.done = true;
	pthread_join(reader, NULL);
	assert_int_equal(rig.wrong, 0);
	rig_done(&rig);
}

/* Register C until the other thread is done; how often it said IRQF. */
static void *read_flags(void *opaque)
{
	struct rig *rig = opaque;

	while (!rig->done)
		rig->wrong += io(rig, 1, IO_PIO, 0x71, 1, false, 0) >> 7;
	return NULL;
}

struct line {
	_Atomic unsigned rises;
	bool level; /* the device's mutex is held */
};

static void line_set(void *opaque, unsigned pin, bool level)
{
	struct line *line = opaque;

	(void)pin;
	line->rises += level && !line->level;
	line->level = level;
}

/* Periodic interrupts at 8192 Hz: between two of them register C has been read with IRQF, by either way. */
static void test_clock_loses_no_flag(void **state)
{
	struct line line = {0};
	pthread_t reader;
	struct rig rig;
	uint64_t until_ns;

	(void)state;
	rig_init(&rig);
	rig.dev = mc146818_create(&rig.bus, &rig.clock, (struct irq_line){.set = line_set, .opaque = &line});
	assert_non_null(rig.dev);
	rig_attach(&rig, "mc146818", prog_mc146818_start, prog_mc146818_end, ACCEL_STATEFUL);
	io(&rig, 0, IO_PIO, 0x70, 1, true, 0x0a);
	io(&rig, 0, IO_PIO, 0x71, 1, true, 0x23);
	io(&rig, 0, IO_PIO, 0x70, 1, true, 0x0b);
	io(&rig, 0, IO_PIO, 0x71, 1, true, 0x42);
	io(&rig, 0, IO_PIO, 0x70, 1, true, 0x0c);
	until_ns = clock_now(&rig.clock) + 300000000;
	assert_int_equal(pthread_create(&reader, NULL, read_flags, &rig), 0);
	while (clock_now(&rig.clock) < until_ns)
		clock_fire_due(&rig.clock);
	rig.done = true;
	pthread_join(reader, NULL);
	assert_true(rig.wrong > 10);
	assert_true(line.rises <= rig.wrong + 1);
	rig_done(&rig);
}

/* Both bytes come from one latch. */
static void *read_i8254(void *opaque)
{
	struct rig *rig = opaque;
	uint64_t low, high;

	while (!rig->done) {
		io(rig, 1, IO_PIO, 0x43, 1, true, 0x80);
		low = io(rig, 1, IO_PIO, 0x42, 1, false, 0);
		high = io(rig, 1, IO_PIO, 0x42, 1, false, 0);
		if (low != high)
			rig->wrong++;
	}
	return NULL;
}

/* Counter 2 does not count, GATE 2 is low: it shows one of the counts that have been loaded, never a mixture. */
static void test_i8254_latch_is_whole(void **state)
{
	static const struct irq_line nowhere;
	pthread_t reader;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig.dev = i8254_create(&rig.bus, &rig.clock, nowhere);
	assert_non_null(rig.dev);
	rig_attach(&rig, "i8254", prog_i8254_start, prog_i8254_end, ACCEL_STATEFUL);
	io(&rig, 0, IO_PIO, 0x43, 1, true, 0xb0);
	assert_int_equal(pthread_create(&reader, NULL, read_i8254, &rig), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		io(&rig, 0, IO_PIO, 0x42, 1, true, i & 0xff);
		io(&rig, 0, IO_PIO, 0x42, 1, true, i & 0xff);
	}
	rig.done = true;
	pthread_join(reader, NULL);
	assert_int_equal(rig.wrong, 0);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hpet_counter_never_steps_back),
		cmocka_unit_test(test_hpet_comparator_is_whole),
		cmocka_unit_test(test_i8254_latch_is_whole),
		cmocka_unit_test(test_clock_loses_no_flag),
	};

	return cmocka_run_group_tests_name("timer threads", tests, NULL, NULL);
}
