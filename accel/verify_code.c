/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_code.c: what can be said of a program without walking it: every instruction exists and
 * its fields are in order, jumps stay in their function, calls are no recursion, all of it can be
 * reached; and, backwards from the uses, which registers and stack bytes matter where.
 *
 * The second part only decides what frame_forget() may drop. Dropping is sound whatever is
 * dropped, so a mistake there can refuse a good program but not admit a bad one.
 */
#include "accel/verifier.h"

#include <errno.h>
#include <stdlib.h>

static const char compiler_help[] = "compile with clang -target bpf -mcpu=v3; a file that clang wrote does not do this";

static int check_user_map(struct verifier *v, const struct prog_map *map)
{
	if (map->key_size == 0 || map->value_size == 0 || map->max_entries == 0)
		return verify_refuse_whole(v, "give it a key, a value and a number of entries",
			"map %s: keys of %u bytes, values of %u bytes, %u entries", map->name, map->key_size,
			map->value_size, map->max_entries);
	if (map->type == MAP_ARRAY && map->key_size != 4)
		return verify_refuse_whole(v, "declare the key as u32",
			"map %s: the key of an array has 4 bytes, not %u", map->name, map->key_size);
	return 0;
}

static int check_shape(struct verifier *v)
{
	const struct prog *p = v->prog;
	uint32_t at = 0;

	if (p->insn_count == 0 || p->insn_count > PROG_MAX_INSNS)
		return verify_refuse_whole(v, "split the work among programs, or leave more of it to the model",
			"%u instructions; a program has 1 to %u", p->insn_count, PROG_MAX_INSNS);
	if (p->func_count == 0 || p->func_count > PROG_MAX_FUNCS)
		return verify_refuse_whole(v, "inline some of them (static inline)",
			"%u functions; a program has 1 to %u", p->func_count, PROG_MAX_FUNCS);
	if (p->map_count > PROG_MAX_MAPS)
		return verify_refuse_whole(v, "put the variables into fewer sections",
			"%u maps; a program has at most %u", p->map_count, PROG_MAX_MAPS);
	for (uint32_t i = 0; i < p->map_count; i++) {
		if (p->maps[i].role == MAP_USER && check_user_map(v, &p->maps[i]))
			return -EACCES;
	}
	for (uint32_t f = 0; f < p->func_count; f++) {
		if (p->funcs[f].start != at || p->funcs[f].count == 0 || p->funcs[f].count > p->insn_count - at)
			return verify_refuse_whole(
				v, compiler_help, "the list of functions does not fit the instructions");
		for (uint32_t i = 0; i < p->funcs[f].count; i++)
			v->code[at++].func = f;
	}
	if (at != p->insn_count)
		return verify_refuse_whole(v, compiler_help, "the list of functions does not fit the instructions");
	return 0;
}

static bool writes_dst(enum insn_kind kind)
{
	return kind == KIND_ALU_K || kind == KIND_ALU_X || kind == KIND_ALU_1 || kind == KIND_IMM64 ||
	       kind == KIND_MAP_ADDR || kind == KIND_MAP || kind == KIND_LOAD || kind == KIND_LOAD_S;
}

static bool has_user_map(const struct prog *p)
{
	for (uint32_t i = 0; i < p->map_count; i++) {
		if (p->maps[i].role == MAP_USER)
			return true;
	}
	return false;
}

/* Also where no path leads: the engines must know all that is called. */
static int check_helper(struct verifier *v, const struct bpf_insn *insn)
{
	const struct helper *h = verify_helper(insn->imm);

	if (!h)
		return verify_refuse(v, -1, -1,
			"bpf_map_lookup_elem() (1) and bpf_ktime_get_ns() (5) are the only ones",
			"helper %d is not one that a program may call", insn->imm);
	for (unsigned i = 0; i < 5; i++) {
		if (h->args[i] == ARG_MAP && !has_user_map(v->prog))
			return verify_refuse(
				v, -1, -1, "declare a map", "%s without any map to look things up in", h->name);
	}
	return 0;
}

