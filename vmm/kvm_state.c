// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_state.c: opening /dev/kvm, and registers, power-on state and failure reports of KVM vCPUs.
 *
 * The power-on state is read from KVM itself while the vCPU is new, and written back on a system
 * reset, so no table of reset values can be wrong; the TSC alone goes on counting.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/kvm_state.h"
#include "vmm/text.h"

#define MSR_IA32_TSC 0x10
#define MSR_IA32_TSC_ADJUST 0x3b
#define LAPIC_IRR 0x200
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_CURRENT_COUNT 0x390
#define MSR_IA32_TSC_DEADLINE 0x6e0
#define CR0_PE 0x1u
#define CR0_TS 0x8u
#define EFER_LMA 0x400u

int kvm_open(struct accel_err *err)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return err_fail(err, -errno,
			"no permission for /dev/kvm: join its group (as root: usermod -aG kvm USER, then log in "
			"again), or use "
			"--cpu soft");
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_fail(err, -errno,
			"no KVM here (/dev/kvm: %s): turn on virtualisation in the firmware or the outer VM and load "
			"kvm_intel "
			"or kvm_amd, or use --cpu soft",
			strerror(errno));
	if (fd < 0)
		return err_fail(err, -errno, "cannot open /dev/kvm: %s; use --cpu soft", strerror(errno));
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		close(fd);
		return err_fail(err, -ENOTSUP, "/dev/kvm speaks API version %d, hotreg %d; use --cpu soft", version,
			KVM_API_VERSION);
	}
	return fd;
}

/* ---- registers ------------------------------------------------------------------------------ */

static struct cpu_seg seg_from_kvm(const struct kvm_segment *s)
{
	return (struct cpu_seg){
		.selector = s->selector,
		.base = s->base,
		.limit = s->limit,
		.attr = (uint16_t)(s->type | s->s << 4 | s->dpl << 5 | (s->unusable ? 0 : s->present) << 7 |
				   s->avl << 8 | s->l << 9 | s->db << 10 | s->g << 11),
	};
}

static struct kvm_segment seg_to_kvm(const struct cpu_seg *s)
{
	bool present = s->attr & 0x80;

	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & 0xf,
		.s = s->attr >> 4 & 1,
		.dpl = s->attr >> 5 & 3,
		.present = present,
		.avl = s->attr >> 8 & 1,
		.l = s->attr >> 9 & 1,
		.db = s->attr >> 10 & 1,
		.g = s->attr >> 11 & 1,
		.unusable = !present,
	};
}

int kvm_get_regs(int vcpu_fd, struct cpu_regs *regs)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_REGS, &r) < 0 || ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	*regs = (struct cpu_regs){
		.gpr = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13,
			r.r14, r.r15},
		.rip = r.rip,
		.rflags = r.rflags,
		.es = seg_from_kvm(&s.es),
		.cs = seg_from_kvm(&s.cs),
		.ss = seg_from_kvm(&s.ss),
		.ds = seg_from_kvm(&s.ds),
		.fs = seg_from_kvm(&s.fs),
		.gs = seg_from_kvm(&s.gs),
		.ldt = seg_from_kvm(&s.ldt),
		.tr = seg_from_kvm(&s.tr),
		.gdt = {.base = s.gdt.base, .limit = s.gdt.limit},
		.idt = {.base = s.idt.base, .limit = s.idt.limit},
		.cr0 = s.cr0,
		.cr2 = s.cr2,
		.cr3 = s.cr3,
		.cr4 = s.cr4,
		.efer = s.efer,
	};
	return 0;
}

