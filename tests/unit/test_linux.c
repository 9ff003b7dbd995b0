// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_linux.c: bzImages land where [LINUX-BOOT] says, with the boot parameters, descriptors and page tables that
 * its 32- and 64-bit protocols ask for; hostile headers are refused in words. Offsets are the document's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/linux.h"

#define RAM_BYTES 0x4000000u
#define SETUP_BYTES 0x800u /* three sectors of setup and the first */
#define KERNEL_BYTES 0x3000u
#define FILE_BYTES (SETUP_BYTES + KERNEL_BYTES)
#define PREFERRED 0x1000000u
#define INIT_BYTES 0x800000u

static uint8_t file[FILE_BYTES];
static struct guest_mem mem;
static struct linux_image img;
static struct accel_err err;

static void put16(uint32_t at, uint16_t v)
{
	memcpy(file + at, &v, 2);
}

static void put32(uint32_t at, uint32_t v)
{
	memcpy(file + at, &v, 4);
}

static uint64_t guest(uint64_t gpa, unsigned bytes)
{
	uint64_t v = 0;

	assert_true(mem_read(&mem, gpa, &v, bytes));
	return v;
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(mem_init(&mem, RAM_BYTES), 0);
	memset(mem.ram, 0xaa, RAM_BYTES);
	memset(file, 0, sizeof(file));
	for (unsigned i = 0; i < KERNEL_BYTES; i++)
		file[SETUP_BYTES + i] = (uint8_t)(i * 7 + i / 256);
	file[0x1f1] = 3;
	put16(0x1fe, 0xaa55);
	put16(0x200, 0x66eb); /* jump: the header ends at 0x268 */
	put32(0x202, 0x53726448);
	put16(0x206, 0x020f);
	file[0x211] = 1;
	put32(0x22c, 0x7fffffff);
	put32(0x230, 0x200000);
	file[0x234] = 1;
	put16(0x236, 1); /* XLF_KERNEL_64 */
	put32(0x238, 2047);
	put32(0x258, PREFERRED);
	put32(0x260, INIT_BYTES);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mem_destroy(&mem);
	return 0;
}

static void load(bool can_64)
{
	assert_true(linux_find(file, sizeof(file)));
	assert_int_equal(linux_load(&mem, file, sizeof(file), can_64, &img, &err), 0);
}

