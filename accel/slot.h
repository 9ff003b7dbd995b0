/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slot.h: a slot from the inside: what is attached, each vCPU's part of it, and how a vCPU goes
 * in and out. Internal to accel/; shared by runtime.c and runtime_string.c.
 *
 * What a slot points at is immutable once published; a vCPU that is inside keeps what it picked up alive.
 */
#ifndef ACCEL_SLOT_H
#define ACCEL_SLOT_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/engine.h"
#include "accel/page.h"

/*
 * How long a program may wait for the page before the access goes to the model, which may have to sleep for the
 * device's mutex behind somebody who has nothing to do with the page. It is held for tens of nanoseconds, unless its
 * holder's memory is cold or it was preempted: so first a few microseconds of looking, then letting others run, which may be
 * the holder. The model needs the page as well, and would not have it any sooner.
 */
#define SLOT_BUSY_LOOKS 64   /* at an odd word, a pause between them */
#define SLOT_BUSY_TRIES 1000 /* these, and then with sched_yield() */

/* A program on this slot: immutable once published, freed when no vCPU can be inside it. */
struct attachment {
	struct accel_hot_prog hot; /* first */
	struct engine_code *code;
	struct engine_code *peek_code; /* of the pure program that is asked first, or NULL */
	const char *name;	       /* of the program, the object's */
	bool is_stateful;
	uint32_t batch;		/* elements of a string that run under one hold of the page */
	struct page_object *po; /* keeps the object and its writable data */
	struct prog_env env;
	/* check mode: the same program over copies, at an instant given with each run */
	struct engine_code *shadow_code, *shadow_peek_code;
	struct prog_env shadow_env;
};

/* One vCPU's part beside its struct accel_hot_cpu: what is counted on the way to a model. */
struct slot_cpu {
	_Alignas(128) _Atomic uint64_t punted;
	_Atomic uint64_t retried;
	_Atomic uint64_t busy;
	_Atomic uint64_t why[256];
	uint8_t last_why; /* of the last punt: the vCPU's thread only */
};

struct accel_slot {
	/* read by every access, written by attach and set_eventfd only */
	_Alignas(128) struct accel_hot hot; /* first */
	struct hr_page *data;		    /* constant after init, like all up to lock */
	unsigned cpu_count;
	bool expedited; /* membarrier works: an access needs no fence */
	_Atomic int eventfd;
	enum accel_effect allow;
	const struct accel_clock *clock;
	struct accel_page *page;
	struct accel_hot_prog none;  /* attached when nothing is */
	struct hr_page *shadow_page; /* check mode: under the device's mutex */
	long shadow_diff;	     /* first byte a punting shadow run changed, else -1 */
	bool shadow_answered;
	pthread_mutex_t lock; /* attach, detach, set_eventfd, hold, release */
	/* lock; `held` is read without */
	bool is_held;			   /* nothing is current meanwhile */
	_Atomic(struct attachment *) held; /* what is current again after accel_slot_release() */
	struct slot_cpu cpu[];
};

/* What `current` holds; NULL: nothing is attached. */
static inline struct attachment *slot_attachment(const struct accel_slot *slot, const struct accel_hot_prog *prog)
{
	return prog == &slot->none ? NULL : (struct attachment *)prog;
}

/*
 * Entry and exit. The entering vCPU stores `inside` and then loads `current`; a writer exchanges
 * `current` and then loads `inside`. One of the two must see the other's store, which takes a full
 * barrier between store and load on both sides. With membarrier(2) the writer provides both: on
 * return every thread of the process has passed one, so the vCPU needs the compiler only. Without
 * it, sequentially consistent operations order the four accesses at the price of one locked
 * instruction an access.
 */
static inline struct attachment *slot_enter(struct accel_slot *slot, struct accel_hot_cpu *cpu)
{
	const uint64_t inside = atomic_load_explicit(&cpu->inside, memory_order_relaxed) + 1;

	if (likely(slot->expedited)) {
		atomic_store_explicit(&cpu->inside, inside, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		return slot_attachment(slot, atomic_load_explicit(&slot->hot.current, memory_order_acquire));
	}
	atomic_exchange_explicit(&cpu->inside, inside, memory_order_seq_cst);
	return slot_attachment(slot, atomic_load_explicit(&slot->hot.current, memory_order_seq_cst));
}

/*
 * With so many answers. Release: whoever sees the even number also sees that we are done with what we used.
 * Nobody else stores it. Without an answer it is the number that was there before, so that who waits for us to
 * leave may miss it, and looks at `vain` as well.
 */
static inline void slot_leave(struct accel_hot_cpu *cpu, uint64_t answers)
{
	const uint64_t inside = atomic_load_explicit(&cpu->inside, memory_order_relaxed);

	atomic_store_explicit(&cpu->inside, inside - 1 + 2 * answers, memory_order_release);
	if (answers == 0)
		atomic_store_explicit(
			&cpu->vain, atomic_load_explicit(&cpu->vain, memory_order_relaxed) + 1, memory_order_release);
}

static inline void slot_count(_Atomic uint64_t *counter, uint64_t by)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, n + by, memory_order_relaxed);
}

static inline bool slot_is_answer(uint64_t verdict)
{
	return verdict == HR_ANSWER || verdict == HR_ANSWER_RING;
}

/* Between two looks at an odd word, of which this was number `tries`. */
static inline void slot_pause(unsigned tries)
{
	if (tries < SLOT_BUSY_LOOKS)
		cpu_relax();
	else
		sched_yield();
}

/* Takes the sequence word for a stateful program; false: the page stayed busy. */
static inline bool slot_hold_page(struct hr_page *page, uint32_t *even)
{
	for (unsigned tries = 0; !page_seq_try_acquire(page, even);) {
		if (++tries == SLOT_BUSY_TRIES)
			return false;
		slot_pause(tries);
	}
	return true;
}

/*
 * A program that stores nothing shared, over a page that changed `torn` times already. Its answer counts only if
 * the page was at rest and the same from before its first load to after its last; a punt counts in any case, since
 * sending an access to the model is always right. False: the page stayed busy.
 */
bool slot_run_pure(const struct attachment *att, struct hr_page *page, struct slot_cpu *cpu, struct hr_io *io,
	unsigned torn, uint64_t *verdict);

/* Counts what is no answer: a punt, or (busy) a page that could not be had. */
void slot_count_punt(struct slot_cpu *cpu, uint64_t verdict);
void slot_count_busy(struct slot_cpu *cpu);

/* Signals the slot's eventfd. Inside the slot, the page let go. */
void slot_ring(struct accel_slot *slot);

#endif