int kvm_set_regs(int vcpu_fd, const struct cpu_regs *regs)
{
	const uint64_t *g = regs->gpr;
	struct kvm_regs r = {
		.rax = g[CPU_RAX],
		.rcx = g[CPU_RCX],
		.rdx = g[CPU_RDX],
		.rbx = g[CPU_RBX],
		.rsp = g[CPU_RSP],
		.rbp = g[CPU_RBP],
		.rsi = g[CPU_RSI],
		.rdi = g[CPU_RDI],
		.r8 = g[8],
		.r9 = g[9],
		.r10 = g[10],
		.r11 = g[11],
		.r12 = g[12],
		.r13 = g[13],
		.r14 = g[14],
		.r15 = g[15],
		.rip = regs->rip,
		.rflags = regs->rflags,
	};
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0) /* for apic_base, which stays */
		return -errno;
	s.es = seg_to_kvm(&regs->es);
	s.cs = seg_to_kvm(&regs->cs);
	s.ss = seg_to_kvm(&regs->ss);
	s.ds = seg_to_kvm(&regs->ds);
	s.fs = seg_to_kvm(&regs->fs);
	s.gs = seg_to_kvm(&regs->gs);
	s.ldt = seg_to_kvm(&regs->ldt);
	s.tr = seg_to_kvm(&regs->tr);
	s.gdt = (struct kvm_dtable){.base = regs->gdt.base, .limit = regs->gdt.limit};
	s.idt = (struct kvm_dtable){.base = regs->idt.base, .limit = regs->idt.limit};
	s.cr0 = regs->cr0;
	s.cr2 = regs->cr2;
	s.cr3 = regs->cr3;
	s.cr4 = regs->cr4;
	s.efer = regs->efer;
	memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &r) < 0)
		return -errno;
	return 0;
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

static void msr_set(int vcpu_fd, uint32_t index, uint64_t value)
{
	struct one_msr one;

	memset(&one, 0, sizeof(one));
	one.head.nmsrs = 1;
	one.entry.index = index;
	one.entry.data = value;
	(void)ioctl(vcpu_fd, KVM_SET_MSRS, &one);
}

/* ---- power-on state ------------------------------------------------------------------------- */

/* Fills *out with every MSR that KVM would migrate, but for the TSC. */
static int msrs_save(int kvm_fd, int vcpu_fd, struct kvm_msrs **out)
{
	struct kvm_msr_list count = {0}, *list = NULL;
	struct kvm_msrs *msrs = NULL;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one;
	int rc = -ENOMEM;

	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &count) < 0 && errno != E2BIG)
		return -errno;
	list = calloc(1, sizeof(*list) + count.nmsrs * sizeof(list->indices[0]));
	msrs = calloc(1, sizeof(*msrs) + count.nmsrs * sizeof(msrs->entries[0]));
	if (!list || !msrs)
		goto fail;
	list->nmsrs = count.nmsrs;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list) < 0) {
		rc = -errno;
		goto fail;
	}
	for (unsigned i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] == MSR_IA32_TSC || list->indices[i] == MSR_IA32_TSC_ADJUST)
			continue;
		memset(&one, 0, sizeof(one));
		one.head.nmsrs = 1;
		one.entry.index = list->indices[i];
		/* An MSR of a feature that the CPUID leaves out cannot be read: nor can the guest change it. */
		if (ioctl(vcpu_fd, KVM_GET_MSRS, &one) == 1)
			msrs->entries[msrs->nmsrs++] = one.entry;
	}
	free(list);
	*out = msrs;
	return 0;
fail:
	free(list);
	free(msrs);
	return rc;
}

int kvm_power_on_save(int kvm_fd, int vcpu_fd, bool has_lapic, struct kvm_power_on *out)
{
	memset(out, 0, sizeof(*out));
	if (ioctl(vcpu_fd, KVM_GET_REGS, &out->regs) < 0 || ioctl(vcpu_fd, KVM_GET_SREGS, &out->sregs) < 0 ||
		ioctl(vcpu_fd, KVM_GET_FPU, &out->fpu) < 0 || ioctl(vcpu_fd, KVM_GET_VCPU_EVENTS, &out->events) < 0)
		return -errno;
	out->has_debugregs = ioctl(vcpu_fd, KVM_GET_DEBUGREGS, &out->debugregs) == 0;
	out->has_xcrs = ioctl(vcpu_fd, KVM_GET_XCRS, &out->xcrs) == 0;
	out->has_xsave = ioctl(vcpu_fd, KVM_GET_XSAVE, &out->xsave) == 0;
	out->has_mp_state = ioctl(vcpu_fd, KVM_GET_MP_STATE, &out->mp_state) == 0;
	out->has_lapic = has_lapic;
	if (has_lapic && ioctl(vcpu_fd, KVM_GET_LAPIC, &out->lapic) < 0)
		return -errno;
	return msrs_save(kvm_fd, vcpu_fd, &out->msrs);
}

int kvm_lapic_list(int vcpu_fd, const struct kvm_power_on *state)
{
	return state->has_lapic && ioctl(vcpu_fd, KVM_SET_LAPIC, &state->lapic) < 0 ? -errno : 0;
}

