// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_probe.c: whether a guest can be shown a read-only page on this host: its loads of 4 and 8 bytes must be whole while
 * the host stores 8, and each write, of every width, locked or not, must leave the guest as a write and change nothing.
 *
 * KVM's emulator copies bytewise on some kernels, and on a paravirtual host everything is emulated, so this is tried and
 * not looked up. The guest is a few instructions in long mode.
 *
 * The VM's other threads may run while the child is made, so it takes no lock and no memory from malloc(), and who stores
 * is a process as well.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/kvm_probe_int.h"
#include "vmm/kvm_state.h"
#include "vmm/page_host.h"

#define RAM_BYTES 0x10000u
#define CODE_GPA 0x1000u
#define PML4_GPA 0x2000u
#define PDPT_GPA 0x3000u
#define PD_GPA 0x4000u
#define PT_GPA 0x5000u
#define TARGET_GPA 0x6000u
#define PAGE_GPA 0x100000u
#define PAGE_BYTES 4096u
#define PTE_FLAGS 0x3u
#define TSS_GPA 0xfeffd000u
#define MAX_CPUID 256

#define LOADS 1024u	  /* between two exits; the assembly has it too */
#define TEST_NS 40000000u /* at least */
#define LIMIT_NS 1000000000u
/* Loads that give another value than the one before: without them nothing has been tried. Fewer among very many. */
#define CHANGES 2000
#define MANY_LOADS (1u << 22)
#define MANY_CHANGES 20
#define WORTH 4 /* times that a load must be cheaper than an exit */
#define TIMED_EXITS 101

extern const uint8_t page_guest[], page_guest_end[];
extern const uint8_t page_guest_load8[], page_guest_load4[], page_guest_exits[], page_guest_writes[];

/*
 * Loads for ever. rbx is the page. A load is whole when all its bytes are equal: as it was, turned by one. edx, which goes to a
 * port, counts those that are another than the last, and in its upper half those that are torn.
 */
__asm__(".pushsection .rodata\n"
	"	.macro page_guest_loads bytes, from, value, turned\n"
	"page_guest_load\\bytes:\n"
	"	xorl %edx, %edx\n"
	"	movl $1024, %ecx\n"
	"1:	mov \\from, \\value\n"
	"	mov \\value, \\turned\n"
	"	rol $8, \\turned\n"
	"	cmp \\value, \\turned\n"
	"	je 2f\n"
	"	addl $0x10000, %edx\n"
	"2:	cmpq %rax, %rdi\n" /* the last one */
	"	je 3f\n"
	"	incl %edx\n"
	"3:	movq %rax, %rdi\n"
	"	decl %ecx\n"
	"	jnz 1b\n"
	"	movl %edx, %eax\n"
	"	movw $0x510, %dx\n"
	"	outl %eax, %dx\n"
	"	jmp page_guest_load\\bytes\n"
	"	.endm\n"
	"	.balign 16\n"
	"page_guest:\n" /* real mode, every segment 0, at CODE_GPA; where it is to go in long mode is at TARGET_GPA */
	"	.code16\n"
	"	cli\n"
	"	lgdtl (page_gdt_ptr - page_guest + 0x1000)\n"
	"	movl %cr0, %eax\n"
	"	orl $1, %eax\n"
	"	movl %eax, %cr0\n"
	"	ljmpl $0x08, $(page_guest32 - page_guest + 0x1000)\n"
	"	.code32\n"
	"page_guest32:\n"
	"	movw $0x10, %ax\n"
	"	movw %ax, %ds\n"
	"	movw %ax, %es\n"
	"	movw %ax, %ss\n"
	"	movl $0x2000, %eax\n"
	"	movl %eax, %cr3\n"
	"	movl %cr4, %eax\n"
	"	orl $0x20, %eax\n" /* PAE */
	"	movl %eax, %cr4\n"
	"	movl $0xc0000080, %ecx\n" /* EFER.LME */
	"	rdmsr\n"
	"	orl $0x100, %eax\n"
	"	wrmsr\n"
	"	movl %cr0, %eax\n"
	"	orl $0x80000000, %eax\n"
	"	movl %eax, %cr0\n"
	"	ljmpl $0x18, $(page_guest64 - page_guest + 0x1000)\n"
	"	.balign 8\n"
	"page_gdt:\n"
	"	.quad 0\n"
	"	.quad 0x00cf9b000000ffff\n" /* 0x08: 32-bit code */
	"	.quad 0x00cf93000000ffff\n" /* 0x10: data */
	"	.quad 0x00af9b000000ffff\n" /* 0x18: 64-bit code */
	"page_gdt_ptr:\n"
	"	.word 4 * 8 - 1\n"
	"	.long page_gdt - page_guest + 0x1000\n"
	"	.code64\n"
	"page_guest64:\n"
	"	movl $0x100000, %ebx\n"
	"	movl 0x6000, %eax\n"
	"	jmpq *%rax\n"
	"	page_guest_loads 8, (%rbx), %rax, %rsi\n"
	"	page_guest_loads 4, 4(%rbx), %eax, %esi\n"
	"page_guest_exits:\n"
	"1:	movl %eax, 0x800(%rbx)\n"
	"	jmp 1b\n"
	"page_guest_writes:\n"
	"	movb $0x11, 0x10(%rbx)\n"
	"	movw $0x2222, 0x20(%rbx)\n"
	"	movl $0x33333333, 0x30(%rbx)\n"
	"	movabsq $0x4444444455555555, %rax\n"
	"	movq %rax, 0x40(%rbx)\n"
	"	lock incl 0x50(%rbx)\n"
	"	movl $2, %eax\n"
	"	lock xaddl %eax, 0x58(%rbx)\n"
	"	movl $0x0b, %eax\n"
	"	xchgl %eax, 0x60(%rbx)\n"
	"	movl $0x0c, %eax\n"
	"	movl $0x0d, %ecx\n"
	"	lock cmpxchgl %ecx, 0x68(%rbx)\n"
	"	lock addq $1, 0x70(%rbx)\n"
	"	movw $0x510, %dx\n"
	"	movl $0, %eax\n"
	"	outl %eax, %dx\n"
	"	hlt\n"
	"page_guest_end:\n"
	"	.popsection\n");

