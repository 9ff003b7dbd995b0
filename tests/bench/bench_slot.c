// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench_slot.c: what a change of a memory slot costs, the page tier's way: a read-only page is added and deleted, and after each
 * the guest touches all of its memory once. Deleting a slot makes KVM forget all of the VM's page tables, of which the
 * guest then pays for each entry once more; from Linux 6.12 on KVM_X86_QUIRK_SLOT_ZAP_ALL turns that off. Both, in turn;
 * medians with 10th and 90th percentile. Usage: bench_slot [ROUNDS [MIB]]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

/* Not in every kernel's headers: [KVM] KVM_CAP_DISABLE_QUIRKS2. */
#define CAP_DISABLE_QUIRKS2 213
#define QUIRK_SLOT_ZAP_ALL (1u << 7)

#define CODE_GPA 0x1000u
#define FIRST_GPA 0x100000u
#define PAGE_GPA 0xfed00000u
#define PAGE_BYTES 4096u
#define MAX_ROUNDS 1001

enum step { STEP_WARM, STEP_ADD, STEP_AFTER_ADD, STEP_DELETE, STEP_AFTER_DELETE, STEPS };
static const char *const step_names[STEPS] = {"a pass over the memory", "the page is added", "the pass after that",
	"the page is deleted", "the pass after that"};

struct rig {
	int vm_fd, vcpu_fd;
	uint8_t *ram, *page;
	uint32_t ram_bytes;
	struct kvm_run *run;
	double us[STEPS][MAX_ROUNDS];
};

static void die(const char *what)
{
	fprintf(stderr, "bench_slot: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void set_slot(const struct rig *rig, uint32_t slot, uint64_t gpa, void *host, uint64_t bytes, uint32_t flags)
{
	struct kvm_userspace_memory_region m = {.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uint64_t)(uintptr_t)host};

	if (ioctl(rig->vm_fd, KVM_SET_USER_MEMORY_REGION, &m))
		die("KVM_SET_USER_MEMORY_REGION");
}

/* 32-bit code without paging: a byte of each page is read, then a port is written, and again. */
static void put_guest(const struct rig *rig)
{
	static const uint8_t code[] = {0xbe, 0, 0, 0x10, 0, /* 0: mov esi, FIRST_GPA */
		0x8a, 0x06,				    /* 5: mov al, [esi] */
		0x81, 0xc6, 0, 0x10, 0, 0,		    /* 7: add esi, 4096 */
		0x81, 0xfe, 0, 0, 0, 0,			    /* 13: cmp esi, the end, at 15 */
		0x72, 0xf0,				    /* 19: jb 5 */
		0xe6, 0x10,				    /* 21: out 0x10, al */
		0xeb, 0xe7};				    /* 23: jmp 0 */

	memcpy(rig->ram + CODE_GPA, code, sizeof(code));
	memcpy(rig->ram + CODE_GPA + 15, &rig->ram_bytes, sizeof(rig->ram_bytes));
}

static void set_vcpu(const struct rig *rig)
{
	struct kvm_regs regs = {.rip = CODE_GPA, .rflags = 2};
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_sregs sregs;

	if (ioctl(rig->vcpu_fd, KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS");
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	sregs.cs = data;
	sregs.cs.selector = 0x08;
	sregs.cs.type = 11;
	sregs.cr0 |= 1;
	if (ioctl(rig->vcpu_fd, KVM_SET_SREGS, &sregs) || ioctl(rig->vcpu_fd, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS");
}

/* False: this KVM has no such quirk. */
static bool rig_init(struct rig *rig, int kvm_fd, uint32_t mib, bool zaps_all)
{
	struct kvm_enable_cap cap = {.cap = CAP_DISABLE_QUIRKS2, .args = {QUIRK_SLOT_ZAP_ALL}};
	int run_bytes = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	rig->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (rig->vm_fd < 0 || run_bytes <= 0)
		die("KVM_CREATE_VM");
	if (!zaps_all && (!(ioctl(rig->vm_fd, KVM_CHECK_EXTENSION, CAP_DISABLE_QUIRKS2) & (int)QUIRK_SLOT_ZAP_ALL) ||
				 ioctl(rig->vm_fd, KVM_ENABLE_CAP, &cap)))
		return false;
	rig->ram_bytes = mib << 20;
	rig->ram = map(rig->ram_bytes);
	madvise(rig->ram, rig->ram_bytes, MADV_NOHUGEPAGE); /* an entry for each page */
	memset(rig->ram, 0xf4, rig->ram_bytes);
	rig->page = map(PAGE_BYTES);
	put_guest(rig);
	set_slot(rig, 0, 0, rig->ram, rig->ram_bytes, 0);
	rig->vcpu_fd = ioctl(rig->vm_fd, KVM_CREATE_VCPU, 0);
	if (rig->vcpu_fd < 0)
		die("KVM_CREATE_VCPU");
	rig->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, rig->vcpu_fd, 0);
	if (rig->run == MAP_FAILED)
		die("mmap");
	set_vcpu(rig);
	return true;
}

static void pass(const struct rig *rig)
{
	while (ioctl(rig->vcpu_fd, KVM_RUN, 0) < 0) {
		if (errno != EINTR)
			die("KVM_RUN");
	}
	if (rig->run->exit_reason != KVM_EXIT_IO) {
		errno = 0;
		die("the guest does something else");
	}
}

static void round_of(struct rig *rig, unsigned n)
{
	double at[STEPS + 1];

	pass(rig);
	at[STEP_WARM] = now_us();
	pass(rig);
	at[STEP_ADD] = now_us();
	set_slot(rig, 1, PAGE_GPA, rig->page, PAGE_BYTES, KVM_MEM_READONLY);
	at[STEP_AFTER_ADD] = now_us();
	pass(rig);
	at[STEP_DELETE] = now_us();
	set_slot(rig, 1, PAGE_GPA, rig->page, 0, KVM_MEM_READONLY);
	at[STEP_AFTER_DELETE] = now_us();
	pass(rig);
	at[STEPS] = now_us();
	for (unsigned i = 0; i < STEPS; i++)
		rig->us[i][n] = at[i + 1] - at[i];
}

int main(int argc, char **argv)
{
	static struct rig rigs[2];
	const unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 21, mib = argc > 2 ? (unsigned)atoi(argv[2]) : 64;
	const int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	bool has_quirk;

	if (kvm_fd < 0)
		die("/dev/kvm");
	if (rounds < 1 || rounds > MAX_ROUNDS || mib < 2 || mib > 1024) {
		fprintf(stderr, "bench_slot: ROUNDS is 1 to 1001, MIB 2 to 1024\n");
		return 1;
	}
	rig_init(&rigs[0], kvm_fd, mib, true);
	has_quirk = rig_init(&rigs[1], kvm_fd, mib, false);
	for (unsigned n = 0; n < rounds; n++) {
		round_of(&rigs[0], n);
		if (has_quirk)
			round_of(&rigs[1], n);
	}
	printf("| %u pages of memory, us | all is forgotten (default) | the slot's own entries only |\n|---|---|---|\n",
		mib * 256);
	for (unsigned i = 0; i < STEPS; i++) {
		printf("| %s |", step_names[i]);
		for (unsigned r = 0; r < 2; r++) {
			double *us = rigs[r].us[i];

			qsort(us, rounds, sizeof(us[0]), compare);
			if (r == 0 || has_quirk)
				printf(" %.0f (%.0f..%.0f) |", us[rounds / 2], us[rounds / 10], us[rounds * 9 / 10]);
			else
				printf(" this KVM cannot |");
		}
		printf("\n");
	}
	return 0;
}
