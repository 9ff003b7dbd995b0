/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vga_mem.h: the VGA's own: display memory, and how the CPU sees it. No locks: vga.c holds the device's.
 */
#ifndef DEVICES_VGA_MEM_H
#define DEVICES_VGA_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/vga.h"
#include "vmm/mem.h"

#define VGA_PLANES 4
#define VGA_PLANE_BYTES 0x10000u
#define VGA_RAM_BYTES (VGA_PLANES * VGA_PLANE_BYTES)

/*
 * How the planes lie in memory, so that what the CPU addresses as one piece is one.
 * VGA_LAYOUT_TEXT: planes 0 and 1 alternate, first their even, then their odd offsets: character and attribute.
 * Planes 2 and 3, where fonts are, are a piece each.
 * VGA_LAYOUT_CHAIN4: the four planes alternate, first their offsets that are multiples of 4: pixels of 256 colours.
 */
enum vga_layout { VGA_LAYOUT_TEXT, VGA_LAYOUT_CHAIN4 };

struct vga_memory {
	uint8_t *ram; /* VGA_RAM_BYTES in whole pages; vga_mem_byte() says what lies where */
	enum vga_layout layout;
	uint8_t latch[VGA_PLANES];
};

/* What may be mapped into the guest. */
struct vga_window {
	struct mem_region region; /* bytes 0: nothing */
	enum vga_layout layout;	  /* in which it is one piece */
};

/* The registers that decide over an access, taken apart. */
struct vga_mode {
	uint32_t base, bytes; /* of the window the CPU has, from 0xa0000; 0 bytes: none */
	uint8_t map_mask, set_reset, enable_set_reset, compare, dont_care, bit_mask;
	uint8_t rotate, function, read_map, write_mode;
	bool compares, chain4, chain, odd_even_read, odd_even_write;
	uint8_t page; /* chain, window of at most 64 KiB: what replaces address bit 0 */
};

/* 0 or -errno */
int vga_mem_init(struct vga_memory *m);
void vga_mem_destroy(struct vga_memory *m);

/* The caller holds the page. */
void vga_mode_get(const struct vga_state *s, struct vga_mode *mode);

/* One byte at an offset from 0xa0000. Outside the window reads are all ones, writes go nowhere. */
uint8_t vga_mem_read(struct vga_memory *m, const struct vga_mode *mode, uint32_t offset);
void vga_mem_write(struct vga_memory *m, const struct vga_mode *mode, uint32_t offset, uint8_t value);

/*
 * True, and *window, if an access in this mode is nothing but a load or a store of one byte in memory that lies
 * in one piece, in the layout that it says: then the guest may have it mapped.
 */
bool vga_mem_window(const struct vga_memory *m, const struct vga_mode *mode, struct vga_window *window);
/* Moves the planes to where the layout wants them. The guest has none of it mapped. False: out of memory, nothing moved. */
bool vga_mem_arrange(struct vga_memory *m, enum vga_layout layout);

static inline uint32_t vga_mem_index(enum vga_layout layout, unsigned plane, uint32_t offset)
{
	offset &= VGA_PLANE_BYTES - 1;
	if (layout == VGA_LAYOUT_CHAIN4)
		return (offset & ~3u) | (plane & 3) | (offset & 3) * VGA_PLANE_BYTES;
	if (plane < 2)
		return (offset & ~1u) | plane | (offset & 1) * VGA_PLANE_BYTES;
	return (plane & 3) * VGA_PLANE_BYTES + offset;
}

/* Where a byte of a plane lies. */
static inline uint8_t *vga_mem_byte(const struct vga_memory *m, unsigned plane, uint32_t offset)
{
	return m->ram + vga_mem_index(m->layout, plane, offset);
}

#endif
