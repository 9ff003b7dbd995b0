// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_cpu_kvm.c: tiny guests on /dev/kvm over a fake bus that records accesses; memory is the
 * real one. Expected values are from the Intel SDM. Each test runs with the local APICs in the
 * kernel and, where that makes a difference, again as on a KVM without split irqchip.
 * Every test is skipped by name where /dev/kvm cannot be opened.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/kvm_state.h"
#include "vmm/kvm_tier.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define CAP_DISABLE_QUIRKS2 213
#define MIB 0x100000ull
#define BASE 0x7c00
#define PORT_RAISE 0x80	 /* write V: the interrupt controller asks for vector V at once */
#define PORT_LATER 0x81	 /* write V: and this one 5 ms later, from another thread */
#define PORT_PING 0x84	 /* any access: the pinger thread asks for vector 0x21 within 100 us */
#define PORT_RACE 0x85	 /* any access: the next KVM_RUN is preceded by a kick at the worst moment */
#define PORT_RESET 0x82	 /* any access asks for a reset */
#define PORT_PAM 0x83	 /* write: attributes of the shadow segment at 0xc0000 */
#define PORT_DATA 0x1f0	 /* reads count up, byte by byte */
#define PORT_END 0xf4	 /* write: ends the run */
#define MMIO 0xfed00000u /* reads give the bytes 11 22 33 44 55 66 77 88, over and over */
#define HANG_SECONDS 60
static unsigned slowness = 1; /* of the machine, in what is timed */

/* A guest: assembled in place, copied to 0x7c00. AT(label) is a label's address there. */
#define GUEST(name, mode, body)                                                                                        \
	extern const uint8_t name[], name##_end[];                                                                     \
	__asm__(".pushsection .rodata\n" mode "\n" #name ":\n77:\n" body "\n" #name "_end:\n.code64\n.popsection\n")
#define GUEST16(name, body) GUEST(name, ".code16", body)
#define GUEST32(name, body) GUEST(name, ".code32", body)
#define AT(label) "(" label "-77b+0x7c00)"
#define END "outb %al,$0xf4\nhlt\n"

struct seen {
	uint64_t addr, value;
	uint32_t count;
	uint8_t bus, size, is_write, vcpu;
};

static struct {
	struct vm vm;
	struct cpu *cpus[VM_MAX_CPUS];
	pthread_mutex_t lock; /* of what follows */
	struct seen seen[128];
	unsigned seen_count;
	uint8_t data;
	uint8_t written[64]; /* by string writes */
	unsigned written_bytes;
	int vectors[8];
	unsigned vector_count, acks;
	pthread_t later[64];
	unsigned later_count;
	unsigned resets;
	/* constant in a test */
	struct accel_err err;
} t;

static int known_quirks = -1; /* what KVM says that it can leave; -1: ask it */
static uint64_t left_quirks;  /* what it was told to leave */
static bool hide_split;	      /* KVM as before Linux 4.5 */
static bool hide_readonly;    /* KVM without read-only memory */
static unsigned refuse;	      /* that many vectors come back with EEXIST */
static atomic_uint pings;
static bool race; /* kick between the backend's look at the flags and KVM_RUN */

static void *ask_at_once(void *vector);

/* The linker sends hotreg's ioctl() calls here (--wrap). */
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	const struct kvm_enable_cap *cap = (const void *)arg;

	if (hide_split && request == KVM_CHECK_EXTENSION && arg == KVM_CAP_SPLIT_IRQCHIP)
		return 0;
	if (known_quirks >= 0 && request == KVM_CHECK_EXTENSION && arg == CAP_DISABLE_QUIRKS2)
		return known_quirks;
	if (request == KVM_ENABLE_CAP && cap->cap == CAP_DISABLE_QUIRKS2) {
		left_quirks = cap->args[0];
		if (known_quirks >= 0)
			return 0;
	}
	if (hide_readonly && request == KVM_CHECK_EXTENSION && arg == KVM_CAP_READONLY_MEM)
		return 0;
	if (refuse && request == KVM_INTERRUPT) {
		refuse--;
		errno = EEXIST;
		return -1;
	}
	if (race && request == KVM_RUN) {
		pthread_t other;

		race = false;
		assert_int_equal(pthread_create(&other, NULL, ask_at_once, (void *)0x21), 0);
		pthread_join(other, NULL);
	}
	return __real_ioctl(fd, request, arg);
}

/* ---- fakes ---- */

static void kick_all(void)
{
	for (unsigned i = 0; i < t.vm.cpu_count; i++)
		t.cpus[i]->ops->kick(t.cpus[i]);
}

/* In any order of its own: the guest sees what was asked for first. */
static void ask(int vector)
{
	pthread_mutex_lock(&t.lock);
	assert_true(t.vector_count < 8);
	t.vectors[t.vector_count++] = vector;
	atomic_store(&t.vm.intr, true);
	pthread_mutex_unlock(&t.lock);
	t.cpus[0]->ops->kick(t.cpus[0]);
}

