/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8254_ref.h: one counter of an 8254, written from [8254], that really counts pulse by pulse: what
 * the tests of the 8254 compare with. Includes nothing from bpf/ or devices/.
 */
#ifndef TESTS_UNIT_I8254_REF_H
#define TESTS_UNIT_I8254_REF_H

#include <stdbool.h>

struct ref {
	unsigned mode, control;
	bool is_bcd, gate, out;
	bool is_triggered; /* the edge flip-flop, sampled by the next pulse */
	bool is_load_due;  /* software load on the next pulse */
	bool has_count, is_counting, has_struck, is_null, is_odd;
	unsigned cr;	/* 1..65536 */
	unsigned ce;	/* as a number, 0..65536 */
	unsigned shown; /* the counting element's 16 bits when it is not counting */
};

static inline unsigned ref_modulus(const struct ref *r)
{
	return r->is_bcd ? 10000 : 65536;
}

static inline unsigned ref_show(const struct ref *r)
{
	unsigned v = r->ce % ref_modulus(r), digits = 0;

	if (!r->is_counting)
		return r->shown;
	if (!r->is_bcd)
		return v;
	for (unsigned i = 0; i < 4; i++, v /= 10)
		digits |= v % 10 << (4 * i);
	return digits;
}

static inline void ref_control(struct ref *r, unsigned value)
{
	r->shown = ref_show(r);
	r->is_counting = false;
	r->control = value & 0x3f;
	r->mode = (value >> 1) & 7;
	if (r->mode >= 6)
		r->mode -= 4;
	r->is_bcd = value & 1;
	r->out = r->mode != 0;
	r->is_triggered = r->is_load_due = r->has_count = false;
	r->is_null = true;
}

/* Mode 0, the first of two bytes. */
static inline void ref_first_byte(struct ref *r)
{
	if (r->mode != 0)
		return;
	r->shown = ref_show(r);
	r->is_counting = false;
	r->is_load_due = false;
	r->out = false;
}

static inline void ref_count(struct ref *r, unsigned n)
{
	r->cr = n;
	r->is_null = true;
	if (r->mode == 0)
		r->out = false;
	if (r->mode == 0 || r->mode == 4 || ((r->mode == 2 || r->mode == 3) && !r->has_count))
		r->is_load_due = true;
	if (r->mode == 0) {
		r->shown = ref_show(r);
		r->is_counting = false;
	}
	r->has_count = true;
}

static inline void ref_gate(struct ref *r, bool gate)
{
	if (gate && !r->gate && r->has_count && r->mode != 0 && r->mode != 4)
		r->is_triggered = true;
	if (!gate && (r->mode == 2 || r->mode == 3))
		r->out = true;
	r->gate = gate;
}

static inline void ref_load(struct ref *r)
{
	r->is_counting = true;
	r->is_triggered = r->is_load_due = r->is_null = r->has_struck = false;
	r->is_odd = r->mode == 3 && (r->cr & 1);
	r->ce = r->cr - r->is_odd;
}

static inline void ref_pulse(struct ref *r)
{
	bool is_loading = r->is_triggered || r->is_load_due;
	bool counts = r->is_counting && (r->gate || r->mode == 1 || r->mode == 5);

	if (r->mode == 4 || r->mode == 5)
		r->out = true; /* a strobe lasts one pulse */
	if (is_loading) {
		ref_load(r);
		r->out = r->mode > 1;
		return;
	}
	if (!counts)
		return;
	switch (r->mode) {
	case 2:
		if (r->ce == 1) {
			ref_load(r);
			r->out = true;
		} else if (--r->ce == 1) {
			r->out = false;
		}
		return;
	case 3:
		/* an odd count's high half lasts one pulse longer, down to 0 */
		if (r->ce == (r->is_odd && r->out ? 0 : 2)) {
			r->out = !r->out;
			ref_load(r);
		} else {
			r->ce -= 2;
		}
		return;
	default:
		r->ce = (r->ce + ref_modulus(r) - 1) % ref_modulus(r);
		if (r->ce || r->has_struck)
			return;
		r->has_struck = true;
		r->out = r->mode <= 1;
	}
}

static inline unsigned ref_bcd(unsigned n)
{
	return n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12;
}

#endif
