// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_kvm_tier.c: which places KVM gets for a whole machine's ranges, with a KVM and a kernel of the test's own: it keeps the rules
 * of api.rst (accel/kernel/) about places, counts the programs that it gave out, and refuses what it is told to. The true ones
 * are in the bed of scripts/kernel-tier.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "accel/kernel.h"
#include "devices/machine.h"
#include "vmm/kvm_bpf_iodev.h"
#include "vmm/kvm_tier.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define KVM_FD 1000
#define VM_FD 1001
#define STATE_FD 1002
#define MOST 300

static struct options opt;
static struct vm vm;
static int guest_fd;

/* What this KVM has. */
static struct kvm_bpf_iodev places[MOST];
static unsigned place_count, replaced;
static bool is_patched;
static int refuse_error; /* of ATTACH and REPLACE of places at refuse_addr */
static uint64_t refuse_addr;
static unsigned room; /* attached places at most */
/* What this kernel gives. */
static const char *loads_not; /* why bpf(2) is refused; NULL: it is not */
static unsigned given;	      /* programs */
static const char *last_dir, *last_device;

static struct kvm_bpf_iodev *find(const struct kvm_bpf_iodev *args, bool exact)
{
	for (unsigned i = 0; i < place_count; i++) {
		struct kvm_bpf_iodev *p = &places[i];

		if (p->bus == args->bus && args->addr < p->addr + p->len && p->addr < args->addr + args->len)
			return !exact || (p->addr == args->addr && p->len == args->len) ? p : NULL;
	}
	return NULL;
}

static int check_conf(const struct kvm_bpf_iodev *a)
{
	assert_true(a->flags & (KVM_BPF_IODEV_READ | KVM_BPF_IODEV_WRITE));
	assert_true(a->sizes && !(a->sizes & ~15u));
	assert_true(fcntl(a->prog_fd, F_GETFD) >= 0);
	assert_int_equal(a->state_fd, STATE_FD);
	assert_true(a->event_fd == -1 || fcntl(a->event_fd, F_GETFD) >= 0);
	return refuse_error && a->addr == refuse_addr ? refuse_error : 0;
}

static int iodev(struct kvm_bpf_iodev *a)
{
	struct kvm_bpf_iodev *p;

	assert_int_equal(a->argsz, sizeof(*a));
	assert_true(a->len > 0);
	switch (a->op) {
	case KVM_BPF_IODEV_ATTACH:
		if (check_conf(a))
			return check_conf(a);
		if (find(a, false))
			return EEXIST;
		if (place_count >= room)
			return ENOSPC;
		assert_true(place_count < MOST);
		places[place_count++] = *a;
		return 0;
	case KVM_BPF_IODEV_REPLACE:
		p = find(a, true);
		if (check_conf(a) || !p)
			return p ? check_conf(a) : ENOENT;
		*p = *a;
		replaced++;
		return 0;
	case KVM_BPF_IODEV_DETACH:
	case KVM_BPF_IODEV_STATS:
		assert_int_equal(a->flags | a->offset | a->sizes | (uint32_t)a->prog_fd | (uint32_t)a->state_fd, 0);
		p = find(a, true);
		if (!p)
			return ENOENT;
		a->answered = 10;
		a->punted = 3;
		a->retried = 2;
		a->busy = 1;
		if (a->op == KVM_BPF_IODEV_DETACH)
			*p = places[--place_count];
		return 0;
	default:
		return EINVAL;
	}
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	int error;

	if (fd == KVM_FD && request == KVM_CHECK_EXTENSION) {
		assert_int_equal((uintptr_t)arg, KVM_CAP_BPF_IODEV);
		return is_patched ? (int)sizeof(struct kvm_bpf_iodev) : 0;
	}
	if (fd != VM_FD)
		return __real_ioctl(fd, request, arg);
	assert_int_equal(request, KVM_BPF_IODEV);
	error = iodev(arg);
	errno = error;
	return error ? -1 : 0;
}

