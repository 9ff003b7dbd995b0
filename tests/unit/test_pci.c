/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_pci.c: configuration mechanism #1 with the functions of the i440FX and the south bridge:
 * identities, what can be written, PAM, the place of the ACPI block, and the reset register.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/i440fx.h"
#include "devices/pci.h"
#include "devices/piix3.h"
#include "devices/piix4_pm.h"
#include "tests/unit/board.h"
#include "vmm/mem.h"

#define RESET 20
#define RAM_BYTES (2u << 20)

struct rig {
	struct board board;
	struct guest_mem mem;
	struct device *pci, *bridge, *pm, *piix;
};

static void reset_all(struct rig *r)
{
	board_reset(r->pci);
	board_reset(r->bridge);
	board_reset(r->pm);
	board_reset(r->piix);
}

static int make(void **state, bool has_bios)
{
	struct rig *r = calloc(1, sizeof(*r));
	static uint8_t rom[0x10000];

	assert_non_null(r);
	board_init(&r->board, ACCEL_OFF);
	assert_int_equal(mem_init(&r->mem, RAM_BYTES), 0);
	if (has_bios)
		assert_int_equal(mem_set_rom(&r->mem, rom, sizeof(rom)), 0);
	r->pci = pci_create(&r->board.bus, &r->board.clock, board_line(&r->board, RESET));
	r->bridge = i440fx_create(&r->board.clock, r->pci, &r->mem, has_bios);
	r->pm = piix4_pm_create(&r->board.bus, &r->board.clock, &(struct piix4_pm_config){.opaque = NULL});
	r->piix = piix3_create(&r->board.clock, r->pci, r->pm, NULL);
	assert_true(r->pci && r->bridge && r->pm && r->piix);
	reset_all(r);
	*state = r;
	return 0;
}

static int setup(void **state)
{
	return make(state, true);
}

static int setup_without_bios(void **state)
{
	return make(state, false);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	r->piix->ops->destroy(r->piix);
	r->pm->ops->destroy(r->pm);
	r->bridge->ops->destroy(r->bridge);
	board_destroy(&r->board, r->pci);
	mem_destroy(&r->mem);
	free(r);
	return 0;
}

static void address(struct rig *r, unsigned devfn, unsigned reg)
{
	board_io(&r->board, IO_PIO, 0xcf8, 4, true, 0x80000000u | devfn << 8 | (reg & 0xfc));
}

static uint32_t get(struct rig *r, unsigned devfn, unsigned reg, unsigned size)
{
	address(r, devfn, reg);
	return (uint32_t)board_io(&r->board, IO_PIO, 0xcfc + (reg & 3), size, false, 0);
}

static void set(struct rig *r, unsigned devfn, unsigned reg, unsigned size, uint32_t v)
{
	address(r, devfn, reg);
	board_io(&r->board, IO_PIO, 0xcfc + (reg & 3), size, true, v);
}

static void test_confadd(void **state)
{
	struct rig *r = *state;

	board_io(&r->board, IO_PIO, 0xcf8, 4, true, 0xffffffff);
	assert_int_equal(board_io(&r->board, IO_PIO, 0xcf8, 4, false, 0), 0x80fffffc);
	board_io(&r->board, IO_PIO, 0xcf8, 4, true, 0x80000000);
	board_out(&r->board, 0xcf8, 0x12); /* bytes and words do not reach it */
	board_io(&r->board, IO_PIO, 0xcfa, 2, true, 0x1234);
	assert_int_equal(board_io(&r->board, IO_PIO, 0xcf8, 4, false, 0), 0x80000000);
	assert_int_equal(board_in(&r->board, 0xcfa), 0xff);
	assert_int_equal(get(r, 0, 0, 4), 0x12378086);
	board_io(&r->board, IO_PIO, 0xcf8, 4, true, 0x00000000); /* not enabled */
	assert_int_equal(board_io(&r->board, IO_PIO, 0xcfc, 4, false, 0), 0xffffffff);
	board_io(&r->board, IO_PIO, 0xcf8, 4, true, 0x80010000); /* bus 1 */
	assert_int_equal(board_io(&r->board, IO_PIO, 0xcfc, 4, false, 0), 0xffffffff);
}

