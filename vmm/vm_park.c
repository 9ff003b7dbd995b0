// SPDX-License-Identifier: BSD-2-Clause
/*
 * vm_park.c: resets, and jobs that are done while no guest code runs; pausing is two such jobs.
 *
 * On a reset each vCPU thread parks and the last to arrive does it. For a job each vCPU thread rests
 * and the event thread, which all wake, does it: so timers stand still as well. A reset comes before a
 * job: who rests leaves again for it, unless the job has begun. park_lock guards all of that;
 * neither a reset nor a job runs under it.
 */
#include "vmm/vm_park.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "devices/machine.h"
#include "vmm/boot.h"
#include "vmm/control.h"
#include "vmm/options.h"
#include "vmm/page_tier.h"
#include "vmm/text.h"
#include "vmm/trace.h"

#define REST_SECONDS 2 /* that vm_at_rest() waits for the vCPUs */

enum job_state { JOB_WAITS, JOB_RUNS, JOB_DONE };

struct vm_job {
	void (*fn)(struct vm *vm, void *opaque);
	void *opaque;
	enum job_state state; /* park_lock */
};

/* ---- reset ----------------------------------------------------------------------------------- */

void vm_cpu_failed(struct vm *vm, const struct accel_err *err)
{
	pthread_mutex_lock(&vm->park_lock);
	if (vm->run_err)
		*vm->run_err = *err;
	vm->run_err = NULL;
	pthread_mutex_unlock(&vm->park_lock);
	vm_request_stop(vm, EXIT_CPU_FAILED, "the CPU backend failed");
}

/* Every vCPU is parked, so the machine stands still but for timers, which take device locks. */
static void do_reset(struct vm *vm)
{
	struct accel_err err = {.text = ""};
	int rc = 0;

	vm_drain(vm); /* what was written before the reset comes before it */
	machine_reset(vm->machine);
	for (unsigned i = 0; i < vm->cpu_count && rc == 0; i++) {
		if (vm->cpu_ops->reset)
			rc = vm->cpu_ops->reset(vm->cpus[i]);
	}
	if (rc)
		err_set(&err, "a vCPU cannot be reset: %s", strerror(-rc));
	else if (vm->opt->cpu != OPT_CPU_SCRIPT)
		rc = boot_load(vm, &err);
	if (rc)
		vm_cpu_failed(vm, &err);
}

/* Waits until all vCPUs are here and the reset is done, or the VM stops. park_lock held. */
static void wait_for_reset(struct vm *vm)
{
	uint32_t before = vm->resets;

	vm->parked++;
	if (vm->parked == vm->cpu_count) {
		pthread_mutex_unlock(&vm->park_lock);
		/* a reset asked for from here on is another one */
		atomic_store_explicit(&vm->reset, false, memory_order_release);
		do_reset(vm);
		pthread_mutex_lock(&vm->park_lock);
		vm->parked = 0;
		vm->resets++;
		pthread_cond_broadcast(&vm->park_cond);
		control_post(vm->control, VM_EVENT_RESET);
	}
	while (vm->resets == before && !vm_should_stop(vm))
		pthread_cond_wait(&vm->park_cond, &vm->park_lock);
}

/* ---- rest ------------------------------------------------------------------------------------ */

static bool job_runs(const struct vm *vm)
{
	return vm->job && vm->job->state == JOB_RUNS;
}

/* park_lock held. */
static void rest(struct vm *vm)
{
	if (++vm->resting == vm->running)
		vm_wake(vm);
	while (atomic_load(&vm->hold) && !vm_should_stop(vm) && (!vm_reset_pending(vm) || job_runs(vm)))
		pthread_cond_wait(&vm->park_cond, &vm->park_lock);
	/* the VM may end at any time, but what a job looks at goes only after it */
	while (job_runs(vm))
		pthread_cond_wait(&vm->park_cond, &vm->park_lock);
	vm->resting--;
}

void vm_park(struct cpu *cpu)
{
	struct vm *vm = cpu->vm;

	pthread_mutex_lock(&vm->park_lock);
	while (!vm_should_stop(vm) && vm_must_leave(vm)) {
		if (vm_reset_pending(vm))
			wait_for_reset(vm);
		else
			rest(vm);
	}
	pthread_mutex_unlock(&vm->park_lock);
}

