// SPDX-License-Identifier: BSD-2-Clause
/*
 * screen.c: VGA text as plain text: characters of code page 437. The bytes are the guest's:
 * everything is printable.
 */
#include "vmm/screen.h"

#include "vmm/text.h"

#define SCREEN_BASE 0xb8000u
#define COLUMNS 80
#define ROWS 25

void screen_from_ram(const struct guest_mem *mem, struct screen_text *text)
{
	const uint8_t *cells = mem_ptr(mem, SCREEN_BASE, 2 * COLUMNS * ROWS);

	text->columns = cells ? COLUMNS : 0;
	text->rows = cells ? ROWS : 0;
	for (unsigned y = 0; y < text->rows; y++) {
		for (unsigned x = 0; x < text->columns; x++)
			text->chars[y][x] = cells[2 * (y * COLUMNS + x)];
	}
}

static bool is_blank(uint8_t c)
{
	return c == 0 || c == ' ' || c == 0xff;
}

/* Characters of the row up to the last that is not blank. */
static unsigned row_length(const struct screen_text *text, unsigned y)
{
	unsigned length = text->columns;

	while (length > 0 && is_blank(text->chars[y][length - 1]))
		length--;
	return length;
}

void screen_print(const struct screen_text *text, FILE *out)
{
	unsigned rows = text->rows;

	while (rows > 0 && row_length(text, rows - 1) == 0)
		rows--;
	for (unsigned y = 0; y < rows; y++) {
		unsigned length = row_length(text, y);

		for (unsigned x = 0; x < length; x++) {
			char glyph[4];

			fwrite(glyph, 1, text_cp437(text->chars[y][x], glyph), out);
		}
		fputc('\n', out);
	}
	fflush(out);
}
