/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vga.c: the VGA's registers, against the IBM documentation: which bits there are, the flip-flop, the palette's
 * automatic increment, the protection, where the ports lie; and where the beam is, against an
 * own count of clocks, characters and lines in 128 bits, from the first nanoseconds to years. Then the programs:
 * random accesses and time steps on a machine with them, one without, and one in check mode.
 */
#include "devices/programs.h"
#include "tests/unit/board.h"

#include <string.h>

#include "devices/vga.h"
#include "vmm/mem.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define RAM_BYTES 0x100000u

struct rig {
	struct board b;
	struct guest_mem mem;
	struct device *dev;
	struct accel_object *obj;
};

static const char *const programs[3][2] = {{"vga", "vga"}, {"vga.crtc", "vga_crtc"}, {"vga.status", "vga_status"}};

static void rig_init(struct rig *r, enum accel_mode mode, bool in_text_mode)
{
	struct accel_err err = {.text = ""};

	*r = (struct rig){0};
	board_init(&r->b, mode);
	assert_int_equal(mem_init(&r->mem, RAM_BYTES), 0);
	r->dev = vga_create(&r->b.bus, &r->b.clock, &(struct vga_config){.mem = &r->mem, .in_text_mode = in_text_mode});
	assert_non_null(r->dev);
	if (mode == ACCEL_OFF)
		return;
	if (accel_object_open("vga", prog_vga_start, (size_t)(prog_vga_end - prog_vga_start), &r->obj, &err) ||
		accel_page_bind(r->dev->page, r->obj, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < COUNT(programs); i++) {
		struct range *range = bus_find_name(&r->b.bus, programs[i][0]);

		assert_non_null(range);
		assert_int_equal(accel_slot_new(r->dev->page, &r->b.clock.source, 1, ACCEL_STATEFUL, &range->slot), 0);
		if (accel_slot_attach(range->slot, r->obj, programs[i][1], &err))
			fail_msg("%s", err.text);
	}
}

static void rig_done(struct rig *r)
{
	for (unsigned i = 0; i < COUNT(programs) && r->obj; i++) {
		struct range *range = bus_find_name(&r->b.bus, programs[i][0]);

		accel_slot_free(range->slot);
		range->slot = NULL;
	}
	accel_object_put(r->obj);
	board_destroy(&r->b, r->dev);
	mem_destroy(&r->mem);
}

static int setup(void **state)
{
	static struct rig r;

	rig_init(&r, ACCEL_OFF, false);
	*state = &r;
	return 0;
}

static int teardown(void **state)
{
	rig_done(*state);
	return 0;
}

static uint8_t in(struct rig *r, uint16_t port)
{
	return board_in(&r->b, port);
}

static void out(struct rig *r, uint16_t port, uint8_t value)
{
	board_out(&r->b, port, value);
}

static void set(struct rig *r, uint16_t port, uint8_t index, uint8_t value)
{
	out(r, port, index);
	out(r, port + 1, value);
}

static uint8_t get(struct rig *r, uint16_t port, uint8_t index)
{
	out(r, port, index);
	return in(r, port + 1);
}

static void attr_set(struct rig *r, uint8_t index, uint8_t value)
{
	in(r, 0x3da);
	out(r, 0x3c0, index);
	out(r, 0x3c0, value);
}

static uint8_t attr_get(struct rig *r, uint8_t index)
{
	in(r, 0x3da);
	out(r, 0x3c0, index);
	return in(r, 0x3c1);
}

/* ---- registers ------------------------------------------------------------------------------ */

/* Every bit that is defined keeps what is written, the reserved ones are 0. */
static void test_bits(void **state)
{
	static const uint8_t seq[] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0};
	static const uint8_t gfx[] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t attr_high[] = {0xef, 0xff, 0x3f, 0x0f, 0x0f, 0, 0, 0};
	struct rig *r = *state;

	out(r, 0x3c2, 0x01);
	for (unsigned round = 0; round < 4; round++) {
		uint8_t v = (uint8_t[]){0xff, 0x00, 0xa5, 0x5a}[round];

		for (uint8_t i = 0; i < COUNT(seq); i++) {
			set(r, 0x3c4, i, v);
			assert_int_equal(get(r, 0x3c4, i), v & seq[i]);
		}
		for (uint8_t i = 0; i < COUNT(gfx); i++) {
			set(r, 0x3ce, i, v);
			assert_int_equal(get(r, 0x3ce, i), v & gfx[i]);
		}
		set(r, 0x3d4, 0x11, v & 0x7f);
		for (unsigned i = 0; i < 256; i++) {
			uint8_t bits = i > 0x18				     ? 0
				       : i == 0x08 || i == 0x0b || i == 0x14 ? 0x7f
				       : i == 0x0a			     ? 0x3f
				       : i == 0x17			     ? 0xef
									     : 0xff;

			if (i == 0x11)
				continue;
			set(r, 0x3d4, (uint8_t)i, v);
			assert_int_equal(get(r, 0x3d4, (uint8_t)i), v & bits);
		}
		for (uint8_t i = 0; i < 0x18; i++) {
			attr_set(r, i, v);
			assert_int_equal(attr_get(r, i), v & (i < 0x10 ? 0x3f : attr_high[i - 0x10]));
		}
		out(r, 0x3c6, v);
		assert_int_equal(in(r, 0x3c6), v);
		out(r, 0x3da, v);
		assert_int_equal(in(r, 0x3ca), v & 0x0b);
		out(r, 0x3c2, v | 1);
		assert_int_equal(in(r, 0x3cc), (v | 1) & 0xef);
	}
	/* indices read back: 3, 4, 8 and 5 bits and one, of which attribute's do not tell the flip-flop */
	out(r, 0x3c4, 0xff);
	assert_int_equal(in(r, 0x3c4), 0x07);
	out(r, 0x3ce, 0xff);
	assert_int_equal(in(r, 0x3ce), 0x0f);
	out(r, 0x3d4, 0xff);
	assert_int_equal(in(r, 0x3d4), 0xff);
	in(r, 0x3da);
	out(r, 0x3c0, 0xff);
	assert_int_equal(in(r, 0x3c0), 0x3f);
	/* what has no reader */
	assert_int_equal(in(r, 0x3c3), 0xff);
	assert_int_equal(in(r, 0x3cb), 0xff);
	assert_int_equal(in(r, 0x3cd), 0xff);
}

