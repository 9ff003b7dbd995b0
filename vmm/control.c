// SPDX-License-Identifier: BSD-2-Clause
/*
 * control.c: the thread behind --qmp: one poll loop over the listening socket, the clients, and an
 * eventfd through which the VM says that something happened. The socket file is control_socket.c.
 *
 * Everything here is non-blocking and bounded. A client's bytes are read only when the ones before
 * have been used up, and those only while it reads its answers; so a client can hold up itself only.
 * At the end the answers and SHUTDOWN that are still under way get a moment to leave.
 */
#include "vmm/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control_socket.h"
#include "vmm/qmp.h"
#include "vmm/text.h"

#define READ_BYTES 4096
#define LAST_WORDS_MS 300  /* for what is unread at the end */
#define ACCEPT_WAIT_MS 100 /* without descriptors, before the next try */

struct client {
	int fd;	     /* -1: a free place */
	bool at_end; /* it sends no more; let it go once it has its answers */
	size_t in_at, in_used;
	char in[READ_BYTES];
	struct qmp_session qmp;
};

struct control {
	/* constant after control_start */
	struct control_socket socket;
	int notify_fd;
	struct vm *vm;
	pthread_t thread;
	bool is_started;
	/* any thread */
	_Atomic uint32_t events; /* 1 << enum vm_event */
	_Atomic bool ends;
	/* control thread */
	struct qmp_hub hub;
	bool told_shutdown;
	bool cannot_accept; /* out of descriptors: not now */
	struct client *clients[CONTROL_MAX_CLIENTS];
};

/* ---- clients --------------------------------------------------------------------------------- */

static void client_close(struct control *control, unsigned place)
{
	struct client *client = control->clients[place];

	close(client->fd);
	qmp_destroy(&client->qmp);
	free(client);
	control->clients[place] = NULL;
}

static void client_send(struct client *client)
{
	while (client->qmp.out_used > 0) {
		ssize_t n = send(client->fd, client->qmp.out, client->qmp.out_used, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			client->qmp.is_dead |= errno != EAGAIN;
			return;
		}
		qmp_sent(&client->qmp, (size_t)n);
	}
}

/* Works on what has come, as far as the client reads its answers. */
static void client_work(struct client *client)
{
	size_t taken;

	do {
		taken = qmp_input(&client->qmp, client->in + client->in_at, client->in_used - client->in_at);
		client->in_at += taken;
		client_send(client);
	} while (taken > 0 && client->in_at < client->in_used && !client->qmp.is_dead);
}

static void client_receive(struct client *client)
{
	ssize_t n = recv(client->fd, client->in, sizeof(client->in), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	client->in_at = 0;
	client->in_used = n > 0 ? (size_t)n : 0;
	client->at_end = n <= 0;
}

static bool client_wants_input(const struct client *client)
{
	return !client->at_end && client->in_at == client->in_used && client->qmp.out_used < QMP_OUT_HIGH;
}

static bool client_is_over(const struct client *client)
{
	return client->qmp.is_dead || (client->at_end && client->in_at == client->in_used && client->qmp.out_used == 0);
}

/* Tells everybody. Takes data. */
static void broadcast(void *opaque, const char *name, json_t *data)
{
	struct control *control = opaque;

	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (control->clients[i])
			qmp_event(&control->clients[i]->qmp, name, data);
	}
	json_decref(data);
}

static void refuse_client(int fd)
{
	static const char text[] = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"too many clients: this "
				   "socket serves 8 at a time\"}}\r\n";

	_Static_assert(CONTROL_MAX_CLIENTS == 8, "the text says so");
	if (send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		/* it is let go all the same */
	}
	close(fd);
}

