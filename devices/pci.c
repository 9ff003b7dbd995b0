/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.c: configuration mechanism #1 [82441FX] and the PIIX3's reset control register [82371SB].
 * Only a doubleword access reaches CONFADD; a byte of 0xcf9 is another register at the same
 * place, and every other byte or word access there goes to nobody.
 */
#include "devices/pci.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CONFADD_ENABLE 0x80000000u
#define CONFADD_MASK 0x80fffffcu
#define CONFADD_BUS(v) ((v) >> 16 & 0xffu)
#define CONFADD_DEVFN(v) ((v) >> 8 & 0xffu)
#define CONFADD_REG(v) ((v)&0xfcu)

#define RC_OFFSET 1u /* of 0xcf9 in the range */
#define RC_SRST 0x02u
#define RC_RCPU 0x04u

struct pci {
	struct device dev;
	/* constant after init */
	struct irq_line reset;
	struct pci_function *functions[256]; /* of bus 0, by device and function */
	/* dev.lock */
	uint32_t confadd;
	uint8_t rc;
};

void pci_set16(uint8_t *bytes, unsigned offset, uint16_t v)
{
	bytes[offset] = (uint8_t)v;
	bytes[offset + 1] = (uint8_t)(v >> 8);
}

void pci_set32(uint8_t *bytes, unsigned offset, uint32_t v)
{
	pci_set16(bytes, offset, (uint16_t)v);
	pci_set16(bytes, offset + 2, (uint16_t)(v >> 16));
}

void pci_set_identity(struct pci_function *fn, const struct pci_identity *id)
{
	memset(fn->config, 0, sizeof(fn->config));
	pci_set16(fn->config, 0x00, 0x8086);
	pci_set16(fn->config, 0x02, id->device);
	pci_set16(fn->config, 0x04, id->command);
	pci_set16(fn->config, 0x06, id->status);
	pci_set32(fn->config, 0x08, id->class_code << 8 | id->revision);
	fn->config[0x0e] = id->header_type;
}

void pci_attach(struct device *dev, unsigned devfn, struct pci_function *fn)
{
	struct pci *pci = (struct pci *)dev;

	assert(devfn < 256 && !pci->functions[devfn]);
	pci->functions[devfn] = fn;
}

/* The function that CONFADD names, or NULL: a master abort. */
static struct pci_function *selected(const struct pci *pci)
{
	if (!(pci->confadd & CONFADD_ENABLE) || CONFADD_BUS(pci->confadd))
		return NULL;
	return pci->functions[CONFADD_DEVFN(pci->confadd)];
}

static void data_read(struct device *dev, struct io_req *req)
{
	struct pci *pci = (struct pci *)dev;
	const struct pci_function *fn = selected(pci);
	unsigned reg = CONFADD_REG(pci->confadd) + req->io.offset;

	req->io.result = io_all_ones(req->io.size);
	if (!fn)
		return;
	req->io.result = 0;
	for (unsigned i = 0; i < req->io.size; i++)
		req->io.result |= (uint64_t)fn->config[(reg + i) & 0xff] << (8 * i);
}

static void data_write(struct device *dev, struct io_req *req)
{
	struct pci *pci = (struct pci *)dev;
	struct pci_function *fn = selected(pci);
	unsigned reg = CONFADD_REG(pci->confadd) + req->io.offset;

	if (!fn)
		return;
	for (unsigned i = 0; i < req->io.size; i++) {
		unsigned at = (reg + i) & 0xff;
		uint8_t mask = fn->writable[at], v = (uint8_t)(req->io.value >> (8 * i));

		fn->config[at] = (fn->config[at] & ~mask) | (v & mask);
	}
	if (fn->changed)
		fn->changed(fn, reg, req->io.size);
}

static bool covers_rc(const struct io_req *req)
{
	return req->io.size < 4 && req->io.offset <= RC_OFFSET && RC_OFFSET < req->io.offset + req->io.size;
}

static void addr_read(struct device *dev, struct io_req *req)
{
	struct pci *pci = (struct pci *)dev;
	unsigned shift = 8 * (RC_OFFSET - req->io.offset);

	req->io.result = io_all_ones(req->io.size);
	if (req->io.size == 4)
		req->io.result = pci->confadd;
	else if (covers_rc(req))
		req->io.result = (req->io.result & ~(0xffull << shift)) | (uint64_t)pci->rc << shift;
}

static void rc_write(struct pci *pci, uint8_t v)
{
	bool was_set = pci->rc & RC_RCPU;

	pci->rc = v & (RC_SRST | RC_RCPU);
	if (!was_set && (v & RC_RCPU)) /* the reset is the bit's 0 to 1 transition */
		irq_set(&pci->reset, true);
}

static void addr_write(struct device *dev, struct io_req *req)
{
	struct pci *pci = (struct pci *)dev;

	if (req->io.size == 4)
		pci->confadd = (uint32_t)req->io.value & CONFADD_MASK;
	else if (covers_rc(req))
		rc_write(pci, (uint8_t)(req->io.value >> (8 * (RC_OFFSET - req->io.offset))));
}

static void pci_reset(struct device *dev)
{
	struct pci *pci = (struct pci *)dev;

	pci->confadd = 0;
	pci->rc = 0;
}

static void pci_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops pci_ops = {.reset = pci_reset, .destroy = pci_destroy};

static const struct reg_name addr_regs[] = {{0, 1, "confadd"}, {1, 1, "reset control"}, {0, 0, NULL}};
static const struct reg_name data_regs[] = {{0, 4, "confdata"}, {0, 0, NULL}};

struct device *pci_create(struct bus *bus, struct clock *clock, struct irq_line reset)
{
	const struct range ranges[] = {
		{.name = "pci.addr",
			.base = 0xcf8,
			.len = 4,
			.width = 4,
			.read = addr_read,
			.write = addr_write,
			.regs = addr_regs},
		{.name = "pci.data",
			.base = 0xcfc,
			.len = 4,
			.width = 4,
			.read = data_read,
			.write = data_write,
			.regs = data_regs},
	};
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return NULL;
	if (device_init(&pci->dev, "pci", &pci_ops, clock, 0, 0)) {
		free(pci);
		return NULL;
	}
	pci->reset = reset;
	if (!device_add_ranges(&pci->dev, bus, ranges, 2)) {
		pci_destroy(&pci->dev);
		return NULL;
	}
	return &pci->dev;
}
