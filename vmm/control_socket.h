/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_socket.h: the socket file of --qmp: its owner's alone, taken over from a dead hotreg but
 * never from a live one, and removed by who made it.
 */
#ifndef VMM_CONTROL_SOCKET_H
#define VMM_CONTROL_SOCKET_H

#include <sys/types.h>
#include <time.h>

#include "accel/accel.h"

struct control_socket {
	int fd; /* listens, non-blocking */
	char *path;
	dev_t dev; /* the file that we made */
	ino_t ino;
	struct timespec made; /* numbers of inodes are used again */
};

/* 0 or -errno with err. The path is copied; relative ones stay so. */
int control_socket_open(struct control_socket *s, const char *path, struct accel_err *err);
/* Also removes the file, unless somebody has put another in its place. */
void control_socket_close(struct control_socket *s);
/* A client's connection to the socket at path: the descriptor, or -errno with err. */
int control_socket_connect(const char *path, struct accel_err *err);

#endif
