/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_plan.c: looks a program over before code is written: decodes it, finds its functions, which
 * registers and how much stack each needs, which values may still be read after each instruction, and
 * where two instructions or an address and its uses become one.
 *
 * The checks are those of interp_prepare(), and that control stays inside a function: they are no substitute for the verifier.
 */
#include "accel/jit.h"

#if JIT_AVAILABLE

#include "accel/jit_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REG(n) ((uint16_t)(1u << (n)))
#define ARGUMENTS (REG(1) | REG(2) | REG(3) | REG(4) | REG(5))
#define SAVED (REG(6) | REG(7) | REG(8) | REG(9))
#define FRAME_POINTER 10
#define RED_ZONE_BYTES 128
#define TAIL_INSNS 5 /* at most, the condition included */

/* ---- what an instruction reads and writes ---- */

static uint16_t reads(const struct bpf_insn *insn, const struct insn_desc *desc)
{
	const uint16_t dst = REG(insn->dst_reg), src = REG(insn->src_reg);

	switch (desc->kind) {
	case KIND_ALU_K:
		return desc->op == OP_MOV ? 0 : dst;
	case KIND_ALU_X:
		return desc->op == OP_MOV || desc->op == OP_MOVSX ? src : dst | src;
	case KIND_ALU_1:
	case KIND_JMP_K:
	case KIND_STORE_K:
		return dst;
	case KIND_JMP_X:
	case KIND_STORE_X:
	case KIND_ATOMIC:
	case KIND_ATOMIC_FETCH:
		return dst | src;
	case KIND_ATOMIC_CMPXCHG:
		return dst | src | REG(0);
	case KIND_LOAD:
	case KIND_LOAD_S:
		return src;
	case KIND_CALL_HELPER:
		return insn->imm == HELPER_MAP_LOOKUP_ELEM ? REG(1) | REG(2) : 0;
	case KIND_CALL_FUNC:
		return ARGUMENTS | SAVED;
	case KIND_RETURN:
		return REG(0) | SAVED;
	default:
		return 0;
	}
}

/* Registers that are a value of their own to the instruction, rather than the base of an address. */
static uint16_t reads_value(const struct bpf_insn *insn, const struct insn_desc *desc)
{
	switch (desc->kind) {
	case KIND_LOAD:
	case KIND_LOAD_S:
	case KIND_STORE_K:
		return 0;
	case KIND_STORE_X:
	case KIND_ATOMIC:
	case KIND_ATOMIC_FETCH:
		return REG(insn->src_reg);
	case KIND_ATOMIC_CMPXCHG:
		return REG(insn->src_reg) | REG(0);
	default:
		return reads(insn, desc);
	}
}

static uint16_t writes(const struct bpf_insn *insn, const struct insn_desc *desc)
{
	switch (desc->kind) {
	case KIND_ALU_K:
	case KIND_ALU_X:
	case KIND_ALU_1:
	case KIND_IMM64:
	case KIND_MAP_ADDR:
	case KIND_MAP:
	case KIND_LOAD:
	case KIND_LOAD_S:
		return REG(insn->dst_reg);
	case KIND_ATOMIC_FETCH:
		return REG(insn->src_reg);
	case KIND_ATOMIC_CMPXCHG:
		return REG(0);
	case KIND_CALL_FUNC:
	case KIND_CALL_HELPER:
		return REG(0) | ARGUMENTS; /* the latter are lost */
	default:
		return 0;
	}
}

/* ---- decoding ---- */

static bool is_memory(enum insn_kind kind)
{
	return kind == KIND_LOAD || kind == KIND_LOAD_S || kind == KIND_STORE_K || kind == KIND_STORE_X ||
	       kind == KIND_ATOMIC || kind == KIND_ATOMIC_FETCH || kind == KIND_ATOMIC_CMPXCHG;
}

static unsigned base_reg(const struct bpf_insn *insn, const struct insn_desc *desc)
{
	return desc->kind == KIND_LOAD || desc->kind == KIND_LOAD_S ? insn->src_reg : insn->dst_reg;
}

static bool is_jump(enum insn_kind kind)
{
	return kind == KIND_JUMP || kind == KIND_JUMP32 || kind == KIND_JMP_K || kind == KIND_JMP_X;
}

static bool is_condition(enum insn_kind kind)
{
	return kind == KIND_JMP_K || kind == KIND_JMP_X;
}

