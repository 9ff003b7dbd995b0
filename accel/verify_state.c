/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_state.c: the verifier's states: memory, stack bytes, links between numbers, and the
 * comparison on which pruning rests. See verify_state.h.
 *
 * Invariants: a slot's bytes are either all BYTE_WHOLE or none is; a half's bytes are either all
 * BYTE_HALF or none is; only BYTE_WHOLE holds pointers. slot_count covers every initialised byte.
 */
#include "accel/verify_state.h"

#include <stdlib.h>
#include <string.h>

static void *take(struct state_budget *budget, size_t size)
{
	void *p;

	if (budget->used + size > budget->limit) {
		budget->exceeded = true;
		return NULL;
	}
	p = malloc(size);
	if (p)
		budget->used += size;
	return p;
}

static void give(struct state_budget *budget, void *p, size_t size)
{
	if (p)
		budget->used -= size;
	free(p);
}

static void frame_free(struct frame *f, struct state_budget *budget)
{
	give(budget, f->slots, f->slot_count * sizeof(*f->slots));
	give(budget, f, sizeof(*f));
}

struct frame *state_top(const struct state *st)
{
	return st->frames[st->frame_count - 1];
}

bool state_push_frame(struct state *st, uint32_t func, uint32_t call_insn, struct state_budget *budget)
{
	struct frame *f;

	if (st->frame_count == PROG_MAX_FRAMES)
		return false;
	f = take(budget, sizeof(*f));
	if (!f)
		return false;
	f->func = func;
	f->call_insn = call_insn;
	f->slot_count = 0;
	f->slots = NULL;
	for (unsigned i = 0; i < BPF_REG_10; i++)
		reg_forget(&f->regs[i]);
	f->regs[BPF_REG_10] = reg_pointer(REG_STACK, st->frame_count, 0);
	st->frames[st->frame_count++] = f;
	return true;
}

void state_pop_frame(struct state *st, struct state_budget *budget)
{
	frame_free(st->frames[--st->frame_count], budget);
}

void state_clear(struct state *st, struct state_budget *budget)
{
	while (st->frame_count)
		state_pop_frame(st, budget);
}

/* Slots from here on hold nothing. */
static uint32_t used_slots(const struct frame *f)
{
	static const uint8_t nothing[8] = {BYTE_UNINIT};
	uint32_t n = f->slot_count;

	while (n > 0 && !memcmp(f->slots[n - 1].byte, nothing, 8))
		n--;
	return n;
}

bool state_copy(struct state *to, const struct state *from, struct state_budget *budget)
{
	*to = (struct state){.stored = from->stored, .stored_at = from->stored_at};
	for (uint32_t i = 0; i < from->frame_count; i++) {
		const struct frame *f = from->frames[i];
		uint32_t slots = used_slots(f);

		if (!state_push_frame(to, f->func, f->call_insn, budget) ||
			!frame_reserve(to->frames[i], slots, budget)) {
			state_clear(to, budget);
			return false;
		}
		memcpy(to->frames[i]->regs, f->regs, sizeof(f->regs));
		if (slots)
			memcpy(to->frames[i]->slots, f->slots, slots * sizeof(*f->slots));
	}
	return true;
}

bool frame_reserve(struct frame *f, uint32_t slots, struct state_budget *budget)
{
	struct slot *more;

	if (slots <= f->slot_count)
		return true;
	more = take(budget, slots * sizeof(*more));
	if (!more)
		return false;
	if (f->slot_count)
		memcpy(more, f->slots, f->slot_count * sizeof(*more));
	for (uint32_t i = f->slot_count; i < slots; i++)
		memset(more[i].byte, BYTE_UNINIT, sizeof(more[i].byte));
	give(budget, f->slots, f->slot_count * sizeof(*f->slots));
	f->slots = more;
	f->slot_count = slots;
	return true;
}

struct reg reg_scalar(struct range range)
{
	return (struct reg){.kind = REG_SCALAR, .range = range};
}

