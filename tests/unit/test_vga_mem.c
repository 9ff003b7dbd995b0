/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vga_mem.c: the VGA's memory against a reference of its own, which goes pixel by pixel through the data path of
 * the IBM documentation; random registers and accesses, through the model and through the window where there is
 * one. Then the window by itself: when it is there, when it goes, and that a guest gets no other memory.
 */
#include "tests/unit/board.h"

#include <string.h>

#include "devices/vga.h"
#include "vmm/mem.h"
#include "vmm/screen.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define RAM_BYTES 0x100000u

struct rig {
	struct board b;
	struct guest_mem mem;
	struct device *dev;
};

static void rig_init(struct rig *r, bool in_text_mode)
{
	*r = (struct rig){0};
	board_init(&r->b, ACCEL_OFF);
	assert_int_equal(mem_init(&r->mem, RAM_BYTES), 0);
	r->dev = vga_create(&r->b.bus, &r->b.clock, &(struct vga_config){.mem = &r->mem, .in_text_mode = in_text_mode});
	assert_non_null(r->dev);
}

static void rig_done(struct rig *r)
{
	board_destroy(&r->b, r->dev);
	mem_destroy(&r->mem);
}

static void set(struct rig *r, uint16_t port, uint8_t index, uint8_t value)
{
	board_out(&r->b, port, index);
	board_out(&r->b, port + 1, value);
}

static uint64_t rd(struct rig *r, uint32_t addr, unsigned size)
{
	return board_io(&r->b, IO_MMIO, addr, size, false, 0);
}

static void wr(struct rig *r, uint32_t addr, unsigned size, uint64_t value)
{
	board_io(&r->b, IO_MMIO, addr, size, true, value);
}

/* What the guest has mapped between 0xa0000 and 0xbffff; bytes 0: nothing. Checks that nothing else is there. */
static struct mem_region window(struct rig *r)
{
	struct mem_region list[MEM_MAX_REGIONS], found = {0};
	unsigned count = mem_regions(&r->mem, list), windows = 0;

	for (unsigned i = 0; i < count; i++) {
		if (list[i].gpa >= 0xc0000 || list[i].gpa + list[i].bytes <= 0xa0000)
			continue;
		found = list[i];
		windows++;
		assert_true(found.gpa >= 0xa0000 && found.gpa + found.bytes <= 0xc0000);
		assert_false(found.readonly);
		assert_int_equal(found.gpa % 4096 | found.bytes % 4096 | (uintptr_t)found.host % 4096, 0);
		assert_true(found.host + found.bytes <= r->mem.ram || found.host >= r->mem.ram + RAM_BYTES);
	}
	assert_true(windows <= 1);
	return found;
}

/* ---- the reference -------------------------------------------------------------------------- */

struct ref {
	uint8_t plane[4][0x10000], latch[4];
	uint8_t misc, map_mask, memory, gfx[9];
};

static bool ref_place(const struct ref *ref, uint32_t addr, uint32_t *cpu, uint32_t *offset)
{
	static const uint32_t first[4] = {0xa0000, 0xa0000, 0xb0000, 0xb8000};
	static const uint32_t last[4] = {0xbffff, 0xaffff, 0xb7fff, 0xbffff};
	unsigned map = ref->gfx[6] >> 2;

	if (!(ref->misc & 2) || addr < first[map] || addr > last[map])
		return false;
	*cpu = addr - first[map];
	if (ref->memory & 8)
		*offset = *cpu / 4 % 0x4000 * 4;
	else if (ref->gfx[6] & 2)
		*offset = *cpu / 2 % 0x8000 * 2 + (map == 0 ? *cpu / 0x10000 : ref->misc & 0x20 ? 0 : 1);
	else
		*offset = *cpu % 0x10000;
	return true;
}

static uint8_t ref_read(struct ref *ref, uint32_t addr)
{
	uint32_t cpu, offset;
	uint8_t v = 0;

	if (!ref_place(ref, addr, &cpu, &offset))
		return 0xff;
	for (unsigned p = 0; p < 4; p++)
		ref->latch[p] = ref->plane[p][offset];
	if (!(ref->gfx[5] & 8))
		return ref->latch[ref->memory & 8    ? cpu % 4
				  : ref->gfx[5] & 16 ? (ref->gfx[4] / 2 * 2) + cpu % 2
						     : ref->gfx[4]];
	for (unsigned pixel = 0; pixel < 8; pixel++) {
		bool same = true;

		for (unsigned p = 0; p < 4; p++) {
			if (ref->gfx[7] >> p & 1)
				same = same && (ref->latch[p] >> pixel & 1) == (ref->gfx[2] >> p & 1);
		}
		v |= (uint8_t)(same << pixel);
	}
	return v;
}

