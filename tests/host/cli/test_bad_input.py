"""Bad files and bad arguments: each is the user's to correct, so none ends as a bug of `writ`.

The readers are found, not listed: every file of a scope, a node and a governor is damaged in turn,
and every option and argument of every command gets junk. A failing case prints its seed or words.
"""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli_rig import Ran, Rig

from writ_host.cli import main
from writ_host.cli.boundary import BUG, REFUSED

SEED = 20260726
# A text that TOML, JSON and CBOR readers should refuse or survive, by what is wrong with it.
TEXTS = {
    "empty": b"",
    "nul": b"\0" * 40,
    "high bytes": bytes(range(256)),
    "mark": b"\xef\xbb\xbfname = 'x'\n",
    "deep lists": b"x = " + b"[" * 20_000,
    "deep tables": b"x = " + b"{a = " * 8_000,
    "deep json": b'{"a":' * 20_000,
    "deep cbor": b"\x81" * 20_000,
    "digits": b"x = " + b"7" * 60_000,
    "json digits": b"[" + b"7" * 60_000 + b"]",
    "dots": b"a." * 16_000 + b"b = 1\n",
    "quotes": b'"' + b'\\"' * 30_000,
    "large": b"# comment\n" * 20_000,
    "other toml": b"name = 7\npeers = [1]\nlisten = {a = 1}\nx = 1979-05-27\n[roles]\na = 1\n",
    "other json": b'{"name": 7, "listen": [], "gateways": {}, "oscore": 1}',
    "json list": b"[[[1, null], {}], true]",
    "path": b"/nowhere\n/else\n",
    "line": b"ok = 1\nthis is no TOML\n",
}
JUNK = [
    "", " ", "\0", "\n", "\x1b[2J", "é" * 40, "\udcff", "x" * 5000, "7" * 5000, "-1", "0", "nan",
    "1e999", "../..", "/dev/null", "a,b,,c", "a=b", "[", "coap://[/x", "coap://[::g]/x", "coap://",
    "coap://a:99999999999/x", "http://a/b", "a/b?c&d=%zz", "soil/../../x", "9999999999y", "1979",
    "0001-01-01", "9999-12-31T23:59:59+23:59", "{}", "null", "true", "--", "-", ":", "1:2:3", "@",
    "84" * 40_000, "8443a1", "zz", "0x", "f" * 16,
]  # fmt: skip
# Commands that run until a signal, or for minutes.
LONG = {("demo",), ("node", "run"), ("governor", "run"), ("observe",)}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all commands that end by themselves."""
    context = click.Context(group)
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        if isinstance(inner, click.Group):
            yield from commands(inner, (*path, name))
        elif (*path, name) not in LONG:
            yield (*path, name)


def find(path: tuple[str, ...]) -> click.Command:
    """The command at a path."""
    found: click.Command = main
    for name in path:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), name)
        assert inner is not None
        found = inner
    return found


COMMANDS = sorted(commands(main))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A scope with a member and a pending request, a node, and a governor that does not run."""
    rig = Rig(tmp_path_factory.mktemp("template"))
    rig.create()
    rig.admit("soil", "sensor", "--out", rig.path / "soil")
    rig.ok("member", "request", rig.path / "pump", "--name", "pump")
    (rig.scope / "book.toml").write_text('soil = "127.0.0.1:9"\n')
    (rig.path / "soil" / "book.toml").write_text('pump = "127.0.0.1:9"\n')
    (rig.path / "soil" / "seen.json").write_text('{"pump": ["127.0.0.1:9", "00"]}')
    rig.ok("governor", "init", rig.path / "anna", "--name", "anna")
    rig.ok("governor", "backup", rig.path / "anna", rig.path / "anna.backup")
    (rig.path / "anna" / "peers.toml").write_text('ben = "127.0.0.1:9"\n')
    return rig


def fresh(template: Rig, path: Path) -> Rig:
    """A copy of the template, to damage."""
    shutil.copytree(template.path, path, dirs_exist_ok=True)
    return Rig(path)


