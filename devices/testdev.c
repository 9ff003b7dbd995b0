// SPDX-License-Identifier: BSD-2-Clause
/*
 * testdev.c: the test device of --testdev, as the test kernels written for QEMU's pc-testdev expect it [TESTDEV].
 *
 * 0xe0-0xe3 is one register of 32 bits that reads back, by parts too; 0xe8-0xeb is the same one, always taken byte by
 * byte. A doubleword to 0xe4 names a guest page whose mapping the host is to drop, so that the next access faults in the
 * host. A byte to 0x2000 + n sets interrupt line n. 64 KiB at 0xff000000 are memory, each access of which exits.
 */
#include "devices/testdev.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/mem.h"

#define DATA_PORT 0xe0
#define FLUSH_PORT 0xe4
#define BYTES_PORT 0xe8
#define LINES_PORT 0x2000
#define IOMEM_BASE 0xff000000u
#define IOMEM_BYTES 0x10000u
#define PAGE 4096u

struct testdev {
	struct device dev;
	/* constant after init */
	const struct guest_mem *mem;
	struct irq_line lines[TESTDEV_LINES];
	/* dev.lock */
	uint8_t data[4];
	bool raised[TESTDEV_LINES];
	uint8_t iomem[IOMEM_BYTES];
};

static void read_bytes(struct io_req *req, const uint8_t *from)
{
	req->io.result = 0;
	for (unsigned i = 0; i < req->io.size; i++)
		req->io.result |= (uint64_t)from[i] << (8 * i);
}

static void write_bytes(const struct io_req *req, uint8_t *to)
{
	for (unsigned i = 0; i < req->io.size; i++)
		to[i] = (uint8_t)(req->io.value >> (8 * i));
}

static void data_read(struct device *dev, struct io_req *req)
{
	read_bytes(req, ((struct testdev *)dev)->data + req->io.offset);
}

static void data_write(struct device *dev, struct io_req *req)
{
	write_bytes(req, ((struct testdev *)dev)->data + req->io.offset);
}

static void no_read(struct device *dev, struct io_req *req)
{
	(void)dev;
	req->io.result = io_all_ones(req->io.size);
}

/*
 * A change of the page's rights makes the kernel take it out of every mapping that follows this one, KVM's too. They are
 * widened and put back, never narrowed: another vCPU or device may use the page meanwhile.
 */
static void flush_write(struct device *dev, struct io_req *req)
{
	struct testdev *t = (struct testdev *)dev;
	void *page;

	if (req->io.size != 4)
		return;
	page = mem_ptr(t->mem, req->io.value & ~(uint64_t)(PAGE - 1), PAGE);
	if (page && mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
		(void)mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

static void line_write(struct device *dev, struct io_req *req)
{
	struct testdev *t = (struct testdev *)dev;

	if (req->io.size != 1)
		return;
	t->raised[req->io.offset] = req->io.value != 0;
	irq_set(&t->lines[req->io.offset], t->raised[req->io.offset]);
}

static void iomem_read(struct device *dev, struct io_req *req)
{
	read_bytes(req, ((struct testdev *)dev)->iomem + req->io.offset);
}

static void iomem_write(struct device *dev, struct io_req *req)
{
	write_bytes(req, ((struct testdev *)dev)->iomem + req->io.offset);
}

static void testdev_reset(struct device *dev)
{
	struct testdev *t = (struct testdev *)dev;

	memset(t->data, 0, sizeof(t->data));
	memset(t->iomem, 0, sizeof(t->iomem));
	for (unsigned i = 0; i < TESTDEV_LINES; i++) {
		/* the others may be held by the chip whose lines they are */
		if (t->raised[i])
			irq_set(&t->lines[i], false);
		t->raised[i] = false;
	}
}

static void testdev_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops testdev_ops = {.reset = testdev_reset, .destroy = testdev_destroy};

struct device *testdev_create(
	struct bus *bus, struct clock *clock, const struct guest_mem *mem, const struct irq_line *lines)
{
	static const struct reg_name data_regs[] = {{0, 4, "data"}, {0, 0, NULL}};
	static const struct reg_name flush_regs[] = {{0, 4, "flush"}, {0, 0, NULL}};
	static const struct reg_name line_regs[] = {{0, TESTDEV_LINES, "line"}, {0, 0, NULL}};
	static const struct reg_name iomem_regs[] = {{0, IOMEM_BYTES, "memory"}, {0, 0, NULL}};
	const struct range ranges[] = {
		{.name = "testdev",
			.base = DATA_PORT,
			.len = 4,
			.width = 4,
			.read = data_read,
			.write = data_write,
			.regs = data_regs},
		{.name = "testdev.flush",
			.base = FLUSH_PORT,
			.len = 4,
			.width = 4,
			.read = no_read,
			.write = flush_write,
			.regs = flush_regs},
		{.name = "testdev.bytes",
			.base = BYTES_PORT,
			.len = 4,
			.width = 1,
			.read = data_read,
			.write = data_write,
			.regs = data_regs},
		{.name = "testdev.lines",
			.base = LINES_PORT,
			.len = TESTDEV_LINES,
			.width = 4, /* wider accesses are taken, to be ignored: they are no bytes to several lines */
			.read = no_read,
			.write = line_write,
			.regs = line_regs},
		{.name = "testdev.memory",
			.bus = IO_MMIO,
			.base = IOMEM_BASE,
			.len = IOMEM_BYTES,
			.width = 8,
			.read = iomem_read,
			.write = iomem_write,
			.regs = iomem_regs},
	};
	struct testdev *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	if (device_init(&t->dev, "testdev", &testdev_ops, clock, 0, 0)) {
		free(t);
		return NULL;
	}
	t->mem = mem;
	memcpy(t->lines, lines, sizeof(t->lines));
	if (!device_add_ranges(&t->dev, bus, ranges, sizeof(ranges) / sizeof(ranges[0]))) {
		testdev_destroy(&t->dev);
		return NULL;
	}
	return &t->dev;
}