static int ack(void *opaque)
{
	int v = -1;

	(void)opaque;
	pthread_mutex_lock(&t.lock);
	t.acks++;
	if (t.vector_count) {
		v = t.vectors[0];
		memmove(t.vectors, t.vectors + 1, sizeof(t.vectors) - sizeof(t.vectors[0]));
		if (!--t.vector_count)
			atomic_store(&t.vm.intr, false);
	}
	pthread_mutex_unlock(&t.lock);
	return v;
}

static void *ask_at_once(void *vector)
{
	ask((int)(intptr_t)vector);
	return NULL;
}

static void *ask_later(void *vector)
{
	usleep(5000 * slowness);
	ask((int)(intptr_t)vector);
	return NULL;
}

static void end_run(void)
{
	atomic_store(&t.vm.stop, true);
	kick_all();
}

static uint64_t take_data(unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)t.data++ << 8 * i;
	return v;
}

static void data_port(struct io_req *req)
{
	unsigned bytes = req->count * req->io.size;

	if (req->io.is_write) {
		const void *from = req->data ? req->data : &req->io.value;

		assert_true(t.written_bytes + bytes <= sizeof(t.written));
		memcpy(t.written + t.written_bytes, from, bytes);
		t.written_bytes += bytes;
	} else if (req->data) {
		for (unsigned i = 0; i < bytes; i++)
			((uint8_t *)req->data)[i] = t.data++;
	} else {
		req->io.result = take_data(bytes);
	}
}

void bus_io_model(struct range *range, struct io_req *req)
{
	(void)range;
	(void)req;
}

void bus_io_slowly(struct bus *bus, struct io_req *req)
{
	(void)bus;
	assert_true(req->count >= 1 && (req->count == 1) == (req->data == NULL));
	pthread_mutex_lock(&t.lock);
	if (t.seen_count < 128)
		t.seen[t.seen_count++] = (struct seen){req->addr, req->io.value, req->count, (uint8_t)req->bus,
			req->io.size, req->io.is_write, (uint8_t)req->io.vcpu};
	if (req->bus == IO_PIO && req->addr == PORT_DATA)
		data_port(req);
	else if (req->bus == IO_MMIO)
		req->io.result = 0x8877665544332211ull >> 8 * (req->addr & 7);
	pthread_mutex_unlock(&t.lock);
	if (req->bus == IO_MMIO)
		return;
	if (req->addr == PORT_END)
		end_run();
	else if (req->addr == PORT_RAISE)
		ask((int)req->io.value);
	else if (req->addr == PORT_LATER && t.later_count < 64)
		assert_int_equal(
			pthread_create(&t.later[t.later_count++], NULL, ask_later, (void *)(intptr_t)req->io.value), 0);
	else if (req->addr == PORT_RACE)
		race = true;
	else if (req->addr == PORT_PING)
		atomic_fetch_add(&pings, 1);
	else if (req->addr == PORT_RESET)
		vm_request_reset(&t.vm, "port");
	else if (req->addr == PORT_PAM)
		mem_set_pam(&t.vm.mem, 0, (uint8_t)req->io.value);
}

/* No device here has writes that may be deferred; tests/guest/deferred.S is about those. */
void bus_set_zone_watcher(
	struct bus *bus, void (*changed)(void *opaque, const struct bus_zone *zones, unsigned count), void *opaque)
{
	(void)bus;
	(void)changed;
	(void)opaque;
}

/* No program is put into the kernel here: test_kvm_bpf_iodev.c and the nested bed are about those. */
int kvm_tier_start(struct vm *vm, int kvm_fd, int vm_fd, struct kvm_tier **out, struct accel_err *err)
{
	(void)vm;
	(void)kvm_fd;
	(void)vm_fd;
	(void)err;
	*out = NULL;
	return 0;
}

void kvm_tier_stop(struct kvm_tier *tier)
{
	assert_null(tier);
}

void vm_request_reset(struct vm *vm, const char *why)
{
	(void)why;
	t.resets++;
	atomic_store(&vm->reset, true);
	kick_all();
}

/* There is no I/O APIC: tests/guest/fabric.c is about ExtINT by it. */
void vm_route_extint(struct vm *vm, unsigned to)
{
	(void)vm;
	(void)to;
}

void vm_request_stop(struct vm *vm, int status, const char *reason)
{
	fail_msg("stop with status %d: %s", status, reason);
	(void)vm;
}

/* ---- harness ---- */

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

static struct options options = {.no_pv = true};

/* Makes the VM; false (and a printed reason) where there is no KVM. */
static bool start(unsigned cpus, const void *rom, size_t rom_bytes)
{
	if (!has_kvm())
		return false;
	memset(&t, 0, sizeof(t));
	t.vm.opt = &options;
	bus_hot_none(&t.vm.bus);
	assert_int_equal(deferred_init(&t.vm.deferred, &t.vm.bus, cpus), 0);
	pthread_mutex_init(&t.lock, NULL);
	t.vm.cpu_count = cpus;
	t.vm.intr_ack = ack;
	alarm(HANG_SECONDS * slowness); /* a lost wake-up must not hang the tests */
	assert_int_equal(mem_init(&t.vm.mem, 4 * MIB), 0);
	if (rom)
		assert_int_equal(mem_set_rom(&t.vm.mem, rom, rom_bytes), 0);
	if (cpu_kvm_ops.setup(&t.vm, &t.err))
		fail_msg("setup: %s", t.err.text);
	assert_int_equal(t.vm.has_lapic, !hide_split);
	for (unsigned i = 0; i < cpus; i++) {
		if (cpu_kvm_ops.create(&t.vm, i, &t.cpus[i], &t.err))
			fail_msg("create: %s", t.err.text);
		t.vm.cpus[i] = t.cpus[i];
	}
	return true;
}

