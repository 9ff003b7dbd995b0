// SPDX-License-Identifier: BSD-2-Clause
/*
 * options.c: the command line of `hotreg run`: one table, one parser, one list of contradictions.
 *
 * Every refusal is one line that says what is wrong and what to do. Files are only looked at
 * here (there, readable, a file at all); whoever uses them reads and judges the contents.
 */
#include "vmm/options.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/text.h"
#include "vmm/vm.h"

#define MIB (1ull << 20)
#define MEM_DEFAULT (64 * MIB)
#define MEM_MIN MIB
#define MEM_MAX (3072 * MIB)
#define TIMEOUT_MAX 31536000u /* a year */
#define PAGE_GAP_US_MAX 10000000u

struct parser {
	struct options *opt;
	struct accel_err *err;
	uint32_t seen; /* by index in the table */
};

static int need(struct parser *p, const char *name, const char *what)
{
	err_set(p->err, "%s: %s", name, what);
	return -EINVAL;
}

/* ---- one function for each kind of value ----------------------------------------------------- */

static int set_kernel(struct parser *p, char *value)
{
	p->opt->kernel = value;
	return 0;
}

static int set_append(struct parser *p, char *value)
{
	p->opt->append = value;
	return 0;
}

static int set_initrd(struct parser *p, char *value)
{
	p->opt->initrd = value;
	return 0;
}

static int set_bios(struct parser *p, char *value)
{
	p->opt->bios = value;
	return 0;
}

static int set_disk(struct parser *p, char *value)
{
	char *comma = strrchr(value, ',');

	if (comma && strcmp(comma, ",ro") == 0) {
		*comma = '\0';
		p->opt->disk_readonly = true;
	}
	if (*value == '\0')
		return need(p, "--disk", "wants a file before \",ro\"");
	p->opt->disk = value;
	return 0;
}

static int set_mem(struct parser *p, char *value)
{
	static const char units[] = "KMG";
	size_t length = strlen(value);
	uint64_t scale = 1, number;
	const char *unit = length ? strchr(units, value[length - 1]) : NULL;

	if (unit && *unit) {
		scale = 1ull << (10 * (unit - units + 1));
		length--;
	}
	if (!text_parse_u64(value, length, 10, &number)) {
		err_set(p->err, "--mem: '%.40s' is not a size: write for example 64M", value);
		return -EINVAL;
	}
	if (number > MEM_MAX / scale || number * scale < MEM_MIN || number * scale % 4096 != 0) {
		err_set(p->err, "--mem: '%.40s' is not possible: 1M to 3G, in whole pages of 4K", value);
		return -EINVAL;
	}
	p->opt->mem_bytes = number * scale;
	return 0;
}

static int set_cpus(struct parser *p, char *value)
{
	uint64_t cpus;

	if (!text_parse_u64(value, strlen(value), 10, &cpus) || cpus < 1 || cpus > VM_MAX_CPUS) {
		err_set(p->err, "--cpus: '%.40s' is not possible: 1 to %d", value, VM_MAX_CPUS);
		return -EINVAL;
	}
	p->opt->cpus = (unsigned)cpus;
	return 0;
}

static int set_cpu(struct parser *p, char *value)
{
	char *comma;

	if (strcmp(value, "auto") == 0)
		p->opt->cpu = OPT_CPU_AUTO;
	else if (strcmp(value, "kvm") == 0)
		p->opt->cpu = OPT_CPU_KVM;
	else if (strcmp(value, "soft") == 0)
		p->opt->cpu = OPT_CPU_SOFT;
	else if (strncmp(value, "script=", 7) == 0 && value[7]) {
		p->opt->cpu = OPT_CPU_SCRIPT;
		p->opt->script = value + 7;
		comma = strrchr(value, ',');
		if (comma && strcmp(comma, ",nocheck") == 0) {
			*comma = '\0';
			p->opt->script_nocheck = true;
		}
	} else {
		err_set(p->err, "--cpu: '%.40s' is none of auto, kvm, soft, script=FILE", value);
		return -EINVAL;
	}
	return 0;
}

