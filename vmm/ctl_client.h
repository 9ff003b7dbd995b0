/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl_client.h: the other end of the control socket: a connection of `hotreg ctl`, `stats` and `top`.
 * It trusts the other side no more than a file: lines are bounded, waiting ends.
 */
#ifndef VMM_CTL_CLIENT_H
#define VMM_CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "accel/accel.h"

struct ctl_client {
	int fd;
	bool at_end; /* the other side has closed */
	unsigned last_id;
	size_t used, room;
	char *in;
};

/* Connects to PATH or unix:PATH and negotiates. 0 or -errno with err. */
int ctl_open(struct ctl_client *c, const char *path, struct accel_err *err);
void ctl_close(struct ctl_client *c);
/* Sends a command; takes args, which may be NULL. 0 or -errno with err. */
int ctl_send(struct ctl_client *c, const char *command, json_t *args, struct accel_err *err);
/*
 * The next message that is there after at most timeout_ms (0: does not wait): 0 with *message, which is NULL
 * when there is none yet; -EPIPE with err when the other side has closed, or another -errno.
 */
int ctl_receive(struct ctl_client *c, int timeout_ms, json_t **message, struct accel_err *err);
/* The answer to the last command, or none of it. Borrowed from message; *refusal is the other side's error. */
bool ctl_is_answer(const struct ctl_client *c, json_t *message, json_t **ret, const char **refusal);
/*
 * Sends and waits: 0 with *ret, the caller's; -EREMOTEIO with the other side's own words in err; or
 * another -errno with err.
 */
int ctl_call(struct ctl_client *c, const char *command, json_t *args, json_t **ret, struct accel_err *err);
/* Waits for an event, NULL: for the end of the connection. False: not within timeout_ms. */
bool ctl_wait(struct ctl_client *c, const char *event, int timeout_ms);

/* A member of an object that is a string, with nothing in it that moves a terminal's cursor; "" when it is none. */
const char *ctl_text(const json_t *object, const char *key, char *buf, size_t bytes);

#endif
