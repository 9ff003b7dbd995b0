// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_page_tier.c: the page tier's threads over a real machine and the host's clock, with a KVM of the test's own
 * (page_rig.h): pages that come and go, by force and by demand, whatever befalls the publisher. (The true KVM's part is
 * tests/guest/page_hpet.c.)
 *
 * Readers tell each other what they have seen, so that a step back between two vCPUs, or between page and exit, is found.
 */
#include "tests/unit/page_rig.h"

#define STORM_MS 400

/* ---- storms ---------------------------------------------------------------------------------- */

static _Atomic bool stop_storm;
static _Atomic uint64_t latest; /* that any vCPU has seen */

struct reader {
	pthread_t thread;
	unsigned vcpu;
	bool is_slow; /* a read each 20 ms */
	_Atomic uint64_t by_page, by_exit;
	uint64_t steps_back; /* the last: also other impossible values */
};

static void *read_on(void *opaque)
{
	struct reader *r = opaque;

	is_vcpu = true;
	while (!atomic_load(&stop_storm)) {
		uint64_t before = atomic_load(&latest), value;
		bool by_page;

		value = rd(COUNTER, r->vcpu, &by_page);
		r->steps_back += value < before;
		*(by_page ? &r->by_page : &r->by_exit) += 1;
		while (before < value && !atomic_compare_exchange_weak(&latest, &before, value))
			;
		if (r->is_slow)
			nap_ms(20);
	}
	return NULL;
}

/* Starts two readers; the rest of a storm is the caller's. */
static void start_readers(struct reader readers[2])
{
	atomic_store(&stop_storm, false);
	atomic_store(&latest, 0);
	for (unsigned i = 0; i < 2; i++) {
		readers[i] = (struct reader){.vcpu = i};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
}

static void end_readers(struct reader readers[2])
{
	atomic_store(&stop_storm, true);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].steps_back, 0);
	}
}

/* Whether there have been reads by the page and by exits: a busy host gives readers no processor for a while. */
static bool both_ways(const struct reader readers[2])
{
	return readers[0].by_page + readers[1].by_page > 0 && readers[0].by_exit + readers[1].by_exit > 0;
}

static void test_comes_and_shows(void **state)
{
	uint64_t first, second, config, start_ms;
	bool by_page;

	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_ON);
	assert_true(wait_mapped(true));
	assert_int_equal(rd(CONFIG, MAIN, &by_page), 0);
	wr(CONFIG, MAIN, 1);
	config = rd(CONFIG, MAIN, &by_page);
	if (by_page) /* else it has gone for a moment */
		assert_int_equal(config, 1);
	start_ms = now_ms();
	first = rd(COUNTER, MAIN, &by_page);
	do { /* the publisher moves it, as soon as it has a processor */
		nap_ms(20);
		second = rd(COUNTER, MAIN, &by_page);
	} while (second == first && now_ms() - start_ms < 60000);
	/* 100 MHz; what was read first may have been as old as the limit, and what may be late is late on a busy host */
	assert_true(second > first && (second - first) / 100000 <= now_ms() - start_ms + 10000);
	assert_true(number("passes") > 10);
	assert_true(number("maps") >= 1);
	assert_true(number("publisher_cpu_ns") > 0);
	assert_true(number("gap_p50_ns") > 0 && number("gap_p50_ns") <= number("gap_p999_ns"));
	destroy();
}

/* Comes and goes all the time, programs are taken away and put back: the counter never goes back. */
static void test_comings_and_goings(void **state)
{
	struct reader readers[2];
	uint64_t end_ms = now_ms() + STORM_MS;
	unsigned turns = 0;

	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_ON);
	wr(CONFIG, MAIN, 1);
	start_readers(readers);
	while (now_ms() < end_ms || ((maps < 3 || !both_ways(readers)) && now_ms() < end_ms + 60000)) {
		page_tier_forbid(vm.page_tier);
		assert_false(is_mapped());
		if (turns % 3 == 0)
			nap_ms(1);
		page_tier_allow(vm.page_tier);
		if (turns++ % 2)
			wait_mapped(true);
		nap_ms(turns % 5);
	}
	end_readers(readers);
	assert_true(both_ways(readers));
	/* a stuck word is the only reason for a vCPU to change a slot; the manager comes to know of it a little later */
	for (unsigned i = 0; i < 15000 && number("given_up") < (json_int_t)changes_by_vcpus; i++)
		nap_ms(2);
	assert_true(number("given_up") >= (json_int_t)changes_by_vcpus);
	destroy();
}

