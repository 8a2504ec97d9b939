"""The control socket: requests, errors, events, waiting requests and damaged lines."""

import contextlib
import errno
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from writ_host.errors import FileInTheWay, HostError, Malformed, NotReachable
from writ_host.governor import control
from writ_host.governor.control import ControlClient, ControlFailed, ControlServer

pytestmark = pytest.mark.slow


@contextmanager
def serving(path: Path, handle: control.Handle) -> Iterator[tuple[ControlServer, list[Any]]]:
    """A server in a thread. It publishes events put into the list, and calls functions."""
    events: list[Any] = []
    stop = threading.Event()
    with selectors.DefaultSelector() as selector:
        server = ControlServer(path, selector, handle)

        def loop() -> None:
            while not stop.is_set():
                for key, mask in selector.select(0.01):
                    key.data(mask)
                while events:
                    event = events.pop(0)
                    if callable(event):
                        event()
                    else:
                        server.publish(event)
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
    # also with a path longer than a socket's address may be
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


def test_a_busy_daemon_is_no_absent_one(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(path))
        listener.listen(0)
        with pytest.raises(NotReachable, match="the daemon does not answer"):
            for _ in range(20):
                held.enter_context(ControlClient(path, 0.1))


def test_an_error_of_the_disk_is_no_absent_daemon(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.symlink_to(path)
    with pytest.raises(OSError, match=r"control\.sock") as caught:
        ControlClient(path)
    assert caught.value.errno == errno.ELOOP and not isinstance(caught.value, ConnectionError)


def test_a_waiting_request_is_answered_when_its_answer_changes(tmp_path: Path) -> None:
    state = {"state": "open"}

    def show(request: control.Document) -> control.Document:
        return {**state, "id": request.get("id", "")}

    path = tmp_path / "control.sock"
    with serving(path, show) as (server, events), ControlClient(path) as client:
        seen = client.ask("find", id="a")

        def change() -> None:
            server.retry()  # the answer is still the same
            state["state"] = "certified"
            server.retry()

        threading.Timer(0.1, events.append, [change]).start()
        since = time.monotonic()
        found = client.ask_anew("find", seen, id="a")
        assert found["state"] == "certified" and time.monotonic() - since >= 0.1
        # an answer that differs already comes at once; one that stays the same, after the wait
        assert client.ask_anew("find", seen, id="a") == found
        threading.Timer(0.3, events.append, [server.retry]).start()
        assert client.ask_anew("find", found, 0.2, id="a") == found
        # one connection: one request after the other
        client._link.sendall(
            control.encode({"do": "find", "id": "b", "seen": control.tag_of(b"x"), "wait": 1.0})
            + control.encode({"do": "find", "id": "c"})
        )
        assert [client._line()["id"], client._line()["id"]] == ["b", "c"]
        for wait in ("1", -1, True, [1.0]):
            with pytest.raises(ControlFailed, match="wait"):
                client.ask("find", wait=wait, seen="")


def test_a_line_without_end_closes_the_connection(tmp_path: Path) -> None:
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


def test_other_users_are_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = socket.socketpair()
    with one, two:
        assert control.is_authorised(one)
        real = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: real + 1)
        # root is always served
        assert control.is_authorised(one) == (real == 0)


@pytest.mark.parametrize("kind", [str, int, bytes, bool, list])
def test_fields_have_their_types(kind: type) -> None:
    for value in ("zz", 1, True, None, {}, 1.5, [], "0g"):
        if type(value) is kind:
            assert control.field({"x": value}, "x", kind) == value
        else:
            with pytest.raises(Malformed):
                control.field({"x": value}, "x", kind)
