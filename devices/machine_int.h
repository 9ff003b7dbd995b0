/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine_int.h: the machine from inside: its table of programs and what is attached where. Between
 * machine.c, which wires it, machine_prog.c and machine_tables.c only.
 */
#ifndef DEVICES_MACHINE_INT_H
#define DEVICES_MACHINE_INT_H

#include "devices/device.h"
#include "devices/machine.h"

#define MACHINE_MAX_DEVICES 24
#define MACHINE_MAX_OBJECTS 16
#define MACHINE_MAX_PROGS 64

/*
 * A range, the embedded object and the program in it that answers for the range. A range whose chip this machine has
 * not is passed over.
 */
struct binding {
	const char *range;
	const char *object;
	const uint8_t *image, *image_end;
	const char *prog;
	enum accel_effect allow;
};

/* A NULL range ends it. */
extern const struct binding machine_bindings[];

/* The object that serves one device from the start: the embedded one, or what --prog put in its place. */
struct machine_object {
	const struct device *dev;
	struct accel_object *obj; /* holds a reference */
};

struct machine_file; /* an object that was put in its place later, machine_prog.c */

/* A range with a slot, and what is attached there or was last. */
struct machine_prog {
	/* constant after machine_create */
	const struct binding *binding;
	struct range *range;
	struct accel_object *own; /* the device's, of objects[] */
	const char *own_name;
	/* one caller at a time, see machine.h */
	struct machine_file *file; /* the object is this one's; NULL: own. Counts as a user */
	char *prog;		   /* the program's name in it */
};

struct irq_route; /* irq_route.h */

/* constant after machine_create, but for progs[] */
struct machine {
	struct vm *vm;
	struct device *devs[MACHINE_MAX_DEVICES]; /* in order of creation */
	unsigned dev_count;
	struct machine_object objects[MACHINE_MAX_OBJECTS];
	unsigned object_count;
	struct machine_prog progs[MACHINE_MAX_PROGS];
	unsigned prog_count;
	struct device *vga; /* NULL: none */
	struct device *pm;
	struct irq_route *routes;
};

/* Checks --prog, then gives every bound range its slot and program. 0 or -errno with err; undone by the other. */
int machine_attach_all(struct machine *m, struct accel_err *err);
void machine_free_slots(struct machine *m);

/* The tables as files for a BIOS, of fw_cfg; all other devices are there. False: out of memory or of places. */
bool machine_add_tables(struct machine *m, struct device *fw_cfg);

#endif
