// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_ctl.c: the client's side: what `hotreg ctl` makes of a server that speaks something else, too much or
 * nothing, and what `hotreg top` draws: rates by hand, its bounds, and no byte of a name that moves the cursor.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/control_socket.h"
#include "vmm/ctl.h"
#include "vmm/ctl_client.h"
#include "vmm/top.h"

/* ---- the connection --------------------------------------------------------------------------- */

struct server {
	struct control_socket socket;
	char path[64];
	const char *text;
	size_t repeat;	/* that often */
	unsigned hears; /* commands before it closes */
};

static void *serve(void *opaque)
{
	struct server *server = opaque;
	int fd = -1;
	char c;

	while ((fd = accept(server->socket.fd, NULL, NULL)) < 0)
		usleep(1000);
	for (size_t i = 0; i < server->repeat; i++) {
		if (send(fd, server->text, strlen(server->text), MSG_NOSIGNAL) < 0)
			break;
	}
	while (server->hears && recv(fd, &c, 1, 0) == 1)
		server->hears -= c == '\n';
	close(fd);
	return NULL;
}

/* The result of a connection and, if it comes about, one command. */
static int talk(const char *text, size_t repeat, unsigned hears, struct accel_err *err)
{
	struct server server = {.text = text, .repeat = repeat, .hears = hears};
	char dir[] = "/tmp/hotreg-ctl.XXXXXX";
	struct ctl_client c;
	pthread_t thread;
	json_t *ret = NULL;
	int rc;

	assert_non_null(mkdtemp(dir));
	snprintf(server.path, sizeof(server.path), "%s/s", dir);
	assert_int_equal(control_socket_open(&server.socket, server.path, err), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, &server), 0);
	err->text[0] = '\0';
	rc = ctl_open(&c, server.path, err);
	if (!rc)
		rc = ctl_call(&c, "stop", json_pack("{s:i}", "x", 1), &ret, err);
	json_decref(ret);
	ctl_close(&c);
	pthread_join(thread, NULL);
	control_socket_close(&server.socket);
	rmdir(dir);
	return rc;
}

static void test_servers(void **state)
{
	static const char hello[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
	struct accel_err err;
	static char endless[65536];
	char text[400];

	(void)state;
	assert_int_equal(talk("", 0, 0, &err), -EPIPE); /* closes at once */
	assert_int_equal(talk("SSH-2.0-whatever\r\n", 1, 0, &err), -EPROTO);
	assert_non_null(strstr(err.text, "speaks no QMP"));
	assert_int_equal(talk("[1]\r\n", 1, 0, &err), -EPROTO);
	assert_int_equal(talk("{\"hello\": 1}\r\n", 1, 0, &err), -EPROTO);
	assert_int_equal(
		talk("{\"error\": {\"class\": \"GenericError\", \"desc\": \"too many\"}}\r\n", 1, 0, &err), -EBUSY);
	assert_string_equal(err.text, "too many");
	memset(endless, 'x', sizeof(endless) - 1);
	assert_int_equal(talk(endless, 4096, 0, &err), -EPROTO); /* a line without end */
	assert_non_null(strstr(err.text, "says too much"));
	assert_int_equal(talk(hello, 1, 1, &err), -EPIPE); /* and then nothing */
	/* answers to commands that were not given, then the two that were */
	snprintf(text, sizeof(text),
		"%s{\"return\": {}, \"id\": 7}\r\n{\"event\": \"STOP\"}\r\n{\"return\": {}, \"id\": 1}\r\n"
		"{\"return\": 1}\r\n{\"error\": {\"desc\": \"no\"}, \"id\": 2}\r\n",
		hello);
	assert_int_equal(talk(text, 1, 2, &err), -EREMOTEIO);
	assert_string_equal(err.text, "no");
	snprintf(text, sizeof(text), "%s{\"return\": {}, \"id\": 1}\r\n{\"error\": 5, \"id\": 2}\r\n", hello);
	assert_int_equal(talk(text, 1, 2, &err), -EREMOTEIO);
	snprintf(text, sizeof(text), "%s{\"return\": {}, \"id\": 1}\r\n{\"return\": {}, \"id\": 2}\r\n", hello);
	assert_int_equal(talk(text, 1, 2, &err), 0);
}

/* Wrong command lines end with 2 before anything is sent, with one line on standard error. */
static void test_usage(void **state)
{
	static char *lines[][8] = {
		{"ctl", NULL},
		{"ctl", "/no/such", NULL},
		{"ctl", "--wrong", "/no/such", "stop", NULL},
		{"ctl", "/no/such", "stop", NULL},
		{"ctl", "/no/such", "nonsense", NULL},
		{"ctl", "/no/such", "prog", NULL},
		{"ctl", "/no/such", "prog", "nonsense", NULL},
		{"ctl", "/no/such", "prog", "replace", "hpet", NULL},
		{"ctl", "/no/such", "stop", "more", NULL},
		{"ctl", "/no/such", "accel", "on", "more", NULL},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int argc = 0;

		while (lines[i][argc])
			argc++;
		assert_int_equal(ctl_command(argc, lines[i]), CTL_FAILED);
	}
	assert_int_equal(ctl_command(2, (char *[]){"ctl", "--help", NULL}), 0);
	assert_int_equal(stats_command(1, (char *[]){"stats", NULL}), CTL_FAILED);
	assert_int_equal(stats_command(4, (char *[]){"stats", "--count", "maybe", "/no/such", NULL}), CTL_FAILED);
	assert_int_equal(stats_command(2, (char *[]){"stats", "/no/such", NULL}), CTL_FAILED);
	assert_int_equal(stats_command(2, (char *[]){"stats", "--help", NULL}), 0);
	assert_int_equal(top_command(1, (char *[]){"top", NULL}), CTL_FAILED);
	assert_int_equal(top_command(4, (char *[]){"top", "--interval", "0", "/no/such", NULL}), CTL_FAILED);
	assert_int_equal(top_command(2, (char *[]){"top", "/no/such", NULL}), CTL_FAILED);
	assert_int_equal(top_command(2, (char *[]){"top", "--help", NULL}), 0);
}

/* ---- top -------------------------------------------------------------------------------------- */

static json_t *report(double at_s, int pm_reads, int pm_answered, int pit_writes)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:i, s:[{s:s, s:s, s:s, s:{s:i, s:i, s:i, s:{s:f}}},"
			 "{s:s, s:s, s:s, s:{s:i, s:i, s:i}}]}",
		"status", "running", "cpu", "soft", "accel", "on", "now_ns", (json_int_t)(at_s * 1e9), "run_ns",
		(json_int_t)(at_s * 1e9), "exits", pm_reads + pit_writes, "registers", "range", "pm", "name",
		"PM timer", "bus", "pio", "read", "accesses", pm_reads, "answered", pm_answered, "punted",
		pm_reads - pm_answered, "program", "p50_ns", 54.4, "range", "i8254", "name", "counter\033[2J 0", "bus",
		"pio", "write", "accesses", pit_writes, "answered", 0, "punted", pit_writes);
}

