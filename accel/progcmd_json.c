/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_json.c: `hotreg prog verify --json`: the verdicts as one JSON object on stdout, whatever
 * they are, so that an editor reads one stream. The parts of a refusal are taken from the
 * report's lines (verify_report.c), whose shape docs/prog-command.md gives to everybody.
 */
#include "accel/progcmd_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void progcmd_json_string(FILE *out, const char *text, size_t length)
{
	putc('"', out);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (c < ' ' || c > '~') /* a byte that may be no UTF-8 is shown, not passed on */
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static void member(const char *name, const char *text, size_t length)
{
	printf(", \"%s\": ", name);
	progcmd_json_string(stdout, text, length);
}

/* The record that holds for an instruction, in its own function. */
static const struct prog_line *line_of(const struct prog *p, uint32_t insn)
{
	const struct prog_line *found = NULL;

	for (uint32_t i = 0; i < p->line_count && p->lines[i].insn <= insn; i++)
		found = &p->lines[i];
	for (uint32_t f = 0; found && f < p->func_count; f++)
		if (p->funcs[f].start <= insn && found->insn < p->funcs[f].start &&
			insn - p->funcs[f].start < p->funcs[f].count)
			return NULL;
	return found;
}

static void place(const struct prog *p, uint32_t insn)
{
	const struct prog_line *line = line_of(p, insn);

	printf(", \"insn\": %" PRIu32, insn);
	if (!line)
		return;
	member("file", line->file, strlen(line->file));
	printf(", \"line\": %" PRIu32 ", \"column\": %" PRIu32, line->line, line->column);
	member("source", line->text, strlen(line->text));
}

/* The lines of a report: "    insn N: TEXT", "    rN is ...", "    refused: ...", "    help: ...". */
static void refusal(const struct prog *p, const char *text)
{
	const char *registers[2] = {NULL, NULL}, *at = text, *end;
	size_t lengths[2] = {0, 0};
	unsigned count = 0, number;
	int skip;

	for (; *at; at = *end ? end + 1 : end) {
		size_t length;

		end = at + strcspn(at, "\n");
		if (strncmp(at, "    ", 4))
			continue;
		at += 4;
		length = (size_t)(end - at);
		skip = 0;
		if (sscanf(at, "insn %u: %n", &number, &skip) == 1 && skip && number < p->insn_count) {
			place(p, number);
			member("instruction", at + skip, length - (size_t)skip);
		} else if (sscanf(at, "r%u is %n", &number, &skip) == 1 && skip && count < 2) {
			registers[count] = at;
			lengths[count++] = length;
		} else if (!strncmp(at, "refused: ", 9)) {
			member("rule", at + 9, length - 9);
		} else if (!strncmp(at, "help: ", 6)) {
			member("remedy", at + 6, length - 6);
		}
	}
	printf(", \"registers\": [");
	for (unsigned i = 0; i < count; i++) {
		printf("%s", i ? ", " : "");
		progcmd_json_string(stdout, registers[i], lengths[i]);
	}
	printf("]");
	member("message", text, strlen(text));
}

static int kernel_verdict(const void *image, size_t size, const char *prog)
{
	struct progcmd_kernel_verdict *v = malloc(sizeof(*v));
	int rc;

	if (!v)
		return PROGCMD_USAGE;
	progcmd_kernel_judge(image, size, prog, v);
	printf(", \"kernel\": {\"accepted\": %s", v->rc ? "false" : "true");
	member("log", v->log, strlen(v->log));
	if (v->rc)
		member("error", strerror(-v->rc), strlen(strerror(-v->rc)));
	printf("}");
	rc = v->rc ? PROGCMD_REFUSED : PROGCMD_OK;
	free(v);
	return rc;
}

static int one_program(const struct prog *linked, struct accel_err *err)
{
	struct prog p = *linked;
	int rc = verify_prog(&p, err);

	printf("{\"program\": ");
	progcmd_json_string(stdout, p.name, strlen(p.name));
	printf(", \"accepted\": %s", rc ? "false" : "true");
	if (rc) {
		refusal(&p, err->text);
		return PROGCMD_REFUSED;
	}
	printf(", \"effect\": \"%s\", \"reads_time\": %s, \"instructions\": %" PRIu32 ", \"longest_path\": %" PRIu64
	       ", \"states\": %" PRIu32 ", \"verify_ns\": %" PRIu64,
		p.effect == ACCEL_PURE ? "pure" : "stateful", p.reads_time ? "true" : "false", p.insn_count,
		p.worst_case, p.states, p.verify_ns);
	if (prog_check_runnable(&p, err)) {
		printf(", \"executable\": false");
		member("message", err->text, strlen(err->text));
		return PROGCMD_REFUSED;
	}
	printf(", \"executable\": true");
	return PROGCMD_OK;
}

static int all_programs(const struct accel_object *obj, const char *only, const char *unusable, bool with_kernel,
	const void *image, size_t size, struct accel_err *err)
{
	const struct prog *p;
	int status = PROGCMD_OK;
	bool first = true;

	printf(", \"programs\": [");
	for (unsigned i = 0; (p = accel_object_prog(obj, i)); i++) {
		if (only && strcmp(only, p->name))
			continue;
		printf("%s\n  ", first ? "" : ",");
		first = false;
		status |= one_program(p, err);
		if (with_kernel && !unusable)
			status |= kernel_verdict(image, size, p->name);
		printf("}");
	}
	printf("\n], \"accepted\": %s", status ? "false" : "true");
	if (unusable)
		member("kernel_unusable", unusable, strlen(unusable));
	return unusable ? PROGCMD_USAGE : status;
}

int progcmd_verify_json(const char *path, const char *only, bool with_kernel, struct accel_err *err)
{
	const char *unusable = with_kernel ? progcmd_kernel_unusable() : NULL;
	struct accel_object *obj = NULL;
	void *image = NULL;
	size_t size = 0;
	int status = progcmd_open(path, true, &obj, &image, &size, err);

	if (!status)
		status = progcmd_check_name(obj, path, only);
	if (!obj || status) {
		const char *why = obj ? "there is no such program" : err->text;

		printf("{\"object\": ");
		progcmd_json_string(stdout, path, strlen(path));
		printf(", \"programs\": [], \"accepted\": false");
		member("error", why, strlen(why));
	} else {
		printf("{\"object\": ");
		progcmd_json_string(stdout, path, strlen(path));
		status = all_programs(obj, only, unusable, with_kernel, image, size, err);
	}
	printf("}\n");
	accel_object_put(obj);
	free(image);
	return status;
}
