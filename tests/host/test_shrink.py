"""What tools/shrink.py makes of the device's modules must mean the same as the sources."""

import ast
from pathlib import Path

import build_mpy
import pytest
from shrink import Linker, constants_of, shorten

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


def linked(package: Path, tmp_path: Path) -> dict[str, str]:
    linker = Linker(package)
    return {name: linker.source(f"writ/{name}.py") for name in ("errors", "limits", "user")}


def test_constants_are_folded_and_leave(package: Path, tmp_path: Path) -> None:
    sources = linked(package, tmp_path)
    assert "limits" not in sources["user"].replace("from . import limits", "")
    assert "16" in sources["user"] and "32" in sources["user"]
    assert "SIZE_MAX" not in sources["limits"] and "NAMES" in sources["limits"]


def test_only_plain_rejections_become_lazy(package: Path, tmp_path: Path) -> None:
    errors = linked(package, tmp_path)["errors"]
    assert "class TooLarge" not in errors and "class Odd" in errors
    names: dict[str, object] = {"__name__": "errors"}
    exec(errors, names)
    made = names["__getattr__"]("TooLarge")  # type: ignore[operator]
    assert made.code == 10 and made.__name__ == "TooLarge"
    assert issubclass(made, names["Rejection"])  # type: ignore[arg-type]
    assert names["TooLarge"] is made
    with pytest.raises(AttributeError):
        names["__getattr__"]("Large")  # type: ignore[operator]


def test_the_linked_package_behaves_as_the_sources(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out" / "linked"
    output.mkdir(parents=True)
    linker = Linker(package)
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


def test_a_real_module_loses_nothing_public() -> None:
    linker = Linker(build_mpy.FIRMWARE)
    for name in ("node", "authority", "coap", "edhoc", "crypto/ed25519"):
        before = ast.parse((build_mpy.FIRMWARE / f"writ/{name}.py").read_text())
        after = ast.parse(linker.source(f"writ/{name}.py"))

        def public(tree: ast.Module) -> set[str]:
            kinds = (ast.FunctionDef, ast.ClassDef)
            return {
                node.name
                for node in ast.walk(tree)
                if isinstance(node, kinds) and not node.name.startswith("_")
            }

        assert public(before) == public(after)


def test_constants_are_integers_of_the_top_level() -> None:
    tree = ast.parse("A = 1\nB = A << 3\nC = 'x'\nD = len('x')\n_E = 5\nf = 6\n")
    assert constants_of(tree) == {"A": 1, "B": 8}
