/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_machine.c: the wiring table: which ranges there are, which of them have programs, where
 * each interrupt line ends, what ends or resets the VM, and that a reset leaves no trace of what
 * a guest did.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/machine.h"
#include "tests/unit/board.h"
#include "tests/unit/temp_file.h"
#include "vmm/options.h"
#include "vmm/screen.h"
#include "vmm/vm.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct rig {
	struct vm vm;
	struct options opt;
	char script[64], disk[64], arg[80];
};

/* extra: one more option, or NULL. */
static struct rig *rig_new_extra(const char *accel, const char *mem, const char *vga, const char *extra)
{
	static const char zeros[8 * 512];
	struct rig *r = calloc(1, sizeof(*r));
	struct accel_err err = {.text = ""};
	char *argv[] = {"--cpu", NULL, "--accel", (char *)accel, "--serial", "none", "--mem", (char *)mem, "--quiet",
		"--disk", NULL, "--vga", (char *)vga, (char *)extra, NULL};

	assert_non_null(r);
	temp_file(r->script, "#\n", 2);
	temp_file(r->disk, zeros, sizeof(zeros));
	snprintf(r->arg, sizeof(r->arg), "script=%s", r->script);
	argv[1] = r->arg;
	argv[10] = r->disk;
	if (options_parse(&r->opt, extra ? 14 : 13, argv, &err) || vm_create(&r->vm, &r->opt, &err))
		fail_msg("%s", err.text);
	return r;
}

static struct rig *rig_new_with(const char *accel, const char *mem, const char *vga)
{
	return rig_new_extra(accel, mem, vga, NULL);
}

static struct rig *rig_new_mem(const char *accel, const char *mem)
{
	return rig_new_with(accel, mem, "std");
}

static struct rig *rig_new(const char *accel)
{
	return rig_new_mem(accel, "2M");
}

static void rig_free(struct rig *r)
{
	vm_destroy(&r->vm);
	unlink(r->script);
	unlink(r->disk);
	free(r);
}

static int setup(void **state)
{
	*state = rig_new("off");
	return 0;
}

static int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

static uint64_t io(struct rig *r, enum io_bus bus, uint64_t addr, unsigned size, bool is_write, uint64_t v)
{
	struct io_req req = {
		.io = {.value = v, .size = (uint8_t)size, .is_write = is_write}, .addr = addr, .bus = bus, .count = 1};

	bus_io(&r->vm.bus, &req);
	return req.io.result;
}

static uint8_t in(struct rig *r, uint16_t port)
{
	return (uint8_t)io(r, IO_PIO, port, 1, false, 0);
}

static void out(struct rig *r, uint16_t port, uint8_t v)
{
	io(r, IO_PIO, port, 1, true, v);
}

static const char *const accelerated[] = {"hpet", "i8254", "port61", "pm", "gpe", "mc146818", "ata.regs", "ata.data",
	"ata.ctl", "pci.addr", "pci.data", "i8259.master", "i8259.slave", "i8259.elcr", "ioapic", "i16550",
	"i8042.status", "port92", "vga", "vga.crtc", "vga.status"};

static void test_bindings(void **state)
{
	static const char *const modes[] = {"off", "on", "check"};

	(void)state;
	for (unsigned m = 0; m < 3; m++) {
		struct rig *r = rig_new(modes[m]);
		unsigned slots = 0;

		for (unsigned i = 1; i <= r->vm.bus.range_count; i++)
			slots += r->vm.bus.ranges[i]->slot != NULL;
		assert_int_equal(slots, m ? COUNT(accelerated) : 0);
		for (unsigned i = 0; i < COUNT(accelerated); i++) {
			const struct range *range = bus_find_name(&r->vm.bus, accelerated[i]);

			assert_non_null(range);
			assert_int_equal(range->slot && accel_slot_attached(range->slot), m != 0);
		}
		rig_free(r);
	}
}

