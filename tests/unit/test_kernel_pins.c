// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_kernel_pins.c: programs and pages that one process has pinned, taken by one that may load nothing (accel/kernel_pin.c),
 * on a BPF file system of the test's own in the running kernel. What must not be taken is not: another object's program, a page
 * of another size, a program over another page. Skips by name where bpf(2) or mounting is not allowed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "accel/kernel.h"
#include "bpf/hpet.h"
#include "devices/programs.h"

#define NOBODY 65534
#define HALTED 0x0123456789abcdefull

static char mount_at[] = "/tmp/hotreg-bpffs-XXXXXX";
static char dir[64];
static const char *missing;

/* A device with a page and one program, as the machine makes it. */
struct device {
	struct accel_clock clock;
	struct accel_page *page;
	struct accel_object *obj;
	struct accel_slot *slot;
};

static bool make(struct device *d, const uint8_t *image, const uint8_t *end, const char *prog, uint32_t bytes)
{
	struct accel_err err = {""};

	memset(d, 0, sizeof(*d));
	return !accel_object_open("test", image, (size_t)(end - image), &d->obj, &err) &&
	       !accel_page_new(HPET_STATE_VERSION, bytes, &d->page) && !accel_page_bind(d->page, d->obj, &err) &&
	       !accel_slot_new(d->page, &d->clock, 1, ACCEL_STATEFUL, &d->slot) &&
	       !accel_slot_attach(d->slot, d->obj, prog, &err);
}

static bool make_hpet(struct device *d)
{
	return make(d, prog_hpet_start, prog_hpet_end, "hpet", sizeof(struct hpet_page));
}

static void drop(struct device *d)
{
	accel_slot_free(d->slot);
	accel_page_free(d->page);
	accel_object_put(d->obj);
}

static const struct accel_pins *pins(const char *device)
{
	static struct accel_pins p;

	p = (struct accel_pins){.dir = dir, .device = device};
	return &p;
}

/* A device of this process, pinned. */
static int pin(const char *device)
{
	struct accel_err err = {""};
	struct device d;
	int rc;

	assert_true(make_hpet(&d));
	assert_int_equal(accel_slot_share_page(d.slot, NULL, &err), 0);
	rc = accel_slot_pin(d.slot, pins(device), &err);
	if (rc && rc != -EEXIST)
		print_message("%s\n", err.text);
	drop(&d);
	return rc;
}

static int setup_group(void **state)
{
	(void)state;
	missing = accel_kernel_unusable();
	if (missing)
		return 0;
	if (!mkdtemp(mount_at))
		return -1;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("bpf", mount_at, "bpf", 0, "mode=0755")) {
		missing = "no BPF file system can be mounted";
		rmdir(mount_at);
		return 0;
	}
	snprintf(dir, sizeof(dir), "%s/pins", mount_at);
	return 0;
}

static int teardown_group(void **state)
{
	(void)state;
	if (!missing) {
		umount(mount_at);
		rmdir(mount_at);
	}
	return 0;
}

static void need(void)
{
	if (missing) {
		print_message("[  SKIPPED ] needs a kernel that loads programs: %s\n", missing);
		skip();
	}
}

static void own(const char *path)
{
	assert_int_equal(chown(path, NOBODY, NOBODY), 0);
}

/* All of one device, to nobody. */
static void give_away(const char *device)
{
	char path[256], command[512];

	snprintf(path, sizeof(path), "%s/%s", dir, device);
	own(dir);
	own(path);
	snprintf(command, sizeof(command), "chown -R %d:%d %s", NOBODY, NOBODY, path);
	assert_int_equal(system(command), 0);
}

/* In a process of nobody's, which may load nothing: 0, or the number of the line that went wrong. */
static int as_nobody(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(1);
		_exit(what());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* What the program in the kernel says of a register; false: it does not answer. */
static bool ask(int fd, uint32_t offset, uint64_t *result)
{
	struct hr_io io = {.offset = offset, .size = 8};
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &io, .ctx_size_in = sizeof(io));

	/* this type gives its context back where it was taken from */
	if (bpf_prog_test_run_opts(fd, &run) || run.retval != HR_ANSWER)
		return false;
	*result = io.result;
	return true;
}

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return __LINE__ & 0xff ? __LINE__ & 0xff : 255;                                                \
	} while (0)

static int take_it(void)
{
	struct accel_err err = {""};
	struct accel_kernel_prog prog;
	struct hpet_page *page;
	struct device d;
	uint64_t result;

	MUST(accel_kernel_unusable());
	MUST(make_hpet(&d));
	page = (struct hpet_page *)accel_page_data(d.page);
	page->s.halted = HALTED;
	MUST(accel_slot_share_page(d.slot, NULL, &err) < 0); /* it has not the right to make one */
	MUST(accel_slot_share_page(d.slot, pins("hpet"), &err) == 0);
	MUST(page->s.halted == HALTED && page->head.version == HPET_STATE_VERSION); /* what the model has stays */
	MUST(accel_slot_load_kernel(d.slot, pins("hpet"), &prog, &err) == 0);
	MUST(prog.fd >= 0 && prog.state_fd >= 0 && prog.event_fd == -1 && !prog.is_stateful);
	/* the kernel sees what the model writes; not every kernel lets nobody ask it, so the test asks as root too */
	MUST(!ask(prog.fd, HPET_REG_COUNTER, &result) || result == HALTED);
	page->s.halted++;
	MUST(!ask(prog.fd, HPET_REG_COUNTER, &result) || result == HALTED + 1);
	close(prog.fd);
	drop(&d);
	return 0;
}

