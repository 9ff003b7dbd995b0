// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_page_probe.c: the test of the host for the page tier, on hosts that are not this one: a KVM that does what the x86
 * manual says of each of the probe's instructions, and others that tear, lose a write, let one through, or are slow. The test stands
 * between the probe and the kernel (--wrap) and plays the exits of its guest; the last test asks the real KVM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/page_host.h"

#define RUN_BYTES 8192
#define PAGE_GPA 0x100000u

enum play {
	PLAY_REAL,
	PLAY_GOOD,
	PLAY_NO_READONLY,
	PLAY_LOST,	  /* `lock xadd` goes nowhere */
	PLAY_OTHER,	  /* a locked instruction writes another value */
	PLAY_SPLIT,	  /* 8 bytes leave the guest as two writes */
	PLAY_LET_THROUGH, /* a write exits and changes the page as well */
	PLAY_LOAD_EXITS,
	PLAY_TEARS_4,
	PLAY_TEARS_8,
	PLAY_STILL, /* no load ever meets a store */
	PLAY_SLOW,
	PLAY_SHUTDOWN,
};

static enum play play;
static struct kvm_run *run;
static uint8_t *page;
static unsigned phase, step; /* in the child: which of the four guests runs, and its exits so far */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);
void *__real_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);

int __wrap_open(const char *path, int flags, ...)
{
	return __real_open(play == PLAY_REAL || strcmp(path, "/dev/kvm") != 0 ? path : "/dev/null", flags);
}

void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (play == PLAY_REAL || fd < 0)
		return __real_mmap(addr, bytes, prot, flags, fd, offset);
	run = __real_mmap(NULL, RUN_BYTES, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return run;
}

static void answer(uint32_t value)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.size = 4;
	run->io.count = 1;
	run->io.data_offset = 4096;
	memcpy((uint8_t *)run + 4096, &value, sizeof(value));
}

static void mmio(bool is_write, uint32_t at, uint32_t len, uint64_t data)
{
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.is_write = is_write;
	run->mmio.phys_addr = PAGE_GPA + at;
	run->mmio.len = len;
	memcpy(run->mmio.data, &data, sizeof(data));
}

/* What the instructions write, from what the probe has put there: [SDM2] ADD, INC, XADD, XCHG, CMPXCHG. */
static void do_writes(void)
{
	static const struct {
		uint32_t at, len;
		uint64_t data;
	} writes[] = {{0x10, 1, 0x11}, {0x20, 2, 0x2222}, {0x30, 4, 0x33333333}, {0x40, 8, 0x4444444455555555},
		{0x50, 4, 5 + 1}, {0x58, 4, 7 + 2}, {0x60, 4, 0x0b}, {0x68, 4, 0x0d}, {0x70, 8, 0xffffffffull + 1}};
	const unsigned count = sizeof(writes) / sizeof(writes[0]);

	if (play == PLAY_LOST && step == 5)
		step++;
	if (step == count) {
		answer(0);
		return;
	}
	mmio(true, writes[step].at, writes[step].len, writes[step].data);
	if (play == PLAY_OTHER && step == 4)
		run->mmio.data[0]++;
	if (play == PLAY_SPLIT && step == 3)
		run->mmio.len = 4;
	if (play == PLAY_LET_THROUGH && step == 6)
		page[0x60] = 0x0b;
	step++;
}

/* 1024 loads, of which the upper half of the answer were torn and the lower half gave another value than the last. */
static void do_loads(unsigned bytes)
{
	if (play == PLAY_SLOW)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	if (play == PLAY_LOAD_EXITS)
		mmio(false, 0, bytes, 0);
	else if ((play == PLAY_TEARS_4 && bytes == 4) || (play == PLAY_TEARS_8 && bytes == 8))
		answer(1u << 16 | 900);
	else
		answer(play == PLAY_STILL ? 0 : 900);
}

