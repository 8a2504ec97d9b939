"""The control socket: operators' commands reach the daemon as JSON lines over a Unix socket.

    -> {"do": "status", ...}        <- {...}, or {"error": {"name", "message", "advice"}}

A connection carries one request at a time. A request with "seen" (the tag of an earlier answer) and
"wait" (seconds) is answered when the answer changes, or after that time. After `watch`, each event
is a line until one side closes. The socket has mode 0600, and the daemon serves only its own user
and root.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import selectors
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from writ.errors import WritError

from .. import files
from ..errors import FileInTheWay, HostError, Malformed, NotReachable
from ..refusals import rejection_text

# A proposal of 32 capsules with evidence, in hex.
LINE_BYTES_MAX = 262144
# An answer. The list of certified capsules comes in pages below this size.
ANSWER_BYTES_MAX = 4 << 20
CONNECTIONS_MAX = 32
# A watcher with more unread bytes is disconnected.
BACKLOG_BYTES_MAX = 1 << 20
# sun_path has 108 bytes on Linux, 104 on others.
_PATH_BYTES_MAX = 100
TIMEOUT_S = 15.0
# The longest wait of a request for another answer.
WAIT_S_MAX = 10.0
# The most entries of the log in one answer.
LOG_MAX = 1000

# A command in a text of the daemon that is meant for the same daemon.
_OWN_COMMAND = re.compile(
    r"(writ governor (?:pending|status|log|approve|deny))(?: DIR)?(?=[ .;:,]|$)(?! at )"
)

Document = dict[str, Any]
Handle = Callable[[Document], Document]


class ControlFailed(HostError):
    """The daemon refused a request. name: the class of its error."""

    def __init__(self, name: str, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self.name = name


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    # a path too long for a socket's address is reached through its folder's descriptor
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    if not files.is_folder(Path("/proc/self/fd")):
        raise HostError(f"{path}: too long for a socket path", "Use a folder with a shorter path.")
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def is_authorised(connection: socket.socket) -> bool:
    """Whether the other side is this process's user or root, if the system can tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True  # only the mode 0600 protects the socket
    raw = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return uid in (0, os.getuid())


def encode(document: Document) -> bytes:
    """Encode a document as one line. Bytes become hex."""
    return json.dumps(document, default=_plain, separators=(",", ":")).encode() + b"\n"


def tag_of(line: bytes) -> str:
    """The tag of an answer, a digest of its line."""
    return hashlib.sha256(line).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def decode(line: bytes) -> Document:
    """Decode the document in one line. Raises `Malformed`."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed(
            "not a line of JSON", "Use the same version of Writ on both sides."
        ) from None
    if not isinstance(found, dict):
        raise Malformed("not a JSON object")
    return found


def field(document: Document, name: str, kind: type, default: Any = None) -> Any:
    """document[name], of that type; `default` if it is missing. Raises `Malformed`.

    kind `bytes`: in hex.
    """
    value = document.get(name)
    if value is None and default is not None:
        return default
    if kind is bytes:
        try:
            return bytes.fromhex(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise Malformed(f'"{name}" is not hex') from None
    if type(value) is not kind:
        raise Malformed(f'"{name}" is not of type {kind.__name__}')
    return value


class _Connection:
    """One client of the server."""

    def __init__(self, server: "ControlServer", link: socket.socket) -> None:
        self.server = server
        self.link = link
        self.is_watching = False
        self.is_open = True
        self._in = bytearray()
        self._out = bytearray()
        self._held: tuple[bytes, float] | None = None  # a waiting request, and when its time is up

    def on_ready(self, mask: int) -> None:
        """Read or write, as the selector's mask says."""
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
        """When the time of the waiting request is up; None without one."""
        return self._held[1] if self._held else None

    def retry(self) -> None:
        """Answer the waiting request, if its answer has changed or its time is up."""
        if self._held is not None:
            held, self._held = self._held, None
            self._answer(*held)
            self._read_lines()

    def send(self, data: bytes) -> None:
        """Queue a line, and send as much as the socket takes."""
        self._out += data
        if len(self._out) > ANSWER_BYTES_MAX + BACKLOG_BYTES_MAX:
            self.server.drop(self)
            return
        self._write()

    def send_event(self, data: bytes) -> None:
        """Queue an event's line; drop the connection if the client does not read."""
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
            self.server.selector.modify(self.link, wanted, self.on_ready)


