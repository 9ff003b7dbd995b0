/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn.c: finds the row of insn.def that an instruction is, and checks that the fields which the
 * row does not use are zero. Called by the loader, the verifier, the interpreter and the
 * disassembler on instructions of any origin, hence it trusts nothing.
 */
#include "accel/insn.h"

#include <stddef.h>

enum insn_select { SELECT_ANY, SELECT_OFF, SELECT_IMM, SELECT_SRC };

struct insn_row {
	struct insn_desc desc;
	enum insn_select select;
	int32_t value;
};

#define SLOTS(opcode) ((opcode) == (BPF_LD | BPF_IMM | BPF_DW) ? 2 : 1)

static const struct insn_row rows[INSN_COUNT] = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning)                                                 \
	{{INSN_##id, KIND_##kind, OP_##op, opcode, bits, SLOTS(opcode), text}, SELECT_##select, value},
#include "accel/insn.def"
};

/* First row of each opcode, plus one; 0: none. */
static const uint16_t first_row[256] = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) [opcode] = INSN_##id + 1,
#define ALSO(id, opcode, select, value, kind, bits, op, text, meaning)
#include "accel/insn.def"
};

enum { DST = 1, SRC = 2, OFF = 4, IMM = 8 };

/* Fields that are operands; for refused rows nobody cares. */
static const uint8_t operands[] = {
	[KIND_ALU_K] = DST | IMM,
	[KIND_ALU_X] = DST | SRC,
	[KIND_ALU_1] = DST,
	[KIND_JUMP] = OFF,
	[KIND_JUMP32] = IMM,
	[KIND_JMP_K] = DST | OFF | IMM,
	[KIND_JMP_X] = DST | SRC | OFF,
	[KIND_CALL_HELPER] = IMM,
	[KIND_CALL_FUNC] = IMM,
	[KIND_RETURN] = 0,
	[KIND_IMM64] = DST | IMM,
	[KIND_MAP_ADDR] = DST | IMM,
	[KIND_MAP] = DST | IMM,
	[KIND_LOAD] = DST | SRC | OFF,
	[KIND_LOAD_S] = DST | SRC | OFF,
	[KIND_STORE_K] = DST | OFF | IMM,
	[KIND_STORE_X] = DST | SRC | OFF,
	[KIND_ATOMIC] = DST | SRC | OFF,
	[KIND_ATOMIC_FETCH] = DST | SRC | OFF,
	[KIND_ATOMIC_CMPXCHG] = DST | SRC | OFF,
	[KIND_REFUSED] = DST | SRC | OFF | IMM,
};

static bool selected(const struct insn_row *row, const struct bpf_insn *insn)
{
	switch (row->select) {
	case SELECT_OFF:
		return insn->off == row->value;
	case SELECT_IMM:
		return insn->imm == row->value;
	case SELECT_SRC:
		return insn->src_reg == row->value;
	case SELECT_ANY:
		break;
	}
	return true;
}

static bool unused_are_zero(const struct insn_row *row, const struct bpf_insn *insn)
{
	uint8_t used = operands[row->desc.kind];

	if (row->select == SELECT_OFF)
		used |= OFF;
	if (row->select == SELECT_IMM)
		used |= IMM;
	if (row->select == SELECT_SRC)
		used |= SRC;
	return (used & DST || !insn->dst_reg) && (used & SRC || !insn->src_reg) && (used & OFF || !insn->off) &&
	       (used & IMM || !insn->imm);
}

const struct insn_desc *insn_lookup(const struct bpf_insn *insn)
{
	unsigned i = first_row[insn->code];

	if (!i || insn->dst_reg > BPF_REG_10 || insn->src_reg > BPF_REG_10)
		return NULL;
	for (i--; i < INSN_COUNT && rows[i].desc.opcode == insn->code; i++)
		if (selected(&rows[i], insn))
			return unused_are_zero(&rows[i], insn) ? &rows[i].desc : NULL;
	return NULL;
}
