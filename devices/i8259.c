/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8259.c: two 8259As in cascade [8259A], with the edge/level control registers of the PIIX3
 * [82371SB]. Each chip's INT output is a function of its registers and inputs, computed again by
 * update() after every change; nothing else drives the output line.
 *
 * Not modelled: MCS-80/85 mode (ICW4.uPM = 0 works as 8086 mode), buffered mode (no pins), and
 * ICW1.LTIM, which the PIIX3 replaces by the ELCR.
 */
#include "devices/i8259.h"

#include <assert.h>
#include <stdlib.h>

#include "bpf/i8259.h"
#include "vmm/lock.h"

#define ICW1_INIT 0x10u
#define ICW1_SNGL 0x02u
#define ICW1_IC4 0x01u
#define ICW4_SFNM 0x10u
#define ICW4_AEOI 0x02u
#define OCW2_R 0x80u
#define OCW2_SL 0x40u
#define OCW2_EOI 0x20u
#define OCW3 0x08u
#define OCW3_ESMM 0x40u
#define OCW3_SMM 0x20u
#define OCW3_P 0x04u
#define OCW3_RR 0x02u
#define OCW3_RIS 0x01u

#define CASCADE_IR 2u
#define SPURIOUS_IR 7u
#define BUS_FLOATS 0xff /* nobody puts a vector on the data bus */

enum init_step { READY, WANT_ICW2, WANT_ICW3, WANT_ICW4 };

struct chip {
	uint8_t inputs; /* levels of IR0..7 */
	uint8_t irr;	/* edge: latched; level: follows the input */
	uint8_t isr;
	uint8_t imr;
	uint8_t elcr; /* 1: level triggered */
	uint8_t base; /* ICW2, T7..T3 */
	uint8_t icw3;
	uint8_t lowest; /* the IR of lowest priority; the next one has the highest */
	bool single;	/* ICW1.SNGL */
	bool wants_icw4;
	bool aeoi, sfnm;
	bool rotate_in_aeoi;
	bool special_mask;
	bool read_isr;
	bool poll;
	enum init_step step;
};

struct i8259 {
	struct device dev;
	/* constant after init */
	struct irq_line intr;
	/* dev.lock */
	struct chip master, slave;
};

static const uint8_t elcr_mask[2] = {0xf8, 0xde}; /* IRQ 0, 1, 2, 8 and 13 are edge triggered for good */

/* The set bit of highest priority, or 8 when there is none. */
static unsigned highest(const struct chip *c, uint8_t bits)
{
	for (unsigned i = 1; i <= 8; i++)
		if (bits >> ((c->lowest + i) & 7) & 1)
			return (c->lowest + i) & 7;
	return 8;
}

/* 0 is the highest priority; 8 for "none". */
static unsigned rank(const struct chip *c, unsigned ir)
{
	return ir > 7 ? 8 : (ir - c->lowest - 1) & 7;
}

/* The IR that the INT output stands for, or 8: INT is low. */
static unsigned requesting(const struct chip *c, bool is_master)
{
	unsigned ir = highest(c, c->irr & ~c->imr);
	uint8_t blocking = c->isr;

	if (c->step != READY)
		return 8;
	if (c->special_mask)
		blocking &= ~c->imr;
	if (c->sfnm && is_master)
		blocking &= ~c->icw3;
	return rank(c, ir) < rank(c, highest(c, blocking)) ? ir : 8;
}

static void chip_set_inputs(struct chip *c, uint8_t inputs)
{
	uint8_t rising = inputs & ~c->inputs;

	c->inputs = inputs;
	c->irr = ((c->irr | rising) & inputs & ~c->elcr) | (inputs & c->elcr);
}

static void chip_set_input(struct chip *c, unsigned ir, bool level)
{
	uint8_t bit = (uint8_t)(1u << ir);

	chip_set_inputs(c, level ? c->inputs | bit : c->inputs & ~bit);
}

static uint64_t shown(const struct chip *c, unsigned base)
{
	return (uint64_t)(c->read_isr ? c->isr : c->irr) << 8 * base | (uint64_t)c->imr << 8 * (base + 1);
}

/* What programs show. */
static void show(struct i8259 *pic)
{
	struct pic_state *s = &((struct pic_page *)device_page(&pic->dev))->s;
	uint64_t now = shown(&pic->master, PIC_MASTER) | shown(&pic->slave, PIC_SLAVE) |
		       (uint64_t)pic->master.elcr << 8 * PIC_ELCR | (uint64_t)pic->slave.elcr << 8 * (PIC_ELCR + 1) |
		       (uint64_t)(pic->master.poll | pic->slave.poll << 1) << 8 * PIC_POLL;

	if (now == HR_LOAD(s->shown))
		return;
	page_begin(&pic->dev);
	HR_STORE(s->shown, now);
	page_end(&pic->dev);
}

