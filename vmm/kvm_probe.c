// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_probe.c: finds out what this host's KVM can really do, by doing it. See struct kvm_probe.
 *
 * Each self-test runs in a forked child with a time limit, since a KVM that is itself emulated
 * may hang or kill its user. The guests are a few instructions each, assembled into this file;
 * a guest works out a value and writes it to a port, and only that value counts as success.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

#include "vmm/kvm_cpuid.h"
#include "vmm/kvm_probe_int.h"
#include "vmm/kvm_state.h"

#define TEST_LIMIT_MS 3000
#define RAM_BYTES 0x20000u
#define TSS_GPA 0xfeffd000u
#define ANSWER 0x600dcafeu
#define TIMED_EXITS 101
#define TIMED_LOOPS 5
#define TIMED_COUNT 2000u
#define BUSY_COUNT 1000000u /* for a CPU on which TIMED_COUNT is too short to measure */
#define BUSY_BELOW_NS 100000u

/* Guest addresses; the assembly below uses the same numbers. */
#define CODE_GPA 0x1000u
#define COUNT_GPA 0xb000u
#define PD32_GPA 0x10000u
#define PT32_GPA 0x11000u
#define PML4_GPA 0x14000u
#define PDPT_GPA 0x15000u
#define PD64_GPA 0x16000u
#define PT64_GPA 0x17000u
#define REMAPPED_PAGE 0xau /* linear 0xa000 is physical 0x9000 under both page tables */
#define REMAPPED_TO 0x9u
#define PTE_FLAGS 0x3u /* present, writable */

/*
 * The guests, loaded whole at 0x1000. Each starts in real mode with every segment 0. Register
 * use: EAX holds the answer, DX the port.
 */
extern const uint8_t probe_code[], probe_end[];
extern const uint8_t probe_real[], probe_flat[], probe_int_n[], probe_paging[], probe_long[], probe_cpuid[],
	probe_timed[];

