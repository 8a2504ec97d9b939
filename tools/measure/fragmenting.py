"""The fragmentation of a device's heap after many requests and some handshakes."""

import json
import time
from pathlib import Path

import build_mpy

from writ.agent import Node
from writ.wire import coap

from .interpreters import running_device
from .row import Row

HEAP = 192 * 1024
REQUESTS = 10000
HANDSHAKES = 4
TIMEOUT_S = 60.0
NAME = "bytes.heap_largest_after_10000"


def ask(gateway: Node, address: str, payload: bytes = b"") -> dict[str, int]:
    """The figures of the device; a payload asks for the free heap and its largest piece, too."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        answers: list[coap.Message] = []
        gateway.now_ms = gateway.clock.now_ms()
        request = gateway.request(
            coap.GET, "temp", payload, address=address, on_answer=answers.append
        )
        gateway.send(request)
        while not answers:
            gateway.step(100)
        if answers[0].code == coap.CONTENT:
            return {key: int(value) for key, value in json.loads(answers[0].payload).items()}
        # the device limits the rate of handshakes
        time.sleep(0.5)
    raise AssertionError("the device does not answer")


def figures(tree: Path, requests: int = REQUESTS) -> list[dict[str, int]]:
    """What the device reports before and after so many requests and HANDSHAKES handshakes."""
    with running_device(tree, HEAP) as (gateway, address, device):
        assert device.stdout is not None and device.stdout.readline().strip() == "ready"
        while ask(gateway, address)["epoch"] < gateway.authority.epoch:
            gateway.step(100)
        found = [ask(gateway, address, b"heap")]
        for number in range(requests):
            if number % (requests // HANDSHAKES) == 0:
                for session in list(gateway.sessions):
                    gateway.sessions.drop(session)
            ask(gateway, address)
        return [*found, ask(gateway, address, b"heap")]


def measure(tree: Path) -> list[Row]:
    """The largest free piece of the heap after the requests, and before them."""
    if build_mpy.find_micropython() is None:
        return []
    before, after = figures(tree)
    return [
        Row(
            NAME,
            after["largest"],
            "B",
            peer="before them",
            peer_value=before["largest"],
            interpreter="micropython",
        )
    ]
