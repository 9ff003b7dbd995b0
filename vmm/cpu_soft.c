/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu_soft.c: the software CPU: libx86emu run as a CPU backend, for machines without KVM.
 *
 * One vCPU, 16 and 32 bit, ring 0, no paging, no FPU. The time stamp counter is host time at
 * 1 GHz, so that guests calibrate against the same clock their timers run on.
 * kick() only sets a flag that the per-instruction hook looks at, and wakes a halted CPU.
 */
#include "vmm/soft.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct soft_cpu *soft_of(struct cpu *cpu)
{
	return (struct soft_cpu *)cpu;
}

static int soft_setup(struct vm *vm, struct accel_err *err)
{
	if (vm->cpu_count > 1) {
		snprintf(err->text, sizeof err->text, "the software CPU has one vCPU only: use --cpus 1, or --cpu kvm");
		return -EINVAL;
	}
	vm->has_lapic = false;
	return 0;
}

static void soft_teardown(struct vm *vm)
{
	(void)vm;
}

static void soft_destroy(struct cpu *cpu)
{
	struct soft_cpu *c;

	if (!cpu)
		return;
	c = soft_of(cpu);
	soft_mem_destroy(c);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	x86emu_done(c->emu);
	free(c);
}

static int soft_create(struct vm *vm, unsigned index, struct cpu **out, struct accel_err *err)
{
	struct soft_cpu *c;
	int r;

	if (index) {
		snprintf(err->text, sizeof err->text, "the software CPU has one vCPU only: use --cpus 1, or --cpu kvm");
		return -EINVAL;
	}
	c = calloc(1, sizeof *c);
	if (!c) {
		snprintf(err->text, sizeof err->text, "out of memory for the software CPU");
		return -ENOMEM;
	}
	c->cpu.ops = &cpu_soft_ops;
	c->cpu.vm = vm;
	c->wake_fd = eventfd(0, EFD_CLOEXEC);
	r = c->wake_fd < 0 ? -errno : 0;
	if (!r)
		r = soft_mem_init(c);
	if (!r) {
		c->emu = x86emu_new(0, 0);
		r = c->emu && c->emu->x86.msr ? 0 : -ENOMEM;
	}
	if (r) {
		snprintf(err->text, sizeof err->text, "cannot set up the software CPU: %s", strerror(-r));
		soft_destroy(&c->cpu);
		return r;
	}
	c->emu->_private = c;
	x86emu_set_memio_handler(c->emu, soft_memio);
	x86emu_set_intr_handler(c->emu, soft_intr_hook);
	x86emu_set_code_handler(c->emu, soft_code_hook);
	x86emu_set_cpuid_handler(c->emu, soft_cpuid);
	*out = &c->cpu;
	return 0;
}

enum soft_verdict soft_fail(struct soft_cpu *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->fail_text, sizeof c->fail_text, format, ap);
	va_end(ap);
	c->failed = true;
	return SOFT_LEAVE;
}

uint64_t soft_tsc(struct soft_cpu *c)
{
	const struct clock *clock = &c->cpu.vm->clock;

	return clock_now(clock) - clock->start_ns + (uint64_t)c->tsc_offset;
}

/* True: there is a reason to leave run(). */
static bool must_leave(const struct soft_cpu *c)
{
	return c->failed || vm_must_leave(c->cpu.vm);
}

/* HLT: sleeps until an interrupt can be taken, or a kick says to look whether to leave. */
static void sleep_halted(struct soft_cpu *c)
{
	uint64_t n;

	atomic_store(&c->sleeping, true);
	/* whoever kicks from here on writes to wake_fd, or has set what is looked at now */
	if (!atomic_load(&c->kicked) && !soft_interruptible(c) && !must_leave(c)) {
		while (read(c->wake_fd, &n, sizeof n) < 0 && errno == EINTR)
			;
	}
	atomic_store(&c->sleeping, false);
}

static int soft_run(struct cpu *cpu, struct accel_err *err)
{
	struct soft_cpu *c = soft_of(cpu);

	for (;;) {
		atomic_store(&c->kicked, false);
		if (must_leave(c))
			break;
		if (soft_interruptible(c)) {
			int vector = vm_intr_ack(cpu->vm);

			if (vector >= 0) {
				c->halted = false;
				soft_deliver(c, (unsigned)vector & 0xff, SOFT_EXTERNAL, false, 0);
				continue;
			}
		}
		if (c->halted)
			sleep_halted(c);
		else
			x86emu_run(c->emu, 0);
	}
	if (!c->failed)
		return 0;
	snprintf(err->text, sizeof err->text, "%s", c->fail_text);
	return -ENOTSUP;
}