static void test_taken_by_nobody(void **state)
{
	struct accel_kernel_prog prog;
	struct accel_err err = {""};
	struct device d;
	uint64_t result = 0;

	(void)state;
	need();
	assert_int_equal(pin("hpet"), 0);
	give_away("hpet");
	assert_int_equal(as_nobody(take_it), 0);
	/* the same, where the program can be asked: page and program belong together */
	assert_true(make_hpet(&d));
	((struct hpet_page *)accel_page_data(d.page))->s.halted = HALTED;
	assert_int_equal(accel_slot_share_page(d.slot, pins("hpet"), &err), 0);
	assert_int_equal(accel_slot_load_kernel(d.slot, pins("hpet"), &prog, &err), 0);
	assert_true(ask(prog.fd, HPET_REG_COUNTER, &result));
	assert_true(result == HALTED);
	((struct hpet_page *)accel_page_data(d.page))->s.halted = 7;
	assert_true(ask(prog.fd, HPET_REG_COUNTER, &result));
	assert_true(result == 7);
	close(prog.fd);
	drop(&d);
}

static int take_forbidden(void)
{
	struct accel_err err = {""};
	struct device d;

	MUST(make_hpet(&d));
	MUST(accel_slot_share_page(d.slot, pins("private"), &err) == -EACCES);
	drop(&d);
	return 0;
}

static void test_permissions(void **state)
{
	(void)state;
	need();
	assert_int_equal(pin("private"), 0);
	assert_int_equal(as_nobody(take_forbidden), 0);
}

static void expect_page(struct device *d, const char *device, int error, const char *why)
{
	struct accel_err err = {""};

	assert_int_equal(accel_slot_share_page(d->slot, pins(device), &err), error);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void expect_prog(struct device *d, const char *device, int error, const char *why)
{
	struct accel_kernel_prog prog;
	struct accel_err err = {""};

	assert_int_equal(accel_slot_load_kernel(d->slot, pins(device), &prog, &err), error);
	assert_int_equal(prog.fd, -1);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

/* Names of `device`'s directory: the one that begins with `prefix`, and where it would be of another device. */
static void move(const char *device, const char *prefix, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "mkdir -p %s/%s && mv %s/%s/%s* %s/%s/", dir, to, dir, device, prefix, dir,
		to);
	assert_int_equal(system(command), 0);
}

static void test_wrong_ones(void **state)
{
	struct accel_kernel_prog prog;
	struct accel_err err = {""};
	struct device d, other;
	char path[256];

	(void)state;
	need();
	assert_true(make_hpet(&d));
	expect_page(&d, "none", -ENOENT, "none/state");
	assert_int_equal(pin("a"), 0);
	assert_int_equal(pin("b"), 0);
	/* a program where a page belongs */
	move("a", "hpet-", "mixed");
	snprintf(path, sizeof(path), "cd %s/mixed && mv hpet-* state", dir);
	assert_int_equal(system(path), 0);
	expect_page(&d, "mixed", -EINVAL, "pin again");
	/* b's program over a's page */
	move("b", "hpet-", "a");
	assert_int_equal(accel_slot_share_page(d.slot, pins("a"), &err), 0);
	expect_prog(&d, "a", -EINVAL, "no program over this state page");
	/* no program of this object */
	assert_int_equal(pin("c"), 0);
	move("c", "hpet-", "elsewhere");
	expect_prog(&d, "c", -ENOENT, "not been pinned");
	drop(&d);
	/* a map of another size */
	assert_true(make(&d, prog_hpet_start, prog_hpet_end, "hpet", sizeof(struct hpet_page)));
	snprintf(path, sizeof(path), "%s/small", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	{
		LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
		int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "small", 4, sizeof(struct hpet_page) - 8, 1, &opts);

		assert_true(fd >= 0);
		snprintf(path, sizeof(path), "%s/small/state", dir);
		assert_int_equal(bpf_obj_pin(fd, path), 0);
		close(fd);
	}
	expect_page(&d, "small", -EINVAL, "pin again");
	drop(&d);
	/* what is pinned is not replaced in silence, and the page that is there stays */
	assert_int_equal(pin("twice"), 0);
	assert_int_equal(pin("twice"), -EEXIST);
	assert_true(make_hpet(&other));
	assert_int_equal(accel_slot_share_page(other.slot, pins("twice"), &err), 0);
	assert_int_equal(accel_slot_load_kernel(other.slot, pins("twice"), &prog, &err), 0);
	close(prog.fd);
	drop(&other);
}

static void test_no_bpf_file_system(void **state)
{
	char plain[] = "/tmp/hotreg-plain-XXXXXX", path[64];
	struct accel_err err = {""};
	struct device d;

	(void)state;
	need();
	assert_non_null(mkdtemp(plain));
	assert_true(make_hpet(&d));
	assert_int_equal(accel_slot_share_page(d.slot, NULL, &err), 0);
	assert_true(accel_slot_pin(d.slot, &(struct accel_pins){.dir = plain, .device = "hpet"}, &err) < 0);
	assert_non_null(strstr(err.text, "BPF file system"));
	drop(&d);
	snprintf(path, sizeof(path), "%s/hpet", plain);
	rmdir(path);
	assert_int_equal(rmdir(plain), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_by_nobody),
		cmocka_unit_test(test_permissions),
		cmocka_unit_test(test_wrong_ones),
		cmocka_unit_test(test_no_bpf_file_system),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
