"""Times of the group key: distributed key generation, and one certification."""

import time

from writ.authority import capsule
from writ_host.ceremony.local import found_local, sign_local
from writ_host.ceremony.request import Item

from .row import Row


def measure(rounds: int = 3) -> list[Row]:
    """Times with 4 and 7 governors, all in this process and in memory."""
    rows = []
    for count in (4, 7):
        names = [f"governor-{i + 1}" for i in range(count)]
        threshold = 2 * count // 3 + 1
        founding, certifying = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            governors = found_local("farm", names, threshold)
            founding.append(time.perf_counter() - start)
            item = Item("a member", capsule.signing_input(bytes(76)))
            start = time.perf_counter()
            sign_local(governors[:threshold], "a member", [item])
            certifying.append(time.perf_counter() - start)
        rows.append(Row(f"ms.dkg_{count}", round(1000 * min(founding), 1), "ms"))
        rows.append(Row(f"ms.certify_{count}", round(1000 * min(certifying), 1), "ms"))
    return rows
