// SPDX-License-Identifier: BSD-2-Clause
/*
 * qmp_live.c: the control commands about acceleration: the mode, and the programs of the ranges, all
 * while the guest runs. Each returns 0, or -errno with the client's text in call->err.
 */
#include <errno.h>
#include <string.h>

#include "devices/device.h"
#include "devices/machine.h"
#include "vmm/page_tier.h"
#include "vmm/qmp.h"
#include "vmm/kvm_tier.h"
#include "vmm/text.h"
#include "vmm/stats.h"
#include "vmm/vm.h"
#include "vmm/vm_stats.h"

/* ---- arguments ------------------------------------------------------------------------------- */

/* An optional string; *out is NULL without it. */
static int take_string(struct qmp_call *call, const char *name, const char **out)
{
	json_t *value = json_object_get(call->args, name);

	*out = json_string_value(value);
	if (value && (!*out || !**out))
		return err_fail(&call->err, -EINVAL, "Parameter '%s' must be a string that is not empty", name);
	return 0;
}

static int take_bool(struct qmp_call *call, const char *name, bool *out)
{
	json_t *value = json_object_get(call->args, name);

	*out = json_is_true(value);
	if (value && !json_is_boolean(value))
		return err_fail(&call->err, -EINVAL, "Parameter '%s' must be true or false", name);
	return 0;
}

static int take_select(struct qmp_call *call, struct machine_select *select)
{
	int rc = take_string(call, "device", &select->device);

	if (!rc)
		rc = take_string(call, "range", &select->range);
	if (!rc && !select->device == !select->range)
		rc = err_fail(&call->err, -EINVAL,
			"one of 'device' and 'range' is wanted; x-hotreg-prog-list has their names");
	return rc;
}

/* ---- the mode -------------------------------------------------------------------------------- */

static const char *const mode_names[] = {[ACCEL_OFF] = "off", [ACCEL_ON] = "on", [ACCEL_CHECK] = "check"};

static int accel(struct qmp_call *call)
{
	const char *before = mode_names[call->vm->bus.mode], *name;
	enum accel_mode mode = ACCEL_OFF;
	int rc = take_string(call, "mode", &name);

	if (!rc && name && strcmp(name, "on=kernel") == 0)
		rc = err_fail(&call->err, -ENOTSUP,
			"on=kernel: whether programs run inside KVM is settled at the start; use on, which puts them "
			"back");
	while (!rc && name && mode <= ACCEL_CHECK && strcmp(name, mode_names[mode]) != 0)
		mode++;
	if (!rc && mode > ACCEL_CHECK)
		rc = err_fail(&call->err, -EINVAL, "mode '%.40s' is none of off, on, check", name);
	if (!rc && name)
		rc = vm_set_accel(call->vm, mode, &call->err);
	if (!rc)
		call->ret = json_pack("{s:s, s:s, s:I}", "mode", mode_names[call->vm->bus.mode], "before", before,
			"divergences", (json_int_t)bus_check_divergences(&call->vm->bus));
	return rc;
}

/* ---- statistics ------------------------------------------------------------------------------ */

struct count_job {
	bool on;
};

static void count(struct vm *vm, void *opaque)
{
	stats_switch(vm->stats, &vm->bus, ((const struct count_job *)opaque)->on);
}

/* The report; with "count" counting is switched on or off before. */
static int stats(struct qmp_call *call)
{
	struct vm *vm = call->vm;
	struct count_job job;
	int rc = take_bool(call, "count", &job.on);

	if (!rc && !vm->stats)
		rc = err_fail(&call->err, -ENOTSUP, "there are no counters");
	if (!rc && json_object_get(call->args, "count") && job.on != (vm->bus.stats != NULL))
		rc = vm_at_rest(vm, count, &job, &call->err);
	if (!rc)
		call->ret = vm_stats_json(vm);
	return rc;
}

/* ---- programs -------------------------------------------------------------------------------- */

