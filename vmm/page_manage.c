// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_manage.c: the manager thread: when a page comes and when it goes.
 *
 * It comes with --page on as soon as it may, with auto when the exits of its range over a window cost more than half a
 * processor: the publisher costs a whole one, of which auto takes only one that is to spare. It goes when nobody reads it any
 * more (auto), when its device says so, and for a while when the publisher is late or does not run at all.
 */
#include "vmm/page_tier_int.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "devices/device.h"
#include "vmm/options.h"

#define WATCH_MS 1	    /* while something is shown */
#define FORCED_MS 10	    /* while something is to come */
#define DEMAND_MS 100	    /* between two counts of exits */
#define SAMPLE_NS 10000000u /* between two looks at who has read */
#define WINDOW 32	    /* samples, of which a quarter must have had readers */
#define SETTLED_NS 1000000000ull

static void tell(const struct tier_page *page, const char *what, const char *why)
{
	if (!page->tier->vm->opt->quiet)
		fprintf(stderr, "hotreg: page: %s %s: %s\n", page->range->name, what, why);
}

/* Away for a while; twice as long each time, unless it had been up for long. */
static void back_off(struct tier_page *page, uint64_t now_ns)
{
	if (!page->backoff_ns || now_ns - page->up_since_ns > SETTLED_NS)
		page->backoff_ns = PAGE_BACKOFF_NS;
	else if (page->backoff_ns < PAGE_BACKOFF_MAX_NS)
		page->backoff_ns *= 2;
	page->not_before_ns = now_ns + page->backoff_ns;
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

/* Whether the publisher keeps its promise. */
static bool is_late(struct tier_page *page, bool has_gap)
{
	const uint64_t last_ns = page_image_last_ns(page->image), now_ns = clock_now(&page->tier->vm->clock);
	const uint64_t age_ns = now_ns > last_ns ? now_ns - last_ns : 0;

	if (page->tier->vm->bus.mode == ACCEL_CHECK || (!has_gap && age_ns <= page->tier->gap_limit_ns))
		return false;
	tell_late(page, has_gap ? page->tier->gap_limit_ns : age_ns);
	return true;
}

/* Auto: whether nobody has read it for a window. */
static bool is_forgotten(struct tier_page *page, uint64_t now_ns)
{
	int readers;
	bool is_over;

	if (page->tier->vm->bus.mode == ACCEL_CHECK || now_ns < page->next_sample_ns)
		return false;
	page->next_sample_ns = now_ns + SAMPLE_NS;
	readers = page_image_sample(page->image);
	if (readers < 0) /* the host does not say: nobody is known to have gone */
		return false;
	page->samples++;
	page->samples_with_readers += (uint64_t)readers;
	page->window_with_readers += (unsigned)readers;
	if (++page->window < WINDOW)
		return false;
	is_over = page->window_with_readers < WINDOW / 4;
	page->window = page->window_with_readers = 0;
	return is_over && !page->tier->is_forced;
}

static void watch(struct tier_page *page, bool has_gap, uint64_t now_ns)
{
	if (page_image_is_gone(page->image)) {
		page_down(page);
		back_off(page, now_ns);
		if (!page->told_gone)
			tell(page, "given up",
				"its publisher stood still with the publication word; a fresh one may come");
		page->told_gone = true;
	} else if (atomic_load(&page->must_go) || !page_image_may_show(page->image)) {
		page_down(page);
	} else if (is_late(page, has_gap)) {
		page_down(page);
		back_off(page, now_ns);
	} else if (is_forgotten(page, now_ns)) {
		page_down(page);
		page->exits_at_ns = 0;
		tell(page, "unmapped", "hardly anybody reads it any more");
	}
}

/* Whether it is to come, and why: with auto, when the exits of the range cost enough. */
static bool is_wanted(struct tier_page *page, uint64_t now_ns, char *why, size_t why_bytes)
{
	const struct page_tier *tier = page->tier;
	struct accel_counters counters;
	uint64_t exits, window_ns = now_ns - page->exits_at_ns;

	if (tier->is_forced || tier->vm->bus.mode == ACCEL_CHECK)
		return true;
	if (tier->processors < tier->vm->cpu_count + 1)
		return false;
	if (window_ns < DEMAND_MS * 1000000ull)
		return false;
	accel_slot_counters(page->range->slot, &counters);
	exits = counters.answered + counters.punted - page->exits;
	page->exits += exits;
	if (!page->exits_at_ns) { /* the first count has no window */
		page->exits_at_ns = now_ns;
		return false;
	}
	page->exits_at_ns = now_ns;
	if (exits * tier->probe.exit_ns < window_ns / 2)
		return false;
	snprintf(why, why_bytes, "%" PRIu64 " exits of %" PRIu64 " ns in %" PRIu64 " ms", exits, tier->probe.exit_ns,
		window_ns / 1000000);
	return true;
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
		return;
	}
	if (page->refused || now_ns < page->not_before_ns || !may_come(page) ||
		!is_wanted(page, now_ns, why, sizeof(why)))
		return;
	if (page_up(page)) {
		if (page->maps == 1 || !page->tier->is_forced)
			tell(page, "mapped", why);
	} else {
		back_off(page, now_ns);
		if (page->refused && !page->told_refused)
			tell(page, "refused", page->refused);
		page->told_refused |= page->refused != NULL;
	}
}

/* Returns how long it may sleep. */
static int look(struct page_tier *tier)
{
	const bool has_gap = atomic_exchange(&tier->has_gap, false);
	int wait_ms = tier->is_forced ? FORCED_MS : DEMAND_MS;

	pthread_mutex_lock(&tier->lock);
	for (unsigned i = 0; i < tier->count && !tier->forbidden && tier->vm->bus.mode != ACCEL_OFF; i++) {
		look_at(&tier->pages[i], has_gap);
		if (tier->pages[i].is_up)
			wait_ms = WATCH_MS;
	}
	page_bury(tier);
	pthread_mutex_unlock(&tier->lock);
	return wait_ms;
}

void *page_manage(void *opaque)
{
	struct page_tier *tier = opaque;
	struct pollfd wake = {.fd = tier->wake_fd, .events = POLLIN};
	uint64_t count;

	while (!atomic_load(&tier->stop)) {
		int wait_ms = look(tier);

		if (poll(&wake, 1, wait_ms) > 0 && read(tier->wake_fd, &count, sizeof(count)) < 0)
			continue; /* somebody read it before */
	}
	return NULL;
}
