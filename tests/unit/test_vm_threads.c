// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_vm_threads.c: two vCPU threads, resets and ends, with a CPU backend of the test's own
 * in the script backend's place. Run under ThreadSanitizer too.
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
	while (rc == 0 && !vm_should_stop(vm) && !vm_reset_pending(vm))
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
	/* both came back after each; vCPU 1 may have been stopped before its last entry */
	assert_int_equal(plan.entered[0], RESETS + 1);
	assert_in_range(plan.entered[1], RESETS, RESETS + 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_resets, clear),
		cmocka_unit_test_setup(test_both_ask, clear),
		cmocka_unit_test_setup(test_failure, clear),
		cmocka_unit_test_setup(test_timeout, clear),
		cmocka_unit_test_setup(test_second_cpu_cannot_be_made, clear),
	};

	return cmocka_run_group_tests_name("vm_threads", tests, NULL, NULL);
}