void vm_run_job(struct vm *vm)
{
	struct vm_job *job;

	pthread_mutex_lock(&vm->park_lock);
	job = vm->job;
	if (job && job->state == JOB_WAITS && vm->running > 0 && vm->resting == vm->running && !vm_reset_pending(vm) &&
		!vm_should_stop(vm)) {
		job->state = JOB_RUNS;
		pthread_mutex_unlock(&vm->park_lock);
		vm_drain(vm);
		job->fn(vm, job->opaque);
		pthread_mutex_lock(&vm->park_lock);
		job->state = JOB_DONE;
		vm->job = NULL;
		atomic_store(&vm->hold, vm_is_paused(vm));
		pthread_cond_broadcast(&vm->park_cond);
	}
	pthread_mutex_unlock(&vm->park_lock);
}

/* Until the job is done, or may no longer begin. park_lock held. */
static void wait_for_job(struct vm *vm, const struct vm_job *job)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += REST_SECONDS;
	while (job->state == JOB_RUNS || (job->state == JOB_WAITS && rc == 0 && !vm_should_stop(vm)))
		rc = pthread_cond_clockwait(&vm->park_cond, &vm->park_lock, CLOCK_MONOTONIC, &until);
}

int vm_at_rest(struct vm *vm, void (*fn)(struct vm *vm, void *opaque), void *opaque, struct accel_err *err)
{
	struct vm_job job = {.fn = fn, .opaque = opaque, .state = JOB_WAITS};

	pthread_mutex_lock(&vm->park_lock);
	if (vm->running == 0 && !vm_should_stop(vm)) {
		pthread_mutex_unlock(&vm->park_lock);
		fn(vm, opaque);
		return 0;
	}
	vm->job = &job;
	atomic_store(&vm->hold, true);
	pthread_mutex_unlock(&vm->park_lock);
	vm_kick_all(vm);
	vm_wake(vm); /* all may rest already */
	pthread_mutex_lock(&vm->park_lock);
	wait_for_job(vm, &job);
	if (job.state == JOB_WAITS) {
		vm->job = NULL;
		atomic_store(&vm->hold, vm_is_paused(vm));
		pthread_cond_broadcast(&vm->park_cond);
	}
	pthread_mutex_unlock(&vm->park_lock);
	if (job.state == JOB_DONE)
		return 0;
	if (vm_should_stop(vm))
		return err_fail(err, -ESHUTDOWN, "the VM is ending");
	return err_fail(err, -EBUSY,
		"a vCPU does not come to rest within %d s: it waits for the reader of the serial line's or the debug "
		"console's output; read that, then try again",
		REST_SECONDS);
}

/* ---- pause ----------------------------------------------------------------------------------- */

static void pause_job(struct vm *vm, void *opaque)
{
	(void)opaque;
	page_tier_forbid(vm->page_tier);
	clock_freeze(&vm->clock);
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		if (vm->cpu_ops->pause)
			vm->cpu_ops->pause(vm->cpus[i]);
	}
	atomic_store(&vm->paused, true);
}

static void resume_job(struct vm *vm, void *opaque)
{
	uint64_t stood_ns;

	(void)opaque;
	stood_ns = clock_thaw(&vm->clock);
	machine_shift_time(vm->machine, stood_ns);
	trace_shift_time(vm->trace, stood_ns);
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		if (vm->cpu_ops->resume)
			vm->cpu_ops->resume(vm->cpus[i]);
	}
	atomic_store(&vm->paused, false);
	page_tier_allow(vm->page_tier);
}

int vm_pause(struct vm *vm, struct accel_err *err)
{
	return vm_is_paused(vm) ? 0 : vm_at_rest(vm, pause_job, NULL, err);
}

int vm_resume(struct vm *vm, struct accel_err *err)
{
	return vm_is_paused(vm) ? vm_at_rest(vm, resume_job, NULL, err) : 0;
}

/* ---- the mode -------------------------------------------------------------------------------- */

static void accel_job(struct vm *vm, void *opaque)
{
	page_tier_forbid(vm->page_tier);
	bus_set_mode(&vm->bus, *(const enum accel_mode *)opaque);
	page_tier_allow(vm->page_tier);
}

int vm_set_accel(struct vm *vm, enum accel_mode mode, struct accel_err *err)
{
	return vm->bus.mode == mode ? 0 : vm_at_rest(vm, accel_job, &mode, err);
}
