/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_tier.h: the kernel tier: the programs that are attached to the bus's ranges, run inside a KVM with the patches of
 * accel/kernel/. What they answer there never comes to hotreg; what they pass on comes as an exit, to the same program in the
 * vmm tier and to the model. A range that KVM or its shape does not allow stays in the vmm tier, with a reason.
 */
#ifndef VMM_KVM_TIER_H
#define VMM_KVM_TIER_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h" /* struct accel_err */

struct vm;
struct range;
struct kvm_tier;

/* What the kernel's part of one range has done. */
struct tier_counters {
	uint64_t answered, punted, retried, busy;
};

/* Why programs cannot run in this KVM, as part of a sentence; NULL: they can. `pinned`: they need not be loaded. */
const char *kvm_tier_missing(int kvm_fd, bool pinned);

/*
 * Puts every range there that can be, and keeps it so while ranges move and programs change. The machine stands, no vCPU
 * has run. -ENOTSUP with the reason, and nothing has changed, when not one range can. With --pins the programs are those that
 * are pinned there, else they are loaded.
 */
int kvm_tier_start(struct vm *vm, int kvm_fd, int vm_fd, struct kvm_tier **out, struct accel_err *err);
/* No vCPU runs any more. NULL is fine. */
void kvm_tier_stop(struct kvm_tier *tier);

/*
 * `hotreg pin`: loads the programs of a machine that never runs and pins them, with the devices' pages, below dir. Their number is
 * in *count. 0 or -errno with err; what a failure has left there is the caller's to remove.
 */
int kvm_tier_pin(struct vm *vm, const char *dir, unsigned *count, struct accel_err *err);

/* How one range stands. Any thread, bus.lock not held; without a tier everything is empty. */
struct tier_state {
	struct tier_counters counters;
	bool is_inside;
	char why_not[160]; /* a program is not inside; "": it is, or there is none */
};

void kvm_tier_look(struct kvm_tier *tier, const struct range *range, struct tier_state *out);
/* Ranges that are there, and those that have programs. */
void kvm_tier_summary(struct kvm_tier *tier, unsigned *inside, unsigned *of);

#endif
