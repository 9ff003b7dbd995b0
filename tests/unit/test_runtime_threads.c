/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_runtime_threads.c: the whole engine with real threads: loader, verifier, interpreter and
 * runtime, on programs compiled by clang (tests/prog/threads.bpf.c), two vCPUs and a model at once.
 * Also built and run under ThreadSanitizer, where a plain access to a shared field would show.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/accel.h"
#include "tests/prog/threads.h"

#define MODEL_CHANGES 100000
#define VCPU_ACCESSES 50000
#define REPLACEMENTS 100

static char object_path[512];
static const struct accel_clock host_clock;

struct fix {
	struct accel_page *page;
	struct threads_page *st;
	struct accel_slot *slot;
};

struct vcpu {
	struct accel_slot *slot;
	uint32_t index;
	_Atomic bool stop;
	uint64_t loops, answered, bad;
};

/* Joins both before anything is asserted: a failing test must not leave threads behind. */
static void join_both(struct vcpu v[2], const pthread_t t[2])
{
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&v[i].stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(v[i].bad, 0);
		assert_true(v[i].answered > 0);
	}
}

static struct accel_object *open_object(void)
{
	struct accel_object *obj;
	struct accel_err err;

	if (accel_object_open_file(object_path, &obj, &err))
		fail_msg("%s", err.text);
	return obj;
}

static void attach(struct fix *f, const char *prog)
{
	struct accel_object *obj = open_object();
	struct accel_err err;

	if (accel_slot_attach(f->slot, obj, prog, &err))
		fail_msg("%s", err.text);
	accel_object_put(obj);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	assert_int_equal(accel_page_new(THREADS_VERSION, sizeof(struct threads_page), &f->page), 0);
	assert_int_equal(accel_slot_new(f->page, &host_clock, 2, ACCEL_STATEFUL, &f->slot), 0);
	f->st = (struct threads_page *)accel_page_data(f->page);
	f->st->b = ~f->st->a;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	accel_slot_free(f->slot);
	accel_page_free(f->page);
	free(f);
	return 0;
}

static void *read_pairs(void *opaque)
{
	struct vcpu *v = opaque;

	while (!atomic_load(&v->stop) || v->answered == 0) {
		struct hr_io io = {.size = 8, .vcpu = v->index};

		v->loops++;
		if (accel_run(v->slot, &io) != HR_ANSWER)
			continue;
		v->answered++;
		v->bad += io.result != 0;
	}
	return NULL;
}

static void no_torn_answer(void **state)
{
	struct fix *f = *state;
	struct vcpu v[2] = {{.slot = f->slot, .index = 0}, {.slot = f->slot, .index = 1}};
	struct accel_counters c;
	pthread_t t[2];

	attach(f, "pair");
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, read_pairs, &v[i]);
	/* goes on until they have really met, as far as this host lets them */
	for (uint64_t n = 1; n <= 40 * MODEL_CHANGES; n++) {
		if (n % MODEL_CHANGES == 0) {
			accel_slot_counters(f->slot, &c);
			if (c.retried + c.busy >= 100)
				break;
		}
		accel_page_begin(f->page);
		HR_STORE(f->st->a, n);
		HR_STORE(f->st->b, ~n);
		accel_page_end(f->page);
	}
	join_both(v, t);
	accel_slot_counters(f->slot, &c);
	assert_int_equal(c.answered, v[0].answered + v[1].answered);
	assert_int_equal(c.punted, v[0].loops + v[1].loops - c.answered);
	assert_int_equal(c.punted, c.busy);
	print_message("%llu answered, %llu thrown away and run again, %llu punts of a busy page\n",
		(unsigned long long)c.answered, (unsigned long long)c.retried, (unsigned long long)c.busy);
}

static void *add_many(void *opaque)
{
	struct vcpu *v = opaque;
	uint64_t last = 0;

	/* a holder that is not running can keep the page busy for a whole time slice: goes on until it got in */
	for (v->loops = 0; v->loops < VCPU_ACCESSES || v->answered == 0; v->loops++) {
		struct hr_io io = {.size = 8, .is_write = 1, .vcpu = v->index, .value = v->loops % 4 ? 3 : 0};

		if (accel_run(v->slot, &io) != HR_ANSWER) {
			sched_yield();
			continue;
		}
		v->answered++;
		v->bad += io.result <= last; /* the count in .bss only rises */
		last = io.result;
	}
	return NULL;
}