/* After each change: computes both INT outputs again. */
static void update(struct i8259 *pic)
{
	chip_set_input(&pic->master, CASCADE_IR, requesting(&pic->slave, false) < 8);
	show(pic);
	irq_set(&pic->intr, requesting(&pic->master, true) < 8);
}

/* INTA (or a poll): takes the request of highest priority into service. Returns it, or 8. */
static unsigned chip_ack(struct chip *c, bool is_master)
{
	unsigned ir = requesting(c, is_master);

	if (ir > 7)
		return ir;
	c->isr |= 1u << ir;
	c->irr &= ~(1u << ir) | c->elcr; /* a level-triggered request stays as long as its line */
	if (c->aeoi) {
		c->isr &= ~(1u << ir);
		if (c->rotate_in_aeoi)
			c->lowest = (uint8_t)ir;
	}
	return ir;
}

/* INT falls with the acknowledge, so that a further request of the slave is a new edge on IR2. */
static unsigned slave_ack(struct i8259 *pic)
{
	unsigned ir = chip_ack(&pic->slave, false);

	chip_set_input(&pic->master, CASCADE_IR, false);
	return ir;
}

static uint8_t vector(const struct chip *c, unsigned ir)
{
	return c->base | (ir > 7 ? SPURIOUS_IR : ir);
}

int i8259_ack(void *opaque)
{
	struct i8259 *pic = opaque;
	unsigned ir;
	int vec;

	pthread_mutex_lock(&pic->dev.lock);
	ir = chip_ack(&pic->master, true);
	vec = vector(&pic->master, ir);
	if (ir == CASCADE_IR && !pic->master.single && (pic->master.icw3 & (1u << CASCADE_IR))) {
		unsigned slave_ir = slave_ack(pic);

		/* The slave answers to the number that its own ICW3 gave it. */
		vec = (pic->slave.icw3 & 7) == CASCADE_IR ? vector(&pic->slave, slave_ir) : BUS_FLOATS;
	}
	update(pic);
	pthread_mutex_unlock(&pic->dev.lock);
	return vec;
}

static void set_line(void *opaque, unsigned irq, bool level)
{
	struct i8259 *pic = opaque;

	pthread_mutex_lock(&pic->dev.lock);
	chip_set_input(irq < 8 ? &pic->master : &pic->slave, irq & 7, level);
	update(pic);
	pthread_mutex_unlock(&pic->dev.lock);
}

struct irq_line i8259_line(struct device *dev, unsigned irq)
{
	assert(irq < 16 && irq != CASCADE_IR);
	return (struct irq_line){set_line, dev, irq};
}

static void write_icw1(struct chip *c, uint8_t v)
{
	/* [8259A] ICW1 a-f: edge sense, IMR, priorities, slave address, special mask, status read. */
	c->irr &= c->elcr;
	c->isr = 0;
	c->imr = 0;
	c->lowest = 7;
	c->icw3 = 7;
	c->special_mask = false;
	c->read_isr = false;
	c->poll = false;
	c->rotate_in_aeoi = false;
	c->single = v & ICW1_SNGL;
	c->wants_icw4 = v & ICW1_IC4;
	c->aeoi = false;
	c->sfnm = false;
	c->step = WANT_ICW2;
}

static void write_ocw2(struct chip *c, uint8_t v)
{
	bool rotate = v & OCW2_R, specific = v & OCW2_SL;
	/* A non-specific EOI does not see what special mask mode has masked. */
	uint8_t visible = c->special_mask ? c->isr & ~c->imr : c->isr;
	unsigned ir = specific ? v & 7u : highest(c, visible);

	if (v & OCW2_EOI) {
		if (ir > 7)
			return;
		c->isr &= ~(1u << ir);
		if (rotate)
			c->lowest = (uint8_t)ir;
	} else if (!specific) {
		c->rotate_in_aeoi = rotate;
	} else if (rotate) {
		c->lowest = (uint8_t)ir; /* set priority */
	}
}

static void write_ocw3(struct chip *c, uint8_t v)
{
	if (v & OCW3_ESMM)
		c->special_mask = v & OCW3_SMM;
	if (v & OCW3_RR)
		c->read_isr = v & OCW3_RIS;
	c->poll = v & OCW3_P;
}

static void write_a1(struct chip *c, uint8_t v)
{
	switch (c->step) {
	case READY:
		c->imr = v;
		return;
	case WANT_ICW2:
		c->base = v & 0xf8;
		c->step = !c->single ? WANT_ICW3 : c->wants_icw4 ? WANT_ICW4 : READY;
		return;
	case WANT_ICW3:
		c->icw3 = v;
		c->step = c->wants_icw4 ? WANT_ICW4 : READY;
		return;
	case WANT_ICW4:
		c->aeoi = v & ICW4_AEOI;
		c->sfnm = v & ICW4_SFNM;
		c->step = READY;
		return;
	}
}

