// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctl_client.c: a connection to a control socket, from the client's side; see ctl_client.h.
 */
#include "vmm/ctl_client.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control_socket.h"
#include "vmm/text.h"

#define LINE_MAX_BYTES (16u << 20)
#define READ_BYTES 65536u
#define ANSWER_MS 60000 /* a program may be long to verify, and vCPUs to come to rest */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int left_ms(uint64_t until_ms)
{
	uint64_t now = now_ms();

	return until_ms > now ? (int)(until_ms - now) : 0;
}

void ctl_close(struct ctl_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->in);
	*c = (struct ctl_client){.fd = -1};
}

/* The first line of what has come, taken out of it; NULL: there is none. */
static json_t *take_line(struct ctl_client *c, int *rc, struct accel_err *err)
{
	char *end = c->used ? memchr(c->in, '\n', c->used) : NULL;
	json_error_t error;
	json_t *message;

	*rc = 0;
	if (!end)
		return NULL;
	message = json_loadb(c->in, (size_t)(end - c->in), 0, &error);
	if (!json_is_object(message)) {
		json_decref(message);
		*rc = err_fail(err, -EPROTO, "what answers there speaks no QMP");
		return NULL;
	}
	c->used -= (size_t)(end + 1 - c->in);
	memmove(c->in, end + 1, c->used);
	return message;
}

/* Reads what there is, once. */
static int read_some(struct ctl_client *c, struct accel_err *err)
{
	ssize_t n;

	if (c->room - c->used < READ_BYTES) {
		char *grown = c->room < LINE_MAX_BYTES ? realloc(c->in, c->room + 2 * READ_BYTES) : NULL;

		if (!grown)
			return err_fail(err, -EPROTO, "what answers there says too much");
		c->in = grown;
		c->room += 2 * READ_BYTES;
	}
	n = recv(c->fd, c->in + c->used, READ_BYTES, MSG_DONTWAIT);
	if (n > 0)
		c->used += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		c->at_end = true;
	return 0;
}

int ctl_receive(struct ctl_client *c, int timeout_ms, json_t **message, struct accel_err *err)
{
	uint64_t until = now_ms() + (uint64_t)timeout_ms;
	int rc;

	for (;;) {
		struct pollfd pfd = {.fd = c->fd, .events = POLLIN};

		*message = take_line(c, &rc, err);
		if (*message || rc)
			return rc;
		if (c->at_end)
			return err_fail(err, -EPIPE, "the connection was closed");
		if (poll(&pfd, 1, left_ms(until)) == 0)
			return 0;
		rc = read_some(c, err);
		if (rc)
			return rc;
	}
}

int ctl_send(struct ctl_client *c, const char *command, json_t *args, struct accel_err *err)
{
	json_t *message = json_pack(
		"{s:s, s:o*, s:I}", "execute", command, "arguments", args, "id", (json_int_t)(c->last_id + 1));
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t bytes = text ? strlen(text) : 0, at = 0;
	uint64_t until = now_ms() + ANSWER_MS;
	int rc = 0;

	json_decref(message);
	if (!text)
		return err_fail(err, -EINVAL, "a word of the command is not UTF-8, or memory ran out");
	c->last_id++;
	text[bytes++] = '\n'; /* in place of the NUL */
	while (at < bytes && !rc) {
		struct pollfd pfd = {.fd = c->fd, .events = POLLOUT};
		ssize_t n = send(c->fd, text + at, bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			at += (size_t)n;
		else if (errno == EAGAIN && poll(&pfd, 1, left_ms(until)) == 0)
			rc = err_fail(err, -ETIMEDOUT, "hotreg does not read what it is sent");
		else if (errno != EAGAIN && errno != EINTR)
			rc = err_fail(err, -EPIPE, "the connection was closed: %s", strerror(errno));
	}
	free(text);
	return rc;
}

bool ctl_is_answer(const struct ctl_client *c, json_t *message, json_t **ret, const char **refusal)
{
	json_t *id = json_object_get(message, "id");

	*ret = json_object_get(message, "return");
	*refusal = NULL;
	if (!json_is_integer(id) || json_integer_value(id) != (json_int_t)c->last_id)
		return false;
	if (!*ret) {
		*refusal = json_string_value(json_object_get(json_object_get(message, "error"), "desc"));
		if (!*refusal)
			*refusal = "refused without a word";
	}
	return true;
}

int ctl_call(struct ctl_client *c, const char *command, json_t *args, json_t **ret, struct accel_err *err)
{
	uint64_t until = now_ms() + ANSWER_MS;
	const char *refusal;
	json_t *message, *answer;
	int rc = ctl_send(c, command, args, err);

	*ret = NULL;
	while (!rc) {
		rc = ctl_receive(c, left_ms(until), &message, err);
		if (rc)
			break;
		if (!message)
			return err_fail(err, -ETIMEDOUT, "hotreg does not answer");
		if (ctl_is_answer(c, message, &answer, &refusal)) {
			if (refusal)
				rc = err_fail(err, -EREMOTEIO, "%s", refusal);
			else
				*ret = json_incref(answer);
			json_decref(message);
			break;
		}
		json_decref(message); /* an event */
	}
	return rc;
}

bool ctl_wait(struct ctl_client *c, const char *event, int timeout_ms)
{
	uint64_t until = now_ms() + (uint64_t)timeout_ms;
	struct accel_err ignored;
	bool found = false;
	json_t *message;

	while (!found) {
		const char *name;
		int rc = ctl_receive(c, left_ms(until), &message, &ignored);

		if (rc || !message)
			return rc == -EPIPE && !event;
		name = json_string_value(json_object_get(message, "event"));
		found = event && name && strcmp(name, event) == 0;
		json_decref(message);
	}
	return true;
}

int ctl_open(struct ctl_client *c, const char *path, struct accel_err *err)
{
	json_t *greeting = NULL, *ret;
	const char *text;
	int rc;

	*c = (struct ctl_client){.fd = -1};
	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	c->fd = control_socket_connect(path, err);
	if (c->fd < 0)
		return c->fd;
	rc = ctl_receive(c, ANSWER_MS, &greeting, err);
	text = json_string_value(json_object_get(json_object_get(greeting, "error"), "desc"));
	if (!rc && text)
		rc = err_fail(err, -EBUSY, "%s", text);
	else if (!rc && !greeting)
		rc = err_fail(err, -ETIMEDOUT, "%s: hotreg does not answer", path);
	else if (!rc && !json_object_get(greeting, "QMP"))
		rc = err_fail(err, -EPROTO, "%s: what answers there speaks no QMP", path);
	json_decref(greeting);
	if (!rc) {
		rc = ctl_call(c, "qmp_capabilities", NULL, &ret, err);
		json_decref(ret);
	}
	if (rc)
		ctl_close(c);
	return rc;
}

const char *ctl_text(const json_t *object, const char *key, char *buf, size_t bytes)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(buf, bytes, "%s", text ? text : "");
	for (char *at = buf; *at; at++) {
		if (iscntrl((unsigned char)*at))
			*at = '?';
	}
	return buf;
}
