// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot.c: files into guest memory, and the registers a guest starts with. See boot.h.
 *
 * Files are read with read(2) into memory of a size fixed beforehand, never mapped: a file that
 * shrinks under us is a short read and not a signal. Nothing is kept: a reset loads anew.
 */
#include "vmm/boot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/machine.h"
#include "vmm/linux.h"
#include "vmm/multiboot.h"
#include "vmm/options.h"
#include "vmm/pvh.h"
#include "vmm/text.h"
#include "vmm/vm.h"

#define KERNEL_MAX_BYTES (256u << 20)
#define BIOS_MAX_BYTES (1u << 20)
#define BIOS_UNIT_BYTES (64u << 10)
#define PAGE 4096u

#define MULTIBOOT_EAX 0x2badb002u
#define CR0_PE 0x1u
#define CR0_ET 0x10u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define RFLAGS_FIXED 0x2u
#define TSS_LIMIT 0x67u

/* Descriptor attributes, in the form of struct cpu_seg. */
#define ATTR_CODE16 0x09bu
#define ATTR_DATA32 0xc93u
#define ATTR_CODE32 0xc9bu
#define ATTR_CODE64 0xa9bu

#define FLAT_SEG(a)                                                                                                    \
	{                                                                                                              \
		.limit = 0xffffffff, .attr = (a)                                                                       \
	}

/* Opens a regular file that has something in it. The descriptor, or -errno. */
static int open_file(const char *what, const char *path, uint64_t *bytes, struct accel_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
	struct stat st;

	if (fd < 0)
		return err_fail(err, -errno, "cannot open %s %s: %s", what, path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_fail(err, -EINVAL, "%s %s is not a regular file", what, path);
	}
	if (st.st_size <= 0) {
		close(fd);
		return err_fail(err, -EINVAL, "%s %s is empty", what, path);
	}
	*bytes = (uint64_t)st.st_size;
	return fd;
}

static int read_whole(int fd, void *buf, uint64_t bytes, const char *path, struct accel_err *err)
{
	uint64_t done = 0;

	while (done < bytes) {
		ssize_t n = read(fd, (uint8_t *)buf + done, bytes - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_fail(
				err, -EIO, "cannot read %s: %s", path, n < 0 ? strerror(errno) : "it became shorter");
		done += (uint64_t)n;
	}
	return 0;
}

/*
 * Reads a file of at most max bytes into fresh memory, *image, for the caller to munmap(). Not the heap, which would keep
 * what a reset has freed.
 */
static int load_file(
	const char *what, const char *path, uint64_t max, uint8_t **image, uint64_t *bytes, struct accel_err *err)
{
	int fd = open_file(what, path, bytes, err);
	uint8_t *buf;
	int rc;

	if (fd < 0)
		return fd;
	if (*bytes > max) {
		rc = err_fail(err, -EFBIG, "%s %s is too large: %llu bytes, at most %llu", what, path,
			(unsigned long long)*bytes, (unsigned long long)max);
		goto out;
	}
	buf = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED) {
		rc = err_fail(err, -ENOMEM, "out of memory for %s %s", what, path);
		goto out;
	}
	rc = read_whole(fd, buf, *bytes, path, err);
	if (rc)
		munmap(buf, *bytes);
	else
		*image = buf;
out:
	close(fd);
	return rc;
}

/* ---- BIOS ------------------------------------------------------------------------------------ */

static int load_bios(struct vm *vm, const char *path, struct accel_err *err)
{
	uint64_t bytes;
	uint8_t *image;
	int rc;

	if (vm->mem.rom) /* a reset: nobody can have changed it */
		return 0;
	rc = load_file("BIOS image", path, BIOS_MAX_BYTES, &image, &bytes, err);
	if (rc == -ENOENT)
		return err_fail(
			err, rc, "no BIOS image %s: install the package seabios, or name one with --bios FILE", path);
	if (rc)
		return rc;
	if (bytes % BIOS_UNIT_BYTES)
		rc = err_fail(err, -EINVAL, "BIOS image %s has %llu bytes, not a multiple of 64 KiB", path,
			(unsigned long long)bytes);
	else
		rc = mem_set_rom(&vm->mem, image, bytes);
	if (rc && rc != -EINVAL)
		err_fail(err, rc, "cannot map BIOS image %s: %s", path, strerror(-rc));
	munmap(image, bytes);
	return rc;
}

/* ---- flat binary ----------------------------------------------------------------------------- */

