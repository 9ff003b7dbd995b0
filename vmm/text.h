/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h: small helpers for text: error lines, numbers, whole files, CP437.
 */
#ifndef VMM_TEXT_H
#define VMM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h"

/* err may be NULL. */
void err_set(struct accel_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, and returns rc: `return err_fail(err, -EINVAL, ...)`. */
int err_fail(struct accel_err *err, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A whole number of `length` digits in base 10 or 16, nothing else around it; false: not one, or too large. */
bool text_parse_u64(const char *text, size_t length, unsigned base, uint64_t *out);

/* The file's bytes with a NUL behind them, to be freed. 0, -errno, or -EFBIG above max. */
int text_read_file(const char *path, size_t max, void **out, size_t *length);

/* Writes the code page 437 glyph of `c` as UTF-8 (at most 3 bytes, not terminated); returns the bytes. */
unsigned text_cp437(uint8_t c, char *out);

#endif
