"""A stock aiocoap client with an OSCORE context whose keys the operator gave to both sides."""

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import interop_rig as rig
import pytest
from aiocoap import Code, Message
from aiocoap.oscore import NotAProtectedMessage, ProtectionInvalid
from test_aiocoap import ANSWER_S, Client, hand_over, run

from writ.agent import Node
from writ.authority.store import FileFlash, Store
from writ.errors import UsageError

SECRET = "0102030405060708090a0b0c0d0e0f10"
SALT = "9e7ca92223786340"


@dataclass
class Preshared:
    """A device with a preshared context, and the same context on the client's side."""

    device: rig.Device
    reader: rig.Peer
    relay: rig.Relay
    context: Path

    @property
    def uri(self) -> str:
        return f"coap://{rig.HOST}:{self.relay.port}"

    def run(self, session: Any) -> None:
        credentials = {f"{self.uri}/*": {"oscore": {"basedir": str(self.context)}}}
        run(self.device, credentials, session, self.uri)


def device_entry(reader: rig.Peer, **changes: str) -> dict[str, str]:
    """What a provisioning tool writes into the device's config.json, under "oscore"."""
    entry = {"member": reader.capsule.hex(), "secret": SECRET, "salt": SALT}
    return {**entry, "id": "0d", "peer_id": "c1c1", **changes}


@pytest.fixture
def preshared(start_device, scope, interpreter: str, tmp_path: Path) -> Iterator[Preshared]:
    reader = scope.admit("reader", rig.READER)
    device = start_device(interpreter, oscore=[device_entry(reader)])
    context = tmp_path / "context"
    context.mkdir()
    settings = {
        "secret_hex": SECRET,
        "salt_hex": SALT,
        "sender-id_hex": "c1c1",
        "recipient-id_hex": "0d",
    }
    (context / "settings.json").write_text(json.dumps(settings))
    relay = rig.Relay(device.port)
    yield Preshared(device, reader, relay, context)
    relay.close()


@dataclass
class Sealed:
    """What the wire shows of one protected message."""

    nonce: tuple[str, bytes]  # whose id and number it is made of
    ciphertext: bytes
    has_own_number: bool


def sealed_by_device(datagrams: list[tuple[bool, bytes]]) -> list[Sealed]:
    """All protected answers and notifications of the device, in order."""
    found = []
    asked: dict[bytes, bytes] = {}
    for from_device, data in datagrams:
        message = Message.decode(data)
        option = message.opt.oscore
        if option is None:
            continue
        number = option[1 : 1 + (option[0] & 7)] if option else b""
        if not from_device:
            asked[message.token] = number
            continue
        nonce = ("device", number) if number else ("client", asked[message.token])
        found.append(Sealed(nonce, message.payload, bool(number)))
    return found


def check_nonces(datagrams: list[tuple[bool, bytes]]) -> list[Sealed]:
    """No nonce has two ciphertexts (the same datagram may be sent twice)."""
    found = sealed_by_device(datagrams)
    used: dict[tuple[str, bytes], bytes] = {}
    for sealed in found:
        assert used.setdefault(sealed.nonce, sealed.ciphertext) == sealed.ciphertext, sealed.nonce
    assert found
    return found


def test_read_observe_and_refusal(preshared: Preshared, scope) -> None:
    async def session(client: Client) -> None:
        assert await client.get("temp") == b"21.1"
        denied = await client.ask(Code.GET, "secret")
        assert (denied.code, denied.payload) == (Code.FORBIDDEN, b"40 NotAllowed")
        request = client.context.request(client.message(Code.GET, "temp", observe=0))
        assert (await asyncio.wait_for(request.response, ANSWER_S)).payload == b"21.2"
        seen: list[bytes] = []
        async for notification in request.observation:
            seen.append(notification.payload)
            if len(seen) == 3:
                break
        assert seen == [b"21.3", b"21.4", b"21.5"]
        request.observation.cancel()
        body = bytes(range(200)) * 6
        client.remote.maximum_block_size_exp = 4
        stored = await client.ask(Code.PUT, "table", body)
        assert (stored.code, stored.payload) == (Code.CHANGED, b"1200 bytes from reader")
        assert await client.get("table") == body
        await asyncio.to_thread(hand_over, preshared.device, scope.revoking(preshared.reader))
        refused = await client.ask(Code.GET, "temp")
        assert (refused.code, refused.payload) == (Code.FORBIDDEN, b"30 Revoked")

    preshared.run(session)
    check_nonces(preshared.relay.datagrams)


