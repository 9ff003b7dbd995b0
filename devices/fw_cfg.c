/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw_cfg.c: the firmware configuration device [FWCFG]. A selector names an item; reads of the
 * data port, or a DMA request, run through it; past its end everything is 0. Selectors from 0x20
 * are files, listed in a directory. DMA addresses come from the guest: whatever is not wholly in
 * RAM is answered with the error bit, and a request that itself is not in RAM is dropped.
 */
#include "devices/fw_cfg.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/mem.h"

#define SEL_SIGNATURE 0x00
#define SEL_ID 0x01
#define SEL_DIRECTORY 0x19
#define SEL_FILES 0x20
#define MAX_FILES 16
#define MAX_ITEMS (SEL_FILES + MAX_FILES)

#define ID_TRADITIONAL 0x1u
#define ID_DMA 0x2u

#define DMA_ERROR 0x01u
#define DMA_READ 0x02u
#define DMA_SKIP 0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE 0x10u
#define DMA_SIGNATURE "QEMU CFG"

struct item {
	uint8_t *data; /* dev.lock where there is a fill, else constant */
	uint32_t bytes;
	void (*fill)(void *opaque, uint8_t *data, size_t bytes); /* NULL: the contents stay */
	void *opaque;
};

/* As the guest reads it; big endian. */
struct directory {
	uint32_t count;
	struct {
		uint32_t size;
		uint16_t select;
		uint16_t reserved;
		char name[56];
	} file[MAX_FILES];
};

/* As the guest writes it; big endian. */
struct dma_request {
	uint32_t control;
	uint32_t length;
	uint64_t address;
};

struct fw_cfg {
	struct device dev;
	/* constant after init */
	struct guest_mem *mem;
	struct item items[MAX_ITEMS];
	struct directory directory;
	unsigned file_count;
	/* dev.lock */
	uint16_t selector;
	uint32_t offset; /* of the next byte; stays at the end */
	uint32_t dma_high;
};

static const struct item no_item;

static const struct item *selected(const struct fw_cfg *cfg)
{
	return cfg->selector < MAX_ITEMS ? &cfg->items[cfg->selector] : &no_item;
}

static void select_item(struct fw_cfg *cfg, uint16_t selector)
{
	const struct item *item;

	cfg->selector = selector;
	cfg->offset = 0;
	item = selected(cfg);
	if (item->fill)
		item->fill(item->opaque, item->data, item->bytes);
}

/* Copies up to `bytes` of the item (out NULL: skips them) and returns how many there were. */
static uint32_t advance(struct fw_cfg *cfg, uint8_t *out, uint32_t bytes)
{
	const struct item *item = selected(cfg);
	uint32_t n = item->bytes - cfg->offset < bytes ? item->bytes - cfg->offset : bytes;

	if (out && n)
		memcpy(out, item->data + cfg->offset, n);
	cfg->offset += n;
	return n;
}

/* ---- the data port ---- */

static void port_read(struct device *dev, struct io_req *req)
{
	uint8_t byte = 0;

	if (req->io.offset != 1 || req->io.size != 1) {
		req->io.result = io_all_ones(req->io.size);
		return;
	}
	advance((struct fw_cfg *)dev, &byte, 1);
	req->io.result = byte;
}

/* `rep insb` of the data port. */
static void port_read_string(struct device *dev, struct io_req *req)
{
	uint32_t bytes = req->count * req->io.size, n;

	if (req->io.offset != 1 || req->io.size != 1) {
		memset(req->data, 0xff, bytes);
		return;
	}
	n = advance((struct fw_cfg *)dev, req->data, bytes);
	memset((uint8_t *)req->data + n, 0, bytes - n);
}

/* A word selects. Writing data is a thing of the past that no item supports. */
static void port_write(struct device *dev, struct io_req *req)
{
	if (req->io.offset == 0 && req->io.size == 2)
		select_item((struct fw_cfg *)dev, (uint16_t)req->io.value);
}

/* ---- DMA ---- */

/* False: the error bit. */
static bool dma_work(struct fw_cfg *cfg, uint32_t control, uint32_t length, uint64_t address)
{
	uint8_t *out;
	uint32_t n;

	if (control & DMA_SELECT)
		select_item(cfg, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		out = mem_ptr(cfg->mem, address, length);
		if (!out && length)
			return false;
		n = advance(cfg, out, length);
		if (n < length)
			memset(out + n, 0, length - n);
		return true;
	}
	if (control & DMA_WRITE)
		return false;
	if (control & DMA_SKIP)
		advance(cfg, NULL, length);
	return true;
}

static void dma_run(struct fw_cfg *cfg, uint64_t gpa)
{
	struct dma_request request;
	uint32_t control;

	if (!mem_read(cfg->mem, gpa, &request, sizeof(request)))
		return;
	control = dma_work(cfg, be32toh(request.control), be32toh(request.length), be64toh(request.address))
			  ? 0
			  : htobe32(DMA_ERROR);
	mem_write(cfg->mem, gpa + offsetof(struct dma_request, control), &control, sizeof(control));
}

static void dma_read(struct device *dev, struct io_req *req)
{
	static const char signature[] = DMA_SIGNATURE;

	(void)dev;
	req->io.result = 0;
	for (unsigned i = 0; i < req->io.size; i++)
		req->io.result |= (uint64_t)(uint8_t)signature[(req->io.offset + i) & 7] << (8 * i);
}

