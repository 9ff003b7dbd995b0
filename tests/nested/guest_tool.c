// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest_tool.c: what the bed's Linux guests need besides busybox, static.
 *   guest_tool clock MS            asks for the time for MS milliseconds, on each processor at once, by gettimeofday and the monotonic
 *                                  clock in turn, and says how often; status 1 when either ever went back, or was behind what another
 *                                  processor had read before
 *   guest_tool drift MS            the same, and each 100 ms the monotonic time in a line "stamp NS", for who compares it with the host's
 *   guest_tool hole MS             reads an address that nobody claims, on each processor at once, and says how often: what scales as nothing else
 *   guest_tool sleep MS            sleeps, and says how long that took; status 1 when it was more than twice as long
 *   guest_tool cmos INDEX [VALUE]  writes a byte of CMOS memory, which survives a reset, or prints it
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOLE_ADDRESS 0xf8000000u /* nobody's in hotreg and in QEMU */
enum what { CLOCK, STAMPS, HOLE };

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

/* Between the processes, one on each processor. */
struct clocks {
	_Atomic uint64_t latest[2]; /* what anybody has read: today_us, monotonic_ns */
	_Atomic uint64_t calls, back;
};

/* The clock must not be behind what had been read when it was asked. */
static uint64_t read_clock(struct clocks *all, unsigned which)
{
	uint64_t before = atomic_load(&all->latest[which]), now = which ? monotonic_ns() : today_us();

	if (now < before)
		atomic_fetch_add(&all->back, 1);
	while (before < now && !atomic_compare_exchange_weak(&all->latest[which], &before, now))
		;
	return now;
}

static void clock_loop(struct clocks *all, uint64_t end, bool has_stamps)
{
	uint64_t calls = 0, now = 0, stamp = 0;

	while (now < end) {
		if (has_stamps && now >= stamp) {
			now = monotonic_ns();
			printf("stamp %" PRIu64 "\n", now);
			fflush(stdout);
			stamp = now + 100000000;
		}
		read_clock(all, 0);
		now = read_clock(all, 1);
		calls += 2;
	}
	atomic_fetch_add(&all->calls, calls);
}

/*
 * The time is asked for once in a hundred times only, so that it does not count. Not a port: IN would need ioperm(2), and QEMU's
 * TCG looks into the bitmap of a task state segment only when that is of type 9, not busy (helper_check_io). One that a VMM
 * has read and put back by KVM_GET_SREGS and KVM_SET_SREGS, as QEMU does, is busy in SVM's eyes, so that IN faults.
 */
static void hole_loop(struct clocks *all, const volatile uint32_t *hole, uint64_t end)
{
	uint64_t calls = 0;

	do {
		for (int i = 0; i < 100; i++)
			(void)*hole;
		calls += 100;
	} while (monotonic_ns() < end);
	atomic_fetch_add(&all->calls, calls);
}

static void loop(enum what what, struct clocks *all, const volatile uint32_t *hole, int processor, uint64_t end)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	sched_setaffinity(0, sizeof(set), &set);
	if (what == HOLE)
		hole_loop(all, hole, end);
	else
		clock_loop(all, end, what == STAMPS && processor == 0);
}

static int loops(uint64_t ms, enum what what)
{
	struct clocks *all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t end = monotonic_ns() + ms * 1000000;
	int processors = get_nprocs(), children = 0;
	void *hole = NULL;

	if (all == MAP_FAILED)
		return 2;
	if (what == HOLE) {
		int fd = open("/dev/mem", O_RDONLY | O_SYNC);

		hole = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, HOLE_ADDRESS);
		if (hole == MAP_FAILED) {
			perror("guest_tool: /dev/mem");
			return 2;
		}
	}
	for (int i = 1; i < processors; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			loop(what, all, hole, i, end);
			_exit(0);
		}
		children += pid > 0;
	}
	loop(what, all, hole, 0, end);
	while (children && wait(NULL) > 0)
		children--;
	printf("%" PRIu64 " calls in %" PRIu64 " ms, %" PRIu64 " steps back\n", atomic_load(&all->calls), ms,
		atomic_load(&all->back));
	return atomic_load(&all->back) != 0;
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
		return loops(strtoull(argv[2], NULL, 0), CLOCK);
	if (argc == 3 && strcmp(argv[1], "drift") == 0)
		return loops(strtoull(argv[2], NULL, 0), STAMPS);
	if (argc == 3 && strcmp(argv[1], "hole") == 0)
		return loops(strtoull(argv[2], NULL, 0), HOLE);
	if (argc == 3 && strcmp(argv[1], "sleep") == 0)
		return sleep_once(strtoull(argv[2], NULL, 0));
	if (argc >= 3 && strcmp(argv[1], "cmos") == 0)
		return cmos(argc - 2, argv + 2);
	fprintf(stderr, "usage: guest_tool clock MS | drift MS | hole MS | sleep MS | cmos INDEX [VALUE]\n");
	return 2;
}
