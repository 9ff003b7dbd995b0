// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_bus_string.c: string accesses (`rep ins`, `rep outs`) to a range with a program: the same words, page and
 * counts whether programs are off, on or checked, traced or counted or not; each word done exactly once and in order,
 * and the model called for those that the program passes on, and no others. The device is a data port whose program is
 * tests/prog/fifo.bpf.c; word n reads as n times 3, so what must come out needs no device to be known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/prog/fifo.h"
#include "vmm/bus.h"
#include "vmm/stats.h"
#include "vmm/trace.h"

#define PORT 0x1f0
#define WORDS 256

static char object_path[512];

struct port {
	struct device dev;
	uint32_t next; /* number of the block's first word */
	unsigned reads, writes;
	struct range *moves; /* where to, at the next read: elsewhere */
	struct bus *bus;
};

struct world {
	struct clock clock;
	struct bus bus;
	struct port port;
	struct accel_slot *slot;
};

static void fill(struct port *p)
{
	struct fifo_page *page = device_page(&p->dev);

	for (unsigned i = 0; i < FIFO_WORDS; i++)
		HR_STORE(page->s.block[i], (uint16_t)((p->next + i) * 3));
	HR_STORE(page->s.at, 0);
	p->next += FIFO_WORDS;
}

static void port_read(struct device *dev, struct io_req *req)
{
	struct port *p = (struct port *)dev;
	struct fifo_page *page = device_page(dev);
	uint32_t at;

	p->reads++;
	page_begin(dev);
	at = HR_LOAD(page->s.at);
	req->io.result = HR_LOAD(page->s.block[at]);
	HR_STORE(page->s.at, at + 1);
	if (at + 1 == FIFO_WORDS)
		fill(p);
	page_end(dev);
	if (p->moves) {
		bus_unmap(p->bus, p->moves);
		p->moves = NULL;
	}
}

static void port_write(struct device *dev, struct io_req *req)
{
	struct fifo_page *page = device_page(dev);
	uint64_t n;

	((struct port *)dev)->writes++;
	page_begin(dev);
	n = HR_LOAD(page->s.written) + 1;
	HR_STORE(page->s.sum, HR_LOAD(page->s.sum) + n * req->io.value);
	HR_STORE(page->s.written, n);
	page_end(dev);
}

static void nothing(struct device *dev)
{
	(void)dev;
}

static const struct device_ops ops = {.reset = nothing, .destroy = nothing};

static void build(struct world *w, enum accel_mode mode, bool with_program)
{
	struct range proto = {.name = "port",
		.dev = &w->port.dev,
		.bus = IO_PIO,
		.len = 1,
		.width = 2,
		.flags = RANGE_FIFO,
		.read = port_read,
		.write = port_write,
		.base = PORT,
		.mapped = true};
	struct accel_object *obj;
	struct accel_err err;

	memset(w, 0, sizeof(*w));
	assert_int_equal(clock_init(&w->clock, true), 0);
	assert_int_equal(bus_init(&w->bus, &w->clock, mode), 0);
	assert_int_equal(device_init(&w->port.dev, "port", &ops, &w->clock, FIFO_VERSION, sizeof(struct fifo_page)), 0);
	w->port.bus = &w->bus;
	fill(&w->port);
	if (with_program) {
		assert_int_equal(accel_slot_new(w->port.dev.page, &w->clock.source, 1, ACCEL_STATEFUL, &w->slot), 0);
		if (accel_object_open_file(object_path, &obj, &err) || accel_slot_attach(w->slot, obj, "fifo", &err))
			fail_msg("%s", err.text);
		accel_object_put(obj);
	}
	proto.slot = w->slot;
	assert_non_null(bus_add(&w->bus, &proto));
}

static void tear(struct world *w)
{
	assert_int_equal(bus_check_divergences(&w->bus), 0);
	bus_destroy(&w->bus);
	accel_slot_free(w->slot);
	device_cleanup(&w->port.dev);
	clock_destroy(&w->clock);
}

/* A string of `count` elements of `size` bytes; the request comes back as it was. */
static void string(struct world *w, void *data, uint32_t count, unsigned size, bool is_write)
{
	struct io_req req = {.io = {.size = (uint8_t)size, .is_write = is_write},
		.addr = PORT,
		.bus = IO_PIO,
		.count = count,
		.data = data};

	bus_io(&w->bus, &req);
	assert_ptr_equal(req.data, data);
	assert_int_equal(req.count, count);
	assert_int_equal(req.addr, PORT);
	assert_int_equal(req.io.size, size);
}

