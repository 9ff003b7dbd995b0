// SPDX-License-Identifier: BSD-2-Clause
/*
 * equiv_gen.c: thinks of what a guest might do to one device: any access at all in and around its ranges,
 * and recipes, one function a device, that bring it to states which single random accesses hardly reach.
 *
 * Time passes in small steps mostly, and in large ones where no timer is near: a periodic timer of a few
 * ticks would otherwise fire millions of times. All comes from the seed and the state of the model.
 */
#include <string.h>

#include "tests/fuzz/equiv.h"

uint64_t gen_random(uint64_t *seed)
{
	uint64_t x = *seed += 0x9e3779b97f4a7c15u; /* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static uint32_t upto(struct gen *g, uint32_t count)
{
	return (uint32_t)(gen_random(&g->seed) % count);
}

static bool one_in(struct gen *g, uint32_t count)
{
	return upto(g, count) == 0;
}

/* ---- the queue ---- */

static struct equiv_op *push(struct gen *g)
{
	static struct equiv_op scratch;
	const unsigned size = sizeof(g->queue) / sizeof(g->queue[0]);
	struct equiv_op *op;

	if (g->last == size)
		return &scratch; /* a recipe that is too long is cut */
	op = &g->queue[g->last++];
	*op = (struct equiv_op){.kind = EQUIV_ACCESS};
	return op;
}

static void access_to(struct gen *g, enum io_bus bus, uint64_t addr, uint8_t size, bool is_write, uint64_t value)
{
	struct equiv_op *op = push(g);

	op->bus = (uint8_t)bus;
	op->addr = addr;
	op->size = size;
	op->is_write = is_write;
	op->value = is_write ? hr_mask(value, size) : 0;
}

static void out8(struct gen *g, uint16_t port, uint32_t value)
{
	access_to(g, IO_PIO, port, 1, true, value);
}

static void in8(struct gen *g, uint16_t port)
{
	access_to(g, IO_PIO, port, 1, false, 0);
}

static void string_at(struct gen *g, uint16_t port, uint8_t size, uint32_t count, bool is_write)
{
	struct equiv_op *op;

	access_to(g, IO_PIO, port, size, is_write, gen_random(&g->seed));
	op = &g->queue[g->last - 1];
	op->count = (uint16_t)(count < EQUIV_STRING_MAX ? count : EQUIV_STRING_MAX);
}

static void wait_ns(struct gen *g, uint64_t ns)
{
	struct equiv_op *op = push(g);

	op->kind = EQUIV_ACK;
	op->step_ns = ns;
}

/* ---- any access ---- */

static uint64_t any_value(struct gen *g)
{
	static const uint8_t likely[] = {
		0, 1, 2, 3, 4, 6, 8, 0x0a, 0x0b, 0x10, 0x11, 0x20, 0x40, 0x60, 0x7f, 0x80, 0xc0, 0xff};

	switch (upto(g, 4)) {
	case 0:
		return gen_random(&g->seed);
	case 1:
		return 1ull << upto(g, 64);
	default:
		return likely[upto(g, sizeof(likely))];
	}
}

static uint8_t any_size(struct gen *g, const struct equiv_range *r)
{
	if (one_in(g, 8))
		return (uint8_t)(1u << upto(g, 4));
	return (uint8_t)(1u << upto(g, (uint32_t)__builtin_ctz(r->width) + 1));
}

static void any_access(struct gen *g)
{
	const struct equiv_range *r = &g->ranges[upto(g, g->range_count)];
	uint64_t offset = r->start_count && !one_in(g, 4) ? r->starts[upto(g, r->start_count)] : upto(g, r->len);
	uint8_t size = any_size(g, r);

	if (one_in(g, 64))
		offset += upto(g, 4) - 2u; /* around it */
	if (r->bus == IO_MMIO && !one_in(g, 16))
		offset &= ~(uint64_t)(size - 1);
	if (r->bus == IO_PIO)
		offset = (r->base + offset) % 0x10000 - r->base;
	if (r->bus == IO_PIO && size <= 4 && one_in(g, 16))
		string_at(g, (uint16_t)(r->base + offset), size, 1 + upto(g, 40), one_in(g, 2));
	else
		access_to(g, r->bus, r->base + offset, size, one_in(g, 2), any_value(g));
}

/* ---- recipes ---- */

static void recipe_ata(struct gen *g)
{
	static const uint8_t commands[] = {0x20, 0x20, 0x21, 0x24, 0x30, 0x30, 0x34, 0xc4, 0xc5, 0xc6, 0xec, 0x90, 0xe7,
		0xef, 0x40, 0x10, 0x91, 0x29, 0x39, 0xa1, 0xf8, 0x27};
	uint8_t command = commands[upto(g, sizeof(commands))];
	uint32_t words;

	if (one_in(g, 6))
		out8(g, 0x3f6, upto(g, 8) == 0 ? 4 : upto(g, 2) * 2);
	if (one_in(g, 6))
		out8(g, 0x3f6, one_in(g, 2) ? 0x80 : 0);
	if (command == 0xc6)
		out8(g, 0x1f2, 1u << upto(g, 6));
	else
		out8(g, 0x1f2, one_in(g, 8) ? upto(g, 256) : upto(g, 4));
	out8(g, 0x1f3, one_in(g, 16) ? upto(g, 256) : upto(g, 250));
	out8(g, 0x1f4, one_in(g, 20) ? upto(g, 256) : 0);
	out8(g, 0x1f5, one_in(g, 20) ? upto(g, 256) : 0);
	out8(g, 0x1f6, one_in(g, 10) ? upto(g, 256) : 0xe0);
	if (one_in(g, 4))
		in8(g, (uint16_t)(0x1f1 + upto(g, 7)));
	out8(g, 0x1f7, command);
	for (unsigned sectors = 1 + upto(g, 4); sectors > 0; sectors--) {
		if (one_in(g, 3))
			wait_ns(g, upto(g, 2000000));
		if (one_in(g, 3))
			in8(g, 0x3f6);
		in8(g, 0x1f7);
		words = 256 - (one_in(g, 4) ? upto(g, 256) : 0) + (one_in(g, 8) ? upto(g, 256) : 0);
		if (one_in(g, 4)) {
			for (unsigned i = 0; i < 8; i++)
				access_to(g, IO_PIO, 0x1f0, (uint8_t)(one_in(g, 4) ? 4 : 2), command & 0x10,
					any_value(g));
			words -= words > 8 ? 8 : 0;
		}
		if (one_in(g, 4))
			string_at(g, 0x1f0, 4, words / 2, command & 0x10 && command != 0xc4);
		else
			string_at(g, 0x1f0, 2, words, command & 0x10 && command != 0xc4);
	}
	in8(g, one_in(g, 2) ? 0x1f7 : 0x3f6);
}

static void recipe_i8254(struct gen *g)
{
	unsigned counter = upto(g, 3), access = 1 + upto(g, 3), mode = upto(g, 8);

	out8(g, 0x43, counter << 6 | access << 4 | mode << 1 | (one_in(g, 6) ? 1 : 0));
	if (access & 1)
		out8(g, (uint16_t)(0x40 + counter), upto(g, 256));
	if (access & 2)
		out8(g, (uint16_t)(0x40 + counter), upto(g, 256));
	for (unsigned n = upto(g, 12); n > 0; n--) {
		switch (upto(g, 6)) {
		case 0:
			out8(g, 0x43, upto(g, 3) << 6); /* latch */
			break;
		case 1:
			out8(g, 0x43, 0xc0 | upto(g, 64)); /* read-back */
			break;
		case 2:
			out8(g, 0x61, upto(g, 4));
			break;
		case 3:
			in8(g, 0x61);
			break;
		default:
			in8(g, (uint16_t)(0x40 + upto(g, 3)));
			break;
		}
	}
}

static void recipe_hpet(struct gen *g)
{
	const uint64_t base = 0xfed00000, timer = base + 0x100 + 0x20 * upto(g, 4);
	uint8_t size = one_in(g, 2) ? 8 : 4;

	access_to(g, IO_MMIO, base + 0x10, 4, true, upto(g, 4));
	access_to(g, IO_MMIO, timer, size, true, upto(g, 0x200) << 1 | (one_in(g, 4) ? 0x4000 : 0));
	if (one_in(g, 4))
		access_to(g, IO_MMIO, timer + 16, 8, true,
			one_in(g, 4) ? any_value(g) : 0xfee0000000000000 | upto(g, 256));
	if (one_in(g, 3))
		access_to(
			g, IO_MMIO, base + 0xf0, size, true, one_in(g, 4) ? any_value(g) : 0xffffff00u + upto(g, 256));
	/* periods below a microsecond would be nothing but timers */
	access_to(g, IO_MMIO, timer + 8, size, true, one_in(g, 4) ? gen_random(&g->seed) : 1000 + upto(g, 100000));
	if (one_in(g, 2))
		access_to(g, IO_MMIO, timer + 8, size, true, 1000 + upto(g, 100000));
	for (unsigned n = upto(g, 10); n > 0; n--)
		access_to(g, IO_MMIO, one_in(g, 2) ? base + 0xf0 : timer + 8 * upto(g, 2), one_in(g, 2) ? 8 : 4, false,
			0);
	if (one_in(g, 3))
		access_to(g, IO_MMIO, base + 0x20, 4, true, upto(g, 8));
}

static void recipe_pm(struct gen *g)
{
	/* base 0x600, where a BIOS puts it; on or off */
	access_to(g, IO_PIO, 0xcf8, 4, true, 0x80000b40);
	access_to(g, IO_PIO, 0xcfc, 4, true, one_in(g, 8) ? any_value(g) : 0x601);
	access_to(g, IO_PIO, 0xcf8, 4, true, 0x80000b80);
	access_to(g, IO_PIO, 0xcfc, 1, true, one_in(g, 8) ? 0 : 1);
	for (unsigned n = 4 + upto(g, 40); n > 0; n--) {
		uint8_t size = (uint8_t)(1u << upto(g, 3));
		uint16_t port = (uint16_t)(0x600 + (one_in(g, 2) ? 8 : upto(g, 12)));

		if (one_in(g, 3))
			access_to(g, IO_PIO, (uint16_t)(0x600 + upto(g, 6)), size, true,
				one_in(g, 2) ? upto(g, 0x10000) & 0xdfff : 1);
		else
			access_to(g, IO_PIO, port, size, false, 0);
		if (one_in(g, 8))
			out8(g, 0xb2, 0xf0 + upto(g, 2));
	}
}

static void recipe_mc146818(struct gen *g)
{
	static const uint8_t registers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x32, 0x0e, 0x7f};

	for (unsigned n = 1 + upto(g, 12); n > 0; n--) {
		uint8_t index = registers[upto(g, sizeof(registers))];

		out8(g, 0x70, index | (one_in(g, 8) ? 0x80 : 0));
		if (!one_in(g, 3)) {
			in8(g, 0x71);
			continue;
		}
		switch (index) {
		case 10: /* rate: rarely so fast that there is nothing else */
			out8(g, 0x71,
				(one_in(g, 4) ? upto(g, 8) << 4 : 0x20) |
					(one_in(g, 8) ? upto(g, 16) : 6 + upto(g, 10)));
			break;
		case 11:
			out8(g, 0x71, one_in(g, 2) ? upto(g, 256) : upto(g, 8));
			break;
		case 1:
		case 3:
		case 5:
			out8(g, 0x71, one_in(g, 3) ? 0xc0 | upto(g, 64) : upto(g, 0x60));
			break;
		default:
			out8(g, 0x71, one_in(g, 4) ? upto(g, 256) : upto(g, 0x60));
			break;
		}
	}
	if (one_in(g, 4)) {
		/* just before, at and after a change of the second */
		uint64_t to_second = 1000000000u - world_now(g->world) % 1000000000u;

		wait_ns(g, to_second > 300000 ? to_second - upto(g, 300000) : to_second);
		for (unsigned n = 0; n < 6; n++) {
			out8(g, 0x70, upto(g, 13));
			in8(g, 0x71);
			wait_ns(g, upto(g, 100000));
		}
	}
}

