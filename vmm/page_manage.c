// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_manage.c: the manager thread: when a page comes and when it goes.
 *
 * It comes with --page on as soon as it may, with auto when the exits of its range cost more than half a processor for two
 * windows on end: the publisher costs a whole one, of which auto takes only one that is to spare. It goes when it is read too
 * seldom (auto), when its device says so, and for a while when the publisher is late or does not run at all, for longer when a
 * processor that is there by count is not to spare (auto): it has others on it, or vCPUs have to wait for one.
 *
 * With auto the host is tested when exits would cost enough on the dearest host that we know: first what an exit costs here,
 * then, if that still is enough, the rest.
 */
#include "vmm/page_tier_int.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "devices/device.h"
#include "vmm/options.h"

#define WATCH_MS 1	    /* while something is shown */
#define FORCED_MS 10	    /* while something is to come */
#define DEMAND_MS 100	    /* between two counts of exits */
#define QUIET_MS 500	    /* the same while there are next to none */
#define QUIET 16	    /* part of a processor */
#define HOT_WINDOWS 2	    /* on end, that exits must cost enough */
#define SAMPLE_NS 10000000u /* between two looks at who reads */
#define WINDOW 32	    /* looks */
#define SLACK (WINDOW / 8)  /* looks at a time at which the guest does something else */
#define WORTH 8		    /* part of a processor that reads would cost, at which the page is not worth it any more */
#define LOOK_MIN_NS 50000u
#define LOOK_MAX_NS 1000000u
#define LOOK_LONG 4
#define DEAREST_EXIT_NS 50000u /* that we know: nested, or emulated */
#define SETTLED_NS 1000000000ull
#define MOST_LINES 10
#define CROWD_NS 20000000u /* while it is shown: from one look at who waits to the next */
#define LOST 4		   /* part of that that the publisher may lose */
#define WAITED 8	   /* part that vCPUs and timers may wait */

static void tell(const struct tier_page *page, const char *what, const char *why)
{
	if (!page->tier->vm->opt->quiet)
		fprintf(stderr, "hotreg: page: %s %s: %s\n", page->range->name, what, why);
}

/* Auto says when a page comes and goes; a guest that makes it do so all the time does not fill the log. */
static void tell_turn(struct tier_page *page, const char *what, const char *why)
{
	char text[200];

	if (page->tier->is_forced || page->told == MOST_LINES)
		return;
	snprintf(
		text, sizeof(text), "%s%s", why, ++page->told == MOST_LINES ? " (further times are only counted)" : "");
	tell(page, what, text);
}

/* Away for a while, first_ns to most_ns; twice as long each time, unless it has been up for long until now. */
static void back_off(struct tier_page *page, uint64_t now_ns, uint64_t first_ns, uint64_t most_ns)
{
	if (!page->backoff_ns || (page->is_up && now_ns - page->up_since_ns > SETTLED_NS))
		page->backoff_ns = first_ns;
	else if (page->backoff_ns < most_ns)
		page->backoff_ns = page->backoff_ns < first_ns / 2 ? first_ns : page->backoff_ns * 2;
	page->not_before_ns = now_ns + page->backoff_ns;
}

/* What there was since the last look must be judged anew. */
static void start_crowd(struct tier_page *page)
{
	page_crowd_look(page->tier, &page->crowd);
	page->next_crowd_ns = page_now() + CROWD_NS;
}

/* Whether there was no processor to spare between the two; why: who had to do without. */
static bool was_short(const struct page_crowd *from, const struct page_crowd *to, char *why, size_t why_bytes)
{
	const uint64_t window_ns = to->at_ns - from->at_ns, lost_ns = to->lost_ns - from->lost_ns;
	/* one of them may have ended */
	const uint64_t waited_ns = to->waited_ns > from->waited_ns ? to->waited_ns - from->waited_ns : 0;

	if (lost_ns > window_ns / LOST)
		snprintf(why, why_bytes, "its publisher had no processor for %" PRIu64 " of %" PRIu64 " us",
			lost_ns / 1000, window_ns / 1000);
	else if (waited_ns > window_ns / WAITED)
		snprintf(why, why_bytes, "vCPUs and timers waited %" PRIu64 " of %" PRIu64 " us for a processor",
			waited_ns / 1000, window_ns / 1000);
	else
		return false;
	return true;
}

