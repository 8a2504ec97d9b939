"""The demonstration: a whole scope on this machine, real in every part, and proofs of what it does.

play.py                  the steps in their order, and a field that goes on running after them
founding.py, steps.py, attacks.py, losses.py, handover.py, acting.py, lying.py, alone.py
                         the steps, each of which does it and looks at what came of it
changing.py              what several of them do: a policy that spreads
field.py, process.py     the folder, the processes and the ports; all of them end with the demo
board.py, governors.py   nodes with their consoles; governors with their operators
liar.py, lifeline.py     a governor that lies; and what ends `writ` with the demo
relay.py                 a wire that is listened to, and what its datagrams tell
stranger.py              somebody without membership, with a key of its own
farm.py                  who is there, and the policies that the governors certify
proofs.py, view.py       what was proved, and how a person watches it
"""
