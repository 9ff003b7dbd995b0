/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_elfcheck.c: a good object with one field made hostile: sizes and offsets that wrap, indices
 * beyond the end, entry sizes of zero, types that refer to nothing. Each must be refused with its
 * own sentence, by our check and not by libbpf after it. The image lies in memory of its exact
 * size, so that the address sanitizer sees a step beyond.
 * The object lies in ../obj of the test's own folder.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/elfcheck.h"
#include "accel/object.h"

static char obj_dir[512];

struct image {
	uint8_t *bytes;
	size_t size;
};

static int accept_all(struct prog *p, struct accel_err *err)
{
	(void)p, (void)err;
	return 0;
}

static void image_read_name(struct image *im, const char *name)
{
	struct accel_err err;
	char path[600];
	void *all;

	snprintf(path, sizeof(path), "%s/%s.bpf.o", obj_dir, name);
	if (accel_read_file(path, &all, &im->size, &err))
		fail_msg("%s", err.text);
	im->bytes = malloc(im->size);
	memcpy(im->bytes, all, im->size);
	free(all);
}

static void image_read(struct image *im)
{
	image_read_name(im, "good");
}

static Elf64_Shdr *section(const struct image *im, const char *name)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)im->bytes;
	Elf64_Shdr *sh = (Elf64_Shdr *)(im->bytes + eh->e_shoff);
	const char *names = (const char *)im->bytes + sh[eh->e_shstrndx].sh_offset;

	for (unsigned i = 1; i < eh->e_shnum; i++)
		if (!strcmp(names + sh[i].sh_name, name))
			return &sh[i];
	fail_msg("no section %s", name);
	return NULL;
}

static Elf64_Sym *symbol(const struct image *im, const char *name)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)im->bytes;
	Elf64_Shdr *sh = (Elf64_Shdr *)(im->bytes + eh->e_shoff), *table = section(im, ".symtab");
	const char *names = (const char *)im->bytes + sh[table->sh_link].sh_offset;
	Elf64_Sym *sym = (Elf64_Sym *)(im->bytes + table->sh_offset);

	for (uint64_t i = 1; i < table->sh_size / sizeof(*sym); i++)
		if (!strcmp(names + sym[i].st_name, name))
			return &sym[i];
	fail_msg("no symbol %s", name);
	return NULL;
}

/* What a case changes: a field of the ELF header, of a section's header, of a symbol, or bytes of a section. */
enum where { IN_FILE, IN_HEADER_OF, IN_SYMBOL, IN_SECTION };

