// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_kvm_bpf_run.c: guests whose accesses programs answer inside KVM (KVM_BPF_IODEV): what the program sees, what the guest
 * gets, what goes to userspace, and all of it while programs are exchanged, the model works, or the VMM is killed. Where the
 * test is the model it answers 0xee. For the bed of scripts/kernel-tier.sh; skipped elsewhere.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/iodev_need.h"
#include "tests/unit/iodev_vm.h"

#define END_PORT 0xf4
#define MODEL 0xee

/* A guest in 32-bit protected mode, flat, without paging. */
#define GUEST(name, body)                                                                                              \
	extern const uint8_t name[], name##_end[];                                                                     \
	__asm__(".pushsection .rodata\n.code32\n" #name ":\n" body "\n" #name "_end:\n.code64\n.popsection\n")
#define END "movw $0xf4,%dx\noutb %al,%dx\nhlt\n"

GUEST(read_byte, "movw $0x1000,%dx\nxorl %eax,%eax\ninb %dx,%al\n" END);
GUEST(read_sizes, "movl $0x8000,%edi\nmovw $0x1000,%dx\nxorl %eax,%eax\ninb %dx,%al\nmovl %eax,(%edi)\n"
		  "movw $0x1001,%dx\nxorl %eax,%eax\ninw %dx,%ax\nmovl %eax,4(%edi)\n"
		  "movw $0x100c,%dx\ninl %dx,%eax\nmovl %eax,8(%edi)\n"
		  "movw $0x100d,%dx\ninl %dx,%eax\nmovl %eax,12(%edi)\n" /* over the end */
	END);
GUEST(read_mmio, "movl $0x8000,%edi\nmovl $0xd0000000,%esi\nxorl %eax,%eax\nmovb 3(%esi),%al\nmovl %eax,(%edi)\n"
		 "movl 4(%esi),%eax\nmovl %eax,4(%edi)\n"
		 "movl 5(%esi),%eax\nmovl %eax,8(%edi)\n" /* not aligned */
	END);
GUEST(write_bytes, "movw $0x1000,%dx\nmovb $0x5a,%al\noutb %al,%dx\n" END);
GUEST(rep_in, "cld\nmovl $0x8000,%edi\nmovl $64,%ecx\nmovw $0x1000,%dx\nrep insb\n" END);
GUEST(rep_in_words, "cld\nmovl $0x8000,%edi\nmovl $500,%ecx\nmovw $0x1000,%dx\nrep insw\n" END);
GUEST(rep_out, "cld\nmovl $0x8000,%esi\nmovl $64,%ecx\nmovw $0x1000,%dx\nrep outsb\n" END);
GUEST(spin, "movw $0x1000,%dx\n1: inb %dx,%al\ncmpb $0x41,%al\nje 2f\ncmpb $0x42,%al\nje 3f\ncmpb $0xee,%al\nje 4f\n"
	    "movw $0x0f00,%dx\noutb %al,%dx\n"
	    "2: incl 0x8000\njmp 1b\n3: incl 0x8004\njmp 1b\n4: incl 0x8008\njmp 1b\n");
GUEST(spin_words, "movl $0xd0000000,%esi\n1: movl (%esi),%eax\ncmpl $0xffffffff,%eax\nje 2f\ncmpl $0xee,%eax\nje 3f\n"
		  "movw $0x0f00,%dx\noutb %al,%dx\n2: incl 0x8000\njmp 1b\n3: incl 0x8008\njmp 1b\n");
/* An index is queued, then the register that it names is read. */
GUEST(index_then_read,
	"movw $0x2000,%dx\nmovb $7,%al\noutb %al,%dx\nmovw $0x1000,%dx\nxorl %eax,%eax\ninb %dx,%al\n" END);

static struct iodev_vm v;
static char path[256];
static const char *missing;
static unsigned exits;	    /* to userspace, of the guest's own ports */
static unsigned last_count; /* elements of the last one */
static bool model_counts;   /* with the numbers after the program's */

static int setup(void **state)
{
	const char *build = getenv("BUILD");

	(void)state;
	missing = iodev_missing();
	if (missing)
		return 0;
	snprintf(path, sizeof(path), "%s/tests/prog/iodev.bpf.o", build ? build : "build");
	exits = last_count = 0;
	model_counts = false;
	return iodev_open(&v, path, false) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (!missing)
		iodev_close(&v);
	return 0;
}

static void model(const struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	exits++;
	last_count = run->io.count;
	for (unsigned i = 0; i < run->io.count; i++) {
		uint8_t *element = data + (size_t)i * run->io.size;

		if (run->io.direction == KVM_EXIT_IO_IN) {
			memset(element, 0, run->io.size);
			element[0] = model_counts ? (uint8_t)++v.page->count : MODEL;
		} else if (model_counts) {
			v.page->count++;
		}
	}
}

/* Until the guest writes to the end port, whose byte is returned; -1: it did something else. */
static int run_guest(unsigned index)
{
	struct kvm_run *run = v.run[index];

	for (;;) {
		if (ioctl(v.vcpu[index], KVM_RUN, 0) && errno != EINTR)
			return -1;
		if (run->exit_reason == KVM_EXIT_MMIO) {
			exits++;
			if (!run->mmio.is_write)
				memset(run->mmio.data, MODEL, 8);
			continue;
		}
		if (run->exit_reason != KVM_EXIT_IO)
			return -1;
		if (run->io.port == END_PORT)
			return *((uint8_t *)run + run->io.data_offset);
		model(run);
	}
}

#define START(guest) assert_true(iodev_vcpu(&v, 0, guest, (size_t)(guest##_end - guest)))
#define ATTACH(args) assert_int_equal(iodev_do(&v, &(args)), 0)

static uint32_t word(unsigned n)
{
	uint32_t w;

	memcpy(&w, v.mem + GUEST_BUFFER + 4 * n, 4);
	return w;
}

/* ---- what the program sees, what the guest gets ---------------------------------------------- */

static void test_answers(void **state)
{
	struct kvm_bpf_iodev a, s;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "echo");
	a.offset = 0x20;
	ATTACH(a);
	START(read_sizes);
	assert_int_equal(run_guest(0), MODEL); /* the last read is all the model's */
	assert_int_equal(word(0), 0x20);
	assert_int_equal(word(1), 0x21);
	assert_int_equal(word(2), 4 << 16 | 0x2c);
	assert_int_equal(exits, 1);
	s = iodev_stats(&v, &a);
	assert_int_equal(s.answered, 3);
	assert_int_equal(s.punted, 0); /* what lies not in the range never came */
}

