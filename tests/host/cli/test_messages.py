"""Messages that misled people: each says what is so, in one line, and what to do next."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cli_rig import Rig
from council_rig import ROOT

from writ.errors import PeerFailed, RateLimited
from writ_host.cli.boundary import ErrorReport, explain, report
from writ_host.errors import RefusedByNode
from writ_host.node import provision
from writ_host.refusals import advice_for, rejection_text


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("staus",), "Did you mean 'status'? See writ --help."),
        (("governor", "aprove", "x"), "Did you mean 'approve'? See writ governor --help."),
        (("member", "lst"), "Did you mean 'list'? See writ member --help."),
        (("revoke", "soil"), "Did you mean 'writ member revoke'? See writ --help."),
        (("policy", "admit"), "Did you mean 'writ member admit'? See writ policy --help."),
        (("zzz",), "See writ --help."),
    ],
)
def test_a_mistyped_command_gets_a_suggestion(
    tmp_path: Path, words: tuple[str, ...], meant: str
) -> None:
    ran = Rig(tmp_path).run(*words)
    assert ran.code == 2 and " ".join(ran.err.split()).endswith(meant)


@pytest.mark.parametrize("words", [(), ("governor",), ("member",)])
def test_a_command_without_words_shows_its_help(tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = Rig(tmp_path).run(*words)
    assert ran.code == 2 and ran.err.startswith(f"Usage: {' '.join(('writ', *words))} ")


@pytest.mark.parametrize("words", [("book",), ("member",), ()])
def test_an_option_before_the_command_is_explained(tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = Rig(tmp_path).run(*words, "--json")
    meant = " ".join(("writ", *words, "COMMAND --json."))
    assert ran.code == 2 and f"Options follow a command: {meant}" in ran.error["advice"]


def test_a_request_that_was_made_without_the_scope_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rig = Rig(tmp_path)
    ran = rig.run("member", "request", "soil", "--name", "soil-1")
    assert ran.code == 0 and f"no scope in {rig.scope}" in ran.out
    file = "soil/soil-1.request.cbor"
    assert "writ scope create NAME" in ran.out and f"writ member admit {file}" in ran.out
    rig.create()
    ran = rig.run("member", "admit", "soil-1", "--role", "sensor", "--yes")
    assert ran.code == 1 and "no request soil-1" in ran.err
    assert f"writ member admit {file}" in ran.err, ran.err
    rig.ok("member", "admit", file, "--role", "sensor", "--yes")
    ran = rig.run("member", "admit", "pump", "--role", "sensor", "--yes")
    assert "writ member request DIR --name pump" in ran.err
    # with a scope the next command is complete, but for the role
    ran = rig.run("member", "request", "pump", "--name", "pump")
    assert "then  writ member admit pump --role ROLE" in ran.out


def test_actions_of_a_scope_without_daemons_are_explained(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.create()
    rig.admit("laptop", "gateway", "--out", tmp_path / "laptop")
    ran = rig.run("act", "soil/gate", "open", env={"WRIT_NODE": str(tmp_path / "laptop")})
    assert ran.code == 1 and "are no daemons (scope create --local)" in ran.err
    assert "writ scope create NAME --governors" in ran.err and "`quorum`" in ran.err


def test_a_list_of_choices_is_one_line(tmp_path: Path) -> None:
    ran = Rig(tmp_path).run("completion")
    assert ran.code == 2 and "bash, fish, zsh" in ran.err and "\\t" not in ran.err


def test_the_text_of_another_node_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    report(explain(RefusedByNode("pump: 4.00 a\nwrit: all is well\x1b[2J", "x", None, None)), False)
    assert capsys.readouterr().err == ("writ: pump: 4.00 a\\nwrit: all is well\\x1b[2J\n      x\n")
    report(ErrorReport("X", "m", "", 1), False)
    assert capsys.readouterr().err == "writ: m\n"


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    # the limit for the size of a file stands for a full disk: both fail in write(2)
    code = (
        "import resource, signal, sys; from pathlib import Path; from writ_host import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "from writ_host.cli.boundary import explain\n"
        "try: files.write_atomically(Path(sys.argv[1]), bytes(20000))\n"
        "except OSError as error: print(explain(error).message)\n"
    )
    file = tmp_path / "policy.toml"
    file.write_text("the old one")
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'firmware'}:{ROOT / 'host'}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{file}: File too large\n", done.stderr
    assert file.read_text() == "the old one" and [*tmp_path.iterdir()] == [file]
    assert "Free some space" in explain(OSError(28, "No space left on device", "x")).advice


def test_a_wrong_passphrase_may_be_a_damaged_file(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.create()
    rig.key_file.write_bytes(bytes(32))
    ran = rig.run("scope", "beacon")
    assert ran.code == 4 and "intact" not in ran.err and "damaged" in ran.err


def test_nothing_is_made_before_the_folder_can_be(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    ran = rig.run("governor", "init", "/proc/writ", "--name", "anna")
    assert ran.code == 1 and "made" not in ran.out and not rig.key_file.exists()
    missing = tmp_path / "nowhere" / "key"
    ran = rig.run("governor", "init", tmp_path / "a", "--name", "anna", "--key-file", missing)
    assert ran.code == 1 and "made" not in ran.out and str(missing.parent) in ran.err


def test_a_peers_refusal_of_a_handshake_has_its_name() -> None:
    by_text, by_error = PeerFailed(), PeerFailed()
    by_text.text = b"\x01\x6bRateLimited"
    by_error.error = (1, "RateLimited")
    for failed in (by_text, by_error):
        assert rejection_text(failed).startswith("the peer refused: RateLimited (32): ")
        assert advice_for(failed) == advice_for(RateLimited)
    assert rejection_text(PeerFailed()).startswith("PeerFailed (76): ")


@pytest.mark.parametrize(
    ("words", "help_of"),
    [
        (("get", "coap://127.0.0.1:99999/x"), "writ get"),
        (("post", "coap://[/x", "on"), "writ post"),
        (("put", "10.0.0.7/temp", "on"), "writ put"),
        (("member", "request", "node", "--gateway", "a:b:c"), "writ member request"),
        (("get",), "writ get"),
        (("governor", "approve", "--no-such"), "writ governor approve"),
    ],
)
def test_a_wrong_argument_names_the_help_of_its_command(
    tmp_path: Path, words: tuple[str, ...], help_of: str
) -> None:
    """Arguments that the command itself found wrong had the help of `writ`, a list of commands."""
    ran = Rig(tmp_path).run(*words)
    said = ran.err.splitlines()
    assert ran.code == 2 and said[0].startswith("writ: ")
    assert said[-1] == f"      See {help_of} --help."
    # for programs the advice is the same
    error = Rig(tmp_path).run(*words, "--json").error
    assert error["exit_code"] == 2 and error["advice"] == f"See {help_of} --help."


@pytest.mark.parametrize("program", ["python", "writ"])
def test_a_busy_port_is_named(tmp_path: Path, program: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{other.getsockname()[1]}"
        provision.make_node(tmp_path / "soil", "soil", listen=address)
        code = "import writ; writ.Node.load('soil').run()"
        words = ["-c", "from writ_host.cli import main; main()", "node", "run", "soil"]
        done = subprocess.run(
            [sys.executable, *(["-c", code] if program == "python" else words)],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'firmware'}:{ROOT / 'host'}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1 and address in done.stderr and "in use" in done.stderr
    assert '"listen" in config.json' in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2
