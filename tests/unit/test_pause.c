// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_pause.c: a pause over the whole machine. Two machines in virtual time get the same accesses, and one of
 * them loses a while in which host time goes on and guest time does not: from then on every register that
 * tells the time, every interrupt and its place must be the same in both, with the models and with programs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/machine.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define PAUSE_NS 12345678901ull
#define STEPS 3000

static struct vm *new_vm(enum opt_accel accel, struct options *opt)
{
	struct vm *vm = malloc(sizeof(*vm));
	struct accel_err err;

	assert_non_null(vm);
	*opt = (struct options){
		.mem_bytes = 1 << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SCRIPT,
		.script = "/dev/null",
		.accel = accel,
		.serial = "none",
		.quiet = true,
	};
	assert_int_equal(vm_create(vm, opt, &err), 0);
	return vm;
}

static uint64_t io(struct vm *vm, enum io_bus bus, uint64_t addr, uint8_t size, bool write, uint64_t value)
{
	struct io_req req = {
		.io = {.size = size, .is_write = write, .value = value}, .addr = addr, .bus = bus, .count = 1};

	bus_io(&vm->bus, &req);
	return req.io.result;
}

static void out(struct vm *vm, uint64_t port, uint64_t value)
{
	io(vm, IO_PIO, port, 1, true, value);
}

/* Everything that counts is made to count: PIT 0 and 2, HPET with two timers, PM timer, RTC with all interrupts. */
static void start_clocks(struct vm *vm)
{
	for (unsigned pic = 0; pic < 2; pic++) {
		uint64_t port = pic ? 0xa0 : 0x20;

		out(vm, port, 0x11);
		out(vm, port + 1, pic ? 0x28 : 0x20);
		out(vm, port + 1, pic ? 2 : 4);
		out(vm, port + 1, 3); /* automatic end of interrupt */
		out(vm, port + 1, 0);
	}
	io(vm, IO_PIO, 0xcf8, 4, true, 0x80000b40);
	io(vm, IO_PIO, 0xcfc, 4, true, 0x601);
	io(vm, IO_PIO, 0xcf8, 4, true, 0x80000b80);
	out(vm, 0xcfc, 1);
	out(vm, 0xb2, 0xf1);		       /* ACPI on */
	io(vm, IO_PIO, 0x602, 2, true, 0x001); /* TMR_EN */
	out(vm, 0x43, 0x34);
	out(vm, 0x40, 0x9c);
	out(vm, 0x40, 0x2e);
	out(vm, 0x61, 0x01);
	out(vm, 0x43, 0xb6);
	out(vm, 0x42, 0x37);
	out(vm, 0x42, 0x13);
	io(vm, IO_MMIO, 0xfed00100, 4, true, 10 << 9 | 0x4 | 0x8 | 0x40); /* periodic, IRQ 10 */
	io(vm, IO_MMIO, 0xfed00108, 8, true, 1234567);
	io(vm, IO_MMIO, 0xfed00120, 4, true, 11 << 9 | 0x4);
	io(vm, IO_MMIO, 0xfed00128, 8, true, 2000000000 / 10);
	io(vm, IO_MMIO, 0xfed00010, 4, true, 1);
	out(vm, 0x70, 0x0b);
	out(vm, 0x71, 0x72); /* PIE, AIE, UIE off, 24 hours */
	out(vm, 0x70, 0x01);
	out(vm, 0x71, 0xff);
}

/* What the guest can see of time, in one number: reads of all, and the next interrupt. */
static uint64_t look(struct vm *vm, unsigned step)
{
	uint64_t seen = 0;

	switch (step % 10) {
	case 0:
		return io(vm, IO_MMIO, 0xfed000f0, 8, false, 0);
	case 1:
		return io(vm, IO_PIO, 0x608, 4, false, 0);
	case 2:
		out(vm, 0x43, 0xc2); /* count and status of counter 0 */
		for (unsigned i = 0; i < 3; i++)
			seen = seen << 8 | io(vm, IO_PIO, 0x40, 1, false, 0);
		return seen;
	case 3:
		return io(vm, IO_PIO, 0x61, 1, false, 0);
	case 4:
		for (unsigned i = 0; i < 10; i++) {
			out(vm, 0x70, i);
			seen = seen << 6 ^ io(vm, IO_PIO, 0x71, 1, false, 0);
		}
		return seen;
	case 5:
		out(vm, 0x70, 0x0c);
		return io(vm, IO_PIO, 0x71, 1, false, 0);
	case 6:
		return io(vm, IO_PIO, 0x600, 2, false, 0);
	case 7:
		return io(vm, IO_MMIO, 0xfed00108, 8, false, 0);
	case 8:
		return io(vm, IO_PIO, 0x3da, 1, false, 0);
	default:
		return vm_intr_pending(vm) ? (uint64_t)vm_intr_ack(vm) : 0x1000;
	}
}

/* What vm_resume() does after a freeze of by_ns; the virtual clock has no freeze of its own. */
static void pause_for(struct vm *vm, uint64_t by_ns)
{
	uint64_t now = clock_now(&vm->clock);

	for (struct timer *t = vm->clock.timers; t; t = t->next)
		t->deadline_ns += by_ns;
	accel_clock_set_virtual(&vm->clock.source, now + by_ns);
	machine_shift_time(vm->machine, by_ns);
}

static void compare(enum opt_accel accel)
{
	struct options opt_a, opt_b;
	struct vm *a = new_vm(accel, &opt_a), *b = new_vm(accel, &opt_b);
	uint64_t shift = 0, now = 0, interrupts = 0;
	uint32_t seed = 7;

	start_clocks(a);
	start_clocks(b);
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t x, y;

		seed = seed * 1664525 + 1013904223;
		now += seed >> 8; /* up to 16 ms */
		clock_advance(&a->clock, now);
		clock_advance(&b->clock, now + shift);
		if (step % 100 == 50) {
			pause_for(b, PAUSE_NS + step);
			shift += PAUSE_NS + step;
		}
		x = look(a, step);
		y = look(b, step);
		if (x != y)
			fail_msg("step %u: 0x%llx without pauses and 0x%llx with", step, (unsigned long long)x,
				(unsigned long long)y);
		interrupts += step % 10 == 9 && x != 0x1000;
	}
	assert_in_range(interrupts, STEPS / 20, STEPS); /* the comparison has seen some */
	vm_destroy(a);
	vm_destroy(b);
	free(a);
	free(b);
}

static void test_models(void **state)
{
	(void)state;
	compare(OPT_ACCEL_OFF);
}

static void test_programs(void **state)
{
	(void)state;
	compare(OPT_ACCEL_ON);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_programs),
	};

	return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
