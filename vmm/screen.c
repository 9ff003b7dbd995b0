// SPDX-License-Identifier: BSD-2-Clause
/*
 * screen.c: VGA text memory as plain text. Each cell is a character of code page 437 and an
 * attribute byte, which is left out. The bytes are the guest's: everything is printable.
 */
#include "vmm/screen.h"

#include "vmm/text.h"

#define SCREEN_BASE 0xb8000u
#define COLUMNS 80
#define ROWS 25

static bool is_blank(uint8_t c)
{
	return c == 0 || c == ' ' || c == 0xff;
}

/* Characters of the row up to the last that is not blank. */
static unsigned row_length(const uint8_t *row)
{
	unsigned length = COLUMNS;

	while (length > 0 && is_blank(row[2 * (length - 1)]))
		length--;
	return length;
}

void screen_print(const struct guest_mem *mem, FILE *out)
{
	const uint8_t *cells = mem_ptr(mem, SCREEN_BASE, 2 * COLUMNS * ROWS);
	unsigned rows = ROWS;

	if (!cells)
		return;
	while (rows > 0 && row_length(cells + (rows - 1) * 2 * COLUMNS) == 0)
		rows--;
	for (unsigned y = 0; y < rows; y++) {
		const uint8_t *row = cells + y * 2 * COLUMNS;
		unsigned length = row_length(row);

		for (unsigned x = 0; x < length; x++) {
			char glyph[4];

			fwrite(glyph, 1, text_cp437(row[2 * x], glyph), out);
		}
		fputc('\n', out);
	}
	fflush(out);
}