def test_power_cuts_reuse_no_nonce_and_accept_no_replay(preshared: Preshared) -> None:
    """After each cut the first request is answered through an Echo (RFC 8613, B.1.2)."""
    device, relay = preshared.device, preshared.relay
    replies: list[tuple[bool, bytes]] = []

    def replay() -> None:
        """Send all that the client ever sent, from an address of its own."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
            attacker.settimeout(2)
            attacker.connect((rig.HOST, device.port))
            for from_device, data in list(relay.datagrams):
                message = Message.decode(data)
                if from_device or message.opt.oscore is None:
                    continue
                attacker.send(data)
                replies.append((False, data))
                answer = attacker.recv(2048)
                replies.append((True, answer))
                # neither the value nor a session for the attacker
                assert Message.decode(answer).opt.observe is None

    async def session(client: Client) -> None:
        for cut in range(4):
            if cut:
                device.kill()
                await asyncio.to_thread(device.start)
                # unread yet: a replay did not reach the resource either
                await asyncio.to_thread(replay)
            before = len(relay.datagrams)
            # a restarted device counts its readings from 1
            assert await client.get("temp") == b"21.1"
            exchanged = len(relay.datagrams) - before
            assert exchanged == (4 if cut else 2)
            request = client.context.request(client.message(Code.GET, "temp", observe=0))
            await asyncio.wait_for(request.response, ANSWER_S)
            async for _ in request.observation:
                break
            request.observation.cancel()

    preshared.run(session)
    sealed = check_nonces(relay.datagrams + replies)
    own = [int.from_bytes(one.nonce[1], "big") for one in sealed if one.has_own_number]
    assert len(own) > 8
    # every start goes on above all that was reserved before
    assert max(own) > 3 * 64


def test_an_entry_without_a_valid_member_is_skipped(start_device, scope) -> None:
    """An entry whose member cannot be verified is skipped, and the others are served."""
    foreign = rig.Scope().admit("foreign", rig.READER)
    good = scope.admit("good", rig.READER)
    entries = [device_entry(foreign, id="0d", peer_id="0e"), device_entry(good, secret=SECRET * 2)]
    device = start_device(oscore=entries)
    assert device.process is not None and device.process.poll() is None

    async def session(client: Client) -> None:
        assert await client.get("temp") == b"21.1"

    for peer_id, secret, error in (("0e", SECRET, True), ("c1c1", SECRET * 2, False)):
        context = device.directory / f"context-{peer_id}"
        context.mkdir()
        settings = {"secret_hex": secret, "salt_hex": SALT, "recipient-id_hex": "0d"}
        settings["sender-id_hex"] = peer_id
        (context / "settings.json").write_text(json.dumps(settings))
        credentials = {f"{device.uri}/*": {"oscore": {"basedir": str(context)}}}
        if error:
            with pytest.raises(NotAProtectedMessage) as refusal:
                run(device, credentials, session)
            assert refusal.value.plain_message.payload == b"60 UnknownContext"
        else:
            run(device, credentials, session)


def test_a_wrong_secret_opens_nothing(preshared: Preshared) -> None:
    settings = json.loads((preshared.context / "settings.json").read_text())
    settings["secret_hex"] = SECRET[::-1]
    (preshared.context / "settings.json").write_text(json.dumps(settings))

    async def session(client: Client) -> None:
        with pytest.raises((NotAProtectedMessage, ProtectionInvalid)):
            await client.get("temp")

    preshared.run(session)


@pytest.mark.parametrize(
    "entry", [{"secret": "not hex"}, {"secret": SECRET[:-2]}, {"id": 13}, {"id": "c1c1"}, {}]
)
def test_a_wrong_entry_is_the_operators_to_mend(scope, tmp_path: Path, entry: dict) -> None:
    reader = scope.admit("reader", rig.READER)
    peer = rig.provision(scope, tmp_path / "device", "device", blank=False)
    config = {"name": peer.name, "oscore": [{**device_entry(reader), **entry} if entry else "?"]}
    with pytest.raises(UsageError):
        Node(Store(FileFlash(str(tmp_path / "device"))), config)
