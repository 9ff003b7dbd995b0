/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_runtime_string.c: accel_run_string() by itself, with programs that are C functions (fake_object.c):
 * what is done up to a punt, what is left alone after it, how long the page is held, and the bell between elements.
 *
 * Linked with --wrap=syscall,--wrap=write, of which only write is of interest: see __wrap_write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "accel/page.h"
#include "tests/unit/fake_object.h"

#define VERSION 7
#define MOST 300 /* elements */

struct state {
	struct hr_page head;
	int64_t offset_ns;
	uint64_t a;
	uint64_t b;
};

static struct accel_clock test_clock = {.is_virtual = true};

static struct fix {
	struct accel_page *page;
	struct state *st;
	struct accel_slot *slot;
	struct accel_object obj;
	unsigned runs;
	uint64_t seen[MOST];	   /* io->value by run */
	uint32_t seq_seen[MOST];   /* the sequence word by run */
	uint64_t punts_at;	   /* this run punts, counted from 1 */
	uint64_t rings_at;	   /* this one rings */
	bool model_takes_the_page; /* while the bell rings */
	unsigned bells, bells_with_page_held;
} f;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
ssize_t __real_write(int fd, const void *buf, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t size);

long __wrap_syscall(long number, ...)
{
	va_list ap;
	long a;

	va_start(ap, number);
	a = va_arg(ap, int);
	va_end(ap);
	return __real_syscall(number, a, 0, 0);
}

#define BELL_FD 12345

ssize_t __wrap_write(int fd, const void *buf, size_t size)
{
	if (fd != BELL_FD)
		return __real_write(fd, buf, size);
	f.bells++;
	f.bells_with_page_held += HR_LOAD(f.st->head.seq) & 1;
	if (f.model_takes_the_page)
		accel_page_begin(f.page);
	return (ssize_t)size;
}

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	assert_int_equal(accel_page_new(VERSION, sizeof(struct state), &f.page), 0);
	f.st = (struct state *)accel_page_data(f.page);
	assert_int_equal(accel_slot_new(f.page, &test_clock, 2, ACCEL_STATEFUL, &f.slot), 0);
	fake_object_init(&f.obj, "test.bpf.o", VERSION, sizeof(struct state));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	accel_slot_free(f.slot);
	accel_page_free(f.page);
	assert_int_equal(fake_codes, 0);
	return 0;
}

/* Counts up in the page, from a value with all bytes different; writes are noted. */
static uint64_t count_up(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = (struct state *)env->map_base[FAKE_STATE];

	assert_int_equal(io->result, 0);
	assert_true(f.runs < MOST);
	f.seen[f.runs] = io->value;
	f.seq_seen[f.runs] = st->head.seq;
	if (++f.runs == f.punts_at) {
		io->result = 0xdead;
		return HR_PUNT_WHY(5);
	}
	io->result = 0x8877665544332200 + st->a++;
	return f.runs == f.rings_at ? HR_ANSWER_RING : HR_ANSWER;
}

static void attach(enum accel_effect effect, uint64_t worst_case)
{
	struct accel_err err;

	fake_object_add(&f.obj, "p", effect, count_up);
	f.obj.progs[0].worst_case = worst_case;
	assert_int_equal(accel_slot_attach(f.slot, &f.obj, "p", &err), 0);
}

static struct accel_counters counters(void)
{
	struct accel_counters c;

	accel_slot_counters(f.slot, &c);
	return c;
}

static void reads(enum accel_effect effect)
{
	attach(effect, 1);
	for (unsigned size = 1; size <= 8; size *= 2) {
		struct hr_io io = {.size = (uint8_t)size, .vcpu = 1, .result = 77, .value = 88};
		uint8_t data[10 * 8 + 2];

		f.st->a = 0;
		memset(data, 0xee, sizeof(data));
		assert_int_equal(accel_run_string(f.slot, &io, 10, data + 1), 10); /* unaligned as well */
		assert_int_equal(data[0], 0xee);
		assert_int_equal(data[1 + 10 * size], 0xee);
		for (unsigned i = 0; i < 10; i++) {
			static const uint8_t above[7] = {0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};

			assert_int_equal(data[1 + i * size], i);
			assert_memory_equal(&data[2 + i * size], above, size - 1);
		}
		assert_true(io.result == hr_mask(0x8877665544332209, size));
		assert_int_equal(io.value, 0);
	}
	assert_int_equal(f.runs, 40);
	assert_int_equal(counters().answered, 40);
	assert_int_equal(counters().punted, 0);
}

static void reads_of_all_sizes_pure(void **state)
{
	(void)state;
	reads(ACCEL_PURE);
	assert_int_equal(f.st->head.seq, 0);
}