static void finish(void)
{
	for (unsigned i = 0; i < t.later_count; i++)
		pthread_join(t.later[i], NULL);
	for (unsigned i = 0; i < t.vm.cpu_count; i++)
		cpu_kvm_ops.destroy(t.cpus[i]);
	cpu_kvm_ops.teardown(&t.vm);
	mem_destroy(&t.vm.mem);
	alarm(0);
}

#define START()                                                                                                        \
	do {                                                                                                           \
		if (!start(1, NULL, 0))                                                                                \
			skip();                                                                                        \
	} while (0)

static uint8_t *ram(uint32_t addr)
{
	return t.vm.mem.ram + addr;
}

static uint32_t peek(uint32_t addr, unsigned size)
{
	uint32_t v = 0;

	memcpy(&v, ram(addr), size);
	return v;
}

static void vector16(unsigned vector, uint32_t handler)
{
	memcpy(ram(vector * 4), &handler, 4);
}

static struct cpu_regs regs(void)
{
	struct cpu_regs r;

	assert_int_equal(cpu_kvm_ops.get_regs(t.cpus[0], &r), 0);
	return r;
}

static void load(const uint8_t *code, size_t bytes, bool is_32)
{
	struct cpu_regs r = cpu_regs_reset;

	memcpy(ram(BASE), code, bytes);
	r.cs.selector = 0;
	r.cs.base = 0;
	if (is_32) {
		r.cs = (struct cpu_seg){0x10, 0, 0xffffffff, 0xc9b};
		r.ds = r.es = r.ss = r.fs = r.gs = (struct cpu_seg){0x18, 0, 0xffffffff, 0xc93};
		r.cr0 |= 1;
	}
	r.rip = BASE;
	r.gpr[CPU_RDX] = 0;
	r.gpr[CPU_RSP] = BASE;
	assert_int_equal(cpu_kvm_ops.set_regs(t.cpus[0], &r), 0);
	atomic_store(&t.vm.stop, false);
	atomic_store(&t.vm.reset, false);
}

static void go(void)
{
	if (cpu_kvm_ops.run(t.cpus[0], &t.err))
		fail_msg("run: %s", t.err.text);
}

#define run16(guest) (load(guest, (size_t)(guest##_end - guest), false), go())
#define run32(guest) (load(guest, (size_t)(guest##_end - guest), true), go())

static void check_seen(unsigned i, enum io_bus bus, uint64_t addr, unsigned size, bool is_write, uint64_t value)
{
	assert_true(i < t.seen_count);
	assert_int_equal(t.seen[i].bus, bus);
	assert_int_equal(t.seen[i].addr, addr);
	assert_int_equal(t.seen[i].size, size);
	assert_int_equal(t.seen[i].is_write, is_write);
	assert_int_equal(t.seen[i].value, is_write ? value : 0);
}

/* ---- ports ---- */

GUEST16(g_ports, "movl $0x87654321,%eax\nmovw $0x1234,%dx\n"
		 "outb %al,%dx\noutw %ax,%dx\noutl %eax,%dx\noutb %al,$0x42\n"
		 "movw $0x1f0,%dx\n"
		 "inb %dx,%al\nmovl %eax,0x2000\ninw %dx,%ax\nmovl %eax,0x2004\ninl %dx,%eax\nmovl %eax,0x2008\n" END);

static void test_ports(void **state)
{
	(void)state;
	START();
	run16(g_ports);
	check_seen(0, IO_PIO, 0x1234, 1, true, 0x21);
	check_seen(1, IO_PIO, 0x1234, 2, true, 0x4321);
	check_seen(2, IO_PIO, 0x1234, 4, true, 0x87654321);
	check_seen(3, IO_PIO, 0x42, 1, true, 0x21);
	check_seen(4, IO_PIO, PORT_DATA, 1, false, 0);
	check_seen(5, IO_PIO, PORT_DATA, 2, false, 0);
	check_seen(6, IO_PIO, PORT_DATA, 4, false, 0);
	assert_int_equal(peek(0x2000, 4), 0x87654300);
	assert_int_equal(peek(0x2004, 4), 0x87650201);
	assert_int_equal(peek(0x2008, 4), 0x06050403);
	finish();
}

GUEST16(g_ins, "movw $0x1f0,%dx\nmovw $0x2000,%di\nmovw $256,%cx\nrep insw\n"
	       "movl $0x2200,%edi\nmovl $128,%ecx\naddr32 rep insl\nmovw $5,%cx\nrep insb\n"
	       "std\nmovw $0x3010,%di\nmovw $2,%cx\nrep insw\ncld\n" END);

