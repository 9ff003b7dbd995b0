// SPDX-License-Identifier: BSD-2-Clause
/*
 * vm.c: builds a VM and takes it down, and the requests that any thread may make of it.
 *
 * Stop and reset are flags that every vCPU is kicked to look at; who acts on them is vm_run.c.
 * Building goes up in the order of struct vm; whatever fails, vm_destroy() undoes the part.
 */
#include "vmm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/machine.h"
#include "vmm/boot.h"
#include "vmm/chardev.h"
#include "vmm/control.h"
#include "vmm/doctor.h"
#include "vmm/kvm_tier.h"
#include "vmm/options.h"
#include "vmm/page_tier.h"
#include "vmm/stats.h"
#include "vmm/text.h"
#include "vmm/trace.h"
#include "vmm/vm_park.h"
#include "vmm/lock.h"

/* ---- requests ------------------------------------------------------------------------------- */

void vm_kick_all(struct vm *vm)
{
	for (unsigned i = 0; i < VM_MAX_CPUS; i++) {
		if (vm->cpus[i])
			vm->cpus[i]->ops->kick(vm->cpus[i]);
	}
}

void vm_wake(struct vm *vm)
{
	const uint64_t one = 1;

	if (write(vm->wake_fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: the counter is full, so it is awake */
}

/* Those that rest or are parked look again. */
static void wake_parked(struct vm *vm)
{
	pthread_mutex_lock(&vm->park_lock);
	pthread_cond_broadcast(&vm->park_cond);
	pthread_mutex_unlock(&vm->park_lock);
}

void vm_request_stop(struct vm *vm, int status, const char *reason)
{
	if (atomic_exchange(&vm->stop_claimed, true))
		return;
	snprintf(vm->stop_reason, sizeof(vm->stop_reason), "%s", reason);
	atomic_store(&vm->exit_status, status);
	atomic_store_explicit(&vm->stop, true, memory_order_release);
	chardev_abort(vm->serial);
	chardev_abort(vm->debugcon);
	vm_kick_all(vm);
	wake_parked(vm);
	vm_wake(vm);
	control_post(vm->control, VM_EVENT_SHUTDOWN);
}

void vm_guest_stops(struct vm *vm, int status, const char *reason)
{
	atomic_store(&vm->stopped_by_guest, true);
	vm_request_stop(vm, status, reason);
}

static void request_reset(struct vm *vm, bool by_guest)
{
	atomic_store(&vm->reset_by_guest, by_guest);
	atomic_store_explicit(&vm->reset, true, memory_order_release);
	vm_kick_all(vm);
	wake_parked(vm);
}

void vm_request_reset(struct vm *vm, const char *why)
{
	if (!vm->opt->quiet && !atomic_exchange(&vm->told_reset, true))
		fprintf(stderr, "hotreg: the guest resets the machine: %s\n", why);
	request_reset(vm, true);
}

void vm_request_host_reset(struct vm *vm)
{
	request_reset(vm, false);
}

static void set_intr(void *opaque, unsigned pin, bool level)
{
	struct vm *vm = opaque;

	unsigned to;

	(void)pin;
	if (atomic_exchange(&vm->intr, level) == level || !level || !vm->cpus[0])
		return;
	vm->cpus[0]->ops->kick(vm->cpus[0]);
	to = atomic_load(&vm->extint_to);
	if (to > 1)
		vm->cpus[to - 1]->ops->kick(vm->cpus[to - 1]);
}

void vm_route_extint(struct vm *vm, unsigned to)
{
	if (atomic_exchange(&vm->extint_to, to) != to && to && atomic_load(&vm->intr))
		vm->cpus[to - 1]->ops->kick(vm->cpus[to - 1]);
}

struct irq_line vm_intr_line(struct vm *vm)
{
	return (struct irq_line){.set = set_intr, .opaque = vm};
}

/* ---- building ------------------------------------------------------------------------------- */

/* What --accel comes to. */
static enum accel_mode pick_mode(const struct options *opt)
{
	switch (opt->accel) {
	case OPT_ACCEL_OFF:
		return ACCEL_OFF;
	case OPT_ACCEL_CHECK:
		return ACCEL_CHECK;
	default:
		return ACCEL_ON;
	}
}

/* Only asked where it matters, and before any thread is started. */
static bool model_shows_through(const struct vm *vm)
{
	static const struct cpuid_request none;

	return vm->cpu_ops == &cpu_kvm_ops && !vm->opt->quiet &&
	       memcmp(&vm->opt->cpu_model, &none, sizeof(none)) != 0 && !kvm_probe_cpuid();
}

/* `why` is left empty unless there was a choice. */
static void pick_cpu(struct vm *vm, char *why, size_t why_bytes)
{
	switch (vm->opt->cpu) {
	case OPT_CPU_KVM:
		vm->cpu_ops = &cpu_kvm_ops;
		break;
	case OPT_CPU_SOFT:
		vm->cpu_ops = &cpu_soft_ops;
		break;
	case OPT_CPU_SCRIPT:
		vm->cpu_ops = &cpu_script_ops;
		break;
	case OPT_CPU_AUTO:
		vm->cpu_ops = doctor_auto_cpu(vm->opt, why, why_bytes);
		break;
	}
}

/* What "auto" came to: only once the VM stands, since a refusal is one line. */
static void tell_choices(const struct vm *vm, const char *cpu_why, bool shows_through, const char *no_tier)
{
	unsigned inside, of;

	if (vm->opt->quiet)
		return;
	if (shows_through)
		fprintf(stderr, "hotreg: this host's KVM shows the guest features that --cpu-model has not (`hotreg "
				"doctor`)\n");
	if (cpu_why[0])
		fprintf(stderr, "hotreg: cpu: %s\n", cpu_why);
	if (vm->tier) {
		kvm_tier_summary(vm->tier, &inside, &of);
		fprintf(stderr,
			"hotreg: accel: kernel tier, programs of %u ranges of %u run inside KVM, the others in the "
			"vCPU threads\n",
			inside, of);
	} else if (vm->opt->accel == OPT_ACCEL_AUTO) {
		fprintf(stderr,
			"hotreg: accel: vmm tier, programs run in the vCPU threads (not in the kernel: %.200s)\n",
			no_tier);
	}
}

/*
 * The kernel tier where it is asked for or to be had; no_tier says why there is none. It takes the place of the page tier, whose
 * pages stay true only while every answer to their registers is hotreg's.
 */
static int start_tier(struct vm *vm, struct accel_err *no_tier, struct accel_err *err)
{
	const bool must = vm->opt->accel == OPT_ACCEL_ON_KERNEL;
	int rc;

	if (!must && vm->opt->accel != OPT_ACCEL_AUTO && vm->opt->accel != OPT_ACCEL_ON)
		return 0;
	if (!vm->cpu_ops->start_tier)
		rc = err_fail(no_tier, -ENOTSUP, "the %s CPU has no kernel side", vm->cpu_ops->name);
	else if (vm->opt->page == OPT_PAGE_ON)
		rc = err_fail(no_tier, -ENOTSUP, "--page on shows registers that programs there would answer");
	else
		rc = vm->cpu_ops->start_tier(vm, no_tier);
	if (rc && must)
		return err_fail(err, rc, "--accel on=kernel: %.1000s; see `make kernel-tier`, or use --accel on=vmm",
			no_tier->text);
	if (!rc) {
		page_tier_free(vm->page_tier);
		vm->page_tier = NULL;
	}
	return 0;
}

static int open_outputs(struct vm *vm, struct accel_err *err)
{
	const struct options *opt = vm->opt;
	bool input = opt->cpu != OPT_CPU_SCRIPT; /* a script takes nothing from the keyboard */
	int rc = chardev_open(opt->serial, input, &vm->serial, err);

	if (!rc)
		rc = chardev_open(opt->debugcon, false, &vm->debugcon, err);
	if (!rc && opt->trace)
		rc = trace_open(opt->trace, vm->clock.start_ns, &vm->trace, err);
	return rc;
}

static int create_cpus(struct vm *vm, struct accel_err *err)
{
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		int rc = vm->cpu_ops->create(vm, i, &vm->cpus[i], err);

		if (rc)
			return rc;
	}
	return 0;
}

static int attach_stats(struct vm *vm, struct accel_err *err)
{
	if (!vm->opt->stats && !vm->opt->qmp)
		return 0;
	vm->stats = stats_new(vm_vcpus(vm));
	if (vm->stats && stats_attach(vm->stats, &vm->bus) == 0) {
		stats_switch(vm->stats, &vm->bus, vm->opt->stats);
		return 0;
	}
	err_set(err, "no memory for --stats");
	return -ENOMEM;
}

/* Everything that stands on the clock, the memory and the bus. vm_destroy() undoes a part of it as well. */
static int build_machine(struct vm *vm, struct accel_err *err)
{
	struct accel_err no_tier = {""};
	char cpu_why[256] = "";
	bool shows_through;
	int rc = 0;

	if (vm->opt->qmp)
		rc = control_new(vm->opt->qmp, &vm->control, err);
	if (!rc)
		rc = open_outputs(vm, err);
	if (rc)
		return rc;
	pick_cpu(vm, cpu_why, sizeof(cpu_why));
	shows_through = model_shows_through(vm);
	rc = vm->cpu_ops->setup(vm, err);
	if (rc)
		return rc;
	rc = machine_create(vm, &vm->machine, err);
	if (!rc && vm->opt->pin_to)
		return kvm_tier_pin(vm, vm->opt->pin_to, &vm->pinned, err);
	if (!rc)
		rc = create_cpus(vm, err);
	if (!rc)
		rc = attach_stats(vm, err);
	bus_set_watchers(&vm->bus, vm->trace, vm->bus.stats);
	if (!rc)
		rc = page_tier_new(vm, &vm->page_tier, err);
	if (!rc && vm->opt->cpu != OPT_CPU_SCRIPT)
		rc = boot_load(vm, err);
	if (!rc)
		rc = start_tier(vm, &no_tier, err);
	if (!rc)
		tell_choices(vm, cpu_why, shows_through, no_tier.text);
	return rc;
}

static void before_timer(void *opaque)
{
	struct vm *vm = opaque;

	vm_drain(vm);
	page_tier_before_timer(vm->page_tier);
}

int vm_create(struct vm *vm, const struct options *opt, struct accel_err *err)
{
	int rc;

	memset(vm, 0, sizeof(*vm));
	vm->opt = opt;
	vm->cpu_count = opt->cpus;
	vm->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (vm->wake_fd < 0) {
		rc = -errno;
		err_set(err, "eventfd: %s", strerror(errno));
		return rc;
	}
	pthread_mutex_init(&vm->park_lock, NULL);
	lock_declare(&vm->park_lock, "park", LOCK_LEAF);
	pthread_cond_init(&vm->park_cond, NULL);
	rc = clock_init(&vm->clock, opt->cpu == OPT_CPU_SCRIPT);
	if (rc) {
		err_set(err, "no timer for the clock: %s", strerror(-rc));
		goto fail_clock;
	}
	rc = mem_init(&vm->mem, opt->mem_bytes);
	if (rc) {
		err_set(err, "no room for %" PRIu64 " MiB of guest memory: %s; try a smaller --mem",
			opt->mem_bytes >> 20, strerror(-rc));
		goto fail_mem;
	}
	rc = bus_init(&vm->bus, &vm->clock, pick_mode(opt));
	if (rc) {
		err_set(err, "no memory for the bus");
		goto fail_bus;
	}
	rc = deferred_init(&vm->deferred, &vm->bus, vm->cpu_count);
	if (rc) {
		err_set(err, "no memory for the queue of deferred writes");
		goto fail_deferred;
	}
	vm->clock.before_opaque = vm;
	vm->clock.before_fire = before_timer;
	rc = build_machine(vm, err);
	if (rc)
		vm_destroy(vm);
	return rc;
fail_deferred:
	bus_destroy(&vm->bus);
fail_bus:
	mem_destroy(&vm->mem);
fail_mem:
	clock_destroy(&vm->clock);
fail_clock:
	pthread_cond_destroy(&vm->park_cond);
	pthread_mutex_destroy(&vm->park_lock);
	close(vm->wake_fd);
	return rc;
}

void vm_destroy(struct vm *vm)
{
	control_free(vm->control);
	page_tier_free(vm->page_tier);
	vm->page_tier = NULL;
	for (unsigned i = 0; i < VM_MAX_CPUS; i++) {
		if (vm->cpus[i])
			vm->cpus[i]->ops->destroy(vm->cpus[i]);
		vm->cpus[i] = NULL;
	}
	machine_destroy(vm->machine);
	if (vm->backend)
		vm->cpu_ops->teardown(vm);
	trace_close(vm->trace, NULL);
	chardev_destroy(vm->serial);
	chardev_destroy(vm->debugcon);
	deferred_destroy(&vm->deferred);
	bus_destroy(&vm->bus);
	stats_free(vm->stats);
	mem_destroy(&vm->mem);
	clock_destroy(&vm->clock);
	pthread_cond_destroy(&vm->park_cond);
	pthread_mutex_destroy(&vm->park_lock);
	close(vm->wake_fd);
}
