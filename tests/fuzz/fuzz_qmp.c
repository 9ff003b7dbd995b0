// SPDX-License-Identifier: BSD-2-Clause
/*
 * fuzz_qmp.c: hostile bytes against the control protocol, over a machine that stands but does not run, and the
 * client's and the table's side against hostile answers. Asserted: bounds hold, every answer is one line of
 * JSON, and after any bytes a command on a line of its own is answered.
 *
 * The first byte chooses: where the input is cut, whether the negotiation is done before, what the rest is.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/qmp_rig.h"
#include "vmm/stats.h"
#include "vmm/top.h"

#define REBUILD_AFTER 2000 /* commands may have changed the machine for good */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct qmp_rig *rig;
static unsigned used;
static FILE *nowhere;

static void drain(void)
{
	json_t *json;

	while ((json = rig_next(rig)))
		json_decref(json);
	assert(rig->session.out_used == 0);
}

static void feed(const char *data, size_t bytes)
{
	while (bytes > 0) {
		size_t taken = qmp_input(&rig->session, data, bytes);

		assert(!rig->session.is_dead && taken <= bytes && rig->session.line_used <= QMP_LINE_MAX);
		drain();
		data += taken;
		bytes -= taken;
	}
}

/* A file that the fuzzer names must not be opened: it could be any. */
static bool names_file(const uint8_t *data, size_t size)
{
	return memmem(data, size, "replace", 7) || memmem(data, size, "\\u", 2);
}

static void as_commands(const uint8_t *data, size_t size, bool negotiate, size_t cut)
{
	static const char start[] = "{\"execute\": \"qmp_capabilities\"}\n";
	static const char last[] = "\n{\"execute\": \"query-status\", \"id\": \"the last\"}\n";
	char *copy = malloc(size + 1); /* exact, so that ASan sees a byte too far */
	json_t *json;
	bool answered = false;

	assert(copy);
	memcpy(copy, data, size);
	qmp_destroy(&rig->session);
	qmp_init(&rig->session, &rig->vm, &rig->hub);
	drain();
	if (negotiate)
		feed(start, sizeof(start) - 1);
	cut = size ? cut % (size + 1) : 0;
	feed(copy, cut);
	feed(copy + cut, size - cut);
	free(copy);
	assert(qmp_input(&rig->session, last, sizeof(last) - 1) == sizeof(last) - 1);
	while ((json = rig_next(rig))) {
		const char *id = json_string_value(json_object_get(json, "id"));

		answered |= id && strcmp(id, "the last") == 0;
		json_decref(json);
	}
	assert(answered);
}

/* What a report from elsewhere may be: whatever is JSON is printed, and no byte leaves the screen. */
static void as_report(const uint8_t *data, size_t size, unsigned rows)
{
	size_t half = size / 2;
	json_t *now = json_loadb((const char *)data, half, JSON_DECODE_ANY, NULL);
	json_t *before = json_loadb((const char *)data + half, size - half, JSON_DECODE_ANY, NULL);

	stats_print(now, nowhere);
	top_frame(before, now, "path", rows % 60, rows, nowhere);
	top_frame(now, before, "path", 24, 80, nowhere);
	json_decref(now);
	json_decref(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!nowhere) {
		nowhere = fopen("/dev/null", "w");
		assert(nowhere);
	}
	if (size < 2)
		return 0;
	if (rig && (vm_should_stop(&rig->vm) || ++used > REBUILD_AFTER)) {
		rig_free(rig);
		rig = NULL;
	}
	if (!rig) {
		rig = rig_new(OPT_ACCEL_ON);
		drain();
		used = 0;
	}
	if (data[0] & 0x80)
		as_report(data + 2, size - 2, data[1]);
	else if (!names_file(data + 2, size - 2))
		as_commands(data + 2, size - 2, data[0] & 1, data[1]);
	return 0;
}
