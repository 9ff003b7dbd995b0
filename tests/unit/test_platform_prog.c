// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_platform_prog.c: who answers what of the PCI ports, the interrupt controllers, the serial port and the keyboard controller: for
 * each access whether the program answered it or the model, and the value by the datasheets [82441FX], [8259A], [16550D], [8042].
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/options.h"
#include "vmm/vm.h"

enum who { PROGRAM, MODEL };

/* A read of `value`, or a write of it. */
struct step {
	char what; /* 'r' or 'w' */
	uint16_t port;
	uint8_t size;
	uint32_t value;
	enum who who;
};

static struct vm vm;
static struct options opt;

static int set_up(void **state)
{
	struct accel_err err = {""};

	(void)state;
	opt = (struct options){
		.mem_bytes = 1 << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SCRIPT,
		.script = "/dev/null",
		.accel = OPT_ACCEL_ON_VMM,
		.serial = "none",
		.quiet = true,
	};
	if (vm_create(&vm, &opt, &err))
		fail_msg("%s", err.text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vm_destroy(&vm);
	return 0;
}

static uint64_t answers(uint16_t port)
{
	struct accel_counters counters;

	accel_slot_counters(bus_find(&vm.bus, IO_PIO, port)->slot, &counters);
	return counters.answered;
}

static void play(const struct step *steps, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct step *s = &steps[i];
		struct io_req req = {
			.io = {.value = s->what == 'w' ? s->value : 0, .size = s->size, .is_write = s->what == 'w'},
			.addr = s->port,
			.bus = IO_PIO,
			.count = 1,
		};
		uint64_t before = answers(s->port);
		enum who who;

		bus_io(&vm.bus, &req);
		who = answers(s->port) != before ? PROGRAM : MODEL;
		if (who != s->who || (s->what == 'r' && req.io.result != s->value))
			fail_msg("step %u: %c 0x%x: 0x%llx by the %s", i, s->what, s->port,
				(unsigned long long)req.io.result, who == PROGRAM ? "program" : "model");
	}
}

#define PLAY(steps) play(steps, sizeof(steps) / sizeof((steps)[0]))

static void test_pci(void **state)
{
	static const struct step steps[] = {
		{'w', 0xcf8, 4, 0x80000003, PROGRAM}, /* bits 1 and 0 are reserved */
		{'r', 0xcf8, 4, 0x80000000, PROGRAM},
		{'r', 0xcfc, 4, 0x12378086, PROGRAM}, /* the host bridge */
		{'r', 0xcfc, 2, 0x8086, PROGRAM},
		{'r', 0xcfe, 2, 0x1237, PROGRAM},
		{'r', 0xcff, 1, 0x12, PROGRAM},
		{'r', 0xcfd, 2, 0x3780, PROGRAM},
		{'w', 0xcfc, 4, 0xffffffff, MODEL},
		{'r', 0xcfc, 4, 0x12378086, PROGRAM},
		{'w', 0xcf8, 4, 0x80000040 | 1 << 11 | 3 << 8, PROGRAM}, /* PMBASE */
		{'w', 0xcfc, 4, 0x0000b001, MODEL},
		{'r', 0xcfc, 4, 0x0000b001, PROGRAM},
		{'w', 0xcf8, 4, 0x80010000, PROGRAM}, /* bus 1: nobody */
		{'r', 0xcfc, 4, 0xffffffff, PROGRAM},
		{'w', 0xcf8, 4, 0x80007800, PROGRAM}, /* device 15: nobody */
		{'r', 0xcfc, 2, 0xffff, PROGRAM},
		{'w', 0xcf8, 4, 0x00000000, PROGRAM}, /* not enabled */
		{'r', 0xcfc, 1, 0xff, PROGRAM},
		{'w', 0xcf8, 1, 0x55, PROGRAM}, /* only a doubleword reaches CONFADD */
		{'r', 0xcf8, 4, 0x00000000, PROGRAM},
		{'w', 0xcf9, 1, 0x02, MODEL}, /* reset control */
		{'r', 0xcf9, 1, 0x02, PROGRAM},
		{'r', 0xcf8, 2, 0x02ff, PROGRAM},
	};

	(void)state;
	PLAY(steps);
}