static int set_cpu_model(struct parser *p, char *value)
{
	p->opt->cpu_model_text = value;
	return cpuid_parse(value, &p->opt->cpu_model, p->err);
}

static int set_accel(struct parser *p, char *value)
{
	static const struct {
		const char *name;
		enum opt_accel accel;
	} modes[] = {
		{"off", OPT_ACCEL_OFF},
		{"auto", OPT_ACCEL_AUTO},
		{"on", OPT_ACCEL_ON},
		{"on=vmm", OPT_ACCEL_ON_VMM},
		{"on=kernel", OPT_ACCEL_ON_KERNEL},
		{"check", OPT_ACCEL_CHECK},
	};

	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(value, modes[i].name) == 0) {
			p->opt->accel = modes[i].accel;
			return 0;
		}
	}
	err_set(p->err, "--accel: '%.40s' is none of off, auto, on, on=vmm, on=kernel, check", value);
	return -EINVAL;
}

static int set_pins(struct parser *p, char *value)
{
	p->opt->pins = value;
	return 0;
}

/* off, auto, on or on=DEVICE, and ",gap=MICROSECONDS" behind the last three. */
static int set_page(struct parser *p, char *value)
{
	char *gap = strstr(value, ",gap=");
	uint64_t us;

	if (gap) {
		*gap = '\0';
		gap += 5;
		if (!text_parse_u64(gap, strlen(gap), 10, &us) || us < 1 || us > PAGE_GAP_US_MAX) {
			err_set(p->err, "--page: gap='%.40s' is not a number of microseconds from 1 to %u", gap,
				PAGE_GAP_US_MAX);
			return -EINVAL;
		}
		p->opt->page_gap_us = (unsigned)us;
	}
	if (strcmp(value, "off") == 0 && !gap)
		p->opt->page = OPT_PAGE_OFF;
	else if (strcmp(value, "auto") == 0)
		p->opt->page = OPT_PAGE_AUTO;
	else if (strcmp(value, "on") == 0 || (strncmp(value, "on=", 3) == 0 && value[3]))
		p->opt->page = OPT_PAGE_ON;
	else {
		err_set(p->err, "--page: '%.40s' is none of off, auto, on, on=DEVICE", value);
		return -EINVAL;
	}
	p->opt->page_by_default = false;
	p->opt->page_device = value[0] == 'o' && value[1] == 'n' && value[2] == '=' ? value + 3 : NULL;
	return 0;
}

static int set_prog(struct parser *p, char *value)
{
	char *equals = strchr(value, '=');

	if (!equals || equals == value || equals[1] == '\0') {
		err_set(p->err, "--prog: '%.80s' is not DEVICE=FILE.bpf.o", value);
		return -EINVAL;
	}
	*equals = '\0';
	for (unsigned i = 0; i < p->opt->prog_count; i++) {
		if (strcmp(p->opt->progs[i].device, value) == 0) {
			err_set(p->err, "--prog: %.40s is given twice: a device has one object", value);
			return -EINVAL;
		}
	}
	if (p->opt->prog_count == OPT_MAX_PROGS) {
		err_set(p->err, "--prog: more than %u are given", OPT_MAX_PROGS);
		return -EINVAL;
	}
	p->opt->progs[p->opt->prog_count++] = (struct opt_prog){value, equals + 1};
	return 0;
}

static int set_vga(struct parser *p, char *value)
{
	if (strcmp(value, "std") == 0)
		p->opt->vga = OPT_VGA_STD;
	else if (strcmp(value, "none") == 0)
		p->opt->vga = OPT_VGA_NONE;
	else
		return need(p, "--vga", "is std or none");
	return 0;
}

