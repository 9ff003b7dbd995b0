// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_multiboot.c: good images land where they say with the information structure of [MB1] 3.3,
 * and a table of hostile ones, each a good image with one number changed, is refused in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/multiboot.h"

#define RAM_BYTES 0x1000000u
#define FILE_BYTES 0x400u

/* Where things are in the image that make_elf32() and make_elf64() build. */
#define PHDR_AT 0x40u
#define AT_HEADER 0x100u
#define AT_CODE 0x200u
#define CODE_BYTES 0x100u
#define CODE_GPA 0x200000u
#define CODE_VIRT 0xc0200000u
#define CODE_MEM 0x3000u
#define ENTRY 0x10u

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void put_header(uint8_t *file, uint32_t flags)
{
	put32(file + AT_HEADER, 0x1badb002);
	put32(file + AT_HEADER + 4, flags);
	put32(file + AT_HEADER + 8, -(0x1badb002 + flags));
}

static void put_code(uint8_t *file)
{
	for (unsigned i = 0; i < CODE_BYTES; i++)
		file[AT_CODE + i] = (uint8_t)(i * 7 + 1);
}

static void make_elf32(uint8_t *file)
{
	Elf32_Ehdr e = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_entry = CODE_VIRT + ENTRY,
		.e_phoff = PHDR_AT,
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 1,
	};
	Elf32_Phdr p = {PT_LOAD, AT_CODE, CODE_VIRT, CODE_GPA, CODE_BYTES, CODE_MEM, PF_R, 1};

	memset(file, 0, FILE_BYTES);
	memcpy(file, &e, sizeof(e));
	memcpy(file + PHDR_AT, &p, sizeof(p));
	put_header(file, 3);
	put_code(file);
}

static void make_elf64(uint8_t *file)
{
	Elf64_Ehdr e = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_entry = CODE_GPA + ENTRY, /* physical, although the segment has another virtual address */
		.e_phoff = PHDR_AT,
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	Elf64_Phdr p = {PT_LOAD, PF_R, AT_CODE, 0xffffffff80200000, CODE_GPA, CODE_BYTES, CODE_MEM, 1};

	memset(file, 0, FILE_BYTES);
	memcpy(file, &e, sizeof(e));
	memcpy(file + PHDR_AT, &p, sizeof(p));
	put_header(file, 3);
	put_code(file);
}

/* No ELF: the header's address fields alone. */
static void make_raw(uint8_t *file)
{
	const uint32_t fields[] = {
		CODE_GPA + AT_HEADER,
		CODE_GPA,
		CODE_GPA + AT_CODE + CODE_BYTES,
		CODE_GPA + CODE_MEM,
		CODE_GPA + AT_CODE + ENTRY,
	};

	memset(file, 0, FILE_BYTES);
	put_header(file, 0x10003);
	memcpy(file + AT_HEADER + 12, fields, sizeof(fields));
	put_code(file);
}

static int setup(void **state)
{
	struct guest_mem *mem = malloc(sizeof(*mem));

	assert_non_null(mem);
	assert_int_equal(mem_init(mem, RAM_BYTES), 0);
	memset(mem->ram, 0xaa, RAM_BYTES);
	*state = mem;
	return 0;
}

static int teardown(void **state)
{
	mem_destroy(*state);
	free(*state);
	return 0;
}

static void check_loaded(struct guest_mem *mem, const uint8_t *file, uint32_t gpa)
{
	assert_memory_equal(mem->ram + gpa, file + AT_CODE, CODE_BYTES);
	assert_int_equal(mem->ram[gpa - 1 - (gpa & 0xfff)], 0xaa);
}

static void test_elf(void **state)
{
	struct guest_mem *mem = *state;
	struct multiboot_image img;
	uint8_t file[FILE_BYTES];
	struct accel_err err;

	for (int is_64 = 0; is_64 < 2; is_64++) {
		(is_64 ? make_elf64 : make_elf32)(file);
		assert_int_equal(multiboot_find(file, sizeof(file)), AT_HEADER);
		assert_int_equal(multiboot_load(mem, file, sizeof(file), &img, &err), 0);
		check_loaded(mem, file, CODE_GPA);
		for (unsigned i = CODE_BYTES; i < CODE_MEM; i++)
			assert_int_equal(mem->ram[CODE_GPA + i], 0);
		assert_int_equal(mem->ram[CODE_GPA + CODE_MEM], 0xaa);
		assert_int_equal(img.entry, CODE_GPA + ENTRY);
		assert_int_equal(img.end, CODE_GPA + CODE_MEM);
		memset(mem->ram + CODE_GPA, 0xaa, CODE_MEM);
	}
}

