/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk.c: raw images by pread and pwrite. The size is fixed when the image is opened; a file
 * that somebody makes shorter afterwards gives read errors.
 */
#include "devices/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk {
	/* constant after disk_open */
	int fd;
	bool readonly;
	uint64_t sectors;
};

static int refuse(struct accel_err *err, int error, const char *path, const char *what)
{
	snprintf(err->text, sizeof(err->text), "disk image %.1024s: %s", path, what);
	return -error;
}

/* Checks what was opened and takes the lock. */
static int examine(struct disk *disk, const char *path, struct accel_err *err)
{
	struct stat st;
	off_t bytes;

	if (fstat(disk->fd, &st))
		return refuse(err, errno, path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return refuse(err, EINVAL, path, "is neither a file nor a block device");
	bytes = lseek(disk->fd, 0, SEEK_END);
	if (bytes < 0)
		return refuse(err, errno, path, strerror(errno));
	if (bytes == 0 || bytes % DISK_SECTOR_BYTES)
		return refuse(err, EINVAL, path,
			"its size is not a positive multiple of 512 bytes (a raw image is needed; truncate -s can pad "
			"it)");
	disk->sectors = (uint64_t)bytes / DISK_SECTOR_BYTES;
	if (flock(disk->fd, (disk->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return refuse(err, errno, path,
			errno == EWOULDBLOCK ? "is in use by another VM (several may read one with ,ro)"
					     : strerror(errno));
	return 0;
}

int disk_open(const char *path, bool readonly, struct disk **out, struct accel_err *err)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int ret;

	if (!disk)
		return refuse(err, ENOMEM, path, "out of memory");
	disk->readonly = readonly;
	/* O_NONBLOCK: a pipe is refused below instead of waited for here. */
	disk->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (disk->fd < 0) {
		ret = (errno == EACCES || errno == EROFS) && !readonly
			      ? refuse(err, errno, path,
					"no permission to write it (add ,ro to the file name to read only)")
			      : refuse(err, errno, path, strerror(errno));
		free(disk);
		return ret;
	}
	ret = examine(disk, path, err);
	if (ret) {
		disk_close(disk);
		return ret;
	}
	*out = disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	close(disk->fd);
	free(disk);
}

uint64_t disk_sectors(const struct disk *disk)
{
	return disk->sectors;
}

bool disk_is_readonly(const struct disk *disk)
{
	return disk->readonly;
}

uint32_t disk_read(struct disk *disk, uint64_t lba, void *buf, uint32_t count)
{
	size_t want = (size_t)count * DISK_SECTOR_BYTES, done = 0;

	while (done < want) {
		ssize_t n = pread(disk->fd, (char *)buf + done, want - done, (off_t)(lba * DISK_SECTOR_BYTES + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* the end of a file that has become shorter is an error too */
			break;
		done += (size_t)n;
	}
	return (uint32_t)(done / DISK_SECTOR_BYTES);
}

uint32_t disk_write(struct disk *disk, uint64_t lba, const void *buf, uint32_t count)
{
	size_t want = (size_t)count * DISK_SECTOR_BYTES, done = 0;

	if (disk->readonly)
		return 0;
	while (done < want) {
		ssize_t n = pwrite(
			disk->fd, (const char *)buf + done, want - done, (off_t)(lba * DISK_SECTOR_BYTES + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (uint32_t)(done / DISK_SECTOR_BYTES);
}

int disk_flush(struct disk *disk)
{
	if (disk->readonly)
		return 0;
	return fdatasync(disk->fd) ? -errno : 0;
}
