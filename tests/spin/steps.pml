/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steps.pml: how time passes on a page of vmm/page_image.c: a counter, a periodic comparator that moves on by PERIOD when the
 * counter has reached it, and a status that this sets, each of them stored by itself. A publisher and a model come when they
 * will, however late; a guest loads any two registers one after the other. Sequentially consistent.
 *
 * Checked: what the guest gets, in either order, the chip could have given ([HPET] 2.3.9.2.2): a comparator that is loaded after
 * the counter is not behind it; a counter that is loaded after a comparator has come to the match before that; with a counter beyond
 * a match, or a comparator that has moved, the status is set; no step back. run.sh also checks that each mutant (-D...) is caught.
 */
#define TICKS 5
#define PERIOD 2

byte now;
byte word; /* the publication word: 1 while held */
byte counter;
byte comparator = PERIOD;
bool status;

/* Up to t; the word is held. */
inline pass_time(t)
{
	do
	:: comparator <= t ->
#ifdef MUTANT_COMPARATOR_FIRST
		comparator = comparator + PERIOD;
		status = true;
		counter = comparator - PERIOD
#else
#ifndef MUTANT_COUNTER_STAYS
		counter = comparator;
#endif
#ifdef MUTANT_STATUS_LAST
		comparator = comparator + PERIOD;
		status = true
#else
		status = true;
		comparator = comparator + PERIOD
#endif
#endif
	:: else -> break
	od;
	counter = t
}

proctype ticker()
{
	do
	:: now < TICKS -> now++
	:: else -> break
	od
}

proctype publisher()
{
	byte t, n;

	do
	:: n < 2 ->
#ifdef MUTANT_CLOCK_BEFORE_WORD
		t = now;
#endif
		atomic { word == 0 -> word = 1 }
#ifndef MUTANT_CLOCK_BEFORE_WORD
		t = now;
#endif
		pass_time(t);
		word = 0;
		n++
	:: else -> break
	od
}

proctype guest()
{
	byte c, k;
	bool s;

	if
	:: c = counter;
		k = comparator;
		assert(k >= c)
	:: k = comparator;
		c = counter;
		assert(c + PERIOD >= k)
	:: c = counter;
		s = status;
		assert(c <= PERIOD || s)
	:: k = comparator;
		s = status;
		assert(k == PERIOD || s)
	:: c = counter;
		k = counter;
		assert(k >= c)
	fi
}

init {
	atomic {
		run ticker();
		run publisher();
		run publisher(); /* the model */
		run guest()
	}
}
