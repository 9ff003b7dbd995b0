// SPDX-License-Identifier: BSD-2-Clause
/*
 * cpu_kvm.c: vCPUs on /dev/kvm. The local APICs are KVM's (split irqchip, kvm_apic.h); every other chip is
 * in userspace, and nothing of KVM's PIC, IOAPIC or PIT is used. The PIC's INTR goes to vCPU 0, whose local APIC takes
 * it if LVT0 says so, which KVM sees to (ready_for_interrupt_injection). The other vCPUs sleep inside KVM until INIT and SIPI.
 *
 * A kick cannot be lost. The kicker stores its flag (interrupt, stop, reset), fence, stores
 * immediate_exit = 1, and signals; the vCPU stores immediate_exit = 0, fence, loads the flags,
 * enters KVM. If the vCPU missed the flag then its fence came first, so the 1 is the later store:
 * KVM sees it on entry, or has passed that check and the signal makes it leave.
 *
 * Writes that KVM has queued without an exit (kvm_deferred.h) come before whatever an exit or an interrupt
 * acknowledge does.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/kvm_apic.h"
#include "vmm/kvm_cpuid.h"
#include "vmm/kvm_deferred.h"
#include "vmm/kvm_extint.h"
#include "vmm/kvm_slots.h"
#include "vmm/kvm_state.h"
#include "vmm/kvm_tier.h"
#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/vm.h"

/* Three pages and one page that Intel's VMX wants below 4 GiB, clear of RAM, devices and BIOS. */
#define KVM_IDENTITY_MAP 0xfeffc000ull
#define KVM_TSS 0xfeffd000ull

/* Not in every kernel's headers. */
#define CAP_DISABLE_QUIRKS2 213
#define QUIRK_SLOT_ZAP_ALL (1u << 7)

#define FINISH_EXITS 16
#define EXTINT_AGAIN_NS 1000000

/* vm->backend */
struct kvm_vm {
	/* constant after setup */
	int kvm_fd, vm_fd;
	size_t run_bytes;
	/* see there */
	struct kvm_slots slots;
	struct kvm_deferred deferred;
	struct kvm_apic apic;
	/* any thread */
	_Atomic bool told_tsc; /* that it cannot be set */
	/* while no vCPU runs */
	struct kvm_clock_data clock; /* KVM's own, for guests that use it, where a pause began */
	bool has_clock;
};

struct kvm_cpu {
	struct cpu cpu;
	/* constant after create */
	int fd;
	int halt_fd; /* eventfd that ends a HLT; -1 when KVM waits itself */
	struct kvm_run *run;
	size_t run_bytes;
	bool has_ring; /* deferred writes are in this vCPU's mapping */
	struct kvm_power_on power_on;
	struct timer extint_again; /* a kick, to see whether it can be taken now */
	/* while no vCPU runs */
	struct kvm_pause pause;
	bool is_paused; /* pause is to be put back */
	/* any thread */
	_Atomic int tid; /* of the thread inside run(), else 0 */
	/* the vCPU's thread */
	int held_vector; /* acknowledged, not yet taken by KVM; -1: none */
	bool is_halted;	 /* without a local APIC in the kernel */
};

/* ---- set-up ---------------------------------------------------------------------------------- */

static void memory_changed(void *opaque)
{
	struct vm *vm = opaque;
	struct kvm_vm *kv = vm->backend;

	if (kvm_slots_update(&kv->slots, &vm->mem))
		vm_request_stop(vm, EXIT_CPU_FAILED, "KVM refused a change of the memory map");
}

static int kvm_show_page(struct vm *vm, unsigned index, uint64_t gpa, void *host, uint64_t bytes)
{
	const struct kvm_vm *kv = vm->backend;

	return kvm_slots_show_page(&kv->slots, index, gpa, host, bytes);
}

static void on_kick(int sig)
{
	(void)sig; /* its arrival is the message: KVM_RUN returns */
}

static int kick_signal(void)
{
	return SIGRTMIN + 1;
}