const char *__wrap_accel_kernel_unusable(void);
const char *__wrap_accel_kernel_unusable(void)
{
	return loads_not;
}

int __wrap_accel_slot_share_page(struct accel_slot *slot, const struct accel_pins *pins, struct accel_err *err);
int __wrap_accel_slot_share_page(struct accel_slot *slot, const struct accel_pins *pins, struct accel_err *err)
{
	(void)slot;
	(void)err;
	last_dir = pins ? pins->dir : NULL;
	last_device = pins ? pins->device : NULL;
	return 0;
}

static int event_of_hpet = -1;

int __wrap_accel_slot_load_kernel(
	struct accel_slot *slot, const struct accel_pins *pins, struct accel_kernel_prog *out, struct accel_err *err);
int __wrap_accel_slot_load_kernel(
	struct accel_slot *slot, const struct accel_pins *pins, struct accel_kernel_prog *out, struct accel_err *err)
{
	const bool is_hpet = bus_find_name(&vm.bus, "hpet")->slot == slot;

	(void)err;
	assert_true(accel_slot_attached(slot));
	assert_ptr_equal(pins ? pins->dir : NULL, last_dir);
	*out = (struct accel_kernel_prog){
		.fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
		.state_fd = STATE_FD,
		.event_fd = is_hpet ? event_of_hpet : -1,
		.is_stateful = !is_hpet,
	};
	given++;
	return 0;
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- a machine ---------------------------------------------------------------------------------- */

static int setup(void **state)
{
	static char path[64];
	struct accel_err err = {""};

	(void)state;
	guest_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(write(guest_fd, "\xf4", 1), 1); /* hlt */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", guest_fd);
	opt = (struct options){.kernel = path,
		.mem_bytes = 2u << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SOFT,
		.accel = OPT_ACCEL_ON_VMM,
		.vga = OPT_VGA_STD,
		.serial = "none",
		.quiet = true};
	if (vm_create(&vm, &opt, &err))
		fail_msg("%s", err.text);
	place_count = replaced = given = 0;
	is_patched = true;
	refuse_error = 0;
	room = MOST;
	loads_not = NULL;
	event_of_hpet = -1;
	last_dir = last_device = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_destroy(&vm);
	close(guest_fd);
	return 0;
}

static struct kvm_tier *start(void)
{
	struct kvm_tier *tier;
	struct accel_err err = {""};

	if (kvm_tier_start(&vm, KVM_FD, VM_FD, &tier, &err))
		fail_msg("%s", err.text);
	return tier;
}

static struct tier_state look(struct kvm_tier *tier, const char *name)
{
	struct tier_state s;

