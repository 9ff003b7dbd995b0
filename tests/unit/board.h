/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * board.h: what the tests of the timer chips share: a bus on the virtual clock, accesses as a CPU
 * would do them, and interrupt lines that note their edges. Includes nothing from bpf/ but what
 * the bus itself needs, so that a test's reference stays its own.
 */
#ifndef TESTS_UNIT_BOARD_H
#define TESTS_UNIT_BOARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "devices/device.h"
#include "vmm/bus.h"
#include "vmm/clock.h"

#define BOARD_LINES 24

struct board {
	struct clock clock;
	struct bus bus;
	bool level[BOARD_LINES];
	unsigned rises[BOARD_LINES];
	uint64_t rise_ns[BOARD_LINES]; /* when it last rose */
};

static inline void board_set_line(void *opaque, unsigned pin, bool level)
{
	struct board *b = opaque;

	if (level && !b->level[pin]) {
		b->rises[pin]++;
		b->rise_ns[pin] = clock_now(&b->clock);
	}
	b->level[pin] = level;
}

static inline struct irq_line board_line(struct board *b, unsigned pin)
{
	return (struct irq_line){.set = board_set_line, .opaque = b, .pin = pin};
}

static inline void board_init(struct board *b, enum accel_mode mode)
{
	*b = (struct board){0};
	assert_int_equal(clock_init(&b->clock, true), 0);
	assert_int_equal(bus_init(&b->bus, &b->clock, mode), 0);
}

static inline void board_reset(struct device *dev)
{
	pthread_mutex_lock(&dev->lock);
	dev->ops->reset(dev);
	pthread_mutex_unlock(&dev->lock);
}

/* Time passes, but no timer fires: a host that is late. They will at the next clock_advance(). */
static inline void board_be_late(struct board *b, uint64_t to_ns)
{
	if (to_ns > clock_now(&b->clock))
		accel_clock_set_virtual(&b->clock.source, to_ns);
}

/* dev may be NULL. */
static inline void board_destroy(struct board *b, struct device *dev)
{
	if (dev)
		dev->ops->destroy(dev);
	bus_destroy(&b->bus);
	clock_destroy(&b->clock);
}

static inline uint64_t board_io(
	struct board *b, enum io_bus bus, uint64_t addr, unsigned size, bool is_write, uint64_t value)
{
	struct io_req req = {
		.io = {.value = value, .size = (uint8_t)size, .is_write = is_write},
		.addr = addr,
		.bus = bus,
		.count = 1,
	};

	bus_io(&b->bus, &req);
	return req.io.result;
}

static inline uint8_t board_in(struct board *b, uint16_t port)
{
	return (uint8_t)board_io(b, IO_PIO, port, 1, false, 0);
}

static inline void board_out(struct board *b, uint16_t port, uint8_t value)
{
	board_io(b, IO_PIO, port, 1, true, value);
}

/* A small generator of its own, so that a failing run can be repeated from its seed. */
static inline uint32_t board_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33);
}

#endif