static void recipe_i16550(struct gen *g)
{
	const uint16_t base = 0x3f8;

	switch (upto(g, 5)) {
	case 0: /* divisor and line */
		out8(g, base + 3, 0x80 | upto(g, 64));
		out8(g, base, upto(g, 256));
		out8(g, base + 1, one_in(g, 4) ? upto(g, 256) : 0);
		in8(g, base + upto(g, 2));
		out8(g, base + 3, upto(g, 128));
		break;
	case 1:
		out8(g, base + 2, upto(g, 256));
		out8(g, base + 1, upto(g, 16));
		break;
	case 2: /* loop-back: what is sent comes in */
		out8(g, base + 4, 0x10 | upto(g, 16));
		for (unsigned n = upto(g, 20); n > 0; n--)
			out8(g, base, upto(g, 256));
		break;
	case 3:
		out8(g, base + 4, upto(g, 32));
		break;
	default:
		for (unsigned n = upto(g, 10); n > 0; n--)
			in8(g, (uint16_t)(base + upto(g, 8)));
		break;
	}
}

static void recipe_i8259(struct gen *g)
{
	uint16_t port = one_in(g, 2) ? 0x20 : 0xa0;

	switch (upto(g, 6)) {
	case 0:
		out8(g, port, 0x10 | upto(g, 16));
		out8(g, port + 1, upto(g, 256));
		out8(g, port + 1, port == 0x20 ? 4 : 2);
		out8(g, port + 1, upto(g, 32));
		break;
	case 1:
		out8(g, port + 1, upto(g, 256));
		break;
	case 2: /* EOIs and rotations */
		out8(g, port, upto(g, 8) << 5 | upto(g, 8));
		break;
	case 3: /* OCW3: IRR, ISR, poll, special mask */
		out8(g, port, 8 | upto(g, 8) | upto(g, 4) << 5);
		in8(g, port);
		break;
	case 4: /* somebody to interrupt: the timer, soon */
		out8(g, 0x43, 0x34);
		out8(g, 0x40, upto(g, 256));
		out8(g, 0x40, 8);
		break;
	default:
		out8(g, (uint16_t)(0x4d0 + upto(g, 2)), upto(g, 256));
		in8(g, (uint16_t)(0x4d0 + upto(g, 2)));
		break;
	}
	wait_ns(g, upto(g, 3000000));
}

