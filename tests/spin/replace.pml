/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replace.pml: replacing the program of a live slot, as accel/runtime.c does it: two vCPUs mark
 * themselves inside, pick up the slot's program, use it and leave; a writer exchanges the program,
 * waits for every vCPU to have left or moved on, and frees the old one. Sequentially consistent:
 * membarrier(2), or the seq_cst operations in its place, are what makes the machine so here.
 *
 * Checked: nobody uses a freed program; the writer never waits for ever; a vCPU that enters after
 * the exchange gets the new program. run.sh also checks that each mutant (-D...) is caught.
 */
#define CPUS 2
#define ACCESSES 2
#define REPLACEMENTS 2

byte current = 1;            /* the program's generation; 0 would be none */
byte inside[CPUS];           /* odd: inside */
bool freed[REPLACEMENTS + 2];

proctype vcpu(byte me)
{
	byte gen, least, n;

	do
	:: n < ACCESSES ->
		least = current; /* what an observer could know was there before the access */
#ifdef MUTANT_LOAD_BEFORE_MARK
		gen = current;
		inside[me] = inside[me] + 1;
#else
		inside[me] = inside[me] + 1;
		gen = current;
#endif
		assert(gen >= least);
		assert(!freed[gen]); /* its first instruction */
		assert(!freed[gen]); /* its last */
		inside[me] = inside[me] + 1;
		n++
	:: else -> break
	od
}

proctype writer()
{
	byte old, i, seen, n;

	do
	:: n < REPLACEMENTS ->
#ifdef MUTANT_WAIT_BEFORE_EXCHANGE
		skip;
#else
		old = current;
		current = old + 1; /* one writer at a time: slot->lock */
#endif
		i = 0;
		do
		:: i < CPUS ->
#ifndef MUTANT_NO_WAIT
			seen = inside[i];
			if
			:: seen % 2 == 1 -> (inside[i] != seen)
			:: else
			fi;
#endif
			i++
		:: else -> break
		od;
#ifdef MUTANT_WAIT_BEFORE_EXCHANGE
		old = current;
		current = old + 1;
#endif
		freed[old] = true;
		n++
	:: else -> break
	od
}

init {
	atomic {
		run vcpu(0);
		run vcpu(1);
		run writer()
	};
	(_nr_pr == 1);
	assert(current == REPLACEMENTS + 1)
}