static void ref_write(struct ref *ref, uint32_t addr, uint8_t value)
{
	unsigned mode = ref->gfx[5] & 3, rotate = ref->gfx[3] & 7, function = ref->gfx[3] >> 3;
	uint32_t cpu, offset;

	if (!ref_place(ref, addr, &cpu, &offset))
		return;
	for (unsigned p = 0; p < 4; p++) {
		uint8_t to = 0;

		if (!(ref->map_mask >> p & 1))
			continue;
		if (ref->memory & 8 ? cpu % 4 != p : !(ref->memory & 4) && cpu % 2 != p % 2)
			continue;
		for (unsigned pixel = 0; pixel < 8; pixel++) {
			unsigned latch = ref->latch[p] >> pixel & 1, rotated = value >> (pixel + rotate) % 8 & 1;
			unsigned fixed = ref->gfx[0] >> p & 1, mask = ref->gfx[8] >> pixel & 1, bit;

			bit = mode == 0	  ? (ref->gfx[1] >> p & 1 ? fixed : rotated)
			      : mode == 2 ? value >> p & 1u
					  : fixed;
			bit = function == 1   ? bit & latch
			      : function == 2 ? bit | latch
			      : function == 3 ? bit ^ latch
					      : bit;
			if (mode == 3)
				mask &= rotated;
			if (mode == 1 || !mask)
				bit = latch;
			to |= (uint8_t)(bit << pixel);
		}
		ref->plane[p][offset] = to;
	}
}

/* ---- registers on both ---------------------------------------------------------------------- */

static void put_misc(struct rig *r, struct ref *ref, uint8_t value)
{
	board_out(&r->b, 0x3c2, value);
	ref->misc = value;
}

static void put_seq(struct rig *r, struct ref *ref, uint8_t index, uint8_t value)
{
	set(r, 0x3c4, index, value);
	if (index == 2)
		ref->map_mask = value & 0x0f;
	else
		ref->memory = value & 0x0e;
}

static void put_gfx(struct rig *r, struct ref *ref, uint8_t index, uint8_t value)
{
	static const uint8_t bits[9] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

	set(r, 0x3ce, index, value);
	ref->gfx[index] = value & bits[index];
}

/* What BIOSes set: text, mono text, fonts to plane 2 and 3, 16 colours, 256 colours, unchained, CGA graphics. */
static const struct {
	uint8_t misc, map_mask, memory, gfx[9];
} presets[] = {
	{0x67, 0x03, 0x02, {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff}},
	{0x66, 0x03, 0x02, {0, 0, 0, 0, 0, 0x10, 0x0a, 0, 0xff}},
	{0x67, 0x04, 0x06, {0, 0, 0, 0, 2, 0x00, 0x04, 0, 0xff}},
	{0x67, 0x08, 0x06, {0, 0, 0, 0, 3, 0x00, 0x04, 0, 0xff}},
	{0xe3, 0x0f, 0x06, {0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff}},
	{0x63, 0x0f, 0x0e, {0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff}},
	{0x63, 0x0f, 0x06, {0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff}},
	{0x63, 0x03, 0x02, {0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff}},
	{0x63, 0x0f, 0x02, {0, 0, 0, 0, 0, 0x10, 0x03, 0x0f, 0xff}},
};

static void put_preset(struct rig *r, struct ref *ref, unsigned i)
{
	put_misc(r, ref, presets[i].misc);
	put_seq(r, ref, 2, presets[i].map_mask);
	put_seq(r, ref, 4, presets[i].memory);
	for (uint8_t g = 0; g < 9; g++)
		put_gfx(r, ref, g, presets[i].gfx[g]);
}

static void put_random(struct rig *r, struct ref *ref, uint64_t *seed)
{
	uint8_t value = (uint8_t)board_random(seed);

	switch (board_random(seed) % 12) {
	case 0:
		put_misc(r, ref, value & 0xef);
		break;
	case 1:
		put_seq(r, ref, 4, value);
		break;
	case 2:
	case 3:
		put_seq(r, ref, 2, value);
		break;
	default:
		put_gfx(r, ref, (uint8_t)(board_random(seed) % 9), value);
		break;
	}
}

