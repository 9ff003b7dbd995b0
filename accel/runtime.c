/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * runtime.c: slots: where a program is attached to a range, run, counted, replaced and, in check
 * mode, run on a copy.
 *
 * Invariants: what a slot points at is immutable once published; a vCPU that is inside accel_run()
 * keeps what it picked up alive; a punt leaves page, .bss and io->result as they were. Called by
 * the bus (run, shadow: vCPU threads), and by whoever builds or changes the machine (the rest).
 */
#include <assert.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "accel/object.h"
#include "accel/slot.h"
#include "accel/tier.h"

#define TORN_TRIES 8 /* pure runs thrown away */
#define LEAVE_SPINS 100
#define LEAVE_SLEEP_NS 20000
#define BATCH_MOST 64	 /* elements of a string under one hold of the page */
#define BATCH_INSNS 4096 /* and about as many instructions, what a model may have to wait for */

static int membarrier(int cmd)
{
	return (int)syscall(__NR_membarrier, cmd, 0, 0);
}

static bool membarrier_register(void)
{
	int cmds = membarrier(MEMBARRIER_CMD_QUERY);

	return cmds > 0 && (cmds & MEMBARRIER_CMD_PRIVATE_EXPEDITED) &&
	       membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

/* Zeroed, with the vCPUs' hot parts before it and the others behind. */
static struct accel_slot *slot_alloc(unsigned cpus)
{
	const size_t before = cpus * sizeof(struct accel_hot_cpu);
	const size_t align = _Alignof(struct accel_slot);
	const size_t bytes =
		(before + sizeof(struct accel_slot) + cpus * sizeof(struct slot_cpu) + align - 1) / align * align;
	uint8_t *memory = aligned_alloc(align, bytes);

	if (!memory)
		return NULL;
	memset(memory, 0, bytes);
	return (struct accel_slot *)(memory + before);
}

static void slot_free(struct accel_slot *slot, unsigned cpus)
{
	free(accel_hot_cpu(slot, cpus - 1));
}

int accel_slot_new(struct accel_page *page, const struct accel_clock *clock, unsigned cpus, enum accel_effect allow,
	struct accel_slot **out)
{
	struct accel_slot *slot;

	*out = NULL;
	if (cpus == 0 || cpus > ACCEL_MAX_CPUS || (allow != ACCEL_PURE && allow != ACCEL_STATEFUL))
		return -EINVAL;
	slot = slot_alloc(cpus);
	if (!slot)
		return -ENOMEM;
	slot->shadow_page = aligned_alloc(64, (page->size + 63u) / 64 * 64);
	if (!slot->shadow_page) {
		slot_free(slot, cpus);
		return -ENOMEM;
	}
	memset(slot->shadow_page, 0, page->size);
	slot->page = page;
	slot->data = page->data;
	slot->clock = clock;
	slot->cpu_count = cpus;
	slot->allow = allow;
	slot->shadow_diff = -1;
	atomic_init(&slot->eventfd, -1);
	slot->hot.slot = slot;
	slot->hot.seq = &page->data->seq;
	slot->none.odd = 1;
	atomic_init(&slot->hot.current, &slot->none);
	slot->expedited = membarrier_register();
	slot->hot.cpu_count = slot->expedited ? cpus : 0;
	atomic_init(&slot->held, NULL);
	pthread_mutex_init(&slot->lock, NULL);
	*out = slot;
	return 0;
}

/*
 * Returns when no vCPU uses anything that it could read from the slot before the caller's last
 * change of it. A vCPU that has left and come back has come back to the new content.
 */
static void slot_wait_left(struct accel_slot *slot)
{
	static const struct timespec nap = {.tv_nsec = LEAVE_SLEEP_NS};

	if (slot->expedited && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)
		abort(); /* registered, so it cannot fail; going on would free code in use */
	for (unsigned i = 0; i < slot->cpu_count; i++) {
		struct accel_hot_cpu *cpu = accel_hot_cpu(slot, i);
		uint64_t vain = atomic_load_explicit(&cpu->vain, memory_order_seq_cst);
		uint64_t seen = atomic_load_explicit(&cpu->inside, memory_order_seq_cst);
		unsigned spins = 0;

		if (!(seen & 1))
			continue;
		while (atomic_load_explicit(&cpu->inside, memory_order_acquire) == seen &&
			atomic_load_explicit(&cpu->vain, memory_order_acquire) == vain) {
			if (++spins <= LEAVE_SPINS)
				cpu_relax();
			else
				nanosleep(&nap, NULL);
		}
	}
}

static void attachment_free(struct accel_slot *slot, struct attachment *att)
{
	if (!att)
		return;
	engine_free(att->code);
	engine_free(att->shadow_code);
	engine_free(att->peek_code);
	engine_free(att->shadow_peek_code);
	for (unsigned i = 0; i < accel_object_map_count(att->po->obj); i++) {
		if (prog_map_is_own(accel_object_map(att->po->obj, i)))
			free(att->shadow_env.map_base[i]);
	}
	page_object_put(slot->page, att->po);
	free(att);
}

void accel_hot_join(struct accel_slot *slot, struct accel_hot *hot)
{
	pthread_mutex_lock(&slot->lock);
	*hot = slot->hot;
	slot->hot.next = hot;
	pthread_mutex_unlock(&slot->lock);
}

void accel_hot_leave(struct accel_hot *hot)
{
	struct accel_slot *slot = hot->slot;
	struct accel_hot **at;

	if (!slot)
		return;
	pthread_mutex_lock(&slot->lock);
	for (at = &slot->hot.next; *at != hot; at = &(*at)->next)
		;
	*at = hot->next;
	pthread_mutex_unlock(&slot->lock);
	memset(hot, 0, sizeof(*hot));
}

/* Makes another program current, and returns the last one once nobody runs it. lock held. */
static struct attachment *slot_exchange(struct accel_slot *slot, const struct accel_hot_prog *new)
{
	struct attachment *old =
		slot_attachment(slot, atomic_exchange_explicit(&slot->hot.current, new, memory_order_seq_cst));

	for (struct accel_hot *hot = slot->hot.next; hot; hot = hot->next)
		atomic_store_explicit(&hot->current, new, memory_order_seq_cst);
	if (old)
		slot_wait_left(slot);
	return old;
}

/* Publishes att (NULL: none) and frees what was there once nobody runs it. */
static void slot_publish(struct accel_slot *slot, struct attachment *att)
{
	const struct accel_hot_prog *new = att ? &att->hot : &slot->none;
	struct attachment *old;

	pthread_mutex_lock(&slot->lock);
	old = slot->is_held ? atomic_exchange(&slot->held, att) : slot_exchange(slot, new);
	pthread_mutex_unlock(&slot->lock);
	attachment_free(slot, old);
}

void accel_slot_hold(struct accel_slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	assert(!slot->is_held);
	slot->is_held = true;
	atomic_store(&slot->held, slot_attachment(slot, atomic_load(&slot->hot.current)));
	slot_exchange(slot, &slot->none);
	pthread_mutex_unlock(&slot->lock);
}

void accel_slot_release(struct accel_slot *slot)
{
	struct attachment *att;

	pthread_mutex_lock(&slot->lock);
	assert(slot->is_held);
	att = atomic_load(&slot->held);
	if (att)
		slot_exchange(slot, &att->hot);
	slot->is_held = false;
	atomic_store(&slot->held, NULL);
	pthread_mutex_unlock(&slot->lock);
}

bool accel_slot_is_pure(const struct accel_slot *slot)
{
	return slot->allow == ACCEL_PURE;
}

void accel_slot_free(struct accel_slot *slot)
{
	if (!slot)
		return;
	assert(!slot->is_held);
	slot_publish(slot, NULL);
	while (slot->hot.next)
		accel_hot_leave(slot->hot.next);
	pthread_mutex_destroy(&slot->lock);
	free(slot->shadow_page);
	slot_free(slot, slot->cpu_count);
}

/* Points the shadow run at copies of everything the program could store to. */
static int shadow_env_init(struct accel_slot *slot, struct attachment *att)
{
	const struct accel_object *obj = att->po->obj;

	att->shadow_env = att->env;
	att->shadow_env.time_is_frozen = true;
	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		const struct prog_map *map = accel_object_map(obj, i);

		if (map->role == MAP_STATE)
			att->shadow_env.map_base[i] = (uint8_t *)slot->shadow_page;
		else if (prog_map_is_own(map))
			att->shadow_env.map_base[i] = NULL;
	}
	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		const struct prog_map *map = accel_object_map(obj, i);

		if (!prog_map_is_own(map))
			continue;
		prog_env_set_map(&att->shadow_env, i, map, page_copy(map->initial, map->size));
		if (!att->shadow_env.map_base[i])
			return -ENOMEM;
	}
	return 0;
}

