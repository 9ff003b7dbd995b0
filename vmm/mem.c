// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem.c: guest RAM, the BIOS image, and the list of regions that the PAM registers make of them.
 *
 * RAM is one anonymous mapping that costs nothing until the guest touches it, but is refused when
 * the host plainly has no room for it. The region list is computed from scratch on each call: it
 * is short, and there is no second copy to keep right.
 */
#include "vmm/mem.h"
#include "vmm/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SEGMENT_BYTES 0x4000u
#define SHADOW_END 0x100000u
#define ISA_BIOS_BYTES 0x20000u /* the end of the image is also seen here, up to 1 MiB */
#define TOP_OF_4G 0x100000000ull
#define ROM_MAX_BYTES 0x100000u
#define ROM_UNIT_BYTES 0x10000u

int mem_init(struct guest_mem *mem, uint64_t ram_bytes)
{
	int rc;

	*mem = (struct guest_mem){.ram_bytes = ram_bytes};
	mem->ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem->ram == MAP_FAILED) {
		mem->ram = NULL;
		return -errno;
	}
	/* Else each fork(), for a test of the host, would write-protect the RAM of a guest that runs. */
	(void)madvise(mem->ram, ram_bytes, MADV_DONTFORK);
	rc = pthread_mutex_init(&mem->lock, NULL);
	lock_declare(&mem->lock, "memory", LOCK_LEAF);
	if (rc) {
		munmap(mem->ram, ram_bytes);
		mem->ram = NULL;
		return -rc;
	}
	return 0;
}

void mem_destroy(struct guest_mem *mem)
{
	if (!mem->ram)
		return;
	munmap(mem->ram, mem->ram_bytes);
	mem->ram = NULL;
	if (mem->rom)
		munmap(mem->rom, mem->rom_bytes);
	mem->rom = NULL;
	pthread_mutex_destroy(&mem->lock);
}

/* lock held */
static void tell_backend(struct guest_mem *mem)
{
	if (mem->changed)
		mem->changed(mem->changed_opaque);
}

int mem_set_rom(struct guest_mem *mem, const void *image, size_t bytes)
{
	uint8_t *rom;

	if (bytes == 0 || bytes > ROM_MAX_BYTES || bytes % ROM_UNIT_BYTES != 0 || mem->rom)
		return -EINVAL;
	/* mmap, since KVM slots want whole pages */
	rom = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rom == MAP_FAILED)
		return -errno;
	memcpy(rom, image, bytes);
	pthread_mutex_lock(&mem->lock);
	mem->rom = rom;
	mem->rom_bytes = bytes;
	memset(mem->pam, 0, sizeof(mem->pam));
	tell_backend(mem);
	pthread_mutex_unlock(&mem->lock);
	return 0;
}

void mem_set_pam(struct guest_mem *mem, unsigned segment, uint8_t attr)
{
	if (segment >= MEM_SHADOW_SEGMENTS)
		return;
	attr &= MEM_PAM_RE | MEM_PAM_WE;
	pthread_mutex_lock(&mem->lock);
	if (mem->pam[segment] != attr) {
		mem->pam[segment] = attr;
		tell_backend(mem);
	}
	pthread_mutex_unlock(&mem->lock);
}

void mem_take_vga(struct guest_mem *mem)
{
	pthread_mutex_lock(&mem->lock);
	mem->has_vga = true;
	tell_backend(mem);
	pthread_mutex_unlock(&mem->lock);
}

void mem_set_vga_window(struct guest_mem *mem, const struct mem_region *window)
{
	assert(!window || (mem->has_vga && window->gpa >= MEM_VGA_BASE && window->bytes <= MEM_SHADOW_BASE &&
				  window->gpa <= MEM_SHADOW_BASE - window->bytes));
	pthread_mutex_lock(&mem->lock);
	if (window)
		mem->vga_window = *window;
	else
		mem->vga_window.bytes = 0;
	tell_backend(mem);
	pthread_mutex_unlock(&mem->lock);
}

