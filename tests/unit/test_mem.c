// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_mem.c: the region list against the memory map of the 82441FX data sheet, segment by
 * segment, and the bounds of mem_ptr().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/mem.h"

#define MIB 0x100000ull

static uint8_t *image(size_t bytes)
{
	uint8_t *rom = malloc(bytes);

	assert_non_null(rom);
	for (size_t i = 0; i < bytes; i++)
		rom[i] = (uint8_t)(i >> 12 ^ i);
	return rom;
}

/* The region that holds gpa, or NULL. Checks on the way that the list is sorted and in bounds. */
static const struct mem_region *look_up(const struct guest_mem *mem, struct mem_region *list, uint64_t gpa)
{
	unsigned count = mem_regions(mem, list);
	const struct mem_region *found = NULL;
	uint64_t end = 0;

	assert_in_range(count, 1, MEM_MAX_REGIONS);
	for (unsigned i = 0; i < count; i++) {
		assert_true(list[i].bytes > 0 && list[i].gpa >= end);
		end = list[i].gpa + list[i].bytes;
		if (gpa >= list[i].gpa && gpa < end)
			found = &list[i];
	}
	return found;
}

static void test_no_rom(void **state)
{
	struct mem_region list[MEM_MAX_REGIONS];
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_init(&mem, 16 * MIB), 0);
	assert_int_equal(mem_regions(&mem, list), 1);
	assert_int_equal(list[0].gpa, 0);
	assert_int_equal(list[0].bytes, 16 * MIB);
	assert_ptr_equal(list[0].host, mem.ram);
	assert_false(list[0].readonly);
	mem_set_pam(&mem, 3, 0);
	assert_int_equal(mem_regions(&mem, list), 1);
	mem_destroy(&mem);
}

static void test_smallest(void **state)
{
	struct mem_region list[MEM_MAX_REGIONS];
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_init(&mem, MIB), 0);
	assert_int_equal(mem_regions(&mem, list), 1);
	assert_int_equal(list[0].bytes, MIB);
	mem_destroy(&mem);
}

static void test_reset_state(void **state)
{
	struct mem_region list[MEM_MAX_REGIONS];
	const struct mem_region *r;
	struct guest_mem mem;
	uint8_t *rom = image(256 * 1024);

	(void)state;
	assert_int_equal(mem_init(&mem, 8 * MIB), 0);
	assert_int_equal(mem_set_rom(&mem, rom, 256 * 1024), 0);
	assert_null(look_up(&mem, list, 0xc0000));
	assert_null(look_up(&mem, list, 0xdffff));
	r = look_up(&mem, list, 0xe0000);
	assert_non_null(r);
	assert_true(r->readonly);
	assert_int_equal(r->gpa, 0xe0000);
	assert_int_equal(r->bytes, 0x20000); /* three segments merged */
	assert_memory_equal(r->host, rom + 128 * 1024, 128 * 1024);
	r = look_up(&mem, list, 0xfffffff0);
	assert_non_null(r);
	assert_true(r->readonly);
	assert_int_equal(r->gpa, 0x100000000ull - 256 * 1024);
	assert_memory_equal(r->host, rom, 256 * 1024);
	r = look_up(&mem, list, 0xbffff);
	assert_int_equal(r->gpa, 0);
	assert_int_equal(r->bytes, 0xc0000);
	r = look_up(&mem, list, 0x100000);
	assert_int_equal(r->bytes, 7 * MIB);
	assert_null(look_up(&mem, list, 8 * MIB));
	free(rom);
	mem_destroy(&mem);
}

/* Every segment through all four settings; its neighbours must not notice. */
static void test_each_segment(void **state)
{
	struct mem_region list[MEM_MAX_REGIONS];
	struct guest_mem mem;
	uint8_t *rom = image(128 * 1024);

	(void)state;
	assert_int_equal(mem_init(&mem, 4 * MIB), 0);
	assert_int_equal(mem_set_rom(&mem, rom, 128 * 1024), 0);
	for (unsigned seg = 0; seg < MEM_SHADOW_SEGMENTS; seg++) {
		uint32_t base = seg == 12 ? 0xf0000 : 0xc0000 + 0x4000 * seg;
		uint32_t end = seg == 12 ? 0x100000 : base + 0x4000;

		for (unsigned attr = 0; attr < 4; attr++) {
			const struct mem_region *r;

			mem_set_pam(&mem, seg, (uint8_t)attr);
			for (unsigned at = 0; at < 2; at++) {
				uint32_t gpa = at ? end - 1 : base;

				r = look_up(&mem, list, gpa);
				if (attr & MEM_PAM_RE) {
					assert_non_null(r);
					assert_ptr_equal(r->host + (gpa - r->gpa), mem.ram + gpa);
					assert_int_equal(r->readonly, !(attr & MEM_PAM_WE));
				} else if (base >= 0xe0000) {
					assert_non_null(r);
					assert_ptr_equal(r->host + (gpa - r->gpa), mem.rom + (gpa - 0xe0000));
					assert_true(r->readonly);
				} else {
					assert_null(r);
				}
			}
			if (seg > 0 && seg <= 8)
				assert_null(look_up(&mem, list, base - 1));
			if (seg == 12)
				assert_false(look_up(&mem, list, 0x100000)->readonly);
		}
		mem_set_pam(&mem, seg, 0);
	}
	free(rom);
	mem_destroy(&mem);
}

