"""Byzantine governors (liars): a real replica without the lock rule, whose messages are changed.

A liar has its own keys and receives its own messages; it cannot sign for others. `BEHAVIOURS` may
be combined. All liars ignore locks and vote for each proposal.
"""

from dataclasses import replace

from simulator import values
from writ_host import codec
from writ_host.consensus import messages
from writ_host.consensus.cosign import ANSWER, ASK
from writ_host.consensus.effects import Propose, Received, Send
from writ_host.consensus.messages import (
    Decided,
    Prevote,
    PrevoteQuorum,
    RoundProposal,
    Seen,
    Share,
    SigningSession,
    Status,
    Submit,
    sign,
)
from writ_host.consensus.replica import Replica
from writ_host.errors import HostError

LOG_MAX = 200
TWINS = "twins"


class Lawless(Replica):
    """A replica that votes for every proposal, whatever it is locked on."""

    def __init__(self, *args):
        super().__init__(*args)
        self.rules.may_prevote = lambda proposal: True


class Liar:
    """A replica whose messages the behaviours change; it has the interface of a replica."""

    def __init__(self, governor, args):
        self.governor = governor
        self.rng = governor.rng
        self.args = args
        self.inner = Lawless(*args)
        self.inner.context.is_joined = True
        self.twin = None
        if TWINS in governor.behaviours:
            self.twin = Lawless(*args)
            self.twin.context.is_joined = True
        others = governor.world.others(governor.number)
        self.side = set(self.rng.sample(others, self.rng.randrange(1, len(others))))
        self.scope = governor.world.committee.scope
        self.received = []
        self.twists = [BEHAVIOURS[name] for name in governor.behaviours]

    @property
    def state(self):
        return self.inner.state

    @property
    def is_active(self):
        return True

    def start(self, now_ms):
        return self.lie(self.inner.start(now_ms) + self.second(lambda twin: twin.start(now_ms)))

    def step(self, event, now_ms):
        if isinstance(event, Received):
            self.received.append(event.data)
            del self.received[:-LOG_MAX]
            if self.twin is not None and event.sender in self.side:
                return self.lie(self.second(lambda twin: twin.step(event, now_ms)))
        if isinstance(event, Propose) and self.twin is not None:
            other = Propose(self.governor.world.new_value(self.governor))
            return self.lie(
                self.first(self.inner.step(event, now_ms))
                + self.second(lambda twin: twin.step(other, now_ms))
            )
        effects = self.first(self.inner.step(event, now_ms))
        if not isinstance(event, Received):
            effects += self.second(lambda twin: twin.step(event, now_ms))
        return self.lie(effects)

    def first(self, effects):
        """The messages of the inner replica; with a twin, those to one side only."""
        return effects if self.twin is None else self.aside(effects, lambda to: to not in self.side)

    def second(self, act):
        """The messages of the twin to the other side, with the same keys."""
        return [] if self.twin is None else self.aside(act(self.twin), lambda to: to in self.side)

    def aside(self, effects, wanted):
        sends = []
        for effect in effects:
            if isinstance(effect, Send):
                sends += [Send(to, effect.data) for to in self.targets(effect) if wanted(to)]
            else:
                sends.append(effect)
        return sends

    def lie(self, effects):
        sends = []
        for effect in effects:
            batch = [effect]
            if isinstance(effect, Send):
                for twist in self.twists:
                    batch = [new for one in batch for new in self.twisted(twist, one)]
            sends += batch
        return sends

    def twisted(self, twist, effect):
        try:
            message = messages.decode(effect.data)
        except HostError:
            return [effect]
        return twist(self, effect, message)

    # --- helpers ----------------------------------------------------------------------------------

    def sign(self, message):
        return sign(message, self.governor.signer, self.scope)

    def to(self, targets, message):
        data = messages.encode(message)
        return [Send(target, data) for target in targets]

    def targets(self, effect):
        if effect.to is not None:
            return [effect.to]
        others = self.governor.world.others(self.governor.number)
        self.rng.shuffle(others)
        return others

    def halves(self, effect):
        targets = self.targets(effect)
        cut = self.rng.randrange(len(targets) + 1)
        return targets[:cut], targets[cut:]

    def rival(self):
        """Another value for the height: a good one, or one that no honest governor accepts."""
        if self.rng.random() < 0.3:
            disk = self.governor.disk
            return values.make_value(disk.height, disk.head, values.BAD)
        known = [one.value for one in self.state.proposals.values()]
        known += list(self.state.candidates.values())
        return self.rng.choice(known) if known else self.governor.world.new_value(self.governor)


def equivocate(liar, effect, message):
    """As proposer, send one value to some and another to others, and votes to match."""
    if not isinstance(message, RoundProposal) or message.sender != liar.governor.number:
        return [effect]
    here, there = liar.halves(effect)
    other = liar.sign(replace(message, value=liar.governor.world.new_value(liar.governor)))
    sends = liar.to(here, message) + liar.to(there, other)
    for targets, proposal in ((here, message), (there, other)):
        vote = liar.inner.context.nonces.commit(len(proposal.value.payloads))
        place = message.sender, message.height, message.round, proposal.value.digest
        sends += liar.to(targets, liar.sign(Prevote(*place, 1, vote)))
    return sends


