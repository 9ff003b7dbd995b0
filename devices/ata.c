/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata.c: the task file, the data port and the resets of the ATA channel [ATA-6]. Disk I/O and
 * the interrupt line stay outside page_begin()/page_end(): a command works first, then shows its
 * outcome in the page, then moves the line. Programs store to the page too, but not while the phase
 * is ATA_AT_WORK, and nothing that would move INTRQ. A program that --prog brought may not keep to
 * that: what is taken from the page is loaded once, and bounded.
 */
#include "devices/ata.h"

#include <stdlib.h>
#include <string.h>

#include "devices/ata_cmd.h"
#include "vmm/bus.h"

#define CMD_DIAGNOSTIC 0x90
/* A host that gives so many commands without taking nIEN back polls: SeaBIOS, which sets it for each, does not. */
#define POLLS 4

/* Ends a change of the page, and moves the line to where it belongs now. */
static void end_change(struct ata *ata)
{
	bool level = ata_intrq(ata_state(ata));

	page_end(&ata->dev);
	irq_set(&ata->irq, level);
}

/* In the bracket: status and error, an interrupt with them, and what the data port does from here on. */
static void show(struct ata *ata, enum ata_phase phase, uint8_t status, uint8_t error, bool with_irq)
{
	struct ata_state *s = ata_state(ata);

	HR_STORE(s->phase, phase);
	HR_STORE(s->status, status);
	HR_STORE(s->error, error);
	if (with_irq)
		HR_STORE(s->irq, 1);
}

void ata_finish(struct ata *ata, uint8_t error)
{
	page_begin(&ata->dev);
	show(ata, ATA_IDLE, ATA_DRDY | ATA_DSC | (error ? ATA_ERR : 0), error, true);
	end_change(ata);
}

void ata_set_drq(struct ata *ata, enum ata_phase phase, uint32_t sectors, bool with_irq)
{
	struct ata_state *s = ata_state(ata);

	page_begin(&ata->dev);
	HR_STORE(s->pos, 0);
	HR_STORE(s->len, sectors * ATA_SECTOR_BYTES);
	HR_STORE(s->is_last, phase == ATA_TO_HOST && ata->left == sectors);
	show(ata, phase, ATA_DRDY | ATA_DSC | ATA_DRQ, 0, with_irq);
	end_change(ata);
}

/* In the bracket: the values that a reset or a diagnostic leaves in the task file ([ATA-6] Signature). */
static void set_signature(struct ata_state *s)
{
	HR_STORE(s->error, ATA_DIAG_PASSED);
	HR_STORE(s->reg[ATA_NSECT], 1);
	HR_STORE(s->reg[ATA_LBAL], 1);
	HR_STORE(s->reg[ATA_LBAM], 0);
	HR_STORE(s->reg[ATA_LBAH], 0);
	HR_STORE(s->reg[ATA_DEVICE], 0);
}

void ata_diagnostic(struct ata *ata)
{
	page_begin(&ata->dev);
	set_signature(ata_state(ata));
	show(ata, ATA_IDLE, ATA_DRDY | ATA_DSC, ATA_DIAG_PASSED, true);
	end_change(ata);
}

void ata_set_nsect(struct ata *ata, uint8_t v)
{
	page_begin(&ata->dev);
	HR_STORE(ata_state(ata)->reg[ATA_NSECT], v);
	page_end(&ata->dev);
}

void ata_set_address(struct ata *ata, uint64_t lba)
{
	struct ata_state *s = ata_state(ata);
	uint32_t track = (uint32_t)(lba / ata->sectors_per_track);
	uint8_t low4 = (uint8_t)(lba >> 24 & 0x0f);

	page_begin(&ata->dev);
	if (ata->addressing == ATA_CHS) {
		HR_STORE(s->reg[ATA_LBAL], (uint8_t)(lba % ata->sectors_per_track + 1));
		HR_STORE(s->reg[ATA_LBAM], (uint8_t)(track / ata->heads));
		HR_STORE(s->reg[ATA_LBAH], (uint8_t)(track / ata->heads >> 8));
		low4 = (uint8_t)(track % ata->heads);
	} else {
		HR_STORE(s->reg[ATA_LBAL], (uint8_t)lba);
		HR_STORE(s->reg[ATA_LBAM], (uint8_t)(lba >> 8));
		HR_STORE(s->reg[ATA_LBAH], (uint8_t)(lba >> 16));
	}
	if (ata->addressing == ATA_LBA48) {
		HR_STORE(s->prev[ATA_LBAL], (uint8_t)(lba >> 24));
		HR_STORE(s->prev[ATA_LBAM], (uint8_t)(lba >> 32));
		HR_STORE(s->prev[ATA_LBAH], (uint8_t)(lba >> 40));
	} else {
		HR_STORE(s->reg[ATA_DEVICE], (s->reg[ATA_DEVICE] & 0xf0) | low4);
	}
	page_end(&ata->dev);
}