/* The address register is big endian; its low half starts the request. */
static void dma_write(struct device *dev, struct io_req *req)
{
	struct fw_cfg *cfg = (struct fw_cfg *)dev;
	uint32_t half = be32toh((uint32_t)req->io.value);

	if (req->io.size != 4)
		return;
	if (req->io.offset == 0) {
		cfg->dma_high = half;
	} else if (req->io.offset == 4) {
		uint64_t gpa = (uint64_t)cfg->dma_high << 32 | half;

		cfg->dma_high = 0;
		dma_run(cfg, gpa);
	}
}

/* ---- items ---- */

static bool set_item(struct fw_cfg *cfg, unsigned selector, const void *data, size_t bytes)
{
	struct item *item = &cfg->items[selector];

	assert(selector < MAX_ITEMS && !item->data && bytes <= UINT32_MAX);
	item->data = malloc(bytes ? bytes : 1);
	if (!item->data)
		return false;
	memcpy(item->data, data, bytes);
	item->bytes = (uint32_t)bytes;
	return true;
}

bool fw_cfg_add_item(struct device *dev, uint16_t selector, const void *data, size_t bytes)
{
	assert(selector < SEL_FILES);
	return set_item((struct fw_cfg *)dev, selector, data, bytes);
}

bool fw_cfg_add_file(struct device *dev, const char *name, const void *data, size_t bytes)
{
	struct fw_cfg *cfg = (struct fw_cfg *)dev;
	unsigned i = cfg->file_count;

	if (i == MAX_FILES || strlen(name) >= sizeof(cfg->directory.file[i].name) ||
		!set_item(cfg, SEL_FILES + i, data, bytes))
		return false;
	strcpy(cfg->directory.file[i].name, name);
	cfg->directory.file[i].size = htobe32((uint32_t)bytes);
	cfg->directory.file[i].select = htobe16((uint16_t)(SEL_FILES + i));
	cfg->file_count++;
	cfg->directory.count = htobe32(cfg->file_count);
	cfg->items[SEL_DIRECTORY].bytes =
		(uint32_t)(offsetof(struct directory, file) + cfg->file_count * sizeof(cfg->directory.file[0]));
	return true;
}

bool fw_cfg_add_live_file(struct device *dev, const char *name, const void *data, size_t bytes,
	void (*fill)(void *opaque, uint8_t *data, size_t bytes), void *opaque)
{
	struct fw_cfg *cfg = (struct fw_cfg *)dev;
	struct item *item = &cfg->items[SEL_FILES + cfg->file_count];

	if (!fw_cfg_add_file(dev, name, data, bytes))
		return false;
	item->fill = fill;
	item->opaque = opaque;
	return true;
}

bool fw_cfg_add_file_int(struct device *dev, const char *name, uint64_t value, size_t bytes)
{
	uint64_t le = htole64(value);

	assert(bytes <= sizeof(le));
	return fw_cfg_add_file(dev, name, &le, bytes);
}

static void fw_cfg_reset(struct device *dev)
{
	struct fw_cfg *cfg = (struct fw_cfg *)dev;

	select_item(cfg, SEL_SIGNATURE);
	cfg->dma_high = 0;
}

static void fw_cfg_destroy(struct device *dev)
{
	struct fw_cfg *cfg = (struct fw_cfg *)dev;

	cfg->items[SEL_DIRECTORY].data = NULL; /* it is part of cfg */
	for (unsigned i = 0; i < MAX_ITEMS; i++)
		free(cfg->items[i].data);
	device_cleanup(dev);
	free(cfg);
}

static const struct device_ops fw_cfg_ops = {.reset = fw_cfg_reset, .destroy = fw_cfg_destroy};

struct device *fw_cfg_create(struct bus *bus, struct clock *clock, struct guest_mem *mem)
{
	static const struct reg_name port_regs[] = {{0, 1, "selector"}, {1, 1, "data"}, {0, 0, NULL}};
	static const struct reg_name dma_regs[] = {{0, 8, "dma address"}, {0, 0, NULL}};
	const struct range ranges[] = {
		{.name = "fw_cfg",
			.base = 0x510,
			.len = 2,
			.width = 2,
			.read = port_read,
			.write = port_write,
			.read_string = port_read_string,
			.regs = port_regs},
		{.name = "fw_cfg.dma",
			.base = 0x514,
			.len = 8,
			.width = 4,
			.read = dma_read,
			.write = dma_write,
			.regs = dma_regs},
	};
	const uint32_t id = htole32(ID_TRADITIONAL | ID_DMA);
	struct fw_cfg *cfg = calloc(1, sizeof(*cfg));

	if (!cfg)
		return NULL;
	if (device_init(&cfg->dev, "fw_cfg", &fw_cfg_ops, clock, 0, 0)) {
		free(cfg);
		return NULL;
	}
	cfg->mem = mem;
	cfg->items[SEL_DIRECTORY] =
		(struct item){.data = (uint8_t *)&cfg->directory, .bytes = sizeof(cfg->directory.count)};
	if (!set_item(cfg, SEL_SIGNATURE, "QEMU", 4) || !set_item(cfg, SEL_ID, &id, sizeof(id)) ||
		!device_add_ranges(&cfg->dev, bus, ranges, 2)) {
		fw_cfg_destroy(&cfg->dev);
		return NULL;
	}
	return &cfg->dev;
}
