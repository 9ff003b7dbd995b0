/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.c: the one wiring table of the PC: which chips there are, which interrupt line goes
 * where, and which program answers for which range. To add a chip, add a line to wire(); to
 * accelerate a range, add a line to bindings[].
 */
#include "devices/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/device.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define MACHINE_MAX_DEVICES 24
#define MACHINE_MAX_OBJECTS 8

/* A range, the embedded object and the program in it that answers for the range. */
struct binding {
	const char *range;
	const char *object;
	const uint8_t *image, *image_end;
	const char *prog;
	enum accel_effect allow;
};

static const struct binding bindings[] = {
	{NULL, NULL, NULL, NULL, NULL, ACCEL_PURE},
};

/* The object that serves one device: the embedded one, or what --prog put in its place. */
struct machine_object {
	const struct device *dev;
	struct accel_object *obj;
};

/* constant after machine_create */
struct machine {
	struct vm *vm;
	struct device *devs[MACHINE_MAX_DEVICES]; /* in order of creation */
	unsigned dev_count;
	struct machine_object objects[MACHINE_MAX_OBJECTS];
	unsigned object_count;
};

/* The line for each chip. False: out of memory. */
static bool wire(struct machine *m)
{
	(void)m;
	return true;
}

static const char *prog_file(const struct options *opt, const char *device)
{
	for (unsigned i = 0; i < opt->prog_count; i++)
		if (!strcmp(opt->progs[i].device, device))
			return opt->progs[i].file;
	return NULL;
}

/* Refuses a --prog that names no device with programs, and lists those that there are. */
static int check_progs(const struct vm *vm, struct accel_err *err)
{
	for (unsigned i = 0; i < vm->opt->prog_count; i++) {
		const char *name = vm->opt->progs[i].device, *last = "";
		bool found = false;
		int n;

		n = snprintf(err->text, sizeof(err->text), "--prog: no device named \"%.64s\"; there are:", name);
		for (const struct binding *b = bindings; b->range; b++) {
			const char *dev = bus_find_name((struct bus *)&vm->bus, b->range)->dev->name;

			if (!strcmp(dev, name))
				found = true;
			if (strcmp(dev, last) && n > 0 && (size_t)n < sizeof(err->text))
				n += snprintf(err->text + n, sizeof(err->text) - n, " %s", dev);
			last = dev;
		}
		if (!found)
			return -EINVAL;
	}
	err->text[0] = '\0';
	return 0;
}

/*
 * The object for a range's device. The embedded object is always opened first, since it fixes
 * the layout that a replacement must have.
 */
static int find_object(struct machine *m, const struct binding *b, const struct range *range, struct accel_object **out,
	struct accel_err *err)
{
	const char *file = prog_file(m->vm->opt, range->dev->name);
	struct accel_object *obj, *other;
	int ret;

	for (unsigned i = 0; i < m->object_count; i++) {
		if (m->objects[i].dev == range->dev) {
			*out = m->objects[i].obj;
			return 0;
		}
	}
	ret = accel_object_open(b->object, b->image, (size_t)(b->image_end - b->image), &obj, err);
	if (ret)
		return ret;
	ret = accel_page_bind(range->dev->page, obj, err);
	if (!ret && file) {
		ret = accel_object_open_file(file, &other, err);
		if (!ret) {
			accel_object_put(obj);
			obj = other;
		}
	}
	if (ret) {
		accel_object_put(obj);
		return ret;
	}
	assert(m->object_count < MACHINE_MAX_OBJECTS);
	m->objects[m->object_count].dev = range->dev;
	m->objects[m->object_count].obj = obj;
	m->object_count++;
	*out = obj;
	return 0;
}

static int attach(struct machine *m, const struct binding *b, struct accel_err *err)
{
	struct range *range = bus_find_name(&m->vm->bus, b->range);
	struct accel_object *obj = NULL;
	int ret;

	assert(range && range->dev->page);
	ret = find_object(m, b, range, &obj, err);
	if (ret)
		return ret;
	ret = accel_slot_new(range->dev->page, &m->vm->clock.source, ACCEL_MAX_CPUS, b->allow, &range->slot);
	if (ret) {
		snprintf(err->text, sizeof(err->text), "out of memory for the programs of %s", b->range);
		return ret;
	}
	return accel_slot_attach(range->slot, obj, b->prog, err);
}

int machine_create(struct vm *vm, struct machine **out, struct accel_err *err)
{
	struct machine *m = calloc(1, sizeof(*m));
	int ret = 0;

	if (m)
		m->vm = vm;
	if (!m || !wire(m)) {
		snprintf(err->text, sizeof(err->text), "out of memory for the devices");
		ret = -ENOMEM;
		goto fail;
	}
	if (vm->bus.mode != ACCEL_OFF) {
		ret = check_progs(vm, err);
		for (const struct binding *b = bindings; b->range && !ret; b++)
			ret = attach(m, b, err);
		if (ret)
			goto fail;
	}
	machine_reset(m);
	*out = m;
	return 0;
fail:
	machine_destroy(m);
	return ret;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	for (const struct binding *b = bindings; b->range; b++) {
		struct range *range = bus_find_name(&m->vm->bus, b->range);

		if (range) {
			accel_slot_free(range->slot);
			range->slot = NULL;
		}
	}
	for (unsigned i = 0; i < m->object_count; i++)
		accel_object_put(m->objects[i].obj);
	while (m->dev_count) {
		struct device *dev = m->devs[--m->dev_count];

		dev->ops->destroy(dev);
	}
	free(m);
}

void machine_reset(struct machine *m)
{
	for (unsigned i = 0; i < m->dev_count; i++) {
		struct device *dev = m->devs[i];

		pthread_mutex_lock(&dev->lock);
		dev->ops->reset(dev);
		pthread_mutex_unlock(&dev->lock);
	}
}