static void test_ins(void **state)
{
	unsigned bytes = 0;

	(void)state;
	START();
	run16(g_ins);
	for (unsigned i = 0; i < 1029; i++)
		assert_int_equal(*ram(0x2000 + i), i & 0xff);
	/* downwards: the first element at 0x3010 */
	assert_int_equal(peek(0x3010, 2), 0x0605);
	assert_int_equal(peek(0x300e, 2), 0x0807);
	for (unsigned i = 0; i < t.seen_count; i++)
		if (t.seen[i].addr == PORT_DATA)
			bytes += t.seen[i].count * t.seen[i].size;
	assert_int_equal(bytes, 1033);
	/* KVM hands over many elements in one exit, and the first exit need not be the only one. */
	assert_true(t.seen[0].count > 1);
	assert_int_equal(t.seen[0].size, 2);
	finish();
}

GUEST16(g_outs, "movw $0x1f0,%dx\nmovw $0x2000,%si\nmovw $3,%cx\nrep outsw\nmovl $0,%ecx\nrep outsb\n"
		"movw $2,%cx\nrep outsb\noutsl\n" END);

static void test_outs(void **state)
{
	(void)state;
	START();
	for (unsigned i = 0; i < 12; i++)
		*ram(0x2000 + i) = (uint8_t)(0xa0 + i);
	run16(g_outs);
	assert_int_equal(t.written_bytes, 12);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(t.written[i], 0xa0 + i);
	finish();
}

/* ---- memory ---- */

GUEST32(g_mmio, "movl $0xfed00000,%ebx\n"
		"movb (%ebx),%al\nmovw 2(%ebx),%ax\nmovl 4(%ebx),%eax\n"
		"movl 1(%ebx),%eax\nmovl %eax,0x2000\n"	    /* across a dword: bytes 1 to 4 */
		"movw 7(%ebx),%ax\nmovw %ax,0x2004\n"	    /* across a quadword */
		"movl 0xffd(%ebx),%eax\nmovl %eax,0x2008\n" /* across a page */
		"movl $0x44332211,0xffe(%ebx)\n"
		"movl $0x8877665,3(%ebx)\n" END);

/* Whatever parts an access comes in: aligned powers of two, ascending, together the whole. */
static unsigned check_parts(unsigned i, uint64_t addr, unsigned bytes, bool is_write, uint64_t value)
{
	for (unsigned done = 0; done < bytes; i++) {
		const struct seen *s = &t.seen[i];

		assert_true(i < t.seen_count);
		assert_int_equal(s->bus, IO_MMIO);
		assert_int_equal(s->addr, addr + done);
		assert_int_equal(s->size & (s->size - 1), 0);
		assert_int_equal(s->addr & (s->size - 1u), 0);
		assert_int_equal(s->is_write, is_write);
		if (is_write)
			assert_int_equal(s->value, value >> 8 * done & io_all_ones(s->size));
		done += s->size;
		assert_true(done <= bytes);
	}
	return i;
}

static void test_mmio(void **state)
{
	unsigned i;

	(void)state;
	START();
	run32(g_mmio);
	check_seen(0, IO_MMIO, MMIO, 1, false, 0);
	check_seen(1, IO_MMIO, MMIO + 2, 2, false, 0);
	check_seen(2, IO_MMIO, MMIO + 4, 4, false, 0);
	i = check_parts(3, MMIO + 1, 4, false, 0);
	i = check_parts(i, MMIO + 7, 2, false, 0);
	i = check_parts(i, MMIO + 0xffd, 4, false, 0);
	i = check_parts(i, MMIO + 0xffe, 4, true, 0x44332211);
	i = check_parts(i, MMIO + 3, 4, true, 0x08877665);
	check_seen(i, IO_PIO, PORT_END, 1, true, t.seen[i].value);
	assert_int_equal(peek(0x2000, 4), 0x55443322);
	assert_int_equal(peek(0x2004, 2), 0x1188);
	assert_int_equal(peek(0x2008, 4), 0x11887766);
	finish();
}

/* Segment 0xc0000 by PAM: ROM, write-through to RAM, RAM, read-only RAM. */
GUEST16(g_pam, "movw $0xf000,%ax\nmovw %ax,%ds\nmovw $0,%ax\nmovw %ax,%es\n"
	       "movb $0x11,0xfff0\nmovb 0xfff0,%al\nmovb %al,%es:0x2000\n" /* ROM: dropped */
	       "movw $0xc000,%ax\nmovw %ax,%ds\n"
	       "movb $2,%al\noutb %al,$0x83\nmovb $0x22,0x10\n" /* write only */
	       "movb $3,%al\noutb %al,$0x83\nmovb 0x10,%al\nmovb %al,%es:0x2001\nmovb $0x33,0x11\n"
	       "movb $1,%al\noutb %al,$0x83\nmovb $0x44,0x11\nmovb 0x11,%al\nmovb %al,%es:0x2002\n" END);

