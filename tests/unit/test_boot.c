// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_boot.c: what boot_load() puts where and with which registers, for a BIOS, a flat binary,
 * a multiboot and a PVH kernel with modules; and one refusing line for each kind of bad file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/boot.h"
#include "vmm/doctor.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define RAM_BYTES 0x800000u

static struct {
	char dir[32];
	struct vm vm;
	struct options opt;
	struct cpu cpu;
	struct cpu_regs regs;
	unsigned set_count;
	struct accel_err err;
	char *paths[16]; /* of file() */
	unsigned path_count;
} t;

static int fake_set_regs(struct cpu *cpu, const struct cpu_regs *regs)
{
	assert_ptr_equal(cpu, &t.cpu);
	t.regs = *regs;
	t.set_count++;
	return 0;
}

static const struct cpu_ops fake_ops = {.name = "fake", .set_regs = fake_set_regs};

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	strcpy(t.dir, P_tmpdir "/test_boot.XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	assert_int_equal(mem_init(&t.vm.mem, RAM_BYTES), 0);
	t.vm.opt = &t.opt;
	t.vm.cpu_ops = &fake_ops;
	t.vm.cpus[0] = &t.cpu;
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	mem_destroy(&t.vm.mem);
	while (t.path_count)
		free(t.paths[--t.path_count]);
	snprintf(command, sizeof(command), "rm -rf %s", t.dir);
	return system(command);
}

/* A file of the test's directory; its name lives as long as the test. */
static const char *file(const char *name, const void *data, size_t bytes)
{
	char *path;
	FILE *f;

	assert_true(asprintf(&path, "%s/%s", t.dir, name) > 0);
	f = fopen(path, "wb");
	assert_non_null(f);
	if (data)
		assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	else
		assert_int_equal(ftruncate(fileno(f), (off_t)bytes), 0);
	fclose(f);
	assert_true(t.path_count < 16);
	t.paths[t.path_count++] = path;
	return path;
}

static void refused(const char *want)
{
	t.set_count = 0;
	assert_true(boot_load(&t.vm, &t.err) < 0);
	if (!strstr(t.err.text, want))
		fail_msg("'%s' does not say '%s'", t.err.text, want);
	assert_null(strchr(t.err.text, '\n'));
	assert_int_equal(t.set_count, 0);
}

static void test_bios(void **state)
{
	uint8_t *image = malloc(0x20000);

	(void)state;
	assert_non_null(image);
	memset(image, 0x42, 0x20000);
	t.opt.bios = file("bios", image, 0x20000);
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	assert_int_equal(t.vm.mem.rom_bytes, 0x20000);
	assert_memory_equal(t.vm.mem.rom, image, 0x20000);
	/* [SDM3] Processor state after reset */
	assert_int_equal(t.regs.cs.selector, 0xf000);
	assert_int_equal(t.regs.cs.base, 0xffff0000);
	assert_int_equal(t.regs.rip, 0xfff0);
	assert_int_equal(t.regs.rflags, 2);
	assert_int_equal(t.regs.cr0, 0x60000010);
	/* a reset */
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	assert_int_equal(t.set_count, 2);
	free(image);
}

static void test_bad_bios(void **state)
{
	(void)state;
	t.opt.bios = "/nonexistent/bios.bin";
	refused("install the package seabios");
	t.opt.bios = file("odd", NULL, 0x10001);
	refused("multiple of 64 KiB");
	t.opt.bios = file("huge", NULL, 0x110000);
	refused("too large");
	t.opt.bios = file("empty", NULL, 0);
	refused("is empty");
	t.opt.bios = t.dir;
	refused("not a regular file");
	assert_null(t.vm.mem.rom);
}

