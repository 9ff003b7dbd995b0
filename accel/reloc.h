/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reloc.h: links programs out of a checked object: finds its functions, gives every data section a
 * map, and makes each program one run of instructions with its subprograms appended.
 * Used by object.c; internal to accel/.
 */
#ifndef ACCEL_RELOC_H
#define ACCEL_RELOC_H

#include "accel/elfcheck.h"

#define LINK_MAX_FUNCS 256

/* A function in SEC("syscall") or .text; units are instructions. */
struct link_func {
	char name[64];
	unsigned section;
	uint32_t start; /* in its section */
	uint32_t count;
	bool is_program;
};

/* A map declared in .maps. */
struct link_map {
	uint64_t offset; /* in its section */
	unsigned map;	 /* index */
};

struct linker {
	const struct elf_view *v;
	struct link_func funcs[LINK_MAX_FUNCS];
	unsigned func_count;
	const struct prog_map *maps;		 /* owned by the object */
	int map_of_section[OBJECT_MAX_SECTIONS]; /* -1: none */
	struct link_map user_maps[PROG_MAX_MAPS];
	unsigned user_map_count;
	uint32_t *relocs[OBJECT_MAX_SECTIONS]; /* by section and instruction: entry of its table plus one, 0: none */
};

/* Finds functions and relocations. `map_of_section`, `maps` and `user_maps` are filled by the caller before. */
int linker_init(struct linker *l, const struct elf_view *v, struct accel_err *err);
void linker_fini(struct linker *l);

/*
 * Links funcs[entry] into p: name, insns and funcs, no lines. source[i] is where p->funcs[i] comes
 * from. On failure p holds nothing.
 */
int linker_link(const struct linker *l, unsigned entry, struct prog *p, const struct link_func *source[PROG_MAX_FUNCS],
	struct accel_err *err);

#endif
