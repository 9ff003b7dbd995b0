/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refused.bpf.c: objects that the loader refuses, one for each -DCASE_<name>; test_object.c has the
 * sentence that each must get. Without a case the object would be taken.
 */
#include "bpf/hr.h"

/* One line a case: */
/* clang-format off */

HR_LICENSE;

#ifdef CASE_version0
#define VERSION 0
#else
#define VERSION 1
#endif
#ifdef CASE_wrong_size
#define SIZE 16
#else
#define SIZE sizeof(state)
#endif

#define HEAD .page = {.version = VERSION, .size = SIZE}

#ifdef CASE_pointer
#define FIELD void *p;
#elif defined(CASE_hole)
#define FIELD uint8_t a; uint32_t after_hole;
#elif defined(CASE_tail)
#define FIELD uint64_t a; uint32_t b;
#elif defined(CASE_union)
#define FIELD union { uint32_t a; uint32_t b[1]; } u;
#elif defined(CASE_bits)
#define FIELD uint32_t low : 4; uint32_t high : 28;
#elif defined(CASE_int128)
#define FIELD unsigned __int128 wide;
#elif defined(CASE_empty_array)
#define FIELD uint32_t a; uint32_t none[];
#elif defined(CASE_packed)
#define FIELD struct __attribute__((packed)) { uint32_t a; uint64_t b; uint32_t c; } s;
#else
#define FIELD uint64_t a;
#endif

#ifdef CASE_no_state
struct { struct hr_page page; FIELD } state = {HEAD};
#elif defined(CASE_static_state)
static volatile struct { struct hr_page page; FIELD } state HR_STATE = {HEAD};
#elif defined(CASE_hidden_state)
__attribute__((visibility("hidden"))) struct { struct hr_page page; FIELD } state HR_STATE = {HEAD};
#elif defined(CASE_no_head)
struct { FIELD uint32_t size; uint32_t pad; } state HR_STATE = {(uint64_t)VERSION << 32, SIZE, 0};
#elif defined(CASE_tiny_state)
uint64_t state HR_STATE = 1;
#elif defined(CASE_two_states)
struct { struct hr_page page; FIELD } state HR_STATE = {.page = {.version = 1, .size = 2 * sizeof(state)}};
struct { struct hr_page page; FIELD } other HR_STATE = {HEAD};
#else
struct { struct hr_page page; FIELD } state HR_STATE = {HEAD};
#endif

#ifdef CASE_extern_var
extern uint32_t elsewhere;
#define BODY io->result = elsewhere;
#elif defined(CASE_extern_func)
extern uint64_t elsewhere(void);
#define BODY io->result = elsewhere();
#elif defined(CASE_maps)
struct { __uint(type, 6); __type(key, uint32_t); __type(value, uint32_t); __uint(max_entries, 4); } a_map HR_MAP;
#elif defined(CASE_map_flags)
struct { __uint(type, 2); __type(key, uint32_t); __type(value, uint32_t); __uint(max_entries, 4); __uint(map_flags, 0x1000); } a_map HR_MAP;
#elif defined(CASE_map_key)
struct { __uint(type, 2); __type(key, uint64_t); __type(value, uint32_t); __uint(max_entries, 4); } a_map HR_MAP;
#elif defined(CASE_map_empty)
struct { __uint(type, 2); __type(key, uint32_t); __type(value, uint32_t); } a_map HR_MAP;
#elif defined(CASE_map_large)
struct { __uint(type, 2); __type(key, uint32_t); __type(value, uint64_t[17]); __uint(max_entries, 10000); } a_map HR_MAP;
#elif defined(CASE_map_pinned)
struct { __uint(type, 2); __type(key, uint32_t); __type(value, uint32_t); __uint(max_entries, 4); __uint(pinning, 1); } a_map HR_MAP;
#elif defined(CASE_map_old)
struct { uint32_t type, key_size, value_size, max_entries; } a_map SEC("maps") = {2, 4, 4, 4};
#elif defined(CASE_map_static)
static struct { __uint(type, 2); __type(key, uint32_t); __type(value, uint32_t); __uint(max_entries, 4); } a_map HR_MAP;
#define BODY uint32_t zero = 0; uint32_t *p = bpf_map_lookup_elem(&a_map, &zero); if (p) io->result = *p;
#elif defined(CASE_map_in_map)
struct inner { __uint(type, 2); __type(key, uint32_t); __type(value, uint32_t); __uint(max_entries, 4); } an_inner HR_MAP;
struct { __uint(type, 12); __type(key, uint32_t); __uint(max_entries, 2); __type(value, uint32_t); struct inner *values[]; } outer HR_MAP = {.values = {&an_inner}};
#elif defined(CASE_section)
SEC("xdp") int packet(void *ctx)
{
	return ctx != 0;
}
#elif defined(CASE_data_section)
uint32_t odd SEC("mydata") = 5;
#elif defined(CASE_data_pointer)
static int target;
static int *volatile pointer = &target;
#define BODY io->result = (uint64_t)pointer;
#elif defined(CASE_func_address)
static __attribute__((noinline)) int callee(void)
{
	return 1;
}
static int (*volatile dummy)(void);
#define BODY io->result = (uint64_t)&callee; dummy = 0; io->result += (uint64_t)callee();
#elif defined(CASE_indirect)
#define BODY ((void (*)(void))io->value)();
#elif defined(CASE_many)
#define ONE(n) HR_PROG int one_##n(struct hr_io *io) { return io->offset > n; }
#define FOUR(n) ONE(n##0) ONE(n##1) ONE(n##2) ONE(n##3)
FOUR(1) FOUR(2) FOUR(3) FOUR(4)
#elif defined(CASE_static_prog)
HR_PROG static int hidden_prog(struct hr_io *io)
{
	return io->offset > 1;
}
#elif defined(CASE_calls_prog)
HR_PROG __attribute__((noinline)) int other_prog(struct hr_io *io)
{
	io->result = io->offset;
	return HR_ANSWER;
}
#define BODY other_prog(io);
#elif defined(CASE_reads_beyond) /* the loader takes this one: it is the verifier that refuses `beyond` */
HR_PROG int beyond(struct hr_io *io)
{
	io->result = HR_LOAD((&state)[1].a);
	return HR_ANSWER;
}
#elif defined(CASE_core)
struct kernel_thing { int a, b; } __attribute__((preserve_access_index));
#define BODY io->result = (uint64_t)((struct kernel_thing *)io->value)->b;
#elif defined(CASE_packet)
#define BODY __asm__ volatile("r6 = %0\nr0 = *(u8 *)skb[0]" : : "r"(io) : "r0", "r1", "r2", "r3", "r4", "r5", "r6");
#endif
#ifndef BODY
#define BODY
#endif

#ifndef CASE_no_prog
HR_PROG int prog(struct hr_io *io)
{
	BODY
	io->result += HR_LOAD(*(uint32_t *)&state);
	return HR_ANSWER;
}
#endif