/* One access of any size, half of the time through the window if there is one and it is in it. */
static bool access_both(struct rig *r, struct ref *ref, uint64_t *seed)
{
	unsigned size = 1u << board_random(seed) % 4;
	uint32_t addr = 0xa0000 + board_random(seed) % 0x20000;
	uint64_t value = board_random(seed) | (uint64_t)board_random(seed) << 32;
	bool is_write = board_random(seed) % 2, direct;
	struct mem_region w = window(r);

	if (board_random(seed) % 2) /* the same places again and again */
		addr = 0xa0000 + addr % 0x18 * 0x1000 + addr % 5;
	addr &= ~(size - 1);
	direct = w.bytes && board_random(seed) % 2;
	if (direct)
		addr = (uint32_t)w.gpa + addr % (uint32_t)w.bytes;
	if (direct && is_write)
		memcpy(w.host + (addr - w.gpa), &value, size);
	else if (is_write)
		wr(r, addr, size, value);
	for (unsigned i = 0; i < size; i++) {
		uint8_t latch[4], want, got;

		if (is_write) {
			ref_write(ref, addr + i, (uint8_t)(value >> 8 * i));
			continue;
		}
		memcpy(latch, ref->latch, 4);
		want = ref_read(ref, addr + i);
		if (direct) {
			memcpy(ref->latch, latch, 4); /* the chip has not seen it */
			got = w.host[addr - w.gpa + i];
		} else {
			if (i == 0)
				value = rd(r, addr, size);
			got = (uint8_t)(value >> 8 * i);
		}
		if (got != want)
			fail_msg("read of 0x%x%s: 0x%02x, want 0x%02x", addr + i, direct ? " by the window" : "", got,
				want);
	}
	return direct;
}

static void compare_planes(struct rig *r, struct ref *ref)
{
	put_preset(r, ref, 4);
	for (uint8_t p = 0; p < 4; p++) {
		put_gfx(r, ref, 4, p);
		for (uint32_t at = 0; at < 0x10000; at += 8) {
			uint64_t got = rd(r, 0xa0000 + at, 8), want;

			memcpy(&want, ref->plane[p] + at, 8);
			if (got != want)
				fail_msg("plane %u at 0x%x: 0x%lx, want 0x%lx", p, at, (unsigned long)got,
					(unsigned long)want);
		}
	}
	for (unsigned p = 0; p < 4; p++)
		ref->latch[p] = ref->plane[p][0xffff];
}

static void test_data_path(void **state)
{
	static struct ref ref;
	unsigned direct = 0;
	struct rig r;

	(void)state;
	rig_init(&r, false);
	for (uint64_t seed = 1; seed <= 40; seed++) {
		uint64_t random = seed;

		for (unsigned round = 0; round < 40; round++) {
			put_preset(&r, &ref, board_random(&random) % COUNT(presets));
			for (unsigned n = board_random(&random) % 4; n > 0; n--)
				put_random(&r, &ref, &random);
			for (unsigned n = 0; n < 100; n++)
				direct += access_both(&r, &ref, &random);
		}
		compare_planes(&r, &ref);
	}
	print_message("%u accesses through the window\n", direct);
	assert_true(direct > 5000);
	rig_done(&r);
}

/* ---- the window ----------------------------------------------------------------------------- */

