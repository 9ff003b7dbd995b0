/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_i8042.c: the keyboard controller: its commands, the keyboard's answers in order and with
 * their interrupts, the absent auxiliary device, A20 and the three ways to reset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/i8042.h"
#include "tests/unit/board.h"

#define KBD_IRQ 1
#define AUX_IRQ 12
#define RESET 20

struct rig {
	struct board board;
	struct device *kbc;
};

static void data(struct rig *r, uint8_t v)
{
	board_out(&r->board, 0x60, v);
}

static void command(struct rig *r, uint8_t v)
{
	board_out(&r->board, 0x64, v);
}

static uint8_t status(struct rig *r)
{
	return board_in(&r->board, 0x64);
}

/* The next byte, which must be there. */
static uint8_t next(struct rig *r)
{
	assert_int_equal(status(r) & 0x01, 0x01);
	return board_in(&r->board, 0x60);
}

static void nothing_more(struct rig *r)
{
	assert_int_equal(status(r) & 0x01, 0);
}

static void set_ctr(struct rig *r, uint8_t v)
{
	command(r, 0x60);
	data(r, v);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	r->kbc = i8042_create(&r->board.bus, &r->board.clock,
		&(struct i8042_config){.keyboard = board_line(&r->board, KBD_IRQ),
			.aux = board_line(&r->board, AUX_IRQ),
			.reset = board_line(&r->board, RESET)});
	assert_non_null(r->kbc);
	board_reset(r->kbc);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	board_destroy(&r->board, r->kbc);
	free(r);
	return 0;
}

static void test_self_tests(void **state)
{
	struct rig *r = *state;

	assert_int_equal(status(r), 0x10);
	command(r, 0xaa);
	assert_int_equal(status(r) & 0x0d, 0x0d); /* OBF, SYS, the last write was a command */
	assert_int_equal(next(r), 0x55);
	command(r, 0xab);
	assert_int_equal(next(r), 0x00);
	command(r, 0xa9);
	assert_int_equal(next(r), 0x00);
	command(r, 0xa4);
	assert_int_equal(next(r), 0xf1);
	nothing_more(r);
}

static void test_command_byte(void **state)
{
	struct rig *r = *state;

	for (unsigned v = 0; v < 256; v++) {
		set_ctr(r, (uint8_t)v);
		command(r, 0x20);
		assert_int_equal(next(r), v);
		assert_int_equal(status(r) >> 2 & 1, v >> 2 & 1);
	}
	set_ctr(r, 0x00);
	command(r, 0xad);
	command(r, 0xa7);
	command(r, 0x20);
	assert_int_equal(next(r), 0x30);
	command(r, 0xae);
	command(r, 0xa8);
	command(r, 0x20);
	assert_int_equal(next(r), 0x00);
	command(r, 0x71); /* the rest of the RAM */
	data(r, 0x99);
	command(r, 0x31);
	assert_int_equal(next(r), 0x99);
}

static void test_keyboard(void **state)
{
	struct rig *r = *state;

	set_ctr(r, 0x00);
	data(r, 0xff);
	assert_int_equal(next(r), 0xfa);
	assert_int_equal(next(r), 0xaa);
	data(r, 0xf2);
	assert_int_equal(next(r), 0xfa);
	assert_int_equal(next(r), 0xab);
	assert_int_equal(next(r), 0x83);
	data(r, 0xee);
	assert_int_equal(next(r), 0xee);
	data(r, 0xed);
	assert_int_equal(next(r), 0xfa);
	data(r, 0x07);
	assert_int_equal(next(r), 0xfa);
	data(r, 0xf3);
	assert_int_equal(next(r), 0xfa);
	data(r, 0xf4); /* a command where a parameter should be is a command */
	assert_int_equal(next(r), 0xfa);
	data(r, 0x07); /* so this is not a parameter, and nothing else either */
	assert_int_equal(next(r), 0xfe);
	data(r, 0xf2);
	next(r);
	next(r);
	next(r);
	data(r, 0xfe); /* resend */
	assert_int_equal(next(r), 0x83);
	nothing_more(r);
}

static void test_scan_code_set(void **state)
{
	struct rig *r = *state;

	set_ctr(r, 0x00);
	for (uint8_t set = 3; set >= 1; set--) {
		data(r, 0xf0);
		data(r, set);
		data(r, 0xf0);
		data(r, 0);
		assert_int_equal(next(r), 0xfa);
		assert_int_equal(next(r), 0xfa);
		assert_int_equal(next(r), 0xfa);
		assert_int_equal(next(r), 0xfa);
		assert_int_equal(next(r), set);
	}
	data(r, 0xf6); /* default: set 2 */
	next(r);
	set_ctr(r, 0x40); /* translated to set 1 on the way */
	data(r, 0xf0);
	data(r, 0);
	next(r);
	next(r);
	assert_int_equal(next(r), 0x41);
	data(r, 0xf2);
	next(r);
	assert_int_equal(next(r), 0xab);
	assert_int_equal(next(r), 0x41);
}

