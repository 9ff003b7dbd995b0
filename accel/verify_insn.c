/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_insn.c: one instruction, executed on what is known: arithmetic on numbers and pointers,
 * both sides of a condition. Memory accesses are verify_mem.c's, calls and returns verify_call.c's.
 * Called by verifier.c's walk only.
 */
#include "accel/verifier.h"

#include <errno.h>
#include <string.h>

/* No object is so large: beyond this a pointer's offset is not tracked, so that it cannot wrap. */
#define MAX_OFFSET (INT64_C(1) << 40)

static const char init_help[] = "initialise it on every path that comes here";

/* ---- arithmetic ------------------------------------------------------------------------ */

static enum range_op range_op_of(enum insn_op op)
{
	switch (op) {
	case OP_ADD:
		return RANGE_ADD;
	case OP_SUB:
		return RANGE_SUB;
	case OP_MUL:
		return RANGE_MUL;
	case OP_DIV:
		return RANGE_DIV;
	case OP_MOD:
		return RANGE_MOD;
	case OP_SDIV:
		return RANGE_SDIV;
	case OP_SMOD:
		return RANGE_SMOD;
	case OP_AND:
		return RANGE_AND;
	case OP_OR:
		return RANGE_OR;
	case OP_XOR:
		return RANGE_XOR;
	case OP_LSH:
		return RANGE_LSH;
	case OP_RSH:
		return RANGE_RSH;
	default:
		return RANGE_ARSH;
	}
}

static int refuse_pointer_math(struct verifier *v, const struct bpf_insn *insn, bool by_reg)
{
	return verify_refuse(v, insn->dst_reg, by_reg ? insn->src_reg : -1,
		"to a pointer a number can be added, or subtracted from it, with 64 bits; nothing else",
		"arithmetic that would make a number out of a pointer");
}

static int move(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	struct frame *f = state_top(&v->now);
	struct reg *dst = &f->regs[insn->dst_reg], *src = &f->regs[insn->src_reg];

	if (d->kind == KIND_ALU_K) {
		*dst = reg_const(d->bits == 64 ? (uint64_t)(int64_t)insn->imm : (uint32_t)insn->imm);
		return 0;
	}
	if (src->kind == REG_UNINIT)
		return verify_refuse(v, insn->src_reg, -1, init_help, "r%u has no value here", insn->src_reg);
	if (reg_is_pointer(src)) {
		if (d->bits != 64 || d->op == OP_MOVSX)
			return refuse_pointer_math(v, insn, true);
		*dst = *src;
		return 0;
	}
	if (d->op == OP_MOVSX) {
		struct range wide = range_sext(RANGE_BITS, (unsigned)insn->off, &src->range);

		*dst = reg_scalar(d->bits == 64 ? wide : range_low(RANGE_BITS, &wide));
		return 0;
	}
	if (!src->link && !range_is_const(&src->range)) {
		src->link = ++v->last_link;
		src->half_link = false;
		src->delta = 0;
	}
	*dst = *src;
	if (d->bits == 32) {
		if (src->range.full.umax > UINT32_MAX)
			dst->half_link = true;
		dst->range = range_low(RANGE_BITS, &src->range);
	}
	return 0;
}

static int unary(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	struct reg *dst = &state_top(&v->now)->regs[insn->dst_reg];
	struct range zero = range_const(RANGE_BITS, 0);

	if (dst->kind == REG_UNINIT)
		return verify_refuse(v, insn->dst_reg, -1, init_help, "r%u has no value here", insn->dst_reg);
	if (reg_is_pointer(dst))
		return refuse_pointer_math(v, insn, false);
	if (d->op == OP_NEG)
		*dst = reg_scalar(range_alu(RANGE_BITS, d->bits == 32, RANGE_SUB, &zero, &dst->range));
	else if (d->op == OP_LE)
		*dst = reg_scalar(range_zext(RANGE_BITS, (unsigned)insn->imm, &dst->range));
	else
		*dst = reg_scalar(range_swap((unsigned)insn->imm / 8, &dst->range));
	return 0;
}

