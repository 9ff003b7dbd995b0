/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata_cmd.c: the commands of an ATA-6 disk without DMA [ATA-6] clause 8, and the PIO protocols
 * of clause 9. What is not here ends with ABRT, as every command does that IDENTIFY DEVICE does
 * not announce.
 */
#include "devices/ata_cmd.h"

#include <string.h>

#define LBA28_SECTORS 0x0fffffffull
#define LBA48_SECTORS 0xffffffffffffull
#define CHS_CYLINDERS 16383u
#define CHS_HEADS 16u
#define CHS_SECTORS 63u

void ata_set_defaults(struct ata *ata)
{
	ata->multiple = 0;
	ata->write_cache = true;
}

void ata_default_geometry(struct ata *ata)
{
	uint64_t sectors = disk_sectors(ata->disk);

	ata->sectors_per_track = (uint16_t)(sectors < CHS_SECTORS ? sectors : CHS_SECTORS);
	ata->heads =
		(uint16_t)(sectors / ata->sectors_per_track < CHS_HEADS ? sectors / ata->sectors_per_track : CHS_HEADS);
}

static uint16_t cylinders(const struct ata *ata)
{
	uint64_t n = disk_sectors(ata->disk) / ((uint64_t)ata->heads * ata->sectors_per_track);

	return (uint16_t)(n < CHS_CYLINDERS ? n : CHS_CYLINDERS);
}

/* ---- addresses ---- */

/* LBA low, mid and high. */
static uint32_t load3(const uint8_t *reg)
{
	return HR_LOAD(reg[ATA_LBAL]) | (uint32_t)HR_LOAD(reg[ATA_LBAM]) << 8 | (uint32_t)HR_LOAD(reg[ATA_LBAH]) << 16;
}

/*
 * Takes address and sector count from the task file into ata->lba and ata->left. False: there is
 * no such sector; the address of the first that is missing is then in the task file.
 */
static bool take_address(struct ata *ata, bool ext)
{
	const struct ata_state *s = ata_state(ata);
	uint32_t low = load3(s->reg), high = load3(s->prev);
	uint8_t device = HR_LOAD(s->reg[ATA_DEVICE]), count = HR_LOAD(s->reg[ATA_NSECT]);
	uint32_t cylinder = low >> 8, head = device & 0x0fu, sector = low & 0xff;
	uint64_t end = disk_sectors(ata->disk);

	ata->left = count ? count : 256;
	if (ext) {
		ata->addressing = ATA_LBA48;
		ata->lba = low | (uint64_t)high << 24;
		ata->left = count | (uint32_t)HR_LOAD(s->prev[ATA_NSECT]) << 8;
		if (!ata->left)
			ata->left = 65536;
	} else if (device & ATA_LBA) {
		ata->addressing = ATA_LBA28;
		ata->lba = low | (uint64_t)head << 24;
		if (end > LBA28_SECTORS)
			end = LBA28_SECTORS;
	} else {
		ata->addressing = ATA_CHS;
		if (sector == 0 || sector > ata->sectors_per_track || head >= ata->heads || cylinder >= cylinders(ata))
			return false;
		ata->lba = ((uint64_t)cylinder * ata->heads + head) * ata->sectors_per_track + sector - 1;
	}
	if (ata->lba >= end || ata->left > end - ata->lba) {
		ata_set_address(ata, ata->lba > end ? ata->lba : end);
		return false;
	}
	return true;
}

/* ---- the PIO protocols ---- */

static uint32_t block_sectors(const struct ata *ata)
{
	return ata->left < ata->block ? ata->left : ata->block;
}

static void fail_at(struct ata *ata, uint64_t lba, uint8_t error)
{
	ata_set_address(ata, lba);
	ata_finish(ata, error);
}

static void no_sector(struct ata *ata)
{
	ata->left = 0; /* so that nothing ever moves at that address */
	ata_finish(ata, ATA_IDNF);
}

/* Reads the next block and offers it. Each block has its interrupt, before it is moved. */
static void offer_block(struct ata *ata)
{
	uint32_t n = block_sectors(ata), done = disk_read(ata->disk, ata->lba, ata_block(ata), n);

	if (done < n)
		fail_at(ata, ata->lba + done, ATA_UNC);
	else
		ata_set_drq(ata, ATA_TO_HOST, n, true);
}

/* Asks for the next block; the first one is asked for without an interrupt. */
static void want_block(struct ata *ata, bool with_irq)
{
	ata_set_drq(ata, ATA_FROM_HOST, block_sectors(ata), with_irq);
}

static void store_block(struct ata *ata, uint32_t n)
{
	uint32_t done = disk_write(ata->disk, ata->lba, ata_block(ata), n);

	if (done < n) {
		fail_at(ata, ata->lba + done, ATA_ABRT);
		return;
	}
	ata->lba += n;
	ata->left -= n;
	if (ata->left)
		want_block(ata, true);
	else
		ata_finish(ata, !ata->write_cache && disk_flush(ata->disk) ? ATA_ABRT : 0);
}

