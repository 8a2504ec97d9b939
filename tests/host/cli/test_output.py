"""The output of commands, the reports of errors, and the start time and completeness of `writ`."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from writ.errors import BadSignature, TimedOut, UsageError
from writ_host.cli import main
from writ_host.cli.boundary import BUG, PERSON, REFUSED, UNREACHABLE, USAGE, explain, run_guarded
from writ_host.cli.layout import wrapped
from writ_host.cli.lazy import Main
from writ_host.cli.output import Output, command, plain
from writ_host.errors import (
    HostError,
    NeedsPerson,
    NotReachable,
    RefusedByNode,
    Stalled,
    WrongPassphrase,
)

EVIL = "\x1b[2J[red]pump\r\u202e"


def run(*words: str, group: click.Group = main) -> Result:
    return CliRunner().invoke(group, words)


def demo_group(function) -> Main:
    """A group whose one command calls `function(out)`."""
    made = command(name="do")(function)

    class Group(Main):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return made if cmd_name == "do" else None

    return Group(name="test", package="none", sections={"": {"do": ("no:where", "do it")}})


# --- text and JSON --------------------------------------------------------------------------------


def show_all(out: Output) -> None:
    """Print one of each."""
    out.line(EVIL)
    out.fields({"name": EVIL, "id": b"\x01\xff", "nothing": None})
    out.table(["one", "two"], [[1, EVIL], ["x" * 200, None]], title="rows")
    out.ok("done")
    out.note("next")
    out.warn("careful")
    with out.progress("work", 2) as bar:
        bar.advance()
        bar.next("more")
    out.json({"id": b"\x01\xff", "path": Path("a"), "set": {2, 1}, b"\x02": (None, True)})


def test_people_see_text_only() -> None:
    result = run("do", group=demo_group(show_all))
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
    assert "\r" not in result.stdout
    assert r"\x1b[2J[red]pump\r\u202e" in result.stdout
    # without a terminal a long cell is not wrapped or truncated
    assert "x" * 200 + "\n" in result.stdout
    assert "id    01ff" in result.stdout
    assert result.stderr == "warning: careful\n"
    assert "{" not in result.stdout


def test_programs_see_json_only() -> None:
    result = run("do", "--json", group=demo_group(show_all))
    wanted = {"id": "01ff", "path": "a", "set": [1, 2], "02": [None, True]}
    assert json.loads(result.stdout) == wanted
    assert result.stderr == ""


def test_events_are_lines() -> None:
    def tick(out: Output) -> None:
        """Tick."""
        for number in range(3):
            out.event({"n": number}, f"tick {number}")

    group = demo_group(tick)
    assert run("do", group=group).stdout == "tick 0\ntick 1\ntick 2\n"
    lines = run("do", "--json", group=group).stdout.splitlines()
    assert [json.loads(line)["n"] for line in lines] == [0, 1, 2]


def test_an_event_is_one_line_whoever_wrote_a_part_of_it() -> None:
    def refuse(out: Output) -> None:
        """Log a topic."""
        out.event({}, "refused: a\n2026-11-30T12:00:00Z admitted: thief")

    assert len(run("do", group=demo_group(refuse)).stdout.splitlines()) == 1


def test_nothing_is_confirmed_without_a_terminal() -> None:
    done = []

    def ask(out: Output) -> None:
        """Ask."""
        out.confirm("Revoke pump?")
        done.append(1)

    result = run("do", group=demo_group(ask))
    assert result.exit_code == PERSON
    assert "--yes" in result.stderr
    assert not done


def test_plain_keeps_the_types_of_json() -> None:
    error = HostError("x")
    assert plain({"a": [1, "b", None, 1.5, True], 2: bytearray(b"\x00")}) == {
        "a": [1, "b", None, 1.5, True],
        "2": "00",
    }
    with pytest.raises(TypeError):
        json.dumps(plain(error))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HostError("no"), REFUSED),
        (BadSignature(), REFUSED),
        (RefusedByNode("no", "ask", "NotAllowed", 40), REFUSED),
        (FileNotFoundError(2, "No such file", "x"), REFUSED),
        (UsageError("so not"), USAGE),
        (click.UsageError("so not"), USAGE),
        (click.BadParameter("so not"), USAGE),
        (NotReachable("away"), UNREACHABLE),
        (TimedOut(), UNREACHABLE),
        (NeedsPerson("who?"), PERSON),
        (WrongPassphrase("wrong"), PERSON),
        (Stalled("waiting"), PERSON),
        (ZeroDivisionError("oh"), BUG),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_each_error_is_reported_in_two_lines(error: BaseException, code: int) -> None:
    def fail(out: Output) -> None:
        """Fail."""
        raise error

    group = demo_group(fail)
    result = run("do", group=group)
    assert result.exit_code == code
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    # click ends the line of a ^C
    said = result.stderr.removeprefix("\n")
    assert said.startswith("writ: ")
    assert len(said.splitlines()) == (1 if code == 130 else 2)
    told = run("do", "--json", group=group)
    assert told.exit_code == code
    assert told.stderr.strip() == ""
    assert json.loads(told.stdout)["error"]["exit_code"] == code


def test_a_message_of_a_peer_cannot_control_the_terminal() -> None:
    def fail(out: Output) -> None:
        """Fail."""
        raise HostError(EVIL)

    assert "\x1b" not in run("do", group=demo_group(fail)).stderr


def test_a_rejection_is_reported_by_name_code_and_meaning() -> None:
    report = explain(BadSignature())
    assert (report.name, report.code) == ("BadSignature", 29)
    assert report.message == "BadSignature (29): the signature does not verify"
    assert "altered" in report.advice


def test_a_bug_shows_its_traceback_when_asked(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("WRIT_DEBUG", "1")
    assert run_guarded(lambda: {}["x"], False) == BUG
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error() -> None:
    def closed() -> None:
        raise BrokenPipeError

    assert run_guarded(closed, False) == 0


def test_json_after_two_dashes_is_an_argument() -> None:
    result = run("get", "--", "--json")
    assert result.exit_code == USAGE
    assert result.stderr.startswith("writ: ")


# --- all commands ---------------------------------------------------------------------------------


def leaves(
    group: click.Group, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], click.Command]]:
    """All commands below a group, with their names."""
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        made = group.get_command(context, name)
        assert made is not None
        if isinstance(made, click.Group):
            found += leaves(made, (*path, name))
        else:
            found.append(((*path, name), made))
    return found


def test_every_command_has_help_and_json() -> None:
    found = leaves(main)
    assert {("get",), ("node", "run"), ("status",)} <= {words for words, _ in found}
    for words, made in found:
        assert made.help, words
        options = {option for param in made.params for option in param.opts}
        # completion prints a script
        assert "--json" in options or words == ("completion",), words
        assert run(*words, "--help").exit_code == 0, words


def test_help_shows_the_exit_codes_and_imports_no_command() -> None:
    code = (
        "import sys; from writ_host.cli import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    print(sorted(m for m in sys.modules if m.startswith('writ_host.')))\n"
        "    assert 'rich' not in sys.modules and 'Crypto.PublicKey' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "3    not reachable" in done.stdout
    assert "writ_host.cli.call" not in done.stdout


def test_an_unknown_command_is_reported() -> None:
    result = run("statsu")
    assert result.exit_code == USAGE
    assert "statsu" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_WRIT_COMPLETE" in result.stdout


def test_completion_of_words() -> None:
    complete = {"_WRIT_COMPLETE": "bash_complete", "COMP_WORDS": "writ p", "COMP_CWORD": "1"}
    done = CliRunner().invoke(main, [], env=complete, prog_name="writ")
    assert "plain,ping" in done.stdout
    assert "plain,post" in done.stdout
    assert "plain,get" not in done.stdout


def test_completion_of_nodes(tmp_path: Path) -> None:
    (tmp_path / "book.toml").write_text('pump = "10.0.0.7"\nvalve = "10.0.0.8:1"\n')
    complete = {
        "_WRIT_COMPLETE": "bash_complete",
        "COMP_WORDS": f"writ ping --node {tmp_path} p",
        "COMP_CWORD": "4",
    }
    done = CliRunner().invoke(main, [], env=complete, prog_name="writ")
    assert done.stdout == "plain,pump\n"


def test_a_live_page_wraps_long_lines() -> None:
    line = "  member soil-1, node id 131f53c5ad45387b, roles: sensor, until 2027-11-26 22:14 UTC"
    parts = wrapped(line, 40)
    assert len(parts) == 3 and all(len(part) <= 40 for part in parts)
    assert " ".join(part.strip() for part in parts) == line.strip()
    assert parts[0].startswith("  member") and parts[1].startswith("    ")
    assert wrapped("", 80) == [""] and wrapped("short", 80) == ["short"]
    # a word that is copied, such as a key, stays whole
    assert wrapped(f"key {'x' * 200} end", 80) == ["key", f"  {'x' * 200}", "  end"]
