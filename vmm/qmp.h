/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * qmp.h: one client's side of the control protocol: bytes in, bytes out, no file descriptor.
 *
 * The framing is QMP's: a greeting, qmp_capabilities, then one JSON object a command and one an answer,
 * events in between. A command ends with its last brace or its line, whichever comes first. All
 * buffers are bounded, and whatever the bytes are, the next line starts afresh. Control thread only.
 */
#ifndef VMM_QMP_H
#define VMM_QMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "accel/accel.h"

#define QMP_LINE_MAX 65536u    /* bytes of one command */
#define QMP_DEPTH_MAX 32u      /* of brackets in one */
#define QMP_OUT_HIGH 65536u    /* with as much unread, no further command is looked at */
#define QMP_OUT_MAX (4u << 20) /* with as much unread, the client is let go */

struct vm;

/* Where events go: to every client. */
struct qmp_hub {
	/* Takes data, which may be NULL. */
	void (*event)(void *opaque, const char *name, json_t *data);
	void *opaque;
};

struct qmp_session {
	/* constant after qmp_init */
	struct vm *vm;
	const struct qmp_hub *hub;
	/* answers, sent bytes first */
	char *out;
	size_t out_used, out_room;
	bool is_dead; /* the output was more than its bound, or memory ran out: let the client go */
	/* the command that is coming in */
	bool negotiated;
	bool skips; /* to the end of the line */
	bool in_string, after_backslash;
	unsigned depth;
	size_t line_used;
	char line[QMP_LINE_MAX];
};

/* One command on its way. */
struct qmp_call {
	struct vm *vm;
	const struct qmp_hub *hub;
	json_t *args;	   /* an object */
	json_t *ret;	   /* the answer; NULL: {} */
	const char *class; /* of the error; NULL: GenericError */
	struct accel_err err;
};

/* A row of a table of commands, which a NULL name ends. */
struct qmp_command {
	const char *name;
	int (*run)(struct qmp_call *call); /* 0, or -errno with err */
	const char *args;		   /* names of the members it takes, a blank between them */
};

extern const struct qmp_command qmp_basic_commands[], qmp_live_commands[];

/* Begins with the greeting in its output. */
void qmp_init(struct qmp_session *s, struct vm *vm, const struct qmp_hub *hub);
void qmp_destroy(struct qmp_session *s);
/* Takes bytes; returns how many, which is less than all while QMP_OUT_HIGH bytes are unread. */
size_t qmp_input(struct qmp_session *s, const char *data, size_t bytes);
/* `bytes` of the output have been sent. */
void qmp_sent(struct qmp_session *s, size_t bytes);
/* To a client that has ended its negotiation. data is borrowed and may be NULL. */
void qmp_event(struct qmp_session *s, const char *name, json_t *data);
/* An error that answers no command. */
void qmp_complain(struct qmp_session *s, const char *text);

/* A string of any bytes: what is not UTF-8 becomes '?'. Never NULL but without memory. */
json_t *qmp_text(const char *text);

#endif