/* Of a map with several elements, the same one. A map itself is no place that offsets are counted from. */
static bool same_object(const struct reg *a, const struct reg *b)
{
	return a->kind == b->kind && a->index == b->index && a->link == b->link && a->kind != REG_MAP_ITSELF &&
	       a->kind != REG_MAYBE;
}

static const char null_help[] = "test it first: if (!p) return ...";

static int pointer_math(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn, struct reg *dst,
	const struct reg *src)
{
	bool add = d->op == OP_ADD, by_reg = d->kind == KIND_ALU_X;
	struct reg result;

	if (d->bits != 64 || (!add && d->op != OP_SUB))
		return refuse_pointer_math(v, insn, by_reg);
	if (reg_is_pointer(dst) && reg_is_pointer(src)) {
		if (add || !same_object(dst, src))
			return verify_refuse(v, insn->dst_reg, insn->src_reg,
				"subtract pointers into the same object only", "arithmetic on two pointers");
		*dst = reg_scalar(range_alu(RANGE_BITS, false, RANGE_SUB, &dst->range, &src->range));
		return 0;
	}
	if (!reg_is_pointer(dst) && !add)
		return refuse_pointer_math(v, insn, by_reg);
	result = reg_is_pointer(dst) ? *dst : *src;
	if (result.kind == REG_MAYBE)
		return verify_refuse(v, insn->dst_reg, by_reg ? insn->src_reg : -1, null_help,
			"arithmetic on a pointer that may be null");
	if (result.kind == REG_MAP_ITSELF)
		return verify_refuse(v, insn->dst_reg, by_reg ? insn->src_reg : -1,
			"bpf_map_lookup_elem() gives a pointer to a value", "arithmetic on a map");
	result.range = range_alu(RANGE_BITS, false, add ? RANGE_ADD : RANGE_SUB, &dst->range, &src->range);
	if (result.range.full.smin < -MAX_OFFSET || result.range.full.smax > MAX_OFFSET)
		return verify_refuse(v, insn->dst_reg, by_reg ? insn->src_reg : -1,
			"test or mask the index before it is used",
			"a pointer is moved by a number without useful bounds");
	*dst = result;
	return 0;
}

/* After dst += a constant, or -=, it is still known by how much it differs from its copies. */
static bool shift_link(struct reg *dst, const struct insn_desc *d, const struct reg *src)
{
	uint64_t by = src->range.full.umin;

	if ((d->op != OP_ADD && d->op != OP_SUB) || !range_is_const(&src->range) || !dst->link)
		return false;
	dst->delta += d->op == OP_ADD ? by : 0 - by;
	dst->half_link |= d->bits == 32;
	return true;
}

static int binary(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	struct frame *f = state_top(&v->now);
	struct reg *dst = &f->regs[insn->dst_reg];
	struct reg src = reg_const((uint64_t)(int64_t)insn->imm);
	struct range result;

	if (d->kind == KIND_ALU_X)
		src = f->regs[insn->src_reg];
	if (dst->kind == REG_UNINIT)
		return verify_refuse(v, insn->dst_reg, -1, init_help, "r%u has no value here", insn->dst_reg);
	if (src.kind == REG_UNINIT)
		return verify_refuse(v, insn->src_reg, -1, init_help, "r%u has no value here", insn->src_reg);
	if (reg_is_pointer(dst) || reg_is_pointer(&src))
		return pointer_math(v, d, insn, dst, &src);
	if (d->kind == KIND_ALU_X && insn->dst_reg == insn->src_reg && (d->op == OP_SUB || d->op == OP_XOR)) {
		*dst = reg_const(0);
		return 0;
	}
	result = range_alu(RANGE_BITS, d->bits == 32, range_op_of(d->op), &dst->range, &src.range);
	if (shift_link(dst, d, &src))
		dst->range = result;
	else
		*dst = reg_scalar(result);
	return 0;
}

/* ---- conditions ------------------------------------------------------------------------ */

struct condition {
	enum range_cmp cmp;
	bool exchanged; /* the condition is src cmp dst */
};

