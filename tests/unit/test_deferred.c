// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_deferred.c: the queue of deferred writes without KVM: a ring of the test's own stands for the kernel's. A
 * device that records what reaches it proves the order: alone with timers, resets and a full queue, then with two
 * vCPU threads that write deferred and directly in turn, while others look at the device. Under ThreadSanitizer too.
 * And entries that no guest can have made.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/bus.h"
#include "vmm/clock.h"
#include "vmm/deferred.h"

#define PORT 0x5000 /* zones: 0x5000-0x5003, 0x5006; direct: the others to 0x500f */
#define MMIO 0xd0000000u
#define SPACE 16u
#define ENTRIES 12u /* of the test's ring: it is full all the time */
#define RING_BYTES (sizeof(struct kvm_coalesced_mmio_ring) + ENTRIES * sizeof(struct kvm_coalesced_mmio))
#define SEEN_MAX 64
#define VCPUS 2
#define TICKETS 20000

struct seen {
	uint64_t value;
	uint32_t offset, vcpu;
	uint8_t size;
};

struct recorder {
	struct device dev;
	/* lock */
	struct seen seen[SEEN_MAX];
	unsigned count;
	uint64_t last, wrong; /* tickets: each is the last one and 1 */
	uint8_t reg[SPACE];
};

static struct world {
	struct clock clock;
	struct bus bus;
	struct deferred deferred;
	struct recorder dev;
	struct range *pio, *mmio;
	struct kvm_coalesced_mmio_ring *ring;
	void (*on_write)(void); /* in the middle of a drain */
	/* what the guest shares */
	pthread_mutex_t guest_lock;
	uint64_t tickets;
	_Atomic uint64_t written; /* tickets whose write the guest has done */
	_Atomic unsigned running;
} w;

static void rec_read(struct device *dev, struct io_req *req)
{
	req->io.result = ((struct recorder *)dev)->last;
}

static void rec_write(struct device *dev, struct io_req *req)
{
	struct recorder *r = (struct recorder *)dev;

	if (r->count < SEEN_MAX)
		r->seen[r->count++] = (struct seen){req->io.value, req->io.offset, req->io.vcpu, req->io.size};
	r->reg[req->io.offset] = (uint8_t)req->io.value;
	r->wrong += req->io.value != r->last + 1;
	r->last = req->io.value;
	if (w.on_write)
		w.on_write();
}

static void rec_reset(struct device *dev)
{
	memset(((struct recorder *)dev)->reg, 0, SPACE);
}

static void rec_destroy(struct device *dev)
{
	(void)dev;
}

static const struct device_ops rec_ops = {.reset = rec_reset, .destroy = rec_destroy};
static const struct range_zone rec_zones[] = {{0, 4, false}, {6, 1, false}, {8, 2, true}, {0, 0, false}};

