// SPDX-License-Identifier: BSD-2-Clause
/*
 * top.c: `hotreg top PATH`: the statistics of a VM that runs, live in the terminal.
 *
 * One poll loop over the keyboard, signals (a signalfd), the connection and the next turn; it never
 * waits for hotreg. Whatever ends it, the terminal is given back as it was: signals arrive in the
 * loop, and for those of a fault there is a handler, which can reach nothing but this file's one variable.
 */
#include "vmm/top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "vmm/ctl.h"
#include "vmm/ctl_client.h"
#include "vmm/text.h"

#define ENTER "\033[?1049h\033[?25l\033[2J" /* the other screen, no cursor */
#define LEAVE "\033[0m\033[?25h\033[?1049l"
#define NO_ANSWER_MS 60000

struct top {
	struct ctl_client client;
	const char *path;
	unsigned interval_ms;
	int signal_fd;
	bool was_counting, is_first, waits; /* waits: an answer is under way */
	uint64_t due_ms, asked_ms;
	json_t *before, *now;
	struct accel_err err;
};

static struct {
	volatile sig_atomic_t is_raw;
	struct termios saved;
} terminal;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- the terminal ---------------------------------------------------------------------------- */

/* Async-signal-safe. */
static void terminal_leave(void)
{
	if (!terminal.is_raw)
		return;
	terminal.is_raw = 0;
	if (write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1) < 0) {
		/* there is no terminal any more */
	}
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
}

static void on_fault(int sig)
{
	terminal_leave();
	signal(sig, SIG_DFL);
	raise(sig);
}

static int terminal_enter(struct accel_err *err)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &terminal.saved) != 0)
		return err_fail(err, -ENOTTY, "top: this is no terminal; `hotreg stats PATH` prints the figures once");
	raw = terminal.saved;
	raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	terminal.is_raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0 || write(STDOUT_FILENO, ENTER, sizeof(ENTER) - 1) < 0) {
		terminal_leave();
		return err_fail(err, -EIO, "top: the terminal does not do as it is told");
	}
	return 0;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static void write_all(const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(STDOUT_FILENO, text, bytes);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			text += n;
			bytes -= (size_t)n;
		}
	}
}

/* The whole screen in one write, so that nothing flickers. */
static void draw(const struct top *top, bool clear)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	fputs(clear ? "\033[2J\033[H" : "\033[H", out);
	if (top->now)
		top_frame(top->before, top->now, top->path, size.ws_row, size.ws_col, out);
	fputs("\033[J", out);
	fclose(out);
	write_all(text, bytes);
	free(text);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* The first time with counting on. */
static int ask(struct top *top)
{
	top->waits = true;
	top->asked_ms = now_ms();
	top->due_ms = top->asked_ms + top->interval_ms;
	return ctl_send(
		&top->client, "x-hotreg-stats", top->is_first ? json_pack("{s:b}", "count", 1) : NULL, &top->err);
}

/* Everything that has come. */
static int take_messages(struct top *top)
{
	const char *refusal;
	json_t *message, *ret;
	int rc;

	while ((rc = ctl_receive(&top->client, 0, &message, &top->err)) == 0 && message) {
		if (top->waits && ctl_is_answer(&top->client, message, &ret, &refusal)) {
			top->waits = false;
			if (refusal)
				rc = err_fail(&top->err, -EREMOTEIO, "%s", refusal);
			json_decref(top->before);
			top->before = top->now;
			top->now = json_incref(ret);
			top->is_first = false;
			draw(top, !top->before);
		}
		json_decref(message);
		if (rc)
			return rc;
	}
	return rc;
}

/* 1: end. */
static int take_signal(struct top *top)
{
	struct signalfd_siginfo info;

	if (read(top->signal_fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo == SIGWINCH) {
		draw(top, true);
		return 0;
	}
	if (info.ssi_signo != SIGTSTP)
		return 1;
	terminal_leave();
	raise(SIGSTOP);
	if (terminal_enter(&top->err) != 0)
		return 1;
	draw(top, true);
	return 0;
}

static int take_keys(void)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return 1; /* the terminal is gone */
	return n > 0 && (memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n));
}

