"""The host's CBOR encoder writes the same bytes as the device core's."""

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
def test_items_are_encoded_as_by_the_core(item):
    assert codec.dump(item) == cbor.encode(item)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 1023, 1024, 65535, 65536])
def test_heads_are_encoded_as_by_the_core(size):
    for item in (size, -size, bytes(size), "x" * size, [None] * size):
        assert codec.dump(item) == cbor.encode(item)


@given(ITEMS, ITEMS)
def test_encoded_items_are_copied(one, other):
    packed = Encoded(codec.dump(one))
    assert codec.dump([other, packed, {1: packed}]) == cbor.encode([other, one, {1: one}])


def test_items_without_an_encoding_are_refused():
    for item in (1.5, 2**64, object(), [{1: 1.5}], {1.5: 1}):
        with pytest.raises(UsageError):
            codec.dump(item)
