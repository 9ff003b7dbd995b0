/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hpet.c: the HPET's counter against 128-bit arithmetic at years of uptime, its timers against
 * a reference from the specification that compares at every single tick, its registers against
 * the specification's tables. Includes no header from bpf/.
 */
#include "tests/unit/board.h"

#include "devices/hpet.h"

typedef unsigned __int128 u128;

#define CAPS 0x000
#define CONFIG 0x010
#define ISR 0x020
#define COUNTER 0x0f0
#define TN_CONFIG(n) (0x100 + 0x20 * (n))
#define TN_COMPARATOR(n) (0x108 + 0x20 * (n))

#define ROUTES 0x00000c20u /* inputs 5, 10, 11 */
#define PERIOD_FS 10000000u

struct rig {
	struct board b;
	struct device *hpet;
};

static void rig_init(struct rig *rig)
{
	struct irq_line gsi[HPET_GSIS];

	board_init(&rig->b, ACCEL_OFF);
	for (unsigned i = 0; i < HPET_GSIS; i++)
		gsi[i] = board_line(&rig->b, i);
	rig->hpet = hpet_create(&rig->b.bus, &rig->b.clock, gsi, ROUTES, NULL);
	assert_non_null(rig->hpet);
}

static void rig_done(struct rig *rig)
{
	board_destroy(&rig->b, rig->hpet);
}

static uint64_t rd(struct rig *rig, unsigned reg, unsigned size)
{
	return board_io(&rig->b, IO_MMIO, HPET_BASE + reg, size, false, 0);
}

static void wr(struct rig *rig, unsigned reg, unsigned size, uint64_t value)
{
	board_io(&rig->b, IO_MMIO, HPET_BASE + reg, size, true, value);
}

/* [HPET] 2.3.4 to 2.3.9, default values. */
static void test_reset_values(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(rd(&rig, CAPS, 8) >> 32, PERIOD_FS);
	assert_int_equal(rd(&rig, CAPS, 4), 0x8086a201); /* vendor, legacy, 64 bits, 3 timers, revision 1 */
	assert_int_equal(rd(&rig, CONFIG, 8), 0);
	assert_int_equal(rd(&rig, ISR, 8), 0);
	assert_int_equal(rd(&rig, COUNTER, 8), 0);
	for (unsigned n = 0; n < 3; n++) {
		assert_int_equal(rd(&rig, TN_CONFIG(n), 8), (uint64_t)ROUTES << 32 | 0x30);
		assert_int_equal(rd(&rig, TN_COMPARATOR(n), 8), ~0ull);
		wr(&rig, TN_COMPARATOR(n) + 8, 8, ~0ull);
		assert_int_equal(rd(&rig, TN_COMPARATOR(n) + 8, 8), 0); /* no FSB delivery */
	}
	for (unsigned reg = 0x160; reg < HPET_LEN; reg += 8)
		assert_int_equal(rd(&rig, reg, 8), 0);
	/* writes with all ones reach what is writable and nothing else */
	wr(&rig, CAPS, 8, ~0ull);
	assert_int_equal(rd(&rig, CAPS, 8), (uint64_t)PERIOD_FS << 32 | 0x8086a201);
	wr(&rig, TN_CONFIG(2), 8, ~0ull); /* route 31 is not offered: the old one stays */
	assert_int_equal(rd(&rig, TN_CONFIG(2), 8), (uint64_t)ROUTES << 32 | 0x17e);
	wr(&rig, TN_CONFIG(2), 4, 11 << 9);
	assert_int_equal(rd(&rig, TN_CONFIG(2), 8), (uint64_t)ROUTES << 32 | 0x30 | 11 << 9);
	wr(&rig, CONFIG, 8, ~0ull);
	assert_int_equal(rd(&rig, CONFIG, 8), 3);
	board_reset(rig.hpet);
	assert_int_equal(rd(&rig, CONFIG, 8), 0);
	assert_int_equal(rd(&rig, TN_CONFIG(2), 8), (uint64_t)ROUTES << 32 | 0x30);
	rig_done(&rig);
}

