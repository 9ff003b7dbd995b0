// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_options.c: a table of command lines that must be refused, each with words its message
 * must have, and good ones with what they must come to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/options.h"

#define MAX_ARGS 32

/* A command line cut at blanks, in memory that may be written, with FILE, RO and DIR replaced. */
struct line {
	char *text;
	char *argv[MAX_ARGS];
	int argc;
};

static char dir[] = "/tmp/hotreg-options.XXXXXX";
static char file_path[64], readonly_path[64];

static struct line cut(const char *text)
{
	struct line line = {.text = calloc(1, 1024)};
	char *save = NULL, *out = line.text;

	while (*text) {
		const char *put = NULL;

		if (strncmp(text, "FILE", 4) == 0)
			put = file_path, text += 4;
		else if (strncmp(text, "READONLY", 8) == 0)
			put = readonly_path, text += 8;
		else if (strncmp(text, "DIR", 3) == 0)
			put = dir, text += 3;
		if (put)
			out = stpcpy(out, put);
		else
			*out++ = *text++;
		assert_true(out - line.text < 900);
	}
	for (char *word = strtok_r(line.text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		assert_true(line.argc < MAX_ARGS);
		line.argv[line.argc++] = word;
	}
	return line;
}

static int setup(void **state)
{
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(file_path, sizeof(file_path), "%s/file", dir);
	snprintf(readonly_path, sizeof(readonly_path), "%s/readonly", dir);
	file = fopen(file_path, "w");
	assert_non_null(file);
	fclose(file);
	file = fopen(readonly_path, "w");
	assert_non_null(file);
	fclose(file);
	return chmod(readonly_path, 0444);
}

static int teardown(void **state)
{
	(void)state;
	unlink(file_path);
	unlink(readonly_path);
	return rmdir(dir);
}

struct bad {
	const char *line;
	const char *message; /* a part of it */
};

static const struct bad table[] = {
	{"--frobnicate", "unknown option '--frobnicate'; `hotreg run --help`"},
	{"--frobnicate=1", "unknown option '--frobnicate=1'"}, {"-x", "unknown option '-x'"},
	{"--", "unknown option '--'"},
	{"disk.img", "'disk.img' is not an option; a disk image is given as --disk FILE"},
	{"--mem", "--mem wants a value: SIZE"}, {"--mem=", "--mem wants a value"},
	{"--mem 64", "'64' is not possible: 1M to 3G"}, {"--mem 4G", "1M to 3G"}, {"--mem 3073M", "1M to 3G"},
	{"--mem 1023K", "1M to 3G"}, {"--mem 1025K", "whole pages"}, {"--mem 0", "1M to 3G"},
	{"--mem -1M", "not a size: write for example 64M"}, {"--mem 64MB", "not a size"}, {"--mem M", "not a size"},
	{"--mem 99999999999999999999G", "not a size"},
	{"--mem 18014398509481984K", "1M to 3G"}, /* 2^54 K overflows to 0 */
	{"--mem 64M --mem 32M", "--mem: is given twice"}, {"--cpus 0", "1 to 8"}, {"--cpus 9", "1 to 8"},
	{"--cpu-model hasswell", "did you mean Haswell?"}, {"--cpu-model host,+nonsense", "no feature 'nonsense'"},
	{"--cpu-model 486 --cpus 2 --kernel FILE", "several vCPUs need local APICs"},
	{"--cpu-model host,-apic --cpus 2 --kernel FILE", "several vCPUs need local APICs"},
	{"--cpu soft --cpu-model host", "--cpu soft is one model of its own"},
	{"--cpu soft --cpu-model max,-tsc", "--cpu soft is one model of its own"},
	{"--cpu script=FILE --cpu-model max", "--cpu script has no processor"}, {"--cpus 11", "1 to 8"},
	{"--cpus two", "1 to 8"}, {"--cpu intel", "none of auto, kvm, soft, script=FILE"},
	{"--cpu script", "none of auto, kvm, soft, script=FILE"},
	{"--cpu script=", "none of auto, kvm, soft, script=FILE"},
	{"--cpu script=DIR/nothing", "--cpu script: cannot open"},
	{"--cpu soft --cpus 2", "--cpu soft has one vCPU: use --cpu kvm"},
	{"--cpu script=FILE --cpus 2", "--cpu script has one vCPU"},
	{"--cpu script=FILE --kernel FILE", "runs no guest code"},
	{"--cpu script=FILE --bios FILE", "runs no guest code"},
	{"--accel maybe", "none of off, auto, on, on=vmm, on=kernel, check"}, {"--accel on=", "none of off"},
	{"--pins DIR --accel check", "--pins is for the kernel tier"}, {"--pins DIR --accel on=vmm", "--pins is for"},
	{"--page maybe", "none of off, auto, on, on=DEVICE"}, {"--page on=", "none of off"},
	{"--page off,gap=5", "none of off"}, {"--page on,gap=0", "from 1 to 10000000"},
	{"--page auto,gap=5us", "is not a number of microseconds"}, {"--page on --accel off", "--accel off runs none"},
	{"--page on --cpu soft", "needs KVM"}, {"--page on --trace t.txt", "has to see every access"},
	{"--accel off --prog hpet=FILE", "--accel off runs no programs"}, {"--prog hpet", "not DEVICE=FILE"},
	{"--prog =FILE", "not DEVICE=FILE"}, {"--prog hpet=", "not DEVICE=FILE"},
	{"--prog hpet=FILE --prog hpet=FILE", "hpet is given twice"},
	{"--prog hpet=DIR/nothing", "--prog: cannot open"},
	{"--prog 1=FILE --prog 2=FILE --prog 3=FILE --prog 4=FILE --prog 5=FILE --prog 6=FILE --prog 7=FILE --prog "
	 "8=FILE"
	 " --prog",
		"--prog wants a value"},
	{"--vga cga", "--vga: is std or none"}, {"--vga", "--vga wants a value"},
	{"--vga std --vga none", "--vga: is given twice"}, {"--kernel DIR/nothing", "--kernel: cannot open"},
	{"--kernel DIR", "is a directory"}, {"--kernel FILE --bios FILE", "not both"},
	{"--append x", "--append is the command line of --kernel"},
	{"--initrd FILE", "--initrd is the module of --kernel"}, {"--bios DIR/nothing", "--bios: cannot open"},
	{"--kernel FILE --disk DIR/nothing", "No such file or directory"},
	{"--kernel FILE --disk DIR/nothing,ro", "nothing: No such file"},
	{"--kernel FILE --disk ,ro", "wants a file before"}, {"--kernel FILE --disk DIR", "is a directory"},
	{"--kernel FILE --serial DIR/new --debugcon DIR/new", "--serial would overwrite"},
	{"--kernel FILE --trace FILE", "--trace would overwrite"}, /* and the others of what is read */
	{"--bios FILE --serial DIR/../../DIR/file", "same file as that of --bios"},
	{"--kernel READONLY --disk FILE,ro --stats=FILE", "same file as that of --disk"},
	{"--cpu script=FILE --debugcon FILE", "same file as that of --cpu script"},
	{"--kernel READONLY --prog hpet=FILE --trace FILE", "same file as that of --prog"},
	{"--timeout 0", "from 1 to"}, {"--timeout 1.5", "from 1 to"}, {"--timeout -1", "from 1 to"},
	{"--timeout 99999999999", "from 1 to"}, {"--stats=", "--stats wants a value"},
	{"--quiet=1", "--quiet: takes no value"},
	{"--kernel FILE --stats out.json", "'out.json' is not an option"}, /* the value needs its = */
};

static void test_bad(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct line line = cut(table[i].line);
		struct accel_err err = {.text = ""};
		struct options opt;
		int rc = options_parse(&opt, line.argc, line.argv, &err);

		if (rc != -EINVAL || !strstr(err.text, table[i].message) || strchr(err.text, '\n'))
			fail_msg("'%s' gave %d and \"%s\", wanted \"%s\"", table[i].line, rc, err.text,
				table[i].message);
		free(line.text);
	}
}