static void test_rom_and_pam(void **state)
{
	uint8_t *rom = malloc(0x10000);

	(void)state;
	assert_non_null(rom);
	memset(rom, 0x5a, 0x10000);
	if (!start(1, rom, 0x10000)) {
		free(rom);
		skip();
	}
	run16(g_pam);
	assert_int_equal(*ram(0x2000), 0x5a);
	assert_int_equal(t.vm.mem.rom[0xfff0], 0x5a);
	assert_int_equal(*ram(0x2001), 0x22);
	assert_int_equal(*ram(0x2002), 0x33);
	assert_int_equal(*ram(0xc0011), 0x33);
	finish();
	free(rom);
}

/* Without read-only slots ROM is RAM to the guest, and the machine runs all the same. */
static void test_no_readonly(void **state)
{
	uint8_t *rom = malloc(0x10000);

	(void)state;
	assert_non_null(rom);
	memset(rom, 0x5a, 0x10000);
	hide_readonly = true;
	if (!start(1, rom, 0x10000)) {
		free(rom);
		skip();
	}
	run16(g_pam);
	assert_int_equal(*ram(0x2000), 0x11);
	finish();
	hide_readonly = false;
	free(rom);
}

/* ---- interrupts ---- */

/* Vectors 0x21 and 0x22 are asked for with IF clear: none is acknowledged before STI, then both in order. */
GUEST16(g_masked, "movw $0x2000,%di\nmovb $0x21,%al\noutb %al,$0x80\nincb %al\noutb %al,$0x80\n"
		  "movw $200,%cx\n1:loop 1b\nmovb $0xee,(%di)\nincw %di\n"
		  "inb $0x42,%al\nsti\nnop\n2:cmpw $0x2003,%di\njb 2b\ncli\n" END "\n.org 77b+0x80\n"
		  "movb $0x21,(%di)\nincw %di\niret\n.org 77b+0x90\nmovb $0x22,(%di)\nincw %di\niret");

static void test_masked(void **state)
{
	(void)state;
	START();
	vector16(0x21, BASE + 0x80);
	vector16(0x22, BASE + 0x90);
	run16(g_masked);
	assert_int_equal(*ram(0x2000), 0xee);
	assert_int_equal(*ram(0x2001), 0x21);
	assert_int_equal(*ram(0x2002), 0x22);
	assert_int_equal(t.acks, 2);
	finish();
}

/* Sleeps in HLT 50 times; each time another thread wakes it 5 ms later. */
GUEST16(g_halt, "movw $0,%di\n1:movb $0x21,%al\noutb %al,$0x81\nsti\nhlt\ncli\ncmpw $50,%di\njb 1b\n" END
		"\n.org 77b+0x80\nincw %di\niret");

static void test_halt(void **state)
{
	struct timespec a, b;
	double cpu_s;

	(void)state;
	START();
	vector16(0x21, BASE + 0x80);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	run16(g_halt);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	assert_int_equal(regs().gpr[CPU_RDI] & 0xffff, 50);
	assert_int_equal(t.acks, 50);
	/* 250 ms asleep, times slowness: a busy loop would show as processor time. */
	cpu_s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	assert_true(cpu_s < 0.2 * slowness);
	finish();
}

/*
 * 3000 times: asks another thread for an interrupt, then masks, unmasks and sleeps while it comes, at
 * every point of that. A wake-up that is lost hangs the guest, which the alarm ends.
 */
GUEST16(g_ping, "movw $0,%di\n1:movw %di,%bx\noutb %al,$0x84\n2:sti\nhlt\ncli\ncmpw %bx,%di\nje 2b\n"
		"cmpw $3000,%di\njb 1b\n" END "\n.org 77b+0x80\nincw %di\niret");

static void *pinger(void *arg)
{
	unsigned seen = 0, random = 1;

	(void)arg;
	while (!vm_should_stop(&t.vm)) {
		if (atomic_load(&pings) == seen) {
			sched_yield();
			continue;
		}
		seen++;
		random = random * 1103515245 + 12345;
		for (volatile unsigned i = random >> 16 & 0x3fff; i; i--)
			;
		ask(0x21);
	}
	return NULL;
}

static void test_no_lost_wakeup(void **state)
{
	pthread_t other;

	(void)state;
	START();
	vector16(0x21, BASE + 0x80);
	atomic_store(&pings, 0);
	assert_int_equal(pthread_create(&other, NULL, pinger, NULL), 0);
	run16(g_ping);
	pthread_join(other, NULL);
	assert_int_equal(regs().gpr[CPU_RDI] & 0xffff, 3000);
	assert_int_equal(t.acks, 3000);
	finish();
}

/* The kick's signal is handled before KVM_RUN begins: only immediate_exit can tell KVM then. */
GUEST16(g_race, "movw $0,%di\n1:movw %di,%bx\noutb %al,$0x85\n2:sti\nhlt\ncli\ncmpw %bx,%di\nje 2b\n"
		"cmpw $20,%di\njb 1b\n" END "\n.org 77b+0x80\nincw %di\niret");

static void test_kick_before_run(void **state)
{
	(void)state;
	START();
	vector16(0x21, BASE + 0x80);
	run16(g_race);
	assert_int_equal(regs().gpr[CPU_RDI] & 0xffff, 20);
	finish();
}

