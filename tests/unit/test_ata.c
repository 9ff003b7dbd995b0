/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ata.c: the ATA disk against ATA/ATAPI-6: registers, PIO protocols, addressing limits,
 * errors and resets; and its programs against the model. The reference image is a pattern that
 * each sector's number decides, and a plain array of what was written.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/ata.h"
#include "devices/ata.h"
#include "devices/disk.h"
#include "tests/unit/board.h"

#define IRQ 0
#define SECTORS 70000u /* above 65536, so that the largest LBA48 count fits */
#define BASE 0x1f0
#define CTL 0x3f6

extern const uint8_t prog_ata_start[], prog_ata_end[];

struct rig {
	struct board board;
	struct device *ata;
	char path[64];
};

static void out(struct rig *r, unsigned reg, uint8_t v)
{
	board_out(&r->board, (uint16_t)(BASE + reg), v);
}

static uint8_t in(struct rig *r, unsigned reg)
{
	return board_in(&r->board, (uint16_t)(BASE + reg));
}

static uint8_t alt(struct rig *r)
{
	return board_in(&r->board, CTL);
}

static uint16_t word(struct rig *r)
{
	return (uint16_t)board_io(&r->board, IO_PIO, BASE, 2, false, 0);
}

static void put_word(struct rig *r, uint16_t v)
{
	board_io(&r->board, IO_PIO, BASE, 2, true, v);
}

static bool irq(struct rig *r)
{
	return r->board.level[IRQ];
}

/* Word `i` of sector `lba` of the pattern. */
static uint16_t pattern(uint64_t lba, unsigned i)
{
	return (uint16_t)(lba * 2654435761u + i * 40503u + (lba >> 16));
}

static void make_image(struct rig *r, unsigned sectors)
{
	int fd;

	snprintf(r->path, sizeof(r->path), "%s/hotreg-test-ata-XXXXXX", P_tmpdir);
	fd = mkstemp(r->path);
	assert_true(fd >= 0);
	for (unsigned lba = 0; lba < sectors; lba++) {
		uint16_t sector[256];

		for (unsigned i = 0; i < 256; i++)
			sector[i] = pattern(lba, i);
		assert_int_equal(write(fd, sector, sizeof(sector)), sizeof(sector));
	}
	close(fd);
}

static struct rig *rig_new(unsigned sectors, bool readonly)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct disk *disk = NULL;
	struct accel_err err;

	assert_non_null(r);
	if (sectors) {
		make_image(r, sectors);
		if (disk_open(r->path, readonly, &disk, &err))
			fail_msg("%s", err.text);
	}
	board_init(&r->board, ACCEL_OFF);
	r->ata = ata_create(&r->board.bus, &r->board.clock, board_line(&r->board, IRQ), disk);
	assert_non_null(r->ata);
	board_reset(r->ata);
	return r;
}

static void rig_free(struct rig *r)
{
	board_destroy(&r->board, r->ata);
	if (r->path[0])
		unlink(r->path);
	free(r);
}

static int setup(void **state)
{
	*state = rig_new(SECTORS, false);
	return 0;
}

static int setup_readonly(void **state)
{
	*state = rig_new(64, true);
	return 0;
}

