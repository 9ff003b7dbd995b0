// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_kvm_deferred.c: deferred writes on the real KVM: whole VMs with tiny guests and a device that records what
 * reaches it. Guest order from two vCPUs, a full ring, a timer while the guest sleeps, a reset, a range that moves;
 * and the same with a KVM that cannot defer, that refuses to, and with --accel off and check.
 * Skipped by name where /dev/kvm cannot be opened.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/machine_int.h"
#include "vmm/kvm_state.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define PORT 0x5000	 /* zones: 0x5000-0x5003 and 0x5006 */
#define MMIO 0xd0000000u /* zone: the first 8 bytes */
#define MOVING 0x5100	 /* one port, all a zone */
#define OFFSET_ARM 9	 /* write: a timer in that many units of 10 ms */
#define OFFSET_RESETS 10 /* read: how many there were */
#define OFFSET_MOVE 11	 /* write: MOVING goes to 0x5200 */
#define BURST 400u	 /* more than KVM's ring has */
#define TICKETS 1500u
#define LOG_MAX 2048
#define RESET_MARK 0xffffffffu

/* A guest at 0x7c00, in real mode. */
#define GUEST(name, body)                                                                                              \
	extern const uint8_t name[], name##_end[];                                                                     \
	__asm__(".pushsection .rodata\n.code16\n" #name ":\n77:\n" body "\n" #name "_end:\n.code64\n.popsection\n")
#define AT(label) "(" label "-77b+0x7c00)"
#define END "movb $0,%al\noutb %al,$0xf4\n99:hlt\njmp 99b\n"

static struct {
	struct vm vm;
	struct device dev;
	struct timer timer;
	struct range *moving;
	/* dev.lock */
	uint32_t log[LOG_MAX], vcpu[LOG_MAX];
	unsigned count, resets, at_timer;
	/* the KVM that is played */
	bool hide_pio, hide_mmio, refuse;
	void *(*meanwhile)(void *); /* started with the VM; NULL: nothing */
	/* what was asked of it */
	_Atomic unsigned registered, unregistered;
} t;

/* The linker sends hotreg's ioctl() calls here (--wrap). */
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	if (request == KVM_CHECK_EXTENSION &&
		((t.hide_pio && arg == KVM_CAP_COALESCED_PIO) || (t.hide_mmio && arg == KVM_CAP_COALESCED_MMIO)))
		return 0;
	if (request == KVM_REGISTER_COALESCED_MMIO) {
		t.registered++;
		if (t.refuse) {
			errno = ENOSPC;
			return -1;
		}
	}
	t.unregistered += request == KVM_UNREGISTER_COALESCED_MMIO;
	return __real_ioctl(fd, request, arg);
}

/* ---- the device ---- */

static void note(const struct io_req *req)
{
	assert_true(t.count < LOG_MAX);
	t.vcpu[t.count] = req->io.vcpu;
	t.log[t.count++] = (uint32_t)req->io.value;
}

static void rec_read(struct device *dev, struct io_req *req)
{
	(void)dev;
	req->io.result = req->io.offset == OFFSET_RESETS ? t.resets : t.count;
}

static void rec_write(struct device *dev, struct io_req *req)
{
	if (req->bus == IO_PIO && req->addr == PORT + OFFSET_ARM)
		timer_arm(dev->clock, &t.timer, device_now(dev) + req->io.value * 10000000);
	else if (req->bus == IO_PIO && req->addr == PORT + OFFSET_MOVE)
		bus_map(&t.vm.bus, t.moving, MOVING + 0x100);
	else
		note(req);
}

static void rec_fire(void *opaque)
{
	(void)opaque;
	pthread_mutex_lock(&t.dev.lock);
	t.at_timer = t.count;
	pthread_mutex_unlock(&t.dev.lock);
	vm_guest_stops(&t.vm, 0, "the timer fired");
}

static void rec_reset(struct device *dev)
{
	(void)dev;
	t.log[t.count++] = RESET_MARK;
	t.resets++;
}

static void rec_destroy(struct device *dev)
{
	(void)dev;
}

static const struct device_ops rec_ops = {.reset = rec_reset, .destroy = rec_destroy};
static const struct range_zone pio_zones[] = {{0, 4, false}, {6, 1, false}, {0, 0, false}},
			       mmio_zones[] = {{0, 8, false}, {0, 0, false}};
static const struct range_zone moving_zones[] = {{0, 1, false}, {0, 0, false}};

/* ---- a run ---- */