/* A word writes the index and then the data; a doubleword two pairs where there are two. */
static void test_words(void **state)
{
	struct rig *r = *state;

	board_io(&r->b, IO_PIO, 0x3ce, 2, true, 0xa508);
	assert_int_equal(get(r, 0x3ce, 8), 0xa5);
	board_io(&r->b, IO_PIO, 0x3c4, 2, true, 0x0a02);
	assert_int_equal(board_io(&r->b, IO_PIO, 0x3c4, 2, false, 0), 0x0a02);
	out(r, 0x3c2, 1);
	board_io(&r->b, IO_PIO, 0x3d4, 2, true, 0x340f);
	assert_int_equal(get(r, 0x3d4, 0x0f), 0x34);
}

static void test_ports(void **state)
{
	struct rig *r = *state;

	/* at power-on misc output is 0: monochrome */
	assert_int_equal(in(r, 0x3cc), 0);
	set(r, 0x3b4, 0x0e, 0x12);
	assert_int_equal(in(r, 0x3b5), 0x12);
	assert_int_equal(in(r, 0x3d4), 0xff);
	assert_int_equal(in(r, 0x3da), 0xff);
	out(r, 0x3d4, 0x0f); /* nobody hears it */
	assert_int_equal(in(r, 0x3b4), 0x0e);
	out(r, 0x3c2, 0x63);
	assert_int_equal(in(r, 0x3d5), 0x12);
	assert_int_equal(in(r, 0x3b4), 0xff);
	assert_int_equal(in(r, 0x3ba), 0xff);
	assert_int_not_equal(in(r, 0x3da), 0xff);
	out(r, 0x3c2, 0x62);
	assert_int_equal(in(r, 0x3b5), 0x12);
	assert_int_equal(in(r, 0x3d5), 0xff);
	out(r, 0x3c2, 0x63);
	board_reset(r->dev);
	assert_int_equal(in(r, 0x3d5), 0xff);
	assert_int_equal(get(r, 0x3b4, 0x0e), 0);
}

