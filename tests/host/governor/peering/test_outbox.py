"""The outbox: early messages leave at once, others after the commit, deferrable ones later."""

from writ_host.governor.peering.outbox import Outbox, Urgency

ANNA, BEN = b"a" * 33, b"b" * 33


def test_messages_leave_in_the_order_of_their_classes() -> None:
    sent: list[bytes] = []
    outbox = Outbox(lambda _, data: sent.append(data))
    outbox.post(ANNA, b"deferrable", Urgency.DEFERRABLE)
    outbox.post(ANNA, b"first", Urgency.AFTER_COMMIT)
    outbox.post(BEN, b"second", Urgency.AFTER_COMMIT)
    outbox.post(BEN, b"early", Urgency.EARLY)
    assert sent == [b"early"] and outbox.has_deferred
    outbox.committed()
    assert sent == [b"early", b"first", b"second"] and outbox.has_deferred
    # the next turn: before all that this turn adds
    outbox.release_deferred()
    outbox.post(ANNA, b"third", Urgency.AFTER_COMMIT)
    assert not outbox.has_deferred and sent[3:] == []
    outbox.committed()
    outbox.committed()
    assert sent[3:] == [b"deferrable", b"third"]
