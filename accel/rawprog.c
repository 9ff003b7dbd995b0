/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rawprog.c: reads bare instructions and map descriptions as the command line gets them. Nothing
 * is believed: text of any length and content ends in a message.
 */
#include "accel/rawprog.h"
#include "accel/elfcheck.h"
#include "accel/insn.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- hexadecimal ----------------------------------------------------------------------- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int raw_hex(const char *text, size_t max, uint8_t **out, size_t *size, struct accel_err *err)
{
	uint8_t *bytes = malloc(strlen(text) / 2 + 1);
	size_t n = 0;

	if (!bytes)
		return accel_fail(err, -ENOMEM, "out of memory");
	for (const char *c = text; *c; c++) {
		if (isspace((unsigned char)*c))
			continue;
		if (digit(c[0]) < 0 || digit(c[1]) < 0) {
			bool odd = digit(c[0]) >= 0 && (!c[1] || isspace((unsigned char)c[1]));

			free(bytes);
			return odd ? accel_fail(err, -EINVAL,
					     "byte %zu has one hexadecimal digit only: write two for each", n)
				   : accel_fail(err, -EINVAL, "'%c' at byte %zu is no hexadecimal digit",
					     digit(c[0]) < 0 ? c[0] : c[1], n);
		}
		if (n == max) {
			free(bytes);
			return accel_fail(err, -E2BIG, "more than %zu bytes", max);
		}
		bytes[n++] = (uint8_t)(digit(c[0]) << 4 | digit(c[1]));
		c++;
	}
	*out = bytes;
	*size = n;
	return 0;
}

/* ---- instructions ---------------------------------------------------------------------- */

static uint32_t slots_at(const struct prog *p, uint32_t at)
{
	return p->insns[at].code == (BPF_LD | BPF_IMM | BPF_DW) && at + 1 < p->insn_count ? 2 : 1;
}

/* Where a local call goes; -1: no such call, or outside. */
static int64_t call_target(const struct prog *p, uint32_t at)
{
	const struct bpf_insn *insn = &p->insns[at];
	int64_t to = (int64_t)at + 1 + insn->imm;

	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL && to < p->insn_count ? to : -1;
}

bool raw_prog_calls_start(const struct prog *p)
{
	for (uint32_t at = 0; at < p->insn_count; at += slots_at(p, at))
		if (call_target(p, at) == 0)
			return true;
	return false;
}

/* Bad targets are left to the checks. Too many functions are found to be one too many. */
void raw_prog_find_functions(struct raw_prog *r)
{
	bool starts[RAW_MAX_INSNS] = {true};
	struct prog *p = &r->prog;

	p->func_count = 0;
	for (uint32_t at = 0; at < p->insn_count; at += slots_at(p, at))
		if (call_target(p, at) > 0)
			starts[call_target(p, at)] = true;
	for (uint32_t at = 0; at < p->insn_count && p->func_count <= PROG_MAX_FUNCS; at++) {
		if (!starts[at])
			continue;
		if (at == 0)
			strcpy(r->funcs[0].name, p->name);
		else
			snprintf(r->funcs[p->func_count].name, sizeof(r->funcs[0].name), "func_%u", at);
		r->funcs[p->func_count++].start = at;
	}
	for (uint32_t f = 0; f < p->func_count; f++)
		r->funcs[f].count = (f + 1 < p->func_count ? r->funcs[f + 1].start : p->insn_count) - r->funcs[f].start;
}

int raw_prog_init(struct raw_prog *r, const char *text, struct accel_err *err)
{
	uint8_t *bytes;
	size_t size;
	int rc;

	memset(r, 0, sizeof(*r));
	rc = raw_hex(text, RAW_MAX_INSNS * sizeof(struct bpf_insn), &bytes, &size, err);
	if (rc)
		return rc;
	if (size == 0 || size % sizeof(struct bpf_insn)) {
		free(bytes);
		return size ? accel_fail(err, -EINVAL, "the program has %zu bytes: instructions have 8 each", size)
			    : accel_fail(err, -EINVAL, "the program is empty: give its instructions as hexadecimal");
	}
	strcpy(r->prog.name, "program");
	r->prog.insn_count = (uint32_t)(size / sizeof(struct bpf_insn));
	r->prog.insns = (struct bpf_insn *)bytes; /* from malloc, so aligned */
	r->prog.funcs = r->funcs;
	r->prog.maps = r->maps;
	raw_prog_find_functions(r);
	return 0;
}

void raw_prog_fini(struct raw_prog *r)
{
	free(r->prog.insns);
	for (uint32_t i = 0; i < r->prog.map_count; i++)
		free(r->maps[i].initial);
	memset(r, 0, sizeof(*r));
}

/* ---- maps ------------------------------------------------------------------------------ */

/* A number that ends at ':', '=' or the end; moves *at behind it (and behind a ':'). */
static bool number(const char **at, uint32_t *out)
{
	uint64_t n = 0;
	const char *c = *at;

	if (!isdigit((unsigned char)*c))
		return false;
	for (; isdigit((unsigned char)*c); c++) {
		n = n * 10 + (uint64_t)(*c - '0');
		if (n > UINT32_MAX)
			return false;
	}
	*out = (uint32_t)n;
	*at = c + (*c == ':');
	return *c == ':' || *c == '=' || *c == 0;
}

