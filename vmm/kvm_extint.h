/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_extint.h: the 8259s' interrupt at a vCPU to which the I/O APIC passes it on, whatever its LVT0 says. Called by the vCPU's
 * own thread, when KVM has nothing left to finish of its last exit.
 */
#ifndef VMM_KVM_EXTINT_H
#define VMM_KVM_EXTINT_H

#include "accel/accel.h"

struct kvm_run;
struct vm;

/* 0: it has been taken, cannot be taken now, or went away (vm_extint_pending() says which); or -errno with err. */
int kvm_extint_offer(int cpu_fd, const struct kvm_run *run, struct vm *vm, struct accel_err *err);

#endif
