// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_kvm_bpf_iodev.c: the arguments of KVM_BPF_IODEV, right, wrong and random ones. What api.rst of accel/kernel/ says is the
 * reference. For a KVM with those patches and the right to bpf(2), which the bed of scripts/kernel-tier.sh has; skipped elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <cmocka.h>

#include "tests/unit/iodev_need.h"
#include "tests/unit/iodev_vm.h"

#define RANDOM_CALLS 5000

static struct iodev_vm v;
static struct kvm_bpf_iodev good;
static const char *missing;

static int setup(void **state)
{
	const char *build = getenv("BUILD");
	char path[256];

	(void)state;
	missing = iodev_missing();
	if (missing)
		return 0;
	snprintf(path, sizeof(path), "%s/tests/prog/iodev.bpf.o", build ? build : "build");
	if (!iodev_open(&v, path, true))
		return -1;
	good = iodev_args(&v, "echo");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (!missing)
		iodev_close(&v);
	return 0;
}

/* Every field at its edges, one at a time. */
static void test_fields(void **state)
{
	(void)state;
	iodev_need(missing);
#define REFUSES(error, ...)                                                                                            \
	do {                                                                                                           \
		struct kvm_bpf_iodev a = good;                                                                         \
		__VA_ARGS__;                                                                                           \
		assert_int_equal(iodev_do(&v, &a), error);                                                             \
	} while (0)
	REFUSES(-EINVAL, a.argsz = 0);
	REFUSES(-EINVAL, a.argsz = sizeof(a) - 1);
	REFUSES(-EINVAL, a.argsz = 4097);
	REFUSES(-EINVAL, a.argsz = ~0u);
	REFUSES(-EINVAL, a.op = 4);
	REFUSES(-EINVAL, a.op = ~0u);
	REFUSES(-EINVAL, a.bus = 2);
	REFUSES(-EINVAL, a.bus = ~0u);
	REFUSES(-EINVAL, a.flags = 0);
	REFUSES(-EINVAL, a.flags = KVM_BPF_IODEV_STATEFUL);
	REFUSES(-EINVAL, a.flags |= 1u << 5);
	REFUSES(-EINVAL, a.flags |= 1u << 31);
	REFUSES(-EINVAL, a.len = 0);
	REFUSES(-EINVAL, a.addr = 0x10000);
	REFUSES(-EINVAL, a.addr = 0xfff1);
	REFUSES(-EINVAL, a.addr = ~0ull);
	REFUSES(-EINVAL, a.addr = ~0ull - 15);
	REFUSES(-EINVAL, a.len = ~0u);
	REFUSES(-EINVAL, a.bus = KVM_BPF_IODEV_BUS_MMIO, a.len = (16u << 20) + 1);
	REFUSES(-EINVAL, a.bus = KVM_BPF_IODEV_BUS_MMIO, a.addr = ~0ull - 15);
	REFUSES(-EINVAL, a.offset = ~0u);
	REFUSES(-EINVAL, a.offset = ~0u - 15);
	REFUSES(-EINVAL, a.sizes = 0);
	REFUSES(-EINVAL, a.sizes = 16);
	REFUSES(-EINVAL, a.sizes = ~0u);
	REFUSES(-EINVAL, a.event_fd = -2);
	REFUSES(-EINVAL, a.answered = 1);
	REFUSES(-EINVAL, a.punted = 1);
	REFUSES(-EINVAL, a.retried = 1);
	REFUSES(-EINVAL, a.busy = 1);
	/* where there is nothing */
	REFUSES(-ENOENT, a.op = KVM_BPF_IODEV_REPLACE);
	REFUSES(-EINVAL, a.op = KVM_BPF_IODEV_DETACH); /* with a configuration */
	REFUSES(-EINVAL, a.op = KVM_BPF_IODEV_STATS);
	REFUSES(-ENOENT, a = iodev_other(&good, KVM_BPF_IODEV_DETACH));
	REFUSES(-ENOENT, a = iodev_other(&good, KVM_BPF_IODEV_STATS));
}

