"""A device as the client of a stock aiocoap server, which identifies itself by a CCS."""

import asyncio
import json
from typing import Any

import aiocoap
import interop_rig as rig
import pytest
from aiocoap import Code, Message, resource
from aiocoap.credentials import CredentialsMap
from aiocoap.defaults import get_default_servertransports
from aiocoap.edhoc import CoseKeyForEdhoc
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper

from writ import crypto

GET, PUT = 1, 3
ANSWER_S = 20
BIG = bytes(range(256)) * 7
# aiocoap would listen for TCP and WebSockets too, at ports that may be taken
TRANSPORTS = [
    name
    for name in get_default_servertransports(use_env=False)
    if name in ("oscore", "udp6", "simple6", "simplesocketserver")
]


class Reading(resource.ObservableResource):
    """Changes ten times a second; remembers as whom the server knows its clients."""

    def __init__(self) -> None:
        super().__init__()
        self.value = 0
        self.claims: list[list[str]] = []

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.value += 1
            self.updated_state()

    async def render_get(self, request: Message) -> Message:
        self.claims.append(list(request.remote.authenticated_claims))
        return Message(payload=b"%d" % self.value)


class Table(resource.Resource):
    """What was put there."""

    stored = BIG

    async def render_get(self, request: Message) -> Message:
        return Message(payload=self.stored)

    async def render_put(self, request: Message) -> Message:
        self.stored = request.payload
        return Message(code=Code.CHANGED, payload=b"%d" % len(self.stored))


class Closed(resource.Resource):
    """Refuses."""

    async def render_get(self, request: Message) -> Message:
        return Message(code=Code.FORBIDDEN, payload=b"closed")


def server_credentials(server: rig.Peer, uri: str, clients: dict[str, rig.Peer]) -> CredentialsMap:
    """The server's own key for `uri`, and the CCS of those it takes as clients."""
    key = CoseKeyForEdhoc.from_map({1: 2, -1: 1, -4: server.private})
    common = {"suite": 2, "method": 3}
    own = {"own_cred": server.ccs(), "private_key": key.secret_to_map()}
    entries: dict[str, Any] = {
        f"{uri}/*": {"edhoc-oscore": {**common, **own, "own_cred_style": "by-key-id"}}
    }
    for label, client in clients.items():
        entries[label] = {"edhoc-oscore": {**common, "peer_cred": client.ccs()}}
    found = CredentialsMap()
    found.load_from_dict(entries)
    return found


def serve(server: rig.Peer, clients: dict[str, rig.Peer], device: rig.Device) -> Reading:
    """Run `device` beside an aiocoap server until it has ended; returns what it read."""
    port = int(device.config["address"].split(":")[1])

    async def main() -> Reading:
        site = resource.Site()
        reading = Reading()
        site.add_resource(["reading"], reading)
        site.add_resource(["table"], Table())
        site.add_resource(["closed"], Closed())
        credentials = server_credentials(server, f"coap://{rig.HOST}:{port}", clients)
        context = await aiocoap.Context.create_server_context(
            OscoreSiteWrapper(site, credentials), bind=(rig.HOST, port), transports=TRANSPORTS
        )
        ticking = asyncio.create_task(reading.tick())
        try:
            await asyncio.to_thread(device.run, ANSWER_S)
        finally:
            ticking.cancel()
            await context.shutdown()
        return reading

    return asyncio.run(main())


def answers(device: rig.Device) -> list[list[Any]]:
    """The answers to the device: [code, payload or its digest, name of the peer, rejection]."""
    lines = device.output.splitlines()
    assert lines[-1] == "done", device.output
    found = [json.loads(line) for line in lines[:-1]]
    return [[code, bytes.fromhex(payload), *rest] for code, payload, *rest in found]


def client_config(server: rig.Peer, *ask: list[Any]) -> dict[str, Any]:
    """The config of a device that asks `server`, which is at a free port."""
    return {
        "program": "device_client.py",
        "peer": server.node_id.hex(),
        "member": server.capsule.hex(),
        "address": f"{rig.HOST}:{rig.free_port()}",
        "ask": ask,
    }


def test_read_observe_and_blocks(make_device, scope, interpreter: str) -> None:
    server = scope.admit("server", rig.READER)
    config = client_config(
        server,
        [GET, "reading", 0, 0],
        [GET, "table", 0, 0],
        [PUT, "table", 900, 0],
        [GET, "table", 0, 0],
        [GET, "closed", 0, 0],
        [GET, "reading", 0, 3],
    )
    device = make_device(interpreter, **config)
    reading = serve(server, {":the-device": device.peer}, device)
    found = answers(device)
    assert all(answer[2:] == ["server", None] for answer in found), found
    first, big, stored, again, closed, *observed = [answer[:2] for answer in found]
    assert first[0] == Code.CONTENT
    assert big == [Code.CONTENT, crypto.sha256(BIG)]
    assert stored == [Code.CHANGED, b"900"]
    assert again == [Code.CONTENT, crypto.sha256(b"ABCDEFGHIJ" * 90)]
    assert closed == [Code.FORBIDDEN, b"closed"]
    values = [int(payload) for _, payload in observed]
    assert len(values) == 4
    assert values == sorted(set(values))
    # the server knew the device by its CCS
    assert reading.claims
    assert all(claims == [":the-device"] for claims in reading.claims)


def test_a_server_that_is_no_member_is_not_asked(make_device, scope, interpreter: str) -> None:
    expected = scope.admit("server", rig.READER)
    impostor = rig.Scope().admit("server", rig.READER)
    # it claims the member's kid, which is no secret
    impostor.address = expected.address
    device = make_device(interpreter, **client_config(expected, [GET, "reading", 0, 0]))
    reading = serve(impostor, {":the-device": device.peer}, device)
    assert answers(device) == [[0, b"", None, "BadMac"]]
    assert reading.claims == []


@pytest.mark.parametrize("clients", [{}, {":other": "other"}], ids=["none", "another"])
def test_a_server_that_does_not_know_us(make_device, scope, clients: dict[str, str]) -> None:
    server = scope.admit("server", rig.READER)
    known = {label: scope.admit(name, rig.SENSOR) for label, name in clients.items()}
    device = make_device(**client_config(server, [GET, "reading", 0, 0]))
    reading = serve(server, known, device)
    ((code, _, _, rejection),) = answers(device)
    assert (code, rejection) == (0, "PeerFailed")
    assert reading.claims == []
