/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn.h: what each instruction is, made from the one table insn.def (RFC 9669). Used by the
 * loader and the verifier to tell valid encodings, by the interpreter and the disassembler.
 * Internal to accel/.
 */
#ifndef ACCEL_INSN_H
#define ACCEL_INSN_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

/* One for each row: INSN_ADD64_K, INSN_MOVSX64_8, INSN_JA, ... */
enum insn_id {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) INSN_##id,
#include "accel/insn.def"
	INSN_COUNT
};

/* Which fields are operands. Fields that are not named (nor select the row) are zero. */
enum insn_kind {
	KIND_ALU_K,	     /* dst = dst op imm (sign-extended) */
	KIND_ALU_X,	     /* dst = dst op src */
	KIND_ALU_1,	     /* dst = op dst */
	KIND_JUMP,	     /* off */
	KIND_JUMP32,	     /* imm */
	KIND_JMP_K,	     /* if dst op imm (sign-extended): off */
	KIND_JMP_X,	     /* if dst op src: off */
	KIND_CALL_HELPER,    /* imm: helper number */
	KIND_CALL_FUNC,	     /* imm: slots from the next instruction to the function */
	KIND_RETURN,	     /* none */
	KIND_IMM64,	     /* dst = imm and imm of the second slot */
	KIND_MAP_ADDR,	     /* dst = address: imm map index, imm of the second slot offset */
	KIND_MAP,	     /* dst = the map itself: imm map index, imm of the second slot 0 */
	KIND_LOAD,	     /* dst = zero-extended *(src + off) */
	KIND_LOAD_S,	     /* dst = sign-extended *(src + off) */
	KIND_STORE_K,	     /* *(dst + off) = imm */
	KIND_STORE_X,	     /* *(dst + off) = src */
	KIND_ATOMIC,	     /* *(dst + off) op= src */
	KIND_ATOMIC_FETCH,   /* the same, and src = old value (zero-extended) */
	KIND_ATOMIC_CMPXCHG, /* if *(dst + off) == r0 then = src; r0 = old value (zero-extended) */
	KIND_REFUSED,	     /* exists, is not for hotreg's programs; text names it */
};

enum insn_op {
	OP_NONE,
	/* arithmetic; atomics use ADD, OR, AND, XOR too */
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_DIV,
	OP_SDIV,
	OP_OR,
	OP_AND,
	OP_LSH,
	OP_RSH,
	OP_NEG,
	OP_MOD,
	OP_SMOD,
	OP_XOR,
	OP_MOV,
	OP_MOVSX, /* from off bits */
	OP_ARSH,
	OP_LE,	  /* keep the low imm bits */
	OP_BE,	  /* swap the low imm bits, on this little-endian host */
	OP_BSWAP, /* swap the low imm bits */
	/* jumps */
	OP_JA,
	OP_JEQ,
	OP_JGT,
	OP_JGE,
	OP_JSET,
	OP_JNE,
	OP_JSGT,
	OP_JSGE,
	OP_JLT,
	OP_JLE,
	OP_JSLT,
	OP_JSLE,
	OP_CALL,
	OP_EXIT,
	/* atomics only */
	OP_XCHG,
	OP_CMPXCHG,
};

struct insn_desc {
	enum insn_id id;
	enum insn_kind kind;
	enum insn_op op;
	uint8_t opcode;
	uint8_t bits;  /* of the operation, or of the memory access */
	uint8_t slots; /* 2 for the 64-bit immediates, else 1 */
	const char *text;
};

/*
 * The row that an instruction is, or NULL when no such encoding exists: unknown opcode, a
 * register above r10, a field that should be zero. Looks at the first slot only: for slots == 2
 * the caller checks that there is a second one and calls insn_second_ok(). Says nothing about
 * jump targets, or about writing r10. KIND_REFUSED rows are returned too.
 */
const struct insn_desc *insn_lookup(const struct bpf_insn *insn);

/* The second slot of a two-slot instruction has only an immediate. */
static inline bool insn_second_ok(const struct bpf_insn *second)
{
	return !second->code && !second->dst_reg && !second->src_reg && !second->off;
}

/* Signed division as the RFC has it: by zero 0, or the dividend as remainder; truncated; the lowest number by -1 is itself. */
static inline int32_t insn_sdiv32(int32_t d, int32_t s)
{
	return s == 0 ? 0 : s == -1 ? (int32_t)(0u - (uint32_t)d) : d / s;
}

static inline int32_t insn_smod32(int32_t d, int32_t s)
{
	return s == 0 ? d : s == -1 ? 0 : d % s;
}

static inline int64_t insn_sdiv64(int64_t d, int64_t s)
{
	return s == 0 ? 0 : s == -1 ? (int64_t)(0ull - (uint64_t)d) : d / s;
}

static inline int64_t insn_smod64(int64_t d, int64_t s)
{
	return s == 0 ? d : s == -1 ? 0 : d % s;
}

#endif
