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
#define REPEAT_MAX 16

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own */

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

/* The start of a register that has a name. */
static uint32_t pick_register(const struct range *range, uint8_t choice)
{
	unsigned count = 0;

	while (range->regs[count].name)
		count++;
	return count ? range->regs[choice % count].offset : 0;
}

/* An address: mostly a register of a device, or somewhere in or just around it. */
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
	if (range->regs && which < 0xc0)
		return range->base + pick_register(range, byte(in));
	return range->base +
	       number(in, range->len > 65535 ? 3
			  : range->len > 255 ? 2
					     : 1) %
		       (range->len + 2ull) -
	       (which >= 0xf0);
}

static void advance(uint64_t step, uint64_t *budget)
{
	if (step > *budget)
		step = *budget;
	*budget -= step;
	for (unsigned i = 0; i < VMS; i++)
		clock_advance(&vms[i]->clock, clock_now(&vms[i]->clock) + step);
}

/* One access on all machines, with one outcome. fill: the bytes of a string that is written. */
static void access_all(const struct io_req *req, bool is_string, uint8_t fill)
{
	uint8_t data[VMS][STRING_MAX * 8];
	struct io_req answer[VMS];

	for (unsigned i = 0; i < VMS; i++) {
		memset(data[i], fill, sizeof(data[i]));
		answer[i] = *req;
		if (is_string)
			answer[i].data = data[i];
		bus_io(&vms[i]->bus, &answer[i]);
		/* a string's answer is its data */
		if ((is_string || answer[i].io.result == answer[0].io.result) &&
			memcmp(data[i], data[0], sizeof(data[0])) == 0)
			continue;
		say(req, "the answer depends on --accel");
		fprintf(stderr, "off: 0x%" PRIx64 ", mode %u: 0x%" PRIx64 "\n", answer[0].io.result, i,
			answer[i].io.result);
		abort();
	}
	settle();
}

/* op: bit 0 write, bits 1-3 size, then the kind: plain, repeated with time between, a string, odd sizes. */
static void do_access(struct input *in, uint8_t op, uint64_t *budget)
{
	static const uint8_t sizes[8] = {1, 1, 1, 2, 4, 8, 4, 3};
	struct io_req req = {.count = 1};
	unsigned repeat = 1, kind = op >> 4;
	uint64_t step = 0;
	uint8_t fill = 0;
	bool is_string;

	req.io.size = kind == 7 ? 1 + (op >> 1 & 7) : sizes[op >> 1 & 7];
	req.io.is_write = op & 1;
	req.addr = pick_address(in, &req.bus);
	is_string = (kind == 8 || kind == 9) && req.bus == IO_PIO; /* backends hand over no others */
	if (is_string) {
		req.io.size = 1u << ((op >> 1 & 7) % 3);
		req.count = byte(in) % (STRING_MAX + 1);
		fill = byte(in);
	} else if (req.io.is_write) {
		req.io.value = number(in, req.io.size);
	}
	if (kind >= 2 && kind <= 4) {
		repeat = 1 + byte(in) % REPEAT_MAX;
		step = (uint64_t)byte(in) * 37;
	}
	while (repeat-- > 0) {
		access_all(&req, is_string, fill);
		if (step)
			advance(step, budget);
	}
}

static void do_time(struct input *in, uint8_t op, uint64_t *budget)
{
	advance(number(in, 1 + (op >> 1 & 1) + (op & 1)), budget);
}

static void put(enum io_bus bus, uint64_t addr, uint8_t size, uint64_t value)
{
	struct io_req req = {.io = {.size = size, .is_write = 1, .value = value}, .addr = addr, .bus = bus, .count = 1};

	access_all(&req, false, 0);
}

/* What a BIOS would have set going, so that short inputs reach running devices too. */
static void start_devices(uint8_t which)
{
	if (which & 1)
		put(IO_MMIO, 0xfed00010, 4, 1); /* HPET: enabled */
	if (which & 2) {
		put(IO_PIO, 0x43, 1, 0x34); /* 8254: counter 0 in mode 2 with 0x4000 */
		put(IO_PIO, 0x40, 1, 0);
		put(IO_PIO, 0x40, 1, 0x40);
	}
	if (which & 4) {
		put(IO_PIO, 0x61, 1, 1); /* counter 2: gate on, mode 3 with 0x2000 */
		put(IO_PIO, 0x43, 1, 0xb6);
		put(IO_PIO, 0x42, 1, 0);
		put(IO_PIO, 0x42, 1, 0x20);
	}
	if (which & 8) {
		for (unsigned chip = 0; chip < 2; chip++) { /* 8259s: initialised, nothing masked */
			uint16_t port = chip ? 0xa0 : 0x20;

			put(IO_PIO, port, 1, 0x11);
			put(IO_PIO, port + 1, 1, chip ? 0x28 : 0x20);
			put(IO_PIO, port + 1, 1, chip ? 2 : 4);
			put(IO_PIO, port + 1, 1, 1);
			put(IO_PIO, port + 1, 1, 0);
		}
	}
	if (which & 16)
		put(IO_PIO, 0x1f7, 1, 0xec); /* ATA: IDENTIFY DEVICE */
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
	start_devices(byte(&in));
	for (unsigned n = 0; n < MAX_OPS && in.at < in.end; n++) {
		uint8_t op = byte(&in);

		if (op >= 0xf0)
			do_ack();
		else if (op >= 0xc0)
			do_time(&in, op, &budget);
		else
			do_access(&in, op, &budget);
		settle();
	}
	return 0;
}

/* ---- mutation ---------------------------------------------------------------------------------- */

static uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* One whole op, as TestOneInput() reads it; at most 16 bytes. */
static size_t make_op(uint8_t *out, uint32_t *seed)
{
	static const uint8_t values[] = {0, 0, 0, 1, 2, 3, 4, 6, 0x10, 0x20, 0x30, 0x34, 0x36, 0x80, 0xc2, 0xe2, 0xff};
	uint8_t op = (uint8_t)draw(seed);
	unsigned values_follow = op & 1 ? 8 : 0;
	size_t n = 0;

	out[n++] = op;
	if (op >= 0xc0) { /* time, or an acknowledge */
		for (unsigned i = 0; i < 3; i++)
			out[n++] = (uint8_t)draw(seed);
		return n;
	}
	out[n++] = (uint8_t)(draw(seed) % vms[0]->bus.range_count);
	out[n++] = (uint8_t)draw(seed) & 15;
	if (op >> 4 == 0 && values_follow)
		values_follow = 1 + (op >> 1 & 3);
	for (unsigned i = 0; i < values_follow; i++)
		out[n++] = draw(seed) % 4 ? values[draw(seed) % sizeof(values)] : (uint8_t)draw(seed);
	out[n++] = (uint8_t)draw(seed);
	out[n++] = (uint8_t)draw(seed) & 0x1f;
	return n;
}

/* Half of the time a few whole ops are put in: bytes alone take long to become an access to a register. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	uint32_t random = seed;
	unsigned count;

	if (draw(&random) % 2)
		return LLVMFuzzerMutate(data, size, max_size);
	if (size == 0 && max_size > 0)
		data[size++] = (uint8_t)draw(&random);
	count = 1 + draw(&random) % 8;
	while (count-- > 0) {
		uint8_t op[16];
		size_t bytes = make_op(op, &random);
		size_t at = size ? 1 + draw(&random) % size : 0;

		if (size + bytes > max_size)
			break;
		memmove(data + at + bytes, data + at, size - at);
		memcpy(data + at, op, bytes);
		size += bytes;
	}
	return size;
}
