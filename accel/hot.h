/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hot.h: the way of a usual access through a slot, inline: a pure program that answers over a page
 * at rest. Everything else is accel_hot_rest()'s. Beside accel.h the only header of accel/ that vmm/
 * may include, for vmm/bus.h alone; not installed, no part of the ABI.
 *
 * Every instruction here is paid by each access: reading the clock waits until all before it have
 * retired, so that nothing hides behind anything.
 */
#ifndef ACCEL_HOT_H
#define ACCEL_HOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"

#if defined(__SANITIZE_THREAD__)
#define PAGE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PAGE_TSAN 1
#endif
#endif
#ifndef PAGE_TSAN
#define PAGE_TSAN 0
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

struct engine_code;

/* What is attached to a slot. Constant once published. */
struct accel_hot_prog {
	uint64_t (*run)(void *ctx, const struct engine_code *code);
	const struct engine_code *code;
	uint32_t odd; /* 1 where this is not the way: a stateful program, or none */
};

/*
 * One vCPU's part. Only the vCPU's own thread stores. Nothing else lies in its line, nor in the
 * one that processors fetch along with it.
 */
struct accel_hot_cpu {
	/* twice what was answered, plus 1 while inside the slot */
	_Alignas(128) _Atomic uint64_t inside;
	/* exits without an answer, which leave `inside` as it was before the entry */
	_Atomic uint64_t vain;
};

/*
 * What this way has to know of a slot. A slot begins with one; the bus has another one of the same slot where its look-up
 * ends, since loads that wait for one another are what is slow here.
 */
struct accel_hot {
	_Atomic(const struct accel_hot_prog *) current;
	uint32_t *seq;		 /* the page's sequence word; constant after init, like all that follows */
	struct accel_slot *slot; /* NULL: none */
	struct accel_hot *next;	 /* of the same slot; its lock */
	uint32_t cpu_count;	 /* vCPUs that may take this way: 0 without membarrier(2) */
};

/*
 * Makes *hot one of the slot's, all of which have the same program but for the moment in which it is replaced;
 * and makes it none's. No vCPU runs. A slot that is freed leaves it without a program.
 */
void accel_hot_join(struct accel_slot *slot, struct accel_hot *hot);
void accel_hot_leave(struct accel_hot *hot);

/* The vCPUs' parts lie in front of the slot, the first one last: no pointer to them has to be loaded. */
static inline struct accel_hot_cpu *accel_hot_cpu(const struct accel_slot *slot, uint32_t vcpu)
{
	struct accel_hot_cpu *const end = (struct accel_hot_cpu *)slot - vcpu;

	return end - 1;
}

static inline uint32_t page_seq_load(const uint32_t *seq)
{
	return __atomic_load_n(seq, __ATOMIC_ACQUIRE);
}

/* Whether everything loaded since page_seq_load() returned the even `even` belongs together; see page.h. */
static inline bool page_seq_unchanged(uint32_t *seq, uint32_t even)
{
#if PAGE_TSAN
	return __atomic_fetch_add(seq, 0, __ATOMIC_ACQ_REL) == even;
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(seq, __ATOMIC_RELAXED) == even;
#endif
}

/*
 * io->result has its io->size bytes. Those above it become zero by being stored: to load what the program
 * has only just stored would be the slowest thing on the whole way.
 */
static inline void accel_hot_mask(struct hr_io *io)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint8_t *result = (uint8_t *)&io->result;

	if (io->size == 8)
		return;
	__builtin_memset(result + 4, 0, 4);
	if (io->size == 4)
		return;
	__builtin_memset(result + 2, 0, 2);
	if (io->size == 1)
		result[1] = 0;
#else
	io->result = hr_mask(io->result, io->size);
#endif
}

/* What accel_hot_run() leaves: the vCPU is inside the slot. `verdict` is the program's, or one of these. */
#define ACCEL_HOT_NOT_RUN (~0ull)
#define ACCEL_HOT_TORN (~1ull)
int accel_hot_rest(struct accel_slot *slot, struct hr_io *io, uint64_t verdict);

/*
 * A counter that only this thread changes and others read. One instruction where the compiler would make
 * three of it.
 */
static inline void accel_hot_add(_Atomic uint64_t *counter, unsigned by, memory_order order)
{
#if defined(__x86_64__) && !PAGE_TSAN
	(void)order; /* every store is a release */
	__asm__ volatile("addq %1, %0" : "+m"(*counter) : "er"((uint64_t)by) : "cc", "memory");
#else
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, order);
#endif
}

/* Whether accel_hot_run() may be used. */
static inline bool accel_hot_ready(const struct accel_hot *hot)
{
	return hot->slot && hot->cpu_count > 0;
}

/* accel_run(), for an io->size of 1, 2, 4 or 8, and an io->vcpu that the slot was made for. */
static inline int accel_hot_run(struct accel_hot *hot, struct hr_io *io)
{
	struct accel_hot_cpu *cpu = accel_hot_cpu(hot->slot, io->vcpu);
	const struct accel_hot_prog *prog;
	uint64_t verdict;
	uint32_t seq;

	accel_hot_add(&cpu->inside, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* see slot_enter() */
	prog = atomic_load_explicit(&hot->current, memory_order_acquire);
	seq = page_seq_load(hot->seq);
	if (unlikely((seq | prog->odd) & 1))
		return accel_hot_rest(hot->slot, io, ACCEL_HOT_NOT_RUN);
	io->result = 0;
	verdict = prog->run(io, prog->code);
	if (unlikely(!page_seq_unchanged(hot->seq, seq)))
		return accel_hot_rest(hot->slot, io, ACCEL_HOT_TORN);
	if (unlikely(verdict != HR_ANSWER))
		return accel_hot_rest(hot->slot, io, verdict);
	accel_hot_mask(io);
	accel_hot_add(&cpu->inside, 1, memory_order_release);
	return HR_ANSWER;
}

#endif
