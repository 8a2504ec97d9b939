"""A name that old governors promised, and a newcomer that was not there then."""

from pathlib import Path

import pytest
from governor_rig import DAY_S, Village, evidence_of, member_payload

from writ import crypto
from writ.node.sync import member_request
from writ_host.ceremony.local import Identity
from writ_host.ceremony.plan import BadPlan
from writ_host.errors import HostError
from writ_host.governor.core.reservations import NEW, SHARE_TIMEOUT_S, TOLD_EACH_MAX, UNTOLD
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.proposals.messages import ASK_RESERVATIONS, ITEMS_MAX, RESERVATIONS
from writ_host.governor.proposals.messages import type_of as type_
from writ_host.governor.proposals.proposal import CERTIFIED, OPEN
from writ_host.keys.roster import committee_digest
from writ_host.scope.folder import now_s


@pytest.fixture
def village(tmp_path: Path) -> Village:
    return Village(tmp_path)


def promise(village: Village, name: str, address: int, *numbers: int) -> bytes:
    """Whom these governors have given their shares for; nobody has seen what came of it."""
    private = crypto.p256_generate()
    for number in numbers:
        assert village.ledgers[number].pledge([member_payload(private, name, address)]) is None
    return private


def replace_dora(village: Village) -> None:
    """Emil comes in her place, with nothing but a share and the charter."""
    village.down.add(4)
    identities = [one.identity for one in village.local[:3]]
    new = village.reshare([*identities, Identity.generate("emil")])
    village.put_in_force(new)
    village.ledgers[4] = Ledger.open(village.path / "emil.db")
    village.ledgers[4].add_capsules([village.ledgers[1].charter() or b""])
    village.ledgers[4].set_meta(NEW, b"")
    village.down.discard(4)
    village.reseats.clear()
    village.start(4)
    village.run(lambda: village.reseats.get(4) == committee_digest(new[0].seat))
    village.start(4)
    assert village.cores[4].is_seated


def admit(village: Village, name: str, address: int, by: int = 1) -> bytes:
    """The proposal to give a new key this name, approved."""
    private = crypto.p256_generate()
    payload = member_payload(private, name, address)
    id = village.propose(by, [payload], evidence_of(member_request(private, name)))
    village.step()
    village.approve(by, id)
    return id


def is_told(village: Village) -> bool:
    return village.ledgers[4].meta(NEW) is None


def test_a_name_that_left_with_old_governors_is_not_given_away(village: Village) -> None:
    # a liar, dora and ben have signed; the liar keeps what came of it to itself
    promise(village, "pump", 300, 2, 4)
    replace_dora(village)
    village.run(lambda: is_told(village))
    for name, address in (("pump", 301), ("valve", 300)):
        id = admit(village, name, address)
        for _ in range(300):
            village.step()
        # the liar, carl and emil would be enough
        assert village.view(1, id).state == OPEN
        assert "may be promised to another node" in village.view(1, id).reason
    # others are admitted, and emil is needed for it
    village.down.add(2)
    id = admit(village, "well", 302)
    village.run(lambda: village.view(4, id).state == CERTIFIED)


def test_until_it_is_told_it_signs_for_nobody_new(village: Village) -> None:
    village.lose = lambda sender, to, data: type_(data) == RESERVATIONS and sender != 1
    replace_dora(village)
    village.down.add(2)
    id = admit(village, "well", 302)
    renewal = village.propose(1, [member_payload(village.soil.private, "soil", 100, days=60)])
    village.step()
    village.approve(1, renewal)
    # what is a member already stays so
    village.run(lambda: village.view(4, renewal).state == CERTIFIED)
    village.run(lambda: UNTOLD in village.view(1, id).reason)
    assert village.view(1, id).state == OPEN
    village.down.discard(2)
    village.lose = lambda sender, to, data: False
    village.run(lambda: is_told(village))
    village.down.add(3)
    village.run(lambda: village.view(4, id).state == CERTIFIED)


def test_who_never_tells_is_waited_for_a_week(village: Village) -> None:
    promise(village, "pump", 300, 2)
    village.lose = lambda sender, to, data: type_(data) == RESERVATIONS and sender != 2
    replace_dora(village)
    village.run(lambda: bool(village.ledgers[4].meta(NEW)))
    for _ in range(200):
        village.step()
    assert not is_told(village)
    village.cores[4].context.clock_s = lambda: now_s() + SHARE_TIMEOUT_S + 2
    village.run(lambda: is_told(village))
    # and what was told until then counts
    rival = member_payload(crypto.p256_generate(), "pump", 301)
    assert "may be promised" in (village.ledgers[4].pledge([rival]) or "")


def test_many_are_told_in_parts_and_whatever_is_lost_is_asked_for_again(village: Village) -> None:
    for number in range(ITEMS_MAX):
        promise(village, f"pump-{number}", 300 + number, 3)
    lost: list[bytes] = []

    def lose(sender: int, to: int, data: bytes) -> bool:
        if type_(data) in (ASK_RESERVATIONS, RESERVATIONS) and len(lost) < 9:
            lost.append(data)
            return True
        return False

    village.lose = lose
    replace_dora(village)
    village.run(lambda: is_told(village))
    count = village.ledgers[4].value("SELECT count(*) FROM pledges")
    assert count == 2 * ITEMS_MAX
    assert village.ledgers[4].highest_address() == 100


def test_a_liar_bars_names_of_nobody_who_is_a_member(village: Village) -> None:
    replace_dora(village)
    core, ledger = village.cores[4], village.ledgers[4]
    promised = core.cosigning.reservations
    ledger.set_meta(NEW, b"")
    other, until = bytes(8), now_s() + 99 * DAY_S
    for key in ("n/", "x/y", "n/a/b", "n"):
        with pytest.raises(HostError):
            promised.take(1, [RESERVATIONS, None, [[key, other, until]]])
    promised.take(1, [RESERVATIONS, "a/5", [["n/soil", other, until], ["a/100", other, until]]])
    assert ledger.pledge([member_payload(village.soil.private, "soil", 100)]) is None
    assert ledger.pledge([member_payload(crypto.p256_generate(), "soil", 7)]) is not None
    for number in range(2 * TOLD_EACH_MAX):
        promised.take(1, [RESERVATIONS, f"n/{number:06}", [[f"n/{number}", other, until]]])
    assert ledger.value("SELECT count(*) FROM pledges") <= TOLD_EACH_MAX + 4


def test_so_many_stay_that_one_of_them_knows(village: Village) -> None:
    new = [Identity.generate(name) for name in ("emil", "fay")]
    with pytest.raises(BadPlan, match="2 governors stay"):
        village.reshare([village.local[0].identity, village.local[1].identity, *new])
