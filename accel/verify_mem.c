/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_mem.c: judges one memory access: may this pointer, with all that its offset can be, be
 * read or written here, and what does a load give? The rights of the context's fields and of the
 * kinds of map stand here and nowhere else. Memory that a helper reads is judged here too.
 */
#include "accel/verifier.h"

#include <string.h>

/* An access under judgement. */
struct access {
	unsigned reg; /* that holds the pointer */
	unsigned size;
	bool store;
	bool fixed;	  /* min == max */
	bool any_place;	  /* need not be aligned: a helper copies it */
	int64_t min, max; /* offset of the first byte from the object's start (the stack: from r10) */
	struct range at;
};

static const char *const verb[] = {"read", "store"};

static int prepare(struct verifier *v, struct access *a, unsigned reg, int off, unsigned size, bool store)
{
	const struct reg *r = &state_top(&v->now)->regs[reg];
	struct range fixed = range_const(RANGE_BITS, (uint64_t)(int64_t)off);

	if (r->kind == REG_UNINIT)
		return verify_refuse(v, (int)reg, -1, "initialise it on every path that comes here",
			"%s through r%u, which has no value here", verb[store], reg);
	if (r->kind == REG_SCALAR)
		return verify_refuse(v, (int)reg, -1,
			"use a pointer to the request, a local variable or a global; pointers cannot be made from "
			"numbers",
			"%s through r%u, which is a number, not a pointer", verb[store], reg);
	if (r->kind == REG_MAYBE)
		return verify_refuse(v, (int)reg, -1, "test it first: if (!p) return ...",
			"%s through r%u, which may be null", verb[store], reg);
	if (r->kind == REG_MAP_ITSELF)
		return verify_refuse(v, (int)reg, -1, "bpf_map_lookup_elem() gives a pointer to a value",
			"%s through r%u, which is a map, not a value in it", verb[store], reg);
	a->reg = reg;
	a->any_place = false;
	a->size = size;
	a->store = store;
	a->at = off ? range_alu(RANGE_BITS, false, RANGE_ADD, &r->range, &fixed) : r->range;
	a->min = a->at.full.smin;
	a->max = a->at.full.smax;
	a->fixed = a->min == a->max;
	return 0;
}

/* All offsets lie in first..end-1. `what` names the object. */
static int check_bounds(struct verifier *v, const struct access *a, int64_t first, int64_t end, const char *what)
{
	if (a->min >= first && a->max <= end - (int64_t)a->size)
		return 0;
	if (a->fixed)
		return verify_refuse(v, (int)a->reg, -1, "stay inside the object",
			"%s of %u bytes at offset %lld, outside %s", verb[a->store], a->size, (long long)a->min, what);
	return verify_refuse(v, (int)a->reg, -1,
		"test the index against the array's size, or mask it, on this path, before it is used",
		"%s of %u bytes at an offset that may be %lld to %lld, outside %s", verb[a->store], a->size,
		(long long)a->min, (long long)a->max, what);
}

static int check_aligned(struct verifier *v, const struct access *a)
{
	uint64_t low = (a->at.full.tnum.value | a->at.full.tnum.mask) & (a->size - 1);

	if (low == 0 || a->any_place)
		return 0;
	return verify_refuse(v, (int)a->reg, -1,
		"access fields whole, as they are declared; multiply or mask an index to a multiple",
		"%s of %u bytes at an offset that is not proven to be a multiple of %u", verb[a->store], a->size,
		a->size);
}

/* ---- context --------------------------------------------------------------------------- */

struct ctx_field {
	const char *name;
	unsigned offset, size;
	uint64_t min, max;
};

#define CTX_FIELD(field, lo, hi)                                                                                       \
	{                                                                                                              \
#field, offsetof(struct hr_io, field), sizeof(((struct hr_io *)0)->field), lo, hi                      \
	}

static const struct ctx_field ctx_fields[] = {
	CTX_FIELD(value, 0, UINT64_MAX),
	CTX_FIELD(result, 0, UINT64_MAX),
	CTX_FIELD(offset, 0, UINT32_MAX),
	CTX_FIELD(vcpu, 0, UINT32_MAX),
	CTX_FIELD(size, 1, 8),
	CTX_FIELD(is_write, 0, 1),
};