static void test_flip_flop(void **state)
{
	struct rig *r = *state;

	out(r, 0x3c2, 1);
	in(r, 0x3da);
	out(r, 0x3c0, 0x12); /* index */
	assert_int_equal(in(r, 0x3c0), 0x12);
	assert_int_equal(in(r, 0x3c1), 0); /* reading moves nothing */
	out(r, 0x3c0, 0x0f);		   /* data */
	assert_int_equal(in(r, 0x3c1), 0x0f);
	out(r, 0x3c0, 0x11); /* index again */
	assert_int_equal(in(r, 0x3c0), 0x11);
	in(r, 0x3da);	     /* back to index without data */
	out(r, 0x3c0, 0x13); /* so this is an index */
	assert_int_equal(in(r, 0x3c0), 0x13);
	out(r, 0x3c0, 0x07);
	assert_int_equal(attr_get(r, 0x13), 0x07);
	assert_int_equal(attr_get(r, 0x11), 0);
	in(r, 0x3da);
	in(r, 0x3da); /* twice is as once */
	out(r, 0x3c0, 0x11);
	out(r, 0x3c0, 0x2a);
	assert_int_equal(attr_get(r, 0x11), 0x2a);
	in(r, 0x3ba); /* not the address at the moment */
	out(r, 0x3c0, 0x3f);
	assert_int_equal(attr_get(r, 0x11), 0x3f);
	/* bit 5 of the index: the palette is the display's and takes no write, the others do */
	attr_set(r, 0x05, 0x15);
	attr_set(r, 0x25, 0x2a);
	assert_int_equal(attr_get(r, 0x05), 0x15);
	attr_set(r, 0x34, 0x0c);
	assert_int_equal(attr_get(r, 0x14), 0x0c);
	attr_set(r, 0x05, 0x2a);
	assert_int_equal(attr_get(r, 0x25), 0x2a);
}

static void test_dac(void **state)
{
	struct rig *r = *state;

	out(r, 0x3c8, 0);
	assert_int_equal(in(r, 0x3c7), 0); /* write mode */
	for (unsigned i = 0; i < 768; i++)
		out(r, 0x3c9, (uint8_t)(i * 7));
	assert_int_equal(in(r, 0x3c8), 0); /* it has come round */
	out(r, 0x3c7, 0);
	assert_int_equal(in(r, 0x3c7), 3); /* read mode */
	for (unsigned i = 0; i < 768 + 5; i++)
		assert_int_equal(in(r, 0x3c9), (i % 768 * 7 & 0xff) & 0x3f);
	/* a colour is stored with its third component, or not at all */
	out(r, 0x3c8, 255);
	out(r, 0x3c9, 0x3f);
	out(r, 0x3c9, 0xc1);
	out(r, 0x3c7, 255);
	assert_int_equal(in(r, 0x3c9), (765 * 7 & 0xff) & 0x3f);
	out(r, 0x3c8, 255);
	assert_int_equal(in(r, 0x3c8), 255);
	out(r, 0x3c9, 0x3f);
	out(r, 0x3c9, 0xc1);
	out(r, 0x3c9, 0xfe);
	assert_int_equal(in(r, 0x3c8), 0);
	out(r, 0x3c7, 255);
	assert_int_equal(in(r, 0x3c9), 0x3f);
	assert_int_equal(in(r, 0x3c9), 0x01);
	assert_int_equal(in(r, 0x3c9), 0x3e);
	assert_int_equal(in(r, 0x3c9), 0); /* colour 0 */
	/* a new index begins with red */
	out(r, 0x3c7, 2);
	assert_int_equal(in(r, 0x3c9), 6 * 7);
	out(r, 0x3c7, 1);
	assert_int_equal(in(r, 0x3c9), 3 * 7);
}

static void test_protection(void **state)
{
	struct rig *r = *state;

	out(r, 0x3c2, 1);
	for (uint8_t i = 0; i <= 0x18; i++)
		set(r, 0x3d4, i, 0x00);
	set(r, 0x3d4, 0x11, 0x80);
	for (uint8_t i = 0; i <= 0x18; i++) {
		if (i != 0x11)
			set(r, 0x3d4, i, 0xff);
	}
	for (uint8_t i = 0; i <= 7; i++)
		assert_int_equal(get(r, 0x3d4, i), i == 7 ? 0x10 : 0); /* bit 8 of line compare is free */
	assert_int_equal(get(r, 0x3d4, 0x10), 0xff);
	set(r, 0x3d4, 0x07, 0x00);
	assert_int_equal(get(r, 0x3d4, 0x07), 0x00);
	set(r, 0x3d4, 0x11, 0x00);
	set(r, 0x3d4, 0x07, 0x1f);
	assert_int_equal(get(r, 0x3d4, 0x07), 0x1f);
	set(r, 0x3d4, 0x00, 0x5f);
	assert_int_equal(get(r, 0x3d4, 0x00), 0x5f);
}

