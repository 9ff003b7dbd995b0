/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btfcheck.c: checks the type information (.BTF) and the line information (.BTF.ext) of an object
 * as far as libbpf, layout.c and reloc.c will trust it: bounds of every record, name and type
 * reference, chains of typedefs and qualifiers that end. Other type graphs may still be cyclic; who follows them
 * counts steps.
 * Called by object.c after elf_view_init() and before libbpf.
 */
#include "accel/elfcheck.h"

#include <errno.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>

/* The part of struct btf_ext_header that clang 14 writes; older ones end before core_relo. */
struct ext_header {
	uint16_t magic;
	uint8_t version;
	uint8_t flags;
	uint32_t hdr_len;
	uint32_t func_info_off;
	uint32_t func_info_len;
	uint32_t line_info_off;
	uint32_t line_info_len;
	uint32_t core_relo_off;
	uint32_t core_relo_len;
};

#define EXT_HEADER_SHORT 24
#define MAX_CHAIN 32 /* typedefs and qualifiers in a row */

struct types {
	const struct elf_view *v;
	const uint8_t *data; /* type records */
	uint32_t size;
	uint32_t str_len;
	uint32_t *offsets; /* of type id, from 1 */
	uint32_t count;	   /* highest id */
};

static void header(const struct elf_view *v, struct btf_header *h)
{
	memcpy(h, v->sections[v->btf].data, sizeof(*h));
}

static int check_header(const struct elf_view *v, struct btf_header *h, struct accel_err *err)
{
	const struct elf_section *s = &v->sections[v->btf];
	uint64_t body;

	if (s->size < sizeof(*h))
		return accel_fail(err, -EINVAL, ".BTF is truncated: compile again with -g");
	header(v, h);
	if (h->magic != BTF_MAGIC || h->version != BTF_VERSION || h->flags || h->hdr_len != sizeof(*h))
		return accel_fail(err, -EINVAL, ".BTF has a header that hotreg does not know");
	body = s->size - sizeof(*h);
	if (h->type_off % 4 || (uint64_t)h->type_off + h->type_len > h->str_off || h->str_len == 0 ||
		(uint64_t)h->str_off + h->str_len > body)
		return accel_fail(err, -EINVAL, ".BTF is truncated: its types or strings lie outside");
	const uint8_t *strings = s->data + sizeof(*h) + h->str_off;

	if (strings[0] || strings[h->str_len - 1])
		return accel_fail(err, -EINVAL, ".BTF has a broken string table");
	return 0;
}

/* Bytes after the common part, by kind; -1: no such kind. */
static int64_t extra_bytes(const struct btf_type *t)
{
	uint32_t vlen = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return (int64_t)vlen * (int64_t)sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return (int64_t)vlen * (int64_t)sizeof(struct btf_enum);
	case BTF_KIND_FUNC_PROTO:
		return (int64_t)vlen * (int64_t)sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return (int64_t)vlen * (int64_t)sizeof(struct btf_var_secinfo);
	case BTF_KIND_ENUM64:
		return (int64_t)vlen * 12;
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	default:
		return -1;
	}
}

/* First pass: where each type is. */
static int find_types(struct types *ts, struct accel_err *err)
{
	uint32_t at = 0;

	while (at < ts->size) {
		struct btf_type t;
		int64_t extra;

		if (ts->size - at < sizeof(t))
			return accel_fail(err, -EINVAL, ".BTF is truncated in type %u", ts->count + 1);
		memcpy(&t, ts->data + at, sizeof(t));
		extra = extra_bytes(&t);
		if (extra < 0)
			return accel_fail(err, -EINVAL, ".BTF type %u has the unknown kind %u", ts->count + 1,
				BTF_INFO_KIND(t.info));
		if (extra > (int64_t)(ts->size - at - sizeof(t)))
			return accel_fail(err, -EINVAL, ".BTF is truncated in type %u", ts->count + 1);
		ts->offsets[++ts->count] = at;
		at += (uint32_t)sizeof(t) + (uint32_t)extra;
	}
	return 0;
}

static uint32_t kind_of(const struct types *ts, uint32_t id)
{
	struct btf_type t;

	if (id == 0 || id > ts->count)
		return BTF_KIND_UNKN;
	memcpy(&t, ts->data + ts->offsets[id], sizeof(t));
	return BTF_INFO_KIND(t.info);
}

