// SPDX-License-Identifier: BSD-2-Clause
/*
 * bus_check.c: check mode. Program (on copies) and model (on the real page) see one instant and
 * one access; answers and pages must agree. The guest always gets the model's answer.
 *
 * The first divergence is described on stderr, the rest are counted; the VM ends with status 4.
 */
#include "vmm/bus_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DUMP_LINE 16
#define DUMP_LINES 8

struct bus_check {
	_Atomic uint64_t divergences;
};

/* What the report needs, taken while the device stands still. */
struct finding {
	const struct range *range;
	struct hr_io io;
	uint64_t addr, now_ns;
	uint64_t program_result, model_result;
	bool answered;
	bool before_model;	  /* the program punted and yet changed its page */
	bool page_is_wrong;	  /* what the page tier shows, or would */
	long page_offset;	  /* first differing byte, or -1 */
	struct accel_field field; /* that it is in, and what both have there; no name: not known */
	uint64_t program_field, model_field;
	/* from dump_base on, dump_bytes of both pages */
	uint32_t dump_base, dump_bytes;
	uint8_t program_page[DUMP_LINE * DUMP_LINES];
	uint8_t model_page[DUMP_LINE * DUMP_LINES];
};

struct bus_check *bus_check_new(void)
{
	return calloc(1, sizeof(struct bus_check));
}

void bus_check_free(struct bus_check *check)
{
	free(check);
}

uint64_t bus_check_count(const struct bus_check *check)
{
	return atomic_load_explicit(&check->divergences, memory_order_relaxed);
}

/* Copies what both pages hold around the difference, or from the start. dev->lock held. */
static void take_state(struct finding *f)
{
	const uint8_t *program = (const uint8_t *)accel_slot_shadow_page(f->range->slot);
	const struct hr_page *page = device_page(f->range->dev);
	uint32_t around = f->page_offset > 0 ? (uint32_t)f->page_offset / DUMP_LINE * DUMP_LINE : 0;

	if (!program || !page)
		return;
	if (f->page_offset >= 0 && accel_page_field(f->range->dev->page, (uint32_t)f->page_offset, &f->field)) {
		memcpy(&f->program_field, program + f->field.offset, f->field.size);
		memcpy(&f->model_field, (const uint8_t *)page + f->field.offset, f->field.size);
	}
	f->dump_base = around > 2 * DUMP_LINE ? around - 2 * DUMP_LINE : 0;
	if (f->dump_base >= page->size)
		return;
	f->dump_bytes = page->size - f->dump_base;
	if (f->dump_bytes > sizeof(f->program_page))
		f->dump_bytes = sizeof(f->program_page);
	memcpy(f->program_page, program + f->dump_base, f->dump_bytes);
	memcpy(f->model_page, (const uint8_t *)page + f->dump_base, f->dump_bytes);
	if (f->dump_base == 0) /* the sequence word counts the model's own changes, and is no difference */
		memcpy(f->program_page, f->model_page, sizeof(page->seq));
}

static void print_line(const char *who, uint32_t offset, const uint8_t *bytes, const uint8_t *other, uint32_t count)
{
	fprintf(stderr, "hotreg:   %-7s +0x%03x ", who, offset);
	for (uint32_t i = 0; i < count; i++)
		fprintf(stderr, "%c%02x", other && bytes[i] != other[i] ? '*' : ' ', bytes[i]);
	fputc('\n', stderr);
}

/* A line for both where they agree, one for each where they do not; differing bytes carry a star. */
static void print_state(const struct finding *f)
{
	for (uint32_t at = 0; at < f->dump_bytes; at += DUMP_LINE) {
		uint32_t count = f->dump_bytes - at < DUMP_LINE ? f->dump_bytes - at : DUMP_LINE;
		const uint8_t *program = f->program_page + at, *model = f->model_page + at;

		if (memcmp(program, model, count) == 0) {
			print_line("both", f->dump_base + at, model, NULL, count);
		} else {
			print_line("program", f->dump_base + at, program, model, count);
			print_line("model", f->dump_base + at, model, program, count);
		}
	}
}

