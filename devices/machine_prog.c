/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine_prog.c: which program answers for which range: from the start by machine_bindings[] and
 * --prog, and live through the control socket.
 *
 * A change is all or nothing: when one of several ranges refuses, the others get back what they had.
 * Each range changes atomically, with vCPUs inside finishing with the old program (accel.h).
 */
#include "devices/machine_int.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/vm.h"

/* An object from a file, for one or several ranges. */
struct machine_file {
	struct accel_object *obj;
	unsigned users;
	char path[];
};

static void file_put(struct machine_file *file)
{
	if (!file || --file->users > 0)
		return;
	accel_object_put(file->obj);
	free(file);
}

static struct accel_object *object_of(const struct machine_prog *p)
{
	return p->file ? p->file->obj : p->own;
}

/* ---- from the start -------------------------------------------------------------------------- */

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
		for (const struct binding *b = machine_bindings; b->range; b++) {
			const struct range *range = bus_find_name((struct bus *)&vm->bus, b->range);
			const char *dev = range ? range->dev->name : last;

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

static int attach_one(struct machine *m, const struct binding *b, struct accel_err *err)
{
	struct range *range = bus_find_name(&m->vm->bus, b->range);
	struct machine_prog *p = &m->progs[m->prog_count];
	struct accel_slot *slot;
	int ret;

	if (!range)
		return 0;
	assert(range->dev->page && m->prog_count < MACHINE_MAX_PROGS);
	*p = (struct machine_prog){.binding = b, .range = range, .own_name = prog_file(m->vm->opt, range->dev->name)};
	if (!p->own_name)
		p->own_name = b->object;
	ret = find_object(m, b, range, &p->own, err);
	if (ret)
		return ret;
	ret = accel_slot_new(range->dev->page, &m->vm->clock.source, vm_vcpus(m->vm), b->allow, &slot);
	bus_set_slot(&m->vm->bus, range, slot);
	p->prog = strdup(b->prog);
	if (ret || !p->prog) {
		free(p->prog);
		return err_fail(err, -ENOMEM, "out of memory for the programs of %s", b->range);
	}
	m->prog_count++;
	return accel_slot_attach(slot, p->own, p->prog, err);
}

int machine_attach_all(struct machine *m, struct accel_err *err)
{
	int ret = check_progs(m->vm, err);

	for (const struct binding *b = machine_bindings; b->range && !ret; b++)
		ret = attach_one(m, b, err);
	return ret;
}

void machine_free_slots(struct machine *m)
{
	for (const struct binding *b = machine_bindings; b->range; b++) {
		struct range *range = bus_find_name(&m->vm->bus, b->range);

		if (range) {
			struct accel_slot *slot = range->slot;

			bus_set_slot(&m->vm->bus, range, NULL);
			accel_slot_free(slot);
		}
	}
	for (unsigned i = 0; i < m->prog_count; i++) {
		file_put(m->progs[i].file);
		free(m->progs[i].prog);
	}
	m->prog_count = 0;
	for (unsigned i = 0; i < m->object_count; i++)
		accel_object_put(m->objects[i].obj);
	m->object_count = 0;
}

/* ---- live ------------------------------------------------------------------------------------ */

unsigned machine_prog_count(const struct machine *m)
{
	return m->prog_count;
}

void machine_prog_info(const struct machine *m, unsigned index, struct machine_prog_info *out)
{
	const struct machine_prog *p = &m->progs[index];

	*out = (struct machine_prog_info){
		.range = p->range,
		.object = p->file ? p->file->path : p->own_name,
		.prog = p->prog,
		.obj = object_of(p),
		.is_replaced = p->file != NULL,
		.is_attached = accel_slot_attached(p->range->slot),
		.allow = p->binding->allow,
	};
	for (unsigned i = 0; i < accel_object_prog_count(object_of(p)); i++) {
		if (strcmp(accel_object_prog_name(object_of(p), i), p->prog) == 0)
			accel_object_prog_info(object_of(p), i, &out->judged);
	}
}

static bool is_selected(const struct machine_prog *p, const struct machine_select *select)
{
	return select->range ? strcmp(p->range->name, select->range) == 0
			     : strcmp(p->range->dev->name, select->device) == 0;
}

/* Refuses a selection that takes nothing, and lists what there is. */
static int check_select(const struct machine *m, const struct machine_select *select, struct accel_err *err)
{
	const char *last = "";
	char list[1024] = "";
	size_t used = 0;

	for (unsigned i = 0; i < m->prog_count; i++) {
		const struct range *range = m->progs[i].range;
		const char *name = select->range ? range->name : range->dev->name;

		if (is_selected(&m->progs[i], select))
			return 0;
		if (strcmp(name, last) != 0 && used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, " %s", name);
		last = name;
	}
	return err_fail(err, -ENOENT, "no %s with programs is named \"%.64s\"; there are:%s",
		select->range ? "range" : "device", select->range ? select->range : select->device, list);
}

/* What one range had before. */
struct before {
	struct machine_file *file;
	char *prog;
	bool was_attached, is_changed;
};

/* The range's program becomes `prog` of the file's object, or of its own for NULL. On failure nothing has changed. */
static int change(struct machine_prog *p, struct machine_file *file, const char *prog, struct before *before,
	struct accel_err *err)
{
	char *copy = strdup(prog);
	int ret = copy ? 0 : err_fail(err, -ENOMEM, "out of memory");

	before->was_attached = accel_slot_attached(p->range->slot);
	if (!ret)
		ret = accel_slot_attach(p->range->slot, file ? file->obj : p->own, prog, err);
	if (ret) {
		free(copy);
		return ret;
	}
	before->file = p->file;
	before->prog = p->prog;
	before->is_changed = true;
	p->file = file;
	p->prog = copy;
	if (file)
		file->users++;
	return 0;
}

/* Back to what it was, which was accepted once. Only memory can be missing; then the model goes on alone. */
static void revert(struct machine_prog *p, const struct before *before)
{
	struct machine_file *file = p->file;
	struct accel_err ignored;

	free(p->prog);
	p->file = before->file;
	p->prog = before->prog;
	if (!before->was_attached || accel_slot_attach(p->range->slot, object_of(p), p->prog, &ignored))
		accel_slot_detach(p->range->slot);
	file_put(file);
}

/* Every selected range gets a program of the file, or of its own object for NULL, or none has changed. */
static int change_all(struct machine *m, const struct machine_select *select, struct machine_file *file,
	const char *prog, struct accel_err *err)
{
	struct before before[MACHINE_MAX_PROGS];
	int ret = 0;

	memset(before, 0, sizeof(before));
	for (unsigned i = 0; i < m->prog_count && !ret; i++) {
		struct machine_prog *p = &m->progs[i];

		if (is_selected(p, select))
			ret = change(p, file, prog ? prog : p->binding->prog, &before[i], err);
	}
	for (unsigned i = 0; i < m->prog_count; i++) {
		if (!before[i].is_changed)
			continue;
		if (ret) {
			revert(&m->progs[i], &before[i]);
		} else {
			file_put(before[i].file);
			free(before[i].prog);
			bus_program_changed(&m->vm->bus, m->progs[i].range);
		}
	}
	return ret;
}

int machine_prog_replace(struct machine *m, const struct machine_select *select, const char *path, const char *prog,
	struct accel_err *err)
{
	struct machine_file *file;
	int ret = check_select(m, select, err);

	if (ret)
		return ret;
	file = malloc(sizeof(*file) + strlen(path) + 1);
	if (!file)
		return err_fail(err, -ENOMEM, "out of memory");
	file->obj = NULL;
	file->users = 1; /* us */
	strcpy(file->path, path);
	ret = accel_object_open_file(path, &file->obj, err);
	if (!ret)
		ret = change_all(m, select, file, prog, err);
	file_put(file);
	return ret;
}

int machine_prog_detach(struct machine *m, const struct machine_select *select, struct accel_err *err)
{
	int ret = check_select(m, select, err);

	for (unsigned i = 0; i < m->prog_count && !ret; i++) {
		if (is_selected(&m->progs[i], select)) {
			accel_slot_detach(m->progs[i].range->slot);
			bus_program_changed(&m->vm->bus, m->progs[i].range);
		}
	}
	return ret;
}

int machine_prog_attach(struct machine *m, const struct machine_select *select, bool own, struct accel_err *err)
{
	int ret = check_select(m, select, err);

	if (ret || own)
		return ret ? ret : change_all(m, select, NULL, NULL, err);
	for (unsigned i = 0; i < m->prog_count && !ret; i++) {
		struct machine_prog *p = &m->progs[i];

		if (is_selected(p, select) && !accel_slot_attached(p->range->slot)) {
			ret = accel_slot_attach(p->range->slot, object_of(p), p->prog, err);
			if (!ret)
				bus_program_changed(&m->vm->bus, p->range);
		}
	}
	return ret;
}
