/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.h: what the kernel tier (vmm/kvm_tier.c) needs of the engine: state pages that a kernel's programs share, and what is
 * attached to a slot, loaded into the kernel by libbpf. Not installed, no part of the ABI.
 *
 * Only what our own verifier has taken is ever handed to the kernel: an object cannot be opened otherwise.
 */
#ifndef ACCEL_KERNEL_H
#define ACCEL_KERNEL_H

#include "accel/accel.h"

/* NULL: programs can be loaded here, else why not, as part of a sentence. Tries it. */
const char *accel_kernel_unusable(void);

/*
 * Where the kernel's part of a device is: below `dir`/`device` of a BPF file system, pinned there by accel_slot_pin() of a process
 * that had the right to, for one that has not. See accel/kernel_pin.c.
 */
struct accel_pins {
	const char *dir, *device;
};

/*
 * The memory of the slot's page becomes the one element of an array map, at the same address and with the same content. Nobody
 * changes the page meanwhile: the device's mutex is held and no vCPU runs. Once is enough; 0 or -errno. The map is a new one, or
 * for pins other than NULL the one that is pinned there, whose content is lost; nobody else may use it.
 */
int accel_slot_share_page(struct accel_slot *slot, const struct accel_pins *pins, struct accel_err *err);

/* A program in the kernel, over the shared page. */
struct accel_kernel_prog {
	int fd;	      /* -1: none; the caller closes it */
	int state_fd; /* the page's map; not the caller's */
	int event_fd; /* the slot's, -1: none; not the caller's */
	bool is_stateful;
};

/*
 * Loads what is attached to the slot now, or takes it where it is pinned. -ENOENT: nothing is attached, or pinned; -ENOTSUP: a
 * program that cannot be shared with the kernel, with the reason; else what the kernel says.
 */
int accel_slot_load_kernel(
	struct accel_slot *slot, const struct accel_pins *pins, struct accel_kernel_prog *out, struct accel_err *err);

/*
 * Pins the slot's page, which is shared (without pins), and its program. The directories that are missing are made. -EEXIST:
 * something else is pinned there; 0 or -errno. What a failure leaves there has to be removed.
 */
int accel_slot_pin(struct accel_slot *slot, const struct accel_pins *pins, struct accel_err *err);

#endif
