// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_qmp.c: the control protocol's framing and negotiation: commands cut and glued at every place,
 * garbage, floods, depth, length, answers that nobody reads; and the commands of qmp_cmd.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "qmp_rig.h"

#define NEGOTIATE "{\"execute\": \"qmp_capabilities\"}\n"

static void feed(struct qmp_rig *rig, const char *text, size_t bytes)
{
	assert_int_equal(qmp_input(&rig->session, text, bytes), bytes);
}

/* The next message, as text with sorted keys. */
static void expect(struct qmp_rig *rig, const char *want)
{
	json_t *json = rig_next(rig);
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : strdup("nothing");

	assert_string_equal(text, want);
	free(text);
	json_decref(json);
}

static void expect_error(struct qmp_rig *rig, const char *class, const char *part)
{
	json_t *json = rig_next(rig), *error = json_object_get(json, "error");

	assert_non_null(error);
	assert_string_equal(json_string_value(json_object_get(error, "class")), class);
	if (!strstr(json_string_value(json_object_get(error, "desc")), part))
		assert_string_equal(json_string_value(json_object_get(error, "desc")), part);
	json_decref(json);
}

static int setup(void **state)
{
	struct qmp_rig *rig = rig_new(OPT_ACCEL_OFF);
	json_t *json = rig_next(rig), *qmp = json_object_get(json, "QMP");

	assert_true(json_is_array(json_object_get(qmp, "capabilities")));
	assert_true(json_is_object(json_object_get(qmp, "version")));
	json_decref(json);
	feed(rig, NEGOTIATE, strlen(NEGOTIATE));
	expect(rig, "{\"return\":{}}");
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

static void say(struct qmp_rig *rig, const char *text)
{
	feed(rig, text, strlen(text));
}

static void test_negotiation(void **state)
{
	struct qmp_rig *rig = rig_new(OPT_ACCEL_OFF);

	(void)state;
	json_decref(rig_next(rig));
	say(rig, "{\"execute\": \"stop\", \"id\": 7}\n");
	expect(rig, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities negotiation with "
		    "'qmp_capabilities'\"},\"id\":7}");
	qmp_event(&rig->session, "STOP", NULL);
	expect(rig, "nothing"); /* no event before */
	say(rig, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}\n");
	expect_error(rig, "GenericError", "no capability");
	say(rig, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": []}}\n");
	expect(rig, "{\"return\":{}}");
	say(rig, NEGOTIATE);
	expect_error(rig, "CommandNotFound", "already complete");
	rig_free(rig);
}

/* One command with a string full of brackets and quotes, cut at every place. */
static void test_cuts(void **state)
{
	static const char text[] =
		"{\"execute\": \"query-status\", \"id\": {\"a\": [\"}]{[ \\\" \\\\\", 1.5, null, true]}}";
	static const char want[] = "{\"id\":{\"a\":[\"}]{[ \\\" \\\\\",1.5,null,true]},\"return\":{\"running\":true,"
				   "\"status\":\"running\"}}";
	struct qmp_rig *rig = *state;

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		feed(rig, text, cut < sizeof(text) - 1 ? cut : sizeof(text) - 1);
		expect(rig, cut < sizeof(text) - 1 ? "nothing" : want);
		if (cut < sizeof(text) - 1) {
			say(rig, text + cut);
			expect(rig, want);
		}
		say(rig, cut & 1 ? "\r\n" : " \n\n");
		expect(rig, "nothing");
	}
	/* several in one piece, with and without lines between */
	say(rig,
		"{\"execute\":\"stop\",\"id\":1}{\"execute\":\"cont\",\"id\":2}\n {\"execute\":\"nope\",\"id\":3}\r\n");
	json_decref(rig_next(rig)); /* the event */
	expect(rig, "{\"id\":1,\"return\":{}}");
	json_decref(rig_next(rig));
	expect(rig, "{\"id\":2,\"return\":{}}");
	expect(rig, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command nope has not been "
		    "found\"},\"id\":3}");
}

