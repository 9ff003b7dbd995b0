// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_page_image.c: the core of the page tier in virtual time: the memory against a second HPET whose registers are read
 * through the bus, after random writes; what is refused; the order of stores and interrupt lines; words that are
 * stuck; check mode. Bytes in the memory are what a guest would load.
 */
#include "tests/unit/image_rig.h"

#include <errno.h>
#include <stdio.h>

static char object_path[512];

/* The whole page against what the other machine's reads give, in every size. */
static void check_page(const struct rig *rig, struct rig *other)
{
	const uint8_t *memory = page_image_memory(rig->image);

	for (unsigned size = 1; size <= 8; size *= 2) {
		for (unsigned at = 0; at < PAGE; at += size) {
			uint64_t want = rd(other, at, size), have = 0;

			memcpy(&have, memory + at, size);
			if (have != want)
				fail_msg("offset 0x%x, %u bytes: 0x%llx instead of 0x%llx", at, size,
					(unsigned long long)have, (unsigned long long)want);
		}
	}
}

static void test_shows_what_reads_give(void **state)
{
	struct rig rig, twin;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_init(&twin, ACCEL_OFF);
	rig_show(&rig);
	assert_int_equal(page_image_gpa(rig.image), HPET_BASE);
	assert_int_equal(page_image_bytes(rig.image), PAGE);
	assert_memory_equal(page_image_memory(rig.image), page_image_guest(rig.image), PAGE);
	check_page(&rig, &twin);
	both_write(&rig, &twin, CONFIG, 4, 1);
	both_advance(&rig, &twin, 123456789);
	publish(&rig);
	check_page(&rig, &twin);
	assert_int_equal(shown(&rig, COUNTER), 12345678); /* 100 MHz */
	/* the memory stands still until somebody publishes */
	both_advance(&rig, &twin, 1000);
	assert_int_equal(shown(&rig, COUNTER), 12345678);
	assert_int_equal(page_image_last_ns(rig.image), 123456789);
	publish(&rig);
	assert_int_equal(shown(&rig, COUNTER), 12345778);
	rig_done(&rig);
	rig_done(&twin);
}

/* Which registers move by themselves, by the specification: the counter, status, comparators. */
static void test_timed_cells(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	for (unsigned reg = 0; reg < HPET_LEN; reg += 8) {
		bool is_timed = reg == ISR || reg == COUNTER;

		for (unsigned n = 0; n < 3; n++)
			is_timed |= reg == TN_COMPARATOR(n);
		assert_int_equal(page_image_cell_is_timed(rig.image, reg), is_timed);
	}
	assert_int_equal(page_image_timed_count(rig.image), 5);
	rig_done(&rig);
}

/* A write is seen, all of it, once it is done, and time with it. */
static void test_writes_publish(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	wr(&rig, CONFIG, 4, 1);
	clock_advance(&rig.b.clock, 5000);
	wr(&rig, TN_COMPARATOR(1), 8, 77777);
	assert_int_equal(shown(&rig, TN_COMPARATOR(1)), 77777);
	assert_int_equal(shown(&rig, COUNTER), 500); /* not only the comparator */
	clock_advance(&rig.b.clock, 9000);
	wr(&rig, CONFIG, 4, 0);
	assert_int_equal(shown(&rig, COUNTER), 900);
	clock_advance(&rig.b.clock, 90000);
	publish(&rig);
	assert_int_equal(shown(&rig, COUNTER), 900); /* stopped, it stands still */
	wr(&rig, CONFIG, 4, 1);
	assert_int_equal(shown(&rig, COUNTER), 900); /* at the very instant of the start */
	clock_advance(&rig.b.clock, 90010);
	publish(&rig);
	assert_int_equal(shown(&rig, COUNTER), 901);
	rig_done(&rig);
}

/* A read that exits publishes what it is going to say. */
static void test_exits_publish(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	accel_slot_hold(rig.range->slot);
	wr(&rig, CONFIG, 4, 1);
	clock_advance(&rig.b.clock, 70000);
	assert_int_equal(rd(&rig, COUNTER, 8), 7000);
	assert_int_equal(shown(&rig, COUNTER), 7000);
	accel_slot_release(rig.range->slot);
	clock_advance(&rig.b.clock, 80000);
	assert_int_equal(rd(&rig, COUNTER, 8), 8000); /* by the program again, which publishes nothing */
	assert_int_equal(shown(&rig, COUNTER), 7000);
	rig_done(&rig);
}