/* ---- FSB delivery ---- */

struct messages {
	struct rig rig;
	struct irq_apic apic;
	struct irq_msi last;
	unsigned count;
	uint64_t at_ns;
};

static bool take_message(void *opaque, const struct irq_msi *msg)
{
	struct messages *m = opaque;

	m->last = *msg;
	m->count++;
	m->at_ns = clock_now(&m->rig.b.clock);
	return true;
}

static unsigned all_rises(const struct rig *rig)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BOARD_LINES; i++)
		n += rig->b.rises[i];
	return n;
}

/* [HPET] 2.3.8 Tn_FSB_EN_CNF and 2.3.10: where it is offered a match is a write of the value to the address, no line moves. */
static void test_fsb(void **state)
{
	struct irq_line gsi[HPET_GSIS];
	struct messages m = {.count = 0};

	(void)state;
	board_init(&m.rig.b, ACCEL_OFF);
	for (unsigned i = 0; i < HPET_GSIS; i++)
		gsi[i] = board_line(&m.rig.b, i);
	m.apic = (struct irq_apic){.send = take_message, .opaque = &m};
	m.rig.hpet = hpet_create(&m.rig.b.bus, &m.rig.b.clock, gsi, ROUTES, &m.apic);
	assert_non_null(m.rig.hpet);
	wr(&m.rig, CONFIG, 4, 1);
	for (unsigned n = 0; n < 3; n++) {
		unsigned lines = all_rises(&m.rig);
		uint64_t now = clock_now(&m.rig.b.clock);

		assert_int_equal(rd(&m.rig, TN_CONFIG(n), 8), (uint64_t)ROUTES << 32 | 0x8030);
		wr(&m.rig, TN_COMPARATOR(n) + 8, 4, 0x4051 + n);
		wr(&m.rig, TN_COMPARATOR(n) + 12, 4, 0xfee0300c);
		assert_int_equal(rd(&m.rig, TN_COMPARATOR(n) + 8, 8), 0xfee0300c00004051ull + n);
		wr(&m.rig, TN_CONFIG(n), 4, 0xc004 | 5 << 9); /* enabled, by message; the route does not matter */
		assert_int_equal(rd(&m.rig, TN_CONFIG(n), 4), 0xc034 | 5 << 9);
		m.count = 0;
		wr(&m.rig, TN_COMPARATOR(n), 8, now / 10 + 100);
		clock_advance(&m.rig.b.clock, now + 999);
		assert_int_equal(m.count, 0);
		clock_advance(&m.rig.b.clock, now + 5000);
		assert_int_equal(m.count, 1);
		assert_int_equal(m.at_ns, (now / 10 + 100) * 10);
		assert_int_equal(m.last.address, 0xfee0300c);
		assert_int_equal(m.last.data, 0x4051 + n);
		assert_int_equal(all_rises(&m.rig), lines);
		/* periodic: one each */
		wr(&m.rig, TN_CONFIG(n), 4, 0x404c);
		wr(&m.rig, TN_COMPARATOR(n), 8, rd(&m.rig, COUNTER, 8) + 10000);
		wr(&m.rig, TN_COMPARATOR(n), 8, 10000);
		m.count = 0;
		clock_advance(&m.rig.b.clock, clock_now(&m.rig.b.clock) + 1050000);
		assert_int_equal(m.count, 10);
		/* not enabled, and not in the local APICs' place */
		wr(&m.rig, TN_CONFIG(n), 4, 0x4008);
		clock_advance(&m.rig.b.clock, clock_now(&m.rig.b.clock) + 1000000);
		wr(&m.rig, TN_CONFIG(n), 4, 0x400c);
		wr(&m.rig, TN_COMPARATOR(n) + 12, 4, 0x00003000);
		clock_advance(&m.rig.b.clock, clock_now(&m.rig.b.clock) + 1000000);
		assert_int_equal(m.count, 10);
		wr(&m.rig, TN_COMPARATOR(n) + 12, 4, 0xfee00000);
		clock_advance(&m.rig.b.clock, clock_now(&m.rig.b.clock) + 1000000);
		assert_int_equal(m.count, 20);
		assert_int_equal(all_rises(&m.rig), lines);
		/* 2.3.5: legacy replacement overrides the FSB route of timers 0 and 1 */
		wr(&m.rig, CONFIG, 4, 3);
		clock_advance(&m.rig.b.clock, clock_now(&m.rig.b.clock) + 1000000);
		assert_int_equal(m.count, n < 2 ? 20 : 30);
		assert_int_equal(all_rises(&m.rig), lines + (n < 2 ? 10 : 0));
		wr(&m.rig, CONFIG, 4, 1);
		wr(&m.rig, TN_CONFIG(n), 4, 0);
	}
	board_reset(m.rig.hpet);
	assert_int_equal(rd(&m.rig, TN_COMPARATOR(0) + 8, 8), 0);
	assert_int_equal(rd(&m.rig, TN_CONFIG(0), 8), (uint64_t)ROUTES << 32 | 0x8030);
	rig_done(&m.rig);
}

