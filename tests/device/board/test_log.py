import os

from fakeflash import PowerCut
from harness import raises

from writ.board.log import FILES, Log
from writ.limits import LOG_FILE_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_PENDING_BYTES_MAX

# the beginning of both paths; tests run in several processes in one folder
FOLDER = "log_test_" + os.urandom(4).hex()


def fresh():
    for name in FILES:
        try:
            os.remove(FOLDER + name)
        except OSError:
            pass


def read(name):
    try:
        with open(FOLDER + name, "rb") as handle:
            return handle.read()
    except OSError:
        return None


def lines():
    """The lines of both files in the order of their numbers, without heads."""
    found = []
    for name in FILES:
        data = read(name)
        if data and data[:4] == b"log " and b"\n" in data:
            head, _, rest = data.partition(b"\n")
            if head[4:].isdigit():
                found.append((int(head[4:]), rest))
    return [line for _, rest in sorted(found) for line in rest.split(b"\n") if line]


def clock():
    return "+1 s"


def test_lines_have_the_time_and_wait_for_a_flush():
    fresh()
    log = Log(FOLDER, clock)
    log.add("one\ntwo\n")
    assert lines() == [] and read("log.0") is None
    log.flush()
    log.flush()
    assert lines() == [b"+1 s one", b"+1 s two"]
    # a restart goes on in the same file
    log = Log(FOLDER, clock)
    log.add("three")
    log.flush()
    assert lines()[-1] == b"+1 s three" and len(lines()) == 3
    fresh()


def test_two_files_take_turns_and_stay_small():
    fresh()
    log = Log(FOLDER, clock)
    for number in range(400):
        log.add("line %04d " % number + 80 * "x")
        log.flush()
        if number % 50 == 0:
            log = Log(FOLDER, clock)
        for name in FILES:
            assert len(read(name) or b"") <= LOG_FILE_BYTES_MAX
    numbers = [int(line.split()[3]) for line in lines()]
    # without a gap up to the newest, and a whole file of them at least
    assert numbers == list(range(numbers[0], 400))
    assert len(numbers) > LOG_FILE_BYTES_MAX // 100
    fresh()


def test_a_program_that_prints_much_loses_lines_which_are_counted():
    fresh()
    log = Log(FOLDER, clock)
    for _ in range(1000):
        log.add("noise")
    assert log.is_half_full()
    log.flush()
    found = lines()
    kept = len([line for line in found if line.endswith(b"noise")])
    assert found[-1] == b"%d lines lost" % (1000 - kept)
    assert sum([len(line) + 1 for line in found[:-1]]) <= LOG_PENDING_BYTES_MAX
    log.add("again")
    log.flush()
    assert lines()[-1] == b"+1 s again"
    fresh()


def test_a_line_is_short_and_printable():
    fresh()
    log = Log(FOLDER, clock)
    log.add("a\tb\x1b[31m\xe4 " + 1000 * "y")
    log.flush()
    line = lines()[0]
    assert line[:14] == b"+1 s a?b?[31m?" and len(line) == LOG_LINE_BYTES_MAX
    fresh()


class CutLog(Log):
    """The power fails after `cut` bytes of a write."""

    cut = None

    def _write(self, path, mode, data):
        if self.cut is None:
            return Log._write(self, path, mode, data)
        with open(path, mode) as handle:
            handle.write(data[: self.cut])
        raise PowerCut


def prepare(number):
    """A log whose next write begins file 2 (number 0), or goes on in it (number 1)."""
    fresh()
    log = Log(FOLDER, clock)
    while read("log.1") is None:
        log.add("old " + 90 * "z")
        log.flush()
    if number == 0:
        os.remove(FOLDER + "log.1")
        log = Log(FOLDER, clock)
    return lines()


def test_a_power_cut_at_each_byte_leaves_a_readable_log():
    for number in (0, 1):
        before = prepare(number)
        files = [read(name) for name in FILES]
        for cut in range(30):
            for name, data in zip(FILES, files):
                if data is None:
                    if read(name) is not None:
                        os.remove(FOLDER + name)
                else:
                    with open(FOLDER + name, "wb") as handle:
                        handle.write(data)
            log = CutLog(FOLDER, clock)
            log.add("the cut line")
            log.cut = cut
            raises(PowerCut, log.flush)
            log = Log(FOLDER, clock)
            log.add("after the cut")
            log.flush()
            found = lines()
            assert found[: len(before)] == before, (number, cut)
            assert found[-1] == b"+1 s after the cut", (number, cut)
            # at most the rest of one line besides
            assert len(found) <= len(before) + 2
    fresh()


def test_a_flash_that_refuses_a_write_ends_no_program():
    fresh()
    log = Log("no_such_folder/", clock)
    log.add("lost")
    log.flush()
    log._folder = FOLDER
    log.add("kept")
    log.flush()
    assert lines() == [b"+1 s kept", b"1 lines lost"]
    assert Log(FOLDER, clock)._number == 1
    fresh()
