// SPDX-License-Identifier: BSD-2-Clause
/*
 * doctor.c: `hotreg doctor` and the choice of --cpu auto.
 *
 * Each line is one fact about this host, found out by trying it; a line that says "no" ends with
 * what to do about it. Nothing is changed on the host.
 */
#include "vmm/doctor.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/boot.h"
#include "vmm/kvm_state.h"
#include "vmm/kvm_tier.h"
#include "vmm/options.h"
#include "vmm/page_host.h"
#include "vmm/vm.h"

/* ---- --cpu auto ------------------------------------------------------------------------------ */

/* The first thing that the software CPU could do and this KVM cannot; NULL: none. */
static const char *kvm_lacks(const struct kvm_probe *p, const char **reason)
{
	*reason = p->reason[0];
	if (!p->real_mode)
		return "real mode";
	*reason = p->reason[1];
	if (!p->flat32)
		return "32-bit protected mode";
	*reason = p->reason[2];
	if (!p->int_n32)
		return "INT n in protected mode";
	return NULL;
}

const struct cpu_ops *doctor_pick_cpu(const struct kvm_probe *probe, const char *needs_kvm, char *why, size_t why_bytes)
{
	const char *reason, *lacks = kvm_lacks(probe, &reason);

	if (needs_kvm) {
		snprintf(why, why_bytes, "kvm, since %s%s", needs_kvm,
			probe->open_error || !lacks
				? ""
				: "; this KVM fails a self-test, so the guest may not run: see `hotreg doctor`");
		return &cpu_kvm_ops;
	}
	if (probe->open_error) {
		snprintf(why, why_bytes, "soft, since /dev/kvm does not open (%s)", strerror(-probe->open_error));
		return &cpu_soft_ops;
	}
	if (lacks) {
		snprintf(why, why_bytes, "soft, since this host's KVM cannot do %s (%s)", lacks, reason);
		return &cpu_soft_ops;
	}
	snprintf(why, why_bytes, "kvm, which passes its self-test");
	return &cpu_kvm_ops;
}

const struct cpu_ops *doctor_auto_cpu(const struct options *opt, char *why, size_t why_bytes)
{
	const char *needs_kvm = NULL;
	struct kvm_probe probe;

	if (opt->cpus > 1)
		needs_kvm = "the guest has more than one vCPU";
	else if (opt->cpu_model_text && strcmp(opt->cpu_model_text, "max") != 0)
		needs_kvm = "--cpu-model names a processor that the software CPU is not";
	else if (boot_needs_paging(opt))
		needs_kvm = "the kernel needs paging or long mode (Linux, or an ELF64 file)";
	kvm_probe_quick(&probe);
	return doctor_pick_cpu(&probe, needs_kvm, why, why_bytes);
}

/* ---- the lines ------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void line(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("%-22s", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void line_test(const char *what, bool works, const char *reason, const char *remedy)
{
	if (works)
		line(what, "works");
	else
		line(what, "no: %s; %s", reason, remedy);
}

/* Says that KVM does not open, with kvm_open()'s own remedy. */
static void lines_no_kvm(void)
{
	struct accel_err err = {"it opened this time: run `hotreg doctor` again"};
	int fd = kvm_open(&err);

	if (fd >= 0)
		close(fd);
	line("KVM", "no: %s", err.text);
}

/* Whether a register can be shown as memory: tried, not looked up. */
static void line_page(void)
{
	struct page_probe probe;

	page_probe_run(&probe, -1);
	if (!probe.works)
		line("  page tier", "no: %s; reads of the HPET leave the guest, as they do without --page",
			probe.reason);
	else
		line("  page tier",
			"works: %llu loads from a read-only page are whole, %.0f ns each with their loop; an exit "
			"%.1f us; %u processors",
			(unsigned long long)probe.loads, (double)probe.load_ns, (double)probe.exit_ns / 1000,
			page_host_processors(""));
}

static void lines_kvm(const struct kvm_probe *p)
{
	const char *soft = "guests that need it: --cpu soft";
	const char *other = "guests that need it: another host (the software CPU has no paging)";

	if (p->open_error) {
		lines_no_kvm();
		return;
	}
	line("KVM", "API %d%s%s%s", p->api_version, p->readonly_mem ? ", read-only memory" : "",
		p->coalesced_pio ? ", coalesced ports" : "", p->coalesced_mmio ? ", coalesced MMIO" : "");
	if (!p->immediate_exit)
		line("  immediate exit", "no: hotreg needs Linux 4.13 or later for KVM; --cpu soft works");
	if (p->split_irqchip)
		line("  split irqchip", "works: local APICs in the kernel, up to %d vCPUs", VM_MAX_CPUS);
	else
		line("  split irqchip", "no: one vCPU without an APIC; more need Linux 4.5 or later");
	if (!p->readonly_mem)
		line("  read-only memory", "no: the guest can overwrite its BIOS; harmless for most, else --cpu soft");
	if (!p->coalesced_mmio || !p->coalesced_pio)
		line("  deferred writes",
			"no: this KVM cannot queue writes to %s, so each leaves the guest; harmless, only slower",
			p->coalesced_mmio ? "ports" : "ports and memory");
	else
		line("  deferred writes", "works: writes to plain registers do not leave the guest");
	line_test("  real mode", p->real_mode, p->reason[0], soft);
	line_test("  32-bit flat", p->flat32, p->reason[1], soft);
	line_test("  INT n, protected", p->int_n32, p->reason[2], soft);
	line_test("  32-bit paging", p->paging32, p->reason[3], other);
	line_test("  long mode", p->long_mode, p->reason[4], other);
	if (p->cpuid)
		line("  CPUID as set", "works: --cpu-model hides what the model has not");
	else
		line("  CPUID as set", "no: %s; a guest may see more features than --cpu-model says, never fewer",
			p->reason[5]);
	if (p->exit_ns && p->insn_ns > 0)
		line("  speed", "one exit %.1f us, one instruction %.1f ns%s", (double)p->exit_ns / 1000, p->insn_ns,
			p->insn_ns > 20 ? " (this KVM emulates instructions: expect slow guests)" : "");
	else
		line("  speed", "not measured: the timing guest failed");
	line_page();
}