/* A line that rises because the counter has reached a value comes after that value is shown. */
static void test_line_after_time(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	wr(&rig, TN_CONFIG(0), 4, INT_ENB | 10 << 9);
	wr(&rig, CONFIG, 4, 1);
	for (unsigned i = 1; i <= 1000; i++) {
		uint64_t due;

		publish(&rig);
		due = shown(&rig, COUNTER) + 100 + i * 7 % 50;
		wr(&rig, TN_COMPARATOR(0), 8, due);
		assert_true(shown(&rig, COUNTER) < due); /* what Linux looks at before it relies on the timer */
		clock_advance(&rig.b.clock, clock_now(&rig.b.clock) + 5000);
		assert_int_equal(rig.rises, i);
		assert_true(rig.counter_at_rise >= due);
	}
	rig_done(&rig);
}

/* Level-triggered and periodic timers are shown, but for periods so short that steps would never end. */
static void test_short_periods_are_not_shown(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	assert_true(page_image_may_show(rig.image));
	for (unsigned n = 0; n < 3; n++) {
		unsigned before = rig.changed;

		wr(&rig, TN_CONFIG(n), 4, PERIODIC | LEVEL);
		wr(&rig, TN_COMPARATOR(n), 8, 10000); /* 100 us */
		assert_true(page_image_may_show(rig.image));
		assert_int_equal(rig.changed, before);
		wr(&rig, TN_COMPARATOR(n), 8, 9999);
		assert_false(page_image_may_show(rig.image));
		assert_int_equal(rig.changed, before + 1);
		assert_false(page_image_try(rig.image)); /* publishers leave it alone */
		wr(&rig, CONFIG, 4, 1);
		assert_int_equal(rig.changed, before + 1); /* said once */
		assert_int_equal(shown(&rig, CONFIG), 1);
		wr(&rig, TN_CONFIG(n), 4, 0);
		assert_true(page_image_may_show(rig.image));
		publish(&rig);
	}
	board_reset(rig.hpet);
	assert_int_equal(shown(&rig, CONFIG), 0);
	assert_int_equal(shown(&rig, COUNTER), 0);
	rig_done(&rig);
}

/* A clock that steps back does not take the page with it. */
static void test_time_never_back(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	wr(&rig, CONFIG, 4, 1);
	clock_advance(&rig.b.clock, 50000);
	publish(&rig);
	accel_clock_set_virtual(&rig.b.clock.source, 40000);
	publish(&rig);
	assert_int_equal(shown(&rig, COUNTER), 5000);
	wr(&rig, TN_COMPARATOR(2), 8, 1); /* the model's own sample neither */
	assert_int_equal(shown(&rig, COUNTER), 5000);
	rig_done(&rig);
}

/* Guest time stands still in a pause, for which the page is taken away. */
static void test_shifted_time(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	wr(&rig, CONFIG, 4, 1);
	clock_advance(&rig.b.clock, 50000);
	publish(&rig);
	board_be_late(&rig.b, 90000);
	pthread_mutex_lock(&rig.hpet->lock);
	page_image_hide(rig.image);
	pthread_mutex_unlock(&rig.hpet->lock);
	device_shift_time(rig.hpet, 40000);
	pthread_mutex_lock(&rig.hpet->lock);
	assert_true(page_image_show(rig.hpet, rig.image));
	pthread_mutex_unlock(&rig.hpet->lock);
	assert_int_equal(shown(&rig, COUNTER), 5000);
	rig_done(&rig);
}

/* A publisher that is stuck with the word loses it, and the memory with it; what it stores later nobody sees. */
static void test_stuck_publisher(void **state)
{
	struct rig rig;
	struct page_image *old;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	old = rig.image;
	assert_true(page_image_try(old));
	wr(&rig, CONFIG, 4, 1); /* waits a while, then goes on */
	assert_int_equal(rig.gone, 1);
	assert_true(page_image_is_gone(old));
	assert_null(rig.hpet->image);
	assert_int_equal(rd(&rig, CONFIG, 4), 1);
	assert_int_equal(shown(&rig, CONFIG), 0); /* nobody has stored to the old one */
	rig_show(&rig);
	assert_ptr_not_equal(rig.image, old);
	clock_advance(&rig.b.clock, 10000);
	publish(&rig);
	accel_clock_set_virtual(&rig.b.clock.source, 9000);
	page_image_publish(old, 9000); /* the late store */
	page_image_leave(old);
	assert_int_equal(shown(&rig, COUNTER), 1000);
	assert_int_equal(rig.gone, 1);
	page_image_free(old);
	rig_done(&rig);
}

