/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ioapic.c: the I/O APIC against the text of the 82093AA datasheet: which bits of which register can be written, and for
 * every combination of trigger, mask and what the line does, which message goes out and what remote IRR then says.
 * The other side are local APICs of the test's own, which note messages and take them or not.
 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/ioapic.h"
#include "tests/unit/board.h"

#define BASE 0xfec00000u
#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE_IRR 0x4000u
#define LOGICAL 0x800u

struct rig {
	struct board board;
	struct device *io;
	struct irq_apic apic;
	struct irq_msi sent[64];
	unsigned count;
	bool refuses;
	struct irq_msi watched[24];
	unsigned watched_count, watch_calls;
	unsigned extint_calls, extint; /* dest, 0x100: on, 0x200: logical */
};

static bool take(void *opaque, const struct irq_msi *msg)
{
	struct rig *r = opaque;

	assert_true(r->count < 64);
	r->sent[r->count++] = *msg;
	return !r->refuses;
}

static void watch(void *opaque, const struct irq_msi *list, unsigned count)
{
	struct rig *r = opaque;

	assert_true(count <= 24);
	memcpy(r->watched, list, count * sizeof(list[0]));
	r->watched_count = count;
	r->watch_calls++;
}

static void extint(void *opaque, bool is_on, uint8_t dest, bool is_logical)
{
	struct rig *r = opaque;

	r->extint = is_on ? 0x100u | dest | (is_logical ? 0x200 : 0) : 0;
	r->extint_calls++;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	r->apic = (struct irq_apic){.send = take, .watch_eoi = watch, .route_extint = extint, .opaque = r};
	r->io = ioapic_create(&r->board.bus, &r->board.clock, &r->apic);
	assert_non_null(r->io);
	board_reset(r->io);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	board_destroy(&r->board, r->io);
	free(r);
	return 0;
}

static uint64_t mem_read(struct rig *r, uint32_t offset, unsigned size)
{
	return board_io(&r->board, IO_MMIO, BASE + offset, size, false, 0);
}

static void mem_write(struct rig *r, uint32_t offset, unsigned size, uint64_t v)
{
	board_io(&r->board, IO_MMIO, BASE + offset, size, true, v);
}

static uint32_t get(struct rig *r, uint8_t reg)
{
	mem_write(r, 0, 4, reg);
	return (uint32_t)mem_read(r, 0x10, 4);
}

static void set(struct rig *r, uint8_t reg, uint32_t v)
{
	mem_write(r, 0, 4, reg);
	mem_write(r, 0x10, 4, v);
}

static uint32_t low(struct rig *r, unsigned pin)
{
	return get(r, (uint8_t)(0x10 + 2 * pin));
}

static void entry(struct rig *r, unsigned pin, uint32_t low_half, uint32_t high_half)
{
	set(r, (uint8_t)(0x11 + 2 * pin), high_half);
	set(r, (uint8_t)(0x10 + 2 * pin), low_half);
}

static void line(struct rig *r, unsigned pin, bool level)
{
	struct irq_line l = ioapic_line(r->io, pin);

	irq_set(&l, level);
}

static unsigned take_count(struct rig *r)
{
	unsigned n = r->count;

	r->count = 0;
	return n;
}

/* 3.2: what is there at power-on. */
static void test_defaults(void **state)
{
	struct rig *r = *state;

	assert_int_equal(mem_read(r, 0, 4), 0);
	assert_int_equal(get(r, 0), 0);
	assert_int_equal(get(r, 1), 0x00170011); /* version 11h, 24 entries */
	assert_int_equal(get(r, 2), 0);
	for (unsigned pin = 0; pin < 24; pin++)
		assert_int_equal(low(r, pin), MASKED);
	for (unsigned reg = 0x11; reg < 0x40; reg += 2)
		assert_int_equal(get(r, (uint8_t)reg), 0);
	assert_int_equal(r->count, 0);
}

