/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_timer_programs.c: the programs of the 8254, port 0x61, the HPET, the PM timer and the clock against
 * their models, in virtual time: random accesses and time steps in check mode find no divergence;
 * a machine with programs and its twin without give the same answers and interrupts; a punt leaves
 * the state page as it was, byte for byte; and what guests read all the time is really answered.
 */
#include "tests/unit/board.h"

#include <string.h>

#include "devices/hpet.h"
#include "devices/i8254.h"
#include "devices/mc146818.h"
#include "devices/piix4_pm.h"
#include "devices/programs.h"

#define PM_BASE 0x600
#define MAX_PAGE 512

enum chip { CHIP_HPET, CHIP_I8254, CHIP_PM, CHIP_RTC, CHIPS };

struct rig {
	struct board b;
	struct device *dev;
	struct accel_object *obj;
	struct range *ranges[2];
	unsigned range_count;
};

static struct device *create(struct board *b, enum chip chip)
{
	struct irq_line gsi[HPET_GSIS];
	struct piix4_pm_config config = {.sci = board_line(b, 9)};
	struct device *dev;

	if (chip == CHIP_I8254)
		return i8254_create(&b->bus, &b->clock, board_line(b, 0));
	if (chip == CHIP_RTC)
		return mc146818_create(&b->bus, &b->clock, board_line(b, 8));
	if (chip == CHIP_PM) {
		dev = piix4_pm_create(&b->bus, &b->clock, &config);
		assert_non_null(dev);
		piix4_pm_set_base(dev, PM_BASE, true);
		return dev;
	}
	for (unsigned i = 0; i < HPET_GSIS; i++)
		gsi[i] = board_line(b, i);
	return hpet_create(&b->bus, &b->clock, gsi, 0xc20, NULL);
}

