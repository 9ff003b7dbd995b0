/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor.h: `hotreg doctor`: what this host can do and what hotreg will therefore pick; and the
 * one place that decides what --cpu auto means, which vm_create() asks too.
 */
#ifndef VMM_DOCTOR_H
#define VMM_DOCTOR_H

#include <stddef.h>

#include "vmm/cpu.h"

struct options;

/* Prints one line for each thing; 0 when some CPU backend works here, else 2. */
int doctor_run(void);

/*
 * --cpu auto. KVM when it opens and passes the self-tests of what the software CPU could do
 * instead (real mode, 32-bit flat, INT n in protected mode); else the software CPU; but KVM when
 * the guest needs it (an ELF64 kernel, two vCPUs), with the warning in the line. `why` becomes
 * one line without "\n": which, and why. Runs kvm_probe_quick() if that matters: call it before
 * any thread is started.
 */
const struct cpu_ops *doctor_auto_cpu(const struct options *opt, char *why, size_t why_bytes);

/* The decision alone. needs_kvm: NULL, or what in the guest needs KVM. */
const struct cpu_ops *doctor_pick_cpu(
	const struct kvm_probe *probe, const char *needs_kvm, char *why, size_t why_bytes);

#endif
