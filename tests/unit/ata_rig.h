/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata_rig.h: an ATA channel with a disk whose sectors each hold a pattern that their number
 * decides, and the accesses and expectations that the test_ata*.c share. A suite runs three times
 * (run_in_all_modes): by the model alone, by the programs, and checked.
 */
#ifndef TESTS_UNIT_ATA_RIG_H
#define TESTS_UNIT_ATA_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/ata.h"
#include "devices/ata.h"
#include "devices/disk.h"
#include "devices/programs.h"
#include "tests/unit/board.h"

#define IRQ 0
#define SECTORS 70000u /* above 65536, so that the largest LBA48 count fits */
#define BASE 0x1f0
#define CTL 0x3f6

/* Acceleration of the rigs that are made from here on. */
static enum accel_mode rig_mode = ACCEL_OFF;

struct rig {
	struct board board;
	struct device *ata;
	struct accel_object *obj;
	char path[64];
};

/* What programs answer for which range. */
struct rig_program {
	const char *range, *prog;
	enum accel_effect allow;
};

static const struct rig_program rig_programs[] = {
	{"ata.regs", "ata_regs", ACCEL_STATEFUL},
	{"ata.data", "ata_data", ACCEL_STATEFUL},
	{"ata.ctl", "ata_ctl", ACCEL_PURE},
};

#define RIG_PROGRAMS (sizeof(rig_programs) / sizeof(rig_programs[0]))

static inline void out(struct rig *r, unsigned reg, uint8_t v)
{
	board_out(&r->board, (uint16_t)(BASE + reg), v);
}

static inline uint8_t in(struct rig *r, unsigned reg)
{
	return board_in(&r->board, (uint16_t)(BASE + reg));
}

static inline uint8_t alt(struct rig *r)
{
	return board_in(&r->board, CTL);
}

static inline uint16_t word(struct rig *r)
{
	return (uint16_t)board_io(&r->board, IO_PIO, BASE, 2, false, 0);
}

static inline void put_word(struct rig *r, uint16_t v)
{
	board_io(&r->board, IO_PIO, BASE, 2, true, v);
}

static inline bool irq(struct rig *r)
{
	return r->board.level[IRQ];
}

/* Word `i` of sector `lba` of the pattern. */
static inline uint16_t pattern(uint64_t lba, unsigned i)
{
	return (uint16_t)(lba * 2654435761u + i * 40503u + (lba >> 16));
}

static inline void make_image(struct rig *r, unsigned sectors)
{
	int fd;

	snprintf(r->path, sizeof(r->path), "%s/hotreg-test-ata-XXXXXX", P_tmpdir);
	fd = mkstemp(r->path);
	assert_true(fd >= 0);
	for (unsigned lba = 0; lba < sectors; lba++) {
		uint16_t sector[256];

		for (unsigned i = 0; i < 256; i++)
			sector[i] = pattern(lba, i);
		assert_int_equal(write(fd, sector, sizeof(sector)), sizeof(sector));
	}
	close(fd);
}

static inline struct range *rig_range(struct rig *r, unsigned program)
{
	return bus_find_name(&r->board.bus, rig_programs[program].range);
}

static inline void rig_attach(struct rig *r)
{
	struct accel_err err = {.text = ""};

	if (accel_object_open("ata", prog_ata_start, (size_t)(prog_ata_end - prog_ata_start), &r->obj, &err) ||
		accel_page_bind(r->ata->page, r->obj, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < RIG_PROGRAMS; i++) {
		struct range *range = rig_range(r, i);

		if (accel_slot_new(r->ata->page, &r->board.clock.source, 2, rig_programs[i].allow, &range->slot) ||
			accel_slot_attach(range->slot, r->obj, rig_programs[i].prog, &err))
			fail_msg("%s", err.text);
	}
}

/* The channel on its bus, with a disk or (NULL) without. */
static inline void rig_wire(struct rig *r, struct disk *disk)
{
	board_init(&r->board, rig_mode);
	r->ata = ata_create(&r->board.bus, &r->board.clock, board_line(&r->board, IRQ), disk);
	assert_non_null(r->ata);
	if (rig_mode != ACCEL_OFF)
		rig_attach(r);
	board_reset(r->ata);
}

static inline struct rig *rig_new(unsigned sectors, bool readonly)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct disk *disk = NULL;
	struct accel_err err;

	assert_non_null(r);
	if (sectors) {
		make_image(r, sectors);
		if (disk_open(r->path, readonly, &disk, &err))
			fail_msg("%s", err.text);
	}
	rig_wire(r, disk);
	return r;
}