static void expect_refusal(struct rig *rig, const char *prog, const char *text)
{
	struct page_image_config config = config_of(rig, prog);
	struct accel_err err = {.text = ""};
	struct page_image *image;

	assert_true(page_image_new(&config, &image, &err) < 0);
	assert_null(image);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" has no \"%s\"", err.text, text);
}

static void test_refusals(void **state)
{
	struct accel_err err = {.text = ""};
	struct accel_object *wrong, *right;
	struct range *range;
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	right = rig.obj;
	range = rig.range;
	if (accel_object_open_file(object_path, &wrong, &err))
		fail_msg("%s", err.text);
	rig.obj = wrong;
	expect_refusal(&rig, "parts", "register at 0x22 (status) reads otherwise in parts");
	expect_refusal(&rig, "punts", "register at 0x12b (timers) is not always answered");
	expect_refusal(&rig, "punts_later", "register at 0xf0 (main counter) is not always answered");
	expect_refusal(&rig, "none", "has no program none");
	rig.obj = right;
	range->flags = 0;
	expect_refusal(&rig, "hpet", "does not ask");
	range->flags = HR_PAGE_OK | RANGE_FIFO;
	expect_refusal(&rig, "hpet", "FIFO");
	range->flags = HR_PAGE_OK;
	range->len = 0x3fc;
	expect_refusal(&rig, "hpet", "not aligned");
	range->len = HPET_LEN;
	range->bus = IO_PIO;
	expect_refusal(&rig, "hpet", "not in memory space");
	range->bus = IO_MMIO;
	accel_object_put(wrong);
	rig_done(&rig);
}

/* What the verifier says of single reads: by the offset, and by what the state may be. */
static void test_read_is_timed(void **state)
{
	struct accel_err err = {.text = ""};
	struct accel_object *obj;

	(void)state;
	if (accel_object_open_file(object_path, &obj, &err))
		fail_msg("%s", err.text);
	assert_int_equal(accel_object_read_is_timed(obj, "timed_above", 0x1f8, 8, &err), 0);
	assert_int_equal(accel_object_read_is_timed(obj, "timed_above", 0x200, 8, &err), 1);
	assert_int_equal(accel_object_read_is_timed(obj, "timed_above", 0x18, 8, &err), 1);
	assert_int_equal(accel_object_read_is_timed(obj, "timed_above", 0x10, 8, &err), 0);
	assert_true(accel_object_read_is_timed(obj, "none", 0, 8, &err) == -ENOENT);
	accel_object_put(obj);
}

/* Bytes that nobody would see but a reader of the page: page_image_memory() is not for storing. */
static void damage(struct rig *rig, unsigned at)
{
	((uint8_t *)(uintptr_t)page_image_memory(rig->image))[at] ^= 0x40;
}

static bool check(struct rig *rig, unsigned reg, unsigned size, bool damage_between)
{
	struct io_req req = {
		.io = {.offset = reg, .size = (uint8_t)size}, .addr = HPET_BASE + reg, .bus = IO_MMIO, .count = 1};
	struct device *dev = rig->hpet;
	bool agrees;

	pthread_mutex_lock(&dev->lock);
	agrees = page_image_check_before(dev, rig->range, &req.io, &dev->frozen_ns);
	dev->is_frozen = true;
	rig->range->read(dev, &req);
	dev->is_frozen = false;
	req.io.result = hr_mask(req.io.result, req.io.size);
	if (damage_between)
		damage(rig, reg);
	agrees &= page_image_check_after(dev, rig->range, &req.io);
	pthread_mutex_unlock(&dev->lock);
	return agrees;
}

static void test_check_mode(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_CHECK);
	rig_show(&rig);
	wr(&rig, CONFIG, 4, 1);
	for (unsigned i = 0; i < 100; i++) {
		clock_advance(&rig.b.clock, clock_now(&rig.b.clock) + 12345);
		if (i & 1)
			publish(&rig);
		assert_true(check(&rig, COUNTER, i & 2 ? 4 : 8, false));
		assert_true(check(&rig, CONFIG, 1, false));
	}
	damage(&rig, COUNTER);
	assert_false(check(&rig, COUNTER, 8, false)); /* before it is published anew */
	assert_true(check(&rig, COUNTER, 8, false));
	assert_false(check(&rig, COUNTER + 4, 2, true)); /* not what the model says */
	publish(&rig);					 /* the word is free */
	rig_done(&rig);
}

