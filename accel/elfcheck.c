/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elfcheck.c: checks the ELF structure of an object file that anybody may have made: header,
 * section table, names, symbols, relocation sections; and names what hotreg does not take.
 *
 * All arithmetic on values from the file is done in 64 bits on values already bounded, or by
 * subtracting from a bound that is known to be larger, so that nothing wraps. Called by object.c
 * before libbpf sees the file, since libbpf's parser trusts what it reads.
 */
#include "accel/elfcheck.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int accel_fail(struct accel_err *err, int rc, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	for (char *c = err->text; *c; c++)
		if ((*c < ' ' && *c != '\n') || *c > '~')
			*c = '?';
	return rc;
}

static int check_header(const uint8_t *image, size_t size, Elf64_Ehdr *eh, struct accel_err *err)
{
	if (size < sizeof(*eh))
		return accel_fail(err, -EINVAL, "not an object file: %zu bytes are too few for an ELF header", size);
	if (size > OBJECT_MAX_BYTES)
		return accel_fail(
			err, -EINVAL, "the file has %zu bytes; hotreg takes objects up to %u", size, OBJECT_MAX_BYTES);
	memcpy(eh, image, sizeof(*eh));
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return accel_fail(err, -EINVAL, "not an ELF file: compile it with clang -target bpf -g -c");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
		eh->e_ident[EI_VERSION] != EV_CURRENT || eh->e_version != EV_CURRENT)
		return accel_fail(
			err, -EINVAL, "not a 64-bit little-endian ELF file: compile it with clang -target bpf");
	if (eh->e_machine != EM_BPF)
		return accel_fail(err, -EINVAL, "made for ELF machine %u, not BPF: compile it with clang -target bpf",
			eh->e_machine);
	if (eh->e_type != ET_REL)
		return accel_fail(err, -EINVAL,
			"not a relocatable object (ELF type %u): use the .o that clang -c writes", eh->e_type);
	if (eh->e_ehsize != sizeof(*eh) || eh->e_phnum != 0 || eh->e_shentsize != sizeof(Elf64_Shdr))
		return accel_fail(
			err, -EINVAL, "broken ELF header: wrong entry sizes, or program headers in an object");
	if (eh->e_shnum < 2 || eh->e_shnum > OBJECT_MAX_SECTIONS)
		return accel_fail(err, -EINVAL, "the file has %u sections; hotreg takes 2 to %u", eh->e_shnum,
			OBJECT_MAX_SECTIONS);
	if (eh->e_shoff % 8 || eh->e_shoff > size || (size - eh->e_shoff) / sizeof(Elf64_Shdr) < eh->e_shnum)
		return accel_fail(err, -EINVAL, "truncated: the section table lies outside the file");
	if (eh->e_shstrndx == 0 || eh->e_shstrndx >= eh->e_shnum)
		return accel_fail(
			err, -EINVAL, "broken ELF header: no section %u for the section names", eh->e_shstrndx);
	return 0;
}

static bool is_string_table(const struct elf_section *s)
{
	return s->type == SHT_STRTAB && s->size > 0 && s->data[0] == 0 && s->data[s->size - 1] == 0;
}

static int read_section(struct elf_view *v, unsigned i, const Elf64_Shdr *sh, struct accel_err *err)
{
	struct elf_section *s = &v->sections[i];

	s->type = sh->sh_type;
	s->link = sh->sh_link;
	s->info = sh->sh_info;
	s->flags = sh->sh_flags;
	if (sh->sh_type == SHT_NULL)
		return 0;
	if (sh->sh_flags & SHF_COMPRESSED)
		return accel_fail(err, -EINVAL, "section %u is compressed: compile without -gz", i);
	s->size = sh->sh_size;
	if (sh->sh_type == SHT_NOBITS)
		return 0;
	if (sh->sh_offset > v->image_size || sh->sh_size > v->image_size - sh->sh_offset)
		return accel_fail(err, -EINVAL, "truncated: section %u lies outside the file", i);
	s->data = v->image + sh->sh_offset;
	return 0;
}

