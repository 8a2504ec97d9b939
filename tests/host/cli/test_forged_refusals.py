"""An attacker on the path lets a POST through, and forges a refusal in place of its answer.

The request may have been carried out, so the client repeats nothing (firmware/writ/node/call.py).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from field_rig import OPERATOR, Field, writ, writ_json
from interop_rig import Relay

from writ.node.context import FORMAT_EDHOC
from writ.wire import coap
from writ.wire.coap import Message


@pytest.fixture
def field(tmp_path: Path, tree: Path) -> Iterator[Field]:
    field = Field(tmp_path, tree)
    yield field
    field.stop()


class Forger(Relay):
    """A relay that replaces the first answer in a session by an unprotected refusal."""

    def __init__(self, port: int, code: int, payload: bytes, content_format: int | None) -> None:
        self._refusal = code, payload, content_format
        self.is_done = False
        super().__init__(port)

    def change(self, from_device: bool, data: bytes) -> bytes:
        """The datagram that arrives in place of this one."""
        message = coap.decode(data)
        if not from_device or message.option(coap.OSCORE) is None or self.is_done:
            return data
        self.is_done = True
        code, payload, content_format = self._refusal
        made = Message(coap.ACK, code, message.mid, message.token, payload)
        if content_format is not None:
            made.add(coap.CONTENT_FORMAT, content_format)
        return bytes(made.encode())


@pytest.mark.parametrize("has_session", [False, True])
@pytest.mark.parametrize(
    "refusal",
    [
        (coap.TOO_MANY, b"32 RateLimited", None),
        # EDHOC's error 3, of an unknown credential
        (coap.BAD_REQUEST, b"\x03\xf5", FORMAT_EDHOC),
        (coap.UNAUTHORIZED, b"60 UnknownContext", None),
    ],
)
def test_a_post_is_carried_out_once_whatever_refusal_is_forged(
    field: Field, refusal: tuple[int, bytes, int | None], has_session: bool
) -> None:
    pump, node = field.device("pump"), field.folder("laptop", OPERATOR)
    book = node / "book.toml"
    book.write_text(f'pump = "{pump.address}"\n')
    writ("get", "pump/note", "--node", node)
    for record in node.glob("s*.[ab]"):
        if not has_session:
            record.unlink()
    forger = Forger(pump.port, *refusal)
    try:
        book.write_text(f'pump = "127.0.0.1:{forger.port}"\n')
        writ("post", "pump/note", "x", "--timeout", "8", "--node", node, code=None)
    finally:
        forger.close()
    assert forger.is_done
    book.write_text(f'pump = "{pump.address}"\n')
    assert writ_json("get", "pump/note", "--node", node)["text"] == "x"