static int setup_empty(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

static int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

static void lba28(struct rig *r, uint32_t lba, uint8_t count, uint8_t command)
{
	out(r, 2, count);
	out(r, 3, (uint8_t)lba);
	out(r, 4, (uint8_t)(lba >> 8));
	out(r, 5, (uint8_t)(lba >> 16));
	out(r, 6, (uint8_t)(0xe0 | lba >> 24));
	out(r, 7, command);
}

static void lba48(struct rig *r, uint64_t lba, uint16_t count, uint8_t command)
{
	out(r, 2, (uint8_t)(count >> 8));
	out(r, 2, (uint8_t)count);
	out(r, 3, (uint8_t)(lba >> 24));
	out(r, 3, (uint8_t)lba);
	out(r, 4, (uint8_t)(lba >> 32));
	out(r, 4, (uint8_t)(lba >> 8));
	out(r, 5, (uint8_t)(lba >> 40));
	out(r, 5, (uint8_t)(lba >> 16));
	out(r, 6, 0x40);
	out(r, 7, command);
}

/* PIO data-in: `count` sectors from lba in blocks of `block`, each announced by an interrupt. */
static void expect_data(struct rig *r, uint64_t lba, uint32_t count, uint32_t block)
{
	while (count) {
		uint32_t n = count < block ? count : block;

		assert_true(irq(r));
		assert_int_equal(alt(r), 0x58); /* DRDY DSC DRQ */
		assert_true(irq(r));
		assert_int_equal(in(r, 7), 0x58);
		assert_false(irq(r));
		for (uint32_t s = 0; s < n; s++) {
			for (unsigned i = 0; i < 256; i++) {
				uint16_t v = word(r);

				if (v != pattern(lba + s, i))
					fail_msg("sector %lu word %u: %04x", (unsigned long)(lba + s), i, v);
			}
		}
		lba += n;
		count -= n;
	}
	assert_false(irq(r)); /* no interrupt at the end of data-in */
	assert_int_equal(alt(r), 0x50);
	assert_int_equal(in(r, 1), 0);
	assert_int_equal(word(r), 0xffff); /* there is no more */
}

static void expect_error(struct rig *r, uint8_t error)
{
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x51);
	assert_int_equal(in(r, 1), error);
	assert_false(irq(r));
}

static void expect_done(struct rig *r)
{
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x50);
	assert_int_equal(in(r, 1), 0);
}

static void expect_on_disk(struct rig *r, uint64_t lba, const uint16_t *want)
{
	uint16_t got[256];
	FILE *f = fopen(r->path, "rb");

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)(lba * 512), SEEK_SET), 0);
	assert_int_equal(fread(got, 1, sizeof(got), f), sizeof(got));
	fclose(f);
	assert_memory_equal(got, want, sizeof(got));
}

static void expect_pattern_on_disk(struct rig *r, uint64_t lba)
{
	uint16_t want[256];

	for (unsigned i = 0; i < 256; i++)
		want[i] = pattern(lba, i);
	expect_on_disk(r, lba, want);
}

static void test_power_on(void **state)
{
	struct rig *r = *state;

	assert_int_equal(alt(r), 0x50);
	assert_int_equal(in(r, 1), 0x01); /* diagnostic passed, and the signature of an ATA disk */
	assert_int_equal(in(r, 2), 0x01);
	assert_int_equal(in(r, 3), 0x01);
	assert_int_equal(in(r, 4), 0x00);
	assert_int_equal(in(r, 5), 0x00);
	assert_int_equal(in(r, 6), 0x00);
	assert_false(irq(r));
}

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

static void identify(struct rig *r, uint16_t id[256])
{
	out(r, 6, 0xa0);
	out(r, 7, 0xec);
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x58);
	for (unsigned i = 0; i < 256; i++)
		id[i] = word(r);
	assert_int_equal(alt(r), 0x50);
}

