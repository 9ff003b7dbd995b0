// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_control.c: the control socket and its thread, against a VM that runs (the script backend, in no hurry):
 * many clients, floods, half lines, clients that never read, permissions, stale sockets, the end. What does
 * harm would be seen by a client that behaves: it must get its answers all the time. Run under TSan too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/control.h"
#include "vmm/control_socket.h"
#include "vmm/ctl_client.h"
#include "vmm/options.h"
#include "vmm/vm.h"

struct world {
	char dir[32], path[64], spec[80], script[64];
	struct options opt;
	struct vm *vm;
	pthread_t thread;
	int status;
	bool runs;
};

static void *run_thread(void *opaque)
{
	struct world *w = opaque;
	struct accel_err err = {.text = ""};

	w->status = vm_run(w->vm, &err);
	return NULL;
}

/* A script that is busy for years of virtual time: a fast timer, and one access at the end. */
static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct accel_err err;
	FILE *file;

	assert_non_null(w);
	strcpy(w->dir, "/tmp/hotreg-control.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	snprintf(w->spec, sizeof(w->spec), "unix:%s", w->path);
	snprintf(w->script, sizeof(w->script), "%s/script", w->dir);
	file = fopen(w->script, "w");
	assert_non_null(file);
	fputs("0 w pio 0x43 1 0x34\n0 w pio 0x40 1 0x02\n0 w pio 0x40 1 0x00\n9000000000000000000 r pio 0x2345 1 "
	      "0xff\n",
		file);
	fclose(file);
	w->opt = (struct options){
		.mem_bytes = 1 << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SCRIPT,
		.script = w->script,
		.accel = OPT_ACCEL_ON,
		.serial = "none",
		.qmp = w->spec,
		.quiet = true,
	};
	w->vm = malloc(sizeof(*w->vm));
	assert_non_null(w->vm);
	assert_int_equal(vm_create(w->vm, &w->opt, &err), 0);
	assert_int_equal(pthread_create(&w->thread, NULL, run_thread, w), 0);
	w->runs = true;
	*state = w;
	return 0;
}

static void end(struct world *w)
{
	if (w->runs)
		pthread_join(w->thread, NULL);
	w->runs = false;
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (w->runs)
		vm_request_stop(w->vm, 0, "the test ended");
	end(w);
	vm_destroy(w->vm);
	assert_int_not_equal(access(w->path, F_OK), 0);
	unlink(w->script);
	assert_int_equal(rmdir(w->dir), 0);
	free(w->vm);
	free(w);
	return 0;
}

/* A client that does nothing by itself: what it gets is read by the test, if at all. */
static int plain_client(struct world *w)
{
	struct accel_err err;
	int fd = control_socket_connect(w->path, &err);

	assert_true(fd >= 0);
	return fd;
}

static void open_client(struct world *w, struct ctl_client *c)
{
	struct accel_err err;

	if (ctl_open(c, w->path, &err) != 0)
		fail_msg("%s", err.text);
}

/* A whole round: stop, is paused, cont, and all of that within a few seconds. */
static void still_answers(struct ctl_client *c)
{
	static const char *const commands[] = {"stop", "query-status", "cont", "query-status"};
	struct accel_err err;
	json_t *ret;

	for (unsigned i = 0; i < 4; i++) {
		if (ctl_call(c, commands[i], NULL, &ret, &err) != 0)
			fail_msg("%s: %s", commands[i], err.text);
		if (i & 1)
			assert_string_equal(
				json_string_value(json_object_get(ret, "status")), i == 1 ? "paused" : "running");
		json_decref(ret);
	}
}

