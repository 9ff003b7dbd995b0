// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_publish.c: the publisher thread: pass after pass it takes the words that are free, looks at the clock once, and
 * stores what the timed cells show. It measures the time from one look to the next.
 *
 * It never waits for a word, and sleeps only while nothing is shown.
 */
#include "vmm/page_tier_int.h"

#include <time.h>

#define STARVED_NS 5000000
/* Between two passes, without a word: a publisher that loses its processor should not often have one in its hand. */
#define PAUSES 8

/* The bucket of a gap: 8 in an octave. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned exponent;

	if (ns < 1u << PAGE_GAP_SUB_BITS)
		return (unsigned)ns;
	exponent = 63u - (unsigned)__builtin_clzll(ns);
	if (exponent >= 40)
		return PAGE_GAP_BUCKETS - 1;
	return ((exponent - PAGE_GAP_SUB_BITS + 1) << PAGE_GAP_SUB_BITS) +
	       (unsigned)(ns >> (exponent - PAGE_GAP_SUB_BITS) & ((1u << PAGE_GAP_SUB_BITS) - 1));
}

/* The largest gap of a bucket. */
static uint64_t bucket_ns(unsigned bucket)
{
	unsigned octave = bucket >> PAGE_GAP_SUB_BITS;
	uint64_t sub = bucket & ((1u << PAGE_GAP_SUB_BITS) - 1);

	if (octave == 0)
		return bucket;
	return (((1u << PAGE_GAP_SUB_BITS) + sub + 1) << (octave - 1)) - 1;
}

uint64_t page_gap_percentile(const struct page_tier *tier, double share)
{
	uint64_t all = 0, seen = 0;

	for (unsigned i = 0; i < PAGE_GAP_BUCKETS; i++)
		all += atomic_load_explicit(&tier->gaps[i], memory_order_relaxed);
	for (unsigned i = 0; i < PAGE_GAP_BUCKETS && all; i++) {
		seen += atomic_load_explicit(&tier->gaps[i], memory_order_relaxed);
		if ((double)seen >= share * (double)all)
			return bucket_ns(i);
	}
	return 0;
}

/* Only this thread stores to these. */
static void note_gap(struct page_tier *tier, uint64_t ns)
{
	_Atomic uint64_t *bucket = &tier->gaps[bucket_of(ns)];

	atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1, memory_order_relaxed);
	if (ns > PAGE_LOST_NS)
		atomic_store(&tier->lost_ns, atomic_load_explicit(&tier->lost_ns, memory_order_relaxed) + ns);
	if (ns <= atomic_load_explicit(&tier->gap_max_ns, memory_order_relaxed))
		return;
	atomic_store_explicit(&tier->gap_max_ns, ns, memory_order_relaxed);
}

static void nap(uint64_t ns)
{
	nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

void page_publish_pass(struct page_tier *tier, uint64_t *last_ns)
{
	struct page_image *held[PAGE_TIER_MAX];
	unsigned count = 0;
	uint64_t now_ns;

	/* Odd before any image is looked up: who takes one away afterwards sees that we may be in it. */
	atomic_fetch_add(&tier->pass, 1);
	for (unsigned i = 0; i < PAGE_TIER_MAX; i++) {
		struct page_image *image = atomic_load_explicit(&tier->shown[i], memory_order_seq_cst);

		if (image && page_image_try(image))
			held[count++] = image;
	}
	while (count && atomic_load_explicit(&tier->fault, memory_order_relaxed) == PAGE_FAULT_STUCK)
		nap(100000);
	if (count) {
		now_ns = clock_now(&tier->vm->clock);
		for (unsigned i = 0; i < count; i++) {
			page_image_publish(held[i], now_ns);
			page_image_leave(held[i]);
		}
		if (*last_ns && now_ns > *last_ns) {
			note_gap(tier, now_ns - *last_ns);
			if (now_ns - *last_ns > tier->gap_limit_ns && !atomic_exchange(&tier->has_gap, true))
				page_wake(tier);
		}
		*last_ns = now_ns;
		atomic_store_explicit(&tier->last_pass_ns, now_ns, memory_order_release);
	}
	atomic_fetch_add_explicit(&tier->pass, 1, memory_order_release);
}

static bool is_idle(const struct page_tier *tier)
{
	for (unsigned i = 0; i < PAGE_TIER_MAX; i++) {
		if (atomic_load_explicit(&tier->shown[i], memory_order_relaxed))
			return false;
	}
	return true;
}

void page_publish_wake(struct page_tier *tier)
{
	pthread_mutex_lock(&tier->run_lock);
	pthread_cond_signal(&tier->run_cond);
	pthread_mutex_unlock(&tier->run_lock);
}

static void sleep_while_idle(struct page_tier *tier)
{
	pthread_mutex_lock(&tier->run_lock);
	while (is_idle(tier) && !atomic_load(&tier->stop))
		pthread_cond_wait(&tier->run_cond, &tier->run_lock);
	pthread_mutex_unlock(&tier->run_lock);
}

static void note_cpu_time(struct page_tier *tier)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	atomic_store_explicit(
		&tier->cpu_ns, (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec, memory_order_relaxed);
}

void *page_publish(void *opaque)
{
	struct page_tier *tier = opaque;
	uint64_t last_ns = 0;

	while (!atomic_load_explicit(&tier->stop, memory_order_relaxed)) {
		int fault = atomic_load_explicit(&tier->fault, memory_order_relaxed);

		if (fault == PAGE_FAULT_KILLED)
			break;
		if (fault == PAGE_FAULT_STARVED)
			nap(STARVED_NS);
		if (is_idle(tier)) {
			note_cpu_time(tier);
			atomic_store(&tier->last_pass_ns, 0);
			sleep_while_idle(tier);
			last_ns = 0;
		}
		for (unsigned i = 0; i < 64 && !atomic_load_explicit(&tier->fault, memory_order_relaxed); i++) {
			page_publish_pass(tier, &last_ns);
			for (unsigned k = 0; k < PAUSES; k++)
				page_pause();
		}
		if (atomic_load_explicit(&tier->fault, memory_order_relaxed) != PAGE_FAULT_KILLED)
			page_publish_pass(tier, &last_ns);
	}
	note_cpu_time(tier);
	return NULL;
}
