"""Checks docs/security.md: each row of the table of attacks has its test, and the reverse."""

import ast
import re

import mutants
import pytest
from docs_rig import DOCS, rows, ticked

from writ import errors, limits
from writ.node import delegate, sync
from writ_host.cli.governor import group

SECURITY = (DOCS / "security.md").read_text()
HEADER = ("attack", "what would be lost", "what stops it", "what remains", "test")
TABLE = rows(SECURITY, *HEADER)
# All rows of the table.
ROWS = (
    "arbitrary capsule",
    "rollback",
    "indefinite freeze",
    "fast-forward",
    "endless data",
    "mix-and-match",
    "wrong scope",
    "slow retrieval",
    "flood",
    "compromise of f keys",
    "flooding governor",
    "malformed message",
    "lying governor",
    "compromise of `threshold` keys",
    "stolen device",
    "returning device",
    "cloned device",
    "malicious relay",
    "malicious host peer in a delegation",
    "another action than was asked for",
    "misused action",
    "replay after a reboot",
    "hostile broker",
    "client of the broker",
)


def attack_tests() -> dict[str, str]:
    """The source of each attack test, by the name of the test."""
    found = {}
    for path in sorted((DOCS.parent / "tests/host/attacks").glob("test_*.py")):
        text = path.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert node.name not in found, node.name
                found[node.name] = ast.get_source_segment(text, node) or ""
    return found


TESTS = attack_tests()


def test_every_attack_has_its_row() -> None:
    assert sorted(row[0] for row in TABLE) == sorted(ROWS)


def test_every_row_has_its_test_and_every_test_its_row() -> None:
    named = [name for row in TABLE for name in ticked(row[-1])]
    assert sorted(named) == sorted(TESTS)
    assert all(ticked(row[-1]) and all(row) for row in TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_a_row_names_what_its_test_meets(row: list[str]) -> None:
    source = "".join(TESTS[name] for name in ticked(row[-1]))
    names = [name for name in ticked(row[2]) if re.fullmatch(r"(?:[A-Z][a-z]+)+", name)]
    for name in names:
        kind = getattr(errors, name, None) or getattr(delegate, name)
        assert issubclass(kind, errors.Rejection)
        assert f'"{name}"' in source, name


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_a_test_of_a_row_is_shown_to_fail_without_the_defence(row: list[str]) -> None:
    listed = [one for one in mutants.load() if one.table == "attacks" and one.row == row[0]]
    assert listed, f"no mutant for {row[0]} in tests/mutants/attacks.toml"
    for one in listed:
        assert one.test.rpartition("::")[2] in ticked(row[-1])


def test_each_mutant_of_an_attack_has_its_row() -> None:
    assert {one.row for one in mutants.load() if one.table == "attacks"} <= {*ROWS}


def test_each_attack_over_the_air_names_its_tests_and_rejections() -> None:
    header = "attack over the air", *HEADER[1:-1], "tests"
    for row in rows(SECURITY, *header):
        assert ticked(row[-1]), row[0]
        for name in ticked(row[-1]):
            path, _, test = name.partition("::")
            assert f"def {test}(" in (DOCS.parent / path).read_text(), name
        for name in ticked(row[2]):
            if re.fullmatch(r"(?:[A-Z][a-z]+)+", name):
                assert issubclass(getattr(errors, name), errors.Rejection)


def test_commands_of_the_text_exist() -> None:
    for name in re.findall(r"`writ governor (\w+)", SECURITY):
        assert name in group.commands, name


def test_other_pages_link_here() -> None:
    for page in ("README.md", "SECURITY.md"):
        assert "docs/security.md" in (DOCS.parent / page).read_text()


def test_numbers_of_the_text() -> None:
    assert "after 5 s" in SECURITY and sync._PULL_PATIENCE_MS == 5000
    assert "after a minute" in SECURITY and limits.TRANSFER_TIMEOUT_MS == 60000
