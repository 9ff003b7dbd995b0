// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_tier.c: the page tier of one VM: what may be shown, and the steps in which a page comes and goes. See page_tier.h
 * for the order, page_image.h for the protocol of the memory itself.
 */
#include "vmm/page_tier_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "accel/tier.h"
#include "devices/device.h"
#include "devices/machine.h"
#include "vmm/lock.h"
#include "vmm/options.h"
#include "vmm/text.h"

#define FIRST_PASS_NS 50000000 /* that the publisher may take to come to a new page, besides what it may be late */

static void wake(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

void page_wake(struct page_tier *tier)
{
	wake(tier->wake_fd);
}

/* ---- the slot -------------------------------------------------------------------------------- */

/* A change of the slot, host NULL: away. slot_lock held. */
static int change_slot(struct tier_page *page, void *host)
{
	struct vm *vm = page->tier->vm;
	const uint64_t start_ns = page_now();
	const int rc = vm->cpu_ops->show_page(vm, page->index, page->mapped_gpa, host, page->mapped_bytes);
	const uint64_t ns = page_now() - start_ns;

	page->slot_ns += ns;
	if (ns > page->slot_max_ns)
		page->slot_max_ns = ns;
	return rc;
}

/* Takes the page out of the guest's sight, if it is there. Any lock but slot_lock may be held. */
static void unmap(struct tier_page *page)
{
	struct vm *vm = page->tier->vm;
	int rc = 0;

	pthread_mutex_lock(&page->slot_lock);
	if (page->is_mapped) {
		rc = change_slot(page, NULL);
		page->is_mapped = false;
		page->mapped_ns += page_now() - page->mapped_since_ns;
	}
	pthread_mutex_unlock(&page->slot_lock);
	if (rc)
		vm_request_stop(vm, EXIT_CPU_FAILED, "KVM refused to take a page away");
}

/* False: KVM does not take it, or it must go already. */
static bool map(struct tier_page *page, struct page_image *image)
{
	bool is_mapped;

	pthread_mutex_lock(&page->slot_lock);
	page->mapped_gpa = page_image_gpa(image);
	page->mapped_bytes = page_image_bytes(image);
	/* one who says so from here on finds it mapped, and takes it away */
	if (!atomic_load(&page->must_go) && change_slot(page, page_image_guest(image)) == 0) {
		page->is_mapped = true;
		page->mapped_since_ns = page_now();
		page->maps++;
	}
	is_mapped = page->is_mapped;
	pthread_mutex_unlock(&page->slot_lock);
	return is_mapped;
}

/* A model found the word stuck. dev->lock held. */
static void on_gone(void *opaque, struct page_image *image)
{
	struct tier_page *page = opaque;

	(void)image;
	atomic_store(&page->must_go, true);
	unmap(page);
	page_wake(page->tier);
}

static void on_changed(void *opaque, struct page_image *image)
{
	struct tier_page *page = opaque;

	(void)image;
	atomic_store(&page->must_go, true);
	page_wake(page->tier);
}

/* ---- up and down; tier lock held ------------------------------------------------------------- */

static void refuse(struct tier_page *page, const char *text)
{
	free(page->refused);
	page->refused = strdup(text);
}

static void make_zombie(struct tier_page *page)
{
	struct page_zombie *zombie = malloc(sizeof(*zombie));

	if (zombie) { /* else the memory is lost, which is better than to free it in use */
		*zombie = (struct page_zombie){page->tier->zombies, page->image, atomic_load(&page->tier->pass)};
		page->tier->zombies = zombie;
	}
	page->image = NULL;
}

/* A publisher that was outside when the image went, or has come out since, cannot be in it. */
static bool is_left(const struct page_tier *tier, const struct page_zombie *zombie)
{
	return zombie->pass % 2 == 0 || atomic_load(&tier->pass) != zombie->pass || !tier->publishes;
}

void page_bury(struct page_tier *tier)
{
	struct page_zombie **at = &tier->zombies, *zombie;

	while ((zombie = *at)) {
		if (!is_left(tier, zombie)) {
			at = &zombie->next;
			continue;
		}
		*at = zombie->next;
		page_image_free(zombie->image);
		free(zombie);
	}
}

static bool find_prog(const struct vm *vm, const struct range *range, struct machine_prog_info *info)
{
	for (unsigned i = 0; i < machine_prog_count(vm->machine); i++) {
		machine_prog_info(vm->machine, i, info);
		if (info->range == range)
			return info->is_attached;
	}
	return false;
}

static bool make_image(struct tier_page *page)
{
	struct accel_err err = {.text = ""};
	struct machine_prog_info info;
	struct page_image_config config;

	if (page->image)
		return true;
	if (page->obj) {
		info.obj = page->obj;
		info.prog = page->prog;
	} else if (!find_prog(page->tier->vm, page->range, &info)) {
		refuse(page, "no program is attached");
		return false;
	}
	config = (struct page_image_config){.range = page->range,
		.obj = info.obj,
		.prog = info.prog,
		.clock = &page->tier->vm->clock,
		.gone = on_gone,
		.changed = on_changed,
		.opaque = page};
	if (page_image_new(&config, &page->image, &err))
		refuse(page, err.text);
	return page->image != NULL;
}

/* Waits until the publisher has passed by: one that does not run must not be relied upon. */
static bool publisher_passes(struct page_tier *tier)
{
	const uint64_t pass = atomic_load(&tier->pass), start_ns = page_now();

	page_publish_wake(tier);
	while (atomic_load(&tier->pass) < pass + 4) {
		if (page_now() - start_ns > FIRST_PASS_NS + tier->gap_limit_ns || atomic_load(&tier->stop))
			return false;
		nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	}
	return true;
}

/* The publisher begins with the first page. */
static bool start_publisher(struct page_tier *tier)
{
	if (!tier->publishes)
		tier->publishes = pthread_create(&tier->publisher, NULL, page_publish, tier) == 0;
	return tier->publishes;
}

bool page_device_has_another(const struct tier_page *page)
{
	const struct page_tier *tier = page->tier;

	for (unsigned i = 0; i < tier->count; i++) {
		const struct tier_page *other = &tier->pages[i];

		if (other != page && other->is_held && other->range->dev == page->range->dev)
			return true;
	}
	return false;
}

/*
 * While a page of a device is there all of its accesses are the model's, which publishes the instant of each: a program of
 * another range would tell a later time than the page shows.
 */
static void hold(struct tier_page *page, bool is_held)
{
	const struct bus *bus = &page->tier->vm->bus;

	page->is_held = is_held;
	for (unsigned i = 1; i <= bus->range_count && !page_device_has_another(page); i++) {
		struct range *range = bus->ranges[i];

		if (range->dev != page->range->dev || !range->slot)
			continue;
		if (is_held)
			accel_slot_hold(range->slot);
		else
			accel_slot_release(range->slot);
	}
}

/*
 * The first publication and the slot, while no access to the device is under way: one that found the publisher off its processor
 * with the word in its hand would give the page up before it is there. More vCPUs than processors do that each time.
 */
static bool come(struct tier_page *page, bool is_shadow)
{
	struct device *dev = page->range->dev;
	bool is_there;

	pthread_mutex_lock(&dev->lock);
	is_there = page_image_show(dev, page->image) && page_image_may_show(page->image) &&
		   (is_shadow || map(page, page->image));
	pthread_mutex_unlock(&dev->lock);
	return is_there;
}

bool page_up(struct tier_page *page)
{
	struct page_tier *tier = page->tier;
	const bool is_shadow = tier->vm->bus.mode == ACCEL_CHECK;

	if (!make_image(page) || !start_publisher(tier))
		return false;
	if (!is_shadow)
		hold(page, true);
	atomic_store(&page->must_go, false);
	page->is_up = true;
	page->up_since_ns = page_now();
	page->window = page->window_with_readers = 0;
	page->window_expected = 0;
	atomic_store(&tier->shown[page->index], page->image); /* the publisher passes by until it may be shown */
	if (publisher_passes(tier) && come(page, is_shadow))
		return true;
	page_down(page);
	return false;
}

void page_down(struct tier_page *page)
{
	struct page_tier *tier = page->tier;
	struct device *dev = page->range->dev;

	if (!page->is_up)
		return;
	unmap(page);
	pthread_mutex_lock(&dev->lock);
	page_image_hide(page->image);
	pthread_mutex_unlock(&dev->lock);
	atomic_store(&tier->shown[page->index], NULL);
	if (page->is_held)
		hold(page, false);
	page->is_up = false;
	if (page_image_is_gone(page->image)) {
		page->given_up++;
		make_zombie(page);
	}
}

/* ---- what may be shown ----------------------------------------------------------------------- */

/* The neighbours: who else lives in the page, and what else the device has. NULL: all is well. */
static const char *check_neighbours(const struct bus *bus, const struct range *range)
{
	const uint64_t first = range->base / PAGE_IMAGE_PAGE, last = (range->base + range->len - 1) / PAGE_IMAGE_PAGE;

	for (unsigned i = 1; i <= bus->range_count; i++) {
		const struct range *other = bus->ranges[i];

		if (other->dev == range->dev && other->deferred)
			return "its device defers writes, which a load cannot wait for";
		if (other->dev == range->dev && other->slot && !accel_slot_is_pure(other->slot))
			return "its device has a range whose program may change the state";
		if (other == range || other->bus != IO_MMIO)
			continue;
		if (other->base / PAGE_IMAGE_PAGE <= last && (other->base + other->len - 1) / PAGE_IMAGE_PAGE >= first)
			return "another range shares its page";
	}
	return NULL;
}

void page_examine(struct page_tier *tier)
{
	for (unsigned i = 0; i < tier->count; i++) {
		struct tier_page *page = &tier->pages[i];
		const char *why = check_neighbours(&tier->vm->bus, page->range);

		if (page->image) {
			atomic_store(&tier->shown[i], NULL);
			make_zombie(page);
		}
		free(page->refused);
		page->refused = NULL;
		page->not_before_ns = page->backoff_ns = 0;
		if (why)
			refuse(page, why);
	}
	page_bury(tier);
}

/* One that asks for a page, and with --page on=DEVICE is that device's. NULL: it is not. */
static struct tier_page *add_page(struct page_tier *tier, struct range *range)
{
	struct tier_page *page = &tier->pages[tier->count];

	if (tier->count == PAGE_TIER_MAX || !(range->flags & HR_PAGE_OK) || !range->slot ||
		(tier->only && strcmp(tier->only, range->dev->name) != 0))
		return NULL;
	page->tier = tier;
	page->index = tier->count++;
	page->range = range;
	pthread_mutex_init(&page->slot_lock, NULL);
	lock_declare(&page->slot_lock, "page slot", LOCK_LEAF);
	return page;
}

static void find_pages(struct page_tier *tier)
{
	struct bus *bus = &tier->vm->bus;

	for (unsigned i = 1; i <= bus->range_count; i++)
		add_page(tier, bus->ranges[i]);
}

/* ---- the tier -------------------------------------------------------------------------------- */

/* Why there can be no page at all in this VM; NULL: there can. */
static const char *check_vm(const struct vm *vm)
{
	if (!vm->cpu_ops->show_page)
		return "only KVM can map one";
	if (vm->opt->trace)
		return "--trace has to see every access";
	if (vm->bus.mode == ACCEL_OFF && !vm->opt->qmp)
		return "--accel off runs no programs";
	return NULL;
}

/* With --page on each page that was asked for must be possible. */
static int check_forced(struct page_tier *tier, struct accel_err *err)
{
	if (!tier->count)
		return err_fail(err, -EINVAL, "--page on: %s%s",
			tier->only ? "no page for a device named " : "no device",
			tier->only ? tier->only : " of this machine asks for a page");
	for (unsigned i = 0; i < tier->count; i++) {
		struct tier_page *page = &tier->pages[i];

		if (!page->refused)
			make_image(page);
		if (page->refused)
			return err_fail(err, -ENOTSUP, "--page on: %.900s", page->refused);
	}
	return 0;
}

static int not_here(const struct vm *vm, const char *why, struct accel_err *err)
{
	if (vm->opt->page == OPT_PAGE_ON)
		return err_fail(err, -ENOTSUP, "--page on: %s; leave it out, or see `hotreg doctor`", why);
	if (!vm->opt->quiet && !vm->opt->page_by_default)
		fprintf(stderr, "hotreg: page: none: %s\n", why);
	return 0;
}

bool page_may_spin(const struct page_tier *tier)
{
	return page_host_processors("") > tier->vm->cpu_count;
}

int page_tier_new(struct vm *vm, struct page_tier **out, struct accel_err *err)
{
	struct page_tier *tier;
	const char *why;
	int rc = 0;

	*out = NULL;
	if (vm->opt->page == OPT_PAGE_OFF)
		return 0;
	why = check_vm(vm);
	if (!why && vm->opt->page == OPT_PAGE_AUTO && !page_may_spin(&(struct page_tier){.vm = vm}))
		why = "no processor is to spare for the thread that keeps it true (--page on does without)";
	if (why)
		return not_here(vm, why, err);
	tier = calloc(1, sizeof(*tier));
	if (!tier)
		return err_fail(err, -ENOMEM, "out of memory");
	tier->vm = vm;
	tier->is_forced = vm->opt->page == OPT_PAGE_ON;
	tier->only = vm->opt->page_device;
	tier->gap_limit_ns = vm->opt->page_gap_us * 1000ull;
	tier->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	tier->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&tier->lock, NULL);
	pthread_mutex_init(&tier->run_lock, NULL);
	lock_declare(&tier->lock, "page tier", LOCK_PAGES);
	lock_declare(&tier->run_lock, "publisher's sleep", LOCK_LEAF);
	pthread_cond_init(&tier->run_cond, NULL);
	find_pages(tier);
	page_examine(tier);
	if (tier->wake_fd < 0 || tier->stop_fd < 0)
		rc = err_fail(err, -errno, "eventfd: %s", strerror(errno));
	if (!rc && tier->is_forced && vm->bus.mode != ACCEL_CHECK) { /* a shadow asks nothing of the host */
		page_probe_run(&tier->probe, -1);
		tier->is_tried = true;
		if (!tier->probe.works)
			rc = not_here(vm, tier->probe.reason, err);
	}
	if (!rc && tier->is_forced)
		rc = check_forced(tier, err);
	if (rc)
		page_tier_free(tier);
	else
		*out = tier;
	return rc;
}

