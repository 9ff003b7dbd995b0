/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_jit_objects.c: the shipped objects, the loader's test object and the example's in every engine, over
 * random pages and accesses: verdict, request, every byte of the page and of .bss. Then the memory that
 * machine code lives in: who may do what to it, what addresses it contains, and what happens without it.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "accel/engine.h"
#include "accel/jit.h"
#include "accel/object.h"
#include "devices/programs.h"

#ifdef __SANITIZE_ADDRESS__
#define CASES 20000
#else
#define CASES 200000
#endif
#define ENGINES (JIT_AVAILABLE ? 3u : 1u)

static char build_dir[512];

static uint64_t rng_state = 0x9e3779b97f4a7c15;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state * 0x2545f4914f6cdd1d;
}

static void need_jit(void)
{
	if (engine_has_jit())
		return;
	print_message("SKIP: this build has no JIT\n");
	skip();
}

/* ---- an object with storage of its own ---- */

struct setup {
	struct accel_object *obj;
	unsigned map_count, state_map;
	uint8_t *data[PROG_MAX_MAPS], *before[PROG_MAX_MAPS], *after[PROG_MAX_MAPS]; /* NULL for .rodata */
	struct prog_env env;
};

static void set_up(struct setup *s, const char *name, const void *image, size_t size)
{
	struct accel_err err;

	memset(s, 0, sizeof(*s));
	if (accel_object_open(name, image, size, &s->obj, &err))
		fail_msg("%s", err.text);
	s->map_count = accel_object_map_count(s->obj);
	s->env.time_is_frozen = true;
	for (unsigned i = 0; i < s->map_count; i++) {
		const struct prog_map *map = accel_object_map(s->obj, i);

		if (map->role == MAP_STATE)
			s->state_map = i;
		if (map->role == MAP_RODATA) {
			prog_env_set_map(&s->env, i, map, map->initial);
			continue;
		}
		/* the page lies where the runtime has it: in a mapping of its own */
		s->data[i] = mmap(NULL, map->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		s->before[i] = malloc(map->size);
		s->after[i] = malloc(map->size);
		memcpy(s->before[i], map->initial, map->size);
		memcpy(s->after[i], map->initial, map->size);
		prog_env_set_map(&s->env, i, map, s->data[i]);
	}
}

static void tear_down(struct setup *s)
{
	for (unsigned i = 0; i < s->map_count; i++) {
		if (s->data[i])
			munmap(s->data[i], accel_object_map(s->obj, i)->size);
		free(s->before[i]);
		free(s->after[i]);
	}
	accel_object_put(s->obj);
}

/*
 * The next page: what the last case left, or the object's own, or noise; then a few fields changed to small
 * numbers, flags, or counts of a usual clock's ticks near `ns`.
 */
static void next_pages(struct setup *s, uint64_t ns)
{
	static const uint64_t hz[] = {1193182, 3579545, 100000000, 1000000000};
	const struct prog_map *map = accel_object_map(s->obj, s->state_map);
	uint8_t *page = s->before[s->state_map];
	unsigned again = (unsigned)(rng() >> 40) % 32;

	for (unsigned i = 0; i < s->map_count; i++) {
		if (s->before[i])
			memcpy(s->before[i], s->after[i], accel_object_map(s->obj, i)->size);
	}
	if (again == 0)
		memcpy(page, map->initial, map->size);
	for (uint32_t i = sizeof(struct hr_page); i < map->size && again == 1; i++)
		page[i] = (uint8_t)(rng() >> 40);
	for (unsigned changes = (unsigned)(rng() >> 40) % 12; changes > 0; changes--) {
		uint32_t width = 1u << (rng() >> 40) % 4;
		uint32_t slots = (map->size - (uint32_t)sizeof(struct hr_page)) / width;
		uint64_t v = rng();

		switch (rng() >> 40 & 3) {
		case 0:
			v &= 1;
			break;
		case 1:
			v &= 0xff;
			break;
		case 2:
			v = hr_ns_to_ticks(ns, hz[v % 4]) + (v >> 40) % 0x20001 - 0x10000;
			break;
		default:
			break;
		}
		memcpy(page + sizeof(struct hr_page) + (rng() >> 40) % slots * width, &v, width);
	}
}

static struct hr_io next_access(unsigned n)
{
	struct hr_io io = {.vcpu = n & 1};

	io.size = (uint8_t)(1u << n % 4);
	io.is_write = n / 4 % 2;
	io.offset = n / 8 % 0x400;
	if (n >= CASES / 4) {
		io.is_write = (rng() >> 40) % 4 == 0;
		io.offset = (uint32_t)(rng() >> 40) % ((rng() >> 40) % 2 ? 8 : 0x400);
		if ((rng() >> 40) % 4 == 0)
			io.offset += 0xf0;
		if ((rng() >> 40) % 2)
			io.size = 1;
		if ((rng() >> 40) % 64 == 0)
			io.offset = (uint32_t)rng();
	}
	io.value = io.is_write ? hr_mask(rng(), io.size) : 0;
	return io;
}

static void compare_prog(struct setup *s, const struct prog *p)
{
	struct engine_code *code[3] = {NULL};
	unsigned answered = 0;
	size_t bytes = 0;

	for (unsigned e = 0; e < ENGINES; e++)
		assert_int_equal(engine_prepare_for(p, &s->env, e ? ENGINE_JIT : ENGINE_INTERP,
					 e == 1 ? jit_features() : 0, &code[e]),
			0);
	for (unsigned n = 0; n < CASES; n++) {
		const struct hr_io in = next_access(n);
		struct hr_io first = in;
		uint64_t verdict = 0;

		s->env.frozen_ns = rng() >> (rng() >> 40) % 32;
		next_pages(s, s->env.frozen_ns);
		for (unsigned e = 0; e < ENGINES; e++) {
			struct hr_io io = in;
			uint64_t v;

			for (unsigned i = 0; i < s->map_count; i++) {
				if (s->data[i])
					memcpy(s->data[i], s->before[i], accel_object_map(s->obj, i)->size);
			}
			v = engine_run(code[e], &io);
			if (e == 0) {
				verdict = v;
				first = io;
			} else if (v != verdict || memcmp(&io, &first, sizeof(io)) != 0) {
				fail_msg("%s: case %u, engine %u: verdict %#" PRIx64 ", result %#" PRIx64
					 "; the interpreter: %#" PRIx64 ", %#" PRIx64,
					p->name, n, e, v, io.result, verdict, first.result);
			}
			for (unsigned i = 0; i < s->map_count; i++) {
				size_t size = accel_object_map(s->obj, i)->size;

				if (!s->data[i])
					continue;
				if (e == 0)
					memcpy(s->after[i], s->data[i], size);
				else
					assert_memory_equal(s->after[i], s->data[i], size);
			}
		}
		answered += verdict == HR_ANSWER || verdict == HR_ANSWER_RING;
	}
	if (code[1])
		engine_code_bytes(code[1], &bytes);
	print_message("%s: %u accesses, %u answered; %u instructions, %zu bytes of machine code\n", p->name, CASES,
		answered, p->insn_count, bytes);
	assert_true(answered > CASES / 100);
	for (unsigned e = 0; e < ENGINES; e++)
		engine_free(code[e]);
}

static void compare_image(const char *name, const void *image, size_t size)
{
	struct setup s;

	set_up(&s, name, image, size);
	for (unsigned i = 0; i < accel_object_prog_count(s.obj); i++)
		compare_prog(&s, accel_object_prog(s.obj, i));
	tear_down(&s);
}

#define IMAGE(name) #name ".bpf.o", prog_##name##_start, (size_t)(prog_##name##_end - prog_##name##_start)

static void objects_ata(void **state)
{
	(void)state;
	compare_image(IMAGE(ata));
}

static void objects_hpet(void **state)
{
	(void)state;
	compare_image(IMAGE(hpet));
}

static void objects_i8254(void **state)
{
	(void)state;
	compare_image(IMAGE(i8254));
}

static void objects_mc146818(void **state)
{
	(void)state;
	compare_image(IMAGE(mc146818));
}

static void objects_i16550(void **state)
{
	(void)state;
	compare_image(IMAGE(i16550));
}

static void objects_ioapic(void **state)
{
	(void)state;
	compare_image(IMAGE(ioapic));
}

static void objects_i8042(void **state)
{
	(void)state;
	compare_image(IMAGE(i8042));
}

static void objects_i8259(void **state)
{
	(void)state;
	compare_image(IMAGE(i8259));
}

static void objects_pci(void **state)
{
	(void)state;
	compare_image(IMAGE(pci));
}

static void objects_pmtimer(void **state)
{
	(void)state;
	compare_image(IMAGE(pmtimer));
}

static void objects_vga(void **state)
{
	(void)state;
	compare_image(IMAGE(vga));
}

static void compare_file(const char *path)
{
	struct accel_err err;
	char whole[700];
	void *image;
	size_t size;

	snprintf(whole, sizeof(whole), "%s/%s", build_dir, path);
	if (accel_read_file(whole, &image, &size, &err))
		fail_msg("%s", err.text);
	compare_image(path, image, size);
	free(image);
}

static void objects_good(void **state)
{
	(void)state;
	compare_file("tests/obj/good.bpf.o");
}

static void objects_counter(void **state)
{
	(void)state;
	compare_file("examples/counter/counter.bpf.o");
}

/* ---- memory ---- */

static struct engine_code *prepare_hpet(struct setup *s)
{
	struct engine_code *code;

	set_up(s, IMAGE(hpet));
	assert_int_equal(engine_prepare(accel_object_prog(s->obj, 0), &s->env, ENGINE_JIT, &code), 0);
	return code;
}

/* The rights of the mapping that holds an address, "" for none; every mapping is checked on the way. */
static void rights_of(uintptr_t address, char rights[5])
{
	uintptr_t first, end;
	char line[512], r[5];
	FILE *f = fopen("/proc/self/maps", "r");

	assert_non_null(f);
	strcpy(rights, "");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &first, &end, r) != 3)
			continue;
		if (r[1] == 'w' && r[2] == 'x')
			fail_msg("writable and executable: %s", line);
		if (address >= first && address < end)
			strcpy(rights, r);
	}
	fclose(f);
}

