"""The address book of the other governors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dns_rig import Names, fake_names, until

from writ_host.governor.peering.addresses import (
    STRANGERS_BURST,
    STRANGERS_NAMES_MAX,
    AddressBook,
    BadAddresses,
)
from writ_host.keys.identity import Identity


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    yield from fake_names(monkeypatch)


def test_addresses_follow_the_newest_source_unless_they_are_host_names(tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    a, b, c = (Identity.generate(name).public for name in "abc")
    book = AddressBook(path)
    book.set({"a": "10.0.0.1:5685", "b": "localhost:5685"})
    last_seen = {one.node_key: ("10.9.9.9:1", 5) for one in (a, b, c)}
    book.learn([a, b, c], last_seen)
    again = AddressBook(path)
    until(lambda: b.node_key in again.of([b]))
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


def test_names_of_strangers_have_a_rate_limit_and_delay_no_known_governor(
    tmp_path: Path, names: Names
) -> None:
    book = AddressBook(tmp_path / "peers.toml")
    strange = [f"h{number}.evil:5685" for number in range(3 * STRANGERS_BURST)]
    names.hanging = {"h0.evil", "h1.evil"}
    for address in strange:
        assert book.resolve(address, is_trusted=False) == ""
    # both places of strangers are taken by names that hang
    names.addresses = {"gate.farm": "10.0.0.1"}
    until(lambda: book.resolve("gate.farm:5685") == "10.0.0.1:5685")
    names.release()
    strangers = book._resolver_for_strangers
    for address in strange * 3:
        book.resolve(address, is_trusted=False)
        until(lambda: not strangers._threads)
    asked = [host for host in names.asked if host.endswith(".evil")]
    # one more for each ten seconds that this test takes
    assert STRANGERS_BURST <= len(asked) < 2 * STRANGERS_BURST
    assert len(strangers) <= STRANGERS_NAMES_MAX
    assert not names.in_main_thread
