/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout.h: the canonical text of a state variable's type. Used by object.c and page.c; internal to accel/.
 */
#ifndef ACCEL_LAYOUT_H
#define ACCEL_LAYOUT_H

#include "accel/accel.h"

struct btf;

/*
 * The layout of the one variable in .data.state, which has `size` bytes, as malloc'd text: a line
 * "OFFSET TYPE NAME" for each field. 0; -EINVAL naming the field that cannot be shared; -ENOMEM.
 */
int layout_text(const struct btf *btf, uint32_t size, char **out, struct accel_err *err);

/* The field that holds the byte at `offset` < size in such a text, array elements by their indices. Empty text: "". */
void layout_field(const char *text, uint32_t size, uint32_t offset, struct accel_field *out);

#endif
