/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verifier.c: walks every path of a program, depth first, and gives the verdict of verify_prog().
 *
 * Where paths can meet, the state is kept. A later path that arrives with a state which a kept,
 * wholly explored one includes needs no more walking; one that arrives exactly as a state still
 * on its own path has come round in a circle. Before it is kept, a state forgets what nothing
 * later depends on, and the walk goes on from the forgetful state, so that pruning rests on inclusion alone.
 */
#include "accel/verifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In instructions: one that is executed counts 1; a meeting goes through all slots of each frame. */
#define WORK_OF_A_MEETING 8
#define WORK_OF_A_LOOK 256

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * HR_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void *budgeted(struct verifier *v, void *old, size_t old_size, size_t size)
{
	void *p;

	if (v->budget.used + size - old_size > v->budget.limit) {
		v->budget.exceeded = true;
		return NULL;
	}
	p = realloc(old, size);
	if (p)
		v->budget.used += size - old_size;
	return p;
}

int verify_push(struct verifier *v, struct state *other, uint32_t pc)
{
	if (v->stack_count == v->stack_room) {
		uint32_t room = v->stack_room ? 2 * v->stack_room : 32;
		struct pending *more = budgeted(v, v->stack, v->stack_room * sizeof(*more), room * sizeof(*more));

		if (!more) {
			state_clear(other, &v->budget);
			return verify_no_memory(v);
		}
		v->stack = more;
		v->stack_room = room;
	}
	v->stack[v->stack_count++] = (struct pending){*other, v->parent, v->steps, pc};
	v->parent->open++;
	return 0;
}

/* One continuation of the current path's last kept state is explored: `steps` more to the end. */
static void close_path(struct verifier *v, uint64_t steps)
{
	struct node *n = v->parent;

	while (n) {
		if (n->longest < steps)
			n->longest = steps;
		if (--n->open)
			return;
		steps = n->longest + n->steps;
		if (!n->parent)
			v->worst_case = steps;
		n = n->parent;
	}
}

static bool next_path(struct verifier *v)
{
	struct pending *p;

	state_clear(&v->now, &v->budget);
	if (v->stack_count == 0)
		return false;
	p = &v->stack[--v->stack_count];
	v->now = p->state;
	v->parent = p->parent;
	v->steps = p->steps;
	v->pc = p->pc;
	v->ended = false;
	return true;
}

/* What the rest of the program does not need, in each frame. */
static void forget(struct verifier *v)
{
	for (uint32_t i = 0; i < v->now.frame_count; i++) {
		bool top = i + 1 == v->now.frame_count;
		struct state_needs needs = v->code[top ? v->pc : v->now.frames[i + 1]->call_insn + 1].needs;

		if (!top) { /* the call gives r0 anew and leaves nothing in r1 to r5 */
			needs.live &= 0xffc0;
			needs.exact &= 0xffc0;
		}
		frame_forget(v->now.frames[i], &needs);
	}
	state_cut_links(&v->now);
}

/*
 * At a place where paths meet. Ends the path if all that follows is known already; refuses a
 * circle; else keeps the state.
 */
static int meet(struct verifier *v)
{
	struct node **list = &v->kept[v->pc], *n;
	struct packed_state *packed = NULL; /* made when it is needed */
	unsigned tried = 0;

	forget(v);
	v->work += WORK_OF_A_MEETING * v->now.frame_count;
	for (struct node **at = list; *at && tried < VERIFY_MAX_TRIED; at = &(*at)->next, tried++) {
		n = *at;
		if (!packed_includes(n->state, &v->now))
			continue;
		if (!n->open) {
			*at = n->next; /* what helped once is tried first */
			n->next = *list;
			*list = n;
			packed_free(packed, &v->budget);
			close_path(v, v->steps + n->longest);
			v->ended = true;
			return 0;
		}
		/* Depth first, a state with anything left to explore lies on the path to here. */
		if (!packed)
			packed = state_pack(&v->now, &v->budget);
		if (!packed)
			return verify_no_memory(v);
		if (packed_equal(n->state, packed)) {
			packed_free(packed, &v->budget);
			return verify_refuse(v, -1, -1,
				"count towards a bound that the verifier can see, and let nothing else decide the end",
				"infinite loop: this point is reached again with nothing changed that could end it");
		}
	}
	if (!packed)
		packed = state_pack(&v->now, &v->budget);
	if (!packed)
		return verify_no_memory(v);
	n = budgeted(v, NULL, 0, sizeof(*n));
	if (!n) {
		packed_free(packed, &v->budget);
		return verify_no_memory(v);
	}
	*n = (struct node){.next = *list, .parent = v->parent, .state = packed, .steps = v->steps, .open = 1};
	*list = n;
	v->parent = n;
	v->steps = 0;
	v->states++;
	return 0;
}

