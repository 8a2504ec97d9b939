"""The tree's own rules: who may import whom, what a device can run, stable codes, short files."""

import ast
from inspect import signature
from pathlib import Path

import device_files
import pytest

from writ import crypto, errors

ROOT = device_files.ROOT
PACKAGES = {"writ": ROOT / "firmware", "writ_host": ROOT / "host"}
LINES_MAX = 450
# What a field of a format can hold, which is no limit of this implementation.
FORMAT_MAXIMA = {
    ("writ/authority/capsule.py", "TIME_MAX"),
    ("writ/crypto/aead.py", "_SIZE_MAX"),
    ("writ/mesh/linkkey.py", "_COUNTER_MAX"),
    ("writ/mesh/routing.py", "_COST_MAX"),
}
FUNCTION_LINES_MAX = 60

# What MicroPython's boards bring along, as far as Writ uses it.
DEVICE_STANDARD = set(
    """asyncio binascii builtins collections cryptolib deflate errno esp esp32 espnow gc hashlib io
    json machine micropython network ntptime os random rp2 select socket struct sys termios
    time""".split()  # noqa: SIM905
)

# Who may import a library that no device has, besides compat, which looks whether it is there.
BACKENDS = {
    "Crypto": "writ.crypto.pycryptodome",
    "cryptography": "writ.crypto.openssl",
    "serial": "writ.link.pyserial",
    "lora": "writ.link.radio",
}

# What a module imports on CPython only: the lock of a folder.
HOST_STANDARD = {("writ.compat", "fcntl"), ("writ.compat", "functools")}

# The layers of the device core are its folders. These are the modules beside them, and what each
# layer may import besides itself. `agent` and the package's own face join node and links.
ROOT_MODULES = {
    "base": ("aes", "compat", "errors", "limits"),
    "cbor": ("cbor",),
    "agent": (
        *("writ", "agent", "configfile", "framelinks", "sleep", "sleeper", "sleeprecord"),
        *("news", "startup", "main"),
    ),
}
MAY_IMPORT = {
    "base": (),
    "cbor": ("base",),
    "crypto": ("base",),
    "authority": ("base", "cbor", "crypto"),
    "wire": ("base", "cbor", "crypto"),
    "mesh": ("base", "cbor", "crypto", "authority", "wire"),
    # a link says what a frame costs: mesh/airtime.py has the formula
    "link": ("base", "cbor", "crypto", "mesh"),
    "node": ("base", "cbor", "crypto", "authority", "wire"),
    "agent": ("base", "cbor", "crypto", "authority", "wire", "mesh", "link", "node"),
    # what a chip does besides the agent, at boot and in its loop
    "board": ("base", "cbor", "crypto", "authority", "link", "node", "agent"),
}

# The layers of the host, from the inside out: imports go to layers named before, and `writ`.
# Modules that lie beside the folders are layers of their own.
HOST_LAYERS = (
    *(
        "errors",
        "codec",
        "files",
        "signals",
        "humanize",
        "names",
        "inet",
        "textfile",
        "target",
        "refusals",
        "defects",
        "scrape",
        "service",
    ),
    *("keys", "policy", "ceremony", "consensus", "node", "scope"),
    *("governor.control", "governor.push", "governor.folder"),
    *("governor.metrics", "governor.proposals", "governor.ledger", "governor.core"),
    *("governor.ceremonies", "governor.peering", "governor.activation", "governor.join"),
    *(
        "governor.renewal",
        "governor.backup",
        "governor.announcements",
        "governor.node",
        "governor.governor",
    ),
    *("governor.snapshot", "governor.api", "governor.daemon", "governor.client"),
    *("bridge", "device", "cli", "demo"),
)


def layer(name: str) -> str:
    """The layer of device module `name` ("writ.wire.coap" -> "wire")."""
    parts = name.split(".")
    if len(parts) > 2 or (len(parts) == 2 and MODULES.get(name, Path()).name == "__init__.py"):
        return parts[1]
    (found,) = (layer for layer, modules in ROOT_MODULES.items() if parts[-1] in modules)
    return found


def host_layer(name: str) -> str:
    """The layer of host module `name` ("writ_host.governor.core.pool" -> "governor.core")."""
    inner = name.removeprefix("writ_host").removeprefix(".")
    found = [layer for layer in HOST_LAYERS if f"{inner}.".startswith(f"{layer}.")]
    return max(found, key=len) if found else ""