static uint32_t batch_of(const struct prog *prog)
{
	const uint64_t runs = BATCH_INSNS / (prog->worst_case ? prog->worst_case : 1);

	return runs > BATCH_MOST ? BATCH_MOST : runs ? (uint32_t)runs : 1;
}

/* peek: see find_peek(); NULL: none. */
static int attachment_new(struct accel_slot *slot, struct accel_object *obj, const struct prog *prog,
	const struct prog *peek, struct attachment **out, struct accel_err *err)
{
	struct attachment *att = calloc(1, sizeof(*att));
	int ret = -ENOMEM;

	if (!att)
		goto no_memory;
	ret = page_object_get(slot->page, obj, &att->po, err);
	if (ret) {
		free(att);
		return ret;
	}
	att->name = prog->name;
	att->is_stateful = prog->effect == ACCEL_STATEFUL;
	att->batch = batch_of(prog);
	for (unsigned i = 0; i < accel_object_map_count(obj); i++)
		prog_env_set_map(&att->env, i, accel_object_map(obj, i), att->po->map_base[i]);
	att->env.clock = slot->clock;
	ret = shadow_env_init(slot, att);
	if (!ret)
		ret = engine_prepare(prog, &att->env, ENGINE_BEST, &att->code);
	if (!ret)
		ret = engine_prepare(prog, &att->shadow_env, ENGINE_BEST, &att->shadow_code);
	if (!ret && peek)
		ret = engine_prepare(peek, &att->env, ENGINE_BEST, &att->peek_code);
	if (!ret && peek)
		ret = engine_prepare(peek, &att->shadow_env, ENGINE_BEST, &att->shadow_peek_code);
	if (!ret) {
		att->hot.code = peek ? att->peek_code : att->code;
		att->hot.run = att->hot.code->run;
		att->hot.odd = att->is_stateful && !peek;
		*out = att;
		return 0;
	}
	attachment_free(slot, att);
no_memory:
	snprintf(err->text, sizeof(err->text), "%s: cannot prepare program %s: %s", accel_object_name(obj), prog->name,
		strerror(-ret));
	return ret;
}

