// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_clock.c: order of timers, arming and cancelling from a callback, both time sources.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "vmm/clock.h"

#define MAX_EVENTS 200

struct probe {
	struct clock *clock;
	struct timer timer;
	struct log *log;
	int id;
	/* what the callback does besides noting: */
	uint64_t rearm_after_ns;
	int rearm_times;
	struct timer *cancels;
};

struct log {
	int count;
	int id[MAX_EVENTS];
	uint64_t at[MAX_EVENTS];
};

static void fire(void *opaque)
{
	struct probe *p = opaque;

	assert_true(p->log->count < MAX_EVENTS);
	p->log->id[p->log->count] = p->id;
	p->log->at[p->log->count++] = clock_now(p->clock);
	if (p->cancels)
		timer_cancel(p->clock, p->cancels);
	if (p->rearm_times-- > 0)
		timer_arm(p->clock, &p->timer, p->timer.deadline_ns + p->rearm_after_ns);
}

static void probe_init(struct probe *p, struct clock *clock, struct log *log, int id)
{
	*p = (struct probe){.clock = clock, .log = log, .id = id};
	timer_init(&p->timer, fire, p);
}

static void test_order(void **state)
{
	struct clock clock;
	struct log log = {0};
	struct probe p[4];
	static const uint64_t due[4] = {300, 100, 200, 100};

	(void)state;
	assert_int_equal(clock_init(&clock, true), 0);
	assert_int_equal(clock_now(&clock), 0);
	for (int i = 0; i < 4; i++) {
		probe_init(&p[i], &clock, &log, i);
		timer_arm(&clock, &p[i].timer, due[i]);
	}
	assert_true(clock_next(&clock) == 100);
	clock_advance(&clock, 99);
	assert_int_equal(log.count, 0);
	clock_advance(&clock, 250);
	assert_int_equal(log.count, 3);
	assert_int_equal(log.id[0], 1); /* equal deadlines: in the order of arming */
	assert_int_equal(log.id[1], 3);
	assert_int_equal(log.id[2], 2);
	assert_int_equal(log.at[0], 100); /* each saw its own deadline */
	assert_int_equal(log.at[2], 200);
	assert_int_equal(clock_now(&clock), 250);
	clock_advance(&clock, 10); /* never back */
	assert_int_equal(clock_now(&clock), 250);
	clock_advance(&clock, 300);
	assert_int_equal(log.count, 4);
	assert_true(clock_next(&clock) == UINT64_MAX);
	clock_destroy(&clock);
}

static void test_rearm_in_callback(void **state)
{
	struct clock clock;
	struct log log = {0};
	struct probe p;

	(void)state;
	assert_int_equal(clock_init(&clock, true), 0);
	probe_init(&p, &clock, &log, 0);
	p.rearm_after_ns = 10;
	p.rearm_times = 4;
	timer_arm(&clock, &p.timer, 10);
	clock_advance(&clock, 35);
	assert_int_equal(log.count, 3);
	assert_int_equal(log.at[2], 30);
	assert_true(p.timer.armed);
	clock_advance(&clock, 1000);
	assert_int_equal(log.count, 5);
	assert_int_equal(log.at[4], 50);
	assert_false(p.timer.armed);
	clock_destroy(&clock);
}

static void test_cancel_and_move(void **state)
{
	struct clock clock;
	struct log log = {0};
	struct probe a, b, c;

	(void)state;
	assert_int_equal(clock_init(&clock, true), 0);
	probe_init(&a, &clock, &log, 0);
	probe_init(&b, &clock, &log, 1);
	probe_init(&c, &clock, &log, 2);
	timer_cancel(&clock, &a.timer); /* not armed: harmless */
	timer_arm(&clock, &a.timer, 10);
	timer_arm(&clock, &b.timer, 20);
	timer_arm(&clock, &c.timer, 30);
	a.cancels = &b.timer;
	timer_arm(&clock, &c.timer, 5); /* moved to the front */
	clock_advance(&clock, 100);
	assert_int_equal(log.count, 2);
	assert_int_equal(log.id[0], 2);
	assert_int_equal(log.id[1], 0);
	timer_arm(&clock, &b.timer, 50); /* in the past: fires on the next look, time stays */
	clock_advance(&clock, 100);
	assert_int_equal(log.count, 3);
	assert_int_equal(log.at[2], 100);
	clock_destroy(&clock);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1;
}