/* Two vCPUs in `access` while the model changes the page. Gives how many accesses were answered; the sum in the page is right. */
static uint64_t add_beside_the_model(struct fix *f, void *(*access)(void *), struct vcpu v[2])
{
	struct hr_io io = {.size = 8, .is_write = 1, .value = 1};
	uint64_t answered;
	pthread_t t[2];

	attach(f, "add");
	for (unsigned i = 0; i < 2; i++) {
		v[i] = (struct vcpu){.slot = f->slot, .index = i};
		pthread_create(&t[i], NULL, access, &v[i]);
	}
	for (unsigned n = 0; n < MODEL_CHANGES; n++) {
		accel_page_begin(f->page);
		HR_STORE(f->st->sum, HR_LOAD(f->st->sum) + 1);
		accel_page_end(f->page);
	}
	join_both(v, t);
	answered = v[0].answered + v[1].answered;
	assert_int_equal(f->st->sum, MODEL_CHANGES + 3 * answered);
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(io.result, answered + 1);
	return answered;
}

static void no_lost_update(void **state)
{
	struct vcpu v[2];

	add_beside_the_model(*state, add_many, v);
}

#define STRING 200 /* elements, of which one is passed on */

/* What an access of a VMM's `rep outs` does: the model adds what the program passes on. */
static void *add_strings(void *opaque)
{
	struct vcpu *v = opaque;
	uint64_t data[STRING];

	for (unsigned i = 0; i < STRING; i++)
		data[i] = i == STRING / 2 ? 0 : 3;
	for (v->loops = 0; v->loops < VCPU_ACCESSES / STRING || v->answered == 0; v->loops++) {
		for (uint32_t done = 0; done < STRING;) {
			struct hr_io io = {.size = 8, .is_write = 1, .vcpu = v->index};
			uint32_t n = accel_run_string(v->slot, &io, STRING - done, data + done);

			v->answered += n;
			done += n;
			if (done < STRING)
				v->bad += io.value != data[done];
			if (done < STRING && data[done] == 0)
				done++;
			else if (done < STRING)
				sched_yield(); /* the page was busy: again from there */
		}
	}
	return NULL;
}

static void strings_lose_and_repeat_nothing(void **state)
{
	struct vcpu v[2];
	uint64_t answered = add_beside_the_model(*state, add_strings, v);

	assert_int_equal(answered, (v[0].loops + v[1].loops) * (STRING - 1));
}

static void *read_constant(void *opaque)
{
	struct vcpu *v = opaque;

	while (!atomic_load(&v->stop) || v->answered == 0) {
		struct hr_io io = {.size = 8, .vcpu = v->index};

		v->loops++;
		if (accel_run(v->slot, &io) != HR_ANSWER)
			continue;
		v->answered++;
		v->bad += io.result != 1 && io.result != 2;
	}
	return NULL;
}

/* Each replacement opens the object anew, so that the old one goes with its last access. */
static void replaced_while_it_runs(void **state)
{
	struct fix *f = *state;
	struct vcpu v[2] = {{.slot = f->slot, .index = 0}, {.slot = f->slot, .index = 1}};
	pthread_t t[2];

	attach(f, "first");
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, read_constant, &v[i]);
	for (unsigned n = 0; n < REPLACEMENTS; n++) {
		attach(f, n % 2 ? "first" : "second");
		if (n % 8 == 0)
			accel_slot_detach(f->slot);
		sched_yield();
	}
	join_both(v, t);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(no_torn_answer),
		CASE(no_lost_update),
		CASE(strings_lose_and_repeat_nothing),
		CASE(replaced_while_it_runs),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(object_path, sizeof(object_path), "%.*s/../prog/threads.bpf.o", slash ? (int)(slash - argv[0]) : 1,
		slash ? argv[0] : ".");
	return cmocka_run_group_tests_name("runtime_threads", tests, NULL, NULL);
}
