/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * device.c: the part that every device has in common: its mutex, its clock and, when programs
 * answer for some of its registers, its state page.
 */
#include "devices/device.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/lock.h"

int device_init(struct device *dev, const char *name, const struct device_ops *ops, struct clock *clock,
	uint32_t page_version, uint32_t page_size)
{
	int err;

	memset(dev, 0, sizeof(*dev));
	dev->name = name;
	dev->ops = ops;
	dev->clock = clock;
	err = pthread_mutex_init(&dev->lock, NULL);
	if (err)
		return -err;
	lock_declare(&dev->lock, name, LOCK_DEVICE);
	if (page_version) {
		err = accel_page_new(page_version, page_size, &dev->page);
		if (err)
			pthread_mutex_destroy(&dev->lock);
	}
	return err;
}

void device_cleanup(struct device *dev)
{
	accel_page_free(dev->page);
	dev->page = NULL;
	pthread_mutex_destroy(&dev->lock);
}

void device_shift_time(struct device *dev, uint64_t by_ns)
{
	int64_t *offset_ns; /* every state begins with it, see struct hr_page */

	pthread_mutex_lock(&dev->lock);
	if (dev->page) {
		assert(!dev->image); /* which would show the pause passing */
		offset_ns = (int64_t *)(accel_page_data(dev->page) + 1);
		page_begin(dev);
		HR_STORE(*offset_ns, (int64_t)((uint64_t)*offset_ns - by_ns));
		page_end(dev);
	}
	if (dev->ops->shift_time)
		dev->ops->shift_time(dev, by_ns);
	pthread_mutex_unlock(&dev->lock);
}

bool device_add_ranges(struct device *dev, struct bus *bus, const struct range *protos, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct range range = protos[i];

		range.dev = dev;
		range.mapped = true;
		if (!range.width)
			range.width = 1;
		if (!bus_add(bus, &range))
			return false;
	}
	return true;
}