static int fake_run(void)
{
	if (play == PLAY_SHUTDOWN)
		run->exit_reason = KVM_EXIT_SHUTDOWN;
	else if (phase == 1)
		do_writes();
	else if (phase == 2)
		mmio(true, 0x800, 4, 0);
	else
		do_loads(phase == 3 ? 4 : 8);
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	const struct kvm_userspace_memory_region *m = (const void *)arg;

	if (play == PLAY_REAL)
		return __real_ioctl(fd, request, arg);
	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_BYTES;
	case KVM_CHECK_EXTENSION:
		return play != PLAY_NO_READONLY;
	case KVM_CREATE_VM:
	case KVM_CREATE_VCPU:
		return dup(fd);
	case KVM_SET_USER_MEMORY_REGION:
		if (m->guest_phys_addr == PAGE_GPA && m->flags == KVM_MEM_READONLY)
			page = (uint8_t *)(uintptr_t)m->userspace_addr;
		return 0;
	case KVM_GET_SUPPORTED_CPUID:
		((struct kvm_cpuid2 *)arg)->nent = 0;
		return 0;
	case KVM_GET_SREGS:
		memset((void *)arg, 0, sizeof(struct kvm_sregs));
		return 0;
	case KVM_SET_REGS: /* the next guest begins */
		phase++;
		step = 0;
		return 0;
	case KVM_RUN:
		return fake_run();
	default:
		return 0;
	}
}

static void test_plays(void **state)
{
	static const struct {
		enum play play;
		const char *reason; /* NULL: works */
	} rows[] = {
		{PLAY_GOOD, NULL},
		{PLAY_NO_READONLY, "has no read-only memory"},
		{PLAY_LOST, "a lock xadd does not leave the guest as a write"},
		{PLAY_OTHER, "a lock inc does not leave the guest as a write"},
		{PLAY_SPLIT, "an 8-byte write does not leave the guest as a write"},
		{PLAY_LET_THROUGH, "a write to a read-only page changes it"},
		{PLAY_LOAD_EXITS, "a load from a read-only page exits"},
		{PLAY_TEARS_4, "4-byte loads from a read-only page tear"},
		{PLAY_TEARS_8, "8-byte loads from a read-only page tear"},
		{PLAY_STILL, "too few loads met a store"},
		{PLAY_SLOW, "a load from a read-only page takes"},
		{PLAY_SHUTDOWN, "a 1-byte write does not leave the guest as a write"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct page_probe probe;

		play = rows[i].play;
		page_probe_run(&probe, -1);
		play = PLAY_REAL;
		assert_int_equal(probe.works, !rows[i].reason);
		if (!strstr(probe.reason, rows[i].reason ? rows[i].reason : ""))
			fail_msg("play %u: \"%s\" has no \"%s\"", rows[i].play, probe.reason, rows[i].reason);
		if (probe.works)
			assert_true(probe.reason[0] == '\0' && probe.loads >= 2048 && probe.exit_ns > 0);
	}
}

/* Writes and the cost of an exit, without the loads. */
static void test_exits_alone(void **state)
{
	static const struct {
		enum play play;
		const char *reason;
	} rows[] = {{PLAY_GOOD, NULL}, {PLAY_TEARS_8, NULL}, {PLAY_LOST, "a lock xadd"},
		{PLAY_NO_READONLY, "no read-only"}};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct page_probe probe;

		play = rows[i].play;
		page_probe_exits(&probe, -1);
		play = PLAY_REAL;
		assert_int_equal(probe.works, !rows[i].reason);
		assert_non_null(strstr(probe.reason, rows[i].reason ? rows[i].reason : ""));
		assert_int_equal(probe.loads, 0);
		assert_int_equal(probe.exit_ns > 0, probe.works);
	}
}

/* Who wants to end does not wait for a test that takes seconds. */
static void test_cancelled(void **state)
{
	const uint64_t one = 1;
	struct timespec start, end;
	struct page_probe probe;
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	clock_gettime(CLOCK_MONOTONIC, &start);
	play = PLAY_STILL; /* a second and more */
	page_probe_run(&probe, fd);
	play = PLAY_REAL;
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_false(probe.works);
	assert_string_equal(probe.reason, "cancelled");
	assert_true((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 < 900);
	close(fd);
}

static void test_real(void **state)
{
	struct page_probe probe;

	(void)state;
	if (access("/dev/kvm", R_OK | W_OK) != 0)
		skip();
	page_probe_run(&probe, -1);
	assert_true(probe.works == (probe.reason[0] == '\0'));
	print_message("page tier: %s\n", probe.works ? "works" : probe.reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plays),
		cmocka_unit_test(test_exits_alone),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
