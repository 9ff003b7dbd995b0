/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reloc.c: the linker. Two relocations exist in programs: R_BPF_64_64, a 64-bit immediate that is
 * the address of a variable (symbol value plus addend, be the symbol the variable or its section),
 * and R_BPF_64_32, a call (symbol value plus the call's own distance). Calls within one section
 * come without relocation. Everything else is refused by name.
 *
 * Works on a view that elf_view_init() has accepted; what it adds is checked here. Knows nothing
 * of what programs may do: that is the verifier's.
 */
#include "accel/reloc.h"
#include "accel/insn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Not all of them are in every <elf.h>. */
#define RELOC_64_64 1
#define RELOC_64_32 10

static bool is_identifier(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$");

	return n > 0 && s[n] == 0 && n < sizeof(((struct link_func *)0)->name);
}

static int add_function(struct linker *l, const Elf64_Sym *sym, struct accel_err *err)
{
	const char *name = elf_view_symbol_name(l->v, sym);
	struct link_func *f = &l->funcs[l->func_count];
	bool program = l->v->sections[sym->st_shndx].role == SECTION_PROGS;

	if (!is_identifier(name))
		return accel_fail(err, -EINVAL,
			"a function is named '%.80s': names are C identifiers below %zu characters", name,
			sizeof(f->name));
	if (l->func_count == LINK_MAX_FUNCS)
		return accel_fail(err, -EINVAL, "the object has more than %d functions", LINK_MAX_FUNCS);
	if (program && ELF64_ST_BIND(sym->st_info) == STB_LOCAL)
		return accel_fail(err, -EINVAL, "program %s is static: remove `static`, libbpf needs to see it", name);
	strcpy(f->name, name);
	f->section = sym->st_shndx;
	f->start = (uint32_t)(sym->st_value / 8);
	f->count = (uint32_t)(sym->st_size / 8);
	f->is_program = program;
	for (unsigned i = 0; i < l->func_count; i++) {
		const struct link_func *o = &l->funcs[i];

		if (o->section == f->section && o->start < f->start + f->count && f->start < o->start + o->count)
			return accel_fail(err, -EINVAL, "functions %s and %s overlap", o->name, f->name);
		if (o->is_program && program && !strcmp(o->name, name))
			return accel_fail(err, -EINVAL, "there are two programs %s", name);
	}
	l->func_count++;
	return 0;
}

static Elf64_Rel read_rel(const struct elf_view *v, unsigned table, uint32_t index)
{
	Elf64_Rel rel;

	memcpy(&rel, v->sections[table].data + (size_t)index * sizeof(rel), sizeof(rel));
	return rel;
}

static unsigned reloc_table(const struct elf_view *v, unsigned section)
{
	for (unsigned i = 1; i < v->section_count; i++)
		if (v->sections[i].role == SECTION_RELOC && v->sections[i].info == section)
			return i;
	return 0;
}

/* Notes for each instruction of a section which relocation applies to it. */
static int index_relocs(struct linker *l, unsigned section, struct accel_err *err)
{
	const struct elf_view *v = l->v;
	const struct elf_section *s = &v->sections[section];
	unsigned table = reloc_table(v, section);
	uint64_t count;

	if (!table)
		return 0;
	l->relocs[section] = calloc(s->size / 8, sizeof(uint32_t));
	if (!l->relocs[section])
		return accel_fail(err, -ENOMEM, "out of memory");
	count = v->sections[table].size / sizeof(Elf64_Rel);
	for (uint32_t i = 0; i < count; i++) {
		Elf64_Rel rel = read_rel(v, table, i);

		if (rel.r_offset % 8 || rel.r_offset >= s->size)
			return accel_fail(err, -EINVAL, "relocation %u of section %s lies outside it", i, s->name);
		if (ELF64_R_SYM(rel.r_info) == 0 || ELF64_R_SYM(rel.r_info) >= v->sym_count)
			return accel_fail(err, -EINVAL, "relocation %u of section %s has no symbol", i, s->name);
		if (l->relocs[section][rel.r_offset / 8])
			return accel_fail(
				err, -EINVAL, "two relocations of section %s apply to one instruction", s->name);
		l->relocs[section][rel.r_offset / 8] = i + 1;
	}
	return 0;
}

int linker_init(struct linker *l, const struct elf_view *v, struct accel_err *err)
{
	int rc = 0;

	l->v = v;
	l->func_count = 0;
	memset(l->relocs, 0, sizeof(l->relocs));
	for (unsigned i = 1; i < v->sym_count && !rc; i++) {
		Elf64_Sym sym;

		elf_view_symbol(v, i, &sym);
		if (ELF64_ST_TYPE(sym.st_info) == STT_FUNC)
			rc = add_function(l, &sym, err);
	}
	if (!rc)
		rc = index_relocs(l, v->progs, err);
	if (!rc && v->text)
		rc = index_relocs(l, v->text, err);
	if (rc)
		linker_fini(l);
	return rc;
}

void linker_fini(struct linker *l)
{
	for (unsigned i = 0; i < OBJECT_MAX_SECTIONS; i++) {
		free(l->relocs[i]);
		l->relocs[i] = NULL;
	}
}

/* One program while it is being put together. */
struct link {
	const struct linker *l;
	struct prog *p;
	const struct link_func **source; /* of p->funcs */
	struct accel_err *err;
};

/* Copies a function to the end of the program. */
static int append(struct link *k, const struct link_func *f)
{
	struct prog *p = k->p;
	struct prog_func *pf = &p->funcs[p->func_count];

	if (p->func_count == PROG_MAX_FUNCS)
		return accel_fail(
			k->err, -EINVAL, "program %s calls more than %d functions", p->name, PROG_MAX_FUNCS - 1);
	if (f->count > PROG_MAX_INSNS - p->insn_count)
		return accel_fail(k->err, -EINVAL,
			"program %s has more than %d instructions, its subprograms included: make it smaller", p->name,
			PROG_MAX_INSNS);
	memcpy(p->insns + p->insn_count, k->l->v->sections[f->section].data + (size_t)f->start * 8,
		(size_t)f->count * 8);
	strcpy(pf->name, f->name);
	pf->start = p->insn_count;
	pf->count = f->count;
	k->source[p->func_count++] = f;
	p->insn_count += f->count;
	return 0;
}

/* The relocation of an instruction of l->funcs[func], or false. */
static bool find_reloc(const struct link *k, const struct link_func *f, uint32_t insn, Elf64_Rel *rel, Elf64_Sym *sym)
{
	const struct elf_view *v = k->l->v;
	uint32_t index;

	if (!k->l->relocs[f->section] || !(index = k->l->relocs[f->section][f->start + insn]))
		return false;
	*rel = read_rel(v, reloc_table(v, f->section), index - 1);
	elf_view_symbol(v, (unsigned)ELF64_R_SYM(rel->r_info), sym);
	return true;
}

/* Turns a 64-bit immediate into a map. */
static int link_map(struct link *k, const struct link_func *f, struct bpf_insn *insn, const Elf64_Sym *sym)
{
	if (insn->src_reg || insn->imm || insn[1].imm)
		return accel_fail(k->err, -EINVAL,
			"%s uses an address inside of a map's declaration (%s): programs look maps up", f->name,
			elf_view_symbol_name(k->l->v, sym));
	for (unsigned i = 0; i < k->l->user_map_count; i++) {
		if (k->l->user_maps[i].offset != sym->st_value)
			continue;
		insn->src_reg = BPF_PSEUDO_MAP_FD;
		insn->imm = (int32_t)k->l->user_maps[i].map;
		return 0;
	}
	return accel_fail(k->err, -EINVAL, "%s refers to section .maps where no map is", f->name);
}

/* Turns a 64-bit immediate into a map address. */
static int link_address(struct link *k, const struct link_func *f, struct bpf_insn *insn, const Elf64_Sym *sym)
{
	const struct elf_section *s;
	int map;
	int64_t off;

	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= k->l->v->section_count)
		return accel_fail(k->err, -EINVAL, "%s uses %s, which is in no section", f->name,
			elf_view_symbol_name(k->l->v, sym));
	s = &k->l->v->sections[sym->st_shndx];
	if (s->role == SECTION_MAPS)
		return link_map(k, f, insn, sym);
	map = k->l->map_of_section[sym->st_shndx];
	if (s->role == SECTION_PROGS || s->role == SECTION_TEXT)
		return accel_fail(k->err, -EINVAL,
			"%s takes the address of function %s: programs call functions directly only", f->name,
			elf_view_symbol_name(k->l->v, sym));
	if (map < 0)
		return accel_fail(k->err, -EINVAL, "%s uses %s in section %s, which is not one for variables", f->name,
			elf_view_symbol_name(k->l->v, sym), s->name);
	if (insn->src_reg)
		return accel_fail(k->err, -EINVAL, "%s has a relocated immediate that is marked already", f->name);
	if (sym->st_value > s->size)
		return accel_fail(k->err, -EINVAL, "symbol %s lies outside section %s",
			elf_view_symbol_name(k->l->v, sym), s->name);
	off = (int64_t)sym->st_value + insn->imm;
	if (off < 0 || off >= (int64_t)s->size)
		return accel_fail(k->err, -EINVAL,
			"%s takes an address at offset %lld of section %s, which has %llu bytes", f->name,
			(long long)off, s->name, (unsigned long long)s->size);
	insn[0].src_reg = BPF_PSEUDO_MAP_VALUE;
	insn[0].imm = map;
	insn[1].imm = (int32_t)off;
	return 0;
}

