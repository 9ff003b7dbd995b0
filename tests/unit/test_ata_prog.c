/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ata_prog.c: which accesses the ATA programs answer and which are the model's, at every edge
 * of a block, and that the two never differ. That the answers themselves are ATA/ATAPI-6's is what
 * test_ata.c and test_ata_cmd.c are for, which run over the programs too.
 */
#include <sys/stat.h>

#include "tests/unit/ata_rig.h"

enum { REGS, DATA, CTRL }; /* indices of rig_programs[] */
enum { WHY_INTRQ = 1, WHY_COMMAND, WHY_BLOCK, WHY_WORK, WHY_CONTROL, WHY_MERGED };

static struct accel_counters counters(struct rig *r, unsigned program)
{
	struct accel_counters c;

	accel_slot_counters(rig_range(r, program)->slot, &c);
	return c;
}

/* Elements of a string on which the program punts together come again one by one, before the model. */
static uint64_t model_entries(struct rig *r)
{
	return counters(r, REGS).punted + counters(r, CTRL).punted + counters(r, DATA).punted -
	       counters(r, DATA).why[WHY_MERGED];
}

/* One access; *punted says whether it went to the model. */
static uint32_t watched(struct rig *r, uint16_t port, unsigned size, bool is_write, uint32_t value, bool *punted)
{
	uint64_t before = model_entries(r);
	uint32_t got = (uint32_t)board_io(&r->board, IO_PIO, port, size, is_write, value);

	*punted = model_entries(r) != before;
	assert_true(model_entries(r) - before <= 1);
	return got;
}

static uint32_t answered_io(struct rig *r, uint16_t port, unsigned size, bool is_write, uint32_t value)
{
	bool punted;
	uint32_t got = watched(r, port, size, is_write, value, &punted);

	if (punted)
		fail_msg("%s 0x%x: punted", is_write ? "write" : "read", port);
	return got;
}

static uint32_t punted_io(
	struct rig *r, uint16_t port, unsigned size, bool is_write, uint32_t value, unsigned program, unsigned why)
{
	uint64_t before = counters(r, program).why[why];
	bool punted;
	uint32_t got = watched(r, port, size, is_write, value, &punted);

	if (!punted || counters(r, program).why[why] != before + 1)
		fail_msg("%s 0x%x: not punted with reason %u", is_write ? "write" : "read", port, why);
	return got;
}

static int setup_programs(void **state)
{
	rig_mode = ACCEL_ON;
	*state = rig_new(200, false);
	return 0;
}

static int setup_empty_programs(void **state)
{
	rig_mode = ACCEL_ON;
	*state = rig_new(0, false);
	return 0;
}

/* ---- who answers --------------------------------------------------------------------------- */

static void test_each_register(void **state)
{
	struct rig *r = *state;

	for (uint16_t reg = 1; reg <= 7; reg++)
		answered_io(r, BASE + reg, 1, false, 0);
	for (uint16_t reg = 1; reg <= 6; reg++)
		answered_io(r, BASE + reg, 1, true, 0xa0);
	for (uint32_t size = 1; size <= 4; size *= 2) { /* nothing to move */
		assert_int_equal(answered_io(r, BASE, size, false, 0),
			r->path[0] ? hr_mask(~0ull, size) : hr_mask(0xff7fff7f, size));
		answered_io(r, BASE, size, true, 0);
	}
	answered_io(r, CTL, 1, false, 0);
	punted_io(r, CTL, 1, true, 0x02, CTRL, WHY_CONTROL);
	punted_io(r, BASE + 7, 1, true, 0xe1, REGS, WHY_COMMAND);
}

/* No size or offset is taken that is not its register's; the data port has one offset only, and all sizes. */
static void test_sizes_and_offsets(void **state)
{
	struct rig *r = *state;

	for (unsigned p = 0; p < RIG_PROGRAMS; p++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			for (uint32_t offset = 0; offset < 16; offset++) {
				for (unsigned w = 0; w < 2; w++) {
					struct hr_io io = {.offset = offset,
						.size = (uint8_t)size,
						.is_write = (uint8_t)w,
						.value = 0};
					bool answers = p == DATA   ? true
						       : p == REGS ? size == 1 && offset >= 1 && offset <= (w ? 6 : 7)
								   : size == 1 && !w;

					assert_int_equal(accel_run(rig_range(r, p)->slot, &io) != 0, answers);
				}
			}
		}
	}
}