void ata_block_done(struct ata *ata, bool to_host)
{
	uint32_t n = block_sectors(ata);

	if (!to_host) {
		store_block(ata, n);
		return;
	}
	ata->left -= n;
	ata->lba += n;
	offer_block(ata);
}

static void start_read(struct ata *ata, bool ext, uint32_t block)
{
	ata->block = block;
	if (!block)
		ata_finish(ata, ATA_ABRT);
	else if (!take_address(ata, ext))
		no_sector(ata);
	else
		offer_block(ata);
}

static void start_write(struct ata *ata, bool ext, uint32_t block)
{
	ata->block = block;
	if (!block || disk_is_readonly(ata->disk))
		ata_finish(ata, ATA_ABRT);
	else if (!take_address(ata, ext))
		no_sector(ata);
	else
		want_block(ata, false);
}

/* READ VERIFY: reads everything, moves nothing. */
static void verify(struct ata *ata, bool ext)
{
	if (!take_address(ata, ext)) {
		no_sector(ata);
		return;
	}
	ata->block = ATA_MAX_MULTIPLE;
	while (ata->left) {
		uint32_t n = block_sectors(ata), done = disk_read(ata->disk, ata->lba, ata_block(ata), n);

		if (done < n) {
			fail_at(ata, ata->lba + done, ATA_UNC);
			return;
		}
		ata->lba += n;
		ata->left -= n;
	}
	ata_finish(ata, 0);
}

/* ---- IDENTIFY DEVICE ---- */

static void put_word(struct ata *ata, unsigned word, uint16_t v)
{
	ata_block(ata)[2 * word] = (uint8_t)v;
	ata_block(ata)[2 * word + 1] = (uint8_t)(v >> 8);
}

/* Strings are padded with blanks, and the first character of a pair is in the high byte. */
static void put_string(struct ata *ata, unsigned word, unsigned words, const char *text)
{
	size_t len = strlen(text);

	for (unsigned i = 0; i < 2 * words; i++)
		ata_block(ata)[2 * word + (i ^ 1)] = i < len ? (uint8_t)text[i] : ' ';
}

static void put_sectors(struct ata *ata, unsigned word, unsigned words, uint64_t v)
{
	for (unsigned i = 0; i < words; i++)
		put_word(ata, word + i, (uint16_t)(v >> (16 * i)));
}

static void put_geometry(struct ata *ata)
{
	uint16_t heads = ata->heads, sectors = ata->sectors_per_track;

	put_word(ata, 54, cylinders(ata)); /* the current translation */
	put_word(ata, 55, heads);
	put_word(ata, 56, sectors);
	put_sectors(ata, 57, 2, (uint64_t)cylinders(ata) * heads * sectors);
	ata_default_geometry(ata);
	put_word(ata, 1, cylinders(ata));
	put_word(ata, 3, ata->heads);
	put_word(ata, 6, ata->sectors_per_track);
	ata->heads = heads;
	ata->sectors_per_track = sectors;
}

static void identify(struct ata *ata)
{
	uint64_t sectors = disk_sectors(ata->disk);
	uint8_t sum = 0xa5;

	memset(ata_block(ata), 0, DISK_SECTOR_BYTES);
	put_geometry(ata);
	put_word(ata, 0, 0x0040); /* ATA device, fixed */
	put_word(ata, 2, 0xc837); /* no SET FEATURES needed to spin up, this data is complete */
	put_string(ata, 10, 10, "HOTREG0001");
	put_string(ata, 23, 4, "1.0");
	put_string(ata, 27, 20, "hotreg ATA disk");
	put_word(ata, 47, 0x8000 | ATA_MAX_MULTIPLE);
	put_word(ata, 49, 0x0a00); /* LBA, IORDY; no DMA */
	put_word(ata, 50, 0x4000);
	put_word(ata, 51, 0x0200); /* PIO mode 2 at least */
	put_word(ata, 53, 0x0003); /* words 54-58 and 64-70 are valid */
	put_word(ata, 59, ata->multiple ? 0x0100 | ata->multiple : 0);
	put_sectors(ata, 60, 2, sectors < LBA28_SECTORS ? sectors : LBA28_SECTORS);
	put_word(ata, 64, 0x0003); /* PIO modes 3 and 4 */
	put_word(ata, 67, 120);	   /* ns */
	put_word(ata, 68, 120);
	put_word(ata, 80, 0x0070); /* ATA/ATAPI-4 to -6 */
	put_word(ata, 82, 0x4028); /* NOP, write cache, power management */
	put_word(ata, 83, 0x7400); /* FLUSH CACHE EXT, FLUSH CACHE, 48-bit addresses */
	put_word(ata, 84, 0x4000);
	put_word(ata, 85, ata->write_cache ? 0x4028 : 0x4008);
	put_word(ata, 86, 0x3400);
	put_word(ata, 87, 0x4000);
	put_word(ata, 93, 0x400b); /* device 0, by jumper, passed its diagnostics */
	put_sectors(ata, 100, 4, sectors < LBA48_SECTORS ? sectors : LBA48_SECTORS);
	for (unsigned i = 0; i < 510; i++)
		sum += ata_block(ata)[i];
	put_word(ata, 255, (uint16_t)(0xa5 | (uint8_t)-sum << 8)); /* all 512 bytes add up to 0 */
	ata->left = 1;
	ata->block = 1;
	ata_set_drq(ata, ATA_TO_HOST, 1, true);
}

