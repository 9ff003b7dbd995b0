/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vga_mem.c: the CPU's way to the four planes ([VGA] Graphics Controller, read and write modes): latches, set/reset,
 * rotation, the logical functions, bit mask, colour compare, odd/even and chain-4 addressing.
 * Every address is cut to the size of a plane, so whatever a guest programs stays inside.
 */
#include "devices/vga_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int vga_mem_init(struct vga_memory *m)
{
	memset(m, 0, sizeof(*m));
	/* mmap, since KVM slots want whole pages */
	m->ram = mmap(NULL, VGA_RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->ram == MAP_FAILED) {
		m->ram = NULL;
		return -errno;
	}
	return 0;
}

void vga_mem_destroy(struct vga_memory *m)
{
	if (m->ram)
		munmap(m->ram, VGA_RAM_BYTES);
	m->ram = NULL;
}

void vga_mode_get(const struct vga_state *s, struct vga_mode *mode)
{
	static const struct {
		uint32_t base, bytes;
	} maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
	uint8_t misc = HR_LOAD(s->misc), memory = HR_LOAD(s->seq[VGA_SEQ_MEMORY]), how = HR_LOAD(s->gfx[VGA_GFX_MODE]);
	uint8_t function = HR_LOAD(s->gfx[VGA_GFX_FUNCTION]), gfx_misc = HR_LOAD(s->gfx[VGA_GFX_MISC]);
	unsigned map = gfx_misc >> VGA_GFXMISC_MAP_SHIFT & 3;

	*mode = (struct vga_mode){
		.base = maps[map].base,
		.bytes = misc & VGA_MISC_RAM ? maps[map].bytes : 0,
		.map_mask = HR_LOAD(s->seq[VGA_SEQ_MAP_MASK]),
		.set_reset = HR_LOAD(s->gfx[VGA_GFX_SET_RESET]),
		.enable_set_reset = HR_LOAD(s->gfx[VGA_GFX_ENABLE_SET_RESET]),
		.compare = HR_LOAD(s->gfx[VGA_GFX_COMPARE]),
		.dont_care = HR_LOAD(s->gfx[VGA_GFX_DONT_CARE]),
		.bit_mask = HR_LOAD(s->gfx[VGA_GFX_BIT_MASK]),
		.rotate = function & 7,
		.function = function >> 3 & 3,
		.read_map = HR_LOAD(s->gfx[VGA_GFX_READ_MAP]) & 3,
		.write_mode = how & VGA_MODE_WRITE,
		.compares = how & VGA_MODE_COMPARE,
		.chain4 = memory & VGA_MEMORY_CHAIN4,
		.chain = gfx_misc & VGA_GFXMISC_CHAIN,
		.odd_even_read = how & VGA_MODE_ODD_EVEN,
		.odd_even_write = !(memory & VGA_MEMORY_NO_ODD_EVEN),
		.page = !(misc & VGA_MISC_PAGE),
	};
}

/* The offset in each plane that an address of the window means. */
static uint32_t plane_offset(const struct vga_mode *mode, uint32_t at)
{
	if (mode->chain4)
		return at & 0xfffc;
	if (!mode->chain)
		return at & 0xffff;
	/* address bit 0 chooses the plane; in its place comes bit 16, or the page bit where there is none */
	return (at & 0xfffe) | (mode->bytes > VGA_PLANE_BYTES ? at >> 16 & 1 : mode->page);
}

/* Read mode 1: a bit for each pixel whose planes, as far as they matter, are as in the compare register. */
static uint8_t compare(const struct vga_memory *m, const struct vga_mode *mode)
{
	uint8_t differs = 0;

	for (unsigned p = 0; p < VGA_PLANES; p++) {
		if (mode->dont_care >> p & 1) /* the register's name is the wrong way round: 1 takes part */
			differs |= m->latch[p] ^ (mode->compare >> p & 1 ? 0xff : 0);
	}
	return (uint8_t)~differs;
}

uint8_t vga_mem_read(struct vga_memory *m, const struct vga_mode *mode, uint32_t offset)
{
	uint32_t at = offset - mode->base, in_plane;

	if (at >= mode->bytes)
		return 0xff;
	in_plane = plane_offset(mode, at);
	for (unsigned p = 0; p < VGA_PLANES; p++)
		m->latch[p] = *vga_mem_byte(m, p, in_plane);
	if (mode->compares)
		return compare(m, mode);
	if (mode->chain4)
		return m->latch[at & 3];
	return m->latch[mode->odd_even_read ? (mode->read_map & 2) | (at & 1) : mode->read_map];
}