static int check_operands(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	if (d->kind == KIND_REFUSED)
		return verify_refuse(v, -1, -1,
			"programs reach their own sections, the context and the listed helpers only",
			"%s is not for hotreg's programs", d->text);
	if ((writes_dst(d->kind) && insn->dst_reg == BPF_REG_10) ||
		(d->kind == KIND_ATOMIC_FETCH && insn->src_reg == BPF_REG_10))
		return verify_refuse(v, -1, -1, compiler_help, "r10, the frame pointer, cannot be written");
	if (d->kind == KIND_ALU_K && (d->op == OP_LSH || d->op == OP_RSH || d->op == OP_ARSH) &&
		(insn->imm < 0 || insn->imm >= d->bits))
		return verify_refuse(v, -1, -1, "shift by less than the width of the type",
			"shift of a %u-bit number by the constant %d", d->bits, insn->imm);
	if (d->kind == KIND_ALU_K && insn->imm == 0 &&
		(d->op == OP_DIV || d->op == OP_SDIV || d->op == OP_MOD || d->op == OP_SMOD))
		return verify_refuse(
			v, -1, -1, "divide by something else than the constant 0", "division by the constant 0");
	if (d->kind == KIND_CALL_HELPER)
		return check_helper(v, insn);
	return 0;
}

/* A 64-bit immediate, both slots there, that names a map. */
static int check_map(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	const struct prog *p = v->prog;
	uint32_t offset = (uint32_t)insn[1].imm;
	const struct prog_map *map;

	if ((uint32_t)insn->imm >= p->map_count)
		return verify_refuse(v, -1, -1, compiler_help, "there is no map %d", insn->imm);
	map = &p->maps[insn->imm];
	if (d->kind == KIND_MAP) {
		if (map->role != MAP_USER)
			return verify_refuse(v, -1, -1, "use the variable itself, or declare a map in .maps",
				"%s is a section of variables, not a map to look things up in", map->name);
		if (offset != 0)
			return verify_refuse(v, -1, -1, compiler_help,
				"the second half of a reference to a map is %u, not 0", offset);
		return 0;
	}
	if (map->type == MAP_HASH)
		return verify_refuse(v, -1, -1, "look the value up with bpf_map_lookup_elem()",
			"%s is a hash map; only an array has a first element to point to", map->name);
	if (offset >= verify_map_bytes(map))
		return verify_refuse(v, -1, -1, "use the address of a variable in the section",
			"offset %u is outside %s, which has %u bytes", offset, map->name, verify_map_bytes(map));
	return 0;
}

static int check_target(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	const struct prog *p = v->prog;
	struct code_insn *c = &v->code[v->pc];
	const struct prog_func *f = &p->funcs[c->func];
	bool by_imm = d->kind == KIND_JUMP32 || d->kind == KIND_CALL_FUNC;
	int64_t to = (int64_t)v->pc + 1 + (by_imm ? insn->imm : insn->off);

	if (d->kind == KIND_CALL_FUNC) {
		for (uint32_t i = 0; i < p->func_count; i++) {
			if ((int64_t)p->funcs[i].start == to) {
				c->target = i;
				return 0;
			}
		}
		return verify_refuse(
			v, -1, -1, compiler_help, "call to instruction %lld, where no function begins", (long long)to);
	}
	if (to < (int64_t)f->start || to >= (int64_t)f->start + f->count)
		return verify_refuse(
			v, -1, -1, compiler_help, "jump to instruction %lld, outside its function", (long long)to);
	if (!v->code[to].desc)
		return verify_refuse(v, -1, -1, compiler_help, "jump into the middle of a 64-bit immediate");
	c->target = (uint32_t)to;
	return 0;
}

