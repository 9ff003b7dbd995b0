/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_apic.h: KVM's local APICs (split irqchip) as the rest of the machine sees them, vm->apic: messages are delivered
 * by KVM_SIGNAL_MSI, and the routes for the I/O APIC's inputs tell KVM for which interrupts the end has to leave the
 * guest (KVM_EXIT_IOAPIC_EOI). Nothing is ever delivered through these routes.
 */
#ifndef VMM_KVM_APIC_H
#define VMM_KVM_APIC_H

#include <stdbool.h>

struct vm;

struct kvm_apic {
	/* constant after start */
	struct vm *vm;
	int vm_fd; /* not ours */
};

/* Before any vCPU is created; `apic` lives as long as they. False: this KVM has none; vm->apic goes nowhere then. */
bool kvm_apic_start(struct kvm_apic *apic, struct vm *vm, int kvm_fd, int vm_fd);

#endif
