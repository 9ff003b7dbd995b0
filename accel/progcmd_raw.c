/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_raw.c: `hotreg prog verify --ctx-size`, `run` and `exec`: bare instructions as
 * hexadecimal on stdin. The first two go by the verifier's word; exec runs anything, in a sandbox.
 * Whatever is wrong with the program itself is status 1; with the arguments, 2.
 */
#include "accel/elfcheck.h"
#include "accel/progcmd_int.h"
#include "accel/rawprog.h"
#include "accel/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_INPUT (4u << 20)
#define MAX_CTX_BYTES 65536

static int complain(const struct accel_err *err, int status)
{
	fprintf(stderr, "hotreg: %s\n", err->text);
	return status;
}

/* All of stdin as a string. */
static int read_input(char **out, struct accel_err *err)
{
	char *text = malloc(MAX_INPUT + 1);
	size_t have = 0;
	ssize_t n = 1;

	if (!text)
		return accel_fail(err, -ENOMEM, "out of memory");
	while (have <= MAX_INPUT && n != 0) {
		n = read(STDIN_FILENO, text + have, MAX_INPUT + 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return accel_fail(err, -errno, "cannot read the program from stdin: %s", strerror(errno));
		}
		have += (size_t)n;
	}
	if (have > MAX_INPUT || memchr(text, 0, have)) {
		free(text);
		return have > MAX_INPUT ? accel_fail(err, -E2BIG, "more than %u bytes of text on stdin", MAX_INPUT)
					: accel_fail(err, -EINVAL,
						  "there is a zero byte on stdin: hexadecimal text is "
						  "wanted");
	}
	text[have] = 0;
	*out = text;
	return 0;
}

static int read_program(struct raw_prog *r, struct accel_err *err)
{
	char *text = NULL;
	int rc = read_input(&text, err);

	if (rc)
		return rc;
	rc = raw_prog_init(r, text, err);
	free(text);
	return rc;
}

/* ---- exec ------------------------------------------------------------------------------ */

/* At most: a move for each register but r1 and r10, then a call and an exit. */
#define PRELUDE_MAX 11

/*
 * Puts before the program what gives r2 the length and each other register but r1 a 0, since engines
 * pass r1 only and leave in the others what they like. It is a function of its own if the program calls its start.
 */
static int set_registers(struct raw_prog *r, size_t length, struct accel_err *err)
{
	struct bpf_insn prelude[PRELUDE_MAX] = {{0}}, *insns;
	struct prog *p = &r->prog;
	uint32_t add = 0;

	for (uint8_t reg = BPF_REG_0; reg < BPF_REG_10; reg++) {
		if (reg == BPF_REG_1)
			continue;
		prelude[add++] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K,
			.dst_reg = reg,
			.imm = reg == BPF_REG_2 ? (int32_t)length : 0};
	}
	if (raw_prog_calls_start(p)) {
		prelude[add++] = (struct bpf_insn){.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 1};
		prelude[add++] = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
	}
	if (p->insn_count + add > PROG_MAX_INSNS || p->func_count == PROG_MAX_FUNCS)
		return accel_fail(
			err, -E2BIG, "too long: exec itself needs %u of the %d instructions", add, PROG_MAX_INSNS);
	insns = calloc(p->insn_count + add, sizeof(*insns));
	if (!insns)
		return accel_fail(err, -ENOMEM, "out of memory");
	memcpy(insns, prelude, add * sizeof(*insns));
	memcpy(insns + add, p->insns, p->insn_count * sizeof(*insns));
	free(p->insns);
	p->insns = insns;
	p->insn_count += add;
	raw_prog_find_functions(r);
	return 0;
}

static int execute(enum engine_kind kind, const char *hex, struct accel_err *err)
{
	const struct accel_clock clock = {.is_virtual = false};
	const struct prog_env env = {.clock = &clock};
	uint8_t *memory = NULL;
	struct raw_prog r;
	size_t size = 0;
	uint64_t r0;
	int rc;

	if (hex && raw_hex(hex, SANDBOX_MAX_MEMORY, &memory, &size, err))
		return progcmd_usage("exec: the memory: %s", err->text);
	rc = read_program(&r, err);
	if (!rc) {
		rc = raw_prog_check(&r.prog, err);
		if (!rc)
			rc = set_registers(&r, size, err);
		if (!rc)
			rc = sandbox_run(&r.prog, &env, kind, size ? memory : NULL, size, &r0, err);
		raw_prog_fini(&r);
	}
	free(memory);
	if (rc)
		return complain(err, PROGCMD_REFUSED);
	printf("0x%" PRIx64 "\n", r0);
	return PROGCMD_OK;
}

int progcmd_exec(int argc, char **argv, struct accel_err *err)
{
	bool interp = false, jit = false;
	const char *hex = NULL;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--interp"))
			interp = true;
		else if (!strcmp(argv[i], "--jit"))
			jit = true;
		else if (argv[i][0] == '-')
			return progcmd_usage("exec has no option '%s'", argv[i]);
		else if (!hex)
			hex = argv[i];
		else
			return progcmd_usage("exec takes one MEMORY: quote it if it has blanks");
	}
	if (interp == jit)
		return progcmd_usage("exec takes one of --interp and --jit");
	return execute(jit ? ENGINE_JIT : ENGINE_INTERP, hex, err);
}