struct reg reg_const(uint64_t value)
{
	return reg_scalar(range_const(RANGE_BITS, value));
}

struct reg reg_pointer(enum reg_kind kind, unsigned index, uint64_t offset)
{
	return (struct reg){.kind = (uint8_t)kind, .index = (uint8_t)index, .range = range_const(RANGE_BITS, offset)};
}

bool reg_is_pointer(const struct reg *r)
{
	return r->kind != REG_UNINIT && r->kind != REG_SCALAR;
}

/* ---- stack bytes ----------------------------------------------------------------------- */

/* Before a part of it is overwritten: the rest of a number is just data, the rest of a pointer is nothing. */
static void slot_break(struct slot *s, unsigned byte)
{
	if (s->byte[0] == BYTE_WHOLE)
		memset(s->byte, reg_is_pointer(&s->spill[0]) ? BYTE_UNINIT : BYTE_DATA, 8);
	else if (s->byte[byte] == BYTE_HALF)
		memset(s->byte + (byte & 4), BYTE_DATA, 4);
}

void frame_write(struct frame *f, int64_t offset, unsigned size, const struct reg *value)
{
	struct slot *s = &f->slots[slot_index(offset)];
	unsigned byte = slot_byte(offset);

	if (size == 8) {
		s->spill[0] = *value;
		memset(s->byte, BYTE_WHOLE, 8);
		return;
	}
	slot_break(s, byte);
	if (size == 4) {
		struct reg *half = &s->spill[byte / 4];

		*half = *value;
		half->range = range_low(RANGE_BITS, &value->range);
		if (value->range.full.umax > UINT32_MAX)
			half->half_link = true;
	}
	memset(s->byte + byte, size == 4 ? BYTE_HALF : BYTE_DATA, size);
}

void frame_blur(struct frame *f, int64_t offset, unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		struct slot *s = &f->slots[slot_index(offset + i)];

		slot_break(s, slot_byte(offset + i));
	}
}

/* `size` bytes of a number, from its byte `skip` on. */
static struct reg reg_part(const struct reg *r, unsigned skip, unsigned size)
{
	struct range count = range_const(RANGE_BITS, 8 * skip);
	struct range moved = range_alu(RANGE_BITS, false, RANGE_RSH, &r->range, &count);

	return reg_scalar(range_zext(RANGE_BITS, 8 * size, &moved));
}

enum stack_read frame_read(const struct frame *f, int64_t offset, unsigned size, struct reg *out)
{
	uint32_t index = slot_index(offset);
	unsigned byte = slot_byte(offset);
	const struct slot *s = &f->slots[index];

	if (index >= f->slot_count)
		return STACK_READ_UNINIT;
	for (unsigned i = 0; i < size; i++) {
		if (s->byte[byte + i] == BYTE_UNINIT)
			return STACK_READ_UNINIT;
	}
	if (s->byte[0] == BYTE_WHOLE) {
		if (size == 8)
			*out = s->spill[0];
		else if (reg_is_pointer(&s->spill[0]))
			return STACK_READ_POINTER;
		else
			*out = reg_part(&s->spill[0], byte, size);
	} else if (size <= 4 && s->byte[byte] == BYTE_HALF) {
		*out = size == 4 ? s->spill[byte / 4] : reg_part(&s->spill[byte / 4], byte & 3, size);
	} else if (size == 8 && s->byte[0] == BYTE_HALF && s->byte[4] == BYTE_HALF) {
		struct range count = range_const(RANGE_BITS, 32);
		struct range high = range_alu(RANGE_BITS, false, RANGE_LSH, &s->spill[1].range, &count);

		*out = reg_scalar(range_alu(RANGE_BITS, false, RANGE_OR, &s->spill[0].range, &high));
	} else {
		*out = reg_scalar(range_between(RANGE_BITS, 0, tnum_ones(8 * size)));
	}
	return STACK_READ_OK;
}

/* ---- forgetting ------------------------------------------------------------------------ */

