/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status.c: a PC with a status block that `--page on` shows as a page: `status OBJECT [options of hotreg run]`.
 * docs/page-tier.md walks through it.
 */
#include "examples/status/status.h"
#include "devices/device.h"
#include "vmm/options.h"
#include "vmm/page_tier.h"
#include "vmm/vm.h"

static _Atomic uint64_t model_reads;

/* Reads are bracketed as well: one that exits publishes what it is going to say. */
static void status_read(struct device *dev, struct io_req *req)
{
	uint64_t value;

	page_begin(dev);
	value = status_register(device_page(dev), req->io.offset & 0x18, device_now(dev));
	page_end(dev);
	req->io.result = value >> (req->io.offset & 7) * 8;
	model_reads++;
}

static void status_write(struct device *dev, struct io_req *req)
{
	struct status_page *page = device_page(dev);

	uint64_t bytes = hr_mask(~0ull, req->io.size) << (req->io.offset & 7) * 8;

	page_begin(dev);
	if (req->io.offset == STATUS_EVENTS)
		HR_STORE(page->events, page->events + 1);
	else if ((req->io.offset & 0x18) == STATUS_SCRATCH)
		HR_STORE(page->scratch, (page->scratch & ~bytes) | (req->io.value << (req->io.offset & 7) * 8 & bytes));
	page_end(dev); /* from here on the page shows it */
}

static const struct reg_name status_regs[] = {{STATUS_UPTIME, 8, "uptime"}, {STATUS_EVENTS, 8, "events"},
	{STATUS_SCRATCH, 8, "scratch"}, {STATUS_ID, 8, "identity"}, {0, 0, NULL}};

int main(int argc, char **argv)
{
	static const struct device_ops ops; /* may_show is not there: any two of these registers go together */
	struct range *range, proto = {.name = "status", .bus = IO_MMIO, .base = STATUS_BASE, .mapped = true};
	struct accel_err err = {.text = "usage: status OBJECT [options of hotreg run]"};
	struct accel_object *obj = NULL;
	struct accel_counters n;
	struct device dev = {0};
	struct options opt;
	struct vm vm;
	int status = EXIT_USAGE;

	proto.dev = &dev;
	proto.len = STATUS_LEN;
	proto.width = 8;
	proto.flags = HR_PAGE_OK;
	proto.read = status_read;
	proto.write = status_write;
	proto.regs = status_regs;
	if (argc < 2 || options_parse(&opt, argc - 2, argv + 2, &err) || vm_create(&vm, &opt, &err))
		goto out;
	if (device_init(&dev, "status", &ops, &vm.clock, 1, sizeof(struct status_page)))
		goto out_vm;
	((struct status_page *)device_page(&dev))->offset_ns = -(int64_t)vm.clock.start_ns;
	range = bus_add(&vm.bus, &proto);
	if (!range || accel_slot_new(dev.page, &vm.clock.source, vm_vcpus(&vm), ACCEL_PURE, &range->slot))
		goto out_device;
	bus_set_slot(&vm.bus, range, range->slot);
	if (accel_object_open_file(argv[1], &obj, &err) || accel_slot_attach(range->slot, obj, "status", &err))
		goto out_slot;
	if (page_tier_add(vm.page_tier, range, obj, "status", &err))
		goto out_slot;
	status = vm_run(&vm, &err);
	accel_slot_counters(range->slot, &n);
	fprintf(stderr, "status: %lu reads answered by the program, %lu by the model\n", (unsigned long)n.answered,
		(unsigned long)model_reads);
out_slot:
	page_tier_free(vm.page_tier); /* before what it shows */
	vm.page_tier = NULL;
	accel_slot_free(range->slot);
	accel_object_put(obj);
out_device:
	device_cleanup(&dev);
out_vm:
	vm_destroy(&vm);
out:
	if (err.text[0] && status != 1)
		fprintf(stderr, "status: %s\n", err.text);
	return status;
}