def run(rig: Rig, *words: object) -> Ran:
    """Run a command, which must not report a bug. One that hangs meets the timeout of the test."""
    environment = {
        "WRIT_NODE": str(rig.path / "soil"),
        "HOME": str(rig.path),
        "XDG_CONFIG_HOME": str(rig.path / "config"),
    }
    ran = rig.run(*words, env=environment)
    shown = [str(word)[:60] for word in words]
    assert ran.code != BUG, (shown, ran.out[-500:], ran.err[-500:])
    assert "bug in writ" not in ran.out + ran.err, shown
    return ran


# --- files ----------------------------------------------------------------------------------------

# What reads the files of each folder.
READERS: dict[str, list[tuple[str, ...]]] = {
    "farm": [
        ("scope", "show"), ("member", "list", "--all"), ("member", "show", "soil"),
        ("member", "admit", "pump", "--role", "sensor", "--yes", "--no-deliver"),
        ("policy", "check"), ("policy", "diff"), ("policy", "show"),
        ("policy", "certify", "--yes", "--deliver", "all", "--timeout", "0.2"),
        ("scope", "beacon"), ("ceremony", "status"),
        ("capsule", "inspect", "FILE"),
    ],
    "soil": [
        ("status", "--timeout", "0.2"), ("get", "pump/temp", "--timeout", "0.2"),
        ("ping", "pump", "--timeout", "0.2"),
        ("member", "request", "soil"),
    ],
    "anna": [
        ("governor", "status", "anna"), ("governor", "backup", "anna", "new.backup"),
        ("scope", "create", "other", "--governors", "anna/anna.toml", "--wait", "0"),
    ],
}  # fmt: skip


def file_names(template: Rig) -> list[str]:
    """All files below the three folders."""
    listed = (path for name in READERS for path in sorted((template.path / name).rglob("*")))
    return [str(path.relative_to(template.path)) for path in listed if path.is_file()]


