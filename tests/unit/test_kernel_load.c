/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_kernel_load.c: the shipped objects in the stock kernel, through plain libbpf: its verifier
 * accepts them, and what BPF_PROG_TEST_RUN gives is what the interpreter gives, over random pages
 * and accesses: verdict, result, every byte of the page and of .bss.
 *
 * A program that reads the time ran at some instant between two readings of the clock around it;
 * the test looks for one at which the interpreter gives the very same outcome. No wrap-around and
 * no quantisation can confuse that, unlike a comparison with two bounds.
 * Skips by name where bpf(2) is not allowed; once a trivial program loads, nothing skips.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "accel/object.h"
#include "bpf/vga.h"
#include "devices/programs.h"

/* for each program; the sanitizers slow the search for the instant down a hundredfold */
#ifdef __SANITIZE_ADDRESS__
#define CASES 800
#else
#define CASES 16000
#endif
/* The kernel's clock for programs may differ by so much from clock_gettime() at an update. */
#define CLOCK_SLACK_NS 100
/* What programs decide by comes first in a large page, before its buffers: most changes go there. */
#define LARGE_PAGE 1024
#define NEAR_HEAD 48
/* A run that took longer was interrupted: searching it would take too long. Tried again. */
#define WINDOW_NS 20000
#define WINDOW_TRIES 1000
/* First by steps below the shortest tick (HPET, 10 ns), then one by one. */
#define COARSE_NS 8

static char build_dir[512];
static char libbpf_log[65536];
static size_t libbpf_log_len;

static int keep_log(enum libbpf_print_level level, const char *format, va_list ap)
{
	int n;

	if (level == LIBBPF_DEBUG || libbpf_log_len >= sizeof(libbpf_log) - 1)
		return 0;
	n = vsnprintf(libbpf_log + libbpf_log_len, sizeof(libbpf_log) - libbpf_log_len, format, ap);
	libbpf_log_len += n > 0 ? (size_t)n : 0;
	return 0;
}

/* Why bpf(2) cannot be used here, or NULL: asked with `r0 = 0; exit`, not with what is tested. */
static const char *no_bpf(void)
{
	static char why[128];
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "probe", "GPL", insns, 2, &opts);

	if (fd >= 0) {
		close(fd);
		return NULL;
	}
	snprintf(why, sizeof(why), "bpf(2) does not load a program of type syscall here: %s%s", strerror(errno),
		errno == EPERM	  ? " (root or CAP_BPF is needed)"
		: errno == EINVAL ? " (Linux 5.14 or newer is needed)"
				  : "");
	return why;
}

/* ---- one object in both places ------------------------------------------------------------- */

struct both {
	const char *name;
	struct accel_object *ours;
	struct bpf_object *theirs;
	unsigned map_count;
	int map_fd[PROG_MAX_MAPS];
	uint8_t *ours_data[PROG_MAX_MAPS]; /* NULL for read-only maps */
	uint8_t *theirs_page;		   /* the kernel's .data.state, mapped */
	size_t theirs_bytes;
	unsigned state_map;
	struct prog_env env;
	uint8_t *before[PROG_MAX_MAPS]; /* what every run of one case starts from */
	uint8_t *after[PROG_MAX_MAPS];	/* what the kernel left */
};

static void open_both(struct both *b, const char *name, const void *image, size_t size)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "hotreg_test");
	struct accel_err err;
	long host = sysconf(_SC_PAGESIZE);

	memset(b, 0, sizeof(*b));
	b->name = name;
	if (accel_object_open(name, image, size, &b->ours, &err))
		fail_msg("%s", err.text);
	libbpf_log_len = 0;
	b->theirs = bpf_object__open_mem(image, size, &opts);
	if (!b->theirs || bpf_object__load(b->theirs))
		fail_msg("%s: the kernel refuses it: %s\n%s", name, strerror(errno), libbpf_log);

	b->map_count = accel_object_map_count(b->ours);
	for (unsigned i = 0; i < b->map_count; i++) {
		const struct prog_map *map = accel_object_map(b->ours, i);
		struct bpf_map *m;
		bool found = false;

		/* libbpf's map name is the section's, with the object's name before .bss and the like */
		bpf_object__for_each_map(m, b->theirs)
		{
			const char *dot = strchr(bpf_map__name(m), '.');

			if (!dot || strcmp(dot, map->name) != 0)
				continue;
			assert_int_equal(bpf_map__value_size(m), map->size);
			b->map_fd[i] = bpf_map__fd(m);
			found = true;
		}
		if (!found)
			fail_msg("%s: libbpf made no map of %s", name, map->name);
		if (map->role == MAP_RODATA) {
			b->env.map_base[i] = map->initial;
			continue;
		}
		b->ours_data[i] = b->env.map_base[i] = aligned_alloc(64, (map->size + 63) / 64 * 64);
		b->before[i] = malloc(map->size);
		b->after[i] = malloc(map->size);
		memcpy(b->before[i], map->initial, map->size);
		memcpy(b->after[i], map->initial, map->size);
		if (map->role == MAP_STATE) {
			b->state_map = i;
			b->theirs_bytes = (map->size + (size_t)host - 1) / (size_t)host * (size_t)host;
			b->theirs_page =
				mmap(NULL, b->theirs_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, b->map_fd[i], 0);
			if (b->theirs_page == MAP_FAILED)
				fail_msg("%s: the state map cannot be mapped: %s", name, strerror(errno));
			assert_memory_equal(b->theirs_page, map->initial, map->size);
		}
	}
	b->env.time_is_frozen = true;
}

