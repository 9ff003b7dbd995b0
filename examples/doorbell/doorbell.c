/* SPDX-License-Identifier: BSD-2-Clause */
/* doorbell.c: a PC with a device that adds up numbers, at port 0x510: `doorbell OBJECT [options of hotreg run]`. */
#include "examples/doorbell/doorbell.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "devices/device.h"
#include "vmm/bus.h"
#include "vmm/options.h"
#include "vmm/vm.h"

struct bell_dev {
	struct device dev; /* first */
	int fd;		   /* the bell: rung by the runtime, or by the model */
	_Atomic bool ends;
	unsigned wakes; /* the worker's */
	pthread_t worker;
};

static void bell_ring(const struct bell_dev *bell)
{
	const uint64_t one = 1;

	while (write(bell->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void bell_dev_read(struct device *dev, struct io_req *req)
{
	struct bell_page *page = device_page(dev);

	page_begin(dev);
	req->io.result = bell_read(page, req->io.offset & ~3u) >> (req->io.offset & 3) * 8;
	page_end(dev);
}

/* The same as the program; a full queue is emptied here, where there is time for it. */
static void bell_dev_write(struct device *dev, struct io_req *req)
{
	struct bell_page *page = device_page(dev);
	enum bell what;

	if (req->io.offset != BELL_PUT || req->io.size != 4)
		return;
	page_begin(dev);
	what = bell_put(page, (uint32_t)req->io.value);
	if (what == BELL_IS_FULL) {
		bell_take(page);
		what = bell_put(page, (uint32_t)req->io.value);
	}
	page_end(dev);
	if (what == BELL_RINGS)
		bell_ring((struct bell_dev *)dev);
}

/* Sleeps until the bell rings, then takes numbers out until there are none: so no ring can be lost. */
static void *bell_work(void *opaque)
{
	struct bell_dev *bell = opaque;
	struct bell_page *page = device_page(&bell->dev);
	uint64_t rings;
	uint32_t taken;

	while (read(bell->fd, &rings, sizeof(rings)) == sizeof(rings) && !atomic_load(&bell->ends)) {
		bell->wakes++;
		do {
			pthread_mutex_lock(&bell->dev.lock);
			page_begin(&bell->dev);
			taken = bell_take(page);
			if (!taken)
				HR_STORE(page->notify, 1);
			page_end(&bell->dev);
			pthread_mutex_unlock(&bell->dev.lock);
		} while (taken);
	}
	return NULL;
}

static int bell_init(struct bell_dev *bell, struct clock *clock)
{
	static const struct device_ops ops; /* nobody resets or destroys it but main() */
	int ret = device_init(&bell->dev, "doorbell", &ops, clock, 1, sizeof(struct bell_page));

	if (ret)
		return ret;
	((struct bell_page *)device_page(&bell->dev))->notify = 1;
	bell->fd = eventfd(0, EFD_CLOEXEC);
	ret = bell->fd < 0 ? -errno : -pthread_create(&bell->worker, NULL, bell_work, bell);
	if (ret) {
		close(bell->fd);
		device_cleanup(&bell->dev);
	}
	return ret;
}

static void bell_cleanup(struct bell_dev *bell)
{
	atomic_store(&bell->ends, true);
	bell_ring(bell);
	pthread_join(bell->worker, NULL);
	close(bell->fd);
	device_cleanup(&bell->dev);
}

int main(int argc, char **argv)
{
	struct bell_dev bell = {.fd = -1};
	struct vm vm;
	struct range *range,
		proto = {"doorbell", &bell.dev, IO_PIO, .base = 0x510, .mapped = true, .len = 16, .width = 4};
	struct accel_err err = {.text = "usage: doorbell OBJECT [options of hotreg run]"};
	struct accel_object *obj = NULL;
	struct accel_counters n;
	const struct bell_page *page;
	struct options opt;
	int status = EXIT_USAGE;

	proto.read = bell_dev_read;
	proto.write = bell_dev_write;
	if (argc < 2 || options_parse(&opt, argc - 2, argv + 2, &err) || vm_create(&vm, &opt, &err))
		goto out;
	if (bell_init(&bell, &vm.clock))
		goto out_vm;
	range = bus_add(&vm.bus, &proto);
	if (!range || accel_slot_new(bell.dev.page, &vm.clock.source, opt.cpus, ACCEL_STATEFUL, &range->slot))
		goto out_device;
	bus_set_slot(&vm.bus, range, range->slot);
	accel_slot_set_eventfd(range->slot, bell.fd);
	if (accel_object_open_file(argv[1], &obj, &err) || accel_slot_attach(range->slot, obj, "doorbell", &err))
		goto out_slot;
	status = vm_run(&vm, &err);
	accel_slot_counters(range->slot, &n);
	page = device_page(&bell.dev);
	fprintf(stderr, "doorbell: %u numbers, %u rings, %u without; %lu answered, %lu punted\n", page->put,
		page->rings, page->quiet, (unsigned long)n.answered, (unsigned long)n.punted);
out_slot:
	accel_slot_free(range->slot);
	accel_object_put(obj);
out_device:
	bell_cleanup(&bell);
out_vm:
	vm_destroy(&vm);
out:
	if (err.text[0] && status != 0)
		fprintf(stderr, "doorbell: %s\n", err.text);
	return status;
}