static void before_timer(void *opaque)
{
	deferred_drain(opaque);
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(clock_init(&w.clock, true), 0);
	assert_int_equal(bus_init(&w.bus, &w.clock, ACCEL_ON), 0);
	assert_int_equal(deferred_init(&w.deferred, &w.bus, VCPUS), 0);
	assert_int_equal(device_init(&w.dev.dev, "recorder", &rec_ops, &w.clock, 0, 0), 0);
	for (unsigned bus = 0; bus < IO_BUS_COUNT; bus++) {
		struct range *r = bus_add(&w.bus, &(struct range){.name = bus ? "rec.mmio" : "rec.pio",
							  .dev = &w.dev.dev,
							  .bus = (enum io_bus)bus,
							  .base = bus ? MMIO : PORT,
							  .len = SPACE,
							  .width = 8,
							  .read = rec_read,
							  .write = rec_write,
							  .deferred = rec_zones,
							  .mapped = true});

		assert_non_null(r);
		*(bus ? &w.mmio : &w.pio) = r;
	}
	w.ring = calloc(1, RING_BYTES);
	assert_non_null(w.ring);
	deferred_set_ring(&w.deferred, w.ring, RING_BYTES);
	w.clock.before_fire = before_timer;
	w.clock.before_opaque = &w.deferred;
	pthread_mutex_init(&w.guest_lock, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pthread_mutex_destroy(&w.guest_lock);
	deferred_destroy(&w.deferred);
	free(w.ring);
	device_cleanup(&w.dev.dev);
	bus_destroy(&w.bus);
	clock_destroy(&w.clock);
	return 0;
}

/* As KVM queues a write, under a lock that vCPUs share; false: the ring is full. */
static bool queue(enum io_bus bus, uint64_t addr, uint64_t value, uint32_t len)
{
	uint32_t last = __atomic_load_n(&w.ring->last, __ATOMIC_RELAXED), next = (last + 1) % ENTRIES;
	struct kvm_coalesced_mmio *e = &w.ring->coalesced_mmio[last];

	if (next == __atomic_load_n(&w.ring->first, __ATOMIC_ACQUIRE))
		return false;
	e->phys_addr = addr;
	e->len = len;
	e->pio = bus == IO_PIO;
	memcpy(e->data, &value, sizeof(e->data));
	__atomic_store_n(&w.ring->last, next, __ATOMIC_RELEASE);
	return true;
}

/* An exit. */
static uint64_t direct(uint32_t vcpu, uint64_t addr, bool is_write, uint64_t value, uint8_t size)
{
	struct io_req req = {
		.io = {.value = value, .vcpu = vcpu, .size = size, .is_write = is_write},
		.addr = addr,
		.bus = addr >= MMIO ? IO_MMIO : IO_PIO,
		.count = 1,
	};

	deferred_drain(&w.deferred);
	bus_io(&w.bus, &req);
	return req.io.result;
}

static void check_next(unsigned *i, uint32_t offset, unsigned size, uint64_t value, uint32_t vcpu)
{
	const struct seen *s = &w.dev.seen[(*i)++];

	assert_true(*i <= w.dev.count);
	assert_int_equal(s->offset, offset);
	assert_int_equal(s->size, size);
	assert_int_equal(s->value, value);
	assert_int_equal(s->vcpu, vcpu);
}

/* ---- what an entry becomes ---- */

static void test_parts(void **state)
{
	unsigned i = 0;

	(void)state;
	assert_true(queue(IO_PIO, PORT, 0xffffffffffffff11, 1)); /* the rest of data[] is not the guest's */
	assert_true(queue(IO_PIO, PORT + 2, 0x2222, 2));
	assert_true(queue(IO_PIO, PORT, 0x33333333, 4));
	assert_true(queue(IO_MMIO, MMIO, 0x8877665544332211, 8));
	assert_true(queue(IO_MMIO, MMIO + 1, 0x55443322, 4)); /* not aligned: 1, 2, 1 */
	assert_true(queue(IO_MMIO, MMIO + 8, 0x665544332211, 6));
	assert_int_equal(w.dev.count, 0);
	deferred_drain(&w.deferred);
	check_next(&i, 0, 1, 0x11, VCPUS);
	check_next(&i, 2, 2, 0x2222, VCPUS);
	check_next(&i, 0, 4, 0x33333333, VCPUS);
	check_next(&i, 0, 8, 0x8877665544332211, VCPUS);
	check_next(&i, 1, 1, 0x22, VCPUS);
	check_next(&i, 2, 2, 0x4433, VCPUS);
	check_next(&i, 4, 1, 0x55, VCPUS);
	check_next(&i, 8, 4, 0x44332211, VCPUS);
	check_next(&i, 12, 2, 0x6655, VCPUS);
	assert_int_equal(w.dev.count, i);
	assert_int_equal(w.ring->first, w.ring->last);
}

static void test_hostile(void **state)
{
	static const uint32_t lengths[] = {0, 3, 5, 8, 9, 255, 0x80000000, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_true(queue(IO_PIO, PORT, 1, lengths[i]));
		if (lengths[i] == 0 || lengths[i] > 8)
			assert_true(queue(IO_MMIO, MMIO, 1, lengths[i]));
		deferred_drain(&w.deferred);
	}
	/* neither bus */
	assert_true(queue(IO_MMIO, PORT, 1, 1));
	w.ring->coalesced_mmio[(w.ring->last + ENTRIES - 1) % ENTRIES].pio = 2;
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.count, 0);
	/* addresses that nobody has, and the end of the address space */
	assert_true(queue(IO_PIO, ~0ull, 1, 4));
	assert_true(queue(IO_PIO, 0x10000 + PORT, 1, 1));
	assert_true(queue(IO_MMIO, ~0ull - 2, 1, 8));
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.count, 0);
	/* an end outside the ring is none, and the queue goes on when it is right again */
	w.ring->last += ENTRIES;
	deferred_drain(&w.deferred);
	w.ring->last = 0xffffffff;
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.count, 0);
	/* nobody but us moves `first`: a wrong one is put right */
	w.ring->last = w.deferred.first;
	assert_true(queue(IO_PIO, PORT, 7, 1));
	w.ring->first = 0x12345678;
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.count, 1);
	assert_int_equal(w.ring->first, w.ring->last);
}

/* ---- order ---- */