static int parse_map(struct prog_map *map, const char *spec, const char **value, struct accel_err *err)
{
	const char *at = spec;

	if (!strncmp(at, "array:", 6)) {
		map->type = MAP_ARRAY;
		at += 6;
	} else if (!strncmp(at, "hash:", 5)) {
		map->type = MAP_HASH;
		at += 5;
	} else {
		return accel_fail(err, -EINVAL, "--map %.80s: the type is array or hash", spec);
	}
	if (!number(&at, &map->key_size) || at[-1] != ':' || !number(&at, &map->value_size) || at[-1] != ':' ||
		!number(&at, &map->max_entries))
		return accel_fail(err, -EINVAL,
			"--map %.80s: TYPE:KEYSIZE:VALUESIZE:ENTRIES[:ro|:wo][=HEX] with decimal sizes is meant", spec);
	if (at[-1] == ':') {
		if (strncmp(at, "ro", 2) && strncmp(at, "wo", 2))
			return accel_fail(err, -EINVAL, "--map %.80s: the right is ro or wo", spec);
		map->access = *at == 'r' ? MAP_RO : MAP_WO;
		at += 2;
	}
	if (*at && *at != '=')
		return accel_fail(err, -EINVAL, "--map %.80s: nothing but =HEX may follow", spec);
	*value = *at ? at + 1 : NULL;
	return 0;
}

static int check_map(const struct prog_map *map, const char *spec, bool has_value, struct accel_err *err)
{
	if (map->type == MAP_ARRAY && map->key_size != 4)
		return accel_fail(err, -EINVAL, "--map %.80s: the key of an array has 4 bytes", spec);
	if (map->key_size == 0 || map->key_size > PROG_STACK_BYTES)
		return accel_fail(err, -EINVAL, "--map %.80s: a key has 1 to %d bytes", spec, PROG_STACK_BYTES);
	if (map->value_size == 0 || map->max_entries == 0)
		return accel_fail(err, -EINVAL, "--map %.80s: a value has at least 1 byte, and a map 1 entry", spec);
	if (map->value_size > RAW_MAX_MAP_BYTES ||
		(map->type == MAP_ARRAY && (uint64_t)prog_map_stride(map) * map->max_entries > RAW_MAX_MAP_BYTES))
		return accel_fail(err, -E2BIG, "--map %.80s: more than %u MiB", spec, RAW_MAX_MAP_BYTES >> 20);
	if (map->type == MAP_HASH && has_value)
		return accel_fail(err, -EINVAL, "--map %.80s: a hash has no element 0 that could have a value", spec);
	return 0;
}

int raw_prog_add_map(struct raw_prog *r, const char *spec, struct accel_err *err)
{
	struct prog_map map = {.role = MAP_USER};
	const char *hex = NULL;
	uint8_t *value = NULL;
	size_t size = 0;
	int rc;

	if (r->prog.map_count == PROG_MAX_MAPS)
		return accel_fail(err, -EINVAL, "more than %d maps", PROG_MAX_MAPS);
	rc = parse_map(&map, spec, &hex, err);
	if (!rc)
		rc = check_map(&map, spec, hex != NULL, err);
	if (!rc && hex && raw_hex(hex, map.value_size, &value, &size, err)) {
		char why[128];

		snprintf(why, sizeof(why), "%.127s", err->text);
		rc = accel_fail(err, -EINVAL, "--map %.80s: its value: %s", spec, why);
	}
	if (rc)
		return rc;
	if (map.type == MAP_ARRAY)
		map.size = prog_map_stride(&map) * map.max_entries;
	map.initial = calloc(1, map.size ? map.size : 1);
	if (!map.initial) {
		free(value);
		return accel_fail(err, -ENOMEM, "out of memory");
	}
	if (size)
		memcpy(map.initial, value, size);
	free(value);
	snprintf(map.name, sizeof(map.name), "map%u", r->prog.map_count);
	r->maps[r->prog.map_count++] = map;
	return 0;
}

/* ---- the shape of a program that nobody verifies ----------------------------------------- */

static bool writes_frame_pointer(const struct insn_desc *d, const struct bpf_insn *insn)
{
	switch (d->kind) {
	case KIND_ALU_K:
	case KIND_ALU_X:
	case KIND_ALU_1:
	case KIND_IMM64:
	case KIND_LOAD:
	case KIND_LOAD_S:
		return insn->dst_reg == BPF_REG_10;
	case KIND_ATOMIC_FETCH:
		return insn->src_reg == BPF_REG_10;
	default:
		return false;
	}
}

