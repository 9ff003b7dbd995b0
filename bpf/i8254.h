/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i8254.h: the 8254's guest-visible state and arithmetic, for the model and the programs.
 *
 * Time is counted in CLK pulses since guest time 0; pulse number k is the moment at which
 * floor(guest_ns * hz / 10^9) becomes k. Nothing ticks: a counter remembers at which pulse it was
 * loaded with what, and the counting element, OUT and the null count follow from the present pulse.
 * A write that takes effect "on the next CLK pulse" is a pending load; until then the old holds.
 * The functions work on a copy (i8254_get), so that shared fields are
 * touched only through HR_LOAD and HR_STORE.
 */
#ifndef BPF_I8254_H
#define BPF_I8254_H

#include "bpf/hr.h"

#define I8254_HZ 1193182u
#define I8254_STATE_VERSION 1

/* [8254] Read/Write Logic: reading the control register is no operation, the bus floats. */
#define I8254_NO_REGISTER 0xff

/* Port 0x61 ([82371AB] NMI Status and Control Register). */
#define PORT61_GATE2 0x01
#define PORT61_SPEAKER 0x02
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH 0x10
#define PORT61_OUT2 0x20
/* The refresh toggle flips with each refresh request: every 18 CLK pulses, 15.085 us. */
#define PORT61_REFRESH_TICKS 18

/* Bits of `control`, laid out as in the control word and the status byte. */
#define I8254_BCD 0x01
#define I8254_RW_SHIFT 4
#define I8254_RW_LSB 1
#define I8254_RW_MSB 2
#define I8254_RW_BOTH 3
#define I8254_STATUS_OUT 0x80
#define I8254_STATUS_NULL 0x40

/* Where a counter is in its counting. 40 bytes, no holes. */
struct i8254_timing {
	uint64_t ref_tick;  /* the pulse at which `base` pulses had been counted */
	uint64_t base;	    /* pulses counted from the load to ref_tick, where counting may have stopped */
	uint64_t load_tick; /* is_pending: the pulse that loads load_n */
	uint32_t n;	    /* the loaded count as a number, 1..65536 */
	uint32_t load_n;
	uint16_t idle_ce; /* is_idle: what the counting element shows */
	uint8_t control;  /* RW1 RW0 M2 M1 M0 BCD exactly as written */
	uint8_t gate;	  /* level of the GATE pin */
	uint8_t is_idle;  /* not counting: programmed, but not loaded or triggered since */
	uint8_t is_pending;
	uint8_t load_low; /* the pending load begins in mode 3's low half */
	uint8_t is_null;  /* CR not loaded yet, unless the pending load has come due */
};

struct i8254_counter {
	struct i8254_timing t;
	uint32_t reload;   /* the count register (CR) as a number */
	uint16_t latch;	   /* is_latched: the output latch */
	uint8_t has_count; /* CR written since the control word */
	uint8_t is_latched;
	uint8_t has_status; /* a status byte is latched, in `status` */
	uint8_t status;
	uint8_t read_msb; /* two-byte access: next comes the high byte */
	uint8_t write_msb;
	uint8_t write_lsb; /* the low byte while write_msb */
	uint8_t pad[3];
};

struct i8254_state {
	int64_t offset_ns;
	struct i8254_counter counters[3];
	uint8_t port61; /* the writable bits */
	uint8_t pad[7];
};

struct i8254_page {
	struct hr_page head;
	struct i8254_state s;
};

/* A private copy, read field by field; and back. */
static inline struct i8254_timing i8254_get(const struct i8254_timing *t)
{
	struct i8254_timing copy = {
		.ref_tick = HR_LOAD(t->ref_tick),
		.base = HR_LOAD(t->base),
		.load_tick = HR_LOAD(t->load_tick),
		.n = HR_LOAD(t->n),
		.load_n = HR_LOAD(t->load_n),
		.idle_ce = HR_LOAD(t->idle_ce),
		.control = HR_LOAD(t->control),
		.gate = HR_LOAD(t->gate),
		.is_idle = HR_LOAD(t->is_idle),
		.is_pending = HR_LOAD(t->is_pending),
		.load_low = HR_LOAD(t->load_low),
		.is_null = HR_LOAD(t->is_null),
	};

	return copy;
}