static void test_the_vcpu(void **state)
{
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "echo");
	a.bus = KVM_BPF_IODEV_BUS_MMIO;
	a.addr = MMIO_AT;
	a.sizes = 1 | 4 | 8;
	a.flags |= KVM_BPF_IODEV_ALIGNED;
	ATTACH(a);
	START(read_mmio);
	assert_true(run_guest(0) >= 0);
	assert_int_equal(word(0), 3);
	assert_int_equal(word(1), 4 << 16 | 4);
	assert_int_equal(word(2), 0xeeeeeeee);
	assert_int_equal(exits, 1);
}

static void test_sizes_and_directions(void **state)
{
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "echo");
	a.sizes = 2 | 8;
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), MODEL); /* no bytes */
	a.op = KVM_BPF_IODEV_REPLACE;
	a.sizes = 15;
	a.flags = KVM_BPF_IODEV_WRITE;
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), MODEL); /* no reads */
	a.prog_fd = iodev_prog(&v, "counter");
	a.flags |= KVM_BPF_IODEV_STATEFUL;
	ATTACH(a);
	START(write_bytes);
	run_guest(0);
	assert_int_equal(v.page->written, 0x5a);
	assert_int_equal(v.page->head.seq, 2); /* one change */
	assert_int_equal(exits, 2);
}

