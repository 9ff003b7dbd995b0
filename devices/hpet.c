/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hpet.c: the HPET, the full model: configuration, comparators, interrupts by line and by message, legacy replacement.
 *
 * Nothing ticks: a timer's matches since the model last looked are worked out from the counter
 * (hpet_settle), on a write that concerns timers and when the one host timer, armed for the first
 * match that anybody can notice, comes due. Reads change nothing.
 * An edge leaves its line high until the timer's next one or until the timer no longer drives it: an
 * 8259 forgets an edge whose line falls before it is acknowledged.
 * What the guest reads is in bpf/hpet.h. mux_lock is inside every device's lock and outside the
 * interrupt controller's: the 8254 and the RTC drive their lines through it under their own.
 */
#include "devices/hpet.h"

#include <stdlib.h>

#include "bpf/hpet.h"
#include "vmm/bus.h"
#include "vmm/lock.h"

/* No need to wake for what is more than 90 years ahead; the product with the period fits 64 bits. */
#define HPET_FAR_TICKS (1ull << 58)

static const unsigned hpet_legacy_gsi[2] = {0, 8};

struct hpet {
	struct device dev;
	/* constant after init */
	struct irq_line gsi[HPET_GSIS];
	uint32_t route_cap;
	const struct irq_apic *apic; /* NULL: no FSB delivery */
	/* dev.lock */
	struct timer timer;
	bool held[HPET_TIMERS]; /* edge-triggered, its line is high since the last match */
	/* mux_lock */
	pthread_mutex_t mux_lock;
	bool is_legacy;	       /* LEG_RT_CNF: the two legacy lines are the HPET's */
	bool legacy_in[2];     /* what the 8254 and the RTC drive */
	bool level[HPET_GSIS]; /* what the HPET drives */
};

/* What is to be done once the page is let go. */
struct hpet_outcome {
	uint32_t edges;	 /* GSIs that rise anew */
	uint32_t levels; /* GSIs that are held high */
	bool is_legacy;
	bool is_armed;
	uint64_t deadline_ns; /* host time */
	struct irq_msi messages[HPET_TIMERS];
	uint32_t message_timers; /* those that have one */
};

static struct hpet_state *hpet_state_of(struct device *dev)
{
	struct hpet_page *page = device_page(dev);

	return &page->s;
}

static bool hpet_is_periodic(const struct hpet_timer *t)
{
	return t->config & HPET_TN_TYPE;
}

static bool hpet_is_level(const struct hpet_timer *t)
{
	return t->config & HPET_TN_INT_TYPE;
}

static bool hpet_is_enabled(const struct hpet_state *s)
{
	return s->config & HPET_ENABLE_CNF;
}

/* Timer n's interrupts are messages. [HPET] 2.3.5: legacy replacement comes before every route of timers 0 and 1. */
static bool hpet_is_fsb(const struct hpet_state *s, unsigned n)
{
	return (s->timers[n].config & HPET_TN_FSB_EN) && !((s->config & HPET_LEG_RT_CNF) && n < 2);
}

/* The GSI that timer n drives, as a bit; 0 when it is routed nowhere. */
static uint32_t hpet_gsi_bit(const struct hpet *h, const struct hpet_state *s, unsigned n)
{
	uint32_t route = (s->timers[n].config & HPET_TN_ROUTE) >> HPET_TN_ROUTE_SHIFT;

	if ((s->config & HPET_LEG_RT_CNF) && n < 2)
		return 1u << hpet_legacy_gsi[n];
	return hpet_is_fsb(s, n) ? 0 : h->route_cap & 1u << route;
}

/* Counter steps from `counter` to the timer's next match, never 0; 0 for one a full 2^64 away. */
static uint64_t hpet_distance(const struct hpet_timer *t, uint64_t counter)
{
	uint64_t mask = hpet_width_mask(t);
	uint64_t distance = (t->comparator - counter) & mask;

	return distance || mask == UINT64_MAX ? distance : mask + 1;
}

/*
 * Deals with timer n's matches in (seen, counter]: moves a periodic comparator on, sets the
 * status of a level-triggered timer, notes the edge of another. Page held, counter enabled.
 */
