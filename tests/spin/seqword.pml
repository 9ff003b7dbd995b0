/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seqword.pml: the sequence word of a state page, as accel/page.h and accel/runtime.c use it: the
 * model, two stateful programs (each may punt) and a pure reader (readers store nothing, so one
 * is as good as many). Each store and load of the word or of a field is one step. Sequentially
 * consistent; the orderings on weaker machines are argued in page.h.
 *
 * Checked: an accepted answer is never torn and never a mix of two states; holders exclude each
 * other; no update is lost; a punt changes nothing; everybody ends. run.sh also checks that each
 * of the mutants below (-D...) is caught.
 */
#define CHANGES 2 /* by the model */
#define TRIES 2   /* bounded retry of the reader; a stateful program's retry is the same as starting later */

byte seq;
byte a, b;       /* the page: equal whenever it is at rest */
byte changes;    /* real changes so far, counted by whoever made them, inside */
byte holders;

/* Even to odd by compare-and-swap; `even` is the number found. */
inline try_acquire(even, got)
{
#ifdef MUTANT_NO_CAS
	even = seq;
	got = (even % 2 == 0);
	if
	:: got -> seq = even + 1
	:: else
	fi
#else
	even = seq; /* the plain load before the compare-and-swap */
	if
	:: even % 2 == 1 -> got = false
	:: else ->
		atomic {
			if
			:: seq == even -> seq = even + 1; got = true
			:: else -> got = false
			fi
		}
	fi
#endif
}

inline enter()
{
	d_step {
		holders++;
		assert(holders == 1)
	}
}

inline leave()
{
	holders--
}

inline change()
{
	a = tmp + 1;
	d_step { /* counting is no step of its own */
		b = tmp + 1;
		changes++
	}
}

proctype model()
{
	byte even, tmp, n;
	bool got;

	do
	:: n < CHANGES ->
		do
		:: try_acquire(even, got);
			if
			:: got -> break
			:: else -> (seq % 2 == 0) /* spins */
			fi
		od;
		enter();
		d_step {
			tmp = a;
			assert(tmp == b)
		};
		change();
		leave();
		seq = even + 2;
		n++
	:: else -> break
	od
}

proctype stateful()
{
	byte even, tmp;
	bool got;

	try_acquire(even, got);
	if
	:: got
	:: else -> goto punted
	fi;
	enter();
	d_step {
		tmp = a;
		assert(tmp == b)
	};
	if
	:: /* answers */
		change();
		leave();
#ifdef MUTANT_ANSWER_KEEPS_NUMBER
		seq = even
#else
		seq = even + 2
#endif
	:: /* punts: has stored nothing, and gives the number back that it found */
#ifdef MUTANT_PUNT_STORES
		a = tmp + 1;
		a = tmp;
#endif
		leave();
#ifndef MUTANT_PUNT_KEEPS_WORD
		seq = even
#endif
	fi;
punted:
	skip
}

proctype reader()
{
	byte s, x, y, before, tries;

	do
	:: tries < TRIES ->
		d_step {
			before = changes;
			s = seq
		};
		if
		:: s % 2 == 1 -> tries++
		:: else ->
			x = a;
			y = b;
#ifdef MUTANT_NO_RELOAD
			goto accepted
#else
			if
			:: seq == s -> goto accepted
			:: else -> tries++
			fi
#endif
		fi
	:: else -> goto punted
	od;
accepted:
	skip;
	d_step {
		assert(x == y);
		/* a state the page had between the start of the access and its end */
		assert(before <= x && x <= changes)
	};
punted:
	skip
}

init {
	atomic {
		run model();
		run stateful();
		run stateful();
		run reader()
	};
	(_nr_pr == 1); /* everybody has ended, or spin reports an invalid end state here */
	assert(seq % 2 == 0);
	assert(holders == 0);
	assert(a == changes && b == changes);
#ifndef MUTANT_ANSWER_KEEPS_NUMBER
	assert(seq == 2 * changes)
#endif
}