static int load_flat(struct vm *vm, const uint8_t *image, uint64_t bytes, struct cpu_regs *regs, struct accel_err *err)
{
	const char *path = vm->opt->kernel;

	if (vm->opt->append || vm->opt->initrd)
		return err_fail(err, -EINVAL,
			"%s is a flat binary, which takes no --%s: multiboot, PVH and Linux kernels do", path,
			vm->opt->append ? "append" : "initrd");
	if (bytes > BOOT_FLAT_END - BOOT_FLAT_BASE)
		return err_fail(err, -EFBIG,
			"%s is no multiboot image, and too large for a flat binary: %llu bytes, at most %u", path,
			(unsigned long long)bytes, BOOT_FLAT_END - BOOT_FLAT_BASE);
	if (!mem_write(&vm->mem, BOOT_FLAT_BASE, image, bytes))
		return err_fail(err, -ENOMEM, "%s does not fit the guest's RAM: give more --mem", path);
	*regs = cpu_regs_reset;
	regs->cs = (struct cpu_seg){.limit = 0xffff, .attr = ATTR_CODE16};
	regs->rip = BOOT_FLAT_BASE;
	regs->gpr[CPU_RSP] = BOOT_FLAT_BASE;
	regs->gpr[CPU_RDX] = 0x80; /* as a BIOS names the first disk */
	regs->cr0 = CR0_ET;
	return 0;
}

/* ---- multiboot ------------------------------------------------------------------------------- */

/* Loads one module at *at (page-aligned) and moves *at behind it. `string`: "FILE" or "FILE ARGUMENTS". */
static int load_module(
	struct guest_mem *mem, const char *string, uint32_t *at, struct boot_module *mod, struct accel_err *err)
{
	char *path = strndup(string, strcspn(string, " "));
	uint64_t bytes;
	void *host;
	int rc, fd;

	if (!path)
		return err_fail(err, -ENOMEM, "out of memory");
	fd = open_file("module", path, &bytes, err);
	if (fd < 0) {
		rc = fd;
		goto out_path;
	}
	host = mem_ptr(mem, *at, bytes);
	if (!host) {
		rc = err_fail(err, -ENOMEM, "module %s (%llu bytes) does not fit the guest's RAM: give more --mem",
			path, (unsigned long long)bytes);
		goto out;
	}
	rc = read_whole(fd, host, bytes, path, err);
	if (rc)
		goto out;
	*mod = (struct boot_module){.start = *at, .end = *at + (uint32_t)bytes, .string = string};
	*at = (mod->end + PAGE - 1) & ~(PAGE - 1);
out:
	close(fd);
out_path:
	free(path);
	return rc;
}

/* --initrd FILE[,FILE...]; list is a copy that is cut at its commas. */
static int load_modules(struct guest_mem *mem, char *list, uint32_t at, struct boot_module *mods, unsigned *count,
	struct accel_err *err)
{
	char *next;

	*count = 0;
	for (char *one = list; one; one = next) {
		int rc;

		next = strchr(one, ',');
		if (next)
			*next++ = '\0';
		if (*one == '\0')
			return err_fail(err, -EINVAL, "--initrd has an empty file name");
		if (*count == BOOT_MAX_MODULES)
			return err_fail(err, -EINVAL, "--initrd names more than %d modules", BOOT_MAX_MODULES);
		rc = load_module(mem, one, &at, &mods[*count], err);
		if (rc)
			return rc;
		++*count;
	}
	return 0;
}

/* 32-bit protected mode without paging, flat segments, interrupts off; `info` is in EBX. */
static void flat_regs(uint32_t entry, uint32_t info, struct cpu_regs *regs)
{
	*regs = (struct cpu_regs){
		.gpr = {[CPU_RBX] = info},
		.rip = entry,
		.rflags = RFLAGS_FIXED,
		.es = FLAT_SEG(ATTR_DATA32),
		.cs = FLAT_SEG(ATTR_CODE32),
		.ss = FLAT_SEG(ATTR_DATA32),
		.ds = FLAT_SEG(ATTR_DATA32),
		.fs = FLAT_SEG(ATTR_DATA32),
		.gs = FLAT_SEG(ATTR_DATA32),
		.ldt = cpu_regs_reset.ldt,
		.tr = cpu_regs_reset.tr,
		.cr0 = CR0_PE | CR0_ET,
	};
	/* Selectors that are no null ones, as GRUB leaves them; the descriptor tables stay the guest's to set up. */
	regs->cs.selector = 0x10;
	regs->es.selector = regs->ss.selector = regs->ds.selector = regs->fs.selector = regs->gs.selector = 0x18;
}