void frame_forget(struct frame *f, const struct state_needs *needs)
{
	for (unsigned i = 0; i < BPF_REG_10; i++) {
		struct reg *r = &f->regs[i];

		if (!(needs->live >> i & 1))
			reg_forget(r);
		else if (r->kind == REG_SCALAR && !(needs->exact >> i & 1))
			*r = reg_scalar(range_unknown(RANGE_BITS));
	}
	for (uint32_t i = 0; i < f->slot_count; i++) {
		struct slot *s = &f->slots[i];
		/* Of slot i, granule 2i + 1 is the low half and granule 2i the high one. */
		bool live[2] = {needs->live_slots >> (2 * i + 1) & 1, needs->live_slots >> (2 * i) & 1};
		bool exact[2] = {needs->exact_slots >> (2 * i + 1) & 1, needs->exact_slots >> (2 * i) & 1};

		if (s->byte[0] == BYTE_WHOLE) {
			if (!live[0] && !live[1])
				memset(s->byte, BYTE_UNINIT, 8);
			else if (s->spill[0].kind == REG_SCALAR && !exact[0] && !exact[1])
				memset(s->byte, BYTE_DATA, 8);
		} else {
			for (unsigned h = 0; h < 2; h++) {
				if (!live[h])
					memset(s->byte + 4 * h, BYTE_UNINIT, 4);
				else if (s->byte[4 * h] == BYTE_HALF && !exact[h])
					memset(s->byte + 4 * h, BYTE_DATA, 4);
			}
		}
	}
}

/* ---- links ----------------------------------------------------------------------------- */

/* A place in a state, to go through everything of one kind that has a link. */
struct holder {
	uint32_t frame, place;
};

static struct reg *next_holder(const struct state *st, struct holder *at, enum reg_kind kind)
{
	for (; at->frame < st->frame_count; at->frame++, at->place = 0) {
		struct frame *f = st->frames[at->frame];

		while (at->place < 10 + 2 * f->slot_count) {
			uint32_t place = at->place++;
			struct slot *s;

			if (place < 10) {
				if (f->regs[place].kind == kind && f->regs[place].link)
					return &f->regs[place];
				continue;
			}
			s = &f->slots[(place - 10) / 2];
			place = (place - 10) % 2;
			if ((s->byte[4 * place] == BYTE_HALF || (place == 0 && s->byte[0] == BYTE_WHOLE)) &&
				s->spill[place].kind == kind && s->spill[place].link)
				return &s->spill[place];
		}
	}
	return NULL;
}

void state_cut_links(struct state *st)
{
	struct holder at = {0};
	struct reg *r, *other;

	while ((r = next_holder(st, &at, REG_SCALAR))) {
		struct holder again = {0};
		bool alone = true;

		while (alone && (other = next_holder(st, &again, REG_SCALAR)))
			alone = other == r || other->link != r->link;
		if (alone)
			r->link = 0;
	}
}

bool state_spread(struct state *st, const struct reg *r)
{
	struct holder at = {0};
	struct reg *other;

	if (r->kind != REG_SCALAR || !r->link)
		return true;
	while ((other = next_holder(st, &at, REG_SCALAR))) {
		bool half = other->half_link || r->half_link;
		struct range difference = range_const(RANGE_BITS, other->delta - r->delta);
		struct range told;

		if (other == r || other->link != r->link)
			continue;
		told = range_alu(RANGE_BITS, half, RANGE_ADD, &r->range, &difference);
		if (!range_meet(RANGE_BITS, half, &other->range, &told))
			return false;
	}
	return true;
}

void state_settle(struct state *st, struct reg maybe, bool exists)
{
	struct holder at = {0};
	struct reg *r;

	while ((r = next_holder(st, &at, REG_MAYBE))) {
		if (r->link != maybe.link)
			continue;
		if (exists)
			r->kind = REG_MAP;
		else
			*r = reg_const(0);
	}
}

/* ---- comparison ------------------------------------------------------------------------ */