/* Appends a region, or grows the last one when it simply goes on. */
static unsigned add_region(struct mem_region *list, unsigned count, const struct mem_region *add)
{
	struct mem_region *last = count ? &list[count - 1] : NULL;

	if (add->bytes == 0)
		return count;
	if (last && last->readonly == add->readonly && last->gpa + last->bytes == add->gpa &&
		last->host + last->bytes == add->host) {
		last->bytes += add->bytes;
		return count;
	}
	list[count] = *add;
	return count + 1;
}

static uint32_t segment_base(unsigned segment)
{
	return MEM_SHADOW_BASE + segment * SEGMENT_BYTES;
}

/* The ROM's bytes that a shadow segment shows while its reads do not go to RAM; NULL: nobody answers there. */
static uint8_t *segment_rom(const struct guest_mem *mem, unsigned segment)
{
	uint64_t from_end = SHADOW_END - segment_base(segment);

	if (from_end > ISA_BIOS_BYTES || from_end > mem->rom_bytes)
		return NULL;
	return mem->rom + mem->rom_bytes - from_end;
}

/* What one shadow segment is now; bytes 0: nothing. */
static struct mem_region segment_region(const struct guest_mem *mem, unsigned segment)
{
	uint32_t base = segment_base(segment);
	struct mem_region region = {
		.gpa = base,
		.bytes = segment == MEM_SHADOW_SEGMENTS - 1 ? SHADOW_END - base : SEGMENT_BYTES,
		.host = mem->ram + base,
	};

	if (!mem->rom)
		return region;
	if (mem->pam[segment] & MEM_PAM_RE) {
		region.readonly = !(mem->pam[segment] & MEM_PAM_WE);
		return region;
	}
	region.host = segment_rom(mem, segment);
	region.readonly = true;
	if (!region.host)
		region.bytes = 0;
	return region;
}

unsigned mem_regions(const struct guest_mem *mem, struct mem_region *list)
{
	struct mem_region region = {.gpa = 0, .bytes = mem->has_vga ? MEM_VGA_BASE : MEM_SHADOW_BASE, .host = mem->ram};
	unsigned count = add_region(list, 0, &region);

	count = add_region(list, count, &mem->vga_window);
	for (unsigned i = 0; i < MEM_SHADOW_SEGMENTS; i++) {
		region = segment_region(mem, i);
		count = add_region(list, count, &region);
	}
	region = (struct mem_region){
		.gpa = SHADOW_END, .bytes = mem->ram_bytes - SHADOW_END, .host = mem->ram + SHADOW_END};
	count = add_region(list, count, &region);
	region = (struct mem_region){
		.gpa = TOP_OF_4G - mem->rom_bytes, .bytes = mem->rom_bytes, .host = mem->rom, .readonly = true};
	return add_region(list, count, &region);
}

bool mem_shadow_write(struct guest_mem *mem, uint64_t gpa, const void *buf, uint64_t bytes)
{
	bool to_ram = false;

	if (gpa < MEM_SHADOW_BASE || gpa >= SHADOW_END)
		return false;
	pthread_mutex_lock(&mem->lock);
	for (uint64_t i = 0; i < bytes && gpa + i < SHADOW_END; i++) {
		unsigned segment = (unsigned)((gpa + i - MEM_SHADOW_BASE) / SEGMENT_BYTES);

		if (segment >= MEM_SHADOW_SEGMENTS)
			segment = MEM_SHADOW_SEGMENTS - 1;
		if (mem->pam[segment] & MEM_PAM_WE) {
			mem->ram[gpa + i] = ((const uint8_t *)buf)[i];
			to_ram = true;
		}
	}
	pthread_mutex_unlock(&mem->lock);
	return to_ram;
}

void *mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t bytes)
{
	if (bytes > mem->ram_bytes || gpa > mem->ram_bytes - bytes)
		return NULL;
	if (mem->has_vga && gpa < MEM_SHADOW_BASE && gpa + bytes > MEM_VGA_BASE)
		return NULL;
	return mem->ram + gpa;
}

bool mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, uint64_t bytes)
{
	const void *from = mem_ptr(mem, gpa, bytes);

	if (from)
		memcpy(buf, from, bytes);
	return from != NULL;
}

bool mem_write(struct guest_mem *mem, uint64_t gpa, const void *buf, uint64_t bytes)
{
	void *to = mem_ptr(mem, gpa, bytes);

	if (to)
		memcpy(to, buf, bytes);
	return to != NULL;
}