/* KVM may still hold the last vector: the next one, acknowledged already, waits and is not lost. */
static void test_refused_vector(void **state)
{
	(void)state;
	START();
	vector16(0x21, BASE + 0x80);
	vector16(0x22, BASE + 0x90);
	refuse = 3;
	run16(g_masked);
	assert_int_equal(refuse, 0);
	assert_int_equal(*ram(0x2001), 0x21);
	assert_int_equal(*ram(0x2002), 0x22);
	assert_int_equal(t.acks, 2);
	finish();
}

/* HLT with IF clear ends only with the run. */
GUEST16(g_dead, "cli\nmovb $0x21,%al\noutb %al,$0x81\nhlt\n" END);

static void *stop_soon(void *arg)
{
	(void)arg;
	usleep(100000);
	end_run();
	return NULL;
}

static void test_halt_masked(void **state)
{
	pthread_t stopper;

	(void)state;
	START();
	assert_int_equal(pthread_create(&stopper, NULL, stop_soon, NULL), 0);
	run16(g_dead);
	pthread_join(stopper, NULL);
	assert_int_equal(t.acks, 0);
	assert_int_equal(t.seen_count, 1);
	finish();
}

GUEST16(g_spin, "1:jmp 1b\n");

static void test_kick_spinning(void **state)
{
	pthread_t stopper;

	(void)state;
	START();
	assert_int_equal(pthread_create(&stopper, NULL, stop_soon, NULL), 0);
	run16(g_spin);
	pthread_join(stopper, NULL);
	assert_int_equal(t.seen_count, 0);
	finish();
}

/* An interrupt takes a spinning guest out of its loop. */
GUEST16(g_spin_intr, "movb $0x21,%al\noutb %al,$0x81\nsti\n1:jmp 1b\n.org 77b+0x80\n" END);

static void test_intr_spinning(void **state)
{
	(void)state;
	START();
	vector16(0x21, BASE + 0x80);
	run16(g_spin_intr);
	assert_int_equal(t.acks, 1);
	finish();
}

/* ---- reset, registers, failure ---- */

GUEST32(g_triple, "lidt " AT("1f") "\nud2\n1:.word 0\n.long 0\n");
GUEST16(g_in_reset, "movl $0x11111111,%eax\ninl $0x82,%eax\nmovl $0x22222222,%eax\n" END);
GUEST16(g_after, "movl %eax,0x2000\n" END);

static void test_reset(void **state)
{
	struct cpu_regs r;

	(void)state;
	START();
	run32(g_triple);
	assert_int_equal(t.resets, 1);
	assert_int_equal(cpu_kvm_ops.reset(t.cpus[0]), 0);
	r = regs();
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(r.cs.selector, 0xf000);
	assert_int_equal(r.cs.base, 0xffff0000);
	assert_int_equal(r.cr0 & 1, 0);
	/* A reset out of the middle of an instruction: that instruction must not come back later. */
	run16(g_in_reset);
	assert_int_equal(t.resets, 2);
	assert_int_equal(cpu_kvm_ops.reset(t.cpus[0]), 0);
	run16(g_after);
	assert_int_equal(peek(0x2000, 4), 0);
	finish();
}

/* A message that comes while the vCPU is paused, as from the power button, is there when it goes on. */
GUEST32(g_apic_on, "movl $0x1ff,0xfee000f0\n" END);
GUEST32(g_irr, "movl 0xfee00210,%eax\nmovl %eax,0x2000\n" END);

static void test_message_in_pause(void **state)
{
	const struct irq_msi before = {0xfee00000, 0x23}, meanwhile = {0xfee00000, 0x25};

	(void)state;
	START();
	run32(g_apic_on);
	assert_true(irq_send_msi(&t.vm.apic, &before));
	cpu_kvm_ops.pause(t.cpus[0]);
	assert_true(irq_send_msi(&t.vm.apic, &meanwhile));
	cpu_kvm_ops.resume(t.cpus[0]);
	run32(g_irr);
	assert_int_equal(peek(0x2000, 4), 1u << 3 | 1u << 5); /* vectors 0x20 on */
	finish();
}

static void test_regs(void **state)
{
	struct cpu_regs r = cpu_regs_reset, got;

	(void)state;
	START();
	for (unsigned i = 0; i < 16; i++)
		r.gpr[i] = 0x0101010101010101ull * (i + 1);
	r.rip = 0x1234;
	r.rflags = 0x0ed7;
	r.cs = (struct cpu_seg){0x10, 0, 0xffffffff, 0xc9b};
	r.ds = r.es = r.ss = r.fs = (struct cpu_seg){0x18, 0, 0xffffffff, 0xc93};
	r.gs = (struct cpu_seg){0x28, 0x12345678, 0xfff, 0x0f3};
	r.gdt.base = 0x5000;
	r.gdt.limit = 0x2f;
	r.idt.base = 0x6000;
	r.idt.limit = 0x7ff;
	r.cr0 = 0x11;
	r.cr2 = 0x7777;
	r.cr3 = 0x9000;
	assert_int_equal(cpu_kvm_ops.set_regs(t.cpus[0], &r), 0);
	got = regs();
	assert_memory_equal(got.gpr, r.gpr, sizeof(r.gpr));
	assert_int_equal(got.rip, r.rip);
	assert_int_equal(got.rflags, r.rflags);
	assert_int_equal(got.cs.attr, r.cs.attr);
	assert_int_equal(got.cs.limit, r.cs.limit);
	assert_int_equal(got.gs.selector, r.gs.selector);
	assert_int_equal(got.gs.base, r.gs.base);
	assert_int_equal(got.gs.limit, r.gs.limit);
	assert_int_equal(got.gs.attr, r.gs.attr);
	assert_int_equal(got.gdt.base, r.gdt.base);
	assert_int_equal(got.idt.limit, r.idt.limit);
	assert_int_equal(got.cr2, r.cr2);
	assert_int_equal(got.cr3, r.cr3);
	assert_int_equal(got.cr0, r.cr0);
	finish();
}

