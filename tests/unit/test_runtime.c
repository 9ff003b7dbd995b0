/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_runtime.c: the state page and the slots by themselves, with programs that are C functions
 * (fake_object.c), so that every interleaving that matters can be set up in one thread. The
 * two-thread tests run with and without membarrier(2), and under ThreadSanitizer.
 *
 * Linked with --wrap=syscall,--wrap=write: see __wrap_*.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "accel/page.h"
#include "tests/unit/fake_object.h"

struct state {
	struct hr_page head;
	int64_t offset_ns;
	uint64_t a;
	uint64_t b;
};

#define VERSION 7

/* ---- what the linker puts between runtime.c and the system -------------------------------- */

static bool deny_membarrier;
static int membarriers;
static struct state *write_watches; /* the page whose word must be even when the ring comes */
static int write_interrupts;	    /* fail so often with EINTR first */
static int writes_seen, writes_with_page_held;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
ssize_t __real_write(int fd, const void *buf, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t size);

long __wrap_syscall(long number, ...)
{
	va_list ap;
	long a, b, c;

	va_start(ap, number);
	a = va_arg(ap, int);
	b = va_arg(ap, int);
	c = va_arg(ap, int);
	va_end(ap);
	if (number == __NR_membarrier && deny_membarrier) {
		errno = ENOSYS;
		return -1;
	}
	if (number == __NR_membarrier && a == MEMBARRIER_CMD_PRIVATE_EXPEDITED)
		membarriers++;
	return __real_syscall(number, a, b, c);
}

ssize_t __wrap_write(int fd, const void *buf, size_t size)
{
	if (write_watches) {
		writes_seen++;
		if (HR_LOAD(write_watches->head.seq) & 1)
			writes_with_page_held++;
		if (write_interrupts > 0) {
			write_interrupts--;
			errno = EINTR;
			return -1;
		}
	}
	return __real_write(fd, buf, size);
}

/* ---- fixtures ------------------------------------------------------------------------------- */

static struct accel_clock test_clock = {.is_virtual = true};
static struct accel_err err;

struct fix {
	struct accel_page *page;
	struct state *st;
	struct accel_slot *slot;
	struct accel_object obj;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	assert_int_equal(accel_page_new(VERSION, sizeof(struct state), &f->page), 0);
	f->st = (struct state *)accel_page_data(f->page);
	assert_int_equal(accel_slot_new(f->page, &test_clock, 2, ACCEL_STATEFUL, &f->slot), 0);
	fake_object_init(&f->obj, "test.bpf.o", VERSION, sizeof(struct state));
	accel_clock_set_virtual(&test_clock, 1000);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	accel_slot_free(f->slot);
	accel_page_free(f->page);
	assert_int_equal(f->obj.refs, 1);
	assert_int_equal(fake_codes, 0);
	free(f);
	return 0;
}

static void attach(struct accel_slot *slot, struct accel_object *obj, enum accel_effect effect, fake_fn *fn)
{
	fake_object_add(obj, "p", effect, fn);
	assert_int_equal(accel_slot_attach(slot, obj, "p", &err), 0);
}

static struct hr_io read_io(uint32_t offset, uint8_t size)
{
	struct hr_io io = {.offset = offset, .size = size};

	return io;
}

static struct accel_counters counters(const struct accel_slot *slot)
{
	struct accel_counters c;

	accel_slot_counters(slot, &c);
	return c;
}

static struct state *page_of(const struct prog_env *env)
{
	return (struct state *)env->map_base[FAKE_STATE];
}

/* ---- the inline way's other places -------------------------------------------------------- */

static uint64_t prog_one(const struct prog_env *env, struct hr_io *io)
{
	(void)env;
	io->result = 1;
	return HR_ANSWER;
}

static uint64_t prog_two(const struct prog_env *env, struct hr_io *io)
{
	(void)env;
	io->result = 2;
	return HR_ANSWER;
}

/* Whoever joined has the slot's program, before it is attached and after, and none once it has left. */
static void places_that_joined_follow_the_slot(void **state)
{
	struct fix *f = *state;
	struct accel_hot hot[3];
	struct accel_object other;
	struct hr_io io = read_io(0, 4);

	accel_hot_join(f->slot, &hot[0]);
	accel_hot_join(f->slot, &hot[1]);
	if (!accel_hot_ready(&hot[0])) {
		print_message("SKIP: no membarrier(2)\n");
		skip();
	}
	assert_int_equal(accel_hot_run(&hot[0], &io), 0); /* nothing is attached */
	attach(f->slot, &f->obj, ACCEL_PURE, prog_one);
	accel_hot_join(f->slot, &hot[2]);
	for (unsigned i = 0; i < 3; i++) {
		io.result = 99;
		assert_int_equal(accel_hot_run(&hot[i], &io), HR_ANSWER);
		assert_int_equal(io.result, 1);
	}
	fake_object_init(&other, "other.bpf.o", VERSION, sizeof(struct state));
	attach(f->slot, &other, ACCEL_PURE, prog_two);
	accel_hot_leave(&hot[1]);
	assert_false(accel_hot_ready(&hot[1]));
	accel_hot_leave(&hot[1]);
	for (unsigned i = 0; i < 3; i += 2) {
		assert_int_equal(accel_hot_run(&hot[i], &io), HR_ANSWER);
		assert_int_equal(io.result, 2);
	}
	accel_slot_detach(f->slot);
	assert_int_equal(accel_hot_run(&hot[2], &io), 0);
	assert_int_equal(counters(f->slot).answered, 5);
	accel_hot_leave(&hot[2]);
	/* the first is still there when the slot is freed */
	accel_slot_free(f->slot);
	assert_false(accel_hot_ready(&hot[0]));
	assert_null(hot[0].slot);
	f->slot = NULL;
}

