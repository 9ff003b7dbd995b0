// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_kvm_probe.c: the probe on hosts that are not this one: no /dev/kvm, no permission, another
 * API, a KVM that hangs, kills its user, or gives wrong answers. The test stands between the
 * probe and the kernel (--wrap). One test asks the real KVM and is skipped where there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/kvm_state.h"

#define FAKE_RUN_BYTES 8192
#define PROBE_ANSWER 0x600dcafeu

enum play { PLAY_REAL, PLAY_NO_OPEN, PLAY_OLD_API, PLAY_ANSWER, PLAY_WRONG, PLAY_SHUTDOWN, PLAY_HANG, PLAY_DIE };

static enum play play;
static int open_errno;
static struct kvm_run *fake_run;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);
void *__real_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);

int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/kvm") != 0 || play == PLAY_REAL)
		return __real_open(path, flags);
	if (play == PLAY_NO_OPEN) {
		errno = open_errno;
		return -1;
	}
	return __real_open("/dev/null", flags);
}

/* The vCPU's page is ours. */
void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (play == PLAY_REAL || fd < 0)
		return __real_mmap(addr, bytes, prot, flags, fd, offset);
	fake_run = __real_mmap(NULL, FAKE_RUN_BYTES, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return fake_run;
}

static int fake_kvm_run(void)
{
	const uint32_t answer = play == PLAY_WRONG ? 0x12345678 : PROBE_ANSWER;

	if (play == PLAY_HANG)
		for (;;)
			pause();
	if (play == PLAY_DIE)
		raise(SIGKILL);
	fake_run->exit_reason = play == PLAY_SHUTDOWN ? KVM_EXIT_SHUTDOWN : KVM_EXIT_IO;
	fake_run->io.direction = KVM_EXIT_IO_OUT;
	fake_run->io.size = 4;
	fake_run->io.count = 1;
	fake_run->io.data_offset = 4096;
	memcpy((uint8_t *)fake_run + 4096, &answer, sizeof(answer));
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	if (play == PLAY_REAL)
		return __real_ioctl(fd, request, arg);
	switch (request) {
	case KVM_GET_API_VERSION:
		return play == PLAY_OLD_API ? 11 : KVM_API_VERSION;
	case KVM_GET_VCPU_MMAP_SIZE:
		return FAKE_RUN_BYTES;
	case KVM_CREATE_VM:
	case KVM_CREATE_VCPU:
		return dup(fd);
	case KVM_GET_SUPPORTED_CPUID:
		((struct kvm_cpuid2 *)arg)->nent = 0;
		return 0;
	case KVM_GET_SREGS:
		memset((void *)arg, 0, sizeof(struct kvm_sregs));
		return 0;
	case KVM_RUN:
		return fake_kvm_run();
	default:
		return 0;
	}
}

static struct kvm_probe probe_as(enum play as)
{
	struct kvm_probe p;

	play = as;
	memset(&p, 0xff, sizeof(p));
	kvm_probe_quick(&p);
	play = PLAY_REAL;
	/* no child is left behind, however it ended */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return p;
}

static void test_no_device(void **state)
{
	static const struct {
		int error;
		const char *want;
	} cases[] = {{ENOENT, "--cpu soft"}, {EACCES, "usermod -aG kvm"}, {ENODEV, "kvm_intel"}, {EBUSY, "--cpu soft"}};
	struct accel_err err;
	struct kvm_probe p;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		open_errno = cases[i].error;
		p = probe_as(PLAY_NO_OPEN);
		assert_int_equal(p.open_error, -cases[i].error);
		assert_false(p.real_mode || p.flat32 || p.int_n32 || p.paging32 || p.long_mode);
		assert_string_equal(p.reason[0], "not tried");
		play = PLAY_NO_OPEN;
		assert_int_equal(kvm_open(&err), -cases[i].error);
		play = PLAY_REAL;
		assert_non_null(strstr(err.text, cases[i].want));
	}
}

static void test_old_api(void **state)
{
	(void)state;
	assert_int_equal(probe_as(PLAY_OLD_API).open_error, -ENOTSUP);
}

static void test_answers(void **state)
{
	struct kvm_probe p = probe_as(PLAY_ANSWER);

	(void)state;
	assert_int_equal(p.open_error, 0);
	assert_true(p.real_mode && p.flat32 && p.int_n32);
	assert_string_equal(p.reason[0], "");
	p = probe_as(PLAY_WRONG);
	assert_false(p.real_mode || p.flat32 || p.int_n32);
	assert_string_equal(p.reason[2], "wrong result 0x12345678");
	p = probe_as(PLAY_SHUTDOWN);
	assert_false(p.real_mode);
	assert_string_equal(p.reason[0], "triple fault");
}

static void test_child_dies(void **state)
{
	struct kvm_probe p = probe_as(PLAY_DIE);

	(void)state;
	assert_false(p.real_mode || p.flat32 || p.int_n32);
	assert_string_equal(p.reason[1], "ended by signal 9");
}

static void test_child_hangs(void **state)
{
	struct timespec a, b;
	struct kvm_probe p;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	p = probe_as(PLAY_HANG);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_false(p.real_mode || p.flat32 || p.int_n32);
	assert_string_equal(p.reason[0], "did not end within 3 s");
	/* one hang is enough to know */
	assert_true(b.tv_sec - a.tv_sec < 8);
}

static void test_real(void **state)
{
	struct accel_err err;
	struct kvm_probe p;
	int fd = kvm_open(&err);

	(void)state;
	if (fd < 0) {
		printf("skipped: %s\n", err.text);
		skip();
	}
	close(fd);
	kvm_probe(&p);
	assert_int_equal(p.open_error, 0);
	assert_int_equal(p.api_version, KVM_API_VERSION);
	/* every KVM does at least one of these, and each verdict comes with a reason or without */
	assert_true(p.real_mode || p.flat32 || p.long_mode);
	assert_int_equal(p.real_mode, p.reason[0][0] == '\0');
	assert_int_equal(p.flat32, p.reason[1][0] == '\0');
	assert_int_equal(p.int_n32, p.reason[2][0] == '\0');
	assert_int_equal(p.paging32, p.reason[3][0] == '\0');
	assert_int_equal(p.long_mode, p.reason[4][0] == '\0');
	assert_int_equal(p.cpuid, p.reason[5][0] == '\0');
	assert_int_equal(kvm_probe_cpuid(), p.cpuid);
	if (p.flat32) {
		assert_in_range(p.exit_ns, 200, 100000000);
		assert_true(p.insn_ns > 0.01 && p.insn_ns < 1e6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_old_api),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_child_dies),
		cmocka_unit_test(test_child_hangs),
		cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests_name("kvm_probe", tests, NULL, NULL);
}