static const struct {
	const char *name;
	uint32_t at, bytes;
	uint64_t before, written;
} writes[] = {
	{"a 1-byte write", 0x10, 1, 0xff, 0x11},
	{"a 2-byte write", 0x20, 2, 0xffff, 0x2222},
	{"a 4-byte write", 0x30, 4, 0xffffffff, 0x33333333},
	{"an 8-byte write", 0x40, 8, ~0ull, 0x4444444455555555},
	{"a lock inc", 0x50, 4, 5, 6},
	{"a lock xadd", 0x58, 4, 7, 9},
	{"an xchg", 0x60, 4, 0x0a, 0x0b},
	{"a lock cmpxchg", 0x68, 4, 0x0c, 0x0d},
	{"an 8-byte lock add", 0x70, 8, 0xffffffff, 0x100000000},
};
#define WRITES (sizeof(writes) / sizeof(writes[0]))

/* In the child; nothing is given back. */
struct rig {
	struct page_probe *out;
	int kvm_fd, vm_fd, vcpu_fd;
	uint8_t *ram, *page;
	struct kvm_run *run;
};

static bool fail(struct rig *rig, const char *what)
{
	snprintf(rig->out->reason, sizeof(rig->out->reason), "%s", what);
	return false;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void put64(uint8_t *at, uint64_t v)
{
	memcpy(at, &v, sizeof(v));
}

static bool add_slot(
	const struct rig *rig, uint32_t slot, uint64_t gpa, const uint8_t *host, uint64_t bytes, uint32_t flags)
{
	struct kvm_userspace_memory_region m = {.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uint64_t)(uintptr_t)host};

	return ioctl(rig->vm_fd, KVM_SET_USER_MEMORY_REGION, &m) == 0;
}

static bool set_cpuid(const struct rig *rig)
{
	static const size_t bytes = sizeof(struct kvm_cpuid2) + MAX_CPUID * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *cpuid = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cpuid == MAP_FAILED)
		return false;
	cpuid->nent = MAX_CPUID;
	return ioctl(rig->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0 &&
	       ioctl(rig->vcpu_fd, KVM_SET_CPUID2, cpuid) == 0;
}

static bool set_regs(const struct rig *rig, const uint8_t *guest)
{
	struct cpu_regs regs = cpu_regs_reset;

	put64(rig->ram + TARGET_GPA, CODE_GPA + (uint64_t)(guest - page_guest));
	regs.cs.selector = 0;
	regs.cs.base = 0;
	regs.rip = CODE_GPA;
	return kvm_set_regs(rig->vcpu_fd, &regs) == 0;
}

