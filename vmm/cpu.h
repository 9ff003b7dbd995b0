/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu.h: who executes guest code. All that the VM sees of a CPU backend.
 *
 * One thread per vCPU calls run(). Accesses go to bus_io(&vm->bus, req); interrupts from the
 * userspace PIC are asked for with vm_intr_pending() and taken with vm_intr_ack().
 */
#ifndef VMM_CPU_H
#define VMM_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h" /* struct accel_err */

struct vm;
struct cpu;

struct cpu_seg {
	uint16_t selector;
	uint64_t base;
	uint32_t limit; /* bytes - 1, granularity applied */
	uint16_t attr;	/* descriptor bits 40-47 in 0-7, 52-55 in 8-11: type, S, DPL, P, AVL, L, D/B, G */
};

enum { CPU_RAX, CPU_RCX, CPU_RDX, CPU_RBX, CPU_RSP, CPU_RBP, CPU_RSI, CPU_RDI }; /* index in gpr, then r8..r15 */

struct cpu_regs {
	uint64_t gpr[16];
	uint64_t rip, rflags;
	struct cpu_seg es, cs, ss, ds, fs, gs, ldt, tr;
	struct {
		uint64_t base;
		uint16_t limit;
	} gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, efer;
};

/* Power-on state of an x86 CPU: real mode at 0xfffffff0 ([SDM3] Processor State After Reset). */
extern const struct cpu_regs cpu_regs_reset;

struct cpu_ops {
	const char *name; /* "kvm", "soft", "script" */
	bool has_paging;  /* and long mode */
	/*
	 * VM-wide set-up and teardown around the vCPUs. 0 or -errno with a line in err that says
	 * what to do. setup fills vm->backend.
	 */
	int (*setup)(struct vm *vm, struct accel_err *err);
	void (*teardown)(struct vm *vm);
	int (*create)(struct vm *vm, unsigned index, struct cpu **out, struct accel_err *err);
	void (*destroy)(struct cpu *cpu);
	/*
	 * Executes until vm_must_leave(vm) (returns 0) or the backend itself failed (-errno, a line
	 * in err; the VM then ends with status 6). vCPU 0 starts with its registers as set; others
	 * wait for INIT/SIPI. May be called again: the guest goes on.
	 */
	int (*run)(struct cpu *cpu, struct accel_err *err);
	/* Makes run() look at vm_must_leave() and pending interrupts soon. Any thread, async-signal-safe. */
	void (*kick)(struct cpu *cpu);
	int (*get_regs)(struct cpu *cpu, struct cpu_regs *regs);
	int (*set_regs)(struct cpu *cpu, const struct cpu_regs *regs);
	/*
	 * Optional: the kernel tier, into vm->tier, when the machine stands and before run(). -ENOTSUP with the reason, as
	 * part of a sentence, when there is none.
	 */
	int (*start_tier)(struct vm *vm, struct accel_err *err);
	/*
	 * Optional: keep the time that the vCPU itself knows (time stamp counter, local APIC) from
	 * pause to resume. The vCPU is not in run(); a reset in between is not undone by resume.
	 */
	void (*pause)(struct cpu *cpu);
	void (*resume)(struct cpu *cpu);
	/*
	 * Optional: what the guest loads from gpa on (whole pages) comes from `host`, and its writes exit; host NULL: every
	 * access exits again. On return no vCPU sees what was there before. `index` is below PAGE_TIER_MAX. 0 or -errno.
	 */
	int (*show_page)(struct vm *vm, unsigned index, uint64_t gpa, void *host, uint64_t bytes);
	/* Optional: cpus other than 0 back to wait-for-SIPI, local APIC to power-on state. */
	int (*reset)(struct cpu *cpu);
};

/* Common head of every backend's struct. */
struct cpu {
	const struct cpu_ops *ops;
	struct vm *vm;
	unsigned index;
	uint64_t exits;	 /* from the guest to hotreg, see below */
	_Atomic int tid; /* of its thread; 0: none yet */
};

/* By the vCPU's own thread. */
static inline void cpu_count_exit(struct cpu *cpu)
{
	__atomic_store_n(&cpu->exits, __atomic_load_n(&cpu->exits, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* By any. */
static inline uint64_t cpu_exits(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->exits, __ATOMIC_RELAXED);
}

extern const struct cpu_ops cpu_kvm_ops;
extern const struct cpu_ops cpu_soft_ops;
extern const struct cpu_ops cpu_script_ops;

/*
 * What `hotreg doctor` and --cpu auto find out about KVM by running it: each field is 0 (works),
 * or -errno / 1 for "tried and failed", with a reason. In a child process that cannot hang.
 */
struct kvm_probe {
	int open_error; /* 0 or -errno of /dev/kvm */
	int api_version;
	bool split_irqchip, irqchip, readonly_mem, coalesced_pio, coalesced_mmio, immediate_exit;
	/* ran and gave the right answer; cpuid: the guest sees what was set and no more */
	bool real_mode, flat32, int_n32, paging32, long_mode, cpuid;
	char reason[6][96]; /* why not, for the six above, "" when it works */
	uint64_t exit_ns;   /* one PIO exit to userspace, median */
	double insn_ns;	    /* one simple guest instruction */
};

/* Everything, with the timings: for doctor. About a tenth of a second; hangs nowhere. */
void kvm_probe(struct kvm_probe *out);
/* The cpuid test alone, 5 ms: does this KVM hide what a CPU model has not? Call it before any thread is started. */
bool kvm_probe_cpuid(void);
/* real_mode, flat32 and int_n32 only, nothing timed: for --cpu auto at each start, 10 ms. */
void kvm_probe_quick(struct kvm_probe *out);

#endif
