// SPDX-License-Identifier: BSD-2-Clause
/*
 * qmp_cmd.c: the control commands that QEMU's monitor has too: the state of the VM, stop and cont,
 * reset, power button, quit. Each returns 0, or -errno with the client's text in call->err.
 */
#include "devices/machine.h"
#include "vmm/options.h"
#include "vmm/qmp.h"
#include "vmm/text.h"
#include "vmm/vm.h"

static int query_status(struct qmp_call *call)
{
	const struct vm *vm = call->vm;
	bool ends = vm_should_stop(vm), paused = vm_is_paused(vm);

	call->ret = json_pack("{s:s, s:b}", "status",
		ends	 ? "shutdown"
		: paused ? "paused"
			 : "running",
		"running", !ends && !paused);
	return 0;
}

static int query_version(struct qmp_call *call)
{
	call->ret = json_pack("{s:{s:i, s:i, s:i}, s:s}", "hotreg", "major", HOTREG_VERSION_MAJOR, "minor",
		HOTREG_VERSION_MINOR, "micro", HOTREG_VERSION_MICRO, "package", "hotreg " HOTREG_VERSION);
	return 0;
}

static int stop(struct qmp_call *call)
{
	bool was_paused = vm_is_paused(call->vm);
	int rc = vm_pause(call->vm, &call->err);

	if (!rc && !was_paused)
		call->hub->event(call->hub->opaque, "STOP", NULL);
	return rc;
}

static int cont(struct qmp_call *call)
{
	bool was_paused = vm_is_paused(call->vm);
	int rc = vm_resume(call->vm, &call->err);

	if (!rc && was_paused)
		call->hub->event(call->hub->opaque, "RESUME", NULL);
	return rc;
}

/* Done soon; RESET comes when it is. */
static int system_reset(struct qmp_call *call)
{
	vm_request_host_reset(call->vm);
	return 0;
}

/* A request to the guest, which may well ignore it. */
static int system_powerdown(struct qmp_call *call)
{
	vm_drain(call->vm);
	machine_power_button(call->vm->machine);
	call->hub->event(call->hub->opaque, "POWERDOWN", NULL);
	return 0;
}

static int quit(struct qmp_call *call)
{
	vm_request_stop(call->vm, EXIT_GUEST_SHUTDOWN, VM_ENDED_BY_QUIT);
	return 0;
}

const struct qmp_command qmp_basic_commands[] = {
	{"query-status", query_status, ""},
	{"query-version", query_version, ""},
	{"stop", stop, ""},
	{"cont", cont, ""},
	{"system_reset", system_reset, ""},
	{"system_powerdown", system_powerdown, ""},
	{"quit", quit, ""},
	{NULL, NULL, NULL},
};
