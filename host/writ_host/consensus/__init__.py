"""How governors agree: one policy state for each epoch, and signatures by the group key.

    replica.Replica    decides ordered kinds: one value for each epoch
    cosign.Cosigner    signs unordered kinds (members, beacons, actions), which need no agreement

Both are functions of (event, now_ms) to effects. They have no socket, disk, clock or randomness
of their own. effects.py lists all events and effects. A caller runs a replica like this:

    replica = Replica(committee, signer, chain, accept, record, token)
    carry_out(replica.start(now_ms))
    carry_out(replica.step(Propose(value), now_ms))          # a value for the next epoch
    carry_out(replica.step(Received(sender, data), now_ms))  # a message from a peer's session
    carry_out(replica.step(Tick(), now_ms))                  # at the time of the last SetTimer

`carry_out` is the caller's. It performs effects in their order, and makes each `Write` and `Decide`
durable before it sends a later message. A caller runs a `Cosigner` in the same way, with
`Cosign(payloads)` instead of `Propose`.

Modules, each importing only modules above it:

    value, committee, signer     what is decided, who decides, the cryptography
    messages, hardstate          what replicas send each other; what a replica keeps on disk
    roast                        signing sessions and nonces
    votes, verifier, state       what a replica knows of its height
    context                      what the parts of a replica share
    fastpath, precommit, rules   the parts: the first round's shortcuts, signing, the algorithm
    restart, resend              the parts: recovery after a start; help for replicas that lag
    replica, cosign              the two entry points

docs/consensus.md argues why this is safe; tests/sim tries to break it.
"""
