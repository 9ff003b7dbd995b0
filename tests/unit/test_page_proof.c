// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_page_proof.c: what the page tier promises, in large numbers, over the memory that a guest would be given: 100 million reads on
 * one vCPU and on two without a step back and never ahead of the clock, while pages come and go at random and misfortunes befall
 * the publisher; 100,000 interrupts of a comparator by Linux's rule, most of them with a page; storms of stops, starts and rewrites
 * of the counter from another vCPU; ten million pairs of a counter and a periodic comparator. KVM is the test's own
 * (page_rig.h). Fewer of each under a sanitizer, or in the few seconds that there are for each test: it says how many.
 * PAGE_PROOF_SECONDS gives each test that long, and then all of them must have been (check-long).
 */
#include "tests/unit/page_rig.h"

#include <poll.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define READS 2000000u
#define LINES 2000u
#define REWRITES 2000u
#define PAIRS 100000u
#else
#define READS 100000000u
#define LINES 100000u
#define REWRITES 20000u
#define PAIRS 10000000u
#endif

#define BATCH 64   /* loads in a row, before this vCPU tells the other what it has seen */
#define TICK_NS 10 /* [HPET] counter at 100 MHz */
#define LIMIT_NS                                                                                                       \
	50000000 /* that the publisher may be late: a busy host is, and the page is to be there most of the time */
#define MOST_STALE_NS 1000000000u
#define INT_ENB 0x04u
#define IRQ 10u /* of the slave: input 2 */
#define LOST_TICKS 500000000u
#define SECONDS_MOST 6 /* for each test; then a thousandth will do */
#define PAGE_SHARE 80  /* of a hundred lines, that come while the page is there */
#define PERIOD 12345   /* ticks, a little more than the least that a page shows */
#define VAL_SET 0x40

static _Atomic bool stop;
static _Atomic uint64_t latest; /* that any vCPU has told */
/* When the counter was started: not before the first, not after the second. */
static uint64_t started_after_ns, started_before_ns;

static uint64_t seconds(void)
{
	const char *text = getenv("PAGE_PROOF_SECONDS");

	return text ? strtoul(text, NULL, 10) : SECONDS_MOST;
}

/* How many are to be seen at least. */
static uint64_t at_least(uint64_t wanted)
{
	return getenv("PAGE_PROOF_SECONDS") ? wanted : wanted / 1000;
}

struct vcpu {
	pthread_t thread;
	unsigned index;
	bool is_timed; /* the counter runs all the time, so a value tells its instant */
	uint64_t by_page, by_exit, steps_back, ahead;
	uint64_t stale, stalest_ns; /* batches whose first load was older than the limit; the oldest */
	_Atomic uint64_t done;
	uint64_t wanted;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A value that was read between two instants is that of an instant before the second, and not long before the first. */
static void check_time(struct vcpu *v, uint64_t value, uint64_t before_ns, uint64_t after_ns)
{
	const uint64_t least_ns = started_after_ns + value * TICK_NS;
	const uint64_t most_ns = started_before_ns + (value + 1) * TICK_NS;

	v->ahead += least_ns > after_ns;
	if (most_ns >= before_ns)
		return;
	v->stale += before_ns - most_ns > LIMIT_NS;
	if (before_ns - most_ns > v->stalest_ns)
		v->stalest_ns = before_ns - most_ns;
}

/* BATCH loads, or one exit. Returns the last value. */
static uint64_t read_some(struct vcpu *v, uint64_t last)
{
	struct io_req req = {.io = {.vcpu = v->index, .size = 8}, .addr = HPET + COUNTER, .bus = IO_MMIO, .count = 1};
	const uint64_t before_ns = now_ns();
	const uint64_t *cell;
	uint64_t first = 0;

	pthread_rwlock_rdlock(&slot_lock);
	cell = slot_page ? (const uint64_t *)(slot_page + COUNTER) : NULL;
	for (unsigned i = 0; i < BATCH && cell; i++) {
		uint64_t value = __atomic_load_n(cell, __ATOMIC_ACQUIRE);

		v->steps_back += value < last;
		last = value;
		first = i ? first : value;
	}
	pthread_rwlock_unlock(&slot_lock);
	if (cell) {
		v->by_page += BATCH;
	} else {
		first = access_bus(&req);
		v->steps_back += first < last;
		last = first;
		v->by_exit++;
	}
	if (v->is_timed) {
		check_time(v, first, before_ns, now_ns());
		check_time(v, last, 0, now_ns());
	}
	return last;
}

static void *read_on(void *opaque)
{
	struct vcpu *v = opaque;

	is_vcpu = true;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t before = atomic_load(&latest), value = read_some(v, before);

		while (before < value && !atomic_compare_exchange_weak(&latest, &before, value))
			;
		atomic_store_explicit(&v->done, v->by_exit ? v->by_page : 0, memory_order_relaxed);
	}
	return NULL;
}

