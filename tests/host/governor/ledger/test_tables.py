"""The tables of the ledger: hard state, chain, proposals, approvals and the log; all bounded."""

import ledger_writer as writer
import pytest
import signer
from ledger_rig import NOW, decide_succession, member_payload, policy, raw, reopened

from writ import limits
from writ.authority import capsule
from writ.errors import UsageError
from writ_host.consensus.hardstate import RECORD_BYTES_MAX
from writ_host.governor.ledger import ceremonies, proposals
from writ_host.governor.ledger import ledger as ledgers
from writ_host.governor.ledger.database import LedgerFull
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.proposals.approval import Approval
from writ_host.governor.proposals.proposal import Proposal

# --- hard state and the chain ---------------------------------------------------------------------


def test_hard_states_by_committee(ledger: Ledger) -> None:
    assert ledger.hard_state(b"one") is None
    ledger.save_hard_state(b"one", b"1")
    ledger.save_hard_state(b"two", b"2")
    ledger.save_hard_state(b"one", b"3")
    ledger = reopened(ledger)
    assert (ledger.hard_state(b"one"), ledger.hard_state(b"two")) == (b"3", b"2")
    with pytest.raises(UsageError):
        ledger.save_hard_state(b"one", bytes(RECORD_BYTES_MAX + 1))
    # only those of the newest committees are kept
    for number in range(ledgers.HARD_STATES_KEPT):
        assert ledger.hard_state(b"two") == b"2" or number == ledgers.HARD_STATES_KEPT - 1
        ledger.save_hard_state(b"n%d" % number, b"x")
    assert ledger.hard_state(b"one") is None is ledger.hard_state(b"two")
    assert ledger.hard_state(b"n0") == b"x"
    ledger.close()


def test_the_chain_has_no_gaps_and_one_decision_per_height(ledger: Ledger) -> None:
    assert ledger.height == 1 and ledger.decision(1) is None
    for number in (1, 2):
        made = ledger.add_decision(writer.decide(number))
        assert [capsule.parse(one).kind for one in made] == [capsule.AMENDMENT, capsule.POLICY]
    for number in (0, 1, 2, 4):
        with pytest.raises(UsageError):
            ledger.add_decision(writer.decide(number))
    ledger = reopened(ledger)
    assert ledger.height == 3 and ledger.heights() == [1, 2]
    assert ledger.decision(2) == writer.decide(2)
    assert (
        capsule.parse(ledger.capsules.amendment_to(2)).body[1] == 2
        and ledger.capsules.amendment_to(3) is None
    )
    ledger.close()


def test_the_chain_is_bounded_except_for_successions(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "CHAIN_KEPT", 5)
    for number in range(1, 21):
        ledger.add_decision(decide_succession(3) if number == 3 else writer.decide(number))
    assert ledger.heights() == [3, 16, 17, 18, 19, 20] and ledger.height == 21
    assert ledger.decision(15) is None and ledger.decision(3) == decide_succession(3)
    # the policy before the succession is included
    assert [one.height for one in ledger.decisions_in_force()] == [2, 3, 20]


def test_a_chain_may_begin_after_the_epochs_of_ceremonies(ledger: Ledger) -> None:
    ledger.capsules.add([policy(6)])
    ledger.skip_to(7)
    assert ledger.height == 7
    (state,) = ledger.decisions_in_force()
    assert state.height == 6 and state.value.payloads == (capsule.parse(policy(6)).payload,)
    ledger.add_decision(decide_succession(7))
    ledger.add_decision(decide_succession(8))
    assert [one.height for one in ledger.decisions_in_force()] == [6, 7, 8]
    with pytest.raises(UsageError):
        ledger.skip_to(8)
    ledger.add_decision(writer.decide(9))
    ledger = reopened(ledger)
    assert ledger.height == 10
    assert [one.height for one in ledger.decisions_in_force()] == [6, 7, 8, 9]
    ledger.close()


# --- proposals, approvals, log, files, meta -------------------------------------------------------


def proposal(number: int = 1, proposer: int = 2) -> Proposal:
    payload = member_payload(f"m{number}", number)
    return Proposal((payload,), f"admit m{number}", b"e", proposer, NOW + number)


def approval(number: int, yes: bool = True) -> Approval:
    return Approval(number, yes, "looked at it", NOW, bytes(64))


def test_proposals_and_approvals(ledger: Ledger) -> None:
    one, two = proposal(1), proposal(2)
    ledger.proposals.save(one)
    ledger.proposals.save(two)
    ledger.proposals.save_approval(one.id, approval(3))
    ledger.proposals.save_approval(one.id, approval(3, False))
    ledger.proposals.save_approval(one.id, approval(1, False))
    # an approval of an unknown proposal is not kept
    ledger.proposals.save_approval(bytes(16), approval(1))
    ledger = reopened(ledger)
    found = ledger.proposals.open()
    assert [one.to_item() for one in found] == [one.to_item(), two.to_item()]
    assert [one.id for one in found] == [one.id, two.id] and found[0].proposer == 2
    assert found[0].approvals == {1: approval(1, False), 3: approval(3)}
    ledger.proposals.save(one)
    assert len(ledger.proposals.approvals(one.id)) == 2
    ledger.proposals.close(one.id, "refused", "it is not needed")
    ledger.proposals.close(bytes(16), "stale", "never kept")
    assert [one.id for one in ledger.proposals.open()] == [two.id]
    (done,) = ledger.proposals.closed(9)
    assert (done.state, done.reason, len(done.approvals)) == ("refused", "it is not needed", 2)
    # a proposal that is made again needs new approvals
    ledger.proposals.save(one)
    assert ledger.proposals.open()[-1].approvals == {} and ledger.proposals.closed(9) == []
    assert ledger.database.value("SELECT count(*) FROM approvals") == 0
    ledger.close()


