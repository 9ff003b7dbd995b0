/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.h: what the engine's own parts ask of an opened object: its linked programs, its maps
 * with their initial bytes, and the layout of its state. Everything is constant after open and
 * lives as long as the object. Internal to accel/.
 */
#ifndef ACCEL_OBJECT_H
#define ACCEL_OBJECT_H

#include <bpf/libbpf.h>

#include "accel/prog.h"

/* One more reference; accel_object_put() drops it. Any thread. Returns obj. */
struct accel_object *accel_object_get(struct accel_object *obj);

const char *accel_object_name(const struct accel_object *obj);
/* The file's bytes, for the kernel tier. */
const void *accel_object_image(const struct accel_object *obj, size_t *bytes);

/*
 * libbpf prints to stderr what our messages say better. Its print function belongs to the whole process, so it is put back at
 * once; between the two other threads wait for the second.
 */
libbpf_print_fn_t object_mute_libbpf(void);
void object_unmute_libbpf(libbpf_print_fn_t old);

/* By index (NULL beyond the end) or by name (NULL: no such program). */
const struct prog *accel_object_prog(const struct accel_object *obj, unsigned index);
const struct prog *accel_object_find_prog(const struct accel_object *obj, const char *name);

/* The maps of all its programs; at most PROG_MAX_MAPS, exactly one of role MAP_STATE. */
unsigned accel_object_map_count(const struct accel_object *obj);
const struct prog_map *accel_object_map(const struct accel_object *obj, unsigned index);

/* From the initial struct hr_page of .data.state; size is that of the whole variable. */
uint32_t accel_object_state_version(const struct accel_object *obj);
uint32_t accel_object_state_size(const struct accel_object *obj);

/*
 * Canonical text of the state variable's type, one line for each field in ascending offset
 * ("OFFSET TYPE NAME\n", nested names joined by dots): equal texts mean equal layouts.
 */
const char *accel_object_layout(const struct accel_object *obj);

/*
 * Test hook: opens with another judge in place of verify_prog(), so that the loader can be tested
 * and fuzzed by itself. Objects opened so are not for attaching.
 */
int accel_object_open_judged(const char *name, const void *image, size_t size,
	int (*judge)(struct prog *p, struct accel_err *err), struct accel_object **out, struct accel_err *err);

/*
 * The bytes of a regular file of at most OBJECT_MAX_BYTES, malloc'd. -errno with "cannot read ..." in err.
 */
int accel_read_file(const char *path, void **image, size_t *size, struct accel_err *err);

#endif
