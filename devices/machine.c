/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.c: the one wiring table of the PC: which chips there are, which interrupt line goes
 * where, and which program answers for which range. To add a chip, add a line to wire(); to
 * accelerate a range, add a line to machine_bindings[].
 */
#include "devices/machine_int.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/ata.h"
#include "devices/debugcon.h"
#include "devices/debugexit.h"
#include "devices/device.h"
#include "devices/disk.h"
#include "devices/fw_cfg.h"
#include "devices/hpet.h"
#include "devices/i16550.h"
#include "devices/i440fx.h"
#include "devices/i8042.h"
#include "devices/i8254.h"
#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "devices/irq_route.h"
#include "devices/mc146818.h"
#include "devices/pci.h"
#include "devices/piix3.h"
#include "devices/piix4_pm.h"
#include "devices/programs.h"
#include "devices/testdev.h"
#include "devices/vga.h"
#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/vm.h"

#define OBJECT(name) #name ".bpf.o", prog_##name##_start, prog_##name##_end

/* clang-format off */
const struct binding machine_bindings[] = {
	{"hpet",     OBJECT(hpet),    "hpet",     ACCEL_PURE},
	{"i8254",    OBJECT(i8254),   "i8254",    ACCEL_STATEFUL},
	{"port61",   OBJECT(i8254),   "port61",   ACCEL_PURE},
	{"pm",       OBJECT(pmtimer), "pm",       ACCEL_PURE},
	{"gpe",      OBJECT(pmtimer), "gpe",      ACCEL_PURE},
	{"mc146818", OBJECT(mc146818), "mc146818", ACCEL_STATEFUL},
	{"ata.regs", OBJECT(ata),     "ata_regs", ACCEL_STATEFUL},
	{"ata.data", OBJECT(ata),     "ata_data", ACCEL_STATEFUL},
	{"ata.ctl",  OBJECT(ata),     "ata_ctl",  ACCEL_PURE},
	{"pci.addr", OBJECT(pci),     "pci_addr", ACCEL_STATEFUL},
	{"pci.data", OBJECT(pci),     "pci_data", ACCEL_PURE},
	{"i8259.master", OBJECT(i8259), "i8259_master", ACCEL_PURE},
	{"i8259.slave", OBJECT(i8259), "i8259_slave", ACCEL_PURE},
	{"i8259.elcr", OBJECT(i8259), "i8259_elcr", ACCEL_PURE},
	{"ioapic",   OBJECT(ioapic),  "ioapic",   ACCEL_STATEFUL},
	{"i16550",   OBJECT(i16550),  "i16550", ACCEL_PURE},
	{"i8042.status", OBJECT(i8042), "i8042_status", ACCEL_PURE},
	{"port92",   OBJECT(i8042),   "port92", ACCEL_STATEFUL},
	{"vga",        OBJECT(vga), "vga",        ACCEL_STATEFUL},
	{"vga.crtc",   OBJECT(vga), "vga_crtc",   ACCEL_STATEFUL},
	{"vga.status", OBJECT(vga), "vga_status", ACCEL_STATEFUL},
	{NULL, NULL, NULL, NULL, NULL, ACCEL_PURE},
};
/* clang-format on */

/* ---- what chips ask of the VM ---- */

static void soft_off(void *opaque)
{
	vm_guest_stops(opaque, EXIT_GUEST_SHUTDOWN, "the guest turned the power off");
}

static void debug_exit(void *opaque, int status)
{
	vm_guest_stops(opaque, status, "the guest wrote the debug exit port");
}

enum reset_source { RESET_PCI, RESET_I8042 };

static void reset_set(void *opaque, unsigned source, bool level)
{
	static const char *const why[] = {"reset control register 0xcf9", "keyboard controller or port 0x92"};

	if (level)
		vm_request_reset(opaque, why[source]);
}

static struct irq_line reset_line(struct vm *vm, enum reset_source source)
{
	return (struct irq_line){reset_set, vm, source};
}

/* ---- what the firmware asks of the machine ---- */

/* One entry of etc/e820. */
struct e820_entry {
	uint64_t address, length;
	uint32_t type; /* 1: RAM */
} __attribute__((packed));

/* SeaBIOS runs what it finds under vgaroms/. Without one it boots as well, and nothing is on the screen. */
static bool add_vga_bios(struct device *cfg, const struct vm *vm)
{
	size_t bytes;
	void *image;
	bool added;
	int rc = text_read_file(OPT_VGA_BIOS, 0x10000, &image, &bytes);

	if (rc) {
		if (!vm->opt->quiet)
			fprintf(stderr, "hotreg: no VGA BIOS, so an empty screen: %s: %s\n", OPT_VGA_BIOS,
				strerror(-rc));
		return true;
	}
	added = fw_cfg_add_file(cfg, "vgaroms/vgabios-isavga.bin", image, bytes);
	free(image);
	return added;
}

