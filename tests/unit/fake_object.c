/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_object.c: see fake_object.h. Linked into test_runtime instead of the real loader,
 * verifier and interpreter.
 */
#include "tests/unit/fake_object.h"

#include "accel/engine.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CODE_MAGIC 0x600dc0deu

struct fake_code {
	struct engine_code code; /* first */
	uint32_t magic;
	fake_fn *fn;
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

static uint64_t run(void *ctx, const struct engine_code *code)
{
	const struct fake_code *fake = (const struct fake_code *)code;

	if (fake->magic != CODE_MAGIC)
		abort();
	return fake->fn(code->env, ctx);
}

int engine_prepare(const struct prog *p, const struct prog_env *env, enum engine_kind kind, struct engine_code **out)
{
	/* progs lie in their object, whose functions are found from the first of them */
	const struct prog *first = p - p->insn_count;
	const struct accel_object *obj = (const void *)((const char *)first - offsetof(struct accel_object, progs));
	struct fake_code *fake;

	(void)kind;
	if (fake_prepare_fails_at && --fake_prepare_fails_at == 0)
		return -ENOMEM;
	fake = calloc(1, sizeof(*fake));
	if (!fake)
		return -ENOMEM;
	fake->code.run = run;
	fake->code.env = env;
	fake->magic = CODE_MAGIC;
	fake->fn = obj->fn[p->insn_count];
	atomic_fetch_add(&fake_codes, 1);
	*out = &fake->code;
	return 0;
}

void engine_free(struct engine_code *code)
{
	struct fake_code *fake = (struct fake_code *)code;

	if (!code)
		return;
	memset(fake, 0xdd, sizeof(*fake));
	free(fake);
	atomic_fetch_sub(&fake_codes, 1);
}

int prog_check_runnable(const struct prog *p, struct accel_err *err)
{
	(void)p;
	(void)err;
	return 0;
}
