/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_lockdebug.c: the checker of the order of locks (make LOCKDEBUG=1): what is right passes, and each kind of violation ends a
 * process of its own with the sentence that names the locks. The pairs that were seen are written down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/lock.h"

static pthread_mutex_t device = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t chip = PTHREAD_MUTEX_INITIALIZER, clock_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t leaf = PTHREAD_MUTEX_INITIALIZER,
		       nameless[3] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void declare_all(void)
{
	lock_declare(&device, "device one", LOCK_DEVICE);
	lock_declare(&other, "device two", LOCK_DEVICE);
	lock_declare(&chip, "chip", LOCK_IRQCHIP);
	lock_declare(&clock_lock, "clock", LOCK_CLOCK);
	lock_declare(&leaf, "leaf", LOCK_LEAF);
}

static void lock(pthread_mutex_t *m)
{
	pthread_mutex_lock(m);
}

static void unlock(pthread_mutex_t *m)
{
	pthread_mutex_unlock(m);
}

/* Runs it in a process of its own, where the pairs go to `pairs` if there is one; what it said, and how it ended. */
static int run(void (*fn)(void), const char *pairs, char *said, size_t bytes)
{
	int pipe_fds[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(pipe_fds[1], STDERR_FILENO);
		if (pairs)
			setenv("HOTREG_LOCKS", pairs, 1);
		declare_all();
		fn();
		exit(0);
	}
	close(pipe_fds[1]);
	while (n < bytes - 1 && (got = read(pipe_fds[0], said + n, bytes - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = '\0';
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void right(void)
{
	for (int i = 0; i < 2; i++) {
		lock(&device);
		lock(&chip);
		lock(&clock_lock);
		unlock(&clock_lock);
		unlock(&chip);
		lock(&leaf);
		unlock(&leaf);
		unlock(&device);
		lock(&other);
		lock(&chip);
		unlock(&other); /* not in the order of taking */
		unlock(&chip);
		lock(&nameless[0]);
		lock(&nameless[1]);
		unlock(&nameless[1]);
		unlock(&nameless[0]);
	}
	/* a destroyed lock's place has no history */
	pthread_mutex_destroy(&nameless[0]);
	pthread_mutex_init(&nameless[0], NULL);
	lock(&nameless[1]);
	lock(&nameless[0]);
	unlock(&nameless[0]);
	unlock(&nameless[1]);
}

static void *takes_two(void *opaque)
{
	(void)opaque;
	lock(&nameless[1]);
	lock(&nameless[2]);
	unlock(&nameless[2]);
	unlock(&nameless[1]);
	return NULL;
}

static void against_rank(void)
{
	lock(&chip);
	lock(&device);
}

static void two_devices(void)
{
	lock(&device);
	lock(&other);
}

static void under_leaf(void)
{
	lock(&leaf);
	lock(&nameless[0]);
}

static void twice(void)
{
	lock(&device);
	lock(&device);
}

/* Nobody waits for anybody here; but they could. */
static void circle(void)
{
	pthread_t thread;

	lock(&nameless[0]);
	lock(&nameless[1]);
	unlock(&nameless[1]);
	unlock(&nameless[0]);
	pthread_create(&thread, NULL, takes_two, NULL);
	pthread_join(thread, NULL);
	lock(&nameless[2]);
	lock(&nameless[0]);
}

static void under_tried(void)
{
	lock(&chip);
	if (pthread_mutex_trylock(&device) == 0) /* waits for nobody */
		unlock(&device);
	unlock(&chip);
	if (pthread_mutex_trylock(&clock_lock) == 0)
		lock(&chip);
}

static void not_held(void)
{
	unlock(&device);
}

static void sleeps(void)
{
	lock(&device);
	lock(&leaf);
	pthread_cond_wait(&cond, &leaf);
}

static void test_right(void **state)
{
	char path[] = "/tmp/hotreg-locks.XXXXXX", said[4096], text[4096];
	int fd = mkstemp(path);
	FILE *f;
	size_t n;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(run(right, path, said, sizeof(said)), 0);
	assert_string_equal(said, "");
	f = fdopen(fd, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	unlink(path);
	assert_non_null(strstr(text, "device one -> chip\n"));
	assert_non_null(strstr(text, "device one -> clock\n"));
	assert_non_null(strstr(text, "device two -> chip\n"));
	assert_non_null(strstr(text, "chip -> clock\n"));
	assert_null(strstr(text, "chip -> device"));
}

static void test_wrong(void **state)
{
	static const struct {
		void (*fn)(void);
		const char *says;
	} wrong[] = {
		{against_rank, "lockdebug: against the order of lock.h: chip ("},
		{two_devices, "lockdebug: against the order of lock.h: device one ("},
		{under_leaf, "lockdebug: nothing is taken under the first: leaf ("},
		{twice, "lockdebug: taken twice: device one ("},
		{circle, "lockdebug: has been the other way round before: a lock without a name ("},
		{under_tried, "lockdebug: against the order of lock.h: clock ("},
		{not_held, "lockdebug: let go by a thread that does not hold it: device one ("},
		{sleeps, "lockdebug: held while the thread sleeps on another: device one ("},
	};
	char said[4096];

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int status = run(wrong[i].fn, NULL, said, sizeof(said));

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		assert_int_equal(strncmp(said, wrong[i].says, strlen(wrong[i].says)), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_right), cmocka_unit_test(test_wrong)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