static inline void rig_free(struct rig *r)
{
	assert_int_equal(bus_check_divergences(&r->board.bus), 0);
	for (unsigned i = 0; i < RIG_PROGRAMS; i++) {
		accel_slot_free(rig_range(r, i)->slot);
		rig_range(r, i)->slot = NULL;
	}
	if (r->obj)
		accel_object_put(r->obj);
	board_destroy(&r->board, r->ata);
	if (r->path[0])
		unlink(r->path);
	free(r);
}

static inline int setup(void **state)
{
	*state = rig_new(SECTORS, false);
	return 0;
}

static inline int setup_readonly(void **state)
{
	*state = rig_new(64, true);
	return 0;
}

static inline int setup_empty(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

static inline int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

#define run_in_all_modes(name, tests)                                                                                  \
	(rig_mode = ACCEL_OFF, cmocka_run_group_tests_name(name, tests, NULL, NULL)) +                                 \
		(rig_mode = ACCEL_ON, cmocka_run_group_tests_name(name " by programs", tests, NULL, NULL)) +           \
		(rig_mode = ACCEL_CHECK, cmocka_run_group_tests_name(name " checked", tests, NULL, NULL))

static inline void lba28(struct rig *r, uint32_t lba, uint8_t count, uint8_t command)
{
	out(r, 2, count);
	out(r, 3, (uint8_t)lba);
	out(r, 4, (uint8_t)(lba >> 8));
	out(r, 5, (uint8_t)(lba >> 16));
	out(r, 6, (uint8_t)(0xe0 | lba >> 24));
	out(r, 7, command);
}

static inline void lba48(struct rig *r, uint64_t lba, uint16_t count, uint8_t command)
{
	out(r, 2, (uint8_t)(count >> 8));
	out(r, 2, (uint8_t)count);
	out(r, 3, (uint8_t)(lba >> 24));
	out(r, 3, (uint8_t)lba);
	out(r, 4, (uint8_t)(lba >> 32));
	out(r, 4, (uint8_t)(lba >> 8));
	out(r, 5, (uint8_t)(lba >> 40));
	out(r, 5, (uint8_t)(lba >> 16));
	out(r, 6, 0x40);
	out(r, 7, command);
}

/* PIO data-in: `count` sectors from lba in blocks of `block`, each announced by an interrupt. */
static inline void expect_data(struct rig *r, uint64_t lba, uint32_t count, uint32_t block)
{
	while (count) {
		uint32_t n = count < block ? count : block;

		assert_true(irq(r));
		assert_int_equal(alt(r), 0x58); /* DRDY DSC DRQ */
		assert_true(irq(r));
		assert_int_equal(in(r, 7), 0x58);
		assert_false(irq(r));
		for (uint32_t s = 0; s < n; s++) {
			for (unsigned i = 0; i < 256; i++) {
				uint16_t v = word(r);

				if (v != pattern(lba + s, i))
					fail_msg("sector %lu word %u: %04x", (unsigned long)(lba + s), i, v);
			}
		}
		lba += n;
		count -= n;
	}
	assert_false(irq(r)); /* no interrupt at the end of data-in */
	assert_int_equal(alt(r), 0x50);
	assert_int_equal(in(r, 1), 0);
	assert_int_equal(word(r), 0xffff); /* there is no more */
}

static inline void expect_error(struct rig *r, uint8_t error)
{
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x51);
	assert_int_equal(in(r, 1), error);
	assert_false(irq(r));
}

static inline void expect_done(struct rig *r)
{
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x50);
	assert_int_equal(in(r, 1), 0);
}

static inline void expect_on_disk(struct rig *r, uint64_t lba, const uint16_t *want)
{
	uint16_t got[256];
	FILE *f = fopen(r->path, "rb");

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)(lba * 512), SEEK_SET), 0);
	assert_int_equal(fread(got, 1, sizeof(got), f), sizeof(got));
	fclose(f);
	assert_memory_equal(got, want, sizeof(got));
}

static inline void expect_pattern_on_disk(struct rig *r, uint64_t lba)
{
	uint16_t want[256];

	for (unsigned i = 0; i < 256; i++)
		want[i] = pattern(lba, i);
	expect_on_disk(r, lba, want);
}

static inline void identify(struct rig *r, uint16_t id[256])
{
	out(r, 6, 0xa0);
	out(r, 7, 0xec);
	assert_true(irq(r));
	assert_int_equal(in(r, 7), 0x58);
	for (unsigned i = 0; i < 256; i++)
		id[i] = word(r);
	assert_int_equal(alt(r), 0x50);
}

#endif
