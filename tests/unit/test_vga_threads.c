/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vga_threads.c: two vCPUs on one VGA, on the host's clock: one sets modes, moves the ports, maps and unmaps the
 * window; the other polls the retrace, the palette and memory. Run under ThreadSanitizer too. In both modes the retrace
 * lies outside of the display period, so a status from half of one and half of the other would show; and
 * every colour has three equal components, read by one thread alone.
 */
#include "devices/programs.h"
#include "tests/unit/board.h"

#include "devices/vga.h"
#include "vmm/mem.h"

#define ROUNDS 4000
#define POLLS 500

static const char *const programs[3][2] = {{"vga", "vga"}, {"vga.crtc", "vga_crtc"}, {"vga.status", "vga_status"}};

struct rig {
	struct clock clock;
	struct bus bus;
	struct guest_mem mem;
	struct device *dev;
	struct accel_object *obj;
	uint64_t maps; /* mem.lock */
	_Atomic bool done;
	_Atomic uint64_t polls; /* the reader's, that got something of a frame */
	uint64_t wrong;		/* the reader's, read after it has been joined */
};

static uint64_t io(
	struct rig *rig, uint32_t vcpu, enum io_bus bus, uint64_t addr, uint8_t size, bool is_write, uint64_t value)
{
	struct io_req req = {
		.io = {.value = value, .vcpu = vcpu, .size = size, .is_write = is_write},
		.addr = addr,
		.bus = bus,
		.count = 1,
	};

	bus_io(&rig->bus, &req);
	return req.io.result;
}

static void out(struct rig *rig, uint16_t port, uint8_t size, uint32_t value)
{
	io(rig, 0, IO_PIO, port, size, true, value);
}

/* What a CPU backend does: looks at all regions. */
static void memory_changed(void *opaque)
{
	struct rig *rig = opaque;
	struct mem_region list[MEM_MAX_REGIONS];

	rig->maps += mem_regions(&rig->mem, list) > 2;
}

static void set_mode(struct rig *rig, bool is_text)
{
	static const uint8_t crtc[2][8] = {
		{0x5f, 0x4f, 0xbf, 0x1f, 0x9c, 0x0e, 0x8f, 0xa3}, {0x2d, 0x27, 0x40, 0x00, 0x30, 0x02, 0x20, 0xa3}};
	static const uint8_t index[8] = {0x00, 0x01, 0x06, 0x07, 0x10, 0x11, 0x12, 0x17};

	out(rig, 0x3c4, 2, 0x0100); /* in reset while the frame is neither */
	for (unsigned i = 0; i < 8; i++) {
		out(rig, 0x3d4, 2, index[i] | (uint32_t)crtc[!is_text][i] << 8);
		out(rig, 0x3b4, 2, index[i] | (uint32_t)crtc[!is_text][i] << 8);
	}
	out(rig, 0x3ce, 2, is_text ? 0x1005 : 0x0005);
	out(rig, 0x3ce, 2, is_text ? 0x0e06 : 0x0506);
	out(rig, 0x3c4, 2, is_text ? 0x0302 : 0x0f02);
	out(rig, 0x3c4, 2, is_text ? 0x0204 : 0x0604);
	out(rig, 0x3c4, 2, 0x0300);
}

static void *poll(void *opaque)
{
	struct rig *rig = opaque;
	uint64_t n = 0;

	while (!atomic_load(&rig->done)) {
		uint64_t status = io(rig, 1, IO_PIO, 0x3da, 1, false, 0);
		uint64_t red, green, blue;

		n++;
		if (status == 0 || status == 9)
			atomic_fetch_add(&rig->polls, 1);
		/* 0xff: the port is at 0x3ba at the moment */
		rig->wrong += status != 0 && status != 1 && status != 9 && status != 0xff;
		io(rig, 1, IO_PIO, 0x3c7, 1, true, n & 0xff);
		red = io(rig, 1, IO_PIO, 0x3c9, 1, false, 0);
		green = io(rig, 1, IO_PIO, 0x3c9, 1, false, 0);
		blue = io(rig, 1, IO_PIO, 0x3c9, 1, false, 0);
		rig->wrong += red != green || green != blue || red != (n & 0x3f);
		io(rig, 1, IO_MMIO, 0xb8000 + n % 64 * 8, 8, n & 1, n);
		io(rig, 1, IO_MMIO, 0xa0000 + n % 64 * 4, 4, n & 1, n);
	}
	return NULL;
}

static void test_modes(void **state)
{
	static struct rig rig;
	struct accel_err err = {.text = ""};
	struct accel_counters counters;
	pthread_t reader;

	(void)state;
	assert_int_equal(clock_init(&rig.clock, false), 0);
	assert_int_equal(bus_init(&rig.bus, &rig.clock, ACCEL_ON), 0);
	assert_int_equal(mem_init(&rig.mem, 1 << 20), 0);
	rig.dev = vga_create(&rig.bus, &rig.clock, &(struct vga_config){.mem = &rig.mem, .in_text_mode = true});
	assert_non_null(rig.dev);
	rig.mem.changed = memory_changed;
	rig.mem.changed_opaque = &rig;
	assert_int_equal(
		accel_object_open("vga", prog_vga_start, (size_t)(prog_vga_end - prog_vga_start), &rig.obj, &err), 0);
	assert_int_equal(accel_page_bind(rig.dev->page, rig.obj, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct range *range = bus_find_name(&rig.bus, programs[i][0]);

		assert_non_null(range);
		assert_int_equal(accel_slot_new(rig.dev->page, &rig.clock.source, 2, ACCEL_STATEFUL, &range->slot), 0);
		assert_int_equal(accel_slot_attach(range->slot, rig.obj, programs[i][1], &err), 0);
	}
	out(&rig, 0x3c8, 1, 0);
	for (unsigned i = 0; i < 768; i++)
		out(&rig, 0x3c9, 1, i / 3);
	assert_int_equal(pthread_create(&reader, NULL, poll, &rig), 0);
	for (unsigned n = 0; n < ROUNDS || atomic_load(&rig.polls) < POLLS; n++) {
		set_mode(&rig, n & 1);
		io(&rig, 0, IO_MMIO, 0xb8000, 2, true, n);
		if (n % 8 == 0)
			out(&rig, 0x3c2, 1, n % 16 ? 0x67 : 0x66);
		out(&rig, 0x3d4, 2, n << 8 | 0x0e);
	}
	atomic_store(&rig.done, true);
	pthread_join(reader, NULL);
	assert_int_equal(rig.wrong, 0);
	assert_true(rig.maps > 10);
	for (unsigned i = 0; i < 3; i++) {
		struct range *range = bus_find_name(&rig.bus, programs[i][0]);

		accel_slot_counters(range->slot, &counters);
		assert_true(counters.answered > 0);
		accel_slot_free(range->slot);
		range->slot = NULL;
	}
	print_message("%lu polls, %lu windows mapped\n", (unsigned long)rig.polls, (unsigned long)rig.maps);
	accel_object_put(rig.obj);
	rig.dev->ops->destroy(rig.dev);
	bus_destroy(&rig.bus);
	mem_destroy(&rig.mem);
	clock_destroy(&rig.clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_modes)};

	return cmocka_run_group_tests_name("vga_threads", tests, NULL, NULL);
}
