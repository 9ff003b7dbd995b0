/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.h: one virtual machine: everything mutable hangs off struct vm.
 *
 * Lock order (lock.h, checked by make LOCKDEBUG=1): deferred.lock -> page tier -> device -> irq router -> irq controller -> clock; bus.lock
 * and mem.lock are taken under a device lock and hold nothing further but bus.lock the engine's own, and so is park_lock. Threads: one per vCPU (0 is started like the
 * others), one event thread (timers, standard input, signals, timeout) which is the caller of vm_run(),
 * and with --qmp the control thread (control.h), which takes device locks one at a time and none of the
 * others but through the functions here.
 *
 * Whatever may only change while no guest code runs (the accel mode, the guest's time) is changed by
 * a job in vm_at_rest(): every vCPU thread leaves run() and rests, then the event thread does it.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/clock.h"
#include "vmm/cpu.h"
#include "vmm/deferred.h"
#include "vmm/irq.h"
#include "vmm/mem.h"

#define VM_MAX_CPUS 8

/* Exit statuses of the program; odd ones are the guest's. */
#define EXIT_GUEST_SHUTDOWN 0
#define EXIT_USAGE 2
#define EXIT_DIVERGENCE 4
#define EXIT_CPU_FAILED 6
#define EXIT_TIMEOUT 124

#define VM_ENDED_BY_QUIT "ended by quit at the control socket" /* a reason for vm_request_stop() */

struct options; /* vmm/options.h */
struct machine; /* devices/machine.h */
struct chardev; /* vmm/chardev.h */
struct trace;
struct stats;
struct vm_job; /* vm_park.c */
struct control;
struct page_tier; /* vmm/page_tier.h */

/* What happened to the VM, for the control thread. */
enum vm_event { VM_EVENT_SHUTDOWN, VM_EVENT_RESET };

struct vm {
	/* constant after vm_create */
	const struct options *opt;
	struct clock clock;
	struct guest_mem mem;
	struct bus bus;
	struct deferred deferred; /* without a ring unless the CPU backend can defer writes */
	const struct cpu_ops *cpu_ops;
	void *backend; /* the CPU backend's own, set by ops->setup */
	struct cpu *cpus[VM_MAX_CPUS];
	unsigned cpu_count;
	bool has_long_mode;   /* set by ops->create: the guest's CPUID has it */
	bool has_lapic;	      /* set by ops->setup: there are local APICs, so the machine has an I/O APIC */
	struct irq_apic apic; /* set by ops->setup: where interrupt messages go */
	struct chardev *serial, *debugcon; /* opened by vm_create before machine_create; NULL: none */
	struct machine *machine;
	struct kvm_tier *tier; /* the kernel tier; NULL: programs run in the vCPU threads */
	unsigned pinned;       /* of `hotreg pin`: how many programs */
	struct trace *trace;
	struct stats *stats;	     /* NULL without --stats and --qmp */
	struct control *control;     /* NULL without --qmp */
	struct page_tier *page_tier; /* NULL: no page is ever shown */
	/* set by the interrupt controller before the vCPUs run */
	int (*intr_ack)(void *opaque); /* vector 0..255, or -1: it went away */
	void *intr_opaque;
	/* the same of the I/O APIC; NULL: none */
	void (*ioapic_eoi)(void *opaque, uint8_t vector);
	void *ioapic_opaque;
	int wake_fd; /* eventfd: makes the event thread look again */
	/* atomics, any thread */
	_Atomic bool intr;	    /* level of the PIC's INTR output */
	_Atomic unsigned extint_to; /* 1 + the vCPU to which the I/O APIC passes that on (ExtINT); 0: to none */
	_Atomic bool told_extint;   /* that it goes nowhere, once */
	_Atomic bool stop;
	_Atomic int exit_status; /* valid once stop is set: the first request wins */
	_Atomic bool reset;
	_Atomic bool hold;			       /* vCPUs are to rest: there is a job, or the VM is paused */
	_Atomic bool paused;			       /* set and cleared by jobs */
	_Atomic bool stopped_by_guest, reset_by_guest; /* who asked for the last one */
	char stop_reason[128];			       /* written before stop is set, by who won */
	_Atomic bool stop_claimed;		       /* somebody is about to set stop */
	_Atomic bool told_reset;		       /* resets are logged once */
	_Atomic uint64_t first_insn_ns;		       /* CLOCK_MONOTONIC when vCPU 0 entered the guest */
	/* park_lock: nothing is taken under it */
	pthread_mutex_t park_lock;
	pthread_cond_t park_cond;
	unsigned parked;  /* vCPU threads that wait for a reset */
	unsigned resting; /* vCPU threads that rest */
	struct vm_job *job;
	unsigned running; /* vCPU threads that have not ended */
	uint32_t resets;
	struct accel_err *run_err; /* vm_run's, for the first vCPU that fails; NULL: taken */
};

/* What io.vcpu is below: the vCPUs, and one more for deferred writes, whose vCPU is not known. */
static inline unsigned vm_vcpus(const struct vm *vm)
{
	return vm->cpu_count + 1;
}

/* Before any look at a device: deferred writes reach it. Any thread, no lock held. */
static inline void vm_drain(struct vm *vm)
{
	deferred_drain(&vm->deferred);
}

/* Builds everything up to the first instruction. 0 or -errno with err; undoes itself. */
int vm_create(struct vm *vm, const struct options *opt, struct accel_err *err);
/* Runs to the end; returns the exit status. */
int vm_run(struct vm *vm, struct accel_err *err);
void vm_destroy(struct vm *vm);

/* Ends the VM. The first status wins. Any thread, also with device locks held. */
void vm_request_stop(struct vm *vm, int status, const char *reason);
/* The same at the guest's own wish. */
void vm_guest_stops(struct vm *vm, int status, const char *reason);
/* Makes the event thread look at everything again. Any thread. */
void vm_wake(struct vm *vm);
/*
 * Asks for a system reset: the vCPUs leave run(), devices and memory map return to power-on. `why` is
 * what the guest did. Any thread, also with device locks held.
 */
void vm_request_reset(struct vm *vm, const char *why);
/* The same for the person at the control socket. */
void vm_request_host_reset(struct vm *vm);

/*
 * Runs fn(vm, opaque) in the event thread with every vCPU at rest, and waits for it. 0; -EBUSY with err
 * when a vCPU does not come to rest (nothing was done then), -ESHUTDOWN with err when the VM ends.
 * One caller at a time, neither a vCPU nor the event thread, no lock held. Without running
 * threads (before vm_run()) fn is simply called.
 */
int vm_at_rest(struct vm *vm, void (*fn)(struct vm *vm, void *opaque), void *opaque, struct accel_err *err);

/*
 * Guest time stands still from pause to resume: no vCPU runs, no timer fires, and the guest's clocks go
 * on afterwards where they stood. A reset meanwhile is done, and the VM stays paused. Both are
 * idempotent; callers and errors as for vm_at_rest().
 */
int vm_pause(struct vm *vm, struct accel_err *err);
int vm_resume(struct vm *vm, struct accel_err *err);

/* Changes how programs are used, with no access under way. Callers and errors as for vm_at_rest(). */
int vm_set_accel(struct vm *vm, enum accel_mode mode, struct accel_err *err);

static inline bool vm_is_paused(const struct vm *vm)
{
	return atomic_load_explicit(&vm->paused, memory_order_acquire);
}

static inline bool vm_should_stop(const struct vm *vm)
{
	return atomic_load_explicit(&vm->stop, memory_order_acquire);
}

/* A vCPU thread has something else to do than to run guest code: run() returns 0 soon. */
static inline bool vm_must_leave(const struct vm *vm)
{
	return atomic_load_explicit(&vm->stop, memory_order_acquire) ||
	       atomic_load_explicit(&vm->reset, memory_order_acquire) ||
	       atomic_load_explicit(&vm->hold, memory_order_acquire);
}

static inline bool vm_reset_pending(const struct vm *vm)
{
	return atomic_load_explicit(&vm->reset, memory_order_acquire);
}

/* The PIC's INTR output, as an irq line: wakes vCPU 0, and whom the I/O APIC passes it on to. */
struct irq_line vm_intr_line(struct vm *vm);
/* To whom that is; see extint_to. Any thread. */
void vm_route_extint(struct vm *vm, unsigned to);

static inline bool vm_extint_pending(const struct vm *vm, unsigned vcpu)
{
	return atomic_load_explicit(&vm->extint_to, memory_order_acquire) == vcpu + 1 &&
	       atomic_load_explicit(&vm->intr, memory_order_acquire);
}

static inline bool vm_intr_pending(const struct vm *vm)
{
	return atomic_load_explicit(&vm->intr, memory_order_acquire);
}

/* Interrupt acknowledge cycle: the vector, or -1. The thread of the vCPU that takes it. */
static inline int vm_intr_ack(struct vm *vm)
{
	return vm->intr_ack ? vm->intr_ack(vm->intr_opaque) : -1;
}

/* A local APIC announces the end of an interrupt that was to be watched. Any vCPU's thread, no lock held. */
static inline void vm_ioapic_eoi(struct vm *vm, uint8_t vector)
{
	if (vm->ioapic_eoi)
		vm->ioapic_eoi(vm->ioapic_opaque, vector);
}

#endif