static bool rig_init(struct rig *rig)
{
	struct accel_err err;
	int run_bytes;

	rig->kvm_fd = kvm_open(&err);
	if (rig->kvm_fd < 0)
		return fail(rig, "/dev/kvm does not open");
	if (ioctl(rig->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) <= 0)
		return fail(rig, "this host's KVM has no read-only memory");
	rig->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	rig->page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	rig->vm_fd = ioctl(rig->kvm_fd, KVM_CREATE_VM, 0);
	run_bytes = ioctl(rig->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (rig->ram == MAP_FAILED || rig->page == MAP_FAILED || rig->vm_fd < 0 || run_bytes <= 0)
		return fail(rig, "cannot make a VM");
	ioctl(rig->vm_fd, KVM_SET_TSS_ADDR, TSS_GPA); /* only old Intel CPUs need it */
	memcpy(rig->ram + CODE_GPA, page_guest, (size_t)(page_guest_end - page_guest));
	put64(rig->ram + PML4_GPA, PDPT_GPA | PTE_FLAGS);
	put64(rig->ram + PDPT_GPA, PD_GPA | PTE_FLAGS);
	put64(rig->ram + PD_GPA, PT_GPA | PTE_FLAGS);
	for (uint64_t i = 0; i < 512; i++)
		put64(rig->ram + PT_GPA + i * 8, i << 12 | PTE_FLAGS);
	memset(rig->page, 0xff, PAGE_BYTES);
	if (!add_slot(rig, 0, 0, rig->ram, RAM_BYTES, 0) ||
		!add_slot(rig, 1, PAGE_GPA, rig->page, PAGE_BYTES, KVM_MEM_READONLY))
		return fail(rig, "KVM refuses a read-only page");
	rig->vcpu_fd = ioctl(rig->vm_fd, KVM_CREATE_VCPU, 0);
	if (rig->vcpu_fd < 0)
		return fail(rig, "cannot make a vCPU");
	rig->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, rig->vcpu_fd, 0);
	if (rig->run == MAP_FAILED || !set_cpuid(rig))
		return fail(rig, "cannot set up a vCPU");
	return true;
}

static bool run(struct rig *rig)
{
	while (ioctl(rig->vcpu_fd, KVM_RUN, 0) < 0) {
		if (errno != EINTR)
			return fail(rig, "the test guest does not run (it needs long mode)");
	}
	return true;
}

/* To the guest's next port write, which is its answer. */
static bool run_to_answer(struct rig *rig, uint32_t *answer)
{
	const struct kvm_run *r = rig->run;

	if (!run(rig))
		return false;
	if (r->exit_reason == KVM_EXIT_IO && r->io.direction == KVM_EXIT_IO_OUT && r->io.size == 4) {
		memcpy(answer, (const uint8_t *)r + r->io.data_offset, sizeof(*answer));
		return true;
	}
	return fail(rig, r->exit_reason == KVM_EXIT_MMIO ? "a load from a read-only page exits"
							 : "the test guest does not run (it needs long mode)");
}

/* Whole stores of 8 equal bytes, one value after the other, for ever. */
static void store_on(struct rig *rig, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0); /* it was killed before */
	for (uint64_t byte = 0;; byte = (byte + 0x5b) & 0xff)
		__atomic_store_n((uint64_t *)rig->page, byte * 0x0101010101010101ull, __ATOMIC_RELEASE);
}

static bool is_enough(uint64_t loads, uint64_t changes)
{
	return changes >= CHANGES || (loads >= MANY_LOADS && changes >= MANY_CHANGES);
}

static bool test_loads(struct rig *rig, const uint8_t *guest, const char *torn)
{
	const uint64_t start_ns = now_ns();
	uint64_t loads = 0, changes = 0, torn_loads = 0, end_ns;
	uint32_t answer = 0;
	bool works = set_regs(rig, guest);
	const pid_t parent = getpid();
	const pid_t pid = works ? fork() : -1;

	if (pid == 0)
		store_on(rig, parent);
	if (pid < 0)
		return fail(rig, "cannot start the test");
	do {
		works = run_to_answer(rig, &answer);
		loads += LOADS;
		changes += answer & 0xffff;
		torn_loads += answer >> 16;
		end_ns = now_ns();
	} while (works && !torn_loads && end_ns - start_ns < (is_enough(loads, changes) ? TEST_NS : LIMIT_NS));
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	rig->out->loads += loads;
	rig->out->load_ns = (end_ns - start_ns) / loads;
	if (works && torn_loads)
		return fail(rig, torn);
	if (works && !is_enough(loads, changes))
		return fail(rig, "too few loads met a store to say that they do not tear; try again on a quieter host");
	return works;
}