static void test_identities(void **state)
{
	struct rig *r = *state;
	unsigned found = 0;

	for (unsigned devfn = 0; devfn < 256; devfn++)
		found += get(r, devfn, 0, 4) != 0xffffffff;
	assert_int_equal(found, 4);
	assert_int_equal(get(r, 0, 0x08, 4) >> 8, 0x060000);
	assert_int_equal(get(r, 0, 0x2c, 4), 0x11001af4); /* by which SeaBIOS asks fw_cfg */
	assert_int_equal(get(r, PCI_DEVFN(1, 0), 0, 4), 0x70008086);
	assert_int_equal(get(r, PCI_DEVFN(1, 0), 0x08, 4) >> 8, 0x060100);
	assert_int_equal(get(r, PCI_DEVFN(1, 0), 0x0e, 1), 0x80);
	assert_int_equal(get(r, PCI_DEVFN(1, 1), 0, 4), 0x70108086);
	assert_int_equal(get(r, PCI_DEVFN(1, 1), 0x0a, 2), 0x0101);   /* IDE */
	assert_int_equal(get(r, PCI_DEVFN(1, 1), 0x09, 1) & 0x80, 0); /* no bus master */
	assert_int_equal(get(r, PCI_DEVFN(1, 3), 0, 4), 0x71138086);
}

/* Identity, class and base addresses do not change whatever is written, in any size. */
static void test_read_only(void **state)
{
	static const unsigned functions[] = {PCI_DEVFN(0, 0), PCI_DEVFN(1, 0), PCI_DEVFN(1, 1), PCI_DEVFN(1, 3)};
	struct rig *r = *state;

	for (unsigned f = 0; f < 4; f++) {
		for (unsigned reg = 0; reg < 0x3c; reg += 4) {
			uint32_t before = get(r, functions[f], reg, 4);

			if (reg == 0x04 || reg == 0x0c)
				continue;
			set(r, functions[f], reg, 4, ~before);
			assert_int_equal(get(r, functions[f], reg, 4), before);
			set(r, functions[f], reg + 1, 1, 0x5a);
			set(r, functions[f], reg + 2, 2, 0xa5a5);
			assert_int_equal(get(r, functions[f], reg, 4), before);
		}
	}
}

static void test_pirq(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get(r, PCI_DEVFN(1, 0), 0x60, 4), 0x80808080);
	set(r, PCI_DEVFN(1, 0), 0x60, 4, 0xfb0a0b0a);
	assert_int_equal(get(r, PCI_DEVFN(1, 0), 0x60, 4), 0x8b0a0b0a);
	assert_int_equal(get(r, PCI_DEVFN(1, 0), 0x62, 1), 0x0a);
	reset_all(r);
	assert_int_equal(get(r, PCI_DEVFN(1, 0), 0x60, 4), 0x80808080);
}

static bool is_ram(struct rig *r, uint64_t gpa, bool *readonly)
{
	struct mem_region list[MEM_MAX_REGIONS];
	unsigned count;

	pthread_mutex_lock(&r->mem.lock);
	count = mem_regions(&r->mem, list);
	pthread_mutex_unlock(&r->mem.lock);
	for (unsigned i = 0; i < count; i++) {
		if (gpa < list[i].gpa || gpa >= list[i].gpa + list[i].bytes)
			continue;
		*readonly = list[i].readonly;
		return list[i].host + (gpa - list[i].gpa) == r->mem.ram + gpa;
	}
	*readonly = true;
	return false;
}

static void test_pam(void **state)
{
	struct rig *r = *state;
	bool readonly;

	assert_int_equal(get(r, 0, 0x59, 1), 0x00);
	assert_false(is_ram(r, 0xf0000, &readonly));
	set(r, 0, 0x59, 1, 0xff);
	assert_int_equal(get(r, 0, 0x59, 1), 0x30);
	assert_true(is_ram(r, 0xf0000, &readonly));
	assert_false(readonly);
	assert_true(is_ram(r, 0xfffff, &readonly));
	set(r, 0, 0x59, 1, 0x10);
	assert_true(is_ram(r, 0xf0000, &readonly));
	assert_true(readonly);
	/* one nibble for each 16 KiB from 0xc0000 */
	for (unsigned i = 0; i < 12; i++) {
		uint64_t gpa = 0xc0000 + i * 0x4000ull;
		unsigned reg = 0x5a + i / 2;

		assert_false(is_ram(r, gpa, &readonly));
		set(r, 0, reg, 1, get(r, 0, reg, 1) | 3u << (4 * (i & 1)));
		assert_true(is_ram(r, gpa, &readonly));
		assert_false(readonly);
		assert_true(is_ram(r, gpa + 0x3fff, &readonly));
		if (i < 11)
			assert_false(is_ram(r, gpa + 0x4000, &readonly));
	}
	reset_all(r);
	assert_false(is_ram(r, 0xc0000, &readonly));
	set(r, 0, 0x58, 4, 0x33333000); /* several at once */
	assert_true(is_ram(r, 0xc0000, &readonly));
	assert_true(is_ram(r, 0xcc000, &readonly));
	assert_false(is_ram(r, 0xd0000, &readonly));
}