/* The function of p that a call means; appended when it is new. */
static int link_call(
	struct link *k, const struct link_func *f, uint32_t at, bool relocated, const Elf64_Sym *sym, uint32_t *func)
{
	const struct linker *l = k->l;
	const struct bpf_insn *insn = &k->p->insns[at];
	unsigned section = f->section;
	int64_t target;

	if (relocated) {
		section = sym->st_shndx;
		if (sym->st_value % 8 || sym->st_value > UINT32_MAX)
			return accel_fail(k->err, -EINVAL, "%s calls %s, which is no function", f->name,
				elf_view_symbol_name(l->v, sym));
		target = (int64_t)(sym->st_value / 8) + insn->imm + 1;
	} else {
		target = (int64_t)f->start + (at - k->p->funcs[*func].start) + insn->imm + 1;
	}
	for (unsigned i = 0; i < l->func_count; i++) {
		if (l->funcs[i].section != section || l->funcs[i].start != target)
			continue;
		if (l->funcs[i].is_program)
			return accel_fail(k->err, -EINVAL,
				"%s calls %s, which is itself a program: put the common part in a static function",
				f->name, l->funcs[i].name);
		for (uint32_t n = 1; n < k->p->func_count; n++) {
			if (k->source[n] == &l->funcs[i]) {
				*func = n;
				return 0;
			}
		}
		*func = k->p->func_count;
		return append(k, &l->funcs[i]);
	}
	return accel_fail(k->err, -EINVAL, "%s has a call to where no function starts", f->name);
}