static const struct {
	enum where where;
	const char *name;
	size_t offset, width;
	uint64_t value;
	const char *text; /* part of the sentence */
} cases[] = {
#define FILE_FIELD(field) IN_FILE, "", offsetof(Elf64_Ehdr, field), sizeof(((Elf64_Ehdr *)0)->field)
#define HEADER(name, field) IN_HEADER_OF, name, offsetof(Elf64_Shdr, field), sizeof(((Elf64_Shdr *)0)->field)
#define SYMBOL(name, field) IN_SYMBOL, name, offsetof(Elf64_Sym, field), sizeof(((Elf64_Sym *)0)->field)
#define BYTES(name, offset, width) IN_SECTION, name, offset, width
	{IN_FILE, "", EI_CLASS, 1, ELFCLASS32, "not a 64-bit little-endian ELF file"},
	{IN_FILE, "", EI_DATA, 1, ELFDATA2MSB, "not a 64-bit little-endian ELF file"},
	{FILE_FIELD(e_machine), EM_X86_64, "made for ELF machine 62, not BPF"},
	{FILE_FIELD(e_type), ET_EXEC, "not a relocatable object"},
	{FILE_FIELD(e_shoff), UINT64_MAX - 7, "the section table lies outside"},
	{FILE_FIELD(e_shoff), 1, "the section table lies outside"},
	{FILE_FIELD(e_shnum), 0xffff, "the file has 65535 sections"},
	{FILE_FIELD(e_shnum), 0, "the file has 0 sections"},
	{FILE_FIELD(e_shentsize), 0, "broken ELF header"},
	{FILE_FIELD(e_shstrndx), 0xffff, "no section 65535 for the section names"},
	{FILE_FIELD(e_shstrndx), 0, "no section 0 for the section names"},
	{HEADER("syscall", sh_size), UINT64_MAX, "lies outside the file"},
	{HEADER("syscall", sh_size), UINT64_MAX - 7, "lies outside the file"},
	{HEADER("syscall", sh_offset), UINT64_MAX - 7, "lies outside the file"},
	{HEADER("syscall", sh_size), 12, "section syscall does not hold instructions"},
	{HEADER("syscall", sh_offset), 1, "section syscall does not hold instructions"},
	{HEADER("syscall", sh_flags), SHF_ALLOC, "section syscall does not hold instructions"},
	{HEADER("syscall", sh_flags), SHF_COMPRESSED, "is compressed"},
	{HEADER("syscall", sh_type), SHT_NOBITS, "section syscall has ELF type 8 instead of contents"},
	{HEADER("license", sh_type), SHT_NOBITS, "section license has ELF type 8 instead of contents"},
	{HEADER("license", sh_size), 0, "section license holds no text"},
	{HEADER(".data.state", sh_type), SHT_NOBITS, "section .data.state has ELF type 8 instead of contents"},
	{HEADER(".bss", sh_size), UINT64_MAX, "hotreg takes up to"},
	{HEADER(".bss", sh_size), 1ull << 32, "hotreg takes up to"},
	{HEADER(".BTF", sh_name), UINT32_MAX, "the name of section"},
	{HEADER(".BTF", sh_type), SHT_NOBITS, "section .BTF has ELF type 8"},
	{HEADER(".BTF", sh_size), 10, ".BTF is truncated"},
	{HEADER(".BTF.ext", sh_size), 10, ".BTF.ext is truncated"},
	{HEADER(".debug_info", sh_type), SHT_RELA, "which clang -target bpf does not write"},
	{HEADER(".symtab", sh_entsize), 0, "section .symtab is not an array of 24-byte entries"},
	{HEADER(".symtab", sh_size), 25, "section .symtab is not an array of 24-byte entries"},
	{HEADER(".symtab", sh_link), 0, "the symbol table has no string table"},
	{HEADER(".symtab", sh_link), UINT32_MAX, "the symbol table has no string table"},
	{HEADER(".symtab", sh_type), SHT_PROGBITS, "no symbol table"},
	{HEADER(".relsyscall", sh_entsize), 0, "section .relsyscall is not an array of 16-byte entries"},
	{HEADER(".relsyscall", sh_info), UINT32_MAX, "relocates section 4294967295"},
	{HEADER(".relsyscall", sh_link), 1, "does not refer to the symbol table"},
	{HEADER(".relsyscall", sh_size), UINT64_MAX - 15, "lies outside the file"},
	{SYMBOL("compute", st_value), UINT64_MAX - 7, "function compute lies outside section syscall"},
	{SYMBOL("compute", st_size), UINT64_MAX - 7, "function compute lies outside section syscall"},
	{SYMBOL("compute", st_size), 0, "function compute lies outside section syscall"},
	{SYMBOL("compute", st_value), 4, "function compute lies outside section syscall"},
	{SYMBOL("compute", st_size), 16 * 8, "overlap"},
	{SYMBOL("compute", st_shndx), SHN_ABS, "lies in section 65521, which does not exist"},
	{SYMBOL("compute", st_shndx), SHN_UNDEF, "compute is not defined in the object"},
	{SYMBOL("compute", st_name), UINT32_MAX, "the name of symbol"},
	{SYMBOL("compute", st_name), 0, "names are C identifiers"},
	{SYMBOL("state", st_value), UINT64_MAX - 7, "symbol state lies outside section .data.state"},
	{SYMBOL("state", st_value), 72, "takes an address at offset 72 of section .data.state"},
	{SYMBOL("state", st_other), STV_HIDDEN, "is static or hidden"},
	{BYTES(".relsyscall", 0, 8), 1 << 20, "relocation 0 of section syscall lies outside it"},
	{BYTES(".relsyscall", 0, 8), 4, "relocation 0 of section syscall lies outside it"},
	{BYTES(".relsyscall", 0, 8), 0, "compute, instruction 0: relocation type 10 on opcode"},
	{BYTES(".relsyscall", 12, 4), 99999, "relocation 0 of section syscall has no symbol"},
	{BYTES(".relsyscall", 12, 4), 0, "relocation 0 of section syscall has no symbol"},
	{BYTES(".relsyscall", 8, 4), 99, "a call has relocation type 99"},
	{BYTES("syscall", 0, 1), 0xff, "compute, instruction 0: opcode 0xff with these fields is no BPF instruction"},
	{BYTES("syscall", 0, 8), 0x30, "compute, instruction 0: packet access (BPF_ABS)"},
	{BYTES("syscall", 0, 8), 0x1018, "compute, instruction 0: 64-bit immediate without its second half"},
	{BYTES("syscall", 0, 8), 0x2018, "compute, instruction 0: 64-bit immediate without its second half"},
	{BYTES("syscall", 0, 8), 0x700001085, "has a call to where no function starts"},
	{BYTES("syscall", 0, 8), 0x8000000000001085, "has a call to where no function starts"},
	{BYTES(".data.state", 4, 4), 0, "the state page has version 0"},
	{BYTES(".data.state", 0, 4), 1, "sequence number or padding that is not 0"},
	{BYTES(".BTF", 0, 2), 0x1234, ".BTF has a header that hotreg does not know"},
	{BYTES(".BTF", 4, 4), UINT32_MAX, ".BTF has a header that hotreg does not know"},
	{BYTES(".BTF", 8, 4), UINT32_MAX - 3, "its types or strings lie outside"},
	{BYTES(".BTF", 12, 4), UINT32_MAX - 3, "its types or strings lie outside"},
	{BYTES(".BTF", 16, 4), UINT32_MAX, "its types or strings lie outside"},
	{BYTES(".BTF", 20, 4), UINT32_MAX, "its types or strings lie outside"},
	{BYTES(".BTF", 20, 4), 0, "its types or strings lie outside"},
	{BYTES(".BTF", 24, 4), UINT32_MAX, ".BTF type 1 has a name outside the string table"},
	{BYTES(".BTF", 28, 4), 0x1f000000, ".BTF type 1 has the unknown kind 31"},
	{BYTES(".BTF", 28, 4), 0x0400ffff, ".BTF is truncated in type 1"},
	{BYTES(".BTF", 32, 4), UINT32_MAX, ".BTF type 1 refers to a name or type that does not exist"},
	{BYTES(".BTF.ext", 4, 4), 8, ".BTF.ext has a header that hotreg does not know"},
	{BYTES(".BTF.ext", 8, 4), UINT32_MAX - 3, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 12, 4), UINT32_MAX, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 16, 4), UINT32_MAX - 3, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 20, 4), UINT32_MAX, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 28, 4), UINT32_MAX, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 32, 4), 0, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 36, 4), UINT32_MAX, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 40, 4), UINT32_MAX, ".BTF.ext is truncated or broken"},
	{BYTES(".BTF.ext", 40, 4), 0x20000000, ".BTF.ext is truncated or broken"},
};

