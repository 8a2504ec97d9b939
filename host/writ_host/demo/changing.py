"""What several steps do: certify a policy, tell the gateway alone, and see who learns of it."""

import time
from collections.abc import Sequence

from writ.wire import coap

from ..errors import HostError
from ..policy.source import PolicyFile
from ..scope import admission, issuance
from ..scope.delivery import Outcome, post_policy
from ..scope.folder import now_s
from ..scope.issuance import PolicyChange
from . import farm
from .farm import GATE
from .field import Field
from .founding import listing
from .relay import Heard

# "Within seconds": the gateway reads each sensor every 2 s, and the pump asks soil as often.
SPREAD_S = 30.0


def draft_policy(field: Field, text: str) -> PolicyChange:
    """Write policy.toml and run its tests. Raises `HostError` where one fails."""
    field.scope.policy_file.write_text(text)
    policy = PolicyFile.load(field.scope.policy_file)
    for result in policy.run_tests(field.scope.members.newest()):
        if not result.passed:
            raise HostError(result.explanation)
    return issuance.policy_change(field.scope, policy)


def certify_policy(field: Field, text: str) -> PolicyChange:
    """`draft_policy`, and have it certified."""
    change = draft_policy(field, text)
    issuance.issue(field.scope, change.drafts, field.council)
    return change


def propose_desk(field: Field, lifetime: str, title: str) -> str:
    """Propose to renew the operator's laptop, which wants an operator's word; the id."""
    request = admission.read_request(field.make_desk())
    later = admission.parse_expiry(lifetime, now_s())
    wanted = admission.prepare_admission(field.scope, request, None, later, None)
    return field.council.propose([wanted.draft], title)


def tell_gate(field: Field) -> list[Outcome]:
    """Hand the policy in force to the gateway, and to nobody else."""
    return post_policy(
        field.address(GATE),
        field.scope.policy_capsule() or b"",
        field.scope.amendment_capsule(),
        field.scope.beacon_capsules(),
    )


class Watch:
    """Begun before anybody is told: who learned of the policy in force, when, and from whom."""

    def __init__(self, field: Field, parts: Sequence[farm.Part]) -> None:
        self._field = field
        self._marks = {part.name: field[part].mark() for part in parts}
        self._since = time.monotonic()

    def wait(self, parts: Sequence[farm.Part]) -> list[str]:
        """What to say of each of them, once it has the epoch. Raises `NoAnswer`."""
        epoch = self._field.scope.epoch
        heard = []
        for part in parts:
            event = self._field[part].wait_until(
                lambda what: what["event"] == "epoch" and what["epoch"] == epoch,
                f"epoch {epoch}",
                self._marks[part.name],
                SPREAD_S,
            )
            who = listing(event.what["peers"]) or "a neighbour"
            heard.append(f"{part.name} after {event.at - self._since:.1f} s from {who}")
        return heard

    @property
    def posted(self) -> int:
        """How many capsules were handed to tank meanwhile."""
        return sum(_is_post(one) for one in self._field.relay.heard if one.at > self._since)

    @property
    def handshakes(self) -> int:
        """How many handshakes began on tank's wire meanwhile."""
        heard = self._field.relay.heard
        return sum(one.is_handshake for one in heard if one.at > self._since)


def _is_post(heard: Heard) -> bool:
    # a capsule that somebody hands to the node behind the relay
    message = heard.message
    return (
        not heard.outward
        and message is not None
        and message.code == coap.POST
        and message.option(coap.OSCORE) is None
        and message.path() == "writ"
    )