static void test_status(void **state)
{
	struct rig *r = *state;

	out(r, 7, 0xe1);
	assert_true(irq(r));
	answered_io(r, CTL, 1, false, 0);
	assert_int_equal(punted_io(r, BASE + 7, 1, false, 0, REGS, WHY_INTRQ), 0x50);
	assert_false(irq(r));
	answered_io(r, BASE + 7, 1, false, 0);
	/* under nIEN the line is low, and the read takes the pending interrupt back by itself */
	board_out(&r->board, CTL, 0x02);
	out(r, 7, 0xe1);
	assert_int_equal(answered_io(r, BASE + 7, 1, false, 0), 0x50);
	board_out(&r->board, CTL, 0x00);
	assert_false(irq(r));
	/* but alternate status does not, nor does device 1's status */
	board_out(&r->board, CTL, 0x02);
	out(r, 7, 0xe1);
	assert_int_equal(answered_io(r, CTL, 1, false, 0), 0x50);
	answered_io(r, BASE + 6, 1, true, 0xb0);
	assert_int_equal(answered_io(r, BASE + 7, 1, false, 0), 0x00);
	answered_io(r, BASE + 6, 1, true, 0xa0);
	board_out(&r->board, CTL, 0x00);
	assert_true(irq(r));
	assert_int_equal(punted_io(r, BASE + 7, 1, false, 0, REGS, WHY_INTRQ), 0x50);
}

static void test_device_select(void **state)
{
	struct rig *r = *state;

	answered_io(r, BASE + 6, 1, true, 0xb0);
	answered_io(r, BASE + 6, 1, true, 0xa0);
	out(r, 7, 0xe1);
	assert_true(irq(r));
	answered_io(r, BASE + 6, 1, true, 0xe5); /* the same device */
	assert_true(irq(r));
	punted_io(r, BASE + 6, 1, true, 0xb0, REGS, WHY_INTRQ);
	assert_false(irq(r));
	answered_io(r, BASE + 6, 1, true, 0xf3);
	assert_int_equal(answered_io(r, BASE + 7, 1, false, 0), 0);
	punted_io(r, BASE + 6, 1, true, 0xa0, REGS, WHY_INTRQ);
	assert_true(irq(r));
	board_out(&r->board, CTL, 0x02);
	answered_io(r, BASE + 6, 1, true, 0xb0);
	board_out(&r->board, CTL, 0x00);
	assert_false(irq(r));
	answered_io(r, BASE + 2, 1, true, 0xb0); /* no other register selects */
	board_out(&r->board, CTL, 0x02);
	answered_io(r, BASE + 6, 1, true, 0xa0);
	board_out(&r->board, CTL, 0x00);
	assert_true(irq(r));
	lba28(r, 3, 1, 0x20);
	assert_true(irq(r));
	answered_io(r, BASE + 6, 1, true, 0xb0); /* ignored: DRQ */
	assert_true(irq(r));
	expect_data(r, 3, 1, 1);
}

/* What a vCPU sees while another is inside the model. */
static void test_at_work(void **state)
{
	struct rig *r = *state;
	struct ata_page *page = device_page(r->ata), before;

	page->s.phase = ATA_AT_WORK;
	for (unsigned p = 0; p < RIG_PROGRAMS; p++) {
		for (uint32_t offset = 0; offset < 8; offset++) {
			for (unsigned w = 0; w < 2; w++) {
				struct hr_io io = {.offset = offset, .size = 1, .is_write = (uint8_t)w, .value = 0x55};

				before = *page;
				assert_int_equal(accel_run(rig_range(r, p)->slot, &io), 0);
				assert_memory_equal(&before, page, sizeof(before));
			}
		}
	}
	assert_int_equal(counters(r, REGS).why[WHY_WORK], 14);
	assert_int_equal(counters(r, DATA).why[WHY_WORK], 16);
	assert_int_equal(counters(r, CTRL).why[WHY_WORK], 8);
}

/* ---- the block ----------------------------------------------------------------------------- */

