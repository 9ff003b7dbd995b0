// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_pvh.c: ELF files with a PVH note land where they say and are entered where the note says, with the start info
 * structure of [PVH] read back by offset; files whose notes or segments lie are refused in words, or are no PVH kernels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "vmm/pvh.h"

#define RAM_BYTES 0x1000000u
#define FILE_BYTES 0x400u
#define PHDR_AT 0x40u
#define AT_NOTES 0x180u
#define NOTES_BYTES 0x60u
#define AT_CODE 0x200u
#define CODE_BYTES 0x100u
#define CODE_GPA 0x200000u
#define CODE_MEM 0x3000u
#define ENTRY (CODE_GPA + 0x20)

static uint8_t file[FILE_BYTES];
static struct guest_mem mem;
static struct pvh_image img;
static struct accel_err err;

static void put32(uint32_t at, uint32_t v)
{
	memcpy(file + at, &v, 4);
}

/* A note, its name and descriptor padded to 4; returns what is behind it. */
static uint32_t put_note(uint32_t at, const char *name, uint32_t type, uint32_t desc_bytes, uint64_t desc)
{
	uint32_t name_bytes = (uint32_t)strlen(name) + 1;

	put32(at, name_bytes);
	put32(at + 4, desc_bytes);
	put32(at + 8, type);
	memcpy(file + at + 12, name, name_bytes);
	at += 12 + (name_bytes + 3) / 4 * 4;
	memcpy(file + at, &desc, desc_bytes < 8 ? desc_bytes : 8);
	return at + (desc_bytes + 3) / 4 * 4;
}

static void put_notes(bool is_64)
{
	uint32_t at = put_note(AT_NOTES, "GNU", 3, 5, 0x1234);

	at = put_note(at, "Xen", 6, 4, 7);
	at = put_note(at, "Xenon", 18, 4, 0xdead);
	put_note(at, "Xen", 18, is_64 ? 8 : 4, ENTRY);
}

static void make(bool is_64)
{
	memset(file, 0, sizeof(file));
	if (is_64) {
		Elf64_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_machine = EM_X86_64,
			.e_entry = 0xffffffff81000000,
			.e_phoff = PHDR_AT,
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2};
		Elf64_Phdr p[2] = {{PT_LOAD, 0, AT_CODE, 0xffffffff80200000, CODE_GPA, CODE_BYTES, CODE_MEM, 1},
			{PT_NOTE, 0, AT_NOTES, 0, 0, NOTES_BYTES, NOTES_BYTES, 4}};

		memcpy(file, &e, sizeof(e));
		memcpy(file + PHDR_AT, p, sizeof(p));
	} else {
		Elf32_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
			.e_machine = EM_386,
			.e_phoff = PHDR_AT,
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 2};
		Elf32_Phdr p[2] = {{PT_NOTE, AT_NOTES, 0, 0, NOTES_BYTES, NOTES_BYTES, 0, 4},
			{PT_LOAD, AT_CODE, 0xc0200000, CODE_GPA, CODE_BYTES, CODE_MEM, 0, 1}};

		memcpy(file, &e, sizeof(e));
		memcpy(file + PHDR_AT, p, sizeof(p));
	}
	put_notes(is_64);
	for (unsigned i = 0; i < CODE_BYTES; i++)
		file[AT_CODE + i] = (uint8_t)(i * 7 + 1);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(mem_init(&mem, RAM_BYTES), 0);
	memset(mem.ram, 0xaa, RAM_BYTES);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mem_destroy(&mem);
	return 0;
}

static uint64_t guest(uint64_t gpa, unsigned bytes)
{
	uint64_t v = 0;

	assert_true(mem_read(&mem, gpa, &v, bytes));
	return v;
}

static void test_load(void **state)
{
	uint32_t entry;

	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		make(is_64);
		assert_true(pvh_find(file, sizeof(file), &entry));
		assert_int_equal(entry, ENTRY);
		assert_int_equal(pvh_load(&mem, file, sizeof(file), &img, &err), 0);
		assert_int_equal(img.elf.entry, ENTRY);
		assert_int_equal(img.elf.end, CODE_GPA + CODE_MEM);
		assert_memory_equal(mem.ram + CODE_GPA, file + AT_CODE, CODE_BYTES);
		for (unsigned i = CODE_BYTES; i < CODE_MEM; i++)
			assert_int_equal(mem.ram[CODE_GPA + i], 0);
		memset(mem.ram + CODE_GPA, 0xaa, CODE_MEM);
	}
}

