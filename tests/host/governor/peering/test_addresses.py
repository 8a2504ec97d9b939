"""The address book of the other governors."""

from pathlib import Path

import pytest

from writ_host.governor.peering.addresses import AddressBook, BadAddresses
from writ_host.keys.identity import Identity


def test_addresses_follow_the_newest_source_unless_they_are_host_names(tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    a, b, c = (Identity.generate(name).public for name in "abc")
    book = AddressBook(path)
    book.set({"a": "10.0.0.1:5685", "b": "localhost:5685"})
    last_seen = {one.node_key: ("10.9.9.9:1", 5) for one in (a, b, c)}
    book.learn([a, b, c], last_seen)
    again = AddressBook(path)
    assert again.of([a, b, c]) == {
        a.node_key: "10.9.9.9:1",
        b.node_key: "127.0.0.1:5685",
        c.node_key: "10.9.9.9:1",
    }
    assert again.of([Identity.generate("d").public]) == {}
    for wrong in ("a = 1\n", 'a = "x:y"\n', "a\n", "a = \xff"):
        path.write_text(wrong, "latin-1")
        with pytest.raises(BadAddresses):
            AddressBook(path)