static void test_punts(void **state)
{
	static const char *const names[] = {"always_punt", "strange"};

	(void)state;
	iodev_need(missing);
	for (unsigned i = 0; i < 2; i++) {
		struct kvm_bpf_iodev a = iodev_args(&v, names[i]), s;

		ATTACH(a);
		START(read_byte);
		assert_int_equal(run_guest(0), MODEL);
		s = iodev_stats(&v, &a);
		assert_int_equal(s.punted, 1);
		assert_int_equal(s.answered, 0);
		/* the last counters come with the detaching */
		s = iodev_other(&a, KVM_BPF_IODEV_DETACH);
		assert_int_equal(ioctl(v.vm, KVM_BPF_IODEV, &s), 0);
		assert_int_equal(s.punted, 1);
	}
	assert_int_equal(v.page->head.seq, 0);
}

static void test_tables_and_time(void **state)
{
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "look_up");
	ATTACH(a);
	for (int n = 1; n <= 3; n++) {
		START(read_byte);
		assert_int_equal(run_guest(0), n);
	}
	a.op = KVM_BPF_IODEV_REPLACE;
	a.prog_fd = iodev_prog(&v, "calls_static");
	ATTACH(a);
	v.page->limit = 20;
	START(read_byte);
	assert_int_equal(run_guest(0), 20 + 2 * 0 + 20 + 2 * 1);
	a.prog_fd = iodev_prog(&v, "the_time");
	ATTACH(a);
	START(read_sizes);
	run_guest(0);
	assert_int_not_equal(word(2), 0);
}

/* ---- the page --------------------------------------------------------------------------------- */

static void test_busy_page(void **state)
{
	(void)state;
	iodev_need(missing);
	for (unsigned stateful = 0; stateful < 2; stateful++) {
		struct kvm_bpf_iodev a = iodev_args(&v, "counter"), s;

		if (stateful)
			a.flags |= KVM_BPF_IODEV_STATEFUL;
		ATTACH(a);
		v.page->head.seq = 5;
		START(read_byte);
		assert_int_equal(run_guest(0), MODEL);
		assert_int_equal(v.page->head.seq, 5);
		assert_int_equal(v.page->count, 0);
		s = iodev_stats(&v, &a);
		assert_int_equal(s.busy, 1);
		assert_int_equal(s.punted, 1);
		assert_int_equal(iodev_detach(&v, &a), 0);
	}
}

/* A page that changes under the program again and again, and one that its program leaves odd. */
static void test_liars(void **state)
{
	struct kvm_bpf_iodev a, s;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "tears");
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), MODEL);
	s = iodev_stats(&v, &a);
	assert_int_equal(s.retried, 8);
	assert_int_equal(s.busy, 1);
	a.op = KVM_BPF_IODEV_REPLACE;
	a.prog_fd = iodev_prog(&v, "jams");
	a.flags |= KVM_BPF_IODEV_STATEFUL;
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), 1); /* KVM makes it even again, whatever the program did */
	assert_int_equal(v.page->head.seq & 1, 0);
	a.flags &= ~(uint32_t)KVM_BPF_IODEV_STATEFUL;
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), MODEL); /* and this one nobody makes even */
	assert_int_equal(v.page->head.seq, 1);
}

static void test_ring(void **state)
{
	struct kvm_bpf_iodev a;
	uint64_t rung = 0;
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "ringer");
	a.event_fd = fd;
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), 0);
	assert_int_equal(read(fd, &rung, 8), 8);
	assert_int_equal(rung, 1);
	a.op = KVM_BPF_IODEV_REPLACE;
	a.event_fd = -1;
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), 0);
	assert_int_equal(read(fd, &rung, 8), -1);
	close(fd);
	assert_int_equal(exits, 0);
}

