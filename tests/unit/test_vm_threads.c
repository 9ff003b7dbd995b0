// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_vm_threads.c: two vCPU threads, resets, jobs, pauses and ends, with a CPU backend of the test's
 * own in the script backend's place. Run under ThreadSanitizer too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/vm.h"

#define RESETS 200

/* What the two vCPUs share; one test at a time. */
static struct {
	_Atomic unsigned inside;  /* vCPUs in run() */
	_Atomic unsigned overlap; /* resets seen while one was */
	_Atomic unsigned resets[VM_MAX_CPUS];
	_Atomic unsigned entered[VM_MAX_CPUS];
	unsigned asks; /* how many resets vCPU 0 asks for */
	bool both_ask;
	bool fails;	      /* vCPU 1 fails in the end */
	bool waits;	      /* nobody ends the VM */
	_Atomic bool stuck;   /* vCPU 1 does not look up */
	unsigned fail_create; /* index + 1 */
} plan;

static int fake_setup(struct vm *vm, struct accel_err *err)
{
	(void)vm;
	(void)err;
	return 0;
}

static void fake_teardown(struct vm *vm)
{
	(void)vm;
}

static int fake_create(struct vm *vm, unsigned index, struct cpu **out, struct accel_err *err)
{
	struct cpu *cpu = calloc(1, sizeof(*cpu));

	if (!cpu || plan.fail_create == index + 1) {
		free(cpu);
		err_set(err, "no vCPU %u today", index);
		return -ENODEV;
	}
	*cpu = (struct cpu){.ops = &cpu_script_ops, .vm = vm, .index = index};
	*out = cpu;
	return 0;
}

static void fake_destroy(struct cpu *cpu)
{
	free(cpu);
}

static void step(struct cpu *cpu)
{
	struct io_req req = {.io = {.size = 1, .vcpu = cpu->index}, .addr = 0x64, .bus = IO_PIO, .count = 1};

	bus_io(&cpu->vm->bus, &req);
	sched_yield();
}

static int fake_run(struct cpu *cpu, struct accel_err *err)
{
	struct vm *vm = cpu->vm;
	unsigned turn = atomic_fetch_add(&plan.entered[cpu->index], 1);
	int rc = 0;

	atomic_fetch_add(&plan.inside, 1);
	for (unsigned i = 0; i < 3; i++)
		step(cpu);
	if ((cpu->index == 0 || plan.both_ask) && turn < plan.asks)
		vm_request_reset(vm, "test");
	else if (plan.fails && cpu->index == 1) {
		err_set(err, "it broke");
		rc = -EIO;
	} else if (cpu->index == 0 && turn >= plan.asks && !plan.fails && !plan.waits)
		vm_request_stop(vm, 9, "done");
	while (rc == 0 && (!vm_must_leave(vm) || (cpu->index == 1 && atomic_load(&plan.stuck))))
		step(cpu);
	atomic_fetch_sub(&plan.inside, 1);
	return rc;
}

static void fake_kick(struct cpu *cpu)
{
	(void)cpu;
}

static int fake_get_regs(struct cpu *cpu, struct cpu_regs *regs)
{
	(void)cpu;
	memset(regs, 0, sizeof(*regs));
	return 0;
}

static int fake_set_regs(struct cpu *cpu, const struct cpu_regs *regs)
{
	(void)cpu;
	(void)regs;
	return 0;
}

static int fake_reset(struct cpu *cpu)
{
	if (atomic_load(&plan.inside) != 0)
		atomic_fetch_add(&plan.overlap, 1);
	atomic_fetch_add(&plan.resets[cpu->index], 1);
	return 0;
}

const struct cpu_ops cpu_script_ops = {
	.name = "fake",
	.setup = fake_setup,
	.teardown = fake_teardown,
	.create = fake_create,
	.destroy = fake_destroy,
	.run = fake_run,
	.kick = fake_kick,
	.get_regs = fake_get_regs,
	.set_regs = fake_set_regs,
	.reset = fake_reset,
};

