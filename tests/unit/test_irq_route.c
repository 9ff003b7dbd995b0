/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_irq_route.c: a device's line reaches both interrupt controllers, at the inputs that PCs have; wires with several
 * sources; PCI's interrupts through PIRQRC, in the router alone and through the PIIX3's configuration space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "devices/irq_route.h"
#include "devices/pci.h"
#include "devices/piix3.h"
#include "devices/piix4_pm.h"
#include "tests/unit/board.h"

#define INTR 0

struct rig {
	struct board board;
	struct device *pic, *io;
	struct irq_route *routes;
	struct irq_apic apic;
	unsigned sent[256]; /* messages by vector */
};

static bool take(void *opaque, const struct irq_msi *msg)
{
	((struct rig *)opaque)->sent[msg->data & 0xff]++;
	return true;
}

static void init_pic(struct rig *r)
{
	static const uint8_t words[2][4] = {{0x11, 0x20, 0x04, 0x01}, {0x11, 0x28, 0x02, 0x01}};

	for (unsigned chip = 0; chip < 2; chip++) {
		for (unsigned i = 0; i < 4; i++)
			board_out(&r->board, (uint16_t)((chip ? 0xa0 : 0x20) + (i > 0)), words[chip][i]);
	}
}

/* Every input of the I/O APIC has vector 0x80 + its number, by edge or by level. */
static void init_ioapic(struct rig *r, uint32_t bits)
{
	for (unsigned pin = 0; pin < 24; pin++) {
		board_io(&r->board, IO_MMIO, 0xfec00000, 4, true, 0x10 + 2 * pin);
		board_io(&r->board, IO_MMIO, 0xfec00010, 4, true, (0x80 + pin) | bits);
	}
}

static int make(void **state, bool has_ioapic)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	r->apic = (struct irq_apic){.send = take, .opaque = r};
	r->pic = i8259_create(&r->board.bus, &r->board.clock, board_line(&r->board, INTR));
	board_reset(r->pic);
	init_pic(r);
	if (has_ioapic) {
		r->io = ioapic_create(&r->board.bus, &r->board.clock, &r->apic);
		assert_non_null(r->io);
		init_ioapic(r, 0);
	}
	r->routes = irq_route_create(r->pic, r->io);
	assert_non_null(r->routes);
	*state = r;
	return 0;
}

static int setup(void **state)
{
	return make(state, true);
}

static int setup_pic_only(void **state)
{
	return make(state, false);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	irq_route_destroy(r->routes);
	if (r->io)
		r->io->ops->destroy(r->io);
	board_destroy(&r->board, r->pic);
	free(r);
	return 0;
}

/* Acknowledges what the PIC asks for, if anything, and ends it. */
static int pic_vector(struct rig *r)
{
	int vec;

	if (!r->board.level[INTR])
		return -1;
	vec = i8259_ack(r->pic);
	if (vec >= 0x28)
		board_out(&r->board, 0xa0, 0x20);
	board_out(&r->board, 0x20, 0x20);
	return vec;
}

/* MP and ACPI: IRQ 0 is input 2 of the I/O APIC, every other the input of its number. */
static void test_isa(void **state)
{
	struct rig *r = *state;

	for (unsigned irq = 0; irq < 16; irq++) {
		struct irq_line l;

		if (irq == 2)
			continue;
		l = irq_route_isa(r->routes, irq);
		irq_set(&l, true);
		assert_int_equal(pic_vector(r), 0x20 + irq);
		for (unsigned pin = 0; pin < 24; pin++) {
			assert_int_equal(r->sent[0x80 + pin], r->io && pin == (irq ? irq : 2));
			r->sent[0x80 + pin] = 0;
		}
		irq_set(&l, false);
		assert_int_equal(pic_vector(r), -1);
	}
	for (unsigned gsi = 16; gsi < 24; gsi++) {
		struct irq_line l = irq_route_gsi(r->routes, gsi);

		irq_set(&l, true);
		assert_int_equal(pic_vector(r), -1);
		assert_int_equal(r->sent[0x80 + gsi], r->io != NULL);
	}
}

/* A wire is high while any source is; only its own changes reach the controllers. */
static void test_wired_or(void **state)
{
	struct rig *r = *state;
	struct irq_line a = irq_route_isa(r->routes, 5), b = irq_route_isa(r->routes, 5);

	irq_set(&a, true);
	assert_int_equal(pic_vector(r), 0x25);
	irq_set(&b, true);
	assert_int_equal(pic_vector(r), -1);
	irq_set(&a, false);
	irq_set(&a, true);
	assert_int_equal(pic_vector(r), -1);
	irq_set(&a, false);
	irq_set(&b, false);
	irq_set(&b, true);
	assert_int_equal(pic_vector(r), 0x25);
	assert_int_equal(r->sent[0x85], 2);
}

