"""Threshold signatures of governors verify with plain Ed25519 libraries."""

import interop_rig as rig
import pytest
from aiocoap import Code
from Crypto.Signature import eddsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from test_aiocoap import Client, by_edhoc, run

from writ.authority import capsule
from writ_host.keys.dkg import Dkg
from writ_host.keys.frost import SigningPackage, aggregate, commit, sign

SIGNERS = (1, 3, 4)
MESSAGE = b"what three of four have agreed on"


class Governors:
    """Three of four governors after a distributed key generation; the key was never assembled."""

    def __init__(self) -> None:
        machines = [Dkg.begin(b"interop".ljust(32, b"."), i, 3, 4) for i in range(1, 5)]
        for one in machines:
            for other in machines:
                other.receive_round1(one.identifier, one.round1())
        for one in machines:
            for recipient, share in one.round2().items():
                machines[recipient - 1].receive_round2(one.identifier, share)
        finished = [one.finish() for one in machines]
        self._keys = {key.identifier: key for key, _ in finished}
        self._group = finished[0][1]
        self.public = self._group.group_key

    def sign(self, message: bytes) -> bytes:
        """One signature of SIGNERS, 64 bytes."""
        nonces = {i: commit(self._keys[i]) for i in SIGNERS}
        commitments = [item.commitment for item in nonces.values()]
        package = SigningPackage(self.public, 3, message, commitments)
        shares = {i: sign(self._keys[i], nonces[i], package) for i in SIGNERS}
        return aggregate(self._group, package, shares)


@pytest.fixture(scope="module")
def governors() -> Governors:
    return Governors()


def test_pycryptodome_and_cryptography_verify_it(governors: Governors) -> None:
    signature = governors.sign(MESSAGE)
    key = eddsa.import_public_key(governors.public)
    eddsa.new(key, "rfc8032").verify(MESSAGE, signature)
    Ed25519PublicKey.from_public_bytes(governors.public).verify(signature, MESSAGE)
    with pytest.raises(ValueError, match="not authentic"):
        eddsa.new(key, "rfc8032").verify(MESSAGE + b"!", signature)


def test_a_device_obeys_it(make_device, governors: Governors, interpreter: str) -> None:
    """From a blank device to a policy that it enforces, all of it over CoAP."""
    founded = rig.Scope(governors)
    device = make_device(interpreter, founded=founded, blank=True).start()
    reader = founded.admit("reader", rig.READER)
    payload, foreign = capsule.parse(reader.capsule).payload, rig.PlainKey()
    forged = capsule.assemble(payload, foreign.sign(capsule.signing_input(payload)))

    async def hand_over(client: Client) -> None:
        early = await client.ask(Code.POST, "writ", reader.capsule)
        assert early.payload == b"35 NoScope"
        for raw in (founded.charter, device.peer.capsule, founded.policy_1):
            assert (await client.ask(Code.POST, "writ", raw)).code == Code.CHANGED
            assert (await client.ask(Code.POST, "writ", raw)).code == Code.VALID
        refused = await client.ask(Code.POST, "writ", forged)
        assert (refused.code, refused.payload) == (Code.BAD_REQUEST, b"29 BadSignature")
        refused = await client.ask(Code.POST, "writ", forged)
        assert (refused.code, refused.payload) == (Code.BAD_REQUEST, b"34 KnownBad")
        assert (await client.ask(Code.POST, "writ", reader.capsule)).code == Code.CHANGED

    async def read(client: Client) -> None:
        assert await client.get("temp") == b"21.1"
        assert (await client.ask(Code.GET, "secret")).code == Code.FORBIDDEN

    run(device, None, hand_over)
    run(device, by_edhoc(reader, device), read)