static void hpet_settle(struct hpet *h, struct hpet_state *s, unsigned n, uint64_t counter, struct hpet_outcome *todo)
{
	struct hpet_timer *t = &s->timers[n];
	uint64_t beyond;
	bool has_matched = hpet_has_matched(t, counter, &beyond);

	HR_STORE(t->comparator, hpet_comparator(s, t, counter));
	HR_STORE(t->seen, counter);
	if (!has_matched)
		return;
	if ((t->config & HPET_TN_INT_ENB) && hpet_is_fsb(s, n)) {
		todo->messages[n] = (struct irq_msi){.address = (uint32_t)(t->fsb >> 32), .data = (uint32_t)t->fsb};
		todo->message_timers |= 1u << n;
	}
	if (hpet_is_level(t)) {
		HR_STORE(s->isr, s->isr | 1u << n);
	} else if (!hpet_is_fsb(s, n) && (t->config & HPET_TN_INT_ENB)) {
		h->held[n] = true;
		todo->edges |= hpet_gsi_bit(h, s, n);
	}
}

static void hpet_settle_all(struct hpet *h, struct hpet_state *s, uint64_t now_ns, struct hpet_outcome *todo)
{
	uint64_t counter = hpet_counter(s, now_ns);

	for (unsigned n = 0; n < HPET_TIMERS && hpet_is_enabled(s); n++)
		hpet_settle(h, s, n, counter, todo);
}

/* A comparator that equals the counter when either is set matches at once: look again from one step back. */
static void hpet_rewind(struct hpet_state *s, unsigned n, uint64_t now_ns)
{
	HR_STORE(s->timers[n].seen, hpet_counter(s, now_ns) - 1);
}

/* The lines' levels and the next event. Page held, timers settled at now_ns. */
static void hpet_look(struct hpet *h, struct hpet_state *s, uint64_t now_ns, struct hpet_outcome *todo)
{
	uint64_t counter = hpet_counter(s, now_ns), distance, nearest = HPET_FAR_TICKS;

	todo->is_legacy = s->config & HPET_LEG_RT_CNF;
	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		struct hpet_timer *t = &s->timers[n];
		/* [HPET] 2.3.5: while the counter is halted no interrupts, but status stays */
		bool is_driving = hpet_is_enabled(s) && (t->config & HPET_TN_INT_ENB) && !hpet_is_fsb(s, n);

		h->held[n] &= is_driving && !hpet_is_level(t);
		if (is_driving && (hpet_is_level(t) ? s->isr >> n & 1 : h->held[n]))
			todo->levels |= hpet_gsi_bit(h, s, n);
		if (!hpet_is_enabled(s))
			continue;
		if (!hpet_is_level(t) && !(t->config & HPET_TN_INT_ENB))
			continue; /* nobody can notice a match */
		distance = hpet_distance(t, counter);
		if (hpet_is_periodic(t) && t->period && t->period < HPET_MIN_EVENT_TICKS &&
			distance < HPET_MIN_EVENT_TICKS)
			distance = HPET_MIN_EVENT_TICKS;
		if (distance && distance < nearest)
			nearest = distance;
	}
	todo->is_armed = nearest < HPET_FAR_TICKS;
	todo->deadline_ns = (hpet_ticks(s, now_ns) + nearest) * HPET_PERIOD_NS - (uint64_t)s->offset_ns;
}

/* Drives one input to what the HPET, or through it the legacy chip, wants. mux_lock held. */
static void hpet_drive(struct hpet *h, unsigned gsi)
{
	bool level = h->level[gsi];

	for (unsigned i = 0; i < 2 && !h->is_legacy; i++) {
		if (gsi == hpet_legacy_gsi[i])
			level = h->legacy_in[i];
	}
	irq_set(&h->gsi[gsi], level);
}

static void hpet_deliver(struct hpet *h, const struct hpet_outcome *todo)
{
	uint32_t ours = h->route_cap | 1u << hpet_legacy_gsi[0] | 1u << hpet_legacy_gsi[1];
	bool is_switched;

	pthread_mutex_lock(&h->mux_lock);
	is_switched = h->is_legacy != todo->is_legacy;
	h->is_legacy = todo->is_legacy;
	for (unsigned gsi = 0; gsi < HPET_GSIS; gsi++) {
		bool level = todo->levels >> gsi & 1;

		if (!(ours >> gsi & 1))
			continue;
		if ((todo->edges >> gsi & 1) && h->level[gsi]) {
			h->level[gsi] = false;
			hpet_drive(h, gsi);
		}
		if (level == h->level[gsi] && !is_switched)
			continue;
		h->level[gsi] = level;
		hpet_drive(h, gsi);
	}
	pthread_mutex_unlock(&h->mux_lock);
	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		/* a write to any other place would be one to memory, which this part does not do */
		if ((todo->message_timers >> n & 1) && todo->messages[n].address >> 20 == IRQ_MSI_BASE >> 20)
			(void)irq_send_msi(h->apic, &todo->messages[n]);
	}
	if (todo->is_armed)
		timer_arm(h->dev.clock, &h->timer, todo->deadline_ns);
	else
		timer_cancel(h->dev.clock, &h->timer);
}

