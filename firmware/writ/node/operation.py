"""The operations under way at host peers: plain data, kept while `delegate` is not loaded.

A device needs `delegate`, `asking` and `verdict`, which are large, once in months. They are loaded
while there is something to decide, and unloaded while the node waits for an answer or does a
handshake.
"""

from ..limits import PAUSE_MS

# Operations of a statement (docs/wire.md)
RENEW = 16
REVOKE_ME = 17
ADMIT = 18
ASK_ACTION = 19
# What is asked for without a statement
FETCH = 1
NEWEST = 2


class Operation:
    """One operation of a delegate.

    kind: what is asked for; want: what the answer must be; payload: the statement, or the query of
    a GET; statement: what to state once the time is known, as arguments, or None.
    """

    def __init__(self, kind, want, payload, on_done, end_ms, statement):
        self.kind = kind
        self.want = want
        self.payload = payload
        self.on_done = on_done
        self.end_ms = end_ms
        self.statement = statement
        self.due_ms = 0  # when there is something to do next
        self.pause_ms = PAUSE_MS
        self.peer = None  # address whose answer is awaited, or None
        self.next_peer = None  # address that has answered "pending" and is asked again, or None
        self.pending_count = 0  # "pending" answers in a row
        self.unanswered = []  # addresses that were asked and have not answered yet
        self.attempts = {}  # address -> how often it was asked
        self.refusers = []  # addresses that have refused
        self.code = 0  # of the newest answer that was no capsule, with its text
        self.text = b""


def is_due(kept, now_ms):
    """Whether a delegate has something to do; kept: standings, operations, answers."""
    _, operations, answers = kept
    return answers or any([now_ms >= min(one.due_ms, one.end_ms) for one in operations])


def listener(answers, operation, address):
    """A callback that keeps an `Answer` of the peer at `address` for the next tick."""

    def arrived(answer):
        answers.append((operation, address, answer))

    return arrived