/* ---- the page ----------------------------------------------------------------------------- */

static void page_is_aligned_zeroed_and_headed(void **state)
{
	static const uint32_t sizes[] = {16, 48, 4096, 5000, ACCEL_PAGE_MAX_BYTES};

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct accel_page *page;
		uint8_t *data;

		assert_int_equal(accel_page_new(3, sizes[i], &page), 0);
		data = (uint8_t *)accel_page_data(page);
		assert_int_equal((uintptr_t)data % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
		assert_int_equal(accel_page_data(page)->seq, 0);
		assert_int_equal(accel_page_data(page)->version, 3);
		assert_int_equal(accel_page_data(page)->size, sizes[i]);
		for (uint32_t n = 12; n < sizes[i]; n++)
			assert_int_equal(data[n], 0);
		accel_page_free(page);
	}
	accel_page_free(NULL);
}

static void page_refuses_bad_sizes(void **state)
{
	struct accel_page *page;

	(void)state;
	assert_int_equal(accel_page_new(0, 48, &page), -EINVAL);
	assert_int_equal(accel_page_new(1, 15, &page), -EINVAL);
	assert_int_equal(accel_page_new(1, ACCEL_PAGE_MAX_BYTES + 1, &page), -EINVAL);
	assert_null(page);
}

static void begin_and_end_move_the_word(void **state)
{
	struct fix *f = *state;

	f->st->head.seq = 0xfffffffe; /* the wrap included */
	accel_page_begin(f->page);
	assert_int_equal(f->st->head.seq, 0xffffffff);
	accel_page_end(f->page);
	assert_int_equal(f->st->head.seq, 0);
	accel_page_begin(f->page);
	assert_int_equal(f->st->head.seq, 1);
	accel_page_end(f->page);
	assert_int_equal(f->st->head.seq, 2);
}

static void bind_refuses_another_version_size_or_layout(void **state)
{
	struct fix *f = *state;
	struct accel_object other;

	assert_int_equal(accel_page_bind(f->page, &f->obj, &err), 0);
	fake_object_init(&other, "other.bpf.o", VERSION, sizeof(struct state));
	assert_int_equal(accel_page_bind(f->page, &other, &err), 0);

	other.version = VERSION + 1;
	assert_int_equal(accel_page_bind(f->page, &other, &err), -EINVAL);
	assert_non_null(strstr(err.text, "other.bpf.o: its state page has version 8, the device's has version 7"));
	other.version = VERSION;

	other.size = sizeof(struct state) + 8;
	assert_int_equal(accel_page_bind(f->page, &other, &err), -EINVAL);
	assert_non_null(strstr(err.text, "48 bytes, the device's has 40"));
	other.size = sizeof(struct state);

	other.layout = "16 s64 offset_ns\n24 u32 a\n28 u32 c\n32 u64 b\n";
	assert_int_equal(accel_page_bind(f->page, &other, &err), -EINVAL);
	assert_non_null(strstr(err.text, "\"24 u64 a\" in the device and \"24 u32 a\" in the object"));
	other.layout = "16 s64 offset_ns\n24 u64 a\n";
	assert_int_equal(accel_page_bind(f->page, &other, &err), -EINVAL);
	assert_non_null(strstr(err.text, "\"32 u64 b\" in the device and \"(end)\" in the object"));
}

/* ---- attaching ---------------------------------------------------------------------------- */

static uint64_t answer_0x1122(const struct prog_env *env, struct hr_io *io)
{
	(void)env;
	io->result = 0xffffffff00001122;
	return HR_ANSWER;
}

static void slot_refuses_bad_arguments(void **state)
{
	struct fix *f = *state;
	struct accel_slot *slot;

	assert_int_equal(accel_slot_new(f->page, &test_clock, 0, ACCEL_PURE, &slot), -EINVAL);
	assert_int_equal(accel_slot_new(f->page, &test_clock, ACCEL_MAX_CPUS + 1, ACCEL_PURE, &slot), -EINVAL);
	assert_int_equal(accel_slot_new(f->page, &test_clock, 1, (enum accel_effect)0, &slot), -EINVAL);
	assert_null(slot);
	accel_slot_free(NULL);
}

static void slot_takes_as_many_cpus_as_promised(void **state)
{
	struct fix *f = *state;
	struct accel_slot *slot;

	assert_int_equal(accel_slot_new(f->page, &test_clock, ACCEL_MAX_CPUS, ACCEL_PURE, &slot), 0);
	attach(slot, &f->obj, ACCEL_PURE, answer_0x1122);
	for (uint32_t vcpu = 0; vcpu < ACCEL_MAX_CPUS + 2; vcpu++) {
		struct hr_io io = {.size = 2, .vcpu = vcpu};

		assert_int_equal(accel_run(slot, &io), vcpu < ACCEL_MAX_CPUS ? HR_ANSWER : HR_PUNT);
		assert_int_equal(io.result, vcpu < ACCEL_MAX_CPUS ? 0x1122 : 0);
	}
	assert_int_equal(counters(slot).answered, ACCEL_MAX_CPUS);
	accel_slot_free(slot);
}