static void hpet_legacy_set(void *opaque, unsigned pin, bool level)
{
	struct hpet *h = opaque;

	pthread_mutex_lock(&h->mux_lock);
	h->legacy_in[pin] = level;
	if (!h->is_legacy)
		hpet_drive(h, hpet_legacy_gsi[pin]);
	pthread_mutex_unlock(&h->mux_lock);
}

struct irq_line hpet_legacy_line(struct device *hpet, unsigned which)
{
	return (struct irq_line){.set = hpet_legacy_set, .opaque = hpet, .pin = which & 1};
}

static void hpet_fire(void *opaque)
{
	struct hpet *h = opaque;
	struct hpet_state *s = hpet_state_of(&h->dev);
	struct hpet_outcome todo = {0};
	uint64_t now_ns;

	pthread_mutex_lock(&h->dev.lock);
	page_begin(&h->dev);
	now_ns = device_now(&h->dev);
	hpet_settle_all(h, s, now_ns, &todo);
	hpet_look(h, s, now_ns, &todo);
	page_end(&h->dev);
	hpet_deliver(h, &todo);
	pthread_mutex_unlock(&h->dev.lock);
}

static void hpet_write_config(struct hpet_state *s, uint64_t value, uint64_t now_ns)
{
	uint64_t counter = hpet_counter(s, now_ns);
	bool was_enabled = hpet_is_enabled(s);

	HR_STORE(s->config, value & (HPET_ENABLE_CNF | HPET_LEG_RT_CNF));
	if (was_enabled == hpet_is_enabled(s))
		return;
	HR_STORE(s->halted, counter);
	HR_STORE(s->delta, counter - hpet_ticks(s, now_ns));
	for (unsigned n = 0; n < HPET_TIMERS; n++)
		hpet_rewind(s, n, now_ns);
}

static void hpet_write_counter(struct hpet_state *s, uint64_t value, uint64_t now_ns)
{
	HR_STORE(s->halted, value);
	HR_STORE(s->delta, value - hpet_ticks(s, now_ns));
	for (unsigned n = 0; n < HPET_TIMERS; n++)
		hpet_rewind(s, n, now_ns);
}

static void hpet_write_timer_config(struct hpet *h, struct hpet_state *s, unsigned n, uint64_t value)
{
	struct hpet_timer *t = &s->timers[n];
	uint64_t writable = HPET_TN_INT_TYPE | HPET_TN_INT_ENB | HPET_TN_TYPE | HPET_TN_VAL_SET | HPET_TN_32MODE;
	uint32_t route = (value & HPET_TN_ROUTE) >> HPET_TN_ROUTE_SHIFT;

	if (h->route_cap & 1u << route) /* [HPET] 2.3.8: an input that is not offered is not taken */
		writable |= HPET_TN_ROUTE;
	if (h->apic)
		writable |= HPET_TN_FSB_EN;
	if (!(value & HPET_TN_TYPE)) /* VAL_SET means nothing outside periodic mode */
		value &= ~HPET_TN_VAL_SET;
	HR_STORE(t->config, (t->config & ~writable) | (value & writable));
	HR_STORE(t->comparator, t->comparator & hpet_width_mask(t));
	HR_STORE(t->period, t->period & hpet_width_mask(t));
	if (!hpet_is_level(t))
		HR_STORE(s->isr, s->isr & ~(1ull << n));
}

/* [HPET] 2.3.9: in periodic mode a write sets the period, and the comparator too after VAL_SET. */
static void hpet_write_comparator(struct hpet_state *s, unsigned n, uint64_t bytes, uint64_t value, uint64_t now_ns)
{
	struct hpet_timer *t = &s->timers[n];
	uint64_t mask = hpet_width_mask(t);

	if (hpet_is_periodic(t))
		HR_STORE(t->period, ((t->period & ~bytes) | (value & bytes)) & mask);
	if (hpet_is_periodic(t) && !(t->config & HPET_TN_VAL_SET))
		return;
	HR_STORE(t->comparator, ((t->comparator & ~bytes) | (value & bytes)) & mask);
	HR_STORE(t->config, t->config & ~HPET_TN_VAL_SET);
	hpet_rewind(s, n, now_ns);
}