/* The counter at `at_ns` when it was `start` at `enabled_ns`: whole periods of guest time between. */
static uint64_t counter_at(uint64_t start, uint64_t enabled_ns, uint64_t at_ns)
{
	u128 fs = (u128)1000000;

	return (uint64_t)(start + (u128)at_ns * fs / PERIOD_FS - (u128)enabled_ns * fs / PERIOD_FS);
}

static void check_parts(struct rig *rig, uint64_t want)
{
	assert_int_equal(rd(rig, COUNTER, 8), want);
	for (unsigned size = 1; size <= 4; size *= 2) {
		for (unsigned at = 0; at < 8; at += size)
			assert_int_equal(rd(rig, COUNTER + at, size), want >> (8 * at) & ((1ull << (8 * size)) - 1));
	}
}

static void test_counter(void **state)
{
	static const uint64_t uptimes_ns[] = {1, 9, 10, 19, 3600000000009ull, 86400000000123ull, 31557600000000001ull,
		315576000000000777ull, 3155760000000000339ull};
	static const uint64_t starts[] = {0, 1, 0xfffffffeull, 0xffffffffull, 0x123456789abcdef0ull, ~0ull - 3, ~0ull};

	(void)state;
	for (unsigned i = 0; i < 9 * 7; i++) {
		uint64_t start = starts[i % 7], enabled_ns = i * 7, halted;
		struct rig rig;

		rig_init(&rig);
		clock_advance(&rig.b.clock, enabled_ns);
		wr(&rig, COUNTER, 4, start);
		wr(&rig, COUNTER + 4, 4, start >> 32);
		check_parts(&rig, start); /* halted: it shows what was written */
		wr(&rig, CONFIG, 4, 1);
		for (unsigned k = 0; k < 30; k++) {
			clock_advance(&rig.b.clock, enabled_ns + uptimes_ns[i / 7] + k * 7);
			check_parts(&rig, counter_at(start, enabled_ns, clock_now(&rig.b.clock)));
		}
		/* halted it stays, and goes on from there */
		halted = rd(&rig, COUNTER, 8);
		wr(&rig, CONFIG, 1, 0);
		clock_advance(&rig.b.clock, clock_now(&rig.b.clock) + 12345);
		check_parts(&rig, halted);
		enabled_ns = clock_now(&rig.b.clock);
		wr(&rig, CONFIG, 1, 1);
		clock_advance(&rig.b.clock, enabled_ns + 1000);
		check_parts(&rig, counter_at(halted, enabled_ns, enabled_ns + 1000));
		/* written while it runs: from the new value on */
		wr(&rig, COUNTER, 8, 500);
		enabled_ns = clock_now(&rig.b.clock);
		clock_advance(&rig.b.clock, enabled_ns + 995);
		check_parts(&rig, counter_at(500, enabled_ns, enabled_ns + 995));
		rig_done(&rig);
	}
}