/* Table 2: what can be written. */
static void test_writable(void **state)
{
	struct rig *r = *state;

	set(r, 0, 0xffffffff);
	assert_int_equal(get(r, 0), 0x0f000000);
	assert_int_equal(get(r, 2), 0x0f000000); /* 3.2.1: the same data is loaded into both */
	set(r, 0, 0x05000000);
	set(r, 2, 0xffffffff);
	assert_int_equal(get(r, 0), 0x05000000);
	assert_int_equal(get(r, 2), 0x05000000);
	set(r, 1, 0xffffffff);
	assert_int_equal(get(r, 1), 0x00170011);
	for (unsigned pin = 0; pin < 24; pin++) {
		entry(r, pin, 0xffffffff, 0xffffffff);
		assert_int_equal(low(r, pin), 0x1afff); /* not remote IRR, delivery status and 31-17 */
		assert_int_equal(get(r, (uint8_t)(0x11 + 2 * pin)), 0xff000000);
	}
	for (unsigned reg = 3; reg < 256; reg++) {
		if (reg >= 0x10 && reg < 0x40)
			continue;
		set(r, (uint8_t)reg, 0xffffffff);
		assert_int_equal(get(r, (uint8_t)reg), 0);
	}
	assert_int_equal(get(r, 0), 0x05000000);
	board_reset(r->io);
	test_defaults(state);
}

/* 3.0: a byte write selects; the window is a doubleword. In between there is nothing. */
static void test_sizes(void **state)
{
	struct rig *r = *state;

	mem_write(r, 0, 1, 0x10);
	assert_int_equal(mem_read(r, 0, 4), 0x10);
	mem_write(r, 0, 2, 0xff12);
	assert_int_equal(mem_read(r, 0, 4), 0x12);
	mem_write(r, 0, 4, 0xffffff01);
	assert_int_equal(mem_read(r, 0, 4), 0x01);
	mem_write(r, 1, 1, 0xff);
	mem_write(r, 2, 2, 0xffff);
	assert_int_equal(mem_read(r, 0, 4), 0x01);
	assert_int_equal(mem_read(r, 0x10, 1), 0x11);
	assert_int_equal(mem_read(r, 0x12, 1), 0x17);
	assert_int_equal(mem_read(r, 0x12, 2), 0x0017);
	set(r, 0x11, 0x12000000);
	mem_write(r, 0x13, 1, 0x34);
	mem_write(r, 0x10, 2, 0x3434);
	assert_int_equal(mem_read(r, 0x10, 4), 0x12000000);
	mem_write(r, 4, 4, 0x10);
	mem_write(r, 0x14, 4, 0x10);
	mem_write(r, 0x40, 4, 0x10); /* version 11h has no EOI register */
	assert_int_equal(mem_read(r, 4, 4), 0xffffffff);
	assert_int_equal(mem_read(r, 0x14, 4), 0xffffffff);
	assert_int_equal(mem_read(r, 0x40, 4), 0xffffffff);
	assert_int_equal(mem_read(r, 0, 4), 0x11);
	/* a quadword is two doublewords, ascending */
	mem_write(r, 0, 8, 0x10);
	assert_int_equal(mem_read(r, 0, 8), 0xffffffff00000010);
}

/* The message of each entry: address and data as [SDM3] has them. */
static void test_message(void **state)
{
	struct rig *r = *state;

	for (unsigned pin = 0; pin < 24; pin++) {
		for (unsigned mode = 0; mode < 8; mode++) {
			uint32_t vector = 0x30 + 8 * pin + mode, dest = 7 * pin + mode;

			entry(r, pin, MASKED, 0);
			line(r, pin, false);
			entry(r, pin, vector | mode << 8 | (mode & 1 ? LOGICAL : 0), dest << 24);
			line(r, pin, true);
			assert_int_equal(r->count, 1);
			assert_int_equal(r->sent[0].address, 0xfee00000u | dest << 12 | (mode & 1 ? 4 : 0));
			assert_int_equal(r->sent[0].data, vector | mode << 8);
			assert_int_equal(low(r, pin) & REMOTE_IRR, 0); /* edges have none */
			r->count = 0;
			entry(r, pin, MASKED, 0);
		}
		line(r, pin, false);
	}
	entry(r, 16, 0x51 | LEVEL, 3u << 24);
	line(r, 16, true);
	assert_int_equal(r->count, 1);
	assert_int_equal(r->sent[0].address, 0xfee03000);
	assert_int_equal(r->sent[0].data, 0xc051); /* level, asserted */
}