/*
 * Auto: whether the publisher's processor is not to spare after all, as of each window, or of as much of it as there is. If so
 * the page is to stay away: for longer each time.
 */
static bool is_crowded(struct tier_page *page, bool at_once, uint64_t now_ns, char *why, size_t why_bytes)
{
	const struct page_crowd from = page->crowd;
	size_t used;

	if (page->tier->is_forced || page->tier->vm->bus.mode == ACCEL_CHECK ||
		(!at_once && now_ns < page->next_crowd_ns))
		return false;
	start_crowd(page);
	if (!was_short(&from, &page->crowd, why, why_bytes))
		return false;
	back_off(page, now_ns, PAGE_CROWD_BACKOFF_NS, PAGE_CROWD_BACKOFF_MAX_NS);
	used = strlen(why);
	snprintf(why + used, why_bytes - used, "; not again for %" PRIu64 " s",
		(uint64_t)(page->backoff_ns / HR_NSEC_PER_SEC));
	return true;
}

static void tell_late(struct tier_page *page, uint64_t ns)
{
	char why[200];

	if (page->told_gap)
		return;
	page->told_gap = true;
	snprintf(why, sizeof(why),
		"its publisher was late by %" PRIu64 " us or more, above the limit of %" PRIu64
		" us; it may come back (further times are only counted)",
		ns / 1000, page->tier->gap_limit_ns / 1000);
	tell(page, "unmapped", why);
}

/* By how much the publisher breaks its promise; 0: it keeps it. */
static uint64_t late_ns(const struct tier_page *page, bool has_gap)
{
	const uint64_t last_ns = page_image_last_ns(page->image), now_ns = clock_now(&page->tier->vm->clock);
	const uint64_t age_ns = now_ns > last_ns ? now_ns - last_ns : 0, limit_ns = page->tier->gap_limit_ns;

	if (page->tier->vm->bus.mode == ACCEL_CHECK || (!has_gap && age_ns <= limit_ns))
		return 0;
	return age_ns > limit_ns ? age_ns : limit_ns;
}

/*
 * One look: takes the page table entry away and sees, after as long as a read takes to come at the rate at which the page
 * is no longer worth it, whether one has come. 1, 0, -errno; *ns: how long it was. One that became much longer, since the
 * host is busy, says nothing: -EAGAIN.
 */
static int look_for_readers(struct tier_page *page, uint64_t mean_ns, uint64_t *ns)
{
	const uint64_t want_ns = mean_ns < LOOK_MIN_NS ? LOOK_MIN_NS : mean_ns > LOOK_MAX_NS ? LOOK_MAX_NS : mean_ns;
	const uint64_t start_ns = page_now();
	int readers = page_image_sample(page->image);

	if (readers < 0)
		return readers;
	nanosleep(&(struct timespec){.tv_nsec = (long)want_ns}, NULL);
	readers = page_image_sample(page->image);
	*ns = page_now() - start_ns;
	return *ns > LOOK_LONG * want_ns ? -EAGAIN : readers;
}

/*
 * Auto: whether it is read too seldom. Reads that come at random, one in mean_ns on average, come within a time of t with a
 * probability of 1 - exp(-t / mean_ns).
 */
static bool is_forgotten(struct tier_page *page, uint64_t now_ns)
{
	const uint64_t mean_ns = WORTH * page->tier->probe.exit_ns;
	uint64_t ns;
	int readers;
	bool is_over;

	if (page->tier->vm->bus.mode == ACCEL_CHECK || now_ns < page->next_sample_ns || !mean_ns)
		return false;
	page->next_sample_ns = now_ns + SAMPLE_NS;
	readers = look_for_readers(page, mean_ns, &ns);
	if (readers < 0) /* nobody is known to have gone */
		return false;
	page->samples++;
	page->samples_with_readers += (uint64_t)readers;
	page->window_with_readers += (unsigned)readers;
	page->window_expected += 1 - exp(-(double)ns / (double)mean_ns);
	if (++page->window < WINDOW)
		return false;
	is_over = page->window_with_readers + SLACK < page->window_expected;
	page->window = page->window_with_readers = 0;
	page->window_expected = 0;
	return is_over && !page->tier->is_forced;
}

