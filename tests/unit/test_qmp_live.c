// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_qmp_live.c: the control commands that reach into the machine: mode, programs, reset, power button,
 * each with its refusals; what is attached is judged by what the bus then does.
 */
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "qmp_rig.h"

#define HPET_COUNTER 0xfed000f0u
#define HPET_CONFIG 0xfed00010u

static char build[200]; /* where this test's build lies */

static int setup(void **state)
{
	struct qmp_rig *rig = rig_new(OPT_ACCEL_ON);

	json_decref(rig_next(rig));
	qmp_input(&rig->session, "{\"execute\": \"qmp_capabilities\"}", 31);
	json_decref(rig_next(rig));
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

/* The answer to a command, events before it left out; the caller's. */
static json_t *ask(struct qmp_rig *rig, const char *text)
{
	json_t *json;

	assert_int_equal(qmp_input(&rig->session, text, strlen(text)), strlen(text));
	while ((json = rig_next(rig)) && json_object_get(json, "event"))
		json_decref(json);
	assert_non_null(json);
	return json;
}

static void done(struct qmp_rig *rig, const char *text)
{
	json_t *json = ask(rig, text);

	if (!json_object_get(json, "return"))
		assert_string_equal(json_string_value(json_object_get(json_object_get(json, "error"), "desc")), "");
	json_decref(json);
}

static void refused(struct qmp_rig *rig, const char *text, const char *class, const char *part)
{
	json_t *json = ask(rig, text), *error = json_object_get(json, "error");

	assert_non_null(error);
	assert_string_equal(json_string_value(json_object_get(error, "class")), class);
	if (!strstr(json_string_value(json_object_get(error, "desc")), part))
		assert_string_equal(json_string_value(json_object_get(error, "desc")), part);
	json_decref(json);
}

/* The entry of a range in the list. */
static json_t *entry(struct qmp_rig *rig, const char *range)
{
	json_t *json = ask(rig, "{\"execute\": \"x-hotreg-prog-list\"}"), *found = NULL, *e;
	size_t i;

	json_array_foreach(json_object_get(json, "return"), i, e)
	{
		if (strcmp(json_string_value(json_object_get(e, "range")), range) == 0)
			found = json_incref(e);
	}
	assert_non_null(found);
	json_decref(json);
	return found;
}

static void expect_entry(struct qmp_rig *rig, const char *range, const char *object, bool replaced, bool attached)
{
	json_t *e = entry(rig, range);
	const char *name = json_string_value(json_object_get(e, "object"));

	assert_non_null(name);
	assert_true(strlen(name) >= strlen(object));
	assert_string_equal(name + strlen(name) - strlen(object), object);
	assert_int_equal(json_is_true(json_object_get(e, "replaced")), replaced);
	assert_int_equal(json_is_true(json_object_get(e, "attached")), attached);
	json_decref(e);
}

static uint64_t access(struct qmp_rig *rig, enum io_bus bus, uint64_t addr, uint8_t size, bool write, uint64_t value)
{
	struct io_req req = {
		.io = {.size = size, .is_write = write, .value = value}, .addr = addr, .bus = bus, .count = 1};

	bus_io(&rig->vm.bus, &req);
	return req.io.result;
}

/* How many accesses the HPET's program has answered. */
static uint64_t answered(struct qmp_rig *rig)
{
	json_t *e = entry(rig, "hpet");
	uint64_t n = (uint64_t)json_integer_value(json_object_get(e, "answered"));

	json_decref(e);
	return n;
}

static bool is_answered(struct qmp_rig *rig)
{
	uint64_t before = answered(rig);

	access(rig, IO_MMIO, HPET_COUNTER, 4, false, 0);
	return answered(rig) > before;
}

static void test_mode(void **state)
{
	struct qmp_rig *rig = *state;
	json_t *json, *ret;

	assert_true(is_answered(rig));
	json = ask(rig, "{\"execute\": \"x-hotreg-accel\"}");
	ret = json_object_get(json, "return");
	assert_string_equal(json_string_value(json_object_get(ret, "mode")), "on");
	json_decref(json);
	json = ask(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"off\"}}");
	ret = json_object_get(json, "return");
	assert_string_equal(json_string_value(json_object_get(ret, "mode")), "off");
	assert_string_equal(json_string_value(json_object_get(ret, "before")), "on");
	json_decref(json);
	assert_false(is_answered(rig));
	done(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"check\"}}");
	assert_int_equal(rig->vm.bus.mode, ACCEL_CHECK);
	assert_true(is_answered(rig));
	done(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"on\"}}");
	assert_true(is_answered(rig));
	refused(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"on=kernel\"}}", "GenericError",
		"inside KVM");
	refused(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"fast\"}}", "GenericError",
		"none of off, on, check");
	refused(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": true}}", "GenericError",
		"must be a string");
	refused(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"\"}}", "GenericError", "not empty");
	assert_int_equal(rig->vm.bus.mode, ACCEL_ON);
}

static void replace(char *text, size_t size, const char *what, const char *name, const char *file, const char *more)
{
	snprintf(text, size,
		"{\"execute\": \"x-hotreg-prog-replace\", \"arguments\": {\"%s\": \"%s\", \"file\": \"%s/%s\"%s}}",
		what, name, build, file, more);
}

/* A program that is wrong on purpose comes, is found by check mode, and goes again. */
static void test_replace(void **state)
{
	struct qmp_rig *rig = *state;
	char text[500];
	json_t *json;

	access(rig, IO_MMIO, HPET_CONFIG, 4, true, 1); /* the counter runs */
	expect_entry(rig, "hpet", "hpet.bpf.o", false, true);
	replace(text, sizeof(text), "device", "hpet", "tests/prog/hpet_wrong.bpf.o", "");
	done(rig, text);
	expect_entry(rig, "hpet", "tests/prog/hpet_wrong.bpf.o", true, true);
	assert_true(is_answered(rig));
	done(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"check\"}}");
	for (unsigned i = 0; i < 1000; i++) {
		clock_advance(&rig->vm.clock, 7777 * (i + 1));
		access(rig, IO_MMIO, HPET_COUNTER, 4, false, 0);
	}
	json = ask(rig, "{\"execute\": \"x-hotreg-accel\", \"arguments\": {\"mode\": \"on\"}}");
	assert_in_range(json_integer_value(json_object_get(json_object_get(json, "return"), "divergences")), 1, 1000);
	json_decref(json);
	done(rig, "{\"execute\": \"x-hotreg-prog-detach\", \"arguments\": {\"range\": \"hpet\"}}");
	expect_entry(rig, "hpet", "tests/prog/hpet_wrong.bpf.o", true, false);
	assert_false(is_answered(rig));
	done(rig, "{\"execute\": \"x-hotreg-prog-attach\", \"arguments\": {\"range\": \"hpet\"}}");
	expect_entry(rig, "hpet", "tests/prog/hpet_wrong.bpf.o", true, true);
	done(rig, "{\"execute\": \"x-hotreg-prog-attach\", \"arguments\": {\"device\": \"hpet\", \"own\": true}}");
	expect_entry(rig, "hpet", "hpet.bpf.o", false, true);
	assert_true(is_answered(rig));
}

/* All or nothing, over the several ranges of a device; and each refusal in words. */
static void test_refusals(void **state)
{
	static const struct {
		const char *text, *class, *part;
	} rows[] = {
		{"{\"execute\": \"x-hotreg-prog-replace\"}", "GenericError", "one of 'device' and 'range'"},
		{"{\"execute\": \"x-hotreg-prog-replace\", \"arguments\": {\"device\": \"hpet\"}}", "GenericError",
			"'file' is missing"},
		{"{\"execute\": \"x-hotreg-prog-detach\", \"arguments\": {\"device\": \"hpet\", \"range\": \"hpet\"}}",
			"GenericError", "one of 'device' and 'range'"},
		{"{\"execute\": \"x-hotreg-prog-detach\", \"arguments\": {\"device\": 1}}", "GenericError",
			"'device' must be a string"},
		{"{\"execute\": \"x-hotreg-prog-detach\", \"arguments\": {\"device\": \"ata.regs\"}}", "DeviceNotFound",
			"there are: hpet i8254"},
		{"{\"execute\": \"x-hotreg-prog-attach\", \"arguments\": {\"range\": \"ata\"}}", "DeviceNotFound",
			"ata.regs"},
		{"{\"execute\": \"x-hotreg-prog-attach\", \"arguments\": {\"range\": \"hpet\", \"own\": 1}}",
			"GenericError", "true or false"},
		{"{\"execute\": \"x-hotreg-prog-replace\", \"arguments\": {\"device\": \"nope\", \"file\": "
		 "\"/dev/null\"}}",
			"DeviceNotFound", "nope"},
		{"{\"execute\": \"x-hotreg-prog-replace\", \"arguments\": {\"device\": \"hpet\", \"file\": "
		 "\"/no/such\"}}",
			"GenericError", "No such file"},
		{"{\"execute\": \"x-hotreg-prog-replace\", \"arguments\": {\"device\": \"hpet\", \"file\": "
		 "\"/dev/null\"}}",
			"GenericError", "not a regular file"},
		{"{\"execute\": \"x-hotreg-prog-replace\", \"arguments\": {\"device\": \"hpet\", \"file\": \"/\"}}",
			"GenericError", "not a regular file"},
		{"{\"execute\": \"x-hotreg-prog-replace\", \"arguments\": {\"device\": \"hpet\", \"file\": "
		 "\"/proc/self/cmdline\"}}",
			"GenericError", "cmdline"},
	};
	struct qmp_rig *rig = *state;
	char text[500];

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		refused(rig, rows[i].text, rows[i].class, rows[i].part);
	replace(text, sizeof(text), "device", "hpet", "bpf/i8254.bpf.o", ""); /* another device's */
	refused(rig, text, "GenericError", "hpet");
	replace(text, sizeof(text), "device", "hpet", "tests/prog/hpet_version.bpf.o", "");
	refused(rig, text, "GenericError", "version");
	replace(text, sizeof(text), "range", "port61", "bpf/i8254.bpf.o", ", \"program\": \"nope\"");
	refused(rig, text, "GenericError", "has no program nope");
	/* stateful, where the range takes pure ones only */
	replace(text, sizeof(text), "range", "port61", "bpf/i8254.bpf.o", ", \"program\": \"i8254\"");
	refused(rig, text, "GenericError", "pure programs only");
	/* of the two ranges the first takes it and the second does not: both keep what they had */
	replace(text, sizeof(text), "device", "i8254", "bpf/i8254.bpf.o", ", \"program\": \"i8254\"");
	refused(rig, text, "GenericError", "pure programs only");
	expect_entry(rig, "i8254", "i8254.bpf.o", false, true);
	expect_entry(rig, "port61", "i8254.bpf.o", false, true);
	done(rig, "{\"execute\": \"x-hotreg-prog-detach\", \"arguments\": {\"range\": \"i8254\"}}");
	refused(rig, text, "GenericError", "pure programs only");
	expect_entry(rig, "i8254", "i8254.bpf.o", false, false); /* also that nothing was attached */
	replace(text, sizeof(text), "device", "i8254", "bpf/i8254.bpf.o", "");
	done(rig, text);
	expect_entry(rig, "i8254", "bpf/i8254.bpf.o", true, true);
	expect_entry(rig, "port61", "bpf/i8254.bpf.o", true, true);
	done(rig, text); /* over itself */
	expect_entry(rig, "i8254", "bpf/i8254.bpf.o", true, true);
}

/* [ACPI] 4.8.3.1.1: PWRBTN_STS, bit 8 of PM1 status; with PWRBTN_EN and SCI_EN it raises IRQ 9. */
static void test_powerdown(void **state)
{
	struct qmp_rig *rig = *state;

	/* function 1.3 of the PIIX4: base 0x600, enabled */
	access(rig, IO_PIO, 0xcf8, 4, true, 0x80000b40);
	access(rig, IO_PIO, 0xcfc, 4, true, 0x601);
	access(rig, IO_PIO, 0xcf8, 4, true, 0x80000b80);
	access(rig, IO_PIO, 0xcfc, 1, true, 1);
	/* both PICs initialised, everything masked but the cascade and IRQ 9, which is level-triggered */
	access(rig, IO_PIO, 0x4d1, 1, true, 0x02);
	for (unsigned pic = 0; pic < 2; pic++) {
		uint64_t port = pic ? 0xa0 : 0x20;

		access(rig, IO_PIO, port, 1, true, 0x11);
		access(rig, IO_PIO, port + 1, 1, true, pic ? 0x28 : 0x20);
		access(rig, IO_PIO, port + 1, 1, true, pic ? 2 : 4);
		access(rig, IO_PIO, port + 1, 1, true, 1);
		access(rig, IO_PIO, port + 1, 1, true, pic ? 0xfd : 0xfb);
	}
	assert_int_equal(access(rig, IO_PIO, 0x600, 2, false, 0) & 0x100, 0);
	done(rig, "{\"execute\": \"system_powerdown\"}");
	assert_string_equal(rig->last_event, "POWERDOWN");
	assert_int_equal(access(rig, IO_PIO, 0x600, 2, false, 0) & 0x100, 0x100);
	assert_false(vm_intr_pending(&rig->vm)); /* the guest has not asked for it */
	access(rig, IO_PIO, 0x600, 2, true, 0x100);
	assert_int_equal(access(rig, IO_PIO, 0x600, 2, false, 0) & 0x100, 0);
	access(rig, IO_PIO, 0x602, 2, true, 0x100); /* PWRBTN_EN */
	access(rig, IO_PIO, 0xb2, 1, true, 0xf1);   /* ACPI on: SCI_EN */
	assert_false(vm_intr_pending(&rig->vm));
	done(rig, "{\"execute\": \"system_powerdown\"}");
	assert_true(vm_intr_pending(&rig->vm));
	assert_int_equal(vm_intr_ack(&rig->vm), 0x29);
	access(rig, IO_PIO, 0x600, 2, true, 0x100);
	access(rig, IO_PIO, 0xa0, 1, true, 0x20);
	access(rig, IO_PIO, 0x20, 1, true, 0x20);
	assert_false(vm_intr_pending(&rig->vm));
}

static void test_reset(void **state)
{
	struct qmp_rig *rig = *state;

	done(rig, "{\"execute\": \"system_reset\"}");
	assert_true(vm_reset_pending(&rig->vm));
	assert_false(atomic_load(&rig->vm.reset_by_guest));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_powerdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};
	char self[200];

	(void)argc;
	snprintf(self, sizeof(self), "%s", argv[0]);
	snprintf(build, sizeof(build), "%s", dirname(dirname(dirname(self))));
	return cmocka_run_group_tests_name("qmp_live", tests, NULL, NULL);
}
