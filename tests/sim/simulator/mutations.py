"""Mutations of the core, each of which the simulator must find (docs/consensus.md, Mutations).

A mutation counts as found by its result: two certified states of one epoch, no decision, or (late
writes) an honest governor that votes twice in a round. The check of the disk when a message leaves
is off. It would find late writes at once, and prove nothing about restarts.
"""

from simulator.liars import Lawless
from simulator.plan import plan
from writ_host.consensus.messages import NO_ROUND

# Each mutation is found within so many seeds from 1.
FOUND_WITHIN = {"no_lock": 120, "late_writes": 40, "low_threshold": 120}


class Lockless(Lawless):
    """A replica without the lock rule (lines 23 and 29) and the valid value (line 15)."""

    def __init__(self, *args):
        super().__init__(*args)
        self.rules.choose_value = self._choose_candidate

    def _choose_candidate(self):
        value = self.rules.candidate()
        return None if value is None else (value, NO_ROUND, ())


def no_lock(seed):
    """Honest governors lock nothing: they vote for each proposal, and propose any candidate."""
    found = plan(seed)
    found.replica = Lockless
    return found


def late_writes(seed):
    """Messages leave before the hard state that they rest on is durable."""
    found = plan(seed)
    found.late_writes = True
    return found


def low_threshold(seed):
    """The threshold is one lower, so two quorums may share only Byzantine governors."""
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