void page_tier_free(struct page_tier *tier)
{
	if (!tier)
		return;
	page_tier_stop(tier);
	for (unsigned i = 0; i < tier->count; i++) {
		struct tier_page *page = &tier->pages[i];

		page_down(page);
		page_image_free(page->image);
		free(page->refused);
		pthread_mutex_destroy(&page->slot_lock);
	}
	page_bury(tier);
	pthread_cond_destroy(&tier->run_cond);
	pthread_mutex_destroy(&tier->run_lock);
	pthread_mutex_destroy(&tier->lock);
	if (tier->wake_fd >= 0)
		close(tier->wake_fd);
	if (tier->stop_fd >= 0)
		close(tier->stop_fd);
	free(tier);
}

int page_tier_add(
	struct page_tier *tier, struct range *range, struct accel_object *obj, const char *prog, struct accel_err *err)
{
	struct tier_page *page = tier ? add_page(tier, range) : NULL;
	int rc = 0;

	if (!page)
		return 0;
	pthread_mutex_lock(&tier->lock);
	page->obj = obj;
	page->prog = prog;
	page_examine(tier);
	if (tier->is_forced)
		rc = check_forced(tier, err);
	pthread_mutex_unlock(&tier->lock);
	return rc;
}

int page_tier_start(struct page_tier *tier)
{
	int rc;

	if (!tier)
		return 0;
	atomic_store(&tier->event_tid, gettid());
	rc = pthread_create(&tier->manager, NULL, page_manage, tier);
	tier->manages = rc == 0;
	return -rc;
}

