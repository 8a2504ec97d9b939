"""A script compares the fingerprint of a ceremony, too."""

import json
from pathlib import Path

import pytest
from council_rig import Council, finish, wait_for

pytestmark = pytest.mark.slow


def test_an_approval_names_the_fingerprint_that_was_read_out(tmp_path: Path) -> None:
    council = Council(tmp_path)
    try:
        records = ",".join(f"{name}/{name}.toml" for name in "abcd")
        words = ("scope", "create", "farm", "--governors", records, "--wait", "60", "--json")
        command = council.begin(*words)
        for name in "abcd":
            wait_for(lambda name=name: council.waiting(name), council.log(name))
        id = council.waiting("a")
        found = council.ask("a", "find", id=id)
        own = found["fingerprint"]
        wrong = own.replace(own[0], "1" if own[0] != "1" else "2")
        approve = ("governor", "approve", "a", id[:12], "--fingerprint")
        error = council.writ(*approve, wrong, code=1)["error"]
        assert own in error["message"] and council.waiting("a")
        # no other confirmation is needed
        assert council.writ(*approve, own)["decided"] == "approved"
        # a skipped comparison is reported, with the fingerprint
        wait_for(lambda: council.waiting("b"), council.log("b"))
        skipped = council.run("governor", "approve", "b", id[:12], "--yes", "--json")
        assert f"warning: --yes: the fingerprint was not compared: {own}\n" in skipped.stderr
        assert json.loads(skipped.stdout)["decided"] == "approved"
        council.approve(*"cd")
        assert finish(command)["epoch"] == 1
    finally:
        council.stop_all()