static bool is_reference(uint32_t kind)
{
	switch (kind) {
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FUNC_PROTO:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
	case BTF_KIND_TYPE_TAG:
		return true;
	default:
		return false;
	}
}

/* Names and types inside the records that follow a type: every one starts with name or type. */
static bool parts_ok(const struct types *ts, const struct btf_type *t, const uint8_t *parts)
{
	uint32_t vlen = BTF_INFO_VLEN(t->info);

	for (uint32_t i = 0; i < vlen; i++) {
		struct btf_member m;
		struct btf_param p;
		struct btf_enum e;
		struct btf_var_secinfo vsi;

		switch (BTF_INFO_KIND(t->info)) {
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
			memcpy(&m, parts + i * sizeof(m), sizeof(m));
			if (m.name_off >= ts->str_len || m.type == 0 || m.type > ts->count)
				return false;
			break;
		case BTF_KIND_FUNC_PROTO:
			memcpy(&p, parts + i * sizeof(p), sizeof(p));
			if (p.name_off >= ts->str_len || p.type > ts->count)
				return false;
			break;
		case BTF_KIND_ENUM:
			memcpy(&e, parts + i * sizeof(e), sizeof(e));
			if (e.name_off >= ts->str_len)
				return false;
			break;
		case BTF_KIND_ENUM64:
			memcpy(&e, parts + i * 12, sizeof(e));
			if (e.name_off >= ts->str_len)
				return false;
			break;
		case BTF_KIND_DATASEC:
			memcpy(&vsi, parts + i * sizeof(vsi), sizeof(vsi));
			if (kind_of(ts, vsi.type) != BTF_KIND_VAR)
				return false;
			break;
		default: /* no parts: vlen means nothing */
			return true;
		}
	}
	return true;
}

/* Second pass: names and references. */
static int check_type(const struct types *ts, uint32_t id, struct accel_err *err)
{
	const uint8_t *at = ts->data + ts->offsets[id];
	struct btf_array array;
	struct btf_type t;
	bool ok = true;

	memcpy(&t, at, sizeof(t));
	if (t.name_off >= ts->str_len)
		return accel_fail(err, -EINVAL, ".BTF type %u has a name outside the string table", id);
	if (is_reference(BTF_INFO_KIND(t.info)))
		ok = t.type <= ts->count;
	if (BTF_INFO_KIND(t.info) == BTF_KIND_VAR)
		ok = ok && t.type != 0;
	if (BTF_INFO_KIND(t.info) == BTF_KIND_FUNC)
		ok = kind_of(ts, t.type) == BTF_KIND_FUNC_PROTO;
	if (BTF_INFO_KIND(t.info) == BTF_KIND_ARRAY) {
		memcpy(&array, at + sizeof(t), sizeof(array));
		ok = array.type != 0 && array.type <= ts->count && array.index_type <= ts->count;
	}
	if (!ok || !parts_ok(ts, &t, at + sizeof(t)))
		return accel_fail(err, -EINVAL, ".BTF type %u refers to a name or type that does not exist", id);
	return 0;
}

/*
 * Qualifiers and typedefs end at a type: libbpf follows them without counting, in declarations of
 * maps at least.
 */
static bool chain_ends(const struct types *ts, uint32_t id)
{
	for (unsigned n = 0; n < MAX_CHAIN; n++) {
		struct btf_type t;

		switch (kind_of(ts, id)) {
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_CONST:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			memcpy(&t, ts->data + ts->offsets[id], sizeof(t));
			id = t.type;
			break;
		default:
			return true;
		}
	}
	return false;
}

static int check_types(const struct elf_view *v, const struct btf_header *h, struct accel_err *err)
{
	struct types ts = {.v = v, .size = h->type_len, .str_len = h->str_len};
	int rc;

	ts.data = v->sections[v->btf].data + sizeof(*h) + h->type_off;
	ts.offsets = calloc(h->type_len / sizeof(struct btf_type) + 2, sizeof(*ts.offsets));
	if (!ts.offsets)
		return accel_fail(err, -ENOMEM, "out of memory");
	rc = find_types(&ts, err);
	for (uint32_t id = 1; !rc && id <= ts.count; id++)
		rc = check_type(&ts, id, err);
	for (uint32_t id = 1; !rc && id <= ts.count; id++)
		if (!chain_ends(&ts, id))
			rc = accel_fail(
				err, -EINVAL, ".BTF type %u is a typedef or qualifier of itself, or too deep", id);
	free(ts.offsets);
	return rc;
}