static void attach(struct rig *rig, const char *range_name, const char *prog, enum accel_effect allow)
{
	struct range *range = bus_find_name(&rig->b.bus, range_name);
	struct accel_err err = {.text = ""};
	int rc;

	assert_non_null(range);
	assert_int_equal(accel_slot_new(rig->dev->page, &rig->b.clock.source, 1, allow, &range->slot), 0);
	rc = accel_slot_attach(range->slot, rig->obj, prog, &err);
	if (rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	rig->ranges[rig->range_count++] = range;
}

static void rig_init(struct rig *rig, enum chip chip, enum accel_mode mode)
{
	static const struct {
		const char *name;
		const uint8_t *start, *end;
	} images[CHIPS] = {{"hpet", prog_hpet_start, prog_hpet_end}, {"i8254", prog_i8254_start, prog_i8254_end},
		{"pmtimer", prog_pmtimer_start, prog_pmtimer_end},
		{"mc146818", prog_mc146818_start, prog_mc146818_end}};
	struct accel_err err = {.text = ""};
	int rc;

	*rig = (struct rig){0};
	board_init(&rig->b, mode);
	rig->dev = create(&rig->b, chip);
	assert_non_null(rig->dev);
	rc = accel_object_open(images[chip].name, images[chip].start, (size_t)(images[chip].end - images[chip].start),
		&rig->obj, &err);
	if (rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	rc = accel_page_bind(rig->dev->page, rig->obj, &err);
	if (rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	if (chip == CHIP_HPET) {
		attach(rig, "hpet", "hpet", ACCEL_PURE);
	} else if (chip == CHIP_I8254) {
		attach(rig, "i8254", "i8254", ACCEL_STATEFUL);
		attach(rig, "port61", "port61", ACCEL_PURE);
	} else if (chip == CHIP_RTC) {
		attach(rig, "mc146818", "mc146818", ACCEL_STATEFUL);
	} else {
		attach(rig, "pm", "pm", ACCEL_PURE);
		attach(rig, "gpe", "gpe", ACCEL_PURE);
	}
}

static void rig_done(struct rig *rig)
{
	for (unsigned i = 0; i < rig->range_count; i++) {
		accel_slot_free(rig->ranges[i]->slot);
		rig->ranges[i]->slot = NULL;
	}
	accel_object_put(rig->obj);
	board_destroy(&rig->b, rig->dev);
}

/* One access that fits its range, more often than not one that means something to the chip. */
struct access {
	unsigned range, offset, size;
	bool is_write;
	uint64_t value;
};

static struct access random_i8254(uint64_t *seed)
{
	struct access a = {.size = 1, .value = board_random(seed)};

	a.range = board_random(seed) % 5 == 0;
	a.offset = a.range ? 0 : board_random(seed) % 4;
	a.is_write = board_random(seed) % (a.offset == 3 ? 4 : 3) != 0;
	if (a.offset == 3 && board_random(seed) % 2) /* latch and read-back */
		a.value = a.value & 1 ? a.value | 0xc0 : a.value & 0xcf;
	if (a.offset < 3 && board_random(seed) % 2) /* short counts */
		a.value = board_random(seed) % 2 ? 0 : 2 + a.value % 200;
	return a;
}

static struct access random_hpet(uint64_t *seed, uint64_t counter)
{
	static const unsigned regs[] = {
		0x00, 0x10, 0x20, 0xf0, 0xf0, 0xf0, 0x100, 0x108, 0x120, 0x128, 0x140, 0x148, 0x110, 0x160, 0x3f8};
	struct access a = {.size = 1u << board_random(seed) % 4, .value = board_random(seed)};

	a.offset = regs[board_random(seed) % 15];
	a.is_write = board_random(seed) % 2;
	if ((a.offset & 0x18) == 8 && board_random(seed) % 2) { /* a comparator soon to match, or a period */
		a.size = 8;
		a.value = board_random(seed) % 2 ? counter + a.value % 20000 : a.value % 20000;
	} else if (a.offset == 0x10 && board_random(seed) % 2) {
		a.value |= 1;
	}
	a.offset += board_random(seed) % 8 & ~(a.size - 1);
	return a;
}

static struct access random_pm(uint64_t *seed)
{
	struct access a = {.size = 1u << board_random(seed) % 3, .value = board_random(seed)};

	if (board_random(seed) % 32 == 0) {
		a.range = 1;
		a.offset = board_random(seed) % 4;
		a.size = 1;
		a.is_write = board_random(seed) % 2;
		return a;
	}
	a.offset = board_random(seed) % 4 ? board_random(seed) % 12 : board_random(seed) % (PIIX4_PM_LEN - 3);
	a.is_write = board_random(seed) % 3 == 0;
	a.value &= ~0x20002000ull; /* soft off is for another test */
	return a;
}

static struct access random_rtc(uint64_t *seed)
{
	static const uint8_t indices[] = {0, 2, 4, 6, 7, 8, 9, 0x32, 10, 11, 12, 12, 12, 13, 1, 3, 5, 14, 0x7f};
	struct access a = {.size = 1, .offset = board_random(seed) % 2, .value = board_random(seed)};

	a.is_write = board_random(seed) % (a.offset ? 4 : 16) == 0;
	if (!a.offset && board_random(seed) % 16) {
		a.is_write = true;
		a.value = indices[board_random(seed) % sizeof(indices)];
	} else if (a.offset && board_random(seed) % 2) {
		a.value &= 0x2f; /* as registers A and B: no SET, one rate in two slow */
	}
	return a;
}

static struct access random_access(enum chip chip, uint64_t *seed, const struct rig *rig)
{
	if (chip == CHIP_I8254)
		return random_i8254(seed);
	if (chip == CHIP_PM)
		return random_pm(seed);
	if (chip == CHIP_RTC)
		return random_rtc(seed);
	return random_hpet(seed, clock_now(&rig->b.clock) / 10);
}

/* From nothing over single ticks to days. */
static uint64_t random_step(enum chip chip, uint64_t *seed)
{
	switch (board_random(seed) % 6) {
	case 0:
		return 0;
	case 1:
		return board_random(seed) % 900;
	case 2:
	case 3:
		return board_random(seed) % 200000;
	case 4:
		return board_random(seed) % 50000000;
	default:
		/* what fires all the time makes long steps long */
		return chip == CHIP_PM ? (uint64_t)board_random(seed) << 14 : board_random(seed) % 400000000;
	}
}

/* Timers do their work on the way, or they are late: what the guest reads does not wait for them. */
static void pass(struct rig *rig, uint64_t to_ns, bool is_late)
{
	if (is_late)
		board_be_late(&rig->b, to_ns);
	else
		clock_advance(&rig->b.clock, to_ns);
}

static uint64_t do_access(struct rig *rig, const struct access *a)
{
	const struct range *range = rig->ranges[a->range];

	return board_io(&rig->b, range->bus, range->base + a->offset, a->size, a->is_write, a->value);
}

static void test_check_mode(void **state)
{
	(void)state;
	for (unsigned chip = 0; chip < CHIPS; chip++) {
		for (uint64_t first = 1; first <= 40; first++) {
			uint64_t seed = first;
			struct rig rig;

			rig_init(&rig, chip, ACCEL_CHECK);
			for (unsigned i = 0; i < 500; i++) {
				struct access a = random_access(chip, &seed, &rig);

				pass(&rig, clock_now(&rig.b.clock) + random_step(chip, &seed),
					board_random(&seed) % 4 == 0);
				do_access(&rig, &a);
			}
			if (bus_check_divergences(&rig.b.bus))
				print_error("chip %u, seed %llu\n", chip, (unsigned long long)first);
			assert_int_equal(bus_check_divergences(&rig.b.bus), 0);
			rig_done(&rig);
		}
	}
}

/* Years on: where 64-bit products would have overflowed. The HPET and counter 2 only, which arm no timer then. */
static void test_check_mode_after_years(void **state)
{
	(void)state;
	for (unsigned chip = 0; chip < CHIPS; chip++) {
		uint64_t seed = 11;
		struct rig rig;

		rig_init(&rig, chip, ACCEL_CHECK);
		if (chip == CHIP_HPET)
			board_io(&rig.b, IO_MMIO, HPET_BASE + 0x10, 4, true, 1);
		for (unsigned i = 0; i < 2000; i++) {
			struct access a = random_access(chip, &seed, &rig);

			if (chip != CHIP_PM && !(chip == CHIP_RTC && a.offset == 0))
				a.is_write = false;
			clock_advance(
				&rig.b.clock, clock_now(&rig.b.clock) + ((uint64_t)board_random(&seed) << 20) + i);
			if (chip == CHIP_I8254 && i % 20 == 0) {
				board_out(&rig.b, 0x43, (uint8_t)(0x80 | (board_random(&seed) & 0x0f) | 0x30));
				board_out(&rig.b, 0x42, (uint8_t)board_random(&seed));
				board_out(&rig.b, 0x42, (uint8_t)board_random(&seed));
				board_out(&rig.b, 0x61, i / 20 & 1);
			}
			do_access(&rig, &a);
		}
		assert_true(clock_now(&rig.b.clock) > 10ull * 31557600 * 1000000000);
		assert_int_equal(bus_check_divergences(&rig.b.bus), 0);
		rig_done(&rig);
	}
}

/* What the program makes of an access on a page at rest; a punt must have changed nothing but seq. */
static bool try_program(struct rig *rig, const struct access *a, uint64_t *result)
{
	const struct hr_page *page = accel_page_data(rig->dev->page);
	struct hr_io io = {.value = a->is_write ? hr_mask(a->value, a->size) : 0,
		.offset = a->offset,
		.size = (uint8_t)a->size,
		.is_write = a->is_write};
	uint8_t before[MAX_PAGE];

	assert_true(page->size <= MAX_PAGE);
	memcpy(before, page, page->size);
	if (accel_run(rig->ranges[a->range]->slot, &io)) {
		*result = hr_mask(io.result, a->size);
		return true;
	}
	assert_int_equal(page->seq & 1, 0);
	assert_memory_equal(
		before + sizeof(page->seq), (const uint8_t *)page + sizeof(page->seq), page->size - sizeof(page->seq));
	return false;
}

static bool is_fitting(enum chip chip, const struct access *a)
{
	return chip != CHIP_PM || a->offset + a->size <= PIIX4_PM_LEN;
}

static void test_twins_and_punts(void **state)
{
	(void)state;
	for (unsigned chip = 0; chip < CHIPS; chip++) {
		unsigned answers = 0, punts = 0;

		for (uint64_t first = 1; first <= 40; first++) {
			uint64_t seed = first << 20;
			struct rig fast, slow; /* with the program wherever it answers; without */
			bool is_late;

			rig_init(&fast, chip, ACCEL_OFF);
			rig_init(&slow, chip, ACCEL_OFF);
			for (unsigned i = 0; i < 500; i++) {
				struct access a = random_access(chip, &seed, &fast);
				uint64_t to_ns = clock_now(&fast.b.clock) + random_step(chip, &seed), result;

				if (!is_fitting(chip, &a))
					continue;
				is_late = board_random(&seed) % 4 == 0;
				pass(&fast, to_ns, is_late);
				pass(&slow, to_ns, is_late);
				if (try_program(&fast, &a, &result)) {
					answers++;
				} else {
					punts++;
					result = do_access(&fast, &a);
				}
				if (!a.is_write)
					assert_int_equal(result, do_access(&slow, &a));
				else
					do_access(&slow, &a);
				assert_memory_equal(fast.b.rises, slow.b.rises, sizeof(fast.b.rises));
				assert_memory_equal(fast.b.level, slow.b.level, sizeof(fast.b.level));
			}
			rig_done(&fast);
			rig_done(&slow);
		}
		assert_true(answers > 1000 && punts > 1000);
	}
}

static void expect_answer(
	struct rig *rig, unsigned range, unsigned offset, unsigned size, bool is_write, uint64_t value)
{
	struct access a = {.range = range, .offset = offset, .size = size, .is_write = is_write, .value = value};
	uint64_t result;

	assert_true(try_program(rig, &a, &result));
}

/* The accesses that guests make in loops do not reach the model. */
static void test_hot_registers_are_answered(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, CHIP_HPET, ACCEL_OFF);
	for (unsigned size = 1; size <= 8; size *= 2) {
		for (unsigned at = 0; at < 8; at += size) {
			expect_answer(&rig, 0, 0xf0 + at, size, false, 0);
			expect_answer(&rig, 0, 0x00 + at, size, false, 0);
			expect_answer(&rig, 0, 0x10 + at, size, false, 0);
			expect_answer(&rig, 0, 0x20 + at, size, false, 0);
			expect_answer(&rig, 0, 0x140 + at, size, false, 0);
			expect_answer(&rig, 0, 0x148 + at, size, false, 0);
		}
	}
	rig_done(&rig);
	rig_init(&rig, CHIP_PM, ACCEL_OFF);
	for (unsigned size = 1; size <= 4; size *= 2) {
		for (unsigned at = 0; at + size <= PIIX4_PM_LEN; at++)
			expect_answer(&rig, 0, at, size, false, 0);
	}
	for (unsigned at = 0; at < 4; at++)
		expect_answer(&rig, 1, at, 1, false, 0);
	rig_done(&rig);
	rig_init(&rig, CHIP_I8254, ACCEL_OFF);
	for (unsigned mode = 0; mode < 16; mode++) { /* six modes, their aliases, BCD */
		for (unsigned counter = 0; counter < 3; counter++) {
			board_out(&rig.b, 0x43, (uint8_t)(counter << 6 | 0x30 | mode));
			board_out(&rig.b, (uint16_t)(0x40 + counter), 0x34);
			board_out(&rig.b, (uint16_t)(0x40 + counter), 0x12);
			expect_answer(&rig, 0, 3, 1, true, counter << 6);
			expect_answer(&rig, 0, 3, 1, true, 0xc0 | 2u << counter);
			for (unsigned i = 0; i < 5; i++)
				expect_answer(&rig, 0, counter, 1, false, 0);
		}
	}
	expect_answer(&rig, 1, 0, 1, false, 0);
	rig_done(&rig);
	rig_init(&rig, CHIP_RTC, ACCEL_OFF);
	board_out(&rig.b, 0x70, 0x0c);
	board_in(&rig.b, 0x71); /* flags off */
	for (unsigned index = 0; index < 0x80; index++) {
		expect_answer(&rig, 0, 0, 1, true, index);
		expect_answer(&rig, 0, 1, 1, false, 0);
		if (index > 13 && index != 0x32)
			expect_answer(&rig, 0, 1, 1, true, index);
	}
	rig_done(&rig);
}

/* What moves interrupts or the time is the model's, and so are flags that a read clears. */
static void test_clock_punts(void **state)
{
	struct access write = {.offset = 1, .size = 1, .is_write = true, .value = 0x12},
		      read = {.offset = 1, .size = 1};
	uint64_t result;
	struct rig rig;

	(void)state;
	rig_init(&rig, CHIP_RTC, ACCEL_OFF);
	for (unsigned index = 0; index < 0x80; index++) {
		board_out(&rig.b, 0x70, (uint8_t)index);
		assert_int_equal(try_program(&rig, &write, &result), index > 13 && index != 0x32);
	}
	board_out(&rig.b, 0x70, 0x0a); /* no periodic events */
	board_out(&rig.b, 0x71, 0x20);
	board_out(&rig.b, 0x70, 0x0c);
	board_in(&rig.b, 0x71);
	clock_advance(&rig.b.clock, 999999999);
	assert_true(try_program(&rig, &read, &result));
	assert_int_equal(result, 0);
	clock_advance(&rig.b.clock, 1000000000); /* the update has ended, nobody has looked since */
	assert_false(try_program(&rig, &read, &result));
	assert_int_equal(board_in(&rig.b, 0x71), 0x10);
	assert_true(try_program(&rig, &read, &result));
	board_out(&rig.b, 0x70, 0x0a);
	board_out(&rig.b, 0x71, 0x2f); /* 2 Hz */
	board_out(&rig.b, 0x70, 0x0c);
	clock_advance(&rig.b.clock, 1499999999);
	assert_true(try_program(&rig, &read, &result));
	clock_advance(&rig.b.clock, 1500000000);
	assert_false(try_program(&rig, &read, &result));
	assert_int_equal(board_in(&rig.b, 0x71), 0x40);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_mode),
		cmocka_unit_test(test_check_mode_after_years),
		cmocka_unit_test(test_twins_and_punts),
		cmocka_unit_test(test_hot_registers_are_answered),
		cmocka_unit_test(test_clock_punts),
	};

	return cmocka_run_group_tests_name("timer programs", tests, NULL, NULL);
}