static void test_64(void **state)
{
	const char *line = "console=ttyS0 quiet";
	uint32_t params;

	(void)state;
	load(true);
	assert_true(img.is_64);
	assert_int_equal(img.entry, PREFERRED + 0x200);
	assert_memory_equal(mem.ram + PREFERRED, file + SETUP_BYTES, KERNEL_BYTES);
	assert_int_equal(img.initrd_min, PREFERRED + INIT_BYTES);
	assert_int_equal(img.initrd_end, RAM_BYTES);
	assert_int_equal(linux_write_params(&mem, file, sizeof(file), line, 0x2000000, 0x1234, true, &img, &err), 0);
	params = img.params;
	assert_memory_equal(mem.ram + params + 0x1f1, file + 0x1f1, 0x210 - 0x1f1);
	assert_int_equal(guest(params + 0x210, 1), 0xff); /* type_of_loader */
	assert_int_equal(guest(params + 0x214, 4), PREFERRED);
	assert_int_equal(guest(params + 0x218, 4), 0x2000000);
	assert_int_equal(guest(params + 0x21c, 4), 0x1234);
	assert_string_equal(mem.ram + guest(params + 0x228, 4), line);
	assert_int_equal(guest(params + 0x258, 4), PREFERRED);
	assert_int_equal(guest(params + 0x268, 8), 0); /* behind the header: zero */
	assert_int_equal(guest(params + 0x0f, 1), 1);  /* orig_video_isVGA */
	/* e820: 640 KiB less the EBDA, what is above 1 MiB, and nothing that overlaps */
	assert_int_equal(guest(params + 0x1e8, 1), 4);
	assert_int_equal(guest(params + 0x2d0, 8), 0);
	assert_int_equal(guest(params + 0x2d0 + 8, 8), 0x9fc00);
	assert_int_equal(guest(params + 0x2d0 + 16, 4), 1);
	assert_int_equal(guest(params + 0x2d0 + 3 * 20, 8), 0x100000);
	assert_int_equal(guest(params + 0x2d0 + 3 * 20 + 8, 8), RAM_BYTES - 0x100000);
	assert_int_equal(guest(params + 0x2d0 + 3 * 20 + 16, 4), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_true(guest(params + 0x2d0 + i * 20, 8) + guest(params + 0x2d0 + i * 20 + 8, 8) <=
			    guest(params + 0x2d0 + (i + 1) * 20, 8));
}

/* [SDM3] 4.5: walks the tables as a processor does. */
static uint64_t translate(uint64_t address)
{
	uint64_t e = guest(img.page_tables + (address >> 39 & 511) * 8, 8);

	assert_int_equal(e & 0x83, 0x03);
	e = guest((e & ~0xfffull) + (address >> 30 & 511) * 8, 8);
	assert_int_equal(e & 0x83, 0x03);
	e = guest((e & ~0xfffull) + (address >> 21 & 511) * 8, 8);
	assert_int_equal(e & 0x83, 0x83);
	return (e & ~0x1fffffull) | (address & 0x1fffff);
}

static void test_page_tables(void **state)
{
	(void)state;
	load(true);
	assert_int_equal(linux_write_params(&mem, file, sizeof(file), "", 0, 0, false, &img, &err), 0);
	for (uint64_t a = 0; a < 1ull << 32; a += 0x1234567)
		assert_int_equal(translate(a), a);
	assert_int_equal(translate(0xffffffff), 0xffffffff);
	assert_int_equal(guest(img.gdt + 0x10, 8), 0x00af9b000000ffff); /* long mode code, present, DPL 0 */
	assert_int_equal(guest(img.gdt + 0x18, 8), 0x00cf93000000ffff);
	assert_int_equal(guest(img.params + 0x0f, 1), 0);
	assert_int_equal(guest(img.params + 0x218, 4), 0);
}

static void test_32(void **state)
{
	(void)state;
	load(false);
	assert_false(img.is_64);
	assert_int_equal(img.entry, PREFERRED);
	assert_int_equal(img.page_tables, 0);
	put16(0x236, 0); /* no 64-bit entry */
	load(true);
	assert_false(img.is_64);
	assert_int_equal(linux_write_params(&mem, file, sizeof(file), "", 0, 0, false, &img, &err), 0);
	assert_int_equal(guest(img.gdt + 0x10, 8), 0x00cf9b000000ffff);
	/* not relocatable: 1 MiB, whatever it prefers */
	file[0x234] = 0;
	load(true);
	assert_int_equal(img.entry, 0x100000);
	/* before 2.10 there is no preferred address and no init_size */
	file[0x234] = 1;
	put16(0x206, 0x0209);
	load(true);
	assert_int_equal(img.entry, 0x100000);
	assert_int_equal(img.initrd_min, 0x100000 + KERNEL_BYTES);
}

static void test_initrd_room(void **state)
{
	(void)state;
	put32(0x22c, 0x1ffffff);
	load(true);
	assert_int_equal(img.initrd_end, 0x2000000);
	put32(0x22c, 0xffffffff);
	load(true);
	assert_int_equal(img.initrd_end, RAM_BYTES);
}

static void test_cmdline(void **state)
{
	char line[300];

	(void)state;
	memset(line, 'x', sizeof(line));
	line[256] = 0;
	put32(0x238, 255);
	load(true);
	assert_int_equal(linux_write_params(&mem, file, sizeof(file), line, 0, 0, false, &img, &err), -E2BIG);
	assert_non_null(strstr(err.text, "shorten --append"));
	line[255] = 0;
	assert_int_equal(linux_write_params(&mem, file, sizeof(file), line, 0, 0, false, &img, &err), 0);
}

static void test_no_bzimage(void **state)
{
	(void)state;
	for (size_t n = 0; n < 0x208; n++)
		assert_false(linux_find(file, n));
	put16(0x1fe, 0xaa54);
	assert_false(linux_find(file, sizeof(file)));
	put16(0x1fe, 0xaa55);
	put32(0x202, 0x53726449);
	assert_false(linux_find(file, sizeof(file)));
}

static void refused(size_t bytes, const char *text)
{
	err.text[0] = 0;
	assert_int_equal(linux_load(&mem, file, bytes, true, &img, &err), -EINVAL);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" has no \"%s\"", err.text, text);
}

static void test_refused(void **state)
{
	(void)state;
	put16(0x206, 0x0205);
	refused(sizeof(file), "boot protocol is 2.05");
	put16(0x206, 0x020f);
	refused(0x28f, "no bzImage");
	refused(SETUP_BYTES, "cut short");
	file[0x1f1] = 0; /* means four sectors */
	refused(5 * 512, "cut short");
	file[0x1f1] = 255;
	refused(sizeof(file), "cut short");
	file[0x1f1] = 3;
	file[0x211] = 0;
	refused(sizeof(file), "no bzImage");
	file[0x211] = 1;
	put32(0x260, 0xffffffff);
	refused(sizeof(file), "needs memory up to 4112 MiB: give more --mem");
	put32(0x260, INIT_BYTES);
	put32(0x25c, 0x80000000); /* prefers an address beyond 4 GiB: 1 MiB will do */
	load(true);
	assert_int_equal(img.entry, 0x100200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_64),
		TEST(test_page_tables),
		TEST(test_32),
		TEST(test_initrd_room),
		TEST(test_cmdline),
		TEST(test_no_bzimage),
		TEST(test_refused),
	};

	return cmocka_run_group_tests_name("linux", tests, NULL, NULL);
}
