// SPDX-License-Identifier: BSD-2-Clause
/*
 * chardev.c: the terminal, a file, or nothing behind a serial line or debug console.
 *
 * A vCPU thread writes while it holds its device, so a reader that has stopped reading must not
 * be able to hold hotreg for ever: writes to anything but files wait in short steps and give up
 * once chardev_abort() was called. The one thing at file scope is the terminal's saved state,
 * since a handler of fatal signals can reach nothing else.
 */
#include "vmm/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/text.h"

#define CHUNK_BYTES 512 /* what a pipe or terminal that polls as writable takes without blocking */
#define WAIT_STEP_MS 50
#define CTRL_A 0x01
#define CTRL_C 0x03

struct chardev {
	/* constant after chardev_open */
	int out_fd;
	bool owns_out; /* a file that chardev_destroy() closes */
	bool may_block;
	const char *name;
	/* event thread */
	int in_fd;
	bool is_raw;
	bool saw_ctrl_a;
	void (*rx)(void *opaque, const uint8_t *buf, size_t bytes);
	void *rx_opaque;
	/* any thread */
	_Atomic bool aborted;
	_Atomic bool complained;
};

/* ---- the terminal --------------------------------------------------------------------------- */

/* The last three end hotreg like that only while the VM is built; vm_run() takes them as requests to stop. */
static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT, SIGINT, SIGTERM, SIGHUP};
#define FATAL_COUNT (sizeof(fatal_signals) / sizeof(fatal_signals[0]))

static struct {
	volatile sig_atomic_t is_raw;
	struct termios saved;
	struct sigaction old[FATAL_COUNT];
} terminal;

/* Async-signal-safe: tcsetattr(3) is. */
static void on_fatal(int sig)
{
	if (terminal.is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
	for (unsigned i = 0; i < FATAL_COUNT; i++) {
		if (fatal_signals[i] == sig)
			sigaction(sig, &terminal.old[i], NULL);
	}
	raise(sig); /* on return: now with whoever had it before us */
}

static bool terminal_make_raw(void)
{
	struct sigaction fatal = {.sa_handler = on_fatal};
	struct termios raw;

	if (terminal.is_raw || !isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal.saved) != 0)
		return false;
	raw = terminal.saved;
	raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
	raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN);
	raw.c_cc[VQUIT] = _POSIX_VDISABLE; /* the guest's; Ctrl-C (ISIG) stays ours */
	raw.c_cc[VSUSP] = _POSIX_VDISABLE;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	for (unsigned i = 0; i < FATAL_COUNT; i++)
		sigaction(fatal_signals[i], &fatal, &terminal.old[i]);
	terminal.is_raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0)
		return true;
	terminal.is_raw = 0;
	for (unsigned i = 0; i < FATAL_COUNT; i++)
		sigaction(fatal_signals[i], &terminal.old[i], NULL);
	return false;
}

static void terminal_restore(void)
{
	tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.saved);
	terminal.is_raw = 0;
	for (unsigned i = 0; i < FATAL_COUNT; i++)
		sigaction(fatal_signals[i], &terminal.old[i], NULL);
}

/* ---- output --------------------------------------------------------------------------------- */

