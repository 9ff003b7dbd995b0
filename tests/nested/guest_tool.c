// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest_tool.c: what the bed's Linux guests need besides busybox, static.
 *   guest_tool clock MS            asks for the time for MS milliseconds, by gettimeofday and the monotonic clock in turn, and says
 *                                  how often; status 1 when either ever went back
 *   guest_tool sleep MS            sleeps, and says how long that took; status 1 when it was more than twice as long
 *   guest_tool cmos INDEX [VALUE]  writes a byte of CMOS memory, which survives a reset, or prints it
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/time.h>
#include <time.h>

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t today_us(void)
{
	struct timeval tv;

	gettimeofday(&tv, NULL);
	return (uint64_t)tv.tv_sec * 1000000u + (uint64_t)tv.tv_usec;
}

static int clock_loop(uint64_t ms)
{
	uint64_t start = monotonic_ns(), now = start, today = today_us(), calls = 0, back = 0;

	while (now - start < ms * 1000000) {
		uint64_t next_today = today_us(), next = monotonic_ns();

		back += next_today < today;
		back += next < now;
		today = next_today;
		now = next > now ? next : now;
		calls += 2;
	}
	printf("%" PRIu64 " calls in %" PRIu64 " ms, %" PRIu64 " steps back\n", calls, ms, back);
	return back != 0;
}

static int sleep_once(uint64_t ms)
{
	const struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
	uint64_t start = monotonic_ns(), took;

	nanosleep(&ts, NULL);
	took = (monotonic_ns() - start) / 1000000;
	printf("%" PRIu64 " ms of sleep took %" PRIu64 "\n", ms, took);
	return took > 2 * ms;
}

static int cmos(int argc, char **argv)
{
	if (ioperm(0x70, 2, 1) < 0) {
		perror("guest_tool: ports 0x70 and 0x71");
		return 2;
	}
	outb((unsigned char)strtoul(argv[0], NULL, 0), 0x70);
	if (argc > 1)
		outb((unsigned char)strtoul(argv[1], NULL, 0), 0x71);
	else
		printf("%u\n", inb(0x71));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "clock") == 0)
		return clock_loop(strtoull(argv[2], NULL, 0));
	if (argc == 3 && strcmp(argv[1], "sleep") == 0)
		return sleep_once(strtoull(argv[2], NULL, 0));
	if (argc >= 3 && strcmp(argv[1], "cmos") == 0)
		return cmos(argc - 2, argv + 2);
	fprintf(stderr, "usage: guest_tool clock MS | sleep MS | cmos INDEX [VALUE]\n");
	return 2;
}
