"""A stock aiocoap client with EDHOC against a device: it names itself by a CCS of its key.

aiocoap makes a handshake for each request whose `remote` is not that of an earlier answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiocoap
import interop_rig as rig
import pytest
from aiocoap import Code, Message
from aiocoap.edhoc import CoseKeyForEdhoc
from aiocoap.oscore import NotAProtectedMessage

from writ import crypto

ANSWER_S = 10
TABLE = bytes(range(256)) * 5 + b"end"


def by_edhoc(peer: rig.Peer, device: rig.Device, **changes: Any) -> dict[str, Any]:
    """aiocoap's credentials for `peer`, which knows the device's key; `changes` replace some."""
    key = CoseKeyForEdhoc.from_map({1: 2, -1: 1, -4: peer.private})
    kid = peer.address.to_bytes(2, "big")
    pair = {
        "suite": 2,
        "method": 3,
        "own_cred_style": "by-value",
        "own_cred": key.as_ccs(kid, peer.name),
        "private_key": key.secret_to_map(),
        "peer_cred": device.peer.ccs(),
        **changes,
    }
    found = {name: value for name, value in pair.items() if value is not None}
    return {f"{device.uri}/*": {"edhoc-oscore": found}}


class Client:
    """One aiocoap context; after the first answer it stays in the session of that answer."""

    def __init__(self, context: aiocoap.Context, uri: str) -> None:
        self.context = context
        self.uri = uri
        self.remote: Any = None

    def message(self, code: Code, path: str, payload: bytes = b"", **options: Any) -> Message:
        message = Message(code=code, uri=f"{self.uri}/{path}", payload=payload, **options)
        if self.remote is not None:
            message.remote = self.remote
        return message

    async def ask(self, code: Code, path: str, payload: bytes = b"", **options: Any) -> Message:
        request = self.context.request(self.message(code, path, payload, **options))
        response = await asyncio.wait_for(request.response, ANSWER_S)
        self.remote = response.remote
        return response

    async def get(self, path: str) -> bytes:
        response = await self.ask(Code.GET, path)
        assert response.code == Code.CONTENT, response
        payload: bytes = response.payload
        return payload


def run(
    device: rig.Device,
    credentials: dict[str, Any] | None,
    session: Callable[[Client], Awaitable[None]],
    uri: str | None = None,
) -> None:
    """Run `session` with a new aiocoap client of the device."""

    async def main() -> None:
        context = await aiocoap.Context.create_client_context()
        try:
            context.client_credentials.load_from_dict(credentials or {})
            await session(Client(context, uri or device.uri))
        finally:
            await context.shutdown()

    asyncio.run(main())


def hand_over(device: rig.Device, *capsules: bytes) -> None:
    """Hand capsules to the device without a session: a plain POST to "writ"."""

    async def session(client: Client) -> None:
        for raw in capsules:
            assert (await client.ask(Code.POST, "writ", raw)).code == Code.CHANGED

    run(device, None, session)


@pytest.mark.parametrize("combined", [True, False], ids=["combined", "message_4"])
@pytest.mark.parametrize("style", ["by-value", "by-key-id"])
def test_read(start_device, scope, interpreter: str, style: str, combined: bool) -> None:
    device = start_device(interpreter)
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)

    async def session(client: Client) -> None:
        assert await client.get("temp") == b"21.1"
        assert await client.get("temp") == b"21.2"
        denied = await client.ask(Code.GET, "secret")
        assert (denied.code, denied.payload) == (Code.FORBIDDEN, b"40 NotAllowed")

    run(
        device,
        by_edhoc(reader, device, own_cred_style=style, use_combined_edhoc=combined),
        session,
    )


def test_the_device_sends_its_credential_where_it_is_asked_for(start_device, scope) -> None:
    device = start_device()
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)

    async def session(client: Client) -> None:
        assert await client.get("temp") == b"21.1"

    run(device, by_edhoc(reader, device, peer_cred={"unauthenticated": True}), session)


def test_a_device_with_another_key_is_refused(start_device, scope) -> None:
    device = start_device()
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)
    impostor = scope.admit(device.peer.name, rig.SENSOR)

    async def session(client: Client) -> None:
        with pytest.raises(Exception, match="MacVerificationFailed"):
            await client.get("temp")

    run(device, by_edhoc(reader, device, peer_cred=impostor.ccs()), session)


def test_observe(start_device, scope, interpreter: str) -> None:
    device = start_device(interpreter)
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)

    async def session(client: Client) -> None:
        request = client.context.request(client.message(Code.GET, "temp", observe=0))
        first = await asyncio.wait_for(request.response, ANSWER_S)
        assert (first.code, first.payload) == (Code.CONTENT, b"21.1")
        seen: list[bytes] = []
        # more than 8, so that a confirmable notification is among them
        async for notification in request.observation:
            assert notification.code == Code.CONTENT
            seen.append(notification.payload)
            if len(seen) == 10:
                break
        assert seen == [b"21.%d" % i for i in range(2, 12)]
        request.observation.cancel()
        client.remote = first.remote
        # none of the values after the revocation
        assert (await client.get("temp")).startswith(b"21.")

    run(device, by_edhoc(reader, device), session)


def test_a_revoked_observer_gets_a_refusal_and_no_more(start_device, scope) -> None:
    device = start_device()
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)

    async def session(client: Client) -> None:
        request = client.context.request(client.message(Code.GET, "temp", observe=0))
        await asyncio.wait_for(request.response, ANSWER_S)
        handed = asyncio.to_thread(hand_over, device, scope.revoking(reader))
        task = asyncio.create_task(handed)
        last = None
        async for notification in request.observation:
            last = notification
            if last.code != Code.CONTENT:
                break
        await task
        assert last is not None
        assert (last.code, last.payload) == (Code.FORBIDDEN, b"30 Revoked")

    run(device, by_edhoc(reader, device), session)


@pytest.mark.parametrize("szx", [5, 4, 2])
def test_bodies_in_blocks(start_device, scope, szx: int) -> None:
    device = start_device()
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)

    async def session(client: Client) -> None:
        assert await client.get("table") == b""
        client.remote.maximum_block_size_exp = szx
        for code, size in ((Code.PUT, len(TABLE)), (Code.POST, len(TABLE) + 600)):
            body = TABLE if code == Code.PUT else TABLE[:600]
            stored = await client.ask(code, "table", body)
            assert (stored.code, stored.payload) == (Code.CHANGED, b"%d bytes from reader" % size)
            client.remote.maximum_block_size_exp = szx
        assert await client.get("table") == TABLE + TABLE[:600]

    run(device, by_edhoc(reader, device), session)


def test_a_request_too_large_for_a_device_is_refused_at_once(start_device, scope) -> None:
    """aiocoap sends up to 1024 bytes in one message, unless it is told to send fewer."""
    device = start_device()
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)

    async def session(client: Client) -> None:
        assert await client.get("temp") == b"21.1"
        for size in (700, 1024, 1500):
            with pytest.raises(NotAProtectedMessage) as refusal:
                await client.ask(Code.PUT, "table", bytes(size))
            refused = refusal.value.plain_message
            assert (refused.code, refused.payload) == (
                Code.REQUEST_ENTITY_TOO_LARGE,
                b"10 TooLarge",
            )
        assert await client.get("temp") == b"21.2"

    run(device, by_edhoc(reader, device), session)


def test_a_revoked_client_is_refused_at_its_next_request(start_device, scope) -> None:
    device = start_device()
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)

    async def session(client: Client) -> None:
        assert await client.get("temp") == b"21.1"
        await asyncio.to_thread(hand_over, device, scope.revoking(reader))
        for path in ("temp", "writ/status", "writ/policy", ".well-known/core"):
            refused = await client.ask(Code.GET, path)
            assert (refused.code, refused.payload) == (Code.FORBIDDEN, b"30 Revoked"), path
        for size in (4, 1200):
            client.remote.maximum_block_size_exp = 5
            refused = await client.ask(Code.PUT, "table", bytes(size))
            assert (refused.code, refused.payload) == (Code.FORBIDDEN, b"30 Revoked")
        # nor does a new handshake help
        client.remote = None
        with pytest.raises(NotAProtectedMessage):
            await client.ask(Code.GET, "temp")

    run(device, by_edhoc(reader, device), session)


def test_a_renewed_capsule_counts_at_the_next_request(start_device, scope) -> None:
    device = start_device()
    reader = scope.admit("reader", rig.READER)
    hand_over(device, reader.capsule)
    renewed = scope.member(reader.private, reader.name, reader.address, rig.OTHER, days=2)

    async def session(client: Client) -> None:
        assert await client.get("temp") == b"21.1"
        assert (await client.ask(Code.GET, "other")).code == Code.FORBIDDEN
        await asyncio.to_thread(hand_over, device, renewed)
        assert await client.get("other") == b"role 3"
        assert (await client.ask(Code.GET, "temp")).code == Code.FORBIDDEN

    run(device, by_edhoc(reader, device), session)


@pytest.mark.parametrize("combined", [True, False], ids=["combined", "message_4"])
@pytest.mark.parametrize("who", ["unknown", "unauthenticated", "other-scope", "stolen-name"])
def test_a_stranger_gets_nothing(start_device, scope, who: str, combined: bool) -> None:
    device = start_device()
    member = scope.admit("reader", rig.READER)
    stranger = rig.Scope().admit("reader", rig.READER)
    hand_over(device, member.capsule)

    async def foreign_capsule(client: Client) -> None:
        refused = await client.ask(Code.POST, "writ", stranger.capsule)
        assert (refused.code, refused.payload) == (Code.BAD_REQUEST, b"29 BadSignature")

    async def session(client: Client) -> None:
        with pytest.raises((NotAProtectedMessage, aiocoap.error.Error)) as refusal:
            await client.ask(Code.GET, "temp")
        assert "21." not in repr(refusal.value)

    changes: dict[str, Any] = {"use_combined_edhoc": combined}
    if who == "other-scope":
        run(device, None, foreign_capsule)
    if who == "unauthenticated":
        changes.update(own_cred={"unauthenticated": True}, private_key=None, own_cred_style=None)
    if who == "stolen-name":
        # the member's credential, by its kid, without the member's key
        changes.update(own_cred=member.ccs(), own_cred_style="by-key-id")
    credentials = by_edhoc(stranger, device, **changes)
    run(device, credentials, session)
    # and the device goes on serving its members
    run(device, by_edhoc(member, device), lambda client: client.get("temp"))


def test_without_any_security(start_device) -> None:
    device = start_device()

    async def session(client: Client) -> None:
        core = await client.ask(Code.GET, ".well-known/core")
        assert core.code == Code.CONTENT
        assert core.opt.content_format == aiocoap.numbers.ContentFormat.LINKFORMAT
        assert core.payload.startswith(
            b'</.well-known/edhoc>;rt="core.edhoc",</writ>;rt="writ";scope='
        )
        found = await client.ask(Code.GET, ".well-known/core?rt=core.edhoc")
        assert found.payload == b'</.well-known/edhoc>;rt="core.edhoc"'
        for code, path in (
            (Code.GET, "temp"),
            (Code.PUT, "table"),
            (Code.GET, "writ/policy"),
            (Code.GET, "writ/status"),
            (Code.GET, "no/such/path"),
        ):
            refused = await client.ask(code, path)
            assert (refused.code, refused.payload) == (Code.UNAUTHORIZED, b"43 NotMember"), path
        request = await client.ask(Code.GET, "writ/request")
        assert request.code == Code.CONTENT
        assert crypto.p256_public(bytes(31) + b"\x01")[0] not in request.payload
        assert device.peer.x in request.payload

    run(device, None, session)


def test_ping(start_device) -> None:
    device = start_device()
    assert rig.ping(device.port)
