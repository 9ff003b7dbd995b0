// SPDX-License-Identifier: BSD-2-Clause
/*
 * event.c: a small epoll loop; see event.h. Level-triggered: a handler that leaves something
 * unread is called again.
 */
#include "vmm/event.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

int event_init(struct event_loop *loop)
{
	*loop = (struct event_loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	return loop->epoll_fd < 0 ? -errno : 0;
}

void event_destroy(struct event_loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

int event_add(struct event_loop *loop, int fd, void (*ready)(void *opaque), void *opaque)
{
	struct epoll_event event = {.events = EPOLLIN};
	unsigned slot = 0;

	while (slot < loop->count && loop->sources[slot].ready)
		slot++;
	if (slot == EVENT_MAX_SOURCES)
		return -ENOSPC;
	event.data.u32 = slot;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	loop->sources[slot] = (struct event_source){fd, ready, opaque};
	if (slot == loop->count)
		loop->count++;
	return 0;
}

void event_remove(struct event_loop *loop, int fd)
{
	for (unsigned i = 0; i < loop->count; i++) {
		if (!loop->sources[i].ready || loop->sources[i].fd != fd)
			continue;
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		loop->sources[i].ready = NULL;
	}
}

int event_wait(struct event_loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENT_MAX_SOURCES];
	int count = epoll_wait(loop->epoll_fd, events, EVENT_MAX_SOURCES, timeout_ms);

	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		struct event_source *source = &loop->sources[events[i].data.u32];

		if (source->ready) /* not removed by a handler just before */
			source->ready(source->opaque);
	}
	return 0;
}