static struct options two_cpus(void)
{
	return (struct options){
		.mem_bytes = 1 << 20,
		.cpus = 2,
		.cpu = OPT_CPU_SCRIPT,
		.script = "/dev/null",
		.accel = OPT_ACCEL_OFF,
		.serial = "none",
		.quiet = true,
	};
}

static int run(const struct options *opt, struct accel_err *err)
{
	struct vm *vm = malloc(sizeof(*vm));
	int status = -1;

	assert_non_null(vm);
	err->text[0] = '\0';
	if (vm_create(vm, opt, err) == 0) {
		status = vm_run(vm, err);
		vm_destroy(vm);
	}
	free(vm);
	return status;
}

static int clear(void **state)
{
	(void)state;
	memset(&plan, 0, sizeof(plan));
	return 0;
}

static void test_resets(void **state)
{
	struct options opt = two_cpus();
	struct accel_err err;

	(void)state;
	plan.asks = RESETS;
	assert_int_equal(run(&opt, &err), 9);
	assert_int_equal(plan.overlap, 0);
	assert_int_equal(plan.resets[0], RESETS);
	assert_int_equal(plan.resets[1], RESETS);
	/* vCPU 0 came back after each; vCPU 1 not where it woke up to find the next one asked for already */
	assert_int_equal(plan.entered[0], RESETS + 1);
	assert_in_range(plan.entered[1], 1, RESETS + 1);
	assert_string_equal(err.text, "");
}

/* Two ask at once: one or two resets, but never one under a running vCPU, and never a hang. */
static void test_both_ask(void **state)
{
	struct options opt = two_cpus();
	struct accel_err err;

	(void)state;
	plan.asks = RESETS;
	plan.both_ask = true;
	assert_int_equal(run(&opt, &err), 9);
	assert_int_equal(plan.overlap, 0);
	assert_int_equal(plan.resets[0], plan.resets[1]);
	assert_in_range(plan.resets[0], RESETS, 2 * RESETS);
}

static void test_failure(void **state)
{
	struct options opt = two_cpus();
	struct accel_err err;

	(void)state;
	plan.fails = true;
	assert_int_equal(run(&opt, &err), EXIT_CPU_FAILED);
	assert_string_equal(err.text, "it broke");
}

static void test_timeout(void **state)
{
	struct options opt = two_cpus();
	struct accel_err err;

	(void)state;
	plan.waits = true;
	opt.timeout_s = 1;
	assert_int_equal(run(&opt, &err), EXIT_TIMEOUT);
}

static void test_second_cpu_cannot_be_made(void **state)
{
	struct options opt = two_cpus();
	struct accel_err err;

	(void)state;
	plan.fail_create = 2;
	assert_int_equal(run(&opt, &err), -1);
	assert_string_equal(err.text, "no vCPU 1 today");
}

/* ---- jobs and pauses -------------------------------------------------------------------------- */

#define JOBS 200

struct driver {
	struct vm vm;
	unsigned jobs, inside, steps_while_paused, failed;
	uint64_t plain; /* not atomic on purpose: only jobs touch it */
	bool with_resets, pauses;
};

static void count_job(struct vm *vm, void *opaque)
{
	struct driver *d = opaque;

	(void)vm;
	d->jobs++;
	d->plain++;
	if (atomic_load(&plan.inside) != 0)
		d->inside++;
	usleep(50);
	if (atomic_load(&plan.inside) != 0)
		d->inside++;
}