static void report(const struct finding *f)
{
	const struct hr_io *io = &f->io;

	fprintf(stderr, "hotreg: check: program and model of %s do not agree\n", f->range->name);
	fprintf(stderr, "hotreg:   access: %s %s 0x%" PRIx64 " (offset 0x%x), %u byte(s), vcpu %u, at %" PRIu64 " ns\n",
		io->is_write ? "write" : "read", f->range->bus == IO_PIO ? "pio" : "mmio", f->addr, io->offset,
		io->size, io->vcpu, f->now_ns);
	if (io->is_write)
		fprintf(stderr, "hotreg:   written: 0x%" PRIx64 "\n", io->value);
	else if (f->answered)
		fprintf(stderr, "hotreg:   program: 0x%" PRIx64 "   model: 0x%" PRIx64 "%s\n", f->program_result,
			f->model_result, f->program_result == f->model_result ? " (equal)" : "");
	if (f->page_is_wrong)
		fprintf(stderr, "hotreg:   the page tier's page shows something else\n");
	if (f->before_model)
		fprintf(stderr, "hotreg:   the program punted, yet it changed its state\n");
	if (f->page_offset >= 0)
		fprintf(stderr, "hotreg:   the state page differs first at offset 0x%lx", f->page_offset);
	if (f->page_offset >= 0 && f->field.name[0])
		fprintf(stderr, ", %s: program 0x%" PRIx64 ", model 0x%" PRIx64, f->field.name, f->program_field,
			f->model_field);
	if (f->page_offset >= 0)
		fputc('\n', stderr);
	fprintf(stderr, "hotreg:   state page, the struct hr_page head included:\n");
	print_state(f);
	fprintf(stderr, "hotreg:   the guest gets the model's answer; further divergences are only counted\n");
}

enum bus_outcome bus_check_access(struct bus_check *check, struct range *range, struct io_req *req)
{
	struct device *dev = range->dev;
	struct finding f = {.range = range, .addr = req->addr, .page_offset = -1};
	bool diverged = false, is_first = false;
	int verdict;

	pthread_mutex_lock(&dev->lock);
	f.now_ns = clock_now(dev->clock);
	if (dev->image)
		f.page_is_wrong = !dev->image_ops->check_before(dev, range, &req->io, &f.now_ns);
	dev->frozen_ns = f.now_ns;
	dev->is_frozen = true;
	verdict = accel_slot_shadow(range->slot, &req->io, f.now_ns);
	f.answered = verdict == HR_ANSWER || verdict == HR_ANSWER_RING;
	f.program_result = hr_mask(req->io.result, req->io.size);
	req->io.result = 0;
	if (!f.answered) {
		f.page_offset = accel_slot_compare(range->slot);
		diverged = f.before_model = f.page_offset >= 0;
		if (diverged)
			take_state(&f); /* before the model moves on */
	}
	range_model(range, req);
	dev->is_frozen = false;
	f.model_result = req->io.result = hr_mask(req->io.result, req->io.size);
	f.io = req->io;
	if (f.answered) {
		f.page_offset = accel_slot_compare(range->slot);
		diverged = f.page_offset >= 0 || (!req->io.is_write && f.program_result != f.model_result);
		if (diverged)
			take_state(&f);
	}
	if (dev->image && !dev->image_ops->check_after(dev, range, &req->io))
		f.page_is_wrong = true;
	if (f.page_is_wrong && !diverged)
		take_state(&f);
	diverged |= f.page_is_wrong;
	if (diverged)
		is_first = atomic_fetch_add_explicit(&check->divergences, 1, memory_order_relaxed) == 0;
	pthread_mutex_unlock(&dev->lock);
	if (is_first)
		report(&f);
	return f.answered ? BUS_ANSWERED : BUS_PUNTED;
}
