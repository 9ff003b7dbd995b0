// SPDX-License-Identifier: BSD-2-Clause
/*
 * fuzz_access.c: a hostile guest. The input becomes accesses of any size at any address (most of
 * them at the devices), string accesses, steps of virtual time and interrupt acknowledges, on
 * three whole machines at once: acceleration off, on and check. What the sanitizers do not see
 * is asserted here: every answer, interrupt and stop is the same on all three ("the guest can
 * never tell the difference"), and check mode never finds a divergence.
 *
 * The machines live on from one input to the next, as verifying the programs takes long; each
 * input begins with a reset and a blank disk. So they also see uptimes that no single input has.
 */
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/machine.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define VMS 3
#define DISK_BYTES (63u * 512)	   /* an odd number of sectors */
#define TIME_BUDGET_NS 40000000ull /* of one input: fast timers make time expensive */
#define MAX_OPS 2000
#define STRING_MAX 64

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm *vms[VMS];
static struct options options[VMS];
static int disks[VMS];

struct input {
	const uint8_t *at, *end;
};

static uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint64_t number(struct input *in, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)byte(in) << (8 * i);
	return value;
}

static int make_disk(char *path)
{
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, DISK_BYTES) < 0) {
		perror("a temporary disk");
		abort();
	}
	return fd;
}

static void blank_disk(int fd)
{
	uint8_t bytes[DISK_BYTES];

	for (unsigned i = 0; i < DISK_BYTES; i++)
		bytes[i] = (uint8_t)(i ^ i >> 8);
	if (pwrite(fd, bytes, DISK_BYTES, 0) != DISK_BYTES)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const enum opt_accel modes[VMS] = {OPT_ACCEL_OFF, OPT_ACCEL_ON_VMM, OPT_ACCEL_CHECK};
	static char paths[VMS][32];

	(void)argc;
	(void)argv;
	for (unsigned i = 0; i < VMS; i++) {
		struct accel_err err;

		strcpy(paths[i], "/tmp/hotreg-fuzz.XXXXXX");
		disks[i] = make_disk(paths[i]);
		options[i] = (struct options){
			.mem_bytes = 1 << 20,
			.cpus = 1,
			.cpu = OPT_CPU_SCRIPT,
			.script = "/dev/null",
			.accel = modes[i],
			.serial = "none",
			.disk = paths[i],
			.quiet = true,
		};
		vms[i] = malloc(sizeof(struct vm));
		if (!vms[i] || vm_create(vms[i], &options[i], &err)) {
			fprintf(stderr, "%s\n", vms[i] ? err.text : "no memory");
			abort();
		}
		unlink(paths[i]); /* the machine has it open */
	}
	return 0;
}

/* After each op: all machines agree on what they asked the VM for. */
static void settle(void)
{
	bool reset = vm_reset_pending(vms[0]), stop = vm_should_stop(vms[0]), intr = vm_intr_pending(vms[0]);
	int status = atomic_load(&vms[0]->exit_status);

	for (unsigned i = 0; i < VMS; i++) {
		assert(vm_reset_pending(vms[i]) == reset);
		assert(vm_should_stop(vms[i]) == stop);
		assert(vm_intr_pending(vms[i]) == intr);
		if (stop)
			assert(atomic_load(&vms[i]->exit_status) == status);
		atomic_store(&vms[i]->reset, false);
		atomic_store(&vms[i]->stop, false);
		atomic_store(&vms[i]->stop_claimed, false);
		if (reset)
			machine_reset(vms[i]->machine);
		if (bus_check_divergences(&vms[i]->bus))
			abort(); /* check mode has said on stderr what it found */
	}
}

static void say(const struct io_req *req, const char *what)
{
	fprintf(stderr, "%s: %s %s 0x%" PRIx64 " size %u count %u value 0x%" PRIx64 " at %" PRIu64 " ns\n", what,
		req->io.is_write ? "write" : "read", req->bus == IO_PIO ? "pio" : "mmio", req->addr, req->io.size,
		req->count, req->io.value, clock_now(&vms[0]->clock));
}

/* An address: mostly in or just around a device. */
static uint64_t pick_address(struct input *in, enum io_bus *bus)
{
	uint8_t which = byte(in);
	const struct range *range;

	if (which >= 0xf8) {
		*bus = which & 1 ? IO_MMIO : IO_PIO;
		return *bus == IO_PIO ? number(in, 2) : number(in, which & 2 ? 4 : 8);
	}
	range = vms[0]->bus.ranges[1 + which % vms[0]->bus.range_count];
	*bus = range->bus;
	return range->base + number(in, range->len > 255 ? 2 : 1) % (range->len + 2ull) - (which >= 0xf0);
}

static void do_access(struct input *in, uint8_t op)
{
	static const uint8_t sizes[8] = {1, 1, 1, 2, 4, 8, 4, 3};
	uint8_t data[VMS][STRING_MAX * 8];
	struct io_req req = {.count = 1};
	struct io_req answer[VMS];

	memset(data, 0, sizeof(data));
	req.io.size = sizes[op >> 1 & 7];
	req.io.is_write = op & 1;
	if ((op & 0x70) == 0x70)
		req.io.size = 1 + (op >> 1 & 7);
	req.addr = pick_address(in, &req.bus);
	if ((op & 0xe0) == 0x80 && req.bus == IO_PIO) {
		req.io.size = 1u << (op >> 1 & 3) & 7 ? 1u << (op >> 1 & 3) & 7 : 1;
		req.count = byte(in) % (STRING_MAX + 1);
		if (req.io.is_write)
			memset(data, byte(in), sizeof(data));
	} else if (req.io.is_write) {
		req.io.value = number(in, req.io.size);
	}
	for (unsigned i = 0; i < VMS; i++) {
		answer[i] = req;
		if ((op & 0xe0) == 0x80 && req.bus == IO_PIO)
			answer[i].data = data[i];
		bus_io(&vms[i]->bus, &answer[i]);
		if (answer[i].io.result == answer[0].io.result && memcmp(data[i], data[0], sizeof(data[0])) == 0)
			continue;
		say(&req, "the answer depends on --accel");
		fprintf(stderr, "off: 0x%" PRIx64 ", mode %u: 0x%" PRIx64 "\n", answer[0].io.result, i,
			answer[i].io.result);
		abort();
	}
}

static void do_time(struct input *in, uint8_t op, uint64_t *budget)
{
	uint64_t step = number(in, 1 + (op >> 1 & 1) + (op & 1));

	if (step > *budget)
		step = *budget;
	*budget -= step;
	for (unsigned i = 0; i < VMS; i++)
		clock_advance(&vms[i]->clock, clock_now(&vms[i]->clock) + step);
}

static void do_ack(void)
{
	int vector = 0;

	for (unsigned i = 0; i < VMS; i++) {
		int got = vm_intr_pending(vms[i]) ? vm_intr_ack(vms[i]) : -2;

		if (i == 0)
			vector = got;
		assert(got == vector);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	uint64_t budget = TIME_BUDGET_NS;

	for (unsigned i = 0; i < VMS; i++) {
		blank_disk(disks[i]);
		machine_reset(vms[i]->machine);
	}
	for (unsigned n = 0; n < MAX_OPS && in.at < in.end; n++) {
		uint8_t op = byte(&in);

		if (op >= 0xf0)
			do_ack();
		else if (op >= 0xc0)
			do_time(&in, op, &budget);
		else
			do_access(&in, op);
		settle();
	}
	return 0;
}