static void *drive(void *opaque)
{
	struct driver *d = opaque;
	struct accel_err err;

	while (atomic_load(&plan.entered[0]) == 0)
		sched_yield();
	for (unsigned i = 0; i < JOBS; i++) {
		if (d->pauses && i % 4 == 0) {
			d->failed += vm_pause(&d->vm, &err) != 0 || !vm_is_paused(&d->vm);
			d->failed += vm_pause(&d->vm, &err) != 0; /* already */
			if (d->with_resets)
				vm_request_host_reset(&d->vm);
			for (unsigned j = 0; j < 20; j++) {
				usleep(10);
				d->steps_while_paused += atomic_load(&plan.inside) != 0;
			}
		}
		if (d->with_resets && i % 3 == 0)
			vm_request_host_reset(&d->vm);
		d->failed += vm_at_rest(&d->vm, count_job, d, &err) != 0;
		if (d->pauses && i % 4 == 2)
			d->failed += vm_resume(&d->vm, &err) != 0 || vm_is_paused(&d->vm);
	}
	vm_request_stop(&d->vm, 11, "driven");
	d->failed += vm_at_rest(&d->vm, count_job, d, &err) != -ESHUTDOWN;
	return NULL;
}

static void run_driven(bool with_resets, bool pauses)
{
	struct options opt = two_cpus();
	struct driver *d = calloc(1, sizeof(*d));
	struct accel_err err = {.text = ""};
	pthread_t thread;

	assert_non_null(d);
	plan.waits = true;
	d->with_resets = with_resets;
	d->pauses = pauses;
	assert_int_equal(vm_create(&d->vm, &opt, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, drive, d), 0);
	assert_int_equal(vm_run(&d->vm, &err), 11);
	pthread_join(thread, NULL);
	assert_int_equal(d->failed, 0);
	assert_int_equal(d->jobs, JOBS);
	assert_int_equal(d->plain, JOBS);
	assert_int_equal(d->inside, 0); /* no vCPU in run() during a job */
	assert_int_equal(d->steps_while_paused, 0);
	assert_int_equal(plan.overlap, 0);
	if (with_resets)
		assert_in_range(plan.resets[0], JOBS / 4, JOBS);
	vm_destroy(&d->vm);
	free(d);
}

static void test_jobs(void **state)
{
	(void)state;
	run_driven(false, false);
}

static void test_jobs_and_resets(void **state)
{
	(void)state;
	run_driven(true, false);
}

static void test_pauses(void **state)
{
	(void)state;
	run_driven(false, true);
}

static void test_pauses_and_resets(void **state)
{
	(void)state;
	run_driven(true, true);
}

/* A vCPU that does not come to rest: the job is refused, and everything goes on. */
static void *drive_stuck(void *opaque)
{
	struct driver *d = opaque;
	struct accel_err err;

	while (atomic_load(&plan.entered[0]) == 0)
		sched_yield();
	d->failed += vm_at_rest(&d->vm, count_job, d, &err) != -EBUSY || !strstr(err.text, "does not come to rest");
	atomic_store(&plan.stuck, false);
	d->failed += vm_at_rest(&d->vm, count_job, d, &err) != 0;
	vm_request_stop(&d->vm, 11, "driven");
	return NULL;
}

static void test_stuck(void **state)
{
	struct options opt = two_cpus();
	struct driver *d = calloc(1, sizeof(*d));
	struct accel_err err = {.text = ""};
	pthread_t thread;

	(void)state;
	assert_non_null(d);
	plan.waits = true;
	atomic_store(&plan.stuck, true);
	assert_int_equal(vm_create(&d->vm, &opt, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, drive_stuck, d), 0);
	assert_int_equal(vm_run(&d->vm, &err), 11);
	pthread_join(thread, NULL);
	assert_int_equal(d->failed, 0);
	assert_int_equal(d->jobs, 1);
	vm_destroy(&d->vm);
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_resets, clear),
		cmocka_unit_test_setup(test_both_ask, clear),
		cmocka_unit_test_setup(test_failure, clear),
		cmocka_unit_test_setup(test_timeout, clear),
		cmocka_unit_test_setup(test_second_cpu_cannot_be_made, clear),
		cmocka_unit_test_setup(test_jobs, clear),
		cmocka_unit_test_setup(test_jobs_and_resets, clear),
		cmocka_unit_test_setup(test_pauses, clear),
		cmocka_unit_test_setup(test_pauses_and_resets, clear),
		cmocka_unit_test_setup(test_stuck, clear),
	};

	return cmocka_run_group_tests_name("vm_threads", tests, NULL, NULL);
}
