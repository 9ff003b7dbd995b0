/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.c: opens an object file: checks it (elfcheck.c, btfcheck.c), links its programs
 * (reloc.c), lets libbpf open it, so that what we run is what plain libbpf would load and for its
 * view of the types (layout.c), and has every program judged. No bpf(2) call is ever made.
 *
 * Everything that outlives the open is copied out of the image. Objects are constant after open
 * and reference-counted.
 */
#include "accel/object.h"
#include "accel/elfcheck.h"
#include "accel/insn.h"
#include "accel/layout.h"
#include "accel/mapdef.h"
#include "accel/reloc.h"
#include "accel/tier.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OBJECT_MAX_PROGS 16 /* each costs up to what the verifier may spend */

struct accel_object {
	atomic_uint refs;
	/* constant after open */
	char *name;
	void *image;
	size_t image_bytes;
	char *strings; /* of .BTF: file names and source lines */
	uint32_t strings_size;
	char *layout;
	uint32_t state_version;
	uint32_t state_size;
	struct prog_map maps[PROG_MAX_MAPS];
	unsigned map_count;
	struct prog *progs;
	unsigned prog_count;
};

static void object_free(struct accel_object *obj)
{
	for (unsigned i = 0; i < obj->prog_count; i++) {
		free(obj->progs[i].insns);
		free(obj->progs[i].funcs);
		free(obj->progs[i].lines);
	}
	for (unsigned i = 0; i < obj->map_count; i++)
		free(obj->maps[i].initial);
	free(obj->progs);
	free(obj->layout);
	free(obj->image);
	free(obj->strings);
	free(obj->name);
	free(obj);
}

static int add_map(struct accel_object *obj, const struct elf_section *s, struct accel_err *err)
{
	struct prog_map *map = &obj->maps[obj->map_count];

	if (obj->map_count == PROG_MAX_MAPS)
		return accel_fail(err, -EINVAL, "the object has more than %d sections with variables", PROG_MAX_MAPS);
	map->initial = calloc(1, s->size);
	if (!map->initial)
		return accel_fail(err, -ENOMEM, "out of memory");
	obj->map_count++;
	if (s->data)
		memcpy(map->initial, s->data, s->size);
	strcpy(map->name, s->name); /* its length is checked with the section */
	map->role = s->map_role;
	map->size = (uint32_t)s->size;
	return 0;
}

static int add_maps(struct accel_object *obj, const struct elf_view *v, int *map_of_section, struct accel_err *err)
{
	const struct prog_map *state = NULL;
	struct hr_page head;

	for (unsigned i = 0; i < OBJECT_MAX_SECTIONS; i++)
		map_of_section[i] = -1;
	for (unsigned i = 1; i < v->section_count; i++) {
		const struct elf_section *s = &v->sections[i];
		int rc;

		if (s->role != SECTION_DATA || s->size == 0)
			continue;
		map_of_section[i] = (int)obj->map_count;
		rc = add_map(obj, s, err);
		if (rc)
			return rc;
		if (s->map_role == MAP_STATE)
			state = &obj->maps[obj->map_count - 1];
	}
	if (!state)
		return accel_fail(
			err, -EINVAL, "no state page: declare one global variable with HR_STATE (section .data.state)");
	if (state->size < sizeof(head))
		return accel_fail(err, -EINVAL,
			".data.state has %u bytes: begin the state variable with a struct hr_page", state->size);
	memcpy(&head, state->initial, sizeof(head));
	if (head.version == 0)
		return accel_fail(
			err, -EINVAL, "the state page has version 0: initialise .version with a number from 1");
	if (head.size != state->size)
		return accel_fail(err, -EINVAL,
			"the state page says it has %u bytes, its section has %u: initialise .size with sizeof",
			head.size, state->size);
	if (head.seq || head.pad)
		return accel_fail(
			err, -EINVAL, "the state page starts with a sequence number or padding that is not 0");
	obj->state_version = head.version;
	obj->state_size = head.size;
	return 0;
}