static void attach_refuses_what_does_not_fit(void **state)
{
	struct fix *f = *state;
	struct accel_slot *pure;

	fake_object_add(&f->obj, "hpet_read", ACCEL_PURE, answer_0x1122);
	fake_object_add(&f->obj, "hpet_write", ACCEL_STATEFUL, answer_0x1122);
	fake_object_add(&f->obj, "unjudged", (enum accel_effect)0, answer_0x1122);

	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "hpet", &err), -ENOENT);
	assert_string_equal(err.text, "test.bpf.o: has no program hpet; it has hpet_read, hpet_write, unjudged");
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "unjudged", &err), -EACCES);
	assert_non_null(strstr(err.text, "has not been verified"));

	assert_int_equal(accel_slot_new(f->page, &test_clock, 1, ACCEL_PURE, &pure), 0);
	assert_int_equal(accel_slot_attach(pure, &f->obj, "hpet_write", &err), -EACCES);
	assert_non_null(strstr(err.text, "program hpet_write stores to the state page or .bss"));
	assert_false(accel_slot_attached(pure));
	assert_int_equal(accel_slot_attach(pure, &f->obj, "hpet_read", &err), 0);
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "hpet_read", &err), 0);
	assert_true(accel_slot_attached(pure));

	f->obj.version++;
	assert_int_equal(accel_slot_attach(pure, &f->obj, "hpet_read", &err), -EINVAL);
	f->obj.version--;
	assert_true(accel_slot_attached(pure)); /* a refused one leaves the old one */
	accel_slot_free(pure);
}

static void attach_that_runs_out_of_memory_leaves_the_old_one(void **state)
{
	struct fix *f = *state;
	struct hr_io io = read_io(0, 2);
	int refs;

	attach(f->slot, &f->obj, ACCEL_PURE, answer_0x1122);
	refs = f->obj.refs;
	for (int n = 1; n <= 2; n++) {
		fake_prepare_fails_at = n;
		assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), -ENOMEM);
		assert_non_null(strstr(err.text, "cannot prepare program p"));
		assert_int_equal(f->obj.refs, refs);
		assert_int_equal(fake_codes, 2);
		assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	}
}

static void objects_live_as_long_as_they_are_attached(void **state)
{
	struct fix *f = *state;
	struct accel_object *obj = malloc(sizeof(*obj));
	struct hr_io io = read_io(0, 2);

	fake_object_init(obj, "heap.bpf.o", VERSION, sizeof(struct state));
	obj->on_heap = true;
	attach(f->slot, obj, ACCEL_PURE, answer_0x1122);
	accel_object_put(obj);
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(io.result, 0x1122);
	accel_slot_detach(f->slot); /* frees obj; the sanitizer sees a leak or a late use */
	assert_int_equal(fake_codes, 0);
	assert_int_equal(accel_run(f->slot, &io), 0);
	assert_int_equal(counters(f->slot).answered, 1);
}

static uint64_t bump_bss(const struct prog_env *env, struct hr_io *io)
{
	uint64_t *n = (uint64_t *)env->map_base[FAKE_BSS];

	assert_int_equal(env->map_base[FAKE_RODATA][0], 0x5a);
	io->result = HR_LOAD(*n) + 1;
	HR_STORE(*n, io->result);
	return HR_ANSWER;
}

static void bss_is_one_per_object_and_page(void **state)
{
	struct fix *f = *state;
	struct accel_slot *same_page, *other_slot;
	struct accel_page *other_page;
	struct hr_io io = read_io(0, 8);

	f->obj.initial[FAKE_BSS][0] = 40;
	f->obj.initial[FAKE_RODATA][0] = 0x5a;
	assert_int_equal(accel_slot_new(f->page, &test_clock, 1, ACCEL_STATEFUL, &same_page), 0);
	assert_int_equal(accel_page_new(VERSION, sizeof(struct state), &other_page), 0);
	assert_int_equal(accel_slot_new(other_page, &test_clock, 1, ACCEL_STATEFUL, &other_slot), 0);
	attach(f->slot, &f->obj, ACCEL_STATEFUL, bump_bss);
	assert_int_equal(accel_slot_attach(same_page, &f->obj, "p", &err), 0);
	assert_int_equal(accel_slot_attach(other_slot, &f->obj, "p", &err), 0);

	accel_run(f->slot, &io);
	assert_int_equal(io.result, 41);
	accel_run(same_page, &io);
	assert_int_equal(io.result, 42);
	accel_run(other_slot, &io);
	assert_int_equal(io.result, 41);
	assert_int_equal(f->obj.initial[FAKE_BSS][0], 40);

	accel_slot_detach(f->slot); /* the other slot still holds the data */
	accel_run(same_page, &io);
	assert_int_equal(io.result, 43);
	accel_slot_detach(same_page);
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), 0);
	accel_run(f->slot, &io); /* nobody held it: from the start */
	assert_int_equal(io.result, 41);
	accel_slot_free(same_page);
	accel_slot_free(other_slot);
	accel_page_free(other_page);
}