static struct condition condition_of(enum insn_op op, bool holds)
{
	static const struct {
		enum insn_op op;
		struct condition yes, no;
	} table[] = {
		{OP_JEQ, {RANGE_EQ, false}, {RANGE_NE, false}},
		{OP_JNE, {RANGE_NE, false}, {RANGE_EQ, false}},
		{OP_JGT, {RANGE_LT, true}, {RANGE_LE, false}},
		{OP_JGE, {RANGE_LE, true}, {RANGE_LT, false}},
		{OP_JLT, {RANGE_LT, false}, {RANGE_LE, true}},
		{OP_JLE, {RANGE_LE, false}, {RANGE_LT, true}},
		{OP_JSGT, {RANGE_SLT, true}, {RANGE_SLE, false}},
		{OP_JSGE, {RANGE_SLE, true}, {RANGE_SLT, false}},
		{OP_JSLT, {RANGE_SLT, false}, {RANGE_SLE, true}},
		{OP_JSLE, {RANGE_SLE, false}, {RANGE_SLT, true}},
		{OP_JSET, {RANGE_SET, false}, {RANGE_CLEAR, false}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].op == op)
			return holds ? table[i].yes : table[i].no;
	}
	return (struct condition){RANGE_NE, false};
}

/* The operands on the runs on which a condition holds, or does not. */
struct narrowed {
	struct range a, b; /* dst and src */
	bool possible;	   /* there are such runs */
};

static struct narrowed narrow(const struct frame *f, const struct insn_desc *d, const struct bpf_insn *insn, bool holds)
{
	bool half = d->bits == 32, equal_holds;
	struct condition c = condition_of(d->op, holds);
	struct range zero = range_const(RANGE_BITS, 0);
	struct narrowed n = {.a = f->regs[insn->dst_reg].range};

	n.b = d->kind == KIND_JMP_X ? f->regs[insn->src_reg].range
				    : range_const(RANGE_BITS, (uint64_t)(int64_t)insn->imm);
	if (d->kind != KIND_JMP_X || insn->src_reg != insn->dst_reg) {
		n.possible =
			range_assume(RANGE_BITS, half, c.cmp, c.exchanged ? &n.b : &n.a, c.exchanged ? &n.a : &n.b);
		return n;
	}
	/* A number against itself: only `&` depends on it. */
	equal_holds = d->op == OP_JEQ || d->op == OP_JGE || d->op == OP_JLE || d->op == OP_JSGE || d->op == OP_JSLE;
	n.possible = d->op == OP_JSET ? range_assume(RANGE_BITS, half, holds ? RANGE_NE : RANGE_EQ, &n.a, &zero)
				      : equal_holds == holds;
	n.b = n.a;
	return n;
}

/* Tells the state, and what is linked to the operands; false: this contradicts what is known there. */
static bool apply(struct state *st, const struct insn_desc *d, const struct bpf_insn *insn, const struct narrowed *n)
{
	struct reg *dst = &state_top(st)->regs[insn->dst_reg], *src = &state_top(st)->regs[insn->src_reg];

	/* A link may connect the two: both are set before either is spread. */
	dst->range = n->a;
	if (d->kind != KIND_JMP_X)
		return state_spread(st, dst);
	src->range = n->b;
	return state_spread(st, dst) && state_spread(st, src);
}

/* 1: taken, 0: not, -1: either; or a refusal. */
#define REFUSED (-2)

static bool is_null(const struct reg *r)
{
	return r->kind == REG_SCALAR && range_is_const(&r->range) && r->range.full.umin == 0;
}

/* A lookup's result that is compared with null, or NULL if that is not what the condition does. */
static const struct reg *null_tested(const struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	const struct frame *f = state_top(&v->now);
	const struct reg *dst = &f->regs[insn->dst_reg], *src = &f->regs[insn->src_reg];
	bool by_reg = d->kind == KIND_JMP_X;

	if (d->bits != 64 || (d->op != OP_JEQ && d->op != OP_JNE))
		return NULL;
	if (dst->kind == REG_MAYBE && (by_reg ? is_null(src) : insn->imm == 0))
		return dst;
	return by_reg && src->kind == REG_MAYBE && is_null(dst) ? src : NULL;
}

/* Both sides are walked. */
static int branch_null(struct verifier *v, const struct insn_desc *d, const struct reg *maybe)
{
	uint32_t target = v->code[v->pc].target;
	struct reg which = *maybe;
	struct state other;

	if (!state_copy(&other, &v->now, &v->budget))
		return verify_no_memory(v);
	state_settle(&other, which, d->op == OP_JNE);
	state_settle(&v->now, which, d->op != OP_JNE);
	v->pc++;
	return verify_push(v, &other, target);
}

