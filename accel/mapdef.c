/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mapdef.c: reads the declarations in .maps. Symbols say which maps there are and where programs
 * refer to them; libbpf says of what type and size they are, from BTF that btf_check() has accepted.
 * Both must mean the same variables, so that a kernel would give a program the same maps.
 */
#include "accel/mapdef.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return n > 0 && s[n] == 0 && n < sizeof(((struct prog_map *)0)->name);
}

int mapdef_find(
	const struct elf_view *v, struct linker *l, struct prog_map *maps, unsigned *count, struct accel_err *err)
{
	for (unsigned i = 1; i < v->sym_count; i++) {
		const char *name;
		Elf64_Sym sym;

		elf_view_symbol(v, i, &sym);
		if (sym.st_shndx >= v->section_count || v->sections[sym.st_shndx].role != SECTION_MAPS ||
			ELF64_ST_TYPE(sym.st_info) != STT_OBJECT)
			continue;
		name = elf_view_symbol_name(v, &sym);
		if (!is_name(name))
			return accel_fail(err, -EINVAL,
				"a map is named '%.80s': names are C identifiers below %zu characters", name,
				sizeof(maps->name));
		if (ELF64_ST_BIND(sym.st_info) == STB_LOCAL)
			return accel_fail(
				err, -EINVAL, "map %s is static: remove `static`, libbpf needs to see it", name);
		if (*count == PROG_MAX_MAPS)
			return accel_fail(err, -EINVAL, "the object has more than %d maps and sections with variables",
				PROG_MAX_MAPS);
		for (unsigned k = 0; k < l->user_map_count; k++)
			if (l->user_maps[k].offset == sym.st_value || !strcmp(maps[l->user_maps[k].map].name, name))
				return accel_fail(
					err, -EINVAL, "two maps are at one place, or have one name: %s", name);
		l->user_maps[l->user_map_count++] = (struct link_map){sym.st_value, *count};
		strcpy(maps[*count].name, name);
		maps[*count].role = MAP_USER;
		++*count;
	}
	return 0;
}

static struct bpf_map *libbpf_map(struct bpf_object *bpf, const char *name)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, bpf)
	{
		if (!bpf_map__is_internal(m) && !strcmp(bpf_map__name(m), name))
			return m;
	}
	return NULL;
}

static int set_type(struct prog_map *map, const struct bpf_map *m, struct accel_err *err)
{
	enum bpf_map_type type = bpf_map__type(m);
	const char *text = libbpf_bpf_map_type_str(type);

	if (type != BPF_MAP_TYPE_ARRAY && type != BPF_MAP_TYPE_HASH)
		return accel_fail(err, -EINVAL,
			"map %s has type %s (%u): programs have array maps, and hash maps to be verified only",
			map->name, text ? text : "unknown", type);
	map->type = type == BPF_MAP_TYPE_ARRAY ? MAP_ARRAY : MAP_HASH;
	map->key_size = bpf_map__key_size(m);
	map->value_size = bpf_map__value_size(m);
	map->max_entries = bpf_map__max_entries(m);
	return 0;
}

static int set_access(struct prog_map *map, const struct bpf_map *m, struct accel_err *err)
{
	uint32_t flags = bpf_map__map_flags(m);
	uint32_t known =
		BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG | (map->type == MAP_ARRAY ? BPF_F_MMAPABLE : BPF_F_NO_PREALLOC);

	if (flags & ~known || (flags & BPF_F_RDONLY_PROG && flags & BPF_F_WRONLY_PROG))
		return accel_fail(err, -EINVAL,
			"map %s has flags 0x%x: one of BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG is known here, and %s",
			map->name, flags, map->type == MAP_ARRAY ? "BPF_F_MMAPABLE" : "BPF_F_NO_PREALLOC");
	map->access = flags & BPF_F_RDONLY_PROG ? MAP_RO : flags & BPF_F_WRONLY_PROG ? MAP_WO : MAP_RW;
	if (bpf_map__pin_path(m))
		return accel_fail(err, -EINVAL, "map %s is pinned: maps live as long as their device here", map->name);
	if (bpf_map__map_extra(m) || bpf_map__numa_node(m) || bpf_map__ifindex(m))
		return accel_fail(
			err, -EINVAL, "map %s has a map_extra, a NUMA node or an interface: leave it out", map->name);
	return 0;
}

