"""What is under way at host peers: plain data, for as long as `delegate` is not loaded.

That code is the largest of what a device uses once in months. It is there while something is to be
decided, and gone while the node waits for an answer, or does a handshake.
"""

from ..compat import const

# Who answers "pending" is asked again after so long, twice as long each time
_PAUSE_MS = const(2000)


class Errand:
    """One operation of a delegate.

    kind: what it is; want: what the answer must be; payload: the statement, or the query of a GET;
    then: what is to be stated once the time is known, or None.
    """

    def __init__(self, kind, want, payload, on_done, end_ms, then):
        self.kind = kind
        self.want = want
        self.payload = payload
        self.on_done = on_done
        self.end_ms = end_ms
        self.then = then
        self.due_ms = 0  # when something is to be done
        self.pause_ms = _PAUSE_MS
        self.peer = None  # who is given time to answer
        self.again = None  # who is asked again, having said "pending"
        self.pending = 0  # how often in a row
        self.waiting = []  # all who were asked and have not answered yet
        self.asked = {}  # address -> how often
        self.refused = []  # who has refused
        self.code = 0  # of the newest answer that was no capsule, with its text
        self.text = b""


def is_due(kept, now_ms):
    """Whether a delegate has something to do; kept: standings, errands, answers that came."""
    _, errands, answers = kept
    return answers or any([now_ms >= min(one.due_ms, one.end_ms) for one in errands])


def listener(answers, errand, address):
    """A function of an `Answer` by the peer at `address`, which is kept until there is time."""

    def arrived(answer):
        answers.append((errand, address, answer))

    return arrived
