/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_jit.c: what a program costs by itself: interpreter, JIT, the same C source compiled by gcc -O2 and called
 * through a pointer, and where bpf(2) is allowed the running kernel's JIT on the same object (one access of the program, on
 * the same data). All shipped programs on the accesses they are there for, then kernels.bpf.c. They
 * are measured in turn within each round; medians over the rounds, and the medians of the rounds' ratios, with their
 * 10th and 90th percentile. Every engine's answer is checked against gcc's first. Called by scripts/bench.sh.
 *
 * usage: bench_jit KERNELS.bpf.o [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "accel/engine.h"
#include "accel/object.h"
#include "accel/progcmd_bench.h"
#include "accel/progcmd_int.h"
#include "bpf/ata.h"
#include "bpf/hpet.h"
#include "bpf/i16550.h"
#include "bpf/i8042.h"
#include "bpf/i8254.h"
#include "bpf/i8259.h"
#include "bpf/ioapic.h"
#include "bpf/mc146818.h"
#include "bpf/pci.h"
#include "bpf/pmtimer.h"
#include "bpf/vga.h"
#include "devices/programs.h"
#include "tests/bench/host_prog.h"
#include "tests/bench/kernels.h"

#define MAX_ROUNDS 201
#define BATCH_NS 40000 /* what one engine runs before it is the next one's turn */
#define FROZEN_NS UINT64_C(86400123456789)

/* The programs' sources, compiled for the host, and their pages there. */
extern struct ata_page ata_state;
extern struct hpet_page hpet_state;
extern struct i8254_page i8254_state;
extern struct ioapic_page ioapic_state;
extern struct kbc_page kbc_state;
extern struct pci_page pci_state;
extern struct pic_page pic_state;
extern struct pm_page pm_state;
extern struct rtc_page rtc_state;
extern struct uart_page uart_state;
extern struct vga_page vga_state;
extern struct kernel_page kernel_state;
int ata_regs(struct hr_io *io), ata_data(struct hr_io *io), ata_ctl(struct hr_io *io), hpet(struct hr_io *io),
	pm(struct hr_io *io);
int i8254(struct hr_io *io), port61(struct hr_io *io), mc146818(struct hr_io *io);
int i16550(struct hr_io *io), i8042_status(struct hr_io *io), port92(struct hr_io *io), i8259_master(struct hr_io *io);
int ioapic(struct hr_io *io), pci_addr(struct hr_io *io), pci_data(struct hr_io *io);
int vga(struct hr_io *io), vga_crtc(struct hr_io *io), vga_status(struct hr_io *io);
int arithmetic(struct hr_io *io), division(struct hr_io *io), branches(struct hr_io *io), memory(struct hr_io *io);
int calls(struct hr_io *io), bits(struct hr_io *io);

static void die(const char *what, const char *text)
{
	fprintf(stderr, "bench_jit: %s: %s\n", what, text);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t frozen_clock(void)
{
	return FROZEN_NS;
}

uint64_t (*host_prog_clock)(void) = now_ns;
static const struct accel_clock host_clock; /* all zero: the host's */

/* ---- what is measured ---- */

#define RD(o, s)                                                                                                       \
	{                                                                                                              \
		.offset = o, .size = s                                                                                 \
	}
#define WR(o, s, v)                                                                                                    \
	{                                                                                                              \
		.offset = o, .size = s, .is_write = 1, .value = v                                                      \
	}

struct item {
	const char *object, *prog, *what;
	int (*host)(struct hr_io *io);
	void *host_page;
	struct hr_io io[3];
	unsigned io_count;
	bool reads_time;
};

static const struct item items[] = {
	{"hpet", "hpet", "main counter", hpet, &hpet_state, {RD(0xf0, 8)}, 1, true},
	{"pmtimer", "pm", "timer", pm, &pm_state, {RD(8, 4)}, 1, true},
	{"i8254", "i8254", "latch, two reads", i8254, &i8254_state, {WR(3, 1, 0), RD(0, 1), RD(0, 1)}, 3, true},
	{"i8254", "port61", "read", port61, &i8254_state, {RD(0, 1)}, 1, true},
	{"mc146818", "mc146818", "index, minutes", mc146818, &rtc_state, {WR(0, 1, 2), RD(1, 1)}, 2, true},
	{"ata", "ata_regs", "status", ata_regs, &ata_state, {RD(ATA_STATUS, 1)}, 1, false},
	{"ata", "ata_regs", "task file write", ata_regs, &ata_state, {WR(ATA_NSECT, 1, 1)}, 1, false},
	{"ata", "ata_data", "a word of a block", ata_data, &ata_state, {RD(ATA_DATA, 2)}, 1, false},
	{"ata", "ata_data", "8 bytes of a rep ins", ata_data, &ata_state, {RD(ATA_DATA, 8)}, 1, false},
	{"ata", "ata_ctl", "alternate status", ata_ctl, &ata_state, {RD(0, 1)}, 1, false},
	{"vga", "vga_status", "input status 1", vga_status, &vga_state, {RD(0, 1)}, 1, true},
	{"vga", "vga", "a colour of the palette", vga, &vga_state,
		{RD(VGA_DAC_DATA, 1), RD(VGA_DAC_DATA, 1), RD(VGA_DAC_DATA, 1)}, 3, false},
	{"vga", "vga_crtc", "cursor: index, data", vga_crtc, &vga_state, {WR(0, 1, 0x0f), WR(1, 1, 7)}, 2, false},
	{"pci", "pci_addr", "address", pci_addr, &pci_state, {WR(0, 4, 0x80000908)}, 1, false},
	{"pci", "pci_data", "data", pci_data, &pci_state, {RD(0, 4)}, 1, false},
	{"i16550", "i16550", "line status", i16550, &uart_state, {RD(UART_LSR, 1)}, 1, false},
	{"i8042", "i8042_status", "status", i8042_status, &kbc_state, {RD(0, 1)}, 1, false},
	{"i8042", "port92", "read", port92, &kbc_state, {RD(0, 1)}, 1, false},
	{"i8259", "i8259_master", "mask", i8259_master, &pic_state, {RD(1, 1)}, 1, false},
	{"ioapic", "ioapic", "selector, window", ioapic, &ioapic_state, {WR(0, 4, 0x12), RD(0x10, 4)}, 2, false},
	{"kernels", "arithmetic", "", arithmetic, &kernel_state, {{.value = 12345}}, 1, false},
	{"kernels", "division", "", division, &kernel_state, {{.value = FROZEN_NS}}, 1, false},
	{"kernels", "branches", "", branches, &kernel_state, {{.value = 1}}, 1, false},
	{"kernels", "memory", "", memory, &kernel_state, {{.value = 1}}, 1, false},
	{"kernels", "calls", "", calls, &kernel_state, {{.value = 1}}, 1, false},
	{"kernels", "bits", "", bits, &kernel_state, {{.value = 1}}, 1, false},
};

/* Devices in use, not as they come out of reset; the same for each item, whatever ran before. */
static void fill_pages(void)
{
	uint64_t x = 88172645463325252;

	ata_state.s.present = 1;
	ata_state.s.status = ATA_DRDY | ATA_DSC;
	ata_state.s.phase = ATA_TO_HOST;
	ata_state.s.pos = 0;
	ata_state.s.len = UINT32_MAX; /* a block that does not end while this runs */
	hpet_state.s.config = HPET_ENABLE_CNF;
	pm_state.s.mask = 0xffffffff;
	uart_state.s.plain = 1u << UART_LSR;
	uart_state.s.shown = UINT64_C(0x60) << 8 * UART_LSR;
	vga_state.s.timing = (struct vga_timing){.dot_hz = 28322000, /* mode 3 */
		.scan_dots = 900,
		.show_dots = 720,
		.line_dots = 900,
		.frame_dots = 900 * 449,
		.lines = 449,
		.show_lines = 400,
		.retrace_line = 412,
		.retrace_lines = 2};
	for (unsigned i = 0; i < 3; i++) {
		struct i8254_counter *c = &i8254_state.s.counters[i];

		c->t.control = I8254_RW_BOTH << I8254_RW_SHIFT | 2 << 1; /* mode 2 */
		c->t.n = c->t.load_n = c->reload = 65536;
		c->t.gate = 1;
		c->has_count = 1;
	}
	for (unsigned i = 0; i < KERNEL_WORDS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		kernel_state.s.words[i] = x;
	}
}

static struct accel_object *open_object(const char *name, const char *kernels)
{
	static const struct program_image images[] = {PROGRAMS(PROGRAM_ROW)};
	struct accel_object *obj = NULL;
	struct accel_err err;
	int rc = -1;

	for (unsigned i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		if (strcmp(images[i].name, name) == 0)
			rc = accel_object_open(
				name, images[i].start, (size_t)(images[i].end - images[i].start), &obj, &err);
	}
	if (!obj)
		rc = accel_object_open_file(kernels, &obj, &err);
	if (rc)
		die(name, err.text);
	return obj;
}

/* ---- measuring ---- */

enum { INTERP, JIT, GCC, WAYS };
static bool has_kernel; /* bpf(2) is allowed, and compiles */

struct runner {
	const struct item *item;
	struct accel_object *obj;
	const struct prog *prog;
	struct prog_env env[2]; /* of INTERP and JIT; each has a page of its own */
	struct engine_code *code[2];
	unsigned calls; /* in a batch, the faster the more */
};

static uint64_t run_once(struct runner *r, unsigned way, struct hr_io *io)
{
	return way == GCC ? (uint64_t)(unsigned)r->item->host(io) : engine_run(r->code[way], io);
}

static double batch(struct runner *r, unsigned way, unsigned calls)
{
	const struct item *item = r->item;
	struct hr_io io[3];
	uint64_t t0;

	memcpy(io, item->io, sizeof(io));
	t0 = now_ns();
	if (way == GCC) {
		int (*volatile host)(struct hr_io *) = item->host;

		for (unsigned i = 0; i < calls; i++)
			for (unsigned k = 0; k < item->io_count; k++)
				host(&io[k]);
	} else {
		const struct engine_code *code = r->code[way];

		for (unsigned i = 0; i < calls; i++)
			for (unsigned k = 0; k < item->io_count; k++)
				engine_run(code, &io[k]);
	}
	return (double)(now_ns() - t0) / calls;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *v, unsigned n, double q)
{
	double s[MAX_ROUNDS];

	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), by_value);
	return s[(unsigned)((n - 1) * q + 0.5)];
}