static void test_host_timerfd(void **state)
{
	struct clock clock;
	struct log log = {0};
	struct probe near, far;
	uint64_t now;

	(void)state;
	assert_int_equal(clock_init(&clock, false), 0);
	assert_true(clock.timerfd >= 0);
	probe_init(&near, &clock, &log, 0);
	probe_init(&far, &clock, &log, 1);
	now = clock_now(&clock);
	assert_true(now >= clock.start_ns);
	timer_arm(&clock, &far.timer, now + 3600 * HR_NSEC_PER_SEC);
	assert_false(readable(clock.timerfd, 0));
	timer_arm(&clock, &near.timer, now + 2000000); /* becomes the head: the timerfd must follow */
	assert_true(readable(clock.timerfd, 5000));
	clock_fire_due(&clock);
	assert_int_equal(log.count, 1);
	assert_int_equal(log.id[0], 0);
	assert_true(log.at[0] >= now + 2000000);
	assert_false(readable(clock.timerfd, 0));
	timer_arm(&clock, &near.timer, 0); /* long past */
	assert_true(readable(clock.timerfd, 5000));
	timer_cancel(&clock, &near.timer);
	assert_false(readable(clock.timerfd, 0)); /* back at the far one */
	timer_cancel(&clock, &far.timer);
	clock_fire_due(&clock);
	assert_int_equal(log.count, 1);
	clock_destroy(&clock);
}

/* A timer that is always due again must not keep clock_fire_due() for ever. */
static void test_storm_is_bounded(void **state)
{
	struct clock clock;
	struct log log = {0};
	struct probe p;

	(void)state;
	assert_int_equal(clock_init(&clock, false), 0);
	probe_init(&p, &clock, &log, 0);
	p.rearm_times = 1000000;
	p.rearm_after_ns = 0;
	timer_arm(&clock, &p.timer, 1);
	clock_fire_due(&clock);
	assert_in_range(log.count, 1, MAX_EVENTS - 1);
	assert_true(readable(clock.timerfd, 5000)); /* and goes on at the next turn */
	timer_cancel(&clock, &p.timer);
	clock_destroy(&clock);
}

/* A frozen clock: nothing fires, and afterwards what was due in 30 ms still is, 50 ms later. */
static void test_freeze(void **state)
{
	struct clock clock;
	struct log log = {0};
	struct probe p[3];
	uint64_t start_ns, frozen_ns, stood_ns;

	(void)state;
	assert_int_equal(clock_init(&clock, false), 0);
	start_ns = clock.start_ns;
	for (int i = 0; i < 3; i++)
		probe_init(&p[i], &clock, &log, i);
	timer_arm(&clock, &p[0].timer, clock_now(&clock) + 30000000);
	timer_arm(&clock, &p[1].timer, UINT64_MAX - 5);
	clock_freeze(&clock);
	frozen_ns = clock_now(&clock);
	timer_arm(&clock, &p[2].timer, frozen_ns + 10000000); /* while it stands still: the same */
	assert_false(readable(clock.timerfd, 50));
	clock_freeze(&clock); /* again: nothing */
	clock_fire_due(&clock);
	assert_int_equal(log.count, 0);
	assert_int_equal(clock_now(&clock), frozen_ns);
	stood_ns = clock_thaw(&clock);
	assert_in_range(stood_ns, 50000000, 5000000000);
	assert_int_equal(clock.start_ns, start_ns + stood_ns);
	assert_int_equal(p[2].timer.deadline_ns, frozen_ns + stood_ns + 10000000);
	assert_int_equal(p[1].timer.deadline_ns, UINT64_MAX);
	assert_int_equal(clock_thaw(&clock), 0);
	while (log.count < 2) {
		assert_true(readable(clock.timerfd, 5000));
		clock_fire_due(&clock);
	}
	assert_int_equal(log.id[0], 2);
	assert_int_equal(log.id[1], 0);
	assert_true(log.at[0] >= frozen_ns + stood_ns + 10000000);
	timer_cancel(&clock, &p[1].timer);
	clock_destroy(&clock);
	/* virtual time is not the clock's to stop */
	assert_int_equal(clock_init(&clock, true), 0);
	clock_freeze(&clock);
	clock_advance(&clock, 5);
	assert_int_equal(clock_now(&clock), 5);
	assert_int_equal(clock_thaw(&clock), 0);
	clock_destroy(&clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_rearm_in_callback),
		cmocka_unit_test(test_cancel_and_move),
		cmocka_unit_test(test_host_timerfd),
		cmocka_unit_test(test_storm_is_bounded),
		cmocka_unit_test(test_freeze),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