static void ext_header(const struct elf_view *v, struct ext_header *h)
{
	const struct elf_section *s = &v->sections[v->btf_ext];
	uint32_t len;

	memset(h, 0, sizeof(*h));
	memcpy(&len, s->data + offsetof(struct ext_header, hdr_len), sizeof(len));
	memcpy(h, s->data, len < sizeof(*h) ? EXT_HEADER_SHORT : sizeof(*h));
}

/* One table: u32 record size, then sections of { u32 name, u32 count, records }. */
static int check_table(const struct elf_view *v, const struct ext_header *h, uint32_t off, uint32_t len,
	uint32_t min_record, uint32_t str_len, struct accel_err *err)
{
	const struct elf_section *s = &v->sections[v->btf_ext];
	const uint8_t *p;
	uint32_t record, left = len;

	if (len == 0)
		return 0;
	if (off % 4 || len < 4 || (uint64_t)h->hdr_len + off + len > s->size)
		goto broken;
	p = s->data + h->hdr_len + off;
	memcpy(&record, p, 4);
	p += 4;
	left -= 4;
	if (record < min_record || record % 4 || record > 256)
		goto broken;
	while (left) {
		uint32_t head[2];

		if (left < sizeof(head))
			goto broken;
		memcpy(head, p, sizeof(head));
		p += sizeof(head);
		left -= sizeof(head);
		if (head[0] >= str_len || head[1] == 0 || (uint64_t)head[1] * record > left)
			goto broken;
		p += head[1] * record;
		left -= head[1] * record;
	}
	return 0;
broken:
	return accel_fail(err, -EINVAL, ".BTF.ext is truncated or broken: compile again with -g");
}

static int check_ext(const struct elf_view *v, uint32_t str_len, struct accel_err *err)
{
	const struct elf_section *s = &v->sections[v->btf_ext];
	struct ext_header h;

	if (s->size < EXT_HEADER_SHORT)
		return accel_fail(err, -EINVAL, ".BTF.ext is truncated: compile again with -g");
	memcpy(&h, s->data, EXT_HEADER_SHORT);
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.flags || h.hdr_len > s->size ||
		(h.hdr_len != EXT_HEADER_SHORT && h.hdr_len != sizeof(h)))
		return accel_fail(err, -EINVAL, ".BTF.ext has a header that hotreg does not know");
	ext_header(v, &h);
	if (check_table(v, &h, h.func_info_off, h.func_info_len, sizeof(struct bpf_func_info), str_len, err) ||
		check_table(v, &h, h.line_info_off, h.line_info_len, sizeof(struct bpf_line_info), str_len, err) ||
		check_table(v, &h, h.core_relo_off, h.core_relo_len, 16, str_len, err))
		return -EINVAL;
	if (h.core_relo_len > 4)
		return accel_fail(err, -EINVAL,
			"the object has CO-RE relocations, which need a kernel's types: remove preserve_access_index "
			"and "
			"__builtin_preserve_*");
	return 0;
}

int btf_check(const struct elf_view *v, struct accel_err *err)
{
	struct btf_header h;
	int rc = check_header(v, &h, err);

	if (!rc)
		rc = check_types(v, &h, err);
	if (!rc)
		rc = check_ext(v, h.str_len, err);
	return rc;
}

const char *btf_view_strings(const struct elf_view *v, uint32_t *size)
{
	struct btf_header h;

	header(v, &h);
	*size = h.str_len;
	return (const char *)v->sections[v->btf].data + sizeof(h) + h.str_off;
}

int btf_view_lines(const struct elf_view *v,
	int (*each)(void *opaque, const char *section, const struct bpf_line_info *line), void *opaque)
{
	struct ext_header h;
	const uint8_t *p, *end;
	uint32_t record, unused;
	const char *strings = btf_view_strings(v, &unused);
	int rc = 0;

	ext_header(v, &h);
	if (!h.line_info_len)
		return 0;
	p = v->sections[v->btf_ext].data + h.hdr_len + h.line_info_off;
	end = p + h.line_info_len;
	memcpy(&record, p, 4);
	p += 4;
	while (p < end && !rc) {
		uint32_t head[2];

		memcpy(head, p, sizeof(head));
		p += sizeof(head);
		for (uint32_t i = 0; i < head[1] && !rc; i++, p += record) {
			struct bpf_line_info line;

			memcpy(&line, p, sizeof(line));
			rc = each(opaque, strings + head[0], &line);
		}
	}
	return rc;
}