/* A host whose KVM cannot do INT n in protected mode: run() says so in one line, and what to do. */
GUEST32(g_int_n, "lidt " AT("1f") "\nmovl $" AT(
			 "3f") ",%eax\nmovw %ax,0x6180\nmovl $0x8e000010,0x6182\n"
			       "movl $0,0x6186\nmovw $0x8e00,0x6184\nlgdt " AT(
				       "2f") "\nint $0x30\n" END
					     "3:movb $0x77,0x2000\niretl\n.balign 8\n1:.word 0x7ff\n.long 0x6000\n"
					     "2:.word 0x1f\n.long " AT(
						     "4f") "\n.balign 8\n"
							   "4:.quad 0,0,0x00cf9b000000ffff,0x00cf93000000ffff");

static void test_int_n(void **state)
{
	struct kvm_probe probe;
	int rc;

	(void)state;
	START();
	kvm_probe_quick(&probe);
	load(g_int_n, (size_t)(g_int_n_end - g_int_n), true);
	rc = cpu_kvm_ops.run(t.cpus[0], &t.err);
	if (probe.int_n32) {
		assert_int_equal(rc, 0);
		assert_int_equal(*ram(0x2000), 0x77);
	} else {
		assert_int_equal(rc, -EIO);
		assert_non_null(strstr(t.err.text, "INT n in protected mode"));
		assert_non_null(strstr(t.err.text, "cd 30"));
		assert_null(strchr(t.err.text, '\n'));
	}
	finish();
}

/* ---- CPUID ---- */

GUEST16(g_cpuid, "movl $1,%eax\ncpuid\nmovl %ebx,0x2000\nmovl %ecx,0x2004\nmovl %edx,0x2008\n"
		 "movl $0x40000000,%eax\ncpuid\nmovl %eax,0x200c\nmovl %ebx,0x2010\n" END);

static void test_cpuid(void **state)
{
	(void)state;
	START();
	run16(g_cpuid);
	assert_int_equal(peek(0x2000, 4) >> 24, 0);		      /* initial APIC id */
	assert_int_equal(peek(0x2000, 4) >> 16 & 0xff, 1);	      /* logical processors */
	assert_true(peek(0x2004, 4) & 1u << 31);		      /* under a hypervisor */
	assert_int_equal(peek(0x2004, 4) >> 21 & 1, t.vm.has_lapic);  /* x2APIC */
	assert_int_equal(peek(0x2008, 4) >> 9 & 1, t.vm.has_lapic);   /* APIC */
	assert_true(t.vm.has_lapic || !(peek(0x2004, 4) & 1u << 24)); /* TSC deadline */
	assert_int_equal(peek(0x200c, 4), 0x40000000);		      /* no paravirtual leaves */
	assert_int_equal(peek(0x2010, 4), 'h' | 'o' << 8 | 't' << 16 | 'r' << 24);
	finish();
}

GUEST16(g_pv, "movl $0x40000000,%eax\ncpuid\nmovl %eax,0x2000\nmovl %ebx,0x2004\nmovl %ecx,0x2008\nmovl %edx,0x200c\n"
	      "movl $0x40000001,%eax\ncpuid\nmovl %eax,0x2010\n" END);