/* Where the instruction leads to, -1: nowhere. */
static int64_t target_of(const struct bpf_insn *insn, const struct insn_desc *desc, uint32_t pc)
{
	switch (desc->kind) {
	case KIND_JUMP:
	case KIND_JMP_K:
	case KIND_JMP_X:
		return (int64_t)pc + 1 + insn->off;
	case KIND_JUMP32:
	case KIND_CALL_FUNC:
		return (int64_t)pc + 1 + insn->imm;
	default:
		return -1;
	}
}

/* Helpers and maps. */
static int check_references(struct jit_plan *plan, const struct bpf_insn *insn, const struct insn_desc *desc)
{
	const bool is_map = insn->imm >= 0 && (uint32_t)insn->imm < plan->prog->map_count;

	switch (desc->kind) {
	case KIND_CALL_HELPER:
		if (insn->imm == HELPER_KTIME_GET_NS)
			return 0;
		for (uint32_t i = 0; i < plan->prog->map_count && insn->imm == HELPER_MAP_LOOKUP_ELEM; i++) {
			if (plan->env->array[i].base)
				return 0;
		}
		return -EINVAL;
	case KIND_MAP_ADDR:
		return is_map && plan->env->map_base[insn->imm] ? 0 : -EINVAL;
	case KIND_MAP:
		return is_map && plan->env->array[insn->imm].base && insn[1].imm == 0 ? 0 : -EINVAL;
	default:
		return 0;
	}
}

static int decode(struct jit_plan *plan)
{
	const struct prog *p = plan->prog;

	for (uint32_t pc = 0; pc < p->insn_count;) {
		const struct bpf_insn *insn = &p->insns[pc];
		const struct insn_desc *desc = insn_lookup(insn);

		if (!desc || desc->kind == KIND_REFUSED || pc + desc->slots > p->insn_count ||
			(desc->slots == 2 && !insn_second_ok(&insn[1])) || writes(insn, desc) & REG(FRAME_POINTER))
			return -EINVAL;
		if (check_references(plan, insn, desc))
			return -EINVAL;
		plan->insns[pc].desc = desc;
		pc += desc->slots;
	}
	for (uint32_t pc = 0; pc < p->insn_count; pc++) {
		const struct insn_desc *desc = plan->insns[pc].desc;
		int64_t target = desc ? target_of(&p->insns[pc], desc, pc) : -1;

		if (!desc || (!is_jump(desc->kind) && desc->kind != KIND_CALL_FUNC))
			continue;
		if (target < 0 || target >= p->insn_count || !plan->insns[target].desc)
			return -EINVAL;
		plan->insns[pc].target = (uint32_t)target;
		if (is_jump(desc->kind))
			plan->insns[target].is_target = true;
	}
	return 0;
}

/* ---- functions ---- */

static int add_func(struct jit_plan *plan, uint32_t start)
{
	uint32_t i = plan->func_count;

	for (uint32_t k = 0; k < plan->func_count; k++) {
		if (plan->funcs[k].start == start)
			return 0;
	}
	if (plan->func_count == PROG_MAX_FUNCS)
		return -EINVAL;
	for (; i > 0 && plan->funcs[i - 1].start > start; i--)
		plan->funcs[i] = plan->funcs[i - 1];
	plan->funcs[i] = (struct jit_func){.start = start};
	plan->func_count++;
	return 0;
}

static void scan_insn(struct jit_plan *plan, struct jit_func *f, uint32_t pc)
{
	const struct bpf_insn *insn = &plan->prog->insns[pc];
	const struct insn_desc *desc = plan->insns[pc].desc;

	f->saved |= writes(insn, desc) & SAVED;
	if (desc->kind == KIND_CALL_FUNC || (desc->kind == KIND_CALL_HELPER && insn->imm != HELPER_MAP_LOOKUP_ELEM))
		f->calls = true;
	if (desc->kind == KIND_CALL_HELPER && insn->imm == HELPER_KTIME_GET_NS)
		f->reads_time = true;
	if (reads_value(insn, desc) & REG(FRAME_POINTER)) {
		f->is_escaping = true;
	} else if (is_memory(desc->kind) && base_reg(insn, desc) == FRAME_POINTER) {
		if (insn->off >= 0 || insn->off < -PROG_STACK_BYTES)
			f->is_escaping = true;
		else if ((uint32_t)-insn->off > f->stack_bytes)
			f->stack_bytes = (uint32_t)-insn->off;
	}
}

/*
 * The frame: return address, saved registers, perhaps 8 bytes so that calls find rsp a multiple of
 * 16, then what lies below r10, then the time that the host's clock gave. A function that calls nothing and addresses little uses the 128 bytes below rsp
 * that nothing else touches ([AMD64 ABI] 3.2.2) and leaves rsp alone.
 */
