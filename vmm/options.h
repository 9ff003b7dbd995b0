/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.h: the command line of `hotreg run`, parsed and checked. Constant afterwards.
 * Strings point into argv, in which "FILE,ro" and "DEVICE=FILE" are cut in place.
 */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"
#include "vmm/cpuid.h"

#define HOTREG_VERSION_MAJOR 0
#define HOTREG_VERSION_MINOR 1
#define HOTREG_VERSION_MICRO 0
#define HOTREG_VERSION "0.1"

#define OPT_MAX_PROGS 8

enum opt_cpu { OPT_CPU_AUTO, OPT_CPU_KVM, OPT_CPU_SOFT, OPT_CPU_SCRIPT };
enum opt_vga { OPT_VGA_AUTO, OPT_VGA_NONE, OPT_VGA_STD };
enum opt_page { OPT_PAGE_OFF, OPT_PAGE_AUTO, OPT_PAGE_ON };
#define OPT_PAGE_GAP_US 50 /* how late the page tier's publisher may be */
enum opt_accel { OPT_ACCEL_OFF, OPT_ACCEL_AUTO, OPT_ACCEL_ON, OPT_ACCEL_ON_VMM, OPT_ACCEL_ON_KERNEL, OPT_ACCEL_CHECK };

struct opt_prog {
	const char *device;
	const char *file;
};

struct options {
	const char *kernel, *append, *initrd; /* NULL when not given */
	const char *bios;
	const char *disk;
	bool disk_readonly;
	uint64_t mem_bytes;
	unsigned cpus;
	enum opt_cpu cpu;
	struct cpuid_request cpu_model; /* all zeros: not given, the host's */
	const char *cpu_model_text;	/* NULL when not given */
	const char *script;
	bool script_nocheck; /* replay without comparing what is read */
	enum opt_accel accel;
	enum opt_page page;
	bool page_by_default;	 /* nobody asked, so nothing is said where there is none */
	const char *page_device; /* with on: this one only; NULL: all */
	unsigned page_gap_us;
	const char *pins;   /* where programs for the kernel tier are pinned; NULL: they are loaded */
	const char *pin_to; /* `hotreg pin`: pin them there, and run nothing; NULL: run */
	struct opt_prog progs[OPT_MAX_PROGS];
	unsigned prog_count;
	enum opt_vga vga;     /* auto: none for a kernel, else std */
	const char *serial;   /* "stdio", "none" or a file */
	const char *debugcon; /* NULL: none; "stdio" or a file */
	bool stats;
	const char *stats_file;
	const char *trace;
	const char *qmp;    /* "unix:PATH" */
	unsigned timeout_s; /* 0: none */
	bool testdev;	    /* devices/testdev.h is there */
	bool no_pv;	    /* no paravirtual features for KVM guests */
	bool quiet;
	uint64_t process_start_ns; /* set by main: CLOCK_MONOTONIC when the process began */
};

#define OPT_DEFAULT_BIOS "/usr/share/seabios/bios-256k.bin"
#define OPT_VGA_BIOS "/usr/share/seabios/vgabios-isavga.bin"

static inline bool options_has_vga(const struct options *opt)
{
	return opt->vga == OPT_VGA_STD || (opt->vga == OPT_VGA_AUTO && !opt->kernel);
}

/* argv after `run`. 0; -EINVAL with one line in err; 1 when --help was printed. */
int options_parse(struct options *opt, int argc, char **argv, struct accel_err *err);
void options_help(void);

#endif
