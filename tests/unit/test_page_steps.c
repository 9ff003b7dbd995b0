// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_page_steps.c: every single store to a page of the HPET, seen one by one: what stands in the memory after each of them
 * must be a state that the chip goes through, also while timers are periodic or level-triggered, so that two loads one
 * after the other never show a pair that the chip could not have given. The memory is not writable; each store traps, is made
 * by one single-stepped instruction, and the memory is looked at before the next.
 *
 * Reference: a second HPET, all of it a model, whose registers are read through the bus a tick before and at each value of
 * the counter. [HPET] 2.3.9.2.2: the comparator moves on after the counter has reached it, so at that value either may be seen.
 */
#include "tests/unit/image_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__x86_64__)

#define VAL_SET 0x40
#define MODE32 0x100
#define TICK_NS 10
#define TRAP_FLAG 0x100
#define MOST_STATES 20000

enum { AT_COUNTER, AT_STATUS, AT_COMPARATOR, AT_CONFIG = AT_COMPARATOR + 3, AT_TIMER, CELLS = AT_TIMER + 3 };

static const unsigned reg_of[CELLS] = {COUNTER, ISR, TN_COMPARATOR(0), TN_COMPARATOR(1), TN_COMPARATOR(2), CONFIG,
	TN_CONFIG(0), TN_CONFIG(1), TN_CONFIG(2)};

struct cells {
	uint64_t value[CELLS];
};

/* ---- each store ------------------------------------------------------------------------------ */

static uint8_t *watched;
static struct cells states[MOST_STATES];
static unsigned state_count;
static volatile sig_atomic_t stores;

static void note_state(void)
{
	struct cells now;

	for (unsigned i = 0; i < CELLS; i++)
		memcpy(&now.value[i], watched + reg_of[i], 8);
	if (state_count && memcmp(&states[state_count - 1], &now, sizeof(now)) == 0)
		return;
	if (state_count < MOST_STATES)
		states[state_count++] = now;
}

static void on_store(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uint8_t *at = info->si_addr;

	(void)signal;
	if (!watched || at < watched || at >= watched + PAGE)
		abort(); /* not one of ours */
	mprotect(watched, PAGE, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_stored(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)signal;
	(void)info;
	uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	stores++;
	note_state();
	mprotect(watched, PAGE, PROT_READ);
}

static void watch(const struct rig *rig)
{
	struct sigaction sa = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_store};

	assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
	sa.sa_sigaction = on_stored;
	assert_int_equal(sigaction(SIGTRAP, &sa, NULL), 0);
	watched = (uint8_t *)(uintptr_t)page_image_memory(rig->image);
	assert_int_equal(mprotect(watched, PAGE, PROT_READ), 0);
	state_count = 0;
	note_state();
}

static void watch_no_more(void)
{
	mprotect(watched, PAGE, PROT_READ | PROT_WRITE);
	watched = NULL;
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
}

/* ---- against the second HPET ----------------------------------------------------------------- */

static struct cells read_cells(struct rig *twin)
{
	struct cells c;

	for (unsigned i = 0; i < CELLS; i++)
		c.value[i] = rd(twin, reg_of[i], 8);
	return c;
}

static void fail_state(unsigned i, const struct cells *from, const struct cells *to)
{
	for (unsigned k = 0; k < CELLS; k++)
		print_message("  register 0x%x: 0x%llx, which is neither 0x%llx nor 0x%llx, or is behind another one\n",
			reg_of[k], (unsigned long long)states[i].value[k], (unsigned long long)from->value[k],
			(unsigned long long)to->value[k]);
	fail_msg("state %u of %u is none of the chip's", i, state_count);
}

/*
 * Whether states[i] lies between two states of the chip: each register has the value of the one or of the other, and none that
 * has changed already changes back. `changed` is a bit for each register, 0 to begin with.
 */
static bool is_between(unsigned i, const struct cells *from, const struct cells *to, unsigned *changed)
{
	for (unsigned k = 0; k < CELLS; k++) {
		const uint64_t value = states[i].value[k];
		const bool can_be_old = value == from->value[k] && !(*changed >> k & 1),
			   can_be_new = value == to->value[k];

		if (!can_be_old && !can_be_new)
			return false;
		if (!can_be_old)
			*changed |= 1u << k;
	}
	return true;
}

