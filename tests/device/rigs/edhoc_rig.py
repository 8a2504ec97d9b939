"""EDHOC sessions at every step of RFC 9529, trace 2, for the tests of edhoc.py."""

import vectors_edhoc as v
from edhoc_more import read_4

from writ import cbor
from writ.wire import edhoc

KID_I = ("kid", b"\x2b")
KID_R = ("kid", b"\x32")
CWT = cbor.encode([b"\xa1\x01\x26", {}, b"claims", bytes(64)])


def initiator(labels=(), suites=(6, 2), cls=edhoc.Initiator):
    return cls(v.SK_I, v.C_I, labels, suites, v.X)


def responder(labels=(), cls=edhoc.Responder):
    return cls(v.SK_R, v.C_R, labels, v.Y)


def started(labels=(), cls=edhoc.Initiator):
    """An initiator that waits for message 2."""
    side = initiator(labels, cls=cls)
    side.message_1()
    return side


def answered(labels=(), cls=edhoc.Responder):
    """A responder that waits for message 3, and what it answered."""
    side = responder(labels, cls)
    side.read_1(v.MESSAGE_1)
    return side, side.message_2(KID_R, v.CRED_R)


class ForgingResponder(edhoc.Responder):
    """Sends a message 2 with any plaintext: anyone can encrypt one."""

    forged = b""

    def _prove(self, *args):
        return self.forged


class ForgingInitiator(edhoc.Initiator):
    """Sends a message 3 with any plaintext: the responder's public key is enough."""

    forged = b""

    def _prove(self, *args):
        return self.forged


def forged_2(plaintext):
    forger = responder(cls=ForgingResponder)
    forger.forged = plaintext
    forger.read_1(v.MESSAGE_1)
    # the session's transcript does not go on, but message 2 is as good as any
    return forger.message_2(KID_R, v.CRED_R)


def forged_3(plaintext):
    forger = started(cls=ForgingInitiator)
    forger.forged = plaintext
    side, message_2 = answered()
    forger.read_2(message_2)
    forger.verify_2(v.CRED_R, v.PK_R)
    return side, forger.message_3(KID_I, v.CRED_I)


def run(id_i, cred_i, id_r, cred_r, eads=((), (), (), ())):
    """A whole handshake between our two roles: (initiator, responder, what each was told)."""
    labels = (7, 65000)
    i = edhoc.Initiator(v.SK_I, b"i", labels)
    r = edhoc.Responder(v.SK_R, b"", labels)
    r.read_1(i.message_1(eads[0]))
    told_i = i.read_2(r.message_2(id_r, cred_r, eads[1]))
    i.verify_2(cred_r, v.PK_R)
    told_r = r.read_3(i.message_3(id_i, cred_i, eads[2]))
    r.verify_3(cred_i, v.PK_I)
    read_4(i, r.message_4(eads[3]))
    assert (i.c_i, i.c_r) == (r.c_i, r.c_r) == (b"i", b"")
    assert i.oscore() == r.oscore() and i.oscore()[0] != v.MASTER_SECRET
    return i, r, told_i, told_r


def paired():
    """Two sides before message 4."""
    i = started()
    r, message_2 = answered()
    i.read_2(message_2)
    i.verify_2(v.CRED_R, v.PK_R)
    r.read_3(i.message_3(KID_I, v.CRED_I))
    r.verify_3(v.CRED_I, v.PK_I)
    return i, r