static void test_i8259(void **state)
{
	static const struct step steps[] = {
		{'r', 0x21, 1, 0xff, PROGRAM}, /* all masked */
		{'w', 0x20, 1, 0x11, MODEL},
		{'w', 0x21, 1, 0x20, MODEL},
		{'w', 0x21, 1, 0x04, MODEL},
		{'w', 0x21, 1, 0x01, MODEL},
		{'r', 0x21, 1, 0x00, PROGRAM}, /* ICW1 clears IMR */
		{'w', 0x21, 1, 0xfa, MODEL},
		{'r', 0x21, 1, 0xfa, PROGRAM},
		{'r', 0x20, 1, 0x00, PROGRAM}, /* IRR */
		{'w', 0x20, 1, 0x0b, MODEL},   /* OCW3: ISR from now on */
		{'r', 0x20, 1, 0x00, PROGRAM},
		{'w', 0x20, 1, 0x0c, MODEL}, /* OCW3: poll */
		{'r', 0x20, 1, 0x07, MODEL}, /* nothing requested; once */
		{'r', 0x20, 1, 0x00, PROGRAM},
		{'w', 0x4d1, 1, 0x0e, MODEL},
		{'r', 0x4d1, 1, 0x0e, PROGRAM},
		{'r', 0x4d0, 1, 0x00, PROGRAM},
		{'r', 0xa1, 1, 0xff, PROGRAM},
	};

	(void)state;
	PLAY(steps);
}

static void test_i16550(void **state)
{
	static const struct step steps[] = {
		{'r', 0x3fd, 1, 0x60, PROGRAM}, /* LSR: empty */
		{'r', 0x3fa, 1, 0x01, PROGRAM}, /* IIR: nothing pending */
		{'w', 0x3fb, 1, 0x83, MODEL},	/* LCR: DLAB */
		{'r', 0x3fb, 1, 0x83, PROGRAM},
		{'w', 0x3f8, 1, 0x34, MODEL},
		{'w', 0x3f9, 1, 0x12, MODEL},
		{'r', 0x3f8, 1, 0x34, PROGRAM}, /* divisor */
		{'r', 0x3f9, 1, 0x12, PROGRAM},
		{'w', 0x3fb, 1, 0x03, MODEL},
		{'r', 0x3f8, 1, 0x00, MODEL}, /* RBR */
		{'r', 0x3f9, 1, 0x00, PROGRAM},
		{'w', 0x3ff, 1, 0xa5, MODEL},
		{'r', 0x3ff, 1, 0xa5, PROGRAM}, /* SCR */
		{'r', 0x3fe, 1, 0x00, PROGRAM}, /* MSR: nobody connected, no change */
		{'w', 0x3fc, 1, 0x12, MODEL},	/* MCR: loopback, RTS: CTS rises */
		{'r', 0x3fc, 1, 0x12, PROGRAM},
		{'r', 0x3fe, 1, 0x11, MODEL}, /* DCTS, which the read clears */
		{'r', 0x3fe, 1, 0x10, PROGRAM},
		{'w', 0x3f8, 1, 0x41, MODEL}, /* two in loopback without FIFOs: overrun */
		{'r', 0x3fd, 1, 0x61, PROGRAM},
		{'w', 0x3f8, 1, 0x42, MODEL},
		{'r', 0x3fd, 1, 0x63, MODEL}, /* OE, which the read clears */
		{'r', 0x3fd, 1, 0x61, PROGRAM},
		{'r', 0x3f8, 1, 0x42, MODEL},
		{'r', 0x3fd, 1, 0x60, PROGRAM},
		{'w', 0x3f9, 1, 0x02, MODEL}, /* IER: THRE, asked for at once */
		{'r', 0x3fa, 1, 0x02, MODEL}, /* which the read clears */
		{'r', 0x3fa, 1, 0x01, PROGRAM},
	};

	(void)state;
	PLAY(steps);
}

static void test_i8042(void **state)
{
	static const struct step steps[] = {
		{'r', 0x64, 1, 0x10, PROGRAM},
		{'w', 0x64, 1, 0xaa, MODEL},   /* self test */
		{'r', 0x64, 1, 0x1d, PROGRAM}, /* unlocked, command, system flag, output full */
		{'r', 0x92, 1, 0x02, PROGRAM},
		{'w', 0x92, 1, 0x00, PROGRAM},
		{'r', 0x92, 1, 0x00, PROGRAM},
		{'w', 0x92, 1, 0x02, PROGRAM},
		{'w', 0x92, 1, 0x03, MODEL}, /* a reset */
		{'r', 0x92, 1, 0x03, PROGRAM},
	};
	struct io_req data = {.io = {.size = 1}, .addr = 0x60, .bus = IO_PIO, .count = 1};

	(void)state;
	PLAY(steps);
	assert_true(vm_reset_pending(&vm));
	bus_io(&vm.bus, &data); /* has no program */
	assert_int_equal(data.io.result, 0x55);
	play(&(struct step){'r', 0x64, 1, 0x1c, PROGRAM}, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_pci), TEST(test_i8259), TEST(test_i16550), TEST(test_i8042)};

	return cmocka_run_group_tests_name("platform_prog", tests, NULL, NULL);
}
