"""A CoAP client and server on a link with faults, for tests of the message layer."""

from writ.wire import coap
from writ.wire.exchange import Exchanges


class Link:
    """A client and a server on a link that loses, doubles and delays datagrams.

    fates: of each datagram in order, "ok", "lost", "twice" or "late"; separate: which answers come
    in a message of their own.
    """

    def __init__(self, fates: list[str], separate: list[bool]) -> None:
        self.ends = {"client": Exchanges(), "server": Exchanges()}
        self.handled: list[bytes] = []
        self.concluded: list[int] = []
        self.failures = 0
        self._fates = fates
        self._separate = separate
        self._datagrams: list[tuple[int, str, bytes]] = []
        self._answers: list[tuple[int, coap.Message]] = []
        self._now_ms = 0

    def request(self, number: int) -> None:
        """Let the client send a request."""
        client = self.ends["client"]
        request = coap.Message(coap.CON, coap.GET)
        client.begin(request, "server", number)
        self._post("server", client.send(request, "server", self._now_ms))

    def _post(self, target: str, datagrams: list[tuple[str, bytes]]) -> None:
        now_ms = self._now_ms
        for _, data in datagrams:
            fate = self._fates.pop(0) if self._fates else "ok"
            if fate != "lost":
                self._datagrams.append((now_ms + (4000 if fate == "late" else 100), target, data))
            if fate == "twice":
                self._datagrams.append((now_ms + 3000, target, data))

    def _at_server(self, message: coap.Message) -> None:
        if not message.is_request():
            return
        server = self.ends["server"]
        self.handled.append(message.token)
        if self._separate[len(self.handled) % len(self._separate)]:
            self._post("client", server.acknowledge(message, "client"))
            answer = coap.Message(coap.CON, coap.CONTENT, None, message.token)
            self._answers.append((self._now_ms + 1000, answer))
        else:
            answer = coap.Message(coap.CON, coap.CONTENT)
            self._post("client", server.answer(message, answer, "client", self._now_ms))

    def _at_client(self, message: coap.Message) -> None:
        client = self.ends["client"]
        number = client.match(message, "server")
        if number is None:
            # an acknowledgement must not be reset
            if message.type < coap.ACK:
                self._post("server", client.reset(message, "server"))
            return
        self.concluded.append(number)
        client.end("server", message.token)
        self._post("server", client.acknowledge(message, "server"))

    def run(self) -> None:
        """Deliver and tick until neither side waits for anything."""
        while times := self._times():
            self._now_ms = min(times)
            self._deliver()
            for name, end in self.ends.items():
                datagrams, failed = end.tick(self._now_ms)
                self._post("server" if name == "client" else "client", datagrams)
                self.concluded += [number for _, _, number in failed if number is not None]
                self.failures += len(failed)

    def _times(self) -> list[int]:
        times = [entry[0] for entry in self._datagrams] + [entry[0] for entry in self._answers]
        for end in self.ends.values():
            left_ms = end.next_ms(self._now_ms)
            times += [] if left_ms is None else [self._now_ms + left_ms]
        return times

    def _deliver(self) -> None:
        now_ms = self._now_ms
        due = [entry for entry in self._datagrams if entry[0] <= now_ms]
        self._datagrams = [entry for entry in self._datagrams if entry[0] > now_ms]
        for _, target, data in due:
            other = "server" if target == "client" else "client"
            message = coap.decode(data)
            verdict, replies = self.ends[target].receive(message, other, now_ms)
            self._post(other, replies)
            if verdict == "new":
                (self._at_client if target == "client" else self._at_server)(message)
        for entry in [entry for entry in self._answers if entry[0] <= now_ms]:
            self._answers.remove(entry)
            self._post("client", self.ends["server"].send(entry[1], "client", now_ms))
