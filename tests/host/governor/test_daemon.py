"""The parts of a daemon that need no others: folder, control socket, front, metrics, unit."""

import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from writ.link.udp import UdpLink
from writ.wire import coap
from writ.wire.coap import Message
from writ_host.ceremony.storage import MemoryStore
from writ_host.cli.governor import group as governor_group
from writ_host.errors import FileInTheWay, HostError, Malformed, NotReachable
from writ_host.governor import control
from writ_host.governor import metrics as metrics_module
from writ_host.governor.control import ControlClient, ControlFailed, ControlServer
from writ_host.governor.daemon import Daemon
from writ_host.governor.folder import BadSettings, FolderNotPrivate, GovernorFolder, NoGovernor
from writ_host.governor.metrics import Metrics, Samples
from writ_host.governor.peering import bootstrap
from writ_host.governor.peering.addresses import AddressBook, BadAddresses
from writ_host.governor.peering.bootstrap import FoundingServer, is_plain_request
from writ_host.keys.identity import Identity
from writ_host.node.plainclient import PlainClient

# --- the folder -----------------------------------------------------------------------------------


def test_settings_are_read_strictly(tmp_path: Path) -> None:
    folder = GovernorFolder(tmp_path / "a")
    with pytest.raises(NoGovernor):
        folder.read()
    made = folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    assert (made.name, made.peers, made.listen) == ("a", "10.0.0.7:5685", "10.0.0.7:5683")
    assert made.bound(made.peers) == "10.0.0.7:5685"
    assert folder.path.stat().st_mode & 0o077 == 0
    with pytest.raises(FileInTheWay):
        folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    good = folder.toml.read_text()
    folder.toml.write_text(good + 'bind = "0.0.0.0"\nmetrics = "127.0.0.1:9685"\n')
    assert folder.read().bound(made.peers) == "0.0.0.0:5685"
    for wrong in (
        'colour = "red"\n',
        "metrics = 9685\n",
        'metrics = "nowhere:x"\n',
        'bind = "a b"\n',
        'bind = "0.0.0.0:1"\n',
        'name = "A"\n',
        "no toml\n",
    ):
        folder.toml.write_text(good + wrong)
        with pytest.raises(BadSettings):
            folder.read()
    folder.toml.write_text('name = "a"\n')
    with pytest.raises(BadSettings, match="peers"):
        folder.read()
    folder.toml.write_bytes(b"\xff" * 70000)
    with pytest.raises(BadSettings):
        folder.read()


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_no_governors(tmp_path: Path, mode: int) -> None:
    folder = GovernorFolder(tmp_path / "a")
    folder.path.mkdir()
    folder.path.chmod(mode)
    with pytest.raises(FolderNotPrivate):
        folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    made = CliRunner().invoke(governor_group, ["init", str(folder.path), "--name", "a"])
    assert isinstance(made.exception, FolderNotPrivate)
    # no key was ever where others could have put one
    assert not list(folder.path.iterdir())
    folder.path.chmod(0o755)
    settings = folder.create("a", "10.0.0.7:5685", "10.0.0.7:5683")
    folder.path.chmod(mode)
    with pytest.raises(FolderNotPrivate):
        Daemon(folder, settings, Identity.generate("a"), MemoryStore(), lambda *_: None)
    assert [one.name for one in folder.path.iterdir()] == ["governor.toml"]