static void test_edges_that_are_fine(void **state)
{
	(void)state;
	iodev_need(missing);
#define TAKES(...)                                                                                                     \
	do {                                                                                                           \
		struct kvm_bpf_iodev a = good;                                                                         \
		__VA_ARGS__;                                                                                           \
		assert_int_equal(iodev_do(&v, &a), 0);                                                                 \
		assert_int_equal(iodev_detach(&v, &a), 0);                                                             \
	} while (0)
	TAKES();
	TAKES(a.addr = 0);
	TAKES(a.addr = 0xfff0);
	TAKES(a.addr = 0, a.len = 0x10000);
	TAKES(a.bus = KVM_BPF_IODEV_BUS_MMIO, a.addr = ~0ull - 16);
	TAKES(a.bus = KVM_BPF_IODEV_BUS_MMIO, a.len = 16u << 20);
	TAKES(a.offset = ~0u - 16);
	TAKES(a.flags = 31);
	TAKES(a.sizes = 8);
	TAKES(a.prog_fd = iodev_prog(&v, "counter"), a.flags |= KVM_BPF_IODEV_STATEFUL);
	TAKES(a.prog_fd = iodev_prog(&v, "the_time"));
	TAKES(a.prog_fd = iodev_prog(&v, "look_up"));
}

static void test_memory_of_the_arguments(void **state)
{
	const size_t page = (size_t)getpagesize();
	uint8_t *two, *at;
	struct kvm_bpf_iodev *a;

	(void)state;
	iodev_need(missing);
	two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(two, MAP_FAILED);
#define EXPECT(pointer, result, error)                                                                                 \
	do {                                                                                                           \
		assert_int_equal(ioctl(v.vm, KVM_BPF_IODEV, pointer), result);                                         \
		if (result)                                                                                            \
			assert_int_equal(errno, error);                                                                \
	} while (0)
	EXPECT(NULL, -1, EFAULT);
	EXPECT((void *)-1, -1, EFAULT);
	EXPECT((void *)0xffff800000000000ull, -1, EFAULT);
	/* longer than KVM knows: zeros are fine, others are not */
	memcpy(two, &good, sizeof(good));
	a = (struct kvm_bpf_iodev *)two;
	a->argsz = 4096;
	two[4095] = 1;
	EXPECT(two, -1, E2BIG);
	two[4095] = 0;
	EXPECT(two, 0, 0);
	assert_int_equal(iodev_detach(&v, &good), 0);
	/* not aligned, and over the edge of what is mapped */
	at = two + page - 3;
	memcpy(at, &good, sizeof(good));
	EXPECT(at, 0, 0);
	assert_int_equal(iodev_detach(&v, &good), 0);
	memcpy(two + page - sizeof(good) + 1, &good, sizeof(good) - 1);
	assert_int_equal(munmap(two + page, page), 0);
	EXPECT(two + page - sizeof(good) + 1, -1, EFAULT);
	EXPECT(two + page - 3, -1, EFAULT);
	/* counters that cannot be given */
	memcpy(two, &good, sizeof(good));
	a->argsz = sizeof(good);
	EXPECT(two, 0, 0);
	*a = iodev_other(&good, KVM_BPF_IODEV_STATS);
	assert_int_equal(mprotect(two, page, PROT_READ), 0);
	EXPECT(two, -1, EFAULT);
	assert_int_equal(iodev_detach(&v, &good), 0);
	munmap(two, page);
}