static void test_addresses(void **state)
{
	struct guest_mem *mem = *state;
	struct multiboot_image img;
	uint8_t file[FILE_BYTES];
	struct accel_err err;

	make_raw(file);
	assert_int_equal(multiboot_load(mem, file, sizeof(file), &img, &err), 0);
	check_loaded(mem, file, CODE_GPA + AT_CODE);
	assert_int_equal(mem->ram[CODE_GPA + AT_CODE + CODE_BYTES], 0);
	assert_int_equal(mem->ram[CODE_GPA + CODE_MEM], 0xaa);
	assert_int_equal(img.entry, CODE_GPA + AT_CODE + ENTRY);
	/* load_end_addr 0: the whole file; bss_end_addr 0: no .bss */
	put32(file + AT_HEADER + 20, 0);
	put32(file + AT_HEADER + 24, 0);
	memset(mem->ram + CODE_GPA, 0xaa, CODE_MEM);
	assert_int_equal(multiboot_load(mem, file, sizeof(file), &img, &err), 0);
	assert_memory_equal(mem->ram + CODE_GPA, file, sizeof(file));
	assert_int_equal(mem->ram[CODE_GPA + sizeof(file)], 0xaa);
}

/* The 32-bit number at `at` becomes `value`; what the refusal must mention. */
struct hostile {
	void (*make)(uint8_t *file);
	uint32_t at, value;
	const char *want;
};

#define PHDR32(field) (PHDR_AT + (uint32_t)offsetof(Elf32_Phdr, field))
#define PHDR64(field) (PHDR_AT + (uint32_t)offsetof(Elf64_Phdr, field))

static const struct hostile hostile[] = {
	{make_elf32, PHDR32(p_offset), 0x301, "cut short"},
	{make_elf32, PHDR32(p_offset), 0xffffffff, "cut short"},
	{make_elf32, PHDR32(p_filesz), 0xffffffff, "cut short"},
	{make_elf32, PHDR32(p_memsz), CODE_BYTES - 1, "larger in the file"},
	{make_elf32, PHDR32(p_memsz), 0xffffffff, "give more --mem"},
	{make_elf32, PHDR32(p_memsz), RAM_BYTES - CODE_GPA + 1, "give more --mem"},
	{make_elf32, PHDR32(p_memsz), 0, "larger in the file"},
	{make_elf32, PHDR32(p_paddr), 0xffffffff, "give more --mem"},
	{make_elf32, PHDR32(p_paddr), RAM_BYTES - CODE_MEM + 1, "give more --mem"},
	{make_elf32, PHDR32(p_paddr), 0xfffff, "below 1 MiB"},
	{make_elf32, PHDR32(p_paddr), 0, "below 1 MiB"},
	{make_elf32, PHDR32(p_type), PT_NOTE, "entry point"},
	{make_elf32, offsetof(Elf32_Ehdr, e_entry), 0x12345678, "entry point"},
	{make_elf32, offsetof(Elf32_Ehdr, e_entry), CODE_VIRT + CODE_MEM, "entry point"},
	{make_elf32, offsetof(Elf32_Ehdr, e_phoff), 0xffffffff, "program headers"},
	{make_elf32, offsetof(Elf32_Ehdr, e_phoff), FILE_BYTES - 31, "program headers"},
	{make_elf32, offsetof(Elf32_Ehdr, e_phentsize), sizeof(Elf32_Phdr), "program headers"}, /* and e_phnum 0 */
	{make_elf32, offsetof(Elf32_Ehdr, e_phentsize), 0xffff0020, "program headers"},
	{make_elf32, offsetof(Elf32_Ehdr, e_phentsize), 0x1001f, "program headers"},
	{make_elf32, offsetof(Elf32_Ehdr, e_type), ET_EXEC | 40 << 16, "another machine"},
	{make_elf32, EI_CLASS, 0x00010203, "little-endian"},
	{make_elf32, EI_CLASS, 0x00010201, "little-endian"}, /* big-endian */
	{make_elf32, AT_HEADER, 0x1badb003, "no multiboot image"},
	{make_elf32, 0, 0x464c457e, "no ELF file"},
	{make_elf64, PHDR64(p_offset) + 4, 0xffffffff, "cut short"},
	{make_elf64, PHDR64(p_filesz) + 4, 0xffffffff, "cut short"},
	{make_elf64, PHDR64(p_memsz) + 4, 0xffffffff, "give more --mem"},
	{make_elf64, PHDR64(p_paddr) + 4, 0xffffffff, "give more --mem"},
	{make_elf64, PHDR64(p_paddr) + 4, 1, "give more --mem"},
	{make_elf64, offsetof(Elf64_Ehdr, e_entry) + 4, 1, "entry point"},
	{make_elf64, offsetof(Elf64_Ehdr, e_phoff) + 4, 0xffffffff, "program headers"},
	{make_raw, AT_HEADER + 12, 0, "load address"},
	{make_raw, AT_HEADER + 12, CODE_GPA + AT_HEADER + 4, "load address"},
	{make_raw, AT_HEADER + 12, 0xffffffff, "load address"},
	{make_raw, AT_HEADER + 16, 0xffffffff, "load address"},
	{make_raw, AT_HEADER + 16, 0, "load address"},
	{make_raw, AT_HEADER + 20, CODE_GPA - 1, "load_end_addr"},
	{make_raw, AT_HEADER + 20, 0xffffffff, "bss_end_addr"},
	{make_raw, AT_HEADER + 20, CODE_GPA + FILE_BYTES + 1, "cut short"},
	{make_raw, AT_HEADER + 24, CODE_GPA, "bss_end_addr"},
	{make_raw, AT_HEADER + 24, 0xffffffff, "give more --mem"},
	{make_raw, AT_HEADER + 28, CODE_GPA - 1, "entry_addr"},
	{make_raw, AT_HEADER + 28, CODE_GPA + CODE_MEM, "entry_addr"},
	{make_raw, AT_HEADER + 28, 0, "entry_addr"},
};

