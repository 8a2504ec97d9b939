"""Real faults: governors and devices in network namespaces, with cut cables and killed processes.

First comes a script; each part states what must still work and what must not. Then comes a storm of
random faults, whose seed is printed. At the end all faults are healed. No certified capsule may be
lost and no state may have forked. WRIT_FAULTS_S: the duration in seconds; WRIT_FAULTS_SEED: the
seed that replays a run.
"""

import contextlib
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator

import pytest
from farm_rig import DEVICES, FIELDS, GOVERNORS, PROCESSES, Council, Field, Load, wait_until
from netns_rig import Network, NotPermitted
from witness import Witness, chain_of

from writ_host.errors import HostError
from writ_host.governor.ledger.capsules import POLICIES_KEPT

FAULTS_S = float(os.environ.get("WRIT_FAULTS_S", "60"))
STORM_S_MIN = 15.0
HOLD_S = 3.0
BURST_S = 0.1
# Memberships from the founding end earlier; a renewed one ends later.
RENEWED_S = 330 * 86400
EAST = tuple(name for field, names in PROCESSES if field == "east" for name in names)
ANNA, BEN, CARL, DORA = GOVERNORS


class Farm:
    """The network, governors, devices and load of one run. Use `with`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.net = stack.enter_context(Network([*GOVERNORS, *FIELDS]))
            self.council = Council(self.net)
            stack.enter_context(self.council)
            group_key = self.council.governors[0].local.seat.public.group_key
            self.witness = Witness(group_key)
            self.field = Field(self.net, self.council, self.witness)
            stack.enter_context(self.field)
            self.load = Load(self.council, self.witness, seed)
            stack.callback(self.load.stop)
            self._stack = stack.pop_all()

    def __enter__(self) -> "Farm":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- what must work ---------------------------------------------------------------------------

    def newest(self) -> int:
        """The highest epoch of the governors that run."""
        return max(map(self.council.epoch, self.council.running))

    def wait_for(self, condition: Callable[[], object], text: str, timeout_s: float = 60.0) -> None:
        """Wait for a condition, and check meanwhile that the witness finds no problem."""

        def checked() -> object:
            assert self.witness.problems + self.field.complaints() == []
            return condition()

        wait_until(checked, text, timeout_s)

    def decide(self, *names: str) -> None:
        """Wait for two more epochs at these governors: the second began after this call."""
        base = self.newest()
        self.wait_for(
            lambda: all(self.council.epoch(name) >= base + 2 for name in names),
            f"epoch {base + 2} at {names}",
        )

    def calls_succeed(self, *names: str) -> None:
        """Wait until some calls of these devices have succeeded."""
        before = self.witness.count("call 2.05", *names)
        self.wait_for(
            lambda: self.witness.count("call 2.05", *names) >= before + 3, f"calls of {names[0]}..."
        )

    def healed(self) -> None:
        """Heal the network, and wait until all governors decide."""
        self.net.heal()
        self.decide(*GOVERNORS)

    @contextlib.contextmanager
    def stuck(self, *names: str) -> Iterator[None]:
        """Assert that these governors decide nothing inside this context.

        Messages on their way may still bring the epoch after the newest one, and no other.
        """
        base = self.newest()
        yield
        for name in names:
            assert self.council.epoch(name) <= base + 1, f"{name} decided without a quorum"

    # --- the script -------------------------------------------------------------------------------

    def governor_alone(self) -> None:
        """One of four governors is isolated: the others decide, it does not."""
        self.net.split((BEN, CARL, DORA, *FIELDS), (ANNA,))
        with self.stuck(ANNA):
            self.decide(BEN, CARL, DORA)
        self.healed()

    def governor_unplugged(self) -> None:
        """One governor's interface is down: its sends fail, and the others decide."""
        self.net.unplug(DORA)
        with self.stuck(DORA):
            self.decide(ANNA, BEN, CARL)
        self.healed()

    def two_and_two(self) -> None:
        """Neither half decides; devices in both halves still call each other."""
        self.net.split((ANNA, CARL, "east"), (BEN, DORA, "west"))
        with self.stuck(*GOVERNORS):
            time.sleep(HOLD_S)
            self.calls_succeed(*EAST)
            self.calls_succeed(*DEVICES[len(EAST) :])
        self.healed()

    def devices_with_the_minority(self) -> None:
        """Three decide; the devices reach only the fourth, so they keep their epoch and go on."""
        self.net.split((ANNA, BEN, CARL), (DORA, *FIELDS))
        base = self.newest()
        with self.stuck(DORA):
            self.decide(ANNA, BEN, CARL)
            self.calls_succeed(*DEVICES)
        seen = [self.witness.seen[name].epoch for name in DEVICES]
        assert max(seen) <= base + 1, "an epoch came through a cable that was cut"
        self.healed()

    def devices_cut_off(self) -> None:
        """No device reaches a governor or the other field; each field goes on by itself."""
        self.net.split(GOVERNORS, ("east",), ("west",))
        self.decide(*GOVERNORS)
        self.calls_succeed(*EAST)
        self.calls_succeed(*DEVICES[len(EAST) :])
        self.healed()

    def one_way(self) -> None:
        """One governor's messages are lost; then the messages of two pairs, in one direction."""
        self.net.mute(BEN, ANNA, CARL, DORA)
        self.decide(ANNA, CARL, DORA)
        self.net.heal()
        self.net.mute(CARL, DORA, "east")
        self.net.mute("west", ANNA)
        self.decide(ANNA, BEN, CARL)
        self.healed()

    def lossy_links(self) -> None:
        """All links lose some packets; all governors decide."""
        kind = self.net.make_lossy(self.net.machines)
        if not kind:
            warnings.warn("no lossy links: this kernel has neither netem nor tbf", stacklevel=1)
            return
        print(f"links: {kind}")
        self.decide(*GOVERNORS)
        self.healed()

    def crashes(self) -> None:
        """With one governor killed the others decide; with two, none do until one is back."""
        anna, ben = self.council[ANNA], self.council[BEN]
        self.council.kill(anna)
        self.decide(BEN, CARL, DORA)
        self.council.kill(ben)
        with self.stuck(CARL, DORA):
            time.sleep(HOLD_S)
            self.calls_succeed(*DEVICES)
        self.council.start(anna)
        self.decide(ANNA, CARL, DORA)
        self.council.start(ben)
        self.decide(*GOVERNORS)

    def far_behind(self) -> None:
        """One governor misses more epochs than ledgers keep policies, and catches up."""
        dora, period_s = self.council[DORA], self.load.period_s
        self.council.kill(dora)
        base = self.newest()
        self.load.period_s = BURST_S
        self.wait_for(lambda: self.newest() > base + POLICIES_KEPT + 2, "a burst of epochs")
        self.load.period_s = period_s
        self.council.start(dora)
        self.decide(*GOVERNORS)

    def power_cuts(self) -> None:
        """Processes of devices are killed and started again, one on each interpreter."""
        for number in (1, 2):
            self.field.kill(number)
        self.decide(*GOVERNORS)
        for number in (1, 2):
            self.field.start(number)
        self.calls_succeed(*PROCESSES[1][1])

    # --- the storm --------------------------------------------------------------------------------

    def storm(self, seconds: float) -> None:
        """Random faults at the same time; each crash is short."""
        end = time.monotonic() + seconds
        faults = (self._isolate, self._split, self._mute, self._unplug, self.net.heal)
        killed: dict[str | int, float] = {}
        while time.monotonic() < end:
            self.random.choices(faults, (3, 1, 2, 1, 5))[0]()
            if self.random.random() < 0.4:
                self._kill(killed)
            time.sleep(self.random.uniform(0.2, 2.5))
            self._restart(killed, time.monotonic())
            assert self.witness.problems + self.field.complaints() == []
        self._restart(killed, float("inf"))

    def _isolate(self) -> None:
        alone = self.random.choice(self.net.machines)
        self.net.split([name for name in self.net.machines if name != alone], [alone])

    def _split(self) -> None:
        islands: list[list[str]] = [[] for _ in range(self.random.randint(2, 3))]
        for name in self.net.machines:
            self.random.choice(islands).append(name)
        self.net.split(*islands)

    def _mute(self) -> None:
        name, *others = self.random.sample(self.net.machines, self.random.randint(2, 4))
        self.net.mute(name, *others)

    def _unplug(self) -> None:
        self.net.unplug(self.random.choice(self.net.machines))

    def _kill(self, killed: dict[str | int, float]) -> None:
        candidates = (*GOVERNORS, *GOVERNORS, *range(len(PROCESSES)))
        one = self.random.choice([one for one in candidates if one not in killed])
        if isinstance(one, int):
            self.field.kill(one)
        else:
            self.council.kill(self.council[one])
        killed[one] = time.monotonic() + self.random.uniform(0.1, 3.0)

    def _restart(self, killed: dict[str | int, float], now: float) -> None:
        for one in [one for one, until in killed.items() if until <= now]:
            del killed[one]
            if isinstance(one, int):
                self.field.start(one)
            else:
                self.council.start(self.council[one])

    def explain(self) -> None:
        """Print what may explain why devices are behind."""
        newest = max(one.epoch for one in self.witness.seen.values())
        for name in DEVICES:
            if self.witness.seen[name].epoch < newest:
                print(name, self.witness.seen[name], self.witness.counters.get(name))
        for process in self.field.processes:
            print(process.name, *(event.what for event in process.events[-20:]), sep="\n  ")

    # --- after all faults -------------------------------------------------------------------------

    def settle(self) -> int:
        """Heal all faults, wait until all nodes agree, and stop the devices; the last epoch."""
        self.healed()
        self.load.stop()
        self.wait_for(self._decides_one_more, "a proposal after all faults", 90)
        last = self.newest()
        self.wait_for(
            lambda: all(self.witness.seen[name].epoch == last for name in DEVICES),
            f"epoch {last} on all devices",
            120,
        )
        self.wait_for(self._are_renewed, "all devices to be renewed", 120)
        # without devices no new capsule appears that some governors might not have yet
        self.field.kill_all()
        self.wait_for(self._are_even, "all governors to have the same capsules")
        assert self.newest() == last
        return last

    def _decides_one_more(self) -> bool:
        name = self.random.choice(GOVERNORS)
        id = self.load.turn(name)
        if id is None:
            return False
        with contextlib.suppress(HostError, AssertionError):
            wait_until(lambda: self.load.find(name, id) != "open", "a decision", 30)
            return self.load.find(name, id) == "certified" and self._are_level()
        return False

    def _are_level(self) -> bool:
        return len(set(map(self.council.epoch, GOVERNORS))) == 1

    def _are_renewed(self) -> bool:
        least = min(self.witness.seen[name].expires for name in DEVICES)
        return least > time.time() + RENEWED_S

    def _are_even(self) -> bool:
        first, *others = map(self.load.contents, GOVERNORS)
        return self._are_level() and all(one == first for one in others)


