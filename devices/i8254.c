/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8254.c: the 8254 interval timer and port 0x61, the full model.
 *
 * What a counter shows at a moment is computed in bpf/i8254.h; here is what changes it: control
 * words, counts, GATE 2. Reads and latch commands go through the same functions as the programs'
 * and leave everything else alone, so that both leave identical pages.
 * IRQ 0 gets the rising edges of OUT 0. A timer is armed for the next one; edges that passed while
 * nobody looked are one edge. The line then stays high until the next edge or until a write takes
 * OUT low: an 8259 forgets an edge whose line falls before it is acknowledged, and a late host must
 * not lose one that way.
 */
#include "devices/i8254.h"

#include <stdlib.h>

#include "bpf/i8254.h"
#include "vmm/bus.h"

/* A guest may program OUT 0 faster than a host can follow: timer events are at least this far apart. */
#define I8254_MIN_EVENT_NS 20000

struct i8254 {
	struct device dev;
	/* constant after init */
	struct irq_line out0;
	/* dev.lock */
	struct timer timer;
	uint64_t seen_tick; /* OUT 0's edges up to here have been delivered */
	bool line_level;    /* as last driven */
};

/* What is to be done about OUT 0 once the page is let go. */
struct i8254_outcome {
	bool has_risen;
	bool has_dropped; /* by a write, after any rise */
	bool is_armed;
	uint64_t deadline_ns; /* host time */
};

static struct i8254_state *i8254_state_of(struct device *dev)
{
	struct i8254_page *page = device_page(dev);

	return &page->s;
}

/* Pulses after `tick` until OUT rises by itself; 0: it will not. t is settled. */
static uint64_t i8254_next_rise(const struct i8254_timing *t, uint64_t tick)
{
	uint32_t mode = i8254_mode(t->control);
	uint64_t elapsed;

	if (t->is_idle || !i8254_is_counting(t))
		return 0;
	elapsed = i8254_elapsed(t, tick);
	if (mode <= 1)
		return elapsed < t->n ? t->n - elapsed : 0;
	if (mode >= 4)
		return elapsed <= t->n ? t->n + 1 - elapsed : 0;
	/* a count of 1 has no second phase: OUT stays as it is */
	return t->n > 1 ? t->n - elapsed % t->n : 0;
}

/* The first tick after `tick` at which OUT rises by itself, a pending load included; 0: none. */
static uint64_t i8254_rise_tick(struct i8254_timing t, uint64_t tick)
{
	uint64_t rise;
	bool before;

	i8254_settle(&t, tick);
	rise = i8254_next_rise(&t, tick);
	if (!t.is_pending || (rise && rise < t.load_tick - tick))
		return rise ? tick + rise : 0;
	tick = t.load_tick;
	before = i8254_out(&t, tick - 1);
	i8254_settle(&t, tick);
	if (!before && i8254_out(&t, tick))
		return tick;
	rise = i8254_next_rise(&t, tick);
	return rise ? tick + rise : 0;
}

/* Whether OUT 0 rose by itself since it was last looked at. Page held; `tick` is now. */
static bool i8254_has_risen(struct i8254 *d, struct i8254_state *s, uint64_t tick)
{
	uint64_t rise = i8254_rise_tick(i8254_get(&s->counters[0].t), d->seen_tick);

	d->seen_tick = tick;
	return rise && rise <= tick;
}

/* When OUT 0 rises next. Page held; `tick` is now. */
static void i8254_look(struct i8254_state *s, uint64_t tick, struct i8254_outcome *todo)
{
	uint64_t rise = i8254_rise_tick(i8254_get(&s->counters[0].t), tick);

	todo->is_armed = rise != 0;
	todo->deadline_ns = hr_ticks_to_ns(rise, I8254_HZ) - (uint64_t)s->offset_ns;
}

static bool i8254_out0(const struct i8254_state *s, uint64_t tick)
{
	struct i8254_timing t = i8254_get(&s->counters[0].t);

	i8254_settle(&t, tick);
	return i8254_out(&t, tick);
}

