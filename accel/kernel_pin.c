// SPDX-License-Identifier: BSD-2-Clause
/*
 * kernel_pin.c: programs that somebody else has loaded: with the right to bpf(2) they are pinned into a BPF file system, and
 * without it taken from there, which only needs the files' permissions.
 *
 * A program's file has a hash of its object in its name, so that a hotreg of another version, or another object, does not find
 * it instead of taking what it has not verified. That is against mistakes, not against who can write to the directory.
 */
#include "accel/kernel_pin.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accel/object.h"

static int refuse(struct accel_err *err, int rc, const char *path, const char *why)
{
	snprintf(err->text, sizeof(err->text), "%.3000s: %s", path, why);
	return rc;
}

static int path_of(const struct accel_pins *pins, const char *name, char *path, struct accel_err *err)
{
	int n = snprintf(path, PATH_MAX, "%s/%s/%s", pins->dir, pins->device, name);

	return n < PATH_MAX ? 0 : refuse(err, -ENAMETOOLONG, pins->dir, strerror(ENAMETOOLONG));
}

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const struct accel_object *obj)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	size_t bytes;
	const uint8_t *image = accel_object_image(obj, &bytes);

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ image[i]) * 0x100000001b3ull;
	return hash;
}

static int prog_path(const struct accel_pins *pins, const struct accel_object *obj, const char *name, char *path,
	struct accel_err *err)
{
	char file[192];

	snprintf(file, sizeof(file), "%.128s-%016llx", name, (unsigned long long)hash_of(obj));
	return path_of(pins, file, path, err);
}

/* The number by which the kernel knows a map; 0: it is none. */
static uint32_t map_id(int fd, struct bpf_map_info *info)
{
	uint32_t bytes = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &bytes) ? 0 : info->id;
}

int kernel_pinned_page(const struct accel_pins *pins, uint32_t size, struct accel_err *err)
{
	struct bpf_map_info info;
	char path[PATH_MAX];
	int fd, rc = path_of(pins, "state", path, err);

	if (rc)
		return rc;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return refuse(err, fd, path, strerror(-fd));
	/* a program's information is longer, and reads as a type that is no array's or as another size */
	if (map_id(fd, &info) && info.type == BPF_MAP_TYPE_ARRAY && info.key_size == sizeof(uint32_t) &&
		info.value_size == size && info.max_entries == 1 && (info.map_flags & BPF_F_MMAPABLE))
		return fd;
	close(fd);
	return refuse(err, -EINVAL, path, "no state page of this device: pin again");
}

/* Whether a program uses the map, or none at all, and is of the kind that is loaded for the kernel tier. */
static bool is_over(int fd, uint32_t map)
{
	uint32_t ids[PROG_MAX_MAPS] = {0};
	struct bpf_prog_info info = {.nr_map_ids = PROG_MAX_MAPS, .map_ids = (uintptr_t)ids};
	uint32_t bytes = sizeof(info);
	bool found;

	if (bpf_obj_get_info_by_fd(fd, &info, &bytes) || info.type != BPF_PROG_TYPE_SYSCALL)
		return false;
	found = info.nr_map_ids == 0;
	for (unsigned i = 0; i < PROG_MAX_MAPS && i < info.nr_map_ids; i++)
		found |= ids[i] == map;
	return found;
}

int kernel_pinned_prog(const struct accel_pins *pins, const struct accel_object *obj, const char *name, int state_fd,
	int *fd, struct accel_err *err)
{
	struct bpf_map_info state;
	char path[PATH_MAX];
	int rc = prog_path(pins, obj, name, path, err);

	if (rc)
		return rc;
	*fd = bpf_obj_get(path);
	if (*fd < 0) {
		rc = *fd == -ENOENT ? refuse(err, *fd, path, "this program has not been pinned")
				    : refuse(err, *fd, path, strerror(-*fd));
		*fd = -1;
		return rc;
	}
	if (map_id(state_fd, &state) && is_over(*fd, state.id))
		return 0;
	close(*fd);
	*fd = -1;
	return refuse(err, -EINVAL, path, "no program over this state page: pin again");
}

/* ---- into the file system ---------------------------------------------------------------------- */

static int make_dir(const char *path, struct accel_err *err)
{
	return mkdir(path, 0700) && errno != EEXIST ? refuse(err, -errno, path, strerror(errno)) : 0;
}

static int pin(int fd, const char *path, struct accel_err *err)
{
	int rc = bpf_obj_pin(fd, path);

	if (rc == -EPERM || rc == -EINVAL)
		return refuse(err, rc, path, "cannot be pinned there: is it on a BPF file system (mount -t bpf)?");
	return rc ? refuse(err, rc, path, strerror(-rc)) : 0;
}

/* What is there is of another run, whose programs know another page. */
static int pin_page(int fd, const char *path, struct accel_err *err)
{
	struct bpf_map_info ours, there;
	int old = bpf_obj_get(path);
	bool same;

	if (old < 0)
		return pin(fd, path, err);
	same = map_id(fd, &ours) && map_id(old, &there) && ours.id == there.id;
	close(old);
	return same ? 0 : refuse(err, -EEXIST, path, "is there already: remove the directory first (rm -r)");
}

int kernel_pin(const struct accel_pins *pins, const struct accel_object *obj, const char *name,
	const struct accel_kernel_prog *prog, struct accel_err *err)
{
	char path[PATH_MAX];
	int rc = make_dir(pins->dir, err);

	if (!rc)
		rc = path_of(pins, "", path, err);
	if (!rc)
		rc = make_dir(path, err);
	if (!rc)
		rc = path_of(pins, "state", path, err);
	if (!rc)
		rc = pin_page(prog->state_fd, path, err);
	if (!rc)
		rc = prog_path(pins, obj, name, path, err);
	/* several ranges may have the same program */
	if (!rc && access(path, F_OK) != 0)
		rc = pin(prog->fd, path, err);
	return rc;
}
