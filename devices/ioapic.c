/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioapic.c: the 82093AA [82093AA]. An input's edge, or its level while no earlier message of it waits for its end
 * (remote IRR), becomes one message to the local APICs: service() decides, after every change.
 *
 * Input 0 is the 8259s' INTR, which is no line here: what entry 0 says of ExtINT is passed on, and who acknowledges the 8259s
 * sees to the rest.
 *
 * Not modelled: the APIC bus. A message is delivered at once, so the delivery status is always idle; the arbitration id
 * shows what was loaded and does not rotate. Lines say who asserts, not the voltage: INTPOL is only stored.
 */
#include "devices/ioapic.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/ioapic.h"
#include "vmm/bus.h"
#include "vmm/lock.h"

_Static_assert(IOAPIC_INPUTS == IOAPIC_PINS, "the header says how many");

/* Low half of an entry. */
#define RED_VECTOR 0xffu
#define RED_DELMOD 0x700u
#define RED_DELMOD_SHIFT 8
#define RED_DESTMOD 0x800u /* logical */
#define RED_REMOTE_IRR 0x4000u
#define RED_LEVEL 0x8000u
#define RED_MASK 0x10000u
#define RED_WRITABLE 0x1afffu /* all but delivery status and remote IRR */
/* High half. */
#define RED_DEST 0xff000000u
#define RED_DEST_SHIFT 24

#define DELMOD_FIXED 0u
#define DELMOD_LOWEST 1u
#define DELMOD_EXTINT 7u

#define PIN_OF_PIC 0u

#define ID_BITS 0x0f000000u

struct ioapic {
	struct device dev;
	/* constant after init */
	const struct irq_apic *apic;
	/* dev.lock */
	uint32_t inputs; /* levels */
	struct irq_msi watched[IOAPIC_PINS];
	unsigned watched_count;
	uint32_t extint; /* what has been told last of ExtINT: the destination field of entry 0, ... */
	bool extint_is_on, extint_is_logical;
};

static struct ioapic_state *state_of(struct ioapic *io)
{
	struct ioapic_page *page = device_page(&io->dev);

	return &page->s;
}

/* Only the model stores entries, so reading one takes dev.lock and no page. */
static uint32_t entry_of(struct ioapic *io, unsigned pin)
{
	return HR_LOAD(state_of(io)->redir[2 * pin]);
}

static void set_entry(struct ioapic *io, unsigned pin, uint32_t low)
{
	page_begin(&io->dev);
	HR_STORE(state_of(io)->redir[2 * pin], low);
	page_end(&io->dev);
}

/* The entry as the write that a device with message signalled interrupts would do. */
static struct irq_msi message(struct ioapic *io, unsigned pin)
{
	uint32_t low = entry_of(io, pin);
	uint32_t dest = (HR_LOAD(state_of(io)->redir[2 * pin + 1]) & RED_DEST) >> RED_DEST_SHIFT;

	return (struct irq_msi){
		.address = IRQ_MSI_BASE | dest << IRQ_MSI_DEST_SHIFT | (low & RED_DESTMOD ? IRQ_MSI_LOGICAL : 0),
		.data = (low & (RED_VECTOR | RED_DELMOD)) | (low & RED_LEVEL ? IRQ_MSI_LEVEL | IRQ_MSI_ASSERT : 0),
	};
}

static bool send(struct ioapic *io, unsigned pin)
{
	struct irq_msi msg = message(io, pin);

	return irq_send_msi(io->apic, &msg);
}

/* Only fixed and lowest-priority interrupts have an end that a local APIC announces. */
static bool has_end(uint32_t low)
{
	unsigned mode = (low & RED_DELMOD) >> RED_DELMOD_SHIFT;

	return (low & RED_LEVEL) && (mode == DELMOD_FIXED || mode == DELMOD_LOWEST);
}

/* Tells the local APICs of which messages the end matters. Masked entries too: one of theirs may be under way. */
static void watch(struct ioapic *io)
{
	struct irq_msi list[IOAPIC_PINS];
	unsigned count = 0;

	memset(list, 0, sizeof(list));
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if (has_end(entry_of(io, pin)))
			list[count++] = message(io, pin);
	}
	if (count == io->watched_count && !memcmp(list, io->watched, count * sizeof(list[0])))
		return;
	memcpy(io->watched, list, sizeof(list));
	io->watched_count = count;
	irq_watch_eoi(io->apic, list, count);
}

/* [82093AA] 3.2.4: ExtINT requires an edge trigger mode. */
static void route_extint(struct ioapic *io)
{
	const uint32_t low = entry_of(io, PIN_OF_PIC);
	const bool is_on = (low & (RED_DELMOD | RED_LEVEL | RED_MASK)) == DELMOD_EXTINT << RED_DELMOD_SHIFT;
	const bool is_logical = low & RED_DESTMOD;
	const uint32_t dest = HR_LOAD(state_of(io)->redir[2 * PIN_OF_PIC + 1]) >> RED_DEST_SHIFT;

	if (is_on == io->extint_is_on && (!is_on || (dest == io->extint && is_logical == io->extint_is_logical)))
		return;
	io->extint_is_on = is_on;
	io->extint = dest;
	io->extint_is_logical = is_logical;
	irq_route_extint(io->apic, is_on, (uint8_t)dest, is_logical);
}

