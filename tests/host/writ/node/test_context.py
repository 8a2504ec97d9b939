"""The parts of a node work on its context alone, and need no `Node`."""

import signer
from fakeflash import MemoryFlash
from node_rig import EXPIRES, SENSOR, member, policy, private

from writ.authority.store import Store
from writ.errors import TableFull, TimedOut
from writ.limits import REQUESTS_MAX
from writ.node.call import Call
from writ.node.client import Client
from writ.node.context import PREFIX, NodeContext
from writ.node.server import Request, Server
from writ.node.sync import Sync
from writ.wire import coap


def joined():
    """A provisioned context with a client and a sync."""
    context = NodeContext(Store(MemoryFlash()), private("soil"), "soil", signer.scope())
    context.join(Client(context), Sync(context))
    for raw in (signer.charter(), member("soil", 2, SENSOR, EXPIRES), policy()):
        context.authority.receive(raw, 0)
    return context


def test_a_client_makes_calls_without_a_node():
    context = joined()
    answers = []
    calls = [
        Call("gw", None, coap.GET, "temp", (), b"", None, answers.append)
        for _ in range(REQUESTS_MAX + 1)
    ]
    (first,) = context.client.call(calls[0], 0)
    assert first[0] == "gw" and coap.decode(first[1]).path() == ".well-known/edhoc"
    # the other calls wait for the same handshake, but for the one that is too many
    assert [context.client.call(call, 0) for call in calls[1:]] == [[]] * REQUESTS_MAX
    assert [type(answer.rejection) for answer in answers] == [TableFull]
    (handshake,) = context.client.handshakes.values()
    assert handshake.failed(TimedOut(), 1) == [] and not context.client.handshakes
    assert len(answers) == REQUESTS_MAX + 1 and context.counters["TimedOut"] == REQUESTS_MAX


def test_a_sync_serves_without_a_node():
    context = joined()
    message = coap.Message(coap.CON, coap.GET)
    message.add_path(PREFIX + "/policy")
    request = Request(message, b"", context.authority.me, "gw")
    assert context.sync.serve(request, 0) == (coap.CONTENT, policy())


def test_a_server_answers_without_a_node():
    context = joined()
    message = coap.Message(coap.CON, coap.GET, 7, b"t")
    message.add_path(".well-known/core")
    ((address, datagram),) = Server(context).serve(message, "gw", 0)
    assert address == "gw" and b"core.edhoc" in coap.decode(datagram).payload
