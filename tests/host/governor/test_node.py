"""A governor's node answers from its ledger what its own tables do not hold."""

from itertools import count
from pathlib import Path
from typing import Any

import signer
from fakeflash import MemoryFlash
from ledger_rig import member

from writ.authority import capsule
from writ.authority.store import Store
from writ.wire import coap
from writ_host.governor.ledger.ledger import Ledger
from writ_host.governor.node import ScopeNode

MIDS = count(1)


def asked_in_plain(node: ScopeNode, path: str) -> Any:
    """What a stranger is answered."""
    path, _, query = path.partition("?")
    message = coap.Message(coap.CON, coap.GET, next(MIDS), b"\x07")
    message.add_path(path)
    message.add(coap.URI_QUERY, query)
    ((_, data),) = node.receive(message.encode(), "stranger", 1000)
    return coap.decode(data)


def test_a_restarted_governor_leads_who_slept_to_its_new_capsule(tmp_path: Path) -> None:
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
        assert asked_in_plain(node, f"writ?i={query}").code == coap.NOT_FOUND
    ledger.capsules.add([raw])
    answer = asked_in_plain(node, f"writ?i={node_id}")
    assert (answer.code, answer.payload) == (coap.CONTENT, raw)
    assert asked_in_plain(node, "writ?e=0").code == coap.NOT_FOUND


class Full(MemoryFlash):
    """A disk that may be full."""

    is_full = False

    def write(self, name: str, data: bytes) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().write(name, data)


def test_what_the_ledger_has_is_written_to_the_flash_once_in_a_while(tmp_path: Path) -> None:
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
    # power fails: the flash has nothing of it, and the ledger leads it to where it was
    node = started()
    assert node.authority.epoch == 0
    node.catch_up()
    assert node.authority.epoch == 6
    # what came from elsewhere is not in the ledger, and waits for nothing
    node.authority.receive(policy(8), 1000)
    assert started().authority.epoch == 8
    node.take(policy(10))
    assert started().authority.epoch == 8
    node.write_deferred()
    assert started().authority.epoch == 10
    # the disk is full: it is kept for the next time
    node.take(policy(12))
    flash.is_full = True
    node.write_deferred()
    flash.is_full = False
    assert started().authority.epoch == 10
    node.write_deferred()
    assert started().authority.epoch == 12