static void recipe_ioapic(struct gen *g)
{
	const uint64_t base = 0xfec00000;
	unsigned pins[] = {2, 2, 8, 9, 10, 11, 16, 23}, pin = one_in(g, 4) ? upto(g, 24) : pins[upto(g, 8)];
	uint8_t size = one_in(g, 8) ? (uint8_t)(1u << upto(g, 4)) : 4;

	switch (upto(g, 6)) {
	case 0: /* an entry */
	case 1:
		access_to(g, IO_MMIO, base, 4, true, 0x11 + 2 * pin);
		access_to(g, IO_MMIO, base + 16, 4, true, any_value(g));
		access_to(g, IO_MMIO, base, one_in(g, 4) ? 1 : 4, true, 0x10 + 2 * pin);
		access_to(g, IO_MMIO, base + 16, 4, true,
			one_in(g, 8) ? any_value(g) : (0x40 + pin) | upto(g, 2) << 15 | (one_in(g, 4) ? 0x10000 : 0));
		break;
	case 2: /* as kernels look at it */
		for (unsigned n = 1 + upto(g, 12); n > 0; n--) {
			access_to(g, IO_MMIO, base, size <= 4 ? size : 4, true,
				one_in(g, 4) ? upto(g, 256) : upto(g, 0x40));
			access_to(g, IO_MMIO, base + 16, size, false, 0);
		}
		break;
	case 3: /* somebody to interrupt: the timer at input 2, soon */
		out8(g, 0x43, 0x34);
		out8(g, 0x40, upto(g, 256));
		out8(g, 0x40, 8);
		break;
	case 4: /* an HPET timer at one of its inputs, by edge or level */
		access_to(g, IO_MMIO, 0xfed00010, 4, true, 1);
		access_to(g, IO_MMIO, 0xfed00108, 4, true, upto(g, 1000000));
		access_to(g, IO_MMIO, 0xfed00100, 4, true, 4 | upto(g, 2) << 1 | pin << 9 | upto(g, 2) << 3);
		access_to(g, IO_MMIO, 0xfed00020, 4, true, upto(g, 8));
		break;
	default: /* an index on its own, in front of whatever comes */
		access_to(g, IO_MMIO, base + (one_in(g, 8) ? upto(g, 4) : 0), 1, true, upto(g, 256));
		break;
	}
	wait_ns(g, upto(g, 3000000));
}