/* A write that was queued and not taken yet keeps programs from answering. */
static void test_drain(void **state)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = 0x2000, .size = 1, .pio = 1};
	struct kvm_coalesced_mmio_ring *ring;
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "constant_a");
	ATTACH(a);
	assert_int_equal(ioctl(v.vm, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	START(index_then_read);
	assert_int_equal(run_guest(0), 'A'); /* nobody asked for the rule */
	ring = (void *)((uint8_t *)v.run[0] +
			(size_t)ioctl(v.kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO) * (size_t)getpagesize());
	assert_int_equal(ring->last, 1);
	a.op = KVM_BPF_IODEV_REPLACE;
	a.flags |= KVM_BPF_IODEV_DRAIN;
	ATTACH(a);
	START(read_byte);
	assert_int_equal(run_guest(0), MODEL);
	ring->first = ring->last;
	START(read_byte);
	assert_int_equal(run_guest(0), 'A');
	START(index_then_read);
	assert_int_equal(run_guest(0), MODEL);
	ring->first = 0xffffffff; /* whatever userspace writes there */
	START(read_byte);
	assert_int_equal(run_guest(0), MODEL);
}

/* ---- string instructions that are cut ------------------------------------------------------- */

/* The program answers some, and userspace the rest. Each element once, in order. */
static void test_cut_string(void **state)
{
	(void)state;
	iodev_need(missing);
	for (unsigned every = 0; every < 9; every++) {
		struct kvm_bpf_iodev a = iodev_args(&v, "counter");

		a.flags |= KVM_BPF_IODEV_STATEFUL;
		ATTACH(a);
		model_counts = true;
		v.page->count = 0;
		v.page->every = every;
		START(rep_in);
		assert_true(run_guest(0) >= 0);
		assert_int_equal(v.page->count, 64);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(v.mem[GUEST_BUFFER + i], i + 1);
		assert_int_equal(iodev_detach(&v, &a), 0);
	}
	assert_true(exits > 0);
}

/* More than one batch, of elements of two bytes. */
static void test_cut_long_string(void **state)
{
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "counter");
	a.flags |= KVM_BPF_IODEV_STATEFUL;
	ATTACH(a);
	model_counts = true;
	v.page->every = 100;
	START(rep_in_words);
	assert_true(run_guest(0) >= 0);
	assert_int_equal(v.page->count, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(v.mem[GUEST_BUFFER + 2 * i], (uint8_t)(i + 1));
}

static void test_cut_pure_string(void **state)
{
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "below_limit");
	ATTACH(a);
	v.page->count = 7;
	v.page->limit = 8;
	START(rep_in);
	assert_true(run_guest(0) >= 0);
	assert_int_equal(exits, 0);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(v.mem[GUEST_BUFFER + i], 7);
	v.page->limit = 0;
	START(rep_in);
	assert_true(run_guest(0) >= 0);
	assert_int_equal(exits, 1);
	assert_int_equal(last_count, 64);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(v.mem[GUEST_BUFFER + i], MODEL);
}

static void test_string_out(void **state)
{
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "counter");
	a.flags = KVM_BPF_IODEV_WRITE | KVM_BPF_IODEV_STATEFUL;
	ATTACH(a);
	model_counts = true;
	v.page->every = 5;
	for (unsigned i = 0; i < 64; i++)
		v.mem[GUEST_BUFFER + i] = (uint8_t)(i + 1);
	START(rep_out);
	assert_true(run_guest(0) >= 0);
	assert_int_equal(v.page->count, 64);
	assert_int_equal(v.page->written, 64);
	assert_true(exits >= 12);
}

/* ---- others at work --------------------------------------------------------------------------- */

static atomic_bool stop;
static atomic_int failed;
static pthread_t threads[2];

static void on_signal(int sig)
{
	(void)sig;
}

/* A vCPU until it is stopped, or does what it must not. */
static void *vcpu_thread(void *opaque)
{
	const unsigned index = (unsigned)(uintptr_t)opaque;
	struct kvm_run *run = v.run[index];

	while (!atomic_load(&stop)) {
		if (ioctl(v.vcpu[index], KVM_RUN, 0)) {
			if (errno != EINTR)
				atomic_store(&failed, errno);
			continue;
		}
		if (run->exit_reason == KVM_EXIT_MMIO) {
			memset(run->mmio.data, 0, 8);
			run->mmio.data[0] = MODEL;
		} else if (run->exit_reason == KVM_EXIT_IO && run->io.port == PORT) {
			*((uint8_t *)run + run->io.data_offset) = MODEL;
		} else {
			atomic_store(&failed, 1000);
			return NULL;
		}
	}
	return NULL;
}

static void start_vcpus(unsigned count)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGUSR1, &sa, NULL);
	atomic_store(&stop, false);
	atomic_store(&failed, 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, vcpu_thread, (void *)(uintptr_t)i), 0);
}