static bool jumps(enum insn_kind kind)
{
	return kind == KIND_JUMP || kind == KIND_JUMP32 || kind == KIND_JMP_K || kind == KIND_JMP_X;
}

/* Control goes nowhere but to a target. */
static bool ends_flow(enum insn_kind kind)
{
	return kind == KIND_JUMP || kind == KIND_JUMP32 || kind == KIND_RETURN;
}

static int check_insns(struct verifier *v)
{
	const struct prog *p = v->prog;
	int rc = 0;

	for (v->pc = 0; v->pc < p->insn_count && !rc; v->pc += v->code[v->pc].desc->slots) {
		const struct bpf_insn *insn = &p->insns[v->pc];
		const struct insn_desc *d = insn_lookup(insn);
		const struct prog_func *f = &p->funcs[v->code[v->pc].func];

		if (!d)
			return verify_refuse(v, -1, -1, compiler_help,
				"no such instruction: opcode 0x%02x, registers %u and %u, offset %d, immediate %d",
				insn->code, insn->dst_reg, insn->src_reg, insn->off, insn->imm);
		v->code[v->pc].desc = d;
		if (v->pc + d->slots > f->start + f->count)
			return verify_refuse(
				v, -1, -1, compiler_help, "the second half of a 64-bit immediate is missing");
		if (d->slots == 2 && d->kind != KIND_REFUSED && !insn_second_ok(insn + 1))
			return verify_refuse(v, -1, -1, compiler_help,
				"the second half of a 64-bit immediate has more than an immediate");
		rc = check_operands(v, d, insn);
		if (!rc && (d->kind == KIND_MAP || d->kind == KIND_MAP_ADDR))
			rc = check_map(v, d, insn);
		if (!rc && v->pc + d->slots == f->start + f->count && !ends_flow(d->kind))
			rc = verify_refuse(v, -1, -1, "end every function with a return",
				"control runs off the end of function %s", f->name);
	}
	for (v->pc = 0; v->pc < p->insn_count && !rc; v->pc += v->code[v->pc].desc->slots) {
		const struct insn_desc *d = v->code[v->pc].desc;

		if (jumps(d->kind) || d->kind == KIND_CALL_FUNC)
			rc = check_target(v, d, &p->insns[v->pc]);
	}
	return rc;
}

/* Depth of the call chains that start at function f; -1 - g if one of them comes back to function g. */
static int chain_depth(const struct verifier *v, uint32_t f, int *depth)
{
	const struct prog_func *func = &v->prog->funcs[f];
	int deepest = 0;

	if (depth[f])
		return depth[f] > 0 ? depth[f] : -1 - (int)f;
	depth[f] = -1; /* being looked at */
	for (uint32_t i = func->start; i < func->start + func->count; i++) {
		const struct code_insn *c = &v->code[i];
		int below;

		if (!c->desc || c->desc->kind != KIND_CALL_FUNC)
			continue;
		below = chain_depth(v, c->target, depth);
		if (below < 0)
			return below;
		deepest = below > deepest ? below : deepest;
	}
	return depth[f] = deepest + 1;
}

static int check_calls(struct verifier *v)
{
	int depth[PROG_MAX_FUNCS] = {0};

	for (uint32_t f = 0; f < v->prog->func_count; f++) {
		int d = chain_depth(v, f, depth);

		if (d < 0)
			return verify_refuse_whole(v, "write it as a loop",
				"function %s calls itself, directly or through others", v->prog->funcs[-1 - d].name);
		if (d > PROG_MAX_FRAMES)
			return verify_refuse_whole(v, "inline some of the functions",
				"calls nest %d deep; %u frames are allowed", d, PROG_MAX_FRAMES);
	}
	return 0;
}

