from chip_rig import WDT, Timer

from writ.board.watchdog import Watchdog, is_for
from writ.limits import STEP_S_MAX


class Machine:
    """The classes, which record what is made."""

    def __init__(self):
        self.wdts, self.timers = [], []

    PERIODIC = Timer.PERIODIC

    def WDT(self, id=0, timeout=5000):
        self.wdts.append(WDT(id, timeout))
        return self.wdts[-1]

    class Timer(Timer):
        made = []

        def __init__(self, id=-1):
            Timer.__init__(self, id)
            Machine.Timer.made.append(self)


def made(platform="esp32"):
    machine = Machine()
    found = Watchdog(machine, platform)
    return found, machine.wdts[0], Machine.Timer.made[-1]


def test_a_timer_feeds_it_before_main_and_at_a_prompt():
    watchdog, wdt, timer = made()
    # several feeds within the timeout, which an RP2040 takes
    assert timer.period * 4 <= wdt.timeout <= 8388 and timer.mode == Timer.PERIODIC
    timer.fire(1000)
    assert wdt.feeds == 1000
    watchdog.renew()
    watchdog.release()
    before = wdt.feeds
    timer.fire(1000)
    assert wdt.feeds == before + 1000


def test_a_program_that_makes_no_step_is_reset():
    watchdog, wdt, timer = made()
    watchdog.renew()
    before = wdt.feeds
    timer.fire(STEP_S_MAX + 100)
    # then the hardware bites
    assert wdt.feeds == before + STEP_S_MAX
    # as long as it makes steps, it is fed
    watchdog.renew()
    timer.fire(STEP_S_MAX // 2)
    watchdog.renew()
    before = wdt.feeds
    timer.fire(STEP_S_MAX)
    assert wdt.feeds == before + STEP_S_MAX


def test_each_port_has_the_timer_that_it_takes():
    assert made("rp2")[2].id == -1
    # an ESP32-C3 has 0 and 1
    assert made("esp32")[2].id in (0, 1)


def test_who_gets_a_watchdog():
    assert is_for("esp32", None) and is_for("esp32", {"sleep_s": 600})
    assert is_for("rp2", {}) and is_for("rp2", None)
    # its timers stop in a light sleep, its watchdog does not
    assert not is_for("rp2", {"sleep_s": 600})