__asm__(".pushsection .rodata\n"
	"	.balign 16\n"
	"	.macro probe_enter_flat target\n" /* to 32-bit protected mode with flat segments */
	"	.code16\n"
	"	cli\n"
	"	lgdtl (probe_gdt_ptr - probe_code + 0x1000)\n"
	"	movl %cr0, %eax\n"
	"	orl $1, %eax\n"
	"	movl %eax, %cr0\n"
	"	ljmpl $0x08, $(\\target - probe_code + 0x1000)\n"
	"	.code32\n"
	"	.endm\n"
	"	.macro probe_flat_segments\n"
	"	movw $0x10, %ax\n"
	"	movw %ax, %ds\n"
	"	movw %ax, %es\n"
	"	movw %ax, %ss\n"
	"	movl $0x8000, %esp\n"
	"	.endm\n"
	"	.macro probe_answer\n"
	"	movw $0x510, %dx\n"
	"	outl %eax, %dx\n"
	"	hlt\n"
	"	.endm\n"

	"probe_code:\n"
	/* Real mode: a software interrupt through the vector table, and back. */
	"	.code16\n"
	"probe_real:\n"
	"	movw $0x8000, %sp\n"
	"	movw $(probe_real_handler - probe_code + 0x1000), 0x30 * 4\n"
	"	movw $0, 0x30 * 4 + 2\n"
	"	xorl %eax, %eax\n"
	"	int $0x30\n"
	"	orl $0x600d0000, %eax\n"
	"	probe_answer\n"
	"probe_real_handler:\n"
	"	movw $0xcafe, %ax\n"
	"	iret\n"

	/* 32-bit flat: a word pushed in two halves. */
	"probe_flat:\n"
	"	probe_enter_flat probe_flat32\n"
	"probe_flat32:\n"
	"	probe_flat_segments\n"
	"	movw $0x600d, 0x100000 - 0xf7ffe\n" /* 0x8002: more than 16 bits on the way */
	"	movw $0xcafe, 0x8000\n"
	"	movl 0x8000, %eax\n"
	"	probe_answer\n"

	/* INT n in protected mode, through an interrupt gate. */
	"probe_int_n:\n"
	"	probe_enter_flat probe_int_n32\n"
	"probe_int_n32:\n"
	"	probe_flat_segments\n"
	"	movl $(probe_int_handler - probe_code + 0x1000), %eax\n"
	"	movw %ax, 0xc000 + 0x30 * 8\n"
	"	movw $0x08, 0xc000 + 0x30 * 8 + 2\n"
	"	movw $0x8e00, 0xc000 + 0x30 * 8 + 4\n"
	"	movw $0, 0xc000 + 0x30 * 8 + 6\n"
	"	lidt (probe_idt_ptr - probe_code + 0x1000)\n"
	"	movl $0x600d0000, %eax\n"
	"	int $0x30\n"
	"	probe_answer\n"
	"probe_int_handler:\n"
	"	orl $0xcafe, %eax\n"
	"	iretl\n"

	/* 32-bit paging: written through the remapped page, read where it must have gone. */
	"probe_paging:\n"
	"	probe_enter_flat probe_paging32\n"
	"probe_paging32:\n"
	"	probe_flat_segments\n"
	"	movl $0x10000, %eax\n"
	"	movl %eax, %cr3\n"
	"	movl %cr0, %eax\n"
	"	orl $0x80000000, %eax\n"
	"	movl %eax, %cr0\n"
	"	jmp 1f\n"
	"1:	movl $0x600dcafe, 0xa010\n"
	"	movl 0x9010, %eax\n"
	"	probe_answer\n"

	/* Long mode: the same through four levels, by a 64-bit register. */
	"probe_long:\n"
	"	probe_enter_flat probe_long32\n"
	"probe_long32:\n"
	"	probe_flat_segments\n"
	"	movl %cr4, %eax\n"
	"	orl $0x20, %eax\n" /* PAE */
	"	movl %eax, %cr4\n"
	"	movl $0x14000, %eax\n"
	"	movl %eax, %cr3\n"
	"	movl $0xc0000080, %ecx\n" /* EFER.LME */
	"	rdmsr\n"
	"	orl $0x100, %eax\n"
	"	wrmsr\n"
	"	movl %cr0, %eax\n"
	"	orl $0x80000000, %eax\n"
	"	movl %eax, %cr0\n"
	"	ljmpl $0x18, $(probe_long64 - probe_code + 0x1000)\n"
	"	.code64\n"
	"probe_long64:\n"
	"	movabsq $0x600dcafe00000000, %rax\n"
	"	movq %rax, 0xa010\n"
	"	movl 0x9014, %eax\n"
	"	probe_answer\n"

	/* Leaf 1 of a 486 without VME: FPU, PSE and no other feature. */
	"	.code16\n"
	"probe_cpuid:\n"
	"	movl $1, %eax\n"
	"	cpuid\n"
	"	movl %edx, %eax\n"
	"	orl %ecx, %eax\n"
	"	xorl $0x600dcafe ^ 0x80000009, %eax\n" /* the hypervisor bit */
	"	probe_answer\n"

	/* Timing: counts down what the host left at 0xb000, exits, for ever. */
	"probe_timed:\n"
	"	probe_enter_flat probe_timed32\n"
	"probe_timed32:\n"
	"	probe_flat_segments\n"
	"	movw $0x510, %dx\n"
	"	movl $0x600dcafe, %eax\n"
	"1:	movl 0xb000, %ecx\n"
	"	jecxz 3f\n"
	"2:	decl %ecx\n"
	"	jnz 2b\n"
	"3:	outl %eax, %dx\n"
	"	jmp 1b\n"

	"	.balign 8\n"
	"probe_gdt:\n"
	"	.quad 0\n"
	"	.quad 0x00cf9b000000ffff\n" /* 0x08: 32-bit code */
	"	.quad 0x00cf93000000ffff\n" /* 0x10: data */
	"	.quad 0x00af9b000000ffff\n" /* 0x18: 64-bit code */
	"probe_gdt_ptr:\n"
	"	.word 4 * 8 - 1\n"
	"	.long probe_gdt - probe_code + 0x1000\n"
	"probe_idt_ptr:\n"
	"	.word 0x31 * 8 - 1\n"
	"	.long 0xc000\n"
	"probe_end:\n"
	"	.code64\n"
	"	.popsection\n");