static int set_serial(struct parser *p, char *value)
{
	p->opt->serial = value;
	return 0;
}

static int set_debugcon(struct parser *p, char *value)
{
	p->opt->debugcon = value;
	return 0;
}

static int set_stats(struct parser *p, char *value)
{
	p->opt->stats = true;
	p->opt->stats_file = value;
	return 0;
}

static int set_trace(struct parser *p, char *value)
{
	p->opt->trace = value;
	return 0;
}

static int set_qmp(struct parser *p, char *value)
{
	if (strncmp(value, "unix:", 5) != 0 || value[5] == '\0') {
		err_set(p->err, "--qmp: '%.80s' is not unix:PATH", value);
		return -EINVAL;
	}
	p->opt->qmp = value;
	return 0;
}

static int set_timeout(struct parser *p, char *value)
{
	uint64_t seconds;

	if (!text_parse_u64(value, strlen(value), 10, &seconds) || seconds < 1 || seconds > TIMEOUT_MAX) {
		err_set(p->err, "--timeout: '%.40s' is not a whole number of seconds from 1 to %u", value, TIMEOUT_MAX);
		return -EINVAL;
	}
	p->opt->timeout_s = (unsigned)seconds;
	return 0;
}

static int set_no_pv(struct parser *p, char *value)
{
	(void)value;
	p->opt->no_pv = true;
	return 0;
}

static int set_testdev(struct parser *p, char *value)
{
	(void)value;
	p->opt->testdev = true;
	return 0;
}

static int set_quiet(struct parser *p, char *value)
{
	(void)value;
	p->opt->quiet = true;
	return 0;
}

/* ---- the table -------------------------------------------------------------------------------- */

enum takes { VALUE, NO_VALUE, MAYBE_VALUE };

struct option_row {
	const char *name;
	enum takes takes;
	bool repeats;
	int (*set)(struct parser *p, char *value);
	const char *value; /* its name in --help */
	const char *help;
};

