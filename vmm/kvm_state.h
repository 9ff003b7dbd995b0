/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_state.h: what a KVM vCPU holds, apart from running it and from its CPUID: its registers
 * in the form of cpu.h, its power-on state for resets, and the sentence that explains why KVM
 * gave up. Used by cpu_kvm.c and kvm_probe.c; each call works on a vCPU that is not running.
 */
#ifndef VMM_KVM_STATE_H
#define VMM_KVM_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"
#include "vmm/cpu.h"
#include "vmm/mem.h"

/* Everything of a vCPU that the guest can change, taken once when it is new. */
struct kvm_power_on {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_xcrs xcrs;
	struct kvm_xsave xsave;
	struct kvm_fpu fpu;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	bool has_debugregs, has_xcrs, has_xsave, has_lapic, has_mp_state;
	struct kvm_msrs *msrs; /* allocated */
};

/* The time that a vCPU itself keeps, from a pause to its end. */
struct kvm_pause {
	bool has_tsc, has_lapic, has_deadline;
	uint64_t tsc, deadline;
	struct kvm_lapic_state lapic; /* with the count at which its timer stood */
};

/* Opens /dev/kvm and checks the API version. The descriptor, or -errno with the remedy in err. */
int kvm_open(struct accel_err *err);

int kvm_get_regs(int vcpu_fd, struct cpu_regs *regs); /* 0 or -errno */
int kvm_set_regs(int vcpu_fd, const struct cpu_regs *regs);

int kvm_power_on_save(int kvm_fd, int vcpu_fd, bool has_lapic, struct kvm_power_on *out);
int kvm_power_on_restore(int vcpu_fd, const struct kvm_power_on *state);
/*
 * After the creation of each vCPU. KVM finds the local APIC with a physical ID in a map of its own, which it makes anew when the state of
 * one changes, and in KVM_CREATE_VCPU before the new vCPU is one of the VM's (kvm_lapic_reset() of Linux 6.12). So the one created
 * last got no INIT until some guest code had touched a local APIC; its state set to what it is puts it in. 0 or -errno.
 */
int kvm_lapic_list(int vcpu_fd, const struct kvm_power_on *state);
void kvm_power_on_free(struct kvm_power_on *state);

/*
 * Takes it, and puts it back: the time stamp counter and the local APIC's timer go on where they stood. What
 * KVM will not tell stays as it is. A reset in between is not undone: the caller forgets the state then.
 * restore returns false when KVM takes the counter's value and goes on as before, as some do.
 */
void kvm_pause_save(int vcpu_fd, bool has_lapic, struct kvm_pause *out);
bool kvm_pause_restore(int vcpu_fd, const struct kvm_pause *state);

/* After KVM_RUN ended in an error exit: says what happened and what to do. Returns -EIO. */
int kvm_explain(int vcpu_fd, const struct kvm_run *run, const struct guest_mem *mem, struct accel_err *err);

#endif