static void start_vcpus(struct vcpu *vcpus, unsigned count, bool is_timed, uint64_t wanted)
{
	atomic_store(&stop, false);
	atomic_store(&latest, 0);
	for (unsigned i = 0; i < count; i++) {
		vcpus[i] = (struct vcpu){.index = i, .is_timed = is_timed, .wanted = wanted};
		assert_int_equal(pthread_create(&vcpus[i].thread, NULL, read_on, &vcpus[i]), 0);
	}
}

static void end_vcpus(struct vcpu *vcpus, unsigned count, const char *what)
{
	uint64_t by_page = 0, by_exit = 0, stale = 0, stalest_ns = 0;

	atomic_store(&stop, true);
	for (unsigned i = 0; i < count; i++) {
		pthread_join(vcpus[i].thread, NULL);
		assert_int_equal(vcpus[i].steps_back, 0);
		assert_int_equal(vcpus[i].ahead, 0);
		by_page += vcpus[i].by_page;
		by_exit += vcpus[i].by_exit;
		stale += vcpus[i].stale;
		stalest_ns = vcpus[i].stalest_ns > stalest_ns ? vcpus[i].stalest_ns : stalest_ns;
	}
	print_message("%s: %llu reads by the page, %llu by exits, no step back", what, (unsigned long long)by_page,
		(unsigned long long)by_exit);
	if (vcpus[0].is_timed)
		print_message(
			", none ahead of the clock; of %llu looked at %llu staler than the limit, the most %llu us",
			(unsigned long long)(by_page / BATCH), (unsigned long long)stale,
			(unsigned long long)(stalest_ns / 1000));
	print_message("; %u turns, given up %lld times\n", maps, (long long)number("given_up"));
	/* With the publisher's processor taken away a load may be as old as the manager is late, who may lose his as well. */
	assert_true(stalest_ns < MOST_STALE_NS);
}

/* ---- 100 million reads ----------------------------------------------------------------------- */

static uint32_t random_below(uint32_t *seed, uint32_t limit)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 16) % limit;
}

/* One thing that makes a page go, of those that happen. */
static void disturb(uint32_t *seed)
{
	switch (random_below(seed, 4)) {
	case 0:
		page_tier_fault(vm.page_tier, PAGE_FAULT_STUCK);
		nap_ms(1);
		wr(TN_COMPARATOR + 0x20, MAIN, *seed); /* a model that finds the word stuck */
		page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
		break;
	case 1:
		page_tier_fault(vm.page_tier, PAGE_FAULT_STARVED);
		nap_ms(random_below(seed, 20));
		page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
		break;
	default:
		page_tier_forbid(vm.page_tier);
		nap_ms(random_below(seed, 3));
		page_tier_allow(vm.page_tier);
		break;
	}
}

static bool are_done(const struct vcpu *vcpus, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (atomic_load(&vcpus[i].done) < vcpus[i].wanted)
			return false;
	}
	return true;
}

