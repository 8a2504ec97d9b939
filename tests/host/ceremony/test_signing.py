"""Signing in a folder: governors that vanish, cheat, refuse or are late, and false files."""

from itertools import combinations, count

import pytest
from ceremony_rig import ITEMS, NAMES, Failing, PowerCut, Signers, item, no, yes

from writ import cbor
from writ.errors import UsageError
from writ_host import codec
from writ_host.ceremony.local import found_local, run_local
from writ_host.ceremony.request import (
    Item,
    SigningRequest,
    publish_request,
    read_request,
    read_requests,
)
from writ_host.ceremony.signing import ATTEMPTS_MAX, Signing
from writ_host.ceremony.storage import DirectoryFolder, MemoryFolder
from writ_host.errors import (
    BadEnvelope,
    CeremonyFailed,
    CheatingGovernor,
    FileInTheWay,
    HostError,
    Malformed,
    Refused,
    Stalled,
    WrongCeremony,
)


def test_every_three_of_four_sign(governors):
    for which in combinations(range(4), 3):
        signers = Signers(governors)
        machines = signers.machines(*which)
        run_local(machines)
        for machine in machines:
            signers.check(machine.signatures)


def test_all_four_take_part_and_agree(governors):
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        signers = Signers(governors)
        machines = signers.machines(*order)
        run_local(machines)
        assert len({tuple(machine.signatures) for machine in machines}) == 1
        signers.check(machines[0].signatures)


def test_two_of_four_cannot_sign(governors):
    signers = Signers(governors)
    with pytest.raises(Stalled, match="carl, dora"):
        run_local(signers.machines(0, 1))
    assert f"{signers.tag}.signed.cbor" not in signers.folder.files


def test_a_late_governor_only_reads_the_result(governors):
    signers = Signers(governors)
    run_local(signers.machines(0, 1, 2))
    late = signers.machine(3, approve=no)
    assert late.step().is_done
    signers.check(late.signatures)


def test_nothing_is_committed_before_the_operator_approves(governors):
    signers = Signers(governors)
    before = signers.folder.names()
    seen = []

    def look(request):
        assert signers.folder.names() == before
        seen.extend((one.label, one.payload) for one in request.items)
        return True

    signers.machine(1, look).step()
    assert seen == [("charter", b"charter"), ("policy 0", b"policy 0")]


def test_one_refusal_is_tolerated_and_two_end_the_signing(governors):
    signers = Signers(governors)
    with pytest.raises(Refused):
        signers.machine(3, no).step()
    anna = signers.machine(0)
    assert anna.step().waiting_for == ("ben", "carl")
    assert not any("dora.commit" in name for name in signers.folder.names())
    with pytest.raises(Refused):
        signers.machine(2, no).step()
    with pytest.raises(Refused, match="carl, dora"):
        anna.step()


@pytest.mark.parametrize("cheat", [0, 1, 2])
def test_a_cheater_is_named_and_left_out(governors, cheat):
    signers = Signers(governors)
    honest = [i for i in range(3) if i != cheat]
    machines = [*signers.machines(*honest), signers.machine(3)]
    damaged = signers.damaged(cheat)
    for _ in range(4):
        for machine in machines[:2]:
            machine.step()
        if not damaged.cheaters:
            try:
                damaged.step()
            except CheatingGovernor as error:
                assert error.identifiers == (cheat + 1,)
    run_local(machines)
    for machine in machines[:2]:
        signers.check(machine.signatures)
        assert machine.step().cheaters == (NAMES[cheat],)
        assert machine.attempt == 2


def test_a_late_governor_learns_the_cheaters_from_the_files(governors):
    signers = Signers(governors)
    machines = [*signers.machines(0, 1), signers.damaged(2)]
    with pytest.raises(CheatingGovernor):
        for _ in range(4):
            for machine in machines:
                machine.step()
    dora = signers.machine(3)
    dora.step()
    assert dora.cheaters == {3}
    run_local([*machines[:2], dora])
    signers.check(dora.signatures)


def test_signing_ends_with_too_few_honest_governors(governors):
    signers = Signers(governors)
    anna, *damaged = [signers.machine(0), signers.damaged(1), signers.damaged(2)]
    anna.step()
    for machine in damaged:
        machine.step()
    anna.step()
    with pytest.raises(CheatingGovernor, match="our own messages are wrong"):
        damaged[0].step()
    with pytest.raises(CheatingGovernor, match="too few other") as caught:
        anna.step()
    assert caught.value.identifiers == (2, 3)


@pytest.mark.parametrize("body", [[], [[b"", b""]], [[bytes(32)] * 2] * 2, None, [5, 5], "x"])
def test_wrong_commitments_exclude_their_author(governors, body):
    signers = Signers(governors)
    signers.forge(0, "commit1", body)
    machines = signers.machines(1, 2, 3)
    run_local(machines)
    signers.check(machines[0].signatures)
    assert machines[0].cheaters == {1}


