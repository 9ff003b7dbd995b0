/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hr.h: the contract between a device model, its programs and whoever runs them.
 *
 * Compiled on both sides: by clang -target bpf into the programs, by the host compiler into
 * the models and the engine. C99 freestanding headers only. Everything here is ABI: the same
 * object runs in the VMM's engine and, unchanged, in a Linux kernel.
 */
#ifndef HR_H
#define HR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The request, r1 of every program. `result` is the only field a program may store to. A read's
 * result is taken modulo 2^(8 * size); bits above are ignored.
 */
struct hr_io {
	uint64_t value;	 /* IN: what the guest writes, zero-extended; 0 for reads */
	uint64_t result; /* OUT: what the guest reads; 0 on entry */
	uint32_t offset; /* IN: from the range's base, bytes */
	uint32_t vcpu; /* IN: index of the accessing vCPU; their number for a deferred write, whose vCPU is not known */
	uint8_t size;  /* IN: 1, 2, 4 or 8 */
	uint8_t is_write; /* IN: 0 or 1 */
	uint8_t pad[6];	  /* zero */
};

/* What a program returns: a constant on each path, the verifier refuses anything else. */
#define HR_PUNT 0		  /* not mine: the model gets the access, nothing has changed */
#define HR_ANSWER 1		  /* done; a read's value is in result */
#define HR_ANSWER_RING 2	  /* done; then signal the range's eventfd */
#define HR_PUNT_WHY(n) ((n) << 8) /* a punt with a reason, n in 1..255, for the statistics */

/*
 * Head of every state page. `seq` is even when the page is at rest, odd while somebody changes
 * it: the seqlock of pure programs and the lock of stateful ones. Programs may not store here.
 * The device's struct *_state follows at offset 16; its first field is `int64_t offset_ns`,
 * guest time minus host time.
 */
struct hr_page {
	uint32_t seq;
	uint32_t version; /* of the device's struct *_state; not 0 */
	uint32_t size;	  /* bytes of the whole variable, this head included */
	uint32_t pad;
};

/*
 * Shared fields are read and written only through these: whole-field accesses that the compiler
 * neither tears, repeats nor invents. clang 14 has no relaxed atomic store for BPF, hence volatile.
 */
#ifdef __bpf__
#define HR_LOAD(field) (*(const volatile __typeof__(field) *)&(field))
#define HR_STORE(field, v) (*(volatile __typeof__(field) *)&(field) = (v))
#else
#define HR_LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define HR_STORE(field, v) __atomic_store_n(&(field), (v), __ATOMIC_RELAXED)
#endif

#ifdef __bpf__
#define SEC(name) __attribute__((section(name), used))
#define HR_PROG SEC("syscall")
/* The state page: an ordinary global, neither static nor hidden, so that libbpf makes its map mmappable. */
#define HR_STATE SEC(".data.state")
/* A map, declared in the way of libbpf: struct { __uint(type, ...); __type(key, ...); ... } name HR_MAP; */
#define HR_MAP SEC(".maps")
#define HR_MAP_HASH 1		/* BPF_MAP_TYPE_HASH: verified only, hotreg does not run it */
#define HR_MAP_ARRAY 2		/* BPF_MAP_TYPE_ARRAY */
#define HR_MAP_RDONLY (1u << 7) /* BPF_F_RDONLY_PROG */
#define HR_MAP_WRONLY (1u << 8) /* BPF_F_WRONLY_PROG */
#ifndef __uint
#define __uint(name, val) int(*name)[val]
#endif
#ifndef __type
#define __type(name, val) __typeof__(val) *name
#endif
#define HR_LICENSE char _license[] SEC("license") = "Dual BSD/GPL"

/* Helper 1: the value in an array map under *key, a uint32_t, or NULL from max_entries on. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key)
	__attribute__((unused)) = (void *(*)(void *, const void *))1;
/* Helper 5: CLOCK_MONOTONIC in nanoseconds, in every tier. */
static uint64_t (*const bpf_ktime_get_ns)(void) __attribute__((unused)) = (uint64_t(*)(void))5;
#endif

/* Masks a value to an access size of 1, 2, 4 or 8 bytes. */
static inline uint64_t hr_mask(uint64_t v, uint32_t size)
{
	return size >= 8 ? v : v & ((1ull << (8 * size)) - 1);
}

#define HR_NSEC_PER_SEC 1000000000ull

/*
 * Whole ticks of a `hz` clock that fit in `ns`: floor(ns * hz / 10^9), exact, without a 128-bit
 * product. Precondition: hz < 2^34, so that remainder * hz fits 64 bits; the result itself may
 * wrap, as a 64-bit counter does.
 */
static inline uint64_t hr_ns_to_ticks(uint64_t ns, uint64_t hz)
{
	uint64_t sec = ns / HR_NSEC_PER_SEC;
	uint64_t rem = ns % HR_NSEC_PER_SEC;

	return sec * hz + rem * hz / HR_NSEC_PER_SEC;
}

/*
 * The first nanosecond at which hr_ns_to_ticks() reaches `ticks`: ceil(ticks * 10^9 / hz), exact.
 * Precondition: hz < 2^34.
 */
static inline uint64_t hr_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return ticks / hz * HR_NSEC_PER_SEC + (ticks % hz * HR_NSEC_PER_SEC + hz - 1) / hz;
}

#endif
