// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_bus.c: which range gets which part of an access: splits, FIFO, overlays, strings, what
 * nobody claims, and ranges that move while another thread looks them up. The devices here are
 * fakes that note each call; a read answers a byte pattern that tells the place of every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/bus.h"

#define LOG_MAX 64

struct fake {
	struct device dev;
	uint8_t tag; /* byte `o` of the device reads as tag + o */
	char log[LOG_MAX * 24];
	unsigned calls;
	bool was_locked;
};

struct world {
	struct clock clock;
	struct bus bus;
	struct fake a, b;
};

static void note(struct fake *f, const struct io_req *req)
{
	size_t used = strlen(f->log);

	f->calls++;
	f->was_locked = pthread_mutex_trylock(&f->dev.lock) != 0;
	if (!f->was_locked)
		pthread_mutex_unlock(&f->dev.lock);
	if (req->io.is_write)
		snprintf(f->log + used, sizeof(f->log) - used, "w%u.%u=%llx ", req->io.offset, req->io.size,
			(unsigned long long)req->io.value);
	else
		snprintf(f->log + used, sizeof(f->log) - used, "r%u.%u ", req->io.offset, req->io.size);
}

static void fake_read(struct device *dev, struct io_req *req)
{
	struct fake *f = (struct fake *)dev;

	note(f, req);
	for (unsigned i = 0; i < 8; i++) /* all 8 bytes: what is above the size must be cut off */
		req->io.result |= (uint64_t)(uint8_t)(f->tag + req->io.offset + i) << (8 * i);
}

static void fake_write(struct device *dev, struct io_req *req)
{
	note((struct fake *)dev, req);
}

static void fake_read_string(struct device *dev, struct io_req *req)
{
	struct fake *f = (struct fake *)dev;

	note(f, req);
	for (uint32_t i = 0; i < req->count * req->io.size; i++)
		((uint8_t *)req->data)[i] = (uint8_t)(0xa0 + i);
}

static void fake_destroy(struct device *dev)
{
	(void)dev;
}

static void fake_reset(struct device *dev)
{
	(void)dev;
}

static const struct device_ops fake_ops = {.reset = fake_reset, .destroy = fake_destroy};

static int setup(void **state)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	assert_int_equal(clock_init(&w.clock, true), 0);
	assert_int_equal(bus_init(&w.bus, &w.clock, ACCEL_ON), 0);
	assert_int_equal(device_init(&w.a.dev, "a", &fake_ops, &w.clock, 0, 0), 0);
	assert_int_equal(device_init(&w.b.dev, "b", &fake_ops, &w.clock, 0, 0), 0);
	w.a.tag = 0x10;
	w.b.tag = 0x80;
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	bus_destroy(&w->bus);
	device_cleanup(&w->a.dev);
	device_cleanup(&w->b.dev);
	clock_destroy(&w->clock);
	return 0;
}

static struct range *add(struct world *w, struct fake *f, const char *name, enum io_bus bus, uint64_t base,
	uint32_t len, uint8_t width, uint8_t flags)
{
	struct range proto = {
		.name = name,
		.dev = &f->dev,
		.bus = bus,
		.len = len,
		.width = width,
		.flags = flags,
		.read = fake_read,
		.write = fake_write,
		.base = base,
		.mapped = true,
	};
	struct range *r = bus_add(&w->bus, &proto);

	assert_non_null(r);
	return r;
}

static uint64_t rd(struct world *w, enum io_bus bus, uint64_t addr, unsigned size)
{
	struct io_req req = {.io = {.size = (uint8_t)size, .result = 0x5555}, .addr = addr, .bus = bus, .count = 1};

	w->a.log[0] = w->b.log[0] = '\0';
	bus_io(&w->bus, &req);
	/* the request comes back as it was */
	assert_int_equal(req.addr, addr);
	assert_int_equal(req.io.size, size);
	return req.io.result;
}

static void wr(struct world *w, enum io_bus bus, uint64_t addr, unsigned size, uint64_t value)
{
	struct io_req req = {
		.io = {.size = (uint8_t)size, .is_write = 1, .value = value}, .addr = addr, .bus = bus, .count = 1};

	w->a.log[0] = w->b.log[0] = '\0';
	bus_io(&w->bus, &req);
	assert_int_equal(req.addr, addr);
	assert_int_equal(req.io.size, size);
}

