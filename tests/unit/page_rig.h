/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_rig.h: the page tier's threads over a real machine and the host's clock, with a KVM of the test's own: a "vCPU" is a
 * thread that loads from the page while one is mapped and else makes an access on the bus, and a slot is gone for all of
 * them when show_page() returns, as with KVM. The test of the host says what the test wants it to say. One machine at a time.
 */
#ifndef TESTS_UNIT_PAGE_RIG_H
#define TESTS_UNIT_PAGE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/options.h"
#include "vmm/page_host.h"
#include "vmm/page_tier.h"
#include "vmm/page_tier_int.h"
#include "vmm/vm.h"

#define HPET 0xfed00000ull
#define CONFIG 0x010
#define COUNTER 0x0f0
#define TN_CONFIG 0x100
#define TN_COMPARATOR 0x108
#define PERIODIC 0x08
#define MAX_VCPUS 4

static struct options opt;
static struct vm vm;
static struct cpu_ops ops;
static int guest_fd = -1;

/* The slot, as all vCPUs see it. */
static pthread_rwlock_t slot_lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static const uint8_t *slot_page;
static const uint8_t *more_pages[PAGE_TIER_MAX]; /* of devices that a test adds: by the page's number, from 1 on */
static _Atomic unsigned maps, unmaps, changes_by_vcpus;
static _Thread_local bool is_vcpu;

/* In place of the true ones: the host can do it, or not, and an exit costs 20 us. */
static bool host_works = true;
static _Atomic unsigned runs_of_probe, timings_of_probe;

void page_probe_run(struct page_probe *out, int cancel_fd)
{
	(void)cancel_fd;
	runs_of_probe++;
	*out = (struct page_probe){.works = host_works, .exit_ns = 20000};
	strcpy(out->reason, host_works ? "" : "it tears");
}

void page_probe_exits(struct page_probe *out, int cancel_fd)
{
	(void)cancel_fd;
	timings_of_probe++;
	*out = (struct page_probe){.works = true, .exit_ns = 20000};
}

/* Who waits for a processor is what the test says, a part of the time that passes here; in place of the host's own account. */
static _Atomic uint64_t crowd_lost, crowd_waited; /* of 1000 */
static _Atomic uint64_t crowd_looks;		  /* each of them 20 ms after the one before, by its own clock */

void page_crowd_look(const struct page_tier *tier, struct page_crowd *out)
{
	static uint64_t lost_ns, waited_ns;
	const uint64_t step_ns = 20000000;

	(void)tier;
	lost_ns += step_ns / 1000 * crowd_lost;
	waited_ns += step_ns / 1000 * crowd_waited;
	*out = (struct page_crowd){++crowd_looks * step_ns, lost_ns, waited_ns};
}

static inline int show_page(struct vm *which, unsigned index, uint64_t gpa, void *host, uint64_t bytes)
{
	assert_ptr_equal(which, &vm);
	if (index > 0) {
		assert_true(index < PAGE_TIER_MAX);
		pthread_rwlock_wrlock(&slot_lock);
		assert_true(!more_pages[index] == !!host);
		more_pages[index] = host;
		pthread_rwlock_unlock(&slot_lock);
		return 0;
	}
	assert_int_equal(gpa, HPET);
	assert_int_equal(bytes, 4096);
	pthread_rwlock_wrlock(&slot_lock);
	assert_true(!slot_page == !!host); /* in turn */
	slot_page = host;
	if (host)
		maps++;
	else
		unmaps++;
	changes_by_vcpus += is_vcpu;
	pthread_rwlock_unlock(&slot_lock);
	return 0;
}

/* One access at a time of one vCPU, as accel.h wants it: the test's own thread shares the second one with a reader. */
#define MAIN 1
static pthread_mutex_t vcpu_lock[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static inline uint64_t access_bus(struct io_req *req)
{
	pthread_mutex_lock(&vcpu_lock[req->io.vcpu]);
	bus_io(&vm.bus, req);
	pthread_mutex_unlock(&vcpu_lock[req->io.vcpu]);
	return req->io.result;
}

static inline uint64_t rd(unsigned reg, unsigned vcpu, bool *by_page)
{
	struct io_req req = {.io = {.vcpu = vcpu, .size = 8}, .addr = HPET + reg, .bus = IO_MMIO, .count = 1};
	uint64_t value = 0;

	pthread_rwlock_rdlock(&slot_lock);
	*by_page = slot_page != NULL;
	if (slot_page)
		value = __atomic_load_n((const uint64_t *)(slot_page + reg), __ATOMIC_ACQUIRE);
	pthread_rwlock_unlock(&slot_lock);
	if (*by_page)
		return value;
	return access_bus(&req);
}

static inline void wr(unsigned reg, unsigned vcpu, uint64_t value)
{
	struct io_req req = {.io = {.vcpu = vcpu, .size = 8, .is_write = 1, .value = value},
		.addr = HPET + reg,
		.bus = IO_MMIO,
		.count = 1};

	access_bus(&req);
}

static inline bool is_mapped(void)
{
	bool is;

	pthread_rwlock_rdlock(&slot_lock);
	is = slot_page != NULL;
	pthread_rwlock_unlock(&slot_lock);
	return is;
}

static inline void nap_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l}, NULL);
}

/* Up to a minute: the host may be busy. */
static inline bool wait_mapped(bool want)
{
	for (unsigned i = 0; i < 30000 && is_mapped() != want; i++)
		nap_ms(2);
	return is_mapped() == want;
}

/* But for the start of the tier. */
static inline void prepare(enum opt_page page, unsigned gap_us, enum opt_accel accel)
{
	static char path[64];
	struct accel_err err = {.text = ""};

	guest_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(write(guest_fd, "\xf4", 1), 1); /* hlt */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", guest_fd);
	opt = (struct options){.kernel = path,
		.mem_bytes = 2u << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SOFT,
		.accel = accel,
		.serial = "none",
		.quiet = true};
	if (vm_create(&vm, &opt, &err))
		fail_msg("%s", err.text);
	maps = unmaps = changes_by_vcpus = 0;
	runs_of_probe = timings_of_probe = 0;
	ops = *vm.cpu_ops;
	ops.show_page = show_page;
	vm.cpu_ops = &ops;
	opt.page = page;
	opt.page_gap_us = gap_us;
	if (page_tier_new(&vm, &vm.page_tier, &err))
		fail_msg("%s", err.text);
	assert_non_null(vm.page_tier);
}

static inline void create(enum opt_page page, unsigned gap_us, enum opt_accel accel)
{
	prepare(page, gap_us, accel);
	assert_int_equal(page_tier_start(vm.page_tier), 0);
}

static inline void destroy(void)
{
	page_tier_stop(vm.page_tier);
	assert_false(is_mapped());
	assert_int_equal(maps, unmaps);
	vm_destroy(&vm);
	close(guest_fd);
}

static inline json_int_t number(const char *key)
{
	json_t *report = page_tier_json(vm.page_tier), *pages = json_object_get(report, "pages");
	json_t *value = json_object_get(report, key);
	json_int_t n;

	if (!value)
		value = json_object_get(json_array_get(pages, 0), key);
	assert_true(json_is_integer(value));
	n = json_integer_value(value);
	json_decref(report);
	return n;
}

/* Of the report; good until the next call. */
static inline const char *text(const char *key)
{
	static char copy[200];
	json_t *report = page_tier_json(vm.page_tier);

	snprintf(copy, sizeof(copy), "%s", json_string_value(json_object_get(report, key)));
	json_decref(report);
	return copy;
}

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif
