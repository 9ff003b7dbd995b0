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

struct vga_memory {
	uint8_t *ram; /* VGA_RAM_BYTES in whole pages; vga_mem_byte() says what lies where */
	uint8_t latch[VGA_PLANES];
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
 * True, and *region, if an access in this mode is nothing but a load or a store of one byte in memory that lies
 * in one piece: then the guest may have it mapped.
 */
bool vga_mem_window(const struct vga_memory *m, const struct vga_mode *mode, struct mem_region *region);

/* Where a byte of a plane lies. */
static inline uint8_t *vga_mem_byte(const struct vga_memory *m, unsigned plane, uint32_t offset)
{
	/*
	 * Planes 0 and 1 alternate, first their even, then their odd offsets: so the odd/even addressing of the text
	 * modes, character and attribute, is one piece. Planes 2 and 3 are a piece each.
	 */
	offset &= VGA_PLANE_BYTES - 1;
	if (plane < 2)
		return m->ram + ((offset & ~1u) | plane | (offset & 1) * VGA_PLANE_BYTES);
	return m->ram + (plane & 3) * VGA_PLANE_BYTES + offset;
}

#endif
