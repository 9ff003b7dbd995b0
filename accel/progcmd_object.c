/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_object.c: `hotreg prog verify` and `hotreg prog dump` of object files. Objects are
 * loaded without a verdict, so that every program gets its own and a refused one can be dumped.
 */
#include "accel/engine.h"
#include "accel/progcmd_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KERNEL_LOG_LINES 12

/* The verdict comes later, one program at a time. */
static int judge_later(struct prog *p, struct accel_err *err)
{
	(void)p, (void)err;
	return 0;
}

int progcmd_open(
	const char *path, bool err_only, struct accel_object **obj, void **image, size_t *size, struct accel_err *err)
{
	void *file;
	size_t bytes;
	int status = PROGCMD_OK;

	if (accel_read_file(path, &file, &bytes, err)) {
		status = PROGCMD_USAGE;
	} else {
		if (accel_object_open_judged(path, file, bytes, judge_later, obj, err))
			status = PROGCMD_REFUSED;
		if (!status && image) {
			*image = file;
			*size = bytes;
		} else {
			free(file);
		}
	}
	if (status && !err_only)
		fprintf(stderr, "hotreg: %s\n", err->text);
	return status;
}

int progcmd_check_name(const struct accel_object *obj, const char *path, const char *only)
{
	const struct prog *p;

	if (!only || accel_object_find_prog(obj, only))
		return PROGCMD_OK;
	fprintf(stderr, "hotreg: %s: no program %s; there is", path, only);
	for (unsigned i = 0; (p = accel_object_prog(obj, i)); i++)
		fprintf(stderr, "%s %s", i ? "," : "", p->name);
	fprintf(stderr, "\n");
	return PROGCMD_USAGE;
}

int progcmd_maps_init(struct progcmd_maps *m, const struct prog_map *maps, uint32_t count)
{
	memset(m, 0, sizeof(*m));
	m->env.clock = &m->clock;
	for (uint32_t i = 0; i < count; i++) {
		if (maps[i].role == MAP_USER && maps[i].type != MAP_ARRAY)
			continue;
		m->own[i] = aligned_alloc(64, ((size_t)maps[i].size + 64) / 64 * 64);
		if (!m->own[i]) {
			progcmd_maps_fini(m);
			return -ENOMEM;
		}
		memcpy(m->own[i], maps[i].initial, maps[i].size);
		prog_env_set_map(&m->env, i, &maps[i], m->own[i]);
	}
	return 0;
}

void progcmd_maps_fini(struct progcmd_maps *m)
{
	for (uint32_t i = 0; i < PROG_MAX_MAPS; i++)
		free(m->own[i]);
	memset(m->own, 0, sizeof(m->own));
}

/* ---- verify ---------------------------------------------------------------------------- */

static int verify_one(const struct accel_object *obj, const struct prog *linked, struct accel_err *err)
{
	struct prog p = *linked;
	int status = PROGCMD_OK;

	if (verify_prog(&p, err)) {
		printf("%-16s refused\n", p.name);
		status = PROGCMD_REFUSED;
	} else {
		printf("%-16s accepted  %s, %s; %" PRIu32 " instructions, at most %" PRIu64 " on a path; %" PRIu32
		       " states in %.3f ms\n",
			p.name, p.effect == ACCEL_PURE ? "pure" : "stateful", p.reads_time ? "reads time" : "no time",
			p.insn_count, p.worst_case, p.states, (double)p.verify_ns / 1e6);
		if (prog_check_runnable(&p, err))
			status = PROGCMD_REFUSED;
	}
	if (status) {
		fflush(stdout);
		fprintf(stderr, "hotreg: %s: %s: %s\n", accel_object_name(obj), p.name, err->text);
	}
	return status;
}

static int verify_in_kernel(const void *image, size_t size, const char *prog)
{
	struct progcmd_kernel_verdict *v = malloc(sizeof(*v));
	int status;

	if (!v)
		return PROGCMD_USAGE;
	progcmd_kernel_judge(image, size, prog, v);
	printf("%-16s %s by the running kernel\n", "", v->rc ? "refused" : "accepted");
	if (v->rc && !*v->log)
		printf("    %s\n", strerror(-v->rc));
	progcmd_kernel_print(stdout, v->log, v->rc ? KERNEL_LOG_LINES : 1, "    ");
	status = v->rc ? PROGCMD_REFUSED : PROGCMD_OK;
	free(v);
	return status;
}

