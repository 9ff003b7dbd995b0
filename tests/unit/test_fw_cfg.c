/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_fw_cfg.c: the firmware configuration device by its port and by DMA, with requests that
 * point outside memory; and the debug ports.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/debugcon.h"
#include "devices/debugexit.h"
#include "devices/fw_cfg.h"
#include "tests/unit/board.h"
#include "vmm/chardev.h"
#include "vmm/mem.h"

#define RAM_BYTES 0x100000u

/* ---- in the place of chardev.c ---- */

struct chardev {
	char text[64];
	size_t bytes;
};

void chardev_write(struct chardev *chr, const void *buf, size_t bytes)
{
	assert_true(chr->bytes + bytes < sizeof(chr->text));
	memcpy(chr->text + chr->bytes, buf, bytes);
	chr->bytes += bytes;
}

/* ---- */

struct rig {
	struct board board;
	struct guest_mem mem;
	struct device *cfg;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	assert_int_equal(mem_init(&r->mem, RAM_BYTES), 0);
	r->cfg = fw_cfg_create(&r->board.bus, &r->board.clock, &r->mem);
	assert_non_null(r->cfg);
	board_reset(r->cfg);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	board_destroy(&r->board, r->cfg);
	mem_destroy(&r->mem);
	free(r);
	return 0;
}

static void select_item(struct rig *r, uint16_t selector)
{
	board_io(&r->board, IO_PIO, 0x510, 2, true, selector);
}

static void read_bytes(struct rig *r, void *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)buf)[i] = board_in(&r->board, 0x511);
}

static void test_signature(void **state)
{
	struct rig *r = *state;
	char text[8];

	select_item(r, 0);
	read_bytes(r, text, 6);
	assert_memory_equal(text, "QEMU\0\0", 6);
	select_item(r, 1);
	read_bytes(r, text, 4);
	assert_memory_equal(text, "\3\0\0\0", 4);
	assert_int_equal(board_io(&r->board, IO_PIO, 0x514, 4, false, 0), 0x554d4551); /* "QEMU" */
	assert_int_equal(board_io(&r->board, IO_PIO, 0x518, 4, false, 0), 0x47464320); /* " CFG" */
	assert_int_equal(board_in(&r->board, 0x51b), 'G');
}

/* The directory as [FWCFG] lays it out, and the files it names. */
static void test_files(void **state)
{
	struct rig *r = *state;
	uint8_t entry[64], count[4], text[8];
	uint32_t size;
	uint16_t select;

	select_item(r, 0x19);
	read_bytes(r, count, 4);
	assert_memory_equal(count, "\0\0\0\0", 4);
	assert_true(fw_cfg_add_file(r->cfg, "etc/one", "12345", 5));
	assert_true(fw_cfg_add_file_int(r->cfg, "etc/two", 0x1234, 2));
	select_item(r, 0x19);
	read_bytes(r, count, 4);
	assert_memory_equal(count, "\0\0\0\2", 4);
	read_bytes(r, entry, 64);
	memcpy(&size, entry, 4);
	memcpy(&select, entry + 4, 2);
	assert_int_equal(be32toh(size), 5);
	assert_string_equal((char *)entry + 8, "etc/one");
	select_item(r, be16toh(select));
	read_bytes(r, text, 7);
	assert_memory_equal(text, "12345\0\0", 7);
	select_item(r, be16toh(select) + 1);
	read_bytes(r, text, 3);
	assert_memory_equal(text, "\x34\x12\0", 3);
	/* a name that is too long and a file too many are refused */
	assert_false(fw_cfg_add_file(r->cfg, "etc/a-name-of-fifty-six-characters-which-is-one-too-many", "", 0));
	for (int i = 0; i < 14; i++)
		assert_true(fw_cfg_add_file(r->cfg, "etc/more", "", 0));
	assert_false(fw_cfg_add_file(r->cfg, "etc/more", "", 0));
}

static void test_items(void **state)
{
	struct rig *r = *state;
	uint8_t b[4];

	assert_true(fw_cfg_add_item(r->cfg, FW_CFG_NB_CPUS, "\2\0", 2));
	select_item(r, FW_CFG_NB_CPUS);
	read_bytes(r, b, 3);
	assert_memory_equal(b, "\2\0\0", 3);
	for (unsigned s = 0x20; s < 0x10000; s += 0xfff) { /* nothing there: zeros */
		select_item(r, (uint16_t)s);
		assert_int_equal(board_in(&r->board, 0x511), 0);
	}
	/* only a byte read at 0x511 takes data */
	select_item(r, 0);
	assert_int_equal(board_in(&r->board, 0x510), 0xff);
	board_out(&r->board, 0x511, 'x');
	assert_int_equal(board_in(&r->board, 0x511), 'Q');
}

static void test_string_read(void **state)
{
	struct rig *r = *state;
	char text[8];
	struct io_req req = {.io = {.size = 1}, .addr = 0x511, .bus = IO_PIO, .count = 8, .data = text};

	select_item(r, 0);
	bus_io(&r->board.bus, &req);
	assert_memory_equal(text, "QEMU\0\0\0\0", 8);
}

