// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_doorbell.c: a bell that a program rings, on examples/doorbell: no ring is lost and none is made up, with two
 * vCPUs that write and the worker that reads, whether programs are off, on or checked. Also run under ThreadSanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

int doorbell_main(int argc, char **argv); /* the example's own */
#define main doorbell_main
#include "examples/doorbell/doorbell.c"
#undef main

#define WRITERS 2
#define NUMBERS 20000 /* of each */
#define PORT 0x510
#define WAIT_MS 60000

static char object_path[512];

struct world {
	struct clock clock;
	struct bus bus;
	struct bell_dev bell;
	struct bell_page *page;
	struct accel_slot *slot;
};

struct writer {
	struct world *w;
	uint32_t vcpu;
	pthread_t thread;
};

static void build(struct world *w, enum accel_mode mode)
{
	struct range *range,
		proto = {"doorbell", &w->bell.dev, IO_PIO, .base = PORT, .mapped = true, .len = 16, .width = 4};
	struct accel_object *obj;
	struct accel_err err;

	memset(w, 0, sizeof(*w));
	proto.read = bell_dev_read;
	proto.write = bell_dev_write;
	assert_int_equal(clock_init(&w->clock, true), 0);
	assert_int_equal(bus_init(&w->bus, &w->clock, mode), 0);
	assert_int_equal(bell_init(&w->bell, &w->clock), 0);
	w->page = device_page(&w->bell.dev);
	range = bus_add(&w->bus, &proto);
	assert_non_null(range);
	assert_int_equal(accel_slot_new(w->bell.dev.page, &w->clock.source, WRITERS, ACCEL_STATEFUL, &w->slot), 0);
	bus_set_slot(&w->bus, range, w->slot);
	accel_slot_set_eventfd(w->slot, w->bell.fd);
	if (accel_object_open_file(object_path, &obj, &err) || accel_slot_attach(w->slot, obj, "doorbell", &err))
		fail_msg("%s", err.text);
	accel_object_put(obj);
}

static void tear(struct world *w)
{
	assert_int_equal(bus_check_divergences(&w->bus), 0);
	bus_set_slot(&w->bus, bus_find_name(&w->bus, "doorbell"), NULL);
	accel_slot_free(w->slot);
	bell_cleanup(&w->bell);
	bus_destroy(&w->bus);
	clock_destroy(&w->clock);
}

static void put(struct world *w, uint32_t vcpu, uint32_t number)
{
	struct io_req req = {.io = {.value = number, .size = 4, .vcpu = vcpu, .is_write = 1}, .addr = PORT, .count = 1};

	bus_io(&w->bus, &req);
}

/* The worker has taken `count` numbers and sleeps. A lost ring would be waited for in vain. */
static void wait_for(const struct world *w, uint32_t count)
{
	for (unsigned ms = 0; HR_LOAD(w->page->done) != count || !HR_LOAD(w->page->notify); ms++) {
		if (ms == WAIT_MS)
			fail_msg("%u of %u numbers taken", HR_LOAD(w->page->done), count);
		usleep(1000);
	}
}

static void *write_all(void *opaque)
{
	struct writer *writer = opaque;

	for (uint32_t i = 1; i <= NUMBERS; i++) {
		put(writer->w, writer->vcpu, i);
		if (i % 32 == 0)
			usleep(20); /* else the worker would hardly come to sleep */
	}
	return NULL;
}

static void busy(enum accel_mode mode)
{
	struct writer writers[WRITERS];
	struct accel_counters c;
	struct world w;

	build(&w, mode);
	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.w = &w, .vcpu = i};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
	}
	for (uint32_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	wait_for(&w, WRITERS * NUMBERS);
	/* under the lock, which the worker let go after it had set notify */
	pthread_mutex_lock(&w.bell.dev.lock);
	assert_int_equal(w.page->sum, WRITERS * ((uint32_t)NUMBERS * (NUMBERS + 1) / 2));
	assert_int_equal(w.page->rings + w.page->quiet, WRITERS * NUMBERS);
	assert_in_range(w.page->rings, 1, WRITERS * NUMBERS);
	/* it woke for each ring, as it sleeps only when the flag is set, and for nothing else */
	assert_int_equal(w.bell.wakes, w.page->rings);
	pthread_mutex_unlock(&w.bell.dev.lock);
	accel_slot_counters(w.slot, &c);
	assert_int_equal(c.answered + c.punted, mode == ACCEL_OFF ? 0 : WRITERS * NUMBERS);
	print_message("%u rings, %u without; %llu by program\n", w.page->rings, w.page->quiet,
		(unsigned long long)c.answered);
	tear(&w);
}

static void test_busy_off(void **state)
{
	(void)state;
	busy(ACCEL_OFF);
}

static void test_busy_on(void **state)
{
	(void)state;
	busy(ACCEL_ON);
}

static void test_busy_check(void **state)
{
	(void)state;
	busy(ACCEL_CHECK);
}

/* While the worker is kept from the page by the device's mutex only the first of the numbers rings, and no write waits. */
static void test_suppressed(void **state)
{
	struct accel_counters c;
	struct world w;

	(void)state;
	build(&w, ACCEL_ON);
	for (uint32_t round = 1; round <= 3; round++) {
		pthread_mutex_lock(&w.bell.dev.lock);
		for (uint32_t i = 0; i < BELL_SLOTS; i++)
			put(&w, 0, 7);
		assert_int_equal(HR_LOAD(w.page->rings), round);
		assert_int_equal(HR_LOAD(w.page->quiet), round * (BELL_SLOTS - 1));
		pthread_mutex_unlock(&w.bell.dev.lock);
		wait_for(&w, round * BELL_SLOTS);
		assert_int_equal(HR_LOAD(w.page->sum), round * BELL_SLOTS * 7);
	}
	accel_slot_counters(w.slot, &c);
	assert_int_equal(c.answered, 3 * BELL_SLOTS);
	assert_int_equal(c.punted, 0);
	tear(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_busy_off),
		cmocka_unit_test(test_busy_on),
		cmocka_unit_test(test_busy_check),
		cmocka_unit_test(test_suppressed),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(object_path, sizeof(object_path), "%.*s/../../examples/doorbell/doorbell.bpf.o",
		slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	return cmocka_run_group_tests_name("doorbell", tests, NULL, NULL);
}