static void test_identify(void **state)
{
	struct rig *r = *state;
	uint16_t id[256];
	uint8_t sum = 0;

	identify(r, id);
	assert_int_equal(id[0] & 0x8000, 0); /* ATA */
	assert_int_equal(id[1], 69);
	assert_int_equal(id[3], 16);
	assert_int_equal(id[6], 63);
	assert_int_equal(id[27], 'h' << 8 | 'o');
	assert_int_equal(id[28], 't' << 8 | 'r');
	assert_int_equal(id[46], ' ' << 8 | ' ');
	assert_int_equal(id[47] & 0xff, 16);
	assert_int_equal(id[49] & 0x0300, 0x0200); /* LBA, no DMA */
	assert_int_equal(id[53] & 3, 3);
	assert_int_equal(id[54], 69);
	assert_int_equal(id[57] | (uint32_t)id[58] << 16, 69 * 16 * 63);
	assert_int_equal(id[59], 0);
	assert_int_equal(id[60] | (uint32_t)id[61] << 16, SECTORS);
	assert_int_equal(id[63], 0);
	assert_int_equal(id[83] & 0xc400, 0x4400); /* valid, 48 bits */
	assert_int_equal(id[85] & 0x20, 0x20);
	assert_int_equal(id[86] & 0x400, 0x400);
	assert_int_equal(id[88], 0);
	assert_int_equal(id[100] | (uint32_t)id[101] << 16, SECTORS);
	assert_int_equal(id[102] | id[103], 0);
	assert_int_equal(id[255] & 0xff, 0xa5);
	for (unsigned i = 0; i < 256; i++)
		sum += (uint8_t)id[i] + (uint8_t)(id[i] >> 8);
	assert_int_equal(sum, 0);

	out(r, 2, 8);
	out(r, 7, 0xc6);
	out(r, 1, 0x82);
	out(r, 7, 0xef);
	out(r, 2, 32);
	out(r, 6, 0xa7);
	out(r, 7, 0x91);
	identify(r, id);
	assert_int_equal(id[59], 0x0108);
	assert_int_equal(id[85] & 0x20, 0);
	assert_int_equal(id[1], 69);
	assert_int_equal(id[54], SECTORS / (8 * 32));
	assert_int_equal(id[55], 8);
	assert_int_equal(id[56], 32);
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
	board_init(&r->board, ACCEL_OFF);
	r->ata = ata_create(&r->board.bus, &r->board.clock, board_line(&r->board, IRQ), disk);
	assert_non_null(r->ata);
	board_reset(r->ata);
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

static void test_set_features(void **state)
{
	struct rig *r = *state;

	for (unsigned mode = 0; mode < 256; mode++) {
		out(r, 1, 0x03);
		out(r, 2, (uint8_t)mode);
		out(r, 7, 0xef);
		if (mode <= 1 || (mode >= 8 && mode <= 12))
			expect_done(r);
		else
			expect_error(r, 0x04);
	}
	out(r, 1, 0x02);
	out(r, 7, 0xef);
	expect_done(r);
	out(r, 1, 0xaa); /* not announced */
	out(r, 7, 0xef);
	expect_error(r, 0x04);
}

static void test_reading_status(void **state)
{
	struct rig *r = *state;

	out(r, 7, 0xe1);
	assert_true(irq(r));
	assert_int_equal(alt(r), 0x50);
	assert_true(irq(r)); /* alternate status never acknowledges */
	board_out(&r->board, CTL, 0x02);
	assert_false(irq(r)); /* nIEN */
	board_out(&r->board, CTL, 0x00);
	assert_true(irq(r)); /* it was only held back */
	out(r, 6, 0xb0);
	assert_false(irq(r)); /* a device that is not selected releases INTRQ */
	assert_int_equal(in(r, 7), 0x00);
	out(r, 6, 0xa0);
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x50);
	assert_false(irq(r));
	out(r, 7, 0xe1);
	out(r, 7, 0xe1); /* a command takes the last one's interrupt back, then raises its own */
	assert_true(irq(r));
	assert_int_equal(r->board.rises[IRQ], 5); /* two of them when the line was let go and taken again */
}