static bool has_kvm(void)
{
	struct accel_err err;
	int fd = kvm_open(&err);

	if (fd >= 0) {
		close(fd);
		return true;
	}
	printf("skipped: %s\n", err.text);
	return false;
}

static void add_ranges(void)
{
	static const struct range common = {
		.dev = &t.dev, .width = 4, .read = rec_read, .write = rec_write, .mapped = true};
	struct range pio = common, mmio = common, moving = common;

	pio.name = "rec.pio";
	pio.base = PORT;
	pio.len = 16;
	pio.deferred = pio_zones;
	mmio.name = "rec.mmio";
	mmio.bus = IO_MMIO;
	mmio.base = MMIO;
	mmio.len = 16;
	mmio.deferred = mmio_zones;
	moving.name = "rec.moving";
	moving.base = MOVING;
	moving.len = 1;
	moving.deferred = moving_zones;
	assert_true(bus_add(&t.vm.bus, &pio) && bus_add(&t.vm.bus, &mmio));
	t.moving = bus_add(&t.vm.bus, &moving);
	assert_non_null(t.moving);
}

/* Runs the guest to its end. Returns the exits of vCPU 0. */
static uint64_t run(const uint8_t *guest, const uint8_t *end, unsigned cpus, enum opt_accel accel, int want_status)
{
	int fd = memfd_create("guest", MFD_CLOEXEC), status;
	struct accel_err err = {""};
	char path[32];
	struct options opt = {
		.kernel = path,
		.mem_bytes = 4u << 20,
		.cpus = cpus,
		.cpu = OPT_CPU_KVM,
		.accel = accel,
		.serial = "none",
		.timeout_s = 100,
		.quiet = true,
	};
	pthread_t other;
	uint64_t exits;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(write(fd, guest, (size_t)(end - guest)), end - guest);
	t.count = t.resets = t.at_timer = 0;
	t.registered = t.unregistered = 0;
	if (vm_create(&t.vm, &opt, &err))
		fail_msg("%s", err.text);
	assert_int_equal(device_init(&t.dev, "recorder", &rec_ops, &t.vm.clock, 0, 0), 0);
	timer_init(&t.timer, rec_fire, NULL);
	add_ranges();
	t.vm.machine->devs[t.vm.machine->dev_count++] = &t.dev; /* resets reach it */
	if (t.meanwhile)
		assert_int_equal(pthread_create(&other, NULL, t.meanwhile, NULL), 0);
	status = vm_run(&t.vm, &err);
	if (t.meanwhile)
		pthread_join(other, NULL);
	t.meanwhile = NULL;
	if (status != want_status)
		fail_msg("status %d: %s; %s", status, t.vm.stop_reason, err.text);
	exits = cpu_exits(t.vm.cpus[0]);
	timer_cancel(&t.vm.clock, &t.timer);
	vm_destroy(&t.vm);
	device_cleanup(&t.dev);
	close(fd);
	return exits;
}

#define RUN(guest, cpus, accel, status) run(guest, guest##_end, cpus, accel, status)

/* ---- one vCPU ---- */

/* 400 bytes to a zone, each value its number modulo 256, and one to a register that is none. */
GUEST(g_burst, "movw $400,%cx\nmovb $0,%al\nmovw $0x5000,%dx\n1:outb %al,%dx\nincb %al\nloop 1b\n"
	       "movw $0x5008,%dx\nmovb $0x77,%al\noutb %al,%dx\n" END);

static void check_burst(void)
{
	assert_int_equal(t.count, BURST + 1);
	for (unsigned i = 0; i < BURST; i++)
		assert_int_equal(t.log[i], i & 0xff);
	assert_int_equal(t.log[BURST], 0x77);
}

static void test_burst(void **state)
{
	static const enum opt_accel modes[] = {OPT_ACCEL_ON, OPT_ACCEL_AUTO, OPT_ACCEL_CHECK};

	(void)state;
	if (!has_kvm())
		skip();
	for (unsigned i = 0; i < 3; i++) {
		uint64_t exits = RUN(g_burst, 1, modes[i], 1);

		check_burst();
		/* the ring has 170 places, of which old kernels use 85 at times; the two direct ones; HLT, interrupts */
		assert_in_range(exits, 2, 2 + BURST / 85 + 5);
		assert_int_equal(t.vcpu[0], 1); /* which vCPU is not known: their number */
		assert_int_equal(t.vcpu[BURST], 0);
		assert_true(t.registered > 0);
	}
}