static void recipe_i8042(struct gen *g)
{
	static const uint8_t commands[] = {
		0x20, 0x60, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xad, 0xae, 0xc0, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xf0};
	static const uint8_t keyboard[] = {
		0xed, 0xee, 0xf0, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xff, 0xe6, 0xe8, 0xe9, 0xeb, 0xea};

	if (one_in(g, 2)) {
		out8(g, 0x64, commands[upto(g, sizeof(commands))]);
		in8(g, 0x64);
	}
	if (one_in(g, 2))
		out8(g, 0x60, one_in(g, 2) ? keyboard[upto(g, sizeof(keyboard))] : upto(g, 256));
	for (unsigned n = upto(g, 5); n > 0; n--) {
		in8(g, 0x64);
		in8(g, 0x60);
	}
}

static void recipe_pci(struct gen *g)
{
	for (unsigned n = 1 + upto(g, 8); n > 0; n--) {
		uint32_t function = one_in(g, 8) ? upto(g, 256) : upto(g, 4) | (upto(g, 4) << 3);
		uint32_t reg = upto(g, 64) * 4;
		uint8_t size = (uint8_t)(1u << upto(g, 3));
		uint16_t port = (uint16_t)(0xcfc + (upto(g, 4) & ~(size - 1u)));

		access_to(g, IO_PIO, 0xcf8, 4, true,
			0x80000000u | (one_in(g, 20) ? upto(g, 256) << 16 : 0) | function << 8 | reg);
		if (one_in(g, 8))
			access_to(g, IO_PIO, 0xcf8 + upto(g, 4), (uint8_t)(1u << upto(g, 3)), one_in(g, 2),
				one_in(g, 8) ? any_value(g) : 0);
		access_to(g, IO_PIO, port, size, one_in(g, 4), one_in(g, 2) ? any_value(g) : ~0ull);
	}
}

