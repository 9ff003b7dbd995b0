/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doorbell.h: a device that a guest gives numbers, for its model and its program. They wait in a queue in the state page;
 * a worker thread takes them out and adds them up. `notify` says whether the worker sleeps: whoever puts a number in
 * and finds it set clears it and rings. The worker sets it, in the same bracket in which it finds the queue empty.
 */
#include "bpf/hr.h"

#define BELL_PUT 0   /* register: a write puts a number into the queue; reads as 0 */
#define BELL_DONE 4  /* register: how many numbers the worker has taken */
#define BELL_SUM 8   /* register: of these */
#define BELL_SLOTS 8 /* of the queue; a power of two */

struct bell_page {
	struct hr_page head;
	int64_t offset_ns; /* the device's state, from here on */
	uint32_t put;	   /* numbers put in, ever; the next one goes to value[put % BELL_SLOTS] */
	uint32_t done;	   /* and taken out */
	uint32_t sum;
	uint32_t notify;
	uint32_t value[BELL_SLOTS];
	uint32_t rings; /* times the bell was rung, */
	uint32_t quiet; /* and numbers for which it was not, as the worker was at it */
};

enum bell { BELL_IS_FULL, BELL_IS_QUIET, BELL_RINGS };

/* Puts a number in. Full: nothing has been changed. */
static inline enum bell bell_put(struct bell_page *page, uint32_t number)
{
	uint32_t put = HR_LOAD(page->put);

	if (put - HR_LOAD(page->done) >= BELL_SLOTS)
		return BELL_IS_FULL;
	HR_STORE(page->value[put % BELL_SLOTS], number);
	HR_STORE(page->put, put + 1);
	if (HR_LOAD(page->notify)) {
		HR_STORE(page->notify, 0);
		HR_STORE(page->rings, HR_LOAD(page->rings) + 1);
		return BELL_RINGS;
	}
	HR_STORE(page->quiet, HR_LOAD(page->quiet) + 1);
	return BELL_IS_QUIET;
}

/* Takes all out. */
static inline uint32_t bell_take(struct bell_page *page)
{
	uint32_t done = HR_LOAD(page->done), count = HR_LOAD(page->put) - done;

	for (uint32_t i = 0; i < count; i++)
		HR_STORE(page->sum, HR_LOAD(page->sum) + HR_LOAD(page->value[(done + i) % BELL_SLOTS]));
	HR_STORE(page->done, done + count);
	return count;
}

static inline uint32_t bell_read(const struct bell_page *page, uint32_t offset)
{
	return offset == BELL_DONE ? HR_LOAD(page->done) : offset == BELL_SUM ? HR_LOAD(page->sum) : 0;
}
