"""The store of the secrets of ceremonies: bounded, and it remembers what was dropped."""

import pytest

from writ_host.ceremony.local import found_local
from writ_host.ceremony.storage import MemoryStore
from writ_host.governor.ceremonies.secretstore import SecretStore, TooManyCeremonies
from writ_host.keys.roster import Seat


def test_the_secret_store_is_bounded():
    store = MemoryStore()
    secrets = SecretStore(store)
    seat = found_local("farm", ("anna", "ben"), 2)[0].seat
    for i in range(6):
        secrets.store_of(bytes((i,)) * 32).save(seat.to_bytes())
    with pytest.raises(TooManyCeremonies):
        secrets.store_of(bytes((7,)) * 32).save(b"x")
    secrets.drop({bytes(32)})
    assert SecretStore(store).seats().keys() == secrets.seats().keys() and len(secrets.seats()) == 5
    with pytest.raises(TooManyCeremonies):
        secrets.put(bytes(32), bytes(65000))
    assert bytes(32) in SecretStore(store).dropped
    assert isinstance(secrets.seats()[bytes((1,)) * 32], Seat)
