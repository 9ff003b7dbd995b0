/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_object.c: the object loader, libbpf behind it, the verifier and the disassembler on any bytes; and what the
 * verifier accepts is run, over maps that end exactly where they should, so that the address
 * sanitizer judges the verifier. Seeds: the built programs.
 */
#include <stdlib.h>
#include <string.h>

#include "accel/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct accel_object *obj, const struct prog *p, uint32_t offset, uint8_t size, bool write)
{
	struct prog_env env = {.time_is_frozen = true, .frozen_ns = 123456789012345};
	struct hr_io *io = calloc(1, sizeof(*io));
	struct interp_code *code;
	uint64_t r0;

	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		const struct prog_map *map = accel_object_map(obj, i);

		env.map_base[i] = malloc(map->size);
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
		if (verify_prog(&p, &err))
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