static void i8254_drive(struct i8254 *d, bool level)
{
	if (level != d->line_level)
		irq_set(&d->out0, level);
	d->line_level = level;
}

static void i8254_deliver(struct i8254 *d, const struct i8254_outcome *todo)
{
	if (todo->has_risen) {
		i8254_drive(d, false);
		i8254_drive(d, true);
	}
	if (todo->has_dropped)
		i8254_drive(d, false);
	if (todo->is_armed)
		timer_arm(d->dev.clock, &d->timer, todo->deadline_ns);
	else
		timer_cancel(d->dev.clock, &d->timer);
}

static void i8254_fire(void *opaque)
{
	struct i8254 *d = opaque;
	struct i8254_state *s = i8254_state_of(&d->dev);
	struct i8254_outcome todo = {0};
	uint64_t now_ns, tick;

	pthread_mutex_lock(&d->dev.lock);
	page_begin(&d->dev);
	now_ns = device_now(&d->dev);
	tick = i8254_tick(s, now_ns);
	todo.has_risen = i8254_has_risen(d, s, tick);
	i8254_look(s, tick, &todo);
	page_end(&d->dev);
	if (todo.deadline_ns < now_ns + I8254_MIN_EVENT_NS)
		todo.deadline_ns = now_ns + I8254_MIN_EVENT_NS;
	i8254_deliver(d, &todo);
	pthread_mutex_unlock(&d->dev.lock);
}

static void i8254_load_next(struct i8254_timing *t, uint64_t tick, uint32_t n)
{
	t->is_pending = 1;
	t->load_low = 0;
	t->load_tick = tick;
	t->load_n = n;
}

/* Stops counting until the next load; the counting element keeps what it shows. t is settled. */
static void i8254_stop(struct i8254_timing *t, uint64_t tick)
{
	t->idle_ce = i8254_ce(t, tick);
	t->is_idle = 1;
	t->is_pending = 0;
}

/* A count register value as a number; a BCD digit above 9 counts as what it is. */
static uint32_t i8254_number(uint16_t value, bool is_bcd)
{
	uint32_t n = value;

	if (is_bcd)
		n = ((value >> 12) * 1000u + (value >> 8 & 15) * 100u + (value >> 4 & 15) * 10u + (value & 15)) % 10000;
	return n ? n : is_bcd ? 10000 : 65536;
}

/* Modes 2 and 3 take a new count at the end of the current cycle or half-cycle. t counts. */
static void i8254_load_at_end(struct i8254_timing *t, uint64_t tick, uint32_t n)
{
	uint64_t phase = i8254_elapsed(t, tick) % t->n;
	uint64_t high = i8254_high_half(t->n);

	if (i8254_mode(t->control) == 3 && phase < high) {
		i8254_load_next(t, tick + (high - phase), n);
		t->load_low = 1;
	} else {
		i8254_load_next(t, tick + (t->n - phase), n);
	}
}

static void i8254_write_count(struct i8254_counter *c, uint64_t tick, uint8_t byte)
{
	struct i8254_timing t = i8254_get(&c->t);
	uint32_t mode = i8254_mode(t.control), rw = i8254_rw(t.control);
	uint16_t value = rw == I8254_RW_MSB ? (uint16_t)(byte << 8) : byte;
	bool is_first = !c->has_count;
	uint32_t n;

	i8254_settle(&t, tick);
	if (rw == I8254_RW_BOTH && !c->write_msb) {
		HR_STORE(c->write_lsb, byte);
		HR_STORE(c->write_msb, 1);
		if (mode == 0) /* [8254] Mode 0: the first byte disables counting, OUT goes low */
			i8254_stop(&t, tick);
		i8254_put(&c->t, &t);
		return;
	}
	if (rw == I8254_RW_BOTH) {
		value = (uint16_t)(byte << 8 | c->write_lsb);
		HR_STORE(c->write_msb, 0);
	}
	n = i8254_number(value, t.control & I8254_BCD);
	HR_STORE(c->reload, n);
	HR_STORE(c->has_count, 1);
	t.is_null = 1;
	switch (mode) {
	case 0:
		i8254_stop(&t, tick);
		i8254_load_next(&t, tick + 1, n);
		break;
	case 4:
		i8254_load_next(&t, tick + 1, n);
		break;
	case 2:
	case 3:
		if (is_first || t.is_idle)
			i8254_load_next(&t, tick + 1, n);
		else if (t.gate)
			i8254_load_at_end(&t, tick, n);
		break; /* else GATE's rising edge will load it */
	default:
		if (t.is_pending) /* triggered, and the pulse that loads is still to come */
			t.load_n = n;
		break;
	}
	i8254_put(&c->t, &t);
}

