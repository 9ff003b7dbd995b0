/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_plan.h: what the JIT finds out about a program before it writes code: where functions and
 * jump targets are, which registers each function saves and how deep its frame is, which values are still needed,
 * which instructions are written as one. Between jit_plan.c and jit.c.
 */
#ifndef ACCEL_JIT_PLAN_H
#define ACCEL_JIT_PLAN_H

#include "accel/insn.h"
#include "accel/prog.h"

#define HELPER_MAP_LOOKUP_ELEM 1
#define HELPER_KTIME_GET_NS 5

/* How an instruction is written together with the one after it, which then needs no code of its own. */
enum jit_pair {
	PAIR_NONE,
	PAIR_LEA_K,	/* dst = src; dst += K */
	PAIR_LEA_SUM,	/* dst = src; dst += other */
	PAIR_MUL_K,	/* dst = src; dst *= K */
	PAIR_MOVZX,	/* dst = src; dst &= 0xff or 0xffff */
	PAIR_ZERO32,	/* dst <<= 32; dst >>= 32 */
	PAIR_MOVSX,	/* dst <<= n; dst s>>= n */
	PAIR_AND_JUMP,	/* dst &= K; if dst is (not) 0; dst is wanted later */
	PAIR_TEST_JUMP, /* the same, dst is not */
	PAIR_MEM_JUMP,	/* dst = memory; if dst op K; dst is not wanted later */
};

/* What is known of one instruction slot. */
struct jit_insn {
	const struct insn_desc *desc; /* NULL: second slot */
	uint32_t target;	      /* of a jump or a local call */
	uint16_t live;		      /* bit n: the value that rn has after it may be read */
	uint8_t func;
	bool is_target;	   /* of a jump */
	bool is_long;	   /* the jump needs four bytes of distance */
	bool is_tail_long; /* the same of the condition that is written in the place of this jump: see `tail` */
	/* MAP, MAP_ADDR: no code, all uses name the map or the address; memory: that address is `address` */
	bool is_folded;
	bool is_inverted; /* the jump goes, where its condition does not hold, to where the jump behind it goes */
	bool is_done;	  /* second of a pair */
	uint8_t pair;	  /* enum jit_pair */
	uint32_t tail;	  /* of a jump: the condition up to which its target is written in its place; 0: none is */
	uint8_t map;	  /* looking up: 1 + index of the only map that it can be, 0: not known */
	uint64_t address;
};

struct jit_func {
	uint32_t start, end;
	uint16_t saved; /* bit n: rn is r6 to r9 and is written */
	bool calls;	/* other code; looking up a map is done on the spot */
	bool reads_time;
	bool is_escaping;      /* r10 is used for more than addressing directly */
	uint32_t stack_bytes;  /* of the frame below r10 that is used */
	uint32_t pushed;       /* registers */
	uint32_t frame_offset; /* r10 - rsp */
	uint32_t alloc_bytes;  /* what rsp is lowered by */
};

struct jit_plan {
	const struct prog *prog;
	const struct prog_env *env;
	struct jit_insn *insns; /* prog->insn_count */
	struct jit_func funcs[PROG_MAX_FUNCS];
	uint32_t func_count;
	bool has_host_clock;		/* helper 5 calls the host's clock_gettime() itself, a struct timespec at rsp */
	uint64_t text_first, text_last; /* where the code will lie, at most */
};

/* Decodes and checks, finds functions and what is live. has_host_clock: see struct jit_plan. 0, -EINVAL, -ENOMEM. */
int jit_plan_prog(struct jit_plan *plan, const struct prog *p, const struct prog_env *env, bool has_host_clock);
/* Once text_first and text_last are known: folds addresses, pairs instructions. */
void jit_plan_code(struct jit_plan *plan);
void jit_plan_free(struct jit_plan *plan);

/* Whether code anywhere in the text reaches the address relative to rip. */
bool jit_reaches(const struct jit_plan *plan, uint64_t address);
/* Of a MAP_ADDR instruction. */
uint64_t jit_map_address(const struct jit_plan *plan, uint32_t pc);

#endif