static void chip_write(struct i8259 *pic, struct chip *c, const struct io_req *req)
{
	uint8_t v = (uint8_t)req->io.value;

	if (req->io.offset)
		write_a1(c, v);
	else if (v & ICW1_INIT)
		write_icw1(c, v);
	else if (v & OCW3)
		write_ocw3(c, v);
	else
		write_ocw2(c, v);
	update(pic);
}

static void chip_read(struct i8259 *pic, struct chip *c, struct io_req *req)
{
	unsigned ir;

	if (c->poll) { /* the read is an acknowledge, whichever register it names */
		c->poll = false;
		ir = c == &pic->slave ? slave_ack(pic) : chip_ack(c, true);
		req->io.result = ir > 7 ? SPURIOUS_IR : 0x80u | ir;
		update(pic);
	} else if (req->io.offset) {
		req->io.result = c->imr;
	} else {
		req->io.result = c->read_isr ? c->isr : c->irr;
	}
}

static void master_read(struct device *dev, struct io_req *req)
{
	struct i8259 *pic = (struct i8259 *)dev;

	chip_read(pic, &pic->master, req);
}

static void master_write(struct device *dev, struct io_req *req)
{
	struct i8259 *pic = (struct i8259 *)dev;

	chip_write(pic, &pic->master, req);
}

static void slave_read(struct device *dev, struct io_req *req)
{
	struct i8259 *pic = (struct i8259 *)dev;

	chip_read(pic, &pic->slave, req);
}

static void slave_write(struct device *dev, struct io_req *req)
{
	struct i8259 *pic = (struct i8259 *)dev;

	chip_write(pic, &pic->slave, req);
}

static void elcr_read(struct device *dev, struct io_req *req)
{
	struct i8259 *pic = (struct i8259 *)dev;

	req->io.result = req->io.offset ? pic->slave.elcr : pic->master.elcr;
}

static void elcr_write(struct device *dev, struct io_req *req)
{
	struct i8259 *pic = (struct i8259 *)dev;
	struct chip *c = req->io.offset ? &pic->slave : &pic->master;

	c->elcr = (uint8_t)req->io.value & elcr_mask[req->io.offset & 1];
	chip_set_inputs(c, c->inputs);
	update(pic);
}

/* Power-on: [8259A] leaves the registers undefined; everything is masked until the guest speaks. */
static void i8259_reset(struct device *dev)
{
	struct i8259 *pic = (struct i8259 *)dev;
	struct chip *chips[2] = {&pic->master, &pic->slave};

	for (unsigned i = 0; i < 2; i++)
		*chips[i] = (struct chip){.inputs = chips[i]->inputs, .lowest = 7, .imr = 0xff};
	pic->master.inputs &= ~(1u << CASCADE_IR);
	update(pic);
}

static void i8259_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops i8259_ops = {.reset = i8259_reset, .destroy = i8259_destroy};

static const struct reg_name chip_regs[] = {{0, 1, "command/irr/isr"}, {1, 1, "mask"}, {0, 0, NULL}};
static const struct reg_name elcr_regs[] = {{0, 1, "elcr1"}, {1, 1, "elcr2"}, {0, 0, NULL}};

struct device *i8259_create(struct bus *bus, struct clock *clock, struct irq_line intr)
{
	struct i8259 *pic = calloc(1, sizeof(*pic));

	if (!pic)
		return NULL;
	if (device_init(&pic->dev, "i8259", &i8259_ops, clock, PIC_STATE_VERSION, sizeof(struct pic_page))) {
		free(pic);
		return NULL;
	}
	pic->intr = intr;
	lock_declare(&pic->dev.lock, "i8259", LOCK_IRQCHIP);
	struct range ranges[] = {
		{.name = "i8259.master",
			.base = 0x20,
			.len = 2,
			.read = master_read,
			.write = master_write,
			.regs = chip_regs},
		{.name = "i8259.slave",
			.base = 0xa0,
			.len = 2,
			.read = slave_read,
			.write = slave_write,
			.regs = chip_regs},
		{.name = "i8259.elcr",
			.base = 0x4d0,
			.len = 2,
			.read = elcr_read,
			.write = elcr_write,
			.regs = elcr_regs},
	};
	if (!device_add_ranges(&pic->dev, bus, ranges, 3)) {
		i8259_destroy(&pic->dev);
		return NULL;
	}
	return &pic->dev;
}