static void watch(struct tier_page *page, bool has_gap, uint64_t now_ns)
{
	const uint64_t late = late_ns(page, has_gap);
	char why[160];

	if (page_image_is_gone(page->image)) {
		if (is_crowded(page, true, now_ns, why, sizeof(why)))
			tell_turn(page, "unmapped", why);
		else
			back_off(page, now_ns, PAGE_BACKOFF_NS, PAGE_BACKOFF_MAX_NS);
		page_down(page);
		if (!page->told_gone)
			tell(page, "given up",
				"its publisher stood still with the publication word; a fresh one may come");
		page->told_gone = true;
	} else if (atomic_load(&page->must_go) || !page_image_may_show(page->image)) {
		page_down(page);
		tell_turn(page, "unmapped", "as its registers stand they may not be seen one by one");
	} else if (is_crowded(page, late > 0, now_ns, why, sizeof(why))) {
		page_down(page);
		tell_turn(page, "unmapped", why);
	} else if (late) {
		back_off(page, now_ns, PAGE_BACKOFF_NS, PAGE_BACKOFF_MAX_NS);
		page_down(page);
		tell_late(page, late);
	} else if (is_forgotten(page, now_ns)) {
		page_down(page);
		if (page_device_has_another(page)) /* which alone would bring it back at once */
			page->not_before_ns = now_ns + PAGE_BACKOFF_MAX_NS;
		tell_turn(page, "unmapped", "it is read too seldom");
	}
}

/* Auto: whether exits of the range have cost half a processor, as of each window; why: how many. */
static bool is_hot(struct tier_page *page, uint64_t now_ns, char *why, size_t why_bytes)
{
	const uint64_t window_ns = now_ns - page->exits_at_ns, known_ns = page->tier->probe.exit_ns;
	const uint64_t exit_ns = known_ns ? known_ns : DEAREST_EXIT_NS;
	struct accel_counters counters;
	uint64_t reads;

	if (page->exits_at_ns && window_ns < DEMAND_MS * 1000000ull)
		return false;
	/* A pure program answers reads; writes are the model's, with a page and without. */
	accel_slot_counters(page->range->slot, &counters);
	reads = counters.answered - page->exits;
	page->exits = counters.answered;
	if (!page->exits_at_ns) /* the first count has no window */
		reads = 0;
	page->exits_at_ns = now_ns;
	page->is_quiet = reads * exit_ns < window_ns / QUIET;
	if (reads * exit_ns < window_ns / 2) {
		page->hot_windows = 0;
		return false;
	}
	if (page->hot_windows == 0)
		start_crowd(page);
	snprintf(why, why_bytes, "%" PRIu64 " reads by exits of %" PRIu64 " ns in %" PRIu64 " ms", reads, exit_ns,
		window_ns / 1000000);
	return ++page->hot_windows >= HOT_WINDOWS;
}

/* Whether it is to come, and why. */
static bool is_wanted(struct tier_page *page, uint64_t now_ns, char *why, size_t why_bytes)
{
	struct page_tier *tier = page->tier;
	char crowd[160];

	if (tier->vm->bus.mode == ACCEL_CHECK)
		return true;
	if (tier->is_forced) { /* not tested yet where check mode was on at the start */
		tier->wants_trial = !tier->is_tried;
		return tier->is_tried;
	}
	if (page_device_has_another(page))
		snprintf(why, why_bytes, "its device has another page, so no program answers here");
	else if (!is_hot(page, now_ns, why, why_bytes))
		return false;
	else if (is_crowded(page, true, now_ns, crowd, sizeof(crowd))) {
		tell_turn(page, "not mapped", crowd);
		page->hot_windows = 0;
		return false;
	}
	tier->wants_trial = !tier->is_tried;
	return tier->is_tried && page_may_spin(tier);
}

/* As the device stands now. */
static bool may_come(struct tier_page *page)
{
	struct device *dev = page->range->dev;
	bool may;

	pthread_mutex_lock(&dev->lock);
	may = !dev->ops->may_show || dev->ops->may_show(dev);
	pthread_mutex_unlock(&dev->lock);
	return may;
}

