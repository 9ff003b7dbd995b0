/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_park.h: how vCPU threads come to stand still and go on: resets and the jobs of vm_at_rest().
 * Between vm.c, vm_run.c and vm_park.c only.
 */
#ifndef VMM_VM_PARK_H
#define VMM_VM_PARK_H

#include "vmm/vm.h"

/* The vCPU's own thread, out of run(): does or waits for a reset, or rests, as long as there is a reason to. */
void vm_park(struct cpu *cpu);
/* Event thread, each time that it woke: does a job that is due. */
void vm_run_job(struct vm *vm);
/* A vCPU could not go on: the first one's words are the VM's. Any thread. */
void vm_cpu_failed(struct vm *vm, const struct accel_err *err);
/* Makes every vCPU look at vm_must_leave(). Any thread. */
void vm_kick_all(struct vm *vm);

#endif
