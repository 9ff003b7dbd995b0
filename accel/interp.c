/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interp.c: the reference engine. Runs programs that verify_prog() has accepted, so it checks no
 * address. What each instruction computes stands in insn.def; this file says how operands get in
 * and results out.
 *
 * Every load and store is one relaxed atomic access of its whole width: the page is shared with
 * the model and with other vCPUs, and nothing may be torn or read twice. Code is constant after
 * interp_prepare() and may run in several threads at once.
 */
#include "accel/insn.h"
#include "accel/prog.h"

#include <errno.h>
#include <stdlib.h>

#define HELPER_MAP_LOOKUP_ELEM 1
#define HELPER_KTIME_GET_NS 5

/* One instruction, decoded: 64-bit immediates are whole, distances are absolute. */
struct op {
	uint16_t id; /* enum insn_id */
	uint8_t dst;
	uint8_t src;
	int32_t off;  /* memory: displacement; jumps and calls: index of the target */
	uint64_t imm; /* sign-extended, or the 64-bit immediate, or a host address in a map */
};

struct interp_code {
	const struct prog_env *env;
	uint32_t count;
	struct op ops[];
};

static bool has_arrays(const struct prog *p, const struct prog_env *env)
{
	for (uint32_t i = 0; i < p->map_count; i++)
		if (env->array[i].base)
			return true;
	return false;
}

/* Fills one op; `at` maps instruction slots to op indices. */
static int decode(const struct prog *p, const struct prog_env *env, uint32_t pc, const uint32_t *at, struct op *op)
{
	const struct bpf_insn *insn = &p->insns[pc];
	const struct insn_desc *desc = insn_lookup(insn);
	int64_t target = -1;

	op->id = desc->id;
	op->dst = insn->dst_reg;
	op->src = insn->src_reg;
	op->off = insn->off;
	op->imm = (uint64_t)(int64_t)insn->imm;
	switch (desc->kind) {
	case KIND_JUMP:
	case KIND_JMP_K:
	case KIND_JMP_X:
		target = (int64_t)pc + 1 + insn->off;
		break;
	case KIND_JUMP32:
	case KIND_CALL_FUNC:
		target = (int64_t)pc + 1 + insn->imm;
		break;
	case KIND_CALL_HELPER:
		if (insn->imm == HELPER_MAP_LOOKUP_ELEM)
			return has_arrays(p, env) ? 0 : -EINVAL;
		return insn->imm == HELPER_KTIME_GET_NS ? 0 : -EINVAL;
	case KIND_IMM64:
		op->imm = (uint32_t)insn->imm | (uint64_t)(uint32_t)insn[1].imm << 32;
		return 0;
	case KIND_MAP_ADDR:
		if (insn->imm < 0 || (uint32_t)insn->imm >= p->map_count || !env->map_base[insn->imm])
			return -EINVAL;
		op->imm = (uint64_t)(uintptr_t)env->map_base[insn->imm] + (uint32_t)insn[1].imm;
		return 0;
	case KIND_MAP:
		if (insn->imm < 0 || (uint32_t)insn->imm >= p->map_count || !env->array[insn->imm].base || insn[1].imm)
			return -EINVAL;
		op->imm = (uint64_t)(uintptr_t)&env->array[insn->imm];
		return 0;
	case KIND_REFUSED:
		return -EINVAL;
	default:
		return 0;
	}
	if (target < 0 || target >= p->insn_count)
		return -EINVAL;
	op->off = (int32_t)at[target];
	return 0;
}

/*
 * The checks here are no substitute for the verifier: they keep preparing itself in bounds, and
 * an unverified program gets -EINVAL more often than a crash.
 */