static void soft_kick(struct cpu *cpu)
{
	struct soft_cpu *c = soft_of(cpu);
	uint64_t one = 1;

	atomic_store(&c->kicked, true);
	if (atomic_load(&c->sleeping) && write(c->wake_fd, &one, sizeof one) < 0)
		return; /* the counter is full: it is readable, which is all that is wanted */
}

static struct cpu_seg seg_out(const sel_t *s)
{
	return (struct cpu_seg){.selector = s->sel, .base = s->base, .limit = s->limit, .attr = s->acc};
}

static sel_t seg_in(const struct cpu_seg *s)
{
	return (sel_t){.sel = s->selector, .base = (u32)s->base, .limit = s->limit, .acc = s->attr};
}

static int soft_get_regs(struct cpu *cpu, struct cpu_regs *regs)
{
	const x86emu_regs_t *x = &soft_of(cpu)->emu->x86;

	*regs = (struct cpu_regs){
		.gpr = {x->R_EAX, x->R_ECX, x->R_EDX, x->R_EBX, x->R_ESP, x->R_EBP, x->R_ESI, x->R_EDI},
		.rip = x->R_EIP,
		.rflags = x->R_EFLG | F_ALWAYS_ON,
		.es = seg_out(x->R_ES_SEL),
		.cs = seg_out(x->R_CS_SEL),
		.ss = seg_out(x->R_SS_SEL),
		.ds = seg_out(x->R_DS_SEL),
		.fs = seg_out(x->R_FS_SEL),
		.gs = seg_out(x->R_GS_SEL),
		.ldt = seg_out(&x->ldt),
		.tr = seg_out(&x->tr),
		.gdt = {.base = x->R_GDT_BASE, .limit = (uint16_t)x->R_GDT_LIMIT},
		.idt = {.base = x->R_IDT_BASE, .limit = (uint16_t)x->R_IDT_LIMIT},
		.cr0 = x->R_CR0,
		.cr2 = x->R_CR2,
		.cr3 = x->R_CR3,
		.cr4 = x->R_CR4,
	};
	return 0;
}

/* -ENOTSUP for a state that has paging or long mode on. */
static int soft_set_regs(struct cpu *cpu, const struct cpu_regs *regs)
{
	struct soft_cpu *c = soft_of(cpu);
	x86emu_regs_t *x = &c->emu->x86;

	if (regs->cr0 >> 31 & 1 || regs->efer)
		return -ENOTSUP;
	memset(x->crx, 0, sizeof x->crx);
	memset(x->drx, 0, sizeof x->drx);
	memset(&x->sse, 0, sizeof x->sse);
	x->intr_type = 0;
	x->R_EAX = (u32)regs->gpr[CPU_RAX];
	x->R_ECX = (u32)regs->gpr[CPU_RCX];
	x->R_EDX = (u32)regs->gpr[CPU_RDX];
	x->R_EBX = (u32)regs->gpr[CPU_RBX];
	x->R_ESP = (u32)regs->gpr[CPU_RSP];
	x->R_EBP = (u32)regs->gpr[CPU_RBP];
	x->R_ESI = (u32)regs->gpr[CPU_RSI];
	x->R_EDI = (u32)regs->gpr[CPU_RDI];
	x->R_EIP = (u32)regs->rip;
	x->R_EFLG = (u32)regs->rflags | F_ALWAYS_ON;
	x->seg[R_ES_INDEX] = seg_in(&regs->es);
	x->seg[R_CS_INDEX] = seg_in(&regs->cs);
	x->seg[R_SS_INDEX] = seg_in(&regs->ss);
	x->seg[R_DS_INDEX] = seg_in(&regs->ds);
	x->seg[R_FS_INDEX] = seg_in(&regs->fs);
	x->seg[R_GS_INDEX] = seg_in(&regs->gs);
	x->ldt = seg_in(&regs->ldt);
	x->tr = seg_in(&regs->tr);
	x->R_GDT_BASE = (u32)regs->gdt.base;
	x->R_GDT_LIMIT = regs->gdt.limit;
	x->R_IDT_BASE = (u32)regs->idt.base;
	x->R_IDT_LIMIT = regs->idt.limit;
	x->R_CR0 = (u32)regs->cr0;
	x->R_CR2 = (u32)regs->cr2;
	x->R_CR3 = (u32)regs->cr3;
	x->R_CR4 = (u32)regs->cr4;
	c->halted = false;
	c->shadow = false;
	c->failed = false;
	return 0;
}

const struct cpu_ops cpu_soft_ops = {
	.name = "soft",
	.setup = soft_setup,
	.teardown = soft_teardown,
	.create = soft_create,
	.destroy = soft_destroy,
	.run = soft_run,
	.kick = soft_kick,
	.get_regs = soft_get_regs,
	.set_regs = soft_set_regs,
};
