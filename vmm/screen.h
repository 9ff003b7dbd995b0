/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen.h: what stands on the screen in text mode, for the exit.
 */
#ifndef VMM_SCREEN_H
#define VMM_SCREEN_H

#include <stdio.h>

#include "vmm/mem.h"

#define SCREEN_MAX_COLUMNS 256
#define SCREEN_MAX_ROWS 128

struct screen_text {
	unsigned columns, rows; /* 0: no text */
	uint8_t chars[SCREEN_MAX_ROWS][SCREEN_MAX_COLUMNS];
};

/* A machine without a VGA: 80 by 25 at 0xb8000 of RAM, which nobody shows, but which a guest may write. */
void screen_from_ram(const struct guest_mem *mem, struct screen_text *text);

/* Prints the text as UTF-8 up to its last line; nothing when there is none. */
void screen_print(const struct screen_text *text, FILE *out);

#endif