/* The clock is read seldom enough to cost nothing, and often enough whatever the states are like. */
static bool out_of_time(struct verifier *v)
{
	if (v->work < WORK_OF_A_LOOK)
		return false;
	v->work = 0;
	return clock_ns(CLOCK_THREAD_CPUTIME_ID) > v->end_ns;
}

static int walk(struct verifier *v)
{
	int rc = 0;

	if (!state_push_frame(&v->now, 0, 0, &v->budget))
		return verify_no_memory(v);
	v->now.frames[0]->regs[BPF_REG_1] = reg_pointer(REG_CTX, 0, 0);
	do {
		while (!rc && !v->ended) {
			if (v->code[v->pc].joins) {
				rc = meet(v);
				if (rc || v->ended)
					break;
			}
			if (v->total_steps >= v->max_steps)
				return verify_limit(v, "make loops shorter, or their bound a smaller constant",
					"too long to prove: %llu instructions walked over all paths",
					(unsigned long long)v->max_steps);
			if (out_of_time(v))
				return verify_limit(v, "make loops shorter, or their bound a smaller constant",
					"too long to prove: a second of CPU time spent");
			v->work++;
			v->total_steps++;
			v->steps++;
			rc = verify_step(v);
			if (!rc && v->ended)
				close_path(v, v->steps);
		}
	} while (!rc && next_path(v));
	return rc;
}

static void clean_up(struct verifier *v)
{
	state_clear(&v->now, &v->budget);
	while (v->stack_count)
		state_clear(&v->stack[--v->stack_count].state, &v->budget);
	for (uint32_t i = 0; v->kept && i < v->slots; i++) {
		while (v->kept[i]) {
			struct node *n = v->kept[i];

			v->kept[i] = n->next;
			packed_free(n->state, &v->budget);
			free(n);
		}
	}
	free(v->stack);
	free(v->kept);
	free(v->code);
}

int verify_prog(struct prog *p, struct accel_err *err)
{
	return verify_prog_within(p, VERIFY_MAX_STEPS, err);
}

int verify_prog_within(struct prog *p, uint64_t max_steps, struct accel_err *err)
{
	uint64_t start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	struct verifier v = {.prog = p,
		.err = err,
		.budget.limit = VERIFY_MAX_BYTES,
		.max_steps = max_steps,
		.end_ns = start_ns + VERIFY_MAX_NS};
	int rc;

	err->text[0] = 0;
	v.slots = p->insn_count && p->insn_count <= PROG_MAX_INSNS ? p->insn_count : 1;
	v.code = calloc(v.slots, sizeof(*v.code));
	v.kept = calloc(v.slots, sizeof(*v.kept));
	rc = v.code && v.kept ? verify_code_check(&v) : verify_no_memory(&v);
	if (!rc) {
		v.pc = 0;
		rc = walk(&v);
	}
	if (!rc)
		rc = verify_code_stack(&v);
	if (!rc) {
		p->effect = v.stores_shared ? ACCEL_STATEFUL : ACCEL_PURE;
		p->reads_time = v.reads_time;
		p->worst_case = v.worst_case;
		p->states = v.states;
		p->verify_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns;
	}
	clean_up(&v);
	return rc;
}