static int access_raw_ctx(struct verifier *v, const struct access *a, struct range *out)
{
	char what[48];
	int rc;

	snprintf(what, sizeof(what), "the context (%u bytes)", v->prog->ctx.size);
	rc = check_bounds(v, a, 0, v->prog->ctx.size, what);
	if (!rc)
		rc = check_aligned(v, a);
	if (!rc && !a->store && a->size <= 8)
		*out = range_between(RANGE_BITS, 0, tnum_ones(8 * a->size));
	return rc;
}

/* What the request is known to hold at `at`, when only one access is judged; false: any value. */
static bool known_ctx(
	const struct prog_ctx *ctx, const struct ctx_field *f, unsigned at, unsigned size, struct range *out)
{
	uint64_t value = 0; /* of a read: `value`, `is_write` */

	if (ctx->read_size == 0 || f->offset == offsetof(struct hr_io, vcpu) ||
		f->offset == offsetof(struct hr_io, result))
		return false;
	if (f->offset == offsetof(struct hr_io, offset))
		value = ctx->read_offset;
	else if (f->offset == offsetof(struct hr_io, size))
		value = ctx->read_size;
	*out = range_const(RANGE_BITS, value >> (8 * (at - f->offset)) & tnum_ones(8 * size));
	return true;
}

static int access_ctx(struct verifier *v, const struct access *a, struct range *out)
{
	const struct ctx_field *f = NULL;
	unsigned at = (unsigned)a->min;
	int rc;

	if (v->prog->ctx.raw)
		return access_raw_ctx(v, a, out);
	if (!a->fixed)
		return verify_refuse(v, (int)a->reg, -1, "name a field of struct hr_io",
			"%s of the request at an offset that is not constant", verb[a->store]);
	rc = check_bounds(v, a, 0, sizeof(struct hr_io), "struct hr_io (32 bytes)");
	if (!rc)
		rc = check_aligned(v, a);
	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(ctx_fields) / sizeof(ctx_fields[0]); i++) {
		if (at >= ctx_fields[i].offset && at < ctx_fields[i].offset + ctx_fields[i].size)
			f = &ctx_fields[i];
	}
	if (a->store) {
		if (f && f->offset == offsetof(struct hr_io, result) && at + a->size <= f->offset + f->size)
			return 0;
		return verify_refuse(v, (int)a->reg, -1, "a program changes nothing in the request but io->result",
			"store to the request at offset %u (%s)", at, f ? f->name : "padding");
	}
	if (!f && a->size == 1) { /* padding */
		*out = range_between(RANGE_BITS, 0, UINT8_MAX);
		return 0;
	}
	if (!f || at + a->size > f->offset + f->size)
		return verify_refuse(v, (int)a->reg, -1, "read each field by itself, as struct hr_io declares it",
			"read of %u bytes of the request at offset %u, across the end of %s", a->size, at,
			f ? f->name : "a field");
	if (known_ctx(&v->prog->ctx, f, at, a->size, out))
		return 0;
	if (a->size == f->size)
		*out = range_between(RANGE_BITS, f->min, f->max);
	else
		*out = range_between(RANGE_BITS, 0, tnum_ones(8 * a->size));
	return 0;
}

/* ---- maps ------------------------------------------------------------------------------ */

#define RODATA_MAX_CHOICES 256

/* Constant tables: the values at all offsets that are possible, if they are few. */
static struct range rodata_value(const struct prog_map *map, const struct access *a)
{
	struct range value = {0};
	bool any = false;

	if ((a->max - a->min) / a->size >= RODATA_MAX_CHOICES)
		return range_between(RANGE_BITS, 0, tnum_ones(8 * a->size));
	for (int64_t at = a->min; at <= a->max; at += a->size) {
		uint64_t bytes = 0;
		struct range one;

		if (!range_contains(RANGE_BITS, &a->at, (uint64_t)at))
			continue;
		memcpy(&bytes, map->initial + at, a->size);
		one = range_const(RANGE_BITS, bytes);
		value = any ? range_join(RANGE_BITS, &value, &one) : one;
		any = true;
	}
	return any ? value : range_between(RANGE_BITS, 0, tnum_ones(8 * a->size));
}

uint32_t verify_map_bytes(const struct prog_map *map)
{
	return map->role == MAP_USER ? map->value_size : map->size;
}

