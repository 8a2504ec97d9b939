"""All rejections and errors of Writ, with their codes. No other file defines any.

A `Rejection` is the peer's fault (bad input); a `UsageError` is the caller's.
Codes are stable: they appear in counters, in logs and on the wire (docs/wire.md).
"""


class WritError(Exception):
    """Base of everything that this package raises on purpose."""

    code = 0


class UsageError(WritError):
    """The caller has used the interface wrongly; no peer can cause this."""

    code = 1


class Rejection(WritError):
    """Input that was refused. `code` is stable; the class's name is the rejection's name."""

    code = 2


# Encoding, 10..19
class TooLarge(Rejection):
    """More bytes or items than limits.py allows."""

    code = 10


class Truncated(Rejection):
    """The input ends before the item does."""

    code = 11


class NotCanonical(Rejection):
    """Not the one deterministic encoding (RFC 8949, section 4.2.1)."""

    code = 12


class Unsupported(Rejection):
    """A CBOR type that this protocol never uses (float, tag, undefined...)."""

    code = 13


class TooDeep(Rejection):
    """Nested deeper than limits.py allows."""

    code = 14


class TrailingBytes(Rejection):
    """Bytes after the end of the item."""

    code = 15


# Capsules, 20..39
class BadShape(Rejection):
    """Well-formed CBOR, but not the structure that the format names."""

    code = 20


class UnknownKind(Rejection):
    """A capsule kind that this version does not apply."""

    code = 21


class WrongScope(Rejection):
    """Belongs to another scope."""

    code = 22


class RolledBack(Rejection):
    """An epoch older than the one in force, or a beacon older than the newest."""

    code = 23


class WrongPrevious(Rejection):
    """Does not follow from the policy in force."""

    code = 24


class EpochGap(Rejection):
    """An amendment for an epoch that is not the next one."""

    code = 25


class Forked(Rejection):
    """Another policy for the epoch in force: two certified states, which must not exist."""

    code = 26


class Expired(Rejection):
    """The capsule has expired.

    Its text: the time of this node in Unix seconds, and what certified that time.
    """

    code = 27


class NotYetValid(Rejection):
    """The capsule is not valid yet."""

    code = 28


class BadSignature(Rejection):
    """The signature does not verify."""

    code = 29


class Revoked(Rejection):
    """The node is revoked by the policy in force."""

    code = 30


class NotOurs(Rejection):
    """A member capsule for another node's key."""

    code = 31


class RateLimited(Rejection):
    """The rate limit of expensive checks is reached; try later."""

    code = 32


class AlreadyKnown(Rejection):
    """It is in force already; nothing to do."""

    code = 33


class KnownBad(Rejection):
    """The capsule has failed its signature check before; it is not checked again."""

    code = 34


class NoScope(Rejection):
    """This node has no charter yet."""

    code = 35


class WrongTarget(Rejection):
    """An action for another node."""

    code = 36


class ActionSpent(Rejection):
    """An action that was executed already."""

    code = 37


# Policy verdicts, 40..49
class NotAllowed(Rejection):
    """No rule of the policy allows it (default deny)."""

    code = 40


class NotFresh(Rejection):
    """The rule requires a newer beacon than the node has."""

    code = 41


class NeedsAction(Rejection):
    """The rule requires a certified action capsule."""

    code = 42


class NotMember(Rejection):
    """The peer has no valid member capsule."""

    code = 43


class NoPolicy(Rejection):
    """No policy is in force yet; everything is denied."""

    code = 44


# Airtime, 45..49
class DutyCycle(Rejection):
    """The regulator's duty cycle allows no such frame now (docs/limits.md)."""

    code = 45


class ClassAirtime(Rejection):
    """The route class has used its airtime of the policy, or has no row in it."""

    code = 46


class NeighbourAirtime(Rejection):
    """The neighbour has used its share of the airtime."""

    code = 47


# Frames and the mesh, 50..59
class BadFrame(Rejection):
    """Not a frame of this version: length, version or shape."""

    code = 50


class UnknownClass(Rejection):
    """The policy in force has no route for this class of frames."""

    code = 51


class BadMic(Rejection):
    """The MIC is not that of a link key in force, or the counter is far from the last one."""

    code = 52


class UnknownNeighbour(Rejection):
    """Its transmitter has not shown yet that its frames are fresh."""

    code = 53


class UnknownOrigin(Rejection):
    """The member capsule of the frame's origin or transmitter is not here yet.

    address: the short address of that member.
    """

    code = 54
    address = 0


class NotRouted(Rejection):
    """The route of this class does not allow origin, relay, kind of link or number of hops."""

    code = 55


class NoRoute(Rejection):
    """No neighbour leads to this address, or none has acknowledged."""

    code = 56


class MailboxFull(Rejection):
    """The mailbox of a sleeping child has no room for a message."""

    code = 57


# Sessions, 60..79
class UnknownContext(Rejection):
    """No OSCORE context for this key identifier."""

    code = 60


class Replayed(Rejection):
    """Sequence number used before or older than the replay window."""

    code = 61


class DecryptionFailed(Rejection):
    """The AEAD tag does not match."""

    code = 62


class EchoRequired(Rejection):
    """Freshness is not proved yet (RFC 9175); `echo` is the value to return, or None."""

    code = 63
    echo = None


class SequenceExhausted(Rejection):
    """The context has used all its sequence numbers; a new handshake is necessary."""

    code = 64


class BadPoint(Rejection):
    """Not a point of the curve, or one of small order."""

    code = 70


class WrongSuite(Rejection):
    """No EDHOC cipher suite in common; `suites`: what the peer supports."""

    code = 71
    suites = (2,)


class UnknownCredential(Rejection):
    """The peer named a credential that is not known here."""

    code = 72


class BadMac(Rejection):
    """The EDHOC MAC does not match: the peer is not the one that it claims to be."""

    code = 73


class OutOfOrder(Rejection):
    """A handshake message that does not fit the state."""

    code = 74


class CriticalEad(Rejection):
    """A critical EAD item that is not understood (RFC 9528, section 3.8)."""

    code = 75


class PeerFailed(Rejection):
    """The peer answered with an error of its own.

    error: EDHOC's (code, info), or None; text: the payload of a CoAP error, bytes.
    """

    code = 76
    error = None
    text = b""


class WrongAnswer(Rejection):
    """The answer of a host peer is not what it was asked for, even if it is valid."""

    code = 77


class StalePeer(Rejection):
    """A host peer whose epoch or beacon is older than ours."""

    code = 78


# CoAP, 80..89
class BadMessage(Rejection):
    """Not a CoAP message (RFC 7252, section 3)."""

    code = 80


class BadOption(Rejection):
    """A critical option that is unknown or malformed (RFC 7252, section 5.4)."""

    code = 81


class BlockMismatch(Rejection):
    """A block that does not continue the transfer (RFC 7959)."""

    code = 82


class TableFull(Rejection):
    """A table of limits.py is full."""

    code = 83


class TimedOut(Rejection):
    """No answer within the time that RFC 7252 allows."""

    code = 84


class NotFound(Rejection):
    """The node has no such resource, or no such capsule."""

    code = 85


class WrongMethod(Rejection):
    """The resource does not support this method."""

    code = 86


class ResourceFailed(Rejection):
    """The program of the node failed in the code of this resource."""

    code = 87


# Storage, 90..99
class StoreDamaged(Rejection):
    """No slot of a record is whole."""

    code = 90


class StoreFailed(Rejection):
    """A write to flash has failed: the flash is full or worn out."""

    code = 91