/* Puts a request at gpa, starts it, and returns the control word afterwards. */
static uint32_t dma(struct rig *r, uint64_t gpa, uint32_t control, uint32_t length, uint64_t address)
{
	uint32_t words[4] = {
		htobe32(control), htobe32(length), htobe32((uint32_t)(address >> 32)), htobe32((uint32_t)address)};

	if (gpa <= RAM_BYTES - sizeof(words))
		memcpy(r->mem.ram + gpa, words, sizeof(words));
	board_io(&r->board, IO_PIO, 0x514, 4, true, htobe32((uint32_t)(gpa >> 32)));
	board_io(&r->board, IO_PIO, 0x518, 4, true, htobe32((uint32_t)gpa));
	if (gpa > RAM_BYTES - sizeof(words))
		return 0xdead;
	memcpy(words, r->mem.ram + gpa, 4);
	return be32toh(words[0]);
}

static void test_dma(void **state)
{
	struct rig *r = *state;
	uint8_t *ram = r->mem.ram;

	assert_true(fw_cfg_add_file(r->cfg, "etc/x", "abcdefgh", 8));
	memset(ram + 0x2000, 0xcc, 64);
	assert_int_equal(dma(r, 0x1000, 0x20u << 16 | 0x08 | 0x02, 3, 0x2000), 0); /* select and read */
	assert_memory_equal(ram + 0x2000, "abc\xcc", 4);
	assert_int_equal(dma(r, 0x1000, 0x04, 2, 0), 0);       /* skip */
	assert_int_equal(dma(r, 0x1000, 0x02, 10, 0x2000), 0); /* past the end: zeros */
	assert_memory_equal(ram + 0x2000, "fgh\0\0\0\0\0\0\0\xcc", 11);
	assert_int_equal(dma(r, 0x1000, 0x04, 0xffffffff, 0), 0);
	assert_int_equal(dma(r, 0x1000, 0x02, 0, 0x2000), 0);
	assert_int_equal(dma(r, 0x1000, 0x10, 1, 0x2000), 1); /* nothing can be written */
	assert_int_equal(dma(r, 0x1000, 0x00, 1, 0x2000), 0);
}

static void test_dma_bad_addresses(void **state)
{
	struct rig *r = *state;
	uint8_t *copy = malloc(RAM_BYTES);

	assert_non_null(copy);
	assert_int_equal(dma(r, 0x1000, 0x02, 4, RAM_BYTES - 3), 1);
	assert_int_equal(dma(r, 0x1000, 0x02, 4, ~0ull - 1), 1);
	assert_int_equal(dma(r, 0x1000, 0x02, 0xffffffff, 0x2000), 1);
	assert_int_equal(dma(r, 0x1000, 0x02, 1, RAM_BYTES), 1);
	memcpy(copy, r->mem.ram, RAM_BYTES);
	dma(r, RAM_BYTES - 8, 0x02, 4, 0x2000); /* the request itself is not all there: dropped */
	dma(r, ~0ull - 3, 0x02, 4, 0x2000);
	dma(r, 1ull << 40, 0x02, 4, 0x2000);
	/* the high half counts for one request only: this one is at 0x1000 */
	memcpy(r->mem.ram + 0x1000, &(uint32_t){htobe32(0x10)}, 4);
	board_io(&r->board, IO_PIO, 0x518, 4, true, htobe32(0x1000));
	assert_int_equal(r->mem.ram[0x1003], 0x01); /* it was looked at: an error, nothing can be written */
	assert_memory_equal(copy, r->mem.ram, RAM_BYTES);
	/* the request overwrites itself: still only one answer */
	assert_int_equal(dma(r, 0x1000, 0x00u << 16 | 0x0a, 16, 0x1000), 0);
	/* half words and bytes do not start anything */
	board_io(&r->board, IO_PIO, 0x518, 2, true, 0);
	board_out(&r->board, 0x51b, 0);
	free(copy);
}

static void test_debugcon(void **state)
{
	struct rig *r = *state;
	struct chardev chr = {.bytes = 0};
	struct device *dev = debugcon_create(&r->board.bus, &r->board.clock, &chr);

	assert_non_null(dev);
	assert_int_equal(board_in(&r->board, 0xe9), 0xe9);
	assert_int_equal(board_in(&r->board, 0x402), 0xe9);
	board_out(&r->board, 0xe9, 'a');
	board_out(&r->board, 0x402, 'b');
	board_io(&r->board, IO_PIO, 0xe9, 4, true, 0x44434241); /* only the byte of its own port */
	assert_int_equal(chr.bytes, 3);
	assert_memory_equal(chr.text, "abA", 3);
	dev->ops->destroy(dev);
}

static int exit_status;

static void note_exit(void *opaque, int status)
{
	assert_ptr_equal(opaque, &exit_status);
	exit_status = status;
}

static void test_debugexit(void **state)
{
	struct rig *r = *state;
	struct device *dev = debugexit_create(&r->board.bus, &r->board.clock, note_exit, &exit_status);

	assert_non_null(dev);
	board_out(&r->board, 0xf4, 0);
	assert_int_equal(exit_status, 1);
	board_io(&r->board, IO_PIO, 0xf4, 2, true, 0x10);
	assert_int_equal(exit_status, 33);
	board_io(&r->board, IO_PIO, 0xf4, 4, true, 0x1234ff7f);
	assert_int_equal(exit_status, 0xff);
	exit_status = 0;
	board_out(&r->board, 0xf5, 3);
	assert_int_equal(exit_status, 0);
	assert_int_equal(board_in(&r->board, 0xf4), 0);
	dev->ops->destroy(dev);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_signature),
		T(test_files),
		T(test_items),
		T(test_string_read),
		T(test_dma),
		T(test_dma_bad_addresses),
		T(test_debugcon),
		T(test_debugexit),
	};

	return cmocka_run_group_tests_name("fw_cfg", tests, NULL, NULL);
}
