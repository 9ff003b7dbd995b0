// SPDX-License-Identifier: BSD-2-Clause
/*
 * lockdebug.c: stands between the program and the mutexes (the linker's --wrap) and notes for each which others were held when
 * it was taken. What goes against the ranks of lock.h, or closes a circle with what any thread did before, ends the
 * process with one line that names both locks, whether or not two threads would have met there this time.
 *
 * HOTREG_LOCKS=FILE: at the end of the process the pairs that were seen are written there, "A -> B" a line.
 */
#include "vmm/lock.h"

#include <execinfo.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_LOCKS 512
#define MAX_HELD 16
#define NO_RANK -1

struct known {
	const pthread_mutex_t *lock; /* NULL: a free place */
	const char *name;	     /* NULL: not declared */
	int rank;
};

static struct {
	pthread_mutex_t lock; /* of all here */
	struct known known[MAX_LOCKS];
	bool before[MAX_LOCKS][MAX_LOCKS]; /* [a][b]: b was taken while a was held */
	bool has_exit;
	FILE *out; /* NULL: pairs are not written */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static __thread unsigned held[MAX_HELD]; /* places in all.known */
static __thread unsigned held_count;

int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __real_pthread_mutex_trylock(pthread_mutex_t *lock);
int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __real_pthread_mutex_destroy(pthread_mutex_t *lock);
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __real_pthread_cond_clockwait(
	pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock, const struct timespec *until);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __wrap_pthread_cond_clockwait(
	pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock, const struct timespec *until);

static const char *name_of(unsigned k)
{
	return all.known[k].name ? all.known[k].name : "a lock without a name";
}

static void complain(const char *what, unsigned a, unsigned b) __attribute__((noreturn));

static void complain(const char *what, unsigned a, unsigned b)
{
	void *frames[32];

	fprintf(stderr, "lockdebug: %s: %s (%p), then %s (%p)\n", what, name_of(a), (const void *)all.known[a].lock,
		name_of(b), (const void *)all.known[b].lock);
	backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
	abort();
}

/* The rest is called with all.lock held. */

static void write_pairs(void)
{
	for (unsigned a = 0; a < MAX_LOCKS && all.out; a++) {
		for (unsigned b = 0; b < MAX_LOCKS; b++) {
			if (all.before[a][b])
				fprintf(all.out, "%s -> %s\n", name_of(a), name_of(b));
		}
	}
	if (all.out)
		fflush(all.out);
}

static void at_exit(void)
{
	__real_pthread_mutex_lock(&all.lock);
	write_pairs();
	__real_pthread_mutex_unlock(&all.lock);
}

static void start(void)
{
	const char *path = getenv("HOTREG_LOCKS");

	if (all.has_exit)
		return;
	all.has_exit = true;
	if (path) {
		all.out = fopen(path, "w");
		atexit(at_exit);
	}
}

static unsigned place_of(const pthread_mutex_t *lock)
{
	unsigned vacant = MAX_LOCKS;

	start();
	for (unsigned k = 0; k < MAX_LOCKS; k++) {
		if (all.known[k].lock == lock)
			return k;
		if (!all.known[k].lock && vacant == MAX_LOCKS)
			vacant = k;
	}
	if (vacant == MAX_LOCKS) {
		fprintf(stderr, "lockdebug: more than %d locks\n", MAX_LOCKS);
		abort();
	}
	all.known[vacant] = (struct known){.lock = lock, .rank = NO_RANK};
	return vacant;
}

/* Whether `to` has ever been taken, at however many removes, under `from`. */
static bool leads_to(unsigned from, unsigned to, bool *visited)
{
	if (from == to)
		return true;
	visited[from] = true;
	for (unsigned k = 0; k < MAX_LOCKS; k++) {
		if (all.before[from][k] && !visited[k] && leads_to(k, to, visited))
			return true;
	}
	return false;
}

static void check_pair(unsigned a, unsigned b)
{
	const struct known *x = &all.known[a], *y = &all.known[b];
	bool visited[MAX_LOCKS] = {false};

	if (a == b)
		complain("taken twice", a, b);
	if (x->rank == LOCK_LEAF)
		complain("nothing is taken under the first", a, b);
	if (x->rank != NO_RANK && y->rank != NO_RANK && x->rank >= y->rank)
		complain("against the order of lock.h", a, b);
	if (all.before[a][b])
		return;
	if (leads_to(b, a, visited))
		complain("has been the other way round before", a, b);
	all.before[a][b] = true;
}

static void hold(unsigned k)
{
	if (held_count == MAX_HELD) {
		fprintf(stderr, "lockdebug: a thread holds more than %d locks\n", MAX_HELD);
		abort();
	}
	held[held_count++] = k;
}

static void let_go(unsigned k)
{
	for (unsigned i = held_count; i > 0; i--) {
		if (held[i - 1] != k)
			continue;
		memmove(held + i - 1, held + i, (held_count - i) * sizeof(held[0]));
		held_count--;
		return;
	}
	complain("let go by a thread that does not hold it", k, k);
}

/* ---- in the place of the library's ---- */

void lock_declare(pthread_mutex_t *lock, const char *name, enum lock_rank rank)
{
	unsigned k;

	__real_pthread_mutex_lock(&all.lock);
	k = place_of(lock);
	all.known[k].name = name;
	all.known[k].rank = (int)rank;
	__real_pthread_mutex_unlock(&all.lock);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
	unsigned k;

	__real_pthread_mutex_lock(&all.lock);
	k = place_of(lock);
	for (unsigned i = 0; i < held_count; i++)
		check_pair(held[i], k);
	hold(k);
	__real_pthread_mutex_unlock(&all.lock);
	return __real_pthread_mutex_lock(lock);
}

/* Who only tries waits for nobody, so that the order does not matter; what is taken while it is held does. */
int __wrap_pthread_mutex_trylock(pthread_mutex_t *lock)
{
	int rc = __real_pthread_mutex_trylock(lock);

	if (rc)
		return rc;
	__real_pthread_mutex_lock(&all.lock);
	hold(place_of(lock));
	__real_pthread_mutex_unlock(&all.lock);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
	__real_pthread_mutex_lock(&all.lock);
	let_go(place_of(lock));
	__real_pthread_mutex_unlock(&all.lock);
	return __real_pthread_mutex_unlock(lock);
}

/* Its place may be another lock's next, which has no history. */
int __wrap_pthread_mutex_destroy(pthread_mutex_t *lock)
{
	unsigned k;

	__real_pthread_mutex_lock(&all.lock);
	k = place_of(lock);
	for (unsigned i = 0; i < MAX_LOCKS; i++) {
		if (all.out && all.before[i][k])
			fprintf(all.out, "%s -> %s\n", name_of(i), name_of(k));
		if (all.out && all.before[k][i])
			fprintf(all.out, "%s -> %s\n", name_of(k), name_of(i));
		all.before[i][k] = all.before[k][i] = false;
	}
	all.known[k].lock = NULL;
	__real_pthread_mutex_unlock(&all.lock);
	return __real_pthread_mutex_destroy(lock);
}

/* A thread that sleeps holds no other lock. */
static void check_sleep(pthread_mutex_t *lock)
{
	__real_pthread_mutex_lock(&all.lock);
	for (unsigned i = 0; i < held_count; i++) {
		if (all.known[held[i]].lock != lock)
			complain("held while the thread sleeps on another", held[i], place_of(lock));
	}
	__real_pthread_mutex_unlock(&all.lock);
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
	check_sleep(lock);
	return __real_pthread_cond_wait(cond, lock);
}

int __wrap_pthread_cond_clockwait(
	pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock, const struct timespec *until)
{
	check_sleep(lock);
	return __real_pthread_cond_clockwait(cond, lock, clock, until);
}
