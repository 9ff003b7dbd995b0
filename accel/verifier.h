/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verifier.h: what the parts of the verifier share: verifier.c walks the paths, verify_code.c
 * checks the shape of the code and finds what is needed where, verify_insn.c executes one
 * instruction on what is known, verify_call.c calls and returns, verify_mem.c judges one memory
 * access, verify_report.c explains.
 *
 * Functions that return int give 0, or a negative errno with the explanation written.
 */
#ifndef ACCEL_VERIFIER_H
#define ACCEL_VERIFIER_H

#include "accel/insn.h"
#include "accel/verify_state.h"

/* Limits of the verifier itself; docs/verifier.md gives the reasons. */
#define VERIFY_MAX_STEPS 1000000	   /* instructions looked at, over all paths */
#define VERIFY_MAX_BYTES (64u << 20)	   /* of states */
#define VERIFY_MAX_NS UINT64_C(1000000000) /* of this thread's CPU time */
#define VERIFY_MAX_TRIED 64		   /* explored states compared with, at one place */
#define VERIFY_STACK_TOTAL 512		   /* of all frames of a call chain, each rounded up to 32 */

/* One instruction slot. */
struct code_insn {
	const struct insn_desc *desc; /* NULL: second slot of a 64-bit immediate */
	uint32_t func;
	uint32_t target;  /* of a jump; of a local call, the function's index */
	uint32_t ways_in; /* instructions from which control comes here */
	bool joins;	  /* paths may meet here: states are kept and compared */
	struct state_needs needs;
};

/* A kept state and what came of it. */
struct node {
	struct node *next;   /* at the same instruction */
	struct node *parent; /* the kept state before it on its path */
	struct packed_state *state;
	uint64_t steps;	  /* instructions from the parent to here */
	uint64_t longest; /* instructions from here to the end, the most seen */
	uint32_t open;	  /* continuations not yet explored; 0: the verdict is in */
};

/* The other side of a branch, to be walked later. */
struct pending {
	struct state state;
	struct node *parent;
	uint64_t steps;
	uint32_t pc;
};

struct verifier {
	struct prog *prog;
	struct accel_err *err;
	uint32_t slots; /* of code and kept: the instructions, if they are a number that is allowed */
	struct code_insn *code;
	struct state_budget budget;
	uint64_t max_steps;
	uint64_t end_ns;
	uint32_t work; /* since the clock was looked at */

	/* the point of the path that is being walked */
	struct state now;
	uint32_t pc;
	struct node *parent;
	uint64_t steps; /* since parent */
	bool ended;	/* the path is over */

	struct node **kept; /* by instruction */
	struct pending *stack;
	uint32_t stack_count, stack_room;
	uint32_t last_link;

	/* verdict */
	bool stores_shared;
	bool reads_time;
	uint64_t total_steps;
	uint64_t worst_case;
	uint32_t states;
	uint32_t func_stack[PROG_MAX_FUNCS]; /* deepest stack byte touched */
};

/* verify_prog() with another limit of instructions walked, for tests. */
int verify_prog_within(struct prog *p, uint64_t max_steps, struct accel_err *err);

/* verify_code.c. Fills v->code. */
int verify_code_check(struct verifier *v);
int verify_code_stack(struct verifier *v); /* after all paths: the frames of each call chain fit */

/* verify_insn.c. One instruction at v->pc on v->now; moves v->pc, may add to v->stack. */
int verify_step(struct verifier *v);
int verify_push(struct verifier *v, struct state *other, uint32_t pc); /* verifier.c; takes *other over */

/* verify_mem.c. At v->pc; `reg` holds the address to which `off` is added. */
int verify_load(struct verifier *v, unsigned reg, int off, unsigned size, bool sign, struct reg *out);
/* `value_reg` is -1 for a constant. `op`: how the value gets there, for the message. */
int verify_store(struct verifier *v, unsigned reg, int off, unsigned size, const struct reg *value, int value_reg);
int verify_atomic(struct verifier *v, unsigned reg, int off, unsigned size);
/*
 * A helper reads `size` bytes where reg points, at any alignment: numbers, all of them initialised.
 * *out is the number that they are, where that is known; else any.
 */
int verify_read(struct verifier *v, unsigned reg, unsigned size, struct reg *out);
uint32_t verify_map_bytes(const struct prog_map *map); /* that a pointer to a value may reach */

/*
 * The helpers that a program may call, and what they take and give: the only list of them.
 * Arguments are in r1 and so on, in this order.
 */
enum helper_arg { ARG_NONE, ARG_MAP, ARG_KEY /* pointer to as many bytes as a key of the ARG_MAP has */ };
enum helper_result { GIVES_NUMBER, GIVES_MAYBE_VALUE /* of the ARG_MAP, or null */ };

struct helper {
	int32_t number;
	const char *name;
	uint8_t args[5]; /* enum helper_arg, the rest ARG_NONE */
	enum helper_result result;
	bool reads_time;
};

const struct helper *verify_helper(int32_t number); /* verify_call.c; NULL: none that a program may call */
int verify_call_helper(struct verifier *v, const struct bpf_insn *insn);
int verify_call_function(struct verifier *v);
int verify_return(struct verifier *v); /* of a function or of the program */

/*
 * verify_report.c. The instruction, what is known of registers a and b (-1: of none), the rule
 * that it breaks and what usually mends it. Returns -EACCES.
 */
int verify_refuse(struct verifier *v, int a, int b, const char *help, const char *rule, ...)
	__attribute__((format(printf, 5, 6)));
/* The same for a limit of the verifier. Returns -E2BIG. */
int verify_limit(struct verifier *v, const char *help, const char *rule, ...) __attribute__((format(printf, 3, 4)));
/* Not about one instruction. Returns -EACCES. */
int verify_refuse_whole(struct verifier *v, const char *help, const char *rule, ...)
	__attribute__((format(printf, 3, 4)));
int verify_no_memory(struct verifier *v); /* -ENOMEM, or -E2BIG if it is the budget */
/* "app.c:12" of an instruction, or "insn 12". */
void verify_place(const struct prog *p, uint32_t insn, char *buf, size_t size);

#endif
