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

#include "accel/accel.h"

#define PROG_MAX_INSNS 4096  /* of one program, its subprograms included */
#define PROG_MAX_FUNCS 64
#define PROG_STACK_BYTES 512 /* of one frame */
#define PROG_MAX_FRAMES 8
#define PROG_MAX_MAPS 8

enum map_role {
	MAP_STATE,  /* .data.state: the device's page; programs may store above its struct hr_page */
	MAP_BSS,    /* .bss (and .data): the object's own, read-write */
	MAP_RODATA, /* .rodata: read-only, contents known to the verifier */
};

/* One global-data section: an array map of one element, addressed directly (BPF_PSEUDO_MAP_VALUE). */
struct prog_map {
	char name[32];
	enum map_role role;
	uint32_t size;    /* bytes of the element */
	uint8_t *initial; /* size bytes */
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
 * BPF_PSEUDO_MAP_VALUE, imm = index into maps, imm of the second half = byte offset in it.
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

/*
 * Where a program's maps are, and what time it is, for one attachment (or for one shadow run).
 * map_base is read by interp_prepare(); the time fields at each call of helper 5, so the env
 * must outlive the code prepared with it and frozen_ns may change between runs.
 */
struct prog_env {
	uint8_t *map_base[PROG_MAX_MAPS]; /* by map index */
	const struct accel_clock *clock;
	bool time_is_frozen;
	uint64_t frozen_ns;
};

/*
 * The reference engine. `code` is prepared by interp_prepare() from a *verified* program: map
 * addresses are filled in. Returns r0.
 */
struct interp_code;
int interp_prepare(const struct prog *p, const struct prog_env *env, struct interp_code **out);
void interp_free(struct interp_code *code);
uint64_t interp_run(const struct interp_code *code, void *ctx);

/* One instruction in the kernel's assembly notation ("r0 = *(u32 *)(r1 + 16)"); width = slots used, 1 or 2. */
int disasm_insn(const struct prog *p, uint32_t insn, char *buf, size_t size);
/* The whole program, functions and source lines between its instructions. */
void disasm_prog(const struct prog *p, FILE *out);

#endif
