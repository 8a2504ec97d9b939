"""From a proposal at one governor's control socket to the certified capsules there.

What is proposed is what `writ member revoke` proposes: an amendment, and the whole policy that
follows from it, under a policy that asks no operator. One after the other with a pause, so that it
is latency that is measured; the proposer, which rotates, is another governor in most rounds.
"""

import time

from writ_host.governor.control import ControlClient

from .committee import Committee
from .row import Row
from .times import Times

# By the number of governors: rounds that count, after some that fill SQLite's log once and let it
# settle, so that it is written over and no longer grows.
ROUNDS = {4: (200, 30), 7: (60, 20), 13: (40, 10)}
PAUSE_S = 0.01
# What metrics tell is a second old at most.
METRICS_S = 1.2


def measure() -> list[Row]:
    """Times with 4, 7 and 13 governors; messages and bytes with 4."""
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
    """Revoke a member, restore it, and so on, each in an epoch of its own."""
    first, member = committee.governors[0], committee.devices[0].node_id
    seconds = []
    with ControlClient(first.folder.control) as client:
        for _ in range(rounds):
            payloads = [payload.hex() for payload in committee.revocation(member)]
            since = time.perf_counter()
            found = client.ask("propose", payloads=payloads, title="bench")
            while found["state"] == "open":
                found = client.ask_anew("find", found, id=found["id"], words=False)
            seconds.append(time.perf_counter() - since)
            assert len(found["capsules"]) == 2, found
            time.sleep(PAUSE_S)
    return Times(seconds)


def traffic(committee: Committee) -> dict[str, float]:
    """What the governors have sent to each other so far, once their metrics know it."""
    time.sleep(METRICS_S)
    return committee.traffic()


def _traffic_rows(before: dict[str, float], after: dict[str, float], rounds: int) -> list[Row]:
    """Datagrams (several messages to one peer may share one) and their bytes without UDP and IP.

    Of all governors together; what they say to each other without a decision is in it.
    """
    found = []
    for name, unit in (("datagrams", "datagrams"), ("bytes", "bytes")):
        key = f"writ_governor_{name}_sent_total"
        title = "messages" if name == "datagrams" else name
        each = (after[key] - before[key]) / rounds
        found.append(Row(f"{title}.decide_4", round(each, 1), unit))
    return found
