/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_i16550.c: the serial port against the 16550D datasheet: registers, interrupt priorities,
 * FIFOs with trigger and timeout, loopback. chardev.c is replaced by a fake that keeps what was
 * sent and lets the test type.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/i16550.h"
#include "tests/unit/board.h"
#include "vmm/chardev.h"

#define IRQ 4
#define COM 0x3f8

struct chardev {
	void (*rx)(void *opaque, const uint8_t *buf, size_t bytes);
	void *opaque;
	uint8_t sent[64];
	size_t sent_bytes;
};

/* ---- in the place of chardev.c ---- */

void chardev_set_receiver(struct chardev *chr, void (*rx)(void *opaque, const uint8_t *buf, size_t bytes), void *opaque)
{
	chr->rx = rx;
	chr->opaque = opaque;
}

void chardev_write(struct chardev *chr, const void *buf, size_t bytes)
{
	if (!chr)
		return;
	assert_true(chr->sent_bytes + bytes <= sizeof(chr->sent));
	memcpy(chr->sent + chr->sent_bytes, buf, bytes);
	chr->sent_bytes += bytes;
}

/* ---- */

struct rig {
	struct board board;
	struct chardev chr;
	struct device *uart;
};

static void out(struct rig *r, unsigned reg, uint8_t v)
{
	board_out(&r->board, (uint16_t)(COM + reg), v);
}

static uint8_t in(struct rig *r, unsigned reg)
{
	return board_in(&r->board, (uint16_t)(COM + reg));
}

static bool irq(struct rig *r)
{
	return r->board.level[IRQ];
}

static void type(struct rig *r, const char *text)
{
	r->chr.rx(r->chr.opaque, (const uint8_t *)text, strlen(text));
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	r->uart = i16550_create(&r->board.bus, &r->board.clock, board_line(&r->board, IRQ), &r->chr);
	assert_non_null(r->uart);
	board_reset(r->uart);
	out(r, 4, 0x08); /* OUT2: the gate */
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	board_destroy(&r->board, r->uart);
	assert_null(r->chr.rx);
	free(r);
	return 0;
}

static void test_reset_values(void **state)
{
	struct rig *r = *state;

	board_reset(r->uart);
	assert_int_equal(in(r, 1), 0x00);
	assert_int_equal(in(r, 2), 0x01);
	assert_int_equal(in(r, 3), 0x00);
	assert_int_equal(in(r, 4), 0x00);
	assert_int_equal(in(r, 5), 0x60);
	assert_int_equal(in(r, 6), 0xb0); /* somebody is connected: CTS, DSR, DCD, no changes */
}

static void test_plain_registers(void **state)
{
	struct rig *r = *state;

	for (unsigned v = 0; v < 256; v++) {
		out(r, 7, (uint8_t)v);
		assert_int_equal(in(r, 7), v);
		out(r, 3, (uint8_t)(v & 0x7f));
		assert_int_equal(in(r, 3), v & 0x7f);
		out(r, 1, (uint8_t)v);
		assert_int_equal(in(r, 1), v & 0x0f);
		out(r, 4, (uint8_t)(v & ~0x10));
		assert_int_equal(in(r, 4), v & 0x0f);
	}
	out(r, 1, 0);
	out(r, 3, 0x83);
	out(r, 0, 0x34);
	out(r, 1, 0x12);
	assert_int_equal(in(r, 0), 0x34);
	assert_int_equal(in(r, 1), 0x12);
	out(r, 3, 0x03);
	assert_int_equal(in(r, 1), 0x00); /* IER is still what it was */
	assert_int_equal(r->chr.sent_bytes, 0);
	out(r, 5, 0xff); /* LSR and MSR are read-only */
	out(r, 6, 0xff);
	assert_int_equal(in(r, 5), 0x60);
}

