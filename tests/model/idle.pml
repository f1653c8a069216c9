/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers that sleep, and whoever puts work into the global queue: sched/idle.c, rule 1.
 * And a coroutine that moves into the slot of another worker, kci_worker_give().
 *
 * When nothing can happen any more the queue and the slots must be empty: no worker may
 * sleep while there is work and nobody is on the way to it. Steps under idle_lock are
 * atomic; so are single reads and writes, which is what the fences are for.
 *
 * PLANTED 1: a worker looks before it announces that it sleeps. 2: a searcher counts as
 * one until after its last look. 3: the bell is slept on without regard to its value.
 * 4: who moves does not ring. 5: it rings before it is in the slot.
 */
#ifndef PLANTED
#define PLANTED 0
#endif

#define WORKERS 2
#define PUSHERS 2

#define AWAKE  0
#define ASLEEP 1
#define RUNG   2

byte queue, n_idle, searchers;
byte slot[WORKERS];
bool idle[WORKERS], searching[WORKERS];
byte bell[WORKERS];

inline leave_idle(w)
{
	idle[w] = false;
	n_idle--;
	searching[w] = true;
	searchers++
}

inline stop_searching(w)
{
	if
	:: searching[w] ->
		searching[w] = false;
		searchers--
	:: else
	fi
}

inline notify()
{
	if
	:: n_idle > 0 ->
		if
		:: searchers == 0 ->
			woken = WORKERS;
			atomic {
				if
				:: idle[0] -> woken = 0; leave_idle(0)
				:: idle[1] -> woken = 1; leave_idle(1)
				:: else
				fi
			}
			if
			:: woken < WORKERS -> bell[woken] = RUNG
			:: else
			fi
		:: else
		fi
	:: else
	fi
}

active [PUSHERS] proctype pusher()
{
	byte woken;

	queue++;
	notify()
}

active proctype mover()
{
	if
	:: PLANTED == 5 -> bell[0] = RUNG
	:: else
	fi;
	slot[0] = 1;
	if
	:: PLANTED < 4 -> bell[0] = RUNG
	:: else
	fi
}

proctype worker(byte me)
{
	byte woken;
	bool work;

end:	do
	:: atomic { slot[me] > 0 -> slot[me]-- }
	:: atomic { queue > 0 -> queue-- }
		if
		:: searching[me] ->
			atomic { stop_searching(me) }
			if
			:: queue > 0 -> notify()
			:: else
			fi
		:: else
		fi
	:: slot[me] == 0 ->
		/* it finds nothing: first in its slot, then in the queue */
		if
		:: queue > 0 -> goto end
		:: queue == 0
		fi;
		work = queue > 0;
		atomic {
			idle[me] = true;
			n_idle++;
			if
			:: PLANTED != 2 -> stop_searching(me)
			:: else
			fi
		}
		if
		:: PLANTED != 1 -> work = queue > 0
		:: else
		fi;
		if
		:: work
		:: else ->
			atomic { stop_searching(me) }
			if
			:: atomic { bell[me] == AWAKE || PLANTED == 3 -> bell[me] = ASLEEP }
end_sleep:			bell[me] == RUNG
			:: bell[me] == RUNG && PLANTED != 3
			fi
		fi;
		bell[me] = AWAKE;
		atomic {
			if
			:: idle[me] -> leave_idle(me)
			:: else
			fi
		}
	od
}

init {
	atomic { run worker(0); run worker(1) }
	timeout;
	assert(queue == 0 && slot[0] == 0)
}