static int verify_text(const char *path, const char *only, bool kernel, struct accel_err *err)
{
	const char *unusable = kernel ? progcmd_kernel_unusable() : NULL;
	struct accel_object *obj;
	const struct prog *p;
	void *image;
	size_t size;
	int status = progcmd_open(path, false, &obj, &image, &size, err);

	if (status)
		return status;
	status = progcmd_check_name(obj, path, only);
	for (unsigned i = 0; status != PROGCMD_USAGE && (p = accel_object_prog(obj, i)); i++) {
		if (only && strcmp(only, p->name))
			continue;
		status |= verify_one(obj, p, err);
		if (kernel && !unusable)
			status |= verify_in_kernel(image, size, p->name);
	}
	if (unusable && status != PROGCMD_USAGE) {
		fflush(stdout);
		fprintf(stderr, "hotreg: --kernel: %s\n", unusable);
		status = PROGCMD_USAGE;
	}
	accel_object_put(obj);
	free(image);
	return status;
}

/* ---- dump ------------------------------------------------------------------------------ */

static void dump_hex(const uint8_t *code, size_t size)
{
	for (size_t at = 0; at < size; at += 16) {
		printf("%6zx:", at);
		for (size_t i = at; i < size && i < at + 16; i++)
			printf(" %02x", code[i]);
		printf("\n");
	}
}

/* False: it is not there, or cannot do it. */
static bool dump_with_objdump(const uint8_t *code, size_t size)
{
	char path[] = "/tmp/hotreg-code-XXXXXX";
	int fd = mkstemp(path), status = -1;
	ssize_t written;
	pid_t pid;

	if (fd < 0)
		return false;
	written = write(fd, code, size);
	close(fd);
	fflush(stdout);
	pid = written == (ssize_t)size ? fork() : -1;
	if (pid == 0) {
		execlp("objdump", "objdump", "-D", "-z", "-b", "binary", "-m", "i386:x86-64", path, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	unlink(path);
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int dump_code(const struct prog *linked, struct accel_err *err)
{
	struct prog p = *linked;
	struct engine_code *code;
	struct progcmd_maps maps;
	const void *bytes;
	size_t size;
	int rc;

	if (verify_prog(&p, err) || prog_check_runnable(&p, err)) {
		printf("(no machine code: the program is refused, see hotreg prog verify)\n");
		return PROGCMD_OK;
	}
	rc = progcmd_maps_init(&maps, p.maps, p.map_count);
	if (!rc) {
		rc = engine_prepare(&p, &maps.env, ENGINE_JIT, &code);
		if (!rc) {
			bytes = engine_code_bytes(code, &size);
			printf("machine code, %zu bytes:\n", size);
			if (!dump_with_objdump(bytes, size))
				dump_hex(bytes, size);
			engine_free(code);
		}
		progcmd_maps_fini(&maps);
	}
	if (!rc)
		return PROGCMD_OK;
	fflush(stdout);
	fprintf(stderr, "hotreg: %s: no machine code: %s\n", p.name,
		rc == -ENOTSUP ? "this build has no JIT for this processor" : strerror(-rc));
	return PROGCMD_USAGE;
}

int progcmd_dump(int argc, char **argv, struct accel_err *err)
{
	const char *path = NULL, *only = NULL;
	struct accel_object *obj;
	const struct prog *p;
	bool jit = false, first = true;
	int status;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--jit"))
			jit = true;
		else if (argv[i][0] == '-')
			return progcmd_usage("dump has no option '%s'", argv[i]);
		else if (!path)
			path = argv[i];
		else if (!only)
			only = argv[i];
		else
			return progcmd_usage("dump takes an object file and perhaps a program");
	}
	if (!path)
		return progcmd_usage("dump takes an object file and perhaps a program");
	status = progcmd_open(path, false, &obj, NULL, NULL, err);
	if (status)
		return status;
	status = progcmd_check_name(obj, path, only);
	for (unsigned i = 0; !status && (p = accel_object_prog(obj, i)); i++) {
		if (only && strcmp(only, p->name))
			continue;
		if (!first)
			printf("\n");
		first = false;
		disasm_prog(p, stdout);
		if (jit) {
			printf("\n");
			status = dump_code(p, err);
		}
	}
	accel_object_put(obj);
	return status;
}

int progcmd_verify(int argc, char **argv, struct accel_err *err)
{
	const char *path = NULL, *only = NULL;
	bool json = false, kernel = false;

	if (progcmd_is_raw(argc, argv))
		return progcmd_verify_raw(argc, argv, err);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--kernel"))
			kernel = true;
		else if (argv[i][0] == '-')
			return progcmd_usage("verify has no option '%s'", argv[i]);
		else if (!path)
			path = argv[i];
		else if (!only)
			only = argv[i];
		else
			return progcmd_usage("verify takes an object file and perhaps a program");
	}
	if (!path)
		return progcmd_usage("verify takes an object file and perhaps a program, or --ctx-size");
	return json ? progcmd_verify_json(path, only, kernel, err) : verify_text(path, only, kernel, err);
}
