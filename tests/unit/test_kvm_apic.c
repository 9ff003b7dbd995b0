/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_kvm_apic.c: what KVM is told of interrupt messages and of ends to watch, between a machine and a kernel of the test's own
 * (--wrap=ioctl): the structures of KVM_SIGNAL_MSI and KVM_SET_GSI_ROUTING field by field, and kernels that lack something. Whom
 * ExtINT reaches by the I/O APIC; and the state of a vCPU to which it is offered: when it is left alone, what changes else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "vmm/kvm_apic.h"
#include "vmm/kvm_extint.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define KVM_FD 1000
#define VM_FD 1001
#define CPU_FD 1002
#define PINS 24

static struct {
	long missing;  /* this capability */
	bool no_split; /* it is there but cannot be enabled */
	uint64_t split_routes;
	int delivered; /* what KVM_SIGNAL_MSI says */
	struct kvm_msi msi;
	unsigned messages, routings, stops;
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[PINS];
	} routing;
	bool refuses_routing;
	unsigned extint_to;
	/* of a vCPU */
	struct kvm_vcpu_events events, set_events;
	struct kvm_mp_state mp;
	unsigned events_set, mp_set, acks;
	unsigned long refuses; /* this request */
} k;

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	const struct kvm_enable_cap *cap = (const void *)arg;
	const struct kvm_irq_routing *routing = (const void *)arg;

	errno = EINVAL;
	if (request == k.refuses)
		return -1;
	switch (request) {
	case KVM_GET_MP_STATE:
		assert_int_equal(fd, CPU_FD);
		*(struct kvm_mp_state *)arg = k.mp;
		return 0;
	case KVM_SET_MP_STATE:
		assert_int_equal(fd, CPU_FD);
		k.mp = *(const struct kvm_mp_state *)arg;
		k.mp_set++;
		return 0;
	case KVM_GET_VCPU_EVENTS:
		assert_int_equal(fd, CPU_FD);
		*(struct kvm_vcpu_events *)arg = k.events;
		return 0;
	case KVM_SET_VCPU_EVENTS:
		assert_int_equal(fd, CPU_FD);
		k.set_events = *(const struct kvm_vcpu_events *)arg;
		k.events_set++;
		return 0;
	case KVM_CHECK_EXTENSION:
		assert_int_equal(fd, KVM_FD);
		return (long)arg != k.missing;
	case KVM_ENABLE_CAP:
		assert_int_equal(fd, VM_FD);
		assert_int_equal(cap->cap, KVM_CAP_SPLIT_IRQCHIP);
		k.split_routes = cap->args[0];
		errno = EINVAL;
		return k.no_split ? -1 : 0;
	case KVM_SIGNAL_MSI:
		assert_int_equal(fd, VM_FD);
		k.msi = *(const struct kvm_msi *)arg;
		k.messages++;
		errno = EPERM;
		return k.delivered;
	case KVM_SET_GSI_ROUTING:
		assert_int_equal(fd, VM_FD);
		assert_true(routing->nr <= PINS);
		memset(&k.routing, 0xee, sizeof(k.routing));
		memcpy(&k.routing, routing, sizeof(*routing) + routing->nr * sizeof(routing->entries[0]));
		k.routings++;
		errno = EINVAL;
		return k.refuses_routing ? -1 : 0;
	}
	fail_msg("ioctl 0x%lx", request);
	return -1;
}

void vm_request_stop(struct vm *vm, int status, const char *reason)
{
	(void)vm;
	assert_int_equal(status, EXIT_CPU_FAILED);
	assert_non_null(reason);
	k.stops++;
}

void vm_route_extint(struct vm *vm, unsigned to)
{
	(void)vm;
	k.extint_to = to;
}

static int setup(void **state)
{
	(void)state;
	memset(&k, 0, sizeof(k));
	k.missing = -1;
	k.delivered = 1;
	return 0;
}