static void test_flat(void **state)
{
	uint8_t code[1000];

	(void)state;
	for (unsigned i = 0; i < sizeof(code); i++)
		code[i] = (uint8_t)(i * 3);
	t.opt.kernel = file("flat", code, sizeof(code));
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	assert_memory_equal(t.vm.mem.ram + 0x7c00, code, sizeof(code));
	assert_int_equal(t.regs.cs.selector, 0);
	assert_int_equal(t.regs.cs.base, 0);
	assert_int_equal(t.regs.rip, 0x7c00);
	assert_int_equal(t.regs.gpr[CPU_RSP], 0x7c00);
	assert_int_equal(t.regs.gpr[CPU_RDX], 0x80);
	assert_int_equal(t.regs.cr0 & 1, 0);
	/* a reset brings back what the guest overwrote */
	memset(t.vm.mem.ram + 0x7c00, 0, sizeof(code));
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	assert_memory_equal(t.vm.mem.ram + 0x7c00, code, sizeof(code));
}

static void test_bad_flat(void **state)
{
	(void)state;
	t.opt.kernel = file("fits", NULL, 0x9fc00 - 0x7c00);
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	t.opt.kernel = file("large", NULL, 0x9fc00 - 0x7c00 + 1);
	refused("too large for a flat binary");
	t.opt.kernel = file("enormous", NULL, (256ull << 20) + 1);
	refused("too large");
	t.opt.kernel = file("small", "x", 1);
	t.opt.append = "a=b";
	refused("takes no --append");
	t.opt.append = NULL;
	t.opt.initrd = "x";
	refused("takes no --initrd");
	t.opt.initrd = NULL;
	t.opt.kernel = file("none", NULL, 0);
	refused("is empty");
	t.opt.kernel = "/nonexistent/kernel";
	refused("cannot open kernel /nonexistent/kernel");
	t.opt.kernel = t.dir;
	refused("not a regular file");
}

static void test_fifo(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/fifo", t.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	t.opt.kernel = path;
	refused("not a regular file"); /* and does not wait for a writer */
}

/* A multiboot kernel by address fields: 64 bytes for 0x200000, entered at its byte 48. */
static const char *kernel(void)
{
	const uint32_t image[16] = {
		0x1badb002, 0x10003, -(0x1badb002u + 0x10003), 0x200000, 0x200000, 0x200040, 0x202345, 0x200030};

	return file("kernel", image, sizeof(image));
}

static uint32_t get32(uint32_t gpa)
{
	uint32_t v;

	assert_true(mem_read(&t.vm.mem, gpa, &v, 4));
	return v;
}

static void test_multiboot(void **state)
{
	char want[128], initrd[160];
	uint32_t info, mods;

	(void)state;
	t.opt.kernel = kernel();
	t.opt.append = "one two";
	snprintf(initrd, sizeof(initrd), "%s x=1,%s", file("a", "AAAA", 4), file("b", NULL, 5000));
	t.opt.initrd = initrd;
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	/* [MB1] 3.2 Machine state */
	assert_int_equal(t.regs.gpr[CPU_RAX], 0x2badb002);
	assert_int_equal(t.regs.rip, 0x200030);
	assert_int_equal(t.regs.cr0 & 0x80000001, 1);
	assert_int_equal(t.regs.rflags & 0x20200, 0);
	assert_int_equal(t.regs.cs.attr, 0xc9b);
	assert_int_equal(t.regs.ds.attr, 0xc93);
	assert_int_equal(t.regs.cs.limit, 0xffffffff);
	info = (uint32_t)t.regs.gpr[CPU_RBX];
	snprintf(want, sizeof(want), "%s one two", t.opt.kernel);
	assert_string_equal((char *)t.vm.mem.ram + get32(info + 16), want);
	assert_int_equal(get32(info + 20), 2);
	mods = get32(info + 24);
	assert_int_equal(get32(mods), 0x203000); /* page-aligned, after .bss */
	assert_int_equal(get32(mods + 4), 0x203004);
	assert_memory_equal(t.vm.mem.ram + 0x203000, "AAAA", 4);
	assert_non_null(strstr((char *)t.vm.mem.ram + get32(mods + 8), "/a x=1"));
	assert_int_equal(get32(mods + 16), 0x204000);
	assert_int_equal(get32(mods + 20), 0x204000 + 5000);
}

static long resident_bytes(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

/* A reset loads the file again, and keeps nothing of it but what is in the guest's RAM. */
static void test_memory_after_resets(void **state)
{
	long first = 0;

	(void)state;
	t.opt.kernel = kernel();
	assert_int_equal(truncate(t.opt.kernel, 6 << 20), 0); /* all of it is read */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(boot_load(&t.vm, &t.err), 0);
		if (i == 0)
			first = resident_bytes();
	}
	assert_true(resident_bytes() < first + (1 << 20));
}

