// SPDX-License-Identifier: BSD-2-Clause
/*
 * ctl.c: `hotreg ctl PATH COMMAND` and `hotreg stats PATH`: one command to a VM that runs, and its answer in
 * words, or with --json as it came.
 */
#include "vmm/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/ctl_client.h"
#include "vmm/stats.h"
#include "vmm/text.h"

#define RESET_WAIT_MS 10000
#define QUIT_WAIT_MS 30000

/* One command of the person's on its way. */
struct ctl {
	struct ctl_client client;
	bool json;
	int argc; /* of what follows the command's words */
	char **argv;
	struct accel_err err;
};

/* ---- answers --------------------------------------------------------------------------------- */

static void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY);
	putchar('\n');
}

/* Calls, prints with --json, and gives the answer to who prints it in words. */
static int call(struct ctl *ctl, const char *command, json_t *args, json_t **ret)
{
	int rc = ctl_call(&ctl->client, command, args, ret, &ctl->err);

	if (!rc && ctl->json)
		print_json(*ret);
	return rc;
}

/* The same, with a sentence for an answer that says nothing. */
static int call_say(struct ctl *ctl, const char *command, json_t *args, const char *sentence)
{
	json_t *ret;
	int rc = call(ctl, command, args, &ret);

	if (!rc && !ctl->json && sentence)
		puts(sentence);
	json_decref(ret);
	return rc;
}

/* ---- the VM ---------------------------------------------------------------------------------- */

static int do_status(struct ctl *ctl)
{
	char text[40];
	json_t *ret;
	int rc = call(ctl, "query-status", NULL, &ret);

	if (!rc && !ctl->json)
		puts(ctl_text(ret, "status", text, sizeof(text)));
	json_decref(ret);
	return rc;
}

static int do_version(struct ctl *ctl)
{
	char text[40];
	json_t *ret;
	int rc = call(ctl, "query-version", NULL, &ret);

	if (!rc && !ctl->json)
		puts(ctl_text(ret, "package", text, sizeof(text)));
	json_decref(ret);
	return rc;
}

static int do_stop(struct ctl *ctl)
{
	return call_say(ctl, "stop", NULL, "stopped: the guest's clocks stand still");
}

static int do_cont(struct ctl *ctl)
{
	return call_say(ctl, "cont", NULL, "running");
}

static int do_reset(struct ctl *ctl)
{
	int rc = call_say(ctl, "system_reset", NULL, NULL);
	bool done = !rc && ctl_wait(&ctl->client, "RESET", RESET_WAIT_MS);

	if (!rc && !done)
		return err_fail(&ctl->err, -EREMOTEIO,
			"the reset was asked for, and is not done yet: a vCPU does not come to rest");
	if (!rc && !ctl->json)
		puts("reset");
	return rc;
}

static int do_powerdown(struct ctl *ctl)
{
	return call_say(
		ctl, "system_powerdown", NULL, "the power button was pressed; the guest does with it what it likes");
}

/* Ends when the VM has ended, so that what comes next in a script finds it gone. */
static int do_quit(struct ctl *ctl)
{
	int rc = call_say(ctl, "quit", NULL, NULL);

	if (!rc && !ctl_wait(&ctl->client, NULL, QUIT_WAIT_MS))
		return err_fail(&ctl->err, -EREMOTEIO, "hotreg was told to end, and has not yet");
	if (!rc && !ctl->json)
		puts("ended");
	return rc;
}

/* ---- acceleration ---------------------------------------------------------------------------- */

static int do_accel(struct ctl *ctl)
{
	json_t *args = ctl->argc ? json_pack("{s:s}", "mode", ctl->argv[0]) : NULL, *ret;
	char mode[40], before[40];
	int rc = call(ctl, "x-hotreg-accel", args, &ret);

	if (!rc && !ctl->json) {
		ctl_text(ret, "mode", mode, sizeof(mode));
		printf("accel %s", mode);
		if (ctl->argc)
			printf(", was %s", ctl_text(ret, "before", before, sizeof(before)));
		if (json_integer_value(json_object_get(ret, "divergences")) > 0 || strcmp(mode, "check") == 0)
			printf("; %lld divergences so far",
				(long long)json_integer_value(json_object_get(ret, "divergences")));
		putchar('\n');
	}
	json_decref(ret);
	return rc;
}

static int do_prog_list(struct ctl *ctl)
{
	char a[64], b[64], c[300], d[64], e[40];
	json_t *ret, *entry;
	size_t i;
	int rc = call(ctl, "x-hotreg-prog-list", NULL, &ret);

	if (!rc && !ctl->json) {
		printf("%-12s %-10s %-12s %-9s %-9s %12s %10s  %s\n", "range", "device", "program", "", "effect",
			"answered", "punted", "object");
		json_array_foreach(ret, i, entry)
		{
			bool attached = json_is_true(json_object_get(entry, "attached"));

			printf("%-12s %-10s %-12s %-9s %-9s %12lld %10lld  %s%s\n",
				ctl_text(entry, "range", a, sizeof(a)), ctl_text(entry, "device", b, sizeof(b)),
				ctl_text(entry, "program", d, sizeof(d)), attached ? "attached" : "detached",
				ctl_text(entry, "effect", e, sizeof(e)),
				(long long)json_integer_value(json_object_get(entry, "answered")),
				(long long)json_integer_value(json_object_get(entry, "punted")),
				ctl_text(entry, "object", c, sizeof(c)),
				json_is_true(json_object_get(entry, "replaced")) ? " (replaced)" : "");
		}
	}
	json_decref(ret);
	return rc;
}