def check_disks(farm: Farm, last: int) -> None:
    """Compare the disks of all governors and devices after they have stopped."""
    chains = {}
    for name in GOVERNORS:
        with farm.council.ledger(name) as ledger:
            chains[name] = chain_of(ledger, farm.witness.group_key)
            assert farm.witness.missing(ledger) == [], f"{name} has lost certified capsules"
            accused = [one for one in ledger.log_entries(10_000) if one["event"] == "accused"]
            assert accused == [], f"{name} accused an honest governor"
    longest = max(chains.values(), key=len)
    assert len(longest) == last
    for name, chain in chains.items():
        assert chain == longest[: len(chain)], f"{name} has another chain"
    for name in DEVICES:
        authority = farm.field.authority(name)
        assert (authority.epoch, authority.head.hex()) == (last, longest[-1]), name


SCRIPT = (
    Farm.governor_alone,
    Farm.two_and_two,
    Farm.devices_with_the_minority,
    Farm.crashes,
    Farm.devices_cut_off,
    Farm.governor_unplugged,
    Farm.one_way,
    Farm.far_behind,
    Farm.power_cuts,
    Farm.lossy_links,
)


@pytest.mark.timeout(FAULTS_S + 900)
def test_faults_lose_no_certified_capsule_and_cause_no_fork() -> None:
    seed = int(os.environ.get("WRIT_FAULTS_SEED", random.randrange(1 << 32)))
    print(f"WRIT_FAULTS_SEED={seed}")
    try:
        farm = Farm(seed)
    except NotPermitted as error:
        pytest.skip(f"no network namespaces here: {error}")
    end = time.monotonic() + FAULTS_S
    with farm:
        try:
            farm.load.start()
            farm.decide(*GOVERNORS)
            farm.calls_succeed(*DEVICES)
            for part in SCRIPT:
                began = time.monotonic()
                part(farm)
                print(f"{time.monotonic() - began:5.1f} s  {part.__name__}")
            before, seconds = farm.newest(), max(STORM_S_MIN, end - time.monotonic())
            farm.storm(seconds)
            print(f"{seconds:5.1f} s  storm, from epoch {before} to {farm.newest()}")
            began = time.monotonic()
            last = farm.settle()
            print(f"{time.monotonic() - began:5.1f} s  settled at epoch {last}")
        except BaseException:
            print(farm.council.logs())
            farm.explain()
            raise
        finally:
            print(farm.witness.totals())
            print({name: vars(one) for name, one in farm.witness.seen.items()})
            print(f"{farm.load.proposed} proposed, {farm.load.refused} refused")
        for one in farm.council.governors:
            farm.council.kill(one)
        check_disks(farm, last)
        assert farm.witness.problems == []
        assert farm.field.complaints() == []
        assert "Traceback" not in farm.council.logs(100_000)
