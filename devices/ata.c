/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata.c: the task file, the data port and the resets of the ATA channel [ATA-6]. Disk I/O and
 * the interrupt line stay outside page_begin()/page_end(): a command works first, then shows its
 * outcome in the page, then moves the line. The programs only read the page, so the model, alone
 * under its mutex, may read it without the bracket.
 */
#include "devices/ata.h"

#include <stdlib.h>
#include <string.h>

#include "devices/ata_cmd.h"

#define CMD_DIAGNOSTIC 0x90

/* INTRQ: device 0 drives it only while it is selected and nIEN is 0. */
static void update_irq(struct ata *ata)
{
	const struct ata_state *s = ata_state(ata);

	irq_set(&ata->irq, s->irq && !(s->control & ATA_NIEN) && !(s->device & ATA_DEV1));
}

void ata_set_status(struct ata *ata, uint8_t status, uint8_t error, bool with_irq)
{
	struct ata_state *s = ata_state(ata);

	page_begin(&ata->dev);
	HR_STORE(s->status, status);
	HR_STORE(s->error, error);
	if (with_irq)
		HR_STORE(s->irq, 1);
	page_end(&ata->dev);
	update_irq(ata);
}

void ata_finish(struct ata *ata, uint8_t error)
{
	ata->phase = ATA_IDLE;
	ata_set_status(ata, ATA_DRDY | ATA_DSC | (error ? ATA_ERR : 0), error, true);
}

void ata_set_drq(struct ata *ata, bool with_irq)
{
	ata_set_status(ata, ATA_DRDY | ATA_DSC | ATA_DRQ, 0, with_irq);
}

void ata_set_signature(struct ata_state *s)
{
	HR_STORE(s->error, ATA_DIAG_PASSED);
	HR_STORE(s->nsect[0], 1);
	HR_STORE(s->lbal[0], 1);
	HR_STORE(s->lbam[0], 0);
	HR_STORE(s->lbah[0], 0);
	HR_STORE(s->device, 0);
}

void ata_set_nsect(struct ata *ata, uint8_t v)
{
	page_begin(&ata->dev);
	HR_STORE(ata_state(ata)->nsect[0], v);
	page_end(&ata->dev);
}

void ata_set_address(struct ata *ata, uint64_t lba)
{
	struct ata_state *s = ata_state(ata);
	uint32_t track = (uint32_t)(lba / ata->sectors_per_track);
	uint8_t low4 = (uint8_t)(lba >> 24 & 0x0f);

	page_begin(&ata->dev);
	if (ata->addressing == ATA_CHS) {
		HR_STORE(s->lbal[0], (uint8_t)(lba % ata->sectors_per_track + 1));
		HR_STORE(s->lbam[0], (uint8_t)(track / ata->heads));
		HR_STORE(s->lbah[0], (uint8_t)(track / ata->heads >> 8));
		low4 = (uint8_t)(track % ata->heads);
	} else {
		HR_STORE(s->lbal[0], (uint8_t)lba);
		HR_STORE(s->lbam[0], (uint8_t)(lba >> 8));
		HR_STORE(s->lbah[0], (uint8_t)(lba >> 16));
	}
	if (ata->addressing == ATA_LBA48) {
		HR_STORE(s->lbal[1], (uint8_t)(lba >> 24));
		HR_STORE(s->lbam[1], (uint8_t)(lba >> 32));
		HR_STORE(s->lbah[1], (uint8_t)(lba >> 40));
	} else {
		HR_STORE(s->device, (s->device & 0xf0) | low4);
	}
	page_end(&ata->dev);
}

/* ---- registers ---- */

static void regs_read(struct device *dev, struct io_req *req)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);

	req->io.result = ata_read(s, req->io.offset);
	if (req->io.offset == ATA_STATUS && ata_status_acks(s)) {
		page_begin(dev);
		HR_STORE(s->irq, 0);
		page_end(dev);
		update_irq(ata);
	}
}

static void push(uint8_t reg[2], uint8_t v)
{
	HR_STORE(reg[1], reg[0]);
	HR_STORE(reg[0], v);
}