static void close_both(struct both *b)
{
	munmap(b->theirs_page, b->theirs_bytes);
	for (unsigned i = 0; i < b->map_count; i++) {
		free(b->ours_data[i]);
		free(b->before[i]);
		free(b->after[i]);
	}
	bpf_object__close(b->theirs);
	accel_object_put(b->ours);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Puts the kernel's maps to `before`, runs once, keeps what it left in `after`. */
static uint32_t run_kernel(struct both *b, int fd, struct hr_io *io, uint64_t *from_ns, uint64_t *to_ns)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = io, .ctx_size_in = sizeof(*io));
	const uint32_t zero = 0;
	int ret;

	for (unsigned i = 0; i < b->map_count; i++) {
		uint32_t size = accel_object_map(b->ours, i)->size;

		if (i == b->state_map)
			memcpy(b->theirs_page, b->before[i], size);
		else if (b->before[i])
			assert_int_equal(bpf_map_update_elem(b->map_fd[i], &zero, b->before[i], 0), 0);
	}
	*from_ns = now_ns();
	ret = bpf_prog_test_run_opts(fd, &opts);
	*to_ns = now_ns();
	if (ret)
		fail_msg("%s: BPF_PROG_TEST_RUN: %s", b->name, strerror(errno));
	for (unsigned i = 0; i < b->map_count; i++) {
		uint32_t size = accel_object_map(b->ours, i)->size;

		if (i == b->state_map)
			memcpy(b->after[i], b->theirs_page, size);
		else if (b->before[i])
			assert_int_equal(bpf_map_lookup_elem(b->map_fd[i], &zero, b->after[i]), 0);
	}
	return opts.retval;
}

/* Whether the interpreter, at the instant ns, does to io and the maps what the kernel did. */
static bool same_at(struct both *b, const struct interp_code *code, const struct hr_io *in, const struct hr_io *out,
	uint32_t verdict, uint64_t ns)
{
	struct hr_io io = *in;

	for (unsigned i = 0; i < b->map_count; i++) {
		if (b->before[i])
			memcpy(b->ours_data[i], b->before[i], accel_object_map(b->ours, i)->size);
	}
	b->env.frozen_ns = ns;
	if ((uint32_t)interp_run(code, &io) != verdict || memcmp(&io, out, sizeof(io)) != 0)
		return false;
	for (unsigned i = 0; i < b->map_count; i++) {
		if (b->before[i] && memcmp(b->ours_data[i], b->after[i], accel_object_map(b->ours, i)->size) != 0)
			return false;
	}
	return true;
}

static bool same_between(struct both *b, const struct interp_code *code, const struct hr_io *in,
	const struct hr_io *out, uint32_t verdict, uint64_t from, uint64_t to)
{
	for (uint64_t step = COARSE_NS; step >= 1; step = step == COARSE_NS ? 1 : 0) {
		for (uint64_t ns = from; ns <= to; ns += step) {
			if (same_at(b, code, in, out, verdict, ns))
				return true;
		}
	}
	return false;
}

/* ---- random pages and accesses ------------------------------------------------------------- */

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state * 0x2545f4914f6cdd1dull;
}

static void (*fill_page)(void *page); /* for every other page: what chance would hardly ever bring; NULL: nothing */

/*
 * The page of the next case: that of the last one as the kernel left it (so that a latch is
 * followed by its reads), with a few fields changed to what fields hold: small numbers, flags,
 * instants near now in nanoseconds or in ticks of the usual clocks. Now and then it starts again from the
 * object's own initial page, or is noise behind its head: a program must come through on any page.
 */