static void look_at(struct tier_page *page, bool has_gap)
{
	const uint64_t now_ns = page_now();
	char why[120] = "--page on";

	if (page->is_up) {
		watch(page, has_gap, now_ns);
		if (!page->is_up)
			page->exits_at_ns = page->hot_windows = 0;
		return;
	}
	if (page->refused || now_ns < page->not_before_ns || !is_wanted(page, now_ns, why, sizeof(why)) ||
		!may_come(page))
		return;
	if (page_up(page)) {
		start_crowd(page);
		if (page->tier->is_forced && page->maps == 1)
			tell(page, "mapped", why);
		else if (page->tier->vm->bus.mode != ACCEL_CHECK)
			tell_turn(page, "mapped", why);
	} else {
		back_off(page, now_ns, PAGE_BACKOFF_NS, PAGE_BACKOFF_MAX_NS);
		if (page->refused && !page->told_refused)
			tell(page, "refused", page->refused);
		page->told_refused |= page->refused != NULL;
	}
}

/* Whether any page can come, as mode and host are; who changes the mode wakes the manager. */
static bool is_possible(const struct page_tier *tier)
{
	if (tier->forbidden || tier->vm->bus.mode == ACCEL_OFF)
		return false;
	if (tier->vm->bus.mode == ACCEL_CHECK)
		return !tier->vm->opt->page_by_default; /* a shadow costs what a page does and helps no guest */
	return !tier->is_tried || tier->probe.works;
}

/* Returns how long it may sleep; -1: until it is woken. */
static int look(struct page_tier *tier)
{
	const bool has_gap = atomic_exchange(&tier->has_gap, false);
	int wait_ms = -1;

	pthread_mutex_lock(&tier->lock);
	for (unsigned i = 0; i < tier->count && is_possible(tier); i++) {
		struct tier_page *page = &tier->pages[i];
		int page_ms;

		look_at(page, has_gap);
		page_ms = page->is_up ? WATCH_MS : tier->is_forced ? FORCED_MS : page->is_quiet ? QUIET_MS : DEMAND_MS;
		if (wait_ms < 0 || page_ms < wait_ms)
			wait_ms = page_ms;
	}
	page_bury(tier);
	if (tier->zombies && wait_ms < 0)
		wait_ms = QUIET_MS;
	pthread_mutex_unlock(&tier->lock);
	return wait_ms;
}

/* Auto, when a page would be worth it for the first time: without a lock, while the guest runs. */
static void try_host(struct page_tier *tier)
{
	const bool is_timed = tier->probe.exit_ns != 0;
	struct page_probe probe;

	if (is_timed)
		page_probe_run(&probe, tier->stop_fd);
	else
		page_probe_exits(&probe, tier->stop_fd);
	if (atomic_load(&tier->stop))
		return;
	pthread_mutex_lock(&tier->lock);
	tier->probe = probe;
	tier->is_tried = is_timed || !probe.works;
	tier->wants_trial = false;
	for (unsigned i = 0; i < tier->count; i++) /* what is counted next tells whether it still is worth it */
		tier->pages[i].exits_at_ns = tier->pages[i].hot_windows = 0;
	pthread_mutex_unlock(&tier->lock);
	if (!probe.works && !tier->vm->opt->quiet)
		fprintf(stderr, "hotreg: page: none, though %s: %s\n",
			tier->is_forced ? "--page on asks for one" : "the guest's reads would be worth one",
			probe.reason);
}

void *page_manage(void *opaque)
{
	struct page_tier *tier = opaque;
	struct pollfd wake = {.fd = tier->wake_fd, .events = POLLIN};
	uint64_t count;

	prctl(PR_SET_TIMERSLACK, 1000ul); /* looks at readers are short */
	while (!atomic_load(&tier->stop)) {
		int wait_ms = look(tier);

		if (tier->wants_trial) {
			try_host(tier);
			continue;
		}
		if (poll(&wake, 1, wait_ms) > 0 && read(tier->wake_fd, &count, sizeof(count)) < 0)
			continue; /* somebody read it before */
	}
	return NULL;
}