	kvm_tier_look(tier, bus_find_name(&vm.bus, name), &s);
	return s;
}

static unsigned places_of(const char *name)
{
	const struct range *r = bus_find_name(&vm.bus, name);
	unsigned n = 0;

	for (unsigned i = 0; i < place_count; i++)
		n += places[i].bus == (r->bus == IO_PIO ? KVM_BPF_IODEV_BUS_PIO : KVM_BPF_IODEV_BUS_MMIO) &&
		     places[i].addr >= r->base && places[i].addr + places[i].len <= r->base + r->len &&
		     places[i].addr - places[i].offset == r->base;
	return n;
}

/* ---- the tests ---------------------------------------------------------------------------------- */

/* Each access that KVM would give a program of a place is one that the bus gives to the place's range. */
static void test_places_are_the_ranges(void **state)
{
	struct kvm_tier *tier = start();
	unsigned inside, of;

	(void)state;
	kvm_tier_summary(tier, &inside, &of);
	assert_true(inside >= 15 && inside < of);
	for (unsigned i = 0; i < place_count; i++) {
		const struct kvm_bpf_iodev *p = &places[i];
		const enum io_bus bus = p->bus == KVM_BPF_IODEV_BUS_PIO ? IO_PIO : IO_MMIO;
		const struct range *range = NULL;

		for (uint32_t size = 1; size <= 8; size *= 2) {
			for (uint32_t at = 0; (p->sizes & size) && at + size <= p->len; at++) {
				const struct range *owner = bus_owner(&vm.bus, bus, p->addr + at);

				if ((p->flags & KVM_BPF_IODEV_ALIGNED) && (p->addr + at) % size)
					continue;
				assert_non_null(owner);
				assert_true(!range || owner == range);
				range = owner;
				assert_true(owner->sizes >> size & 1);
				assert_int_equal(p->offset + at, p->addr + at - owner->base);
			}
		}
		assert_non_null(range);
		assert_true(range->is_in_kernel);
		assert_int_equal(p->event_fd, -1);
		/* queued writes of its device hold it back */
		if (!strcmp(range->dev->name, "ata"))
			assert_true(p->flags & KVM_BPF_IODEV_DRAIN);
	}
	/* a FIFO is one exit for a whole string */
	assert_false(look(tier, "ata.data").is_inside);
	assert_non_null(strstr(look(tier, "ata.data").why_not, "FIFO"));
	assert_int_equal(places_of("ata.data"), 0);
	assert_true(look(tier, "hpet").is_inside);
	kvm_tier_stop(tier);
	assert_int_equal(place_count, 0);
	assert_false(bus_find_name(&vm.bus, "hpet")->is_in_kernel);
}

/* The slot's eventfd is signalled from the kernel too. */
static void test_eventfd(void **state)
{
	struct kvm_tier *tier;
	bool found = false;

	(void)state;
	event_of_hpet = eventfd(0, 0);
	tier = start();
	for (unsigned i = 0; i < place_count; i++) {
		const bool is_hpet = places[i].addr == 0xfed00000u;

		assert_int_equal(places[i].event_fd, is_hpet ? event_of_hpet : -1);
		found |= is_hpet;
	}
	assert_true(found);
	kvm_tier_stop(tier);
	close(event_of_hpet);
}

static void test_live(void **state)
{
	const unsigned files = open_files();
	const struct machine_select hpet = {.device = "hpet"};
	struct kvm_tier *tier = start();
	const unsigned all = place_count;
	struct accel_err err = {""};
	const char *build = getenv("BUILD");
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/bpf/hpet.bpf.o", build ? build : "build");
	assert_int_equal(look(tier, "hpet").counters.answered, 10);
	/* of the same kind: in its place, without a gap */
	assert_int_equal(machine_prog_replace(vm.machine, &hpet, path, NULL, &err), 0);
	assert_int_equal(replaced, places_of("hpet"));
	assert_int_equal(place_count, all);
	assert_int_equal(machine_prog_detach(vm.machine, &hpet, &err), 0);
	assert_int_equal(places_of("hpet"), 0);
	assert_false(look(tier, "hpet").is_inside);
	assert_int_equal(look(tier, "hpet").counters.answered, 10); /* what it did there stays counted */
	assert_int_equal(machine_prog_attach(vm.machine, &hpet, true, &err), 0);
	assert_int_equal(place_count, all);
	assert_int_equal(look(tier, "hpet").counters.answered, 20);
	/* modes */
	bus_set_mode(&vm.bus, ACCEL_CHECK);
	bus_program_changed(&vm.bus, NULL);
	assert_int_equal(place_count, 0);
	assert_non_null(strstr(look(tier, "hpet").why_not, "checked"));
	bus_set_mode(&vm.bus, ACCEL_ON);
	bus_program_changed(&vm.bus, NULL);
	assert_int_equal(place_count, all);
	assert_string_equal(look(tier, "hpet").why_not, "");
	kvm_tier_stop(tier);
	assert_int_equal(open_files(), files);
}

/* One range that KVM refuses, for each error: it alone stays outside, with the reason, until it has another program. */
static void test_refused(void **state)
{
	static const struct {
		int error;
		const char *why;
	} rows[] = {{E2BIG, "too long"}, {EACCES, "calls or keeps"}, {ENOMEM, "memory"}, {EINVAL, "nvalid"}};
	const struct machine_select hpet = {.device = "hpet"};
	struct accel_err err = {""};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kvm_tier *tier;

		refuse_addr = 0xfed00000u;
		refuse_error = rows[i].error;
		tier = start();
		assert_int_equal(places_of("hpet"), 0);
		assert_true(place_count > 15);
		assert_false(bus_find_name(&vm.bus, "hpet")->is_in_kernel);
		if (!strstr(look(tier, "hpet").why_not, rows[i].why))
			fail_msg("\"%s\" is not about %s", look(tier, "hpet").why_not, rows[i].why);
		refuse_error = 0;
		bus_program_changed(&vm.bus, NULL);
		assert_int_equal(places_of("hpet"), 0); /* not tried again and again */
		assert_int_equal(machine_prog_attach(vm.machine, &hpet, true, &err), 0);
		assert_true(places_of("hpet") > 0);
		kvm_tier_stop(tier);
		assert_int_equal(place_count, 0);
	}
}

