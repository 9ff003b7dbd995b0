// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench_page.c: what a pass of the page tier's publisher costs: taking the word, one reading of the clock, and 1, 4 or 16
 * registers by their program, each with its store; and what publishing everything adds to a model's access. A line for
 * each: medians over rounds, with 10th and 90th percentile, in the thread's own processor time. Then how long it is from one
 * pass of the publisher thread to the next, in time on the wall. Usage: bench_page [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/device.h"
#include "tests/bench/page.h"
#include "vmm/bus.h"
#include "vmm/page_image.h"
#include "vmm/page_tier_int.h"

#define PASSES 20000
#define MAX_ROUNDS 1001
#define GAP_SECONDS 2

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void no_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = device_now(dev);
	page_end(dev);
}

static void die(const char *what)
{
	fprintf(stderr, "bench_page: %s\n", what);
	exit(1);
}

static void never(void *opaque, struct page_image *image)
{
	(void)opaque;
	(void)image;
}

struct rig {
	struct vm vm; /* its clock is all that is used of it */
	struct page_tier tier;
	struct bus bus;
	struct device dev;
	struct range *range;
	struct accel_object *obj;
	struct page_image *image;
};

static void rig_init(struct rig *rig, const char *path, unsigned registers)
{
	static const struct device_ops ops;
	struct range proto = {.name = "bench", .dev = &rig->dev, .bus = IO_MMIO, .base = 0xfe000000, .mapped = true};
	struct page_image_config config = {
		.prog = "counters", .clock = &rig->vm.clock, .gone = never, .changed = never};
	struct accel_err err = {.text = ""};

	memset(rig, 0, sizeof(*rig));
	proto.len = registers * 8;
	proto.width = 8;
	proto.flags = HR_PAGE_OK;
	proto.read = no_read;
	if (clock_init(&rig->vm.clock, false) || bus_init(&rig->bus, &rig->vm.clock, ACCEL_ON) ||
		device_init(&rig->dev, "bench", &ops, &rig->vm.clock, 1, sizeof(struct bench_page)))
		die("out of memory");
	rig->range = bus_add(&rig->bus, &proto);
	if (!rig->range || accel_object_open_file(path, &rig->obj, &err))
		die(err.text);
	config.range = rig->range;
	config.obj = rig->obj;
	if (page_image_new(&config, &rig->image, &err))
		die(err.text);
	pthread_mutex_lock(&rig->dev.lock);
	if (!page_image_show(&rig->dev, rig->image) || page_image_timed_count(rig->image) != registers)
		die("the page is not what was wanted");
	pthread_mutex_unlock(&rig->dev.lock);
}

static void rig_done(struct rig *rig)
{
	pthread_mutex_lock(&rig->dev.lock);
	page_image_hide(rig->image);
	pthread_mutex_unlock(&rig->dev.lock);
	page_image_free(rig->image);
	accel_object_put(rig->obj);
	device_cleanup(&rig->dev);
	bus_destroy(&rig->bus);
	clock_destroy(&rig->vm.clock);
}

static void pass(struct rig *rig)
{
	if (!page_image_try(rig->image))
		die("somebody has the word");
	page_image_publish(rig->image, clock_now(&rig->vm.clock));
	page_image_leave(rig->image);
}

static void model(struct rig *rig)
{
	struct io_req req = {.io = {.size = 8}, .addr = 0xfe000000, .bus = IO_MMIO, .count = 1};

	bus_io_slowly(&rig->bus, &req);
}

/* The publisher itself, over this one page. */
static void measure_gaps(struct rig *rig, unsigned registers)
{
	struct page_tier *tier = &rig->tier;

	tier->vm = &rig->vm;
	tier->gap_limit_ns = UINT64_MAX;
	pthread_mutex_init(&tier->run_lock, NULL);
	pthread_cond_init(&tier->run_cond, NULL);
	atomic_store(&tier->shown[0], rig->image);
	if (pthread_create(&tier->publisher, NULL, page_publish, tier))
		die("no thread");
	nanosleep(&(struct timespec){.tv_sec = GAP_SECONDS}, NULL);
	atomic_store(&tier->stop, true);
	pthread_join(tier->publisher, NULL);
	printf("%-28s %2u registers: 50 %% %llu ns, 99 %% %llu, 99.9 %% %llu, longest %llu; %.3f of a processor\n",
		"publisher, pass to pass", registers, (unsigned long long)page_gap_percentile(tier, 0.50),
		(unsigned long long)page_gap_percentile(tier, 0.99),
		(unsigned long long)page_gap_percentile(tier, 0.999),
		(unsigned long long)atomic_load(&tier->gap_max_ns),
		(double)atomic_load(&tier->cpu_ns) / (GAP_SECONDS * (double)HR_NSEC_PER_SEC));
	pthread_cond_destroy(&tier->run_cond);
	pthread_mutex_destroy(&tier->run_lock);
}

static void measure(struct rig *rig, const char *name, unsigned registers, void (*fn)(struct rig *rig), unsigned rounds)
{
	static double ns[MAX_ROUNDS];

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t start = cpu_ns();

		for (unsigned k = 0; k < PASSES; k++)
			fn(rig);
		ns[i] = (double)(cpu_ns() - start) / PASSES;
	}
	qsort(ns, rounds, sizeof(ns[0]), compare);
	printf("%-28s %2u registers: %7.1f ns (%.1f..%.1f)\n", name, registers, ns[rounds / 2], ns[rounds / 10],
		ns[rounds * 9 / 10]);
}

int main(int argc, char **argv)
{
	static const unsigned counts[] = {1, 4, 16};
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 51;
	const char *slash = strrchr(argv[0], '/');
	char path[512];

	if (rounds < 1 || rounds > MAX_ROUNDS)
		die("ROUNDS is 1 to 1001");
	snprintf(path, sizeof(path), "%.*s/page.bpf.o", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		static struct rig rig;

		rig_init(&rig, path, counts[i]);
		measure(&rig, "publisher, one pass", counts[i], pass, rounds);
		measure(&rig, "model, a read that publishes", counts[i], model, rounds);
		measure_gaps(&rig, counts[i]);
		rig_done(&rig);
	}
	return 0;
}