/* ---- a reference that compares at every tick ------------------------------------------------ */

struct ref_timer {
	bool is_level, is_enabled, is_periodic, is_32, val_set;
	bool held; /* an edge has left the line high */
	unsigned route;
	uint64_t comparator, period;
};

struct ref {
	struct ref_timer t[3];
	uint64_t counter;
	bool is_running, is_legacy;
	unsigned isr;
	unsigned edges[HPET_GSIS];
};

static uint64_t ref_mask(const struct ref_timer *t)
{
	return t->is_32 ? 0xffffffff : ~0ull;
}

static int ref_gsi(const struct ref *r, unsigned n)
{
	if (r->is_legacy && n < 2)
		return n ? 8 : 0;
	return r->t[n].route ? (int)r->t[n].route : -1;
}

static void ref_compare(struct ref *r, unsigned n)
{
	struct ref_timer *t = &r->t[n];

	if ((r->counter & ref_mask(t)) != (t->comparator & ref_mask(t)))
		return;
	if (t->is_periodic)
		t->comparator = (t->comparator + t->period) & ref_mask(t);
	if (t->is_level)
		r->isr |= 1u << n;
	else if (t->is_enabled)
		t->held = true;
	if (t->held && ref_gsi(r, n) >= 0)
		r->edges[ref_gsi(r, n)]++;
}

static void ref_tick(struct ref *r)
{
	if (!r->is_running)
		return;
	r->counter++;
	for (unsigned n = 0; n < 3; n++)
		ref_compare(r, n);
}

static bool ref_level(const struct ref *r, unsigned gsi)
{
	bool level = false;

	for (unsigned n = 0; n < 3; n++) {
		if (r->is_running && r->t[n].is_enabled && (r->t[n].is_level ? r->isr >> n & 1 : r->t[n].held))
			level |= ref_gsi(r, n) == (int)gsi;
	}
	return level;
}

static void ref_set_config(struct ref *r, unsigned n, uint32_t value)
{
	static const uint32_t routes = ROUTES;
	struct ref_timer *t = &r->t[n];

	t->is_level = value & 2;
	t->is_enabled = value & 4;
	t->is_periodic = value & 8;
	t->val_set = (value & 8) && (value & 0x40);
	t->is_32 = value & 0x100;
	if (routes >> (value >> 9 & 31) & 1)
		t->route = value >> 9 & 31;
	t->comparator &= ref_mask(t);
	t->period &= ref_mask(t);
	t->held &= t->is_enabled && !t->is_level;
	if (!t->is_level)
		r->isr &= ~(1u << n);
}

static void ref_set_comparator(struct ref *r, unsigned n, uint64_t value)
{
	struct ref_timer *t = &r->t[n];

	if (t->is_periodic)
		t->period = value & ref_mask(t);
	if (t->is_periodic && !t->val_set)
		return;
	t->val_set = false;
	t->comparator = value & ref_mask(t);
	if (r->is_running)
		ref_compare(r, n); /* equal already */
}

static uint32_t ref_config(const struct ref *r, unsigned n)
{
	const struct ref_timer *t = &r->t[n];

	return 0x30 | t->is_level << 1 | t->is_enabled << 2 | t->is_periodic << 3 | t->val_set << 6 | t->is_32 << 8 |
	       t->route << 9;
}

static void check_all(struct rig *rig, struct ref *r, bool reads_comparators)
{
	assert_int_equal(rd(rig, ISR, 4), r->isr);
	assert_int_equal(rd(rig, COUNTER, 8), r->counter);
	for (unsigned n = 0; n < 3; n++) {
		assert_int_equal(rd(rig, TN_CONFIG(n), 4), ref_config(r, n));
		if (reads_comparators)
			assert_int_equal(rd(rig, TN_COMPARATOR(n), 8), r->t[n].comparator);
	}
	for (unsigned gsi = 0; gsi < HPET_GSIS; gsi++)
		assert_int_equal(rig->b.level[gsi], ref_level(r, gsi));
}

