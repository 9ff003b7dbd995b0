/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd.c: `hotreg prog ...`, for those who write programs: finds the command and has it done.
 * Nothing here runs a program in this process that has not been verified.
 */
#include "accel/progcmd.h"
#include "accel/progcmd_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: hotreg prog verify [--json] [--kernel] FILE.bpf.o [PROGRAM]\n"
	"       hotreg prog dump [--jit] FILE.bpf.o [PROGRAM]\n"
	"       hotreg prog bench [--offset N] [--size N] [--write VALUE] FILE.bpf.o [PROGRAM]\n"
	"       hotreg prog verify --ctx-size N [--map MAP]...              <instructions, hexadecimal\n"
	"       hotreg prog run --ctx-size N [--map MAP]... [--interp|--jit] <instructions, hexadecimal\n"
	"       hotreg prog exec --interp|--jit [MEMORY]                    <instructions, hexadecimal\n"
	"\n"
	"An object file\n"
	"  verify   judges its programs as hotreg does before it runs them, and prints for each: its effect\n"
	"           (pure or stateful), whether it reads the time, its instructions, the longest path, and how\n"
	"           long the verdict took. --kernel: what the running kernel's verifier says of it too (needs\n"
	"           bpf(2)). --json: the same for editors and scripts\n"
	"  dump     prints their instructions with the source lines, also of refused programs. --jit: the\n"
	"           machine code too, by objdump where it is installed\n"
	"  bench    nanoseconds a call in the interpreter, as machine code, and in the running kernel (where\n"
	"           bpf(2) is allowed): one access at --offset (0) of --size (4) bytes, a read unless --write\n"
	"\n"
	"Bare instructions, on stdin, two hexadecimal digits a byte, blanks and newlines between bytes\n"
	"  verify   judges them with a context of N read-write bytes; any return value and effect will do\n"
	"  run      the same, then runs them on a zeroed context and prints r0\n"
	"  exec     runs them without a verdict: r1 is the address of MEMORY (hexadecimal; 0 if none), r2 its\n"
	"           length; helper 5 may be called. Prints r0. A fault or an endless loop is told, not suffered\n"
	"  MAP      TYPE:KEYSIZE:VALUESIZE:ENTRIES[:ro|:wo][=HEX], TYPE array or hash (hash: verify only),\n"
	"           ro, wo: what the program may do with values, HEX: the value of element 0. A 64-bit immediate\n"
	"           with src_reg 1 is the map, with src_reg 2 an address in element 0, of the --map whose number,\n"
	"           from 0, is its immediate\n"
	"\n"
	"Exit status: 0 accepted, printed or run; 1 refused, or could not run; 2 usage, an unreadable file, or\n"
	"no right to bpf(2) where that was asked for.\n";

int progcmd_usage(const char *format, ...)
{
	va_list ap;

	fputs("hotreg: prog ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputs(": see hotreg prog --help\n", stderr);
	return PROGCMD_USAGE;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, struct accel_err *err);
} commands[] = {
	{"verify", progcmd_verify},
	{"dump", progcmd_dump},
	{"bench", progcmd_bench},
	{"run", progcmd_run},
	{"exec", progcmd_exec},
};

static bool is_help(const char *arg)
{
	return !strcmp(arg, "--help") || !strcmp(arg, "-h") || !strcmp(arg, "help");
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

int prog_command(int argc, char **argv)
{
	const struct command *command;
	struct accel_err *err;
	int status;

	for (int i = 1; i < argc; i++) {
		if (is_help(argv[i])) {
			fputs(help, stdout);
			return PROGCMD_OK;
		}
	}
	if (argc < 2)
		return progcmd_usage("takes a command: verify, dump, bench, run or exec");
	command = find(argv[1]);
	if (!command)
		return progcmd_usage("has no command '%s'; there is verify, dump, bench, run and exec", argv[1]);
	err = calloc(1, sizeof(*err));
	if (!err) {
		fprintf(stderr, "hotreg: out of memory\n");
		return PROGCMD_USAGE;
	}
	status = command->run(argc - 1, argv + 1, err);
	free(err);
	if (fflush(stdout)) {
		fprintf(stderr, "hotreg: cannot write the output: %s\n", strerror(errno));
		return PROGCMD_USAGE;
	}
	return status;
}
