/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * iodev.bpf.c: programs for the tests of KVM_BPF_IODEV: some that answer in ways that show how they were run, some that
 * lie about what they are, and some that KVM must not take although the kernel's verifier does.
 */
#include "tests/prog/iodev.h"

struct iodev_page iodev_state HR_STATE = {.head = {.version = 1, .size = sizeof(struct iodev_page)}};

struct {
	__uint(type, HR_MAP_ARRAY);
	__type(key, uint32_t);
	__type(value, uint64_t);
	__uint(max_entries, 4);
} table HR_MAP;

struct {
	__uint(type, HR_MAP_HASH);
	__type(key, uint32_t);
	__type(value, uint64_t);
	__uint(max_entries, 4);
} hash HR_MAP;

static uint32_t (*const get_prandom_u32)(void) = (uint32_t(*)(void))7;
static long (*const copy_from_user)(
	void *to, uint32_t bytes, const void *from) = (long (*)(void *, uint32_t, const void *))148;
static long (*const sys_bpf)(uint32_t cmd, void *attr, uint32_t size) = (long (*)(uint32_t, void *, uint32_t))166;
static long (*const loop)(
	uint32_t times, void *callback, void *arg, uint64_t flags) = (long (*)(uint32_t, void *, void *, uint64_t))181;

/* ---- honest ones ---- */

/* What it was asked for, so that the guest can see it: offset, size and vCPU in bytes of their own. */
HR_PROG int echo(struct hr_io *io)
{
	if (io->is_write)
		return HR_PUNT;
	io->result = 0xa500000000000000ull | (uint64_t)io->vcpu << 32 | io->size << 16 | io->offset;
	return HR_ANSWER;
}

HR_PROG int constant_a(struct hr_io *io)
{
	io->result = 'A';
	return HR_ANSWER;
}

HR_PROG int constant_b(struct hr_io *io)
{
	io->result = 'B';
	return HR_ANSWER;
}

HR_PROG int always_punt(struct hr_io *io)
{
	io->result = 0xdead;
	return HR_PUNT_WHY(3);
}

/* Neither a punt nor an answer by the contract. */
HR_PROG int strange(struct hr_io *io)
{
	io->result = 0xdead;
	return 77;
}

/* Pure: the byte at io's turn, until the limit. */
HR_PROG int below_limit(struct hr_io *io)
{
	uint64_t count = HR_LOAD(iodev_state.count);

	if (count >= HR_LOAD(iodev_state.limit))
		return HR_PUNT;
	io->result = count;
	return HR_ANSWER;
}

/* Stateful: counts up, and leaves each multiple of `every` to the model. */
HR_PROG int counter(struct hr_io *io)
{
	uint64_t next = HR_LOAD(iodev_state.count) + 1, every = HR_LOAD(iodev_state.every);

	if (every && next % every == 0)
		return HR_PUNT;
	HR_STORE(iodev_state.count, next);
	if (io->is_write)
		HR_STORE(iodev_state.written, io->value);
	io->result = next;
	return HR_ANSWER;
}

/* Pure: what must be one, in two words that the model changes one after the other. */
HR_PROG int both_words(struct hr_io *io)
{
	io->result = HR_LOAD(iodev_state.a) ^ HR_LOAD(iodev_state.b);
	return HR_ANSWER;
}

HR_PROG int ringer(struct hr_io *io)
{
	(void)io;
	return HR_ANSWER_RING;
}

HR_PROG int the_time(struct hr_io *io)
{
	io->result = bpf_ktime_get_ns();
	return HR_ANSWER;
}

HR_PROG int look_up(struct hr_io *io)
{
	uint32_t key = io->offset;
	uint64_t *value = bpf_map_lookup_elem(&table, &key);

	if (!value)
		return HR_PUNT;
	io->result = ++*value;
	return HR_ANSWER;
}

/* In a function of its own, walked where it is called. */
static __attribute__((noinline)) uint64_t doubled(uint64_t v)
{
	return HR_LOAD(iodev_state.limit) + 2 * v;
}

HR_PROG int calls_static(struct hr_io *io)
{
	io->result = doubled(io->offset) + doubled(io->size);
	return HR_ANSWER;
}

/* ---- liars: harmless to all but their own guest ---- */

/* Attached as a pure one: changes the word under its own reader. */
HR_PROG int tears(struct hr_io *io)
{
	HR_STORE(iodev_state.head.seq, HR_LOAD(iodev_state.head.seq) + 2);
	io->result = 1;
	return HR_ANSWER;
}

/* Leaves the word odd. */
HR_PROG int jams(struct hr_io *io)
{
	HR_STORE(iodev_state.head.seq, 1);
	io->result = 1;
	return HR_ANSWER;
}

/* ---- what KVM must refuse ---- */

HR_PROG int refused_random(struct hr_io *io)
{
	io->result = get_prandom_u32();
	return HR_ANSWER;
}

HR_PROG int refused_sleeps(struct hr_io *io)
{
	uint64_t value = 0;

	copy_from_user(&value, 8, (void *)io->value);
	io->result = value;
	return HR_ANSWER;
}

HR_PROG int refused_sys_bpf(struct hr_io *io)
{
	uint64_t attr[16] = {0};

	io->result = (uint64_t)sys_bpf(0, attr, sizeof(attr));
	return HR_ANSWER;
}

static long nothing(uint32_t i, void *arg)
{
	(void)i, (void)arg;
	return 0;
}

HR_PROG int refused_callback(struct hr_io *io)
{
	loop(1 << 23, nothing, 0, 0);
	io->result = 0;
	return HR_ANSWER;
}

__attribute__((noinline)) int a_function(uint32_t offset)
{
	return (int)offset * 3;
}

HR_PROG int refused_calls(struct hr_io *io)
{
	io->result = (uint64_t)a_function(io->offset);
	return HR_ANSWER;
}

HR_PROG int refused_hash(struct hr_io *io)
{
	uint32_t key = 0;
	uint64_t *value = bpf_map_lookup_elem(&hash, &key);

	io->result = value ? *value : 0;
	return HR_ANSWER;
}

HR_PROG int refused_context(struct hr_io *io)
{
	io->result = *((volatile uint64_t *)io + 4);
	return HR_ANSWER;
}

HR_PROG int refused_long(struct hr_io *io)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 20000; i++)
		sum += HR_LOAD(iodev_state.count);
	io->result = sum;
	return HR_ANSWER;
}

HR_LICENSE;
