"""Cores that somebody broke: the simulator must notice each of them (docs/consensus.md, Teeth).

They are judged by what comes of it: two certified states of one epoch, no end, or (late writes) an
honest governor that votes twice in a round. What the disk holds when a message leaves is not looked
at: that would find late writes at once, and prove nothing about restarts.
"""

from simulator.liars import Lawless
from simulator.plan import plan
from writ_host.consensus.messages import NO_ROUND

# Seeds from 1 within which each must have been found.
FOUND_WITHIN = {"no_lock": 120, "late_writes": 40, "low_threshold": 120}


class Lockless(Lawless):
    """Neither the lock (lines 23 and 29) nor the valid value (line 15)."""

    def __init__(self, *args):
        super().__init__(*args)
        self.rules.choose_value = self._choose_candidate

    def _choose_candidate(self):
        value = self.rules.candidate()
        return None if value is None else (value, NO_ROUND, ())


def no_lock(seed):
    """Honest governors lock nothing: they vote for, and propose, whatever comes."""
    found = plan(seed)
    found.replica = Lockless
    return found


def late_writes(seed):
    """Messages leave before what they promise is on the disk."""
    found = plan(seed)
    found.late_writes = True
    return found


def low_threshold(seed):
    """One governor fewer makes a signature: two quorums may have only liars in common."""
    found = plan(seed)
    found.threshold -= 1
    return found


MUTATIONS = {"no_lock": no_lock, "late_writes": late_writes, "low_threshold": low_threshold}


def broken(name, seed):
    """The seed's plan with the mutation."""
    found = MUTATIONS[name](seed)
    found.watch_disk = False
    found.watch_votes = name == "late_writes"
    return found
