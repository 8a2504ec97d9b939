"""A scope loses devices for years: the list of revoked nodes never fills up."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import signer as rig
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa
from docs_rig import DOCS
from fakeflash import MemoryFlash

from writ import crypto
from writ.authority import capsule as capsules
from writ.authority.authority import Authority
from writ.authority.capsule import BEACON, CHARTER, POLICY, Member
from writ.authority.policy import PARAM_VOID_BEFORE, Policy
from writ.authority.store import Store
from writ.errors import Expired, NotMember, Rejection, Revoked
from writ.limits import DATAGRAM_BYTES_MAX, RECORD_BYTES_MAX, REVOKED_MAX
from writ_host.ceremony.request import Item
from writ_host.policy.source import PolicyFile
from writ_host.policy.template import template
from writ_host.scope import change, issuance, revocation
from writ_host.scope.change import PolicyChange
from writ_host.scope.folder import ScopeFolder, now_s

DAY = 86400
SENSOR = 4


class OneKey:
    """A group whose key one test holds: FROST signatures look the same to everyone."""

    def __init__(self) -> None:
        key = eddsa.import_private_key(rig.GROUP_SEED)
        assert isinstance(key, ECC.EccKey)
        self._signer = eddsa.new(key, "rfc8032")
        self.group_key: bytes = rig.public_key()

    def sign(self, title: str, items: Sequence[Item]) -> list[bytes]:
        return [bytes(self._signer.sign(item.to_be_signed)) for item in items]

    def certify(self, payload: bytes) -> bytes:
        (made,) = self.sign("", [Item("one", capsules.signing_input(payload))])
        return bytes(capsules.assemble(payload, made))


KEY = OneKey()


def member(number: int, name: str, expires: int, epoch: int = 1) -> bytes:
    x = crypto.sha256(name.encode())
    payload = rig.member_payload(x, name, number, SENSOR, expires, epoch=epoch)
    return KEY.certify(payload)


class Scope:
    """A scope folder, and one device that receives every policy, as its governors certify it."""

    def __init__(self, path: Path, lost: int, kept: int, days: int = 400) -> None:
        now = now_s()
        body = ["farm", 3, [bytes((i,)) * 32 for i in range(1, 5)], KEY.group_key]
        charter = capsules.build(CHARTER, [*body, {1: DAY, 2: 120}], iat=now - 9)
        raws = [KEY.certify(charter)]
        text = template("farm")
        first = PolicyFile.parse(text).policy(1, capsules.head(charter), now - 8)
        raws.append(KEY.certify(first.payload()))
        beacon = capsules.build(BEACON, [1, first.head()], iat=now - 8)
        ScopeFolder.create(path, raws[0])
        self.names = [f"lost-{n}" for n in range(lost)], [f"kept-{n}" for n in range(kept)]
        self.until = now + days * DAY
        self.folder = ScopeFolder.open(path)
        for raw in (raws[1], KEY.certify(beacon)):
            self.folder.take(raw)
        self.admit(*self.names[0], *self.names[1])
        self.store = Store(MemoryFlash())
        self.device = Authority(self.store, b"o" * 32, self.folder.charter.scope)
        for raw in raws:
            self.device.receive(raw, 0)

    def admit(self, *names: str) -> None:
        for name in names:
            address = self.folder.members.next_address()
            self.folder.take(member(address, name, self.until, self.folder.epoch))

    def find(self, name: str) -> Member:
        found = self.folder.members.find(name)
        assert found is not None
        return found

    def make(self, made: PolicyChange) -> bytes:
        """Certify a change, hand it to the device as a peer would, and return the whole policy."""
        raws = issuance.issue(self.folder, made.drafts, KEY)
        by_kind = {capsules.parse(raw).kind: raw for raw in raws}
        self.device.receive(raws[0], 0)
        assert self.device.epoch == self.folder.epoch
        return by_kind[POLICY]

    def verdict(self, found: Member) -> type[Rejection] | None:
        try:
            self.device.check_member(found, 0)
        except Rejection as error:
            return type(error)
        return None

    def clean(self) -> bytes:
        renewed = change.to_renew(self.folder)
        issuance.issue(self.folder, change.renewal_drafts(self.folder, renewed), KEY)
        return self.make(change.cleaning(self.folder))

    def record_bytes(self) -> int:
        return len(self.store.load("policy"))


@pytest.mark.slow
def test_a_thousand_lost_devices_a_year(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "farm", 0, 12)
    lost, kept = [f"lost-{n}" for n in range(1000)], scope.names[1]
    largest, records, cleaned = 0, 0, []
    for name in lost:
        # in place of the device that was lost before
        scope.admit(name)
        was = scope.find(name)
        assert scope.verdict(was) is None
        whole = scope.make(change.revocation(scope.folder, [was]))
        largest = max(largest, len(whole))
        assert scope.verdict(was) is Revoked
        if revocation.room_warning(scope.folder.policy):
            whole = scope.clean()
            assert scope.folder.policy is not None and scope.folder.policy.revoked == []
            assert scope.verdict(was) is NotMember
            cleaned.append(len(whole))
        records = max(records, scope.record_bytes())
        # nothing that a policy needs leaves one datagram or a record
        assert largest <= revocation.DATAGRAM_POLICY_BYTES < DATAGRAM_BYTES_MAX
        assert records <= RECORD_BYTES_MAX
    assert 10 < len(cleaned) < 40 and max(cleaned) < 400
    print(f"policy {largest} B, record {records} B, cleaned {len(cleaned)} times, {max(cleaned)} B")
    # no lost device is a member, whatever was cleaned, and all others still are
    assert {scope.verdict(scope.find(name)) for name in lost} <= {Revoked, NotMember}
    assert {scope.verdict(scope.find(name)) for name in kept} == {None}
    assert all(scope.folder.is_living(scope.find(name), now_s()) for name in kept)


def test_a_full_list_says_so_and_names_the_next_step(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "farm", REVOKED_MAX + 1, 1)
    lost = [scope.find(name) for name in scope.names[0]]
    for at in range(0, REVOKED_MAX, 16):
        whole = scope.make(change.revocation(scope.folder, lost[at : at + 16]))
        if at + 16 == 48:
            page = " ".join((DOCS / "limits.md").read_text().split())
            assert f"48 revoked nodes beside the template's rules make {len(whole)} to" in page
        text = revocation.room_warning(scope.folder.policy)
        assert (text is not None) == (at + 16 >= revocation.REVOKED_WARN), text
        assert text is None or "writ policy clean" in text
    with pytest.raises(revocation.RevokedListFull, match="65 revoked members") as caught:
        change.revocation(scope.folder, [lost[-1]])
    assert "writ policy clean" in caught.value.advice
    scope.clean()
    scope.make(change.revocation(scope.folder, [lost[-1]]))
    assert scope.verdict(scope.find("lost-64")) is Revoked
    assert {scope.verdict(one) for one in lost} == {NotMember}


def test_more_members_than_an_amendment_holds_are_revoked_at_once(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "farm", 20, 1)
    made = change.revocation(scope.folder, [scope.find(name) for name in scope.names[0]])
    assert made.ops is None
    scope.make(made)
    assert {scope.verdict(scope.find(name)) for name in scope.names[0]} == {Revoked}


def test_expired_ids_leave_a_full_list_with_a_policy_that_carries_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(tmp_path / "farm", REVOKED_MAX + 1, 1, days=1)
    lost = [scope.find(name) for name in scope.names[0]]
    for at in range(0, 48, 16):
        scope.make(change.revocation(scope.folder, lost[at : at + 16]))
    later = now_s() + 2 * DAY
    for module in (change, issuance):
        monkeypatch.setattr(module, "now_s", lambda: later)
    # a governor may have signed a later membership of any of them, and then refuses to let it go:
    # while there is room a revocation depends on none
    made = change.revocation(scope.folder, lost[48:REVOKED_MAX])
    assert made.ops is not None and len(made.new.revoked) == REVOKED_MAX
    scope.make(made)
    made = change.revocation(scope.folder, lost[REVOKED_MAX:])
    # no amendment: it would not tell a device that these have expired
    assert made.ops is None and made.new.issued == later
    assert made.diff is not None and len(made.diff.dropped) == REVOKED_MAX
    assert not made.diff.restored
    scope.make(made)
    assert scope.folder.policy is not None
    assert scope.folder.policy.revoked == [lost[REVOKED_MAX].node_id]
    assert scope.verdict(lost[0]) is Expired


def test_a_policy_file_unlists_no_id_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(tmp_path / "farm", 60, 1, days=1)
    lost = [scope.find(name) for name in scope.names[0]]
    scope.make(change.revocation(scope.folder, lost[:2]))
    later = now_s() + 2 * DAY
    monkeypatch.setattr(change, "now_s", lambda: later)
    # a change that fits no amendment, of a file that lists none of them any more
    text = template("farm").replace('["GET"]', '["GET", "DELETE"]')
    made = change.policy_change(scope.folder, PolicyFile.parse(text), is_preview=True)
    assert made.new.revoked == sorted(one.node_id for one in lost[:2])
    assert made.diff is not None and not made.diff.restored and not made.diff.dropped
    scope.make(change.revocation(scope.folder, lost[2:18]))
    scope.make(change.revocation(scope.folder, lost[18:34]))
    scope.make(change.revocation(scope.folder, lost[34:50]))
    made = change.policy_change(scope.folder, PolicyFile.parse(text), is_preview=True)
    assert made.ops is None and made.new.revoked == []
    assert made.diff is not None and len(made.diff.dropped) == 50


def test_a_void_id_stays_listed_in_a_later_policy(tmp_path: Path) -> None:
    """Its known membership is void, and one that a governor holds back may not be."""
    scope = Scope(tmp_path / "farm", 2, 1)
    missed = scope.find("lost-0")
    scope.make(change.revocation(scope.folder, [scope.find("lost-1")]))
    # lost-0 misses the renewal of the clean-up, and is revoked after it
    scope.make(change.cleaning(scope.folder))
    assert scope.folder.is_void(missed)
    scope.make(change.revocation(scope.folder, [missed]))
    text = template("farm").replace("revoked = []", 'revoked = ["lost-0"]')
    wider = PolicyFile.parse(text.replace('["GET"]', '["GET", "DELETE"]'))
    made = change.policy_change(scope.folder, wider, is_preview=True)
    assert made and made.new.revoked == [missed.node_id]
    # without it in the file that would be a restoration
    none = template("farm").replace('["GET"]', '["GET", "DELETE"]')
    made = change.policy_change(scope.folder, PolicyFile.parse(none), is_preview=True)
    assert made.diff is not None and len(made.diff.restored) == 1
    # the next clean-up makes room for it
    assert change.cleaning(scope.folder).new.revoked == []


def test_an_amendment_never_drops_an_expired_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(tmp_path / "farm", 3, 1, days=1)
    scope.make(change.revocation(scope.folder, [scope.find("lost-0")]))
    later = now_s() + 2 * DAY
    monkeypatch.setattr(change, "now_s", lambda: later)
    text = template("farm").replace("revoked = []", 'revoked = ["lost-0", "lost-1"]')
    file = PolicyFile.parse(text)
    made = change.policy_change(scope.folder, file, is_preview=True)
    # lost-1 has expired and is not revoked yet: it needs no place, and nothing changes
    assert not made and made.new.revoked == [scope.find("lost-0").node_id]
    wider = PolicyFile.parse(text.replace('["GET"]', '["GET", "DELETE"]', 1))
    made = change.policy_change(scope.folder, wider, is_preview=True)
    assert made and (made.ops is None or made.new.revoked == [scope.find("lost-0").node_id])


def test_a_clean_up_keeps_what_is_not_void(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "farm", 2, 1)
    first, second = (scope.find(name) for name in scope.names[0])
    scope.make(change.revocation(scope.folder, [first]))
    # a membership that names a later epoch than it should is not void
    scope.folder.take(member(second.address, second.name, second.expires + 1, epoch=99))
    scope.make(change.revocation(scope.folder, [second]))
    stranger = b"unknown."
    policy = scope.folder.policy
    assert policy is not None
    made = revocation.replaced(
        policy, scope.folder.epoch + 1, scope.folder.head, now_s(), [*policy.revoked, stranger]
    )
    scope.make(change._change(scope.folder, policy, made, None))
    scope.clean()
    assert scope.folder.policy is not None
    # all other memberships are void, those of unknown nodes too
    assert scope.folder.policy.revoked == [second.node_id]


def test_void_before_never_goes_back_in_a_change_of_the_policy(tmp_path: Path) -> None:
    scope = Scope(tmp_path / "farm", 2, 1)
    scope.make(change.revocation(scope.folder, [scope.find("lost-0")]))
    scope.clean()
    text = template("farm").replace('["GET"]', '["GET", "DELETE"]', 1)
    made = change.policy_change(scope.folder, PolicyFile.parse(text), is_preview=True)
    assert made and made.new.void_before == 2 == made.new.params[PARAM_VOID_BEFORE]
    assert made.new.revoked == []
    scope.make(made)
    made = change.revocation(scope.folder, [scope.find("lost-1")])
    assert made.new.void_before == 2


def test_a_clean_up_voids_memberships_of_earlier_epochs_only() -> None:
    payload = rig.policy_payload(4, bytes(6), params={PARAM_VOID_BEFORE: 3})
    policy = Policy(capsules.parse_claims(payload))
    for epoch in range(5):
        one = Member(capsules.parse(member(1, "pump", rig.EXPIRES, epoch)))
        assert revocation.is_void(policy, one) is (epoch < 3)
        assert not revocation.is_void(None, one)
