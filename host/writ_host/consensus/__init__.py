"""Agreement among governors, as a pure core: one policy state for each epoch, and signatures.

    replica.Replica      decides: ordered kinds, one value for each epoch
    certify.Certifier    certifies: members, beacons, actions, which need no order

Both are functions of (event, now_ms) to effects (effects.py), with no socket, clock, disk or
randomness of their own. docs/consensus.md argues why it is safe; tests/sim tries to break it.
"""
