"""A deploy leaves old files or new ones, wherever it is cut, and the next one completes it."""

import random
from collections.abc import Callable
from pathlib import Path

import build_mpy
import pytest
from board_rig import Board

from writ_host.device import boardfiles, deploy
from writ_host.device.build.agentfiles import WrongVersion, module_files, startup_files
from writ_host.device.deploy import InTheWay, Plan, WrongBoard, board_files
from writ_host.device.repl import BoardFailed, BoardFull, LostBoard, NoRepl, connect
from writ_host.device.romfs import romfs_image
from writ_host.errors import HostError

needs_micropython = pytest.mark.skipif(
    build_mpy.find_micropython() is None or build_mpy.find_compiler() is None,
    reason="no micropython or no mpy-cross here",
)
pytestmark = needs_micropython
MPY = b"M\x06\x00\x1f"
Make = Callable[..., Board]


def some_files(seed: int) -> dict[str, bytes]:
    """A small agent, the same paths for each seed but one module."""
    rng = random.Random(seed)
    modules = {f"writ/{name}.mpy": MPY + rng.randbytes(700) for name in ("one", "two/three")}
    modules[f"writ/only{seed}.mpy"] = MPY + rng.randbytes(50)
    programs = {name: b"# %d %s\n" % (seed, name.encode()) for name in ("boot.py", "main.py")}
    return board_files(modules, programs, {"app.py": b"x = %d\n" % seed * 200})


def run(board: Board, wanted: dict[str, bytes], platform: str | None = None) -> Plan:
    with connect(str(board.path), starts=False) as found:
        planned = deploy.plan(found, wanted, platform)
        deploy.carry_out(found, planned)
        return planned


def test_the_agent_is_sent_once_and_only_what_changed_again(make: Make) -> None:
    board = make({"node/config.json": b"{}", "lib/other.py": b"mine"})
    wanted = board_files(module_files(), startup_files(), {"app.py": b"def setup(node): pass\n"})
    first = run(board, wanted)
    assert first.size == sum(map(len, wanted.values())) and first.kept == 0
    others = {"/node/config.json": b"{}", "/lib/other.py": b"mine"}
    assert board.files() == {**wanted, **others}
    wanted["/app.py"] = b"def setup(node): print('new')\n"
    second = run(board, wanted)
    assert list(second.changed) == ["/app.py"] and second.kept == len(wanted) - 1
    assert not run(board, wanted).changed
    assert board.files() == {**wanted, **others}


def test_the_agent_runs_after_a_deploy_and_is_interrupted_for_its_log(make: Make) -> None:
    board = make({"node/config.json": b'{"name": "soil", "listen": "127.0.0.1:0"}'})
    app = b"def setup(node):\n    print('app runs')\n"
    wanted = board_files(module_files(), startup_files(), {"app.py": app})
    with connect(str(board.path), starts=False) as found:
        deploy.carry_out(found, deploy.plan(found, wanted))
        since = len(board.output)
        found.reset()
    board.wait_for(b"writ-request: ", since)
    since = len(board.output)
    with connect(str(board.path)) as found:
        lines = boardfiles.log_lines(found)
    assert any(line.endswith("app runs") for line in lines)
    board.wait_for(b"app runs", since)


def test_main_and_boot_are_replaced_last_and_old_modules_removed(make: Make) -> None:
    board = make({})
    run(board, some_files(1))
    planned = run(board, some_files(2))
    assert list(planned.changed)[-2:] == ["/main.py", "/boot.py"]
    assert planned.removed == ["/lib/writ/only1.mpy"]
    assert board.files() == some_files(2)


