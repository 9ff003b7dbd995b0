// SPDX-License-Identifier: BSD-2-Clause
/*
 * vm_stats.c: puts the head on a statistics report: which CPU, how long, how it stands; and the report at
 * the end of a run.
 */
#include "vmm/vm_stats.h"

#include <errno.h>

#include "vmm/options.h"
#include "vmm/page_tier.h"
#include "vmm/stats.h"
#include "vmm/text.h"

static const char *mode_name(enum accel_mode mode)
{
	return mode == ACCEL_OFF ? "off" : mode == ACCEL_ON ? "on" : "check";
}

static struct stats_run describe(const struct vm *vm, uint64_t now_ns)
{
	uint64_t start = atomic_load(&vm->first_insn_ns);
	struct stats_run run = {
		.cpu = vm->cpu_ops->name,
		.accel = mode_name(vm->bus.mode),
		.tier = vm->tier,
		.cpus = vm->cpu_count,
		.startup_ns = start ? start - vm->opt->process_start_ns : 0,
		.run_ns = start ? now_ns - start : 0,
		.divergences = bus_check_divergences(&vm->bus),
		.status = vm_is_paused(vm) ? "paused" : "running",
		.now_ns = now_ns,
	};

	for (unsigned i = 0; i < vm->cpu_count; i++)
		run.exits += cpu_exits(vm->cpus[i]);
	return run;
}

/* The report, with what the page tier did, where there is one. NULL when out of memory. */
static json_t *make_report(const struct vm *vm, const struct stats_run *run)
{
	json_t *report = stats_json(vm->stats, &vm->bus, run), *pages = page_tier_json(vm->page_tier);

	if (report && pages)
		json_object_set_new(report, "page_tier", pages);
	return report;
}

json_t *vm_stats_json(struct vm *vm)
{
	struct stats_run run;

	vm_drain(vm);
	run = describe(vm, accel_clock_now(&(struct accel_clock){.is_virtual = false}));

	return make_report(vm, &run);
}

int vm_stats_report(const struct vm *vm, int status, uint64_t end_ns, struct accel_err *err)
{
	struct stats_run run = describe(vm, end_ns);
	json_t *report;
	int rc = 0;

	run.has_ended = true;
	run.exit_status = status;
	run.reason = vm->stop_reason;
	run.status = "ended";
	report = make_report(vm, &run);
	if (!report)
		return err_fail(err, -ENOMEM, "no memory for the statistics");
	if (vm->opt->stats_file)
		rc = stats_write_json(report, vm->opt->stats_file, err);
	else
		stats_print(report, stderr);
	json_decref(report);
	return rc;
}