/* Without a VGA there is RAM in its place, and its programs are passed over. */
static void test_without_vga(void **state)
{
	struct rig *r = rig_new_with("on", "2M", "none");
	struct screen_text text;
	unsigned slots = 0;

	(void)state;
	for (unsigned i = 1; i <= r->vm.bus.range_count; i++)
		slots += r->vm.bus.ranges[i]->slot != NULL;
	assert_int_equal(slots, COUNT(accelerated) - 3);
	assert_null(bus_find(&r->vm.bus, IO_PIO, 0x3c0));
	assert_null(bus_find(&r->vm.bus, IO_MMIO, 0xb8000));
	assert_non_null(mem_ptr(&r->vm.mem, 0xb8000, 4000));
	assert_false(machine_text(r->vm.machine, &text));
	rig_free(r);
	r = rig_new("on");
	assert_null(mem_ptr(&r->vm.mem, 0xb8000, 4000));
	assert_true(machine_text(r->vm.machine, &text));
	rig_free(r);
}

/* Without local APICs, as the software CPU has none, there is no I/O APIC, nor an HPET route to one. */
static void test_without_lapic(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	char cpu[] = "--cpu=soft", serial[] = "--serial=none", quiet[] = "--quiet";
	char *argv[] = {cpu, serial, quiet, "--kernel", NULL};
	struct accel_err err = {.text = ""};

	(void)state;
	assert_non_null(r);
	temp_file(r->script, "\xf4", 1);
	temp_file(r->disk, "", 0);
	argv[4] = r->script;
	if (options_parse(&r->opt, 5, argv, &err) || vm_create(&r->vm, &r->opt, &err))
		fail_msg("%s", err.text);
	assert_false(r->vm.has_lapic);
	assert_null(bus_find(&r->vm.bus, IO_MMIO, 0xfec00000));
	assert_int_equal(io(r, IO_MMIO, 0xfec00000, 4, false, 0), 0xffffffff);
	assert_int_equal(io(r, IO_MMIO, 0xfed00104, 4, false, 0), 0x0c00);
	assert_null(r->vm.ioapic_eoi);
	vm_ioapic_eoi(&r->vm, 0x30);
	rig_free(r);
}

static void test_places(void **state)
{
	static const struct {
		enum io_bus bus;
		uint64_t addr;
		const char *name;
	} places[] = {
		{IO_PIO, 0x20, "i8259.master"},
		{IO_PIO, 0xa1, "i8259.slave"},
		{IO_PIO, 0x4d0, "i8259.elcr"},
		{IO_PIO, 0x43, "i8254"},
		{IO_PIO, 0x61, "port61"},
		{IO_PIO, 0x60, "i8042.data"},
		{IO_PIO, 0x64, "i8042.status"},
		{IO_PIO, 0x92, "port92"},
		{IO_PIO, 0x70, "mc146818"},
		{IO_PIO, 0x3ff, "i16550"},
		{IO_PIO, 0x1f0, "ata.data"},
		{IO_PIO, 0x1f7, "ata.regs"},
		{IO_PIO, 0x3f6, "ata.ctl"},
		{IO_PIO, 0x510, "fw_cfg"},
		{IO_PIO, 0x514, "fw_cfg.dma"},
		{IO_PIO, 0xcf8, "pci.addr"},
		{IO_PIO, 0xcff, "pci.data"},
		{IO_PIO, 0x608, "pm"},
		{IO_PIO, 0xf4, "debugexit"},
		{IO_PIO, 0x3b5, "vga.crtc"},
		{IO_PIO, 0x3ba, "vga.status"},
		{IO_PIO, 0x3cf, "vga"},
		{IO_MMIO, 0xb8000, "vga.memory"},
		{IO_MMIO, 0xfec00000, "ioapic"},
		{IO_MMIO, 0xfec00010, "ioapic"},
		{IO_MMIO, 0xfed000f0, "hpet"},
	};
	static const uint16_t free_ports[] = {0x22, 0x80, 0x170, 0x177, 0x376, 0x2f8, 0x3f0, 0xe9, 0x402, 0x512};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const struct range *range = bus_find(&r->vm.bus, places[i].bus, places[i].addr);

		assert_non_null(range);
		assert_string_equal(range->name, places[i].name);
	}
	for (unsigned i = 0; i < sizeof(free_ports) / sizeof(free_ports[0]); i++)
		assert_null(bus_find(&r->vm.bus, IO_PIO, free_ports[i]));
}

