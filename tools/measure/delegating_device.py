"""A device that delegates: `micropython delegating_device.py FOLDER TARGET`.

The device requests its renewal, and an action for the node with the id TARGET. Its resource `temp`
gives the end of its membership and the SHA-256 of the action.
"""

import hashlib
import json
import sys

import writ
from writ import coap

node = writ.Node.load(sys.argv[1])
node.open()
certified = {}


@node.resource("temp")
def temp(request):
    certified["expires"] = node.authority.me.expires
    return json.dumps(certified)


def done(answer):
    if answer.is_success():
        certified["action"] = hashlib.sha256(answer.payload).digest().hex()


print("ready")
node.delegate.ask_action(bytes.fromhex(sys.argv[2]), coap.PUT, "sluice", b"open", done)
node.run()