int interp_prepare(const struct prog *p, const struct prog_env *env, struct interp_code **out)
{
	struct interp_code *code;
	uint32_t *at;
	uint32_t n = 0;
	int rc = 0;

	if (p->insn_count == 0 || p->insn_count > PROG_MAX_INSNS || p->map_count > PROG_MAX_MAPS)
		return -EINVAL;
	code = calloc(1, sizeof(*code) + p->insn_count * sizeof(code->ops[0]));
	at = calloc(p->insn_count, sizeof(*at));
	if (!code || !at) {
		rc = -ENOMEM;
		goto out;
	}
	code->env = env;
	for (uint32_t pc = 0; pc < p->insn_count; n++) {
		const struct insn_desc *desc = insn_lookup(&p->insns[pc]);

		if (!desc || pc + desc->slots > p->insn_count) {
			rc = -EINVAL;
			goto out;
		}
		at[pc] = n;
		pc += desc->slots;
	}
	code->count = n;
	for (uint32_t pc = 0; pc < p->insn_count && !rc; pc += insn_lookup(&p->insns[pc])->slots)
		rc = decode(p, env, pc, at, &code->ops[at[pc]]);
out:
	free(at);
	if (rc)
		free(code);
	else
		*out = code;
	return rc;
}

void interp_free(struct interp_code *code)
{
	free(code);
}

/* interp_prepare() has let through no other numbers. */
static uint64_t call_helper(const struct prog_env *env, uint64_t number, uint64_t r1, uint64_t r2)
{
	if (number == HELPER_MAP_LOOKUP_ELEM)
		return (uintptr_t)prog_array_lookup(
			(const struct prog_array *)(uintptr_t)r1, (const void *)(uintptr_t)r2);
	return env->time_is_frozen ? env->frozen_ns : accel_clock_now(env->clock);
}

/* What a call saves. The frame's stack lies in the array that r10 points to. */
struct frame {
	const struct op *ret;
	uint64_t saved[4]; /* r6 to r9 */
};

#define UINT(bits) uint##bits##_t
#define INT(bits) int##bits##_t
#define PTR(bits, addr) ((UINT(bits) *)(uintptr_t)(addr))

/* Operands under the names that the table uses. */
#define OPERANDS(bits, dval, sval)                                                                                     \
	const UINT(bits) d = (UINT(bits))(dval), s = (UINT(bits))(sval);                                               \
	const INT(bits) sd = (INT(bits))d, ss = (INT(bits))s;                                                          \
	(void)sd, (void)ss, (void)s, (void)d

/* One macro for each enum insn_kind. `ip` already points to the next op. */
#define DO_ALU_K(bits, meaning)                                                                                        \
	{                                                                                                              \
		OPERANDS(bits, r[op->dst], op->imm);                                                                   \
		r[op->dst] = (UINT(bits))(meaning);                                                                    \
	}
#define DO_ALU_X(bits, meaning)                                                                                        \
	{                                                                                                              \
		OPERANDS(bits, r[op->dst], r[op->src]);                                                                \
		r[op->dst] = (UINT(bits))(meaning);                                                                    \
	}
#define DO_ALU_1(bits, meaning) DO_ALU_K(bits, meaning)
#define DO_JUMP(bits, meaning) ip = code->ops + op->off;
#define DO_JUMP32(bits, meaning) ip = code->ops + op->off;
#define DO_JMP_K(bits, meaning)                                                                                        \
	{                                                                                                              \
		OPERANDS(bits, r[op->dst], op->imm);                                                                   \
		if (meaning)                                                                                           \
			ip = code->ops + op->off;                                                                      \
	}
#define DO_JMP_X(bits, meaning)                                                                                        \
	{                                                                                                              \
		OPERANDS(bits, r[op->dst], r[op->src]);                                                                \
		if (meaning)                                                                                           \
			ip = code->ops + op->off;                                                                      \
	}
#define DO_LOAD(bits, meaning) r[op->dst] = __atomic_load_n(PTR(bits, r[op->src] + op->off), __ATOMIC_RELAXED);
#define DO_LOAD_S(bits, meaning)                                                                                       \
	r[op->dst] = (uint64_t)(int64_t)(INT(bits))__atomic_load_n(PTR(bits, r[op->src] + op->off), __ATOMIC_RELAXED);
#define DO_STORE_K(bits, meaning)                                                                                      \
	__atomic_store_n(PTR(bits, r[op->dst] + op->off), (UINT(bits))op->imm, __ATOMIC_RELAXED);
