/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_mem.c: what the software CPU sees at an address.
 *
 * libx86emu's own memory keeps one attribute byte for each guest byte and checks it on every
 * access; instead every access comes to soft_memio(), which looks the page up in a byte map (one
 * byte for 4 KiB, untouched parts cost nothing) and reads the host memory directly. What is no
 * memory goes to the bus. A20 is always on: addresses wrap at 4 GiB only.
 */
#include "vmm/soft.h"

#include <errno.h>
#include <sys/mman.h>

/* The region list changed; mem->lock is held. The vCPU thread, or no vCPU runs. */
static void map_changed(void *opaque)
{
	struct soft_cpu *c = opaque;
	unsigned i;

	for (i = 0; i < c->region_count; i++) {
		const struct mem_region *r = &c->regions[i];

		memset(c->region + (r->gpa >> SOFT_PAGE_SHIFT), 0, r->bytes >> SOFT_PAGE_SHIFT);
	}
	c->region_count = mem_regions(&c->cpu.vm->mem, c->regions);
	for (i = 0; i < c->region_count; i++) {
		const struct mem_region *r = &c->regions[i];

		c->bias[i + 1] = (uintptr_t)r->host - (uintptr_t)r->gpa;
		c->readonly[i + 1] = r->readonly;
		memset(c->region + (r->gpa >> SOFT_PAGE_SHIFT), (int)i + 1, r->bytes >> SOFT_PAGE_SHIFT);
	}
}

int soft_mem_init(struct soft_cpu *c)
{
	struct guest_mem *mem = &c->cpu.vm->mem;
	void *map = mmap(NULL, SOFT_PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return -errno;
	c->region = map;
	pthread_mutex_lock(&mem->lock);
	mem->changed = map_changed;
	mem->changed_opaque = c;
	map_changed(c);
	pthread_mutex_unlock(&mem->lock);
	return 0;
}

void soft_mem_destroy(struct soft_cpu *c)
{
	struct guest_mem *mem = &c->cpu.vm->mem;

	if (!c->region)
		return;
	pthread_mutex_lock(&mem->lock);
	mem->changed = NULL;
	mem->changed_opaque = NULL;
	pthread_mutex_unlock(&mem->lock);
	munmap(c->region, SOFT_PAGES);
	c->region = NULL;
}

static uint32_t bus_read(struct soft_cpu *c, enum io_bus bus, uint32_t addr, unsigned size)
{
	struct io_req req = {.io.size = (uint8_t)size, .addr = addr, .bus = bus, .count = 1};

	cpu_count_exit(&c->cpu);
	bus_io(&c->cpu.vm->bus, &req);
	return (uint32_t)hr_mask(req.io.result, size);
}

static void bus_write(struct soft_cpu *c, enum io_bus bus, uint32_t addr, uint32_t val, unsigned size)
{
	struct io_req req = {.io.size = (uint8_t)size,
		.io.is_write = 1,
		.io.value = hr_mask(val, size),
		.addr = addr,
		.bus = bus,
		.count = 1};

	cpu_count_exit(&c->cpu);
	bus_io(&c->cpu.vm->bus, &req);
}

/* Region of all bytes of an access: > 0 memory, 0 a device or nothing, -1 not all the same. */
static inline int region_of(const struct soft_cpu *c, uint32_t addr, unsigned size)
{
	unsigned r = c->region[addr >> SOFT_PAGE_SHIFT];

	if ((addr & 0xfff) + size > 0x1000 &&
		(c->region[(uint32_t)(addr + size - 1) >> SOFT_PAGE_SHIFT] != r || addr > UINT32_MAX - (size - 1)))
		return -1;
	return (int)r;
}

uint32_t soft_load(struct soft_cpu *c, uint32_t addr, unsigned size)
{
	int r = region_of(c, addr, size);
	uint32_t val = 0;

	if (r > 0) {
		const uint8_t *p = (const uint8_t *)(c->bias[r] + addr);

		switch (size) {
		case 1:
			return *p;
		case 2: {
			uint16_t w;

			memcpy(&w, p, 2);
			return w;
		}
		default:
			memcpy(&val, p, 4);
			return val;
		}
	}
	if (r == 0)
		return bus_read(c, IO_MMIO, addr, size);
	for (unsigned i = 0; i < size; i++)
		val |= soft_load(c, addr + i, 1) << (8 * i);
	return val;
}

void soft_store(struct soft_cpu *c, uint32_t addr, uint32_t val, unsigned size)
{
	int r = region_of(c, addr, size);

	if (r > 0 && !c->readonly[r]) {
		uint8_t *p = (uint8_t *)(c->bias[r] + addr);

		if (size == 1)
			*p = (uint8_t)val;
		else if (size == 2)
			memcpy(p, &val, 2);
		else
			memcpy(p, &val, 4);
	} else if (r < 0) {
		for (unsigned i = 0; i < size; i++)
			soft_store(c, addr + i, val >> (8 * i), 1);
	} else if (!mem_shadow_write(&c->cpu.vm->mem, addr, &val, size) && r == 0) {
		bus_write(c, IO_MMIO, addr, val, size);
	}
}

uint8_t *soft_host(struct soft_cpu *c, uint32_t addr, uint32_t *bytes, bool writable)
{
	unsigned r = c->region[addr >> SOFT_PAGE_SHIFT];
	uint64_t left;

	if (!r || (writable && c->readonly[r]))
		return NULL;
	left = c->regions[r - 1].gpa + c->regions[r - 1].bytes - addr;
	if (*bytes > left)
		*bytes = (uint32_t)left;
	return (uint8_t *)(c->bias[r] + addr);
}

static uint32_t fetch_wide(const struct soft_cpu *c, uint32_t addr, unsigned size)
{
	uint32_t val = 0;

	for (unsigned i = 0; i < size; i++)
		val |= (uint32_t)soft_code(c, addr + i) << (8 * i);
	return val;
}

static const uint8_t width_of[4] = {
	[X86EMU_MEMIO_8] = 1, [X86EMU_MEMIO_16] = 2, [X86EMU_MEMIO_32] = 4, [X86EMU_MEMIO_8_NOPERM] = 1};

/* The library executes on to the end of an instruction that faulted; what it then touches must not happen. */
static inline bool has_faulted(const x86emu_t *emu)
{
	return (emu->x86.intr_type & 0xff) == INTR_TYPE_FAULT;
}

/* libx86emu's one way out, for code, data and ports. Returns 0: nothing here can stop it. */
unsigned soft_memio(x86emu_t *emu, u32 addr, u32 *val, unsigned type)
{
	struct soft_cpu *c = emu->_private;
	unsigned size = width_of[type & 3];

	switch (type & ~0xffu) {
	case X86EMU_MEMIO_X:
		*val = size == 1 ? soft_code(c, addr) : fetch_wide(c, addr, size);
		break;
	case X86EMU_MEMIO_R:
		*val = has_faulted(emu) ? 0 : soft_load(c, addr, size);
		break;
	case X86EMU_MEMIO_W:
		if (!has_faulted(emu))
			soft_store(c, addr, *val, size);
		break;
	case X86EMU_MEMIO_I:
		*val = bus_read(c, IO_PIO, addr & 0xffff, size);
		break;
	case X86EMU_MEMIO_O:
		bus_write(c, IO_PIO, addr & 0xffff, *val, size);
		break;
	}
	return 0;
}