static void test_order(void **state)
{
	unsigned i = 0;

	(void)state;
	for (unsigned round = 0; round < 5; round++) { /* the ring turns */
		w.dev.count = i = 0;
		assert_true(queue(IO_PIO, PORT, 1, 1));
		assert_true(queue(IO_MMIO, MMIO + 6, 2, 1));
		assert_int_equal(direct(0, PORT + 8, false, 0, 1), 2);
		direct(1, PORT + 8, true, 3, 1);
		direct(0, PORT, true, 4, 1); /* in a zone, but out of an exit: the ring was full or KVM refuses */
		assert_true(queue(IO_PIO, PORT + 1, 5, 1));
		direct(1, MMIO + 8, true, 6, 4);
		check_next(&i, 0, 1, 1, VCPUS);
		check_next(&i, 6, 1, 2, VCPUS);
		check_next(&i, 8, 1, 3, 1);
		check_next(&i, 0, 1, 4, 0);
		check_next(&i, 1, 1, 5, VCPUS);
		check_next(&i, 8, 4, 6, 1);
		assert_int_equal(w.dev.count, i);
	}
}

static void test_full(void **state)
{
	unsigned i = 0;

	(void)state;
	for (uint64_t n = 1; n <= 40; n++)
		if (!queue(IO_PIO, PORT + n % 4, n, 1))
			direct(0, PORT + n % 4, true, n, 1);
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.count, 40);
	for (uint64_t n = 1; n <= 40; n++)
		check_next(&i, n % 4, 1, n, n % ENTRIES == 0 ? 0 : VCPUS);
	assert_int_equal(w.dev.wrong, 0);
}

static struct {
	struct timer timer;
	uint8_t seen[4];
	unsigned fired;
} tick;

static void on_tick(void *opaque)
{
	struct recorder *r = opaque;

	pthread_mutex_lock(&r->dev.lock);
	tick.seen[tick.fired++] = r->reg[6];
	pthread_mutex_unlock(&r->dev.lock);
}

static void test_timers_and_reset(void **state)
{
	(void)state;
	memset(&tick, 0, sizeof(tick));
	timer_init(&tick.timer, on_tick, &w.dev);
	timer_arm(&w.clock, &tick.timer, 1000);
	assert_true(queue(IO_PIO, PORT + 6, 0x5a, 1)); /* and then the guest sleeps */
	clock_advance(&w.clock, 999);
	assert_int_equal(w.dev.count, 0);
	clock_advance(&w.clock, 2000);
	assert_int_equal(tick.fired, 1);
	assert_int_equal(tick.seen[0], 0x5a);
	/* the way of the event thread */
	timer_arm(&w.clock, &tick.timer, 1500);
	assert_true(queue(IO_MMIO, MMIO + 6, 0x5b, 1));
	clock_fire_due(&w.clock);
	assert_int_equal(tick.fired, 2);
	assert_int_equal(tick.seen[1], 0x5b);
	/* a reset drains first (vm_park.c): nothing written before it is seen after it */
	assert_true(queue(IO_PIO, PORT + 6, 0x5c, 1));
	deferred_drain(&w.deferred);
	rec_reset(&w.dev.dev);
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.reg[6], 0);
}

static void write_again(void)
{
	queue(IO_PIO, PORT, w.dev.last + 1, 1);
}

/* A vCPU that writes as fast as another drains does not keep it for ever. */
static void test_bounded(void **state)
{
	(void)state;
	queue(IO_PIO, PORT, 1, 1);
	queue(IO_PIO, PORT, 2, 1);
	w.on_write = write_again;
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.count, 2);
	w.on_write = NULL;
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.count, 4);
}

/* ---- threads ---- */

/*
 * A vCPU: takes the next ticket and writes it, deferred or by an exit, inside a guest's lock, so guest order is that
 * of the tickets.
 */
static void *vcpu_thread(void *arg)
{
	const uint32_t vcpu = (uint32_t)(uintptr_t)arg;
	uint32_t random = vcpu + 1;
	uint64_t n = 0;

	while (n < TICKETS) {
		random = random * 1103515245 + 12345;
		pthread_mutex_lock(&w.guest_lock); /* KVM's lock of the ring as well */
		n = ++w.tickets;
		if ((random >> 16 & 7) == 0 || !queue(random >> 20 & 1, random >> 20 & 1 ? MMIO : PORT, n, 4))
			direct(vcpu, PORT + 8, true, n, 4);
		atomic_store_explicit(&w.written, n, memory_order_release);
		pthread_mutex_unlock(&w.guest_lock);
		if ((random >> 24 & 15) == 0)
			sched_yield();
	}
	atomic_fetch_sub(&w.running, 1);
	return NULL;
}