static void lay_frame(const struct jit_plan *plan, struct jit_func *f)
{
	f->pushed = (uint32_t)__builtin_popcount(f->saved);
	if (f->is_escaping)
		f->stack_bytes = PROG_STACK_BYTES;
	f->stack_bytes = (f->stack_bytes + 7) / 8 * 8;
	if (!f->calls && f->stack_bytes <= RED_ZONE_BYTES)
		return;
	f->frame_offset = f->stack_bytes;
	if (f->reads_time && plan->has_host_clock)
		f->frame_offset += sizeof(struct timespec);
	f->alloc_bytes = f->frame_offset;
	if (f->calls && (8 + 8 * f->pushed + f->alloc_bytes) % 16)
		f->alloc_bytes += 8;
}

static int find_functions(struct jit_plan *plan)
{
	const struct prog *p = plan->prog;
	int rc = add_func(plan, 0);

	for (uint32_t pc = 0; pc < p->insn_count && !rc; pc++) {
		const struct insn_desc *desc = plan->insns[pc].desc;

		if (desc && desc->kind == KIND_CALL_FUNC)
			rc = plan->insns[pc].target == 0 ? -EINVAL : add_func(plan, plan->insns[pc].target);
	}
	if (rc)
		return rc;
	for (uint32_t i = 0; i < plan->func_count; i++) {
		struct jit_func *f = &plan->funcs[i];
		enum insn_kind last = KIND_REFUSED;

		f->end = i + 1 < plan->func_count ? f[1].start : p->insn_count;
		for (uint32_t pc = f->start; pc < f->end; pc++) {
			const struct jit_insn *in = &plan->insns[pc];

			if (!in->desc)
				continue;
			plan->insns[pc].func = (uint8_t)i;
			last = in->desc->kind;
			if (is_jump(last) && (in->target < f->start || in->target >= f->end))
				return -EINVAL;
			scan_insn(plan, f, pc);
		}
		if (last != KIND_RETURN && last != KIND_JUMP && last != KIND_JUMP32)
			return -EINVAL; /* control would run on */
		lay_frame(plan, f);
	}
	return 0;
}

/* ---- what is live ---- */

static uint16_t live_before(const struct jit_plan *plan, uint32_t pc)
{
	const struct bpf_insn *insn = &plan->prog->insns[pc];
	const struct insn_desc *desc = plan->insns[pc].desc;

	return (uint16_t)((plan->insns[pc].live & ~writes(insn, desc)) | reads(insn, desc));
}

/* Backwards until nothing changes: each round but the last adds a bit somewhere. */
static void find_live(struct jit_plan *plan)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (uint32_t pc = plan->prog->insn_count; pc-- > 0;) {
			struct jit_insn *in = &plan->insns[pc];
			uint16_t live = 0;

			if (!in->desc)
				continue;
			if (is_jump(in->desc->kind))
				live |= live_before(plan, in->target);
			if (in->desc->kind != KIND_JUMP && in->desc->kind != KIND_JUMP32 &&
				in->desc->kind != KIND_RETURN)
				live |= live_before(plan, pc + in->desc->slots);
			changed |= live != in->live;
			in->live = live;
		}
	}
}

/* ---- addresses of maps ---- */

bool jit_reaches(const struct jit_plan *plan, uint64_t address)
{
	const uint64_t near = UINT64_C(0x7f000000);

	return address + near > plan->text_last && address < plan->text_first + near;
}

uint64_t jit_map_address(const struct jit_plan *plan, uint32_t pc)
{
	const struct bpf_insn *insn = &plan->prog->insns[pc];

	return (uint64_t)(uintptr_t)plan->env->map_base[insn->imm] + (uint32_t)insn[1].imm;
}

/*
 * Follows the address from the instruction that loads it to where control may come from elsewhere, or
 * where the register gets another value. Every memory access through it on the way names the address itself;
 * and when nothing else wants the register, loading it is left out.
 */
static void fold_address(struct jit_plan *plan, uint32_t pc)
{
	const uint64_t address = jit_map_address(plan, pc);
	const uint16_t reg = REG(plan->prog->insns[pc].dst_reg);
	uint32_t first = pc + 2, at;
	bool is_needed = false;

	for (at = first; at < plan->prog->insn_count; at += plan->insns[at].desc->slots) {
		const struct bpf_insn *insn = &plan->prog->insns[at];
		struct jit_insn *in = &plan->insns[at];

		if (in->is_target || in->func != plan->insns[pc].func) {
			is_needed |= (live_before(plan, at) & reg) != 0;
			break;
		}
		if (reads_value(insn, in->desc) & reg)
			is_needed = true;
		if (is_memory(in->desc->kind) && REG(base_reg(insn, in->desc)) == reg) {
			in->is_folded = jit_reaches(plan, address + (uint64_t)insn->off);
			in->address = address + (uint64_t)(int64_t)insn->off;
			is_needed |= !in->is_folded;
		}
		if (is_jump(in->desc->kind) && live_before(plan, in->target) & reg)
			is_needed = true;
		if (writes(insn, in->desc) & reg || in->desc->kind == KIND_RETURN ||
			(is_jump(in->desc->kind) && !is_condition(in->desc->kind)))
			break;
	}
	plan->insns[pc].is_folded = !is_needed;
}