/* [PVH] struct hvm_start_info, version 1, by offset. */
static void test_info(void **state)
{
	const struct boot_module mods[] = {{0x300000, 0x300123, "a b"}, {0x301000, 0x301001, "c"}};
	uint32_t info, list, map, total = 0;

	(void)state;
	make(true);
	assert_int_equal(pvh_load(&mem, file, sizeof(file), &img, &err), 0);
	assert_int_equal(pvh_write_info(&mem, "x=1 y", mods, 2, 0xf0000, &img, &err), 0);
	info = img.info;
	assert_int_equal(guest(info, 4), 0x336ec578);
	assert_int_equal(guest(info + 4, 4), 1);
	assert_int_equal(guest(info + 8, 4), 0);
	assert_int_equal(guest(info + 12, 4), 2);
	list = (uint32_t)guest(info + 16, 8);
	assert_string_equal(mem.ram + guest(info + 24, 8), "x=1 y");
	assert_int_equal(guest(info + 32, 8), 0xf0000);
	map = (uint32_t)guest(info + 40, 8);
	assert_int_equal(guest(list, 8), 0x300000);
	assert_int_equal(guest(list + 8, 8), 0x123);
	assert_string_equal(mem.ram + guest(list + 16, 8), "a b");
	assert_int_equal(guest(list + 24, 8), 0);
	assert_int_equal(guest(list + 32, 8), 0x301000);
	assert_int_equal(guest(list + 40, 8), 1);
	/* sorted, nothing overlaps, all RAM above 1 MiB and 640 KiB less the EBDA below */
	for (uint32_t i = 0; i < guest(info + 48, 4); i++) {
		uint64_t base = guest(map + 24 * i, 8), bytes = guest(map + 24 * i + 8, 8);

		if (guest(map + 24 * i + 16, 4) == 1)
			total += (uint32_t)bytes;
		if (i > 0)
			assert_true(guest(map + 24 * (i - 1), 8) + guest(map + 24 * (i - 1) + 8, 8) <= base);
		assert_int_equal(guest(map + 24 * i + 20, 4), 0);
	}
	assert_int_equal(total, RAM_BYTES - 0x100000 + 0x9fc00);
	assert_int_equal(pvh_write_info(&mem, "", NULL, 0, 0, &img, &err), 0);
	assert_int_equal(guest(img.info + 12, 4), 0);
	assert_int_equal(guest(img.info + 16, 8), 0);
}

static void test_long_strings(void **state)
{
	char *line = malloc(0xa0000);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', 0x9ffff);
	line[0x9ffff] = 0;
	make(false);
	assert_int_equal(pvh_load(&mem, file, sizeof(file), &img, &err), 0);
	assert_int_equal(pvh_write_info(&mem, line, NULL, 0, 0, &img, &err), -E2BIG);
	assert_non_null(strstr(err.text, "shorten them"));
	free(line);
}

static void refused(const char *want)
{
	err.text[0] = 0;
	assert_int_equal(pvh_load(&mem, file, sizeof(file), &img, &err), -EINVAL);
	if (!strstr(err.text, want))
		fail_msg("'%s' does not say '%s'", err.text, want);
}

static void test_hostile(void **state)
{
	const uint32_t xen = AT_NOTES + 24 + 20 + 24; /* the last note */
	uint32_t entry;

	(void)state;
	make(false);
	put32(xen + 16, CODE_GPA + CODE_MEM);
	refused("entry point 0x203000 lies outside");
	put32(xen + 16, 0xffffffff);
	refused("entry point 0xffffffff lies outside");
	put32(xen + 16, 0xc0200020); /* virtual addresses are none here */
	refused("lies outside");
	make(false);
	for (size_t n = 0; n < AT_CODE; n++) /* cut short anywhere before the code */
		assert_false(n < xen + 20 && pvh_find(file, n, &entry));
	make(false);
	put32(xen + 4, 3); /* a descriptor that is too short, and lengths that lead away */
	assert_false(pvh_find(file, sizeof(file), &entry));
	put32(xen + 4, 0xffffffff);
	assert_false(pvh_find(file, sizeof(file), &entry));
	make(false);
	put32(AT_NOTES, 0xfffffffe);
	refused("no PVH entry point");
	make(false);
	put32(AT_NOTES + 4, 0xfffffff0);
	refused("no PVH entry point");
	make(false);
	put32(PHDR_AT + 4, 0xffffffff); /* the notes lie outside the file */
	refused("no PVH entry point");
	make(false);
	put32(PHDR_AT + 32 + 12, 0x1000); /* p_paddr */
	refused("below 1 MiB");
	make(false);
	put32(PHDR_AT + 32 + 20, 0xffffffff);
	refused("give more --mem");
	file[0] = 0;
	refused("no PVH entry point");
}

/* Very many segments over the same large notes are given up, not looked through one by one. */
static void test_many_notes(void **state)
{
	const size_t bytes = 8u << 20, phdrs = 60000 * sizeof(Elf32_Phdr);
	uint8_t *big = calloc(1, bytes);
	uint32_t entry;
	clock_t start;
	Elf32_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_machine = EM_386,
		.e_phoff = sizeof(e),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 60000};

	(void)state;
	assert_non_null(big);
	memcpy(big, &e, sizeof(e));
	for (unsigned i = 0; i < 60000; i++) {
		Elf32_Phdr p = {
			PT_NOTE, (uint32_t)(sizeof(e) + phdrs), 0, 0, (uint32_t)(bytes - sizeof(e) - phdrs), 0, 0, 4};

		memcpy(big + sizeof(e) + i * sizeof(p), &p, sizeof(p));
	}
	start = clock();
	assert_false(pvh_find(big, bytes, &entry));
	assert_true(clock() - start < CLOCKS_PER_SEC);
	free(big);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_load),
		TEST(test_info),
		TEST(test_long_strings),
		TEST(test_hostile),
		TEST(test_many_notes),
	};

	return cmocka_run_group_tests_name("pvh", tests, NULL, NULL);
}