/* KVM's clock, when it is offered: its signature, and a subset of its features that has no device behind it. */
static void test_pv(void **state)
{
	const uint32_t clock = 1u << 0 | 1u << 3, allowed = clock | 1u << 1 | 1u << 24;

	(void)state;
	options.no_pv = false;
	START();
	run16(g_pv);
	options.no_pv = true;
	if (peek(0x2000, 4) == 0x40000000) { /* a KVM without the leaf: as with --no-pv */
		finish();
		return;
	}
	assert_int_equal(peek(0x2000, 4), 0x40000001);
	assert_memory_equal(ram(0x2004), "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(peek(0x2010, 4) & ~allowed, 0);
	assert_int_not_equal(peek(0x2010, 4) & clock, 0);
	finish();
}

/* ---- two vCPUs ---- */

/* vCPU 0 copies the trampoline to 0x8000, sends INIT and SIPI, and waits; vCPU 1 answers by a port. */
GUEST32(g_smp, "movl $0xfee00000,%ebx\nmovl $0x1ff,0xf0(%ebx)\n"
	       "movl $" AT("9f") ",%esi\nmovl $0x8000,%edi\nmovl $64,%ecx\nrep movsb\n"
				 "movl $0x01000000,0x310(%ebx)\nmovl $0x4500,0x300(%ebx)\n"
				 "movl $20000,%ecx\n1:loop 1b\n"
				 "movl $0x4608,0x300(%ebx)\n"
				 "2:cmpb $0x5c,0x2000\njne 2b\nmovb $1,%al\n" END
				 "9:.code16\nmovb $0xa5,%al\noutb %al,$0x42\nmovw $0,%ax\nmovw %ax,%ds\nmovb "
				 "$0x5c,0x2000\n3:hlt\njmp 3b\n");

static void *run_other(void *arg)
{
	struct accel_err *err = arg;

	return (void *)(intptr_t)cpu_kvm_ops.run(t.cpus[1], err);
}

static void test_second_cpu(void **state)
{
	struct accel_err err = {""};
	pthread_t other;
	void *rc;

	(void)state;
	if (!start(2, NULL, 0))
		skip();
	for (int round = 0; round < 3; round++) {
		*ram(0x2000) = 0;
		t.seen_count = 0;
		load(g_smp, (size_t)(g_smp_end - g_smp), true);
		assert_int_equal(pthread_create(&other, NULL, run_other, &err), 0);
		go();
		pthread_join(other, &rc);
		assert_int_equal((intptr_t)rc, 0);
		check_seen(0, IO_PIO, 0x42, 1, true, 0xa5);
		assert_int_equal(t.seen[0].vcpu, 1);
		check_seen(1, IO_PIO, PORT_END, 1, true, 1);
		assert_int_equal(t.seen[1].vcpu, 0);
		/* After a reset vCPU 1 waits for its SIPI again. */
		assert_int_equal(cpu_kvm_ops.reset(t.cpus[0]), 0);
		assert_int_equal(cpu_kvm_ops.reset(t.cpus[1]), 0);
	}
	finish();
}

static int old_kvm(void **state)
{
	(void)state;
	hide_split = true;
	return 0;
}

static int this_kvm(void **state)
{
	(void)state;
	hide_split = false;
	return 0;
}

/* [KVM] KVM_X86_QUIRK_SLOT_ZAP_ALL, bit 7, is left where KVM says that it can be, and no other. */
static void test_quirk_of_slots(void **state)
{
	static const int known[] = {0, 0x7f, 0x80, 0x1ff};

	(void)state;
	if (!has_kvm())
		skip();
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		known_quirks = known[i];
		left_quirks = 0;
		memset(&t, 0, sizeof(t));
		t.vm.opt = &options;
		t.vm.cpu_count = 1;
		assert_int_equal(mem_init(&t.vm.mem, 4 * MIB), 0);
		if (cpu_kvm_ops.setup(&t.vm, &t.err))
			fail_msg("setup: %s", t.err.text);
		assert_int_equal(left_quirks, known[i] & 0x80);
		cpu_kvm_ops.teardown(&t.vm);
		mem_destroy(&t.vm.mem);
	}
	known_quirks = -1;
}

static void test_old_kvm_second_cpu(void **state)
{
	(void)state;
	if (!has_kvm())
		skip();
	memset(&t, 0, sizeof(t));
	t.vm.opt = &options;
	bus_hot_none(&t.vm.bus);
	t.vm.cpu_count = 2;
	assert_int_equal(mem_init(&t.vm.mem, 4 * MIB), 0);
	assert_int_equal(cpu_kvm_ops.setup(&t.vm, &t.err), -ENOTSUP);
	assert_non_null(strstr(t.err.text, "--cpus 1"));
	assert_null(t.vm.backend);
	mem_destroy(&t.vm.mem);
}

#define OLD(test)                                                                                                      \
	{                                                                                                              \
#test " (no split irqchip)", test, old_kvm, this_kvm, NULL                                             \
	}

int main(void)
{
	/* the nested bed emulates the processor: an exit takes 140 us there */
	if (getenv("NESTED"))
		slowness = 8;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quirk_of_slots),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_ins),
		cmocka_unit_test(test_outs),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_rom_and_pam),
		cmocka_unit_test(test_masked),
		cmocka_unit_test(test_halt),
		cmocka_unit_test(test_no_lost_wakeup),
		cmocka_unit_test(test_kick_before_run),
		cmocka_unit_test(test_refused_vector),
		cmocka_unit_test(test_no_readonly),
		cmocka_unit_test(test_halt_masked),
		cmocka_unit_test(test_kick_spinning),
		cmocka_unit_test(test_intr_spinning),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_message_in_pause),
		cmocka_unit_test(test_regs),
		cmocka_unit_test(test_int_n),
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_pv),
		cmocka_unit_test(test_second_cpu),
		OLD(test_masked),
		OLD(test_halt),
		OLD(test_no_lost_wakeup),
		OLD(test_refused_vector),
		OLD(test_halt_masked),
		OLD(test_kick_spinning),
		OLD(test_intr_spinning),
		OLD(test_reset),
		OLD(test_cpuid),
		OLD(test_old_kvm_second_cpu),
	};

	return cmocka_run_group_tests_name("cpu_kvm", tests, NULL, NULL);
}
