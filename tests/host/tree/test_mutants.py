"""The tables of mutants fit the tree, and the tool tells killed from surviving mutants."""

import subprocess
import sys
from pathlib import Path

import mutants
import pytest
from mutants import ERROR, KILLED, ROOT, SKIPPED, SURVIVED, Mutant, Runner, TableError

MUTANTS = mutants.load()
CODE = "LIMIT = 3\n\n\ndef allows(count):\n    return count <= LIMIT\n"
TEST = """
import pytest
from code_under_test import allows

@pytest.fixture
def four():
    assert not allows(4)
    return 4

def test_few(): assert allows(2)
def test_many(): assert not allows(4)
def test_begins_with_a_fixture(four): assert not allows(four)
@pytest.mark.skip
def test_skipped(): assert not allows(4)
def test_wrong(): assert allows(4)
"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.table}-{one.title()}")
def test_a_mutant_fits_the_tree(mutant: Mutant) -> None:
    mutant.check(ROOT)


def test_no_mutant_is_listed_twice() -> None:
    assert len({(one.path, one.original, one.mutated, one.test) for one in MUTANTS}) == len(MUTANTS)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "code_under_test.py").write_text(CODE)
    (tmp_path / "test_it.py").write_text(TEST)
    return tmp_path


def mutant(
    test: str, original: str = "count <= LIMIT", mutated: str = "True", path: str = ""
) -> Mutant:
    path = path or "code_under_test.py"
    return Mutant("a row", path, original, mutated, f"test_it.py::{test}", "table")


def test_a_copy_has_no_environment(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in (".venv", ".venv-3.13"):
        (tree / name / "bin").mkdir(parents=True)
    copy = mutants.copy_tree(tree, tmp_path_factory.mktemp("copies") / "copy")
    assert {path.name for path in copy.iterdir()} == {"code_under_test.py", "test_it.py"}


@pytest.mark.parametrize(
    "bad",
    [
        mutant("test_many", "count < LIMIT"),
        mutant("test_many", "LIMIT"),
        mutant("test_many", "LIMIT", "LIMIT"),
        mutant("test_man"),
        mutant("test_many", path="other.py"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused(tree: Path, bad: Mutant) -> None:
    mutant("test_many").check(tree)
    with pytest.raises(TableError):
        bad.check(tree)


@pytest.mark.parametrize("text", ["", "mutant = 1", "[[mutant]]\nrow = 'a'", "[[mutant]"])
def test_a_table_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.toml").write_text(text)
    with pytest.raises(TableError):
        mutants.load(tmp_path)


@pytest.mark.slow
def test_a_mutant_is_killed_by_a_failing_test_only(tree: Path) -> None:
    listed = {
        mutant("test_many"): KILLED,
        mutant("test_few"): SURVIVED,
        mutant("test_begins_with_a_fixture"): ERROR,
        mutant("test_few", mutated="("): ERROR,
        mutant("test_skipped"): SKIPPED,
    }
    before = {path.name: path.read_text() for path in tree.iterdir()}
    with Runner(2, tree) as runner:
        assert {one: outcome for one, outcome, _ in runner.run(list(listed))} == listed
        failing = runner.failing(["test_it.py::test_many", "test_it.py::test_wrong"])
        assert list(failing) == ["test_it.py::test_wrong"]
    assert {path.name: path.read_text() for path in tree.iterdir()} == before


def test_make_hands_a_row_over_with_its_quotes() -> None:
    row = 'an operator\'s "answer" and `more`'
    words = ("make", "mutants", "-o", "venv", f"BIN={sys.prefix}/bin", f"ROW={row}", "TABLE=it's")
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert f"no mutant of row {row!r} in table {chr(34)}it's{chr(34)}" in ran.stderr + ran.stdout
