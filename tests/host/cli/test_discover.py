"""`writ discover`: answers are claims, and malformed ones are passed over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ.wire import coap
from writ.wire.coap import Message
from writ_host.node import lansearch
from writ_host.node.lansearch import Found

TOKEN = b"12345678"
LINK = '</writ>;rt="writ";scope="c4dbc239de9afae1";ep="f54608d7acd8d9a3"'


def answer(payload: str, code: int = coap.CONTENT, kind: int = coap.NON) -> bytes:
    return bytes(Message(kind, code, 9, TOKEN, payload.encode()).encode())


def read(datagram: bytes) -> Found | None:
    return lansearch._read(datagram, "10.0.0.7:5683", TOKEN)


def test_an_answer_claims_a_scope_and_a_node_id() -> None:
    wanted = Found("10.0.0.7:5683", "c4dbc239de9afae1", "f54608d7acd8d9a3")
    assert read(answer(LINK)) == wanted
    assert read(answer(f'</.well-known/edhoc>;rt="core.edhoc",{LINK},</x>')) == wanted
    assert read(answer('</writ>;rt="other writ"')) == Found("10.0.0.7:5683", None, None)
    odd = '</writ>;rt="writ";scope="C4DBC239DE9AFAE1";ep="\x1b[2J"'
    assert read(answer(odd)) == Found("10.0.0.7:5683", None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        answer(LINK, kind=coap.CON), answer(LINK, code=0x84), answer(""), answer("</temp>"),
        answer('</writ>;rt="core"'), answer("</writ>;rt=writ"), answer("</writ\u00e9>"),
        b"", b"\x58", answer(LINK).replace(TOKEN, b"87654321"),
    ],
)  # fmt: skip
def test_other_datagrams_are_passed_over(wrong: bytes) -> None:
    assert read(wrong) is None


@given(st.binary(max_size=80), st.text(max_size=80))
def test_no_answer_is_an_error(raw: bytes, text: str) -> None:
    read(raw)
    read(b"\x58\x45\x00\x09" + TOKEN + raw)
    read(answer(text))
