/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h: the VM's one time base and its timers.
 *
 * Host source: CLOCK_MONOTONIC, timers fire from the event thread through a timerfd. Virtual
 * source: time moves only in clock_advance(), which fires due timers in deadline order, each
 * seeing its own deadline as now. The programs' helper 5 reads the same source.
 * A frozen clock stands still for models and timers while the source goes on; that is only while no
 * vCPU runs, so no program can see the difference.
 * Lock: clock.lock is the innermost of all; it is not held while a callback runs.
 */
#ifndef VMM_CLOCK_H
#define VMM_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"

struct clock;

/*
 * A one-shot timer. The callback runs in the event thread (host) or in clock_advance()'s caller
 * (virtual), with no lock held: it takes its device's mutex and *looks again at the state*,
 * since a timer that was re-armed or cancelled while the callback waited for that mutex still
 * calls it once. Embedded in its device; timer_cancel() before the device goes.
 */
struct timer {
	/* constant after timer_init */
	void (*fire)(void *opaque);
	void *opaque;
	/* clock.lock */
	uint64_t deadline_ns; /* host time base */
	bool armed;
	struct timer *next; /* sorted by deadline */
};

struct clock {
	struct accel_clock source; /* what helper 5 reads */
	/* constant after init */
	int timerfd;	   /* readable when the first timer is due; -1 for the virtual source */
	uint64_t start_ns; /* host time of guest time 0: of creation, later by each pause (clock_thaw()) */
	/* constant while timers fire */
	void (*before_fire)(void *opaque); /* called before each callback, no lock held; NULL: nothing */
	void *before_opaque;
	/* atomic; changes only while no vCPU runs */
	uint64_t frozen_ns; /* what clock_now() says while the clock stands still; 0: it runs */
	/* clock.lock */
	pthread_mutex_t lock;
	struct timer *timers;
};

/* 0 or -errno. */
int clock_init(struct clock *clock, bool is_virtual);
void clock_destroy(struct clock *clock);

/* Nanoseconds of the source. Any thread, no lock. */
static inline uint64_t clock_now(const struct clock *clock)
{
	uint64_t frozen_ns = __atomic_load_n(&clock->frozen_ns, __ATOMIC_RELAXED);

	return frozen_ns ? frozen_ns : accel_clock_now(&clock->source);
}

/*
 * Stops the clock: no timer fires, clock_now() stays. Event thread, no vCPU runs. Nothing with the
 * virtual source, whose time moves by a vCPU's hand only.
 */
void clock_freeze(struct clock *clock);
/*
 * Lets it go on: every deadline and start_ns move on by the time that it stood still, which is
 * returned; the caller does the same for whatever else holds host times. Like clock_freeze().
 */
uint64_t clock_thaw(struct clock *clock);

void timer_init(struct timer *timer, void (*fire)(void *opaque), void *opaque);
/* Arms or re-arms for an absolute time of the source; a past deadline fires at once. */
void timer_arm(struct clock *clock, struct timer *timer, uint64_t deadline_ns);
void timer_cancel(struct clock *clock, struct timer *timer);

/* When the first armed timer is due; UINT64_MAX when none is armed. */
uint64_t clock_next(struct clock *clock);

/* Runs every due timer. Event thread, or tests. */
void clock_fire_due(struct clock *clock);

/* Virtual source only: moves time to to_ns (never back), firing what comes due on the way. */
void clock_advance(struct clock *clock, uint64_t to_ns);

#endif