/* A timer, a report, a reset: whatever the guest wrote before it, the device has. */
static void *looker_thread(void *arg)
{
	bool *is_behind = arg;

	while (atomic_load(&w.running)) {
		uint64_t before = atomic_load_explicit(&w.written, memory_order_acquire);

		deferred_drain(&w.deferred);
		pthread_mutex_lock(&w.dev.dev.lock);
		if (w.dev.last < before)
			*is_behind = true;
		pthread_mutex_unlock(&w.dev.dev.lock);
		sched_yield();
	}
	return NULL;
}

static void run_threads(enum accel_mode mode)
{
	bool is_behind[2] = {false, false};
	pthread_t vcpus[VCPUS], lookers[2];

	bus_set_mode(&w.bus, mode);
	atomic_store(&w.running, VCPUS);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_create(&vcpus[i], NULL, vcpu_thread, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&lookers[i], NULL, looker_thread, &is_behind[i]), 0);
	for (unsigned i = 0; i < VCPUS; i++)
		pthread_join(vcpus[i], NULL);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(lookers[i], NULL);
	deferred_drain(&w.deferred);
	assert_int_equal(w.dev.last, w.tickets);
	assert_int_equal(w.dev.wrong, 0);
	assert_false(is_behind[0] || is_behind[1]);
}

static void test_threads(void **state)
{
	(void)state;
	run_threads(ACCEL_ON);
}

static void test_threads_check(void **state)
{
	(void)state;
	run_threads(ACCEL_CHECK);
}

/* ---- where ---- */

static struct bus_zone told[BUS_MAX_ZONES];
static unsigned told_count, told_times;

static void zones_told(void *opaque, const struct bus_zone *zones, unsigned count)
{
	assert_ptr_equal(opaque, &w);
	memcpy(told, zones, count * sizeof(zones[0]));
	told_count = count;
	told_times++;
}

static bool has_zone(enum io_bus bus, uint64_t addr, uint32_t len)
{
	for (unsigned i = 0; i < told_count; i++) {
		if (told[i].bus == bus && told[i].addr == addr && told[i].len == len)
			return true;
	}
	return false;
}

static void test_zones(void **state)
{
	struct range over = {.name = "over", .dev = &w.dev.dev, .base = PORT + 3, .len = 1, .width = 1, .mapped = true};

	(void)state;
	bus_set_zone_watcher(&w.bus, zones_told, &w);
	assert_int_equal(told_count, 4);
	assert_true(has_zone(IO_PIO, PORT, 4) && has_zone(IO_PIO, PORT + 6, 1));
	assert_true(has_zone(IO_MMIO, MMIO, 4) && has_zone(IO_MMIO, MMIO + 6, 1));
	/* a gated one is there while its range's gate is open */
	bus_open_gate(&w.bus, w.mmio, true);
	assert_true(told_count == 5 && has_zone(IO_MMIO, MMIO + 8, 2));
	told_times = 0;
	bus_open_gate(&w.bus, w.mmio, true);
	assert_int_equal(told_times, 0);
	bus_open_gate(&w.bus, w.mmio, false);
	assert_true(told_count == 4 && !has_zone(IO_MMIO, MMIO + 8, 2));
	/* they move with their range */
	bus_map(&w.bus, w.mmio, 0xe0000000);
	assert_true(told_count == 4 && has_zone(IO_MMIO, 0xe0000000, 4) && has_zone(IO_MMIO, 0xe0000006, 1));
	bus_unmap(&w.bus, w.mmio);
	assert_true(told_count == 2 && has_zone(IO_PIO, PORT, 4));
	/* none at the end of the address space */
	bus_map(&w.bus, w.mmio, ~0ull - 2);
	assert_int_equal(told_count, 2);
	/* not where another range lies over some of it */
	assert_non_null(bus_add(&w.bus, &over));
	assert_true(told_count == 1 && has_zone(IO_PIO, PORT + 6, 1));
	/* never with models only */
	bus_set_mode(&w.bus, ACCEL_OFF);
	assert_int_equal(told_count, 0);
	bus_set_mode(&w.bus, ACCEL_CHECK);
	assert_int_equal(told_count, 1);
	bus_set_zone_watcher(&w.bus, NULL, NULL);
	told_times = 0;
	bus_map(&w.bus, w.mmio, MMIO);
	assert_int_equal(told_times, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parts),
		TEST(test_hostile),
		TEST(test_order),
		TEST(test_full),
		TEST(test_timers_and_reset),
		TEST(test_bounded),
		TEST(test_threads),
		TEST(test_threads_check),
		TEST(test_zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
