/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_cpuid.h: the CPUID leaves of a KVM vCPU: the host's own or those of a CPU model (cpuid.h), with this machine's
 * processors and local APICs. Nothing in them depends on the accel mode.
 */
#ifndef VMM_KVM_CPUID_H
#define VMM_KVM_CPUID_H

#include <linux/kvm.h>

#include "vmm/cpuid.h"

#define KVM_MAX_CPUID 256

struct kvm_cpuid_want {
	unsigned index, cpus; /* this vCPU, of so many cores in one package */
	bool has_lapic;	      /* local APICs in the kernel */
	bool has_pv;	      /* KVM's clock is offered, but no other paravirtual device */
	struct cpuid_request request;
};

/* What KVM_GET_SUPPORTED_CPUID gave, and what is asked of KVM by other ways. */
struct kvm_cpuid_source {
	const struct kvm_cpuid_entry2 *entries;
	unsigned count;
	bool has_deadline; /* KVM_CAP_TSC_DEADLINE_TIMER */
};

/* What a machine on this KVM can give its guest. */
void kvm_cpuid_host(const struct kvm_cpuid_source *source, bool has_lapic, struct cpuid_host *out);

/* The leaves, room for KVM_MAX_CPUID, their count in out->nent. 0, or -errno with a line in err. */
int kvm_cpuid_make(const struct kvm_cpuid_source *source, const struct kvm_cpuid_want *want, struct kvm_cpuid2 *out,
	struct accel_err *err);

/* Both for a real one. 0 or -errno with a line in err. *has_long_mode, where it is not NULL: whether the guest sees it. */
int kvm_cpuid_ask(int kvm_fd, bool has_lapic, struct cpuid_host *out, struct accel_err *err);
int kvm_set_cpuid(
	int kvm_fd, int vcpu_fd, const struct kvm_cpuid_want *want, bool *has_long_mode, struct accel_err *err);

/*
 * A model's leaves without the features and what belongs to this machine; `phys_bits` as the host's 0x80000008 EAX
 * bits 0-7. At most KVM_MODEL_LEAVES. Returns how many.
 */
#define KVM_MODEL_LEAVES 32
unsigned kvm_model_leaves(
	const struct cpuid_model *model, const struct cpuid_set *set, uint32_t phys_bits, struct kvm_cpuid_entry2 *out);

#endif