/* No two timers share an input at once, so that each edge can be seen by itself. */
static uint32_t random_config(uint64_t *seed, unsigned n)
{
	static const unsigned routes[3] = {5, 10, 11};

	return (board_random(seed) & (0x2 | 0x4 | 0x8 | 0x40 | 0x100)) | (board_random(seed) % 3 ? routes[n] : 1) << 9;
}

static void random_walk(uint64_t seed)
{
	struct ref r = {0};
	struct rig rig;
	unsigned base[HPET_GSIS];

	rig_init(&rig);
	for (unsigned n = 0; n < 3; n++)
		r.t[n].comparator = ~0ull;
	if (seed & 1) { /* start short of a 32-bit wrap */
		wr(&rig, COUNTER, 8, 0xffff0000ull);
		r.counter = 0xffff0000ull;
	}
	for (unsigned i = 0; i < 120; i++) {
		unsigned what = board_random(&seed) % 16, n = board_random(&seed) % 3;
		uint32_t value;
		uint64_t compare;

		for (unsigned gsi = 0; gsi < HPET_GSIS; gsi++) {
			base[gsi] = rig.b.rises[gsi];
			r.edges[gsi] = 0;
		}
		if (what == 0) {
			value = board_random(&seed) & 3;
			wr(&rig, CONFIG, 4, value);
			if (!r.is_running && (value & 1)) {
				r.is_running = true;
				for (unsigned k = 0; k < 3; k++)
					ref_compare(&r, k);
			}
			r.is_running = value & 1;
			r.is_legacy = value & 2;
			for (unsigned k = 0; k < 3; k++)
				r.t[k].held &= r.is_running;
		} else if (what <= 3) {
			value = random_config(&seed, n);
			wr(&rig, TN_CONFIG(n), 4, value);
			ref_set_config(&r, n, value);
		} else if (what <= 8) {
			/* a period that can be followed; a comparator soon to come, or here, or far */
			compare = r.counter + (what == 4 ? 0 : 2000 + board_random(&seed) % 9000);
			if (r.t[n].is_periodic && !r.t[n].val_set)
				compare = 2000 + board_random(&seed) % 9000;
			wr(&rig, TN_COMPARATOR(n), 8, compare);
			ref_set_comparator(&r, n, compare);
		} else if (what <= 10) {
			value = board_random(&seed) & 7;
			wr(&rig, ISR, 4, value);
			r.isr &= ~value;
		} else if (what == 11 && !r.is_running) {
			compare = (uint64_t)board_random(&seed) << 20 | 0xfff00;
			wr(&rig, COUNTER, 8, compare);
			r.counter = compare;
		} else {
			unsigned ticks = board_random(&seed) % 30000;

			/* steps off the tick grid: the odd nanoseconds must not add up */
			clock_advance(
				&rig.b.clock, (clock_now(&rig.b.clock) / 10 + ticks) * 10 + board_random(&seed) % 10);
			for (unsigned k = 0; k < ticks; k++)
				ref_tick(&r);
			for (unsigned gsi = 0; gsi < HPET_GSIS; gsi++) {
				if (!r.isr)
					assert_int_equal(rig.b.rises[gsi] - base[gsi], r.edges[gsi]);
			}
		}
		check_all(&rig, &r, board_random(&seed) % 4 == 0);
	}
	rig_done(&rig);
}

static void test_timers_match_as_the_reference(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++)
		random_walk(seed);
}

