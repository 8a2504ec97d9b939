"""Validation of payloads before governors sign them."""

import pytest

from writ.authority.capsule import BEACON, POLICY, WRIT, build
from writ_host import codec
from writ_host.errors import Malformed
from writ_host.scope.validation import beacon_objection

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
