/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_int.h: between the parts of `hotreg prog`: progcmd.c dispatches, progcmd_object.c judges
 * and prints objects, progcmd_json.c and progcmd_kernel.c are ways to do so, progcmd_raw.c takes bare
 * instructions, progcmd_bench.c measures. Each function returns an exit status.
 */
#ifndef ACCEL_PROGCMD_INT_H
#define ACCEL_PROGCMD_INT_H

#include "accel/object.h"

enum { PROGCMD_OK = 0, PROGCMD_REFUSED = 1, PROGCMD_USAGE = 2 };

/* "hotreg: ..." and where help is to be found, on stderr. Returns PROGCMD_USAGE. */
int progcmd_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* argv[0] is the command's word. */
int progcmd_verify(int argc, char **argv, struct accel_err *err);
int progcmd_dump(int argc, char **argv, struct accel_err *err);
int progcmd_bench(int argc, char **argv, struct accel_err *err);
int progcmd_exec(int argc, char **argv, struct accel_err *err);
int progcmd_run(int argc, char **argv, struct accel_err *err);
int progcmd_verify_raw(int argc, char **argv, struct accel_err *err);

/* Whether these are arguments of bare instructions: --ctx-size or --map is among them. */
bool progcmd_is_raw(int argc, char **argv);

/*
 * An object, loaded but not judged. *image (malloc'd) is its file; NULL if nobody wants it. Complains itself;
 * with `err_only`, only in err.
 */
int progcmd_open(
	const char *path, bool err_only, struct accel_object **obj, void **image, size_t *size, struct accel_err *err);
/* Complains when `only` is given and is no program of it. */
int progcmd_check_name(const struct accel_object *obj, const char *path, const char *only);

/* Fresh storage for the maps of an object's programs, filled with their initial bytes. */
struct progcmd_maps {
	struct prog_env env;
	struct accel_clock clock;
	uint8_t *own[PROG_MAX_MAPS];
};
/* 0 or -ENOMEM. */
int progcmd_maps_init(struct progcmd_maps *m, const struct prog_map *maps, uint32_t count);
void progcmd_maps_fini(struct progcmd_maps *m);

/* ---- the kernel's verifier ---- */

struct progcmd_kernel_verdict {
	int rc; /* 0 accepted, else -errno of the load */
	char log[1u << 16];
};

/* Why bpf(2) cannot be used here, or NULL. The text is static. */
const char *progcmd_kernel_unusable(void);
/* Loads one program of the object and drops it again. */
void progcmd_kernel_judge(const void *image, size_t size, const char *prog, struct progcmd_kernel_verdict *out);
/* The last `lines` lines of a log, each with `indent` before it. */
void progcmd_kernel_print(FILE *out, const char *log, unsigned lines, const char *indent);

/* ---- JSON ---- */

int progcmd_verify_json(
	const char *path, const char *only, bool with_kernel, struct accel_err *err); /* prints one object */
void progcmd_json_string(FILE *out, const char *text, size_t length);

#endif