/* The bus is full: the ranges that are there stay, each of them whole. */
static void test_full(void **state)
{
	(void)state;
	for (room = 1; room < 25; room += 3) {
		struct kvm_tier *tier = start();
		unsigned inside, of, whole = 0;

		kvm_tier_summary(tier, &inside, &of);
		assert_true(place_count <= room && inside > 0);
		for (unsigned i = 1; i <= vm.bus.range_count; i++) {
			const struct range *r = vm.bus.ranges[i];

			if (r->is_in_kernel)
				whole += places_of(r->name) > 0;
			else
				assert_int_equal(places_of(r->name), 0);
		}
		assert_int_equal(whole, inside);
		kvm_tier_stop(tier);
		assert_int_equal(place_count, 0);
	}
	room = 0;
	assert_int_equal(
		kvm_tier_start(&vm, KVM_FD, VM_FD, &(struct kvm_tier *){NULL}, &(struct accel_err){""}), -ENOTSUP);
}

static void refuses(const char *why)
{
	const unsigned files = open_files();
	struct kvm_tier *tier = (void *)1;
	struct accel_err err = {""};

	assert_true(kvm_tier_start(&vm, KVM_FD, VM_FD, &tier, &err) < 0);
	assert_null(tier);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
	assert_int_equal(place_count, 0);
	assert_int_equal(given, 0);
	assert_int_equal(open_files(), files);
}

static void test_missing(void **state)
{
	(void)state;
	is_patched = false;
	refuses("has not the patches");
	is_patched = true;
	loads_not = "bpf(2) is not allowed here";
	refuses("bpf(2) is not allowed here");
	loads_not = NULL;
	bus_set_mode(&vm.bus, ACCEL_OFF);
	refuses("off");
	bus_set_mode(&vm.bus, ACCEL_ON);
}

/* Without the right to load: what is pinned, for one VM at a time. */
static void test_pins(void **state)
{
	char dir[] = "/tmp/hotreg-pins-XXXXXX";
	struct kvm_tier *tier;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	loads_not = "bpf(2) is not allowed here";
	opt.pins = "/nonexistent/pins";
	refuses("/nonexistent/pins: No such file");
	opt.pins = dir;
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	refuses("another VM");
	close(fd);
	tier = start();
	assert_string_equal(last_dir, dir);
	assert_non_null(last_device);
	assert_true(place_count > 15);
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	kvm_tier_stop(tier);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	assert_int_equal(rmdir(dir), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_places_are_the_ranges),
		TEST(test_eventfd),
		TEST(test_live),
		TEST(test_refused),
		TEST(test_full),
		TEST(test_missing),
		TEST(test_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
