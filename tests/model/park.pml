/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parking and waking a coroutine: core/park.h and arrive() in sched/run.c.
 *
 * One coroutine waits for its unpark or its cancellation, twice over; both are raised
 * once by others. It must go on, be made ready once each time it is away, and never
 * while it is on its stack. The word of flags is changed by single atomic steps.
 *
 * PLANTED 1: a raiser leaves PARKED up. 2: arrive() looks and raises in two steps.
 */
#ifndef PLANTED
#define PLANTED 0
#endif

bool unparked, cancelled, parked;
bool running = true;
byte ready;

inline raise(flag)
{
	atomic {
		was = parked;
		flag = true;
		if
		:: PLANTED != 1 -> parked = false
		:: else
		fi
	}
	if
	:: was ->
		atomic {
			assert(!running && ready == 0);
			ready++
		}
	:: else
	fi
}

/* away until one of the flags that it waits for is up */
inline park(enough)
{
	do
	:: enough -> break
	:: else ->
		running = false;
		/* whoever runs next on the worker */
		if
		:: PLANTED == 2 ->
			if
			:: enough -> ready++
			:: else -> parked = true
			fi
		:: else ->
			atomic {
				if
				:: enough -> ready++
				:: else -> parked = true
				fi
			}
		fi;
		atomic { ready > 0; ready--; running = true }
	od
}

active proctype coroutine()
{
	park(unparked || cancelled);
	/* cancelled: it still has to wait for an unpark that is certain to come */
	park(unparked);
	assert(ready == 0 && running)
}

active proctype unparker()
{
	bool was;

	raise(unparked)
}

active proctype canceller()
{
	bool was;

	raise(cancelled)
}
