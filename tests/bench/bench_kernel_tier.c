// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench_kernel_tier.c: instructions of one access, on a machine whose time stamp counter counts instructions: the bed of
 * scripts/kernel-tier.sh with NESTED_ICOUNT=shift=0. Elsewhere the same in TSC ticks. A bare guest does the same access over and
 * over; the least of several rounds counts. "To userspace" is the least a VMM can do: an ioctl(KVM_RUN) for each access.
 */
#include <stdint.h>
#include <sys/eventfd.h>

#include "tests/unit/iodev_vm.h"

#define ROUNDS 30
#define ACCESSES 200
#define END_PORT 0xf4

#define GUEST(name, body)                                                                                              \
	extern const uint8_t name[], name##_end[];                                                                     \
	__asm__(".pushsection .rodata\n.code32\n" #name ":\n" body "\n" #name "_end:\n.code64\n.popsection\n")
#define TIMES(access) "movl $200,%ecx\n1: " access "\ndecl %ecx\njnz 1b\nmovw $0xf4,%dx\noutb %al,%dx\njmp " /* again */

GUEST(loop_empty, "2: movw $0x1000,%dx\n" TIMES("nop") "2b\n");
GUEST(loop_in, "2: movw $0x1000,%dx\n" TIMES("inb %dx,%al") "2b\n");
GUEST(loop_out, "2: movw $0x1000,%dx\n" TIMES("outb %al,%dx") "2b\n");
GUEST(loop_pit, "2: movw $0x40,%dx\n" TIMES("inb %dx,%al") "2b\n");
GUEST(loop_mmio, "2: movl $0xd0000000,%esi\n" TIMES("movl (%esi),%eax") "2b\n");
GUEST(loop_mmio_out, "2: movl $0xd0000000,%esi\n" TIMES("movl %eax,(%esi)") "2b\n");

static struct iodev_vm v;

static inline uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence\nrdtsc\nlfence" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

/* Ticks from one write to the end port to the next, with the accesses between; the least. */
static double measure(const uint8_t *guest, size_t bytes)
{
	uint64_t begin = 0, least = ~0ull;
	struct kvm_run *run;

	if (!iodev_vcpu(&v, 0, guest, bytes))
		return -1;
	run = v.run[0];
	for (unsigned ends = 0; ends <= ROUNDS;) {
		if (ioctl(v.vcpu[0], KVM_RUN, 0))
			return -1;
		if (run->exit_reason == KVM_EXIT_IO && run->io.port == END_PORT) {
			const uint64_t now = ticks();

			if (ends++ > 0 && now - begin < least)
				least = now - begin;
			begin = ticks();
		} else if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO) {
			return -1;
		}
	}
	return (double)least / ACCESSES;
}

static double empty;

#define MEASURE(guest) (measure(guest, (size_t)(guest##_end - guest)) - empty)

static void say(const char *what, double n)
{
	printf("%-44s %8.0f\n", what, n);
	fflush(stdout);
}

static void programs(uint32_t bus, const uint8_t *guest, size_t bytes, const char *name)
{
	static const char *const kinds[][3] = {{"constant_a", "a constant", ""},
		{"both_words", "two words of the page", ""}, {"the_time", "the clock", ""},
		{"counter", "stateful, counts", "s"}, {"always_punt", "punts", ""}};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct kvm_bpf_iodev a = iodev_args(&v, kinds[i][0]);
		char what[64];

		a.bus = bus;
		a.addr = bus == KVM_BPF_IODEV_BUS_PIO ? PORT : MMIO_AT;
		a.flags |= kinds[i][2][0] ? KVM_BPF_IODEV_STATEFUL : 0;
		if (iodev_do(&v, &a))
			continue;
		snprintf(what, sizeof(what), "%s, program: %s", name, kinds[i][1]);
		say(what, measure(guest, bytes) - empty);
		iodev_detach(&v, &a);
	}
}

static double ioeventfd_write(const uint8_t *guest, size_t bytes, uint64_t addr, uint32_t len, uint32_t flags)
{
	struct kvm_ioeventfd e = {.addr = addr, .len = len, .fd = eventfd(0, EFD_NONBLOCK), .flags = flags};
	double n;

	if (ioctl(v.vm, KVM_IOEVENTFD, &e))
		return -1;
	n = measure(guest, bytes) - empty;
	e.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	ioctl(v.vm, KVM_IOEVENTFD, &e);
	close(e.fd);
	return n;
}

#define SIZED(guest) guest, (size_t)(guest##_end - guest)

/*
 * The chips that the VM has in KVM, which each entry into the guest looks after: none, the local APICs as hotreg has them, or all
 * with the PIT.
 */
enum chips { CHIPS_NONE, CHIPS_SPLIT, CHIPS_ALL, CHIPS_COUNT };

static bool add_chips(enum chips chips)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	struct kvm_pit_config pit = {.flags = 0};

	switch (chips) {
	case CHIPS_SPLIT:
		return ioctl(v.vm, KVM_ENABLE_CAP, &split) == 0;
	case CHIPS_ALL:
		return ioctl(v.vm, KVM_CREATE_IRQCHIP, 0) == 0 && ioctl(v.vm, KVM_CREATE_PIT2, &pit) == 0;
	default:
		return true;
	}
}

static int run(const char *path, enum chips chips)
{
	static const char *const names[] = {"no chips", "local APICs", "all its chips"};

	if (!iodev_open(&v, path, false) || !add_chips(chips))
		return 1;
	printf("---- a VM with %s in KVM\n", names[chips]);
	empty = 0;
	empty = measure(SIZED(loop_empty));
	say("loop without an access", empty);
	say("PIO read, to userspace", MEASURE(loop_in));
	say("PIO write, to userspace", MEASURE(loop_out));
	if (chips == CHIPS_ALL)
		say("PIO read, PIT in the kernel", MEASURE(loop_pit));
	say("PIO write, ioeventfd", ioeventfd_write(SIZED(loop_out), PORT, 1, KVM_IOEVENTFD_FLAG_PIO));
	programs(KVM_BPF_IODEV_BUS_PIO, SIZED(loop_in), "PIO read");
	say("MMIO read, to userspace", MEASURE(loop_mmio));
	say("MMIO write, to userspace", MEASURE(loop_mmio_out));
	say("MMIO write, ioeventfd", ioeventfd_write(SIZED(loop_mmio_out), MMIO_AT, 4, 0));
	programs(KVM_BPF_IODEV_BUS_MMIO, SIZED(loop_mmio), "MMIO read");
	iodev_close(&v);
	return 0;
}

int main(void)
{
	const char *build = getenv("BUILD"), *missing = iodev_missing();
	char path[256];

	if (missing) {
		printf("needs a patched KVM: %s\n", missing);
		return 77;
	}
	snprintf(path, sizeof(path), "%s/tests/prog/iodev.bpf.o", build ? build : "build");
	for (enum chips chips = CHIPS_NONE; chips < CHIPS_COUNT; chips++) {
		if (run(path, chips))
			return 1;
	}
	return 0;
}
