/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_pin.h: a device's map and programs in a BPF file system, between kernel.c and kernel_pin.c. Below DIR/DEVICE there are
 * `state` and, for each program, its name and a hash of the object that it was loaded from.
 */
#ifndef ACCEL_KERNEL_PIN_H
#define ACCEL_KERNEL_PIN_H

#include "accel/kernel.h"

struct accel_object;

/* A descriptor of the map, for a page of that size, or -errno with err. */
int kernel_pinned_page(const struct accel_pins *pins, uint32_t size, struct accel_err *err);
/* The program over that map. 0 or -errno with err. */
int kernel_pinned_prog(const struct accel_pins *pins, const struct accel_object *obj, const char *name, int state_fd,
	int *fd, struct accel_err *err);
/* Both into the file system; what is there already must be the same. */
int kernel_pin(const struct accel_pins *pins, const struct accel_object *obj, const char *name,
	const struct accel_kernel_prog *prog, struct accel_err *err);

#endif
