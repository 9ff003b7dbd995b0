/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor.h: `hotreg doctor`: what this host can do and what hotreg will therefore pick; and the
 * one place that decides what --cpu auto means, which vm_create() asks too.
 */
#ifndef VMM_DOCTOR_H
#define VMM_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/cpu.h"

/* Prints one line for each thing; 0 when some CPU backend works here, else 2. */
int doctor_run(void);

/*
 * --cpu auto: KVM when it opens and passes the self-tests of what the software CPU could do
 * instead (real mode, 32-bit flat, INT n in protected mode); else the software CPU; but KVM when
 * needs_long_mode. Always answers; `why` becomes one line that says which and why.
 */
const struct cpu_ops *doctor_pick_cpu(const struct kvm_probe *probe, bool needs_long_mode, char *why, size_t why_bytes);

#endif