/* A mode as a BIOS sets it, text or 16 colours: the beam moves, memory is there. */
static void vga_mode(struct gen *g, bool is_text)
{
	static const uint8_t crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
		0x00, 0x00, 0x00, 0x9c, 0x0e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
	static const uint8_t gfx[] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff};

	out8(g, 0x3c2, 0x63 | upto(g, 2) << 2);
	access_to(g, IO_PIO, 0x3c4, 2, true, 0x0100);
	access_to(g, IO_PIO, 0x3c4, 2, true, 0x01 | upto(g, 2) << 8);
	access_to(g, IO_PIO, 0x3c4, 2, true, is_text ? 0x0302 : 0x0f02);
	access_to(g, IO_PIO, 0x3c4, 2, true, is_text ? 0x0204 : 0x0604);
	access_to(g, IO_PIO, 0x3d4, 2, true, 0x0011);
	for (unsigned i = 0; i < sizeof(crtc); i++)
		access_to(g, IO_PIO, 0x3d4, 2, true, i | (uint32_t)crtc[i] << 8);
	for (unsigned i = 0; i < sizeof(gfx); i++) {
		uint32_t value = is_text || (i != 5 && i != 6) ? gfx[i] : i == 5 ? upto(g, 4) : 5;

		access_to(g, IO_PIO, 0x3ce, 2, true, i | value << 8);
	}
	access_to(g, IO_PIO, 0x3c4, 2, true, 0x0300);
	for (unsigned n = 0; n < 20; n++) {
		if (one_in(g, 4)) /* what a game does */
			access_to(g, IO_PIO, one_in(g, 2) ? 0x3ce : 0x3c4, 2, true, upto(g, 9) | upto(g, 256) << 8);
		if (one_in(g, 2))
			access_to(g, IO_MMIO, (is_text ? 0xb8000 : 0xa0000) + 4 * upto(g, 8), 4, one_in(g, 2),
				gen_random(&g->seed));
		in8(g, one_in(g, 4) ? 0x3c2 : 0x3da);
		wait_ns(g, upto(g, one_in(g, 4) ? 20000000 : 40000));
	}
	if (one_in(g, 2))
		access_to(g, IO_PIO, 0x3d4, 2, true, 0x1e11);
}

