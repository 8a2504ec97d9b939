"""After a succession the governors certify all living members again, whatever the others are."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from governor_rig import DAY_S, NAMES, SENSOR, Cluster

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.capsule import MEMBER, SUCCESSION
from writ_host.ceremony.local import found_local
from writ_host.consensus.effects import Decide
from writ_host.consensus.value import BATCH_MAX, Value
from writ_host.governor.core.core import FOUNDERS
from writ_host.governor.proposals.proposal import CERTIFIED, Proposal
from writ_host.governor.renewal import TURN_S, Renewal
from writ_host.keys.roster import committee_digest
from writ_host.scope import issuance
from writ_host.scope.folder import now_s
from writ_host.scope.issuance import Draft, LocalSigner
from writ_host.scope.revocation import member_body, replaced

# More than a batch, so that each kind could fill one alone.
MANY = BATCH_MAX + 8


class Succeeded(Cluster):
    """Four governors after revocations, a clean-up and a succession: no member has a new capsule.

    facts: by name: (short address, expiry, epoch) of members, in the order of certification;
    revoked: names. The epochs: 1 the founding, 2 the clean-up, 3 the succession. lacks: by
    governor, the names of members that it has never heard of.
    """

    def __init__(
        self,
        path: Path,
        facts: dict[str, tuple[int, int, int]],
        revoked: Sequence[str] = (),
        lacks: dict[int, set[str]] | None = None,
        keys: dict[str, str] | None = None,
    ) -> None:
        super().__init__(path)
        self.problems: dict[int, set[str]] = {}
        # the first governor's turn begins now
        self.turn_s = -now_s() % (len(self.cores) * TURN_S)
        self.nodes = {name: crypto.sha256(name.encode()) for name in facts}
        payloads = [
            self._member((keys or {}).get(name, name), self.nodes[name], *facts[name])
            for name in facts
        ]
        ids = [self.node_id(name) for name in revoked]
        chain = self.cores[1].context.chain
        clean = replaced(chain.policy, 2, chain.head, self.clock_s(), ids, void_before=1)
        new = found_local("farm", list(NAMES[:4]), 3)
        key, digest = new[0].seat.public.group_key, committee_digest(new[0].seat)
        charter = issuance.charter_draft(new[0].seat)
        body = [3, clean.head(), crypto.sha256(charter.payload), key]
        step = capsules.build(SUCCESSION, body, iat=self.clock_s())
        signer = LocalSigner(self.local)
        drafts = [Draft("a capsule", one) for one in (*payloads, clean.payload(), step)]
        raws = [raw for at in range(0, len(drafts), BATCH_MAX)
                for raw in issuance.sign(drafts[at : at + BATCH_MAX], signer)]  # fmt: skip
        self.raws = dict(zip(facts, raws, strict=False))
        self.local = new
        self.renewals: dict[int, Renewal] = {}
        for number, ledger in self.ledgers.items():
            unknown = (lacks or {}).get(number, set())
            ledger.capsules.add([raw for name, raw in self.raws.items() if name not in unknown])
            for epoch, raw in ((2, raws[-2]), (3, raws[-1])):
                made = capsules.parse(raw)
                ledger.add_decision(Decide(epoch, Value((made.payload,)), (made.signature,)))
            for payload in payloads:
                # its admission, as the ledger remembers it
                admission = Proposal((payload,), "admit", b"", 1, self.clock_s())
                ledger.proposals.save_closed(admission, CERTIFIED, "")
            ledger.set_meta(FOUNDERS + key.hex(), digest)
            self.start(number)
            assert self.cores[number].is_seated and self.cores[number].epoch == 3
            identity = new[number - 1].identity
            self.renewals[number] = Renewal(identity, ledger, self._proposing(number), _no_answer)

    def _member(self, name: str, private: bytes, address: int, expires: int, epoch: int) -> bytes:
        body, key = member_body(address, SENSOR, epoch), crypto.p256_public(private)
        made: bytes = capsules.build(MEMBER, body, sub=name, exp=expires, key=key)
        return made

    def _proposing(self, number: int) -> Callable[[Sequence[bytes], str, bytes], bytes]:
        return lambda payloads, _, evidence: self.propose(number, list(payloads), evidence)

    def node_id(self, name: str) -> bytes:
        """The node id (8 B) of a member."""
        found: bytes = capsules.node_id(crypto.p256_public(self.nodes[name])[0])
        return found

    def work(self, seconds: int) -> None:
        """Let the governors renew for so long."""
        for _ in range(seconds * 2):
            self.skip_s = self.turn_s + self.now_ms // 1000
            for number, renewal in self.renewals.items():
                if problem := renewal.tick(self.cores[number], self.now_ms):
                    self.problems.setdefault(number, set()).add(problem)
            # four of five steps are skipped: nothing is due in them
            self.now_ms += 450
            self.step()

    def certified(self) -> set[str]:
        """The members that all governors know under the new group key."""
        found: list[Any] = []
        for ledger in self.ledgers.values():
            known = {name: ledger.capsules.known(self.node_id(name)) for name in self.nodes}
            found.append({name for name, one in known.items() if one and not one.is_of_former_key})
        return set.intersection(*found)


def _no_answer(*_: object) -> tuple[int, bytes]:
    return 0, b""


def crowd(kind: str, first: int, expires: int, epoch: int) -> dict[str, tuple[int, int, int]]:
    return {f"{kind}-{n}": (first + n, expires, epoch) for n in range(MANY)}


ROUND_S = 4 * TURN_S


def test_void_and_revoked_members_keep_no_other_from_the_new_key(tmp_path: Path) -> None:
    later = now_s() + 90 * DAY_S
    facts = crowd("void", 1000, later, 0) | crowd("revoked", 2000, later, 1)
    facts |= crowd("living", 3000, later, 1)
    scope = Succeeded(tmp_path, facts, [name for name in facts if name.startswith("revoked")])
    scope.work(ROUND_S)
    assert scope.certified() == {name for name in facts if name.startswith("living")}
    assert not scope.problems
    # the others are left alone: no proposal of them waits, and soil, from the founding, is void
    payloads = {payload for core in scope.cores.values()
                for one in core.pool.proposals for payload in one.payloads}  # fmt: skip
    assert not payloads & {capsules.parse(raw).payload for raw in scope.raws.values()}


def test_expired_members_keep_no_other_from_the_new_key(tmp_path: Path) -> None:
    soon = now_s() + 60
    facts = crowd("expiring", 1000, soon, 1) | {"living": (7, soon + DAY_S, 1)}
    scope = Succeeded(tmp_path, facts)
    scope.now_ms = 61_000
    scope.work(ROUND_S)
    assert scope.certified() == {"living"} and not scope.problems


def test_a_member_that_this_governor_refuses_blocks_no_other(tmp_path: Path) -> None:
    later = now_s() + 90 * DAY_S
    facts = {"one": (5, later, 1), "two": (6, later, 1), "living": (7, later, 1)}
    # by a mistake of earlier days two living members have one name
    scope = Succeeded(tmp_path, facts, keys={"two": "one"})
    scope.work(ROUND_S)
    assert scope.certified() == {"living"}
    for texts in scope.problems.values():
        assert all(text.startswith("cannot renew a member capsule: one (") for text in texts), texts
        assert all("another member has the name one" in text for text in texts), texts
    assert len(scope.problems) == 4


def test_a_member_that_other_governors_refuse_blocks_no_other(tmp_path: Path) -> None:
    later = now_s() + 90 * DAY_S
    facts = {"rain": (5, later, 1), "snow": (6, later, 1), "wind": (7, later, 1)}
    # two of four have never heard of it: too few for a signature
    scope = Succeeded(tmp_path, facts, lacks={2: {"rain"}, 3: {"rain"}})
    # before these two would take over, whose batches lack it
    scope.work(TURN_S)
    assert scope.certified() == {"snow", "wind"}


def test_a_governor_whose_own_admission_is_refused_renews_the_others(tmp_path: Path) -> None:
    later = now_s() + 90 * DAY_S
    # the name of each governor's node belongs to another node
    facts = {name: (5 + place, later, 1) for place, name in enumerate(NAMES[:4])}
    scope = Succeeded(tmp_path, facts)
    scope.work(ROUND_S)
    assert scope.certified() == set(facts)
    assert set(scope.problems) == {1, 2, 3, 4}