static void reads_of_all_sizes_stateful(void **state)
{
	(void)state;
	reads(ACCEL_STATEFUL);
	assert_int_equal(f.st->head.seq, 2 * 4); /* once for each string */
}

static void writes_of_all_sizes(void **state)
{
	uint8_t data[5 * 8 + 1], copy[sizeof(data)];

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 3);
	memcpy(copy, data, sizeof(data));
	attach(ACCEL_STATEFUL, 1);
	for (unsigned size = 1; size <= 8; size *= 2) {
		struct hr_io io = {.size = (uint8_t)size, .is_write = 1};

		f.runs = 0;
		assert_int_equal(accel_run_string(f.slot, &io, 5, data + 1), 5);
		assert_int_equal(f.runs, 5);
		for (unsigned i = 0; i < 5; i++) {
			uint64_t want = 0;

			for (unsigned k = 0; k < size; k++)
				want |= (uint64_t)copy[1 + i * size + k] << (8 * k);
			assert_true(f.seen[i] == want);
		}
	}
	assert_memory_equal(data, copy, sizeof(data));
}

/* The page is held for a batch, which is the shorter the longer the program may run. */
static void holds_are_bounded(void **state)
{
	static const struct {
		uint64_t worst_case;
		unsigned batch;
	} cases[] = {{1, 64}, {64, 64}, {100, 40}, {4096, 1}, {1000000, 1}};
	uint8_t data[MOST];

	(void)state;
	attach(ACCEL_STATEFUL, 1);
	for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct hr_io io = {.size = 1};
		struct accel_err err;

		f.obj.progs[0].worst_case = cases[c].worst_case;
		assert_int_equal(accel_slot_attach(f.slot, &f.obj, "p", &err), 0);
		f.runs = 0;
		f.st->head.seq = 0;
		assert_int_equal(accel_run_string(f.slot, &io, 200, data), 200);
		for (unsigned i = 0; i < 200; i++)
			assert_int_equal(f.seq_seen[i], 2 * (i / cases[c].batch) + 1);
		assert_int_equal(f.st->head.seq, 2 * ((200 + cases[c].batch - 1) / cases[c].batch));
	}
}

/* Up to the punt, and on behind it: every element is run once, and the one punted twice if it is given again. */
static void stops(enum accel_effect effect)
{
	attach(effect, 1);
	for (unsigned at = 1; at <= 150; at++) {
		const uint32_t batches = (at - 1) / 64 + ((at - 1) % 64 != 0);
		uint16_t data[151];
		struct hr_io io = {.size = 2};

		memset(data, 0xee, sizeof(data));
		f.runs = 0;
		f.st->a = 0;
		f.st->head.seq = 0;
		f.punts_at = at;
		assert_int_equal(accel_run_string(f.slot, &io, 150, data), at - 1);
		assert_int_equal(io.result, 0);
		assert_int_equal(f.runs, at);
		assert_int_equal(f.st->a, at - 1);
		assert_int_equal(counters().why[5], at);
		/* a hold in which something was answered is a change, one that only punts is none */
		assert_int_equal(f.st->head.seq, effect == ACCEL_STATEFUL ? 2 * batches : 0);
		for (unsigned i = 0; i < 151; i++)
			assert_int_equal(data[i], i < at - 1 ? 0x2200 + i : 0xeeee);
		if (at < 150)
			assert_int_equal(accel_run_string(f.slot, &io, 150 - at, data + at), 150 - at);
		assert_int_equal(f.st->a, 149);
		assert_int_equal(data[at - 1], 0xeeee); /* the model's */
		assert_int_equal(data[150], 0xeeee);
		if (at < 150)
			assert_int_equal(data[149], 0x2200 + 148);
	}
	assert_int_equal(counters().answered, 150 * 149);
	assert_int_equal(counters().punted, 150);
}

static void stops_at_a_punt_pure(void **state)
{
	(void)state;
	stops(ACCEL_PURE);
}

static void stops_at_a_punt_stateful(void **state)
{
	(void)state;
	stops(ACCEL_STATEFUL);
}

static void a_punted_write_has_its_value(void **state)
{
	uint8_t data[6] = {10, 11, 12, 13, 14, 15};
	struct hr_io io = {.size = 1, .is_write = 1};

	(void)state;
	attach(ACCEL_STATEFUL, 1);
	f.punts_at = 4;
	assert_int_equal(accel_run_string(f.slot, &io, 6, data), 3);
	assert_int_equal(io.value, 13);
	assert_int_equal(io.result, 0);
}