/* Names what is no instruction for us. */
static int check_insn(
	const struct link *k, const struct link_func *f, uint32_t at, uint32_t end, const struct insn_desc **out)
{
	const struct bpf_insn *insn = &k->p->insns[at];
	const struct insn_desc *desc = insn_lookup(insn);
	unsigned i = at - (end - f->count);

	if (!desc)
		return accel_fail(k->err, -EINVAL,
			"%s, instruction %u: opcode 0x%02x with these fields is no BPF instruction", f->name, i,
			insn->code);
	if (desc->kind == KIND_REFUSED)
		return accel_fail(k->err, -EINVAL, "%s, instruction %u: %s: not available to hotreg's programs",
			f->name, i, desc->text);
	if (desc->slots == 2 && (at + 1 >= end || !insn_second_ok(insn + 1)))
		return accel_fail(
			k->err, -EINVAL, "%s, instruction %u: 64-bit immediate without its second half", f->name, i);
	*out = desc;
	return 0;
}

static int link_insn(struct link *k, uint32_t func, uint32_t at, unsigned *slots)
{
	const struct link_func *f = k->source[func];
	const struct prog_func *pf = &k->p->funcs[func];
	struct bpf_insn *insn = &k->p->insns[at];
	const struct insn_desc *desc = NULL;
	Elf64_Rel rel;
	Elf64_Sym sym;
	bool relocated = find_reloc(k, f, at - pf->start, &rel, &sym);
	uint32_t callee = func;

	if (check_insn(k, f, at, pf->start + pf->count, &desc))
		return -EINVAL;
	*slots = desc->slots;
	if (desc->kind == KIND_MAP_ADDR || desc->kind == KIND_MAP)
		return accel_fail(k->err, -EINVAL, "%s, instruction %u: reference to a map without a relocation",
			f->name, at - pf->start);
	if (desc->kind == KIND_CALL_FUNC) {
		if (relocated && ELF64_R_TYPE(rel.r_info) != RELOC_64_32)
			return accel_fail(k->err, -EINVAL,
				"%s: a call has relocation type %llu; only R_BPF_64_32 is known", f->name,
				(unsigned long long)ELF64_R_TYPE(rel.r_info));
		if (link_call(k, f, at, relocated, &sym, &callee))
			return -EINVAL;
		insn->imm = (int32_t)((int64_t)k->p->funcs[callee].start - (int64_t)at - 1);
		return 0;
	}
	if (!relocated)
		return 0;
	if (desc->kind != KIND_IMM64 || ELF64_R_TYPE(rel.r_info) != RELOC_64_64)
		return accel_fail(k->err, -EINVAL,
			"%s, instruction %u: relocation type %llu on opcode 0x%02x; only addresses of variables "
			"(R_BPF_64_64) and "
			"calls (R_BPF_64_32) are known",
			f->name, at - pf->start, (unsigned long long)ELF64_R_TYPE(rel.r_info), insn->code);
	return link_address(k, f, insn, &sym);
}

int linker_link(const struct linker *l, unsigned entry, struct prog *p, const struct link_func *source[PROG_MAX_FUNCS],
	struct accel_err *err)
{
	struct link k = {.l = l, .p = p, .source = source, .err = err};
	int rc;

	strcpy(p->name, l->funcs[entry].name);
	p->insns = calloc(PROG_MAX_INSNS, sizeof(*p->insns));
	p->funcs = calloc(PROG_MAX_FUNCS, sizeof(*p->funcs));
	rc = p->insns && p->funcs ? append(&k, &l->funcs[entry]) : accel_fail(err, -ENOMEM, "out of memory");
	/* func_count grows while the calls of earlier functions are linked. */
	for (uint32_t func = 0; !rc && func < p->func_count; func++) {
		uint32_t at = p->funcs[func].start, end = at + p->funcs[func].count;
		unsigned slots = 1;

		for (; !rc && at < end; at += slots)
			rc = link_insn(&k, func, at, &slots);
	}
	if (rc) {
		free(p->insns);
		free(p->funcs);
		p->insns = NULL;
		p->funcs = NULL;
	}
	return rc;
}
