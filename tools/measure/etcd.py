"""Reference figures for a decision: a put to three etcd members, and one fsync, on this disk."""

import base64
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from writ_host.demo.loopback import free_ports

from .row import Row
from .times import Times

MEMBERS = 3
# About the size of a decision: an amendment, a policy and their signatures.
VALUE_BYTES = 500
PUTS = 400
WARM_PUTS = 50
FSYNCS = 400
START_S = 20.0


def measure() -> list[Row]:
    """The times of fsync and of etcd's put; a row without a value if etcd is not installed."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="writ-bench-") as name:
        fsync = _fsyncs(Path(name))
        rows.append(Row("ms.fsync_p50", fsync.ms(50), "ms"))
        program = shutil.which("etcd")
        if program is None:
            return [*rows, Row("ms.etcd_put_p50", None, "ms", peer="etcd is not installed")]
        puts = put_times(program, Path(name))
        peer = f"etcd {_version(program)}: {MEMBERS} members, JSON gateway, leader"
        rows.append(Row("ms.etcd_put_p50", puts.ms(50), "ms", peer=peer))
        rows.append(Row("ms.etcd_put_p99", puts.ms(99), "ms", peer=peer))
    return rows


def _fsyncs(folder: Path) -> Times:
    """Times to append a page to a file durably: the least cost of a commit."""
    seconds = []
    descriptor = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(FSYNCS):
            since = time.perf_counter()
            os.write(descriptor, bytes(4096))
            os.fdatasync(descriptor)
            seconds.append(time.perf_counter() - since)
    finally:
        os.close(descriptor)
    return Times(seconds)


def put_times(program: str, folder: Path) -> Times:
    """Puts to the leader, one after the other, on one connection that is kept open.

    The puts use etcd's HTTP gateway, a hop within its process; etcdctl would start a process for
    each put. Each put is durable on a majority before its answer. Raises `SystemExit` if etcd does
    not start.
    """
    with _cluster(program, folder) as ports:
        connection = http.client.HTTPConnection("127.0.0.1", _leader(ports), timeout=5)
        value = base64.b64encode(os.urandom(VALUE_BYTES)).decode()
        seconds = []
        for number in range(WARM_PUTS + PUTS):
            key = base64.b64encode(b"epoch-%d" % (number % 16)).decode()
            body = json.dumps({"key": key, "value": value})
            since = time.perf_counter()
            answer = _post(connection, "/v3/kv/put", body)
            seconds.append(time.perf_counter() - since)
            assert "header" in answer, answer
        connection.close()
        return Times(seconds[WARM_PUTS:])


@contextlib.contextmanager
def _cluster(program: str, folder: Path) -> Iterator[list[int]]:
    """A context with running etcd members; yields their client ports."""
    ports = free_ports(2 * MEMBERS)
    peers = [f"http://127.0.0.1:{port}" for port in ports[:MEMBERS]]
    clients = [f"http://127.0.0.1:{port}" for port in ports[MEMBERS:]]
    everybody = ",".join(f"m{number}={url}" for number, url in enumerate(peers))
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, (peer, client) in enumerate(zip(peers, clients, strict=True)):
            options = {
                "name": f"m{number}",
                "data-dir": str(folder / f"etcd-{number}"),
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "initial-cluster": everybody,
                "initial-cluster-token": folder.name,
            }
            command = [program, *(f"--{key}={value}" for key, value in options.items())]
            with open(folder / f"etcd-{number}.log", "wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        yield ports[MEMBERS:]
    finally:
        # their data is removed with the folder
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def _leader(ports: list[int]) -> int:
    """The client port of the leader, once all members know the same one."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = [_status(port) for port in ports]
            leaders = {status["leader"] for status in found}
            if len(leaders) == 1 and leaders != {"0"}:
                ids = [status["header"]["member_id"] for status in found]
                return ports[ids.index(leaders.pop())]
        time.sleep(0.1)
    raise SystemExit("etcd elected no leader; does another program use its ports?")


def _status(port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        return _post(connection, "/v3/maintenance/status", "{}")
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, path: str, body: str) -> dict[str, Any]:
    connection.request("POST", path, body)
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return next(iter(done.stdout.splitlines()), "").rpartition(" ")[2]