/* A KVM that cannot, one that can only defer memory, one that refuses; and models only. Nothing else differs. */
static void test_without(void **state)
{
	(void)state;
	if (!has_kvm())
		skip();
	t.hide_mmio = true;
	assert_true(RUN(g_burst, 1, OPT_ACCEL_ON, 1) >= BURST + 2);
	check_burst();
	assert_int_equal(t.registered, 0);
	t.hide_mmio = false;
	t.hide_pio = true;
	assert_true(RUN(g_burst, 1, OPT_ACCEL_ON, 1) >= BURST + 2);
	check_burst();
	t.hide_pio = false;
	t.refuse = true;
	assert_true(RUN(g_burst, 1, OPT_ACCEL_ON, 1) >= BURST + 2);
	check_burst();
	assert_true(t.registered > 0);
	t.refuse = false;
	assert_true(RUN(g_burst, 1, OPT_ACCEL_OFF, 1) >= BURST + 2);
	check_burst();
	assert_int_equal(t.registered, 0);
	assert_int_equal(t.vcpu[0], 0);
}

/* The guest arms a timer, writes, and sleeps for ever: no exit tells hotreg of the writes, but the timer sees them. */
GUEST(g_timer, "movw $0x5009,%dx\nmovb $50,%al\noutb %al,%dx\nmovw $0x5000,%dx\nmovw $5,%cx\n"
	       "1:outb %al,%dx\nloop 1b\ncli\n2:hlt\njmp 2b\n");

static void test_timer(void **state)
{
	(void)state;
	if (!has_kvm())
		skip();
	RUN(g_timer, 1, OPT_ACCEL_ON, 0);
	assert_int_equal(t.at_timer, 5);
	assert_int_equal(t.vcpu[0], 1);
}

/* The same, and the VM is ended from outside while they wait: the report at the end has them. */
GUEST(g_asleep, "movw $0x5000,%dx\nmovw $5,%cx\n1:outb %al,%dx\nloop 1b\ncli\n2:hlt\njmp 2b\n");

static void *end_soon(void *arg)
{
	(void)arg;
	usleep(500000);
	vm_request_stop(&t.vm, 0, "by the test");
	return NULL;
}

static void test_end(void **state)
{
	(void)state;
	if (!has_kvm())
		skip();
	t.meanwhile = end_soon;
	RUN(g_asleep, 1, OPT_ACCEL_ON, 0);
	assert_int_equal(t.count, 5);
}

/* Three writes; then the reset control register, or sleep. After the reset one write and the end. */
#define RESET_GUEST(how)                                                                                               \
	"movw $0x500a,%dx\ninb %dx,%al\ntestb %al,%al\njnz 3f\n"                                                       \
	"movw $0x5000,%dx\nmovw $3,%cx\n1:movb %cl,%al\noutb %al,%dx\nloop 1b\n" how                                   \
	"cli\n2:hlt\njmp 2b\n3:movw $0x5006,%dx\nmovb $9,%al\noutb %al,%dx\n" END
GUEST(g_reset, RESET_GUEST("movw $0xcf9,%dx\nmovb $2,%al\noutb %al,%dx\nmovb $6,%al\noutb %al,%dx\n"));
GUEST(g_reset_asleep, RESET_GUEST(""));

static void check_reset(void)
{
	static const uint32_t want[] = {3, 2, 1, RESET_MARK, 9};

	assert_int_equal(t.count, 5);
	assert_memory_equal(t.log, want, sizeof(want));
}

static void test_reset(void **state)
{
	(void)state;
	if (!has_kvm())
		skip();
	RUN(g_reset, 1, OPT_ACCEL_ON, 1);
	check_reset();
}

static void *reset_soon(void *arg)
{
	(void)arg;
	usleep(500000);
	vm_request_host_reset(&t.vm);
	return NULL;
}

/* From outside: no exit drains what the sleeping guest has written, the reset itself does. */
static void test_host_reset(void **state)
{
	(void)state;
	if (!has_kvm())
		skip();
	t.meanwhile = reset_soon;
	RUN(g_reset_asleep, 1, OPT_ACCEL_ON, 1);
	check_reset();
}

/* The place that moves: written, moved, written where it was and where it is. */
GUEST(g_move, "movw $0x5100,%dx\nmovb $1,%al\noutb %al,%dx\nincb %al\noutb %al,%dx\n"
	      "movw $0x500b,%dx\noutb %al,%dx\nmovw $0x5100,%dx\nmovb $3,%al\noutb %al,%dx\n"
	      "movw $0x5200,%dx\nmovw $20,%cx\nmovb $4,%al\n1:outb %al,%dx\nincb %al\nloop 1b\n" END);

