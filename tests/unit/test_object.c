/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_object.c: opens objects that clang has made from tests/obj: a good one, whose programs are
 * linked and run, and one for each thing that is refused. Then the good one cut at every length
 * and with every byte changed: it may be refused or taken, but nothing else may happen.
 * The objects lie in ../obj of the test's own folder.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/elfcheck.h"
#include "accel/layout.h"
#include "accel/object.h"

static char obj_dir[512];

static int accept_all(struct prog *p, struct accel_err *err)
{
	(void)p, (void)err;
	return 0;
}

static int refuse_all(struct prog *p, struct accel_err *err)
{
	return accel_fail(err, -EACCES, "%s: no", p->name);
}

static void read_object(const char *name, void **image, size_t *size)
{
	struct accel_err err;
	char path[600];

	snprintf(path, sizeof(path), "%s/%s.bpf.o", obj_dir, name);
	if (accel_read_file(path, image, size, &err))
		fail_msg("%s", err.text);
}

static struct accel_object *open_good(void)
{
	struct accel_object *obj;
	struct accel_err err;
	void *image;
	size_t size;

	read_object("good", &image, &size);
	if (accel_object_open_judged("good", image, size, accept_all, &obj, &err))
		fail_msg("%s", err.text);
	free(image);
	return obj;
}

/* Back from an offset to the field: scalars, and elements of arrays at every depth. */
static void test_fields(void **state)
{
	static const char text[] =
		"0 u32 page.seq\n4 u32 page.version\n8 u32 page.size\n12 u32 page.pad\n"
		"16 s64 offset_ns\n"
		"24 u32 ch[3].count\n28 u16 ch[3].latch[2]\n32 u8 ch[3].sub[2].a\n33 u8 ch[3].sub[2].b[3]\n"
		"72 u8 tail[8]\n"; /* ch is 16 bytes: 4, 2 * 2, 2 * (1 + 3) */
	static const struct {
		uint32_t at, offset, size;
		const char *name;
	} want[] = {
		{0, 0, 4, "page.seq"},
		{7, 4, 4, "page.version"},
		{16, 16, 8, "offset_ns"},
		{23, 16, 8, "offset_ns"},
		{24, 24, 4, "ch[0].count"},
		{29, 28, 2, "ch[0].latch[0]"},
		{31, 30, 2, "ch[0].latch[1]"},
		{32, 32, 1, "ch[0].sub[0].a"},
		{36, 36, 1, "ch[0].sub[1].a"},
		{39, 39, 1, "ch[0].sub[1].b[2]"},
		{42, 40, 4, "ch[1].count"},
		{46, 46, 2, "ch[1].latch[1]"},
		{69, 69, 1, "ch[2].sub[1].b[0]"},
		{71, 71, 1, "ch[2].sub[1].b[2]"},
		{72, 72, 1, "tail[0]"},
		{79, 79, 1, "tail[7]"},
	};
	struct accel_field field;

	(void)state;
	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		layout_field(text, 80, want[i].at, &field);
		if (strcmp(field.name, want[i].name) || field.offset != want[i].offset || field.size != want[i].size)
			fail_msg("byte %u: %s at %u, %u bytes", want[i].at, field.name, field.offset, field.size);
	}
	layout_field("", 80, 5, &field);
	assert_string_equal(field.name, "");
	layout_field("0 u8 a[0]\n", 80, 5, &field);
}

static void test_parts(void **state)
{
	struct accel_object *obj = open_good();
	unsigned roles[3] = {0};

	(void)state;
	assert_string_equal(accel_object_name(obj), "good");
	assert_int_equal(accel_object_prog_count(obj), 3);
	assert_non_null(accel_object_find_prog(obj, "compute"));
	assert_non_null(accel_object_find_prog(obj, "count"));
	assert_null(accel_object_find_prog(obj, "outer"));
	assert_null(accel_object_prog(obj, 3));
	assert_int_equal(accel_object_state_version(obj), 3);
	assert_int_equal(accel_object_state_size(obj), 72);
	for (unsigned i = 0; i < accel_object_map_count(obj); i++)
		roles[accel_object_map(obj, i)->role]++;
	assert_int_equal(roles[MAP_STATE], 1);
	assert_int_equal(roles[MAP_BSS], 2);	/* .bss and .data */
	assert_int_equal(roles[MAP_RODATA], 2); /* .rodata and .rodata.str1.1 */
	assert_int_equal(accel_object_get(obj) == obj, 1);
	accel_object_put(obj);
	assert_int_equal(accel_object_prog_count(obj), 3);
	accel_object_put(obj);
	accel_object_put(NULL);
}