/* Device 1 is absent: device 0 answers 00h for its status and ignores its commands. */
static void test_absent_slave(void **state)
{
	struct rig *r = *state;

	out(r, 6, 0xb0);
	assert_int_equal(in(r, 7), 0x00);
	assert_int_equal(alt(r), 0x00);
	out(r, 2, 0x55);
	out(r, 3, 0xaa);
	assert_int_equal(in(r, 2), 0x55);
	assert_int_equal(in(r, 3), 0xaa);
	assert_int_equal(in(r, 6), 0xb0);
	out(r, 7, 0xec);
	assert_int_equal(in(r, 7), 0x00);
	assert_false(irq(r));
	assert_int_equal(word(r), 0xffff);
	out(r, 6, 0xa0);
	assert_int_equal(in(r, 7), 0x50);
	out(r, 6, 0xb0);
	out(r, 7, 0x90); /* but the diagnostic is for both, and device 0 reports */
	assert_int_equal(in(r, 6), 0x00);
	assert_int_equal(in(r, 1), 0x01);
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x50);
}

static void test_empty_channel(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 1; i < 8; i++)
		assert_int_equal(in(r, i), 0x7f); /* D7 is pulled down: not busy */
	assert_int_equal(alt(r), 0x7f);
	out(r, 2, 0x55);
	out(r, 7, 0xec);
	board_out(&r->board, CTL, 0x04);
	assert_int_equal(alt(r), 0x7f);
	assert_int_equal(in(r, 2), 0x7f);
	assert_int_equal(word(r), 0xff7f);
	assert_false(irq(r));
}

static void test_soft_reset(void **state)
{
	struct rig *r = *state;

	out(r, 2, 4);
	out(r, 7, 0xc6);
	lba28(r, 5, 2, 0x30);
	put_word(r, 0xdead); /* in the middle of a write */
	board_out(&r->board, CTL, 0x04);
	assert_int_equal(alt(r), 0x80);
	assert_int_equal(in(r, 7), 0x80);
	out(r, 7, 0xec); /* ignored while busy */
	out(r, 2, 0x33);
	board_out(&r->board, CTL, 0x00);
	test_power_on(state);
	put_word(r, 0xdead);
	expect_pattern_on_disk(r, 5);
	lba28(r, 7, 5, 0xc4); /* SET MULTIPLE's block stays, unless SET FEATURES CCh says otherwise */
	expect_data(r, 7, 5, 4);
	out(r, 1, 0xcc);
	out(r, 7, 0xef);
	board_out(&r->board, CTL, 0x04);
	board_out(&r->board, CTL, 0x00);
	lba28(r, 7, 5, 0xc4);
	expect_error(r, 0x04);
}

static void test_hob(void **state)
{
	struct rig *r = *state;

	for (unsigned reg = 2; reg <= 5; reg++) {
		out(r, reg, (uint8_t)(0x10 + reg));
		out(r, reg, (uint8_t)(0x20 + reg));
	}
	for (unsigned reg = 2; reg <= 5; reg++)
		assert_int_equal(in(r, reg), 0x20 + reg);
	board_out(&r->board, CTL, 0x80);
	for (unsigned reg = 2; reg <= 5; reg++)
		assert_int_equal(in(r, reg), 0x10 + reg);
	assert_int_equal(in(r, 7), 0x50);
	out(r, 1, 0); /* any write to the command block clears HOB */
	for (unsigned reg = 2; reg <= 5; reg++)
		assert_int_equal(in(r, reg), 0x20 + reg);
}

static void test_power(void **state)
{
	struct rig *r = *state;

	out(r, 7, 0xe5);
	expect_done(r);
	assert_int_equal(in(r, 2), 0xff);
	out(r, 7, 0xe0);
	expect_done(r);
	out(r, 7, 0x98);
	expect_done(r);
	assert_int_equal(in(r, 2), 0x00);
	lba28(r, 3, 1, 0x20); /* reading spins it up */
	expect_data(r, 3, 1, 1);
	out(r, 7, 0xe5);
	expect_done(r);
	assert_int_equal(in(r, 2), 0xff);
	out(r, 7, 0xe6); /* SLEEP ends only by a reset */
	expect_done(r);
	out(r, 7, 0xec);
	assert_false(irq(r));
	assert_int_equal(in(r, 7) & 0x08, 0);
	board_out(&r->board, CTL, 0x04);
	board_out(&r->board, CTL, 0x00);
	lba28(r, 3, 1, 0x20);
	expect_data(r, 3, 1, 1);
}