static void test_interrupts(void **state)
{
	struct rig *r = *state;

	set_ctr(r, 0x03);
	assert_false(r->board.level[KBD_IRQ]);
	data(r, 0xff);
	assert_true(r->board.level[KBD_IRQ]);
	assert_int_equal(r->board.rises[KBD_IRQ], 1);
	next(r);
	assert_true(r->board.level[KBD_IRQ]); /* each byte has its edge */
	assert_int_equal(r->board.rises[KBD_IRQ], 2);
	next(r);
	assert_false(r->board.level[KBD_IRQ]);
	command(r, 0xd3);
	data(r, 0x77);
	assert_true(r->board.level[AUX_IRQ]);
	assert_false(r->board.level[KBD_IRQ]);
	assert_int_equal(status(r) & 0x21, 0x21);
	assert_int_equal(next(r), 0x77);
	assert_false(r->board.level[AUX_IRQ]);
	set_ctr(r, 0x00);
	data(r, 0xee);
	assert_false(r->board.level[KBD_IRQ]);
}

/* With the keyboard's clock held its bytes wait, and do not stand in the controller's way. */
static void test_held_keyboard(void **state)
{
	struct rig *r = *state;

	set_ctr(r, 0x00);
	data(r, 0xff);
	assert_int_equal(next(r), 0xfa);
	command(r, 0xad);
	assert_int_equal(next(r), 0xaa); /* was in the output buffer already */
	data(r, 0xf2);			 /* releases the clock */
	command(r, 0xad);
	command(r, 0x20);
	assert_int_equal(next(r), 0xfa);
	assert_int_equal(next(r), 0x10);
	nothing_more(r);
	command(r, 0xae);
	assert_int_equal(next(r), 0xab);
	assert_int_equal(next(r), 0x83);
	nothing_more(r);
}

static void test_no_aux_device(void **state)
{
	struct rig *r = *state;

	command(r, 0xd4);
	data(r, 0xff);
	assert_int_equal(status(r) & 0x61, 0x61); /* a byte, of the aux port, and it is a timeout */
	assert_int_equal(next(r), 0xfe);
	nothing_more(r);
}

static void test_a20(void **state)
{
	struct rig *r = *state;

	command(r, 0xd0);
	assert_int_equal(next(r) & 0x03, 0x03);
	command(r, 0xd1);
	data(r, 0xdd);
	command(r, 0xd0);
	assert_int_equal(next(r) & 0x02, 0x00);
	command(r, 0xdf);
	command(r, 0xd0);
	assert_int_equal(next(r) & 0x02, 0x02);
	assert_int_equal(board_in(&r->board, 0x92), 0x02);
	board_out(&r->board, 0x92, 0x00);
	assert_int_equal(board_in(&r->board, 0x92), 0x00);
	board_out(&r->board, 0x92, 0xfe);
	assert_int_equal(board_in(&r->board, 0x92), 0x02);
	assert_false(r->board.level[RESET]);
}

static void test_resets(void **state)
{
	struct rig *r = *state;
	bool *reset = &r->board.level[RESET];

	command(r, 0xff); /* pulses nothing */
	command(r, 0xfd);
	assert_false(*reset);
	command(r, 0xfe);
	assert_true(*reset);
	*reset = false;
	command(r, 0xd1);
	data(r, 0x02);
	assert_true(*reset);
	*reset = false;
	board_out(&r->board, 0x92, 0x03);
	assert_true(*reset);
	*reset = false;
	board_out(&r->board, 0x92, 0x03); /* only the bit's rise counts */
	assert_false(*reset);
}

/* A guest that never reads: answers are lost, the controller goes on. */
static void test_flood(void **state)
{
	struct rig *r = *state;
	uint64_t seed = 8042;
	unsigned n = 0;

	for (int i = 0; i < 1000; i++)
		data(r, 0xf2);
	while (status(r) & 1) {
		board_in(&r->board, 0x60);
		n++;
	}
	assert_in_range(n, 1, 32);
	for (int i = 0; i < 100000; i++) {
		uint32_t x = board_random(&seed);

		if (x & 1)
			data(r, (uint8_t)(x >> 8));
		else if (x & 2)
			command(r, (uint8_t)(x >> 8));
		else
			board_in(&r->board, x & 4 ? 0x60 : 0x64);
	}
	board_reset(r->kbc);
	test_self_tests(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_self_tests),
		T(test_command_byte),
		T(test_keyboard),
		T(test_scan_code_set),
		T(test_interrupts),
		T(test_held_keyboard),
		T(test_no_aux_device),
		T(test_a20),
		T(test_resets),
		T(test_flood),
	};

	return cmocka_run_group_tests_name("i8042", tests, NULL, NULL);
}
