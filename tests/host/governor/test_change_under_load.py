"""Changes of governors under a steady load of admissions: real daemons, real sockets."""

import threading
import time
from collections.abc import Iterator
from itertools import combinations, count, product
from pathlib import Path

import pytest
from council_rig import Council, finish, founded, wait_for

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER
from writ.node.statement import member_request
from writ_host import codec
from writ_host.ceremony import keyring
from writ_host.errors import HostError
from writ_host.keys.frost import KeyPackage, lagrange
from writ_host.keys.group import ORDER, base
from writ_host.keys.keyfile import KeyFile
from writ_host.keys.roster import Seat

pytestmark = pytest.mark.slow

POLICY = """
[roles]
governor = "certifies"
sensor = "measures"

[[rule]]
from = "sensor"
to = "sensor"
resource = "*"
methods = ["GET"]

[approvals]
operators = 1

[[approvals.rule]]
kind = "member"
roles = ["governor", "sensor"]
operators = 0
"""
SENSOR = 4
THRESHOLD = 3


class Load(threading.Thread):
    """Admits one device after the other, at each governor in turn, until `stop`.

    proposed: the names of all; certified: their capsules, by name. Each admission is repeated at
    the governors that are online until it is certified.
    """

    def __init__(self, council: Council) -> None:
        super().__init__(daemon=True)
        self.council = council
        self.at = "abc"
        self.certified: dict[str, bytes] = {}
        self.proposed: list[str] = []
        self.problem = ""
        self._ends = threading.Event()

    def run(self) -> None:
        for number in count(1):
            if self._ends.is_set():
                return
            # addresses go down: governors admit their nodes at the next address above all others
            self._admit(f"probe-{number}", 60000 - number)

    def stop(self) -> None:
        """End after the present admission."""
        self._ends.set()
        self.join(60)
        assert not self.is_alive()

    def wait_for_more(self) -> None:
        """Wait until two more are certified."""
        wanted = len(self.certified) + 2

        def describe() -> str:
            waiting = self.council.ask("a", "pending")["proposals"]
            return f"{self.proposed[-1]} is not certified: {self.problem}, {waiting}"

        wait_for(lambda: len(self.certified) >= wanted, describe, 60)

    def _admit(self, name: str, address: int) -> None:
        private = crypto.p256_generate()
        exp, key = int(time.time()) + 86400, crypto.p256_public(private)
        payload = capsules.build(MEMBER, [address, SENSOR], sub=name, exp=exp, key=key)
        evidence = codec.dump([member_request(private, name)])
        self.proposed.append(name)
        for turn in count():
            at = self.at[(address + turn) % len(self.at)]
            try:
                asked = {"payloads": [payload], "title": name, "evidence": evidence}
                found = self.council.ask(at, "propose", **asked)
                for _ in range(100):
                    if found["state"] == "certified":
                        self.certified[name] = bytes.fromhex(found["capsules"][0])
                        return
                    time.sleep(0.02)
                    found = self.council.ask(at, "find", id=found["id"])
            except (HostError, OSError) as error:
                # the governor is changing its seat
                self.problem = f"{at}: {error}"
                time.sleep(0.1)


@pytest.fixture
def council(tmp_path: Path) -> Iterator[Council]:
    with founded(tmp_path, POLICY) as council:
        yield council


def shares(council: Council, names: str) -> dict[int, KeyPackage]:
    """The key shares in the governors' encrypted files, by number."""
    key = KeyFile.load(council.root / "key")
    raws = [keyring.seat_store(council.path(name), name, key).load() for name in names]
    found = [Seat.from_bytes(raw).key for raw in raws if raw]
    assert len(found) == len(names)
    return {one.identifier: one for one in found}


def combine(*generations: tuple[dict[int, KeyPackage], tuple[int, ...]]) -> bytes:
    """The public key of the secret that these shares interpolate to."""
    chosen = [(i, keys[i].signing_share) for keys, numbers in generations for i in numbers]
    numbers = [i for i, _ in chosen]
    return base(sum(lagrange(i, numbers) * share for i, share in chosen) % ORDER)


def check_shares(old: dict[int, KeyPackage], new: dict[int, KeyPackage]) -> None:
    """Each generation of shares yields the group key, and no mixture of both does."""
    group_key = next(iter(old.values())).group_key
    for keys in (old, new):
        assert {combine((keys, three)) for three in combinations(keys, THRESHOLD)} == {group_key}
    for some in (1, 2):
        parts = combinations(old, some), combinations(new, THRESHOLD - some)
        for one, two in product(*(tuple(part) for part in parts)):
            if not set(one) & set(two):
                assert combine((old, one), (new, two)) != group_key


def change(council: Council, load: Load, ends: str, *words: str) -> None:
    """A change of governors, approved by `ends`, then put in force by b and c, under load."""
    command = council.begin("governor", *words, "--yes", "--json")
    council.approve(*ends)
    wait_for(lambda: council.waiting("b"), council.log("b"), 60)
    load.wait_for_more()
    council.approve("b", "c")
    assert finish(command)["in_force"]
    load.wait_for_more()


def test_governors_change_under_a_load_of_admissions(council: Council) -> None:
    group_key = council.ask("a", "state")["group_key"]
    load = Load(council)
    load.start()
    load.wait_for_more()

    # e is added, d is removed
    first = shares(council, "abcd")
    council.add("e")
    change(council, load, "bce", "change", "a", "--add", "e/e.toml", "--remove", "d")
    wait_for(lambda: council.ask("e", "status")["state"] == "seated", council.log("e"))
    second = shares(council, "abce")
    check_shares(first, second)

    # e loses its disk, and with it its key share
    council.kill("e")
    for name in ("ledger.db", "ledger.db-wal", "e.seat"):
        (council.path("e") / name).unlink(missing_ok=True)
    council.start("e")
    change(council, load, "bce", "change", "a", "--remove", "e", "--add", "e/e.toml")
    wait_for(lambda: council.ask("e", "status")["state"] == "seated", council.log("e"), 60)
    third = shares(council, "abce")
    check_shares(second, third)

    # the same governors get new shares
    load.at = "abce"
    change(council, load, "bc", "refresh", "a")
    wait_for(lambda: council.ask("e", "state")["epoch"] == 4, council.log("e"), 60)
    check_shares(third, shares(council, "abce"))

    load.stop()
    assert sorted(load.certified) == sorted(load.proposed)
    states = [council.ask(name, "state") for name in "abce"]
    assert {(one["group_key"], one["epoch"], one["head"]) for one in states} == {
        (group_key, 4, states[0]["head"])
    }
    for raw in load.certified.values():
        one = capsules.parse(raw)
        key = bytes.fromhex(group_key)
        assert crypto.ed25519_verify(key, one.signing_input(), one.signature)
