/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit.c: x86-64 code for each kind of instruction of insn.def (arithmetic: jit_alu.c). The code does what the interpreter
 * does and checks nothing, since it was verified; it contains no address of the host but
 * those of maps: what it calls stands in a struct jit_data in the page in front of it.
 *
 * Written in passes: jumps begin short and become long where they have to, until none does.
 */
#include "accel/jit.h"

#if JIT_AVAILABLE

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "accel/jit_code.h"
#include "accel/jit_mem.h"

/* More than any one instruction needs, and the prologue of each function. */
#define MAX_BYTES_PER_INSN 160
#define MAX_BYTES_PER_FUNC 64

/* Goes to an instruction. */
static void take(struct jit *j, uint32_t pc)
{
	j->pc = pc;
	j->insn = &j->plan.prog->insns[pc];
	j->info = &j->plan.insns[pc];
	j->desc = j->info->desc;
}

/* ---- jumps and calls ---- */

static void jump_at(struct jit *j, enum x86_cond cond, struct jit_insn *info, uint32_t to)
{
	const size_t target = j->at[to];
	int64_t distance = (int64_t)target - (int64_t)(j->b.len + 2);
	const bool is_known = !j->is_first_pass || to <= j->written;

	if (is_known && distance != (int8_t)distance && !info->is_long) {
		info->is_long = true;
		j->is_changed = true;
	}
	x86_jump(&j->b, cond, target, !info->is_long);
}

static void jump_to(struct jit *j, enum x86_cond cond)
{
	jump_at(j, cond, j->info, j->info->target);
}

static enum x86_cond cond_of(enum insn_op op)
{
	switch (op) {
	case OP_JEQ:
		return X86_E;
	case OP_JNE:
	case OP_JSET:
		return X86_NE;
	case OP_JGT:
		return X86_A;
	case OP_JGE:
		return X86_AE;
	case OP_JLT:
		return X86_B;
	case OP_JLE:
		return X86_BE;
	case OP_JSGT:
		return X86_G;
	case OP_JSGE:
		return X86_GE;
	case OP_JSLT:
		return X86_L;
	case OP_JSLE:
		return X86_LE;
	default:
		return X86_ALWAYS;
	}
}

/*
 * Processors of some years (Intel, Skylake to Comet Lake) run a jump slowly that crosses or ends at a multiple of
 * 32 bytes, the comparison fused with it included. Such a one is written again behind a nop.
 */
#define JUMP_LINE 32

static bool crosses_line(const struct jit *j, size_t start)
{
	return start / JUMP_LINE != j->b.len / JUMP_LINE;
}

static void pad_to_line(struct jit *j, size_t start)
{
	j->b.len = start;
	x86_nop(&j->b, JUMP_LINE - start % JUMP_LINE);
}

static void compare_k(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	enum x86_reg dst = jit_value(j, j->insn->dst_reg, X86_TMP2);

	if (j->desc->op == OP_JSET)
		x86_test_ri(&j->b, bits, dst, j->insn->imm);
	else if (j->insn->imm == 0)
		x86_test_rr(&j->b, bits, dst, dst);
	else
		x86_alu_ri(&j->b, X86_CMP, bits, dst, j->insn->imm);
}

static void compare_x(struct jit *j)
{
	enum x86_reg dst = jit_value(j, j->insn->dst_reg, X86_TMP2), src = jit_value(j, j->insn->src_reg, X86_TMP3);

	if (j->desc->op == OP_JSET)
		x86_test_rr(&j->b, j->desc->bits, dst, src);
	else
		x86_alu_rr(&j->b, X86_CMP, j->desc->bits, dst, src);
}

static int compare_and_jump(struct jit *j, void (*compare)(struct jit *j))
{
	const enum x86_cond holds = cond_of(j->desc->op);
	/* the opposite of a condition differs in the lowest bit */
	const enum x86_cond cond = j->info->is_inverted ? (enum x86_cond)(holds ^ 1) : holds;
	const size_t start = j->b.len;

	compare(j);
	jump_to(j, cond);
	if (crosses_line(j, start)) {
		pad_to_line(j, start);
		compare(j);
		jump_to(j, cond);
	}
	return 0;
}

static int jit_write_JMP_K(struct jit *j)
{
	return compare_and_jump(j, compare_k);
}

static int jit_write_JMP_X(struct jit *j)
{
	return compare_and_jump(j, compare_x);
}

