/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls on a buffered channel that end in two ways at once: core/chan-wait.c, core/waiter.c.
 *
 * Two receivers and three senders, each for one element, on a channel with one place. A
 * token is set while they wait, deadlines pass, and others complete them meanwhile. Each call
 * ends in exactly one way; an element is received once or is in the queue if its send
 * succeeded, and nowhere if it did not; nobody is left asleep who could go on; and
 * nobody touches a waiter whose frame is gone.
 *
 * What happens under the channel's lock is one step. Setting the token and looking
 * after the hooks take the token's lock. Lists need no order here: any of those who
 * wait may be the first.
 *
 * PLANTED 1: who finds itself completed still ends as it woke up. 2: it does not wait for
 * the unpark. 3: it leaves its hook behind. 4: a sender finds a receiver in one step and
 * serves it in another. 5: who comes to wait for a token that is set does not look. 6: who
 * gives up stays on the list. 7: a receive does not let a waiting sender in.
 */
#ifndef PLANTED
#define PLANTED 0
#endif

#define RECEIVERS 2
#define CALLS	  5
#define IS_RX(w)  ((w) < RECEIVERS)
/* the others: a deadline, which may pass at any time, or neither */
#define HAS_TOKEN(w)	(w == 0 || w == 2)
#define HAS_DEADLINE(w) (w == 1 || w == 3)
#define NOBODY		CALLS

#define UNDECIDED 0
#define DONE	  1
#define CANCELLED 2
#define EXPIRED	  3

byte slot = NOBODY; /* the queue: whose element */
bool listed[CALLS], unparked[CALLS], cancelled[CALLS], hooked[CALLS], gone[CALLS];
byte outcome[CALLS];
byte got[RECEIVERS] = NOBODY;
byte received[CALLS]; /* how often each sender's element was */
bool token_locked, token_set;

inline find(ret, first, last)
{
	/* any of those who wait, if there are some */
	ret = NOBODY;
	if
	:: listed[first] -> ret = first
	:: last - first >= 1 && listed[first + 1] -> ret = first + 1
	:: last - first >= 2 && listed[first + 2] -> ret = first + 2
	:: else
	fi
}

/* under the lock: the free place goes to a sender that waits */
inline refill()
{
	if
	:: slot == NOBODY && PLANTED != 7 ->
		find(wake, RECEIVERS, CALLS - 1);
		if
		:: wake != NOBODY -> slot = wake; listed[wake] = false
		:: else
		fi
	:: else
	fi
}

/* under the lock */
inline receive()
{
	if
	:: slot != NOBODY -> got[me] = slot; slot = NOBODY; refill()
	:: else -> listed[me] = true; waits = true
	fi
}

inline send()
{
	atomic {
		find(other, RECEIVERS, CALLS - 1);
		if
		:: other != NOBODY -> listed[me] = true; waits = true
		:: else ->
			find(wake, 0, RECEIVERS - 1);
			if
			:: wake != NOBODY && PLANTED != 4 ->
				assert(listed[wake]);
				got[wake] = me;
				listed[wake] = false
			:: wake == NOBODY && slot == NOBODY -> slot = me
			:: wake == NOBODY && slot != NOBODY -> listed[me] = true; waits = true
			:: else
			fi
		fi
	}
	if
	:: PLANTED == 4 && !waits && wake != NOBODY ->
		atomic { got[wake] = me; listed[wake] = false }
	:: else
	fi
}

/* what is done once the lock is free */
inline unpark()
{
	if
	:: wake != NOBODY ->
		atomic {
			assert(!gone[wake] && !unparked[wake]);
			unparked[wake] = true;
			wake = NOBODY
		}
	:: else
	fi
}

inline wait()
{
	if
	:: HAS_TOKEN(me) ->
		atomic { !token_locked -> token_locked = true }
		if
		:: !token_set -> hooked[me] = true
		:: else -> cancelled[me] = (PLANTED != 5)
		fi;
		token_locked = false
	:: else
	fi;
	r = UNDECIDED;
end_wait:
	if
	:: unparked[me] || cancelled[me]
	:: HAS_DEADLINE(me)
	fi;
	if
	:: HAS_TOKEN(me) && PLANTED != 3 ->
		atomic { !token_locked -> token_locked = true }
		hooked[me] = false;
		token_locked = false
	:: else
	fi;
	atomic {
		if
		:: unparked[me] -> r = DONE
		:: !unparked[me] && cancelled[me] -> r = CANCELLED
		:: else -> r = EXPIRED
		fi
	}
	if
	:: r != DONE ->
		atomic {
			completed = !listed[me];
			if
			:: !completed && PLANTED != 6 -> listed[me] = false; refill()
			:: else
			fi
		}
		unpark();
		if
		:: completed && PLANTED != 2 -> unparked[me]
		:: else
		fi;
		if
		:: completed && PLANTED != 1 -> r = DONE
		:: else
		fi
	:: else
	fi
}

proctype call(byte me)
{
	byte wake = NOBODY, other, r = DONE;
	bool waits, completed;

	if
	:: HAS_TOKEN(me) && token_set -> r = CANCELLED
	:: else ->
		if
		:: IS_RX(me) -> atomic { receive() }
		:: else -> send()
		fi;
		unpark();
		if
		:: waits -> wait()
		:: else
		fi
	fi;
	atomic {
		gone[me] = true;
		outcome[me] = r;
		if
		:: IS_RX(me) ->
			assert((r == DONE) == (got[me] != NOBODY));
			if
			:: got[me] != NOBODY -> received[got[me]]++
			:: else
			fi
		:: else
		fi
	}
}

proctype canceller()
{
	byte w;

	atomic { !token_locked -> token_locked = true }
	token_set = true;
	do
	:: w < CALLS ->
		if
		:: hooked[w] ->
			atomic {
				assert(!gone[w]);
				cancelled[w] = true;
				hooked[w] = false
			}
		:: else
		fi;
		w++
	:: else -> break
	od;
	token_locked = false
}

init {
	byte w, waiting_rx, waiting_tx;

	atomic {
		for (w : 0 .. CALLS - 1) {
			run call(w)
		}
		run canceller()
	}
	timeout;
	atomic {
		for (w : 0 .. CALLS - 1) {
			if
			:: !gone[w] ->
				/* a token that is set, or a deadline, is not slept through */
				assert(listed[w] && !HAS_TOKEN(w) && !HAS_DEADLINE(w));
				if
				:: IS_RX(w) -> waiting_rx++
				:: else -> waiting_tx++
				fi
			:: else
			fi;
			if
			:: !IS_RX(w) ->
				assert((outcome[w] == DONE) == (received[w] + (slot == w) == 1));
				assert(received[w] + (slot == w) <= 1)
			:: else
			fi
		}
		assert(waiting_rx == 0 || (slot == NOBODY && waiting_tx == 0));
		assert(waiting_tx == 0 || slot != NOBODY)
	}
}