static void test_whole(void **state)
{
	struct world *w = *state;

	add(w, &w->a, "a", IO_PIO, 0x40, 4, 4, 0);
	assert_int_equal(rd(w, IO_PIO, 0x40, 1), 0x10);
	assert_string_equal(w->a.log, "r0.1 ");
	assert_true(w->a.was_locked);
	assert_int_equal(rd(w, IO_PIO, 0x42, 2), 0x1312);
	assert_int_equal(rd(w, IO_PIO, 0x40, 4), 0x13121110);
	assert_int_equal(rd(w, IO_PIO, 0x41, 2), 0x1211); /* PIO may be unaligned */
	assert_string_equal(w->a.log, "r1.2 ");
	wr(w, IO_PIO, 0x43, 1, 0xabcd);
	assert_string_equal(w->a.log, "w3.1=cd ");
}

static void test_unclaimed(void **state)
{
	struct world *w = *state;

	add(w, &w->a, "a", IO_PIO, 0x40, 4, 1, 0);
	assert_int_equal(rd(w, IO_PIO, 0x80, 1), 0xff);
	assert_int_equal(rd(w, IO_PIO, 0x80, 4), 0xffffffff);
	assert_int_equal(rd(w, IO_MMIO, 0x80, 8), ~0ull);
	assert_int_equal(rd(w, IO_MMIO, 0x40, 3), 0xffffff); /* the other bus */
	assert_int_equal(rd(w, IO_PIO, 0xffff, 4), 0xffffffff);
	assert_int_equal(rd(w, IO_MMIO, ~0ull, 8), ~0ull);
	wr(w, IO_PIO, 0x80, 4, 1);
	assert_int_equal(w->a.calls, 0);
}

static void test_split(void **state)
{
	struct world *w = *state;

	add(w, &w->a, "a", IO_PIO, 0x40, 4, 1, 0);
	add(w, &w->b, "b", IO_PIO, 0x44, 2, 2, 0);
	/* wider than the device */
	assert_int_equal(rd(w, IO_PIO, 0x40, 4), 0x13121110);
	assert_string_equal(w->a.log, "r0.1 r1.1 r2.1 r3.1 ");
	wr(w, IO_PIO, 0x40, 2, 0xbbaa);
	assert_string_equal(w->a.log, "w0.1=aa w1.1=bb ");
	/* across two ranges, then past both; the whole word of b in one */
	assert_int_equal(rd(w, IO_PIO, 0x43, 1), 0x13);
	assert_int_equal(rd(w, IO_PIO, 0x42, 4), 0x81801312);
	assert_string_equal(w->a.log, "r2.1 r3.1 ");
	assert_string_equal(w->b.log, "r0.2 ");
	assert_int_equal(rd(w, IO_PIO, 0x45, 4), 0xffffff81);
	assert_string_equal(w->b.log, "r1.1 ");
	/* begins where nobody is */
	assert_int_equal(rd(w, IO_PIO, 0x3e, 4), 0x1110ffff);
	wr(w, IO_PIO, 0x3e, 4, 0x44332211);
	assert_string_equal(w->a.log, "w0.1=33 w1.1=44 ");
}

static void test_mmio_unaligned(void **state)
{
	struct world *w = *state;

	add(w, &w->a, "a", IO_MMIO, 0xfed00000, 0x20, 8, 0);
	assert_int_equal(rd(w, IO_MMIO, 0xfed00008, 8), 0x1f1e1d1c1b1a1918);
	assert_string_equal(w->a.log, "r8.8 ");
	assert_int_equal(rd(w, IO_MMIO, 0xfed00001, 4), 0x14131211);
	assert_string_equal(w->a.log, "r1.1 r2.2 r4.1 ");
	assert_int_equal(rd(w, IO_MMIO, 0xfed00002, 8), 0x1918171615141312);
	assert_string_equal(w->a.log, "r2.2 r4.4 r8.2 ");
	wr(w, IO_MMIO, 0xfed00003, 5, 0x5544332211);
	assert_string_equal(w->a.log, "w3.1=11 w4.4=55443322 ");
	for (unsigned size = 1; size <= 8; size++) { /* every odd size at the range's end */
		uint64_t got = rd(w, IO_MMIO, 0xfed0001e, size);

		assert_int_equal(got & 0xff, 0x2e);
		assert_int_equal(got, hr_mask(0xffffffffffff2f2e, size));
	}
}

