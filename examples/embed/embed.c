/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * embed.c: hotreg's engine without hotreg: a stopwatch whose two registers are answered by the
 * programs in watch.bpf.o, or else by the model below. Where a VMM would come with an exit of its
 * guest, two threads call touch(). `embed watch.bpf.o`; docs/library.md walks through it.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <hotreg/accel.h>

#include "watch.h"

#define VCPUS 2
#define LAPS_EACH 5000

struct watch {
	struct accel_clock clock; /* virtual here, so that each run prints the same; all zero is the host's */
	struct accel_page *page;
	struct accel_slot *ms, *laps; /* a slot for each register */
	pthread_mutex_t lock;	      /* the model's; programs never take it */
	unsigned bells;		      /* lock */
};

/* Does every access right, if not fast. Between begin and end no program stores or is believed. */
static void model(struct watch *w, uint32_t reg, struct hr_io *io)
{
	struct watch_page *page = (struct watch_page *)accel_page_data(w->page);
	bool rings = false;

	pthread_mutex_lock(&w->lock);
	accel_page_begin(w->page);
	if (reg == WATCH_MS && io->is_write) {
		HR_STORE(page->start_ns, accel_clock_now(&w->clock) + (uint64_t)HR_LOAD(page->offset_ns));
		HR_STORE(page->laps, 0);
	} else if (reg == WATCH_MS) {
		io->result = watch_ms(page, accel_clock_now(&w->clock));
	} else if (!io->is_write) {
		io->result = HR_LOAD(page->laps);
		rings = watch_rings((uint32_t)io->result);
		HR_STORE(page->laps, (uint32_t)io->result + 1);
	}
	accel_page_end(w->page);
	w->bells += rings;
	pthread_mutex_unlock(&w->lock);
}

/* One access: the program first, the model if it punts. */
static uint32_t touch(struct watch *w, unsigned vcpu, uint32_t reg, bool is_write)
{
	struct hr_io io = {.offset = 0, .vcpu = vcpu, .size = 4, .is_write = is_write};

	if (!accel_run(reg == WATCH_MS ? w->ms : w->laps, &io))
		model(w, reg, &io);
	return (uint32_t)io.result;
}

struct vcpu {
	struct watch *watch;
	unsigned index;
	uint64_t sum; /* of the lap numbers it got */
};

static void *vcpu_run(void *arg)
{
	struct vcpu *vcpu = arg;

	for (unsigned i = 0; i < LAPS_EACH; i++)
		vcpu->sum += touch(vcpu->watch, vcpu->index, WATCH_LAPS, false);
	return NULL;
}

/* Every lap has gone to one reader: the numbers 0 to n - 1, each once. */
static int use(struct watch *w)
{
	struct vcpu vcpu[VCPUS];
	pthread_t thread[VCPUS];
	uint64_t n = (uint64_t)VCPUS * LAPS_EACH, sum = 0;
	struct accel_counters count;

	accel_clock_set_virtual(&w->clock, 1000000000);
	touch(w, 0, WATCH_MS, true);
	accel_clock_set_virtual(&w->clock, 2500000000);
	printf("%" PRIu32 " ms\n", touch(w, 0, WATCH_MS, false));
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpu[i] = (struct vcpu){w, i, 0};
		if (pthread_create(&thread[i], NULL, vcpu_run, &vcpu[i])) {
			fprintf(stderr, "embed: cannot start a thread\n");
			exit(2);
		}
	}
	for (unsigned i = 0; i < VCPUS; i++) {
		pthread_join(thread[i], NULL);
		sum += vcpu[i].sum;
	}
	accel_slot_counters(w->laps, &count);
	printf("%" PRIu64 " laps, %u bells, %" PRIu64 " punts because of the bell\n", n, w->bells, count.why[1]);
	if (count.answered + count.punted == n && sum == n * (n - 1) / 2)
		return 0;
	fprintf(stderr, "embed: laps were lost or counted twice\n");
	return 1;
}

int main(int argc, char **argv)
{
	struct watch w = {.clock = {.is_virtual = true}, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct accel_err err = {.text = "usage: embed watch.bpf.o"};
	struct accel_object *object = NULL;
	int status = 2;

	if (argc != 2 || accel_object_open_file(argv[1], &object, &err))
		goto out;
	for (unsigned i = 0; i < accel_object_prog_count(object); i++) {
		struct accel_prog_info info;

		accel_object_prog_info(object, i, &info);
		printf("%s: %s, at most %" PRIu64 " instructions\n", info.name,
			info.effect == ACCEL_PURE ? "pure" : "stateful", info.worst_case);
	}
	strcpy(err.text, "out of memory");
	if (accel_page_new(WATCH_VERSION, sizeof(struct watch_page), &w.page) ||
		accel_slot_new(w.page, &w.clock, VCPUS, ACCEL_PURE, &w.ms) ||
		accel_slot_new(w.page, &w.clock, VCPUS, ACCEL_STATEFUL, &w.laps))
		goto out;
	if (accel_slot_attach(w.ms, object, "read_ms", &err) || accel_slot_attach(w.laps, object, "count_lap", &err))
		goto out;
	err.text[0] = '\0';
	status = use(&w);
out:
	accel_slot_free(w.laps);
	accel_slot_free(w.ms);
	accel_page_free(w.page);
	accel_object_put(object);
	if (err.text[0])
		fprintf(stderr, "embed: %s\n", err.text);
	return status;
}