def vote_twice(liar, effect, message):
    """Send different prevotes to two halves of the governors."""
    if not isinstance(message, Prevote) or message.sender != liar.governor.number:
        return [effect]
    here, there = liar.halves(effect)
    value = liar.rival()
    digest = liar.rng.choice((None, value.digest))
    vote = liar.inner.context.nonces.commit(len(value.payloads)) if digest else ()
    other = liar.sign(replace(message, digest=digest, commitments=vote))
    return liar.to(here, message) + liar.to(there, other)


def submit_twice(liar, effect, message):
    """Submit different values to two halves, so that fast signers vote for different values."""
    if not isinstance(message, Submit):
        return [effect]
    here, there = liar.halves(effect)
    other = Submit(liar.governor.world.new_value(liar.governor))
    return liar.to(here, message) + liar.to(there, other)


def withhold(liar, effect, message):
    """Take a place in each session, and do not sign."""
    if isinstance(message, Share) and liar.rng.random() < 0.8:
        return []
    return [effect]


def whisper(liar, effect, message):
    """Send to a few only, so that few governors know a lock or a decision."""
    if isinstance(message, RoundProposal | Prevote | Share | SigningSession | PrevoteQuorum):
        targets = liar.targets(effect)
        return [Send(one, effect.data) for one in targets[: liar.rng.randrange(len(targets) + 1)]]
    return [effect]


def sign_wrongly(liar, effect, message):
    """Send wrong signature shares."""
    if not isinstance(message, Share):
        return [effect]
    wrong = tuple(liar.rng.randbytes(31) + b"\0" for _ in message.shares)
    return liar.to(liar.targets(effect), liar.sign(replace(message, shares=wrong)))


def replay(liar, effect, message):
    """Repeat old messages, its own and others', of this round and of old ones."""
    again = liar.rng.sample(liar.received, min(len(liar.received), liar.rng.choice((0, 0, 1, 4))))
    liar.received.append(effect.data)
    return [effect, *(Send(liar.targets(effect)[0], data) for data in again)]


def forge(liar, effect, message):
    """Forge quorums, decisions without a signature, and unsigned evidence."""
    if not isinstance(message, Status):
        return [effect]
    value = liar.rival()
    height, me = message.height, liar.governor.number
    round_ = max(0, message.round + liar.rng.choice((-1, 0, 1, 3)))
    rounds = liar.state.votes._rounds.values()
    votes = [vote for found in rounds for vote in found.prevotes.values()]
    own = liar.sign(Prevote(me, height, round_, value.digest, 1, ()))
    signed = tuple({vote.sender: vote for vote in votes}.values())
    numbers = range(1, liar.governor.world.committee.count + 1)
    proofs = (
        (own,) * len(numbers),
        signed,
        tuple(replace(vote, digest=value.digest, round=round_) for vote in signed),
        tuple(replace(own, sender=number) for number in numbers),
    )
    proof = liar.rng.choice(proofs)
    proposal = RoundProposal(me, height, round_ + 1, value, round_, proof)
    lies = [
        PrevoteQuorum(height, round_, value, proof),
        liar.sign(proposal),
        Decided(value, tuple(liar.rng.randbytes(64) for _ in value.payloads)),
        SigningSession(height, round_, value.digest, proof),
        Seen(bytes(16), replace(own, sender=liar.rng.choice(numbers), counter=10**6)),
        Status(height, round_ + liar.rng.choice((0, 50)), True, False, 0, -1),
    ]
    old = list(liar.governor.disk.decided.values())
    if old:
        lies.append(Decided(value, old[-1].signatures[:1] * len(value.payloads)))
    return [effect, *liar.to(liar.targets(effect)[:2], liar.rng.choice(lies))]


def forget(liar, effect, message):
    """Lose the hard state now and then, and go on without it."""
    if liar.rng.random() < 0.03:
        liar.inner = Lawless(*liar.args[:4], None, liar.rng.randbytes(16))
        liar.inner.context.is_joined = True
        liar.inner.state.is_awake = True
        liar.inner.context.now_ms = liar.governor.clock_ms()
        liar.inner.restart.resume()
    return [effect]


def chatter(liar, effect, message):
    """Send random bytes, beacons with a wrong time, and answers without a question."""
    if liar.rng.random() < 0.7:
        return [effect]
    disk = liar.governor.disk
    late = values.make_beacon(disk.height - 1, disk.head, liar.rng.randrange(2**31))
    ordered = list(values.make_value(disk.height, disk.head, "smuggled").payloads)
    job = liar.rng.randbytes(16)
    noise = [
        liar.rng.randbytes(liar.rng.randrange(2, 60)),
        effect.data[: len(effect.data) // 2 + 2],
        codec.dump([ASK, job, [late]]),
        codec.dump([ASK, job, ordered]),
        codec.dump([ASK, job, list(values.make_members("smuggled"))]),
        codec.dump([ANSWER, job, job * 2, [job * 2], [job * 4]]),
    ]
    return [effect, Send(liar.targets(effect)[0], liar.rng.choice(noise))]


def twins(liar, effect, message):
    """Run two replicas with the same keys, each for one side of the governors (`Liar.second`)."""
    return [effect]


def be_silent(liar, effect, message):
    """Send nothing."""
    return []


BEHAVIOURS = {
    "equivocate": equivocate,
    "vote_twice": vote_twice,
    "submit_twice": submit_twice,
    "withhold": withhold,
    "whisper": whisper,
    "sign_wrongly": sign_wrongly,
    "replay": replay,
    "forge": forge,
    "forget": forget,
    "chatter": chatter,
    "be_silent": be_silent,
    TWINS: twins,
}

__all__ = ["BEHAVIOURS", "Liar"]