static void test_hostile(void **state)
{
	struct guest_mem *mem = *state;
	struct multiboot_image img;
	struct accel_err err;
	/* From the heap and of the exact size, so that ASan sees a byte too far. */
	uint8_t *file = malloc(FILE_BYTES);

	assert_non_null(file);
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		const struct hostile *h = &hostile[i];

		h->make(file);
		put32(file + h->at, h->value);
		err.text[0] = '\0';
		assert_int_equal(multiboot_load(mem, file, FILE_BYTES, &img, &err), -EINVAL);
		if (!strstr(err.text, h->want))
			fail_msg("hostile[%zu]: '%s' does not say '%s'", i, err.text, h->want);
		assert_null(strchr(err.text, '\n'));
	}
	free(file);
}

/* Many segments that each want all of RAM must not make loading slow. */
static void test_total_is_bounded(void **state)
{
	const unsigned count = 0xffff;
	size_t bytes = FILE_BYTES + count * sizeof(Elf32_Phdr);
	uint8_t *file = calloc(1, bytes);
	struct guest_mem *mem = *state;
	struct multiboot_image img;
	struct accel_err err;
	Elf32_Phdr p = {PT_LOAD, 0, CODE_VIRT, CODE_GPA, 0, RAM_BYTES - CODE_GPA, PF_R, 1};

	assert_non_null(file);
	make_elf32(file);
	put32(file + offsetof(Elf32_Ehdr, e_phoff), FILE_BYTES);
	put32(file + offsetof(Elf32_Ehdr, e_phentsize), sizeof(p) | count << 16);
	for (unsigned i = 0; i < count; i++)
		memcpy(file + FILE_BYTES + i * sizeof(p), &p, sizeof(p));
	assert_int_equal(multiboot_load(mem, file, bytes, &img, &err), -EINVAL);
	assert_non_null(strstr(err.text, "give more --mem"));
	free(file);
}

static void test_every_truncation(void **state)
{
	static void (*const makers[])(uint8_t *) = {make_elf32, make_elf64, make_raw};
	struct guest_mem *mem = *state;
	struct multiboot_image img;
	struct accel_err err;
	uint8_t whole[FILE_BYTES];

	for (unsigned m = 0; m < 3; m++) {
		makers[m](whole);
		for (size_t n = 1; n < AT_CODE + CODE_BYTES; n++) {
			uint8_t *cut = malloc(n);

			assert_non_null(cut);
			memcpy(cut, whole, n);
			assert_int_equal(multiboot_load(mem, cut, n, &img, &err), -EINVAL);
			free(cut);
		}
	}
}