void page_tier_stop(struct page_tier *tier)
{
	if (!tier)
		return;
	page_tier_forbid(tier);
	atomic_store(&tier->stop, true);
	atomic_store(&tier->fault, PAGE_FAULT_NONE); /* a stuck one goes on, to its end */
	wake(tier->stop_fd);
	page_wake(tier);
	page_publish_wake(tier);
	if (tier->manages)
		pthread_join(tier->manager, NULL);
	if (tier->publishes)
		pthread_join(tier->publisher, NULL);
	tier->manages = tier->publishes = false;
}

void page_tier_forbid(struct page_tier *tier)
{
	if (!tier)
		return;
	pthread_mutex_lock(&tier->lock);
	tier->forbidden++;
	for (unsigned i = 0; i < tier->count; i++)
		page_down(&tier->pages[i]);
	pthread_mutex_unlock(&tier->lock);
}

void page_tier_allow(struct page_tier *tier)
{
	if (!tier)
		return;
	pthread_mutex_lock(&tier->lock);
	if (--tier->forbidden == 0)
		page_examine(tier);
	pthread_mutex_unlock(&tier->lock);
	page_wake(tier);
}

void page_tier_before_timer(struct page_tier *tier)
{
	for (unsigned i = 0; tier && i < tier->count; i++) {
		if (atomic_load(&tier->pages[i].must_go))
			unmap(&tier->pages[i]); /* the manager does the rest */
	}
}