static void write_register(struct ata *ata, uint32_t offset, uint8_t v)
{
	struct ata_state *s = ata_state(ata);

	page_begin(&ata->dev);
	HR_STORE(s->control, s->control & ~ATA_HOB); /* by any write to the command block */
	switch (offset) {
	case ATA_ERROR:
		ata->features = v;
		break;
	case ATA_NSECT:
		push(s->nsect, v);
		break;
	case ATA_LBAL:
		push(s->lbal, v);
		break;
	case ATA_LBAM:
		push(s->lbam, v);
		break;
	case ATA_LBAH:
		push(s->lbah, v);
		break;
	case ATA_DEVICE:
		HR_STORE(s->device, v);
		break;
	case ATA_STATUS: /* a new command takes back the interrupt of the last one */
		if (!(s->device & ATA_DEV1))
			HR_STORE(s->irq, 0);
		break;
	}
	page_end(&ata->dev);
	update_irq(ata);
}

static void regs_write(struct device *dev, struct io_req *req)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);
	uint8_t v = (uint8_t)req->io.value;

	if (!s->present || (s->status & ATA_BSY))
		return;
	if (req->io.offset != ATA_STATUS) {
		write_register(ata, req->io.offset, v);
		return;
	}
	/* A host that gives a command in the middle of a transfer, or to a sleeping drive, gets nothing. */
	if ((s->status & ATA_DRQ) || ata->power == ATA_SLEEPING)
		return;
	if (!(s->device & ATA_DEV1) || v == CMD_DIAGNOSTIC)
		write_register(ata, ATA_STATUS, v);
	if (v == CMD_DIAGNOSTIC)
		ata_diagnostic(ata);
	else if (!(s->device & ATA_DEV1))
		ata_command(ata, v);
}

/* ---- the data port ---- */

/* Moves bytes while there is a transfer in that direction; returns how many. */
static uint32_t move_data(struct ata *ata, enum ata_phase phase, uint8_t *bytes, uint32_t count)
{
	uint32_t done = 0;

	while (done < count && ata->phase == phase && !(ata_state(ata)->device & ATA_DEV1)) {
		uint32_t n = ata->len - ata->pos < count - done ? ata->len - ata->pos : count - done;

		if (phase == ATA_TO_HOST)
			memcpy(bytes + done, ata->buf + ata->pos, n);
		else
			memcpy(ata->buf + ata->pos, bytes + done, n);
		ata->pos += n;
		done += n;
		if (ata->pos == ata->len)
			ata_block_done(ata);
	}
	return done;
}

/* The port is 16 bits wide: a byte access moves a word too, of which the guest has the low half. */
static void data_read(struct device *dev, struct io_req *req)
{
	uint8_t word[2] = {0xff, 0xff};

	if (ata_state((struct ata *)dev)->present)
		move_data((struct ata *)dev, ATA_TO_HOST, word, 2);
	else
		word[0] = ATA_FLOATS;
	req->io.result = hr_mask(word[0] | (uint64_t)word[1] << 8, req->io.size);
}