#define DO_STORE_X(bits, meaning)                                                                                      \
	__atomic_store_n(PTR(bits, r[op->dst] + op->off), (UINT(bits))r[op->src], __ATOMIC_RELAXED);
/* Atomics are sequentially consistent, as the kernel's are where they return a value. */
#define ATOMIC_RMW(bits, meaning, store_old)                                                                           \
	{                                                                                                              \
		UINT(bits) *const at = PTR(bits, r[op->dst] + op->off);                                                \
		UINT(bits) old = __atomic_load_n(at, __ATOMIC_RELAXED), new_value;                                     \
		do {                                                                                                   \
			OPERANDS(bits, old, r[op->src]);                                                               \
			new_value = (meaning);                                                                         \
		} while (                                                                                              \
			!__atomic_compare_exchange_n(at, &old, new_value, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)); \
		store_old;                                                                                             \
	}
#define DO_ATOMIC(bits, meaning) ATOMIC_RMW(bits, meaning, (void)0)
#define DO_ATOMIC_FETCH(bits, meaning) ATOMIC_RMW(bits, meaning, r[op->src] = old)
#define DO_ATOMIC_CMPXCHG(bits, meaning)                                                                               \
	{                                                                                                              \
		UINT(bits) old = (UINT(bits))r[0];                                                                     \
		__atomic_compare_exchange_n(PTR(bits, r[op->dst] + op->off), &old, (UINT(bits))r[op->src], false,      \
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                                           \
		r[0] = old;                                                                                            \
	}
#define DO_IMM64(bits, meaning) r[op->dst] = op->imm;
#define DO_MAP_ADDR(bits, meaning) r[op->dst] = op->imm;
#define DO_MAP(bits, meaning) r[op->dst] = op->imm;
#define DO_CALL_HELPER(bits, meaning) r[0] = call_helper(code->env, op->imm, r[1], r[2]);
#define DO_CALL_FUNC(bits, meaning)                                                                                    \
	{                                                                                                              \
		if (depth + 1 == PROG_MAX_FRAMES)                                                                      \
			__builtin_trap(); /* no verified program gets here */                                          \
		frames[depth] = (struct frame){ip, {r[6], r[7], r[8], r[9]}};                                          \
		depth++;                                                                                               \
		r[10] += PROG_STACK_BYTES;                                                                             \
		ip = code->ops + op->off;                                                                              \
	}
#define DO_RETURN(bits, meaning)                                                                                       \
	{                                                                                                              \
		if (depth == 0)                                                                                        \
			return r[0];                                                                                   \
		depth--;                                                                                               \
		r[10] -= PROG_STACK_BYTES;                                                                             \
		for (unsigned i = 0; i < 4; i++)                                                                       \
			r[6 + i] = frames[depth].saved[i];                                                             \
		ip = frames[depth].ret;                                                                                \
	}
#define DO_REFUSED(bits, meaning) __builtin_unreachable(); /* interp_prepare() refuses it */

uint64_t interp_run_on(const struct interp_code *code, void *ctx, uint8_t stack[INTERP_STACK_BYTES])
{
	static const void *const labels[INSN_COUNT] = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) &&do_##id,
#include "accel/insn.def"
	};
	struct frame frames[PROG_MAX_FRAMES];
	uint64_t r[11] = {0};
	unsigned depth = 0;
	const struct op *ip = code->ops, *op;

	r[1] = (uint64_t)(uintptr_t)ctx;
	r[10] = (uint64_t)(uintptr_t)stack + PROG_STACK_BYTES;
#define NEXT                                                                                                           \
	op = ip++;                                                                                                     \
	goto *labels[op->id]
	NEXT;
#define INSN(id, opcode, select, value, kind, bits, op_, text, meaning) do_##id : DO_##kind(bits, meaning) NEXT;
#include "accel/insn.def"
}

uint64_t interp_run(const struct interp_code *code, void *ctx)
{
	_Alignas(16) uint8_t stack[INTERP_STACK_BYTES];

	return interp_run_on(code, ctx, stack);
}