static struct accel_counters counters(const struct world *w)
{
	struct accel_counters c = {0};

	if (w->slot)
		accel_slot_counters(w->slot, &c);
	return c;
}

static void assert_words(const uint16_t *words, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(words[i], (uint16_t)((first + i) * 3));
}

/* Strings of all lengths, so that their ends lie everywhere in a block; guards around the data. */
static void read_all(struct world *w)
{
	uint32_t first = 0;

	for (uint32_t count = 1; count <= 3 * FIFO_WORDS + 1; count++) {
		uint16_t words[3 * FIFO_WORDS + 3];

		memset(words, 0xee, sizeof(words));
		string(w, words + 1, count, 2, false);
		assert_words(words + 1, first, count);
		assert_int_equal(words[0], 0xeeee);
		assert_int_equal(words[count + 1], 0xeeee);
		first += count;
	}
	assert_int_equal(w->port.next, first / FIFO_WORDS * FIFO_WORDS + FIFO_WORDS);
}

static void write_all(struct world *w)
{
	const struct fifo_page *page = device_page(&w->port.dev);
	uint16_t words[WORDS];
	uint64_t sum = 0;

	for (unsigned i = 0; i < WORDS; i++) {
		words[i] = (uint16_t)(i % 10 * 0x1111); /* 0 is passed on */
		sum += (uint64_t)(i + 1) * words[i];
	}
	string(w, words, WORDS, 2, true);
	assert_int_equal(page->s.written, WORDS);
	assert_int_equal(page->s.sum, sum);
}

#define READ_WORDS ((3 * FIFO_WORDS + 1) * (3 * FIFO_WORDS + 2) / 2) /* of read_all() */
#define ZEROES ((WORDS + 9) / 10)				     /* of write_all() */

static void test_off(void **state)
{
	struct world w;

	(void)state;
	build(&w, ACCEL_OFF, true);
	read_all(&w);
	write_all(&w);
	assert_int_equal(w.port.reads, READ_WORDS);
	assert_int_equal(w.port.writes, WORDS);
	assert_int_equal(counters(&w).answered + counters(&w).punted, 0);
	tear(&w);
}

/* The model sees the last word of each block and the zeroes; the rest never reaches it. */
static void assert_counts(const struct world *w)
{
	const struct accel_counters c = counters(w);

	assert_int_equal(c.why[FIFO_WHY_END], READ_WORDS / FIFO_WORDS);
	assert_int_equal(c.why[0], ZEROES);
	assert_int_equal(c.punted, READ_WORDS / FIFO_WORDS + ZEROES);
	assert_int_equal(c.answered + c.punted, READ_WORDS + WORDS);
}

static void test_on(void **state)
{
	struct world w;

	(void)state;
	build(&w, ACCEL_ON, true);
	read_all(&w);
	write_all(&w);
	assert_counts(&w);
	assert_int_equal(w.port.reads, READ_WORDS / FIFO_WORDS);
	assert_int_equal(w.port.writes, ZEROES);
	tear(&w);
}

static void test_check(void **state)
{
	struct world w;

	(void)state;
	build(&w, ACCEL_CHECK, true);
	read_all(&w);
	write_all(&w);
	assert_counts(&w);
	assert_int_equal(w.port.reads, READ_WORDS);
	assert_int_equal(w.port.writes, WORDS);
	tear(&w);
}

static void test_detached(void **state)
{
	struct world w;

	(void)state;
	build(&w, ACCEL_ON, true);
	accel_slot_detach(w.slot);
	read_all(&w);
	assert_int_equal(w.port.reads, READ_WORDS);
	assert_int_equal(counters(&w).punted, 0);
	tear(&w);
}

/* One call of the runtime takes the page once for a batch, not once for a word. */
static void test_one_call(void **state)
{
	uint16_t words[WORDS];
	struct fifo_page *page;
	struct world w;
	uint32_t before;

	(void)state;
	build(&w, ACCEL_ON, true);
	page = device_page(&w.port.dev);
	memset(words, 1, sizeof(words));
	before = page->head.seq;
	string(&w, words, WORDS, 2, true);
	assert_int_equal(page->s.written, WORDS);
	assert_in_range((page->head.seq - before) / 2, 1, WORDS / 16); /* the word moves on by 2 for each hold */
	tear(&w);
}

