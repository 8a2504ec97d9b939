"""Latency of a decision: from a proposal at one governor's control socket to the capsules there.

Each proposal is that of `writ member revoke`: an amendment, and the whole policy that follows from
it, under a policy without operators' approval. Proposals follow each other with a pause, so that
the figures are latencies. The proposer rotates: in most rounds it is another governor.
"""

import time

from writ_host.governor.control import ControlClient

from .committee import Committee
from .row import Row
from .times import Times

# By the number of governors: (measured rounds, warm-up rounds). The warm-up fills SQLite's log
# once, so that it is reused and does not grow any more.
ROUNDS = {4: (200, 30), 7: (60, 20), 13: (40, 10)}
PAUSE_S = 0.01
# The figures of metrics are a second old at most.
METRICS_S = 1.2


def measure() -> list[Row]:
    """Times with 4, 7 and 13 governors, and messages and bytes with 4."""
    rows = []
    for count, (rounds, warm) in ROUNDS.items():
        with Committee(count, ["soil"]) as committee:
            decide(committee, warm)
            before = traffic(committee) if count == 4 else {}
            times = decide(committee, rounds)
            rows.append(Row(f"ms.decide_{count}_p50", times.ms(50), "ms"))
            rows.append(Row(f"ms.decide_{count}_p99", times.ms(99), "ms"))
            if before:
                rows += _traffic_rows(before, traffic(committee), rounds)
    return rows


def decide(committee: Committee, rounds: int) -> Times:
    """Revoke and restore a member in turn, each in an epoch of its own."""
    first, member = committee.governors[0], committee.devices[0].node_id
    seconds = []
    with ControlClient(first.folder.control) as client:
        for _ in range(rounds):
            payloads = [payload.hex() for payload in committee.revocation(member)]
            since = time.perf_counter()
            found = client.ask("propose", payloads=payloads, title="bench")
            while found["state"] == "open":
                found = client.ask_anew("find", found, id=found["id"], lines=False)
            seconds.append(time.perf_counter() - since)
            assert len(found["capsules"]) == 2, found
            time.sleep(PAUSE_S)
    return Times(seconds)


def traffic(committee: Committee) -> dict[str, float]:
    """The datagrams and bytes that the governors have sent so far, from up-to-date metrics."""
    time.sleep(METRICS_S)
    return committee.traffic()


def _traffic_rows(before: dict[str, float], after: dict[str, float], rounds: int) -> list[Row]:
    """Datagrams and bytes of all governors for each decision, without UDP and IP headers.

    Several messages to one peer may share a datagram. Traffic without a decision is included.
    """
    found = []
    for name, unit in (("datagrams", "datagrams"), ("bytes", "bytes")):
        key = f"writ_governor_{name}_sent_total"
        title = "messages" if name == "datagrams" else name
        each = (after[key] - before[key]) / rounds
        found.append(Row(f"{title}.decide_4", round(each, 1), unit))
    return found