static int load_multiboot(
	struct vm *vm, const uint8_t *file, uint64_t bytes, struct cpu_regs *regs, struct accel_err *err)
{
	struct boot_module mods[BOOT_MAX_MODULES];
	const struct options *opt = vm->opt;
	struct multiboot_image img;
	unsigned mod_count = 0;
	struct accel_err why;
	char *cmdline = NULL, *initrd = NULL;
	int rc;

	rc = multiboot_load(&vm->mem, file, bytes, &img, &why);
	if (rc)
		return err_fail(err, rc, "cannot boot %s: %.300s", opt->kernel, why.text);
	if (asprintf(&cmdline, "%s%s%s", opt->kernel, opt->append ? " " : "", opt->append ? opt->append : "") < 0)
		return err_fail(err, -ENOMEM, "out of memory");
	if (opt->initrd) {
		initrd = strdup(opt->initrd);
		rc = initrd ? load_modules(&vm->mem, initrd, img.end, mods, &mod_count, err)
			    : err_fail(err, -ENOMEM, "out of memory");
	}
	if (!rc)
		rc = multiboot_write_info(&vm->mem, cmdline, mods, mod_count, &img, err);
	free(initrd);
	free(cmdline);
	if (rc)
		return rc;
	flat_regs(img.entry, img.info, regs); /* [MB1] 3.2 Machine state */
	regs->gpr[CPU_RAX] = MULTIBOOT_EAX;
	return 0;
}

/* ---- PVH ------------------------------------------------------------------------------------- */

static int load_pvh(
	struct vm *vm, const uint8_t *file, uint64_t bytes, uint32_t rsdp, struct cpu_regs *regs, struct accel_err *err)
{
	struct boot_module mods[BOOT_MAX_MODULES];
	const struct options *opt = vm->opt;
	unsigned mod_count = 0;
	struct pvh_image img;
	struct accel_err why;
	char *initrd = NULL;
	int rc;

	rc = pvh_load(&vm->mem, file, bytes, &img, &why);
	if (rc)
		return err_fail(err, rc, "cannot boot %s: %.300s", opt->kernel, why.text);
	if (opt->initrd) {
		initrd = strdup(opt->initrd);
		rc = initrd ? load_modules(&vm->mem, initrd, img.elf.end, mods, &mod_count, err)
			    : err_fail(err, -ENOMEM, "out of memory");
	}
	if (!rc)
		rc = pvh_write_info(&vm->mem, opt->append ? opt->append : "", mods, mod_count, rsdp, &img, err);
	free(initrd);
	if (rc)
		return rc;
	flat_regs(img.elf.entry, img.info, regs);
	regs->tr.limit = TSS_LIMIT;
	return 0;
}

/* ---- Linux ----------------------------------------------------------------------------------- */

/* --initrd FILE, as high as the kernel allows. */
static int load_initrd(struct guest_mem *mem, const char *path, const struct linux_image *img, uint32_t *at,
	uint32_t *size, struct accel_err *err)
{
	uint64_t bytes, room = img->initrd_end > img->initrd_min ? img->initrd_end - img->initrd_min : 0;
	int fd = open_file("initrd", path, &bytes, err);
	int rc;

	if (fd < 0)
		return fd;
	if (bytes > room) {
		rc = err_fail(err, -ENOMEM,
			"initrd %s (%llu bytes) does not fit between the kernel and the end of RAM: give more --mem",
			path, (unsigned long long)bytes);
		goto out;
	}
	*at = (img->initrd_end - (uint32_t)bytes) & ~(PAGE - 1);
	if (*at < img->initrd_min)
		*at = img->initrd_min;
	*size = (uint32_t)bytes;
	rc = read_whole(fd, mem_ptr(mem, *at, bytes), bytes, path, err);
out:
	close(fd);
	return rc;
}