void page_tier_fault(struct page_tier *tier, enum page_fault fault)
{
	atomic_store(&tier->fault, fault);
	page_publish_wake(tier);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static json_t *describe(struct tier_page *page)
{
	uint64_t mapped_ns, slot_ns, slot_max_ns;
	bool is_mapped;

	pthread_mutex_lock(&page->slot_lock);
	slot_ns = page->slot_ns;
	slot_max_ns = page->slot_max_ns;
	is_mapped = page->is_mapped;
	mapped_ns = page->mapped_ns + (is_mapped ? page_now() - page->mapped_since_ns : 0);
	pthread_mutex_unlock(&page->slot_lock);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "range", page->range->name, "state",
		page->refused ? "refused"
		: is_mapped   ? "mapped"
		: page->is_up ? "shadow"
			      : "unmapped",
		"reason", page->refused ? page->refused : "", "mapped_ns", (json_int_t)mapped_ns, "maps",
		(json_int_t)page->maps, "given_up", (json_int_t)page->given_up, "samples", (json_int_t)page->samples,
		"samples_with_readers", (json_int_t)page->samples_with_readers, "slot_ns", (json_int_t)slot_ns,
		"slot_max_ns", (json_int_t)slot_max_ns);
}

json_t *page_tier_json(struct page_tier *tier)
{
	json_t *pages, *all = NULL;
	clockid_t cpu;
	struct timespec ts;
	uint64_t cpu_ns;

	if (!tier)
		return NULL;
	pages = json_array();
	pthread_mutex_lock(&tier->lock);
	for (unsigned i = 0; i < tier->count; i++)
		json_array_append_new(pages, describe(&tier->pages[i]));
	cpu_ns = atomic_load(&tier->cpu_ns);
	if (tier->publishes && pthread_getcpuclockid(tier->publisher, &cpu) == 0 && clock_gettime(cpu, &ts) == 0)
		cpu_ns = (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	all = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "mode",
		tier->is_forced ? "on" : "auto", "host",
		!tier->is_tried	    ? "not tried"
		: tier->probe.works ? "works"
				    : tier->probe.reason,
		"gap_limit_ns", (json_int_t)tier->gap_limit_ns, "exit_ns", (json_int_t)tier->probe.exit_ns, "passes",
		(json_int_t)(atomic_load(&tier->pass) / 2), "publisher_cpu_ns", (json_int_t)cpu_ns, "gap_p50_ns",
		(json_int_t)page_gap_percentile(tier, 0.50), "gap_p99_ns", (json_int_t)page_gap_percentile(tier, 0.99),
		"gap_p999_ns", (json_int_t)page_gap_percentile(tier, 0.999), "gap_max_ns",
		(json_int_t)atomic_load(&tier->gap_max_ns), "pages", pages);
	pthread_mutex_unlock(&tier->lock);
	return all;
}