/* What libbpf and we read as arrays of 8-byte words must lie so. */
static int check_array(
	const struct elf_view *v, unsigned i, const Elf64_Shdr *sh, uint64_t entry, struct accel_err *err)
{
	if (sh->sh_offset % 8 || sh->sh_size % entry || (entry > 8 && sh->sh_entsize != entry))
		return accel_fail(err, -EINVAL, "section %s is not an array of %u-byte entries", v->sections[i].name,
			(unsigned)entry);
	return 0;
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Data sections by name; only these may hold variables. */
static bool data_role(struct elf_section *s)
{
	bool nobits = s->type == SHT_NOBITS;

	if (!strcmp(s->name, ".data.state") && !nobits)
		s->map_role = MAP_STATE;
	else if ((!strcmp(s->name, ".data") && !nobits) || (!strcmp(s->name, ".bss") && nobits))
		s->map_role = MAP_BSS;
	else if ((!strcmp(s->name, ".rodata") || starts_with(s->name, ".rodata.")) && !nobits)
		s->map_role = MAP_RODATA;
	else
		return false;
	return true;
}

static int classify_named(struct elf_view *v, unsigned i, struct accel_err *err)
{
	struct elf_section *s = &v->sections[i];

	if (data_role(s)) {
		s->role = SECTION_DATA;
		if (s->size > OBJECT_MAX_DATA)
			return accel_fail(err, -EINVAL, "section %s has %llu bytes; hotreg takes up to %u", s->name,
				(unsigned long long)s->size, OBJECT_MAX_DATA);
		return 0;
	}
	if (!strcmp(s->name, ".maps")) {
		s->role = SECTION_MAPS;
		if (s->size > OBJECT_MAX_DATA)
			return accel_fail(err, -EINVAL, "section .maps has %llu bytes; hotreg takes up to %u",
				(unsigned long long)s->size, OBJECT_MAX_DATA);
		return 0;
	}
	if (!strcmp(s->name, "maps"))
		return accel_fail(err, -EINVAL,
			"section maps declares maps in libbpf's old style: declare them in SEC(\".maps\"), with BTF");
	if (!strcmp(s->name, "license")) {
		s->role = SECTION_LICENSE;
		if (!s->size || s->data[s->size - 1])
			return accel_fail(err, -EINVAL, "section license holds no text: use HR_LICENSE");
		return 0;
	}
	if (s->flags & SHF_EXECINSTR)
		return accel_fail(err, -EINVAL,
			"section %s is not a program type of hotreg: put programs in SEC(\"syscall\") (HR_PROG)",
			s->name);
	if (starts_with(s->name, ".struct_ops") || !strcmp(s->name, "version"))
		return accel_fail(
			err, -EINVAL, "section %s is for kernel modules of BPF, not for hotreg: leave it out", s->name);
	if (!strcmp(s->name, ".eh_frame") || !(s->flags & SHF_ALLOC))
		return 0;
	return accel_fail(err, -EINVAL,
		"section %s is not one that hotreg knows: variables belong in .data.state (HR_STATE), .data, .bss or "
		".rodata",
		s->name);
}

/* Sections that libbpf or we read by their name must have contents. */
static bool needs_contents(const char *name)
{
	static const char *const names[] = {
		"syscall", ".text", "license", "version", "maps", ".maps", ".BTF", ".BTF.ext", ".data"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return starts_with(name, ".rodata") || starts_with(name, ".data.") || starts_with(name, ".struct_ops");
}

static int set_once(const struct elf_view *v, unsigned *slot, unsigned i, struct accel_err *err)
{
	if (*slot)
		return accel_fail(err, -EINVAL, "there are two sections %s", v->sections[i].name);
	*slot = i;
	return 0;
}

static int classify(struct elf_view *v, unsigned i, const Elf64_Shdr *sh, struct accel_err *err)
{
	struct elf_section *s = &v->sections[i];

	if (needs_contents(s->name) && s->type != SHT_PROGBITS)
		return accel_fail(err, -EINVAL, "section %s has ELF type %u instead of contents", s->name, s->type);
	switch (s->type) {
	case SHT_SYMTAB:
		s->role = SECTION_SYMTAB;
		if (check_array(v, i, sh, sizeof(Elf64_Sym), err))
			return -EINVAL;
		return set_once(v, &v->symtab, i, err);
	case SHT_REL:
		if (s->info == 0 || s->info >= v->section_count)
			return accel_fail(err, -EINVAL, "section %s relocates section %u, which does not exist",
				s->name, s->info);
		return check_array(v, i, sh, sizeof(Elf64_Rel), err);
	case SHT_PROGBITS:
	case SHT_NOBITS:
		break;
	case SHT_NULL:
	case SHT_RELA:
	case SHT_SYMTAB_SHNDX:
	case SHT_GROUP:
		return accel_fail(err, -EINVAL, "section %s has ELF type %u, which clang -target bpf does not write",
			s->name, s->type);
	default: /* string tables, notes, .llvm_addrsig */
		if (s->flags & SHF_ALLOC)
			return classify_named(v, i, err);
		return 0;
	}
	if (!strcmp(s->name, "syscall") || !strcmp(s->name, ".text")) {
		bool text = s->name[0] == '.';

		if (!s->size && text)
			return 0;
		if (!(s->flags & SHF_EXECINSTR) || check_array(v, i, sh, sizeof(struct bpf_insn), err))
			return accel_fail(err, -EINVAL, "section %s does not hold instructions", s->name);
		s->role = text ? SECTION_TEXT : SECTION_PROGS;
		return set_once(v, text ? &v->text : &v->progs, i, err);
	}
	if (!strcmp(s->name, ".BTF") || !strcmp(s->name, ".BTF.ext")) {
		bool ext = s->name[4] == '.';

		if (sh->sh_offset % 4)
			return accel_fail(err, -EINVAL, "section %s is not aligned", s->name);
		s->role = ext ? SECTION_BTF_EXT : SECTION_BTF;
		return set_once(v, ext ? &v->btf_ext : &v->btf, i, err);
	}
	return classify_named(v, i, err);
}

/* Names of sections are used in messages and as names of maps. */
static int check_names(struct elf_view *v, struct accel_err *err)
{
	for (unsigned i = 1; i < v->section_count; i++) {
		const struct elf_section *s = &v->sections[i];

		if (s->role == SECTION_OTHER || s->role == SECTION_RELOC)
			continue;
		for (unsigned k = 1; k < i; k++)
			if (v->sections[k].role == s->role && !strcmp(v->sections[k].name, s->name))
				return accel_fail(err, -EINVAL, "there are two sections %s", s->name);
		if (s->role == SECTION_DATA && strlen(s->name) >= sizeof(((struct prog_map *)0)->name))
			return accel_fail(err, -EINVAL, "the section name %s is too long: keep it below %zu characters",
				s->name, sizeof(((struct prog_map *)0)->name));
	}
	return 0;
}

/* Relocations of code are ours to do; of debug information nobody's; of data there can be none. */
static int check_relocs(struct elf_view *v, struct accel_err *err)
{
	bool seen[OBJECT_MAX_SECTIONS] = {false};

	for (unsigned i = 1; i < v->section_count; i++) {
		struct elf_section *s = &v->sections[i];
		const struct elf_section *target;

		if (s->type != SHT_REL)
			continue;
		target = &v->sections[s->info];
		if (target->role == SECTION_DATA)
			return accel_fail(err, -EINVAL,
				"section %s holds an address (relocation section %s): programs share plain data only, "
				"no pointers",
				target->name, s->name);
		if (target->role == SECTION_MAPS)
			return accel_fail(err, -EINVAL,
				"section .maps holds an address: maps that hold maps, or initial values of maps, do "
				"not exist here");
		if (target->role == SECTION_LICENSE || target->role == SECTION_SYMTAB || target->type == SHT_REL)
			return accel_fail(
				err, -EINVAL, "section %s relocates %s, which cannot be", s->name, target->name);
		if (target->role != SECTION_PROGS && target->role != SECTION_TEXT)
			continue;
		if (s->link != v->symtab)
			return accel_fail(err, -EINVAL, "section %s does not refer to the symbol table", s->name);
		if (seen[s->info])
			return accel_fail(err, -EINVAL, "section %s is relocated twice", target->name);
		seen[s->info] = true;
		s->role = SECTION_RELOC;
	}
	return 0;
}

static int check_function(const struct elf_view *v, const Elf64_Sym *sym, struct accel_err *err)
{
	const struct elf_section *s = &v->sections[sym->st_shndx];

	if (s->role != SECTION_PROGS && s->role != SECTION_TEXT)
		return accel_fail(err, -EINVAL, "function %s lies in section %s, which holds no instructions",
			elf_view_symbol_name(v, sym), s->name);
	if (sym->st_value % 8 || sym->st_size % 8 || sym->st_size == 0 || sym->st_value > s->size ||
		sym->st_size > s->size - sym->st_value)
		return accel_fail(
			err, -EINVAL, "function %s lies outside section %s", elf_view_symbol_name(v, sym), s->name);
	return 0;
}

static int check_symbols(struct elf_view *v, struct accel_err *err)
{
	const struct elf_section *s = &v->sections[v->symtab];

	if (s->link == 0 || s->link >= v->section_count || !is_string_table(&v->sections[s->link]))
		return accel_fail(err, -EINVAL, "the symbol table has no string table");
	v->sym_names = (const char *)v->sections[s->link].data;
	v->sym_names_size = v->sections[s->link].size;
	v->sym_count = (unsigned)(s->size / sizeof(Elf64_Sym));
	for (unsigned i = 1; i < v->sym_count; i++) {
		Elf64_Sym sym;

		elf_view_symbol(v, i, &sym);
		if (sym.st_name >= v->sym_names_size)
			return accel_fail(err, -EINVAL, "broken symbol table: the name of symbol %u lies outside", i);
		if (sym.st_shndx == SHN_ABS && ELF64_ST_TYPE(sym.st_info) == STT_FILE)
			continue;
		if (sym.st_shndx == SHN_UNDEF)
			return accel_fail(err, -EINVAL,
				"%s is not defined in the object: programs cannot use extern variables or functions",
				elf_view_symbol_name(v, &sym));
		if (sym.st_shndx >= v->section_count)
			return accel_fail(err, -EINVAL,
				"broken symbol table: %s lies in section %u, which does not exist",
				elf_view_symbol_name(v, &sym), sym.st_shndx);
		if (ELF64_ST_TYPE(sym.st_info) == STT_FUNC && check_function(v, &sym, err))
			return -EINVAL;
	}
	return 0;
}

static int check_all(struct elf_view *v, const Elf64_Ehdr *eh, const Elf64_Shdr *sh, struct accel_err *err)
{
	const struct elf_section *names;

	for (unsigned i = 0; i < v->section_count; i++)
		if (read_section(v, i, &sh[i], err))
			return -EINVAL;
	names = &v->sections[eh->e_shstrndx];
	if (!names->data || !is_string_table(names))
		return accel_fail(err, -EINVAL, "broken ELF header: section %u holds no section names", eh->e_shstrndx);
	for (unsigned i = 0; i < v->section_count; i++) {
		if (sh[i].sh_name >= names->size)
			return accel_fail(err, -EINVAL, "broken section table: the name of section %u lies outside", i);
		v->sections[i].name = (const char *)names->data + sh[i].sh_name;
	}
	for (unsigned i = 1; i < v->section_count; i++)
		if (classify(v, i, &sh[i], err))
			return -EINVAL;
	if (!v->progs)
		return accel_fail(err, -EINVAL, "no program: put functions in SEC(\"syscall\") (HR_PROG)");
	if (!v->symtab)
		return accel_fail(err, -EINVAL, "no symbol table: do not strip the object");
	if (!v->btf || !v->btf_ext)
		return accel_fail(
			err, -EINVAL, "no BTF: compile with clang -target bpf -g, and do not strip the object");
	if (check_names(v, err) || check_relocs(v, err))
		return -EINVAL;
	return check_symbols(v, err);
}

int elf_view_init(struct elf_view *v, const void *image, size_t size, struct accel_err *err)
{
	Elf64_Shdr *sh;
	Elf64_Ehdr eh;
	int rc;

	memset(v, 0, sizeof(*v));
	v->image = image;
	v->image_size = size;
	if (check_header(v->image, size, &eh, err))
		return -EINVAL;
	v->section_count = eh.e_shnum;
	v->sections = calloc(eh.e_shnum, sizeof(*v->sections));
	sh = calloc(eh.e_shnum, sizeof(*sh));
	if (!v->sections || !sh) {
		rc = accel_fail(err, -ENOMEM, "out of memory");
		goto out;
	}
	memcpy(sh, v->image + eh.e_shoff, eh.e_shnum * sizeof(*sh));
	rc = check_all(v, &eh, sh, err);
out:
	free(sh);
	if (rc)
		elf_view_fini(v);
	return rc;
}

void elf_view_fini(struct elf_view *v)
{
	free(v->sections);
	v->sections = NULL;
}

void elf_view_symbol(const struct elf_view *v, unsigned index, Elf64_Sym *out)
{
	memcpy(out, v->sections[v->symtab].data + (size_t)index * sizeof(*out), sizeof(*out));
}

const char *elf_view_symbol_name(const struct elf_view *v, const Elf64_Sym *sym)
{
	if (ELF64_ST_TYPE(sym->st_info) == STT_SECTION && sym->st_shndx < v->section_count)
		return v->sections[sym->st_shndx].name;
	return v->sym_names + sym->st_name;
}