/* How long it takes to get them out of a loop that never leaves the kernel by itself. */
static double stop_vcpus(unsigned count)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < count; i++) {
		__atomic_store_n(&v.run[i]->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(threads[i], SIGUSR1);
		pthread_join(threads[i], NULL);
		v.run[i]->immediate_exit = 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_int_equal(atomic_load(&failed), 0);
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

static void nap_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void test_spinning_guest_stops(void **state)
{
	struct kvm_bpf_iodev a;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "constant_a");
	ATTACH(a);
	START(spin);
	start_vcpus(1);
	nap_ms(200);
	assert_true(word(0) > 100);
	assert_true(stop_vcpus(1) < 1);
	assert_int_equal(word(2), 0); /* it never came out for the model */
}

/* Two programs in turn, and none now and then: an old one never answers after the call that replaced it has returned. */
static void test_exchange_under_load(void **state)
{
	struct kvm_bpf_iodev a, b;
	uint32_t before;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "constant_a");
	b = iodev_args(&v, "constant_b");
	a.op = b.op = KVM_BPF_IODEV_REPLACE;
	ATTACH(((struct kvm_bpf_iodev[]){iodev_args(&v, "constant_a")})[0]);
	START(spin);
	start_vcpus(1);
	nap_ms(50);
	for (unsigned i = 0; i < 100; i++) {
		ATTACH(b);
		nap_ms(2); /* an answer that is already on its way to the guest's counter */
		before = __atomic_load_n((uint32_t *)(v.mem + GUEST_BUFFER), __ATOMIC_SEQ_CST);
		nap_ms(2);
		assert_int_equal(word(0), before);
		ATTACH(a);
		nap_ms(2);
		before = __atomic_load_n((uint32_t *)(v.mem + GUEST_BUFFER + 4), __ATOMIC_SEQ_CST);
		if (i % 10 == 0) {
			assert_int_equal(iodev_detach(&v, &a), 0);
			nap_ms(2);
			a.op = KVM_BPF_IODEV_ATTACH;
			ATTACH(a);
			a.op = KVM_BPF_IODEV_REPLACE;
		}
		assert_int_equal(word(1), before);
	}
	stop_vcpus(1);
	assert_true(word(0) > 0 && word(1) > 0 && word(2) > 0);
}

/*
 * Two vCPUs read what the model changes in two steps, under the sequence count: an answer of one half would be another number.
 * spin_words ends with an exit to port 0xf00 then, which is a failure.
 */
static void test_model_reprograms(void **state)
{
	struct kvm_bpf_iodev a, s;
	struct timespec begin, now;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "both_words");
	a.bus = KVM_BPF_IODEV_BUS_MMIO;
	a.addr = MMIO_AT;
	ATTACH(a);
	v.page->b = ~0ull;
	for (unsigned i = 0; i < 2; i++)
		assert_true(iodev_vcpu(&v, i, spin_words, (size_t)(spin_words_end - spin_words)));
	start_vcpus(2);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t n = 1;; n++) {
		uint32_t even = __atomic_load_n(&v.page->head.seq, __ATOMIC_RELAXED);

		assert_int_equal(even & 1, 0);
		__atomic_store_n(&v.page->head.seq, even + 1, __ATOMIC_SEQ_CST);
		HR_STORE(v.page->a, n);
		for (volatile int i = 0; i < 20; i++)
			;
		HR_STORE(v.page->b, ~n);
		__atomic_store_n(&v.page->head.seq, even + 2, __ATOMIC_RELEASE);
		for (volatile int i = 0; i < 300; i++)
			;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - begin.tv_sec >= 3)
			break;
	}
	stop_vcpus(2);
	s = iodev_stats(&v, &a);
	assert_true(s.answered > 1000);
	print_message("two vCPUs: %llu answers, %llu thrown away, %llu to userspace\n", (unsigned long long)s.answered,
		(unsigned long long)s.retried, (unsigned long long)s.busy);
}