/* Stopped and started again and again from another vCPU. */
static void test_stop_and_start(void **state)
{
	struct reader readers[2];
	uint64_t end_ms = now_ms() + STORM_MS;
	bool by_page;

	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_ON);
	assert_true(wait_mapped(true));
	is_vcpu = true;
	start_readers(readers);
	while (now_ms() < end_ms) {
		uint64_t stopped;

		wr(CONFIG, MAIN, 1);
		wr(CONFIG, MAIN, 0);
		stopped = rd(COUNTER, MAIN, &by_page);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(rd(COUNTER, MAIN, &by_page), stopped);
		wr(TN_COMPARATOR, MAIN, stopped + end_ms);
		assert_int_equal(rd(TN_COMPARATOR, MAIN, &by_page), stopped + end_ms);
	}
	is_vcpu = false;
	end_readers(readers);
	destroy();
}

/* What befalls the publisher is not seen in what the guest reads. */
static void test_faults(void **state)
{
	static const enum page_fault faults[] = {PAGE_FAULT_STUCK, PAGE_FAULT_STARVED, PAGE_FAULT_KILLED};

	(void)state;
	for (unsigned f = 0; f < sizeof(faults) / sizeof(faults[0]); f++) {
		struct reader readers[2];
		uint64_t before, end_ms;
		bool by_page;

		create(OPT_PAGE_ON, 500000, OPT_ACCEL_ON);
		wr(CONFIG, MAIN, 1);
		assert_true(wait_mapped(true));
		start_readers(readers);
		page_tier_fault(vm.page_tier, faults[f]);
		nap_ms(30);
		if (faults[f] == PAGE_FAULT_KILLED) /* nobody writes: the manager sees that nobody publishes */
			assert_true(wait_mapped(false));
		end_ms = now_ms() + STORM_MS / 2;
		while (now_ms() < end_ms)
			wr(TN_COMPARATOR, MAIN, now_ms()); /* the model must not wait for ever */
		if (faults[f] != PAGE_FAULT_STARVED)	   /* one that is late now and then may keep its promise */
			assert_true(wait_mapped(false));
		before = rd(COUNTER, MAIN, &by_page);
		nap_ms(20);
		if (faults[f] != PAGE_FAULT_STARVED)
			assert_true(rd(COUNTER, MAIN, &by_page) - before >= 1500000); /* it goes on, by exits */
		if (faults[f] != PAGE_FAULT_KILLED) {				      /* and recovers */
			page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
			assert_true(wait_mapped(true));
		}
		end_readers(readers);
		destroy();
	}
}

/* The model finds the word stuck: page and word go together, by the vCPU's own hand, once. */
static void test_given_up(void **state)
{
	bool by_page;

	(void)state;
	create(OPT_PAGE_ON, 10000000, OPT_ACCEL_ON);
	assert_true(wait_mapped(true));
	page_tier_fault(vm.page_tier, PAGE_FAULT_STUCK);
	nap_ms(20);
	is_vcpu = true;
	for (unsigned i = 0; i < 3000; i++) { /* until the publisher has come to be stuck */
		wr(CONFIG, MAIN, 1);
		assert_int_equal(rd(CONFIG, MAIN, &by_page), 1);
		if (!by_page)
			break;
		nap_ms(20);
	}
	is_vcpu = false;
	assert_false(by_page);
	for (unsigned i = 0; i < 15000 && number("given_up") == 0; i++)
		nap_ms(2);
	assert_true(number("given_up") >= 1);
	page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
	assert_true(wait_mapped(true));
	destroy();
}

/*
 * A page comes though the publisher stands still with each word that it takes: until the page is there it takes none, so no vCPU
 * can find it with one.
 */
