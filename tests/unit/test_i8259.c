/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_i8259.c: the interrupt controllers against the text of the 8259A datasheet: priorities,
 * the ways to end an interrupt, triggering, cascade, polling and special modes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/i8259.h"
#include "tests/unit/board.h"

#define INTR 0

struct rig {
	struct board board;
	struct device *pic;
};

static void out(struct rig *r, uint16_t port, uint8_t v)
{
	board_out(&r->board, port, v);
}

static uint8_t in(struct rig *r, uint16_t port)
{
	return board_in(&r->board, port);
}

static void line(struct rig *r, unsigned irq, bool level)
{
	struct irq_line l = i8259_line(r->pic, irq);

	irq_set(&l, level);
}

static void edge(struct rig *r, unsigned irq)
{
	line(r, irq, false);
	line(r, irq, true);
}

static bool intr(struct rig *r)
{
	return r->board.level[INTR];
}

static void init_chips(struct rig *r, uint8_t master_icw4, uint8_t slave_icw4)
{
	out(r, 0x20, 0x11);
	out(r, 0x21, 0x20);
	out(r, 0x21, 0x04);
	out(r, 0x21, master_icw4);
	out(r, 0xa0, 0x11);
	out(r, 0xa1, 0x28);
	out(r, 0xa1, 0x02);
	out(r, 0xa1, slave_icw4);
}

static uint8_t master_isr(struct rig *r)
{
	out(r, 0x20, 0x0b);
	return in(r, 0x20);
}

static uint8_t master_irr(struct rig *r)
{
	out(r, 0x20, 0x0a);
	return in(r, 0x20);
}

static uint8_t slave_isr(struct rig *r)
{
	out(r, 0xa0, 0x0b);
	return in(r, 0xa0);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	r->pic = i8259_create(&r->board.bus, &r->board.clock, board_line(&r->board, INTR));
	assert_non_null(r->pic);
	board_reset(r->pic);
	init_chips(r, 0x01, 0x01);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	board_destroy(&r->board, r->pic);
	free(r);
	return 0;
}

/* "Fully nested mode": IR0 has the highest priority, IR7 the lowest. */
static void test_fully_nested(void **state)
{
	struct rig *r = *state;

	edge(r, 5);
	edge(r, 1);
	assert_true(intr(r));
	assert_int_equal(i8259_ack(r->pic), 0x21);
	assert_int_equal(master_isr(r), 0x02);
	assert_int_equal(master_irr(r), 0x20);
	assert_false(intr(r)); /* IR5 waits for the service of IR1 */
	edge(r, 0);
	assert_true(intr(r)); /* IR0 does not */
	assert_int_equal(i8259_ack(r->pic), 0x20);
	out(r, 0x20, 0x20); /* non-specific EOI ends the highest: IR0 */
	assert_int_equal(master_isr(r), 0x02);
	assert_false(intr(r));
	out(r, 0x20, 0x61); /* specific EOI of IR1 */
	assert_int_equal(master_isr(r), 0x00);
	assert_int_equal(i8259_ack(r->pic), 0x25);
	out(r, 0x20, 0x20);
	assert_false(intr(r));
}

static void test_mask(void **state)
{
	struct rig *r = *state;

	out(r, 0x21, 0x08);
	assert_int_equal(in(r, 0x21), 0x08);
	edge(r, 3);
	assert_false(intr(r));
	assert_int_equal(master_irr(r), 0x08); /* masked, but not forgotten */
	out(r, 0x21, 0x00);
	assert_true(intr(r));
	assert_int_equal(i8259_ack(r->pic), 0x23);
}

/* An edge counts once; the line has to fall before it can count again. */
static void test_edge(void **state)
{
	struct rig *r = *state;

	line(r, 4, true);
	assert_int_equal(i8259_ack(r->pic), 0x24);
	out(r, 0x20, 0x20);
	line(r, 4, true);
	assert_false(intr(r));
	edge(r, 4);
	assert_true(intr(r));
}

/* "IR inputs must remain high until after the first INTA. If not, a default IR7 occurs." */
static void test_spurious(void **state)
{
	struct rig *r = *state;

	line(r, 4, true);
	line(r, 4, false);
	assert_false(intr(r));
	assert_int_equal(i8259_ack(r->pic), 0x27);
	assert_int_equal(master_isr(r), 0x00); /* which is how a handler knows */
	line(r, 7, true);
	assert_int_equal(i8259_ack(r->pic), 0x27);
	assert_int_equal(master_isr(r), 0x80);
}

/* How the timers here drive their lines: low and high again at each edge, high meanwhile. Nothing is lost or doubled. */
static void test_held_line(void **state)
{
	struct rig *r = *state;

	for (unsigned irq = 0; irq <= 8; irq += 8) {
		uint8_t isr_vector = (uint8_t)(0x20 + irq);

		edge(r, irq); /* edge() leaves the line high */
		edge(r, irq);
		assert_int_equal(i8259_ack(r->pic), isr_vector);
		assert_false(intr(r)); /* two edges before the acknowledge are one request */
		edge(r, irq);	       /* one during service is the next */
		if (irq >= 8)
			out(r, 0xa0, 0x20);
		out(r, 0x20, 0x20);
		assert_int_equal(i8259_ack(r->pic), isr_vector);
		if (irq >= 8)
			out(r, 0xa0, 0x20);
		out(r, 0x20, 0x20);
		assert_false(intr(r)); /* the high line alone asks for nothing */
	}
}

