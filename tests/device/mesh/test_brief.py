"""The brief form in which an amendment travels: the capsule without what its receiver knows."""

import signer
from harness import raises
from mesh_rig import RELAY, Air, air_policy

from writ.authority.capsule import assemble, parse
from writ.errors import Rejection
from writ.mesh.brief import restore, shorten

HEAD = b"\x01\x02\x03\x04\x05\x06"
SIGNATURE = bytes(range(64))
REVOKE = bytes(8)
# what the receiver knows: 6 bytes of the claim, kind, head with its length, 2 in front of the
# signature, the outer array, its header of 5 bytes and the length of the payload
KNOWN = 6 + 1 + 7 + 2 + 1 + 5 + 2


def amendment(epoch, *ops):
    return assemble(signer.amendment_payload(epoch, HEAD, *ops), SIGNATURE)


def test_an_amendment_is_shorter_by_what_its_receiver_knows():
    grant = [1, bytes(8), 4]
    for epoch, epoch_bytes in ((2, 1), (23, 1), (24, 2), (255, 2), (256, 3), (70000, 5)):
        for ops in ((REVOKE,), (grant,), (REVOKE, grant), (grant, [0, REVOKE], b"\x43" * 8)):
            raw = amendment(epoch, *ops)
            parse(raw)
            form = shorten(raw, epoch - 1)
            assert len(raw) - len(form) == KNOWN + epoch_bytes
            assert restore(form, epoch - 1, HEAD) == raw
            # the head is part of what is signed, and the epoch, too
            assert restore(form, epoch - 1, bytes(6)) != raw
            assert restore(form, epoch, HEAD) != raw


def test_all_other_capsules_travel_whole():
    policy = air_policy(2, HEAD, [])
    other_epoch = amendment(3, REVOKE)
    hinted = signer.certify(signer.amendment_payload(2, HEAD, REVOKE), hint=b"\x01\x02\x03\x04")
    for raw in (policy, other_epoch, hinted, b"", b"\x84\x43", policy[:40], signer.charter()):
        form = shorten(raw, 1)
        assert form == raw
        assert restore(form, 1, HEAD) == raw


def test_no_form_gets_past_the_checks_of_a_capsule():
    node = Air().node(1, RELAY)
    authority = node.authority
    raw = signer.certify(signer.amendment_payload(2, authority.head, REVOKE))
    form = shorten(raw, 1)
    wrong = [bytes((count,)) * count for count in range(70)]
    wrong += [form[:at] + bytes((form[at] ^ 1,)) + form[at + 1 :] for at in range(len(form))]
    wrong += [form[:-1], form + b"\0", form[1:], b"\x9f" + form[1:], form[:1] + bytes(600)]
    for one in wrong:
        raises(Rejection, authority.receive, restore(one, 1, authority.head), 0)
    assert authority.epoch == 1
    authority.receive(restore(form, 1, authority.head), 0)
    assert authority.epoch == 2
