"""Validation of payloads before governors sign them."""

import pytest

from writ import crypto
from writ.authority.capsule import (
    BEACON,
    MEMBER,
    POLICY,
    TIME_MAX,
    WRIT,
    Member,
    assemble,
    build,
    parse,
)
from writ_host import codec
from writ_host.errors import Malformed
from writ_host.scope.lifetime import MEMBERSHIP_S_MAX
from writ_host.scope.validation import KnownMember, Validation, beacon_objection

HEAD = b"123456"
TOO_FAR = "its time is more than 300 s from this governor's clock"
OTHER_POLICY = "it does not name the newest policy that this governor has"


@pytest.mark.parametrize(
    ("time_s", "epoch", "head", "reason"),
    [
        (1000, 5, HEAD, None),
        (1300, 5, HEAD, None),
        (1301, 5, HEAD, TOO_FAR),
        (699, 5, HEAD, TOO_FAR),
        (1000, 6, HEAD, OTHER_POLICY),
        (1000, 5, b"123457", OTHER_POLICY),
    ],
)
def test_a_beacon_is_checked_against_the_governors_own_clock_and_head(
    time_s: int, epoch: int, head: bytes, reason: str | None
) -> None:
    beacon = build(BEACON, [epoch, head], iat=time_s)
    assert beacon_objection(beacon, 1000, 300, 5, HEAD) == reason


def test_only_beacons_are_checked_as_beacons() -> None:
    other = build(POLICY, [5, HEAD], iat=1000)
    assert beacon_objection(other, 1000, 300, 5, HEAD) == "not a beacon"
    for payload in (b"", b"\x01", b"\xa0", codec.dump({WRIT: [BEACON, 5, HEAD]})):
        with pytest.raises(Malformed):
            beacon_objection(payload, 1000, 300, 5, HEAD)


NOW_S = 1_800_000_000
SKEW_S = 300


class OneMember:
    """A registry that knows one member, or none."""

    def __init__(self, raw: bytes | None = None) -> None:
        self._known = KnownMember(Member(parse(raw))) if raw else None

    def known(self, _: bytes) -> KnownMember | None:
        return self._known

    def named(self, _: str) -> list[Member]:
        return []

    def addressed(self, _: int) -> list[Member]:
        return []


def member(expires: int) -> bytes:
    key = crypto.p256_public(crypto.sha256(b"pump"))
    payload = build(MEMBER, [1, 4], sub="pump", exp=expires, key=key)
    return bytes(assemble(payload, bytes(64)))


@pytest.mark.parametrize(
    ("known_s", "expires", "is_signed"),
    [
        (None, NOW_S + MEMBERSHIP_S_MAX, True),
        # another governor's clock may be ahead
        (None, NOW_S + MEMBERSHIP_S_MAX + SKEW_S, True),
        (None, NOW_S + MEMBERSHIP_S_MAX + SKEW_S + 1, False),
        (NOW_S + 9, NOW_S + MEMBERSHIP_S_MAX + SKEW_S + 1, False),
        # one of a wrong clock is certified anew by a clean-up or a rename, and is made no longer
        (TIME_MAX - 9999, TIME_MAX - 9998, True),
        (TIME_MAX - 9999, TIME_MAX - 9998 + SKEW_S + 1, False),
    ],
)
def test_a_membership_lasts_ten_years_at_most(
    known_s: int | None, expires: int, is_signed: bool
) -> None:
    registry = OneMember(member(known_s) if known_s else None)
    judged = Validation(registry, None, 0, HEAD, NOW_S, SKEW_S)  # type: ignore[arg-type]
    judged.member(parse(member(expires)))
    assert bool(judged.problems) is not is_signed, judged.problems
    assert is_signed or "ten years" in judged.problems[0]
