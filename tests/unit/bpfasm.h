/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpfasm.h: a small assembler for tests: kernel notation in, a struct prog out, with the three
 * maps that all cases share. Included by one .c file of a test program.
 *
 *   r1 = 5            w1 += w2        r1 s>>= 3       r1 s/= r2       r1 = -r1        r1 = (s8) r2
 *   r1 = be16 r1      r1 = 0x1234 ll  r1 = map state + 16             lock add u64 r1 + 0 r2
 *   r0 = *(u32 *)(r1 + 16)            *(u8 *)(r10 - 8) = r2 (or a constant)
 *   if r1 s> 5 goto label             goto label      gotol label     label:
 *   call 5            call name       func name:      exit            .hex b7 00 00 00 00 00 00 00
 *   r1 = map state + 16 (the address of a value)      r1 = mapobject name (the map itself)
 * What the program has besides: ctx BYTES (a raw context), array NAME VALUE ENTRIES [ro|wo],
 * hash NAME KEY VALUE ENTRIES [ro|wo].
 */
#ifndef TESTS_BPFASM_H
#define TESTS_BPFASM_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/prog.h"

#define ASM_STATE_BYTES 64
#define ASM_BSS_BYTES 32
#define ASM_RODATA_BYTES 32

/* .rodata: eight bytes 1, 2, 4, 8, 1, 2, 4, 8, then 16 bytes of 0, then the u64 0x1122334455667788. */
static uint8_t asm_state[ASM_STATE_BYTES], asm_bss[ASM_BSS_BYTES];
static uint8_t asm_rodata[ASM_RODATA_BYTES] = {
	1, 2, 4, 8, 1, 2, 4, 8, [24] = 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
static const struct prog_map asm_maps[] = {
	{.name = "state", .role = MAP_STATE, .size = ASM_STATE_BYTES, .initial = asm_state},
	{.name = "bss", .role = MAP_BSS, .size = ASM_BSS_BYTES, .initial = asm_bss},
	{.name = "rodata", .role = MAP_RODATA, .size = ASM_RODATA_BYTES, .initial = asm_rodata},
};

struct asm_fixup {
	uint32_t insn;
	char label[32];
	bool imm;
};

struct asm_prog {
	struct bpf_insn insns[PROG_MAX_INSNS + 8];
	struct prog_func funcs[PROG_MAX_FUNCS + 1];
	struct prog_map maps[PROG_MAX_MAPS];
	struct prog prog;
	struct asm_fixup fixups[512];
	uint32_t fixup_count;
	struct {
		char name[32];
		uint32_t insn;
	} labels[256];
	uint32_t label_count;
};

static void asm_fail(const char *line, const char *what)
{
	fprintf(stderr, "assembler: %s in: %s\n", what, line);
	exit(1);
}

/* Splits into words and punctuation; "r10" and "0x1f" are words, "s>>=" is one token. */
static unsigned asm_tokens(const char *line, char tok[24][32])
{
	unsigned n = 0;

	for (const char *p = line; *p && *p != '#' && n < 24;) {
		size_t len;

		if (isspace((unsigned char)*p)) {
			p++;
			continue;
		}
		len = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
		if (len == 1 && *p == 's' && strchr("/%<>", p[1]))
			len = 1 + strspn(p + 1, "/%<>=");
		else if (len == 0)
			len = strspn(p, "+-*/%&|^<>=!") ? strspn(p, "+-*/%&|^<>=!") : 1;
		if (len > 31)
			asm_fail(line, "a token is too long");
		memcpy(tok[n], p, len);
		tok[n++][len] = 0;
		p += len;
	}
	return n;
}

static int asm_reg(const char *t, bool *half)
{
	char *end;
	long n;

	if (t[0] != 'r' && t[0] != 'w')
		return -1;
	n = strtol(t + 1, &end, 10);
	if (*end || end == t + 1 || n < 0 || n > 15)
		return -1;
	*half = t[0] == 'w';
	return (int)n;
}

static int64_t asm_number(char tok[24][32], unsigned *at, const char *line)
{
	bool minus = !strcmp(tok[*at], "-");
	char *end;
	int64_t v;

	if (minus || !strcmp(tok[*at], "+"))
		++*at;
	v = (int64_t)strtoull(tok[*at], &end, 0);
	if (*end || end == tok[*at])
		asm_fail(line, "a number is expected");
	++*at;
	return minus ? -v : v;
}

static uint8_t asm_size(const char *t, const char *line)
{
	static const struct {
		const char *name;
		uint8_t size;
	} sizes[] = {{"8", BPF_B}, {"16", BPF_H}, {"32", BPF_W}, {"64", BPF_DW}};

	for (unsigned i = 0; i < 4; i++) {
		if (!strcmp(t + 1, sizes[i].name))
			return sizes[i].size;
	}
	asm_fail(line, "u8, u16, u32 or u64 is expected");
	return 0;
}

static struct bpf_insn *asm_emit(struct asm_prog *a, uint8_t code, int dst, int src, int16_t off, int32_t imm)
{
	struct bpf_insn *i = &a->insns[a->prog.insn_count++];

	*i = (struct bpf_insn){.code = code, .off = off, .imm = imm};
	i->dst_reg = (uint8_t)dst & 15;
	i->src_reg = (uint8_t)src & 15;
	return i;
}

static void asm_fixup(struct asm_prog *a, const char *label, bool imm)
{
	struct asm_fixup *f = &a->fixups[a->fixup_count++];

	f->insn = a->prog.insn_count - 1;
	f->imm = imm;
	snprintf(f->label, sizeof(f->label), "%s", label);
}

/* "(r1 + 16)": leaves *at behind the parenthesis. */
static void asm_address(char tok[24][32], unsigned *at, const char *line, int *reg, int16_t *off)
{
	bool half;

	++*at; /* ( */
	*reg = asm_reg(tok[(*at)++], &half);
	*off = 0;
	if (*reg < 0)
		asm_fail(line, "a register is expected");
	if (strcmp(tok[*at], ")"))
		*off = (int16_t)asm_number(tok, at, line);
	++*at;
}

static void asm_memory_load(struct asm_prog *a, char tok[24][32], int dst, const char *line)
{
	unsigned at = 6; /* rN = * ( u32 *) ... tokens: rN,=,*,(,u32,*,),( */
	bool sign = tok[4][0] == 's';
	uint8_t size = asm_size(tok[4], line);
	int16_t off;
	int src;

	if (!strcmp(tok[5], "*"))
		at = 7;
	asm_address(tok, &at, line, &src, &off);
	asm_emit(a, BPF_LDX | (sign ? 0x80 : BPF_MEM) | size, dst, src, off, 0);
}

static void asm_memory_store(struct asm_prog *a, char tok[24][32], const char *line)
{
	uint8_t size = asm_size(tok[2], line);
	unsigned at = 5; /* * ( u32 * ) ( */
	int16_t off;
	bool half;
	int dst, src;

	asm_address(tok, &at, line, &dst, &off);
	at++; /* = */
	src = asm_reg(tok[at], &half);
	if (src >= 0)
		asm_emit(a, BPF_STX | BPF_MEM | size, dst, src, off, 0);
	else
		asm_emit(a, BPF_ST | BPF_MEM | size, dst, 0, off, (int32_t)asm_number(tok, &at, line));
}

static void asm_lock(struct asm_prog *a, char tok[24][32], const char *line)
{
	static const struct {
		const char *name;
		int32_t imm;
	} ops[] = {{"add", 0}, {"or", 0x40}, {"and", 0x50}, {"xor", 0xa0}, {"fetch_add", 1}, {"fetch_or", 0x41},
		{"fetch_and", 0x51}, {"fetch_xor", 0xa1}, {"xchg", 0xe1}, {"cmpxchg", 0xf1}};
	unsigned at = 4;
	bool half;
	int dst = asm_reg(tok[3], &half);
	int16_t off = (int16_t)asm_number(tok, &at, line);

	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (!strcmp(ops[i].name, tok[1])) {
			asm_emit(a, 0xc0 | BPF_STX | asm_size(tok[2], line), dst, asm_reg(tok[at], &half), off,
				ops[i].imm);
			return;
		}
	}
	asm_fail(line, "unknown atomic");
}