/* ---- the beam ------------------------------------------------------------------------------- */

/* What the tables of the IBM BIOS put into the registers that time a frame. */
struct frame {
	const char *name;
	uint8_t misc, clocking;
	uint8_t htotal, hshow, vtotal, overflow, retrace_start, retrace_end, vshow, mode;
};

static const struct frame frames[] = {
	{"mode 3", 0x67, 0x00, 0x5f, 0x4f, 0xbf, 0x1f, 0x9c, 0x8e, 0x8f, 0xa3},
	{"mode 1", 0x67, 0x08, 0x2d, 0x27, 0xbf, 0x1f, 0x9c, 0x8e, 0x8f, 0xa3},
	{"mode 12h", 0xe3, 0x01, 0x5f, 0x4f, 0x0b, 0x3e, 0xea, 0x8c, 0xdf, 0xe3},
	{"mode 13h", 0x63, 0x01, 0x5f, 0x4f, 0xbf, 0x1f, 0x9c, 0x8e, 0x8f, 0xa3},
	{"doubled lines", 0x63, 0x01, 0x5f, 0x4f, 0xde, 0x00, 0xce, 0x00, 0xc7, 0xa7},
	{"retrace over the end", 0x63, 0x01, 0x5f, 0x4f, 0x20, 0x00, 0x21, 0x06, 0x1f, 0xa3},
	{"retrace without end", 0x63, 0x01, 0x00, 0x00, 0x03, 0x00, 0x01, 0x0f, 0x01, 0xa3},
	{"retrace of 16 lines", 0x63, 0x01, 0x30, 0x40, 0x80, 0x00, 0x50, 0x00, 0x40, 0xa3},
	{"retrace never reached", 0x63, 0x01, 0x30, 0x20, 0x20, 0x00, 0x50, 0x00, 0x40, 0xa3},
	{"no sync", 0x67, 0x00, 0x5f, 0x4f, 0xbf, 0x1f, 0x9c, 0x8e, 0x8f, 0x23},
	{"shortest", 0x6b, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa3},
	{"longest", 0x67, 0x08, 0xff, 0xff, 0xff, 0xef, 0xff, 0x0f, 0xff, 0xa7},
};

static void set_frame(struct rig *r, const struct frame *f)
{
	out(r, 0x3c2, f->misc);
	set(r, 0x3c4, 0, 1); /* in reset, so that the frame begins with the release */
	set(r, 0x3c4, 1, f->clocking);
	set(r, 0x3d4, 0x11, 0);
	set(r, 0x3d4, 0x00, f->htotal);
	set(r, 0x3d4, 0x01, f->hshow);
	set(r, 0x3d4, 0x06, f->vtotal);
	set(r, 0x3d4, 0x07, f->overflow);
	set(r, 0x3d4, 0x10, f->retrace_start);
	set(r, 0x3d4, 0x12, f->vshow);
	set(r, 0x3d4, 0x17, f->mode);
	set(r, 0x3d4, 0x11, f->retrace_end);
	set(r, 0x3c4, 0, 3);
}

/*
 * The reference: clocks since the frame began in 128 bits, divided down as the chip does: dots, characters, lines. The
 * retrace flip-flop is carried through two frames line by line, and the second one is what is seen. (The very first
 * frame may differ where a retrace goes over the end; the tests look from the second on.)
 */
struct ref {
	uint64_t hz;
	uint64_t clocks_char, chars, show_chars, scans_line, lines, show_lines;
	bool in_retrace[1200];
};