/* --testdev: its places, and its lines at the inputs of the two controllers. */
static void test_testdev(void **state)
{
	struct rig *r = *state;

	assert_null(bus_find(&r->vm.bus, IO_PIO, 0xe0));
	assert_null(bus_find(&r->vm.bus, IO_PIO, 0x2000));
	assert_null(bus_find(&r->vm.bus, IO_MMIO, 0xff000000));
	r = rig_new_extra("off", "2M", "std", "--testdev");
	io(r, IO_PIO, 0xe0, 4, true, 0x12345678);
	assert_int_equal(in(r, 0xe1), 0x56);
	io(r, IO_PIO, 0xe4, 4, true, 0x1000); /* the page keeps what is in it */
	io(r, IO_MMIO, 0xff000008, 8, true, 0x123456789abcdef0);
	assert_int_equal(io(r, IO_MMIO, 0xff00000c, 4, false, 0), 0x12345678);
	/* levels for all that may have them, so that a line is seen as it stands */
	for (unsigned line = 3; line < 16; line++) {
		if (line == 8 || line == 13)
			continue;
		out(r, 0x4d0 + line / 8, (uint8_t)(1u << line % 8));
		out(r, 0x2000 + line, 1);
		assert_true(in(r, line < 8 ? 0x20 : 0xa0) & 1u << line % 8);
		out(r, 0x2000 + line, 0);
		assert_false(in(r, line < 8 ? 0x20 : 0xa0) & 1u << line % 8);
	}
	rig_free(r);
}

static uint8_t cmos(struct rig *r, uint8_t index)
{
	out(r, 0x70, index);
	return in(r, 0x71);
}

/* What firmware and kernels learn of the memory: a PC's CMOS bytes, and fw_cfg's RAM size (item 3). */
static void test_memory_size(void **state)
{
	static const struct {
		const char *mem;
		uint32_t mib;
		uint16_t above_1m_kib, above_16m_64k;
	} rows[] = {{"2M", 2, 1024, 0}, {"16M", 16, 15360, 0}, {"64M", 64, 64512, 768}, {"1G", 1024, 0xffff, 16128}};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new_mem("off", rows[i].mem);
		uint64_t ram = 0;

		assert_int_equal(cmos(r, 0x15) | cmos(r, 0x16) << 8, 640);
		assert_int_equal(cmos(r, 0x17) | cmos(r, 0x18) << 8, rows[i].above_1m_kib);
		assert_int_equal(cmos(r, 0x30) | cmos(r, 0x31) << 8, rows[i].above_1m_kib);
		assert_int_equal(cmos(r, 0x34) | cmos(r, 0x35) << 8, rows[i].above_16m_64k);
		io(r, IO_PIO, 0x510, 2, true, 3);
		for (unsigned byte = 0; byte < 8; byte++)
			ram |= (uint64_t)in(r, 0x511) << 8 * byte;
		assert_int_equal(ram, (uint64_t)rows[i].mib << 20);
		rig_free(r);
	}
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Selects a file of fw_cfg by name and reads its first bytes; how many there are. */
static uint32_t read_file(struct rig *r, const char *name, uint8_t *bytes, uint32_t room)
{
	uint8_t head[4], entry[64];
	uint32_t count;

	io(r, IO_PIO, 0x510, 2, true, 0x19);
	for (unsigned i = 0; i < 4; i++)
		head[i] = in(r, 0x511);
	count = be32(head);
	while (count--) {
		for (unsigned i = 0; i < 64; i++)
			entry[i] = in(r, 0x511);
		if (strcmp((char *)entry + 8, name) != 0)
			continue;
		io(r, IO_PIO, 0x510, 2, true, (uint64_t)entry[4] << 8 | entry[5]);
		for (uint32_t i = 0; i < be32(entry) && i < room; i++)
			bytes[i] = in(r, 0x511);
		return be32(entry);
	}
	fail_msg("no file %s", name);
	return 0;
}

