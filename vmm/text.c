// SPDX-License-Identifier: BSD-2-Clause
/*
 * text.c: small helpers for text; see text.h. No state.
 */
#include "vmm/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

void err_set(struct accel_err *err, const char *format, ...)
{
	va_list args;

	if (!err)
		return;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
}

int err_fail(struct accel_err *err, int rc, const char *format, ...)
{
	va_list args;

	if (err) {
		va_start(args, format);
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
	}
	return rc;
}

static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 99;
}

bool text_parse_u64(const char *text, size_t length, unsigned base, uint64_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned d = digit(text[i]);

		if (d >= base || value > (UINT64_MAX - d) / base)
			return false;
		value = value * base + d;
	}
	*out = value;
	return length > 0;
}

int text_read_file(const char *path, size_t max, void **out, size_t *length)
{
	FILE *file = fopen(path, "re");
	size_t room = 0, used = 0;
	char *buf = NULL, *grown;
	int rc = 0;

	*out = NULL;
	*length = 0;
	if (!file)
		return -errno;
	for (;;) {
		if (used == room) {
			room = room ? room * 2 : 65536;
			grown = realloc(buf, room + 1);
			if (!grown) {
				rc = -ENOMEM;
				break;
			}
			buf = grown;
		}
		errno = 0;
		used += fread(buf + used, 1, room - used, file);
		if (ferror(file))
			rc = errno ? -errno : -EIO;
		else if (used > max)
			rc = -EFBIG;
		if (rc || feof(file))
			break;
	}
	fclose(file);
	if (rc) {
		free(buf);
		return rc;
	}
	buf[used] = '\0';
	*out = buf;
	*length = used;
	return 0;
}

/* What the PC's character generator shows for 0x00..0x1f and 0x7f..0xff (Unicode's CP437 table, with its graphics). */
static const uint16_t cp437_low[32] = {
	0x0020,
	0x263a,
	0x263b,
	0x2665,
	0x2666,
	0x2663,
	0x2660,
	0x2022,
	0x25d8,
	0x25cb,
	0x25d9,
	0x2642,
	0x2640,
	0x266a,
	0x266b,
	0x263c,
	0x25ba,
	0x25c4,
	0x2195,
	0x203c,
	0x00b6,
	0x00a7,
	0x25ac,
	0x21a8,
	0x2191,
	0x2193,
	0x2192,
	0x2190,
	0x221f,
	0x2194,
	0x25b2,
	0x25bc,
};
static const uint16_t cp437_high[129] = {
	0x2302,
	0x00c7,
	0x00fc,
	0x00e9,
	0x00e2,
	0x00e4,
	0x00e0,
	0x00e5,
	0x00e7,
	0x00ea,
	0x00eb,
	0x00e8,
	0x00ef,
	0x00ee,
	0x00ec,
	0x00c4,
	0x00c5,
	0x00c9,
	0x00e6,
	0x00c6,
	0x00f4,
	0x00f6,
	0x00f2,
	0x00fb,
	0x00f9,
	0x00ff,
	0x00d6,
	0x00dc,
	0x00a2,
	0x00a3,
	0x00a5,
	0x20a7,
	0x0192,
	0x00e1,
	0x00ed,
	0x00f3,
	0x00fa,
	0x00f1,
	0x00d1,
	0x00aa,
	0x00ba,
	0x00bf,
	0x2310,
	0x00ac,
	0x00bd,
	0x00bc,
	0x00a1,
	0x00ab,
	0x00bb,
	0x2591,
	0x2592,
	0x2593,
	0x2502,
	0x2524,
	0x2561,
	0x2562,
	0x2556,
	0x2555,
	0x2563,
	0x2551,
	0x2557,
	0x255d,
	0x255c,
	0x255b,
	0x2510,
	0x2514,
	0x2534,
	0x252c,
	0x251c,
	0x2500,
	0x253c,
	0x255e,
	0x255f,
	0x255a,
	0x2554,
	0x2569,
	0x2566,
	0x2560,
	0x2550,
	0x256c,
	0x2567,
	0x2568,
	0x2564,
	0x2565,
	0x2559,
	0x2558,
	0x2552,
	0x2553,
	0x256b,
	0x256a,
	0x2518,
	0x250c,
	0x2588,
	0x2584,
	0x258c,
	0x2590,
	0x2580,
	0x03b1,
	0x00df,
	0x0393,
	0x03c0,
	0x03a3,
	0x03c3,
	0x00b5,
	0x03c4,
	0x03a6,
	0x0398,
	0x03a9,
	0x03b4,
	0x221e,
	0x03c6,
	0x03b5,
	0x2229,
	0x2261,
	0x00b1,
	0x2265,
	0x2264,
	0x2320,
	0x2321,
	0x00f7,
	0x2248,
	0x00b0,
	0x2219,
	0x00b7,
	0x221a,
	0x207f,
	0x00b2,
	0x25a0,
	0x00a0,
};

unsigned text_cp437(uint8_t c, char *out)
{
	unsigned code = c < 0x20 ? cp437_low[c] : c < 0x7f ? c : cp437_high[c - 0x7f];

	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | code >> 12);
	out[1] = (char)(0x80 | (code >> 6 & 0x3f));
	out[2] = (char)(0x80 | (code & 0x3f));
	return 3;
}
