"""Address books and the addresses at which members last answered."""

from pathlib import Path

import pytest

from writ_host.errors import HostError
from writ_host.node import addressbook


def test_an_address_book_is_read_strictly(tmp_path: Path) -> None:
    assert addressbook.read(tmp_path) == {}
    (tmp_path / "book.toml").write_text('pump = "10.0.0.7"\n[notes]\npump = "leaks"\n')
    assert addressbook.read(tmp_path) == {"pump": "10.0.0.7:5683"}
    (tmp_path / "book.toml").write_text("pump = 10.0.0.7\n")
    with pytest.raises(HostError, match=r"book\.toml"):
        addressbook.read(tmp_path)


def test_last_seen_addresses_are_bounded_and_damage_is_named(tmp_path: Path) -> None:
    for number in range(addressbook.SEEN_MAX + 5):
        node_id = number.to_bytes(8, "big")
        addressbook.save_last_seen(tmp_path, f"n{number}", "10.0.0.1:1", node_id)
    addressbook.save_last_seen(tmp_path, "n9", "10.0.0.2:1", (9).to_bytes(8, "big"))
    seen = addressbook.read_last_seen(tmp_path)
    assert len(seen) == addressbook.SEEN_MAX
    assert "n4" not in seen
    assert list(seen)[-1] == "n9"
    for damage in ("", "[]", "{", '{"a": 1}', '{"a": ["::", ""]}', '{"a": ["h:1", "zz"]}'):
        (tmp_path / "seen.json").write_text(damage)
        with pytest.raises(HostError, match=r"seen\.json") as found:
            addressbook.read_last_seen(tmp_path)
        assert "Remove the file" in found.value.advice
        # a call that succeeded does not fail afterwards, and the file stays as it is
        addressbook.save_last_seen(tmp_path, "n1", "10.0.0.1:1", bytes(8))
        assert (tmp_path / "seen.json").read_text() == damage


def test_last_seen_addresses_that_cannot_be_read_are_not_none_seen(tmp_path: Path) -> None:
    assert addressbook.read_last_seen(tmp_path) == {}
    (tmp_path / "seen.json").symlink_to("seen.json")
    with pytest.raises(OSError, match=r"seen\.json"):
        addressbook.read_last_seen(tmp_path)
    addressbook.save_last_seen(tmp_path, "n1", "10.0.0.1:1", bytes(8))
    assert (tmp_path / "seen.json").is_symlink()


def test_a_renamed_node_is_seen_under_its_new_name_alone(tmp_path: Path) -> None:
    for name in ("pump", "tank", "field-1"):
        node_id = b"tank-key" if name == "tank" else b"pump-key"
        addressbook.save_last_seen(tmp_path, name, "10.0.0.1:1", node_id)
    assert list(addressbook.read_last_seen(tmp_path)) == ["tank", "field-1"]


@pytest.mark.parametrize("key", ["pump.1", '"pump.1"', "'pump.1'", ' "pump.1" '])
def test_an_entry_is_renamed_in_its_line(tmp_path: Path, key: str) -> None:
    key = key.replace(".", "-") if key == "pump.1" else key
    before = key.strip(" \"'")
    book = tmp_path / "book.toml"
    entries = f'{key} = "10.0.0.7:1"  # by the gate\nnew = "10.0.0.8:1"\n'
    book.write_text(f'# the well\n{entries}[notes]\n{key} = "x"\n')
    assert addressbook.rename(tmp_path, before, "new")
    assert addressbook.read(tmp_path) == {"new": "10.0.0.7:1"}
    lines = book.read_text().splitlines()
    assert lines[0] == "# the well" and lines[1].endswith("# by the gate")
    # people's notes stay as they are
    assert lines[2:] == ["[notes]", f'{key} = "x"']
    assert not addressbook.rename(tmp_path, before, "other")
    assert addressbook.remove(tmp_path, "new") and addressbook.read(tmp_path) == {}