def test_addresses_follow_who_is_heard_unless_they_have_names(tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    a, b, c = (Identity.generate(name).public for name in "abc")
    known = AddressBook(path)
    known.set({"a": "10.0.0.1:5685", "b": "localhost:5685"})
    heard = {one.node_key: ("10.9.9.9:1", 5) for one in (a, b, c)}
    known.learn([a, b, c], heard)
    again = AddressBook(path)
    assert again.of([a, b, c]) == {
        a.node_key: "10.9.9.9:1",
        b.node_key: "127.0.0.1:5685",
        c.node_key: "10.9.9.9:1",
    }
    assert again.of([Identity.generate("d").public]) == {}
    for wrong in ("a = 1\n", 'a = "x:y"\n', "a\n", "a = \xff"):
        path.write_text(wrong, "latin-1")
        with pytest.raises(BadAddresses):
            AddressBook(path)


# --- the control socket ---------------------------------------------------------------------------


@contextmanager
def serving(path: Path, handle: control.Handle) -> Iterator[tuple[ControlServer, list[Any]]]:
    """A server in a thread; events put into the list are sent to watchers."""
    events: list[Any] = []
    stop = threading.Event()
    with selectors.DefaultSelector() as selector:
        server = ControlServer(path, selector, handle)

        def loop() -> None:
            while not stop.is_set():
                for key, mask in selector.select(0.01):
                    key.data(mask)
                while events:
                    server.publish(events.pop(0))
            server.close()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield server, events
        finally:
            stop.set()
            thread.join()


def echo(request: control.Document) -> control.Document:
    if request["do"] == "fail":
        raise HostError("it failed", "Do better.")
    if request["do"] == "bug":
        raise KeyError("oops")
    return {"did": request["do"], "size": len(request.get("data", "")), "raw": b"\x01\xff"}


@pytest.mark.parametrize("depth", [0, 4])
def test_requests_answers_errors_and_events(tmp_path: Path, depth: int) -> None:
    # also where the path is longer than a socket's address may be
    folder = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "control.sock"
    with serving(path, echo) as (_, events):
        assert path.stat().st_mode & 0o777 == 0o600
        with ControlClient(path) as one, ControlClient(path) as two:
            assert one.ask("this") == {"did": "this", "size": 0, "raw": "01ff"}
            assert two.ask("that", data="x" * 200_000)["size"] == 200_000
            with pytest.raises(ControlFailed, match="it failed") as caught:
                one.ask("fail")
            assert (caught.value.name, caught.value.advice) == ("HostError", "Do better.")
            with pytest.raises(ControlFailed, match="bug in writ: KeyError"):
                one.ask("bug")
            stream = two.watch()
            threading.Timer(0.05, lambda: events.extend([{"event": "a"}, {"event": "b"}])).start()
            assert [next(stream), next(stream)] == [{"event": "a"}, {"event": "b"}]
            assert one.ask("again")["did"] == "again"
    assert not path.exists()
    with pytest.raises(NotReachable, match="no daemon runs"):
        ControlClient(path)


def test_who_waits_for_news_is_answered_when_there_are_some(tmp_path: Path) -> None:
    state = {"state": "open"}

    def show(request: control.Document) -> control.Document:
        return {**state, "id": request.get("id", "")}

    path = tmp_path / "control.sock"
    with serving(path, show) as (server, _), ControlClient(path) as client:
        seen = client.ask("find", id="a")

        def change() -> None:
            server.retry()  # it is the same still
            state["state"] = "certified"
            server.retry()

        threading.Timer(0.1, change).start()
        since = time.monotonic()
        found = client.ask_anew("find", seen, id="a")
        assert found["state"] == "certified" and time.monotonic() - since >= 0.1
        # what is news already is told at once, and what stays the same after a while
        assert client.ask_anew("find", seen, id="a") == found
        threading.Timer(0.3, server.retry).start()
        assert client.ask_anew("find", found, 0.2, id="a") == found
        # one after the other, as ever, on one connection
        client._link.sendall(
            control.encode({"do": "find", "id": "b", "seen": control.tag_of(b"x"), "wait": 1.0})
            + control.encode({"do": "find", "id": "c"})
        )
        assert [client._line()["id"], client._line()["id"]] == ["b", "c"]
        for wait in ("1", -1, True, [1.0]):
            with pytest.raises(ControlFailed, match="wait"):
                client.ask("find", wait=wait, seen="")


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with serving(path, echo):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            with pytest.raises(OSError):
                for _ in range(40):
                    link.sendall(b"x" * 65536)
        for line in (
            b"{}\n",
            b"[]\n",
            b"no json\n",
            b'{"do": 1}\n',
            b"\xff\n",
            b"[" * 9999 + b"\n",
        ):
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(str(path))
                link.sendall(line)
                said = json.loads(link.recv(65536))
                assert "error" in said or said.get("did") == 1, line


def test_a_stale_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(path, echo), ControlClient(path) as client:
        client.ask("this")
    path.write_text("precious")
    with selectors.DefaultSelector() as selector, pytest.raises(FileInTheWay):
        ControlServer(path, selector, echo)
    assert path.read_text() == "precious"


def test_others_are_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = socket.socketpair()
    with one, two:
        assert control.is_authorised(one)
        real = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: real + 1)
        # root may always
        assert control.is_authorised(one) == (real == 0)


@pytest.mark.parametrize("kind", [str, int, bytes, bool, list])
def test_fields_have_their_types(kind: type) -> None:
    for value in ("zz", 1, True, None, {}, 1.5, [], "0g"):
        if type(value) is kind:
            assert control.field({"x": value}, "x", kind) == value
        else:
            with pytest.raises(Malformed):
                control.field({"x": value}, "x", kind)


# --- the front ------------------------------------------------------------------------------------