static void go_to(struct jit *j, struct jit_insn *info, uint32_t to)
{
	const size_t start = j->b.len;

	jump_at(j, X86_ALWAYS, info, to);
	if (crosses_line(j, start)) {
		pad_to_line(j, start);
		jump_at(j, X86_ALWAYS, info, to);
	}
}

static int write_insn(struct jit *j);

static void prologue(struct jit *j, const struct jit_func *f)
{
	struct x86_buf *b = &j->b;

	if (f->start == 0)
		x86_endbr(b);
	for (unsigned r = 6; r <= 9; r++) {
		if (f->saved >> r & 1)
			x86_push(b, jit_regs[r]);
	}
	if (f->alloc_bytes)
		x86_alu_ri(b, X86_SUB, 64, RSP, (int32_t)f->alloc_bytes);
}

static int jit_write_RETURN(struct jit *j)
{
	const struct jit_func *f = j->func;
	struct x86_buf *b = &j->b;

	if (f->alloc_bytes)
		x86_alu_ri(b, X86_ADD, 64, RSP, (int32_t)f->alloc_bytes);
	for (unsigned r = 9; r >= 6; r--) {
		if (f->saved >> r & 1)
			x86_pop(b, jit_regs[r]);
	}
	x86_ret(b);
	return 0;
}

/*
 * Instead of a jump to the end of a loop, a few short instructions and a condition, those themselves: two jumps in
 * each turn become one. Where the condition does not lead, the jump does.
 */
static int write_tail(struct jit *j, uint32_t end)
{
	struct jit_insn *const jump = j->info, *const condition = &j->plan.insns[end], kept = *condition;
	const uint32_t from = jump->target, pc = j->pc;
	uint32_t next = end + 1 + condition->is_inverted;
	int rc = 0;

	if (next <= pc) { /* the next turn begins with one jump, and two are the end */
		condition->is_inverted = !condition->is_inverted;
		condition->target = next;
		next = kept.target;
	}
	condition->is_long = jump->is_tail_long;
	for (uint32_t at = from; at <= end && !rc; at += j->plan.insns[at].desc->slots) {
		take(j, at);
		if (!j->info->is_done)
			rc = write_insn(j);
	}
	jump->is_tail_long = condition->is_long;
	condition->is_long = kept.is_long;
	condition->is_inverted = kept.is_inverted;
	condition->target = kept.target;
	take(j, pc);
	if (!rc)
		go_to(j, jump, next);
	return rc;
}

static int jit_write_JUMP(struct jit *j)
{
	const uint32_t target = j->info->target;
	const struct jit_insn *to = &j->plan.insns[target];

	if (to->desc->kind == KIND_RETURN)
		return jit_write_RETURN(j);
	if (target == j->pc + 1)
		return 0;
	if (j->info->tail)
		return write_tail(j, j->info->tail);
	go_to(j, j->info, target);
	return 0;
}

static int jit_write_JUMP32(struct jit *j)
{
	return jit_write_JUMP(j);
}

/* An address of a map's. */
static void load_address(struct jit *j, enum x86_reg dst, uint64_t address)
{
	if (address > UINT32_MAX && jit_reaches(&j->plan, address))
		x86_lea(&j->b, 64, dst, (struct x86_mem){.is_rip = true, .disp = (int64_t)address});
	else
		x86_mov_ri(&j->b, dst, address);
}

/* r0 = prog_array_lookup(array, r2) */
static void look_up_known(struct jit *j, const struct prog_array *array)
{
	struct x86_buf *b = &j->b;
	size_t to_null, done;

	x86_load(b, 32, RAX, x86_at(X86_R2, 0));
	if (array->entries > INT32_MAX) {
		x86_mov_ri(b, X86_TMP1, array->entries);
		x86_alu_rr(b, X86_CMP, 32, RAX, X86_TMP1);
	} else {
		x86_alu_ri(b, X86_CMP, 32, RAX, (int32_t)array->entries);
	}
	to_null = x86_jump_ahead(b, X86_AE);
	load_address(j, X86_TMP1, (uint64_t)(uintptr_t)array->base);
	if (array->stride > INT32_MAX) {
		x86_mov_ri(b, X86_TMP2, array->stride);
		x86_imul_rr(b, 64, RAX, X86_TMP2);
	} else if (array->stride & (array->stride - 1)) {
		x86_imul_rri(b, 64, RAX, RAX, (int32_t)array->stride);
	} else {
		x86_shift_ri(b, X86_SHL, 64, RAX, (unsigned)__builtin_ctz(array->stride));
	}
	x86_alu_rr(b, X86_ADD, 64, RAX, X86_TMP1);
	done = x86_jump_ahead(b, X86_ALWAYS);
	x86_land(b, to_null);
	x86_mov_ri(b, RAX, 0);
	x86_land(b, done);
}