static const struct option_row rows[] = {
	{"--kernel", VALUE, false, set_kernel, "FILE",
		"boot a Linux bzImage, a PVH or multiboot-1 kernel, or a flat binary at 0x7c00"},
	{"--append", VALUE, false, set_append, "TEXT", "the kernel's command line"},
	{"--initrd", VALUE, false, set_initrd, "FILE[,FILE...]",
		"the kernel's modules; each may be \"FILE ARGUMENTS\""},
	{"--bios", VALUE, false, set_bios, "FILE", "boot a BIOS image (default: " OPT_DEFAULT_BIOS ")"},
	{"--disk", VALUE, false, set_disk, "FILE[,ro]", "raw disk image on the first IDE channel; ,ro refuses writes"},
	{"--mem", VALUE, false, set_mem, "SIZE", "guest memory, 1M to 3G (default: 64M)"},
	{"--cpus", VALUE, false, set_cpus, "N", "1 to 8 (more than 1 only on KVM; default: 1)"},
	{"--cpu", VALUE, false, set_cpu, "KIND",
		"auto (default), kvm, soft, or script=FILE[,nocheck]: replay accesses"},
	{"--cpu-model", VALUE, false, set_cpu_model, "MODEL",
		"host (default), max or a name of `hotreg cpu-models`, with ,+FEATURE and ,-FEATURE (KVM only)"},
	{"--accel", VALUE, false, set_accel, "MODE", "off, auto (default), on, on=vmm, on=kernel, check"},
	{"--pins", VALUE, false, set_pins, "DIR", "take programs for the kernel tier from where `hotreg pin` put them"},
	{"--page", VALUE, false, set_page, "MODE",
		"read-only pages for hot registers: off, auto (default), on, on=DEVICE; [,gap=US]"},
	{"--prog", VALUE, true, set_prog, "DEVICE=FILE", "use this object's programs for a device"},
	{"--vga", VALUE, false, set_vga, "KIND", "std or none (default: none with --kernel, else std)"},
	{"--serial", VALUE, false, set_serial, "WHERE", "COM1: stdio (default), FILE or none"},
	{"--debugcon", VALUE, false, set_debugcon, "WHERE",
		"debug console at 0xe9 and 0x402: stdio or FILE (default: none)"},
	{"--stats", MAYBE_VALUE, false, set_stats, "[=FILE.json]",
		"count and time each register; a table at the end, or JSON"},
	{"--trace", VALUE, false, set_trace, "FILE",
		"write every access as the devices saw it; --cpu script=FILE replays it"},
	{"--qmp", VALUE, false, set_qmp, "unix:PATH", "listen there for QMP clients and `hotreg ctl`"},
	{"--timeout", VALUE, false, set_timeout, "SECONDS", "end the VM after that time, with status 124"},
	{"--no-pv", NO_VALUE, false, set_no_pv, "", "hide KVM's paravirtual clock: the guest uses the chips"},
	{"--testdev", NO_VALUE, false, set_testdev, "", "add the test device that third-party test kernels expect"},
	{"--quiet", NO_VALUE, false, set_quiet, "", "no notices on standard error"},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

void options_help(void)
{
	printf("usage: hotreg run [OPTION...]\n\n"
	       "Boots a guest: from a BIOS (the default), or a kernel directly. OPTION VALUE and OPTION=VALUE are the "
	       "same.\n\n");
	for (unsigned i = 0; i < ROW_COUNT; i++) {
		char left[40];

		snprintf(left, sizeof(left), "%s%s%s", rows[i].name, rows[i].takes == VALUE ? " " : "", rows[i].value);
		printf("  %-26s %s\n", left, rows[i].help);
	}
	printf("\n"
	       "In a terminal, Ctrl-C or Ctrl-A X ends hotreg; Ctrl-A C sends the guest a Ctrl-C, Ctrl-A Ctrl-A a "
	       "Ctrl-A.\n"
	       "A script has lines TIME_NS r|w pio|mmio ADDR SIZE VALUE, ? for a read that is not checked; ,nocheck\n"
	       "checks none, for the trace of a guest whose clocks differ from one run to the next.\n\n"
	       "Exit status:\n"
	       "    0  the guest shut down, the script ended, or you ended the VM (Ctrl-C, SIGTERM)\n"
	       "    2  hotreg could not do what was asked; for a script also: a read gave another value\n"
	       "    4  --accel check found a divergence between a program and its model\n"
	       "    6  KVM or the software CPU failed inside\n"
	       "  124  --timeout\n"
	       "  odd  the guest's own, (value << 1) | 1 from the debug-exit port 0xf4\n");
}

/* ---- parsing ---------------------------------------------------------------------------------- */

static const struct option_row *find_row(const char *arg, size_t length)
{
	for (unsigned i = 0; i < ROW_COUNT; i++) {
		if (strlen(rows[i].name) == length && memcmp(rows[i].name, arg, length) == 0)
			return &rows[i];
	}
	return NULL;
}

/* Takes argv[*at] and its value; *at is left at the last one taken. */
static int take_option(struct parser *p, int argc, char **argv, int *at)
{
	char *arg = argv[*at];
	char *equals = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
	const struct option_row *row = find_row(arg, equals ? (size_t)(equals - arg) : strlen(arg));
	char *value = equals ? equals + 1 : NULL;
	uint32_t bit;

	if (!row && arg[0] != '-') {
		err_set(p->err,
			"'%.80s' is not an option; a disk image is given as --disk FILE, a kernel as --kernel FILE",
			arg);
		return -EINVAL;
	}
	if (!row) {
		err_set(p->err, "unknown option '%.80s'; `hotreg run --help` lists them", arg);
		return -EINVAL;
	}
	bit = 1u << (row - rows);
	if ((p->seen & bit) && !row->repeats)
		return need(p, row->name, "is given twice");
	p->seen |= bit;
	if (row->takes == NO_VALUE && value)
		return need(p, row->name, "takes no value");
	if (row->takes == VALUE && !value && *at + 1 < argc)
		value = argv[++*at];
	if ((row->takes == VALUE && !value) || (value && *value == '\0' && row->set != set_append)) {
		err_set(p->err, "%s wants a value: %s", row->name, row->value);
		return -EINVAL;
	}
	return row->set(p, value);
}

/* ---- what does not go together ---------------------------------------------------------------- */

static const char *contradiction(const struct options *opt)
{
	if (opt->kernel && opt->bios)
		return "--kernel boots without a BIOS: give --kernel or --bios, not both";
	if (opt->append && !opt->kernel)
		return "--append is the command line of --kernel, which is not given";
	if (opt->initrd && !opt->kernel)
		return "--initrd is the module of --kernel, which is not given";
	if (opt->cpu == OPT_CPU_SCRIPT && (opt->kernel || opt->bios))
		return "--cpu script runs no guest code: leave out --kernel and --bios";
	if (opt->cpu == OPT_CPU_SCRIPT && opt->cpus > 1)
		return "--cpu script has one vCPU: leave out --cpus";
	if (opt->cpu == OPT_CPU_SOFT && opt->cpus > 1)
		return "--cpu soft has one vCPU: use --cpu kvm, or leave out --cpus";
	if (opt->cpu_model_text && opt->cpu == OPT_CPU_SCRIPT)
		return "--cpu script has no processor: leave out --cpu-model";
	if (opt->cpu_model_text && opt->cpu == OPT_CPU_SOFT && strcmp(opt->cpu_model_text, "max") != 0)
		return "--cpu soft is one model of its own, which is max: leave out --cpu-model, or use --cpu kvm";
	if (opt->cpus > 1 && !cpuid_wants_apic(&opt->cpu_model))
		return "several vCPUs need local APICs, which this --cpu-model has not: use --cpus 1 or another model";
	if (opt->accel == OPT_ACCEL_OFF && opt->prog_count)
		return "--accel off runs no programs: leave out --prog, or use --accel on or check";
	if (opt->pins &&
		(opt->accel == OPT_ACCEL_OFF || opt->accel == OPT_ACCEL_CHECK || opt->accel == OPT_ACCEL_ON_VMM))
		return "--pins is for the kernel tier, which this --accel has not: use --accel on=kernel or auto";
	if (opt->page == OPT_PAGE_ON && opt->accel == OPT_ACCEL_OFF)
		return "--page on shows what programs answer, and --accel off runs none: leave out one of them";
	if (opt->page == OPT_PAGE_ON && (opt->cpu == OPT_CPU_SOFT || opt->cpu == OPT_CPU_SCRIPT))
		return "--page on needs KVM, which maps the page: use --cpu kvm, or leave it out";
	if (opt->page == OPT_PAGE_ON && opt->trace)
		return "--trace has to see every access: leave out --page on";
	return NULL;
}

struct named_file {
	const char *option, *path;
};

/* Writing one would change the other. Devices, FIFOs and terminals may be written by two. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	if (stat(a, &sa) < 0 || stat(b, &sb) < 0)
		return strcmp(a, b) == 0;
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino && (S_ISREG(sa.st_mode) || S_ISBLK(sa.st_mode));
}

/* What hotreg writes must not be what it or the guest reads, nor what it writes for another option. */
static int check_overlaps(const struct options *opt, struct accel_err *err)
{
	const bool has_serial = strcmp(opt->serial, "stdio") != 0 && strcmp(opt->serial, "none") != 0;
	const bool has_debugcon =
		opt->debugcon && strcmp(opt->debugcon, "stdio") != 0 && strcmp(opt->debugcon, "none") != 0;
	enum { OUTPUTS = 5, OTHERS = 4 };
	struct named_file files[OUTPUTS + OTHERS + OPT_MAX_PROGS] = {
		{"--serial", has_serial ? opt->serial : NULL},
		{"--debugcon", has_debugcon ? opt->debugcon : NULL},
		{"--stats", opt->stats_file},
		{"--trace", opt->trace},
		{"--qmp", opt->qmp ? opt->qmp + 5 : NULL},
		{"--kernel", opt->kernel},
		{"--bios", opt->bios},
		{"--disk", opt->disk},
		{"--cpu script", opt->script},
	};

	for (unsigned i = 0; i < opt->prog_count; i++)
		files[OUTPUTS + OTHERS + i] = (struct named_file){"--prog", opt->progs[i].file};
	for (unsigned i = 0; i < OUTPUTS; i++) {
		for (unsigned j = i + 1; j < OUTPUTS + OTHERS + opt->prog_count; j++) {
			if (!files[i].path || !files[j].path || !is_same_file(files[i].path, files[j].path))
				continue;
			err_set(err, "%s would overwrite %.300s, the same file as that of %s: name another",
				files[i].option, files[i].path, files[j].option);
			return -EINVAL;
		}
	}
	return 0;
}

/* The file is there, is no directory, and may be read (or written). */
static int check_file(const char *option, const char *path, int mode, struct accel_err *err)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		err_set(err, "%s: cannot open %.300s: %s", option, path, strerror(errno));
		return -EINVAL;
	}
	if (S_ISDIR(st.st_mode)) {
		err_set(err, "%s: %.300s is a directory, not a file", option, path);
		return -EINVAL;
	}
	if (access(path, mode) == 0)
		return 0;
	if (strcmp(option, "--disk") == 0 && access(path, R_OK) == 0)
		err_set(err, "--disk: %.300s may not be written (%s): give --disk FILE,ro to refuse the guest's writes",
			path, strerror(errno));
	else
		err_set(err, "%s: %.300s may not be read: %s", option, path, strerror(errno));
	return -EINVAL;
}