static void accept_client(struct control *control)
{
	int fd = accept4(control->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;
	unsigned place = 0;

	if (fd < 0) {
		control->cannot_accept = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
		return;
	}
	while (place < CONTROL_MAX_CLIENTS && control->clients[place])
		place++;
	client = place < CONTROL_MAX_CLIENTS ? malloc(sizeof(*client)) : NULL;
	if (!client) {
		refuse_client(fd);
		return;
	}
	client->fd = fd;
	client->at_end = false;
	client->in_at = client->in_used = 0;
	qmp_init(&client->qmp, control->vm, &control->hub);
	control->clients[place] = client;
}

/* ---- events ---------------------------------------------------------------------------------- */

static const char *shutdown_reason(const struct vm *vm)
{
	if (atomic_load(&vm->stopped_by_guest))
		return "guest-shutdown";
	if (strcmp(vm->stop_reason, VM_ENDED_BY_QUIT) == 0)
		return "host-qmp-quit";
	return atomic_load(&vm->exit_status) == EXIT_CPU_FAILED ? "host-error" : "host-signal";
}

static void tell_events(struct control *control)
{
	uint32_t events = atomic_exchange(&control->events, 0);
	struct vm *vm = control->vm;
	bool by_guest;

	if (events & 1u << VM_EVENT_RESET) {
		by_guest = atomic_load(&vm->reset_by_guest);
		broadcast(control, "RESET",
			json_pack("{s:b, s:s}", "guest", by_guest, "reason",
				by_guest ? "guest-reset" : "host-qmp-system-reset"));
	}
	if ((events & 1u << VM_EVENT_SHUTDOWN) && !control->told_shutdown) {
		control->told_shutdown = true;
		broadcast(control, "SHUTDOWN",
			json_pack("{s:b, s:s, s:i, s:o}", "guest", atomic_load(&vm->stopped_by_guest), "reason",
				shutdown_reason(vm), "x-hotreg-status", atomic_load(&vm->exit_status), "x-hotreg-text",
				qmp_text(vm->stop_reason)));
	}
}

void control_post(struct control *control, enum vm_event event)
{
	const uint64_t one = 1;

	if (!control)
		return;
	atomic_fetch_or(&control->events, 1u << event);
	if (write(control->notify_fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: the counter is full, so the thread is awake */
}

/* ---- the thread ------------------------------------------------------------------------------ */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

enum { POLL_LISTEN, POLL_NOTIFY, POLL_CLIENTS, POLL_COUNT = POLL_CLIENTS + CONTROL_MAX_CLIENTS };

static void fill_poll(const struct control *control, struct pollfd *fds)
{
	fds[POLL_LISTEN] = (struct pollfd){.fd = control->cannot_accept ? -1 : control->socket.fd, .events = POLLIN};
	fds[POLL_NOTIFY] = (struct pollfd){.fd = control->notify_fd, .events = POLLIN};
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		const struct client *client = control->clients[i];
		short events = 0;

		if (client)
			events = (short)((client_wants_input(client) ? POLLIN : 0) |
					 (client->qmp.out_used > 0 ? POLLOUT : 0));
		fds[POLL_CLIENTS + i] = (struct pollfd){.fd = client ? client->fd : -1, .events = events};
	}
}

static void serve_clients(struct control *control, const struct pollfd *fds)
{
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		struct client *client = control->clients[i];
		short ready = fds[POLL_CLIENTS + i].revents;

		if (!client || !ready)
			continue;
		if (ready & POLLOUT)
			client_send(client);
		/* also when it hung up: what it sent before is done, and the end found */
		if ((ready & (POLLIN | POLLHUP | POLLERR)) && client_wants_input(client))
			client_receive(client);
		client->qmp.is_dead |= (ready & (POLLERR | POLLHUP)) && client->at_end;
		client_work(client);
	}
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (control->clients[i] && client_is_over(control->clients[i]))
			client_close(control, i);
	}
}

static bool has_output(const struct control *control)
{
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (control->clients[i] && control->clients[i]->qmp.out_used > 0)
			return true;
	}
	return false;
}

/* One turn. */
static void turn(struct control *control, int timeout_ms)
{
	struct pollfd fds[POLL_COUNT];
	uint64_t count;

	fill_poll(control, fds);
	if (poll(fds, POLL_COUNT, control->cannot_accept ? ACCEPT_WAIT_MS : timeout_ms) < 0)
		return;
	control->cannot_accept = false;
	if (fds[POLL_NOTIFY].revents && read(control->notify_fd, &count, sizeof(count)) < 0) {
		/* EAGAIN cannot be: this thread is the only reader */
	}
	serve_clients(control, fds);
	tell_events(control);
	if (fds[POLL_LISTEN].revents)
		accept_client(control);
}

static void *control_thread(void *opaque)
{
	struct control *control = opaque;
	uint64_t until;

	while (!atomic_load(&control->ends))
		turn(control, -1);
	tell_events(control);
	until = now_ms() + LAST_WORDS_MS;
	while (has_output(control) && now_ms() < until)
		turn(control, 20);
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (control->clients[i])
			client_close(control, i);
	}
	return NULL;
}

int control_new(const char *spec, struct control **out, struct accel_err *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int rc;

	*out = NULL;
	if (!control)
		return err_fail(err, -ENOMEM, "--qmp: out of memory");
	control->hub = (struct qmp_hub){.event = broadcast, .opaque = control};
	control->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control->notify_fd < 0) {
		rc = err_fail(err, -errno, "--qmp: eventfd: %s", strerror(errno));
		free(control);
		return rc;
	}
	rc = control_socket_open(&control->socket, spec + strlen("unix:"), err);
	if (rc) {
		close(control->notify_fd);
		free(control);
		return rc;
	}
	*out = control;
	return 0;
}

int control_start(struct control *control, struct vm *vm)
{
	int rc;

	if (!control)
		return 0;
	control->vm = vm;
	rc = pthread_create(&control->thread, NULL, control_thread, control);
	control->is_started = rc == 0;
	return -rc;
}

void control_stop(struct control *control)
{
	if (!control || !control->is_started)
		return;
	atomic_store(&control->ends, true);
	control_post(control, VM_EVENT_SHUTDOWN);
	pthread_join(control->thread, NULL);
	control->is_started = false;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	control_socket_close(&control->socket);
	close(control->notify_fd);
	free(control);
}