/*
 * The same for a map: straight to where it is looked up, which then has its length and place as constants. That call
 * takes all that the register had.
 */
static void fold_map(struct jit_plan *plan, uint32_t pc)
{
	const uint16_t reg = REG(plan->prog->insns[pc].dst_reg);

	for (uint32_t at = pc + 2; at < plan->prog->insn_count; at += plan->insns[at].desc->slots) {
		const struct bpf_insn *insn = &plan->prog->insns[at];
		struct jit_insn *in = &plan->insns[at];

		if (in->is_target || in->func != plan->insns[pc].func)
			return;
		if (in->desc->kind == KIND_CALL_HELPER && insn->imm == HELPER_MAP_LOOKUP_ELEM && reg == REG(1)) {
			in->map = (uint8_t)(plan->prog->insns[pc].imm + 1);
			plan->insns[pc].is_folded = true;
			return;
		}
		if ((reads(insn, in->desc) | writes(insn, in->desc)) & reg || is_jump(in->desc->kind) ||
			in->desc->kind == KIND_RETURN)
			return;
	}
}

/* ---- pairs ---- */

static bool is_signed(enum insn_op op)
{
	return op == OP_JSGT || op == OP_JSGE || op == OP_JSLT || op == OP_JSLE;
}

/* Whether memory can be compared with the constant as it lies there, zero-extension and all. */
static bool compares_in_memory(const struct insn_desc *load, const struct insn_desc *jump, int32_t imm)
{
	switch (load->bits) {
	case 8:
		return imm >= 0 && imm <= 0xff && !is_signed(jump->op);
	case 32:
		return jump->bits == 32 || (imm >= 0 && !is_signed(jump->op));
	case 64:
		return jump->bits == 64;
	default: /* a 16-bit constant stalls the decoder */
		return false;
	}
}

static unsigned pair_with_jump(const struct jit_plan *plan, uint32_t pc)
{
	const struct bpf_insn *a = &plan->prog->insns[pc], *b = a + 1;
	const struct insn_desc *da = plan->insns[pc].desc, *db = plan->insns[pc + 1].desc;
	const bool is_dead = !(plan->insns[pc + 1].live & REG(a->dst_reg));

	if (da->kind == KIND_ALU_K && da->op == OP_AND && b->imm == 0 && (db->op == OP_JEQ || db->op == OP_JNE) &&
		(da->bits == db->bits || da->bits == 32))
		return is_dead ? PAIR_TEST_JUMP : PAIR_AND_JUMP;
	if (da->kind == KIND_LOAD && is_dead && compares_in_memory(da, db, b->imm))
		return PAIR_MEM_JUMP;
	return PAIR_NONE;
}

static unsigned pair_of(const struct jit_plan *plan, uint32_t pc)
{
	const struct bpf_insn *a = &plan->prog->insns[pc], *b = a + 1;
	const struct insn_desc *da = plan->insns[pc].desc, *db = plan->insns[pc + 1].desc;

	if (a->dst_reg != b->dst_reg)
		return PAIR_NONE;
	if (db->kind == KIND_JMP_K)
		return pair_with_jump(plan, pc);
	if (da->kind == KIND_ALU_K && db->kind == KIND_ALU_K && da->op == OP_LSH && da->bits == db->bits &&
		a->imm == b->imm) {
		if (da->bits == 64 && a->imm == 32 && db->op == OP_RSH)
			return PAIR_ZERO32;
		if (db->op == OP_ARSH && (da->bits - a->imm == 32 || da->bits - a->imm == 16 || da->bits - a->imm == 8))
			return PAIR_MOVSX;
	}
	/* the low bits of the copy are all that a narrower second one looks at */
	if (da->kind != KIND_ALU_X || da->op != OP_MOV || db->bits > da->bits || a->src_reg == FRAME_POINTER)
		return PAIR_NONE;
	if (db->kind == KIND_ALU_K) {
		if (db->op == OP_ADD || (db->op == OP_SUB && b->imm != INT32_MIN))
			return PAIR_LEA_K;
		if (db->op == OP_MUL && (b->imm & (b->imm - 1)) != 0)
			return PAIR_MUL_K;
		if (db->op == OP_AND && (b->imm == 0xff || b->imm == 0xffff))
			return PAIR_MOVZX;
	}
	if (db->kind == KIND_ALU_X && db->op == OP_ADD && b->src_reg != FRAME_POINTER && b->src_reg != b->dst_reg)
		return PAIR_LEA_SUM;
	return PAIR_NONE;
}