static void test_merging(void **state)
{
	struct mem_region list[MEM_MAX_REGIONS];
	struct guest_mem mem;
	uint8_t *rom = image(64 * 1024);

	(void)state;
	assert_int_equal(mem_init(&mem, 4 * MIB), 0);
	assert_int_equal(mem_set_rom(&mem, rom, 64 * 1024), 0);
	assert_null(look_up(&mem, list, 0xe0000)); /* a 64 KiB image does not reach down there */
	for (unsigned seg = 0; seg < MEM_SHADOW_SEGMENTS; seg++)
		mem_set_pam(&mem, seg, MEM_PAM_RE | MEM_PAM_WE);
	assert_int_equal(mem_regions(&mem, list), 2); /* RAM is one again, and the ROM at 4 GiB */
	assert_int_equal(list[0].bytes, 4 * MIB);
	for (unsigned seg = 0; seg < MEM_SHADOW_SEGMENTS; seg += 2)
		mem_set_pam(&mem, seg, MEM_PAM_RE);
	assert_int_equal(mem_regions(&mem, list), 16); /* the most there can be: all alternate */
	free(rom);
	mem_destroy(&mem);
}

static void count_change(void *opaque)
{
	++*(int *)opaque;
}

static void test_tells_backend(void **state)
{
	struct guest_mem mem;
	int changes = 0;
	uint8_t *rom = image(64 * 1024);

	(void)state;
	assert_int_equal(mem_init(&mem, MIB), 0);
	mem.changed = count_change;
	mem.changed_opaque = &changes;
	assert_int_equal(mem_set_rom(&mem, rom, 64 * 1024), 0);
	assert_int_equal(changes, 1);
	mem_set_pam(&mem, 0, MEM_PAM_RE);
	assert_int_equal(changes, 2);
	mem_set_pam(&mem, 0, 0xf0 | MEM_PAM_RE); /* same in the bits that count */
	assert_int_equal(changes, 2);
	mem_set_pam(&mem, MEM_SHADOW_SEGMENTS, MEM_PAM_RE); /* no such segment */
	assert_int_equal(changes, 2);
	free(rom);
	mem_destroy(&mem);
}

static void test_shadow_write(void **state)
{
	struct guest_mem mem;
	uint8_t *rom = image(128 * 1024);
	static const uint8_t bytes[4] = {1, 2, 3, 4};

	(void)state;
	assert_int_equal(mem_init(&mem, MIB), 0);
	assert_int_equal(mem_set_rom(&mem, rom, 128 * 1024), 0);
	assert_false(mem_shadow_write(&mem, 0xe8000, bytes, 4));
	mem_set_pam(&mem, 10, MEM_PAM_WE); /* 0xe8000..0xebfff */
	assert_true(mem_shadow_write(&mem, 0xebffe, bytes, 4));
	assert_int_equal(mem.ram[0xebffe], 1);
	assert_int_equal(mem.ram[0xebfff], 2);
	assert_int_equal(mem.ram[0xec000], 0); /* the next segment takes no writes */
	assert_false(mem_shadow_write(&mem, 0xbffff, bytes, 4));
	assert_false(mem_shadow_write(&mem, 0x100000, bytes, 4));
	mem_set_pam(&mem, 12, MEM_PAM_WE);
	assert_true(mem_shadow_write(&mem, 0xffffe, bytes, 4)); /* and stops at 1 MiB */
	assert_memory_equal(mem.ram + 0xffffe, bytes, 2);
	free(rom);
	mem_destroy(&mem);
}

static void test_bad_rom(void **state)
{
	struct guest_mem mem;
	uint8_t *rom = image(2 * MIB);

	(void)state;
	assert_int_equal(mem_init(&mem, MIB), 0);
	assert_int_not_equal(mem_set_rom(&mem, rom, 0), 0);
	assert_int_not_equal(mem_set_rom(&mem, rom, 65535), 0);
	assert_int_not_equal(mem_set_rom(&mem, rom, 2 * MIB), 0);
	assert_null(mem.rom);
	free(rom);
	mem_destroy(&mem);
}

static void test_ptr_bounds(void **state)
{
	struct guest_mem mem;
	uint8_t buf[8] = {0};

	(void)state;
	assert_int_equal(mem_init(&mem, MIB), 0);
	assert_ptr_equal(mem_ptr(&mem, 0, MIB), mem.ram);
	assert_null(mem_ptr(&mem, 0, MIB + 1));
	assert_null(mem_ptr(&mem, 1, MIB));
	assert_null(mem_ptr(&mem, ~0ull, 1));
	assert_null(mem_ptr(&mem, ~0ull, 2));
	assert_null(mem_ptr(&mem, 8, ~0ull - 4));
	assert_ptr_equal(mem_ptr(&mem, MIB, 0), mem.ram + MIB);
	assert_true(mem_write(&mem, MIB - 8, "abcdefgh", 8));
	assert_true(mem_read(&mem, MIB - 8, buf, 8));
	assert_memory_equal(buf, "abcdefgh", 8);
	assert_false(mem_write(&mem, MIB - 7, "ABCDEFGH", 8));
	assert_int_equal(mem.ram[MIB - 1], 'h');
	assert_false(mem_read(&mem, 1ull << 40, buf, 1));
	mem_destroy(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_rom),
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_reset_state),
		cmocka_unit_test(test_each_segment),
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_tells_backend),
		cmocka_unit_test(test_shadow_write),
		cmocka_unit_test(test_bad_rom),
		cmocka_unit_test(test_ptr_bounds),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
