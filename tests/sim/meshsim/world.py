"""The air between the nodes, the course of a run, and what must hold once the faults have ended."""

import random

from field import firmware
from field.scope import GATEWAY, READING, RELAY, SENSOR, VALUE, Scope
from radio.phy import Settings, airtime_us
from radio.timeline import Timeline

from meshsim.checks import Checks, Violation
from meshsim.liars import Liar
from meshsim.node import AirLink, Flash, SimMember

# Once the faults have ended, so long until all is well: a HELLO interval of at most 17 minutes
# (docs/mesh.md) for each hop and for each of two changes, and an hour for duty cycles to recover
HEALED_S_MAX = 4 * 3600
# A parent that is gone is left after so many times the patience for a receipt (docs/mesh.md)
_LEFT_PATIENCES = 23
_NO_RANK = 255
_COAP_POST, _COAP_GET = 2, 1


class World:
    """One run of one plan. trace: a list to which a line is added for each event; code: the
    `field.firmware.Firmware` of all nodes.
    """

    def __init__(self, plan, trace=None, code=None):
        self.plan = plan
        self.trace = trace
        self.code = code or firmware.device()
        self.code.seed(f"mesh world {plan.seed}")
        self.rng = random.Random(f"mesh world {plan.seed}")
        self.timeline = Timeline()
        self.steps = 0
        self.settings = Settings(spreading_factor=plan.spreading_factor).interned()
        self.scope = Scope(self.code, f"mesh {plan.seed}")
        self.names = [f"n{who}" if who else "gateway" for who in range(plan.count)]
        self.checks = Checks(self)
        self.checks.certified.add((self.scope.epoch, self.scope.head))
        self.revoked = set()
        self.number = 0
        self.capsules = []
        self.liars = {who: Liar(self, who, names) for who, names in plan.liars.items()}
        self._fault_rng = random.Random(f"mesh faults {plan.seed}")
        self.flashes = [Flash(self._fails, self._fault_rng) for _ in self.names]
        self._is_provisioned = False
        self.members = [None] * plan.count
        for who in range(plan.count):
            self._start(who, True)
        self._is_provisioned = True
        for at_s, who, down_s in plan.crashes:
            self.after(at_s, self.lose_power, who, down_s)
        for at_s, change in plan.amendments:
            self.after(at_s, self._amend, change)
        for who in range(1, plan.count):
            self.after(self.rng.uniform(30, 30 + plan.period_s), self._read, who)
        self.after(60, self._ask)

    # --- time -------------------------------------------------------------------------------------

    @property
    def now_s(self):
        """The present time in seconds."""
        return self.timeline.now_us / 1e6

    @property
    def is_healed(self):
        """Whether the faults have ended."""
        return self.now_s >= self.plan.heal_s

    def after(self, seconds, function, *arguments):
        """Call a function later."""
        self.timeline.after(round(seconds * 1e6), function, *arguments)

    def log(self, who, text):
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.now_s:>9.3f} s  {self.names[who]}  {text}")

    # --- nodes ------------------------------------------------------------------------------------

    def _fails(self):
        is_possible = self._is_provisioned and not self.is_healed
        return is_possible and self._fault_rng.random() < self.plan.crash_at_write

    def _start(self, who, is_new=False):
        if self.members[who] is not None and self.members[who].is_on:
            return
        roles = RELAY | SENSOR if who else GATEWAY
        try:
            member = SimMember(self, who, roles, self.flashes[who], is_new)
            self.members[who] = member
            self._serve(member)
            member.start(AirLink(self, who, member), self.scope.link_key(), who == 0)
        except BaseException as error:
            if type(error).__name__ != "PowerCut":
                raise
            self.after(1, self._start, who)
            if self.members[who] is not None:
                self.members[who].is_on = False
            return
        self.checks.watch(member)
        self.log(who, "starts")
        if who in self.liars:
            self.liars[who].start(member)
        if who == 0:
            for raw in self.capsules:
                member.guard(self._give, member, raw)

    def _serve(self, member):
        node = member.node
        if member.who == 0:
            # a gateway may name any nodes as spreaders, or say nothing
            told = random.Random(f"mesh spreaders {self.plan.seed}")
            node.on_neighbours = lambda peer, report, now_ms: told.choice((b"", b"\0", b"\1"))
            node.resource(READING, ("POST",))(self.checks.posted)
        else:
            node.resource(VALUE)(lambda request: member.name)

    def lose_power(self, who, down_s=None):
        """A node loses its power, and starts again later."""
        member = self.members[who]
        if not member.is_on:
            return
        member.is_on = False
        self.log(who, "loses its power")
        self.after(self.rng.choice((1, 5, 60)) if down_s is None else down_s, self._start, who)

    # --- the air ----------------------------------------------------------------------------------

    def airtime_us(self, length):
        """Microseconds on air."""
        return airtime_us(self.settings, length)

    def sent(self, who, member, frame, airtime):
        """A node has handed a frame to its link."""
        self.checks.sent(member, frame, airtime)
        self.transmit(who, frame)

    def transmit(self, who, frame, is_guess=False):
        """Let all who hear `who` have a frame, at its end."""
        if not is_guess:
            self.checks.frames.add(frame)
        if who in self.liars:
            self.liars[who].hear(frame)
        self.timeline.after(self.airtime_us(len(frame)), self._arrive, who, frame)

    def _arrive(self, who, frame):
        rng = self._fault_rng
        self.steps += 1
        for other in range(self.plan.count):
            if other == who or not self._hears(other, who):
                continue
            if self.is_healed:
                self._deliver(other, frame)
                continue
            if rng.random() < self.plan.loss:
                continue
            if rng.random() < self.plan.late:
                self.after(rng.uniform(0.01, 3), self._deliver, other, frame)
            else:
                self._deliver(other, frame)
            if rng.random() < self.plan.duplicate:
                self.after(rng.uniform(0.01, 5), self._deliver, other, frame)

    def _deliver(self, who, frame):
        member = self.members[who]
        if who in self.liars:
            self.liars[who].hear(frame)
        if member.is_on and member.frames is not None:
            member.take(frame, 5)

    def _hears(self, one, other):
        pair = frozenset((one, other))
        if pair not in self.plan.edges:
            return False
        if self.is_healed:
            return True
        now_s = self.now_s
        return not (
            any(start <= now_s < end and down == pair for start, end, down in self.plan.flips)
            or any(
                start <= now_s < end and groups[one] != groups[other]
                for start, end, groups in self.plan.partitions
            )
        )

    # --- what the nodes are used for --------------------------------------------------------------

    def _amend(self, change):
        subject = 1
        if change == "revoke":
            subject = min(self.plan.liars)
            self.revoked.add(subject)
        raw = self.scope.amend(change, self.scope.node_id(self.names[subject]))
        self.checks.certified.add((self.scope.epoch, self.scope.head))
        self.capsules += [raw, self.scope.beacon]
        self.log(0, f"gets epoch {self.scope.epoch}: {change}")
        for capsule in self.capsules[-2:]:
            member = self.members[0]
            if member.is_on and member.frames is not None:
                member.guard(self._give, member, capsule)

    def _give(self, member, raw):
        errors = self.code.module("errors")
        try:
            member.node.authority.receive(raw, member.now_ms)
        except errors.Rejection:
            # it has that one already
            return
        member.wake()

    def is_revocation_known(self, who):
        """Whether the policy of a node excludes all that are revoked."""
        policy = self.members[who].node.authority.policy
        return all(self.scope.node_id(self.names[one]) in policy.revoked for one in self.revoked)

    def _read(self, who):
        self.after(self.plan.period_s * self.rng.uniform(0.8, 1.2), self._read, who)
        self.post(who)

    def post(self, who):
        """Let a node post a reading. Its payload, or None where that is not possible now."""
        member = self.members[who]
        if not member.is_on or member.frames is None or member.rank == _NO_RANK:
            return None
        self.number += 1
        payload = bytes((who,)) + self.number.to_bytes(4, "big")
        self.checks.made(payload, who)
        member.open[payload] = self.now_s

        def done(answer):
            member.open.pop(payload, None)
            self.checks.confirmed(payload, answer)

        member.ask(_COAP_POST, READING, payload, "mesh:0001", done)
        return payload

    def _ask(self):
        self.after(self.plan.period_s, self._ask)
        gateway = self.members[0]
        if not gateway.is_on or gateway.frames is None:
            return
        known = sorted(gateway.frames.mesh.routes)
        if known:
            address = self.rng.choice(known)
            who = address - 1
            if not 0 < who < self.plan.count:
                return

            def done(answer):
                gateway.open.pop(key, None)
                self.checks.answered(who, answer)

            self.number += 1
            key = self.number
            gateway.open[key] = self.now_s
            gateway.ask(_COAP_GET, VALUE, b"", f"mesh:{address:04x}", done)

    # --- the course -------------------------------------------------------------------------------

    def run(self):
        """The whole run. Raises `Violation`."""
        self._advance(self.plan.heal_s + 120)
        end_s = self.now_s + HEALED_S_MAX
        while why := self._unwell():
            if self.now_s >= end_s:
                raise Violation(f"{HEALED_S_MAX} s after the faults: {why}")
            self._advance(self.now_s + 30)
        self.log(0, "all is well")
        self._check_requests_end()
        if not self.plan.liars:
            self._lose_a_parent()

    def _advance(self, to_s):
        self.timeline.advance(round(to_s * 1e6))

    def honest(self):
        """Numbers of the honest nodes."""
        return [who for who in range(self.plan.count) if who not in self.plan.liars]

    def _unwell(self):
        # what does not hold yet, as text; "" if all is well
        if self.plan.silences:
            return ""
        for who in self.honest():
            member = self.members[who]
            if not member.is_on:
                return f"{member.name} is off"
            if member.epoch != self.scope.epoch:
                return f"{member.name} has epoch {member.epoch}"
        if self.plan.swallows:
            return ""
        for who in self.honest()[1:]:
            if why := self._way(who):
                return why
            taken = [at for payload, at in self.checks.carried_out.items() if payload[0] == who]
            if not taken or max(taken) < self.plan.heal_s + 60:
                return f"no reading of {self.names[who]} has arrived"
        return ""

    def _way(self, who):
        # why the parents of a node do not lead to the gateway
        seen = []
        while who:
            if who in seen:
                return f"a loop: {seen}"
            seen.append(who)
            routing = self.members[who].frames.mesh.routing
            if not routing.parents:
                return f"{self.names[who]} has no parent"
            who = routing.parents[0].address - 1
            if not 0 <= who < self.plan.count or not self.members[who].is_on:
                return f"{self.names[seen[-1]]} has a parent that is gone"
        return ""

    def _check_requests_end(self):
        # longer than any exchange, whose last time-out is 2**5 times the first one
        before = {who: dict(self.members[who].open) for who in self.honest()}
        members = list(self.members)
        self._advance(self.now_s + 3600)
        for who, keys in before.items():
            left = [key for key in keys if key in members[who].open]
            if left and members[who].is_on:
                raise Violation(f"a request of {self.names[who]} never ended: {left[0]!r}")

    def _lose_a_parent(self):
        # a relay is gone for good; who had it for a parent leaves it when it next sends
        children = {}
        for who in range(1, self.plan.count):
            parents = self.members[who].frames.mesh.routing.parents
            parent = parents[0].address - 1 if parents else 0
            if parent:
                children.setdefault(parent, []).append(who)
        if not children:
            return
        gone = min(children)
        self.members[gone].is_on = False
        self.log(gone, "is switched off")
        for who in children[gone]:
            self._check_left(who, gone)

    def _check_left(self, who, gone):
        member = self.members[who]
        outbox = self.code.module("mesh.outbox")
        patience_s = outbox.patience_ms(member.frames.links[0]) / 1000
        # what is under way to that parent already goes first
        for _ in range(2):
            self.post(who)
            end_s = self.now_s + _LEFT_PATIENCES * patience_s
            while self.now_s < end_s:
                self._advance(self.now_s + 1)
                parents = [one.address - 1 for one in member.frames.mesh.routing.parents[:1]]
                if gone not in parents:
                    return
        raise Violation(f"{member.name} still has {self.names[gone]} for a parent")

    def where(self):
        """The state of the world as text."""
        epochs = [member.epoch for member in self.members]
        return f"{self.now_s:.0f} s, epochs {epochs}, {len(self.checks.carried_out)} readings"
