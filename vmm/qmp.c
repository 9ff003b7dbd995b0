// SPDX-License-Identifier: BSD-2-Clause
/*
 * qmp.c: framing, negotiation, dispatch and answers of one control client; see qmp.h.
 *
 * The framing counts brackets outside of strings only to find a command's end and to bound its
 * depth; what the bytes mean is jansson's to say.
 */
#include "vmm/qmp.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/options.h"
#include "vmm/text.h"

static const struct qmp_command *const tables[] = {qmp_basic_commands, qmp_live_commands};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* ---- output ---------------------------------------------------------------------------------- */

static int put(const char *data, size_t bytes, void *opaque)
{
	struct qmp_session *s = opaque;
	size_t room = s->out_room ? s->out_room : 4096;
	char *grown;

	if (s->is_dead || bytes > QMP_OUT_MAX - s->out_used) {
		s->is_dead = true;
		return -1;
	}
	while (room < s->out_used + bytes)
		room *= 2;
	if (room != s->out_room) {
		grown = realloc(s->out, room);
		if (!grown) {
			s->is_dead = true;
			return -1;
		}
		s->out = grown;
		s->out_room = room;
	}
	memcpy(s->out + s->out_used, data, bytes);
	s->out_used += bytes;
	return 0;
}

/* Takes the message; NULL for one that could not be built. */
static void say(struct qmp_session *s, json_t *message)
{
	if (!message || json_dump_callback(message, put, s, JSON_REAL_PRECISION(9)) != 0 || put("\r\n", 2, s) != 0)
		s->is_dead = true;
	json_decref(message);
}

void qmp_sent(struct qmp_session *s, size_t bytes)
{
	s->out_used -= bytes;
	memmove(s->out, s->out + bytes, s->out_used);
	if (s->out_used == 0 && s->out_room > QMP_OUT_HIGH) { /* a large answer is rare */
		free(s->out);
		s->out = NULL;
		s->out_room = 0;
	}
}

json_t *qmp_text(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string || !(copy = strdup(text)))
		return string;
	for (char *c = copy; *c; c++) {
		if (*c & 0x80)
			*c = '?';
	}
	string = json_string(copy);
	free(copy);
	return string;
}

static json_t *error_object(const char *class, const char *text)
{
	return json_pack("{s:{s:s, s:o}}", "error", "class", class, "desc", qmp_text(text));
}

void qmp_complain(struct qmp_session *s, const char *text)
{
	say(s, error_object("GenericError", text));
}

void qmp_event(struct qmp_session *s, const char *name, json_t *data)
{
	struct timespec now;

	if (!s->negotiated)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	say(s, json_pack("{s:{s:I, s:I}, s:s, s:O*}", "timestamp", "seconds", (json_int_t)now.tv_sec, "microseconds",
		       (json_int_t)now.tv_nsec / 1000, "event", name, "data", data));
}

/* ---- commands -------------------------------------------------------------------------------- */

static const struct qmp_command *find_command(const char *name)
{
	for (unsigned t = 0; t < TABLES; t++) {
		for (const struct qmp_command *c = tables[t]; c->name; c++) {
			if (strcmp(c->name, name) == 0)
				return c;
		}
	}
	return NULL;
}

static bool is_in_list(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list) {
		size_t n = strcspn(list, " ");

		if (n == length && memcmp(list, word, n) == 0)
			return true;
		list += n;
		list += strspn(list, " ");
	}
	return false;
}

static int qmp_refuse(struct qmp_call *call, const char *class, const char *format, const char *what)
{
	call->class = class;
	err_set(&call->err, format, what);
	return -EINVAL;
}

/* Lists this file's own commands too: both are known in every state. */
static int list_commands(struct qmp_call *call)
{
	call->ret = json_pack("[{s:s}, {s:s}]", "name", "qmp_capabilities", "name", "query-commands");
	for (unsigned t = 0; t < TABLES; t++) {
		for (const struct qmp_command *c = tables[t]; c->name; c++)
			json_array_append_new(call->ret, json_pack("{s:s}", "name", c->name));
	}
	return 0;
}

static int negotiate(struct qmp_session *s, struct qmp_call *call)
{
	json_t *enable = json_object_get(call->args, "enable");

	if (s->negotiated)
		return qmp_refuse(
			call, "CommandNotFound", "Capabilities negotiation is already complete, command%s ignored", "");
	if (enable && (!json_is_array(enable) || json_array_size(enable) > 0))
		return qmp_refuse(call, NULL, "qmp_capabilities: there is no capability to enable%s", "");
	s->negotiated = true;
	return 0;
}

static int run_command(struct qmp_session *s, struct qmp_call *call, const char *name)
{
	static const struct qmp_command capabilities = {"qmp_capabilities", NULL, "enable"};
	static const struct qmp_command commands = {"query-commands", list_commands, ""};
	const struct qmp_command *c = &capabilities;
	const char *key;
	json_t *value;

	if (strcmp(name, "qmp_capabilities") != 0) {
		if (!s->negotiated)
			return qmp_refuse(call, "CommandNotFound",
				"Expecting capabilities negotiation with 'qmp_capabilities'%s", "");
		c = strcmp(name, commands.name) == 0 ? &commands : find_command(name);
	}
	if (!c)
		return qmp_refuse(call, "CommandNotFound", "The command %.80s has not been found", name);
	json_object_foreach(call->args, key, value)
	{
		if (!is_in_list(c->args, key))
			return qmp_refuse(call, NULL, "Parameter '%.80s' is unexpected", key);
	}
	return c == &capabilities ? negotiate(s, call) : c->run(call);
}

