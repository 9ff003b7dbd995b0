/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * publish.pml: the publication word of vmm/page_image.c beside the sequence word: a clock that ticks, a publisher, a
 * model that stops and starts a counter on a vCPU's write and answers reads that exit, and a guest that reads the page on
 * another vCPU. The page has two cells, the counter (timed) and whether it runs (static); each load and store is one step.
 * The counter shows the time, so what it shows is when it was published. Sequentially consistent.
 *
 * Checked: the counter never goes back, on the page or between the page and an exit; a counter that is seen stopped does
 * not move until it is started; after a write, and before a line is raised, the page shows that instant or a later one; a
 * publisher that is stuck with the word never undoes anything, since word and memory
 * go together. run.sh also checks that each mutant (-D...) is caught.
 */
#define TICKS 2
#define WRITES 2

byte now;		/* the clock */
byte word[2];		/* of each memory: 1 while held */
byte counter[2];	/* the timed cell of each memory */
bool runs[2] = true;	/* the static cell */
byte shown;		/* which memory the guest has; NONE: neither, it waits for an exit */
#define NONE 2
byte lock;		/* the device's mutex */
byte starts;		/* that the page has shown */
bool is_gone;		/* the first word was given up */

/* the device's state: counter = now + delta while it runs, else halted */
bool running = true;
byte halted;
byte behind;		/* by how much the counter is behind the clock */
byte least;		/* no later read may give less: what some vCPU has seen */

inline read_state(t, value)
{
	d_step {
		if
		:: running -> value = t - behind
		:: else -> value = halted
		fi
	}
}

proctype ticker()
{
	do
	:: now < TICKS -> now++
	:: else -> break
	od
}

/* Some rounds, as slowly as can be: that is how it gets stuck with the word. */
proctype publisher()
{
	byte t, v, m, n;

	do
	:: n < 2 ->
		atomic { shown != NONE -> m = shown }
#ifdef MUTANT_CLOCK_BEFORE_WORD
		t = now;
#endif
		atomic { word[m] == 0 -> word[m] = 1 }
#ifndef MUTANT_CLOCK_BEFORE_WORD
		t = now;
#endif
		read_state(t, v);
		counter[m] = v;
		word[m] = 0;
		n++
	:: else -> break
	od
}

/* The word of the memory that is shown, or another memory. */
inline model_take(m)
{
	atomic { lock == 0 -> lock = 1; m = shown } /* which nobody else changes */
#ifndef MUTANT_MODEL_TAKES_NO_WORD
	if
	:: atomic { word[m] == 0 -> word[m] = 1 }
	:: atomic { word[m] == 1 && !is_gone -> is_gone = true } /* stuck too long */
#ifndef MUTANT_MEMORY_STAYS
		shown = NONE; /* the slot is deleted; a fresh memory comes in when all of it has been stored */
		m = 1;
		word[m] = 1
#endif
	fi
#endif
}

inline store_runs(m)
{
	d_step {
		if
		:: running && !runs[m] -> starts++
		:: else
		fi;
		runs[m] = running
	}
}

/* Before the change: time passes on the page, as the state still is. */
inline model_pass_time(m, v)
{
#ifdef MUTANT_TIME_DOES_NOT_PASS_FIRST
	skip
#else
	counter[m] = v
#endif
}

inline model_store(m, v)
{
	store_runs(m);
	counter[m] = v;
}

proctype model()
{
	byte t, v, m, n;

	do
	:: n < WRITES ->
		model_take(m);
		t = now;
		read_state(t, v);
#ifdef MUTANT_LINE_BEFORE_PUBLICATION
		assert(counter[m] >= v); /* the line is raised */
#endif
		model_pass_time(m, v);
		d_step { /* the change, under the sequence word, which a publisher's program waits for */
			if
			:: running -> halted = v; running = false
			:: else -> behind = t - halted; running = true
			fi
		}
		model_store(m, v);
		/* the vCPU goes on, a line may rise: whoever hears of it finds this instant */
		d_step {
			shown = m;
			word[m] = 0;
			lock = 0;
			if
			:: v > least -> least = v
			:: else
			fi
		}
		atomic { shown != NONE -> assert(counter[shown] >= v) }
		n++
	:: else -> break
	od
}

/* A read that exits while the page is mapped too: a moment of mapping or unmapping. */
proctype exiting()
{
	byte t, v, m;

#ifdef MUTANT_EXIT_PUBLISHES_NOTHING
	t = now;
	read_state(t, v);
#else
	model_take(m);
	t = now;
	read_state(t, v);
	model_pass_time(m, v);
	model_store(m, v);
#endif
	d_step {
#ifndef MUTANT_EXIT_PUBLISHES_NOTHING
		shown = m;
		word[m] = 0;
		lock = 0;
#endif
		if
		:: v > least -> least = v
		:: else
		fi
	}
}

proctype guest()
{
	byte v, m, first, from, n;
	bool going;

	do
	:: n < 1 ->
		d_step {
			shown != NONE -> m = shown;
			v = counter[m];
			assert(v >= least);
			if
			:: v > least -> least = v
			:: else
			fi
		}
		n++
	:: else -> break
	od;
	/* seen stopped, it must not move until somebody starts it: look twice */
	atomic { shown != NONE -> m = shown; going = runs[m]; from = starts }
	if
	:: !going ->
		first = counter[m];
		d_step {
			v = counter[m];
			assert(starts != from || shown != m || v == first)
		}
	:: else
	fi
}

init {
	atomic {
		run ticker();
		run publisher();
		run model();
		run exiting();
		run guest()
	}
}