def module_names(package: str) -> dict[str, Path]:
    """Every module of `package`: {"writ.crypto.aead": path, "writ": .../__init__.py, ...}."""
    base = PACKAGES[package]
    found = {}
    for path in (base / package).rglob("*.py"):
        parts = path.relative_to(base).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = module_names("writ")
HOST_MODULES = module_names("writ_host")


def imports(name: str, source: str, is_package: bool, modules: dict[str, Path]) -> set[str]:
    """The modules that `source`, being module `name`, imports anywhere, relative ones resolved."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join(parts + base.split(".") if base else parts)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
    return found - {name}


def complaints(name: str, source: str, is_package: bool = False) -> list[str]:
    """What is wrong with `source` as the device module `name`."""
    said = []
    for target in sorted(imports(name, source, is_package, MODULES)):
        root = target.split(".")[0]
        if root == "writ":
            outer, inner = layer(name), layer(target)
            if inner != outer and inner not in MAY_IMPORT[outer]:
                said.append(f"{name} imports {target}: {outer!r} must not import {inner!r}")
        elif root in BACKENDS:
            if name not in ("writ.compat", BACKENDS[root]):
                said.append(f"{name} imports {target}: only one backend may")
        elif name in BACKENDS.values():
            # no device has it, so it may use what none has
            pass
        elif root not in DEVICE_STANDARD and (name, root) not in HOST_STANDARD:
            said.append(f"{name} imports {target}: no device has it")
    for node in ast.walk(ast.parse(source)):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and node.level:
            said += [
                f"{where} imports {alias.name}: private, and gone if it is a const"
                for alias in node.names
                if alias.name.startswith("_")
            ]
        elif isinstance(node, ast.Assert):
            said.append(f"{where} asserts: -O3 leaves asserts out")
        elif isinstance(node, ast.Name) and node.id == "ImportError" and name != "writ.compat":
            said.append(f"{where} names ImportError: what differs belongs into compat")
        elif isinstance(node, ast.AnnAssign) or (
            isinstance(node, ast.FunctionDef)
            and (node.returns or any(arg.annotation for arg in node.args.args))
        ):
            said.append(f"{where} has a type hint")
    return said


@pytest.mark.parametrize("name", sorted(MODULES))
def test_device_module_keeps_the_rules(name: str) -> None:
    path = MODULES[name]
    assert complaints(name, path.read_text(), path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("writ.errors", "from . import cbor"),
        ("writ.compat", "from .cbor import encode"),
        ("writ.cbor", "from . import crypto"),
        ("writ.crypto.aead", "from ..authority.capsule import parse"),
        ("writ.crypto.aead", "from ..authority import policy"),
        ("writ.authority.capsule", "def late():\n    from ..wire import coap"),
        ("writ.wire.oscore", "from ..authority.authority import Authority"),
        ("writ.wire.edhoc", "from ..authority import authority"),
        ("writ.wire.coap", "import writ.node.node"),
        ("writ.link.udp", "from ..node.node import Node"),
        ("writ.link.udp", "from ..node import node"),
        ("writ.link.udp", "from writ import Node"),
        ("writ.node.node", "from ..link.udp import UdpLink"),
        ("writ.node.node", "from .. import agent"),
        ("writ.authority.policy", "import typing"),
        ("writ.authority.policy", "import writ_host.cli"),
        ("writ.node.node", "from Crypto.Hash import SHA512"),
        ("writ.link.serial", "import serial"),
        ("writ.node.node", "from ..wire.coap import _MASK"),
        ("writ.node.node", "assert granted"),
        ("writ.node.node", "try:\n    import machine\nexcept ImportError:\n    machine = None"),
        ("writ.node.node", "def now() -> int:\n    return 0"),
    ],
)
def test_each_rule_bites(name: str, source: str) -> None:
    assert len(complaints(name, source)) == 1


def test_imports_have_no_cycle() -> None:
    graph = {
        name: imports(name, path.read_text(), path.name == "__init__.py", MODULES)
        & set(MODULES)
        # a package's face names its parts, and they name it through `writ`
        - {"writ"}
        for name, path in MODULES.items()
    }
    assert len(graph) > 10
    while graph:
        free = {name for name, targets in graph.items() if not targets & set(graph)}
        assert free, f"a cycle among {sorted(graph)}"
        for name in free:
            del graph[name]


def test_host_imports_no_tests_and_no_tools() -> None:
    for name, path in module_names("writ_host").items():
        found = imports(name, path.read_text(), path.name == "__init__.py", MODULES)
        roots = {target.split(".")[0] for target in found}
        assert not roots & {"tests", "tools", "harness", "build_mpy", "device_files"}, name


def test_device_lists_match_the_tree() -> None:
    advice = "a module was added or removed: run `make lists`"
    firmware = device_files.FIRMWARE
    assert (firmware / "manifest.py").read_text() == device_files.manifest_text(), advice


def test_device_lists_say_what_their_readers_expect() -> None:
    frozen: list[str] = []

    def package(name: str, files: tuple[str, ...], opt: int) -> None:
        frozen.extend(f"{name}/{file}" for file in files)

    source = (device_files.FIRMWARE / "manifest.py").read_text()
    exec(source, {"metadata": lambda version: None, "package": package})
    assert frozen == device_files.source_files()
    assert set(frozen) - set(device_files.device_files()) == {"writ/aes.py"}
    assert "writ/cbor.py" in frozen
    for name in device_files.HOST_ONLY:
        assert (device_files.FIRMWARE / "writ" / name).is_file()
        assert f"writ/{name}" not in frozen


def test_limits_are_in_one_file() -> None:
    found = {
        (path.relative_to(device_files.FIRMWARE).as_posix(), name.id)
        for path in device_files.FIRMWARE.rglob("*.py")
        for name in ast.walk(ast.parse(path.read_text()))
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        if name.id.endswith("_MAX") and path.name != "limits.py"
    }
    assert found == FORMAT_MAXIMA


def test_rejections_have_a_code_of_their_own() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.WritError)
    ]
    codes: dict[int, str] = {}
    for cls in classes:
        assert "code" in vars(cls), f"{cls.__name__} inherits its code"
        assert codes.setdefault(cls.code, cls.__name__) == cls.__name__
        assert 0 <= cls.code <= 255 and cls.__doc__
    assert len(codes) > 20


def test_files_stay_short() -> None:
    paths = [
        path
        for folder in ("boards", "firmware", "host", "tools", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if not path.name.startswith("vectors_")
    ]
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in paths}
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LINES_MAX} == {}


def test_functions_fit_a_screen() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for folder in ("boards", "firmware", "host", "tools")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    }
    assert len(long) > 1000
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


def upward(name: str, source: str, is_package: bool = False) -> list[str]:
    """The imports of host module `name` that go to a layer named later in HOST_LAYERS."""
    outer = HOST_LAYERS.index(host_layer(name))
    found = sorted(imports(name, source, is_package, HOST_MODULES))
    inner = {target: host_layer(target) for target in found if target in HOST_MODULES}
    return [t for t, layer in inner.items() if layer and HOST_LAYERS.index(layer) > outer]


@pytest.mark.parametrize("name", [name for name in sorted(HOST_MODULES) if host_layer(name)])
def test_host_imports_run_one_way(name: str) -> None:
    path = HOST_MODULES[name]
    assert upward(name, path.read_text(), path.name == "__init__.py") == []


def test_every_host_module_has_a_room() -> None:
    faces = {"writ_host", "writ_host.__main__", "writ_host.governor"}
    assert {name for name in HOST_MODULES if not host_layer(name)} <= faces


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("writ_host.errors", "from . import codec"),
        ("writ_host.keys.frost", "from ..consensus import value"),
        ("writ_host.governor.core.core", "from .. import daemon"),
        ("writ_host.governor.ledger.ledger", "def late():\n    from ..core.core import Core"),
        ("writ_host.scope.folder", "from ..cli.output import Output"),
        ("writ_host.cli.call", "from ..demo import play"),
    ],
)
def test_the_rule_of_host_rooms_bites(name: str, source: str) -> None:
    assert len(upward(name, source)) == 1


@pytest.mark.usefixtures("backend")
def test_crypto_stub_tells_the_truth() -> None:
    stub = ast.parse((ROOT / "firmware/writ/crypto/__init__.pyi").read_text())
    hinted = {
        node.name: len(node.args.args) for node in stub.body if isinstance(node, ast.FunctionDef)
    }
    real = {name: len(signature(getattr(crypto, name)).parameters) for name in hinted}
    assert real == hinted
    assert set(crypto._NAMES.split()) < set(hinted)
