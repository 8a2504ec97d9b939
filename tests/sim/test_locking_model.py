"""The lock rule, model-checked by spin (locking.pml); skipped where spin is not installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("locking.pml")
TOOLS = ("spin", "cc")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason="needs spin and cc: apt-get install spin gcc"
)


def verify(folder, *defines):
    """The report of pan, spin's verifier, over all states."""
    for command in (
        ["spin", *defines, "-a", str(MODEL)],
        ["cc", "-O2", "-w", "-o", "pan", "pan.c"],
    ):
        subprocess.run(command, cwd=folder, check=True, timeout=60)
    done = subprocess.run(
        ["./pan", "-E", "-m100000"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    return done.stdout


def test_agreement_holds(tmp_path):
    report = verify(tmp_path)
    assert "errors: 0" in report
    assert "Search not completed" not in report and "max search depth too small" not in report


def test_without_the_lock_rule_there_is_a_counterexample(tmp_path):
    report = verify(tmp_path, "-DNO_LOCK")
    assert "assertion violated" in report and "errors: 1" in report
    assert list(tmp_path.glob("*.trail"))