/* [HPET] 2.3.9.2.2: with 32-bit writes each half of a periodic comparator needs its own VAL_SET. */
static void test_periodic_by_halves(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	wr(&rig, TN_CONFIG(0), 4, 0x4c | 5 << 9);
	wr(&rig, TN_COMPARATOR(0), 4, 1000000);
	assert_int_equal(rd(&rig, TN_CONFIG(0), 4) & 0x40, 0);
	wr(&rig, TN_CONFIG(0), 4, 0x4c | 5 << 9);
	wr(&rig, TN_COMPARATOR(0) + 4, 4, 0);
	assert_int_equal(rd(&rig, TN_COMPARATOR(0), 8), 1000000);
	wr(&rig, CONFIG, 4, 1);
	clock_advance(&rig.b.clock, 9999999);
	assert_int_equal(rig.b.rises[5], 0);
	clock_advance(&rig.b.clock, 10000000);
	assert_int_equal(rig.b.rises[5], 1);
	assert_int_equal(rd(&rig, TN_COMPARATOR(0), 8), 2000000);
	wr(&rig, TN_COMPARATOR(0), 8, 500000); /* the period only: from the next match on */
	clock_advance(&rig.b.clock, 24999999);
	assert_int_equal(rig.b.rises[5], 2);
	clock_advance(&rig.b.clock, 25000000);
	assert_int_equal(rig.b.rises[5], 3);
	rig_done(&rig);
}

/*
 * A periodic comparator and the status are as they should be at every moment, also when the host is
 * late and no timer has fired since hours, days or years: the first C + k * P after the counter.
 */
static void test_comparators_when_late(void **state)
{
	static const uint64_t late_ticks[] = {0, 1, 99999, 100000, 100001, 360000000000ull, 8640000000000ull,
		3155760000000000ull, 315576000000000000ull};
	uint64_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		bool is_32bit = i & 1, is_level = i & 2, is_periodic = i & 4;
		uint64_t first = i & 8 ? 100000 : 2000 + board_random(&seed) % 1000000;
		uint64_t period = i & 16 ? 100000 : 2000 + board_random(&seed);
		uint64_t at = late_ticks[i % 9] + (i & 32 ? board_random(&seed) % 3000000 : 0), want;
		u128 match = first;
		struct rig rig;

		rig_init(&rig);
		wr(&rig, TN_CONFIG(2), 4,
			(is_32bit ? 0x100 : 0) | (is_level ? 2 : 0) | (is_periodic ? 0x48 : 0) | 10 << 9);
		wr(&rig, TN_COMPARATOR(2), 8, first);
		if (is_periodic)
			wr(&rig, TN_COMPARATOR(2), 8, period);
		wr(&rig, CONFIG, 4, 1);
		board_be_late(&rig.b, at * 10 + 7);
		if (is_periodic && at >= first)
			match += ((u128)(at - first) / period + 1) * period;
		want = is_32bit ? (uint32_t)match : (uint64_t)match;
		assert_int_equal(rd(&rig, COUNTER, 8), at);
		assert_int_equal(rd(&rig, TN_COMPARATOR(2), 8), want);
		assert_int_equal(rd(&rig, TN_COMPARATOR(2), 4), want & 0xffffffff);
		assert_int_equal(rd(&rig, TN_COMPARATOR(2) + 4, 4), want >> 32);
		assert_int_equal(rd(&rig, ISR, 4), is_level && at >= first ? 4 : 0);
		/* and the same once the model has looked */
		clock_advance(&rig.b.clock, at * 10 + 9);
		assert_int_equal(rd(&rig, TN_COMPARATOR(2), 8), want);
		assert_int_equal(rd(&rig, ISR, 4), is_level && at >= first ? 4 : 0);
		wr(&rig, ISR, 4, 4);
		assert_int_equal(rd(&rig, ISR, 4), 0);
		assert_int_equal(rd(&rig, TN_COMPARATOR(2), 8), want);
		wr(&rig, CONFIG, 4, 0); /* halted: nothing moves */
		board_be_late(&rig.b, at * 10 + 5000000);
		assert_int_equal(rd(&rig, TN_COMPARATOR(2), 8), want);
		assert_int_equal(rd(&rig, ISR, 4), 0);
		rig_done(&rig);
	}
}