static void test_hostile_fields(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct accel_object *obj;
		struct accel_err err;
		struct image im;
		uint8_t *base;

		image_read(&im);
		base = cases[i].where == IN_FILE	? im.bytes
		       : cases[i].where == IN_HEADER_OF ? (uint8_t *)section(&im, cases[i].name)
		       : cases[i].where == IN_SYMBOL	? (uint8_t *)symbol(&im, cases[i].name)
							: im.bytes + section(&im, cases[i].name)->sh_offset;
		memcpy(base + cases[i].offset, &cases[i].value, cases[i].width);
		if (!accel_object_open_judged("x", im.bytes, im.size, accept_all, &obj, &err))
			fail_msg("case %u (%s +%zu) was taken", i, cases[i].name, cases[i].offset);
		if (!strstr(err.text, cases[i].text))
			fail_msg("case %u (%s +%zu): %s", i, cases[i].name, cases[i].offset, err.text);
		free(im.bytes);
	}
}

/*
 * Every word of the types in turn refers to every type: cycles, arrays of themselves, variables
 * that are no variables. Taken or refused, but in time and in bounds.
 */
static void test_type_references(void **state)
{
	unsigned taken = 0, refused = 0, endless = 0;
	struct image im;
	Elf64_Shdr *btf;
	uint32_t type_len;

	image_read_name(&im, *state);
	btf = section(&im, ".BTF");
	memcpy(&type_len, im.bytes + btf->sh_offset + 12, 4);
	for (uint32_t at = 0; at < type_len; at += 4) {
		uint8_t *word = im.bytes + btf->sh_offset + 24 + at;
		uint32_t old;

		memcpy(&old, word, 4);
		for (uint32_t id = 0; id < 32; id++) {
			struct accel_object *obj;
			struct accel_err err;

			memcpy(word, &id, 4);
			if (accel_object_open_judged("x", im.bytes, im.size, accept_all, &obj, &err)) {
				refused++;
				endless += strstr(err.text, "typedef or qualifier of itself") != NULL;
				continue;
			}
			taken++;
			accel_object_put(obj);
		}
		memcpy(word, &old, 4);
	}
	print_message("%u taken, %u refused, %u of them without an end\n", taken, refused, endless);
	assert_true(taken > 0 && refused > 0 && endless > 0);
	free(im.bytes);
}

/* An image at an odd address is as good as any other. */
static void test_unaligned(void **state)
{
	struct accel_object *obj;
	struct accel_err err;
	struct image im;
	uint8_t *odd;

	(void)state;
	image_read(&im);
	odd = malloc(im.size + 1);
	memcpy(odd + 1, im.bytes, im.size);
	if (accel_object_open_judged("x", odd + 1, im.size, accept_all, &obj, &err))
		fail_msg("%s", err.text);
	accel_object_put(obj);
	free(odd);
	free(im.bytes);
}

int main(int argc, char **argv)
{
	static char good[] = "good", maps[] = "maps";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_fields),
		{"type references", test_type_references, NULL, NULL, good},
		{"type references, with maps", test_type_references, NULL, NULL, maps},
		cmocka_unit_test(test_unaligned),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(obj_dir, sizeof(obj_dir), "%.*s/../obj", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	return cmocka_run_group_tests_name("elfcheck", tests, NULL, NULL);
}
