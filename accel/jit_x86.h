/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_x86.h: x86-64 machine code, one function for each form of instruction, and the register map
 * of the JIT. The encoders always take the shortest encoding that means the same; `bits` is the
 * width of an operation, 32 or 64 (a 32-bit result clears the upper half). They know nothing of
 * eBPF. Called by jit.c. Internal to accel/.
 */
#ifndef ACCEL_JIT_X86_H
#define ACCEL_JIT_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum x86_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/*
 * Where r0 to r9 live. r0 is the host's result, r1 to r5 lie in registers that a call may destroy, as eBPF has it,
 * r6 to r9 in ones that it keeps. r10 needs none: it is always at a known distance above rsp. R9 to R11 are
 * scratch; R12 and R13, which are longer to encode, are not used.
 */
#define X86_R0 RAX
#define X86_R1 RDI
#define X86_R2 RSI
#define X86_R3 RDX
#define X86_R4 RCX
#define X86_R5 R8
#define X86_R6 RBX
#define X86_R7 RBP
#define X86_R8 R14
#define X86_R9 R15
#define X86_TMP1 R11
#define X86_TMP2 R10
#define X86_TMP3 R9

/* Instructions of the processor that not every x86-64 has. */
#define X86_BMI2 0x1u /* shlx, shrx, sarx */

unsigned x86_features(void);

/*
 * Code under construction. What does not fit is counted but not stored, so that a caller may
 * look at `len` once at the end.
 */
struct x86_buf {
	uint8_t *code; /* room bytes */
	size_t len, room;
	uint64_t address; /* of the first byte when it runs */
};

/* A memory operand: [base + disp], or the absolute address `disp` when is_rip. */
struct x86_mem {
	enum x86_reg base;
	bool is_rip; /* encoded relative to rip: within 2 GiB of the code */
	int64_t disp;
};

static inline struct x86_mem x86_at(enum x86_reg base, int32_t disp)
{
	return (struct x86_mem){.base = base, .disp = disp};
}

/* The two-operand arithmetic of one opcode family; the number is the family's. */
enum x86_alu { X86_ADD = 0, X86_OR = 1, X86_AND = 4, X86_SUB = 5, X86_XOR = 6, X86_CMP = 7 };
enum x86_shift { X86_ROL = 0, X86_SHL = 4, X86_SHR = 5, X86_SAR = 7 };
enum x86_unary { X86_NOT = 2, X86_NEG = 3, X86_MUL = 4, X86_IMUL = 5, X86_DIV = 6, X86_IDIV = 7 };
enum x86_cond {
	X86_B = 0x2,
	X86_AE = 0x3,
	X86_E = 0x4,
	X86_NE = 0x5,
	X86_BE = 0x6,
	X86_A = 0x7,
	X86_L = 0xc,
	X86_GE = 0xd,
	X86_LE = 0xe,
	X86_G = 0xf,
	X86_ALWAYS = 0x10
};

void x86_bytes(struct x86_buf *b, const void *bytes, size_t len);

void x86_alu_rr(struct x86_buf *b, enum x86_alu op, unsigned bits, enum x86_reg dst, enum x86_reg src);
void x86_alu_ri(struct x86_buf *b, enum x86_alu op, unsigned bits, enum x86_reg dst, int32_t imm);
void x86_alu_rm(struct x86_buf *b, enum x86_alu op, unsigned bits, enum x86_reg dst, struct x86_mem m);
void x86_test_rr(struct x86_buf *b, unsigned bits, enum x86_reg a, enum x86_reg c);
void x86_test_ri(struct x86_buf *b, unsigned bits, enum x86_reg a, int32_t imm);
/* Memory with a constant, which is a byte for a width of 8. */
void x86_cmp_mi(struct x86_buf *b, unsigned width, struct x86_mem m, int32_t imm);
void x86_test_mi(struct x86_buf *b, unsigned width, struct x86_mem m, int32_t imm);
void x86_unary(struct x86_buf *b, enum x86_unary op, unsigned bits, enum x86_reg reg);
void x86_imul_rr(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg src);
void x86_imul_rri(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg src, int32_t imm);
void x86_imul_rmi(struct x86_buf *b, unsigned bits, enum x86_reg dst, struct x86_mem m, int32_t imm);
void x86_sign_extend_a(struct x86_buf *b, unsigned bits); /* rax into rdx:rax, or eax into edx:eax */
void x86_shift_ri(struct x86_buf *b, enum x86_shift op, unsigned bits, enum x86_reg dst, unsigned count);
void x86_shift_cl(struct x86_buf *b, enum x86_shift op, unsigned bits, enum x86_reg dst);
void x86_shift_bmi2(
	struct x86_buf *b, enum x86_shift op, unsigned bits, enum x86_reg dst, enum x86_reg src, enum x86_reg count);
void x86_bswap(struct x86_buf *b, unsigned bits, enum x86_reg dst);
void x86_lea(struct x86_buf *b, unsigned bits, enum x86_reg dst, struct x86_mem m);
/* dst = a + c */
void x86_lea_sum(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg a, enum x86_reg c);

void x86_mov_rr(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg src);
void x86_mov_ri(struct x86_buf *b, enum x86_reg dst, uint64_t imm);
/* From the low `from` bits (8, 16, 32), all 64 bits of dst written. */
void x86_movzx_rr(struct x86_buf *b, unsigned from, enum x86_reg dst, enum x86_reg src);
/* Sign-extended to `bits`. */
void x86_movsx_rr(struct x86_buf *b, unsigned bits, unsigned from, enum x86_reg dst, enum x86_reg src);
void x86_xchg_rr(struct x86_buf *b, enum x86_reg a, enum x86_reg c);

/* One access of the whole width: 8, 16, 32 or 64 bits. */
void x86_load(struct x86_buf *b, unsigned width, enum x86_reg dst, struct x86_mem m);	 /* zero-extended */
void x86_load_sx(struct x86_buf *b, unsigned width, enum x86_reg dst, struct x86_mem m); /* sign-extended to 64 */
void x86_store(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg src);
void x86_store_imm(struct x86_buf *b, unsigned width, struct x86_mem m, int32_t imm);
/* Locked. */
void x86_lock_alu(struct x86_buf *b, enum x86_alu op, unsigned width, struct x86_mem m, enum x86_reg src);
void x86_lock_xadd(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg reg);
void x86_lock_cmpxchg(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg src);
void x86_xchg(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg reg);

/* Jump to the byte at offset `target` of the buffer; is_short: one byte of distance. */
void x86_jump(struct x86_buf *b, enum x86_cond cond, size_t target, bool is_short);
void x86_call(struct x86_buf *b, size_t target);
void x86_call_mem(struct x86_buf *b, struct x86_mem m);
void x86_push(struct x86_buf *b, enum x86_reg reg);
void x86_pop(struct x86_buf *b, enum x86_reg reg);
void x86_ret(struct x86_buf *b);
void x86_endbr(struct x86_buf *b);
void x86_nop(struct x86_buf *b, size_t bytes); /* in as few instructions as there are */

/* A forward jump inside one piece of code, aimed afterwards: short, at most 127 bytes. */
size_t x86_jump_ahead(struct x86_buf *b, enum x86_cond cond);
void x86_land(struct x86_buf *b, size_t jump);

#endif
