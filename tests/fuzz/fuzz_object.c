/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_object.c: the object loader, libbpf behind it, the verifier and the disassembler on any
 * bytes; and what the verifier accepts is run, over maps that end exactly where they should, so
 * that the address sanitizer judges the verifier. Seeds: the built programs. Half of the mutations
 * are aimed: at one field of one instruction, or at the bytes of one table that somebody reads.
 */
#include <stdlib.h>
#include <string.h>

#include "accel/elfcheck.h"
#include "accel/insn.h"
#include "accel/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A small generator, so that a mutation depends on nothing but its seed. */
static uint32_t next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static const uint8_t opcodes[] = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) opcode,
#include "accel/insn.def"
};

static void mutate_insn(struct bpf_insn *insn, uint32_t *x)
{
	static const int32_t values[] = {0, 1, -1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64, 255, 256, 512, -8, -512,
		0x7fffffff, -0x7fffffff - 1, 65535};
	int32_t value = values[next(x) % (sizeof(values) / sizeof(values[0]))];

	switch (next(x) % 6) {
	case 0:
		insn->code = opcodes[next(x) % sizeof(opcodes)];
		break;
	case 1:
		insn->dst_reg = next(x) % 11 & 15;
		break;
	case 2:
		insn->src_reg = next(x) % 11 & 15;
		break;
	case 3:
		insn->off = (int16_t)(next(x) & 1 ? value : insn->off + (int32_t)(next(x) % 17) - 8);
		break;
	case 4:
		insn->imm = (int32_t)(next(x) & 1 ? (uint32_t)value : (uint32_t)insn->imm + next(x) % 17 - 8);
		break;
	default: /* another opcode of the same class */
		insn->code = (uint8_t)((insn->code & 7) | (next(x) & 0xf8));
		break;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static struct accel_err err;
	uint32_t x = seed * 2654435761u | 1;
	uint64_t copy_bytes;
	void *copy;
	struct elf_view v;
	struct elf_section *s;

	if (next(&x) % 4 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	copy = malloc(size + 1); /* aligned */
	memcpy(copy, data, size);
	if (elf_view_init(&v, copy, size, &err)) {
		free(copy);
		return LLVMFuzzerMutate(data, size, max_size);
	}
	for (unsigned tries = 0; tries < 64; tries++) {
		unsigned pick = next(&x) % 3 ? (v.text && next(&x) % 2 ? v.text : v.progs) : next(&x) % v.section_count;

		s = &v.sections[pick];
		if (s->role == SECTION_OTHER || !s->data || s->size < 8)
			continue;
		uint8_t *at = data + (s->data - v.image);

		if (s->role == SECTION_PROGS || s->role == SECTION_TEXT) {
			for (unsigned n = 1 + next(&x) % 3; n; n--) {
				struct bpf_insn insn;
				size_t where = next(&x) % (s->size / 8) * 8;

				memcpy(&insn, at + where, 8);
				mutate_insn(&insn, &x);
				memcpy(at + where, &insn, 8);
			}
		} else {
			size_t where = next(&x) % (s->size / 4) * 4;

			copy_bytes = s->size - where < 24 ? s->size - where : 24;
			LLVMFuzzerMutate(at + where, copy_bytes, copy_bytes);
		}
		break;
	}
	elf_view_fini(&v);
	free(copy);
	return size;
}

static void run(const struct accel_object *obj, const struct prog *p, uint32_t offset, uint8_t size, bool write)
{
	struct prog_env env = {.time_is_frozen = true, .frozen_ns = 123456789012345};
	struct hr_io *io = calloc(1, sizeof(*io));
	struct interp_code *code;
	uint64_t r0;

	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		const struct prog_map *map = accel_object_map(obj, i);

		prog_env_set_map(&env, i, map, malloc(map->size + 1));
		memcpy(env.map_base[i], map->initial, map->size);
	}
	if (interp_prepare(p, &env, &code))
		abort(); /* what the verifier takes, the interpreter must */
	io->offset = offset;
	io->size = size;
	io->is_write = write;
	io->value = write ? 0x8877665544332211 : 0;
	r0 = interp_run(code, io);
	if (r0 > HR_ANSWER_RING && (r0 & 0xff || r0 > HR_PUNT_WHY(255)))
		abort();
	interp_free(code);
	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		if (accel_object_map(obj, i)->role == MAP_RODATA &&
			memcmp(env.map_base[i], accel_object_map(obj, i)->initial, accel_object_map(obj, i)->size))
			abort();
		if (accel_object_map(obj, i)->role == MAP_STATE &&
			memcmp(env.map_base[i], accel_object_map(obj, i)->initial, sizeof(struct hr_page)))
			abort();
		free(env.map_base[i]);
	}
	free(io);
}

static int judge_later(struct prog *p, struct accel_err *err)
{
	(void)p, (void)err;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct accel_err err;
	struct accel_object *obj;
	FILE *null;

	if (accel_object_open_judged("fuzz", data, size, judge_later, &obj, &err))
		return 0;
	null = fopen("/dev/null", "w");
	for (unsigned i = 0; i < accel_object_prog_count(obj); i++) {
		struct prog p = *accel_object_prog(obj, i);

		if (null)
			disasm_prog(&p, null);
		if (verify_prog(&p, &err) || prog_check_runnable(&p, &err))
			continue;
		for (uint32_t offset = 0; offset < 9; offset++)
			run(obj, &p, offset, (uint8_t)(1u << offset % 4), offset & 1);
		run(obj, &p, 0xffffffff, 8, true);
	}
	if (null)
		fclose(null);
	accel_object_put(obj);
	return 0;
}
