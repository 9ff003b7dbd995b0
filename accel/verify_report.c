/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_report.c: refusals that a person can act on. In this order: where in the source, the
 * instruction, what is known of the registers concerned, the rule, and what usually mends it.
 * The text is cut, never overrun, if it does not fit.
 */
#include "accel/verifier.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

struct text {
	char *at;
	size_t room;
};

static void vadd(struct text *t, const char *format, va_list args)
{
	int n = vsnprintf(t->at, t->room, format, args);

	if (n < 0)
		return;
	if ((size_t)n >= t->room)
		n = (int)t->room - 1;
	t->at += n;
	t->room -= (size_t)n;
}

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vadd(t, format, args);
	va_end(args);
}

/* The last entry at or before the instruction, within its function. */
static const struct prog_line *line_of(const struct prog *p, uint32_t insn)
{
	const struct prog_line *found = NULL;

	for (uint32_t i = 0; i < p->line_count && p->lines[i].insn <= insn; i++)
		found = &p->lines[i];
	for (uint32_t f = 0; found && f < p->func_count; f++) {
		if (p->funcs[f].start <= insn && insn - p->funcs[f].start < p->funcs[f].count &&
			found->insn < p->funcs[f].start)
			return NULL;
	}
	return found;
}

void verify_place(const struct prog *p, uint32_t insn, char *buf, size_t size)
{
	const struct prog_line *l = line_of(p, insn);

	if (l)
		snprintf(buf, size, "%s:%u, insn %u", l->file, l->line, insn);
	else
		snprintf(buf, size, "insn %u", insn);
}

static void add_number(struct text *t, const struct range *r)
{
	const struct span *s = &r->full;

	if (range_is_const(r)) {
		add(t, "the number %" PRIu64, s->umin);
		if (s->umin > INT64_MAX)
			add(t, " (%" PRId64 ")", (int64_t)s->umin);
		else if (s->umin > 9)
			add(t, " (0x%" PRIx64 ")", s->umin);
		return;
	}
	add(t, "a number");
	if (s->umin == 0 && s->umax == UINT64_MAX && s->smin == INT64_MIN && s->smax == INT64_MAX)
		add(t, ", any");
	else if (s->umin != 0 || s->umax != UINT64_MAX)
		add(t, ", %" PRIu64 " to %" PRIu64, s->umin, s->umax);
	if (s->smin < 0 && (s->smin != INT64_MIN || s->smax != INT64_MAX))
		add(t, ", signed %" PRId64 " to %" PRId64, s->smin, s->smax);
	if (s->umax > UINT32_MAX && (r->half.umin != 0 || r->half.umax != UINT32_MAX))
		add(t, ", low half %" PRIu64 " to %" PRIu64, r->half.umin, r->half.umax);
	if (!tnum_equal(s->tnum, tnum_span(s->umin, s->umax)))
		add(t, ", bits 0x%" PRIx64 " set, 0x%" PRIx64 " unknown", s->tnum.value, s->tnum.mask);
}

static void add_reg(struct text *t, const struct verifier *v, unsigned number)
{
	const struct reg *r = &state_top(&v->now)->regs[number];
	const struct span *s = &r->range.full;
	const struct prog_map *map = r->index < v->prog->map_count ? &v->prog->maps[r->index] : NULL;

	add(t, "    r%u is ", number);
	switch (r->kind) {
	case REG_UNINIT:
		add(t, "uninitialised\n");
		return;
	case REG_SCALAR:
		add_number(t, &r->range);
		add(t, "\n");
		return;
	case REG_CTX:
		if (v->prog->ctx.raw)
			add(t, "a pointer to the context (%u bytes)", v->prog->ctx.size);
		else
			add(t, "a pointer to the request (struct hr_io)");
		break;
	case REG_STACK:
		if (r->index + 1u == v->now.frame_count)
			add(t, "a pointer to the stack");
		else
			add(t, "a pointer to the stack of the caller %s",
				v->prog->funcs[v->now.frames[r->index]->func].name);
		break;
	case REG_MAP_ITSELF:
		add(t, "the map %s\n", map->name);
		return;
	case REG_MAYBE:
		add(t, "a pointer to a value of %s (%u bytes), or null\n", map->name, map->value_size);
		return;
	default:
		add(t, "a pointer to %s%s (%u bytes)", map->role == MAP_USER ? "a value of " : "", map->name,
			verify_map_bytes(map));
		break;
	}
	if (s->smin == s->smax)
		add(t, ", offset %" PRId64 "\n", s->smin);
	else
		add(t, ", offset %" PRId64 " to %" PRId64 ", in steps of %" PRIu64 "\n", s->smin, s->smax,
			s->tnum.mask & -s->tnum.mask);
}

static void add_insn(struct text *t, const struct verifier *v)
{
	const struct prog_line *l = line_of(v->prog, v->pc);
	char code[160];

	if (l)
		add(t, "%s:%u:%u: %s\n", l->file, l->line, l->column, l->text ? l->text : "");
	else
		add(t, "program %s:\n", v->prog->name);
	disasm_insn(v->prog, v->pc, code, sizeof(code));
	add(t, "    insn %u: %s\n", v->pc, code);
}

static void finish(struct text *t, const char *help, const char *rule, va_list args)
{
	add(t, "    refused: ");
	vadd(t, rule, args);
	add(t, "\n    help: %s", help);
}

int verify_refuse(struct verifier *v, int a, int b, const char *help, const char *rule, ...)
{
	struct text t = {v->err->text, sizeof(v->err->text)};
	va_list args;

	add_insn(&t, v);
	if (a >= 0)
		add_reg(&t, v, (unsigned)a);
	if (b >= 0 && b != a)
		add_reg(&t, v, (unsigned)b);
	va_start(args, rule);
	finish(&t, help, rule, args);
	va_end(args);
	return -EACCES;
}

int verify_limit(struct verifier *v, const char *help, const char *rule, ...)
{
	struct text t = {v->err->text, sizeof(v->err->text)};
	va_list args;

	add_insn(&t, v);
	va_start(args, rule);
	finish(&t, help, rule, args);
	va_end(args);
	return -E2BIG;
}

int verify_refuse_whole(struct verifier *v, const char *help, const char *rule, ...)
{
	struct text t = {v->err->text, sizeof(v->err->text)};
	va_list args;

	add(&t, "program %s:\n", v->prog->name);
	va_start(args, rule);
	finish(&t, help, rule, args);
	va_end(args);
	return -EACCES;
}

int verify_no_memory(struct verifier *v)
{
	if (v->budget.exceeded)
		return verify_limit(v, "make loops shorter, or split the program",
			"too much to keep in mind: the states of its paths take more than %u MiB",
			VERIFY_MAX_BYTES >> 20);
	snprintf(v->err->text, sizeof(v->err->text), "program %s: out of memory while verifying", v->prog->name);
	return -ENOMEM;
}