def test_a_proposal_closed_before_it_was_saved_is_kept(ledger: Ledger) -> None:
    ledger.proposals.save_closed(proposal(1), "certified", "soon")
    (done,) = ledger.proposals.closed(9)
    assert (done.id, done.state, done.reason) == (proposal(1).id, "certified", "soon")
    assert ledger.proposals.open() == []
    ledger.proposals.save_closed(proposal(1), "stale")
    assert [one.state for one in ledger.proposals.closed(9)] == ["stale"]


def test_proposals_are_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "OPEN_MAX", 3)
    monkeypatch.setattr(proposals, "CLOSED_KEPT", 2)
    for number in range(1, 10):
        ledger.proposals.save(proposal(number))
        ledger.proposals.close(proposal(number).id, "certified")
        ledger.proposals.save_closed(proposal(number), "certified")
    assert [one.title for one in ledger.proposals.closed(9)] == ["admit m9", "admit m8"]
    for number in range(20, 23):
        ledger.proposals.save(proposal(number))
    with pytest.raises(LedgerFull):
        ledger.proposals.save(proposal(30))


def test_the_log_keeps_entries(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.log("decided", "epoch 4 is certified", epoch=4, who="anna")
    assert reopened(ledger).log_entries(5) == [
        {
            "seq": 1,
            "time_s": NOW,
            "event": "decided",
            "text": "epoch 4 is certified",
            "facts": {"epoch": 4, "who": "anna"},
        }
    ]


def test_the_log_forgets_its_oldest_lines(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "LOG_KEPT", 20)
    monkeypatch.setattr(ledgers, "LOG_SLACK", 10)
    with ledger.together():
        for number in range(100):
            ledger.log("x", f"line {number}" + "!" * 1000, size="s" * 5000)
    lines = ledger.log_entries(999)
    assert 20 <= len(lines) <= 30 and lines[-1]["seq"] == 100 and lines[-1]["facts"] == {}
    assert all(len(str(line["text"])) <= ledgers.TEXT_CHARS_MAX for line in lines)
    assert [line["seq"] for line in ledger.log_entries(2, before=95)] == [93, 94]


def test_ceremony_files(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ledger.files
    files.put(b"one", "anna.deal", b"1")
    files.put(b"one", "ben.deal", b"2")
    files.put(b"one", "anna.deal", b"3")
    files.put(b"two", "x", b"4")
    ledger = reopened(ledger)
    files = ledger.files
    assert (
        files.list(b"one") == ["anna.deal", "ben.deal"] and files.get(b"one", "anna.deal") == b"3"
    )
    assert files.get(b"one", "x") is None
    files.drop(b"one")
    assert files.list(b"one") == [] and files.get(b"two", "x") == b"4"
    with pytest.raises(LedgerFull):
        files.put(b"two", "large", bytes(65537))
    monkeypatch.setattr(ceremonies, "FILES_MAX", 2)
    monkeypatch.setattr(ceremonies, "CEREMONIES_MAX", 2)
    files.put(b"two", "y", b"")
    files.put(b"three", "x", b"")
    files.put(b"two", "y", b"again")
    for ceremony, name in ((b"two", "z"), (b"four", "x")):
        with pytest.raises(LedgerFull):
            files.put(ceremony, name, b"")
    ledger.close()


def test_meta_values_and_cursors(ledger: Ledger) -> None:
    assert ledger.meta("a") is None
    ledger.set_meta("a", b"1")
    ledger.set_meta("a", b"2")
    ident = ledger.ident
    ledger = reopened(ledger)
    assert ledger.meta("a") == b"2" and ledger.ident == ident and len(ident) == 8
    ledger.set_meta("a", None)
    assert ledger.meta("a") is None
    with pytest.raises(UsageError):
        ledger.set_meta("a", bytes(5000))
    assert ledger.peer_cursor(b"p") == 0
    ledger.save_peer_cursor(b"p", 7)
    ledger.save_peer_cursor(b"p", 9)
    assert ledger.peer_cursor(b"p") == 9
    for number in range(ledgers.CURSORS_MAX + 9):
        ledger.save_peer_cursor(b"q%d" % number, number)
    assert ledger.peer_cursor(b"p") == 0 and ledger.peer_cursor(b"q9") == 9
    ledger.close()


def test_capsules_of_the_largest_size(ledger: Ledger) -> None:
    rules = [[1, 1, f"{i:02}".ljust(limits.PATH_BYTES_MAX - 12, "x"), 1] for i in range(28)]
    large = raw(signer.policy_payload(1, bytes(6), rules=rules))
    assert 1200 < len(large) <= limits.CAPSULE_BYTES_MAX
    ledger.capsules.add([large])
    assert reopened(ledger).capsules.policy() == large