/* A level-triggered input: sends it if it is high, free to be sent and not on its way already. */
static void service_level(struct ioapic *io, unsigned pin)
{
	uint32_t low = entry_of(io, pin);

	if (!(low & RED_LEVEL) || (low & (RED_MASK | RED_REMOTE_IRR)) || !(io->inputs >> pin & 1))
		return;
	/* [82093AA] 3.2.4: remote IRR is set when local APICs accept it */
	if (send(io, pin) && has_end(low))
		set_entry(io, pin, low | RED_REMOTE_IRR);
}

static void set_line(void *opaque, unsigned pin, bool level)
{
	struct ioapic *io = opaque;
	uint32_t bit = 1u << pin, low;
	bool rises;

	pthread_mutex_lock(&io->dev.lock);
	rises = level && !(io->inputs & bit);
	io->inputs = level ? io->inputs | bit : io->inputs & ~bit;
	low = entry_of(io, pin);
	if (low & RED_LEVEL)
		service_level(io, pin);
	else if (rises && !(low & RED_MASK)) /* an edge that comes while the input is masked is lost */
		(void)send(io, pin);
	pthread_mutex_unlock(&io->dev.lock);
}

struct irq_line ioapic_line(struct device *dev, unsigned pin)
{
	assert(pin < IOAPIC_PINS);
	return (struct irq_line){set_line, dev, pin};
}

void ioapic_eoi(void *opaque, uint8_t vector)
{
	struct ioapic *io = opaque;

	pthread_mutex_lock(&io->dev.lock);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint32_t low = entry_of(io, pin);

		if (!(low & RED_REMOTE_IRR) || (low & RED_VECTOR) != vector)
			continue;
		set_entry(io, pin, low & ~RED_REMOTE_IRR);
		service_level(io, pin);
	}
	pthread_mutex_unlock(&io->dev.lock);
}

static void write_entry(struct ioapic *io, unsigned half, uint32_t v)
{
	unsigned pin = half / 2;

	if (half & 1) {
		page_begin(&io->dev);
		HR_STORE(state_of(io)->redir[half], v & RED_DEST);
		page_end(&io->dev);
	} else {
		uint32_t low = (v & RED_WRITABLE) | (entry_of(io, pin) & RED_REMOTE_IRR);

		/*
		 * Remote IRR has no meaning for edges. Kernels count on it that it is gone after a change to edge and back,
		 * which is how they end a level-triggered interrupt of a part that has no EOI register.
		 */
		set_entry(io, pin, low & RED_LEVEL ? low : low & ~RED_REMOTE_IRR);
	}
	watch(io);
	if (pin == PIN_OF_PIC)
		route_extint(io);
	service_level(io, pin);
}

static void ioapic_write(struct device *dev, struct io_req *req)
{
	struct ioapic *io = (struct ioapic *)dev;
	uint32_t v = (uint32_t)req->io.value, select;

	page_begin(dev);
	select = HR_LOAD(state_of(io)->select);
	if (!ioapic_is_window_write(req->io.offset, req->io.size))
		ioapic_write_plain(state_of(io), req->io.offset, v);
	else if (select == IOAPIC_ID)
		HR_STORE(state_of(io)->id, v & ID_BITS);
	page_end(dev);
	if (ioapic_is_window_write(req->io.offset, req->io.size) && select - IOAPIC_REDTBL < 2 * IOAPIC_PINS)
		write_entry(io, select - IOAPIC_REDTBL, v);
}

static void ioapic_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = ioapic_value(state_of((struct ioapic *)dev), req->io.offset, req->io.size);
	page_end(dev);
}

/* [82093AA] 3.2: everything 0, every input masked. The inputs stay what their sources make them. */
static void ioapic_reset(struct device *dev)
{
	struct ioapic *io = (struct ioapic *)dev;
	struct ioapic_state *s = state_of(io);

	page_begin(dev);
	HR_STORE(s->select, 0);
	HR_STORE(s->id, 0);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		HR_STORE(s->redir[2 * pin], RED_MASK);
		HR_STORE(s->redir[2 * pin + 1], 0);
	}
	page_end(dev);
	watch(io);
	route_extint(io);
}

static void ioapic_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops ioapic_ops = {.reset = ioapic_reset, .destroy = ioapic_destroy};

static const struct reg_name ioapic_regs[] = {
	{IOAPIC_IOREGSEL, 4, "select"}, {IOAPIC_IOWIN, 4, "window"}, {0, 0, NULL}};

/* Every access that fits into the selector is a plain store: its upper bytes are reserved. */
static const struct range_zone ioapic_zones[] = {{.offset = IOAPIC_IOREGSEL, .len = 4}, {.len = 0}};

struct device *ioapic_create(struct bus *bus, struct clock *clock, const struct irq_apic *apic)
{
	static const struct range range = {.name = "ioapic",
		.bus = IO_MMIO,
		.base = IOAPIC_BASE,
		.len = IOAPIC_LEN,
		.width = 4,
		.read = ioapic_read,
		.write = ioapic_write,
		.regs = ioapic_regs,
		.deferred = ioapic_zones};
	struct ioapic *io = calloc(1, sizeof(*io));

	if (!io)
		return NULL;
	if (device_init(&io->dev, "ioapic", &ioapic_ops, clock, IOAPIC_STATE_VERSION, sizeof(struct ioapic_page))) {
		free(io);
		return NULL;
	}
	io->apic = apic;
	lock_declare(&io->dev.lock, "ioapic", LOCK_IRQCHIP);
	pthread_mutex_lock(&io->dev.lock);
	ioapic_reset(&io->dev);
	pthread_mutex_unlock(&io->dev.lock);
	if (!device_add_ranges(&io->dev, bus, &range, 1)) {
		ioapic_destroy(&io->dev);
		return NULL;
	}
	return &io->dev;
}