static bool fill_fw_cfg(struct machine *m, struct device *cfg, bool has_bios)
{
	const struct vm *vm = m->vm;
	static const char bootorder[] = "/pci@i0cf8/ide@1,1/drive@0/disk@0";
	const struct e820_entry ram = {.address = 0, .length = vm->mem.ram_bytes, .type = 1};
	const uint16_t cpus = (uint16_t)vm->cpu_count, no_menu = 0;
	bool has_console = vm->opt->serial && !strcmp(vm->opt->serial, "stdio");

	return machine_add_tables(m, cfg) && fw_cfg_add_item(cfg, FW_CFG_RAM_SIZE, &vm->mem.ram_bytes, 8) &&
	       fw_cfg_add_item(cfg, FW_CFG_NB_CPUS, &cpus, sizeof(cpus)) &&
	       fw_cfg_add_item(cfg, FW_CFG_MAX_CPUS, &cpus, sizeof(cpus)) &&
	       fw_cfg_add_item(cfg, FW_CFG_BOOT_MENU, &no_menu, sizeof(no_menu)) &&
	       fw_cfg_add_file(cfg, "etc/e820", &ram, sizeof(ram)) &&
	       fw_cfg_add_file(cfg, "bootorder", bootorder, sizeof(bootorder)) &&
	       fw_cfg_add_file_int(cfg, "etc/boot-fail-wait", UINT32_MAX, 4) && /* stop, do not reboot */
	       (!has_bios || !options_has_vga(vm->opt) || add_vga_bios(cfg, vm)) &&
	       (!has_console || fw_cfg_add_file_int(cfg, "etc/sercon-port", 0x3f8, 2));
}

static void set_cmos16(struct device *rtc, uint8_t index, uint64_t v)
{
	uint16_t max = (uint16_t)(v < 0xffff ? v : 0xffff);

	mc146818_set_cmos(rtc, index, (uint8_t)max);
	mc146818_set_cmos(rtc, index + 1, (uint8_t)(max >> 8));
}

static void fill_cmos(struct device *rtc, const struct vm *vm)
{
	uint64_t above_1m = vm->mem.ram_bytes > 0x100000 ? vm->mem.ram_bytes - 0x100000 : 0;
	uint64_t above_16m = vm->mem.ram_bytes > 0x1000000 ? vm->mem.ram_bytes - 0x1000000 : 0;

	set_cmos16(rtc, 0x15, 640);	       /* base memory, KiB */
	set_cmos16(rtc, 0x17, above_1m >> 10); /* extended memory, KiB, twice */
	set_cmos16(rtc, 0x30, above_1m >> 10);
	set_cmos16(rtc, 0x34, above_16m >> 16); /* above 16 MiB, 64 KiB */
	mc146818_set_cmos(rtc, 0x14, 0x02);	/* equipment: coprocessor */
	mc146818_set_cmos(rtc, 0x3d, 0x02);	/* boot from the disk */
	mc146818_set_cmos(rtc, 0x5f, (uint8_t)(vm->cpu_count - 1));
}

/* ---- wiring ---- */

/* Interrupt inputs that no other chip of this machine uses, for HPET timers without legacy replacement. */
#define HPET_ISA_ROUTES (1u << 10 | 1u << 11)
#define HPET_IOAPIC_ROUTES 0xff0000u /* 16 to 23 */

static uint32_t hpet_routes(const struct vm *vm)
{
	return HPET_ISA_ROUTES | (vm->has_lapic ? HPET_IOAPIC_ROUTES : 0);
}

static const struct irq_line *hpet_lines(struct machine *m, struct irq_line gsi[HPET_GSIS])
{
	memset(gsi, 0, HPET_GSIS * sizeof(gsi[0]));
	gsi[0] = irq_route_isa(m->routes, 0);
	gsi[8] = irq_route_isa(m->routes, 8);
	for (unsigned i = 0; i < HPET_GSIS; i++) {
		if (hpet_routes(m->vm) >> i & 1)
			gsi[i] = i < 16 ? irq_route_isa(m->routes, i) : irq_route_gsi(m->routes, i);
	}
	return gsi;
}

/* The lines that ISA cards have, 2 being the controllers' own, and the I/O APIC's further ones. */
static const struct irq_line *testdev_lines(struct machine *m, struct irq_line lines[TESTDEV_LINES])
{
	memset(lines, 0, TESTDEV_LINES * sizeof(lines[0]));
	for (unsigned i = 0; i < TESTDEV_LINES; i++) {
		if (i != 2)
			lines[i] = i < 16 ? irq_route_isa(m->routes, i) : irq_route_gsi(m->routes, i);
	}
	return lines;
}

static struct device *add(struct machine *m, struct device *dev)
{
	if (dev) {
		assert(m->dev_count < MACHINE_MAX_DEVICES);
		m->devs[m->dev_count++] = dev;
	}
	return dev;
}

/* The interrupt controllers and the wires to them. False: out of memory. */
static bool wire_interrupts(struct machine *m)
{
	struct vm *vm = m->vm;
	struct device *pic = add(m, i8259_create(&vm->bus, &vm->clock, vm_intr_line(vm))), *ioapic = NULL;

	if (!pic)
		return false;
	vm->intr_ack = i8259_ack;
	vm->intr_opaque = pic;
	if (vm->has_lapic) {
		ioapic = add(m, ioapic_create(&vm->bus, &vm->clock, &vm->apic));
		if (!ioapic)
			return false;
		vm->ioapic_eoi = ioapic_eoi;
		vm->ioapic_opaque = ioapic;
	}
	m->routes = irq_route_create(pic, ioapic);
	return m->routes != NULL;
}

