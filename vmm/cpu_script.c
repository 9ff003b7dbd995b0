// SPDX-License-Identifier: BSD-2-Clause
/*
 * cpu_script.c: the CPU backend that runs no guest code: it replays the accesses of a script in
 * virtual time, so that the whole machine can be tested without a CPU.
 *
 * One vCPU. For each line time moves to TIME_NS (firing timers on the way), then the access is
 * made; a read is compared with the script's value. The VM ends after the last line.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/trace.h"
#include "vmm/vm.h"

#define STEP_NS 10000000ull /* virtual time full of timers between two looks at stop */
#define MISMATCHES_SHOWN 10

struct script_cpu {
	struct cpu cpu;
	struct trace_script script;
	size_t next; /* line to replay */
	uint64_t mismatches;
	struct cpu_regs regs; /* nobody's, but get and set agree */
};

/* A local APIC that takes everything, and gives it to nobody. */
static bool script_take(void *opaque, const struct irq_msi *msg)
{
	(void)opaque;
	(void)msg;
	return true;
}

static int script_setup(struct vm *vm, struct accel_err *err)
{
	if (vm->cpu_count != 1) {
		err_set(err, "--cpu script has one vCPU");
		return -EINVAL;
	}
	/* the whole machine, as with a KVM that has all it may have */
	vm->has_lapic = true;
	vm->apic = (struct irq_apic){.send = script_take};
	return 0;
}

static void script_teardown(struct vm *vm)
{
	(void)vm;
}

static void script_destroy(struct cpu *cpu)
{
	struct script_cpu *sc = (struct script_cpu *)cpu;

	trace_script_free(&sc->script);
	free(sc);
}

static int script_create(struct vm *vm, unsigned index, struct cpu **out, struct accel_err *err)
{
	struct script_cpu *sc = calloc(1, sizeof(*sc));
	int rc;

	if (!sc) {
		err_set(err, "no memory for the script");
		return -ENOMEM;
	}
	sc->cpu = (struct cpu){.ops = &cpu_script_ops, .vm = vm, .index = index};
	rc = trace_script_load(vm->opt->script, &sc->script, err);
	if (rc) {
		free(sc);
		return rc;
	}
	*out = &sc->cpu;
	return 0;
}

/*
 * Moves time. Years without a timer are one step; where timers are due, there is a look at requests every
 * STEP_NS, so that a script of years with a fast timer can still be ended.
 */
static void advance(struct vm *vm, uint64_t to_ns)
{
	uint64_t now, next;

	while ((now = clock_now(&vm->clock)) < to_ns && !vm_must_leave(vm)) {
		next = clock_next(&vm->clock);
		if (next < now + STEP_NS)
			next = now + STEP_NS;
		clock_advance(&vm->clock, next < to_ns ? next : to_ns);
	}
}

static void compare(struct script_cpu *sc, const struct trace_line *line, uint64_t got)
{
	const struct options *opt = sc->cpu.vm->opt;

	if (line->is_write || !line->has_value || opt->script_nocheck || got == line->value)
		return;
	if (sc->mismatches++ < MISMATCHES_SHOWN)
		fprintf(stderr,
			"hotreg: %s:%u: %s 0x%" PRIx64 ", %u byte(s): read 0x%" PRIx64 ", the script says 0x%" PRIx64
			"\n",
			opt->script, line->line, line->bus == IO_PIO ? "pio" : "mmio", line->addr, line->size, got,
			line->value);
}

/* False: not yet, there is something else to do first. */
static bool replay(struct script_cpu *sc, const struct trace_line *line)
{
	struct io_req req = {
		.io = {.value = line->is_write ? line->value : 0, .size = line->size, .is_write = line->is_write},
		.addr = line->addr,
		.bus = line->bus,
		.count = 1,
	};

	advance(sc->cpu.vm, line->time_ns);
	if (vm_must_leave(sc->cpu.vm))
		return false;
	cpu_count_exit(&sc->cpu);
	bus_io(&sc->cpu.vm->bus, &req);
	compare(sc, line, req.io.result);
	return true;
}

static int script_run(struct cpu *cpu, struct accel_err *err)
{
	struct script_cpu *sc = (struct script_cpu *)cpu;
	struct vm *vm = cpu->vm;
	char reason[96];

	(void)err;
	while (sc->next < sc->script.count && replay(sc, &sc->script.lines[sc->next]))
		sc->next++;
	if (vm_must_leave(vm))
		return 0;
	if (sc->mismatches) {
		snprintf(reason, sizeof(reason), "%" PRIu64 " reads gave another value than the script says",
			sc->mismatches);
		vm_request_stop(vm, EXIT_USAGE, reason);
	} else {
		vm_request_stop(vm, EXIT_GUEST_SHUTDOWN, "the script ended");
	}
	return 0;
}

static void script_kick(struct cpu *cpu)
{
	(void)cpu; /* it never sleeps, and looks at stop and reset before each access */
}

static int script_get_regs(struct cpu *cpu, struct cpu_regs *regs)
{
	*regs = ((struct script_cpu *)cpu)->regs;
	return 0;
}

static int script_set_regs(struct cpu *cpu, const struct cpu_regs *regs)
{
	((struct script_cpu *)cpu)->regs = *regs;
	return 0;
}

const struct cpu_ops cpu_script_ops = {
	.name = "script",
	.setup = script_setup,
	.teardown = script_teardown,
	.create = script_create,
	.destroy = script_destroy,
	.run = script_run,
	.kick = script_kick,
	.get_regs = script_get_regs,
	.set_regs = script_set_regs,
};
