// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_extint.c: ExtINT by the I/O APIC. With a split irqchip KVM_INTERRUPT is for local APICs whose LVT0 lets the 8259s in, and a
 * message of that delivery mode is taken by none. But what the state of a vCPU says is being delivered is delivered at the next
 * entry, and passes no local APIC: as with the real one, where the vector comes by the INTA cycle. So the acknowledge
 * cycle is done when nothing of the guest's stands against an interrupt, and its vector becomes part of that state.
 */
#include "vmm/kvm_extint.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/text.h"
#include "vmm/vm.h"

/* Whether the guest's next instruction can be preceded by an interrupt, and nothing else is to be delivered before. */
static bool is_open(const struct kvm_run *run, const struct kvm_vcpu_events *now)
{
	return run->if_flag && !now->interrupt.shadow && !now->interrupt.injected && !now->exception.injected &&
	       !now->exception.pending && !now->nmi.injected;
}

int kvm_extint_offer(int cpu_fd, const struct kvm_run *run, struct vm *vm, struct accel_err *err)
{
	struct kvm_mp_state state;
	struct kvm_vcpu_events now;
	int vector;

	if (ioctl(cpu_fd, KVM_GET_MP_STATE, &state) < 0 || ioctl(cpu_fd, KVM_GET_VCPU_EVENTS, &now) < 0)
		return err_fail(err, -EIO, "KVM does not tell the state of a vCPU: %s", strerror(errno));
	/* one that waits for INIT or SIPI takes nothing */
	if ((state.mp_state != KVM_MP_STATE_RUNNABLE && state.mp_state != KVM_MP_STATE_HALTED) || !is_open(run, &now))
		return 0;
	vm_drain(vm);
	vector = vm_intr_ack(vm);
	if (vector < 0)
		return 0;
	now.interrupt.injected = 1;
	now.interrupt.nr = (uint8_t)vector;
	now.interrupt.soft = 0;
	now.flags = 0; /* what others may change meanwhile stays: NMIs and messages on their way */
	if (ioctl(cpu_fd, KVM_SET_VCPU_EVENTS, &now) < 0)
		return err_fail(err, -EIO, "KVM does not take an interrupt of the 8259s: %s", strerror(errno));
	if (state.mp_state == KVM_MP_STATE_HALTED) {
		state.mp_state = KVM_MP_STATE_RUNNABLE;
		if (ioctl(cpu_fd, KVM_SET_MP_STATE, &state) < 0)
			return err_fail(err, -EIO, "KVM does not wake a vCPU: %s", strerror(errno));
	}
	return 0;
}
