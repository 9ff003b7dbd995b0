/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_state.h: what the verifier knows at one point of one path: for each frame its registers
 * and stack bytes, and whether shared memory has been stored to. States are compared (does an
 * explored one cover this one?) and copied at branches. Plain data; verifier.c owns them.
 */
#ifndef ACCEL_VERIFY_STATE_H
#define ACCEL_VERIFY_STATE_H

#include <stddef.h>

#include "accel/prog.h"
#include "accel/range.h"

enum reg_kind {
	REG_UNINIT,
	REG_SCALAR,
	REG_CTX,	/* the request, or the raw context */
	REG_STACK,	/* the frame `index`; offsets from its r10, so negative */
	REG_MAP,	/* a value of map `index`: link says which element, 0 its first one */
	REG_MAYBE,	/* what a lookup gave: the start of a REG_MAP, or null; link as there */
	REG_MAP_ITSELF, /* map `index`, for helpers */
};

/*
 * Scalars with the same non-zero link have a constant difference, that of their deltas, modulo
 * 2^64 or, if one of the two is half_link, of the low halves modulo 2^32: what a condition
 * tells of one, it tells of all. Of pointers, only those to map values have links, by another
 * meaning: those with the same one point into the same element, or are null together.
 */
struct reg {
	uint8_t kind;
	uint8_t index;
	bool half_link;
	uint32_t link;
	uint64_t delta;
	struct range range; /* the number, or the pointer's offset */
};

enum byte_kind {
	BYTE_UNINIT,
	BYTE_DATA,  /* some number's */
	BYTE_WHOLE, /* of spill[0], which fills the slot: a number or a pointer */
	BYTE_HALF,  /* of a 4-byte number: spill[0] in the low half, spill[1] in the high one */
};

struct slot {
	uint8_t byte[8];
	struct reg spill[2];
};

#define STACK_SLOTS (PROG_STACK_BYTES / 8)

struct frame {
	struct reg regs[11];
	uint32_t func;
	uint32_t call_insn; /* in the caller; 0 for the entry */
	uint32_t slot_count;
	struct slot *slots; /* [i] is bytes -8 * (i + 1) .. -8 * i - 1 from r10 */
};

struct state {
	uint32_t frame_count;
	struct frame *frames[PROG_MAX_FRAMES];
	bool stored;	    /* to shared memory, on this path */
	uint32_t stored_at; /* the first such instruction; for messages only */
};

/* Bytes taken and allowed, over all states of one verification. */
struct state_budget {
	size_t used;
	size_t limit;
	bool exceeded; /* something has been denied because of it */
};

struct frame *state_top(const struct state *st);

/* False: out of memory or budget; *st is then as before. */
bool state_push_frame(struct state *st, uint32_t func, uint32_t call_insn, struct state_budget *budget);
void state_pop_frame(struct state *st, struct state_budget *budget);
bool state_copy(struct state *to, const struct state *from, struct state_budget *budget);
void state_clear(struct state *st, struct state_budget *budget);
bool frame_reserve(struct frame *f, uint32_t slots, struct state_budget *budget);

/* The rest of an uninitialised register means nothing. */
static inline void reg_forget(struct reg *r)
{
	r->kind = REG_UNINIT;
	r->link = 0;
}

struct reg reg_scalar(struct range range);
struct reg reg_const(uint64_t value);
struct reg reg_pointer(enum reg_kind kind, unsigned index, uint64_t offset);
bool reg_is_pointer(const struct reg *r);

/* Slot and byte in it of the stack offset -PROG_STACK_BYTES .. -1. */
static inline uint32_t slot_index(int64_t offset)
{
	return (uint32_t)(-offset - 1) / 8;
}

static inline uint32_t slot_byte(int64_t offset)
{
	return (uint32_t)(offset & 7);
}

/* `size` aligned bytes at a constant offset, within reserved slots. */
void frame_write(struct frame *f, int64_t offset, unsigned size, const struct reg *value);
/* The bytes hold numbers only afterwards, nothing is known of them; those never written stay so. */
void frame_blur(struct frame *f, int64_t offset, unsigned size);
enum stack_read { STACK_READ_OK, STACK_READ_UNINIT, STACK_READ_POINTER };
/* On STACK_READ_UNINIT, and STACK_READ_POINTER (part of a pointer), *out is not set. */
enum stack_read frame_read(const struct frame *f, int64_t offset, unsigned size, struct reg *out);

/* What is needed from a point on: others are forgotten, which is always sound, so that more states cover others. */
struct state_needs {
	uint16_t live;		      /* registers that are read */
	uint16_t exact;		      /* of them, those whose number decides something */
	unsigned __int128 live_slots; /* the same for 4-byte granules: bit g is bytes -4 * (g + 1) .. -4 * g - 1 */
	unsigned __int128 exact_slots;
};

void frame_forget(struct frame *f, const struct state_needs *needs);
/* Every copy of the lookup's result `maybe`: now it is known that the element exists, or that it does not. */
void state_settle(struct state *st, struct reg maybe, bool exists);
/* Links of numbers that connect nothing any more are cut. */
void state_cut_links(struct state *st);
/* After r was narrowed: narrows what is linked to it. False: this contradicts, the path is impossible. */
bool state_spread(struct state *st, const struct reg *r);

/*
 * A state to be kept and compared with: only what is known, and links by new names, so that states
 * that know the same are the same bytes.
 */
struct packed_state {
	size_t size; /* with what follows */
	uint32_t frame_count;
	uint32_t stored;
};

struct packed_state *state_pack(const struct state *st, struct state_budget *budget); /* NULL: no memory or budget */
void packed_free(struct packed_state *p, struct state_budget *budget);		      /* NULL is fine */
bool packed_equal(const struct packed_state *a, const struct packed_state *b);
/* Everything that can happen from `inner` on can happen from `outer` on. */
bool packed_includes(const struct packed_state *outer, const struct state *inner);

#endif