int chardev_open(const char *spec, bool with_input, struct chardev **out, struct accel_err *err)
{
	struct chardev *chr;
	struct stat st;
	int rc;

	*out = NULL;
	if (!spec || strcmp(spec, "none") == 0)
		return 0;
	chr = calloc(1, sizeof(*chr));
	if (!chr) {
		err_set(err, "no memory for the output %s", spec);
		return -ENOMEM;
	}
	chr->in_fd = -1;
	chr->name = spec;
	if (strcmp(spec, "stdio") == 0) {
		chr->out_fd = STDOUT_FILENO;
		chr->name = "standard output";
		if (with_input) {
			chr->in_fd = STDIN_FILENO;
			chr->is_raw = terminal_make_raw();
		}
	} else {
		chr->out_fd = open(spec, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (chr->out_fd < 0) {
			rc = -errno;
			err_set(err, "cannot create the output file %s: %s", spec, strerror(-rc));
			free(chr);
			return rc;
		}
		chr->owns_out = true;
	}
	chr->may_block = fstat(chr->out_fd, &st) != 0 || !S_ISREG(st.st_mode);
	*out = chr;
	return 0;
}

void chardev_destroy(struct chardev *chr)
{
	if (!chr)
		return;
	if (chr->is_raw)
		terminal_restore();
	if (chr->owns_out)
		close(chr->out_fd);
	free(chr);
}

void chardev_abort(struct chardev *chr)
{
	if (chr)
		atomic_store(&chr->aborted, true);
}

/* False: given up, the rest is lost. */
static bool wait_writable(struct chardev *chr)
{
	struct pollfd pfd = {.fd = chr->out_fd, .events = POLLOUT};

	for (;;) {
		int rc = poll(&pfd, 1, WAIT_STEP_MS);

		if (rc > 0)
			return true; /* writable, or an error that write(2) will name */
		if (atomic_load(&chr->aborted))
			return false;
	}
}

static void complain(struct chardev *chr, int error)
{
	if (!atomic_exchange(&chr->complained, true))
		fprintf(stderr, "hotreg: cannot write to %s: %s; this output is lost from here on\n", chr->name,
			strerror(error));
}

void chardev_write(struct chardev *chr, const void *buf, size_t bytes)
{
	const uint8_t *at = buf;

	if (!chr)
		return;
	while (bytes > 0) {
		size_t chunk = bytes;
		ssize_t n;

		if (chr->may_block) {
			if (!wait_writable(chr))
				return;
			if (chunk > CHUNK_BYTES)
				chunk = CHUNK_BYTES;
		}
		n = write(chr->out_fd, at, chunk);
		if (n < 0 && errno != EINTR && errno != EAGAIN) {
			complain(chr, errno);
			return;
		}
		if (n > 0) {
			at += n;
			bytes -= (size_t)n;
		}
	}
}

/* ---- input ---------------------------------------------------------------------------------- */

void chardev_set_receiver(struct chardev *chr, void (*rx)(void *opaque, const uint8_t *buf, size_t bytes), void *opaque)
{
	if (!chr)
		return;
	chr->rx = rx;
	chr->rx_opaque = opaque;
}

int chardev_input_fd(const struct chardev *chr)
{
	return chr ? chr->in_fd : -1;
}

/* Takes the Ctrl-A sequences out of what was typed. True: the person wants to quit, and typed *bytes before. */
static bool filter_escapes(struct chardev *chr, uint8_t *buf, size_t *bytes)
{
	size_t kept = 0;
	bool quit = false;

	for (size_t i = 0; i < *bytes && !quit; i++) {
		uint8_t c = buf[i];

		if (!chr->saw_ctrl_a && c == CTRL_A) {
			chr->saw_ctrl_a = true;
			continue;
		}
		if (chr->saw_ctrl_a) {
			chr->saw_ctrl_a = false;
			quit = c == 'x' || c == 'X';
			if (c == 'c' || c == 'C')
				c = CTRL_C;
			else if (c != CTRL_A)
				continue; /* not a command: nobody gets it */
		}
		buf[kept++] = c;
	}
	*bytes = kept;
	return quit;
}

int chardev_input(struct chardev *chr)
{
	uint8_t buf[256];
	ssize_t n = read(chr->in_fd, buf, sizeof(buf));
	size_t bytes;
	bool quit;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		chr->in_fd = -1;
		return 0;
	}
	bytes = (size_t)n;
	quit = chr->is_raw && filter_escapes(chr, buf, &bytes);
	if (chr->rx && bytes > 0)
		chr->rx(chr->rx_opaque, buf, bytes);
	return quit;
}