/* ---- running ------------------------------------------------------------------------------ */

static uint64_t verdict_to_give;

static uint64_t give_verdict(const struct prog_env *env, struct hr_io *io)
{
	(void)env;
	io->result = ~0ull;
	return verdict_to_give;
}

static void verdicts_are_masked_and_counted(void **state)
{
	struct fix *f = *state;
	struct hr_io io = read_io(0, 1);
	struct accel_counters c;

	attach(f->slot, &f->obj, ACCEL_PURE, give_verdict);
	for (unsigned size = 1; size <= 8; size *= 2) {
		verdict_to_give = size == 4 ? HR_ANSWER_RING : HR_ANSWER;
		io.size = (uint8_t)size;
		assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
		assert_true(io.result == hr_mask(~0ull, size));
	}
	io.vcpu = 1;
	for (unsigned n = 0; n < 3; n++) {
		verdict_to_give = n == 0 ? HR_PUNT : HR_PUNT_WHY(n == 1 ? 1 : 255);
		io.result = 5;
		assert_int_equal(accel_run(f->slot, &io), 0);
		assert_int_equal(io.result, 0);
	}
	io.vcpu = 2; /* not a vCPU of this slot */
	assert_int_equal(accel_run(f->slot, &io), 0);
	c = counters(f->slot);
	assert_int_equal(c.answered, 4);
	assert_int_equal(c.punted, 3);
	assert_int_equal(c.why[0], 1);
	assert_int_equal(c.why[1], 1);
	assert_int_equal(c.why[255], 1);
	assert_int_equal(c.busy + c.retried, 0);
	assert_int_equal(f->st->head.seq, 0);
}

static int runs, tear_first;

/* As if the model had changed the page while the program ran, the first tear_first times. */
static uint64_t torn(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = page_of(env);

	assert_int_equal(io->result, 0);
	io->result = (uint64_t)++runs;
	if (runs <= tear_first)
		st->head.seq += 2;
	return HR_ANSWER;
}

static void torn_pure_answers_are_thrown_away(void **state)
{
	struct fix *f = *state;
	struct hr_io io = read_io(0, 8);

	attach(f->slot, &f->obj, ACCEL_PURE, torn);
	runs = 0;
	tear_first = 3;
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(io.result, 4);
	assert_int_equal(counters(f->slot).retried, 3);

	runs = 0;
	tear_first = 1 << 30;
	assert_int_equal(accel_run(f->slot, &io), 0); /* bounded */
	assert_int_equal(io.result, 0);
	assert_in_range(runs, 2, 64);
	assert_int_equal(counters(f->slot).retried, 3 + runs);
	assert_int_equal(counters(f->slot).busy, 1);
	assert_int_equal(counters(f->slot).punted, 1);
}

/* Left odd by the program's victim: the model is in the middle when the program ends. */
static uint64_t tear_to_odd(const struct prog_env *env, struct hr_io *io)
{
	io->result = 1;
	runs++;
	page_of(env)->head.seq |= 1;
	return HR_ANSWER;
}

static void a_page_that_stays_busy_punts(void **state)
{
	struct fix *f = *state;
	struct hr_io io = read_io(0, 8);

	attach(f->slot, &f->obj, ACCEL_PURE, tear_to_odd);
	accel_page_begin(f->page);
	runs = 0;
	assert_int_equal(accel_run(f->slot, &io), 0);
	assert_int_equal(runs, 0);
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), 0); /* attaching needs no page */
	f->obj.progs[0].effect = ACCEL_STATEFUL;
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), 0);
	assert_int_equal(accel_run(f->slot, &io), 0);
	assert_int_equal(runs, 0);
	assert_int_equal(counters(f->slot).busy, 2);
	accel_page_end(f->page);
	assert_int_equal(f->st->head.seq, 2); /* nobody took it from the model */

	f->obj.progs[0].effect = ACCEL_PURE;
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), 0);
	assert_int_equal(accel_run(f->slot, &io), 0); /* torn, then busy */
	assert_int_equal(runs, 1);
	accel_page_end(f->page);
}

static uint64_t stateful_store(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = page_of(env);

	assert_int_equal(st->head.seq & 1, 1); /* held while it runs */
	if (io->value == 0) {
		io->result = 9;
		return HR_PUNT_WHY(4);
	}
	HR_STORE(st->a, HR_LOAD(st->a) + io->value);
	return HR_ANSWER;
}

static void stateful_programs_hold_the_word(void **state)
{
	struct fix *f = *state;
	struct hr_io io = {.size = 8, .is_write = 1, .value = 3};

	attach(f->slot, &f->obj, ACCEL_STATEFUL, stateful_store);
	f->st->head.seq = 0xfffffffe;
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(f->st->a, 3);
	assert_int_equal(f->st->head.seq, 0);
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(f->st->head.seq, 2);
}