/* libbpf maps .data.state into user space only for a variable that the linker may see. */
static int check_state_symbol(const struct elf_view *v, struct accel_err *err)
{
	for (unsigned i = 1; i < v->sym_count; i++) {
		Elf64_Sym sym;

		elf_view_symbol(v, i, &sym);
		if (sym.st_shndx >= v->section_count || v->sections[sym.st_shndx].map_role != MAP_STATE ||
			v->sections[sym.st_shndx].role != SECTION_DATA || ELF64_ST_TYPE(sym.st_info) != STT_OBJECT)
			continue;
		if (ELF64_ST_BIND(sym.st_info) == STB_LOCAL || ELF64_ST_VISIBILITY(sym.st_other) != STV_DEFAULT)
			return accel_fail(err, -EINVAL,
				"the state variable %s is static or hidden: libbpf could not share its page",
				elf_view_symbol_name(v, &sym));
	}
	return 0;
}

/* Collects the line records of one program. */
struct line_walk {
	const struct accel_object *obj;
	const struct elf_view *v;
	struct prog *p;
	const struct link_func *source[PROG_MAX_FUNCS]; /* of p->funcs */
	uint32_t space;
};

/* A record for an instruction of one function; several programs may have linked that function in. */
static int add_line(void *opaque, const char *section, const struct bpf_line_info *line)
{
	struct line_walk *w = opaque;
	uint32_t at = line->insn_off / 8;

	for (uint32_t i = 0; i < w->p->func_count; i++) {
		const struct link_func *f = w->source[i];
		struct prog_line *out;

		if (at < f->start || at - f->start >= f->count || strcmp(w->v->sections[f->section].name, section))
			continue;
		if (w->p->line_count == w->space) {
			uint32_t space = w->space ? 2 * w->space : 64;
			struct prog_line *more = reallocarray(w->p->lines, space, sizeof(*more));

			if (!more)
				return -ENOMEM;
			w->p->lines = more;
			w->space = space;
		}
		out = &w->p->lines[w->p->line_count++];
		out->insn = w->p->funcs[i].start + (at - f->start);
		out->line = BPF_LINE_INFO_LINE_NUM(line->line_col);
		out->column = BPF_LINE_INFO_LINE_COL(line->line_col);
		out->file = line->file_name_off < w->obj->strings_size ? w->obj->strings + line->file_name_off : "";
		while (!strncmp(out->file, "./", 2))
			out->file += 2;
		out->text = line->line_off < w->obj->strings_size ? w->obj->strings + line->line_off : "";
		return 0;
	}
	return 0;
}

static int by_insn(const void *a, const void *b)
{
	const struct prog_line *x = a, *y = b;

	return x->insn < y->insn ? -1 : x->insn > y->insn;
}

/* File names and source lines come from the file: nothing that a terminal would obey stays in. */
static int copy_strings(struct accel_object *obj, const struct elf_view *v, struct accel_err *err)
{
	const char *strings = btf_view_strings(v, &obj->strings_size);

	obj->strings = malloc(obj->strings_size);
	if (!obj->strings)
		return accel_fail(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < obj->strings_size; i++) {
		char c = strings[i];

		obj->strings[i] = c == 0 || (c >= ' ' && c <= '~') ? c : ' ';
	}
	return 0;
}