/* What is not a command at all. NULL: it is one. */
static const char *malformed(json_t *message)
{
	const char *key;
	json_t *value;

	if (!json_is_object(message))
		return "a command is a JSON object: {\"execute\": NAME, \"arguments\": {...}, \"id\": ANYTHING}";
	json_object_foreach(message, key, value)
	{
		if (!is_in_list("execute arguments id", key))
			return "a command has the members \"execute\", \"arguments\" and \"id\", and no other";
	}
	if (!json_is_string(json_object_get(message, "execute")))
		return "a command needs \"execute\" with its name, a string";
	value = json_object_get(message, "arguments");
	if (value && !json_is_object(value))
		return "\"arguments\" must be an object";
	return NULL;
}

static void answer(struct qmp_session *s, json_t *message)
{
	struct qmp_call call = {.vm = s->vm, .hub = s->hub};
	const char *wrong = malformed(message);
	json_t *id = json_object_get(message, "id"), *reply;
	int rc;

	call.args = json_incref(json_object_get(message, "arguments"));
	if (!call.args)
		call.args = json_object();
	if (wrong) {
		rc = -EINVAL;
		err_set(&call.err, "%s", wrong);
	} else {
		rc = run_command(s, &call, json_string_value(json_object_get(message, "execute")));
	}
	if (rc)
		reply = error_object(call.class ? call.class : "GenericError", call.err.text);
	else
		reply = json_pack("{s:o}", "return", call.ret ? json_incref(call.ret) : json_object());
	if (id && reply)
		json_object_set(reply, "id", id);
	say(s, reply);
	json_decref(call.ret);
	json_decref(call.args);
}

/* ---- framing --------------------------------------------------------------------------------- */

static void start_line(struct qmp_session *s)
{
	s->line_used = 0;
	s->depth = 0;
	s->in_string = s->after_backslash = false;
}

static void end_line(struct qmp_session *s)
{
	json_error_t error;
	json_t *message;
	char text[JSON_ERROR_TEXT_LENGTH + 64];
	size_t first = 0;

	while (first < s->line_used && isspace((unsigned char)s->line[first]))
		first++;
	if (first < s->line_used) {
		message = json_loadb(s->line, s->line_used, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
		if (message) {
			answer(s, message);
			json_decref(message);
		} else {
			snprintf(text, sizeof(text), "Invalid JSON syntax: %s (byte %d)", error.text, error.position);
			qmp_complain(s, text);
		}
	}
	start_line(s);
}

/* The rest of the line is of no use. */
static void skip_line(struct qmp_session *s, const char *why)
{
	qmp_complain(s, why);
	start_line(s);
	s->skips = true;
}

/* What a byte means for the end of the command. */
static void scan(struct qmp_session *s, char c)
{
	if (s->in_string) {
		if (s->after_backslash)
			s->after_backslash = false;
		else if (c == '\\')
			s->after_backslash = true;
		else if (c == '"')
			s->in_string = false;
	} else if (c == '"') {
		s->in_string = true;
	} else if (c == '{' || c == '[') {
		if (++s->depth > QMP_DEPTH_MAX)
			skip_line(s, "Invalid JSON syntax: nested too deep");
	} else if ((c == '}' || c == ']') && s->depth > 0 && --s->depth == 0) {
		end_line(s);
	}
}

static void take_byte(struct qmp_session *s, char c)
{
	if (c == '\n') {
		if (!s->skips)
			end_line(s);
		s->skips = false;
	} else if (s->skips) {
		return;
	} else if (s->line_used == QMP_LINE_MAX) {
		skip_line(s, "the command is too long: 64 KiB at most");
	} else {
		s->line[s->line_used++] = c;
		scan(s, c);
	}
}

size_t qmp_input(struct qmp_session *s, const char *data, size_t bytes)
{
	size_t taken = 0;

	while (taken < bytes && s->out_used < QMP_OUT_HIGH && !s->is_dead)
		take_byte(s, data[taken++]);
	return taken;
}

void qmp_init(struct qmp_session *s, struct vm *vm, const struct qmp_hub *hub)
{
	memset(s, 0, offsetof(struct qmp_session, line));
	s->vm = vm;
	s->hub = hub;
	say(s, json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[]}}", "QMP", "version", "hotreg", "major",
		       HOTREG_VERSION_MAJOR, "minor", HOTREG_VERSION_MINOR, "micro", HOTREG_VERSION_MICRO, "package",
		       "hotreg " HOTREG_VERSION, "capabilities"));
}

void qmp_destroy(struct qmp_session *s)
{
	free(s->out);
	s->out = NULL;
	s->out_used = s->out_room = 0;
}