static void test_layout(void **state)
{
	struct accel_object *obj = open_good();

	(void)state;
	assert_string_equal(accel_object_layout(obj), "0 u32 page.seq\n"
						      "4 u32 page.version\n"
						      "8 u32 page.size\n"
						      "12 u32 page.pad\n"
						      "16 s64 s.offset_ns\n"
						      "24 u32 s.a[4]\n"
						      "40 u16 s.ch[3].x\n"
						      "42 u16 s.ch[3].y\n"
						      "44 u32 s.ch[3].z\n"
						      "64 b8 s.flag\n"
						      "65 u8 s.pad[7]\n");
	accel_object_put(obj);
}

/* compute calls outer, outer calls inner: each linked once, with lines that say where it is from. */
static void test_linked(void **state)
{
	struct accel_object *obj = open_good();
	const struct prog *p = accel_object_find_prog(obj, "compute");
	uint32_t end = 0;
	bool seen_inner_line = false;

	(void)state;
	assert_int_equal(p->func_count, 3);
	assert_string_equal(p->funcs[0].name, "compute");
	for (uint32_t i = 0; i < p->func_count; i++) {
		assert_int_equal(p->funcs[i].start, end);
		end += p->funcs[i].count;
	}
	assert_int_equal(end, p->insn_count);
	assert_true(p->line_count > 3);
	for (uint32_t i = 0; i < p->line_count; i++) {
		assert_true(p->lines[i].insn < p->insn_count);
		assert_true(i == 0 || p->lines[i - 1].insn <= p->lines[i].insn);
		assert_non_null(strstr(p->lines[i].file, "good.bpf.c"));
		if (p->lines[i].insn >= p->funcs[1].start && strstr(p->lines[i].text, "return x * 3 +"))
			seen_inner_line = true;
	}
	assert_true(seen_inner_line);
	accel_object_put(obj);
}

/* Runs a program of `obj` over maps of its own. */
struct bench {
	const struct accel_object *obj;
	struct prog_env env;
};

static void bench_init(struct bench *b, const struct accel_object *obj)
{
	memset(b, 0, sizeof(*b));
	b->obj = obj;
	b->env.time_is_frozen = true;
	b->env.frozen_ns = 1000;
	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		const struct prog_map *map = accel_object_map(obj, i);

		prog_env_set_map(&b->env, i, map, malloc(map->size + 1));
		memcpy(b->env.map_base[i], map->initial, map->size);
	}
}

static void bench_free(struct bench *b)
{
	for (unsigned i = 0; i < PROG_MAX_MAPS; i++)
		free(b->env.map_base[i]);
}

static uint64_t bench_run(struct bench *b, const char *name, struct hr_io *io)
{
	struct interp_code *code;
	uint64_t r0;

	assert_int_equal(interp_prepare(accel_object_find_prog(b->obj, name), &b->env, &code), 0);
	r0 = interp_run(code, io);
	interp_free(code);
	return r0;
}

static void test_run(void **state)
{
	struct accel_object *obj = open_good();
	struct bench b;
	const uint8_t *page = NULL;
	uint32_t z;

	(void)state;
	bench_init(&b, obj);
	for (uint32_t offset = 0; offset < 8; offset++) {
		struct hr_io io = {.offset = offset, .size = 4};

		assert_int_equal(bench_run(&b, "compute", &io), HR_ANSWER);
		assert_int_equal(io.result, offset * 3 + 10 * (offset % 4 + 1) + offset % 4 + 1 + 1000);
	}
	b.env.frozen_ns = 5000;
	struct hr_io later = {.size = 4};

	assert_int_equal(bench_run(&b, "compute", &later), HR_ANSWER);
	assert_int_equal(later.result, 5011);
	for (uint32_t offset = 0; offset < 6; offset++) {
		struct hr_io io = {.offset = offset, .size = 1};

		assert_int_equal(bench_run(&b, "count", &io), HR_ANSWER);
		assert_int_equal(io.result, "hotreg"[offset]);
	}
	struct hr_io beyond = {.offset = 7};

	assert_int_equal(bench_run(&b, "count", &beyond), HR_PUNT_WHY(3));
	for (unsigned i = 0; i < accel_object_map_count(obj); i++)
		if (accel_object_map(obj, i)->role == MAP_STATE)
			page = b.env.map_base[i];
	memcpy(&z, page + 52, sizeof(z));
	assert_int_equal(z, 6 + 7);
	for (uint32_t i = 0; i < 8; i++) {
		struct hr_io io = {.offset = i / 2, .is_write = i & 1};

		assert_int_equal(bench_run(&b, "text", &io), HR_ANSWER);
		assert_int_equal(io.result, (uint64_t)(i & 1 ? "written" : "read")[i / 2] | (uint64_t)(i + 1) << 8);
	}
	bench_free(&b);
	accel_object_put(obj);
}