/* r0 = prog_array_lookup(r1, r2) */
static void look_up(struct jit *j)
{
	struct x86_buf *b = &j->b;
	size_t to_null, done;

	if (j->info->map) {
		look_up_known(j, &j->plan.env->array[j->info->map - 1]);
		return;
	}
	x86_load(b, 32, RAX, x86_at(X86_R2, 0));
	x86_alu_rm(b, X86_CMP, 32, RAX, x86_at(X86_R1, offsetof(struct prog_array, entries)));
	to_null = x86_jump_ahead(b, X86_AE);
	x86_load(b, 32, X86_TMP1, x86_at(X86_R1, offsetof(struct prog_array, stride)));
	x86_imul_rr(b, 64, RAX, X86_TMP1);
	x86_alu_rm(b, X86_ADD, 64, RAX, x86_at(X86_R1, offsetof(struct prog_array, base)));
	done = x86_jump_ahead(b, X86_ALWAYS);
	x86_land(b, to_null);
	x86_mov_ri(b, RAX, 0);
	x86_land(b, done);
}

static int jit_write_CALL_HELPER(struct jit *j)
{
	if (j->insn->imm == HELPER_MAP_LOOKUP_ELEM) {
		look_up(j);
		return 0;
	}
	if (j->plan.has_host_clock) {
		struct x86_mem sec = x86_at(RSP, offsetof(struct timespec, tv_sec));

		x86_mov_ri(&j->b, RDI, CLOCK_MONOTONIC);
		x86_mov_rr(&j->b, 64, RSI, RSP);
		x86_call_mem(&j->b, jit_data_at(j, offsetof(struct jit_data, host_clock)));
		x86_imul_rmi(&j->b, 64, RAX, sec, HR_NSEC_PER_SEC);
		x86_alu_rm(&j->b, X86_ADD, 64, RAX, x86_at(RSP, offsetof(struct timespec, tv_nsec)));
		return 0;
	}
	x86_load(&j->b, 64, RDI, jit_data_at(j, offsetof(struct jit_data, env)));
	x86_call_mem(&j->b, jit_data_at(j, offsetof(struct jit_data, time)));
	return 0;
}

static int jit_write_CALL_FUNC(struct jit *j)
{
	const struct jit_insn *to = &j->plan.insns[j->info->target];

	x86_call(&j->b, j->func_at[to->func]);
	return 0;
}

/* ---- constants and memory ---- */

static int jit_write_IMM64(struct jit *j)
{
	x86_mov_ri(&j->b, jit_dst(j), (uint32_t)j->insn[0].imm | (uint64_t)(uint32_t)j->insn[1].imm << 32);
	return 0;
}

static int jit_write_MAP_ADDR(struct jit *j)
{
	if (!j->info->is_folded)
		load_address(j, jit_dst(j), jit_map_address(&j->plan, j->pc));
	return 0;
}

/* The env is the host's, so its address stays out of the code. */
static int jit_write_MAP(struct jit *j)
{
	const size_t at = offsetof(struct prog_env, array) + (size_t)j->insn->imm * sizeof(struct prog_array);

	if (j->info->is_folded)
		return 0;
	x86_load(&j->b, 64, jit_dst(j), jit_data_at(j, offsetof(struct jit_data, env)));
	x86_alu_ri(&j->b, X86_ADD, 64, jit_dst(j), (int32_t)at);
	return 0;
}

static int jit_write_LOAD(struct jit *j)
{
	x86_load(&j->b, j->desc->bits, jit_dst(j), jit_mem_operand(j, j->insn->src_reg));
	return 0;
}

static int jit_write_LOAD_S(struct jit *j)
{
	x86_load_sx(&j->b, j->desc->bits, jit_dst(j), jit_mem_operand(j, j->insn->src_reg));
	return 0;
}

static int jit_write_STORE_K(struct jit *j)
{
	x86_store_imm(&j->b, j->desc->bits, jit_mem_operand(j, j->insn->dst_reg), j->insn->imm);
	return 0;
}

static int jit_write_STORE_X(struct jit *j)
{
	enum x86_reg src = jit_value(j, j->insn->src_reg, X86_TMP3);

	x86_store(&j->b, j->desc->bits, jit_mem_operand(j, j->insn->dst_reg), src);
	return 0;
}

