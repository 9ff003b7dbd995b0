/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_access.c: what the VMM itself pays for one access, with the CPU taken away: bus_io() from
 * look-up to answer on the whole machine, real clock, model (--accel off) against program (on), both
 * machines in one process, measured in turn within each round. Then the same with 1 and 2 reader
 * threads while a third keeps the model updating the device. Prints medians with their 10th and 90th
 * percentiles over the rounds, the median of the per-round ratio, and the program's to one reading of the clock.
 * Last, how reads scale from one reader to two, with an idle model and with one that sits on its lock. Called by scripts/bench.sh.
 *
 * usage: bench_access DISK [ROUNDS]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "devices/machine.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define MAX_ROUNDS 201
#define CALLS 4000
#define MAX_READERS 2
#define UPDATER_VCPU MAX_READERS /* its own index: a vCPU is one thread */
#define UPDATE_PAUSE_NS 5000	 /* between two updates by the model */

struct step {
	enum io_bus bus;
	uint64_t addr;
	uint8_t size;
	uint8_t is_write;
	uint64_t value;
};

struct op {
	const char *name;
	struct step steps[3];
	unsigned step_count;
	struct step update; /* what the model is made to do meanwhile */
	bool scales;	    /* also with one and two readers */
};

#define RD(b, a, s)                                                                                                    \
	{                                                                                                              \
		b, a, s, 0, 0                                                                                          \
	}
#define WR(b, a, s, v)                                                                                                 \
	{                                                                                                              \
		b, a, s, 1, v                                                                                          \
	}

static const struct op ops[] = {
	{"unclaimed port", {RD(IO_PIO, 0x5000, 1)}, 1, RD(IO_PIO, 0x5000, 1), false},
	{"HPET counter", {RD(IO_MMIO, 0xfed000f0, 8)}, 1, WR(IO_MMIO, 0xfed00128, 4, 0x12345678), true},
	{"PIT latch and read", {WR(IO_PIO, 0x43, 1, 0), RD(IO_PIO, 0x40, 1), RD(IO_PIO, 0x40, 1)}, 3,
		WR(IO_PIO, 0x42, 1, 0x55), false},
	{"port 0x61", {RD(IO_PIO, 0x61, 1)}, 1, WR(IO_PIO, 0x61, 1, 1), false},
	{"PM timer", {RD(IO_PIO, 0x608, 4)}, 1, WR(IO_PIO, 0x602, 2, 0), true},
	{"IDE status", {RD(IO_PIO, 0x1f7, 1)}, 1, WR(IO_PIO, 0x1f2, 1, 1), false},
	{"IDE alternate status", {RD(IO_PIO, 0x3f6, 1)}, 1, WR(IO_PIO, 0x1f2, 1, 1), false},
};

#define NOPS (sizeof(ops) / sizeof(ops[0]))

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void die(const char *what, const char *text)
{
	fprintf(stderr, "bench_access: %s: %s\n", what, text);
	exit(2);
}

/* The machine of vm_create() without a CPU: nothing executes, timers do not fire. */
static struct vm *machine_without_cpu(const struct options *opt, enum accel_mode mode)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct accel_err err;
	int rc;

	if (!vm)
		die("memory", strerror(ENOMEM));
	vm->opt = opt;
	vm->cpu_count = MAX_READERS + 1;
	vm->cpu_ops = &cpu_script_ops;
	rc = clock_init(&vm->clock, false);
	if (!rc)
		rc = mem_init(&vm->mem, opt->mem_bytes);
	if (!rc)
		rc = bus_init(&vm->bus, &vm->clock, mode);
	if (rc)
		die("set-up", strerror(-rc));
	if (machine_create(vm, &vm->machine, &err))
		die("machine", err.text);
	machine_reset(vm->machine);
	return vm;
}

static void machine_done(struct vm *vm)
{
	machine_destroy(vm->machine);
	bus_destroy(&vm->bus);
	mem_destroy(&vm->mem);
	clock_destroy(&vm->clock);
	free(vm);
}

static struct io_req request(const struct step *s, uint32_t vcpu)
{
	return (struct io_req){
		.io = {.value = s->value, .vcpu = vcpu, .size = s->size, .is_write = s->is_write},
		.addr = s->addr,
		.bus = s->bus,
		.count = 1,
	};
}

static void access_once(struct vm *vm, const struct step *s, uint32_t vcpu)
{
	struct io_req req = request(s, vcpu);

	bus_io(&vm->bus, &req);
}

/* Nanoseconds of one op, from the look-up to the answer: filling the request is the CPU backend's. */
static double measure(struct vm *vm, const struct op *op, uint32_t vcpu)
{
	struct io_req req[3];
	uint64_t t0;

	for (unsigned k = 0; k < op->step_count; k++)
		req[k] = request(&op->steps[k], vcpu);
	t0 = now_ns();
	if (op->step_count == 1) { /* nothing of ours between one and the next */
		for (unsigned i = 0; i < CALLS; i++)
			bus_io_one(&vm->bus, &req[0]);
		return (double)(now_ns() - t0) / CALLS;
	}
	for (unsigned i = 0; i < CALLS; i++)
		for (unsigned k = 0; k < op->step_count; k++)
			bus_io_one(&vm->bus, &req[k]);
	return (double)(now_ns() - t0) / CALLS;
}

