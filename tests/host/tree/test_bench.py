"""The bench: its table, and what its exit code says."""

import io
import sys
from pathlib import Path

import bench
import pytest
from measure.row import Row
from rich.console import Console

MISSED = Row("ms.decide_4_p50", 20.86, "ms", 17.3, "etcd put, 3 members", 1.73)
LONGEST = [
    MISSED,
    Row("bytes.heap_smallest_delegating", 158720, "B", 163840, interpreter="micropython"),
    Row("us.ed25519_verify_new_key", 1595.8, "us", 11002.5, "Reticulum pure25519", 22005.0),
    Row("us.handshake", 13208.8, "us", interpreter="cpython-pycryptodome"),
    Row("bytes.edhoc_1", 37, "B", 37, "RFC 9529, trace 2 (kid of 1 byte)", 37),
    Row("messages.decide_4", 16.2, "datagrams"),
    Row("ms.etcd_put_p99", None, "ms", peer="etcd 3.4.23: 3 members, JSON gateway, loopback"),
]


def test_the_table_shows_whole_columns_at_100_characters() -> None:
    stream = io.StringIO()
    Console(file=stream, width=100).print(bench.table(LONGEST))
    text = stream.getvalue()
    assert "…" not in text and max(len(line.rstrip()) for line in text.splitlines()) <= 100
    for row in LONGEST:
        assert row.name in text and (row.interpreter or "") in text
    for number in ("158,720 B", "163,840", "13,208.8 us", "22,005", "16.2 datagrams"):
        assert number in text
    for word in ["Reticulum", "pure25519", "JSON", "gateway", "loopback"]:
        assert word in text


@pytest.mark.parametrize(("words", "fails"), [([], False), (["--check"], True)])
def test_a_missed_goal_fails_only_where_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], fails: bool
) -> None:
    output = tmp_path / "bench.json"
    monkeypatch.setattr(bench.sizes, "measure", lambda: [MISSED])
    monkeypatch.setattr(bench.build_mpy, "build", lambda _: {})
    arguments = ["bench.py", "--only", "bytes", "--output", str(output), *words]
    monkeypatch.setattr(sys, "argv", arguments)
    if fails:
        with pytest.raises(SystemExit) as ended:
            bench.main()
        assert ended.value.code == 1
    else:
        bench.main()
    assert "20.86" in output.read_text()


def test_a_share_has_a_least_value() -> None:
    for unit in ("%", "/s"):
        assert Row("share.reads", 96, unit, 95).holds()
        assert not Row("share.reads", 94, unit, 95).holds()
