"""The device suite on MicroPython, with the .mpy files that ship and a device's heap."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import build_mpy
import pytest

TESTS = build_mpy.ROOT / "tests/device"
SUITES = sorted(path.stem for path in TESTS.rglob("test_*.py"))
# On the 64-bit build. A suite has a rig beside an agent, which runs in 160 kB (test_small_heap.py),
# and holds more code than it tests, since the linker fuses modules (device/build/fuse.py).
HEAP = "184k"
_USES = {path.stem: path.read_text() for path in TESTS.rglob("test_*.py")}
HEAPS = {"test_torn_sessions": "200k"}
HEAPS |= {name: "232k" for name, text in _USES.items() if "from writ.mesh" in text}
# several whole meshes in one process, each with its authority, and all their frames
HEAPS |= {name: "424k" for name, text in _USES.items() if "from mesh_rig" in text}
TIMEOUT_S = 240


MICROPYTHON = build_mpy.find_micropython()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        MICROPYTHON is None or build_mpy.find_compiler() is None,
        reason="no micropython or no mpy-cross here: the device suite ran on CPython only",
    ),
]


@pytest.fixture(scope="session")
def device_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a device's: writ/**.mpy, and the tests compiled beside it (asserts kept)."""
    tree = tmp_path_factory.mktemp("device")
    build_mpy.build(tree)
    # it is not on devices, but its test runs on both interpreters
    build_mpy.compile_files(build_mpy.FIRMWARE, tree, ["writ/aes.py"])
    paths = [path for path in TESTS.rglob("*.py") if path.name not in ("conftest.py", "run.py")]
    for folder in sorted({path.parent for path in paths}):
        build_mpy.build_programs(
            folder, tree, [path.name for path in paths if path.parent == folder]
        )
    shutil.copy(TESTS / "run.py", tree)
    for vectors in TESTS.rglob("*.txt"):
        shutil.copy(vectors, tree)
    return tree


def run_on_device(tree: Path, suite: str) -> tuple[int, str]:
    """Run one test module on MicroPython; returns its exit code and its output."""
    # relative, as short as on a device: MicroPython keeps the path of each module in the heap
    environment = {**os.environ, "MICROPYPATH": ":.frozen"}
    done = subprocess.run(
        [str(MICROPYTHON), "-X", f"heapsize={HEAPS.get(suite, HEAP)}", "run.py", suite],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("suite", SUITES)
def test_on_micropython(device_tree: Path, suite: str) -> None:
    code, output = run_on_device(device_tree, suite)
    summary = re.search(r"^(\d+) passed, (\d+) failed$", output, re.MULTILINE)
    assert code == 0 and summary, output
    assert int(summary[1]) > 0 and summary[2] == "0", output


def test_there_is_a_device_suite() -> None:
    assert len(SUITES) > 3


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("def test_wrong():\n    assert 1 + 1 == 3\n", "0 passed, 1 failed"),
        ("def test_heap():\n    bytearray(200 * 1024)\n", "MemoryError"),
        ("def helper():\n    pass\n", "0 passed, 0 failed"),
        ("import writ.no_such_module\n", "ImportError"),
    ],
)
def test_a_failure_on_the_device_is_seen(device_tree: Path, body: str, what: str) -> None:
    (device_tree / "bad.py").write_text(body)
    code, output = run_on_device(device_tree, "bad")
    assert code != 0
    assert what in output


APP = """
import writ
from writ import coap
from writ.coap import GET, UNSUPPORTED_FORMAT, code_text
from writ.errors import NotAllowed, Rejection, UsageError


def test_names():
    assert (GET, coap.PUT, coap.IPATCH, coap.CONTENT, UNSUPPORTED_FORMAT) == (1, 3, 7, 69, 143)
    assert code_text(coap.CONTENT) == "2.05" and coap.code_text(coap.FORBIDDEN) == "4.03"
    assert issubclass(NotAllowed, Rejection) and NotAllowed.code == 40 and UsageError.code == 1
    assert writ.errors.BadOption.code == 81
    for module, name in ((coap, "NO_CODE"), (writ.errors, "NoRejection")):
        assert not hasattr(module, name)


def test_resource():
    node = writ.Node.load(FOLDER)

    @node.resource("temp", methods=("GET", "PUT"), period_s=60)
    def temp(request):
        return (coap.CHANGED, b"") if request.method == coap.PUT else "21.5"

    assert node.address_of(bytes(8)) is None and node.now_ms == 0 and node.counters == {}
    try:
        node.request(coap.GET, "temp")
    except UsageError:
        pass
    else:
        raise AssertionError("a request to an unknown address")
"""


def test_an_app_from_source_finds_the_api(device_tree: Path, tmp_path: Path) -> None:
    # an app is not linked: it must find every name that the documentation gives it
    (tmp_path / "config.json").write_text('{"name": "soil"}')
    (device_tree / "app.py").write_text(f"FOLDER = {str(tmp_path)!r}\n{APP}")
    code, output = run_on_device(device_tree, "app")
    assert code == 0 and "2 passed, 0 failed" in output, output


def test_mip_installs_the_compiled_files(tmp_path: Path) -> None:
    build_mpy.build(tmp_path / "served")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        script = f"import mip; mip.install({url!r}, target={str(tmp_path / 'lib')!r}, mpy=True)"
        done = subprocess.run(
            [str(MICROPYTHON), "-c", script], capture_output=True, text=True, check=False
        )
        server.shutdown()
    made = [path for path in (tmp_path / "lib").rglob("*") if path.is_file()]
    built = list((tmp_path / "served").rglob("*.mpy"))
    assert len(made) == len(built) > 40, done.stdout + done.stderr
    for path in built:
        other = tmp_path / "lib" / path.relative_to(tmp_path / "served")
        assert other.read_bytes() == path.read_bytes()


def test_the_device_runs_compiled_code(device_tree: Path) -> None:
    (device_tree / "where.py").write_text(
        "import writ.cbor\n\ndef test_where():\n    print(writ.cbor.__file__)\n"
    )
    code, output = run_on_device(device_tree, "where")
    assert code == 0
    assert "writ/cbor.mpy" in output
