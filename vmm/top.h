/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * top.h: what `hotreg top` shows: two statistics reports made into one screen. The terminal is top.c's.
 */
#ifndef VMM_TOP_H
#define VMM_TOP_H

#include <jansson.h>
#include <stdio.h>

/*
 * Writes the screen of rows x columns: lines without their ends but for "\r\n" between, each cut at the
 * width. before may be NULL: rates are 0 then. Takes any JSON.
 */
void top_frame(const json_t *before, const json_t *now, const char *path, unsigned rows, unsigned columns, FILE *out);

#endif