/*
 * With nIEN set a write of the device register moves no line, so it may be deferred too. Asking the CPU backend costs
 * it some time, so only for hosts that keep nIEN set.
 */
static void count_polled(struct ata *ata)
{
	if (!(HR_LOAD(ata_state(ata)->control) & ATA_NIEN) || ata->polled == POLLS)
		return;
	if (++ata->polled == POLLS)
		bus_open_gate(ata->bus, ata->regs, true);
}

static void end_polling(struct ata *ata)
{
	if (ata->polled == POLLS)
		bus_open_gate(ata->bus, ata->regs, false);
	ata->polled = 0;
}

/* ---- registers ---- */

static void regs_read(struct device *dev, struct io_req *req)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);

	page_begin(dev);
	req->io.result = req->io.offset == ATA_STATUS ? ata_read_status(s) : ata_read(s, req->io.offset);
	end_change(ata);
}

/* Whether a command is taken, the diagnostic whichever device is selected; then the work has begun. */
static bool begin_command(struct ata *ata, uint8_t command)
{
	struct ata_state *s = ata_state(ata);
	bool is_taken;

	page_begin(&ata->dev);
	/* A host that gives a command in the middle of a transfer, or to a sleeping drive, gets nothing. */
	is_taken =
		!ata_ignores_writes(s) && ata->power != ATA_SLEEPING && (!ata_is_dev1(s) || command == CMD_DIAGNOSTIC);
	if (is_taken) {
		ata_clear_hob(s);
		if (!ata_is_dev1(s)) /* a new command takes back the interrupt of the last one */
			HR_STORE(s->irq, 0);
		HR_STORE(s->phase, ATA_AT_WORK);
	}
	end_change(ata);
	return is_taken;
}

static void regs_write(struct device *dev, struct io_req *req)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);
	uint8_t v = (uint8_t)req->io.value;

	if (req->io.offset != ATA_STATUS) {
		page_begin(dev);
		if (!ata_ignores_writes(s))
			ata_write(s, req->io.offset, v);
		end_change(ata);
	} else if (begin_command(ata, v)) {
		count_polled(ata);
		if (v == CMD_DIAGNOSTIC)
			ata_diagnostic(ata);
		else
			ata_command(ata, v);
	}
}

/* ---- the data port ---- */

/* Moves bytes of one block; returns how many. *is_done: none are left, and the disk has something to do. */
static uint32_t move_in_block(struct ata *ata, enum ata_phase way, uint8_t *bytes, uint32_t count, bool *is_done)
{
	struct ata_state *s = ata_state(ata);
	uint32_t n = 0;

	*is_done = false;
	page_begin(&ata->dev);
	if (s->phase == way && s->len <= ATA_BLOCK_BYTES && s->pos < s->len) { /* whatever a replaced program stored */
		n = s->len - s->pos < count ? s->len - s->pos : count;
		if (way == ATA_TO_HOST) {
			memcpy(bytes, s->data + s->pos, n);
		} else {
			memcpy(s->data + s->pos, bytes, n);
			ata_clear_hob(s);
		}
		if (!ata_advance(s, s->pos + n)) {
			HR_STORE(s->pos, s->len);
			HR_STORE(s->phase, ATA_AT_WORK);
			*is_done = true;
		}
	}
	page_end(&ata->dev);
	return n;
}

/* Moves bytes, always whole words, while there is a transfer in that direction; returns how many. */
static uint32_t move_data(struct ata *ata, enum ata_phase way, void *bytes, uint32_t count)
{
	uint32_t done = 0, n;
	bool is_done;

	do {
		n = move_in_block(ata, way, (uint8_t *)bytes + done, count - done, &is_done);
		done += n;
		if (is_done)
			ata_block_done(ata, way == ATA_TO_HOST);
	} while (n > 0 && done < count);
	return done;
}

static void data_read(struct device *dev, struct io_req *req)
{
	uint64_t words = ata_no_data(ata_state((struct ata *)dev));

	move_data((struct ata *)dev, ATA_TO_HOST, &words, ata_data_bytes(req->io.size));
	req->io.result = hr_mask(words, req->io.size);
}

static void data_write(struct device *dev, struct io_req *req)
{
	uint64_t words = hr_mask(req->io.value, req->io.size);

	move_data((struct ata *)dev, ATA_FROM_HOST, &words, ata_data_bytes(req->io.size));
}

static void data_read_string(struct device *dev, struct io_req *req)
{
	uint8_t *out = req->data;
	struct io_req one = {.io.size = req->io.size};

	if (req->io.size > 1 && ata_state((struct ata *)dev)->present) {
		uint32_t bytes = req->count * req->io.size;
		uint32_t done = move_data((struct ata *)dev, ATA_TO_HOST, out, bytes);

		memset(out + done, 0xff, bytes - done);
		return;
	}
	for (uint32_t i = 0; i < req->count; i++) {
		data_read(dev, &one);
		memcpy(out + i * one.io.size, &one.io.result, one.io.size);
	}
}