/* A stock kernel refuses instructions that nothing reaches, and functions that nothing calls; so they are refused here too. */
static int check_reachable(struct verifier *v)
{
	const struct prog *p = v->prog;
	uint32_t *todo = calloc(p->insn_count + 1, sizeof(*todo));
	bool *seen = calloc(p->insn_count, sizeof(*seen));
	uint32_t count = 0;
	int rc = 0;

	if (!todo || !seen) {
		rc = verify_no_memory(v);
		goto out;
	}
	todo[count++] = 0;
	seen[0] = true;
	while (count) {
		uint32_t at = todo[--count], next[2];
		const struct code_insn *c = &v->code[at];
		unsigned ways = 0;

		if (!ends_flow(c->desc->kind))
			next[ways++] = at + c->desc->slots;
		if (jumps(c->desc->kind))
			next[ways++] = c->target;
		if (c->desc->kind == KIND_CALL_FUNC)
			next[ways++] = p->funcs[c->target].start;
		while (ways-- > 0) {
			if (!seen[next[ways]]) {
				seen[next[ways]] = true;
				todo[count++] = next[ways];
			}
		}
	}
	for (v->pc = 0; v->pc < p->insn_count && !rc; v->pc += v->code[v->pc].desc->slots) {
		if (!seen[v->pc])
			rc = verify_refuse(v, -1, -1, compiler_help, "no path leads to this instruction");
	}
out:
	free(todo);
	free(seen);
	return rc;
}

/* ---- what is needed where -------------------------------------------------------------- */

#define ALL_GRANULES (~(unsigned __int128)0)

struct needs_pass {
	const struct verifier *v;
	bool stack_escapes;			   /* r10 is used for more than direct loads and stores */
	struct state_needs result[PROG_MAX_FUNCS]; /* of r0, after any call of the function */
	bool changed;
};

