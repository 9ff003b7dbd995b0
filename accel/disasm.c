/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disasm.c: prints instructions in the notation of the kernel's verifier log, from the rows of
 * insn.def. Called by the verifier's reports and by `hotreg prog dump`, also on programs that
 * were refused, so it believes nothing: what is no instruction is printed as its raw fields.
 */
#include "accel/insn.h"
#include "accel/prog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static char reg_letter(const struct insn_desc *desc)
{
	return desc->bits == 32 ? 'w' : 'r';
}

/* "(r1 + 16)" */
static const char *address(unsigned reg, int off, char *buf, size_t size)
{
	snprintf(buf, size, "(r%u %c %d)", reg, off < 0 ? '-' : '+', off < 0 ? -off : off);
	return buf;
}

static void print_alu(const struct bpf_insn *in, const struct insn_desc *desc, char *buf, size_t size)
{
	char r = reg_letter(desc);

	if (desc->kind == KIND_ALU_1)
		snprintf(buf, size, "%c%u %s%s%c%u", r, in->dst_reg, desc->text, desc->op == OP_NEG ? "" : " ", r,
			in->dst_reg);
	else if (desc->kind == KIND_ALU_K)
		snprintf(buf, size, "%c%u %s %" PRId32, r, in->dst_reg, desc->text, in->imm);
	else
		snprintf(buf, size, "%c%u %s%s%c%u", r, in->dst_reg, desc->text, desc->op == OP_MOVSX ? "" : " ", r,
			in->src_reg);
}

static void print_atomic(const struct bpf_insn *in, const struct insn_desc *desc, char *buf, size_t size)
{
	const char *wide = desc->bits == 64 ? "64" : "";
	char where[32];
	char r = reg_letter(desc);

	address(in->dst_reg, in->off, where, sizeof(where));
	if (desc->kind == KIND_ATOMIC) {
		const char *sign = desc->op == OP_ADD	? "+="
				   : desc->op == OP_OR	? "|="
				   : desc->op == OP_AND ? "&="
							: "^=";

		snprintf(buf, size, "lock *(u%u *)%s %s %c%u", desc->bits, where, sign, r, in->src_reg);
	} else if (desc->kind == KIND_ATOMIC_FETCH) {
		snprintf(buf, size, "%c%u = atomic%s_%s((u%u *)%s, %c%u)", r, in->src_reg, wide, desc->text, desc->bits,
			where, r, in->src_reg);
	} else {
		snprintf(buf, size, "%c0 = atomic%s_cmpxchg((u%u *)%s, %c0, %c%u)", r, wide, desc->bits, where, r, r,
			in->src_reg);
	}
}

static void print_call(const struct prog *p, uint32_t insn, char *buf, size_t size)
{
	int64_t target = (int64_t)insn + 1 + p->insns[insn].imm;

	for (uint32_t i = 0; i < p->func_count; i++) {
		if (p->funcs[i].start == target) {
			snprintf(buf, size, "call %s", p->funcs[i].name);
			return;
		}
	}
	snprintf(buf, size, "call pc%+" PRId32, p->insns[insn].imm);
}

static void print_map(const struct prog *p, const struct bpf_insn *in, char *buf, size_t size)
{
	if (in->imm >= 0 && (uint32_t)in->imm < p->map_count)
		snprintf(buf, size, "r%u = %s + %" PRIu32 " ll", in->dst_reg, p->maps[in->imm].name,
			(uint32_t)in[1].imm);
	else
		snprintf(
			buf, size, "r%u = map %" PRId32 " + %" PRIu32 " ll", in->dst_reg, in->imm, (uint32_t)in[1].imm);
}

static void print_raw(const struct bpf_insn *in, const char *what, char *buf, size_t size)
{
	snprintf(buf, size, "%s: code 0x%02x dst %u src %u off %d imm %" PRId32, what, in->code, in->dst_reg,
		in->src_reg, in->off, in->imm);
}