static void msrs_restore(int vcpu_fd, const struct kvm_msrs *msrs)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one;

	/* One at a time: KVM stops at the first that it will not write, such as a read-only one. */
	for (unsigned i = 0; i < msrs->nmsrs; i++) {
		memset(&one, 0, sizeof(one));
		one.head.nmsrs = 1;
		one.entry = msrs->entries[i];
		(void)ioctl(vcpu_fd, KVM_SET_MSRS, &one);
	}
}

/*
 * RESET clears the TSC; KVM takes a 0 for a processor that starts and brings its TSC in line with the others'. So after a
 * triple fault, for which KVM on SVM forgets the offset that it gave the processor, the guest's TSC is again what
 * KVM's own timers go by: without this the APIC's deadline timer was late by as much as the host's TSC was ahead.
 */
static void tsc_restore(int vcpu_fd)
{
	msr_set(vcpu_fd, MSR_IA32_TSC_ADJUST, 0); /* a processor may have none */
	msr_set(vcpu_fd, MSR_IA32_TSC, 0);
}

int kvm_power_on_restore(int vcpu_fd, const struct kvm_power_on *state)
{
	struct kvm_vcpu_events events = state->events;
	struct kvm_sregs sregs = state->sregs;

	/*
	 * After a triple fault KVM on SVM clears the VMCB, the root of the nested page tables in it too, and sets
	 * that again only when the MMU is reset; a guest that had no paging would fault for ever. Any change of CR0
	 * resets the MMU, so there is one: TS on the way.
	 */
	sregs.cr0 ^= CR0_TS;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0)
		return -errno;
	/* System registers first: they hold the APIC's base, which KVM_SET_LAPIC and the MSRs rely on. */
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &state->sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &state->regs) < 0)
		return -errno;
	tsc_restore(vcpu_fd);
	msrs_restore(vcpu_fd, state->msrs);
	if (state->has_lapic && ioctl(vcpu_fd, KVM_SET_LAPIC, &state->lapic) < 0)
		return -errno;
	if (state->has_xcrs && ioctl(vcpu_fd, KVM_SET_XCRS, &state->xcrs) < 0)
		return -errno;
	if (state->has_xsave && ioctl(vcpu_fd, KVM_SET_XSAVE, &state->xsave) < 0)
		return -errno;
	if (!state->has_xsave && ioctl(vcpu_fd, KVM_SET_FPU, &state->fpu) < 0)
		return -errno;
	if (state->has_debugregs && ioctl(vcpu_fd, KVM_SET_DEBUGREGS, &state->debugregs) < 0)
		return -errno;
	/* The flags say which optional parts to write: pending NMIs, SMM and a remembered SIPI go too. */
	events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, &events) < 0)
		return -errno;
	if (state->has_mp_state && ioctl(vcpu_fd, KVM_SET_MP_STATE, &state->mp_state) < 0)
		return -errno;
	return 0;
}

void kvm_power_on_free(struct kvm_power_on *state)
{
	free(state->msrs);
	state->msrs = NULL;
}

/* ---- pause ----------------------------------------------------------------------------------- */

static bool msr_get(int vcpu_fd, uint32_t index, uint64_t *value)
{
	struct one_msr one;

	memset(&one, 0, sizeof(one));
	one.head.nmsrs = 1;
	one.entry.index = index;
	if (ioctl(vcpu_fd, KVM_GET_MSRS, &one) != 1)
		return false;
	*value = one.entry.data;
	return true;
}

void kvm_pause_save(int vcpu_fd, bool has_lapic, struct kvm_pause *out)
{
	memset(out, 0, sizeof(*out));
	out->has_tsc = msr_get(vcpu_fd, MSR_IA32_TSC, &out->tsc);
	out->has_lapic = has_lapic && ioctl(vcpu_fd, KVM_GET_LAPIC, &out->lapic) == 0;
	/* 0: the timer is in another mode, or not armed */
	out->has_deadline = has_lapic && msr_get(vcpu_fd, MSR_IA32_TSC_DEADLINE, &out->deadline) && out->deadline != 0;
}

/*
 * The local APIC's timer goes on where it stood, and has not fired meanwhile. The rest is as it is now: messages may have
 * come during the pause, which whoever sent them takes for delivered.
 */