static void ref_init(struct ref *ref, const struct frame *f)
{
	uint32_t start = f->retrace_start | (f->overflow & 0x04) << 6 | (f->overflow & 0x80) << 2;
	bool latch = false;

	*ref = (struct ref){.hz = (f->misc & 0x0c) == 0x04 ? 28322000 : 25175000};
	ref->clocks_char = (f->clocking & 1 ? 8 : 9) << (f->clocking >> 3 & 1);
	ref->chars = f->htotal + 5;
	ref->show_chars = f->hshow + 1;
	ref->scans_line = f->mode & 4 ? 2 : 1;
	ref->lines = (f->vtotal | (f->overflow & 0x01) << 8 | (f->overflow & 0x20) << 4) + 2;
	ref->show_lines = (f->vshow | (f->overflow & 0x02) << 7 | (f->overflow & 0x40) << 3) + 1;
	for (unsigned n = 0; n < 2; n++) {
		for (uint32_t line = 0; line < ref->lines; line++) {
			if ((line & 15) == (f->retrace_end & 15))
				latch = false;
			if (line == start)
				latch = true;
			ref->in_retrace[line] = latch && f->mode & 0x80;
		}
	}
}

static uint8_t ref_status(const struct ref *ref, uint64_t ns)
{
	unsigned __int128 clocks = (unsigned __int128)ns * ref->hz / 1000000000u;
	unsigned __int128 chars = clocks / ref->clocks_char;
	unsigned __int128 scans = chars / ref->chars;
	uint64_t column = (uint64_t)(chars % ref->chars), line = (uint64_t)(scans / ref->scans_line % ref->lines);

	return (ref->in_retrace[line] ? 8 : 0) | (column >= ref->show_chars || line >= ref->show_lines ? 1 : 0);
}

static void test_beam(void **state)
{
	static const uint64_t uptimes_ns[] = {
		50000000ull, 1000000000ull, 3600000000000ull, 86400000000000ull * 40, 86400000000000ull * 3652};
	uint64_t seed = 7;

	(void)state;
	for (unsigned i = 0; i < COUNT(frames); i++) {
		unsigned seen[16] = {0};
		struct ref ref;
		struct rig r;
		uint64_t start;

		rig_init(&r, ACCEL_OFF, false);
		clock_advance(&r.b.clock, clock_now(&r.b.clock) + board_random(&seed));
		ref_init(&ref, &frames[i]);
		set_frame(&r, &frames[i]);
		start = clock_now(&r.b.clock);
		for (unsigned u = 0; u < COUNT(uptimes_ns); u++) {
			uint64_t at = start + uptimes_ns[u];

			for (unsigned n = 0; n < 3000; n++) {
				uint8_t want, got;

				at += n % 3 == 0 ? 1 + board_random(&seed) % 100 : board_random(&seed) % 200000;
				clock_advance(&r.b.clock, at);
				want = ref_status(&ref, at - start);
				got = in(&r, 0x3da);
				if (got != want)
					fail_msg("%s, %lu ns: status 0x%02x, want 0x%02x", frames[i].name,
						(unsigned long)(at - start), got, want);
				seen[got]++;
			}
		}
		print_message(
			"%s: %u shown, %u blank, %u in retrace\n", frames[i].name, seen[0], seen[1], seen[8] + seen[9]);
		rig_done(&r);
	}
}

/* Mode 3 as IBM gives it: 31.469 kHz, 70.08 Hz, 720 of 900 dots, 400 of 449 lines, retrace in lines 412 and 413. */
static void test_mode3(void **state)
{
	const uint64_t hz = 28322000, frame = 900 * 449;
	struct rig *r = *state;
	uint64_t start;
	unsigned frames_seen = 0;
	bool before = false;

	set_frame(r, &frames[0]);
	start = clock_now(&r->b.clock);
	/* the first nanosecond of a dot is the ceiling of dot * 10^9 / hz */
	static const struct {
		uint64_t dot;
		uint8_t before, from;
	} edges[] = {
		{720, 0x00, 0x01},
		{900, 0x01, 0x00},
		{399 * 900 + 720, 0x00, 0x01},
		{400 * 900, 0x01, 0x01},
		{412 * 900, 0x01, 0x09},
		{414 * 900, 0x09, 0x01},
		{449 * 900, 0x01, 0x00},
	};

	for (uint64_t n = 0; n < 3; n++) {
		for (unsigned i = 0; i < COUNT(edges); i++) {
			uint64_t ns = ((n * frame + edges[i].dot) * 1000000000ull + hz - 1) / hz;

			clock_advance(&r->b.clock, start + ns - 1);
			assert_int_equal(in(r, 0x3da), edges[i].before);
			clock_advance(&r->b.clock, start + ns);
			assert_int_equal(in(r, 0x3da), edges[i].from);
		}
	}
	start = clock_now(&r->b.clock);
	for (uint64_t us = 0; us < 10000000; us += 20) {
		bool now;

		clock_advance(&r->b.clock, start + us * 1000);
		now = in(r, 0x3da) & 8;
		frames_seen += now && !before;
		before = now;
	}
	assert_in_range(frames_seen, 700, 702);
}