static void a_punt_leaves_the_page_byte_identical(void **state)
{
	struct fix *f = *state;
	struct hr_io io = {.size = 8, .is_write = 1}, before;
	struct state copy;

	attach(f->slot, &f->obj, ACCEL_STATEFUL, stateful_store);
	f->st->a = 0x1234;
	f->st->head.seq = 77 * 2;
	memcpy(&copy, f->st, sizeof(copy));
	before = io;
	assert_int_equal(accel_run(f->slot, &io), 0);
	assert_memory_equal(&copy, f->st, sizeof(copy)); /* the sequence word too */
	assert_memory_equal(&before, &io, sizeof(io));
	assert_int_equal(counters(f->slot).why[4], 1);
}

static struct accel_slot *nested_slot;
static uint64_t nested_value;

/* A pure program during which another vCPU runs a stateful one. */
static uint64_t pure_around_stateful(const struct prog_env *env, struct hr_io *io)
{
	struct hr_io other = {.size = 8, .is_write = 1, .vcpu = 1, .value = nested_value};

	io->result = HR_LOAD(page_of(env)->a);
	runs++;
	if (runs == 1)
		accel_run(nested_slot, &other);
	return HR_ANSWER;
}

static void a_stateful_punt_spoils_no_reader(void **state)
{
	struct fix *f = *state;
	struct accel_object writer;
	struct hr_io io = read_io(0, 8);

	fake_object_init(&writer, "writer.bpf.o", VERSION, sizeof(struct state));
	assert_int_equal(accel_slot_new(f->page, &test_clock, 2, ACCEL_STATEFUL, &nested_slot), 0);
	attach(nested_slot, &writer, ACCEL_STATEFUL, stateful_store);
	attach(f->slot, &f->obj, ACCEL_PURE, pure_around_stateful);

	runs = 0;
	nested_value = 0; /* it punts */
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(runs, 1);
	assert_int_equal(counters(f->slot).retried, 0);

	runs = 0;
	nested_value = 6; /* it answers and changes what was read */
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(runs, 2);
	assert_int_equal(io.result, 6);
	assert_int_equal(counters(f->slot).retried, 1);
	accel_slot_free(nested_slot);
	assert_int_equal(writer.refs, 1);
}

/* What the peek below is to do, and what it saw. */
static uint64_t peek_verdict;
static unsigned peeks;
static bool peek_tears;

static uint64_t peek(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = page_of(env);

	peeks++;
	assert_int_equal(io->result, 0);
	io->result = 0x70 + HR_LOAD(st->a);
	if (peek_tears)
		st->head.seq += 2;
	return peek_verdict;
}

static void attach_with_peek(struct fix *f)
{
	fake_object_add(&f->obj, "p_peek", ACCEL_PURE, peek);
	attach(f->slot, &f->obj, ACCEL_STATEFUL, stateful_store);
	peeks = 0;
	peek_tears = false;
}

static void a_peek_is_asked_first(void **state)
{
	struct fix *f = *state;
	struct hr_io io = {.size = 1, .value = 2};

	attach_with_peek(f);
	peek_verdict = HR_ANSWER;
	f->st->head.seq = 10;
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(io.result, 0x70);
	assert_int_equal(f->st->head.seq, 10); /* it never held the page */
	assert_int_equal(f->st->a, 0);

	peek_verdict = HR_PUNT_WHY(9); /* which nobody hears of: the access is the other's */
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(f->st->a, 2);
	assert_int_equal(f->st->head.seq, 12);
	assert_int_equal(io.result, 0);
	assert_int_equal(counters(f->slot).punted, 0);
	assert_int_equal(counters(f->slot).answered, 2);

	io.value = 0; /* and it passes this one on */
	assert_int_equal(accel_run(f->slot, &io), 0);
	assert_int_equal(counters(f->slot).why[4], 1);
	assert_int_equal(counters(f->slot).punted, 1);

	io.value = 3;
	peek_verdict = HR_ANSWER;
	peek_tears = true; /* no answer from a torn page: the other one holds it */
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(f->st->a, 5);
	assert_int_equal(counters(f->slot).retried, 1);
	assert_int_equal(peeks, 4);
}

static void a_peek_in_check_mode(void **state)
{
	struct fix *f = *state;
	struct hr_io io = {.size = 1, .value = 2};

	attach_with_peek(f);
	peek_verdict = HR_ANSWER;
	f->st->a = 4;
	assert_int_equal(accel_slot_shadow(f->slot, &io, 1), HR_ANSWER);
	assert_int_equal(io.result, 0x74);
	assert_int_equal(accel_slot_compare(f->slot), -1);
	peek_verdict = HR_PUNT;
	((struct state *)accel_slot_shadow_page(f->slot))->head.seq = 1;
	f->st->head.seq = 1; /* stateful_store wants to see it held */
	assert_int_equal(accel_slot_shadow(f->slot, &io, 1), HR_ANSWER);
	assert_int_equal(io.result, 0);
	assert_int_equal(
		accel_slot_compare(f->slot), offsetof(struct state, a)); /* the copy was changed, the page not */
	assert_int_equal(counters(f->slot).answered, 2);
	f->st->head.seq = 0;
}

