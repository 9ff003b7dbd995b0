/* SPDX-License-Identifier: BSD-2-Clause */
/* counter.c: a PC with one more device, a tally counter at port 0x500: `counter OBJECT [options of hotreg run]`. */
#include "examples/counter/counter.h"
#include "devices/device.h"
#include "vmm/options.h"
#include "vmm/vm.h"

static void counter_read(struct device *dev, struct io_req *req)
{
	struct counter_page *page = device_page(dev);
	uint32_t value, rings = 0;

	page_begin(dev);
	value = counter_age(page, device_now(dev));
	if ((req->io.offset & ~3u) == COUNTER_COUNT) {
		value = HR_LOAD(page->count);
		rings = value >= COUNTER_LAST;
		HR_STORE(page->count, rings ? 0 : value + 1);
	}
	page_end(dev);
	if (rings)
		fprintf(stderr, "ding\n");
	req->io.result = value >> (req->io.offset & 3) * 8;
}

static void counter_write(struct device *dev, struct io_req *req)
{
	struct counter_page *page = device_page(dev);

	if (req->io.offset != COUNTER_COUNT)
		return;
	page_begin(dev);
	HR_STORE(page->count, (uint32_t)req->io.value);
	HR_STORE(page->set_ns, device_now(dev) + (uint64_t)HR_LOAD(page->offset_ns));
	page_end(dev);
}

int main(int argc, char **argv)
{
	static const struct device_ops ops; /* nobody resets or destroys it but main() */
	struct device dev = {0};
	struct vm vm;
	struct range *range, proto = {"counter", &dev, IO_PIO, .base = 0x500, .mapped = true, .len = 8, .width = 4};
	struct accel_err err = {.text = "usage: counter OBJECT [options of hotreg run]"};
	struct accel_object *obj = NULL;
	struct accel_counters n;
	struct options opt;
	int status = EXIT_USAGE;

	proto.read = counter_read;
	proto.write = counter_write;
	if (argc < 2 || options_parse(&opt, argc - 2, argv + 2, &err) || vm_create(&vm, &opt, &err))
		goto out;
	if (device_init(&dev, "counter", &ops, &vm.clock, 1, sizeof(struct counter_page)))
		goto out_vm;
	range = bus_add(&vm.bus, &proto);
	if (!range || accel_slot_new(dev.page, &vm.clock.source, opt.cpus, ACCEL_STATEFUL, &range->slot))
		goto out_device;
	if (accel_object_open_file(argv[1], &obj, &err) || accel_slot_attach(range->slot, obj, "counter", &err))
		goto out_slot;
	status = vm_run(&vm, &err);
	accel_slot_counters(range->slot, &n);
	fprintf(stderr, "counter: %lu answered, %lu punted\n", (unsigned long)n.answered, (unsigned long)n.punted);
out_slot:
	accel_slot_free(range->slot);
	accel_object_put(obj);
out_device:
	device_cleanup(&dev);
out_vm:
	vm_destroy(&vm);
out:
	if (err.text[0] && status != 0)
		fprintf(stderr, "counter: %s\n", err.text);
	return status;
}