#define MAX_PAIRS 128

/* Which link of the outer state stands for which of the inner, and by how much the deltas differ. */
struct pairing {
	uint32_t count;
	struct {
		uint32_t outer, inner;
		uint64_t shift;
	} pair[MAX_PAIRS];
};

static bool link_includes(const struct reg *outer, const struct reg *inner, struct pairing *pairing)
{
	uint64_t shift = outer->delta - inner->delta;

	if (!outer->link)
		return true;
	if (!inner->link || (inner->half_link && !outer->half_link))
		return false;
	for (uint32_t i = 0; i < pairing->count; i++) {
		if (pairing->pair[i].outer == outer->link)
			return pairing->pair[i].inner == inner->link && pairing->pair[i].shift == shift;
	}
	if (pairing->count == MAX_PAIRS)
		return false;
	pairing->pair[pairing->count].outer = outer->link;
	pairing->pair[pairing->count].inner = inner->link;
	pairing->pair[pairing->count++].shift = shift;
	return true;
}

static bool reg_includes(const struct reg *outer, const struct reg *inner, struct pairing *pairing)
{
	/* What was never read on any path from the outer state on may be anything. */
	if (outer->kind == REG_UNINIT)
		return true;
	if (outer->kind != inner->kind || outer->index != inner->index)
		return false;
	if (reg_is_pointer(outer) && !outer->link != !inner->link)
		return false;
	return range_includes(&outer->range, &inner->range) && link_includes(outer, inner, pairing);
}

/* A slot's content is `byte` with the numbers or the pointer that it refers to. */
static bool slot_includes(
	const uint8_t *byte, const struct reg *const spill[2], const struct slot *inner, struct pairing *pairing)
{
	bool inner_is_pointer = inner->byte[0] == BYTE_WHOLE && reg_is_pointer(&inner->spill[0]);

	if (byte[0] == BYTE_WHOLE)
		return inner->byte[0] == BYTE_WHOLE && reg_includes(spill[0], &inner->spill[0], pairing);
	for (unsigned i = 0; i < 8; i++) {
		if (byte[i] == BYTE_UNINIT)
			continue;
		if (inner->byte[i] == BYTE_UNINIT || inner_is_pointer)
			return false;
		if (byte[i] == BYTE_HALF && inner->byte[i] != BYTE_HALF)
			return false;
	}
	for (unsigned h = 0; h < 2; h++) {
		if (byte[4 * h] == BYTE_HALF && !reg_includes(spill[h], &inner->spill[h], pairing))
			return false;
	}
	return true;
}

/* ---- packing --------------------------------------------------------------------------- */

/* What precedes the registers and slots of a frame. All parts are multiples of 8 bytes. */
struct packed_frame {
	uint32_t func, call_insn;
	uint32_t regs; /* bit map of those that follow */
	uint32_t slots;
};

/* Names of links in the order in which they turn up, and the delta of the first that did. */
struct renaming {
	uint32_t count;
	uint32_t link[MAX_PAIRS];
	uint64_t delta[MAX_PAIRS];
};

static void pack_reg(uint8_t **at, const struct reg *r, struct renaming *names)
{
	struct reg *to = (struct reg *)*at;
	uint32_t n = 0;

	*at += sizeof(*to);
	memset(to, 0, sizeof(*to)); /* its padding too: equal states are equal bytes */
	to->kind = r->kind;
	to->index = r->index;
	to->range = r->range;
	if (!r->link)
		return;
	while (n < names->count && names->link[n] != r->link)
		n++;
	if (n == MAX_PAIRS) { /* never more than this many are told apart: their bytes just differ */
		to->link = MAX_PAIRS + r->link;
		to->delta = r->delta;
	} else {
		if (n == names->count) {
			names->link[n] = r->link;
			names->delta[n] = r->delta;
			names->count++;
		}
		to->link = n + 1;
		to->delta = r->delta - names->delta[n];
	}
	to->half_link = r->half_link;
}

