/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_piix4_pm.c: the PM timer against 128-bit arithmetic at years of uptime, its carry status and
 * SCI, the PM1 registers bit by bit, soft off and the SMI command. Includes no header from bpf/.
 */
#include "tests/unit/board.h"

#include "devices/piix4_pm.h"

typedef unsigned __int128 u128;

#define HZ 3579545u
#define BASE 0x600

struct rig {
	struct board b;
	struct device *pm;
	unsigned offs; /* soft-off requests */
};

static void soft_off(void *opaque)
{
	struct rig *rig = opaque;

	rig->offs++;
}

static void rig_init(struct rig *rig, bool is_32bit)
{
	struct piix4_pm_config config = {.is_timer_32bit = is_32bit, .soft_off = soft_off, .opaque = rig};

	*rig = (struct rig){0};
	board_init(&rig->b, ACCEL_OFF);
	config.sci = board_line(&rig->b, 9);
	rig->pm = piix4_pm_create(&rig->b.bus, &rig->b.clock, &config);
	assert_non_null(rig->pm);
	piix4_pm_set_base(rig->pm, BASE, true);
}

static void rig_done(struct rig *rig)
{
	board_destroy(&rig->b, rig->pm);
}

static uint32_t rd(struct rig *rig, unsigned reg, unsigned size)
{
	return (uint32_t)board_io(&rig->b, IO_PIO, BASE + reg, size, false, 0);
}

static void wr(struct rig *rig, unsigned reg, unsigned size, uint32_t value)
{
	board_io(&rig->b, IO_PIO, BASE + reg, size, true, value);
}

static uint64_t ticks_at(uint64_t ns)
{
	return (uint64_t)((u128)ns * HZ / 1000000000u);
}

/* The first nanosecond at which `ticks` have passed. */
static uint64_t ns_of(uint64_t ticks)
{
	return (uint64_t)(((u128)ticks * 1000000000u + HZ - 1) / HZ);
}

static void test_timer(void **state)
{
	static const uint64_t uptimes_ns[] = {0, 279, 280, 4686999999ull, 3600000000000ull, 86400000000123ull,
		31557600000000001ull, 315576000000000777ull, 3155760000000000333ull};

	(void)state;
	for (unsigned i = 0; i < 2 * 9; i++) {
		uint32_t mask = i & 1 ? 0xffffffff : 0xffffff, want;
		struct rig rig;

		rig_init(&rig, i & 1);
		for (unsigned k = 0; k < 3000; k++) {
			clock_advance(&rig.b.clock, uptimes_ns[i / 2] + k * 93);
			want = (uint32_t)ticks_at(uptimes_ns[i / 2] + k * 93) & mask;
			assert_int_equal(rd(&rig, 8, 4), want);
			assert_int_equal(rd(&rig, 8, 2) | rd(&rig, 10, 2) << 16, want);
			assert_int_equal(rd(&rig, 9, 1), want >> 8 & 0xff);
			assert_int_equal(rd(&rig, 9, 2), want >> 8 & 0xffff);
			assert_int_equal(rd(&rig, 11, 1), want >> 24);
			assert_int_equal(rd(&rig, 6, 4), want << 16); /* half control and reserved, half timer */
		}
		wr(&rig, 8, 4, 0); /* read-only */
		assert_int_equal(rd(&rig, 8, 4), want);
		rig_done(&rig);
	}
}

/* TMR_STS is set when the top bit changes, each 2^23 or 2^31 ticks, and cleared by writing it. */
static void test_carry_and_sci(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t half = i ? 1ull << 31 : 1ull << 23;
		struct rig rig;

		rig_init(&rig, i);
		clock_advance(&rig.b.clock, ns_of(half) - 1);
		assert_int_equal(rd(&rig, 0, 2), 0);
		clock_advance(&rig.b.clock, ns_of(half));
		assert_int_equal(rd(&rig, 0, 2), 1);
		assert_int_equal(rd(&rig, 0, 4), 1);
		wr(&rig, 0, 2, 0x20);
		assert_int_equal(rd(&rig, 0, 2), 1);
		wr(&rig, 0, 2, 1);
		assert_int_equal(rd(&rig, 0, 2), 0);
		/* enabled, but the SCI belongs to ACPI mode */
		wr(&rig, 2, 2, 1);
		clock_advance(&rig.b.clock, ns_of(2 * half));
		assert_int_equal(rd(&rig, 0, 2), 1);
		assert_false(rig.b.level[9]);
		wr(&rig, 4, 2, 1);
		assert_true(rig.b.level[9]);
		wr(&rig, 0, 1, 1);
		assert_false(rig.b.level[9]);
		clock_advance(&rig.b.clock, ns_of(3 * half) - 1);
		assert_false(rig.b.level[9]);
		clock_advance(&rig.b.clock, ns_of(3 * half));
		assert_true(rig.b.level[9]);
		assert_int_equal(rig.b.rise_ns[9], ns_of(3 * half));
		wr(&rig, 2, 2, 0);
		assert_false(rig.b.level[9]);
		/* several carries are one status, cleared at once */
		clock_advance(&rig.b.clock, ns_of(7 * half) + 5);
		wr(&rig, 0, 2, 1);
		assert_int_equal(rd(&rig, 0, 2), 0);
		clock_advance(&rig.b.clock, ns_of(8 * half));
		assert_int_equal(rd(&rig, 0, 2), 1);
		rig_done(&rig);
	}
}