/* The arguments that select what NAME is: a device, or else one range; range:NAME is a range in any case. */
static int select_args(struct ctl *ctl, const char *name, json_t **args)
{
	bool is_device = false, is_range = strncmp(name, "range:", 6) == 0;
	json_t *list = NULL, *entry;
	size_t i;
	int rc = 0;

	if (!is_range)
		rc = ctl_call(&ctl->client, "x-hotreg-prog-list", NULL, &list, &ctl->err);
	json_array_foreach(list, i, entry)
	{
		const char *device = json_string_value(json_object_get(entry, "device"));
		const char *range = json_string_value(json_object_get(entry, "range"));

		is_device |= device && strcmp(device, name) == 0;
		is_range |= range && strcmp(range, name) == 0;
	}
	json_decref(list);
	*args = json_pack("{s:s}", is_range && !is_device ? "range" : "device",
		strncmp(name, "range:", 6) == 0 ? name + 6 : name);
	if (!rc && !*args)
		rc = err_fail(&ctl->err, -EINVAL, "'%.80s' is no name", name);
	return rc;
}

/* The file is named as this process sees it, and opened by the other. */
static int do_prog_replace(struct ctl *ctl)
{
	char *file = realpath(ctl->argv[1], NULL);
	json_t *args;
	int rc;

	if (!file)
		return err_fail(&ctl->err, -errno, "cannot open %.300s: %s", ctl->argv[1], strerror(errno));
	rc = select_args(ctl, ctl->argv[0], &args);
	if (!rc) {
		json_object_set_new(args, "file", json_string(file));
		if (ctl->argc > 2)
			json_object_set_new(args, "program", json_string(ctl->argv[2]));
		rc = call_say(ctl, "x-hotreg-prog-replace", args, "replaced");
	}
	free(file);
	return rc;
}

static int do_prog_detach(struct ctl *ctl)
{
	json_t *args;
	int rc = select_args(ctl, ctl->argv[0], &args);

	return rc ? rc : call_say(ctl, "x-hotreg-prog-detach", args, "detached: the model answers alone");
}

static int do_prog_attach(struct ctl *ctl)
{
	json_t *args;
	int rc;

	if (ctl->argc > 1 && strcmp(ctl->argv[1], "own") != 0)
		return err_fail(&ctl->err, -EINVAL, "after the name only 'own' may follow, not '%.80s'", ctl->argv[1]);
	rc = select_args(ctl, ctl->argv[0], &args);
	if (!rc && ctl->argc > 1)
		json_object_set_new(args, "own", json_true());
	return rc ? rc : call_say(ctl, "x-hotreg-prog-attach", args, "attached");
}

/* ---- statistics ------------------------------------------------------------------------------ */

/* count: "on", "off" or NULL. */
static int say_stats(struct ctl *ctl, const char *count)
{
	json_t *args = count ? json_pack("{s:b}", "count", strcmp(count, "on") == 0) : NULL, *ret;
	int rc = call(ctl, "x-hotreg-stats", args, &ret);

	if (!rc && !ctl->json) {
		stats_print(ret, stdout);
		if (!json_is_true(json_object_get(ret, "counting")))
			puts("(registers are not being counted: `hotreg stats --count on PATH` begins)");
	}
	json_decref(ret);
	return rc;
}

static int do_stats(struct ctl *ctl)
{
	return say_stats(ctl, NULL);
}

/* ---- commands -------------------------------------------------------------------------------- */