static void read_a_lot(unsigned count, const char *what)
{
	const uint64_t end_ms = now_ms() + seconds() * 1000;
	struct vcpu vcpus[2];
	uint32_t seed = 4711 + count;

	create(OPT_PAGE_ON, LIMIT_NS / 1000, OPT_ACCEL_ON);
	started_after_ns = now_ns();
	wr(CONFIG, MAIN, 1);
	started_before_ns = now_ns();
	start_vcpus(vcpus, count, true, READS / count);
	while (!(are_done(vcpus, count) && maps > 2) && now_ms() < end_ms) {
		disturb(&seed);
		for (unsigned i = 0; i < 1000 && !is_mapped(); i++)
			nap_ms(2);
		nap_ms(random_below(&seed, 200));
	}
	end_vcpus(vcpus, count, what);
	for (unsigned i = 0; i < count; i++)
		assert_true(vcpus[i].by_page >= at_least(READS / count) && vcpus[i].by_exit > 0);
	assert_true(maps > 1);
	destroy();
}

static void test_reads_on_one(void **state)
{
	(void)state;
	read_a_lot(1, "one vCPU");
}

static void test_reads_on_two(void **state)
{
	(void)state;
	read_a_lot(2, "two vCPUs");
}

/* ---- the comparator's rule ------------------------------------------------------------------- */

static uint8_t pio(uint16_t port, int value)
{
	struct io_req req = {.io = {.vcpu = MAIN, .size = 1, .is_write = value >= 0, .value = (uint8_t)value},
		.addr = port,
		.bus = IO_PIO,
		.count = 1};

	return (uint8_t)access_bus(&req);
}

/* [8259A] initialisation, edge-triggered, all masked but the cascade and IRQ 10. */
static void init_pics(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} words[] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 0x04}, {0x21, 0x01}, {0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 0x02},
		{0xa1, 0x01}, {0x21, 0xfb}, {0xa1, 0xff & ~(1u << (IRQ - 8))}};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		pio(words[i].port, words[i].value);
}

/* [8259A] Poll Command: takes the request, as an acknowledge does. */
static bool take_line(void)
{
	pio(0xa0, 0x0c);
	if (!(pio(0xa0, -1) & 0x80))
		return false;
	pio(0xa0, 0x20);
	return true;
}

static void *fire_timers(void *opaque)
{
	struct pollfd due = {.fd = vm.clock.timerfd, .events = POLLIN};

	(void)opaque;
	while (!atomic_load(&stop)) {
		if (poll(&due, 1, 10) > 0)
			clock_fire_due(&vm.clock);
	}
	return NULL;
}

static uint64_t counter(void)
{
	bool by_page;

	return rd(COUNTER, MAIN, &by_page);
}

/*
 * One turn of Linux's hpet_next_event(); false: passed before it was set, so no line is relied upon. by_pages counts those with a
 * page from the reading of what was written to the line.
 */
static bool turn(uint32_t ahead, uint32_t *by_pages)
{
	const uint64_t due = counter() + ahead;
	bool set_by_page, by_page;

	wr(TN_COMPARATOR, MAIN, due);
	if (counter() >= due) { /* no line is due from far ahead, and one that was has come */
		wr(TN_COMPARATOR, MAIN, due + (1ull << 40));
		take_line();
		return false;
	}
	assert_int_equal(rd(TN_COMPARATOR, MAIN, &set_by_page), due);
	while (!take_line())
		assert_true(counter() < due + LOST_TICKS); /* set in time, so it comes */
	assert_true(rd(COUNTER, MAIN, &by_page) >= due);   /* and when it has come, its time has */
	*by_pages += set_by_page && by_page;
	return true;
}

/*
 * A busy host takes the publisher's processor away with the word in its hand, each some milliseconds; then the page is given up and
 * stays away for 0.1 s, and longer each time, in which 100,000 lines come by exits. Here it comes back at once.
 */