static void test_permissions(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(lstat(w->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid());
}

/* Also under a umask that takes away more, or nothing. */
static void test_umask(void **state)
{
	static const mode_t masks[] = {0, 022, 077, 0777};
	char dir[] = "/tmp/hotreg-control.XXXXXX", path[64];
	struct control_socket s;
	struct accel_err err;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	for (unsigned i = 0; i < 4; i++) {
		mode_t old = umask(masks[i]);

		assert_int_equal(control_socket_open(&s, path, &err), 0);
		umask(old);
		assert_int_equal(lstat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600 & ~masks[i]);
		control_socket_close(&s);
		assert_int_not_equal(access(path, F_OK), 0);
	}
	rmdir(dir);
}

static void test_socket_file(void **state)
{
	char dir[] = "/tmp/hotreg-control.XXXXXX", path[64], other[64], longer[300];
	struct control_socket s, second;
	struct accel_err err;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(other, sizeof(other), "%s/t", dir);
	assert_int_equal(control_socket_open(&s, path, &err), 0);
	assert_int_equal(control_socket_open(&second, path, &err), -EADDRINUSE); /* somebody listens */
	assert_non_null(strstr(err.text, "somebody listens"));
	/* dead: what remains when its process was killed */
	close(s.fd);
	assert_int_equal(control_socket_connect(path, &err), -ECONNREFUSED);
	assert_non_null(strstr(err.text, "is gone"));
	assert_int_equal(control_socket_open(&second, path, &err), 0);
	/* the first owner's end does not take the second's away */
	s.fd = open("/dev/null", O_RDONLY);
	control_socket_close(&s);
	assert_int_equal(access(path, F_OK), 0);
	/* nor does ours, when somebody else has put his there */
	assert_int_equal(rename(path, other), 0);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	control_socket_close(&second);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(control_socket_open(&s, path, &err), -EEXIST); /* a file is nobody's socket */
	assert_non_null(strstr(err.text, "is no socket"));
	unlink(path);
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(control_socket_open(&s, path, &err), -EEXIST);
	unlink(path);
	unlink(other);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(control_socket_open(&s, longer, &err), -ENAMETOOLONG);
	assert_int_equal(control_socket_open(&s, "/no/such/folder/s", &err), -ENOENT);
	assert_int_equal(control_socket_connect("/no/such/folder/s", &err), -ENOENT);
	assert_non_null(strstr(err.text, "there is no socket"));
	rmdir(dir);
}

/* As many as there are places; the next is told, and gets one when another goes. */
static void test_many(void **state)
{
	struct world *w = *state;
	struct ctl_client c[CONTROL_MAX_CLIENTS], more;
	struct accel_err err;
	int rc = -1;

	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++)
		open_client(w, &c[i]);
	assert_int_equal(ctl_open(&more, w->path, &err), -EBUSY);
	assert_non_null(strstr(err.text, "too many clients"));
	still_answers(&c[0]);
	for (unsigned i = 1; i < CONTROL_MAX_CLIENTS; i++) { /* all were told */
		assert_true(ctl_wait(&c[i], "STOP", 5000));
		assert_true(ctl_wait(&c[i], "RESUME", 5000));
	}
	ctl_close(&c[3]);
	for (unsigned i = 0; i < 500 && rc; i++) {
		rc = ctl_open(&more, w->path, &err);
		usleep(rc ? 10000 : 0);
	}
	assert_int_equal(rc, 0);
	still_answers(&more);
	ctl_close(&more);
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++)
		ctl_close(&c[i]);
}