static void test_readers_are_seen(void **state)
{
	struct rig rig;
	int first;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_show(&rig);
	first = page_image_sample(rig.image);
	if (first == -ENOTSUP) {
		rig_done(&rig);
		skip();
	}
	assert_true(first >= 0);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(page_image_sample(rig.image), 0);
		publish(&rig); /* stores are none */
		assert_int_equal(page_image_sample(rig.image), 0);
		(void)*(const volatile uint8_t *)page_image_guest(rig.image);
		assert_int_equal(page_image_sample(rig.image), 1);
	}
	assert_memory_equal(page_image_memory(rig.image), page_image_guest(rig.image), PAGE);
	rig_done(&rig);
}

/* A slot that is held sends everything to the model, and takes programs meanwhile. */
static void test_held_slot(void **state)
{
	struct accel_counters counters;
	struct accel_err err;
	struct rig rig;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	assert_true(accel_slot_is_pure(rig.range->slot));
	rd(&rig, COUNTER, 8);
	accel_slot_hold(rig.range->slot);
	rd(&rig, COUNTER, 8);
	accel_slot_counters(rig.range->slot, &counters);
	assert_int_equal(counters.answered, 1);
	assert_true(accel_slot_attached(rig.range->slot));
	accel_slot_detach(rig.range->slot);
	assert_false(accel_slot_attached(rig.range->slot));
	assert_int_equal(accel_slot_attach(rig.range->slot, rig.obj, "hpet", &err), 0);
	rd(&rig, COUNTER, 8);
	accel_slot_release(rig.range->slot);
	rd(&rig, COUNTER, 8);
	accel_slot_counters(rig.range->slot, &counters);
	assert_int_equal(counters.answered, 2);
	accel_slot_hold(rig.range->slot);
	accel_slot_detach(rig.range->slot);
	accel_slot_release(rig.range->slot);
	assert_false(accel_slot_attached(rig.range->slot));
	rig_done(&rig);
}

/* Random writes and times: after each write, and after each pass, the page is what the twin's reads give. */
static void test_random(void **state)
{
	static const unsigned regs[] = {CONFIG, ISR, COUNTER, TN_CONFIG(0), TN_COMPARATOR(0), TN_CONFIG(1),
		TN_COMPARATOR(1), TN_CONFIG(2), TN_COMPARATOR(2), 0, 0x300, 0x3f8, 0x500};
	struct rig rig, twin;
	uint64_t seed = 20260101;

	(void)state;
	rig_init(&rig, ACCEL_ON);
	rig_init(&twin, ACCEL_OFF);
	rig_show(&rig);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned size = 1u << board_random(&seed) % 4;
		unsigned reg = regs[board_random(&seed) % (sizeof(regs) / sizeof(regs[0]))];
		uint64_t value = (uint64_t)board_random(&seed) << 32 | board_random(&seed);

		reg += board_random(&seed) % 8 & ~(size - 1);
		if (board_random(&seed) % 4)
			value &= reg == CONFIG ? 3 : 0x35ff;
		both_write(&rig, &twin, reg, size, value);
		if (reg < HPET_LEN) /* else nobody publishes */
			check_page(&rig, &twin);
		both_advance(&rig, &twin,
			board_random(&seed) % 3 ? board_random(&seed) % 4000 : board_random(&seed) % 4000000);
		if (page_image_may_show(rig.image)) {
			publish(&rig);
			check_page(&rig, &twin);
		}
	}
	assert_int_equal(rig.rises, twin.rises);
	rig_done(&rig);
	rig_done(&twin);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shows_what_reads_give),
		cmocka_unit_test(test_timed_cells),
		cmocka_unit_test(test_writes_publish),
		cmocka_unit_test(test_exits_publish),
		cmocka_unit_test(test_line_after_time),
		cmocka_unit_test(test_short_periods_are_not_shown),
		cmocka_unit_test(test_time_never_back),
		cmocka_unit_test(test_shifted_time),
		cmocka_unit_test(test_stuck_publisher),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_read_is_timed),
		cmocka_unit_test(test_check_mode),
		cmocka_unit_test(test_readers_are_seen),
		cmocka_unit_test(test_held_slot),
		cmocka_unit_test(test_random),
	};

	(void)argc;
	snprintf(object_path, sizeof(object_path), "%.*s/../prog/page_refused.bpf.o",
		(int)(strrchr(argv[0], '/') - argv[0]), argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
