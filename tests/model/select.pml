/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Selects that wait at several channels at once: core/choice.h, core/select.c.
 *
 * Two rendezvous channels. Select A sends on the first and receives on the second, B the
 * other way round, C does both on the second; P only sends on the first, Q only receives on
 * the second. B, C and Q may have a deadline that passes at any time, and the
 * second channel may be destroyed while they are at work. Of each select exactly one clause
 * takes effect, once; an element is received once if its sender was told so, and else not at
 * all; nobody is left asleep who could go on, and nobody touches a frame or a
 * channel that is gone.
 *
 * A seat is in its channel's queue, or on its list of those who leave. Queues need no order
 * here: any of those who wait may be found first.
 *
 * PLANTED 1: the seats are taken channel by channel, each under its own lock alone. 2: a select
 * looks and takes its seats in two steps. 3: an element is moved before the claim. 4: who
 * is claimed as its deadline passes does not wait for the unpark. 5: whether somebody
 * claimed is asked before the seats are given up. 6: who loses a claim looks no further. 7: a
 * claim is a look and a store. 8: who finds a seat takes it out altogether, not to the list of
 * those who leave. 9: a destroyer does not wait for seats. 10: the losing seats stay.
 * 11: the locks are taken in the order of the clauses. 12: close claims nobody.
 */
#ifndef PLANTED
#define PLANTED 0
#endif

/* What happens under a lock is one step: those at other channels notice nothing of it but the
 * claim. Not so where that is planted. */
#if PLANTED == 3 || PLANTED == 7 || PLANTED == 11
#define SECTION
#else
#define SECTION atomic
#endif

#define CALLS	 5
#define SELECTS	 3 /* the first of them; a seat for each of their two clauses, then P's and Q's */
#define SEATS	 8
#define NOBODY	 8
#define TX(s)	 ((89 >> (s)) & 1)
#define CH(s)	 ((186 >> (s)) & 1)
#define OWNER(s) ((s) < 2 * SELECTS -> (s) / 2 : (s) - SELECTS)

/* where a seat is */
#define NOWHERE 0
#define QUEUED	1
#define LEAVING 2

#define UNDECIDED 0
#define DONE	  1
#define CLOSED	  2
#define EXPIRED	  3

byte seat[SEATS];
byte won[CALLS] = NOBODY;
bool locked[2], closed, freed, destroying;
byte calls[2]; /* under way in the channel */
bool timed[CALLS], unparked[CALLS], gone[CALLS];
byte outcome[CALLS], effects[CALLS];
byte sent[CALLS], got[CALLS]; /* how often an element of it was received, or one by it */

inline lock(c)
{
	atomic {
		!locked[c] -> locked[c] = true;
		assert(c == 0 || !freed)
	}
}

inline unlock(c)
{
	locked[c] = false
}

/* in `other`: any that waits to meet seat s; with the lock */
inline find(s)
{
	atomic {
		other = NOBODY;
		if
		:: seat[0] == QUEUED && CH(s) == CH(0) && TX(s) != TX(0) -> other = 0
		:: seat[1] == QUEUED && CH(s) == CH(1) && TX(s) != TX(1) -> other = 1
		:: seat[2] == QUEUED && CH(s) == CH(2) && TX(s) != TX(2) -> other = 2
		:: seat[3] == QUEUED && CH(s) == CH(3) && TX(s) != TX(3) -> other = 3
		:: seat[4] == QUEUED && CH(s) == CH(4) && TX(s) != TX(4) -> other = 4
		:: seat[5] == QUEUED && CH(s) == CH(5) && TX(s) != TX(5) -> other = 5
		:: seat[6] == QUEUED && CH(s) == CH(6) && TX(s) != TX(6) -> other = 6
		:: seat[7] == QUEUED && CH(s) == CH(7) && TX(s) != TX(7) -> other = 7
		:: else
		fi
	}
}

inline take_off(t)
{
	if
	:: t >= 2 * SELECTS -> seat[t] = NOWHERE
	:: t < 2 * SELECTS && PLANTED == 8 -> seat[t] = NOWHERE; calls[CH(t)]--
	:: else -> seat[t] = LEAVING
	fi
}