/* Nanoseconds of one reading of the clock that programs and models use. */
static double measure_clock(const struct vm *vm)
{
	uint64_t t0 = now_ns();
	volatile uint64_t sum = 0;

	for (unsigned i = 0; i < CALLS; i++)
		sum += clock_now(&vm->clock);
	return (double)(now_ns() - t0) / CALLS;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread {
	double p10, median, p90;
};

static struct spread spread_of(const double *v, unsigned n)
{
	double s[MAX_ROUNDS];

	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), by_value);
	return (struct spread){s[n / 10], s[n / 2], s[n * 9 / 10]};
}

static void print_row(const char *name, unsigned threads, const double *model, const double *prog, const double *clock,
	unsigned rounds)
{
	static const char *const readers[] = {"1, model idle", "1, model updating", "2, model updating"};
	double ratio[MAX_ROUNDS];
	struct spread m = spread_of(model, rounds), p = spread_of(prog, rounds), r;

	for (unsigned i = 0; i < rounds; i++)
		ratio[i] = model[i] / prog[i];
	r = spread_of(ratio, rounds);
	printf("| %s | %s | %.1f (%.1f..%.1f) | %.1f (%.1f..%.1f) | %.2f (%.2f..%.2f) |", name, readers[threads],
		m.median, m.p10, m.p90, p.median, p.p10, p.p90, r.median, r.p10, r.p90);
	for (unsigned i = 0; i < rounds; i++)
		ratio[i] = prog[i] / clock[i];
	r = spread_of(ratio, rounds);
	if (threads)
		printf(" |\n");
	else
		printf(" %.2f (%.2f..%.2f) |\n", r.median, r.p10, r.p90);
	fflush(stdout);
}

struct updater {
	struct vm *vm;
	const struct step *step;
	_Atomic bool stop;
};

static void *updater_run(void *arg)
{
	struct updater *u = arg;

	while (!atomic_load_explicit(&u->stop, memory_order_relaxed)) {
		uint64_t until = now_ns() + UPDATE_PAUSE_NS;

		access_once(u->vm, u->step, UPDATER_VCPU);
		while (now_ns() < until)
			;
	}
	return NULL;
}

struct reader {
	struct vm *vm;
	const struct op *op;
	uint32_t vcpu;
	double ns;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;

	r->ns = measure(r->vm, r->op, r->vcpu);
	return NULL;
}

static double measure_threads(struct vm *vm, const struct op *op, unsigned threads)
{
	struct updater u = {.vm = vm, .step = &op->update};
	struct reader readers[MAX_READERS];
	pthread_t ut, rt[MAX_READERS];
	double sum = 0;

	if (pthread_create(&ut, NULL, updater_run, &u))
		die("thread", strerror(errno));
	for (unsigned i = 0; i < threads; i++) {
		readers[i] = (struct reader){.vm = vm, .op = op, .vcpu = i};
		if (pthread_create(&rt[i], NULL, reader_run, &readers[i]))
			die("thread", strerror(errno));
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(rt[i], NULL);
		sum += readers[i].ns;
	}
	atomic_store_explicit(&u.stop, true, memory_order_relaxed);
	pthread_join(ut, NULL);
	return sum / threads;
}

/* ---- from one reader to two ---------------------------------------------------------------- */

#define SCALE_CALLS 200000
#define HOLD_NS 1000000	  /* the model keeps its lock for so long, */
#define HOLD_GAP_NS 20000 /* changes the device, and takes it again after this */

struct scaler {
	struct vm *vm;
	const struct op *op;
	uint32_t vcpu;
	pthread_barrier_t *start;
	double ns; /* of the thread's own time: what others take of the processor does not count */
};

static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void *scaler_run(void *arg)
{
	struct scaler *r = arg;
	struct io_req req = request(&r->op->steps[0], r->vcpu);
	uint64_t t0;

	pthread_barrier_wait(r->start);
	t0 = thread_ns();
	for (unsigned i = 0; i < SCALE_CALLS; i++)
		bus_io_one(&r->vm->bus, &req);
	r->ns = (double)(thread_ns() - t0) / SCALE_CALLS;
	return NULL;
}

struct holder {
	struct updater u;
	struct device *dev;
	uint64_t updates; /* which are the model's, too */
};

static void *holder_run(void *arg)
{
	static const struct timespec hold = {.tv_nsec = HOLD_NS}, gap = {.tv_nsec = HOLD_GAP_NS};
	struct holder *h = arg;

	while (!atomic_load_explicit(&h->u.stop, memory_order_relaxed)) {
		pthread_mutex_lock(&h->dev->lock);
		nanosleep(&hold, NULL);
		pthread_mutex_unlock(&h->dev->lock);
		access_once(h->u.vm, h->u.step, UPDATER_VCPU);
		h->updates++;
		nanosleep(&gap, NULL);
	}
	return NULL;
}

