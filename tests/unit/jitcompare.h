/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jitcompare.h: the engines side by side, for test_jit.c and fuzz_jit.c: the interpreter, the JIT, and
 * the JIT for a processor without extras must leave the same behind. Builds without a JIT have the first only.
 * Included by one .c file of a test program, before or after proggen.h.
 */
#ifndef TESTS_JITCOMPARE_H
#define TESTS_JITCOMPARE_H

#include "accel/engine.h"
#include "accel/insn.h"
#include "accel/jit.h"
#include "tests/unit/proggen.h"

#define COMPARE_ENGINES (JIT_AVAILABLE ? 3u : 1u)

static const char *const compare_names[]
	__attribute__((unused)) = {"the interpreter", "the JIT", "the JIT for a plain processor"};

static int compare_prepare(const struct prog *p, const struct prog_env *env, unsigned engine, struct engine_code **code)
{
	return engine_prepare_for(p, env, engine ? ENGINE_JIT : ENGINE_INTERP, engine == 1 ? jit_features() : 0, code);
}

struct compare_score {
	uint64_t runs, answered;
};

/* What one run leaves behind. */
struct compare_run {
	_Alignas(64) uint8_t ctx[MACHINE_CTX_BYTES];
	_Alignas(64) uint8_t map[PROG_MAX_MAPS][MACHINE_MAP_BYTES];
	uint64_t r0;
};

/* Hash maps are for the verifier only: no engine runs a program that has one. */
static bool compare_can_run(const struct prog *p)
{
	for (uint32_t i = 0; i < p->insn_count; i++) {
		const struct insn_desc *desc = insn_lookup(&p->insns[i]);

		if (desc && desc->kind == KIND_MAP && p->maps[p->insns[i].imm].type == MAP_HASH)
			return false;
		if (desc)
			i += desc->slots - 1u;
	}
	return true;
}

static const char *compare_left(const char *who, const struct compare_run *now, const struct compare_run *first)
{
	static char text[200];

	if (memcmp(now, first, sizeof(*now)) == 0)
		return NULL;
	snprintf(text, sizeof(text), "%s: r0 %#llx, the interpreter: r0 %#llx; context %s, maps %s", who,
		(unsigned long long)now->r0, (unsigned long long)first->r0,
		memcmp(now->ctx, first->ctx, sizeof(now->ctx)) ? "differs" : "agrees",
		memcmp(now->map, first->map, sizeof(now->map)) ? "differ" : "agree");
	return text;
}

/*
 * A program that verify_prog() accepted, `runs` times on random input, in each engine and in the machine of
 * machine.h: NULL, or what differs. Maps and context lie at the same place for all engines.
 */
static __attribute__((unused)) const char *compare_accepted(
	const struct prog *p, struct dice *dice, unsigned runs, struct compare_score *score)
{
	static struct compare_run now, first, input;
	static char text[256];
	struct engine_code *code[3] = {NULL};
	struct prog_env env = {.time_is_frozen = true};
	struct machine *m = &the_machine;
	const char *wrong = NULL;

	if (!compare_can_run(p))
		return NULL;
	for (unsigned i = 0; i < p->map_count; i++) {
		if (p->maps[i].type != MAP_HASH)
			prog_env_set_map(&env, i, &p->maps[i], now.map[i]);
	}
	for (unsigned e = 0; e < COMPARE_ENGINES && !wrong; e++) {
		int rc = compare_prepare(p, &env, e, &code[e]);

		if (rc) {
			snprintf(text, sizeof(text), "%s does not take it: %s", compare_names[e], strerror(-rc));
			wrong = text;
		}
	}
	for (unsigned run = 0; run < runs && !wrong; run++) {
		random_input(m, p, dice);
		m->frozen = true;
		env.frozen_ns = m->time;
		memcpy(input.ctx, m->ctx, sizeof(input.ctx));
		memcpy(input.map, m->map, sizeof(input.map));
		for (unsigned e = 0; e < COMPARE_ENGINES && !wrong; e++) {
			memcpy(&now, &input, sizeof(now));
			now.r0 = engine_run(code[e], now.ctx);
			if (e == 0)
				memcpy(&first, &now, sizeof(now));
			wrong = compare_left(compare_names[e], &now, &first);
		}
		while (!m->ended && machine_step(m))
			;
		memcpy(&now, &input, sizeof(now));
		memcpy(now.ctx, m->ctx, sizeof(now.ctx));
		memcpy(now.map, m->map, sizeof(now.map));
		now.r0 = m->r[0].v;
		if (!wrong)
			wrong = m->wrong ? m->wrong : compare_left("the machine", &now, &first);
		score->runs++;
		score->answered += first.r0 == HR_ANSWER || first.r0 == HR_ANSWER_RING;
	}
	m->frozen = false;
	for (unsigned e = 0; e < 3; e++)
		engine_free(code[e]);
	return wrong;
}

#endif
