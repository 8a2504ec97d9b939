"""Rejections in answers, and their texts for operators."""

from hypothesis import given
from hypothesis import strategies as st

from writ import errors
from writ.errors import NotAllowed, Rejection, Revoked
from writ.wire import edhoc_codec
from writ_host import refusals


def test_a_refusal_names_its_rejection() -> None:
    assert refusals.parse_reason(b"40 NotAllowed") is NotAllowed
    assert refusals.parse_reason(edhoc_codec.to_error(Revoked())) is Revoked
    assert refusals.parse_reason(edhoc_codec.to_error(errors.UnknownCredential())) is (
        errors.UnknownCredential
    )
    for other in (
        b"",
        b"40",
        b"40 Revoked",
        b"999 X",
        b"NotAllowed",
        b"\xff",
        "٤٠ NotAllowed".encode(),
    ):
        assert refusals.parse_reason(other) is None, other


@given(st.binary(max_size=40))
def test_any_payload_names_a_rejection_or_none(payload: bytes) -> None:
    kind = refusals.parse_reason(payload)
    assert kind is None or issubclass(kind, Rejection)


def test_every_rejection_has_a_text_and_advice() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, Rejection):
            assert f"{kind.__name__} ({kind.code}): " in refusals.rejection_text(kind())
            assert refusals.advice_for(kind)
    known = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
    assert set(refusals._ADVICE) <= known