/* What the declarations say, what programs find under which key, and what is refused for the hash map. */
static void test_maps(void **state)
{
	static const struct {
		const char *name;
		enum map_type type;
		enum map_access access;
		uint32_t key_size, value_size, max_entries, size;
	} want[] = {
		{"samples", MAP_ARRAY, MAP_RW, 4, 12, 5, 80},
		{"fixed", MAP_ARRAY, MAP_RO, 4, 8, 2, 16},
		{"notes", MAP_ARRAY, MAP_WO, 4, 8, 1, 8},
		{"names", MAP_HASH, MAP_RW, 8, 4, 100, 0},
	};
	struct accel_object *obj;
	struct accel_err err;
	unsigned found = 0;
	struct bench b;
	void *image;
	size_t size;

	(void)state;
	read_object("maps", &image, &size);
	if (accel_object_open("maps", image, size, &obj, &err))
		fail_msg("%s", err.text);
	free(image);
	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		const struct prog_map *map = accel_object_map(obj, i);

		for (unsigned k = 0; k < 4; k++) {
			if (map->role != MAP_USER || strcmp(map->name, want[k].name))
				continue;
			found++;
			assert_int_equal(map->type, want[k].type);
			assert_int_equal(map->access, want[k].access);
			assert_int_equal(map->key_size, want[k].key_size);
			assert_int_equal(map->value_size, want[k].value_size);
			assert_int_equal(map->max_entries, want[k].max_entries);
			assert_int_equal(map->size, want[k].size);
		}
	}
	assert_int_equal(found, 4);
	assert_int_equal(accel_object_find_prog(obj, "tally")->effect, ACCEL_STATEFUL);
	assert_int_equal(accel_object_find_prog(obj, "peek")->effect, ACCEL_PURE);
	assert_int_equal(prog_check_runnable(accel_object_find_prog(obj, "tally"), &err), 0);
	assert_int_equal(prog_check_runnable(accel_object_find_prog(obj, "by_name"), &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "it uses the hash map names"));

	bench_init(&b, obj);
	for (uint32_t round = 1; round <= 3; round++) {
		for (uint32_t offset = 0; offset < 5; offset++) {
			struct hr_io io = {.offset = offset, .size = 4, .is_write = 1, .value = 100 * offset + round};

			assert_int_equal(bench_run(&b, "tally", &io), HR_ANSWER);
			assert_int_equal(io.result, round);
		}
	}
	for (uint32_t offset = 0; offset < 5; offset++) {
		struct hr_io io = {.offset = offset, .size = 4};

		assert_int_equal(bench_run(&b, "tally", &io), HR_ANSWER);
		assert_int_equal(io.result, 300 * offset + 6);
	}
	struct hr_io beyond = {.offset = 5, .size = 4, .is_write = 1}, last = {.offset = UINT32_MAX, .size = 4};

	assert_int_equal(bench_run(&b, "tally", &beyond), HR_PUNT_WHY(5));
	assert_int_equal(bench_run(&b, "tally", &last), HR_PUNT_WHY(5));
	bench_free(&b);
	accel_object_put(obj);
}

