/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prog.h: a program as the engine's own parts hand it around: loaded and relocated by object.c,
 * judged by verifier.c, prepared and run by runtime.c and interp.c, printed by disasm.c.
 * Internal to accel/.
 */
#ifndef ACCEL_PROG_H
#define ACCEL_PROG_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "accel/accel.h"

#define PROG_MAX_INSNS 4096 /* of one program, its subprograms included */
#define PROG_MAX_FUNCS 64
#define PROG_STACK_BYTES 512 /* of one frame */
#define PROG_MAX_FRAMES 8
#define PROG_MAX_MAPS 16

enum map_role {
	MAP_STATE,  /* .data.state: the device's page; programs may store above its struct hr_page */
	MAP_BSS,    /* .bss (and .data): the object's own, read-write */
	MAP_RODATA, /* .rodata: read-only, contents known to the verifier */
	MAP_USER,   /* declared by the author: in .maps, or with `hotreg prog verify --map` */
};

enum map_type {
	MAP_ARRAY, /* all global data too */
	MAP_HASH,  /* for the verifier only: no engine runs a program that has one */
};

/* What a program may do with the values of a MAP_USER; the roles say it of global data. */
enum map_access { MAP_RW, MAP_RO, MAP_WO };

/*
 * Global data is an array map of one element, addressed directly (BPF_PSEUDO_MAP_VALUE). A MAP_USER
 * is looked up by key (KIND_MAP, helper 1); its first element may be addressed directly too.
 */
struct prog_map {
	char name[32];
	enum map_role role;
	uint32_t size;	  /* bytes of the storage: of an array max_entries * prog_map_stride(); of a hash 0 */
	uint8_t *initial; /* size bytes */
	/* the rest is of MAP_USER only */
	enum map_type type;
	enum map_access access;
	uint32_t key_size; /* of an array 4 */
	uint32_t value_size;
	uint32_t max_entries; /* from 1 */
};

/* Bytes from one element of an array to the next: as in a kernel, a multiple of 8. */
static inline uint32_t prog_map_stride(const struct prog_map *map)
{
	return (map->value_size + 7) & ~7u;
}

/* Storage that belongs to an object and a page: the device's model knows nothing of it. */
static inline bool prog_map_is_own(const struct prog_map *map)
{
	return map->role == MAP_BSS || map->role == MAP_USER;
}

/*
 * What r1 points to. Not raw: struct hr_io, and the whole contract of bpf/hr.h holds. Raw (`hotreg
 * prog verify --ctx-size`): `size` read-write bytes, any return value, any effect.
 */
struct prog_ctx {
	bool raw;
	uint32_t size; /* raw only; may be 0 */
	/* not raw: the request is a read of read_size bytes at read_offset; 0: any access */
	uint8_t read_size;
	uint32_t read_offset;
};

/* Source position of an instruction; the last entry at or before it holds. */
struct prog_line {
	uint32_t insn;
	uint32_t line;
	uint32_t column;
	const char *file; /* owned by the object */
	const char *text; /* the source line, may be "" */
};

struct prog_func {
	char name[64];
	uint32_t start; /* first instruction; [0] is the entry at 0 */
	uint32_t count;
};

/*
 * One program, linked: its subprograms follow it in insns, BPF_PSEUDO_CALL immediates are
 * relative within insns, and a map address is BPF_LD|BPF_IMM|BPF_DW with src_reg
 * BPF_PSEUDO_MAP_VALUE, imm = index into maps, imm of the second half = byte offset in it. A map
 * itself has src_reg BPF_PSEUDO_MAP_FD, imm = index into maps, second half 0.
 */
struct prog {
	char name[64];
	struct bpf_insn *insns;
	uint32_t insn_count;
	struct prog_func *funcs;
	uint32_t func_count;
	struct prog_line *lines; /* sorted by insn; may be empty */
	uint32_t line_count;
	const struct prog_map *maps;
	uint32_t map_count;
	struct prog_ctx ctx;
	/* filled by verify_prog() */
	enum accel_effect effect;
	bool reads_time;
	uint64_t worst_case;
	uint64_t verify_ns;
	uint32_t states;
};

/*
 * Judges one program under the contract of bpf/hr.h and fills the verdict fields. 0, or -EACCES
 * with file:line, source, instruction, register state, rule and remedy in err; -ENOMEM, -E2BIG
 * when a limit of the verifier itself was hit. Reads only *p; may run in any thread.
 */
int verify_prog(struct prog *p, struct accel_err *err);

/* An array map at run time: its address is what KIND_MAP puts into a register. */
struct prog_array {
	uint8_t *base; /* NULL: not an array map that is looked up */
	uint32_t entries;
	uint32_t stride;
};

/* Helper 1: the element's address, or NULL when there is none. `key` is a u32 anywhere. */
static inline void *prog_array_lookup(const struct prog_array *array, const void *key)
{
	uint32_t index;

	memcpy(&index, key, sizeof(index));
	return index < array->entries ? array->base + (size_t)index * array->stride : NULL;
}

/*
 * Where a program's maps are, and what time it is, for one attachment (or for one shadow run).
 * map_base and array are read when code is prepared or at a call of helper 1, the time fields at
 * each call of helper 5, so the env must outlive the code prepared with it and frozen_ns may
 * change between runs. prog_env_set_map() fills both map fields.
 */
struct prog_env {
	uint8_t *map_base[PROG_MAX_MAPS]; /* by map index; NULL for a hash */
	struct prog_array array[PROG_MAX_MAPS];
	const struct accel_clock *clock;
	bool time_is_frozen;
	uint64_t frozen_ns;
};

static inline void prog_env_set_map(struct prog_env *env, uint32_t index, const struct prog_map *map, uint8_t *base)
{
	env->map_base[index] = base;
	env->array[index] = (struct prog_array){0};
	if (map->role == MAP_USER && map->type == MAP_ARRAY)
		env->array[index] = (struct prog_array){base, map->max_entries, prog_map_stride(map)};
}

/*
 * The reference engine. `code` is prepared by interp_prepare() from a *verified* program: map
 * addresses are filled in. Returns r0.
 */
struct interp_code;
int interp_prepare(const struct prog *p, const struct prog_env *env, struct interp_code **out);
void interp_free(struct interp_code *code);
uint64_t interp_run(const struct interp_code *code, void *ctx);

/* The same on a stack of the caller's, 16-byte aligned: the frame at depth n is the n-th part of it. */
#define INTERP_STACK_BYTES (PROG_MAX_FRAMES * PROG_STACK_BYTES)
uint64_t interp_run_on(const struct interp_code *code, void *ctx, uint8_t stack[INTERP_STACK_BYTES]);

/* Whether an engine can run it, verified as it is: -ENOTSUP with the reason if it refers to a hash map. object.c */
int prog_check_runnable(const struct prog *p, struct accel_err *err);

/* One instruction in the kernel's assembly notation ("r0 = *(u32 *)(r1 + 16)"); width = slots used, 1 or 2. */
int disasm_insn(const struct prog *p, uint32_t insn, char *buf, size_t size);
/* The whole program, functions and source lines between its instructions. */
void disasm_prog(const struct prog *p, FILE *out);

#endif
