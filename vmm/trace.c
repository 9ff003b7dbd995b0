// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace.c: writes accesses as text, and reads them back.
 *
 * The writer has one lock, under which times are made to never go back (two vCPUs may arrive in
 * either order). The parser takes any bytes: what it does not understand it refuses by line.
 */
#include "vmm/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/text.h"
#include "vmm/lock.h"

#define SCRIPT_MAX_BYTES (256u << 20)

struct trace {
	/* constant after trace_open */
	FILE *file;
	char *path;
	/* lock */
	pthread_mutex_t lock;
	uint64_t start_ns;
	uint64_t last_ns;
};

int trace_open(const char *path, uint64_t start_ns, struct trace **out, struct accel_err *err)
{
	struct trace *trace = calloc(1, sizeof(*trace));
	int rc = -ENOMEM;

	*out = NULL;
	if (!trace || !(trace->path = strdup(path)))
		goto fail;
	trace->file = fopen(path, "we");
	if (!trace->file) {
		rc = -errno;
		goto fail;
	}
	trace->start_ns = start_ns;
	pthread_mutex_init(&trace->lock, NULL);
	lock_declare(&trace->lock, "trace", LOCK_LEAF);
	fprintf(trace->file, "# hotreg trace 1: TIME_NS r|w pio|mmio ADDR SIZE VALUE\n");
	*out = trace;
	return 0;
fail:
	err_set(err, "cannot create the trace file %s: %s", path, strerror(-rc));
	if (trace)
		free(trace->path);
	free(trace);
	return rc;
}

void trace_shift_time(struct trace *trace, uint64_t by_ns)
{
	if (!trace)
		return;
	pthread_mutex_lock(&trace->lock);
	trace->start_ns += by_ns;
	trace->last_ns += by_ns;
	pthread_mutex_unlock(&trace->lock);
}

int trace_close(struct trace *trace, struct accel_err *err)
{
	bool failed;
	int rc = 0;

	if (!trace)
		return 0;
	errno = 0;
	failed = ferror(trace->file);
	if (fclose(trace->file) != 0 || failed) {
		rc = errno ? -errno : -EIO;
		err_set(err, "the trace file %s is not complete: %s", trace->path, strerror(-rc));
	}
	pthread_mutex_destroy(&trace->lock);
	free(trace->path);
	free(trace);
	return rc;
}

void trace_access(struct trace *trace, uint64_t now_ns, const struct io_req *req)
{
	const uint32_t count = req->data ? req->count : 1;
	const char *what = req->io.is_write ? "w" : "r";
	const char *bus = req->bus == IO_PIO ? "pio" : "mmio";

	pthread_mutex_lock(&trace->lock);
	if (now_ns > trace->last_ns)
		trace->last_ns = now_ns;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t value = req->io.is_write ? req->io.value : req->io.result;

		if (req->data) {
			value = 0;
			memcpy(&value, (const uint8_t *)req->data + (size_t)i * req->io.size, req->io.size);
		}
		fprintf(trace->file, "%" PRIu64 " %s %s 0x%" PRIx64 " %u 0x%" PRIx64 "\n",
			trace->last_ns - trace->start_ns, what, bus, req->addr, req->io.size, value);
	}
	pthread_mutex_unlock(&trace->lock);
}

/* ---- reading ------------------------------------------------------------------------------- */

#define FIELDS 6

