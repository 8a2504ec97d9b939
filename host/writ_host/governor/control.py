"""How an operator's command reaches the daemon: JSON lines over a Unix socket, mode 0600.

    -> {"do": "status", ...}        <- {...}, or {"error": {"name", "message", "advice"}}

One request at a time on a connection. With "seen", the tag of an answer, and "wait", in seconds, it
is answered once there is another answer, or after so long. `watch` goes on: each event is a line,
until either closes. Only the daemon's own user and root are heard.
"""

import contextlib
import hashlib
import json
import math
import os
import selectors
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from writ.errors import WritError

from ..errors import FileInTheWay, HostError, Malformed, NotReachable
from ..refusals import rejection_text

# A proposal of 32 capsules with evidence, in hex.
LINE_BYTES_MAX = 262144
# An answer: all that was certified since some moment comes in pages below this.
ANSWER_BYTES_MAX = 4 << 20
CONNECTIONS_MAX = 32
# What a watcher may leave unread before it is let go.
BACKLOG_BYTES_MAX = 1 << 20
# sun_path has 108 bytes on Linux, 104 on others.
_PATH_BYTES_MAX = 100
TIMEOUT_S = 15.0
# Who waits for news asks again after this.
WAIT_S_MAX = 10.0

Document = dict[str, Any]
Handle = Callable[[Document], Document]


