/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * equiv.h: the parts of the equivalence fuzzer. A world is the same machine two or three times, with and
 * without programs, in step in virtual time; ops are what a guest does to it. equiv_gen.c thinks of ops,
 * equiv_world.c does them and compares, equiv_case.c shrinks and keeps what fails, equiv.c is the command.
 */
#ifndef TESTS_EQUIV_H
#define TESTS_EQUIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/io.h"

#define EQUIV_STRING_MAX 512 /* elements of one string access */
#define EQUIV_EPISODE 400    /* ops between two resets, at most */

enum equiv_kind { EQUIV_ACCESS, EQUIV_ACK, EQUIV_RESET };

/* What a guest does, step_ns after what it did before. */
struct equiv_op {
	uint64_t step_ns;
	uint64_t addr, value; /* a string that is written: each element is value plus its index */
	uint16_t count;	      /* 0: one access; else the elements of a string */
	uint8_t kind, bus, size, is_write;
};

/* ---- worlds (equiv_world.c) ---- */

/* Machines of a world: models only, programs as machine code, programs interpreted. */
enum { WORLD_MODEL, WORLD_JIT, WORLD_INTERP, WORLD_MAX };

struct world;

/* From now on the machines have this object in the place of a device's own (--prog), to see that it is caught. */
void world_replace(const char *dev, const char *file);
/* `machines` of them, 2 or 3, whose clocks start at start_ns of uptime. Ends the process when there is no memory. */
struct world *world_new(unsigned machines, uint64_t start_ns);
void world_free(struct world *w);
/* Power-on state. */
void world_reset(struct world *w);
/* One op on all machines. False: they differ, and world_why() says how. */
bool world_do(struct world *w, const struct equiv_op *op);
/* Compares the state pages of all devices, and in a world that ends (whole) the disks too. */
bool world_compare(struct world *w, bool whole);
const char *world_why(const struct world *w);
uint64_t world_now(const struct world *w);
/* Nanoseconds to the first armed timer. */
uint64_t world_quiet(struct world *w);
/* Accesses that programs of `dev` answered; edges of interrupt lines seen. */
uint64_t world_answered(struct world *w, const char *dev);
uint64_t world_edges(const struct world *w);
/* Names of the devices that have programs, one after another; NULL beyond the end. */
const char *world_device(struct world *w, unsigned index);

/* A range of a device, for the generator. */
struct equiv_range {
	const char *name;
	enum io_bus bus;
	uint64_t base;
	uint32_t len;
	uint8_t width;
	bool is_fifo;
	uint32_t starts[64]; /* of registers with names */
	unsigned start_count;
};

/* The index-th mapped range of a device; false beyond the end. */
bool world_range(struct world *w, const char *dev, unsigned index, struct equiv_range *out);

/* ---- ops (equiv_gen.c) ---- */

#define GEN_MAX_RANGES 16

struct gen {
	uint64_t seed;
	const char *dev;
	struct world *world;
	struct equiv_range ranges[GEN_MAX_RANGES];
	unsigned range_count;
	void (*recipe)(struct gen *g); /* NULL: none for this device */
	/* thought of, not done yet */
	struct equiv_op queue[1024];
	unsigned first, last;
};

void gen_init(struct gen *g, struct world *w, const char *dev, uint64_t seed);
/* A new episode: forgets what is in the queue, and thinks of how it starts. */
void gen_start(struct gen *g);
void gen_next(struct gen *g, struct equiv_op *out);
uint64_t gen_random(uint64_t *seed);

/* ---- cases (equiv_case.c) ---- */

/* From one fresh world on. */
struct equiv_case {
	uint64_t start_ns;
	struct equiv_op *ops;
	size_t count;
};

/* True: the machines agree to the end. Else why in `why`, and how many ops it took. */
bool case_run(const struct equiv_case *c, unsigned machines, char *why, size_t why_bytes, size_t *took);
/* Leaves out what is not needed for the machines to differ. The case must fail. */
void case_shrink(struct equiv_case *c);
/* As a trace (vmm/trace.h); what a trace cannot say stands in lines that begin with #!. 0 or -errno. */
int case_write(const struct equiv_case *c, const char *path, const char *why);
/* False: with a message on stderr. ops are the caller's to free. */
bool case_read(struct equiv_case *c, const char *path);

#endif
