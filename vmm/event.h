/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event.h: the event thread's loop: file descriptors and what to call when one is readable.
 * Single-threaded: everything here runs in the thread that calls event_wait().
 */
#ifndef VMM_EVENT_H
#define VMM_EVENT_H

#define EVENT_MAX_SOURCES 8

struct event_source {
	int fd;
	void (*ready)(void *opaque);
	void *opaque;
};

struct event_loop {
	int epoll_fd;
	struct event_source sources[EVENT_MAX_SOURCES];
	unsigned count;
};

/* 0 or -errno. */
int event_init(struct event_loop *loop);
void event_destroy(struct event_loop *loop);
/* The fd stays the caller's. 0 or -errno; -EPERM: this kind of file is always readable. */
int event_add(struct event_loop *loop, int fd, void (*ready)(void *opaque), void *opaque);
void event_remove(struct event_loop *loop, int fd);
/* Waits at most timeout_ms (-1: for ever) and calls what is ready, each once. 0 or -errno. */
int event_wait(struct event_loop *loop, int timeout_ms);

#endif