/* [ATA/ATAPI-4] the data register: 0x1f0 is a word to itself, and the command block begins at 0x1f1. */
static void test_fifo(void **state)
{
	struct world *w = *state;

	add(w, &w->a, "regs", IO_PIO, 0x1f0, 8, 1, 0);
	add(w, &w->b, "data", IO_PIO, 0x1f0, 1, 2, RANGE_FIFO);
	assert_int_equal(rd(w, IO_PIO, 0x1f0, 2), 0x8180);
	assert_string_equal(w->b.log, "r0.2 ");
	assert_int_equal(rd(w, IO_PIO, 0x1f0, 4), 0x81808180);
	assert_string_equal(w->b.log, "r0.2 r0.2 ");
	assert_string_equal(w->a.log, "");
	assert_int_equal(rd(w, IO_PIO, 0x1f0, 1), 0x80);
	wr(w, IO_PIO, 0x1f0, 4, 0x44332211);
	assert_string_equal(w->b.log, "w0.2=2211 w0.2=4433 ");
	assert_int_equal(rd(w, IO_PIO, 0x1f1, 2), 0x1211);
	assert_string_equal(w->a.log, "r1.1 r2.1 ");
	assert_string_equal(w->b.log, "");
}

/*
 * A range with a slot, so that bus_io() goes the inline way where it can; nothing is attached, so that the model
 * tells where each access arrived. The same accesses, with and without a slot, reach the same device alike.
 */
static void test_hot(void **state)
{
	static const struct {
		const char *name;
		enum io_bus bus;
		uint64_t base;
		uint32_t len;
		uint8_t width, flags;
	} places[] = {
		{"first", IO_PIO, 0, 8, 2, 0},
		{"last", IO_PIO, 0xfffc, 4, 4, 0},
		{"odd", IO_PIO, 0x61, 4, 2, 0},
		{"three", IO_PIO, 0x70, 3, 1, 0},
		{"fifo", IO_PIO, 0x1f0, 1, 2, RANGE_FIFO},
		{"mmio", IO_MMIO, 0xfed00000, 0x400, 8, 0},
		{"same page", IO_MMIO, 0xfed00400, 0x10, 4, 0},
		{"same hash", IO_MMIO, 0x100fed00000, 0x1000, 4, 0},
		{"alone", IO_MMIO, 0x4fed05000, 0x800, 4, 0},
		{"low", IO_MMIO, 0, 0x1000, 8, 0},
		{"high", IO_MMIO, BUS_HOT_BIT - 0x1000, 0x1000, 8, 0},
		{"top", IO_MMIO, ~0ull - 0xff, 0x100, 8, 0},
	};
	const unsigned count = sizeof(places) / sizeof(places[0]);
	struct world *w = *state;
	struct accel_page *page;
	struct accel_slot *slot;
	struct range *range[sizeof(places) / sizeof(places[0])];
	char log[sizeof(w->a.log)];

	assert_int_equal(accel_page_new(1, 64, &page), 0);
	assert_int_equal(accel_slot_new(page, &w->clock.source, 1, ACCEL_PURE, &slot), 0);
	for (unsigned i = 0; i < count; i++)
		range[i] = add(w, &w->a, places[i].name, places[i].bus, places[i].base, places[i].len, places[i].width,
			places[i].flags);
	for (unsigned i = 0; i < count; i++) {
		for (int64_t from = -9; from < 9; from++) {
			for (unsigned k = 0; k < 2 * 8 * 4; k++) {
				const uint64_t at[] = {places[i].base, places[i].base + places[i].len,
					places[i].base + BUS_HOT_BIT, places[i].base - BUS_HOT_BIT / 2};
				const uint64_t addr = at[k % 4] + (uint64_t)from;
				const unsigned size = k / 8 % 8 + 1;
				const enum io_bus bus = k & 4 ? IO_MMIO : IO_PIO;
				uint64_t result = rd(w, bus, addr, size);

				memcpy(log, w->a.log, sizeof(log));
				bus_set_slot(&w->bus, range[i], slot);
				assert_int_equal(rd(w, bus, addr, size), result);
				assert_string_equal(w->a.log, log);
				wr(w, bus, addr, size, 0x1122334455667788);
				memcpy(log, w->a.log, sizeof(log));
				bus_set_slot(&w->bus, range[i], NULL);
				wr(w, bus, addr, size, 0x1122334455667788);
				assert_string_equal(w->a.log, log);
			}
		}
	}
	accel_slot_free(slot);
	accel_page_free(page);
}