/* in `claimed`; with the lock */
inline claim(t)
{
	claimed = false;
	if
	:: t >= 2 * SELECTS -> claimed = true
	:: t < 2 * SELECTS && PLANTED == 7 ->
		claimed = won[OWNER(t)] == NOBODY;
		if
		:: claimed -> won[OWNER(t)] = t
		:: else
		fi
	:: else ->
		atomic {
			if
			:: won[OWNER(t)] == NOBODY -> won[OWNER(t)] = t; claimed = true
			:: else
			fi
		}
	fi
}

inline move(s, t)
{
	atomic {
		assert(!gone[OWNER(t)]);
		effects[me]++;
		effects[OWNER(t)]++;
		if
		:: TX(s) -> sent[me]++; got[OWNER(t)]++
		:: else -> got[me]++; sent[OWNER(t)]++
		fi
	}
}

/* Carry out the clause of seat s if that goes: r; and whom to wake. With the lock. */
inline look(s)
{
	do
	:: CH(s) == 1 && closed -> effects[me]++; r = CLOSED; break
	:: !(CH(s) == 1 && closed) ->
		find(s);
		if
		:: other == NOBODY -> break
		:: else ->
			if
			:: PLANTED == 3 -> move(s, other)
			:: else
			fi;
			atomic {
				claim(other);
				take_off(other);
				if
				:: claimed && PLANTED != 3 -> move(s, other)
				:: else
				fi
			}
			if
			:: claimed -> wake = OWNER(other); r = DONE; break
			:: !claimed && PLANTED == 6 -> break
			:: else
			fi
		fi
	od
}

inline unpark(w)
{
	atomic {
		assert(!gone[w] && !unparked[w]);
		unparked[w] = true
	}
}

inline end(code)
{
	atomic {
		outcome[me] = code;
		gone[me] = true
	}
}

proctype plain(byte me)
{
	byte other, wake = NOBODY, r = UNDECIDED;
	bool claimed;

	SECTION {
		lock(CH(me + SELECTS));
		look(me + SELECTS);
		if
		:: r == UNDECIDED -> seat[me + SELECTS] = QUEUED
		:: else
		fi;
		unlock(CH(me + SELECTS))
	}
	if
	:: wake != NOBODY -> unpark(wake)
	:: else
	fi;
	if
	:: r == UNDECIDED ->
end_wait:	if
		:: unparked[me]
		:: timed[me] && !unparked[me] ->
			SECTION {
				lock(CH(me + SELECTS));
				if
				:: seat[me + SELECTS] == QUEUED ->
					seat[me + SELECTS] = NOWHERE;
					r = EXPIRED
				:: else
				fi;
				unlock(CH(me + SELECTS))
			}
			if
			:: r == UNDECIDED -> unparked[me]
			:: else
			fi
		fi;
		if
		:: r == UNDECIDED && effects[me] == sent[me] + got[me] -> r = DONE
		:: r == UNDECIDED && effects[me] != sent[me] + got[me] -> r = CLOSED
		:: else
		fi
	:: else
	fi;
	atomic {
		calls[CH(me + SELECTS)]--;
		outcome[me] = r;
		gone[me] = true
	}
}

inline lock_all()
{
	if
	:: PLANTED == 11 ->
		lock(CH(a));
		if
		:: CH(b) != CH(a) -> lock(CH(b))
		:: else
		fi
	:: else ->
		if
		:: CH(a) == 0 || CH(b) == 0 -> lock(0)
		:: else
		fi;
		if
		:: CH(a) == 1 || CH(b) == 1 -> lock(1)
		:: else
		fi
	fi
}

inline unlock_all()
{
	unlock(CH(b));
	if
	:: CH(a) != CH(b) -> unlock(CH(a))
	:: else
	fi
}

/* What wins is done, what has lost gives way; the seats are taken if nothing goes. */
inline settle()
{
	if
	:: PLANTED == 1 ->
		SECTION {
			lock(CH(a));
			look(a);
			if
			:: r == UNDECIDED -> seat[a] = QUEUED
			:: else
			fi;
			unlock(CH(a))
		}
		SECTION {
			lock(CH(b));
			if
			:: r == UNDECIDED -> look(b)
			:: else
			fi;
			if
			:: r == UNDECIDED -> seat[b] = QUEUED
			:: else
			fi;
			unlock(CH(b))
		}
	:: else ->
		SECTION {
			lock_all();
			look(a);
			if
			:: r == UNDECIDED -> look(b)
			:: else
			fi;
			if
			:: r == UNDECIDED && PLANTED != 2 -> seat[a] = QUEUED; seat[b] = QUEUED
			:: else
			fi;
			unlock_all()
		}
		if
		:: r == UNDECIDED && PLANTED == 2 -> atomic { seat[a] = QUEUED; seat[b] = QUEUED }
		:: else
		fi
	fi
}