static void the_bell_rings_between_elements(void **state)
{
	uint8_t data[100];
	struct hr_io io = {.size = 1};

	(void)state;
	attach(ACCEL_STATEFUL, 1);
	accel_slot_set_eventfd(f.slot, BELL_FD);
	f.rings_at = 10;
	assert_int_equal(accel_run_string(f.slot, &io, 100, data), 100);
	assert_int_equal(f.bells, 1);
	assert_int_equal(f.bells_with_page_held, 0);
	assert_int_equal(f.seq_seen[9], 1);
	assert_int_equal(f.seq_seen[10], 3); /* let go for it */
	assert_int_equal(f.runs, 100);
	f.runs = 0;
	f.rings_at = 100; /* the last one */
	assert_int_equal(accel_run_string(f.slot, &io, 100, data), 100);
	assert_int_equal(f.bells, 2);
	assert_int_equal(io.result, 199);
}

/* The model takes the page in the middle of a string and keeps it: the rest is the model's, what was done is done. */
static void a_page_that_gets_busy(void **state)
{
	uint8_t data[100];
	struct hr_io io = {.size = 1};

	(void)state;
	attach(ACCEL_STATEFUL, 1);
	accel_slot_set_eventfd(f.slot, BELL_FD);
	f.rings_at = 10;
	f.model_takes_the_page = true;
	assert_int_equal(accel_run_string(f.slot, &io, 100, data), 10);
	assert_int_equal(f.runs, 10);
	assert_int_equal(f.st->a, 10);
	assert_int_equal(io.result, 0);
	assert_int_equal(counters().answered, 10);
	assert_int_equal(counters().punted, 1);
	assert_int_equal(counters().busy, 1);
	assert_int_equal(counters().why[0], 1);
	assert_int_equal(accel_run_string(f.slot, &io, 90, data), 0);
	assert_int_equal(f.runs, 10);
	accel_page_end(f.page);
	assert_int_equal(accel_run_string(f.slot, &io, 90, data), 90);
	assert_int_equal(data[0], 10);
}

static unsigned tear_first;

static uint64_t torn(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = (struct state *)env->map_base[FAKE_STATE];

	io->result = ++f.runs;
	if (f.runs <= tear_first)
		st->head.seq += 2;
	return HR_ANSWER;
}

static void torn_elements_are_not_stored(void **state)
{
	uint8_t data[4] = {0xee, 0xee, 0xee, 0xee};
	struct hr_io io = {.size = 1};
	struct accel_err err;

	(void)state;
	fake_object_add(&f.obj, "p", ACCEL_PURE, torn);
	assert_int_equal(accel_slot_attach(f.slot, &f.obj, "p", &err), 0);
	tear_first = 3;
	assert_int_equal(accel_run_string(f.slot, &io, 2, data), 2);
	assert_int_equal(data[0], 4);
	assert_int_equal(data[1], 5);
	assert_int_equal(counters().retried, 3);
	f.runs = 0;
	tear_first = MOST;
	assert_int_equal(accel_run_string(f.slot, &io, 2, data + 2), 0);
	assert_int_equal(data[2], 0xee);
	assert_int_equal(counters().busy, 1);
}

static void what_is_no_access_does_nothing(void **state)
{
	uint8_t data[64] = {0};
	struct hr_io io = {.size = 1};

	(void)state;
	assert_int_equal(accel_run_string(f.slot, &io, 1, data), 0); /* nothing attached: no punt either */
	attach(ACCEL_STATEFUL, 1);
	assert_int_equal(accel_run_string(f.slot, &io, 0, data), 0);
	io.vcpu = 2;
	assert_int_equal(accel_run_string(f.slot, &io, 1, data), 0);
	io.vcpu = 0;
	for (unsigned size = 0; size <= 255; size++) {
		io.size = (uint8_t)size;
		if (size != 1 && size != 2 && size != 4 && size != 8)
			assert_int_equal(accel_run_string(f.slot, &io, 1, data), 0);
	}
	assert_int_equal(f.runs, 0);
	assert_int_equal(counters().answered + counters().punted, 0);
	assert_int_equal(f.st->head.seq, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(reads_of_all_sizes_pure),
		CASE(reads_of_all_sizes_stateful),
		CASE(writes_of_all_sizes),
		CASE(holds_are_bounded),
		CASE(stops_at_a_punt_pure),
		CASE(stops_at_a_punt_stateful),
		CASE(a_punted_write_has_its_value),
		CASE(the_bell_rings_between_elements),
		CASE(a_page_that_gets_busy),
		CASE(torn_elements_are_not_stored),
		CASE(what_is_no_access_does_nothing),
	};

	return cmocka_run_group_tests_name("runtime_string", tests, NULL, NULL);
}