def test_bodies_go_in_and_out_in_blocks() -> None:
    got = []

    def serve(method: int, path: tuple[str, ...], body: bytes, _: str) -> tuple[int, bytes]:
        got.append((method, path, len(body)))
        if path == ("bad",):
            raise HostError("not this one")
        return (coap.CHANGED, b"") if method == coap.POST else (coap.CONTENT, b"y" * 1000)

    link, server, stop = UdpLink("127.0.0.1:0"), FoundingServer(serve), threading.Event()

    def loop() -> None:
        while not stop.is_set():
            found = link.receive(10)
            if found:
                assert is_plain_request(found[0])
                for address, datagram in server.receive(*found, 1000):
                    link.send(address, datagram)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        with PlainClient(f"127.0.0.1:{link.port()}", 5) as client:
            assert client.post("founding", b"x" * 8000).code == coap.CHANGED
            answer = client.get("founding/12/3")
            assert (answer.code, answer.payload) == (coap.CONTENT, b"y" * 1000)
            assert client.get("other").code == coap.NOT_FOUND
            refused = client.get("founding/bad")
            assert (refused.code, refused.payload) == (coap.BAD_REQUEST, b"not this one")
            assert client.post("founding", b"x" * 20000).code == coap.TOO_LARGE
    finally:
        stop.set()
        thread.join()
        link.close()
    # blocks of an answer are asked for one by one
    assert got[0] == (coap.POST, (), 8000)
    assert set(got[1:]) == {(coap.GET, ("12", "3"), 0), (coap.GET, ("bad",), 0)}


def test_what_is_no_request_is_not_answered() -> None:
    server = FoundingServer(lambda *_: (coap.CONTENT, b""))
    assert not is_plain_request(b"")
    assert not is_plain_request(b"\x50\x02\x00\x01")
    assert server.receive(b"\x40\x02\x00", "1.2.3.4:5", 0) == []
    assert server.receive(b"\x40\x45\x00\x01", "1.2.3.4:5", 0) == []
    # a path that is no text
    message = Message(coap.CON, coap.GET, 7)
    message.add(coap.URI_PATH, b"\xff")
    assert server.receive(message.encode(), "1.2.3.4:5", 0) == []


def test_strangers_are_rationed() -> None:
    server = FoundingServer(lambda *_: (coap.CONTENT, b""))
    answers = 0
    for number in range(2 * bootstrap.REQUESTS_BURST):
        message = Message(coap.CON, coap.GET, number)
        message.add_path("founding/x")
        answers += len(server.receive(message.encode(), "1.2.3.4:5", 0))
    assert answers == bootstrap.REQUESTS_BURST


# --- metrics --------------------------------------------------------------------------------------


def test_metrics_over_http() -> None:
    metrics = Metrics()
    metrics.serve("127.0.0.1:0")
    try:
        metrics.observe_fsync(0.002)
        metrics.observe_decision(0.02)
        metrics.publish(
            Samples(
                {"epoch": 3, "beacon_age_seconds": None},
                {"decisions": 2},
                {("bytes_sent", "governor"): {"b": 7.0, "a": 5.0}},
            )
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        metrics.close()
    for line in (
        "writ_governor_epoch 3.0",
        "writ_governor_decisions_total 2.0",
        'writ_governor_bytes_sent_total{governor="a"} 5.0',
        'writ_governor_fsync_seconds_bucket{le="0.003"} 1.0',
        "writ_governor_decide_seconds_count 1.0",
    ):
        assert line in text.splitlines()
    assert "beacon_age" not in text


def test_whoever_holds_connections_open_takes_nothing_else_from_the_governor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_module.ScrapeHandler, "timeout", 0.5)
    metrics = Metrics()
    metrics.serve("127.0.0.1:0")
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", metrics.port)) for _ in range(40)]
    try:
        # all but a few are let go at once, the others when they say nothing
        for link in idle:
            link.settimeout(10)
            assert link.recv(1) == b""
            assert threading.active_count() - before <= metrics_module.SCRAPES_MAX
        while threading.active_count() > before:
            time.sleep(0.01)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            assert answer.status == 200
    finally:
        for link in idle:
            link.close()
        metrics.close()


# --- the service ----------------------------------------------------------------------------------

UNIT = Path(__file__).parents[3] / "boards/linux/writ-governor@.service"
# what a governor needs of the system is little: all of this must be shut
SHUT = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "CapabilityBoundingSet": "",
    "LimitCORE": "0",
    "UMask": "0077",
    "Type": "notify",
}


def unit_lines() -> list[tuple[str, str, str]]:
    """(section, key, value) of the unit, each line read strictly."""
    found, section = [], ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("#"):
            assert section in ("Unit", "Service", "Install"), line
            key, equals, value = line.partition("=")
            assert equals and re.fullmatch(r"[A-Z][A-Za-z]+", key) and value == value.strip(), line
            found.append((section, key, value))
    return found


def test_the_unit_shuts_what_a_governor_does_not_need() -> None:
    service = {key: value for section, key, value in unit_lines() if section == "Service"}
    for key, value in SHUT.items():
        assert service[key] == value, key
    # the command is one that there is, and the key comes as a credential
    words = service["ExecStart"].split()
    assert words[1:4] == ["governor", "run", "%S/writ/%i"]
    assert words[4:6] == ["--key-file", "%d/key"] and service["LoadCredential"].startswith("key:")
    assert governor_group.get_command(click.Context(governor_group), "run") is not None


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/usr/local/bin/writ ", "/bin/true ")
    path = tmp_path / "writ-governor@a.service"
    path.write_text(text)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
        capture_output=True,
        text=True,
    )
    # at most 2.0 of 10
    assert ran.returncode == 0, ran.stdout