/* Descriptors of every kind where a program, a map or an eventfd belongs. */
static void test_descriptors(void **state)
{
	static const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	const int null = open("/dev/null", O_RDWR), event = eventfd(0, 0);
	const int filter = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "filter", "GPL", insns, 2, NULL);

	(void)state;
	iodev_need(missing);
	assert_true(filter >= 0 && null >= 0 && event >= 0);
	REFUSES(-EBADF, a.prog_fd = -1);
	REFUSES(-EBADF, a.prog_fd = 1000000);
	REFUSES(-EINVAL, a.prog_fd = null);
	REFUSES(-EINVAL, a.prog_fd = event);
	REFUSES(-EINVAL, a.prog_fd = v.vm);
	REFUSES(-EINVAL, a.prog_fd = v.state);
	REFUSES(-EINVAL, a.prog_fd = filter);
	REFUSES(-EBADF, a.state_fd = -1);
	REFUSES(-EINVAL, a.state_fd = null);
	REFUSES(-EINVAL, a.state_fd = v.vm);
	REFUSES(-EINVAL, a.state_fd = good.prog_fd);
	REFUSES(-EBADF, a.event_fd = 1000000);
	REFUSES(-EINVAL, a.event_fd = null);
	REFUSES(-EINVAL, a.event_fd = good.prog_fd);
	close(null);
	close(event);
	close(filter);
}

static int map(enum bpf_map_type type, uint32_t value, uint32_t entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);

	return bpf_map_create(type, "test", 4, value, entries, &opts);
}

/* Maps that are no state pages. */
static void test_maps(void **state)
{
	const int kinds[] = {
		map(BPF_MAP_TYPE_HASH, 64, 1, 0),
		map(BPF_MAP_TYPE_PERCPU_ARRAY, 64, 1, 0),
		map(BPF_MAP_TYPE_ARRAY, 64, 1, 0), /* not to be mapped */
		map(BPF_MAP_TYPE_ARRAY, 64, 2, BPF_F_MMAPABLE),
		map(BPF_MAP_TYPE_ARRAY, 15, 1, BPF_F_MMAPABLE),
		map(BPF_MAP_TYPE_ARRAY, 64, 1, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG),
	};
	const int frozen = map(BPF_MAP_TYPE_ARRAY, 64, 1, BPF_F_MMAPABLE);
	const int rdonly = map(BPF_MAP_TYPE_ARRAY, 64, 1, BPF_F_MMAPABLE | BPF_F_RDONLY); /* the descriptor */
	const int smallest = map(BPF_MAP_TYPE_ARRAY, 16, 1, BPF_F_MMAPABLE);

	(void)state;
	iodev_need(missing);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		assert_true(kinds[i] >= 0);
		REFUSES(-EINVAL, a.state_fd = kinds[i]);
		close(kinds[i]);
	}
	assert_int_equal(bpf_map_freeze(frozen), 0);
	REFUSES(-EACCES, a.state_fd = frozen);
	REFUSES(-EACCES, a.state_fd = rdonly);
	TAKES(a.state_fd = smallest);
	close(rdonly);
	close(frozen);
	close(smallest);
}

/* Programs that the kernel's verifier takes and KVM must not. */
static void test_programs(void **state)
{
	(void)state;
	iodev_need(missing);
	for (unsigned stateful = 0; stateful < 2; stateful++) {
		const uint32_t flags = KVM_BPF_IODEV_READ | (stateful ? KVM_BPF_IODEV_STATEFUL : 0);

#define PROGRAM(name) a.flags = flags, a.prog_fd = iodev_prog(&v, name)
		REFUSES(-EACCES, PROGRAM("refused_random"));
		if (iodev_prog(&v, "refused_sleeps") >= 0)
			REFUSES(-EACCES, PROGRAM("refused_sleeps"));
		else
			print_message("refused_sleeps: this kernel has no bpf_copy_from_user for such programs\n");
		REFUSES(-EACCES, PROGRAM("refused_sys_bpf"));
		REFUSES(-EACCES, PROGRAM("refused_callback"));
		REFUSES(-EACCES, PROGRAM("refused_calls"));
		REFUSES(-EACCES, PROGRAM("refused_hash"));
		REFUSES(-EINVAL, PROGRAM("refused_context"));
		REFUSES(-E2BIG, PROGRAM("refused_long"));
	}
}

