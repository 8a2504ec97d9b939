"""The demonstration: a whole scope on this machine, real in every part, and proofs of what it does.

play.py runs the steps in their order; each step does something and looks at what came of it.
command.py is `writ demo`; proofs.py keeps what was proved; view.py shows it.
"""