static int touch(volatile uint8_t *at, bool store)
{
	struct rlimit none = {0, 0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		if (store)
			*at = 0xc3;
		else
			(void)*at;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_memory_rights(void **state)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct engine_code *code;
	const uint8_t *text;
	char rights[5];
	struct setup s;
	uintptr_t end;
	size_t len;

	(void)state;
	need_jit();
	code = prepare_hpet(&s);
	text = engine_code_bytes(code, &len);
	end = ((uintptr_t)text + len + page - 1) / page * page;
	rights_of((uintptr_t)text, rights);
	assert_string_equal(rights, "r-xp");
	rights_of(end - 1, rights);
	assert_string_equal(rights, "r-xp");
	rights_of((uintptr_t)text - 1, rights); /* the addresses that the code does not contain */
	assert_string_equal(rights, "r--p");
	rights_of((uintptr_t)text - page - 1, rights);
	assert_string_equal(rights, "---p");
	rights_of(end, rights);
	assert_string_equal(rights, "---p");
	assert_memory_equal(text, "\xf3\x0f\x1e\xfa", 4); /* endbr64 */
	assert_int_equal(touch((uint8_t *)(uintptr_t)text, false), 0);
	assert_int_equal(touch((uint8_t *)(uintptr_t)text, true), SIGSEGV);
	assert_int_equal(touch((uint8_t *)(uintptr_t)text - 1, false), 0);
	assert_int_equal(touch((uint8_t *)(uintptr_t)text - page, true), SIGSEGV);
	assert_int_equal(touch((uint8_t *)(uintptr_t)text - page - 1, false), SIGSEGV);
	assert_int_equal(touch((uint8_t *)end, false), SIGSEGV);
	engine_free(code);
	rights_of((uintptr_t)text, rights);
	assert_string_equal(rights, "");
	tear_down(&s);
}

/* Below it is nothing of ours: with ASan its shadow, terabytes that many a number falls into. */
#ifdef __SANITIZE_ADDRESS__
#define LOWEST_ADDRESS 0x100080000000
#else
#define LOWEST_ADDRESS 0x10000
#endif

/* Nothing in the code, read as eight bytes at any place, is an address of something mapped here but a map's. */
static void test_no_addresses(void **state)
{
	static const struct program_image images[] = {PROGRAMS(PROGRAM_ROW)};
	char rights[5];

	(void)state;
	need_jit();
#ifdef __SANITIZE_ADDRESS__
	print_message("SKIP: AddressSanitizer's shadow lies nearly everywhere, so that most numbers are addresses\n");
	skip();
#endif
	for (unsigned k = 0; k < sizeof(images) / sizeof(images[0]); k++) {
		struct setup s;

		set_up(&s, images[k].name, images[k].start, (size_t)(images[k].end - images[k].start));
		for (unsigned i = 0; i < accel_object_prog_count(s.obj); i++) {
			struct engine_code *code;
			const uint8_t *text;
			size_t len;

			assert_int_equal(engine_prepare(accel_object_prog(s.obj, i), &s.env, ENGINE_JIT, &code), 0);
			text = engine_code_bytes(code, &len);
			for (size_t at = 0; at + 8 <= len; at++) {
				uint64_t v;
				bool is_map = false;

				memcpy(&v, text + at, 8);
				if (v < LOWEST_ADDRESS || v >> 47)
					continue;
				for (unsigned m = 0; m < s.map_count; m++) {
					uint64_t base = (uintptr_t)s.env.map_base[m];

					is_map |= v >= base && v <= base + accel_object_map(s.obj, m)->size;
				}
				rights_of(v, rights);
				if (!is_map && rights[0])
					fail_msg("%s: byte %zu of the code: 0x%" PRIx64 " is an address (%s)",
						accel_object_prog_name(s.obj, i), at, v, rights);
			}
			engine_free(code);
		}
		tear_down(&s);
	}
}

static int memfd_errno;
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

int __wrap_memfd_create(const char *name, unsigned flags)
{
	if (memfd_errno) {
		errno = memfd_errno;
		return -1;
	}
	return __real_memfd_create(name, flags);
}

/* A host that gives no executable memory: the interpreter runs the program, whoever insists on the JIT hears why. */
static void test_no_memory(void **state)
{
	struct engine_code *code;
	struct hr_io io = {.offset = 0, .size = 8};
	struct setup s;
	size_t len;

	(void)state;
	need_jit();
	set_up(&s, IMAGE(hpet));
	memfd_errno = EACCES;
	assert_int_equal(engine_prepare(accel_object_prog(s.obj, 0), &s.env, ENGINE_JIT, &code), -EACCES);
	assert_int_equal(engine_prepare(accel_object_prog(s.obj, 0), &s.env, ENGINE_BEST, &code), 0);
	memfd_errno = 0;
	assert_int_equal(engine_code_kind(code), ENGINE_INTERP);
	assert_null(engine_code_bytes(code, &len));
	assert_int_equal(len, 0);
	assert_int_equal(engine_run(code, &io), HR_ANSWER);
	engine_free(code);
	tear_down(&s);
}

/* Preparing and freeing, again and again, leaves no mapping and no descriptor behind. */
static void test_no_leak(void **state)
{
	struct engine_code *code;
	struct setup s;
	int fd;

	(void)state;
	need_jit();
	code = prepare_hpet(&s);
	engine_free(code);
	fd = dup(0);
	close(fd);
	for (unsigned i = 0; i < 70000; i++) { /* more than a process may have mappings */
		assert_int_equal(engine_prepare(accel_object_prog(s.obj, 0), &s.env, ENGINE_JIT, &code), 0);
		engine_free(code);
	}
	assert_int_equal(dup(0), fd);
	close(fd);
	tear_down(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_ata),
		cmocka_unit_test(objects_hpet),
		cmocka_unit_test(objects_i8254),
		cmocka_unit_test(objects_mc146818),
		cmocka_unit_test(objects_i16550),
		cmocka_unit_test(objects_i8042),
		cmocka_unit_test(objects_ioapic),
		cmocka_unit_test(objects_i8259),
		cmocka_unit_test(objects_pci),
		cmocka_unit_test(objects_pmtimer),
		cmocka_unit_test(objects_vga),
		cmocka_unit_test(objects_good),
		cmocka_unit_test(objects_counter),
		cmocka_unit_test(test_memory_rights),
		cmocka_unit_test(test_no_addresses),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_leak),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(build_dir, sizeof(build_dir), "%.*s/../..", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	return cmocka_run_group_tests_name("jit_objects", tests, NULL, NULL);
}
