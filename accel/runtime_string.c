// SPDX-License-Identifier: BSD-2-Clause
/*
 * runtime_string.c: a string access (`rep ins`, `rep outs`) through a program: all its elements in
 * one call, in order, up to the first that punts.
 *
 * Invariants: an element that was answered is never run again, whatever comes after it: a stateful
 * program has moved on. One that punts has changed nothing, and is the model's to do. The page is held for a bounded
 * number of elements, so that a model that wants it waits no longer than for a few programs.
 */
#include <string.h>

#include "accel/slot.h"

/* What is left of a string access. */
struct string {
	struct hr_io *io;
	uint8_t *at; /* the next element */
	uint32_t left;
};

/* memcpy() of a size that the compiler does not know is a call. */
static inline void load_element(struct hr_io *io, const uint8_t *at)
{
	uint16_t w;
	uint32_t l;

	switch (io->size) {
	case 1:
		io->value = *at;
		break;
	case 2:
		memcpy(&w, at, 2);
		io->value = w;
		break;
	case 4:
		memcpy(&l, at, 4);
		io->value = l;
		break;
	default:
		memcpy(&io->value, at, 8);
	}
}

static inline void store_element(const struct hr_io *io, uint8_t *at)
{
	const uint16_t w = (uint16_t)io->result;
	const uint32_t l = (uint32_t)io->result;

	switch (io->size) {
	case 1:
		*at = (uint8_t)io->result;
		break;
	case 2:
		memcpy(at, &w, 2);
		break;
	case 4:
		memcpy(at, &l, 4);
		break;
	default:
		memcpy(at, &io->result, 8);
	}
}

static inline void begin_element(const struct string *s)
{
	s->io->value = 0;
	s->io->result = 0;
	if (s->io->is_write)
		load_element(s->io, s->at);
}

static inline void end_element(struct string *s)
{
	if (!s->io->is_write)
		store_element(s->io, s->at);
	s->at += s->io->size;
	s->left--;
}

/*
 * Up to a batch of elements under one hold of the page: until one punts or rings. What has been answered is a
 * change, whether or not a punt comes after it, and moves the word on. False: the page could not be had.
 */
static bool run_stateful(const struct attachment *att, struct hr_page *page, struct string *s, uint64_t *verdict)
{
	const uint32_t first = s->left, end = first > att->batch ? first - att->batch : 0;
	uint32_t even;

	if (!slot_hold_page(page, &even))
		return false;
	do {
		begin_element(s);
		*verdict = engine_run(att->code, s->io);
		if (slot_is_answer(*verdict))
			end_element(s);
	} while (*verdict == HR_ANSWER && s->left > end);
	page_seq_release(page, s->left < first ? even + 2 : even);
	return true;
}

/* One element: each is an answer from a page at rest, as it would be by itself. */
static bool run_pure(
	const struct attachment *att, struct hr_page *page, struct slot_cpu *cpu, struct string *s, uint64_t *verdict)
{
	begin_element(s);
	if (!slot_run_pure(att, page, cpu, s->io, 0, verdict))
		return false;
	if (slot_is_answer(*verdict))
		end_element(s);
	return true;
}

static void run_all(struct accel_slot *slot, const struct attachment *att, struct slot_cpu *cpu, struct string *s)
{
	uint64_t verdict;

	do {
		if (!(att->is_stateful ? run_stateful(att, slot->data, s, &verdict)
				       : run_pure(att, slot->data, cpu, s, &verdict))) {
			begin_element(s); /* as the model is to get it */
			slot_count_busy(cpu);
			return;
		}
		if (verdict == HR_ANSWER_RING)
			slot_ring(slot);
	} while (slot_is_answer(verdict) && s->left > 0);
	if (slot_is_answer(verdict))
		s->io->result = hr_mask(s->io->result, s->io->size);
	else
		slot_count_punt(cpu, verdict);
}

uint32_t accel_run_string(struct accel_slot *slot, struct hr_io *io, uint32_t count, void *data)
{
	struct string s = {.io = io, .at = data, .left = count};
	const struct attachment *att;
	struct accel_hot_cpu *cpu;

	if (io->vcpu >= slot->cpu_count || count == 0 || !(0x116u >> (io->size & 15) & 1) || io->size > 8)
		return 0;
	cpu = accel_hot_cpu(slot, io->vcpu);
	att = slot_enter(slot, cpu);
	if (att) {
		run_all(slot, att, &slot->cpu[io->vcpu], &s);
		if (s.left > 0)
			io->result = 0;
	}
	slot_leave(cpu, count - s.left);
	return count - s.left;
}
