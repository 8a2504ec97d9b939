"""Byzantine governors: the real replica with its rules off, and what they do to its messages.

A liar holds its own keys and hears what it is sent; it can not sign for others. `BEHAVIOURS` may be
combined. All of them ignore locks and vote for whatever is proposed.
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
    Session,
    Share,
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
    """A replica whose messages `twist`s change; has the replica's face."""

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
        self.heard = []
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
            self.heard.append(event.data)
            del self.heard[:-LOG_MAX]
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
        """With a twin, the first one speaks to one side only."""
        return effects if self.twin is None else self.aside(effects, lambda to: to not in self.side)

    def second(self, act):
        """What the twin says, to the other side, as the same governor."""
        return [] if self.twin is None else self.aside(act(self.twin), lambda to: to in self.side)

    def aside(self, effects, wanted):
        said = []
        for effect in effects:
            if isinstance(effect, Send):
                said += [Send(to, effect.data) for to in self.targets(effect) if wanted(to)]
            else:
                said.append(effect)
        return said

    def lie(self, effects):
        said = []
        for effect in effects:
            batch = [effect]
            if isinstance(effect, Send):
                for twist in self.twists:
                    batch = [new for one in batch for new in self.twisted(twist, one)]
            said += batch
        return said

    def twisted(self, twist, effect):
        try:
            message = messages.decode(effect.data)
        except HostError:
            return [effect]
        return twist(self, effect, message)

    # --- helpers ----------------------------------------------------------------------------------

    def seal(self, message):
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
        """Another value for the height: a good one, or one that nobody should accept."""
        if self.rng.random() < 0.3:
            disk = self.governor.disk
            return values.make_value(disk.height, disk.head, values.BAD)
        known = [one.value for one in self.state.proposals.values()]
        known += list(self.state.candidates.values())
        return self.rng.choice(known) if known else self.governor.world.new_value(self.governor)


def equivocate(liar, effect, message):
    """As proposer, one value to some and another to others; and votes to match."""
    if not isinstance(message, RoundProposal) or message.sender != liar.governor.number:
        return [effect]
    here, there = liar.halves(effect)
    other = liar.seal(replace(message, value=liar.governor.world.new_value(liar.governor)))
    sends = liar.to(here, message) + liar.to(there, other)
    for targets, proposal in ((here, message), (there, other)):
        vote = liar.inner.context.nonces.commit(len(proposal.value.payloads))
        place = message.sender, message.height, message.round, proposal.value.digest
        sends += liar.to(targets, liar.seal(Prevote(*place, 1, vote)))
    return sends


def vote_twice(liar, effect, message):
    """A prevote for each side of the room."""
    if not isinstance(message, Prevote) or message.sender != liar.governor.number:
        return [effect]
    here, there = liar.halves(effect)
    value = liar.rival()
    digest = liar.rng.choice((None, value.digest))
    vote = liar.inner.context.nonces.commit(len(value.payloads)) if digest else ()
    other = liar.seal(replace(message, digest=digest, commitments=vote))
    return liar.to(here, message) + liar.to(there, other)


def submit_twice(liar, effect, message):
    """Wants one thing of some and another of others, so that those who vote at once differ."""
    if not isinstance(message, Submit):
        return [effect]
    here, there = liar.halves(effect)
    other = Submit(liar.governor.world.new_value(liar.governor))
    return liar.to(here, message) + liar.to(there, other)


def withhold(liar, effect, message):
    """Takes a place in every session, and does not sign."""
    if isinstance(message, Share) and liar.rng.random() < 0.8:
        return []
    return [effect]


def whisper(liar, effect, message):
    """Tells only a few: locks that one governor has, decisions that one governor knows."""
    if isinstance(message, RoundProposal | Prevote | Share | Session | PrevoteQuorum):
        targets = liar.targets(effect)
        return [Send(one, effect.data) for one in targets[: liar.rng.randrange(len(targets) + 1)]]
    return [effect]


def sign_wrongly(liar, effect, message):
    """Shares that are none."""
    if not isinstance(message, Share):
        return [effect]
    wrong = tuple(liar.rng.randbytes(31) + b"\0" for _ in message.shares)
    return liar.to(liar.targets(effect), liar.seal(replace(message, shares=wrong)))


def replay(liar, effect, message):
    """Old messages, its own and others', of this round and of rounds long gone."""
    again = liar.rng.sample(liar.heard, min(len(liar.heard), liar.rng.choice((0, 0, 1, 4))))
    liar.heard.append(effect.data)
    return [effect, *(Send(liar.targets(effect)[0], data) for data in again)]


def forge(liar, effect, message):
    """Quorums that never were, decisions without a signature, evidence that nobody signed."""
    if not isinstance(message, Status):
        return [effect]
    value = liar.rival()
    height, me = message.height, liar.governor.number
    round_ = max(0, message.round + liar.rng.choice((-1, 0, 1, 3)))
    votes = liar.state.votes.all()
    own = liar.seal(Prevote(me, height, round_, value.digest, 1, ()))
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
        liar.seal(proposal),
        Decided(value, tuple(liar.rng.randbytes(64) for _ in value.payloads)),
        Session(height, round_, value.digest, proof),
        Seen(bytes(16), replace(own, sender=liar.rng.choice(numbers), counter=10**6)),
        Status(height, round_ + liar.rng.choice((0, 50)), True, False, 0, -1),
    ]
    old = list(liar.governor.disk.decided.values())
    if old:
        lies.append(Decided(value, old[-1].signatures[:1] * len(value.payloads)))
    return [effect, *liar.to(liar.targets(effect)[:2], liar.rng.choice(lies))]


def forget(liar, effect, message):
    """Loses its record now and then, and goes on as if it had promised nothing."""
    if liar.rng.random() < 0.03:
        liar.inner = Lawless(*liar.args[:4], None, liar.rng.randbytes(16))
        liar.inner.context.is_joined = True
        liar.inner.state.is_awake = True
        liar.inner.context.now_ms = liar.governor.clock_ms()
        liar.inner.restart.resume()
    return [effect]


def chatter(liar, effect, message):
    """Bytes that are nothing, beacons of another day, answers to questions that nobody asked."""
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
    """Two replicas with the same keys, each for one side of the room (`Liar.second`)."""
    return [effect]


def be_silent(liar, effect, message):
    """Says nothing at all."""
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
