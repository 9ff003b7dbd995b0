/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chardev.h: where a serial line or debug console goes: the terminal, a file, or nowhere.
 *
 * Output may be written from any thread (one write(2) each, errors ignored after a first
 * message). Input of "stdio" comes from the event thread through the receiver. The terminal is
 * put in raw mode only when standard input is one, and restored by chardev_destroy() and on
 * fatal signals. In raw mode Ctrl-C still ends hotreg, and so does Ctrl-A X; Ctrl-A C sends the
 * guest a Ctrl-C, Ctrl-A Ctrl-A a Ctrl-A.
 */
#ifndef VMM_CHARDEV_H
#define VMM_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h"

struct chardev;

/*
 * spec: "stdio", "none" or NULL (*out is then NULL), or a file that is created or truncated.
 * with_input: this is the one that standard input belongs to. 0 or -errno with err.
 */
int chardev_open(const char *spec, bool with_input, struct chardev **out, struct accel_err *err);
void chardev_destroy(struct chardev *chr);				/* NULL is fine */
void chardev_write(struct chardev *chr, const void *buf, size_t bytes); /* NULL is fine */
/* Lets go of writers that wait for a reader of the output; from then on what would block is lost. NULL is fine. */
void chardev_abort(struct chardev *chr);
/* Bytes typed, from the event thread, no lock held. One receiver; before vm_run(). */
void chardev_set_receiver(
	struct chardev *chr, void (*rx)(void *opaque, const uint8_t *buf, size_t bytes), void *opaque);
int chardev_input_fd(const struct chardev *chr); /* -1: no input, or its end was reached; NULL is fine */
/* Event thread: reads what is there and hands it on. Returns 1 when the person asked to quit, 0 else. */
int chardev_input(struct chardev *chr);

#endif
