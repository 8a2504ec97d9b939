"""The demonstration: a whole scope on this machine, real in every part, and proofs of what it does.

steps.py, attacks.py  the six steps, each of which does it and looks at what came of it
field.py, board.py    the folder, the processes and the ports; all of them end with the demo
relay.py              a wire that is listened to, and what its datagrams tell
stranger.py           somebody without membership, with a key of its own
farm.py               the policies that the governors certify
proofs.py, view.py    what was proved, and how a person watches it
"""
