// SPDX-License-Identifier: BSD-2-Clause
/*
 * clock.c: the time base and the list of timers.
 *
 * The list is sorted by deadline, equal deadlines in the order they were armed. With the host
 * source the timerfd always stands at the head's deadline; with the virtual one nothing moves
 * but in clock_advance(). Callbacks run with clock.lock released, so they may arm and cancel.
 */
#include "vmm/clock.h"
#include "vmm/lock.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Callbacks of one clock_fire_due(): a guest's fastest timer must not keep the event thread from the rest. */
#define FIRE_BATCH 64

int clock_init(struct clock *clock, bool is_virtual)
{
	int rc;

	*clock = (struct clock){.timerfd = -1};
	clock->source.is_virtual = is_virtual;
	rc = pthread_mutex_init(&clock->lock, NULL);
	lock_declare(&clock->lock, "clock", LOCK_CLOCK);
	if (rc)
		return -rc;
	if (is_virtual)
		return 0;
	clock->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (clock->timerfd < 0) {
		rc = -errno;
		pthread_mutex_destroy(&clock->lock);
		return rc;
	}
	clock->start_ns = clock_now(clock);
	return 0;
}

void clock_destroy(struct clock *clock)
{
	if (clock->timerfd >= 0)
		close(clock->timerfd);
	clock->timerfd = -1;
	pthread_mutex_destroy(&clock->lock);
}

void timer_init(struct timer *timer, void (*fire)(void *opaque), void *opaque)
{
	*timer = (struct timer){.fire = fire, .opaque = opaque};
}

/* Sets the timerfd to the head's deadline, or stops it. clock.lock held. */
static void set_timerfd(struct clock *clock)
{
	struct itimerspec spec = {0};
	uint64_t at;

	if (clock->timerfd < 0)
		return;
	if (clock->timers && !__atomic_load_n(&clock->frozen_ns, __ATOMIC_RELAXED)) {
		at = clock->timers->deadline_ns;
		if (at == 0)
			at = 1; /* all zero would stop it */
		spec.it_value.tv_sec = (time_t)(at / HR_NSEC_PER_SEC);
		spec.it_value.tv_nsec = (long)(at % HR_NSEC_PER_SEC);
	}
	timerfd_settime(clock->timerfd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void clock_freeze(struct clock *clock)
{
	if (clock->source.is_virtual)
		return;
	pthread_mutex_lock(&clock->lock);
	if (!clock->frozen_ns)
		__atomic_store_n(&clock->frozen_ns, accel_clock_now(&clock->source), __ATOMIC_RELAXED);
	set_timerfd(clock);
	pthread_mutex_unlock(&clock->lock);
}

uint64_t clock_thaw(struct clock *clock)
{
	uint64_t stood_ns = 0;

	pthread_mutex_lock(&clock->lock);
	if (clock->frozen_ns) {
		stood_ns = accel_clock_now(&clock->source) - clock->frozen_ns;
		for (struct timer *t = clock->timers; t; t = t->next)
			t->deadline_ns =
				t->deadline_ns > UINT64_MAX - stood_ns ? UINT64_MAX : t->deadline_ns + stood_ns;
		clock->start_ns += stood_ns;
		__atomic_store_n(&clock->frozen_ns, 0, __ATOMIC_RELAXED);
		set_timerfd(clock);
	}
	pthread_mutex_unlock(&clock->lock);
	return stood_ns;
}

/* Takes an armed timer off the list. clock.lock held. */
static void unlink_timer(struct clock *clock, struct timer *timer)
{
	struct timer **at = &clock->timers;

	while (*at != timer)
		at = &(*at)->next;
	*at = timer->next;
	timer->next = NULL;
	timer->armed = false;
}

void timer_arm(struct clock *clock, struct timer *timer, uint64_t deadline_ns)
{
	struct timer *old_head;
	struct timer **at;

	pthread_mutex_lock(&clock->lock);
	old_head = clock->timers;
	if (timer->armed)
		unlink_timer(clock, timer);
	for (at = &clock->timers; *at && (*at)->deadline_ns <= deadline_ns; at = &(*at)->next)
		;
	timer->deadline_ns = deadline_ns;
	timer->armed = true;
	timer->next = *at;
	*at = timer;
	if (clock->timers == timer || old_head == timer)
		set_timerfd(clock);
	pthread_mutex_unlock(&clock->lock);
}

void timer_cancel(struct clock *clock, struct timer *timer)
{
	pthread_mutex_lock(&clock->lock);
	if (timer->armed) {
		bool was_head = clock->timers == timer;

		unlink_timer(clock, timer);
		if (was_head)
			set_timerfd(clock);
	}
	pthread_mutex_unlock(&clock->lock);
}

/* The first timer that is due at now_ns, taken off the list; NULL when none is. clock.lock held. */
static struct timer *pop_due(struct clock *clock, uint64_t now_ns)
{
	struct timer *timer = clock->timers;

	if (!timer || timer->deadline_ns > now_ns)
		return NULL;
	unlink_timer(clock, timer);
	return timer;
}

/* No lock held. */
static void call(struct clock *clock, void (*fire)(void *opaque), void *opaque)
{
	if (clock->before_fire)
		clock->before_fire(clock->before_opaque);
	fire(opaque);
}

void clock_fire_due(struct clock *clock)
{
	uint64_t now = clock_now(clock);
	uint64_t expirations;
	struct timer *timer;

	if (clock->timerfd >= 0 && read(clock->timerfd, &expirations, sizeof(expirations)) < 0) {
		/* EAGAIN: called without an expiry, or the timer was moved meanwhile; look all the same */
	}
	for (int i = 0; i < FIRE_BATCH && !__atomic_load_n(&clock->frozen_ns, __ATOMIC_RELAXED); i++) {
		void (*fire)(void *) = NULL;
		void *opaque = NULL;

		pthread_mutex_lock(&clock->lock);
		timer = pop_due(clock, now);
		if (timer) {
			fire = timer->fire;
			opaque = timer->opaque;
		}
		pthread_mutex_unlock(&clock->lock);
		if (!fire)
			break;
		call(clock, fire, opaque);
	}
	pthread_mutex_lock(&clock->lock);
	set_timerfd(clock);
	pthread_mutex_unlock(&clock->lock);
}

uint64_t clock_next(struct clock *clock)
{
	uint64_t next;

	pthread_mutex_lock(&clock->lock);
	next = clock->timers ? clock->timers->deadline_ns : UINT64_MAX;
	pthread_mutex_unlock(&clock->lock);
	return next;
}

void clock_advance(struct clock *clock, uint64_t to_ns)
{
	struct timer *timer;

	for (;;) {
		pthread_mutex_lock(&clock->lock);
		timer = pop_due(clock, to_ns);
		if (timer && timer->deadline_ns > clock_now(clock))
			accel_clock_set_virtual(&clock->source, timer->deadline_ns);
		pthread_mutex_unlock(&clock->lock);
		if (!timer)
			break;
		call(clock, timer->fire, timer->opaque);
	}
	if (to_ns > clock_now(clock))
		accel_clock_set_virtual(&clock->source, to_ns);
}