static void test_bad_modules(void **state)
{
	(void)state;
	t.opt.kernel = kernel();
	t.opt.initrd = "/nonexistent/module";
	refused("cannot open module /nonexistent/module");
	t.opt.initrd = "";
	refused("empty file name");
	t.opt.initrd = file("m", "m", 1);
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	t.opt.initrd = file("big", NULL, RAM_BYTES);
	refused("give more --mem");
	t.opt.initrd = t.dir;
	refused("not a regular file");
}

static void test_too_many_modules(void **state)
{
	const char *one = file("m", "m", 1);
	char *list = calloc(40, strlen(one) + 2);

	(void)state;
	assert_non_null(list);
	for (int i = 0; i < 33; i++)
		strcat(strcat(list, i ? "," : ""), one);
	t.opt.kernel = kernel();
	t.opt.initrd = list;
	refused("more than 32");
	list[strlen(list) - strlen(one) - 1] = '\0';
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	free(list);
}

/* An ELF32 file at 2 MiB with a PVH note, 64 bytes of it loaded. */
static const char *pvh_kernel(void)
{
	static struct {
		Elf32_Ehdr e;
		Elf32_Phdr p[2];
		uint32_t note[5];
		uint8_t code[64];
	} image = {
		.e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
			.e_machine = EM_386,
			.e_phoff = sizeof(Elf32_Ehdr),
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 2},
		.note = {4, 4, 18, 0x006e6558, 0x200010},
	};

	image.p[0] = (Elf32_Phdr){PT_LOAD, offsetof(typeof(image), code), 0x200000, 0x200000, 64, 5000, PF_R, 1};
	image.p[1] = (Elf32_Phdr){PT_NOTE, offsetof(typeof(image), note), 0, 0, sizeof(image.note), 0, PF_R, 4};
	memset(image.code, 0x5c, sizeof(image.code));
	return file("pvh", &image, sizeof(image));
}

static void test_pvh(void **state)
{
	uint32_t info;

	(void)state;
	t.opt.kernel = pvh_kernel();
	t.opt.append = "one two";
	t.opt.initrd = file("module", "MMMM", 4);
	assert_int_equal(boot_load(&t.vm, &t.err), 0);
	/* [PVH] the state at the entry */
	assert_int_equal(t.regs.rip, 0x200010);
	assert_int_equal(t.regs.cr0 & ~0x10u, 1); /* ET is read-only */
	assert_int_equal(t.regs.cr4, 0);
	assert_int_equal(t.regs.rflags & 0x20300, 0);
	assert_int_equal(t.regs.cs.attr, 0xc9b);
	assert_int_equal(t.regs.ds.attr, 0xc93);
	assert_int_equal(t.regs.es.attr, 0xc93);
	assert_int_equal(t.regs.cs.limit, 0xffffffff);
	assert_int_equal(t.regs.tr.base, 0);
	assert_int_equal(t.regs.tr.limit, 0x67);
	assert_int_equal(t.regs.tr.attr & 0x9f, 0x8b); /* a busy 32-bit TSS */
	info = (uint32_t)t.regs.gpr[CPU_RBX];
	assert_int_equal(get32(info), 0x336ec578);
	assert_string_equal((char *)t.vm.mem.ram + get32(info + 24), "one two");
	assert_int_equal(get32(info + 12), 1);
	assert_memory_equal(t.vm.mem.ram + get32(get32(info + 16)), "MMMM", 4);
	assert_int_equal(get32(get32(info + 16)), 0x202000); /* page-aligned, behind .bss */
}

/* A bzImage of four sectors of setup and one of kernel, with both entry points, at 1 MiB. */
static const char *bzimage(void)
{
	static uint8_t image[5 * 512 + 512];
	const uint16_t flag = 0xaa55, jump = 0x66eb, version = 0x020f, has_64 = 1;
	const uint32_t signature = 0x53726448, initrd_max = 0x7fffffff, line_max = 2047;

	memcpy(image + 0x1fe, &flag, 2);
	memcpy(image + 0x200, &jump, 2);
	memcpy(image + 0x202, &signature, 4);
	memcpy(image + 0x206, &version, 2);
	image[0x211] = 1;
	memcpy(image + 0x22c, &initrd_max, 4);
	memcpy(image + 0x236, &has_64, 2);
	memcpy(image + 0x238, &line_max, 4);
	return file("bzimage", image, sizeof(image));
}