struct probe_vm {
	int kvm_fd, vm_fd, vcpu_fd;
	uint8_t *ram;
	struct kvm_run *run;
};

static void put32(uint8_t *ram, uint32_t gpa, uint32_t v)
{
	memcpy(ram + gpa, &v, sizeof(v));
}

static void put64(uint8_t *ram, uint32_t gpa, uint64_t v)
{
	memcpy(ram + gpa, &v, sizeof(v));
}

/* Both page tables map all of RAM to itself, but for one page. */
static void build_tables(uint8_t *ram)
{
	put32(ram, PD32_GPA, PT32_GPA | PTE_FLAGS);
	put64(ram, PML4_GPA, PDPT_GPA | PTE_FLAGS);
	put64(ram, PDPT_GPA, PD64_GPA | PTE_FLAGS);
	put64(ram, PD64_GPA, PT64_GPA | PTE_FLAGS);
	for (uint32_t page = 0; page < RAM_BYTES >> 12; page++) {
		uint32_t to = (page == REMAPPED_PAGE ? REMAPPED_TO : page) << 12;

		put32(ram, PT32_GPA + page * 4, to | PTE_FLAGS);
		put64(ram, PT64_GPA + page * 8, to | PTE_FLAGS);
	}
}

/*
 * A VM of one vCPU at the start of `guest`. False with a reason. Runs in a child that ends soon
 * after, so nothing is given back.
 */
static bool vm_new(struct probe_vm *p, const uint8_t *guest, char *reason, size_t reason_bytes)
{
	struct kvm_cpuid_want want = {.cpus = 1};
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES};
	struct cpu_regs regs = cpu_regs_reset;
	struct accel_err err;
	int run_bytes;

	if (guest == probe_cpuid) {
		want.request.model = cpuid_find_model("486", 3);
		want.request.minus.word[CPUID_1_EDX] = 1u << 1; /* not every KVM has VME */
	}
	p->kvm_fd = kvm_open(&err);
	if (p->kvm_fd < 0) {
		snprintf(reason, reason_bytes, "%.90s", err.text);
		return false;
	}
	p->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p->vm_fd = ioctl(p->kvm_fd, KVM_CREATE_VM, 0);
	run_bytes = ioctl(p->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (p->ram == MAP_FAILED || p->vm_fd < 0 || run_bytes < (int)sizeof(*p->run))
		goto fail;
	ioctl(p->vm_fd, KVM_SET_TSS_ADDR, TSS_GPA); /* only old Intel CPUs need it */
	memcpy(p->ram + CODE_GPA, probe_code, (size_t)(probe_end - probe_code));
	build_tables(p->ram);
	slot.userspace_addr = (uint64_t)(uintptr_t)p->ram;
	if (ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		goto fail;
	p->vcpu_fd = ioctl(p->vm_fd, KVM_CREATE_VCPU, 0);
	if (p->vcpu_fd < 0)
		goto fail;
	p->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu_fd, 0);
	if (p->run == MAP_FAILED)
		goto fail;
	if (kvm_set_cpuid(p->kvm_fd, p->vcpu_fd, &want, NULL, &err)) {
		snprintf(reason, reason_bytes, "%.90s", err.text);
		return false;
	}
	regs.cs.selector = 0;
	regs.cs.base = 0;
	regs.rip = CODE_GPA + (uint64_t)(guest - probe_code);
	if (kvm_set_regs(p->vcpu_fd, &regs))
		goto fail;
	return true;
fail:
	snprintf(reason, reason_bytes, "cannot make a VM: %s", strerror(errno));
	return false;
}