static void next_page(struct both *b)
{
	static const uint64_t hz[] = {1193182, 3579545, 100000000, 1000000000};
	const struct prog_map *map = accel_object_map(b->ours, b->state_map);
	uint8_t *page = b->before[b->state_map];
	unsigned changes = (unsigned)(rng() % 12), again = (unsigned)(rng() % 32);

	for (unsigned i = 0; i < b->map_count; i++) {
		if (b->before[i]) /* .bss just goes on */
			memcpy(b->before[i], b->after[i], accel_object_map(b->ours, i)->size);
	}
	memcpy(page, again == 0 ? map->initial : b->after[b->state_map], map->size);
	if (again == 1) {
		for (uint32_t i = sizeof(struct hr_page); i < map->size; i++)
			page[i] = (uint8_t)rng();
	}
	while (changes--) {
		uint32_t width = 1u << rng() % 4;
		uint32_t span = map->size - (uint32_t)sizeof(struct hr_page);
		uint32_t slots = (span > LARGE_PAGE && rng() % 4 ? NEAR_HEAD : span) / width;
		uint32_t at = (uint32_t)sizeof(struct hr_page) + (uint32_t)(rng() % slots) * width;
		uint64_t v;

		switch (rng() % 4) {
		case 0:
			v = rng() & 1;
			break;
		case 1:
			v = rng() & 0xff;
			break;
		case 2:
			v = rng();
			break;
		default:
			v = hr_ns_to_ticks(now_ns(), hz[rng() % 4]) + rng() % 0x20001 - 0x10000;
			break;
		}
		memcpy(page + at, &v, width);
	}
	if (fill_page && rng() % 2)
		fill_page(page);
}

/*
 * The first cases walk through all low offsets, sizes and directions; the others are random, half
 * of them at the object's busiest registers.
 */
static struct hr_io next_access(unsigned n, uint32_t busy)
{
	struct hr_io io = {0};

	io.size = (uint8_t)(1u << n % 4);
	io.is_write = n / 4 % 2;
	io.offset = n / 8 % 0x400;
	if (n >= CASES / 4) {
		io.is_write = rng() % 4 == 0;
		io.offset = rng() % 2 ? busy + (uint32_t)(rng() % (rng() % 2 ? 2 : 8)) : (uint32_t)(rng() % 0x400);
		if (rng() % 2)
			io.size = 1;
		if (rng() % 64 == 0)
			io.offset = (uint32_t)rng();
	}
	io.vcpu = (uint32_t)(rng() % 2);
	io.value = io.is_write ? hr_mask(rng() % 2 ? rng() : rng() % 16, io.size) : 0; /* an index, mostly small */
	return io;
}

/* ---- the test ------------------------------------------------------------------------------ */

static void compare_prog(struct both *b, const struct prog *p, uint32_t busy)
{
	struct bpf_program *kp = bpf_object__find_program_by_name(b->theirs, p->name);
	unsigned answered = 0, punted = 0, timed = 0, again = 0;
	struct interp_code *code;
	int fd;

	if (!kp)
		fail_msg("%s: libbpf knows no program %s", b->name, p->name);
	fd = bpf_program__fd(kp);
	assert_int_equal(interp_prepare(p, &b->env, &code), 0);
	for (unsigned n = 0; n < CASES; n++) {
		struct hr_io in = next_access(n, busy), out;
		uint64_t from, to;
		uint32_t verdict;

		next_page(b);
		for (unsigned tries = 0;; tries++) {
			out = in;
			verdict = run_kernel(b, fd, &out, &from, &to);
			if (!p->reads_time || to - from <= WINDOW_NS)
				break;
			again++;
			if (tries == WINDOW_TRIES)
				fail_msg("%s: no run of %s within %u ns", b->name, p->name, WINDOW_NS);
		}
		if (!p->reads_time)
			from = to = CLOCK_SLACK_NS;
		if (!same_between(b, code, &in, &out, verdict, from - CLOCK_SLACK_NS, to + CLOCK_SLACK_NS)) {
			same_at(b, code, &in, &out, verdict, to);
			fail_msg("%s: %s: case %u, %s of %u bytes at offset 0x%x, value 0x%llx: the kernel says "
				 "verdict 0x%x, "
				 "result 0x%llx; no instant of its run gives the interpreter that",
				b->name, p->name, n, in.is_write ? "write" : "read", in.size, in.offset,
				(unsigned long long)in.value, verdict, (unsigned long long)out.result);
		}
		if (verdict == HR_ANSWER || verdict == HR_ANSWER_RING) {
			answered++;
		} else {
			punted++;
			assert_memory_equal(b->after[b->state_map], b->before[b->state_map],
				accel_object_map(b->ours, b->state_map)->size);
		}
		timed += p->reads_time && !same_at(b, code, &in, &out, verdict, from - HR_NSEC_PER_SEC);
	}
	interp_free(code);
	print_message(
		"%s: %s: %u accesses, %u answered, %u punted, %u whose outcome depends on the time, %u interrupted\n",
		b->name, p->name, CASES, answered, punted, timed, again);
	assert_true(answered > 0);
	assert_true(!p->reads_time || timed > 0);
}