static void prepare(struct runner *r, const struct item *item, const char *kernels, bool is_frozen)
{
	memset(r, 0, sizeof(*r));
	fill_pages();
	r->item = item;
	r->obj = open_object(item->object, kernels);
	r->prog = accel_object_find_prog(r->obj, item->prog);
	if (!r->prog)
		die(item->object, "has no such program");
	for (unsigned way = INTERP; way <= JIT; way++) {
		for (unsigned i = 0; i < accel_object_map_count(r->obj); i++) {
			const struct prog_map *map = accel_object_map(r->obj, i);
			uint8_t *data =
				mmap(NULL, map->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (data == MAP_FAILED)
				die("memory", item->object);
			memcpy(data, map->role == MAP_STATE ? item->host_page : map->initial, map->size);
			prog_env_set_map(&r->env[way], i, map, data);
		}
		r->env[way].clock = &host_clock;
		r->env[way].time_is_frozen = is_frozen;
		r->env[way].frozen_ns = FROZEN_NS;
		if (engine_prepare(r->prog, &r->env[way], way == JIT ? ENGINE_BEST : ENGINE_INTERP, &r->code[way]))
			die(item->prog, "cannot be prepared");
	}
	host_prog_clock = is_frozen ? frozen_clock : now_ns;
}

static void finish(struct runner *r)
{
	for (unsigned way = INTERP; way <= JIT; way++) {
		engine_free(r->code[way]);
		for (unsigned i = 0; i < accel_object_map_count(r->obj); i++)
			munmap(r->env[way].map_base[i], accel_object_map(r->obj, i)->size);
	}
	accel_object_put(r->obj);
}

/* At one instant all three must say the same. */
static void check_answers(const struct item *item, const char *kernels)
{
	struct runner r;

	prepare(&r, item, kernels, true);
	for (unsigned k = 0; k < item->io_count; k++) {
		struct hr_io io[WAYS];
		uint64_t verdict[WAYS];

		for (unsigned way = 0; way < WAYS; way++) {
			io[way] = item->io[k];
			verdict[way] = run_once(&r, way, &io[way]);
		}
		for (unsigned way = 0; way < GCC; way++) {
			if (verdict[way] != verdict[GCC] || verdict[way] != HR_ANSWER ||
				memcmp(&io[way], &io[GCC], sizeof(io[0])) != 0)
				die(item->prog, "the engines do not agree, or do not answer");
		}
	}
	finish(&r);
}

/* The same program with the same data in the kernel: of one access, and on the kernel's own clock only. */
static bool open_kernel(struct progcmd_kernel *k, const struct runner *r, bool is_frozen)
{
	struct prog_map maps[PROG_MAX_MAPS];
	struct prog p = *r->prog;
	struct accel_err err;

	if (!has_kernel || r->item->io_count != 1 || (r->item->reads_time && is_frozen))
		return false;
	for (unsigned i = 0; i < p.map_count; i++) {
		maps[i] = p.maps[i];
		if (maps[i].role == MAP_STATE)
			maps[i].initial = r->item->host_page;
	}
	p.maps = maps;
	if (progcmd_kernel_open(k, &p, &err)) {
		fprintf(stderr, "bench_jit: %s: not measured in the kernel: %s\n", r->item->prog, err.text);
		return false;
	}
	return true;
}

static void measure(const struct item *item, const char *kernels, bool is_frozen, unsigned rounds)
{
	static double ns[WAYS][MAX_ROUNDS], in_kernel[MAX_ROUNDS], ratio[MAX_ROUNDS], to_kernel[MAX_ROUNDS];
	struct progcmd_kernel kernel;
	unsigned calls[WAYS];
	struct runner r;
	size_t bytes;
	bool with_kernel;

	prepare(&r, item, kernels, is_frozen);
	with_kernel = open_kernel(&kernel, &r, is_frozen);
	for (unsigned way = 0; way < WAYS; way++) {
		double one = batch(&r, way, 200);

		calls[way] = 1 + (unsigned)(BATCH_NS / (one + 1));
		/* who has to learn the program's branches anew in each batch has as many calls for it as the kernel */
		if (with_kernel && way != INTERP && calls[way] < kernel.calls)
			calls[way] = kernel.calls;
	}
	for (unsigned k = 0; k < rounds; k++) {
		for (unsigned i = 0; i < WAYS; i++) {
			unsigned way = (i + k) % WAYS; /* who goes first changes */

			ns[way][k] = batch(&r, way, calls[way]);
		}
		ratio[k] = ns[JIT][k] / ns[GCC][k];
		if (with_kernel && progcmd_kernel_round(&kernel, &item->io[0], &in_kernel[k]))
			die(item->prog, "does not run in the kernel");
		to_kernel[k] = with_kernel ? ns[JIT][k] / in_kernel[k] : 0;
	}
	engine_code_bytes(r.code[JIT], &bytes);
	printf("| %s%s%s%s | %u | %zu | %.1f | %.1f | %.1f | %.2f (%.2f..%.2f) |", item->prog, *item->what ? ", " : "",
		item->what,
		!item->reads_time ? ""
		: is_frozen	  ? " (the clock for free)"
				  : "",
		r.prog->insn_count, bytes, quantile(ns[INTERP], rounds, .5), quantile(ns[JIT], rounds, .5),
		quantile(ns[GCC], rounds, .5), quantile(ratio, rounds, .5), quantile(ratio, rounds, .1),
		quantile(ratio, rounds, .9));
	if (with_kernel) {
		printf(" %.1f | %.2f (%.2f..%.2f) |\n", quantile(in_kernel, rounds, .5),
			quantile(to_kernel, rounds, .5), quantile(to_kernel, rounds, .1),
			quantile(to_kernel, rounds, .9));
		progcmd_kernel_close(&kernel);
	} else {
		printf(" | |\n");
	}
	fflush(stdout);
	finish(&r);
}

/* Nanoseconds of one interpreted instruction: a loop of four, whose number is known. */
static double interpreted_insn(unsigned rounds)
{
	enum { LOOPS = 1000 };
	struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = LOOPS},
		{.code = BPF_ALU64 | BPF_ADD | BPF_X, .src_reg = 2},
		{.code = BPF_ALU64 | BPF_XOR | BPF_K, .imm = 0x55},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -1},
		{.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 2, .off = -4},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct prog prog = {.name = "loop", .insns = insns, .insn_count = 6};
	struct prog_env env = {.time_is_frozen = true};
	static double ns[MAX_ROUNDS];
	struct engine_code *code;
	uint64_t t0;

	if (engine_prepare(&prog, &env, ENGINE_INTERP, &code))
		die("loop", "cannot be prepared");
	for (unsigned k = 0; k < rounds; k++) {
		t0 = now_ns();
		for (unsigned i = 0; i < 10; i++)
			engine_run(code, NULL);
		ns[k] = (double)(now_ns() - t0) / (10 * (4 * LOOPS + 2));
	}
	engine_free(code);
	return quantile(ns, rounds, .5);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 101;

	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS)
		die("usage", "bench_jit KERNELS.bpf.o [ROUNDS, 1..201]");
	if (!engine_has_jit())
		printf("(this build has no JIT: the column shows the interpreter)\n\n");
	has_kernel = !progcmd_kernel_unusable() && progcmd_kernel_has_jit();
	if (!has_kernel)
		printf("(the running kernel is not measured: bpf(2) is not allowed here, or has no JIT)\n\n");
	printf("| program | instructions | bytes of machine code | interpreter, ns | JIT, ns | gcc -O2, ns | JIT / gcc "
	       "(p10..p90) | kernel's JIT, ns | JIT / kernel's (p10..p90) |\n|---|---|---|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		check_answers(&items[i], argv[1]);
		measure(&items[i], argv[1], false, rounds);
		if (items[i].reads_time)
			measure(&items[i], argv[1], true, rounds);
	}
	printf("\none instruction in the interpreter: %.2f ns\n", interpreted_insn(rounds));
	return 0;
}