static bool is_outside_frame(const struct insn_desc *d, const struct bpf_insn *insn)
{
	bool load = d->kind == KIND_LOAD || d->kind == KIND_LOAD_S;
	bool store = d->kind == KIND_STORE_K || d->kind == KIND_STORE_X || d->kind == KIND_ATOMIC ||
		     d->kind == KIND_ATOMIC_FETCH || d->kind == KIND_ATOMIC_CMPXCHG;

	if (!load && !store)
		return false;
	return (load ? insn->src_reg : insn->dst_reg) == BPF_REG_10 &&
	       (insn->off < -PROG_STACK_BYTES || insn->off + d->bits / 8 > 0);
}

static uint32_t function_at(const struct prog *p, uint32_t at)
{
	uint32_t f = 0;

	while (f + 1 < p->func_count && p->funcs[f + 1].start <= at)
		f++;
	return f;
}

static bool ends_function(const struct prog *p, uint32_t next)
{
	return next >= p->insn_count || p->funcs[function_at(p, next)].start == next;
}

static int check_one(const struct prog *p, uint32_t at, const struct insn_desc *d, struct accel_err *err)
{
	const struct bpf_insn *insn = &p->insns[at];

	if (!d)
		return accel_fail(err, -EINVAL,
			"instruction %u: opcode 0x%02x with registers %u and %u, offset %d, immediate %d is no BPF "
			"instruction",
			at, insn->code, insn->dst_reg, insn->src_reg, insn->off, insn->imm);
	if (d->kind == KIND_REFUSED)
		return accel_fail(err, -EINVAL, "instruction %u: %s: not available here", at, d->text);
	if (d->kind == KIND_MAP || d->kind == KIND_MAP_ADDR)
		return accel_fail(
			err, -EINVAL, "instruction %u: there are no maps here: use hotreg prog run --map", at);
	if (d->slots == 2 && (at + 1 == p->insn_count || !insn_second_ok(insn + 1)))
		return accel_fail(err, -EINVAL, "instruction %u: 64-bit immediate without its second half", at);
	if (d->kind == KIND_CALL_HELPER && insn->imm != 5)
		return accel_fail(err, -EINVAL, "instruction %u: call of helper %d: only 5, bpf_ktime_get_ns, is there",
			at, insn->imm);
	if (writes_frame_pointer(d, insn))
		return accel_fail(err, -EINVAL, "instruction %u writes r10, the frame pointer", at);
	if (is_outside_frame(d, insn))
		return accel_fail(err, -EINVAL, "instruction %u: r10%+d is outside the frame (%d bytes below r10)", at,
			insn->off, PROG_STACK_BYTES);
	if (ends_function(p, at + d->slots) && d->kind != KIND_RETURN && d->kind != KIND_JUMP && d->kind != KIND_JUMP32)
		return accel_fail(err, -EINVAL,
			"instruction %u: control runs on after the end of a function: exit is missing", at);
	return 0;
}

static int check_target(
	const struct prog *p, uint32_t at, const struct insn_desc *d, const bool *begins, struct accel_err *err)
{
	bool by_imm = d->kind == KIND_JUMP32 || d->kind == KIND_CALL_FUNC;
	const char *what = d->kind == KIND_CALL_FUNC ? "call" : "jump";
	int64_t to = (int64_t)at + 1 + (by_imm ? p->insns[at].imm : p->insns[at].off);

	if (!by_imm && d->kind != KIND_JUMP && d->kind != KIND_JMP_K && d->kind != KIND_JMP_X)
		return 0;
	if (to < 0 || to >= p->insn_count)
		return accel_fail(err, -EINVAL, "instruction %u: %s to instruction %lld, outside the program", at, what,
			(long long)to);
	if (d->kind != KIND_CALL_FUNC && function_at(p, at) != function_at(p, (uint32_t)to))
		return accel_fail(err, -EINVAL, "instruction %u: jump from one function into another, at %lld", at,
			(long long)to);
	if (!begins[to])
		return accel_fail(err, -EINVAL, "instruction %u: %s into the middle of a 64-bit immediate", at, what);
	return 0;
}

int raw_prog_check(const struct prog *p, struct accel_err *err)
{
	bool *begins;
	int rc = 0;

	if (p->insn_count == 0 || p->insn_count > PROG_MAX_INSNS)
		return accel_fail(
			err, -EINVAL, "%u instructions; an engine takes 1 to %d", p->insn_count, PROG_MAX_INSNS);
	if (p->func_count > PROG_MAX_FUNCS)
		return accel_fail(err, -EINVAL, "more than %d functions", PROG_MAX_FUNCS);
	begins = calloc(p->insn_count, sizeof(*begins));
	if (!begins)
		return accel_fail(err, -ENOMEM, "out of memory");
	for (uint32_t at = 0, slots; at < p->insn_count && !rc; at += slots) {
		const struct insn_desc *d = insn_lookup(&p->insns[at]);

		begins[at] = true;
		slots = d ? d->slots : 1;
		rc = check_one(p, at, d, err);
	}
	for (uint32_t at = 0; at < p->insn_count && !rc; at++)
		if (begins[at])
			rc = check_target(p, at, insn_lookup(&p->insns[at]), begins, err);
	free(begins);
	return rc;
}