static void lapic_timer_restore(int vcpu_fd, const struct kvm_lapic_state *then)
{
	struct kvm_lapic_state now;
	uint8_t vector = (uint8_t)then->regs[LAPIC_LVT_TIMER], bit = (uint8_t)(1u << vector % 8);
	unsigned at = LAPIC_IRR + vector / 32 * 0x10 + vector / 8 % 4;

	if (ioctl(vcpu_fd, KVM_GET_LAPIC, &now) < 0)
		return;
	now.regs[at] = (char)((now.regs[at] & ~bit) | (then->regs[at] & bit));
	memcpy(now.regs + LAPIC_CURRENT_COUNT, then->regs + LAPIC_CURRENT_COUNT, 4);
	(void)ioctl(vcpu_fd, KVM_SET_LAPIC, &now);
}

/* The counter first: the APIC's timer is armed anew by it. */
bool kvm_pause_restore(int vcpu_fd, const struct kvm_pause *state)
{
	uint64_t before = 0, after = 0;
	bool went_back = true;

	if (state->has_tsc && msr_get(vcpu_fd, MSR_IA32_TSC, &before)) {
		msr_set(vcpu_fd, MSR_IA32_TSC, state->tsc);
		went_back = msr_get(vcpu_fd, MSR_IA32_TSC, &after) && after < before;
	}
	if (state->has_lapic)
		lapic_timer_restore(vcpu_fd, &state->lapic);
	if (state->has_deadline)
		msr_set(vcpu_fd, MSR_IA32_TSC_DEADLINE, state->deadline);
	return went_back;
}

/* ---- why KVM gave up ------------------------------------------------------------------------ */

static const char *mode_name(const struct cpu_regs *r)
{
	if (!(r->cr0 & CR0_PE))
		return "real mode";
	if (r->efer & EFER_LMA)
		return r->cs.attr & 0x200 ? "64-bit mode" : "compatibility mode";
	return r->cs.attr & 0x400 ? "32-bit protected mode" : "16-bit protected mode";
}

/* The instruction bytes at CS:RIP, as far as they are in RAM; returns how many. */
static unsigned insn_bytes(
	int vcpu_fd, const struct cpu_regs *r, const struct guest_mem *mem, uint8_t *buf, unsigned max)
{
	struct kvm_translation tr = {.linear_address = r->cs.base + r->rip};
	unsigned n = 0;

	if (ioctl(vcpu_fd, KVM_TRANSLATE, &tr) < 0 || !tr.valid)
		return 0;
	while (n < max && mem_read(mem, tr.physical_address + n, buf + n, 1))
		n++;
	return n;
}

int kvm_explain(int vcpu_fd, const struct kvm_run *run, const struct guest_mem *mem, struct accel_err *err)
{
	char code[3 * 8 + 1] = "?";
	const char *hint = "";
	uint8_t bytes[8];
	struct cpu_regs r;
	unsigned n;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		return err_fail(err, -EIO,
			"KVM could not enter the guest (hardware reason 0x%llx); try --cpu soft, or see `hotreg "
			"doctor`",
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	if (kvm_get_regs(vcpu_fd, &r))
		return err_fail(err, -EIO, "KVM stopped (exit reason %u) and gives no registers", run->exit_reason);
	n = insn_bytes(vcpu_fd, &r, mem, bytes, sizeof(bytes));
	for (unsigned i = 0; i < n; i++)
		snprintf(code + 3 * i, sizeof(code) - 3 * i, "%02x ", bytes[i]);
	if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
		return err_fail(err, -EIO,
			"KVM stopped with exit reason %u, which hotreg does not know, at %04x:%llx (%s)",
			run->exit_reason, r.cs.selector, (unsigned long long)r.rip, mode_name(&r));
	if (n && bytes[0] == 0xcd && (r.cr0 & CR0_PE) && !(r.efer & EFER_LMA))
		hint = "; this host's KVM cannot do INT n in protected mode (see `hotreg doctor`): use --cpu soft";
	else if (r.cr0 & CR0_PE)
		hint = "; see `hotreg doctor` for what this host's KVM can do; --cpu soft runs 16- and 32-bit guests "
		       "without paging";
	return err_fail(err, -EIO, "KVM could not go on (internal error %u) at %04x:%llx in %s, code %s%s",
		run->internal.suberror, r.cs.selector, (unsigned long long)r.rip, mode_name(&r), code, hint);
}
