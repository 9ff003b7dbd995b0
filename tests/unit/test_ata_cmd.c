/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ata_cmd.c: the ATA disk's registers, commands without data and resets against
 * ATA/ATAPI-6.
 */
#include "tests/unit/ata_rig.h"

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

/* In the middle of a transfer the command block is not to be written: all of it is ignored, and the data goes on. */
static void test_command_during_transfer(void **state)
{
	struct rig *r = *state;

	lba28(r, 40, 1, 0x20);
	in(r, 7);
	for (unsigned i = 0; i < 100; i++)
		word(r);
	out(r, 7, 0xec);
	assert_int_equal(alt(r), 0x58);
	for (unsigned reg = 1; reg <= 6; reg++) {
		uint8_t was = in(r, reg);

		out(r, reg, 0xff);
		assert_int_equal(in(r, reg), was);
	}
	assert_int_equal(word(r), pattern(40, 100));
	put_word(r, 0xdead); /* the wrong way */
	assert_int_equal(word(r), pattern(40, 101));
	out(r, 7, 0x90); /* the diagnostic too */
	for (unsigned i = 102; i < 256; i++)
		assert_int_equal(word(r), pattern(40, i));
	assert_int_equal(alt(r), 0x50);
	out(r, 6, 0xf0); /* device 1 has no data */
	assert_int_equal(in(r, 6), 0xf0);
	assert_int_equal(word(r), 0xffff);
	out(r, 1, 0x55); /* an ignored write leaves the features alone, which SET FEATURES tells */
	out(r, 6, 0xe0);
	out(r, 1, 0xcc);
	lba28(r, 40, 1, 0x20);
	in(r, 7);
	out(r, 1, 0x00);
	for (unsigned i = 0; i < 256; i++)
		word(r);
	out(r, 7, 0xef);
	expect_done(r);
}

/* HOB is let go by a write that is taken only, and shows nothing of the device register. */
static void test_hob_and_busy(void **state)
{
	struct rig *r = *state;

	out(r, 3, 0x11);
	out(r, 3, 0x22);
	out(r, 6, 0xe3);
	out(r, 6, 0xe0);
	out(r, 2, 1);
	out(r, 7, 0x20);
	board_out(&r->board, CTL, 0x80);
	assert_int_equal(in(r, 3), 0x11);
	out(r, 3, 0x33); /* DRQ: ignored */
	assert_int_equal(in(r, 3), 0x11);
	assert_int_equal(in(r, 6), 0xe0);
	board_out(&r->board, CTL, 0x84); /* SRST: BSY */
	out(r, 3, 0x33);
	assert_int_equal(in(r, 6), 0x00);
	board_out(&r->board, CTL, 0x80);
	assert_int_equal(in(r, 3), 0x11); /* the signature took the place of 22h only */
	out(r, 3, 0x33);
	assert_int_equal(in(r, 3), 0x33);
	/* the data port is of the command block too, for writes that are taken */
	out(r, 3, 0x44);
	lba28(r, 0x55, 1, 0x30);
	board_out(&r->board, CTL, 0x80);
	assert_int_equal(in(r, 3), 0x44);
	put_word(r, 0);
	assert_int_equal(in(r, 3), 0x55);
	for (unsigned i = 0; i < 254; i++)
		put_word(r, 0);
	board_out(&r->board, CTL, 0x80);
	put_word(r, 0); /* also the last, at which the model works */
	assert_int_equal(in(r, 3), 0x55);
	board_out(&r->board, CTL, 0x80);
	put_word(r, 0);
	assert_int_equal(in(r, 3), 0x44);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_power_on),
		T(test_identify),
		T(test_set_features),
		T(test_reading_status),
		T(test_absent_slave),
		cmocka_unit_test_setup_teardown(test_empty_channel, setup_empty, teardown),
		T(test_soft_reset),
		T(test_hob),
		T(test_power),
		T(test_other_commands),
		T(test_command_during_transfer),
		T(test_hob_and_busy),
	};

	return run_in_all_modes("ata_cmd", tests);
}
