"""No module takes an error of the disk for an absent file."""

import ast

import device_files

HOST = device_files.ROOT / "host/writ_host"
# Methods of Path, functions of os.path: each takes some or all errors for absence.
HIDING = {"exists", "is_file", "is_dir", "is_symlink", "isfile", "isdir", "islink", "lexists"}


def hiding_calls(source: str) -> list[int]:
    """The lines that call one of `HIDING`, but `files.exists` and its like."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    found = [call.func for call in calls if isinstance(call.func, ast.Attribute)]
    return [
        one.lineno
        for one in found
        if one.attr in HIDING and not (isinstance(one.value, ast.Name) and one.value.id == "files")
    ]


def test_only_files_py_asks_whether_a_path_is_there() -> None:
    found = [
        f"{path.relative_to(HOST)}:{line}"
        for path in sorted(HOST.rglob("*.py"))
        if path != HOST / "files.py"
        for line in hiding_calls(path.read_text())
    ]
    assert found == [], "use writ_host.files.exists, is_file, is_folder, which raise such errors"


def test_the_check_sees_each_way_to_ask() -> None:
    assert hiding_calls("import os\nPath('a').exists()\nos.path.isfile('a')\n") == [2, 3]
    assert hiding_calls("files.exists(path)\nfiles.is_file(path)\n") == []