/* Two vCPUs count in one page: no count is lost. */
static void test_two_count(void **state)
{
	struct kvm_bpf_iodev a, s;

	(void)state;
	iodev_need(missing);
	a = iodev_args(&v, "counter");
	a.flags |= KVM_BPF_IODEV_STATEFUL;
	a.bus = KVM_BPF_IODEV_BUS_MMIO;
	a.addr = MMIO_AT;
	v.page->count = 0;
	ATTACH(a);
	/* a loop whose answers are not looked at */
	GUEST(spin_any, "movl $0xd0000000,%esi\n1: movl (%esi),%eax\njmp 1b\n");
	for (unsigned i = 0; i < 2; i++)
		assert_true(iodev_vcpu(&v, i, spin_any, (size_t)(spin_any_end - spin_any)));
	start_vcpus(2);
	nap_ms(1500);
	stop_vcpus(2);
	s = iodev_stats(&v, &a);
	assert_true(s.answered > 1000);
	assert_int_equal(s.answered, v.page->count);
	assert_int_equal(v.page->head.seq, (uint32_t)(2 * s.answered));
}

/* ---- nothing is left behind ------------------------------------------------------------------- */

static unsigned count_ids(int (*next)(uint32_t, uint32_t *))
{
	uint32_t id = 0;
	unsigned n = 0;

	while (next(id, &id) == 0)
		n++;
	return n;
}

static int references(const char *module)
{
	char name[64];
	FILE *f;
	int n = -1;

	snprintf(name, sizeof(name), "/sys/module/%s/refcnt", module);
	f = fopen(name, "r");
	if (f && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

/* What other tests have left goes at the next grace period: until nothing has gone for a while. */
static void settle(void)
{
	for (unsigned last = ~0u, still = 0; still < 5; nap_ms(100)) {
		const unsigned now = count_ids(bpf_prog_get_next_id) + count_ids(bpf_map_get_next_id);

		still = now == last ? still + 1 : 0;
		last = now;
	}
}

/* A VMM with a vCPU that spins in a program's answers, killed there; others before and after it must not differ. */
static void test_kill(void **state)
{
	(void)state;
	iodev_need(missing);
	settle();
	for (unsigned round = 0; round < 5; round++) {
		const unsigned progs = count_ids(bpf_prog_get_next_id), maps = count_ids(bpf_map_get_next_id);
		const int kvm = references("kvm"), amd = references("kvm_amd");
		int ready[2], status;
		char byte;
		pid_t pid;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct iodev_vm own;
			struct kvm_bpf_iodev a;

			if (!iodev_open(&own, path, false))
				_exit(1);
			atomic_store(&stop, false);
			v = own;
			a = iodev_args(&v, "constant_a");
			if (iodev_do(&v, &a) || !iodev_vcpu(&v, 0, spin, (size_t)(spin_end - spin)) ||
				write(ready[1], "x", 1) != 1)
				_exit(1);
			vcpu_thread(NULL);
			_exit(1);
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
		nap_ms(50 * (long)round);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		for (unsigned i = 0; i < 100; i++) { /* the last grace periods */
			if (count_ids(bpf_prog_get_next_id) == progs && count_ids(bpf_map_get_next_id) == maps &&
				references("kvm") == kvm && references("kvm_amd") == amd)
				break;
			nap_ms(50);
		}
		assert_int_equal(count_ids(bpf_prog_get_next_id), progs);
		assert_int_equal(count_ids(bpf_map_get_next_id), maps);
		assert_int_equal(references("kvm"), kvm);
		assert_int_equal(references("kvm_amd"), amd);
		close(ready[0]);
		close(ready[1]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers),
		TEST(test_the_vcpu),
		TEST(test_sizes_and_directions),
		TEST(test_punts),
		TEST(test_tables_and_time),
		TEST(test_busy_page),
		TEST(test_liars),
		TEST(test_ring),
		TEST(test_drain),
		TEST(test_cut_string),
		TEST(test_cut_long_string),
		TEST(test_cut_pure_string),
		TEST(test_string_out),
		TEST(test_spinning_guest_stops),
		TEST(test_exchange_under_load),
		TEST(test_model_reprograms),
		TEST(test_two_count),
		TEST(test_kill),
	};

	cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