static void bring_back(void)
{
	is_vcpu = false;
	page_tier_forbid(vm.page_tier);
	page_tier_allow(vm.page_tier);
	assert_true(wait_mapped(true));
	is_vcpu = true;
}

static void test_comparator(void **state)
{
	const uint64_t end_ms = now_ms() + seconds() * 1000;
	uint32_t seed = 42, lines = 0, passed = 0, by_pages = 0, ahead = 200;
	unsigned disturbed = 0;
	pthread_t events;

	(void)state;
	create(OPT_PAGE_ON, LIMIT_NS / 1000, OPT_ACCEL_ON);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&events, NULL, fire_timers, NULL), 0);
	init_pics();
	wr(TN_CONFIG, MAIN, INT_ENB | IRQ << 9);
	wr(CONFIG, MAIN, 1);
	assert_true(wait_mapped(true));
	is_vcpu = true;
	/* on a host that is too busy for the least of it, for a minute more */
	while (lines < LINES && now_ms() < end_ms + (lines < at_least(LINES) ? 60000 : 0)) {
		if (turn(ahead + random_below(&seed, 1500), &by_pages)) {
			lines++;
			ahead -= ahead > 200 ? ahead / 64 : 0;
		} else {
			passed++;
			ahead += ahead < 20000 ? ahead / 4 : 0; /* more on a slow host */
		}
		if (lines % (LINES / 10) == 0 && lines / (LINES / 10) > disturbed) {
			disturbed++;
			disturb(&seed);
		}
		if (!is_mapped() && now_ms() < end_ms)
			bring_back();
	}
	is_vcpu = false;
	atomic_store(&stop, true);
	pthread_join(events, NULL);
	print_message("comparator: %u lines, %u of them with a page, %u passed before they were set; %u turns\n", lines,
		by_pages, passed, maps);
	assert_true(lines >= at_least(LINES));
	assert_true((uint64_t)by_pages * 100 > (uint64_t)lines * PAGE_SHARE);
	assert_true(maps > 1);
	destroy();
}

/* ---- storms ---------------------------------------------------------------------------------- */

/* [HPET] 2.3.7: the counter may be written while it is stopped. Always upwards, so that others see no step back. */
static void test_rewrites(void **state)
{
	const uint64_t end_ms = now_ms() + seconds() * 1000;
	struct vcpu other;
	uint32_t seed = 7, done = 0;

	(void)state;
	create(OPT_PAGE_ON, LIMIT_NS / 1000, OPT_ACCEL_ON);
	wr(CONFIG, MAIN, 1);
	assert_true(wait_mapped(true));
	start_vcpus(&other, 1, false, UINT64_MAX);
	is_vcpu = true;
	for (; done < REWRITES && now_ms() < end_ms; done++) {
		uint64_t stopped, jump = random_below(&seed, 50000);

		wr(CONFIG, MAIN, 0);
		stopped = counter();
		for (unsigned k = 0; k < 10; k++)
			assert_int_equal(counter(), stopped);
		wr(COUNTER, MAIN, stopped + jump);
		assert_int_equal(counter(), stopped + jump);
		wr(CONFIG, MAIN, 1);
		assert_true(counter() >= stopped + jump);
		if (done % 1024 == 1023) {
			is_vcpu = false;
			disturb(&seed);
			is_vcpu = true;
		}
	}
	is_vcpu = false;
	print_message("%u stops, rewrites and starts: ", done);
	end_vcpus(&other, 1, "the other vCPU");
	assert_true(done >= at_least(REWRITES));
	destroy();
}

/* ---- periodic timers ------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

struct pair_reader {
	pthread_t thread;
	unsigned index;
	uint64_t impossible;
	_Atomic uint64_t by_page, mixed; /* pairs */
};