static void test_comes_without_the_word(void **state)
{
	unsigned before;

	(void)state;
	create(OPT_PAGE_ON, 10000000, OPT_ACCEL_ON);
	wr(CONFIG, MAIN, 1);
	assert_true(wait_mapped(true));
	page_tier_forbid(vm.page_tier);
	assert_false(is_mapped());
	before = maps;
	page_tier_fault(vm.page_tier, PAGE_FAULT_STUCK);
	page_tier_allow(vm.page_tier);
	for (unsigned i = 0; i < 15000 && maps == before; i++)
		nap_ms(2);
	assert_true(maps > before);
	page_tier_fault(vm.page_tier, PAGE_FAULT_NONE);
	destroy();
}

static void test_short_period_goes(void **state)
{
	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_ON);
	assert_true(wait_mapped(true));
	wr(TN_CONFIG, MAIN, PERIODIC);
	wr(TN_COMPARATOR, MAIN, 9999); /* below 100 us */
	assert_true(wait_mapped(false));
	nap_ms(50);
	assert_false(is_mapped());
	wr(TN_CONFIG, MAIN, 0);
	assert_true(wait_mapped(true));
	/* before a timer's callback it is gone at once */
	wr(TN_CONFIG, MAIN, PERIODIC);
	for (unsigned i = 0; i < 1000 && is_mapped(); i++)
		page_tier_before_timer(vm.page_tier);
	assert_false(is_mapped());
	destroy();
}

static void *sample_on(void *opaque)
{
	struct reader *r = opaque;
	uint32_t seed = r->vcpu + 1;

	is_vcpu = true;
	while (!atomic_load(&stop_storm)) {
		bool by_page;
		unsigned reg;
		uint64_t value;

		seed = seed * 1664525u + 1013904223u;
		reg = (seed >> 16) % 0x80 * 8;
		value = rd(reg, r->vcpu, &by_page);
		/* [HPET] 2.3.4 and table 2: capabilities are fixed, what is reserved is 0, and so are the bits that nobody may set */
		if (reg == 0)
			r->steps_back += value != 0x009896808086a201ull;
		else if (reg == CONFIG)
			r->steps_back += value & ~3ull;
		else if (reg == 0x20)
			r->steps_back += value & ~7ull;
		else if (reg >= TN_CONFIG && reg < 0x160 && reg % 0x20 == 0)
			r->steps_back += (value & 0xffffc031ull) != 0x30;
		else if (reg != COUNTER && (reg < TN_CONFIG || reg >= 0x160 || reg % 0x20 > 8))
			r->steps_back += value != 0;
		*(by_page ? &r->by_page : &r->by_exit) += 1;
	}
	return NULL;
}

/* Fuzz: anything at all is written while others read every register; at the end what the page shows is what the model says. */
static void test_random_writes(void **state)
{
	struct reader readers[2];
	uint64_t end_ms = now_ms() + 2 * STORM_MS;
	uint32_t seed = 4711;

	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_ON);
	atomic_store(&stop_storm, false);
	for (unsigned i = 0; i < 2; i++) {
		readers[i] = (struct reader){.vcpu = i};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, sample_on, &readers[i]), 0);
	}
	while (now_ms() < end_ms || (!both_ways(readers) && now_ms() < end_ms + 60000)) {
		seed = seed * 1664525u + 1013904223u;
		wr((seed >> 16) % 0x80 * 8, MAIN, seed % 50 ? (uint64_t)seed << 32 | seed : ~0ull);
		if (seed % 32 == 0) {
			for (unsigned n = 0; n < 3; n++)
				wr(TN_CONFIG + 0x20 * n, MAIN, 0);
			nap_ms(15);
		}
	}
	for (unsigned n = 0; n < 3; n++)
		wr(TN_CONFIG + 0x20 * n, MAIN, 0);
	wr(CONFIG, MAIN, 0);
	assert_true(wait_mapped(true));
	end_readers(readers);
	assert_true(both_ways(readers));
	for (unsigned reg = 0; reg < 0x400; reg += 8) {
		bool by_page;
		uint64_t shown = rd(reg, MAIN, &by_page), said;

		if (!by_page)
			continue; /* it has gone for a moment */
		said = access_bus(&(struct io_req){
			.io = {.vcpu = MAIN, .size = 8}, .addr = HPET + reg, .bus = IO_MMIO, .count = 1});
		assert_int_equal(shown, said); /* the counter is stopped */
	}
	destroy();
}

