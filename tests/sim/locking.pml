/* The locking rules of the governors' consensus (host/writ_host/consensus/rules.py), for spin.
 *
 * Four governors, one of them Byzantine, two rounds, two values, quorum three. The Byzantine
 * governor needs no process: its votes exist for every value in every round. Messages are never
 * lost here, but an honest governor may read them, or time out, at any moment.
 *
 *     spin -a locking.pml && cc -O2 -o pan pan.c && ./pan -E -m100000     agreement holds
 *     spin -DNO_LOCK -a locking.pml && ...                                counterexample
 */
#define HONEST 3
#define ROUNDS 2
#define NIL 2            /* values are 0 and 1 */
#define NONE 3

/* the honest governors' votes: prevoted[round * HONEST + i] */
byte prevoted[6] = NONE;
byte precommitted[6] = NONE;
/* the value on which each honest governor is locked */
byte locked[HONEST] = NONE;

/* with the Byzantine vote, a quorum of three needs two honest votes */
#define COUNT(votes, r, v) ((votes[(r)*HONEST] == (v)) + (votes[(r)*HONEST+1] == (v)) \
                            + (votes[(r)*HONEST+2] == (v)))
#define QUORUM(votes, r, v) (COUNT(votes, r, v) + 1 >= 3)

proctype Governor(byte me)
{
    byte r = 0;
    byte v;
    do
    :: r < ROUNDS ->
        /* a proposal arrives; a Byzantine proposer may have made it for this governor alone */
        if
        :: v = 0
        :: v = 1
        fi;
        /* lines 22 to 33 of Algorithm 1: vote for the locked value, or for any value without a
         * lock, or for a value that had a quorum in the lock's round or later */
        atomic {
            if
#ifdef NO_LOCK
            :: true -> prevoted[r*HONEST+me] = v
#else
            :: locked[me] == NONE || locked[me] == v -> prevoted[r*HONEST+me] = v
            :: r > 0 && QUORUM(prevoted, 0, v) -> prevoted[r*HONEST+me] = v
#endif
            :: prevoted[r*HONEST+me] = NIL       /* refused, or timed out: lines 26 and 59 */
            fi
        };
        /* lines 36 to 43: lock and precommit in one durable step; or time out, lines 61 to 64 */
        atomic {
            if
            :: QUORUM(prevoted, r, 0) -> locked[me] = 0; precommitted[r*HONEST+me] = 0
            :: QUORUM(prevoted, r, 1) -> locked[me] = 1; precommitted[r*HONEST+me] = 1
            :: precommitted[r*HONEST+me] = NIL
            fi
        };
        r++
    :: else -> break
    od
}

/* A group signature exists once a quorum has precommitted in one round. */
#define DECIDED(v) (QUORUM(precommitted, 0, v) || QUORUM(precommitted, 1, v))

active proctype Witness()
{
    atomic { DECIDED(0) && DECIDED(1) -> assert(false) }
}

init
{
    atomic { run Governor(0); run Governor(1); run Governor(2) }
}
