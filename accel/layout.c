/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout.c: walks the BTF of the state variable and writes its layout as text, so that "same
 * layout" is a string comparison. What cannot be shared between a model, programs of several
 * builds and a kernel is refused by the field's name: pointers, unions, bit fields, floating point,
 * holes, padding, fields off their natural alignment.
 *
 * The BTF has passed btf_check(); the graph may still be cyclic or huge, hence the limits.
 */
#include "accel/layout.h"
#include "accel/elfcheck.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16
#define MAX_STEPS 4096 /* types visited */

struct walk {
	const struct btf *btf;
	FILE *out;
	struct accel_err *err;
	char path[512];
	unsigned steps;
	unsigned depth;
	unsigned head; /* fields of struct hr_page seen so far */
};

static int walk_type(struct walk *w, uint32_t id, uint32_t offset, uint32_t *size, uint32_t *align);

static int refuse(struct walk *w, const char *what)
{
	return accel_fail(w->err, -EINVAL, "state field %s %s", w->path[0] ? w->path : "(the variable)", what);
}

/* Looks through typedefs and qualifiers. NULL: void, or too many. */
static const struct btf_type *plain_type(struct walk *w, uint32_t id)
{
	for (unsigned i = 0; i < 32; i++) {
		const struct btf_type *t = btf__type_by_id(w->btf, id);

		if (!t || id == 0)
			return NULL;
		if (!btf_is_mod(t) && !btf_is_typedef(t) && btf_kind(t) != BTF_KIND_TYPE_TAG)
			return t;
		id = t->type;
	}
	return NULL;
}

/* The first four fields are those of struct hr_page. */
static int check_head(struct walk *w, char type, uint32_t offset, uint32_t size)
{
	static const char *const names[] = {"seq", "version", "size", "pad"};
	const char *dot = strrchr(w->path, '.');

	if (w->head == 4)
		return 0;
	if (type != 'u' || size != 4 || offset != 4 * w->head || strcmp(dot ? dot + 1 : w->path, names[w->head]))
		return refuse(w, "stands where the head should be: begin the state variable with a struct hr_page");
	w->head++;
	return 0;
}

static int walk_scalar(struct walk *w, const struct btf_type *t, uint32_t offset, uint32_t *size, uint32_t *align)
{
	char type = btf_is_any_enum(t)			   ? 'e'
		    : btf_int_encoding(t) & BTF_INT_BOOL   ? 'b'
		    : btf_int_encoding(t) & BTF_INT_SIGNED ? 's'
							   : 'u';

	if (t->size != 1 && t->size != 2 && t->size != 4 && t->size != 8)
		return refuse(w, "is wider than 8 bytes: use fixed-width integers");
	if (btf_is_int(t) && (btf_int_bits(t) != 8 * t->size || btf_int_offset(t)))
		return refuse(w, "is a bit field: use fixed-width integers");
	if (offset % t->size)
		return refuse(w, "is not at a multiple of its size: reorder or pad the fields");
	*size = *align = t->size;
	fprintf(w->out, "%u %c%u %s\n", offset, type, 8 * t->size, w->path);
	return check_head(w, type, offset, t->size);
}

static int walk_array(struct walk *w, const struct btf_type *t, uint32_t offset, uint32_t *size, uint32_t *align)
{
	const struct btf_array *array = btf_array(t);
	size_t len = strlen(w->path);
	uint32_t element;
	int rc;

	if (array->nelems == 0)
		return refuse(w, "is an array without elements");
	snprintf(w->path + len, sizeof(w->path) - len, "[%u]", array->nelems);
	rc = walk_type(w, array->type, offset, &element, align);
	if (rc)
		return rc;
	if (element % *align)
		return refuse(w, "has elements that are not aligned: pad them");
	if ((uint64_t)element * array->nelems > OBJECT_MAX_DATA)
		return refuse(w, "is too large");
	*size = element * array->nelems;
	w->path[len] = 0;
	return 0;
}

