"""Handshakes that this node begins, and the calls that wait for them.

A part of client.py. It is loaded when a handshake begins, and unloaded when none is under way.
"""

from ..errors import BadSignature, KnownBad, PeerFailed, Rejection, Revoked, UnknownCredential
from ..wire import coap, edhoc_codec
from ..wire.coap import Message
from .context import EDHOC_PATH, FORMAT_EDHOC


class Handshake:
    """A handshake under way as initiator, and the calls that wait for its session."""

    def __init__(self, client, call, by_value, by_kid):
        self._client = client
        self.key = (call.address, call.wanted)
        self.calls = [call]
        self._by_value = by_value  # whether our capsule is sent by value
        self._by_kid = by_kid  # whether the peer may identify itself by its kid
        self._has_echoed = False
        self._initiator, self._message_1 = client.context.handshaker.start(by_kid)

    def send_1(self, now_ms, echo=None):
        """Send message_1, with an Echo option if the peer has asked for one."""
        message = Message(coap.CON, coap.POST)
        message.add_path(EDHOC_PATH)
        message.add(coap.CONTENT_FORMAT, FORMAT_EDHOC + 1)
        if echo:
            message.add(coap.ECHO, echo)
        message.payload = b"\xf5" + self._message_1
        return self._client.submit(message, self.key[0], self, now_ms)

    def close(self):
        """Forget the handshake; its calls are the caller's."""
        self._client.handshakes.pop(self.key, None)
        self._client.context.handshaker.end(self._initiator)

    def answered(self, message, address, now_ms):
        """Take message_2 or an error."""
        client = self._client
        context = client.context
        context.exchanges.end(address, message.token)
        echo = message.option(coap.ECHO)
        if message.code == coap.UNAUTHORIZED and echo and not self._has_echoed:
            # the peer is busy and wants a proof that this address is ours
            self._has_echoed = True
            return self.send_1(now_ms, echo)
        self.close()
        calls = self.calls
        if message.code != coap.CHANGED:
            return self._refused(peer_error(message), now_ms, False)
        try:
            session, message_3, epoch = context.handshaker.answer_2(
                self._initiator, message.payload, self._by_value, address, now_ms, calls[0].wanted
            )
        except Rejection as rejection:
            return self._refused(rejection, now_ms, self._by_kid)
        # what the peer has sent until now is not authenticated (RFC 9528, section 5.4.2)
        session.is_proven = False
        calls[0].by_value = self._by_value
        out = client.send(calls[0], session, now_ms, message_3)
        for call in calls[1:]:
            out += client.send(call, session, now_ms)
        return out if epoch is None else out + context.notice(session, epoch, now_ms)

    def _refused(self, rejection, now_ms, by_kid):
        client = self._client
        if isinstance(rejection, (BadSignature, KnownBad)):
            # a group key that is newer than ours may have certified the peer
            return client.catch_up(self.key[0], self.calls, rejection, now_ms)
        if isinstance(rejection, Revoked) and self.key[1]:
            # the wanted node itself: another capsule would be revoked, too
            by_kid = False
        out = []
        for call in self.calls:
            if by_kid:
                # the kid stood for a capsule known here: an older one of the peer, or of another
                # node that has the peer's short address
                call.by_kid = False
                out += client.retry(call, rejection, now_ms)
            else:
                client.finish(call, rejection=rejection)
        return out

    def failed(self, rejection, now_ms):
        """End the handshake and its calls."""
        self.close()
        for call in self.calls:
            self._client.finish(call, rejection=rejection)
        return []


def peer_error(message):
    """The rejection that an unprotected error means. It is not authenticated."""
    if message.option_uint(coap.CONTENT_FORMAT) == FORMAT_EDHOC:
        try:
            code, _ = edhoc_codec.parse_error(message.payload)
            if code == 3:
                return UnknownCredential()
        except Rejection as rejection:
            return rejection
    error = PeerFailed()
    error.text = message.payload
    return error