static void i8254_write_control(struct i8254_counter *c, uint64_t tick, uint8_t value)
{
	struct i8254_timing t = i8254_get(&c->t);

	i8254_settle(&t, tick);
	i8254_stop(&t, tick);
	t.control = value & 0x3f;
	t.is_null = 1;
	i8254_put(&c->t, &t);
	HR_STORE(c->has_count, 0);
	HR_STORE(c->is_latched, 0);
	HR_STORE(c->has_status, 0);
	HR_STORE(c->read_msb, 0);
	HR_STORE(c->write_msb, 0);
}

/* [8254] Gate Pin Operations Summary. */
static void i8254_set_gate(struct i8254_counter *c, uint64_t tick, uint8_t level)
{
	struct i8254_timing t = i8254_get(&c->t);
	uint32_t mode = i8254_mode(t.control);
	bool is_periodic = mode == 2 || mode == 3;

	if (t.gate == level)
		return;
	i8254_settle(&t, tick);
	if (mode == 1 || mode == 5) {
		if (level && c->has_count)
			i8254_load_next(&t, tick + 1, c->reload);
	} else if (!level) {
		if (!t.is_idle) {
			t.base = i8254_elapsed(&t, tick);
			t.ref_tick = tick;
			if (is_periodic)
				t.is_pending = 0; /* the end of the cycle will not come */
		}
	} else if (!is_periodic) {
		/* mode 4's strobe is over by now: the same count, one turn of the counter later */
		if (mode == 4 && t.base == t.n && tick != t.ref_tick)
			t.base += t.control & I8254_BCD ? 10000 : 65536;
		t.ref_tick = tick;
	} else {
		i8254_stop(&t, tick);
		if (c->has_count)
			i8254_load_next(&t, tick + 1, c->reload);
	}
	t.gate = level;
	i8254_put(&c->t, &t);
}

static void i8254_read(struct device *dev, struct io_req *req)
{
	struct i8254_state *s = i8254_state_of(dev);
	struct i8254_counter *c;
	uint8_t byte;

	if (req->io.offset == 3) {
		req->io.result = I8254_NO_REGISTER;
		return;
	}
	c = &s->counters[req->io.offset];
	page_begin(dev);
	if (!i8254_read_latched(c, &byte))
		byte = i8254_read_live(c, i8254_tick(s, device_now(dev)));
	page_end(dev);
	req->io.result = byte;
}

static void i8254_write(struct device *dev, struct io_req *req)
{
	struct i8254 *d = (struct i8254 *)dev;
	struct i8254_state *s = i8254_state_of(dev);
	uint8_t value = (uint8_t)req->io.value;
	struct i8254_outcome todo = {0};
	uint64_t tick;
	bool before, after;

	page_begin(dev);
	tick = i8254_tick(s, device_now(dev));
	if (req->io.offset == 3 && i8254_is_latch_command(value)) {
		i8254_latch_command(s, tick, value);
		page_end(dev);
		return;
	}
	todo.has_risen = i8254_has_risen(d, s, tick);
	before = i8254_out0(s, tick);
	if (req->io.offset == 3)
		i8254_write_control(&s->counters[value >> 6], tick, value);
	else
		i8254_write_count(&s->counters[req->io.offset], tick, value);
	after = i8254_out0(s, tick);
	todo.has_risen |= !before && after;
	todo.has_dropped = before && !after;
	i8254_look(s, tick, &todo);
	page_end(dev);
	i8254_deliver(d, &todo);
}