static void test_overlaps(void **state)
{
	struct kvm_bpf_iodev second;

	(void)state;
	iodev_need(missing);
	assert_int_equal(iodev_do(&v, &good), 0);
	REFUSES(-EEXIST, (void)a);
	REFUSES(-EEXIST, a.len = 1);
	REFUSES(-EEXIST, a.addr += 15, a.len = 1);
	REFUSES(-EEXIST, a.addr -= 1, a.len = 2);
	REFUSES(-EEXIST, a.addr = 0, a.len = 0x10000);
	/* only this very range */
	REFUSES(-ENOENT, a = iodev_other(&good, KVM_BPF_IODEV_DETACH), a.len = 15);
	REFUSES(-ENOENT, a = iodev_other(&good, KVM_BPF_IODEV_DETACH), a.addr += 1, a.len = 15);
	REFUSES(-ENOENT, a = iodev_other(&good, KVM_BPF_IODEV_STATS), a.bus = KVM_BPF_IODEV_BUS_MMIO);
	REFUSES(-ENOENT, a.op = KVM_BPF_IODEV_REPLACE, a.len = 15);
	/* neighbours, and the same numbers on the other bus */
	TAKES(a.addr -= 16);
	TAKES(a.addr += 16);
	TAKES(a.bus = KVM_BPF_IODEV_BUS_MMIO);
	second = good;
	second.op = KVM_BPF_IODEV_REPLACE;
	second.prog_fd = iodev_prog(&v, "constant_b");
	assert_int_equal(iodev_do(&v, &second), 0);
	/* a refused replacement leaves what was there */
	second.prog_fd = iodev_prog(&v, "refused_random");
	assert_int_equal(iodev_do(&v, &second), -EACCES);
	assert_int_equal(iodev_detach(&v, &good), 0);
	assert_int_equal(iodev_detach(&v, &good), -ENOENT);
}

/* As many as the bus takes (1000 together), then all away again. */
static void test_many(void **state)
{
	unsigned count;

	(void)state;
	iodev_need(missing);
	for (count = 0; count < 1100; count++) {
		struct kvm_bpf_iodev a = good;

		a.addr = 0x2000 + count * 16;
		if (iodev_do(&v, &a)) {
			assert_int_equal(iodev_do(&v, &a), -ENOSPC);
			break;
		}
	}
	assert_in_range(count, 900, 1000);
	while (count-- > 0) {
		struct kvm_bpf_iodev a = good;

		a.addr = 0x2000 + count * 16;
		assert_int_equal(iodev_detach(&v, &a), 0);
	}
}

/* xorshift64*, [Marsaglia 2003] */
static uint64_t rnd(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15ull;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	return x * 0x2545f4914f6cdd1dull;
}

/* Random structures, most of them nearly right. Whatever comes of it, the VM works afterwards. */
static void test_random(void **state)
{
	unsigned taken = 0;

	(void)state;
	iodev_need(missing);
	for (unsigned i = 0; i < RANDOM_CALLS; i++) {
		struct kvm_bpf_iodev a = good;
		uint32_t *words = (uint32_t *)&a;

		a.addr = rnd() % 64;
		a.len = 1 + (uint32_t)(rnd() % 8);
		a.op = (uint32_t)(rnd() % 5);
		if (a.op >= 2)
			a = iodev_other(&a, a.op);
		if (rnd() % 4 == 0)
			words[rnd() % (sizeof(a) / 4)] = (uint32_t)(rnd() >> rnd() % 32);
		if (rnd() % 64 == 0)
			for (unsigned w = 1; w < sizeof(a) / 4; w++)
				words[w] = (uint32_t)(rnd() >> rnd() % 32);
		taken += iodev_do(&v, &a) == 0;
	}
	assert_true(taken > 100);
	for (uint64_t addr = 0; addr < 64; addr++) {
		for (uint32_t len = 1; len <= 8; len++) {
			struct kvm_bpf_iodev a = good;

			a.addr = addr;
			a.len = len;
			(void)iodev_detach(&v, &a);
		}
	}
	TAKES(a.addr = 0, a.len = 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_edges_that_are_fine),
		cmocka_unit_test(test_memory_of_the_arguments),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