static int refuse_name(const struct accel_object *obj, const char *prog, struct accel_err *err)
{
	int n = snprintf(err->text, sizeof(err->text), "%s: has no program %s; it has", accel_object_name(obj), prog);

	for (unsigned i = 0; i < accel_object_prog_count(obj) && n >= 0 && (size_t)n < sizeof(err->text); i++)
		n += snprintf(err->text + n, sizeof(err->text) - (size_t)n, "%s %s", i ? "," : "",
			accel_object_prog_name(obj, i));
	return -ENOENT;
}

/*
 * The pure program NAME_peek beside a stateful NAME, or NULL. It is asked first, without the page being held for it, and
 * what it answers need not be asked of the other: most reads of a register that some reads change.
 */
static int find_peek(
	const struct accel_object *obj, const struct prog *prog, const struct prog **out, struct accel_err *err)
{
	char name[sizeof(prog->name) + sizeof("_peek")];

	*out = NULL;
	if (prog->effect != ACCEL_STATEFUL)
		return 0;
	snprintf(name, sizeof(name), "%s_peek", prog->name);
	*out = accel_object_find_prog(obj, name);
	if (!*out)
		return 0;
	if ((*out)->effect != ACCEL_PURE) {
		snprintf(err->text, sizeof(err->text),
			"%s: program %s stores to the state page or .bss; it is asked before %s without the page, and "
			"must "
			"be pure",
			accel_object_name(obj), name, prog->name);
		return -EACCES;
	}
	return prog_check_runnable(*out, err);
}