/* ---- verify and run -------------------------------------------------------------------- */

struct raw_args {
	struct raw_prog r; /* its maps come from the arguments, its instructions from stdin */
	const char *specs[PROG_MAX_MAPS];
	unsigned spec_count;
	uint32_t ctx_size;
	bool has_ctx_size;
	enum engine_kind kind;
};

bool progcmd_is_raw(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "--ctx-size", 10) || !strncmp(argv[i], "--map", 5))
			return true;
	return false;
}

/* The value of "--name VALUE" or "--name=VALUE"; NULL if argv[*i] is another option. "" if it is missing. */
static const char *option(int argc, char **argv, int *i, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n))
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	if (argv[*i][n])
		return NULL;
	return *i + 1 < argc ? argv[++*i] : "";
}

static int parse_ctx_size(struct raw_args *a, const char *text)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 0);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n > MAX_CTX_BYTES)
		return progcmd_usage("--ctx-size takes a number of bytes from 0 to %u, not '%s'", MAX_CTX_BYTES, text);
	a->ctx_size = (uint32_t)n;
	a->has_ctx_size = true;
	return PROGCMD_OK;
}

static int parse_args(struct raw_args *a, int argc, char **argv, bool run)
{
	bool interp = false, jit = false;
	int status = PROGCMD_OK;

	for (int i = 1; i < argc && !status; i++) {
		const char *value;

		if ((value = option(argc, argv, &i, "--ctx-size")))
			status = parse_ctx_size(a, value);
		else if ((value = option(argc, argv, &i, "--map"))) {
			if (a->spec_count == PROG_MAX_MAPS)
				return progcmd_usage("%s takes at most %d maps", argv[0], PROG_MAX_MAPS);
			a->specs[a->spec_count++] = value;
		} else if (run && !strcmp(argv[i], "--interp"))
			interp = true;
		else if (run && !strcmp(argv[i], "--jit"))
			jit = true;
		else
			return progcmd_usage("%s of bare instructions takes no '%s'", argv[0], argv[i]);
	}
	if (status)
		return status;
	if (!a->has_ctx_size)
		return progcmd_usage("%s of bare instructions needs --ctx-size", argv[0]);
	if (interp && jit)
		return progcmd_usage("run takes one of --interp and --jit");
	a->kind = interp ? ENGINE_INTERP : jit ? ENGINE_JIT : ENGINE_BEST;
	return PROGCMD_OK;
}

/* The maps before the program is read: what is wrong with them is the arguments' fault. */
static int check_maps(const struct raw_args *a, struct accel_err *err)
{
	struct raw_prog scratch = {0};
	int rc = 0;

	for (unsigned i = 0; i < a->spec_count && !rc; i++)
		rc = raw_prog_add_map(&scratch, a->specs[i], err);
	for (unsigned i = 0; i < scratch.prog.map_count; i++)
		free(scratch.maps[i].initial);
	return rc ? progcmd_usage("%s", err->text) : PROGCMD_OK;
}

static int judge(struct raw_args *a, struct accel_err *err)
{
	int rc = read_program(&a->r, err);

	for (unsigned i = 0; i < a->spec_count && !rc; i++)
		rc = raw_prog_add_map(&a->r, a->specs[i], err);
	if (rc)
		return rc;
	a->r.prog.ctx = (struct prog_ctx){.raw = true, .size = a->ctx_size};
	return verify_prog(&a->r.prog, err);
}

static int run_verified(const struct raw_args *a, struct accel_err *err)
{
	uint8_t *ctx = calloc(1, a->ctx_size + 1);
	struct progcmd_maps maps;
	uint64_t r0 = 0;
	int rc;

	if (!ctx || progcmd_maps_init(&maps, a->r.maps, a->r.prog.map_count)) {
		free(ctx);
		return accel_fail(err, -ENOMEM, "out of memory");
	}
	rc = prog_check_runnable(&a->r.prog, err);
	if (!rc)
		rc = sandbox_run(&a->r.prog, &maps.env, a->kind, ctx, a->ctx_size, &r0, err);
	progcmd_maps_fini(&maps);
	free(ctx);
	if (!rc)
		printf("0x%" PRIx64 "\n", r0);
	return rc;
}

static int raw_command(int argc, char **argv, bool run, struct accel_err *err)
{
	struct raw_args *a = calloc(1, sizeof(*a));
	int status;

	if (!a)
		return PROGCMD_USAGE;
	status = parse_args(a, argc, argv, run);
	if (!status)
		status = check_maps(a, err);
	if (!status) {
		if (judge(a, err) || (run && run_verified(a, err)))
			status = complain(err, PROGCMD_REFUSED);
		raw_prog_fini(&a->r);
	}
	free(a);
	return status;
}

int progcmd_verify_raw(int argc, char **argv, struct accel_err *err)
{
	return raw_command(argc, argv, false, err);
}

int progcmd_run(int argc, char **argv, struct accel_err *err)
{
	return raw_command(argc, argv, true, err);
}