static int jit_write_ATOMIC(struct jit *j)
{
	enum x86_reg src = jit_value(j, j->insn->src_reg, X86_TMP3);

	x86_lock_alu(&j->b, jit_alu_of(j->desc->op), j->desc->bits, jit_mem_operand(j, j->insn->dst_reg), src);
	return 0;
}

/* There is no instruction that gives back the old value of or, and, xor: compare and exchange until it holds. */
static void fetch_loop(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	struct x86_mem m = jit_mem_operand(j, j->insn->dst_reg);
	enum x86_reg src = jit_regs[j->insn->src_reg], operand = src == RAX ? X86_TMP1 : src;
	struct x86_buf *b = &j->b;
	size_t again;

	x86_mov_rr(b, 64, X86_TMP1, RAX);
	if (!m.is_rip && m.base == RAX)
		m.base = X86_TMP1;
	x86_load(b, bits, RAX, m);
	again = b->len;
	x86_mov_rr(b, bits, X86_TMP2, RAX);
	x86_alu_rr(b, jit_alu_of(j->desc->op), bits, X86_TMP2, operand);
	x86_lock_cmpxchg(b, bits, m, X86_TMP2);
	x86_jump(b, X86_NE, again, true);
	if (src == RAX)
		return;
	x86_mov_rr(b, bits, src, RAX);
	x86_mov_rr(b, 64, RAX, X86_TMP1);
}

static int jit_write_ATOMIC_FETCH(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	struct x86_mem m = jit_mem_operand(j, j->insn->dst_reg);

	switch (j->desc->op) {
	case OP_ADD:
		x86_lock_xadd(&j->b, bits, m, jit_regs[j->insn->src_reg]);
		return 0;
	case OP_XCHG:
		x86_xchg(&j->b, bits, m, jit_regs[j->insn->src_reg]);
		return 0;
	case OP_OR:
	case OP_AND:
	case OP_XOR:
		fetch_loop(j);
		return 0;
	default:
		return -EINVAL;
	}
}

static int jit_write_ATOMIC_CMPXCHG(struct jit *j)
{
	enum x86_reg src = jit_value(j, j->insn->src_reg, X86_TMP3);

	x86_lock_cmpxchg(&j->b, j->desc->bits, jit_mem_operand(j, j->insn->dst_reg), src);
	if (j->desc->bits == 32) /* where they were equal, eax was not written */
		x86_mov_rr(&j->b, 32, RAX, RAX);
	return 0;
}

static int jit_write_REFUSED(struct jit *j)
{
	(void)j;
	return -EINVAL;
}

/* ---- the whole ---- */

/* `load` is the instruction before the jump. */
static void compare_memory(struct jit *j)
{
	const unsigned width = j->info[-1].desc->bits;
	struct x86_mem m;

	take(j, j->pc - 1);
	m = jit_mem_operand(j, j->insn->src_reg);
	take(j, j->pc + 1);
	if (j->desc->op == OP_JSET)
		x86_test_mi(&j->b, width, m, j->insn->imm);
	else
		x86_cmp_mi(&j->b, width, m, j->insn->imm);
}

static void compare_and(struct jit *j)
{
	const struct bpf_insn *and = j->insn - 1;

	if (j->info[-1].pair == PAIR_TEST_JUMP)
		x86_test_ri(&j->b, j->info[-1].desc->bits, jit_dst(j), and->imm);
	else
		x86_alu_ri(&j->b, X86_AND, j->info[-1].desc->bits, jit_dst(j), and->imm);
}

static int write_pair(struct jit *j)
{
	const struct bpf_insn *a = j->insn, *next = a + 1;
	const unsigned bits = j->info[1].desc->bits;
	struct x86_buf *b = &j->b;
	enum x86_reg dst = jit_dst(j);

	switch ((enum jit_pair)j->info->pair) {
	case PAIR_LEA_K:
		x86_lea(b, bits, dst,
			x86_at(jit_regs[a->src_reg], j->info[1].desc->op == OP_SUB ? -next->imm : next->imm));
		return 0;
	case PAIR_LEA_SUM:
		x86_lea_sum(b, bits, dst, jit_regs[a->src_reg], jit_regs[next->src_reg]);
		return 0;
	case PAIR_MUL_K:
		x86_imul_rri(b, bits, dst, jit_regs[a->src_reg], next->imm);
		return 0;
	case PAIR_MOVZX:
		x86_movzx_rr(b, next->imm == 0xff ? 8 : 16, dst, jit_regs[a->src_reg]);
		return 0;
	case PAIR_ZERO32:
		x86_mov_rr(b, 32, dst, dst);
		return 0;
	case PAIR_MOVSX:
		x86_movsx_rr(b, bits, bits - (unsigned)a->imm, dst, dst);
		return 0;
	case PAIR_AND_JUMP:
	case PAIR_TEST_JUMP:
		take(j, j->pc + 1);
		return compare_and_jump(j, compare_and);
	case PAIR_MEM_JUMP:
		take(j, j->pc + 1);
		return compare_and_jump(j, compare_memory);
	case PAIR_NONE:
		break;
	}
	return -EINVAL;
}

