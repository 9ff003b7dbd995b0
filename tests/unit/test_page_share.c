// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_page_share.c: one publisher for the pages of several devices and ranges: the HPET's, and two of a device of the test's own
 * (tests/prog/page_pair.h). What each shows; one reading of the clock for all of a pass; one that is taken away, given up or
 * reset while the others stay and go on; storms of all of it. KVM is the test's own (page_rig.h).
 */
#include "tests/unit/page_rig.h"

#include "accel/accel.h"
#include "devices/device.h"
#include "tests/prog/page_pair.h"
#include "vmm/page_image.h"

#define WIDE 0xfe100000u
#define NARROW 0xfe200000u
#define LEN 16u
#define GAP_US 20000000 /* no page goes because this host is busy */
#define STORM_MS 400

enum { PAGE_HPET, PAGE_WIDE, PAGE_NARROW, PAGES };

static char object_path[512];
static struct device pair;
static struct range *ranges[2];
static struct accel_object *obj;

/* ---- the device ------------------------------------------------------------------------------ */

static void pair_read(struct device *dev, struct io_req *req)
{
	const bool is_wide = req->io.size == 8;
	const uint32_t cell = req->io.offset / (is_wide ? 8 : 4);

	page_begin(dev);
	req->io.result = is_wide ? pair_wide(device_page(dev), cell, device_now(dev))
				 : pair_narrow(device_page(dev), cell, device_now(dev));
	page_end(dev);
}

static void pair_write(struct device *dev, struct io_req *req)
{
	struct pair_page *page = device_page(dev);

	page_begin(dev);
	if (req->io.offset)
		HR_STORE(page->kept, req->io.value);
	page_end(dev);
}

static void add_range(unsigned n, const char *name, uint32_t base, uint8_t width)
{
	static const char *progs[2] = {"wide", "narrow"};
	struct accel_err err = {.text = ""};
	struct range proto = {.name = name,
		.dev = &pair,
		.bus = IO_MMIO,
		.base = base,
		.len = LEN,
		.width = width,
		.flags = HR_PAGE_OK,
		.read = pair_read,
		.write = pair_write,
		.mapped = true};
	struct accel_slot *slot;

	ranges[n] = bus_add(&vm.bus, &proto);
	assert_non_null(ranges[n]);
	assert_int_equal(accel_slot_new(pair.page, &vm.clock.source, 2, ACCEL_PURE, &slot), 0);
	bus_set_slot(&vm.bus, ranges[n], slot);
	if (accel_slot_attach(slot, obj, progs[n], &err) || page_tier_add(vm.page_tier, ranges[n], obj, progs[n], &err))
		fail_msg("%s", err.text);
}

static void begin(enum opt_accel accel)
{
	static const struct device_ops ops_of_pair;
	struct accel_err err = {.text = ""};

	prepare(OPT_PAGE_ON, GAP_US, accel);
	assert_int_equal(device_init(&pair, "pair", &ops_of_pair, &vm.clock, 1, sizeof(struct pair_page)), 0);
	((struct pair_page *)device_page(&pair))->offset_ns = -(int64_t)vm.clock.start_ns;
	if (accel_object_open_file(object_path, &obj, &err) || accel_page_bind(pair.page, obj, &err))
		fail_msg("%s", err.text);
	add_range(0, "pair.wide", WIDE, 8);
	add_range(1, "pair.narrow", NARROW, 4);
	assert_int_equal(page_tier_start(vm.page_tier), 0);
	wr(CONFIG, MAIN, 1);
}

static void end(void)
{
	page_tier_stop(vm.page_tier);
	page_tier_free(vm.page_tier); /* before what it shows */
	vm.page_tier = NULL;
	assert_false(is_mapped());
	assert_null(more_pages[PAGE_WIDE]);
	assert_null(more_pages[PAGE_NARROW]);
	for (unsigned i = 0; i < 2; i++) {
		struct accel_slot *slot = ranges[i]->slot;

		bus_set_slot(&vm.bus, ranges[i], NULL);
		accel_slot_free(slot);
	}
	accel_object_put(obj);
	device_cleanup(&pair);
	vm_destroy(&vm);
	close(guest_fd);
}

/* ---- what a guest does ----------------------------------------------------------------------- */

