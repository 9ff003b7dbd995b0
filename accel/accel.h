/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accel.h: the engine, as a VMM sees it. Objects hold verified programs; a device owns a state
 * page; a slot is the place on a range where one program at a time is attached and run.
 *
 * Nothing unverified is ever attached. The engine needs no right to bpf(2) and keeps no state of
 * its own at file scope. Errors are 0 or -errno with a text for a person in `err`. The same
 * header serves in the tree and installed as <hotreg/accel.h>, in C11 and in C++.
 *
 * Threads. Everything may be called from any thread, at the same time as anything else, but:
 *  - what frees (accel_page_free, accel_slot_free, the last accel_object_put) comes after all
 *    other use of the thing; a slot goes before its page and its clock
 *  - on one slot, one thread at a time runs accesses of one io->vcpu
 *  - accel_slot_attach, _detach and _set_eventfd wait for accesses in flight, so no thread calls
 *    them from inside one
 *  - accel_slot_shadow, _compare and _shadow_page of one slot: under one mutex of the caller's
 *  - accel_object_open mutes libbpf, whose print function belongs to the process, while it runs
 *
 * ABI. The shared library exports the functions declared here, with a version (HOTREG_ACCEL_1, and HOTREG_ACCEL_2 for
 * what came with 1.1), and nothing else. Structs that are only named here may change at any time. Those whose fields stand
 * here never do: a function that comes to need a larger one gets another symbol version beside the
 * old one, which stays. struct hr_io and struct hr_page are also what compiled programs were built
 * for. Constants keep their values; new ones may come. tests/abi.c holds all this fast.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <hotreg/hr.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Of the engine as a library; the first number is the soname's. Read by the Makefile too. */
#define ACCEL_VERSION "1.1.0"

#define ACCEL_MAX_CPUS 256

/* A message for a person: one line, or for the verifier several. Always terminated. */
struct accel_err {
	char text[4096];
};

/* The time that helper 5 answers with. Host: CLOCK_MONOTONIC. Virtual: moved by hand. All zero is the host's. */
struct accel_clock {
	bool is_virtual;     /* constant after init */
	uint64_t virtual_ns; /* atomically, through the two functions below */
};

#ifdef CLOCK_MONOTONIC /* POSIX, which -std=c11 leaves out of <time.h> unless asked for */
static inline uint64_t accel_clock_now(const struct accel_clock *clock)
{
	struct timespec ts;

	if (clock->is_virtual)
		return __atomic_load_n(&clock->virtual_ns, __ATOMIC_ACQUIRE);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}
#endif

static inline void accel_clock_set_virtual(struct accel_clock *clock, uint64_t now_ns)
{
	__atomic_store_n(&clock->virtual_ns, now_ns, __ATOMIC_RELEASE);
}

/*
 * A device's state page: page-aligned memory shared by its model and every program attached to
 * its ranges. Zeroed but for the head, whose version and size are set.
 */
struct accel_page;

#define ACCEL_PAGE_MAX_BYTES 65536

/* 0, -ENOMEM, or -EINVAL for version 0 or a size below the head's or above the maximum */
int accel_page_new(uint32_t version, uint32_t size, struct accel_page **out);
void accel_page_free(struct accel_page *page); /* after every slot on it is gone; NULL is fine */
struct hr_page *accel_page_data(const struct accel_page *page);

/*
 * The model's side of the sequence word: even to odd by compare-and-swap, spinning while a
 * stateful program (or nobody for long) holds it; then back to even. Not nested.
 */
void accel_page_begin(struct accel_page *page);
void accel_page_end(struct accel_page *page);

/* An opened and verified object file. Reference-counted; slots hold references. */
struct accel_object;

/*
 * Verifies every program in the ELF image. `name` is for messages. The image may be freed after.
 * -EINVAL: no object for hotreg; -EACCES: a program is refused; -E2BIG: a limit of the verifier;
 * for a file also what open and read give. *out is NULL then.
 */
int accel_object_open(
	const char *name, const void *image, size_t size, struct accel_object **out, struct accel_err *err);
int accel_object_open_file(const char *path, struct accel_object **out, struct accel_err *err);
void accel_object_put(struct accel_object *obj); /* NULL is fine */

/*
 * Makes `obj` the layout that later objects on this page must have: same version, size and BTF
 * layout of the state. The device's own (embedded) object comes first. -EINVAL with the difference.
 */
int accel_page_bind(struct accel_page *page, const struct accel_object *obj, struct accel_err *err);

/* A field of a state page, for reports. Long names are cut. */
struct accel_field {
	char name[96];	       /* "counters[1].reload"; "" while no object is bound */
	uint32_t offset, size; /* bytes */
};

/* The field that holds the byte at `offset`; false: none, or not known. */
bool accel_page_field(struct accel_page *page, uint32_t offset, struct accel_field *out);

