/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_i8254_latch.c: the latch and read-back commands over all three counters at once, with status
 * bytes, null counts and the flip-flops of two-byte reads, against latches kept here by [8254] and
 * counters that really count; by the model, by the program, and by both in check mode.
 */
#include "tests/unit/board.h"

#include "devices/i8254.h"
#include "devices/programs.h"
#include "tests/unit/i8254_ref.h"

#define HZ 1193182u

/* A counter, and what is between it and its port. */
struct counter {
	struct ref ref;
	bool has_count, has_status; /* latched */
	unsigned count, status;
	bool is_msb; /* of a two-byte read the second byte is next */
};

struct rig {
	struct board b;
	struct device *pit;
	struct accel_object *obj;
	struct range *range;
	struct counter c[3];
	uint64_t tick;
};

static void rig_init(struct rig *rig, enum accel_mode mode)
{
	struct accel_err err = {.text = ""};

	*rig = (struct rig){0};
	board_init(&rig->b, mode);
	rig->pit = i8254_create(&rig->b.bus, &rig->b.clock, board_line(&rig->b, 0));
	assert_non_null(rig->pit);
	rig->c[0].ref.gate = rig->c[1].ref.gate = true;
	if (mode == ACCEL_OFF)
		return;
	assert_int_equal(accel_object_open("i8254", prog_i8254_start, (size_t)(prog_i8254_end - prog_i8254_start),
				 &rig->obj, &err),
		0);
	rig->range = bus_find_name(&rig->b.bus, "i8254");
	assert_int_equal(accel_page_bind(rig->pit->page, rig->obj, &err), 0);
	assert_int_equal(accel_slot_new(rig->pit->page, &rig->b.clock.source, 1, ACCEL_STATEFUL, &rig->range->slot), 0);
	assert_int_equal(accel_slot_attach(rig->range->slot, rig->obj, "i8254", &err), 0);
}

static void rig_done(struct rig *rig)
{
	if (rig->range) {
		accel_slot_free(rig->range->slot);
		rig->range->slot = NULL;
	}
	accel_object_put(rig->obj);
	board_destroy(&rig->b, rig->pit);
}

static void step(struct rig *rig, unsigned ticks)
{
	for (unsigned k = 0; k < ticks; k++) {
		for (unsigned i = 0; i < 3; i++)
			ref_pulse(&rig->c[i].ref);
	}
	rig->tick += ticks;
	clock_advance(&rig->b.clock, (uint64_t)(((unsigned __int128)rig->tick * 1000000000u + HZ - 1) / HZ));
}

/* A control word, which drops what is latched, and mostly a count. */
static void program(struct rig *rig, unsigned i, uint64_t *seed)
{
	unsigned rw = 1 + board_random(seed) % 3, is_bcd = board_random(seed) % 4 == 0, raw;
	unsigned control = i << 6 | rw << 4 | board_random(seed) % 8 << 1 | is_bcd;
	unsigned n = 2 + board_random(seed) % 97;
	struct counter *c = &rig->c[i];
	uint16_t port = (uint16_t)(0x40 + i);

	if (rw != 1)
		n = rw == 2 ? (is_bcd ? 100 : 256) * (1 + n % 3) : n * 3;
	board_out(&rig->b, 0x43, (uint8_t)control);
	ref_control(&c->ref, control);
	c->has_count = c->has_status = c->is_msb = false;
	if (board_random(seed) % 8 == 0)
		return;
	raw = is_bcd ? ref_bcd(n) : n;
	if (rw != 2)
		board_out(&rig->b, port, (uint8_t)raw);
	if (rw == 3) {
		ref_first_byte(&c->ref);
		if (board_random(seed) % 4 == 0)
			step(rig, board_random(seed) % 3); /* the null count is not set by the first byte */
	}
	if (rw != 1)
		board_out(&rig->b, port, (uint8_t)(raw >> 8));
	ref_count(&c->ref, n);
}

/* The first latch holds until it is read. */
static void latch(struct counter *c, bool count, bool status)
{
	if (count && !c->has_count) {
		c->has_count = true;
		c->count = ref_show(&c->ref);
	}
	if (status && !c->has_status) {
		c->has_status = true;
		c->status = (c->ref.out ? 0x80 : 0) | (c->ref.is_null ? 0x40 : 0) | c->ref.control;
	}
}