static void test_transmit(void **state)
{
	struct rig *r = *state;

	out(r, 0, 'h');
	out(r, 0, 'i');
	assert_memory_equal(r->chr.sent, "hi", 2);
	assert_int_equal(in(r, 5), 0x60);
	assert_false(irq(r));
	out(r, 1, 0x02); /* THR is empty: at once */
	assert_true(irq(r));
	assert_int_equal(in(r, 2), 0x02);
	assert_false(irq(r)); /* reading IIR took it back */
	assert_int_equal(in(r, 2), 0x01);
	out(r, 0, 'x');
	assert_true(irq(r));
	assert_int_equal(r->board.rises[IRQ], 2);
	out(r, 0, 'y'); /* away while THR is full, and back: a new edge */
	assert_int_equal(r->board.rises[IRQ], 3);
	out(r, 4, 0x00);
	assert_false(irq(r)); /* OUT2 gates it */
	out(r, 4, 0x08);
	assert_true(irq(r));
	out(r, 1, 0x00);
	assert_false(irq(r));
}

static void test_receive_without_fifo(void **state)
{
	struct rig *r = *state;

	out(r, 1, 0x01);
	type(r, "abc");
	assert_true(irq(r));
	assert_int_equal(in(r, 2), 0x04);
	assert_int_equal(in(r, 5), 0x61); /* no overrun: the sender waits */
	assert_int_equal(in(r, 0), 'a');
	assert_int_equal(in(r, 0), 'b');
	assert_true(irq(r));
	assert_int_equal(in(r, 0), 'c');
	assert_false(irq(r));
	assert_int_equal(in(r, 5), 0x60);
}

static void test_fifo_trigger(void **state)
{
	static const unsigned triggers[4] = {1, 4, 8, 14};
	struct rig *r = *state;

	out(r, 1, 0x01);
	for (unsigned i = 0; i < 4; i++) {
		out(r, 2, (uint8_t)(0x01 | 0x02 | i << 6));
		assert_int_equal(in(r, 2), 0xc1);
		for (unsigned n = 1; n <= 16; n++) {
			type(r, "z");
			assert_int_equal(irq(r), n >= triggers[i]);
		}
		assert_int_equal(in(r, 2), 0xc4);
		for (unsigned n = 15;; n--) {
			assert_int_equal(in(r, 0), 'z');
			assert_int_equal(irq(r), n >= triggers[i]);
			if (n == 0)
				break;
		}
	}
}

/* "Four continuous character times": 8N1 at divisor 1 is 10 bits of 16 / 1.8432 MHz. */
static void test_fifo_timeout(void **state)
{
	struct rig *r = *state;
	uint64_t four = 4ull * 10 * 16 * 1000000000 / 1843200;

	out(r, 3, 0x83);
	out(r, 0, 1);
	out(r, 1, 0);
	out(r, 3, 0x03);
	out(r, 2, 0xc1);
	out(r, 1, 0x01);
	type(r, "ab");
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + four - 1);
	assert_false(irq(r));
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + 1);
	assert_true(irq(r));
	assert_int_equal(in(r, 2), 0xcc);
	assert_int_equal(in(r, 0), 'a'); /* a read starts it again */
	assert_false(irq(r));
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + four / 2);
	type(r, "c"); /* so does a byte that comes */
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + four - 1);
	assert_false(irq(r));
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + 1);
	assert_true(irq(r));
	out(r, 2, 0xc3); /* the FIFO is cleared */
	assert_false(irq(r));
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + 10 * four);
	assert_false(irq(r));
	assert_int_equal(in(r, 5), 0x60);
}

static void test_bounded_queue(void **state)
{
	struct rig *r = *state;
	unsigned n = 0;

	for (int i = 0; i < 10000; i++)
		type(r, "0123456789");
	while (in(r, 5) & 1) {
		assert_int_equal(in(r, 0), '0' + n % 10);
		n++;
	}
	assert_in_range(n, 4096, 4096 + 16); /* as docs/devices.md says, and what the FIFO holds */
}

/*
 * A vCPU that holds the device while it waits for a reader of the output: what is typed meanwhile must neither
 * hold up the event thread nor be lost. (The alarm ends a test that would hang.)
 */