/* What the CPU's byte is for one plane, before function and bit mask. */
static uint8_t source(const struct vga_mode *mode, unsigned plane, uint8_t value, uint8_t rotated)
{
	uint8_t bit = (uint8_t)(1u << plane);

	switch (mode->write_mode) {
	case 0:
		if (mode->enable_set_reset & bit)
			return mode->set_reset & bit ? 0xff : 0;
		return rotated;
	case 2:
		return value & bit ? 0xff : 0;
	default:
		return mode->set_reset & bit ? 0xff : 0;
	}
}

static uint8_t apply(unsigned function, uint8_t value, uint8_t latch)
{
	switch (function) {
	case 1:
		return value & latch;
	case 2:
		return value | latch;
	case 3:
		return value ^ latch;
	}
	return value;
}

void vga_mem_write(struct vga_memory *m, const struct vga_mode *mode, uint32_t offset, uint8_t value)
{
	uint8_t rotated = (uint8_t)(value >> mode->rotate | value << (8 - mode->rotate));
	uint32_t at = offset - mode->base, in_plane;
	uint8_t planes = mode->map_mask, mask = mode->bit_mask;

	if (at >= mode->bytes)
		return;
	in_plane = plane_offset(mode, at);
	if (mode->chain4)
		planes &= 1u << (at & 3);
	else if (mode->odd_even_write)
		planes &= at & 1 ? 0xa : 0x5;
	if (mode->write_mode == 3)
		mask &= rotated;
	for (unsigned p = 0; p < VGA_PLANES; p++) {
		uint8_t byte = m->latch[p];

		if (!(planes >> p & 1))
			continue;
		if (mode->write_mode != 1) {
			byte = apply(mode->function, source(mode, p, value, rotated), m->latch[p]);
			byte = (byte & mask) | (m->latch[p] & ~mask);
		}
		*vga_mem_byte(m, p, in_plane) = byte;
	}
}

/* The CPU's byte goes in and comes out as it is. */
static bool is_plain(const struct vga_mode *mode)
{
	return !mode->write_mode && !mode->enable_set_reset && !mode->rotate && !mode->function &&
	       mode->bit_mask == 0xff && !mode->compares;
}

bool vga_mem_window(const struct vga_memory *m, const struct vga_mode *mode, struct vga_window *window)
{
	enum vga_layout layout = VGA_LAYOUT_TEXT;
	unsigned plane = 0;

	if (mode->bytes == 0 || mode->bytes > VGA_PLANE_BYTES || !is_plain(mode))
		return false;
	if (mode->chain4) {
		/* 256 colours: the low address bits are the plane, both ways */
		if (mode->map_mask != 0xf)
			return false;
		layout = VGA_LAYOUT_CHAIN4;
	} else if (mode->chain) {
		/* text: even addresses in plane 0, odd ones in plane 1, both ways */
		if (!mode->odd_even_read || !mode->odd_even_write || mode->map_mask != 0x3 || mode->read_map & 2 ||
			mode->page)
			return false;
	} else {
		/* one plane alone: fonts */
		plane = mode->read_map;
		if (mode->odd_even_read || mode->odd_even_write || plane < 2 || mode->map_mask != 1u << plane)
			return false;
	}
	*window = (struct vga_window){
		.region = {.gpa = MEM_VGA_BASE + mode->base,
			.bytes = mode->bytes,
			.host = m->ram + vga_mem_index(layout, plane, 0)},
		.layout = layout,
	};
	return true;
}

bool vga_mem_arrange(struct vga_memory *m, enum vga_layout layout)
{
	uint8_t *copy;

	if (m->layout == layout)
		return true;
	copy = malloc(VGA_RAM_BYTES);
	if (!copy)
		return false;
	memcpy(copy, m->ram, VGA_RAM_BYTES);
	for (unsigned p = 0; p < VGA_PLANES; p++) {
		for (uint32_t at = 0; at < VGA_PLANE_BYTES; at++)
			m->ram[vga_mem_index(layout, p, at)] = copy[vga_mem_index(m->layout, p, at)];
	}
	m->layout = layout;
	free(copy);
	return true;
}
