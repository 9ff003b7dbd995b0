/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mapdef.h: the maps that an object declares in .maps. Found by their symbols before programs are
 * linked, described by what libbpf reads from their BTF afterwards. Used by object.c; internal to accel/.
 */
#ifndef ACCEL_MAPDEF_H
#define ACCEL_MAPDEF_H

#include "accel/reloc.h"

#define MAPDEF_MAX_BYTES (1u << 20) /* of one map's storage */

/* Appends a map of name and role for each variable of .maps, and tells the linker where it is. 0, -EINVAL. */
int mapdef_find(
	const struct elf_view *v, struct linker *l, struct prog_map *maps, unsigned *count, struct accel_err *err);

/* Fills in what libbpf knows of those maps. 0, -EINVAL, -ENOMEM. */
struct bpf_object;
int mapdef_fill(const struct linker *l, struct bpf_object *bpf, struct prog_map *maps, struct accel_err *err);

#endif