static void test_window(void **state)
{
	static struct ref ref;
	struct mem_region w;
	struct rig r;

	(void)state;
	rig_init(&r, true);
	assert_int_equal(window(&r).bytes, 0); /* nobody has asked */
	wr(&r, 0xb8000, 2, 0x0741);
	w = window(&r);
	assert_int_equal(w.gpa, 0xb8000);
	assert_int_equal(w.bytes, 0x8000);
	assert_memory_equal(w.host, "A\x07", 2);
	memcpy(w.host + 2, "B\x07", 2);
	assert_int_equal(rd(&r, 0xb8000, 4), 0x07420741);
	/* indices, the cursor, the palette, colour compare leave it */
	set(&r, 0x3d4, 0x0e, 1);
	set(&r, 0x3ce, 2, 1);
	set(&r, 0x3ce, 0, 1);
	board_out(&r.b, 0x3c8, 1);
	assert_int_equal(window(&r).bytes, 0x8000);
	/* the same value again as well */
	set(&r, 0x3ce, 8, 0xff);
	set(&r, 0x3c4, 2, 0x03);
	assert_int_equal(window(&r).bytes, 0x8000);
	/* each of these takes it away; put back, it comes with the next access */
	for (unsigned i = 0; i < 12; i++) {
		static const struct {
			uint16_t port;
			uint8_t index, other, usual;
		} rows[12] = {{0x3c4, 2, 0x01, 0x03}, {0x3c4, 2, 0x07, 0x03}, {0x3c4, 4, 0x06, 0x02},
			{0x3c4, 4, 0x0a, 0x02}, {0x3ce, 1, 0x01, 0x00}, {0x3ce, 3, 0x01, 0x00}, {0x3ce, 3, 0x08, 0x00},
			{0x3ce, 4, 0x02, 0x00}, {0x3ce, 5, 0x18, 0x10}, {0x3ce, 5, 0x11, 0x10}, {0x3ce, 6, 0x0c, 0x0e},
			{0x3ce, 8, 0xfe, 0xff}};

		set(&r, rows[i].port, rows[i].index, rows[i].other);
		assert_int_equal(window(&r).bytes, 0);
		rd(&r, 0xb8000, 1);
		assert_int_equal(window(&r).bytes, 0);
		set(&r, rows[i].port, rows[i].index, rows[i].usual);
		assert_int_equal(window(&r).bytes, 0);
		rd(&r, 0xb8000, 1);
		assert_int_equal(window(&r).bytes, 0x8000);
	}
	for (unsigned i = 0; i < 2; i++) { /* memory off; the other page */
		board_out(&r.b, 0x3c2, i ? 0x47 : 0x65);
		assert_int_equal(window(&r).bytes, 0);
		rd(&r, 0xb8000, 1);
		assert_int_equal(window(&r).bytes, 0);
		board_out(&r.b, 0x3c2, 0x67);
		rd(&r, 0xb8000, 1);
		assert_int_equal(window(&r).bytes, 0x8000);
	}
	/* where it is follows the memory map */
	set(&r, 0x3ce, 6, 0x0a);
	assert_int_equal(window(&r).bytes, 0);
	assert_int_equal(rd(&r, 0xb0000, 4), 0x07420741);
	assert_int_equal(window(&r).gpa, 0xb0000);
	set(&r, 0x3ce, 6, 0x06);
	assert_int_equal(rd(&r, 0xa0002, 2), 0x0742);
	assert_int_equal(window(&r).gpa, 0xa0000);
	assert_int_equal(window(&r).bytes, 0x10000);
	set(&r, 0x3ce, 6, 0x02); /* 128 KiB: bit 16 is in the way */
	rd(&r, 0xa0000, 1);
	assert_int_equal(window(&r).bytes, 0);
	/* a font to plane 2, seen in plane 2 */
	put_preset(&r, &ref, 2);
	wr(&r, 0xa0000, 1, 0x18);
	w = window(&r);
	assert_int_equal(w.gpa, 0xa0000);
	assert_int_equal(w.bytes, 0x10000);
	w.host[0xffff] = 0x81;
	put_preset(&r, &ref, 4);
	put_gfx(&r, &ref, 4, 2);
	assert_int_equal(rd(&r, 0xa0000, 1), 0x18);
	assert_int_equal(rd(&r, 0xaffff, 1), 0x81);
	put_gfx(&r, &ref, 4, 3);
	assert_int_equal(rd(&r, 0xaffff, 1), 0x00);
	/* 256 colours: the four low pixels in the four planes, at the address without its low bits */
	put_preset(&r, &ref, 5);
	rd(&r, 0xa0000, 1);
	w = window(&r);
	assert_int_equal(w.gpa, 0xa0000);
	assert_int_equal(w.bytes, 0x10000);
	memcpy(w.host + 0xfffc, "\x11\x22\x33\x44", 4);
	put_preset(&r, &ref, 4);
	for (uint8_t p = 0; p < 4; p++) {
		put_gfx(&r, &ref, 4, p);
		assert_int_equal(rd(&r, 0xafffc, 1), 0x11 * (p + 1));
	}
	/* text over the same addresses is another layout of the same planes; what lies in them stays */
	put_preset(&r, &ref, 5);
	wr(&r, 0xa0000, 4, 0x44332211);
	w = window(&r);
	put_preset(&r, &ref, 0);
	put_gfx(&r, &ref, 6, 0x06);
	assert_int_equal(window(&r).bytes, 0);
	assert_int_equal(rd(&r, 0xa0000, 2), 0x2211);
	assert_ptr_equal(window(&r).host, w.host);
	assert_memory_equal(w.host, "\x11\x22", 2);
	assert_int_equal(rd(&r, 0xafffc, 2), 0x2211);
	put_preset(&r, &ref, 2);
	assert_int_equal(rd(&r, 0xafffc, 1), 0x33);
	/* reset: nothing mapped, nothing left */
	put_preset(&r, &ref, 0);
	rd(&r, 0xb8000, 1);
	assert_int_equal(window(&r).bytes, 0x8000);
	board_reset(r.dev);
	assert_int_equal(window(&r).bytes, 0);
	assert_int_equal(rd(&r, 0xb8000, 4), 0);
	rig_done(&r);
}

