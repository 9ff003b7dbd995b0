/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h: the i440FX/PIIX-class PC as one wiring table (machine.c). All that vmm/ sees of it.
 */
#ifndef DEVICES_MACHINE_H
#define DEVICES_MACHINE_H

#include "accel/accel.h"

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
/* What the VGA shows in text; false: there is no VGA. No vCPU runs. */
bool machine_text(const struct machine *machine, struct screen_text *out);
/* Host time went on by by_ns while the guest's stood still; no vCPU runs. */
void machine_shift_time(struct machine *machine, uint64_t by_ns);

#endif