/* [HPET] 2.3.9.2.2: a comparator is not behind a counter read before it, nor more than a period ahead of one read after it. */
static void *read_pairs(void *opaque)
{
	struct pair_reader *r = opaque;
	bool first, second;

	is_vcpu = true;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t at = rd(COUNTER, r->index, &first), next = rd(TN_COMPARATOR, r->index, &second);

		r->impossible += next < at;
		*(first && second ? &r->by_page : &r->mixed) += 1;
		next = rd(TN_COMPARATOR, r->index, &first);
		at = rd(COUNTER, r->index, &second);
		r->impossible += at + PERIOD < next;
		*(first && second ? &r->by_page : &r->mixed) += 1;
	}
	return NULL;
}

/* A timer that is periodic, as Linux leaves the first one when it needs it no more: pairs of its registers in either order. */
static void test_pairs(void **state)
{
	const uint64_t end_ms = now_ms() + seconds() * 1000;
	struct pair_reader readers[2];
	uint64_t by_page = 0, mixed = 0;
	uint32_t seed = 99;
	pthread_t events;

	(void)state;
	create(OPT_PAGE_ON, LIMIT_NS / 1000, OPT_ACCEL_ON);
	wr(TN_CONFIG, MAIN, PERIODIC | VAL_SET);
	wr(TN_COMPARATOR, MAIN, PERIOD);
	wr(CONFIG, MAIN, 1);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&events, NULL, fire_timers, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		readers[i] = (struct pair_reader){.index = i};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_pairs, &readers[i]), 0);
	}
	while (!(readers[0].by_page + readers[1].by_page >= PAIRS && maps > 2) && now_ms() < end_ms) {
		disturb(&seed);
		for (unsigned i = 0; i < 1000 && !is_mapped(); i++)
			nap_ms(2);
		if (seed & 0x10000) /* and enabled, now and then, so that the model moves it too */
			wr(TN_CONFIG, MAIN, PERIODIC | (seed & 0x20000 ? INT_ENB : 0));
		nap_ms(random_below(&seed, 100));
	}
	atomic_store(&stop, true);
	pthread_join(events, NULL);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].impossible, 0);
		by_page += readers[i].by_page;
		mixed += readers[i].mixed;
	}
	print_message("periodic: %llu pairs by the page, %llu not both by it, all possible; %u turns\n",
		(unsigned long long)by_page, (unsigned long long)mixed, maps);
	assert_true(by_page >= at_least(PAIRS));
	destroy();
}

/* No page for a very short period. From the write that sets it until the page has gone the device stands as that left it. */
static void test_window_of_short_period(void **state)
{
	enum { TURNS = 50 };
	uint64_t us[TURNS], looks = 0;
	unsigned turns = 0;
	const uint64_t end_ms = now_ms() + seconds() * 1000;

	(void)state;
	create(OPT_PAGE_ON, LIMIT_NS / 1000, OPT_ACCEL_ON);
	wr(CONFIG, MAIN, 1);
	while (turns < TURNS && now_ms() < end_ms) {
		bool by_page = true, also = true;
		uint64_t start_ns, first;

		wr(TN_CONFIG, MAIN, 0);
		assert_true(wait_mapped(true));
		start_ns = now_ns();
		wr(TN_CONFIG, MAIN, PERIODIC);
		wr(TN_COMPARATOR, MAIN, 9999);
		first = rd(COUNTER, MAIN, &by_page);
		while (by_page && also) {
			uint64_t at = rd(COUNTER, MAIN, &also);

			assert_true(at == first || !also);
			looks += also;
		}
		us[turns++] = (now_ns() - start_ns) / 1000;
		nap_ms(2);
		assert_false(is_mapped());
	}
	assert_true(turns >= 5);
	qsort(us, turns, sizeof(us[0]), compare);
	print_message(
		"short period: the page has gone after %llu us in the median of %u, %llu at most; %llu looks before\n",
		(unsigned long long)us[turns / 2], turns, (unsigned long long)us[turns - 1], (unsigned long long)looks);
	destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_on_one),
		cmocka_unit_test(test_reads_on_two),
		cmocka_unit_test(test_comparator),
		cmocka_unit_test(test_rewrites),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_window_of_short_period),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