static void set_mode(enum accel_mode mode)
{
	struct accel_err err;

	assert_int_equal(vm_set_accel(&vm, mode, &err), 0);
}

/* Shadows agree with the model while publisher, writes and reads are at it; nothing is mapped. */
static void test_check_mode(void **state)
{
	uint64_t end_ms;
	bool by_page;

	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_CHECK);
	for (unsigned i = 0; i < 30000 && number("passes") <= 10; i++)
		nap_ms(2);
	end_ms = now_ms() + STORM_MS;
	for (unsigned i = 0; now_ms() < end_ms; i++) {
		wr(CONFIG, MAIN, i % 50 != 0);
		for (unsigned k = 0; k < 20; k++)
			rd(k % 2 ? COUNTER : TN_COMPARATOR, MAIN, &by_page);
		assert_false(by_page);
		wr(TN_COMPARATOR, MAIN, i);
	}
	assert_int_equal(maps, 0);
	assert_true(number("passes") > 10);
	assert_int_equal(bus_check_divergences(&vm.bus), 0);
	assert_int_equal(runs_of_probe, 0); /* a shadow asks nothing of the host, a page does */
	set_mode(ACCEL_ON);
	assert_true(wait_mapped(true));
	assert_int_equal(runs_of_probe, 1);
	destroy();
	host_works = false;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_CHECK);
	set_mode(ACCEL_ON);
	for (unsigned i = 0; i < 15000 && runs_of_probe == 0; i++)
		nap_ms(2);
	nap_ms(100);
	assert_int_equal(runs_of_probe, 1);
	assert_int_equal(maps, 0);
	assert_string_equal(text("host"), "it tears");
	destroy();
	host_works = true;
}

static void test_live_mode(void **state)
{
	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_ON);
	assert_true(wait_mapped(true));
	set_mode(ACCEL_OFF);
	assert_false(is_mapped());
	nap_ms(50);
	assert_false(is_mapped());
	set_mode(ACCEL_CHECK);
	nap_ms(50);
	assert_false(is_mapped());
	set_mode(ACCEL_ON);
	assert_true(wait_mapped(true));
	destroy();
}

/* Comes when its range is read a lot, goes when it is read seldom, and not without a processor to spare. */
static void test_demand(void **state)
{
	struct reader readers[2], slow = {.is_slow = true};
	unsigned maps_before;

	(void)state;
	if (page_host_processors("") < 2)
		skip();
	create(OPT_PAGE_AUTO, 10000000, OPT_ACCEL_ON);
	wr(CONFIG, MAIN, 1);
	nap_ms(700);
	assert_int_equal(maps, 0);	       /* nobody reads it */
	assert_int_equal(timings_of_probe, 0); /* and nobody has asked what the host can do */
	start_readers(readers);
	assert_true(wait_mapped(true));
	assert_int_equal(timings_of_probe, 1);
	assert_int_equal(runs_of_probe, 1);
	nap_ms(100);
	end_readers(readers);
	/* 50 reads a second cost a thousandth of a processor */
	atomic_store(&stop_storm, false);
	assert_int_equal(pthread_create(&slow.thread, NULL, read_on, &slow), 0);
	assert_true(wait_mapped(false));
	maps_before = maps;
	nap_ms(1000);
	assert_int_equal(maps, maps_before);
	atomic_store(&stop_storm, true);
	pthread_join(slow.thread, NULL);
	assert_int_equal(slow.steps_back, 0);
	if (number("samples") > 0 && number("given_up") == 0) /* else it may have gone for that */
		assert_true(number("samples_with_readers") < number("samples"));
	start_readers(readers); /* once more, without another test of the host */
	assert_true(wait_mapped(true));
	assert_int_equal(timings_of_probe, 1);
	assert_int_equal(runs_of_probe, 1);
	end_readers(readers);
	destroy();
}