static int link_programs(struct accel_object *obj, const struct elf_view *v, struct linker *l, struct accel_err *err)
{
	obj->progs = calloc(l->func_count ? l->func_count : 1, sizeof(*obj->progs));
	if (!obj->progs)
		return accel_fail(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < l->func_count; i++) {
		struct prog *p = &obj->progs[obj->prog_count];
		struct line_walk w = {.obj = obj, .v = v, .p = p};
		int rc;

		if (!l->funcs[i].is_program)
			continue;
		if (obj->prog_count == OBJECT_MAX_PROGS)
			return accel_fail(err, -EINVAL, "the object has more than %d programs", OBJECT_MAX_PROGS);
		p->maps = obj->maps;
		p->map_count = obj->map_count;
		rc = linker_link(l, i, p, w.source, err);
		if (rc)
			return rc;
		obj->prog_count++;
		if (btf_view_lines(v, add_line, &w))
			return accel_fail(err, -ENOMEM, "out of memory");
		if (p->line_count)
			qsort(p->lines, p->line_count, sizeof(*p->lines), by_insn);
	}
	if (!obj->prog_count)
		return accel_fail(err, -EINVAL, "no program: put functions in SEC(\"syscall\") (HR_PROG)");
	return 0;
}

static int load(struct accel_object *obj, const struct elf_view *v, struct linker *l, struct accel_err *err)
{
	int rc = add_maps(obj, v, l->map_of_section, err);

	if (!rc)
		rc = mapdef_find(v, l, obj->maps, &obj->map_count, err);
	if (!rc)
		rc = check_state_symbol(v, err);
	if (!rc)
		rc = copy_strings(obj, v, err);
	if (!rc)
		rc = linker_init(l, v, err);
	if (!rc) {
		rc = link_programs(obj, v, l, err);
		linker_fini(l);
	}
	return rc;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

/* What libbpf sees must be what we linked. */
static int check_against_libbpf(const struct accel_object *obj, struct bpf_object *bpf, struct accel_err *err)
{
	struct bpf_program *p;
	unsigned count = 0;

	bpf_object__for_each_program(p, bpf)
	{
		const struct prog *ours = accel_object_find_prog(obj, bpf_program__name(p));

		count++;
		if (!ours || bpf_program__insn_cnt(p) != ours->funcs[0].count)
			return accel_fail(err, -EINVAL,
				"libbpf reads the program %s in another way: compile the object again",
				bpf_program__name(p));
	}
	if (count != obj->prog_count)
		return accel_fail(err, -EINVAL, "libbpf finds %u programs where there are %u: compile the object again",
			count, obj->prog_count);
	return 0;
}

/*
 * Of two opens at the same time the one that began later would otherwise put back the other's `quiet`, for good.
 */
static pthread_mutex_t mute_lock = PTHREAD_MUTEX_INITIALIZER;

libbpf_print_fn_t object_mute_libbpf(void)
{
	pthread_mutex_lock(&mute_lock);
	return libbpf_set_print(quiet);
}

void object_unmute_libbpf(libbpf_print_fn_t old)
{
	libbpf_set_print(old);
	pthread_mutex_unlock(&mute_lock);
}

static long open_quietly(const void *image, size_t size, struct bpf_object **out)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "hotreg");
	libbpf_print_fn_t old;
	long open_error;

	old = object_mute_libbpf();
	*out = bpf_object__open_mem(image, size, &opts);
	open_error = libbpf_get_error(*out);
	object_unmute_libbpf(old);
	return open_error;
}

static int open_with_libbpf(
	struct accel_object *obj, const struct linker *l, const void *image, size_t size, struct accel_err *err)
{
	struct bpf_object *bpf;
	long open_error = open_quietly(image, size, &bpf);
	int rc;

	if (open_error)
		return accel_fail(err, -EINVAL,
			"libbpf refuses the object (%s): compile it again with clang -target bpf -g",
			strerror((int)-open_error));
	rc = check_against_libbpf(obj, bpf, err);
	if (!rc)
		rc = mapdef_fill(l, bpf, obj->maps, err);
	if (!rc) {
		const struct btf *btf = bpf_object__btf(bpf);

		rc = btf ? layout_text(btf, obj->state_size, &obj->layout, err)
			 : accel_fail(err, -EINVAL, "no type information: compile with clang -target bpf -g");
	}
	bpf_object__close(bpf);
	return rc;
}