@pytest.mark.parametrize(
    "body", [[], [[1, 2], b""], [[3, 2, 1], bytes(32)], [[1, 2, 9], bytes(32)]]
)
def test_a_malformed_selection_excludes_its_author(governors, body):
    signers = Signers(governors)
    signers.forge(0, "select1", body, "select1")
    machines = signers.machines(1, 2, 3)
    run_local(machines)
    signers.check(machines[0].signatures)
    assert machines[0].cheaters == {1}
    assert machines[0].attempt == 2


def test_no_governor_signs_for_a_selection_of_other_commitments(governors):
    signers = Signers(governors)
    signers.forge(0, "select1", [[2, 3, 4], bytes(32)], "select1")
    machines = signers.machines(1, 2, 3)
    run_local(machines)
    signers.check(machines[0].signatures)
    assert machines[0].cheaters == set()
    assert not any("share1" in name for name in signers.folder.names())


@pytest.mark.parametrize("shown", [None, b"", [], [b""] * 2, [bytes(32)], [bytes(32)] * 2])
def test_a_malformed_share_is_cheating(governors, shown):
    signers = Signers(governors)
    machines = signers.machines(0, 1)
    for machine in (*machines, signers.machine(2)):
        machine.step()
    _, digest = codec.load(codec.load(signers.folder.files[f"{signers.tag}.select1.cbor"])[4])
    signers.forge(2, "share1", [digest, shown])
    for machine in (*machines, *machines):
        machine.step()
    assert [machine.cheaters for machine in machines] == [{3}, {3}]


def test_two_selections_blame_no_governor(governors):
    """The folder shows Carl another selection than the others: his share is void, not wrong."""
    signers = Signers(governors)
    machines = signers.machines(0, 1, 2)
    for machine in machines:
        machine.step()
    signers.forge(2, "share1", [bytes(32), [bytes(32), bytes(32)]])
    run_local([*signers.machines(3), *machines[:2]])
    signers.check(machines[0].signatures)
    assert machines[0].cheaters == set()


@pytest.mark.parametrize("after", [False, True])
def test_signing_continues_after_power_loss_at_every_write(governors, after):
    """Three of four take part, so that the crashing governor is needed."""
    for cut in count(1):
        signers = Signers(governors)
        fuse = [cut]
        folder = Failing(signers.folder, fuse, after)
        others = signers.machines(0, 2)
        ben = None
        for _ in range(6):
            try:
                ben = ben or signers.machine(1, folder=folder)
                ben.step()
            except PowerCut:
                ben = None
            for machine in others:
                machine.step()
        for machine in [*others, ben]:
            assert machine.step().is_done, f"write {cut}"
            signers.check(machine.signatures)
        if fuse[0] > 0:
            break
    # his commitments and his shares
    assert cut > 2


def test_a_governor_that_vanishes_after_committing_is_left_out(governors):
    signers = Signers(governors)
    signers.machine(1).step()
    machines = signers.machines(0, 2, 3)
    with pytest.raises(Stalled, match="ben"):
        run_local(machines)
    machines[0].retry()
    run_local(machines)
    for machine in machines:
        signers.check(machine.signatures)
        assert machine.attempt == 2


def test_no_nonce_pair_is_ever_committed_twice(governors):
    signers = Signers(governors)
    machines = signers.machines(0, 1)
    for machine in machines:
        machine.step()
    for _ in range(5):
        machines[0].retry()
        for machine in machines:
            machine.step()
    pairs = [
        tuple(pair)
        for name, data in signers.folder.files.items()
        if ".commit" in name
        for pair in codec.load(codec.load(data)[4])
    ]
    assert len(pairs) == 2 * 2 * 6 and len(set(pairs)) == len(pairs)


def test_retry_asks_the_operator_too(governors):
    signers = Signers(governors)
    with pytest.raises(Refused):
        signers.machine(0, no).retry()
    assert not any(".commit" in name for name in signers.folder.names())


def test_abandoned_nonces_are_deleted(governors):
    signers = Signers(governors)
    anna = signers.machine(0)
    anna.step()
    old = anna._nonces
    anna.retry()
    assert all(nonces.spent for nonces in old)


def test_attempts_are_bounded(governors):
    signers = Signers(governors)
    anna = signers.machine(0)
    with pytest.raises(CeremonyFailed):
        for _ in range(ATTEMPTS_MAX + 1):
            anna.retry()
    assert anna.attempt == ATTEMPTS_MAX + 1


