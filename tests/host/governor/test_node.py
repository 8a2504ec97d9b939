"""The scope node answers from the ledger what its own tables do not hold."""

from itertools import count
from pathlib import Path
from typing import Any

import signer
from fakeflash import MemoryFlash
from ledger_rig import member

from writ import cbor
from writ.authority import capsule
from writ.authority.store import Store
from writ.wire import coap
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.node import ScopeNode

MIDS = count(1)


def get_as_stranger(node: ScopeNode, path: str) -> Any:
    """The answer to a GET without a session."""
    path, _, query = path.partition("?")
    message = coap.Message(coap.CON, coap.GET, next(MIDS), b"\x07")
    message.add_path(path)
    message.add(coap.URI_QUERY, query)
    ((_, data),) = node.receive(message.encode(), "stranger", 1000)
    return coap.decode(data)


def test_a_restarted_governor_gives_a_device_its_new_member_capsule(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    raw = member("soil")
    node_id = capsule.Member(capsule.parse(raw)).node_id.hex()
    config = {"name": "anna", "scope": signer.scope().hex()}
    node = ScopeNode(
        Store(MemoryFlash()),
        config,
        lambda *_: None,
        bytes(31) + b"\x07",
        ledger.capsules,
        lambda *_: (0, b""),
    )
    for query in (node_id, "", "0", node_id[:14], "z" * 16):
        assert get_as_stranger(node, f"writ?i={query}").code == coap.NOT_FOUND
    ledger.capsules.add([raw])
    answer = get_as_stranger(node, f"writ?i={node_id}")
    assert (answer.code, answer.payload) == (coap.CONTENT, raw)
    assert get_as_stranger(node, "writ?e=0").code == coap.NOT_FOUND


class Full(MemoryFlash):
    """A disk that can be full."""

    is_full = False

    def write(self, name: str, data: bytes) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().write(name, data)


def test_policies_of_the_ledger_are_written_to_flash_later(tmp_path: Path) -> None:
    ledger, flash = Ledger.open(tmp_path / "ledger.db"), Full()
    config = {"name": "anna", "scope": signer.scope().hex()}

    def started() -> ScopeNode:
        private = bytes(31) + b"\x07"
        node = ScopeNode(
            Store(flash), config, lambda *_: None, private, ledger.capsules, lambda *_: (0, b"")
        )
        node.turn()
        return node

    def policy(epoch: int) -> bytes:
        return bytes(signer.certify(signer.policy_payload(epoch, bytes(6))))

    ledger.capsules.add([bytes(signer.charter())])
    node = started()
    node.catch_up()
    for epoch in (2, 4, 6):
        ledger.capsules.add([policy(epoch)])
        node.take(policy(epoch))
    assert node.authority.epoch == 6
    # a power cut: the flash has none of it, and the node catches up from the ledger
    node = started()
    assert node.authority.epoch == 0
    node.catch_up()
    assert node.authority.epoch == 6
    # a capsule from another source is not in the ledger, so it is written at once
    node.authority.receive(policy(8), 1000)
    assert started().authority.epoch == 8
    node.take(policy(10))
    assert started().authority.epoch == 8
    node.write_deferred()
    assert started().authority.epoch == 10
    # the disk is full: the record is kept for the next attempt
    node.take(policy(12))
    flash.is_full = True
    node.write_deferred()
    flash.is_full = False
    assert started().authority.epoch == 10
    node.write_deferred()
    assert started().authority.epoch == 12


def test_a_name_is_not_resolved_to_its_revoked_holder(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    config = {"name": "anna", "scope": signer.scope().hex()}
    private = bytes(31) + b"\x07"
    node = ScopeNode(
        Store(MemoryFlash()), config, lambda *_: None, private, ledger.capsules, lambda *_: (0, b"")
    )
    # the thief's capsule ends later than that of the node which replaces it
    thief, soil = (bytes(signer.certify(signer.member_payload(x * 32, "soil", 1, exp=exp)))
                   for x, exp in ((b"1", signer.EXPIRES + 1), (b"2", signer.EXPIRES)))  # fmt: skip
    ledger.capsules.add([bytes(signer.charter()), thief, soil])
    node.catch_up()
    found = node.sync._ledger_member("soil")
    assert found is not None and cbor.decode(found)[0] == thief
    revoked = [capsule.Member(capsule.parse(thief)).node_id]
    payload = signer.policy_payload(1, signer.charter_head(), revoked=revoked)
    node.authority.receive(bytes(signer.certify(payload)), 0)
    found = node.sync._ledger_member("soil")
    assert found is not None and cbor.decode(found)[0] == soil
    assert node.sync._ledger_member("tank") is None
