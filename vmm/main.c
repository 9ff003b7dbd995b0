// SPDX-License-Identifier: BSD-2-Clause
/*
 * main.c: the commands, and the only place that exits. What a command could not do becomes one
 * line on standard error and status 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "accel/progcmd.h"
#include "vmm/cpuid.h"
#include "vmm/ctl.h"
#include "vmm/doctor.h"
#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/vm.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Were one of them closed, the next file opened would get its number, and the guest's output go into a disk image. */
static bool open_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	}
	return true;
}

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: hotreg run [OPTION...]           boot a guest; hotreg run --help lists the options\n"
		     "       hotreg pin DIR [OPTION...]       load and pin such a guest's programs, for hotreg run "
		     "--pins DIR\n"
		     "       hotreg prog verify|dump|bench|run|exec   for authors of programs: hotreg prog --help\n"
		     "       hotreg ctl PATH COMMAND          stop, cont, reset, programs... of a guest that runs: "
		     "hotreg ctl --help\n"
		     "       hotreg stats|top PATH            its registers: who answers them and what that costs\n"
		     "       hotreg cpu-models                which models --cpu-model knows, and what this host lacks "
		     "for them\n"
		     "       hotreg doctor                    what this host can do, and what hotreg will pick\n"
		     "       hotreg --help | --version\n");
	return status;
}

static int run_command(int argc, char **argv, uint64_t process_start_ns)
{
	struct vm *vm = malloc(sizeof(*vm)); /* 64 KiB of port table: not for the stack */
	struct options opt;
	struct accel_err err = {.text = ""};
	int status;
	int rc = options_parse(&opt, argc, argv, &err);

	if (rc == 1) {
		free(vm);
		return 0;
	}
	opt.process_start_ns = process_start_ns;
	if (rc == 0 && !vm) {
		snprintf(err.text, sizeof(err.text), "out of memory");
		rc = -ENOMEM;
	}
	if (rc == 0)
		rc = vm_create(vm, &opt, &err);
	if (rc == 0) {
		status = vm_run(vm, &err);
		vm_destroy(vm);
	} else {
		status = EXIT_USAGE;
	}
	if (err.text[0])
		fprintf(stderr, "hotreg: %s\n", err.text);
	free(vm);
	return status;
}

/* DIR and options of run, for a machine that has the same programs. Nothing of it runs, and its files are left alone. */
static int pin_command(int argc, char **argv)
{
	struct vm *vm = malloc(sizeof(*vm));
	struct options opt;
	struct accel_err err = {.text = ""};
	int rc;

	if (argc < 1 || argv[0][0] == '-') {
		fprintf(stderr,
			"usage: hotreg pin DIR [OPTION...]: DIR on a BPF file system (mount -t bpf), options as of "
			"hotreg run\n");
		free(vm);
		return EXIT_USAGE;
	}
	rc = options_parse(&opt, argc - 1, argv + 1, &err);
	if (rc == 1) {
		free(vm);
		return 0;
	}
	opt.pin_to = argv[0];
	opt.cpu = OPT_CPU_KVM;
	opt.serial = "none";
	opt.debugcon = opt.trace = opt.qmp = NULL;
	opt.stats = false;
	if (rc == 0 && !vm)
		rc = err_fail(&err, -ENOMEM, "out of memory");
	if (rc == 0)
		rc = vm_create(vm, &opt, &err);
	if (rc == 0) {
		printf("pinned %u programs below %s; for another user: chown -R USER %s; then hotreg run --pins %s\n",
			vm->pinned, argv[0], argv[0], argv[0]);
		vm_destroy(vm);
	}
	if (err.text[0])
		fprintf(stderr, "hotreg: %s\n", err.text);
	free(vm);
	return rc ? EXIT_USAGE : 0;
}

int main(int argc, char **argv)
{
	/* what came before main() was this process's own processor time: loading and linking */
	uint64_t process_start_ns = clock_ns(CLOCK_MONOTONIC) - clock_ns(CLOCK_PROCESS_CPUTIME_ID);

	if (!open_standard_fds())
		return EXIT_USAGE; /* there is nowhere to say why */
	signal(SIGPIPE, SIG_IGN);  /* a closed pipe is a write error, reported as one */
	if (argc < 2)
		return usage(stderr, EXIT_USAGE);
	if (strcmp(argv[1], "run") == 0)
		return run_command(argc - 2, argv + 2, process_start_ns);
	if (strcmp(argv[1], "pin") == 0)
		return pin_command(argc - 2, argv + 2);
	if (strcmp(argv[1], "prog") == 0)
		return prog_command(argc - 1, argv + 1);
	if (strcmp(argv[1], "ctl") == 0)
		return ctl_command(argc - 1, argv + 1);
	if (strcmp(argv[1], "stats") == 0)
		return stats_command(argc - 1, argv + 1);
	if (strcmp(argv[1], "top") == 0)
		return top_command(argc - 1, argv + 1);
	if (strcmp(argv[1], "cpu-models") == 0)
		return cpu_models_command(argc - 2, argv + 2);
	if (strcmp(argv[1], "doctor") == 0)
		return doctor_run();
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage(stdout, 0);
	if (strcmp(argv[1], "--version") == 0) {
		printf("hotreg %s\n", HOTREG_VERSION);
		return 0;
	}
	fprintf(stderr,
		"hotreg: unknown command '%.80s': there are run, pin, prog, ctl, stats, top, cpu-models and doctor "
		"(hotreg --help)\n",
		argv[1]);
	return EXIT_USAGE;
}