/* Everything that IDENTIFY DEVICE does not announce is aborted, NOP is always. */
static void test_other_commands(void **state)
{
	static const uint8_t aborted[] = {0x00, 0x08, 0xa0, 0xa1, 0xb0, 0xc8, 0xca, 0x25, 0x35, 0xc7, 0xf5, 0xf8, 0xff};
	static const uint8_t done[] = {0x10, 0x1f, 0x40, 0x41, 0x94, 0x95, 0x96, 0x97, 0xe1, 0xe2, 0xe3};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(aborted); i++) {
		lba28(r, 0, 1, aborted[i]);
		expect_error(r, 0x04);
	}
	for (unsigned i = 0; i < sizeof(done); i++) {
		lba28(r, 0, 1, done[i]);
		expect_done(r);
	}
	lba48(r, 0, 0, 0x42);
	expect_done(r);
}

/* In the middle of a transfer a command is ignored and the data goes on. */
static void test_command_during_transfer(void **state)
{
	struct rig *r = *state;

	lba28(r, 40, 1, 0x20);
	in(r, 7);
	for (unsigned i = 0; i < 100; i++)
		word(r);
	out(r, 7, 0xec);
	assert_int_equal(alt(r), 0x58);
	out(r, 6, 0xf0); /* device 1 has no data */
	assert_int_equal(word(r), 0xffff);
	out(r, 6, 0xe0);
	assert_int_equal(word(r), pattern(40, 100));
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

/* ---- the programs -------------------------------------------------------------------------- */

/*
 * Random accesses. Before each read the program is run by itself: whatever it says, the page
 * must be as it was; what it answers must be what the model answers, and the model must not have
 * changed anything by answering; where the model changes the page, the program must have punted.
 */
static void property(struct rig *r, uint64_t seed, int rounds)
{
	static const uint8_t commands[] = {0x20, 0x30, 0xc4, 0xc5, 0xc6, 0xec, 0xe1, 0x90, 0x00, 0x24, 0x91, 0xe5};
	struct accel_object *obj = NULL;
	struct accel_err err = {.text = ""};
	struct accel_slot *regs = NULL, *ctl = NULL;
	size_t size = sizeof(struct ata_page);
	unsigned answered = 0, punted = 0;

	if (accel_object_open("ata", prog_ata_start, (size_t)(prog_ata_end - prog_ata_start), &obj, &err) ||
		accel_page_bind(r->ata->page, obj, &err) ||
		accel_slot_new(r->ata->page, &r->board.clock.source, 1, ACCEL_PURE, &regs) ||
		accel_slot_new(r->ata->page, &r->board.clock.source, 1, ACCEL_PURE, &ctl) ||
		accel_slot_attach(regs, obj, "ata_regs", &err) || accel_slot_attach(ctl, obj, "ata_ctl", &err))
		fail_msg("%s", err.text);
	for (int i = 0; i < rounds; i++) {
		uint32_t x = board_random(&seed), reg = x >> 4 & 7;
		bool at_ctl = reg == 0;
		uint8_t before[256], between[256];

		assert_true(size <= sizeof(before));
		if ((x & 15) < 6) { /* a write */
			if (at_ctl)
				board_out(&r->board, CTL, x >> 8 & 0x86);
			else if (reg == 7)
				out(r, 7, commands[(x >> 8) % sizeof(commands)]);
			else if (reg == 6)
				out(r, 6, (uint8_t)(0xe0 | (x >> 8 & 0x10) | (x >> 16 & 1)));
			else
				out(r, reg, x >> 8 & 7);
		} else if ((x & 15) < 8) { /* a run of data words, as long as a sector or not */
			for (unsigned n = x >> 8 & 0x1ff; n; n--)
				x & 1 ? word(r) : (put_word(r, (uint16_t)x), 0);
		} else {
			struct hr_io io = {.offset = at_ctl ? 0 : reg, .size = 1};
			uint8_t answer, seen;
			int verdict;

			memcpy(before, device_page(r->ata), size);
			verdict = accel_run(at_ctl ? ctl : regs, &io);
			answer = (uint8_t)io.result;
			memcpy(between, device_page(r->ata), size);
			assert_memory_equal(before, between, size);
			seen = at_ctl ? alt(r) : in(r, reg);
			if (verdict) {
				answered++;
				assert_int_equal(answer, seen);
				assert_memory_equal(before, device_page(r->ata), size);
			} else { /* an idle register never punts: only status with an interrupt pending */
				punted++;
				assert_true(!at_ctl && reg == 7);
				assert_memory_not_equal(before, device_page(r->ata), size);
			}
		}
		if ((x & 0xfff00000) == 0)
			board_reset(r->ata);
	}
	assert_true(answered > 0);
	if (r->path[0])
		assert_true(punted > 0);
	accel_slot_free(regs);
	accel_slot_free(ctl);
	accel_object_put(obj);
}

static void test_program_equals_model(void **state)
{
	struct rig *r = *state;

	for (uint64_t seed = 1; seed <= 4; seed++)
		property(r, seed, 20000);
}

static void test_program_writes_and_sizes(void **state)
{
	struct rig *r = *state;
	struct accel_object *obj = NULL;
	struct accel_err err = {.text = ""};
	struct accel_slot *slot = NULL;
	uint8_t before[256];
	static const char *const progs[] = {"ata_regs", "ata_ctl"};

	if (accel_object_open("ata", prog_ata_start, (size_t)(prog_ata_end - prog_ata_start), &obj, &err) ||
		accel_page_bind(r->ata->page, obj, &err) ||
		accel_slot_new(r->ata->page, &r->board.clock.source, 1, ACCEL_PURE, &slot))
		fail_msg("%s", err.text);
	for (unsigned p = 0; p < 2; p++) {
		assert_int_equal(accel_slot_attach(slot, obj, progs[p], &err), 0);
		memcpy(before, device_page(r->ata), sizeof(struct ata_page));
		for (unsigned size = 1; size <= 8; size *= 2) {
			for (uint32_t offset = 0; offset < 16; offset++) {
				for (unsigned is_write = 0; is_write < 2; is_write++) {
					struct hr_io io = {.offset = offset,
						.size = (uint8_t)size,
						.is_write = (uint8_t)is_write,
						.value = ~0ull};
					bool answers =
						!is_write && size == 1 && (p == 1 || (offset >= 1 && offset <= 7));

					assert_int_equal(accel_run(slot, &io) != 0, answers);
					assert_memory_equal(before, device_page(r->ata), sizeof(struct ata_page));
				}
			}
		}
	}
	accel_slot_free(slot);
	accel_object_put(obj);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_power_on),
		T(test_read_sectors),
		T(test_read_ext),
		T(test_read_multiple),
		T(test_data_widths),
		T(test_write),
		T(test_write_string),
		T(test_out_of_range),
		T(test_chs),
		T(test_identify),
		cmocka_unit_test(test_large_disk),
		T(test_set_features),
		T(test_reading_status),
		T(test_absent_slave),
		cmocka_unit_test_setup_teardown(test_empty_channel, setup_empty, teardown),
		T(test_soft_reset),
		T(test_hob),
		T(test_power),
		T(test_other_commands),
		T(test_command_during_transfer),
		cmocka_unit_test_setup_teardown(test_readonly, setup_readonly, teardown),
		T(test_read_error),
		T(test_write_error),
		T(test_program_equals_model),
		cmocka_unit_test_setup_teardown(test_program_equals_model, setup_empty, teardown),
		T(test_program_writes_and_sizes),
	};

	return cmocka_run_group_tests_name("ata", tests, NULL, NULL);
}
