"""A governor as a process: a host peer that holds one share of a scope's signing key.

    daemon.py    the loop                     core/        consensus and proposals joined, sans-IO
    api.py       answers to operators         proposals/   what is proposed, and the judge
    control.py   the operators' socket        ledger/      the durable state
    service.py   signals, service manager     ceremonies/  founding, re-sharing, hand-over
    node.py      what devices speak with      peering/     sessions with other governors

Consensus itself is one folder up (../consensus/), and so are the machines of ceremonies, which
know neither daemon nor gossip (../ceremony/).
"""