static void test_level(void **state)
{
	struct rig *r = *state;

	out(r, 0x4d1, 0x04); /* IRQ 10 */
	line(r, 10, true);
	assert_int_equal(i8259_ack(r->pic), 0x2a);
	assert_false(intr(r));
	out(r, 0xa0, 0x20);
	out(r, 0x20, 0x20);
	assert_true(intr(r)); /* still high: again */
	assert_int_equal(i8259_ack(r->pic), 0x2a);
	line(r, 10, false);
	out(r, 0xa0, 0x20);
	out(r, 0x20, 0x20);
	assert_false(intr(r));
}

static void test_elcr(void **state)
{
	struct rig *r = *state;

	out(r, 0x4d0, 0xff);
	out(r, 0x4d1, 0xff);
	assert_int_equal(in(r, 0x4d0), 0xf8);
	assert_int_equal(in(r, 0x4d1), 0xde);
	assert_int_equal(board_io(&r->board, IO_PIO, 0x4d0, 2, false, 0), 0xdef8);
	line(r, 5, true);
	out(r, 0x4d0, 0x00); /* to edge mode with the line high and the request latched */
	assert_int_equal(i8259_ack(r->pic), 0x25);
	out(r, 0x20, 0x20);
	assert_false(intr(r));
}

static void test_cascade(void **state)
{
	struct rig *r = *state;

	edge(r, 12);
	edge(r, 8);
	edge(r, 3);
	assert_int_equal(i8259_ack(r->pic), 0x28);
	assert_int_equal(master_isr(r), 0x04);
	assert_int_equal(slave_isr(r), 0x01);
	assert_false(intr(r));
	out(r, 0xa0, 0x20); /* IR12 now asks the master, which is still serving IR2 */
	assert_false(intr(r));
	out(r, 0x20, 0x20);
	assert_int_equal(i8259_ack(r->pic), 0x2c); /* IR2 comes before IR3 */
	out(r, 0xa0, 0x20);
	out(r, 0x20, 0x20);
	assert_int_equal(i8259_ack(r->pic), 0x23);
}

/* A slave that another number was given to does not answer: the bus floats. */
static void test_wrong_slave_number(void **state)
{
	struct rig *r = *state;

	out(r, 0xa0, 0x11);
	out(r, 0xa1, 0x28);
	out(r, 0xa1, 0x03);
	out(r, 0xa1, 0x01);
	edge(r, 9);
	assert_int_equal(i8259_ack(r->pic), 0xff);
}

static void test_single(void **state)
{
	struct rig *r = *state;

	out(r, 0x20, 0x13); /* no ICW3 */
	out(r, 0x21, 0x40);
	out(r, 0x21, 0x01); /* ICW4 */
	assert_int_equal(in(r, 0x21), 0x00);
	edge(r, 9);
	assert_int_equal(i8259_ack(r->pic), 0x42);
}

static void test_automatic_eoi(void **state)
{
	struct rig *r = *state;

	init_chips(r, 0x03, 0x03);
	edge(r, 3);
	edge(r, 6);
	assert_int_equal(i8259_ack(r->pic), 0x23);
	assert_int_equal(master_isr(r), 0x00);
	assert_int_equal(i8259_ack(r->pic), 0x26);
	edge(r, 8);
	edge(r, 9);
	assert_int_equal(i8259_ack(r->pic), 0x28);
	assert_int_equal(i8259_ack(r->pic), 0x29); /* a new edge on IR2 although nobody sent an EOI */
	assert_false(intr(r));
	/* rotation: what has just been served comes last */
	out(r, 0x20, 0x80);
	edge(r, 1);
	assert_int_equal(i8259_ack(r->pic), 0x21);
	edge(r, 1);
	edge(r, 7);
	assert_int_equal(i8259_ack(r->pic), 0x27);
	assert_int_equal(i8259_ack(r->pic), 0x21);
	out(r, 0x20, 0x00);
	edge(r, 7);
	assert_int_equal(i8259_ack(r->pic), 0x27);
	edge(r, 7);
	edge(r, 5);
	assert_int_equal(i8259_ack(r->pic), 0x25); /* no longer rotated: IR1 is still the lowest */
	assert_int_equal(i8259_ack(r->pic), 0x27);
}

static void test_rotation(void **state)
{
	struct rig *r = *state;

	edge(r, 4);
	assert_int_equal(i8259_ack(r->pic), 0x24);
	out(r, 0x20, 0xa0); /* rotate on non-specific EOI: IR4 is now the lowest, IR5 the highest */
	edge(r, 4);
	edge(r, 0);
	edge(r, 6);
	assert_int_equal(i8259_ack(r->pic), 0x26);
	out(r, 0x20, 0xe6); /* rotate on specific EOI: IR7 is the highest */
	assert_int_equal(i8259_ack(r->pic), 0x20);
	out(r, 0x20, 0x20);
	out(r, 0x20, 0xc3); /* set priority: IR3 is the lowest, so IR4 the highest */
	edge(r, 0);
	assert_int_equal(i8259_ack(r->pic), 0x24);
	out(r, 0x20, 0x40); /* no operation */
	assert_int_equal(master_isr(r), 0x10);
}