static void set_multiple(struct rig *r, unsigned block)
{
	out(r, 2, (uint8_t)block);
	out(r, 7, 0xc6);
	expect_done(r);
}

/* Sizes of accesses, so that 32 bits begin at even and at odd words and lie across ends. */
static unsigned size_of(unsigned style, unsigned n)
{
	static const uint8_t mixed[] = {2, 4, 4, 1, 4, 2, 2, 4};

	return style < 3 ? 1u << style : mixed[n % 8];
}

/*
 * Each access of a read, by itself: a punt if and only if it reaches the end of a block that is
 * not the last one, or goes beyond the last one.
 */
static void read_watched(struct rig *r, uint32_t lba, uint32_t sectors, uint32_t block, unsigned style)
{
	uint32_t total = sectors * 256, pos = 0;

	for (unsigned n = 0; pos < total; n++) {
		unsigned size = size_of(style, n), words = size == 4 ? 2 : 1;
		uint32_t end = (pos / (block * 256) + 1) * block * 256, want = 0xffff0000;
		bool punted;
		uint32_t got = watched(r, BASE, size, false, 0, &punted);

		for (unsigned i = 0; i < words && pos + i < total; i++) {
			want &= ~(0xffffu << (16 * i));
			want |= (uint32_t)pattern(lba + (pos + i) / 256, (pos + i) % 256) << (16 * i);
		}
		assert_int_equal(got, hr_mask(want, size));
		if (end > total)
			end = total;
		assert_int_equal(punted, pos + words > end || (pos + words == end && end != total));
		pos += words;
		assert_int_equal(answered_io(r, CTL, 1, false, 0), pos < total ? 0x58 : 0x50);
	}
	answered_io(r, BASE, 2, false, 0);
	assert_int_equal(alt(r), 0x50);
}

static void test_read_ends(void **state)
{
	static const struct {
		uint8_t sectors, block;
	} cases[] = {{1, 1}, {2, 1}, {3, 1}, {1, 16}, {16, 16}, {17, 16}, {5, 2}, {4, 2}, {33, 8}};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned style = 0; style < 4; style++) {
			bool is_multiple = cases[i].block > 1;

			if (is_multiple)
				set_multiple(r, cases[i].block);
			board_out(&r->board, CTL, style & 1 ? 0x02 : 0x00);
			lba28(r, 10 + i, cases[i].sectors, is_multiple ? 0xc4 : 0x20);
			read_watched(r, 10 + i, cases[i].sectors, cases[i].block, style);
			board_out(&r->board, CTL, 0x00);
		}
	}
}

/* Of a write the end of every block is the model's. */
static void test_write_ends(void **state)
{
	struct rig *r = *state;

	for (unsigned style = 1; style < 4; style++) {
		for (unsigned block = 1; block <= 4; block *= 4) {
			const uint32_t total = 6 * 256, lba = 20 + style * 40 + block * 5;
			uint16_t want[6 * 256 + 1];
			uint32_t pos = 0;

			set_multiple(r, block);
			lba28(r, lba, 6, 0xc5);
			for (unsigned n = 0; pos < total; n++) {
				unsigned size = size_of(style, n), words = size == 4 ? 2 : 1;
				uint32_t v = pos * 2654435761u + style, end = (pos / (block * 256) + 1) * block * 256;
				bool punted;

				if (end > total)
					end = total;
				want[pos] = (uint16_t)hr_mask(v, size);
				if (words == 2)
					want[pos + 1] = (uint16_t)(v >> 16);
				watched(r, BASE, size, true, v, &punted);
				assert_int_equal(punted, pos + words >= end);
				pos += words;
			}
			expect_done(r);
			for (unsigned s = 0; s < 6; s++)
				expect_on_disk(r, lba + s, want + s * 256);
			expect_pattern_on_disk(r, lba - 1);
			expect_pattern_on_disk(r, lba + 6);
		}
	}
}

static void test_identify_ends_plainly(void **state)
{
	struct rig *r = *state;

	out(r, 7, 0xec);
	assert_int_equal(in(r, 7), 0x58);
	for (unsigned i = 0; i < 256; i++)
		answered_io(r, BASE, 2, false, 0);
	assert_int_equal(answered_io(r, BASE + 7, 1, false, 0), 0x50);
	assert_false(irq(r));
}

