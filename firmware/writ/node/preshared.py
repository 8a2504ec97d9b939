"""Sessions with keys that an operator has put on both sides, from config.json.

A part of session.py in a file of its own, loaded on demand: most devices have no such session.
"""

from .. import cbor, crypto
from ..authority import capsule as capsules
from ..authority.capsule import Member
from ..errors import AlreadyKnown, Rejection, StoreDamaged, TableFull, UsageError
from ..limits import PRESHARED_MAX


def preshare_all(node, entries):
    """Open the sessions of config.json's "oscore". Raises `UsageError` for an invalid entry.

    An entry is {"member": capsule, "secret":, "salt":, "id": ours, "peer_id":, "context": or
    absent}, all in hex.
    """
    for entry in entries:
        raw, keys = read_entry(entry)
        try:
            node.sessions.preshare(raw, keys)
        except StoreDamaged:
            # the sequence numbers are lost: these keys must not count from 0 again
            raise
        except Rejection as rejection:
            # this member is not admitted (yet); the other entries are served
            node.count(rejection)


def read_entry(entry):
    """(capsule, keys) of an entry of config.json's "oscore". Raises `UsageError`."""
    try:
        secret, salt, own_id, peer_id, raw = [
            bytes.fromhex(entry.get(key, ""))
            for key in ("secret", "salt", "id", "peer_id", "member")
        ]
        context = entry.get("context")
        context = None if context is None else bytes.fromhex(context)
    except (AttributeError, TypeError, ValueError):
        raise UsageError('config.json: an entry of "oscore" is not in hex') from None
    if len(secret) < 16:
        raise UsageError('config.json: a "secret" of "oscore" has 16 bytes or more')
    if max(len(own_id), len(peer_id)) > 7 or own_id == peer_id:
        raise UsageError(
            'config.json: the ids of "oscore" are two different ones of at most 7 bytes'
        )
    return raw, (secret, salt, own_id, peer_id, context)


def preshare(sessions, raw, keys):
    """As `Sessions.preshare`, for `sessions`."""
    secret, salt, sender_id, recipient_id, id_context = keys
    # the record's name is a digest of all that the sender key is derived from
    name = crypto.sha256(cbor.encode([secret, salt, sender_id, id_context]))
    record = "p" + name[:6].hex()
    saved = sessions._store.load(record)
    peer = Member(capsules.parse(raw))
    limit = 0
    known = None
    if saved:
        known, _, _, limit = cbor.decode(saved)
        known = Member(capsules.parse(known))
    if known and known.node_id == peer.node_id and known.expires >= peer.expires:
        # it was verified when it was saved, and may have been renewed since
        peer = known
    else:
        try:
            sessions._authority.receive(raw, 0)
        except AlreadyKnown:
            pass
    rival = sessions.by_kid(recipient_id)
    preshared = [s for s in sessions if s.is_preshared]
    for other in preshared:
        if other is rival or (other.keys[:2], other.keys[4]) == (keys[:2], id_context):
            raise UsageError("two preshared sessions with one id or one secret")
    if len(preshared) >= PRESHARED_MAX:
        raise TableFull()
    sessions.drop(rival)
    sessions._make_room()
    session = sessions._make(record, sessions._recall(peer), keys, None, False, limit)
    if saved:
        sessions._distrust(session)
        return session
    return sessions._begin(session)