/* The numbers or the pointer that a slot's bytes refer to. */
static unsigned slot_spills(const uint8_t *byte)
{
	return (byte[0] == BYTE_WHOLE || byte[0] == BYTE_HALF) | (byte[4] == BYTE_HALF) << 1;
}

static size_t packed_size(const struct state *st)
{
	size_t size = sizeof(struct packed_state);

	for (uint32_t i = 0; i < st->frame_count; i++) {
		const struct frame *f = st->frames[i];
		uint32_t slots = used_slots(f);

		size += sizeof(struct packed_frame) + 8 * slots;
		for (unsigned r = 0; r < BPF_REG_10; r++)
			size += f->regs[r].kind != REG_UNINIT ? sizeof(struct reg) : 0;
		for (uint32_t s = 0; s < slots; s++)
			size += (unsigned)__builtin_popcount(slot_spills(f->slots[s].byte)) * sizeof(struct reg);
	}
	return size;
}

struct packed_state *state_pack(const struct state *st, struct state_budget *budget)
{
	size_t size = packed_size(st);
	struct packed_state *p = take(budget, size);
	struct renaming names;
	uint8_t *at;

	if (!p)
		return NULL;
	names.count = 0;
	*p = (struct packed_state){size, st->frame_count, st->stored};
	at = (uint8_t *)(p + 1);
	for (uint32_t i = 0; i < st->frame_count; i++) {
		const struct frame *f = st->frames[i];
		struct packed_frame *h = (struct packed_frame *)at;

		*h = (struct packed_frame){f->func, f->call_insn, 0, used_slots(f)};
		at += sizeof(*h);
		for (unsigned r = 0; r < BPF_REG_10; r++) {
			if (f->regs[r].kind == REG_UNINIT)
				continue;
			h->regs |= 1u << r;
			pack_reg(&at, &f->regs[r], &names);
		}
		for (uint32_t s = 0; s < h->slots; s++) {
			const struct slot *slot = &f->slots[s];
			unsigned spills = slot_spills(slot->byte);

			memcpy(at, slot->byte, 8);
			at += 8;
			for (unsigned k = 0; k < 2; k++) {
				if (spills >> k & 1)
					pack_reg(&at, &slot->spill[k], &names);
			}
		}
	}
	return p;
}

void packed_free(struct packed_state *p, struct state_budget *budget)
{
	give(budget, p, p ? p->size : 0);
}

bool packed_equal(const struct packed_state *a, const struct packed_state *b)
{
	return a->size == b->size && !memcmp(a, b, a->size);
}

bool packed_includes(const struct packed_state *outer, const struct state *inner)
{
	static const struct slot empty;
	const uint8_t *at = (const uint8_t *)(outer + 1);
	struct pairing pairing;

	pairing.count = 0;
	if (outer->frame_count != inner->frame_count || (inner->stored && !outer->stored))
		return false;
	for (uint32_t i = 0; i < inner->frame_count; i++) {
		const struct packed_frame *h = (const struct packed_frame *)at;
		const struct frame *f = inner->frames[i];

		if (h->func != f->func || h->call_insn != f->call_insn)
			return false;
		at += sizeof(*h);
		for (unsigned r = 0; r < BPF_REG_10; r++) {
			if (!(h->regs >> r & 1))
				continue;
			if (!reg_includes((const struct reg *)at, &f->regs[r], &pairing))
				return false;
			at += sizeof(struct reg);
		}
		for (uint32_t s = 0; s < h->slots; s++) {
			const uint8_t *byte = at;
			unsigned spills = slot_spills(byte);
			const struct reg *spill[2] = {NULL, NULL};

			at += 8;
			for (unsigned k = 0; k < 2; k++) {
				if (!(spills >> k & 1))
					continue;
				spill[k] = (const struct reg *)at;
				at += sizeof(struct reg);
			}
			if (!slot_includes(byte, spill, s < f->slot_count ? &f->slots[s] : &empty, &pairing))
				return false;
		}
	}
	return true;
}