static int walk_struct(struct walk *w, const struct btf_type *t, uint32_t offset, uint32_t *size, uint32_t *align)
{
	const struct btf_member *m = btf_members(t);
	size_t len = strlen(w->path);
	uint32_t end = 0;

	*align = 1;
	for (unsigned i = 0; i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(w->btf, m[i].name_off);
		uint32_t at = btf_member_bit_offset(t, i), member, member_align;
		int rc;

		w->path[len] = 0;
		if (name && *name)
			snprintf(w->path + len, sizeof(w->path) - len, "%s%s", len ? "." : "", name);
		if (btf_member_bitfield_size(t, i) || at % 8)
			return refuse(w, "is a bit field: use fixed-width integers");
		if (at / 8 != end)
			return refuse(w, "has unnamed bytes before it: fill holes with explicit fields");
		rc = walk_type(w, m[i].type, offset + end, &member, &member_align);
		if (rc)
			return rc;
		end += member;
		if (end > OBJECT_MAX_DATA)
			return refuse(w, "is too large");
		if (member_align > *align)
			*align = member_align;
	}
	w->path[len] = 0;
	if (end == 0)
		return refuse(w, "has no fields");
	if (end != t->size)
		return refuse(w, "has unnamed bytes at its end: fill them with an explicit field");
	*size = end;
	return 0;
}

static int walk_type(struct walk *w, uint32_t id, uint32_t offset, uint32_t *size, uint32_t *align)
{
	const struct btf_type *t = plain_type(w, id);
	int rc;

	if (++w->steps > MAX_STEPS || w->depth == MAX_DEPTH || strlen(w->path) > sizeof(w->path) - 64)
		return refuse(w, "is nested too deep, or the state has too many fields");
	if (!t)
		return refuse(w, "has no type");
	w->depth++;
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		rc = walk_scalar(w, t, offset, size, align);
		break;
	case BTF_KIND_ARRAY:
		rc = walk_array(w, t, offset, size, align);
		break;
	case BTF_KIND_STRUCT:
		rc = walk_struct(w, t, offset, size, align);
		break;
	case BTF_KIND_PTR:
		rc = refuse(w, "is a pointer: the state holds plain data only");
		break;
	case BTF_KIND_UNION:
		rc = refuse(w, "is a union: give each field its own place");
		break;
	default:
		rc = refuse(w, "is of a type that cannot be shared: use fixed-width integers");
		break;
	}
	w->depth--;
	return rc;
}

/* The type of the one variable of .data.state. */
static int find_variable(const struct btf *btf, uint32_t *type, struct accel_err *err)
{
	int id = btf__find_by_name_kind(btf, ".data.state", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	const struct btf_type *var;

	if (!section)
		return accel_fail(err, -EINVAL, "no type information for .data.state: compile with -g");
	if (btf_vlen(section) != 1)
		return accel_fail(err, -EINVAL, ".data.state holds %u variables: put all of the state into one struct",
			btf_vlen(section));
	var = btf__type_by_id(btf, btf_var_secinfos(section)->type);
	if (!var || !btf_is_var(var))
		return accel_fail(err, -EINVAL, "broken type information for .data.state");
	if (btf_var(var)->linkage != BTF_VAR_GLOBAL_ALLOCATED)
		return accel_fail(err, -EINVAL,
			"the state variable %s is static: remove `static`, else libbpf cannot share its page",
			btf__name_by_offset(btf, var->name_off));
	*type = var->type;
	return 0;
}

int layout_text(const struct btf *btf, uint32_t size, char **out, struct accel_err *err)
{
	struct walk w = {.btf = btf, .err = err};
	uint32_t type = 0, found = 0, align;
	size_t length;
	int rc;

	rc = find_variable(btf, &type, err);
	if (rc)
		return rc;
	*out = NULL;
	w.out = open_memstream(out, &length);
	if (!w.out)
		return accel_fail(err, -ENOMEM, "out of memory");
	rc = walk_type(&w, type, 0, &found, &align);
	if (fclose(w.out) || !*out)
		rc = accel_fail(err, -ENOMEM, "out of memory");
	else if (!rc && w.head != 4)
		rc = accel_fail(err, -EINVAL, "the state variable is no struct hr_page and fields after it");
	else if (!rc && found != size)
		rc = accel_fail(err, -EINVAL,
			"section .data.state has %u bytes, its variable %u: put nothing else there", size, found);
	if (rc) {
		free(*out);
		*out = NULL;
	}
	return rc;
}