class ControlServer:
    """The daemon's end. The selector's loop must call the data of each ready key with its mask.

    handle(request): returns the answer; a `HostError` or `WritError` goes to the client. Raises
    `FileInTheWay`, or `OSError` if the socket cannot be created.
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector, handle: Handle) -> None:
        self.path = path
        self.selector = selector
        self._handle = handle
        self._connections: list[_Connection] = []
        # replace the socket of a killed daemon: this one has the folder's lock, so that one is gone
        if files.exists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileInTheWay(f"{path} is not a socket", "Move it away.")
        temporary = path.with_name(f".{path.name}")
        temporary.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with _reachable(temporary) as name:
                self._listener.bind(name)
            self._listener.listen(8)
            # a client that finds the path can connect
            temporary.rename(path)
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
        if len(self._connections) >= CONNECTIONS_MAX or not is_authorised(link):
            link.close()
            return
        link.setblocking(False)
        connection = _Connection(self, link)
        self._connections.append(connection)
        self.selector.register(link, selectors.EVENT_READ, connection.on_ready)

    def answer(self, line: bytes, connection: _Connection) -> tuple[bytes, float]:
        """The answer to one line, and the seconds to hold it if the client has it already."""
        try:
            request = decode(line)
            if request.get("do") == "watch":
                connection.is_watching = True
                return encode({"watching": True}), 0
            wait_s = min(field(request, "wait", float, 0.0), WAIT_S_MAX)
            if not wait_s >= 0:
                raise Malformed('"wait" is not a number of seconds')
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
        """Milliseconds until the time of a waiting request is up, None for never."""
        ends = [one.until_s for one in self._connections if one.until_s is not None]
        return max(0, math.ceil(1000 * (min(ends) - time.monotonic()))) if ends else None

    def retry(self) -> None:
        """Answer the waiting requests whose answer has changed, or whose time is up."""
        for one in list(self._connections):
            with contextlib.suppress(OSError):
                one.retry()

    def publish(self, document: Document) -> None:
        """Send an event to all watchers."""
        watchers = [one for one in self._connections if one.is_watching]
        if watchers:
            line = encode(document)
            for one in watchers:
                with contextlib.suppress(OSError):
                    one.send_event(line)

    def drop(self, connection: _Connection) -> None:
        """Close one connection."""
        if connection.is_open:
            connection.is_open = False
            self._connections.remove(connection)
            self.selector.unregister(connection.link)
            connection.link.close()

    def close(self) -> None:
        """Close all connections, and remove the socket."""
        for one in list(self._connections):
            self.drop(one)
        self.selector.unregister(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)


def _error(error: Exception, message: str, advice: str) -> Document:
    return {"error": {"name": type(error).__name__, "message": message, "advice": advice}}


class ControlClient:
    """A command's end: one connection to the daemon of a folder. A context manager.

    Raises `NotReachable` if no daemon runs, or if it does not answer, and `OSError` otherwise: an
    error of the disk is no absent daemon.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._link.settimeout(timeout_s)
        self._in = bytearray()
        self._folder = path.parent
        try:
            with files.naming(path), _reachable(path) as name:
                self._link.connect(name)
        except PermissionError:
            self._link.close()
            raise HostError(
                f"the daemon in {self._folder} belongs to another user",
                "Run the command as that user, or as root.",
            ) from None
        except (*files.ABSENT, ConnectionRefusedError):
            self._link.close()
            raise self._gone("no daemon runs") from None
        except (BlockingIOError, TimeoutError):
            # too many commands wait for it
            self._link.close()
            raise NotReachable("the daemon does not answer", "Look at its log.") from None
        except OSError:
            # of the disk, or of this process: the daemon may run
            self._link.close()
            raise

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
            raise NotReachable("the daemon does not answer", "Look at its log.") from None
        except OSError:
            raise self._gone("the daemon has stopped") from None
        if (error := answer.get("error")) is not None:
            texts = [self._with_folder(str(error[key])) for key in ("message", "advice")]
            raise ControlFailed(error["name"], *texts)
        return answer

    def _with_folder(self, text: str) -> str:
        """A text of the daemon whose commands name the folder, as they must without a default."""
        return _OWN_COMMAND.sub(lambda found: f"{found[1]} {self._folder}", text)

    def ask_anew(
        self, do: str, seen: Document, wait_s: float = WAIT_S_MAX, **parameters: object
    ) -> Document:
        """The answer as soon as it differs from `seen`; the same after `wait_s`, 10 at most.

        Raises as `ask`.
        """
        return self.ask(do, seen=tag_of(encode(seen)), wait=float(wait_s), **parameters)

    def watch(self) -> Iterator[Document]:
        """The events from now on, until the daemon stops."""
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
