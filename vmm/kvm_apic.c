// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_apic.c: interrupt messages into KVM's local APICs, and what KVM has to know for the way back. One call into the
 * kernel for each, no state of its own: vm->apic.opaque is the VM.
 */
#include "vmm/kvm_apic.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/options.h"
#include "vmm/vm.h"

#define ROUTES 24 /* one for each input of the I/O APIC */

/* [82093AA] ids have 4 bits; [SDM3] those of the local APICs here have 8 */
#define BROADCAST_4 0x0f
#define BROADCAST_8 0xff

static bool send_msi(void *opaque, const struct irq_msi *msg)
{
	const struct kvm_apic *apic = opaque;
	const struct kvm_msi msi = {.address_lo = msg->address, .data = msg->data};

	/* the number of local APICs that took it; less than that for none */
	return ioctl(apic->vm_fd, KVM_SIGNAL_MSI, &msi) > 0;
}

static void watch_eoi(void *opaque, const struct irq_msi *list, unsigned count)
{
	const struct kvm_apic *apic = opaque;
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[ROUTES];
	} table;

	memset(&table, 0, sizeof(table));
	for (unsigned i = 0; i < count && i < ROUTES; i++) {
		table.entries[i].gsi = i;
		table.entries[i].type = KVM_IRQ_ROUTING_MSI;
		table.entries[i].u.msi.address_lo = list[i].address;
		table.entries[i].u.msi.data = list[i].data;
		table.head.nr++;
	}
	if (ioctl(apic->vm_fd, KVM_SET_GSI_ROUTING, &table) < 0)
		vm_request_stop(apic->vm, EXIT_CPU_FAILED, "KVM refused the interrupt routes");
}

/*
 * Physical destinations only: which local APICs a logical one means only KVM knows, and it says so to a vCPU that stands still
 * alone. A broadcast asks them all for one acknowledge cycle, which the first vCPU then does.
 */
static void route_extint(void *opaque, bool is_on, uint8_t dest, bool is_logical)
{
	const struct kvm_apic *apic = opaque;
	struct vm *vm = apic->vm;
	unsigned to = 0;

	if (is_on && !is_logical && dest < vm->cpu_count)
		to = dest + 1u;
	else if (is_on && !is_logical && (dest == BROADCAST_4 || dest == BROADCAST_8))
		to = 1;
	else if (is_on && !vm->opt->quiet && !atomic_exchange(&vm->told_extint, true))
		fprintf(stderr,
			"hotreg: the guest wants the 8259s' interrupts by the I/O APIC (ExtINT) at %s %u, where hotreg "
			"does not bring them\n",
			is_logical ? "logical destination" : "local APIC", dest);
	vm_route_extint(vm, to);
}

bool kvm_apic_start(struct kvm_apic *apic, struct vm *vm, int kvm_fd, int vm_fd)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {ROUTES}};

	vm->apic = (struct irq_apic){0};
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) <= 0 ||
		ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SIGNAL_MSI) <= 0 ||
		ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING) <= 0 ||
		ioctl(vm_fd, KVM_ENABLE_CAP, &split) < 0)
		return false;
	*apic = (struct kvm_apic){.vm = vm, .vm_fd = vm_fd};
	vm->apic = (struct irq_apic){
		.send = send_msi, .watch_eoi = watch_eoi, .route_extint = route_extint, .opaque = apic};
	return true;
}