/* [8254] Read-Back Command: D5 = 0 counts, D4 = 0 status, D3..D1 which counters. */
static void read_back(struct rig *rig, unsigned value)
{
	board_out(&rig->b, 0x43, (uint8_t)(0xc0 | value));
	for (unsigned i = 0; i < 3; i++) {
		if (value >> (i + 1) & 1)
			latch(&rig->c[i], !(value & 0x20), !(value & 0x10));
	}
}

static unsigned expected_read(struct counter *c)
{
	unsigned rw = c->ref.control >> 4 & 3;
	unsigned value = c->has_count ? c->count : ref_show(&c->ref);
	bool is_msb = rw == 3 ? c->is_msb : rw == 2;

	if (c->has_status) {
		c->has_status = false;
		return c->status;
	}
	if (rw == 3)
		c->is_msb = !c->is_msb;
	if (rw != 3 || is_msb)
		c->has_count = false;
	return is_msb ? value >> 8 : value & 0xff;
}

static void random_walk(enum accel_mode mode, uint64_t seed)
{
	struct rig rig;

	rig_init(&rig, mode);
	for (unsigned i = 0; i < 3; i++)
		program(&rig, i, &seed);
	for (unsigned k = 0; k < 600; k++) {
		unsigned i = board_random(&seed) % 3;
		bool gate;

		switch (board_random(&seed) % 10) {
		case 0:
			program(&rig, i, &seed);
			break;
		case 1:
		case 2:
			read_back(&rig, board_random(&seed) & 0x3f); /* D0 is reserved and does nothing */
			break;
		case 3:
			board_out(&rig.b, 0x43, (uint8_t)(i << 6 | (board_random(&seed) & 15)));
			latch(&rig.c[i], true, false);
			break;
		case 4:
			gate = board_random(&seed) % 2;
			board_out(&rig.b, 0x61, gate);
			ref_gate(&rig.c[2].ref, gate);
			break;
		case 5:
			assert_int_equal(board_in(&rig.b, 0x43), 0xff); /* moves nothing */
			break;
		case 6:
			step(&rig, board_random(&seed) % (board_random(&seed) % 2 ? 4 : 300));
			break;
		default:
			assert_int_equal(board_in(&rig.b, (uint16_t)(0x40 + i)), expected_read(&rig.c[i]));
			break;
		}
	}
	assert_int_equal(bus_check_divergences(&rig.b.bus), 0);
	rig_done(&rig);
}

static void test_latches_of_all_counters(void **state)
{
	static const enum accel_mode modes[] = {ACCEL_OFF, ACCEL_ON, ACCEL_CHECK};

	(void)state;
	for (unsigned m = 0; m < 3; m++) {
		for (uint64_t seed = 1; seed <= 200; seed++)
			random_walk(modes[m], seed);
	}
}

/* One command takes all counters at one pulse; each is read when it pleases. */
static void test_read_back_is_one_instant(void **state)
{
	static const enum accel_mode modes[] = {ACCEL_OFF, ACCEL_ON};

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		struct rig rig;

		rig_init(&rig, modes[m]);
		for (unsigned i = 0; i < 3; i++) {
			board_out(&rig.b, 0x43, (uint8_t)(i << 6 | 0x34)); /* mode 2, two bytes */
			board_out(&rig.b, (uint16_t)(0x40 + i), 0x00);
			board_out(&rig.b, (uint16_t)(0x40 + i), (uint8_t)(0x10 * (i + 1)));
		}
		board_out(&rig.b, 0x61, 1); /* GATE 2 rises: its counter loads on the next pulse, as the others */
		board_out(&rig.b, 0x43, 0xee);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(board_in(&rig.b, (uint16_t)(0x40 + i)), 0xf4); /* OUT high, null count */
		step(&rig, 0x123);
		board_out(&rig.b, 0x43, 0xce);
		step(&rig, 777);
		for (unsigned i = 3; i-- > 0;) {
			unsigned count = 0x1000 * (i + 1) - 0x122;

			assert_int_equal(board_in(&rig.b, (uint16_t)(0x40 + i)), 0xb4); /* loaded */
			assert_int_equal(board_in(&rig.b, (uint16_t)(0x40 + i)), count & 0xff);
			step(&rig, 5);
			assert_int_equal(board_in(&rig.b, (uint16_t)(0x40 + i)), count >> 8);
		}
		rig_done(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latches_of_all_counters),
		cmocka_unit_test(test_read_back_is_one_instant),
	};

	return cmocka_run_group_tests_name("i8254 latches", tests, NULL, NULL);
}