/* Until the manager has looked so often at who waits, a minute at most. */
static bool wait_looks(uint64_t more)
{
	const uint64_t want = crowd_looks + more;

	for (unsigned i = 0; i < 30000 && crowd_looks < want; i++)
		nap_ms(2);
	return crowd_looks >= want;
}

static uint64_t backoff_ns(void)
{
	uint64_t ns;

	pthread_mutex_lock(&vm.page_tier->lock);
	ns = vm.page_tier->pages[0].backoff_ns;
	pthread_mutex_unlock(&vm.page_tier->lock);
	return ns;
}

/*
 * Auto: a page for which somebody has to do without a processor goes, for longer each time, and none comes while vCPUs wait.
 * One that costs nobody much stays.
 */
static void test_crowded(void **state)
{
	static const struct {
		uint64_t lost, waited;
		bool goes, to_the_end;
	} rows[] = {
		{240, 120, false, false},
		{260, 0, true, false},
		{0, 130, true, false},
		{1000, 1000, true, true},
	};

	(void)state;
	if (page_host_processors("") < 2)
		skip();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reader readers[2];

		create(OPT_PAGE_AUTO, 60000000, OPT_ACCEL_ON); /* never late by its own account */
		wr(CONFIG, MAIN, 1);
		start_readers(readers);
		assert_true(wait_mapped(true));
		crowd_lost = rows[i].lost;
		crowd_waited = rows[i].waited;
		if (rows[i].goes) {
			assert_true(wait_mapped(false));
			assert_int_equal(backoff_ns(), 1000000000);
		} else {
			assert_true(wait_looks(10));
			if (number("given_up") == 0) /* else it may have gone for that */
				assert_int_equal(backoff_ns(), 0);
			assert_true(wait_mapped(true));
		}
		if (rows[i].to_the_end) {
			const unsigned maps_before = maps;

			for (unsigned k = 0; k < 30000 && backoff_ns() < 2000000000; k++)
				nap_ms(2);
			assert_int_equal(backoff_ns(), 2000000000);
			assert_int_equal(maps, maps_before);
			crowd_lost = crowd_waited = 0;
			assert_true(wait_mapped(true));
		}
		crowd_lost = crowd_waited = 0;
		end_readers(readers);
		destroy();
	}
}

/* --page on: the user has asked for it. */
static void test_forced_though_crowded(void **state)
{
	(void)state;
	create(OPT_PAGE_ON, 60000000, OPT_ACCEL_ON);
	assert_true(wait_mapped(true));
	crowd_lost = crowd_waited = 1000;
	nap_ms(100);
	assert_true(is_mapped());
	crowd_lost = crowd_waited = 0;
	assert_int_equal(maps, 1);
	destroy();
}

/* A publisher that gets a turn now and then says for how long it got none. */
static void test_lost(void **state)
{
	(void)state;
	create(OPT_PAGE_ON, 60000000, OPT_ACCEL_ON);
	assert_true(wait_mapped(true));
	page_tier_fault(vm.page_tier, PAGE_FAULT_STARVED); /* 5 ms between two passes */
	for (unsigned i = 0; i < 30000 && atomic_load(&vm.page_tier->lost_ns) < 50000000; i++)
		nap_ms(2);
	assert_true(atomic_load(&vm.page_tier->lost_ns) >= 50000000);
	assert_true(atomic_load(&vm.page_tier->last_pass_ns) > 0);
	page_tier_forbid(vm.page_tier);
	for (unsigned i = 0; i < 30000 && atomic_load(&vm.page_tier->last_pass_ns); i++)
		nap_ms(2);
	assert_int_equal(atomic_load(&vm.page_tier->last_pass_ns), 0); /* nothing is shown, nothing lost */
	page_tier_allow(vm.page_tier);
	destroy();
}

/* Writes leave the guest with a page and without: they ask for none. */
static void test_writes_ask_for_none(void **state)
{
	uint64_t end_ms = now_ms() + 1000;

	(void)state;
	if (page_host_processors("") < 2)
		skip();
	create(OPT_PAGE_AUTO, 1000000, OPT_ACCEL_ON);
	while (now_ms() < end_ms)
		wr(TN_COMPARATOR, MAIN, end_ms);
	assert_int_equal(timings_of_probe, 0);
	assert_int_equal(maps, 0);
	destroy();
}