static void test_typing_while_the_device_is_held(void **state)
{
	struct rig *r = *state;

	alarm(20);
	pthread_mutex_lock(&r->uart->lock);
	type(r, "a");
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + 5000000); /* looks again, in vain */
	type(r, "b");
	pthread_mutex_unlock(&r->uart->lock);
	alarm(0);
	assert_int_equal(in(r, 5), 0x60);
	clock_advance(&r->board.clock, clock_now(&r->board.clock) + 5000000);
	assert_int_equal(in(r, 5), 0x61);
	assert_int_equal(in(r, 0), 'a');
	assert_int_equal(in(r, 0), 'b');
	assert_int_equal(in(r, 5), 0x60);
}

static void test_loopback(void **state)
{
	struct rig *r = *state;

	out(r, 4, 0x10);
	in(r, 6);
	out(r, 0, 0xa5);
	assert_int_equal(r->chr.sent_bytes, 0);
	assert_int_equal(in(r, 5), 0x61);
	out(r, 0, 0x5a); /* nobody took the first: overrun, and the new one replaces it */
	assert_int_equal(in(r, 5), 0x63);
	assert_int_equal(in(r, 5), 0x61); /* reading LSR clears OE */
	assert_int_equal(in(r, 0), 0x5a);
	type(r, "k"); /* the input pin is off */
	assert_int_equal(in(r, 5), 0x60);
	/* MCR's outputs are MSR's inputs: RTS CTS, DTR DSR, OUT1 RI, OUT2 DCD */
	out(r, 4, 0x12);
	assert_int_equal(in(r, 6), 0x11);
	out(r, 4, 0x11);
	assert_int_equal(in(r, 6), 0x23);
	out(r, 4, 0x14);
	assert_int_equal(in(r, 6), 0x42);
	out(r, 4, 0x18);
	assert_int_equal(in(r, 6), 0x8c); /* the trailing edge of RI */
	assert_int_equal(in(r, 6), 0x80);
	out(r, 1, 0x0f); /* in loopback the PC's gate is closed */
	assert_false(irq(r));
	assert_int_equal(in(r, 2), 0x02);
	out(r, 4, 0x08);
	assert_int_equal(in(r, 0), 'k');
}

/* Line status, then data, then THRE, then modem status. */
static void test_priorities(void **state)
{
	struct rig *r = *state;

	out(r, 4, 0x1a);
	out(r, 4, 0x18); /* a change of CTS */
	out(r, 0, 1);
	out(r, 0, 2); /* overrun */
	out(r, 1, 0x0f);
	assert_int_equal(in(r, 2), 0x06);
	in(r, 5);
	assert_int_equal(in(r, 2), 0x04);
	in(r, 0);
	assert_int_equal(in(r, 2), 0x02);
	assert_int_equal(in(r, 2), 0x00);
	in(r, 6);
	assert_int_equal(in(r, 2), 0x01);
}

/* A FIFO in loopback overruns at the 17th byte and keeps the first 16. */
static void test_fifo_overrun(void **state)
{
	struct rig *r = *state;

	out(r, 2, 0x01);
	out(r, 4, 0x10);
	for (unsigned i = 0; i < 17; i++) {
		assert_int_equal(in(r, 5) & 0x02, 0);
		out(r, 0, (uint8_t)i);
	}
	assert_int_equal(in(r, 5), 0x63);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in(r, 0), i);
	assert_int_equal(in(r, 5), 0x60);
	out(r, 0, 1);
	out(r, 2, 0x00); /* leaving FIFO mode empties it */
	assert_int_equal(in(r, 5), 0x60);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_reset_values),
		T(test_plain_registers),
		T(test_transmit),
		T(test_receive_without_fifo),
		T(test_fifo_trigger),
		T(test_fifo_timeout),
		T(test_bounded_queue),
		T(test_typing_while_the_device_is_held),
		T(test_loopback),
		T(test_priorities),
		T(test_fifo_overrun),
	};

	return cmocka_run_group_tests_name("i16550", tests, NULL, NULL);
}
