/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_object.c: see fake_object.h. Linked into test_runtime instead of the real loader,
 * verifier and interpreter.
 */
#include "tests/unit/fake_object.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CODE_MAGIC 0x600dc0deu

struct interp_code {
	uint32_t magic;
	fake_fn *fn;
	const struct prog_env *env;
};

int fake_prepare_fails_at;
_Atomic int fake_codes;

void fake_object_init(struct accel_object *obj, const char *name, uint32_t version, uint32_t size)
{
	static const struct {
		const char *name;
		enum map_role role;
	} maps[3] = {{".data.state", MAP_STATE}, {".bss", MAP_BSS}, {".rodata", MAP_RODATA}};

	memset(obj, 0, sizeof(*obj));
	obj->name = name;
	obj->version = version;
	obj->size = size;
	obj->layout = "16 s64 offset_ns\n24 u64 a\n32 u64 b\n";
	obj->refs = 1;
	for (unsigned i = 0; i < 3; i++) {
		strcpy(obj->maps[i].name, maps[i].name);
		obj->maps[i].role = maps[i].role;
		obj->maps[i].size = i == FAKE_STATE ? size : sizeof(obj->initial[i]);
		obj->maps[i].initial = obj->initial[i];
	}
}

void fake_object_add(struct accel_object *obj, const char *prog, enum accel_effect effect, fake_fn *fn)
{
	struct prog *p = &obj->progs[obj->prog_count];

	strcpy(p->name, prog);
	p->effect = effect;
	p->insn_count = obj->prog_count;
	p->maps = obj->maps;
	p->map_count = 3;
	obj->fn[obj->prog_count++] = fn;
}

struct accel_object *accel_object_get(struct accel_object *obj)
{
	atomic_fetch_add(&obj->refs, 1);
	return obj;
}

void accel_object_put(struct accel_object *obj)
{
	if (obj && atomic_fetch_sub(&obj->refs, 1) == 1 && obj->on_heap) {
		memset((void *)obj, 0xdd, sizeof(*obj));
		free(obj);
	}
}

const char *accel_object_name(const struct accel_object *obj)
{
	return obj->name;
}

const struct prog *accel_object_find_prog(const struct accel_object *obj, const char *name)
{
	for (unsigned i = 0; i < obj->prog_count; i++) {
		if (strcmp(obj->progs[i].name, name) == 0)
			return &obj->progs[i];
	}
	return NULL;
}

unsigned accel_object_prog_count(const struct accel_object *obj)
{
	return obj->prog_count;
}

const char *accel_object_prog_name(const struct accel_object *obj, unsigned index)
{
	return obj->progs[index].name;
}

unsigned accel_object_map_count(const struct accel_object *obj)
{
	(void)obj;
	return 3;
}

const struct prog_map *accel_object_map(const struct accel_object *obj, unsigned index)
{
	return &obj->maps[index];
}

uint32_t accel_object_state_version(const struct accel_object *obj)
{
	return obj->version;
}

uint32_t accel_object_state_size(const struct accel_object *obj)
{
	return obj->size;
}

const char *accel_object_layout(const struct accel_object *obj)
{
	return obj->layout;
}

int interp_prepare(const struct prog *p, const struct prog_env *env, struct interp_code **out)
{
	/* progs lie in their object, whose functions are found from the first of them */
	const struct prog *first = p - p->insn_count;
	const struct accel_object *obj = (const void *)((const char *)first - offsetof(struct accel_object, progs));
	struct interp_code *code;

	if (fake_prepare_fails_at && --fake_prepare_fails_at == 0)
		return -ENOMEM;
	code = calloc(1, sizeof(*code));
	if (!code)
		return -ENOMEM;
	code->magic = CODE_MAGIC;
	code->fn = obj->fn[p->insn_count];
	code->env = env;
	atomic_fetch_add(&fake_codes, 1);
	*out = code;
	return 0;
}

void interp_free(struct interp_code *code)
{
	if (!code)
		return;
	memset(code, 0xdd, sizeof(*code));
	free(code);
	atomic_fetch_sub(&fake_codes, 1);
}

uint64_t interp_run(const struct interp_code *code, void *ctx)
{
	if (code->magic != CODE_MAGIC)
		abort(); /* freed while in use */
	return code->fn(code->env, ctx);
}
