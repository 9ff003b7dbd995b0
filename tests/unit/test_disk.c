/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_disk.c: image files: what is refused and with which words, the lock between two VMs,
 * reads and writes, and what the host cannot read or write.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/disk.h"

static char dir[64], path[96];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/hotreg-test-disk-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/image", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	rmdir(dir);
	return 0;
}

static void make_file(off_t bytes)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	fclose(f);
	assert_int_equal(truncate(path, bytes), 0);
}

static void refused(const char *file, bool readonly, int error, const char *words)
{
	struct accel_err err = {.text = ""};
	struct disk *disk = NULL;

	assert_int_equal(disk_open(file, readonly, &disk, &err), -error);
	assert_null(disk);
	assert_non_null(strstr(err.text, words));
	assert_non_null(strstr(err.text, file));
	assert_null(strchr(err.text, '\n'));
}

static struct disk *opened(bool readonly)
{
	struct accel_err err = {.text = ""};
	struct disk *disk = NULL;

	if (disk_open(path, readonly, &disk, &err))
		fail_msg("%s", err.text);
	return disk;
}

static void test_refused(void **state)
{
	static const off_t odd[] = {0, 1, 511, 513, 1000000};

	(void)state;
	refused(path, false, ENOENT, "No such file");
	for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		make_file(odd[i]);
		refused(path, false, EINVAL, "multiple of 512");
		refused(path, true, EINVAL, "multiple of 512");
	}
	refused(dir, true, EINVAL, "neither a file");
	refused(dir, false, EISDIR, "directory");
	refused("/dev/null", false, EINVAL, "neither a file");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(path, true, EINVAL, "neither a file"); /* and does not wait for a writer */
}

static void test_permission(void **state)
{
	const uid_t nobody = 65534, was = geteuid();

	(void)state;
	make_file(512);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	if (was == 0) /* root may write every file */
		assert_int_equal(seteuid(nobody), 0);
	refused(path, false, EACCES, ",ro");
	disk_close(opened(true));
	assert_int_equal(seteuid(was), 0);
}

static void test_lock(void **state)
{
	struct disk *a, *b;

	(void)state;
	make_file(512);
	a = opened(false);
	refused(path, false, EWOULDBLOCK, "in use");
	refused(path, true, EWOULDBLOCK, "in use");
	disk_close(a);
	a = opened(true);
	b = opened(true); /* readers do not mind each other */
	refused(path, false, EWOULDBLOCK, "in use");
	disk_close(a);
	disk_close(b);
	disk_close(opened(false));
}

static void test_read_write(void **state)
{
	uint8_t buf[4 * 512], back[4 * 512];
	struct disk *disk;

	(void)state;
	make_file(100 * 512);
	disk = opened(false);
	assert_int_equal(disk_sectors(disk), 100);
	assert_false(disk_is_readonly(disk));
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7 + i / 512);
	assert_int_equal(disk_write(disk, 96, buf, 4), 4);
	assert_int_equal(disk_read(disk, 96, back, 4), 4);
	assert_memory_equal(buf, back, sizeof(buf));
	assert_int_equal(disk_read(disk, 95, back, 1), 1);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(back[i], 0);
	assert_int_equal(disk_flush(disk), 0);
	assert_int_equal(truncate(path, 97 * 512 + 100), 0);
	assert_int_equal(disk_read(disk, 96, back, 4), 1); /* whole sectors only */
	disk_close(disk);
	assert_int_equal(truncate(path, 512), 0);
	disk = opened(true);
	assert_true(disk_is_readonly(disk));
	assert_int_equal(disk_write(disk, 0, buf, 1), 0);
	assert_int_equal(disk_flush(disk), 0);
	disk_close(disk);
}

/* A host that has no room: the sectors before it are written, and the number says so. */
static void test_write_error(void **state)
{
	struct rlimit old, limit;
	uint8_t buf[8 * 512] = {1};
	struct disk *disk;

	(void)state;
	make_file(64 * 512);
	disk = opened(false);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 10 * 512;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(disk_write(disk, 8, buf, 8), 2);
	assert_int_equal(disk_write(disk, 20, buf, 8), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(disk_write(disk, 20, buf, 8), 8);
	disk_close(disk);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_refused),
		T(test_permission),
		T(test_lock),
		T(test_read_write),
		T(test_write_error),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
