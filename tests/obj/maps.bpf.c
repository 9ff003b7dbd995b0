/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps.bpf.c: an object with maps of its own: an array whose elements are no multiple of 8 bytes, one that
 * programs may only read, one to write only, and a hash map, which no engine here runs. For the tests of the
 * loader, the runtime and the command line, which know its numbers.
 */
#include "bpf/hr.h"

HR_LICENSE;

struct {
	struct hr_page page;
	int64_t offset_ns;
} state HR_STATE = {.page = {.version = 1, .size = sizeof(state)}};

struct sample {
	uint32_t n, last, sum;
};

struct {
	__uint(type, HR_MAP_ARRAY);
	__uint(max_entries, 5);
	__type(key, uint32_t);
	__type(value, struct sample);
} samples HR_MAP;

struct {
	__uint(type, HR_MAP_ARRAY);
	__uint(max_entries, 2);
	__uint(map_flags, HR_MAP_RDONLY);
	__type(key, uint32_t);
	__type(value, uint64_t);
} fixed HR_MAP;

struct {
	__uint(type, HR_MAP_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, HR_MAP_WRONLY);
	__type(key, uint32_t);
	__type(value, uint64_t);
} notes HR_MAP;

struct {
	__uint(type, HR_MAP_HASH);
	__uint(max_entries, 100);
	__type(key, uint64_t);
	__type(value, uint32_t);
} names HR_MAP;

static __attribute__((noinline)) struct sample *find(uint32_t key)
{
	return bpf_map_lookup_elem(&samples, &key);
}

/* Adds the value written to the sample of this offset; answers with the count, or with the sum when read. */
HR_PROG int tally(struct hr_io *io)
{
	struct sample *s = find(io->offset);
	uint32_t zero = 0;
	uint64_t *note;

	if (!s)
		return HR_PUNT_WHY(5);
	if (!io->is_write) {
		io->result = HR_LOAD(s->sum);
		return HR_ANSWER;
	}
	note = bpf_map_lookup_elem(&notes, &zero);
	if (!note)
		return HR_PUNT_WHY(6);
	HR_STORE(*note, io->value);
	HR_STORE(s->last, (uint32_t)io->value);
	HR_STORE(s->sum, HR_LOAD(s->sum) + (uint32_t)io->value);
	io->result = __sync_fetch_and_add(&s->n, 1) + 1;
	return HR_ANSWER;
}

HR_PROG int peek(struct hr_io *io)
{
	uint32_t key = io->offset;
	const uint64_t *value = bpf_map_lookup_elem(&fixed, &key);

	io->result = value ? HR_LOAD(*value) : 1;
	return HR_ANSWER;
}

HR_PROG int by_name(struct hr_io *io)
{
	uint64_t key = io->value;
	const uint32_t *value = bpf_map_lookup_elem(&names, &key);

	io->result = value ? HR_LOAD(*value) : 0;
	return HR_ANSWER;
}