static void test_start(void **state)
{
	static const long needed[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_SIGNAL_MSI, KVM_CAP_IRQ_ROUTING};
	const struct irq_msi msg = {0xfee00000, 0x30};
	struct kvm_apic apic;
	struct vm vm;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		memset(&vm, 0xee, sizeof(vm));
		k.missing = i < 3 ? needed[i] : -1;
		k.no_split = i == 3;
		assert_false(kvm_apic_start(&apic, &vm, KVM_FD, VM_FD));
		assert_false(irq_send_msi(&vm.apic, &msg)); /* goes nowhere */
		irq_watch_eoi(&vm.apic, &msg, 1);
	}
	k.no_split = false;
	assert_true(kvm_apic_start(&apic, &vm, KVM_FD, VM_FD));
	assert_int_equal(k.split_routes, PINS); /* the routes below that number are the I/O APIC's */
	assert_int_equal(k.messages + k.routings, 0);
}

static void test_messages(void **state)
{
	const struct irq_msi msg = {0xfee0f00c, 0xc1a5};
	struct kvm_apic apic;
	struct vm vm;

	(void)state;
	assert_true(kvm_apic_start(&apic, &vm, KVM_FD, VM_FD));
	assert_true(irq_send_msi(&vm.apic, &msg));
	assert_int_equal(k.messages, 1);
	assert_int_equal(k.msi.address_lo, 0xfee0f00c);
	assert_int_equal(k.msi.address_hi, 0);
	assert_int_equal(k.msi.data, 0xc1a5);
	assert_int_equal(k.msi.flags, 0);
	k.delivered = 3; /* several took it */
	assert_true(irq_send_msi(&vm.apic, &msg));
	k.delivered = 0; /* blocked */
	assert_false(irq_send_msi(&vm.apic, &msg));
	k.delivered = -1; /* no such destination */
	assert_false(irq_send_msi(&vm.apic, &msg));
	assert_int_equal(k.stops, 0);
}

static void test_routes(void **state)
{
	struct irq_msi list[PINS];
	struct kvm_apic apic;
	struct vm vm;

	(void)state;
	for (unsigned i = 0; i < PINS; i++)
		list[i] = (struct irq_msi){0xfee00000 | i << 12, 0xc040 + i};
	assert_true(kvm_apic_start(&apic, &vm, KVM_FD, VM_FD));
	for (unsigned count = 0; count <= PINS; count++) {
		irq_watch_eoi(&vm.apic, list, count);
		assert_int_equal(k.routings, count + 1);
		assert_int_equal(k.routing.head.nr, count);
		assert_int_equal(k.routing.head.flags, 0);
		for (unsigned i = 0; i < count; i++) {
			const struct kvm_irq_routing_entry *e = &k.routing.entries[i];

			assert_int_equal(e->gsi, i);
			assert_int_equal(e->type, KVM_IRQ_ROUTING_MSI);
			assert_int_equal(e->flags, 0);
			assert_int_equal(e->u.msi.address_lo, 0xfee00000 | i << 12);
			assert_int_equal(e->u.msi.address_hi, 0);
			assert_int_equal(e->u.msi.data, 0xc040 + i);
		}
	}
	assert_int_equal(k.stops, 0);
	k.refuses_routing = true; /* then the ends of interrupts would be lost: the VM ends */
	irq_watch_eoi(&vm.apic, list, 1);
	assert_int_equal(k.stops, 1);
}

/* By entry 0: to the vCPU whose local APIC it names, to the first for a broadcast; a logical one goes nowhere. */
static void test_extint_route(void **state)
{
	static const struct {
		bool is_on;
		uint8_t dest;
		bool is_logical;
		unsigned to;
	} cases[] = {{true, 0, false, 1}, {true, 2, false, 3}, {false, 2, false, 0}, {true, 3, false, 0},
		{true, 1, false, 2}, {true, 1, true, 0}, {true, 0x0f, false, 1}, {true, 0xff, true, 0},
		{true, 0xff, false, 1}, {false, 0, false, 0}};
	struct options opt = {.quiet = true};
	struct kvm_apic apic;
	struct vm vm = {.opt = &opt, .cpu_count = 3};

	(void)state;
	assert_true(kvm_apic_start(&apic, &vm, KVM_FD, VM_FD));
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		irq_route_extint(&vm.apic, cases[i].is_on, cases[i].dest, cases[i].is_logical);
		assert_int_equal(k.extint_to, cases[i].to);
	}
	assert_int_equal(k.messages + k.routings + k.stops, 0);
}