static void kvm_kick(struct cpu *cpu)
{
	struct kvm_cpu *kc = (struct kvm_cpu *)cpu;
	const uint64_t one = 1;
	int tid;

	atomic_thread_fence(memory_order_seq_cst);
	__atomic_store_n(&kc->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (kc->halt_fd >= 0 && write(kc->halt_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable all the same */
	tid = atomic_load(&kc->tid);
	/* tgkill and not pthread_kill: a thread that has just ended is an error code, not undefined. */
	if (tid && tid != (int)syscall(SYS_gettid))
		syscall(SYS_tgkill, getpid(), tid, kick_signal());
}

static void kick_again(void *opaque)
{
	kvm_kick(opaque);
}

static bool has_cap(int kvm_fd, int cap)
{
	return ioctl(kvm_fd, KVM_CHECK_EXTENSION, cap) > 0;
}

/* Chooses who has the local APICs: KVM, or nobody. */
static int setup_irqchip(struct vm *vm, struct kvm_vm *kv, struct accel_err *err)
{
	vm->has_lapic = cpuid_wants_apic(&vm->opt->cpu_model) && kvm_apic_start(&kv->apic, vm, kv->kvm_fd, kv->vm_fd);
	if (!vm->has_lapic && vm->cpu_count > 1)
		return err_fail(err, -ENOTSUP,
			"this host's KVM has no split irqchip, so no local APICs: use --cpus 1 or a newer kernel");
	return 0;
}

/*
 * [KVM] KVM_CAP_DISABLE_QUIRKS2: a slot that goes takes its own page table entries with it and not all of the VM's, which
 * the guest would then pay for again one by one. From Linux 6.12 on; an older one does as it always did.
 */
static void keep_page_tables(const struct kvm_vm *kv)
{
	struct kvm_enable_cap cap = {.cap = CAP_DISABLE_QUIRKS2, .args = {QUIRK_SLOT_ZAP_ALL}};
	const int known = ioctl(kv->vm_fd, KVM_CHECK_EXTENSION, CAP_DISABLE_QUIRKS2);

	if (known > 0 && (known & (int)QUIRK_SLOT_ZAP_ALL))
		(void)ioctl(kv->vm_fd, KVM_ENABLE_CAP, &cap);
}

static void kvm_teardown(struct vm *vm)
{
	struct kvm_vm *kv = vm->backend;

	if (!kv)
		return;
	vm->mem.changed = NULL;
	vm->apic = (struct irq_apic){0};
	vm->backend = NULL;
	if (kv->vm_fd >= 0)
		close(kv->vm_fd);
	if (kv->kvm_fd >= 0)
		close(kv->kvm_fd);
	free(kv);
}

static int kvm_setup(struct vm *vm, struct accel_err *err)
{
	struct kvm_vm *kv = calloc(1, sizeof(*kv));
	struct sigaction sa = {.sa_handler = on_kick};
	uint64_t identity = KVM_IDENTITY_MAP;
	int rc;

	if (!kv)
		return err_fail(err, -ENOMEM, "out of memory");
	vm->backend = kv;
	kv->vm_fd = -1;
	kv->kvm_fd = kvm_open(err);
	if (kv->kvm_fd < 0) {
		rc = kv->kvm_fd;
		goto fail;
	}
	rc = ioctl(kv->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (rc < (int)sizeof(struct kvm_run) || !has_cap(kv->kvm_fd, KVM_CAP_IMMEDIATE_EXIT) ||
		!has_cap(kv->kvm_fd, KVM_CAP_USER_MEMORY)) {
		rc = err_fail(
			err, -ENOTSUP, "this host's KVM is too old (Linux 4.13 or later is needed): use --cpu soft");
		goto fail;
	}
	kv->run_bytes = (size_t)rc;
	do {
		kv->vm_fd = ioctl(kv->kvm_fd, KVM_CREATE_VM, 0);
	} while (kv->vm_fd < 0 && errno == EINTR);
	if (kv->vm_fd < 0) {
		rc = err_fail(err, -errno, "KVM cannot create a VM: %s; try --cpu soft", strerror(errno));
		goto fail;
	}
	if (ioctl(kv->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
		ioctl(kv->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS) < 0) {
		rc = err_fail(err, -errno, "KVM refuses its own pages at 0x%llx: %s", (unsigned long long)identity,
			strerror(errno));
		goto fail;
	}
	keep_page_tables(kv);
	rc = setup_irqchip(vm, kv, err);
	if (rc)
		goto fail;
	kv->slots.vm_fd = kv->vm_fd;
	kv->slots.has_readonly = has_cap(kv->kvm_fd, KVM_CAP_READONLY_MEM);
	if (!kv->slots.has_readonly)
		fprintf(stderr, "hotreg: this host's KVM has no read-only memory: the guest can overwrite its BIOS\n");
	sigemptyset(&sa.sa_mask);
	if (sigaction(kick_signal(), &sa, NULL) < 0) {
		rc = err_fail(err, -errno, "sigaction: %s", strerror(errno));
		goto fail;
	}
	pthread_mutex_lock(&vm->mem.lock);
	vm->mem.changed_opaque = vm;
	vm->mem.changed = memory_changed;
	rc = kvm_slots_update(&kv->slots, &vm->mem);
	pthread_mutex_unlock(&vm->mem.lock);
	if (rc) {
		err_fail(err, rc, "KVM refuses the guest's memory: %s; try a smaller --mem", strerror(-rc));
		goto fail;
	}
	return 0;
fail:
	kvm_teardown(vm);
	return rc;
}

static int kvm_start_tier(struct vm *vm, struct accel_err *err)
{
	const struct kvm_vm *kv = vm->backend;

	return kvm_tier_start(vm, kv->kvm_fd, kv->vm_fd, &vm->tier, err);
}

static void kvm_destroy(struct cpu *cpu)
{
	struct kvm_cpu *kc = (struct kvm_cpu *)cpu;

	if (!kc)
		return;
	kvm_tier_stop(cpu->vm->tier);
	cpu->vm->tier = NULL;
	timer_cancel(&cpu->vm->clock, &kc->extint_again);
	if (kc->has_ring)
		kvm_deferred_stop(&((struct kvm_vm *)cpu->vm->backend)->deferred, cpu->vm);
	kvm_power_on_free(&kc->power_on);
	if (kc->run)
		munmap(kc->run, kc->run_bytes);
	if (kc->halt_fd >= 0)
		close(kc->halt_fd);
	if (kc->fd >= 0)
		close(kc->fd);
	free(kc);
}

static int kvm_create(struct vm *vm, unsigned index, struct cpu **out, struct accel_err *err)
{
	struct kvm_vm *kv = vm->backend;
	struct kvm_cpu *kc = calloc(1, sizeof(*kc));
	struct kvm_cpuid_want want;
	void *run;
	int rc;

	if (!kc)
		return err_fail(err, -ENOMEM, "out of memory");
	kc->cpu = (struct cpu){.ops = &cpu_kvm_ops, .vm = vm, .index = index};
	kc->halt_fd = -1;
	kc->held_vector = -1;
	timer_init(&kc->extint_again, kick_again, &kc->cpu);
	kc->run_bytes = kv->run_bytes;
	kc->fd = ioctl(kv->vm_fd, KVM_CREATE_VCPU, index);
	if (kc->fd < 0) {
		rc = err_fail(err, -errno, "KVM cannot create vCPU %u: %s", index, strerror(errno));
		goto fail;
	}
	run = mmap(NULL, kv->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kc->fd, 0);
	if (run == MAP_FAILED) {
		rc = err_fail(err, -errno, "cannot map vCPU %u: %s", index, strerror(errno));
		goto fail;
	}
	kc->run = run;
	if (!vm->has_lapic) {
		kc->halt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (kc->halt_fd < 0) {
			rc = err_fail(err, -errno, "eventfd: %s", strerror(errno));
			goto fail;
		}
	}
	want = (struct kvm_cpuid_want){.index = index,
		.cpus = vm->cpu_count,
		.has_lapic = vm->has_lapic,
		.has_pv = !vm->opt->no_pv,
		.request = vm->opt->cpu_model};
	rc = kvm_set_cpuid(kv->kvm_fd, kc->fd, &want, &vm->has_long_mode, err);
	if (rc)
		goto fail;
	rc = kvm_power_on_save(kv->kvm_fd, kc->fd, vm->has_lapic, &kc->power_on);
	if (rc) {
		err_fail(err, rc, "cannot read the state of vCPU %u: %s", index, strerror(-rc));
		goto fail;
	}
	rc = kvm_lapic_list(kc->fd, &kc->power_on);
	if (rc) {
		err_fail(err, rc, "cannot set the local APIC of vCPU %u: %s", index, strerror(-rc));
		goto fail;
	}
	if (index == 0) {
		kvm_deferred_start(&kv->deferred, vm, kv->kvm_fd, kv->vm_fd, kc->run, kc->run_bytes);
		kc->has_ring = true;
	}
	*out = &kc->cpu;
	return 0;
fail:
	kvm_destroy(&kc->cpu);
	return rc;
}

/* ---- running --------------------------------------------------------------------------------- */

/* 1, 2, 4 or 8 bytes, each by an instruction or two and not by a call. */
static inline void copy(void *to, const void *from, unsigned size)
{
	switch (size) {
	case 1:
		memcpy(to, from, 1);
		break;
	case 2:
		memcpy(to, from, 2);
		break;
	case 4:
		memcpy(to, from, 4);
		break;
	default:
		memcpy(to, from, 8);
	}
}

static void exit_pio(struct kvm_cpu *kc)
{
	struct kvm_run *run = kc->run;
	void *data = (uint8_t *)run + run->io.data_offset;
	struct io_req req = {
		.io = {.vcpu = kc->cpu.index, .size = run->io.size, .is_write = run->io.direction == KVM_EXIT_IO_OUT},
		.addr = run->io.port,
		.bus = IO_PIO,
		.count = run->io.count,
	};

	if (req.count != 1) {
		req.data = data;
		bus_io(&kc->cpu.vm->bus, &req);
	} else if (req.io.is_write) {
		copy(&req.io.value, data, req.io.size);
		bus_io_one(&kc->cpu.vm->bus, &req);
	} else {
		bus_io_one(&kc->cpu.vm->bus, &req);
		copy(data, &req.io.result, req.io.size);
	}
}

static inline void mmio_part(struct kvm_cpu *kc, uint64_t addr, uint32_t at, uint32_t size)
{
	struct kvm_run *run = kc->run;
	struct io_req req = {
		.io = {.vcpu = kc->cpu.index, .size = (uint8_t)size, .is_write = run->mmio.is_write},
		.addr = addr,
		.bus = IO_MMIO,
		.count = 1,
	};

	if (req.io.is_write)
		copy(&req.io.value, run->mmio.data + at, size);
	bus_io_one(&kc->cpu.vm->bus, &req);
	if (!req.io.is_write)
		copy(run->mmio.data + at, &req.io.result, size);
}

/* One exit may hold any 1 to 8 bytes at any address; the bus gets aligned powers of two, ascending. */
static void exit_mmio(struct kvm_cpu *kc)
{
	struct kvm_run *run = kc->run;
	uint64_t addr = run->mmio.phys_addr;
	uint32_t len = run->mmio.len, done = 0;

	/* Shadow RAM that reads ROM is a read-only slot to KVM: a write to it may have to reach RAM. */
	if (run->mmio.is_write && mem_shadow_write(&kc->cpu.vm->mem, addr, run->mmio.data, len))
		return;
	if (likely(len - 1 < 8 && !(len & (len - 1)) && !(addr & (len - 1)))) {
		mmio_part(kc, addr, 0, len);
		return;
	}
	while (done < len) {
		uint32_t size = 8;

		while (size > len - done || ((addr + done) & (size - 1)))
			size >>= 1;
		mmio_part(kc, addr + done, done, size);
		done += size;
	}
}

/*
 * Gives KVM the PIC's next vector when the vCPU can take one, else asks to leave the guest as
 * soon as it can. The PIC is acknowledged only in the first case, so it always offers its best.
 */
static int inject(struct kvm_cpu *kc, struct accel_err *err)
{
	struct vm *vm = kc->cpu.vm;
	struct kvm_run *run = kc->run;
	struct kvm_interrupt irq;

	run->request_interrupt_window = 0;
	if (kc->held_vector < 0 && !vm_intr_pending(vm))
		return 0;
	if (run->ready_for_interrupt_injection) {
		if (kc->held_vector < 0) {
			vm_drain(vm);
			kc->held_vector = vm_intr_ack(vm);
		}
		if (kc->held_vector < 0)
			return 0; /* it went away */
		irq.irq = (uint32_t)kc->held_vector;
		run->ready_for_interrupt_injection = 0;
		if (ioctl(kc->fd, KVM_INTERRUPT, &irq) == 0) {
			kc->held_vector = -1;
			kc->is_halted = false;
		} else if (errno != EEXIST) { /* EEXIST: KVM has not delivered the last one yet */
			return err_fail(err, -EIO, "KVM_INTERRUPT: %s", strerror(errno));
		}
	}
	if (kc->held_vector >= 0 || vm_intr_pending(vm))
		run->request_interrupt_window = 1;
	return 0;
}

/* HLT without a local APIC in the kernel: sleeps until a kick; the caller looks why. */
static void halt_wait(struct kvm_cpu *kc)
{
	struct pollfd p = {.fd = kc->halt_fd, .events = POLLIN};
	uint64_t kicks;

	if (poll(&p, 1, -1) > 0 && read(kc->halt_fd, &kicks, sizeof(kicks)) < 0)
		return; /* somebody was faster: look again */
}

/* One exit. 0 to go on, or -errno with err. */
static int handle_exit(struct kvm_cpu *kc, struct accel_err *err)
{
	struct vm *vm = kc->cpu.vm;

	vm_drain(vm);
	switch (kc->run->exit_reason) {
	case KVM_EXIT_IO:
		exit_pio(kc);
		vm_drain(vm); /* what came in from a zone that the access took away, see bus_open_gate() */
		return 0;
	case KVM_EXIT_MMIO:
		exit_mmio(kc);
		vm_drain(vm);
		return 0;
	case KVM_EXIT_HLT:
		kc->is_halted = !vm->has_lapic;
		return 0;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_INTR:
	case KVM_EXIT_SET_TPR:
		return 0;
	case KVM_EXIT_IOAPIC_EOI:
		vm_ioapic_eoi(vm, kc->run->eoi.vector);
		return 0;
	case KVM_EXIT_SHUTDOWN:
		vm_request_reset(vm, "triple fault");
		return 0;
	default:
		return kvm_explain(kc->fd, kc->run, &vm->mem, err);
	}
}

/*
 * After an exit that KVM finishes on the next entry: finishes it, running no further instruction. One
 * access may come as several exits (across a page, a string), which are done like any other; the vCPU
 * may go on afterwards. What is left of a longer string is finished by the next run(), or a reset.
 */
static int finish_exit(struct kvm_cpu *kc, struct accel_err *err)
{
	int rc = 0;

	for (int i = 0; i < FINISH_EXITS && !rc; i++) {
		__atomic_store_n(&kc->run->immediate_exit, 1, __ATOMIC_RELAXED);
		if (ioctl(kc->fd, KVM_RUN, 0) < 0)
			break;
		rc = handle_exit(kc, err);
	}
	return rc;
}

/*
 * ExtINT by the I/O APIC is pending for this vCPU. KVM does not tell when the guest lets interrupts in while LVT0 does not, so
 * what it does not let in now is offered again a millisecond later.
 */
static int offer_extint(struct kvm_cpu *kc, struct accel_err *err)
{
	const int rc = finish_exit(kc, err);

	return rc ? rc : kvm_extint_offer(kc->fd, kc->run, kc->cpu.vm, err);
}

static int run_loop(struct kvm_cpu *kc, struct accel_err *err)
{
	struct vm *vm = kc->cpu.vm;
	bool has_offered = false; /* ExtINT, since it last was in the guest */
	int rc;

	for (;;) {
		__atomic_store_n(&kc->run->immediate_exit, 0, __ATOMIC_RELAXED);
		atomic_thread_fence(memory_order_seq_cst); /* see the head of this file */
		if (vm_must_leave(vm))
			return 0;
		if (kc->cpu.index == 0) {
			rc = inject(kc, err);
			if (rc)
				return rc;
		}
		if (unlikely(vm_extint_pending(vm, kc->cpu.index))) {
			if (!has_offered) {
				has_offered = true;
				rc = offer_extint(kc, err);
				if (rc)
					return rc;
				continue; /* it has told KVM to leave at once */
			}
			timer_arm(&vm->clock, &kc->extint_again, clock_now(&vm->clock) + EXTINT_AGAIN_NS);
		}
		has_offered = false;
		if (kc->is_halted) {
			halt_wait(kc);
			continue;
		}
		if (ioctl(kc->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return err_fail(err, -EIO, "KVM_RUN of vCPU %u: %s", kc->cpu.index, strerror(errno));
		}
		cpu_count_exit(&kc->cpu);
		rc = handle_exit(kc, err);
		if (rc)
			return rc;
	}
}

static int kvm_run_cpu(struct cpu *cpu, struct accel_err *err)
{
	struct kvm_cpu *kc = (struct kvm_cpu *)cpu;
	sigset_t kick;
	int rc;

	sigemptyset(&kick);
	sigaddset(&kick, kick_signal());
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	atomic_store(&kc->tid, (int)syscall(SYS_gettid));
	rc = run_loop(kc, err);
	if (!rc)
		rc = finish_exit(kc, err);
	atomic_store(&kc->tid, 0);
	return rc;
}

static int kvm_op_get_regs(struct cpu *cpu, struct cpu_regs *regs)
{
	return kvm_get_regs(((struct kvm_cpu *)cpu)->fd, regs);
}

static int kvm_op_set_regs(struct cpu *cpu, const struct cpu_regs *regs)
{
	return kvm_set_regs(((struct kvm_cpu *)cpu)->fd, regs);
}

static void kvm_pause(struct cpu *cpu)
{
	struct kvm_cpu *kc = (struct kvm_cpu *)cpu;
	struct kvm_vm *kv = cpu->vm->backend;

	kvm_pause_save(kc->fd, cpu->vm->has_lapic, &kc->pause);
	kc->is_paused = true;
	if (cpu->index == 0)
		kv->has_clock = ioctl(kv->vm_fd, KVM_GET_CLOCK, &kv->clock) == 0;
}

static void kvm_resume(struct cpu *cpu)
{
	struct kvm_cpu *kc = (struct kvm_cpu *)cpu;
	struct kvm_vm *kv = cpu->vm->backend;

	if (kc->is_paused && !kvm_pause_restore(kc->fd, &kc->pause) && !cpu->vm->opt->quiet &&
		!atomic_exchange(&kv->told_tsc, true))
		fprintf(stderr, "hotreg: this host's KVM does not let the time stamp counter be set: for the guest it "
				"went on during the stop\n");
	kc->is_paused = false;
	if (cpu->index + 1 == cpu->vm->cpu_count && kv->has_clock) { /* after all counters, which it is made of */
		kv->clock.flags = 0;
		(void)ioctl(kv->vm_fd, KVM_SET_CLOCK, &kv->clock);
	}
	(void)ioctl(kc->fd, KVM_KVMCLOCK_CTRL, 0); /* lets the guest's watchdogs know; of no use without its clock */
}

static int kvm_reset(struct cpu *cpu)
{
	struct kvm_cpu *kc = (struct kvm_cpu *)cpu;

	kc->held_vector = -1;
	kc->is_halted = false;
	kc->is_paused = false; /* what was paused is gone */
	kc->run->ready_for_interrupt_injection = 0;
	kc->run->request_interrupt_window = 0;
	return kvm_power_on_restore(kc->fd, &kc->power_on);
}

const struct cpu_ops cpu_kvm_ops = {
	.name = "kvm",
	.has_paging = true,
	.setup = kvm_setup,
	.teardown = kvm_teardown,
	.create = kvm_create,
	.destroy = kvm_destroy,
	.start_tier = kvm_start_tier,
	.run = kvm_run_cpu,
	.kick = kvm_kick,
	.get_regs = kvm_op_get_regs,
	.set_regs = kvm_op_set_regs,
	.pause = kvm_pause,
	.resume = kvm_resume,
	.show_page = kvm_show_page,
	.reset = kvm_reset,
};
