/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ata_threads.c: two vCPUs on one ATA channel, one transferring sectors through programs and
 * model, the other in its way. Run under ThreadSanitizer too. Every word is right, and a command is
 * one step: nobody sees a part of its outcome.
 */
#include <stdatomic.h>

#include "tests/unit/ata_rig.h"

#define ROUNDS 2000

struct other {
	struct rig *r;
	_Atomic bool done;
	_Atomic uint32_t part; /* counts what the first vCPU has begun */
	uint64_t wrong;
	_Atomic uint64_t seen;
};

static uint32_t io1(struct other *o, uint16_t port, bool is_write, uint32_t value)
{
	struct io_req req = {
		.io = {.value = value, .vcpu = 1, .size = 1, .is_write = is_write},
		.addr = port,
		.bus = IO_PIO,
		.count = 1,
	};

	bus_io(&o->r->board.bus, &req);
	return (uint32_t)req.io.result;
}

/* Status, acknowledging or not, the register that no command here looks at, and device control. */
static void *be_in_the_way(void *opaque)
{
	struct other *o = opaque;

	for (uint32_t i = 0; !o->done; i++) {
		uint32_t status = io1(o, i & 1 ? CTL : BASE + 7, false, 0);

		if (status != 0x50 && status != 0x58)
			o->wrong++;
		io1(o, BASE + 1, true, i);
		if (i % 16 == 0)
			io1(o, CTL, true, 0x02);
		o->seen++;
	}
	return NULL;
}

static void transfer(struct rig *r, uint32_t lba, bool is_write)
{
	uint16_t buf[512];
	struct io_req req = {
		.io = {.size = 2, .is_write = is_write},
		.addr = BASE,
		.bus = IO_PIO,
		.count = 512,
		.data = buf,
	};

	for (unsigned i = 0; i < 512; i++)
		buf[i] = pattern(lba + i / 256, i % 256);
	lba28(r, lba, 2, is_write ? 0x30 : 0x20);
	assert_int_equal(in(r, 7), 0x58);
	if (!is_write)
		memset(buf, 0, sizeof(buf));
	bus_io(&r->board.bus, &req);
	assert_int_equal(in(r, 7), 0x50);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(buf[i], pattern(lba + i / 256, i % 256));
}

static void join(struct other *o, pthread_t thread)
{
	o->done = true;
	pthread_join(thread, NULL);
	assert_int_equal(o->wrong, 0);
	assert_true(o->seen > 0);
}

static void test_data_is_whole(void **state)
{
	struct other o = {.r = *state};
	pthread_t thread;

	board_out(&o.r->board, CTL, 0x02);
	assert_int_equal(pthread_create(&thread, NULL, be_in_the_way, &o), 0);
	for (uint32_t i = 0; i < ROUNDS; i++)
		transfer(o.r, i % 100, i % 3 == 0);
	join(&o, thread);
	for (uint32_t i = 0; i < 101; i++)
		expect_pattern_on_disk(o.r, i);
}

/*
 * A command takes HOB back when it begins and shows its status when it ends, with the disk read
 * between. Who sees the one, while the other vCPU does nothing else, sees the other from then on.
 */
static void *look_for_halves(void *opaque)
{
	struct other *o = opaque;

	while (!o->done) {
		uint32_t part = o->part, lbal = io1(o, BASE + 3, false, 0), status = io1(o, CTL, false, 0);

		if (part % 2 == 0 || part != o->part)
			continue;
		if (lbal == 0x22 && status != 0x50)
			o->wrong++;
		o->seen++;
	}
	return NULL;
}

static void test_command_is_one_step(void **state)
{
	struct other o = {.r = *state};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, look_for_halves, &o), 0);
	for (uint32_t i = 0; i < 30; i++) {
		uint64_t seen;

		lba48(o.r, SECTORS, 1, 0x42); /* past the end */
		assert_int_equal(alt(o.r), 0x51);
		lba48(o.r, 0x22, 0, 0); /* NOP, which is an error too; then READ VERIFY of 65536 sectors */
		board_out(&o.r->board, CTL, 0x82);
		assert_int_equal(in(o.r, 3), 0);
		o.part++;
		out(o.r, 7, 0x42);
		for (seen = o.seen; o.seen == seen;)
			sched_yield();
		o.part++;
		assert_int_equal(alt(o.r), 0x50);
	}
	join(&o, thread);
}

static int setup_programs(void **state)
{
	rig_mode = ACCEL_ON;
	*state = rig_new(SECTORS, false);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_data_is_whole, setup_programs, teardown),
		cmocka_unit_test_setup_teardown(test_command_is_one_step, setup_programs, teardown),
	};

	return cmocka_run_group_tests_name("ata threads", tests, NULL, NULL);
}