static uint64_t punts_of(struct vm *vm, const struct op *op)
{
	struct accel_counters c;

	accel_slot_counters(bus_find(&vm->bus, op->steps[0].bus, op->steps[0].addr)->slot, &c);
	return c.punted;
}

/* Mean nanoseconds of a read with so many readers at once, and a model that holds its lock or none; adds its updates. */
static double measure_scale(struct vm *vm, const struct op *op, unsigned threads, bool held, uint64_t *updates)
{
	struct holder h = {.u = {.vm = vm, .step = &op->update},
		.dev = bus_find(&vm->bus, op->steps[0].bus, op->steps[0].addr)->dev};
	struct scaler readers[MAX_READERS];
	pthread_t ht, rt[MAX_READERS];
	pthread_barrier_t start;
	double sum = 0;

	if (pthread_barrier_init(&start, NULL, threads) || (held && pthread_create(&ht, NULL, holder_run, &h)))
		die("thread", strerror(errno));
	for (unsigned i = 0; i < threads; i++) {
		readers[i] = (struct scaler){.vm = vm, .op = op, .vcpu = i, .start = &start};
		if (pthread_create(&rt[i], NULL, scaler_run, &readers[i]))
			die("thread", strerror(errno));
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(rt[i], NULL);
		sum += readers[i].ns;
	}
	if (held) {
		atomic_store_explicit(&h.u.stop, true, memory_order_relaxed);
		pthread_join(ht, NULL);
	}
	*updates += h.updates;
	pthread_barrier_destroy(&start);
	return sum / threads;
}

/*
 * Two readers against one, in reads a second and processor: 1 is linear. Punts: reads that went to the model, and
 * so waited for its lock.
 */
static void print_scale(struct vm *vm, const struct op *op, bool held, unsigned rounds)
{
	double one[MAX_ROUNDS], two[MAX_ROUNDS], ratio[MAX_ROUNDS];
	uint64_t punts = punts_of(vm, op), updates = 0;
	struct spread a, b, r;

	for (unsigned k = 0; k < rounds; k++) {
		one[k] = measure_scale(vm, op, 1, held, &updates);
		two[k] = measure_scale(vm, op, 2, held, &updates);
		ratio[k] = one[k] / two[k];
	}
	a = spread_of(one, rounds);
	b = spread_of(two, rounds);
	r = spread_of(ratio, rounds);
	printf("| %s | %s | %.1f (%.1f..%.1f) | %.1f (%.1f..%.1f) | %.2f (%.2f..%.2f) | %" PRIu64 " of %u |\n",
		op->name, held ? "holds its lock for 1 ms at a time" : "idle", a.median, a.p10, a.p90, b.median, b.p10,
		b.p90, r.median, r.p10, r.p90, punts_of(vm, op) - punts - updates, 3 * rounds * SCALE_CALLS);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct options opt = {.mem_bytes = 16u << 20, .cpus = 1, .serial = "none", .disk_readonly = true};
	static double model[MAX_ROUNDS], prog[MAX_ROUNDS], clock[MAX_ROUNDS];
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 31;
	struct options opt_on;
	struct vm *off, *on;

	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS)
		die("usage", "bench_access DISK [ROUNDS, 1..201]");
	opt.disk = argv[1];
	opt.cpu = OPT_CPU_SCRIPT;
	opt.accel = OPT_ACCEL_OFF;
	off = machine_without_cpu(&opt, ACCEL_OFF);
	opt_on = opt;
	opt_on.accel = OPT_ACCEL_ON;
	on = machine_without_cpu(&opt_on, ACCEL_ON);
	/* The HPET counts. */
	access_once(off, &(struct step)WR(IO_MMIO, 0xfed00010, 4, 1), 0);
	access_once(on, &(struct step)WR(IO_MMIO, 0xfed00010, 4, 1), 0);

	printf("| access | reader threads | model, ns (p10..p90) | program, ns (p10..p90) | model / program | program "
	       "/ clock "
	       "|\n");
	printf("|---|---|---|---|---|---|\n");
	for (unsigned threads = 0; threads <= MAX_READERS; threads++) {
		for (unsigned i = threads ? 1 : 0; i < NOPS; i++) {
			for (unsigned k = 0; k < rounds; k++) {
				clock[k] = threads ? 1 : measure_clock(on);
				for (unsigned half = 0; half < 2; half++) {
					bool is_on = half ^ (k & 1); /* who goes first alternates */
					struct vm *vm = is_on ? on : off;

					(is_on ? prog : model)[k] = threads ? measure_threads(vm, &ops[i], threads)
									    : measure(vm, &ops[i], 0);
				}
			}
			print_row(ops[i].name, threads, model, prog, clock, rounds);
		}
	}
	printf("\n| access | model | 1 reader, ns (p10..p90) | 2 readers, ns (p10..p90) | of linear | to the model |\n"
	       "|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < NOPS; i++) {
		if (!ops[i].scales)
			continue;
		print_scale(on, &ops[i], false, rounds);
		print_scale(on, &ops[i], true, rounds);
	}
	printf("\none reading of the clock: %.1f ns\n", measure_clock(on));
	machine_done(off);
	machine_done(on);
	return 0;
}