static void test_malformed(void **state)
{
	static const struct {
		const char *text, *class, *part;
	} rows[] = {
		{"garbage\n", "GenericError", "Invalid JSON syntax"},
		{"}\n", "GenericError", "Invalid JSON syntax"},
		{"]]]]\n", "GenericError", "Invalid JSON syntax"},
		{"{\"execute\": \"stop\"\n", "GenericError", "Invalid JSON syntax"},
		{"{\"execute\": \"st\nop\"}\n", "GenericError", "Invalid JSON syntax"}, /* and one for the rest */
		{"{\"execute\": \"stop\", \"execute\": \"cont\"}\n", "GenericError", "duplicate"},
		{"{\"execute\": \"\\u0000\"}\n", "GenericError", "Invalid JSON syntax"},
		{"{\"execute\": \"\xff\"}\n", "GenericError", "Invalid JSON syntax"},
		{"[1]\n", "GenericError", "a command is a JSON object"},
		{"1\n", "GenericError", "a command is a JSON object"},
		{"\"stop\"\n", "GenericError", "a command is a JSON object"},
		{"{}\n", "GenericError", "needs \"execute\""},
		{"{\"execute\": 1}\n", "GenericError", "needs \"execute\""},
		{"{\"execute\": \"stop\", \"arguments\": []}\n", "GenericError", "must be an object"},
		{"{\"exec-oob\": \"stop\"}\n", "GenericError", "no other"},
		{"{\"execute\": \"stop\", \"arguments\": {\"x\": 1}}\n", "GenericError", "'x' is unexpected"},
		{"{\"execute\": \"stop\", \"arguments\": {\"\": 1}}\n", "GenericError", "'' is unexpected"},
		{"{\"execute\": \"\"}\n", "CommandNotFound", "not been found"},
	};
	struct qmp_rig *rig = *state;
	json_t *more;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say(rig, rows[i].text);
		expect_error(rig, rows[i].class, rows[i].part);
		while ((more = rig_next(rig)))
			json_decref(more);
		assert_false(vm_is_paused(&rig->vm));
		say(rig, "{\"execute\": \"query-status\"}\n"); /* the next line starts afresh */
		expect(rig, "{\"return\":{\"running\":true,\"status\":\"running\"}}");
	}
}

static void test_bounds(void **state)
{
	struct qmp_rig *rig = *state;
	char *big = malloc(4 * QMP_LINE_MAX);

	/* as deep as allowed, and one more */
	for (unsigned depth = QMP_DEPTH_MAX; depth <= QMP_DEPTH_MAX + 1; depth++) {
		size_t at = (size_t)sprintf(big, "{\"execute\": \"query-status\", \"id\": ");

		memset(big + at, '[', depth - 1);
		memset(big + at + depth - 1, ']', depth - 1);
		strcpy(big + at + 2 * (depth - 1), "}\n");
		say(rig, big);
		if (depth == QMP_DEPTH_MAX)
			json_decref(rig_next(rig));
		else
			expect_error(rig, "GenericError", "too deep");
		expect(rig, "nothing");
	}
	/* a line without end is told once, and its end is found */
	memset(big, 'x', 4 * QMP_LINE_MAX);
	feed(rig, big, 4 * QMP_LINE_MAX);
	expect_error(rig, "GenericError", "64 KiB");
	expect(rig, "nothing");
	say(rig, "{\"execute\":\"stop\"}\n");
	expect(rig, "nothing");
	assert_false(vm_is_paused(&rig->vm));
	say(rig, "{\"execute\": \"query-status\"}\n");
	expect(rig, "{\"return\":{\"running\":true,\"status\":\"running\"}}");
	/* the longest that is allowed */
	memset(big, ' ', QMP_LINE_MAX);
	memcpy(big, "{\"execute\": \"query-status\"", 26);
	memcpy(big + QMP_LINE_MAX - 1, "}\n", 2);
	feed(rig, big, QMP_LINE_MAX + 1);
	expect(rig, "{\"return\":{\"running\":true,\"status\":\"running\"}}");
	free(big);
}