@pytest.mark.parametrize("step", ["commit1", "share1"])
def test_altered_and_replayed_signing_files_are_refused(governors, step):
    signers, earlier = Signers(governors), Signers(governors)
    for one in (signers, earlier):
        machines = one.machines(0, 1, 2)
        for machine in machines:
            machine.step()
        machines[0].step()
    name = f"{signers.tag}.anna.{step}.cbor"
    good = signers.folder.files[name]
    altered = bytearray(good)
    altered[-1] ^= 1
    signers.folder.files[name] = bytes(altered)
    with pytest.raises(BadEnvelope):
        signers.machine(1).step()
    signers.folder.files[name] = earlier.folder.files[f"{earlier.tag}.anna.{step}.cbor"]
    with pytest.raises(WrongCeremony):
        signers.machine(1).step()


def test_an_altered_result_is_refused(governors):
    signers = Signers(governors)
    run_local(signers.machines(0, 1, 2))
    name = f"{signers.tag}.signed.cbor"
    _, signatures = codec.load(signers.folder.files[name])
    for wrong in (signatures[::-1], signatures[:1], [], [bytes(64)] * 2):
        signers.folder.files[name] = codec.dump(["writ-signed", wrong])
        with pytest.raises(Malformed):
            signers.machine(3).step()


# --- requests -------------------------------------------------------------------------------------


def test_requests_in_a_folder(governors):
    signers = Signers(governors)
    seat = governors[1].seat
    second = publish_request(signers.folder, governors[2].identity, seat, "again", ITEMS[:1])
    signers.folder.files["0000000000000000.proposal.cbor"] = signers.folder.files[
        f"{second.tag}.proposal.cbor"
    ]
    signers.folder.files["junk.proposal.cbor"] = b"junk"
    good, bad = read_requests(signers.folder, seat)
    assert {request.tag for request in good} == {signers.tag, second.tag}
    assert set(bad) == {"0000000000000000", "junk"}
    found = read_request(signers.folder, seat, second.tag)
    assert (found.requester, found.title, found.items) == ("carl", "again", (ITEMS[0],))
    assert found.id == second.id
    with pytest.raises(Malformed):
        read_request(signers.folder, seat, "1" * 16)


def test_a_request_of_another_scope_is_refused(governors):
    signers = Signers(governors)
    other = found_local("sea", ["anna", "ben"], 2)[0]
    with pytest.raises(HostError):
        read_request(signers.folder, other.seat, signers.tag)
    with pytest.raises(UsageError):
        Signing(signers.folder, other.identity, other.seat, signers.request, yes)


def test_items_show_the_payload_that_is_signed():
    assert item("label").payload == b"label"
    for bad in (
        b"",
        b"bare bytes",
        cbor.encode(["Signature", b"", b"", b""]),
        cbor.encode(["Signature1", b"", b""]),
        cbor.encode(["Signature1", b"", b"", "text"]),
        cbor.encode(["Signature1", b"", b"", bytes(1400)]),
    ):
        with pytest.raises(Malformed):
            Item("label", bad)
    for label in ("", "a" * 81, "two\nlines", "\x1b[2J"):
        with pytest.raises(Malformed):
            Item(label, ITEMS[0].to_be_signed)


def test_requests_are_bounded(governors):
    seat = governors[0].seat
    for items in ((), tuple(ITEMS * 17)):
        with pytest.raises(Malformed):
            SigningRequest(seat.roster, "anna", "title", seat.public.group_key, items, bytes(8))


def test_the_largest_request_fits_a_file(governors):
    big = cbor.encode(["Signature1", b"\xa1\x01\x27", b"", bytes(1280)])
    folder, one = MemoryFolder(), governors[0]
    request = publish_request(folder, one.identity, one.seat, "t" * 80, [Item("l" * 80, big)] * 32)
    assert read_request(folder, governors[1].seat, request.tag).id == request.id


# --- folders --------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "directory", "without links"])
def folder(request, tmp_path, monkeypatch):
    if request.param == "without links":

        def refuse(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refuse)
    return MemoryFolder() if request.param == "memory" else DirectoryFolder(tmp_path)


def test_folder_keeps_the_first(folder):
    assert folder.read("a.cbor") is None and folder.names() == []
    folder.publish("a.cbor", b"1")
    folder.publish("a.cbor", b"1")
    with pytest.raises(FileInTheWay):
        folder.publish("a.cbor", b"2")
    folder.publish_first("b.cbor", b"3")
    folder.publish_first("b.cbor", b"4")
    assert (folder.read("a.cbor"), folder.read("b.cbor")) == (b"1", b"3")
    assert folder.names() == ["a.cbor", "b.cbor"]


def test_signing_on_disk(folder, governors):
    signers = Signers(governors, folder)
    machines = signers.machines(0, 1, 3)
    run_local(machines)
    signers.check(machines[0].signatures)


def test_a_directory_with_other_entries_in_it(tmp_path):
    folder = DirectoryFolder(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "big.cbor").write_bytes(bytes(codec.FILE_BYTES_MAX + 1))
    assert folder.read("sub") is None
    with pytest.raises(Malformed):
        folder.read("big.cbor")
