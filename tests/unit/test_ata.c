/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ata.c: the ATA disk's data against ATA/ATAPI-6: PIO protocols, addressing and its limits,
 * errors of the host. Commands without data and resets are in test_ata_cmd.c.
 */
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/ata_rig.h"

static void test_read_sectors(void **state)
{
	struct rig *r = *state;

	lba28(r, 0, 1, 0x20);
	expect_data(r, 0, 1, 1);
	lba28(r, 12345, 7, 0x21);
	expect_data(r, 12345, 7, 1);
	lba28(r, 1, 0, 0x20); /* 0 is 256 */
	expect_data(r, 1, 256, 1);
	lba28(r, SECTORS - 1, 1, 0x20);
	expect_data(r, SECTORS - 1, 1, 1);
}

static void test_read_ext(void **state)
{
	struct rig *r = *state;

	lba48(r, 66000, 300, 0x24);
	expect_data(r, 66000, 300, 1);
	out(r, 2, 16);
	out(r, 7, 0xc6);
	expect_done(r);
	if (rig_mode == ACCEL_CHECK) /* 8 KiB are copied for each of the words */
		return;
	lba48(r, 100, 0, 0x29); /* 0 is 65536 */
	expect_data(r, 100, 65536, 16);
}

static void test_read_multiple(void **state)
{
	struct rig *r = *state;

	lba28(r, 0, 1, 0xc4);
	expect_error(r, 0x04); /* disabled until SET MULTIPLE MODE */
	for (unsigned block = 1; block <= 16; block *= 2) {
		out(r, 2, (uint8_t)block);
		out(r, 7, 0xc6);
		expect_done(r);
		for (unsigned count = 1; count <= 35; count += 17) {
			lba28(r, 500 + count, (uint8_t)count, 0xc4);
			expect_data(r, 500 + count, count, block);
			lba48(r, 600 + count, (uint16_t)count, 0x29);
			expect_data(r, 600 + count, count, block);
		}
	}
	out(r, 2, 3);
	out(r, 7, 0xc6);
	expect_error(r, 0x04);
	out(r, 2, 32);
	out(r, 7, 0xc6);
	expect_error(r, 0x04);
	out(r, 2, 0);
	out(r, 7, 0xc6);
	expect_done(r);
	lba28(r, 0, 1, 0xc4);
	expect_error(r, 0x04);
}

/* inl is two words, a byte takes the low half of one, and a string is all of them. */
static void test_data_widths(void **state)
{
	struct rig *r = *state;
	struct io_req req;
	uint16_t buf[256];

	lba28(r, 9, 1, 0x20);
	assert_int_equal(board_io(&r->board, IO_PIO, BASE, 4, false, 0), pattern(9, 0) | (uint32_t)pattern(9, 1) << 16);
	assert_int_equal(board_in(&r->board, BASE), pattern(9, 2) & 0xff);
	assert_int_equal(word(r), pattern(9, 3));
	req = (struct io_req){.io = {.size = 2}, .addr = BASE, .bus = IO_PIO, .count = 252, .data = buf};
	bus_io(&r->board.bus, &req);
	for (unsigned i = 0; i < 252; i++)
		assert_int_equal(buf[i], pattern(9, i + 4));
	assert_int_equal(alt(r), 0x50);
	lba28(r, 20, 2, 0x20);
	req = (struct io_req){.io = {.size = 4}, .addr = BASE, .bus = IO_PIO, .count = 128, .data = buf};
	bus_io(&r->board.bus, &req);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(buf[i], pattern(20, i));
	req = (struct io_req){.io = {.size = 1}, .addr = BASE, .bus = IO_PIO, .count = 256, .data = buf};
	bus_io(&r->board.bus, &req);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(((uint8_t *)buf)[i], pattern(21, i) & 0xff);
	assert_int_equal(alt(r), 0x50);
	/* past the end of the data the bus floats */
	memset(buf, 0, sizeof(buf));
	req = (struct io_req){.io = {.size = 2}, .addr = BASE, .bus = IO_PIO, .count = 4, .data = buf};
	bus_io(&r->board.bus, &req);
	assert_int_equal(buf[0], 0xffff);
	assert_int_equal(buf[3], 0xffff);
}

static void write_sectors(struct rig *r, uint32_t count, uint32_t block, uint16_t salt)
{
	assert_false(irq(r)); /* the first block is not announced */
	for (uint32_t s = 0; s < count; s++) {
		if (s % block == 0) {
			assert_int_equal(alt(r), 0x58);
			if (s) {
				assert_true(irq(r));
				assert_int_equal(in(r, 7), 0x58);
			}
		}
		for (unsigned i = 0; i < 256; i++)
			put_word(r, (uint16_t)(salt + s * 256 + i));
	}
	expect_done(r);
}

static void expect_written(struct rig *r, uint64_t lba, uint32_t count, uint16_t salt)
{
	for (uint32_t s = 0; s < count; s++) {
		uint16_t want[256];

		for (unsigned i = 0; i < 256; i++)
			want[i] = (uint16_t)(salt + s * 256 + i);
		expect_on_disk(r, lba + s, want);
	}
	expect_pattern_on_disk(r, lba - 1);
	expect_pattern_on_disk(r, lba + count);
}