/* --stats counts each word under what became of it. */
static void test_stats(void **state)
{
	struct world w;
	struct stats *stats = stats_new(1);
	struct stats_run run = {.cpu = "test", .accel = "on", .cpus = 1, .reason = "end", .status = "ended"};
	char *text, want[200];
	json_t *report;

	(void)state;
	build(&w, ACCEL_ON, true);
	assert_non_null(stats);
	assert_int_equal(stats_attach(stats, &w.bus), 0);
	stats_switch(stats, &w.bus, true);
	read_all(&w);
	write_all(&w);
	assert_counts(&w);
	report = stats_json(stats, &w.bus, &run);
	assert_non_null(report);
	text = json_dumps(report, 0);
	assert_non_null(text);
	json_decref(report);
	for (unsigned i = 0; i < 2; i++) {
		const unsigned punted = i ? ZEROES : READ_WORDS / FIFO_WORDS;

		const unsigned all = i ? WORDS : READ_WORDS;

		snprintf(want, sizeof(want), "\"%s\": {\"accesses\": %u, \"answered\": %u, \"punted\": %u,",
			i ? "write" : "read", all, all - punted, punted);
		if (!strstr(text, want))
			fail_msg("no %s in %s", want, text);
	}
	free(text);
	tear(&w);
	stats_free(stats);
}

/* A trace has a line for each word, with the time of that word. */
static void test_trace(void **state)
{
	char path[] = "/tmp/test_bus_string.XXXXXX", line[200];
	uint16_t words[2 * FIFO_WORDS];
	struct accel_err err;
	unsigned lines = 0;
	struct trace *trace;
	struct world w;
	FILE *file;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	build(&w, ACCEL_ON, true);
	assert_int_equal(trace_open(path, 0, &trace, &err), 0);
	bus_set_watchers(&w.bus, trace, NULL);
	string(&w, words, 2 * FIFO_WORDS, 2, false);
	assert_words(words, 0, 2 * FIFO_WORDS);
	assert_int_equal(counters(&w).answered, 2 * (FIFO_WORDS - 1));
	assert_int_equal(trace_close(trace, &err), 0);
	file = fdopen(fd, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char want[64];

		if (line[0] == '#')
			continue;
		snprintf(want, sizeof(want), " r pio 0x1f0 2 0x%x\n", lines * 3);
		if (!strstr(line, want))
			fail_msg("line %u is %s, not %s", lines, line, want);
		lines++;
	}
	assert_int_equal(lines, 2 * FIFO_WORDS);
	fclose(file);
	remove(path);
	tear(&w);
}

/* Elements that the range does not take whole go part by part, through the same program. */
static void test_wide_and_narrow(void **state)
{
	uint32_t longs[FIFO_WORDS];
	uint8_t byte[2] = {0xaa, 0xaa};
	struct world w;

	(void)state;
	build(&w, ACCEL_ON, true);
	string(&w, longs, FIFO_WORDS, 4, false);
	assert_words((const uint16_t *)longs, 0, 2 * FIFO_WORDS);
	assert_int_equal(counters(&w).answered, 2 * (FIFO_WORDS - 1));
	string(&w, byte, 1, 1, false); /* taken whole, and passed on for its size */
	assert_int_equal(byte[0], (uint8_t)(2 * FIFO_WORDS * 3));
	assert_int_equal(byte[1], 0xaa);
	assert_int_equal(counters(&w).why[0], 1);
	tear(&w);
}

/* The model, asked for the last word of a block, moves the range away: the rest of the string reads what is there then. */
static void test_moves_away(void **state)
{
	uint16_t words[2 * FIFO_WORDS];
	struct world w;

	(void)state;
	build(&w, ACCEL_ON, true);
	w.port.moves = bus_find_name(&w.bus, "port");
	string(&w, words, 2 * FIFO_WORDS, 2, false);
	assert_words(words, 0, FIFO_WORDS);
	for (unsigned i = FIFO_WORDS; i < 2 * FIFO_WORDS; i++)
		assert_int_equal(words[i], 0xffff);
	tear(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_on),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_detached),
		cmocka_unit_test(test_one_call),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_wide_and_narrow),
		cmocka_unit_test(test_moves_away),
	};
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	snprintf(object_path, sizeof(object_path), "%.*s/../prog/fifo.bpf.o", slash ? (int)(slash - argv[0]) : 1,
		slash ? argv[0] : ".");
	return cmocka_run_group_tests_name("bus_string", tests, NULL, NULL);
}