/* In reset nothing moves and nothing is shown. A write that changes nothing does not disturb the frame. */
static void test_reset_and_rewrite(void **state)
{
	struct rig *r = *state;
	struct ref ref;
	uint64_t start;

	set_frame(r, &frames[0]);
	ref_init(&ref, &frames[0]);
	start = clock_now(&r->b.clock);
	for (unsigned i = 0; i < 500; i++) {
		clock_advance(&r->b.clock, clock_now(&r->b.clock) + 77777);
		set(r, 0x3d4, 0x11, 0x8e);
		set(r, 0x3d4, 0x00, 0x77); /* protected */
		set(r, 0x3d4, 0x0e, (uint8_t)i);
		set(r, 0x3c4, 1, 0x00);
		set(r, 0x3c4, 0, 3);
		out(r, 0x3c2, 0x67);
		assert_int_equal(in(r, 0x3da), ref_status(&ref, clock_now(&r->b.clock) - start));
	}
	set(r, 0x3c4, 0, 1);
	for (unsigned i = 0; i < 500; i++) {
		clock_advance(&r->b.clock, clock_now(&r->b.clock) + 77777);
		assert_int_equal(in(r, 0x3da), 0x01);
	}
	set(r, 0x3c4, 0, 3);
	start = clock_now(&r->b.clock);
	assert_int_equal(in(r, 0x3da), 0x00);
	for (unsigned i = 0; i < 500; i++) {
		clock_advance(&r->b.clock, clock_now(&r->b.clock) + 77777);
		assert_int_equal(in(r, 0x3da), ref_status(&ref, clock_now(&r->b.clock) - start));
	}
}

/* Input status 0 bit 7: set by the beginning of a retrace, until CR11 bit 4 is 0. */
static void test_vertical_interrupt(void **state)
{
	const uint64_t line_ns = 31777, frame_ns = 14268800;
	struct rig *r = *state;
	uint64_t start;

	set_frame(r, &frames[0]);
	set(r, 0x3d4, 0x11, 0x0e);
	start = clock_now(&r->b.clock);
	clock_advance(&r->b.clock, start + 5 * frame_ns);
	assert_int_equal(in(r, 0x3c2), 0x10); /* disarmed */
	set(r, 0x3d4, 0x11, 0x1e);
	assert_int_equal(in(r, 0x3c2), 0x10); /* those that are over do not count */
	clock_advance(&r->b.clock, start + 5 * frame_ns + 410 * line_ns);
	assert_int_equal(in(r, 0x3c2), 0x10);
	clock_advance(&r->b.clock, start + 5 * frame_ns + 413 * line_ns);
	assert_int_equal(in(r, 0x3c2), 0x90);
	clock_advance(&r->b.clock, start + 5 * frame_ns + 440 * line_ns);
	assert_int_equal(in(r, 0x3c2), 0x90); /* it stays after the retrace */
	set(r, 0x3c4, 0, 1);
	set(r, 0x3c4, 0, 3);
	assert_int_equal(in(r, 0x3c2), 0x90); /* and over a new frame */
	set(r, 0x3d4, 0x11, 0x0e);
	assert_int_equal(in(r, 0x3c2), 0x10);
	set(r, 0x3d4, 0x11, 0x1e);
	assert_int_equal(in(r, 0x3c2), 0x10);
	clock_advance(&r->b.clock, clock_now(&r->b.clock) + frame_ns);
	assert_int_equal(in(r, 0x3c2), 0x90);
}