static void recipe_vga(struct gen *g)
{
	static const uint16_t pairs[] = {0x3c4, 0x3ce, 0x3d4, 0x3b4};
	uint16_t port = pairs[upto(g, 4)];
	unsigned index = upto(g, one_in(g, 8) ? 256 : 25);

	switch (upto(g, 7)) {
	case 0:
		out8(g, port, index);
		out8(g, port + 1, upto(g, 256));
		break;
	case 1:
		access_to(g, IO_PIO, port, 2, true, index | upto(g, 256) << 8);
		break;
	case 2: /* attribute controller */
		in8(g, one_in(g, 4) ? 0x3ba : 0x3da);
		out8(g, 0x3c0, upto(g, 64));
		if (one_in(g, 2))
			out8(g, 0x3c0, upto(g, 256));
		in8(g, (uint16_t)(0x3c0 + upto(g, 2)));
		break;
	case 3: /* DAC */
		out8(g, (uint16_t)(0x3c7 + upto(g, 2)), upto(g, 256));
		for (unsigned n = upto(g, 8); n > 0; n--)
			access_to(g, IO_PIO, 0x3c9, 1, one_in(g, 2), upto(g, 256));
		in8(g, (uint16_t)(0x3c6 + upto(g, 3)));
		break;
	case 4:
		vga_mode(g, one_in(g, 2));
		break;
	case 5:
		out8(g, 0x3c2, upto(g, 256));
		in8(g, 0x3cc);
		break;
	default:
		for (unsigned n = upto(g, 12); n > 0; n--)
			in8(g, one_in(g, 4) ? 0x3ba : 0x3da);
		break;
	}
}

static const struct {
	const char *dev;
	void (*recipe)(struct gen *g);
} recipes[] = {
	{"ata", recipe_ata},
	{"i8254", recipe_i8254},
	{"hpet", recipe_hpet},
	{"piix4_pm", recipe_pm},
	{"mc146818", recipe_mc146818},
	{"i16550", recipe_i16550},
	{"i8259", recipe_i8259},
	{"ioapic", recipe_ioapic},
	{"i8042", recipe_i8042},
	{"pci", recipe_pci},
	{"vga", recipe_vga},
};

/* ---- the sequence ---- */

void gen_init(struct gen *g, struct world *w, const char *dev, uint64_t seed)
{
	memset(g, 0, sizeof(*g));
	g->seed = seed;
	g->dev = dev;
	g->world = w;
	while (g->range_count < GEN_MAX_RANGES && world_range(w, dev, g->range_count, &g->ranges[g->range_count]))
		g->range_count++;
	for (unsigned i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
		if (!strcmp(recipes[i].dev, dev))
			g->recipe = recipes[i].recipe;
	}
}

void gen_start(struct gen *g)
{
	g->first = g->last = 0;
	if (!one_in(g, 2)) {
		/* interrupt controllers as a BIOS leaves them, with more or less masked */
		for (unsigned chip = 0; chip < 2; chip++) {
			uint16_t port = chip ? 0xa0 : 0x20;

			out8(g, port, 0x11);
			out8(g, port + 1, chip ? 0x28 : 0x20);
			out8(g, port + 1, chip ? 2 : 4);
			out8(g, port + 1, 1);
			out8(g, port + 1, one_in(g, 3) ? upto(g, 256) : 0);
		}
	}
	if (g->recipe)
		g->recipe(g);
}

/* How long before this op. */
static uint64_t any_step(struct gen *g)
{
	uint64_t quiet;

	switch (upto(g, 48)) {
	case 0:
		return upto(g, 200000);
	case 1: /* to just before, at or after the next timer */
		quiet = world_quiet(g->world);
		return quiet < 2000000000u ? quiet + upto(g, 3) - (quiet > 0) : upto(g, 1000);
	case 2:
		quiet = world_quiet(g->world);
		return quiet > 1000000 ? gen_random(&g->seed) % (quiet < 3000000000u ? quiet : 3000000000u) : 0;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		return upto(g, 3000);
	default:
		return upto(g, 4) ? 0 : upto(g, 300);
	}
}

void gen_next(struct gen *g, struct equiv_op *out)
{
	if (g->first == g->last) {
		g->first = g->last = 0;
		if (g->recipe && one_in(g, 3))
			g->recipe(g);
		if (one_in(g, 40))
			push(g)->kind = EQUIV_ACK;
		if (g->first == g->last)
			any_access(g);
	}
	*out = g->queue[g->first++];
	if (!out->step_ns)
		out->step_ns = any_step(g);
}