/* Through slots: one storage for all attachments of an object to a page, another one for another page. */
static void test_maps_attached(void **state)
{
	struct hr_io io = {.offset = 1, .size = 4, .is_write = 1, .value = 7}, read = {.offset = 1, .size = 4};
	const struct accel_clock clock = {.is_virtual = true};
	struct accel_slot *slot[3];
	struct accel_page *page[2];
	struct accel_object *obj;
	struct accel_err err;
	void *image;
	size_t size;

	(void)state;
	read_object("maps", &image, &size);
	assert_int_equal(accel_object_open("maps", image, size, &obj, &err), 0);
	free(image);
	for (unsigned i = 0; i < 3; i++) {
		if (i != 1)
			assert_int_equal(accel_page_new(1, 24, &page[i / 2]), 0);
		assert_int_equal(accel_slot_new(page[i / 2], &clock, 1, ACCEL_STATEFUL, &slot[i]), 0);
		assert_int_equal(accel_slot_attach(slot[i], obj, "by_name", &err), -ENOTSUP);
		if (accel_slot_attach(slot[i], obj, "tally", &err))
			fail_msg("%s", err.text);
	}
	assert_int_equal(accel_run(slot[0], &io), HR_ANSWER);
	assert_int_equal(accel_run(slot[0], &io), HR_ANSWER);
	assert_int_equal(accel_run(slot[1], &read), HR_ANSWER);
	assert_int_equal(read.result, 14);
	assert_int_equal(accel_run(slot[2], &read), HR_ANSWER);
	assert_int_equal(read.result, 0);
	/* check mode works on a copy, and an answer is kept, as for .bss */
	assert_int_equal(accel_slot_shadow(slot[1], &io, 5), HR_ANSWER);
	assert_int_equal(accel_slot_compare(slot[1]), -1);
	assert_int_equal(accel_run(slot[0], &read), HR_ANSWER);
	assert_int_equal(read.result, 21);
	for (unsigned i = 0; i < 3; i++)
		accel_slot_free(slot[i]);
	accel_page_free(page[0]);
	accel_page_free(page[1]);
	accel_object_put(obj);
}

static void test_dump(void **state)
{
	struct accel_object *obj = open_good();
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	accel_object_dump(obj, 0, f);
	fclose(f);
	assert_memory_equal(text, "compute:\n; ", 11);
	assert_non_null(strstr(text, "(85) call outer\n"));
	assert_non_null(strstr(text, "\nouter:\n"));
	assert_non_null(strstr(text, "(85) call inner\n"));
	assert_non_null(strstr(text, "(85) call bpf_ktime_get_ns#5\n"));
	assert_non_null(strstr(text, " = .data.state + "));
	assert_non_null(strstr(text, "\n; io->result = outer(io->offset) + bpf_ktime_get_ns();  ("));
	free(text);
	accel_object_put(obj);
}

static const struct {
	const char *name;
	const char *text; /* part of the sentence */
} refusals[] = {
	{"version0", "version 0: initialise .version"},
	{"wrong_size", "says it has 16 bytes, its section has 24"},
	{"pointer", "state field p is a pointer"},
	{"hole", "state field after_hole has unnamed bytes before it"},
	{"tail", "has unnamed bytes at its end"},
	{"union", "state field u is a union"},
	{"bits", "state field low is a bit field"},
	{"int128", "state field wide is wider than 8 bytes"},
	{"empty_array", "state field none is an array without elements"},
	{"packed", "state field s.b is not at a multiple of its size"},
	{"no_state", "no state page: declare one global variable with HR_STATE"},
	{"static_state", "state variable state is static or hidden"},
	{"hidden_state", "state variable state is static or hidden"},
	{"no_head", "begin the state variable with a struct hr_page"},
	{"tiny_state", ".data.state has 8 bytes"},
	{"two_states", "holds 2 variables: put all of the state into one struct"},
	{"extern_var", "elsewhere is not defined in the object"},
	{"extern_func", "elsewhere is not defined in the object"},
	{"maps", "map a_map has type percpu_array (6): programs have array maps"},
	{"map_flags", "map a_map has flags 0x1000"},
	{"map_key", "the key of an array has 4 bytes, not 8"},
	{"map_empty", "map a_map: 0 entries of 4 bytes"},
	{"map_large", "10000 entries of 136 bytes are more than"},
	{"map_pinned", "map a_map is pinned"},
	{"map_old", "section maps declares maps in libbpf's old style"},
	{"map_static", "map a_map is static: remove"},
	{"map_in_map", "section .maps holds an address"},
	{"section", "section xdp is not a program type"},
	{"data_section", "section mydata is not one that hotreg knows"},
	{"data_pointer", "section .data holds an address"},
	{"func_address", "takes the address of function"},
	{"indirect", "indirect call (callx)"},
	{"static_prog", "program hidden_prog is static"},
	{"calls_prog", "calls other_prog, which is itself a program"},
	{"core", "CO-RE relocations"},
	{"packet", "packet access (BPF_ABS)"},
	{"many", "more than 16 programs"},
	{"no_prog", "no program: put functions in SEC(\"syscall\")"},
};