static void asm_jump(struct asm_prog *a, char tok[24][32], const char *line)
{
	static const struct {
		const char *name;
		uint8_t op;
	} ops[] = {{"==", 0x10}, {">", 0x20}, {">=", 0x30}, {"&", 0x40}, {"!=", 0x50}, {"s>", 0x60}, {"s>=", 0x70},
		{"<", 0xa0}, {"<=", 0xb0}, {"s<", 0xc0}, {"s<=", 0xd0}};
	bool half = false, half2;
	int dst = asm_reg(tok[1], &half), src = asm_reg(tok[3], &half2);
	uint8_t class = half ? BPF_JMP32 : BPF_JMP;
	unsigned at = 3;

	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(ops[i].name, tok[2]))
			continue;
		if (src >= 0) {
			asm_emit(a, class | ops[i].op | BPF_X, dst, src, 0, 0);
			at++;
		} else {
			asm_emit(a, class | ops[i].op | BPF_K, dst, 0, 0, (int32_t)asm_number(tok, &at, line));
		}
		asm_fixup(a, tok[at + 1], false);
		return;
	}
	asm_fail(line, "unknown condition");
}

/* By name or number; a number need not exist. */
static int asm_map(const struct asm_prog *a, const char *name)
{
	for (uint32_t i = 0; i < a->prog.map_count; i++) {
		if (!strcmp(a->maps[i].name, name))
			return (int)i;
	}
	return atoi(name);
}

