"""Names of nodes, governors and scopes: clear on a command line, at every place that takes one."""

from pathlib import Path

import click
import pytest
from cli_rig import Rig

from writ.authority import capsule as capsules
from writ.errors import BadShape
from writ.node.statement import member_request
from writ_host.cli import main
from writ_host.errors import HostError
from writ_host.names import RESERVED, name_problem
from writ_host.scope.admission import prepare_admission, read_request
from writ_host.scope.folder import ScopeFolder, now_s
from writ_host.scope.validation import Validation

UNCLEAR = (
    *(".", "..", "-x", "--json", "_x", "all", "status", "127.0.0.1", "7", "0123456789abcdef"),
    *("localhost", "writ", "help"),
)
RESOLVED = (
    *("localhost", "localhost.", "localdomain", "broadcasthost", "ip6-localhost", "internal"),
    *("pump.local", "pump.localhost", "a.b.internal", "invalid"),
)
NODE_ID = "abcdef0123456789"
PRIVATE = b"\1" * 32


def commands(group: click.Group, path: str = "") -> list[str]:
    """The words of all commands below a group."""
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        found += [name, *(commands(inner) if isinstance(inner, click.Group) else [])]
    return found


def test_every_word_of_the_command_line_is_reserved() -> None:
    words = {str(main.name), *commands(main), *main.get_help_option_names(click.Context(main))}
    assert {word.lstrip("-") for word in words} - RESERVED == set()
    assert {"writ", "help", "status"} < RESERVED


@pytest.mark.parametrize("name", RESOLVED)
def test_a_name_that_resolvers_answer_by_themselves_is_refused(name: str) -> None:
    assert "resolvers" in name_problem(name)


@pytest.mark.parametrize("name", [*UNCLEAR, NODE_ID, "", "A", "a b", "x" * 25, None, 7])
def test_unclear_names_are_refused(name: object) -> None:
    assert name_problem(name)


@pytest.mark.parametrize("name", ["a", "pump-1", "pump_1", "old.pump", "abcdef012345678", "x" * 24])
def test_clear_names_are_accepted(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize("name", [".", "..", "-x", "--json", "7", "127.0.0.1", "_", ""])
def test_a_device_refuses_a_name_without_a_letter_first(name: str) -> None:
    with pytest.raises(BadShape):
        capsules.check_name(name)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    made = Rig(tmp_path_factory.mktemp("names"))
    made.create()
    return made


@pytest.mark.parametrize("name", [*UNCLEAR, NODE_ID])
def test_no_command_takes_an_unclear_name(rig: Rig, name: str) -> None:
    for words in (
        ("member", "request", rig.path / "node", f"--name={name}"),
        ("member", "request", rig.path / name) if name.isalnum() else (),
        ("governor", "init", rig.path / "governor", f"--name={name}"),
        ("scope", "create", "other", "--local", f"--names={name},b,c,d"),
        ("scope", "create", "--local", "--", name),
        ("ceremony", "identity", "--", name),
        ("ceremony", "roster", "--", name),
    ):
        if words:
            ran = rig.run(*words)
            assert ran.code == 2 and "name" in ran.err, ran.out + ran.err
    assert not (rig.path / "node").exists() and not (rig.path / "governor").exists()


def test_a_request_with_a_reserved_name_needs_another_one(rig: Rig) -> None:
    # a device may ask for any name of the wire format
    request = read_request(member_request(PRIVATE, "all"))
    folder = ScopeFolder.open(rig.scope)
    with pytest.raises(HostError, match="word of the command line"):
        prepare_admission(folder, request, 0, now_s() + 86400)
    assert prepare_admission(folder, request, 0, now_s() + 86400, "pump").name == "pump"


@pytest.mark.parametrize("name", ["all", NODE_ID])
def test_no_governor_signs_an_unclear_name(rig: Rig, name: str) -> None:
    folder = ScopeFolder.open(rig.scope)
    request = read_request(member_request(PRIVATE, "pump"))
    draft = prepare_admission(folder, request, 0, now_s() + 86400).draft
    for shown, problems in ((name, 1), ("pump", 0)):
        payload = draft.payload.replace(
            b"\x02\x64pump", b"\x02" + bytes([0x60 + len(shown)]) + shown.encode()
        )
        judged = Validation(None, folder.policy, folder.epoch, folder.head, now_s(), 1)
        judged.member(capsules.parse(capsules.assemble(payload, bytes(64))))
        assert len(judged.problems) == problems, judged.problems


def test_a_name_of_digits_is_taken_for_an_address(tmp_path: Path) -> None:
    ran = Rig(tmp_path).run("get", "10.0.0.7/temp")
    assert ran.code == 2 and "coap://10.0.0.7/temp" in ran.err