/* Which accesses go the inline way at all; else the test above would show nothing. */
static void test_hot_places(void **state)
{
	struct world *w = *state;
	struct accel_page *page;
	struct accel_slot *slot;
	struct range *even = add(w, &w->a, "even", IO_PIO, 0x600, 64, 4, 0), *odd;
	const struct bus_hot *hot = &w->bus.hot[even->index];

	odd = add(w, &w->a, "odd", IO_PIO, 0x61, 4, 2, 0);
	assert_int_equal(accel_page_new(1, 64, &page), 0);
	assert_int_equal(accel_slot_new(page, &w->clock.source, 1, ACCEL_PURE, &slot), 0);
	assert_int_equal(hot->deny[4], ~0ull);
	bus_set_slot(&w->bus, even, slot);
	bus_set_slot(&w->bus, odd, slot);
	for (unsigned size = 0; size <= 8; size++) {
		const bool taken = size == 1 || size == 2 || size == 4;

		assert_int_equal(hot->deny[size], taken ? ~(BUS_HOT_BIT | 63) | (size - 1) : ~0ull);
		assert_int_equal(w->bus.hot[odd->index].deny[size], ~0ull);
	}
	bus_set_mode(&w->bus, ACCEL_CHECK);
	assert_int_equal(hot->deny[4], ~0ull);
	bus_set_mode(&w->bus, ACCEL_ON);
	bus_set_watchers(&w->bus, (struct trace *)w, NULL);
	assert_int_equal(hot->deny[4], ~0ull);
	bus_set_watchers(&w->bus, NULL, (struct stats *)w);
	assert_int_equal(hot->deny[4], ~0ull);
	bus_set_watchers(&w->bus, NULL, NULL);
	assert_int_not_equal(hot->deny[4], ~0ull);
	bus_map(&w->bus, even, 0x700);
	assert_int_not_equal(hot->deny[4], ~0ull);
	assert_int_equal(hot->base, 0x700 - BUS_HOT_BIT);
	bus_map(&w->bus, even, 0x702); /* an odd place is never forgotten */
	assert_int_equal(hot->deny[4], ~0ull);
	bus_map(&w->bus, even, 0x600);
	assert_int_equal(hot->deny[4], ~0ull);
	accel_slot_free(slot);
	accel_page_free(page);
}

/*
 * The groups of pages by which MMIO is looked up: chips at multiples of 1 MiB, as the I/O APIC and the HPET are, do not share
 * one; and whatever lies where, a group that names a range has no address of another.
 */
static void test_groups(void **state)
{
	struct world *w = *state;
	const struct range *chips[] = {add(w, &w->a, "ioapic", IO_MMIO, 0xfec00000, 0x20, 4, 0),
		add(w, &w->a, "hpet", IO_MMIO, 0xfed00000, 0x400, 8, 0)};
	struct range *moving[4];
	uint64_t seed = 1;

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(w->bus.mmio_page[bus_mmio_group(chips[i]->base)], chips[i]->index);
	for (unsigned i = 0; i < 4; i++)
		moving[i] = add(w, &w->b, "moving", IO_MMIO, 0x10000000u << i, 0x1000u << 5 * i, 4, 0);
	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < 4; i++) {
			const struct range *r = moving[i];

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			bus_map(&w->bus, moving[i], seed >> 31 & ~0xfffull);
			for (unsigned k = 0; k < 16; k++) {
				const uint64_t addr = r->base + (seed >> k) % r->len;
				const unsigned named = w->bus.mmio_page[bus_mmio_group(addr)];

				assert_true(named == 0 || named == bus_owner(&w->bus, IO_MMIO, addr)->index);
			}
		}
	}
}

