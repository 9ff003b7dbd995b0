/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.h: what a state page is to the engine's own parts: the sequence word, and the objects
 * bound to the page with the writable data each of them has here. Internal to accel/.
 *
 * The sequence word is even while the page is at rest and odd while one holder changes it.
 * Completed changes only ever raise it by two; everything else in the page may change only while
 * the word is odd. Wrap-around is harmless: a reader would have to sleep through 2^31 changes and
 * wake at the very same number.
 */
#ifndef ACCEL_PAGE_H
#define ACCEL_PAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h"
#include "accel/hot.h"
#include "accel/prog.h"

/*
 * One object as it is attached to one page. Writable global data (.bss, .data) belongs to this
 * pair, not to the object alone: all of the object's programs on the page's slots share it, and
 * the page's sequence word is what guards it. The same object on another device's page has other
 * data, under the other page's word.
 */
struct page_object {
	struct page_object *next;
	struct accel_object *obj;
	unsigned refs;			  /* slots that run a program of it */
	uint8_t *map_base[PROG_MAX_MAPS]; /* by map index; for MAP_BSS memory of our own */
};

struct accel_page {
	/* constant after accel_page_new */
	struct hr_page *data;
	size_t mapped_bytes;
	uint32_t version;
	uint32_t size; /* bytes of the page variable, its head included */
	int map_fd;    /* the map whose element the page is (accel/kernel.h), -1: plain memory; set once, under lock */
	/* lock */
	pthread_mutex_t lock;
	char *layout; /* accel_object_layout() that every object must have; NULL: none yet */
	struct page_object *objects;
};

/*
 * Binds obj to the page, as accel_page_bind() does, and gives it its writable data there, or one
 * more reference to them. 0, -EINVAL or -ENOMEM with err.
 */
int page_object_get(struct accel_page *page, struct accel_object *obj, struct page_object **out, struct accel_err *err);
void page_object_put(struct accel_page *page, struct page_object *po);

/* Memory for a copy of a map's element: aligned to a cache line, which no other object shares. */
void *page_copy(const void *from, size_t bytes);

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/*
 * The four operations on the word, of which hot.h has the reader's two. The classic seqlock pairs a release fence after the writer's
 * first store with an acquire fence before the reader's last load: a reader that saw any of the
 * writer's relaxed stores then also sees its odd number, or a later one. ThreadSanitizer does not
 * know fences, so under it the same order comes from read-modify-writes of the word itself; the
 * page's fields are relaxed atomics on both sides either way, so that there is no data race to
 * begin with.
 */

/* Even to odd. False: somebody holds it. *even is what page_seq_release() wants. */
static inline bool page_seq_try_acquire(struct hr_page *p, uint32_t *even)
{
	uint32_t seq = __atomic_load_n(&p->seq, __ATOMIC_RELAXED);

	if (seq & 1)
		return false;
	if (!__atomic_compare_exchange_n(
		    &p->seq, &seq, seq + 1, false, PAGE_TSAN ? __ATOMIC_ACQ_REL : __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
#if !PAGE_TSAN
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
	*even = seq;
	return true;
}

/* Back to an even number: even + 2 after a change, even itself when nothing was stored. */
static inline void page_seq_release(struct hr_page *p, uint32_t even)
{
	__atomic_store_n(&p->seq, even, __ATOMIC_RELEASE);
}

#endif
