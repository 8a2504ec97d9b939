"""The modules that the linker (device/build/shrink.py) makes behave as their sources do."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import build_mpy
import pytest

from writ.wire import coap
from writ_host.device.build.deadcode import Interpreter
from writ_host.device.build.freenames import APP_CONSTANTS
from writ_host.device.build.shortnames import shorten
from writ_host.device.build.shrink import Linker, constants_of

pytestmark = pytest.mark.slow

ERRORS = '''
class Rejection(Exception):
    """Base."""

    code = 2


class TooLarge(Rejection):
    """Too large."""

    code = 10


class Odd(Rejection):
    """Not only a code."""

    code = 11
    extra = 1
'''
LIMITS = "SIZE_MAX = 1 << 4\nTWICE = 2 * SIZE_MAX\n_HIDDEN = 3\nNAMES = ('a',)\n"
USER = """
from . import limits
from .errors import Odd, TooLarge
from .limits import TWICE

_kept = None


def _inner(value, other=1):
    return lambda more: value + more + other


def check(size):
    global _kept
    _kept = size
    if size > limits.SIZE_MAX:
        raise TooLarge()
    try:
        return _inner(size)(TWICE)
    except Odd:
        return _kept
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "writ"
    folder.mkdir()
    for name, text in (("__init__", ""), ("errors", ERRORS), ("limits", LIMITS), ("user", USER)):
        (folder / f"{name}.py").write_text(text)
    return tmp_path


def unlinked(tmp_path: Path) -> list[Path]:
    """A program that knows two public names."""
    path = tmp_path / "unlinked.py"
    path.write_text("from writ.limits import NAMES\nfrom writ.user import check\n")
    return [path]


def linked(package: Path, tmp_path: Path) -> dict[str, str]:
    linker = Linker(package, unlinked=unlinked(tmp_path))
    return {name: linker.source(f"writ/{name}.py") for name in ("errors", "limits", "user")}


def test_constants_are_folded_and_leave(package: Path, tmp_path: Path) -> None:
    sources = linked(package, tmp_path)
    assert "limits" not in sources["user"].replace("from . import limits", "")
    assert "16" in sources["user"] and "32" in sources["user"]
    assert "SIZE_MAX" not in sources["limits"] and "NAMES" in sources["limits"]


def test_code_for_other_interpreters_is_left_out(tmp_path: Path) -> None:
    compat = """
import os
import sys

MICROPYTHON = sys.implementation.name == "micropython"
try:
    from micropython import const
except ImportError:
    const = int
try:
    import Crypto
    HAVE_PYCRYPTODOME = True
except ImportError:
    HAVE_PYCRYPTODOME = False
if MICROPYTHON:
    ticks = 1
else:
    ticks = os.times()
"""
    user = """
from . import compat
from .compat import const

_SIZE = const(3)


def use(name):
    if name == "c" and compat.HAVE_PYCRYPTODOME:
        return 1
    elif not compat.MICROPYTHON:
        return 2
    return _SIZE
"""
    folder = tmp_path / "writ"
    folder.mkdir()
    files = (("__init__", ""), ("errors", ERRORS), ("compat", compat), ("user", user))
    for name, text in files:
        (folder / f"{name}.py").write_text(text)
    linker = Linker(tmp_path)
    assert linker.source("writ/compat.py").split("\n")[:-1] == ["ticks = 1"]
    assert "import" not in linker.source("writ/user.py")
    assert "return 1" not in linker.source("writ/user.py")
    beside = "from writ import compat\nprint(compat.MICROPYTHON)\n"
    assert "print(True)" in linker.link(beside)


def test_literals_that_no_device_uses_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "writ"
    folder.mkdir()
    tables = "USED = (1, 2)\nUNUSED = {1: 'a'}\nFOR_HOSTS = ('b',)\nMADE = dict(a=1)\n"
    user = "from .tables import USED\n\ndef get():\n    return USED\n"
    host = "from .tables import FOR_HOSTS\n\ndef show():\n    return FOR_HOSTS\n"
    files = {"__init__": "", "errors": ERRORS, "tables": tables, "user": user, "host": host}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    linked = Linker(tmp_path, host_only=["writ.host"]).source("writ/tables.py")
    assert "(1, 2)" in linked and "dict" in linked
    assert "'a'" not in linked and "'b'" not in linked


def test_what_an_app_may_use_of_coap_is_found_by_name() -> None:
    names: dict[str, object] = {"__name__": "coap"}
    linked = ast.parse(build_mpy.linker().source("writ/wire/coap.py"))
    lookup = [
        node
        for node in linked.body
        if getattr(node, "name", "") == "__getattr__" or "_ROWS" in ast.unparse(node)
    ]
    exec(ast.unparse(ast.Module(lookup, [])), names)
    values = {
        name: names["__getattr__"](name)  # type: ignore[operator]
        for name in APP_CONSTANTS["writ.wire.coap"]
    }
    assert values == {name: getattr(coap, name) for name in values} and len(values) == 25
    with pytest.raises(AttributeError):
        names["__getattr__"]("GE")  # type: ignore[operator]


def test_only_plain_rejections_become_lazy(package: Path, tmp_path: Path) -> None:
    errors = linked(package, tmp_path)["errors"]
    assert "class TooLarge" not in errors and "class Odd" in errors
    names: dict[str, object] = {"__name__": "errors"}
    exec(errors, names)
    made = names["__getattr__"]("TooLarge")  # type: ignore[operator]
    assert made.code == 10 and made.__name__ == "TooLarge"
    assert issubclass(made, names["Rejection"])  # type: ignore[arg-type]
    assert names["__getattr__"]("TooLarge") is made  # type: ignore[operator]
    assert names["get"](10) is made  # type: ignore[operator]
    with pytest.raises(AttributeError):
        names["__getattr__"]("Large")  # type: ignore[operator]


