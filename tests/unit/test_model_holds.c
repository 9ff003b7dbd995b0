// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_model_holds.c: what a program answers does not wait for a model that sits on its device's lock: reads come to an
 * end while the lock is held, and those that are the model's come to one only after. Nothing here is timed: a
 * read that waited where it must not would hang the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/options.h"
#include "vmm/vm.h"

#define READS 10000
#define CHECK_MS 20

static const struct place {
	const char *range;
	enum io_bus bus;
	uint64_t addr;
	uint8_t size;
} places[] = {
	{"hpet", IO_MMIO, 0xfed000f0, 8},
	{"hpet", IO_MMIO, 0xfed000f0, 4},
	{"hpet", IO_MMIO, 0xfed00108, 8},
	{"pm", IO_PIO, 0x608, 4},
	{"pm", IO_PIO, 0x600, 2},
	{"port61", IO_PIO, 0x61, 1},
	{"ata.ctl", IO_PIO, 0x3f6, 1},
};

static struct options opt;
static struct vm vm;
static char script[64];

static int set_up(void **state)
{
	struct accel_err err = {.text = ""};
	static char arg[64];
	char *argv[] = {"--cpu", arg, "--accel", "on", "--serial", "none", "--mem", "2M", "--quiet", NULL};
	int fd;

	(void)state;
	strcpy(script, "/tmp/test_model_holds.XXXXXX");
	fd = mkstemp(script);
	assert_true(fd >= 0 && write(fd, "#\n", 2) == 2);
	close(fd);
	snprintf(arg, sizeof(arg), "script=%s", script);
	if (options_parse(&opt, 9, argv, &err) || vm_create(&vm, &opt, &err))
		fail_msg("%s", err.text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vm_destroy(&vm);
	unlink(script);
	return 0;
}

static uint64_t do_io(const struct place *p, bool is_write, uint64_t value)
{
	struct io_req req = {.io = {.value = value, .size = p->size, .is_write = is_write},
		.addr = p->addr,
		.bus = p->bus,
		.count = 1};

	bus_io(&vm.bus, &req);
	return req.io.result;
}

struct reader {
	const struct place *place;
	uint64_t value;
	unsigned wrong;
	_Atomic bool is_done;
};

static void *read_many(void *opaque)
{
	struct reader *r = opaque;

	for (unsigned i = 0; i < READS; i++)
		r->wrong += do_io(r->place, false, 0) != r->value;
	atomic_store(&r->is_done, true);
	return NULL;
}

static void *write_one(void *opaque)
{
	struct reader *r = opaque;

	do_io(r->place, true, 0);
	atomic_store(&r->is_done, true);
	return NULL;
}

static struct accel_counters counters(const struct range *range)
{
	struct accel_counters c;

	accel_slot_counters(range->slot, &c);
	return c;
}

static void test_reads_do_not_wait(void **state)
{
	(void)state;
	do_io(&(struct place){"hpet", IO_MMIO, 0xfed00010, 4}, true, 1); /* it counts */
	clock_advance(&vm.clock, clock_now(&vm.clock) + 1234567890);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct range *range = bus_find_name(&vm.bus, places[i].range);
		struct reader r = {.place = &places[i], .value = do_io(&places[i], false, 0)};
		struct accel_counters before = counters(range);
		pthread_t thread;

		assert_ptr_equal(bus_find(&vm.bus, places[i].bus, places[i].addr), range);
		pthread_mutex_lock(&range->dev->lock);
		assert_int_equal(pthread_create(&thread, NULL, read_many, &r), 0);
		pthread_join(thread, NULL);
		pthread_mutex_unlock(&range->dev->lock);
		assert_int_equal(r.wrong, 0);
		assert_int_equal(counters(range).answered - before.answered, READS);
		assert_int_equal(counters(range).punted, before.punted);
	}
}

/* The reverse, without which the test above could show nothing: what is the model's does wait. */
static void test_the_models_wait(void **state)
{
	const struct place p = {"hpet", IO_MMIO, 0xfed00108, 4};
	struct device *dev = bus_find_name(&vm.bus, "hpet")->dev;
	struct reader r = {.place = &p};
	pthread_t thread;

	(void)state;
	pthread_mutex_lock(&dev->lock);
	assert_int_equal(pthread_create(&thread, NULL, write_one, &r), 0);
	usleep(CHECK_MS * 1000);
	assert_false(atomic_load(&r.is_done));
	pthread_mutex_unlock(&dev->lock);
	pthread_join(thread, NULL);
	assert_true(r.is_done);
}

/* And the page: a read waits a bounded time for who holds it, then it is the model's. */
static void test_a_held_page(void **state)
{
	struct range *range = bus_find_name(&vm.bus, "pm");
	struct reader r = {.place = &places[3], .value = do_io(&places[3], false, 0)};
	struct accel_counters before = counters(range);
	pthread_t thread;

	(void)state;
	pthread_mutex_lock(&range->dev->lock);
	page_begin(range->dev);
	assert_int_equal(pthread_create(&thread, NULL, read_many, &r), 0);
	while (counters(range).busy == before.busy)
		usleep(1000);
	assert_false(atomic_load(&r.is_done));
	page_end(range->dev);
	pthread_mutex_unlock(&range->dev->lock);
	pthread_join(thread, NULL);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(counters(range).punted - before.punted, counters(range).busy - before.busy);
	assert_int_equal(counters(range).answered - before.answered + (counters(range).punted - before.punted), READS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reads_do_not_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_models_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_held_page, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("model_holds", tests, NULL, NULL);
}