static bool stack_escapes(const struct verifier *v)
{
	for (uint32_t i = 0; i < v->prog->insn_count; i++) {
		const struct bpf_insn *insn = &v->prog->insns[i];

		if (!v->code[i].desc)
			continue;
		switch (v->code[i].desc->kind) {
		case KIND_ALU_X:
		case KIND_STORE_X:
		case KIND_ATOMIC:
		case KIND_ATOMIC_CMPXCHG:
			if (insn->src_reg == BPF_REG_10)
				return true;
			break;
		case KIND_JMP_X:
		case KIND_JMP_K:
			if (insn->src_reg == BPF_REG_10 || insn->dst_reg == BPF_REG_10)
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

/* The granules of an access by r10; none when it is out of bounds, which is refused when walked. */
static unsigned __int128 granules(int off, unsigned size)
{
	unsigned __int128 g = 0;

	for (int byte = off; byte < off + (int)size; byte++) {
		if (byte >= -PROG_STACK_BYTES && byte < 0)
			g |= (unsigned __int128)1 << ((-byte - 1) / 4);
	}
	return g;
}

static void merge(struct state_needs *to, const struct state_needs *from)
{
	to->live |= from->live;
	to->exact |= from->exact;
	to->live_slots |= from->live_slots;
	to->exact_slots |= from->exact_slots;
}

static void needs_alu(struct state_needs *n, const struct insn_desc *d, const struct bpf_insn *insn)
{
	uint16_t dst = (uint16_t)(1u << insn->dst_reg), src = (uint16_t)(1u << insn->src_reg);
	bool exact = n->exact & dst;

	if (d->op == OP_MOV || d->op == OP_MOVSX) {
		n->live &= (uint16_t)~dst;
		n->exact &= (uint16_t)~dst;
	} else {
		n->live |= dst;
	}
	if (d->kind == KIND_ALU_X) {
		n->live |= src;
		n->exact |= exact ? src : 0;
	}
}

static void needs_memory(
	const struct needs_pass *pass, struct state_needs *n, const struct insn_desc *d, const struct bpf_insn *insn)
{
	uint16_t dst = (uint16_t)(1u << insn->dst_reg), src = (uint16_t)(1u << insn->src_reg);
	bool load = d->kind == KIND_LOAD || d->kind == KIND_LOAD_S;
	bool direct = (load ? insn->src_reg : insn->dst_reg) == BPF_REG_10;
	unsigned __int128 g = direct ? granules(insn->off, d->bits / 8u) : 0;
	bool exact;

	if (load) {
		exact = n->exact & dst;
		n->live = (uint16_t)((n->live & ~dst) | src);
		n->exact = (uint16_t)((n->exact & ~dst) | src);
		n->live_slots |= g;
		n->exact_slots |= exact ? g : 0;
		return;
	}
	/* A number stored elsewhere than on the stack is never seen again. */
	exact = pass->stack_escapes || (n->exact_slots & g) != 0;
	if (d->kind == KIND_STORE_K || d->kind == KIND_STORE_X) {
		if (d->bits >= 32 && insn->off % 4 == 0) {
			n->live_slots &= ~g;
			n->exact_slots &= ~g;
		}
	} else { /* atomics read the memory too */
		n->live_slots |= g;
		n->exact_slots |= g;
		exact = true;
	}
	if (d->kind == KIND_ATOMIC_CMPXCHG) {
		n->live |= 1u << BPF_REG_0;
		n->exact |= 1u << BPF_REG_0;
	}
	n->live |= dst;
	n->exact |= dst;
	if (d->kind != KIND_STORE_K) {
		n->live |= src;
		n->exact |= exact ? src : 0;
	}
}

#define CALL_CLOBBERS 0x003f /* r0 to r5 */
#define CALL_ARGS 0x003e     /* r1 to r5 */

/* From what is needed after an instruction, what is needed before it. */
static void needs_before(struct needs_pass *pass, uint32_t at, struct state_needs *n)
{
	const struct code_insn *c = &pass->v->code[at];
	const struct insn_desc *d = c->desc;
	const struct bpf_insn *insn = &pass->v->prog->insns[at];
	uint16_t dst = (uint16_t)(1u << insn->dst_reg), src = (uint16_t)(1u << insn->src_reg);

	switch (d->kind) {
	case KIND_ALU_K:
	case KIND_ALU_X:
	case KIND_ALU_1:
		needs_alu(n, d, insn);
		break;
	case KIND_JMP_X:
		n->live |= src;
		n->exact |= src;
		/* fallthrough */
	case KIND_JMP_K:
		n->live |= dst;
		n->exact |= dst;
		break;
	case KIND_CALL_FUNC: {
		const struct state_needs *entry = &pass->v->code[pass->v->prog->funcs[c->target].start].needs;

		struct state_needs *result = &pass->result[c->target];

		if ((n->live & 1) > result->live || (n->exact & 1) > result->exact) {
			result->live |= n->live & 1;
			result->exact |= n->exact & 1;
			pass->changed = true;
		}
		n->live = (uint16_t)((n->live & ~CALL_CLOBBERS) | (entry->live & CALL_ARGS));
		n->exact = (uint16_t)((n->exact & ~CALL_CLOBBERS) | (entry->exact & CALL_ARGS));
		break;
	}
	case KIND_CALL_HELPER: {
		const struct helper *h = verify_helper(insn->imm);
		uint16_t args = 0;

		for (unsigned i = 0; h && i < 5 && h->args[i] != ARG_NONE; i++)
			args |= (uint16_t)(1u << (BPF_REG_1 + i));
		n->live = (uint16_t)((n->live & ~CALL_CLOBBERS) | args);
		n->exact = (uint16_t)((n->exact & ~CALL_CLOBBERS) | args);
		break;
	}
	case KIND_RETURN:
		n->live = c->func == 0 ? 1 : pass->result[c->func].live;
		n->exact = c->func == 0 ? 1 : pass->result[c->func].exact;
		break;
	case KIND_IMM64:
	case KIND_MAP_ADDR:
	case KIND_MAP:
		n->live &= (uint16_t)~dst;
		n->exact &= (uint16_t)~dst;
		break;
	case KIND_LOAD:
	case KIND_LOAD_S:
	case KIND_STORE_K:
	case KIND_STORE_X:
	case KIND_ATOMIC:
	case KIND_ATOMIC_FETCH:
	case KIND_ATOMIC_CMPXCHG:
		needs_memory(pass, n, d, insn);
		break;
	default:
		break;
	}
	if (pass->stack_escapes)
		n->live_slots = n->exact_slots = ALL_GRANULES;
}

static void find_needs(struct verifier *v)
{
	struct needs_pass pass = {.v = v, .stack_escapes = stack_escapes(v), .changed = true};

	while (pass.changed) {
		pass.changed = false;
		for (uint32_t at = v->prog->insn_count; at-- > 0;) {
			struct code_insn *c = &v->code[at];
			struct state_needs n = {0};

			if (!c->desc)
				continue;
			if (!ends_flow(c->desc->kind))
				merge(&n, &v->code[at + c->desc->slots].needs);
			if (jumps(c->desc->kind))
				merge(&n, &v->code[c->target].needs);
			needs_before(&pass, at, &n);
			/* Sets only grow, so this ends. */
			merge(&n, &c->needs);
			if (n.live != c->needs.live || n.exact != c->needs.exact ||
				n.live_slots != c->needs.live_slots || n.exact_slots != c->needs.exact_slots) {
				c->needs = n;
				pass.changed = true;
			}
		}
	}
}

/*
 * Paths meet where control comes from more than one place, so every loop has such a point, and
 * behind calls, whose paths come back together. The entry gets the first kept state.
 */
static void find_joins(struct verifier *v)
{
	const struct prog *p = v->prog;

	for (uint32_t i = 0; i < p->insn_count; i++) {
		struct code_insn *c = &v->code[i];

		if (!c->desc)
			continue;
		if (!ends_flow(c->desc->kind))
			v->code[i + c->desc->slots].ways_in++;
		if (jumps(c->desc->kind))
			v->code[c->target].ways_in++;
		if (c->desc->kind == KIND_CALL_FUNC) {
			v->code[p->funcs[c->target].start].ways_in++;
			v->code[i + 1].joins = true;
		}
	}
	for (uint32_t i = 0; i < p->insn_count; i++)
		v->code[i].joins |= v->code[i].ways_in > 1;
	v->code[0].joins = true;
}

int verify_code_check(struct verifier *v)
{
	int rc = check_shape(v);

	if (!rc)
		rc = check_insns(v);
	if (!rc)
		rc = check_calls(v);
	if (!rc)
		rc = check_reachable(v);
	if (rc)
		return rc;
	find_joins(v);
	find_needs(v);
	return 0;
}

static uint32_t chain_stack(const struct verifier *v, uint32_t f, uint32_t *total)
{
	const struct prog_func *func = &v->prog->funcs[f];
	uint32_t own = v->func_stack[f] ? v->func_stack[f] : 1, deepest = 0;

	if (total[f])
		return total[f];
	for (uint32_t i = func->start; i < func->start + func->count; i++) {
		const struct code_insn *c = &v->code[i];

		if (c->desc && c->desc->kind == KIND_CALL_FUNC) {
			uint32_t below = chain_stack(v, c->target, total);

			deepest = below > deepest ? below : deepest;
		}
	}
	return total[f] = deepest + (own + 31) / 32 * 32;
}

int verify_code_stack(struct verifier *v)
{
	uint32_t total[PROG_MAX_FUNCS] = {0};
	uint32_t deepest = chain_stack(v, 0, total);

	if (deepest <= VERIFY_STACK_TOTAL)
		return 0;
	return verify_refuse_whole(v, "use fewer or smaller local variables; a kernel allows no more",
		"the frames of a call chain take %u bytes of stack, each rounded up to 32; %u are allowed", deepest,
		VERIFY_STACK_TOTAL);
}
