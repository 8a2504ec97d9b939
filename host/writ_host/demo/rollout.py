"""A policy's rollout: certify it, deliver it to the gateway alone, and watch it reach the nodes."""

import time
from collections.abc import Sequence

from writ.wire import coap

from .. import files
from ..errors import HostError
from ..policy.source import PolicyFile
from ..scope import admission, issuance, policyfile
from ..scope.change import PolicyChange, policy_change
from ..scope.delivery import Outcome, post_policy
from ..scope.folder import now_s
from . import scenario
from .founding import listing
from .scenario import GATE
from .testbed import Testbed
from .wiretap import Datagram

# The limit of "within seconds": the gateway reads each sensor every 2 s, and the pump reads soil as
# often.
PROPAGATION_S = 30.0


def draft_policy(bed: Testbed, text: str) -> PolicyChange:
    """Write policy.toml and run its tests. Raises `HostError` where one fails."""
    files.write_atomically(bed.scope.policy_file, text.encode(), 0o644)
    policyfile.rebase(bed.scope, bed.scope.policy_file)
    policy = PolicyFile.load(bed.scope.policy_file)
    for result in policy.run_tests(bed.scope.members.newest()):
        if not result.passed:
            raise HostError(result.explanation)
    return policy_change(bed.scope, policy)


def certify_policy(bed: Testbed, text: str) -> PolicyChange:
    """Certify the policy as of `draft_policy`."""
    before = bed.scope.epoch, bed.scope.head
    change = draft_policy(bed, text)
    issuance.issue(bed.scope, change.drafts, bed.governors)
    policyfile.follow(bed.scope, bed.scope.policy_file, before)
    return change


def propose_desk(bed: Testbed, lifetime: str, title: str) -> str:
    """Propose to renew the operator's laptop, which needs one approval; returns the id."""
    request = admission.read_request(bed.make_desk())
    later = admission.parse_expiry(lifetime, now_s())
    wanted = admission.prepare_admission(bed.scope, request, None, later, None)
    return bed.governors.propose([wanted.draft], title)


def deliver_to_gateway(bed: Testbed) -> list[Outcome]:
    """Deliver the policy in force to the gateway, and to no other node."""
    return post_policy(
        bed.address(GATE),
        bed.scope.policy_capsule() or b"",
        bed.scope.amendment_capsule(),
        bed.scope.beacon_capsules(),
    )


class Watch:
    """Records which node received the policy in force, when, and from which peer.

    Make it before the policy is delivered to any node.
    """

    def __init__(self, bed: Testbed, specs: Sequence[scenario.NodeSpec]) -> None:
        self._bed = bed
        self._marks = {spec.name: bed[spec].mark() for spec in specs}
        self._since = time.monotonic()

    def wait(self, specs: Sequence[scenario.NodeSpec]) -> list[str]:
        """A text for each node, once it has the epoch in force. Raises `NoAnswer`."""
        epoch = self._bed.scope.epoch
        texts = []
        for spec in specs:
            event = self._bed[spec].wait_until(
                lambda what: what["event"] == "epoch" and what["epoch"] == epoch,
                f"epoch {epoch}",
                self._marks[spec.name],
                PROPAGATION_S,
            )
            peers = listing(event.what["peers"]) or "a peer"
            texts.append(f"{spec.name} after {event.at - self._since:.1f} s from {peers}")
        return texts

    @property
    def posted(self) -> int:
        """The number of capsules posted to tank since this watch began."""
        return sum(_is_capsule_post(one) for one in self._recorded())

    @property
    def handshakes(self) -> int:
        """The number of handshake messages on tank's wire since this watch began."""
        return sum(one.is_handshake for one in self._recorded())

    def _recorded(self) -> list[Datagram]:
        return [one for one in self._bed.wiretap.datagrams if one.at > self._since]


def _is_capsule_post(datagram: Datagram) -> bool:
    """Whether a datagram delivers a capsule to the node behind the wiretap."""
    message = datagram.message
    return (
        not datagram.outward
        and message is not None
        and message.code == coap.POST
        and message.option(coap.OSCORE) is None
        and message.path() == "writ"
    )