/* An overlay takes the accesses that begin on it, and does not cut those that begin before it. */
static void test_overlay(void **state)
{
	struct world *w = *state;
	struct range *over;

	add(w, &w->a, "config", IO_PIO, 0xcf8, 8, 4, 0);
	over = add(w, &w->b, "reset", IO_PIO, 0xcf9, 1, 1, 0);
	wr(w, IO_PIO, 0xcf8, 4, 0x80000000);
	assert_string_equal(w->a.log, "w0.4=80000000 ");
	assert_string_equal(w->b.log, "");
	wr(w, IO_PIO, 0xcf9, 1, 6);
	assert_string_equal(w->b.log, "w0.1=6 ");
	assert_int_equal(rd(w, IO_PIO, 0xcf9, 2), 0x1280);
	bus_unmap(&w->bus, over);
	wr(w, IO_PIO, 0xcf9, 1, 6);
	assert_string_equal(w->a.log, "w1.1=6 "); /* what lay under it is back */
	assert_string_equal(w->b.log, "");
	bus_map(&w->bus, over, 0xcfb);
	assert_ptr_equal(bus_find(&w->bus, IO_PIO, 0xcfb), over);
	assert_string_equal(bus_find(&w->bus, IO_PIO, 0xcf9)->name, "config");
}

static void test_mmio_overlay(void **state)
{
	struct world *w = *state;
	struct range *low = add(w, &w->a, "low", IO_MMIO, 0x1000, 0x1000, 4, 0);
	struct range *over = add(w, &w->b, "over", IO_MMIO, 0x1400, 0x100, 4, 0);
	struct range *top = add(w, &w->b, "top", IO_MMIO, ~0ull - 0xf, 0x10, 4, 0);

	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0xfff), NULL);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1000), low);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x13ff), low);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1400), over);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x14ff), over);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1500), low);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1fff), low);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x2000), NULL);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, ~0ull), top);
	assert_int_equal(rd(w, IO_MMIO, ~0ull - 1, 8), 0xffffffffffff8f8e); /* does not wrap round to 0 */
	assert_int_equal(rd(w, IO_MMIO, 0x1500, 4), 0x13121110);
	assert_string_equal(w->a.log, "r1280.4 "); /* the offset counts from the range, not the span */
	bus_unmap(&w->bus, low);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1000), NULL);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1400), over);
	bus_map(&w->bus, low, 0x1401);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1401), over);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x1500), low);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x2400), low);
}

/* As many ranges as there may be, each laid over the one before in a way that makes the most spans. */
static void test_full(void **state)
{
	struct world *w = *state;
	static char names[BUS_MAX_RANGES][8];
	struct range proto = {.name = "one too many", .dev = &w->a.dev, .bus = IO_MMIO, .len = 1, .width = 1};

	for (unsigned i = 0; i < BUS_MAX_RANGES; i++) {
		snprintf(names[i], sizeof(names[i]), "n%u", i);
		add(w, &w->a, names[i], IO_MMIO, 0x1000 + 16 * i, 0x1000 - 32 * i, 1, 0);
	}
	assert_null(bus_add(&w->bus, &proto));
	for (unsigned i = 0; i < BUS_MAX_RANGES; i++) {
		assert_string_equal(bus_find(&w->bus, IO_MMIO, 0x1000 + 16 * i)->name, names[i]);
		assert_string_equal(bus_find(&w->bus, IO_MMIO, 0x1fff - 16 * i)->name, names[i]);
	}
	assert_null(bus_find(&w->bus, IO_MMIO, 0xfff));
	assert_null(bus_find(&w->bus, IO_MMIO, 0x2000));
	assert_string_equal(bus_find_name(&w->bus, "n63")->name, "n63");
	assert_null(bus_find_name(&w->bus, "n64"));
}