@pytest.mark.slow
@pytest.mark.parametrize("power", [True, False])
def test_a_cut_at_any_byte_leaves_old_or_new_files(tmp_path: Path, power: bool) -> None:
    old, new = some_files(1), some_files(2)
    image = {path[1:]: content for path, content in old.items()}

    def attempt(name: str, cut: int | None) -> tuple[int, bool]:
        (tmp_path / name).mkdir()
        board = Board(tmp_path / name, image)
        try:
            with connect(str(board.path), starts=False) as found:
                planned = deploy.plan(found, new)
                before = board.passed["in"]
                if cut is not None:
                    board.cut_after(cut, power=power)
                try:
                    deploy.carry_out(found, planned)
                except HostError:
                    assert board.is_cut.wait(60)
                size = board.passed["in"] - before
            if cut is None:
                return size, False
            board.power_off()
            left = {path: data for path, data in board.files().items() if path in {**old, **new}}
            is_ready = "/deploy.json" in board.files()
            for path, content in left.items():
                assert content in (old.get(path), new.get(path)), path
            if not is_ready and set(left.items()) != set(new.items()):
                assert left == old, "a deploy that was not ready has changed a file"
            board.repair()
            with connect(str(board.path), starts=False) as found:
                again = deploy.plan(found, new)
                deploy.carry_out(found, again)
            assert again.is_completed == is_ready
            assert board.files() == new
            return size, is_ready
        finally:
            board.close()

    size, _ = attempt("whole", None)
    points = [0, 1, size // 5, size // 2, size * 3 // 4, size - 700, size - 400, size - 200]
    for number, cut in enumerate(points):
        attempt(f"cut{number}", cut)


def test_a_deploy_that_lost_its_power_while_it_renamed_is_completed(make: Make) -> None:
    old, new = some_files(1), some_files(2)
    board = make({path[1:]: content for path, content in old.items()})
    with connect(str(board.path), starts=False) as found:
        planned = deploy.plan(found, new)
        # the third rename does not happen
        found.run(
            "import machine\n_rename, _count = os.rename, [0]\n"
            "class Os:\n"
            "    def __getattr__(self, name): return getattr(_os, name)\n"
            "    def rename(self, a, b):\n"
            "        _count[0] += 1\n"
            "        machine.reset() if _count[0] == 4 else _rename(a, b)\n"
            "_os = os\nos = Os()"
        )
        with pytest.raises(HostError):
            deploy.carry_out(found, planned)
    board.wait_until(lambda: board.starts > 2)
    mixed = board.files()
    assert "/deploy.json" in mixed
    assert mixed["/lib/writ/one.mpy"] == new["/lib/writ/one.mpy"]
    assert mixed["/boot.py"] == old["/boot.py"]
    # it is completed by a deploy of other files, too
    assert run(board, some_files(3)).is_completed
    assert board.files() == some_files(3)


def test_a_full_file_system_keeps_all_old_files(make: Make) -> None:
    old = some_files(1)
    board = make({path[1:]: content for path, content in old.items()}, flash_bytes=16 * 4096)
    wanted = {**old, "/app.py": random.Random(3).randbytes(60_000), "/main.py": b"new"}
    with pytest.raises(BoardFull) as caught:
        run(board, wanted)
    assert "Remove files" in caught.value.advice
    assert board.files() == old


def test_another_version_of_bytecode_is_refused_before_anything_is_sent(make: Make) -> None:
    board = make({})
    wanted = some_files(1)
    wanted["/lib/writ/one.mpy"] = b"M\x05\x00\x1f" + bytes(50)
    with pytest.raises(WrongVersion, match="version 5; the board has 6"):
        run(board, wanted)
    assert board.files() == {}


def test_a_board_of_another_kind_is_refused(make: Make) -> None:
    board = make({})
    with pytest.raises(WrongBoard, match="linux"):
        run(board, some_files(1), "esp32")
    assert board.files() == {}


def test_a_folder_that_hides_the_agent_is_refused(make: Make) -> None:
    board = make({"writ/mine.py": b"1"})
    with pytest.raises(InTheWay, match="hides"):
        run(board, some_files(1))
    assert board.files() == {"/writ/mine.py": b"1"}


def test_a_board_with_the_agent_in_a_romfs_is_refused(make: Make) -> None:
    board = make({}, rom_bytes=8192)
    run(board, {"/app.py": b"1"})  # an empty partition is no hindrance
    board.power_off()
    image = romfs_image({"writ/__init__.mpy": MPY})
    assert board.rom
    board.rom.write_bytes(image.ljust(8192, b"\xff"))
    board.power_on()
    with pytest.raises(InTheWay, match="ROMFS"):
        run(board, some_files(1))
    assert board.files() == {"/app.py": b"1"}


def test_a_folder_in_the_place_of_a_file_is_an_error(make: Make) -> None:
    board = make({"app.py/x": b"1"})
    with pytest.raises(BoardFailed):
        run(board, some_files(1))


def test_a_board_that_is_gone_is_named(make: Make) -> None:
    board = make({})
    board.power_off()
    with pytest.raises((LostBoard, NoRepl)):
        run(board, some_files(1))
