/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus_check.h: check mode: one access through program and model, and they must agree.
 * Called by bus.c and bus_io.c only.
 */
#ifndef VMM_BUS_CHECK_H
#define VMM_BUS_CHECK_H

#include "vmm/bus.h"

struct bus_check *bus_check_new(void);
void bus_check_free(struct bus_check *check); /* NULL is fine */
uint64_t bus_check_count(const struct bus_check *check);

/*
 * The range has a slot with a program and takes the access whole; the model's answer ends up in
 * req->io.result. Takes the device's mutex. Any vCPU thread.
 */
enum bus_outcome bus_check_access(struct bus_check *check, struct range *range, struct io_req *req);

/* Hands an access that the range takes whole to its model. dev->lock held. */
static inline void range_model(const struct range *range, struct io_req *req)
{
	if (req->io.is_write) {
		if (range->write)
			range->write(range->dev, req);
	} else if (range->read) {
		range->read(range->dev, req);
	} else {
		req->io.result = io_all_ones(req->io.size);
	}
}

#endif