/* Counters are those of both tiers. */
static json_t *prog_entry(const struct vm *vm, unsigned index)
{
	struct machine_prog_info info;
	struct accel_counters counters;
	struct tier_state tier;

	machine_prog_info(vm->machine, index, &info);
	accel_slot_counters(info.range->slot, &counters);
	kvm_tier_look(vm->tier, info.range, &tier);
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:b, s:b, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I}", "range",
		info.range->name, "device", info.range->dev->name, "bus", info.range->bus == IO_PIO ? "pio" : "mmio",
		"object", qmp_text(info.object), "program", info.prog, "replaced", info.is_replaced, "attached",
		info.is_attached, "tier", tier.is_inside ? "kernel" : "vmm", "not-kernel", tier.why_not, "allows",
		info.allow == ACCEL_PURE ? "pure" : "stateful", "effect",
		info.judged.effect == ACCEL_STATEFUL ? "stateful" : "pure", "reads-time", info.judged.reads_time,
		"instructions", (json_int_t)info.judged.insns, "answered",
		(json_int_t)(counters.answered + tier.counters.answered), "punted", (json_int_t)counters.punted);
}

static int prog_list(struct qmp_call *call)
{
	call->ret = json_array();
	for (unsigned i = 0; i < machine_prog_count(call->vm->machine); i++)
		json_array_append_new(call->ret, prog_entry(call->vm, i));
	return 0;
}

/* No page shows what a program answers while it changes. */
static void begin_change(struct qmp_call *call)
{
	page_tier_forbid(call->vm->page_tier);
}

static int end_change(struct qmp_call *call, int rc)
{
	page_tier_allow(call->vm->page_tier);
	return rc;
}

/* A name that is not there is an error of its own class. */
static int classify(struct qmp_call *call, const struct machine_select *select, int rc)
{
	struct machine_prog_info info;

	if (rc != -ENOENT)
		return rc;
	for (unsigned i = 0; i < machine_prog_count(call->vm->machine); i++) {
		machine_prog_info(call->vm->machine, i, &info);
		if (strcmp(select->range ? info.range->name : info.range->dev->name,
			    select->range ? select->range : select->device) == 0)
			return rc; /* it is there: a file or a program is not */
	}
	call->class = "DeviceNotFound";
	return rc;
}

static int prog_replace(struct qmp_call *call)
{
	struct machine_select select;
	const char *file, *prog;
	int rc = take_select(call, &select);

	if (!rc)
		rc = take_string(call, "file", &file);
	if (!rc)
		rc = take_string(call, "program", &prog);
	if (!rc && !file)
		rc = err_fail(&call->err, -EINVAL, "Parameter 'file' is missing: the path of an object file");
	if (rc)
		return rc;
	begin_change(call);
	rc = end_change(call, machine_prog_replace(call->vm->machine, &select, file, prog, &call->err));
	return classify(call, &select, rc);
}

static int prog_detach(struct qmp_call *call)
{
	struct machine_select select;
	int rc = take_select(call, &select);

	if (rc)
		return rc;
	begin_change(call);
	rc = end_change(call, machine_prog_detach(call->vm->machine, &select, &call->err));
	return classify(call, &select, rc);
}

static int prog_attach(struct qmp_call *call)
{
	struct machine_select select;
	bool own;
	int rc = take_select(call, &select);

	if (!rc)
		rc = take_bool(call, "own", &own);
	if (rc)
		return rc;
	begin_change(call);
	rc = end_change(call, machine_prog_attach(call->vm->machine, &select, own, &call->err));
	return classify(call, &select, rc);
}

const struct qmp_command qmp_live_commands[] = {
	{"x-hotreg-accel", accel, "mode"},
	{"x-hotreg-stats", stats, "count"},
	{"x-hotreg-prog-list", prog_list, ""},
	{"x-hotreg-prog-replace", prog_replace, "device range file program"},
	{"x-hotreg-prog-detach", prog_detach, "device range"},
	{"x-hotreg-prog-attach", prog_attach, "device range own"},
	{NULL, NULL, NULL},
};
