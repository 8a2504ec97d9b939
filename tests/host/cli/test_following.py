"""Commands that follow a daemon: they wait while it is offline, and go on when it is back."""

import os
import signal
import subprocess

import pytest
from council_rig import WRIT, Council, finish, wait_for
from terminal_rig import Terminal

from writ_host.errors import NeedsPerson
from writ_host.governor.client.following import OFFLINE, ONLINE, Following


@pytest.mark.parametrize("do", ["status", "pending"])
def test_a_watched_page_outlives_the_daemon(council: Council, do: str) -> None:
    words = [*WRIT, "governor", do, "c", "--watch"]
    terminal = Terminal(words, 90, council.environment, council.root)
    page = {"status": "consensus  ", "pending": "nothing is pending"}[do]
    try:
        terminal.wait_for(lambda text: page in text)
        council.kill("c")
        text = terminal.wait_for(lambda text: OFFLINE in text)
        # the last known state stays below the notice
        assert page in text[text.index(OFFLINE) :]
        before = len(text)
        council.start("c")
        terminal.wait_for(lambda text: page in text[before:].rpartition(OFFLINE)[2][200:])
    finally:
        terminal.process.send_signal(signal.SIGINT)
        terminal.finish()
        terminal.close()
    assert terminal.process.returncode == 130


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_watched_page_prints_each_change_without_a_terminal(
    council: Council, options: tuple[str, ...]
) -> None:
    path = council.root / "watched"
    with path.open("wb") as file:
        watching = subprocess.Popen(
            [*WRIT, "governor", "status", "c", "--watch", *options],
            cwd=council.root,
            env={**os.environ, **council.environment},
            stdout=file,
        )
    page = '"height"' if options else "consensus  "
    try:
        # the age of the beacon changes each second
        wait_for(lambda: path.read_text().count(page) >= 3, path.read_text)
        council.kill("c")
        wait_for(lambda: OFFLINE in path.read_text(), path.read_text)
        council.start("c")
        wait_for(lambda: page in path.read_text().rpartition(OFFLINE)[2], path.read_text)
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait()


def test_a_followed_log_has_what_happened_meanwhile(council: Council) -> None:
    path = council.root / "followed"
    with path.open("wb") as file:
        following = subprocess.Popen(
            [*WRIT, "governor", "log", "d", "--follow", "--last", "2"],
            cwd=council.root,
            env={**os.environ, **council.environment},
            stdout=file,
        )
    try:
        wait_for(lambda: path.read_text())
        assert council.stop("d") == 0
        wait_for(lambda: OFFLINE in path.read_text(), path.read_text)
        council.start("d")
        wait_for(lambda: ONLINE in path.read_text(), path.read_text)
        assert following.poll() is None
        council.writ("member", "request", "well", "--name", "well")
        council.with_approval("b", "member", "admit", "well", "--no-role", "--yes", "--no-deliver")
        wait_for(lambda: "admit well" in path.read_text() or "member well" in path.read_text())
    finally:
        following.send_signal(signal.SIGINT)
        following.wait()
    lines = path.read_text().splitlines()
    entries = [line for line in lines if line[:2] == "20"]
    assert len(entries) == len(set(entries))


def test_a_waiting_command_outlives_its_daemon(council: Council) -> None:
    council.writ("member", "request", "spring", "--name", "spring")
    words = ("member", "admit", "spring", "--no-role", "--yes", "--no-deliver", "--wait", "60")
    command = council.begin(*words, "--json")
    wait_for(lambda: council.waiting("b"))
    council.kill("a")
    council.start("a")
    council.approve("b")
    (admitted,) = finish(command)["admitted"]
    assert admitted["name"] == "spring"


def test_the_time_to_wait_ends_offline_too(council: Council) -> None:
    said: list[str] = []

    def check() -> None:
        if len(said) == 1 and said.count(OFFLINE):
            raise NeedsPerson("the time is over")

    with Following(council.path("c"), said.append, check) as client:
        council.kill("c")
        try:
            with pytest.raises(NeedsPerson):
                client.ask("status")
        finally:
            council.start("c")
    assert said == [OFFLINE]
