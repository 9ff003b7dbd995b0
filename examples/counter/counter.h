/* SPDX-License-Identifier: BSD-2-Clause */
/* counter.h: a tally counter's state and arithmetic, for its model and its program. */
#include "bpf/hr.h"

#define COUNTER_COUNT 0 /* register: a read gives the count and adds one; a write sets it */
#define COUNTER_AGE 4	/* register: milliseconds since the count was last set */
#define COUNTER_LAST 99 /* after it comes 0 again, and the bell rings: the model's work */

struct counter_page {
	struct hr_page head;
	int64_t offset_ns; /* the device's state, from here on */
	uint64_t set_ns;   /* guest time at which the count was last set */
	uint32_t count;
	uint32_t pad;
};

static inline uint32_t counter_age(const struct counter_page *page, uint64_t host_ns)
{
	return (uint32_t)((host_ns + (uint64_t)HR_LOAD(page->offset_ns) - HR_LOAD(page->set_ns)) / 1000000);
}