inline give_up(s)
{
	SECTION {
		lock(CH(s));
		if
		:: PLANTED == 8 && seat[s] == NOWHERE
		:: PLANTED == 10 && won[me] != NOBODY && won[me] != s -> calls[CH(s)]--
		:: else -> seat[s] = NOWHERE; calls[CH(s)]--
		fi;
		unlock(CH(s))
	}
}

proctype chooser(byte me, a, b)
{
	byte other, wake = NOBODY, r = UNDECIDED;
	bool claimed;

	settle();
	if
	:: wake != NOBODY -> unpark(wake)
	:: else
	fi;
	if
	:: r != UNDECIDED ->
		if
		:: PLANTED == 1 -> atomic { seat[a] = NOWHERE; seat[b] = NOWHERE }
		:: else
		fi;
		calls[CH(a)]--;
		calls[CH(b)]--;
		end(r)
	:: else ->
end_wait:	if
		:: unparked[me]
		:: timed[me] && !unparked[me]
		fi;
		claimed = won[me] != NOBODY;
		give_up(a);
		give_up(b);
		if
		:: PLANTED != 5 -> claimed = won[me] != NOBODY
		:: else
		fi;
		if
		:: claimed && PLANTED != 4 -> unparked[me]
		:: else
		fi;
		if
		:: claimed && effects[me] == sent[me] + got[me] -> end(DONE)
		:: claimed && effects[me] != sent[me] + got[me] -> end(CLOSED)
		:: !claimed -> end(EXPIRED)
		fi
	fi
}

/* Its calls end with a failure that is a clause's like any other; then it waits for them. */
proctype destroyer()
{
	byte t, woken;
	bool claimed, wakes[CALLS];

	destroying = true;
	SECTION {
		lock(1);
		closed = true;
		t = 0;
		do
		:: t < SEATS && CH(t) == 1 && seat[t] == QUEUED && PLANTED != 12 ->
			claim(t);
			take_off(t);
			if
			:: claimed -> effects[OWNER(t)]++; wakes[OWNER(t)] = true
			:: else
			fi;
			t++
		:: t < SEATS && !(CH(t) == 1 && seat[t] == QUEUED && PLANTED != 12) -> t++
		:: t == SEATS -> break
		od;
		unlock(1)
	}
	woken = 0;
	do
	:: woken < CALLS && wakes[woken] -> unpark(woken); woken++
	:: woken < CALLS && !wakes[woken] -> woken++
	:: woken == CALLS -> break
	od;
	if
	:: PLANTED != 9 -> calls[1] == 0
	:: else
	fi;
	freed = true
}

init {
	byte s, t;

	atomic {
		/* a call that begins has its channels: who destroys one comes later */
		calls[0] = 3;
		calls[1] = 5;
		if
		:: timed[1] = true
		:: timed[2] = true
		:: timed[4] = true
		:: true
		fi;
		run chooser(0, 0, 1);
		run chooser(1, 3, 2);
		run chooser(2, 4, 5);
		run plain(3);
		run plain(4);
		if
		:: run destroyer()
		:: true
		fi
	}
	timeout;
	atomic {
		for (s : 0 .. SEATS - 1) {
			assert(seat[s] == (gone[OWNER(s)] -> NOWHERE : QUEUED));
			assert(gone[OWNER(s)] || (won[OWNER(s)] == NOBODY && !timed[OWNER(s)] &&
						  !(CH(s) == 1 && closed)));
			for (t : 0 .. SEATS - 1) {
				assert(gone[OWNER(s)] || gone[OWNER(t)] || OWNER(s) == OWNER(t) ||
				       CH(s) != CH(t) || TX(s) == TX(t))
			}
		}
		for (s : 0 .. CALLS - 1) {
			assert(effects[s] == (outcome[s] == DONE || outcome[s] == CLOSED));
			assert(sent[s] + got[s] == (outcome[s] == DONE))
		}
		assert(freed == destroying)
	}
}
