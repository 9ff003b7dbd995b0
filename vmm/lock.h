/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h: the order in which locks are taken, for the build that checks it (make LOCKDEBUG=1, lockdebug.c). A lock of a higher rank is
 * taken while one of a lower rank is held, never the other way round, and never two of one rank.
 */
#ifndef VMM_LOCK_H
#define VMM_LOCK_H

#include <pthread.h>

/* See the head of vm.h. */
enum lock_rank {
	LOCK_DRAIN,   /* of deferred writes */
	LOCK_PAGES,   /* the page tier's */
	LOCK_DEVICE,  /* a device's own */
	LOCK_INNER,   /* a second one of a device */
	LOCK_WIRES,   /* the interrupt router's */
	LOCK_IRQCHIP, /* an interrupt controller's, which is a device too */
	LOCK_CLOCK,
	LOCK_BUS, /* under it only the engine's own, which have no rank */
	LOCK_LEAF /* nothing is taken under it */
};

#ifdef HR_LOCKDEBUG
/* `name` stays. The last call for a mutex counts; without one the mutex has no rank, and only a circle is found. */
void lock_declare(pthread_mutex_t *lock, const char *name, enum lock_rank rank);
#else
static inline void lock_declare(pthread_mutex_t *lock, const char *name, enum lock_rank rank)
{
	(void)lock;
	(void)name;
	(void)rank;
}
#endif

#endif