static void print_one(const struct prog *p, uint32_t insn, const struct insn_desc *desc, char *buf, size_t size)
{
	const struct bpf_insn *in = &p->insns[insn];
	char where[32];

	switch (desc->kind) {
	case KIND_ALU_K:
	case KIND_ALU_X:
	case KIND_ALU_1:
		print_alu(in, desc, buf, size);
		break;
	case KIND_JUMP:
		snprintf(buf, size, "goto pc%+d", in->off);
		break;
	case KIND_JUMP32:
		snprintf(buf, size, "gotol pc%+" PRId32, in->imm);
		break;
	case KIND_JMP_K:
		snprintf(buf, size, "if %c%u %s %" PRId32 " goto pc%+d", reg_letter(desc), in->dst_reg, desc->text,
			in->imm, in->off);
		break;
	case KIND_JMP_X:
		snprintf(buf, size, "if %c%u %s %c%u goto pc%+d", reg_letter(desc), in->dst_reg, desc->text,
			reg_letter(desc), in->src_reg, in->off);
		break;
	case KIND_CALL_HELPER:
		snprintf(buf, size, "call %s#%" PRId32,
			in->imm == 1   ? "bpf_map_lookup_elem"
			: in->imm == 5 ? "bpf_ktime_get_ns"
				       : "helper",
			in->imm);
		break;
	case KIND_CALL_FUNC:
		print_call(p, insn, buf, size);
		break;
	case KIND_RETURN:
		snprintf(buf, size, "exit");
		break;
	case KIND_IMM64:
		snprintf(buf, size, "r%u = 0x%" PRIx64 " ll", in->dst_reg,
			(uint32_t)in->imm | (uint64_t)(uint32_t)in[1].imm << 32);
		break;
	case KIND_MAP_ADDR:
		print_map(p, in, buf, size);
		break;
	case KIND_MAP:
		if (in->imm >= 0 && (uint32_t)in->imm < p->map_count)
			snprintf(buf, size, "r%u = map %s ll", in->dst_reg, p->maps[in->imm].name);
		else
			snprintf(buf, size, "r%u = map %" PRId32 " ll", in->dst_reg, in->imm);
		break;
	case KIND_LOAD:
	case KIND_LOAD_S:
		snprintf(buf, size, "r%u = *(%s *)%s", in->dst_reg, desc->text,
			address(in->src_reg, in->off, where, sizeof(where)));
		break;
	case KIND_STORE_K:
		snprintf(buf, size, "*(%s *)%s = %" PRId32, desc->text,
			address(in->dst_reg, in->off, where, sizeof(where)), in->imm);
		break;
	case KIND_STORE_X:
		snprintf(buf, size, "*(%s *)%s = r%u", desc->text, address(in->dst_reg, in->off, where, sizeof(where)),
			in->src_reg);
		break;
	case KIND_ATOMIC:
	case KIND_ATOMIC_FETCH:
	case KIND_ATOMIC_CMPXCHG:
		print_atomic(in, desc, buf, size);
		break;
	case KIND_REFUSED:
		print_raw(in, desc->text, buf, size);
		break;
	}
}

int disasm_insn(const struct prog *p, uint32_t insn, char *buf, size_t size)
{
	const struct insn_desc *desc = insn_lookup(&p->insns[insn]);

	if (!desc || (desc->slots == 2 && (insn + 1 >= p->insn_count || !insn_second_ok(&p->insns[insn + 1])))) {
		print_raw(&p->insns[insn], "not an instruction", buf, size);
		return 1;
	}
	print_one(p, insn, desc, buf, size);
	return desc->slots;
}

static const struct prog_func *func_starting(const struct prog *p, uint32_t insn)
{
	for (uint32_t i = 0; i < p->func_count; i++)
		if (p->funcs[i].start == insn)
			return &p->funcs[i];
	return NULL;
}

void disasm_prog(const struct prog *p, FILE *out)
{
	const struct prog_line *last = NULL;
	uint32_t line = 0;
	int slots;

	for (uint32_t at = 0; at < p->insn_count; at += (uint32_t)slots) {
		const struct prog_func *f = func_starting(p, at);
		const struct prog_line *found = NULL;
		char text[256];

		if (f)
			fprintf(out, "%s%s:\n", at ? "\n" : "", f->name);
		while (line < p->line_count && p->lines[line].insn <= at)
			found = &p->lines[line++];
		if (found && found->line &&
			(f || !last || found->line != last->line || strcmp(found->file, last->file)))
			fprintf(out, "; %s  (%s:%u)\n", found->text + strspn(found->text, " "), found->file,
				found->line);
		if (found)
			last = found;
		slots = disasm_insn(p, at, text, sizeof(text));
		fprintf(out, "%5u: (%02x) %s\n", at, p->insns[at].code, text);
	}
}