/* Writes the bytes of `value` that are set in `bytes` to the register at `reg`. Page held, timers settled. */
static void hpet_write_register(
	struct hpet *h, struct hpet_state *s, uint32_t reg, uint64_t bytes, uint64_t value, uint64_t now_ns)
{
	unsigned n = (reg - HPET_REG_TIMERS) / HPET_TIMER_STRIDE;

	if (reg == HPET_REG_CONFIG) {
		hpet_write_config(s, (s->config & ~bytes) | (value & bytes), now_ns);
	} else if (reg == HPET_REG_ISR) {
		HR_STORE(s->isr, s->isr & ~(value & bytes));
	} else if (reg == HPET_REG_COUNTER) {
		hpet_write_counter(s, (hpet_counter(s, now_ns) & ~bytes) | (value & bytes), now_ns);
	} else if (reg >= HPET_REG_TIMERS && n < HPET_TIMERS) {
		if (reg % HPET_TIMER_STRIDE == HPET_TIMER_CONFIG)
			hpet_write_timer_config(h, s, n, (s->timers[n].config & ~bytes) | (value & bytes));
		else if (reg % HPET_TIMER_STRIDE == HPET_TIMER_COMPARATOR)
			hpet_write_comparator(s, n, bytes, value, now_ns);
		else if (reg % HPET_TIMER_STRIDE == HPET_TIMER_FSB_ROUTE && h->apic)
			HR_STORE(s->timers[n].fsb, (s->timers[n].fsb & ~bytes) | (value & bytes));
	}
}

static void hpet_write(struct device *dev, struct io_req *req)
{
	struct hpet *h = (struct hpet *)dev;
	struct hpet_state *s = hpet_state_of(dev);
	uint32_t shift = (req->io.offset & 7) * 8;
	struct hpet_outcome todo = {0};
	uint64_t now_ns;

	page_begin(dev);
	now_ns = device_now(dev);
	hpet_settle_all(h, s, now_ns, &todo);
	hpet_write_register(
		h, s, req->io.offset & ~7u, hr_mask(~0ull, req->io.size) << shift, req->io.value << shift, now_ns);
	hpet_settle_all(h, s, now_ns, &todo);
	hpet_look(h, s, now_ns, &todo);
	page_end(dev);
	hpet_deliver(h, &todo);
}

static void hpet_read(struct device *dev, struct io_req *req)
{
	struct hpet_state *s = hpet_state_of(dev);
	uint64_t value;

	page_begin(dev);
	value = hpet_register(s, req->io.offset & ~7u, hpet_counter(s, device_now(dev)));
	page_end(dev);
	req->io.result = value >> ((req->io.offset & 7) * 8);
}

/* [HPET] 2.3: everything 0, comparators all ones. */
static void hpet_reset(struct device *dev)
{
	struct hpet *h = (struct hpet *)dev;
	struct hpet_state *s = hpet_state_of(dev);
	struct hpet_outcome todo = {0};
	uint64_t caps = (uint64_t)h->route_cap << 32 | HPET_TN_PER_INT_CAP | HPET_TN_SIZE_CAP;

	if (h->apic)
		caps |= HPET_TN_FSB_CAP;
	page_begin(dev);
	HR_STORE(s->config, 0);
	HR_STORE(s->isr, 0);
	HR_STORE(s->halted, 0);
	HR_STORE(s->delta, 0);
	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		HR_STORE(s->timers[n].config, caps);
		HR_STORE(s->timers[n].comparator, UINT64_MAX);
		HR_STORE(s->timers[n].period, 0);
		HR_STORE(s->timers[n].seen, 0);
		HR_STORE(s->timers[n].fsb, 0);
		h->held[n] = false;
	}
	page_end(dev);
	hpet_deliver(h, &todo);
}

static void hpet_destroy(struct device *dev)
{
	struct hpet *h = (struct hpet *)dev;

	timer_cancel(dev->clock, &h->timer);
	pthread_mutex_destroy(&h->mux_lock);
	device_cleanup(dev);
	free(h);
}