static void test_pam_without_bios(void **state)
{
	struct rig *r = *state;
	bool readonly;

	assert_int_equal(get(r, 0, 0x59, 1), 0x30);
	assert_int_equal(get(r, 0, 0x5c, 4), 0x33333333);
	assert_true(is_ram(r, 0xf0000, &readonly));
	assert_false(readonly);
}

static void test_smram_lock(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get(r, 0, 0x72, 1), 0x02);
	set(r, 0, 0x72, 1, 0x4a);
	assert_int_equal(get(r, 0, 0x72, 1), 0x4a);
	set(r, 0, 0x72, 1, 0x5a); /* D_LCK takes D_OPEN away, for good */
	assert_int_equal(get(r, 0, 0x72, 1), 0x1a);
	set(r, 0, 0x72, 1, 0x4a);
	assert_int_equal(get(r, 0, 0x72, 1), 0x1a);
	reset_all(r);
	set(r, 0, 0x72, 1, 0x4a);
	assert_int_equal(get(r, 0, 0x72, 1), 0x4a);
}

static bool pm_at(struct rig *r, uint16_t base)
{
	const struct range *range = bus_find(&r->board.bus, IO_PIO, base + 8u);

	return range && range->dev == r->pm && range->base == base;
}

static void test_pm_base(void **state)
{
	struct rig *r = *state;
	unsigned pm = PCI_DEVFN(1, 3);

	assert_int_equal(get(r, pm, 0x40, 4), 0x0601);
	assert_true(pm_at(r, 0x600));
	set(r, pm, 0x40, 4, 0xffffb03f);
	assert_int_equal(get(r, pm, 0x40, 4), 0xb001);
	assert_true(pm_at(r, 0xb000));
	assert_null(bus_find(&r->board.bus, IO_PIO, 0x608));
	set(r, pm, 0x80, 1, 0x00);
	assert_null(bus_find(&r->board.bus, IO_PIO, 0xb008));
	set(r, pm, 0x41, 1, 0xc0); /* a byte of it while it is off */
	set(r, pm, 0x80, 1, 0xff);
	assert_true(pm_at(r, 0xc000));
	assert_int_equal(get(r, pm, 0x80, 1), 0x01);
	assert_int_equal(get(r, pm, 0x58, 4) & 0x02000000, 0x02000000); /* SMM is "installed" */
	reset_all(r);
	assert_true(pm_at(r, 0x600));
	assert_null(bus_find(&r->board.bus, IO_PIO, 0xc008));
}

static void test_reset_control(void **state)
{
	struct rig *r = *state;
	bool *reset = &r->board.level[RESET];

	board_out(&r->board, 0xcf9, 0x02);
	assert_false(*reset);
	assert_int_equal(board_in(&r->board, 0xcf9), 0x02);
	board_out(&r->board, 0xcf9, 0x06);
	assert_true(*reset);
	*reset = false;
	board_out(&r->board, 0xcf9, 0x06); /* only a rise of RCPU counts */
	assert_false(*reset);
	board_out(&r->board, 0xcf9, 0x00);
	board_io(&r->board, IO_PIO, 0xcf8, 4, true, 0xffffffff); /* CONFADD, not 0xcf9 */
	assert_false(*reset);
	board_io(&r->board, IO_PIO, 0xcf8, 2, true, 0x0400); /* a word whose high byte it is */
	assert_true(*reset);
	assert_int_equal(board_io(&r->board, IO_PIO, 0xcf8, 2, false, 0), 0x04ff);
	reset_all(r);
	assert_int_equal(board_in(&r->board, 0xcf9), 0x00);
}

static void test_random(void **state)
{
	struct rig *r = *state;
	uint64_t seed = 440;

	for (int i = 0; i < 100000; i++) {
		uint32_t x = board_random(&seed);
		unsigned size = 1u << (x & 3), port = 0xcf4 + (x >> 2 & 15);
		uint64_t v = board_random(&seed);

		if (x & 0x100)
			v = 0x80000000u | (v & 0xbfc); /* an address that exists */
		board_io(&r->board, IO_PIO, port, size, x & 0x40, v);
	}
	reset_all(r);
	test_identities(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_confadd),
		T(test_identities),
		T(test_read_only),
		T(test_pirq),
		T(test_pam),
		cmocka_unit_test_setup_teardown(test_pam_without_bios, setup_without_bios, teardown),
		T(test_smram_lock),
		T(test_pm_base),
		T(test_reset_control),
		T(test_random),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