/* As a kernel has them. */
static int check_sizes(const struct prog_map *map, struct accel_err *err)
{
	if (map->type == MAP_ARRAY && map->key_size != 4)
		return accel_fail(
			err, -EINVAL, "map %s: the key of an array has 4 bytes, not %u", map->name, map->key_size);
	if (map->key_size == 0 || map->key_size > PROG_STACK_BYTES)
		return accel_fail(err, -EINVAL, "map %s: a key has 1 to %d bytes, not %u", map->name, PROG_STACK_BYTES,
			map->key_size);
	if (map->value_size == 0 || map->max_entries == 0)
		return accel_fail(err, -EINVAL, "map %s: %u entries of %u bytes: declare max_entries and value",
			map->name, map->max_entries, map->value_size);
	if (map->value_size > MAPDEF_MAX_BYTES ||
		(map->type == MAP_ARRAY && (uint64_t)prog_map_stride(map) * map->max_entries > MAPDEF_MAX_BYTES))
		return accel_fail(err, -EINVAL, "map %s: %u entries of %u bytes are more than %u bytes", map->name,
			map->max_entries, map->value_size, MAPDEF_MAX_BYTES);
	return 0;
}

/* That the variables which libbpf made maps of are where the symbols are. */
static int check_places(
	const struct linker *l, const struct bpf_object *bpf, const struct prog_map *maps, struct accel_err *err)
{
	const struct btf *btf = bpf_object__btf(bpf);
	int id = btf ? btf__find_by_name_kind(btf, ".maps", BTF_KIND_DATASEC) : -1;
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	const struct btf_var_secinfo *vars = section ? btf_var_secinfos(section) : NULL;

	if (!section || btf_vlen(section) != l->user_map_count)
		return accel_fail(
			err, -EINVAL, "the type information of .maps does not fit its symbols: compile with -g");
	for (unsigned i = 0; i < btf_vlen(section); i++) {
		const struct btf_type *var = btf__type_by_id(btf, vars[i].type);
		const char *name = var ? btf__name_by_offset(btf, var->name_off) : NULL;
		bool found = false;

		for (unsigned k = 0; name && k < l->user_map_count && !found; k++)
			found = l->user_maps[k].offset == vars[i].offset &&
				!strcmp(maps[l->user_maps[k].map].name, name);
		if (!found)
			return accel_fail(err, -EINVAL,
				"the type information of .maps does not fit its symbols: compile with -g");
	}
	return 0;
}

int mapdef_fill(const struct linker *l, struct bpf_object *bpf, struct prog_map *maps, struct accel_err *err)
{
	int rc = l->user_map_count ? check_places(l, bpf, maps, err) : 0;

	for (unsigned i = 0; i < l->user_map_count && !rc; i++) {
		struct prog_map *map = &maps[l->user_maps[i].map];
		const struct bpf_map *m = libbpf_map(bpf, map->name);

		if (!m)
			return accel_fail(err, -EINVAL, "libbpf finds no map %s: declare it as libbpf's documents say",
				map->name);
		rc = set_type(map, m, err);
		if (!rc)
			rc = set_access(map, m, err);
		if (!rc)
			rc = check_sizes(map, err);
		if (rc)
			return rc;
		map->size = map->type == MAP_ARRAY ? prog_map_stride(map) * map->max_entries : 0;
		map->initial = calloc(1, map->size ? map->size : 1);
		if (!map->initial)
			return accel_fail(err, -ENOMEM, "out of memory");
	}
	return rc;
}