static void a_peek_must_be_pure(void **state)
{
	struct fix *f = *state;

	fake_object_add(&f->obj, "p_peek", ACCEL_STATEFUL, peek);
	fake_object_add(&f->obj, "p", ACCEL_STATEFUL, stateful_store);
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), -EACCES);
	assert_non_null(strstr(err.text, "program p_peek stores to the state page"));
	assert_false(accel_slot_attached(f->slot));
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p_peek", &err), 0); /* by itself it is like any other */
}

static void a_ring_comes_after_the_page_is_let_go(void **state)
{
	struct fix *f = *state;
	struct hr_io io = {.size = 1, .is_write = 1};
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0;

	attach(f->slot, &f->obj, ACCEL_STATEFUL, give_verdict);
	write_watches = f->st;
	writes_seen = writes_with_page_held = 0;
	verdict_to_give = HR_ANSWER_RING;
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER); /* nobody to ring */
	assert_int_equal(writes_seen, 0);
	accel_slot_set_eventfd(f->slot, fd);
	write_interrupts = 2;
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(accel_run(f->slot, &io), HR_ANSWER);
	assert_int_equal(writes_seen, 4);
	assert_int_equal(writes_with_page_held, 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 2);
	verdict_to_give = HR_ANSWER;
	accel_run(f->slot, &io);
	verdict_to_give = HR_PUNT;
	accel_run(f->slot, &io);
	accel_slot_set_eventfd(f->slot, -1);
	verdict_to_give = HR_ANSWER_RING;
	accel_run(f->slot, &io);
	assert_int_equal(writes_seen, 4);
	write_watches = NULL;
	close(fd);
}

/* ---- check mode --------------------------------------------------------------------------- */

static uint64_t shadow_prog(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = page_of(env);
	uint64_t *n = (uint64_t *)env->map_base[FAKE_BSS];

	io->result = env->time_is_frozen ? env->frozen_ns : accel_clock_now(env->clock);
	if (io->is_write) {
		HR_STORE(*n, HR_LOAD(*n) + 1);
		HR_STORE(st->b, io->value);
		if (io->offset == 99) /* what the verifier would never let through */
			return HR_PUNT;
	}
	return io->offset == 4 ? HR_PUNT_WHY(2) : HR_ANSWER;
}

static void shadow_runs_touch_copies_only(void **state)
{
	struct fix *f = *state;
	struct hr_io io = read_io(0, 8), wr = {.size = 8, .is_write = 1, .value = 0x77};
	struct state copy;
	const struct state *shadow = (const struct state *)accel_slot_shadow_page(f->slot);

	assert_int_equal(accel_slot_shadow(f->slot, &io, 5), 0); /* nothing attached */
	assert_int_equal(accel_slot_compare(f->slot), -1);
	attach(f->slot, &f->obj, ACCEL_STATEFUL, shadow_prog);
	f->st->a = 11;
	memcpy(&copy, f->st, sizeof(copy));

	assert_int_equal(accel_slot_shadow(f->slot, &io, 123456), HR_ANSWER);
	assert_int_equal(io.result, 123456); /* the instant given, whatever the clock says */
	assert_int_equal(accel_slot_compare(f->slot), -1);
	assert_int_equal(shadow->a, 11);

	assert_int_equal(accel_slot_shadow(f->slot, &wr, 1), HR_ANSWER);
	assert_memory_equal(&copy, f->st, sizeof(copy));
	assert_int_equal(shadow->b, 0x77);
	assert_int_equal(accel_slot_compare(f->slot), offsetof(struct state, b));
	accel_page_begin(f->page); /* the model does the same; the word moves, which is no difference */
	f->st->b = 0x77;
	accel_page_end(f->page);
	assert_int_equal(accel_slot_compare(f->slot), -1);
	f->st->a ^= 1ull << 56;
	assert_int_equal(accel_slot_compare(f->slot), offsetof(struct state, a) + 7);

	io.offset = 4;
	assert_int_equal(accel_slot_shadow(f->slot, &io, 1), HR_PUNT_WHY(2));
	f->st->a = 1; /* the model's doing; after a punt there is nothing to compare with */
	assert_int_equal(accel_slot_compare(f->slot), -1);
	assert_int_equal(counters(f->slot).why[2], 1);
	assert_int_equal(counters(f->slot).answered, 2);

	wr.offset = 99;
	wr.value = 0x78;
	assert_int_equal(accel_slot_shadow(f->slot, &wr, 1), 0);
	assert_int_equal(accel_slot_compare(f->slot), offsetof(struct state, b)); /* it punted, but stored */
	io.vcpu = 2;
	assert_int_equal(accel_slot_shadow(f->slot, &io, 1), 0);
}

static void shadow_bss_is_carried_over_after_answers(void **state)
{
	struct fix *f = *state;
	struct hr_io io = read_io(0, 8);

	f->obj.initial[FAKE_RODATA][0] = 0x5a;
	attach(f->slot, &f->obj, ACCEL_STATEFUL, bump_bss);
	for (unsigned n = 1; n <= 3; n++) {
		assert_int_equal(accel_slot_shadow(f->slot, &io, 0), HR_ANSWER);
		assert_int_equal(io.result, n);
	}
	accel_run(f->slot, &io);
	assert_int_equal(io.result, 4);
	accel_slot_shadow(f->slot, &io, 0);
	assert_int_equal(io.result, 5);

	f->obj.fn[0] = shadow_prog; /* stores, then punts: not carried over */
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), 0);
	io = (struct hr_io){.size = 8, .is_write = 1, .offset = 99};
	accel_slot_shadow(f->slot, &io, 0);
	f->obj.fn[0] = bump_bss;
	assert_int_equal(accel_slot_attach(f->slot, &f->obj, "p", &err), 0);
	io = read_io(0, 8);
	accel_slot_shadow(f->slot, &io, 0);
	assert_int_equal(io.result, 6); /* attached over itself, the object has kept its data */
}

