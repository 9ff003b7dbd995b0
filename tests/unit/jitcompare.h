/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jitcompare.h: the engines side by side, for test_jit.c and fuzz_jit.c: the interpreter, the JIT, and
 * the JIT for a processor without extras must leave the same behind. Builds without a JIT have the first only.
 * Included by one .c file of a test program, before or after proggen.h.
 */
#ifndef TESTS_JITCOMPARE_H
#define TESTS_JITCOMPARE_H

#include "accel/engine.h"
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

#define COMPARE_MAP_BYTES 64

/* One run: what goes in and what is left. */
struct compare_run {
	struct hr_io io;
	_Alignas(64) uint8_t map[PROG_MAX_MAPS][COMPARE_MAP_BYTES];
	uint64_t r0;
};

/*
 * A program that verify_prog() accepted, `runs` times on random input: NULL, or what differs. The maps
 * lie at the same place for all engines.
 */
static __attribute__((unused)) const char *compare_accepted(
	const struct prog *p, struct dice *dice, unsigned runs, struct compare_score *score)
{
	static struct compare_run now, first, input;
	static char text[256];
	struct engine_code *code[3] = {NULL};
	struct prog_env env = {.time_is_frozen = true};
	const char *wrong = NULL;

	for (unsigned i = 0; i < p->map_count; i++)
		prog_env_set_map(&env, i, &p->maps[i], now.map[i]);
	for (unsigned e = 0; e < COMPARE_ENGINES && !wrong; e++) {
		int rc = compare_prepare(p, &env, e, &code[e]);

		if (rc) {
			snprintf(text, sizeof(text), "%s does not take it: %s", compare_names[e], strerror(-rc));
			wrong = text;
		}
	}
	for (unsigned run = 0; run < runs && !wrong; run++) {
		memset(&input, 0, sizeof(input));
		input.io.value = pick(dice, 2) ? roll(dice) : pick(dice, 256);
		input.io.offset = pick(dice, 2) ? pick(dice, 64) : (uint32_t)roll(dice);
		input.io.vcpu = pick(dice, 2);
		input.io.size = (uint8_t)(1u << pick(dice, 4));
		input.io.is_write = (uint8_t)pick(dice, 2);
		for (unsigned i = 0; i < p->map_count; i++) {
			for (unsigned k = 0; k < COMPARE_MAP_BYTES; k += 8) {
				uint64_t v = roll(dice) >> (8 * pick(dice, 8));

				memcpy(input.map[i] + k, &v, 8);
			}
			/* the verifier knows these */
			if (p->maps[i].role == MAP_RODATA)
				memcpy(input.map[i], p->maps[i].initial, p->maps[i].size);
		}
		env.frozen_ns = roll(dice) >> pick(dice, 32);
		for (unsigned e = 0; e < COMPARE_ENGINES && !wrong; e++) {
			now = input;
			now.r0 = engine_run(code[e], &now.io);
			if (e == 0)
				first = now;
			else if (memcmp(&now, &first, sizeof(now)) != 0)
				wrong = text;
			if (wrong)
				snprintf(text, sizeof(text),
					"%s: r0 %#llx, result %#llx; the interpreter: r0 %#llx, result %#llx; maps %s",
					compare_names[e], (unsigned long long)now.r0, (unsigned long long)now.io.result,
					(unsigned long long)first.r0, (unsigned long long)first.io.result,
					memcmp(now.map, first.map, sizeof(now.map)) ? "differ" : "agree");
		}
		score->runs++;
		score->answered += first.r0 == HR_ANSWER || first.r0 == HR_ANSWER_RING;
	}
	for (unsigned e = 0; e < 3; e++)
		engine_free(code[e]);
	return wrong;
}

#endif