/* "if it holds, over the jump" is one jump if it does not hold. A jump to the end is the end itself: see RETURN. */
static void join_jumps(struct jit_plan *plan, uint32_t pc)
{
	struct jit_insn *in = &plan->insns[pc], *next = in + 1;

	if (!is_condition(in->desc->kind) || in->target != pc + 2 || !next->desc || next->is_target ||
		(next->desc->kind != KIND_JUMP && next->desc->kind != KIND_JUMP32) ||
		plan->insns[next->target].desc->kind == KIND_RETURN)
		return;
	in->is_inverted = true;
	in->target = next->target;
	next->is_done = true;
}

/* What may be written twice: a few bytes that do not jump. */
static bool is_short(const struct insn_desc *desc)
{
	switch (desc->kind) {
	case KIND_ALU_K:
	case KIND_ALU_X:
		return desc->op != OP_DIV && desc->op != OP_SDIV && desc->op != OP_MOD && desc->op != OP_SMOD;
	case KIND_ALU_1:
	case KIND_LOAD:
	case KIND_STORE_X:
		return true;
	default:
		return false;
	}
}

/*
 * A jump to a few short instructions with a condition behind them, which is the end of a loop: see write_tail(). Where that
 * leads on is behind the jump, or it would be no loop.
 */
static uint32_t tail_of(const struct jit_plan *plan, uint32_t pc)
{
	const uint32_t from = plan->insns[pc].target;

	for (uint32_t at = from; at < from + TAIL_INSNS && at < plan->prog->insn_count; at++) {
		const struct jit_insn *in = &plan->insns[at];

		if (!in->desc || in->func != plan->insns[pc].func)
			return 0;
		if (is_condition(in->desc->kind))
			return from < pc || in->target < pc ? at : 0;
		if (!is_short(in->desc))
			return 0;
	}
	return 0;
}

void jit_plan_code(struct jit_plan *plan)
{
	const uint32_t count = plan->prog->insn_count;

	for (uint32_t pc = 0; pc < count; pc++) {
		const struct insn_desc *desc = plan->insns[pc].desc;

		if (desc && desc->kind == KIND_MAP_ADDR)
			fold_address(plan, pc);
		else if (desc && desc->kind == KIND_MAP)
			fold_map(plan, pc);
	}
	for (uint32_t pc = 0; pc + 1 < count; pc++) {
		if (plan->insns[pc].desc)
			join_jumps(plan, pc);
	}
	for (uint32_t pc = 0; pc + 1 < count; pc++) {
		struct jit_insn *in = &plan->insns[pc], *next = in + 1;

		if (!in->desc || in->is_done || !next->desc || next->is_target || in->func != next->func)
			continue;
		in->pair = (uint8_t)pair_of(plan, pc);
		next->is_done |= in->pair != PAIR_NONE;
	}
	for (uint32_t pc = 0; pc < count; pc++) {
		struct jit_insn *in = &plan->insns[pc];

		if (in->desc && (in->desc->kind == KIND_JUMP || in->desc->kind == KIND_JUMP32) && !in->is_done)
			in->tail = tail_of(plan, pc);
	}
}

int jit_plan_prog(struct jit_plan *plan, const struct prog *p, const struct prog_env *env, bool has_host_clock)
{
	int rc;

	memset(plan, 0, sizeof(*plan));
	if (p->insn_count == 0 || p->insn_count > PROG_MAX_INSNS || p->map_count > PROG_MAX_MAPS)
		return -EINVAL;
	plan->prog = p;
	plan->env = env;
	plan->has_host_clock = has_host_clock;
	plan->insns = calloc(p->insn_count, sizeof(*plan->insns));
	if (!plan->insns)
		return -ENOMEM;
	rc = decode(plan);
	if (!rc)
		rc = find_functions(plan);
	if (rc) {
		jit_plan_free(plan);
		return rc;
	}
	find_live(plan);
	return 0;
}

void jit_plan_free(struct jit_plan *plan)
{
	free(plan->insns);
	plan->insns = NULL;
}

#endif