/* A BIOS that moves the power management block finds tables that say where it is now. */
static void test_tables_follow(void **state)
{
	static const uint16_t bases[] = {0x600, 0xb000, 0x4000, 0x600};
	struct rig *r = *state;

	for (unsigned i = 0; i < COUNT(bases); i++) {
		static uint8_t bytes[8192];
		uint32_t len, fadt = 0, event;

		io(r, IO_PIO, 0xcf8, 4, true, 0x80000000u | 0x0b << 8 | 0x40); /* 00:01.3, PMBASE */
		io(r, IO_PIO, 0xcfc, 4, true, bases[i]);
		len = read_file(r, "etc/acpi/tables", bytes, sizeof(bytes));
		assert_true(len > 1000 && len <= sizeof(bytes));
		while (fadt + 244 <= len && memcmp(bytes + fadt, "FACP", 4) != 0)
			fadt += 4;
		assert_true(fadt + 244 <= len);
		memcpy(&event, bytes + fadt + 56, 4);
		assert_int_equal(event, bases[i]);
		assert_int_equal(io(r, IO_PIO, event + 4, 2, false, 0), 0); /* and there it is */
	}
	assert_int_equal(read_file(r, "etc/acpi/rsdp", NULL, 0), 36);
	assert_int_equal(read_file(r, "etc/table-loader", NULL, 0) % 128, 0);
}

/* For a kernel without a BIOS: an RSDP in memory, again after each reset; an MP table only with local APICs. */
static void test_tables_in_memory(void **state)
{
	struct rig *r = *state;
	uint32_t rsdp, xsdt;
	uint8_t sum = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned mp_tables = 0;

		r->vm.has_lapic = i % 2 == 0;
		memset(mem_ptr(&r->vm.mem, 0xe0000, 0x20000), 0xee, 0x20000);
		rsdp = machine_write_tables(r->vm.machine);
		assert_int_equal(rsdp % 16, 0);
		assert_memory_equal(mem_ptr(&r->vm.mem, rsdp, 8), "RSD PTR ", 8);
		mem_read(&r->vm.mem, rsdp + 24, &xsdt, 4);
		assert_memory_equal(mem_ptr(&r->vm.mem, xsdt, 4), "XSDT", 4);
		for (uint32_t at = 0xe0000; at < 0x100000; at += 16)
			mp_tables += !memcmp(mem_ptr(&r->vm.mem, at, 4), "_MP_", 4);
		assert_int_equal(mp_tables, r->vm.has_lapic);
	}
	for (unsigned i = 0; i < 36; i++)
		sum = (uint8_t)(sum + ((uint8_t *)mem_ptr(&r->vm.mem, rsdp, 36))[i]);
	assert_int_equal(sum, 0);
}

/* The request bits of both controllers: 16 lines. */
static unsigned requests(struct rig *r)
{
	out(r, 0x20, 0x0a);
	out(r, 0xa0, 0x0a);
	return in(r, 0x20) | (unsigned)in(r, 0xa0) << 8;
}

/* Both controllers as a PC has them, all masked: requests() starts at 0. */
static void init_pic(struct rig *r)
{
	static const uint8_t icw[2][4] = {{0x11, 0x20, 0x04, 0x01}, {0x11, 0x28, 0x02, 0x01}};

	for (unsigned c = 0; c < 2; c++) {
		for (unsigned i = 0; i < 4; i++)
			out(r, (c ? 0xa0 : 0x20) + (i > 0), icw[c][i]);
		out(r, c ? 0xa1 : 0x21, 0xff);
	}
}