def test_no_content_of_a_file_is_a_bug(
    template: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded = random.Random(SEED)
    names = file_names(template)
    assert {"farm/policy.toml", "soil/config.json", "anna/governor.toml"} < set(names)
    names += ["farm/governor", "farm/pending/0.json"]
    rig = fresh(template, tmp_path / "copy")
    monkeypatch.chdir(rig.path)
    refused = 0
    for name in names:
        path, folder = rig.path / name, name.partition("/")[0]
        original = (template.path / name).read_bytes() if (template.path / name).exists() else b""
        flipped = bytearray(original or b"x")
        flipped[seeded.randrange(len(flipped))] ^= 1 << seeded.randrange(8)
        cut = original[: seeded.randrange(len(original) + 1)]
        picked = seeded.sample(sorted(TEXTS), 5)
        for data in (bytes(flipped), cut, *(TEXTS[label] for label in picked)):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            for words in seeded.sample(READERS[folder], 2):
                words = tuple(str(path) if word == "FILE" else word for word in words)
                refused += run(rig, *words).code != 0
            shutil.rmtree(rig.path)
            fresh(template, rig.path)
            monkeypatch.chdir(rig.path)
    assert refused > len(names)


@pytest.mark.parametrize("label", sorted(TEXTS))
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("farm/policy.toml", ("policy", "check")),
        ("farm/book.toml", ("policy", "certify", "--yes", "--deliver", "all")),
        ("soil/config.json", ("status",)),
        ("anna/governor.toml", ("governor", "status", "anna")),
        ("anna/anna.toml", ("scope", "create", "o", "--governors", "anna/anna.toml", "--wait", 0)),
    ],
)
def test_an_error_in_a_text_file_names_the_file(
    template: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, words: tuple[object, ...], label: str,
) -> None:  # fmt: skip
    rig = fresh(template, tmp_path)
    monkeypatch.chdir(rig.path)
    (rig.path / name).write_bytes(TEXTS[label])
    ran = run(rig, *words)
    assert ran.code in (0, REFUSED), ran.err
    if ran.code:
        assert Path(name).name in ran.err, ran.err


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("line", "policy.toml:2: "),
        ("mark", "policy.toml:1: the file begins with a byte order mark"),
        ("deep lists", "policy.toml:1: nested deeper than 8 levels"),
        ("digits", "policy.toml:1: a word or number of more than 256 characters"),
        ("dots", "policy.toml:1: a key of more than 16 parts"),
        ("large", "policy.toml: longer than 65536 bytes"),
        ("high bytes", "policy.toml:2: not UTF-8 text"),
    ],
)
def test_an_error_names_the_line(template: Rig, tmp_path: Path, label: str, wanted: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(TEXTS[label])
    ran = run(template, "policy", "check", file)
    assert ran.code == REFUSED and wanted in ran.err, ran.err


# --- arguments ------------------------------------------------------------------------------------


def words_for(parameter: click.Parameter, junk: str, context: click.Context) -> list[str]:
    """The words that give `junk` to a parameter."""
    if isinstance(parameter, click.Argument):
        return [junk]
    return [parameter.opts[0]] if getattr(parameter, "is_flag", False) else [
        f"{parameter.opts[0]}={junk}"
    ]  # fmt: skip


def good_words(command: click.Command, context: click.Context) -> list[str]:
    """Words for the required parameters of a command, and short waits."""
    found = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and parameter.required:
            found.append("soil/temp" if parameter.name == "target" else "soil")
        elif parameter.required:
            found.append(f"{parameter.opts[0]}=soil")
        if parameter.name == "timeout_s":
            found.append("--timeout=0.1")
        if parameter.name == "wait_s":
            found.append("--wait=0")
    return found


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_argument_is_a_bug(
    template: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    rig = fresh(template, tmp_path)
    monkeypatch.chdir(rig.path)
    seeded = random.Random(f"{SEED} {path}")
    command = find(path)
    context = click.Context(command)
    for parameter in command.params:
        for junk in seeded.sample(JUNK, 6):
            given = words_for(parameter, junk, context)
            if isinstance(parameter, click.Argument):
                run(rig, *path, "--", *given)
                run(rig, *path, "--timeout=0.1", "--", *given)
            else:
                run(rig, *path, *good_words(command, context), *given)


@pytest.mark.parametrize(
    "junk",
    [
        "842040583ba3041a658ac04008a101a4010220242158206fd2e5184e9e03f8a2254009cfb88fee40b568721334deb7"
        "b5a39089c46ea1f622f53a000100008180f4",
        "84a1012640a04040", "8440a0a040", "84a0a040a0", "84" + "41a0" * 3 + "40", "81" * 50_000,
        "84" * 50_000, "a1" * 50_000, "5bffffffffffffffff", "9bffffffffffffffff",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_no_capsule_is_a_bug(template: Rig, junk: str) -> None:
    assert run(template, "capsule", "inspect", junk).code == REFUSED


def test_no_change_of_a_capsule_is_a_bug(template: Rig) -> None:
    seeded = random.Random(SEED)
    files = sorted(template.scope.rglob("*.cbor"))
    assert len(files) > 6
    for _ in range(300):
        data = bytearray(seeded.choice(files).read_bytes())
        for _ in range(seeded.randrange(1, 5)):
            at = seeded.randrange(len(data))
            if seeded.random() < 0.3:
                del data[at : at + seeded.randrange(1, 9)]
            else:
                data[at] = seeded.randrange(256)
        run(template, "capsule", "inspect", data.hex() or "00")


def test_a_uri_that_is_none_is_wrong_usage(template: Rig) -> None:
    for text in ("coap://[/x", "coap://[::g]/x", "coap://a:b/x", "coap://a:0/x", "coap:///x"):
        ran = run(template, "get", text)
        assert ran.code == 2 and text.partition("/x")[0][7:] in ran.err, (text, ran.err)


def test_the_error_document_is_json_for_any_words(template: Rig) -> None:
    for word in JUNK:
        ran = run(template, "get", "--json", "--timeout=0.1", "--", word)
        assert ran.code and json.loads(ran.out)["error"]["message"], word


def test_a_capsule_file_that_cannot_be_read_is_no_text_of_hex_digits(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    ran = rig.run("capsule", "inspect", loop)
    assert ran.code == REFUSED and f"{loop}: " in ran.err and "hex" not in ran.err, ran.err
