/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_tier.h: --page: which ranges the guest is shown as read-only pages, and when. A publisher thread keeps the timed
 * cells of all of them true, with one reading of the clock a pass; a manager thread maps, unmaps and watches.
 *
 * A page comes in this order: programs of its device held (every access is the model's, which publishes), first
 * publication, publisher, KVM slot; and goes in the opposite one. So while some vCPU may load from it and another may
 * exit, every exit publishes its own instant first. No vCPU makes or waits for a change of slots, but for a word that
 * is stuck (page_image.h). In check mode pages are shadows: published, compared, never mapped.
 *
 * Lock order: tier lock -> device -> slot lock of a page. Callers hold none of the VM's locks. Times are nanoseconds.
 */
#ifndef VMM_PAGE_TIER_H
#define VMM_PAGE_TIER_H

#include <jansson.h>
#include <stdint.h>

#include "accel/accel.h"

struct range;
struct vm;
struct page_tier;

#define PAGE_TIER_MAX 8

/*
 * After the machine and the vCPUs are there. *out is NULL where nothing can come of it (--page off, no KVM, with auto no
 * processor to spare). With --page on that is an error, and so is a host that fails its test: 0 or -errno with err. With
 * auto the host is tested when the guest's reads ask for a page for the first time.
 */
int page_tier_new(struct vm *vm, struct page_tier **out, struct accel_err *err);
void page_tier_free(struct page_tier *tier); /* stopped; before the machine goes. NULL is fine, here and below */

/*
 * A range with HR_PAGE_OK of a device that is not in the machine's table; obj and prog stay as long as the tier. Before
 * page_tier_start(). 0, also without a tier; -errno with err when --page on could not show it.
 */
int page_tier_add(
	struct page_tier *tier, struct range *range, struct accel_object *obj, const char *prog, struct accel_err *err);

int page_tier_start(struct page_tier *tier); /* 0 or -errno */
void page_tier_stop(struct page_tier *tier); /* no vCPU runs any more */

/*
 * On return no page is shown, and none comes until as many calls of page_tier_allow(), which looks at the mode and at
 * the programs anew. Around whatever changes those, and around a time that stands still. Not in a vCPU's thread.
 */
void page_tier_forbid(struct page_tier *tier);
void page_tier_allow(struct page_tier *tier);

/* Before timer callbacks, in the event thread: a page that may not be shown any more goes before a line rises. */
void page_tier_before_timer(struct page_tier *tier);

/* For statistics: see docs/stats.md. NULL when out of memory, or without a tier. */
json_t *page_tier_json(struct page_tier *tier);

/* Test hook: what befalls the publisher from its next pass on. */
enum page_fault {
	PAGE_FAULT_NONE,
	PAGE_FAULT_STUCK,   /* stops with the words in its hand, until another fault is set */
	PAGE_FAULT_STARVED, /* gets a turn every few milliseconds */
	PAGE_FAULT_KILLED,  /* ends */
};
void page_tier_fault(struct page_tier *tier, enum page_fault fault);

#endif