static int compare_pointers(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	static const char help[] =
		"compare pointers into the same object with each other, and what a lookup gave with null";
	struct frame *f = state_top(&v->now);
	struct reg src = d->kind == KIND_JMP_X ? f->regs[insn->src_reg] : reg_const((uint64_t)(int64_t)insn->imm);
	struct reg *dst = &f->regs[insn->dst_reg];
	bool equality = d->op == OP_JEQ || d->op == OP_JNE;
	int src_reg = d->kind == KIND_JMP_X ? insn->src_reg : -1;
	bool possible[2];
	int64_t size;

	if (d->bits == 64 && reg_is_pointer(dst) != reg_is_pointer(&src)) {
		if (equality && is_null(reg_is_pointer(dst) ? &src : dst))
			return d->op == OP_JNE;
	}
	if (d->bits != 64 || d->op == OP_JSET || !same_object(dst, &src)) {
		verify_refuse(
			v, insn->dst_reg, src_reg, help, "this comparison would tell something of a host address");
		return REFUSED;
	}
	/* Inside one object, offsets compare as addresses do; one past its end included. */
	size = dst->kind == REG_MAP ? verify_map_bytes(&v->prog->maps[dst->index]) : 0;
	if (dst->kind == REG_MAP && (dst->range.full.smin < 0 || dst->range.full.smax > size ||
					    src.range.full.smin < 0 || src.range.full.smax > size))
		return -1;
	if (dst->kind != REG_MAP && !equality)
		return -1;
	for (unsigned holds = 0; holds < 2; holds++) {
		struct condition c = condition_of(d->op, holds);
		struct range a = dst->range, b = src.range;

		possible[holds] = range_assume(RANGE_BITS, false, c.cmp, c.exchanged ? &b : &a, c.exchanged ? &a : &b);
	}
	return possible[0] && possible[1] ? -1 : possible[1];
}

static int branch_numbers(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	struct narrowed yes = narrow(state_top(&v->now), d, insn, true);
	struct narrowed no = narrow(state_top(&v->now), d, insn, false);
	uint32_t target = v->code[v->pc].target;
	struct state other;

	if (yes.possible && no.possible) {
		if (!state_copy(&other, &v->now, &v->budget))
			return verify_no_memory(v);
		yes.possible = apply(&other, d, insn, &yes);
		no.possible = apply(&v->now, d, insn, &no);
		if (yes.possible && no.possible) {
			v->pc++;
			return verify_push(v, &other, target);
		}
		if (yes.possible) {
			state_clear(&v->now, &v->budget);
			v->now = other;
		} else {
			state_clear(&other, &v->budget);
		}
	} else if (yes.possible) {
		yes.possible = apply(&v->now, d, insn, &yes);
	} else if (no.possible) {
		no.possible = apply(&v->now, d, insn, &no);
	}
	v->pc = yes.possible ? target : v->pc + 1;
	v->ended = !yes.possible && !no.possible; /* what led here was impossible */
	return 0;
}

static int branch(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	struct frame *f = state_top(&v->now);
	uint32_t target = v->code[v->pc].target;
	bool by_reg = d->kind == KIND_JMP_X;
	struct state other;

	if (f->regs[insn->dst_reg].kind == REG_UNINIT)
		return verify_refuse(v, insn->dst_reg, -1, init_help, "r%u has no value here", insn->dst_reg);
	if (by_reg && f->regs[insn->src_reg].kind == REG_UNINIT)
		return verify_refuse(v, insn->src_reg, -1, init_help, "r%u has no value here", insn->src_reg);
	if (reg_is_pointer(&f->regs[insn->dst_reg]) || (by_reg && reg_is_pointer(&f->regs[insn->src_reg]))) {
		const struct reg *maybe = null_tested(v, d, insn);
		int taken;

		if (maybe)
			return branch_null(v, d, maybe);
		taken = compare_pointers(v, d, insn);
		if (taken == REFUSED)
			return -EACCES;
		if (taken >= 0) {
			v->pc = taken ? target : v->pc + 1;
			return 0;
		}
		if (!state_copy(&other, &v->now, &v->budget))
			return verify_no_memory(v);
		v->pc++;
		return verify_push(v, &other, target);
	}
	return branch_numbers(v, d, insn);
}