/* Runs to the next exit, which must be the port write of the answer. */
static bool vm_answer(struct probe_vm *p, char *reason, size_t reason_bytes)
{
	struct kvm_run *run = p->run;
	uint32_t answer;

	while (ioctl(p->vcpu_fd, KVM_RUN, 0) < 0) {
		if (errno == EINTR)
			continue;
		snprintf(reason, reason_bytes, "KVM_RUN: %s", strerror(errno));
		return false;
	}
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT && run->io.size == 4) {
		memcpy(&answer, (uint8_t *)run + run->io.data_offset, sizeof(answer));
		if (answer == ANSWER)
			return true;
		snprintf(reason, reason_bytes, "wrong result 0x%x", answer);
	} else if (run->exit_reason == KVM_EXIT_SHUTDOWN) {
		snprintf(reason, reason_bytes, "triple fault");
	} else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
		snprintf(reason, reason_bytes, "KVM internal error %u", run->internal.suberror);
	} else {
		snprintf(reason, reason_bytes, "unexpected exit %u", run->exit_reason);
	}
	return false;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Median time of `n` (odd) rounds of the timed guest, each counting down from `count`; 0: it failed. */
static uint64_t median_ns(struct probe_vm *p, unsigned n, uint32_t count)
{
	uint64_t t[TIMED_EXITS];
	char reason[8];

	put32(p->ram, COUNT_GPA, count);
	/* The exit that is open now has the old count behind it, and caches warm up. */
	for (int i = 0; i < 2; i++)
		if (!vm_answer(p, reason, sizeof(reason)))
			return 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t start = now_ns();

		if (!vm_answer(p, reason, sizeof(reason)))
			return 0;
		t[i] = now_ns() - start;
	}
	qsort(t, n, sizeof(t[0]), compare_u64);
	return t[n / 2];
}

static void child_time(struct kvm_probe *out)
{
	uint32_t count = TIMED_COUNT;
	struct probe_vm p;
	char reason[96];
	uint64_t loop_ns;

	if (!vm_new(&p, probe_timed, reason, sizeof(reason)) || !vm_answer(&p, reason, sizeof(reason)))
		return;
	out->exit_ns = median_ns(&p, TIMED_EXITS, 0);
	loop_ns = median_ns(&p, TIMED_LOOPS, count);
	if (loop_ns < out->exit_ns + BUSY_BELOW_NS) {
		count = BUSY_COUNT;
		loop_ns = median_ns(&p, TIMED_LOOPS, count);
	}
	if (loop_ns > out->exit_ns)
		out->insn_ns = (double)(loop_ns - out->exit_ns) / (2.0 * count);
}

/* ---- the parent ------------------------------------------------------------------------------ */

struct self_test {
	const uint8_t *guest; /* NULL: the timings */
	size_t ok;	      /* where the result is in struct kvm_probe */
};

static const struct self_test tests[] = {
	{probe_real, offsetof(struct kvm_probe, real_mode)},
	{probe_flat, offsetof(struct kvm_probe, flat32)},
	{probe_int_n, offsetof(struct kvm_probe, int_n32)},
	{probe_paging, offsetof(struct kvm_probe, paging32)},
	{probe_long, offsetof(struct kvm_probe, long_mode)},
	{probe_cpuid, offsetof(struct kvm_probe, cpuid)},
	{NULL, 0},
};

#define GUEST_TESTS 6
#define CPUID_TEST 5
#define QUICK_TESTS 3 /* what --cpu auto looks at */

struct test_run {
	struct kvm_probe *out; /* shared memory */
	unsigned index;
};