/* In a child that is nobody, since root may write to every file. */
static void test_readonly_disk(void **state)
{
	struct line line = cut("--kernel FILE --disk READONLY");
	struct line good = cut("--kernel FILE --disk READONLY,ro");
	int status = 0;
	pid_t child;

	(void)state;
	assert_int_equal(chmod(dir, 0755), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct accel_err err = {.text = ""};
		struct options opt;

		if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(1);
		if (options_parse(&opt, line.argc, line.argv, &err) != -EINVAL ||
			!strstr(err.text, "may not be written") || !strstr(err.text, "give --disk FILE,ro"))
			_exit(2);
		_exit(options_parse(&opt, good.argc, good.argv, &err) == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	free(line.text);
	free(good.text);
}

static void test_defaults(void **state)
{
	struct line line = cut("--kernel FILE");
	struct accel_err err = {.text = ""};
	struct options opt;

	(void)state;
	assert_int_equal(options_parse(&opt, line.argc, line.argv, &err), 0);
	assert_int_equal(opt.mem_bytes, 64 << 20);
	assert_int_equal(opt.cpus, 1);
	assert_int_equal(opt.cpu, OPT_CPU_AUTO);
	assert_int_equal(opt.accel, OPT_ACCEL_AUTO);
	assert_string_equal(opt.serial, "stdio");
	assert_null(opt.debugcon);
	assert_null(opt.disk);
	assert_false(opt.stats);
	assert_int_equal(opt.timeout_s, 0);
	free(line.text);
}

static void test_all(void **state)
{
	struct line line = cut("--kernel=FILE --append a=b,c --initrd FILE --disk=FILE,ro --mem 1G --cpus=2 --cpu kvm "
			       "--accel=on=vmm --prog=hpet=FILE --stats=out.json --timeout 5");
	struct accel_err err = {.text = ""};
	struct options opt;

	(void)state;
	assert_int_equal(options_parse(&opt, line.argc, line.argv, &err), 0);
	assert_string_equal(opt.kernel, file_path);
	assert_string_equal(opt.append, "a=b,c");
	assert_string_equal(opt.disk, file_path);
	assert_true(opt.disk_readonly);
	assert_int_equal(opt.mem_bytes, 1 << 30);
	assert_int_equal(opt.cpus, 2);
	assert_int_equal(opt.accel, OPT_ACCEL_ON_VMM);
	assert_int_equal(opt.prog_count, 1);
	assert_string_equal(opt.progs[0].device, "hpet");
	assert_string_equal(opt.progs[0].file, file_path);
	assert_true(opt.stats);
	assert_string_equal(opt.stats_file, "out.json");
	assert_int_equal(opt.timeout_s, 5);
	free(line.text);
}

/* A VGA by default, but not for a kernel. */
static void test_vga(void **state)
{
	static const struct {
		const char *line;
		bool has_vga;
	} rows[] = {{"--bios FILE", true}, {"--bios FILE --vga none", false}, {"--kernel FILE", false},
		{"--kernel FILE --vga std", true}, {"--cpu script=FILE", true},
		{"--cpu script=FILE --vga=none", false}};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct line line = cut(rows[i].line);
		struct accel_err err = {.text = ""};
		struct options opt;

		assert_int_equal(options_parse(&opt, line.argc, line.argv, &err), 0);
		assert_int_equal(options_has_vga(&opt), rows[i].has_vga);
		free(line.text);
	}
}

static void test_script(void **state)
{
	struct line line = cut("--cpu script=FILE,nocheck --mem 1024K --mem");
	struct accel_err err = {.text = ""};
	struct options opt;

	(void)state;
	assert_int_equal(options_parse(&opt, line.argc - 1, line.argv, &err), 0);
	assert_int_equal(opt.cpu, OPT_CPU_SCRIPT);
	assert_string_equal(opt.script, file_path);
	assert_true(opt.script_nocheck);
	assert_int_equal(opt.mem_bytes, 1 << 20);
	free(line.text);
}

/* What is no file that could be overwritten may be named twice, and modules are a list that the loader judges. */
static void test_shared_outputs(void **state)
{
	static const char *const good[] = {"--kernel FILE --serial stdio --debugcon stdio",
		"--kernel FILE --serial none --debugcon none",
		"--kernel FILE --serial /dev/null --debugcon /dev/null --trace=/dev/null",
		"--kernel FILE --initrd FILE,DIR/other"};

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct line line = cut(good[i]);
		struct accel_err err = {.text = ""};
		struct options opt;

		if (options_parse(&opt, line.argc, line.argv, &err) != 0)
			fail_msg("'%s' gave \"%s\"", good[i], err.text);
		free(line.text);
	}
}

/* An empty command line for the kernel is a command line. */
static void test_empty_append(void **state)
{
	char append[] = "--append", empty[] = "", kernel[] = "--kernel";
	char *argv[] = {append, empty, kernel, file_path};
	struct accel_err err = {.text = ""};
	struct options opt;

	(void)state;
	assert_int_equal(options_parse(&opt, 4, argv, &err), 0);
	assert_string_equal(opt.append, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_readonly_disk),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_vga),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_shared_outputs),
		cmocka_unit_test(test_empty_append),
	};

	return cmocka_run_group_tests_name("options", tests, setup, teardown);
}
