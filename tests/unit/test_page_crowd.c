// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_page_crowd.c: who had to do without a processor: what is read of the host's account of threads, by files of the test's
 * own and by the kernel's, and what is added up of it. No publisher runs here: its part is set by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/cpu.h"
#include "vmm/page_tier_int.h"

/* [proc] schedstats.rst, /proc/<pid>/schedstat: time spent on the cpu, time spent waiting on a runqueue, # of timeslices */
static void test_account(void **state)
{
	static const struct {
		const char *text;
		bool is_known;
		uint64_t ns;
	} rows[] = {
		{"1000 2500 7\n", true, 2500},
		{"0 0 0\n", true, 0},
		{"18446744073709551615 18446744073709551614 1\n", true, 18446744073709551614u},
		{"1000\n", false, 0},
		{"", false, 0},
		{"none at all\n", false, 0},
		{NULL, false, 0},
	};
	char root[] = "/tmp/test_page_crowd.XXXXXX", path[200], command[300];
	uint64_t ns;

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(command, sizeof(command), "mkdir -p %s/proc/self/task/42 %s/proc/self/task/43", root, root);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/proc/self/task/42/schedstat", root);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unlink(path);
		if (rows[i].text) {
			FILE *f = fopen(path, "w");

			assert_non_null(f);
			fputs(rows[i].text, f);
			fclose(f);
		}
		assert_int_equal(page_host_waited(root, 42, &ns), rows[i].is_known);
		if (rows[i].is_known)
			assert_true(ns == rows[i].ns);
		assert_false(page_host_waited(root, 43, &ns));
	}
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

/* Threads that have not begun, and one that the kernel does not know, count for nothing; all others count once. */
static void test_added_up(void **state)
{
	struct cpu cpus[3] = {{.index = 0}, {.index = 1}, {.index = 2}};
	static struct vm vm;
	static struct page_tier tier;
	struct page_crowd crowd;
	uint64_t before, after;

	(void)state;
	tier.vm = &vm;
	vm.cpu_count = 3;
	for (unsigned i = 0; i < 3; i++)
		vm.cpus[i] = &cpus[i];
	page_crowd_look(&tier, &crowd);
	assert_true(crowd.waited_ns == 0);
	cpus[0].tid = gettid();
	cpus[1].tid = 0x7fffffff;
	tier.event_tid = gettid();
	if (!page_host_waited("", gettid(), &before))
		skip(); /* a kernel that keeps no account */
	page_crowd_look(&tier, &crowd);
	assert_true(page_host_waited("", gettid(), &after));
	assert_true(crowd.waited_ns >= 2 * before && crowd.waited_ns <= 2 * after);
}

static void test_lost(void **state)
{
	static struct vm vm;
	static struct page_tier tier;
	struct page_crowd crowd;
	uint64_t start_ns, end_ns;

	(void)state;
	tier.vm = &vm;
	tier.lost_ns = 7000000;
	page_crowd_look(&tier, &crowd); /* it is idle */
	assert_true(crowd.lost_ns == 7000000);
	start_ns = page_now();
	tier.last_pass_ns = start_ns - 1000000000; /* it was there a second ago, and is to be back */
	page_crowd_look(&tier, &crowd);
	end_ns = page_now();
	assert_true(crowd.at_ns >= start_ns && crowd.at_ns <= end_ns);
	assert_true(crowd.lost_ns == 7000000 + 1000000000 + crowd.at_ns - start_ns);
	tier.last_pass_ns = end_ns + 60000000000; /* it has been there since the look began */
	page_crowd_look(&tier, &crowd);
	assert_true(crowd.lost_ns == 7000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_added_up),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
