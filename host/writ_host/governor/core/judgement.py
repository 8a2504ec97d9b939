"""The judgement of one governor on a proposal, kept for a while."""

from ... import codec
from ...errors import HostError
from ..proposals.judge import Verdict, judge, refusal
from ..proposals.proposal import Proposal
from .context import CoreContext

# Names get taken and statements expire, so no judgement counts for longer.
JUDGED_MS = 15000


def judgement(context: CoreContext, proposal: Proposal) -> Verdict:
    """This governor's judgement of a proposal against the state in force."""
    now_ms = context.now_ms
    if proposal.verdict is None or now_ms - proposal.judged_ms > JUDGED_MS:
        proposal.verdict = _judge(context, proposal)
        proposal.judged_ms = now_ms
    return proposal.verdict


def _judge(context: CoreContext, proposal: Proposal) -> Verdict:
    view = context.view()
    try:
        return judge(proposal.payloads, proposal.evidence, view)
    except HostError:
        raise
    except Exception as error:
        if context.on_defect is None:
            raise
        # refused at each tick, and after each restart, rather than the end of the process
        source = f"governor {proposal.proposer}"
        context.on_defect(error, source, codec.dump(proposal.to_item()))
        return refusal("a bug of this version keeps this governor from judging it", view)
