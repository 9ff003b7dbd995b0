/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tier.h: what the page tier asks of the engine beyond accel.h: a slot that sends every access to the model for a
 * while, and which reads of a program depend on the time. For vmm/page_*.c alone; not installed, no part of the ABI.
 */
#ifndef ACCEL_TIER_H
#define ACCEL_TIER_H

#include "accel/accel.h"

/*
 * From here to accel_slot_release() every access punts. On return none that was answered by the program is under
 * way: what one of them answered, it has answered before. Programs may be attached and detached meanwhile. Not
 * nested; callers as for accel_slot_attach().
 */
void accel_slot_hold(struct accel_slot *slot);
void accel_slot_release(struct accel_slot *slot);

/* Whether the slot takes pure programs only. */
bool accel_slot_is_pure(const struct accel_slot *slot);

/*
 * Whether a read of `size` bytes at `offset` may reach helper 5, in any state: the program is judged once more with
 * these two known. 1, 0; -ENOENT: no such program; or what verify_prog() gives, with err.
 */
int accel_object_read_is_timed(
	const struct accel_object *obj, const char *prog, uint32_t offset, uint8_t size, struct accel_err *err);

#endif
