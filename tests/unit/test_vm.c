// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_vm.c: whole machines without a CPU: scripts run with acceleration off, on and checked,
 * traces that replay, resets, ends and their exit statuses, the statistics.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/vm.h"

#define DISK_BYTES (64 * 512)

static char dir[] = "/tmp/hotreg-vm.XXXXXX";
static char script_path[64], trace_path[64], stats_path[64], disk_path[64], serial_path[64];

static int setup(void **state)
{
	FILE *disk;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(script_path, sizeof(script_path), "%s/script", dir);
	snprintf(trace_path, sizeof(trace_path), "%s/trace", dir);
	snprintf(stats_path, sizeof(stats_path), "%s/stats", dir);
	snprintf(disk_path, sizeof(disk_path), "%s/disk", dir);
	snprintf(serial_path, sizeof(serial_path), "%s/serial", dir);
	disk = fopen(disk_path, "w");
	assert_non_null(disk);
	assert_int_equal(ftruncate(fileno(disk), DISK_BYTES), 0);
	fclose(disk);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(script_path);
	unlink(trace_path);
	unlink(stats_path);
	unlink(disk_path);
	unlink(serial_path);
	return rmdir(dir);
}

static void put_script(const char *text)
{
	FILE *file = fopen(script_path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static struct options base_options(enum opt_accel accel)
{
	return (struct options){
		.mem_bytes = 1 << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SCRIPT,
		.script = script_path,
		.accel = accel,
		.serial = "none",
		.disk = disk_path,
		.quiet = true,
	};
}

/* Builds, runs and destroys; the exit status. */
static int run(const struct options *opt)
{
	struct vm *vm = malloc(sizeof(*vm));
	struct accel_err err = {.text = ""};
	int status;

	assert_non_null(vm);
	if (vm_create(vm, opt, &err) != 0)
		fail_msg("vm_create: %s", err.text);
	status = vm_run(vm, &err);
	vm_destroy(vm);
	free(vm);
	return status;
}

static char *read_all(const char *path)
{
	void *text;
	size_t length;

	assert_int_equal(text_read_file(path, 1 << 20, &text, &length), 0);
	return text;
}

/*
 * [8254] counter 0 in mode 2 with 0x1000, 100 us later: 119 clocks of 1193182 Hz are over
 * (119.3182), so the count is 0x1000 - 119 = 0xf89, or one more while the first clock loads it.
 * [82371AB] the PM timer at 1 ms: 3579545 / 1000 = 3579 ticks = 0xdfb, 24 bits, from power-on.
 */
static const char timers_script[] = "# PIT counter 0, mode 2, low then high byte\n"
				    "0 w pio 0x43 1 0x34\n"
				    "0 w pio 0x40 1 0x00\n"
				    "0 w pio 0x40 1 0x10\n"
				    "100000 w pio 0x43 1 0x00\n"
				    "100000 r pio 0x40 1 ?\n"
				    "100000 r pio 0x40 1 0x0f\n"
				    "1000000 r pio 0x1f7 1 ?\n"
				    "1000000 r mmio 0xfed00000 4 ?\n"
				    "1000000 r mmio 0xfed000f0 8 ?\n"
				    "1000000 r pio 0x608 4 0xdfb\n"
				    "1000000 r pio 0x2345 2 0xffff\n";

static void test_three_modes_agree(void **state)
{
	static const enum opt_accel modes[] = {OPT_ACCEL_OFF, OPT_ACCEL_ON, OPT_ACCEL_CHECK};
	char *first = NULL;

	(void)state;
	put_script(timers_script);
	for (unsigned i = 0; i < 3; i++) {
		struct options opt = base_options(modes[i]);
		char *text;

		opt.trace = trace_path;
		assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
		text = read_all(trace_path);
		if (!first)
			first = text;
		else
			assert_string_equal(text, first);
		if (text != first)
			free(text);
	}
	/* the trace is a script that holds, in every mode, with every value now checked */
	put_script(first);
	free(first);
	for (unsigned i = 0; i < 3; i++) {
		struct options opt = base_options(modes[i]);

		assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
	}
}

static void test_mismatch(void **state)
{
	struct options opt = base_options(OPT_ACCEL_OFF);

	(void)state;
	put_script("0 r pio 0x2345 1 0xff\n0 r pio 0x2345 1 0x12\n");
	assert_int_equal(run(&opt), EXIT_USAGE);
	opt.script_nocheck = true;
	assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
}

static void test_bad_script(void **state)
{
	struct options opt = base_options(OPT_ACCEL_OFF);
	struct vm *vm = malloc(sizeof(*vm));
	struct accel_err err = {.text = ""};

	(void)state;
	assert_non_null(vm);
	put_script("0 r pio 0x40 1 0xff\nnonsense\n");
	assert_true(vm_create(vm, &opt, &err) < 0);
	assert_non_null(strstr(err.text, "script:2: an access has six fields"));
	free(vm);
}

static void test_refusals(void **state)
{
	struct options opt = base_options(OPT_ACCEL_ON_KERNEL);
	struct vm *vm = malloc(sizeof(*vm));
	struct accel_err err = {.text = ""};

	(void)state;
	assert_non_null(vm);
	put_script("");
	assert_true(vm_create(vm, &opt, &err) < 0);
	assert_non_null(strstr(err.text, "use --accel on=vmm"));
	opt = base_options(OPT_ACCEL_ON);
	opt.trace = "/nonexistent/trace";
	assert_true(vm_create(vm, &opt, &err) < 0);
	assert_non_null(strstr(err.text, "/nonexistent/trace"));
	opt = base_options(OPT_ACCEL_ON);
	opt.serial = "/nonexistent/serial";
	assert_true(vm_create(vm, &opt, &err) < 0);
	assert_non_null(strstr(err.text, "/nonexistent/serial"));
	opt = base_options(OPT_ACCEL_ON);
	opt.mem_bytes = 1ull << 48; /* what options_parse() would not let through, but no host has it either */
	assert_true(vm_create(vm, &opt, &err) < 0);
	assert_non_null(strstr(err.text, "try a smaller --mem"));
	free(vm);
}

/* The debug-exit port ends the script where it stands, with the guest's status. */
static void test_debug_exit(void **state)
{
	struct options opt = base_options(OPT_ACCEL_OFF);

	(void)state;
	put_script("0 w pio 0xf4 1 0x10\n0 r pio 0x2345 1 0x00\n");
	assert_int_equal(run(&opt), 0x10 << 1 | 1);
	put_script("0 w pio 0xf4 4 0x3\n");
	assert_int_equal(run(&opt), 7);
}

/* [82371AB] RC: a hard reset by 0xcf9. The script goes on with the machine at power-on. */
static void test_reset(void **state)
{
	struct options opt = base_options(OPT_ACCEL_CHECK);

	(void)state;
	put_script("0 w pio 0x1f2 1 0x55\n"
		   "0 r pio 0x1f2 1 0x55\n"
		   "10 w pio 0xcf9 1 0x02\n"
		   "20 w pio 0xcf9 1 0x06\n"
		   "30 r pio 0x1f2 1 0x01\n" /* [ATA] signature after reset */
		   "40 w pio 0x1f2 1 0x66\n"
		   "50 w pio 0xcf9 1 0x02\n"
		   "50 w pio 0xcf9 1 0x06\n"
		   "60 r pio 0x1f2 1 0x01\n");
	assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
}

static void test_serial_file(void **state)
{
	struct options opt = base_options(OPT_ACCEL_OFF);
	char *text;

	(void)state;
	opt.serial = serial_path;
	put_script("0 w pio 0x3f8 1 0x68\n1000000 w pio 0x3f8 1 0x69\n2000000 r pio 0x3fd 1 ?\n");
	assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
	text = read_all(serial_path);
	assert_string_equal(text, "hi");
	free(text);
}

/* A script with years of virtual time and a fast timer does not hold off --timeout. */
static void test_timeout(void **state)
{
	struct options opt = base_options(OPT_ACCEL_OFF);

	(void)state;
	opt.timeout_s = 1;
	put_script("0 w pio 0x43 1 0x34\n0 w pio 0x40 1 0x02\n0 w pio 0x40 1 0x00\n" /* IRQ 0 each 1.7 us */
		   "9000000000000000000 r pio 0x2345 1 0xff\n");
	assert_int_equal(run(&opt), EXIT_TIMEOUT);
}

static void *send_sigterm(void *opaque)
{
	struct timespec soon = {.tv_nsec = 300000000};

	(void)opaque;
	nanosleep(&soon, NULL);
	kill(getpid(), SIGTERM);
	return NULL;
}

static void test_sigterm(void **state)
{
	struct options opt = base_options(OPT_ACCEL_OFF);
	sigset_t term, old;
	pthread_t thread;

	(void)state;
	put_script("0 w pio 0x43 1 0x34\n0 w pio 0x40 1 0x02\n0 w pio 0x40 1 0x00\n"
		   "9000000000000000000 r pio 0x2345 1 0xff\n");
	/* blocked in every thread, as in hotreg itself once it runs; the sender inherits it */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, &old);
	assert_int_equal(pthread_create(&thread, NULL, send_sigterm, NULL), 0);
	assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
	pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void want(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no %s in:\n%s", part, text);
}

/* The report in one line. */
static char *read_report(void)
{
	json_t *json = json_load_file(stats_path, JSON_REJECT_DUPLICATES, NULL);
	char *text = json ? json_dumps(json, 0) : NULL;

	assert_non_null(text);
	json_decref(json);
	return text;
}

static void test_stats(void **state)
{
	struct options opt = base_options(OPT_ACCEL_ON);
	char *text;

	(void)state;
	put_script(
		"0 r pio 0x608 4 ?\n1 r pio 0x608 4 ?\n2 r pio 0x608 4 ?\n3 w pio 0x2345 1 0x0\n4 w pio 0x40 1 0x1\n");
	opt.stats = true;
	opt.stats_file = stats_path;
	assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
	text = read_report();
	want(text, "\"schema\": \"hotreg-stats-1\"");
	want(text, "\"cpu\": \"script\"");
	want(text, "\"accel\": \"on\"");
	want(text, "\"exits\": 5,");
	want(text, "\"accesses\": 5,");
	want(text, "\"check\": {\"divergences\": 0}");
	want(text, "\"end\": \"the script ended\"");
	want(text, "\"read\": {\"accesses\": 3, \"answered\": 3, \"punted\": 0, \"unclaimed\": 0, \"program\": "
		   "{\"p50_ns\": ");
	want(text, "\"write\": {\"accesses\": 1, \"answered\": 0, \"punted\": 0, \"unclaimed\": 1, \"program\": null");
	want(text, "\"write\": {\"accesses\": 1, \"answered\": 0, \"punted\": 1, \"unclaimed\": 0, \"program\": null, "
		   "\"model\": {");
	want(text, "\"punt_reasons\": {\"1\": 1}"); /* a count: the model's */
	free(text);
	opt.accel = OPT_ACCEL_OFF;
	assert_int_equal(run(&opt), EXIT_GUEST_SHUTDOWN);
	text = read_report();
	want(text, "\"accel\": \"off\"");
	want(text, "\"read\": {\"accesses\": 3, \"answered\": 0, \"punted\": 0, \"unclaimed\": 0, \"program\": null");
	free(text);
	if (access("/dev/full", W_OK) == 0) {
		opt.stats_file = "/dev/full";
		assert_int_equal(run(&opt), EXIT_USAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_modes_agree),
		cmocka_unit_test(test_mismatch),
		cmocka_unit_test(test_bad_script),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_debug_exit),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_serial_file),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_sigterm),
		cmocka_unit_test(test_stats),
	};

	return cmocka_run_group_tests_name("vm", tests, setup, teardown);
}