/* 0: the person wants to end; -EPIPE: the VM has. */
static int loop(struct top *top)
{
	int rc = ask(top);

	while (!rc) {
		struct pollfd fds[3] = {
			{STDIN_FILENO, POLLIN, 0}, {top->signal_fd, POLLIN, 0}, {top->client.fd, POLLIN, 0}};
		uint64_t now = now_ms();
		int wait = top->waits ? 1000 : now < top->due_ms ? (int)(top->due_ms - now) : 0;

		if (poll(fds, 3, wait) < 0 && errno != EINTR)
			return err_fail(&top->err, -errno, "poll: %s", strerror(errno));
		if ((fds[0].revents && take_keys()) || (fds[1].revents && take_signal(top)))
			return 0;
		if (fds[2].revents)
			rc = take_messages(top);
		if (!rc && top->waits && now_ms() - top->asked_ms > NO_ANSWER_MS)
			rc = err_fail(&top->err, -ETIMEDOUT, "hotreg does not answer");
		if (!rc && !top->waits && now_ms() >= top->due_ms)
			rc = ask(top);
	}
	return rc;
}

static int run(struct top *top)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};
	sigset_t set;
	json_t *ret;
	int rc;

	/* whether registers are counted already, so as to leave it like that */
	rc = ctl_call(&top->client, "x-hotreg-stats", NULL, &ret, &top->err);
	top->was_counting = json_is_true(json_object_get(ret, "counting"));
	json_decref(ret);
	if (rc)
		return rc;
	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	top->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (top->signal_fd < 0)
		return err_fail(&top->err, -errno, "signalfd: %s", strerror(errno));
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		signal(faults[i], on_fault);
	rc = terminal_enter(&top->err);
	if (!rc) {
		rc = loop(top);
		terminal_leave();
		if (!rc && !top->was_counting &&
			ctl_send(&top->client, "x-hotreg-stats", json_pack("{s:b}", "count", 0), &top->err) != 0) {
			/* the VM has ended just now: nothing is left to be switched off */
		}
	}
	close(top->signal_fd);
	return rc;
}

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: hotreg top [--interval SECONDS] PATH\n\n"
		     "Shows the registers of the VM at --qmp unix:PATH, the busiest first, every second or as asked.\n"
		     "q or Ctrl-C ends it. Registers are counted meanwhile.\n");
	return status;
}

int top_command(int argc, char **argv)
{
	struct top top = {.client = {.fd = -1}, .interval_ms = 1000, .is_first = true};
	uint64_t seconds;
	bool has_shown;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return usage(stdout, 0);
		if (strcmp(argv[i], "--interval") == 0 && i + 1 < argc &&
			text_parse_u64(argv[i + 1], strlen(argv[i + 1]), 10, &seconds) && seconds >= 1 &&
			seconds <= 3600) {
			top.interval_ms = (unsigned)seconds * 1000;
			i++;
		} else if (argv[i][0] != '-' && !top.path) {
			top.path = argv[i];
		} else {
			return usage(stderr, CTL_FAILED);
		}
	}
	if (!top.path)
		return usage(stderr, CTL_FAILED);
	rc = ctl_open(&top.client, top.path, &top.err);
	if (!rc)
		rc = run(&top);
	ctl_close(&top.client);
	has_shown = top.now != NULL;
	json_decref(top.before);
	json_decref(top.now);
	if (rc == -EPIPE && has_shown) {
		puts("hotreg: the VM has ended");
		return 0;
	}
	if (rc)
		fprintf(stderr, "hotreg: %s\n", top.err.text);
	return rc == 0 ? 0 : rc == -EREMOTEIO ? CTL_REFUSED : CTL_FAILED;
}