/* A host error at the next block: the word that ends the one before punts, and ERR is there. */
static void test_error_at_block_end(void **state)
{
	struct rig *r = *state;

	assert_int_equal(truncate(r->path, 10 * 512), 0);
	lba28(r, 9, 2, 0x20);
	in(r, 7);
	for (unsigned i = 0; i < 255; i++)
		answered_io(r, BASE, 2, false, 0);
	assert_int_equal(punted_io(r, BASE, 2, false, 0, DATA, WHY_BLOCK), pattern(9, 255));
	expect_error(r, 0x40);
	assert_int_equal(in(r, 3), 10);
	assert_int_equal(answered_io(r, BASE, 2, false, 0), 0xffff);
}

static void test_srst_in_the_middle(void **state)
{
	struct rig *r = *state;

	for (unsigned write = 0; write < 2; write++) {
		lba28(r, 30, 3, write ? 0x30 : 0x20);
		for (unsigned i = 0; i < 300; i++)
			board_io(&r->board, IO_PIO, BASE, 2, write, 0xbeef);
		punted_io(r, CTL, 1, true, 0x04, CTRL, WHY_CONTROL);
		assert_int_equal(answered_io(r, BASE + 7, 1, false, 0), 0x80);
		assert_int_equal(answered_io(r, BASE, 2, false, 0), 0xffff);
		answered_io(r, BASE, 2, true, 0xdead);
		for (uint16_t reg = 1; reg <= 6; reg++)
			answered_io(r, BASE + reg, 1, true, 0xff); /* ignored: BSY */
		punted_io(r, CTL, 1, true, 0x00, CTRL, WHY_CONTROL);
		assert_int_equal(in(r, 1) | in(r, 2) << 8 | in(r, 3) << 16, 0x010101);
		assert_int_equal(in(r, 4) | in(r, 5) | in(r, 6), 0);
		for (unsigned i = 0; i < 256; i++)
			assert_int_equal(answered_io(r, BASE, 2, false, 0), 0xffff);
	}
	lba28(r, 31, 1, 0x20); /* the block that was whole was written, the other not */
	expect_data(r, 31, 1, 1);
}

/* Reset of the machine in the middle of a block. */
static void test_reset_in_the_middle(void **state)
{
	struct rig *r = *state;

	lba28(r, 30, 1, 0x20);
	answered_io(r, BASE, 4, false, 0);
	board_reset(r->ata);
	assert_false(irq(r));
	assert_int_equal(answered_io(r, BASE, 2, false, 0), 0xffff);
	lba28(r, 30, 1, 0x20);
	expect_data(r, 30, 1, 1);
}

/* ---- entries into the model ---------------------------------------------------------------- */

static void string(struct rig *r, unsigned size, bool is_write, unsigned count, void *data)
{
	struct io_req req = {
		.io = {.size = (uint8_t)size, .is_write = is_write},
		.addr = BASE,
		.bus = IO_PIO,
		.count = count,
		.data = data,
	};

	bus_io(&r->board.bus, &req);
}

static void test_entries_per_sector(void **state)
{
	struct rig *r = *state;
	uint64_t before;
	uint16_t buf[256], want[256];

	for (unsigned size = 2; size <= 4; size *= 2) {
		for (unsigned i = 0; i < 256; i++)
			want[i] = pattern(77, i);
		/* polled: the command alone */
		board_out(&r->board, CTL, 0x02);
		before = model_entries(r);
		lba28(r, 77, 1, 0x20);
		assert_int_equal(in(r, 7), 0x58);
		string(r, size, false, 512 / size, buf);
		assert_int_equal(in(r, 7), 0x50);
		assert_int_equal(model_entries(r) - before, 1);
		assert_memory_equal(buf, want, sizeof(buf));
		/* with interrupts: the status read too */
		board_out(&r->board, CTL, 0x00);
		before = model_entries(r);
		lba28(r, 77, 1, 0x20);
		assert_true(irq(r));
		assert_int_equal(in(r, 7), 0x58);
		string(r, size, false, 512 / size, buf);
		assert_int_equal(model_entries(r) - before, 2);
		assert_memory_equal(buf, want, sizeof(buf));
		/* a write: command, end of the block */
		board_out(&r->board, CTL, 0x02);
		before = model_entries(r);
		lba28(r, 99, 1, 0x30);
		assert_int_equal(in(r, 7), 0x58);
		string(r, size, true, 512 / size, buf);
		assert_int_equal(in(r, 7), 0x50);
		assert_int_equal(model_entries(r) - before, 2);
		expect_on_disk(r, 99, want);
		board_out(&r->board, CTL, 0x00);
	}
}