/* array NAME VALUE ENTRIES [ro|wo], hash NAME KEY VALUE ENTRIES [ro|wo] */
static void asm_user_map(struct asm_prog *a, char tok[24][32], unsigned count, const char *line)
{
	bool hash = tok[0][0] == 'h';
	unsigned at = hash ? 3 : 2;
	struct prog_map *map = &a->maps[a->prog.map_count++];

	if (a->prog.map_count > PROG_MAX_MAPS || count < at + 2)
		asm_fail(line, "too many maps, or too few numbers");
	*map = (struct prog_map){.role = MAP_USER, .type = hash ? MAP_HASH : MAP_ARRAY};
	snprintf(map->name, sizeof(map->name), "%s", tok[1]);
	map->key_size = hash ? (uint32_t)atoi(tok[2]) : 4;
	map->value_size = (uint32_t)atoi(tok[at]);
	map->max_entries = (uint32_t)atoi(tok[at + 1]);
	map->size = hash ? 0 : map->max_entries * prog_map_stride(map);
	if (count > at + 2)
		map->access = tok[at + 2][0] == 'r' ? MAP_RO : MAP_WO;
}

static void asm_alu(struct asm_prog *a, char tok[24][32], unsigned count, const char *line)
{
	static const struct {
		const char *name;
		uint8_t op;
		int16_t off;
	} ops[] = {{"+=", 0x00, 0}, {"-=", 0x10, 0}, {"*=", 0x20, 0}, {"/=", 0x30, 0}, {"s/=", 0x30, 1},
		{"|=", 0x40, 0}, {"&=", 0x50, 0}, {"<<=", 0x60, 0}, {">>=", 0x70, 0}, {"%=", 0x90, 0}, {"s%=", 0x90, 1},
		{"^=", 0xa0, 0}, {"=", 0xb0, 0}, {"s>>=", 0xc0, 0}};
	bool half = false, half2;
	int dst = asm_reg(tok[0], &half), src;
	uint8_t class = half ? BPF_ALU : BPF_ALU64;
	unsigned at = 2;

	src = asm_reg(tok[2], &half2);
	if (!strcmp(tok[1], "=") && !strcmp(tok[2], "*") && !strcmp(tok[3], "(")) {
		asm_memory_load(a, tok, dst, line);
		return;
	}
	if (!strcmp(tok[1], "=") && (!strcmp(tok[2], "map") || !strcmp(tok[2], "mapobject"))) {
		bool object = tok[2][3] == 'o';

		at = 4;
		asm_emit(a, 0x18, dst, object ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE, 0, asm_map(a, tok[3]));
		asm_emit(a, 0, 0, 0, 0, count > 4 ? (int32_t)asm_number(tok, &at, line) : 0);
		return;
	}
	if (!strcmp(tok[1], "=-") || (!strcmp(tok[1], "=") && !strcmp(tok[2], "-") && asm_reg(tok[3], &half2) >= 0)) {
		asm_emit(a, class | 0x80, dst, 0, 0, 0);
		return;
	}
	if (!strcmp(tok[1], "=") && !strcmp(tok[2], "(")) { /* (s8) */
		asm_emit(a, class | 0xb0 | BPF_X, dst, asm_reg(tok[5], &half2), (int16_t)atoi(tok[3] + 1), 0);
		return;
	}
	if (!strcmp(tok[1], "=") && (!strncmp(tok[2], "le", 2) || !strncmp(tok[2], "be", 2))) {
		asm_emit(a, BPF_ALU | 0xd0 | (tok[2][0] == 'b' ? 8 : 0), dst, 0, 0, atoi(tok[2] + 2));
		return;
	}
	if (!strcmp(tok[1], "=") && !strncmp(tok[2], "bswap", 5)) {
		asm_emit(a, BPF_ALU64 | 0xd0, dst, 0, 0, atoi(tok[2] + 5));
		return;
	}
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		int64_t v;

		if (strcmp(ops[i].name, tok[1]))
			continue;
		if (src >= 0) {
			asm_emit(a, class | ops[i].op | BPF_X, dst, src, ops[i].off, 0);
			return;
		}
		v = asm_number(tok, &at, line);
		if (at < count && !strcmp(tok[at], "ll")) {
			asm_emit(a, 0x18, dst, 0, 0, (int32_t)v);
			asm_emit(a, 0, 0, 0, 0, (int32_t)(v >> 32));
			return;
		}
		asm_emit(a, class | ops[i].op | BPF_K, dst, 0, ops[i].off, (int32_t)v);
		return;
	}
	asm_fail(line, "unknown instruction");
}