static char *frame(json_t *before, json_t *now, unsigned rows, unsigned columns)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	assert_non_null(out);
	top_frame(before, now, "vm.sock", rows, columns, out);
	fclose(out);
	return text;
}

static void want(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in:\n%s", part, text);
}

static void test_frame(void **state)
{
	json_t *before = report(10, 1000, 900, 100), *now = report(12, 3000, 2900, 150);
	char *text = frame(before, now, 24, 120);

	(void)state;
	/* in two seconds 2000 reads, all answered, and 50 writes that punted: 1025 a second, 97.6 % */
	want(text, "1025 exits/s, 1025 accesses/s, 97.6 % of them answered");
	want(text, "pm PM timer                      read        1000       1000         0  100.0       54        -    "
		   "     3000");
	want(text, "write         25          0        25    0.0");
	want(text, "counter?[2J 0");						  /* not as an escape */
	assert_true(strstr(text, "pm PM timer") < strstr(text, "i8254 counter")); /* the busiest first */
	free(text);
	text = frame(NULL, now, 24, 120); /* the first: no rates yet */
	want(text, "0 exits/s, 0 accesses/s");
	free(text);
	text = frame(now, before, 24, 120); /* a counter that fell is another VM's */
	want(text, "0 exits/s, 0 accesses/s");
	free(text);
	json_decref(before);
	json_decref(now);
}

/* Never more lines than rows, nor a line wider than the screen. */
static void test_frame_bounds(void **state)
{
	json_t *before = report(10, 1000, 900, 100), *now = report(12, 3000, 2900, 150);

	(void)state;
	for (unsigned rows = 0; rows < 12; rows++) {
		for (unsigned columns = 0; columns < 130; columns += 7) {
			char *text = frame(before, now, rows, columns);
			unsigned lines = *text ? 1 : 0, width = 0;

			for (const char *at = text; *at; at++) {
				if (*at == '\033') { /* up to its letter: nothing on the screen */
					at += strcspn(at, "mKJH");
				} else if (*at == '\n') {
					lines++;
					width = 0;
				} else if (*at != '\r') {
					assert_in_range(++width, 1, columns);
				}
			}
			assert_in_range(lines, 0, rows);
			free(text);
		}
	}
	json_decref(before);
	json_decref(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_frame_bounds),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
