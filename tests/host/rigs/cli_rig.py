"""A scope in a temporary folder, and commands run on it in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from writ_host.cli import main


@dataclass
class Ran:
    """A command's result: its exit code and output."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error in the JSON document."""
        return self.document["error"]


class Rig:
    """Runs commands whose scope and key file are set by environment variables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scope = path / "farm"
        self.key_file = path / "seats.key"

    def run(self, *words: object, env: dict[str, str] | None = None, stdin: str = "") -> Ran:
        """Run `writ` with these arguments. An exception would be a bug of the boundary."""
        base = {"WRIT_SCOPE": str(self.scope), "WRIT_KEY_FILE": str(self.key_file)}
        result = CliRunner().invoke(
            main, [str(word) for word in words], env={**base, **(env or {})}, input=stdin
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return Ran(result.exit_code, result.stdout, result.stderr)

    def ok(self, *words: object, **more: Any) -> Any:
        """Run a command that must succeed; returns its document."""
        ran = self.run(*words, "--json", **more)
        assert ran.code == 0, ran.out + ran.err
        return ran.document

    def create(self) -> Any:
        """Found the scope `farm` with a threshold of 3 of 4."""
        return self.ok("scope", "create", "farm", "--local", "--folder", self.scope)

    def admit(self, name: str, role: str, *more: object) -> Any:
        """Make a node folder, request its membership, and admit it."""
        self.ok("member", "request", self.path / name, "--name", name)
        return self.ok("member", "admit", name, "--role", role, "--yes", *more)