static uint64_t load(unsigned which, unsigned reg, unsigned vcpu, bool *by_page)
{
	const unsigned size = which == PAGE_NARROW ? 4 : 8;
	const uint32_t base[PAGES] = {HPET, WIDE, NARROW};
	struct io_req req = {
		.io = {.vcpu = vcpu, .size = (uint8_t)size}, .addr = base[which] + reg, .bus = IO_MMIO, .count = 1};
	const uint8_t *page;
	uint64_t value = 0;

	pthread_rwlock_rdlock(&slot_lock);
	page = which == PAGE_HPET ? slot_page : more_pages[which];
	*by_page = page != NULL;
	if (page)
		value = size == 4 ? __atomic_load_n((const uint32_t *)(page + reg), __ATOMIC_ACQUIRE)
				  : __atomic_load_n((const uint64_t *)(page + reg), __ATOMIC_ACQUIRE);
	pthread_rwlock_unlock(&slot_lock);
	return *by_page ? value : access_bus(&req);
}

static void keep(unsigned which, uint64_t value)
{
	const unsigned size = which == PAGE_NARROW ? 4 : 8;
	struct io_req req = {.io = {.vcpu = MAIN, .size = (uint8_t)size, .is_write = 1, .value = value},
		.addr = (which == PAGE_NARROW ? NARROW : WIDE) + size,
		.bus = IO_MMIO,
		.count = 1};

	access_bus(&req);
}

static bool is_there(unsigned which)
{
	bool is;

	pthread_rwlock_rdlock(&slot_lock);
	is = which == PAGE_HPET ? slot_page != NULL : more_pages[which] != NULL;
	pthread_rwlock_unlock(&slot_lock);
	return is;
}

static bool wait_for(unsigned which, bool want)
{
	for (unsigned i = 0; i < 30000 && is_there(which) != want; i++)
		nap_ms(2);
	return is_there(which) == want;
}

static void wait_for_all(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(wait_for(i, true));
}

/* Of one page, by its number. */
static json_int_t number_of(unsigned which, const char *key)
{
	json_t *report = page_tier_json(vm.page_tier);
	json_t *value = json_object_get(json_array_get(json_object_get(report, "pages"), which), key);
	json_int_t n;

	assert_true(json_is_integer(value));
	n = json_integer_value(value);
	json_decref(report);
	return n;
}

static uint64_t guest_ns(void)
{
	return clock_now(&vm.clock) - vm.clock.start_ns;
}

/* One round; false: a page was not there all the time, since the publisher's processor was taken away with a word in its hand. */
static bool try_pair(uint64_t value)
{
	const uint64_t before_ns = guest_ns();
	bool by_page[5];
	uint64_t ns;

	do {
		ns = load(PAGE_WIDE, 0, MAIN, &by_page[0]);
		assert_true(ns <= guest_ns());
		if (ns < before_ns) /* the publisher has no processor just now */
			nap_ms(2);
	} while (ns < before_ns && guest_ns() - before_ns < 60 * HR_NSEC_PER_SEC);
	assert_true(ns >= before_ns);
	keep(PAGE_WIDE, value);
	assert_int_equal(load(PAGE_WIDE, 8, MAIN, &by_page[1]), value);
	assert_int_equal(load(PAGE_NARROW, 4, MAIN, &by_page[2]), (uint32_t)value);
	keep(PAGE_NARROW, value + 1);
	assert_int_equal(load(PAGE_WIDE, 8, MAIN, &by_page[3]), (uint32_t)(value + 1));
	assert_int_equal(load(PAGE_NARROW, 4, MAIN, &by_page[4]), (uint32_t)(value + 1));
	return by_page[0] && by_page[1] && by_page[2] && by_page[3] && by_page[4];
}

