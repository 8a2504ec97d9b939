"""A governor's node answers from its ledger what its own tables do not hold."""

from itertools import count
from pathlib import Path
from typing import Any

import signer
from fakeflash import MemoryFlash
from ledger_rig import member

from writ import capsule, coap
from writ.store import Store
from writ_host.governor.ledger import Ledger
from writ_host.governor.scopenode import ScopeNode

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
        ledger,
        lambda *_: (0, b""),
    )
    for query in (node_id, "", "0", node_id[:14], "z" * 16):
        assert asked_in_plain(node, f"writ?i={query}").code == coap.NOT_FOUND
    ledger.add_capsules([raw])
    answer = asked_in_plain(node, f"writ?i={node_id}")
    assert (answer.code, answer.payload) == (coap.CONTENT, raw)
    assert asked_in_plain(node, "writ?e=0").code == coap.NOT_FOUND
