// SPDX-License-Identifier: BSD-2-Clause
/*
 * elfload.c: ELF files into guest memory. See elfload.h. A segment is placed only after it fits the file and the guest's
 * RAM above 1 MiB.
 */
#include "vmm/elfload.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/boot_area.h"
#include "vmm/text.h"

#define PAGE 4096u

bool elf_is(const uint8_t *bytes, size_t len)
{
	return len >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

int elf_place(struct guest_mem *mem, const uint8_t *file, size_t len, const struct elf_segment *s, uint64_t *budget,
	struct accel_err *err)
{
	uint8_t *host;

	if (s->file_offset > len || s->file_bytes > len - s->file_offset)
		return err_fail(err, -EINVAL, "it is cut short: a segment needs bytes up to 0x%" PRIx64 " of 0x%zx",
			s->file_offset + s->file_bytes, len);
	if (s->mem_bytes < s->file_bytes)
		return err_fail(err, -EINVAL,
			"a segment is larger in the file (0x%" PRIx64 ") than in memory (0x%" PRIx64 ")", s->file_bytes,
			s->mem_bytes);
	if (s->mem_bytes == 0)
		return 0;
	if (s->gpa < BOOT_HIGH_RAM_BASE)
		return err_fail(
			err, -EINVAL, "it loads at 0x%" PRIx64 ", below 1 MiB, which belongs to the loader", s->gpa);
	host = mem_ptr(mem, s->gpa, s->mem_bytes);
	if (!host || s->mem_bytes > *budget)
		return err_fail(err, -EINVAL,
			"it needs memory at 0x%" PRIx64 " (0x%" PRIx64 " bytes) that is not there: give more --mem",
			s->gpa, s->mem_bytes);
	*budget -= s->mem_bytes;
	memcpy(host, file + s->file_offset, s->file_bytes);
	memset(host + s->file_bytes, 0, s->mem_bytes - s->file_bytes);
	return 0;
}

void elf_note_segment(const struct elf_segment *s, uint64_t entry, struct elf_image *out, enum elf_found *found)
{
	uint64_t end = (s->gpa + s->mem_bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);

	if (s->mem_bytes == 0)
		return;
	if (end > out->end)
		out->end = (uint32_t)end; /* below 4 GiB: RAM ends at 3 GiB */
	if (entry >= s->virt && entry - s->virt < s->mem_bytes && *found < ELF_BY_VIRTUAL) {
		out->entry = (uint32_t)(s->gpa + (entry - s->virt));
		*found = ELF_BY_VIRTUAL;
	} else if (entry >= s->gpa && entry - s->gpa < s->mem_bytes && *found < ELF_BY_PHYSICAL) {
		out->entry = (uint32_t)entry;
		*found = ELF_BY_PHYSICAL;
	}
}

/* One program header of either class, widened. */
static struct elf_segment read_phdr(const uint8_t *p, bool is_64, uint32_t *type)
{
	Elf32_Phdr h32;
	Elf64_Phdr h64;

	if (is_64) {
		memcpy(&h64, p, sizeof(h64));
		*type = h64.p_type;
		return (struct elf_segment){h64.p_offset, h64.p_filesz, h64.p_vaddr, h64.p_paddr, h64.p_memsz};
	}
	memcpy(&h32, p, sizeof(h32));
	*type = h32.p_type;
	return (struct elf_segment){h32.p_offset, h32.p_filesz, h32.p_vaddr, h32.p_paddr, h32.p_memsz};
}

int elf_open(const uint8_t *bytes, size_t len, struct elf_file *out, struct accel_err *err)
{
	bool is_64 = len > EI_CLASS && bytes[EI_CLASS] == ELFCLASS64;
	size_t phdr_bytes = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	unsigned machine;
	Elf32_Ehdr e32;
	Elf64_Ehdr e64;

	*out = (struct elf_file){.bytes = bytes, .len = len, .is_64 = is_64};
	if (len < (is_64 ? sizeof(e64) : sizeof(e32)))
		return err_fail(err, -EINVAL, "it is cut short inside the ELF header");
	if (bytes[EI_DATA] != ELFDATA2LSB || (!is_64 && bytes[EI_CLASS] != ELFCLASS32))
		return err_fail(err, -EINVAL, "it is an ELF file, but not a little-endian one for x86");
	if (is_64) {
		memcpy(&e64, bytes, sizeof(e64));
		out->entry = e64.e_entry, out->phoff = e64.e_phoff;
		machine = e64.e_machine, out->phentsize = e64.e_phentsize, out->phnum = e64.e_phnum;
	} else {
		memcpy(&e32, bytes, sizeof(e32));
		out->entry = e32.e_entry, out->phoff = e32.e_phoff;
		machine = e32.e_machine, out->phentsize = e32.e_phentsize, out->phnum = e32.e_phnum;
	}
	if (machine != EM_386 && machine != EM_X86_64)
		return err_fail(err, -EINVAL, "it is an ELF file for another machine (e_machine %u)", machine);
	if (out->phnum == 0 || out->phentsize < phdr_bytes || out->phoff > len ||
		(uint64_t)out->phnum * out->phentsize > len - out->phoff)
		return err_fail(err, -EINVAL,
			"its ELF program headers (%u of %u bytes at 0x%" PRIx64 ") are not inside the file", out->phnum,
			out->phentsize, out->phoff);
	return 0;
}

struct elf_segment elf_segment(const struct elf_file *f, unsigned index, uint32_t *type)
{
	return read_phdr(f->bytes + f->phoff + (uint64_t)index * f->phentsize, f->is_64, type);
}

int elf_load(struct guest_mem *mem, const struct elf_file *f, const uint32_t *phys_entry, struct elf_image *out,
	struct accel_err *err)
{
	uint64_t entry = phys_entry ? *phys_entry : f->entry, budget = mem->ram_bytes;
	enum elf_found found = ELF_NOT_FOUND;

	*out = (struct elf_image){.end = BOOT_HIGH_RAM_BASE};
	for (unsigned i = 0; i < f->phnum; i++) {
		uint32_t type;
		struct elf_segment s = elf_segment(f, i, &type);
		int rc;

		if (type != PT_LOAD)
			continue;
		rc = elf_place(mem, f->bytes, f->len, &s, &budget, err);
		if (rc)
			return rc;
		if (phys_entry)
			s.virt = s.gpa;
		elf_note_segment(&s, entry, out, &found);
	}
	if (!found)
		return err_fail(err, -EINVAL, "its entry point 0x%" PRIx64 " lies outside what is loaded", entry);
	return 0;
}
