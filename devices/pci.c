/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.c: configuration mechanism #1 [82441FX] and the PIIX3's reset control register [82371SB].
 * Only a doubleword access reaches CONFADD; a byte of 0xcf9 is another register at the same
 * place, and every other byte or word access there goes to nobody.
 */
#include "devices/pci.h"

#include <assert.h>
#include <stdlib.h>

#include "bpf/pci.h"

#define RC_SRST 0x02u
#define RC_RCPU 0x04u

struct pci {
	struct device dev;
	/* constant after init */
	struct irq_line reset;
	struct pci_function *functions[PCI_SLOTS]; /* of bus 0, by row of the page */
	unsigned count;
};

static struct pci_state *state_of(const struct device *dev)
{
	struct pci_page *page = device_page(dev);

	return &page->s;
}

/* ---- configuration space, by its owner ----------------------------------------------------------- */

uint8_t pci_get8(const struct pci_function *fn, unsigned offset)
{
	return (uint8_t)(HR_LOAD(fn->config[offset / 4]) >> 8 * (offset % 4));
}

/* Page held. */
static void put8(struct pci_function *fn, unsigned offset, uint8_t v)
{
	unsigned shift = 8 * (offset % 4);
	uint32_t dword = HR_LOAD(fn->config[offset / 4]);

	HR_STORE(fn->config[offset / 4], (dword & ~(0xffu << shift)) | (uint32_t)v << shift);
}

static void put(struct pci_function *fn, unsigned offset, uint32_t v, unsigned count)
{
	page_begin(fn->pci);
	for (unsigned i = 0; i < count; i++)
		put8(fn, offset + i, (uint8_t)(v >> 8 * i));
	page_end(fn->pci);
}

void pci_put8(struct pci_function *fn, unsigned offset, uint8_t v)
{
	put(fn, offset, v, 1);
}

void pci_put16(struct pci_function *fn, unsigned offset, uint16_t v)
{
	put(fn, offset, v, 2);
}

void pci_put32(struct pci_function *fn, unsigned offset, uint32_t v)
{
	put(fn, offset, v, 4);
}

void pci_fill(struct pci_function *fn, unsigned offset, uint8_t v, unsigned count)
{
	page_begin(fn->pci);
	for (unsigned i = 0; i < count; i++)
		put8(fn, offset + i, v);
	page_end(fn->pci);
}

void pci_mask16(uint8_t *writable, unsigned offset, uint16_t mask)
{
	writable[offset] = (uint8_t)mask;
	writable[offset + 1] = (uint8_t)(mask >> 8);
}

void pci_set_identity(struct pci_function *fn, const struct pci_identity *id)
{
	pci_fill(fn, 0, 0, PCI_CONFIG_BYTES);
	pci_put16(fn, 0x00, 0x8086);
	pci_put16(fn, 0x02, id->device);
	pci_put16(fn, 0x04, id->command);
	pci_put16(fn, 0x06, id->status);
	pci_put32(fn, 0x08, id->class_code << 8 | id->revision);
	pci_put8(fn, 0x0e, id->header_type);
}

void pci_attach(struct device *dev, unsigned devfn, struct pci_function *fn)
{
	struct pci *pci = (struct pci *)dev;
	struct pci_state *s = state_of(dev);

	assert(devfn < 256 && !s->slot[devfn] && pci->count < PCI_SLOTS);
	fn->pci = dev;
	fn->config = s->config[pci->count];
	pci->functions[pci->count++] = fn;
	page_begin(dev);
	HR_STORE(s->slot[devfn], (uint8_t)pci->count);
	page_end(dev);
}

/* ---- the ports ------------------------------------------------------------------------------------ */

static void data_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = pci_data_value(state_of(dev), req->io.offset, req->io.size);
	page_end(dev);
}

static void data_write(struct device *dev, struct io_req *req)
{
	struct pci *pci = (struct pci *)dev;
	struct pci_state *s = state_of(dev);
	struct pci_function *fn = NULL;
	uint32_t confadd, slot;
	unsigned reg;

	page_begin(dev);
	confadd = HR_LOAD(s->confadd);
	slot = pci_selected(s, confadd);
	reg = 4 * PCI_CONFADD_DWORD(confadd) + req->io.offset;
	if (slot && slot <= pci->count) {
		fn = pci->functions[slot - 1];
		for (unsigned i = 0; i < req->io.size; i++) {
			uint8_t mask = fn->writable[reg + i], v = (uint8_t)(req->io.value >> (8 * i));

			put8(fn, reg + i, (uint8_t)((pci_get8(fn, reg + i) & ~mask) | (v & mask)));
		}
	}
	page_end(dev);
	if (fn && fn->changed)
		fn->changed(fn, reg, req->io.size);
}

static void addr_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = pci_addr_value(state_of(dev), req->io.offset, req->io.size);
	page_end(dev);
}

static void rc_write(struct pci *pci, uint8_t v)
{
	struct pci_state *s = state_of(&pci->dev);
	bool was_set;

	page_begin(&pci->dev);
	was_set = HR_LOAD(s->rc) & RC_RCPU;
	HR_STORE(s->rc, v & (RC_SRST | RC_RCPU));
	page_end(&pci->dev);
	if (!was_set && (v & RC_RCPU)) /* the reset is the bit's 0 to 1 transition */
		irq_set(&pci->reset, true);
}

static void addr_write(struct device *dev, struct io_req *req)
{
	struct pci *pci = (struct pci *)dev;

	if (req->io.size == 4) {
		page_begin(dev);
		HR_STORE(state_of(dev)->confadd, (uint32_t)req->io.value & PCI_CONFADD_MASK);
		page_end(dev);
	} else if (pci_covers_rc(req->io.offset, req->io.size)) {
		rc_write(pci, (uint8_t)(req->io.value >> (8 * (PCI_RC_OFFSET - req->io.offset))));
	}
}

static void pci_reset(struct device *dev)
{
	struct pci_state *s = state_of(dev);

	page_begin(dev);
	HR_STORE(s->confadd, 0);
	HR_STORE(s->rc, 0);
	page_end(dev);
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
	if (device_init(&pci->dev, "pci", &pci_ops, clock, PCI_STATE_VERSION, sizeof(struct pci_page))) {
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
