/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elfcheck.h: a checked view of an object file. Nothing else in the engine, libbpf included, looks
 * at a file before elf_view_init() and btf_check() have accepted it; afterwards every offset, size,
 * index and name that they describe lies inside the image. Internal to accel/.
 */
#ifndef ACCEL_ELFCHECK_H
#define ACCEL_ELFCHECK_H

#include <elf.h>

#include "accel/prog.h"

#define OBJECT_MAX_BYTES (1u << 20) /* of the file */
#define OBJECT_MAX_SECTIONS 256
#define OBJECT_MAX_DATA (256u << 10) /* of one data section, .bss too */

enum section_role {
	SECTION_OTHER, /* debug information and the like: not looked at */
	SECTION_PROGS, /* "syscall" */
	SECTION_TEXT,  /* subprograms */
	SECTION_DATA,  /* .data.state, .data, .bss, .rodata* */
	SECTION_MAPS,  /* .maps: declarations only, for mapdef.c */
	SECTION_LICENSE,
	SECTION_BTF,
	SECTION_BTF_EXT,
	SECTION_SYMTAB,
	SECTION_RELOC, /* of a PROGS or TEXT section */
};

struct elf_section {
	const char *name;
	const uint8_t *data; /* NULL for .bss */
	uint64_t size;
	uint32_t type;
	uint32_t link;
	uint32_t info;
	uint64_t flags;
	enum section_role role;
	enum map_role map_role; /* of SECTION_DATA */
};

/* The image belongs to the caller and must stay, 8-byte aligned. */
struct elf_view {
	const uint8_t *image;
	size_t image_size;
	struct elf_section *sections;
	unsigned section_count;
	unsigned progs, text, symtab, btf, btf_ext; /* section indices, 0: none */
	const char *sym_names;
	uint64_t sym_names_size;
	unsigned sym_count;
};

/* 0; -EINVAL with the reason; -ENOMEM. On failure nothing is left to free. */
int elf_view_init(struct elf_view *v, const void *image, size_t size, struct accel_err *err);
void elf_view_fini(struct elf_view *v);

void elf_view_symbol(const struct elf_view *v, unsigned index, Elf64_Sym *out); /* index < sym_count */
/* Always terminated and inside the image; for section symbols the section's name. */
const char *elf_view_symbol_name(const struct elf_view *v, const Elf64_Sym *sym);

/* Checks .BTF and .BTF.ext, both of which must be there. */
int btf_check(const struct elf_view *v, struct accel_err *err);

/* The string table of a checked .BTF section: begins and ends with a zero byte. */
const char *btf_view_strings(const struct elf_view *v, uint32_t *size);

/*
 * Walks the line records of a checked .BTF.ext: calls `each` for every one with its section name,
 * the byte offset of its instruction and the record. Stops when it returns non-zero, and returns that.
 */
struct bpf_line_info;
int btf_view_lines(const struct elf_view *v,
	int (*each)(void *opaque, const char *section, const struct bpf_line_info *line), void *opaque);

/* Puts a text into err, bytes that are not printable ASCII as '?', and returns rc. */
int accel_fail(struct accel_err *err, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