/* ---- two threads -------------------------------------------------------------------------- */

static _Atomic bool in_program, may_leave, attach_returned;

static uint64_t wait_inside(const struct prog_env *env, struct hr_io *io)
{
	(void)env;
	atomic_store(&in_program, true);
	while (!atomic_load(&may_leave))
		sched_yield();
	io->result = 1;
	return HR_ANSWER;
}

static void *run_once(void *opaque)
{
	struct hr_io io = read_io(0, 8);

	return accel_run(opaque, &io) == HR_ANSWER && io.result == 1 ? NULL : (void *)1;
}

static void *detach_once(void *opaque)
{
	accel_slot_detach(opaque);
	atomic_store(&attach_returned, true);
	return NULL;
}

static void detach_waits(struct fix *f)
{
	struct accel_object *obj = malloc(sizeof(*obj));
	pthread_t vcpu, writer;
	void *bad;

	in_program = may_leave = attach_returned = false;
	fake_object_init(obj, "heap.bpf.o", VERSION, sizeof(struct state));
	obj->on_heap = true;
	attach(f->slot, obj, ACCEL_PURE, wait_inside);
	accel_object_put(obj);
	pthread_create(&vcpu, NULL, run_once, f->slot);
	while (!atomic_load(&in_program))
		sched_yield();
	pthread_create(&writer, NULL, detach_once, f->slot);
	while (accel_slot_attached(f->slot))
		sched_yield();
	usleep(20000);
	assert_false(atomic_load(&attach_returned));
	assert_int_equal(fake_codes, 2);
	atomic_store(&may_leave, true);
	pthread_join(vcpu, &bad);
	assert_null(bad);
	pthread_join(writer, NULL);
	assert_int_equal(fake_codes, 0);
}

static void detach_waits_for_who_is_inside(void **state)
{
	detach_waits(*state);
}

static _Atomic uint64_t gen_started, gen_published;

/* The generation lies in the object's own .rodata, which goes with the object. */
static uint64_t own_generation(const struct prog_env *env, struct hr_io *io)
{
	const uint64_t *gen = (const uint64_t *)env->map_base[FAKE_RODATA];

	io->result = gen[0];
	if (gen[1] != ~gen[0])
		abort();
	return HR_ANSWER;
}

struct reader {
	struct accel_slot *slot;
	uint32_t vcpu;
	_Atomic bool stop;
	_Atomic uint64_t loops;
	uint64_t answered, bad;
};

/* Joins both before anything is asserted: a failing test must not leave threads behind. */
static void join_both(struct reader r[2], const pthread_t t[2])
{
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&r[i].stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(r[i].bad, 0);
}

static void *read_generations(void *opaque)
{
	struct reader *r = opaque;

	while (!atomic_load(&r->stop)) {
		struct hr_io io = {.size = 8, .vcpu = r->vcpu};
		uint64_t least = atomic_load(&gen_published);

		if (accel_run(r->slot, &io) == HR_ANSWER) {
			if (io.result < least || io.result > atomic_load(&gen_started))
				r->bad++;
			r->answered++;
		}
		r->loops++;
	}
	return NULL;
}

static void publish_generation(struct accel_slot *slot, uint64_t gen, enum accel_effect effect)
{
	struct accel_object *obj = malloc(sizeof(*obj));

	fake_object_init(obj, "gen.bpf.o", VERSION, sizeof(struct state));
	obj->on_heap = true;
	memcpy(obj->initial[FAKE_RODATA], (uint64_t[2]){gen, ~gen}, 16);
	atomic_store(&gen_started, gen);
	attach(slot, obj, effect, own_generation);
	atomic_store(&gen_published, gen);
	accel_object_put(obj);
}

static void replace_under_load(void **state)
{
	struct fix *f = *state;
	struct reader r[2] = {{.slot = f->slot, .vcpu = 0}, {.slot = f->slot, .vcpu = 1}};
	pthread_t t[2];

	membarriers = 0;
	gen_started = gen_published = 0;
	publish_generation(f->slot, 1, ACCEL_PURE);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, read_generations, &r[i]);
	for (unsigned i = 0; i < 2; i++) {
		while (atomic_load(&r[i].loops) == 0)
			sched_yield(); /* both are at it before the first replacement */
	}
	for (uint64_t gen = 2; gen <= 300; gen++) {
		publish_generation(f->slot, gen, gen % 3 ? ACCEL_PURE : ACCEL_STATEFUL);
		if (gen % 10 == 0)
			accel_slot_detach(f->slot);
		if (gen % 7 == 0)
			sched_yield();
	}
	join_both(r, t);
	assert_true(deny_membarrier ? membarriers == 0 : membarriers > 0);
}