static void data_write_string(struct device *dev, struct io_req *req)
{
	uint8_t *in = req->data;

	if (req->io.size > 1) {
		move_data((struct ata *)dev, ATA_FROM_HOST, in, req->count * req->io.size);
		return;
	}
	for (uint32_t i = 0; i < req->count; i++) {
		uint16_t word = in[i];

		move_data((struct ata *)dev, ATA_FROM_HOST, &word, 2);
	}
}

/* ---- device control and resets ---- */

static void ctl_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = ata_status(ata_state((struct ata *)dev));
	page_end(dev);
}

/* In the bracket, both. */
static void srst_begins(struct ata_state *s)
{
	HR_STORE(s->irq, 0);
	HR_STORE(s->reg[ATA_DEVICE], 0);
	HR_STORE(s->status, ATA_BSY);
	HR_STORE(s->phase, ATA_IDLE);
}

static void srst_ends(struct ata_state *s)
{
	set_signature(s);
	HR_STORE(s->status, ATA_DRDY | ATA_DSC);
}

static void ctl_write(struct device *dev, struct io_req *req)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);
	uint8_t v = (uint8_t)req->io.value & (ATA_HOB | ATA_SRST | ATA_NIEN);
	bool begins, ends;

	if (!s->present)
		return;
	if (!(v & ATA_NIEN))
		end_polling(ata);
	page_begin(dev);
	begins = (v & ATA_SRST) && !(s->control & ATA_SRST);
	ends = !(v & ATA_SRST) && (s->control & ATA_SRST);
	HR_STORE(s->control, v);
	if (begins)
		srst_begins(s);
	else if (ends)
		srst_ends(s);
	end_change(ata);
	if (!begins)
		return;
	ata->power = ATA_ACTIVE;
	if (ata->revert_on_srst)
		ata_set_defaults(ata);
}

/* Power-on. */
static void ata_reset(struct device *dev)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);

	end_polling(ata);
	ata->power = ATA_ACTIVE;
	ata->revert_on_srst = false;
	ata_set_defaults(ata);
	if (ata->disk)
		ata_default_geometry(ata);
	page_begin(dev);
	memset((char *)s + sizeof(s->offset_ns), 0, sizeof(*s) - sizeof(s->offset_ns));
	if (ata->disk) {
		HR_STORE(s->present, 1);
		HR_STORE(s->status, ATA_DRDY | ATA_DSC);
		set_signature(s);
	}
	end_change(ata);
}

static void ata_destroy(struct device *dev)
{
	struct ata *ata = (struct ata *)dev;

	disk_close(ata->disk);
	device_cleanup(dev);
	free(ata);
}

static const struct device_ops ata_ops = {.reset = ata_reset, .destroy = ata_destroy};

static const struct reg_name ata_regs[] = {{1, 1, "error/features"}, {2, 1, "sector count"}, {3, 1, "lba low"},
	{4, 1, "lba mid"}, {5, 1, "lba high"}, {6, 1, "device"}, {7, 1, "status/command"}, {0, 0, NULL}};
static const struct reg_name data_regs[] = {{0, 1, "data"}, {0, 0, NULL}};
static const struct reg_name ctl_regs[] = {{0, 1, "alternate status/control"}, {0, 0, NULL}};

/*
 * Features to LBA high: any access that fits there is stores alone until the command. The device register only under nIEN: a write
 * of that moves INTRQ when an interrupt is pending, and a guest that sleeps until then makes no exit.
 */
static const struct range_zone ata_deferred[] = {{1, 5, false}, {ATA_DEVICE, 1, true}, {0, 0, false}};

struct device *ata_create(struct bus *bus, struct clock *clock, struct irq_line irq, struct disk *disk)
{
	const struct range ranges[] = {
		{.name = "ata.regs",
			.base = 0x1f0,
			.len = 8,
			.read = regs_read,
			.write = regs_write,
			.regs = ata_regs,
			.deferred = ata_deferred},
		{.name = "ata.data",
			.base = 0x1f0,
			.len = 1,
			.width = 4,
			.flags = RANGE_FIFO | RANGE_MERGE,
			.read = data_read,
			.write = data_write,
			.read_string = data_read_string,
			.write_string = data_write_string,
			.regs = data_regs},
		{.name = "ata.ctl", .base = 0x3f6, .len = 1, .read = ctl_read, .write = ctl_write, .regs = ctl_regs},
	};
	struct ata *ata = calloc(1, sizeof(*ata));

	if (!ata || device_init(&ata->dev, "ata", &ata_ops, clock, ATA_STATE_VERSION, sizeof(struct ata_page))) {
		free(ata);
		disk_close(disk);
		return NULL;
	}
	ata->irq = irq;
	ata->disk = disk;
	ata->bus = bus;
	if (!device_add_ranges(&ata->dev, bus, ranges, 3)) {
		ata_destroy(&ata->dev);
		return NULL;
	}
	ata->regs = bus_find_name(bus, "ata.regs");
	return &ata->dev;
}
