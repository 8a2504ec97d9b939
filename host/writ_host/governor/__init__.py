"""A governor as a process: a host peer that holds one share of a scope's signing key.

    daemon.py    the loop and its sockets     core/        consensus and proposals, sans-IO
    governor.py  the seat's life, no loop     proposals/   what is proposed, and the judge
    api.py       answers to operators         ledger/      the durable state
    control.py   the operators' socket        ceremonies/  founding, re-sharing, hand-over
    node.py      the node that devices use    peering/     sessions with other governors

Consensus itself is in ../consensus/. The state machines of ceremonies are in ../ceremony/; they
know neither the daemon nor gossip.
"""