static inline void i8254_put(struct i8254_timing *t, const struct i8254_timing *from)
{
	HR_STORE(t->ref_tick, from->ref_tick);
	HR_STORE(t->base, from->base);
	HR_STORE(t->load_tick, from->load_tick);
	HR_STORE(t->n, from->n);
	HR_STORE(t->load_n, from->load_n);
	HR_STORE(t->idle_ce, from->idle_ce);
	HR_STORE(t->control, from->control);
	HR_STORE(t->gate, from->gate);
	HR_STORE(t->is_idle, from->is_idle);
	HR_STORE(t->is_pending, from->is_pending);
	HR_STORE(t->load_low, from->load_low);
	HR_STORE(t->is_null, from->is_null);
}

static inline uint64_t i8254_tick(const struct i8254_state *s, uint64_t host_ns)
{
	return hr_ns_to_ticks(host_ns + (uint64_t)HR_LOAD(s->offset_ns), I8254_HZ);
}

/* The mode 0..5; M2 is "don't care" for modes 2 and 3 ([8254] Control Word Format). */
static inline uint32_t i8254_mode(uint8_t control)
{
	uint32_t mode = (control >> 1) & 7;

	return mode > 5 ? mode - 4 : mode;
}

static inline uint32_t i8254_rw(uint8_t control)
{
	return (control >> I8254_RW_SHIFT) & 3;
}

/* Length of mode 3's high half: (N + 1) / 2 for odd, N / 2 for even counts. */
static inline uint64_t i8254_high_half(uint32_t n)
{
	return ((uint64_t)n + 1) / 2;
}

/* GATE as a level enables counting in modes 0, 2, 3, 4; in 1 and 5 only its rising edge counts. */
static inline bool i8254_is_counting(const struct i8254_timing *t)
{
	uint32_t mode = i8254_mode(t->control);

	return mode == 1 || mode == 5 || t->gate;
}

/* Carries out, in the copy, a pending load that has come due by `tick`. */
static inline void i8254_settle(struct i8254_timing *t, uint64_t tick)
{
	if (!t->is_pending || tick < t->load_tick)
		return;
	t->n = t->load_n;
	t->base = t->load_low ? i8254_high_half(t->load_n) : 0;
	t->ref_tick = t->load_tick;
	t->is_pending = 0;
	t->is_idle = 0;
	t->is_null = 0;
}

/* Pulses counted since the load. t is settled and not idle. */
static inline uint64_t i8254_elapsed(const struct i8254_timing *t, uint64_t tick)
{
	return t->base + (i8254_is_counting(t) ? tick - t->ref_tick : 0);
}

