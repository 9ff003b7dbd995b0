/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_tier_int.h: what the parts of the page tier share: page_tier.c puts pages up and takes them down, page_manage.c
 * decides when, page_publish.c is the publisher thread and its gaps.
 */
#ifndef VMM_PAGE_TIER_INT_H
#define VMM_PAGE_TIER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/page_host.h"
#include "vmm/page_image.h"
#include "vmm/page_tier.h"
#include "vmm/vm.h"

#define PAGE_GAP_SUB_BITS 3 /* buckets in an octave: 8 */
#define PAGE_GAP_BUCKETS ((40 - PAGE_GAP_SUB_BITS) * 8)

#define PAGE_BACKOFF_NS 100000000ull /* the first one; each further is twice as long */
#define PAGE_BACKOFF_MAX_NS 10000000000ull
#define PAGE_CROWD_BACKOFF_NS 1000000000ull /* the same where no processor is to spare */
#define PAGE_CROWD_BACKOFF_MAX_NS 64000000000ull
#define PAGE_LOST_NS 10000u /* a gap that is not just a long pass */

/* Memory that is of no use any more, until no publisher can be in it. */
struct page_zombie {
	struct page_zombie *next;
	struct page_image *image;
	uint64_t pass; /* of the publisher when it went */
};

/* Who had to do without a processor, ns since the start. */
struct page_crowd {
	uint64_t at_ns;
	uint64_t lost_ns;   /* the publisher, while something was shown: its gaps above PAGE_LOST_NS */
	uint64_t waited_ns; /* vCPUs and the event thread, added up */
};

/* One range that may be shown. */
struct tier_page {
	struct page_tier *tier;
	unsigned index;
	/* tier lock */
	struct range *range;	  /* constant, like the next two */
	struct accel_object *obj; /* NULL: what the machine has attached */
	const char *prog;
	char *refused;		  /* why it cannot be shown as things stand; NULL: it can */
	struct page_image *image; /* NULL: to be made when it comes up */
	bool is_up, is_held;
	uint64_t not_before_ns, backoff_ns;
	uint64_t up_since_ns, mapped_ns, maps, given_up;
	uint64_t samples, samples_with_readers, next_sample_ns;
	unsigned window, window_with_readers;
	double window_expected;	     /* with readers, at the rate at which a page is hardly worth it */
	uint64_t exits, exits_at_ns; /* when they were last counted; 0: not yet */
	unsigned hot_windows;	     /* in a row, in which they cost enough */
	bool is_quiet;		     /* they cost next to nothing when they were last counted */
	struct page_crowd crowd;     /* at the start of the window that is to be judged */
	uint64_t next_crowd_ns;
	unsigned told; /* lines about its coming and going */
	bool told_gap, told_gone, told_refused;
	/* slot_lock: innermost */
	pthread_mutex_t slot_lock;
	bool is_mapped;
	uint64_t mapped_since_ns, mapped_gpa, mapped_bytes;
	uint64_t slot_ns, slot_max_ns; /* that changes of the slot took, all and the longest */
	/* atomic: its device does not want it shown any more, or its word was given up, since it came */
	_Atomic bool must_go;
};

struct page_tier {
	/* constant after page_tier_new() */
	struct vm *vm;
	bool is_forced;	  /* --page on */
	const char *only; /* a device; NULL: all */
	uint64_t gap_limit_ns;
	int wake_fd, stop_fd; /* the second can be read from page_tier_stop() on */
	/* lock */
	pthread_mutex_t lock;
	struct page_probe probe; /* what is known of the host: exit_ns 0: nothing yet */
	bool is_tried;		 /* all of the test was done, or enough to see that it fails */
	bool wants_trial;	 /* manager */
	struct tier_page pages[PAGE_TIER_MAX];
	unsigned count;
	unsigned forbidden;
	struct page_zombie *zombies;
	bool manages, publishes; /* threads that are to be joined */
	pthread_t manager, publisher;
	/* atomics */
	_Atomic bool stop;
	_Atomic bool has_gap; /* above the limit, since the manager looked */
	_Atomic int fault;
	_Atomic(struct page_image *) shown[PAGE_TIER_MAX]; /* what the publisher publishes */
	_Atomic uint64_t pass;				   /* odd while the publisher may be in an image */
	_Atomic uint64_t gaps[PAGE_GAP_BUCKETS], gap_max_ns, cpu_ns;
	_Atomic uint64_t lost_ns, last_pass_ns; /* see struct page_crowd; 0: nothing is shown */
	_Atomic int event_tid;			/* who called page_tier_start(); 0: nobody yet */
	/* run_lock: nothing is taken under it */
	pthread_mutex_t run_lock;
	pthread_cond_t run_cond;
};

static inline uint64_t page_now(void)
{
	return accel_clock_now(&(struct accel_clock){.is_virtual = false});
}

/* page_tier.c; tier lock held. */
bool page_up(struct tier_page *page); /* false: not now */
void page_down(struct tier_page *page);
bool page_device_has_another(const struct tier_page *page); /* up, and mapped or about to be */
void page_bury(struct page_tier *tier);			    /* frees zombies */
void page_examine(struct page_tier *tier);		    /* mode and programs anew */
void page_wake(struct page_tier *tier);			    /* the manager; any lock held */
bool page_may_spin(const struct page_tier *tier);	    /* a processor is to spare for the publisher; reads files */

void page_crowd_look(const struct page_tier *tier, struct page_crowd *out); /* page_crowd.c; reads files */

/* page_manage.c, page_publish.c: the threads. */
void *page_manage(void *tier);
void *page_publish(void *tier);
void page_publish_wake(struct page_tier *tier);
/* One pass over all that is shown; *last_ns is that of the pass before, 0: none. For the thread and for tests. */
void page_publish_pass(struct page_tier *tier, uint64_t *last_ns);
/* The gap that `share` of all gaps do not exceed; 0: none. */
uint64_t page_gap_percentile(const struct page_tier *tier, double share);

#endif
