"""A program that writes into a ledger until it is killed, and reports each finished write.

`python ledger_writer.py LEDGER START`: prints a number a line, each once its writes are durable.
"""

import sys
from pathlib import Path

from writ.authority import capsule
from writ_host.consensus.effects import Decide
from writ_host.consensus.value import Value
from writ_host.governor.ledger.ledger import Ledger

COMMITTEE = b"8 bytes."
SIGNATURE = bytes(64)


def record(number: int) -> bytes:
    """A record of the hard state of a realistic size."""
    return number.to_bytes(4, "big") * 700


def member(number: int) -> bytes:
    """A member's capsule."""
    key = number.to_bytes(32, "big"), False
    body = [1 + number % 65534, 2]
    payload = capsule.build(capsule.MEMBER, body, sub=f"node-{number}", exp=2**31, key=key)
    return bytes(capsule.assemble(payload, SIGNATURE))


def decide(number: int) -> Decide:
    """The decision of an epoch: an amendment and a policy without valid content."""
    previous = bytes(6)
    node = number.to_bytes(8, "big")
    change = capsule.build(capsule.AMENDMENT, [number, previous, node])
    policy = capsule.build(capsule.POLICY, [number, previous, [], [], [node], {}], iat=number)
    return Decide(number, Value((change, policy)), (SIGNATURE, SIGNATURE))


def write(ledger: Ledger, number: int) -> None:
    """Write an epoch as a governor does: the decision comes last, so a torn epoch is repeated."""
    ledger.save_hard_state(COMMITTEE, record(number))
    ledger.capsules.add([member(number)])
    ledger.add_decision(decide(number))


def main() -> None:
    ledger = Ledger.open(Path(sys.argv[1]))
    number = int(sys.argv[2])
    while True:
        write(ledger, number)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main()