/* What a boot loader leaves for a kernel: mode 3, and text is seen. */
static void test_text_mode(void **state)
{
	static const uint8_t crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
		0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
	struct ref ref;
	struct rig r;

	(void)state;
	rig_init(&r, ACCEL_OFF, true);
	for (unsigned round = 0; round < 2; round++) {
		for (uint8_t i = 0; i < COUNT(crtc); i++)
			assert_int_equal(get(&r, 0x3d4, i), crtc[i]);
		assert_int_equal(in(&r, 0x3cc), 0x67);
		out(&r, 0x3c7, 6); /* brown is the one with half of green */
		assert_int_equal(in(&r, 0x3c9), 0x2a);
		out(&r, 0x3c7, 0x14);
		assert_int_equal(in(&r, 0x3c9), 0x2a);
		assert_int_equal(in(&r, 0x3c9), 0x15);
		assert_int_equal(in(&r, 0x3c9), 0x00);
		board_reset(r.dev);
	}
	ref_init(&ref, &frames[0]);
	clock_advance(&r.b.clock, clock_now(&r.b.clock) + 123456789);
	assert_int_equal(in(&r, 0x3da), ref_status(&ref, 123456789));
	rig_done(&r);
}

/* ---- the programs --------------------------------------------------------------------------- */

static const uint16_t ports[] = {0x3c0, 0x3c0, 0x3c0, 0x3c1, 0x3c2, 0x3c4, 0x3c5, 0x3c5, 0x3c6, 0x3c7, 0x3c8, 0x3c9,
	0x3c9, 0x3c9, 0x3ca, 0x3cc, 0x3ce, 0x3cf, 0x3cf, 0x3d4, 0x3d5, 0x3d5, 0x3d5, 0x3da, 0x3da, 0x3b4, 0x3b5, 0x3ba};

/* The same on all three: accesses of all sizes to ports and memory, time, resets; no divergence in check mode. */
static void test_programs(void **state)
{
	struct rig r[3];
	uint64_t seed = 1;
	struct accel_counters c;

	(void)state;
	rig_init(&r[0], ACCEL_OFF, true);
	rig_init(&r[1], ACCEL_ON, true);
	rig_init(&r[2], ACCEL_CHECK, true);
	for (unsigned n = 0; n < 150000; n++) {
		uint16_t port = ports[board_random(&seed) % COUNT(ports)];
		bool is_memory = board_random(&seed) % 8 == 0, is_write = board_random(&seed) % 2;
		uint64_t addr = is_memory ? 0xa0000 + board_random(&seed) % 0x20000 : port;
		unsigned size = board_random(&seed) % 8 ? 1 : 1u << board_random(&seed) % 3;
		uint64_t value = board_random(&seed), want, step = board_random(&seed) % 30000;

		if (port == 0x3c2 && is_write)
			value |= board_random(&seed) % 16 != 0; /* mostly colour */
		if ((port & 1) == 0 && board_random(&seed) % 2)
			value %= 25;
		addr &= ~(uint64_t)(size - 1);
		want = board_io(&r[0].b, is_memory ? IO_MMIO : IO_PIO, addr, size, is_write, value);
		for (unsigned i = 1; i < 3; i++) {
			uint64_t got = board_io(&r[i].b, is_memory ? IO_MMIO : IO_PIO, addr, size, is_write, value);

			if (got != want)
				fail_msg("access %u: %s 0x%lx size %u: 0x%lx, without programs 0x%lx", n,
					is_write ? "write" : "read", (unsigned long)addr, size, (unsigned long)got,
					(unsigned long)want);
		}
		assert_memory_equal((uint8_t *)device_page(r[0].dev) + 16, (uint8_t *)device_page(r[1].dev) + 16,
			r[0].dev->page ? ((struct hr_page *)device_page(r[0].dev))->size - 16 : 0);
		for (unsigned i = 0; i < 3; i++)
			clock_advance(&r[i].b.clock, clock_now(&r[i].b.clock) + step);
		if (n % 20011 == 20010) {
			for (unsigned i = 0; i < 3; i++)
				board_reset(r[i].dev);
		}
	}
	assert_int_equal(bus_check_divergences(&r[2].b.bus), 0);
	for (unsigned i = 0; i < COUNT(programs); i++) {
		accel_slot_counters(bus_find_name(&r[1].b.bus, programs[i][0])->slot, &c);
		print_message("%s: %lu answered, %lu punted\n", programs[i][0], (unsigned long)c.answered,
			(unsigned long)c.punted);
		assert_true(c.answered > 5000);
	}
	for (unsigned i = 0; i < 3; i++)
		rig_done(&r[i]);
}