static void advance_twin(struct rig *twin, uint64_t to_ns)
{
	if (to_ns > clock_now(&twin->b.clock))
		clock_advance(&twin->b.clock, to_ns);
}

/*
 * The states from the first on by which time passes, up to the second machine's instant to_ns at most. Returns the number of the first that is
 * not such a one, or how many there are.
 */
static unsigned check_time(struct rig *twin, uint64_t to_ns)
{
	struct cells before = read_cells(twin), at = before;
	uint64_t counter = at.value[AT_COUNTER];
	unsigned changed = 0, i;

	for (i = 0; i < state_count; i++) {
		const uint64_t shows = states[i].value[AT_COUNTER];
		const uint64_t ns = clock_now(&twin->b.clock) / TICK_NS * TICK_NS + (shows - counter) * TICK_NS;

		if (shows != counter) { /* a state of the tick before, but for what the counter does */
			if (shows < counter || ns > to_ns || !(at.value[AT_CONFIG] & 1))
				return i;
			advance_twin(twin, ns - TICK_NS);
			before = read_cells(twin);
			advance_twin(twin, ns);
			at = read_cells(twin);
			counter = at.value[AT_COUNTER];
			assert_int_equal(counter, shows);
			before.value[AT_COUNTER] = counter; /* it comes first */
			changed = 0;
		}
		if (!is_between(i, &before, &at, &changed))
			return i;
	}
	return i;
}

/* [HPET] 2.3.9.2.2 itself, of 64-bit periodic timers: no state has the comparator behind the counter, or more than a period ahead. */
static void check_rule(const uint64_t period[3])
{
	for (unsigned i = 0; i < state_count; i++) {
		for (unsigned n = 0; n < 3; n++) {
			const uint64_t ahead = states[i].value[AT_COMPARATOR + n] - states[i].value[AT_COUNTER];

			if (period[n] && ahead > period[n])
				fail_msg("state %u: comparator %u is 0x%llx ahead, with a period of 0x%llx", i, n,
					(unsigned long long)ahead, (unsigned long long)period[n]);
		}
	}
}

static void forget(void)
{
	states[0] = states[state_count - 1];
	state_count = 1;
}

/* The clock goes on, timers with it or late. */
static uint64_t go_on(struct rig *rig, uint64_t by_ns, bool is_late)
{
	const uint64_t to_ns = clock_now(&rig->b.clock) + by_ns;

	if (is_late)
		board_be_late(&rig->b, to_ns);
	else
		clock_advance(&rig->b.clock, to_ns);
	return to_ns;
}

/* Time passes on both, and then a publisher comes. */
static void pass(struct rig *rig, struct rig *twin, uint64_t by_ns, bool is_late)
{
	const uint64_t to_ns = go_on(rig, by_ns, is_late);
	struct cells at;
	unsigned i;

	while (page_image_last_ns(rig->image) < to_ns)
		publish(rig);
	i = check_time(twin, to_ns);
	advance_twin(twin, to_ns);
	at = read_cells(twin);
	if (i < state_count)
		fail_state(i, &at, &at);
	if (memcmp(&states[state_count - 1], &at, sizeof(at)) != 0)
		fail_state(state_count - 1, &at, &at);
}