static void test_write(void **state)
{
	struct rig *r = *state;

	lba28(r, 1000, 3, 0x30);
	write_sectors(r, 3, 1, 0x1234);
	expect_written(r, 1000, 3, 0x1234);
	lba48(r, 66666, 2, 0x34);
	write_sectors(r, 2, 1, 0x77);
	expect_written(r, 66666, 2, 0x77);
	out(r, 2, 8);
	out(r, 7, 0xc6);
	expect_done(r);
	lba28(r, 2000, 19, 0xc5);
	write_sectors(r, 19, 8, 0x9000);
	expect_written(r, 2000, 19, 0x9000);
	lba48(r, 3000, 8, 0x39);
	write_sectors(r, 8, 8, 0xabc);
	expect_written(r, 3000, 8, 0xabc);
	out(r, 7, 0xe7);
	expect_done(r);
	out(r, 7, 0xea);
	expect_done(r);
	/* with the write cache off each write is flushed */
	out(r, 1, 0x82);
	out(r, 7, 0xef);
	expect_done(r);
	lba28(r, 4000, 1, 0x31);
	write_sectors(r, 1, 1, 0x55);
	expect_written(r, 4000, 1, 0x55);
}

static void test_write_string(void **state)
{
	struct rig *r = *state;
	uint16_t buf[512];
	struct io_req req = {.io = {.size = 2, .is_write = 1}, .addr = BASE, .bus = IO_PIO, .count = 512, .data = buf};

	for (unsigned i = 0; i < 512; i++)
		buf[i] = (uint16_t)(i * 7);
	lba28(r, 30, 2, 0x30);
	bus_io(&r->board.bus, &req);
	expect_done(r);
	expect_on_disk(r, 30, buf);
	expect_on_disk(r, 31, buf + 256);
	expect_pattern_on_disk(r, 32);
}

static void test_out_of_range(void **state)
{
	static const uint8_t lba28_commands[] = {0x20, 0x30, 0x40, 0xc4, 0xc5};
	static const uint8_t lba48_commands[] = {0x24, 0x34, 0x42, 0x29, 0x39};
	struct rig *r = *state;

	out(r, 2, 4);
	out(r, 7, 0xc6);
	expect_done(r);
	for (unsigned i = 0; i < sizeof(lba28_commands); i++) {
		lba28(r, SECTORS, 1, lba28_commands[i]);
		expect_error(r, 0x10);
		lba28(r, SECTORS - 1, 2, lba28_commands[i]);
		expect_error(r, 0x10);
		/* the address of the first sector that is not there */
		assert_int_equal(in(r, 3) | in(r, 4) << 8 | in(r, 5) << 16, SECTORS);
		lba28(r, 0x0fffffff, 0, lba28_commands[i]);
		expect_error(r, 0x10);
	}
	for (unsigned i = 0; i < sizeof(lba48_commands); i++) {
		lba48(r, 0xffffffffffff, 0, lba48_commands[i]);
		expect_error(r, 0x10);
		lba48(r, 1ull << 24, 1, lba48_commands[i]);
		expect_error(r, 0x10);
		lba48(r, SECTORS - 65535, 0, lba48_commands[i]);
		expect_error(r, 0x10);
		lba48(r, 1ull << 40, 1, lba48_commands[i]);
		expect_error(r, 0x10);
		board_out(&r->board, CTL, 0x80);
		assert_int_equal(in(r, 5), 1);
		assert_int_equal(in(r, 4), 0);
	}
	expect_pattern_on_disk(r, SECTORS - 1);
	assert_int_equal(word(r), 0xffff);
}

static void chs(struct rig *r, unsigned cylinder, unsigned head, unsigned sector, uint8_t count, uint8_t command)
{
	out(r, 2, count);
	out(r, 3, (uint8_t)sector);
	out(r, 4, (uint8_t)cylinder);
	out(r, 5, (uint8_t)(cylinder >> 8));
	out(r, 6, (uint8_t)(0xa0 | head));
	out(r, 7, command);
}

static void test_chs(void **state)
{
	struct rig *r = *state;
	/* 16 heads of 63 sectors: 69 whole cylinders of the 70000 sectors */
	chs(r, 0, 0, 1, 1, 0x20);
	expect_data(r, 0, 1, 1);
	chs(r, 3, 5, 63, 3, 0x20); /* goes on with the next head */
	expect_data(r, (3 * 16 + 5) * 63 + 62, 3, 1);
	chs(r, 68, 15, 63, 1, 0x20);
	expect_data(r, 69 * 16 * 63 - 1, 1, 1);
	chs(r, 0, 0, 0, 1, 0x20);
	expect_error(r, 0x10);
	chs(r, 0, 0, 64, 1, 0x20);
	expect_error(r, 0x10);
	chs(r, 69, 0, 1, 1, 0x20);
	expect_error(r, 0x10);
	/* INITIALIZE DEVICE PARAMETERS: 4 heads of 17 */
	out(r, 2, 17);
	out(r, 6, 0xa3);
	out(r, 7, 0x91);
	expect_done(r);
	chs(r, 1000, 3, 17, 1, 0x20);
	expect_data(r, (1000 * 4 + 3) * 17 + 16, 1, 1);
	chs(r, 0, 4, 1, 1, 0x20);
	expect_error(r, 0x10);
	chs(r, 0, 0, 18, 1, 0x20);
	expect_error(r, 0x10);
	out(r, 2, 0);
	out(r, 7, 0x91);
	expect_error(r, 0x04);
}