/* [LINUX-BOOT] 32-bit Boot Protocol and 64-bit Boot Protocol: the state at the entry. */
static void linux_regs(const struct linux_image *img, struct cpu_regs *regs)
{
	const struct cpu_seg data = {.selector = 0x18, .limit = 0xffffffff, .attr = ATTR_DATA32};

	*regs = (struct cpu_regs){
		.gpr = {[CPU_RSI] = img->params},
		.rip = img->entry,
		.rflags = RFLAGS_FIXED,
		.es = data,
		.cs = {.selector = 0x10, .limit = 0xffffffff, .attr = img->is_64 ? ATTR_CODE64 : ATTR_CODE32},
		.ss = data,
		.ds = data,
		.fs = data,
		.gs = data,
		.ldt = cpu_regs_reset.ldt,
		.tr = cpu_regs_reset.tr,
		.gdt = {.base = img->gdt, .limit = LINUX_GDT_BYTES - 1},
		.cr0 = CR0_PE | CR0_ET,
	};
	if (img->is_64) {
		regs->cr0 |= CR0_PG;
		regs->cr3 = img->page_tables;
		regs->cr4 = CR4_PAE;
		regs->efer = EFER_LME | EFER_LMA;
	}
}

static int load_linux(struct vm *vm, const uint8_t *file, uint64_t bytes, struct cpu_regs *regs, struct accel_err *err)
{
	const struct options *opt = vm->opt;
	uint32_t initrd = 0, initrd_bytes = 0;
	struct linux_image img;
	struct accel_err why;
	int rc;

	if (!vm->cpu_ops->has_paging)
		return err_fail(err, -ENOTSUP,
			"%s is a Linux kernel, which needs paging: the %s CPU has none, use --cpu kvm", opt->kernel,
			vm->cpu_ops->name);
	rc = linux_load(&vm->mem, file, bytes, vm->has_long_mode, &img, &why);
	if (rc)
		return err_fail(err, rc, "cannot boot %s: %.300s", opt->kernel, why.text);
	if (opt->initrd)
		rc = load_initrd(&vm->mem, opt->initrd, &img, &initrd, &initrd_bytes, err);
	if (rc)
		return rc;
	rc = linux_write_params(&vm->mem, file, bytes, opt->append ? opt->append : "", initrd, initrd_bytes,
		options_has_vga(opt), &img, &why);
	if (rc)
		return err_fail(err, rc, "cannot boot %s: %.300s", opt->kernel, why.text);
	linux_regs(&img, regs);
	return 0;
}

static int load_kernel(struct vm *vm, struct cpu_regs *regs, struct accel_err *err)
{
	uint32_t rsdp = 0, entry;
	uint64_t bytes;
	uint8_t *file;
	int rc;

	rc = load_file("kernel", vm->opt->kernel, KERNEL_MAX_BYTES, &file, &bytes, err);
	if (rc)
		return rc;
	if (vm->machine)
		rsdp = machine_write_tables(vm->machine);
	if (multiboot_find(file, bytes) >= 0)
		rc = load_multiboot(vm, file, bytes, regs, err);
	else if (linux_find(file, bytes))
		rc = load_linux(vm, file, bytes, regs, err);
	else if (pvh_find(file, bytes, &entry))
		rc = load_pvh(vm, file, bytes, rsdp, regs, err);
	else if (elf_is(file, bytes))
		rc = err_fail(err, -EINVAL,
			"%s is an ELF file but no multiboot image: it has no multiboot-1 header in its first 8 KiB, "
			"and no PVH note",
			vm->opt->kernel);
	else
		rc = load_flat(vm, file, bytes, regs, err);
	munmap(file, bytes);
	return rc;
}

int boot_load(struct vm *vm, struct accel_err *err)
{
	struct cpu_regs regs = cpu_regs_reset;
	int rc;

	if (vm->opt->kernel)
		rc = load_kernel(vm, &regs, err);
	else
		rc = load_bios(vm, vm->opt->bios ? vm->opt->bios : OPT_DEFAULT_BIOS, err);
	if (rc)
		return rc;
	rc = vm->cpu_ops->set_regs(vm->cpus[0], &regs);
	if (rc)
		err_fail(err, rc, "the %s CPU refuses the start registers: %s", vm->cpu_ops->name, strerror(-rc));
	return rc;
}

bool boot_needs_paging(const struct options *opt)
{
	uint8_t start[0x210];
	bool needs;
	ssize_t n;
	int fd;

	if (!opt->kernel)
		return false;
	fd = open(opt->kernel, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	n = read(fd, start, sizeof(start));
	close(fd);
	needs = n > EI_CLASS && memcmp(start, ELFMAG, SELFMAG) == 0 && start[EI_CLASS] == ELFCLASS64;
	return needs || (n > 0 && linux_find(start, (size_t)n));
}
