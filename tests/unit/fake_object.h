/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_object.h: objects and an engine for the runtime's tests, in place of the loader and the
 * engines: a program is a C function, so a test can stop in the middle of it, change the
 * page under it, or find out what it was given. Freed code and objects are made unusable.
 */
#ifndef TESTS_FAKE_OBJECT_H
#define TESTS_FAKE_OBJECT_H

#include <stdatomic.h>

#include "accel/object.h"

typedef uint64_t fake_fn(const struct prog_env *env, struct hr_io *io);

#define FAKE_PROGS 4

struct accel_object {
	const char *name;
	uint32_t version, size;
	const char *layout;
	struct prog progs[FAKE_PROGS];
	fake_fn *fn[FAKE_PROGS]; /* of the program of the same index */
	unsigned prog_count;
	struct prog_map maps[3]; /* state, .bss, .rodata */
	uint8_t initial[3][16];
	_Atomic int refs;
	bool on_heap; /* free it with the last reference */
};

/* What the state, .bss and .rodata maps are called with in prog_env.map_base. */
enum { FAKE_STATE, FAKE_BSS, FAKE_RODATA };

/* One reference, the caller's; no programs yet. */
void fake_object_init(struct accel_object *obj, const char *name, uint32_t version, uint32_t size);
void fake_object_add(struct accel_object *obj, const char *prog, enum accel_effect effect, fake_fn *fn);

extern int fake_prepare_fails_at; /* the n-th engine_prepare() from now gives -ENOMEM; 0: none */
extern _Atomic int fake_codes;	  /* prepared and not freed */

#endif
