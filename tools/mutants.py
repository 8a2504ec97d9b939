"""Take defences out of copies of the tree, one at a time, and check that the named test fails.

The tables are tests/mutants/*.toml; CONTRIBUTING.md describes their format. Each job works in a
copy of its own below a temporary folder; the checkout is only read. First the named tests run in an
unchanged copy, where all must pass; --tested leaves that out, for a tree that has just passed all
tests. Then, for each mutant, its test runs in a copy with this one change, and must fail. The exit
code is 1 if a mutant survives, if a test does not pass without a mutant, or if a table does not fit
the tree.
"""

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "tests" / "mutants"
# Folders that hold nothing that a test reads: in the root of the tree, and anywhere.
_LEFT_OUT_OF_ROOT = (".git", ".venv*", "build", "dist")
_LEFT_OUT = (
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)
# One test, with the start of its processes; a mutant may make it wait for what never comes.
_SECONDS_MAX = 150
# What became of a mutant. Only the first is good.
KILLED, SURVIVED, SKIPPED, ERROR = "killed", "survived", "skipped", "error"


class TableError(Exception):
    """A table does not fit the tree. The message names table and row."""


@dataclass(frozen=True)
class Mutant:
    """One entry of a table.

    row: the attack, as in docs/security.md, or the defence in a few words; path: the changed file,
    from the root; original: a text that is in it exactly once; mutated: what replaces it; test: the
    pytest id of a test that fails then; table: the file's stem.
    """

    row: str
    path: str
    original: str
    mutated: str
    test: str
    table: str

    def title(self) -> str:
        """The entry in one line."""
        return f"{self.row}: {' '.join(self.original.split())[:60]}"

    def check(self, root: Path) -> None:
        """Raise `TableError` unless the entry fits the tree below `root`."""
        file, (test, _, name) = root / self.path, self.test.partition("::")
        where = f"{self.table}.toml, {self.title()!r}"
        if self.original == self.mutated:
            raise TableError(f"{where}: original and mutated are the same text")
        if not file.is_file():
            raise TableError(f"{where}: no file {self.path}")
        count = file.read_text().count(self.original)
        if count != 1:
            raise TableError(
                f"{where}: `original` is {count} times in {self.path}, and must be once."
                " If the line has changed, change the entry; the defence must stay tested"
            )
        function = f"def {name.partition('[')[0]}("
        if not (root / test).is_file() or function not in (root / test).read_text():
            raise TableError(f"{where}: no test {self.test}")


def load(folder: Path = TABLES) -> list[Mutant]:
    """All entries of all tables in `folder`. Raises `TableError` for an entry of another shape."""
    names = {one.name for one in fields(Mutant)} - {"table"}
    found = []
    for path in sorted(folder.glob("*.toml")):
        try:
            entries = tomllib.loads(path.read_text())["mutant"]
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise TableError(f"{path.name}: {error}") from None
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, dict) or set(entry) != names:
                raise TableError(f"{path.name}: an entry has {', '.join(sorted(names))}")
            found.append(Mutant(**{key: str(text) for key, text in entry.items()}, table=path.stem))
    return found


# --- running tests in a copy ----------------------------------------------------------------------


def copy_tree(root: Path, to: Path) -> Path:
    """Copy the files of the tree; returns `to`."""
    in_root = shutil.ignore_patterns(*_LEFT_OUT_OF_ROOT, *_LEFT_OUT)
    anywhere = shutil.ignore_patterns(*_LEFT_OUT)

    def ignored(folder: str, names: list[str]) -> set[str]:
        return (in_root if Path(folder) == root else anywhere)(folder, names)

    shutil.copytree(root, to, ignore=ignored, symlinks=True)
    return to