/* Edge: one message a rise; one that comes while masked is neither delivered nor held (3.2.4, bit 16). */
static void test_edge(void **state)
{
	struct rig *r = *state;

	entry(r, 4, 0x31, 0);
	line(r, 4, true);
	line(r, 4, true);
	assert_int_equal(take_count(r), 1);
	line(r, 4, false);
	assert_int_equal(take_count(r), 0);
	line(r, 4, true);
	assert_int_equal(take_count(r), 1);
	entry(r, 4, 0x31, 0); /* a write is no edge */
	assert_int_equal(take_count(r), 0);
	entry(r, 4, 0x31 | MASKED, 0);
	line(r, 4, false);
	line(r, 4, true);
	entry(r, 4, 0x31, 0);
	assert_int_equal(take_count(r), 0);
	line(r, 4, false);
	line(r, 4, true);
	assert_int_equal(take_count(r), 1);
	ioapic_eoi(r->io, 0x31); /* means nothing */
	assert_int_equal(take_count(r), 0);
	/* nobody takes it: it is gone */
	r->refuses = true;
	line(r, 4, false);
	line(r, 4, true);
	r->refuses = false;
	r->count = 0;
	line(r, 4, true);
	assert_int_equal(take_count(r), 0);
}

/*
 * Every step of a level-triggered input from every state, against the datasheet's sentences:
 * a message goes out exactly when the input is active, not masked and remote IRR is clear; remote IRR is set by its acceptance
 * and cleared by the EOI of the same vector alone.
 */
static void test_level_matrix(void **state)
{
	struct rig *r = *state;
	enum { RISE, FALL, MASK, UNMASK, EOI, OTHER_EOI, EVENTS };
	uint64_t seed = 1;

	for (unsigned round = 0; round < 2000; round++) {
		unsigned pin = board_random(&seed) % 24;
		bool is_high = false, is_masked = true, has_irr = false;

		r->refuses = false;
		entry(r, pin, 0x40 | LEVEL | MASKED, 0);
		for (unsigned step = 0; step < 12; step++) {
			unsigned event = board_random(&seed) % EVENTS, want;

			r->refuses = board_random(&seed) % 4 == 0;
			is_high = event == RISE || (is_high && event != FALL);
			is_masked = event == MASK || (is_masked && event != UNMASK);
			/* an EOI offers again only what it ends: what was refused waits for another change */
			want = is_high && !is_masked && (event == EOI ? has_irr : !has_irr && event != OTHER_EOI);
			if (event == EOI)
				has_irr = false;
			switch (event) {
			case RISE:
			case FALL:
				line(r, pin, event == RISE);
				break;
			case MASK:
			case UNMASK:
				set(r, (uint8_t)(0x10 + 2 * pin), 0x40 | LEVEL | (event == MASK ? MASKED : 0));
				break;
			default:
				ioapic_eoi(r->io, event == EOI ? 0x40 : 0x41);
				break;
			}
			assert_int_equal(r->count, want);
			assert_true(r->count <= 1);
			if (r->count && !r->refuses)
				has_irr = true;
			r->count = 0;
			assert_int_equal(
				low(r, pin), 0x40 | LEVEL | (is_masked ? MASKED : 0) | (has_irr ? REMOTE_IRR : 0));
		}
		line(r, pin, false);
		set(r, (uint8_t)(0x10 + 2 * pin), MASKED);
		r->count = 0;
	}
}

/* A level held through the EOI comes again, one that has gone does not. */
static void test_level_eoi(void **state)
{
	struct rig *r = *state;

	entry(r, 9, 0x59 | LEVEL, 0);
	line(r, 9, true);
	assert_int_equal(take_count(r), 1);
	assert_int_equal(low(r, 9), 0x59 | LEVEL | REMOTE_IRR);
	line(r, 9, false);
	line(r, 9, true); /* on its way: nothing more */
	assert_int_equal(take_count(r), 0);
	ioapic_eoi(r->io, 0x58);
	assert_int_equal(take_count(r), 0);
	assert_int_equal(low(r, 9), 0x59 | LEVEL | REMOTE_IRR);
	ioapic_eoi(r->io, 0x59);
	assert_int_equal(take_count(r), 1);
	assert_int_equal(low(r, 9), 0x59 | LEVEL | REMOTE_IRR);
	line(r, 9, false);
	ioapic_eoi(r->io, 0x59);
	assert_int_equal(take_count(r), 0);
	assert_int_equal(low(r, 9), 0x59 | LEVEL);
	/* masked on its way: ended all the same, not sent again */
	line(r, 9, true);
	entry(r, 9, 0x59 | LEVEL | MASKED, 0);
	assert_int_equal(low(r, 9), 0x59 | LEVEL | MASKED | REMOTE_IRR);
	assert_int_equal(take_count(r), 1);
	ioapic_eoi(r->io, 0x59);
	assert_int_equal(take_count(r), 0);
	assert_int_equal(low(r, 9), 0x59 | LEVEL | MASKED);
	entry(r, 9, 0x59 | LEVEL, 0);
	assert_int_equal(take_count(r), 1);
}

