"""docs/architecture.md names every folder, and its drawings are what the script draws."""

import ast
import re
from pathlib import Path

import draw_architecture
import pytest
from docs_rig import DOCS, rows, ticked

ROOT = DOCS.parent
PAGE = (DOCS / "architecture.md").read_text()
PICTURES = draw_architecture.pictures()
CORE, HOST = ROOT / "firmware/writ", ROOT / "host/writ_host"


@pytest.mark.parametrize("name", PICTURES)
def test_a_committed_picture_is_what_the_script_draws(name: str) -> None:
    advice = "run: python tools/draw_architecture.py"
    assert (DOCS / name).read_text() == PICTURES[name], advice
    assert f"({name})" in PAGE


def folders(base: Path) -> set[str]:
    """The packages below `base`, such as `governor/core/`, and the modules beside them."""
    found = {f"{path.parent.relative_to(base)}/" for path in base.rglob("*/__init__.py")}
    return found | {path.name for path in base.glob("[a-z]*.py")}


def listed(side: str) -> list[str]:
    """What the first column of the table about `side` names."""
    return [name for row in rows(PAGE, side, "concept") for name in ticked(row[0])]


@pytest.mark.parametrize(
    ("base", "side"),
    [(CORE, "device core, `firmware/writ/`"), (HOST, "host, `host/writ_host/`")],
    ids=["core", "host"],
)
def test_every_folder_is_on_the_page(base: Path, side: str) -> None:
    assert folders(base) == set(listed(side))


def test_files_of_the_index_exist() -> None:
    names = [name for row in rows(PAGE, "looking for", "files") for name in ticked(row[1])]
    paths = [name for name in names if name.endswith(".py")]
    assert len(paths) > 20
    for name in paths:
        base = ROOT if name.startswith("firmware/") else HOST
        assert (base / name).is_file(), name


def test_modules_of_the_drawings_exist() -> None:
    bases = (CORE, HOST, HOST / "governor")
    for picture in (draw_architecture.datagram(), draw_architecture.proposal()):
        cards = re.findall(r'class="name"[^>]*>([^<]+)<', picture.svg())
        assert len(cards) > 5
        for name in ", ".join(cards).split(", "):
            found = [base / f"{name}{end}" for base in bases for end in ("", ".py")]
            assert name == "your program" or any(path.exists() for path in found), name


def test_folders_of_the_drawing_are_those_of_the_tree() -> None:
    drawn = re.findall(r'class="name"[^>]*>([^<]+)<', draw_architecture.folders().svg())
    for base in (CORE, HOST, HOST / "governor"):
        for path in base.iterdir():
            if (path / "__init__.py").exists():
                assert path.name in drawn, path.name


def imported(base: Path, folder: str) -> set[str]:
    """The folders and modules right below `base` that modules of the folder `folder` import."""
    found = set()
    for path in (base / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                targets = [above / name.name for name in node.names] if above == base else [above]
                found |= {one.relative_to(base).parts[0] for one in targets if base in one.parents}
    return found - {folder}


@pytest.mark.parametrize(
    ("base", "row"),
    [
        (HOST, ("consensus", "ceremony", "node")),
        (HOST, ("keys", "policy")),
        (HOST, ("bridge", "device")),
        (HOST / "governor", ("core", "ceremonies", "peering")),
        (CORE, ("node", "link")),
        (CORE, ("authority", "wire")),
    ],
)
def test_folders_in_one_row_do_not_import_each_other(base: Path, row: tuple[str, ...]) -> None:
    for folder in row:
        assert not imported(base, folder) & set(row), folder
    assert imported(HOST, "keys") >= {"errors"} and imported(HOST / "governor", "core")