static int acknowledge(void *opaque)
{
	k.acks++;
	return *(const int *)opaque;
}

/* [KVM] KVM_SET_VCPU_EVENTS: nothing but the interrupt changes, and nothing that its flags guard is written. */
static void test_extint_taken(void **state)
{
	int vector = 0x25;
	struct kvm_run run = {.if_flag = 1};
	struct vm vm = {.intr_ack = acknowledge, .intr_opaque = &vector};

	(void)state;
	k.events.nmi.pending = 1; /* comes after it */
	k.events.nmi.masked = 1;
	k.events.sipi_vector = 9;
	k.events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	assert_int_equal(kvm_extint_offer(CPU_FD, &run, &vm, NULL), 0);
	assert_int_equal(k.acks, 1);
	assert_int_equal(k.events_set, 1);
	assert_int_equal(k.set_events.interrupt.injected, 1);
	assert_int_equal(k.set_events.interrupt.nr, 0x25);
	assert_int_equal(k.set_events.interrupt.soft, 0);
	assert_int_equal(k.set_events.flags, 0);
	assert_int_equal(k.set_events.nmi.masked, 1);
	assert_int_equal(k.set_events.exception.injected, 0);
	assert_int_equal(k.mp_set, 0);
	/* HLT ends */
	k.mp.mp_state = KVM_MP_STATE_HALTED;
	assert_int_equal(kvm_extint_offer(CPU_FD, &run, &vm, NULL), 0);
	assert_int_equal(k.mp_set, 1);
	assert_int_equal(k.mp.mp_state, KVM_MP_STATE_RUNNABLE);
	/* it went away */
	vector = -1;
	assert_int_equal(kvm_extint_offer(CPU_FD, &run, &vm, NULL), 0);
	assert_int_equal(k.acks, 3);
	assert_int_equal(k.events_set, 2);
}

/* Then the 8259s are not acknowledged either. */
static void test_extint_closed(void **state)
{
	static const uint32_t asleep[] = {
		KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_SIPI_RECEIVED};
	static const unsigned long requests[] = {KVM_GET_MP_STATE, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS};
	int vector = 0x25;
	struct kvm_run run = {.if_flag = 0};
	struct vm vm = {.intr_ack = acknowledge, .intr_opaque = &vector};
	struct kvm_vcpu_events *e = &k.events;
	uint8_t *const fields[] = {&e->interrupt.shadow, &e->interrupt.injected, &e->exception.injected,
		&e->exception.pending, &e->nmi.injected};

	(void)state;
	assert_int_equal(kvm_extint_offer(CPU_FD, &run, &vm, NULL), 0);
	run.if_flag = 1;
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		*fields[i] = 1;
		assert_int_equal(kvm_extint_offer(CPU_FD, &run, &vm, NULL), 0);
		*fields[i] = 0;
	}
	for (unsigned i = 0; i < sizeof(asleep) / sizeof(asleep[0]); i++) {
		k.mp.mp_state = asleep[i];
		assert_int_equal(kvm_extint_offer(CPU_FD, &run, &vm, NULL), 0);
	}
	k.mp.mp_state = KVM_MP_STATE_RUNNABLE;
	assert_int_equal(k.acks + k.events_set + k.mp_set, 0);
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct accel_err err;

		k.refuses = requests[i];
		assert_int_equal(kvm_extint_offer(CPU_FD, &run, &vm, &err), -EIO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_start, setup),
		cmocka_unit_test_setup(test_messages, setup),
		cmocka_unit_test_setup(test_routes, setup),
		cmocka_unit_test_setup(test_extint_route, setup),
		cmocka_unit_test_setup(test_extint_taken, setup),
		cmocka_unit_test_setup(test_extint_closed, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