/* 200 GiB and a sector, sparse: more than 28 bits can say. */
static void test_large_disk(void **state)
{
	const uint64_t sectors = (200ull << 30) / 512 + 1;
	struct rig *r;
	struct disk *disk;
	struct accel_err err;
	uint16_t id[256];

	(void)state;
	r = calloc(1, sizeof(*r));
	assert_non_null(r);
	make_image(r, 1);
	if (truncate(r->path, (off_t)(sectors * 512))) {
		unlink(r->path);
		free(r);
		print_message("skipped: no sparse file of 200 GiB here\n");
		skip();
	}
	assert_int_equal(disk_open(r->path, false, &disk, &err), 0);
	rig_wire(r, disk);
	identify(r, id);
	assert_int_equal(id[1], 16383);
	assert_int_equal(id[60] | (uint32_t)id[61] << 16, 0x0fffffff);
	assert_int_equal(id[100] | (uint64_t)id[101] << 16 | (uint64_t)id[102] << 32, sectors);
	lba28(r, 0x0ffffffe, 1, 0x20); /* the last one that 28 bits reach */
	assert_int_equal(in(r, 7), 0x58);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(word(r), 0);
	lba28(r, 0x0ffffffe, 2, 0x20);
	expect_error(r, 0x10);
	lba48(r, sectors - 1, 1, 0x34);
	write_sectors(r, 1, 1, 0x4242);
	lba48(r, sectors - 1, 2, 0x24);
	expect_error(r, 0x10);
	lba48(r, sectors - 1, 1, 0x24);
	assert_int_equal(in(r, 7), 0x58);
	assert_int_equal(word(r), 0x4242);
	rig_free(r);
}

static void test_readonly(void **state)
{
	struct rig *r = *state;

	out(r, 2, 4);
	out(r, 7, 0xc6);
	expect_done(r);
	lba28(r, 3, 1, 0x30);
	expect_error(r, 0x04);
	lba28(r, 3, 1, 0xc5);
	expect_error(r, 0x04);
	lba48(r, 3, 1, 0x34);
	expect_error(r, 0x04);
	lba48(r, 3, 1, 0x39);
	expect_error(r, 0x04);
	put_word(r, 0xdead);
	lba28(r, 3, 1, 0x20);
	expect_data(r, 3, 1, 1);
	out(r, 7, 0xe7);
	expect_done(r);
	expect_pattern_on_disk(r, 3);
}

/* The host cannot read any more: the image was cut off behind the VM's back. */
static void test_read_error(void **state)
{
	struct rig *r = *state;

	assert_int_equal(truncate(r->path, 10 * 512), 0);
	out(r, 2, 4);
	out(r, 7, 0xc6);
	expect_done(r);
	lba28(r, 8, 8, 0x20);
	in(r, 7);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(word(r), pattern(8 + i / 256, i % 256));
	expect_error(r, 0x40);
	assert_int_equal(in(r, 3), 10); /* the first bad sector */
	lba28(r, 8, 8, 0xc4);
	expect_error(r, 0x40);
	assert_int_equal(in(r, 3), 10);
	lba28(r, 0, 64, 0x40);
	expect_error(r, 0x40);
	assert_int_equal(in(r, 3), 10);
	lba28(r, 9, 1, 0x20);
	expect_data(r, 9, 1, 1);
}

/* The host has no room for the data: ERR with ABRT, and the address of what was not written. */
static void test_write_error(void **state)
{
	struct rig *r = *state;
	struct rlimit old, limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 101 * 512;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	lba28(r, 100, 3, 0x30);
	for (unsigned i = 0; i < 256; i++)
		put_word(r, 0x1111);
	assert_int_equal(in(r, 7), 0x58); /* the first is fine */
	for (unsigned i = 0; i < 256; i++)
		put_word(r, 0x2222);
	expect_error(r, 0x04);
	assert_int_equal(in(r, 3), 101);
	put_word(r, 0x3333); /* the transfer is over */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	expect_pattern_on_disk(r, 101);
	expect_pattern_on_disk(r, 102);
	lba28(r, 101, 1, 0x20);
	expect_data(r, 101, 1, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_read_sectors),
		T(test_read_ext),
		T(test_read_multiple),
		T(test_data_widths),
		T(test_write),
		T(test_write_string),
		T(test_out_of_range),
		T(test_chs),
		cmocka_unit_test(test_large_disk),
		cmocka_unit_test_setup_teardown(test_readonly, setup_readonly, teardown),
		T(test_read_error),
		T(test_write_error),
	};

	return run_in_all_modes("ata", tests);
}