static void test_strings(void **state)
{
	struct world *w = *state;
	struct range *data = add(w, &w->a, "data", IO_PIO, 0x1f0, 1, 2, RANGE_FIFO);
	uint8_t buf[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	struct io_req req = {.io = {.size = 2, .is_write = 1}, .addr = 0x1f0, .bus = IO_PIO, .count = 3, .data = buf};

	/* without a string handler: one call for each element */
	bus_io(&w->bus, &req);
	assert_string_equal(w->a.log, "w0.2=201 w0.2=403 w0.2=605 ");
	assert_ptr_equal(req.data, buf);
	assert_int_equal(req.count, 3);
	/* with one: a single call */
	data->read_string = fake_read_string;
	w->a.log[0] = '\0';
	req.io.is_write = 0;
	bus_io(&w->bus, &req);
	assert_string_equal(w->a.log, "r0.2 ");
	assert_int_equal(buf[0], 0xa0);
	assert_int_equal(buf[5], 0xa5);
	assert_int_equal(buf[6], 7); /* three words, not more */
	/* elements wider than the device are split, each by itself */
	w->a.log[0] = '\0';
	req.io.size = 4;
	bus_io(&w->bus, &req);
	assert_string_equal(w->a.log, "r0.2 r0.2 r0.2 r0.2 r0.2 r0.2 ");
	assert_int_equal(buf[0], 0x10);
	assert_int_equal(buf[3], 0x11);
	/* nobody there */
	req.addr = 0x300;
	req.io.size = 1;
	bus_io(&w->bus, &req);
	assert_int_equal(buf[2], 0xff);
	assert_int_equal(buf[3], 0x11);
	req.count = 0;
	bus_io(&w->bus, &req);
}

static void test_no_handlers(void **state)
{
	struct world *w = *state;
	struct range proto = {
		.name = "hole", .dev = &w->a.dev, .bus = IO_PIO, .len = 4, .width = 4, .base = 0x80, .mapped = true};

	assert_non_null(bus_add(&w->bus, &proto));
	assert_int_equal(rd(w, IO_PIO, 0x80, 2), 0xffff);
	wr(w, IO_PIO, 0x80, 4, 1);
}

/* ---- moving while others look ------------------------------------------------------------------ */

#define MOVES 20000

struct mover {
	struct world *w;
	struct range *pio, *mmio;
	_Atomic bool done;
};

static void *move(void *opaque)
{
	struct mover *m = opaque;

	for (unsigned i = 0; i < MOVES; i++) {
		bus_map(&m->w->bus, m->pio, i & 1 ? 0x600 : 0x608); /* the two places overlap */
		bus_map(&m->w->bus, m->mmio, i & 1 ? 0x100000 : 0x200000);
		if (i % 7 == 0)
			bus_unmap(&m->w->bus, m->mmio);
	}
	atomic_store(&m->done, true);
	return NULL;
}

static void test_moving(void **state)
{
	struct world *w = *state;
	struct range *fixed = add(w, &w->b, "fixed", IO_MMIO, 0x180000, 0x1000, 4, 0);
	struct mover m = {
		.w = w,
		.pio = add(w, &w->a, "pm", IO_PIO, 0x600, 16, 4, 0),
		.mmio = add(w, &w->a, "bar", IO_MMIO, 0x100000, 0x1000, 4, 0),
	};
	unsigned odd = 0, seen = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, move, &m), 0);
	while (!atomic_load(&m.done)) {
		struct io_req req = {.io = {.size = 1}, .addr = 0x60a, .bus = IO_PIO, .count = 1};

		bus_io(&w->bus, &req);
		if (req.io.result != 0x1a && req.io.result != 0x12 && req.io.result != 0xff)
			odd++;
		if (bus_find(&w->bus, IO_MMIO, 0x180010) != fixed)
			odd++; /* what does not move is always found */
		seen += bus_find(&w->bus, IO_MMIO, 0x100010) != NULL;
		w->a.log[0] = '\0';
	}
	pthread_join(thread, NULL);
	assert_int_equal(odd, 0);
	(void)seen; /* how often depends on the scheduler */
	bus_map(&w->bus, m.mmio, 0x200000);
	assert_ptr_equal(bus_find(&w->bus, IO_MMIO, 0x200fff), m.mmio);
	assert_null(bus_find(&w->bus, IO_MMIO, 0x100000));
	bus_map(&w->bus, m.pio, 0xfff8); /* over the end of the port space */
	assert_ptr_equal(bus_find(&w->bus, IO_PIO, 0xffff), m.pio);
	assert_null(bus_find(&w->bus, IO_PIO, 0x600));
	assert_int_equal(rd(w, IO_PIO, 0xffff, 1), 0x17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unclaimed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mmio_unaligned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fifo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hot_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mmio_overlay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_handlers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moving, setup, teardown),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