static int access_map(struct verifier *v, const struct access *a, struct range *out)
{
	const struct prog_map *map = &v->prog->maps[state_top(&v->now)->regs[a->reg].index];
	bool user = map->role == MAP_USER;
	char what[64];
	int rc;

	snprintf(what, sizeof(what), "%s%s (%u bytes)", user ? "a value of " : "", map->name, verify_map_bytes(map));
	rc = check_bounds(v, a, 0, verify_map_bytes(map), what);
	if (!rc)
		rc = check_aligned(v, a);
	if (rc)
		return rc;
	if (!a->store) {
		if (user && map->access == MAP_WO)
			return verify_refuse(v, (int)a->reg, -1, "declare the map without the write-only flag",
				"read of %s, which is write-only", map->name);
		if (a->size <= 8)
			*out = map->role == MAP_RODATA ? rodata_value(map, a)
						       : range_between(RANGE_BITS, 0, tnum_ones(8 * a->size));
		return 0;
	}
	if (user && map->access == MAP_RO)
		return verify_refuse(v, (int)a->reg, -1, "declare the map without the read-only flag",
			"store to %s, which is read-only", map->name);
	if (map->role == MAP_RODATA)
		return verify_refuse(v, (int)a->reg, -1, "put variables that change into .bss, or into the state page",
			"store to %s, which is read-only", map->name);
	if (map->role == MAP_STATE && a->min < (int64_t)sizeof(struct hr_page))
		return verify_refuse(v, (int)a->reg, -1, "store to the device's fields, from offset 16 on",
			"store to the head of the state page (struct hr_page), which is the runtime's");
	v->stores_shared = true;
	if (!v->now.stored) {
		v->now.stored = true;
		v->now.stored_at = v->pc;
	}
	return 0;
}

/* ---- stack ----------------------------------------------------------------------------- */

static int prepare_stack(struct verifier *v, const struct access *a, struct frame **out)
{
	struct frame *f = v->now.frames[state_top(&v->now)->regs[a->reg].index];
	int rc = check_bounds(v, a, -PROG_STACK_BYTES, 0, "the frame (512 bytes below r10)");

	if (!rc)
		rc = check_aligned(v, a);
	if (rc)
		return rc;
	if (!frame_reserve(f, slot_index(a->min) + 1, &v->budget))
		return verify_no_memory(v);
	if (v->func_stack[f->func] < (uint32_t)-a->min)
		v->func_stack[f->func] = (uint32_t)-a->min;
	*out = f;
	return 0;
}

static int refuse_read(struct verifier *v, const struct access *a, int64_t at, enum stack_read why)
{
	if (why == STACK_READ_POINTER)
		return verify_refuse(v, (int)a->reg, -1, "load pointers whole",
			"read of a part of a pointer at stack offset %lld", (long long)at);
	return verify_refuse(v, (int)a->reg, -1,
		"initialise the variable on every path that comes here (= {0} for arrays and structs)",
		"read of stack bytes at offset %lld that were never written", (long long)at);
}

static int load_stack(struct verifier *v, const struct access *a, struct reg *out)
{
	struct frame *f;
	int rc = prepare_stack(v, a, &f);
	enum stack_read got;

	if (rc)
		return rc;
	if (a->fixed) {
		got = frame_read(f, a->min, a->size, out);
		return got == STACK_READ_OK ? 0 : refuse_read(v, a, a->min, got);
	}
	for (int64_t at = a->min; at < a->max + (int64_t)a->size; at++) {
		got = frame_read(f, at, 1, out);
		if (got != STACK_READ_OK)
			return refuse_read(v, a, at, got);
	}
	*out = reg_scalar(range_between(RANGE_BITS, 0, tnum_ones(8 * a->size)));
	return 0;
}

static int store_stack(struct verifier *v, const struct access *a, const struct reg *value, int value_reg)
{
	unsigned owner = state_top(&v->now)->regs[a->reg].index;
	struct frame *f;
	struct reg old;
	int rc = prepare_stack(v, a, &f);

	if (rc)
		return rc;
	if (reg_is_pointer(value)) {
		if (a->size != 8 || !a->fixed)
			return verify_refuse(v, (int)a->reg, value_reg, "store pointers whole and at a constant place",
				"store of a pointer in part, or at a place that is not constant");
		if (value->kind == REG_STACK && value->index > owner)
			return verify_refuse(v, (int)a->reg, value_reg, "return a value instead",
				"store of a pointer to this function's stack into its caller's stack");
	}
	if (a->fixed) {
		frame_write(f, a->min, a->size, value);
		return 0;
	}
	for (int64_t at = a->min; at < a->max + (int64_t)a->size; at++) {
		if (frame_read(f, at, 1, &old) == STACK_READ_POINTER)
			return verify_refuse(v, (int)a->reg, -1, "keep arrays apart from saved pointers",
				"store at a variable stack offset that may hit a saved pointer");
	}
	frame_blur(f, a->min, (unsigned)(a->max - a->min) + a->size);
	return 0;
}