/* What a program may do to shared memory; a range declares which it allows. */
enum accel_effect {
	ACCEL_PURE = 1,	    /* stores to its stack and io->result only: no lock */
	ACCEL_STATEFUL = 2, /* may store to the page and .bss: holds the sequence word */
};

struct accel_slot;

/*
 * An empty slot over a page. `cpus` vCPUs (io->vcpu below it, 1 to ACCEL_MAX_CPUS) may run it at
 * once. `allow` is ACCEL_PURE or ACCEL_STATEFUL (which includes pure). Page and clock must outlive
 * it. 0, -EINVAL or -ENOMEM.
 */
int accel_slot_new(struct accel_page *page, const struct accel_clock *clock, unsigned cpus, enum accel_effect allow,
	struct accel_slot **out);
void accel_slot_free(struct accel_slot *slot); /* no vCPU is left; NULL is fine */

/*
 * Attaches, or atomically replaces: accesses in flight finish with the old program, and on
 * return none runs it any more. The slot takes a reference to obj. Any thread but a vCPU inside
 * accel_run(). -ENOENT: no such program; -EACCES: it is stateful and the slot takes pure ones;
 * -EINVAL: another page (see accel_page_bind); -ENOMEM. What was attached stays then.
 *
 * If prog is stateful and the object has a pure program of that name with "_peek" after it, then that one is asked
 * first (since 1.1). It does not wait for the page; what it answers, as prog would have, is done, and the rest is prog's.
 */
int accel_slot_attach(struct accel_slot *slot, struct accel_object *obj, const char *prog, struct accel_err *err);
void accel_slot_detach(struct accel_slot *slot);
bool accel_slot_attached(const struct accel_slot *slot);
/* Signalled (8-byte write of 1) after an HR_ANSWER_RING, page let go. -1: none. The caller's to close. */
void accel_slot_set_eventfd(struct accel_slot *slot, int fd);

/*
 * Runs the attached program on one access of the vCPU io->vcpu. Returns HR_ANSWER (also for a
 * rung answer; io->result is set, io->size bytes of it, zero above) or 0: punt, nothing has changed,
 * also when nothing is attached. No lock is taken. The caller fills io by the rules of struct hr_io; any offset is safe.
 */
int accel_run(struct accel_slot *slot, struct hr_io *io);

/*
 * The same for a string access: `count` elements of io->size bytes (1, 2, 4 or 8) in `data`, one after the other, all at
 * io->offset. Runs the program on each in turn until one punts, and returns how many were answered: a read's are in
 * data. Below count: data from there on is untouched, and that next element, whose io->value is set, is the model's;
 * the rest may be given to another call. One that was answered must not be done again. The page is let go now and then.
 */
uint32_t accel_run_string(struct accel_slot *slot, struct hr_io *io, uint32_t count, void *data);

/* Counters of a slot, summed over vCPUs; a snapshot, may be taken while vCPUs run. */
struct accel_counters {
	uint64_t answered;
	uint64_t punted;   /* all punts, by the program or by the runtime */
	uint64_t retried;  /* pure: runs thrown away because the page changed */
	uint64_t busy;	   /* punts because the page stayed busy */
	uint64_t why[256]; /* punts by HR_PUNT_WHY reason, [0]: none given */
};

void accel_slot_counters(const struct accel_slot *slot, struct accel_counters *out);
/* The reason of the vCPU's last punt on this slot; 0: none given, or no such vCPU. By the thread that runs it. */
uint8_t accel_slot_punt_why(const struct accel_slot *slot, uint32_t vcpu);

/*
 * Check mode. With the device's mutex held and the page at rest: runs the program at the instant
 * now_ns on a copy of page and .bss. Returns its verdict (HR_ANSWER, HR_ANSWER_RING or a punt;
 * 0 when nothing is attached) with io->result. Afterwards, when the model has handled the same
 * access on the real page, accel_slot_compare() says whether the pages agree: it returns -1 if
 * they do, else the offset of the first differing byte (the sequence word is not compared).
 */
int accel_slot_shadow(struct accel_slot *slot, struct hr_io *io, uint64_t now_ns);
long accel_slot_compare(const struct accel_slot *slot);
const struct hr_page *accel_slot_shadow_page(const struct accel_slot *slot); /* what the program left */

/* What an object holds. An index runs from 0 to the count; names live as long as the object, NULL beyond the end. */
unsigned accel_object_prog_count(const struct accel_object *obj);
const char *accel_object_prog_name(const struct accel_object *obj, unsigned index);

struct accel_prog_info {
	const char *name;
	enum accel_effect effect;
	bool reads_time; /* reaches helper 5 */
	uint32_t insns;
	uint64_t worst_case; /* instructions on the longest path */
	uint64_t verify_ns;
	uint32_t states; /* verifier states explored */
};

/* index below the count, for these two */
void accel_object_prog_info(const struct accel_object *obj, unsigned index, struct accel_prog_info *out);
/* Disassembly of one program with its source lines. */
void accel_object_dump(const struct accel_object *obj, unsigned index, FILE *out);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