/* [82371SB] PIRQRC: bit 7 off; the IRQ in bits 3-0, of which some are reserved. */
static void test_pirq(void **state)
{
	static const bool can[16] = {
		[3] = 1, [4] = 1, [5] = 1, [6] = 1, [7] = 1, [9] = 1, [10] = 1, [11] = 1, [12] = 1, [14] = 1, [15] = 1};
	struct rig *r = *state;

	for (unsigned pirq = 0; pirq < 4; pirq++) {
		struct irq_line l = irq_route_pirq(r->routes, pirq);

		irq_set(&l, true);
		assert_int_equal(pic_vector(r), -1);
		for (unsigned irq = 0; irq < 16; irq++) {
			irq_route_set_pirqrc(r->routes, pirq, (uint8_t)irq);
			assert_int_equal(pic_vector(r), can[irq] ? 0x20 + (int)irq : -1);
			assert_int_equal(r->sent[0x80 + irq], can[irq] ? pirq + 1 : 0);
			irq_route_set_pirqrc(r->routes, pirq, (uint8_t)(0x80 | irq));
			assert_int_equal(pic_vector(r), -1);
		}
		irq_set(&l, false);
	}
}

/* Two PIRQs and an ISA device on one level-triggered IRQ; the route moves away under one of them. */
static void test_pirq_shared(void **state)
{
	struct rig *r = *state;
	struct irq_line a = irq_route_pirq(r->routes, 0), a2 = irq_route_pirq(r->routes, 0);
	struct irq_line d = irq_route_pirq(r->routes, 3), isa = irq_route_isa(r->routes, 11);

	board_out(&r->board, 0x4d1, 0x0c); /* ELCR: IRQ 10 and 11 by level */
	irq_route_set_pirqrc(r->routes, 0, 11);
	irq_route_set_pirqrc(r->routes, 3, 11);
	irq_set(&a, true);
	irq_set(&a2, true);
	irq_set(&d, true);
	irq_set(&isa, true);
	assert_int_equal(pic_vector(r), 0x2b);
	irq_set(&a, false);
	irq_set(&d, false);
	irq_set(&isa, false);
	assert_int_equal(pic_vector(r), 0x2b); /* a2 holds it */
	irq_route_set_pirqrc(r->routes, 0, 10);
	assert_int_equal(pic_vector(r), 0x2a);
	irq_set(&a2, false);
	assert_int_equal(pic_vector(r), -1);
}

/* The registers in configuration space, and that reset turns the routes off. */
static void test_piix3(void **state)
{
	struct rig *r = *state;
	struct device *pci = pci_create(&r->board.bus, &r->board.clock, (struct irq_line){0});
	struct device *pm = piix4_pm_create(&r->board.bus, &r->board.clock, &(struct piix4_pm_config){.opaque = NULL});
	struct device *piix = piix3_create(&r->board.clock, pci, pm, r->routes);
	struct irq_line c = irq_route_pirq(r->routes, 2);

	assert_true(pci && pm && piix);
	board_reset(pci);
	board_reset(pm);
	board_reset(piix);
	irq_set(&c, true);
	board_io(&r->board, IO_PIO, 0xcf8, 4, true, 0x80000860);
	assert_int_equal(board_io(&r->board, IO_PIO, 0xcfc, 4, false, 0), 0x80808080);
	board_io(&r->board, IO_PIO, 0xcfd, 1, true, 0x0a); /* PIRQ B: idle */
	assert_int_equal(pic_vector(r), -1);
	board_io(&r->board, IO_PIO, 0xcfc, 4, true, 0x800b800a);
	assert_int_equal(pic_vector(r), 0x2b);
	assert_int_equal(r->sent[0x8b], 1);
	board_io(&r->board, IO_PIO, 0xcfe, 1, true, 0x8b);
	board_io(&r->board, IO_PIO, 0xcfe, 1, true, 0x7b); /* bits 6-4 are reserved */
	assert_int_equal(board_io(&r->board, IO_PIO, 0xcfe, 1, false, 0), 0x0b);
	assert_int_equal(pic_vector(r), 0x2b);
	board_reset(piix);
	irq_set(&c, false);
	irq_set(&c, true);
	assert_int_equal(pic_vector(r), -1);
	piix->ops->destroy(piix);
	pm->ops->destroy(pm);
	pci->ops->destroy(pci);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_isa, setup, teardown),
		cmocka_unit_test_setup_teardown(test_isa, setup_pic_only, teardown),
		cmocka_unit_test_setup_teardown(test_wired_or, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pirq, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pirq_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_piix3, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