/* Who does not read is not listened to; what has been said stays whole. */
static void test_unread(void **state)
{
	static const char text[] = "{\"execute\": \"query-commands\"}";
	struct qmp_rig *rig = *state;
	unsigned said = 0, answers = 0;
	json_t *json;

	while (qmp_input(&rig->session, text, sizeof(text) - 1) == sizeof(text) - 1)
		assert_in_range(++said, 1, QMP_OUT_HIGH);
	assert_in_range(rig->session.out_used, QMP_OUT_HIGH, 2 * QMP_OUT_HIGH);
	assert_int_equal(qmp_input(&rig->session, text, 1), 0);
	while ((json = rig_next(rig))) {
		answers++;
		json_decref(json);
	}
	assert_int_equal(answers, said);
	/* events come unasked: at some point the client is let go, with bounded memory */
	while (!rig->session.is_dead)
		qmp_event(&rig->session, "STOP", NULL);
	assert_in_range(rig->session.out_used, QMP_OUT_MAX / 2, QMP_OUT_MAX);
	assert_int_equal(qmp_input(&rig->session, text, 1), 0);
}

static void test_basic_commands(void **state)
{
	struct qmp_rig *rig = *state;

	say(rig, "{\"execute\": \"query-version\"}");
	expect(rig, "{\"return\":{\"hotreg\":{\"major\":0,\"micro\":0,\"minor\":1},\"package\":\"hotreg 0.1\"}}");
	say(rig, "{\"execute\": \"cont\"}"); /* of a VM that runs: nothing, and no event */
	expect(rig, "{\"return\":{}}");
	assert_int_equal(rig->events, 0);
	for (unsigned i = 1; i <= 2; i++) { /* the second changes nothing */
		say(rig, "{\"execute\": \"stop\"}");
		if (i == 1)
			json_decref(rig_next(rig));
		expect(rig, "{\"return\":{}}");
		assert_int_equal(rig->events, 1);
		assert_string_equal(rig->last_event, "STOP");
		say(rig, "{\"execute\": \"query-status\"}");
		expect(rig, "{\"return\":{\"running\":false,\"status\":\"paused\"}}");
	}
	say(rig, "{\"execute\": \"cont\"}");
	json_decref(rig_next(rig));
	expect(rig, "{\"return\":{}}");
	assert_string_equal(rig->last_event, "RESUME");
	say(rig, "{\"execute\": \"quit\", \"id\": \"last\"}");
	expect(rig, "{\"id\":\"last\",\"return\":{}}");
	assert_true(vm_should_stop(&rig->vm));
	assert_int_equal(atomic_load(&rig->vm.exit_status), EXIT_GUEST_SHUTDOWN);
	say(rig, "{\"execute\": \"query-status\"}");
	expect(rig, "{\"return\":{\"running\":false,\"status\":\"shutdown\"}}");
	say(rig, "{\"execute\": \"stop\"}");
	expect_error(rig, "GenericError", "the VM is ending");
}

/* query-commands lists exactly what there is. */
static void test_query_commands(void **state)
{
	struct qmp_rig *rig = *state;
	json_t *json, *list, *entry;
	size_t i;

	say(rig, "{\"execute\": \"query-commands\"}");
	json = rig_next(rig);
	list = json_object_get(json, "return");
	assert_in_range(json_array_size(list), 7, 100);
	json_array_foreach(list, i, entry)
	{
		char text[200];
		json_t *reply, *error;

		if (strcmp(json_string_value(json_object_get(entry, "name")), "quit") == 0)
			continue;
		/* each answers, and none says that it is not there */
		snprintf(text, sizeof(text), "{\"execute\": \"%s\", \"arguments\": {\"no such\": 0}}",
			json_string_value(json_object_get(entry, "name")));
		say(rig, text);
		reply = rig_next(rig);
		error = json_object_get(reply, "error");
		assert_string_equal(json_string_value(json_object_get(error, "class")), "GenericError");
		json_decref(reply);
	}
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_basic_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_query_commands, setup, teardown),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
