"""What hosts write in CBOR is what the device core's encoder would write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writ import cbor
from writ.errors import UsageError
from writ_host import codec
from writ_host.codec import Encoded

KEYS = st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=30)
ITEMS = st.recursive(
    st.none() | st.booleans() | KEYS,
    lambda inner: (
        st.lists(inner, max_size=30)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=30)
    ),
    max_leaves=60,
)


@given(ITEMS)
def test_items(item):
    assert codec.dump(item) == cbor.encode(item)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 1023, 1024, 65535, 65536])
def test_heads(size):
    for item in (size, -size, bytes(size), "x" * size, [None] * size):
        assert codec.dump(item) == cbor.encode(item)


@given(ITEMS, ITEMS)
def test_what_is_encoded_already_is_taken_as_it_is(one, other):
    packed = Encoded(codec.dump(one))
    assert codec.dump([other, packed, {1: packed}]) == cbor.encode([other, one, {1: one}])


def test_what_cbor_cannot_hold():
    for item in (1.5, 2**64, object(), [{1: 1.5}], {1.5: 1}):
        with pytest.raises(UsageError):
            codec.dump(item)