/* For a trace: nothing is ever mapped. */
static void test_maps_nothing(void **state)
{
	struct rig r = {0};

	(void)state;
	board_init(&r.b, ACCEL_OFF);
	assert_int_equal(mem_init(&r.mem, RAM_BYTES), 0);
	r.dev = vga_create(
		&r.b.bus, &r.b.clock, &(struct vga_config){.mem = &r.mem, .in_text_mode = true, .maps_nothing = true});
	assert_non_null(r.dev);
	wr(&r, 0xb8000, 4, 0x07420741);
	assert_int_equal(rd(&r, 0xb8000, 4), 0x07420741);
	assert_int_equal(window(&r).bytes, 0);
	rig_done(&r);
}

/* RAM that lies behind is nobody's: neither the guest's nor the loaders'. */
static void test_ram_behind(void **state)
{
	struct mem_region list[MEM_MAX_REGIONS];
	struct rig r;

	(void)state;
	rig_init(&r, true);
	assert_int_equal(mem_regions(&r.mem, list), 2);
	assert_int_equal(list[0].bytes, 0xa0000);
	assert_int_equal(list[1].gpa, 0xc0000);
	assert_non_null(mem_ptr(&r.mem, 0, 0xa0000));
	assert_null(mem_ptr(&r.mem, 0, 0xa0001));
	assert_null(mem_ptr(&r.mem, 0xb8000, 1));
	assert_null(mem_ptr(&r.mem, 0xbffff, 2));
	assert_non_null(mem_ptr(&r.mem, 0xc0000, 0x40000));
	rig_done(&r);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void test_text(void **state)
{
	static struct screen_text text;
	static struct ref ref;
	struct rig r;

	(void)state;
	rig_init(&r, true);
	vga_text(r.dev, &text);
	assert_int_equal(text.columns, 80);
	assert_int_equal(text.rows, 25);
	for (unsigned i = 0; i < 80 * 100; i++) /* four pages of 25 lines */
		wr(&r, 0xb8000 + 2 * i, 2, 0x0700u | (i * 7 & 0xff));
	vga_text(r.dev, &text);
	assert_int_equal(text.chars[0][0], 0);
	assert_int_equal(text.chars[24][79], 1999 * 7 & 0xff);
	/* scrolled by two lines and one column */
	set(&r, 0x3d4, 0x0d, 161);
	vga_text(r.dev, &text);
	assert_int_equal(text.chars[0][0], 161 * 7 & 0xff);
	assert_int_equal(text.chars[24][79], (1999 + 161) * 7 & 0xff);
	set(&r, 0x3d4, 0x0c, 0x10);
	vga_text(r.dev, &text);
	assert_int_equal(text.chars[1][2], (0x1000 + 161 + 82) * 7 & 0xff);
	set(&r, 0x3d4, 0x0c, 0);
	set(&r, 0x3d4, 0x0d, 0);
	/* 8 lines a character: 50 rows; 40 columns */
	set(&r, 0x3d4, 0x09, 0x47);
	set(&r, 0x3d4, 0x11, 0x0e);
	set(&r, 0x3d4, 0x01, 0x27);
	set(&r, 0x3d4, 0x13, 0x14);
	vga_text(r.dev, &text);
	assert_int_equal(text.columns, 40);
	assert_int_equal(text.rows, 50);
	assert_int_equal(text.chars[49][39], (49 * 40 + 39) * 7 & 0xff);
	/* whatever the registers, it stays inside */
	set(&r, 0x3d4, 0x01, 0xff);
	set(&r, 0x3d4, 0x07, 0xff);
	set(&r, 0x3d4, 0x09, 0x00);
	set(&r, 0x3d4, 0x0c, 0xff);
	set(&r, 0x3d4, 0x0d, 0xff);
	set(&r, 0x3d4, 0x12, 0xff);
	set(&r, 0x3d4, 0x13, 0xff);
	vga_text(r.dev, &text);
	assert_int_equal(text.columns, SCREEN_MAX_COLUMNS);
	assert_int_equal(text.rows, SCREEN_MAX_ROWS);
	put_preset(&r, &ref, 4);
	vga_text(r.dev, &text);
	assert_int_equal(text.rows, 0);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_path),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_maps_nothing),
		cmocka_unit_test(test_ram_behind),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests_name("vga_mem", tests, NULL, NULL);
}