static int judge_all(
	struct accel_object *obj, int (*judge)(struct prog *p, struct accel_err *err), struct accel_err *err)
{
	for (unsigned i = 0; i < obj->prog_count; i++) {
		int rc = judge(&obj->progs[i], err);

		if (rc)
			return rc;
	}
	return 0;
}

/* Puts the object's name before a message. */
static int with_name(struct accel_err *err, const char *name, int rc)
{
	struct accel_err *reason = malloc(sizeof(*reason));

	if (!reason)
		return rc;
	memcpy(reason, err, sizeof(*reason));
	reason->text[sizeof(reason->text) - 256] = 0;
	accel_fail(err, rc, "%.200s: %s", name, reason->text);
	free(reason);
	return rc;
}

int accel_object_open_judged(const char *name, const void *image, size_t size,
	int (*judge)(struct prog *p, struct accel_err *err), struct accel_object **out, struct accel_err *err)
{
	struct accel_object *obj = calloc(1, sizeof(*obj));
	size_t copied = size <= OBJECT_MAX_BYTES ? size : sizeof(Elf64_Ehdr);
	void *copy = malloc(copied + 1); /* aligned, whatever the caller's image is */
	struct linker *l = calloc(1, sizeof(*l));
	struct elf_view v;
	int rc;

	if (!obj || !copy || !l || !(obj->name = strdup(name))) {
		rc = accel_fail(err, -ENOMEM, "out of memory");
		goto out;
	}
	atomic_init(&obj->refs, 1);
	if (copied)
		memcpy(copy, image, copied);
	rc = elf_view_init(&v, copy, size, err);
	if (rc)
		goto out;
	rc = btf_check(&v, err);
	if (!rc)
		rc = load(obj, &v, l, err);
	if (!rc)
		rc = open_with_libbpf(obj, l, copy, size, err);
	elf_view_fini(&v);
	if (!rc)
		rc = judge_all(obj, judge, err);
out:
	free(l);
	if (!rc) {
		obj->image = copy;
		obj->image_bytes = size;
		*out = obj;
		return 0;
	}
	free(copy);
	if (obj)
		object_free(obj);
	return with_name(err, name, rc);
}

int accel_object_open(
	const char *name, const void *image, size_t size, struct accel_object **out, struct accel_err *err)
{
	return accel_object_open_judged(name, image, size, verify_prog, out, err);
}

