/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h: the i440FX/PIIX-class PC as one wiring table (machine.c). All that vmm/ sees of it.
 */
#ifndef DEVICES_MACHINE_H
#define DEVICES_MACHINE_H

#include <stdbool.h>

#include "accel/accel.h"

struct range;
struct vm;
struct machine;
struct screen_text; /* vmm/screen.h */

/*
 * Creates every device, maps its ranges on vm->bus, wires interrupt lines, and unless
 * --accel off attaches the embedded (or --prog's) programs. 0 or -errno with err, undone.
 */
int machine_create(struct vm *vm, struct machine **out, struct accel_err *err);
void machine_destroy(struct machine *machine); /* NULL is fine */
/* Power-on state of every device; no vCPU runs. */
void machine_reset(struct machine *machine);
/*
 * The ACPI and MP tables for a guest that no BIOS makes any for, in the area of the BIOS below 1 MiB, which is reserved
 * in every memory map. Returns where the RSDP is. No vCPU runs.
 */
uint32_t machine_write_tables(struct machine *machine);
/* What the VGA shows in text; false: there is no VGA. No vCPU runs. */
bool machine_text(const struct machine *machine, struct screen_text *out);
/* Presses the power button: the guest may turn the power off, or do what it likes. Any thread, no lock held. */
void machine_power_button(struct machine *machine);

/*
 * Programs, live. One caller at a time, no vCPU, no lock held; vCPUs may run. Only with slots
 * (--accel other than off, or --qmp). A selection is a device or one range of it.
 */
struct machine_select {
	const char *device, *range; /* one of them; the other is NULL */
};

struct machine_prog_info {
	const struct range *range;
	const char *object, *prog; /* valid until the next change */
	struct accel_object *obj;  /* the same */
	bool is_replaced, is_attached;
	enum accel_effect allow;
	struct accel_prog_info judged;
};

unsigned machine_prog_count(const struct machine *machine);
void machine_prog_info(const struct machine *machine, unsigned index, struct machine_prog_info *out);
/*
 * Each returns 0 or -errno with err, and then nothing has changed; -ENOENT: nothing by that name.
 * prog: the program's name in the file; NULL: the one that the range had from the start.
 */
int machine_prog_replace(struct machine *machine, const struct machine_select *select, const char *file,
	const char *prog, struct accel_err *err);
int machine_prog_detach(struct machine *machine, const struct machine_select *select, struct accel_err *err);
/* What was there last, or with `own` what was there at the start. */
int machine_prog_attach(struct machine *machine, const struct machine_select *select, bool own, struct accel_err *err);
/* Host time went on by by_ns while the guest's stood still; no vCPU runs. */
void machine_shift_time(struct machine *machine, uint64_t by_ns);

#endif
