/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.h: guest physical memory: RAM, the BIOS image, and which of them (or nothing) is seen
 * where. The list of regions is what KVM slots and the software CPU's pages are made from.
 *
 * Layout: RAM 0..mem_bytes (at most 3 GiB); the 128 KiB from 0xa0000 are plain RAM too, or with a
 * VGA not memory but for the window that it offers at the moment; 0xc0000..0xfffff is shadow RAM by the i440FX's PAM
 * registers: each 16 KiB segment (0xf0000: 64 KiB) reads from RAM or ROM, and writes to RAM or
 * nowhere; the BIOS also ends at 4 GiB. Below 1 MiB the last 128 KiB of it are seen; a segment
 * under 0xe0000 whose reads do not go to RAM has nothing behind it.
 */
#ifndef VMM_MEM_H
#define VMM_MEM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEM_VGA_BASE 0xa0000u
#define MEM_SHADOW_BASE 0xc0000u
#define MEM_SHADOW_SEGMENTS 13 /* 12 of 16 KiB from 0xc0000, then 64 KiB at 0xf0000 */
#define MEM_MAX_REGIONS 24

/* PAM: bit 0 reads go to RAM, bit 1 writes go to RAM ([82441FX] PAM registers). */
#define MEM_PAM_RE 1
#define MEM_PAM_WE 2

struct mem_region {
	uint64_t gpa;
	uint64_t bytes;
	uint8_t *host;
	bool readonly; /* guest writes are dropped */
};

struct guest_mem {
	/* constant after init */
	uint8_t *ram;
	uint64_t ram_bytes;
	uint8_t *rom; /* the BIOS image, rom_bytes (multiple of 64 KiB, at most 1 MiB), or NULL */
	uint64_t rom_bytes;
	bool has_vga; /* 0xa0000..0xbffff are no RAM */
	/* called under lock whenever the region list changed; set by the CPU backend */
	void (*changed)(void *opaque);
	void *changed_opaque;
	/* lock */
	pthread_mutex_t lock;
	uint8_t pam[MEM_SHADOW_SEGMENTS];
	struct mem_region vga_window; /* bytes 0: none */
};

/* ram_bytes: 1 MiB to 3 GiB, whole pages. 0 or -errno. */
int mem_init(struct guest_mem *mem, uint64_t ram_bytes);
void mem_destroy(struct guest_mem *mem);
/* Takes a copy of the image. Reset state: all segments read ROM, writes dropped; without a ROM all are RAM. */
int mem_set_rom(struct guest_mem *mem, const void *image, size_t bytes);
/* segment 0..12, attr MEM_PAM_*; merges neighbours and tells the backend. vCPU thread. */
void mem_set_pam(struct guest_mem *mem, unsigned segment, uint8_t attr);
/* From now on 0xa0000..0xbffff is the VGA's. Before the vCPUs run. */
void mem_take_vga(struct guest_mem *mem);
/*
 * What of it is plain memory: whole pages inside 0xa0000..0xbffff, or NULL for nothing. `host` is the VGA's and stays
 * until it has taken the window back.
 */
void mem_set_vga_window(struct guest_mem *mem, const struct mem_region *window);
/* Fills list (MEM_MAX_REGIONS) sorted by gpa, not overlapping; returns how many. mem->lock held. */
unsigned mem_regions(const struct guest_mem *mem, struct mem_region *list);
/*
 * A guest write that met a read-only or missing region: lands in RAM where the segment's PAM says
 * "reads from ROM, writes to RAM", which no mapping can express. False: nothing was written.
 */
bool mem_shadow_write(struct guest_mem *mem, uint64_t gpa, const void *buf, uint64_t bytes);

/*
 * Host address of [gpa, gpa + bytes) if it is all inside RAM, else NULL. Loaders, devices that
 * copy, and the exit screen use it; addresses come from the guest, so the check is here.
 */
void *mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t bytes);
/* Copies; false (nothing copied) when not all inside RAM. */
bool mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, uint64_t bytes);
bool mem_write(struct guest_mem *mem, uint64_t gpa, const void *buf, uint64_t bytes);

#endif
