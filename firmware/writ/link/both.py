"""The UDP link and the frame links of an agent, which it uses as one link."""


class BothLinks:
    """The UDP link and the frame links of an agent as one link.

    frames: the `FrameLinks`; other: the UDP link, which has all else that is asked of this one.
    """

    def __init__(self, frames, other, clock):
        self._frames = frames
        self._other = other
        self._clock = clock

    def __getattr__(self, name):
        return getattr(self._other, name)

    def receive(self, timeout_ms):
        """(datagram, address) or None."""
        return self._frames.wait(self._other, timeout_ms, self._clock)

    def send(self, address, data):
        """Send one datagram, or queue it for the mesh."""
        if self._frames.is_own(address):
            self._frames.send(address, data)
        else:
            self._other.send(address, data)

    def close(self):
        """Close all links."""
        self._other.close()
        for link in self._frames.links:
            link.close()