static int check_files(const struct options *opt, struct accel_err *err)
{
	int rc = 0;

	if (opt->kernel)
		rc = check_file("--kernel", opt->kernel, R_OK, err);
	if (!rc && opt->bios)
		rc = check_file("--bios", opt->bios, R_OK, err);
	if (!rc && opt->disk)
		rc = check_file("--disk", opt->disk, opt->disk_readonly ? R_OK : R_OK | W_OK, err);
	if (!rc && opt->script)
		rc = check_file("--cpu script", opt->script, R_OK, err);
	for (unsigned i = 0; i < opt->prog_count && !rc; i++)
		rc = check_file("--prog", opt->progs[i].file, R_OK, err);
	if (!rc && !opt->kernel && !opt->bios && opt->cpu != OPT_CPU_SCRIPT && access(OPT_DEFAULT_BIOS, R_OK) != 0) {
		err_set(err, "no BIOS at " OPT_DEFAULT_BIOS
			     ": install the package seabios, or give --bios FILE or --kernel FILE");
		rc = -EINVAL;
	}
	return rc;
}

int options_parse(struct options *opt, int argc, char **argv, struct accel_err *err)
{
	struct parser p = {.opt = opt, .err = err};
	const char *text;
	int rc;

	*opt = (struct options){.mem_bytes = MEM_DEFAULT,
		.cpus = 1,
		.serial = "stdio",
		.accel = OPT_ACCEL_AUTO,
		.page = OPT_PAGE_AUTO,
		.page_by_default = true,
		.page_gap_us = OPT_PAGE_GAP_US};
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			options_help();
			return 1;
		}
		rc = take_option(&p, argc, argv, &i);
		if (rc)
			return rc;
	}
	text = contradiction(opt);
	if (text) {
		err_set(err, "%s", text);
		return -EINVAL;
	}
	rc = check_overlaps(opt, err);
	return rc ? rc : check_files(opt, err);
}