int accel_read_file(const char *path, void **image, size_t *size, struct accel_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t *buf = NULL;
	struct stat st;
	size_t have = 0;
	ssize_t n = 0;
	int rc = 0;

	if (fd < 0)
		return accel_fail(err, -errno, "cannot read %.200s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = accel_fail(err, -EINVAL, "cannot read %.200s: not a regular file", path);
	else if (st.st_size > OBJECT_MAX_BYTES)
		rc = accel_fail(err, -EFBIG, "cannot read %.200s: %lld bytes; hotreg takes objects up to %u", path,
			(long long)st.st_size, OBJECT_MAX_BYTES);
	else if (!(buf = malloc(OBJECT_MAX_BYTES)))
		rc = accel_fail(err, -ENOMEM, "out of memory");
	while (!rc && have < OBJECT_MAX_BYTES && (n = read(fd, buf + have, OBJECT_MAX_BYTES - have)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = accel_fail(err, -errno, "cannot read %.200s: %s", path, strerror(errno));
		else
			have += (size_t)n;
	}
	close(fd);
	if (rc) {
		free(buf);
		return rc;
	}
	*image = buf;
	*size = have;
	return 0;
}

int accel_object_open_file(const char *path, struct accel_object **out, struct accel_err *err)
{
	void *image;
	size_t size;
	int rc = accel_read_file(path, &image, &size, err);

	if (rc)
		return rc;
	rc = accel_object_open(path, image, size, out, err);
	free(image);
	return rc;
}

struct accel_object *accel_object_get(struct accel_object *obj)
{
	atomic_fetch_add_explicit(&obj->refs, 1, memory_order_relaxed);
	return obj;
}

void accel_object_put(struct accel_object *obj)
{
	if (obj && atomic_fetch_sub_explicit(&obj->refs, 1, memory_order_acq_rel) == 1)
		object_free(obj);
}

const char *accel_object_name(const struct accel_object *obj)
{
	return obj->name;
}

const void *accel_object_image(const struct accel_object *obj, size_t *bytes)
{
	*bytes = obj->image_bytes;
	return obj->image;
}

const struct prog *accel_object_prog(const struct accel_object *obj, unsigned index)
{
	return index < obj->prog_count ? &obj->progs[index] : NULL;
}

const struct prog *accel_object_find_prog(const struct accel_object *obj, const char *name)
{
	for (unsigned i = 0; i < obj->prog_count; i++)
		if (!strcmp(obj->progs[i].name, name))
			return &obj->progs[i];
	return NULL;
}

unsigned accel_object_map_count(const struct accel_object *obj)
{
	return obj->map_count;
}

const struct prog_map *accel_object_map(const struct accel_object *obj, unsigned index)
{
	return index < obj->map_count ? &obj->maps[index] : NULL;
}

uint32_t accel_object_state_version(const struct accel_object *obj)
{
	return obj->state_version;
}

uint32_t accel_object_state_size(const struct accel_object *obj)
{
	return obj->state_size;
}

const char *accel_object_layout(const struct accel_object *obj)
{
	return obj->layout;
}

unsigned accel_object_prog_count(const struct accel_object *obj)
{
	return obj->prog_count;
}

const char *accel_object_prog_name(const struct accel_object *obj, unsigned index)
{
	return index < obj->prog_count ? obj->progs[index].name : NULL;
}

void accel_object_prog_info(const struct accel_object *obj, unsigned index, struct accel_prog_info *out)
{
	const struct prog *p = &obj->progs[index];

	*out = (struct accel_prog_info){
		.name = p->name,
		.effect = p->effect,
		.reads_time = p->reads_time,
		.insns = p->insn_count,
		.worst_case = p->worst_case,
		.verify_ns = p->verify_ns,
		.states = p->states,
	};
}

int accel_object_read_is_timed(
	const struct accel_object *obj, const char *prog, uint32_t offset, uint8_t size, struct accel_err *err)
{
	const struct prog *p = accel_object_find_prog(obj, prog);
	struct prog one;
	int rc;

	if (!p)
		return accel_fail(err, -ENOENT, "%s: has no program %s", accel_object_name(obj), prog);
	one = *p; /* whose verdict stays as it is */
	one.ctx.read_offset = offset;
	one.ctx.read_size = size;
	rc = verify_prog(&one, err);
	return rc ? rc : one.reads_time;
}

void accel_object_dump(const struct accel_object *obj, unsigned index, FILE *out)
{
	disasm_prog(&obj->progs[index], out);
}

int prog_check_runnable(const struct prog *p, struct accel_err *err)
{
	/* (a second slot has opcode 0, which is no instruction) */
	for (uint32_t at = 0; at < p->insn_count; at++) {
		const struct insn_desc *d = insn_lookup(&p->insns[at]);
		const struct prog_map *map;

		if (!d || (d->kind != KIND_MAP && d->kind != KIND_MAP_ADDR) || p->insns[at].imm < 0 ||
			(uint32_t)p->insns[at].imm >= p->map_count)
			continue;
		map = &p->maps[p->insns[at].imm];
		if (map->role == MAP_USER && map->type != MAP_ARRAY)
			return accel_fail(err, -ENOTSUP,
				"not executable here: it uses the hash map %s; hotreg's engines have array maps only, "
				"hash "
				"maps can be verified",
				map->name);
	}
	return 0;
}
