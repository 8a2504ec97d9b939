"""P-256 in Python integers makes the same steps for every secret scalar."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from writ.crypto import p256

N = p256._N
# Not 2, 4, 6 ... 30 and N minus these: their last addition is a doubling. No random key is one.
SCALARS = [1, 3, 15, 17, 32, 2**128, 2**200 + 1, 2**255 - 1, 2**255, N - 3, N - 1]
SCALARS += [random.Random(8).randrange(1, 2**size) for size in (8, 64, 200, 248, 250, 255, 256)]
X = bytes.fromhex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the point operations, those with the point at infinity apart."""
    found: Counter[str] = Counter()

    def counted(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*points: Any) -> Any:
            found[name + " of infinity" * any(point[2] == 0 for point in points)] += 1
            return plain(*points)

        return operation

    for name in ("_double", "_add"):
        monkeypatch.setattr(p256, name, counted(name, getattr(p256, name)))
    return found


def different(steps: Counter[str], function: Callable[[int], object]) -> set[tuple[Any, ...]]:
    """The counts of steps that occur over all scalars."""
    found = set()
    for scalar in SCALARS:
        steps.clear()
        function(scalar)
        found.add(tuple(sorted(steps.items())))
    return found


def test_a_nonce_of_es256_does_not_show_in_the_steps(
    steps: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign(nonce: int) -> object:
        monkeypatch.setattr(p256, "_nonces", lambda *_: [nonce])
        return p256.es256_sign(bytes(31) + b"\x05", b"message")

    assert different(steps, sign) == {(("_add", 71), ("_double", 257))}


@pytest.mark.parametrize("function", [p256.p256_public, lambda private: p256.p256_ecdh(private, X)])
def test_a_private_key_does_not_show_in_the_steps(
    steps: Counter[str], function: Callable[[bytes], object]
) -> None:
    found = different(steps, lambda scalar: function(scalar.to_bytes(32, "big")))
    assert found == {(("_add", 71), ("_double", 257))}


def test_the_window_is_as_long_for_a_short_nonce_as_for_a_long_one() -> None:
    # every nonce is written in 64 digits, none of them 0, below an uppermost 1
    for scalar in SCALARS:
        odd = scalar + N * (1 - (scalar & 1))
        digits = [2 * (odd >> 1 >> i & 15) - 15 for i in range(0, 256, 4)]
        assert all(digit & 1 for digit in digits)
        assert 2**256 + sum(digit << 4 * i for i, digit in enumerate(digits)) == odd
