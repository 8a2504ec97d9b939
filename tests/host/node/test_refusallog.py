"""Refusals in a log: one line a reason and minute, with their number."""

from writ_host.node.refusallog import NAMED_MAX, WINDOW_MS, RefusalLog


class Rig:
    """Collects the lines of a log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.facts: list[dict[str, object]] = []
        self.log = RefusalLog(self._report)

    def _report(self, event: str, text: str, **facts: object) -> None:
        self.lines.append((event, text))
        self.facts.append(facts)

    def refuse(self, now_ms: int, sender: str = "pump", reason: str = "Expired") -> None:
        self.log.add("refused", reason, sender, f"{sender}: GET temp refused", now_ms)


def test_forty_expired_members_make_one_line_a_minute() -> None:
    rig = Rig()
    for second in range(180):
        for member in range(40):
            rig.refuse(1000 * second, f"m{member}")
    assert rig.lines == [
        ("refused", "m0: GET temp refused"),
        ("refusals", "2399 more refusals by Expired in the last minute from m1, m2, m3 and others"),
        ("refusals", "2400 more refusals by Expired in the last minute from m0, m1, m2 and others"),
    ]
    assert rig.facts[1] == {"reason": "Expired", "count": 2399}
    assert NAMED_MAX == 3


def test_each_reason_has_its_own_minute() -> None:
    rig = Rig()
    rig.refuse(0)
    rig.refuse(1, reason="Revoked")
    rig.refuse(2)
    assert [event for event, _ in rig.lines] == ["refused", "refused"]
    rig.log.tick(WINDOW_MS)
    assert rig.lines[2] == ("refusals", "1 more refusal by Expired in the last minute from pump")
    # a reason without another refusal is reported at once the next time
    rig.refuse(WINDOW_MS + 2, "well", reason="Revoked")
    assert rig.lines[3] == ("refused", "well: GET temp refused")


def test_the_last_count_is_reported_without_another_refusal() -> None:
    rig = Rig()
    assert rig.log.next_ms(0) is None
    rig.refuse(0)
    assert rig.log.next_ms(0) is None
    rig.refuse(10)
    assert rig.log.next_ms(10) == WINDOW_MS - 10
    rig.log.tick(WINDOW_MS)
    rig.log.tick(2 * WINDOW_MS)
    assert len(rig.lines) == 2 and rig.log.next_ms(2 * WINDOW_MS) is None