/* [LINUX-BOOT] 32-bit and 64-bit boot protocol: which one follows from what processor the guest sees. */
static void test_linux(void **state)
{
	static const struct cpu_ops with_paging = {.name = "paged", .set_regs = fake_set_regs, .has_paging = true};

	(void)state;
	t.opt.kernel = bzimage();
	refused("needs paging");
	t.vm.cpu_ops = &with_paging;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		t.vm.has_long_mode = is_64;
		assert_int_equal(boot_load(&t.vm, &t.err), 0);
		assert_int_equal(t.regs.rip, is_64 ? 0x100200 : 0x100000);
		assert_int_equal(t.regs.cs.attr, is_64 ? 0xa9b : 0xc9b);
		assert_int_equal(t.regs.cs.selector, 0x10);
		assert_int_equal(t.regs.ds.selector, 0x18);
		assert_int_equal(t.regs.cr0 & ~0x10ull, is_64 ? 0x80000001 : 1);
		assert_int_equal(t.regs.efer, is_64 ? 0x500 : 0);
		assert_int_equal(t.regs.cr3 != 0, is_64);
		assert_int_equal(t.regs.gpr[CPU_RBP] | t.regs.gpr[CPU_RDI] | t.regs.gpr[CPU_RBX], 0);
		assert_int_equal(t.regs.rflags & 0x200, 0);
		assert_int_equal(get32((uint32_t)t.regs.gpr[CPU_RSI] + 0x202), 0x53726448); /* the boot parameters */
	}
}

static void test_elf_without_header(void **state)
{
	(void)state;
	t.opt.kernel = "/proc/self/exe"; /* an ELF64 file for certain */
	refused("no multiboot image");
	assert_true(boot_needs_paging(&t.opt));
	t.opt.kernel = kernel();
	assert_false(boot_needs_paging(&t.opt));
	t.opt.kernel = "/nonexistent";
	assert_false(boot_needs_paging(&t.opt));
	t.opt.kernel = NULL;
	assert_false(boot_needs_paging(&t.opt));
}

/* --cpu auto, as docs and header say. */
static void test_pick_cpu(void **state)
{
	struct kvm_probe good = {.real_mode = true, .flat32 = true, .int_n32 = true}, p;
	char why[256];

	(void)state;
	assert_ptr_equal(doctor_pick_cpu(&good, NULL, why, sizeof(why)), &cpu_kvm_ops);
	p = good;
	p.open_error = -EACCES;
	assert_ptr_equal(doctor_pick_cpu(&p, NULL, why, sizeof(why)), &cpu_soft_ops);
	assert_non_null(strstr(why, "Permission denied"));
	for (int i = 0; i < 3; i++) {
		p = good;
		*(i == 0 ? &p.real_mode : i == 1 ? &p.flat32 : &p.int_n32) = false;
		snprintf(p.reason[i], sizeof(p.reason[i]), "reason %d", i);
		assert_ptr_equal(doctor_pick_cpu(&p, NULL, why, sizeof(why)), &cpu_soft_ops);
		assert_non_null(strstr(why, p.reason[i]));
		assert_ptr_equal(doctor_pick_cpu(&p, "it says so", why, sizeof(why)), &cpu_kvm_ops);
		assert_non_null(strstr(why, "it says so"));
		assert_non_null(strstr(why, "fails a self-test"));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bios),
		TEST(test_bad_bios),
		TEST(test_flat),
		TEST(test_bad_flat),
		TEST(test_fifo),
		TEST(test_multiboot),
		TEST(test_pvh),
		TEST(test_linux),
		TEST(test_memory_after_resets),
		TEST(test_bad_modules),
		TEST(test_too_many_modules),
		TEST(test_elf_without_header),
		TEST(test_pick_cpu),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