static void test_move(void **state)
{
	uint64_t exits;

	(void)state;
	if (!has_kvm())
		skip();
	exits = RUN(g_move, 1, OPT_ACCEL_ON, 1);
	assert_int_equal(t.count, 22);
	for (unsigned i = 0; i < 22; i++)
		assert_int_equal(t.log[i], i < 2 ? i + 1 : i + 2);
	assert_int_equal(t.unregistered, 1);
	/* the move, the write to nobody, the end; HLT and the like */
	assert_in_range(exits, 3, 8);
}

/* ---- two vCPUs ---- */

/*
 * Both take tickets under a lock in memory and write them inside it: to the zone of ports, to that of memory, or directly, by
 * the ticket. vCPU 1 starts at 0x8000 by INIT and SIPI. 0x9000: the lock, 0x9004: the last ticket, 0x9008: who is done.
 */
#define TO_FLAT(target)                                                                                                \
	"cli\nxorw %ax,%ax\nmovw %ax,%ds\nlgdtl " AT("80f") "\nmovl %cr0,%eax\norl $1,%eax\nmovl %eax,%cr0\n"          \
							    "ljmpl $8,$" AT(target) "\n"
GUEST(g_tickets,
	TO_FLAT("10f") ".balign 8\n80:.word 23\n.long " AT(
		"81f") "\n81:.quad 0,0x00cf9b000000ffff,0x00cf93000000ffff\n"
		       ".code32\n"
		       "10:movw $0x10,%ax\nmovw %ax,%ds\nmovw %ax,%es\nmovw %ax,%ss\n"
		       "movl $0,0x9000\nmovl $0,0x9004\nmovl $0,0x9008\nxorl %ebp,%ebp\n"
		       "movl $0xfee00000,%ebx\nmovl $0x1ff,0xf0(%ebx)\n"
		       "movl $0x01000000,0x310(%ebx)\nmovl $0x4500,0x300(%ebx)\n"
		       "movl $20000,%ecx\n1:loop 1b\nmovl $0x4608,0x300(%ebx)\njmp 20f\n"
		       "15:movw $0x10,%ax\nmovw %ax,%ds\nmovw %ax,%es\nmovw %ax,%ss\nmovl $1,%ebp\n"
		       "20:movl $1,%eax\n21:xchgl %eax,0x9000\ntestl %eax,%eax\njz 22f\npause\njmp 21b\n"
		       "22:movl 0x9004,%eax\nincl %eax\ncmpl $1500,%eax\nja 30f\nmovl %eax,0x9004\n"
		       "movl %eax,%ecx\nandl $7,%ecx\n"
		       "movw $0x5008,%dx\ncmpl $5,%ecx\nje 23f\nmovw $0x5000,%dx\ncmpl $3,%ecx\njb 24f\n"
		       "23:outl %eax,%dx\njmp 25f\n24:movl %eax,0xd0000004\n"
		       "25:movl $0,0x9000\nmovl $30,%ecx\n26:pause\nloop 26b\njmp 20b\n"
		       "30:incl 0x9008\nmovl $0,0x9000\ntestl %ebp,%ebp\njnz 40f\n"
		       "31:cmpl $2,0x9008\njne 31b\nmovb $0,%al\noutb %al,$0xf4\n40:cli\nhlt\njmp 40b\n"
		       ".code16\n.org 77b+0x400\n"
		       "cli\nxorw %ax,%ax\nmovw %ax,%ds\nlgdtl " AT(
			       "80b") "\nmovl %cr0,%eax\norl $1,%eax\nmovl %eax,%cr0\nljmpl $8,$" AT("15b") "\n");

static void test_two_vcpus(void **state)
{
	static const enum opt_accel modes[] = {OPT_ACCEL_ON, OPT_ACCEL_CHECK, OPT_ACCEL_OFF};

	(void)state;
	if (!has_kvm())
		skip();
	for (unsigned m = 0; m < 3; m++) {
		unsigned of[3] = {0};

		RUN(g_tickets, 2, modes[m], 1);
		assert_int_equal(t.count, TICKETS);
		for (unsigned i = 0; i < TICKETS; i++) {
			assert_int_equal(t.log[i], i + 1);
			assert_in_range(t.vcpu[i], 0, 2);
			of[t.vcpu[i]]++;
		}
		if (modes[m] == OPT_ACCEL_OFF)
			assert_true(of[0] > 0 && of[1] > 0 && of[2] == 0);
		else
			assert_true(of[2] >= TICKETS / 2 && of[0] + of[1] >= TICKETS / 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_without),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_host_reset),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_two_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