/*
 * One string over several blocks: the model is entered at their ends. Whatever was moved before it, and
 * however much is left after the last block, in which elements of a string may go together.
 */
static void test_long_string(void **state)
{
	struct rig *r = *state;
	uint16_t buf[6 * 256], want[6 * 256];
	uint64_t before;

	board_out(&r->board, CTL, 0x02);
	for (unsigned i = 0; i < 6 * 256; i++)
		want[i] = i < 5 * 256 ? pattern(50 + i / 256, i % 256) : 0xffff;
	for (unsigned size = 2; size <= 4; size += 2) {
		for (unsigned first = 0; first < 9; first++) { /* words, one by one */
			unsigned count = (6 * 256 - first) * 2 / size;

			lba28(r, 50, 5, 0x20);
			before = model_entries(r);
			for (unsigned i = 0; i < first; i++)
				assert_int_equal(word(r), want[i]);
			string(r, size, false, count, buf + first);
			/* with 4 bytes from an odd word on, the end of the last block is in the middle of one */
			assert_int_equal(model_entries(r) - before, size == 4 && first % 2 ? 5 : 4);
			assert_memory_equal(buf + first, want + first, count * size);
			assert_int_equal(in(r, 7), 0x50);
		}
	}
	for (unsigned size = 2; size <= 4; size += 2) {
		for (unsigned first = 0; first < 9; first++) {
			unsigned count = (3 * 256 - first) * 2 / size;

			lba28(r, 100, 3, 0x30);
			before = model_entries(r);
			for (unsigned i = 0; i < first; i++)
				put_word(r, want[i]);
			string(r, size, true, count, want + first);
			if (count * size / 2 + first < 3 * 256)
				put_word(r, want[3 * 256 - 1]);
			assert_int_equal(model_entries(r) - before, 3);
			assert_int_equal(in(r, 7), 0x50);
			for (unsigned i = 0; i < 3; i++)
				expect_on_disk(r, 100 + i, want + 256 * i);
			expect_pattern_on_disk(r, 103);
			memmove(want, want + 1, sizeof(want) - 2);
		}
	}
}

/* ---- hostile pages, and time --------------------------------------------------------------- */

static void random_access(struct rig *r, uint64_t *seed)
{
	static const uint8_t commands[] = {
		0x20, 0x30, 0xc4, 0xc5, 0xc6, 0xec, 0xe1, 0x90, 0x24, 0x34, 0x91, 0xe5, 0x40};
	uint32_t x = board_random(seed), v = board_random(seed);
	unsigned size = 1u << x % 3;
	uint16_t buf[512];

	switch (x >> 4 & 7) {
	case 0:
		board_out(&r->board, CTL, v & 0x86);
		break;
	case 1:
		out(r, 7, commands[v % sizeof(commands)]);
		break;
	case 2:
		memset(buf, (int)v, sizeof(buf));
		string(r, size, v & 1, 1 + (v >> 8) % 256, buf);
		break;
	case 3:
		board_io(&r->board, IO_PIO, BASE, size, v & 1, v);
		break;
	case 4:
		out(r, 6, v & 0x5f);
		break;
	case 5:
		alt(r);
		break;
	default:
		board_io(&r->board, IO_PIO, (uint16_t)(BASE + 1 + x % 7), 1, x % 7 < 6 && (x & 0x80), v % 6);
		break;
	}
}

/*
 * A program that --prog brought may store anything to the page behind its head, at any time. The
 * model goes on, inside its buffers and inside the image, and a reset makes all good.
 */