/* A write to both: first time passes, then the registers change that it changes. */
static void write_both(struct rig *rig, struct rig *twin, unsigned reg, uint64_t value)
{
	const uint64_t now_ns = clock_now(&rig->b.clock);
	struct cells before, after;
	unsigned i, changed = 0;

	wr(rig, reg, 8, value);
	i = check_time(twin, now_ns);
	advance_twin(twin, now_ns);
	before = read_cells(twin);
	wr(twin, reg, 8, value);
	after = read_cells(twin);
	for (; i < state_count; i++) {
		if (!is_between(i, &before, &after, &changed))
			fail_state(i, &before, &after);
	}
	if (memcmp(&states[state_count - 1], &after, sizeof(after)) != 0)
		fail_state(state_count - 1, &after, &after);
	forget();
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void start(struct rig *rig, struct rig *twin)
{
	rig_init(rig, ACCEL_ON);
	rig_init(twin, ACCEL_OFF);
	rig_show(rig);
	watch(rig);
	write_both(rig, twin, CONFIG, 1);
}

static void end(struct rig *rig, struct rig *twin)
{
	watch_no_more();
	rig_done(rig);
	rig_done(twin);
}

/* As Linux leaves timer 0: periodic, its interrupt enabled or not; by a publisher in time and by one that is late by many periods. */
static void test_periodic(void **state)
{
	static const uint64_t period[3] = {400000, 0, 0}; /* 4 ms */
	struct rig rig, twin;
	unsigned moved = 0;

	(void)state;
	start(&rig, &twin);
	for (unsigned enabled = 0; enabled < 2; enabled++) {
		const uint64_t first = rd(&twin, COUNTER, 8) + period[0];

		write_both(&rig, &twin, TN_CONFIG(0), PERIODIC | VAL_SET | (enabled ? INT_ENB | 10 << 9 : 0));
		write_both(&rig, &twin, TN_COMPARATOR(0), first);
		write_both(&rig, &twin, TN_COMPARATOR(0), period[0]);
		assert_true(page_image_may_show(rig.image));
		for (unsigned i = 0; i < 200; i++) {
			const uint64_t was = shown(&rig, TN_COMPARATOR(0));

			pass(&rig, &twin, i % 10 == 9 ? 40000000 : 1 + i * 12345 % 3000000, i % 3 == 1);
			check_rule(period);
			forget();
			moved += shown(&rig, TN_COMPARATOR(0)) != was;
		}
	}
	assert_true(moved > 50);
	assert_int_equal(rig.gone, 0);
	end(&rig, &twin);
}

/* The status of a level-triggered timer is set when the counter has come to the comparator, not before, and no later. */
static void test_level(void **state)
{
	struct rig rig, twin;

	(void)state;
	start(&rig, &twin);
	write_both(&rig, &twin, TN_CONFIG(1), LEVEL);
	write_both(&rig, &twin, TN_CONFIG(2), LEVEL | PERIODIC | VAL_SET | MODE32);
	write_both(&rig, &twin, TN_COMPARATOR(2), 77777);
	for (unsigned i = 0; i < 200; i++) {
		write_both(&rig, &twin, ISR, 6);
		write_both(&rig, &twin, TN_COMPARATOR(1), shown(&rig, COUNTER) + 1000 + i);
		pass(&rig, &twin, 5 * i, false);
		forget();
		pass(&rig, &twin, 9999 + 10 * i, i % 2);
		forget();
	}
	assert_true(shown(&rig, ISR) & 2);
	end(&rig, &twin);
}

/* Anything at all that may be shown. */
static void test_random(void **state)
{
	struct rig rig, twin;
	uint64_t seed = 20260102;

	(void)state;
	start(&rig, &twin);
	for (unsigned i = 0; i < 400; i++) {
		const unsigned n = board_random(&seed) % 3;
		const uint64_t near = shown(&rig, COUNTER) + board_random(&seed) % 100000;

		if (board_random(&seed) % 2) /* nobody has published what the write finds */
			go_on(&rig, board_random(&seed) % 1000000, board_random(&seed) % 2);

		switch (board_random(&seed) % 6) {
		case 0:
			write_both(&rig, &twin, TN_CONFIG(n),
				board_random(&seed) & (PERIODIC | LEVEL | INT_ENB | VAL_SET | MODE32 | 11 << 9));
			break;
		case 1:
			write_both(&rig, &twin, CONFIG, board_random(&seed) % 4 != 0);
			break;
		case 2:
			write_both(&rig, &twin, ISR, board_random(&seed) % 8);
			break;
		case 3: /* upwards: check_time() takes what goes down for a write */
			write_both(&rig, &twin, COUNTER, near);
			break;
		default:
			write_both(&rig, &twin, TN_COMPARATOR(n),
				board_random(&seed) % 2 ? near : 10000 + board_random(&seed) % 1000000);
			break;
		}
		if (!page_image_may_show(rig.image)) {
			write_both(&rig, &twin, TN_CONFIG(n), 0);
			continue;
		}
		pass(&rig, &twin,
			board_random(&seed) % 3 ? board_random(&seed) % 400000 : board_random(&seed) % 20000000,
			board_random(&seed) % 2);
		forget();
	}
	assert_int_equal(rig.gone, 0);
	end(&rig, &twin);
}

#else

static void test_needs_x86(void **state)
{
	(void)state;
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
		cmocka_unit_test(test_periodic),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_random),
#else
		cmocka_unit_test(test_needs_x86),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