__attribute__((unused)) static void asm_line(struct asm_prog *a, const char *line)
{
	char tok[24][32] = {{0}};
	unsigned n = asm_tokens(line, tok);
	bool func = n == 3 && !strcmp(tok[0], "func");

	if (n == 0)
		return;
	if (a->prog.insn_count >= PROG_MAX_INSNS)
		asm_fail(line, "too many instructions");
	if ((n == 2 || func) && !strcmp(tok[n - 1], ":")) {
		unsigned l = a->label_count++;

		snprintf(a->labels[l].name, sizeof(a->labels[l].name), "%s", tok[n - 2]);
		a->labels[l].insn = a->prog.insn_count;
		if (func) {
			struct prog_func *f = &a->funcs[a->prog.func_count++];

			snprintf(f->name, sizeof(f->name), "%s", tok[1]);
			f->start = a->prog.insn_count;
		}
		return;
	}
	if (!strcmp(tok[0], "ctx") && n == 2) {
		a->prog.ctx = (struct prog_ctx){.raw = true, .size = (uint32_t)atoi(tok[1])};
		return;
	}
	if (!strcmp(tok[0], "array") || !strcmp(tok[0], "hash")) {
		asm_user_map(a, tok, n, line);
		return;
	}
	if (!strcmp(tok[0], ".hex")) {
		uint8_t b[8] = {0};

		for (unsigned i = 0; i < 8 && i + 1 < n; i++)
			b[i] = (uint8_t)strtoul(tok[i + 1], NULL, 16);
		memcpy(&a->insns[a->prog.insn_count++], b, 8);
	} else if (!strcmp(tok[0], "exit")) {
		asm_emit(a, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	} else if (!strcmp(tok[0], "goto")) {
		asm_emit(a, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		asm_fixup(a, tok[1], false);
	} else if (!strcmp(tok[0], "gotol")) {
		asm_emit(a, BPF_JMP32 | BPF_JA, 0, 0, 0, 0);
		asm_fixup(a, tok[1], true);
	} else if (!strcmp(tok[0], "call") && isdigit((unsigned char)tok[1][0])) {
		asm_emit(a, BPF_JMP | BPF_CALL, 0, 0, 0, atoi(tok[1]));
	} else if (!strcmp(tok[0], "call")) {
		asm_emit(a, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
		asm_fixup(a, tok[1], true);
	} else if (!strcmp(tok[0], "if")) {
		asm_jump(a, tok, line);
	} else if (!strcmp(tok[0], "lock")) {
		asm_lock(a, tok, line);
	} else if (!strcmp(tok[0], "*")) {
		asm_memory_store(a, tok, line);
	} else {
		asm_alu(a, tok, n, line);
	}
}

static void asm_begin(struct asm_prog *a, const char *name)
{
	memset(a, 0, sizeof(*a));
	snprintf(a->prog.name, sizeof(a->prog.name), "%s", name);
	a->prog.insns = a->insns;
	a->prog.funcs = a->funcs;
	memcpy(a->maps, asm_maps, sizeof(asm_maps));
	a->prog.maps = a->maps;
	a->prog.map_count = 3;
	a->prog.func_count = 1;
	snprintf(a->funcs[0].name, sizeof(a->funcs[0].name), "main");
}

static void asm_end(struct asm_prog *a)
{
	for (uint32_t i = 0; i < a->prog.func_count; i++)
		a->funcs[i].count =
			(i + 1 < a->prog.func_count ? a->funcs[i + 1].start : a->prog.insn_count) - a->funcs[i].start;
	for (uint32_t i = 0; i < a->fixup_count; i++) {
		struct asm_fixup *f = &a->fixups[i];
		uint32_t l = 0;
		int distance;

		while (l < a->label_count && strcmp(a->labels[l].name, f->label))
			l++;
		if (l == a->label_count)
			asm_fail(f->label, "unknown label");
		distance = (int)a->labels[l].insn - (int)f->insn - 1;
		if (f->imm)
			a->insns[f->insn].imm = distance;
		else
			a->insns[f->insn].off = (int16_t)distance;
	}
}

#endif