/* A host that fails is asked once, and the guest goes on without. */
static void test_host_that_fails(void **state)
{
	struct reader readers[2];

	(void)state;
	if (page_host_processors("") < 2)
		skip();
	host_works = false;
	create(OPT_PAGE_AUTO, 1000000, OPT_ACCEL_ON);
	wr(CONFIG, MAIN, 1);
	start_readers(readers);
	for (unsigned i = 0; i < 15000 && runs_of_probe == 0; i++)
		nap_ms(2);
	nap_ms(500);
	end_readers(readers);
	assert_int_equal(runs_of_probe, 1);
	assert_int_equal(timings_of_probe, 1);
	assert_int_equal(maps, 0);
	assert_string_equal(text("host"), "it tears");
	destroy();
	host_works = true;
}

/* As many vCPUs as processors: auto makes no tier, and asks the host nothing. */
static void test_none_to_spare(void **state)
{
	struct accel_err err = {.text = ""};
	struct page_tier *tier, *before;
	const unsigned cpus = 1;

	(void)state;
	create(OPT_PAGE_ON, 1000000, OPT_ACCEL_ON);
	before = vm.page_tier;
	opt.page = OPT_PAGE_AUTO;
	vm.cpu_count = page_host_processors("");
	runs_of_probe = 0;
	assert_int_equal(page_tier_new(&vm, &tier, &err), 0);
	assert_null(tier);
	opt.page_by_default = true;
	assert_int_equal(page_tier_new(&vm, &tier, &err), 0);
	assert_null(tier);
	assert_int_equal(runs_of_probe + timings_of_probe, 0);
	vm.cpu_count = cpus;
	opt.page = OPT_PAGE_ON;
	vm.page_tier = before;
	destroy();
}

static void put(const char *root, const char *file, const char *text)
{
	char path[200];
	FILE *f;

	if (!file)
		return;
	snprintf(path, sizeof(path), "%s/%s", root, file);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_processors(void **state)
{
	static const struct {
		const char *cgroup, *file, *text, *file2, *text2;
		unsigned most;
	} rows[] = {
		{"0::/\n", NULL, NULL, NULL, NULL, ~0u},
		{"0::/a/b\n", "sys/fs/cgroup/a/cpu.max", "100000 100000\n", NULL, NULL, 1},
		{"0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "max 100000\n", "sys/fs/cgroup/a/cpu.max", "50000 100000\n",
			0},
		{"3:cpu,cpuacct:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n", 1},
		{"3:cpu,cpuacct:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n", ~0u},
		{"3:memory:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n", ~0u},
	};
	const unsigned all = page_host_processors("/nowhere");

	(void)state;
	assert_true(all >= 1);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char root[] = "/tmp/test_page_tier.XXXXXX", command[200];

		assert_non_null(mkdtemp(root));
		snprintf(command, sizeof(command), "mkdir -p %s/proc/self %s/sys/fs/cgroup/a/b %s/sys/fs/cgroup/cpu/x",
			root, root, root);
		assert_int_equal(system(command), 0);
		put(root, "proc/self/cgroup", rows[i].cgroup);
		put(root, rows[i].file, rows[i].text);
		put(root, rows[i].file2, rows[i].text2);
		assert_int_equal(page_host_processors(root), rows[i].most < all ? rows[i].most : all);
		snprintf(command, sizeof(command), "rm -r %s", root);
		assert_int_equal(system(command), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_and_shows),
		cmocka_unit_test(test_comings_and_goings),
		cmocka_unit_test(test_stop_and_start),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_comes_without_the_word),
		cmocka_unit_test(test_short_period_goes),
		cmocka_unit_test(test_random_writes),
		cmocka_unit_test(test_check_mode),
		cmocka_unit_test(test_live_mode),
		cmocka_unit_test(test_demand),
		cmocka_unit_test(test_crowded),
		cmocka_unit_test(test_forced_though_crowded),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_writes_ask_for_none),
		cmocka_unit_test(test_host_that_fails),
		cmocka_unit_test(test_none_to_spare),
		cmocka_unit_test(test_processors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