int accel_slot_attach(struct accel_slot *slot, struct accel_object *obj, const char *prog, struct accel_err *err)
{
	const struct prog *p = accel_object_find_prog(obj, prog), *peek;
	struct attachment *att = NULL;
	int ret;

	if (!p)
		return refuse_name(obj, prog, err);
	if (p->effect != ACCEL_PURE && p->effect != ACCEL_STATEFUL) {
		snprintf(err->text, sizeof(err->text), "%s: program %s has not been verified", accel_object_name(obj),
			prog);
		return -EACCES;
	}
	if (p->effect == ACCEL_STATEFUL && slot->allow == ACCEL_PURE) {
		snprintf(err->text, sizeof(err->text),
			"%s: program %s stores to the state page or .bss (stateful); this range takes pure programs "
			"only",
			accel_object_name(obj), prog);
		return -EACCES;
	}
	ret = prog_check_runnable(p, err);
	if (!ret)
		ret = find_peek(obj, p, &peek, err);
	if (ret)
		return ret;
	ret = attachment_new(slot, obj, p, peek, &att, err);
	if (ret)
		return ret;
	slot_publish(slot, att);
	return 0;
}

void accel_slot_detach(struct accel_slot *slot)
{
	slot_publish(slot, NULL);
}

bool accel_slot_attached(const struct accel_slot *slot)
{
	return slot_attachment(slot, atomic_load_explicit(&slot->hot.current, memory_order_relaxed)) != NULL ||
	       atomic_load_explicit(&slot->held, memory_order_relaxed) != NULL;
}

/* A vCPU may be about to ring the old descriptor, which the caller is free to close on return. */
void accel_slot_set_eventfd(struct accel_slot *slot, int fd)
{
	pthread_mutex_lock(&slot->lock);
	if (atomic_exchange_explicit(&slot->eventfd, fd, memory_order_seq_cst) != -1)
		slot_wait_left(slot);
	pthread_mutex_unlock(&slot->lock);
}

