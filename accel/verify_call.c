/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_call.c: calls and returns: the table of helpers, with what they take and give, the
 * program's own functions, and what a program may return at its end. Called by verify_insn.c.
 */
#include "accel/verifier.h"

#include <errno.h>
#include <string.h>

/* ---- helpers --------------------------------------------------------------------------- */

static const struct helper helpers[] = {
	{1, "bpf_map_lookup_elem", {ARG_MAP, ARG_KEY}, GIVES_MAYBE_VALUE, false},
	{5, "bpf_ktime_get_ns", {ARG_NONE}, GIVES_NUMBER, true},
};

const struct helper *verify_helper(int32_t number)
{
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
		if (helpers[i].number == number)
			return &helpers[i];
	}
	return NULL;
}

static void clobber(struct frame *f)
{
	for (unsigned i = BPF_REG_0; i <= BPF_REG_5; i++)
		reg_forget(&f->regs[i]);
}

/* What the arguments of one call are, as far as its result depends on them. */
struct call_args {
	unsigned map;
	struct reg key;
};

static int check_arg(
	struct verifier *v, const struct helper *h, unsigned reg, enum helper_arg arg, struct call_args *args)
{
	const struct reg *r = &state_top(&v->now)->regs[reg];

	if (r->kind == REG_UNINIT)
		return verify_refuse(v, (int)reg, -1, "set the arguments of the call on every path that comes here",
			"r%u, an argument of %s, has no value here", reg, h->name);
	if (arg == ARG_KEY)
		return verify_read(v, reg, v->prog->maps[args->map].key_size, &args->key);
	if (r->kind != REG_MAP_ITSELF)
		return verify_refuse(v, (int)reg, -1, "pass the address of the map's variable (&map)",
			"r%u, an argument of %s, is not a map", reg, h->name);
	args->map = r->index;
	return 0;
}

/* Arrays have every element below max_entries, so a constant key in bounds is always found. */
static struct reg lookup_result(struct verifier *v, const struct call_args *args)
{
	const struct prog_map *map = &v->prog->maps[args->map];
	bool found = map->type == MAP_ARRAY && range_is_const(&args->key.range) &&
		     args->key.range.full.umin < map->max_entries;
	struct reg r = reg_pointer(found ? REG_MAP : REG_MAYBE, args->map, 0);

	/* Each lookup may find another element; the first one has link 0. */
	if (!found || args->key.range.full.umin != 0)
		r.link = ++v->last_link;
	return r;
}

int verify_call_helper(struct verifier *v, const struct bpf_insn *insn)
{
	const struct helper *h = verify_helper(insn->imm); /* verify_code.c has seen that there is one */
	struct frame *f = state_top(&v->now);
	struct call_args args = {0};
	struct reg result = reg_scalar(range_unknown(RANGE_BITS));

	for (unsigned i = 0; i < 5 && h->args[i] != ARG_NONE; i++) {
		int rc = check_arg(v, h, BPF_REG_1 + i, (enum helper_arg)h->args[i], &args);

		if (rc)
			return rc;
	}
	if (h->result == GIVES_MAYBE_VALUE)
		result = lookup_result(v, &args);
	clobber(f);
	f->regs[BPF_REG_0] = result;
	v->reads_time |= h->reads_time;
	v->pc++;
	return 0;
}

/* ---- functions ------------------------------------------------------------------------- */

int verify_call_function(struct verifier *v)
{
	uint32_t func = v->code[v->pc].target;
	struct frame *caller = state_top(&v->now), *callee;

	if (!state_push_frame(&v->now, func, v->pc, &v->budget))
		return verify_no_memory(v);
	callee = state_top(&v->now);
	memcpy(&callee->regs[BPF_REG_1], &caller->regs[BPF_REG_1], 5 * sizeof(struct reg));
	clobber(caller);
	v->pc = v->prog->funcs[func].start;
	return 0;
}

static int return_function(struct verifier *v)
{
	struct reg result = state_top(&v->now)->regs[BPF_REG_0];
	uint32_t back = state_top(&v->now)->call_insn + 1;

	if (result.kind == REG_STACK && result.index == v->now.frame_count - 1)
		return verify_refuse(v, BPF_REG_0, -1, "return a value, or let the caller pass the variable in",
			"a function returns a pointer to its own stack");
	state_pop_frame(&v->now, &v->budget);
	state_top(&v->now)->regs[BPF_REG_0] = result;
	v->pc = back;
	return 0;
}

static int end_program(struct verifier *v)
{
	static const char help[] =
		"return HR_PUNT, HR_ANSWER, HR_ANSWER_RING or HR_PUNT_WHY(1..255), a constant on each path";
	const struct reg *r0 = &state_top(&v->now)->regs[BPF_REG_0];
	uint64_t verdict;
	char place[96];

	if (r0->kind == REG_UNINIT)
		return verify_refuse(v, BPF_REG_0, -1, help, "the program ends without a return value");
	if (r0->kind != REG_SCALAR)
		return verify_refuse(v, BPF_REG_0, -1, help, "the program returns a host pointer");
	if (v->prog->ctx.raw) {
		v->ended = true;
		return 0;
	}
	if (!range_is_const(&r0->range))
		return verify_refuse(
			v, BPF_REG_0, -1, help, "the program returns a number that is not a constant on this path");
	verdict = r0->range.full.umin;
	if (verdict > HR_ANSWER_RING && (verdict & 0xff || verdict > HR_PUNT_WHY(255)))
		return verify_refuse(
			v, BPF_REG_0, -1, help, "the program returns %lld, which means nothing", (long long)verdict);
	if (verdict != HR_ANSWER && verdict != HR_ANSWER_RING && v->now.stored) {
		verify_place(v->prog, v->now.stored_at, place, sizeof(place));
		return verify_refuse(v, BPF_REG_0, -1,
			"decide to punt before the first store; a punt leaves nothing half done",
			"this path punts after it has stored to shared memory (%s)", place);
	}
	v->ended = true;
	return 0;
}

int verify_return(struct verifier *v)
{
	return v->now.frame_count > 1 ? return_function(v) : end_program(v);
}