/* Half a line, nothing at all, and answers that are never read, all at the same time. */
static void test_hanging(void **state)
{
	static const char ask[] = "{\"execute\": \"query-commands\"}\n",
			  start[] = "{\"execute\": \"qmp_capabilities\"}\n";
	struct world *w = *state;
	int silent = plain_client(w), half = plain_client(w), deaf = plain_client(w), events = plain_client(w);
	struct ctl_client c;
	size_t sent = 0;

	open_client(w, &c);
	assert_int_equal(send(half, ask, 9, MSG_NOSIGNAL), 9);
	assert_int_equal(send(events, start, sizeof(start) - 1, MSG_NOSIGNAL), sizeof(start) - 1);
	assert_int_equal(send(deaf, start, sizeof(start) - 1, MSG_NOSIGNAL), sizeof(start) - 1);
	/* until nobody takes any more: the answers fill the way back, then the questions the way there */
	for (unsigned quiet = 0; quiet < 20;) {
		ssize_t n = send(deaf, ask, sizeof(ask) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

		assert_true(n > 0 || errno == EAGAIN);
		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		assert_true(sent < 64u << 20);
		if (n < 0)
			usleep(5000);
	}
	for (unsigned i = 0; i < 20; i++)
		still_answers(&c); /* 40 events for those who do not read them */
	close(deaf);
	close(silent);
	close(half);
	close(events);
	still_answers(&c);
	ctl_close(&c);
}

/* Bytes of all kinds, as fast as they are taken, by clients that come and go. */
static void test_flood(void **state)
{
	struct world *w = *state;
	struct ctl_client c;
	char junk[4096];
	uint32_t seed = 1;

	open_client(w, &c);
	for (unsigned round = 0; round < 40; round++) {
		int fd = plain_client(w);
		struct pollfd pfd = {.fd = fd, .events = POLLIN};

		for (size_t i = 0; i < sizeof(junk); i++) {
			seed = seed * 1664525 + 1013904223;
			junk[i] = round % 4 == 0   ? (char)(seed >> 24)
				  : round % 4 == 1 ? '['
				  : round % 4 == 2 ? '\n'
						   : 'x';
		}
		for (unsigned i = 0; i < 32; i++) {
			if (send(fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
				break;
		}
		if (round & 1)
			poll(&pfd, 1, 100); /* the greeting */
		if (round % 5 == 0)
			still_answers(&c);
		close(fd); /* with answers unread */
	}
	still_answers(&c);
	ctl_close(&c);
}

static void test_end_by_quit(void **state)
{
	struct world *w = *state;
	struct ctl_client c, watcher;
	struct accel_err err;
	json_t *ret, *message, *data;

	open_client(w, &c);
	open_client(w, &watcher);
	assert_int_equal(ctl_call(&c, "quit", NULL, &ret, &err), 0);
	json_decref(ret);
	assert_int_equal(ctl_receive(&watcher, 5000, &message, &err), 0);
	assert_non_null(message);
	assert_string_equal(json_string_value(json_object_get(message, "event")), "SHUTDOWN");
	data = json_object_get(message, "data");
	assert_true(json_is_false(json_object_get(data, "guest")));
	assert_string_equal(json_string_value(json_object_get(data, "reason")), "host-qmp-quit");
	json_decref(message);
	assert_true(ctl_wait(&c, NULL, 5000));
	assert_true(ctl_wait(&watcher, NULL, 5000));
	end(w);
	assert_int_equal(w->status, EXIT_GUEST_SHUTDOWN);
	ctl_close(&c);
	ctl_close(&watcher);
}

/* A VM that ends with deaf clients does not wait for them. */
static void test_end_with_deaf_client(void **state)
{
	static const char ask[] = "{\"execute\": \"qmp_capabilities\"}{\"execute\": \"x-hotreg-stats\"}";
	struct world *w = *state;
	int deaf = plain_client(w);
	struct timespec before, after;

	for (unsigned i = 0; i < 200; i++) {
		if (send(deaf, ask, sizeof(ask) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	}
	usleep(100000);
	clock_gettime(CLOCK_MONOTONIC, &before);
	vm_request_stop(w->vm, 3, "the test's wish");
	end(w);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_in_range(after.tv_sec - before.tv_sec, 0, 5);
	assert_int_equal(w->status, 3);
	close(deaf);
}

/* Statistics, modes and programs from two clients while the vCPU is at work. */
struct changer {
	struct world *w;
	unsigned failed;
};

static void *change(void *opaque)
{
	static const char *const modes[] = {"off", "on", "check"};
	struct changer *changer = opaque;
	struct ctl_client c;
	struct accel_err err;
	json_t *ret;

	if (ctl_open(&c, changer->w->path, &err) != 0) {
		changer->failed++;
		return NULL;
	}
	for (unsigned i = 0; i < 60; i++) {
		changer->failed +=
			ctl_call(&c, "x-hotreg-accel", json_pack("{s:s}", "mode", modes[i % 3]), &ret, &err) != 0;
		json_decref(ret);
		changer->failed += ctl_call(&c, i % 2 ? "x-hotreg-prog-attach" : "x-hotreg-prog-detach",
					   json_pack("{s:s}", "device", "i8254"), &ret, &err) != 0;
		json_decref(ret);
	}
	ctl_close(&c);
	return NULL;
}

static void test_changes(void **state)
{
	struct world *w = *state;
	struct ctl_client c;
	struct accel_err err;
	struct changer changer = {.w = w};
	pthread_t thread;
	json_t *ret;

	open_client(w, &c);
	assert_int_equal(pthread_create(&thread, NULL, change, &changer), 0);
	for (unsigned i = 0; i < 60; i++) {
		assert_int_equal(
			ctl_call(&c, "x-hotreg-stats", json_pack("{s:b}", "count", (int)(i % 2)), &ret, &err), 0);
		assert_string_equal(json_string_value(json_object_get(ret, "schema")), "hotreg-stats-1");
		json_decref(ret);
	}
	pthread_join(thread, NULL);
	assert_int_equal(changer.failed, 0);
	still_answers(&c);
	ctl_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
		cmocka_unit_test(test_umask),
		cmocka_unit_test(test_socket_file),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hanging, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_by_quit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_with_deaf_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