class ControlFailed(HostError):
    """The daemon refused what it was asked. name: of the error over there."""

    def __init__(self, name: str, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self.name = name


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    # a path that is too long for a socket's address is taken by way of its folder's descriptor
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir():
        raise HostError(f"{path}: too long for a socket", "Use a folder with a shorter path.")
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def may_speak(connection: socket.socket) -> bool:
    """Whether the other side is this process's user, or root (where the system can tell)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True  # mode 0600 is all there is
    raw = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return uid in (0, os.getuid())


def encode(document: Document) -> bytes:
    """One line. Bytes become hex."""
    return json.dumps(document, default=_plain, separators=(",", ":")).encode() + b"\n"


def tag_of(line: bytes) -> str:
    """What a line that was seen is known by."""
    return hashlib.sha256(line).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def decode(line: bytes) -> Document:
    """The object in one line. Raises `Malformed`."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("no line of JSON", "Is the other side another version?") from None
    if not isinstance(found, dict):
        raise Malformed("no object")
    return found


def field(document: Document, name: str, kind: type, default: Any = None) -> Any:
    """document[name], of that type; `default` where there is none. Raises `Malformed`.

    kind `bytes`: written in hex.
    """
    value = document.get(name)
    if value is None and default is not None:
        return default
    if kind is bytes:
        try:
            return bytes.fromhex(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise Malformed(f'"{name}" is not in hex') from None
    if type(value) is not kind:
        raise Malformed(f'"{name}" is not {kind.__name__}')
    return value


class _Connection:
    """One client."""

    def __init__(self, server: "ControlServer", link: socket.socket) -> None:
        self.server = server
        self.link = link
        self.watches = False
        self.is_open = True
        self._in = bytearray()
        self._out = bytearray()
        self._held: tuple[bytes, float] | None = None  # a request, and when it is answered anyway

    def ready(self, mask: int) -> None:
        """The selector says that it can be read or written."""
        try:
            if mask & selectors.EVENT_WRITE:
                self._write()
            if mask & selectors.EVENT_READ:
                self._read()
        except OSError:
            self.server.drop(self)

    def _read(self) -> None:
        data = self.link.recv(65536)
        if not data:
            self.server.drop(self)
            return
        self._in += data
        self._read_lines()
        if len(self._in) > LINE_BYTES_MAX:
            self.server.drop(self)

    def _read_lines(self) -> None:
        while self.is_open and self._held is None and (end := self._in.find(b"\n")) >= 0:
            line = bytes(self._in[:end])
            del self._in[: end + 1]
            self._answer(line, None)

    def _answer(self, line: bytes, until_s: float | None) -> None:
        answer, wait_s = self.server.answer(line, self)
        now_s = time.monotonic()
        until_s = now_s + wait_s if until_s is None else until_s
        if wait_s and now_s < until_s:
            self._held = line, until_s
        else:
            self.send(answer)

    @property
    def until_s(self) -> float | None:
        """When what is held back is answered anyway; None for nothing."""
        return self._held[1] if self._held else None

    def retry(self) -> None:
        """Answer what was held back, if there is something else to say by now."""
        if self._held is not None:
            held, self._held = self._held, None
            self._answer(*held)
            self._read_lines()

    def send(self, data: bytes) -> None:
        """Queue a line and send what goes at once."""
        self._out += data
        if len(self._out) > ANSWER_BYTES_MAX + BACKLOG_BYTES_MAX:
            self.server.drop(self)
            return
        self._write()

    def event(self, data: bytes) -> None:
        """A line that may be lost, with the connection, if nobody reads."""
        if len(self._out) > BACKLOG_BYTES_MAX:
            self.server.drop(self)
        else:
            self.send(data)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._out:
                sent = self.link.send(self._out)
                del self._out[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        if self.is_open:
            self.server.selector.modify(self.link, wanted, self.ready)


class ControlServer:
    """The daemon's end, in its selector loop: a registered object's data is called with the mask.

    handle(request) answers one; what it raises of `HostError` and `WritError` is told to the
    client. Raises `FileInTheWay`, or `OSError` where the socket cannot be made.
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector, handle: Handle) -> None:
        self.path = path
        self.selector = selector
        self._handle = handle
        self._connections: list[_Connection] = []
        # a socket that a killed daemon left is replaced: the folder's lock says that it is gone
        if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileInTheWay(f"{path} is no socket", "Move it away.")
        made = path.with_name(f".{path.name}")
        made.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with _reachable(made) as name:
                self._listener.bind(name)
            self._listener.listen(8)
            # who finds it there is answered
            made.rename(path)
        except BaseException:
            self._listener.close()
            raise
        finally:
            os.umask(before)
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self, _: int) -> None:
        try:
            link, _address = self._listener.accept()
        except OSError:
            return
        if len(self._connections) >= CONNECTIONS_MAX or not may_speak(link):
            link.close()
            return
        link.setblocking(False)
        connection = _Connection(self, link)
        self._connections.append(connection)
        self.selector.register(link, selectors.EVENT_READ, connection.ready)

    def answer(self, line: bytes, connection: _Connection) -> tuple[bytes, float]:
        """What to say to one line, and for how many seconds not yet, since it was seen before."""
        try:
            request = decode(line)
            if request.get("do") == "watch":
                connection.watches = True
                return encode({"watching": True}), 0
            wait_s = min(field(request, "wait", float, 0.0), WAIT_S_MAX)
            if not wait_s >= 0:
                raise Malformed('"wait" is no time')
            answer = encode(self._handle(request))
            return answer, wait_s if request.get("seen") == tag_of(answer) else 0
        except HostError as error:
            found = _error(error, str(error), error.advice)
        except WritError as error:
            found = _error(error, rejection_text(error), "")
        except Exception as error:  # noqa: BLE001 - a bug in an answer must not end the governor
            found = _error(error, f"bug in writ: {error!r}", "Please report it.")
        return encode(found), 0

    def next_ms(self) -> int | None:
        """Milliseconds until somebody has waited long enough, None where nobody waits."""
        ends = [one.until_s for one in self._connections if one.until_s is not None]
        return max(0, math.ceil(1000 * (min(ends) - time.monotonic()))) if ends else None

    def retry(self) -> None:
        """Something has happened, or time has passed: who waits for news may be answered."""
        for one in list(self._connections):
            with contextlib.suppress(OSError):
                one.retry()

    def tell(self, document: Document) -> None:
        """An event, to all who watch."""
        watchers = [one for one in self._connections if one.watches]
        if watchers:
            line = encode(document)
            for one in watchers:
                with contextlib.suppress(OSError):
                    one.event(line)

    def drop(self, connection: _Connection) -> None:
        """Close one connection."""
        if connection.is_open:
            connection.is_open = False
            self._connections.remove(connection)
            self.selector.unregister(connection.link)
            connection.link.close()

    def close(self) -> None:
        """Close all, and take the socket away."""
        for one in list(self._connections):
            self.drop(one)
        self.selector.unregister(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)


def _error(error: Exception, message: str, advice: str) -> Document:
    return {"error": {"name": type(error).__name__, "message": message, "advice": advice}}


class ControlClient:
    """A command's end: one connection to the daemon of a folder. Close it, or use `with`.

    Raises `NotReachable` where no daemon runs.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._link.settimeout(timeout_s)
        self._in = bytearray()
        self._folder = path.parent
        try:
            with _reachable(path) as name:
                self._link.connect(name)
        except PermissionError:
            self._link.close()
            raise HostError(
                f"the daemon in {self._folder} is another user's",
                "Run the command as that user, or as root.",
            ) from None
        except OSError:
            self._link.close()
            raise self._gone("no daemon runs") from None

    def _gone(self, what: str) -> NotReachable:
        return NotReachable(
            f"{what} in {self._folder}", f"Start it: writ governor run {self._folder}"
        )

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def ask(self, do: str, **parameters: object) -> Document:
        """The answer to one request. Raises `ControlFailed`, `NotReachable`."""
        try:
            self._link.sendall(encode({"do": do, **parameters}))
            answer = self._line()
        except TimeoutError:
            raise NotReachable("the daemon does not answer", "See its log.") from None
        except OSError:
            raise self._gone("the daemon has stopped") from None
        if (error := answer.get("error")) is not None:
            raise ControlFailed(error["name"], error["message"], error["advice"])
        return answer

    def ask_anew(
        self, do: str, seen: Document, wait_s: float = WAIT_S_MAX, **parameters: object
    ) -> Document:
        """The answer as soon as it is another one than `seen`; the same after `wait_s`, 10 at most.

        Raises as `ask`.
        """
        return self.ask(do, seen=tag_of(encode(seen)), wait=float(wait_s), **parameters)

    def watch(self) -> Iterator[Document]:
        """Events from this call on, until the daemon stops."""
        self.ask("watch")
        self._link.settimeout(None)
        return self._follow()

    def _follow(self) -> Iterator[Document]:
        with contextlib.suppress(OSError, NotReachable):
            while True:
                yield self._line()

    def _line(self) -> Document:
        while (end := self._in.find(b"\n")) < 0:
            data = self._link.recv(65536)
            if not data or len(self._in) > 2 * ANSWER_BYTES_MAX:
                raise self._gone("the daemon has stopped")
            self._in += data
        line = bytes(self._in[:end])
        del self._in[: end + 1]
        return decode(line)