static uint32_t get_le(const uint8_t *p, unsigned bytes)
{
	uint32_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static uint32_t find_table(const uint8_t *bytes, uint32_t len, const char *signature)
{
	for (uint32_t at = 0; at + 64 <= len; at += 4) {
		if (memcmp(bytes + at, signature, 4) == 0)
			return at;
	}
	fail_msg("no %s", signature);
	return 0;
}

/* What the tables say is what the machine does: each register that they name is used as a guest would. */
static void test_tables_are_true(void **state)
{
	static uint8_t bytes[8192];
	struct rig *r = *state;
	uint32_t len = read_file(r, "etc/acpi/tables", bytes, sizeof(bytes)), ticks;
	const uint8_t *fadt = bytes + find_table(bytes, len, "FACP"), *hpet = bytes + find_table(bytes, len, "HPET");
	uint32_t event = get_le(fadt + 56, 4), control = get_le(fadt + 64, 4), timer = get_le(fadt + 76, 4);
	uint64_t now = clock_now(&r->vm.clock);

	/* ACPI mode by the SMI command, and back */
	out(r, (uint16_t)get_le(fadt + 48, 4), fadt[52]);
	assert_int_equal(io(r, IO_PIO, control, 2, false, 0) & 1, 1);
	out(r, (uint16_t)get_le(fadt + 48, 4), fadt[53]);
	assert_int_equal(io(r, IO_PIO, control, 2, false, 0) & 1, 0);
	out(r, (uint16_t)get_le(fadt + 48, 4), fadt[52]);
	/* the timer counts 3579545 in a second, in 24 bits unless TMR_VAL_EXT says 32 */
	ticks = (uint32_t)io(r, IO_PIO, timer, 4, false, 0);
	clock_advance(&r->vm.clock, now + 1000000000);
	ticks = ((uint32_t)io(r, IO_PIO, timer, 4, false, 0) - ticks) & 0xffffff;
	assert_in_range(ticks, 3579544, 3579546);
	assert_int_equal(get_le(fadt + 112, 4) & 0x100, 0);
	/* the power button is an event of PM1, and its SCI is the interrupt that the FADT gives */
	init_pic(r);
	io(r, IO_PIO, event + 2, 2, true, 0x0100);
	assert_int_equal(requests(r), 0);
	machine_power_button(r->vm.machine);
	assert_int_equal(io(r, IO_PIO, event, 2, false, 0) & 0x0100, 0x0100);
	assert_int_equal(requests(r), 1u << get_le(fadt + 46, 2));
	io(r, IO_PIO, event, 2, true, 0x0100);
	/* the event block is as long as it says: the bytes behind it are the control register's */
	assert_int_equal(event + fadt[88], control);
	assert_int_equal(fadt[91], 4);
	/* the HPET */
	assert_int_equal(io(r, IO_MMIO, get_le(hpet + 44, 4), 4, false, 0), get_le(hpet + 36, 4));
	/* the reset register */
	assert_false(vm_reset_pending(&r->vm));
	out(r, (uint16_t)get_le(fadt + 120, 4), fadt[128]);
	assert_true(vm_reset_pending(&r->vm));
	/* S5, whose sleep type \_S5 gives as 0 */
	assert_false(vm_should_stop(&r->vm));
	io(r, IO_PIO, control, 2, true, 0u << 10 | 1u << 13);
	assert_true(vm_should_stop(&r->vm));
	assert_int_equal(r->vm.exit_status, EXIT_GUEST_SHUTDOWN);
}

static void test_irq_lines(void **state)
{
	struct rig *r = *state;
	uint64_t now = clock_now(&r->vm.clock);

	init_pic(r);
	assert_int_equal(requests(r), 0x0000);
	out(r, 0x43, 0x30); /* counter 0, mode 0, 2 pulses: OUT rises soon and stays */
	out(r, 0x40, 2);
	out(r, 0x40, 0);
	clock_advance(&r->vm.clock, now + 100000);
	assert_int_equal(requests(r), 0x0001);
	out(r, 0x64, 0x60); /* keyboard: echo, interrupt on */
	out(r, 0x60, 0x01);
	out(r, 0x60, 0xee);
	assert_int_equal(requests(r), 0x0003);
	out(r, 0x3fc, 0x08); /* COM1: THR empty, OUT2 */
	out(r, 0x3f9, 0x02);
	assert_int_equal(requests(r), 0x0013);
	out(r, 0x70, 0x0b); /* RTC: update-ended interrupt, within a second */
	out(r, 0x71, 0x12);
	clock_advance(&r->vm.clock, now + 2100000000ull);
	assert_int_equal(requests(r) & 0xff00, 0x0100);
	out(r, 0x1f6, 0xa0); /* ATA: IDLE IMMEDIATE */
	out(r, 0x1f7, 0xe1);
	assert_int_equal(requests(r) & 0xff00, 0x4100);
	io(r, IO_PIO, 0x604, 2, true, 0x0001); /* ACPI: SCI_EN, TMR_EN; the timer's top bit changes within 2.4 s */
	io(r, IO_PIO, 0x602, 2, true, 0x0001);
	clock_advance(&r->vm.clock, now + 8000000000ull);
	assert_int_equal(requests(r) & 0xff00, 0x4300);
	/* the HPET takes IRQ 0 over in legacy replacement: timer 0, one shot, edge */
	init_pic(r);
	io(r, IO_MMIO, 0xfed00100, 8, true, 0x0004);
	io(r, IO_MMIO, 0xfed00108, 8, true, 1000);
	io(r, IO_MMIO, 0xfed00010, 8, true, 0x0003);
	clock_advance(&r->vm.clock, now + 9000000000ull);
	assert_int_equal(requests(r) & 0x0001, 0x0001);
	/* nothing reached the CPU, all is masked; unmasking does, by the way of the controller */
	assert_false(vm_intr_pending(&r->vm));
	out(r, 0x21, 0xfe);
	assert_true(vm_intr_pending(&r->vm));
	assert_int_equal(vm_intr_ack(&r->vm), 0x20);
	assert_false(vm_intr_pending(&r->vm));
}

static void test_ways_to_end(void **state)
{
	(void)state;
	for (unsigned way = 0; way < 2; way++) {
		struct rig *r = rig_new("on");

		assert_false(vm_should_stop(&r->vm));
		if (way)
			out(r, 0xf4, 0x10);
		else
			io(r, IO_PIO, 0x604, 2, true, 0x2000); /* S5, as the firmware's tables say: SLP_TYP 0 */
		assert_true(vm_should_stop(&r->vm));
		assert_int_equal(r->vm.exit_status, way ? 33 : EXIT_GUEST_SHUTDOWN);
		rig_free(r);
	}
}

static void test_ways_to_reset(void **state)
{
	static const uint8_t ways[][2] = {{0x64, 0xfe}, {0x92, 0x03}, {0xf9, 0x06}};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct rig *r = rig_new("off");

		out(r, ways[i][0] == 0xf9 ? 0xcf9 : ways[i][0], ways[i][1]);
		assert_true(vm_reset_pending(&r->vm));
		rig_free(r);
	}
}