def run_tests(tree: Path, tests: Sequence[str], seconds_max: int, *options: str) -> dict[str, str]:
    """{test: "passed", "failed", "skipped" or "error"}, by id; {} if pytest ran none of them."""
    report = tree / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [f"--timeout={_SECONDS_MAX}", "-o", "junit_family=xunit1", *options]
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'firmware'}:{tree / 'host'}"}
    process = subprocess.Popen(
        [*command, *tests],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=(tree / "output").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        process.wait(seconds_max)
    except subprocess.TimeoutExpired:
        return dict.fromkeys(tests, "failed")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return dict(_outcomes(report)) if report.exists() else {}


def _outcomes(report: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcome = {"failure": "failed"}.get(min(kinds), min(kinds)) if kinds else "passed"
        yield f"{case.get('file')}::{case.get('name')}", outcome


def judge(mutant: Mutant, outcomes: dict[str, str]) -> str:
    """What became of the mutant. A test that cannot begin proves nothing."""
    found = {outcome for test, outcome in outcomes.items() if test.startswith(mutant.test)}
    if "failed" in found:
        return KILLED
    if not found or "error" in found:
        return ERROR
    return SURVIVED if "passed" in found else SKIPPED


def try_mutant(tree: Path, mutant: Mutant) -> tuple[str, float]:
    """(what became of it, seconds), in a copy that is unchanged afterwards."""
    file, began = tree / mutant.path, time.monotonic()
    whole = file.read_text()
    try:
        _replace(file, whole.replace(mutant.original, mutant.mutated))
        outcome = judge(mutant, run_tests(tree, [mutant.test], _SECONDS_MAX + 30, "-x"))
    finally:
        _replace(file, whole)
    return outcome, time.monotonic() - began


def _replace(file: Path, text: str) -> None:
    file.write_text(text)
    # a compiled file counts as current if size and second of its source are the same
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


# --- all of them ----------------------------------------------------------------------------------


class Runner:
    """Runs mutants on several copies of the tree at once. Use `with`."""

    def __init__(self, jobs: int, root: Path = ROOT) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="writ-mutants-"))
        self._pool = ThreadPoolExecutor(jobs)
        self._copies: queue.Queue[Path] = queue.Queue()
        for number in range(jobs):
            self._copies.put(copy_tree(root, self._folder / str(number)))

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self._folder)

    def failing(self, tests: Sequence[str]) -> dict[str, str]:
        """The tests that do not pass in an unchanged copy, with the last lines of their output."""
        files: dict[str, list[str]] = {}
        for test in tests:
            files.setdefault(test.partition("::")[0], []).append(test)
        failed = {}
        for found in self._pool.map(self._failing, files.values()):
            failed.update(found)
        return failed

    def _failing(self, tests: list[str]) -> dict[str, str]:
        tree = self._copies.get()
        try:
            outcomes = run_tests(tree, tests, _SECONDS_MAX * len(tests))
            output = (tree / "output").read_text(errors="replace")[-2000:]
        finally:
            self._copies.put(tree)
        found = {}
        for test in tests:
            mine = {outcome for name, outcome in outcomes.items() if name.startswith(test)}
            if not mine or mine & {"failed", "error"}:
                found[test] = output
        return found

    def run(self, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, str, float]]:
        """(mutant, what became of it, seconds), as they end."""
        pending = {self._pool.submit(self._try, mutant): mutant for mutant in mutants}
        for done in as_completed(pending):
            yield pending[done], *done.result()

    def _try(self, mutant: Mutant) -> tuple[str, float]:
        tree = self._copies.get()
        try:
            return try_mutant(tree, mutant)
        finally:
            self._copies.put(tree)


def select(mutants: Sequence[Mutant], table: str, row: str) -> list[Mutant]:
    """The entries of one table and one row; "" for all."""
    found = [one for one in mutants if table in ("", one.table) and row in ("", one.row)]
    if not found:
        rows = ", ".join(dict.fromkeys(one.row for one in mutants))
        raise TableError(f"no mutant of row {row!r} in table {table!r}. Rows: {rows}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", default="", help="only this table, such as attacks")
    parser.add_argument("--row", default="", help="only the mutants of this row")
    # half of the tests wait for timers and other processes
    jobs = 2 * (os.cpu_count() or 1)
    parser.add_argument("--jobs", type=int, default=jobs, help="copies at the same time")
    parser.add_argument("--tested", action="store_true", help="all tests pass: only the mutants")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    try:
        mutants = select(load(), options.table, options.row)
        for mutant in mutants:
            mutant.check(ROOT)
    except TableError as error:
        print(error, file=sys.stderr)
        return 1
    began = time.monotonic()
    with Runner(min(options.jobs, len(mutants))) as runner:
        tests = [] if options.tested else sorted({one.test for one in mutants})
        failing = runner.failing(tests)
        for test, output in failing.items():
            print(f"FAILS WITHOUT A MUTANT {test}\n{output}", file=sys.stderr)
        results = []
        for done, (mutant, outcome, spent_s) in enumerate(
            runner.run([one for one in mutants if one.test not in failing]), 1
        ):
            results.append({**asdict(mutant), "outcome": outcome, "seconds": round(spent_s, 1)})
            line = f"{done} of {len(mutants)} {outcome:8} {spent_s:4.0f} s  {mutant.title()}"
            if outcome != KILLED:
                line += f"\n  {mutant.path}: {mutant.mutated!r}\n  {mutant.test}"
            print(line, file=sys.stderr if options.json else sys.stdout, flush=True)
    counts = Counter(str(one["outcome"]) for one in results)
    if options.json:
        document = {"mutants": results, "counts": counts, "failing_tests": sorted(failing)}
        print(json.dumps(document, indent=1))
    else:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        print(f"{len(mutants)} mutants, {time.monotonic() - began:.0f} s: {told}")
    return 0 if not failing and counts[KILLED] == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