/* Two inputs with one vector: its EOI ends both. */
static void test_shared_vector(void **state)
{
	struct rig *r = *state;

	entry(r, 10, 0x61 | LEVEL, 0);
	entry(r, 11, 0x61 | LEVEL, 0);
	line(r, 10, true);
	line(r, 11, true);
	assert_int_equal(take_count(r), 2);
	line(r, 10, false);
	ioapic_eoi(r->io, 0x61);
	assert_int_equal(take_count(r), 1);
	assert_int_equal(low(r, 10), 0x61 | LEVEL);
	assert_int_equal(low(r, 11), 0x61 | LEVEL | REMOTE_IRR);
}

/* To edge and back, masked: remote IRR is gone, as kernels expect of parts without an EOI register. */
static void test_switch_clears(void **state)
{
	struct rig *r = *state;

	entry(r, 9, 0x59 | LEVEL, 0);
	line(r, 9, true);
	set(r, 0x22, 0x59 | MASKED);
	assert_int_equal(low(r, 9), 0x59 | MASKED);
	set(r, 0x22, 0x59 | LEVEL | MASKED);
	assert_int_equal(take_count(r), 1);
	set(r, 0x22, 0x59 | LEVEL);
	assert_int_equal(take_count(r), 1);
	/* from edge to level with the line high */
	entry(r, 5, 0x55, 0);
	line(r, 5, true);
	assert_int_equal(take_count(r), 1);
	entry(r, 5, 0x55 | LEVEL, 0);
	assert_int_equal(take_count(r), 1);
	assert_int_equal(low(r, 5), 0x55 | LEVEL | REMOTE_IRR);
	/* reset forgets it too; the line stays */
	board_reset(r->io);
	assert_int_equal(low(r, 5), MASKED);
	assert_int_equal(take_count(r), 0);
	entry(r, 5, 0x55 | LEVEL, 0);
	assert_int_equal(take_count(r), 1);
}

/* INTPOL is only stored: a line says who asserts, not the voltage. */
static void test_polarity(void **state)
{
	struct rig *r = *state;

	entry(r, 16, 0x70 | LEVEL | 0x2000, 0);
	assert_int_equal(low(r, 16), 0x70 | LEVEL | 0x2000);
	assert_int_equal(take_count(r), 0);
	line(r, 16, true);
	assert_int_equal(take_count(r), 1);
}

/* What the local APICs are told: level-triggered entries with an end, masked or not, and only changes. */
static void test_watch(void **state)
{
	struct rig *r = *state;

	r->watch_calls = 0;
	entry(r, 3, 0x33, 1u << 24);
	assert_int_equal(r->watch_calls, 0);
	entry(r, 9, 0x59 | LEVEL | MASKED, 1u << 24);
	assert_int_equal(r->watch_calls, 1);
	assert_int_equal(r->watched_count, 1);
	assert_int_equal(r->watched[0].address, 0xfee01000);
	assert_int_equal(r->watched[0].data, 0xc059);
	set(r, 0x22, 0x59 | LEVEL);
	set(r, 0x22, 0x59 | LEVEL | MASKED);
	assert_int_equal(r->watch_calls, 1); /* masking is no change */
	set(r, 0x23, 2u << 24);
	assert_int_equal(r->watch_calls, 2);
	assert_int_equal(r->watched[0].address, 0xfee02000);
	entry(r, 10, 0x60 | LEVEL | 0x100 | LOGICAL, 1u << 24);
	assert_int_equal(r->watched_count, 2);
	assert_int_equal(r->watched[1].address, 0xfee01004);
	assert_int_equal(r->watched[1].data, 0xc160);
	entry(r, 11, LEVEL | 0x400, 0); /* NMI: nobody ends it */
	assert_int_equal(r->watched_count, 2);
	board_reset(r->io);
	assert_int_equal(r->watched_count, 0);
}

