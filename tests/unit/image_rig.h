/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image_rig.h: an HPET with a page image in virtual time, for tests of the page tier's memory, and what several of them do
 * to two such machines at once. Bytes in the memory are what a guest would load. Includes no header from bpf/.
 */
#ifndef TESTS_UNIT_IMAGE_RIG_H
#define TESTS_UNIT_IMAGE_RIG_H

#include "tests/unit/board.h"

#include <string.h>

#include "accel/tier.h"
#include "devices/hpet.h"
#include "devices/programs.h"
#include "vmm/page_image.h"

#define CONFIG 0x010
#define ISR 0x020
#define COUNTER 0x0f0
#define TN_CONFIG(n) (0x100 + 0x20 * (n))
#define TN_COMPARATOR(n) (0x108 + 0x20 * (n))
#define PERIODIC 0x08
#define LEVEL 0x02
#define INT_ENB 0x04
#define PAGE 4096

struct rig {
	struct board b;
	struct device *hpet;
	struct range *range;
	struct accel_object *obj;
	struct page_image *image;
	unsigned gone, changed;
	/* what the guest would have seen when a line rose */
	unsigned rises;
	uint64_t counter_at_rise, due;
};

static inline uint64_t shown(const struct rig *rig, unsigned reg)
{
	uint64_t value;

	memcpy(&value, page_image_memory(rig->image) + reg, sizeof(value));
	return value;
}

static inline void on_line(void *opaque, unsigned pin, bool level)
{
	struct rig *rig = opaque;

	(void)pin;
	if (!level)
		return;
	rig->rises++;
	if (rig->image)
		rig->counter_at_rise = shown(rig, COUNTER);
}

static inline void on_gone(void *opaque, struct page_image *image)
{
	struct rig *rig = opaque;

	assert_ptr_equal(image, rig->image);
	rig->gone++;
}

static inline void on_changed(void *opaque, struct page_image *image)
{
	struct rig *rig = opaque;

	assert_ptr_equal(image, rig->image);
	rig->changed++;
}

static inline void rig_init(struct rig *rig, enum accel_mode mode)
{
	struct irq_line gsi[HPET_GSIS];
	struct accel_err err = {.text = ""};
	struct accel_slot *slot;

	*rig = (struct rig){0};
	board_init(&rig->b, mode);
	for (unsigned i = 0; i < HPET_GSIS; i++)
		gsi[i] = (struct irq_line){.set = on_line, .opaque = rig, .pin = i};
	rig->hpet = hpet_create(&rig->b.bus, &rig->b.clock, gsi, 0xc00, NULL);
	assert_non_null(rig->hpet);
	rig->range = bus_find_name(&rig->b.bus, "hpet");
	if (accel_object_open("hpet", prog_hpet_start, (size_t)(prog_hpet_end - prog_hpet_start), &rig->obj, &err))
		fail_msg("%s", err.text);
	assert_int_equal(accel_page_bind(rig->hpet->page, rig->obj, &err), 0);
	assert_int_equal(accel_slot_new(rig->hpet->page, &rig->b.clock.source, 2, ACCEL_PURE, &slot), 0);
	bus_set_slot(&rig->b.bus, rig->range, slot);
	assert_int_equal(accel_slot_attach(slot, rig->obj, "hpet", &err), 0);
}

static inline struct page_image_config config_of(struct rig *rig, const char *prog)
{
	return (struct page_image_config){.range = rig->range,
		.obj = rig->obj,
		.prog = prog,
		.clock = &rig->b.clock,
		.gone = on_gone,
		.changed = on_changed,
		.opaque = rig};
}

static inline void rig_show(struct rig *rig)
{
	struct page_image_config config = config_of(rig, "hpet");
	struct accel_err err = {.text = ""};

	if (page_image_new(&config, &rig->image, &err))
		fail_msg("%s", err.text);
	pthread_mutex_lock(&rig->hpet->lock);
	assert_true(page_image_show(rig->hpet, rig->image));
	pthread_mutex_unlock(&rig->hpet->lock);
}

static inline void rig_done(struct rig *rig)
{
	struct accel_slot *slot = rig->range->slot;

	if (rig->image) {
		pthread_mutex_lock(&rig->hpet->lock);
		page_image_hide(rig->image);
		pthread_mutex_unlock(&rig->hpet->lock);
	}
	page_image_free(rig->image);
	bus_set_slot(&rig->b.bus, rig->range, NULL);
	accel_slot_free(slot);
	board_destroy(&rig->b, rig->hpet);
	accel_object_put(rig->obj);
}

static inline uint64_t rd(struct rig *rig, unsigned reg, unsigned size)
{
	return board_io(&rig->b, IO_MMIO, HPET_BASE + reg, size, false, 0);
}

static inline void wr(struct rig *rig, unsigned reg, unsigned size, uint64_t value)
{
	board_io(&rig->b, IO_MMIO, HPET_BASE + reg, size, true, value);
}

/* One pass of a publisher. */
static inline void publish(struct rig *rig)
{
	assert_true(page_image_try(rig->image));
	page_image_publish(rig->image, clock_now(&rig->b.clock));
	page_image_leave(rig->image);
}

static inline void both_write(struct rig *a, struct rig *b, unsigned reg, unsigned size, uint64_t value)
{
	wr(a, reg, size, value);
	wr(b, reg, size, value);
}

static inline void both_advance(struct rig *a, struct rig *b, uint64_t by_ns)
{
	clock_advance(&a->b.clock, clock_now(&a->b.clock) + by_ns);
	clock_advance(&b->b.clock, clock_now(&b->b.clock) + by_ns);
}

#endif