/* Does a write of this size at this port lie in a zone of deferred writes? */
static bool is_deferred(struct rig *r, uint16_t port, unsigned size)
{
	const struct range *range = bus_find(&r->b.bus, IO_PIO, port);

	for (const struct range_zone *z = range ? range->deferred : NULL; z && z->len; z++) {
		uint64_t offset = port - range->base;

		if (offset >= z->offset && offset + size <= z->offset + z->len)
			return true;
	}
	return false;
}

/*
 * Deferred writes: a machine where they arrive at once, and one where they wait until something else is accessed and
 * then all come together, later. No answer tells them apart, and no time passes differently.
 */
static void test_deferred(void **state)
{
	static struct {
		uint16_t port;
		uint8_t size;
		uint32_t value;
	} queue[64];
	unsigned waiting = 0, deferred = 0;
	struct rig now, late;
	uint64_t seed = 5;

	(void)state;
	rig_init(&now, ACCEL_ON, true);
	rig_init(&late, ACCEL_ON, true);
	for (unsigned n = 0; n < 200000; n++) {
		uint16_t port = ports[board_random(&seed) % COUNT(ports)];
		unsigned size = board_random(&seed) % 4 ? 1 : 1u << board_random(&seed) % 3;
		bool is_write = board_random(&seed) % 4 != 0;
		uint32_t value = board_random(&seed);
		uint64_t want;

		if (port == 0x3c2)
			value |= 1;
		want = board_io(&now.b, IO_PIO, port, size, is_write, value);
		if (is_write && waiting < COUNT(queue) && is_deferred(&late, port, size)) {
			queue[waiting].port = port;
			queue[waiting].size = (uint8_t)size;
			queue[waiting++].value = value;
			deferred++;
		} else {
			for (unsigned i = 0; i < waiting; i++)
				board_io(&late.b, IO_PIO, queue[i].port, queue[i].size, true, queue[i].value);
			waiting = 0;
			if (board_io(&late.b, IO_PIO, port, size, is_write, value) != want)
				fail_msg("access %u: port 0x%x", n, port);
			assert_memory_equal((uint8_t *)device_page(now.dev) + 16, (uint8_t *)device_page(late.dev) + 16,
				((struct hr_page *)device_page(now.dev))->size - 16);
		}
		clock_advance(&now.b.clock, clock_now(&now.b.clock) + n % 7 * 1000);
		clock_advance(&late.b.clock, clock_now(&late.b.clock) + n % 7 * 1000);
	}
	assert_true(deferred > 30000);
	rig_done(&now);
	rig_done(&late);
}

/* What guests do all day is answered: no punt at all. */
static void test_answered(void **state)
{
	struct accel_counters c;
	struct rig r;

	(void)state;
	rig_init(&r, ACCEL_ON, true);
	for (unsigned n = 0; n < 100; n++) {
		set(&r, 0x3d4, 0x0e, (uint8_t)n); /* the cursor */
		set(&r, 0x3d4, 0x0f, (uint8_t)n);
		get(&r, 0x3d4, 0x11);
		attr_set(&r, 0x33, 0);
		attr_get(&r, 0x10);
		out(&r, 0x3c8, (uint8_t)n);
		out(&r, 0x3c9, 1);
		out(&r, 0x3c9, 2);
		out(&r, 0x3c9, 3);
		out(&r, 0x3c7, (uint8_t)n);
		assert_int_equal(in(&r, 0x3c9), 1);
		assert_int_equal(in(&r, 0x3c9), 2);
		assert_int_equal(in(&r, 0x3c9), 3);
		get(&r, 0x3c4, 2);
		get(&r, 0x3ce, 8);
		in(&r, 0x3cc);
		in(&r, 0x3c2);
	}
	for (unsigned i = 0; i < COUNT(programs); i++) {
		accel_slot_counters(bus_find_name(&r.b.bus, programs[i][0])->slot, &c);
		assert_true(c.answered > 0);
		assert_int_equal(c.punted, 0);
	}
	rig_done(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_bits),
		T(test_words),
		T(test_ports),
		T(test_flip_flop),
		T(test_dac),
		T(test_protection),
		cmocka_unit_test(test_beam),
		T(test_mode3),
		T(test_reset_and_rewrite),
		T(test_vertical_interrupt),
		cmocka_unit_test(test_text_mode),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_answered),
	};

	return cmocka_run_group_tests_name("vga", tests, NULL, NULL);
}