/* ---- threads ---- */

#define RAISES 2000

struct threads {
	struct rig *r;
	sem_t taken[2];	      /* messages of two inputs, that nobody has ended */
	unsigned messages[2]; /* under the device's lock */
	_Atomic bool is_over;
};

static bool take_threaded(void *opaque, const struct irq_msi *msg)
{
	struct threads *t = opaque;
	unsigned which = (msg->data & 0xff) - 0x80;

	assert_true(which < 2);
	t->messages[which]++;
	sem_post(&t->taken[which]);
	return true;
}

/* A source and its handler, as a device's thread and a vCPU: raise, and when it comes, lower and end it. */
static void drive(struct threads *t, unsigned which)
{
	for (unsigned i = 0; i < RAISES; i++) {
		line(t->r, 16 + which, true);
		sem_wait(&t->taken[which]);
		line(t->r, 16 + which, false);
		ioapic_eoi(t->r->io, (uint8_t)(0x80 + which));
	}
}

static void *drive_second(void *opaque)
{
	drive(opaque, 1);
	return NULL;
}

/* A vCPU that masks, moves and looks at a third entry, and at the others. */
static void *look(void *opaque)
{
	struct threads *t = opaque;

	for (unsigned i = 0; !t->is_over; i++) {
		uint32_t v = low(t->r, 16 + i % 2);

		if ((v & ~REMOTE_IRR) != ((0x80 + i % 2) | LEVEL))
			return (void *)"another entry";
		entry(t->r, 20, 0x90 | LEVEL | MASKED, i << 24);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct threads t = {.r = *state};
	pthread_t second, looker;
	void *why;

	entry(t.r, 16, 0x80 | LEVEL, 0);
	entry(t.r, 17, 0x81 | LEVEL, 0);
	t.r->apic = (struct irq_apic){.send = take_threaded, .opaque = &t};
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sem_init(&t.taken[i], 0, 0), 0);
	assert_int_equal(pthread_create(&second, NULL, drive_second, &t), 0);
	assert_int_equal(pthread_create(&looker, NULL, look, &t), 0);
	drive(&t, 0);
	pthread_join(second, NULL);
	t.is_over = true;
	pthread_join(looker, &why);
	assert_null(why);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(t.messages[i], RAISES); /* one each: none lost, none made up */
		assert_int_equal(low(t.r, 16 + i), (0x80 + i) | LEVEL);
		sem_destroy(&t.taken[i]);
	}
}

/* 3.2.4: delivery mode 7 at input 0, where the 8259s are; it "requires an edge trigger mode". */
static void test_extint(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->extint_calls, 0);
	for (uint32_t mode = 0; mode < 8; mode++) {
		for (uint32_t rest = 0; rest < 8; rest++) {
			const uint32_t dest_mode = rest & 1 ? LOGICAL : 0, trigger = rest & 2 ? LEVEL : 0,
				       mask = rest & 4 ? MASKED : 0;
			const bool is_on = mode == 7 && !trigger && !mask;

			entry(r, 0, mode << 8 | dest_mode | trigger | mask | 0x55, 0x03000000);
			assert_int_equal(r->extint, is_on ? 0x103u | (dest_mode ? 0x200 : 0) : 0);
		}
	}
	assert_int_equal(r->extint, 0);
	assert_int_equal(take_count(r), 0); /* no message: who acknowledges is told */
	entry(r, 0, 0x700, 0x01000000);
	assert_int_equal(r->extint, 0x101);
	r->extint_calls = 0;
	set(r, 0x11, 0x02000000); /* another destination while it is on */
	assert_int_equal(r->extint, 0x102);
	assert_int_equal(r->extint_calls, 1);
	set(r, 0x10, 0x7ff); /* another vector: there is none in it */
	assert_int_equal(r->extint_calls, 1);
	for (unsigned pin = 1; pin < 24; pin++)
		entry(r, pin, 0x700, 0); /* nothing of the 8259s is there */
	assert_int_equal(r->extint_calls, 1);
	board_reset(r->io);
	assert_int_equal(r->extint, 0);
	assert_int_equal(r->extint_calls, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level_matrix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level_eoi, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_vector, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switch_clears, setup, teardown),
		cmocka_unit_test_setup_teardown(test_polarity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extint, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