def test_the_linked_package_behaves_as_the_sources(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out" / "linked"
    output.mkdir(parents=True)
    linker = Linker(package, unlinked=unlinked(tmp_path))
    for name in ("__init__", "errors", "limits", "user"):
        text = linker.source(f"writ/{name}.py")
        (output / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(output.parent))
    from linked import user  # type: ignore[import-not-found]
    from linked.errors import TooLarge  # type: ignore[import-not-found]

    assert user.check(5) == 5 + 32 + 1
    with pytest.raises(TooLarge):
        user.check(17)


def test_names_that_meet_stay_apart() -> None:
    groups = [{"_a_long", "_b_long"}, {"_b_long", "_c_long"}, {"_c_long"}]
    short = shorten(groups, {"_a"})
    assert short["_a_long"] != short["_b_long"] != short["_c_long"]
    assert "_a" not in short.values()


def _public(text: str) -> list[str]:
    return [
        node.name
        for node in ast.walk(Interpreter().visit(ast.parse(text)))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def test_a_real_module_loses_nothing_public() -> None:
    linker = build_mpy.linker()
    after = Counter[str]()
    before = Counter[str]()
    for name in build_mpy.device_files():
        module = linker.module(Path(name))
        if name not in ("writ/errors.py", "writ/__init__.py", "writ/compat.py"):
            if linker.flat_name(name):
                after.update(_public(linker.source(name)))
            for public in _public((build_mpy.FIRMWARE / name).read_text()):
                # in a fused module a name may have got the name of its member
                public = linker.fusion.name(module, public)
                before[linker.short.get(public, public)] += 1
    # what finds constants by name comes on top
    after.subtract(["__getattr__"])
    assert len(before) > 400 and +after == before


def test_what_an_app_may_know_keeps_its_name() -> None:
    short = build_mpy.linker().short
    known = "Node Request Answer Member resource request payload peer method path query rule"
    known += " receive has_action ask step stop send notify address roles node_id is_success"
    known += " rejection CONTENT CHANGED BAD_REQUEST NotAllowed Rejection UsageError ed25519_verify"
    known += " code_text IPATCH CREATED UNSUPPORTED_FORMAT later now_ms counters"
    for name in known.split():
        assert name not in short, name
    # and others have not, or there were no use in it
    assert len([name for name in short if not name.startswith("_")]) > 150
    assert "protect_request" in short and "capsule_for" in short


def test_no_two_names_become_one() -> None:
    linker = build_mpy.linker()
    free = {name: new for name, new in linker.short.items() if not name.startswith("_")}
    assert len(set(free.values())) == len(free)
    # nor does one become what something else is called, there or in a program beside it
    paths = [*build_mpy.FIRMWARE.glob("writ/**/*.py"), *build_mpy.ROOT.glob("tests/device/**/*.py")]
    words = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            words |= {getattr(node, field, None) for field in ("id", "attr", "name", "arg")}
    assert not words & set(free.values())


PUBLIC = """
class Tool:
    handle = 1

    def turn_round(self, turns, softly=False):
        self.turned = turns
        return [turns, softly, self.handle]


def make_tool():
    tool = Tool()
    tool.digest = "turned_off"
    return tool
"""
BESIDE = """
import other
from writ.tool import make_tool
from writ import tool as tools


class Mine:
    handle = 2

    def turn_round(self, turns):
        return turns


def turned():
    made = make_tool()
    assert isinstance(made, tools.Tool)
    assert made.turn_round(3, softly=True) == [3, True, 1] and made.turned == 3
    handles = [tools.make_tool().handle, other.handle]
    return [Mine().turn_round(4), Mine().handle, made.digest, *handles]
"""


def test_public_names_that_no_app_knows_become_free_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "writ"
    folder.mkdir()
    for name, text in (("__init__", ""), ("errors", ERRORS), ("tool", PUBLIC)):
        (folder / f"{name}.py").write_text(text)
    beside = tmp_path / "beside.py"
    beside.write_text(BESIDE)
    linker = Linker(tmp_path, [beside])
    # foreign attributes, keywords, a program's own globals: these stay
    assert not {"digest", "softly", "turned", "turned_off"} & set(linker.short)
    assert {"Tool", "make_tool", "turn_round", "handle"} <= set(linker.short)
    linked = {name: linker.source(f"writ/{name}.py") for name in ("__init__", "errors", "tool")}
    assert "turn_round" not in linked["tool"] and "handle" not in linked["tool"]
    output = tmp_path / "out"
    (output / "writ").mkdir(parents=True)
    for name, text in linked.items():
        (output / "writ" / f"{name}.py").write_text(text)
    (output / "beside.py").write_text(linker.link(BESIDE))
    # another package's module may use a public name of this one
    (output / "other.py").write_text("handle = 1\n")
    code = "import beside; print(beside.turned())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=output, env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[4, 2, 'turned_off', 1, 1]\n"


def test_a_program_that_is_not_linked_keeps_every_word_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "writ"
    folder.mkdir()
    for name, text in (("__init__", ""), ("errors", ERRORS), ("tool", PUBLIC)):
        (folder / f"{name}.py").write_text(text)
    script = tmp_path / "script.py"
    script.write_text("from writ.tool import make_tool\nmake_tool().turn_round(1)\n")
    short = Linker(tmp_path, unlinked=[script]).short
    assert "make_tool" not in short and "turn_round" not in short and "handle" in short


def test_constants_are_integers_and_strings_of_the_top_level() -> None:
    tree = ast.parse("A = 1\nB = A << 3\nC = 'x'\nD = len('x')\n_E = 5\nf = 6\n")
    assert constants_of(tree) == {"A": 1, "B": 8, "C": "x"}