/*
 * [HPET] 2.3.9.2.2: when the main counter reaches the comparator's value there is an interrupt, and the comparator then moves
 * on by the period. So the comparator and the status of a level-triggered timer change when the counter matches.
 */
static uint64_t hpet_next_step(const struct device *dev, uint64_t after_ns)
{
	const struct hpet_page *page = device_page(dev);
	const struct hpet_state *s = &page->s;
	const uint64_t counter = hpet_counter(s, after_ns), status = hpet_status(s, counter);
	uint64_t nearest = HPET_FAR_TICKS;

	if (!(HR_LOAD(s->config) & HPET_ENABLE_CNF))
		return UINT64_MAX;
	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		const struct hpet_timer *t = &s->timers[n];
		const uint64_t config = HR_LOAD(t->config), mask = hpet_width_mask(t);
		const bool moves = (config & HPET_TN_TYPE) && (HR_LOAD(t->period) & mask);
		const bool sets = (config & HPET_TN_INT_TYPE) && !(status >> n & 1);
		uint64_t distance = (hpet_comparator(s, t, counter) - counter) & mask;

		if (!distance) /* a full turn away */
			distance = mask == UINT64_MAX ? mask : mask + 1;
		if ((moves || sets) && distance < nearest)
			nearest = distance;
	}
	if (nearest == HPET_FAR_TICKS)
		return UINT64_MAX;
	return (hpet_ticks(s, after_ns) + nearest) * HPET_PERIOD_NS - (uint64_t)HR_LOAD(s->offset_ns);
}

/* Periods so short that a page would have to show one step after the other all the time. */
static bool hpet_may_show(struct device *dev)
{
	const struct hpet_state *s = hpet_state_of(dev);

	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		const struct hpet_timer *t = &s->timers[n];

		if (hpet_is_periodic(t) && t->period && t->period < HPET_MIN_STEP_TICKS)
			return false;
	}
	return true;
}

static const struct device_steps hpet_steps = {.flow = HPET_REG_COUNTER, .next_ns = hpet_next_step};

static const struct device_ops hpet_ops = {.reset = hpet_reset, .destroy = hpet_destroy, .may_show = hpet_may_show};

static const struct reg_name hpet_regs[] = {{HPET_REG_CAPS, 8, "capabilities"}, {HPET_REG_CONFIG, 8, "configuration"},
	{HPET_REG_ISR, 8, "status"}, {HPET_REG_COUNTER, 8, "main counter"},
	{HPET_REG_TIMERS, HPET_TIMERS *HPET_TIMER_STRIDE, "timers"}, {0, 0, NULL}};

static const struct range hpet_range = {.name = "hpet",
	.bus = IO_MMIO,
	.base = HPET_BASE,
	.len = HPET_LEN,
	.width = 8,
	.flags = HR_PAGE_OK,
	.read = hpet_read,
	.write = hpet_write,
	.regs = hpet_regs,
	.steps = &hpet_steps,
	.mapped = true};

struct device *hpet_create(struct bus *bus, struct clock *clock, const struct irq_line gsi[HPET_GSIS],
	uint32_t route_cap, const struct irq_apic *apic)
{
	struct hpet *h = calloc(1, sizeof(*h));
	struct range range = hpet_range;

	if (!h)
		return NULL;
	if (device_init(&h->dev, "hpet", &hpet_ops, clock, HPET_STATE_VERSION, sizeof(struct hpet_page)))
		goto fail_free;
	for (unsigned i = 0; i < HPET_GSIS; i++)
		h->gsi[i] = gsi[i];
	h->route_cap = route_cap & ((1u << HPET_GSIS) - 1) & ~(1u << hpet_legacy_gsi[0] | 1u << hpet_legacy_gsi[1]);
	h->apic = apic;
	pthread_mutex_init(&h->mux_lock, NULL);
	lock_declare(&h->mux_lock, "hpet lines", LOCK_INNER);
	timer_init(&h->timer, hpet_fire, h);
	hpet_state_of(&h->dev)->offset_ns = -(int64_t)clock->start_ns;
	pthread_mutex_lock(&h->dev.lock);
	hpet_reset(&h->dev);
	pthread_mutex_unlock(&h->dev.lock);
	range.dev = &h->dev;
	if (!bus_add(bus, &range))
		goto fail_device;
	return &h->dev;

fail_device:
	pthread_mutex_destroy(&h->mux_lock);
	device_cleanup(&h->dev);
fail_free:
	free(h);
	return NULL;
}