static void test_refused(void **state)
{
	struct accel_object *obj;
	struct accel_err err;
	void *image;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		char name[64];

		snprintf(name, sizeof(name), "refused_%s", refusals[i].name);
		read_object(name, &image, &size);
		if (!accel_object_open_judged(name, image, size, accept_all, &obj, &err))
			fail_msg("%s was taken", name);
		if (!strstr(err.text, refusals[i].text) || strchr(err.text, '\n') ||
			strncmp(err.text, name, strlen(name)))
			fail_msg("%s: wrong sentence: %s", name, err.text);
		free(image);
	}
	/* The same source without a case is taken: each was refused for its case. */
	read_object("refused_none", &image, &size);
	assert_int_equal(accel_object_open_judged("none", image, size, accept_all, &obj, &err), 0);
	accel_object_put(obj);
	assert_int_equal(accel_object_open_judged("none", image, size, refuse_all, &obj, &err), -EACCES);
	assert_string_equal(err.text, "none: prog: no");
	free(image);
}

static void test_files(void **state)
{
	struct accel_err err;
	struct accel_object *obj;
	const char garbage[64] = "this is no object";

	(void)state;
	assert_int_equal(accel_object_open_file("/nonexistent/x.bpf.o", &obj, &err), -ENOENT);
	assert_string_equal(err.text, "cannot read /nonexistent/x.bpf.o: No such file or directory");
	assert_int_equal(accel_object_open_file("/", &obj, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not a regular file"));
	assert_int_equal(accel_object_open("x", garbage, sizeof(garbage), &obj, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not an ELF file"));
	assert_int_equal(accel_object_open("x", garbage, 0, &obj, &err), -EINVAL);
	assert_int_equal(accel_object_open("x\033[1m", garbage, 3, &obj, &err), -EINVAL);
	assert_null(strchr(err.text, '\033'));
}

/* Opens a damaged image; whatever comes out must be whole. Returns whether it was taken. */
static bool try_image(const void *image, size_t size)
{
	struct accel_object *obj;
	struct accel_err err;
	char *text = NULL;
	size_t text_size;
	FILE *f;

	err.text[0] = 0;
	if (accel_object_open_judged("damaged", image, size, accept_all, &obj, &err)) {
		assert_true(strlen(err.text) > 10);
		return false;
	}
	f = open_memstream(&text, &text_size);
	for (unsigned i = 0; i < accel_object_prog_count(obj); i++)
		accel_object_dump(obj, i, f);
	fclose(f);
	free(text);
	accel_object_put(obj);
	return true;
}

static void test_truncated(void **state)
{
	void *image, *exact;
	size_t size;

	(void)state;
	read_object("good", &image, &size);
	assert_true(try_image(image, size));
	for (size_t n = 0; n < size; n++) {
		exact = malloc(n ? n : 1); /* so that the sanitizer sees a step beyond */
		memcpy(exact, image, n);
		if (try_image(exact, n))
			fail_msg("taken with %zu of %zu bytes", n, size);
		free(exact);
	}
	free(image);
}

static void test_flipped(void **state)
{
	static const uint8_t flips[] = {0xff, 0x01, 0x80, 0x10};
	unsigned taken = 0;
	uint8_t *bytes;
	void *image;
	size_t size;

	(void)state;
	read_object("good", &image, &size);
	bytes = image;
	for (size_t n = 0; n < size; n++) {
		uint8_t flip = flips[n % sizeof(flips)];

		bytes[n] ^= flip;
		taken += try_image(image, size);
		bytes[n] ^= flip;
	}
	print_message("%zu bytes changed one by one: %u still taken\n", size, taken);
	free(image);
}

static int hosts_print(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static void *opener(void *arg)
{
	(void)arg;
	for (int i = 0; i < 300; i++)
		accel_object_put(open_good());
	return NULL;
}

/* A program that uses libbpf for itself gets its print function back, whoever opens objects meanwhile. */
static void test_two_threads(void **state)
{
	libbpf_print_fn_t was = libbpf_set_print(hosts_print);
	pthread_t other;

	(void)state;
	assert_int_equal(pthread_create(&other, NULL, opener, NULL), 0);
	opener(NULL);
	pthread_join(other, NULL);
	assert_ptr_equal(libbpf_set_print(was), hosts_print);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_linked),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_maps_attached),
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_two_threads),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(obj_dir, sizeof(obj_dir), "%.*s/../obj", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
