// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_chardev.c: files, a terminal (a pty in a child process) that goes raw and comes back,
 * Ctrl-A sequences, a reader that has stopped reading; the event loop; the screen at exit.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/chardev.h"
#include "vmm/event.h"
#include "vmm/screen.h"
#include "vmm/text.h"

static void test_none_and_errors(void **state)
{
	struct chardev *chr = (struct chardev *)1;
	struct accel_err err = {.text = ""};

	(void)state;
	assert_int_equal(chardev_open("none", true, &chr, &err), 0);
	assert_null(chr);
	assert_int_equal(chardev_open(NULL, true, &chr, &err), 0);
	assert_null(chr);
	chardev_write(NULL, "x", 1);
	chardev_abort(NULL);
	chardev_destroy(NULL);
	assert_int_equal(chardev_input_fd(NULL), -1);
	assert_true(chardev_open("/nonexistent/out", false, &chr, &err) < 0);
	assert_null(chr);
	assert_string_equal(err.text, "cannot create the output file /nonexistent/out: No such file or directory");
}

static void test_file(void **state)
{
	char path[] = "/tmp/hotreg-chr.XXXXXX";
	struct accel_err err;
	struct chardev *chr;
	size_t length;
	void *text;
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "old contents", 12), 12);
	close(fd);
	assert_int_equal(chardev_open(path, true, &chr, &err), 0);
	assert_int_equal(chardev_input_fd(chr), -1); /* a file gives no input */
	chardev_write(chr, "hello ", 6);
	chardev_write(chr, "world", 5);
	chardev_destroy(chr);
	assert_int_equal(text_read_file(path, 100, &text, &length), 0);
	assert_string_equal(text, "hello world");
	free(text);
	unlink(path);
}

/* Standard output is a pipe that nobody reads: a writer must let go once the VM ends. */
static void *write_much(void *opaque)
{
	static const char zeros[1 << 20];

	chardev_write(opaque, zeros, sizeof(zeros));
	return NULL;
}

static void test_stuck_reader(void **state)
{
	struct timespec some = {.tv_nsec = 150000000};
	struct accel_err err;
	struct chardev *chr;
	pthread_t thread;
	int saved = dup(STDOUT_FILENO), fds[2];

	(void)state;
	fflush(stdout);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDOUT_FILENO);
	assert_int_equal(chardev_open("stdio", false, &chr, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_much, chr), 0);
	nanosleep(&some, NULL);
	assert_int_equal(pthread_tryjoin_np(thread, NULL), EBUSY); /* the pipe is full, nothing is lost so far */
	chardev_abort(chr);
	assert_int_equal(pthread_join(thread, NULL), 0);
	dup2(saved, STDOUT_FILENO);
	chardev_destroy(chr);
	close(saved);
	close(fds[0]);
	close(fds[1]);
}

static void test_full_device(void **state)
{
	struct accel_err err;
	struct chardev *chr;
	int saved, null;

	(void)state;
	if (access("/dev/full", W_OK) != 0) {
		print_message("skipped: no /dev/full\n");
		skip();
	}
	assert_int_equal(chardev_open("/dev/full", false, &chr, &err), 0);
	saved = dup(STDERR_FILENO);
	null = open("/dev/null", O_WRONLY);
	dup2(null, STDERR_FILENO); /* its one complaint */
	for (unsigned i = 0; i < 3; i++)
		chardev_write(chr, "x", 1);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(null);
	chardev_destroy(chr);
}

/* ---- a terminal -------------------------------------------------------------------------------- */

struct got {
	char text[64];
	size_t bytes;
};

static void receive(void *opaque, const uint8_t *buf, size_t bytes)
{
	struct got *got = opaque;

	if (got->bytes + bytes < sizeof(got->text))
		memcpy(got->text + got->bytes, buf, bytes);
	got->bytes += bytes;
}

static bool is_raw(int fd)
{
	struct termios t;

	return tcgetattr(fd, &t) == 0 && !(t.c_lflag & (ICANON | ECHO));
}

/* Ctrl-C stays a signal; Ctrl-Z and Ctrl-\ are the guest's: they would stop or kill hotreg and leave the terminal raw. */
static bool has_only_ctrl_c(int fd)
{
	struct termios t;

	return tcgetattr(fd, &t) == 0 && (t.c_lflag & ISIG) && t.c_cc[VINTR] == 0x03 &&
	       t.c_cc[VSUSP] == _POSIX_VDISABLE && t.c_cc[VQUIT] == _POSIX_VDISABLE;
}

/* In the child, whose standard input is the terminal: says "ready", reads till asked to quit, says what came. */
static void child(int how)
{
	struct got got = {.bytes = 0};
	struct accel_err err;
	struct chardev *chr;

	if (chardev_open("stdio", true, &chr, &err) != 0 || !is_raw(STDIN_FILENO))
		_exit(10);
	chardev_set_receiver(chr, receive, &got);
	chardev_write(chr, "ready", 5);
	if (how == SIGABRT)
		abort();
	if (how == SIGTERM)
		for (;;)
			pause();
	while (chardev_input(chr) == 0)
		;
	chardev_destroy(chr);
	if (is_raw(STDIN_FILENO))
		_exit(11);
	_exit(got.bytes == 6 && memcmp(got.text, "a\001b\003cd", 6) == 0 ? 0 : 12);
}

