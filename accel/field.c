/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * field.c: back from an offset in a state page to the field there, by the layout text that
 * layout.c wrote. For reports only: a text that layout.c did not write gives a useless name, no
 * fault. Called by page.c.
 */
#include "accel/layout.h"

#include <stdlib.h>
#include <string.h>

struct line {
	uint32_t offset, size;
	const char *name;
	int length;
};

/* Reads a line that layout_text() wrote; returns where the next begins, or NULL at the end. */
static const char *read_line(const char *at, struct line *line)
{
	char *end;

	if (!*at)
		return NULL;
	line->offset = (uint32_t)strtoul(at, &end, 10);
	line->size = (uint32_t)strtoul(end + 2, &end, 10) / 8; /* " u32 name" */
	line->name = end + 1;
	line->length = (int)strcspn(line->name, "\n");
	return line->name + line->length + 1;
}

/*
 * Among the lines whose names begin with the `length` bytes at `prefix`, which cover the bytes up
 * to `end`: where they begin, where they end, and the last one that begins at or before offset.
 */
static struct line find_line(
	const char *text, const char *prefix, int length, uint32_t offset, uint32_t *begin, uint32_t *end)
{
	struct line line, best = {0};
	bool found = false;

	for (const char *at = text; (at = read_line(at, &line));) {
		if (line.length < length || strncmp(line.name, prefix, (size_t)length) != 0) {
			if (found && line.offset < *end)
				*end = line.offset;
			continue;
		}
		if (!found)
			*begin = line.offset;
		if (!found || line.offset <= offset)
			best = line;
		found = true;
	}
	return best;
}

void layout_field(const char *text, uint32_t size, uint32_t offset, struct accel_field *out)
{
	uint32_t begin = 0, end = size, rest, shift = 0;
	struct line line = find_line(text, "", 0, offset, &begin, &end);
	const char *done = line.name, *bracket;
	int n = 0;

	memset(out, 0, sizeof(*out));
	/* an array's lines describe its first element: name the element, go on as if it were the first */
	while (done && (bracket = memchr(done, '[', (size_t)(line.name + line.length - done)))) {
		uint32_t count = (uint32_t)strtoul(bracket + 1, NULL, 10), element, index;
		int prefix = (int)(strchr(bracket, ']') + 1 - line.name);

		n += snprintf(out->name + n, sizeof(out->name) - (size_t)n, "%.*s", (int)(bracket - done), done);
		find_line(text, line.name, prefix, offset, &begin, &end);
		element = count ? (end - begin) / count : 0;
		if (element == 0)
			break; /* not what layout_text() writes */
		index = (offset - begin) / element;
		offset -= index * element;
		shift += index * element;
		end = rest = begin + element;
		if (n < (int)sizeof(out->name))
			n += snprintf(out->name + n, sizeof(out->name) - (size_t)n, "[%u]", index);
		if (n >= (int)sizeof(out->name))
			n = sizeof(out->name) - 1;
		line = find_line(text, line.name, prefix, offset, &begin, &rest);
		done = line.name + prefix;
	}
	if (done)
		snprintf(out->name + n, sizeof(out->name) - (size_t)n, "%.*s", (int)(line.name + line.length - done),
			done);
	out->offset = line.offset + shift;
	out->size = line.size;
}