static bool test_writes(struct rig *rig)
{
	const struct kvm_run *r = rig->run;
	char text[64];
	uint32_t answer;
	uint64_t there;

	memset(rig->page, 0xff, PAGE_BYTES);
	for (unsigned i = 0; i < WRITES; i++)
		memcpy(rig->page + writes[i].at, &writes[i].before, writes[i].bytes);
	if (!set_regs(rig, page_guest_writes))
		return fail(rig, "cannot start the test");
	for (unsigned i = 0; i < WRITES; i++) {
		snprintf(text, sizeof(text), "%s does not leave the guest as a write", writes[i].name);
		if (!run(rig))
			return false;
		if (r->exit_reason != KVM_EXIT_MMIO || !r->mmio.is_write ||
			r->mmio.phys_addr != PAGE_GPA + writes[i].at || r->mmio.len != writes[i].bytes ||
			memcmp(r->mmio.data, &writes[i].written, writes[i].bytes) != 0)
			return fail(rig, text);
	}
	if (!run_to_answer(rig, &answer))
		return false;
	for (unsigned i = 0; i < WRITES; i++) {
		there = 0;
		memcpy(&there, rig->page + writes[i].at, writes[i].bytes);
		if (there != writes[i].before)
			return fail(rig, "a write to a read-only page changes it");
	}
	return true;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool time_exits(struct rig *rig)
{
	uint64_t ns[TIMED_EXITS];

	if (!set_regs(rig, page_guest_exits) || !run(rig))
		return fail(rig, "cannot start the test");
	for (unsigned i = 0; i < TIMED_EXITS; i++) {
		uint64_t start_ns = now_ns();

		if (!run(rig) || rig->run->exit_reason != KVM_EXIT_MMIO)
			return fail(rig, "a 4-byte write does not leave the guest as a write");
		ns[i] = now_ns() - start_ns;
	}
	qsort(ns, TIMED_EXITS, sizeof(ns[0]), compare_u64);
	rig->out->exit_ns = ns[TIMED_EXITS / 2];
	return true;
}

static bool is_worth_it(struct rig *rig)
{
	if (rig->out->load_ns * WORTH < rig->out->exit_ns)
		return true;
	snprintf(rig->out->reason, sizeof(rig->out->reason),
		"a load from a read-only page takes %llu ns here, an exit %llu", (unsigned long long)rig->out->load_ns,
		(unsigned long long)rig->out->exit_ns);
	return false;
}

static bool try_exits(struct rig *rig)
{
	return rig_init(rig) && test_writes(rig) && time_exits(rig);
}

static void child_exits(void *opaque)
{
	struct page_probe *out = opaque;
	struct rig rig = {.out = out};

	out->works = try_exits(&rig);
}

static void child(void *opaque)
{
	struct page_probe *out = opaque;
	struct rig rig = {.out = out};

	out->works = try_exits(&rig) && test_loads(&rig, page_guest_load4, "4-byte loads from a read-only page tear") &&
		     test_loads(&rig, page_guest_load8, "8-byte loads from a read-only page tear") && is_worth_it(&rig);
}

static void probe(struct page_probe *out, void (*fn)(void *opaque), int cancel_fd)
{
	struct page_probe *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*out = (struct page_probe){.reason = "no memory for the test"};
	if (shared == MAP_FAILED)
		return;
	if (!kvm_probe_in_child(fn, shared, cancel_fd, shared->reason, sizeof(shared->reason)))
		shared->works = false;
	*out = *shared;
	if (out->works)
		out->reason[0] = '\0';
	munmap(shared, sizeof(*shared));
}

void page_probe_run(struct page_probe *out, int cancel_fd)
{
	probe(out, child, cancel_fd);
}

void page_probe_exits(struct page_probe *out, int cancel_fd)
{
	probe(out, child_exits, cancel_fd);
}
