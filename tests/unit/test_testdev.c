// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_testdev.c: the test device of --testdev as its users know it: what test kernels do to it by hand,
 * and what a hostile guest may try. The flush is seen
 * where the test stands between the device and mprotect().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/testdev.h"
#include "tests/unit/board.h"
#include "vmm/mem.h"

#define RAM_BYTES 0x100000u

struct rig {
	struct board board;
	struct guest_mem mem;
	struct device *dev;
};

/* Stands between the device and the kernel: what was asked for the page. */
static struct {
	void *page;
	size_t bytes;
	int prot[8];
	unsigned count;
	int fail; /* calls that are refused */
} asked;

int __wrap_mprotect(void *addr, size_t len, int prot);
int __wrap_mprotect(void *addr, size_t len, int prot)
{
	asked.page = addr;
	asked.bytes = len;
	asked.prot[asked.count++ & 7] = prot;
	if (asked.fail) {
		asked.fail--;
		return -1;
	}
	return 0;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct irq_line lines[TESTDEV_LINES] = {{0}};

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	assert_int_equal(mem_init(&r->mem, RAM_BYTES), 0);
	for (unsigned i = 0; i < TESTDEV_LINES; i++) {
		if (i != 2)
			lines[i] = board_line(&r->board, i);
	}
	r->dev = testdev_create(&r->board.bus, &r->board.clock, &r->mem, lines);
	assert_non_null(r->dev);
	board_reset(r->dev);
	memset(&asked, 0, sizeof(asked));
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	board_destroy(&r->board, r->dev);
	mem_destroy(&r->mem);
	free(r);
	return 0;
}

static uint64_t in(struct rig *r, uint64_t port, unsigned size)
{
	return board_io(&r->board, IO_PIO, port, size, false, 0);
}

static void out(struct rig *r, uint64_t port, unsigned size, uint64_t value)
{
	board_io(&r->board, IO_PIO, port, size, true, value);
}

/* What is written reads back, by 1, 2 and 4 bytes, at every place; a part leaves the rest. */
static void test_data(void **state)
{
	struct rig *r = *state;

	assert_int_equal(in(r, 0xe0, 4), 0);
	out(r, 0xe0, 4, 0x44332211);
	assert_int_equal(in(r, 0xe0, 4), 0x44332211);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(in(r, 0xe0 + i, 1), 0x11 * (i + 1));
		assert_int_equal(in(r, 0xe8 + i, 1), 0x11 * (i + 1));
	}
	assert_int_equal(in(r, 0xe0, 2), 0x2211);
	assert_int_equal(in(r, 0xe1, 2), 0x3322);
	assert_int_equal(in(r, 0xe2, 2), 0x4433);
	out(r, 0xe1, 1, 0xaa);
	out(r, 0xe2, 2, 0xccbb);
	assert_int_equal(in(r, 0xe0, 4), 0xccbbaa11);
	assert_int_equal(in(r, 0xe8, 4), 0xccbbaa11);
	out(r, 0xe8, 4, 0x01020304);
	assert_int_equal(in(r, 0xe0, 4), 0x01020304);
	out(r, 0xea, 2, 0x0506);
	assert_int_equal(in(r, 0xe0, 4), 0x05060304);
	board_reset(r->dev);
	assert_int_equal(in(r, 0xe0, 4), 0);
}

/* An access that ends beyond the register: its inside bytes. */
static void test_data_edge(void **state)
{
	struct rig *r = *state;

	out(r, 0xe0, 4, 0xd3c2b1a0);
	assert_int_equal(in(r, 0xe3, 2), 0xffd3); /* 0xe4 reads as ones */
	out(r, 0xe2, 4, 0x99887766);		  /* two bytes here, two at the flush port, which wants four */
	assert_int_equal(in(r, 0xe0, 4), 0x7766b1a0);
	assert_int_equal(asked.count, 0);
	assert_int_equal(in(r, 0xe4, 4), 0xffffffff);
}

/* The page that the address is in, widened and put back, never narrowed; addresses without RAM do nothing. */
static void test_flush(void **state)
{
	static const uint32_t outside[] = {RAM_BYTES, 0x7fffffff, 0xfffff000, 0xffffffff};
	struct rig *r = *state;

	out(r, 0xe4, 4, 0x5abc);
	assert_ptr_equal(asked.page, (uint8_t *)mem_ptr(&r->mem, 0x5000, 4096));
	assert_int_equal(asked.bytes, 4096);
	assert_int_equal(asked.count, 2);
	assert_int_equal(asked.prot[0], 7);
	assert_int_equal(asked.prot[1], 3);
	out(r, 0xe4, 4, RAM_BYTES - 1);
	assert_ptr_equal(asked.page, (uint8_t *)mem_ptr(&r->mem, RAM_BYTES - 4096, 4096));
	assert_int_equal(asked.count, 4);
	for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		out(r, 0xe4, 4, outside[i]);
	out(r, 0xe4, 1, 0);
	out(r, 0xe4, 2, 0);
	out(r, 0xe6, 2, 0);
	assert_int_equal(asked.count, 4);
	asked.fail = 1; /* a host that allows no such rights: nothing was changed, so nothing is put back */
	out(r, 0xe4, 4, 0);
	assert_int_equal(asked.count, 5);
}

static void test_lines(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < TESTDEV_LINES; i++) {
		out(r, 0x2000 + i, 1, 1);
		for (unsigned k = 0; k < TESTDEV_LINES; k++)
			assert_int_equal(r->board.level[k], k == i && i != 2);
		out(r, 0x2000 + i, 1, 0);
		assert_false(r->board.level[i]);
	}
	out(r, 0x2005, 1, 0x80); /* anything but 0 */
	assert_true(r->board.level[5]);
	out(r, 0x2004, 2, 0x0101); /* bytes only */
	out(r, 0x2004, 4, 0);
	assert_false(r->board.level[4]);
	assert_true(r->board.level[5]);
	assert_int_equal(in(r, 0x2005, 1), 0xff);
	out(r, 0x2018, 1, 1); /* one past the last */
	/* a reset lowers what the guest raised, and nothing else */
	r->board.level[7] = true;
	board_reset(r->dev);
	assert_false(r->board.level[5]);
	assert_true(r->board.level[7]);
}

static void test_memory(void **state)
{
	struct rig *r = *state;
	const uint64_t base = 0xff000000u;

	board_io(&r->board, IO_MMIO, base, 8, true, 0x8877665544332211);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(board_io(&r->board, IO_MMIO, base + i, 1, false, 0), 0x11 * (i + 1));
	assert_int_equal(board_io(&r->board, IO_MMIO, base + 4, 4, false, 0), 0x88776655);
	board_io(&r->board, IO_MMIO, base + 2, 2, true, 0xbeef);
	assert_true(board_io(&r->board, IO_MMIO, base, 8, false, 0) == 0x88776655beef2211);
	board_io(&r->board, IO_MMIO, base + 0xfffc, 4, true, 0xcafef00d);
	assert_int_equal(board_io(&r->board, IO_MMIO, base + 0xfffc, 4, false, 0), 0xcafef00d);
	board_reset(r->dev);
	assert_int_equal(board_io(&r->board, IO_MMIO, base, 8, false, 0), 0);
	assert_int_equal(board_io(&r->board, IO_MMIO, base + 0xfffc, 4, false, 0), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_data),
		T(test_data_edge),
		T(test_flush),
		T(test_lines),
		T(test_memory),
	};

	return cmocka_run_group_tests_name("testdev", tests, NULL, NULL);
}