/* The child's part. */
static void child_main(void *opaque)
{
	const struct test_run *run = opaque;
	struct kvm_probe *out = run->out;
	struct probe_vm p;
	char *reason;

	if (!tests[run->index].guest) {
		child_time(out);
		return;
	}
	reason = out->reason[run->index];
	if (vm_new(&p, tests[run->index].guest, reason, sizeof(out->reason[0])) &&
		vm_answer(&p, reason, sizeof(out->reason[0])))
		*((bool *)out + tests[run->index].ok) = true;
}

/* Waits for the child's end, at most TEST_LIMIT_MS; false: it had to be killed. Says in `reason` what went wrong. */
static bool child_wait(pid_t pid, int fd, int cancel_fd, char *reason, size_t reason_bytes)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
	int status = 0, ready;
	bool has_ended;

	do {
		ready = poll(p, 2, TEST_LIMIT_MS);
	} while (ready < 0 && errno == EINTR);
	has_ended = ready > 0 && p[0].revents;
	if (!has_ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (ready <= 0)
		snprintf(reason, reason_bytes, "did not end within %d s", TEST_LIMIT_MS / 1000);
	else if (!has_ended)
		snprintf(reason, reason_bytes, "cancelled");
	else if (WIFSIGNALED(status))
		snprintf(reason, reason_bytes, "ended by signal %d", WTERMSIG(status));
	return has_ended;
}

bool kvm_probe_in_child(void (*fn)(void *opaque), void *opaque, int cancel_fd, char *reason, size_t reason_bytes)
{
	bool has_ended = true;
	int pipe_fds[2];
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return true;
	snprintf(reason, reason_bytes, "ended early");
	pid = fork();
	if (pid == 0) {
		close(pipe_fds[0]); /* the other end closes when the child ends, however it does */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(opaque);
		_exit(0);
	}
	close(pipe_fds[1]);
	if (pid > 0)
		has_ended = child_wait(pid, pipe_fds[0], cancel_fd, reason, reason_bytes);
	else
		snprintf(reason, reason_bytes, "fork: %s", strerror(errno));
	close(pipe_fds[0]);
	return has_ended;
}

/* False: it hung, and so might the others. */
static bool run_test(struct kvm_probe *shared, unsigned index)
{
	struct test_run run = {.out = shared, .index = index};
	char no_reason[sizeof(shared->reason[0])];
	char *reason = tests[index].guest ? shared->reason[index] : no_reason;

	return kvm_probe_in_child(child_main, &run, -1, reason, sizeof(no_reason));
}

static void probe_caps(struct kvm_probe *out, int fd)
{
	out->api_version = ioctl(fd, KVM_GET_API_VERSION, 0);
	out->split_irqchip = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) > 0;
	out->irqchip = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) > 0;
	out->readonly_mem = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0;
	out->coalesced_pio = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;
	out->coalesced_mmio = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO) > 0;
	out->immediate_exit = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0;
}

/* Runs the tests from `first` on. */
static void probe(struct kvm_probe *out, unsigned first, unsigned test_count)
{
	struct kvm_probe *shared;
	struct accel_err err;
	int fd;

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < GUEST_TESTS; i++)
		snprintf(out->reason[i], sizeof(out->reason[i]), "not tried");
	fd = kvm_open(&err);
	if (fd < 0) {
		out->open_error = fd;
		return;
	}
	probe_caps(out, fd);
	close(fd);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return;
	*shared = *out;
	for (unsigned i = first; i < first + test_count && run_test(shared, i); i++)
		;
	*out = *shared;
	munmap(shared, sizeof(*shared));
	for (unsigned i = 0; i < GUEST_TESTS; i++)
		if (*((bool *)out + tests[i].ok))
			out->reason[i][0] = '\0';
}

void kvm_probe(struct kvm_probe *out)
{
	probe(out, 0, GUEST_TESTS + 1);
}

void kvm_probe_quick(struct kvm_probe *out)
{
	probe(out, 0, QUICK_TESTS);
}

bool kvm_probe_cpuid(void)
{
	struct kvm_probe out;

	probe(&out, CPUID_TEST, 1);
	return out.cpuid;
}