static void compare_image(const char *name, const void *image, size_t size, uint32_t busy)
{
	const char *why = no_bpf();
	struct both b;

	if (why) {
		print_message("kernel %s: SKIP: %s\n", name, why);
		skip();
	}
	rng_state = 0x9e3779b97f4a7c15ull;
	open_both(&b, name, image, size);
	for (unsigned i = 0; i < accel_object_prog_count(b.ours); i++)
		compare_prog(&b, accel_object_prog(b.ours, i), busy);
	close_both(&b);
}

#define IMAGE(name, busy)                                                                                              \
	compare_image(#name ".bpf.o", prog_##name##_start, (size_t)(prog_##name##_end - prog_##name##_start), busy)

static void kernel_ata(void **state)
{
	(void)state;
	IMAGE(ata, 0);
}

static void kernel_hpet(void **state)
{
	(void)state;
	IMAGE(hpet, 0xf0);
}

static void kernel_i8254(void **state)
{
	(void)state;
	IMAGE(i8254, 0);
}

static void kernel_mc146818(void **state)
{
	(void)state;
	IMAGE(mc146818, 0);
}

static void kernel_i16550(void **state)
{
	(void)state;
	IMAGE(i16550, 0);
}

static void kernel_ioapic(void **state)
{
	(void)state;
	IMAGE(ioapic, 0);
}

static void kernel_i8042(void **state)
{
	(void)state;
	IMAGE(i8042, 0);
}

static void kernel_i8259(void **state)
{
	(void)state;
	IMAGE(i8259, 0);
}

static void kernel_pci(void **state)
{
	(void)state;
	IMAGE(pci, 0);
}

static void kernel_pmtimer(void **state)
{
	(void)state;
	IMAGE(pmtimer, 8);
}

/* Mode 3's frame, of which some have gone by, and an interrupt that may be due. */
static void fill_vga(void *page)
{
	struct vga_state *s = &((struct vga_page *)page)->s;

	s->offset_ns = 0;
	s->frame_ns = now_ns() - rng() % (2 * HR_NSEC_PER_SEC);
	s->timing = (struct vga_timing){.dot_hz = 28322000,
		.scan_dots = 900,
		.show_dots = 720,
		.line_dots = 900,
		.frame_dots = 900 * 449,
		.lines = 449,
		.show_lines = 400,
		.retrace_line = 412,
		.retrace_lines = 2};
	s->intr_armed = 1;
	s->intr_pending = rng() % 8 == 0;
	s->intr_seen = rng() % 128;
}

static void kernel_vga(void **state)
{
	(void)state;
	fill_page = fill_vga;
	IMAGE(vga, 0);
	fill_page = NULL;
}

static void compare_file(const char *path, uint32_t busy)
{
	const char *name = strrchr(path, '/') + 1;
	struct stat st;
	void *image;
	FILE *f = fopen(path, "rb");

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fstat(fileno(f), &st), 0);
	image = malloc((size_t)st.st_size);
	assert_int_equal(fread(image, 1, (size_t)st.st_size, f), st.st_size);
	fclose(f);
	compare_image(name, image, (size_t)st.st_size, busy);
	free(image);
}

/* The loader's own test object: subprograms, .bss, .data and .rodata. */
static void kernel_good(void **state)
{
	char path[600];

	(void)state;
	snprintf(path, sizeof(path), "%s/tests/obj/good.bpf.o", build_dir);
	compare_file(path, 0);
}

static void kernel_counter(void **state)
{
	char path[600];

	(void)state;
	snprintf(path, sizeof(path), "%s/examples/counter/counter.bpf.o", build_dir);
	compare_file(path, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_ata),
		cmocka_unit_test(kernel_hpet),
		cmocka_unit_test(kernel_i8254),
		cmocka_unit_test(kernel_mc146818),
		cmocka_unit_test(kernel_i16550),
		cmocka_unit_test(kernel_i8042),
		cmocka_unit_test(kernel_ioapic),
		cmocka_unit_test(kernel_i8259),
		cmocka_unit_test(kernel_pci),
		cmocka_unit_test(kernel_pmtimer),
		cmocka_unit_test(kernel_vga),
		cmocka_unit_test(kernel_good),
		cmocka_unit_test(kernel_counter),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(build_dir, sizeof(build_dir), "%.*s/../..", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	libbpf_set_print(keep_log);
	return cmocka_run_group_tests_name("kernel_load", tests, NULL, NULL);
}