static void test_registers(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, false);
	for (unsigned reg = 0; reg < PIIX4_PM_LEN; reg += 4)
		assert_int_equal(rd(&rig, reg, 4), 0);
	/* [82371AB] 7.2.2, 7.2.3: what can be written */
	wr(&rig, 2, 2, 0xffff);
	assert_int_equal(rd(&rig, 2, 2), 0x0521);
	wr(&rig, 2, 1, 0);
	assert_int_equal(rd(&rig, 2, 2), 0x0500);
	wr(&rig, 4, 2, 0xffff & ~0x2000);
	assert_int_equal(rd(&rig, 4, 2), 0x1c03);
	wr(&rig, 4, 1, 0);
	assert_int_equal(rd(&rig, 4, 2), 0x1c00);
	assert_int_equal(rd(&rig, 3, 2), 0x05); /* odd, across two registers */
	for (unsigned reg = 12; reg < PIIX4_PM_LEN; reg++) {
		wr(&rig, reg, 1, 0xff);
		assert_int_equal(rd(&rig, reg, 1), 0);
	}
	assert_int_equal(rig.offs, 0);
	board_reset(rig.pm);
	assert_int_equal(rd(&rig, 0, 4), 0);
	assert_int_equal(rd(&rig, 4, 4), 0);
	rig_done(&rig);
}

static void test_soft_off(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, false);
	wr(&rig, 4, 2, 0x2000 | 1 << 10); /* suspend to RAM: nothing could wake it, ignored */
	assert_int_equal(rig.offs, 0);
	wr(&rig, 4, 2, 0x0000);
	assert_int_equal(rig.offs, 0);
	wr(&rig, 4, 2, 0x2001);
	assert_int_equal(rig.offs, 1);
	assert_int_equal(rd(&rig, 4, 2), 1); /* SUS_EN reads as 0 */
	wr(&rig, 5, 1, 0x20);
	assert_int_equal(rig.offs, 2);
	rig_done(&rig);
}

static void test_smi_command(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, false);
	board_out(&rig.b, 0xb2, 0xf1);
	assert_int_equal(rd(&rig, 4, 2), 1);
	board_out(&rig.b, 0xb3, 0x5a);
	board_out(&rig.b, 0xb2, 0x77);
	assert_int_equal(rd(&rig, 4, 2), 1);
	assert_int_equal(board_in(&rig.b, 0xb2), 0x77);
	assert_int_equal(board_in(&rig.b, 0xb3), 0x5a);
	board_out(&rig.b, 0xb2, 0xf0);
	assert_int_equal(rd(&rig, 4, 2), 0);
	for (unsigned port = 0xafe0; port < 0xafe4; port++) {
		board_out(&rig.b, (uint16_t)port, 0xff);
		assert_int_equal(board_in(&rig.b, (uint16_t)port), 0);
	}
	rig_done(&rig);
}

static void test_base_moves(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, false);
	piix4_pm_set_base(rig.pm, 0xb03f, true); /* the low six bits do not count */
	wr(&rig, 4, 2, 0);
	board_io(&rig.b, IO_PIO, 0xb004, 2, true, 3);
	assert_int_equal(board_io(&rig.b, IO_PIO, 0xb004, 2, false, 0), 3);
	assert_int_equal(rd(&rig, 4, 2), 0xffff);
	piix4_pm_set_base(rig.pm, 0xb000, false);
	assert_int_equal(board_io(&rig.b, IO_PIO, 0xb004, 2, false, 0), 0xffff);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_carry_and_sci),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_soft_off),
		cmocka_unit_test(test_smi_command),
		cmocka_unit_test(test_base_moves),
	};

	return cmocka_run_group_tests_name("piix4_pm", tests, NULL, NULL);
}