struct field {
	const char *text;
	size_t length;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts a line at blanks, up to a `#`. Returns how many fields there are; at most FIELDS + 1 are counted. */
static unsigned split_fields(const char *text, size_t length, struct field *fields)
{
	unsigned count = 0;
	size_t at = 0;

	for (;;) {
		size_t start;

		while (at < length && is_space(text[at]))
			at++;
		if (at == length || text[at] == '#')
			return count;
		start = at;
		while (at < length && !is_space(text[at]) && text[at] != '#')
			at++;
		if (count == FIELDS)
			return FIELDS + 1;
		fields[count++] = (struct field){text + start, at - start};
	}
}

static bool field_is(const struct field *field, const char *word)
{
	return field->length == strlen(word) && memcmp(field->text, word, field->length) == 0;
}

/* "-EINVAL: WHAT, not 'FIELD'", with the field shortened and made printable. */
static int refuse(struct accel_err *err, const struct field *field, const char *what)
{
	char shown[33];
	size_t n = field->length < sizeof(shown) - 1 ? field->length : sizeof(shown) - 1;

	for (size_t i = 0; i < n; i++)
		shown[i] = field->text[i] >= ' ' && field->text[i] <= '~' ? field->text[i] : '.';
	shown[n] = '\0';
	err_set(err, "%s, not '%s'", what, shown);
	return -EINVAL;
}

static bool parse_hex(const struct field *field, uint64_t *out)
{
	return field->length > 2 && field->text[0] == '0' && field->text[1] == 'x' &&
	       text_parse_u64(field->text + 2, field->length - 2, 16, out);
}

int trace_parse_line(const char *text, size_t length, struct trace_line *out, struct accel_err *err)
{
	struct field f[FIELDS];
	unsigned count = split_fields(text, length, f);
	uint64_t size;

	if (count == 0)
		return 0;
	if (count != FIELDS) {
		err_set(err, "an access has six fields: TIME_NS r|w pio|mmio ADDR SIZE VALUE");
		return -EINVAL;
	}
	if (!text_parse_u64(f[0].text, f[0].length, 10, &out->time_ns) || out->time_ns > INT64_MAX)
		return refuse(err, &f[0], "TIME_NS is a decimal number of nanoseconds below 2^63");
	out->is_write = field_is(&f[1], "w");
	if (!out->is_write && !field_is(&f[1], "r"))
		return refuse(err, &f[1], "the second field is r or w");
	out->bus = field_is(&f[2], "mmio") ? IO_MMIO : IO_PIO;
	if (out->bus == IO_PIO && !field_is(&f[2], "pio"))
		return refuse(err, &f[2], "the bus is pio or mmio");
	if (!parse_hex(&f[3], &out->addr))
		return refuse(err, &f[3], "ADDR is hexadecimal with 0x");
	if (out->bus == IO_PIO && out->addr > 0xffff)
		return refuse(err, &f[3], "a port is at most 0xffff");
	if (!text_parse_u64(f[4].text, f[4].length, 10, &size) || size < 1 || size > 8)
		return refuse(err, &f[4], "SIZE is 1 to 8");
	out->size = (uint8_t)size;
	out->value = 0;
	out->has_value = !field_is(&f[5], "?");
	if (!out->has_value && out->is_write)
		return refuse(err, &f[5], "a write needs a value");
	if (out->has_value && !parse_hex(&f[5], &out->value))
		return refuse(err, &f[5], "VALUE is hexadecimal with 0x, or ? for a read that is not checked");
	if (hr_mask(out->value, (uint32_t)size) != out->value)
		return refuse(err, &f[5], "VALUE does not fit SIZE");
	return 1;
}

static int append_line(struct trace_script *script, size_t *room, const struct trace_line *line)
{
	if (script->count == *room) {
		size_t more = *room ? *room * 2 : 256;
		struct trace_line *grown = reallocarray(script->lines, more, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		script->lines = grown;
		*room = more;
	}
	script->lines[script->count++] = *line;
	return 0;
}

int trace_script_parse(
	const char *name, const char *text, size_t length, struct trace_script *out, struct accel_err *err)
{
	const char *at = text, *end = text + length;
	struct accel_err why;
	uint64_t last_ns = 0;
	size_t room = 0;
	unsigned number = 0;
	int rc = 0;

	*out = (struct trace_script){0};
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct trace_line line = {.line = ++number};

		if (!newline)
			newline = end;
		rc = trace_parse_line(at, (size_t)(newline - at), &line, &why);
		if (rc == 1 && line.time_ns < last_ns) {
			err_set(&why, "time goes back from %" PRIu64 " to %" PRIu64 " ns", last_ns, line.time_ns);
			rc = -EINVAL;
		}
		if (rc == 1) {
			last_ns = line.time_ns;
			rc = append_line(out, &room, &line);
			if (rc)
				err_set(&why, "no memory for more accesses");
		}
		if (rc < 0)
			goto fail;
		at = newline + 1;
	}
	return 0;
fail:
	err_set(err, "%s:%u: %.400s", name, number, why.text);
	trace_script_free(out);
	return rc;
}

int trace_script_load(const char *path, struct trace_script *out, struct accel_err *err)
{
	size_t length;
	char *text;
	int rc;

	*out = (struct trace_script){0};
	rc = text_read_file(path, SCRIPT_MAX_BYTES, (void **)&text, &length);
	if (rc == -EFBIG)
		err_set(err, "the script %s is larger than %u MiB", path, SCRIPT_MAX_BYTES >> 20);
	else if (rc)
		err_set(err, "cannot read the script %s: %s", path, strerror(-rc));
	if (rc)
		return rc;
	rc = trace_script_parse(path, text, length, out, err);
	free(text);
	return rc;
}

void trace_script_free(struct trace_script *script)
{
	free(script->lines);
	*script = (struct trace_script){0};
}
