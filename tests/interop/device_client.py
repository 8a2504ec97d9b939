"""A device as client of a foreign server: `device_client.py DIRECTORY`. Both interpreters.

It makes the requests under "ask" in config.json, one after the other, and prints each answer as a
line of JSON: [code, payload or, from 32 bytes on, its SHA-256 in hex, name of the peer, rejection].
"""

import json
import sys

import writ
from writ import crypto

node = writ.Node.load(sys.argv[1])
node.open()
peer = bytes.fromhex(node.config["peer"])
node.authority.receive(bytes.fromhex(node.config["member"]), 0)


def run(method, path, payload, notifications):
    """Make one call and wait for its answer and so many notifications."""
    answers = []

    def arrived(answer):
        name = answer.peer.name if answer.peer else None
        rejection = type(answer.rejection).__name__ if answer.rejection else None
        payload = answer.payload
        if len(payload) >= 32:
            payload = crypto.sha256(payload)
        answers.append([answer.code, payload.hex(), name, rejection])

    datagrams = node.request(
        method,
        path,
        payload,
        node.config["address"],
        peer,
        observe=True if notifications else None,
        on_answer=arrived,
    )
    node.send(datagrams)
    while len(answers) < 1 + notifications:
        node.step(100)
    for answer in answers[: 1 + notifications]:
        print(json.dumps(answer))


for method, path, size, notifications in node.config["ask"]:
    run(method, path, b"ABCDEFGHIJ" * (size // 10), notifications)
print("done")