/* ---- commands without data ---- */

static void set_multiple(struct ata *ata)
{
	uint8_t n = HR_LOAD(ata_state(ata)->reg[ATA_NSECT]);

	/* a power of two up to the largest; 0 disables */
	if (n > ATA_MAX_MULTIPLE || (n & (n - 1))) {
		ata_finish(ata, ATA_ABRT);
		return;
	}
	ata->multiple = n;
	ata_finish(ata, 0);
}

static void initialize_parameters(struct ata *ata)
{
	uint8_t sectors = HR_LOAD(ata_state(ata)->reg[ATA_NSECT]);

	if (!sectors) {
		ata_finish(ata, ATA_ABRT);
		return;
	}
	ata->sectors_per_track = sectors;
	ata->heads = (HR_LOAD(ata_state(ata)->reg[ATA_DEVICE]) & 0x0f) + 1;
	ata_finish(ata, 0);
}

static void set_features(struct ata *ata)
{
	uint8_t mode = HR_LOAD(ata_state(ata)->reg[ATA_NSECT]), error = 0;

	switch (HR_LOAD(ata_state(ata)->reg[ATA_FEATURES])) {
	case 0x02:
		ata->write_cache = true;
		break;
	case 0x82: /* from now on a write ends when it is on stable storage, like what came before */
		error = disk_flush(ata->disk) ? ATA_ABRT : 0;
		ata->write_cache = false;
		break;
	case 0x03: /* transfer mode: PIO default (with or without IORDY) or PIO 0 to 4 */
		if (mode > 0x01 && !(mode >= 0x08 && mode <= 0x0c))
			error = ATA_ABRT;
		break;
	case 0x66:
		ata->revert_on_srst = false;
		break;
	case 0xcc:
		ata->revert_on_srst = true;
		break;
	default:
		error = ATA_ABRT;
		break;
	}
	ata_finish(ata, error);
}

static void set_power(struct ata *ata, enum ata_power power)
{
	ata->power = power;
	ata_finish(ata, 0);
}

static void check_power(struct ata *ata)
{
	ata_set_nsect(ata, ata->power == ATA_STANDBY ? 0x00 : 0xff);
	ata_finish(ata, 0);
}

/* The commands that touch the medium. */
struct media_command {
	uint8_t command;
	enum { READ, WRITE, VERIFY } kind;
	bool ext;      /* 48-bit */
	bool multiple; /* blocks of SET MULTIPLE's size, else of one sector */
};

static const struct media_command media[] = {
	{0x20, READ, false, false},
	{0x21, READ, false, false},
	{0x24, READ, true, false},
	{0xc4, READ, false, true},
	{0x29, READ, true, true},
	{0x30, WRITE, false, false},
	{0x31, WRITE, false, false},
	{0x34, WRITE, true, false},
	{0xc5, WRITE, false, true},
	{0x39, WRITE, true, true},
	{0x40, VERIFY, false, false},
	{0x41, VERIFY, false, false},
	{0x42, VERIFY, true, false},
};

static void run_media(struct ata *ata, const struct media_command *m)
{
	uint32_t block = m->multiple ? ata->multiple : 1;

	ata->power = ATA_ACTIVE; /* a drive in standby spins up */
	if (m->kind == READ)
		start_read(ata, m->ext, block);
	else if (m->kind == WRITE)
		start_write(ata, m->ext, block);
	else
		verify(ata, m->ext);
}

void ata_command(struct ata *ata, uint8_t command)
{
	switch (command) {
	case 0x10 ... 0x1f: /* RECALIBRATE */
		ata_finish(ata, 0);
		return;
	case 0x94: /* STANDBY IMMEDIATE, STANDBY */
	case 0x96:
	case 0xe0:
	case 0xe2:
		set_power(ata, ATA_STANDBY);
		return;
	case 0x95: /* IDLE IMMEDIATE, IDLE */
	case 0x97:
	case 0xe1:
	case 0xe3:
		set_power(ata, ATA_ACTIVE);
		return;
	case 0x98:
	case 0xe5:
		check_power(ata);
		return;
	case 0x99:
	case 0xe6:
		set_power(ata, ATA_SLEEPING);
		return;
	case 0x91:
		initialize_parameters(ata);
		return;
	case 0xc6:
		set_multiple(ata);
		return;
	case 0xec:
		identify(ata);
		return;
	case 0xef:
		set_features(ata);
		return;
	case 0xe7: /* FLUSH CACHE */
	case 0xea:
		ata_finish(ata, disk_flush(ata->disk) ? ATA_ABRT : 0);
		return;
	}
	for (unsigned i = 0; i < sizeof(media) / sizeof(media[0]); i++) {
		if (media[i].command == command) {
			run_media(ata, &media[i]);
			return;
		}
	}
	ata_finish(ata, ATA_ABRT); /* NOP among them: it always aborts */
}