/* ---- one instruction ------------------------------------------------------------------- */

static int atomic(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	struct frame *f = state_top(&v->now);
	struct reg *operand[2] = {&f->regs[insn->src_reg], d->kind == KIND_ATOMIC_CMPXCHG ? &f->regs[BPF_REG_0] : NULL};
	int rc;

	for (unsigned i = 0; i < 2; i++) {
		unsigned number = i ? BPF_REG_0 : insn->src_reg;

		if (!operand[i])
			continue;
		if (operand[i]->kind == REG_UNINIT)
			return verify_refuse(v, (int)number, insn->dst_reg, init_help, "r%u has no value here", number);
		if (operand[i]->kind != REG_SCALAR)
			return verify_refuse(v, (int)number, insn->dst_reg, "use atomics on numbers",
				"atomic operation with a host pointer as operand");
	}
	rc = verify_atomic(v, insn->dst_reg, insn->off, d->bits / 8u);
	if (rc)
		return rc;
	if (d->kind == KIND_ATOMIC_FETCH)
		*operand[0] = reg_scalar(range_between(RANGE_BITS, 0, tnum_ones(d->bits)));
	else if (d->kind == KIND_ATOMIC_CMPXCHG)
		*operand[1] = reg_scalar(range_between(RANGE_BITS, 0, tnum_ones(d->bits)));
	return 0;
}

static int plain(struct verifier *v, const struct insn_desc *d, const struct bpf_insn *insn)
{
	struct frame *f = state_top(&v->now);
	struct reg value;
	int rc;

	switch (d->kind) {
	case KIND_ALU_K:
	case KIND_ALU_X:
		return d->op == OP_MOV || d->op == OP_MOVSX ? move(v, d, insn) : binary(v, d, insn);
	case KIND_ALU_1:
		return unary(v, d, insn);
	case KIND_IMM64:
		f->regs[insn->dst_reg] = reg_const((uint32_t)insn[0].imm | (uint64_t)(uint32_t)insn[1].imm << 32);
		return 0;
	case KIND_MAP_ADDR:
		f->regs[insn->dst_reg] = reg_pointer(REG_MAP, (unsigned)insn[0].imm, (uint32_t)insn[1].imm);
		return 0;
	case KIND_MAP:
		f->regs[insn->dst_reg] = reg_pointer(REG_MAP_ITSELF, (unsigned)insn[0].imm, 0);
		return 0;
	case KIND_LOAD:
	case KIND_LOAD_S:
		rc = verify_load(v, insn->src_reg, insn->off, d->bits / 8u, d->kind == KIND_LOAD_S, &value);
		if (!rc)
			f->regs[insn->dst_reg] = value;
		return rc;
	case KIND_STORE_K:
		value = reg_const((uint64_t)(int64_t)insn->imm);
		return verify_store(v, insn->dst_reg, insn->off, d->bits / 8u, &value, -1);
	case KIND_STORE_X:
		value = f->regs[insn->src_reg];
		return verify_store(v, insn->dst_reg, insn->off, d->bits / 8u, &value, insn->src_reg);
	default:
		return atomic(v, d, insn);
	}
}

int verify_step(struct verifier *v)
{
	const struct bpf_insn *insn = &v->prog->insns[v->pc];
	const struct insn_desc *d = v->code[v->pc].desc;
	int rc;

	switch (d->kind) {
	case KIND_JUMP:
	case KIND_JUMP32:
		v->pc = v->code[v->pc].target;
		return 0;
	case KIND_JMP_K:
	case KIND_JMP_X:
		return branch(v, d, insn);
	case KIND_CALL_HELPER:
		return verify_call_helper(v, insn);
	case KIND_CALL_FUNC:
		return verify_call_function(v);
	case KIND_RETURN:
		return verify_return(v);
	default:
		rc = plain(v, d, insn);
		v->pc += d->slots;
		return rc;
	}
}