/* Four BCD digits as the counting element holds them. */
static inline uint16_t i8254_to_bcd(uint32_t v)
{
	return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

/* The counting element. t is settled. */
static inline uint16_t i8254_ce(const struct i8254_timing *t, uint64_t tick)
{
	uint32_t wrap = t->control & I8254_BCD ? 10000 : 65536;
	uint32_t mode = i8254_mode(t->control);
	uint32_t n = t->n ? t->n : wrap;
	uint64_t elapsed, p, high;
	uint32_t ce;

	if (t->is_idle)
		return t->idle_ce;
	elapsed = i8254_elapsed(t, tick);
	if (mode == 2) {
		ce = n - (uint32_t)(elapsed % n);
	} else if (mode == 3) {
		p = elapsed % n;
		high = i8254_high_half(n);
		if (p >= high)
			p -= high;
		ce = (n & ~1u) - 2 * (uint32_t)p;
	} else {
		/* counts through zero and on from the highest value */
		ce = n % wrap + wrap - (uint32_t)(elapsed % wrap);
	}
	ce %= wrap;
	return t->control & I8254_BCD ? i8254_to_bcd(ce) : (uint16_t)ce;
}

/* The OUT pin. t is settled. */
static inline bool i8254_out(const struct i8254_timing *t, uint64_t tick)
{
	uint32_t mode = i8254_mode(t->control);
	uint32_t n = t->n ? t->n : 65536;
	uint64_t elapsed;

	if (t->is_idle)
		return mode != 0;
	elapsed = i8254_elapsed(t, tick);
	if (mode <= 1)
		return elapsed >= n;
	if (mode >= 4) /* low for one pulse, also when GATE stops the counting there */
		return elapsed != n || (!i8254_is_counting(t) && tick != t->ref_tick);
	if (!t->gate)
		return true;
	if (mode == 2)
		return elapsed % n != n - 1;
	return elapsed % n < i8254_high_half(n);
}

/* The status byte ([8254] Read-Back Command, Status Byte). t is settled. */
static inline uint8_t i8254_status(const struct i8254_timing *t, uint64_t tick)
{
	return (i8254_out(t, tick) ? I8254_STATUS_OUT : 0) | (t->is_null ? I8254_STATUS_NULL : 0) | (t->control & 0x3f);
}

/* Latches what `what` says, unless it is latched already: the first one holds until it is read. */
#define I8254_LATCH_COUNT 1
#define I8254_LATCH_STATUS 2

static inline void i8254_latch(struct i8254_counter *shared, uint64_t tick, uint32_t what)
{
	struct i8254_timing t = i8254_get(&shared->t);

	i8254_settle(&t, tick);
	if ((what & I8254_LATCH_COUNT) && !HR_LOAD(shared->is_latched)) {
		HR_STORE(shared->latch, i8254_ce(&t, tick));
		HR_STORE(shared->is_latched, 1);
	}
	if ((what & I8254_LATCH_STATUS) && !HR_LOAD(shared->has_status)) {
		HR_STORE(shared->status, i8254_status(&t, tick));
		HR_STORE(shared->has_status, 1);
	}
}

/*
 * Writes to the control register that only latch: the counter latch command (RW = 00) and the
 * read-back command (SC = 11). Returns false, nothing done, for a control word proper.
 */
static inline bool i8254_is_latch_command(uint8_t value)
{
	return (value & 0xc0) == 0xc0 || (value & 0x30) == 0;
}

static inline void i8254_latch_command(struct i8254_state *s, uint64_t tick, uint8_t value)
{
	const bool is_read_back = (value & 0xc0) == 0xc0;
	uint32_t select = is_read_back ? (uint32_t)value >> 1 : 1u << (value >> 6);
	uint32_t what = (~(uint32_t)value >> 5 & I8254_LATCH_COUNT) | (~(uint32_t)value >> 3 & I8254_LATCH_STATUS);

	/* so, that a verifier sees first what may be anything, and finds the counter latch among it */
	if (!is_read_back)
		what = I8254_LATCH_COUNT;
	select &= 7;
	for (uint32_t i = 0; i < 3; i++) {
		if (select >> i & 1)
			i8254_latch(&s->counters[i], tick, what);
	}
}

/* Picks the byte that a read of `value` gets and moves the read flip-flop; true after the last one. */
static inline bool i8254_read_byte(struct i8254_counter *shared, uint16_t value, uint8_t *byte)
{
	uint32_t rw = i8254_rw(HR_LOAD(shared->t.control));
	uint8_t is_msb = rw == I8254_RW_BOTH ? HR_LOAD(shared->read_msb) : rw == I8254_RW_MSB;

	*byte = (uint8_t)(is_msb ? value >> 8 : value);
	if (rw == I8254_RW_BOTH)
		HR_STORE(shared->read_msb, !is_msb);
	return rw != I8254_RW_BOTH || is_msb;
}

/* A read of a counter that has something latched: status first, then the count; true if so. */
static inline bool i8254_read_latched(struct i8254_counter *shared, uint8_t *byte)
{
	if (HR_LOAD(shared->has_status)) {
		HR_STORE(shared->has_status, 0);
		*byte = HR_LOAD(shared->status);
		return true;
	}
	if (!HR_LOAD(shared->is_latched))
		return false;
	if (i8254_read_byte(shared, HR_LOAD(shared->latch), byte))
		HR_STORE(shared->is_latched, 0);
	return true;
}

/* A read of the counting element itself. */
static inline uint8_t i8254_read_live(struct i8254_counter *shared, uint64_t tick)
{
	struct i8254_timing t = i8254_get(&shared->t);
	uint8_t byte;

	i8254_settle(&t, tick);
	i8254_read_byte(shared, i8254_ce(&t, tick), &byte);
	return byte;
}

/* Whether a write of port 0x61 changes anything: GATE 2, the speaker, the two enables. */
static inline bool i8254_moves_port61(const struct i8254_state *s, uint8_t value)
{
	return (value & PORT61_WRITABLE) != HR_LOAD(s->port61);
}

/* Port 0x61 as read. */
static inline uint8_t i8254_port61(const struct i8254_state *s, uint64_t tick)
{
	struct i8254_timing t = i8254_get(&s->counters[2].t);
	uint8_t v = HR_LOAD(s->port61) & PORT61_WRITABLE;

	i8254_settle(&t, tick);
	if (tick / PORT61_REFRESH_TICKS & 1)
		v |= PORT61_REFRESH;
	if (i8254_out(&t, tick))
		v |= PORT61_OUT2;
	return v;
}

#endif