static void port61_read(struct device *dev, struct io_req *req)
{
	struct i8254_state *s = i8254_state_of(dev);

	page_begin(dev);
	req->io.result = i8254_port61(s, i8254_tick(s, device_now(dev)));
	page_end(dev);
}

static void port61_write(struct device *dev, struct io_req *req)
{
	struct i8254_state *s = i8254_state_of(dev);
	uint8_t value = req->io.value & PORT61_WRITABLE;

	page_begin(dev);
	i8254_set_gate(&s->counters[2], i8254_tick(s, device_now(dev)), value & PORT61_GATE2);
	HR_STORE(s->port61, value);
	page_end(dev);
}

/* The 8254 has no reset and comes up undefined: here in mode 0 with OUT low, nothing counting. */
/* What a counter remembers of times gone by is no state of a new one. Page held. */
static void i8254_forget(struct i8254_counter *c)
{
	uint8_t *bytes = (uint8_t *)c;

	for (size_t i = 0; i < sizeof(*c); i++)
		HR_STORE(bytes[i], 0);
}

static void i8254_reset(struct device *dev)
{
	struct i8254 *d = (struct i8254 *)dev;
	struct i8254_state *s = i8254_state_of(dev);
	struct i8254_outcome todo = {.has_dropped = true};

	page_begin(dev);
	d->seen_tick = i8254_tick(s, device_now(dev));
	for (unsigned i = 0; i < 3; i++) {
		i8254_forget(&s->counters[i]);
		i8254_write_control(&s->counters[i], d->seen_tick, I8254_RW_BOTH << I8254_RW_SHIFT);
		HR_STORE(s->counters[i].t.idle_ce, 0);
		HR_STORE(s->counters[i].t.gate, i != 2);
	}
	HR_STORE(s->port61, 0);
	page_end(dev);
	i8254_deliver(d, &todo);
}

static void i8254_destroy(struct device *dev)
{
	struct i8254 *d = (struct i8254 *)dev;

	timer_cancel(dev->clock, &d->timer);
	device_cleanup(dev);
	free(d);
}

static const struct device_ops i8254_ops = {.reset = i8254_reset, .destroy = i8254_destroy};

static const struct reg_name i8254_regs[] = {
	{0, 1, "counter 0"}, {1, 1, "counter 1"}, {2, 1, "counter 2"}, {3, 1, "control"}, {0, 0, NULL}};
static const struct reg_name port61_regs[] = {{0, 1, "port 0x61"}, {0, 0, NULL}};

static const struct range i8254_range = {.name = "i8254",
	.bus = IO_PIO,
	.base = 0x40,
	.len = 4,
	.width = 1,
	.read = i8254_read,
	.write = i8254_write,
	.regs = i8254_regs,
	.mapped = true};
static const struct range port61_range = {.name = "port61",
	.bus = IO_PIO,
	.base = 0x61,
	.len = 1,
	.width = 1,
	.read = port61_read,
	.write = port61_write,
	.regs = port61_regs,
	.mapped = true};

struct device *i8254_create(struct bus *bus, struct clock *clock, struct irq_line out0)
{
	struct i8254 *d = calloc(1, sizeof(*d));
	struct range timer = i8254_range, port61 = port61_range;

	if (!d)
		return NULL;
	if (device_init(&d->dev, "i8254", &i8254_ops, clock, I8254_STATE_VERSION, sizeof(struct i8254_page)))
		goto fail_free;
	d->out0 = out0;
	timer_init(&d->timer, i8254_fire, d);
	i8254_state_of(&d->dev)->offset_ns = -(int64_t)clock->start_ns;
	pthread_mutex_lock(&d->dev.lock);
	i8254_reset(&d->dev);
	pthread_mutex_unlock(&d->dev.lock);
	timer.dev = port61.dev = &d->dev;
	if (!bus_add(bus, &timer) || !bus_add(bus, &port61))
		goto fail_device;
	return &d->dev;

fail_device:
	/* a range that was added stays with the bus: the caller gives up the machine as a whole */
	device_cleanup(&d->dev);
fail_free:
	free(d);
	return NULL;
}