/* Reads all there is to read (0x71 is left out: CMOS memory survives a reset, by design). */
static uint64_t fingerprint(struct rig *r, uint8_t *bytes)
{
	uint64_t n = 0;

	for (unsigned port = 0; port < 0x10000; port++)
		bytes[n++] = port == 0x71 ? 0 : in(r, (uint16_t)port);
	for (unsigned devfn = 0; devfn < 16; devfn++) {
		for (unsigned reg = 0; reg < 256; reg++) {
			io(r, IO_PIO, 0xcf8, 4, true, 0x80000000u | devfn << 8 | (reg & 0xfc));
			bytes[n++] = in(r, (uint16_t)(0xcfc + (reg & 3)));
		}
	}
	for (unsigned reg = 0; reg < 0x400; reg++)
		bytes[n++] = (uint8_t)io(r, IO_MMIO, 0xfed00000u + reg, 1, false, 0);
	return n;
}

#define FINGERPRINT_BYTES (0x10000 + 16 * 256 + 0x400)

/* A guest writes anything anywhere; after the reset the machine is as new. */
static void test_reset_leaves_no_trace(void **state)
{
	struct rig *fresh = *state;
	uint8_t *want = malloc(FINGERPRINT_BYTES), *got = malloc(FINGERPRINT_BYTES);

	assert_true(want && got);
	machine_reset(fresh->vm.machine);
	assert_int_equal(fingerprint(fresh, want), FINGERPRINT_BYTES);
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct rig *r = rig_new("off");
		uint64_t random = seed;

		for (unsigned i = 0; i < 30000; i++) {
			const struct range *range = r->vm.bus.ranges[1 + board_random(&random) % r->vm.bus.range_count];
			unsigned size = 1u << (board_random(&random) & 3);
			uint64_t v = board_random(&random) | (uint64_t)board_random(&random) << 32;

			if (range->mapped)
				io(r, range->bus, range->base + board_random(&random) % range->len, size,
					board_random(&random) & 3, v);
		}
		machine_reset(r->vm.machine);
		fingerprint(r, got);
		for (unsigned i = 0; i < FINGERPRINT_BYTES; i++) {
			if (got[i] != want[i])
				fail_msg("seed %lu: byte 0x%x is %02x, new it is %02x", (unsigned long)seed, i, got[i],
					want[i]);
		}
		rig_free(r);
	}
	free(want);
	free(got);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_without_vga),
		cmocka_unit_test(test_without_lapic),
		T(test_places),
		T(test_testdev),
		cmocka_unit_test(test_memory_size),
		T(test_tables_follow),
		T(test_tables_in_memory),
		T(test_tables_are_true),
		T(test_irq_lines),
		cmocka_unit_test(test_ways_to_end),
		cmocka_unit_test(test_ways_to_reset),
		T(test_reset_leaves_no_trace),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