/* Runs the child on a fresh pty; returns the master and the pid. Its slave stays open in *slave. */
static pid_t start(int how, int *master, int *slave)
{
	char text[8] = "";
	size_t have = 0;
	pid_t pid;

	*master = posix_openpt(O_RDWR | O_NOCTTY);
	if (*master < 0 || grantpt(*master) != 0 || unlockpt(*master) != 0)
		return -1;
	*slave = open(ptsname(*master), O_RDWR | O_NOCTTY);
	if (*slave < 0)
		return -1;
	assert_false(is_raw(*slave));
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* cmocka's handlers are not wanted here */
		signal(SIGABRT, SIG_DFL);
		setsid();
		dup2(*slave, STDIN_FILENO);
		dup2(*slave, STDOUT_FILENO);
		child(how);
	}
	while (have < 5) {
		struct pollfd pfd = {.fd = *master, .events = POLLIN};

		assert_int_equal(poll(&pfd, 1, 10000), 1);
		have += (size_t)read(*master, text + have, 5 - have);
	}
	assert_string_equal(text, "ready");
	return pid;
}

static void test_terminal(void **state)
{
	int master, slave, status;
	pid_t pid = start(0, &master, &slave);

	(void)state;
	if (pid < 0) {
		print_message("skipped: no pty here\n");
		skip();
	}
	assert_true(is_raw(slave));
	assert_true(has_only_ctrl_c(slave));
	/* a, Ctrl-A Ctrl-A, b, Ctrl-A c, c, Ctrl-A and something that is no command, d, Ctrl-A x */
	assert_int_equal(write(master, "a\001\001b\001cc\001qd\001x", 12), 12);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_false(is_raw(slave));
	close(master);
	close(slave);
}

/* Whatever kills hotreg, the terminal is as before. */
static void test_terminal_after_signals(void **state)
{
	static const int signals[] = {SIGABRT, SIGTERM};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		int master, slave, status;
		pid_t pid = start(signals[i], &master, &slave);

		if (pid < 0) {
			print_message("skipped: no pty here\n");
			skip();
		}
		if (signals[i] == SIGTERM)
			kill(pid, SIGTERM);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
		assert_false(is_raw(slave));
		close(master);
		close(slave);
	}
}

/* ---- the event loop ---------------------------------------------------------------------------- */

struct source {
	struct event_loop *loop;
	int fd;
	unsigned calls;
	int removes; /* an fd to remove when called, or -1 */
};

static void on_ready(void *opaque)
{
	struct source *s = opaque;

	s->calls++;
	if (s->removes >= 0)
		event_remove(s->loop, s->removes);
}

static void test_events(void **state)
{
	struct event_loop loop;
	struct source a = {&loop, eventfd(1, 0), 0, -1}, b = {&loop, eventfd(1, 0), 0, -1};
	int file = open("/proc/self/exe", O_RDONLY);

	(void)state;
	assert_int_equal(event_init(&loop), 0);
	assert_int_equal(event_add(&loop, a.fd, on_ready, &a), 0);
	assert_int_equal(event_add(&loop, b.fd, on_ready, &b), 0);
	assert_int_equal(event_wait(&loop, 1000), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	assert_int_equal(event_wait(&loop, 1000), 0); /* level-triggered */
	assert_int_equal(a.calls, 2);
	a.removes = b.fd; /* whichever comes first removes the other: it must not be called any more */
	b.removes = a.fd;
	assert_int_equal(event_wait(&loop, 1000), 0);
	assert_int_equal(a.calls + b.calls, 5);
	assert_int_equal(event_add(&loop, file, on_ready, &a), -EPERM); /* a file is always readable */
	assert_int_equal(event_add(&loop, -1, on_ready, &a), -EBADF);
	for (unsigned i = 1; i < EVENT_MAX_SOURCES; i++)
		assert_int_equal(event_add(&loop, eventfd(0, 0), on_ready, &a), 0);
	assert_int_equal(event_add(&loop, eventfd(0, 0), on_ready, &a), -ENOSPC);
	event_destroy(&loop);
	close(file);
}

/* ---- the screen -------------------------------------------------------------------------------- */

static const char *screen(struct guest_mem *mem)
{
	static struct screen_text shown;
	static char text[8192];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	memset(text, 0, sizeof(text));
	screen_from_ram(mem, &shown);
	screen_print(&shown, out);
	fclose(out);
	return text;
}

static void put_text(struct guest_mem *mem, unsigned row, unsigned column, const char *text)
{
	for (unsigned i = 0; text[i]; i++) {
		mem->ram[0xb8000 + 2 * (row * 80 + column + i)] = (uint8_t)text[i];
		mem->ram[0xb8000 + 2 * (row * 80 + column + i) + 1] = 0x07;
	}
}

static void test_screen(void **state)
{
	struct guest_mem mem;
	const char *text;

	(void)state;
	assert_int_equal(mem_init(&mem, 1 << 20), 0);
	text = screen(&mem);
	assert_string_equal(text, ""); /* no text, no lines */
	put_text(&mem, 0, 2, "one");
	put_text(&mem, 2, 0, "\x81\xc9\x1b\x03 ");
	text = screen(&mem);
	/* u with diaeresis, a double corner; an escape is an arrow, not an escape sequence */
	assert_string_equal(text, "  one\n\n\xc3\xbc\xe2\x95\x94\xe2\x86\x90\xe2\x99\xa5\n");
	put_text(&mem, 24, 79, "Z");
	text = screen(&mem);
	assert_int_equal(strlen(strrchr(text, 'Z')), 2);
	mem_destroy(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_and_errors),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_stuck_reader),
		cmocka_unit_test(test_full_device),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_terminal_after_signals),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_screen),
	};

	return cmocka_run_group_tests_name("chardev", tests, NULL, NULL);
}