static struct irq_line isa(struct machine *m, unsigned irq)
{
	return irq_route_isa(m->routes, irq);
}

/* One line for each chip. False: out of memory. Takes the disk, which may be NULL. */
static bool wire(struct machine *m, struct disk *disk)
{
	struct vm *vm = m->vm;
	struct bus *bus = &vm->bus;
	struct clock *clock = &vm->clock;
	bool has_bios = !vm->opt->kernel && vm->opt->cpu != OPT_CPU_SCRIPT;
	struct device *ata, *hpet, *pci, *pm, *rtc, *cfg;
	struct irq_line gsi[HPET_GSIS], test_lines[TESTDEV_LINES];

	if (!wire_interrupts(m)) {
		disk_close(disk);
		return false;
	}
	/* clang-format off */
	ata = add(m, ata_create(bus, clock, isa(m, 14), disk));
	return ata &&
	       (hpet = add(m, hpet_create(bus, clock, hpet_lines(m, gsi), hpet_routes(vm),
			vm->has_lapic ? &vm->apic : NULL))) &&
	       add(m, i8254_create(bus, clock, hpet_legacy_line(hpet, 0))) &&
	       (rtc = add(m, mc146818_create(bus, clock, hpet_legacy_line(hpet, 1)))) &&
	       add(m, i8042_create(bus, clock, &(struct i8042_config){.keyboard = isa(m, 1),
			.aux = isa(m, 12), .reset = reset_line(vm, RESET_I8042)})) &&
	       add(m, i16550_create(bus, clock, isa(m, 4), vm->serial)) &&
	       (pci = add(m, pci_create(bus, clock, reset_line(vm, RESET_PCI)))) &&
	       add(m, i440fx_create(clock, pci, &vm->mem, has_bios)) &&
	       (pm = m->pm = add(m, piix4_pm_create(bus, clock, &(struct piix4_pm_config){.sci = isa(m, 9),
			.soft_off = soft_off, .opaque = vm}))) &&
	       add(m, piix3_create(clock, pci, pm, m->routes)) &&
	       (!options_has_vga(vm->opt) ||
			(m->vga = add(m, vga_create(bus, clock, &(struct vga_config){.mem = &vm->mem,
				.in_text_mode = vm->opt->kernel, .maps_nothing = vm->opt->trace})))) &&
	       (cfg = add(m, fw_cfg_create(bus, clock, &vm->mem))) &&
	       add(m, debugexit_create(bus, clock, debug_exit, vm)) &&
	       (!vm->opt->testdev || add(m, testdev_create(bus, clock, &vm->mem, testdev_lines(m, test_lines)))) &&
	       (!vm->debugcon || add(m, debugcon_create(bus, clock, vm->debugcon))) &&
	       fill_fw_cfg(m, cfg, has_bios) &&
	       (fill_cmos(rtc, vm), true);
	/* clang-format on */
}

int machine_create(struct vm *vm, struct machine **out, struct accel_err *err)
{
	struct machine *m;
	struct disk *disk = NULL;
	int ret = 0;

	if (vm->opt->disk) {
		ret = disk_open(vm->opt->disk, vm->opt->disk_readonly, &disk, err);
		if (ret)
			return ret;
	}
	m = calloc(1, sizeof(*m));
	if (m)
		m->vm = vm;
	else
		disk_close(disk);
	if (!m || !wire(m, disk)) {
		snprintf(err->text, sizeof(err->text), "out of memory for the devices");
		ret = -ENOMEM;
		goto fail;
	}
	if (vm->bus.mode != ACCEL_OFF || vm->opt->qmp) { /* the control socket may switch it on */
		ret = machine_attach_all(m, err);
		if (ret)
			goto fail;
	}
	machine_reset(m);
	*out = m;
	return 0;
fail:
	machine_destroy(m);
	return ret;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	m->vm->intr_ack = NULL;
	m->vm->ioapic_eoi = NULL;
	machine_free_slots(m);
	while (m->dev_count) {
		struct device *dev = m->devs[--m->dev_count];

		dev->ops->destroy(dev);
	}
	irq_route_destroy(m->routes);
	free(m);
}

bool machine_text(const struct machine *m, struct screen_text *out)
{
	if (m->vga)
		vga_text(m->vga, out);
	return m->vga != NULL;
}

void machine_reset(struct machine *m)
{
	for (unsigned i = 0; i < m->dev_count; i++) {
		struct device *dev = m->devs[i];

		pthread_mutex_lock(&dev->lock);
		dev->ops->reset(dev);
		pthread_mutex_unlock(&dev->lock);
	}
}

void machine_shift_time(struct machine *m, uint64_t by_ns)
{
	for (unsigned i = 0; i < m->dev_count; i++)
		device_shift_time(m->devs[i], by_ns);
}

void machine_power_button(struct machine *m)
{
	piix4_pm_power_button(m->pm);
}