static const struct {
	const char *word, *second; /* of two words */
	int (*run)(struct ctl *ctl);
	int min, max; /* arguments */
	const char *args, *help;
} commands[] = {
	{"status", NULL, do_status, 0, 0, "", "running, paused or shutdown"},
	{"stop", NULL, do_stop, 0, 0, "", "pause: no guest code runs, and the guest's clocks stand still"},
	{"cont", NULL, do_cont, 0, 0, "", "go on"},
	{"reset", NULL, do_reset, 0, 0, "", "the machine's reset button"},
	{"powerdown", NULL, do_powerdown, 0, 0, "", "the ACPI power button"},
	{"quit", NULL, do_quit, 0, 0, "", "end hotreg, now"},
	{"version", NULL, do_version, 0, 0, "", "of the hotreg that runs there"},
	{"accel", NULL, do_accel, 0, 1, "[off|on|check]", "how programs are used; with a mode: from now on"},
	{"prog", "list", do_prog_list, 0, 0, "", "which program answers for which range"},
	{"prog", "replace", do_prog_replace, 2, 3, "NAME FILE [PROGRAM]", "put in the programs of an object file"},
	{"prog", "detach", do_prog_detach, 1, 1, "NAME", "take them out: the model answers alone"},
	{"prog", "attach", do_prog_attach, 1, 2, "NAME [own]", "put back the last ones, or hotreg's own"},
	{"stats", NULL, do_stats, 0, 0, "", "the same as `hotreg stats`"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: hotreg ctl [--json] PATH COMMAND [ARGUMENT...]\n\n"
		     "Speaks to the hotreg that was started with --qmp unix:PATH.\n\n");
	for (unsigned i = 0; i < COMMANDS; i++) {
		char left[60];

		snprintf(left, sizeof(left), "%s%s%s %s", commands[i].word, commands[i].second ? " " : "",
			commands[i].second ? commands[i].second : "", commands[i].args);
		fprintf(out, "  %-34s %s\n", left, commands[i].help);
	}
	fprintf(out, "\nNAME is a device, or one of its ranges (range:NAME where both have the name).\n"
		     "--json prints the answer as it came. Exit status: 0; 1 hotreg refused; 2 wrong usage, or no "
		     "connection.\n");
	return status;
}

static int fail(const char *text)
{
	fprintf(stderr, "hotreg: %s\n", text);
	return CTL_FAILED;
}

/* The row of the command's one or two words; *words is how many. */
static int find(int argc, char **argv, int *words)
{
	for (unsigned i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[0], commands[i].word) != 0)
			continue;
		*words = commands[i].second ? 2 : 1;
		if (!commands[i].second || (argc > 1 && strcmp(argv[1], commands[i].second) == 0))
			return (int)i;
	}
	return -1;
}

static int finish(struct ctl *ctl, int rc)
{
	ctl_close(&ctl->client);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fail("cannot write to standard output");
		return CTL_FAILED;
	}
	if (rc == 0)
		return 0;
	fail(ctl->err.text);
	return rc == -EREMOTEIO ? CTL_REFUSED : CTL_FAILED;
}

int ctl_command(int argc, char **argv)
{
	struct ctl ctl = {.client = {.fd = -1}};
	int row, words = 0, rc;
	char text[200];

	argc--;
	argv++;
	while (argc > 0 && argv[0][0] == '-') {
		if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
			return usage(stdout, 0);
		if (strcmp(argv[0], "--json") != 0) {
			snprintf(text, sizeof(text), "ctl: unknown option '%.80s'; `hotreg ctl --help` lists them",
				argv[0]);
			return fail(text);
		}
		ctl.json = true;
		argc--;
		argv++;
	}
	if (argc < 2)
		return usage(stderr, CTL_FAILED);
	row = find(argc - 1, argv + 1, &words);
	if (row < 0) {
		snprintf(text, sizeof(text), "ctl: unknown command '%.40s%s%.40s'; `hotreg ctl --help` lists them",
			argv[1], words == 2 && argc > 2 ? " " : "", words == 2 && argc > 2 ? argv[2] : "");
		return fail(text);
	}
	ctl.argc = argc - 1 - words;
	ctl.argv = argv + 1 + words;
	if (ctl.argc < commands[row].min || ctl.argc > commands[row].max) {
		snprintf(text, sizeof(text), "ctl: %s%s%s takes: %s", commands[row].word,
			commands[row].second ? " " : "", commands[row].second ? commands[row].second : "",
			commands[row].max ? commands[row].args : "no arguments");
		return fail(text);
	}
	rc = ctl_open(&ctl.client, argv[0], &ctl.err);
	return finish(&ctl, rc ? rc : commands[row].run(&ctl));
}

static int stats_usage(FILE *out, int status)
{
	fprintf(out,
		"usage: hotreg stats [--json] [--count on|off] PATH\n\n"
		"Prints which registers of the VM at --qmp unix:PATH were read and written how often, who answered,\n"
		"what that cost, and what a program would gain most next; docs/stats.md explains each figure.\n"
		"Registers are counted with `run --stats`, or from --count on, until --count off.\n");
	return status;
}

int stats_command(int argc, char **argv)
{
	struct ctl ctl = {.client = {.fd = -1}};
	const char *path = NULL, *count = NULL;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return stats_usage(stdout, 0);
		if (strcmp(argv[i], "--json") == 0)
			ctl.json = true;
		else if (strcmp(argv[i], "--count") == 0 && i + 1 < argc &&
			 (strcmp(argv[i + 1], "on") == 0 || strcmp(argv[i + 1], "off") == 0))
			count = argv[++i];
		else if (argv[i][0] != '-' && !path)
			path = argv[i];
		else
			return stats_usage(stderr, CTL_FAILED);
	}
	if (!path)
		return stats_usage(stderr, CTL_FAILED);
	rc = ctl_open(&ctl.client, path, &ctl.err);
	return finish(&ctl, rc ? rc : say_stats(&ctl, count));
}