__attribute__((cold, noinline)) void slot_ring(struct accel_slot *slot)
{
	static const uint64_t one = 1;
	int fd = atomic_load_explicit(&slot->eventfd, memory_order_seq_cst);

	/* The one other failure, a full counter, means that it is signalled already. */
	while (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool slot_run_pure(const struct attachment *att, struct hr_page *page, struct slot_cpu *cpu, struct hr_io *io,
	unsigned torn, uint64_t *verdict)
{
	for (unsigned busy = 0; busy < SLOT_BUSY_TRIES && torn < TORN_TRIES;) {
		uint32_t seq = page_seq_load(&page->seq);

		if (seq & 1) {
			slot_pause(++busy);
			continue;
		}
		io->result = 0;
		*verdict = engine_run(att->code, io);
		if (page_seq_unchanged(&page->seq, seq))
			return true;
		torn++;
		slot_count(&cpu->retried, 1);
	}
	return false;
}

/*
 * A program that may store to the page or .bss holds the word meanwhile.
 *
 * When it punts it has stored nothing (the verifier proves it for every path), and the word goes
 * back to the number it had. That is sound: a reader that loaded `even` before and finds `even`
 * after has seen the page of that number, whether or not the punting program held the word in
 * between; any real change moves the word on for good, so the number cannot come back with another
 * content. The release store keeps what the acquire took over: whoever takes the word next still
 * sees all that the last real writer did. Raising the word instead would be sound too, but each punt would
 * throw away the pure answers of other vCPUs, and the page would not be byte-identical.
 */
static bool run_stateful(const struct attachment *att, struct hr_page *page, struct hr_io *io, uint64_t *verdict)
{
	uint32_t even;

	if (!slot_hold_page(page, &even))
		return false;
	io->result = 0;
	*verdict = engine_run(att->code, io);
	page_seq_release(page, slot_is_answer(*verdict) ? even + 2 : even);
	return true;
}

void slot_count_punt(struct slot_cpu *cpu, uint64_t verdict)
{
	slot_count(&cpu->punted, 1);
	slot_count(&cpu->why[verdict >> 8 & 0xff], 1);
	cpu->last_why = (uint8_t)(verdict >> 8);
}

void slot_count_busy(struct slot_cpu *cpu)
{
	slot_count_punt(cpu, HR_PUNT);
	slot_count(&cpu->busy, 1);
}

/* Counts a verdict, leaves in io what the caller may see of it, rings, and leaves. Returns HR_ANSWER or 0. */
static int settle_and_leave(struct accel_slot *slot, struct hr_io *io, uint64_t verdict)
{
	const bool answered = slot_is_answer(verdict);

	if (answered) {
		io->result = hr_mask(io->result, io->size);
	} else {
		io->result = 0;
		slot_count_punt(&slot->cpu[io->vcpu], verdict);
	}
	if (verdict == HR_ANSWER_RING)
		slot_ring(slot);
	slot_leave(accel_hot_cpu(slot, io->vcpu), answered);
	return answered ? HR_ANSWER : 0;
}

/* A stateful program, or a pure one whose page was busy or changed `torn` times; then leaves. */
static int run_and_leave(struct accel_slot *slot, const struct attachment *att, struct hr_io *io, unsigned torn)
{
	struct slot_cpu *cpu = &slot->cpu[io->vcpu];
	uint64_t verdict = HR_PUNT;

	if (att && (att->is_stateful ? run_stateful(att, slot->data, io, &verdict)
				     : slot_run_pure(att, slot->data, cpu, io, torn, &verdict)))
		return settle_and_leave(slot, io, verdict);
	io->result = 0;
	if (att)
		slot_count_busy(cpu);
	slot_leave(accel_hot_cpu(slot, io->vcpu), 0);
	return 0;
}

/*
 * Still inside: what is current now is as safe to use as what was, and has not to be kept until here. When
 * another program has come in between, the access is its. What a peek passes on is its program's.
 */
int accel_hot_rest(struct accel_slot *slot, struct hr_io *io, uint64_t verdict)
{
	const struct attachment *att =
		slot_attachment(slot, atomic_load_explicit(&slot->hot.current, memory_order_acquire));
	unsigned torn = 0;

	if (verdict == ACCEL_HOT_TORN) {
		slot_count(&slot->cpu[io->vcpu].retried, 1);
		torn = 1;
	} else if (verdict != ACCEL_HOT_NOT_RUN && (slot_is_answer(verdict) || !att || !att->peek_code)) {
		return settle_and_leave(slot, io, verdict);
	}
	return run_and_leave(slot, att, io, torn);
}

int accel_run(struct accel_slot *slot, struct hr_io *io)
{
	if (likely(io->vcpu < slot->hot.cpu_count))
		return accel_hot_run(&slot->hot, io);
	if (io->vcpu >= slot->cpu_count)
		return 0;
	return run_and_leave(slot, slot_enter(slot, accel_hot_cpu(slot, io->vcpu)), io, 0);
}

uint8_t accel_slot_punt_why(const struct accel_slot *slot, uint32_t vcpu)
{
	return vcpu < slot->cpu_count ? slot->cpu[vcpu].last_why : 0;
}

void accel_slot_counters(const struct accel_slot *slot, struct accel_counters *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < slot->cpu_count; i++) {
		const struct slot_cpu *cpu = &slot->cpu[i];

		out->answered += atomic_load_explicit(&accel_hot_cpu(slot, i)->inside, memory_order_relaxed) / 2;
		out->punted += atomic_load_explicit(&cpu->punted, memory_order_relaxed);
		out->retried += atomic_load_explicit(&cpu->retried, memory_order_relaxed);
		out->busy += atomic_load_explicit(&cpu->busy, memory_order_relaxed);
		for (unsigned n = 0; n < 256; n++)
			out->why[n] += atomic_load_explicit(&cpu->why[n], memory_order_relaxed);
	}
}

/*
 * Writable data between the real place and the copy. What a program keeps in .bss is its own
 * memory of earlier accesses, which no model has; so in check mode an answered stateful run hands
 * its .bss on to the real one, and the next run starts from there, just as without check mode.
 * The device's mutex guards both.
 */
static void copy_bss(const struct attachment *att, const struct prog_env *from, const struct prog_env *to)
{
	for (unsigned i = 0; i < accel_object_map_count(att->po->obj); i++) {
		const struct prog_map *map = accel_object_map(att->po->obj, i);

		if (prog_map_is_own(map))
			memcpy(to->map_base[i], from->map_base[i], map->size);
	}
}

/* The first byte in which two pages differ, the sequence word left out; -1: none. */
static long page_diff(const struct accel_slot *slot)
{
	const uint8_t *real = (const uint8_t *)slot->data, *copy = (const uint8_t *)slot->shadow_page;

	if (memcmp(real + sizeof(slot->data->seq), copy + sizeof(slot->data->seq),
		    slot->page->size - sizeof(slot->data->seq)) == 0)
		return -1;
	for (uint32_t i = sizeof(slot->data->seq); i < slot->page->size; i++) {
		if (real[i] != copy[i])
			return (long)i;
	}
	return -1;
}

static uint64_t shadow_run(struct accel_slot *slot, struct attachment *att, struct hr_io *io, uint64_t now_ns)
{
	uint64_t verdict;

	/* Without the sequence word, which is not the device lock's: readers on other threads touch it. */
	memcpy((uint8_t *)slot->shadow_page + sizeof(slot->data->seq),
		(const uint8_t *)slot->data + sizeof(slot->data->seq), slot->page->size - sizeof(slot->data->seq));
	copy_bss(att, &att->env, &att->shadow_env);
	att->shadow_env.frozen_ns = now_ns;
	io->result = 0;
	verdict = att->shadow_peek_code ? engine_run(att->shadow_peek_code, io) : HR_PUNT;
	if (!slot_is_answer(verdict)) {
		io->result = 0;
		verdict = engine_run(att->shadow_code, io);
	}
	slot->shadow_answered = slot_is_answer(verdict);
	slot->shadow_diff = slot->shadow_answered ? -1 : page_diff(slot);
	if (slot->shadow_answered && att->is_stateful)
		copy_bss(att, &att->shadow_env, &att->env);
	return verdict;
}

int accel_slot_shadow(struct accel_slot *slot, struct hr_io *io, uint64_t now_ns)
{
	struct accel_hot_cpu *cpu;
	struct attachment *att;
	uint64_t verdict = HR_PUNT;

	slot->shadow_answered = false;
	slot->shadow_diff = -1;
	if (io->vcpu >= slot->cpu_count)
		return HR_PUNT;
	cpu = accel_hot_cpu(slot, io->vcpu);
	att = slot_enter(slot, cpu);
	if (att)
		verdict = shadow_run(slot, att, io, now_ns);
	if (att && !slot_is_answer(verdict))
		slot_count_punt(&slot->cpu[io->vcpu], verdict);
	io->result = slot_is_answer(verdict) ? hr_mask(io->result, io->size) : 0;
	slot_leave(cpu, slot_is_answer(verdict));
	return (int)verdict;
}

long accel_slot_compare(const struct accel_slot *slot)
{
	return slot->shadow_answered ? page_diff(slot) : slot->shadow_diff;
}

const struct hr_page *accel_slot_shadow_page(const struct accel_slot *slot)
{
	return slot->shadow_page;
}
