/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_machine_reset.c: a reset brings the state page of every device back to what it is at power-on, whatever a guest did before, and
 * the programs go on answering. The reference is a second machine that lived as long and that nobody touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/hr.h"
#include "devices/machine_int.h"
#include "tests/unit/board.h"
#include "tests/unit/temp_file.h"
#include "vmm/options.h"
#include "vmm/vm.h"

struct rig {
	struct vm vm;
	struct options opt;
	char script[64], disk[64], arg[80];
};

static struct rig *rig_new(const char *accel)
{
	static const char zeros[64 * 512];
	struct rig *r = calloc(1, sizeof(*r));
	struct accel_err err = {.text = ""};
	char *argv[] = {"--cpu", NULL, "--accel", (char *)accel, "--serial", "none", "--mem", "2M", "--quiet", "--disk",
		NULL, "--vga", "std", "--testdev"};

	assert_non_null(r);
	temp_file(r->script, "#\n", 2);
	temp_file(r->disk, zeros, sizeof(zeros));
	snprintf(r->arg, sizeof(r->arg), "script=%s", r->script);
	argv[1] = r->arg;
	argv[10] = r->disk;
	if (options_parse(&r->opt, 14, argv, &err) || vm_create(&r->vm, &r->opt, &err))
		fail_msg("%s", err.text);
	return r;
}

static void rig_free(struct rig *r)
{
	vm_destroy(&r->vm);
	unlink(r->script);
	unlink(r->disk);
	free(r);
}

static uint64_t io(struct rig *r, enum io_bus bus, uint64_t addr, unsigned size, bool is_write, uint64_t v)
{
	struct io_req req = {
		.io = {.value = v, .size = (uint8_t)size, .is_write = is_write}, .addr = addr, .bus = bus, .count = 1};

	bus_io(&r->vm.bus, &req);
	return req.io.result;
}

/* The page behind its head, whose sequence number counts on. */
static size_t page_of(struct rig *r, unsigned device, const uint8_t **bytes)
{
	const struct device *dev = r->vm.machine->devs[device];
	const struct hr_page *head = dev->page ? accel_page_data(dev->page) : NULL;

	if (!head)
		return 0;
	*bytes = (const uint8_t *)(head + 1);
	return head->size - sizeof(*head);
}

static void compare(struct rig *want, struct rig *got, const char *what, uint64_t seed)
{
	unsigned pages = 0;

	assert_int_equal(want->vm.machine->dev_count, got->vm.machine->dev_count);
	for (unsigned i = 0; i < want->vm.machine->dev_count; i++) {
		const uint8_t *a = NULL, *b = NULL;
		size_t bytes = page_of(want, i, &a);

		assert_int_equal(page_of(got, i, &b), bytes);
		for (size_t k = 0; k < bytes; k++) {
			if (a[k] != b[k])
				fail_msg("%s, seed %lu: byte %zu of the page of %s is %02x, and %02x at power-on", what,
					(unsigned long)seed, k, got->vm.machine->devs[i]->name, b[k], a[k]);
		}
		pages += bytes > 0;
	}
	assert_true(pages >= 10);
}

/* Anything anywhere for two seconds; but the clock's registers, which a reset leaves to the battery. */
static void be_a_guest(struct rig *r, uint64_t seed)
{
	for (unsigned i = 0; i < 20000; i++) {
		const struct range *range = r->vm.bus.ranges[1 + board_random(&seed) % r->vm.bus.range_count];
		unsigned size = 1u << (board_random(&seed) & 3);
		uint64_t v = board_random(&seed) | (uint64_t)board_random(&seed) << 32;
		uint64_t at = range->base + board_random(&seed) % range->len;

		if (range->mapped && strcmp(range->name, "mc146818") != 0)
			io(r, range->bus, at, size, board_random(&seed) & 3, v);
		if (i % 100 == 0)
			clock_advance(&r->vm.clock, clock_now(&r->vm.clock) + 10000000);
	}
	/* and what random writes seldom do: counters that run, lines that are up, a block that is half read */
	io(r, IO_PIO, 0x43, 1, true, 0x34);
	io(r, IO_PIO, 0x40, 1, true, 0x10);
	io(r, IO_PIO, 0x40, 1, true, 0x00);
	io(r, IO_MMIO, 0xfed00100, 8, true, 0x0004);
	io(r, IO_MMIO, 0xfed00108, 8, true, 1000);
	io(r, IO_MMIO, 0xfed00010, 8, true, 0x0003);
	io(r, IO_PIO, 0x1f6, 1, true, 0xe0);
	io(r, IO_PIO, 0x1f2, 1, true, 2);
	io(r, IO_PIO, 0x1f7, 1, true, 0x20);
	io(r, IO_PIO, 0x1f0, 2, false, 0);
	machine_power_button(r->vm.machine);
}

static void test_pages(void **state)
{
	static const char *const modes[] = {"off", "on", "check"};

	(void)state;
	for (unsigned m = 0; m < 3; m++) {
		for (uint64_t seed = 1; seed <= 3; seed++) {
			struct rig *fresh = rig_new(modes[m]), *used = rig_new(modes[m]);

			machine_reset(
				used->vm.machine); /* of a machine that has just been switched on: nothing changes */
			compare(fresh, used, "a reset at once", seed);
			be_a_guest(used, 100 * m + seed);
			machine_reset(used->vm.machine);
			clock_advance(&fresh->vm.clock, clock_now(&used->vm.clock));
			machine_reset(fresh->vm.machine);
			compare(fresh, used, modes[m], seed);
			rig_free(fresh);
			rig_free(used);
		}
	}
}

/* After a reset each range's program answers reads, and the model says the same. */
static void test_programs(void **state)
{
	struct rig *r = rig_new("on"), *models = rig_new("off");
	unsigned ranges = 0;

	(void)state;
	be_a_guest(r, 7);
	machine_reset(r->vm.machine);
	clock_advance(&models->vm.clock, clock_now(&r->vm.clock));
	machine_reset(models->vm.machine);
	for (unsigned i = 1; i <= r->vm.bus.range_count; i++) {
		const struct range *range = r->vm.bus.ranges[i];
		struct accel_counters before, after;

		if (!range->slot || !range->mapped || strcmp(range->name, "mc146818") == 0)
			continue;
		accel_slot_counters(range->slot, &before);
		for (uint64_t at = range->base; at < range->base + range->len; at++)
			assert_int_equal(io(r, range->bus, at, 1, false, 0), io(models, range->bus, at, 1, false, 0));
		accel_slot_counters(range->slot, &after);
		if (after.answered == before.answered)
			fail_msg("%s: the program no longer answers", range->name);
		ranges++;
	}
	assert_true(ranges >= 15);
	rig_free(r);
	rig_free(models);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_programs),
	};

	return cmocka_run_group_tests_name("machine_reset", tests, NULL, NULL);
}