/* One row of the table, one function: a kind without a case does not compile. */
static int write_insn(struct jit *j)
{
	static int (*const write[INSN_COUNT])(struct jit * j) = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) [INSN_##id] = jit_write_##kind,
#include "accel/insn.def"
	};

	return j->info->pair ? write_pair(j) : write[j->desc->id](j);
}

/* Where the next byte goes, noted under a slot or a function. */
static void note(struct jit *j, size_t *at)
{
	j->is_changed |= *at != j->b.len;
	*at = j->b.len;
}

/* Writes all with the present idea of which jumps are long and where everything lies. */
static int write_all(struct jit *j)
{
	int rc = 0;

	j->b.len = 0;
	for (uint32_t pc = 0; pc < j->plan.prog->insn_count && !rc; pc++) {
		take(j, pc);
		if (!j->desc)
			continue;
		j->func = &j->plan.funcs[j->info->func];
		if (pc == j->func->start) {
			note(j, &j->func_at[j->info->func]);
			prologue(j, j->func);
		}
		note(j, &j->at[pc]);
		j->written = pc;
		if (!j->info->is_done)
			rc = write_insn(j);
	}
	return rc;
}

/*
 * In the first pass nobody knows how far a jump goes: forward targets count as near. A pass that changed
 * nothing has used the right distances. Where everything lies follows from which jumps are long, and a jump never
 * becomes short again, so the passes come to an end.
 */
static int write_text(struct jit *j)
{
	int rc = 0;

	j->is_first_pass = true;
	do {
		j->is_changed = j->is_first_pass;
		rc = write_all(j);
		j->is_first_pass = false;
	} while (j->is_changed && !rc);
	assert(rc || j->b.len <= j->b.room);
	return rc;
}

unsigned jit_features(void)
{
	return x86_features();
}

/* Where most of the data is: the state page, if it has one. */
static uint64_t data_address(const struct prog *p, const struct prog_env *env)
{
	for (uint32_t i = 0; i < p->map_count; i++) {
		if (p->maps[i].role == MAP_STATE)
			return (uint64_t)(uintptr_t)env->map_base[i];
	}
	return 0;
}

int jit_prepare(const struct prog *p, const struct prog_env *env, unsigned features, struct engine_code *code)
{
	const struct jit_data data = {code->time, code->host_clock, env};
	struct jit j = {.features = features};
	struct jit_mem mem = {0};
	int rc = jit_plan_prog(&j.plan, p, env, code->host_clock != NULL);

	if (rc)
		return rc;
	j.b.room = (size_t)p->insn_count * MAX_BYTES_PER_INSN + j.plan.func_count * MAX_BYTES_PER_FUNC;
	rc = jit_mem_reserve(j.b.room, data_address(p, env), &mem);
	if (rc)
		goto out;
	j.b.code = malloc(j.b.room);
	j.at = calloc(p->insn_count + 1, sizeof(*j.at));
	j.func_at = calloc(j.plan.func_count, sizeof(*j.func_at));
	rc = -ENOMEM;
	if (!j.b.code || !j.at || !j.func_at)
		goto out;
	j.b.address = j.plan.text_first = (uint64_t)(uintptr_t)jit_mem_text(&mem);
	j.data = (uint64_t)(uintptr_t)jit_mem_data(&mem);
	j.plan.text_last = j.plan.text_first + j.b.room;
	jit_plan_code(&j.plan);
	rc = write_text(&j);
	if (!rc)
		rc = jit_mem_commit(&mem, &data, sizeof(data), j.b.code, j.b.len);
	if (rc)
		goto out;
	code->text = jit_mem_text(&mem);
	code->text_bytes = j.b.len;
	code->mem = mem;
	code->run = (uint64_t(*)(void *, const struct engine_code *))code->text;
out:
	if (rc)
		jit_mem_free(&mem);
	free(j.func_at);
	free(j.at);
	free(j.b.code);
	jit_plan_free(&j.plan);
	return rc;
}

void jit_free(struct engine_code *code)
{
	if (code->text)
		jit_mem_free(&code->mem);
}

#endif