/* The model's invariant: b is the complement of a. */
static uint64_t read_pair(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = page_of(env);
	uint64_t a = HR_LOAD(st->a);
	uint64_t b = HR_LOAD(st->b);

	io->result = a ^ ~b;
	return HR_ANSWER;
}

static void *read_pairs(void *opaque)
{
	struct reader *r = opaque;

	while (!atomic_load(&r->stop) || r->answered == 0) {
		struct hr_io io = {.size = 8, .vcpu = r->vcpu};

		if (accel_run(r->slot, &io) == HR_ANSWER) {
			r->answered++;
			if (io.result != 0)
				r->bad++;
		}
		r->loops++;
	}
	return NULL;
}

static void torn_reads_are_never_seen(void **state)
{
	struct fix *f = *state;
	struct reader r[2] = {{.slot = f->slot, .vcpu = 0}, {.slot = f->slot, .vcpu = 1}};
	pthread_t t[2];

	f->st->b = ~f->st->a;
	attach(f->slot, &f->obj, ACCEL_PURE, read_pair);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, read_pairs, &r[i]);
	for (uint64_t n = 0; n < 200000; n++) {
		accel_page_begin(f->page);
		HR_STORE(f->st->a, n);
		HR_STORE(f->st->b, ~n);
		accel_page_end(f->page);
	}
	join_both(r, t);
	assert_int_equal(counters(f->slot).answered, r[0].answered + r[1].answered);
	assert_int_equal(counters(f->slot).answered + counters(f->slot).punted, r[0].loops + r[1].loops);
}

static uint64_t add_one(const struct prog_env *env, struct hr_io *io)
{
	struct state *st = page_of(env);

	if (io->value == 0)
		return HR_PUNT_WHY(1);
	HR_STORE(st->a, HR_LOAD(st->a) + io->value);
	return HR_ANSWER;
}

static void *add_many(void *opaque)
{
	struct reader *r = opaque;

	/* a holder that is not running can keep the page busy for a whole time slice: goes on until it got in */
	for (r->loops = 0; r->loops < 100000 || r->answered == 0; r->loops++) {
		struct hr_io io = {.size = 8, .is_write = 1, .vcpu = r->vcpu, .value = r->loops % 8 ? 1 : 0};

		if (accel_run(r->slot, &io) == HR_ANSWER)
			r->answered++;
		else
			sched_yield();
	}
	return NULL;
}

static void stateful_updates_are_never_lost(void **state)
{
	struct fix *f = *state;
	struct reader r[2] = {{.slot = f->slot, .vcpu = 0}, {.slot = f->slot, .vcpu = 1}};
	pthread_t t[2];

	attach(f->slot, &f->obj, ACCEL_STATEFUL, add_one);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, add_many, &r[i]);
	for (unsigned n = 0; n < 100000; n++) {
		accel_page_begin(f->page);
		HR_STORE(f->st->a, HR_LOAD(f->st->a) + 1);
		accel_page_end(f->page);
	}
	join_both(r, t);
	assert_true(r[0].answered > 0 && r[1].answered > 0);
	assert_int_equal(f->st->a, 100000 + r[0].answered + r[1].answered);
	assert_int_equal(f->st->head.seq, (uint32_t)(2 * (100000 + r[0].answered + r[1].answered)));
}

static int setup_denied(void **state)
{
	deny_membarrier = true;
	return setup(state);
}

static int teardown_denied(void **state)
{
	deny_membarrier = false;
	return teardown(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CASE_BOTH(name)                                                                                                \
	CASE(name),                                                                                                    \
	{                                                                                                              \
#name " without membarrier", name, setup_denied, teardown_denied, NULL                                 \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(places_that_joined_follow_the_slot),
		cmocka_unit_test(page_is_aligned_zeroed_and_headed),
		cmocka_unit_test(page_refuses_bad_sizes),
		CASE(begin_and_end_move_the_word),
		CASE(bind_refuses_another_version_size_or_layout),
		CASE(slot_refuses_bad_arguments),
		CASE(slot_takes_as_many_cpus_as_promised),
		CASE(attach_refuses_what_does_not_fit),
		CASE(attach_that_runs_out_of_memory_leaves_the_old_one),
		CASE(objects_live_as_long_as_they_are_attached),
		CASE(bss_is_one_per_object_and_page),
		CASE(verdicts_are_masked_and_counted),
		CASE(torn_pure_answers_are_thrown_away),
		CASE(a_page_that_stays_busy_punts),
		CASE(stateful_programs_hold_the_word),
		CASE(a_punt_leaves_the_page_byte_identical),
		CASE(a_stateful_punt_spoils_no_reader),
		CASE(a_peek_is_asked_first),
		CASE(a_peek_in_check_mode),
		CASE(a_peek_must_be_pure),
		CASE(a_ring_comes_after_the_page_is_let_go),
		CASE(shadow_runs_touch_copies_only),
		CASE(shadow_bss_is_carried_over_after_answers),
		CASE_BOTH(detach_waits_for_who_is_inside),
		CASE_BOTH(replace_under_load),
		CASE_BOTH(torn_reads_are_never_seen),
		CASE_BOTH(stateful_updates_are_never_lost),
	};

	return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