/* Both pages of the device are there, are kept true and show what is written. */
static void pair_is_true(uint64_t value)
{
	bool was_there = false;

	for (unsigned i = 0; i < 100 && !was_there; i++) {
		assert_true(wait_for(PAGE_WIDE, true) && wait_for(PAGE_NARROW, true));
		was_there = try_pair(value);
	}
	assert_true(was_there);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_values(void **state)
{
	bool by_page;

	(void)state;
	begin(OPT_ACCEL_ON);
	wait_for_all();
	pair_is_true(0x123456789abcdefull);
	/* bytes of a page that are nobody's, and of the ranges' own kind */
	pthread_rwlock_rdlock(&slot_lock);
	assert_true(!more_pages[PAGE_WIDE] || more_pages[PAGE_WIDE][LEN] == 0xff);
	assert_true(!more_pages[PAGE_NARROW] || more_pages[PAGE_NARROW][4095] == 0xff);
	pthread_rwlock_unlock(&slot_lock);
	assert_int_equal(rd(CONFIG, MAIN, &by_page), 1);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(number_of(i, "maps") >= 1 && number_of(i, "mapped_ns") > 0);
	end();
}

/* The ticks of the three registers that flow, as they stand; false: not all by a page. */
static bool read_ticks(uint64_t ticks[PAGES])
{
	bool are_there = true, by_page;

	for (unsigned i = 0; i < PAGES; i++) {
		ticks[i] = load(i, i == PAGE_HPET ? COUNTER : 0, MAIN, &by_page);
		are_there &= by_page;
	}
	ticks[PAGE_WIDE] /= 10;
	return are_there;
}

/* Whatever a pass stores is of one instant: all three count whole ticks of one time. */
static void test_one_clock(void **state)
{
	uint64_t first[PAGES] = {0}, now[PAGES];
	unsigned rounds = 0;

	(void)state;
	begin(OPT_ACCEL_ON);
	for (unsigned i = 0; i < 1000 && rounds < 20; i++) {
		bool are_there, agree = false;

		page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
		wait_for_all();
		nap_ms(5);
		/* It comes to stand with all words in its hand, between two passes; a busy host may let it stand within one before. */
		page_tier_fault(vm.page_tier, PAGE_FAULT_STUCK);
		for (unsigned k = 0; k < 2000 && !agree; k++) {
			nap_ms(5);
			are_there = read_ticks(now);
			if (!are_there)
				break;
			if (rounds == 0)
				memcpy(first, now, sizeof(first));
			agree = (uint32_t)now[PAGE_WIDE] == now[PAGE_NARROW] &&
				now[PAGE_WIDE] - first[PAGE_WIDE] == now[PAGE_HPET] - first[PAGE_HPET];
		}
		if (!are_there)
			continue;
		assert_true(agree);
		rounds++;
	}
	page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
	assert_int_equal(rounds, 20);
	assert_true(now[PAGE_WIDE] > first[PAGE_WIDE]);
	end();
}

static void test_one_goes(void **state)
{
	bool by_page, was_alone = false;

	(void)state;
	begin(OPT_ACCEL_ON);
	wait_for_all();
	/* its device does not want it shown */
	wr(TN_CONFIG, MAIN, PERIODIC);
	wr(TN_COMPARATOR, MAIN, 9999);
	assert_true(wait_for(PAGE_HPET, false));
	pair_is_true(1);
	wr(TN_CONFIG, MAIN, 0);
	assert_true(wait_for(PAGE_HPET, true));
	/* a reset of one */
	pthread_mutex_lock(&pair.lock);
	page_begin(&pair);
	((struct pair_page *)device_page(&pair))->kept = 0;
	page_end(&pair);
	pthread_mutex_unlock(&pair.lock);
	assert_int_equal(load(PAGE_WIDE, 8, MAIN, &by_page), 0);
	assert_int_equal(rd(CONFIG, MAIN, &by_page), 1);
	/* its word is stuck, as are the others', but nobody asks for those */
	for (unsigned i = 0; i < 100 && !was_alone; i++) {
		json_int_t others;

		wait_for_all();
		others = number_of(PAGE_WIDE, "given_up") + number_of(PAGE_NARROW, "given_up");
		page_tier_fault(vm.page_tier, PAGE_FAULT_STUCK);
		for (unsigned k = 0; k < 3000 && is_there(PAGE_HPET); k++) {
			nap_ms(5);
			wr(CONFIG, MAIN, 1);
		}
		assert_false(is_there(PAGE_HPET));
		was_alone = is_there(PAGE_WIDE) && is_there(PAGE_NARROW);
		page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
		was_alone &= try_pair(2);
		was_alone &= number_of(PAGE_WIDE, "given_up") + number_of(PAGE_NARROW, "given_up") == others;
	}
	assert_true(was_alone);
	assert_true(wait_for(PAGE_HPET, true));
	assert_true(number_of(PAGE_HPET, "given_up") >= 1);
	/* both of one device are stuck, and both go by that vCPU's hand */
	page_tier_fault(vm.page_tier, PAGE_FAULT_STUCK);
	for (unsigned i = 0; i < 3000 && (is_there(PAGE_WIDE) || is_there(PAGE_NARROW)); i++) {
		nap_ms(5);
		keep(PAGE_WIDE, i);
		assert_int_equal(load(PAGE_NARROW, 4, MAIN, &by_page), i);
	}
	assert_false(is_there(PAGE_WIDE));
	page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
	wait_for_all();
	pair_is_true(3);
	end();
}

static _Atomic bool stop;

struct reader {
	pthread_t thread;
	unsigned vcpu;
	uint64_t steps_back, ahead;
	_Atomic uint64_t by_page, by_exit;
};

static void *read_on(void *opaque)
{
	struct reader *r = opaque;
	uint64_t last[PAGES] = {0};

	is_vcpu = true;
	while (!atomic_load(&stop)) {
		for (unsigned i = 0; i < PAGES; i++) {
			bool by_page;
			uint64_t value = load(i, i == PAGE_HPET ? COUNTER : 0, r->vcpu, &by_page);

			if (i == PAGE_NARROW) /* it wraps after 43 s: widened by the time */
				value |= guest_ns() / 10 >> 32 << 32;
			r->steps_back += value < last[i];
			last[i] = value;
			r->ahead += i == PAGE_WIDE && value > guest_ns();
			*(by_page ? &r->by_page : &r->by_exit) += 1;
		}
	}
	return NULL;
}

static void storm(void)
{
	const uint64_t end_ms = now_ms() + STORM_MS;
	struct reader readers[2];
	bool by_page;
	unsigned i = 0;

	atomic_store(&stop, false);
	for (unsigned n = 0; n < 2; n++) {
		readers[n] = (struct reader){.vcpu = n};
		assert_int_equal(pthread_create(&readers[n].thread, NULL, read_on, &readers[n]), 0);
	}
	for (; now_ms() < end_ms || i < 20; i++) {
		keep(i % 2 ? PAGE_WIDE : PAGE_NARROW, i);
		assert_int_equal(load(PAGE_WIDE, 8, MAIN, &by_page), i);
		assert_int_equal(load(PAGE_NARROW, 4, MAIN, &by_page), i);
		wr(TN_COMPARATOR, MAIN, i);
		assert_int_equal(rd(TN_COMPARATOR, MAIN, &by_page), i);
		if (i % 8 == 0) {
			page_tier_forbid(vm.page_tier);
			page_tier_allow(vm.page_tier);
			nap_ms(i % 5);
		}
		if (i % 16 == 5)
			page_tier_fault(vm.page_tier, i % 32 == 5 ? PAGE_FAULT_STUCK : PAGE_FAULT_STARVED);
		if (i % 16 == 7)
			page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
	}
	atomic_store(&stop, true);
	for (unsigned n = 0; n < 2; n++) {
		pthread_join(readers[n].thread, NULL);
		assert_int_equal(readers[n].steps_back, 0);
		assert_int_equal(readers[n].ahead, 0);
	}
}

static void test_storm(void **state)
{
	(void)state;
	begin(OPT_ACCEL_ON);
	wait_for_all();
	storm();
	page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
	wait_for_all();
	pair_is_true(4);
	end();
}

/* Shadows of all of them, compared at each access; nothing is mapped. */
static void test_check_mode(void **state)
{
	(void)state;
	begin(OPT_ACCEL_CHECK);
	for (unsigned i = 0; i < 30000 && number("passes") <= 10; i++)
		nap_ms(2);
	storm();
	assert_int_equal(maps, 0);
	assert_false(is_there(PAGE_WIDE) || is_there(PAGE_NARROW));
	assert_int_equal(bus_check_divergences(&vm.bus), 0);
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_one_clock),
		cmocka_unit_test(test_one_goes),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_check_mode),
	};

	(void)argc;
	snprintf(object_path, sizeof(object_path), "%.*s/../prog/page_pair.bpf.o",
		(int)(strrchr(argv[0], '/') - argv[0]), argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
