/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_bench_kernel.c: times a program inside the running kernel. BPF_PROG_TEST_RUN cannot
 * repeat programs of this type, so a generated main program calls it in a loop; the same loop
 * without the call is timed too and subtracted. What is loaded is the linked program, its maps
 * made anew with their initial bytes; nothing stays.
 *
 * The kernel's verifier walks every turn of the loop, so there are as many as it accepts.
 */
#include "accel/elfcheck.h"
#include "accel/insn.h"
#include "accel/progcmd_bench.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIN_RUNS 30
#define MAX_RUNS 2000
#define MEASURE_NS 60000000

/* The wrapper: r6 keeps the context, r7 counts. CALL is left out of the empty loop. */
enum { W_SAVE, W_COUNT, W_LOOP, W_CALL, W_DEC, W_NEXT, W_RESULT, W_EXIT, W_LENGTH };

static int make_map(const struct prog_map *map, int *out)
{
	bool user = map->role == MAP_USER, fixed = map->role == MAP_RODATA;
	uint32_t value_size = user ? map->value_size : map->size, entries = user ? map->max_entries : 1;
	LIBBPF_OPTS(bpf_map_create_opts, opts,
		.map_flags = fixed || (user && map->access == MAP_RO) ? BPF_F_RDONLY_PROG
			     : user && map->access == MAP_WO	      ? BPF_F_WRONLY_PROG
								      : 0);

	*out = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hotreg_bench", 4, value_size, entries, &opts);
	if (*out < 0)
		return -errno;
	for (uint32_t i = 0; i < entries; i++)
		if (bpf_map_update_elem(*out, &i, map->initial + (size_t)i * prog_map_stride(map), 0))
			return -errno;
	return fixed && bpf_map_freeze(*out) ? -errno : 0;
}

static int make_maps(const struct prog *p, struct progcmd_kernel *k)
{
	int rc = 0;

	for (uint32_t i = 0; i < p->map_count && !rc; i++)
		if (p->maps[i].role != MAP_USER || p->maps[i].type == MAP_ARRAY)
			rc = make_map(&p->maps[i], &k->maps[i]);
	return rc;
}

/* Map indices become descriptors. */
static void copy_program(struct bpf_insn *to, const struct prog *p, const struct progcmd_kernel *k)
{
	memcpy(to, p->insns, p->insn_count * sizeof(*to));
	for (uint32_t at = 0; at < p->insn_count;) {
		const struct insn_desc *d = insn_lookup(&to[at]);

		if (d->kind == KIND_MAP || d->kind == KIND_MAP_ADDR)
			to[at].imm = k->maps[to[at].imm];
		at += d->slots;
	}
}

static int load(const struct prog *p, const struct progcmd_kernel *k, uint32_t calls, bool empty)
{
	uint32_t count = W_LENGTH + (empty ? 0 : p->insn_count);
	struct bpf_insn *insns = calloc(count, sizeof(*insns));
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);
	int fd;

	if (!insns)
		return -ENOMEM;
	insns[W_SAVE] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1};
	insns[W_COUNT] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 7, .imm = (int32_t)calls};
	insns[W_LOOP] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6};
	insns[W_CALL] =
		empty ? (struct bpf_insn){.code = BPF_JMP | BPF_JA}
		      : (struct bpf_insn){
				.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = W_LENGTH - W_CALL - 1};
	insns[W_DEC] = (struct bpf_insn){.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 7, .imm = -1};
	insns[W_NEXT] = (struct bpf_insn){.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 7, .off = W_LOOP - W_NEXT - 1};
	insns[W_RESULT] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K};
	insns[W_EXIT] = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
	if (!empty)
		copy_program(insns + W_LENGTH, p, k);
	fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "hotreg_bench", "Dual BSD/GPL", insns, count, &opts);
	if (fd < 0)
		fd = -errno;
	free(insns);
	return fd;
}

static int load_both(const struct prog *p, struct progcmd_kernel *k)
{
	static const uint32_t calls[] = {1000, 250, 60, 15};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && k->prog < 0; i++) {
		k->calls = calls[i];
		k->prog = load(p, k, k->calls, false);
	}
	if (k->prog < 0)
		return k->prog;
	k->empty = load(p, k, k->calls, true);
	return k->empty < 0 ? k->empty : 0;
}

void progcmd_kernel_close(struct progcmd_kernel *k)
{
	for (uint32_t i = 0; i < k->map_count; i++)
		if (k->maps[i] >= 0)
			close(k->maps[i]);
	if (k->prog >= 0)
		close(k->prog);
	if (k->empty >= 0)
		close(k->empty);
}

int progcmd_kernel_open(struct progcmd_kernel *k, const struct prog *p, struct accel_err *err)
{
	int rc;

	*k = (struct progcmd_kernel){.prog = -1, .empty = -1, .map_count = p->map_count};
	memset(k->maps, -1, sizeof(k->maps));
	rc = make_maps(p, k);
	if (rc)
		accel_fail(err, rc, "its maps cannot be made: %s", strerror(-rc));
	else if ((rc = load_both(p, k)))
		accel_fail(err, rc, "the kernel does not load a loop around it: %s", strerror(-rc));
	if (rc)
		progcmd_kernel_close(k);
	return rc;
}

static int run(int fd, const struct hr_io *access, uint64_t *ns)
{
	struct hr_io io = *access;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &io, .ctx_size_in = sizeof(io));
	uint64_t start = progcmd_now_ns();

	if (bpf_prog_test_run_opts(fd, &opts))
		return -errno;
	*ns = progcmd_now_ns() - start;
	return 0;
}

int progcmd_kernel_round(const struct progcmd_kernel *k, const struct hr_io *access, double *ns)
{
	uint64_t with, without;
	int rc = run(k->empty, access, &without);

	if (!rc)
		rc = run(k->prog, access, &with);
	if (!rc)
		*ns = ((double)with - (double)without) / k->calls;
	return rc;
}

int progcmd_kernel_bench(const struct prog *p, const struct hr_io *access, double *ns, struct accel_err *err)
{
	uint64_t begin = progcmd_now_ns(), with = UINT64_MAX, without = UINT64_MAX, one;
	struct progcmd_kernel k;
	int rc = progcmd_kernel_open(&k, p, err);

	if (rc)
		return rc;
	/* what else runs only makes a round longer */
	for (unsigned i = 0; !rc && i < MAX_RUNS && (i < MIN_RUNS || progcmd_now_ns() - begin < MEASURE_NS); i++) {
		rc = run(k.empty, access, &one);
		without = !rc && one < without ? one : without;
		if (!rc)
			rc = run(k.prog, access, &one);
		with = !rc && one < with ? one : with;
	}
	if (rc)
		accel_fail(err, rc, "the kernel does not run a loop around it: %s", strerror(-rc));
	*ns = with > without ? (double)(with - without) / k.calls : 0;
	progcmd_kernel_close(&k);
	return rc;
}

bool progcmd_kernel_has_jit(void)
{
	FILE *f = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int c = f ? getc(f) : '1'; /* without the file the JIT is compiled in for good, or nobody can know */

	if (f)
		fclose(f);
	return c != '0';
}