/* bpf(2) is not needed to run; the tests compare with the kernel's verifier where they may. */
static void line_bpf(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
	int fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd >= 0) {
		close(fd);
		line("bpf(2)", "allowed: the tests can load the programs into the kernel's own verifier");
	} else if (errno == ENOSYS) {
		line("bpf(2)", "no: this kernel has none; hotreg does not need it, only some tests are skipped");
	} else {
		line("bpf(2)", "no: %s; hotreg does not need it, some tests do: run them as root", strerror(errno));
	}
}

/* mov $0x15, %al; out %al, $0xf4; hlt */
static const uint8_t soft_guest[] = {0xb0, 0x15, 0xe6, 0xf4, 0xf4};
#define SOFT_GUEST_STATUS ((0x15 << 1) | 1)

/* Runs a whole small VM on the software CPU. */
static bool soft_self_test(char *reason, size_t reason_bytes)
{
	int fd = memfd_create("hotreg-self-test", MFD_CLOEXEC), status;
	struct accel_err err = {""};
	char path[32];
	struct options opt = {
		.kernel = path,
		.mem_bytes = 2u << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SOFT,
		.accel = OPT_ACCEL_OFF,
		.serial = "none",
		.timeout_s = 5,
		.quiet = true,
	};
	struct vm *vm = calloc(1, sizeof(*vm));
	bool works = false;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!vm || fd < 0 || write(fd, soft_guest, sizeof(soft_guest)) != (ssize_t)sizeof(soft_guest)) {
		snprintf(reason, reason_bytes, "cannot make the test guest: %s", strerror(errno));
	} else if (vm_create(vm, &opt, &err)) {
		snprintf(reason, reason_bytes, "%.200s", err.text);
	} else {
		status = vm_run(vm, &err);
		vm_destroy(vm);
		works = status == SOFT_GUEST_STATUS;
		if (!works)
			snprintf(reason, reason_bytes, "its test guest ended with status %d %.200s", status, err.text);
	}
	free(vm);
	if (fd >= 0)
		close(fd);
	return works;
}

static void line_bios(void)
{
	struct stat st;

	if (stat(OPT_DEFAULT_BIOS, &st) < 0)
		line("SeaBIOS", "no: %s: %s; install the package seabios, or give --bios FILE or --kernel FILE",
			OPT_DEFAULT_BIOS, strerror(errno));
	else
		line("SeaBIOS", "%s, %lld KiB", OPT_DEFAULT_BIOS, (long long)st.st_size / 1024);
	if (stat(OPT_VGA_BIOS, &st) < 0)
		line("VGA BIOS", "no: %s: %s; a BIOS boot has an empty screen", OPT_VGA_BIOS, strerror(errno));
	else
		line("VGA BIOS", "%s, %lld KiB", OPT_VGA_BIOS, (long long)st.st_size / 1024);
}

/* Whether programs can run inside this KVM. */
static bool line_tier(void)
{
	struct accel_err err = {""};
	int kvm_fd = kvm_open(&err);
	const char *missing = kvm_fd < 0 ? "/dev/kvm does not open" : kvm_tier_missing(kvm_fd, false);
	const char *remedy = kvm_fd >= 0 && !kvm_tier_missing(kvm_fd, true)
				     ? "`hotreg pin` by who may, then --pins"
				     : "see `make kernel-tier`, until then programs run in hotreg itself";

	if (kvm_fd >= 0)
		close(kvm_fd);
	line("kernel tier", missing ? "no: %s; %s" : "works", missing, remedy);
	return !missing;
}

int doctor_run(void)
{
	char why[256], reason[256] = "";
	struct kvm_probe probe;
	bool soft, kvm, has_tier;

	kvm_probe(&probe);
	lines_kvm(&probe);
	soft = soft_self_test(reason, sizeof(reason));
	line_test("software CPU", soft, reason, "please report this");
	line_bios();
	line_bpf();
	has_tier = line_tier();
	doctor_pick_cpu(&probe, NULL, why, sizeof(why));
	line("--cpu auto", "picks %s", why);
	if (!probe.open_error)
		line("", "(kvm for Linux and kernels that are ELF64 files, and for more than one vCPU)");
	line("--accel auto", has_tier ? "picks on=kernel" : "picks on=vmm");
	kvm = !probe.open_error && probe.immediate_exit && probe.real_mode;
	if (!soft && !kvm)
		line("", "no CPU backend works here: guests cannot run");
	return soft || kvm ? 0 : EXIT_USAGE;
}