static void data_write(struct device *dev, struct io_req *req)
{
	uint64_t v = hr_mask(req->io.value, req->io.size);
	uint8_t word[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

	move_data((struct ata *)dev, ATA_FROM_HOST, word, 2);
}

static void data_read_string(struct device *dev, struct io_req *req)
{
	struct ata *ata = (struct ata *)dev;
	uint8_t *out = req->data;

	if (req->io.size == 1 || !ata_state(ata)->present) {
		for (uint32_t i = 0; i < req->count * req->io.size; i += req->io.size < 2 ? 1 : 2) {
			struct io_req one = {.io.size = req->io.size < 2 ? 1 : 2};

			data_read(dev, &one);
			memcpy(out + i, &one.io.result, one.io.size);
		}
		return;
	}
	uint32_t bytes = req->count * req->io.size, done = move_data(ata, ATA_TO_HOST, out, bytes);

	memset(out + done, 0xff, bytes - done);
}

static void data_write_string(struct device *dev, struct io_req *req)
{
	uint8_t *in = req->data;

	if (req->io.size > 1) {
		move_data((struct ata *)dev, ATA_FROM_HOST, in, req->count * req->io.size);
		return;
	}
	for (uint32_t i = 0; i < req->count; i++) {
		uint8_t word[2] = {in[i], 0};

		move_data((struct ata *)dev, ATA_FROM_HOST, word, 2);
	}
}

/* ---- device control and resets ---- */

static void ctl_read(struct device *dev, struct io_req *req)
{
	req->io.result = ata_status(ata_state((struct ata *)dev));
}

static void srst_begins(struct ata *ata)
{
	struct ata_state *s = ata_state(ata);

	ata->phase = ATA_IDLE;
	ata->power = ATA_ACTIVE;
	if (ata->revert_on_srst)
		ata_set_defaults(ata);
	page_begin(&ata->dev);
	HR_STORE(s->irq, 0);
	HR_STORE(s->device, 0);
	HR_STORE(s->status, ATA_BSY);
	page_end(&ata->dev);
}

static void srst_ends(struct ata *ata)
{
	struct ata_state *s = ata_state(ata);

	page_begin(&ata->dev);
	ata_set_signature(s);
	HR_STORE(s->status, ATA_DRDY | ATA_DSC);
	page_end(&ata->dev);
}

static void ctl_write(struct device *dev, struct io_req *req)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);
	uint8_t was = s->control, v = (uint8_t)req->io.value & (ATA_HOB | ATA_SRST | ATA_NIEN);

	if (!s->present)
		return;
	page_begin(dev);
	HR_STORE(s->control, v);
	page_end(dev);
	if (!(was & ATA_SRST) && (v & ATA_SRST))
		srst_begins(ata);
	else if ((was & ATA_SRST) && !(v & ATA_SRST))
		srst_ends(ata);
	update_irq(ata);
}

/* Power-on. */
static void ata_reset(struct device *dev)
{
	struct ata *ata = (struct ata *)dev;
	struct ata_state *s = ata_state(ata);

	ata->features = 0;
	ata->phase = ATA_IDLE;
	ata->power = ATA_ACTIVE;
	ata->revert_on_srst = false;
	ata->pos = ata->len = 0;
	ata_set_defaults(ata);
	if (ata->disk)
		ata_default_geometry(ata);
	page_begin(dev);
	memset((char *)s + sizeof(s->offset_ns), 0, sizeof(*s) - sizeof(s->offset_ns));
	if (ata->disk) {
		HR_STORE(s->present, 1);
		HR_STORE(s->status, ATA_DRDY | ATA_DSC);
		ata_set_signature(s);
	}
	page_end(dev);
	update_irq(ata);
}

static void ata_destroy(struct device *dev)
{
	struct ata *ata = (struct ata *)dev;

	disk_close(ata->disk);
	device_cleanup(dev);
	free(ata);
}

static const struct device_ops ata_ops = {ata_reset, ata_destroy};

static const struct reg_name ata_regs[] = {{1, 1, "error/features"}, {2, 1, "sector count"}, {3, 1, "lba low"},
	{4, 1, "lba mid"}, {5, 1, "lba high"}, {6, 1, "device"}, {7, 1, "status/command"}, {0, 0, NULL}};
static const struct reg_name data_regs[] = {{0, 1, "data"}, {0, 0, NULL}};
static const struct reg_name ctl_regs[] = {{0, 1, "alternate status/control"}, {0, 0, NULL}};

struct device *ata_create(struct bus *bus, struct clock *clock, struct irq_line irq, struct disk *disk)
{
	const struct range ranges[] = {
		{.name = "ata.regs", .base = 0x1f0, .len = 8, .read = regs_read, .write = regs_write, .regs = ata_regs},
		{.name = "ata.data",
			.base = 0x1f0,
			.len = 1,
			.width = 2,
			.flags = RANGE_FIFO,
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
	if (!device_add_ranges(&ata->dev, bus, ranges, 3)) {
		ata_destroy(&ata->dev);
		return NULL;
	}
	return &ata->dev;
}