/* A one-shot timer in 32-bit mode matches again each time the low half comes round: 42.949... s. */
static void test_32bit_mode_wraps(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	wr(&rig, TN_CONFIG(1), 4, 0x104 | 10 << 9);
	wr(&rig, TN_COMPARATOR(1), 8, 0xabcdef0000000064ull);
	assert_int_equal(rd(&rig, TN_COMPARATOR(1), 8), 0x64); /* the upper half reads as 0 */
	wr(&rig, CONFIG, 4, 1);
	clock_advance(&rig.b.clock, 1000);
	assert_int_equal(rig.b.rises[10], 1);
	clock_advance(&rig.b.clock, 1000 + 42949672959ull);
	assert_int_equal(rig.b.rises[10], 1);
	clock_advance(&rig.b.clock, 1000 + 42949672960ull);
	assert_int_equal(rig.b.rises[10], 2);
	rig_done(&rig);
}

/* [HPET] 2.3.5 LEG_RT_CNF: timers 0 and 1 take over IRQ 0 and IRQ 8 from the 8254 and the RTC. */
static void test_legacy_replacement(void **state)
{
	struct irq_line pit, rtc;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	pit = hpet_legacy_line(rig.hpet, 0);
	rtc = hpet_legacy_line(rig.hpet, 1);
	irq_set(&pit, true);
	irq_set(&rtc, true);
	assert_true(rig.b.level[0] && rig.b.level[8]);
	irq_set(&rtc, false);
	assert_false(rig.b.level[8]);
	wr(&rig, CONFIG, 4, 2);
	assert_false(rig.b.level[0]);
	irq_set(&rtc, true);
	assert_false(rig.b.level[8]);
	wr(&rig, TN_CONFIG(0), 4, 0x4);
	wr(&rig, TN_COMPARATOR(0), 8, 100);
	wr(&rig, TN_CONFIG(1), 4, 0x6);
	wr(&rig, TN_COMPARATOR(1), 8, 200);
	wr(&rig, CONFIG, 4, 3);
	rig.b.rises[0] = 0;
	clock_advance(&rig.b.clock, 1000);
	assert_int_equal(rig.b.rises[0], 1);
	assert_true(rig.b.level[0]); /* an edge stays, for the 8259 to acknowledge */
	assert_false(rig.b.level[8]);
	wr(&rig, TN_CONFIG(0), 4, 0);
	assert_false(rig.b.level[0]);
	clock_advance(&rig.b.clock, 2000);
	assert_true(rig.b.level[8]);
	wr(&rig, ISR, 4, 2);
	assert_false(rig.b.level[8]);
	wr(&rig, CONFIG, 4, 1); /* and back to the chips' own levels */
	assert_true(rig.b.level[0] && rig.b.level[8]);
	rig_done(&rig);
}

/* A 10 ns period does not drown the event thread. */
static void test_interrupt_storm_is_bounded(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	wr(&rig, TN_CONFIG(2), 4, 0x4c | 11 << 9);
	wr(&rig, TN_COMPARATOR(2), 8, 1);
	wr(&rig, CONFIG, 4, 1);
	clock_advance(&rig.b.clock, 100000000);
	assert_in_range(rig.b.rises[11], 1000, 5001);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset_values),
		cmocka_unit_test(test_fsb),
		cmocka_unit_test(test_counter),
		cmocka_unit_test(test_timers_match_as_the_reference),
		cmocka_unit_test(test_periodic_by_halves),
		cmocka_unit_test(test_comparators_when_late),
		cmocka_unit_test(test_32bit_mode_wraps),
		cmocka_unit_test(test_legacy_replacement),
		cmocka_unit_test(test_interrupt_storm_is_bounded),
	};

	return cmocka_run_group_tests_name("hpet", tests, NULL, NULL);
}
