"""Invocation: hands an action to its target, then makes the request that the action allows."""

from ..authority import capsule
from ..wire import coap
from .context import PREFIX


def act(node, target, method, path, payload, action, on_answer):
    """As `Delegate.act`, for `node`. Raises a `Rejection` for bytes that are no action."""
    wanted = capsule.Action(capsule.parse(action)).target

    def handed(answer):
        if not answer.is_success():
            if on_answer:
                on_answer(answer)
            return
        node.later(
            lambda now_ms: node.request(
                method, path, payload, node.address_of(wanted), wanted, on_answer=on_answer
            )
        )

    if ":" in target:
        node.later(
            lambda now_ms: node.request(coap.POST, PREFIX, action, target, wanted, on_answer=handed)
        )
    else:
        node.ask(target, coap.POST, PREFIX, action, handed)