static void test_hostile_page(void **state)
{
	struct rig *r = *state;
	uint8_t *page = device_page(r->ata);
	uint64_t seed = 99;
	struct stat st;

	for (unsigned i = 0; i < 100000; i++) {
		random_access(r, &seed);
		for (unsigned n = board_random(&seed) % 4; n; n--) {
			uint32_t at = (uint32_t)sizeof(struct hr_page) + board_random(&seed) % 48;

			page[at] = (uint8_t)(board_random(&seed) & 1 ? board_random(&seed) : board_random(&seed) % 5);
		}
	}
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_size, 200 * 512);
	board_reset(r->ata);
	assert_int_equal(alt(r), 0x50);
	lba28(r, 5, 1, 0x30);
	for (unsigned i = 0; i < 256; i++)
		put_word(r, pattern(5, i));
	expect_done(r);
	lba28(r, 5, 1, 0x20);
	expect_data(r, 5, 1, 1);
}

/*
 * Deferred writes rest on it: BSY, DRQ and all else change in accesses only, never as time goes by.
 */
static void test_nothing_by_itself(void **state)
{
	struct rig *r = *state;
	static struct ata_page before;
	uint64_t seed = 5, now = 0;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned rises = r->board.rises[IRQ];
		bool level = irq(r);

		memcpy(&before, device_page(r->ata), sizeof(before));
		now += board_random(&seed) % 30000000000ull;
		clock_advance(&r->board.clock, now);
		assert_memory_equal(&before, device_page(r->ata), sizeof(before));
		assert_int_equal(irq(r), level);
		assert_int_equal(r->board.rises[IRQ], rises);
		random_access(r, &seed);
	}
}

static struct bus_zone told[BUS_MAX_ZONES];
static unsigned told_count;

static void zones_told(void *opaque, const struct bus_zone *zones, unsigned count)
{
	(void)opaque;
	memcpy(told, zones, count * sizeof(zones[0]));
	told_count = count;
}

static bool is_deferred(uint16_t port)
{
	for (unsigned i = 0; i < told_count; i++) {
		if (told[i].bus == IO_PIO && port >= told[i].addr && port - told[i].addr < told[i].len)
			return true;
	}
	return false;
}

/* What the task file is always, the device register is for a host that goes on polling: nIEN, [ATA-6] INTRQ. */
static void test_device_deferred_under_nien(void **state)
{
	struct rig *r = *state;

	bus_set_zone_watcher(&r->board.bus, zones_told, NULL);
	for (int round = 0; round < 3; round++) {
		assert_true(is_deferred(BASE + 1) && is_deferred(BASE + 5));
		assert_false(is_deferred(BASE) || is_deferred(BASE + 6) || is_deferred(BASE + 7));
		for (int i = 0; i < 9;
			i++) { /* with interrupts never, nor for who gives nIEN back after each command */
			board_out(&r->board, CTL, i & 1 ? ATA_NIEN : 0);
			out(r, ATA_STATUS, 0xe7); /* FLUSH CACHE */
			assert_false(is_deferred(BASE + 6));
		}
		board_out(&r->board, CTL, ATA_NIEN);
		for (int i = 0; i < 8; i++)
			out(r, ATA_STATUS, 0xe7);
		assert_true(is_deferred(BASE + 6) && !is_deferred(BASE + 7));
		assert_int_equal(told_count, 2);
		if (round == 0)
			board_out(&r->board, CTL, 0);
		else if (round == 1)
			board_out(&r->board, CTL, ATA_SRST);
		else
			r->ata->ops->reset(r->ata);
		assert_false(is_deferred(BASE + 6));
		board_out(&r->board, CTL, 0);
	}
	bus_set_zone_watcher(&r->board.bus, NULL, NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_programs, teardown)
	const struct CMUnitTest tests[] = {
		T(test_each_register),
		cmocka_unit_test_setup_teardown(test_each_register, setup_empty_programs, teardown),
		T(test_sizes_and_offsets),
		T(test_status),
		T(test_device_select),
		T(test_at_work),
		T(test_read_ends),
		T(test_write_ends),
		T(test_identify_ends_plainly),
		T(test_error_at_block_end),
		T(test_srst_in_the_middle),
		T(test_reset_in_the_middle),
		T(test_entries_per_sector),
		T(test_long_string),
		T(test_hostile_page),
		T(test_nothing_by_itself),
		T(test_device_deferred_under_nien),
	};

	return cmocka_run_group_tests_name("ata_prog", tests, NULL, NULL);
}