/* Special mask mode: an interrupt in service that is masked does not hold the others back. */
static void test_special_mask(void **state)
{
	struct rig *r = *state;

	edge(r, 1);
	assert_int_equal(i8259_ack(r->pic), 0x21);
	edge(r, 6);
	assert_false(intr(r));
	out(r, 0x21, 0x02);
	assert_false(intr(r));
	out(r, 0x20, 0x68);
	assert_true(intr(r));
	assert_int_equal(i8259_ack(r->pic), 0x26);
	out(r, 0x20, 0x20); /* does not see the masked IR1 */
	assert_int_equal(master_isr(r), 0x02);
	out(r, 0x20, 0x48);
	out(r, 0x20, 0x20);
	assert_int_equal(master_isr(r), 0x00);
}

/* Special fully nested mode: the slave may interrupt its own service by a higher request. */
static void test_special_fully_nested(void **state)
{
	struct rig *r = *state;

	edge(r, 12);
	assert_int_equal(i8259_ack(r->pic), 0x2c);
	edge(r, 8);
	assert_false(intr(r));
	out(r, 0x20, 0x20);
	out(r, 0xa0, 0x64);
	assert_int_equal(i8259_ack(r->pic), 0x28);
	init_chips(r, 0x11, 0x01);
	edge(r, 12);
	assert_int_equal(i8259_ack(r->pic), 0x2c);
	edge(r, 8);
	assert_true(intr(r));
	assert_int_equal(i8259_ack(r->pic), 0x28);
}

static void test_poll(void **state)
{
	struct rig *r = *state;

	out(r, 0x20, 0x0c);
	assert_int_equal(in(r, 0x20) & 0x80, 0);
	edge(r, 5);
	out(r, 0x20, 0x0c);
	assert_int_equal(in(r, 0x20), 0x85); /* the read acknowledges */
	assert_false(intr(r));
	assert_int_equal(master_isr(r), 0x20);
	edge(r, 14);
	out(r, 0xa0, 0x0c);
	assert_int_equal(in(r, 0xa1), 0x86); /* either register */
	assert_int_equal(in(r, 0xa1), 0x00); /* once */
	assert_int_equal(slave_isr(r), 0x40);
	assert_false(intr(r));
}

/* ICW1: edge sense reset, mask cleared, priorities default, special mask off, status read is IRR. */
static void test_icw1(void **state)
{
	struct rig *r = *state;

	out(r, 0x20, 0xc2);
	out(r, 0x20, 0x68);
	out(r, 0x20, 0x0b);
	line(r, 4, true);
	out(r, 0x21, 0xff);
	init_chips(r, 0x01, 0x01);
	assert_int_equal(in(r, 0x21), 0x00);
	assert_int_equal(in(r, 0x20), 0x00); /* IRR: the line is high, but its edge is past */
	assert_false(intr(r));
	edge(r, 4);
	edge(r, 0);
	assert_int_equal(i8259_ack(r->pic), 0x20);
	/* nothing is signalled in the middle of the sequence */
	init_chips(r, 0x01, 0x01);
	out(r, 0x20, 0x11);
	edge(r, 0);
	assert_false(intr(r));
	out(r, 0x21, 0x60);
	out(r, 0x21, 0x04);
	out(r, 0x21, 0x01);
	assert_int_equal(i8259_ack(r->pic), 0x60);
}

/* Whatever is written, an acknowledge gives a vector, and with everything masked INTR is low. */
static void test_random(void **state)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
	struct rig *r = *state;
	uint64_t seed = 8259;

	for (int i = 0; i < 200000; i++) {
		uint32_t x = board_random(&seed), irq = x >> 8 & 15;
		int vec;

		switch (x & 7) {
		case 0:
		case 1:
			if (irq != 2)
				line(r, irq, x >> 12 & 1);
			break;
		case 2:
			vec = i8259_ack(r->pic);
			assert_in_range(vec, 0, 255);
			break;
		case 3:
			in(r, ports[(x >> 8) % 6]);
			break;
		default:
			out(r, ports[(x >> 8) % 6], (uint8_t)(x >> 16));
			break;
		}
	}
	init_chips(r, 0x01, 0x01);
	out(r, 0x21, 0xff);
	assert_false(intr(r));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_fully_nested),
		T(test_mask),
		T(test_edge),
		T(test_spurious),
		T(test_held_line),
		T(test_level),
		T(test_elcr),
		T(test_cascade),
		T(test_wrong_slave_number),
		T(test_single),
		T(test_automatic_eoi),
		T(test_rotation),
		T(test_special_mask),
		T(test_special_fully_nested),
		T(test_poll),
		T(test_icw1),
		T(test_random),
	};

	return cmocka_run_group_tests_name("i8259", tests, NULL, NULL);
}
