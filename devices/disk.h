/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk.h: a raw image file (or block device) in sectors of 512 bytes.
 *
 * An advisory lock (flock) keeps a second VM from writing an image that is in use. One thread at
 * a time: the owner's device lock.
 */
#ifndef DEVICES_DISK_H
#define DEVICES_DISK_H

#include "accel/accel.h" /* struct accel_err */

#define DISK_SECTOR_BYTES 512u

struct disk;

/* 0, or -errno with one line in err that says what to do. */
int disk_open(const char *path, bool readonly, struct disk **out, struct accel_err *err);
void disk_close(struct disk *disk); /* NULL is fine; what was written is handed to the host, not synced */
uint64_t disk_sectors(const struct disk *disk);
bool disk_is_readonly(const struct disk *disk);

/* Whole sectors; [lba, lba + count) lies on the disk. Returns how many were done before an error. */
uint32_t disk_read(struct disk *disk, uint64_t lba, void *buf, uint32_t count);
uint32_t disk_write(struct disk *disk, uint64_t lba, const void *buf, uint32_t count);
/* What was written is on stable storage afterwards. 0 or -errno. */
int disk_flush(struct disk *disk);

#endif