/* ---- what a helper reads --------------------------------------------------------------- */

int verify_read(struct verifier *v, unsigned reg, unsigned size, struct reg *out)
{
	struct range value;
	struct access a;
	struct frame *f;
	enum stack_read got;
	int rc = prepare(v, &a, reg, 0, size, false);

	*out = reg_scalar(range_unknown(RANGE_BITS));
	a.any_place = true;
	if (rc)
		return rc;
	switch (state_top(&v->now)->regs[reg].kind) {
	case REG_CTX:
		if (v->prog->ctx.raw)
			return access_raw_ctx(v, &a, &value);
		return check_bounds(v, &a, 0, sizeof(struct hr_io), "struct hr_io (32 bytes)");
	case REG_MAP:
		return access_map(v, &a, &value);
	default:
		break;
	}
	rc = prepare_stack(v, &a, &f);
	if (rc)
		return rc;
	for (int64_t at = a.min; at < a.max + (int64_t)size; at++) {
		struct reg byte;

		got = frame_read(f, at, 1, &byte);
		if (got != STACK_READ_OK)
			return refuse_read(v, &a, at, got);
	}
	if (a.fixed && (size == 4 || size == 8) && a.min % (int)size == 0)
		frame_read(f, a.min, size, out);
	return 0;
}

/* ---- the three accesses ---------------------------------------------------------------- */

int verify_load(struct verifier *v, unsigned reg, int off, unsigned size, bool sign, struct reg *out)
{
	struct range value;
	struct access a;
	int rc = prepare(v, &a, reg, off, size, false);

	if (rc)
		return rc;
	switch (state_top(&v->now)->regs[reg].kind) {
	case REG_STACK:
		rc = load_stack(v, &a, out);
		break;
	case REG_CTX:
		rc = access_ctx(v, &a, &value);
		if (!rc)
			*out = reg_scalar(value);
		break;
	default:
		rc = access_map(v, &a, &value);
		if (!rc)
			*out = reg_scalar(value);
		break;
	}
	if (!rc && sign)
		*out = reg_scalar(range_sext(RANGE_BITS, 8 * size, &out->range));
	return rc;
}

int verify_store(struct verifier *v, unsigned reg, int off, unsigned size, const struct reg *value, int value_reg)
{
	struct range unused;
	struct access a;
	int rc = prepare(v, &a, reg, off, size, true);

	if (rc)
		return rc;
	if (value->kind == REG_UNINIT)
		return verify_refuse(v, value_reg, (int)reg, "initialise it on every path that comes here",
			"store of r%d, which has no value here", value_reg);
	if (state_top(&v->now)->regs[reg].kind == REG_STACK)
		return store_stack(v, &a, value, value_reg);
	if (reg_is_pointer(value))
		return verify_refuse(v, value_reg, (int)reg,
			"store numbers (an index, an offset); the guest may see what is stored here",
			"store of a host pointer outside the stack");
	return state_top(&v->now)->regs[reg].kind == REG_CTX ? access_ctx(v, &a, &unused) : access_map(v, &a, &unused);
}

int verify_atomic(struct verifier *v, unsigned reg, int off, unsigned size)
{
	struct reg old, number = reg_scalar(range_unknown(RANGE_BITS));
	int rc = verify_load(v, reg, off, size, false, &old);

	if (!rc && state_top(&v->now)->regs[reg].kind == REG_CTX)
		return verify_refuse(v, (int)reg, -1, "use a plain load and store", "atomic operation on the %s",
			v->prog->ctx.raw ? "context" : "request");
	if (!rc && reg_is_pointer(&old))
		return verify_refuse(v, (int)reg, -1, "use atomics on numbers", "atomic operation on a saved pointer");
	return rc ? rc : verify_store(v, reg, off, size, &number, -1);
}