static void test_header_search(void **state)
{
	uint8_t *file = calloc(1, 3 * MULTIBOOT_SEARCH_BYTES);
	const uint32_t header[3] = {0x1badb002, 0, -0x1badb002u};
	struct guest_mem *mem = *state;
	struct multiboot_image img;
	struct accel_err err;

	assert_non_null(file);
	memcpy(file + MULTIBOOT_SEARCH_BYTES - 12, header, 12);
	assert_int_equal(multiboot_find(file, 3 * MULTIBOOT_SEARCH_BYTES), MULTIBOOT_SEARCH_BYTES - 12);
	memset(file, 0, MULTIBOOT_SEARCH_BYTES);
	memcpy(file + MULTIBOOT_SEARCH_BYTES - 8, header, 12); /* not whole in the first 8 KiB */
	assert_int_equal(multiboot_find(file, 3 * MULTIBOOT_SEARCH_BYTES), -1);
	memset(file, 0, 3 * MULTIBOOT_SEARCH_BYTES);
	memcpy(file + 2, header, 12); /* not aligned */
	assert_int_equal(multiboot_find(file, 3 * MULTIBOOT_SEARCH_BYTES), -1);
	free(file);
	/* A "must" flag that nobody here knows; and one that need not be known. */
	file = malloc(FILE_BYTES);
	assert_non_null(file);
	make_elf32(file);
	put_header(file, 0x8003);
	assert_int_equal(multiboot_load(mem, file, FILE_BYTES, &img, &err), -EINVAL);
	assert_non_null(strstr(err.text, "features"));
	put_header(file, 0x80000003);
	assert_int_equal(multiboot_load(mem, file, FILE_BYTES, &img, &err), 0);
	free(file);
}

/* Field offsets as in the table of [MB1] 3.3. */
static void test_info(void **state)
{
	const struct boot_module mods[] = {{0x300000, 0x300123, "a.txt x=1"}, {0x301000, 0x301001, "b"}};
	struct multiboot_image img = {0};
	struct guest_mem *mem = *state;
	const uint8_t *ram = mem->ram, *info, *map, *list;
	uint64_t available = 0, base, bytes;
	struct accel_err err;

	assert_int_equal(multiboot_write_info(mem, "kernel.elf one two", mods, 2, &img, &err), 0);
	info = ram + img.info;
	assert_int_equal(get32(info), 1 | 4 | 8 | 0x40 | 0x200);
	assert_int_equal(get32(info + 4), 639);
	assert_int_equal(get32(info + 8), (RAM_BYTES >> 10) - 1024);
	assert_string_equal((const char *)ram + get32(info + 16), "kernel.elf one two");
	assert_int_equal(get32(info + 20), 2);
	list = ram + get32(info + 24);
	assert_int_equal(get32(list), 0x300000);
	assert_int_equal(get32(list + 4), 0x300123);
	assert_string_equal((const char *)ram + get32(list + 8), "a.txt x=1");
	assert_int_equal(get32(list + 16), 0x301000);
	assert_string_equal((const char *)ram + get32(list + 24), "b");
	assert_string_equal((const char *)ram + get32(info + 64), "hotreg");
	map = ram + get32(info + 48);
	for (uint32_t at = 0; at < get32(info + 44); at += get32(map + at) + 4) {
		memcpy(&base, map + at + 4, 8);
		memcpy(&bytes, map + at + 12, 8);
		if (get32(map + at + 20) == 1)
			available += bytes;
		assert_true(base + bytes <= RAM_BYTES);
	}
	assert_int_equal(available, 0x9fc00 + RAM_BYTES - 0x100000);
}

static void test_info_too_long(void **state)
{
	struct multiboot_image img = {0};
	struct guest_mem *mem = *state;
	char *line = malloc(0x90000);
	struct accel_err err;

	assert_non_null(line);
	memset(line, 'x', 0x90000);
	line[0x8fffe] = '\0';
	assert_int_equal(multiboot_write_info(mem, line, NULL, 0, &img, &err), -E2BIG);
	assert_int_equal(mem->ram[0x9fc00], 0xaa);
	line[0x8f000] = '\0';
	assert_int_equal(multiboot_write_info(mem, line, NULL, 0, &img, &err), 0);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_elf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_total_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_truncation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header_search, setup, teardown),
		cmocka_unit_test_setup_teardown(test_info, setup, teardown),
		cmocka_unit_test_setup_teardown(test_info_too_long, setup, teardown),
	};

	return cmocka_run_group_tests_name("multiboot", tests, NULL, NULL);
}
